"""Reads a verdict out of words: lines of a few sentences, and the rows of tables.

A verdict is a sentence whose string of kinds (see clauses.py) has a form here; `|` ends a sentence that leaves its
label or question open for the next one. Of a yes all that may follow is listed; a no is not taken back by prose. Two
that differ make no verdict. A doubt takes one back unless a firm one, behind a label, follows. Left out: quotations,
and reports of what the response says.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from catlite.rewards.verdicts.clauses import introduces, kinds, number_at
from catlite.rewards.verdicts.statements import NEGATION, statement_value
from catlite.rewards.verdicts.words import DIGITS, OPEN_END, SIGNS, plain, unwrapped, word_value

_LONGEST_REPLY = 20_000  # characters that are looked at for words; of a longer reply its two ends
_SENTENCE = re.compile(r"(?<=[.!?…])(?=[\s\"')]|\Z)|(?<=[。！？])|\n")
_ASIDE = re.compile(r"\(([^()]{0,300})\)")
_ITEM_NUMBER = re.compile(r"\bno\.\s*(?=\d)")  # "No. 1 in the list" is no answer
_ENUMERATED = re.compile(r"^([ \t]{0,8}(?:#|number )?\d{1,3})[.)](?=\s+\S)", re.MULTILINE)
# Beside a digit these make it a count, or a mark on a scale.
_SCALE = re.compile(
    r"\bout of\b|\bscale\b|\bof \d|(?:[2-9]|\d\d)\s?/\s?\d|/\s?(?:[02-9]|\d\d)|\bpoints?\b|\bmax(?:imum)?\b|\bstars?\b"
    r"|\b(?:lowest|highest|worst|best)\b"
)
_HANGING, _BROKEN = "h|", "b|"  # marks of a sentence that ends as none does, and of one that lacks its end mark
_HANGS = re.compile(rf"{OPEN_END}\W*\Z")
_SUPPOSING = re.compile(r"\b(?:would|could|should|might|may|can|if|unless|whether|anything|doubt)\b")
_INVERTED = re.compile(r"(?:under|at|in|by|on) no \w+ (?:is|are|was|were|has|have|does|do|did|can|could)\b")
_CONDITION = re.compile(r"(?:if|unless|only|had|were|should|assuming|provided|suppose|whether|when)\b")
# A judge that tells what it is about to do has said nothing yet; one that stops behind a yes may change its mind.
_TASK = re.compile(
    r"(?:let me|let us|(?:i|we) (?:will|(?:need|have|want|am asked|are asked) to|must)) (?:now |first )?"
    r"(?:check|determine|decide|see|judge|evaluate|assess|verify) (?:if|whether) [^,;:?!]*\Z"
)
_RECONSIDERS = re.compile(r"\W*(?:wait|hmm+|hold on|on second thought)\b")
_ANNOUNCES = re.compile(r"(?:[:=]|\b(?:is|are|contains?|says?|reads?|writes?|includes?|states?|quotes?|with))\s*\Z")
_EXAMPLE = re.compile(
    r"(?:\b(?:examples?|e\.g|for instance|such as|formats?|schema|template)\b[\s.]*(?:is|are)?"
    r"|\A(?:if|when|unless)\b.*)[\s:=.,]*\Z"
)
# The form that was asked for is no example of it.
_IN_FORM = re.compile(
    r"here is (?:my|the) [\w ]{1,40} in (?:the |your )?(?:(?:requested|required|specified|desired|json) )+format[\s:]*"
)

_FRONT = r"(?:[a#][,:>|]*|[,~>:])*"
_ASKED = r"(?:L[:,>?|]*|[mYV][?:>|]+)+" + _FRONT
_YES, _NO = r"(?P<yes>[yYVmg])", r"(?P<no>[nNKu])"
# Behind a foreign yes, only what is known: other foreign words may deny it.
_WHY = r"(?:(?<!g)[,:>](?:W:)?[rkwtyYVvm]|[,:>](?:W:)?[RwtyYVvmg]|(?<=[rR]),l)*"
_AGAINST = r"[^yYVvmgte%?q]*"
# Strings with a verdict that is firm, as behind a label, …
_FIRM = (
    rf"{_FRONT}(?:{_ASKED}|C:(?=[ymnu]\Z))(?:{_YES}{_WHY}|{_NO}{_AGAINST})",  # verdict: yes, it names zinc
    rf"{_FRONT}[uNK][:?|]+(?P<no>[ym]){_WHY}",  # unmet: yes
    rf"{_FRONT}(?:L|[mY])[?|]+(?:(?P<yes>t)|(?P<no>f)).*",  # is it met? it does not
)
# … and with one that a doubt takes back.
_PLAIN = (
    rf"{_FRONT}(?:(?P<yes>[yYVg]|m(?!:[^Rkmy])){_WHY}|(?P<no>[nNK]|u(?!:[nNKuf])){_AGAINST})",  # yes, it names zinc
    rf"{_FRONT}t[,:]+(?P<yes>[yYV]|m(?!:)){_WHY}",  # absolutely, yes
    rf"{_FRONT}R(?:,[Rrls])*,(?P<yes>v){_WHY}",  # it names zinc, which meets the criterion
    # it names zinc, so yes
    rf"{_FRONT}(?:W:)?(?:[rRw.a][,~>]+|s[~>]+|k[,~>]*[~>]|(?<=~)k,)+(?P<yes>Y|(?<=>)[yVm]){_WHY}",
    rf"[^yYVmge%q]*[,:~>](?P<no>N|(?<=[~>])K|(?<=>)[nu]){_AGAINST}",  # it is long, but does not meet the criterion
    rf".*>(?P<no>[nNKu]){_AGAINST}",  # it is met only if one is generous, so it fails
)
_FORMS = [(form, True) for form in map(re.compile, _FIRM)] + [(form, False) for form in map(re.compile, _PLAIN)]

_SHAPES = {
    name: re.compile(shape)
    for name, shape in {
        "open": rf"{_FRONT}(?:(?:L|[mYVuN](?=[?:]))[:,?|#]*|#[:|]*)+",  # labels alone: the verdict comes next
        "material": rf"{_FRONT}(?:X:|C:(?![ymnu]\Z)).*",  # somebody else's words
        "answer to another question": r"(?![L#mYV])[^|]*\?\|[yngtf].*",
        "bearing": r".*[yYVvmgnNKudeh].*|.*q.*\?.*",  # could be a verdict, or take one back
        "explaining": r"[rRkwtL#.,:>yYml]+",  # only says why, or where
        "following": r"[a#:,>rRk.tw][~a#:,>rRk.twl]*|W(?::[^dehq?%]*)?",  # leaves a yes before it as it is
        "heading": r"[RrwtL,>]+",  # reasons under "Met:"
        "following a foreign yes": r"[aRwt](?:[,:][Rwlg])*",
        "fragment": r"[a,>]*[oq](?:[,~:]o)*|%.*|.*\?",  # may take back even a firm one, later on
    }.items()
}


@dataclass
class _Findings:
    """What has been read of a reply so far."""

    verdicts: set[bool] = field(default_factory=set)
    firm: bool = False  # one of them stands behind a label
    fresh: bool = False  # the sentence before had one
    foreign: bool = False  # a yes was in another language than English
    doubtful: bool = False  # a doubt with no firm verdict behind it

    def add(self, met: bool, firm: bool) -> None:
        self.verdicts.add(met)
        self.firm |= firm
        self.doubtful &= not firm

    def is_doubted_by(self, string: str) -> bool:
        """Whether a sentence without a verdict, of this string, takes back the yes that was read before it."""
        if True not in self.verdicts:
            return False
        if self.firm and not self.fresh and not self.foreign:
            return has_shape(string, "fragment")
        return not has_shape(string, "following a foreign yes" if self.foreign else "following")

    @property
    def verdict(self) -> bool | None:
        return next(iter(self.verdicts)) if not self.doubtful and len(self.verdicts) == 1 else None


def text_verdict(text: str) -> bool | None:
    """The verdict of a reply, or of a field's value, in words; None when there is none or more than one."""
    return _read(text).verdict


