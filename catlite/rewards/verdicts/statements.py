r"""A small grammar for statements about a criterion ("The response does not meet the criterion, since …").

A clause is cut into tokens, each written as one letter, and the letters have to match one of a few forms. Negations
are counted: without one the statement says met, with one not met, and two say nothing ("there is no evidence that the
criterion is not met" is not a yes). After the form only an adjunct may follow, such as a place in the response or a
reason. Left out: irony, and languages other than English.
"""

from __future__ import annotations

import re

LONGEST = 300  # characters of a clause; a longer one is not a plain statement

NOUN = r"(?:criterion|criteria|requirements?|conditions?|rubric(?: item)?)"
NEGATION = r"\b(?:no|not|none|nothing|nobody|never|neither|nor|without|nowhere|hardly|barely|scarcely)\b"
# Words that make less of a statement, or move it out of this world.
WEAKENED = (
    r"\b(?:in part|part(?:ly|ially|ial)|in theory|in principle|in name|at best|at most|on paper|"
    r"alternat(?:e|ive) \w+|parallel \w+|another \w+|imaginary|fantasy|imagination|dreams?|universe|pigs?|opposite day|"
    r"to (?:some extent|a degree)|alleged(?:ly)?|supposed(?:ly)?|so[- ]called|almost|nearly|half|mostly|a (?:lie|joke)|"
    r"kidding|joking|sarcas\w+|iron(?:y|ic\w*)|maybe|perhaps|possibly|arguably|questionabl[ey]|doubtful|seldom|rarely|"
    r"apparently|seemingly|probably|presumably|likely|reportedly|ostensibly|potentially|sometimes|occasionally|wrongly|"
    r"falsely|poorly|insufficiently|inadequately|superficially|slightly|purportedly)\b"
)
# These words take a statement back when they follow it, or say that somebody else made it.
TAKES_BACK = (
    rf"{WEAKENED}|\b(?:if|unless|only|except|apart from|provided|assuming|part|reservations?|exceptions?|caveats?|"
    r"errors?|mistakes?|flaws?|limitations?|reference|prompt|ideal|others?|worlds?|reality|timeline|degree|claim(?:s|"
    r"ed|ing)?|zero|says|said|"
    r"according to|otherwise|were|would|could|might|or|false|untrue|wrong|few|little|less|far)\b"
)
_TEXT = r"(?:response|answer|text|reply|rollout|output|submission|summary|solution)"
_PLACE = (
    rf"(?: (?:part|piece|place|line|sentence))?(?: (?:in|of|about|within|from) (?:(?:the |this |that )?{_TEXT}|it))?"
)
_WORD = (
    r"(?!(?:longer|of|in|about|from|within|that|meets?|met|satisf\w+|fulfil\w+|is|are|does|has|fails?|way|sense|"
    r"means)\b)"
    r"[a-z]+"
)
_NOTHING = (
    rf"(?:(?:nothing|none|nobody|no one){_PLACE}|(?:no|not one|not a single|neither) {_WORD}(?: {_WORD})?{_PLACE})"
)
_DETERMINER = (
    r"(?:(?:all |all of |both |any of )?(?:the|this|these|those|its|your|my) |all |every |each |both |any |that )"
)
# "the criterion about zinc", "the criterion of naming zinc": words that say nothing of whether it is met.
_ABOUT = (
    rf"(?:(?!(?:{NOUN}|is|are|was|were|has|have|does|do|did|remains|stays|goes|whether|extent|un\w+|so|but|because|"
    rf"reject\w*|refus\w*|fail\w*|exclu\w*|dismiss\w*|disqualif\w*|remov\w*|"
    rf"since)\b|{NEGATION}|{TAKES_BACK})[\w'-]+ ?){{1,14}}"
)
_CRITERION = (
    rf"{_DETERMINER}?(?:said |stated |given |above )?{NOUN}(?: \d{{1,3}})?"
    r"(?: (?:quotation|in question|above|given|stated|here|at hand))?"
    rf"(?: (?:about|of|that|regarding|concerning|(?:for|on)(?= \w+ing)|to(?! be)) {_ABOUT})?"
)
_RESPONSE = (
    rf"(?:(?:the|this|that|your|its|model's|student's|assistant's|given|provided) )*{_TEXT}"
    r"(?: (?:above|given|here|as a whole|as written|itself))?"
)
_THINK = r"(?:think|believe|find|see|conclude|consider|judge|deem|feel|agree|accept)"
_GROUND = r"(?:evidence|indications?|signs?|proof|support|basis|reason to (?:believe|think|say|conclude))"
_NO_GROUND = (
    rf"(?:(?:there is |there are |with )?(?:no|not any|not a shred of)|(?:i|we) (?:see|find|found|have) no) {_GROUND}"
    rf"(?: in (?:the|this) {_TEXT})?(?: to (?:say|suggest|show|believe|think|conclude))?(?: that| of the fact that)?"
)

