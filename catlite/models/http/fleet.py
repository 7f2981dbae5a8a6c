"""Several replicas of one model as one endpoint; pool.py has the rules by which one is chosen, left out, taken back."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, TypeVar

from catlite.data import Prompt
from catlite.errors import ConfigError, EndpointUnavailable
from catlite.models.http.clients import Client
from catlite.models.http.keys import Secret
from catlite.models.http.pool import Member, Pool
from catlite.models.http.prices import Price
from catlite.models.http.replicas import Replica
from catlite.models.http.retry import retrying
from catlite.models.http.service import SERVING, Service, urls_in
from catlite.runs import session
from catlite.runs.store import Store

T = TypeVar("T")


class _Route:
    """The way of one call: which replica has each of its attempts."""

    def __init__(self, pool: Pool, prompt: Prompt) -> None:
        self._pool = pool
        self._prompt = hashlib.blake2b(json.dumps(prompt, default=str).encode(), digest_size=16).digest()
        self._tried: set[Member] = set()
        self._member: Member | None = None

    @property
    def replica(self) -> Replica:
        """The one that has the attempt under way."""
        assert self._member is not None
        return self._member.replica

    def elsewhere(self) -> bool:
        """Whether there is a replica that has not failed yet."""
        return any(member.is_open and member not in self._tried for member in self._pool.members)

    async def __aenter__(self) -> Member:
        await self._pool.ready()
        take = self._pool.take
        self._member = await self._pool.line.wait(lambda: take(self._prompt, self._tried), Member.give_back)
        return self._member

    async def __aexit__(self, *_: object) -> None:
        assert self._member is not None
        self._member.in_flight -= 1
        self._pool.line.leave()


class Fleet(Service):
    """A model at several addresses; the settings are those of Endpoint, connections those to each replica."""

    def __init__(
        self,
        model: str,
        base_url: tuple[Secret, ...],
        api_key: Secret | None,
        max_connections: int,
        timeout: float,
        retry_seconds: float,
        price: Price | None = None,
    ) -> None:
        self.model, self.timeout, self.retry_seconds, self.most_choices = model, timeout, retry_seconds, None
        self.replicas = tuple(
            Replica(model, url, api_key, max_connections, timeout, retry_seconds, price) for url in base_url
        )
        self.max_connections = max_connections * len(self.replicas)
        urls = [replica.shown_address() for replica in self.replicas]
        if twice := sorted({url for url in urls if urls.count(url) > 1}):
            raise ConfigError(f"{twice[0]} is in base_url twice: list each replica once")
        self._start()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_pools", "_kept")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start()

    def __repr__(self) -> str:
        return f"Fleet({self.model!r}, {self.shown_address()!r})"

    def _start(self) -> None:
        self._pools: dict[asyncio.AbstractEventLoop, Pool] = {}
        self._kept: weakref.WeakKeyDictionary[Store, str] = weakref.WeakKeyDictionary()

    @property
    def via_litellm(self) -> bool:
        """No: a fleet has addresses."""
        return False

    @property
    def price(self) -> Price | None:
        """US dollars per million tokens, None when unknown or not the same at all addresses."""
        prices = {replica.price for replica in self.replicas}
        return prices.pop() if len(prices) == 1 else None

    @property
    def traffic(self) -> Pool:
        """The replicas on the running loop."""
        running = asyncio.get_running_loop()
        if running not in self._pools or self._pools[running].refusal is not None:  # perhaps it was mended
            for ended in [loop for loop in self._pools if loop.is_closed()]:
                self._pools.pop(ended, None)
            self._pools[running] = Pool(f"{self.shown_address()} ({self.model})", self.replicas, self.learned.contact)
        return self._pools[running]

    def shown_address(self) -> str:
        """The URLs of all replicas, without logins."""
        return ", ".join(replica.shown_address() for replica in self.replicas)

    async def kept_address(self) -> str:
        """The address under which the run in force has replies of this fleet, else those of all its replicas.

        A run goes on with another list where that has a replica of the one it began with, or where the servers tell
        the same of their weights; but never where they tell other weights than the run began with.
        """
        store = session.current().store
        if store is None:
            return self.shown_address()
        if store not in self._kept:
            pool = self.traffic
            await pool.ready()
            addresses = store.addresses(self.model)
            if not pool.weights and any(SERVING in address for address in addresses):
                await pool.looked()
            if store in self._kept:  # by now, on another event loop perhaps
                return self._kept[store]
            urls, weights = {replica.shown_address() for replica in self.replicas}, pool.weights
            for address in addresses:
                served = address.partition(SERVING)[2]
                if served == weights if served and weights else urls.intersection(urls_in(address)):
                    self._kept[store] = address
                    pool.weights = weights or served  # a replica that tells others later is left out
                    break
            else:
                self._kept[store] = ", ".join(sorted(urls)) + (f"{SERVING}{weights}" if weights else "")
        return self._kept[store]

    async def client(self) -> Client:
        """The client of a replica that answers, once the first looks are over."""
        pool = self.traffic
        await pool.ready()
        members = sorted(pool.members, key=lambda member: not member.is_open)
        return await members[0].replica.client()

    async def retrying(self, request: Callable[[Service], Awaitable[T]], prompt: Prompt = "") -> T:
        """See Service; each attempt goes to the replica that is best at the time."""
        pool = self.traffic
        route = _Route(pool, prompt)
        return await retrying(lambda: request(route.replica), self.retry_seconds, route, pool, route.elsewhere)

    @contextlib.asynccontextmanager
    async def lent(self, prompt: Prompt) -> AsyncGenerator[Service, None]:
        """See Service."""
        async with _Route(self.traffic, prompt) as member:
            member.in_line -= 1  # whoever wrote the request has a pace of their own
            try:
                yield member.replica
            except EndpointUnavailable as error:
                member.failed(error, time.monotonic())
                raise

    async def close(self) -> None:
        """Close the connections of the running loop."""
        for member in self.traffic.members:
            if member.looking is not None:
                member.looking.cancel()
            await member.replica.close()
