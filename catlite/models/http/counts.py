"""Token counts from a reply's usage, in any of the shapes servers give: all that is billed, or unknown, never 0.

Thinking is billed as completion, whether a server counts it inside its completion tokens (OpenAI, DeepSeek) or beside
them (Gemini, xAI): where the total is more than the parts, the rest is counted as written. Left out: the price of
writing a prompt cache, and audio.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

# The names under which servers give a count.
_NAMES = {
    "prompt": "prompt_tokens input_tokens promptTokenCount prompt_token_count prompt_eval_count",
    "completion": "completion_tokens output_tokens candidatesTokenCount candidates_token_count eval_count",
    "total": "total_tokens totalTokenCount total_token_count",
    "thinking": "reasoning_tokens thoughtsTokenCount thoughts_token_count thinking_tokens",
    "cached": "cached_tokens prompt_cache_hit_tokens cache_read_input_tokens cachedContentTokenCount "
    "cached_content_token_count",
}
_KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split()}
# Objects inside the usage, and the only count that is read from them.
_DETAILS = {
    "prompt_tokens_details": "cached",
    "input_tokens_details": "cached",
    "completion_tokens_details": "thinking",
    "output_tokens_details": "thinking",
}
_USAGE = ("usage", "usageMetadata", "usage_metadata")


class Counts(NamedTuple):
    """Tokens of one request; None is unknown."""

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None  # the part of `prompt` that the server had in its cache


def counts(reply: Mapping[str, Any], *, wrote: bool = True) -> Counts:
    """The tokens that a reply says were billed; a count that is missing, negative or impossibly 0 is None.

    `wrote` says whether the reply has any text; a completion of 0 tokens is unknown then.
    """
    usage = next((reply[name] for name in _USAGE if isinstance(reply.get(name), dict)), reply)
    inside = usage.get("tokens")  # Cohere's own
    if isinstance(inside, dict):
        usage = {**inside, **usage}
    largest = _largest(usage)
    completion, total, thinking, cached = map(largest.get, ("completion", "total", "thinking", "cached"))
    prompt = largest.get("prompt") or None  # a prompt has tokens
    if prompt is not None:
        prompt += _uncounted(usage, prompt, cached)
        if completion is None and total is not None and total > prompt:
            completion = total - prompt
    if completion is not None:
        completion += _beside(prompt, completion, total, thinking)
    if completion == 0 and wrote:
        completion = None
    if prompt is None:
        cached = None
    elif cached is None:
        cached = 0  # a server that counts prompt tokens and names no cached ones billed them all in full
    return Counts(prompt, completion, cached)


def _uncounted(usage: Mapping[str, Any], prompt: int, cached: int | None) -> int:
    """Prompt tokens beside those counted: Anthropic's input_tokens leave out those its cache read or wrote."""
    apart = "prompt_tokens" not in usage and "cache_read_input_tokens" in usage
    if apart or (cached or 0) > prompt:
        return (cached or 0) + (whole(usage.get("cache_creation_input_tokens")) or 0)
    return 0


def _beside(prompt: int | None, completion: int, total: int | None, thinking: int | None) -> int:
    """Tokens written beside those counted as completion."""
    # Thinking that is more than the completion cannot be a part of it, whatever the total is.
    beside = thinking if thinking is not None and thinking > completion else 0
    if prompt is not None and total is not None:
        beside = max(beside, total - prompt - completion)
    return beside


def _largest(usage: Mapping[str, Any]) -> dict[str, int]:
    """The largest number of each kind: gateways fill in some names of a kind with 0."""
    largest: dict[str, int] = {}
    fields = [(_KINDS[name], value) for name, value in usage.items() if name in _KINDS]
    for name, kind in _DETAILS.items():
        if isinstance(details := usage.get(name), dict):
            fields += [(kind, value) for name, value in details.items() if _KINDS.get(name) == kind]
    for kind, value in fields:
        if (number := whole(value)) is not None:
            largest[kind] = max(number, largest.get(kind, 0))
    return largest


def whole(value: Any) -> int | None:
    """`value` as a count; None for a text, True, a negative number and anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
