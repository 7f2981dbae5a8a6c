"""What tokens cost, from the price map inside the installed litellm, read as a file.

Importing litellm takes seconds and asks the network for a newer map; its bundled JSON is the same data. Left
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
    """US dollars per million tokens. `cached` is for prompt tokens the provider had in its cache."""

    prompt: float
    completion: float
    cached: float | None = None

    def cost(self, prompt_tokens: int | None, completion_tokens: int | None, cached_tokens: int | None) -> float | None:
        """US dollars; None when a count it depends on is unknown."""
        if prompt_tokens is None or completion_tokens is None:
            return None
        cached = min(cached_tokens or 0, prompt_tokens)
        cached_price = self.prompt if self.cached is None else self.cached
        full = (prompt_tokens - cached) * self.prompt + cached * cached_price
        return (full + completion_tokens * self.completion) / 1e6


@functools.cache
def _price_map() -> dict[str, dict[str, Any]]:
    spec = importlib.util.find_spec("litellm")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "model_prices_and_context_window_backup.json"
        if path.is_file():
            entries: dict[str, dict[str, Any]] = json.loads(path.read_text("utf-8"))
            return entries
    return {}


@functools.cache
def published(model: str) -> Price | None:
    """The published price of `model`, with or without its provider, or None when the map does not know it."""
    provider, _, bare = model.partition("/")
    entry = _price_map().get(model) or _price_map().get(bare, {})
    if model not in _price_map() and entry.get("litellm_provider") != provider:
        return None
    prompt, completion = entry.get("input_cost_per_token"), entry.get("output_cost_per_token")
    if prompt is None or completion is None:
        return None
    cached = entry.get("cache_read_input_token_cost")
    return Price(prompt * 1e6, completion * 1e6, None if cached is None else cached * 1e6)
