"""Why a server refuses, read from its status and its words, as an error that says what to do.

The same refusal comes in the words of many servers. What tells them apart, in this order: no credit is left; the key is
not accepted; the prompt is longer than the context; it came too soon, or the server failed; anything else. A phrase
counts only where the prompt that was sent does not hold it, because servers quote prompts. Left out: languages other
than English and Chinese.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from catlite.errors import (
    AuthenticationFailed,
    ContextOverflow,
    EndpointUnavailable,
    ModelError,
    QuotaExhausted,
    RequestRejected,
)
from catlite.models.http import wordings, words
from catlite.models.http.counts import whole
from catlite.models.http.retry import duration_in, retry_after

_SNIPPET = 300
_RETRYABLE = frozenset({408, 409, 425, 429})
WRONG_ADDRESS = "check the model's name, and that base_url ends where the API begins (usually /v1)"


@dataclass(frozen=True)
class Refusal:
    """What an error's body says: for people, for the patterns above, and what it calls itself."""

    message: str
    codes: tuple[str, ...] = ()  # lower case
    status: int | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    quoted: str = ""  # what was sent, of which nothing counts as the server's words

    @property
    def words(self) -> str:
        """Message and codes as one text."""
        return " ".join([self.message, *self.codes])

    def says(self, pattern: re.Pattern[str], text: str | None = None) -> bool:
        """True when the server says so itself, not in a quotation of the prompt."""
        matches = pattern.finditer(self.words if text is None else text)
        return any(match[0] not in self.quoted for match in matches)


def read_refusal(body: Any, prompt: str = "") -> Refusal:
    """The refusal in an error's body, in any of the shapes servers use.

    Args:
        body: the reply's text, or what JSON made of it.
        prompt: what was sent, which the body may quote.

    Returns:
        The refusal; a body without a message is its own message.

    Example:
        >>> read_refusal('{"error": {"message": "no", "code": 400}}').status
        400
    """
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            return Refusal(body, quoted=prompt)
    whole = body[0] if isinstance(body, list) and len(body) == 1 else body  # Gemini sends a list of one
    if not isinstance(whole, dict):
        return Refusal(_text(whole), quoted=prompt)
    inner = next((whole[name] for name in ("error", "errors", "base_resp") if whole.get(name)), whole)
    inner = inner[0] if isinstance(inner, list) and inner else inner
    fields = inner if isinstance(inner, dict) else {}
    levels = [fields, whole]
    names = ("code", "type", "status", "status_code", "error_code", "http_status", "name")
    codes = [level[name] for level in levels for name in names if isinstance(level.get(name), str | int)]
    innermost = fields.get("innererror")
    if isinstance(innermost, dict) and isinstance(innermost.get("code"), str):
        codes.append(innermost["code"])
    names_seen = tuple(dict.fromkeys(str(code).lower() for code in codes if not isinstance(code, bool)))
    return Refusal(_message(inner, fields), names_seen, _status(names_seen), fields, prompt)


def _message(inner: Any, fields: Mapping[str, Any]) -> str:
    names = ("message", "msg", "error_msg", "status_msg", "error_message", "errorMessage")
    message = next((fields[name] for name in names if isinstance(fields.get(name), str) and fields[name]), None)
    detail = fields.get("detail")
    if message is None and isinstance(detail, str):
        message = detail
    if message is None:
        return _text(inner)
    metadata = fields.get("metadata")
    upstream = metadata.get("raw") if isinstance(metadata, dict) else None  # OpenRouter's provider
    details = fields.get("details")
    details = [part for part in details if isinstance(part, dict)] if isinstance(details, list) else []
    limits = [part for part in details if "Quota" in str(part.get("@type")) or "retryDelay" in part]  # Google's
    return ": ".join([message, *map(_text, [upstream] if upstream else []), *map(_text, limits)])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _status(codes: tuple[str, ...]) -> int | None:
    numbers = [int(code) for code in codes if re.fullmatch(r"[345]\d\d", code)]
    named = [wordings.STATUSES[code] for code in codes if code in wordings.STATUSES]
    return next(iter([*numbers, *named]), None)


