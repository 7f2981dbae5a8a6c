"""The run store: every reply that was paid for, on disk before it is used, and never asked for again.

One SQLite file per run (WAL, synchronous=FULL: a reply survives `kill -9` and a power cut), JSON only, no pickle,
mode 0600. A reply is found again by what was asked: model, address, messages, sampling parameters and its index
among the samples; a changed prompt or model finds nothing. Replies that failed or were cut off by the transport are
not kept. One process at a time may write a run. Left out: sharing a run between machines.
"""

from __future__ import annotations

import asyncio
import contextvars
import fcntl
import hashlib
import json
import os
import queue
import sqlite3
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from catlite.data import Message, Rollout, Usage
from catlite.errors import StoreError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS requests (key TEXT PRIMARY KEY, asked TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS replies (
    key TEXT NOT NULL, sample INTEGER NOT NULL, rollout TEXT NOT NULL, PRIMARY KEY (key, sample)
) WITHOUT ROWID;
"""
_VERSION = 1
_BATCH = 256  # replies per commit at most: one fsync carries all that wait
# Never part of what identifies a request: headers may carry credentials and change without changing the reply.
_NOT_ASKED = frozenset({"extra_headers"})

_current: contextvars.ContextVar[Store | None] = contextvars.ContextVar("catlite_run", default=None)


@dataclass(frozen=True)
class Asked:
    """What identifies a reply, apart from its sample index."""

    model: str
    address: str
    messages: Sequence[Message]
    sampling: Mapping[str, Any]

    @cached_property
    def json(self) -> str:
        """Canonical JSON; pure ASCII, so that lone surrogates survive."""
        sampling = {name: _plain(value) for name, value in self.sampling.items() if name not in _NOT_ASKED}
        asked = {"model": self.model, "address": self.address, "messages": list(self.messages), "sampling": sampling}
        return json.dumps(asked, sort_keys=True, separators=(",", ":"), default=repr)

    @cached_property
    def key(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.json.encode("ascii")).hexdigest()


def _plain(value: Any) -> Any:
    """A temperature of 1.0 is one of 1."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Store:
    """The replies of one run, in `<folder>/replies.sqlite`; see `open_run`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "replies.sqlite"
        self._lock_file = _locked(folder)
        self._reading = threading.Lock()
        self._turns: dict[tuple[int, str], tuple[asyncio.Lock, int]] = {}
        try:
            self._reader = self._connect()
            self._reader.executescript(_SCHEMA)
            version = self._reader.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _VERSION):
                raise StoreError(f"{self.path} was written by another version of catlite (format {version})")
            self._reader.execute(f"PRAGMA user_version = {_VERSION}")
        except sqlite3.Error as error:
            self._lock_file.close()
            raise StoreError(f"{self.path} cannot be opened as a run store: {error}") from None
        self.path.chmod(0o600)
        self._waiting: queue.SimpleQueue[tuple[str, str, list[tuple[int, str]], Future[None]] | None]
        self._waiting = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="catlite-store", daemon=True)
        self._writer.start()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    def find(self, asked: Asked, n: int, first: int = 0) -> dict[int, Rollout]:
        """The kept replies to `asked` among the `n` samples from `first` on, by sample index."""
        with self._reading:
            rows = self._reader.execute(
                "SELECT sample, rollout FROM replies WHERE key = ? AND sample >= ? AND sample < ?",
                (asked.key, first, first + n),
            ).fetchall()
        return {sample: _rollout(text) for sample, text in rows}

    @asynccontextmanager
    async def turn(self, asked: Asked) -> AsyncIterator[None]:
        """One at a time for the same question: the second finds what the first has paid for.

        Per event loop; two loops asking the same at the same moment both pay, and the first reply is kept.
        """
        key = (id(asyncio.get_running_loop()), asked.key)
        lock, users = self._turns.get(key, (asyncio.Lock(), 0))
        self._turns[key] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._turns[key]
            self._turns[key] = (lock, users - 1)
            if users == 1:
                del self._turns[key]

    async def keep(self, asked: Asked, replies: Mapping[int, Rollout]) -> None:
        """Returns when `replies`, by sample index, are on disk. Raises StoreError when they cannot be."""
        rows = [(sample, json.dumps(rollout, default=_fields)) for sample, rollout in replies.items()]
        done: Future[None] = Future()
        self._waiting.put((asked.key, asked.json, rows, done))
        # Shielded: a cancelled caller loses its reply, but the row that is being written is still written.
        await asyncio.shield(asyncio.wrap_future(done))

    def _write(self) -> None:
        """The writer thread: everything that waits goes into one transaction, since the fsync is what costs."""
        connection = self._connect()
        try:
            while (first := self._waiting.get()) is not None:
                batch = [first]
                while len(batch) < _BATCH and not self._waiting.empty():
                    item = self._waiting.get()
                    if item is None:
                        self._waiting.put(None)
                        break
                    batch.append(item)
                self._commit(connection, batch)
        finally:
            connection.close()

    def _commit(
        self, connection: sqlite3.Connection, batch: list[tuple[str, str, list[tuple[int, str]], Future[None]]]
    ) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            for key, asked, rows, _ in batch:
                connection.execute("INSERT OR IGNORE INTO requests VALUES (?, ?)", (key, asked))
                connection.executemany(
                    "INSERT OR IGNORE INTO replies VALUES (?, ?, ?)", [(key, sample, text) for sample, text in rows]
                )
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            failure = StoreError(
                f"a reply could not be written to {self.path}: {error}. What was written before is intact; make "
                "room or fix the folder, and run again to go on from there"
            )
            for *_, done in batch:
                done.set_exception(failure)
        else:
            for *_, done in batch:
                done.set_result(None)

    def usage(self) -> Usage:
        """What all replies of the run cost when they were paid for."""
        with self._reading:
            rows = self._reader.execute("SELECT rollout FROM replies").fetchall()
        return Usage.total(_rollout(text).usage for (text,) in rows)

    def close(self) -> None:
        """Waits for what is being written, then lets others open the run."""
        self._waiting.put(None)
        self._writer.join()
        self._reader.close()
        self._lock_file.close()


class Recording:
    """The replies of a run, only read; another process may be writing them."""

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder).expanduser().resolve() / "replies.sqlite"
        try:
            ((version,),) = self._read("PRAGMA user_version")
        except sqlite3.Error as error:
            raise StoreError(f"run={str(folder)!r} has no replies that can be read: {error} ({self.path})") from None
        if version != _VERSION:
            raise StoreError(f"{self.path} was written by another version of catlite (format {version})")

    def _read(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        # A connection for each: it belongs to no thread, and nobody has to close a Recording.
        with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(query, values).fetchall()

    def requests(self) -> list[tuple[str, dict[str, Any]]]:
        """(key, what was asked) of every request, in the order in which they were first answered."""
        return [(key, json.loads(asked)) for key, asked in self._read("SELECT key, asked FROM requests ORDER BY rowid")]

    def replies(self, key: str) -> dict[int, Rollout]:
        """The replies to a request, by sample index."""
        rows = self._read("SELECT sample, rollout FROM replies WHERE key = ? ORDER BY sample", key)
        return {sample: _rollout(text) for sample, text in rows}


def _fields(value: Rollout | Usage) -> dict[str, Any]:
    """As dataclasses.asdict, which copies every value deeply and takes ten times as long."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _rollout(text: str) -> Rollout:
    return Rollout.from_json(json.loads(text))


def _locked(folder: Path) -> IO[str]:
    """An exclusive lock on the run, held by the open file: the kernel releases it however the process ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / "lock").open("a+")
    except OSError as error:
        raise StoreError(f"run={str(folder)!r} cannot be used: {error.strerror}: {error.filename}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise StoreError(
            f"run={str(folder)!r} is in use by process {holder}: wait for it, or give this run another folder"
        ) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


_open: dict[Path, tuple[Store, int]] = {}
_open_lock = threading.Lock()


@contextmanager
def open_run(run: str | Path | None) -> Iterator[Store | None]:
    """The store of `run`, in force for every model call made inside; None leaves things as they are.

    Blocks of one process may overlap on the same run. Raises StoreError when the folder cannot be used, is held by
    another process, or was written by another version.
    """
    if run is None:
        yield _current.get()
        return
    folder = Path(run).expanduser().resolve()
    with _open_lock:
        store, users = _open.get(folder, (None, 0))
        store = store or Store(folder)
        _open[folder] = (store, users + 1)
    token = _current.set(store)
    try:
        yield store
    finally:
        _current.reset(token)
        with _open_lock:
            users = _open[folder][1] - 1
            _open[folder] = (store, users)
            if users == 0:
                del _open[folder]
                store.close()


def current_run() -> Store | None:
    """The store in force, or None."""
    return _current.get()


_first: contextvars.ContextVar[int] = contextvars.ContextVar("catlite_first_sample", default=0)


@contextmanager
def samples_from(first: int) -> Iterator[None]:
    """Models sampled inside give the replies from index `first` on: fresh ones, beside those before them."""
    token = _first.set(first)
    try:
        yield
    finally:
        _first.reset(token)


def first_sample() -> int:
    """The index of the first reply that a call of `sample` gives; 0 outside of `samples_from`."""
    return _first.get()
