"""Which TRL is here: what it does with our rewards and our rollouts has changed over its releases."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

READS_NONE = "1.6"  # None is no reward (its #5902); before, a rollout without one counted as a reward of 0
TAKES_ROLLOUTS = "1.15"  # `rollout_func` as we use it; before, it was called otherwise, or not at all


def trl_since(release: str) -> bool:
    """True for this release and later ones, and where there is no TRL, so that something else calls."""
    try:
        found = version("trl")
    except PackageNotFoundError:
        return True
    from packaging.version import Version  # TRL's own dependencies bring it

    return Version(found) >= Version(release)
