"""Blocking calls: one background event loop on a daemon thread, on which they wait for asynchronous work.

A script has no loop, Jupyter has a running one, and a web service has one that must not be blocked for long. A loop of
our own serves all three without patching asyncio. Asynchronous callers await the core on their own loop instead.
"""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import functools
import heapq
import inspect
import itertools
import os
import re
import threading
import time
import warnings
from collections.abc import Callable, Coroutine, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from catlite import tracebacks
from catlite.errors import CatliteError, ConfigError, ends_run

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")

# After an interrupt: how long running calls get to close their sockets before the caller has control again.
GRACE_SECONDS = 1.0
TICK_SECONDS = 0.25  # between two looks at what is to be shown while a caller waits


class _Background:
    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._serve, name="catlite-loop", daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        ended = False
        while not ended:
            # A task's SystemExit or KeyboardInterrupt ends the loop: it runs again, since that task's caller waits for
            # its error, and others for tasks of their own.
            with suppress(KeyboardInterrupt, SystemExit):
                self.loop.run_forever()
                ended = True
        self.loop.close()

    @property
    def alive(self) -> bool:
        # A forked child inherits this object but not the thread.
        return self.pid == os.getpid() and self.thread.is_alive()

    def stop(self) -> None:
        if not self.alive:
            return
        asyncio.run_coroutine_threadsafe(_cancel_others(), self.loop)
        self.thread.join(2 * GRACE_SECONDS)


@dataclass(eq=False)
class _Place:
    """Where a question stands in line for something scarce; lower goes first."""

    number: int = 0
    order: int = 0  # as `number`, but the same for all of the last ones
    served: int = 0  # requests that are done


_place: contextvars.ContextVar[_Place | None] = contextvars.ContextVar("catlite_place", default=None)


def question() -> object:
    """Give an object that stands for the question being worked on; None outside of `each`."""
    return _place.get()


class Line:
    """A line of one event loop for something scarce, in the order of the questions, so that the first finish first.

    Of the last questions, when no further one waits to begin, the one with the fewest requests so far goes first: it
    has the most stages left, and connections would be idle at the end while it goes through them.
    """

    def __init__(self, more: Callable[[], bool] = lambda: False) -> None:
        self._more = more  # whether others may be served where the first in line is not
        self._waiting: list[tuple[int, int, int, int, Callable[[], Any], asyncio.Future[Any]]] = []
        self._arrivals = itertools.count()

    async def wait(self, take: Callable[[], T | None], give_back: Callable[[T], object]) -> T:
        """Return what `take` gives, now or as soon as it gives something in its turn; `give_back` undoes it."""
        if (taken := take()) is not None:
            return taken
        granted: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        place = _place.get() or _Place()
        heapq.heappush(self._waiting, (place.order, place.served, place.number, next(self._arrivals), take, granted))
        try:
            return await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled() and granted.exception() is None:  # granted at the same time
                give_back(granted.result())
                self.serve()
            raise

    def serve(self) -> None:
        """Let those who wait take what has become free; whose `take` raises gets that error."""
        passed: list[Any] = []
        while self._waiting and (not passed or self._more()):
            *_, take, granted = entry = heapq.heappop(self._waiting)
            if granted.done():
                continue
            try:
                taken = take()
                passed.append(entry) if taken is None else granted.set_result(taken)
            except CatliteError as error:
                granted.set_exception(error)
        for entry in passed:
            heapq.heappush(self._waiting, entry)

    def leave(self) -> None:
        """Count a request of the question as done, and serve the next."""
        if (place := _place.get()) is not None:
            place.served += 1
        self.serve()


