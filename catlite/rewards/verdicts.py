"""Reading a verdict: what a careful person would read is read, what is ambiguous is None, never a silent no.

A verdict counts only where the judge puts its own: in the named field of a JSON object or a tag, as the first word, or
on a last line that announces it. A yes in the middle of a sentence, or in a text the judge quotes, is none. Two that
contradict each other are None. Left out: guessing from tone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from catlite import answers
from catlite.data import Rollout
from catlite.parsing import parse_values

_FIELDS = frozenset({"met", "criteria_met", "criterion_met", "verdict", "answer", "satisfied", "judgement", "judgment"})
_REASONS = ("reason", "explanation", "reasoning", "justification", "rationale")
# In the larger languages, where the word means the same in all of them ("ne" and "nai" do not).
_YES = """yes true met satisfied ja oui sí si sì sim da да tak evet
    是 是的 はい 예 네 نعم हाँ"""
_NO = """no false unmet nein non não nao nee нет nej nie hayır
    否 不是 不 いいえ 아니요 아니오 لا नहीं"""
_WORDS = dict.fromkeys(_YES.split(), True) | dict.fromkeys([*_NO.split(), "not met", "not satisfied"], False)
_WORD = "|".join(sorted(map(re.escape, _WORDS), key=len, reverse=True))
_DECORATION = " \t\r\n\"'`*_#>.!。:-–—([{)]}"
# "No - it does not", "Yes. It …": the word, then a mark that ends it.
_FIRST = re.compile(rf"({_WORD})[*_`\"']*\s*(?:[.,:;!。，]|[-–—]|\n)", re.IGNORECASE)
_LAST = re.compile(
    rf"(?:verdict|answer|conclusion|judge?ment|met|final)\s*(?:\bis\b)?[\s:=*_\"'`>-]{{0,8}}({_WORD})[\s.!*_\"'`]*\Z",
    re.IGNORECASE,
)
# A sentence that is nothing but the word, anywhere: "No, wait. Yes."
_ALONE = re.compile(rf"(?:^|[.!?,\n])\s*(?:and |or |but |also )?({_WORD})\s*(?=[.!,\n]|\Z)", re.IGNORECASE)
_LONGEST = 20_000  # characters of a reply that are looked at for words; the fields have no such bound


def read_verdict(reply: Rollout) -> tuple[bool | None, str]:
    """(met, the judge's reason) from one reply; met is None when there is no verdict or more than one."""
    if reply.error is not None:
        return None, reply.error
    said = answers.without_thinking(reply.text).strip()
    if not said:
        return None, f"the judge's reply is {reply.defect or 'empty'}"
    values = parse_values(reply.text)
    # Cut off in the middle of a word, a field says something else than it would have.
    found = [] if reply.defect == "truncated" and not _closed(said) else list(_fields(values))
    if found:
        met = found[0] if len(set(found)) == 1 else None
        return met, _reason(values) or said
    if values and any(isinstance(value, dict) for value in values):
        return None, said  # an object without a verdict: words in it are not one
    return (None if reply.defect == "truncated" else _word(said)), said


def _closed(said: str) -> bool:
    return said.rstrip("`* \n").endswith(("}", "]", ">"))


def as_verdict(value: Any) -> bool | None:
    """A field's value as a verdict: true and false, 1 and 0, a word for yes or no; None for anything else."""
    if isinstance(value, list):
        read = {as_verdict(item) for item in value}
        return read.pop() if len(read) == 1 else None
    if isinstance(value, bool | int | float):
        return bool(value) if value in (0, 1) else None
    return _word(value) if isinstance(value, str) else None


def _fields(values: Any, depth: int = 0) -> Iterator[bool | None]:
    """The verdict of every field that is named as one."""
    for value in values:
        if not isinstance(value, dict):
            continue
        for name, item in value.items():
            if isinstance(item, dict):
                if depth < 3:
                    yield from _fields([item], depth + 1)
            elif name.strip().lower().replace(" ", "_") in _FIELDS:
                yield as_verdict(item)


def _reason(values: list[Any]) -> str:
    for value in values:
        if isinstance(value, dict):
            for inside in (value, *(item for item in value.values() if isinstance(item, dict))):
                for name in _REASONS:
                    if isinstance(inside.get(name), str):
                        return str(inside[name])
    return ""


def _word(said: str) -> bool | None:
    """The verdict of a reply in words."""
    said = said[:_LONGEST].strip() if len(said) <= _LONGEST else said[:200] + "\n" + said[-200:]
    bare = said.strip(_DECORATION)
    if bare.lower() in _WORDS:
        return _WORDS[bare.lower()]
    first, last = _FIRST.match(said.lstrip(_DECORATION)), _LAST.search(said[-200:])
    given = [_WORDS[match[1].lower()] for match in (first, last) if match is not None]
    if not given:
        return None
    given += [_WORDS[word.lower()] for word in _ALONE.findall(said)]
    return given[0] if len(set(given)) == 1 else None


def criterion_verdicts(reply: Rollout, count: int) -> list[tuple[bool | None, str]]:
    """(met, reason) for each of `count` criteria from one reply that judges all of them, matched by their numbers.

    One that is missing, or numbered twice, has None: the others do not shift into its place.
    """
    blank: list[tuple[bool | None, str]] = [(None, reply.error or "the judge gave no verdict on this criterion")]
    if reply.error is not None:
        return blank * count
    by_number: dict[int, list[tuple[bool | None, str]]] = {}
    for entry in _entries(parse_values(reply.text)):
        number = next((entry[name] for name in ("criterion", "number", "id", "index") if name in entry), None)
        if isinstance(number, str) and number.strip(" #.").isdecimal() and len(number) < 9:
            number = int(number.strip(" #."))
        if isinstance(number, int) and not isinstance(number, bool):
            found = list(_fields([entry]))
            met = found[0] if len(set(found)) == 1 else None
            by_number.setdefault(number, []).append((met, _reason([entry])))
    twice = (None, "the judge gave more than one verdict on this criterion")
    return [
        entries[0] if len(entries := by_number.get(number, blank)) == 1 else twice for number in range(1, count + 1)
    ]


def _entries(values: Any) -> Iterator[dict[str, Any]]:
    """Every object that has no objects in it, however they are listed."""
    for value in values:
        if isinstance(value, list):
            yield from _entries(value)
        elif isinstance(value, dict):
            inner = [item for item in value.values() if isinstance(item, dict | list)]
            if any(isinstance(item, dict) or any(isinstance(one, dict) for one in item) for item in inner):
                yield from _entries(inner)
            else:
                yield value
