r"""A small grammar for sentences about a criterion: subject, polarity and verb, with at most one negation.

    sentence   := embedding? statement adjunct?
    statement  := criterion be (not)? met | response (does not)? meet criterion | no part of the response meets …
    embedding  := "I (do not) believe that" | "it is false that" | "there is no evidence that" | …
    adjunct    := "by …" | "because …" | "in …", and nothing in it that takes back what was said

What the grammar does not parse says nothing, and two negations say nothing either: "there is no evidence that the
criterion is not met" is no yes. Left out: irony, and languages other than English.
"""

from __future__ import annotations

import re

LONGEST = 300  # characters of a clause; a longer one is no plain statement

_NOUN = r"(?:criterion|criteria|requirements?|conditions?|rubric(?: item)?)"
_DETERMINER = (
    r"(?:(?:all |all of |both |any of )?(?:the|this|these|those|its|your|my) |all |every |each |both |any |that )"
)
_RESPONSE = (
    r"(?:(?:(?:the|this|that|your|its|model's|student's|assistant's) )*"
    r"(?:response|answer|text|reply|rollout|output|submission|summary|solution|message|it|this|they)"
    r"(?: (?:above|given|here|as a whole|as written|itself))?)"
)
# "the criterion about zinc", "criterion 2", "the criterion of naming zinc"
_INSIDE = (
    rf"(?:(?!(?:{_NOUN}|not|never|no|nor|none|nothing|nobody|neither|without|is|are|was|were|has|have|does|do|did|"
    r"remains|stays|goes|if|unless|only|whether|degree|extent|part|partly|partially|half|almost|nearly|hardly|barely|"
    r"scarcely|seldom|rarely|less|little|few|un\w+|so|but)\b)[\w'-]+ ?){1,14}"
)
_CRITERION = (
    rf"(?:{_DETERMINER}?(?:said |stated |given |above )?{_NOUN}(?: \d{{1,3}})?"
    r"(?: (?:quotation|in question|above|given|stated|here|at hand))?"
    rf"(?: (?:about|of|on|for|that|regarding|concerning|to) {_INSIDE})?)"
)
_PRONOUN = r"(?:it|this|that|they|these|those)"
_OBJECT = rf"(?:{_CRITERION}|it)"
_NO_OBJECT = rf"(?:no|none of the|none of its|neither of the|not one|not a single) {_NOUN}"

FIRM = (
    r"also|clearly|fully|entirely|completely|wholly|indeed|definitely|certainly|actually|therefore|thus|hence|still|"
    r"simply|explicitly|successfully|plainly|obviously|adequately|sufficiently|correctly|now|directly|properly|evidently"
)
_FIRMLY = rf"(?:(?:{FIRM}) )*"
_WEAKLY = rf"(?:(?:{FIRM}|even|quite|really|yet|at all|in any way|ever|remotely|in fact|any longer) )*"
_NEVER = (
    r"(?:not at all|not|never|no longer|nowhere near|nowhere|in no (?:way|sense)|by no means|at no point|far from|"
    r"anything but)"
)
_BE = r"(?:is|are|was|were|has been|have been|had been|is being)"
_DO, _HAVE = r"(?:does|do|did)", r"(?:has|have|had)"
_MET, _UNMET = r"(?:met|satisfied|fulfill?ed)", r"(?:unmet|unsatisfied|unfulfill?ed)"
_MET_OR_NOT = rf"\b(?:(?P<met>{_MET})|(?P<unmet>{_UNMET}))"
_PASSED_OR_NOT = r"(?:(?P<met>passed|achieved|true)|(?P<unmet>failed|violated|missed|false))"
_MEET = (
    r"(?:meets?|met|meeting|satisf(?:y|ies|ied|ying)|fulfill?(?:s|ed|ing)?|compl(?:y|ies|ied|ying) with|"
    r"(?:adhere|conform)(?:s|d|ed|ing)? to|pass(?:es|ed|ing)?)"
)
_MISS = r"(?:fails?|failed|failing|miss(?:es|ed)?|violates?|violated|falls? short of|fell short of)"
_MEET_OR_MISS = rf"(?:(?P<met>{_MEET})|(?P<unmet>{_MISS}))"
_FAIL_TO = r"(?:fails?|failed|failing|neglects?) (?:at |in )?(?:to )?"
_WHICH = rf"(?:(?P<no_3>{_NO_OBJECT})|{_OBJECT})"
_TEXT = r"(?:response|answer|text|reply|rollout|output|it|this)"
_PLACE = rf"(?: (?:part|piece|place))?(?: (?:in|of|about|within|from) (?:the |this |that )?{_TEXT})?"
_NOTHING = (
    rf"(?:(?:nothing|none|nobody|no one){_PLACE}"
    rf"|(?:no|not one|not a single|neither) [a-z]+(?: [a-z]+)?{_PLACE})"
)
_AT_NO = r"(?:nowhere|never|(?:at|in|by|under|on) no (?:point|place|way|sense|means|stretch|circumstances|reading))"
_REST = r"(?P<rest>.*)"

