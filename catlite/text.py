"""Text for people: lines that are cut to fit, tables for a terminal, numbers with their nouns.

Model text is shown as text: control characters are made visible. Left out: what the nouns say of themselves
(reprs.py), and HTML (cards.py).
"""

from __future__ import annotations

import math
import re
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from catlite.usage import Usage

WIDTH = 80  # columns of a terminal that nobody has made wider
_LEAST = 12  # of a text in a column, below which it says nothing
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """`text` with control characters, direction overrides and lone surrogates written out as \\x1b and the like."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def data_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """`rows` as a DataFrame, lone surrogates written out: with pyarrow installed pandas takes no text that has any."""
    import pandas as pd

    def writable(value: Any) -> Any:
        return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value

    return pd.DataFrame([{name: writable(value) for name, value in row.items()} for row in rows])


def short(text: str, width: int = 60) -> str:
    """The beginning of `text` on one line."""
    line = " ".join(visible(text[: 4 * width]).split())
    return line if len(line) <= width and len(text) <= 4 * width else line[: width - 1] + "…"


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """`rows`, the first of them headings, as aligned text; columns in `right` are set flush right."""
    widths = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = []
        for column, cell in enumerate(row):
            space = " " * (widths[column] - _width(cell))
            cells.append(space + cell if column in right else cell + space)
        return "  ".join(cells).rstrip()

    return "\n".join([line(rows[0]), "  ".join("─" * width for width in widths), *map(line, rows[1:])])


def fitted(rows: Sequence[Sequence[str]], columns: Sequence[int]) -> list[list[str]]:
    """`rows` with the texts in `columns` shortened until a table of them has at most WIDTH columns of a terminal.

    Args:
        rows: the first of them headings.
        columns: which may be shortened; none to fewer than _LEAST characters.

    Returns:
        The rows, for `table`.
    """
    widths = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    room = WIDTH - 2 * (len(widths) - 1) - sum(width for column, width in enumerate(widths) if column not in columns)
    for left, column in enumerate(sorted(columns, key=lambda column: widths[column]), -len(columns)):
        widths[column] = min(widths[column], max(_LEAST, room // -left))
        room -= widths[column]
    return [
        [short(cell, widths[column]) if column in columns else cell for column, cell in enumerate(row)] for row in rows
    ]


def _width(text: str) -> int:
    """Columns `text` takes in a terminal."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def plural(number: int, noun: str) -> str:
    """A number with its noun: "1 rollout", "1,200 rollouts"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def count(value: float | None) -> str:
    """A count for people; "?" when it is unknown."""
    return "?" if value is None else f"{value:,.0f}"


def dollars(value: float | None) -> str:
    """US dollars; "price unknown" when no price is known."""
    return "price unknown" if value is None else f"${value:.4f}" if value else "$0"


def usage_text(usage: Usage) -> str:
    """Requests, tokens, seconds of waiting (summed over requests that may have run at once) and dollars on one line."""
    return (
        f"{plural(usage.requests, 'request')} · {count(usage.prompt_tokens)} prompt + "
        f"{count(usage.completion_tokens)} completion tokens · {usage.seconds:.1f} s of waiting · "
        f"{dollars(usage.cost_usd)}"
    )


_COLUMNS = ("system", "score ± SE", "gain", "gen./question", "requests", "tokens in", "tokens out", "cost")


def evaluation_rows(totals: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Headings, then a row per system."""
    rows = [list(_COLUMNS)]
    for total in totals:
        error = "?" if math.isnan(total["se"]) else f"{total['se']:.3f}"
        score = "?" if math.isnan(total["score"]) else f"{total['score']:.3f} ± {error}"
        rows.append(
            [
                short(total["system"]) + (f" ({total['failed']} failed)" if total["failed"] else ""),
                score,
                "" if math.isnan(total["relative_gain"]) else f"{total['relative_gain']:+.0%}",
                "?" if math.isnan(total["generations"]) else f"{total['generations']:.0f}",
                count(total["requests"]),
                count(total["prompt_tokens"]),
                count(total["completion_tokens"]),
                dollars(total["cost_usd"]),
            ]
        )
    return rows


def evaluation_title(
    task: str, policy: str, totals: Sequence[dict[str, Any]], repeats: int, seconds: float | None = None
) -> str:
    """What was evaluated; `seconds` is the wall time of all of it."""
    questions = plural(totals[0]["questions"] if totals else 0, "question")
    times = f" × {repeats} repeats" if repeats > 1 else ""
    took = "" if seconds is None else f", {seconds:,.1f} s in all"
    return f"{task}, {questions}{times}, policy {policy}{took} (± standard error over questions)"


def evaluation_text(
    task: str, policy: str, totals: Sequence[dict[str, Any]], repeats: int = 1, seconds: float | None = None
) -> str:
    """The comparison of systems as a text table of WIDTH columns; `seconds` is the wall time of all of it.

    Numbers of tokens are rounded, and requests are left to the summary: they say little beside generations.
    """
    rows = [_slim(row, total) for row, total in zip(evaluation_rows(totals)[1:], totals, strict=True)]
    head = ["system", "score ± SE", "gain", "gen.", "in", "out", "cost"]
    legend = "gen.: generations per question; in, out: tokens"
    if all(total["cost_usd"] is None for total in totals):
        head, rows, legend = head[:-1], [row[:-1] for row in rows], f"{legend}; price unknown"
    room = WIDTH - sum(2 + max(map(len, column)) for column in list(zip(head, *rows, strict=True))[1:])
    shown = table([head, *([_shortened(name, room), *rest] for name, *rest in rows)], right=range(1, len(head)))
    title = evaluation_title(task, policy, totals, repeats, seconds)
    return textwrap.fill(f"{title}. {legend}", WIDTH, break_on_hyphens=False, break_long_words=False) + "\n" + shown


def _slim(row: Sequence[str], total: Mapping[str, Any]) -> list[str]:
    """A row of `evaluation_rows` in fewer columns."""
    name, score, gain, generations, _, _, _, cost = row
    tokens = [rounded(total[key]) for key in ("prompt_tokens", "completion_tokens")]
    return [name, score, gain, generations, *tokens, "unknown" if total["cost_usd"] is None else cost]


def _shortened(name: str, room: int) -> str:
    """A system's name in `room` columns; what is said in brackets at its end stays."""
    if _width(name) <= room:
        return name
    begin, bracket, end = name.rpartition(" (")
    end = bracket + end if begin else ""
    return short(begin or name, max(8, room - _width(end))) + end


def rounded(value: float | None) -> str:
    """A count in at most five characters: 950, 12.3k, 4.56M; "?" when it is unknown."""
    if value is None:
        return "?"
    for unit, size in (("", 1), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12)):
        if value < 999.5 * size:
            return f"{value / size:.0f}" if not unit else f"{value / size:.3g}{unit}"
    return f"{value:.0e}"
