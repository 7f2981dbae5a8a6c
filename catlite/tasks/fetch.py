"""Files of public tasks, through `datasets` or over HTTP, kept in the user's cache (see cache.py).

Left out: mirrors; the `path=` of a task takes a file that was fetched in any other way.
"""

from __future__ import annotations

import importlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catlite import cache
from catlite.errors import DataError

_MOST = 512_000_000  # bytes; several times the largest of the files
_SECONDS = 900.0  # for one file; a connection may be slow but not forever
_SILENCE = 30.0  # seconds without a byte


class _NotFetched(Exception):
    pass


@dataclass(frozen=True)
class Hub:
    """A split on Hugging Face: `revision` is a commit, `count` how many rows the split has there."""

    repository: str
    config: str | None
    split: str
    revision: str
    count: int


def folder() -> Path:
    """The folder of the tasks' files, which may not exist yet."""
    return cache.folder() / "tasks"


def rows(url: str, name: str, *, call: str, sha256: str, hub: Hub | None = None) -> Any:
    """The rows at `url`: the file from the cache, else a split loaded through `datasets`, else the file fetched.

    `name` is the file's in the cache, `call` shows in errors how to load a local file, and `hub` is asked where the
    `datasets` library is installed. Raises DataError when the rows cannot be had, or are not the right ones.
    """
    target = folder() / name
    if target.is_file() and cache.digest(target) == sha256:
        return target
    if hub is not None and (split := _from_hub(hub, url, call)) is not None:
        return split
    print(f"catlite: fetching {name}, once (kept in {target.parent})", file=sys.stderr)
    try:
        return cache.keep(target, sha256, lambda place: _download(url, place / "file"))
    except OSError as error:
        why = f"it cannot be kept in {target.parent}: {error.strerror or error}"
    except (ValueError, _NotFetched) as error:
        why = str(error)
    raise DataError(f"{name} could not be fetched from {url}: {why}. {_by_hand(url, call)}")


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


def _by_hand(url: str, call: str) -> str:
    return f"Nothing was kept. Where there is a network, get {url}, and give the file: {call}"


def _download(url: str, target: Path) -> Path:
    """Write the file at `url` into `target`; raise _NotFetched, with the reason, when it cannot be had."""
    import httpx

    deadline = time.monotonic() + _SECONDS
    try:
        with (
            httpx.Client(timeout=_SILENCE, follow_redirects=True) as client,
            client.stream("GET", url) as response,
            target.open("wb") as file,
        ):
            if response.status_code != 200:
                raise _NotFetched(f"the server answers {response.status_code} {response.reason_phrase}".rstrip())
            for chunk in response.iter_bytes(1 << 16):
                file.write(chunk)
                if file.tell() > _MOST:
                    raise _NotFetched(f"it is larger than {_MOST / 1e6:.0f} MB, which it should not be")
                if time.monotonic() > deadline:
                    raise _NotFetched(f"it took longer than {_SECONDS:.0f} s")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _NotFetched(f"{type(error).__name__}: {error}".rstrip(": ")) from None
    return target
