"""A hard cap on what a run may spend, checked before anything is sent.

A request is let through only when the most it can cost still fits: prompt tokens are at most the bytes of the prompt,
completion tokens at most max_tokens for each choice. What it really cost is booked when it is back. A request that
would fit once others are back waits for them. Left out: caps per model, and per unit of time.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

from catlite.data import Message, Usage
from catlite.errors import BudgetReached, ConfigError

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
class Ledger:
    """What has been spent of a Budget, and what requests under way may still cost."""

    budget: Budget
    spent: Usage = field(default_factory=Usage)
    _reserved: Usage = field(default_factory=Usage)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @asynccontextmanager
    async def room_for(self, most: Usage) -> AsyncIterator[None]:
        """Holds room for a request that may cost `most`; raises BudgetReached when there will be none."""
        while not self._reserve(most):  # noqa: ASYNC110 - an Event belongs to one loop, a ledger to all
            await asyncio.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            with self._lock:
                self._reserved += _minus(most)

    def _reserve(self, most: Usage) -> bool:
        """True when reserved, False when it is worth waiting."""
        with self._lock:
            over = self._over(self.spent + most)
            if over is not None:
                raise BudgetReached(f"the budget is reached: {over}. Run again with a larger one to go on from here")
            if self._over(self.spent + self._reserved + most) is not None:
                return False
            self._reserved += most
            return True

    def _over(self, usage: Usage) -> str | None:
        """Which cap `usage` exceeds, in words."""
        for name, used in (("usd", usage.cost_usd), ("tokens", usage.total_tokens), ("requests", usage.requests)):
            cap = getattr(self.budget, name)
            if cap is not None and used is not None and used > cap:
                now = {"usd": self.spent.cost_usd, "tokens": self.spent.total_tokens}.get(name, self.spent.requests)
                return f"{now:g} of {cap:g} {name} are spent, and the next request may take it to {used:g}"
        return None

    def book(self, usage: Usage, most: Usage) -> None:
        """Adds what a request cost; where the server did not say, the most it can have cost."""
        known = Usage(
            most.prompt_tokens if usage.prompt_tokens is None else usage.prompt_tokens,
            most.completion_tokens if usage.completion_tokens is None else usage.completion_tokens,
            0,
            most.cost_usd if usage.cost_usd is None else usage.cost_usd,
            usage.requests,
        )
        with self._lock:
            self.spent += known

    def most(self, messages: Sequence[Message], n: int, max_tokens: int | None) -> tuple[int, int]:
        """The most prompt and completion tokens a request can take. Raises ConfigError when nothing bounds it."""
        if max_tokens is None and (self.budget.usd is not None or self.budget.tokens is not None):
            raise ConfigError(
                "a budget in dollars or tokens needs max_tokens on every request (rollouts and estimators), so that "
                "what a reply may cost is known before it is sent"
            )
        prompt = sum(len(message["content"].encode("utf-8", "replace")) + _TEMPLATE_TOKENS for message in messages)
        return prompt, n * (max_tokens or 0)


def _minus(usage: Usage) -> Usage:
    return Usage(
        -(usage.prompt_tokens or 0), -(usage.completion_tokens or 0), 0, -(usage.cost_usd or 0.0), -usage.requests
    )


@contextmanager
def capped(budget: Budget | None, spent: Usage) -> Iterator[Ledger | None]:
    """`budget` in force for every model call made inside, with `spent` already gone; None changes nothing."""
    with drawing_on(None if budget is None else Ledger(budget, spent)) as ledger:
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