# Each group named "no…" or "unmet" that matches is a negation.
_STATEMENTS = tuple(
    re.compile(pattern)
    for pattern in (
        # the criterion is (not) met · criterion not met · it has been met
        rf"(?:{_CRITERION}|{_PRONOUN} (?={_BE}\b)) ?(?:{_BE} )?{_FIRMLY}"
        rf"(?:(?P<no>{_NEVER}) (?:been |being )?{_WEAKLY})?{_MET_OR_NOT}{_REST}",
        rf"{_CRITERION} {_BE} {_FIRMLY}(?:(?P<no>{_NEVER}) {_WEAKLY})?{_PASSED_OR_NOT}{_REST}",
        # the criterion is yet to be met · has not been met · can not be considered met · remains unmet
        rf"(?:{_CRITERION}|{_PRONOUN}) (?P<no>(?:{_BE}|{_HAVE}) yet to be|{_HAVE} (?:not|never) {_WEAKLY}been|"
        r"can not (?:really )?be (?:considered|regarded as|called|said to be|deemed|counted as)) "
        rf"{_WEAKLY}{_MET_OR_NOT}{_REST}",
        rf"(?:{_CRITERION}|{_PRONOUN}) (?:remains|stays|goes|went|is left|was left) (?P<unmet>{_UNMET}){_REST}",
        # not met by the response
        rf"{_FIRMLY}(?:(?P<no>not) {_WEAKLY})?{_MET_OR_NOT}(?P<rest> (?:because|(?:by|in) (?:the|this) {_TEXT})\b.*)",
        # the criterion (does not) hold · so it fails · the response passes
        rf"(?:{_CRITERION}|{_RESPONSE}) {_FIRMLY}(?:{_DO} (?P<no>not) )?{_WEAKLY}"
        r"(?:(?P<met>holds?|pass(?:es|ed)?)|(?P<unmet>fails?|failed))"
        r"(?P<rest>(?: (?:because|since|given|due to|here|overall)\b.*)?)",
        # the response (does not) meet the criterion · fails to meet it · meets none of the criteria
        r"(?!(?:meet|satisfy|fulfill?|comply|adhere|conform|pass|fail|miss|[a-z]+ing) )"
        rf"(?:{_RESPONSE} )?{_FIRMLY}(?:(?:{_DO}|{_HAVE}|is|are|was) )?{_FIRMLY}"
        rf"(?:(?P<no>{_NEVER}|can not|could not|will not) {_WEAKLY})?(?P<no_2>{_FAIL_TO})?{_FIRMLY}"
        rf"{_MEET_OR_MISS} {_WHICH}{_REST}",
        # nothing in the response meets the criterion · no criterion is met
        rf"(?P<no>{_NOTHING}) {_FIRMLY}(?:{_DO} (?P<no_4>not) )?(?P<no_2>{_FAIL_TO})?{_MEET_OR_MISS} {_WHICH}{_REST}",
        rf"(?:there is|(?:i|we) (?:can )?(?:see|find|found)) (?P<no>{_NOTHING}|not an? [a-z]+{_PLACE}) (?:here )?that "
        rf"{_MEET_OR_MISS} {_WHICH}{_REST}",
        rf"(?P<no>no|none of the|not one|neither) {_NOUN} (?:{_BE} )?{_FIRMLY}(?P<no_2>not )?{_MET_OR_NOT}{_REST}",
        # no part of the criterion is met
        rf"(?P<no>(?:no|not one|not a single|neither|none|nothing)(?: [a-z]+)? (?:of|in|about) {_OBJECT}) {_BE} "
        rf"{_FIRMLY}{_MET_OR_NOT}{_REST}",
        # at no point does the response meet the criterion
        rf"(?P<no>{_AT_NO}) (?:{_DO}|has) {_RESPONSE} {_FIRMLY}(?P<met>{_MEET}) {_OBJECT}{_REST}",
        rf"(?P<no>{_AT_NO}) (?:is|are|was|were|has|have) {_CRITERION} ?(?:been )?{_FIRMLY}(?P<met>{_MET}){_REST}",
    )
)
_THAT = r"(?: that)?"
_AFFIRMED = re.compile(
    r"(?:(?:i|we) (?:can |would |must |do )*(?:think|believe|find|conclude|judge|say|hold|see|"
    rf"am (?:sure|certain|confident|convinced)){_THAT}"
    rf"|it is (?:clear|true|evident|obvious|certain|safe to say|fair to say|the case){_THAT}"
    rf"|(?:this|that|which|it) (?:means|shows|implies|follows){_THAT}"
    r"|(?:the|my) (?:final |overall )?(?:verdict|conclusion|judge?ment|decision|finding|answer) is that"
    rf"|there is no (?:doubt|question|denying){_THAT}) "
)
_GROUND = r"(?:evidence|indications?|signs?|proof|support|basis|reason to (?:believe|think|say|conclude))"
_DENIED = re.compile(
    r"(?:(?:i|we) (?:do|can|could|would|did) not "
    rf"(?:think|believe|find|see|agree|conclude|accept|consider|judge|feel){_THAT}"
    rf"|(?:i|we) would not (?:say|claim){_THAT}"
    r"|(?:i|we) (?:reject the claim|disagree|deny) that"
    r"|it is (?:simply |plainly |just )?(?:false|untrue|incorrect|wrong|not true|not the case|not so|not correct)"
    rf"(?: to (?:say|claim|think))?{_THAT}"
    rf"|(?:i|we) (?:see|find|found|have) no {_GROUND}{_THAT}"
    rf"|(?:there is |there are |with )?(?:no|not any|not a shred of) {_GROUND}(?: in (?:the|this) {_TEXT})?"
    r"(?: to (?:say|suggest|show|believe|think|conclude))?(?: that| of the fact that)?"
    rf"|nothing{_PLACE} (?:suggests|shows|indicates|implies|proves){_THAT}) "
)
_LEAD = re.compile(
    r"(?:(?:and|so|but|also|then|thus|hence|therefore|overall|finally|ultimately|consequently|accordingly|clearly|indeed|"
    r"well|ok|okay|sure|hmm+|right|now|in conclusion|in summary|in short|to conclude|to summari[sz]e|as a result|"
    r"for this reason|in my (?:view|opinion|judge?ment)|no problem|no doubt|without (?:a |any )?doubt|of course|"
    r"unfortunately|sadly|because of this|since|because|as|although|though|even though|while|which means|meaning|"
    r"i mean|however|nevertheless|nonetheless|here|wait|actually|pero|aber|mais|maar|mas|но|但|但是|でも|하지만|لكن)"
    r"(?:\s|\Z))+"
)
# What may follow a statement without a comma; and what, there or after a comma, takes it back or makes it depend.
_ADJUNCT = re.compile(
    r" (?:because|since|as (?:it|the|this|they)|given|due to|by|in|with|within|through|throughout|at|for|on|here|there|"
    r"thanks to|and|either|any(?:where|more)?|even (?:if|though)|quotation|fully|completely|entirely|indeed|"
    r"despite|overall|twice|explicitly|clearly)\b"
)
_TAKEN_BACK = re.compile(
    r"\b(?:if|unless|only|except|apart from|provided|assuming|in part|part(?:ly|ial|ially)?|in theory|in principle|"
    r"in name|at best|at most|on paper|reservations?|exceptions?|caveats?|errors?|mistakes?|flaws?|limitations?|"
    r"(?:by|in) (?:the |an? )?(?:reference|question|prompt|ideal|other|another)|"
    r"some extent|degree|claim(?:s|ed)?|says|said|"
    r"according to|alleged(?:ly)?|supposed(?:ly)?|so[- ]called|almost|nearly|otherwise|were|would|could|might|or|half|"
    r"mostly|lie|joke|kidding|sarcas\w+|irony|false|untrue|wrong|maybe|perhaps|possibly|arguably|questionable|doubtful|"
    r"few|little|less|far|seldom|rarely|barely|apparently|seemingly|probably|presumably|likely|reportedly|ostensibly|"
    r"potentially|sometimes|occasionally|wrongly|falsely|poorly|insufficiently|inadequately|superficially|slightly)\b"
)
_NEGATED = re.compile(r"\b(?:no|not|none|nothing|nobody|never|neither|nor|without|nowhere|hardly|barely|scarcely)\b")
_REASON = re.compile(r" (?:because|since|as|given|due to|even|despite|and)\b")


