"""Files of public tasks: fetched once, checked, kept in the user cache, whole or not at all.

Left out: resuming a broken download (the largest file is some tens of megabytes), and mirrors: `path=` takes a
file that was fetched in any other way.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import platformdirs

from catlite.errors import DataError

_MOST = 512_000_000  # bytes; several times the largest of the files
_SECONDS = 900.0  # for one file; a connection may be slow but not forever
_SILENCE = 30.0  # seconds without a byte


@dataclass(frozen=True)
class Hub:
    """Where rows are on Hugging Face: `revision` is a commit, `count` how many rows the split has there."""

    repository: str
    config: str | None
    split: str
    revision: str
    count: int


def folder() -> Path:
    """Where files are kept."""
    return platformdirs.user_cache_path("catlite") / "tasks"


def rows(
    url: str,
    name: str,
    *,
    call: str,
    sha256: str,
    hub: Hub | None = None,
) -> Any:
    """The file at `url` from the cache, else the same rows through `datasets`, else the file fetched.

    name: what the file is called in the cache. sha256: of the file, which is not taken otherwise. hub: asked where the
    `datasets` library is installed. call: how to load a local file, for the error.

    Raises DataError when the rows cannot be had, or are not what they must be.
    """
    kept = folder() / name
    if kept.is_file() and _digest(kept) == sha256:
        return kept
    split = None if hub is None else _from_hub(hub, url, call)
    return _fetched(url, kept, call, sha256) if split is None else split


def _from_hub(hub: Hub, url: str, call: str) -> Any | None:
    try:
        load = importlib.import_module("datasets").load_dataset
    except (ImportError, AttributeError):  # AttributeError: a folder of that name beside the script
        return None
    try:
        loaded = load(hub.repository, hub.config, split=hub.split, revision=hub.revision)
        count = len(loaded)
    except Exception as error:
        why = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:200]}"
    else:
        if count == hub.count:
            return loaded
        why = f"it has {count} rows, not {hub.count}"
    raise DataError(f"{hub.repository} could not be loaded with `datasets`: {why}. {_by_hand(url, call)}")


def _fetched(url: str, kept: Path, call: str, sha256: str) -> Path:
    print(f"catlite: fetching {kept.name}, once (kept in {kept.parent})", file=sys.stderr)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        # In the cache folder itself, so that the last step is a rename on one file system.
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix="fetch-") as beside:
            fetched = Path(beside) / "file"
            why = _download(url, fetched) or _wrong(fetched, sha256)
            if why is None:
                fetched.replace(kept)
                return kept
    except OSError as error:
        why = f"it cannot be kept in {kept.parent}: {error.strerror or error}"
    raise DataError(f"{kept.name} could not be fetched from {url}: {why}. {_by_hand(url, call)}")


def _by_hand(url: str, call: str) -> str:
    return f"Nothing was kept. Where there is a network, get {url}, and give the file: {call}"


def _download(url: str, target: Path) -> str | None:
    """Writes what stands at `url` into `target`; says why not when it cannot be had."""
    import httpx

    deadline = time.monotonic() + _SECONDS
    try:
        with (
            httpx.Client(timeout=_SILENCE, follow_redirects=True) as client,
            client.stream("GET", url) as response,
            target.open("wb") as out,
        ):
            if response.status_code != 200:
                return f"the server answers {response.status_code} {response.reason_phrase}".rstrip()
            size = 0
            for chunk in response.iter_bytes(1 << 16):
                size += len(chunk)
                if size > _MOST:
                    return f"it is larger than {_MOST / 1e6:.0f} MB, which it should not be"
                if time.monotonic() > deadline:
                    return f"it took longer than {_SECONDS:.0f} s"
                out.write(chunk)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"{type(error).__name__}: {error}".rstrip(": ")
    return None


def _wrong(path: Path, sha256: str) -> str | None:
    """Says why a fetched file is not the one wanted, None when it is."""
    digest = _digest(path)
    return None if digest == sha256 else f"its SHA-256 is {digest}, not {sha256}"


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
