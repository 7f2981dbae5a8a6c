"""One call of `Endpoint.sample` on its way: the replies that are missing, from as few requests as the server allows."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catlite import concurrency
from catlite.data import Message, Rollout, text_of
from catlite.errors import (
    AuthenticationFailed,
    BadReply,
    BudgetReached,
    ContextOverflow,
    EndpointDown,
    EndpointUnavailable,
    ModelError,
    QuotaExhausted,
    RequestRejected,
)
from catlite.models.base import TOKEN_LIMITS, renamed, token_limit
from catlite.models.booking import Books
from catlite.models.http import wire, words
from catlite.models.http.chunks import STREAMING, Write, without_thinking
from catlite.models.http.service import Service
from catlite.models.kept import Replies
from catlite.runs.budget import choices, most_prompt_tokens
from catlite.usage import Usage

_NO_STREAM = frozenset({400, 422, 501})  # with which a server may refuse a stream, in words that nobody knows


@dataclass
class Call:
    """One call of `sample`: what is asked of whom, and why nothing more is sent."""

    service: Service
    messages: list[Message]
    request: dict[str, Any]
    replies: Replies
    refused: BudgetReached | ModelError | None = None  # what would be said to every request from here on
    rejected: RequestRejected | None = None  # what was said to one reply's request

    def __post_init__(self) -> None:
        self.learned = self.service.learned
        self.books = Books(self.service.model, self.service.price)
        self.limit = token_limit(self.request)
        self.write = self.replies.write
        self.begun = False  # whether the reply of the request under way has begun to come
        self.written = 0  # characters that were handed on

    async def draw(self) -> None:
        """Ask for what is missing.

        A reply that failed after all retries is lost, the others are kept.

        Raises:
            RequestRejected: when the server refuses the request and has answered none like it.
            ModelError, BudgetReached: what would be said to every request, with the rollouts that came before.
        """
        await self.service.client()  # before the clock of `retry_seconds` runs: a first import takes seconds
        while missing := self.replies.missing:
            size = self.learned.most_choices or len(missing)
            await concurrency.together(self._ask(missing[i : i + size]) for i in range(0, len(missing), size))
            self._raise_if_hopeless()
        if self.refused is not None:
            self.refused.rollouts = tuple(self.replies.in_order()) if self.replies.kept else ()
            raise self.refused

    def _raise_if_hopeless(self) -> None:
        """Raise the server's refusal of the request when it has answered none like it."""
        if self.rejected is not None and not self.replies.kept:
            raise self.rejected

    async def _ask(self, wanted: Sequence[int]) -> int:
        """Get the replies at these indices from one request; return how many came, and learn where these are fewer."""
        k, started = len(wanted), 0.0

        async def attempt(service: Service) -> list[Rollout] | ModelError:
            nonlocal started
            self._raise_if_hopeless()
            if isinstance(self.refused, ModelError):
                raise self.refused
            started = started or time.monotonic()
            try:
                rollouts = await self._request(service, k, wanted[0], started)
            except ModelError as error:
                if not self.written:
                    raise
                return error
            # While the connection is still taken: what is killed then asks again for no more than was under way.
            await self.replies.keep(dict(zip(wanted, rollouts, strict=False)))
            return rollouts

        try:
            outcome = await self.service.retrying(attempt, self.messages)
            if isinstance(outcome, ModelError):
                raise EndpointUnavailable(
                    f"{outcome}; {self.written:,} characters of the reply had come and were handed on, so it was not "
                    "asked for again",
                    status=outcome.status,
                )
            rollouts = outcome
        except (BudgetReached, EndpointDown, QuotaExhausted, AuthenticationFailed) as error:
            # Not raised here: that would cancel requests under way, whose replies are being paid for.
            self.refused = error
            self.replies.lose(wanted, error)
            return 0
        except (EndpointUnavailable, BadReply) as error:
            self.replies.lose(wanted, error)
            return 0
        except ContextOverflow:
            raise
        except RequestRejected as error:
            if error.for_every_prompt:
                self.refused = error
            elif k == 1:
                # Not raised while others, of the same request, may be answered: a filter can refuse one of eight.
                self.rejected = error
            if error.for_every_prompt or k == 1:
                self.replies.lose(wanted, error)
                return 0
            rollouts = []
        # Perhaps it is n that was refused. A single answer tells, and if it comes it is kept.
        count = len(rollouts) or await self._ask(wanted[:1])
        if 0 < count < k:
            self.learned.most_choices = max(1, min(count, self.learned.most_choices or k))
        return count

    async def _request(self, service: Service, k: int, start: int, started: float) -> list[Rollout]:
        """`k` replies from one HTTP exchange; from two when the server's name for the token limit has to be learned."""
        request = self.request if k == 1 else {**self.request, "n": k}
        if start and "seed" in request:
            # The same seed again would bring the same replies again.
            request = {**request, "seed": request["seed"] + start}
        learned = service.learned
        if self.limit is None:
            return await self._streamed(service, request, k, started)
        if learned.no_limit is not None:
            raise RequestRejected(learned.no_limit)
        ours = learned.tokens_name or next(name for name in TOKEN_LIMITS if name in request)
        other = next(name for name in TOKEN_LIMITS if name != ours)
        try:
            rollouts = await self._streamed(service, renamed(request, ours), k, started)
        except ContextOverflow:
            raise
        except RequestRejected as error:
            if not words.refuses_name(error, ours, other):
                raise
            rollouts = await self._streamed(service, renamed(request, other), k, started)
            learned.tokens_name = ours = other
        if learned.tokens_name == ours:
            written = Usage.total(rollout.usage for rollout in rollouts)
            learned.check_limit(service.traffic.who, ours, k * self.limit, written)
        return rollouts

    async def _streamed(self, service: Service, request: dict[str, Any], k: int, started: float) -> list[Rollout]:
        """Make the exchange as a stream, as far as the server takes that, where somebody reads along."""
        if self.write is None:
            return await self._exchange(service, request, k, started)
        way, last = service.learned.streaming, len(STREAMING) - 1
        while True:
            try:
                rollouts = await self._exchange(service, {**request, **STREAMING[way]}, k, started)
            except (RequestRejected, EndpointUnavailable) as error:
                step = 0 if self.begun or way == last else self._step(error, request)
                if not step:
                    raise
                way = min(way + step, last)
            else:
                service.learned.streaming = way
                return rollouts

    def _step(self, error: ModelError, request: Mapping[str, Any]) -> int:
        """How far to go in STREAMING after a refusal: 0 where it is about something else."""
        texts = [text_of(message) for message in self.messages]
        for name, step in (("stream_options", 1), ("stream", 2)):
            if words.refuses(error, name, texts):
                return step
        if isinstance(error, ContextOverflow) or error.for_every_prompt or error.params:
            return 0
        return int(error.status in _NO_STREAM and not any(words.refuses(error, name, texts) for name in request))

    async def _exchange(self, service: Service, request: dict[str, Any], k: int, started: float) -> list[Rollout]:
        """Make one HTTP exchange, which is booked whatever comes of it."""
        # Anew at each attempt: meanwhile the connections may have been closed, or the server have moved.
        client = await service.client()
        async with self.books.request(lambda: self._most(k)) as booking:
            try:
                answer = await client.send(self.messages, request, service.timeout, self._listen(request))
                if answer is None:
                    return [Rollout("", finish_reason="content_filter")] * k
                service.traffic.heard(answer.headers)
                reply = wire.parse(answer.body, client.who, answer.headers, wire.prompt_text(self.messages))
                rollouts = wire.rollouts(reply, client.who, service.price, time.monotonic() - started)
                thinks = any(rollout.reasoning for rollout in rollouts)
                self.learned.begins_thinking = thinks and wire.thinks_unmarked(reply)
            except ModelError as error:
                if error.usage is not None or self.begun:  # a server that had begun was at work, whatever it says now
                    booking(error.usage or Usage(None, None, None, None, 1))
                raise
            booking(Usage.total(rollout.usage for rollout in rollouts))
            return rollouts

    def _listen(self, request: Mapping[str, Any]) -> Write | None:
        """What takes the text of this request's reply as it comes; None where the reply comes whole."""
        self.begun = False
        return without_thinking(self._take, self.learned.begins_thinking) if "stream" in request else None

    def _take(self, piece: str) -> None:
        self.begun = True
        if piece and self.write is not None:
            self.written += len(piece)
            self.write(piece)

    def _most(self, k: int) -> tuple[int, int | None]:
        """The most tokens of prompt and replies that a request for `k` can be billed for."""
        prompt = most_prompt_tokens(self.messages, self.service.model)
        return prompt, self.limit and choices(self.request, k) * self.limit
