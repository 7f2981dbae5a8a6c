"""Why a server refuses, read from its status and its words, as an error that says what to do.

The same refusal comes in the words of many servers. What tells them apart, in this order: no credit is left; the key is
not accepted; the prompt is longer than the context; it came too soon, or the server failed; anything else. A phrase
counts only where the prompt that was sent does not hold it, because servers quote prompts. The phrases stand in
wordings.py. Left out: languages other than English and Chinese.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
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
_CODES = ("code", "type", "status", "status_code", "error_code", "http_status", "name")
_MESSAGES = ("message", "msg", "error_msg", "status_msg", "error_message", "errorMessage", "detail")
WRONG_ADDRESS = "check the model's name, and that base_url ends where the API begins (usually /v1)"


@dataclass(frozen=True)
class Refusal:
    """The message and codes of an error's body; words that stand in `quoted`, the prompt, are not the server's own."""

    message: str
    body: Any  # the whole, as parsed JSON
    codes: tuple[str, ...] = ()  # names and numbers of the error, in lower case
    fields: Mapping[str, Any] = field(default_factory=dict)
    quoted: str = ""

    @property
    def status(self) -> int | None:
        """The HTTP status that the codes tell."""
        numbers = [int(code) for code in self.codes if re.fullmatch(r"[345]\d\d", code)]
        names = [wordings.STATUSES[code] for code in self.codes if code in wordings.STATUSES]
        return next(iter([*numbers, *names]), None)

    @property
    def kind(self) -> int | None:
        """The status that the words stand for, for an error without one."""
        kinds = {
            402: self.is_about_credit,
            400: self.overflows(400),
            401: self.says(wordings.KEY),
            404: self.says(wordings.NO_SUCH_PATH) or self.says(wordings.NO_SUCH_MODEL),
            429: self.says(wordings.TOO_SOON) or self.says(wordings.WINDOW),
        }
        return next((status for status, fits in kinds.items() if fits), None)

    def says(self, pattern: re.Pattern[str], *, in_codes: bool = True) -> bool:
        """True when the server says so itself, not in a quotation of the prompt."""
        text = " ".join([self.message, *self.codes]) if in_codes else self.message
        return any(match[0] not in self.quoted for match in pattern.finditer(text))

    @property
    def is_about_credit(self) -> bool:
        """True when waiting would not help: an allowance per minute or day comes back, a balance does not."""
        if self.says(wordings.WINDOW, in_codes=False):
            return False
        if wordings.NO_CREDIT_CODES & set(self.codes):
            return True
        return self.says(wordings.NO_CREDIT, in_codes=False) and not self.says(wordings.TOO_SOON)

    def is_filter(self, status: int) -> bool:
        """True when a provider's content filter refuses a prompt or a reply, with this HTTP status."""
        if status not in (400, 403, 451):
            return False
        flagged = status == 403 and self.says(wordings.FLAGGED, in_codes=False)
        return flagged or bool(wordings.FILTERED_CODES & set(self.codes))

    def overflows(self, status: int) -> bool:
        """True when a shorter prompt would be taken."""
        if status == 429:  # more than a minute allows: waiting never makes it fit
            return re.search(r"request too large", self.message, re.IGNORECASE) is not None
        if status == 413:
            return True
        if difference := wordings.DIFFERENCE.search(self.message):
            return int(difference[1]) < int(difference[2])
        if self.says(wordings.SETTING) and not self.says(wordings.BOTH):
            return False
        coded = any(wordings.CONTEXT_CODES.search(code) for code in self.codes)
        return coded or self.says(wordings.OVERFLOW, in_codes=False)

    def figures(self) -> tuple[int | None, int | None]:
        """(tokens of the prompt, the limit), None where the server does not tell."""
        tokens, limit = (whole(self.fields.get(name)) for name in ("n_prompt_tokens", "n_ctx"))
        if tokens and limit:
            return tokens, limit
        if difference := wordings.DIFFERENCE.search(self.message):
            return int(difference[1]) + int(difference[3]), int(difference[2])
        if added := wordings.SUM.search(self.message):
            return _number(added[1]) + _number(added[2]), _number(added[3])
        limit = next((number for number in _numbers(wordings.LIMIT, self.message) if number >= 16), None)
        if limit is None:
            return None, None
        prompts = _numbers(wordings.GIVEN, self.message)
        written = next(iter(_numbers(wordings.WRITTEN, self.message)), None)
        sums = [number + written for number in prompts if written is not None and number != written]
        return next((number for number in [*prompts, *sums] if number > limit), None), limit

    def error(self, status: int, headers: Mapping[str, str], message: str, key: str = "OPENAI_API_KEY") -> ModelError:
        """The error for this refusal with an HTTP status; `message` begins it, and `key` names the key's variable."""
        error = self._error(status, headers, f"{message}: {snippet(self.message)}", key)
        error.reason, error.params = words.read(self.body)
        return error

    def _error(self, status: int, headers: Mapping[str, str], message: str, key: str) -> ModelError:
        if status == 402 or (status < 500 and self.is_about_credit):
            fewer = " (or, where it names max_tokens, lower that)" if "max_tokens" in self.message else ""
            return QuotaExhausted(f"{message}; add credit or use another key{fewer}", status=status)
        if status in (401, 403) or (status == 400 and self.says(wordings.KEY)):
            return AuthenticationFailed(f"{message}; check the API key (api_key= or {key})", status=status)
        if status not in (404, 408, 409) and self.overflows(status):
            tokens, limit = self.figures()
            return ContextOverflow(message, status=status, limit=limit, given=tokens)
        if status in _RETRYABLE or status >= 500:
            wait = retry_after(headers)
            wait = duration_in(self.message) if wait is None else wait
            return EndpointUnavailable(message, status=status, retry_after=wait)
        if status in (404, 405):
            message += f"; {WRONG_ADDRESS}"
        elif self.says(wordings.SETTING):
            message += "; lower max_tokens"
        return RequestRejected(message, status=status)


