"""Your own rows as a task: a file, a list, a DataFrame, a Hugging Face dataset, any iterable of mappings.

    {"prompt": "Which city lies on two continents?", "gold": "Istanbul", "id": "geo-7", "difficulty": 2}

becomes, with `from_records(rows, answer="gold", id="id")`, one Example with metadata {"difficulty": 2}. Columns
are named, never guessed; a column that a row lacks is an error that says where. Left out: repairing rows, and answer
formats that differ from row to row.
"""

from __future__ import annotations

import difflib
import itertools
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from catlite import answers
from catlite.checks import whole_number
from catlite.data import Example, Prompt, Task
from catlite.errors import ConfigError, DataError
from catlite.prompts.files import render
from catlite.tasks import tables
from catlite.tasks.cells import as_prompt, as_rubric, as_text, plain, with_images
from catlite.tasks.tables import Row

# Usual names of such columns: for a hint, never for a guess.
USUAL = {
    "prompt": ("question", "problem", "messages", "prompt", "instruction", "input", "query"),
    "answer": (
        *("answer", "gold", "solution", "result", "target"),
        *("label", "expected", "reference", "completion", "output"),
    ),
}
Finish = Callable[[Example], Example]


@dataclass(frozen=True, slots=True)
class Layout:
    """The column for each role; every other column is metadata."""

    prompt: str = "prompt"
    answer: str | None = None
    id: str | None = None
    rubric: str | None = None
    answer_format: str | None = None
    images: str | None = None
    private: bool = False  # errors quote only a row's place and its keys

    @property
    def columns(self) -> dict[str, str]:
        """The columns by role, without the roles that have none."""
        roles = ("prompt", "answer", "id", "rubric", "images")
        return {role: column for role in roles if (column := getattr(self, role)) is not None}


def from_records(
    rows: Any,
    *,
    prompt: str = "prompt",
    answer: str | None = None,
    id: str | None = None,  # noqa: A002 - the word users have for it
    rubric: str | None = None,
    images: str | None = None,
    answer_format: str | None = None,
    ask: bool = False,
    name: str | None = None,
    limit: int | None = None,
    seed: int | None = None,
    encoding: str = "utf-8",
) -> Task:
    r"""Make a Task out of your own rows; columns that are not named here become metadata.

    Empty cells, null and NaN are missing, which an answer and a rubric may be.

    Args:
        rows: the path of a CSV, TSV, JSONL, JSON (or .gz of one) or Parquet file, a DataFrame, a dataset, or mappings.
        prompt: the column with the question: text, or messages [{role, content}, …], also as the JSON text of them.
        answer: the column with the right answer: text; a column of numbers throughout is written out as text.
        id: the column with a name for the question; None takes the row's number, from 1.
        rubric: the column with criteria: a list of texts, or of {criterion, points, tags}.
        images: the column with an image of the question, or a list of them, in any form that `catlite.image` takes, or
            as a dataset has them; they go before its text. All are read at once, paths as this process sees them.
        answer_format: how a reply writes its final answer, "boxed" or a regular expression with one group; None for
            open-ended text.
        ask: appends to every prompt the request to end with the answer in \boxed{}, for prompts that do not ask.
        name: what the task is called; None takes the file's name.
        limit: that many rows, the first ones, or drawn without repetition by `seed`, in their order; None takes all.
        seed: of that draw, a whole number; None takes the first rows.
        encoding: of a file.

    Returns:
        The Task.

    Raises:
        DataError: for rows that cannot be read so, with the file and the line or with the row's number.
        ConfigError: for a wrong argument.

    Example:
        >>> task = catlite.from_records("sums.csv", prompt="sum", answer="result", answer_format="boxed", ask=True)
        >>> catlite.evaluate(task, "gpt-4o-mini", estimators=catlite.MajorityVote())
    """
    layout = Layout(prompt, answer, id, rubric, answer_format, images)
    if ask and answer_format != "boxed":
        raise ConfigError('ask=True asks for \\boxed{}: give answer_format="boxed" with it')
    finish = asking if ask else None
    return load(rows, layout, name=name, limit=limit, seed=seed, encoding=encoding, finish=finish)