def text_evidence(text: str) -> set[bool]:
    """All that a text says of yes and no where a verdict can stand."""
    return _read(text).verdicts


def introduces_a_quotation(before: str) -> bool:
    """True when what ends with `before` announces somebody else's words, or an example ("It says:", "Example:")."""
    lines = [line for line in before.splitlines() if line.strip(" `*\t")]
    line = plain(lines[-1]) if lines else ""
    last = re.split(r"(?<=[!?])\s|(?<=\w\w\.)\s", line.strip())[-1]
    return introduces(line) or (_EXAMPLE.search(last) is not None and _IN_FORM.fullmatch(last) is None)


def numbered_verdicts(text: str) -> list[tuple[int, bool | None, str]]:
    """(number, verdict, line) of every line or table row that begins with a criterion's number."""
    listed: list[tuple[int, bool | None, str]] = []
    for line in _tables_as_lines(text[:_LONGEST_REPLY]).splitlines():
        words = _plain_lines(line).strip()
        number = number_at(words)
        if number is not None:
            verdict = _read(line).verdict
            listed.append((number, last_word(kinds(words.strip(" .!"))) if verdict is None else verdict, line.strip()))
    return listed


def verdict_of(string: str) -> tuple[bool, bool] | None:
    """(met, whether it is firm) of a sentence by its string; None where it has no verdict."""
    for form, firm in _FORMS:
        match = form.fullmatch(string)
        if match is not None:
            return match.groupdict().get("yes") is not None, firm
    return None


