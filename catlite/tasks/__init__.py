"""Tasks: named sets of examples, a module each."""

from catlite.lazy import submodules

__getattr__ = submodules(__name__)
