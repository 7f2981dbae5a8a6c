"""Reads the words around a judge's object: those that announce it as no verdict, and those that take it back.

A judge may explain at length before its object and behind it, so most words around one change nothing. Left out:
whether the explanation fits the verdict, but for plain statements about the criterion.
"""

from __future__ import annotations

import re

from catlite.rewards.verdicts.clauses import HEDGE, kinds
from catlite.rewards.verdicts.forms import has_shape, verdict_of
from catlite.rewards.verdicts.statements import NEGATION, TAKES_BACK, WEAKENED
from catlite.rewards.verdicts.words import plain

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
    r"on second thought|i was wrong|my mistake|take (?:that|this|it) back|change my mind|the opposite)\b"
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


def denies_what_follows(before: str) -> bool:
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
