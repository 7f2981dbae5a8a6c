r"""Decide a pair of answers, from the outside in: choices, lists, names, regions, quantities, expressions.

docs/answers.md states the policy that this code follows. `ask` is the child process: ask("same", a, b) compares two
expressions, ask("multiple", a, b) tells whether two equations brought to zero differ by a factor, and ask("sign", a, b)
by a sign at most. Left out: guesses; a pair that two careful readers may read in two ways is None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from catlite.answers import structure
from catlite.answers.expressions import Ask, Relations, every, same_equation, same_quantity
from catlite.answers.normalize import clean, tight
from catlite.answers.numbers import number, same_number
from catlite.answers.units import quantity

_PLAIN = re.compile(r"-?(?:\d+(?:\.\d+)?|\d+/\d+|\\frac\{\d+\}\{\d+\})")
_BRACKETED = re.compile(r"[(\[⦃{]")
_ABSOLUTE = re.compile(r"\| ?[xy] ?\|")
_COLLECTION = re.compile(r"[∪∅ℝ∖⦃]|\\mathbb")


def decide(a: str, b: str, ask: Ask) -> bool | None:
    """True when two answers say the same, False when not, None when that cannot be told or time ran out."""
    if _PLAIN.fullmatch(a) and _PLAIN.fullmatch(b):  # most answers: nothing to clean
        p, q = number(a), number(b)
        if p and q:
            return same_number(p, q)
    try:
        return _same(clean(a), clean(b), ask)
    except RecursionError:  # lists in lists in lists
        return None


def _same(a: str, b: str, ask: Ask) -> bool | None:
    if tight(a) == tight(b):
        return True
    (statement, condition), (other, other_condition) = structure.without_condition(a), structure.without_condition(b)
    if bool(condition) != bool(other_condition):
        return _same(statement, other, ask)
    choices = structure.choice(a), structure.choice(b)
    if choices[0] and choices[1] and not (a.isalpha() and b.isalpha()):
        (letter, text), (other_letter, other_text) = choices[0], choices[1]
        if letter != other_letter:
            return False
        return True if not (text and other_text) or tight(text) == tight(other_text) else None
    grids = structure.matrix(a), structure.matrix(b)
    if grids[0] and grids[1]:
        return _same_grid(grids[0], grids[1], ask)
    if grids[0] or grids[1]:
        rest = b if grids[0] else a
        return ask("same", a, b) if "\\begin" in rest else False
    memberships = _member_of(a), _member_of(b)
    if bool(memberships[0]) != bool(memberships[1]) and _BRACKETED.match(a if memberships[1] else b):
        return _same(memberships[0] or a, memberships[1] or b, ask)
    left, right = structure.region(a), structure.region(b)
    if left and right and (left.certain or right.certain):
        return _same_region(left, right, ask)
    return _same_list(_read_listing(a), _read_listing(b), ask)


def _member_of(text: str) -> str | None:
    """The set of "x in set"; None for anything else."""
    chain = structure.relation(text)
    return chain.terms[1] if chain and chain.signs == "∈" and structure.is_name(chain.terms[0]) else None


def _same_grid(a: tuple[str, list[list[str]]], b: tuple[str, list[list[str]]], ask: Ask) -> bool | None:
    if a[0] != b[0] or [len(row) for row in a[1]] != [len(row) for row in b[1]]:
        return False
    pairs = zip((cell for row in a[1] for cell in row), (cell for row in b[1] for cell in row), strict=True)
    return every([_same(x, y, ask) for x, y in pairs])


def _same_region(a: structure.Region, b: structure.Region, ask: Ask) -> bool | None:
    if (a.name and b.name and tight(a.name) != tight(b.name)) or len(a.intervals) != len(b.intervals):
        return False
    verdicts: list[bool | None] = []
    for x, y in zip(sorted(a.intervals, key=_place), sorted(b.intervals, key=_place), strict=True):
        if (x.closed_low, x.closed_high) != (y.closed_low, y.closed_high):
            return False
        verdicts += [_same(x.low, y.low, ask), _same(x.high, y.high, ask)]
    same = every(verdicts)
    # (1,2) may be a point: beside 1<x<2 it is undecided.
    doubtful = not (a.certain and b.certain) and not (a.name and b.name)
    return None if same and doubtful else same


def _place(interval: structure.Interval) -> float:
    if tight(interval.low) == "-∞":
        return -float("inf")
    value = number(tight(interval.low))
    if value is None:
        return 0.0
    return float(value.value) if abs(value.value) < 10**300 else 0.0


@dataclass(frozen=True)
class _Listing:
    """An answer as a list: its brackets, its elements, their names, and what stands on both sides of an "or"."""

    text: str
    kind: str  # the brackets; "nested" for a list in a list, "hedge" for an "or" between values
    values: list[str]
    names: tuple[str, ...] = ()
    alternatives: list[str] = field(default_factory=list)

    @property
    def own_names(self) -> bool:
        """Whether its elements are values of different names."""
        return len(set(self.names)) > 1


def _read_listing(text: str) -> _Listing:
    alternatives = structure.cut(text, "∨")
    if len(alternatives) == 1:
        return _listing_of(text, *structure.elements(text))
    pairs = [structure.named(alternative) for alternative in alternatives]
    names = tuple(dict.fromkeys(tight(pair[0]) for pair in pairs if pair))
    listing = _listing_of(text, "", alternatives) if all(pairs) else _Listing(text, "hedge", [text], names)
    if len(names) <= 1:  # "x = 5 or 6", "x = 5 or x = 6"
        alternatives = [pair[1] if pair else part for pair, part in zip(pairs, alternatives, strict=True)]
    return replace(listing, alternatives=alternatives)


def _listing_of(text: str, kind: str, parts: list[str]) -> _Listing:
    """Make the listing of a text from its brackets and parts; ± makes two elements of one in a set or a bare list."""
    kind, values, names = _set_names_apart(kind, parts)
    if kind in ("", "{}"):
        signed = [structure.both_signs(value) for value in values]
        names = tuple(name for name, both in zip(names, signed, strict=False) for _ in both)
        values = [value for both in signed for value in both]
    return _Listing(text, kind, values, names)


def _set_names_apart(kind: str, parts: list[str]) -> tuple[str, list[str], tuple[str, ...]]:
    """Split (brackets, parts) into (brackets, values, names), where the parts are named at all."""
    pairs = [pair for part in parts if (pair := structure.named(part))]
    first = structure.named(parts[0])
    if first and len(parts) == 1:
        name, value = first
        inner_kind, inner = structure.elements(value)
        if len(inner) > 1 or len(structure.both_signs(value)) > 1:  # (x, y) = (1, 2), x = ±1
            names = tuple(structure.elements(name)[1])
            return inner_kind, inner, names if len(names) == len(inner) else (name,) * len(inner)
    elif first and not any(structure.relation(part) for part in parts[1:]):  # x = 1, 2
        return kind, [first[1], *parts[1:]], (first[0],) * len(parts)
    elif len(parts) > 1 and len(pairs) == len(parts):  # x = 1, y = 2
        return kind, [value for _, value in pairs], tuple(tight(name) for name, _ in pairs)
    return kind, parts, ()


def _same_list(a: _Listing, b: _Listing, ask: Ask) -> bool | None:
    """Compare two answers as lists, of which most have a single element."""
    if a.alternatives and b.alternatives and "hedge" in (a.kind, b.kind):
        return _same_alternatives(a, b, ask)
    if len(a.values) == len(b.values) == 1:
        return _same_element(a, b, ask)
    if len(a.values) != len(b.values):
        return _same_at_other_length(a, b, ask)
    if a.own_names or b.own_names:
        return _same_by_names(a, b, ask)
    if a.names and b.names and _same_name(a.names[0], b.names[0]) is False:
        return False
    return _same_values(a, b, ask)


def _same_alternatives(a: _Listing, b: _Listing, ask: Ask) -> bool | None:
    """Compare two hedges: "x = 5 or 6" is "6 or 5", and not "y = 5 or 6"."""
    if len({*a.names, *b.names}) == 2 and not (a.own_names or b.own_names):
        return False
    return _same_in_some_order(a.alternatives, b.alternatives, ask)


def _same_element(a: _Listing, b: _Listing, ask: Ask) -> bool | None:
    """Compare two answers of one element each; a hedge, or a set within a set, equals none of another kind."""
    kinds = {a.kind, b.kind}
    if not kinds & {"nested", "hedge"} and (len(kinds) == 1 or "{}" in kinds):
        return _same_value(a.values[0], b.values[0], ask)
    if a.kind != b.kind or a.kind == "hedge":
        return False
    return _same(a.values[0], b.values[0], ask)


def _same_at_other_length(a: _Listing, b: _Listing, ask: Ask) -> bool | None:
    """Compare lists of different lengths: ACD lists the choices A, C, D, and one element may be a union of sets."""
    if _spells(a, b) or _spells(b, a):
        return True
    single = min(a, b, key=lambda listing: len(listing.values))
    if len(single.values) == 1 and single.kind != "hedge" and _COLLECTION.search(single.text):
        return ask("same", a.text, b.text)
    return False


def _spells(single: _Listing, several: _Listing) -> bool:
    """Whether the letters of one element are the elements of the other list, as in a multiple choice."""
    letters = tight(single.text)
    if len(single.values) != 1 or re.fullmatch(r"[A-J]{2,10}", letters) is None:
        return False
    return [*letters] == [tight(value) for value in several.values]


def _same_by_names(a: _Listing, b: _Listing, ask: Ask) -> bool | None:
    """Compare lists of as many values, of which one list at least says a name for each."""
    if a.own_names and b.own_names:
        if sorted(a.names) != sorted(b.names):
            return False
        values = dict(zip(b.names, b.values, strict=True))
        if len(values) == len(b.values):
            return every([_same(value, values[name], ask) for name, value in zip(a.names, a.values, strict=True)])
        left, right = ([f"{n}={v}" for n, v in zip(x.names, x.values, strict=True)] for x in (a, b))
        return _same_in_some_order(left, right, ask)
    named, bare = (a, b) if a.own_names else (b, a)
    if {name.split("_")[0] for name in named.names} == set(bare.names):  # the roots x_1 and x_2
        return _same_in_some_order(a.values, b.values, ask)
    if bare.kind not in ("", "()") or bare.names:
        return False
    verdict = every([_same(x, y, ask) for x, y in zip(named.values, bare.values, strict=True)])
    in_order = [*named.names] == sorted(named.names)  # y=1, x=2 beside (1,2) may be (2,1)
    return verdict if in_order or not verdict else None


def _same_values(a: _Listing, b: _Listing, ask: Ask) -> bool | None:
    """Compare lists of as many values: sets and bare lists in any order, anything in other brackets in its own."""
    kinds = {a.kind, b.kind}
    sets = [sum(value.startswith(("{", "⦃")) for value in listing.values) for listing in (a, b)]
    if kinds == {"{}"} and sets[0] != sets[1]:
        return False  # {{1},{2}} has two sets in it
    if kinds <= {"", "{}"}:
        return _same_in_some_order(a.values, b.values, ask)
    if len(kinds) == 1 or kinds == {"", "()"}:
        return every([_same(x, y, ask) for x, y in zip(a.values, b.values, strict=True)])
    return False


def _same_in_some_order(values: list[str], others: list[str], ask: Ask) -> bool | None:
    if len(values) != len(others):
        return False
    undecided = False
    rest = list(others)
    for value in values:
        for place, other in enumerate(rest):
            verdict = _same(value, other, ask)
            undecided |= verdict is None
            if verdict:
                del rest[place]
                break
        else:
            return None if undecided else False
    return True


def _same_name(a: str, b: str) -> bool | None:
    """True for one name, False for two; None where a function stands beside its value's letter: y and f(x)."""
    a, b = tight(a), tight(b)
    if a != b and structure.is_function(a) != structure.is_function(b) and "y" in (a, b):
        return None
    return a == b