# Letter, words. The first that matches is the token; a capital or small letter means nothing of its own.
_TOKENS = {
    "E": (  # I believe that · it is clear that · the verdict is that · there is no doubt that
        rf"(?:i|we) (?:can |would |must |do )*(?:{_THINK}|say|hold|am (?:sure|certain|confident|convinced))(?: that)?"
        r"|it is (?:clear|true|evident|obvious|certain|safe to say|fair to say|the case)(?: that)?"
        r"|(?:this|that|which|it) (?:means|shows|implies|follows)(?: that)?"
        r"|(?:the|my) (?:final |overall )?(?:verdict|conclusion|judge?ment|decision|finding|answer) is that"
        r"|there is no (?:doubt|question|denying)(?: that)?"
    ),
    "D": (  # I do not believe that · it is false that · there is no evidence that
        rf"(?:i|we) (?:do|can|could|would|did) not {_THINK}(?: that)?|(?:i|we) would not (?:say|claim)(?: that)?"
        r"|(?:i|we) (?:reject the claim|disagree|deny) that"
        r"|it is (?:simply |plainly |just )?(?:false|untrue|incorrect|wrong|not true|not the case|not so|not correct)"
        rf"(?: to (?:say|claim|think))?(?: that)?|{_NO_GROUND}"
        rf"|nothing{_PLACE} (?:suggests|shows|indicates|implies|proves)(?: that)?"
    ),
    "O": rf"(?:no|none of (?:the|its)|neither(?: of the)?|not (?:one|a single)|not (?:all|every)(?: of the)?) {NOUN}",
    "Z": (  # nothing in it · no part of the criterion · there is not a line that
        rf"(?:no|not one|not a single|neither|none|nothing)(?: [a-z]+)? (?:of|in|about) (?:{_CRITERION}|it)"
        rf"|(?:(?:there is|(?:i|we) (?:can )?(?:see|find|found)) )(?:{_NOTHING}|not an? [a-z]+{_PLACE})(?: here)? that"
        rf"|{_NOTHING}(?! that)"
    ),
    "n": (
        r"(?:can not|could not) (?:really )?be (?:considered|regarded as|called|said to be|deemed|counted as)|yet to be"
        r"|(?:can|could|will) not|not(?: at all)?|never|no longer|nowhere near|nowhere|by no means|far from"
        r"|anything but|(?:at|in|by|under|on) no (?:point|place|way|sense|means|stretch|circumstances|reading)"
    ),
    "f": r"(?:fails?|failed|failing|neglects?) (?:at |in )?to",
    "C": _CRITERION,
    "S": _RESPONSE,
    "i": r"it",
    "j": r"this|that|they|these|those",
    "b": r"is|are|was|were|been|being|has|have|had|does|do|did|remains|stays|goes|went|left",
    "M": r"met|satisfied|fulfill?ed",
    "U": r"unmet|unsatisfied|unfulfill?ed",
    "V": r"meets|satisfies|fulfill?s|compl(?:ies|ied) with|(?:adhere|conform)(?:s|d|ed) to",
    "v": r"(?:meet|satisfy|fulfill?|comply with|(?:adhere|conform) to|pass|(?:meet|satisfy|fulfill)ing)",
    "P": r"pass(?:es|ed)|holds?",
    "F": r"fails?|failed|failing|miss(?:es|ed)?|violates?|violated|falls? short of|fell short of",
    "t": r"true|achieved",
    "u": r"false",
    "w": r"in any way|even|quite|really|yet|ever|remotely|in fact|any longer",
    "o": r"(?:to be|as)(?= (?:\w+ )?(?:un)?(?:met|satisfied|fulfill?ed)\b)",
    "_": (  # firm words, which change nothing
        r"(?:can be )?(?:considered|deemed|judged)(?: to be)?|found to be|also|clearly|fully|entirely|completely|"
        r"wholly|indeed|definitely|certainly|actually|therefore|thus|hence|still|"
        r"simply|explicitly|successfully|plainly|obviously|adequately|sufficiently|correctly|now|directly|properly|"
        r"evidently"
    ),
}  # fmt: skip
_TOKEN = re.compile("|".join(f"(?P<{letter}>(?:{words})\\b)" for letter, words in _TOKENS.items()) + r"|\s+")
_NEGATING = "DOZnfFUu"
_NOT = "(?:nw*)?"
_FORMS = re.compile(
    "[ED]{0,3}(?:"
    f"(?P<subject>(?:Cb*|[ij]b+){_NOT}b*w*[MU]"  # the criterion is not met
    f"|(?<=[ED])C{_NOT}o{_NOT}[MU]"  # I find the criterion to be met
    f"|Cb+{_NOT}[PFtu]"  # the criterion is true
    f"|[CSij](?:(?:bnw*)?[PF]|bnw*v)"  # it fails · the criterion does not hold
    f"|[Sij]b*{_NOT}f?(?:[VMPF]|(?<=[bnfw])v)[COi]"  # the response does not meet the criterion
    f"|Zb*{_NOT}f?[VMPFv][COi]|[ZO]b*{_NOT}[MU]"  # nothing meets it · no criterion is met
    f"|nb[Sij]b*[Mv][Ci]|nbCb*M)"  # at no point does it meet the criterion
    f"|b*{_NOT}f?(?:[VMPF]|(?<=[bnfw])v)[COi]"  # does not meet the criterion
    f"|(?:{_NOT}M|U)(?=A)|bnw*M"  # not met by the response · is not met
    ")A?|[PF]"  # so it passes
)
_REASON = (
    r"(?:because|since|given|due to|thanks to|even though|"
    r"as (?!if|far|long|though|much|well|such|claim|often|soon|likely|good)\w+)\b.*"
)
_PART = (
    r"(?:(?:sub)?sections?|lines?|sentences?|paragraphs?|steps?|parts?|items?|bullets?|points?|opening|ending|end|"
    r"beginning|start|words?|phrases?|quotation|places?)"
)
# Only its own places: "in the expected answer" and "by a forged line" are none of the response's.
_ORDINAL = r"first|second|third|fourth|fifth|last|final|opening|closing|whole|entire"
_PLACED = (
    rf"(?:(?:the|its|this|that|these|those|both|all|each|every|several|a few|an?|one|two|three|next|{_ORDINAL}|of)\s)*"
)
_OWN = rf"(?:(?:the|its|this|that|your|{_ORDINAL})\s)*"
_WHERE = (
    rf"(?:in|on|at|within|through|throughout|by|with|from|of) (?:{_PLACED}{_PART}|{_OWN}{_TEXT})(?: (?:\d+|quotation))*"
)
_FIRM_END = r"here|overall|fully|completely|entirely|indeed|explicitly|clearly|twice|with flying colou?rs|as written"
_ADJUNCTS = {
    True: re.compile(rf" (?:(?:{_WHERE}|{_FIRM_END}|by \w+ing [^:]+)(?: (?:{_WHERE}|{_REASON}))*|{_REASON})"),
    False: re.compile(
        r" (?:because|since|as (?:it|the|this|they)|given|due to|by|in|with|within|through|throughout|at|for|on|here|"
        r"there|thanks to|and|either|any(?:where|more)?|even (?:if|though)|quotation|fully|completely|entirely|indeed|"
        r"despite|overall|twice|explicitly|clearly)\b.*"
    ),
}
_LEAD = re.compile(
    r"(?:(?:"
    rf"(?:after|on|upon|having) (?:(?:carefully|closely|thoroughly|again) )?(?:review|read|check|examin|analy[sz]|"
    rf"evaluat|assess|consider)(?:ed|ing|)"
    rf" (?:the|this) (?:{NOUN}|{_TEXT})(?: carefully| closely| thoroughly| again)?(?=\Z)|"
    r"and|so|but|also|then|thus|hence|therefore|overall|finally|ultimately|consequently|accordingly|clearly|indeed|"
    r"specifically|in particular|well|ok|okay|sure|hmm+|right|now|in conclusion|in summary|in short|to conclude|"
    r"to summari[sz]e|as a result|for this reason|in my (?:view|opinion|judge?ment)|on balance|all in all|"
    r"undoubtedly|unquestionably|"
    r"(?:after|on|upon) (?:\w+ )?(?:review|reading|reflection|consideration)|based on (?:the|this|my) \w+|"
    r"(?:given|looking at) (?:the|this) \w+|no problem|no doubt|without (?:a |any )?doubt|of course|sadly|"
    r"unfortunately|because of this|since|because|as|although|though|even though|while|which means|meaning|i mean|"
    r"however|nevertheless|nonetheless|here|wait|actually)(?:\s|\Z))+"
)


