"""The HTTP clients of litellm, kept by event loop and closed with it; importing this module imports litellm.

On its own, litellm keeps its clients for the whole process, tells loops apart by `id()`, which a new loop may have from
one that ended, and closes clients at exit at best, on another loop. So it gets this cache in place of its own.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import weakref
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import litellm
from litellm.caching.llm_caching_handler import LLMClientCache


@dataclass
class _OfLoop:
    number: int
    clients: list[Any] = field(default_factory=list)
    lifetime: AsyncGenerator[None, None] | None = None


class LoopClients(LLMClientCache):
    """A client cache for litellm whose entries belong to one event loop and are closed when that loop ends."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count()
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _OfLoop] = weakref.WeakKeyDictionary()

    def update_cache_key_with_event_loop(self, key: str) -> str:
        """Add a number to the key that no other loop of this process ever has."""
        here = self._here()
        return key if here is None else f"{key}-{here.number}"

    def set_cache(self, key: str, value: Any, *args: Any, **kwargs: Any) -> Any:
        """Keep a client, and note it for the end of the running loop."""
        here = self._here()
        if here is not None:
            here.clients.append(value)
        return super().set_cache(key, value, *args, **kwargs)

    def _here(self) -> _OfLoop | None:
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:  # a synchronous client, which needs no loop to close
            return None
        if running not in self._loops:
            here = self._loops[running] = _OfLoop(next(self._numbers))
            here.lifetime = _lifetime(here.clients)
            # A generator that has begun is ended by its loop; up to its first yield this one waits for nothing.
            with suppress(StopIteration):
                anext(here.lifetime).__await__().send(None)
        return self._loops[running]


async def _lifetime(clients: list[Any]) -> AsyncGenerator[None, None]:
    """Close the clients at its own end, which is the loop's."""
    try:
        yield
    finally:
        for client in clients:
            with suppress(Exception):  # the others are closed all the same
                closing = client.close()
                if inspect.isawaitable(closing):
                    await closing
        await asyncio.sleep(0)  # a transport that was told to close does so in the loop's next round


litellm.in_memory_llm_clients_cache = LoopClients()
