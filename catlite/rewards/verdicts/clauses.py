"""The parts of a sentence in a judge's reply: where it is cut into clauses, and what kinds of clause there are.

A label asks for the verdict ("verdict", "criterion 2", "is it met?"). A report tells what somebody else says. A doubt
could bear on the verdict and says neither yes nor no. All else is a remark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from catlite.rewards.verdicts.sentences import FIRM, LONGEST, statement_value
from catlite.rewards.verdicts.words import OPEN_END, QUOTATION

# What divides a sentence. A colon, a dash, "=" and a question mark bind what follows to what stands before.
_BREAK = re.compile(
    r"\s*(?:(?P<bind>[:=]|[-=]+>|→|\s[-–—]+(?=\s|\Z)|[–—]|(?<=\w)--(?=\w))|[,;、。]"
    r"|(?<!anything )(?<!nothing )(?<!everything )(?<!all )\b(?P<but>but|however|although|(?<!even )though|whereas|"
    r"while|aber|pero|mais|maar|mas|но|لكن)\b"
    r"|(?P<but_too>但是?|でも|하지만)"
    r"|(?<!even )(?<!as )\b(?P<if>if|unless|except|whether|provided|assuming|suppose|as long as|when)\b"
    r"|\band (?=(?:yes|no|the|it|this|so|therefore|thus|hence|not (?:met|satisfied|fulfilled)|unmet)\b)"
    r"|(?:(?<=\A)|(?<=[,;:–—-] )|(?<=\band ))(?P<so>so|therefore|thus|hence)\b"
    r"(?! (?:far|that|called|much|many|long|as)\b)"
    r"|\b(?=because\b|since\b))\s*"
)
_KINDS = ("bind", "but", "but_too", "if", "so")

_ADJECTIVES = r"(?:(?:the|my|our|final|overall|own|criterion|criteria|binary|judge's) )*"
_NUMBER = re.compile(
    r"(?:(?:the )?(?:criterion|criteria|item|requirement|rubric(?: item)?|condition|question|c|q)\s*)?"
    r"(?:#|number )?(\d{1,3})"
)
_LABEL = re.compile(
    rf"{_ADJECTIVES}(?:verdict|answer|conclusion|decision|judge?ment|result|rating|grade|score|evaluation|assessment|"
    r"outcome|status|ruling|determination|final)"
    r"(?: (?:for|on|of) (?:the |this )?(?:criterion|requirement|item)(?: \d{1,3})?)?(?: (?:is|would be|remains))?"
    r"|(?:yes|y|true|met|pass) ?(?:/|or) ?(?:no|n|false|unmet|not met|fail)"
    r"|(?:it|this|that) is an?(?: (?:clear|definite|firm|plain|resounding|absolute))?"
    r"|(?:i|we) (?:would |must |will |have to |can only |therefore |thus |do )*"
    r"(?:say|answer|vote|judge|conclude|rule|reply|respond|choose)"
)
_MET_LABEL = re.compile(
    r"(?:(?:the |this )?(?:criterion|criteria|requirement|condition)(?: \d{1,3})? )?"
    r"(?P<asks>is |was )?(?:it |this |the criterion )?"
    r"(?:(?P<met>met|satisfied|fulfill?ed|correct|pass|passed|meets?(?: the)?(?: criterion| criteria)?)"
    r"|(?P<unmet>unmet|not met|unsatisfied|not satisfied|unfulfill?ed|fail|failed|incorrect))"
    r"(?: (?:or|/) (?:un|not )(?:met|satisfied))?"
)
_NOUN = r"(?:criterion|criteria|requirements?|condition)(?: \d{1,3}| quotation)?"
_QUESTION = re.compile(
    r"(?:is|was|are|were|has|have|does|do|did) "
    r"(?:(?:the|this|that|these|all|it|response|answer|text|reply|rollout)\s?)*"
    rf"(?:{_NOUN} ?)?(?:been )?(?:fully )?"
    rf"(?:met|satisfied|fulfill?ed|(?:meet|satisfy|fulfill?|pass) (?:(?:the|this|that|all|these) )*(?:{_NOUN}|it))"
)
_MATERIAL = re.compile(
    rf"(?:the |model |model's )*(?:criterion|criteria|requirement|response|reply|rollout|text|question|prompt|"
    rf"reference|quote|passage|excerpt|{QUOTATION})(?: \d{{1,3}})?"
)
_REASON = re.compile(
    r"(?:the |my |short |brief )*(?:reason|reasons|reasoning|explanation|justification|rationale|analysis|why|notes?)"
)

# The response says it, not the judge.
_REPORTED = re.compile(
    r"\b(?:response|answer|text|reply|rollout|output|author|model|assistant|student|user|line|"
    r"sentence|paragraph|passage|ending|note|nobody|no one|some|someone|somebody|one|people|everybody|anyone|it|which|"
    r"that|who|they|he|she)"
    r"(?: \w+ly)? (?:(?:also|even|just|only|then|never|literally|does not|did not) )*"
    r"(?:says?|said|states?|stated|claims?|claimed|contains?|contained|includes?|included|writes|wrote|reads|quotes?|"
    r"asserts?|asserted|declares?|declared|insists?|pretends?|announces?|announced|instructs?|tells?|told|asks?|asked|"
    r"ends with|begins with|starts with|outputs|replies|replied|argues?|argued|suggests?|repeats?|mentions?|puts it)\b"
    r"|\A(?:claimed|quoted|said|alleged|stated)\b"
    r"|\b(?:according to|in the words of|as stated by|quoting|forged|injected|verbatim)\b"
    r"|\b(?:says|claims|writes|states) (?:the|this) (?:response|text|answer|model)\b"
)
_TRAILING_REPORT = re.compile(
    r"(?:says|claims|writes|states|reads|according to|as stated|as claimed)\b.*"
    r"|(?:it|he|she|they|(?:the|this) (?:response|answer|text|author|model)) (?:says?|claims?|writes?|states?|insists?)"
)
_PRESENTED = re.compile(
    r"\b(?:line|sentence|paragraph|words?|text|response|reply|rollout|ending|message)\b.{0,40} (?:is|are|was|were)\Z"
)
_INTRODUCES = re.compile(r"(?:[:=]|\b(?:is|are|contains?|says?|reads?|writes?|includes?|states?|quotes?|with))\s*\Z")
_EXAMPLE = re.compile(
    r"(?:\b(?:examples?|e\.g|for instance|such as|formats?|schema|template)\b[\s.]*(?:is|are)?"
    r"|\A(?:if|when|unless)\b.*)[\s:=.,]*\Z"
)
_ALLEGED = re.compile(
    r"\b(?:allegedly|supposedly|so[- ]called|or so|purportedly|ostensibly|is what|as claimed|not really|as if|"
    r"said (?:no one|nobody)|"
    r"(?:is|are|would be) (?:simply |plainly |just )?(?:a lie|a joke|false|untrue|wrong|not true|nonsense|absurd))\b"
)
# What a criterion asks for is no verdict on it.
_DEMAND = re.compile(
    r"(?:(?:the|this|that|each|every|criterion|requirement|\d{1,3}|quotation) )*(?:criterion|requirement)(?: \d{1,3})? "
    r"(?:only |also |clearly |explicitly )?(?:asks?|requires?|demands?|wants?|says|states|reads|concerns?|speaks|looks|"
    r"checks|calls|describes?|specifies|mentions|is (?:about|that|whether))\b"
)
_VERB = r"(?:met|unmet|meets?|meeting|satisf\w+|fulfil\w*|unsatisfied|unfulfil\w*|pass(?:es|ed)?|fail(?:s|ed)?|holds?)"
_ABOUT = re.compile(
    rf"\b(?:criterion|criteria|requirements?)\b.*\b{_VERB}\b|\b{_VERB}\b.*\b(?:criterion|criteria|requirements?)\b"
    r"|\b(?:is|are|was|were|be|been|being|not|never|nothing|nobody|almost|nearly|hardly|barely|only) (?:\w+ )?"
    r"(?:un)?(?:met|satisfied|fulfill?ed)\b"
    r"|\b(?:verdict|conclusion|(?:the|my|final) answer)\b.*\b(?:is|be|would|yes|no|true|false)\b"
)
_HEDGE = re.compile(
    r"\b(?:partial(?:ly)?|partly|largely|technically|apart from|in no (?:way|sense)|by no means|at no point|in part|"
    r"mostly|somewhat|sort of|kind of|maybe|perhaps|possibly|probably|presumably|likely|unlikely|apparently|seemingly|"
    r"potentially|ostensibly|reportedly|questionabl[ey]|dubious(?:ly)?|doubtful|debatable|borderline|arguably|unclear|"
    r"undecided|uncertain|ambiguous|slightly|superficially|sometimes|occasionally|seldom|rarely|insufficiently|"
    r"inadequately|poorly|wrongly|falsely|a stretch|it depends|(?:hard|difficult) to (?:say|tell|judge)|both|neither|"
    r"half|to some extent|to a degree|in a way|more or less|not applicable|n/a|"
    r"not (?:really|quite|fully|entirely|completely|necessarily|exactly|sure|certain|wholly|only))\b"
)
_UNSURE = re.compile(
    r"\b(?:i|we) (?:am|are) (?:not (?:\w+ )?(?:sure|certain|able|convinced|confident)|unsure|unable|uncertain|sorry)\b"
    r"|\b(?:i|we) (?:can|could|will|would|do) not (?:\w+ )?(?:say|tell|know|help|assist|answer|judge|evaluate|assess|"
    r"comply|provide|decide|determine|grade|rate|do (?:that|this)|be sure)\b"
    r"|\b(?:i|we) (?:can|could|will|would|am happy to) (?:help|assist|gladly|judge|evaluate|assess|answer|grade|check|"
    r"do (?:that|this))\b"
    r"|\b(?:i|we) (?:\w+ )?doubt\b"
    r"|\bas an ai\b|\b(?:kidding|joking|sarcas\w+|ironic\w*)\b"
    r"|\b(?:sorry|apologi[sz]e)\b|\b(?:impossible|not possible) to (?:say|tell|judge|determine)\b"
)
# What is left of a sentence that takes back the one before: "Barely.", "Wrongly so.", "not iron", "or not".
_FRAGMENT = re.compile(
    r"(?:not|hardly|barely|scarcely|never|almost|nearly|only|seldom|kinda|sorta|in theory|to a degree)(?: [\w'-]+){0,3}"
    rf"|(?!(?:{FIRM}|absolutely|implicitly)\b)(?:\w+ )?\w+ly(?: so)?|or(?: [\w'-]+){1, 4}|(?:the|a|or|and) no"
)
_NEGATING = re.compile(
    r"\b(?:not|no|only|never|none|nothing|partly|false|incorrect|untrue|wrong|without|except|far|doubt\w*|questionable|unlikely|unclear|seldom|rarely|"
    r"hardly|barely|almost|nearly|less|little|few|instead|miss\w*|lack\w*|fail\w*|omit\w*|un\w+ed)\b"
)
_HANGS = re.compile(rf"{OPEN_END}\W*\Z")
_CONDITIONAL = re.compile(r"\b(?:would|could|should|might|may|can|if|unless|whether|anything)\b")
_INVERTED = re.compile(r"(?:under|at|in|by|on) no \w+ (?:is|are|was|were|has|have|does|do|did|can|could)\b")
_CONDITION = re.compile(r"(?:if|unless|only|had|were|should|assuming|provided|suppose|whether|when)\b")
_WANTING = re.compile(r"\b(?:should|ought to|could|would|must|needs? to)(?: have| be)?\b")
_INSERTED = re.compile(
    r"(?:(?<=criterion)|(?<=requirement)|(?<=response)|(?<=answer)|(?<=text)|(?<=reply)), "
    r"(?:which|though|although|while|as far as|however) [^,]{1,80},"
    r"|, (?:in my (?:view|opinion|judge?ment)|sadly|unfortunately|however|therefore|thus|clearly|indeed|of course|then|"
    r"overall),"
)


@dataclass(frozen=True)
class Clause:
    """A part of a sentence. `before` is the break it stands behind: "bind", "but", "if", "so", "break" or ""."""

    text: str
    binds: bool
    before: str


def cut(sentence: str) -> list[Clause]:
    """The clauses of a sentence, without the marks and conjunctions between them."""
    sentence = _INSERTED.sub("", sentence)
    clauses: list[Clause] = []
    position, before = 0, ""
    for match in _BREAK.finditer(sentence):
        if match.end() == match.start():
            continue
        text = sentence[position : match.start()].strip()
        if text or match["bind"]:
            clauses.append(Clause(text, match["bind"] is not None, before))
        kind = next((name.removesuffix("_too") for name in _KINDS if match[name]), "break")
        before = kind if text or not before or kind in ("if", "so", "but") else before
        position = match.end()
    clauses.append(Clause(sentence[position:].strip(), False, before))
    return [clause for clause in clauses if clause.text or clause.binds]


def polarity(text: str) -> int:
    """1 for a label that asks for the verdict, -1 for one that asks for its contrary, 0 for no label."""
    if _LABEL.fullmatch(text) is not None or _QUESTION.fullmatch(text) is not None:
        return 1
    match = _MET_LABEL.fullmatch(text)
    if match is None or (match["unmet"] and match["asks"]):  # "Is it not met? No." can mean either
        return 0
    return 1 if match["met"] else -1


def is_named(text: str) -> bool:
    """True for a label that is a noun ("the answer", "my verdict is"), which can stand before a word without a mark."""
    return _LABEL.fullmatch(text) is not None or (_NUMBER.fullmatch(text) is not None and not text.isdecimal())


def is_number(text: str) -> bool:
    """True for the number of a criterion: "2", "#2", "criterion 2"."""
    return _NUMBER.fullmatch(text) is not None


def number_at(text: str) -> int | None:
    """The criterion's number with which a text begins."""
    match = re.match(rf"{_NUMBER.pattern}\s*(?=[.):(\s=–—-]|\Z)", text)
    return int(match[1]) if match else None


