"""Models behind an HTTP API: the Endpoint, and what servers do."""

from catlite.lazy import submodules

__getattr__ = submodules(__name__)
