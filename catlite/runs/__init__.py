"""What belongs to one run: its store, its budget, its progress."""

from catlite.lazy import submodules

__getattr__ = submodules(__name__)
