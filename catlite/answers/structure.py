r"""Take a clean answer apart: lists, names before an equals sign, relations, intervals and unions, matrices, choices.

Left out: the meaning of the parts, which deciding.py compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from catlite.answers.units import CLOSE, OPEN

_OPENING, _CLOSING = "([{⦃", ")]}⦄"
RELATIONS = "=<>≤≥≠≈→∈"
_SIGNS = re.compile(r"\\(pm|mp)(?![A-Za-z]) ?")
_SUBSCRIPT = re.compile(r"_ ?(?:\{[^{}]*\}|\\?[A-Za-z]+|\d+)")
_ARGUMENT = re.compile(r"(?<=[A-Za-z}'])(?:\^\{?-1\}?)? ?(?:\([^()]*\)|\[[^\[\]]*\])")
_MARKED = re.compile(rf"{OPEN}[^{CLOSE}]*{CLOSE}")
_COMMANDS = re.compile(
    r"\\(?:d?frac|sqrt|pi|times|cdot|log|ln|lg|exp|sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|sinh|cosh|tanh|binom"
    r"|overline|pm|mp|gcd|lcm|min|max|det|lfloor|rfloor|lceil|rceil|by|ldots|cdots|dots|begin|end|bmod|pmod|mod|circ)"
    r"(?![A-Za-z])(?:\{(?:[pbBvV]?matrix|array|smallmatrix)\})?"
)
_LETTERS = re.compile(r"\\[A-Za-z]+|[A-Za-z]")
_MATRIX = re.compile(
    r"^[(\[|]? ?\\begin\{(?P<kind>[pbBvV]?matrix|smallmatrix|array)\}(?:\{[^{}]*\})?(?P<rows>.*)"
    r"\\end\{(?P=kind)\} ?[)\]|]?$",
    re.DOTALL,
)
_CHOICE = re.compile(
    rf"^{OPEN}? ?(?:(?:[Oo]ption|[Cc]hoice|[Aa]nswer) )?"
    rf"(?:[(\[]([A-Ja-j])[)\]]|([A-J])(?=[.:)]| - (?:[A-Z][a-z]{{2}}|[a-z]{{4}}))|([a-j])(?=\)))(?:[.:)]| -)?"
    rf" ?{CLOSE}? ?[.:]? ?(.*)$",
    re.DOTALL,
)
_LONE = re.compile(r"^(?:(?:option|choice|answer) )?([A-J])$", re.IGNORECASE)
_COLON = re.compile(r"^([a-z]|[A-Za-z]{2,20}): (?=.)")
_TAIL = re.compile(
    rf"^(.+?)(?: ?{OPEN} ?(?:for|where|with|if)(?![A-Za-z])|,? (?:for|where) |, ?(?=[a-z] ?∈ ?\\mathbb))(.*)$",
    re.DOTALL,
)
_BUILDER = re.compile(r"^⦃ ?[A-Za-z](?: ?∈ ?ℝ)? ?[:|] ?([^⦃]+?) ?⦄$")  # {x : x > 3}
_FUNCTION = re.compile(r"^[a-zA-Z]'*(?:_\{?\w+\}?)?(?:\^\{?-1\}?)?\([A-Za-z](?:, ?[A-Za-z])*\)$")


def cut(text: str, separators: str) -> list[str]:
    """Split a text at the separators that stand outside all brackets."""
    edges = [-1, *_outside(text, separators), len(text)]
    return [text[start + 1 : end].strip() for start, end in pairwise(edges)]


def _outside(text: str, characters: str) -> Iterator[int]:
    """The places of `characters` that stand outside all brackets."""
    depth = 0
    for place, character in enumerate(text):
        depth += (character in _OPENING) - (character in _CLOSING)
        if depth == 0 and character in characters:
            yield place


def elements(text: str) -> tuple[str, list[str]]:
    r"""(brackets, elements) of a list, tuple, interval or set: "(1,2]" is "(]" and two, "1,2" is "" and two.

    A text that is not a list is "" and itself; a single element loses its round or curly brackets, unless it is a list
    itself.
    """
    for _ in range(8):
        kind, members = _apart(text)
        if len(members) != 1 or kind not in ("()", "{}", "[]") or (kind == "[]" and not _LONE.match(members[0])):
            break
        if len(_apart(members[0])[1]) > 1 or (kind == "{}" and members[0] == "∅"):
            return "nested", members
        kind, text = "", members[0]
    return kind, members


def _apart(text: str) -> tuple[str, list[str]]:
    if "\\begin" in text or not text:
        return "", [text]
    wrapped = text[0] in _OPENING and text[-1] in _CLOSING and len(text) > 1
    depth = 0
    for character in text[:-1]:
        depth += (character in _OPENING) - (character in _CLOSING)
        wrapped = wrapped and not (depth <= 0 and character in _CLOSING)
    inside = text[1:-1].strip() if wrapped else text
    pieces = [piece for piece in cut(inside, ",;") if piece]
    if not wrapped:
        return "", pieces if len(pieces) > 1 else [text]
    brackets = (text[0] + text[-1]).replace("⦃", "{").replace("⦄", "}")
    return brackets, pieces or [inside]


def both_signs(element: str) -> list[str]:
    r"""Both values of an element with \pm; else the element."""
    if not _SIGNS.search(element):
        return [element]
    values = []
    for upper in ("pm", "mp"):
        pieces = _SIGNS.split(element)  # text, sign, text, sign, text
        pieces[1::2] = ["+" if sign == upper else "-" for sign in pieces[1::2]]
        values.append("".join(pieces).removeprefix("+"))
    return values


class Relation(NamedTuple):
    """The terms of a chain of relations and the signs between them."""

    terms: list[str]
    signs: str


def relation(text: str) -> Relation | None:
    """Take "a < b = c" apart; None when no relation stands outside brackets."""
    terms = cut(text, RELATIONS)
    if len(terms) < 2:
        return None
    return Relation(terms, "".join(text[place] for place in _outside(text, RELATIONS)))


def is_name(term: str) -> bool:
    """Tell whether a term names a value: letters, functions of anything, sums and quotients of letters; no numbers."""
    bare = _MARKED.sub("x", term)
    for _ in range(3):
        bare = _ARGUMENT.sub("", _SUBSCRIPT.sub("", bare))
    return not re.search(r"[\d^,]", bare) and re.search(r"[A-Za-z]", bare) is not None


def is_function(name: str) -> bool:
    """Tell whether a name is a function of variables, such as f(x)."""
    return _FUNCTION.match(name.replace(" ", "")) is not None


def is_closed(text: str) -> bool:
    """Tell whether an expression has no variable in it: only numbers, functions, e, i and pi."""
    rest = _COMMANDS.sub(" ", _MARKED.sub(" ", text))
    return all(letter in ("e", "i") for letter in _LETTERS.findall(rest))


def named(text: str) -> tuple[str, str] | None:
    r"""(name, value) of "x=5", "f(3)=5", "m+n=256+37=293", "5=x", "x: 5" or "x∈[1,2]"; None when nothing is named."""
    colon = _COLON.match(text)
    if colon is not None:
        return colon[1], text[colon.end() :]
    chain = relation(text)
    if chain is None or not all(chain.terms) or not set(chain.signs) <= set("=≈→∈"):
        return None
    first, last = chain.terms[0], chain.terms[-1]
    if "∈" in chain.signs:
        return (first, last) if len(chain.terms) == 2 and is_name(first) else None
    tuple_of_names = re.fullmatch(r"\([A-Za-z](?:, ?[A-Za-z])*\)", first) is not None
    if is_name(first) or tuple_of_names:
        if len(chain.terms) == 2 or is_closed(last):
            return first, last
        return None
    if len(chain.terms) == 2 and re.fullmatch(r"\\?[A-Za-z]+(?:_\w)?", last) and is_closed(first) and is_name(last):
        return last, first
    return None


def matrix(text: str) -> tuple[str, list[list[str]]] | None:
    """(kind, rows of cells) of a matrix; None for anything else. A determinant is another kind."""
    match = _MATRIX.match(text)
    if match is None or "\\begin" in match["rows"]:
        return None
    rows = [row.strip() for row in re.split(r"\\\\(?: ?\\hline)?", match["rows"])]
    kind = "determinant" if match["kind"][0] in "vV" or text[0] == "|" else "matrix"
    return kind, [[cell.strip() for cell in row.split("&")] for row in rows if row]


def choice(text: str) -> tuple[str, str] | None:
    """(letter, text behind it) of "(E) a trait", "E: a trait", "b)" or a lone letter; None for anything else."""
    lone = _LONE.match(text)
    if lone is not None:
        return lone[1].upper(), ""
    match = _CHOICE.match(text)
    if match is None:
        return None
    return (match[1] or match[2] or match[3]).upper(), match[4].strip()


def without_condition(text: str) -> tuple[str, str]:
    """(statement, condition) of "3k for k in N"; the condition is empty where there is none."""
    match = _TAIL.match(text)
    return (text, "") if match is None else (match[1].strip(), match[2].strip(OPEN + CLOSE + " "))


class Interval(NamedTuple):
    """An interval's ends and whether each belongs to it."""

    low: str
    closed_low: bool
    high: str
    closed_high: bool


