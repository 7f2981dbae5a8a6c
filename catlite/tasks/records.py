"""Your own rows as a task: a file, a list, a DataFrame, a Hugging Face dataset, any iterable of mappings.

    {"prompt": "Which city lies on two continents?", "gold": "Istanbul", "id": "geo-7", "difficulty": 2}

becomes, with `from_records(rows, answer="gold", id="id")`, one Example with metadata {"difficulty": 2}. Columns
are named, never guessed; what a row lacks or spells otherwise is an error that says where. Left out: repairing
rows, and answer formats that differ from row to row.
"""

from __future__ import annotations

import difflib
import itertools
import json
import math
import os
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from catlite import answers
from catlite.criteria import Criterion, Rubric
from catlite.data import Example, Prompt, Task, as_messages
from catlite.errors import ConfigError, DataError
from catlite.prompts.files import render
from catlite.tasks import tables
from catlite.tasks.tables import Row

# What such columns are usually called: for a hint, never for a guess.
USUAL = {
    "prompt": ("question", "problem", "messages", "prompt", "instruction", "input", "query"),
    "answer": (
        "answer",
        "gold",
        "solution",
        "result",
        "target",
        "label",
        "expected",
        "reference",
        "completion",
        "output",
    ),
}
Finish = Callable[[Example], Example]


@dataclass(frozen=True, slots=True)
class Layout:
    """Which column holds what; a column that is not named here is metadata."""

    prompt: str = "prompt"
    answer: str | None = None
    id: str | None = None
    rubric: str | None = None
    answer_format: str | None = None
    private: bool = False  # errors quote nothing of a row but its place and its keys

    @property
    def columns(self) -> dict[str, str]:
        """The roles that are given a column, with its name."""
        roles = {"prompt": self.prompt, "answer": self.answer, "id": self.id, "rubric": self.rubric}
        return {role: column for role, column in roles.items() if column is not None}