def lead_of(clause: str) -> str:
    """The words that only introduce a clause ("so", "in my view", "no doubt"), with the space after them."""
    match = _LEAD.match(clause)
    return match[0] if match else ""


def statement_value(clause: str) -> bool | None:
    """What one clause says of the criterion: True for met, False for not met, None when the grammar cannot tell."""
    clause = clause[len(lead_of(clause)) :].strip(" \t,") if len(clause) <= LONGEST else ""
    negations = 0
    for _ in range(3):
        embedding = _DENIED.match(clause) or _AFFIRMED.match(clause)
        if embedding is None:
            break
        negations += embedding.re is _DENIED
        clause = clause[embedding.end() :].lstrip()
    for pattern in _STATEMENTS:
        match = pattern.fullmatch(clause)
        if match is None:
            continue
        groups = match.groupdict()
        negations += sum(bool(groups.get(name)) for name in ("no", "no_2", "no_3", "no_4", "unmet"))
        if negations > 1:
            return None
        return negations == 0 if _stands(groups["rest"], negations == 0) else None
    return None


def has_subject(clause: str) -> bool:
    """True when a statement names what it is about, and does not lean on words before it ("meets the criterion")."""
    return re.match(rf"(?:{_CRITERION}|{_RESPONSE}|{_PRONOUN}|{_NOTHING})\b", clause) is not None or _embeds(clause)


def _embeds(clause: str) -> bool:
    return _DENIED.match(clause) is not None or _AFFIRMED.match(clause) is not None


def negates(text: str) -> bool:
    """True when a text holds a negation, which may reach over the mark that ends it."""
    return _NEGATED.search(text) is not None


def _stands(rest: str, met: bool) -> bool:
    """True when what follows a statement in its clause leaves it as it is."""
    rest = rest.rstrip()
    if not rest:
        return True
    if _ADJUNCT.match(rest) is None or (_TAKEN_BACK.search(rest) and not rest.startswith(" even ")):
        return False
    # "met in no part" takes a yes back; a reason may say what the response does not do.
    return not met or _REASON.match(rest) is not None or _NEGATED.search(rest) is None