class Region(NamedTuple):
    """A union of intervals of one variable; `certain` when it cannot be read as points."""

    name: str
    intervals: list[Interval]
    certain: bool


def region(text: str) -> Region | None:
    """Read an inequality, an interval, or a union of them; None for anything else."""
    alternatives = cut(text, "∨")
    if len(alternatives) > 1:
        return _region_of_alternatives([region(part) for part in alternatives])
    builder = _BUILDER.match(text)
    if builder is not None:
        return region(builder[1])
    chain = relation(text)
    if chain is not None:
        return _inequality(chain)
    members = cut(text, "∪")
    if len(members) > 1:
        return _union([region(part) for part in members])
    removed = cut(text, "∖")
    if removed[0] == "ℝ":
        points = elements(removed[1])[1] if len(removed) == 2 else []
        return Region("", _around(points), True)
    return _interval(text)


def _region_of_alternatives(regions: list[Region | None]) -> Region | None:
    """Join what stands on both sides of an "or": "x<1 or x>2"; all of it has to be about one variable."""
    known = [part for part in regions if part is not None and part.certain]
    names = {part.name for part in known}
    if len(known) < len(regions) or len(names) > 1:
        return None
    return Region(names.pop(), [interval for part in known for interval in part.intervals], True)


def _union(regions: list[Region | None]) -> Region | None:
    known = [part for part in regions if part is not None]
    if len(known) < len(regions):
        return None
    return Region("", [interval for part in known for interval in part.intervals], True)


