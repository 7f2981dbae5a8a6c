"""Work that hands out results on its way: as an asynchronous generator, and as a blocking iterator.

The work is a task of its own, so that it has one context from beginning to end, whoever asks for the next result.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import wait
from typing import Any, Final, ParamSpec, TypeVar

from catlite import concurrency

P = ParamSpec("P")
T = TypeVar("T")


class _End:
    """Stands after the last result."""


_END: Final = _End()


async def emitted(work: Callable[[Callable[[T], None]], Coroutine[Any, Any, object]]) -> AsyncGenerator[T, None]:
    """Run `work(emit)` and yield what it emits, as it does; an error of `work` is raised after that.

    Closing the generator cancels `work` and waits until it has cleaned up. What is emitted waits in memory.

    Example:
        >>> async for piece in emitted(write_a_poem):
        ...     print(piece, end="")
    """
    results: asyncio.Queue[T | _End] = asyncio.Queue()
    task = asyncio.create_task(work(results.put_nowait))

    def finish(task: asyncio.Task[object]) -> None:
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio would complain when nobody waits any more
        results.put_nowait(_END)

    task.add_done_callback(finish)
    try:
        while not isinstance(result := await results.get(), _End):
            yield result
        await task
    finally:
        task.cancel()
        await asyncio.wait([task])


def iterate(results: AsyncGenerator[T, None]) -> Generator[T, None, None]:
    """Yield `results`, made on the background loop, to a thread that waits; closing the iterator closes them."""
    waited = concurrency.Job()

    async def step() -> T | _End:
        return await anext(results, _END)

    try:
        while not isinstance(result := concurrency.run(step(), waited), _End):
            yield result
    finally:
        background = concurrency.thread()
        if background is not None:  # else the loop closed them at its end, which is that of the program
            closing = concurrency.start(_close(results))
            if threading.current_thread() is not background:  # the garbage collector may close this on any thread
                wait([closing], concurrency.GRACE_SECONDS)


async def _close(results: AsyncGenerator[Any, None]) -> None:
    await results.aclose()


def iterating(work: Callable[P, AsyncGenerator[T, None]]) -> Callable[P, Generator[T, None, None]]:
    """Make the blocking twin of a function that returns an asynchronous generator, as `concurrency.blocking` does.

    Example:
        >>> stream = iterating(astream)
    """
    return concurrency.twin(work, iterate)
