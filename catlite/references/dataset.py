"""Holds many references: a list that shows itself as a table and becomes a DataFrame.

Left out: Parquet and the Hugging Face hub, which take the DataFrame.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from catlite import cards
from catlite.data import Reference, text_of
from catlite.reprs import models_text
from catlite.text import data_frame, fitted, plural, short, table, usage_text
from catlite.usage import Usage

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 100  # references in the table of a notebook


class References(list[Reference]):
    """The result of `estimate`: a list of one Reference per example, in order, that a notebook shows as a table.

    Args:
        references: the references that the list holds; none.
        notes: remarks on all of them; none.

    Example:
        >>> references = catlite.estimate(["What is 6 times 7?"], "gpt-4o-mini")
        >>> references.to_frame()[["prompt", "answer", "error"]]
    """

    def __init__(self, references: Iterable[Reference] = (), notes: tuple[str, ...] = ()) -> None:
        super().__init__(references)
        self.notes = notes

    @property
    def usage(self) -> Usage:
        """What all of them took, rollouts and estimation together."""
        return Usage.total(reference.total_usage for reference in self)

    @property
    def failed(self) -> References:
        """The references that have an error and no text."""
        return References(reference for reference in self if reference.error is not None)

    def to_frame(self) -> pd.DataFrame:
        """One row per example: its question, the reference, how many rollouts agree with it, notes and what it took."""
        return data_frame([_row(reference) for reference in self])

    @overload
    def __getitem__(self, key: SupportsIndex) -> Reference: ...

    @overload
    def __getitem__(self, key: slice) -> References: ...

    def __getitem__(self, key: SupportsIndex | slice) -> Reference | References:
        return References(super().__getitem__(key)) if isinstance(key, slice) else super().__getitem__(key)

    def __repr__(self) -> str:
        failed = sum(reference.error is not None for reference in self)
        parts = [plural(len(self), "Reference")] + ([f"{failed} failed"] if failed else [])
        if self:
            parts[0] += f" by {self[0].source}"
            parts.insert(1, models_text(self[0]))
        return f"<{', '.join(part for part in parts if part)}>"

    def __str__(self) -> str:
        return self._title() + "\n" + table(fitted(self._table(), (1, 2, 4)), right=(0,))

    def _repr_html_(self) -> str:
        head, *rows = self._table()
        left_out = len(rows) - _SHOWN
        shown = cards.html_table(self._title(), [head, *rows[:_SHOWN]], left=(1, 2, 4))
        if left_out > 0:
            shown += f'<div style="{cards.FAINT}">… and {left_out:,} more: .to_frame() has all</div>'
        return f"<div {cards.PLAIN}>{shown}{cards.warnings(self.notes)}</div>"

    def _title(self) -> str:
        """How many references, how many of them failed, by whom, and what they took."""
        failed = sum(reference.error is not None for reference in self)
        parts = [plural(len(self), "reference") + (f" ({failed} failed)" if failed else "")]
        parts += [f"by {self[0].source}", models_text(self[0]), usage_text(self.usage)] if self else []
        return " · ".join(part for part in parts if part)

    def _table(self) -> list[list[str]]:
        """Headings; then question, answer or text, agreement and what to know, for each reference."""
        rows = [["#", "question", "reference", "agree", "note"]]
        for number, reference in enumerate(self, 1):
            support = reference.known_support
            rows.append(
                [
                    str(number),
                    short(text_of(reference.group.example.messages[-1]), 60),
                    short(reference.text if reference.answer is None else reference.answer, 60),
                    "" if support is None else f"{support[0]}/{support[1]}",
                    short("; ".join(reference.notes) if reference.error is None else reference.error, 80),
                ]
            )
        return rows


def _row(reference: Reference) -> dict[str, Any]:
    example, usage = reference.group.example, reference.total_usage
    agreeing = reference.support
    return {
        "id": example.id,
        "prompt": text_of(example.messages[-1]),
        "text": None if reference.error is not None else reference.text,
        "answer": reference.answer,
        "agree": None if agreeing is None else agreeing[0],
        "rollouts": len(reference.rollouts),
        "source": reference.source,
        "policy": reference.group.policy,
        "anchor": reference.anchor,
        "notes": "; ".join(reference.notes),
        "error": reference.error,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost_usd": usage.cost_usd,
    }
