"""Which setting a refusal is about: read from its structure, else from its words.

Servers say in many ways that they do not take a setting, and may quote the prompt while they refuse something else.
So quotations of the prompt are taken out of their words first. Left out: refusals in other languages than English.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any

from catlite.errors import ModelError

_QUOTED = 4  # words in a row that stand in the prompt as well
_SAID = 20_000  # characters of a refusal that are read
# litellm shows a server's JSON in its message.
_PYTHON_PARAM = re.compile(r"['\"]param['\"]:\s*['\"]([\w.]{1,80})['\"]")
# The names that servers have for a setting of catlite's.
_CALLED = {
    "response_format": r"response[_ ]?(?:format|schema)|json[_ ]?schema|structured[_ ]?outputs?|guided[_ ](?:decoding|"
    r"json|generation)|json[_ ](?:mode|object)|grammars?|constrained (?:decoding|generation)|samplers?|schema",
    "temperature": r"temperature|greedy",
    "stream": r"stream(?:ing|ed)?",
    "stream_options": r"stream[_ ]?options?|include[_ ]?usage",
    "top_logprobs": r"(?:top[_ ]?)?log[_ ]?prob(?:s|abilities)",
}
_ANY_SETTING = re.compile(
    r"\b(?:requested|given|provided|specified|following|these|some|such) (?:parameter|setting|option)s"
)
_REFUSING = (
    r"not (?:yet |currently )?(?:be )?(?:support|allow|permit|avail|implement|enabl|accept|recogni[sz]|valid|a valid|"
    r"compatib|compil)\w*|n't (?:currently )?(?:support|allow|accept)|unsupported|unrecogni[sz]ed|unknown|unexpected|"
    r"unavailable|invalid|extra(?:neous)?|forbidden|deprecated|disabled|must|should|only|range|fail(?:ed|s|ure)?|"
    r"cannot|can't|unable|requires?|at least|at most|less than|greater than|larger than|between|exceed\w*|maximum|"
    r"minimum|max allowed|no support|error"
)
_NAMELESS = r"(?:parameters?|arguments?|args?|fields?|keys?|names?|propert(?:y|ies)|options?|inputs?|kwargs?)"
_NOT_KNOWN = (
    r"(?:unsupported|unrecogni[sz]ed|unknown|unexpected|invalid|extra(?:neous)?|additional|forbidden|deprecated|"
    r"not supported|does(?: not|n't) (?:support|accept|recogni[sz]e|allow|have))"
)
_STRANGE = r"(?:unrecogni[sz]ed|unknown|unexpected|extra(?:neous)?|additional)"
_OF_A_VALUE = re.compile(
    r"(?:\b|_)values?\b|\branges?\b|\bmust\b|\bshould\b|\bat (?:least|most)\b|\b(?:less|greater|larger|smaller|more|"
    r"lower|higher) than\b|\btoo (?:large|small|big|high|low|long|many)\b|\bmax(?:imum)?\b|\bmin(?:imum)?\b|\bexceed|"
    r"\bbetween\b|\bintegers?\b|\bpositive\b|\blimit(?:ed)?\b|\bup to\b|\bcontext\b|[<>≤≥]"
)


def read(body: Any) -> tuple[str, tuple[str, ...]]:
    """(all texts of a refusal, the settings that a field of their own names as its cause), out of parsed JSON."""
    parts = list(_parts(body))
    text = " ; ".join(text for kind, text in parts if kind == "text")[:_SAID]
    params = [text for kind, text in parts if kind == "param"] + _PYTHON_PARAM.findall(text)
    return text, tuple(dict.fromkeys(params))


def _parts(value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Texts and named settings in a refusal's JSON, without the parts that only send the request back."""
    if isinstance(value, str):
        yield "text", value
    elif isinstance(value, list) and depth < 8:
        for item in value:
            yield from _parts(item, depth + 1)
    elif isinstance(value, dict) and depth < 8:
        for key, item in value.items():
            if key in ("param", "field") and isinstance(item, str):
                yield "param", item
            elif key == "loc" and isinstance(item, list):
                yield "param", ".".join(str(part) for part in item if part != "body")
            elif key not in ("input", "ctx", "url"):
                yield from _parts(item, depth + 1)


