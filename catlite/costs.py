"""What calls cost: a single sample, told from a group, and a whole run, told before it is made (pricing.py).

Servers bill the prompt of a request once, whatever the number of replies, so that of a sample is not an n-th of the
group's. Left out: prices that change with the length of a reply.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

from catlite.averages import mean_and_error
from catlite.cards import html_table, notes_html
from catlite.data import Group, Response, Rollout
from catlite.models.http.prices import Price
from catlite.text import data_frame, dollars, plural, rounded, table
from catlite.usage import Usage

if TYPE_CHECKING:
    import pandas as pd

COUNTS = ("requests", "prompt_tokens", "completion_tokens", "cost_usd")  # columns of a Cost


def of_one(group: Group, price: Any) -> Usage:
    """What one rollout alone would have cost, on average: a request of its own, with the whole prompt.

    The seconds are those of the request that brought the group, so no less than one rollout alone takes. Of a Panel it
    is the mean over the rollouts, each at what its member takes.
    """
    by_member: dict[str | None, list[Response]] = {}
    for reply in group.replies:
        by_member.setdefault(reply.model if isinstance(reply, Rollout) else None, []).append(reply)
    if len(by_member) > 1:
        members = [replace(group, rollouts=tuple(replies)) for replies in by_member.values()]
        return _mean_usage([of_one(member, price) for member in members for _ in member.rollouts])
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


def _mean_usage(usages: Sequence[Usage]) -> Usage:
    names = ("prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd")
    means = {name: _mean([getattr(usage, name) for usage in usages]) for name in names}
    requests = int(any(usage.requests for usage in usages))
    return Usage(**means, requests=requests, seconds=fmean(usage.seconds for usage in usages), generations=1)


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


@dataclass(frozen=True)
class Cost:
    """What a call is expected to cost, by model; the result of `cost`.

    Example:
        >>> expected = catlite.cost(catlite.evaluate, "gsm8k", "gpt-4o-mini", max_tokens=512)
        >>> expected.usd, expected.usd_se
    """

    call: str
    task: str
    questions: int  # of the call; of a training, its groups
    asked: int  # questions that were asked for real; 0: the call was rehearsed
    rows: tuple[Mapping[str, Any], ...] = field(repr=False)  # one per model, then the total
    notes: tuple[str, ...] = field(default=(), repr=False)

    @property
    def usd(self) -> float | None:
        """US dollars to expect in all; None where a price is unknown."""
        value: float | None = self.rows[-1]["cost_usd"]
        return value

    @property
    def usd_se(self) -> float | None:
        """The standard error of `usd`; nan after one question of several, None where a price is unknown."""
        value: float | None = self.rows[-1]["cost_usd_se"]
        return value

    def to_frame(self) -> pd.DataFrame:
        """Make a DataFrame with a row per model and their total.

        Columns: requests, prompt_tokens, completion_tokens and cost_usd, None where one is unknown, each with its
        standard error as requests_se and so on.
        """
        return data_frame(self.rows).set_index("model")

    @property
    def _title(self) -> str:
        noun = "group" if self.call == "train" else "question"
        how = f"from {plural(self.asked, 'question')} asked" if self.asked else "rehearsed, with no model asked"
        return f"{self.call}({self.task}), {plural(self.questions, noun)}: cost to expect, {how} (± standard error)"

    def _cells(self) -> list[list[str]]:
        head = ["model", "requests", "tokens in", "tokens out", "dollars"]
        return [head, *([row["model"], *(_with_error(row, name) for name in COUNTS)] for row in self.rows)]

    def __str__(self) -> str:
        return "\n".join([self._title, table(self._cells(), right=range(1, 5)), *self.notes])

    def _repr_html_(self) -> str:
        return html_table(self._title, self._cells()) + notes_html(self.notes)


def scale(model: str, usages: Sequence[Sequence[Usage]], counts: Sequence[int], population: int) -> dict[str, Any]:
    """Scale what some questions used to all of them, with the standard error of that.

    Args:
        model: its name.
        usages: of each question that was counted, what each part of the work on it used.
        counts: how often each part is done in all.
        population: how many questions there are.
    """
    row: dict[str, Any] = {"model": model}
    for name in COUNTS:
        parts = [[getattr(usage, name) for usage in each] for each in usages]
        if any(None in each for each in parts):
            row |= {name: None, f"{name}_se": None}
            continue
        mean, error = mean_and_error([sum(map(operator.mul, counts, each)) for each in parts])
        left = max(0.0, 1 - len(parts) / population)  # nothing is uncertain once all questions are counted
        row |= {name: mean, f"{name}_se": error * math.sqrt(left) if left else 0.0}
    return row


def _with_error(row: Mapping[str, Any], name: str) -> str:
    value, error = row[name], row[f"{name}_se"]
    if value is None:
        return "cost unknown" if name == "cost_usd" else "?"
    show = _in_dollars if name == "cost_usd" else rounded
    if not error:
        return show(value)
    return f"{show(value)} ± {'?' if math.isnan(error) else show(error)}"


def _in_dollars(value: float) -> str:
    """Write dollars, with the digits that a small sum takes."""
    return f"${value:,.2f}" if value >= 1 else dollars(value)
