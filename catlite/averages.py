"""Means and their errors: one rule for scores, differences, shares and checks (docs/statistics.md).

Values of one question go together, so an error is over questions: the standard deviation of their values over the root
of their number. Left out: intervals, which analysis/ draws with NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Hashable, Iterable
from statistics import fmean, stdev


def mean_and_error(values: Collection[float]) -> tuple[float, float]:
    """Give the mean of `values` and its standard error; nan where there are too few."""
    return (
        fmean(values) if values else math.nan,
        stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan,
    )


def over_questions(values: Iterable[tuple[Hashable, float]]) -> tuple[float, float]:
    """Give mean and standard error over questions of (question, value), several of a question averaged first."""
    by_question: dict[Hashable, list[float]] = {}
    for question, value in values:
        by_question.setdefault(question, []).append(value)
    return mean_and_error([fmean(several) for several in by_question.values()])


def ratio_and_error(sums: Collection[tuple[float, int]]) -> tuple[float, float]:
    """Give the mean over all items of all questions, and its standard error over questions.

    Args:
        sums: of each question the sum of its values and their number, which may differ.

    Returns:
        (mean, error); nan where there are too few.
    """
    items = sum(count for _, count in sums)
    mean = sum(total for total, _ in sums) / items if items else math.nan
    questions = len(sums)
    if questions < 2:
        return mean, math.nan
    squares = sum((total - mean * count) ** 2 for total, count in sums)
    return mean, math.sqrt(squares * questions / (questions - 1)) / items


def relative_gain(scores: dict[int, float], over: dict[int, float]) -> float:
    """Say how much higher the mean of `scores` is, as a share of that of `over`, on the questions in both.

    It is nan where that mean is not positive, as a rubric's can be: a share of it would have the wrong sign.
    """
    both = scores.keys() & over.keys()
    base = sum(over[position] for position in both)
    return sum(scores[position] for position in both) / base - 1 if base > 0 else math.nan
