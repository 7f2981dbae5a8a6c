"""Drawing replies: every row of a batch with settings and random numbers of its own.

A token is drawn by inversion, from a number that depends on the reply's seed, prompt and index only. No global random
state is read or moved, so training that is resumed goes on as if nothing had been sampled beside it, and which rows
share a batch changes nothing but rounding. Left out: penalties for repetition.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Drawing:
    """How one reply is drawn. temperature 0 is greedy; top_k 0 and top_p 1 leave all tokens in."""

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    seed: int = 0


@dataclass(slots=True)
class Drawn:
    """The tokens of one reply, the end token aside, with their log-probabilities under the model as it is."""

    tokens: list[int]
    logprobs: list[float]
    end: int | None  # the token it ended with; None when it was cut off
    seconds: float = 0.0  # of the batch it came from


class Choice:
    """A logits processor that chooses the next token of every row itself, and leaves no other choice.

    Rows may differ in temperature, filters, seed and length; which rows share a batch changes nothing but rounding.
    """

    def __init__(self, drawings: Sequence[Drawing], numbers: Sequence[Any], ends: Sequence[int]) -> None:
        self.drawings = drawings
        self.ends = ends
        self._numbers = np.stack(numbers)
        self._tokens: list[Any] = []
        self._logprobs: list[Any] = []
        self._settings: dict[str, Any] = {}

    def _setting(self, name: str, device: Any) -> Any:
        """One setting of every row, as a column."""
        import torch

        if name not in self._settings:
            values = [getattr(drawing, name) for drawing in self.drawings]
            self._settings[name] = torch.tensor(values, device=device)[:, None]
        return self._settings[name]

    def __call__(self, input_ids: Any, scores: Any) -> Any:  # noqa: ARG002 - transformers' signature
        """Scores that leave one token for each row: the one that was drawn."""
        import torch

        step = len(self._tokens)
        scores = scores.float()
        greedy = scores.argmax(-1)
        if all(drawing.temperature == 0 for drawing in self.drawings):
            chosen = greedy
        else:
            temperature = self._setting("temperature", scores.device)
            probabilities = self._filtered(scores / temperature.clamp(min=1e-6)).softmax(-1)
            cumulative = probabilities.cumsum(-1)
            number = torch.tensor(self._numbers[:, step], dtype=torch.float32, device=scores.device)[:, None]
            # Rounding may leave the sum below 1: the number is taken as a part of what the sum is.
            chosen = torch.searchsorted(cumulative, number * cumulative[:, -1:]).clamp(max=scores.shape[-1] - 1)[:, 0]
            # The number 0 itself would find the first token, whether it has a chance or not.
            chosen = torch.where(probabilities.gather(-1, chosen[:, None])[:, 0] > 0, chosen, greedy)
            chosen = torch.where(temperature[:, 0] > 0, chosen, greedy)
        self._logprobs.append(scores.gather(-1, chosen[:, None])[:, 0] - scores.logsumexp(-1))
        over = self._setting("max_tokens", scores.device)[:, 0] <= step
        self._tokens.append(chosen)
        only = torch.full_like(scores, -torch.inf)
        return only.scatter(-1, torch.where(over, self.ends[0], chosen)[:, None], 0.0)

    def _filtered(self, scores: Any) -> Any:
        """`scores` with the tokens that top_k, top_p and min_p leave out at minus infinity."""
        import torch

        if any(drawing.min_p > 0 for drawing in self.drawings):
            floor = scores.max(-1, keepdim=True).values + self._setting("min_p", scores.device).clamp(min=1e-30).log()
            scores = scores.masked_fill(scores < floor, -torch.inf)
        limits = [drawing.top_k for drawing in self.drawings]
        nucleus = any(drawing.top_p < 1 for drawing in self.drawings)
        if not nucleus and not any(limit > 0 for limit in limits):
            return scores
        size = scores.shape[-1]
        # A full sort of the vocabulary only where some row wants a nucleus without a top_k.
        most = min(size, max(limit if limit > 0 else size * nucleus for limit in limits))
        best, where = scores.topk(most, dim=-1)
        rank = torch.arange(most, device=scores.device)[None]
        top_k = self._setting("top_k", scores.device)
        out = (top_k > 0) & (rank >= top_k)
        if nucleus:
            best = best.masked_fill(out, -torch.inf)
            before = best.softmax(-1).cumsum(-1) - best.softmax(-1)
            out = out | (before >= self._setting("top_p", scores.device))
        kept = torch.full_like(scores, -torch.inf).scatter(-1, where, best.masked_fill(out, -torch.inf))
        unlimited = (top_k <= 0) & (self._setting("top_p", scores.device) >= 1)
        return torch.where(unlimited, scores, kept)

    def replies(self, seconds: float) -> list[Drawn]:
        """What was drawn, by row."""
        import torch

        tokens, logprobs = torch.stack(self._tokens, 1).tolist(), torch.stack(self._logprobs, 1).tolist()
        found = []
        for drawing, row, numbers in zip(self.drawings, tokens, logprobs, strict=True):
            most = min(len(row), drawing.max_tokens)
            length = next((at for at, token in enumerate(row[:most]) if token in self.ends), most)
            end = row[length] if length < most else None
            found.append(Drawn(row[:length], numbers[:length], end, seconds))
        return found


def numbers(drawing: Drawing, prompt: Sequence[int], index: int, steps: int) -> Any:
    """`steps` numbers from 0 to 1 that belong to this seed, prompt and index."""
    digest = hashlib.sha256(repr(list(prompt)).encode()).digest()
    seed = [drawing.seed % 2**64, index, int.from_bytes(digest[:8], "big")]
    return np.random.default_rng(seed).random(steps)