class Slots(Line):
    """A semaphore of one event loop."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self._free = limit

    async def __aenter__(self) -> None:
        await self.wait(lambda: self._change(-1), lambda _: self._change(1))

    async def __aexit__(self, *_: object) -> None:
        self._change(1)
        self.leave()

    def _change(self, by: int) -> bool | None:
        fits = self._free + by >= 0
        self._free += by * fits
        return fits or None


async def together(work: Iterable[Coroutine[Any, Any, T]], *, at_once: bool = False) -> list[T]:
    """Run all of `work` at once and return the results in order; the first failure cancels the rest and is raised.

    One that ends a run (no budget, no credit) cancels what is under way, and is being paid for, only with `at_once`.
    """
    failures: list[BaseException] = []

    async def end(coroutine: Coroutine[Any, Any, T]) -> Any:
        try:
            return await coroutine
        except CatliteError as error:
            if at_once or not ends_run(error):
                raise
            failures.append(error)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(end(coroutine)) for coroutine in work]
    except BaseExceptionGroup as raised:
        failures = [*raised.exceptions]
    if failures:  # outside the handler, so that no traceback says "during handling of an ExceptionGroup"
        raise failures[0]
    return [task.result() for task in tasks]


async def each(work: Callable[[S], Coroutine[Any, Any, T]], items: Sequence[S], workers: int) -> list[T]:
    """Do `work` on every item and return the results in order; the first failure cancels the rest and is raised.

    At most `workers` are under way, so that memory does not grow with the number of items.
    """
    results: dict[int, T] = {}
    waiting = iter(enumerate(items))
    last = max(0, len(items) - workers)

    async def worker() -> None:
        for position, item in waiting:
            _place.set(_Place(position, min(position, last)))
            results[position] = await work(item)

    await together((worker() for _ in range(min(workers, len(items)))), at_once=True)
    return [results[position] for position in range(len(items))]


@dataclass(eq=False)
class Job:
    """The work that a caller of `run` waits for: how far it is, where it is kept, and the views that show it."""

    caller: threading.Thread = field(default_factory=threading.current_thread)
    frame: FrameType | None = None  # the caller's own, whose line waits
    started: float = field(default_factory=time.monotonic)
    done: int = 0
    total: int | None = None  # questions; None where there is only one
    kept: str | None = None  # the folder in which replies are kept as they arrive
    kept_known: bool = False  # whether `kept` says so: training keeps replies elsewhere
    waits_for: str = ""  # what takes long, for whoever shows how far it is
    views: list[Callable[[], None]] = field(default_factory=list)  # called again and again by the thread that waits

    def show(self) -> None:
        """Draw every view; one that fails is dropped, since work goes on without it."""
        for view in list(self.views):
            try:
                view()
            except Exception:  # a terminal that is gone must not end the work
                self.views.remove(view)

    def stopped(self) -> str:
        """Describe how far the work was when it was interrupted, and where it is kept."""
        far = f"stopped after {time.monotonic() - self.started:.0f} s"
        if self.total is not None:
            far = f"stopped at {self.done} of {self.total}"
        if self.kept is not None:
            return f"{far}; kept in {self.kept!r}, the same call goes on"
        if not self.kept_known:
            return far
        return f"{far}; nothing kept" + ("" if self.total is None else ": pass run=")


_job: contextvars.ContextVar[Job | None] = contextvars.ContextVar("catlite_job", default=None)


def job() -> Job | None:
    """Give the Job that a thread waits for in `run`; None in work that is awaited on another loop."""
    return _job.get()


def warn(message: str, category: type[Warning]) -> None:
    """Warn at the line of the caller's own code: in an estimator that is running, else at the blocking call."""
    waited = _job.get()
    frame = tracebacks.callers_frame() or (waited.frame if waited is not None else None)
    if frame is None:
        warnings.warn(message, category, stacklevel=2)
        return
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    module = frame.f_globals.get("__name__", "__main__")
    warnings.warn_explicit(message, category, frame.f_code.co_filename, frame.f_lineno, module, registry)


async def _cancel_others() -> None:
    """Cancel all other tasks, then end the loop."""
    loop = asyncio.get_running_loop()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=GRACE_SECONDS)
    await loop.shutdown_asyncgens()
    await asyncio.sleep(0.01)  # sockets close in the next rounds of the loop
    loop.call_soon(loop.stop)


_lock = threading.Lock()
_background: _Background | None = None


def _get() -> _Background:
    global _background
    with _lock:
        if _background is None or not _background.alive:
            _background = _Background()
            atexit.register(_background.stop)
        return _background


