"""A run as one HTML page: scores with their errors, what they cost, and every question behind them.

The page fetches nothing and runs no script but its own (its policy says so, by hash). Model text travels in it as
JSON and is shown as text, never as markup. Left out: the plots of catlite.analysis.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jinja2
from jinja2.utils import htmlsafe_json_dumps

import catlite
from catlite import display, saved
from catlite.analysis.comparing import differences
from catlite.criteria import Rubric, Verdict
from catlite.data import Example, Group, Rollout, Usage
from catlite.results import SINGLE, Evaluation, Row

PAGE_BYTES = 32_000_000  # of questions: what a browser still opens from the file system in about a second
# Characters of one text on the page: the first limit with which all questions fit is taken.
_LIMITS = (20_000, 5_000, 2_000, 1_000, 500, 200)
_TEMPLATES = Path(__file__).parent / "templates"


def report(run: str | Path | Evaluation, path: str | Path | None = None) -> Path:
    """Writes an evaluated run as one self-contained HTML page and returns where.

    run: the folder given to `evaluate` as run=, an evaluation.json, or an Evaluation. path: by default report.html in
    the run's folder (the working directory for an Evaluation). The page is readable by its owner only, as the run is.

    Raises StoreError when the run has no finished evaluation, or when the page cannot be written.
    """
    if isinstance(run, Evaluation):
        evaluation, folder = run, Path()
    else:
        evaluation, given = Evaluation.load(run), Path(run).expanduser()
        folder = given if given.is_dir() else given.parent
    return saved.write(Path(path) if path is not None else folder / "report.html", [_page(evaluation)])


def _page(evaluation: Evaluation) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"visible": display.visible, "count": display.count, "dollars": display.dollars}
    script = (_TEMPLATES / "report.js").read_text("utf-8")
    systems = _systems(evaluation)
    data, limit = _data(evaluation)
    return environment.get_template("report.html.j2").render(
        version=catlite.__version__,
        evaluation=evaluation,
        questions=len({row.position for row in evaluation.rows}),
        systems=systems,
        figure=_figure(systems),
        limit=limit,
        data=data,
        style=(_TEMPLATES / "report.css").read_text("utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def _systems(evaluation: Evaluation) -> list[dict[str, Any]]:
    """The summary, one system a row; a number that cannot be had is None."""
    totals = evaluation.summary.reset_index().to_dict("records")
    paired = SINGLE in evaluation.systems and len(evaluation.systems) > 1
    apart = {row["system"]: row for row in differences(evaluation).to_dict("records")} if paired else {}
    single = next((row["generations"] for row in totals if row["system"] == SINGLE), 0)
    found = []
    for total in totals:
        delta = apart.get(total["system"], {})
        found.append(
            {str(name): _number(value) for name, value in total.items()}
            | {name: _number(delta.get(name)) for name in ("difference", "low", "high")}
            | {"compute": _number(total["generations"] / single) if single else None}
        )
    return found


def _number(value: Any) -> Any:
    """`value`, with None for a number that is not one."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _figure(systems: list[dict[str, Any]]) -> dict[str, Any]:
    """Bars from zero and whiskers of one standard error, in per cent of the axis; scores from 0 to 1 keep that axis."""
    ends = [0.0, 1.0]
    for system in systems:
        if system["score"] is not None:
            ends += [system["score"] - (system["se"] or 0), system["score"] + (system["se"] or 0)]
    inside = all(-0.05 <= end <= 1.05 for end in ends)
    low, high = (0.0, 1.0) if inside else (min(ends), max(ends) if max(ends) > 1 else 1.0)

    def at(value: float) -> float:
        return round(100 * (min(max(value, low), high) - low) / (high - low), 3)

    bars = []
    for system in systems:
        bar: dict[str, Any] = {"system": system["system"], "score": system["score"], "se": system["se"]}
        if system["score"] is not None:
            left, right = sorted((at(0), at(system["score"])))
            bar |= {"left": left, "width": round(right - left, 3)}
            if system["se"] is not None:
                bar |= {"from": at(system["score"] - system["se"]), "to": at(system["score"] + system["se"])}
        bars.append(bar)
    ticks = [low + (high - low) * step / 4 for step in range(5)]
    return {"bars": bars, "ticks": [{"at": at(tick), "label": f"{tick:.3g}"} for tick in ticks]}


