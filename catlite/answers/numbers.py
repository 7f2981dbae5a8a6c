r"""Read plain numbers exactly: digits, fractions, mixed numbers, repeating decimals, powers of ten, number words.

`number` takes a clean text (see normalize.py) and gives its exact value. Left out: algebra, which worker.py does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from math import comb, factorial
from typing import NamedTuple

MAX_DIGITS = 400  # of a plain number; int() refuses 4,300
_FULL_PRECISION = 12  # significant digits from which a decimal stands for the endless number it rounds

_D = r"(?:\d+\.?\d*|\.\d+)"
_NUMBER = re.compile(
    rf"(?P<sign>[+-]?)(?:(?P<decimal>{_D})(?:[eE](?P<e>[+-]?\d{{1,4}}))?"
    rf"|(?:(?P<factor>{_D})(?:\\times|\\cdot|\*))?10\^\{{?(?P<power>[+-]?\d{{1,4}})\}}?"
    rf"|(?:(?P<whole>\d+)(?: |(?=\\)))?(?:\\frac\{{(?P<n>-?{_D})\}}\{{(?P<d>-?{_D})\}}"
    rf"|(?P<over>{_D})/(?P<under>{_D}))"
    r"|(?P<head>\d*)\.(?P<fixed>\d*)\\overline\{(?P<cycle>\d+)\}"
    r"|(?P<factorial>\d{1,3})!"
    r"|\\binom\{(?P<above>\d{1,3})\}\{(?P<below>\d{1,3})\})"
)
_DOTS = re.compile(r"(\d*\.\d*?)(?:(\d)\2{2,}|(\d{2,12}?)\3+)(?:\.\.\.|\\ldots|\\dots|\\cdots)")

_ONES_IN_ORDER = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_ONES = {word: value for value, word in enumerate(_ONES_IN_ORDER)}
_TENS_IN_ORDER = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_TENS = {word: 10 * value for value, word in enumerate(_TENS_IN_ORDER, start=2)}
_POWERS = {"hundred": 2, "thousand": 3, "lakh": 5, "million": 6, "crore": 7, "billion": 9, "trillion": 12}
_SHORT_POWERS = {"k": 3, "mn": 6, "bn": 9}
SCALES = {word: Fraction(10) ** power for word, power in {**_POWERS, **_SHORT_POWERS}.items()}
SCALES |= {"dozen": Fraction(12), "gross": Fraction(144)}
_ORDINALS = dict(
    enumerate(["half", "third", "quarter", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"], start=2)
)
PARTS: dict[str, Fraction] = {
    form: Fraction(1, value)
    for value, word in {**_ORDINALS, 12: "twelfth", 100: "hundredth", 1000: "thousandth"}.items()
    for form in (word, "halves" if word == "half" else word + "s")
} | {"fourth": Fraction(1, 4), "fourths": Fraction(1, 4)}
_SPELLED = re.compile(
    rf"(?:{'|'.join(sorted([*_ONES, *_TENS, *SCALES, *PARTS, 'and', 'a', 'an'], key=len, reverse=True))})"
    r"(?![A-Za-z])[ -]?",
    re.IGNORECASE,
)


class Number(NamedTuple):
    """An exact value; `digits` counts the significant digits of a decimal, and is None for an exact spelling."""

    value: Fraction
    digits: int | None


def number(text: str) -> Number | None:
    """Read the plain number that a clean text without a unit writes: "0.50" is 1/2.

    None for anything else, and for more than MAX_DIGITS characters.
    """
    if len(text) > MAX_DIGITS:
        return None
    # "0.333..." is 0.\overline{3}: a digit three times or a block twice, and then dots.
    endless = _DOTS.fullmatch(text.removeprefix("-")) if "." in text and not text[-1:].isdigit() else None
    if endless is not None:
        text = ("-" if text.startswith("-") else "") + rf"{endless[1]}\overline{{{endless[2] or endless[3]}}}"
    match = _NUMBER.fullmatch(text)
    if match is None:
        return None
    group = match.groupdict()
    digits: int | None = None
    if group["decimal"] is not None:
        value = Fraction(group["decimal"]) * Fraction(10) ** int(group["e"] or 0)
        digits = _significant(group["decimal"])
    elif group["power"] is not None:
        value = Fraction(group["factor"] or 1) * Fraction(10) ** int(group["power"])
        digits = _significant(group["factor"] or "")
    elif group["cycle"] is not None:
        fixed, cycle = group["fixed"], group["cycle"]
        repeated = int(fixed + cycle) - int(fixed or 0)
        value = int(group["head"] or 0) + Fraction(repeated, 10 ** len(fixed) * (10 ** len(cycle) - 1))
    elif group["factorial"] is not None:
        value = Fraction(factorial(int(group["factorial"])))
    elif group["above"] is not None:
        value = Fraction(comb(int(group["above"]), int(group["below"])))
    else:
        under = Fraction(group["d"] or group["under"])
        if not under or (group["whole"] and "-" in (group["n"] or "") + (group["d"] or "")):
            return None
        value = int(group["whole"] or 0) + Fraction(group["n"] or group["over"]) / under
    if group["sign"] == "-" and not value:
        return None  # -0 is a slip, or a limit from below
    return Number(-value if group["sign"] == "-" else value, digits)


def _significant(decimal: str) -> int | None:
    return len(decimal.replace(".", "").lstrip("0")) if "." in decimal else None


def same_number(a: Number, b: Number) -> bool:
    """Compare two numbers exactly; a decimal of 12 or more digits also equals the endless fraction that it rounds."""
    if a.value == b.value:
        return True
    if (a.digits is None) == (b.digits is None):
        return False
    digits = a.digits or b.digits or 0
    exact = b.value if a.digits else a.value
    if digits < _FULL_PRECISION or pow(10, exact.denominator.bit_length(), exact.denominator) == 0:
        return False
    return abs(a.value - b.value) <= abs(exact) * Fraction(1, 10 ** (digits - 1))


def written(value: Fraction) -> str:
    """Write an exact value as a clean text."""
    return str(value.numerator) if value.denominator == 1 else f"{value.numerator}/{value.denominator}"


def spelled(text: str) -> tuple[Fraction, str] | None:
    """Read the number words at the start of a text: "twenty-one cats" is (21, "cats"); None where there are none."""
    words: list[str] = []
    place = 0
    while (match := _SPELLED.match(text, place)) and len(words) < 20:
        words.append(match[0].strip(" -").lower())
        place = match.end()
    while words and words[-1] in ("and", "a", "an"):
        words.pop()
        place = text.lower().rindex(words[-1], 0, place) + len(words[-1]) if words else 0
    value = _value(words)
    return None if value is None else (value, text[place:].lstrip(" -"))


def _value(words: list[str]) -> Fraction | None:
    """The value of number words; None for words that make none: "one two", "hundred one thousand million"."""
    spoken = _Spoken()
    if not all(spoken.take(word) for word in words):
        return None
    return spoken.total + spoken.current if spoken.any_number else None


@dataclass
class _Spoken:
    """Number words, read one by one."""

    total: Fraction = Fraction(0)  # up to the last thousand, million, …
    current: Fraction = Fraction(0)  # since then
    whole: Fraction = Fraction(0)  # the "one" of "one and two thirds"
    any_number: bool = False
    previous: str = ""

    def take(self, word: str) -> bool:
        """Read the next word; False where it cannot go on with the number."""
        taken = self._take(word)
        self.previous = word
        return taken

    def _take(self, word: str) -> bool:
        if word == "and":
            self.whole = self.current
            return self.any_number
        if word in ("a", "an"):
            return not self.any_number or self.previous == "and"
        if word in _ONES or word in _TENS:
            taken = self._add(_ONES.get(word, _TENS.get(word, 0)))
        elif word in SCALES and word not in _SHORT_POWERS:
            taken = self._multiply(SCALES[word])
        else:
            taken = word in PARTS and self._take_part(word)
        self.any_number = True
        return taken

    def _add(self, value: int) -> bool:
        """Add "seven" or "forty"; ones may follow tens, and neither may follow ones."""
        self.current += value
        return self.previous not in _ONES and (self.previous not in _TENS or 0 < value < 10)

    def _multiply(self, scale: Fraction) -> bool:
        """Multiply by "hundred" or "million", before which there is a number or an article."""
        self.current = (self.current or Fraction(1)) * scale
        if scale >= 1000:
            self.total, self.current = self.total + self.current, Fraction(0)
        return self.any_number or self.previous in ("a", "an")

    def _take_part(self, word: str) -> bool:
        """Take "thirds" of the number before it, or add "a third"; "third" alone is a place, not a part."""
        after_article = self.previous in ("a", "an")
        if self.current and not after_article:
            self.current = self.whole + (self.current - self.whole) * PARTS[word]
            return True
        self.current += PARTS[word]
        follows = after_article or self.previous == "and" or not self.total
        return follows and (self.previous != "" or word == "half")
