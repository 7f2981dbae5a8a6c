"""Tell whether a difference is real, and where systems give other answers (arXiv 2509.14234 §4.5).

A question's numbers are means over its repeats, errors are over questions; intervals are of a bootstrap over questions.
Left out: corrections for many comparisons, bias-corrected intervals, and a dependency on SciPy for these few lines
(docs/statistics.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from catlite import answers
from catlite.averages import mean_and_error, over_questions, relative_gain
from catlite.data import Reference
from catlite.errors import ConfigError
from catlite.results import SINGLE, Evaluation, as_evaluation
from catlite.text import data_frame

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 10_000
_KINDS = 100  # different rows up to which all draws are made at once

Array = np.ndarray[Any, Any]


def differences(evaluation: str | Path | Evaluation, baseline: str = SINGLE, *, seed: int = 0) -> pd.DataFrame:
    """Compare every system with `baseline`, on the questions both were graded on (arXiv 2509.14234 §4).

    Args:
        evaluation: a finished one, or the folder of its run.
        baseline: the system that the others are compared with; the single sample.
        seed: of the bootstrap, a whole number; 0.

    Returns:
        A DataFrame with a row per other system. Columns: difference of mean scores; its standard error over questions,
        paired; low and high, the 95% interval of a paired bootstrap (10,000 draws of questions); relative_gain;
        p_welch, Welch's t-test as in the paper, which ignores the pairing and is therefore the more cautious;
        questions.

    Raises:
        ConfigError: for an unknown baseline.

    Example:
        >>> catlite.differences(evaluation, "MajorityVote")[["system", "difference", "low", "high"]]
    """
    evaluation = as_evaluation(evaluation)
    if baseline not in evaluation.systems:
        raise ConfigError(f"baseline={baseline!r}: the evaluation has {', '.join(evaluation.systems)}")
    base = evaluation.scores(baseline)
    rows = []
    for system in evaluation.systems:
        if system == baseline:
            continue
        scores = evaluation.scores(system)
        both = [position for position in scores if position in base]
        x, y = np.array([scores[position] for position in both]), np.array([base[position] for position in both])
        difference, error = mean_and_error((x - y).tolist())
        several = len(both) > 1
        low, high = interval(resample((x - y)[:, None], seed)) if several else (math.nan, math.nan)
        # Two constant samples have no variance to test with; np.std of one may be a rounding error.
        varied = several and (np.ptp(x) > 0 or np.ptp(y) > 0)
        rows.append(
            {
                "system": system,
                "baseline": baseline,
                "difference": difference,
                "se": error,
                "low": low,
                "high": high,
                "relative_gain": relative_gain(scores, base),
                "p_welch": _welch(x, y) if varied else math.nan,
                "questions": len(both),
            }
        )
    columns = ["system", "baseline", "difference", "se", "low", "high", "relative_gain", "p_welch", "questions"]
    return data_frame(rows, columns)  # also of an evaluation without another system


def resample(rows: Array, seed: int) -> Array:
    """Draw as many questions as there are, with replacement, RESAMPLES times, and average each draw.

    Args:
        rows: of shape (questions, figures).
        seed: of the draws.

    Returns:
        Means of shape (RESAMPLES, figures).
    """
    generator = np.random.default_rng(seed)
    kinds, sizes = np.unique(rows, axis=0, return_counts=True)
    if len(kinds) <= _KINDS:  # rows that are alike are drawn together
        means: Array = generator.multinomial(len(rows), sizes / len(rows), RESAMPLES) @ kinds / len(rows)
        return means
    # One draw at a time: all of them at once would take a gigabyte for 5,000 questions.
    draws = (generator.integers(0, len(rows), len(rows)) for _ in range(RESAMPLES))
    return np.stack([rows[draw].mean(axis=0) for draw in draws])


def interval(values: Array) -> tuple[float, float]:
    """Give the 95% percentile interval of `values`, those that are nan left out; nan where no value is left."""
    known = values[~np.isnan(values)]
    if not len(known):
        return math.nan, math.nan
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)


def _welch(x: Array, y: Array) -> float:
    """Give the two-sided p-value of Welch's t-test (1947); one list may be constant, not both."""
    from mpmath import betainc

    errors = [values.var(ddof=1) / len(values) for values in (x, y)]
    error = sum(errors)
    t_squared = float((x.mean() - y.mean()) ** 2 / error)
    freedom = float(error**2 / sum(each**2 / (len(values) - 1) for each, values in zip(errors, (x, y), strict=True)))
    # Of Student's t both tails together are this regularized incomplete beta function (Abramowitz & Stegun 26.7.1).
    return float(betainc(freedom / 2, 0.5, 0, freedom / (freedom + t_squared), regularized=True))


