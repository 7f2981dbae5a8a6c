r"""The kinds of clause in a judge's sentence, and the sentence as a string of them.

"Verdict: yes, it names zinc" is `L:y,R`: a label, a word and a reason. What the letters mean is told in `kind`; the
marks between them are `:` for what binds the next clause (a colon, a dash, "="), `,` for other breaks, `~` for "but",
`%` for "if", `>` for "so", and `?` at the end of a question. Which strings are a verdict is told in text.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from catlite.rewards.verdicts.statements import LONGEST, NEGATION, NOUN, WEAKENED, statement, without_lead
from catlite.rewards.verdicts.words import (
    ANSWERS,
    FOREIGN_LABEL,
    FOREIGN_NO,
    FOREIGN_UNMET,
    FOREIGN_YES,
    QUOTATION,
    SIGNS,
    VERDICTS,
    word_value,
)

_MARK = re.compile(
    r"\s*(?:(?P<arrow>[-=]+>|→)|(?P<bind>[:=]|\s[-–—]+(?=\s|\Z)|[–—]|(?<=\w)--(?=\w))|[,;、。]"
    r"|(?<!anything )(?<!nothing )(?<!everything )(?<!all )\b(?P<but>(?:but|however|although|(?<!even )though|whereas|"
    r"(?<!not )(?<!is )(?<!are )(?<!been )(?<!has )(?<!have )yet(?! to\b)|while|aber|pero|mais|maar|mas|но|لكن)\b"
    r"|但是?|でも|하지만)"
    r"|(?<!even )(?<!as )\b(?P<if>if|unless|except|provided|assuming|suppose|as long as|when(?! to\b))\b"
    r"|\band (?=(?:yes|no|it|this|the (?:criterion|criteria|requirement|response|answer|text)|so|therefore|thus|hence|"
    r"not (?:met|satisfied|fulfilled)|unmet)\b)"
    rf"|(?:(?<=\A)|(?<=[,;:–—-] )|(?<=\band )|(?<={QUOTATION} ))(?P<so>so|therefore|thus|hence)\b(?! (?:far|that|"
    rf"called|much|many)\b)"
    rf"|\b(?=because\b|since\b)|(?<={QUOTATION} )(?=which |thereby |thus ))\s*"
)
_MARKS = {"bind": ":", "but": "~", "if": "%", "so": ">", "arrow": ">"}
# What is put into a sentence and changes nothing, and an answer that its reason follows without a mark.
_INSERTED = re.compile(
    r"(?:(?<=criterion)|(?<=requirement)|(?<=response)|(?<=answer)|(?<=text)|(?<=reply)), "
    r"(?:which|though|although|while|as far as|however) [^,]{1,80},"
    r"|, (?:in my (?:view|opinion|judge?ment)|sadly|unfortunately|therefore|thus|clearly|indeed|of course|overall),"
    r"|(?<=\Ayes), (?:verbatim|word for word)\Z"
)
# "It does not mention lead; the criterion is met": a denial of content, which the verdict follows from.
_CONTENT_DENIED = re.compile(
    r"\A((?:(?:the|this) (?:response|answer|text|reply)|it) (?:does not|did not|never) (?:\w+ly )?"
    r"(?:name|mention|list|include|contain|recommend|use|discuss|suggest|cite|give)s?(?: (?!that\b)[\w'-]+){1,6}); "
    r"(?=(?:the|this) (?:criterion|requirement) is )"
)
# "As it does not name lead, the criterion is met."
_BECAUSE = re.compile(
    r"\A((?:since|because|as) (?:(?:the|this) (?:response|answer|text|reply)|it|no|nothing) [^,;:]+), "
    r"(?=(?:the|this) (?:criterion|requirement) is |it (?:is|does|meets)\b|yes\b)"
)
# "No issues: the criterion is met." No fault that was found is no verdict.
_NO_FAULT = re.compile(
    r"\A(?:there (?:is|are) )?no (?:(?:other|obvious|serious|real|major|apparent|further) )?(?:problem|issue|concern|"
    r"objection|error|mistake|complaint|flaw|omission|doubt)s?"
    r"(?: (?:(?:were |was )?(?:found|noted|seen)|here|at all|about (?:it|that)|in (?:it|the (?:response|answer|"
    r"text))))?"
    r"(?:\s?[:;,–—]|\s-)\s?"
)
# 'It says: "zinc"', without the mark that a quotation is announced with.
_CITES = re.compile(
    rf"\A((?:(?:the|this) (?:response|answer|text|reply)|it) (?:says|states|reads|mentions)): (?={QUOTATION}\Z)"
)
_UNMARKED = re.compile(r"\A(yes|no) (?=(?:it|because|since|(?:the|this) (?:response|answer|text|reply|criterion))\b)")

_THING = rf"(?:{NOUN}(?: \d{{1,3}}| {QUOTATION})?|it)"
_NUMBER = rf"(?:(?:the )?(?:{NOUN}|item|question|c|q)\s*)?(?:#|number )?(\d{{1,3}})"
_OUTPUT = r"(?:my |final |json )*output(?: json)?"
_LABEL = re.compile(
    rf"{_OUTPUT}|"
    r"(?:(?:the|my|our|first|initial|final|overall|own|criterion|criteria|binary|judge's) )*"
    r"(?:verdict|answer|conclusion|decision|judge?ment|result|rating|grade|score|evaluation|assessment|outcome|status|"
    rf"ruling|determination|final|{FOREIGN_LABEL})(?: (?:for|on|of) (?:the |this )?{_THING})?(?: (?:is|"
    rf"remains))?"
    r"|(?:yes|y|true|met|pass) ?(?:/|or) ?(?:no|n|false|unmet|not met|fail)"
    r"|(?:it|this|that) is an?(?: (?:clear|definite|firm|plain|resounding|absolute))?"
    r"|(?:i|we) (?:would |must |will |have to |can only |therefore |thus |do )*"
    r"(?:say|answer|vote|judge|conclude|rule|reply|respond|choose)"
    rf"|(?:(?:the|this) )?{_THING} (?:satisfied|fulfill?ed|met)|satisf(?:y|ies) (?:the )?criterion"
    r"|(?:is|was|are|were|has|have|does|do|did) (?:(?:the|this|that|these|all|it|response|answer|text|reply)\s?)*"
    rf"(?:{_THING} ?)?(?:been )?(?:fully )?"
    rf"(?:met|satisfied|fulfill?ed|correct|(?:meet|satisfy|fulfill?|pass) (?:(?:the|this|that|all|these) )*{_THING})"
)
_MATERIAL = re.compile(
    r"(?:(?:the )?(?:\w+ )?(?:lines?|sentences?|paragraphs?|words|end|ending|part|beginning) (?:of|in|from) "
    r"(?!.*(?:criteri|requirement)))?(?:the |model |model's )*(?:criterion|criteria|requirement|response|reply|"
    r"rollout|text|question|prompt|reference|"
    rf"quote|passage|excerpt|input|(?:candidate|student|user)(?:'s \w+)?|{QUOTATION})"
    r"(?: (?:\d{1,3}|to judge|under review|above|below))?"
)
_REASON_LABEL = (
    r"(?:the |my |brief )*(?:reasons?|reasoning|explanation|justification|rationale|analysis|why|notes?|feedback|"
    r"evidence|"
    r"quotes?)"
)
_AFFIRMED = (
    r"absolutely|undoubtedly|unquestionably|definitely|certainly|of course|indeed|clearly|fully|"
    r"(?:implicit|explicit)ly|it (?:is|does|has)"
)
_SAYS = (
    r"(?:(?:say|state|claim|contain|include|write|read|quote|assert|declare|insist|pretend|announce|instruct|tell|ask|"
    r"output|argue|suggest|repeat|mention)(?:s|d|ed)?|said|wrote|told|replie[sd]|(?:ends|begins|starts|"
    r"closes)(?: with)?|puts it)"
)
REPORT = re.compile(rf"\b{_SAYS}\b|\b(?:alleged|according to|in the words of|quoting|forged|injected|verbatim)\b")
_BARE_REPORT = (
    r".*\b(?:(?:was|were|am|been) told|(?:tells?|told|asks?|asked|orders?|ordered|wants?|wanted) me|asked for (?:it|"
    r"this|a pass)|(?:says|said) so|instruct\w*)\b.*|"
    r"(?:says|claims|writes|states|reads|according to|as stated|as claimed)\b.*"
    r"|(?:it|he|she|they|(?:the|this) (?:response|answer|text|author|model)) (?:says?|claims?|writes?|states?|insists?)"
    r"|it is (?:said|claimed|alleged|reported|thought)|(?:\w+ ){1,2}(?:says?|claims?|thinks?|believes?|argues?)"
)
# In the first person a judge may say what it sees; anything else it says of itself is no help.
_UNSURE = re.compile(
    r"(?!.*\bi (?:can |could |do |have )?(?:not )?(?:see|find|found|read|judged|checked|looked)\b).*\b(?:i|we)\b"
    r"|.*\b(?:as an ai|sorry|apologi[sz]e|not (?:sure|certain)|(?:im|not )possible to (?:say|tell|judge|determine))\b"
)
_VERB = r"(?:(?:un)?met|meets?|meeting|(?:un)?(?:satisf|fulfil)\w*|pass(?:es|ed)?|fail(?:s|ed)?|holds?)"
_ABOUT = r"(?:criterion|criteria|requirements?)"
_BEARING = re.compile(
    rf"\b{_ABOUT}\b.*\b{_VERB}\b|\b{_VERB}\b.*\b{_ABOUT}\b|\byes\b"
    r"|\b(?:is|are|was|were|be|been|being|not|never|nothing|nobody|almost|nearly|hardly|barely|only) (?:\w+ )?"
    r"(?:un)?(?:met|satisfied|fulfill?ed)\b"
    r"|\bnot (?:my|the|a) (?:\w+ )?(?:verdict|answer|opinion|judge?ment|conclusion|view)\b"
    r"|\b(?:verdict|conclusion|(?:the|my|final) answer)\b.*\b(?:is|be|would|no|true|false)\b"
)
HEDGE = re.compile(
    rf"{WEAKENED}|\b(?:largely|technically|in no (?:way|sense)|by no means|at no point|somewhat|sort of|hardly|barely|"
    r"scarcely|kind of|unlikely|dubious(?:ly)?|debatable|borderline|unclear|undecided|uncertain|ambiguous|a stretch|"
    r"it depends|neither(?! (?!yes|pass|meets|satisf|fulfil|fail|is\b|was\b|does\b|has\b)\w+s\b)|(?:hard|"
    r"difficult) to (?:say|tell|judge)|in a way|more or less|not applicable|n/a|false|"
    r"untrue|wrong|incorrect|mistaken|nonsense|absurd|"
    r"not (?:true|so|really|quite|fully|entirely|completely|necessarily|exactly|wholly|only))\b"
)
_WANTED = re.compile(
    r"(?:(?:the|this) )?(?:response|answer|text|reply|it|one|there|that)(?: \w+)? (?:should|ought to|must|needs? to|"
    r"comes? close|came close|"
    r"(?:tries|tried|attempts|attempted|aims|intends)\b(?:(?: to)?(?: (?:meet|satisfy|fulfil)\b.*)?\Z))\b"
    r"|.*\b(?:could|would|might)\b"
)
# "It states …" and ", which satisfies the criterion": of what the response shows, a verdict.
_SHOWS = re.compile(
    r"(?:yes, )?(?:(?:the|this) (?:response|answer|text|reply)|it) (?:(?:clearly|explicitly|directly|also|correctly|"
    r"indeed|specifically) )*(?:states|mentions|names|says|contains|includes|gives|lists|specifies|provides|describes|"
    r"explains|recommends|notes|uses|identifies|addresses|advises|tells)\b"
)
_FIRMLY = r"(?:(?:clearly|directly|fully|explicitly|exactly|therefore|thus|also|precisely|completely|indeed|plainly) )*"
_FOLLOWS = re.compile(
    rf"(?:which {_FIRMLY}(?:satisfies|meets|fulfill?s|matches)|(?:(?:thereby|thus|therefore|hence) )?{_FIRMLY}"
    r"(?:satisfying|meeting|fulfill?ing|matching)) (?:the|this) (?:stated |given )?(?:criterion|criteria|requirements?)"
)
_DENIED = re.compile(
    r"which (?:clearly |therefore |thus |still )*(?:does not|fails to) (?:fully |actually )?"
    r"(?:satisfy|meet|fulfill?|match) (?:the|this) (?:stated |given )?(?:criterion|criteria|requirements?)"
)
_UNREAL = (
    r"\b(?:could|would|should|might|may|must|if|unless|instead|rather|only|except|lacks?|omit\w*|miss\w*|without|"
    r"fail\w*|"
    r"contrary|opposite|little|few|less|other|another|"
    r"user|author|question|prompt|reference|ideal|answer|itself)\b"
)
_ABSENT = re.compile(
    r"no (?!(?:part|line|one|evidence|proof|support|signs?|indications?|reason|doubt|response|answer|text|"
    r"reply|verdict)\b)"
    r"(?:[\w'-]+ ){1,4}(?:is|are|was|were) (?:\w+ly )?(?:named|mentioned|stated|given|listed|included|recommended|used|"
    r"discussed|suggested|advised|prescribed|cited|made|added|present)"
    r"(?: (?:in|by) (?:the|this) (?:response|answer|text))?"
)
_AS_WANTED = (
    r"as (?:the|this) (?:criterion|requirement) (?:wants|asks|requires|demands)(?: for)?|as (?:required|wanted)"
)
_WHERE = (
    r"(?:see )?(?:in |on |at |from )?(?:the |its |this )?(?:(?:first|second|third|last|final|opening) )?"
    r"(?:line|sentence|paragraph|section|step|bullet|point|item|part|response|answer|text)s?(?: \d+)?"
)
_OWN_REASON = (
    r"(?:(?:the|this) (?:response|answer|text|reply|rollout|output)|it(?! were)|line \d+)\b"
    r"(?! (?:is|does|has)(?: not)?\Z) .+"
    r"|(?:names|mentions|states|gives|lists|includes|covers|contains|explains|provides|describes|specifies)\b .+"
    r"|(?:\w+ly )?(?:named|mentioned|stated|given|covered|listed|included|found) (?:in|on|by) .+"
)
_FRAGMENT = (
    r"(?:in|on|at|by|for|from|to|with|without|within|under|over|after|before|but|or|and|if|unless|when|as if|"
    r"only|not|no|nor|"
    r"once|should|soon|whenever|until|till|in case|had|were|i|we|one|let|it were|wait|correction|except|apart|like|"
    r"yeah|right|sure|thanks|said|so|well|"
    r"who|what|how|\w+ly)\b"
)
_VERBS = (
    r"(?:is|are|was|were|has|have|had|does|do|did|addresses|(?:identif|specif)(?:y|ies)|discuss(?:es)?|(?:\w+ly|never|"
    r"only|also) \w+s|(?:name|mention|state|say|give|list|include|explain|use|provide|recommend|advise|cover|contain|"
    r"describe|tell|warn|note|suggest|appear|refer|cite|show|offer|make|ask|stand|follow)s?)"
)
_REASON = rf"(?!{_FRAGMENT})(?:[\w'-]+ ){{1,7}}{_VERBS}\b.*|there (?:is|are)\b.*|i (?:can|see|find|found)\b.*"
_POLITE = r"(?:i )?hope (?:this|that) helps|let me know.*|thank you|thanks|[\W\d_]*"


def kinds(sentence: str, *, digits: bool = False, labelled: bool = False) -> str:
    """The string of a sentence in plain words.

    Args:
        sentence: the words outside parentheses, without decoration.
        digits: reads 1 and 0 as words behind a label; False.
        labelled: a label stands before this sentence; False.

    Returns:
        A letter for each clause, with the mark before it.

    Example:
        >>> kinds("verdict: yes, it names zinc.")
        'L:y,R'
    """
    asks = sentence.rstrip(" )'!").endswith("?")
    sentence = _NO_FAULT.sub("", _INSERTED.sub("", sentence.rstrip(" .!?…。！？").strip()))
    sentence = _CITES.sub(r"\1 ", sentence)
    for inference in (_CONTENT_DENIED, _BECAUSE):
        sentence = inference.sub(r"\1, so ", sentence)
    clauses = list(_cut(_UNMARKED.sub(r"\1, ", sentence)))
    string = shown = ""
    for place, (mark, text) in enumerate(clauses):
        binds = clauses[place + 1][0] == ":" if place + 1 < len(clauses) else asks
        labelled = labelled or "L" in string or "m" in string
        follows = _FOLLOWS.fullmatch(text) is not None and _shows(shown)
        denies = _DENIED.fullmatch(text) is not None and place > 0 and "k" not in string
        plainly = "v" if follows else "N" if denies else ""
        string += mark + (plainly or kind(text, binds=binds, digits=digits, labelled=labelled))
        shown = f"{shown}, {text}" if shown and mark != ":" else text
    return string + "?" * asks


def _shows(words: str) -> bool:
    """True for words that tell what the response has in it, without denial, doubt or anybody's opinion of it."""
    match = _SHOWS.match(words)
    rest = words[match.end() :] if match else ""
    return rest != "" and not any(
        re.search(words_of_doubt, rest) for words_of_doubt in (NEGATION, HEDGE, _BEARING, REPORT, _UNREAL)
    )


