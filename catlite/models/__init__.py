"""Models: a protocol, and what fulfils it."""

from catlite.lazy import submodules

__getattr__ = submodules(__name__)
