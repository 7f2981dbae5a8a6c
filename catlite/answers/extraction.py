r"""Find the final answer of a reply."""

from __future__ import annotations

import re
from functools import lru_cache

from catlite.answers.thinking import without_thinking
from catlite.errors import ConfigError

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
