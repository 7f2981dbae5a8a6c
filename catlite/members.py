"""The members of a Panel: what each vote of theirs weighs, and what each gave, for a table, a report and analysis/.

Left out: estimators, which stand in the rows of an evaluation.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from catlite.answers.voting import classes, known_classes
from catlite.averages import over_questions
from catlite.data import Group, Response, Rollout
from catlite.errors import ConfigError
from catlite.models.base import Model, shown_name
from catlite.models.panel import Panel
from catlite.text import count, dollars, rounded, short
from catlite.usage import Usage


def writers(model: Model) -> tuple[str, ...]:
    """Name whoever writes the rollouts of `model`: each member of a Panel, else the model as a group's policy."""
    return model.names if isinstance(model, Panel) else (shown_name(model),)


def weigh(
    rollouts: Iterable[Response], weights: Mapping[str, float] | None, policy: str | None
) -> Sequence[int | Fraction]:
    """Give the weight of each rollout's vote.

    Args:
        rollouts: of one group.
        weights: by the name of the model that wrote a rollout; None gives each a weight of 1.
        policy: the name of the model that wrote those that tell none, which are not of a Panel.

    Returns:
        Exact numbers, in the order of `rollouts`, so that 0.1 + 0.2 is no more than 0.3.

    Raises:
        ConfigError: for a rollout whose model is unknown or has no weight.
    """
    names = [writer(rollout) or policy for rollout in rollouts]
    check_weighed(weights, names)
    return [1 if weights is None else Fraction(str(weights[str(name)])) for name in names]


def check_weighed(weights: Mapping[str, float] | None, names: Iterable[str | None]) -> None:
    """Raise ConfigError unless each model of these `names` has a weight; without weights none needs one."""
    if weights is None:
        return
    for name in names:
        if name is None:
            raise ConfigError("weights= goes by the model that wrote a rollout, and these rollouts have none")
        if name not in weights:
            raise ConfigError(
                f"weights= has {', '.join(map(repr, weights))}, and not {name!r}, which writes rollouts: add it, "
                "with 0 where it is to have no vote"
            )


def check_vote(weights: Mapping[str, float] | None, names: Sequence[str]) -> None:
    """Raise ConfigError unless each model of these `names` has a weight, and one of the weights is above 0."""
    check_weighed(weights, names)
    if weights is not None and not any(weights[name] for name in names):
        raise ConfigError(f"weights= has 0 for {', '.join(map(repr, names))}, and no other model votes: give one more")


def writer(rollout: Response) -> str | None:
    """Name the member of a Panel that wrote `rollout`; None where it was sampled from one model."""
    return rollout.model if isinstance(rollout, Rollout) else None


@dataclass(frozen=True)
class Sampled:
    """A group that was sampled: which question it answers, and the scores of its rollouts, if they have some."""

    question: Hashable
    group: Group
    scores: Sequence[float | None] = ()


def members_of(sampled: Iterable[Sampled]) -> list[str]:
    """Name the members that gave the rollouts, in the order of their first."""
    names = dict.fromkeys(writer(rollout) for sample in sampled for rollout in sample.group.rollouts)
    return [name for name in names if name is not None]


Votes = Mapping[str | None, Sequence[int]]  # by member, for each answer of its the number of its class


def votes_of(sample: Sampled, *, at_once: bool = False) -> Votes | None:
    """Number the answers of a group, equivalent ones alike.

    Args:
        sample: the group.
        at_once: True for a table, which must not wait for answers that take long to compare.

    Returns:
        The numbers by member, none for open-ended text; None when they are not known at once.
    """
    if sample.group.example.answer_format is None:
        return {}
    voters = [rollout for rollout in sample.group.usable if rollout.answer is not None]
    texts = [str(voter.answer) for voter in voters]
    partition = known_classes(texts) if at_once else classes(texts)
    if partition is None:
        return None
    number_of = {place: number for number, places in enumerate(partition) for place in places}
    votes: dict[str | None, list[int]] = {}
    for place, voter in enumerate(voters):
        votes.setdefault(writer(voter), []).append(number_of[place])
    return votes


