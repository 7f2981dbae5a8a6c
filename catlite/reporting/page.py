"""A run as one HTML page: scores with their errors, what they cost, and every question behind them.

The page fetches nothing and runs no script but its own (its policy says so, by hash). Model text travels in it as
JSON and is shown as text, never as markup. Read on in analyses.py, which has the figures.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jinja2.utils import htmlsafe_json_dumps

from catlite.criteria import Rubric, Verdict
from catlite.data import Example, Group, Response, Rollout, text_of
from catlite.reporting import analyses, figures, rendering
from catlite.reporting.rendering import finite, render
from catlite.reporting.training_page import write_page
from catlite.reprs import ended, good, mark, reward_text, worth
from catlite.results import SINGLE, Evaluation, Row
from catlite.runs.atomic import write
from catlite.text import usage_text, visible
from catlite.training.folder import is_training
from catlite.training.run import TrainingRun

PAGE_BYTES = 32_000_000  # of questions: what a browser still opens from the file system in about a second
# Characters of one text on the page: the first limit with which all questions fit is taken.
_LIMITS = (20_000, 5_000, 2_000, 1_000, 500, 200)


def report(run: str | Path | Evaluation | TrainingRun, path: str | Path | None = None) -> Path:
    """Write an evaluated run, or a training, as one self-contained HTML page.

    A browser shows it as it is; JupyterLab asks for “Trust HTML” before it runs the script that lists the questions.
    The page is readable by its owner only, as the run is.

    Args:
        run: the folder given to `evaluate`, `train` or `sft` as run=, an evaluation.json, an Evaluation, or a
            TrainingRun.
        path: where the page is written; None is report.html in the run's folder (the working directory for an
            Evaluation).

    Returns:
        The path of the page.

    Raises:
        StoreError: when the run has no finished evaluation and no training, or when the page cannot be written.

    Example:
        >>> catlite.report("runs/math")
    """
    if isinstance(run, TrainingRun):
        return write_page(run, path)
    if not isinstance(run, Evaluation) and is_training(run):
        return write_page(TrainingRun.load(run), path)
    if isinstance(run, Evaluation):
        evaluation, folder = run, Path()
    else:
        evaluation, folder = Evaluation.load(run), Path(run).expanduser()
        folder = folder if folder.is_dir() else folder.parent
    return write(Path(path) if path is not None else folder / "report.html", [_page(evaluation)])


def _page(evaluation: Evaluation) -> str:
    script = (rendering.TEMPLATES / "report.js").read_text("utf-8")
    systems = analyses.compare_systems(evaluation)
    data, limit = _data(evaluation)
    return render(
        "report.html.j2",
        evaluation=evaluation,
        questions=len({row.position for row in evaluation.rows}),
        systems=systems,
        scores=figures.bars([{"name": row["system"], "value": row["score"], "se": row["se"]} for row in systems]),
        analysis=analyses.analyze(evaluation, systems),
        compared=analyses.COMPARED,
        limit=limit,
        data=data,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _data(evaluation: Evaluation) -> tuple[str, int]:
    """Write the questions as JSON that is safe inside a script element; tell the limit at which their texts are cut."""
    rows: dict[int, dict[int, dict[str, Row]]] = {}
    for row in evaluation.rows:
        rows.setdefault(row.position, {}).setdefault(row.repeat, {})[row.system] = row
    systems = evaluation.systems
    scores = [evaluation.scores(system) for system in systems]
    text, first = "", {position: evaluation.group(position, min(repeats)) for position, repeats in sorted(rows.items())}
    asked = {position: group.example.prompt for position, group in first.items() if group is not None}
    pictures = dict(zip(asked, rendering.pictures(asked.values()), strict=True))
    for limit in _possible_limits(evaluation):

        def cut(value: str | None, limit: int = limit) -> Any:
            if value is None:
                return None
            text = visible(value[:limit])
            return text if len(value) <= limit else {"text": text, "length": len(value)}

        questions = [
            _question(evaluation, position, repeats, systems, cut)
            | {"scores": [finite(of_system.get(position)) for of_system in scores]}
            | ({"images": pictures[position]} if pictures.get(position) else {})
            for position, repeats in sorted(rows.items())
        ]
        data = {"systems": [visible(name[:200]) for name in systems], "questions": questions}
        text = htmlsafe_json_dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        if len(text.encode()) <= PAGE_BYTES:
            break
    return text, limit


def _possible_limits(evaluation: Evaluation) -> Sequence[int]:
    """List the limits with which all questions may fit: a character takes at least a byte."""
    texts = [rollout.text for group in evaluation.groups for rollout in group.rollouts]
    lengths = [len(text) for text in [*texts, *(reference.text for reference in evaluation.references)]]
    return [limit for limit in _LIMITS if sum(min(length, limit) for length in lengths) <= PAGE_BYTES] or _LIMITS[-1:]


Cut = Callable[[str | None], Any]


def _question(
    evaluation: Evaluation, position: int, rows: dict[int, dict[str, Row]], systems: list[str], cut: Cut
) -> dict[str, Any]:
    """Describe one question, with its rollouts and references in each repeat."""
    groups = {repeat: evaluation.group(position, repeat) or _UNKNOWN for repeat in rows}
    example = next(iter(groups.values())).example
    return {
        "position": position,
        "id": visible(next(iter(next(iter(rows.values())).values())).id[:200]),
        "prompt": [{"role": cut(m["role"]), "text": cut(text_of(m))} for m in example.messages],
        "gold": cut(example.answer),
        "repeats": [_repeat(groups[repeat], by_system, systems, cut) for repeat, by_system in sorted(rows.items())],
    }


# An Evaluation that was put together by hand may know neither rollouts nor references.
_UNKNOWN = Group(Example("(not recorded)"), ())


def _repeat(group: Group, rows: dict[str, Row], systems: list[str], cut: Cut) -> dict[str, Any]:
    """Describe the rollouts and every system; None where a system has no row."""
    single = rows.get(SINGLE)
    scores = single.scores if single is not None else ()
    return {
        "rollouts": [
            _rollout(rollout, scores[number] if number < len(scores) else None, cut)
            for number, rollout in enumerate(group.rollouts)
        ],
        "systems": [_system(rows[name], cut) if name in rows else None for name in systems],
        "matrices": _matrices([rows[name] for name in systems if name in rows], cut),
    }


def _matrices(rows: list[Row], cut: Cut) -> list[dict[str, Any]]:
    """Make one matrix for all that was judged by the same rubric: criteria down, rollouts and references across."""
    by_rubric: dict[Rubric, list[Row]] = {}
    for row in rows:
        if row.judgement is not None:
            by_rubric.setdefault(row.judgement.rubric, []).append(row)
    return [_matrix(rubric, judged, cut) for rubric, judged in by_rubric.items()]


def _matrix(rubric: Rubric, rows: list[Row], cut: Cut) -> dict[str, Any]:
    columns: list[tuple[str, tuple[Verdict, ...], float | None]] = []
    judgements = [(row.system, row.judgement) for row in rows if row.judgement is not None]
    for system, judgement in judgements:
        for number, (verdicts, reward) in enumerate(zip(judgement.verdicts_GC, judgement.rewards_G, strict=True), 1):
            columns.append((f"#{number}" if system == SINGLE else system, verdicts, reward))
    separating = judgements[0][1].separating
    return {
        "judge": cut(judgements[0][1].judge),
        "columns": [cut(name) for name, *_ in columns],
        "rewards": [reward_text(reward) for *_, reward in columns],
        "notes": [cut(note) for _, judgement in judgements for note in judgement.notes],
        "criteria": [
            {
                "text": cut(criterion.text),
                "points": worth(criterion),
                "separates": separating[position],
                "cells": [
                    [mark(verdicts[position]), good(verdicts[position]), cut(verdicts[position].reason)]
                    for _, verdicts, _ in columns
                ],
            }
            for position, criterion in enumerate(rubric.criteria)
        ],
    }


def _rollout(rollout: Response, score: float | None, cut: Cut) -> dict[str, Any]:
    fields = {
        "answer": cut(rollout.answer),
        "ended": cut(ended(rollout)),
        "score": finite(score),
        "text": cut(rollout.error or rollout.text),
        "tokens": rollout.usage.completion_tokens if rollout.usage is not None else None,
    }
    if isinstance(rollout, Rollout) and rollout.model is not None:
        fields["member"] = cut(rollout.model)
    return fields | ({"reasoning": cut(rollout.reasoning)} if rollout.reasoning else {})


def _system(row: Row, cut: Cut) -> dict[str, Any]:
    fields: dict[str, Any] = {"score": finite(row.score), "error": cut(row.error), "cost": usage_text(row.usage)}
    if row.reference is not None:
        fields |= {
            "answer": cut(row.reference.answer),
            "text": cut(row.reference.text),
            "notes": [cut(note) for note in row.reference.notes],
        }
    return fields
