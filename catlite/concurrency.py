"""The sync face: one background event loop, so that blocking calls work everywhere.

A script has no loop, Jupyter has one that is running, a web service has one that must not be blocked for
long; a loop of our own, on a daemon thread, serves all three without patching asyncio. Asynchronous callers
do not come through here: they await the core on their own loop.
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
from dataclasses import dataclass, field
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from catlite import tracebacks
from catlite.errors import ConfigError

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")

# After an interrupt: how long running calls get to close their sockets before the caller has control again.
GRACE_SECONDS = 1.0
TICK_SECONDS = 0.25  # between two looks at what is to be shown while a caller waits


class _Background:
    """An event loop on a daemon thread."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._serve, name="catlite-loop", daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            while not self._served():
                pass
        finally:
            self.loop.close()

    def _served(self) -> bool:
        """Runs the loop; False where a task's SystemExit or KeyboardInterrupt has thrown asyncio out of it.

        Its caller has yet to hear of that, and others wait for tasks of their own.
        """
        try:
            self.loop.run_forever()
        except (KeyboardInterrupt, SystemExit):
            return False
        return True

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
    """What stands for the question being worked on, None outside of `each`."""
    return _place.get()


class Slots:
    """A semaphore whose waiters go in the order of their questions, so that first questions finish first.

    Among the last ones, with no further question waiting to begin, the least served goes first: the longer chain of
    stages is still before it, and one that began last would leave connections empty at the end. Belongs to one event
    loop.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: list[tuple[int, int, int, int, asyncio.Future[None]]] = []
        self._arrivals = itertools.count()

    async def __aenter__(self) -> None:
        if self._free > 0:
            self._free -= 1
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = _place.get() or _Place()
        heapq.heappush(self._waiting, (place.order, place.served, place.number, next(self._arrivals), granted))
        try:
            await granted
        except asyncio.CancelledError:
            if granted.done() and not granted.cancelled():  # granted and cancelled in one breath: passed on
                self._release()
            raise

    async def __aexit__(self, *_: object) -> None:
        place = _place.get()
        if place is not None:
            place.served += 1
        self._release()

    def _release(self) -> None:
        while self._waiting:
            granted = heapq.heappop(self._waiting)[-1]
            if not granted.done():
                granted.set_result(None)
                return
        self._free += 1


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Results of all of `work`, run at once, in order; the first failure cancels the rest and is raised alone."""
    failure: BaseException
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in work]
    except BaseExceptionGroup as failures:
        failure = failures.exceptions[0]
    else:
        return [task.result() for task in tasks]
    # Raised outside the handler: nobody wants to read "during handling of an ExceptionGroup".
    raise failure


async def each(work: Callable[[S], Coroutine[Any, Any, T]], items: Sequence[S], workers: int) -> list[T]:
    """`work` on every item, in order, with at most `workers` under way, so that memory does not grow with items.

    The first failure cancels what is under way and is raised.
    """
    results: dict[int, T] = {}
    waiting = iter(enumerate(items))
    last = max(0, len(items) - workers)

    async def worker() -> None:
        for position, item in waiting:
            _place.set(_Place(position, min(position, last)))
            results[position] = await work(item)

    await together(worker() for _ in range(min(workers, len(items))))
    return [results[position] for position in range(len(items))]


@dataclass(eq=False)
class Job:
    """What a caller of `run` waits for: how far it is, where it is kept, and what shows that."""

    caller: threading.Thread = field(default_factory=threading.current_thread)
    frame: FrameType | None = None  # the caller's own, whose line waits
    started: float = field(default_factory=time.monotonic)
    done: int = 0
    total: int | None = None  # questions; None where there is only one
    kept: str | None = None  # the folder in which replies are kept as they arrive
    kept_known: bool = False  # whether `kept` says so: training keeps replies elsewhere
    views: list[Callable[[], None]] = field(default_factory=list)  # called again and again by the thread that waits

    def show(self) -> None:
        """Has every view drawn; one that cannot be drawn is left out, since work goes on without it."""
        for view in list(self.views):
            try:
                view()
            except Exception:  # a terminal that is gone must not cost what is under way
                self.views.remove(view)

    def stopped(self) -> str:
        """What an interrupt leaves behind, in words."""
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
    """What a thread waits for in `run`; None in work that is awaited on another loop."""
    return _job.get()


