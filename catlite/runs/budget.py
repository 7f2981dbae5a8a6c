"""A hard cap on what a run may spend, checked before anything is sent.

A request is let through only when the most it can cost still fits: prompt tokens are at most the bytes of the prompt,
completion tokens at most max_tokens for each choice. What it really cost is booked when it is back (booking.py).
A request that would fit once others are back waits for them. The first to a model goes alone: some servers use more
than they were allowed (thinking that max_tokens does not limit), and what the first one used tells by how much.
Left out: caps per model, and per unit of time.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from catlite.data import Message
from catlite.errors import BudgetReached, ConfigError
from catlite.usage import Usage

_TEMPLATE_TOKENS = 16  # per message: what a chat template adds around its text, generously
_POLL_SECONDS = 0.02

_current: contextvars.ContextVar[Ledger | None] = contextvars.ContextVar("catlite_budget", default=None)


@dataclass(frozen=True, slots=True)
class Budget:
    """Caps over a whole run, resumed parts included: US dollars, tokens (prompt and completion), HTTP requests.

    None is no cap. With a cap on dollars or tokens every request needs max_tokens; with one on dollars, a known price.
    Raises ConfigError for a cap that is not a positive number.
    """

    usd: float | None = None
    tokens: int | None = None
    requests: int | None = None

    def __post_init__(self) -> None:
        for name in ("usd", "tokens", "requests"):
            cap = getattr(self, name)
            if cap is not None and (isinstance(cap, bool) or not isinstance(cap, int | float) or not cap > 0):
                raise ConfigError(f"Budget({name}={cap!r}): want a positive number, or None for no cap")


@dataclass
class Account:
    """What has been booked, and what requests under way may still cost: one for a run, whoever draws on it.

    `spent` has an unknown part where nothing bounds what an earlier request cost.
    """

    spent: Usage = field(default_factory=Usage)
    reserved: Usage = field(default_factory=Usage)
    lock: threading.Lock = field(default_factory=threading.Lock)
    # How far replies went beyond their bounds, prompt tokens more and completion tokens times: the chat template's own
    # system prompt, thinking that max_tokens does not limit. What was seen once is reckoned with from then on.
    beyond: tuple[int, float] = (0, 1.0)
    # By model, whether the first request is back: what it used is reckoned with before others are sent.
    first_is_back: dict[str, bool] = field(default_factory=dict)

    def book(self, usage: Usage) -> None:
        """Adds what a request cost."""
        with self.lock:
            self.spent += usage

    def learn(self, told: Usage, most: Usage, beyond: tuple[int, float]) -> None:
        """Widens the bounds to what a server said it used, where that is more than `most`, made with `beyond`."""
        more, times = beyond
        if told.prompt_tokens is not None and most.prompt_tokens is not None:
            more += max(0, told.prompt_tokens - most.prompt_tokens)
        if told.completion_tokens and most.completion_tokens:
            times *= max(1.0, told.completion_tokens / most.completion_tokens)
        with self.lock:
            self.beyond = max(self.beyond[0], more), max(self.beyond[1], times)


@dataclass
class Ledger:
    """A Budget, and the account whose requests it holds within its caps."""

    budget: Budget
    account: Account = field(default_factory=Account)

    def __post_init__(self) -> None:
        """Raises ConfigError for a cap on what cannot be counted."""
        spent = self.account.spent
        for name, known, why, instead in (
            ("usd", spent.cost_usd, "at a price that is not known", "tokens= or requests="),
            (
                "tokens",
                spent.total_tokens,
                "without max_tokens, to a server that does not say what it used",
                "requests=",
            ),
        ):
            cap = getattr(self.budget, name)
            if cap is not None and known is None:
                raise ConfigError(
                    f"Budget({name}={cap:g}): this run has requests that were made {why}, so what it has spent is not "
                    f"known and the cap cannot be held: cap {instead} instead, or give it a run folder of its own"
                )

    @property
    def spent(self) -> Usage:
        """What has been booked so far."""
        return self.account.spent

    @asynccontextmanager
    async def room_for(self, model: str, bound: Callable[[], Usage]) -> AsyncIterator[Usage]:
        """Holds room for one request to `model`; yields the most it may cost, which `bound` tells when it is its turn.

        Raises BudgetReached when there will be no room.
        """
        while (most := self._reserve(model, bound)) is None:  # noqa: ASYNC110 - an Event belongs to one loop only
            await asyncio.sleep(_POLL_SECONDS)
        try:
            yield most
        finally:
            with self.account.lock:
                self.account.reserved += _minus(most)
                self.account.first_is_back[model] = True

    def _reserve(self, model: str, bound: Callable[[], Usage]) -> Usage | None:
        """What was reserved; None when it is worth waiting."""
        account = self.account
        capped_by_use = self.budget.usd is not None or self.budget.tokens is not None
        with account.lock:
            if capped_by_use and account.first_is_back.get(model) is False:
                return None
            most = bound()
            if capped_by_use or self.budget.requests is not None:
                over = self._over(account.spent + most)
                if over is not None:
                    raise BudgetReached(
                        f"the budget is reached: {over}. Run again with a larger one to go on from here"
                    )
                if self._over(account.spent + account.reserved + most) is not None:
                    return None
            account.reserved += _known(most)
            account.first_is_back.setdefault(model, False)
            return most

    def _over(self, usage: Usage) -> str | None:
        """Which cap `usage` exceeds, in words."""
        spent = self.account.spent
        for name, used, now in (
            ("usd", usage.cost_usd, spent.cost_usd),
            ("tokens", usage.total_tokens, spent.total_tokens),
            ("requests", usage.requests, spent.requests),
        ):
            cap = getattr(self.budget, name)
            if cap is None:
                continue
            if used is None or now is None:
                return (
                    f"what was spent in {name} is no longer known, since a request without a bound was made beside it"
                )
            if used > cap:
                return f"{now:g} of {cap:g} {name} are spent, and the next request may take it to {used:g}"
        return None

    def most(self, messages: Sequence[Message], n: int, max_tokens: int | None) -> tuple[int, int | None]:
        """The most prompt and completion tokens a request can take, None where nothing bounds them.

        Raises ConfigError when a cap needs the bound that is missing.
        """
        if max_tokens is None and (self.budget.usd is not None or self.budget.tokens is not None):
            raise ConfigError(
                "a budget in dollars or tokens needs max_tokens on every request (rollouts and estimators), so that "
                "what a reply may cost is known before it is sent"
            )
        more, times = self.account.beyond
        return most_prompt_tokens(messages) + more, None if max_tokens is None else math.ceil(n * max_tokens * times)


def most_prompt_tokens(messages: Sequence[Message]) -> int:
    """The most tokens `messages` can take: a token is at least a byte."""
    return sum(len(message["content"].encode("utf-8", "replace")) + _TEMPLATE_TOKENS for message in messages)


def choices(sampling: Mapping[str, Any], n: int) -> int:
    """How many choices a request for `n` may be billed for: `extra_body` may ask for more."""
    more = sampling.get("extra_body") or {}
    counts = [n, *(more[name] for name in ("n", "best_of") if isinstance(more.get(name), int))]
    return max(map(int, counts))


def _known(usage: Usage) -> Usage:
    """`usage` with 0 for what is unknown: without a cap on it nobody asks."""
    return Usage(usage.prompt_tokens or 0, usage.completion_tokens or 0, 0, usage.cost_usd or 0.0, usage.requests)


def _minus(usage: Usage) -> Usage:
    known = _known(usage)
    return Usage(
        -(known.prompt_tokens or 0), -(known.completion_tokens or 0), 0, -(known.cost_usd or 0.0), -known.requests
    )


class HasAccount(Protocol):
    """A run store."""

    account: Account


@contextmanager
def capped(budget: Budget | None, spent: Usage | HasAccount | None = None) -> Iterator[Ledger | None]:
    """`budget` in force for every model call made inside; None changes nothing.

    spent: what is gone of it already, or the run whose account it caps. Raises ConfigError for a cap on what is not
    known of that.
    """
    if not isinstance(budget, Budget | None):
        raise ConfigError(f"budget={budget!r:.60}: want Budget(usd=…), Budget(tokens=…) or Budget(requests=…)")
    account = Account(spent or Usage()) if spent is None or isinstance(spent, Usage) else spent.account
    with drawing_on(None if budget is None else Ledger(budget, account)) as ledger:
        yield ledger


@contextmanager
def drawing_on(ledger: Ledger | None) -> Iterator[Ledger | None]:
    """`ledger` in force for every model call made inside; None changes nothing."""
    if ledger is None:
        yield _current.get()
        return
    token = _current.set(ledger)
    try:
        yield ledger
    finally:
        _current.reset(token)


def current_ledger() -> Ledger | None:
    """The ledger in force, or None."""
    return _current.get()
