r"""Final answers: find one in a reply, and decide whether two say the same.

`extract` reads the last complete `\boxed{}`, else the last line that announces an answer, else nothing; or it
follows a regular expression. What stands in a think block is never the answer. Every scan is linear.

`compare` goes three steps, each only when the one before it cannot tell:

1. *As text*, once notation is out of the way: spaces, `$`, `\left`, `\dfrac`, `\text{}`, a full stop,
   thousands commas. Words and choice letters ignore case, variables do not: r is not R.
2. *As plain numbers*, exactly: integers, decimals, `1.5\times10^{3}`, fractions, mixed numbers,
   `0.\overline{3}`. A decimal also equals a fraction that never ends (1/3) to six significant digits.
3. *As expressions*, by Math-Verify (Kydlíček, Hugging Face, 2025), in a child process that is killed after
   LIMIT_SECONDS: hostile answers sit in C code where no signal and no thread reaches. None means undecided.

Decided on purpose, where graders differ:

* What the question already says may be left out, on one side: "x =", a unit, a currency, `^\circ`, a percent
  sign, a numeral's base. Given on both sides it must agree: 5 cm is not 5 m, 204_5 is not 204_8.
* 50% equals 50 (the sign left out) and equals 1/2 (its value); 50 and 1/2 stay different.
* (1,2) is a pair or an open interval, so it is neither [1,2] nor (2,1) nor `\{1,2\}`. A bare list equals a set
  or another bare list in any order, and a tuple in the same order. \pm is both of its values.
* "1,000" is a thousand; "1,2" and "1, 000" are lists; (1,100) is a pair. "2 3" is not 23, "1 4/5" not 14/5.
* An answer over MAX_LENGTH characters is compared as text only.

Left out: reading an answer out of prose that announces none, converting units (1 m is not 100 cm), numbers in
words ("five" is not 5), and statements beyond what Math-Verify makes of equations and inequalities.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import lru_cache

from catlite.errors import ConfigError, UndecidedWarning

LIMIT_SECONDS = 2.0  # for one pair in the child; honest pairs take 1 to 200 ms
MAX_LENGTH = 2_000  # of an answer that is parsed; the longest in MATH-500 has 53 characters

# --- finding ----------------------------------------------------------------------------------------------

_THINK = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)
_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])[ \t]*+(\{?)|\\.|[{}]", re.DOTALL)
_TOKEN = re.compile(r"[^\s$]+")
_CUE = re.compile(
    r"\b(?:answer[*_]{0,2}[ \t]{0,3}[:：][*_]{0,2}"
    r"|answer[ \t]{1,3}is\b(?![ \t]{1,3}(?:not|as follows|below)\b)[ \t]{0,3}:?[*_]{0,2}"
    r"|final answer[*_]{0,2}[ \t]{0,3}$)",
    re.IGNORECASE | re.MULTILINE,
)
_CONTENT = re.compile(r"[^\s*_#$\\\[\]:]")
_MATHS = re.compile(r"(\$\$?|\\\(|\\\[)(.+?)(?:\$\$?|\\\)|\\\])")
_PROSE = re.compile(
    r"(?<!\bDr)(?<!\bMr)(?<!\bSt)(?:[.?]|!(?=\s+[A-Z]))(?=\s)|,?\s(?:because|since|which|where|when|so|as)\b",
    re.IGNORECASE,
)


def extract(text: str, answer_format: str = "boxed") -> str | None:
    r"""The final answer of a reply, or None when it gives none.

    "boxed" takes the last complete `\boxed{}` or `\fbox{}`, else the last "Answer: …" or "The answer is …".
    Any other `answer_format` is a regular expression with one capture group; its last match is taken.
    """
    if not isinstance(text, str):
        raise ConfigError(f"a reply to read an answer from is text, not {type(text).__name__}")
    pattern = check_format(answer_format)
    text = without_thinking(text)
    if pattern is not None:
        found = None
        for match in pattern.finditer(text):
            found = match[1] if match[1] is not None else found
    elif (found := _last_box(text)) is None:
        found = _announced(text)
    return (found or "").strip() or None


def check_format(answer_format: str) -> re.Pattern[str] | None:
    """The compiled pattern of an answer format, None for "boxed"; ConfigError when it is neither."""
    if not isinstance(answer_format, str):
        raise ConfigError(f'answer_format is "boxed" or a regular expression, not {answer_format!r}')
    return None if answer_format == "boxed" else _compiled(answer_format)


@lru_cache(maxsize=256)
def _compiled(answer_format: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(answer_format)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(
            f'answer_format {answer_format!r} is neither "boxed" nor a regular expression: {error}'
        ) from error
    if pattern.groups != 1:
        raise ConfigError(
            f"answer_format {answer_format!r} has {pattern.groups} capture groups: give exactly one, "
            "around the answer, and write the others as (?:…)"
        )
    return pattern


def without_thinking(text: str) -> str:
    """`text` without its think block: what comes after the last `</think>`, before a `<think>` that never closes."""
    start, end = 0, len(text)
    for tag in _THINK.finditer(text):
        if tag[1]:
            start, end = tag.end(), len(text)
        else:
            end = min(end, tag.start())
    return text[start:end]


def _last_box(text: str) -> str | None:
    """What the complete box that starts last holds; "" when that one is empty."""
    opened: list[int | None] = []  # where a box's content starts, None for any other brace
    last, held = -1, None
    for token in _BOX.finditer(text):
        if token[0] == "{":
            opened.append(None)
        elif token[0] == "}":
            start = opened.pop() if opened else None
            if start is not None and start > last:
                last, held = start, text[start : token.start()]
        elif token[1] == "{":
            opened.append(token.end())
        elif token[1] is not None and (bare := _TOKEN.match(text, token.end())):
            last, held = token.end(), bare[0].rstrip(".,;*)]\\")
    return held


def _announced(text: str) -> str | None:
    for cue in reversed(list(_CUE.finditer(text))):
        rest = _line(text, cue.end()).strip(" \t*_:")
        if not rest and (below := _CONTENT.search(text, cue.end())):
            rest = _line(text, text.rfind("\n", 0, below.start()) + 1)
        if rest:
            return _first_statement(rest)
    return None


def _line(text: str, start: int) -> str:
    end = text.find("\n", start)
    return text[start : end if end >= 0 else len(text)].rstrip()


def _first_statement(rest: str) -> str:
    """The answer at the head of a line: "$42$, since …" gives 42, "3.5. Then" gives 3.5."""
    rest = rest.strip().strip("*_").strip()
    maths = _MATHS.match(rest)
    if maths is not None and not _MATHS.search(rest, maths.end(), maths.end() + 1000):
        return maths[2].strip().rstrip(".")
    prose = None if maths is not None else _PROSE.search(rest)
    return rest[: prose.start() if prose else None].strip(" \t*_").rstrip(".").strip(" \t*_")


# --- comparing --------------------------------------------------------------------------------------------

Ask = Callable[[str, str], bool | None]


class _NeedsChild(Exception):
    pass


def compare(a: str, b: str) -> bool | None:
    """True when two answers say the same, False when not, None when LIMIT_SECONDS passed undecided.

    Works in any thread and inside a running event loop, which it blocks; there, await `acompare`.
    """
    verdict = _at_once(a, b)
    return _symbolic(*_pair(a, b)) if verdict is None else verdict


async def acompare(a: str, b: str) -> bool | None:
    """`compare` for a running event loop: what needs the child process waits in a thread."""
    verdict = _at_once(a, b)
    if verdict is not None:
        return verdict
    import asyncio

    return await asyncio.to_thread(_symbolic, *_pair(a, b))


def equivalent(a: str, b: str) -> bool:
    """True when two answers were shown to say the same; out of time is False, with an UndecidedWarning."""
    verdict = compare(a, b)
    if verdict is None:
        shown = " and ".join(repr(answer if len(answer) <= 60 else answer[:59] + "…") for answer in (a, b))
        warnings.warn(
            f"{shown} could not be compared within {LIMIT_SECONDS:g} s: they count as not shown equal. "
            "compare() gives None here.",
            UndecidedWarning,
            stacklevel=2,
        )
    return verdict is True


def _pair(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a <= b else (b, a)  # one order, so that the verdict cannot depend on it


_WHOLE = re.compile(r"-?[0-9]{1,18}")


def _at_once(a: str, b: str) -> bool | None:
    """The verdict when it needs no child process, else None."""
    for answer in (a, b):
        if not isinstance(answer, str):
            raise ConfigError(f"an answer to compare is text, not {type(answer).__name__}: {answer!r:.60}")
    if a == b or a.strip() == b.strip():
        return True
    if max(len(a), len(b)) > MAX_LENGTH:
        return False
    if _WHOLE.fullmatch(a) and _WHOLE.fullmatch(b):  # most answers there are
        return int(a) == int(b)
    return _inline(*_pair(a, b))


@lru_cache(maxsize=4096)
def _inline(a: str, b: str) -> bool | None:
    def ask(*_: str) -> bool | None:
        raise _NeedsChild

    try:
        return _decide(a, b, ask)
    except _NeedsChild:
        return None


@lru_cache(maxsize=4096)
def _symbolic(a: str, b: str) -> bool | None:
    from catlite import answers_worker, notation

    remaining = LIMIT_SECONDS  # for the whole pair, however many elements it has

    def ask(left: str, right: str) -> bool | None:
        nonlocal remaining
        if remaining <= 0:
            return None
        verdict, spent = answers_worker.ask(*notation.mark_case(left, right), remaining)
        remaining -= spent
        return verdict

    return _decide(a, b, ask)


def _decide(a: str, b: str, ask: Ask) -> bool | None:
    from catlite import notation

    (left, left_unit), (right, right_unit) = notation.normal(a), notation.normal(b)
    if left_unit != right_unit and left_unit.startswith("=") and right_unit.startswith("="):
        return False
    if (left_unit == "=%") != (right_unit == "=%"):
        p, q = notation.number(left), notation.number(right)
        if p and q and (p.value == q.value * 100 if left_unit == "=%" else p.value * 100 == q.value):
            return True
    try:
        return _same(left, right, ask)
    except RecursionError:  # lists in lists in lists
        return None


def _same(left: str, right: str, ask: Ask) -> bool | None:
    """Whether two normal texts say the same, list elements one by one."""
    from catlite.notation import named, number, parts, tells_a_set

    if left == right:
        return True
    p, q = named(left), named(right)
    if p and q and p[0] != q[0] and number(p[1]) and number(q[1]):
        return False
    # "x =" goes where the other side has it too, or has no equation at all.
    bare_left, bare_right = "=" not in left, "=" not in right
    if p and (p[0] == q[0] if q else bare_right):
        left = p[1]
    if q and (p[0] == q[0] if p else bare_left):
        right = q[1]
    (kind, elements), (other_kind, others) = parts(left), parts(right)
    if len(elements) == len(others) == 1 and kind == other_kind:
        return _same_expression(elements[0], others[0], ask)
    for several, one in ((elements, others), (others, elements)):
        if len(several) != 1 and len(one) == 1:
            return ask(left, right) if tells_a_set(one[0]) else False
    if len(elements) != len(others):
        return False
    if {kind, other_kind} <= {"", "{}"}:
        return _same_in_some_order(elements, others, ask)
    if kind == other_kind or {kind, other_kind} == {"", "()"}:
        verdicts = {_same(x, y, ask) for x, y in zip(elements, others, strict=True)}
        return False if False in verdicts else None if None in verdicts else True
    return False


def _same_in_some_order(elements: list[str], others: list[str], ask: Ask) -> bool | None:
    undecided = False
    rest = list(others)
    for element in elements:
        for place, other in enumerate(rest):
            verdict = _same(element, other, ask)
            undecided |= verdict is None
            if verdict:
                del rest[place]
                break
        else:
            return None if undecided else False
    return True


def _same_expression(left: str, right: str, ask: Ask) -> bool | None:
    from catlite.notation import is_opaque, is_word, number, numeral, same_number

    p, q = number(left), number(right)
    if p and q:
        return same_number(p, q)
    words = is_word(left), is_word(right)
    if left == right or (all(words) and left.casefold() == right.casefold()):
        return True
    if (p or words[0]) and (q or words[1]):
        return False
    based, other_based = numeral(left), numeral(right)
    if based or other_based:
        if based and other_based:
            return based == other_based
        return based[0] == right if based else other_based is not None and other_based[0] == left
    return False if is_opaque(left) or is_opaque(right) else ask(left, right)