def status_error(
    status: int, body: str, headers: Mapping[str, str], who: str, key: str = "OPENAI_API_KEY", *, prompt: str = ""
) -> ModelError:
    """The error for an HTTP status that is not a success.

    Args:
        status: the HTTP status.
        body: the reply's text.
        headers: the reply's headers, for Retry-After.
        who: how errors call the server.
        key: the environment variable that holds the API key.
        prompt: the text that was sent, which the body may quote; empty by default.

    Returns:
        QuotaExhausted, AuthenticationFailed, ContextOverflow, EndpointUnavailable or RequestRejected, not raised.

    Example:
        >>> type(status_error(402, "", {}, "server")).__name__
        'QuotaExhausted'
    """
    error = _typed(read_refusal(body, prompt), status, headers, f"{who} answered {status}", key)
    error.reason, error.params = words.read(body)
    return error


def error_in_reply(
    reply: Mapping[str, Any], headers: Mapping[str, str], who: str, prompt: str = ""
) -> ModelError | None:
    """The error for a 200 that holds an error, as if it had come with that error's status; None when it tells none.

    Args:
        reply: the reply, or one choice of it.
        headers: the reply's headers, for Retry-After.
        who: how errors call the server.
        prompt: the text that was sent, which the reply may quote.

    Returns:
        The error, not raised; None where the words tell no kind, which may pass when asked again.
    """
    refusal = read_refusal(dict(reply), prompt)
    status = refusal.status
    if status is not None and status >= 500 and refusal.says(wordings.NO_SUCH_PATH, refusal.message):
        status = 404  # what a gateway says of a path it does not know
    if status is None or status < 400:
        status = next((number for number, fits in _kinds(refusal) if fits), None)
    if status is None:
        return None
    error = _typed(refusal, status, headers, f"{who} answered 200 with an error, {status}")
    error.reason, error.params = words.read(json.dumps(reply.get("error") or reply))
    return error


def _kinds(refusal: Refusal) -> Iterator[tuple[int, bool]]:
    """The status that each kind of words stands for, where none is told."""
    yield 402, _no_credit(refusal)
    yield 400, _overflows(refusal, 400)
    yield 401, refusal.says(wordings.KEY)
    yield 404, refusal.says(wordings.NO_SUCH_PATH) or refusal.says(wordings.NO_SUCH_MODEL)
    yield 429, refusal.says(wordings.TOO_SOON) or refusal.says(wordings.WINDOW)


def _typed(
    refusal: Refusal, status: int, headers: Mapping[str, str], message: str, key: str = "OPENAI_API_KEY"
) -> ModelError:
    message = f"{message}: {snippet(refusal.message)}"
    if status == 402 or (status < 500 and _no_credit(refusal)):
        fewer = " (or, where it names max_tokens, lower that)" if "max_tokens" in refusal.message else ""
        return QuotaExhausted(f"{message}; add credit or use another key{fewer}", status=status)
    if status in (401, 403) or (status == 400 and refusal.says(wordings.KEY)):
        return AuthenticationFailed(f"{message}; check the API key (api_key= or {key})", status=status)
    if status not in (404, 408, 409) and _overflows(refusal, status):
        given, limit = _figures(refusal)
        return ContextOverflow(message, status=status, limit=limit, given=given)
    if status in _RETRYABLE or status >= 500:
        wait = retry_after(headers)
        return EndpointUnavailable(
            message, status=status, retry_after=duration_in(refusal.message) if wait is None else wait
        )
    if status in (404, 405):
        message += f"; {WRONG_ADDRESS}"
    elif refusal.says(wordings.SETTING):
        message += "; lower max_tokens"
    return RequestRejected(message, status=status)


