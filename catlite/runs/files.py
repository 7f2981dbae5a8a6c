"""What a run's folder holds: the lock of who writes it, the tables of replies and bookings, the journal.

The journal has a line for each request that is sent, put there before it is (not synced: it survives `kill -9`, and a
power cut costs at most the requests under way). What a request cost is a row of `bookings`; a line without one is a
request that was under way when the process died, and is booked at the most.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from catlite.errors import StoreError
from catlite.usage import Usage

VERSION = 2  # of the tables
_TABLES = (
    "requests (key TEXT PRIMARY KEY, asked TEXT NOT NULL)",
    "replies (key TEXT NOT NULL, sample INTEGER NOT NULL, rollout TEXT NOT NULL, PRIMARY KEY (key, sample)) "
    "WITHOUT ROWID",
    "bookings (id INTEGER PRIMARY KEY, prompt_tokens INTEGER, completion_tokens INTEGER, cost_usd REAL, "
    "requests INTEGER NOT NULL)",
    "parts (name TEXT PRIMARY KEY, content TEXT NOT NULL)",  # of prompts; see parts.folded
)
BOOK = "INSERT OR REPLACE INTO bookings VALUES (?, ?, ?, ?, ?)"
_MOST = 2**63 - 1  # in a column
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


# --- tables ---


def opened(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables that are missing. Raises StoreError for those of another version."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version:
        check_version(version, path)
    connection.execute("BEGIN IMMEDIATE")
    for table in _TABLES:  # a run of before there were images lacks the last
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table}")
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute("COMMIT")


def check_version(version: int, path: Path) -> None:
    """Raise StoreError unless the tables in `path` are of this version."""
    if version != VERSION:
        raise StoreError(
            f"{path} was written by another version of catlite (format {version}, and this one has {VERSION}): read it "
            "with that version, or give this run another folder"
        )


def booked(connection: sqlite3.Connection) -> Usage:
    """Sum up all that was booked; unknown where something without a bound is part of it."""
    names = ("prompt_tokens", "completion_tokens", "cost_usd")
    sums = ", ".join(f"CASE WHEN COUNT({name}) < COUNT(*) THEN NULL ELSE TOTAL({name}) END" for name in names)
    prompt, completion, cost, requests = connection.execute(
        f"SELECT {sums}, TOTAL(requests) FROM bookings"  # noqa: S608 - names of ours
    ).fetchone()
    return Usage(_whole(prompt), _whole(completion), 0, cost, int(requests))


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def row(number: int, usage: Usage) -> list[Any]:
    """Make a row of `bookings`; a count beyond what SQLite can hold, or of another library's type, would be refused."""
    counts = (usage.prompt_tokens, usage.completion_tokens)
    tokens = [None if count is None else min(int(count), _MOST) for count in counts]
    return [number, *tokens, None if usage.cost_usd is None else float(usage.cost_usd), int(usage.requests)]


# --- journal ---


class Journal:
    """The requests that were sent, in `<folder>/under-way`, a line each: number and the most it can cost."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "under-way"
        self.open: dict[int, Usage] = {}  # sent by this process, and not booked yet
        self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)

    def left(self) -> Iterator[list[Any]]:
        """Yield the lines a process that died has left, as bookings; a line that a power cut tore is passed over."""
        for line in self.path.read_text("ascii", "replace").splitlines():
            with contextlib.suppress(ValueError, TypeError):
                number, prompt, completion, cost, *requests = json.loads(line)
                yield [number, prompt, completion, cost, requests[0] if requests else 1]

    def add(self, number: int, most: Usage) -> None:
        """Write the line of a request. Raises StoreError when it cannot be written."""
        line = f"\n{json.dumps(row(number, most))}\n"  # also behind a line that a full disk tore
        try:
            if os.write(self._file, line.encode("ascii")) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise StoreError(
                f"{self.path} cannot be written: {error.strerror}. Nothing was sent; make room or fix the folder, and "
                "run again to go on from here"
            ) from None
        self.open[number] = most

    def booked(self, numbers: Iterable[int]) -> None:
        """Take the requests of these numbers for settled."""
        for number in numbers:
            self.open.pop(number, None)

    def empty(self) -> None:
        """Drop all lines, once what they say is booked."""
        os.ftruncate(self._file, 0)

    def close(self) -> None:
        """Close the file; its lines stay when a request is not booked, and whoever opens the run next books it."""
        if not self.open:
            self.empty()
        os.close(self._file)


# --- lock ---


class NoLocks(StoreError):
    """The file system has no locks."""


class Lock:
    """An exclusive lock on the run's folder, which the system releases however the process ends."""

    def __init__(self, folder: Path) -> None:
        """Take the lock. Raises StoreError when another process has it, NoLocks when the file system has none."""
        import filelock

        holder = folder / "lock.pid"  # not in the lock itself, which others cannot read on Windows
        # Never the soft lock: a file that stays behind after a crash would lock the run for good.
        self._lock = filelock.FileLock(
            folder / "lock", blocking=False, thread_local=False, fallback_to_soft=False, mode=0o600
        )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
            holder.write_text(str(os.getpid()))
        except filelock.Timeout:
            number = holder.read_text().strip() if holder.exists() else ""
            raise StoreError(
                f"run={str(folder)!r} is in use by process {number or 'unknown'}: wait for it, or give this run "
                "another folder"
            ) from None
        except (OSError, NotImplementedError) as error:
            self._lock.release()
            where = getattr(error, "filename", None)
            if isinstance(error, NotImplementedError) or (where is None and error.errno in _NO_LOCKS):
                raise NoLocks(
                    f"run={str(folder)!r} is on a file system without locks ({error}), where two processes could write "
                    "it at once: give the run a folder on a local disk, and copy it when it is done"
                ) from None
            raise StoreError(f"run={str(folder)!r} cannot be used: {error.strerror}: {where or folder}") from None

    def release(self) -> None:
        """Let others have the lock."""
        self._lock.release()
