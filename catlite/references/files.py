"""References as rows of plain data, and these as Arrow tables, Parquet, JSON lines and CSV.

The columns are those that TRL's trainers read, and a few more; verl and SDFT read further ones, which a layout adds.
Left out: reading a file back, which `from_records` does.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from catlite.data import Reference
from catlite.errors import ConfigError, DataError, MissingExtra
from catlite.extras import install
from catlite.runs import atomic
from catlite.text import writable

Row = dict[str, Any]
Layout = Literal["trl", "sdft", "verl"]
COLUMNS = [
    *("id", "prompt", "completion", "answer", "reference", "rubric", "support", "agreement", "rollouts", "source"),
    *("model", "anchor", "notes", "error", "prompt_tokens", "completion_tokens", "cost_usd"),
]
ENDINGS = (".parquet", ".jsonl", ".csv")


def rows(references: Iterable[Reference]) -> list[Row]:
    """Make a row of plain data of each reference, usable or not."""
    return [writable(_row(number, reference)) for number, reference in enumerate(references, 1)]


def training_rows(references: Sequence[Reference], layout: Layout = "trl", *, unusable: bool = False) -> list[Row]:
    """Make the rows that a trainer reads: those of usable references, with the columns that the layout adds.

    Raises DataError where no row is left, ConfigError for another layout.
    """
    if layout not in get_args(Layout):
        raise ConfigError(f"layout={layout!r}: want one of {', '.join(map(repr, get_args(Layout)))}")
    if not references:
        raise DataError("there are no references: nothing is written")
    kept = [row for row in rows(references) if unusable or row["completion"] is not None]
    if not kept:
        defect = references[0].error or "; ".join(references[0].notes) or f"it is {references[0].defect}"
        raise DataError(
            f"none of {len(references)} references can be trained on, such as the first: {defect}. "
            "unusable=True takes such rows along"
        )
    return [row | _MORE[layout](number, row) for number, row in enumerate(kept)]


def _row(number: int, reference: Reference) -> Row:
    example, usage, support = reference.group.example, reference.total_usage, reference.support
    criteria = () if reference.rubric is None else reference.rubric.criteria
    return {
        "id": str(number if example.id is None else example.id),
        "prompt": example.messages,
        "completion": [{"role": "assistant", "content": reference.text}] if reference.usable else None,
        "answer": reference.answer,
        "reference": reference.text if reference.error is None and reference.text else None,
        "rubric": [
            {"criterion": criterion.text, "points": float(criterion.points), "tags": list(criterion.tags)}
            for criterion in criteria
        ]
        or None,
        "support": None if support is None else list(support),
        "agreement": support[0] / support[1] if support and support[1] else None,
        "rollouts": len(reference.rollouts),
        "source": reference.source,
        "model": reference.group.policy,
        "anchor": reference.anchor,
        "notes": list(reference.notes),
        "error": reference.error,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost_usd": usage.cost_usd,
    }


def _for_verl(number: int, row: Row) -> Row:
    """The columns of verl's RL data (its docs/preparation/prepare_data.rst), and the conversation for its SFT."""
    truth = row["reference"] if row["answer"] is None else row["answer"]
    return {
        "data_source": "catlite",
        "reward_model": {"style": "rule", "ground_truth": truth},
        "extra_info": {"index": number, "id": row["id"]},
        "messages": row["prompt"] + (row["completion"] or []),
    }


_MORE: dict[str, Callable[[int, Row], Row]] = {
    "trl": lambda number, row: {},  # noqa: ARG005
    "sdft": lambda number, row: {"privileged_context": row["reference"]},  # noqa: ARG005
    "verl": _for_verl,
}


def table(rows: Sequence[Row]) -> Any:
    """Make an Arrow table of rows, with the same types whatever they hold.

    A prompt with more than roles and texts, such as images, makes the column `prompt` the JSON text of the messages:
    Arrow has one type for a column. Raises MissingExtra without catlite[data].
    """
    try:
        import pyarrow as pa
    except ImportError:
        raise MissingExtra(f"Parquet and datasets need catlite[data]: {install('data')}") from None
    text, number = pa.string(), pa.int64()
    messages = pa.list_(pa.struct({"role": text, "content": text}))
    criterion = pa.struct({"criterion": text, "points": pa.float64(), "tags": pa.list_(text)})
    types = {
        **dict.fromkeys(("prompt", "completion", "messages"), messages),
        "rubric": pa.list_(criterion),
        "support": pa.list_(number),
        "notes": pa.list_(text),
        **dict.fromkeys(("rollouts", "prompt_tokens", "completion_tokens"), number),
        **dict.fromkeys(("agreement", "cost_usd"), pa.float64()),
        "reward_model": pa.struct({"style": text, "ground_truth": text}),
        "extra_info": pa.struct({"index": number, "id": text}),
    }
    for column in ("prompt", "messages"):
        if column in rows[0] and not all(_is_plain(message) for row in rows for message in row[column]):
            types[column] = text
            rows = [{**row, column: json.dumps(row[column], ensure_ascii=False)} for row in rows]
    schema = pa.schema([(column, types.get(column, text)) for column in rows[0]])
    return pa.Table.from_pylist(rows, schema=schema)


def _is_plain(message: Row) -> bool:
    return message.keys() == {"role", "content"} and isinstance(message["content"], str)


def parquet(rows: Sequence[Row]) -> bytes:
    """Make the bytes of a Parquet file of rows."""
    whole = table(rows)
    import pyarrow.parquet

    file = io.BytesIO()
    pyarrow.parquet.write_table(whole, file)
    return file.getvalue()


def check_path(path: Path) -> None:
    """Raise ConfigError, MissingExtra or StoreError unless rows can be written to `path`, before there are any."""
    if path.suffix.lower() not in ENDINGS:
        ending = f"ends in {path.suffix!r}" if path.suffix else "is the name of a file without an ending"
        raise ConfigError(f"{path} {ending}: want one in {', '.join(ENDINGS)}, such as references.parquet")
    if path.suffix.lower() == ".parquet":
        table([{"id": "any"}])
    atomic.check_writable(path)


def save(rows: Sequence[Row], path: Path) -> Path:
    """Write rows as Parquet, JSON lines or CSV, by the ending of `path`, whole or not at all; return the path."""
    ending = path.suffix.lower()
    if ending == ".parquet":
        return atomic.write(path, [parquet(rows)])
    if ending == ".jsonl":
        return atomic.write(path, (json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    file = io.StringIO(newline="")
    lines = csv.DictWriter(file, list(rows[0]))  # with \r\n, which has texts with either of them quoted
    lines.writeheader()
    lines.writerows({column: _cell(value) for column, value in row.items()} for row in rows)
    return atomic.write(path, [file.getvalue()])


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value
