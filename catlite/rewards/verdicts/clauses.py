r"""A sentence of a judge's reply as a string of kinds, one letter a clause, and the few strings that are a verdict.

"Verdict: yes, it names zinc" is `L:y,R`: a label, a word and a reason. Kinds are listed in `_KINDS`, forms in `_FORMS`;
a string that has no form gives no verdict, and where it holds a word that could bear on one, it is a doubt.

Marks between the letters: `:` binds what follows to what stands before (a colon, a dash, "="), `,` divides, `~` is
"but", `%` is "if", `>` is "so", `?` ends a question and `|` a sentence that leaves its label open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from catlite.rewards.verdicts.statements import LONGEST, NEGATION, NOUN, WEAKENED, statement, without_lead
from catlite.rewards.verdicts.words import ANSWERS, OPEN_END, QUOTATION, SIGNS, VERDICTS, plain, word_value

_MARK = re.compile(
    r"\s*(?:(?P<bind>[:=]|[-=]+>|→|\s[-–—]+(?=\s|\Z)|[–—]|(?<=\w)--(?=\w))|[,;、。，]"
    r"|(?<!anything )(?<!nothing )(?<!everything )(?<!all )\b(?P<but>(?:but|however|although|yet(?= the| it)|(?<!even )"
    r"though|whereas|while|aber|pero|mais|maar|mas|но|لكن)\b|但是?|でも|하지만)"
    r"|(?<!even )(?<!as )\b(?P<if>if|unless|except|provided|assuming|suppose|as long as|when(?! to\b))\b"
    r"|\band (?=(?:yes|no|the|it|this|so|therefore|thus|hence|not (?:met|satisfied|fulfilled)|unmet)\b)"
    r"|(?:(?<=\A)|(?<=[,;:–—-] )|(?<=\band ))(?P<so>so|therefore|thus|hence)\b(?! (?:far|that|called|much|many|long|as)\b)"
    r"|\b(?=because\b|since\b))\s*"
)
_MARKS = {"bind": ":", "but": "~", "if": "%", "so": ">"}
# Words put into a sentence that change nothing, and answers that a clause follows without a mark.
_INSERTED = re.compile(
    r"(?:(?<=criterion)|(?<=requirement)|(?<=response)|(?<=answer)|(?<=text)|(?<=reply)), "
    r"(?:which|though|although|while|as far as|however) [^,]{1,80},"
    r"|, (?:in my (?:view|opinion|judge?ment)|sadly|unfortunately|however|therefore|thus|clearly|indeed|of course|then|"
    r"overall),"
)
_UNMARKED = re.compile(r"\A(yes|no) (?=(?:it|because|since|(?:the|this) (?:response|answer|text|reply|criterion))\b)")

# --- kinds of clause -----------------------------------------------------------------------------------------

_NUMBER = rf"(?:(?:the )?(?:{NOUN}|item|question|c|q)\s*)?(?:#|number )?(\d{{1,3}})"
_LABEL = re.compile(
    r"(?:(?:the|my|our|first|initial|final|overall|own|criterion|criteria|binary|judge's) )*"
    r"(?:verdict|answer|conclusion|decision|judge?ment|result|rating|grade|score|evaluation|assessment|outcome|status|"
    r"ruling|determination|final)"
    r"(?: (?:for|on|of) (?:the |this )?(?:criterion|requirement|item)(?: \d{1,3})?)?(?: (?:is|would be|remains))?"
    r"|(?:yes|y|true|met|pass) ?(?:/|or) ?(?:no|n|false|unmet|not met|fail)"
    r"|(?:it|this|that) is an?(?: (?:clear|definite|firm|plain|resounding|absolute))?"
    r"|(?:i|we) (?:would |must |will |have to |can only |therefore |thus |do )*"
    r"(?:say|answer|vote|judge|conclude|rule|reply|respond|choose)"
    rf"|(?:(?:the|this) )?{NOUN}(?: \d{{1,3}})? (?:satisfied|fulfill?ed|met)"
    r"|(?:is |was )(?:it |this )?(?:met|satisfied|fulfill?ed|correct)|satisf(?:y|ies) (?:the )?criterion"
    r"|(?:is|was|are|were|has|have|does|do|did) "
    r"(?:(?:the|this|that|these|all|it|response|answer|text|reply|rollout)\s?)*"
    rf"(?:{NOUN}(?: \d{{1,3}}| {QUOTATION})? ?)?(?:been )?(?:fully )?"
    r"(?:met|satisfied|fulfill?ed|(?:meet|satisfy|fulfill?|pass) (?:(?:the|this|that|all|these) )*"
    rf"(?:{NOUN}(?: \d{{1,3}}| {QUOTATION})?|it))"
)
_CONTRARY_LABEL = re.compile(rf"(?:{NOUN} )?(?:not (?:met|satisfied|fulfilled)|unmet|unsatisfied|unfulfilled|fail(?:ed)?)")
_MATERIAL = re.compile(
    r"(?:the |model |model's )*(?:criterion|criteria|requirement|response|reply|rollout|text|question|prompt|reference|"
    rf"quote|passage|excerpt|{QUOTATION})(?: \d{{1,3}})?"
)
_REASON_LABEL = re.compile(
    r"(?:the |my |short |brief )*(?:reasons?|reasoning|explanation|justification|rationale|analysis|why|notes?|feedback)"
)
_AFFIRMED = r"absolutely|definitely|certainly|of course|indeed|clearly|fully|(?:implicit|explicit)ly|it (?:is|does|has)"
_SAYS = (
    r"(?:says?|said|states?|stated|claims?|claimed|contains?|contained|includes?|included|writes|wrote|reads|quotes?|"
    r"asserts?|asserted|declares?|declared|insists?|pretends?|announces?|announced|instructs?|tells?|told|asks?|asked|"
    r"ends with|begins with|starts with|outputs|replies|replied|argues?|argued|suggests?|repeats?|mentions?|puts it)"
)
_SPEAKER = (
    r"(?:response|answer|text|reply|rollout|output|author|model|assistant|student|user|line|sentence|paragraph|passage|"
    r"ending|note|nobody|no one|some|someone|somebody|one|people|everybody|anyone|it|which|that|who|they|he|she)"
)
_REPORT = re.compile(
    rf"\b{_SPEAKER}(?: \w+ly)? (?:(?:also|even|just|only|then|never|literally|does not|did not) )*{_SAYS}\b"
    r"|\A(?:claimed|quoted|said|alleged|stated)\b|\b(?:according to|in the words of|quoting|forged|injected|verbatim)\b"
    r"|\b(?:says|claims|writes|states) (?:the|this) (?:response|text|answer|model)\b"
)
_BARE_REPORT = re.compile(
    r"(?:says|claims|writes|states|reads|according to|as stated|as claimed)\b.*"
    r"|(?:it|he|she|they|(?:the|this) (?:response|answer|text|author|model)) (?:says?|claims?|writes?|states?|insists?)"
)
_DEMAND = re.compile(  # what a criterion asks for is not a verdict on it
    rf"(?:(?:the|this|that|each|every|{QUOTATION}) )*(?:criterion|requirement)(?: \d{{1,3}})? "
    r"(?:only |also |clearly |explicitly )?(?:asks?|requires?|demands?|wants?|says|states|reads|concerns?|speaks|looks|"
    r"checks|calls|describes?|specifies|mentions|is (?:about|that|whether))\b"
)
_UNSURE = re.compile(
    r"\b(?:i|we) (?:am|are) (?:not (?:\w+ )?(?:sure|certain|able|convinced|confident)|unsure|unable|uncertain|sorry)\b"
    r"|\b(?:i|we) (?:can|could|will|would|do) not (?:\w+ )?(?:say|tell|know|help|assist|answer|judge|evaluate|assess|"
    r"comply|provide|decide|determine|grade|rate|comment|do (?:that|this)|be sure)\b"
    r"|\b(?:i|we) (?:can|could|will|would|am happy to) (?:help|assist|gladly|judge|evaluate|assess|answer|grade|check|"
    r"do (?:that|this))\b"
    r"|\b(?:i|we) (?:\w+ )?doubt\b|\bas an ai\b|\b(?:sorry|apologi[sz]e)\b|\bnot (?:sure|certain)\b"
    r"|\b(?:impossible|not possible) to (?:say|tell|judge|determine)\b"
)
_VERB = r"(?:met|unmet|meets?|meeting|satisf\w+|fulfil\w*|unsatisfied|unfulfil\w*|pass(?:es|ed)?|fail(?:s|ed)?|holds?)"
_BEARING = re.compile(  # could be a verdict, and is not one that can be read
    rf"\b(?:criterion|criteria|requirements?)\b.*\b{_VERB}\b|\b{_VERB}\b.*\b(?:criterion|criteria|requirements?)\b"
    r"|\b(?:is|are|was|were|be|been|being|not|never|nothing|nobody|almost|nearly|hardly|barely|only) (?:\w+ )?"
    r"(?:un)?(?:met|satisfied|fulfill?ed)\b"
    r"|\b(?:verdict|conclusion|(?:the|my|final) answer)\b.*\b(?:is|be|would|yes|no|true|false)\b"
)
_HEDGE = re.compile(
    rf"{WEAKENED}|\b(?:largely|technically|in no (?:way|sense)|by no means|at no point|somewhat|sort of|hardly|barely|scarcely|kind of|unlikely|"
    r"dubious(?:ly)?|debatable|borderline|unclear|undecided|uncertain|ambiguous|a stretch|it depends|both|neither|"
    r"(?:hard|difficult) to (?:say|tell|judge)|in a way|more or less|not applicable|n/a|"
    r"false|untrue|wrong|incorrect|mistaken|nonsense|absurd|"
    r"not (?:true|so|really|quite|fully|entirely|completely|necessarily|exactly|wholly|only))\b"
)
_VERBS = (
    r"(?:is|are|was|were|has|have|had|does|do|did|names?|mentions?|states?|says?|gives?|lists?|includes?|explains?|uses?|"
    r"provides?|recommends?|advises?|covers?|contains?|addresses|describes?|tells?|warns?|notes?|suggests?|appears?|"
    r"identif(?:y|ies)|discuss(?:es)?|specif(?:y|ies)|refers?|cites?|shows?|offers?|makes?|asks?|stands?|follows?|"
    r"correctly \w+s|explicitly \w+s|clearly \w+s|never \w+s|only \w+s|also \w+s)"
)
_OPENS_ODDLY = (
    r"(?:in|on|at|by|for|from|to|with|without|within|under|over|after|before|until|but|or|and|if|unless|when|as if|only|"
    r"not|no|nor|i|we|wait|correction|except|apart|like|yeah|right|sure|thanks|said|so|well|who|what|how|\w+ly)\b"
)
_OWN_SUBJECT = re.compile(
    r"(?:(?:the|this) (?:response|answer|text|reply|rollout|output)|it|line \d+)\b(?! (?:is|does|has)(?: not)?\Z) .+"
    r"|(?:names|mentions|states|gives|lists|includes|covers|contains|explains|provides|describes|specifies)\b .+"
)
_CLAUSE = re.compile(rf"(?!{_OPENS_ODDLY})(?:[\w'-]+ ){{1,7}}{_VERBS}\b.*|there (?:is|are)\b.*|i (?:can|see|find|found)\b.*")
_GROUND = re.compile(r"(?:because|since|as|given|due to|thanks to)\b (?!if|far|long|such|well|claim|some|many).+")
_WHERE = re.compile(
    r"(?:see )?(?:in |on |at |from )?(?:the |its |this )?(?:(?:first|second|third|last|final|opening) )?"
    r"(?:line|sentence|paragraph|section|step|bullet|point|item|part|response|answer|text)s?(?: \d+)?"
)
_WANTED = re.compile(r"\b(?:should|ought to|could|would|must|needs? to)(?: have| be)?\b")
_POLITE = r"(?:i )?hope (?:this|that) helps|let me know.*|thank you|thanks"


def kinds(sentence: str, *, digits: bool = False, labelled: bool = False) -> str:
    """The kinds and marks of a sentence in plain words (see the module), its parentheses apart."""
    asks = sentence.rstrip(" )'").endswith("?")
    clauses = list(_cut(_UNMARKED.sub(r"\1, ", _INSERTED.sub("", sentence.rstrip(" .!?…。！？").strip()))))
    string = ""
    for place, (mark, text) in enumerate(clauses):
        binds = clauses[place + 1][0] == ":" if place + 1 < len(clauses) else asks
        string += mark + _kind(text, binds, asks and place == len(clauses) - 1, digits and (labelled or bool(re.search("[Lm]", string))))
    return string + "?" * asks


def _cut(sentence: str) -> Iterator[tuple[str, str]]:
    """Each clause with the mark before it."""
    position, mark = 0, ""
    for match in _MARK.finditer(sentence):
        if match.end() == match.start():
            continue
        kind = next((_MARKS[name] for name in _MARKS if match[name]), ",")
        text = sentence[position : match.start()].strip()
        if text:
            yield mark, text
            mark = kind
        elif kind != "," or not mark:
            mark = kind
        position = match.end()
    if sentence[position:].strip():
        yield mark, sentence[position:].strip()


def _kind(text: str, binds: bool, asks: bool, digits: bool) -> str:
    """The letter of one clause; two where a label and its word stand without a mark between them."""
    value = word_value(text, digits=digits)
    if value is not None:
        return _word_kind(text, value)
    bare = without_lead(text)
    if not bare:
        return "a"
    if (value := word_value(bare, digits=digits)) is not None:
        return _word_kind(bare, value)
    if re.fullmatch(_AFFIRMED, bare):
        return "t"
    if re.fullmatch(r"it (?:is|does|has|did|was) not(?: at all)?", bare):
        return "f"
    if _LABEL.fullmatch(bare) and (binds or statement(bare) is None):
        return "L"
    if re.fullmatch(_NUMBER, bare):
        return "#"
    for match in re.finditer(r" ", bare[:120]):
        value = word_value(bare[match.end() :], digits=True) if len(bare) - match.end() < 40 else None
        label = bare[: match.start()]
        if value is not None and (_LABEL.fullmatch(label) or re.fullmatch(_NUMBER, label) and not label.isdecimal()):
            return "L" + _word_kind(bare[match.end() :], value)
    parsed = statement(text)
    if parsed is not None:
        return {(True, True): "Y", (True, False): "V", (False, True): "N", (False, False): "K"}[parsed]
    if binds and _CONTRARY_LABEL.fullmatch(bare):
        return "M"
    if _REASON_LABEL.fullmatch(bare):
        return "W"
    if _MATERIAL.fullmatch(bare):
        return "C" if "criteri" in bare or "requirement" in bare else "X"
    return _remark_kind(text, bare, binds, asks)


def _word_kind(text: str, value: bool) -> str:
    """y, n for an answer ("yes", "✅"); m, u for a word that can be a label ("met", "fail"); g for a foreign yes."""
    bare = text.strip(" \t.!,;:\"'()¡¿")
    if bare in ANSWERS and bare[:1] not in "yn":
        return "g" if value else "n"
    named = any(word in VERDICTS for word in bare.split()) and bare not in ("y", "n")
    return ("m" if value else "u") if named and bare not in SIGNS else ("y" if value else "n")


def _remark_kind(text: str, bare: str, binds: bool, asks: bool) -> str:
    """R, r for a reason about the response or something else, k for one with a negation; q for a report; e where the
    judge cannot say; d for a doubt; w for where in the response; o for a fragment, "." for any other remark."""
    words = len(bare.split())
    bearing = _BEARING.search(bare) is not None or re.search(r"\byes\b", bare) is not None
    if _UNSURE.search(bare):
        return "e"
    if _BARE_REPORT.fullmatch(bare) or (_REPORT.search(bare) and (binds or bearing)):
        return "q"
    if re.match(r"without |(?:had|were|should) (?:it|they|the|this|that|there) ", bare):
        return "d"
    if bearing or (_HEDGE.search(bare) and words <= 8):
        return "d"
    if _GROUND.fullmatch(text):
        return "r"
    if _DEMAND.match(bare) or len(bare) > LONGEST:
        return "."
    if _WANTED.search(bare):
        return "o"
    if _WHERE.fullmatch(bare):
        return "w"
    bare = re.sub(rf"\A{_WHERE.pattern} (?=it|the response|there)", "", bare)
    if _OWN_SUBJECT.fullmatch(bare) or _CLAUSE.fullmatch(bare):
        return "k" if re.search(NEGATION, bare) else "R" if _OWN_SUBJECT.fullmatch(bare) else "r"
    if re.fullmatch(_POLITE, bare) or not re.search("[a-z]", bare):
        return "."
    return "." if words > 2 and not re.match(_OPENS_ODDLY, bare) else "o"


# --- sentences that are a verdict ----------------------------------------------------------------------------

_FRONT = r"(?:[a#][,:>|]*|[,~>:])*"
_ASKED = r"(?:L[:,?|]*|[mYV][?:|]+)+" + _FRONT
_YES, _NO = r"(?P<yes>[yYVmg])", r"(?P<no>[nNKu])"
_WHY = r"(?:(?<=g)(?:[,:]\.)+)?(?:[,:>](?:W:)?[rRkwtyYVm])*"  # all that may follow a yes
_AGAINST = r"[^yYVmgte%?q]*"  # a no is not taken back by prose about something else
# Name, whether it is firm (behind a label), the strings of kinds.
_FORMS = tuple(
    (firm, re.compile(form))
    for firm, form in (
        (True, rf"{_FRONT}(?:{_ASKED}|C:(?=[ymnu]\Z))(?:{_YES}{_WHY}|{_NO}{_AGAINST})"),  # verdict: yes, it names zinc
        (True, rf"{_FRONT}(?:M|[uNK])[:?|]+(?P<no>[ym]){_WHY}"),  # unmet: yes
        (True, rf"{_FRONT}(?:L|[mY])[?|]+(?:(?P<yes>t)|(?P<no>f)).*"),  # is it met? it does not
        (False, rf"{_FRONT}(?:(?P<yes>[yYVg]|m(?!:[^Rkmy])){_WHY}|(?P<no>[nNK]|u(?!:[nNKuf])){_AGAINST})"),
        (False, rf"{_FRONT}(?:W:)?(?:[rRw.a][,~>]+|k[,~>]*[~>]|(?<=~)k,)+(?:(?P<yes>Y|(?<=>)[yVm]){_WHY})"),  # …, so yes
        (False, rf"[^yYVmge%q]*[,:~>](?:(?P<no>N|(?<=[~>])K|(?<=>)[nu]){_AGAINST})"),
        (False, rf".*>(?P<no>[nNKu]){_AGAINST}"),  # if it named zinc, it would be met, so no
    )
)
_OPEN = re.compile(rf"{_FRONT}(?:(?:L|M|[mYuN](?=[?:]))[:,?|#]*|#[:|]*)+")


def verdict_of(string: str) -> tuple[bool, bool] | None:
    """(met, whether a label makes it firm) of a sentence by the kinds of its clauses; None where it has no verdict."""
    for firm, form in _FORMS:
        match = form.fullmatch(string)
        if match is not None:
            return match.groupdict().get("yes") is not None, firm
    return None


def leaves_open(string: str) -> bool:
    """True for a sentence of labels alone, whose verdict the next one gives."""
    return _OPEN.fullmatch(string) is not None


def last_word(line: str) -> bool | None:
    """The verdict at the end of a numbered line, behind the text of the criterion ("1: names zinc: met")."""
    match = re.fullmatch(r"#[:,]+[^dehq%?]*[:,](?:(?P<yes>[ym])|(?P<no>[nu]))", kinds(line.strip(" .!")))
    return None if match is None else match["yes"] is not None


def number_at(text: str) -> int | None:
    """The criterion's number with which a text begins."""
    match = re.match(rf"{_NUMBER}\s*(?=[.):(\s=–—-]|\Z)", text)
    return int(match[1]) if match else None