def _same_value(a: str, b: str, ask: Ask) -> bool | None:
    """Compare two single answers: with and without a name, equations, quantities."""
    left, right = structure.named(a), structure.named(b)
    chains = structure.relation(a), structure.relation(b)
    if left and right:
        return _same_named(left, right, chains, ask)
    if left:
        return same_equation(chains, ask) if chains[1] else _same_as_named(left, b, ask)
    if right:
        return same_equation(chains, ask) if chains[0] else _same_as_named(right, a, ask)
    if chains[0] and chains[1]:
        return same_equation(chains, ask)
    if chains[0]:
        return _same_as_calculated(chains[0], b, ask)
    if chains[1]:
        return _same_as_calculated(chains[1], a, ask)
    return same_quantity(a, b, ask)


def _same_named(left: tuple[str, str], right: tuple[str, str], chains: Relations, ask: Ask) -> bool | None:
    """Compare two named values: of one name by value, of two names as equations."""
    if _same_name(left[0], right[0]) is not False:
        return _same(left[1], right[1], ask)
    summed = re.search(r"[-+*/]", left[0]) and re.search(r"[-+*/]", right[0])  # x+y=1 beside y+x=1
    if structure.is_closed(left[1]) and structure.is_closed(right[1]) and not summed:
        return False
    return same_equation(chains, ask)


def _same_as_named(named: tuple[str, str], other: str, ask: Ask) -> bool | None:
    """Compare a named value with a bare one; None where what is named may be an equation instead."""
    name, value = named
    verdict = _same(value, other, ask)
    if verdict and _ABSOLUTE.fullmatch(name):
        return None  # |x| = 5 is an equation for x, or it names the absolute value
    if verdict and not (structure.is_closed(quantity(value).text) or structure.is_function(name) or len(name) > 1):
        return None  # y = 2x+1 is an equation, 2x+1 is not
    return verdict


def _same_as_calculated(chain: structure.Relation, other: str, ask: Ask) -> bool | None:
    """Compare the result of a calculation such as 2+3=5, which has to be right, with a bare value."""
    if set(chain.signs) != {"="} or not all(chain.terms) or not all(map(structure.is_closed, chain.terms)):
        return False
    verdict = _same(chain.terms[-1], other, ask)
    return every([verdict, _same(chain.terms[0], chain.terms[-1], ask)]) if verdict else verdict
