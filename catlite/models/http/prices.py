"""How many tokens a reply took, by its usage in any of the shapes servers give, and what they cost.

Counts are all that is billed, or unknown, never 0. Thinking is billed as completion, whether a server counts it inside
its completion tokens (OpenAI, DeepSeek) or beside them (Gemini, xAI): where the total is more than the parts, the rest
is counted as written. Prices are those of the installed litellm, read from its file, since importing litellm takes
seconds; a test holds that both say the same. Left out: the price of writing a prompt cache, audio, prices by time of
day, batch or region, and tiers above a context length. Unknown stays unknown.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from catlite.checks import zero_or_more


@dataclass(frozen=True, slots=True)
class Price:
    """What a model's tokens cost.

    Args:
        prompt: US dollars per million prompt tokens.
        completion: US dollars per million tokens written.
        cached: US dollars per million prompt tokens that the provider had in its cache; None takes `prompt`.

    Raises:
        ConfigError: for what is not a finite number of 0 or more, by which no budget could be kept.

    Example:
        >>> Price(0.15, 0.60).cost(1_000_000, 500_000, 0)
        0.45
    """

    prompt: float
    completion: float
    cached: float | None = None

    def __post_init__(self) -> None:
        for name in ("prompt", "completion") if self.cached is None else ("prompt", "completion", "cached"):
            zero_or_more(f"Price: {name}", getattr(self, name), "US dollars per million tokens")

    def cost(self, prompt_tokens: int | None, completion_tokens: int | None, cached_tokens: int | None) -> float | None:
        """Add up a request in US dollars.

        Args:
            prompt_tokens: tokens sent, None when unknown.
            completion_tokens: tokens written, None when unknown.
            cached_tokens: those of `prompt_tokens` that were cached; None counts as 0.

        Returns:
            US dollars; None when a count it depends on is unknown.
        """
        if prompt_tokens is None or completion_tokens is None:
            return None
        cached = min(cached_tokens or 0, prompt_tokens)
        cached_price = self.prompt if self.cached is None else self.cached
        full = (prompt_tokens - cached) * self.prompt + cached * cached_price
        return (full + completion_tokens * self.completion) / 1e6


@functools.cache
def _price_map() -> dict[str, dict[str, Any]]:
    """Read litellm's `model_cost` from the file it is made of; import litellm only where that file is gone."""
    spec = importlib.util.find_spec("litellm")
    if spec is None:
        return {}
    for folder in spec.submodule_search_locations or ():
        path = Path(folder) / "model_prices_and_context_window_backup.json"
        if path.is_file():
            entries: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8"))
            return entries
    import litellm

    return dict(litellm.model_cost)


@functools.cache
def published(model: str) -> Price | None:
    """The published price of a model, named with or without its provider; None when the map does not know it."""
    provider, _, bare = model.partition("/")
    prices = _price_map()
    entry = prices.get(model) or prices.get(bare, {})
    if model not in prices and entry.get("litellm_provider") != provider:
        return None
    prompt, completion = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
    if prompt is None or completion is None:
        return None
    cached = entry.get("cache_read_input_token_cost")
    return Price(prompt * 1e6, completion * 1e6, None if cached is None else cached * 1e6)


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
_MOST = 10**12  # tokens of one request
_USAGE = ("usage", "usageMetadata", "usage_metadata")


class Counts(NamedTuple):
    """Tokens of one request; None is unknown."""

    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None  # the part of `prompt` that the server had in its cache


def counts(reply: Mapping[str, Any], *, wrote: bool = True) -> Counts:
    """The tokens that a reply says were billed; a count that is missing, negative or impossibly 0 is None.

    `wrote` says whether the reply has any text; a completion of 0 tokens is unknown then, and where the prompt's is.
    """
    usage = next((reply[name] for name in _USAGE if isinstance(reply.get(name), dict)), reply)
    inside = usage.get("tokens")  # Cohere's own
    if isinstance(inside, dict):
        usage = {**inside, **usage}
    largest = _largest(usage)
    completion, total, thinking, cached = map(largest.get, ("completion", "total", "thinking", "cached"))
    prompt = largest.get("prompt") or None  # a prompt has tokens
    if prompt is not None:
        # Anthropic's input_tokens leave out those its cache read or wrote.
        apart = "prompt_tokens" not in usage and "cache_read_input_tokens" in usage
        if apart or (cached or 0) > prompt:
            prompt += (cached or 0) + (whole(usage.get("cache_creation_input_tokens")) or 0)
        if completion is None and total is not None and total > prompt:
            completion = total - prompt
    if completion is not None:
        # Thinking that is more than the completion cannot be a part of it, whatever the total is.
        beside = thinking if thinking is not None and thinking > completion else 0
        if prompt is not None and total is not None:
            beside = max(beside, total - prompt - completion)
        completion += beside
    if completion == 0 and (wrote or prompt is None):
        completion = None
    if prompt is None:
        cached = None
    elif cached is None:
        cached = 0  # a server that counts prompt tokens and names no cached ones billed them all in full
    return Counts(prompt, completion, cached)


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
    """`value` as a count; None for a text, True, a negative number, one that no request reaches, and anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST else None
