"""A training run as one HTML page: how it ended, how it went step by step, and what it was asked to do.

The page fetches nothing and runs no script. Left out: rollouts and references, which `replies.sqlite` keeps.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import jinja2

import catlite
from catlite.reporting import figures
from catlite.runs.atomic import write
from catlite.text import visible
from catlite.training.folder import Folder
from catlite.training.run import PLOTS, TrainingRun

T = TypeVar("T")
_TEMPLATES = Path(__file__).parent / "templates"
_MOST = 200  # points of a line: more of them lie on each other
_SETTINGS = ("estimator", "reward", "sampling", "method", "model")
# The columns of the table, where there are figures for them.
_COLUMNS = (
    *("cat/reward", "cat/support", "cat/abstained", "cat/coverage", "check/teacher", "check/policy", "check/gap"),
    *("check/reward", "entropy", "loss", "eval_loss", "completions/mean_length", "seconds/step"),
)


def write_page(run: TrainingRun, path: str | Path | None = None) -> Path:
    """Writes `run` as one page, by default report.html in its folder, and returns where."""
    return write(Path(path) if path is not None else run.folder / "report.html", [_page(run)])


def _page(run: TrainingRun) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"visible": visible, "number": _text}
    metrics = list(run.metrics)
    columns = [name for name in _COLUMNS if any(_number(row.get(name)) is not None for row in metrics)]
    drawn = {title: _lines(metrics, names) for title, names in PLOTS.items()}
    return environment.get_template("training.html.j2").render(
        version=catlite.__version__,
        run=run,
        figures={title: figure for title, figure in drawn.items() if figure is not None},
        columns=columns,
        rows=[[row.get("step"), *(row.get(name) for name in columns)] for row in metrics],
        settings=_settings(Folder(run.folder).manifest()),
        style=(_TEMPLATES / "report.css").read_text("utf-8"),
    )


def _settings(manifest: dict[str, Any]) -> list[tuple[str, str]]:
    """What the run was asked to do, as (name, value)."""
    listed = {name: manifest[name] for name in _SETTINGS if name in manifest} | manifest.get("config", {})
    return [(name, value if isinstance(value, str) else json.dumps(value)) for name, value in listed.items()]


def _lines(metrics: Sequence[Any], names: Sequence[str]) -> dict[str, Any] | None:
    """A line over steps for each metric that there is, in the words of the template; None without any."""
    series = {name: _points(metrics, name) for name in names}
    series = {name: points for name, points in series.items() if points}
    if not series:
        return None
    axis = figures.Axis.around([value for points in series.values() for _, value in points])
    steps = sorted({step for points in series.values() for step, _ in points})
    across = figures.Axis(steps[0], max(steps[-1], steps[0] + 1), 1.0)

    def down(value: float) -> float:
        return round(figures.HEIGHT * (1 - axis.at(value) / 100), 1)

    return {
        "lines": [
            {
                "name": name,
                "marks": [
                    {"x": across.at(step), "y": down(value), "size": step, "value": value} for step, value in points
                ],
            }
            for name, points in series.items()
        ],
        "height": figures.HEIGHT,
        "ticks": [{**tick, "y": round(figures.HEIGHT * (1 - tick["at"] / 100), 1)} for tick in axis.ticks],
        "sizes": [{"at": across.at(step), "label": str(step)} for step in _few(steps, 8)],
    }


def _points(metrics: Sequence[Any], name: str) -> list[tuple[int, float]]:
    known = [(row["step"], value) for row in metrics if (value := _number(row.get(name))) is not None]
    return _few(known, _MOST)


def _few(items: Sequence[T], most: int) -> list[T]:
    """At most `most` of them, evenly, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(number * (len(items) - 1) / (most - 1))] for number in range(most)]


def _number(value: Any) -> float | None:
    """`value` as a number; None for what is none, or not finite."""
    whole = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if whole and math.isfinite(value) else None


def _text(value: Any) -> str:
    """A figure of the table."""
    known = _number(value)
    return "–" if known is None else f"{known:.4g}"