def _cut(sentence: str) -> Iterator[tuple[str, str]]:
    """Each clause with the mark before it."""
    position, mark = 0, ""
    for match in _MARK.finditer(sentence):
        if match.end() == match.start():
            continue
        following = next((_MARKS[name] for name in _MARKS if match[name]), ",")
        if text := sentence[position : match.start()].strip():
            yield mark, text
        if text or not mark or (mark != "%" and following != ","):
            mark = following
        position = match.end()
    if (text := sentence[position:].strip()) or mark in ("~", "%"):
        yield mark, text or "…"


def kind(text: str, *, binds: bool, digits: bool, labelled: bool) -> str:
    """The letter of one clause; two where a label and its word stand without a mark between them ("Ly").

    Args:
        text: the clause in plain words.
        binds: a mark that binds, or the question's end, follows it.
        digits: 1 and 0 behind a label are words.
        labelled: it stands behind a label.

    The letters, in the order in which they are tried:
        y n      a word that answers: yes, no, ✅; m u: one that can be a label as well: met, fail; g: a foreign yes
        a        words that only introduce; t f: what affirms or denies an answer: absolutely, it does, it does not
        L #      a label: "verdict", "is the criterion met"; a number: "criterion 2"
        Y V N K  a statement: met, or not met, with a subject of its own (Y, N) or without
        W        the label of a reason; C X: of the criterion, and of other material that is not the judge's
        v        of what the response shows: which meets the criterion
        e q d    the judge cannot say; a report of what somebody says; a doubt: it bears on the verdict or hedges, or
                 denies in another language
        r R k    a reason; R about the response; k with a negation; w: only where in the response; l: "iron and copper"
        . s o    another remark, a short one, a fragment
    """
    bare = without_lead(text)
    value = word_value(text, digits=digits and labelled)
    value = word_value(bare, digits=digits and labelled) if value is None else value
    if value is not None:
        return _word_kind(bare or text, value)
    if re.fullmatch(_AFFIRMED, text):
        return "t"
    if re.fullmatch(_AS_WANTED, text):
        return "w"
    if not bare:
        return "a"
    if re.fullmatch(r"it (?:is|does|has|did|was) not(?: at all)?", bare):
        return "f"
    if _LABEL.fullmatch(bare) and (binds or statement(bare) is None):
        return "L"
    if re.fullmatch(_NUMBER, bare):
        return "#"
    for space in re.finditer(" ", bare[:120]):
        label, word = bare[: space.start()], bare[space.end() :]
        value = word_value(word, digits=digits) if len(word) < 40 else None
        if value is not None and (_LABEL.fullmatch(label) or re.fullmatch(rf"\D+{_NUMBER}|\D.*\d", label)):
            return "L" + _word_kind(word, value)
    if FOREIGN_UNMET.fullmatch(bare):
        return "n"
    if FOREIGN_NO.search(bare):
        return "d"
    if FOREIGN_YES.fullmatch(bare):
        return "g"
    parsed = statement(text)
    if parsed is not None:
        return {(True, True): "Y", (True, False): "V", (False, True): "N", (False, False): "K"}[parsed]
    if re.fullmatch(_REASON_LABEL, bare):
        return "W"
    if bare == QUOTATION and not binds:
        return "w"
    if _MATERIAL.fullmatch(bare):
        return "C" if re.search(_ABOUT, bare) else "X"
    return _remark_kind(bare, binds=binds)