def is_material(string: str) -> bool:
    """True for somebody else's words behind the label of what is judged, or judged by ("Response: yes")."""
    return re.match(rf"{_FRONT}(?:X:|C:(?![ymnu]\Z))", string) is not None


def answers_another_question(before: str, string: str) -> bool:
    """True for "Yes." behind a question that is not about the criterion."""
    return before.endswith("?|") and re.match("[L#mY]", before) is None and re.match("[yngtf]", string) is not None


def may_bear(string: str) -> bool:
    """True for a sentence without a verdict that holds what could be one, or take one back."""
    return re.search(r"[yYVmgnNKudeh]|q.*[?]", string) is not None


def takes_back(string: str, *, firm: bool) -> bool:
    """True for a remark behind a yes that may undo it: a fragment, or one that begins with "but"."""
    return re.fullmatch("[a,]*o|.*[?]", string) is not None if firm else re.fullmatch(r"[aW#:,>rRk.tw][~aW#:,>rRk.tw]*", string) is None


def explains(string: str) -> bool:
    """True for a text in parentheses behind a yes that only says why, or where."""
    return re.fullmatch(r"[rRkwtL#.,:>yYm]+", string) is not None


# --- sentences that reach into the next, and words of others -------------------------------------------------

_HANGS = re.compile(rf"{OPEN_END}\W*\Z")
_SUPPOSED = re.compile(r"\b(?:would|could|should|might|may|can|if|unless|whether|anything)\b")
_INVERTED = re.compile(r"(?:under|at|in|by|on) no \w+ (?:is|are|was|were|has|have|does|do|did|can|could)\b")
_CONDITION = re.compile(r"(?:if|unless|only|had|were|should|assuming|provided|suppose|whether|when)\b")
_PRESENTED = re.compile(
    r"\b(?:line|sentence|paragraph|words?|text|response|reply|rollout|ending|message)\b.{0,40} (?:is|are|was|were)\Z"
)
_INTRODUCES = re.compile(r"(?:[:=]|\b(?:is|are|contains?|says?|reads?|writes?|includes?|states?|quotes?|with))\s*\Z")
_EXAMPLE = re.compile(
    r"(?:\b(?:examples?|e\.g|for instance|such as|formats?|schema|template)\b[\s.]*(?:is|are)?"
    r"|\A(?:if|when|unless)\b.*)[\s:=.,]*\Z"
)