def _data(evaluation: Evaluation) -> tuple[str, int]:
    """The questions as JSON that is safe inside a script element, and the limit at which their texts are cut."""
    rows: dict[int, dict[str, Row]] = {}
    for row in evaluation.rows:
        rows.setdefault(row.position, {})[row.system] = row
    systems = evaluation.systems
    text = ""
    for limit in _LIMITS:

        def cut(value: str | None, limit: int = limit) -> Any:
            if value is None:
                return None
            shown = display.visible(value[:limit])
            return shown if len(value) <= limit else {"text": shown, "length": len(value)}

        questions = [
            _question(_group(evaluation, position, mine), position, mine, systems, cut)
            for position, mine in sorted(rows.items())
        ]
        data = {"systems": [display.visible(name[:200]) for name in systems], "questions": questions}
        text = htmlsafe_json_dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        if len(text.encode()) <= PAGE_BYTES:
            break
    return text, limit


Cut = Callable[[str | None], Any]


def _question(group: Group, position: int, rows: dict[str, Row], systems: list[str], cut: Cut) -> dict[str, Any]:
    """One question with its rollouts and every system; `None` where a system has no row."""
    single = rows.get(SINGLE)
    scores = single.scores if single is not None else ()
    return {
        "position": position,
        "id": display.visible(next(iter(rows.values())).id[:200]),
        "prompt": [{"role": cut(m["role"]), "text": cut(m["content"])} for m in group.example.messages],
        "gold": cut(group.example.answer),
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
        "rewards": [display.reward_text(reward) for *_, reward in columns],
        "notes": [cut(note) for _, judgement in judgements for note in judgement.notes],
        "criteria": [
            {
                "text": cut(criterion.text),
                "points": display.worth(criterion),
                "separates": separating[position],
                "cells": [
                    [display.mark(verdicts[position]), verdicts[position].met, cut(verdicts[position].reason)]
                    for _, verdicts, _ in columns
                ],
            }
            for position, criterion in enumerate(rubric.criteria)
        ],
    }


def _group(evaluation: Evaluation, position: int, rows: dict[str, Row]) -> Group:
    """The rollouts of a question; an Evaluation that was put together by hand may know them by a reference only."""
    if position < len(evaluation.groups):
        return evaluation.groups[position]
    known = (row.reference.group for row in rows.values() if row.reference is not None)
    return next(known, Group(Example("(not recorded)"), ()))


def _rollout(rollout: Rollout, score: float | None, cut: Cut) -> dict[str, Any]:
    found = {
        "answer": cut(rollout.answer),
        "ended": cut(rollout.defect or "complete"),
        "score": _number(score),
        "text": cut(rollout.error or rollout.text),
        "tokens": rollout.usage.completion_tokens if rollout.usage is not None else None,
    }
    return found | ({"reasoning": cut(rollout.reasoning)} if rollout.reasoning else {})


def _system(row: Row, cut: Cut) -> dict[str, Any]:
    found: dict[str, Any] = {"score": _number(row.score), "error": cut(row.error), "cost": _cost(row.usage)}
    if row.reference is not None:
        found |= {
            "answer": cut(row.reference.answer),
            "text": cut(row.reference.text),
            "notes": [cut(note) for note in row.reference.notes],
        }
    return found


def _cost(usage: Usage) -> str:
    """A single sample's requests are an n-th of its group's, hence the rounding."""
    return display.usage_text(replace(usage, requests=round(usage.requests, 2)))
