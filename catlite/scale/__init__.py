"""More than one machine: catlite inside engines that spread work over processes and nodes."""

from catlite.lazy import submodules

__getattr__ = submodules(__name__)
