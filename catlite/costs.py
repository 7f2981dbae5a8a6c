"""What a single sample costs, told from a group of rollouts that were asked for together.

Servers bill the prompt of a request once, whatever the number of replies, so it is not an n-th of the group. Left out:
prices that change with the length of a reply.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from catlite.data import Group
from catlite.models.http.prices import Price
from catlite.usage import Usage


def of_one(group: Group, price: Any) -> Usage:
    """What one rollout alone would have cost, on average: a request of its own, with the whole prompt.

    The seconds are those of the request that brought the group, so no less than one rollout alone takes.
    """
    parts = [reply.usage for reply in group.replies if reply.usage is not None]
    first = [usage for usage in parts if _is_first(usage)]  # on these stand prompt and seconds of their request
    if not first:
        return Usage(None, None, None, None, generations=1)
    prompt = _mean([usage.prompt_tokens for usage in first])
    completion = _mean([usage.completion_tokens for usage in parts])
    cached = _mean([usage.cached_tokens for usage in first])
    priced = isinstance(price, Price)
    cost = price.cost(prompt, completion, cached) if priced else _dollars(parts, completion)
    requests = int(any(usage.requests for usage in first))  # none to weights in this process
    return Usage(prompt, completion, cached, cost, requests, fmean(usage.seconds for usage in first), 1)


def _is_first(usage: Usage) -> bool:
    """Whether this is the usage of a request's first rollout, which has that of the prompt."""
    return usage.requests > 0 or usage.prompt_tokens != 0


def _mean(values: Sequence[float | None]) -> Any:
    """Their mean, in whole numbers or not; None when any is unknown."""
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def _dollars(parts: Sequence[Usage], completion: float | None) -> float | None:
    """The dollars of one rollout alone, of `completion` tokens, from what was paid for those of the group.

    A request's first rollout has the price of its prompt and of its own tokens, the others have that of their tokens.
    """
    if any(usage.cost_usd is None for usage in parts):
        return None
    first = [usage for usage in parts if _is_first(usage)]
    others = [usage for usage in parts if not _is_first(usage)]
    paid, tokens = (sum(getattr(usage, name) or 0 for usage in others) for name in ("cost_usd", "completion_tokens"))
    if not others or not any(usage.cost_usd for usage in parts):
        return fmean(usage.cost_usd or 0 for usage in first)
    if completion is None or not tokens:
        return None  # what a token costs cannot be told
    rate: float = paid / tokens
    prompts = fmean((usage.cost_usd or 0) - rate * (usage.completion_tokens or 0) for usage in first)
    return prompts + rate * completion
