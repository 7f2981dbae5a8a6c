"""The places of the marks in a report's figures: per cent of an axis across, pixels down; the template draws them.

Left out: figures for papers, which catlite.analysis.plots makes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")
HEIGHT = 190  # pixels of a figure of lines, between its top and bottom ends


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high`, with a tick every `step`."""

    low: float
    high: float
    step: float

    @classmethod
    def around(cls, values: Iterable[float | None]) -> Axis:
        """Make an axis between the round numbers around all values: 1, 2 or 5 times a power of ten."""
        known = [value for value in values if value is not None and math.isfinite(value)] or [0.0, 1.0]
        low, high = min(known), max(known)
        rough = (high - low) / 5 or 1.0
        power = 10.0 ** math.floor(math.log10(rough))
        # A rounding error is no reason for another tick.
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        return cls(first * step, max(last, first + 1) * step, step)

    def at(self, value: float) -> float:
        """Give the place of `value`, in per cent."""
        return round(100 * (min(max(value, self.low), self.high) - self.low) / (self.high - self.low), 3)

    @property
    def ticks(self) -> list[dict[str, Any]]:
        """The places of the ticks, and their labels."""
        count = round((self.high - self.low) / self.step)
        values = [self.low + self.step * number for number in range(count + 1)]
        return [{"at": self.at(value), "label": f"{round(value, 12):.6g}"} for value in values]


_UNIT = Axis(0.0, 1.0, 0.2)


def bars(rows: Sequence[dict[str, Any]], axis: Axis | None = None) -> dict[str, Any]:
    """Place bars from zero, with whiskers of one standard error: rows of name, value and se, None where unknown.

    Without an axis, one from 0 to 1 is taken where all values are between these, else one around the values.
    """
    ends = [0.0]
    for row in rows:
        if row["value"] is not None:
            ends += [row["value"] - (row["se"] or 0), row["value"] + (row["se"] or 0)]
    if axis is None:
        unit = all(-0.05 <= end <= 1.05 for end in ends)
        axis = _UNIT if unit else Axis.around([*ends, 1.0])
    made = []
    for row in rows:
        bar = {**row}
        if row["value"] is not None:
            left, right = sorted((axis.at(0), axis.at(row["value"])))
            bar |= {"left": left, "width": round(right - left, 3), **_whiskers(axis, row["value"], row["se"])}
        made.append(bar)
    return {"bars": made, "ticks": axis.ticks}


def intervals(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Place points on intervals, and zero: rows of name, value, low and high, None where unknown."""
    axis = Axis.around([0.0, *(row[name] for row in rows for name in ("value", "low", "high"))])
    made = []
    for row in rows:
        ends = {"at": row["value"], "from": row["low"], "to": row["high"]}
        made.append({**row} | {name: axis.at(value) for name, value in ends.items() if value is not None})
    return {"intervals": made, "ticks": axis.ticks, "zero": axis.at(0)}


def stacks(rows: Sequence[dict[str, Any]], parts: Sequence[str]) -> dict[str, Any]:
    """Place bars of several `parts`, which are shares: rows of name, the parts, the whole and its se."""
    axis = Axis.around([0.0, *((row["whole"] or 0) + (row["se"] or 0) for row in rows)])
    made = []
    for row in rows:
        start, pieces = 0.0, []
        for part in parts:
            end = start + row[part]
            pieces.append({"left": axis.at(start), "width": round(axis.at(end) - axis.at(start), 3)})
            start = end
        made.append({**row, **_whiskers(axis, row["whole"], row["se"]), "parts": pieces})
    return {"stacks": made, "ticks": axis.ticks}


def _whiskers(axis: Axis, value: float | None, error: float | None) -> dict[str, float]:
    if value is None or error is None:
        return {}
    return {"from": axis.at(value - error), "to": axis.at(value + error)}


def lines(
    series: Mapping[str, Sequence[tuple[int, float | None, float | None]]],
    scale: Callable[[float], float] = math.log,
    labels: int = 100,
) -> dict[str, Any]:
    """Place lines of (size, value, se), by the line's name.

    Args:
        series: the points of each line; without a value a point is left out.
        scale: how sizes are spaced: by their logarithm, as numbers of rollouts are, or evenly.
        labels: the most sizes that have a label.

    Returns:
        What the template draws.
    """
    points = [(value, error or 0) for marks in series.values() for _, value, error in marks if value is not None]
    axis = Axis.around([value + sign * error for value, error in points for sign in (-1, 1)])
    sizes = sorted({size for marks in series.values() for size, *_ in marks})
    first, last = scale(sizes[0]), scale(sizes[-1])
    across = Axis(first, last if last > first else first + 1, 1.0)

    def down(value: float) -> float:
        return round(HEIGHT * (1 - axis.at(value) / 100), 1)

    def place(size: int, value: float, error: float | None) -> dict[str, Any]:
        ends = {} if error is None else {"from": down(value - error), "to": down(value + error)}
        return {"x": across.at(scale(size)), "y": down(value), **ends, "size": size, "value": value}

    return {
        "lines": [
            {"name": name, "marks": [place(size, value, se) for size, value, se in marks if value is not None]}
            for name, marks in series.items()
        ],
        "height": HEIGHT,
        "ticks": [{**tick, "y": round(HEIGHT * (1 - tick["at"] / 100), 1)} for tick in axis.ticks],
        "sizes": [{"at": across.at(scale(size)), "label": str(size)} for size in few(sizes, labels)],
    }


def few(items: Sequence[T], most: int) -> Sequence[T]:
    """Take at most `most` of `items`, evenly, the first and the last among them."""
    if len(items) <= most:
        return items
    return [items[round(number * (len(items) - 1) / (most - 1))] for number in range(most)]