def warn(message: str, category: type[Warning]) -> None:
    """Warns at the line of the caller's own code: of an estimator that is running, else of the blocking call.

    Args:
        message: what a reader has to know.
        category: the kind of warning, by which it can be filtered.
    """
    waited = _job.get()
    frame = tracebacks.callers_frame() or (waited.frame if waited is not None else None)
    if frame is None:
        warnings.warn(message, category, stacklevel=2)
        return
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    module = frame.f_globals.get("__name__", "__main__")
    warnings.warn_explicit(message, category, frame.f_code.co_filename, frame.f_lineno, module, registry)


async def _cancel_others() -> None:
    """Ends what still runs, then the loop."""
    loop = asyncio.get_running_loop()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=GRACE_SECONDS)
    await loop.shutdown_asyncgens()
    await asyncio.sleep(0.01)  # sockets that were told to close do so in the loop's next rounds
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


def run(work: Coroutine[Any, Any, T]) -> T:
    """Runs `work` on the background loop and returns its result; safe from any thread.

    Ctrl-C cancels `work`, waits up to GRACE_SECONDS for it to clean up, and raises KeyboardInterrupt, which says how
    far it was and what is kept. An error loses the frames that tell its reader nothing (see tracebacks.py).
    Raises ConfigError when called from the background loop itself, where waiting would never end.
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
    waited = Job(frame=tracebacks.callers_frame())
    context = contextvars.copy_context()
    context.run(_job.set, waited)

    def finish(task: asyncio.Task[T]) -> None:
        if not task.cancelled():
            task.exception()  # retrieved: asyncio would complain about it when nobody waits any more
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
        # A connection keeps the context it was opened in, and so this Job: not the caller's variables, too.
        waited.frame = None
        waited.views.clear()
    assert task is not None
    failure = None if task.cancelled() else task.exception()
    if failure is not None:
        raise failure.with_traceback(tracebacks.without_own_frames(failure))
    return task.result()


def blocking(work: Callable[P, Coroutine[Any, Any, T]], **prepare: Callable[[Any], Any]) -> Callable[P, T]:
    """Make the blocking twin of a coroutine function, with its signature and its docstring.

    Args:
        work: the coroutine function, whose name is that of the twin with an "a" before it.
        **prepare: by an argument's name, a function that the caller's own thread applies to it first. Keys are hidden
            that way before anything can fail, and a task that takes long to read does not hold up the loop.

    Returns:
        A function that calls `work`, waits for it on the background loop and returns its result.

    Example:
        >>> synthesize = blocking(asynthesize)
    """
    name = work.__name__.removeprefix("a")
    signature = inspect.signature(work)

    @functools.wraps(work)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        bound = signature.bind(*args, **kwargs)
        args = kwargs = None  # type: ignore[assignment] # no frame of a traceback keeps a key
        for argument, change in prepare.items():
            if argument in bound.arguments:
                bound.arguments[argument] = change(bound.arguments[argument])
        coroutine = work(*bound.args, **bound.kwargs)
        del bound
        return run(coroutine)

    call.__name__ = call.__qualname__ = name
    call.__doc__ = blocking_docstring(work.__doc__ or "", name)
    return call


def blocking_docstring(docstring: str, name: str) -> str:
    """Word a coroutine function's docstring for its blocking twin `name`; the API page of the docs does the same."""
    docstring = docstring.replace(
        f"To be awaited: `{name}` is the same, blocking.",
        f"For scripts, notebooks and threads: `a{name}` is the same, awaited. Ctrl-C cancels what is in flight.",
    )
    return re.sub(rf"\bawait catlite\.(?:\w+\.)*a{name}\(", f"catlite.{name}(", docstring)
