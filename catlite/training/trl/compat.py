"""Which TRL is installed: what it does with our rewards and our overrides has changed over its releases."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

READS_NONE = "1.6"  # None means that there is no reward (its #5902); before, it counted as a reward of 0
CALLS_US = "1.15"  # its trainers call the methods that trainer.py overrides in the way those expect


def trl_since(release: str) -> bool:
    """Whether the installed TRL is this release or a later one; True without TRL, when another trainer calls."""
    try:
        installed = version("trl")
    except PackageNotFoundError:
        return True
    from packaging.version import Version  # TRL's own dependencies bring it

    return Version(installed) >= Version(release)