def has_shape(string: str, shape: str) -> bool:
    """True when a string has the `shape` of that name."""
    return _SHAPES[shape].fullmatch(string) is not None


def last_word(string: str) -> bool | None:
    """The verdict at the end of a numbered line, behind the text of the criterion ("1: names zinc: met")."""
    match = re.fullmatch(r"#[:,]+[^dehq%?yYVvmgnNKutf]*[:,](?:(?P<yes>[ym])|(?P<no>[nu]))", string)
    return None if match is None else match["yes"] is not None


def _read(text: str) -> _Findings:
    findings = _Findings()
    text = text.strip()
    text = text if len(text) <= _LONGEST_REPLY else text[:200] + "\n" + text[-200:]
    words = _plain_lines(unwrapped(_own_lines(_tables_as_lines(text))))
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    digits = _SCALE.search(words) is None
    before = ""  # the kinds of a sentence that the next one completes, or that reaches into it
    for number, line in enumerate(lines):
        digit = DIGITS.get(line.strip(" .()"))
        if digit is None or before:
            for sentence in filter(None, map(str.strip, _SENTENCE.split(line))):
                before = _read_sentence(sentence, before, findings, digits=digits)
        # Alone, or as the first or last line: else it is an item of a list, or a part of a sum.
        elif number in (0, len(lines) - 1) and sum(other.lstrip(" (#")[:1].isdigit() for other in lines) == 1:
            findings.add(digit, True)
    return findings


def _read_sentence(sentence: str, before: str, findings: _Findings, *, digits: bool) -> str:
    """Add what a sentence says, and what stands in its parentheses.

    Returns:
        What it leaves for the next one: its kinds where it is a label or question, a mark where it is unfinished.
    """
    if not findings.verdicts and _TASK.match(sentence):
        return ""
    findings.doubtful |= True in findings.verdicts and _RECONSIDERS.match(sentence) is not None
    outside, asides = _set_asides_apart(sentence)
    alone = _string_of(outside, before, digits=digits)
    headed = _headed_verdict(before, alone)
    if headed is not None:
        findings.add(*headed)
        findings.fresh, before = True, ""
    string = before + alone
    if has_shape(alone, "material") or has_shape(string, "answer to another question"):
        return ""
    if has_shape(string, "open"):
        return f"{string}|"
    verdict = _verdict_behind(before, alone)
    if verdict is not None:
        findings.add(*verdict)
    elif has_shape(string, "bearing") or findings.is_doubted_by(alone):
        findings.doubtful = True
    findings.fresh = verdict is not None
    findings.foreign |= verdict is not None and verdict[0] and "g" in alone
    for aside, in_label in asides:
        _read_aside(aside, verdict, findings, in_label=in_label)
    return _unfinished(sentence, verdict) or (f"{alone}|" if alone.endswith("?") and verdict is None else "")


def _set_asides_apart(sentence: str) -> tuple[str, list[tuple[str, bool]]]:
    """(a sentence without its parentheses, what stands in each and whether a colon follows it).

    Where nothing else is left to read, as in "Verdict: (yes)", the parentheses are dropped and their words stay.
    """
    outside = _ASIDE.sub(" ", sentence)
    if not outside.strip(" .!:=?") or outside.rstrip(" .!").endswith((":", "=")):
        return sentence.translate({ord("("): " ", ord(")"): " "}), []
    asides = _ASIDE.finditer(sentence)
    return outside, [(match[1], sentence[match.end() :].lstrip().startswith(":")) for match in asides]


def _string_of(words: str, before: str, *, digits: bool) -> str:
    """The kinds of a sentence's clauses, behind a sentence that left the kinds `before`."""
    for sign in SIGNS:
        words = words.replace(sign, f" , {sign} , ")
    string = kinds(" ".join(words.split()), digits=digits, labelled="L" in before or "m" in before)
    # "Met:" has its verdict in the next line, or it is followed by reasons.
    return f"{string}:" if words.endswith(":") and re.search(r"[mYuN]\Z", string) else string


def _headed_verdict(before: str, alone: str) -> tuple[bool, bool] | None:
    """The verdict of a heading such as "Met:", when the sentence that follows it only gives reasons."""
    reasons = "heading" if before.endswith("m:|") else "following"
    return verdict_of(before[:-2]) if before.endswith(":|") and has_shape(alone, reasons) else None


def _verdict_behind(before: str, alone: str) -> tuple[bool, bool] | None:
    """The verdict of a sentence together with what the one before it left, as `verdict_of` gives it."""
    verdict = verdict_of(before + alone)
    by_itself = verdict_of(alone) if verdict is None and before in (_HANGING, _BROKEN) else None
    if by_itself is None:
        return verdict
    # A denial reaches over a break to words, but not to a label, nor mostly to a whole sentence.
    met, firm = by_itself
    return by_itself if firm or not met or (before == _BROKEN and "Y" in alone) else None


