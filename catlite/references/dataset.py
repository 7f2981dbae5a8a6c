"""Many references as one thing: a list that shows itself as a table and becomes a DataFrame.

Left out: Parquet and the Hugging Face hub, which take the DataFrame.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from catlite.data import Reference
from catlite.usage import Usage

if TYPE_CHECKING:
    import pandas as pd


class References(list[Reference]):
    """What `estimate` gives: a list of one Reference per example, in order, that a notebook shows as a table.

    Args:
        references: what the list holds.
        notes: what a reader has to know about all of them.

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
        """Those that have an error and no text."""
        return References(reference for reference in self if reference.error is not None)

    def to_frame(self) -> pd.DataFrame:
        """One row per example: its question, the reference, how many rollouts agree with it, notes and what it took."""
        from catlite.text import data_frame

        return data_frame([_row(reference) for reference in self])

    @overload
    def __getitem__(self, key: SupportsIndex) -> Reference: ...

    @overload
    def __getitem__(self, key: slice) -> References: ...

    def __getitem__(self, key: SupportsIndex | slice) -> Reference | References:
        return References(super().__getitem__(key)) if isinstance(key, slice) else super().__getitem__(key)

    def __repr__(self) -> str:
        from catlite.text import references_repr

        return references_repr(self)

    def __str__(self) -> str:
        from catlite.text import fitted, references_rows, references_title, table

        return references_title(self) + "\n" + table(fitted(references_rows(self), (1, 2, 4)), right=(0,))

    def _repr_html_(self) -> str:
        from catlite.cards import references_html

        return references_html(self)


def _row(reference: Reference) -> dict[str, Any]:
    example, usage = reference.group.example, reference.total_usage
    agreeing = reference.support
    return {
        "id": example.id,
        "prompt": example.messages[-1]["content"],
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
