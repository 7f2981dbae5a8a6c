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
    """The client of one event loop, and the limit on its requests in flight."""

    slots: concurrency.Slots
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    client: Client | None = None
    lifetime: AsyncGeneratorType[None, None] | None = None

    async def open(self, client: Client) -> None:
        """Take `client` into use."""
        self.client, self.lifetime = client, cast(AsyncGeneratorType[None, None], _lifetime(client))
        await anext(self.lifetime)

    async def close(self) -> None:
        """Close the client, if there is one and the loop, as it ends, is not closing it already."""
        lifetime, self.client, self.lifetime = self.lifetime, None, None
        if lifetime is not None and not lifetime.ag_running:
            await lifetime.aclose()


async def _lifetime(client: Client) -> AsyncGenerator[None, None]:
    """Close `client` at the generator's own end.

    A loop that ends (asyncio.run, our background loop) ends its generators first, and so does one that sees them
    dropped: that closes connections which were left open.
    """
    try:
        yield
    finally:
        await client.close()


class Connections:
    """An endpoint's connections, at most `limit` on each event loop. When dropped, it closes those that are open."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.loops: dict[asyncio.AbstractEventLoop, OnLoop] = {}
        self._lock = threading.Lock()
        # Until this runs, connections stay alive: if dropped without a close they would complain on stderr.
        weakref.finalize(self, _close_soon, self.loops).atexit = False

    @property
    def mine(self) -> OnLoop:
        """The client and the limit of the running loop."""
        running = asyncio.get_running_loop()
        with self._lock:
            for ended in [loop for loop in self.loops if loop.is_closed()]:
                del self.loops[ended]
            if running not in self.loops:
                self.loops[running] = OnLoop(concurrency.Slots(self.limit))
            return self.loops[running]

    async def client(self, address: Address, make: Callable[[Address], Client]) -> Client:
        """The running loop's client, made on first use and again when the address has changed."""
        own = self.mine
        if own.client is None or own.client.url != address.url:
            async with own.opening:
                if own.client is None or own.client.url != address.url:
                    await own.close()
                    # In a thread: imports take most of a second, in which the caller's loop should not stand still.
                    await own.open(await asyncio.to_thread(make, address))
        assert own.client is not None
        return own.client

    async def close(self) -> None:
        """Close the connections of the running loop; the next call opens new ones, as do calls in flight."""
        own = self.mine
        async with own.opening:
            await own.close()


def _close_soon(loops: dict[asyncio.AbstractEventLoop, OnLoop]) -> None:
    """Close a dropped endpoint's connections, each on its own loop; a loop that has ended has closed them already."""
    for running, connections in list(loops.items()):
        if running.is_running():
            with contextlib.suppress(RuntimeError):
                running.call_soon_threadsafe(_close_now, running, connections)


def _close_now(running: asyncio.AbstractEventLoop, connections: OnLoop) -> None:
    _closing.add(task := running.create_task(connections.close()))
    task.add_done_callback(_closing.discard)


# A loop holds its tasks weakly.
_closing: set[asyncio.Task[None]] = set()
