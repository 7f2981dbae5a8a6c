"""Reading a verdict: what a careful person would read is read, what is ambiguous is None, never a silent no.

A verdict counts only where the judge puts its own: in the named field of an object or tag that begins a line or follows
a colon, as the first word, behind a label at the start of a sentence ("Verdict: no"), or as a sentence about the
criterion ("The criterion is not met."). Everything of that kind in a reply is gathered, and where two contradict each
other, or a hedge or a refusal stands beside them, there is no verdict. Left out: guessing from tone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from catlite.data import Message, Rollout
from catlite.parsing import located
from catlite.prompts.files import render

_FIELDS = re.compile(
    r"(?:is_?|criteri(?:on|a)_?)?(?:met|satisfied)|meets(?:_?criteri(?:on|a))?|(?:final_?)?(?:verdict|decision|judge?ment)"
    r"|answer",
    re.IGNORECASE,
)
_REASONS = ("reason", "explanation", "reasoning", "justification", "rationale")
# In the larger languages, where the word means the same in all of them ("ne", "nai" and "si" do not).
_YES = "yes ja oui sí sì sim da да tak evet 是 是的 满足 はい 예 네 نعم हाँ".split()  # noqa: SIM905 - one a line is many
_NO = "no nein non não nao nee нет nej nie hayır 否 不是 不 不满足 いいえ 아니요 아니오 لا नहीं".split()  # noqa: SIM905
# Words that are a verdict in a field or behind a label, but could begin any sentence.
_FIELD_WORDS = {
    **dict.fromkeys(["true", "met", "satisfied", "pass", "y", "1", *_YES], True),
    **dict.fromkeys(["false", "not met", "unmet", "not satisfied", "fail", "n", "0", *_NO], False),
}
_WORDS = dict.fromkeys(_YES, True) | dict.fromkeys(_NO, False)


def _any(words: dict[str, bool]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_MARKS = r"[*_`\"'“”]*"
# What ends a verdict: the end, punctuation, a dash after a space. Not "no-show", "No.1", "yes or no".
_END = rf"{_MARKS}\s*(?:\Z|\n|[.!](?!\d)|[,;:，。、；]|\s[-–—]|[–—])"
_START = r"(?:\A|(?<=[.!?。\n]))[\s>*_`\"'#❌✅✗✓-]*"
_FIRST = re.compile(rf"\A[\s>*_`\"'#❌✅✗✓([{{-]*({_any(_WORDS)}){_END}", re.IGNORECASE)
_LABEL = re.compile(
    rf"{_START}(?:(?:so|therefore|my|the|final|overall|own)\s+)*(?:verdict|answer|conclusion|decision|judge?ment|result|"
    rf"(?:is\s+the\s+)?(?:criterion\s+(?:is\s+)?)?(?:met|satisfied))\s*\??{_MARKS}\s*(?:[:=?]|\bis\b){_MARKS}\s*{_MARKS}"
    rf"({_any(_FIELD_WORDS)}){_END}",
    re.IGNORECASE,
)
_STATED = re.compile(
    r"\bcriterion\s+(?:is|was|has\s+been)\s+(?P<no>not\s+|un)?(?:(?:fully|clearly|entirely)\s+)?(?:met|satisfied)\b"
    r"|\b(?P<neither>(?:does\s+not|doesn't|doesn’t|fails\s+to)\s+meet)\s+(?:the|this)\s+criterion\b"
    r"|\bmeets\s+(?:the|this)\s+criterion\b",
    re.IGNORECASE,
)
# A part of a sentence that is nothing but the word: "No, wait. Yes.", "Yes; and no."
_ALONE = re.compile(
    rf"(?:(?:\A|[.!?,;—–，。；\n]|\s-)\s*{_MARKS}(?:(?:and|or|but|also|pero|aber|mais)\s+)?|:\s*(?:and|or|but)\s+)"
    rf"({_any(_WORDS)}){_MARKS}\s*(?=[!?,;—–，。；\n]|[.](?!\d)|\s-|\Z)",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"\b(?:partial(?:ly)?|partly|mostly|somewhat|sort\s+of|kind\s+of|maybe|perhaps|unclear|(?:not|cannot)\s+(?:sure|tell))\b"
    r"|\bI\s*(?:can(?:'t|’t|not)?|am\s+(?:not\s+able|unable)|won't|won’t|'m\s+sorry|’m\s+sorry)\b"
    r"|\b(?:if|whether|don't\s+think|don’t\s+think|cannot\s+say\s+that)\s+the\s+criterion\b",
    re.IGNORECASE,
)
_LONGEST = 20_000  # characters of a reply that are looked at for words; the fields have no such bound


def read_verdict(reply: Rollout) -> tuple[bool | None, str]:
    """(met, the judge's reason) from one reply; met is None when there is no verdict or more than one."""
    if reply.error is not None:
        return None, reply.error
    said, found = located(reply.text)
    if not said.strip():
        return None, f"the judge's reply is {reply.defect or 'empty'}"
    cut = reply.defect == "truncated"
    values = [value for _, _, value in found]
    own = [value for start, _, value in found if _its_own(said, start)]
    outside = _without(said, [(start, end) for start, end, _ in found])
    fields = list(_fields(own))
    if fields:
        # Cut off in the middle of a word, a field says something else than it would have.
        whole = not cut or said.rstrip("`* \n").endswith(("}", "]", ">"))
        given = {*_fields(values), *(_evidence(outside) if outside.strip() else ())}
        return (fields[0] if whole and len(given) == 1 else None), _reason(values) or said
    if cut or values or said.lstrip("` \n\r\t").startswith(("{", "[", "<")):
        return None, said  # an object without a verdict, or one that cannot be read: words in it are none
    return _word(said), said


def as_verdict(value: Any) -> bool | None:
    """A field's value as a verdict: true and false, 1 and 0, a word for yes or no; None for anything else."""
    if isinstance(value, list):
        read = {as_verdict(item) for item in value}
        return read.pop() if len(read) == 1 else None
    if isinstance(value, bool | int | float):
        return bool(value) if value in (0, 1) else None
    if not isinstance(value, str):
        return None
    bare = value.strip(" \t\r\n\"'*_`.").lower()
    return _FIELD_WORDS[bare] if bare in _FIELD_WORDS else _word(value)


def _its_own(said: str, start: int) -> bool:
    """True when what begins at `start` begins its line, or follows a colon: not quoted inside a sentence."""
    before = said[said.rfind("\n", 0, start) + 1 : start].strip(" \t`*_>-")
    return before in ("", "json", "xml") or before.endswith((":", "}", ">", "]"))


def _without(said: str, spans: list[tuple[int, int]]) -> str:
    parts, position = [], 0
    for start, end in spans:
        parts.append(said[position:start])
        position = end
    return "\n".join([*parts, said[position:]])


def _fields(values: Any, depth: int = 0) -> Iterator[bool | None]:
    """The verdict of every field that is named as one. Beside a plainer name, "answer" is the text that was judged."""
    for value in values:
        if isinstance(value, list):
            yield from _fields(value, depth + 1) if depth < 4 else ()
            continue
        if not isinstance(value, dict):
            continue
        named = {name: item for name, item in value.items() if _FIELDS.fullmatch(name.strip().replace(" ", "_"))}
        plain = [item for name, item in named.items() if "answer" not in name.lower()]
        for item in plain or named.values():
            if not isinstance(item, dict):
                yield as_verdict(item)
        for name, item in value.items():
            inside = isinstance(item, dict) or (isinstance(item, list) and any(isinstance(one, dict) for one in item))
            # An "analysis" with notes of its own is no verdict beside one that is named.
            if inside and depth < 4 and (not plain or name in named):
                yield from _fields([item], depth + 1)


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
    said = said.strip()
    said = said if len(said) <= _LONGEST else said[:200] + "\n" + said[-200:]
    given = _evidence(said)
    return given.pop() if len(given) == 1 and not _HEDGE.search(said) else None


def _evidence(said: str) -> set[bool]:
    """All that a text says of yes and no where a verdict can stand."""
    said = said[:_LONGEST]
    first = _FIRST.match(said)
    given = {_WORDS[first[1].lower()]} if first else set()
    given |= {_FIELD_WORDS[" ".join(word.lower().split())] for word in _LABEL.findall(said)}
    given |= {not (match["no"] or match["neither"]) for match in _STATED.finditer(said)}
    return given | {_WORDS[word.lower()] for word in _ALONE.findall(said)}


def asked_again(messages: Sequence[Message], reply: Rollout) -> list[Message]:
    """`messages` with the reply nobody could read a verdict in, and the request for one that can be read."""
    said: list[Message] = [{"role": "assistant", "content": reply.text}] if reply.text.strip() else []
    return [*messages, *said, {"role": "user", "content": render("judge_again")}]


def criterion_verdicts(reply: Rollout, count: int) -> list[tuple[bool | None, str]]:
    """(met, reason) for each of `count` criteria from one reply that judges all of them, matched by their numbers.

    One that is missing, or numbered twice, has None: the others do not shift into its place. A number that no
    criterion has makes all of them None, since the judge may have counted from 0. Without any number the entries
    count in their order, when there is one for each criterion.
    """
    blank: list[tuple[bool | None, str]] = [(None, reply.error or "the judge gave no verdict on this criterion")]
    if reply.error is not None:
        return blank * count
    entries = list(_entries([value for _, _, value in located(reply.text)[1]]))
    numbers = [_number(entry) for entry in entries]
    if entries and all(number is None for number in numbers) and len(entries) == count:
        numbers = list(range(1, count + 1))
    by_number: dict[int, list[tuple[bool | None, str]]] = {}
    for entry, number in zip(entries, numbers, strict=True):
        if number is not None:
            found = set(_fields([entry]))
            by_number.setdefault(number, []).append((found.pop() if len(found) == 1 else None, _reason([entry])))
    if not set(by_number) <= set(range(1, count + 1)):
        return [(None, f"the judge numbered {count} criteria {min(by_number)} to {max(by_number)}")] * count
    twice = (None, "the judge gave more than one verdict on this criterion")
    return [mine[0] if len(mine := by_number.get(number, blank)) == 1 else twice for number in range(1, count + 1)]


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
            if any(_FIELDS.fullmatch(name) and not isinstance(item, dict | list) for name, item in value.items()):
                yield value
                continue
            for name, item in value.items():
                if isinstance(item, dict) and name.strip().isdecimal():
                    yield {"criterion": name, **item}
                elif isinstance(item, dict | list):
                    yield from _entries([item])
