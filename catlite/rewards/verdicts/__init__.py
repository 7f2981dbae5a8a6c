"""Reading verdicts: a strict grammar for what a judge wrote."""

from catlite.lazy import submodules

__getattr__ = submodules(__name__)
