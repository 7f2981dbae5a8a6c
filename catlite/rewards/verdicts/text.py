"""Reading a verdict out of words: lines, tables and sentences, each cut into clauses.

A verdict is what stands where a judge puts one: a listed word behind labels, or at the start of a sentence, or a
statement that the grammar parses. Two that differ make no verdict. A doubt takes one back unless a firm one (behind
a label, or alone on its line) follows. Left out: what is quoted, and what the response is reported to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from catlite.rewards.verdicts import clauses as clauses
from catlite.rewards.verdicts.clauses import Clause
from catlite.rewards.verdicts.sentences import has_subject, lead_of, negates, statement_value
from catlite.rewards.verdicts.words import ANSWERS, DIGITS, SIGNS, plain, unwrapped, word_value

_LONGEST_REPLY = 20_000  # characters that are looked at for words; of a longer reply its two ends
_SENTENCE = re.compile(r"(?<=[.!?…])(?=[\s\"')]|\Z)|(?<=[。！？])|\n")
_ITEM_NUMBER = re.compile(r"\bno\.\s*(?=\d)")  # "No. 1 in the list" is no answer
_ENUMERATED = re.compile(r"^([ \t]{0,8}(?:#|number )?\d{1,3})[.)](?=\s+\S)", re.MULTILINE)
# Beside a digit these make it a count, or a mark on a scale.
_SCALE = re.compile(
    r"\bout of\b|\bscale\b|\bof \d|(?:[2-9]|\d\d)\s?/\s?\d|/\s?(?:[02-9]|\d\d)|\bpoints?\b|\bmax(?:imum)?\b|\bstars?\b"
    r"|\b(?:lowest|highest|worst|best)\b"
)


@dataclass
class _Findings:
    """What has been read of a reply so far."""

    verdicts: set[bool] = field(default_factory=set)
    own: bool = False  # at least one of them stands where a judge puts its verdict
    doubtful: bool = False  # a doubt with no firm verdict behind it
    pending: int = 0  # a label waits for its word: 1, or -1 where the label is negative; 0 for none
    asked: bool = False  # a question about something else waits for its answer

    def add(self, value: bool, *, own: bool = True, firm: bool = False) -> None:
        self.verdicts.add(value)
        self.own |= own
        if firm and own:
            self.doubtful = False

    def doubt(self) -> None:
        self.doubtful = True

    @property
    def verdict(self) -> bool | None:
        return next(iter(self.verdicts)) if self.own and not self.doubtful and len(self.verdicts) == 1 else None


def text_verdict(text: str) -> bool | None:
    """The verdict of a reply, or of a field's value, in words; None when there is none or more than one."""
    return _read(text).verdict


def text_evidence(text: str) -> set[bool]:
    """All that a text says of yes and no where a verdict can stand."""
    findings = _read(text)
    return findings.verdicts if findings.own else set()


def introduces_a_quotation(before: str) -> bool:
    """True when what ends with `before` announces somebody else's words ("The response contains", "It says:")."""
    lines = [line for line in before.splitlines() if line.strip(" `*\t")]
    return bool(lines) and (clauses.introduces(plain(lines[-1])) or clauses.exemplifies(plain(lines[-1])))


def numbered_verdicts(text: str) -> list[tuple[int, bool | None, str]]:
    """(number, verdict, line) of every line or table row that begins with a criterion's number."""
    rows, rest = _split_tables(text[:_LONGEST_REPLY])
    listed = [(clauses.number_at(plain(cells[0]).strip()), verdict, " ".join(cells)) for cells, verdict in rows]
    for line in rest.splitlines():
        words = _plain_lines(line)
        number = clauses.number_at(words.strip())
        if number is not None:
            listed.append((number, _line_verdict(line, words), line.strip()))
    return [(number, verdict, line) for number, verdict, line in listed if number is not None]


def _line_verdict(line: str, words: str) -> bool | None:
    """The verdict of one numbered line, in which the criterion may stand between the number and the word."""
    findings = _read(line)
    if findings.verdict is not None:
        return findings.verdict
    *before, last = clauses.cut(words.strip(" .!"))
    value = word_value(last.text) if before else None
    return value if findings.verdicts <= {value} and not findings.doubtful else None


