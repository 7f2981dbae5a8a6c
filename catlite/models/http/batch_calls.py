"""Calls of `BatchEndpoint.sample`: those of an Endpoint, whose requests are lines of a batch.

Left out: what a batch is, which is in batches.py.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import uuid
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from catlite import concurrency
from catlite.errors import BadReply, EndpointDown, EndpointUnavailable, ModelError, StoreError
from catlite.models.booking import Booking, Books, MostTokens
from catlite.models.http.batch_client import BatchClient, answering
from catlite.models.http.batch_files import Collector
from catlite.models.http.batches import Batching, Line
from catlite.models.http.calls import Call
from catlite.models.http.clients import Answer
from catlite.models.http.keys import OPENAI_URL, Address
from catlite.models.http.prices import Price
from catlite.models.http.service import Service
from catlite.runs.store import Store

T = TypeVar("T")
_BATCHES = 3  # in which one reply is asked for: a batch may expire, and a provider have a bad day
_REFUSALS = frozenset({429, 503, 529})  # after which there is no batch for sure


@dataclass(eq=False)
class BatchService(Service):
    """A model behind a batch API; `discount` is what a batch costs as a part of the price."""

    batching: Batching = field(default_factory=Batching)
    discount: float = 1.0
    _collectors: dict[asyncio.AbstractEventLoop, weakref.WeakKeyDictionary[object, Collector]] = field(
        default_factory=dict
    )

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_collectors": {}}

    @property
    def price(self) -> Price | None:
        """US dollars per million tokens in a batch, None when unknown."""
        price, part = super().price, self.discount
        if price is None:
            return None
        cached = None if price.cached is None else part * price.cached
        return replace(price, prompt=part * price.prompt, completion=part * price.completion, cached=cached)

    def collector(self, store: Store | None) -> Collector:
        """Where the lines of a run, or of calls without one, gather on the running loop."""
        running = asyncio.get_running_loop()
        for ended in [loop for loop in list(self._collectors) if loop.is_closed()]:
            self._collectors.pop(ended, None)
        collectors = self._collectors.setdefault(running, weakref.WeakKeyDictionary())
        owner = self if store is None else store
        if owner not in collectors:
            collectors[owner] = Collector(self, None if store is None else store.folder)
        return collectors[owner]

    async def retrying(self, request: Callable[[Service], Awaitable[T]], prompt: Any = "") -> T:  # noqa: ARG002
        """The result of `request`, made again in another batch when its line has failed for now."""
        for _ in range(_BATCHES - 1):
            try:
                return await request(self)
            except EndpointDown:
                raise
            except (EndpointUnavailable, BadReply):
                pass
        return await request(self)

    async def exchange(self, method: str, url: str, content: Any = None) -> Answer:
        """Make an exchange of the batch API, again on transient failures.

        Args:
            method: GET, POST, UPLOAD of bytes, or CREATE: a POST that is not repeated when it may have worked.
            url: the path.
            content: the object or the bytes that are sent.

        Raises:
            ModelError: of its kinds.
        """

        async def attempt(service: Service) -> Answer | EndpointUnavailable:
            client = await service.client()
            assert isinstance(client, BatchClient)
            try:
                return await client.exchange("POST" if method == "CREATE" else method, url, content, self.timeout)
            except EndpointUnavailable as error:
                if method != "CREATE" or not error.sent or error.status in _REFUSALS:
                    raise
                return error

        outcome = await super().retrying(attempt)
        if isinstance(outcome, EndpointUnavailable):
            raise outcome
        return outcome

    def _make(self, where: Address) -> BatchClient:
        _ = self.price  # reads a large file, once
        return BatchClient(self.model, where, self.max_connections)


@dataclass
class _Place:
    """Which replies are asked for, and the lines that this has taken so far."""

    collector: Collector
    key: str
    samples: tuple[int, ...]
    lines: list[Line] = field(default_factory=list)

    def line(self) -> Line:
        """Take a line for one request: at first the one that an earlier process has sent, if there is one."""
        line = self.collector.line(self.key, self.samples, fresh=bool(self.lines))
        self.lines.append(line)
        return line


_place: contextvars.ContextVar[_Place] = contextvars.ContextVar("catlite_place_in_batch")


class _Books(Books):
    """The books of lines: all of a batch are sent at once, and one that was sent before is booked already."""

    @asynccontextmanager
    async def request(self, most_tokens: MostTokens, *, exact: bool = True) -> AsyncIterator[Booking]:
        """See Books; nothing is learned from the first request, since none goes first."""
        place = _place.get()
        line = place.line()
        token = answering.set(functools.partial(place.collector.answer, line))
        try:
            if line.earlier:
                async with self.request_again(line.number, line.most) as booking:
                    yield booking
            else:
                async with super().request(most_tokens, exact=exact) as booking:
                    line.number = booking.number
                    line.most = line.most if booking.room is None else booking.room.most
                    try:
                        yield booking
                    except asyncio.CancelledError:
                        booking.sent = line.is_sent
                        raise
                    except StoreError:
                        if line.batch is not None and line.batch.id is not None:  # which runs, whatever was recorded
                            booking(line.most)
                        raise
        finally:
            answering.reset(token)


@dataclass
class BatchCall(Call):
    """One call of `BatchEndpoint.sample` on its way."""

    service: BatchService

    def __post_init__(self) -> None:
        super().__post_init__()
        self.write = None  # a batch streams nothing
        self.books = _Books(self.service.model, self.service.price)
        store, question = self.replies.store, self.replies.asked
        self.key = uuid.uuid4().hex if question is None else question.key
        self.collector = self.service.collector(store)
        if self.learned.tokens_name is None and self.service.shown_address() == OPENAI_URL:
            self.learned.tokens_name = "max_completion_tokens"  # all of its models know it

    async def draw(self) -> None:
        """Wait for what earlier processes have sent, then ask for what is missing; raises as Call.draw does."""
        sent = self.collector.pending(self.key, self.replies.missing)
        await concurrency.together(self._ask(samples) for samples in sent)
        await super().draw()

    async def _ask(self, wanted: Sequence[int]) -> int:
        place = _Place(self.collector, self.key, tuple(wanted))
        token = _place.set(place)
        count = 0
        try:
            count = await super()._ask(wanted)
        except ModelError:
            self._finish(place)
            raise
        finally:
            _place.reset(token)
        self._finish(place)
        return count

    def _finish(self, place: _Place) -> None:
        """Replies are on disk, or lost for good: what was noted of the lines is no longer needed."""
        for line in place.lines:
            if line.batch is not None:
                line.batch.finish(line)
