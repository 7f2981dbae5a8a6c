"""When a request is booked, and at what.

Before it is sent, the most it can cost is held in the budget and written into the run's journal; afterwards what it did
cost stands there in its place, so that neither a crash nor a server that is silent about usage makes anything free:

* an answer: what it says it used; the most for what it does not say
* a refusal before any work (a redirect, 4xx but 408, an overload that says so): one request, no tokens
* never sent (connection refused, unknown host, not writable as JSON): nothing
* anything else (time-out, cancelled, connection lost, 5xx, unreadable, Azure's content filter): the most

Left out: what a provider bills per image, search or second.
"""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from catlite.errors import CatliteError, EndpointUnavailable, ModelError
from catlite.models.base import Rates
from catlite.runs import session
from catlite.runs.budget import Budget, Ledger, Room
from catlite.usage import Usage

MostTokens = Callable[[], tuple[int, int | None]]  # prompt and completion; None is without a bound
_OVERLOAD = re.compile(r"overload|capacity|\bbusy\b|loading|too many|rate.?limit|throttl|retry later", re.IGNORECASE)
_WORKED = frozenset({408})  # of 4xx: Azure, for one, bills what it has done by then


@dataclass
class Booking:
    """One request that is being made: call it with what the server says it used."""

    room: Room | None = None  # what the budget holds for it
    used: Usage | None = None
    number: int = 0  # of its row in the run
    sent: bool = True  # False where it is known that it was not, whatever ended it

    def __call__(self, usage: Usage) -> None:
        """Take what was used."""
        self.used = usage


class Books:
    """Where the requests of one call to a model are booked: the budget and the run in force, either or none."""

    def __init__(self, model: str, price: Rates | None, *, requests: int = 1, own: bool = False) -> None:
        """Take the books of the session in force.

        Args:
            model: its name.
            price: dollars per token, None when unknown.
            requests: how many HTTP requests one booking stands for.
            own: a model of the user's own, which may ask another one of that name while it is waited for.
        """
        self.model, self.price, self.requests, self.own = model, price, requests, own
        self.line = f"{model} (own)" if own else model
        in_force = session.current()
        self.store, self.ledger, self.outer = in_force.store, in_force.ledger, in_force.room
        if self.ledger is None and self.store is not None:
            self.ledger = Ledger(Budget(), self.store.account)

    @asynccontextmanager
    async def request(self, most_tokens: MostTokens, *, exact: bool = False) -> AsyncIterator[Booking]:
        """Hold room for one request, which is sent in the block; what is yielded takes what the server says it used.

        Args:
            most_tokens: the most tokens of prompt and reply; called only where something is booked.
            exact: that many tokens and no more, whatever a server has used before.

        Raises:
            BudgetReached: when it may not be sent.
            ConfigError: when the budget cannot bound it.
        """
        if self.outer is not None:
            self.outer.give_back()  # as `kept` does: scores and others come here without it
        ledger, store = self.ledger, self.store
        if ledger is None:
            yield Booking()
            return
        prompt, completion = most_tokens()
        ledger.check(self.model, completion, self.price is not None)

        def bound(more: int, times: float) -> Usage:
            replies = None if completion is None else math.ceil(completion * times)
            return Usage(prompt + more, replies, 0, self._dollars(prompt + more, replies), self.requests)

        async with ledger.room_for(self.line, bound, exact) as room:
            number = store.begin(room.most) if store else 0
            booking, cost = Booking(room, number=number), room.most
            try:
                yield booking
            except BaseException as error:
                cost = cost_of_failure(error, room.most, own=self.own) if booking.sent else Usage()
                raise
            finally:
                if not room.held:  # another model, asked meanwhile, books what this one asks for
                    cost = beyond_inner(booking.used, room.inner)
                elif booking.used is not None:
                    cost = filled(booking.used, room.most)
                    if not exact:
                        ledger.account.learn(booking.used, bound)
                if self.outer is not None:
                    self.outer.inner += cost + room.inner
                ledger.account.book(cost)
                if store:
                    if store.account is not ledger.account:
                        store.account.book(cost)
                    store.settle(number, cost)

    @asynccontextmanager
    async def request_again(self, number: int, most: Usage) -> AsyncIterator[Booking]:
        """Book what a request did cost that was sent before this call, in place of the `most` it was booked at.

        Args:
            number: the row of the run that has `most`.
            most: what stands there.
        """
        store, booking, cost = self.store, Booking(number=number), most
        assert store is not None
        try:
            yield booking
        except BaseException as error:
            cost = cost_of_failure(error, most)
            raise
        finally:
            cost = cost if booking.used is None else filled(booking.used, most)
            if cost != most:
                store.account.correct(most, cost)
                store.settle(number, cost)

    def _dollars(self, prompt: int, completion: int | None) -> float | None:
        if self.price is not None:
            return self.price.cost(prompt, completion, 0)
        return 0.0 if prompt == 0 == completion else None  # a server's tokenizer, say


def filled(used: Usage, most: Usage) -> Usage:
    """What a server said it used, with the most where it did not say; 0 prompt tokens is a server that does not."""
    if used.prompt_tokens == 0 and most.prompt_tokens:
        used = replace(used, prompt_tokens=None, completion_tokens=used.completion_tokens or None, cost_usd=None)
    return Usage(
        most.prompt_tokens if used.prompt_tokens is None else used.prompt_tokens,
        most.completion_tokens if used.completion_tokens is None else used.completion_tokens,
        0,
        most.cost_usd if used.cost_usd is None else used.cost_usd,
        used.requests,
    )


def beyond_inner(used: Usage | None, inner: Usage) -> Usage:
    """What a model that handed on used beside what the models it asked have booked; nothing where it does not say."""

    def rest(own: float | None, booked: float | None) -> float:
        return max(0, own - booked) if own is not None and booked is not None else 0

    if used is None:
        return Usage()
    return Usage(
        int(rest(used.prompt_tokens, inner.prompt_tokens)),
        int(rest(used.completion_tokens, inner.completion_tokens)),
        0,
        rest(used.cost_usd, inner.cost_usd),
        int(rest(used.requests, inner.requests)),
    )


def cost_of_failure(error: BaseException, most: Usage, *, own: bool = False) -> Usage:
    """What a request is booked at that ended with `error` and without a word on usage.

    An error of a model of the user's `own` tells nothing about what it did before, unless it is a ModelError.
    """
    if isinstance(error, EndpointUnavailable) and not error.sent:
        return Usage()
    if isinstance(error, ModelError):
        return Usage(requests=most.requests) if _refused(error) else most
    unsent = isinstance(error, CatliteError) and not own  # an argument was wrong, the disk full
    return Usage() if unsent else most


def _refused(error: ModelError) -> bool:
    """Tell whether the server turned the request away before it did anything for it."""
    status = error.status
    if status in (503, 529):
        waits = isinstance(error, EndpointUnavailable) and error.retry_after is not None
        return status == 529 or waits or _OVERLOAD.search(str(error)) is not None
    return status is not None and 300 <= status < 500 and status not in _WORKED
