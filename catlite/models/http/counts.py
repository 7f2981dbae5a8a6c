"""Token counts from a reply's usage, in any of the shapes servers give: all that is billed, or unknown, never 0.

Thinking is billed as completion, whether a server counts it inside its completion tokens (OpenAI, DeepSeek) or beside
them (Gemini, xAI): where the total is more than the parts, the rest was written, too. Left out: the price of writing a
prompt cache, and audio.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

# What is counted under a name; gateways fill in some names with 0, so the largest number of a kind is the one.
_THINKING = dict.fromkeys(
    ("reasoning_tokens", "thoughtsTokenCount", "thoughts_token_count", "thinking_tokens"), "thinking"
)
_CACHED = dict.fromkeys(
    (
        "cached_tokens",
        "prompt_cache_hit_tokens",
        "cache_read_input_tokens",
        "cachedContentTokenCount",
        "cached_content_token_count",
    ),
    "cached",
)
_ALL = {
    **dict.fromkeys(
        ("prompt_tokens", "input_tokens", "promptTokenCount", "prompt_token_count", "prompt_eval_count"), "prompt"
    ),
    **dict.fromkeys(
        ("completion_tokens", "output_tokens", "candidatesTokenCount", "candidates_token_count", "eval_count"),
        "completion",
    ),
    **dict.fromkeys(("total_tokens", "totalTokenCount", "total_token_count"), "total"),
    **_THINKING,
    **_CACHED,
}
# Objects inside the usage, and what counts in them.
_DETAILS = {
    **dict.fromkeys(("prompt_tokens_details", "input_tokens_details"), _CACHED),
    **dict.fromkeys(("completion_tokens_details", "output_tokens_details"), _THINKING),
}
_USAGE = ("usage", "usageMetadata", "usage_metadata")


class Counts(NamedTuple):
    """Tokens of one request; None is unknown."""

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None  # the part of `prompt` that the server had in its cache


def counts(reply: Mapping[str, Any], *, wrote: bool = True) -> Counts:
    """The tokens that a reply says were billed.

    Args:
        reply: the reply, with its usage where servers put it.
        wrote: whether the reply has any text; a completion of 0 tokens is unknown then.

    Returns:
        The counts; what is missing, negative, no whole number or impossibly 0 is None.

    Example:
        >>> counts({"usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 15}})
        Counts(prompt=9, completion=6, cached=0)
    """
    usage = next((reply[name] for name in _USAGE if isinstance(reply.get(name), dict)), reply)
    inside = usage.get("tokens")  # Cohere's own
    if isinstance(inside, dict):
        usage = {**inside, **usage}
    largest: dict[str, int] = {}
    _count(usage, _ALL, largest)
    for name, counted in _DETAILS.items():
        if isinstance(details := usage.get(name), dict):
            _count(details, counted, largest)
    prompt, completion, total = largest.get("prompt"), largest.get("completion"), largest.get("total")
    cached, thinking = largest.get("cached"), largest.get("thinking")
    prompt = prompt or None  # there is no prompt of no tokens
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
    """Prompt tokens beside those counted: Anthropic's input_tokens leave out what its cache gave or took."""
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


def _count(fields: Mapping[str, Any], counted: Mapping[str, str], largest: dict[str, int]) -> None:
    """Puts the numbers under `counted` names into `largest`, by kind."""
    for name, value in fields.items():
        kind = counted.get(name)
        if kind is not None and (number := whole(value)) is not None:
            largest[kind] = max(number, largest.get(kind, 0))


def whole(value: Any) -> int | None:
    """`value` as a count; None for what is none, such as a text, True or a negative number."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
