"""A hard cap on what a run may spend, checked before anything is sent.

A request is let through only when the most it can cost still fits: prompt tokens are at most the bytes of the prompt
(of its images what parts.py says), completion tokens at most max_tokens for each choice. What it really cost is booked
when it is back (models/booking.py). A request that would fit once others are back waits for them. The first to a model
goes alone, and after one that failed the next: some servers use more than they were allowed (thinking that max_tokens
does not limit), and what the first answer used tells by how much.
Left out: caps per model, and per unit of time.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from catlite.errors import BudgetReached, ConfigError
from catlite.messages import Message, media, text_of
from catlite.parts import most_tokens
from catlite.usage import Usage

_TEMPLATE_TOKENS = 16  # per message: what a chat template adds around its text, generously
_POLL_SECONDS = 0.02
_LONG_POLL_SECONDS = 1.0
# The most a request can cost, if replies go beyond their bounds by so many prompt tokens and completion tokens times.
Bound = Callable[[int, float], Usage]


@dataclass(frozen=True, slots=True)
class Budget:
    """Caps over a whole run, resumed parts included; a cap that is None does not hold.

    With a cap on dollars or tokens every request needs max_tokens; with one on dollars, a known price. A LocalModel
    costs tokens alone: no dollars and no requests.

    Args:
        usd: US dollars; None.
        tokens: prompt and completion tokens together; None.
        requests: HTTP requests; None.

    Raises:
        ConfigError: for a cap that is not a positive number.

    Example:
        >>> catlite.evaluate("gsm8k", "gpt-4o-mini", run="runs/gsm8k", budget=catlite.Budget(usd=2.0), max_tokens=512)
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

    def __reduce__(self) -> tuple[type[Account], tuple[Usage]]:
        return Account, (self.spent,)  # requests under way are not those of another process

    def book(self, usage: Usage) -> None:
        """Add what a request cost."""
        with self.lock:
            self.spent += usage

    def correct(self, booked: Usage, cost: Usage) -> None:
        """Put what a request did cost in place of what it was booked at."""
        with self.lock:
            self.spent += known(booked, -1) + cost

    def learn(self, used: Usage, bound: Bound) -> None:
        """Widen the bounds of all requests to what a server said that one used, where that is more than its `bound`."""
        plain = bound(0, 1.0)
        with self.lock:
            more, times = self.beyond
            if used.prompt_tokens is not None and plain.prompt_tokens is not None:
                more = max(more, used.prompt_tokens - plain.prompt_tokens)
            if used.completion_tokens and plain.completion_tokens:
                times = max(times, used.completion_tokens / plain.completion_tokens)
            self.beyond = more, times


@dataclass
class Room:
    """What an account holds for one request: `most`, until it is given back."""

    account: Account
    model: str | None  # whose first request may be waited for
    most: Usage
    held: bool = True
    inner: Usage = field(default_factory=Usage)  # of the models that were asked meanwhile, now or in earlier parts

    def __enter__(self) -> Room:
        return self

    def __exit__(self, failure: object, *_: object) -> None:
        self.give_back(learned=failure is None)

    def give_back(self, *, learned: bool = True) -> None:
        """Free what is held; a second time changes nothing.

        Args:
            learned: False where the request failed: if it was the first to its model, the next one goes alone as well.
        """
        with self.account.lock:
            if self.held:
                self.held = False
                self.account.reserved += known(self.most, -1)
                if self.model is not None:
                    if learned:
                        self.account.first_is_back[self.model] = True
                    elif not self.account.first_is_back.get(self.model):
                        self.account.first_is_back.pop(self.model, None)


