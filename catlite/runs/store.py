"""The run store: every reply that was paid for, on disk before it is used, and never asked for again.

One SQLite file per run (WAL, synchronous=FULL: a reply survives `kill -9` and a power cut), JSON only, no pickle, mode
0600; beside it a lock and a journal of requests under way (files.py). A reply is found again by what was asked: model,
address, messages, sampling parameters, its index among the samples and, where the same prompt stands in several rows of
a task, which of them; a changed prompt or model finds nothing. Images are part of that by their digest, and kept once
(parts.folded). Replies that failed or were cut off by the transport are not kept, but what they cost is. One process at
a time may write a run. Left out: sharing a run between machines (shared.py).
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from catlite.data import Message, Rollout
from catlite.errors import StoreError
from catlite.parts import folded
from catlite.runs import files
from catlite.runs.budget import Account
from catlite.usage import Usage

_BATCH = 256  # replies per commit at most: one fsync carries all that wait
# Never part of what identifies a request: headers may carry credentials and change without changing the reply.
_NOT_ASKED = frozenset({"extra_headers"})


@dataclass(frozen=True)
class Asked:
    """What identifies a reply, apart from its sample index."""

    model: str
    address: str
    messages: Sequence[Message]
    sampling: Mapping[str, Any]
    copy: str = ""  # which of several that ask the same; see session.copy_of
    parts: dict[str, str] = field(default_factory=dict, init=False)  # data of images, which `json` has by digest

    @cached_property
    def json(self) -> str:
        """What was asked as canonical JSON; pure ASCII, so that lone surrogates survive."""
        sampling = {name: value for name, value in self.sampling.items() if name not in _NOT_ASKED}
        for name, value in sampling.items():
            if isinstance(value, float) and value.is_integer():
                sampling[name] = int(value)  # a temperature of 1.0 is the same as one of 1
        messages = folded(list(self.messages), self.parts)
        request = {"model": self.model, "address": self.address, "messages": messages, "sampling": sampling}
        request |= {"copy": self.copy} if self.copy else {}
        return json.dumps(request, sort_keys=True, separators=(",", ":"), default=repr)

    @cached_property
    def key(self) -> str:
        """SHA-256 of the canonical JSON."""
        return hashlib.sha256(self.json.encode("ascii")).hexdigest()


@dataclass
class _Job:
    """Replies for the writer thread, as (sample, JSON); `done` is told when they are on disk."""

    asked: Asked
    replies: list[tuple[int, str]]
    done: asyncio.Future[None]  # of the loop that waits


class Store:
    """The replies of one run, in `<folder>/replies.sqlite`; see session.open_run.

    `account` has all that was booked for the run, by earlier processes too.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "replies.sqlite"
        if (folder / "books").exists():
            raise StoreError(
                f"run={str(folder)!r} has the replies of a run with Ray: go on with it there, or give this run another "
                "folder"
            )
        self._lock = files.Lock(folder)
        self._using = threading.Lock()  # the reader, and whether the store is still open
        self._closed, self._process = False, os.getpid()
        self._turns: dict[tuple[int, str], list[tuple[range, asyncio.Event]]] = {}
        try:
            self._reader, writing = self._connect(), self._connect()
            files.opened(self._reader, self.path)
            self._journal = files.Journal(folder)
            # What a process that died had under way: sent, and never booked.
            self._reader.execute("BEGIN IMMEDIATE")
            self._reader.executemany("INSERT OR IGNORE INTO bookings VALUES (?, ?, ?, ?, ?)", self._journal.left())
            self._reader.execute("COMMIT")
            self._journal.empty()
            self.account = Account(files.booked(self._reader))
            (last,) = self._reader.execute("SELECT MAX(id) FROM bookings").fetchone()
        except (sqlite3.Error, OSError) as error:
            self._lock.release()
            if isinstance(error, StoreError):
                raise
            raise StoreError(f"{self.path} cannot be opened as a run store: {error}") from None
        self._numbers = itertools.count((last or 0) + 1)
        self.path.chmod(0o600)
        self._waiting: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._settled: deque[list[Any]] = deque()  # bookings, for the next transaction
        self._writer = threading.Thread(target=self._write, args=(writing,), name="catlite-store", daemon=True)
        self._writer.start()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=30)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        return connection

    @contextmanager
    def _while_open(self) -> Iterator[None]:
        """Keep the store from being closed in the block. Raises StoreError when it is, and in a forked process."""
        if self._process != os.getpid():
            raise StoreError(
                f"run={str(self.folder)!r} is open in process {self._process}, which was forked while it was: ask "
                "models in that process, or give this one another folder"
            )
        with self._using:
            if self._closed:
                raise StoreError(
                    f"run={str(self.folder)!r} was closed before a call that belongs to it was over: whoever starts a "
                    "task in a run, such as an estimator or a reward, has to wait for its end"
                )
            yield

    def find(self, asked: Asked, n: int, first: int = 0) -> dict[int, Rollout]:
        """Return the kept replies to `asked` among the `n` samples from `first` on, by sample index."""
        with self._while_open():
            rows = self._reader.execute(
                "SELECT sample, rollout FROM replies WHERE key = ? AND sample >= ? AND sample < ?",
                (asked.key, first, first + n),
            ).fetchall()
        return {sample: rollout_of(text) for sample, text in rows}

    def addresses(self, model: str, among: int = -1) -> list[str]:
        """Return the addresses under which replies of a model are kept, the first one first.

        Only the first requests of the run are looked at: `among` of them, all with -1, which takes long in a large run.
        """
        query = (
            "SELECT json_extract(asked, '$.address') AS address "
            "FROM (SELECT rowid AS number, asked FROM requests ORDER BY rowid LIMIT ?) "
            "WHERE json_extract(asked, '$.model') = ? GROUP BY address ORDER BY MIN(number)"
        )
        with self._while_open():
            rows = self._reader.execute(query, (among, model)).fetchall()
        return [address for (address,) in rows]

    @asynccontextmanager
    async def turn(self, asked: Asked, samples: range) -> AsyncIterator[None]:
        """Let one caller at a time ask for the same reply: the second finds what the first has paid for.

        This holds on each event loop; two loops that ask the same at the same moment both pay, and the first reply is
        kept.
        """
        key = (id(asyncio.get_running_loop()), asked.key)
        while ends := [end for other, end in self._turns.get(key, ()) if _overlap(other, samples)]:
            await ends[0].wait()
        own = samples, asyncio.Event()
        self._turns.setdefault(key, []).append(own)
        try:
            yield
        finally:
            own[1].set()
            self._turns[key].remove(own)
            if not self._turns[key]:
                del self._turns[key]

    async def keep(self, asked: Asked, replies: Mapping[int, Rollout]) -> None:
        """Return when `replies`, by sample index, are on disk. Raises StoreError when they cannot be."""
        rows = [(sample, rollout_text(rollout)) for sample, rollout in replies.items()]
        job = _Job(asked, rows, asyncio.get_running_loop().create_future())
        with self._while_open():
            self._waiting.put(job)
        await job.done  # a cancelled caller loses its reply, but the row that is being written is still written

    def begin(self, most: Usage) -> int:
        """Write down that a request that may cost `most` is about to be sent, and return its number.

        Raises StoreError when it cannot be written; then the request must not be sent.
        """
        with self._while_open():
            number = next(self._numbers)
            self._journal.add(number, most)
            return number

    def settle(self, number: int, usage: Usage) -> None:
        """Book what the request of that number cost: it is written with the next reply that is kept, or at the end.

        Until then the journal has the most it can be.
        """
        self._settled.append(files.row(number, usage))

    def _write(self, connection: sqlite3.Connection) -> None:
        """Run the writer thread: everything that waits goes into one transaction, since the fsync is what costs."""
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
            self._commit(connection, [])  # bookings that no reply came after
        finally:
            connection.close()

    def _commit(self, connection: sqlite3.Connection, batch: list[_Job]) -> None:
        bookings = [self._settled.popleft() for _ in range(len(self._settled))]
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(files.BOOK, bookings)
            for job in batch:
                asked = job.asked
                connection.execute("INSERT OR IGNORE INTO requests VALUES (?, ?)", (asked.key, asked.json))
                connection.executemany("INSERT OR IGNORE INTO parts VALUES (?, ?)", asked.parts.items())
                rows = [(asked.key, sample, text) for sample, text in job.replies]
                connection.executemany("INSERT OR IGNORE INTO replies VALUES (?, ?, ?)", rows)
            connection.execute("COMMIT")
        except Exception as error:  # whatever it is, nobody may wait for ever
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            self._settled.extendleft(reversed(bookings))
            failure = StoreError(
                f"a reply could not be written to {self.path}: {error}. What was written before is intact; make "
                "room or fix the folder, and run again to go on from there"
            )
            _tell(batch, failure)
        else:
            self._journal.booked(row[0] for row in bookings)
            _tell(batch, None)

    def close(self) -> None:
        """Wait for what is being written, then let others open the run."""
        with self._using:
            self._closed = True
        self._waiting.put(None)
        self._writer.join()
        self._reader.close()
        self._journal.close()
        self._lock.release()


