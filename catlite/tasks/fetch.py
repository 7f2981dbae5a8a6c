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
from pathlib import Path
from typing import Any

import platformdirs

from catlite.errors import DataError

_MOST = 512_000_000  # bytes; several times the largest of the files
_SECONDS = 900.0  # for one file; a connection may be slow but not forever
_SILENCE = 30.0  # seconds without a byte


def folder() -> Path:
    """Where files are kept."""
    return platformdirs.user_cache_path("catlite") / "tasks"


def rows(
    url: str,
    name: str,
    *,
    call: str,
    hub: tuple[str, str | None, str] | None = None,
    sha256: str | None = None,
    count: int | None = None,
) -> Any:
    """The file at `url` from the cache, else the same rows through `datasets`, else the file fetched.

    name: what the file is called in the cache. hub: repository, config and split on Hugging Face, asked where the
    `datasets` library is installed. sha256, count: what a fetched file, and its rows, must come to. call: how to
    load a local file, for the error.

    Raises DataError when the rows cannot be had, or are not what they must be.
    """
    kept = folder() / name
    if kept.is_file() and (sha256 is None or _digest(kept) == sha256):
        return kept
    split = None if hub is None else _from_hub(*hub, url, call)
    return _fetched(url, kept, call, sha256, count) if split is None else split


def _from_hub(repository: str, config: str | None, split: str, url: str, call: str) -> Any | None:
    try:
        load = importlib.import_module("datasets").load_dataset
    except (ImportError, AttributeError):  # AttributeError: a folder of that name beside the script
        return None
    try:
        return load(repository, config, split=split)
    except Exception as error:
        why = str(error).partition("\n")[0][:200]
        raise DataError(
            f"{repository} could not be loaded with `datasets`: {type(error).__name__}: {why}. {_by_hand(url, call)}"
        ) from None


def _fetched(url: str, kept: Path, call: str, sha256: str | None, count: int | None) -> Path:
    print(f"catlite: fetching {kept.name}, once (kept in {kept.parent})", file=sys.stderr)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        # In the cache folder itself, so that the last step is a rename on one file system.
        with tempfile.TemporaryDirectory(dir=kept.parent, prefix="fetch-") as beside:
            fetched = Path(beside) / "file"
            why = _download(url, fetched) or _wrong(fetched, sha256, count)
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


def _wrong(path: Path, sha256: str | None, count: int | None) -> str | None:
    """Says why a fetched file is not the one wanted, None when it is."""
    if sha256 is not None and (digest := _digest(path)) != sha256:
        return f"its SHA-256 is {digest}, not {sha256}"
    if count is not None:
        with path.open("rb") as content:
            found = sum(1 for line in content if line.strip())
        if found != count:
            return f"it has {found} rows, not {count}"
    return None


def _digest(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
