"""Cells of a row made into plain data, prompts, texts and rubrics, or into errors that show no more than their kind.

Left out: repairing what a cell holds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from catlite.criteria import Criterion, Rubric
from catlite.data import Prompt, as_messages, text_of
from catlite.errors import DataError
from catlite.messages import extended
from catlite.parts import image


def plain(value: Any) -> Any:
    """Take a cell out of its container: NumPy's and pandas' scalars as Python's, arrays as lists, missing as None."""
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, float):
        return None if math.isnan(value) else float(value)
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    return plain(value.tolist()) if hasattr(value, "tolist") else value


def as_prompt(value: Any, column: str) -> Prompt:
    """Make a prompt of text, of messages, also as {"messages": …}, or of the JSON of them; DataError otherwise."""
    value = plain(value)
    if isinstance(value, Mapping) and set(value) == {"messages"}:
        value = plain(value["messages"])
    if value is None or (isinstance(value, str) and not value.strip()):
        raise DataError(f"the prompt in {column!r} is empty")
    if not isinstance(value, (str, list, tuple)):
        raise DataError(f"the prompt in {column!r} is {kind_of(value)}: want text or a list of messages")
    chat = _chat(value) if isinstance(value, str) else list(value)
    prompt = str(value) if chat is None else as_messages(_filled(chat))
    for text in [prompt] if isinstance(prompt, str) else map(text_of, prompt):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise DataError(f"the prompt in {column!r} has half a surrogate pair at character {error.start}") from None
    return prompt


def _filled(value: Any) -> Any:
    """Drop the keys that datasets fill with None, since a message or a part lacks them: they are not for servers."""
    value = plain(value)
    if isinstance(value, Mapping):
        return {key: _filled(item) for key, item in value.items() if item is not None}
    return [_filled(item) for item in value] if isinstance(value, list | tuple) else value


def with_images(prompt: Prompt, value: Any, column: str) -> Prompt:
    """Put the images of a cell before the user's first text; DataError for a prompt without a message of the user."""
    value = plain(value)
    cells = value if isinstance(value, list | tuple) else [value]
    # As a dataset has them that does not decode its images: {"bytes": …, "path": …}.
    sources = [(cell["bytes"] or cell["path"]) if _is_undecoded(cell) else cell for cell in cells]
    images = [image(source) for source in sources if source is not None and source != ""]
    messages = as_messages(prompt)
    place = next((place for place, message in enumerate(messages) if message["role"] == "user"), None)
    if not images:
        return prompt
    if place is None:
        raise DataError(f"no message of the prompt is the user's: the images in {column!r} have no place")
    messages[place]["content"] = extended(images, messages[place]["content"])
    return messages


def _is_undecoded(cell: Any) -> bool:
    return isinstance(cell, Mapping) and cell.keys() == {"bytes", "path"}


def _chat(text: str) -> list[Any] | None:
    """The messages a text is the JSON of, None for any other text; DataError for the Python text of messages."""
    if text.startswith(("[{'role': ", "[{'content': ")):
        raise DataError("the prompt is Python's text of messages, as DataFrame.to_csv writes lists: write them as JSON")
    if not text.lstrip().startswith("["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    is_chat = isinstance(value, list) and value and all(isinstance(part, dict) and "role" in part for part in value)
    return value if is_chat else None


def as_text(value: Any, column: str, where: str, kinds: dict[str, tuple[str, str]]) -> str | None:
    """Make an answer or an id text. `kinds` holds of each column whether it is text or numbers, and a row that is."""
    value = plain(value)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value in (math.inf, -math.inf):
        raise DataError(f"{column!r} is {kind_of(value)}: want text or a number")
    kind = "text" if isinstance(value, str) else "a number"
    first, at = kinds.setdefault(column, (kind, where))
    if kind != first:
        raise DataError(f"{column!r} is {kind} here and {first} in {at}: write all of it as text, or all as numbers")
    # An integer column becomes floats in pandas as soon as one cell is missing.
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else str(value)


def as_rubric(value: Any, column: str) -> Rubric | None:
    """Make a Rubric of a list of texts or of {criterion, points, tags}, or the JSON of one; None for an empty cell."""
    value = plain(value)
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
        kind = "an empty list" if value == [] else kind_of(value)
        raise DataError(f"the rubric in {column!r} is {kind}: want a list of criteria")
    return Rubric(tuple(_criterion(plain(item), number) for number, item in enumerate(value, 1)))


def _criterion(item: Any, number: int) -> Criterion:
    if isinstance(item, Criterion):
        return item
    fields = {"criterion": item} if isinstance(item, str) else item
    if isinstance(fields, Mapping) and "criterion" not in fields and "criterion_text" in fields:
        fields = {**fields, "criterion": fields["criterion_text"]}  # as HealthBench Professional calls it
    if not isinstance(fields, Mapping) or not isinstance(fields.get("criterion"), str):
        keys = f" with keys {list(fields)[:12]}" if isinstance(fields, Mapping) else ""
        raise DataError(f"criterion {number} is {kind_of(item)}{keys}: want text, or {{criterion, points, tags}}")
    if not fields["criterion"].strip():
        raise DataError(f"criterion {number} is empty")
    points, tags = plain(fields.get("points", 1.0)), plain(fields.get("tags"))
    if isinstance(points, bool) or not isinstance(points, (int, float)) or math.isinf(points):
        raise DataError(f"criterion {number} has points that are {kind_of(points)}: want a number")
    tags = [] if tags is None else tags
    if not isinstance(tags, (list, tuple)) or not all(isinstance(tag, str) for tag in tags):
        raise DataError(f"criterion {number} has tags that are {kind_of(tags)}: want a list of text")
    return Criterion(fields["criterion"], points, tuple(tags))


def kind_of(value: Any) -> str:
    """Describe a value without showing it."""
    if value is None:
        return "missing"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, float) and math.isinf(value):
        return f"a number ({value:.60g})"
    return _NAMES.get(type(value), f"a {type(value).__name__}")


_NAMES: dict[type, str] = {str: "text", int: "a number", float: "a number", list: "a list", dict: "an object"}
