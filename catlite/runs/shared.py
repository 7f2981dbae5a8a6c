"""The replies of one question in a file of their own, on storage that several machines share.

It takes the place of a run's SQLite file where many processes work on one run: a file system over a network keeps no
locks that SQLite could rely on, and a question is worked on by one process at a time. A file is one line of JSON per
reply, appended as it comes, and one that tells where the model is, for a fleet to find (models/http/fleet.py); a line
that a crash tore is passed over, and its reply asked for again. Memory holds the replies of questions under way and no
others. Left out: what was asked, of which there is the digest alone, so that no Replay can be made; a sync to disk,
which a power cut of the storage would need; and object stores such as S3.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from catlite.data import Rollout
from catlite.errors import StoreError
from catlite.runs.budget import Account
from catlite.runs.store import Asked, Store, rollout_text
from catlite.usage import Usage


class PromptStore(Store):
    """The replies of one question, in `path`, which is made with the first of them.

    Args:
        path: of the file.
        account: where requests are booked; the file keeps no books.
        threads: do what waits for the storage.
    """

    def __init__(self, path: Path, account: Account, threads: Executor) -> None:
        self.path, self.folder, self.account = path, path.parent, account
        self._threads = threads
        self._replies: dict[str, dict[int, Rollout]] = {}
        self._addresses: dict[str, list[str]] = {}  # by model
        self._turns = {}

    @classmethod
    async def read(cls, path: Path, account: Account, threads: Executor) -> PromptStore:
        """Open the store with the replies that its file has. Raises StoreError when that cannot be read."""
        store = cls(path, account, threads)
        try:
            lines = await asyncio.get_running_loop().run_in_executor(threads, _read, path)
        except OSError as error:
            raise StoreError(f"{path} cannot be read: {error.strerror}") from None
        for key, place, value in lines:
            if key is None:
                store._addresses.setdefault(place, []).append(value)
            else:
                store._replies.setdefault(key, {}).setdefault(place, value)
        return store

    def addresses(self, model: str, among: int = -1) -> list[str]:  # noqa: ARG002
        """See Store."""
        return self._addresses.get(model, [])

    def find(self, asked: Asked, n: int, first: int = 0) -> dict[int, Rollout]:
        """Return the kept replies to `asked` among the `n` samples from `first` on, by sample index."""
        replies = self._replies.get(asked.key, {})
        return {sample: replies[sample] for sample in range(first, first + n) if sample in replies}

    async def keep(self, asked: Asked, replies: Mapping[int, Rollout]) -> None:
        """Return when `replies`, by sample index, are in the file. Raises StoreError when they cannot be."""
        known = self._addresses.setdefault(asked.model, [])
        # Each begins a line of its own, also behind one that a crash tore.
        lines = "" if asked.address in known else "\n" + json.dumps([None, asked.model, asked.address])
        lines += "".join(f'\n["{asked.key}",{sample},{rollout_text(reply)}]' for sample, reply in replies.items())
        try:
            await asyncio.get_running_loop().run_in_executor(
                self._threads, append, self.path, f"{lines}\n".encode("ascii")
            )
        except OSError as error:
            raise StoreError(
                f"a reply could not be written to {self.path}: {error.strerror}. What was written before is intact; "
                "make room or fix the storage, and run again to go on from there"
            ) from None
        if asked.address not in known:
            known.append(asked.address)
        for sample, rollout in replies.items():
            self._replies.setdefault(asked.key, {}).setdefault(sample, rollout)

    def begin(self, most: Usage) -> int:  # noqa: ARG002
        """Give no number: a lease has booked the request before it is sent."""
        return 0

    def settle(self, number: int, usage: Usage) -> None:
        """Book nothing: the account has it already."""

    def close(self) -> None:
        """Leave the file as it is."""


def digest_of(question: Any) -> str:
    """Name a question by a digest of what it is, as JSON takes it."""
    text = json.dumps(question, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:40]


def append(path: Path, lines: bytes) -> None:
    """Append whole lines to a file, mode 0600, which is made with its folder if need be. Raises OSError."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    try:
        file = os.open(path, flags, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, flags, 0o600)
    try:
        if os.write(file, lines) < len(lines):
            raise OSError(28, "no space left on device")
    finally:
        os.close(file)


def _read(path: Path) -> list[tuple[str | None, Any, Any]]:
    """Read (key, sample, rollout) and (None, model, address) of every whole line; nothing where there is no file."""
    try:
        text = path.read_text("ascii", "replace")
    except FileNotFoundError:
        return []
    lines: list[tuple[str | None, Any, Any]] = []
    for line in filter(None, text.split("\n")):
        try:
            key, place, value = json.loads(line)
            lines.append((key, place, value if key is None else Rollout.from_json(value)))
        except (ValueError, TypeError, AttributeError):
            continue
    return lines
