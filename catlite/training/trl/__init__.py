"""The seam to TRL: what is overridden in its trainer, and what this release of it can do."""

from catlite.lazy import submodules

__getattr__ = submodules(__name__)
