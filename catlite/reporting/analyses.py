"""The figures of a report, out of what analysis/ says of an evaluation.

Left out: analyses that take model calls, such as ablations.
"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from catlite.analysis.at_k import maj_at_k, pass_at_k
from catlite.analysis.comparing import differences, disagreement
from catlite.analysis.traces import traces
from catlite.members import agreement, count_members, votes_of
from catlite.reporting import figures
from catlite.reporting.rendering import finite
from catlite.results import SINGLE, Evaluation

# Questions whose answers are compared for a figure: a symbolic comparison takes a hundredth of a second.
COMPARED = 1_000


def compare_systems(evaluation: Evaluation) -> list[dict[str, Any]]:
    """List the summary and the differences, a row per system; a number that cannot be had is None."""
    paired = SINGLE in evaluation.systems and len(evaluation.systems) > 1
    apart = {row["system"]: row for row in differences(evaluation).to_dict("records")} if paired else {}
    rows = []
    for total in evaluation.summary.reset_index().to_dict("records"):
        delta = apart.get(total["system"], {})
        rows.append(
            {str(name): finite(value) for name, value in total.items()}
            | {name: finite(delta.get(name)) for name in ("difference", "low", "high", "p_welch")}
        )
    return rows


def analyze(evaluation: Evaluation, systems: list[dict[str, Any]]) -> dict[str, Any]:
    """Make the figures that this evaluation has the numbers for, by name."""
    drawings: dict[str, Any] = {}
    apart = [
        {"name": row["system"], "value": row["difference"], "low": row["low"], "high": row["high"]}
        for row in systems
        if row["difference"] is not None
    ]
    if apart:
        drawings["differences"] = figures.intervals(apart)
    # Answers that nobody can compare have no majority, and scores that are no yes or no have no pass@k.
    groups = evaluation.groups or [reference.group for reference in evaluation.references]
    comparable = bool(groups) and all(group.example.answer_format is not None for group in groups)
    drawn = _drawn(evaluation)
    scores = {score for row in evaluation.rows if row.system == SINGLE for score in row.scores}
    if comparable and evaluation.n > 1 and 1.0 in scores and scores <= {0.0, 1.0, None}:
        frames = {"pass@k": pass_at_k(drawn), "maj@k": maj_at_k(drawn)}
        growth = {name: frame.itertuples(index=False, name=None) for name, frame in frames.items()}
        drawings["growth"] = figures.lines(
            {name: [(k, finite(value), finite(error)) for k, value, error, _ in rows] for name, rows in growth.items()}
        )
    estimators = list(dict.fromkeys(row.system for row in drawn.rows if row.reference is not None))
    if comparable and estimators:
        # Synthesis is what the paper asks this about; without it, the first estimator.
        main = next((name for name in estimators if "synthesis" in name.casefold()), estimators[0])
        drawings["disagreement"] = {"system": main, **_disagreement(drawn, main)}
    if members := _members(evaluation, drawn):
        drawings["members"] = members
    if evaluation.references:
        drawings["traces"] = _traces(evaluation)
    return drawings


def _drawn(evaluation: Evaluation) -> Evaluation:
    """Draw COMPARED of the questions that were graded, where there are more."""
    positions = sorted({row.position for row in evaluation.rows if row.score is not None})
    if len(positions) <= COMPARED:
        return evaluation
    kept = set(random.Random(0).sample(positions, COMPARED))  # noqa: S311 - a draw of questions, no secret
    return replace(evaluation, rows=tuple(row for row in evaluation.rows if row.position in kept))


def _members(evaluation: Evaluation, drawn: Evaluation) -> list[dict[str, Any]]:
    """List what each member of a Panel gave, and how often it agrees with each of them on the questions `drawn`."""
    rows = count_members(evaluation.sampled, at_once=True)
    votes = [(sample.question, votes_of(sample) or {}) for sample in (drawn.sampled if rows else ())]
    names = [row["model"] for row in rows]
    return [
        {name: finite(value) for name, value in row.items()}
        | {"agrees": [finite(agreement(votes, row["model"], [other])[0]) for other in names]}
        for row in rows
    ]


_WHO = ("right", "other_right", "neither")


def _disagreement(evaluation: Evaluation, system: str) -> dict[str, Any]:
    rows = []
    for row in disagreement(evaluation, system).to_dict("records"):
        whole = finite(row["disagree"])
        shares = {who: (whole or 0) * (finite(row[who]) or 0) for who in _WHO[:2]}
        shares["neither"] = max(0.0, (whole or 0) - sum(shares.values()))
        rows.append({"name": row["other"], "whole": whole, "se": finite(row["disagree_se"]), **shares})
    return figures.stacks(rows, _WHO)


def _traces(evaluation: Evaluation) -> list[dict[str, Any]]:
    frame = traces(evaluation).to_dict("records")
    labels = {
        "words": "Words",
        "step_words": "Step words per 100 words",
        "verification_cues": "Verification cues per 100 words",
    }
    panels = []
    for measure, label in labels.items():
        rows = [
            {"name": row["system"], "value": finite(row[measure]), "se": finite(row[f"{measure}_se"])} for row in frame
        ]
        highest = [(row["value"] or 0) + (row["se"] or 0) for row in rows]
        panels.append({"label": label, **figures.bars(rows, figures.Axis.around([0.0, *highest]))})
    return panels
