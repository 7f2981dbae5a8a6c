r"""How answers are written: what differs on paper and not in meaning.

`normal` gives two spellings of one answer the same text and splits off its unit; `number` reads a plain
number exactly; `parts` takes a list, tuple, interval or set apart; `named` splits "x =" off. Left out:
parsing LaTeX, and algebra, which is `catlite.answers`' last step.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

_SYMBOLS = str.maketrans(
    {
        "−": "-",
        "–": "-",
        "×": r"\times ",
        "·": r"\cdot ",
        "÷": "/",
        "π": r"\pi ",
        "°": r"^\circ",
        "∞": r"\infty ",
    }
    | {
        "≤": r"\le ",
        "≥": r"\ge ",
        "√": r"\sqrt ",
        "∪": r"\cup ",
        "²": "^2",
        "³": "^3",
        "±": r"\pm ",
        "’": "'",
    }
)
_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), new)
    for pattern, new in (
        (r"(?<=\d)(?:\{,\}|,\\!) ?(?=\d)", ""),
        (r"\\(?:left|right)(?![A-Za-z]) ?\.?", ""),
        (r"(?<!\\)\\[!]|\\\$|\$|(?<!\\)\\[()]|^\\\[|\\\]$|^\*\*|\*\*$", ""),
        (r"(?<!\\)\\[,;:> ]|~|\\q?quad(?![A-Za-z])|\\(?:display|text)style(?![A-Za-z])", " "),
        (r"\\[dtc]frac(?![A-Za-z])", r"\\frac"),
        (r"\\(l|g)eq?(?![A-Za-z])", r"\\\1e"),
        (r"\\(?:degrees?|circ)(?![A-Za-z])", r"\\circ"),
        (r"(?<![\\A-Za-z])sqrt ?\(([^()]*)\)", r"\\sqrt{\1}"),
        (r"(?<![\\A-Za-z])(pi|infty)(?![A-Za-z])", r"\\\1 "),
        (r"(?<![\\A-Za-z])infinity(?![A-Za-z])", r"\\infty "),
        (r"\*\*", "^"),
        (r"^\(?([A-Za-z])[):]$", r"\1"),
        (r"^([+-]?) ?([€£¥]) ?(.+)$", r"\1\3\\text{\2}"),
        (r"(?<=\d) ?([€£¥])$", r"\\text{\1}"),
        (r"per cent$", "percent"),
        (r"(?<=\d) (million|billion|trillion)\b", r" \1"),
    )
)
_UNTEXT = re.compile(r"\\(?:text(?:bf|it|rm|normal)?|mbox|math(?:rm|bf|it))(?![A-Za-z]) ?\{([^{}]*)\}")
_TIGHTEN: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), new)
    for pattern, new in (
        (r"\\(frac|binom|sqrt) ?([0-9A-Za-z])", r"\\\1{\2}"),
        (r"(\\(?:frac|binom)\{[^{}]*\}) ?([0-9A-Za-z])", r"\1{\2}"),
        (r"(?<![A-Za-z\\])(?:and|or)(?![A-Za-z])", ","),
        # What stays is a space between two digits or two letters: there it may carry meaning.
        (r"(?<![0-9A-Za-z]) | (?![0-9A-Za-z])|(?<=[0-9]) (?=[A-Za-z])|(?<=[A-Za-z]) (?=[0-9])", ""),
    )
)
_GROUPED = re.compile(r"(?<![\d.])(?<!\d[, ])\d{1,3}(?:(?:,\d{3})+(?!\d|,\d)|(?: \d{3})+(?![\d/]| \d))")
_TEXT_UNIT = re.compile(
    r"(?<=[\d}.)\]A-Za-z]) ?\\(?:text(?:rm)?|mbox|mathrm)(?![A-Za-z]) ?\{([^{}]*)\}(?:\^\{?([23])\}?)?$"
)
_WORD_UNIT = re.compile(
    r"^((?:[A-Za-z] ?= ?)?[^A-Za-z\\]*\d[^A-Za-z\\]*?) ?((?:[A-Za-z]++\.?+ ?+)+)(?:\^\{?([23])\}?)?$"
)
_CIRCLE = re.compile(r"\^ ?\{? ?\\circ ?\}?$")
_SCALES = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_UNITS = {
    alias: line.split()[0]
    for line in (
        *("mm millimeter millimetre", "cm centimeter centimetre", "m meter metre", "km kilometer kilometre"),
        *("in inch inche", "ft foot feet", "yd yard", "mi mile", "mg milligram", "g gram", "kg kilogram"),
        *("lb pound", "oz ounce", "ml milliliter millilitre", "l liter litre", "s sec second", "min minute"),
        *("h hr hour", "day", "week", "month", "year", "mph", "° deg degree", "rad radian"),
        *("% percent pct percentage", "dollar", "cent", "euro €", "sterling £", "yen ¥"),
    )
    for alias in line.split()
}
_POWERS = {"square": "2", "sq": "2", "squared": "2", "cubic": "3", "cubed": "3"}


def normal(answer: str) -> tuple[str, str]:
    """(text, unit) of an answer, the same for spellings of one thing. A known unit starts with "="."""
    text = " ".join(answer.translate(_SYMBOLS).split())
    for pattern, new in _REWRITES:
        text = pattern.sub(new, text)
    text = text.strip().rstrip(".,; ") or text.strip()
    text, unit = _split_unit(text)
    for _ in range(2):
        text = " ".join(_UNTEXT.sub(r" \1 ", text).split())
    if not unit:  # \text{5 cm}
        text, unit = _split_unit(text)
    if not any(bracket in text for bracket in ("(", "[", r"\{")):
        text = _GROUPED.sub(lambda match: match[0].replace(",", "").replace(" ", ""), text)
    for pattern, new in _TIGHTEN:
        text = " ".join(pattern.sub(new, text).split())
    return text.strip(), unit


def _split_unit(text: str) -> tuple[str, str]:
    if text.endswith("%"):
        return text[:-1].rstrip(" \\"), "=%"
    circle = _CIRCLE.search(text)
    if circle is not None and circle.start() and not re.search(r"\\(?:sin|cos|tan|cot|sec|csc)", text):
        return text[: circle.start()], "=°"
    found = _TEXT_UNIT.search(text)
    if found is not None and any(character.isdigit() or character == "\\" for character in text[: found.start()]):
        head, words, power = text[: found.start()], found[1], found[2]
    else:
        plain = _WORD_UNIT.match(text) if len(text) <= MAX_DIGITS else None
        if plain is None:
            return text, ""
        head, words, power = plain[1], plain[2], plain[3]
        if not all(len(word) > 3 or (_singular(word) in _UNITS and len(word) > 1) for word in words.split()):
            return text, ""  # "2 xy" is a product
    names = [word.strip(".") for word in words.lower().split()]
    if names and names[-1] in _SCALES:
        return f"{head}\\times10^{{{_SCALES[names[-1]]}}}", ""
    if not names or {"and", "or"} & set(names):
        return text, ""
    power = next((_POWERS[name] for name in names if name in _POWERS), power) or ""
    known = [_UNITS[_singular(name)] for name in names if _singular(name) in _UNITS]
    return head.rstrip(), f"={known[0]}{power}" if len(known) == 1 else "".join(names)


def _singular(word: str) -> str:
    word = word.lower().strip(".")
    return word if word in _UNITS else word.removesuffix("s")


_D = r"(?:\d+\.?\d*|\.\d+)"
_NUMBER = re.compile(
    rf"(?P<sign>[+-]?)(?:(?P<decimal>{_D})(?:[eE](?P<e>[+-]?\d{{1,4}}))?"
    rf"|(?:(?P<factor>{_D})(?:\\times|\\cdot|\*))?10\^\{{?(?P<power>[+-]?\d{{1,4}})\}}?"
    rf"|(?:(?P<whole>\d+)(?: |(?=\\)))?(?:\\frac\{{(?P<n>-?{_D})\}}\{{(?P<d>{_D})\}}"
    rf"|(?P<over>{_D})/(?P<under>{_D}))"
    r"|(?P<head>\d*)\.(?P<fixed>\d*)\\overline\{(?P<cycle>\d+)\})"
)
_WORD = re.compile(r"(?=.*[^\W\d_]{4})[^\W\d_]+(?:[ '-][^\W\d_]+)*|[A-Za-df-z]")
_BASE = re.compile(r"(\d[\dA-F]*)_\{?(\d+)\}?")
_NAME = re.compile(r"(\\?[A-Za-z]+'*(?:_\{?\w+\}?)?(?:\([A-Za-z]\))?|\([a-z](?:,[a-z])*\))(?:=|\\in(?![A-Za-z]))")
# Math-Verify drops primes and dots, adds "2 3" up, and reads 12:30 as a quotient.
_OPAQUE = re.compile(r"(?<![_^\d])\d+ \d|\d:\d\d|'|\\[lcv]?dots|\.\.\.")
_SET = re.compile(r"[<>=]|\\(?:le|ge|ne|neq|lt|gt|cup|cap|setminus|mathbb|emptyset|varnothing)(?![A-Za-z])")
_SIGNS = re.compile(r"\\(pm|mp)(?![A-Za-z]) ?")
_LETTER = re.compile(r"\\[A-Za-z]+|[A-Za-z]")
MAX_DIGITS = 400  # of a plain number; int() refuses 4,300


class Number(NamedTuple):
    """An exact value; `rounded` when it was written as a decimal, which may stand for what it rounds."""

    value: Fraction
    rounded: bool


def number(text: str) -> Number | None:
    """The plain number a normal text writes; None for anything else or longer than MAX_DIGITS."""
    match = _NUMBER.fullmatch(text) if len(text) <= MAX_DIGITS else None
    if match is None:
        return None
    group = match.groupdict()
    rounded = False
    if group["decimal"] is not None:
        value = Fraction(group["decimal"]) * Fraction(10) ** int(group["e"] or 0)
        rounded = "." in group["decimal"]
    elif group["power"] is not None:
        value = Fraction(group["factor"] or 1) * Fraction(10) ** int(group["power"])
        rounded = "." in (group["factor"] or "")
    elif group["cycle"] is not None:
        fixed, cycle = group["fixed"], group["cycle"]
        repeated = int(fixed + cycle) - int(fixed or 0)
        value = int(group["head"] or 0) + Fraction(repeated, 10 ** len(fixed) * (10 ** len(cycle) - 1))
    else:
        under = Fraction(group["d"] or group["under"])
        if not under:
            return None
        value = int(group["whole"] or 0) + Fraction(group["n"] or group["over"]) / under
    return Number(-value if group["sign"] == "-" else value, rounded)


def same_number(a: Number, b: Number) -> bool:
    """Exact, but six significant digits for a decimal beside an endless fraction (1/3 is 0.333333)."""
    if a.value == b.value:
        return True
    if a.rounded == b.rounded:
        return False
    endless = b.value.denominator if a.rounded else a.value.denominator
    if pow(10, endless.bit_length(), endless) == 0:
        return False
    return abs(a.value - b.value) <= max(abs(a.value), abs(b.value)) / 1_000_000


def parts(text: str) -> tuple[str, list[str]]:
    r"""(brackets, elements): "(1,2]" is "(]" and two, "1,2" is "" and two, "\{1\pm2\}" is "{}" and two.

    What is not a list is "" and itself; a single element loses its round or curly brackets.
    """
    for _ in range(8):
        kind, elements = _taken_apart(text)
        if len(elements) != 1 or kind not in ("()", "{}"):
            break
        text = elements[0]
    if kind in ("", "{}"):
        elements = [value for element in elements for value in _plus_minus(element)]
    return kind, elements


def _taken_apart(text: str) -> tuple[str, list[str]]:
    body = text.replace("\\{", "{").replace("\\}", "}")
    if "\\begin" in body or not body:
        return "", [text]
    depth, wrapped = 0, body[0] in "([{" and body[-1] in ")]}"
    cuts: dict[int, list[int]] = {0: [], 1: []}
    for place, character in enumerate(body):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
            wrapped = wrapped and (depth > 0 or place == len(body) - 1)
        elif character in ",;" and depth in cuts:
            cuts[depth].append(place)
    first, last, at = (1, len(body) - 1, cuts[1]) if wrapped else (0, len(body), cuts[0])
    edges = [first - 1, *at, last]
    found = [body[start + 1 : end].strip() for start, end in pairwise(edges)]
    if not wrapped and len(found) == 1:
        return "", [text]
    return body[0] + body[-1] if wrapped else "", [element for element in found if element]


def _plus_minus(element: str) -> list[str]:
    if not _SIGNS.search(element):
        return [element]
    return [_SIGNS.sub(_sign_for(plus), element) for plus in ("pm", "mp")]


def _sign_for(plus: str) -> Callable[[re.Match[str]], str]:
    return lambda match: "+" if match[1] == plus else "-"


def named(text: str) -> tuple[str, str] | None:
    r"""("x", "5") of "x=5" or "x\in5"; None when there is no name in front, or more than one equals sign."""
    match = _NAME.match(text)
    if match is None or text.count("=") > match[0].count("="):
        return None
    return match[1], text[match.end() :]


def is_word(text: str) -> bool:
    """True for words and single letters: text without any maths in it."""
    return _WORD.fullmatch(text) is not None


def tells_a_set(text: str) -> bool:
    """True for what may equal a list or an interval without being one: a relation, a union, a named set."""
    return _SET.search(text) is not None


def is_opaque(text: str) -> bool:
    """True when Math-Verify would read something else: it drops primes and dots and adds "2 3" up."""
    return _OPAQUE.search(text) is not None


def numeral(text: str) -> tuple[str, str] | None:
    """(digits, base) of "204_5"; None for anything else."""
    match = _BASE.fullmatch(text)
    return None if match is None else (match[1], match[2])


def mark_case(left: str, right: str) -> tuple[str, str]:
    """Tell r and R apart for Math-Verify, which lowers all letters, where a pair has both."""
    used = set(_LETTER.findall(left)) | set(_LETTER.findall(right))

    def mark(match: re.Match[str]) -> str:
        letter = match[0]
        clash = letter != letter.lower() and letter.lower() in used and match.string[match.end() :][:1] != "_"
        return letter + "_{u}" if clash else letter

    return _LETTER.sub(mark, left), _LETTER.sub(mark, right)
