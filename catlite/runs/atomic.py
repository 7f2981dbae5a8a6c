"""Write a file so that it is there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from catlite.errors import ConfigError, StoreError


def write(path: Path, parts: Iterable[str | bytes]) -> Path:
    """Write `parts` to `path`, mode 0600, whole or not at all; make its folder; return the path.

    Raises ConfigError when `path` is something other than a file, StoreError when it cannot be written.
    """
    with _beside(path) as (path, file):
        file.writelines(part.encode() if isinstance(part, str) else part for part in parts)
        file.flush()
        os.fsync(file.fileno())
        Path(file.name).replace(path)
    return path


def check_writable(path: Path) -> None:
    """Raise what `write` would raise for `path`; its folder is made, and the file itself is left alone."""
    with _beside(path):
        pass


@contextmanager
def _beside(path: Path) -> Iterator[tuple[Path, IO[bytes]]]:
    """Yield the resolved path and a temporary file in its folder, which is gone at the end unless it was renamed."""
    if "\0" in str(path):
        raise ConfigError(f"{str(path)!r} holds a zero byte: give the path of a file to write")
    path = path.expanduser().resolve()
    temporary = None
    try:
        if path.exists() and not path.is_file():
            raise ConfigError(f"{path} is not a file: give the path of one to write")
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name[:40]}.", delete=False) as file:
            temporary = Path(file.name)
            yield path, file
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
