"""Checks while training (arXiv 2509.14234 App. D): does the reference still beat a single sample, and when to stop.

On prompts that are not trained on, the teacher (the reference of a fresh group) is scored against the policy (the
rollouts). With gold answers that is accuracy. Without, it is how far either agrees with the other rollouts, so a gap
of 0 says that all rollouts agree. For open-ended tasks it is the reward. Left out: tests of significance; the rule is
a plain one on standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean, stdev
from typing import Any

from catlite import concurrency
from catlite.data import Example, Group, Reference
from catlite.models.base import Model
from catlite.rewards.answer_match import GOLD, AnswerMatch
from catlite.rollouts import sample_group
from catlite.training.reward import Rewarder, Scored, agreement

CLOSED, STALLED = 2, 3  # checks in a row after which a gap that is closed, or no longer narrows, ends training
OPEN = 2.0  # standard errors above which a gap is there, and no chance: what was never open cannot close


@dataclass(frozen=True, slots=True)
class Check:
    """One check: scores of teacher and policy, their gap, and the mean reward, with standard errors over prompts."""

    step: int
    prompts: int
    teacher: float
    policy: float
    gap: float
    gap_se: float
    reward: float
    reward_se: float

    def as_metrics(self) -> dict[str, Any]:
        """By the names that metrics have."""
        return {f"check/{name}": value for name, value in asdict(self).items() if name != "step"}


async def check(
    policy: Model, examples: Sequence[Example], rewarder: Rewarder, n: int, step: int, **sampling: Any
) -> Check | None:
    """Fresh groups of the policy on `examples`, scored; None when no prompt could be."""
    # The gold answer is for grading only: neither sampling nor estimator nor reward may see it.
    hidden = [replace(example, answer=None) for example in examples]
    groups = await concurrency.together(_group(policy, example, n, sampling) for example in hidden)
    batch = await rewarder.score([group for group in groups if group is not None])
    golds = [example.answer for example, group in zip(examples, groups, strict=True) if group is not None]
    pairs = [await _scores(one, gold) for one, gold in zip(batch.scored, golds, strict=True)]
    pairs += await _rewarded([one for one in batch.scored if _open_ended(one)], rewarder)
    found = [pair for pair in pairs if pair is not None]
    rewards = [_mean(one.rewards) for one in batch.scored if not one.abstains]
    if not found:
        return None
    gaps = [teacher - policy for teacher, policy in found]
    return Check(
        step,
        len(found),
        fmean(teacher for teacher, _ in found),
        fmean(policy for _, policy in found),
        fmean(gaps),
        standard_error(gaps),
        fmean(rewards) if rewards else math.nan,
        standard_error(rewards),
    )


async def _group(policy: Model, example: Example, n: int, sampling: dict[str, Any]) -> Group | None:
    """A fresh group, also one in which no rollout can be used; None when nothing came."""
    from catlite.errors import GroupError

    try:
        return await sample_group(policy, example, n, **sampling)
    except GroupError as error:
        return error.group if error.group.replies else None


def _open_ended(one: Scored) -> bool:
    """Whether only the reward can tell teacher from policy, and it can."""
    return one.reference is not None and one.group.example.answer_format is None and not one.abstains


async def _rewarded(scored: Sequence[Scored], rewarder: Rewarder) -> list[tuple[float, float] | None]:
    """(teacher, policy) by the reward: each reference is rewarded as a rollout would be, all of them at once."""
    references = [one.reference for one in scored if one.reference is not None]
    alone = [Group(reference.group.example, (reference.as_rollout(),)) for reference in references]
    itself = await rewarder.score(alone, references)
    return [
        None if teacher.abstains else (_mean(teacher.rewards), _mean(one.rewards))
        for teacher, one in zip(itself.scored, scored, strict=True)
    ]


async def _scores(one: Scored, gold: str | None) -> tuple[float, float] | None:
    """(teacher, policy) of one prompt by its answers; None when there are none to compare, or a call failed.

    As in an evaluation, what came and has no answer scores 0: cut off rollouts, and a reference that their lack of
    answers left no way to make.
    """
    group, reference = one.group, one.reference
    if group.example.answer_format is None or (reference is None and not one.unanswered):
        return None
    if gold is None:
        return await agreement(group, reference)
    truth = Reference(gold, gold, GOLD, group)
    policy = [score for score in await AnswerMatch()(group, truth) if score is not None]
    teacher: float | None = 0.0
    if reference is not None:
        (teacher,) = await AnswerMatch()(Group(group.example, (reference.as_rollout(),)), truth)
    return None if teacher is None or not policy else (teacher, fmean(policy))


def _mean(rewards: Sequence[float | None]) -> float:
    return fmean(reward for reward in rewards if reward is not None)


def standard_error(values: Sequence[float]) -> float:
    """Of the mean; nan for fewer than two."""
    return stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan


def gap_says_stop(history: Sequence[Check]) -> str | None:
    """Why training may end, in words, when the gap has closed or no longer narrows.

    Closed: not above its standard error in CLOSED checks in a row, after it was OPEN standard errors wide in one. No
    longer narrows: in STALLED checks in a row it was not below the lowest before them by more than its standard error.
    """
    latest = list(history[-CLOSED:])
    was_open = any(one.gap > OPEN * one.gap_se for one in history[:-CLOSED])
    if was_open and all(one.gap <= one.gap_se for one in latest):
        return f"the gap between reference and sample has closed: {_said(latest[-1])} at step {latest[-1].step}"
    before, latest = list(history[:-STALLED]), list(history[-STALLED:])
    if before and all(one.gap >= min(b.gap for b in before) - one.gap_se for one in latest):
        return f"the gap between reference and sample no longer narrows: {_said(latest[-1])} at step {latest[-1].step}"
    return None


def reward_says_stop(history: Sequence[Check]) -> str | None:
    """Why training may end when the reward on held-back prompts no longer rises, by the same rule."""
    known = [one for one in history if not math.isnan(one.reward)]
    before, latest = known[:-STALLED], known[-STALLED:]
    if before and all(one.reward <= max(b.reward for b in before) + one.reward_se for one in latest):
        return (
            f"the reward on held-back prompts no longer rises: {latest[-1].reward:.3f} ± {latest[-1].reward_se:.3f} "
            f"at step {latest[-1].step}"
        )
    return None


def _said(one: Check) -> str:
    return f"{one.gap:.3f} ± {one.gap_se:.3f}"
