"""What comes back over HTTP, made into Rollouts or into errors that say what to do.

A 200 is believed only when it holds choices; text is only what stands in `content` (never the reasoning beside
it); counts a server does not give are unknown.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from catlite.data import Rollout, Usage
from catlite.errors import (
    AuthenticationFailed,
    BadReply,
    ContextOverflow,
    EndpointUnavailable,
    ModelError,
    QuotaExhausted,
    RequestRejected,
)
from catlite.models.prices import Price
from catlite.models.retry import retry_after

_SNIPPET = 300
_RETRYABLE = frozenset({408, 409, 429})
_OVERFLOW = re.compile(
    r"context.{0,40}(length|size|window)|maximum context|too many tokens|prompt is too long", re.IGNORECASE
)
_LIMIT = re.compile(r"(?:context length (?:is|of)(?: only)?|context size \()\D{0,3}(\d+)", re.IGNORECASE)
_GIVEN = re.compile(r"(?:resulted in|request \(|you requested|requested about|you passed|has) ?(\d+)", re.IGNORECASE)


def parse(body: str, who: str) -> dict[str, Any]:
    """`body` as a JSON object that holds at least one choice; BadReply otherwise."""
    try:
        reply = json.loads(body)
    except (ValueError, RecursionError):
        raise BadReply(f"{who} answered 200 with something that is not JSON: {snippet(body)}") from None
    if isinstance(reply, dict) and reply.get("error"):
        raise BadReply(f"{who} answered 200 with an error: {snippet(_error_text(reply['error']))}")
    if not isinstance(reply, dict) or not isinstance(reply.get("choices"), list) or not reply["choices"]:
        raise BadReply(f"{who} answered 200 without choices: {snippet(body)}")
    return reply


def rollouts(reply: Mapping[str, Any], who: str, price: Price | None, seconds: float) -> list[Rollout]:
    """One Rollout per choice. The request's prompt tokens and seconds stand on the first, so that sums are right."""
    choices = [_choice(choice, who) for choice in reply["choices"]]
    prompt, completion, cached = _counts(reply, [text for text, *_ in choices], [c[3] for c in choices])
    found = []
    for number, (text, finish_reason, reasoning, logprobs, alternatives) in enumerate(choices):
        mine = (prompt, completion[number], cached) if number == 0 else (0, completion[number], 0)
        cost = price.cost(*mine) if price else None
        usage = Usage(*mine, cost, int(number == 0), seconds if number == 0 else 0.0, generations=1)
        found.append(Rollout(text, None, finish_reason, logprobs, usage, reasoning, alternatives=alternatives))
    return found


_Choice = tuple[str, str | None, str | None, tuple[float, ...] | None, tuple[tuple[str, float], ...] | None]


def _choice(choice: Any, who: str) -> _Choice:
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise BadReply(f"{who} returned a choice without a message: {snippet(json.dumps(choice))}")
    content = message.get("content")
    if isinstance(content, list):  # parts, as some servers send them; what is not text is not an answer
        texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        content = "".join(text for text in texts if isinstance(text, str))
    if content is not None and not isinstance(content, str):
        raise BadReply(f"{who} returned content that is {type(content).__name__}, not text: {snippet(str(content))}")
    finish_reason = choice.get("finish_reason")
    if not content and message.get("refusal"):
        finish_reason = "refusal"
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    finish_reason = sys.intern(finish_reason) if isinstance(finish_reason, str) else None
    reasoning = reasoning if isinstance(reasoning, str) else None
    given = choice.get("logprobs")
    return content or "", finish_reason, reasoning, _logprobs(given), _alternatives(given)


def _logprobs(given: Any) -> tuple[float, ...] | None:
    tokens = given.get("content") if isinstance(given, dict) else None
    if not isinstance(tokens, list):
        return None
    numbers: list[Any] = [token.get("logprob") if isinstance(token, dict) else None for token in tokens]
    return tuple(map(float, numbers)) if all(isinstance(number, int | float) for number in numbers) else None


