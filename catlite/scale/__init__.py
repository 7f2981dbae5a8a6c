"""Beyond one machine: what spreads the work of catlite over many nodes."""

from catlite.lazy import submodules

__getattr__ = submodules(__name__)
