"""One run that many processes work on: its folder on shared storage, its limiter, and what each process has of it.

Nothing here knows Ray: a limiter is whatever carries a report to it. Left out: object stores such as S3.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from catlite import concurrency
from catlite.checks import whole_number
from catlite.errors import ConfigError, StoreError
from catlite.runs import session
from catlite.runs.budget import Budget
from catlite.runs.shared import PromptStore, append, digest_of
from catlite.scale.leases import LeasedLedger, Report

S = TypeVar("S")
T = TypeVar("T")
_LOOK_SECONDS = 5.0  # how long a network's file system may take to show a new file
_PARTS = itertools.count()  # of this process
_STORAGE_THREADS = 8  # of a process, each of which waits for one file


@dataclass(frozen=True)
class SharedRun:
    """A run on storage that every node sees at the same path; made by `open_run`.

    Args:
        folder: the folder.
        name: of this part of the run; a run that goes on after a restart has several.
        budget: the caps; None for none.
        report: carries a report to the limiter; pickled with the run.
        place: names the place where it is called, such as an actor; each process that is started there again has it.

    Example:
        >>> run = ray_data.open_run("/mnt/shared/questions", budget=catlite.Budget(usd=20))
    """

    folder: Path
    name: str
    budget: Budget | None
    report: Report
    place: Callable[[], str]

    @property
    def books(self) -> Path:
        """The file of what was leased, which also tells whether this is the folder that the driver sees."""
        return self.folder / "books" / f"{self.name}.jsonl"

    def check(self) -> None:
        """Raise ConfigError unless this machine sees the folder of the machine that opened the run."""
        end = time.monotonic() + _LOOK_SECONDS
        while not self.books.exists():
            if time.monotonic() > end:
                raise ConfigError(
                    f"the run's folder {self.folder} is not shared: node {socket.gethostname()} does not see what the "
                    "driver wrote there. Give a folder on storage that all nodes mount at the same path, such as NFS"
                )
            time.sleep(0.1)


def check_run(folder: str | Path, budget: Budget | None, max_calls: int | None = None) -> Path:
    """Return the folder of a run, resolved.

    Raises ConfigError for a folder that is no path of a file system, or a wrong limit; StoreError for one with replies
    of a run without Ray.
    """
    if not isinstance(folder, str | Path) or "://" in str(folder):
        raise ConfigError(f"run={str(folder)!r:.80}: want a folder that all nodes mount, not the address of a store")
    if not isinstance(budget, Budget | None):
        raise ConfigError(f"budget={budget!r:.60}: want Budget(usd=…), Budget(tokens=…) or Budget(requests=…)")
    if max_calls is not None:
        whole_number("max_calls", max_calls)
    path = Path(folder).expanduser().resolve()
    if (path / "replies.sqlite").exists():
        raise StoreError(
            f"run={str(folder)!r} has the replies of a run without Ray: go on with it there, or give this run another "
            "folder"
        )
    return path


def make_run(
    folder: str | Path, budget: Budget | None, start: Callable[[Path], Report], place: Callable[[], str]
) -> SharedRun:
    """Make the folder of a run and the file by which others know it; `start` starts the limiter that writes there.

    Raises what `check_run` raises, and StoreError when the folder cannot be written.
    """
    name = f"{time.time_ns():x}-{os.urandom(4).hex()}"
    run = SharedRun(check_run(folder, budget), name, budget, _nobody, place)
    try:
        append(run.books, [])
    except OSError as error:
        raise StoreError(f"run={str(folder)!r} cannot be used: {error.strerror}: {run.books}") from None
    return replace(run, report=start(run.books))


def _nobody(*_: Any) -> Any:
    raise StoreError("no limiter counts what this run spends: open it with catlite.scale.ray_data.open_run")


class Part:
    """What one process has of a run: an event loop, a lease, and threads that wait for the storage.

    Args:
        run: the run; None keeps nothing and limits nothing.
        at_once: questions under way; further ones wait.

    Raises:
        ConfigError: when the folder of the run is not shared.
    """

    def __init__(self, run: SharedRun | None, at_once: int) -> None:
        self.run = run
        if run is not None:
            run.check()
        # A loop of our own: that of whoever calls may be blocked, and reports have to go on.
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="catlite-part", daemon=True).start()
        self.ledger = None if run is None else LeasedLedger(run.budget, run.report, f"{run.place()} {next(_PARTS)}")
        self._threads = ThreadPoolExecutor(_STORAGE_THREADS, thread_name_prefix="catlite-storage")
        self._turns = asyncio.Semaphore(at_once)
        # Of questions under way, so that rows with the same one wait for each other's replies.
        self._stores: WeakValueDictionary[str, PromptStore] = WeakValueDictionary()

    async def each(self, work: Callable[[S], Coroutine[Any, Any, T]], items: Sequence[S]) -> list[T]:
        """Do `work` on every item, on the loop of this part, and return the results in order."""

        async def one_by_one(item: S) -> T:
            async with self._turns:
                return await work(item)

        done = concurrency.each(one_by_one, items, len(items))
        results = await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(done, self.loop))
        if self.ledger is not None and self.ledger.in_flight == 0:
            await asyncio.to_thread(self.ledger.exchange)  # the last one to end gives back what is left
        return results

    @asynccontextmanager
    async def question(self, *name: Any) -> AsyncIterator[str]:
        """Keep the replies of the calls in the block under `name`, book what they cost, and yield a digest of it.

        Args:
            *name: what tells the question from others, as JSON takes it.
        """
        digest = digest_of(name)
        if self.run is None or self.ledger is None:
            yield digest
            return
        path = self.run.folder / "replies" / digest[:3] / f"{digest[3:]}.jsonl"
        store = self._stores.setdefault(digest, PromptStore(path, self.ledger.account, self._threads))
        await store.load()
        with session.changed(store=store, ledger=self.ledger):
            yield digest
