"""HealthBench's official metrics of an evaluation that was graded by rubrics (simple-evals ee3b031, PR 108).

Every judged response is a row, so of the single sample each rollout. The official figure clips the mean, where an
Evaluation's own score does not: with a negative mean they differ. Verdicts are taken as yes or no, also those of modes
"soft" and "levels", whose degrees the official rule has no place for. Left out: the meta-evaluation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catlite import answers
from catlite.data import Example
from catlite.errors import ConfigError
from catlite.results import Evaluation
from catlite.tasks.healthbench import aggregate, deviations
from catlite.text import data_frame

if TYPE_CHECKING:
    import pandas as pd


def official(evaluation: Evaluation, *, seed: int = 0) -> pd.DataFrame:
    """Compute HealthBench's official metrics of an evaluation that was graded by rubrics.

    A response without a score, such as one without a readable verdict, is left out, and so is one that was judged by
    another rubric than its example's.

    Args:
        evaluation: one with grader=ExpertRubric(judge).
        seed: of the bootstrap, a whole number; 0.

    Returns:
        A DataFrame with a row per system and metric: "overall_score", "overall_score_length_adjusted" for HealthBench
        Professional, then every tag. Columns: system, metric, value;
        deviation, of 1,000 bootstrap resamples of questions, with all the responses of each (the official one is over
        responses, of which a question there has one); responses; questions.

    Raises:
        ConfigError: when no system was judged by its examples' rubrics, or only as a whole (mode "holistic").

    Example:
        >>> graded = catlite.evaluate("healthbench", "gpt-4o-mini", grader=catlite.ExpertRubric("gpt-4o"))
        >>> official(graded)
    """
    metrics = []
    for system in evaluation.systems:
        rows = _rows(evaluation, system)
        if rows:
            spread = deviations(rows, seed=seed)
            for metric, value in aggregate(rows).items():
                row = {"system": system, "metric": metric, "value": value, "deviation": spread[metric]}
                questions = len({response["question"] for response in rows})
                metrics.append({**row, "responses": len(rows), "questions": questions})
    if not metrics:
        judged = any(row.judgement for row in evaluation.rows)
        raise ConfigError(
            "the responses were not judged criterion by criterion of their examples' rubrics, but by another rubric or "
            'as a whole (mode="holistic"): evaluate with grader=ExpertRubric(judge)'
            if judged
            else "no system was judged by a rubric: evaluate with grader=ExpertRubric(judge)"
        )
    return data_frame(metrics)


def _rows(evaluation: Evaluation, system: str) -> list[dict[str, Any]]:
    """List what `aggregate` reads, of the responses of one system that have a score."""
    judged = [
        (row.position, row.judgement)
        for row in evaluation.rows
        if row.system == system and row.judgement and row.judgement.rubric == row.judgement.group.example.rubric
    ]
    return [
        {
            "question": position,
            "rubrics": judgement.rubric,
            "example_tags": judgement.group.example.metadata.get("example_tags", []),
            "verdicts": verdicts,
            "characters": _length(judgement.group.example, response.text),
        }
        for position, judgement in judged
        for response, verdicts, reward in zip(
            judgement.group.rollouts, judgement.verdicts_GC, judgement.rewards_G, strict=True
        )
        if reward is not None
    ]


def _length(example: Example, text: str) -> int | None:
    """Give the characters of a response whose task corrects for them; None for another."""
    return len(answers.without_thinking(text)) if example.metadata.get("length_adjusted") else None