@dataclass
class Ledger:
    """A Budget, and the account whose requests it holds within its caps."""

    budget: Budget
    account: Account = field(default_factory=Account)

    def __post_init__(self) -> None:
        """Raises ConfigError for what is not a Budget, and for a cap on what cannot be counted."""
        if not isinstance(self.budget, Budget):
            raise ConfigError(f"budget={self.budget!r:.60}: want Budget(usd=…), Budget(tokens=…) or Budget(requests=…)")
        spent = _by_cap(self.spent)
        unbounded = "without max_tokens, to a server that does not say what it used"
        for name, why, instead in (
            ("usd", "at a price that is not known", "tokens= or requests="),
            ("tokens", unbounded, "requests="),
        ):
            cap = getattr(self.budget, name)
            if cap is not None and spent[name] is None:
                raise ConfigError(
                    f"Budget({name}={cap:g}): this run has requests that were made {why}, so what it has spent is not "
                    f"known and the cap cannot be held: cap {instead} instead, or give it a run folder of its own"
                )

    @property
    def spent(self) -> Usage:
        """What has been booked so far."""
        return self.account.spent

    def check(self, model: str, completion_tokens: int | None, priced: bool) -> None:
        """Raise ConfigError when a cap needs a bound that is missing: a limit on the reply, or a price."""
        if completion_tokens is None and (self.budget.usd is not None or self.budget.tokens is not None):
            raise ConfigError(
                "a budget in dollars or tokens needs max_tokens on every request (rollouts and estimators), so that "
                "what a reply may cost is known before it is sent"
            )
        if self.budget.usd is not None and not priced:
            raise ConfigError(
                f"a budget in dollars needs the price of {model!r}, which is not known: pass price=Price(prompt, "
                "completion) in dollars per million tokens, or cap tokens or requests instead"
            )

    @asynccontextmanager
    async def room_for(self, model: str, bound: Bound, exact: bool) -> AsyncIterator[Room]:
        """Hold room for one request to `model`, waiting for others to be back where that helps.

        Args:
            model: its name.
            bound: the most the request can cost.
            exact: the bound holds as it is, so that nothing has to be learned of it. Thousands of these may wait for
                hours, for a batch, and look ever less often.

        Raises:
            BudgetReached: when there will be no room.
        """
        pause = _POLL_SECONDS
        while (room := self._reserve(model, bound, exact)) is None:  # an Event belongs to one loop only
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONG_POLL_SECONDS) if exact else pause
        with room:
            yield room

    def _reserve(self, model: str, bound: Bound, exact: bool) -> Room | None:
        """Hold room; None when it is worth waiting."""
        account = self.account
        capped_by_use = self.budget.usd is not None or self.budget.tokens is not None
        with account.lock:
            if capped_by_use and not exact and account.first_is_back.get(model) is False:
                return None
            most = bound(0, 1.0) if exact else bound(*account.beyond)
            if capped_by_use or self.budget.requests is not None:
                over = self.over(account.spent + most)
                if over is not None:
                    larger = "Run again with a larger one to go on from here"
                    raise BudgetReached(f"the budget is reached: {over}. {larger}")
                if self.over(account.spent + account.reserved + most) is not None:
                    return None
            account.reserved += known(most)
            if not exact:
                account.first_is_back.setdefault(model, False)
            return Room(account, None if exact else model, most)

    def over(self, usage: Usage) -> str | None:
        """Say which cap `usage` exceeds, if any."""
        spent = _by_cap(self.spent)
        for name, used in _by_cap(usage).items():
            cap, now = getattr(self.budget, name), spent[name]
            if cap is None:
                continue
            if used is None or now is None:
                why = "since a request without a bound was made beside it"
                return f"what was spent in {name} is no longer known, {why}"
            if used > cap:
                return f"{now:g} of {cap:g} {name} are spent, and the next request may take it to {used:g}"
        return None


def most_prompt_tokens(messages: Sequence[Message], model: str = "") -> int:
    """The most tokens `messages` can take: a token is at least a byte; for images see parts.most_tokens."""
    texts = sum(len(text_of(message).encode("utf-8", "replace")) + _TEMPLATE_TOKENS for message in messages)
    return texts + sum(most_tokens(part, model) for part in media(messages))


def choices(sampling: Mapping[str, Any], n: int) -> int:
    """How many choices a request for `n` may be billed for: `extra_body` may ask for more."""
    more = sampling.get("extra_body") or {}
    counts = [n, *(more[name] for name in ("n", "best_of") if isinstance(more.get(name), int))]
    return max(map(int, counts))


def _by_cap(usage: Usage) -> dict[str, float | None]:
    """What each cap of a Budget counts; None where it is unknown."""
    return {"usd": usage.cost_usd, "tokens": usage.total_tokens, "requests": usage.requests}


def known(usage: Usage, sign: int = 1) -> Usage:
    """`usage`, or its contrary, with 0 for what is unknown: without a cap on it nobody asks."""
    prompt, completion = sign * (usage.prompt_tokens or 0), sign * (usage.completion_tokens or 0)
    return Usage(prompt, completion, 0, sign * (usage.cost_usd or 0.0), sign * usage.requests)
