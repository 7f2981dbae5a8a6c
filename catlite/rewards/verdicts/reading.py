"""Reads the verdict in a judge's reply; an ambiguous reply gives None, never a silent no.

Prose is not searched. A reply holds an object or a tag with a named field (fields.py), or it is words that a strict
grammar parses (text.py): a word of a closed list, perhaps behind labels, or a plain sentence about the criterion. There
is no verdict in two that contradict each other, in one that a doubt follows, in an object that is quoted, or in a reply
that was cut off. Words around an object may announce it as no verdict, or take it back; a judge may explain at length,
so most change nothing. Left out: guessing from tone, and whether the explanation fits the verdict, but for plain
statements about the criterion.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from catlite import answers
from catlite.data import Rollout
from catlite.parsing import between, located, parse_values
from catlite.rewards.verdicts.clauses import HEDGE, kinds, number_at
from catlite.rewards.verdicts.fields import field_rank, field_verdicts, reason_of
from catlite.rewards.verdicts.statements import NEGATION, TAKES_BACK, WEAKENED
from catlite.rewards.verdicts.text import (
    has_shape,
    introduces_a_quotation,
    numbered_verdicts,
    text_evidence,
    text_verdict,
    verdict_of,
)
from catlite.rewards.verdicts.words import QUOTATION, plain

# Tags that only format: the text stays, they go.
_FORMATTING = re.compile(
    r"</?(?:b|i|em|strong|p|span|br|div|u|code|pre|h[1-6]|li|ul|ol|center|mark|small|sub|sup|hr)\s?/?>", re.IGNORECASE
)
# Tags that a judge puts around its object, and what a server left of the chat template.
_WRAPPER = (
    r"(?:(?:final[_-]?)?(?:answer|verdict|output|result|judge?ment|evaluation|assessment|decision|grade|score)|json)"
)
_BEFORE_OBJECT = re.compile(
    rf"(?:\A|(?<=[\n>.:!?])|(?<=[\n>.:!?] ))<{_WRAPPER}>(?=\s{{0,20}}(?:```\w{{0,10}}\s{{0,20}})?[{{\[])", re.IGNORECASE
)
_BEHIND_OBJECT = re.compile(rf"(?<=[}}\]`\s])</{_WRAPPER}>", re.IGNORECASE)
_LEFT_OVER = re.compile(r"(?:\s{0,20}(?:<\|[a-z_]{2,20}\|>|</s>|<eos>|<end_of_turn>)){1,5}\s*\Z")
# "Here is my verdict {…}", "The final JSON {…}": no mark, and yet the judge's own.
_ANNOUNCES = re.compile(
    r"(?:sure,? |ok(?:ay)?,? |so,? )?(?:here(?: is|'s|’s| are)?|my|the final|final)(?: \w+){0,3} "
    r"(?:json|verdicts?|judge?ments?|answer|evaluation|assessment|result|output|object)",
    re.IGNORECASE,
)
# The names of a field with a criterion's number, in words, and of fields with numbers that count something else.
_NUMBERS = re.compile(
    r"(?=\S)(?:criterion|criteria|item|question|requirement|condition|rubric|entry|c)?(?: item)?"
    r" ?(?:number|num|nr|no|n|id|idx|index|key|position|#)?"
)
_COUNTS = re.compile(r"\b(?:confidence|certainty|probability|weight|points?|scores?|max|total|severity|of)\b")
_ITEM = re.compile(
    r"\W*(?:(?:(?:criterion|item|number|no\.|c)\s*#?|#)(?P<labelled>\d{1,6})(?!\s*(?:[-–,/&]|and|to|or)[\s#]*\d)\b.*"
    r"|(?P<bare>\d{1,6})(?:\W*|[.:)]\s.*|\s[-–—]\s\D.*))",
    re.IGNORECASE | re.DOTALL,
)
_MENTIONED = re.compile(r"(?:^[\s*_|#-]*|\b(?:criteri(?:on|a)|item|number)\s*#?|#)(\d{1,6})\b", re.IGNORECASE)
_BARE_NUMBER = re.compile(r"^[ \t*#(]{0,9}\d{1,6}[ \t*.):]{0,9}$", re.MULTILINE)  # the label of an object
_SENTENCE_ENDS = re.compile(r"(?<=[a-z][.!?])\s+|\n")
_NOT_ALL = re.compile(r"\bnot (?:all|every|both)\b", re.IGNORECASE)
_NEAR = 500  # characters before and behind an object that tell whether it is quoted
_DENYING = (
    r"wrong(?:ly)?|incorrect|false|untrue|mistake\w*|nonsense|absurd|lie|joke|invalid|fake|forged|injected|ignor\w*|"
    r"disregard\w*|refuse|reject|decline|opposite|contrary|hypothetical\w*|example"
)
_SUPPOSING = (
    r"would|could|might|should|had|were|if|unless|suppos\w+|assum\w+|lenient|generous|naive\w*|(?:an?|some)other|"
    r"instead of|rather than|tempt\w*|doubt\w*"
)
_LEAD_IN = re.compile(
    rf"{NEGATION}|{WEAKENED}|\b(?:{_DENYING}|{_SUPPOSING})\b"
    r"|\b(?:student|candidate|user|author|response|text|rollout)(?: itself)? "
    r"(?:print|output|return|produce|add)(?:s|ed)?\b"
)
# In few words also what makes less of a verdict, or puts it off: "With caveats:".
_WEAKENING = re.compile(
    rf"{HEDGE.pattern}|{TAKES_BACK}|\b(?:until|save for|barring|granted|first|wish|who knows|reluctantly|subject to|"
    r"to be|for now|point|spirit|day|yet|by its own|manner)\b"
)
# "That is not my verdict", "this is what the response contains", "ignore the above".
_OBJECT = r"(?:json|objects?|output|verdicts?|judge?ments?|above|block|snippet)(?: above)?"
_POINTS = rf"(?:(?:this|that|these|those)(?: {_OBJECT})?|{_OBJECT})"
_DISOWNS = re.compile(
    rf"\b{_POINTS} (?:is|are|was|were|would|should|does|did|must|can|could|has|have|comes?|came)\b[^.!?]{{0,200}}"
    rf"(?:\b(?:not|never|{_DENYING})\b)"
    rf"|\b(?:this|that|these|those|(?:the|this|that) {_OBJECT}) "
    r"(?:is|was|are|were|appears?|comes?|came|stands?|belongs?) "
    r"(?:only |just |exactly |merely |all )*(?:what|how|where|in|inside|within|from|part of|contained|"
    r"quoted|copied|taken|found|written|given|the (?:json|response|answer|text|reply|object|output))\b"
    r"|\b(?:response|answer|text|reply|rollout|student|model|author)(?: \w+)? (?:contains?|includes?|ends?|begins?|"
    r"says?|writes?|wrote|outputs?|has|holds?|printed|claims?|gives?|gave)(?: with| in)? (?:this|that|the|a|such a) "
    rf"(?:\w+ )?{_OBJECT}\b"
    r"|\b(?:ignore|disregard|discard|retract|withdraw|scratch|forget|correction|kidding|joking|sarcas\w+|"
    r"on second thought|on reflection|i was wrong|my mistake|take (?:that|this|it) back|change my mind|the opposite)\b"
    r"|\bi (?:do|would|did|will|could|can) not (?:say|agree|mean|answer|reply|claim|stand|give|confirm|endorse|think|"
    r"believe)\b|\bi (?:am|was) not (?:sure|certain)\b|\bi (?:disagree|doubt|deny)\b"
)
_ENDS = re.compile(r"(?<=[.!?…。])\s+|\n")
# What a judge may say behind its object that is nothing about the verdict.
_CLOSING = re.compile(
    r"(?:.*\bhope\b.*|let me know.*|(?:that is |this is )?(?:all|the end(?: of \w+)?|my (?:final )?\w+)|done|"
    r"end(?: of)?(?: \w+)*|(?:confidence|certainty|note|summary|final(?: \w+)?|thanks?(?: you)?)\b[^!?]*|"
    r"feel free.*|i have \w+.*|\W*)\W*"
)
_FAR = 2_000  # characters that are looked at, at either end of what follows
_FEW = 8  # words of a remark that is about the verdict if it is about anything


@dataclass(frozen=True)
class _Object:
    """What one object, list or tag of a reply holds, and where.

    `quoted` where the words before it announce a quotation, or deny it; `own` where it stands as the judge's own does.
    """

    start: int
    end: int
    value: Any
    quoted: bool
    own: bool


def read_verdict(reply: Rollout) -> tuple[bool | None, str]:
    """Read whether a judge's reply says that the criterion is met.

    Args:
        reply: the judge's reply; a failed one has no verdict, and its error is the reason.

    Returns:
        True, False, or None for no verdict or contradictory ones; and the judge's reason, which is the whole reply
        where it names none.

    Example:
        >>> read_verdict(Rollout("**Met:** No"))[0]
        False
    """
    if reply.error is not None:
        return None, reply.error
    text, objects = _objects(reply.text)
    if not text.strip():
        return None, f"the judge's reply is {reply.defect or 'empty'}"
    cut_off = _is_cut_off(reply)
    own = [item.value for item in objects if item.own]
    verdicts = list(field_verdicts(own))
    if verdicts:
        # Cut off in the middle of a word, a field says something else than it would have.
        whole = text.rstrip("`* \n").endswith(("}", "]", ">")) if cut_off else not _breaks_off(text, own)
        outside = _without(text, objects)
        # A forged yes that is quoted does not take back a no.
        values = [item.value for item in objects if not (item.quoted and verdicts[0] is False)]
        evidence = {*field_verdicts(values + parse_values(outside)), *text_evidence(outside)}
        reason = reason_of(own)
        certain = whole and len(evidence) == 1 and not takes_back(text[objects[-1].end :], verdicts[0])
        return (verdicts[0] if certain and not _contradicts(reason, verdicts[0]) else None), reason or text
    if objects and not cut_off and all(item.quoted for item in objects):
        return (False if text_verdict(_without(text, objects, f" {QUOTATION} ")) is False else None), text
    unreadable = re.match(r"[\s`*]*(?:\{|\[\s*[{\"']|<)", text) is not None and "}" not in text[:_NEAR].split("\n")[0]
    # An object without a verdict, or one that cannot be read: then words in it are none either.
    return (None if cut_off or objects or unreadable else text_verdict(text)), text


def own_objects(text: str) -> tuple[str, list[Any], str]:
    """(a reply without its thinking, the objects in it that are the judge's own, the text behind the last object)."""
    text, objects = _objects(text)
    return text, [item.value for item in objects if item.own], text[objects[-1].end :] if objects else ""


def _objects(text: str) -> tuple[str, list[_Object]]:
    """(a reply without its thinking, what its objects hold)."""
    text = _LEFT_OVER.sub("", _FORMATTING.sub(" ", answers.without_thinking(text)))
    if "{" in text:
        text = _BEHIND_OBJECT.sub(" ", _BEFORE_OBJECT.sub("\n", text))
    visible, spans = located(text)
    inside = text.strip(" \t\r\n`,}").removeprefix("json").lstrip()
    if not spans and re.match(r"[\"'][A-Za-z_][\w ]{0,40}[\"']\s?:\s?", inside):
        visible, spans = located("{" + inside + "}")  # the inside of an object, without its braces
    objects: list[_Object] = []
    for start, end, value in spans:
        before = visible[max(objects[-1].end if objects else 0, start - _NEAR) : start].rstrip(" \t`*_>-{[(")
        lead_in = re.sub(r"```\w*\Z", "", before.rstrip())
        quoted = introduces_a_quotation(lead_in) or _denies_what_follows(lead_in)
        own = not quoted and _stands_alone(before, visible[end : end + _NEAR])
        objects.append(_Object(start, end, value, quoted, own))
    return visible, objects


def _denies_what_follows(before: str) -> bool:
    """True when the words that lead to an object deny or suppose it: "My verdict is not:", "Had it named zinc:"."""
    lines = [line for line in plain(before).splitlines() if line.strip(" `#*>-")]
    sentences = [part for part in _ENDS.split(lines[-1].strip()) if part] if lines else []
    lead_in = sentences[-1].rstrip("`* ") if sentences else ""
    if lead_in.endswith((".", "!", "?", "…", "。")):
        return re.search(r"\b(?:following|below|next)\b", lead_in) is not None and _LEAD_IN.search(lead_in) is not None
    few = len(lead_in.split()) <= _FEW
    return _LEAD_IN.search(lead_in) is not None or (few and _WEAKENING.search(lead_in) is not None)


def takes_back(after: str, met: bool | None) -> bool:
    """True when what follows an object denies its verdict or gives it to somebody else; of a yes also if it doubts."""
    after = after.replace("```", "")
    after = after if len(after) <= _FAR else f"{after[:_FAR]}\n{after[-_FAR:]}"
    for sentence in filter(None, (part.strip(" \t/#().") for part in _ENDS.split(plain(after)))):
        if _DISOWNS.search(sentence) is not None:
            return True
        if met and len(sentence.split()) <= _FEW and _CLOSING.fullmatch(sentence) is None:
            string = kinds(sentence)
            known = any(has_shape(string, shape) for shape in ("following", "explaining", "open"))
            if not known and verdict_of(string) is None:
                return True
    return False


def _is_cut_off(reply: Rollout) -> bool:
    """True when the reply ended early: by its length, a filter, a refusal or a lost connection."""
    return reply.defect not in (None, "empty")


def _contradicts(reason: str, met: bool | None) -> bool:
    """True when a reason says the contrary about the criterion itself; a yes has to be without any no."""
    if met:
        return False in text_evidence(reason)
    return met is False and "?" not in reason and text_verdict(reason) is True


def _stands_alone(before: str, after: str) -> bool:
    """True when what stands between two texts begins a line or a sentence, and no sentence goes on behind it."""
    line = before[before.rfind("\n") + 1 :].strip(" \t`*_>-")
    after = after.lstrip(" \t`*_}])").split("\n", 1)[0]
    if after.startswith((",", ";", "?", "-", "–", "—")) or after[:1].islower():
        return False
    begins = line.endswith((":", "}", ">", "]", ".", "!", "?", "=")) or line.lower() in ("", "json", "xml")
    return begins or _ANNOUNCES.fullmatch(line) is not None


def _without(text: str, objects: Sequence[_Object], stand_in: str = "\n") -> str:
    return between(text, [(item.start, item.end) for item in objects], stand_in)


def _breaks_off(text: str, own: list[Any]) -> bool:
    """True when the text ends inside the words of a verdict field: "No" may have become "Not only"."""
    end = text.rstrip("`* \n")
    if "{" not in text or end.endswith(("}", "]", ">", '"', "'")):
        return False
    words = (item for value in own if isinstance(value, dict) for name, item in value.items() if field_rank(str(name)))
    return any(isinstance(item, str) and item and end.endswith(item.rstrip()) for item in words)


def criterion_verdicts(reply: Rollout, count: int) -> list[tuple[bool | None, str]]:
    """Read the verdicts of one reply that judges `count` criteria, matched by their numbers.

    A criterion that is missing, or numbered twice, has None, and the others do not shift into its place. A number that
    no criterion has makes all of them None, since the judge may have counted from 0. Entries without any number count
    in their order, when there is one for each criterion. Without objects the numbered lines are read.

    Args:
        reply: the judge's reply.
        count: how many criteria it was asked about.

    Returns:
        (met or None, the reason) for each criterion, in order.
    """
    blank: list[tuple[bool | None, str]] = [(None, reply.error or "the judge gave no verdict on this criterion")]
    if reply.error is not None:
        return blank * count
    text, objects = _objects(reply.text)
    entries = list(_entries([item.value for item in objects if not item.quoted]))
    numbers = [_number(entry) for entry in entries]
    if len(entries) == count and all(number is None for number in numbers) and _in_order(entries):
        numbers = _numbers_before(text, objects, count) or list(range(1, count + 1))
    by_number: dict[int, list[tuple[bool | None, str]]] = {}
    for entry, number in zip(entries, numbers, strict=True):
        if number is not None:
            verdicts, reason = set(field_verdicts([entry])), reason_of([entry])
            met = verdicts.pop() if len(verdicts) == 1 else None
            by_number.setdefault(number, []).append((None if _contradicts(reason, met) else met, reason))
    if not objects and not _is_cut_off(reply):
        if count == 1 and not numbered_verdicts(text):
            return [read_verdict(reply)]
        for number, verdict, line in numbered_verdicts(text):
            by_number.setdefault(number, []).append((verdict, line))
    if not set(by_number) <= set(range(1, count + 1)):
        return [(None, f"the judge numbered {count} criteria {min(by_number)} to {max(by_number)}")] * count
    twice = (None, "the judge gave more than one verdict on this criterion")
    listed = [by_number.get(number, blank) for number in range(1, count + 1)]
    read = [verdicts[0] if len(verdicts) == 1 else twice for verdicts in listed]
    return _weighed(read, text, objects) if entries else read


def _numbers_before(text: str, objects: Sequence[_Object], count: int) -> list[int | None]:
    """The numbers in the lines that lead to `count` objects ("Criterion 2:"), empty where none has one."""
    if len(objects) != count or any(item.quoted for item in objects):
        return []
    numbers: list[int | None] = []
    for start, item in zip([0, *(item.end for item in objects)], objects, strict=False):
        lines = [line.strip(" ,('") for line in plain(text[start : item.start]).splitlines()]
        labels = [line for line in lines if line not in ("", "json")]
        numbers.append(number_at(labels[-1]) if labels else None)
    return numbers if any(number is not None for number in numbers) else []


def _weighed(
    read: list[tuple[bool | None, str]], text: str, objects: Sequence[_Object]
) -> list[tuple[bool | None, str]]:
    """Drop the verdicts of a batch that the words around its objects contradict, as in "No, neither is met"."""
    after = text[objects[-1].end :]
    taken_back = {met for met in (True, False) if takes_back(after, met)}
    read = [(None if met in taken_back else met, reason) for met, reason in read]
    outside = _BARE_NUMBER.sub("", _without(text, objects))
    contrary: dict[int, set[bool]] = {}
    general: list[str] = []
    for line in _SENTENCE_ENDS.split(outside):
        numbers = {int(number) for number in _MENTIONED.findall(line)}
        for number in numbers:
            contrary.setdefault(number, set()).update(text_evidence(line))
        if not numbers:
            general.append(line)
    for number, met, _ in numbered_verdicts(outside):
        contrary.setdefault(number, set()).update(set() if met is None else {met})
    stated = text_evidence("\n".join(general))
    # "Not all criteria are met" agrees with a batch of both.
    if stated == {False} and {met for met, _ in read} == {True, False} and _NOT_ALL.search(outside):
        stated = set()
    return [
        (None if (not met) in stated | contrary.get(number, set()) else met, reason)
        for number, (met, reason) in enumerate(read, start=1)
    ]


def _number(entry: dict[str, Any]) -> int | None:
    """The number of the criterion that an entry names; of several fields, first the one named by the criterion."""
    named = {str(name): value for name, value in entry.items() if _NUMBERS.fullmatch(_words(str(name)))}
    ranked = sorted(named, key=lambda name: "criteri" not in name.lower())
    return next((number for name in ranked if (number := _as_number(named[name])) is not None), None)


def _as_number(value: Any) -> int | None:
    """A whole number, or one with which a string begins as a list's item does; "2 metals" is a criterion's text."""
    if isinstance(value, str):
        begun = _ITEM.fullmatch(value)
        return int(begun["labelled"] or begun["bare"]) if begun else None
    whole = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return int(value) if whole and value == int(value) else None


def _words(name: str) -> str:
    return " ".join(re.findall(r"[a-z]+|#", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()))


def _in_order(entries: Sequence[dict[str, Any]]) -> bool:
    """True when the entries can be counted by their order: none has a number, by whatever name, nor all begin so."""
    fields = [
        {name: value for name, value in entry.items() if not field_rank(str(name)) and not _COUNTS.search(_words(name))}
        for entry in entries
    ]
    if any(_as_number(value) is not None for entry in fields for value in entry.values()):
        return False
    begins = [any(re.match(r"\W*\d", str(value)) for value in entry.values()) for entry in fields]
    return not all(begins)


def _entries(values: Any, number: int | None = None) -> Iterator[dict[str, Any]]:
    """Every object that carries a verdict, however they are listed; it has the `number` of what it stands in.

    {"1": {…}} has its number as the key.
    """
    for value in values:
        if isinstance(value, list):
            yield from _entries(value, number)
        elif isinstance(value, dict):
            own = _number(value)
            outer = number if own is None else own
            if any(field_rank(str(name)) and not isinstance(item, dict | list) for name, item in value.items()):
                yield value if own is not None or outer is None else value | {"criterion": outer}
                continue
            for name, item in value.items():
                key = re.fullmatch(r"(?:criterion|c|item)?[\s_#]*(\d{1,6})", name.strip(), re.IGNORECASE)
                if key is not None:
                    yield from _entries([item if isinstance(item, dict) else {"met": item}], int(key[1]))
                elif isinstance(item, dict | list):
                    yield from _entries([item], outer)
