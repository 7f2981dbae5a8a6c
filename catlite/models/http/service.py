"""Where a model is served and how it is reached: its address and price, its connections, what its answers have taught.

An Endpoint has one, which its calls borrow. Each event loop has a client and a limit of its own, closed with the loop;
what was learned is one for each address and model, kept for the process. Left out: what is asked, which is in calls.py
and likelihood.py, and connections shared between loops, which no HTTP client survives.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from types import AsyncGeneratorType
from typing import Any, TypeVar, cast

from catlite import concurrency
from catlite.data import Prompt
from catlite.errors import ConfigError
from catlite.models.http.clients import Client, OpenAIClient
from catlite.models.http.keys import OPENAI_URL, Address, Secret, address, check_key, sealed
from catlite.models.http.litellm_client import LiteLLMClient
from catlite.models.http.prices import Price, published
from catlite.models.http.retry import retrying
from catlite.models.http.traffic import Contact, Traffic
from catlite.runs import session
from catlite.runs.store import Store
from catlite.usage import Usage

T = TypeVar("T")
_SLACK = 16  # tokens, such as the end of a reply, that servers count beside it
_BEGINNING = 1_000  # requests of a run, by which a single server tells whether a fleet began it
SERVING = " serving "  # between the addresses of a fleet and its weights, in a run store


@dataclass
class Learned:
    """What a server takes, as far as its answers have told.

    most_choices: the most choices of one request, None for as many as are asked for. tokens_name: the name under which
    it takes the token limit, once the other was refused. no_limit: why no token limit is in force, once that was seen.
    scoring: how it scores texts: "llama.cpp", "vLLM" or "not at all". streaming: the first of chunks.STREAMING that it
    takes. begins_thinking: whether its last reply began within its thinking, which the chat template had opened.
    refused, taken: settings that were seen to be refused, and to work; as "temperature=0.0". contact, traffic: whether
    it ever answered, and how fast it is asked on each event loop.
    """

    most_choices: int | None
    tokens_name: str | None = None
    no_limit: str | None = None
    scoring: str | None = None
    streaming: int = 0
    begins_thinking: bool = False
    refused: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)
    contact: Contact = field(default_factory=Contact)
    traffic: dict[asyncio.AbstractEventLoop, Traffic] = field(default_factory=dict)

    def check_limit(self, who: str, name: str, most: int, usage: Usage) -> None:
        """Learn that there is no token limit where one sent as `name`, `most` tokens in all, does not hold."""
        written = usage.completion_tokens
        if written is not None and written > 2 * most + _SLACK:
            self.no_limit = (
                f"{who} takes no token limit: it refuses the one name for it, and under the other ({name}) it wrote "
                f"{written:,} tokens where {most:,} were allowed. Leave max_tokens out, or use another server"
            )


# Per (address as shown, model), for the process: a model named by a string is a new Endpoint at every call.
_known_servers: dict[tuple[str, str], Learned] = {}


class _Opened:
    """A client in use, which may be closed from two sides: by its owner, and by the end of the loop."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self._closing, self._is_closed = asyncio.Lock(), False

    async def close(self) -> None:
        """Close the client; who comes second waits for the first, so that the loop does not end in between."""
        async with self._closing:
            if not self._is_closed:
                await self.client.close()
                self._is_closed = True


async def _lifetime(opened: _Opened) -> AsyncGenerator[None, None]:
    """Close a client at the generator's own end.

    A loop that ends (asyncio.run, our background loop) ends its generators first, and so does one that sees them
    dropped: that closes connections which were left open.
    """
    try:
        yield
    finally:
        await opened.close()


@dataclass
class OnLoop:
    """The client of one event loop, and the limit on its requests in flight."""

    slots: concurrency.Slots
    opening: asyncio.Lock = field(default_factory=asyncio.Lock)
    opened: _Opened | None = None
    lifetime: AsyncGeneratorType[None, None] | None = None

    @property
    def client(self) -> Client | None:
        """The client, when there is one."""
        return None if self.opened is None else self.opened.client

    async def open(self, client: Client) -> None:
        """Take `client` into use."""
        self.opened = _Opened(client)
        self.lifetime = cast(AsyncGeneratorType[None, None], _lifetime(self.opened))
        await anext(self.lifetime)

    async def close(self) -> None:
        """Close the client, if there is one."""
        opened, lifetime, self.opened, self.lifetime = self.opened, self.lifetime, None, None
        if opened is not None and lifetime is not None:
            await opened.close()
            if not lifetime.ag_running:  # else the loop, as it ends, is at it
                await lifetime.aclose()


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


