"""Write a file so that it is there whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from catlite.errors import ConfigError, StoreError


def write(path: Path, parts: Iterable[str]) -> Path:
    """Write `parts` to `path`, mode 0600, whole or not at all; make its folder; return the path.

    Raises ConfigError when `path` is something other than a file, StoreError when it cannot be written.
    """
    path = path.expanduser().resolve()
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is not a file: give the path of one to write")
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="\n", dir=path.parent, prefix=f".{path.name[:40]}.", delete=False
        ) as file:
            temporary = Path(file.name)
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path
