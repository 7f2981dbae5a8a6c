"""Reference estimation (arXiv 2509.14234 §3.1): a group of rollouts becomes one pseudo-reference."""

from catlite.lazy import submodules

__getattr__ = submodules(__name__)
