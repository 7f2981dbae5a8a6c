"""Where the marks of a report's figures go: per cent of an axis across, pixels down; the template draws them.

Left out: figures for papers, which catlite.analysis.plots makes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

HEIGHT = 190  # pixels of a figure of lines, between its top and bottom ends


@dataclass(frozen=True)
class Axis:
    """An axis from `low` to `high`, with a tick every `step`."""

    low: float
    high: float
    step: float

    @classmethod
    def around(cls, values: Iterable[float | None]) -> Axis:
        """From the round number below the lowest value to the one above the highest: 1, 2 or 5 times a power of ten."""
        known = [value for value in values if value is not None and math.isfinite(value)] or [0.0, 1.0]
        low, high = min(known), max(known)
        rough = (high - low) / 5 or 1.0
        power = 10.0 ** math.floor(math.log10(rough))
        # A rounding error is no reason for another tick.
        step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        return cls(first * step, max(last, first + 1) * step, step)

    def at(self, value: float) -> float:
        """The place of `value`, in per cent."""
        return round(100 * (min(max(value, self.low), self.high) - self.low) / (self.high - self.low), 3)

    @property
    def ticks(self) -> list[dict[str, Any]]:
        """Where the ticks are, and what stands there."""
        count = round((self.high - self.low) / self.step)
        values = [self.low + self.step * number for number in range(count + 1)]
        return [{"at": self.at(value), "label": f"{round(value, 12):.6g}"} for value in values]


_UNIT = Axis(0.0, 1.0, 0.2)


def bars(rows: Sequence[dict[str, Any]], axis: Axis | None = None) -> dict[str, Any]:
    """Bars from zero, with whiskers of one standard error: rows of name, value and se, None where unknown.

    Without an axis it is that of the values; values from 0 to 1 have 0 to 1.
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
            bar |= {"left": left, "width": round(right - left, 3)}
            if row["se"] is not None:
                bar |= {"from": axis.at(row["value"] - row["se"]), "to": axis.at(row["value"] + row["se"])}
        made.append(bar)
    return {"bars": made, "ticks": axis.ticks}


def intervals(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Points on intervals, and where zero is: rows of name, value, low and high, None where unknown."""
    axis = Axis.around([0.0, *(row[name] for row in rows for name in ("value", "low", "high"))])
    made = []
    for row in rows:
        ends = {"at": row["value"], "from": row["low"], "to": row["high"]}
        made.append({**row} | {name: axis.at(value) for name, value in ends.items() if value is not None})
    return {"intervals": made, "ticks": axis.ticks, "zero": axis.at(0)}


def stacks(rows: Sequence[dict[str, Any]], parts: Sequence[str]) -> dict[str, Any]:
    """Bars of several `parts`, which are shares: rows of name, the parts, the whole and its se."""
    axis = Axis.around([0.0, *((row["whole"] or 0) + (row["se"] or 0) for row in rows)])
    made = []
    for row in rows:
        start, pieces = 0.0, []
        for part in parts:
            end = start + row[part]
            pieces.append({"left": axis.at(start), "width": round(axis.at(end) - axis.at(start), 3)})
            start = end
        whiskers = {}
        if row["whole"] is not None and row["se"] is not None:
            whiskers = {"from": axis.at(row["whole"] - row["se"]), "to": axis.at(row["whole"] + row["se"])}
        made.append({**row} | whiskers | {"parts": pieces})
    return {"stacks": made, "ticks": axis.ticks}


def lines(series: dict[str, list[tuple[int, float | None, float | None]]]) -> dict[str, Any]:
    """Lines over the number of rollouts, which is spaced by its logarithm: (size, value, se) by the line's name."""
    values = [value for points in series.values() for _, value, _ in points if value is not None]
    errors = [error or 0 for points in series.values() for _, value, error in points if value is not None]
    ends = [value + sign * error for value, error in zip(values, errors, strict=True) for sign in (-1, 1)]
    axis = Axis.around(ends)
    sizes = sorted({size for points in series.values() for size, *_ in points})
    first, last = math.log(sizes[0]), math.log(sizes[-1])
    across = Axis(first, last if last > first else first + 1, 1.0)

    def down(value: float) -> float:
        return round(HEIGHT * (1 - axis.at(value) / 100), 1)

    made = []
    for name, points in series.items():
        marks = [
            {"x": across.at(math.log(size)), "y": down(value)}
            | ({"from": down(value - error), "to": down(value + error)} if error is not None else {})
            | {"size": size, "value": value}
            for size, value, error in points
            if value is not None
        ]
        made.append({"name": name, "marks": marks})
    return {
        "lines": made,
        "height": HEIGHT,
        "ticks": [{**tick, "y": round(HEIGHT * (1 - tick["at"] / 100), 1)} for tick in axis.ticks],
        "sizes": [{"at": across.at(math.log(size)), "label": str(size)} for size in sizes],
    }