def _numbers(pattern: re.Pattern[str], text: str) -> list[int]:
    return [_number(next(group for group in match.groups() if group)) for match in pattern.finditer(text)]


def _number(digits: str) -> int:
    digits = digits.replace(",", "")
    return int(digits) if len(digits) < 12 else 0


def read_refusal(body: Any, prompt: str = "") -> Refusal:
    """Read an error's body, in any of the shapes servers use; one without a message is its own message.

    `body` is the reply's text or parsed JSON; `prompt` is the text that was sent, which the body may quote.
    """
    if isinstance(body, str):
        try:
            body = json.loads(body)
        except (ValueError, RecursionError):
            return Refusal(body, body, quoted=prompt)
    outer = body[0] if isinstance(body, list) and len(body) == 1 else body  # Gemini sends a list of one
    if not isinstance(outer, dict):
        return Refusal(_text(outer), body, quoted=prompt)
    inner = next((outer[name] for name in ("error", "errors", "base_resp") if outer.get(name)), outer)
    inner = inner[0] if isinstance(inner, list) and inner else inner
    fields = inner if isinstance(inner, dict) else {}
    codes = [level[name] for level in (fields, outer) for name in _CODES if isinstance(level.get(name), str | int)]
    innermost = fields.get("innererror")
    if isinstance(innermost, dict) and isinstance(innermost.get("code"), str):
        codes.append(innermost["code"])
    names = dict.fromkeys(str(code).lower() for code in codes if not isinstance(code, bool))
    return Refusal(_message(inner, fields), body, tuple(names), fields, prompt)


def _message(inner: Any, fields: Mapping[str, Any]) -> str:
    texts = (fields.get(name) for name in _MESSAGES)
    message = next((text for text in texts if isinstance(text, str) and text), None)
    if message is None:
        return _text(inner)
    metadata, details = fields.get("metadata"), fields.get("details")
    upstream = metadata.get("raw") if isinstance(metadata, dict) else None  # OpenRouter's provider
    parts = [part for part in details if isinstance(part, dict)] if isinstance(details, list) else []
    limits = [part for part in parts if "Quota" in str(part.get("@type")) or "retryDelay" in part]  # Google's
    return ": ".join([message, *map(_text, [upstream] if upstream else []), *map(_text, limits)])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def status_error(
    status: int, body: Any, headers: Mapping[str, str], who: str, key: str = "OPENAI_API_KEY", *, prompt: str = ""
) -> ModelError:
    """The error for an HTTP status that is not a success, not raised.

    `who` is the server's name in messages, `key` the environment variable that holds the API key, and `prompt` the text
    that was sent, which the body may quote.
    """
    return read_refusal(body, prompt).error(status, headers, f"{who} answered {status}", key)


def error_in_reply(
    reply: Mapping[str, Any], headers: Mapping[str, str], who: str, prompt: str = ""
) -> ModelError | None:
    """The error for a 200 that holds an error, as if it had come with that error's status, not raised.

    None where the words of the reply, or of one choice of it, tell no kind: that may pass when asked again.
    """
    refusal = read_refusal(dict(reply), prompt)
    status = refusal.status
    if status is not None and status >= 500 and refusal.says(wordings.NO_SUCH_PATH, in_codes=False):
        status = 404  # a gateway that does not know the path
    if status is None or status < 400:
        status = refusal.kind
    if status is None:
        return None
    refusal = replace(refusal, body=reply.get("error") or reply)
    return refusal.error(status, headers, f"{who} answered 200 with an error, {status}")


def prompt_text(messages: Any) -> str:
    """All texts of chat messages as one, for finding quotations of them in an error."""
    return "\n".join(str(message.get("content")) for message in messages or () if isinstance(message, dict))


def snippet(text: str) -> str:
    """`text` on one line, short enough for an error: at most 300 characters of it, and how many there were."""
    text = " ".join(text.split())
    return text if len(text) <= _SNIPPET else f"{text[:_SNIPPET]}… ({len(text):,} characters)"