def _read(text: str) -> _Findings:
    findings = _Findings()
    text = text.strip()
    text = text if len(text) <= _LONGEST_REPLY else text[:200] + "\n" + text[-200:]
    rows, text = _split_tables(text)
    for _, value in rows:
        if value is None:
            findings.doubt()
        else:
            findings.add(value, firm=True)
    words = _plain_lines(unwrapped(_own_lines(text)))
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    reader = _Reader(findings, digits=_SCALE.search(words) is None, alone=len(lines) == 1)
    for number, line in enumerate(lines):
        digit = DIGITS.get(line.strip(" .()"))
        if digit is None or findings.pending:
            for sentence in filter(str.strip, _SENTENCE.split(line)):
                reader.read(sentence.strip())
        # Alone, or as the first or last line: else it is an item of a list, or a part of a sum.
        elif number in (0, len(lines) - 1) and sum(other.lstrip(" (#")[:1].isdigit() for other in lines) == 1:
            findings.add(digit, firm=True)
    return findings


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
    quoting = fenced = False
    for mark, line in zip(marked, lines, strict=True):
        if line.strip().startswith("```"):
            fenced = quoting and not fenced
            quoting = fenced
        elif not line.strip():
            # A blank line ends a quotation, but for the one between the announcement and the quotation.
            quoting = quoting and (fenced or introduces_a_quotation("\n".join(kept[-2:])))
            kept += [""] if kept and kept[-1] else []
        elif not mark and not quoting:
            kept.append(line)
            quoting = clauses.announces_lines(plain(line).rstrip())
    return "\n".join(kept)


# --- tables -----------------------------------------------------------------------------------------------


def _split_tables(text: str) -> tuple[list[tuple[list[str], bool | None]], str]:
    """(the rows of Markdown tables, each with its verdict, and the text without them).

    The verdict stands in the column that is headed so, or else in the last cell; other rows are left out.
    """
    rows: list[tuple[list[str], bool | None]] = []
    rest: list[str] = []
    columns: dict[int, int] = {}
    previous: list[str] = []
    for line in text.splitlines():
        if line.count("|") < 2 or not line.strip().startswith("|"):
            rest.append(line)
            columns, previous = {}, []
            continue
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if all(re.fullmatch(r":?-+:?", cell) for cell in cells):
            columns = {place: _label_of(cell) for place, cell in enumerate(previous) if _label_of(cell)}
            if rows and rows[-1][0] == previous:
                rows.pop()
        elif columns:
            read = [_cell_verdict(cells[place], sign) for place, sign in columns.items() if place < len(cells)]
            rows.append((cells, _same(read)))
        elif len(cells) > 1 and _cell_verdict(cells[-1]) is not None:
            if _label_of(cells[-2]):
                rest.append(f"{cells[-2]}: {cells[-1]}")
            else:
                rows.append((cells, _same([value for cell in cells if (value := _cell_verdict(cell)) is not None])))
        previous = cells
    return rows, "\n".join(rest)


def _same(values: list[bool | None]) -> bool | None:
    return values[0] if values and len(set(values)) == 1 else None


def _cell_verdict(cell: str, sign: int = 1) -> bool | None:
    """The verdict of a cell; `sign` is -1 in a column headed "unmet", where yes means no."""
    value = word_value(plain(cell).strip(), digits=True) if len(cell) < 40 else text_verdict(cell)
    return not value if sign < 0 and value is not None else value


def _label_of(cell: str) -> int:
    return clauses.polarity(plain(cell).strip(" ?:"))


# --- sentences --------------------------------------------------------------------------------------------


