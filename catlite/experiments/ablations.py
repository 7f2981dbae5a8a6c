"""What synthesis takes from many rollouts, and from the question (arXiv 2509.14234 §4.5, App. A.3).

The rollouts of a finished evaluation are shown to the anchor anew. Left out: other prompts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from catlite import concurrency
from catlite.analysis.at_k import checked_sizes
from catlite.analysis.comparing import differences
from catlite.data import Estimator, Reward
from catlite.errors import ConfigError
from catlite.evaluation import areestimate
from catlite.experiments.scaling import First
from catlite.references.recursive import RecursiveSynthesis
from catlite.references.synthesis import Synthesis
from catlite.results import Evaluation, as_evaluation
from catlite.runs.budget import Budget
from catlite.text import data_frame

if TYPE_CHECKING:
    import pandas as pd


async def acontext_ablation(
    evaluation: str | Path | Evaluation,
    synthesis: Estimator,
    sizes: Sequence[int] | None = None,
    *,
    grader: Reward | None = None,
    run: str | Path | None = None,
    budget: Budget | None = None,
) -> pd.DataFrame:
    """Compare the synthesis of one rollout with that of all: whether it reconciles, or just answers once more (§4.5).

    To be awaited: `context_ablation` is the same, blocking.

    Args:
        evaluation: a finished one, or the folder of its run, with its groups; nothing is sampled anew.
        synthesis: the estimator, such as Synthesis(anchor), whose calls are made.
        sizes: how many rollouts to show it; None is 1 and all n.
        grader: a reward; None is AnswerMatch against each example's answer.
        run: a folder in which the anchor's replies are kept; None keeps nothing.
        budget: a hard cap on these calls; None for none.

    Returns:
        A DataFrame with a row per system, the single sample first. Columns: system, score, se, questions, failed, and,
        against the first variant, difference, difference_se, low, high (paired, as `differences`).

    Raises:
        ConfigError: for a size larger than the groups, an evaluation without groups, or what is no estimator.

    Example:
        >>> synthesis = catlite.Synthesis("gpt-4o-mini")
        >>> await catlite.experiments.ablations.acontext_ablation(evaluation, synthesis, run="runs/context")
    """
    evaluation = as_evaluation(evaluation)
    sizes = (1, evaluation.n) if sizes is None else checked_sizes(evaluation, sizes, "sizes")
    variants = {f"{size} in context": First(synthesis, size) for size in sizes}
    return _ablation(await areestimate(evaluation, variants, grader=grader, run=run, budget=budget))


context_ablation = concurrency.blocking(acontext_ablation)


async def aquestion_ablation(
    evaluation: str | Path | Evaluation,
    synthesis: Synthesis | RecursiveSynthesis,
    *,
    grader: Reward | None = None,
    run: str | Path | None = None,
    budget: Budget | None = None,
) -> pd.DataFrame:
    """Compare synthesis from the rollouts alone, as in the paper, with synthesis that sees the question (App. A.3).

    To be awaited: `question_ablation` is the same, blocking.

    Args:
        evaluation: a finished one, or the folder of its run, with its groups; nothing is sampled anew.
        synthesis: a Synthesis or RecursiveSynthesis, whose calls are made with and without the question.
        grader: a reward; None is AnswerMatch against each example's answer.
        run: a folder in which the anchor's replies are kept; None keeps nothing.
        budget: a hard cap on these calls; None for none.

    Returns:
        A DataFrame with the rows and columns of `context_ablation`.

    Raises:
        ConfigError: for an estimator that is no synthesis, or an evaluation without groups.

    Example:
        >>> synthesis = catlite.Synthesis("gpt-4o-mini")
        >>> await catlite.experiments.ablations.aquestion_ablation(evaluation, synthesis, run="runs/question")
    """
    evaluation = as_evaluation(evaluation)
    if not isinstance(synthesis, Synthesis | RecursiveSynthesis):
        raise ConfigError(
            f"want a Synthesis or RecursiveSynthesis, which can show its anchor the question: {synthesis!r}"
        )
    variants = {
        "rollouts alone": replace(synthesis, include_question=False),
        "question and rollouts": replace(synthesis, include_question=True),
    }
    return _ablation(await areestimate(evaluation, variants, grader=grader, run=run, budget=budget))


question_ablation = concurrency.blocking(aquestion_ablation)


def _ablation(again: Evaluation) -> pd.DataFrame:
    """Scores, and differences against the first variant."""
    apart = {row["system"]: row for row in differences(again, again.systems[1]).to_dict("records")}
    rows = []
    for system in again.systems:
        score, error, questions = again.score(system)
        failed = sum(row.score is None for row in again.rows if row.system == system)
        delta = apart.get(system, {})
        rows.append(
            {"system": system, "score": score, "se": error, "questions": questions, "failed": failed}
            | {"difference": delta.get("difference", math.nan), "difference_se": delta.get("se", math.nan)}
            | {name: delta.get(name, math.nan) for name in ("low", "high")}
        )
    return data_frame(rows)
