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
    """ConfigError unless each of the models that have these `names` has a weight; without weights there is no need."""
    if weights is None:
        return
    for name in names:
        if name is None:
            raise ConfigError("weights= goes by the model that wrote a rollout, and these rollouts do not tell theirs")
        if name not in weights:
            raise ConfigError(
                f"weights= has {', '.join(map(repr, weights))}, and not {name!r}, which writes rollouts: add it, "
                "with 0 where it is to have no vote"
            )


Shares = list[tuple[Hashable, float]]  # (question, a share of pairs of replies to it)


@dataclass(frozen=True)
class Sampled:
    """One group that was sampled: which question it answers, and the scores of its rollouts, if they have some."""

    question: Hashable
    group: Group
    scores: Sequence[float | None] = ()


def writer(rollout: Response) -> str | None:
    """Name the member of a Panel that wrote `rollout`; None where it was sampled from one model."""
    return rollout.model if isinstance(rollout, Rollout) else None


def members_of(sampled: Iterable[Sampled]) -> list[str]:
    """Name the members that gave the rollouts, in the order of their first."""
    names = dict.fromkeys(writer(rollout) for one in sampled for rollout in one.group.rollouts)
    return [name for name in names if name is not None]


class Ballots:
    """The answers of every group as numbers of their classes, by member: two replies agree where these are equal.

    Args:
        sampled: the groups.
        at_once: True leaves out groups whose answers take long to compare, for a table that must not wait.
    """

    def __init__(self, sampled: Iterable[Sampled], *, at_once: bool = False) -> None:
        self.whole = True  # whether no group was left out
        self.cast: list[tuple[Hashable, dict[str | None, list[int]]]] = []
        for one in sampled:
            voters = [rollout for rollout in one.group.usable if rollout.answer is not None]
            if one.group.example.answer_format is None:
                continue
            votes = [str(voter.answer) for voter in voters]
            kinds = known_classes(votes) if at_once else classes(votes)
            if kinds is None:
                self.whole = False
                continue
            ballots: dict[str | None, list[int]] = {}
            for number, indices in enumerate(kinds):
                for index in indices:
                    ballots.setdefault(writer(voters[index]), []).append(number)
            self.cast.append((one.question, ballots))

    def agreement(self, name: str, others: Iterable[str | None]) -> tuple[float, float]:
        """Give (mean, standard error) over questions of the share of pairs that agree; nan where there is none.

        Args:
            name: the member that gave one reply of a pair.
            others: the members that gave the other reply.
        """
        shares: Shares = []
        for question, ballots in self.cast:
            own = ballots.get(name, [])
            rest = [number for other in others if other != name for number in ballots.get(other, [])]
            equal = sum(own.count(number) * rest.count(number) for number in set(own))
            pairs = len(own) * len(rest)
            if name in others:
                equal += sum(math.comb(own.count(number), 2) for number in set(own))
                pairs += math.comb(len(own), 2)
            shares += [(question, equal / pairs)] if pairs else []
        return over_questions(shares)


def rows(sampled: Sequence[Sampled], *, at_once: bool = False) -> list[dict[str, Any]]:
    """List what each member gave, as `analysis.panels.members` describes it; none where no Panel was sampled.

    Args:
        sampled: the groups.
        at_once: True leaves agreement unknown where it takes long to compare answers.
    """
    names = members_of(sampled)
    ballots = Ballots(sampled if names else (), at_once=at_once)
    return [_row(name, names, sampled, ballots) for name in names]


def _row(name: str, names: Sequence[str], sampled: Sequence[Sampled], ballots: Ballots) -> dict[str, Any]:
    replies = [rollout for one in sampled for rollout in one.group.rollouts if writer(rollout) == name]
    scores = [
        (one.question, score)
        for one in sampled
        for rollout, score in zip(one.group.rollouts, one.scores, strict=False)
        if writer(rollout) == name and score is not None
    ]
    graded = any(one.scores for one in sampled)
    score, error = over_questions(scores)
    answered = [rollout for rollout in replies if rollout.defect != "failed"]
    unknown = (math.nan, math.nan)
    own = ballots.agreement(name, [name]) if ballots.whole else unknown
    others = ballots.agreement(name, [other for other in names if other != name]) if ballots.whole else unknown
    usage = Usage.total(rollout.usage for rollout in replies)
    return {
        "model": name,
        "rollouts": len(replies),
        "failed": len(replies) - len(answered),
        "no_answer": sum(rollout.answer is None for rollout in answered),
        **({"score": score, "score_se": error} if graded else {}),
        "own": own[0],
        "own_se": own[1],
        "others": others[0],
        "others_se": others[1],
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost_usd": usage.cost_usd,
        "error": next((rollout.error for rollout in replies if rollout.error is not None), None),
    }