def without_lead(clause: str) -> str:
    """Drop the words that only introduce a clause ("so", "in my view", "no doubt")."""
    return clause[match.end() :].lstrip(" \t,") if (match := _LEAD.match(clause)) else clause


def statement(clause: str) -> tuple[bool, bool] | None:
    """Parse one clause as a statement about the criterion.

    Returns:
        (met, whether the clause has a subject of its own), or None where the grammar cannot tell.
    """
    clause = without_lead(clause).strip(" \t,") if len(clause) <= LONGEST else ""
    letters, position = "", 0
    while position < len(clause) and (match := _TOKEN.match(clause, position)) and match.end() > position:
        letters += (match.lastgroup or "").replace("_", "")
        position = match.end()
    negations = sum(letters.count(letter) for letter in _NEGATING)
    rest = clause[position:]
    if negations > 1 or "EA" in letters:
        return None
    met = negations == 0
    if rest:
        letters += "A"
        taken_back = re.search(TAKES_BACK, rest) is not None and not rest.startswith("even ")
        # A reason may say what the response does not do.
        denied = met and re.match(_REASON, rest) is None and re.search(NEGATION, rest) is not None
        if taken_back or denied or not _ADJUNCTS[met].fullmatch(f" {rest}"):
            return None
    form = _FORMS.fullmatch(letters)
    return None if form is None else (met, form["subject"] is not None or letters[0] in "ED")


def statement_value(clause: str) -> bool | None:
    """What one clause says of the criterion: True for met, False for not met, None when the grammar cannot tell."""
    parsed = statement(clause)
    return None if parsed is None else parsed[0]
