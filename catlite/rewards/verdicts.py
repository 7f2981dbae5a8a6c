"""Reading a verdict: what a careful person would read is read, what is ambiguous is None, never a silent no.

Nothing is searched for in prose. A reply holds an object or a tag with a named field (verdict_fields.py), or it is
words that a strict grammar parses (verdict_text.py): a word of a closed list, perhaps behind labels, or a plain
sentence about the criterion. Two verdicts that contradict each other, a doubt behind one, an object that is quoted, a
reply that was cut off: no verdict. Left out: guessing from tone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from catlite import answers
from catlite.data import Message, Rollout
from catlite.parsing import located
from catlite.prompts.files import render
from catlite.rewards.turns import with_request
from catlite.rewards.verdict_fields import as_verdict as as_verdict, field_rank, field_verdicts, reason_of
from catlite.rewards.verdict_text import introduces_a_quotation, numbered_verdicts, text_evidence, text_verdict

# Tags that only format: the text stays, they go.
_FORMATTING = re.compile(
    r"</?(?:b|i|em|strong|p|span|br|div|u|code|pre|h[1-6]|li|ul|ol|center|mark|small|sub|sup|hr)\s?/?>", re.IGNORECASE
)
_NEAR = 500  # characters before and behind an object that are looked at, to see whose words it is


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
    text = _FORMATTING.sub(" ", answers.without_thinking(reply.text))
    if not text.strip():
        return None, f"the judge's reply is {reply.defect or 'empty'}"
    cut = reply.defect == "truncated"
    said, found = located(text)
    if not found and (braced := _braced(text)) is not None:
        said, found = located(braced)
    values = [value for *_, value in found]
    own = [value for start, end, value in found if _is_own(said, start, end)]
    outside = _without(said, [(start, end) for start, end, _ in found])
    verdicts = list(field_verdicts(own))
    if verdicts:
        # Cut off in the middle of a word, a field says something else than it would have.
        whole = said.rstrip("`* \n").endswith(("}", "]", ">")) if cut else not _breaks_off(said, own)
        given = {*field_verdicts(values), *(text_evidence(outside) if outside.strip() else ())}
        return (verdicts[0] if whole and len(given) == 1 else None), reason_of(values) or said
    unread = re.match(r"[\s`*]*(?:\{|\[\s*[{\"']|<)", said) is not None and "}" not in said[:_NEAR].split("\n")[0]
    if cut or values or unread:
        return None, said  # an object without a verdict, or one that cannot be read: words in it are none
    return text_verdict(said), said


def _braced(text: str) -> str | None:
    """`text` in the braces that it lacks, when it begins and ends as the inside of an object does."""
    bare = text.strip(" \t\r\n`,}").removeprefix("json").lstrip()
    inside = re.match(r"[\"'][A-Za-z_][\w ]{0,40}[\"']\s?:\s?", bare) is not None
    return "{" + bare + "}" if inside else None


def _is_own(said: str, start: int, end: int) -> bool:
    """True when what stands between `start` and `end` is the judge's own, not quoted in a sentence."""
    before = said[max(0, start - _NEAR) : start].rstrip(" \t`*_>-{[(")
    line = before[before.rfind("\n") + 1 :].strip(" \t`*_>-")
    rest = said[end : end + _NEAR].lstrip(" \t`*_}])").split("\n", 1)[0]
    if rest[:1] in (",", ";") or rest[:1].islower():
        return False  # the sentence goes on behind it
    if line.lower() in ("", "json", "xml"):
        return not introduces_a_quotation(re.sub(r"```\w*\Z", "", before.rstrip()))
    return line.endswith((":", "}", ">", "]", ".", "!", "?", "=")) and not introduces_a_quotation(before)


def _without(said: str, spans: list[tuple[int, int]]) -> str:
    parts, position = [], 0
    for start, end in spans:
        parts.append(said[position:start])
        position = end
    return "\n".join([*parts, said[position:]])


def _breaks_off(said: str, own: list[Any]) -> bool:
    """True when the text ends inside the words of a verdict field: 'No' may have become 'Not only'."""
    end = said.rstrip("`* \n")
    if end.endswith(("}", "]", ">", '"', "'")):
        return False
    words = (item for value in own if isinstance(value, dict) for name, item in value.items() if field_rank(str(name)))
    return "{" in said and any(isinstance(item, str) and item and end.endswith(item.rstrip()) for item in words)


def asked_again(messages: Sequence[Message], reply: Rollout) -> list[Message]:
    """`messages` with the reply nobody could read a verdict in, and the request for one that can be read."""
    return with_request(messages, reply, render("judge_again"))


def criterion_verdicts(reply: Rollout, count: int) -> list[tuple[bool | None, str]]:
    """(met, reason) for each of `count` criteria from one reply that judges all of them, matched by their numbers.

    One that is missing, or numbered twice, has None: the others do not shift into its place. A number that no
    criterion has makes all of them None, since the judge may have counted from 0. Without any number the entries
    count in their order, when there is one for each criterion. Without objects the numbered lines are read.
    """
    blank: list[tuple[bool | None, str]] = [(None, reply.error or "the judge gave no verdict on this criterion")]
    if reply.error is not None:
        return blank * count
    said, found = located(reply.text)
    entries = list(_entries([value for *_, value in found]))
    numbers = [_number(entry) for entry in entries]
    if entries and all(number is None for number in numbers) and len(entries) == count:
        numbers = list(range(1, count + 1))
    by_number: dict[int, list[tuple[bool | None, str]]] = {}
    for entry, number in zip(entries, numbers, strict=True):
        if number is not None:
            met = set(field_verdicts([entry]))
            by_number.setdefault(number, []).append((met.pop() if len(met) == 1 else None, reason_of([entry])))
    if not entries and not found and reply.defect != "truncated":
        for number, verdict, line in numbered_verdicts(said):
            by_number.setdefault(number, []).append((verdict, line))
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
