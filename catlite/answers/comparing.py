r"""Decide whether two final answers say the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from catlite.errors import ConfigError, UndecidedWarning

LIMIT_SECONDS = 2.0  # for one pair in the child; honest pairs take 1 to 200 ms
MAX_LENGTH = 2_000  # of an answer that is parsed; the longest in MATH-500 has 53 characters

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
        from catlite import loop  # here, so that comparing two answers costs no event loop

        loop.warn(
            f"{shown} could not be compared within {LIMIT_SECONDS:g} s: they count as not shown equal. "
            "compare() gives None here.",
            UndecidedWarning,
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
    from catlite.answers import notation, worker

    remaining = LIMIT_SECONDS  # for the whole pair, however many elements it has

    def ask(left: str, right: str) -> bool | None:
        nonlocal remaining
        if remaining <= 0:
            return None
        verdict, spent = worker.ask(*notation.mark_case(left, right), remaining)
        remaining -= spent
        return verdict

    return _decide(a, b, ask)


def _decide(a: str, b: str, ask: Ask) -> bool | None:
    from catlite.answers import notation

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
    from catlite.answers.notation import named, number, parts, tells_a_set

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
    from catlite.answers.notation import is_opaque, is_word, number, numeral, same_number

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
