r"""Decide whether two final answers say the same."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import lru_cache

from catlite.errors import ConfigError, UndecidedWarning

LIMIT_SECONDS = 2.0  # of processor time for one pair in the child; honest pairs take 1 to 200 ms
MAX_KEPT = 4_096  # verdicts of the child
MAX_LENGTH = 2_000  # of an answer that is parsed; the longest in MATH-500 has 53 characters


class _NeedsChild(Exception):
    pass


def compare(a: str, b: str) -> bool | None:
    """Decide whether two answers say the same.

    Works in any thread and inside a running event loop, which it blocks; there, await `acompare`.

    Args:
        a: an answer, such as `extract` gives.
        b: another; their order does not matter.

    Returns:
        True or False; None when the pair may be read in two ways, or when LIMIT_SECONDS of processor time passed.

    Raises:
        ConfigError: an answer is not text.
        CatliteError: the child process with Math-Verify does not start.

    Example:
        >>> compare("1/2", "0.5")
        True
    """
    verdict = _at_once(a, b)
    return _symbolic(*_pair(a, b)) if verdict is None else verdict


async def acompare(a: str, b: str) -> bool | None:
    """`compare` for a running event loop: a pair that takes the child process waits in a thread."""
    verdict = _at_once(a, b)
    if verdict is not None:
        return verdict
    import asyncio

    return await asyncio.to_thread(_symbolic, *_pair(a, b))


def equivalent(a: str, b: str) -> bool:
    """Tell whether two answers were shown to say the same.

    Args:
        a: an answer.
        b: another.

    Returns:
        True, or False; an undecided pair is False, with an UndecidedWarning.

    Example:
        >>> equivalent("5 cm", "5 m")
        False
    """
    verdict = compare(a, b)
    if verdict is None:
        shown = " and ".join(repr(answer if len(answer) <= 60 else answer[:59] + "…") for answer in (a, b))
        from catlite import concurrency  # here, so that comparing two answers costs no event loop

        concurrency.warn(
            f"{shown} could not be decided: they may be read in two ways, or {LIMIT_SECONDS:g} s of processor time "
            "were not enough. They count as not shown equal; compare() gives None here.",
            UndecidedWarning,
        )
    return verdict is True


def known(a: str, b: str) -> bool | None:
    """Compare two answers as far as that takes no child process, for a repr or a card, which must not wait.

    Args:
        a: an answer.
        b: another.

    Returns:
        True or False where the texts decide it, or where it was decided before; else None.

    Example:
        >>> known("42", "42 ")
        True
    """
    if not isinstance(a, str) or not isinstance(b, str):
        return None
    verdict = _at_once(a, b)
    return _verdicts.get(_pair(a, b)) if verdict is None else verdict


def _pair(a: str, b: str) -> tuple[str, str]:
    return (a, b) if a <= b else (b, a)  # one order, so that the verdict cannot depend on it


_WHOLE = re.compile(r"0|-?[1-9][0-9]{0,17}")


def _at_once(a: str, b: str) -> bool | None:
    """The verdict where it takes no child process, else None."""
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
    from catlite.answers.deciding import decide

    def ask(*_: str) -> bool | None:
        raise _NeedsChild

    try:
        return decide(a, b, ask)
    except _NeedsChild:
        return None


_verdicts: dict[tuple[str, str], bool | None] = {}


def _symbolic(a: str, b: str) -> bool | None:
    """The verdict of a pair that needs the child; it is kept, unless time ran out."""
    from catlite.answers import normalize, worker
    from catlite.answers.deciding import decide

    if (a, b) in _verdicts:
        return _verdicts[a, b]
    seconds, in_time = LIMIT_SECONDS, True  # for the whole pair, however many elements it has

    def ask(question: str, left: str, right: str) -> bool | None:
        nonlocal seconds, in_time
        answer, used = worker.ask(question, *normalize.latex(left, right), seconds) if seconds > 0 else (None, 0.0)
        seconds -= used
        in_time = in_time and answer is not None
        return answer

    verdict = decide(a, b, ask)
    if in_time:
        while len(_verdicts) >= MAX_KEPT:
            with suppress(KeyError, StopIteration):
                del _verdicts[next(iter(_verdicts))]
        _verdicts[a, b] = verdict
    return verdict
