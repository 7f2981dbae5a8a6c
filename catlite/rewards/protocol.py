"""Calls rewards for the verdicts behind them, and checks that a reward fits its task and its policy.

A reward that can be audited has, beside being callable, `async audit(group, reference) -> Judgement`.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from catlite import concurrency
from catlite.coerce import await_part, check_reward, part_name
from catlite.criteria import Rubric
from catlite.data import Group, Judgement, Reference, Reward, Task
from catlite.errors import ConfigError, OwnJudgeWarning
from catlite.models.base import Model
from catlite.models.panel import Panel
from catlite.rewards.answer_match import AnswerMatch

Audit = Callable[[Group, Reference], Awaitable[Judgement]]


async def audited(reward: Reward, group: Group, reference: Reference) -> tuple[list[float | None], Judgement | None]:
    """(rewards of shape (rollouts,), the Judgement they come from); None for a reward that judges by no rubric.

    A score of nan counts as None. Raises ConfigError as `make_rewards` does.
    """
    audit: Audit | None = getattr(reward, "audit", None)
    judgement = None if audit is None else await audit(group, reference)
    rewards = await await_part(reward, group, reference) if judgement is None else list(judgement.rewards_G)
    if isinstance(rewards, list | tuple):
        rewards = [None if isinstance(value, float) and math.isnan(value) else value for value in rewards]
    return check_rewards(rewards, len(group.rollouts), reward), judgement


async def make_rewards(reward: Reward, group: Group, reference: Reference) -> list[float | None]:
    """The rewards of `group`, as floats or None. Raises ConfigError for a reward that is not async, or gives others."""
    return check_rewards(await await_part(reward, group, reference), len(group.rollouts), reward)


def check_rewards(rewards: Any, expected: int, reward: Reward) -> list[float | None]:
    """`rewards` as floats or None. Raises ConfigError for another number than `expected`, or what is not a reward."""
    name = part_name(reward)
    if not isinstance(rewards, list | tuple) or len(rewards) != expected:
        kind = f"{len(rewards)} values" if isinstance(rewards, list | tuple) else type(rewards).__name__
        raise ConfigError(
            f"the reward {name} gave {kind} for a group of {expected} rollouts: give a list with one float, or None, "
            "for each rollout in order"
        )
    for number, value in enumerate(rewards):
        if value is not None and not (isinstance(value, int | float) or hasattr(value, "__float__")):
            raise ConfigError(f"the reward {name} gave {value!r} for rollout {number}: want a float or None")
        if value is not None and not math.isfinite(float(value)):
            raise ConfigError(
                f"the reward {name} gave {float(value)} for rollout {number}: give None for what cannot be judged"
            )
    return [None if value is None else float(value) for value in rewards]


def grader_of(task: Task, grader: Reward | None) -> Reward:
    """The grader of `task`, or AnswerMatch for None; ConfigError when examples lack what it grades by."""
    if len(task) == 0:
        raise ConfigError(f"the task {task.name!r} has no examples")
    if grader is not None:
        check_reward(grader)
        check_gradable(grader, task)
        return grader
    without = sum(example.answer is None for example in task)
    if without or not task.verifiable:
        raise ConfigError(
            f"{without} of {len(task)} examples of {task.name!r} have no answer to grade against"
            if without
            else f"the examples of {task.name!r} have answers but no answer_format by which to find one in a reply"
        )
    return AnswerMatch()


def check_gradable(reward: object, task: Task, by: str | None = None) -> None:
    """Raise ConfigError when `reward` grades nothing, or by what examples of `task` lack: an answer, a rubric.

    Nor can a reward grade that only compares the rollouts of a group. With `by`, only that field is looked at.
    """
    for layer in layers(reward):
        if not getattr(layer, "grades", True):
            raise ConfigError(
                f"{type(layer).__name__} is a control for training, reward={type(layer).__name__}(…): its scores say "
                f"nothing of the replies, and the labels of {task.name!r} would not be read. Leave grader= out to "
                "compare final answers with them"
            )
        if getattr(layer, "compares", False):
            raise ConfigError(
                f"{type(layer).__name__} compares the rollouts of one group, and does not tell how good they are: give "
                "a reward whose scores compare between groups, such as ExpertRubric or ModelAsJudge"
            )
        needed = getattr(layer, "grades_by", None)
        needed = needed if by in (None, needed) else None
        lacking = sum(getattr(example, needed) in (None, Rubric(())) for example in task) if needed is not None else 0
        if lacking:
            raise ConfigError(
                f"{type(layer).__name__} grades by the {needed} of an example, and {lacking} of {len(task)} examples "
                f"of {task.name!r} have none"
            )


def warn_own_judge(policy: Model, reward: object) -> None:
    """OwnJudgeWarning when the judge of `reward` is `policy`, or has its name; of a Panel each member counts."""
    judges = [judge for layer in layers(reward) if isinstance(judge := getattr(layer, "judge", None), Model)]
    policies = _names(policy)
    own = [name for judge in judges for name in _names(judge) if any(same_model(name, other) for other in policies)]
    if own:
        concurrency.warn(
            f"{own[0]!r} judges its own replies: it shares their mistakes, and in training it learns what its "
            "own judge lets pass. Another model as judge= avoids that",
            OwnJudgeWarning,
        )


def same_model(name: str, other: str) -> bool:
    """Tell whether both name one model, with or without its provider: "gpt-4o" and "openai/gpt-4o"."""
    short, long = sorted((name.lower(), other.lower()), key=len)
    return long == short or long.endswith(f"/{short}")


def _names(model: Model) -> list[str]:
    """List the name of a model, and the names of its members where it is a Panel."""
    members = model.members if isinstance(model, Panel) else ()
    return [model.name, *(member.name for member in members)]


def layers(reward: object) -> Iterator[object]:
    """A reward and the rewards that it wraps, as LengthPenalty does."""
    while reward is not None:
        yield reward
        reward = getattr(reward, "reward", None)