def _word_kind(word: str, value: bool) -> str:
    bare = word.strip(" \t.!,;:\"'()¡¿")
    if bare in ANSWERS and bare[0] not in "yn":
        return "g" if value else "n"
    can_label = bare not in SIGNS and bare not in ("y", "n") and any(part in VERDICTS for part in bare.split())
    return ("m" if value else "u") if can_label else ("y" if value else "n")


def _remark_kind(bare: str, *, binds: bool) -> str:
    bearing = _BEARING.search(bare) is not None
    if _UNSURE.match(bare):
        return "e"
    if re.fullmatch(_BARE_REPORT, bare) or ((binds or bearing) and REPORT.search(bare)):
        return "q"
    if bearing or (len(bare.split()) <= 8 and HEDGE.search(bare)):
        return "d"
    if _WANTED.match(bare):
        return "o"
    if re.fullmatch(_WHERE, bare):
        return "w"
    if _ABSENT.fullmatch(bare):
        return "k"
    bare = re.sub(rf"\A{_WHERE} (?=it|the response|there)", "", bare)
    own = re.fullmatch(_OWN_REASON, bare) is not None
    if len(bare) <= LONGEST and (own or re.fullmatch(_REASON, bare)):
        return "k" if re.search(NEGATION, bare) else "R" if own else "r"
    words = 0 if re.match(_FRAGMENT, bare) else len(bare.split())
    if words and re.fullmatch(r"(?:[\w-]+ ){1,3}and(?: [\w-]+){1,3}", bare):
        return "l"
    return "." if words > 5 or re.fullmatch(_POLITE, bare) else "s" if words > 2 else "o"


def number_at(text: str) -> int | None:
    """The criterion's number with which a text begins."""
    match = re.match(rf"{_NUMBER}\s*(?=[.):(\s=–—-]|\Z)", text)
    return int(match[1]) if match else None


def introduces(line: str) -> bool:
    """True for a line that announces somebody else's words: "The response says:", "Response:"."""
    last = re.split(r"(?<=[.!?])\s", line.strip())[-1]
    label = last.rstrip(" :=")
    if not last or last.endswith((".", "!", "?")) or re.fullmatch(_OUTPUT, label):
        return False
    if _MATERIAL.fullmatch(label) is not None and not re.search(_ABOUT, label):
        return True
    presents = (
        r"\b(?:line|sentence|paragraph|words?|text|response|reply|rollout|ending|message)\b.{0,40} (?:is|are|was)\Z"
    )
    return re.search(presents, label) is not None or REPORT.search(last) is not None