def _alternatives(given: Any) -> tuple[tuple[str, float], ...] | None:
    """The likeliest first tokens with their log-probabilities; None where no more than the sampled one is listed."""
    tokens = given.get("content") if isinstance(given, dict) else None
    first = tokens[0] if isinstance(tokens, list) and tokens else None
    listed = first.get("top_logprobs") if isinstance(first, dict) else None
    if not isinstance(listed, list) or len(listed) < 2:
        return None
    pairs = [(one.get("token"), one.get("logprob")) for one in listed if isinstance(one, dict)]
    return tuple((t, float(p)) for t, p in pairs if isinstance(t, str) and isinstance(p, int | float)) or None


def _counts(
    reply: Mapping[str, Any], texts: list[str], logprobs: list[tuple[float, ...] | None]
) -> tuple[int | None, list[int] | list[None], int | None]:
    """Prompt tokens, completion tokens per choice, cached prompt tokens."""
    usage = reply.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    prompt, total = _count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens"))
    details = usage.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    if cached is None and prompt is not None:
        cached = 0  # a server that counts prompt tokens and names no cached ones billed them all in full
    if len(texts) == 1:
        return prompt, [total] if total is not None else [None], cached
    if "timings" in reply:  # llama.cpp counts one choice only, whatever n was
        counted = [len(tokens) for tokens in logprobs if tokens is not None]
        return prompt, counted if len(counted) == len(texts) else [None] * len(texts), cached
    if total is None:
        return prompt, [None] * len(texts), cached
    return prompt, _shares(total, [len(text) for text in texts]), cached


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _shares(total: int, weights: list[int]) -> list[int]:
    """`total` split in proportion to `weights` in whole numbers whose sum is exact."""
    weights = weights if any(weights) else [1] * len(weights)
    edges = [round(total * sum(weights[:number]) / sum(weights)) for number in range(len(weights) + 1)]
    return [high - low for low, high in pairwise(edges)]


def status_error(status: int, body: str, headers: Mapping[str, str], who: str) -> ModelError:
    """The error for an HTTP status that is not a success."""
    try:
        error = json.loads(body)
        error = error.get("error", error) if isinstance(error, dict) else error
    except (ValueError, RecursionError):
        error = body
    code = str(error.get("code") or error.get("type") or "") if isinstance(error, dict) else ""
    said = f"{who} answered {status}: {snippet(_error_text(error))}"
    if status in (401, 403):
        return AuthenticationFailed(f"{said}; check the API key (api_key= or OPENAI_API_KEY)", status=status)
    if status == 402 or (status == 429 and code == "insufficient_quota"):
        return QuotaExhausted(f"{said}; add credit or use another key", status=status)
    if status in _RETRYABLE or status >= 500:
        return EndpointUnavailable(said, status=status, retry_after=retry_after(headers))
    if status in (400, 413, 422) and (_OVERFLOW.search(said) or "context" in code):
        given, limit = _GIVEN.search(said), _LIMIT.search(said)
        counts = error if isinstance(error, dict) else {}
        return ContextOverflow(
            said,
            status=status,
            limit=_count(counts.get("n_ctx")) or (int(limit[1]) if limit else None),
            given=_count(counts.get("n_prompt_tokens")) or (int(given[1]) if given else None),
        )
    if status == 404:
        said += "; check the model's name, and that base_url ends where the API begins (usually /v1)"
    return RequestRejected(said, status=status)


def is_content_filter(body: str) -> bool:
    """True for the 400 by which Azure refuses a prompt or a reply."""
    return '"content_filter"' in body


def _error_text(error: Any) -> str:
    message = error.get("message", error) if isinstance(error, dict) else error
    return message if isinstance(message, str) else json.dumps(message)


def snippet(text: str) -> str:
    """`text` on one line, short enough for an error."""
    text = " ".join(text.split())
    return text if len(text) <= _SNIPPET else f"{text[:_SNIPPET]}… ({len(text):,} characters)"