def load(
    rows: Any,
    layout: Layout,
    *,
    name: str | None = None,
    limit: int | None = None,
    seed: int | None = None,
    encoding: str = "utf-8",
    finish: Finish | None = None,
) -> Task:
    """`from_records` with a last step for each Example, whose ConfigError or DataError gets the line's number."""
    for role, column in {"prompt": layout.prompt, **layout.columns}.items():
        if not isinstance(column, str):
            raise ConfigError(f"{role}={column!r:.60}: give the name of a column")
    if layout.answer_format is not None:
        answers.check_format(layout.answer_format)
    check_draw(limit, seed)
    label, default, source = _source(rows, encoding)
    examples = _draw(_examples(source, label, layout, finish), label, limit, seed)
    if not examples:
        raise DataError(f"{label} has no rows")
    return Task(name or default, tuple(examples))


def boxed(prompt: Prompt) -> str:
    r"""Ask a problem with the request to end in `\boxed{}`."""
    if not isinstance(prompt, str):
        raise DataError("the problem is a list of messages: want text")
    return render("boxed", problem=prompt)


def asking(example: Example) -> Example:
    r"""Add the request to end in `\boxed{}` to the prompt of an example."""
    if isinstance(example.prompt, str):
        return replace(example, prompt=boxed(example.prompt))
    users = [place for place, message in enumerate(example.prompt) if message["role"] == "user"]
    if not users:
        raise DataError("no message of the prompt is the user's: ask=True has nowhere to ask")
    messages = list(example.prompt)
    content = messages[users[-1]]["content"]
    if isinstance(content, str):
        content = boxed(content)
    else:  # the last of its texts asks
        texts = [place for place, part in enumerate(content) if part["type"] == "text"]
        if not texts:
            raise DataError("the question is an image without a text: ask=True has nothing to ask with")
        content = list(content)
        content[texts[-1]] = {**content[texts[-1]], "text": boxed(content[texts[-1]]["text"])}
    messages[users[-1]] = {**messages[users[-1]], "content": content}
    return replace(example, prompt=messages)


def check_draw(limit: int | None, seed: int | None) -> None:
    """Raise ConfigError unless both are whole numbers, or None, and limit is at least 1."""
    if limit is not None:
        whole_number("limit", limit, hint=", or None for all rows")
    if seed is not None:
        whole_number("seed", seed, None, hint=", or None for the first rows")


# --- where rows come from ---------------------------------------------------------------------------------


def _source(rows: Any, encoding: str) -> tuple[str, str, Iterator[Row]]:
    """(the name of the source for errors, the name of the task, the rows)."""
    if isinstance(rows, (str, os.PathLike)):
        path = Path(rows).expanduser()
        return str(path), tables.stem(path), tables.read(path, encoding)
    kind = type(rows).__name__
    if isinstance(rows, Mapping):
        raise ConfigError(
            f"rows is a {kind} with keys {list(rows)[:8]}: give a list of rows, or one split of it, as rows[…]"
        )
    if isinstance(rows, bytes) or not isinstance(rows, Iterable):
        raise ConfigError(f"rows is {kind}: give the path of a file, a DataFrame, or an iterable of mappings")
    return kind, "records", _numbered(_mappings(rows), kind)


def _mappings(rows: Any) -> Iterable[Any]:
    """The rows of a DataFrame as mappings; anything else as it is."""
    if hasattr(rows, "iter_rows") and hasattr(rows, "columns"):  # polars
        return rows.iter_rows(named=True)  # type: ignore[no-any-return]
    if not (hasattr(rows, "itertuples") and hasattr(rows, "columns")):
        return rows  # type: ignore[no-any-return]
    columns = [str(column) for column in rows.columns]
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if twice:
        raise DataError(f"the DataFrame has more than one column {twice}")
    return (dict(zip(columns, cells, strict=True)) for cells in rows.itertuples(index=False, name=None))


def _numbered(rows: Iterable[Any], kind: str) -> Iterator[Row]:
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise DataError(f"{kind}, row {number}: a {type(row).__name__}, not a mapping of columns to values")
        yield f"row {number}", row