def _overlap(first: range, second: range) -> bool:
    return max(first.start, second.start) < min(first.stop, second.stop)


def _tell(batch: list[_Job], failure: StoreError | None) -> None:
    """Wake those who wait for this batch: each event loop once, since waking one takes a system call."""
    waiting: dict[asyncio.AbstractEventLoop, list[asyncio.Future[None]]] = {}
    for job in batch:
        waiting.setdefault(job.done.get_loop(), []).append(job.done)
    for loop, futures in waiting.items():
        with suppress(RuntimeError):  # closed meanwhile: nobody waits any more
            loop.call_soon_threadsafe(_finish, futures, failure)


def _finish(futures: list[asyncio.Future[None]], failure: StoreError | None) -> None:
    for future in futures:
        if future.done():  # its caller was cancelled
            continue
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)


class Recording:
    """The replies of a run, opened for reading only; another process may be writing them."""

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder).expanduser().resolve() / "replies.sqlite"
        try:
            ((version,),) = self._read("PRAGMA user_version")
        except sqlite3.Error as error:
            raise StoreError(f"run={str(folder)!r} has no replies that can be read: {error} ({self.path})") from None
        files.check_version(version, self.path)

    def _read(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        # A connection for each: it belongs to no thread, and nobody has to close a Recording.
        with closing(sqlite3.connect(f"{self.path.as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            return connection.execute(query, values).fetchall()

    def requests(self) -> list[tuple[str, dict[str, Any]]]:
        """Return (key, what was asked) of every request, in the order in which they were first answered."""
        return [(key, json.loads(text)) for key, text in self._read("SELECT key, asked FROM requests ORDER BY rowid")]

    def replies(self, key: str) -> dict[int, Rollout]:
        """Return the replies to a request, by sample index."""
        rows = self._read("SELECT sample, rollout FROM replies WHERE key = ? ORDER BY sample", key)
        return {sample: rollout_of(text) for sample, text in rows}


def rollout_text(rollout: Rollout) -> str:
    """Write a rollout as JSON."""
    return json.dumps(rollout, default=_fields)


def _fields(value: Any) -> Any:
    """Convert to a dict, as dataclasses.asdict does, which copies every value deeply and takes ten times as long.

    A number of another library's, which a model of the user's own may give, becomes one of Python's.
    """
    if not is_dataclass(value):
        return value.item() if hasattr(value, "item") else repr(value)
    return {field.name: getattr(value, field.name) for field in fields(value)}


def rollout_of(text: str) -> Rollout:
    """Make the rollout again that `rollout_text` wrote."""
    return Rollout.from_json(json.loads(text))
