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

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from catlite.errors import CatliteError, ConfigError, EndpointUnavailable, ModelError
from catlite.models.http.prices import Price
from catlite.runs.budget import Budget, Ledger, current_ledger
from catlite.runs.store import Store, current_run
from catlite.usage import Usage

MostTokens = Callable[[Ledger], tuple[int, int | None]]  # prompt and completion; None is without a bound
Book = Callable[[Usage], None]
_OVERLOAD = re.compile(r"overload|capacity|\bbusy\b|loading|too many|rate.?limit|throttl|retry later", re.IGNORECASE)
_WORKED = frozenset({408})  # of 4xx: Azure, for one, bills what it has done by then


@dataclass(frozen=True)
class Books:
    """Where the requests of one call are booked: the budget and the run in force, either or none."""

    model: str
    price: Price | None
    ledger: Ledger | None = field(default_factory=current_ledger)
    store: Store | None = field(default_factory=current_run)

    @asynccontextmanager
    async def request(self, most_tokens: MostTokens) -> AsyncIterator[Book]:
        """Room for one request, which is sent inside; what is yielded takes what the server says it used.

        Raises BudgetReached when it may not be sent, ConfigError when the budget cannot bound it.
        """
        ledger = self.ledger or (Ledger(Budget(), self.store.account) if self.store else None)
        if ledger is None:
            yield lambda _: None
            return
        beyond = ledger.account.beyond
        told: list[Usage] = []

        def bound() -> Usage:
            nonlocal beyond
            beyond = ledger.account.beyond
            return self._most(ledger, *most_tokens(ledger))

        async with ledger.room_for(self.model, bound) as most:
            number = self.store.begin(most) if self.store else 0
            cost = most
            try:
                yield told.append
            except BaseException as error:
                cost = cost_of_failure(error, most)
                raise
            finally:
                if told:
                    ledger.account.learn(told[-1], most, beyond)
                    cost = filled(told[-1], most)
                ledger.account.book(cost)
                if self.store:
                    if self.store.account is not ledger.account:
                        self.store.account.book(cost)
                    self.store.settle(number, cost)

    def _most(self, ledger: Ledger, prompt: int, completion: int | None) -> Usage:
        if ledger.budget.usd is not None and self.price is None:
            raise ConfigError(
                f"a budget in dollars needs the price of {self.model!r}, which is not known: pass price=Price(prompt, "
                "completion) in dollars per million tokens, or cap tokens or requests instead"
            )
        free = 0.0 if prompt == 0 == completion else None  # a server's tokenizer, say
        return Usage(prompt, completion, 0, self.price.cost(prompt, completion, 0) if self.price else free, 1)


def filled(told: Usage, most: Usage) -> Usage:
    """What a server said it used, with the most where it did not say; 0 prompt tokens is a server that does not."""
    if told.prompt_tokens == 0 and most.prompt_tokens:
        told = replace(told, prompt_tokens=None, completion_tokens=told.completion_tokens or None, cost_usd=None)
    return Usage(
        most.prompt_tokens if told.prompt_tokens is None else told.prompt_tokens,
        most.completion_tokens if told.completion_tokens is None else told.completion_tokens,
        0,
        most.cost_usd if told.cost_usd is None else told.cost_usd,
        told.requests,
    )


def cost_of_failure(error: BaseException, most: Usage) -> Usage:
    """What a request is booked at that ended with `error` and without a word on usage."""
    if isinstance(error, EndpointUnavailable) and not error.sent:
        return Usage()
    if isinstance(error, ModelError):
        return Usage(requests=1) if _refused(error) else most
    return Usage() if isinstance(error, CatliteError) else most  # an argument was wrong, the disk full: not sent


def _refused(error: ModelError) -> bool:
    """True when the server turned the request away before it did anything for it."""
    status = error.status
    if status in (503, 529):
        waits = getattr(error, "retry_after", None) is not None
        return status == 529 or waits or _OVERLOAD.search(str(error)) is not None
    return status is not None and 300 <= status < 500 and status not in _WORKED