def _draw(examples: Iterator[Example], label: str, limit: int | None, seed: int | None) -> list[Example]:
    """The first `limit`, or as many drawn by `seed` in one pass that holds no more than it keeps."""
    if limit is None:
        return list(examples)
    reservoir = list(enumerate(itertools.islice(examples, limit)))
    if seed is not None:
        draw = random.Random(seed)  # noqa: S311 - a draw of questions, no secret
        for position, example in enumerate(examples, limit):
            place = draw.randrange(position + 1)
            if place < limit:
                reservoir[place] = (position, example)
    if 0 < len(reservoir) < limit:
        raise ConfigError(f"limit={limit}: {label} has {len(reservoir)} row{'s' if len(reservoir) > 1 else ''}")
    return [example for _, example in sorted(reservoir, key=lambda pair: pair[0])]


# --- examples out of rows ---------------------------------------------------------------------------------


def _examples(source: Iterator[Row], label: str, layout: Layout, finish: Finish | None) -> Iterator[Example]:
    ids: dict[str, str] = {}
    kinds: dict[str, tuple[str, str]] = {}
    for number, (where, row) in enumerate(source, 1):
        if number == 1:
            _check_columns(row, label, layout)
        try:
            example = _example(row, number, where, layout, kinds)
            if example.id in ids:
                quoted = "" if layout.private else f" {example.id!r:.60}"
                raise DataError(f"the id{quoted} is that of {ids[example.id]} too")
            ids[str(example.id)] = where
            example = example if finish is None else finish(example)
        except (ConfigError, DataError) as error:
            raise DataError(f"{label}, {where}: {error}") from None
        yield example


def _check_columns(row: Mapping[str, Any], label: str, layout: Layout) -> None:
    """Raise DataError, with the call to write instead, when the first row lacks a column that was named."""
    wrong = {role: column for role, column in layout.columns.items() if column not in row}
    if not wrong:
        return
    columns = [str(column) for column in row]
    call, complete = dict(layout.columns), True
    for role, column in wrong.items():
        usual = [name for name in USUAL.get(role, ()) if name in columns and name not in layout.columns.values()]
        near = usual[:1] or difflib.get_close_matches(column, columns, 1)
        call[role] = near[0] if near else column
        complete = complete and bool(near)
    missing = " and ".join(f"no column {column!r} for the {role}" for role, column in wrong.items())
    hint = ""
    if len(columns) == 1 and (";" in columns[0] or "\t" in columns[0]):
        hint = " The header looks separated by something else than commas: save with commas, or tabs as .tsv."
    elif complete:
        rows = f"{label!r}" if " " in label or "." in label or "/" in label else "rows"
        if layout.answer_format is not None:
            call["answer_format"] = layout.answer_format
        left_out = () if "prompt" in wrong else ("prompt", "prompt")
        options = [f"{role}={column!r}" for role, column in call.items() if (role, column) != left_out]
        hint = f" Did you mean from_records({', '.join([rows, *options])})?"
    raise DataError(f"{label} has {missing}. Its columns: {_listed(columns)}.{hint}")


def _listed(columns: Iterable[Any]) -> str:
    names = [f"{column!r:.60}" for column in columns]
    return ", ".join(names[:24]) + (f" and {len(names) - 24} more" if len(names) > 24 else "")


def _example(
    row: Mapping[str, Any], number: int, where: str, layout: Layout, kinds: dict[str, tuple[str, str]]
) -> Example:
    columns = layout.columns
    for role, column in columns.items():
        if column not in row:
            raise DataError(f"no column {column!r} for the {role}; it has {_listed(row)}")
    name = str(number) if layout.id is None else as_text(row[layout.id], layout.id, where, kinds)
    if name is None:
        raise DataError(f"{layout.id!r} is empty: every row needs an id")
    prompt = as_prompt(row[layout.prompt], layout.prompt)
    return Example(
        prompt if layout.images is None else with_images(prompt, row[layout.images], layout.images),
        None if layout.answer is None else as_text(row[layout.answer], layout.answer, where, kinds),
        None if layout.rubric is None else as_rubric(row[layout.rubric], layout.rubric),
        layout.answer_format,
        name,
        {column: plain(value) for column, value in row.items() if column not in columns.values()},
    )
