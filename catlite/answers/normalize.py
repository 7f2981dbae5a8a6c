r"""Clean an answer: two spellings of one thing get the same text.

`clean` undoes what only shows on paper (fonts, boxes, spacing, `$`, Unicode look-alikes) and writes relations and sets
with one character each (≤, ∈, ∪). The words of a `\text{}` stand between two marks, so that they stay words. `tight`
drops meaningless spaces, `latex` writes LaTeX again for the child process. Left out: parsing LaTeX.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from catlite.answers.numbers import spelled
from catlite.answers.units import CLOSE, OPEN

_SCRIPTS = {
    "^": dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n", strict=True)),
    "_": dict(zip("₀₁₂₃₄₅₆₇₈₉", "0123456789", strict=True)),
}
_SYMBOLS = {
    **dict.fromkeys("−–‐‑‒—﹣－", "-"),
    **dict.fromkeys("×✕✖", r"\times "),
    **dict.fromkeys("·∙⋅•", r"\cdot "),
    **dict.fromkeys("º˚", "°"),
    **dict.fromkeys("’‘′´", "'"),
    **dict.fromkeys("“”", '"'),
    **dict(zip("∶⁄÷、。≦≧⟨⟩ℝ", "://,.≤≥()ℝ", strict=True)),
    **{double: rf"\mathbb{{{letter}}}" for double, letter in zip("ℤℕℚℂ", "ZNQC", strict=True)},
    **{
        sign: f"\\{name} "
        for sign, name in zip(
            "∩¬∀∃∑∏∫⊂⊆≡⊥∥",
            ["cap", "neg", "forall", "exists", "sum", "prod", "int", "subset", "subseteq", "equiv", "perp", "parallel"],
            strict=True,
        )
    },
    "″": "''",
    "∞": "∞ ",
    "√": r"\sqrt ",
    "∛": r"\sqrt[3] ",
    "∠": r"\angle ",
    "△": r"\triangle ",
    "±": r"\pm ",
    "∓": r"\mp ",
    "…": r"\ldots ",
    "⌊": r"\lfloor ",
    "⌋": r"\rfloor ",
    "⌈": r"\lceil ",
    "⌉": r"\rceil ",
    "ϕ": r"\phi ",
}
_INVISIBLE = re.compile("[\u200b-\u200f\u2060-\u2064\ufeff\u00ad\ue000\ue001]")

_TEXT = {"text", "textrm", "textnormal", "mbox", "hbox", "mathrm", "textsf", "texttt", "operatorname", "mathop"}
_FONTS = {
    *("boxed", "fbox", "mathbf", "boldsymbol", "bm", "bf", "mathit", "mathsf", "mathtt", "underline", "textbf"),
    *("textit", "emph", "textsc", "displaystyle", "Large", "large", "LARGE", "huge", "Huge", "small", "tiny"),
    *("normalsize", "rm", "it", "ensuremath", "mathnormal", "pmb", "underbrace", "uline", "footnotesize"),
    *("scriptstyle", "textstyle", "limits", "nolimits", "nonumber", "notag", "mathstrut", "strut", "centering"),
    *("newline", "quad", "qquad"),
}
_DROPPED = {"phantom", "hphantom", "vphantom", "tag", "hspace", "vspace", "label", "color", "rule", "textcolor"}
_GROUP = re.compile(r"\\([A-Za-z]+)\*?|\\.|[{}]", re.DOTALL)

_MIXED = "hours?|hrs?|h|minutes?|mins?|seconds?|secs?|days?|weeks?|months?|years?|f(?:ee|oo)?t|in(?:ch(?:es)?)?|lbs?|oz"
_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), new)
    for pattern, new in (
        (r"(?<=\d)(?:\{,\}|,\\!) ?(?=\d)", ""),
        (r"\\(?:left|right|[bB]igg?[lrm]?)(?![A-Za-z]) ?\.?", ""),
        (r"(?<!\\)\\!|(?<!\\)\\[()]|^\\\[|\\\]$", ""),
        (r"\\\\\[[^\[\]]{1,20}\]|\\cr(?![A-Za-z])", r"\\\\"),
        (r"(?<!\\)\\[,;:> ]|~(?!\d)|\\hfill(?![A-Za-z])", " "),
        (r"(?<!\\)\\+ *$", ""),
        (r"\\[dtc](frac|binom)(?![A-Za-z])", r"\\\1"),
        (r"\\div(?![A-Za-z])", "/"),
        (r"\\(?:langle|lparen)(?![A-Za-z])", "("),
        (r"\\(?:rangle|rparen)(?![A-Za-z])", ")"),
        (r"\\(?:[lr]?vert|mid)(?![A-Za-z])", "|"),
        (r"\\(?:\{|lbrace(?![A-Za-z]))", "⦃"),
        (r"\\(?:\}|rbrace(?![A-Za-z]))", "⦄"),
        (r"\\(?:varnothing|emptyset)(?![A-Za-z])|⦃ *⦄|^\{ *\}$", "∅"),
        (r"(?i)^negative (?=infinity|\d|\\)|^minus (?=\d)", "-"),
        (r"\+? ?(?:\\infty|\\?(?<![A-Za-z])[Ii]nfinity|(?<![\\A-Za-z])(?:infty|(?:inf|oo)(?!\d)))(?![A-Za-z])", "∞ "),
        (r"\+ ?∞", "∞"),
        (r"\\cup(?![A-Za-z])|(?<=[)\]]) ?U ?(?=[(\[])", "∪"),
        (r"\\(?:setminus|backslash)(?![A-Za-z])", "∖"),
        (r"\\in(?![A-Za-z])", "∈"),
        (r"\\(?:leq?|leqslant)(?![A-Za-z])|<=|=<", "≤"),
        (r"\\(?:geq?|geqslant)(?![A-Za-z])|>=", "≥"),
        (r"\\(?:neq?|not ?=)(?![A-Za-z])|!=", "≠"),
        (r"\\lt(?![A-Za-z])", "<"),
        (r"\\gt(?![A-Za-z])", ">"),
        (r"\\(?:approx|simeq|thickapprox|doteq)(?![A-Za-z])|≃|≅", "≈"),
        (r"\\(?:to|rightarrow|longrightarrow)(?![A-Za-z])|->", "→"),
        (r"\\coloneqq(?![A-Za-z])|:=|==", "="),
        (r"\\colon(?![A-Za-z])", ":"),
        (r"\\(?:R(?![A-Za-z])|mathbb ?\{? ?R ?\}?)", "ℝ"),
        (r"ℝ ?- ?(?=⦃)", "ℝ∖"),
        (r"\\(?:degrees?|circ)(?![A-Za-z])", r"\\circ"),
        (r"\^ ?\{? ?\\circ ?\}?", "°"),
        (rf"° ?(?:{OPEN} ?)?([CF])(?![A-Za-z])(?: ?{CLOSE})?", r"°\1"),
        (rf"\\mathrm(?=[A-Za-z{OPEN}])", ""),
        (rf"\\mu ?{OPEN} ?(?=[A-Za-z])", rf"{OPEN}μ"),
        (r"\{ ?([^{}]{1,40}?) ?\\choose ?([^{}]{1,40}?) ?\}", r"\\binom{\1}{\2}"),
        (r"(?<=\d) ?[xX] ?(?=10(?:\^|\*\*))|(?<=\d) [xX] (?=\d.*=)", r"\\times "),
        (r"(?<=\d) [xX] (?=\d)", r" \\by "),
        (r"^([1-9]\d*)[xX](?=[1-9]\d*$)", r"\1 \\by "),
        (r"(?<![A-Za-z\\])C\((\d{1,3}), ?(\d{1,3})\)", r"\\binom{\1}{\2}"),
        (r"(?:\{ ?\})?[_^]\{?(\d{1,3})\}? ?C ?_\{?(\d{1,3})\}?", r"\\binom{\1}{\2}"),
        (r"\\dot ?\{?(\d)\}?(\d*)\\dot ?\{?(\d)\}?", r"\\overline{\1\2\3}"),
        (r"(?<=[.\d])\\(?:dot|bar|overline) ?\{? ?(\d+) ?\}?", r"\\overline{\1}"),
        (r"(?<![\d)])(\d*\.\d*)\((\d+)\)", r"\1\\overline{\2}"),
        (r"\*\*(-?\d+)", r"^{\1}"),
        (r"\*\*", "^"),
        (r"\^ ?\(([^()]*)\)", r"^{\1}"),
        (r"\\sqrt ?(\d+)(?=\d)", r"\\sqrt \1"),
        (r"\\sqrt\[(\d)\] (\d+)", r"\\sqrt[\1]{\2}"),
        (r"(?<![\\A-Za-z])(pi)(?![A-Za-z])", r"\\\1 "),
        (
            r"(?<![\\A-Za-z])(arcsin|arccos|arctan|sinh?|cosh?|tanh?|cot|sec|csc|ln|log|lg)"
            r"(?= ?[({^_]| [a-z](?![a-z]))",
            r"\\\1 ",
        ),
        (r"\\(log|ln|sin|cos|tan) ?\( ?(\w) ?\)", r"\\\1 \2"),
        (r"(?<=\d)\.0+ ?i\b", "i"),
        (r"^\+/?-|\+/-", r"\\pm "),
        (r"(?<=[\w)}]) ?\+ ?-", "-"),
        (r"(?<=\d) ?\"", "''"),
        (r"^([]\[(][^][(),;]+[,;][^][()]+)\[$", r"\1)"),
        (r"^\]([^][(),;]+[,;][^][()]+[)\]])$", r"(\1"),
        (rf"(?<=\d) ?\\frac ?\{{({OPEN}[^{CLOSE}]*{CLOSE})\}} ?\{{({OPEN}[^{CLOSE}]*{CLOSE})\}}$", r" \1/\2"),
        (r"^\((\d+)\)(?=_)", r"\1"),
        (r"(?i)per cent\b|percentage points?\b", "percent"),
        (r"(?i)\bdegrees? (?:of )?(celsius|fahrenheit)", r"\1"),
        (r" ?\b[Dd]eg(?:rees?)?\.? ([CF])\b", r"°\1"),
        (rf" ?{OPEN}? ?\((?:rounded|approx|to the nearest)[^()]*\) ?{CLOSE}?$", ""),
        (rf"(?i)^{OPEN}?(?:domain|range|solutions?|solution set|result): ?{CLOSE}?", ""),
        (r"^⦃ ?\\begin\{array\}\{[lcr]*\}(.*)\\end\{array\} *$", r"\\begin{cases}\1\\end{cases}"),
        (r"(?i)(?<![A-Za-z])(?:the )?(?:set of )?(?:all )?real numbers|all reals", "ℝ"),
        (r"^(?:all reals|ℝ),? (?:except|excluding)(?: for)? (?:[a-z] ?= ?)?(-?\d+)$", r"ℝ∖⦃\1⦄"),
        (r"(?i)^(?:there (?:is|are) )?no (?:real )?solutions?(?: exists?)?\.?$|^(?:the )?empty set$", "∅"),
        (r"(?i)^DNE$|^(?:the )?limit does not exist\.?$", "does not exist"),
        (r"^(\d+) (?:in|out of) (\d+)$", r"\1/\2"),
        (r"^[a-z] ?∈ ?ℝ ?, ?(?=.)|(?<=.), ?[a-z] ?∈ ?ℝ$|^(?:[Ee]ither|[Bb]oth) ", ""),
        (rf"(\d ?(?:{_MIXED})) (?=\d+(?:\.\d+)? ?(?:{_MIXED})(?![A-Za-z]))", r"\1, "),
        (r"^(\d+)' ?(?=\d+(?:\.\d+)?''$)", r"\1', "),
        (r"(?<=\d) ?(?<![a-z])([cmk]?m|ft|in)([23])$", r" \1^\2"),
        (r"(?i)^(?:the )?(?:(?:final|correct) )?answer is:? ?(?=.)|^= ?(?=.)", ""),
        (r"(?i)^(-?\d.*?) below zero$", r"-\1"),
        (r"(?i)^(?:exactly|about|approximately|approx\.?|roughly|around|circa|ca\.|≈|~) ?(?=[-+\d\\.(])", ""),
        (r"^(?:≈|\\sim(?![A-Za-z])) ?", ""),
        (r"(?<=\d) (?:to|TO) (?=\d)", ":"),
        (r"(?<=\d) by (?=\d)", r" \\by "),
        (r"(?<=\d) ?: ?(?=\d)", ":"),
    )
)
_SQRT = re.compile(r"(?<![A-Za-z])\\?sqrt ?\(([^()]*)\)")
_BRACES = re.compile(r"\\(sqrt) (\d+)")
# In plain text the dot of 5 N·m is no product of variables, nor is the mu of 5 μg.
_UNIT_SIGNS = re.compile(
    r"(?<=\d)( ?(?:kg|N|k?J|k?W|V|Pa|mol))[·⋅∙](?=[A-Za-z])|(?:(?<=[\d{])|(?<=[\d{] ))μ(?=[gmsLFAVCJ]\b)"
)
_QUOTED = re.compile(r"(?<![\w)\]}'])(['\"])([^'\"]+)\1(?!\w)")
_AND = re.compile(rf"[,;]? *(?:(?<![A-Za-z\\])and(?![A-Za-z])|{OPEN} *,? *and *{CLOSE}) *")
_OR = re.compile(
    rf" *(?:(?<![A-Za-z\\])or(?![A-Za-z])|{OPEN} *,? *or *{CLOSE}|\\lor(?![A-Za-z])|\\vee(?![A-Za-z])|∨) *"
)
_ENVIRONMENT = re.compile(r"^\\begin\{(aligned|align\*?|cases|gathered|equation\*?|split)\}(.*)\\end\{\1\}$", re.DOTALL)
_ARTICLE = re.compile(r"(?i)^(?:on|the|an|a|at) (?=[A-Za-z]{2}|\d+(?:st|nd|rd|th)\b)")
_CENTS = r"(?<![\d.,'])(?:\d+|\d{1,3}(?:\.\d{3})+),\d\d(?!\d)"
_CONTINENTAL = re.compile(  # 1'234'567, 1.234.567,8 and 12,50 €
    r"(?<![\d.,'])\d{1,3}(?:(?:'\d{3})+|(?:\.\d{3}){2,}(?:,\d+)?)(?![\d'])"
    rf"|(?:(?<=€)|(?<=€ )){_CENTS}|{_CENTS}(?= ?(?:€|EUR|[Ee]uro))"
)
_MONTH = (
    r"(jan(?=\b|uary)|feb(?=\b|ruary)|mar(?=\b|ch\b)|apr(?=\b|il\b)|may|jun(?=\b|e\b)|jul(?=\b|y\b)|aug(?=\b|ust\b)"
    r"|sep(?=t?\b|tember)|oct(?=\b|ober)|nov(?=\b|ember)|dec(?=\b|ember))[a-z]*\.?"
)
_DATES = tuple(
    re.compile(rf"(?i){date}(?:,? (\d{{4}}))?$")
    for date in (rf"{_MONTH} (\d{{1,2}})(?:st|nd|rd|th)?", rf"(\d{{1,2}})(?:st|nd|rd|th)?(?: of)? {_MONTH}")
)
_PLACES = [
    *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh"),
    "twelfth",
]
_GROUPED = re.compile(r"(?<![\d.])(?<!\d[, ])\d{1,3}(?:(?:,\d{3})+(?!\d|,\d)|(?: \d{3})+(?![\d/]| \d))")
_TIGHTEN: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), new)
    for pattern, new in (
        (r"\\(frac|binom|sqrt|hat|vec|bar|tilde) ?([0-9A-Za-z])", r"\\\1{\2}"),
        (r"(\\(?:frac|binom)\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}) ?([0-9A-Za-z])", r"\1{\2}"),
        (r"([_^])\{(\w)\}", r"\1\2"),
        # A space between two digits or two letters stays, since it may carry meaning.
        (r"(?<![0-9A-Za-z]) | (?![0-9A-Za-z])|(?<=[0-9]) (?=[A-Za-z])|(?<=[A-Za-z]) (?=[0-9])", ""),
    )
)
_LATEX = str.maketrans(
    {
        "≤": r"\le ",
        "≥": r"\ge ",
        "≠": r"\ne ",
        "∈": r"\in ",
        "∪": r"\cup ",
        "∖": r"\setminus ",
        "∞": r"\infty ",
        "∅": r"\emptyset ",
        "⦃": r"\{",
        "⦄": r"\}",
        "≈": "=",
        "→": "=",
        "°": r"^\circ ",
        "ℝ": r"\mathbb{R}",
    }
)
_DEGREES = re.compile(r"(\d+(?:\.\d+)?)°")
_WHOLE_DECIMAL = re.compile(r"(?<=\d)\.0+(?!\d)")
_LETTER = re.compile(r"\\[A-Za-z]+|[A-Za-z]")


@lru_cache(maxsize=4096)
def clean(answer: str) -> str:
    """Write an answer the way all of its spellings are written."""
    text = _markdown(" ".join(_characters(_UNIT_SIGNS.sub(_unit_sign, answer)).split()))
    if "\\begin" not in text:
        text = re.sub(r"(?<!\\)\\\\(?=[a-z]{2})", r"\\", text)  # JSON doubles them
    text = " ".join(_unwrap(text).split())
    if text.count("$") - text.count(r"\$") == 1:  # a lone dollar is money, not a mark of mathematics
        text = re.sub(r"(?<!\\)\$(?= ?[\d.])", r"\\$", text)
    text = re.sub(r"(?<!\\)\$", " ", text).strip()
    text = _CONTINENTAL.sub(_in_english, _markdown(_unmarked(text)))
    for pattern, new in _REWRITES:
        text = pattern.sub(new, text)
    for _ in range(4):
        text = _SQRT.sub(r"\\sqrt{\1}", text)
    text = _lines(_BRACES.sub(r"\\\1{\2}", text).strip())
    text = text.strip() if text.endswith(("...", "\\ldots")) else text.strip().rstrip(".,; ") or text.strip()
    text = _markdown(_unmarked(text))
    if "\\begin" not in text:
        text = re.sub(r" \\?& ", " and ", re.sub(r"\\\\(?![A-Za-z])", ", ", text))
    if not (text[:1].isalpha() and spelled(text)):
        text = _OR.sub(" ∨ ", _AND.sub(", ", text)).strip(" ,")
    text = text if text[:1] in "aA" and spelled(text) else _ARTICLE.sub("", text)
    if not any(bracket in text for bracket in "([⦃"):
        text = _GROUPED.sub(lambda match: match[0].replace(",", "").replace(" ", ""), text)
    return _date(" ".join(text.split()))


def _unit_sign(sign: re.Match[str]) -> str:
    return sign[1] + "*" if sign[1] else "\u00b5"


def _in_english(number: re.Match[str]) -> str:
    text = number[0].replace("'", "")
    return text.replace(".", "").replace(",", ".") if "," in text or text.count(".") > 1 else text


def _date(text: str) -> str:
    """A day of a month, and the word for a place in an order, as one text; any other text as it is."""
    if text.lower() in _PLACES:
        return f"{_PLACES.index(text.lower()) + 1}th"
    dates = [date.match(text) for date in _DATES] if text[-1:].isalnum() else []
    for month, day, year in [(m[1], m[2], m[3]) for m in dates[:1] if m] + [(m[2], m[1], m[3]) for m in dates[1:] if m]:
        return f"{month.lower()} {int(day)} {year or ''}".strip()
    return text


def _unmarked(text: str) -> str:
    """Text without the marks when they enclose all of it."""
    return text[1:-1].strip() if text.startswith(OPEN) and text.find(CLOSE) == len(text) - 1 else text


def _characters(text: str) -> str:
    """Text in which Unicode look-alikes are plain characters or LaTeX."""
    text = _INVISIBLE.sub("", text)
    if text.isascii():
        return text
    pieces: list[str] = []
    for character in text:
        script = next((sign for sign, characters in _SCRIPTS.items() if character in characters), None)
        if script is not None:
            joined = bool(pieces) and pieces[-1].startswith(script + "{")
            digits = pieces.pop()[2:-1] if joined else ""
            pieces.append(script + "{" + digits + _SCRIPTS[script][character] + "}")
        elif character in _SYMBOLS:
            pieces.append(_SYMBOLS[character])
        elif unicodedata.decomposition(character).startswith("<fraction>"):
            above, _, below = unicodedata.normalize("NFKC", character).partition("⁄")
            pieces.append(rf"\frac{{{above}}}{{{below}}}" if below else character)
        elif "GREEK" in (name := unicodedata.name(character, "")) and " LETTER " in name and "WITH" not in name:
            letter = name.rsplit(" ", 1)[1].lower().replace("lamda", "lambda")
            pieces.append("\\" + (letter.title() if "CAPITAL" in name else letter) + " ")
        else:
            plain = unicodedata.normalize("NFKC", character)
            pieces.append("".join(_SYMBOLS.get(letter, letter) for letter in plain))
    return "".join(pieces)


def _markdown(text: str) -> str:
    for _ in range(3):
        text = _QUOTED.sub(r"\2", text)
        for mark in ("**", "__", "`", "*", "_"):
            inside = text[len(mark) : -len(mark)].strip()
            if inside and text.startswith(mark) and text.endswith(mark) and mark not in inside.strip(mark):
                text = inside
    return text


def _unwrap(text: str) -> str:
    r"""Text without fonts, boxes and invisible boxes; words of a \text{} stand between OPEN and CLOSE. One pass."""
    if "\\" not in text:
        return text
    pieces: list[str] = []
    closers: list[str | int] = []  # the text for a closing brace; a number cuts the pieces back to that length
    place = 0
    for token in _GROUP.finditer(text):
        if token.start() < place:
            continue
        pieces.append(text[place : token.start()])
        place = token.end()
        name = token[1]
        if token[0] == "{":
            pieces.append("{")
            closers.append("}")
        elif token[0] == "}":
            closer = closers.pop() if closers else "}"
            if isinstance(closer, int):
                del pieces[closer:]
            else:
                pieces.append(closer)
        elif name in _TEXT or name in _FONTS or name in _DROPPED:
            after = place + 1 if text[place : place + 1] == " " else place
            braced = text[after : after + 1] == "{"
            if name in _DROPPED and braced:
                closers.append(len(pieces))
                place = after + 1
            elif braced:
                raised = "".join(pieces[-1:])[-1:] in ("^", "_") or "".join(pieces[-2:])[-1:] in ("^", "_")
                marked = (
                    name in _TEXT
                    and not raised
                    and not (name == "mathrm" and text[after + 2 : after + 3] == "}" and text[after + 1] in "eid")
                )
                pieces.append("{" if raised else OPEN if marked else "")
                closers.append("}" if raised else CLOSE if marked else "")
                place = after + 1
            else:
                pieces.append(" ")
        else:
            pieces.append(token[0])
    pieces.append(text[place:])
    unwrapped = "".join(pieces)
    # A text in a text: one pair of marks is enough.
    return re.sub(
        rf"{OPEN}([^{OPEN}{CLOSE}]*){OPEN}([^{CLOSE}]*){CLOSE}([^{CLOSE}]*){CLOSE}", rf"{OPEN}\1\2\3{CLOSE}", unwrapped
    )


def _lines(text: str) -> str:
    """An aligned or cases environment as its lines, with commas between."""
    match = _ENVIRONMENT.match(text)
    if match is None:
        return text
    lines = [line.replace("&", " ").strip(" ,") for line in match[2].split("\\\\")]
    return ", ".join(line for line in lines if line)


@lru_cache(maxsize=8192)
def tight(text: str) -> str:
    """Drop the meaningless spaces and braces of a clean text."""
    text = text.replace(OPEN, " ").replace(CLOSE, " ")
    for pattern, new in _TIGHTEN:
        text = " ".join(pattern.sub(new, text).split())
    return text


def latex(left: str, right: str) -> tuple[str, str]:
    """Write two clean texts as LaTeX for Math-Verify.

    Math-Verify lowers all letters: where a pair has r and R, R gets an index.
    """
    used = set(_LETTER.findall(left)) | set(_LETTER.findall(right))

    def mark(match: re.Match[str]) -> str:
        letter = match[0]
        clash = letter != letter.lower() and letter.lower() in used and match.string[match.end() :][:1] != "_"
        return letter + "_{u}" if clash else letter

    def write(text: str) -> str:
        text = _DEGREES.sub(r"(\1\\cdot\\frac{\\pi}{180})", text)
        return _WHOLE_DECIMAL.sub("", _LETTER.sub(mark, text)).translate(_LATEX)

    return write(left), write(right)
