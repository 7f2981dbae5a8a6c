"""Two policies set side by side: a judge says which of two responses is better, in both orders.

It takes no rubric: where a rubric was trained against, it shows whether its judge was hacked (arXiv 2605.12474). Left
out: more than two policies.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from catlite import answers, concurrency
from catlite.averages import over_questions
from catlite.coerce import as_model
from catlite.data import Group
from catlite.errors import ConfigError
from catlite.models.base import Model
from catlite.rewards import asking
from catlite.rewards.verdicts.scores import read_choice
from catlite.runs.session import noting, open_run
from catlite.text import data_frame
from catlite.usage import Usage

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Preference:
    """Whether a judge finds the replies after something better than those before it, over the same prompts.

    Args:
        share: of the comparisons won by the reply after, a tie counting half, from 0 to 1; several of a prompt are
            averaged first. nan without any.
        error: its standard error over prompts; nan for fewer than 2.
        scores: of each pair 1.0 where the reply after won in both orders, 0.0 where it lost in both, else between;
            None where the judge's choice could not be read in one of the orders.
        consistent: share of the pairs on which both orders gave the same choice; nan without any.
        judge: the name of the judge.
        usage: what judging took.
        reasons: of each pair the judge's reasons, in both orders.
        notes: warnings before one trusts it.
    """

    share: float
    error: float
    scores: tuple[float | None, ...]
    consistent: float
    judge: str
    usage: Usage = Usage()
    reasons: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Make a table with a row per pair: its score and the reasons in both orders."""
        return data_frame(
            [
                {"pair": number, "score": score, "reason": first, "reason swapped": second}
                for number, (score, (first, second)) in enumerate(zip(self.scores, self.reasons, strict=True), 1)
            ]
        )

    def __str__(self) -> str:
        count = sum(score is not None for score in self.scores)
        return (
            f"after is preferred on {self.share:.3f} ± {self.error:.3f} of {count} pairs (a tie counts half; 0.5 is no "
            f"difference); both orders agree on {self.consistent:.2f}"
        )


def prefer(
    judge: str | Model,
    before: Sequence[Group],
    after: Sequence[Group],
    *,
    max_tokens: int | None = None,
    run: str | Path | None = None,
) -> Preference:
    """Ask a judge which replies are better, those before training or those after, without any rubric.

    The first usable rollout of each group stands for it. Each pair is asked about twice, in both orders, because judges
    favour a place: a reply wins that is chosen in both; one choice each way is a tie. Costs two calls a pair. A judge
    other than the one that was trained against tells whether that one was hacked (arXiv 2605.12474).

    Args:
        judge: the model that chooses, or its name.
        before: a group for each prompt, such as `evaluation.groups`; with repeats several.
        after: groups of the same prompts, in the same order.
        max_tokens: of each of the judge's replies; None leaves its own limit.
        run: a folder in which the judge's replies are kept; None keeps nothing.

    Returns:
        The Preference: the share for after with its standard error over prompts.

    Raises:
        ConfigError: when the two do not have the same prompts, or there is nothing to compare.
        ModelError: what `judge.sample` raises; the replies before it are in `run`.

    Example:
        >>> preference = catlite.rewards.preference.prefer("gpt-4o", initial.groups, trained.groups)
        >>> print(preference)
    """
    judge = as_model(judge, "judge")
    for name, groups in (("before", before), ("after", after)):
        if not isinstance(groups, Sequence):
            raise ConfigError(f"{name} is {type(groups).__name__}: want a list of groups, such as evaluation.groups")
        strange = next((group for group in groups if not isinstance(group, Group)), None)
        if strange is not None:
            raise ConfigError(f"{name} has a {type(strange).__name__}: want groups, such as evaluation.groups")
    if len(before) != len(after) or not before:
        raise ConfigError(f"{len(before)} groups before and {len(after)} after: want as many, and at least one")
    for number, (old, new) in enumerate(zip(before, after, strict=True), 1):
        if old.example.messages != new.example.messages:
            raise ConfigError(f"pair {number} has different prompts: give groups of the same ones, in the same order")
    return concurrency.run(_prefer(judge, before, after, max_tokens, run))


async def _prefer(
    judge: Model,
    before: Sequence[Group],
    after: Sequence[Group],
    max_tokens: int | None,
    run: str | Path | None,
) -> Preference:
    spent: list[Usage | None] = []

    async def compare(old: Group, new: Group) -> tuple[float | None, bool, tuple[str, str]]:
        """(the score of `new`, whether both orders agree, the reasons)."""
        if not old.usable or not new.usable:
            missing = "no usable reply " + ("before" if not old.usable else "after")
            return None, False, (missing, missing)
        texts = [answers.without_thinking(group.usable[0].text) for group in (old, new)]
        if texts[0] == texts[1]:
            return 0.5, True, ("the same text", "the same text")
        question = old.example.messages
        (first, why), (second, why_swapped) = await concurrency.together(
            asking.ask_twice(
                judge,
                asking.about_pair(question, pair),
                asking.CHOICE,
                read_choice,
                max_tokens=max_tokens,
                spent=spent,
            )
            for pair in (texts, texts[::-1])
        )
        if first is None or second is None:
            return None, False, (why, why_swapped)
        won, swapped = {"1": 0.0, "2": 1.0, "tie": 0.5}[first], {"1": 1.0, "2": 0.0, "tie": 0.5}[second]
        return (won + swapped) / 2, won == swapped, (why, why_swapped)

    with open_run(run), noting() as remarks:
        pairs = await concurrency.together(compare(*pair) for pair in zip(before, after, strict=True))
    prompts = [json.dumps(group.example.messages) for group in before]
    share, error = over_questions(
        (prompt, score) for prompt, (score, _, _) in zip(prompts, pairs, strict=True) if score is not None
    )
    agreeing = [agree for score, agree, _ in pairs if score is not None]
    unread = len(pairs) - len(agreeing)
    notes = ([f"{unread} of {len(pairs)} pairs could not be compared"] if unread else []) + list(remarks)
    return Preference(
        share,
        error,
        tuple(score for score, _, _ in pairs),
        fmean(agreeing) if agreeing else math.nan,
        judge.name,
        Usage.total(spent),
        tuple(reasons for _, _, reasons in pairs),
        tuple(notes),
    )