def is_material(text: str) -> bool:
    """True for the label of what is judged, or judged by ("Response", "Criterion"): no words of the judge follow."""
    return _MATERIAL.fullmatch(text) is not None


def is_reason(text: str) -> bool:
    """True for the label of a reason."""
    return _REASON.fullmatch(text) is not None


def is_condition(text: str) -> bool:
    """True when a clause is a condition without "if": "without the dose", "had it named zinc"."""
    return re.match(r"without |(?:had|were|should) (?:it|they|the|this|that|there) ", text) is not None


def is_reported(text: str) -> bool:
    """True when a clause tells what the response, or somebody else, says."""
    return _REPORTED.search(text) is not None or _ALLEGED.search(text) is not None


def introduces(line: str) -> bool:
    """True for a line that announces somebody else's words: "The response says:", "Response:"."""
    last = re.split(r"(?<=[.!?])\s", line.strip())[-1]
    if not last or last.endswith((".", "!", "?")):
        return False
    label = last.rstrip(" :=")
    if _PRESENTED.search(label) is not None:
        return True
    return _REPORTED.search(last) is not None or (is_material(label) and "criteri" not in label)


def exemplifies(line: str) -> bool:
    """True for a line that announces a form, an example, or what would be said: "Example:", "If it names zinc:"."""
    last = re.split(r"(?<=[!?])\s|(?<=\w\w\.)\s", line.strip())[-1]
    return _EXAMPLE.search(last) is not None


