"""A run as one HTML page: scores with their errors, what they cost, and every question behind them.

The page fetches nothing and runs no script but its own (its policy says so, by hash). Model text travels in it as
JSON and is shown as text, never as markup. Left out: analyses that take model calls, such as ablations.
"""

from __future__ import annotations

import base64
import hashlib
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
from jinja2.utils import htmlsafe_json_dumps

import catlite
from catlite.analysis.comparing import differences, disagreement
from catlite.analysis.scaling import maj_at_k, pass_at_k
from catlite.analysis.traces import traces
from catlite.criteria import Rubric, Verdict
from catlite.data import Example, Group, Response
from catlite.reporting import figures
from catlite.reporting.training_page import write_page
from catlite.reprs import good, mark, reward_text, worth
from catlite.results import SINGLE, Evaluation, Row
from catlite.runs.atomic import write
from catlite.text import count, dollars, usage_text, visible
from catlite.training.folder import is_training
from catlite.training.run import TrainingRun

PAGE_BYTES = 32_000_000  # of questions: what a browser still opens from the file system in about a second
# Characters of one text on the page: the first limit with which all questions fit is taken.
_LIMITS = (20_000, 5_000, 2_000, 1_000, 500, 200)
COMPARED = (
    1_000  # questions whose answers are compared for a figure: a symbolic comparison takes a hundredth of a second
)
_TEMPLATES = Path(__file__).parent / "templates"


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
        evaluation, given = Evaluation.load(run), Path(run).expanduser()
        folder = given if given.is_dir() else given.parent
    return write(Path(path) if path is not None else folder / "report.html", [_page(evaluation)])