def disagreement(evaluation: str | Path | Evaluation, system: str = "Synthesis") -> pd.DataFrame:
    """Tell how often a system's answer differs from another's, and who is right then (arXiv 2509.14234 §4.5).

    Args:
        evaluation: a finished one, of examples with an answer format.
        system: the system that the others are compared with; "Synthesis".

    Returns:
        A DataFrame with a row per other system that has references, and one for "every rollout": the questions on which
        no rollout has the answer that `system` gives. Columns: system, other, questions, disagree (share), right and
        other_right (shares of the disagreements that have a gold answer; nan where none has), each share with its
        standard error over questions.

    Raises:
        ConfigError: for a system without references, and for open-ended examples: two texts in other words may say the
            same, so that there is no answer to compare.

    Example:
        >>> catlite.disagreement(evaluation)[["other", "disagree", "right", "other_right"]]
    """
    evaluation = as_evaluation(evaluation)
    own = _by_question(evaluation, system)
    if not own:
        raise ConfigError(f"the evaluation has no references by {system!r}: it has {', '.join(evaluation.systems)}")
    check_comparable(evaluation, "disagreement()")
    rows = []
    for other in [name for name in evaluation.systems if name not in (SINGLE, system)]:
        others = _by_question(evaluation, other)
        if others:  # else it failed on every question
            rows.append(_apart(system, other, {key: (own[key], [others[key].answer]) for key in own if key in others}))
    everyone = {key: (reference, [r.answer for r in reference.group.usable]) for key, reference in own.items()}
    return data_frame([*rows, _apart(system, "every rollout", everyone)])


_Key = tuple[int, int]  # position of a question, repeat


def _by_question(evaluation: Evaluation, system: str) -> dict[_Key, Reference]:
    rows = [row for row in evaluation.rows if row.system == system]
    return {(row.position, row.repeat): row.reference for row in rows if row.reference is not None}


def _apart(system: str, other: str, pairs: Mapping[_Key, tuple[Reference, Sequence[str | None]]]) -> dict[str, Any]:
    """Compare each reference with other answers to its question; only answers that differ with the gold answer."""
    differs, right, other_right = [], [], []
    for (position, _), (reference, others) in pairs.items():
        apart = not any(_same(reference.answer, other) for other in others)
        differs.append((position, apart))
        gold = reference.group.example.answer
        if apart and gold is not None:
            right.append((position, _same(reference.answer, gold)))
            other_right.append((position, any(_same(other, gold) for other in others)))
    row: dict[str, Any] = {"system": system, "other": other, "questions": len({position for position, _ in differs})}
    for name, shares in (("disagree", differs), ("right", right), ("other_right", other_right)):
        row[name], row[f"{name}_se"] = over_questions(shares)
    return row


def _same(a: str | None, b: str | None) -> bool:
    return a == b if a is None or b is None else answers.equivalent(a, b)


def check_comparable(evaluation: Evaluation, what: str) -> None:
    """Raise ConfigError where some example is open-ended, so that `what` has no final answers to compare."""
    groups = evaluation.groups or [reference.group for reference in evaluation.references]
    without = sum(group.example.answer_format is None for group in groups)
    if without:
        raise ConfigError(
            f"{what} compares final answers, and {without} of {len(groups)} examples have no answer_format: compare "
            "scores with differences(), or say how answers are written (answer_format='boxed', or a regular expression)"
        )