def is_demand(text: str) -> bool:
    """True when a clause tells what the criterion asks for."""
    return _DEMAND.match(text) is not None


def announces_lines(line: str) -> bool:
    """True when the lines after `line` are the words it announces."""
    return _INTRODUCES.search(line) is not None and introduces(line)


def turns(text: str) -> bool:
    """True when a text holds a word that can turn what it is about into its contrary."""
    return _NEGATING.search(text) is not None


def wants(text: str) -> bool:
    """True when a text tells what should have been there."""
    return _WANTING.search(text) is not None


def is_loaded_question(text: str) -> bool:
    """True for a question about the criterion that is put in the negative: yes and no can both mean either."""
    return _ABOUT.search(text) is not None and turns(text)


def breaks_off(sentence: str) -> bool:
    """True when a sentence has no mark at its end, or one that only pauses ("…")."""
    end = sentence.rstrip(" )'\"")
    return not end.endswith((".", "!", "?", "。", "！", "？")) or end.endswith("..")


def hangs(sentence: str) -> bool:
    """True when a sentence leaves open what it denies or supposes, so that a word behind it may belong to it.

    "The criterion is not.", "I do not believe", and, with no mark at its end, "If it named zinc".
    """
    if _CONDITION.match(sentence) is not None and (breaks_off(sentence) or not re.search("[,?]", sentence)):
        return True
    if _INVERTED.match(sentence) is not None and statement_value(sentence.rstrip(" .!…")) is None:
        return True
    return _HANGS.search(sentence) is not None and (turns(sentence) or _CONDITIONAL.search(sentence) is not None)