def own_words(error: ModelError, prompt: Iterable[str] = ()) -> str:
    """What the server says in lower case, without its quotations of the texts of the prompt."""
    text = (error.reason or str(error)).lower()
    words = re.findall(r"\w+", text)
    quoted: set[int] = set()
    for content in prompt:
        sent = re.findall(r"\w+", content.lower())
        size = min(_QUOTED, len(sent))
        runs = {tuple(sent[at : at + size]) for at in range(len(sent) - size + 1)} if size else set()
        for at in range(len(words) - size + 1):
            if tuple(words[at : at + size]) in runs:
                quoted.update(range(at, at + size))
    numbers = itertools.count()
    return re.sub(r"\w+", lambda word: " " * len(word[0]) if next(numbers) in quoted else word[0], text)


def refuses(error: ModelError, name: str, prompt: Iterable[str] = ()) -> bool:
    """True when it is this setting that the server refuses: its field says so, or its own words do."""
    called = _CALLED.get(name, re.escape(name).replace("_", "[_ ]?"))
    if any(re.search(rf"(?:^|[._])(?:{called})", param.lower()) for param in error.params):
        return True
    near = rf"\b(?:{called})\b[^.!?\n]{{0,120}}?\b(?:{_REFUSING})|(?:{_REFUSING})\b[^.!?\n]{{0,120}}?\b(?:{called})\b"
    # A full stop inside a word ends no sentence: "response_format.type", "0.0".
    return re.search(near, re.sub(r"\.(?=\w)", ":", own_words(error, prompt))) is not None


def refuses_settings(error: ModelError, prompt: Iterable[str] = ()) -> bool:
    """True when the server refuses settings without saying which."""
    return _ANY_SETTING.search(own_words(error, prompt)) is not None


def about_the_prompt(error: ModelError) -> bool:
    """True when a field of the refusal says that it is not about a setting."""
    return any(param.partition(".")[0] in ("messages", "prompt", "input", "model") for param in error.params)


def refuses_name(error: ModelError, name: str, other: str | None = None) -> bool:
    """True when the server does not know a setting of this name, or asks for `other` in its place.

    False when it refuses the value of the setting.
    """
    words = own_words(error)
    quote = r"['\"`‘“*]{0,2}"
    if other is not None and re.search(
        rf"\b(?:use|using|favou?r of|replaced (?:by|with)|switch to|send|specify|pass|try) (?:the )?{quote}{other}\b"
        rf"|{quote}{other}{quote} instead",
        words,
    ):
        return re.search(rf"\b{name}\b", words) is not None or name in error.params
    words = re.sub(rf"\b{re.escape(other)}\b", " ", words) if other else words
    called = rf"{quote}(?<![\w]){re.escape(name)}\b"
    if re.search(rf"{_STRANGE}[\w ]{{0,30}}{_NAMELESS}\b[^.!?\n]{{0,80}}?{called}", words):
        return True
    if _OF_A_VALUE.search(words) or re.search(rf"{called}\s*[=:(]\s*\d", words):
        return False
    of_names = rf"{_NOT_KNOWN}[\w ]{{0,30}}{_NAMELESS}\b"
    if name in {param.rpartition(".")[2] for param in error.params} and re.search(
        rf"{of_names}|extra_forbidden|not (?:support|permit|allow|recogni[sz])|unsupported|unexpected|unknown|"
        r"unrecogni[sz]ed|cannot find field",
        words,
    ):
        return True
    missing = (
        r"not (?:a )?(?:supported|permitted|allowed|recogni[sz]ed|accepted|known|valid|available)\b|unsupported|"
        r"unknown|unexpected|unrecogni[sz]ed|deprecated|cannot find field|extra"
    )
    return (
        re.search(rf"{of_names}[^.!?\n]{{0,80}}?{called}", words) is not None
        or re.search(rf"{_NOT_KNOWN}:? {called}", words) is not None
        or re.search(rf"{called}{quote}[^.!?\n]{{0,60}}?\b(?:{missing})", words) is not None
    )


def caps(error: ModelError, value: int) -> int | None:
    """The largest number below `value` in a refusal of it, which may be the most that the server takes."""
    numbers = map(int, re.findall(r"(?<![\w.])\d{1,4}(?![\w.]\w)", own_words(error)))
    return max((number for number in numbers if number < value), default=None)