def agreement(votes: Iterable[tuple[Hashable, Votes]], name: str, others: Sequence[str]) -> tuple[float, float]:
    """Give the share of pairs of replies that agree, as (mean, standard error) over questions; nan without a pair.

    Args:
        votes: (question, votes) of each group.
        name: the member that wrote one reply of a pair.
        others: the members that wrote the other one, which may be the same.
    """
    shares = []
    for question, by_member in votes:
        own = by_member.get(name, ())
        rest = [number for other in others if other != name for number in by_member.get(other, ())]
        equal, pairs = sum(rest.count(number) for number in own), len(own) * len(rest)
        if name in others:
            equal += sum(math.comb(own.count(number), 2) for number in set(own))
            pairs += math.comb(len(own), 2)
        shares += [(question, equal / pairs)] if pairs else []
    return over_questions(shares)


def count_members(sampled: Sequence[Sampled], *, at_once: bool = False) -> list[dict[str, Any]]:
    """List what each member gave, as analysis.panels.members describes it; nothing where no Panel was sampled.

    Args:
        sampled: the groups.
        at_once: True for a table, which must not wait: agreement is nan where it takes long to compare answers.
    """
    names = members_of(sampled)
    known = [(sample.question, votes_of(sample, at_once=at_once)) for sample in (sampled if names else ())]
    whole = [(question, votes) for question, votes in known if votes is not None]
    votes = whole if len(whole) == len(known) else []
    return [_row(name, names, sampled, votes) for name in names]


def _row(
    name: str, names: Sequence[str], sampled: Sequence[Sampled], votes: Sequence[tuple[Hashable, Votes]]
) -> dict[str, Any]:
    replies = [rollout for sample in sampled for rollout in sample.group.rollouts if writer(rollout) == name]
    answered = [rollout for rollout in replies if rollout.defect != "failed"]
    scores = [
        (sample.question, score)
        for sample in sampled
        for rollout, score in zip(sample.group.rollouts, sample.scores, strict=False)
        if writer(rollout) == name and score is not None
    ]
    usage = Usage.total(rollout.usage for rollout in replies)
    row: dict[str, Any] = {"model": name, "rollouts": len(replies), "failed": len(replies) - len(answered)}
    row["no_answer"] = sum(rollout.answer is None for rollout in answered)
    for column, (mean, error) in {
        "score": over_questions(scores),
        "own": agreement(votes, name, [name]),
        "others": agreement(votes, name, [other for other in names if other != name]),
    }.items():
        row |= {column: mean, f"{column}_se": error}
    row |= {figure: getattr(usage, figure) for figure in ("prompt_tokens", "completion_tokens", "cost_usd")}
    return row | {"error": next((rollout.error for rollout in replies if rollout.error is not None), None)}


def member_cells(rows: Iterable[Mapping[str, Any]], *, narrow: bool = False) -> list[list[str]]:
    """Write `count_members` as the cells of a table, headings first; `narrow` rounds, and leaves out failed calls."""
    number, places = (rounded, 2) if narrow else (count, 3)

    def share(value: float, places: int) -> str:
        return "?" if math.isnan(value) else f"{value:.{places}f}"

    heads = ["in", "out"] if narrow else ["failed", "tokens in", "tokens out"]
    cells = [["member", "score ± SE", "own", "others", "replies", *heads, "cost"]]
    for row in rows:
        score, error = share(row["score"], 3), share(row["score_se"], 3)
        cells.append(
            [
                short(row["model"]),
                score if score == "?" else f"{score} ± {error}",
                *(share(row[name], places) for name in ("own", "others")),
                count(row["rollouts"]),
                *([] if narrow else [count(row["failed"])]),
                *(number(row[name]) for name in ("prompt_tokens", "completion_tokens")),
                "?" if row["cost_usd"] is None else dollars(row["cost_usd"]),
            ]
        )
    return cells
