"""A second judge that is never trained on, so that a run shows whether the first one is being hacked.

A policy learns what its judge lets pass; where rubrics were trained against, judges without the rubric came to prefer
the policy before training (arXiv 2605.12474). So held-back prompts are scored by an independent reward as well, the
gold judge, and the gap between both is watched. Left out: panels of judges, which a reward of your own can be.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from statistics import fmean

from catlite import concurrency
from catlite.coerce import check_reward
from catlite.data import Example, Reference, Reward, Task
from catlite.errors import ConfigError
from catlite.models.base import Model
from catlite.models.panel import Panel
from catlite.rewards.answer_match import GOLD
from catlite.rewards.protocol import check_gradable, layers, same_model, warn_own_judge
from catlite.training.config import TrainConfig, describe
from catlite.training.rewarder import Rewarder
from catlite.training.scored import Scored

_ROLES = ("judge", "scorer")  # fields of a reward that hold the model which decides


def gold_rewarder(config: TrainConfig, policy: Model, rewarder: Rewarder, held: Sequence[Example]) -> Rewarder | None:
    """The Rewarder of `config.gold_judge`, within the same time as that of training; None without one.

    Warns when the policy is the gold judge.

    Raises:
        ConfigError: for a gold judge that is the judge, or has its name, with or without its provider; for one that
            only compares; without prompts to score; and for prompts that lack the rubric it grades by.
    """
    gold = config.gold_judge
    if gold is None:
        return None
    check_reward(gold)
    if not held:
        raise ConfigError(
            "gold_judge scores prompts that are not trained on, and there are none: set held_back=16, or pass "
            "validation="
        )
    trained, judges = list(_judges(rewarder.reward)), list(_judges(gold))
    same = [judge.name for judge in judges if any(same_model(judge.name, other.name) for other in trained)]
    if same or describe(gold) == describe(rewarder.reward):
        name = f"{same[0]!r}, the judge" if same else "the reward"
        raise ConfigError(
            f"gold_judge is {name} that is trained against, so both would be hacked alike: give a reward with another "
            "model as its judge, best of another family"
        )
    with_rubric = [example for example in held if example.rubric is not None]
    check_gradable(gold, Task("held back", tuple(with_rubric or held)), "rubric")
    warn_own_judge(policy, gold)
    return Rewarder(rewarder.estimator, gold, rewarder.timeout, rewarder.wait_dial, rewarder.length_dial)


async def gold_scores(scored: Sequence[Scored], golds: Sequence[str | None], rewarder: Rewarder) -> list[float]:
    """The mean reward of each prompt's rollouts by the gold judge, in order; nan where there is none.

    It is given the gold answer where there is one, else the reference of training. Warns when it could score none.
    """
    references = [
        score.reference if gold is None else Reference(gold, gold, GOLD, score.group)
        for score, gold in zip(scored, golds, strict=True)
    ]
    places = [at for at, reference in enumerate(references) if reference is not None]
    batch = await rewarder.score([scored[at].group for at in places], [r for r in references if r is not None])
    values = [math.nan] * len(scored)
    for at, score in zip(places, batch.scored, strict=True):
        known = [reward for reward in score.rewards if reward is not None]
        values[at] = fmean(known) if known else math.nan
    if places and all(map(math.isnan, values)):
        concurrency.warn(
            f"the gold judge scored none of the {len(places)} prompts of a check, so it can neither stop training nor "
            f"choose the best adapter there: {batch.faults[0]}",
            UserWarning,
        )
    return values


def _judges(reward: Reward) -> Iterator[Model]:
    """The models by which a reward, or one inside it, decides; of a Panel also its members."""
    for layer in layers(reward):
        for model in (getattr(layer, role, None) for role in _ROLES):
            if isinstance(model, Model):
                yield from (model, *(model.members if isinstance(model, Panel) else ()))
