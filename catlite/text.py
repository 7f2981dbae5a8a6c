"""Text for people: lines that are cut to fit, tables for a terminal, numbers with their nouns.

Model text is shown as text: control characters are made visible. Left out: how the nouns show themselves (reprs.py),
and HTML (cards.py).
"""

from __future__ import annotations

import math
import re
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
    """Write control characters, direction overrides and lone surrogates of `text` out as \\x1b and the like."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def data_frame(rows: Sequence[Mapping[str, Any]], columns: list[str] | None = None) -> pd.DataFrame:
    """Make a DataFrame of `rows`; lone surrogates are written out, since pandas with pyarrow refuses them.

    Args:
        rows: the columns of each.
        columns: all of them, where there may be no rows; None takes those of the rows.
    """
    import pandas as pd

    return pd.DataFrame([writable(row) for row in rows], columns=columns)


def writable(value: Any) -> Any:
    """Write lone surrogates out in a text, or in all texts of a list or a mapping: UTF-8 has no bytes for them."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {writable(name): writable(part) for name, part in value.items()}
    return [writable(part) for part in value] if isinstance(value, list | tuple) else value


def short(text: str, width: int = 60) -> str:
    """Cut `text` to one line of at most `width` characters."""
    line = " ".join(visible(text[: 4 * width]).split())
    return line if len(line) <= width and len(text) <= 4 * width else line[: width - 1] + "…"


def fitting(text: str, columns: int, *, ending: bool = False) -> str:
    """Cut `text` to one line of at most `columns` columns of a terminal: to its beginning, or to its ending."""
    size = 4 * columns
    part = text[-size:] if ending else text[:size]
    line = " ".join(visible(part).split())
    if len(part) == len(text) and width_of(line) <= columns:
        return line
    kept, room = "", columns - 1
    for character in reversed(line) if ending else line:
        room -= width_of(character)
        if room < 0:
            break
        kept = character + kept if ending else kept + character
    return "…" + kept if ending else kept + "…"


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Align `rows`, the first of them headings, as text; columns in `right` are set flush right."""
    widths = [max(width_of(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = []
        for column, cell in enumerate(row):
            space = " " * (widths[column] - width_of(cell))
            cells.append(space + cell if column in right else cell + space)
        return "  ".join(cells).rstrip()

    return "\n".join([line(rows[0]), "  ".join("─" * width for width in widths), *map(line, rows[1:])])


def fitted(rows: Sequence[Sequence[str]], columns: Sequence[int]) -> list[list[str]]:
    """Shorten the texts in `columns` of `rows` until a table of them has at most WIDTH columns of a terminal.

    Args:
        rows: the first of them headings.
        columns: which may be shortened; none to fewer than _LEAST characters.

    Returns:
        The rows, for `table`.
    """
    widths = [max(width_of(row[column]) for row in rows) for column in range(len(rows[0]))]
    room = WIDTH - 2 * (len(widths) - 1) - sum(width for column, width in enumerate(widths) if column not in columns)
    for left, column in enumerate(sorted(columns, key=lambda column: widths[column]), -len(columns)):
        widths[column] = min(widths[column], max(_LEAST, room // -left))
        room -= widths[column]
    return [
        [short(cell, widths[column]) if column in columns else cell for column, cell in enumerate(row)] for row in rows
    ]


def width_of(text: str) -> int:
    """Count the columns that `text` takes in a terminal."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def plural(number: int, noun: str, several: str = "") -> str:
    """Write a number with its noun: "1 rollout", "1,200 rollouts"; `several` is a plural that does not end in s."""
    return f"{number:,} {noun if number == 1 else several or f'{noun}s'}"


def count(value: float | None) -> str:
    """Write a count for people; "?" when it is unknown."""
    return "?" if value is None else f"{value:,.0f}"


def dollars(value: float | None) -> str:
    """Write US dollars, never "$0.0000" for something; "cost unknown" without a price or a count."""
    if not value:
        return "cost unknown" if value is None else "$0"
    digits = 1 - math.floor(math.log10(abs(value))) if abs(value) < 1e-4 else 4
    return f"${value:.{digits}f}"


def usage_text(usage: Usage) -> str:
    """Write requests, tokens, seconds of waiting (summed over requests at once) and dollars on one line."""
    return (
        f"{plural(usage.requests, 'request')} · {count(usage.prompt_tokens)} prompt + "
        f"{count(usage.completion_tokens)} completion tokens · {usage.seconds:.1f} s of waiting · "
        f"{dollars(usage.cost_usd)}"
    )


def rounded(value: float | None) -> str:
    """Write a count in at most five characters: 950, 12.3k, 4.56M; "?" when it is unknown."""
    if value is None:
        return "?"
    for unit, size in (("", 1), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12)):
        if value < 999.5 * size:
            return f"{value / size:.0f}" if not unit else f"{value / size:.3g}{unit}"
    return f"{value:.0e}"
