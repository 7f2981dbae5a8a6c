"""Reports: a run as one HTML page."""

from catlite.lazy import submodules

__getattr__ = submodules(__name__)
