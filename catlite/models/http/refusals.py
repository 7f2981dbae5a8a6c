"""Why a server refuses, read from its status and its words, as an error that says what to do.

The same refusal comes in the words of many servers. What tells them apart, in this order: no credit is left; the key is
not accepted; the prompt is longer than the context; it came too soon, or the server failed; anything else. A phrase
counts only where the prompt that was sent does not hold it, because servers quote prompts. Phrases are those of vLLM,
SGLang, TGI, TensorRT-LLM, llama.cpp, Ollama, LM Studio, Xinference and of the providers that OpenAI's client reaches,
with a person's or two versions' worth of slack; a new one is a line here and a file in tests/models/http/replies/.
Left out: languages other than English and Chinese.
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
from catlite.messages import text_of
from catlite.models.http import words
from catlite.models.http.prices import whole
from catlite.models.http.retry import duration_in, retry_after

_SNIPPET = 300
_RETRYABLE = frozenset({408, 409, 425, 429})
_CODES = ("code", "type", "status", "status_code", "error_code", "http_status", "name")
_MESSAGES = ("message", "msg", "error_msg", "status_msg", "error_message", "errorMessage", "detail")
WRONG_ADDRESS = "check the model's name, and that base_url ends where the API begins (usually /v1)"

# What an error calls itself, where it stands in a 200 or names no number.
_STATUS_NAMES = {
    400: "badrequesterror failed_precondition invalid_argument invalid_request_error",
    401: "authentication_error invalid_api_key invalid_authentication_error unauthenticated unauthorized",
    403: "permission_denied permission_error",
    404: "model_not_found not_found not_found_error notfounderror",
    413: "request_too_large",
    429: "insufficient_quota rate_limit_error rate_limit_exceeded resource_exhausted",
    500: "api_error internal internal_server_error internalservererror server_error",
    503: "overloaded_error unavailable",
    504: "deadline_exceeded",
}
STATUSES = {name: status for status, names in _STATUS_NAMES.items() for name in names.split()}
# Names of errors that count with any status; the numbers are Zhipu's.
_CODE_NAMES = {
    "credit": "1113 arrearage billing_error billing_hard_limit_reached billing_not_active credit_balance_too_low "
    "exceeded_current_quota_error insufficient_balance insufficient_credits insufficient_funds insufficient_quota "
    "insufficient_user_quota payment_required pre_consume_token_quota_failed",
    "filter": "1301 content_filter content_policy_violation data_inspection_failed datainspectionfailed "
    "responsibleaipolicyviolation",
}
NO_CREDIT_CODES, FILTERED_CODES = (frozenset(names.split()) for names in _CODE_NAMES.values())


def _any(*phrases: str) -> re.Pattern[str]:
    return re.compile("|".join(phrases), re.IGNORECASE)


# --- no credit ---

NO_CREDIT = _any(
    r"insufficient[ _](?:account[ _]|user[ _])?(?:balance|credit|fund|quota)",
    r"(?:balance|credits?|funds|quota) (?:is |are )?(?:too low|insufficient|not (?:enough|sufficient)|exhausted"
    r"|depleted|used up)|credits? (?:has|have) been used up",
    r"(?:no|not have enough|not have any|n't have any|more|used all available|out of|add) credits?\b",
    r"(?:exceeded|reached|used) (?:your|its|the) (?:monthly|specified|current|total)? ?(?:included credits|api usage"
    r"|quota|spend)",
    r"(?:spend(?:ing)?|credit|billing(?: hard)?|billing_hard)[ _]limit|(?<!api )\bkey limit exceeded",
    r"account is not active|payment method|monthly (?:quota|limit|allowance|usage)",
    r"\b(?:in arrears|arrearage|overdue|payment required|unpaid|past invoices|in good standing|recharge|top up)\b",
    r"(?:limit|limited to|quota|calls)[^.]{0,30}(?:/|per) ?month",
    "欠费|余额不足|额度不足|充值",
)
# Allowances that come back by themselves.
WINDOW = _any(
    r"(?:per|/)[ _-]?(?:minute|min|second|sec|hour|day)|PerDay|PerMinute|PerHour",
    r"\b[rt]p[smhd]\b|(?:retry|try again)(?: your request)? (?:in|after) (?:about )?[\d~]",
    r"#token-limit|allocated quota|free_tier",
)
TOO_SOON = _any(r"rate[ _-]?limit", "too many requests", "throttl", "concurren", "too quickly", "slow down")

# --- the key ---

KEY = _any(
    r"(?:invalid|incorrect|missing|no|wrong|bad|expired|unknown|revoked)(?: or \w+)? (?:api|x-api|access)[ _-]?keys?\b",
    r"api[ _-]?key (?:is |was )?(?:not (?:valid|provided|found)|invalid|missing|expired|required|incorrect)",
    r"api_key_invalid|invalid_api_key|\bunauthorized\b|authentication (?:failed|is required)|invalid authentication",
)

# --- no such place ---

NO_SUCH_PATH = _any(
    r"unexpected endpoint",
    r"(?:unknown|invalid) (?:url|path|route|endpoint)",
    r"no such (?:route|endpoint|path)",
    r"cannot (?:post|get) /",
    r"^not found\b|\b404[ _]not[ _]found",
)
NO_SUCH_MODEL = _any(r"model\b.{0,120}(?:not found|does not exist|not exist|no longer available)", "unknown model")

# --- the context ---

CONTEXT_CODES = _any(
    r"context.{0,20}(?:exceed|length|size|window|limit)",
    r"(?:prompt|input|request|tokens?)_(?:is_)?too_(?:long|large|many)",
    "string_above_max_length",
    "^1261$",  # Zhipu
    "^3051$",  # Mistral
)
_WHAT = r"(?:prompts?|inputs?|messages?|conversation|request|query|text)"
_SIZE = r"context[ _-]?(?:length|size|window|limit)"
OVERFLOW = _any(
    r"max(?:imum)?[ _](?:model |allowed |total )?(?:context|prompt|input|sequence|model|allowed)[ _]?(?:token )?"
    r"(?:length|len|size|window)",
    rf"(?:exceed|longer than|larger than|greater than|bigger than|beyond|over(?:flow)?s? the|fit)[^.]{{0,60}}{_SIZE}",
    rf"{_SIZE}[^.]{{0,60}}(?:exceed|overflow|is full|too small|reached)",
    r"exceed\w*[^.]{0,40}(?:token limit|number of (?:input |prompt )?tokens|max_seq_len|max_num_tokens|max_model_len"
    r"|max(?:imum)? (?:input |prompt |allowed |token )?(?:length|tokens))",
    rf"\b{_WHAT}\b[^.]{{0,60}}\btoo (?:long|large|big)\b|\b{_WHAT}\b[^.]{{0,60}}exceed[^.]{{0,40}}\btokens",
    r"token limit exceeded|(?:input|prompt) tokens[^.]{0,60}exceed",
    r"too many (?:input |prompt |total )?tokens(?!,? please wait| per)",
    r"(?:reduce|shorten)(?: the| your)?(?: length| size| number of tokens)?(?: of| in)?(?: the| your)?"
    rf"(?: input)? {_WHAT}",
    r"(?:input|prompt|token)[ _](?:token[ _])?(?:count|length)[^.]{0,40}(?:exceed|should be \[|must be|is limited)",
    rf"{_WHAT}\W? must have less than|{_WHAT}\W? tokens \+ \W?max_\w*tokens\W? must be",
    r"tokens to keep from the initial prompt|keep the first \d+ tokens",
    r"default_max_tokens \(-|sum of prompt length|tokens[^.]{0,40}(?:cannot|should not) exceed",
    r"prompt has [\d,]+ tokens?, but|current length is \d+ while|expected maxlength: ?\d+",
    "tokens in request more than|request entity too large|payload too large",
    r"prompt ?超长|超(?:过|出)[^。]{0,12}(?:长度|上下文|token)|(?:长度|上下文|tokens?)[^。]{0,12}超(?:过|出|限|长)",
)
# Words about prompt and limit together, which trimming the prompt helps.
BOTH = _any(
    rf"{_WHAT}\W? tokens \+",
    r"input length and \W?max_tokens",
    rf"tokens? (?:in|from) (?:the |your )?(?:input )?{_WHAT}",
    r"output tokens and your prompt|input tokens and requested|sum of prompt length",
    r"prompt(?: length| tokens)?\W{0,3}(?:\d+\W{0,3})?\+",
)
# A limit on our own setting: a shorter prompt would be refused as well.
SETTING = _any(
    r"\bmax_(?:new_|completion_|output_)?tokens\b(?:(?!\bprompt|\binput)[^.]){0,40}"
    r"(?:\bvalue\b|\bis (?:too|greater|larger|\d)|must be|should be|\bcan(?:not|'t)|exceeds)",
    r"invalid max_(?:new_|completion_|output_)?tokens|at most \d+ (?:completion|output) tokens",
)
DIFFERENCE = re.compile(r"\((\d+) > (\d+) - (\d+)\)")  # max_tokens, context, prompt: vLLM's
_N = r"(\d[\d,]*)"
LIMIT = _any(
    rf"max(?:imum)?[\w ]{{0,24}}(?:length|len|size|window)(?: of this model)?(?: is| of|:)?(?: only)?\W{{0,2}}{_N}",
    rf"{_SIZE}(?: is| of|:)?(?: only)?\s*\(?{_N}",
    rf"> {_N}|<= {_N}|>= n_ctx: ?{_N}|less than {_N} tokens|allowed:? \(?{_N}|token limit: ?{_N}|\[\d+, ?{_N}\]",
    rf"max_(?:seq_len|num_tokens|model_len)\s*\(?{_N}|limit (?:is|of) {_N}|with {_N} maximum context",
    rf"cannot exceed {_N}|supports up to {_N}|max_prompt_tokens \({_N}|maximum of {_N}",
    rf"max input tokens: {_N}|maxlength: ?{_N}|\bLimit {_N}|exceeds limit of {_N}",
)
GIVEN = _any(
    rf"(?:resulted in|request \(|you requested a total of|total of at least|you requested|requested about) ?{_N}",
    r"(?:you passed|contains|has|count is|given:|received|n_keep:|requested:?|actual:|current length is|the first)"
    rf" {_N}",
    rf"(?:too long:|length|count|count:|count of|tokens|prompt_len|input|prompt) \(?{_N}",
)
WRITTEN = re.compile(rf"(?:requested|and|\+) {_N} (?:output|completion|`max_new_tokens`|tokens for)", re.IGNORECASE)
SUM = re.compile(rf"{_N} \+ {_N} > {_N}")

FLAGGED = _any(r"(?:input|prompt|content|request) was flagged", r"requires moderation")


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
        names = [STATUSES[code] for code in self.codes if code in STATUSES]
        return next(iter([*numbers, *names]), None)

    @property
    def kind(self) -> int | None:
        """The status that the words stand for, for an error without one."""
        kinds = {
            402: self.is_about_credit,
            400: self.overflows(400),
            401: self.says(KEY),
            404: self.says(NO_SUCH_PATH) or self.says(NO_SUCH_MODEL),
            429: self.says(TOO_SOON) or self.says(WINDOW),
        }
        return next((status for status, fits in kinds.items() if fits), None)

    def says(self, pattern: re.Pattern[str], *, in_codes: bool = True) -> bool:
        """True when the server says so itself, not in a quotation of the prompt."""
        text = " ".join([self.message, *self.codes]) if in_codes else self.message
        return any(match[0] not in self.quoted for match in pattern.finditer(text))

    @property
    def is_about_credit(self) -> bool:
        """True when waiting would not help: an allowance per minute or day comes back, a balance does not."""
        if self.says(WINDOW, in_codes=False):
            return False
        if NO_CREDIT_CODES & set(self.codes):
            return True
        return self.says(NO_CREDIT, in_codes=False) and not self.says(TOO_SOON)

    def is_filter(self, status: int) -> bool:
        """True when a provider's content filter refuses a prompt or a reply, with this HTTP status."""
        if status not in (400, 403, 451):
            return False
        flagged = status == 403 and self.says(FLAGGED, in_codes=False)
        return flagged or bool(FILTERED_CODES & set(self.codes))

    def overflows(self, status: int) -> bool:
        """True when a shorter prompt would be taken."""
        if status == 429:  # more than a minute allows: waiting never makes it fit
            return re.search(r"request too large", self.message, re.IGNORECASE) is not None
        if status == 413:
            return True
        if difference := DIFFERENCE.search(self.message):
            return int(difference[1]) < int(difference[2])
        if self.says(SETTING) and not self.says(BOTH):
            return False
        coded = any(CONTEXT_CODES.search(code) for code in self.codes)
        return coded or self.says(OVERFLOW, in_codes=False)

    def figures(self) -> tuple[int | None, int | None]:
        """(tokens of the prompt, the limit), None where the server does not tell."""
        tokens, limit = (whole(self.fields.get(name)) for name in ("n_prompt_tokens", "n_ctx"))
        if tokens and limit:
            return tokens, limit
        if difference := DIFFERENCE.search(self.message):
            return int(difference[1]) + int(difference[3]), int(difference[2])
        if added := SUM.search(self.message):
            return _number(added[1]) + _number(added[2]), _number(added[3])
        limit = next((number for number in _numbers(LIMIT, self.message) if number >= 16), None)
        if limit is None:
            return None, None
        prompts = _numbers(GIVEN, self.message)
        written = next(iter(_numbers(WRITTEN, self.message)), None)
        sums = [number + written for number in prompts if written is not None and number != written]
        return next((number for number in [*prompts, *sums] if number > limit), None), limit

    def error(self, status: int, headers: Mapping[str, str], message: str, key: str = "OPENAI_API_KEY") -> ModelError:
        """The error for this refusal with an HTTP status; `message` begins it, and `key` names the key's variable."""
        text = snippet(self.message)
        error = self._error(status, headers, f"{message}: {text}" if text else f"{message} with an empty body", key)
        error.reason, error.params = words.read(self.body)
        return error

    def _error(self, status: int, headers: Mapping[str, str], message: str, key: str) -> ModelError:
        if status == 402 or (status < 500 and self.is_about_credit):
            fewer = " (or, where it names max_tokens, lower that)" if "max_tokens" in self.message else ""
            return QuotaExhausted(f"{message}; add credit or use another key{fewer}", status=status)
        if status in (401, 403) or (status == 400 and self.says(KEY)):
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
        elif self.says(SETTING):
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
    if status is not None and status >= 500 and refusal.says(NO_SUCH_PATH, in_codes=False):
        status = 404  # a gateway that does not know the path
    if status is None or status < 400:
        status = refusal.kind
    if status is None:
        return None
    refusal = replace(refusal, body=reply.get("error") or reply)
    return refusal.error(status, headers, f"{who} answered 200 with an error, {status}")


def prompt_text(messages: Any) -> str:
    """All texts of chat messages as one, for finding quotations of them in an error."""
    return "\n".join(text_of(message) for message in messages or () if isinstance(message, dict))


def snippet(text: str) -> str:
    """`text` on one line, short enough for an error: at most 300 characters of it, and how many there were."""
    text = " ".join(text.split())
    return text if len(text) <= _SNIPPET else f"{text[:_SNIPPET]}… ({len(text):,} characters)"