def urls_in(address: str) -> list[str]:
    """Give the URLs of an address in a run store, which a fleet has several of."""
    return address.partition(SERVING)[0].split(", ")


def _close_soon(loops: dict[asyncio.AbstractEventLoop, OnLoop]) -> None:
    """Close a dropped endpoint's connections, each on its own loop, which may have to run once more for it."""
    for running, connections in list(loops.items()):
        with contextlib.suppress(RuntimeError):  # a loop that has ended has closed them already
            running.call_soon_threadsafe(_close_now, running, connections)


def _close_now(running: asyncio.AbstractEventLoop, connections: OnLoop) -> None:
    for task in [task for task in _closing if task.get_loop().is_closed()]:
        _closing.pop(task, None)
    lifetime = connections.lifetime
    task = running.create_task(connections.close())
    _closing[task] = lifetime
    task.add_done_callback(_closed)


def _closed(task: asyncio.Task[None]) -> None:
    if not task.cancelled():  # as asyncio.run does to all tasks: then the loop ends the generator, if it still is there
        _closing.pop(task, None)


# A loop holds its tasks and its generators weakly.
_closing: dict[asyncio.Task[None], AsyncGeneratorType[None, None] | None] = {}


@dataclass(eq=False)
class Service:
    """A model at an address; the settings are those of Endpoint.

    most_choices: how many choices to ask for in the first request, None for all; only the embedded server's limit is
    known. Raises ConfigError for an address or a key that is wrong.
    """

    model: str
    base_url: Secret | None
    api_key: Secret | None
    max_connections: int
    timeout: float
    retry_seconds: float
    own_price: Price | None = None
    most_choices: int | None = None
    connections: Connections = field(init=False)
    fixed: Address | None = None  # unless the environment has a part in it, which may change
    own_url: str | None = None  # of base_url
    current: tuple[int, Address] | None = None  # the hash of what the environment says, and the address by it
    kept: weakref.WeakKeyDictionary[Store, dict[str, str]] = field(init=False)  # the address there, by the own one

    def __post_init__(self) -> None:
        self.connections, self.kept = Connections(self.max_connections), weakref.WeakKeyDictionary()
        if self.via_litellm:
            check_key(self.api_key)
        else:
            where = address(self.base_url, self.api_key)
            self.fixed = where if self.base_url and self.api_key else None
            self.own_url = where.url if self.base_url else None

    def __getstate__(self) -> dict[str, Any]:
        """Give the settings and the address; key, connections and what was learned stay in this process."""
        if self.api_key is not None:
            raise ConfigError(
                f"Endpoint({self.model!r}) is not pickled or copied, since api_key= was given by hand: leave that out "
                "and set OPENAI_API_KEY (through litellm, the provider's own variable) here and where it is unpickled; "
                "a server that wants no key needs neither"
            )
        state = {name: value for name, value in vars(self).items() if name not in ("connections", "current", "kept")}
        if self.via_litellm:
            return state
        where = address(self.base_url, Secret("unused"))
        if where.login is not None and self.base_url is not None:
            raise ConfigError(
                f"Endpoint({self.model!r}) is not pickled or copied, since its base_url={where.url!r} has a user and a "
                "password: leave base_url= out and set OPENAI_BASE_URL here and where it is unpickled"
            )
        return state | {"base_url": None if where.login else where.url, "own_url": where.url}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, base_url=sealed(state["base_url"]))
        self.__post_init__()
        if not self.via_litellm and self._url() != state["own_url"]:
            raise ConfigError(
                f"Endpoint({self.model!r}) is at {state['own_url']}, with the user and password of OPENAI_BASE_URL, "
                f"which here leads to {self._url()}: set it in this process as in the one that the Endpoint is from"
            )

    @property
    def via_litellm(self) -> bool:
        """Whether litellm knows where the model is."""
        return "/" in self.model and self.base_url is None

    @property
    def price(self) -> Price | None:
        """US dollars per million tokens, None when unknown."""
        if self.own_price is not None:
            return self.own_price
        if self.via_litellm:
            # litellm's "openai/…" follows these to whatever server they name.
            moved = any(os.environ.get(name) for name in ("OPENAI_BASE_URL", "OPENAI_API_BASE"))
            own = not (moved and self.model.startswith("openai/"))
        else:
            own = self._url() == OPENAI_URL
        return published(self.model) if own else None

    @property
    def learned(self) -> Learned:
        """What the answers of this model at this address have taught."""
        known = self.shown_address(), self.model
        learned = _known_servers.get(known)
        return learned or _known_servers.setdefault(known, Learned(self.most_choices))

    @property
    def traffic(self) -> Traffic:
        """The pace of requests on the running loop."""
        running, learned = asyncio.get_running_loop(), self.learned
        if running not in learned.traffic:
            for ended in [loop for loop in learned.traffic if loop.is_closed()]:
                learned.traffic.pop(ended, None)
            who = f"{self.shown_address()} ({self.model})"
            learned.traffic.setdefault(running, Traffic(who, learned.contact))
        return learned.traffic[running]

    def shown_address(self) -> str:
        """What stands for the server in messages: its URL without login, "litellm", or the embedded model."""
        return "litellm" if self.via_litellm else self._url()

    async def kept_address(self) -> str:
        """The same for a run store, where it has to tell apart whatever gives other replies.

        In a run that began with a fleet it is the fleet's address, where that has this one in its list.
        """
        own, store = self.shown_address(), session.current().store
        if store is None:
            return own
        kept = self.kept.setdefault(store, {})
        if own not in kept:
            addresses = store.addresses(self.model, among=_BEGINNING)
            fleets = [address for address in addresses if own in urls_in(address)]
            kept[own] = own if own in addresses or not fleets else fleets[0]
        return kept[own]

    async def address(self) -> Address:
        """Where the server is now; the embedded one has to be started first."""
        if self.fixed is not None:
            return self.fixed
        # Asked for at each request, and taken apart only where the environment has changed; no local holds the key.
        now = hash((os.environ.get("OPENAI_BASE_URL"), os.environ.get("OPENAI_API_KEY")))
        if self.current is None or self.current[0] != now:
            self.current = now, address(self.base_url, self.api_key)
        return self.current[1]

    async def client(self) -> Client:
        """The running loop's client."""
        where = Address("litellm", self.api_key or Secret("")) if self.via_litellm else await self.address()
        return await self.connections.client(where, self._make)

    async def retrying(self, request: Callable[[Service], Awaitable[T]], prompt: Prompt = "") -> T:  # noqa: ARG002
        """The result of `request`, made again on transient failures, within the limits on connections and pace.

        `request` gets the service that it is made to: this one, or the replica of a fleet that answers `prompt`.
        """
        slots = self.connections.mine.slots
        return await retrying(lambda: request(self), self.retry_seconds, slots, self.traffic)

    @contextlib.asynccontextmanager
    async def lent(self, prompt: Prompt) -> AsyncGenerator[Service, None]:  # noqa: ARG002 - a fleet's choice is by it
        """Yield where one request goes, within the limit on connections."""
        async with self.connections.mine.slots:
            yield self

    def passed_on(self, status: int) -> None:
        """Take note of the status of a request that `lent` was for; a fleet leaves out replicas that only fail."""

    async def close(self) -> None:
        """Close the connections of the running loop."""
        await self.connections.close()

    def _url(self) -> str:
        if self.own_url is not None:
            return self.own_url
        # Asked for several times in each request, so that the environment is read, and a URL taken apart only then.
        return address(None, Secret("unused")).url if os.environ.get("OPENAI_BASE_URL") else OPENAI_URL

    def _make(self, where: Address) -> Client:
        _ = self.price  # reads a large file, once
        kind: type[Client] = LiteLLMClient if self.via_litellm else OpenAIClient
        return kind(self.model, where, self.max_connections)
