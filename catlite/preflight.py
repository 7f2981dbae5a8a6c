"""Finds what would leave every group without a reference or a reward, before anything is paid.

What only some examples lack is left to their groups, which abstain. Left out: what a user's own estimators and rewards
need.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from catlite.coerce import check_estimator, check_reward, sees_images
from catlite.data import Example, media
from catlite.errors import ConfigError
from catlite.references.anchored import AnchoredVote
from catlite.references.vote import MajorityVote
from catlite.rewards.answer_match import AnswerMatch
from catlite.rewards.controls import FormatReward
from catlite.rewards.likelihood import ReferenceLikelihood
from catlite.rewards.protocol import layers
from catlite.rewards.relative import RelativeJudge
from catlite.rewards.rubric import ExpertRubric
from catlite.rewards.vote_share import VoteShare

_STABLE = 128  # prompts on which training by agreement was not seen to collapse (arXiv 2603.08660)
_FORMAT = 'say how answers are written (answer_format="boxed")'
# By class: the field of an example that it reads, and what to do where that is missing.
_READS: dict[type, tuple[str, str]] = {
    MajorityVote: ("answer_format", f"a vote compares final answers: use Synthesis, or {_FORMAT}"),
    AnchoredVote: ("answer_format", f"a vote compares final answers: use Synthesis, or {_FORMAT}"),
    AnswerMatch: (
        "answer_format",
        f"it compares final answers: pass another reward, such as RubricReward, or {_FORMAT}",
    ),
    ReferenceLikelihood: ("answer_format", f"it puts one final answer in the place of another: {_FORMAT}"),
    FormatReward: ("answer_format", f"it rewards an answer in its format: use RandomReward, or {_FORMAT}"),
    VoteShare: ("answer_format", f"it counts final answers: pass another reward, such as RubricReward, or {_FORMAT}"),
    ExpertRubric: ("rubric", "use a task with rubrics, or RubricReward, which proposes one"),
}


def check_parts(estimator: object, reward: object = None) -> None:
    """Raise ConfigError unless `estimator` and `reward` are an estimator and a reward, or None for the default."""
    if estimator is not None:
        check_estimator(estimator)
    if reward is not None:
        check_reward(reward)


def check_task(
    estimator: object, reward: object, examples: Sequence[Example] | None, answer_format: str | None = None
) -> None:
    """Check that examples have what the estimator and the reward of a training run read.

    Args:
        estimator: makes the references.
        reward: rewards the rollouts; None where nothing is rewarded.
        examples: the examples to train on; None where the prompts come later, and only a vote can be checked.
        answer_format: the format of the answers to come; None for open-ended text.

    Raises:
        ConfigError: when no example has what one of them reads; where only some lack it, a warning says how many.
    """
    for part in (*_parts(estimator), *_parts(reward)):
        if isinstance(part, MajorityVote | AnchoredVote | VoteShare) and part.weights is not None:
            raise ConfigError(
                f"{type(part).__name__} with weights=, which are for the members of a Panel: a training samples one "
                "policy. Leave them out"
            )
    check_images([estimator, reward], examples or ())
    if examples is None:
        for part in _parts(estimator):
            if isinstance(part, MajorityVote | AnchoredVote) and answer_format is None:
                raise ConfigError(f"{type(part).__name__} without answer_format: {_READS[type(part)][1]}")
        return
    for part in (*_parts(estimator), *_parts(reward)):
        needed, remedy, lacking = _missing(part, examples)
        message = f"{type(part).__name__} needs the {needed} of an example, and {lacking} of {len(examples)} have none"
        if lacking == len(examples) and lacking:
            raise ConfigError(f"{message}: {remedy}")
        if lacking:
            warnings.warn(f"{message}: their groups will abstain", stacklevel=3)


def warn_of_collapse(reward: object, prompts: int) -> None:
    """Warn of training by agreement on so many `prompts` that it may collapse, where no check would show that."""
    if prompts > _STABLE and any(isinstance(layer, AnswerMatch | VoteShare) for layer in layers(reward)):
        warnings.warn(
            f"{prompts} prompts are trained on by agreement, and none are held back to see whether that still means "
            f"accuracy. On more than {_STABLE} such training has been seen to collapse (arXiv 2603.08660): set "
            'held_back=16 or stop="flips", or pass validation= with answers',
            stacklevel=3,
        )


def check_stop(stop: str | None, reward: object, held: Sequence[Example]) -> None:
    """Raise ConfigError where training would end by the mean of a RelativeJudge, which says nothing of the policy.

    Args:
        stop: the rule by which training may end.
        reward: what is trained on.
        held: the prompts of the checks; "gap" goes by the reward where they have no answer format.
    """
    by_reward = stop in ("reward", "gold") or (stop == "gap" and any(item.answer_format is None for item in held))
    if by_reward and any(isinstance(layer, RelativeJudge) for layer in layers(reward)):
        raise ConfigError(
            f'stop="{stop}" goes by the mean reward, and RelativeJudge compares the rollouts of one group, so its mean '
            "stays the same when the policy gets better or worse: leave stop out, and see with gold_judge= how good "
            "the policy is"
        )


def check_readable(estimators: Iterable[object], examples: Sequence[Example]) -> None:
    """Raise ConfigError when no example has what one of `estimators` reads: whatever is paid would be for nothing."""
    estimators = list(estimators)
    check_images(estimators, examples)
    for part in (part for estimator in estimators for part in _parts(estimator)):
        needed, remedy, lacking = _missing(part, examples)
        if lacking and lacking == len(examples):
            raise ConfigError(f"{type(part).__name__} needs the {needed} of an example, and none has one: {remedy}")


def check_policy(estimators: Iterable[object], policy: Any) -> None:
    """Raise ConfigError when one of `estimators` votes with weights and lacks that of a model that writes rollouts."""
    for part in (part for estimator in estimators for part in _parts(estimator)):
        if isinstance(part, MajorityVote | AnchoredVote):
            part.check_policy(policy)


def check_images(parts: Iterable[object], examples: Iterable[Example]) -> None:
    """Raise ConfigError when a question has an image that an estimator or a reward would show to a model for text.

    Their `shows_question` names the field with that model, and the one that says whether it is shown the question.
    """
    if not any(media(example.messages) for example in examples):
        return
    for part in (inner for outer in parts for inner in _parts(outer)):
        role, shows = getattr(part, "shows_question", ("", ""))
        model = getattr(part, role, None)
        if model is not None and getattr(part, shows, True) and (role == "scorer" or not sees_images(model)):
            remedy = f"leave {shows} out" if shows else "use another estimator or reward"
            why = "scoring reads text alone" if role == "scorer" else f"{model.name!r} takes text alone"
            raise ConfigError(
                f"{type(part).__name__} shows the question to its {role}, and a question has an image: {why}. Give a "
                f"{role} that sees images, or {remedy}"
            )


def _missing(part: object, examples: Sequence[Example]) -> tuple[str, str, int]:
    """(the field that `part` reads, what to do without it, how many examples lack it)."""
    needed, remedy = _READS.get(type(part), ("", ""))
    return needed, remedy, sum(getattr(example, needed) is None for example in examples) if needed else 0


def _parts(part: Any) -> Iterator[object]:
    """An estimator or a reward, and those that its fields hold."""
    yield part
    for held in fields(part) if is_dataclass(part) else ():
        value = getattr(part, held.name, None)
        if is_dataclass(value) and callable(value):
            yield from _parts(value)
