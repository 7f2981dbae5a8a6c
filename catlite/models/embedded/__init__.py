"""The embedded model: a small one that runs offline, on a CPU, without a server to install."""

from catlite.lazy import submodules

__getattr__ = submodules(__name__)