@dataclass
class _Reader:
    """Reads one sentence after the other into its findings."""

    findings: _Findings
    digits: bool  # 1 and 0 can be verdicts here
    alone: bool  # the reply is a single line
    # Of the sentence that is read:
    pending: int = 0  # the last label: 1, -1 or 0
    labelled: bool = False
    opened: bool = True  # nothing but labels, introductions and words so far
    reported: bool = False
    conditional: bool = False
    value: bool | None = None  # the last verdict in it
    foreign: bool = False  # that was not in English
    reason: bool = False  # it is announced as a reason
    denied: bool = False  # a clause before this one holds a negation that may reach over it
    hung: bool = False  # the sentence before leaves open what a word here would say
    broken_off: bool = False  # that one has a negation, and no mark at its end

    def read(self, sentence: str) -> None:
        """Adds what a sentence says, and what stands in its parentheses."""
        asides = re.findall(r"\(([^()]{0,300})\)", sentence)
        outside = re.sub(r"\([^()]{0,300}\)", " ", sentence)
        if not outside.strip(" .!:=?") or outside.rstrip(" .!").endswith((":", "=")):
            outside, asides = sentence.translate({ord("("): " ", ord(")"): " "}), []
        for sign in SIGNS:
            outside = outside.replace(sign, f" , {sign} , ")
        outside = " ".join(outside.split())
        self._read_clauses(clauses.cut(outside.rstrip(" .!?…。！？").strip()), asks=outside.rstrip(" )'").endswith("?"))
        for aside in map(str.strip, asides):
            value = word_value(aside)
            value = statement_value(aside) if value is None else value
            if value is not None:
                self.findings.add(value, own=False)
            elif clauses.hedges(aside):
                self.findings.doubt()
        self.hung = clauses.hangs(sentence)
        self.broken_off = negates(sentence) and not self.reason and clauses.breaks_off(sentence)

    def _read_clauses(self, sentence: list[Clause], *, asks: bool) -> None:
        answering, doubtful = self.findings.asked, self.findings.doubtful
        self.pending, self.findings.pending, self.findings.asked = self.findings.pending, 0, False
        self.labelled, self.opened = self.pending != 0, True
        self.reported = self.conditional = self.foreign = self.reason = self.denied = False
        self.value = None
        for place, clause in enumerate(sentence):
            introduced = word_value(clause.text) is None and not (self.pending and _affirms(clause.text) is not None)
            text = clause.text[len(lead_of(clause.text)) if introduced else 0 :].strip()
            after = sentence[place + 1] if place + 1 < len(sentence) else None
            if not text:
                self.opened = self.opened and (bool(clause.text) or not clause.binds)
                continue
            statement = statement_value(text)
            self.reported = self.reported or (statement is None and clauses.is_reported(clause.text))
            if clause.before == "so" or (clause.before == "but" and statement is False):
                self.reported = False  # the judge's own conclusion from it, or objection to it
            self.conditional = (self.conditional or clause.before == "if") and clause.before != "so"
            self.conditional = self.conditional or (after is not None and not asks and clauses.is_condition(text))
            depends = self.conditional or (after is not None and after.before == "if")
            if (clause.binds or (asks and after is None)) and not self.reported and not depends:
                if self._take_label(text, statement, after, asks):
                    continue
                if clauses.is_material(text) and self.opened and not asks:
                    return  # somebody else's words to the end of the sentence
            if asks:
                if clauses.is_loaded_question(text) or len(text.split()) <= 4:  # "Or is it?"
                    self.findings.doubt()
                self.findings.asked, self.opened = True, False
                continue
            value = self._word(text, first=place == 0)
            if value is not None:
                if answering and not self.pending and place == 0:
                    return  # it answers another question
                self._take_word(value, clause, sentence[place + 1 :], depends=depends)
                continue
            if self.pending and self.opened and place == 0 and text == clause.text:
                self.findings.doubt()  # a label whose word cannot be read
            if statement is not None:
                if clause.before == "so" and any(one.before == "if" for one in sentence[:place]):
                    self.findings.doubtful = doubtful  # "met only if …, so it fails": the conclusion counts
                # "None of it, as far as I can see, meets the criterion": a denial reaches over what is inserted.
                reaches = self.denied and (statement or not has_subject(text)) and clause.before not in ("so", "but")
                leans = not has_subject(text) and not self.opened and clause.before != "so"
                self._take_statement(statement, text, depends=depends or reaches or (leans and statement))
                self.pending, self.opened = 0, False
                continue
            if negates(text) and text == clause.text:
                self.denied = True
            objects = clause.before == "but" and clauses.is_demand(text) and True in self.findings.verdicts
            if objects or clauses.is_doubt(clause, text, self.value, foreign=self.foreign, reason=self.reason):
                self.findings.doubt()
            self.pending, self.opened = 0, False
        self.findings.pending = self.pending

    def _continues(self, text: str) -> bool:
        """True when a clause may be the end of the sentence before it: "The criterion is not. Met."."""
        return self.hung or (self.broken_off and text not in ANSWERS and not has_subject(text))

    def _take_label(self, text: str, statement: bool | None, after: Clause | None, asks: bool) -> bool:
        """True when a clause that binds what follows is a label, and has been noted."""
        word = None if after is None else word_value(after.text, digits=True)
        follows = after is None or word is not None or statement_value(after.text) is not None
        polarity = clauses.polarity(text) if self.opened or follows else 0
        if statement is not None and (asks or word is not None):
            polarity = 1 if statement else -1  # "The criterion is met: no"
        elif statement is not None and re.search(r" (?:is|are|was|were|been) ", text):
            polarity = 0  # "The criterion is met: it names zinc" is a statement and its reason
        if polarity and (follows or word_value(text) is None):
            self.pending, self.labelled = (polarity, True) if follows else (0, True)
            if not follows:
                self.findings.doubt()  # "Met: 3 of 5"
            return True
        if not self.opened:
            return False
        if clauses.is_number(text) and not asks:
            return True
        if clauses.is_material(text) and word is not None and not asks and "criteri" in text:
            self.pending, self.labelled = 1, True
            return True
        if clauses.is_reason(text):
            self.opened, self.reason = False, True
            return True
        return False

    def _word(self, text: str, *, first: bool) -> bool | None:
        """The listed word that a clause is, or that it begins or ends with in one of a few fixed ways."""
        value = word_value(text, digits=self.labelled and self.digits)
        if value is None and self.opened and not self.labelled:
            value = _named_word(text, digits=self.digits)
            self.labelled = value is not None
        if value is None and self.pending == 1 and first:
            value = _affirms(text)
        if value is None and self.opened and self.value is None:
            value = _short_answer(text)
        return value

    def _take_word(self, value: bool, clause: Clause, rest: list[Clause], *, depends: bool) -> None:
        label, self.pending = self.pending, 0
        continues = value and not label and self._continues(clause.text)
        counted = clause.binds and bool(rest) and re.fullmatch(r"[\d.]+ ?%?", rest[0].text) is not None  # "yes = 0"
        if depends or continues or counted or (label == -1 and not value):  # "Unmet: no" is two negations
            self.findings.doubt()
        elif not self.reported:
            value = value and label != -1
            answers = clause.text.split(" ", 1)[0] in ANSWERS
            opens = clause.before != "bind" and self.value is None and bool(rest) and not self.labelled and not answers
            if opens and _misplaced(clause, value, rest, alone=self.alone):
                self.findings.doubt()
                return
            self.findings.add(value, own=self.opened or clause.before == "so", firm=self.opened and self.labelled)
            self.value, self.foreign = value, clause.text in ANSWERS and clause.text[:1] not in ("y", "n")

    def _take_statement(self, value: bool, text: str, *, depends: bool) -> None:
        continues = value and not self.pending and self._continues(text)
        if self.pending == -1 or depends or continues or self.reported:
            self.findings.doubt()
        else:
            self.findings.add(value, firm=self.labelled)
            self.value = value


