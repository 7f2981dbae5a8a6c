"""Structured replies read out of model text: JSON or tags, in fences, in prose, after a think block.

Well-formed JSON is read by the standard library. What is not (single quotes, trailing commas, a missing bracket) goes
to `json_repair`, within a bound on its length, since hostile text takes it quadratic time. Model text is not XML: tags
are found by one linear scan, so nothing is expanded and a stray & or < is just text. A name that comes twice keeps
both values, so that the reader of the field can see the ambiguity. Left out: schemas.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from catlite import answers

_REPAIRABLE = 2_000  # characters; most of a second in the worst case
_STARTS = 64  # places at which a JSON value may fail, each at the price of one scan of the rest
# Attributes are skipped, bounded so that an unclosed quote costs a constant.
_TAG = re.compile(
    r"<(/?)([A-Za-z_][\w.-]{0,60})((?:\s{1,8}[\w:.-]{1,60}\s?=\s?(?:\"[^\"<]{0,200}\"|'[^'<]{0,200}'))*)\s?>"
)


def parse_reply(text: str) -> dict[str, Any] | None:
    """Read the last object of a reply.

    JSON wins over tags; tags become {"name": text}, nested ones a dictionary in turn. A name that comes more than
    once in one object has the list of its values.

    Args:
        text: the reply; thinking in it is set apart first.

    Returns:
        The object as a dictionary; None when the reply holds none.

    Example:
        >>> parse_reply('I say {"met": true}')
        {'met': True}
    """
    objects = [value for value in parse_values(text) if isinstance(value, dict)]
    return objects[-1] if objects else None


def parse_values(text: str) -> list[Any]:
    """Read all objects and arrays of a reply.

    Args:
        text: the reply; thinking in it is set apart first.

    Returns:
        Its JSON objects and arrays in order; without any, one dictionary of its tags; else nothing.

    Example:
        >>> parse_values('{"a": 1} and [{"b": 2}]')
        [{'a': 1}, [{'b': 2}]]
    """
    return [value for _, _, value in located(text)[1]]


def located(text: str) -> tuple[str, list[tuple[int, int, Any]]]:
    """(the reply without its thinking, the values of `parse_values` in that, each with its start and end)."""
    visible = answers.without_thinking(text)
    # Brackets and braces of prose ("[1]", "{x}") are not a reply.
    values = [
        (start, end, value)
        for start, end, value in _well_formed(visible)
        if isinstance(value, dict) or any(isinstance(item, dict) for item in value)
    ]
    if values:
        return visible, values
    other = _repaired(visible) or _tagged(visible)
    return visible, [other] if other else []


def between(text: str, spans: Iterable[tuple[int, int]], stand_in: str = "\n") -> str:
    """Join what stands before, between and behind the spans of a text, with `stand_in` in the place of each span."""
    edges = [0, *(edge for span in spans for edge in span), len(text)]
    return stand_in.join(text[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True))


def _well_formed(text: str) -> Iterator[tuple[int, int, Any]]:
    decoder = json.JSONDecoder(object_pairs_hook=_pairs)
    position, failed = 0, 0
    while failed < _STARTS:
        start = min((at for at in (text.find("{", position), text.find("[", position)) if at >= 0), default=-1)
        if start < 0:
            return
        try:
            value, position = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            position = start + 1
            failed += 1
        else:
            yield start, position, value


def _pairs(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A dictionary in which a name that comes twice has the list of its values."""
    lists: dict[str, list[Any]] = {}
    for name, value in pairs:
        lists.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in lists.items()}


def _repaired(text: str) -> tuple[int, int, Any] | None:
    """The object or array that `text` seems to mean; None without a sign of one."""
    begin = re.search(r"[{\[]\s*(?:[\"'“{]|[A-Za-z_]\w{0,40}\s?:)", text)
    if begin is None:
        return None
    start, last = begin.start(), max(text.rfind("}"), text.rfind("]"))
    end = last + 1 if last > start else len(text)
    part = text[start:end]
    if len(part) > _REPAIRABLE:
        return None
    import json_repair

    try:
        value = json_repair.loads(part)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):
        for name in value:
            _as_written(value, name, part)
    return (start, end, value) if value and isinstance(value, dict | list) else None


def _as_written(value: dict[str, Any], name: str, text: str) -> None:
    """Undo guesses of a repair: of a name that comes twice it keeps one value, of "true or false" the first."""
    if isinstance(value[name], dict | list):
        return
    field = rf"(?<!\w)[\"'“”]?{re.escape(name)}[\"'“”]?\s?:\s?"
    texts = re.findall(field + r"[\"'“”]?([\w.+-]{1,60})", text)
    if len(set(texts)) > 1:
        value[name] = texts
    elif isinstance(value[name], bool):
        literal = re.search(field + r"[\"'“”]?([^,}\]\n]{1,80})", text)
        if literal and literal[1].strip(" \"'“”").lower() not in ("true", "false"):
            value[name] = literal[1].strip()


def _tagged(text: str) -> tuple[int, int, Any] | None:
    """The texts between tags, without the prose around; a tag not closed reaches to the next tag or the end."""
    root: list[tuple[str, Any]] = []
    open_tags: list[tuple[str, int, list[tuple[str, Any]]]] = []  # name, start of its inside, tags inside

    def close(end: int) -> None:
        name, begin, inside = open_tags.pop()
        value: Any = _pairs(inside) if inside else html.unescape(text[begin:end]).strip()
        (open_tags[-1][2] if open_tags else root).append((name, value))

    start, end = -1, 0
    for tag in _TAG.finditer(text):
        name = tag[2]
        start, end = tag.start() if start < 0 else start, tag.end()
        if not tag[1]:
            # "<reason>… <verdict>yes": a tag was forgotten, not nested, when text already stands before the next one.
            if open_tags and text[open_tags[-1][1] : tag.start()].strip() and not open_tags[-1][2]:
                close(tag.start())
            if len(open_tags) < _STARTS:
                open_tags.append((name, tag.end(), []))
        elif any(name == open_name for open_name, *_ in open_tags):
            while open_tags[-1][0] != name:
                close(tag.start())
            close(tag.start())
    end = len(text) if open_tags else end
    while open_tags:
        close(len(text))
    values = _pairs(root)
    return (start, end, values) if values else None