def reaches_on(sentence: str, string: str, read: tuple[bool, bool] | None) -> str:
    """What a sentence leaves for the next: "h|" where it hangs ("The criterion is not."), or a question's kinds."""
    if string.endswith("?") and read is None:
        return f"{string}|"
    end = sentence.rstrip(" )'\"")
    broken = not end.endswith((".", "!", "?", "。", "！", "？")) or end.endswith("..")
    negates = re.search(NEGATION, sentence) is not None or _SUPPOSED.search(sentence) is not None
    hangs = (
        (_CONDITION.match(sentence) is not None and (broken or not re.search("[,?]", sentence)))
        or (read is None and _INVERTED.match(sentence) is not None)
        or (_HANGS.search(sentence) is not None and (negates or re.search(r"\bdoubt\b", sentence) is not None))
    )
    return "h|" if hangs else "b|" if broken and negates and read is None else ""


def introduces_a_quotation(before: str) -> bool:
    """True when what ends with `before` announces somebody else's words ("The response contains", "It says:")."""
    lines = [line for line in before.splitlines() if line.strip(" `*\t")]
    if not lines:
        return False
    line = plain(lines[-1])
    last = re.split(r"(?<=[!?])\s|(?<=\w\w\.)\s", line.strip())[-1]
    return _introduces(line) or _EXAMPLE.search(last) is not None


def announces_lines(line: str) -> bool:
    """True when the lines after `line` are the words it announces."""
    return _INTRODUCES.search(line) is not None and _introduces(line)


def _introduces(line: str) -> bool:
    last = re.split(r"(?<=[.!?])\s", line.strip())[-1]
    label = last.rstrip(" :=")
    if not last or last.endswith((".", "!", "?")):
        return False
    material = _MATERIAL.fullmatch(label) is not None and "criteri" not in label
    return material or _PRESENTED.search(label) is not None or _REPORT.search(last) is not None
