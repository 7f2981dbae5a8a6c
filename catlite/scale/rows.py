"""Rows of a data set as questions and replies, and references and rewards as rows again.

A batch may be an Arrow table, a DataFrame or a mapping of columns, and comes back as an Arrow table, whose types are
the same for every batch. Left out: prompts with images, whose column would have another type.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from catlite import answers
from catlite.data import Example, Group, Reference, Rollout, as_messages, media
from catlite.errors import CatliteError, ConfigError
from catlite.references import files
from catlite.runs.evaluation_file import compact, read_reference, reference_fields
from catlite.tasks.cells import as_prompt, as_rubric, as_text

Row = dict[str, Any]
REWARD_COLUMNS = ("reward", "rewards", "reward_error", "reward_cost_usd")


def arrow(batch: Any) -> Any:
    """Make an Arrow table of a batch. Raises ConfigError for a column with values of several types."""
    import pyarrow as pa

    if isinstance(batch, pa.Table):
        return batch
    columns: dict[str, Any] = {}
    for name, column in batch.items():
        try:
            columns[name] = pa.array(_plain(column) if isinstance(batch, Mapping) else column, from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise ConfigError(
                f"the column {name!r} has values of several types, which a data set cannot hold ({error}): make them "
                "of one type, texts for example, or leave the column out"
            ) from None
    return pa.table(columns)


def records(batch: Any) -> list[Row]:
    """Make a row of each row of a batch; where values of a column are of several types, they stay as they are."""
    import pyarrow as pa

    if isinstance(batch, pa.Table):
        found: list[Row] = batch.to_pylist()
        return found
    columns: dict[str, list[Any]] = {}
    for name, column in batch.items():
        values = _plain(column)
        try:
            columns[name] = pa.array(values, from_pandas=True).to_pylist()
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            columns[name] = values
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _plain(value: Any) -> Any:
    """Convert arrays of numpy, also those inside others, to lists."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [_plain(item) for item in value] if isinstance(value, list) else value


def example_of(row: Row, answer_format: str | None = None) -> Example:
    """Make the question of a row: of its columns prompt, and answer, rubric, answer_format and id where there are any.

    Raises ConfigError or DataError for a row without a prompt that a model can be asked, or with an image in it.
    """
    if row.get("prompt") is None:
        raise ConfigError(f"the row has no prompt, a text or a list of messages: its columns are {', '.join(row)}")
    prompt, own = as_prompt(row["prompt"], "prompt"), row.get("answer_format") or answer_format
    if own is not None:
        answers.check_format(own)
    if media(as_messages(prompt)):
        raise ConfigError("the prompt has an image, which rows of a data set cannot hold: use catlite.estimate")
    answer, name = (as_text(row.get(column), column, "", {}) for column in ("answer", "id"))
    return Example(prompt, answer, as_rubric(row.get("rubric") or None, "rubric"), own, name)


@dataclass(frozen=True)
class Graded:
    """The replies of a row, to be scored by its reference.

    Args:
        group: the question and the replies.
        reference: what they are compared with.
        several: True for a list of replies, whose scores are a list.
    """

    group: Group
    reference: Reference
    several: bool


def graded_of(row: Row, answer_format: str | None = None) -> Graded:
    """Make what a reward reads of a row.

    Of its columns completions (a list of texts) or completion (a text, or a list of one message), and reference, answer
    and rubric where there are any. Raises ConfigError or DataError for a row that lacks them.
    """
    example = example_of(row, answer_format)
    several = row.get("completions") is not None
    replies: list[Any] = row["completions"] if several else [row.get("completion")]
    texts: list[Any] = [reply[-1]["content"] if isinstance(reply, list) and reply else reply for reply in replies]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise ConfigError(f"the row has no completion, a text, nor completions, a list of texts: {', '.join(row)}")
    group = Group(example, tuple(Rollout(text, example.parse(text)) for text in texts))
    text, answer = row.get("reference") or "", example.answer
    reference = Reference(text, answer or example.parse(text), str(row.get("source") or "row"), group, example.rubric)
    return Graded(group, reference, several)


def reference_table(references: Sequence[Reference]) -> Any:
    """Make an Arrow table of references, with the columns of `References.to_parquet`, usable or not."""
    some = references or [Reference("", None, "", Group(Example("(none)"), ()))]  # an empty batch has columns as well
    return files.table(files.rows(some)).slice(0, len(references))


def whole_table(references: Sequence[Reference]) -> Any:
    """Make an Arrow table of one column, the whole of each reference as JSON, with its rollouts."""
    import pyarrow as pa

    return pa.table(
        {"whole": pa.array([compact(reference_fields(reference, shared=False)) for reference in references])}
    )


def whole_of(text: str) -> Reference:
    """Make the reference again that `whole_table` wrote."""
    return read_reference(json.loads(text), None)


def reward_table(table: Any, scores: Sequence[Row]) -> Any:
    """Add REWARD_COLUMNS to an Arrow table; those of that name are replaced."""
    import pyarrow as pa

    types = dict(zip(REWARD_COLUMNS, (pa.float64(), pa.list_(pa.float64()), pa.string(), pa.float64()), strict=True))
    table = table.drop_columns([name for name in table.column_names if name in types])
    for name, kind in types.items():
        table = table.append_column(name, pa.array([row.get(name) for row in scores], kind))
    return table


def reason_of(error: Exception) -> str:
    """Say why a row has no result; an error that is none of ours with its kind."""
    return str(error) if isinstance(error, CatliteError) else f"{type(error).__name__}: {error}"
