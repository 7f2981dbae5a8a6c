"""A training run as one HTML page: how it ended, how it went step by step, and what it was asked to do.

The page fetches nothing and runs no script. Left out: rollouts and references, which `replies.sqlite` keeps.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from catlite.reporting import figures
from catlite.reporting.rendering import finite, render
from catlite.runs.atomic import write
from catlite.training.folder import Folder
from catlite.training.run import PLOTS, TrainingRun

_MOST = 200  # points of a line: more of them lie on each other
_SETTINGS = ("estimator", "reward", "sampling", "method", "model")
# The columns of the table, where there are figures for them.
_COLUMNS = (
    *("cat/reward", "cat/support", "cat/abstained", "cat/coverage", "cat/flips", "cat/distinct_answers"),
    *("check/teacher", "check/policy", "check/gap"),
    *("check/reward", "check/gold", "check/gold_gap", "entropy", "loss", "eval_loss", "completions/mean_length"),
    "seconds/step",
)


def write_page(run: TrainingRun, path: str | Path | None = None) -> Path:
    """Write `run` as one page, by default report.html in its folder, and return its path."""
    return write(Path(path) if path is not None else run.folder / "report.html", [_page(run)])


def _page(run: TrainingRun) -> str:
    metrics = list(run.metrics)
    columns = [name for name in _COLUMNS if any(_number(row.get(name)) is not None for row in metrics)]
    drawn = {title: _lines(metrics, names) for title, names in PLOTS.items()}
    return render(
        "training.html.j2",
        run=run,
        figures={title: figure for title, figure in drawn.items() if figure is not None},
        columns=columns,
        rows=[[row.get("step"), *(row.get(name) for name in columns)] for row in metrics],
        settings=_settings(Folder(run.folder).manifest()),
    )


def _settings(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    """List what the run was asked to do, as (name, value)."""
    listed = {name: manifest[name] for name in _SETTINGS if name in manifest} | manifest.get("config", {})
    return [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in listed.items()]


def _lines(metrics: Sequence[Any], names: Sequence[str]) -> dict[str, Any] | None:
    """Place a line over steps for each metric that the run has; None without any."""
    points = {
        name: [(row["step"], value, None) for row in metrics if (value := _number(row.get(name))) is not None]
        for name in names
    }
    series = {name: figures.few(marks, _MOST) for name, marks in points.items() if marks}
    return figures.lines(series, float, labels=8) if series else None


def _number(value: Any) -> float | None:
    """Give `value` as a number; None for anything else, and for an infinite number or nan."""
    known = finite(value)
    return float(known) if isinstance(known, int | float) and not isinstance(known, bool) else None
