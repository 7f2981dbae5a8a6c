"""One replica of a fleet: its address, its client, and what its list of models says.

Left out: whether it answers and which requests it gets, which is in pool.py.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from catlite.errors import ConfigError, EndpointUnavailable, RequestRejected
from catlite.models.http.clients import Answer, OpenAIClient, lost
from catlite.models.http.keys import Address, Secret, address
from catlite.models.http.service import Service
from catlite.models.http.traffic import Traffic

_WEIGHTS = ("n_params", "n_vocab", "size")  # of `meta`, llama.cpp's: they differ where the quantization does


class Served(NamedTuple):
    """What a replica's list of models says: whether it has the model, its weights ("" for nothing), its context."""

    listed: bool
    weights: str
    context: int | None  # tokens


class OtherModel(RequestRejected):
    """A replica that serves another model than its fleet: no prompt would fare better."""

    for_every_prompt = True


class ReplicaClient(OpenAIClient):
    """A client whose requests can be cut off, and which asks for the server's list of models."""

    def __init__(self, model: str, address: Address, connections: int) -> None:
        super().__init__(model, address, connections + 1)  # GET /models must not wait for requests that hang
        self._under_way: set[asyncio.Timeout] = set()

    async def post(self, url: str, body: Mapping[str, Any], *settings: Any, **named: Any) -> Answer | None:
        """See Client; raises EndpointUnavailable when it is cut off."""
        async with self._severable():
            return await super().post(url, body, *settings, **named)

    @asynccontextmanager
    async def _severable(self) -> AsyncIterator[None]:
        limit = asyncio.timeout(None)
        self._under_way.add(limit)
        try:
            async with limit:
                yield
        except TimeoutError:
            failure = lost(self.who, "it has stopped answering", sent=True)
        else:
            return
        finally:
            self._under_way.discard(limit)
        raise failure

    def cut(self) -> None:
        """End all requests that are under way."""
        for limit in self._under_way:
            if not limit.expired():
                limit.reschedule(0)

    async def models(self, timeout: float) -> tuple[int, str]:
        """Ask for the list of models; give the status and the body. Raises EndpointUnavailable."""
        with self._translated(timeout):
            key = {"authorization": f"Bearer {self._address.key.reveal()}"}
            reply = await self._http.get(f"{self.url}/models", headers=key, timeout=timeout)
            return reply.status_code, self._address.redact(reply.text)


class Replica(Service):
    """One address of a fleet. What its answers teach is its own; `accounts` has its pace on each event loop."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.accounts: dict[asyncio.AbstractEventLoop, Traffic] = {}

    def __getstate__(self) -> dict[str, Any]:
        if address(self.base_url, Secret("unused")).login is not None:
            raise ConfigError(
                f"Endpoint({self.model!r}) is not pickled or copied, since {self.shown_address()} has a user and a "
                "password: make the Endpoint where it is needed"
            )
        return {name: value for name, value in super().__getstate__().items() if name != "accounts"}

    @property
    def traffic(self) -> Traffic:
        """The pace of requests on the running loop."""
        return self.accounts[asyncio.get_running_loop()]

    def passed_on(self, status: int) -> None:
        """See Service."""
        if status == 429 or status >= 500:
            failure = EndpointUnavailable(f"{self.traffic.who} answered {status}", status=status)
            self.traffic.failed(failure, time.monotonic())
        else:
            self.traffic.answered(time.monotonic())

    def cut(self) -> None:
        """End the requests of the running loop that are under way."""
        client = self.connections.mine.client
        if isinstance(client, ReplicaClient):
            client.cut()

    async def served(self, timeout: float) -> Served:
        """Ask the replica which models it serves.

        Raises:
            EndpointUnavailable: there is no answer, or one that says that the server is not ready.
            OtherModel: the list does not have it.
        """
        client = await self.client()
        assert isinstance(client, ReplicaClient)
        status, body = await client.models(timeout)
        if status >= 500 and status != 501:
            raise EndpointUnavailable(f"{client.who} answered {status} to GET /models", status=status)
        cards = _cards(body) if status == 200 else {}
        if cards and self.model not in cards:
            names = ", ".join(sorted(cards)[:5]) + ", …" * (len(cards) > 5)
            raise OtherModel(
                f"{self.shown_address()} does not serve {self.model!r}, which every address of base_url has to: GET "
                f"/models lists {names}. Take it out of base_url, or serve {self.model!r} there"
            )
        card = cards.get(self.model, {})
        context = card.get("max_model_len")  # vLLM's and SGLang's
        return Served(bool(cards), _weights(card), context if isinstance(context, int) else None)

    def _make(self, where: Address) -> ReplicaClient:
        _ = self.price  # reads a large file, once
        return ReplicaClient(self.model, where, self.max_connections)


def _cards(body: str) -> dict[str, dict[str, Any]]:
    """The entries of a list of models by name; none where it is no such list.

    Ollama takes a name without its ":latest", Google one without its "models/".
    """
    try:
        entries = json.loads(body)["data"]
        cards = {entry["id"]: entry for entry in entries}
    except (ValueError, TypeError, KeyError, RecursionError):
        return {}
    return {
        name: card
        for whole, card in cards.items()
        if isinstance(whole, str)
        for name in (whole, whole.removesuffix(":latest"), whole.removeprefix("models/"))
    }


def _weights(card: Mapping[str, Any]) -> str:
    """What a card tells of the weights: the last part of vLLM's and SGLang's `root`, and llama.cpp's numbers."""
    root, meta = card.get("root"), card.get("meta")
    parts = [root.rstrip("/").rpartition("/")[2]] if isinstance(root, str) and root else []
    if isinstance(meta, dict):
        parts += [f"{name}={meta[name]}" for name in _WEIGHTS if isinstance(meta.get(name), int)]
    return " ".join(parts)
