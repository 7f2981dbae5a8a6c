"""Models in this process, which training can change: the only room of models/ that knows torch."""

from catlite.lazy import submodules

__getattr__ = submodules(__name__)
