"""How the score of an estimator grows with the number of rollouts (arXiv 2509.14234 §4.5).

The first rollouts of a finished evaluation are estimated from anew. Left out: fits of a curve, and votes of every
subset, which `maj_at_k` counts without a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from catlite import concurrency
from catlite.analysis.at_k import checked_sizes
from catlite.coerce import check_estimator, part_name
from catlite.data import Estimator, Group, Reference, Reward
from catlite.errors import EstimationError
from catlite.evaluation import areestimate
from catlite.results import Evaluation, as_evaluation
from catlite.rollouts import make_reference
from catlite.runs.budget import Budget
from catlite.text import data_frame

if TYPE_CHECKING:
    import pandas as pd


async def ascaling(
    evaluation: str | Path | Evaluation,
    estimator: Estimator,
    sizes: Sequence[int] | None = None,
    *,
    grader: Reward | None = None,
    run: str | Path | None = None,
    budget: Budget | None = None,
) -> pd.DataFrame:
    """Score an estimator on the first g rollouts of every group, for each g in `sizes` (arXiv 2509.14234 §4.5).

    To be awaited: `scaling` is the same, blocking.

    Args:
        evaluation: a finished one, or the folder of its run, with its groups; nothing is sampled anew.
        estimator: such as Synthesis(anchor); its own calls, one per group and size, are made.
        sizes: numbers of rollouts; None is the powers of two up to n.
        grader: a reward; None is AnswerMatch against each example's answer.
        run: a folder in which the estimator's replies are kept; None keeps nothing.
        budget: a hard cap on these calls; None for none.

    Returns:
        A DataFrame with columns estimator, g, score, se, questions, failed.

    Raises:
        ConfigError: for a size larger than the groups, or what is no estimator.

    Example:
        >>> synthesis = catlite.Synthesis("gpt-4o-mini")
        >>> await catlite.experiments.scaling.ascaling(evaluation, synthesis, sizes=(2, 4, 8), run="runs/scaling")
    """
    evaluation = as_evaluation(evaluation)
    sizes = checked_sizes(evaluation, sizes, "sizes")
    variants = {str(size): First(estimator, size) for size in sizes}
    again = await areestimate(evaluation, variants, grader=grader, run=run, budget=budget)
    rows = []
    for size in sizes:
        score, error, questions = again.score(str(size))
        failed = sum(row.score is None for row in again.rows if row.system == str(size))
        row = {"estimator": part_name(estimator), "g": size, "score": score, "se": error}
        rows.append(row | {"questions": questions, "failed": failed})
    return data_frame(rows)


scaling = concurrency.blocking(ascaling)


@dataclass(frozen=True)
class First:
    """The estimator, shown the first `size` rollouts only."""

    needs_usable: ClassVar = False  # without one, a rollout that came stands for itself

    estimator: Estimator
    size: int

    def __post_init__(self) -> None:
        check_estimator(self.estimator)

    async def __call__(self, group: Group) -> Reference:
        """The reference of that part of `group`."""
        part = Group(group.example, group.rollouts[: self.size])
        if part.usable:
            return await make_reference(self.estimator, part)
        # Nothing to estimate from, as happens to one truncated rollout: what was sampled stands for itself.
        if not part.replies:
            raise EstimationError(f"none of the first {self.size} rollouts came", group)
        first = part.replies[0]
        return Reference(first.text, first.answer, part_name(self.estimator), part)
