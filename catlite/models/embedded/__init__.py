"""The embedded model: a small one that runs offline, on a CPU, without an install of its own."""

from catlite.lazy import submodules

__getattr__ = submodules(__name__)
