"""What would leave every group without a reference or a reward, found before anything is paid.

What is wrong for some examples only is left to their groups, which abstain. Left out: what estimators and rewards of
the user's own need.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from catlite.data import Example
from catlite.errors import ConfigError
from catlite.references.anchored import AnchoredVote
from catlite.references.selection import MajorityVote
from catlite.rewards.answer_match import AnswerMatch
from catlite.rewards.rubric import ExpertRubric

_FORMAT = 'say how answers are written (answer_format="boxed")'
# Each with what it reads of an example, and what to do where that is missing.
_READS: dict[type, tuple[str, str]] = {
    MajorityVote: ("answer_format", f"a vote compares final answers: use Synthesis, or {_FORMAT}"),
    AnchoredVote: ("answer_format", f"a vote compares final answers: use Synthesis, or {_FORMAT}"),
    AnswerMatch: (
        "answer_format",
        f"it compares final answers: pass another reward, such as RubricReward, or {_FORMAT}",
    ),
    ExpertRubric: ("rubric", "use a task with rubrics, or RubricReward, which proposes one"),
}


def check_task(
    estimator: object, reward: object, examples: Sequence[Example] | None, answer_format: str | None = None
) -> None:
    """ConfigError when estimator or reward reads what no example has; a warning when some examples lack it.

    Without `examples`, whose prompts come later, all that is known is their `answer_format`, and what a vote needs.
    """
    if examples is None:
        voting = [part for part in _parts(estimator) if isinstance(part, MajorityVote | AnchoredVote)]
        if voting and answer_format is None:
            raise ConfigError(f"{type(voting[0]).__name__} without answer_format: {_READS[type(voting[0])][1]}")
        return
    for part in (*_parts(estimator), *_parts(reward)):
        needed, remedy = _READS.get(type(part), ("", ""))
        lacking = sum(getattr(one, needed) is None for one in examples) if needed else 0
        if not lacking:
            continue
        told = f"{type(part).__name__} needs the {needed} of an example, and {lacking} of {len(examples)} have none"
        if lacking == len(examples):
            raise ConfigError(f"{told}: {remedy}")
        warnings.warn(f"{told}: their groups will abstain", stacklevel=3)


def check_readable(estimators: Iterable[object], examples: Sequence[Example]) -> None:
    """ConfigError when one of `estimators` reads what no example has, so that all that is paid would be for nothing."""
    for part in (part for estimator in estimators for part in _parts(estimator)):
        needed, remedy = _READS.get(type(part), ("", ""))
        if needed and examples and all(getattr(example, needed) is None for example in examples):
            raise ConfigError(f"{type(part).__name__} needs the {needed} of an example, and none has one: {remedy}")


def _parts(part: Any) -> Iterator[object]:
    """An estimator or a reward, and those it wraps."""
    yield part
    for value in vars(part).values() if hasattr(part, "__dataclass_fields__") else ():
        if hasattr(value, "__dataclass_fields__") and callable(value):
            yield from _parts(value)
