"""Where a model is served and how it is reached: its address and price, its connections, what its answers have taught.

An Endpoint has one, which its calls borrow. Left out: what is asked, which is in calls.py and likelihood.py.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from catlite.models.http.clients import Client, OpenAIClient
from catlite.models.http.connections import Connections
from catlite.models.http.keys import OPENAI_URL, Address, Secret, address, check_key
from catlite.models.http.learned import Learned
from catlite.models.http.litellm_client import LiteLLMClient
from catlite.models.http.prices import Price, published
from catlite.models.http.retry import retrying
from catlite.models.http.traffic import Traffic, traffic_here

T = TypeVar("T")
# Per (address as shown, model), for the process: a model named by a string is a new Endpoint at every call.
_known_servers: dict[tuple[str, str], Learned] = {}


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

    def __post_init__(self) -> None:
        self.connections = Connections(self.max_connections)
        if self.via_litellm:
            check_key(self.api_key)
        else:
            where = address(self.base_url, self.api_key)
            self.fixed = where if self.base_url and self.api_key else None

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
        learned = self.learned
        return traffic_here(learned.traffic, f"{self.shown_address()} ({self.model})", learned.contact)

    def shown_address(self) -> str:
        """What stands for the server in messages: its URL without login, "litellm", or the embedded model."""
        return "litellm" if self.via_litellm else self._url()

    async def kept_address(self) -> str:
        """The same for a run store, where it has to tell apart whatever gives other replies."""
        return self.shown_address()

    async def address(self) -> Address:
        """Where the server is now; the embedded one has to be started first."""
        return self.fixed or address(self.base_url, self.api_key)

    async def client(self) -> Client:
        """The running loop's client."""
        where = Address("litellm", self.api_key or Secret("")) if self.via_litellm else await self.address()
        return await self.connections.client(where, self._make)

    async def retrying(self, request: Callable[[], Awaitable[T]]) -> T:
        """The result of `request`, made again on transient failures, within the limits on connections and pace."""
        return await retrying(request, self.retry_seconds, self.connections.mine.slots, self.traffic)

    def _url(self) -> str:
        return self.fixed.url if self.fixed else address(self.base_url, Secret("unused")).url

    def _make(self, where: Address) -> Client:
        _ = self.price  # reads a large file, once
        kind: type[Client] = LiteLLMClient if self.via_litellm else OpenAIClient
        return kind(self.model, where, self.max_connections)
