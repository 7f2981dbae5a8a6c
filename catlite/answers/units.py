r"""Split a quantity into its number and its unit, and decide whether two units agree.

A unit is what stands behind the number: known units with their powers (`km/h`, `cm^2`), and other words ("red apples").
`quantity` also applies the words that change the number: "3 hundred" is 300, "2 dozen" is 24, "4 squared" is 4^2. Left
out: converting units (1 m is not 100 cm).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from catlite.answers.numbers import PARTS, SCALES, number, spelled, written

OPEN, CLOSE = "\ue000", "\ue001"  # around the words of a \text{}

_KNOWN = {
    alias: line.split()[0]
    for line in (
        *("mm millimeter millimetre", "cm centimeter centimetre", "m meter metre", "km kilometer kilometre"),
        *("nm nanometer", "in inch inche", "ft foot feet", "yd yard", "mile mi", "mg milligram", "g gram gm"),
        *("kg kilogram kilo", "lb lbs", "pound", "oz ounce", "ml milliliter millilitre mL", "l liter litre L"),
        *("s sec second", "min minute", "h hr hour", "ms millisecond", "day", "week wk", "month", "year yr"),
        *("° deg degree", "°C celsius", "°F fahrenheit", "rad radian", "N newton", "J joule", "kJ kilojoule"),
        *("W watt", "kW kilowatt", "kWh", "V volt", "Hz hertz", "kHz", "MHz", "GHz", "Pa pascal", "kPa"),
        *("Ω ohm", "cal calorie", "kcal", "mol mole", "amp ampere", "eV", "kelvin", "ton tonne", "gal gallon"),
        *("acre", "hectare ha", "percent percentage pct % \\%", "dollar usd us$ $", "cent ¢", "euro eur €"),
        *("sterling gbp £", "yen jpy ¥", "rupee rs inr ₹", "unit", "point pt", "mmHg", "atm atmosphere"),
        *("psi", "dB decibel", "rpm", "ppm", "cc", "tsp teaspoon", "tbsp tablespoon", "dm decimeter decimetre"),
        *("KB kB kilobyte", "MB megabyte", "GB gigabyte", "TB terabyte", "mA milliamp", "mV millivolt", "kV kilovolt"),
        *("kN kilonewton", "mJ millijoule", "MJ megajoule", "GJ gigajoule", "mW milliwatt", "MW megawatt"),
        *("GW gigawatt", "MPa megapascal", "keV", "MeV", "GeV", "Btu btu", "yuan rmb cny", "chf", "aud", "cad"),
    )
    for alias in line.split()
}
_COMPOUND = {"mph": ("mile", "h"), "kmh": ("km", "h"), "kph": ("km", "h"), "mps": ("m", "s"), "fps": ("ft", "s")}
# Symbols that may also be letters of a formula count as units only inside \text{}.
_ONLY_MARKED = {"A": "amp", "K": "kelvin", "C": "°C", "F": "°F", "T": "tesla", "Ω": "Ω"}
_BEFORE = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_AFTER = {"squared": 2, "cubed": 3}
_SILENT = {"of", "the", "a", "an", "old", "yo", "in", "total", "each", "altogether", "approximately", "exactly"}
_NO_UNIT = {  # behind a number
    *("and", "or", "to", "since", "because", "if", "when", "where", "for", "by"),
    *("mod", "base", "plus", "minus", "below"),
}
_ARTICLES = {"of", "the", "a", "an"}
_ORDINAL = {"th", "st", "nd", "rd"}
_TOKEN = re.compile(
    rf"(?P<marked>{OPEN}[^{CLOSE}]*{CLOSE})|(?P<percent>\\?%)|(?P<command>\\[A-Za-z]+|\\.)|(?P<word>[^\W\d_]+\$?(?:\.[A-Za-z]+)*\.?)"
    r"|(?P<sign>[€£¥₹¢$°Ω]C?F?|''?)|(?P<power>\^ ?\{?-?[1-9]\}?)|(?P<separator>[ /*-])|(?P<other>.)",
    re.DOTALL,
)
_INNER = re.compile(
    r"\\?%|(?:[^\W\d_]|[$€£¥₹¢°Ω'])+(?:\.[A-Za-z]+)*|\^ ?\{?-?[1-9]\}?|[/\d()<>=+]|-(?=\d)|.", re.DOTALL
)
_PREFIX = re.compile(
    rf"([+-]? ?)(?:{OPEN} ?)?((?:US|CA|AU|A|C)?\\?\$|[€£¥₹]|USD|EUR|GBP|INR|Rs\.?)(?: ?{CLOSE})? ?([+-]?[\d.].*)",
    re.DOTALL,
)
_SHORT = {"k": " thousand", "m": " million", "b": " billion"}
_MILLIONS = re.compile(r"(?<=\d)[kKmMbB]$")  # behind an amount of money
_COMMENT = re.compile(rf"(.*?\d.*?)(?: ?{OPEN})? ?\(([A-Za-z -]+)\)(?: ?{CLOSE})?")
_THREE = re.compile(r"[^aeiou][aeiou][^aeiou]|egg|eye|ant|axe|ace|off|old|all|two|boy|day|key|toy|bee|shy|die|pie")
_TRIGONOMETRY = re.compile(r"\\(?:sin|cos|tan|cot|sec|csc)(?![A-Za-z])")
_HEAD = re.compile(r"\d|\\frac|\\sqrt|\\pi")
_SYMBOL = re.compile(r"[mM][A-Z][a-z]?")  # a milliwatt is not a megawatt
_RENAMED = re.compile(r"pounds? sterling|british pounds?", re.IGNORECASE)


class Unit(NamedTuple):
    """Known units with their powers, other words in lower case, and whether the value is wrong without them."""

    known: frozenset[tuple[str, int]] = frozenset()
    words: frozenset[str] = frozenset()
    needed: bool = False

    def __bool__(self) -> bool:
        return bool(self.known or self.words)


PERCENT = Unit(frozenset({("percent", 1)}))


class Quantity(NamedTuple):
    """The text of a number or expression, its unit, and the bare number that its words may also be read as."""

    text: str
    unit: Unit
    doubtful: str | None = None


def agree(a: Unit, b: Unit) -> bool:
    """Decide whether two units may belong to one quantity: one is left out, or they are the same.

    Words that only one side adds ("apples", "red apples") agree; other words do not.
    """
    if not a or not b:
        return not (a.needed or b.needed)
    if all(_dimension(a, pound) != _dimension(b, pound) for pound in ("lb", "sterling")):
        return False
    return a.words <= b.words or b.words <= a.words


def _dimension(unit: Unit, pound: str) -> frozenset[tuple[str, int]]:
    """The known units with their powers, where a pound is a weight or money."""
    return frozenset((pound if name == "pound" else name, power) for name, power in unit.known)


def quantity(text: str) -> Quantity:
    r"""Split a clean text into number and unit: "5 km/h", "3 hundred dollars".

    Where there is no unit, it is empty and the text stays as it is.
    """
    if len(text) > 400:
        return Quantity(text, Unit())
    prefix = _PREFIX.fullmatch(text)
    if prefix is not None:
        amount = _MILLIONS.sub(lambda letter: _SHORT[letter[0].lower()], prefix[3])
        rest = quantity(prefix[1].strip() + amount)
        symbol = prefix[2].replace("\\", "").rstrip(".").lower()
        name = _KNOWN.get(symbol if len(symbol) == 1 else symbol.replace("us$", "usd"), symbol)
        currency = frozenset({(name, 1)})
        known = rest.unit.known if rest.unit.known >= currency else rest.unit.known | currency
        return Quantity(rest.text, Unit(known, rest.unit.words))
    plain = text.replace(OPEN, " ").replace(CLOSE, " ").strip() if text[:1] == OPEN or text[:1].isalpha() else text
    words = re.sub(r"(?i)^(?:minus|negative) ", "", plain)
    number_words = spelled(" ".join(words.split())) if plain[:1].isalpha() else None
    if number_words is not None:
        value, rest_text = number_words
        value = value if words == plain else -value
        if not rest_text:
            return Quantity(written(value), Unit())
        counted = _behind(written(value) + " ", rest_text)
        return Quantity(text, Unit()) if counted is None else counted
    comment = _COMMENT.fullmatch(text)
    if comment is not None:
        commented = _comment(comment[1].strip(), comment[2])
        return Quantity(text, Unit()) if commented is None else commented
    tokens = list(_TOKEN.finditer(text))
    first = _tail(tokens)
    if first == len(tokens):
        return Quantity(text, Unit())
    head, tail = text[: tokens[first].start()], text[tokens[first].start() :]
    return _behind(head, tail) or Quantity(text, Unit())


def _tail(tokens: list[re.Match[str]]) -> int:
    """The place of the first token of the unit at the end."""
    first = len(tokens)
    place = first - 1
    while place >= 0:
        kind = tokens[place].lastgroup
        if kind in ("marked", "word", "sign", "percent"):
            first = place
        elif not (
            kind == "separator"
            or tokens[place][0] == "\\cdot"
            or (kind == "power" and place and tokens[place - 1].lastgroup in ("marked", "word"))
        ):
            break
        place -= 1
    while first > 0 and tokens[first - 1].lastgroup == "separator" and tokens[first - 1][0] in "/ ":
        first -= 1
    return first


def _behind(head: str, tail: str) -> Quantity | None:
    """The quantity of a number and the text behind it; None when that is not a unit."""
    head_text = head.strip().removesuffix("\\").strip()
    if _TRIGONOMETRY.search(head_text):
        return None  # the degrees of \sin 30° belong to its argument
    spaced = head[-1:] == " " or tail[:1] in (" ", OPEN)
    if not _HEAD.search(head_text) or head_text[-1:] in "+-*/^_=(":
        return None
    if tail.strip().removeprefix("\\") == "%":
        return Quantity(head_text, PERCENT)
    marked = tail.lstrip().startswith(OPEN)
    bare = not marked and OPEN not in tail
    letters = re.sub(r"\\[A-Za-z]+|(?<=\d)[eE](?=[-+]?\d)", "", head_text)
    if bare and re.search(r"[A-Za-z]", letters) and "=" not in head_text:
        return None  # "3x cm" is a product unless the unit is marked as text
    tail = tail.replace("ft-lb", "ft*lb").replace("mm Hg", "mmHg")
    tail = tail if bare else tail.replace("\\cdot", " ")
    tail = _RENAMED.sub("sterling", tail)
    words: list[str] = _INNER.findall(tail.replace(OPEN, " ").replace(CLOSE, " "))
    words = [word for word in words if word not in (" ", ".", "*", "-", ",")]
    if not words or any(len(word) == 1 and word in "0123456789()<>=+" for word in words):
        return None
    return _unit(head_text, words, spaced, bare)


def _comment(head: str, words: str) -> Quantity | None:
    """The quantity of a number with words in brackets behind it: "5 (five)", "5 (exactly)", "5 (dollars)"."""
    if not _HEAD.search(head) or re.search(r"\b(?:mod|base|if|when|for|not|or|to)\b", words):
        return None
    again = spelled(words.strip())
    if again is not None and not again[1]:
        value = number(head)
        return Quantity(head, Unit()) if value and value.value == again[0] else None
    return _unit(head, words.split(), True, False) if all(len(word) > 2 for word in words.split()) else None


def _unit(head: str, words: list[str], spaced: bool, bare: bool) -> Quantity | None:
    """The quantity of a number and the words of its unit; None where they are no unit."""
    reading = _Reading(head, spaced, bare, needed=words[0] == "/")
    last = len(words) - 1
    if not all(reading.take(word, first=place == 0, last=place == last) for place, word in enumerate(words)):
        return None
    known = frozenset((name, power) for name, power in reading.powers.items() if power)
    return Quantity(reading.head, Unit(known, frozenset(reading.words), reading.needed), reading.doubtful)


@dataclass
class _Reading:
    """The words behind a number, read one by one into the powers of known units and other words."""

    head: str  # the number, which the first word may change
    spaced: bool  # a space stands between the number and the words
    bare: bool  # the words are not marked as text
    needed: bool  # the value is wrong without the unit
    doubtful: str | None = None  # the number without its word, where both can be meant
    powers: Counter[str] = field(default_factory=Counter)
    words: set[str] = field(default_factory=set)
    latest: str | None = None  # the known unit before the next word
    sign: int = 1  # -1 behind "per"
    power: int = 1  # of the next unit: 2 behind "square"

    def take(self, word: str, *, first: bool, last: bool) -> bool:
        """Read the next word; False where it cannot belong to a unit."""
        word = word.rstrip(".").replace(".", "")
        low = word.lower()
        if word == "/" or low == "per":
            self.sign = -1
            return True
        if word.startswith("^"):
            exponent = word.strip("^ {}")
            return exponent != "" and (self._raise(int(exponent)) or not self.bare)
        if low in _NO_UNIT:
            return False
        if first and (changed := self._change_number(word, low)) is not None:
            return changed
        if low in _BEFORE:
            self.power = _BEFORE[low]
            return True
        if low in _AFTER and self._raise(_AFTER[low]):
            return True
        if low in _ORDINAL and first:
            self.words.add("ordinal")
            self.needed = True
            return True
        if low in _COMPOUND:
            above, below = _COMPOUND[low]
            self.powers[above] += 1
            self.powers[below] -= 1
            return True
        name = _known(word, self.bare)
        if name is not None:
            self._add_unit(name)
            return True
        if low in _ARTICLES and (last or (first and not self.spaced)):
            return False  # 3a is a product
        return low in _SILENT or self._add_word(word, low, apart=self.spaced or not first)

    def _raise(self, exponent: int) -> bool:
        """Raise the latest unit to a power; False where there is none."""
        if self.latest is None:
            return False
        self.powers[self.latest] += self.sign * (exponent - 1)
        return True

    def _change_number(self, word: str, low: str) -> bool | None:
        """Apply a word that changes the number: "hundred", "thirds", "squared"; None for any other word."""
        scale = SCALES.get(low) or SCALES.get(low.removesuffix("s"))
        value = number(self.head) if scale or word in PARTS else None
        if scale and (low != "k" or (word == "k" and not self.spaced)):
            self.head = f"{self.head}\\times{written(scale)}" if value is None else written(value.value * scale)
        elif word in PARTS:
            if value is None:
                return False
            self.doubtful, self.head = self.head, written(value.value * PARTS[word])
        elif low in _AFTER:
            self.head = f"{self.head}^{{{_AFTER[low]}}}"
        else:
            return None
        return True

    def _add_unit(self, name: str) -> None:
        if name in ("°C", "°F") and self.latest == "°":
            self.powers["°"] -= 1
        self.powers[name] += self.sign * self.power
        self.latest, self.power = name, 1

    def _add_word(self, word: str, low: str, *, apart: bool) -> bool:
        if (len(low) == 1 and low.isascii()) or (self.bare and not _is_word(low, apart)):
            return False
        self.words.add(low.removesuffix("s") if len(low) > 3 else word if _SYMBOL.fullmatch(word) else low)
        return True


def _known(word: str, bare: bool) -> str | None:
    if word in ("'", "''"):
        return "ft" if word == "'" else "in"
    if word in _ONLY_MARKED:
        return None if bare else _ONLY_MARKED[word]
    if word in _KNOWN:
        return _KNOWN[word]
    low = word.lower()
    if len(low) > 1:
        return _KNOWN.get(low) or _KNOWN.get(low.removesuffix("s"))
    return None


def _is_word(low: str, spaced: bool) -> bool:
    """Whether bare letters behind a number are a word, and not a product of variables."""
    return (
        len(low) > 3
        or low in ("am", "pm", "bc", "ad", "bce", "ce")
        or not low.isascii()
        or (spaced and _THREE.fullmatch(low) is not None)
    )