def _no_credit(refusal: Refusal) -> bool:
    """True when waiting would not help: an allowance per minute or day comes back, a balance does not."""
    if refusal.says(wordings.WINDOW, refusal.message):
        return False
    if wordings.NO_CREDIT_CODES & set(refusal.codes):
        return True
    return refusal.says(wordings.NO_CREDIT, refusal.message) and not refusal.says(wordings.TOO_SOON)


def _overflows(refusal: Refusal, status: int) -> bool:
    """True when a shorter prompt would be taken."""
    large = re.search(r"request too large", refusal.message, re.IGNORECASE)  # for what a minute allows: never fits
    if status == 413 or (status == 429 and large):
        return True
    if status == 429:
        return False
    difference = wordings.DIFFERENCE.search(refusal.message)
    if difference is not None:
        return int(difference[1]) < int(difference[2])
    if refusal.says(wordings.SETTING) and not refusal.says(wordings.BOTH):
        return False
    if any(wordings.CONTEXT_CODES.search(code) for code in refusal.codes):
        return True
    return refusal.says(wordings.OVERFLOW, refusal.message)


def _figures(refusal: Refusal) -> tuple[int | None, int | None]:
    """Tokens given and the most that may be, as far as they are told."""
    fields, message = refusal.fields, refusal.message
    given, limit = (whole(fields.get(name)) for name in ("n_prompt_tokens", "n_ctx"))
    if given and limit:
        return given, limit
    if difference := wordings.DIFFERENCE.search(message):
        return int(difference[1]) + int(difference[3]), int(difference[2])
    if added := wordings.SUM.search(message):
        return _number(added[1]) + _number(added[2]), _number(added[3])
    limits = [_number(_group(match)) for match in wordings.LIMIT.finditer(message)]
    givens = [_number(_group(match)) for match in wordings.GIVEN.finditer(message)]
    limit = next((number for number in limits if number >= 16), None)
    if limit is None:
        return None, None
    more = [number for number in givens if number > limit]
    if more:
        return more[0], limit
    written = wordings.WRITTEN.search(message)
    sums = [number + _number(written[1]) for number in givens if written and number != _number(written[1])]
    return next((number for number in sums if number > limit), None), limit


def _group(match: re.Match[str]) -> str:
    return next(group for group in match.groups() if group)


def _number(digits: str) -> int:
    digits = digits.replace(",", "")
    return int(digits) if len(digits) < 12 else 0


def is_content_filter(status: int, body: str, prompt: str = "") -> bool:
    """Whether an error is a provider's content filter, which refuses a prompt or a reply.

    Args:
        status: the HTTP status.
        body: the error's text.
        prompt: what was sent, which the body may quote; empty by default.

    Returns:
        True for a filter's code, or for a 403 that speaks of moderation.

    Example:
        >>> is_content_filter(400, '{"error": {"code": "content_filter"}}')
        True
    """
    if status not in (400, 403, 451):
        return False
    refusal = read_refusal(body, prompt)
    flagged = status == 403 and refusal.says(wordings.FLAGGED, refusal.message)
    return bool(wordings.FILTERED_CODES & set(refusal.codes)) or flagged


def prompt_text(messages: Any) -> str:
    """All texts of chat messages as one, for finding what an error quotes of them.

    Args:
        messages: chat messages, or None.

    Returns:
        The contents, a line break between them.

    Example:
        >>> prompt_text([{"role": "user", "content": "Why?"}])
        'Why?'
    """
    return "\n".join(str(message.get("content")) for message in messages or () if isinstance(message, dict))


def snippet(text: str) -> str:
    """`text` on one line, short enough for an error.

    Args:
        text: any text.

    Returns:
        At most 300 characters of it, and how many there were.

    Example:
        >>> snippet("two\\nlines")
        'two lines'
    """
    text = " ".join(text.split())
    return text if len(text) <= _SNIPPET else f"{text[:_SNIPPET]}… ({len(text):,} characters)"
