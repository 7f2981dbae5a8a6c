"""A structured reply out of model text: JSON or tags, in fences, in prose, after a think block.

Well-formed JSON is read by the standard library. What is not (single quotes, trailing commas, a missing bracket) goes
to `json_repair`, within a bound on its length, since hostile text takes it quadratic time. Model text is not XML: tags
are found by one linear scan, so nothing is expanded and a stray & or < is just text. Left out: schemas. What a field
means, and what is ambiguous, the reader of the field decides; a name that comes twice therefore keeps both values.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from catlite import answers

_REPAIRABLE = 4_000  # characters; half a second in the worst case
_STARTS = 64  # places at which a JSON value is tried, each at the price of one scan of the rest
_NOT_JSON = object()
# Attributes are skipped, bounded so that an unclosed quote costs a constant.
_TAG = re.compile(
    r"<(/?)([A-Za-z_][\w.-]{0,60})((?:\s{1,8}[\w:.-]{1,60}\s?=\s?(?:\"[^\"<]{0,200}\"|'[^'<]{0,200}'))*)\s?>"
)


def parse_reply(text: str) -> dict[str, Any] | None:
    """The last object a reply holds, as a dictionary; None when it holds none.

    JSON wins over tags; tags become {"name": text}, nested ones a dictionary in turn. A name that comes more than
    once in one object has the list of its values.
    """
    objects = [value for value in parse_values(text) if isinstance(value, dict)]
    return objects[-1] if objects else None


def parse_values(text: str) -> list[Any]:
    """All JSON objects and arrays of a reply, in order; or else what its tags hold, as one dictionary; or else []."""
    said = answers.without_thinking(text)
    found = list(_well_formed(said))
    # Brackets and braces of prose ("[1]", "{x}") are not a reply.
    found = [value for value in found if isinstance(value, dict) or any(isinstance(item, dict) for item in value)]
    if found:
        return found
    repaired = _repaired(said)
    if repaired is not None:
        return [repaired]
    tagged = _tagged(said)
    return [tagged] if tagged else []


def _well_formed(text: str) -> Iterator[Any]:
    decoder = json.JSONDecoder(object_pairs_hook=_pairs)
    position, tries = 0, 0
    while tries < _STARTS:
        start = min((at for at in (text.find("{", position), text.find("[", position)) if at >= 0), default=-1)
        if start < 0:
            return
        tries += 1
        try:
            value, position = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            position = start + 1
        else:
            yield value


def _pairs(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A dictionary in which a name that comes twice has the list of its values."""
    found: dict[str, list[Any]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _repaired(text: str) -> Any:
    """The object or array that `text` seems to mean; None when there is no sign of one."""
    start = re.search(r"[{\[]\s*(?:[\"'{]|[A-Za-z_]\w{0,40}\s?:)", text)
    if start is None:
        return None
    end = max(text.rfind("}"), text.rfind("]"))
    meant = text[start.start() : end + 1 if end > start.start() else len(text)]
    if len(meant) > _REPAIRABLE:
        return None
    import json_repair

    try:
        value = json_repair.loads(meant)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict):  # of a name that comes twice the repair keeps one value, whichever
        for name in value:
            given = re.findall(rf"[\"']{re.escape(name)}[\"']\s?:\s?[\"']?([\w.+-]{{1,60}})", meant)
            if len(set(given)) > 1 and not isinstance(value[name], dict | list):
                value[name] = given
    return value if value and isinstance(value, dict | list) else None


def _tagged(text: str) -> dict[str, Any]:
    """What stands between tags, without the prose around; one not closed reaches to the next tag or the end."""
    root: list[tuple[str, Any]] = []
    open_tags: list[tuple[str, int, list[tuple[str, Any]]]] = []  # name, where its inside begins, what it holds

    def close(end: int) -> None:
        name, begin, inside = open_tags.pop()
        value: Any = _pairs(inside) if inside else html.unescape(text[begin:end]).strip()
        (open_tags[-1][2] if open_tags else root).append((name, value))

    for tag in _TAG.finditer(text):
        name = tag[2]
        if not tag[1]:
            # "<reason>… <verdict>yes": a tag was forgotten, not nested, when text already stands before the next one.
            if open_tags and text[open_tags[-1][1] : tag.start()].strip() and not open_tags[-1][2]:
                close(tag.start())
            if len(open_tags) < _STARTS:
                open_tags.append((name, tag.end(), []))
        elif any(name == one for one, *_ in open_tags):
            end = tag.start()
            while open_tags[-1][0] != name:
                close(end)
            close(end)
    while open_tags:
        close(len(text))
    return _pairs(root)
