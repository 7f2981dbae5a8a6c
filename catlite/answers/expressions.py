r"""Compare quantities, equations and expressions: units, exact numbers, words, and algebra by the child process.

A pair that the child would read wrongly, or that has two readings, is None or compared as text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from catlite.answers import structure
from catlite.answers.normalize import tight
from catlite.answers.numbers import number, same_number
from catlite.answers.units import CLOSE, OPEN, PERCENT, agree, quantity

Ask = Callable[[str, str, str], bool | None]
Relations = tuple[structure.Relation | None, structure.Relation | None]  # of two answers

# Without this, Math-Verify drops primes and dots, adds "2 3" up, multiplies labels, reads 12:30 as a quotient and
# subtracts the parts of a date or of a telephone number.
_OPAQUE = re.compile(
    r"\A\d{1,4}(?:-\d{1,4}){2,}\Z|\A\d{3}-\d{4}\Z"
    r"|(?<![_^\d])\d+ \d|\d:\d|'|\\[lcv]?dots|\.\.\.|--|[?@#\"∨]|\\by|[^\x00-\x7f≤≥≠∈∪∖∞∅⦃⦄≈→°ℝ]|\\pmod|\\bmod|\\equiv"
)
_BEHIND = re.compile(r"(?:(?<![\\A-Za-z])[A-Za-z]{1,3}|[})\]])\d")  # B2, \frac12 3, (x+1)2: labels or slips
_SCRIPTS = re.compile(r"\\(?:log|lg|sum|prod|int|lim|sin|cos|tan)(?:[_^](?:\{[^{}]*\}|\w))+|[_^](?:\{[^{}]*\}|-?\w)")
_SLASHES = re.compile(r"/[^-+=,<>]*/|/\d+ ?[A-Za-z(]|/(?:[A-Za-z]|\\pi) ?[A-Za-z(\\]")
_LONG_POWER = re.compile(r"\^-?\d\d")
_INVERSE = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)\^\{?-1\}?")
_BARE_LOG = re.compile(r"\\log(?!_)")
_ROUNDED = re.compile(r"\\[lr](?:floor|ceil)(?![A-Za-z])")
_COUNTING = re.compile(r"!|\\binom")  # of letters: Math-Verify simplifies them as if they stood for any number
_GREEK = (
    "alpha|beta|gamma|delta|epsilon|varepsilon|zeta|eta|theta|vartheta|iota|kappa|lambda|mu|nu|xi|pi|rho|sigma|tau|"
    "upsilon|phi|varphi|chi|psi|omega|Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Upsilon|Phi|Psi|Omega"
)
_UNDERSTOOD = re.compile(  # every other command is compared as text: Math-Verify would drop it
    rf"\\(?:frac|sqrt|binom|times|cdot|log|ln|lg|exp|(?:arc)?(?:sin|cos|tan)|cot|sec|csc|sinh|cosh|tanh|gcd|lcm|min|max"
    rf"|det|sum|prod|int|lim|infty|pm|mp|[lr](?:floor|ceil)|mathbb|cap|overline(?=\{{\d)|{_GREEK})(?![A-Za-z])"
)
_FREE_WORD = re.compile(r"(?<![\\A-Za-z])[A-Za-z]{4,}")
_WORDS = re.compile(r"[^\W\d_]+(?:[ '.,-]+[^\W\d_]+)*[.!]?")
_PRODUCT = re.compile(r"[xyz]{2,}")
_LABEL = re.compile(r"[A-Za-z0-9]*[A-Za-z][0-9][A-Za-z0-9]*")
_SIGNED_ZERO = re.compile(r"[+-]0(?:\.0*)?")
_BASE = re.compile(r"(\d[\dA-F]*)_\{?(\d+)\}?")
_LOWERED = re.compile(r"(?<=[A-Za-z])_\{?(\d+)\}?")
_MISREAD = re.compile(  # \sin x/2 and \sin x(x+1), where the argument may end early; a transpose, which is dropped
    r"\\(?:sin|cos|tan|cot|sec|csc|log|ln|lg)(?:[_^](?:\{[^{}]*\}|\w))? ?[A-Za-z\d.]+[/(]|\^\{?T(?![A-Za-z])"
)
_POWER_OF_TEN = re.compile(r"\A([-+]?[\d.]+)[eE]([-+]?\d+)\Z")  # Math-Verify reads 1e-3 as e - 3
_SPAN = re.compile(r"(\d{1,9})-(\d{1,9})")
_RATIO = re.compile(r"([\d.]+):([\d.]+)")


def every(verdicts: Sequence[bool | None]) -> bool | None:
    """False when one is False, else None when one is None, else True."""
    return False if False in verdicts else None if None in verdicts else True


def same_equation(chains: Relations, ask: Ask) -> bool | None:
    """Compare two statements: side by side, brought to zero, or solved for a letter."""
    a, b = chains
    if a is None or b is None or len(a.terms) != len(b.terms) or not all(a.terms + b.terms) or a.signs != b.signs:
        return False
    if a.signs != "=":
        return every([same_quantity(x, y, ask) for x, y in zip(a.terms, b.terms, strict=True)])
    if any(_doubtful(term) for term in a.terms + b.terms):
        return None
    if _same_sides(a.terms, b.terms, ask) or _same_sides(a.terms, b.terms[::-1], ask):
        return True
    return _same_brought_to_zero(a, b, ask)


def _same_sides(a: list[str], b: list[str], ask: Ask) -> bool | None:
    return same_quantity(a[0], b[0], ask) and same_quantity(a[1], b[1], ask)


def _same_brought_to_zero(a: structure.Relation, b: structure.Relation, ask: Ask) -> bool | None:
    """Compare two equations that differ side by side: one may be the other with another sign, factor or arrangement.

    None where an equation is only rearranged, since the question may have asked for one of the two forms.
    """
    differences = [f"({left})-({right})" for left, right in (a.terms, b.terms)]
    a_zero, b_zero = "0" in a.terms, "0" in b.terms
    if a_zero and b_zero:
        same = ask("sign", *differences)
        return same if same is not False else None if ask("multiple", *differences) else False
    same = ask("multiple", *differences)
    if not same or ((a_zero or b_zero) and ask("sign", *differences)):
        return same
    a_solved, b_solved = _solved(a), _solved(b)
    letters = {letter for term in a.terms + b.terms for letter in re.findall(r"(?<![\\A-Za-z])[A-Za-z]", term)}
    of_one_letter = (a_solved or b_solved) and len(letters - {"e"}) == 1
    return True if (a_solved and b_zero) or (b_solved and a_zero) or of_one_letter else None


def _solved(chain: structure.Relation) -> bool:
    for name, value in (chain.terms, chain.terms[::-1]):
        if re.fullmatch(r"\\?[A-Za-z]+(?:_\w)?", name) and not re.search(rf"(?<![A-Za-z\\]){re.escape(name)}", value):
            return True
    return False


def same_quantity(a: str, b: str, ask: Ask) -> bool | None:
    """Compare two clean texts that are neither lists nor statements, with their units."""
    left, right = quantity(a), quantity(b)
    if not agree(left.unit, right.unit):
        return False
    x, y = tight(left.text), tight(right.text)
    if {"am", "pm"} & (left.unit.words | right.unit.words):
        x, y = x.removesuffix(":00"), y.removesuffix(":00")
    percents = left.unit.known == PERCENT.known, right.unit.known == PERCENT.known
    if percents[0] != percents[1]:
        percent, bare = (number(x), number(y)) if percents[0] else (number(y), number(x))
        if percent and bare:
            # Beside a whole number the sign is left out; 1 is not 100%.
            return percent.value == bare.value or (bare.value.denominator > 1 and percent.value == bare.value * 100)
    verdict = _same_expression(x, y, ask)
    if verdict is False:
        for doubtful, other in ((left.doubtful, y), (right.doubtful, x)):
            if doubtful is not None and doubtful == other:
                return None  # 3 quarters are three coins or 0.75
    return verdict


def _same_expression(left: str, right: str, ask: Ask) -> bool | None:
    """Compare two clean texts without units: as text where they can be read without algebra, else by the child."""
    plain = _same_plain(left, right)
    if plain is not None:
        return plain
    if ":" in left + right:
        return _same_ratio(left, right)
    if _is_opaque(left) or _is_opaque(right):
        return False
    closed = structure.is_closed(left), structure.is_closed(right)
    if closed[0] != closed[1]:
        return False  # an expression with a letter in it is not a number
    if _doubtful(left) or _doubtful(right) or len(_BARE_LOG.findall(left)) != len(_BARE_LOG.findall(right)):
        return None
    if not all(closed) and (_INVERSE.search(left) or _INVERSE.search(right)):
        return None
    verdict = ask("same", *(_POWER_OF_TEN.sub(r"\1\\times 10^{\2}", text) for text in (left, right)))
    return None if verdict and (_is_span(left) or _is_span(right)) else verdict


def _same_plain(left: str, right: str) -> bool | None:
    """Compare numbers, words, labels and numerals with a base; None where a text is an expression."""
    if left == right:
        return True
    numbers = number(left), number(right)
    if numbers[0] and numbers[1]:
        return same_number(numbers[0], numbers[1])
    if not left or not right:
        return False
    if "\\by" in left + right:  # 5 by 10 is 5 × 10 and not 50
        return left.replace("\\by", "\\times") == right.replace("\\by", "\\times")
    if _SIGNED_ZERO.fullmatch(left) or _SIGNED_ZERO.fullmatch(right):
        return False
    words = _is_word(left), _is_word(right)
    if all(words):
        return _word(left) == _word(right) and not (len(left) == 1 and left in "eE")
    if any(words) and _LOWERED.sub(r"\1", left) == _LOWERED.sub(r"\1", right):  # H2O and H_2O
        return True
    if (numbers[0] or words[0]) and (numbers[1] or words[1]):
        return False
    based, other_based = _BASE.fullmatch(left), _BASE.fullmatch(right)
    if based and other_based:
        return based.groups() == other_based.groups()
    if based:
        return based[1] == right
    return other_based[1] == left if other_based else None


def _same_ratio(left: str, right: str) -> bool | None:
    ratios = _RATIO.fullmatch(left), _RATIO.fullmatch(right)
    if ratios[0] and ratios[1]:
        (a, b), (c, d) = ([number(part) for part in match.groups()] for match in ratios if match)
        if not (a and b and c and d):
            return False
        if same_number(a, c) and same_number(b, d):
            return True
        if not b.value or not d.value or a.value * d.value != c.value * b.value:
            return False
        return None if any(match and len(match[2]) == 2 for match in ratios) else True  # 12:30 may be a time
    ratio, other = (ratios[0], right) if ratios[0] else (ratios[1], left)
    value = number(other)
    if ratio is None or value is None:
        return False
    above, below = number(ratio[1]), number(ratio[2])
    if not above or not below or not below.value or above.value / below.value != value.value:
        return False
    return None if len(ratio[2]) == 2 else True  # 15:30 may be a time


def _is_word(text: str) -> bool:
    """Tell words, from one letter on, from formulas; xy is a product, and B2 a label, which counts as a word."""
    if _LABEL.fullmatch(text) and not re.fullmatch(r"[a-z]\d", text):
        return True
    return _WORDS.fullmatch(text) is not None and not _PRODUCT.fullmatch(text)


def _word(text: str) -> str:
    """Words without what may be left out: their case, dots, hyphens between words, an exclamation mark."""
    apart = re.sub(r"\.(?=[^\W\d_]{2})|(?<=[^\W\d_]{2})-(?=[^\W\d_]{2})", " ", text)
    return re.sub(r"\.|(?<=[^\W\d_]{3})!$", "", apart).casefold()


def _is_span(text: str) -> bool:
    """Tell 3-5, which may be a range, from 7-2, which is a difference."""
    match = _SPAN.fullmatch(text)
    return match is not None and int(match[1]) < int(match[2])


def _is_opaque(text: str) -> bool:
    if "\\" in _UNDERSTOOD.sub("", text):
        return True
    return _OPAQUE.search(text) is not None or _FREE_WORD.search(text) is not None or OPEN in text or CLOSE in text


def _doubtful(text: str) -> bool:
    """Tell a text that two careful people may read in two ways, or that the child is known to read wrongly."""
    text = tight(text)
    if _SLASHES.search(text) or _LONG_POWER.search(text) or _ROUNDED.search(text) or _MISREAD.search(text):
        return True
    if _COUNTING.search(text) and not structure.is_closed(text):
        return True
    return _BEHIND.search(_SCRIPTS.sub("^", text)) is not None
