"""What an evaluation says beyond its table: one function per question, each with its plot in plots.py."""

from catlite.lazy import submodules

__getattr__ = submodules(__name__)