def _named_word(text: str, *, digits: bool) -> bool | None:
    """The word of "the answer is yes", "verdict no", "criterion 2 pass"."""
    for match in re.finditer(r" (?:is |would be |remains )?", text[:120]):
        value = word_value(text[match.end() :], digits=digits) if len(text) - match.end() < 40 else None
        if value is not None and clauses.is_named(text[: match.start()].strip()):
            return value
    return None


def _affirms(text: str) -> bool | None:
    """What answers a question about the criterion without saying yes or no ("Absolutely.", "It does not.")."""
    match = re.fullmatch(
        r"(?:absolutely|definitely|certainly|of course|indeed|it (?:is|does|has))(?P<no> not)?(?: indeed| at all)?",
        text,
    )
    return None if match is None else not match["no"]


def _short_answer(text: str) -> bool | None:
    """Yes or no before a clause without a mark between: "Yes it does", "No the response never names it"."""
    match = re.match(
        r"(yes|no) (?=(?:it|because|since|(?:the|this) (?:response|answer|text|reply|criterion|rollout))\b)", text
    )
    if match is None:
        return None
    value, rest = match[1] == "yes", text[match.end() :]
    agrees = statement_value(rest) in (None, value) and not clauses.hedges(rest)
    return value if agrees and not (value and clauses.turns(rest)) else None


def _misplaced(clause: Clause, value: bool, rest: list[Clause], *, alone: bool) -> bool:
    """True when a word that is no plain yes or no is no verdict before the clauses that follow it."""
    if clause.text in SIGNS:
        return not alone and any(word_value(other.text) is None for other in rest)
    reason = " ".join(other.text for other in rest)
    if not value or word_value(rest[0].text) is not None:
        return re.match(r"\d", reason) is not None
    # "Met: it isn't", "Pass: 3 of 5"; of "Met: …" and "Correct: …" it cannot be told what they are without a sentence.
    if clause.binds and (
        clauses.turns(reason) or clauses.hedges(reason) or clauses.is_reported(reason) or clauses.wants(reason)
    ):
        return True
    if clause.binds and clauses.polarity(clause.text) and not clause.text.startswith("pass"):
        return re.match(r"(?:the|this) (?:response|answer|text|reply|rollout)\b", reason) is None
    return re.match(r"(?:not|only|almost|nearly|\d)\b", reason) is not None
