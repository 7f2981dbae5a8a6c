"""The replies of one question in a file of their own, on storage that several machines share.

It takes the place of a run's SQLite file where many processes work on one run: a file system over a network keeps no
locks that SQLite could rely on, and a question is worked on by one process at a time. A file is one line of JSON per
reply, appended as it comes, and before the first reply of a model one with its address; a line that a crash tore is
passed over, and its reply asked for again. Memory holds the replies of questions under way and no others. Left out:
what was asked, of which there is the digest alone, so that no Replay can be made; a sync to disk, which a power cut of
the storage would need; and object stores such as S3.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
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
        self._addresses: dict[tuple[str, str], None] = {}  # (model, address), in the order of the file
        self._turns = {}

    async def load(self) -> None:
        """Take up what the file has. Raises StoreError when it cannot be read."""
        try:
            replies, addresses = await asyncio.get_running_loop().run_in_executor(self._threads, _read, self.path)
        except OSError as error:
            raise StoreError(f"{self.path} cannot be read: {error.strerror}") from None
        self._addresses.update(addresses)
        for key, sample, rollout in replies:
            self._replies.setdefault(key, {}).setdefault(sample, rollout)

    def find(self, asked: Asked, n: int, first: int = 0) -> dict[int, Rollout]:
        """Return the kept replies to `asked` among the `n` samples from `first` on, by sample index."""
        replies = self._replies.get(asked.key, {})
        return {sample: replies[sample] for sample in range(first, first + n) if sample in replies}

    def addresses(self, model: str, among: int = -1) -> list[str]:  # noqa: ARG002 - one question has few
        """Return the addresses under which replies of a model are kept, the first one first."""
        return [address for name, address in self._addresses if name == model]

    async def keep(self, asked: Asked, replies: Mapping[int, Rollout]) -> None:
        """Return when `replies`, by sample index, are in the file. Raises StoreError when they cannot be."""
        where = asked.model, asked.address
        lines = [] if where in self._addresses else [json.dumps(where)]
        lines += [f'["{asked.key}",{sample},{rollout_text(reply)}]' for sample, reply in replies.items()]
        try:
            await asyncio.get_running_loop().run_in_executor(self._threads, append, self.path, lines)
        except OSError as error:
            raise StoreError(
                f"a reply could not be written to {self.path}: {error.strerror}. What was written before is intact; "
                "make room or fix the storage, and run again to go on from there"
            ) from None
        self._addresses[where] = None
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


def append(path: Path, lines: Sequence[str]) -> None:
    """Append lines of ASCII to a file, mode 0600, which is made with its folder if need be. Raises OSError.

    Each begins on a line of its own, also behind one that a crash tore.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    try:
        file = os.open(path, flags, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, flags, 0o600)
    text = "".join(f"\n{line}" for line in lines) + "\n" * bool(lines)
    try:
        if os.write(file, text.encode("ascii")) < len(text):
            raise OSError(28, "no space left on device")
    finally:
        os.close(file)


def _read(path: Path) -> tuple[list[tuple[str, int, Rollout]], dict[tuple[str, str], None]]:
    """Read (key, sample, rollout) of every whole line, and each (model, address); nothing where there is no file."""
    try:
        text = path.read_text("ascii", "replace")
    except FileNotFoundError:
        text = ""
    replies: list[tuple[str, int, Rollout]] = []
    addresses: dict[tuple[str, str], None] = {}
    for line in filter(None, text.split("\n")):
        try:
            first, second, *fields = json.loads(line)
            if fields:
                replies.append((first, second, Rollout.from_json(fields[0])))
            else:
                addresses[first, second] = None
        except (ValueError, TypeError, AttributeError):
            continue
    return replies, addresses
