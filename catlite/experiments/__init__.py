"""Experiments: what samples models to compare them, as analysis/ does not."""

from catlite.lazy import submodules

__getattr__ = submodules(__name__)
