"""Files in the user's cache: fetched once, checked by their SHA-256, there whole or not at all.

Left out: resuming a broken download (the largest file is 93 MB), and mirrors.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs


def folder() -> Path:
    """The cache of catlite, which may not exist yet."""
    return platformdirs.user_cache_path("catlite")


def digest(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def keep(target: Path, sha256: str, fetch: Callable[[Path], Path]) -> Path:
    """Put a fetched file at `target` once it was checked, and return `target`.

    `fetch` gets an empty folder, and returns the file that it has put there. Raises ValueError for a file with another
    SHA-256, OSError when it cannot be kept.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    # In the cache itself, so that the last step is a rename on one file system.
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetch-") as place:
        file = fetch(Path(place))
        if (actual := digest(file)) != sha256:
            raise ValueError(f"its SHA-256 is {actual}, not {sha256}")
        file.replace(target)
    return target
