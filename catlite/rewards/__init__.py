"""Reward derivation (arXiv 2509.14234 §3.2): a rollout and a reference become a reward."""

from catlite.lazy import submodules

__getattr__ = submodules(__name__)
