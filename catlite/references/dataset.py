"""Holds many references: a list that shows itself as a table, and goes on as a DataFrame, a dataset, a file or a card.

Left out: how rows are laid out and written (files.py), and the Hugging Face Hub (hub.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, overload

from catlite import cards
from catlite.data import Reference, text_of
from catlite.models.http.keys import Secret, sealed
from catlite.references import files, hub
from catlite.references.files import Layout
from catlite.reprs import models_text
from catlite.runs import atomic
from catlite.text import data_frame, fitted, plural, short, table, usage_text
from catlite.usage import Usage

if TYPE_CHECKING:
    import datasets
    import pandas as pd

Other = TypeVar("Other")
_SHOWN = 100  # references in the table of a notebook


class References(list[Reference]):
    """The result of `estimate`: a list of one Reference per example, in order, that a notebook shows as a table.

    Args:
        references: the references that the list holds; none.
        notes: remarks on all of them; none.
        task: the name of the task that the prompts are of, for the card; None where it is not known.
        sampling: the parameters of the rollouts, for the card; none.

    Example:
        >>> references = catlite.estimate(["What is 6 times 7?"], "gpt-4o-mini")
        >>> references.to_parquet("references.parquet")
    """

    def __init__(
        self,
        references: Iterable[Reference] = (),
        notes: tuple[str, ...] = (),
        task: str | None = None,
        sampling: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(references)
        self.notes = notes
        self.task = task
        self.sampling = dict(sampling or {})

    @property
    def usage(self) -> Usage:
        """What all of them took, rollouts and estimation together."""
        return Usage.total(reference.total_usage for reference in self)

    @property
    def failed(self) -> References:
        """The references that have an error and no text."""
        return self._like(reference for reference in self if reference.error is not None)

    @property
    def usable(self) -> References:
        """The references with a whole text: without those that failed, abstained, or were cut off."""
        return self._like(reference for reference in self if reference.usable)

    def to_frame(self) -> pd.DataFrame:
        """Make a table with a row per reference, usable or not; `completion` is None where it is not.

        Returns:
            The DataFrame, with these columns:

            - id, prompt: the question; prompt is a list of messages.
            - completion: the reference as a list of one message, as TRL reads it.
            - answer, reference: the final answer and the whole text.
            - rubric: criteria proposed from it, as a list of {criterion, points, tags}.
            - support, agreement, rollouts: [how many agree, of how many], their ratio, and the number of rollouts.
            - source, model, anchor: the estimator, the policy, and the model that wrote or chose the text.
            - notes, error: warnings, and why there is no text.
            - prompt_tokens, completion_tokens, cost_usd: what the row took, rollouts included.

        Example:
            >>> references.to_frame()[["id", "answer", "agreement"]]
        """
        return data_frame(files.rows(self), files.COLUMNS)

    def to_dataset(self, layout: Layout = "trl", *, unusable: bool = False) -> datasets.Dataset:
        """Make a Hugging Face dataset with the columns of `to_frame`, for a trainer.

        Args:
            layout: what further columns a trainer reads; "trl", none. "sdft" adds privileged_context for TRL's
                SDFTTrainer, "verl" data_source, reward_model, extra_info and messages for verl.
            unusable: takes references without a whole text along, whose completion is None; False.

        Returns:
            The Dataset.

        Raises:
            ConfigError: for another layout.
            DataError: no reference is left.
            MissingExtra: without catlite[data].

        Example:
            >>> SFTTrainer("Qwen/Qwen3-0.6B", train_dataset=references.to_dataset())
        """
        whole = files.table(files.training_rows(self, layout, unusable=unusable))
        import datasets

        features = datasets.Features.from_arrow_schema(whole.schema)
        return datasets.Dataset.from_list(whole.to_pylist(), features=features)

    def to_parquet(self, path: str | Path, layout: Layout = "trl", *, unusable: bool = False) -> Path:
        """Write the rows of `to_dataset` as a Parquet file, whole or not at all.

        `catlite.sft`, TRL and verl take the file as it is, and `catlite.from_records` makes a task of it.

        Args:
            path: of the file; its folder is made.
            layout: what further columns a trainer reads, as in `to_dataset`.
            unusable: takes references without a whole text along; False.

        Returns:
            The path.

        Raises:
            ConfigError: for another layout, or a path that is a folder.
            DataError: no reference is left.
            MissingExtra: without catlite[data].
            StoreError: the file cannot be written.

        Example:
            >>> references.to_parquet("references.parquet")
            >>> catlite.sft("references.parquet", "Qwen/Qwen3-0.6B")
        """
        return atomic.write(Path(path), [files.parquet(files.training_rows(self, layout, unusable=unusable))])

    def card(self) -> str:
        """Write the card of a dataset of these references, the README.md of `push_to_hub`.

        Returns:
            Markdown: the estimator, models, sampling, cost and notes, and what the columns are. Names and notes stand
            in it as code, whatever markup they hold, and the licence is left to fill in.

        Example:
            >>> print(references.card())
        """
        return hub.card(self, self.notes, self.task, self.sampling)

    def push_to_hub(
        self,
        repo: str,
        *,
        private: bool = True,
        token: str | Secret | None = None,
        layout: Layout = "trl",
        unusable: bool = False,
    ) -> str:
        """Push the rows of `to_dataset` to the Hugging Face Hub, with their card, in one commit.

        A README.md that the dataset has already stays as it is, since its licence may have been filled in.

        Args:
            repo: the name of the dataset, as "user/name"; it is made if need be.
            private: keeps it to those who may see it; True. A dataset that is public already is then refused.
            token: a token of the Hub; never shown or kept. None is that of `hf auth login`, or of HF_TOKEN.
            layout: what further columns a trainer reads, as in `to_dataset`.
            unusable: takes references without a whole text along; False.

        Returns:
            The address of the dataset.

        Raises:
            ConfigError: no login, no right to write there, or a wrong name; nothing was uploaded.
            DataError: no reference is left.
            MissingExtra: without catlite[data].
            StoreError: the Hub cannot be reached, or refuses the commit.

        Example:
            >>> references.push_to_hub("user/times-seven")
        """
        token = sealed(token)
        content = files.parquet(files.training_rows(self, layout, unusable=unusable))
        return hub.push(repo, content, self.card(), private=private, token=token)

    def _like(self, references: Iterable[Reference]) -> References:
        return References(references, self.notes, self.task, self.sampling)

    def copy(self) -> References:
        """Make another list of the same references, with the same notes."""
        return self._like(self)

    @overload
    def __add__(self, others: list[Reference], /) -> References: ...

    @overload
    def __add__(self, others: list[Other], /) -> list[Reference | Other]: ...

    def __add__(self, others: list[Any], /) -> Any:
        """Join two lists of references: with the notes of both, and the task and the sampling that both have."""
        if not all(isinstance(reference, Reference) for reference in others):
            return super().__add__(others)
        second = others if isinstance(others, References) else self._like(others)
        same = {name: value for name, value in self.sampling.items() if second.sampling.get(name) == value}
        notes = tuple(dict.fromkeys((*self.notes, *second.notes)))
        return References([*self, *second], notes, self.task if self.task == second.task else None, same)

    @overload
    def __getitem__(self, key: SupportsIndex) -> Reference: ...

    @overload
    def __getitem__(self, key: slice) -> References: ...

    def __getitem__(self, key: SupportsIndex | slice) -> Reference | References:
        return self._like(super().__getitem__(key)) if isinstance(key, slice) else super().__getitem__(key)

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
