"""Criteria for a response, the rubric they make, and the verdicts on them.

A rubric's score is HealthBench's, of which the paper's reward, the fraction of criteria met, is the case without
weights. Left out: where criteria come from (rewards/proposal.py) and who judges (rewards/judge.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from catlite.errors import ConfigError
from catlite.lazy import calling


@dataclass(frozen=True, slots=True)
class Criterion:
    """Something that a response does or does not do.

    Args:
        text: a sentence about the response, such as "Names zinc.".
        points: its weight; 1.0. Below 0, a response that does it loses points.
        tags: names under which scores are reported, such as HealthBench's "axis:accuracy".

    Example:
        >>> Criterion("Tells the reader to stop iron.", -4).points
        -4
    """

    text: str
    points: float = 1.0
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rubric:
    """The criteria by which a response to one example is judged.

    Args:
        criteria: Criterion objects, or their texts, each then worth 1 point.

    Raises:
        ConfigError: for one text, a mapping or a set in place of a list, for a criterion that is neither text nor a
            Criterion with a text, and for points that are no number.

    Example:
        >>> Rubric(["Names zinc.", Criterion("Tells the reader to stop iron.", -4)]).score([True, False])
        1.0
    """

    criteria: tuple[Criterion, ...]

    def __post_init__(self) -> None:
        if isinstance(self.criteria, str | Mapping | Set) or not isinstance(self.criteria, Iterable):
            raise ConfigError(
                f"the criteria are {type(self.criteria).__name__}, not a list: write Rubric([…]) with a text or a "
                "Criterion for each"
            )
        object.__setattr__(self, "criteria", tuple(_criterion(*item) for item in enumerate(self.criteria, 1)))

    def score(self, verdicts: Sequence[bool | float | None]) -> float | None:
        """Divide the points of the met criteria by all positive points (HealthBench's rule in simple-evals).

        A met criterion with negative points subtracts, and nothing is clipped. A criterion without a verdict leaves
        both sums. With points of 1 throughout this is the fraction met, the paper's reward.

        Args:
            verdicts: one per criterion, in order: True, False, a probability, which counts in proportion, or None.

        Returns:
            At most 1.0; None when no judged criterion has positive points.

        Raises:
            ConfigError: there is not one verdict per criterion, or one is none of these.
        """
        if len(verdicts) != len(self.criteria):
            raise ConfigError(
                f"{len(verdicts)} verdicts for a rubric of {len(self.criteria)} criteria: want one for each"
            )
        for number, met in enumerate(verdicts, 1):
            if met is not None and not (hasattr(met, "__float__") and 0 <= met <= 1):
                raise ConfigError(f"verdict {number} is {met!r:.60}: want True, False, a share from 0 to 1, or None")
        pairs = zip(self.criteria, verdicts, strict=True)
        judged = [(criterion.points, met) for criterion, met in pairs if met is not None]
        possible = sum(points for points, _ in judged if points > 0)
        return sum(points * met for points, met in judged) / possible if possible else None

    def __len__(self) -> int:
        return len(self.criteria)

    __repr__ = calling("catlite.reprs.one_line")


def _criterion(number: int, criterion: object) -> Criterion:
    if isinstance(criterion, str):
        criterion = Criterion(criterion)
    text = criterion.text if isinstance(criterion, Criterion) else criterion
    if not isinstance(criterion, Criterion) or not isinstance(text, str) or not text.strip():
        kind = "empty" if isinstance(text, str) else type(text).__name__
        raise ConfigError(f"criterion {number} is {kind}: want a text, or Criterion(text, points)")
    points = criterion.points
    if isinstance(points, bool) or not isinstance(points, int | float) or not math.isfinite(points):
        raise ConfigError(f"criterion {number} has points={points!r}: want a number, below 0 for a fault")
    if not isinstance(criterion.tags, tuple | list) or not all(isinstance(tag, str) for tag in criterion.tags):
        raise ConfigError(f"criterion {number} has tags={criterion.tags!r:.60}: want a tuple of texts")
    return criterion


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a response meets a criterion.

    Args:
        criterion: the criterion.
        met: True or False, of a degree whether it is above 0.5; None when it could not be judged.
        reason: the judge's reason, or why there is no verdict.
        probability: from 0 to 1, where the judge was asked for a degree: of yes (mode "soft"), or how far the criterion
            is met ("levels", "holistic"); else None.
    """

    criterion: Criterion
    met: bool | None
    reason: str = ""
    probability: float | None = None

    @property
    def value(self) -> float | None:
        """The part of the points that counts: the probability where there is one, else 1.0 or 0.0, None if unjudged."""
        return self.probability if self.probability is not None else None if self.met is None else float(self.met)