def run(work: Coroutine[Any, Any, T], waited: Job | None = None) -> T:
    """Run `work` on the background loop and return its result; safe from any thread.

    Ctrl-C cancels `work`, waits up to GRACE_SECONDS for it to clean up, and raises KeyboardInterrupt, which says how
    far it was and what is kept. The traceback of an error is shortened (see tracebacks.py).

    Args:
        work: a coroutine.
        waited: the Job that `work` is a part of; None makes one.

    Raises:
        ConfigError: when called from the background loop itself, where waiting would never end.
    """
    background = _get()
    if threading.current_thread() is background.thread:
        work.close()
        raise ConfigError(
            "a blocking catlite function was called from inside catlite's own event loop "
            "(an estimator or a reward, perhaps): await its asynchronous form there, asynthesize() for synthesize()"
        )
    finished = threading.Event()
    task: asyncio.Task[T] | None = None
    waited = waited or Job()
    waited.frame = tracebacks.callers_frame()
    context = contextvars.copy_context()
    context.run(_job.set, waited)

    def finish(task: asyncio.Task[T]) -> None:
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio would complain when the caller has stopped waiting
        finished.set()

    def start() -> None:
        nonlocal task
        task = background.loop.create_task(work)
        task.add_done_callback(finish)

    try:
        background.loop.call_soon_threadsafe(start, context=context)
        while not finished.wait(TICK_SECONDS):
            waited.show()
    except BaseException as error:
        message = waited.stopped()
        background.loop.call_soon_threadsafe(lambda: task.cancel() if task is not None else None)
        finished.wait(GRACE_SECONDS)
        if isinstance(error, KeyboardInterrupt):
            raise tracebacks.interrupted(message) from None
        raise
    finally:
        waited.show()
        # A connection keeps the context it was opened in, and so this Job; it must not keep the caller's variables.
        waited.frame = None
        waited.views.clear()
    assert task is not None
    failure = None if task.cancelled() else task.exception()
    if failure is not None:
        raise failure.with_traceback(tracebacks.without_own_frames(failure))
    return task.result()


def start(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Start `work` on the background loop, from any thread; cancelling the future that is returned cancels `work`."""
    return asyncio.run_coroutine_threadsafe(work, _get().loop)


def thread() -> threading.Thread | None:
    """Return the thread of the background loop; None when there is none, or no longer."""
    return _background.thread if _background is not None and _background.alive else None


def blocking(work: Callable[P, Coroutine[Any, Any, T]], **prepare: Callable[[Any], Any]) -> Callable[P, T]:
    """Make the blocking twin of a coroutine function, with its signature and its docstring.

    Args:
        work: the coroutine function, whose name is that of the twin with an "a" before it.
        **prepare: by an argument's name, a function that the caller's own thread applies to it first, in the order
            written here. A key comes first, so that it is hidden before anything can fail; a task that takes long to
            read does not hold up the loop.

    Returns:
        A function that calls `work`, waits for it on the background loop and returns its result.
    """
    return twin(work, run, **prepare)


def twin(work: Callable[P, S], finish: Callable[[S], T], **prepare: Callable[[Any], Any]) -> Callable[P, T]:
    """Make the twin of `work` that returns what `finish` makes of its result; otherwise as `blocking`."""
    name = work.__name__.removeprefix("a")
    signature = inspect.signature(work)

    @functools.wraps(work)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        prepared = [argument for argument in prepare if argument in kwargs]
        for argument in prepared:
            kwargs[argument] = prepare[argument](kwargs[argument])
        try:
            bound, wrong = signature.bind(*args, **kwargs), ""
        except TypeError as error:
            bound, wrong = None, f"{name}() {error}"
        args = kwargs = None  # type: ignore[assignment]
        if bound is None:
            raise TypeError(wrong)
        for argument in prepare:
            if argument in bound.arguments and argument not in prepared:
                bound.arguments[argument] = prepare[argument](bound.arguments[argument])
        result = work(*bound.args, **bound.kwargs)
        del bound
        return finish(result)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = blocking_docstring(work.__doc__ or "", name)
    return call


def blocking_docstring(docstring: str, name: str) -> str:
    """Word a coroutine function's docstring for its blocking twin `name`; the API page of the docs does the same."""
    docstring = docstring.replace(
        f"To be awaited: `{name}` is the same, blocking.",
        f"For scripts, notebooks and threads: `a{name}` is the same, awaited. Ctrl-C cancels what is in flight.",
    )
    docstring = re.sub(rf"\basync (for \w+ in catlite\.)a{name}\(", rf"\1{name}(", docstring)
    return re.sub(rf"\bawait catlite\.(?:\w+\.)*a{name}\(", f"catlite.{name}(", docstring)