def _interval(text: str) -> Region | None:
    """Read "[1,2)"; (1,2) of whole numbers may be a point."""
    if len(text) < 2 or text[0] not in "([" or text[-1] not in ")]":
        return None
    kind, ends = _apart(text)
    if len(ends) != 2 or kind not in ("()", "(]", "[)", "[]"):
        return None
    whole = all(re.fullmatch(r"-?\d+", end) for end in ends)
    certain = kind != "()" or "∞" in text or not whole
    return Region("", [Interval(ends[0], kind[0] == "[", ends[1], kind[1] == "]")], certain)


def _around(points: list[str]) -> list[Interval]:
    edges = ["-∞", *points, "∞"]
    return [Interval(low, False, high, False) for low, high in pairwise(edges)]


def _inequality(chain: Relation) -> Region | None:
    terms, signs = chain
    if signs == "∈" and is_name(terms[0]):
        inner = region(terms[1])
        return None if inner is None else Region(terms[0], inner.intervals, True)
    if len(terms) == 2 and signs in ("<", ">", "≤", "≥", "≠"):
        left, right = terms
        if not is_name(left) and is_name(right):
            left, right, signs = right, left, signs.translate(str.maketrans("<>≤≥", "><≥≤"))
        if not is_name(left) or not is_closed(right):
            return None
        if signs == "≠":
            return Region(left, _around([right]), True)
        if signs in "<≤":
            return Region(left, [Interval("-∞", False, right, signs == "≤")], True)
        return Region(left, [Interval(right, signs == "≥", "∞", False)], True)
    if len(terms) == 3 and is_name(terms[1]):
        low, name, high = terms
        if set(signs) <= set(">≥"):
            low, high, signs = high, low, signs[::-1].translate(str.maketrans(">≥", "<≤"))
        if set(signs) <= set("<≤"):
            return Region(name, [Interval(low, signs[0] == "≤", high, signs[1] == "≤")], True)
    return None
