"""Reads verdicts in the named fields of an object or tag, whatever a judge calls them.

A name is read word by word ("is_criterion_met", "isMet", "Requirement satisfied?"), so that a short list of words holds
many spellings. Of several names the plainer one counts: "met" before "score", "score" before "answer".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from catlite.rewards.verdicts.text import text_verdict
from catlite.rewards.verdicts.words import DIGITS, plain, word_value

_REASONS = (
    "reason", "reasons", "explanation", "reasoning", "justification", "rationale", "analysis", "why", "comment",
    "feedback", "thought", "evidence",
)  # fmt: skip
_FILLERS = re.compile(
    r"\b(?:is|are|was|were|it|this|that|the|a|an|has|been|does|do|did|will|be|fully|all|of|for|by|on|to|my|own|final|overall|"
    r"binary|response|rollout|text|criterion|criteria|requirements?|rubric|item|conditions?|judge|judges|s|"
    r"yes no|true false)\b"
)
# The words of a name without fillers, from the plainest; and what each says of a value: 1, or -1 for the contrary.
_NAMES = (
    (0, 1, r"met|satisfied|fulfill?ed|meets?|satisf(?:y|ies)|fulfill?s|verdict|decision|judge?ment|pass(?:ed|es)?|"
           r"pass fail|met unmet"),
    (0, -1, r"unmet|not met|unsatisfied|not satisfied|unfulfilled|not fulfilled|fail(?:s|ed)?|violate[sd]|not passed"),
    (1, 1, r"score|grade|rating|correct|result|outcome|status|label"),
    (1, -1, r"incorrect"),
    (2, 1, r"(?:answer )?(?:answer|evaluation|assessment|conclusion|output|determination|ruling)"),
)  # fmt: skip
_ANSWER = 2  # a field of this rank may hold the text that was judged
# Fields that hold the words of somebody else.
_QUOTES = ("quote", "quotation", "excerpt", "example", "citation", "format", "schema", "expected_output", "input")
MOST_POINTS = re.compile(r"\Aof\Z|total|max|out_?of|scale|possible|range", re.IGNORECASE)


def field_rank(name: str) -> tuple[int, int] | None:
    """(how unplainly a field is named as a verdict, from 0; 1, or -1 where it names the contrary); None for no name."""
    words = " ".join(re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()))
    words = " ".join(_FILLERS.sub("", words).split())
    words = words.removeprefix("answer ") if words != "answer" else words
    return next(((rank, sign) for rank, sign, names in _NAMES if re.fullmatch(names, words)), None)


def as_verdict(value: Any) -> bool | None:
    """A field's value as a verdict: true and false, 1 and 0, a word or a sentence that says so; else None."""
    if isinstance(value, list):
        read = {as_verdict(item) for item in value}
        return read.pop() if len(read) == 1 else None
    if isinstance(value, bool | int | float):
        return bool(value) if value in (0, 1) else None
    if not isinstance(value, str):
        return None
    bare = plain(value).strip(" \t\r\n\"'.()")
    if bare in DIGITS:
        return DIGITS[bare]
    word = word_value(bare)
    return word if word is not None else text_verdict(value)


def field_verdicts(values: Iterable[Any], depth: int = 0) -> Iterator[bool | None]:
    """Yield the verdict of every field with the name of one, at any depth; None where its value cannot be read."""
    for value in values:
        if isinstance(value, list):
            yield from field_verdicts(value, depth + 1) if depth < 4 else ()
            continue
        if not isinstance(value, dict):
            continue
        named = {name: rank for name in value if (rank := field_rank(str(name))) is not None}
        flat = [name for name in named if not isinstance(value[name], dict) and not _objects(value[name])]
        plainest = min((named[name][0] for name in flat), default=0)
        for name in flat:
            unplain, polarity = named[name]
            verdict = _signed(value, name, polarity)
            # Beside a plainer name a field without a verdict means something else; one with a verdict has to agree.
            if unplain == plainest or (verdict is not None and unplain < _ANSWER):
                yield verdict
        for name, item in value.items():
            if str(name).lower() in _QUOTES:
                continue
            # Beside a verdict, an "analysis" with fields of its own does not count.
            if (isinstance(item, dict) or _objects(item)) and depth < 4 and (not flat or name in named):
                yield from field_verdicts([item], depth + 1)


def _objects(item: Any) -> bool:
    return isinstance(item, list) and any(isinstance(part, dict) for part in item)


def _signed(fields: Mapping[str, Any], name: str, polarity: int) -> bool | None:
    value = fields[name]
    verdict = as_verdict(value)
    counted = not isinstance(value, bool) and str(value).strip() in DIGITS
    if (
        counted
        and verdict
        and any(MOST_POINTS.search(str(other)) and str(fields[other]) not in ("1", "1.0") for other in fields)
    ):
        return None  # 1 of 10, or one of three criteria
    if polarity > 0 or verdict is None:
        return verdict
    # "unmet": true is a no; "unmet": false would be two negations in words, but is plain as a value.
    plainly = isinstance(value, bool | int | float) or word_value(plain(str(value)).strip(" .")) is not None
    return not verdict if plainly else None


def reason_of(values: list[Any]) -> str:
    """The judge's reason in an object, or in one inside it; "" when it gives none."""
    for value in values:
        if isinstance(value, dict):
            for inside in (value, *(item for item in value.values() if isinstance(item, dict))):
                for name in _REASONS:
                    if isinstance(inside.get(name), str):
                        return str(inside[name])
    return ""
