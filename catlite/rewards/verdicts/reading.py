"""Reading a verdict: what a careful person would read is read, what is ambiguous is None, never a silent no.

Nothing is searched for in prose. A reply holds an object or a tag with a named field (fields.py), or it is
words that a strict grammar parses (text.py): a word of a closed list, perhaps behind labels, or a plain
sentence about the criterion. Two verdicts that contradict each other, a doubt behind one, an object that is quoted, a
reply that was cut off: no verdict. Left out: guessing from tone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from catlite import answers
from catlite.data import Rollout
from catlite.parsing import located
from catlite.rewards.verdicts.fields import as_verdict as as_verdict, field_rank, field_verdicts, reason_of
from catlite.rewards.verdicts.text import introduces_a_quotation, numbered_verdicts, text_evidence, text_verdict

# Tags that only format: the text stays, they go.
_FORMATTING = re.compile(
    r"</?(?:b|i|em|strong|p|span|br|div|u|code|pre|h[1-6]|li|ul|ol|center|mark|small|sub|sup|hr)\s?/?>", re.IGNORECASE
)
# "Here is my verdict {…}", "The final JSON {…}": no mark, and yet the judge's own.
_ANNOUNCES = re.compile(
    r"(?:sure,? |ok(?:ay)?,? |so,? )?(?:here(?: is|'s|’s| are)?|my|the final|final)(?: \w+){0,3} "
    r"(?:json|verdicts?|judge?ments?|answer|evaluation|assessment|result|output|object)",
    re.IGNORECASE,
)
_NEAR = 500  # characters before and behind an object that are looked at, to see whose words it is


@dataclass(frozen=True)
class _Object:
    """What one object, list or tag of a reply holds.

    `quoted` where it is announced as somebody else's; `own` where it also stands as the judge's own would.
    """

    start: int
    end: int
    value: Any
    quoted: bool
    own: bool


def read_verdict(reply: Rollout) -> tuple[bool | None, str]:
    """(met, the judge's reason) from one reply; met is None when there is no verdict or more than one.

    Args:
        reply: what the judge answered; a failed one has no verdict, and its error is the reason.

    Returns:
        True, False or None, and the reason in the judge's words, the whole reply where it names none.

    Example:
        >>> read_verdict(Rollout("**Met:** No"))[0]
        False
    """
    if reply.error is not None:
        return None, reply.error
    text, objects = _objects(reply.text)
    if not text.strip():
        return None, f"the judge's reply is {reply.defect or 'empty'}"
    cut = reply.defect == "truncated"
    own = [found.value for found in objects if found.own]
    verdicts = list(field_verdicts(own))
    if verdicts:
        # Cut off in the middle of a word, a field says something else than it would have.
        whole = text.rstrip("`* \n").endswith(("}", "]", ">")) if cut else not _breaks_off(text, own)
        outside = _without(text, objects)
        values = [found.value for found in objects]
        evidence = {*field_verdicts(values), *(text_evidence(outside) if outside.strip() else ())}
        return (verdicts[0] if whole and len(evidence) == 1 else None), reason_of(values) or text
    unread = re.match(r"[\s`*]*(?:\{|\[\s*[{\"']|<)", text) is not None and "}" not in text[:_NEAR].split("\n")[0]
    if cut or objects or unread:
        return None, text  # an object without a verdict, or one that cannot be read: words in it are none
    return text_verdict(text), text


def own_objects(text: str) -> tuple[str, list[Any]]:
    """(a reply without its thinking, the objects in it that are the judge's own)."""
    text, objects = _objects(text)
    return text, [found.value for found in objects if found.own]


def _objects(text: str) -> tuple[str, list[_Object]]:
    text = _FORMATTING.sub(" ", answers.without_thinking(text))
    visible, spans = located(text)
    if not spans and (braced := _braced(text)) is not None:
        visible, spans = located(braced)
    objects: list[_Object] = []
    for start, end, value in spans:
        before = visible[max(objects[-1].end if objects else 0, start - _NEAR) : start].rstrip(" \t`*_>-{[(")
        quoted = introduces_a_quotation(re.sub(r"```\w*\Z", "", before.rstrip()))
        own = not quoted and _stands_alone(before, visible[end : end + _NEAR])
        objects.append(_Object(start, end, value, quoted, own))
    return visible, objects


def _braced(text: str) -> str | None:
    """`text` in the braces that it lacks, when it begins as the inside of an object does."""
    bare = text.strip(" \t\r\n`,}").removeprefix("json").lstrip()
    inside = re.match(r"[\"'][A-Za-z_][\w ]{0,40}[\"']\s?:\s?", bare) is not None
    return "{" + bare + "}" if inside else None


def _stands_alone(before: str, after: str) -> bool:
    """True when what stands between two texts begins a line or a sentence, and no sentence goes on behind it."""
    line = before[before.rfind("\n") + 1 :].strip(" \t`*_>-")
    after = after.lstrip(" \t`*_}])").split("\n", 1)[0]
    if after[:1] in (",", ";", "?", "-", "–", "—") or after[:1].islower():
        return False
    if line.lower() in ("", "json", "xml"):
        return True
    return line.endswith((":", "}", ">", "]", ".", "!", "?", "=")) or _ANNOUNCES.fullmatch(line) is not None


def _without(text: str, objects: Sequence[_Object]) -> str:
    parts, position = [], 0
    for found in objects:
        parts.append(text[position : found.start])
        position = found.end
    return "\n".join([*parts, text[position:]])


def _breaks_off(text: str, own: list[Any]) -> bool:
    """True when the text ends inside the words of a verdict field: "No" may have become "Not only"."""
    end = text.rstrip("`* \n")
    if end.endswith(("}", "]", ">", '"', "'")):
        return False
    words = (item for value in own if isinstance(value, dict) for name, item in value.items() if field_rank(str(name)))
    return "{" in text and any(isinstance(item, str) and item and end.endswith(item.rstrip()) for item in words)


def criterion_verdicts(reply: Rollout, count: int) -> list[tuple[bool | None, str]]:
    """(met, reason) for each of `count` criteria from one reply that judges all of them, matched by their numbers.

    One that is missing, or numbered twice, has None: the others do not shift into its place. A number that no
    criterion has makes all of them None, since the judge may have counted from 0. Without any number the entries
    count in their order, when there is one for each criterion. Without objects the numbered lines are read.
    """
    blank: list[tuple[bool | None, str]] = [(None, reply.error or "the judge gave no verdict on this criterion")]
    if reply.error is not None:
        return blank * count
    text, objects = _objects(reply.text)
    entries = list(_entries([found.value for found in objects if not found.quoted]))
    numbers = [_number(entry) for entry in entries]
    if entries and all(number is None for number in numbers) and len(entries) == count:
        numbers = list(range(1, count + 1))
    by_number: dict[int, list[tuple[bool | None, str]]] = {}
    for entry, number in zip(entries, numbers, strict=True):
        if number is not None:
            met = set(field_verdicts([entry]))
            by_number.setdefault(number, []).append((met.pop() if len(met) == 1 else None, reason_of([entry])))
    if not objects and reply.defect != "truncated":
        for number, verdict, line in numbered_verdicts(text):
            by_number.setdefault(number, []).append((verdict, line))
    if not set(by_number) <= set(range(1, count + 1)):
        return [(None, f"the judge numbered {count} criteria {min(by_number)} to {max(by_number)}")] * count
    twice = (None, "the judge gave more than one verdict on this criterion")
    listed = [by_number.get(number, blank) for number in range(1, count + 1)]
    return [verdicts[0] if len(verdicts) == 1 else twice for verdicts in listed]


def _number(entry: dict[str, Any]) -> int | None:
    number = next((entry[name] for name in ("criterion", "number", "id", "index") if name in entry), None)
    if isinstance(number, str):
        begun = re.match(r"\W*(?:criterion\s*)?#?(\d{1,6})\b", number, re.IGNORECASE)
        return int(begun[1]) if begun else None
    whole = isinstance(number, int | float) and not isinstance(number, bool) and number == int(number)
    return int(number) if whole and number is not None else None


def _entries(values: Any) -> Iterator[dict[str, Any]]:
    """Every object that carries a verdict, however they are listed; {"1": {…}} has its number as the key."""
    for value in values:
        if isinstance(value, list):
            yield from _entries(value)
        elif isinstance(value, dict):
            if any(field_rank(str(name)) and not isinstance(item, dict | list) for name, item in value.items()):
                yield value
                continue
            for name, item in value.items():
                number = re.fullmatch(r"(?:criterion|c|item)?[\s_#]*(\d{1,6})", name.strip(), re.IGNORECASE)
                if number is not None:
                    entry = item if isinstance(item, dict) else {"met": item}
                    yield {"criterion": number[1], **entry}
                elif isinstance(item, dict | list):
                    yield from _entries([item])
