"""Reads scores, levels and choices in a judge's reply, as strictly as verdicts: what is not plainly one has none.

A score, a level or a choice stands in its own field of the judge's own object, or it is the whole reply. There is none
in a number out of range or in words, in two that differ, where the judge's words name another one, in an object that is
quoted or taken back, or in a reply that was cut off.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from catlite.data import Rollout
from catlite.parsing import between, located
from catlite.rewards.verdicts.fields import MOST_POINTS, field_verdicts, reason_of
from catlite.rewards.verdicts.reading import own_objects, takes_back
from catlite.rewards.verdicts.text import text_evidence

T = TypeVar("T", float, str)

# A sign before the number or a percent sign behind it makes another number of it.
_NUMBER = re.compile(
    r"[\s*_`\"'“‘(\[#]*(?:(?:(?:my|the|final|overall)\s+)*(?:score|rating|"
    r"grade)[\s*_`\"':=]{0,4})?(\d{1,2}(?:\.\d{1,6})?)"
    r"(?:\s*/\s*10|\s+out\s+of\s+10)?[\s*_`\"'”’)\].]*",
    re.IGNORECASE,
)
# Numbers behind a score that may be another one: in a short line, or in one that speaks of scores.
_LISTED = re.compile(r"\s*[-*]?\s*\d{1,3}[.)]\s+(?=\S)")
_DIGITS = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?")
_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_IN_WORDS = re.compile(rf"\b(?:{'|'.join(word for word in _WORDS if word != 'one')}|one(?=\W*\Z))\b", re.IGNORECASE)
_OF_TEN = re.compile(r"/\s*10\b|\bout\s+of\s+10\b|\b1\s*(?:to|[-–])\s*10\b", re.IGNORECASE)
_SCORED = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)\s*(?:/\s*10\b|out\s+of\s+(?:10|ten)\b)", re.IGNORECASE)
_SCORING = re.compile(r"\b(?:scor|rat(?:e|ing)|grade|mark)|/\s*10\b|\bout\s+of\s+10\b", re.IGNORECASE)
_CORRECTS = re.compile(r"\W*(?:actually|correction|no|sorry|wait|rather|on reflection|better)\b", re.IGNORECASE)
_RESCORES = re.compile(r"(?<![\w.])#?(\d{1,3})\W{0,3}(?:[:=]|is|gets)\W{0,3}(\d{1,2}(?:\.\d{1,6})?)", re.IGNORECASE)
_SHORT = 4  # words
# A field beside "score" that holds a whole score as well.
_OVERALL = re.compile(
    r"(?:(?:my|the|final|overall|global)[\s_-]*)*(?:score|rating|grade|mark|overall|final)", re.IGNORECASE
)
_LEVEL_STATED = re.compile(
    r"\b(?:criterion|requirement|it) (?:is|was) (?:(?:only|just|therefore|thus) )?(fully|partly|partially|"
    r"not)(?: at all)? "
    r"(?:met|satisfied|fulfill?ed)\b",
    re.IGNORECASE,
)
_LEVEL_WORDS = re.compile(r"\b(fully|partly|partially|not)\b", re.IGNORECASE)
_LEVELS = {
    "fully": 1.0, "fully met": 1.0, "met": 1.0, "yes": 1.0, "1": 1.0, "1.0": 1.0, "true": 1.0,
    "partly": 0.5, "partly met": 0.5, "partially": 0.5, "partially met": 0.5, "0.5": 0.5, "½": 0.5, "1/2": 0.5,
    "not": 0.0, "not met": 0.0, "not at all": 0.0, "no": 0.0, "0": 0.0, "0.0": 0.0, "false": 0.0,
}  # fmt: skip
_PLACES = {"first": "1", "second": "2"}
_RESPONSE = r"(?:(?:response|answer|text)\s*#?([12])|the\s+(first|second)\s+(?:response|answer|text|one))"
_PREFERS = re.compile(
    rf"\b{_RESPONSE}\s+(?:(?:is|was|seems|does|has)\s+)?(?:(?!not\b|no\b|never\b)\w+\s+){{0,2}}"
    rf"(?:better|stronger|best|superior|wins|preferable)\b|\b(?:prefer|choose|pick)\s+{_RESPONSE}\b"
    rf"|\b(?:better|best|stronger|preferred|winning)\s+(?:response|answer|text|one)?\s*(?:is|"
    rf":)\s*(?:clearly\s+)?(?:{_RESPONSE}|#?([12]))\b",
    re.IGNORECASE,
)
_IS_WORSE = re.compile(
    rf"\b{_RESPONSE}\s+(?:is|was|seems)\s+(?:(?!not\b|no\b|never\b|hardly\b)\w+\s+){{0,2}}(?:worse|weaker|"
    rf"inferior)\b",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"(?:response|rollout|number|no\.?|#)?[\s_]*#?(\d{1,3})", re.IGNORECASE)
_NUMBER_FIELDS = ("response", "response_number", "number", "id", "index")


def read_score(reply: Rollout) -> tuple[float | None, str]:
    """Read the one score in a judge's reply.

    Args:
        reply: the judge's reply; a failed one has no score, and its error is the reason.

    Returns:
        The score, from 1 to 10, or None; and the judge's reason, which is the whole reply where it names none.

    Example:
        >>> read_score(Rollout('{"reason": "names zinc", "score": 7}'))
        (7.0, 'names zinc')
    """
    score, text, objects = _read(reply, "score", as_score)
    reason = reason_of(objects) or text
    if score is None or (objects and _names_another(text, score)) or (objects and _scored_otherwise(reason, score)):
        return None, reason
    return score, reason


def read_level(reply: Rollout) -> tuple[float | None, str]:
    """Read how far a criterion is met: 1.0 for fully, 0.5 for partly, 0.0 for not.

    Args:
        reply: the judge's reply; a failed one has no level, and its error is the reason.

    Returns:
        The level or None; and the judge's reason, which is the whole reply where it names none.

    Example:
        >>> read_level(Rollout('{"reason": "zinc but no dose", "level": "partly"}'))
        (0.5, 'zinc but no dose')
    """
    level, text, objects = _read(reply, "level", _as_level)
    reason = reason_of(objects) or text
    verdicts = set(field_verdicts(objects))
    contrary = {*text_evidence(_outside(text)), *text_evidence(reason)} if objects else set()
    lines = [line for line in _outside(text).splitlines() if len(line.split()) <= _SHORT] if objects else []
    stated = _LEVEL_STATED.findall(reason) if objects else []
    stated += [word for line in lines for word in _LEVEL_WORDS.findall(line)]
    if any(_LEVELS[word.lower()] != level for word in stated):
        return None, reason
    if level is None or (verdicts and verdicts != {{1.0: True, 0.0: False}.get(level)}):
        return None, reason
    return (None if level != 0.5 and (level == 0.0) in contrary else level), reason


def read_choice(reply: Rollout) -> tuple[str | None, str]:
    """Read which of two responses a judge finds better.

    Args:
        reply: the judge's reply; a failed one has no choice, and its error is the reason.

    Returns:
        "1", "2", "tie" or None; and the judge's reason, which is the whole reply where it names none.

    Example:
        >>> read_choice(Rollout('{"reason": "safer", "better": "2"}'))
        ('2', 'safer')
    """
    choice, text, objects = _read(reply, "better", _as_choice)
    named = {number.lower() for match in _PREFERS.finditer(text) for number in match.groups() if number}
    worse = {number.lower() for match in _IS_WORSE.finditer(text) for number in match.groups() if number}
    named = {_PLACES.get(number, number) for number in named} | {"21"["12".index(_PLACES.get(n, n))] for n in worse}
    for line in _outside(text).splitlines() if objects else ():
        if len(line.split()) <= _SHORT:
            named |= set(re.findall(r"\b[12]\b(?![.)]\s)", line))
    return (None if named - {choice} else choice), reason_of(objects) or text


def read_scores(reply: Rollout, count: int) -> list[tuple[float, str]] | None:
    """Read the scores of one reply that compares `count` responses, matched by their numbers.

    Args:
        reply: the judge's reply.
        count: how many responses it was shown.

    Returns:
        (score from 1 to 10, the judge's reason) for each response, in order. None, for all of them, where a response is
        missing or named twice, where a number is no response's, and where one score cannot be read.
    """
    if reply.defect is not None:
        return None
    text, objects, after = own_objects(reply.text)
    scores: dict[int, tuple[float, str]] = {}
    entries = list(_entries(objects))
    for entry in entries:
        numbers = {number for name in _NUMBER_FIELDS if (number := _as_number(entry.get(name))) is not None}
        score, reason = as_score(entry["score"]), reason_of([entry])
        if len(numbers) != 1 or score is None or _beside(entry, "score") or _scored_otherwise(reason, score):
            return None
        scores[numbers.pop()] = score, reason
    whole = len(entries) == count and set(scores) == set(range(1, count + 1))
    if not whole or _is_unclosed(text) or takes_back(after, None):
        return None
    rescored = [(int(number), float(score)) for number, score in _RESCORES.findall(_outside(text))]
    if any(number in scores and scores[number][0] != score for number, score in rescored):
        return None
    return [scores[number] for number in range(1, count + 1)]


def as_score(value: Any) -> float | None:
    """A score from 1 to 10 as a judge writes it: 7, "7", "7/10" or "7 out of 10"; None for anything else."""
    number = _NUMBER.fullmatch(str(value)) if isinstance(value, str | int | float) else None
    return float(number[1]) if number and 1 <= float(number[1]) <= 10 else None


def as_reward(score: float) -> float:
    """A score from 1 to 10 as a reward from 0.0 to 1.0."""
    return (score - 1) / 9


def _read(reply: Rollout, name: str, read: Callable[[Any], T | None]) -> tuple[T | None, str, list[Any]]:
    """(the value of field `name`, or of the whole reply; the reply without its thinking; the judge's own objects)."""
    if reply.defect not in (None, "empty"):  # cut off, filtered, refused or failed
        return None, reply.error or f"the judge's reply is {reply.defect}", []
    text, objects, after = own_objects(reply.text)
    if not text.strip():
        return None, "the judge's reply is empty", []
    if objects:
        holding = [value for value in map(_lowered, objects) if name in value]
        values = [read(value[name]) for value in holding]
        certain = not _is_unclosed(text) and not takes_back(after, None) and not any(_beside(v, name) for v in holding)
    else:
        values, certain = [read(text)], "{" not in text
    value = values[0] if certain and values and len(set(values)) == 1 else None
    return value, text, objects


def _lowered(value: Any) -> dict[str, Any]:
    """An object with its names in lower case; one that comes twice has a list, which has no value that can be read."""
    lowered: dict[str, Any] = {}
    for name, item in value.items() if isinstance(value, dict) else ():
        name = str(name).lower()
        lowered[name] = [lowered[name], item] if name in lowered else item
    return lowered


def _beside(fields: Mapping[str, Any], name: str) -> bool:
    """True where another field says that a value is not what it seems: "max_score": 100, "overall_score": 3."""
    if name == "level":
        return any(map(MOST_POINTS.search, map(str, fields)))
    return name == "score" and any(
        (MOST_POINTS.search(str(other)) and str(fields[other]) not in ("10", "10.0", "1-10", "1 to 10"))
        or (_OVERALL.fullmatch(str(other)) and as_score(fields[other]) not in (None, as_score(fields[name])))
        for other in fields
    )


def _as_level(value: Any) -> float | None:
    words = str(value).lower().strip(" \t\r\n*_`\"'.!")
    return _LEVELS.get(re.sub(r"\A(?:level|verdict)[*_\s]*:[*_\s]*", "", words))


def _as_choice(value: Any) -> str | None:
    words = re.sub(r"\s+", " ", str(value)).lower().strip(" *_`\"'.!")
    words = re.sub(r"\A(?:better[*_\s]*:[*_\s]*)?(?:response #?)?", "", words)
    words = re.sub(r"\A(?:the )?(first|second)(?: (?:response|answer|one))?\Z", lambda match: _PLACES[match[1]], words)
    return words if words in ("1", "2", "tie") else None


def _as_number(value: Any) -> int | None:
    number = None if isinstance(value, bool) else _NUMBERED.fullmatch(str(value).strip())
    return int(number[1]) if number else None


def _entries(values: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Every object with a score, however they are listed."""
    for value in values:
        if isinstance(value, dict) and "score" in value:
            yield value
        elif isinstance(value, dict) and value and all(_as_number(name) is not None for name in value):
            for name, item in value.items():  # {"1": 9} and {"response_1": {"score": 9}}
                entry = item if isinstance(item, dict) else {"score": item}
                yield from [{**entry, "index": name}] if "score" in entry else []
        elif isinstance(value, dict | list) and depth < 4:
            yield from _entries(value.values() if isinstance(value, dict) else value, depth + 1)


def _is_unclosed(text: str) -> bool:
    """True where an object has no end, so that its last value may be the beginning of another one."""
    return text.count("{") > text.count("}")


def _scored_otherwise(reason: str, score: float) -> bool:
    return any(float(number) != score for number in _SCORED.findall(reason))


def _names_another(text: str, score: float) -> bool:
    """Whether a line outside of the objects of `text` holds a number that reads as another score."""
    for line in _outside(text).splitlines():
        words = _LISTED.sub("", line, count=1)
        if len(words.split()) <= _SHORT or _SCORING.search(words) or _CORRECTS.match(words):
            words = _OF_TEN.sub("", words)
            numbers = [
                *map(float, _DIGITS.findall(words)),
                *(_WORDS.index(n.lower()) for n in _IN_WORDS.findall(words)),
            ]
            if any(number != score for number in numbers):
                return True
    return False


def _outside(text: str) -> str:
    """The lines of `text` outside of its objects."""
    visible, spans = located(text)
    return between(visible, [(start, end) for start, end, _ in spans])