def _page(evaluation: Evaluation) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"visible": visible, "count": count, "dollars": dollars}
    environment.filters["usage"] = usage_text
    script = (_TEMPLATES / "report.js").read_text("utf-8")
    systems = _systems(evaluation)
    data, limit = _data(evaluation)
    return environment.get_template("report.html.j2").render(
        version=catlite.__version__,
        evaluation=evaluation,
        questions=len({row.position for row in evaluation.rows}),
        systems=systems,
        scores=figures.bars([{"name": one["system"], "value": one["score"], "se": one["se"]} for one in systems]),
        analysis=_analysis(evaluation, systems),
        compared=COMPARED,
        limit=limit,
        data=data,
        style=(_TEMPLATES / "report.css").read_text("utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _systems(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The summary, one system a row; a number that cannot be had is None."""
    paired = SINGLE in evaluation.systems and len(evaluation.systems) > 1
    apart = {row["system"]: row for row in differences(evaluation).to_dict("records")} if paired else {}
    found = []
    for total in evaluation.summary.reset_index().to_dict("records"):
        delta = apart.get(total["system"], {})
        found.append(
            {str(name): _number(value) for name, value in total.items()}
            | {name: _number(delta.get(name)) for name in ("difference", "low", "high", "p_welch")}
        )
    return found


def _number(value: Any) -> Any:
    """`value`, with None for a number that is not one."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _analysis(evaluation: Evaluation, systems: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures that this evaluation has the numbers for, by name."""
    found: dict[str, Any] = {}
    apart = [
        {"name": one["system"], "value": one["difference"], "low": one["low"], "high": one["high"]}
        for one in systems
        if one["difference"] is not None
    ]
    if apart:
        found["differences"] = figures.intervals(apart)
    # Answers that nobody can compare have no majority, and scores that are no yes or no have no pass@k.
    groups = evaluation.groups or [reference.group for reference in evaluation.references]
    comparable = bool(groups) and all(group.example.answer_format is not None for group in groups)
    drawn = _drawn(evaluation)
    scores = {score for row in evaluation.rows if row.system == SINGLE for score in row.scores}
    if comparable and evaluation.n > 1 and 1.0 in scores and scores <= {0.0, 1.0, None}:
        frames = {"pass@k": pass_at_k(drawn), "maj@k": maj_at_k(drawn)}
        growth = {name: frame.itertuples(index=False, name=None) for name, frame in frames.items()}
        found["growth"] = figures.lines(
            {
                name: [(k, _number(value), _number(error)) for k, value, error, _ in rows]
                for name, rows in growth.items()
            }
        )
    estimators = list(dict.fromkeys(row.system for row in drawn.rows if row.reference is not None))
    if comparable and estimators:
        # Synthesis is what the paper asks this about; without it, the first estimator.
        main = next((name for name in estimators if "synthesis" in name.casefold()), estimators[0])
        found["disagreement"] = {"system": main, **_disagreement(drawn, main)}
    if evaluation.references:
        found["traces"] = _traces(evaluation)
    return found


def _drawn(evaluation: Evaluation) -> Evaluation:
    """The same with COMPARED of the questions that were graded, where there are more."""
    positions = sorted({row.position for row in evaluation.rows if row.score is not None})
    if len(positions) <= COMPARED:
        return evaluation
    kept = set(random.Random(0).sample(positions, COMPARED))  # noqa: S311 - a draw of questions, no secret
    return replace(evaluation, rows=tuple(row for row in evaluation.rows if row.position in kept))


_WHO = ("right", "other_right", "neither")


def _disagreement(evaluation: Evaluation, system: str) -> dict[str, Any]:
    rows = []
    for row in disagreement(evaluation, system).to_dict("records"):
        whole = _number(row["disagree"])
        shares = {who: (whole or 0) * (_number(row[who]) or 0) for who in _WHO[:2]}
        shares["neither"] = max(0.0, (whole or 0) - sum(shares.values()))
        rows.append({"name": row["other"], "whole": whole, "se": _number(row["disagree_se"]), **shares})
    return figures.stacks(rows, _WHO)


def _traces(evaluation: Evaluation) -> list[dict[str, Any]]:
    """A panel of bars for each measure."""
    frame = traces(evaluation).to_dict("records")
    labels = {
        "words": "Words",
        "step_words": "Step words per 100 words",
        "verification_cues": "Verification cues per 100 words",
    }
    panels = []
    for measure, label in labels.items():
        rows = [
            {"name": row["system"], "value": _number(row[measure]), "se": _number(row[f"{measure}_se"])}
            for row in frame
        ]
        highest = [(row["value"] or 0) + (row["se"] or 0) for row in rows]
        panels.append({"label": label, **figures.bars(rows, figures.Axis.around([0.0, *highest]))})
    return panels


def _data(evaluation: Evaluation) -> tuple[str, int]:
    """The questions as JSON that is safe inside a script element, and the limit at which their texts are cut."""
    rows: dict[int, dict[int, dict[str, Row]]] = {}
    for row in evaluation.rows:
        rows.setdefault(row.position, {}).setdefault(row.repeat, {})[row.system] = row
    systems = evaluation.systems
    scores = [evaluation.scores(system) for system in systems]
    text = ""
    for limit in _possible_limits(evaluation):

        def cut(value: str | None, limit: int = limit) -> Any:
            if value is None:
                return None
            shown = visible(value[:limit])
            return shown if len(value) <= limit else {"text": shown, "length": len(value)}

        questions = [
            _question(evaluation, position, mine, systems, cut)
            | {"scores": [_number(of_system.get(position)) for of_system in scores]}
            for position, mine in sorted(rows.items())
        ]
        data = {"systems": [visible(name[:200]) for name in systems], "questions": questions}
        text = htmlsafe_json_dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        if len(text.encode()) <= PAGE_BYTES:
            break
    return text, limit


def _possible_limits(evaluation: Evaluation) -> Sequence[int]:
    """The limits with which all questions may fit: a character takes at least a byte."""
    texts = [rollout.text for group in evaluation.groups for rollout in group.rollouts]
    lengths = [len(text) for text in [*texts, *(reference.text for reference in evaluation.references)]]
    return [limit for limit in _LIMITS if sum(min(length, limit) for length in lengths) <= PAGE_BYTES] or _LIMITS[-1:]


Cut = Callable[[str | None], Any]


def _question(
    evaluation: Evaluation, position: int, rows: dict[int, dict[str, Row]], systems: list[str], cut: Cut
) -> dict[str, Any]:
    """One question with what became of it in each repeat."""
    groups = {repeat: evaluation.group(position, repeat) or _UNKNOWN for repeat in rows}
    example = next(iter(groups.values())).example
    return {
        "position": position,
        "id": visible(next(iter(next(iter(rows.values())).values())).id[:200]),
        "prompt": [{"role": cut(m["role"]), "text": cut(m["content"])} for m in example.messages],
        "gold": cut(example.answer),
        "repeats": [_repeat(groups[repeat], mine, systems, cut) for repeat, mine in sorted(rows.items())],
    }


# An Evaluation that was put together by hand may know neither rollouts nor references.
_UNKNOWN = Group(Example("(not recorded)"), ())


def _repeat(group: Group, rows: dict[str, Row], systems: list[str], cut: Cut) -> dict[str, Any]:
    """The rollouts and every system; `None` where a system has no row."""
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
    """Verdicts, criteria down and what was judged across: one matrix for all that was judged by the same rubric."""
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
    found = {
        "answer": cut(rollout.answer),
        "ended": cut(rollout.defect or "complete"),
        "score": _number(score),
        "text": cut(rollout.error or rollout.text),
        "tokens": rollout.usage.completion_tokens if rollout.usage is not None else None,
    }
    return found | ({"reasoning": cut(rollout.reasoning)} if rollout.reasoning else {})


def _system(row: Row, cut: Cut) -> dict[str, Any]:
    found: dict[str, Any] = {
        "score": _number(row.score),
        "error": cut(row.error),
        "cost": usage_text(row.usage),
    }
    if row.reference is not None:
        found |= {
            "answer": cut(row.reference.answer),
            "text": cut(row.reference.text),
            "notes": [cut(note) for note in row.reference.notes],
        }
    return found