def _read_aside(aside: str, verdict: tuple[bool, bool] | None, findings: _Findings, *, in_label: bool) -> None:
    """Add what stands in parentheses in a sentence with this verdict: it may agree, contradict, or cast doubt."""
    met = word_value(aside.strip())
    met = statement_value(aside) if met is None else met
    if met is not None:
        if verdict is not None:
            findings.verdicts.add(met)
        return
    string = kinds(aside)
    explains = has_shape(string, "explaining") or (in_label and re.search(NEGATION, aside) is None)
    if has_shape(string, "bearing") or (verdict is not None and verdict[0] and not explains):
        findings.doubtful = True


def _unfinished(sentence: str, verdict: tuple[bool, bool] | None) -> str:
    """A mark for a sentence that what follows may belong to: "The criterion is not.", "If it named zinc"."""
    end = sentence.rstrip(" )'\"")
    broken = not end.endswith((".", "!", "?", "。", "！", "？")) or end.endswith("..")
    denies = re.search(NEGATION, sentence) is not None or _SUPPOSING.search(sentence) is not None
    if (
        (_CONDITION.match(sentence) is not None and (broken or not re.search("[,?]", sentence)))
        or (verdict is None and _INVERTED.match(sentence) is not None)
        or (denies and _HANGS.search(sentence) is not None)
    ):
        return _HANGING
    return _BROKEN if broken and denies and verdict is None else ""


def _plain_lines(text: str) -> str:
    """`text` without decoration, the numbers of its items written as labels."""
    return _ENUMERATED.sub(r"\1:", _ITEM_NUMBER.sub("number ", plain(text)))


def _own_lines(text: str) -> str:
    """`text` without the lines that quote: those marked with ">", and those behind "The response says:"."""
    lines = text.splitlines()
    marked = [line.lstrip().startswith(">") for line in lines]
    if all(mark or not line.strip() for mark, line in zip(marked, lines, strict=True)):
        marked = [False] * len(lines)
    kept: list[str] = []
    quoting = fenced = marking = False
    for mark, line in zip(marked, lines, strict=True):
        if line.strip().startswith("```"):
            fenced = quoting and not fenced
            quoting = fenced
        elif not line.strip():
            # A blank line ends a quotation, but for the one between the announcement and the quotation.
            quoting = quoting and (fenced or (not marking and introduces_a_quotation("\n".join(kept[-2:]))))
            kept += [""] if kept and kept[-1] else []
        elif not mark and not quoting:
            kept.append(line)
            words = plain(line).rstrip()
            quoting = _ANNOUNCES.search(words) is not None and introduces(words)
        marking = mark or (marking and quoting)
    return "\n".join(kept)


def _tables_as_lines(text: str) -> str:
    """`text` with every row of a Markdown table that holds a verdict as a line, "1: Met: yes", and without the others.

    The verdict stands in the columns that are headed so, or else in the last cell.
    """
    lines: list[str] = []
    columns: dict[int, str] = {}
    previous: list[str] = []
    for line in text.splitlines():
        if line.count("|") < 2 or not line.strip().startswith("|"):
            lines.append(line)
            columns, previous = {}, []
            continue
        cells = [plain(cell).strip() for cell in line.strip().strip("|").split("|")]
        number = f"{cells[0]}: " if number_at(cells[0]) is not None else ""
        last = word_value(cells[-1], digits=True)
        if all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            columns = {place: heading for place, heading in enumerate(previous) if _heads_verdicts(heading)}
            if lines and previous and lines[-1].endswith(f"verdict: {previous[-1]}"):
                lines.pop()
        elif columns:
            for place, heading in columns.items():
                cell = cells[place] if place < len(cells) else ""
                if not cell and any(other != place and cells[other : other + 1] > [""] for other in columns):
                    continue  # "Met" is empty beside "Unmet: ✓"
                contrary = kinds(heading + ":") in ("u", "N") and word_value(cell) is False
                lines.append(f"{number}met: yes" if contrary else f"{number}{heading.strip(' ?:')}: {cell}")
        elif len(cells) > 1 and last is not None and not introduces(f"{cells[-2]}:"):
            if _heads_verdicts(cells[-2]):
                lines.append(f"{cells[-2].strip(' ?:')}: {cells[-1]}")
            else:
                lines += [f"{number}verdict: {cell}" for cell in cells if word_value(cell, digits=True) is not None]
        previous = cells
    return "\n".join(lines)


def _heads_verdicts(heading: str) -> bool:
    """True for the heading of a column of verdicts, or of their contraries ("Met?", "Unmet")."""
    return kinds(heading.strip(" ?:") + ":") in ("L", "m", "Y", "u", "N")
