"""The connections of an endpoint: each event loop has a client and a limit of its own, closed with the loop.

Left out: connections shared between loops, which no HTTP client survives.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from types import AsyncGeneratorType
from typing import cast

from catlite import concurrency
from catlite.models.http.clients import Client
from catlite.models.http.keys import Address


@dataclass
class OnLoop:
    """What an event loop has of its own: a client, and the limit on its requests in flight."""

    slots: concurrency.Slots
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    client: Client | None = None
    lifetime: AsyncGeneratorType[None, None] | None = None

    async def open(self, client: Client) -> None:
        """Takes `client` into use."""
        self.client, self.lifetime = client, cast(AsyncGeneratorType[None, None], _lifetime(client))
        await anext(self.lifetime)

    async def close(self) -> None:
        """Closes the client, if there is one and the loop, as it ends, is not closing it already."""
        lifetime, self.client, self.lifetime = self.lifetime, None, None
        if lifetime is not None and not lifetime.ag_running:
            await lifetime.aclose()


async def _lifetime(client: Client) -> AsyncGenerator[None, None]:
    """Closes `client` at its own end.

    A loop that ends (asyncio.run, our background loop) ends its generators first, and so does one that sees them
    dropped: connections nobody closed are closed all the same.
    """
    try:
        yield
    finally:
        await client.close()


class Connections:
    """One endpoint's, by event loop; `limit` holds on each. Dropped, it closes what is open."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.loops: dict[asyncio.AbstractEventLoop, OnLoop] = {}
        self._lock = threading.Lock()
        # Until this runs, connections stay alive: dropped without a close they would complain on stderr.
        weakref.finalize(self, _close_soon, self.loops).atexit = False

    @property
    def mine(self) -> OnLoop:
        """What the running loop has."""
        running = asyncio.get_running_loop()
        with self._lock:
            for ended in [known for known in self.loops if known.is_closed()]:
                del self.loops[ended]
            if running not in self.loops:
                self.loops[running] = OnLoop(concurrency.Slots(self.limit))
            return self.loops[running]

    async def client(self, where: Address, make: Callable[[Address], Client]) -> Client:
        """The running loop's client, made on first use and again when the address has changed."""
        mine = self.mine
        if mine.client is not None and mine.client.url == where.url:
            return mine.client
        async with mine.opening:
            if mine.client is None or mine.client.url != where.url:
                await mine.close()
                # In a thread: imports take most of a second, in which the caller's loop should not stand still.
                await mine.open(await asyncio.to_thread(make, where))
            assert mine.client is not None
            return mine.client

    async def close(self) -> None:
        """Closes the connections of the running loop; the next call opens new ones, as do calls in flight."""
        mine = self.mine
        async with mine.opening:
            await mine.close()


def _close_soon(loops: dict[asyncio.AbstractEventLoop, OnLoop]) -> None:
    """Closes what a dropped endpoint has open, each on its own loop; a loop that has ended has closed it already."""
    for running, connections in list(loops.items()):
        if running.is_running():
            with contextlib.suppress(RuntimeError):
                running.call_soon_threadsafe(_close_now, running, connections)


def _close_now(running: asyncio.AbstractEventLoop, connections: OnLoop) -> None:
    _closing.add(task := running.create_task(connections.close()))
    task.add_done_callback(_closing.discard)


# A loop holds its tasks weakly.
_closing: set[asyncio.Task[None]] = set()
