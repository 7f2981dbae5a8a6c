"""Bootstrap intervals over questions, as `differences` and `agreement` give them.

Left out: bias-corrected intervals, and a dependency on SciPy for these few lines (docs/statistics.md).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

RESAMPLES = 10_000
_KINDS = 100  # different rows up to which all draws are made at once

Array = np.ndarray[Any, Any]


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
