r"""Which strings of kinds (see clauses.py) are a verdict, and which others matter.

A sentence that has no form here gives no verdict. Of a yes all that may follow is listed; a no is not taken back by
prose. `|` ends a sentence that leaves its label or question open for the next one.
"""

from __future__ import annotations

import re

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
    "open": rf"{_FRONT}(?:(?:L|[mYuN](?=[?:]))[:,?|#]*|#[:|]*)+",  # labels alone: the next sentence has the verdict
    "material": rf"{_FRONT}(?:X:|C:(?![ymnu]\Z)).*",  # somebody else's words
    "answer to another question": r"(?![L#mY])[^|]*\?\|[yngtf].*",
    "bearing": r".*[yYVvmgnNKudeh].*|.*q.*\?.*",  # could be a verdict, or take one back
    "explaining": r"[rRkwtL#.,:>yYml]+",  # only says why, or where
    "following": r"[a#:,>rRk.tw][~a#:,>rRk.twl]*|W(?::[^dehq?%]*)?",  # leaves a yes before it as it is
    "following a foreign yes": r"[aRwt](?:[,:][Rwlg])*",
    "fragment": r"[a,>]*[oq](?:[,~:]o)*|%.*|.*\?",  # may take back even a firm one, later on
}
_SHAPES_RE = {name: re.compile(shape) for name, shape in _SHAPES.items()}


def verdict_of(string: str) -> tuple[bool, bool] | None:
    """(met, whether it is firm) of a sentence by its string; None where it has no verdict."""
    for form, firm in _FORMS:
        match = form.fullmatch(string)
        if match is not None:
            return match.groupdict().get("yes") is not None, firm
    return None


def has_shape(string: str, shape: str) -> bool:
    """True when a string has the `shape` of that name."""
    return _SHAPES_RE[shape].fullmatch(string) is not None


def last_word(string: str) -> bool | None:
    """The verdict at the end of a numbered line, behind the text of the criterion ("1: names zinc: met")."""
    match = re.fullmatch(r"#[:,]+[^dehq%?yYVvmgnNKutf]*[:,](?:(?P<yes>[ym])|(?P<no>[nu]))", string)
    return None if match is None else match["yes"] is not None
