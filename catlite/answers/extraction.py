r"""Find the final answer of a reply: the last box, else the last line that announces an answer.

Every scan is linear. Left out: reading an answer out of prose that announces none.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from catlite.answers.thinking import without_thinking
from catlite.errors import ConfigError

_BOX = re.compile(
    r"(?:\\{1,2}b|\x08)(?:oxed)(?![A-Za-z])[ \t]*+(\{?)|\\fbox(?![A-Za-z])[ \t]*+(\{?)|\\.|[{}]", re.DOTALL
)
_BARE = re.compile(r"(?=[^\s$]*\d|[A-Z\\(-])[^\s$]+")  # "\boxed 42", not "I used \boxed as asked"
_PLACEHOLDER = re.compile(
    r"(?:\\(?:text|mathrm|textbf) ?\{)?[\s.…?_]*"
    r"(?:[<\[(]?(?:your |the |final )*answer(?: here)?[>\])]?|\\[lc]?dots|\\square|\\phantom\{.*\})?[\s.…?_]*\}?",
    re.IGNORECASE,
)
_REFUSAL = re.compile(
    r"(?:\\text\w* ?\{)?\s*(?:(?:I['’]m|I am) (?:sorry|not sure|unable)"
    r"|I (?:do not|don['’]t|cannot|can['’]t|could not)\b|sorry\b|no (?:final )?answer\b)",
    re.IGNORECASE,
)
# The text between boxes that are one list: "\boxed{3}, \boxed{5} and x = \boxed{7}".
_JOINT = re.compile(
    r"(?=[^A-Za-z]*[,;&]|[^A-Za-z]*(?:and|or)\b)[\s$,;&\\()]{0,8}(and|or)?[\s$\\()]{0,6}(?:([A-Za-z]) ?=)?[\s$]{0,3}"
)
_NAME_BEFORE = re.compile(r"(?<![\w\\])([A-Za-z]) ?=[\s$]{0,3}$")

_CUE = re.compile(
    r"(?<![^\W_])(?:answer[*_]{0,2}[ \t]{0,3}[:：=][*_]{0,2}"
    r"|(?:answers?|correct (?:option|choice))[*_]{0,2}"
    r"(?:[ \t]to[ \t][^.:\n]{1,60}?|[ \t](?:for|in)[ \t][^.,:\n]{1,40}?)?[ \t]{1,3}"
    r"(?:is|are|would be|should be|equals)\b"
    r"[ \t]{0,3}[:：]?[*_]{0,2}"
    r"|final answer[*_]{0,2}[ \t]{0,3}$)"
    r"|^[*_#> \t]{0,8}(?:final[ \t])?answers[*_]{0,2}[ \t]{0,3}[:：][*_]{0,2}"
    r"|^#{1,6}[ \t]+(?:the[ \t])?answer[ \t]{0,3}$"
    # as in GSM8K, and no heading such as "#### 1. Add them"
    r"|(?<!\S)#{4}[ \t]*(?=[*_]{0,2}[-−$\d\\])(?![*_]{0,2}\d{1,2}[.)][ \t]+\S)"
    # in other languages, where a number, a formula or the letter of a choice follows
    r"|(?:答案(?:应该|應該|应|應)?(?:是|为|為)|答えは|정답은|답은|(?:答案|(?<![^\W_])ответ)(?=[*_ \t]{0,4}[:：—–])"
    r"|(?<![^\W_])(?:respuesta(?: final| correcta)? es|réponse(?: finale| correcte)? est|antwort (?:ist|lautet)"
    r"|resposta(?: final| correta)? é|risposta(?: finale| corretta)? è))"
    r"[*_ \t]{0,4}[:：—–]?[*_ \t]{0,4}(?=[-−+]?[$\d]|\\[(\[a-z]|[(（]?(?-i:[A-J])(?![^\W_]))",
    re.IGNORECASE | re.MULTILINE,
)
_FENCE = re.compile(r"^[ \t]*```\w*[ \t]*$", re.MULTILINE)
_BULLET = re.compile(r"[-*•>][ \t]+(?=\S)")
_BELOW = re.compile(r"(?:as follows|the following)?", re.IGNORECASE)
_LONGEST_LINE = 10_000  # characters that are read of it, so that many announcements in one take linear time
_CONTENT = re.compile(r"[^\s*_#$\\\[\]:`]")
_MATHS = re.compile(r"\$\$?((?:\\.|[^$\\])+?)\$\$?(?!\d)|\\\((.+?)\\\)|\\\[(.+?)\\\]")
_BOLD = re.compile(r"(\*\*|__|`)(?!\s)(.+?)(?<!\s)\1")
_UNPAIRED = re.compile(r"(?<=\S)\*\*(?:!?$|!?(?=\s)|(?=[.,;:]))")  # of bold that began with the cue
_ABBREVIATION = (
    r"(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bMrs)(?<!\bSt)(?<!\bNo)(?<!\bvs)(?<!\be\.g)(?<!\bi\.e)(?<!\bapprox)(?<!\bca)"
    r"(?<!\b[A-Z]\. [A-Z])"
)
_PROSE = re.compile(
    rf"{_ABBREVIATION}(?:[.?]|!(?=\s+[A-Z]))(?=\s)(?! [A-Z]\. )|<\|[a-z_]{{2,20}}\|>|</s>|<end_of_turn>"
    r"|。|(?<=[\d$)}A-J])(?:です|である|입니다|이다)"
    r"|,?\s\(?(?:because|since|which|where|when|so|as|hence|therefore|thus|but|given|assuming"
    r"|rather than|instead of)\b|,\snot\b|，?\s?(?:因为|因為|所以)"
    r"|,\s(?:denn|weil|da|porque|pues|ya que|pois|car|parce que|puisque|perché|poiché|так как|потому)\b",
    re.IGNORECASE,
)
_ADVERB = re.compile(
    r"(?:(?:(?:(?:found|calculated|computed|determined|going) to be|equal to|given by|as follows)"
    r"(?=[\s:]*[-−$\\(\d])|therefore|thus|hence|then|so|indeed|simply|just|clearly|actually|probably|likely|definitely|certainly"
    r"|obviously|really|also|only|now|still|exactly|approximately|approx\.?|about|roughly|around|≈|~|=|:|,)(?![A-Za-z]),?\s*)+",
    re.IGNORECASE,
)
# Words after "the answer is" that give no answer: "I hope the answer is correct."
_REMARK = re.compile(
    r"(?:not|n't|correct|right|wrong|incorrect|clear|obvious|reasonable|valid|consistent|unique|simple|straightforward"
    r"|given|found|obtained|derived|verified|confirmed|calculated|computed|determined|based|expected|required|supposed"
    r"|asked|needed|written|expressed|rounded|shown|boxed|stated|presented|provided|as|in|by|from|with|that|what|which"
    r"|when|because|since|if|here|above|below|going|to be|ready|accurate|complete|helpful|useful|important"
    r"|easy|hard|difficult|close|similar|different|the same|of|for)\b(?!\s*[=:]\s*\S)",
    re.IGNORECASE,
)


def extract(text: str, answer_format: str = "boxed") -> str | None:
    r"""Read the final answer of a reply.

    "boxed" takes the last complete `\boxed{}` or `\fbox{}` that holds something; boxes joined by nothing but commas,
    "and" or "or" are one list. Without a box it takes what the last "Answer: …" or "The answer is …" announces. Where a
    reply has `<answer>…</answer>`, only what stands in the last of them is read.

    Args:
        text: the reply; thinking in it is set apart first.
        answer_format: "boxed" (default), or a regular expression with one capture group; the last that captures
            something is taken.

    Returns:
        The answer; None when the reply gives none.

    Raises:
        ConfigError: `text` is not text, or `answer_format` neither "boxed" nor such an expression.

    Example:
        >>> extract(r"So it is \boxed{\frac{1}{2}}.")
        '\\frac{1}{2}'
    """
    if not isinstance(text, str):
        raise ConfigError(f"a reply to read an answer from is text, not {type(text).__name__}")
    pattern = check_format(answer_format)
    text = without_thinking(text)
    if pattern is not None:
        answer = None
        for match in pattern.finditer(text):
            answer = match[1] if match[1] and match[1].strip() else answer
    else:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        answer = _tagged(text) or _boxed(text) or _announced(text)
    return (answer or "").strip() or None


def check_format(answer_format: str) -> re.Pattern[str] | None:
    """Compile an answer format; None for "boxed", ConfigError for anything but that and an expression."""
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


def _tagged(text: str) -> str | None:
    """The answer in the last <answer>…</answer>."""
    end = text.rfind("</answer>")
    start = text.rfind("<answer>", 0, max(end, 0))
    inside = text[start + len("<answer>") : end].strip() if start >= 0 else ""
    answer = _boxed(inside) or _announced(inside) or (inside if "\n" in inside else _first_statement(inside))
    return answer if _is_answer(answer) else None


def _is_answer(text: str) -> bool:
    return not (_REFUSAL.match(text) or (len(text) <= 60 and _PLACEHOLDER.fullmatch(text)))


class _Box(NamedTuple):
    start: int
    end: int
    content: str


def _boxed(text: str) -> str | None:
    """The content of the last box, or of the last boxes that are joined to one list."""
    boxes = _boxes(text)
    if not boxes:
        return None
    members = [boxes[-1]]
    joints: list[re.Match[str]] = []
    for box in reversed(boxes[:-1]):
        gap = text[box.end : members[-1].start]
        joint = _JOINT.fullmatch(gap) if len(gap) <= 40 else None
        if joint is None:
            break
        members.append(box)
        joints.append(joint)
    members.reverse()
    joints.reverse()
    before = _NAME_BEFORE.search(text, max(0, members[0].start - 12), members[0].start)
    name = before[1] if before else None
    contents = [box.content.strip() for box in members]
    if len(set(contents)) == 1 or any(joint[2] not in (None, name) for joint in joints):
        return contents[-1]  # of "a = 3, b = 5, a + b = 8" the last is meant
    words = [" or " if joint[1] == "or" else ", " for joint in joints]
    named = name is not None and any(joint[2] for joint in joints)
    terms = [f"{name} = {content}" if named else content for content in contents]
    return terms[0] + "".join(word + term for word, term in zip(words, terms[1:], strict=True))


def _boxes(text: str) -> list[_Box]:
    """The complete boxes that hold an answer, innermost only, in order; one pass."""
    opened: list[tuple[int, int] | None] = []  # where a box and its content start, None for any other brace
    boxes: list[_Box] = []
    for token in _BOX.finditer(text):
        brace = token[1] if token[1] is not None else token[2]
        if token[0] == "{":
            opened.append(None)
        elif token[0] == "}":
            starts = opened.pop() if opened else None
            if starts is not None and not (boxes and boxes[-1].start > starts[0]):
                boxes.append(_Box(starts[0], token.end(), text[starts[1] : token.start()]))
        elif brace == "{":
            opened.append((token.start(), token.end()))
        elif brace is not None and (bare := _BARE.match(text, token.end())):
            content = bare[0].rstrip(".,;*\\")
            content = content if content.count("(") >= content.count(")") else content.rstrip(")")
            boxes.append(_Box(token.start(), token.end() + len(content), content.rstrip("]\\")))
    return [box for box in boxes if _is_answer(box.content)]


def _announced(text: str) -> str | None:
    text = _FENCE.sub("", text)
    for cue in reversed(list(_CUE.finditer(text))):
        rest = _line(text, cue.end()).strip(" \t*_:`✅")
        if _BELOW.fullmatch(rest) and (below := _CONTENT.search(text, _line_end(text, cue.end()))):
            rest = _BULLET.sub("", _line(text, text.rfind("\n", 0, below.start()) + 1).lstrip(), count=1)
        rest = _ADVERB.sub("", rest[:40], count=1) + rest[40:] if _ADVERB.match(rest) else rest
        if rest and not _REMARK.match(rest):
            statement = _first_statement(rest)
            if _is_answer(statement) and "\\boxed" not in statement:  # a box here is not closed
                return statement
    return None


def _line(text: str, start: int) -> str:
    return text[start : _line_end(text, start)].rstrip()


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start, start + _LONGEST_LINE)
    return end if end >= 0 else min(start + _LONGEST_LINE, len(text))


def _first_statement(rest: str) -> str:
    """The answer at the head of a line: "$42$, since …" gives 42, "3.5. Then" gives 3.5."""
    rest = rest.strip()
    bold = _BOLD.match(rest)
    if bold is not None:
        rest = bold[2] + rest[bold.end() :]
    rest = _UNPAIRED.sub("", rest).strip("*_`").strip()
    maths = _MATHS.match(rest)
    if maths is not None and not _MATHS.search(rest, maths.end(), maths.end() + 1000):
        inside = maths[1] or maths[2] or maths[3]
        return inside.strip().rstrip(".").removeprefix("\\$").strip()
    prose = None if maths is not None else _PROSE.search(rest)
    return rest[: prose.start() if prose else None].strip(" \t*_`").rstrip(".?").strip(" \t*_`")
