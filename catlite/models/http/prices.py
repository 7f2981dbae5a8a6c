"""What tokens cost, by the price map of the installed litellm.

The map is read from litellm's file, since importing litellm takes seconds; a test holds that both say the same. Left
out: prices by time of day, batch or region, and tiers above a context length. Unknown stays unknown.
"""

from __future__ import annotations

import functools
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Price:
    """What a model's tokens cost.

    Args:
        prompt: US dollars per million prompt tokens.
        completion: US dollars per million tokens written.
        cached: US dollars per million prompt tokens that the provider had in its cache; None takes `prompt`.

    Example:
        >>> Price(0.15, 0.60).cost(1_000_000, 500_000, 0)
        0.45
    """

    prompt: float
    completion: float
    cached: float | None = None

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