def hedges(text: str) -> bool:
    """True when a text, which stands beside a verdict, makes less of it."""
    return _HEDGE.search(text) is not None or _UNSURE.search(text) is not None or _FRAGMENT.fullmatch(text) is not None


def is_doubt(clause: Clause, text: str, verdict: bool | None, *, foreign: bool = False, reason: bool = False) -> bool:
    """True when a clause that is no verdict could bear on one.

    Args:
        clause: the clause, for the break before it.
        text: its words without what only introduces them.
        verdict: the verdict before it in the sentence, if there is one.
        foreign: that verdict is not in English, so that what follows cannot be read.
        reason: the sentence is announced as a reason, in which "not iron" says nothing of the verdict.
    """
    if _UNSURE.search(text) is not None or _TRAILING_REPORT.fullmatch(text) is not None:
        return True
    if verdict is not False and not reason and _FRAGMENT.fullmatch(text) is not None:
        return True
    if is_reported(text):
        return _ALLEGED.search(text) is not None or (verdict is not None and _ABOUT.search(text) is not None)
    if len(text) > LONGEST or is_demand(text):
        return False
    if _ABOUT.search(text) is not None:
        return True
    few = len(text.split()) <= 8
    if (_HEDGE.search(text) is not None and (few or verdict is not None)) or (few and re.search(r"\byes\b", text)):
        return True
    # "Yes, but not iron": what is taken back may be what was asked.
    return bool(verdict) and clause.before == "but" and (foreign or turns(text) or len(text.split()) <= 2)