def from_records(
    rows: Any,
    *,
    prompt: str = "prompt",
    answer: str | None = None,
    id: str | None = None,  # noqa: A002 - the word users have for it
    rubric: str | None = None,
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
        rows: the path of a CSV, TSV, JSONL or JSON file (or .gz of one), a DataFrame, a dataset, or mappings.
        prompt: the column with the question: text, or messages [{role, content}, …], also as the JSON text of them.
        answer: the column with the right answer: text; a column of numbers throughout is written out as text.
        id: the column with a name for the question; None takes the row's number, from 1.
        rubric: the column with criteria: a list of texts, or of {criterion, points, tags}.
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
    layout = Layout(prompt, answer, id, rubric, answer_format)
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
    """`from_records` with a last step for each Example; a ConfigError or DataError of it is told with its line."""
    _check_layout(layout)
    check_draw(limit, seed)
    label, default, source = _source(rows, encoding)
    taken = _draw(_examples(source, label, layout, finish), label, limit, seed)
    if not taken:
        raise DataError(f"{label} has no rows")
    return Task(name or default, tuple(taken))


def boxed(prompt: Prompt) -> str:
    r"""A problem, with the request to end in `\boxed{}`."""
    if not isinstance(prompt, str):
        raise DataError("the problem is a list of messages: want text")
    return render("boxed", problem=prompt)


def asking(example: Example) -> Example:
    r"""`example` with the request to end in `\boxed{}` at the end of its prompt."""
    if isinstance(example.prompt, str):
        return replace(example, prompt=boxed(example.prompt))
    users = [place for place, message in enumerate(example.prompt) if message["role"] == "user"]
    if not users:
        raise DataError("no message of the prompt is the user's: ask=True has nowhere to ask")
    messages = list(example.prompt)
    messages[users[-1]] = {**messages[users[-1]], "content": boxed(messages[users[-1]]["content"])}
    return replace(example, prompt=messages)


def _check_layout(layout: Layout) -> None:
    for role, column in {"prompt": layout.prompt, **layout.columns}.items():
        if not isinstance(column, str):
            raise ConfigError(f"{role}={column!r:.60}: give the name of a column")
    if layout.answer_format is not None:
        answers.check_format(layout.answer_format)


def check_draw(limit: int | None, seed: int | None) -> None:
    """ConfigError unless both are whole numbers, or None, and limit is at least 1."""
    if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
        raise ConfigError(f"limit={limit!r}: give a whole number from 1, or None for all rows")
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
        raise ConfigError(f"seed={seed!r}: give a whole number, or None for the first rows")


# --- where rows come from ---------------------------------------------------------------------------------


def _source(rows: Any, encoding: str) -> tuple[str, str, Iterator[Row]]:
    """(what to call it in an error, what to call the task, the rows)."""
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
    taken = list(enumerate(itertools.islice(examples, limit)))
    if seed is not None:
        draw = random.Random(seed)  # noqa: S311 - a draw of questions, no secret
        for position, example in enumerate(examples, limit):
            place = draw.randrange(position + 1)
            if place < limit:
                taken[place] = (position, example)
    if 0 < len(taken) < limit:
        raise ConfigError(f"limit={limit}: {label} has {len(taken)} row{'s' if len(taken) > 1 else ''}")
    return [example for _, example in sorted(taken, key=lambda pair: pair[0])]


# --- what a row becomes -----------------------------------------------------------------------------------


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
    """The first row has every column that was named; else an error with the call to write instead."""
    wrong = {role: column for role, column in layout.columns.items() if column not in row}
    if not wrong:
        return
    known = [str(column) for column in row]
    call, complete = dict(layout.columns), True
    for role, column in wrong.items():
        usual = [name for name in USUAL.get(role, ()) if name in known and name not in layout.columns.values()]
        near = usual[:1] or difflib.get_close_matches(column, known, 1)
        call[role] = near[0] if near else column
        complete = complete and bool(near)
    missing = " and ".join(f"no column {column!r} for the {role}" for role, column in wrong.items())
    hint = ""
    if len(known) == 1 and (";" in known[0] or "\t" in known[0]):
        hint = " The header looks separated by something else than commas: save with commas, or tabs as .tsv."
    elif complete:
        given = f"{label!r}" if " " in label or "." in label or "/" in label else "rows"
        if layout.answer_format is not None:
            call["answer_format"] = layout.answer_format
        options = [f"{role}={column!r}" for role, column in call.items() if (role, column) != ("prompt",) * 2]
        hint = f" Did you mean from_records({', '.join([given, *options])})?"
    raise DataError(f"{label} has {missing}. Its columns: {_listed(known)}.{hint}")


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
    name = str(number)
    if layout.id is not None:
        named = _text(row[layout.id], layout.id, where, kinds)
        if named is None:
            raise DataError(f"{layout.id!r} is empty: every row needs an id")
        name = named
    used = set(columns.values())
    return Example(
        _prompt(row[layout.prompt], layout.prompt),
        None if layout.answer is None else _text(row[layout.answer], layout.answer, where, kinds),
        None if layout.rubric is None else as_rubric(row[layout.rubric], layout.rubric),
        layout.answer_format,
        name,
        {column: _plain(value) for column, value in row.items() if column not in used},
    )


def _plain(value: Any) -> Any:
    """A cell without its container: NumPy's and pandas' scalars as Python's, arrays as lists, missing as None."""
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    return _plain(value.tolist()) if hasattr(value, "tolist") else value


def _prompt(value: Any, column: str) -> Prompt:
    value = _plain(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise DataError(f"the prompt in {column!r} is empty")
    if not isinstance(value, (str, list, tuple)):
        raise DataError(f"the prompt in {column!r} is {_kind(value)}: want text or a list of messages")
    chat = _chat(value) if isinstance(value, str) else list(value)
    prompt = str(value) if chat is None else as_messages([_without_none(message) for message in chat])
    for text in [prompt] if isinstance(prompt, str) else [message["content"] for message in prompt]:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"the prompt in {column!r} has half a surrogate pair at character {error.start}") from None
    return prompt


def _without_none(message: Any) -> Any:
    # Datasets fill the keys a message lacks with None, which no server was meant to see.
    return {k: v for k, v in message.items() if v is not None} if isinstance(message, Mapping) else message


def _chat(text: str) -> list[Any] | None:
    """The messages a text is the JSON of, None for any other text."""
    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_chat = isinstance(value, list) and value and all(isinstance(part, dict) and "role" in part for part in value)
    return value if is_chat else None


def _text(value: Any, column: str, where: str, kinds: dict[str, tuple[str, str]]) -> str | None:
    """An answer or an id as text. `kinds` remembers of each column whether it is text or numbers, and since where."""
    value = _plain(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value in (math.inf, -math.inf):
        raise DataError(f"{column!r} is {_kind(value)}: want text or a number")
    kind = "text" if isinstance(value, str) else "a number"
    first, at = kinds.setdefault(column, (kind, where))
    if kind != first:
        raise DataError(f"{column!r} is {kind} here and {first} in {at}: write all of it as text, or all as numbers")
    # An integer column becomes floats in pandas as soon as one cell is missing.
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else str(value)


def as_rubric(value: Any, column: str) -> Rubric | None:
    """A Rubric out of a list of texts or of {criterion, points, tags}, or the JSON of one; None for an empty cell."""
    value = _plain(value)
    if value is None or isinstance(value, Rubric):
        return value
    if isinstance(value, str):
        if not value.strip():
            return None
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise DataError(f"the rubric in {column!r} is text that is not JSON: want a list of criteria") from None
    if not isinstance(value, (list, tuple)) or not value:
        kind = "an empty list" if value == [] else _kind(value)
        raise DataError(f"the rubric in {column!r} is {kind}: want a list of criteria")
    return Rubric(tuple(_criterion(_plain(item), number) for number, item in enumerate(value, 1)))


def _criterion(item: Any, number: int) -> Criterion:
    if isinstance(item, Criterion):
        return item
    fields = {"criterion": item} if isinstance(item, str) else item
    if not isinstance(fields, Mapping) or not isinstance(fields.get("criterion"), str):
        keys = f" with keys {list(fields)[:12]}" if isinstance(fields, Mapping) else ""
        raise DataError(f"criterion {number} is {_kind(item)}{keys}: want text, or {{criterion, points, tags}}")
    if not fields["criterion"].strip():
        raise DataError(f"criterion {number} is empty")
    points, tags = _plain(fields.get("points", 1.0)), _plain(fields.get("tags"))
    if isinstance(points, bool) or not isinstance(points, (int, float)) or math.isinf(points):
        raise DataError(f"criterion {number} has points that are {_kind(points)}: want a number")
    tags = [] if tags is None else tags
    if not isinstance(tags, (list, tuple)) or not all(isinstance(tag, str) for tag in tags):
        raise DataError(f"criterion {number} has tags that are {_kind(tags)}: want a list of text")
    return Criterion(fields["criterion"], points, tuple(tags))


def _kind(value: Any) -> str:
    """What a value is, without showing it."""
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return "true or false"
    return (
        f"a number ({value:.60g})"
        if isinstance(value, float) and math.isinf(value)
        else _NAMES.get(type(value), f"a {type(value).__name__}")
    )


_NAMES: dict[type, str] = {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}
