"""Draw replies: every row of a batch has settings and random numbers of its own.

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

from catlite.errors import ModelError


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


def as_drawn(tokens: list[int], logprobs: list[float], ends: Sequence[int], seconds: float) -> Drawn:
    """The reply that another engine drew as these tokens, of which the last may be its end.

    The engine's own word for why it stopped does not tell: vLLM says "length" of a reply that ended in time with the
    last token it was allowed.
    """
    if tokens[-1] not in ends:
        return Drawn(tokens, logprobs, None, seconds)
    return Drawn(tokens[:-1], logprobs[: len(tokens) - 1], tokens[-1], seconds)


class Choice:
    """Choose the next token of every row of a batch, and keep the tokens.

    Rows may differ in temperature, filters, seed and length; which rows share a batch changes nothing but rounding.
    """

    def __init__(self, drawings: Sequence[Drawing], numbers: Sequence[Any], ends: Sequence[int], device: Any) -> None:
        import torch

        self.steps = max(drawing.max_tokens for drawing in drawings)
        self.ends = ends
        self._drawings = drawings
        self._numbers = torch.tensor(np.stack(numbers), dtype=torch.float32, device=device)
        self._ends = torch.tensor(ends, dtype=torch.long, device=device)
        self._tokens = torch.zeros(len(drawings), self.steps, dtype=torch.long, device=device)
        self._logprobs = torch.zeros(len(drawings), self.steps, device=device)
        self._settings: dict[str, Any] = {}

    def _setting(self, name: str, rows: Any) -> Any:
        """One setting of `rows`, as a column."""
        import torch

        if name not in self._settings:
            values = [getattr(drawing, name) for drawing in self._drawings]
            self._settings[name] = torch.tensor(values, device=rows.device)[:, None]
        return self._settings[name][rows]

    def __call__(self, scores: Any, rows: Any, step: int) -> tuple[Any, Any]:
        """The token that each of `rows` draws from its `scores` at this step, and whether its reply ends with it."""
        import torch

        scores = scores.float()
        greedy = scores.argmax(-1)
        if all(drawing.temperature == 0 for drawing in self._drawings):
            chosen = greedy
        else:
            temperature = self._setting("temperature", rows)
            probabilities = self._filtered(scores / temperature.clamp(min=1e-6), rows).softmax(-1)
            cumulative = probabilities.cumsum(-1)
            number = self._numbers[rows, step, None]
            # Rounding may leave the sum below 1: the number is taken as a part of what the sum is.
            chosen = torch.searchsorted(cumulative, number * cumulative[:, -1:]).clamp(max=scores.shape[-1] - 1)[:, 0]
            # The number 0 itself would find the first token, whether it has a chance or not.
            chosen = torch.where(probabilities.gather(-1, chosen[:, None])[:, 0] > 0, chosen, greedy)
            chosen = torch.where(temperature[:, 0] > 0, chosen, greedy)
        self._tokens[rows, step] = chosen
        self._logprobs[rows, step] = scores.gather(-1, chosen[:, None])[:, 0] - scores.logsumexp(-1)
        return chosen, torch.isin(chosen, self._ends) | (self._setting("max_tokens", rows)[:, 0] <= step + 1)

    def _filtered(self, scores: Any, rows: Any) -> Any:
        """`scores` with the tokens that top_k, top_p and min_p leave out at minus infinity."""
        import torch

        if any(drawing.min_p > 0 for drawing in self._drawings):
            floor = scores.max(-1, keepdim=True).values + self._setting("min_p", rows).clamp(min=1e-30).log()
            scores = scores.masked_fill(scores < floor, -torch.inf)
        limits = [drawing.top_k for drawing in self._drawings]
        nucleus = any(drawing.top_p < 1 for drawing in self._drawings)
        if not nucleus and not any(limit > 0 for limit in limits):
            return scores
        size = scores.shape[-1]
        # A full sort of the vocabulary only where some row wants a nucleus without a top_k.
        most = min(size, max(limit if limit > 0 else size * nucleus for limit in limits))
        best, where = scores.topk(most, dim=-1)
        rank = torch.arange(most, device=scores.device)[None]
        top_k = self._setting("top_k", rows)
        out = (top_k > 0) & (rank >= top_k)
        if nucleus:
            best = best.masked_fill(out, -torch.inf)
            before = best.softmax(-1).cumsum(-1) - best.softmax(-1)
            out = out | (before >= self._setting("top_p", rows))
        kept = torch.full_like(scores, -torch.inf).scatter(-1, where, best.masked_fill(out, -torch.inf))
        unlimited = (top_k <= 0) & (self._setting("top_p", rows) >= 1)
        return torch.where(unlimited, scores, kept)

    def replies(self, seconds: float) -> list[Drawn]:
        """The replies by row. Raises ModelError when the scores are not numbers."""
        replies = []
        rows = zip(self._drawings, self._tokens.tolist(), self._logprobs.tolist(), strict=True)
        for drawing, tokens, logprobs in rows:
            most = drawing.max_tokens
            length = next((at for at, token in enumerate(tokens[:most]) if token in self.ends), most)
            if any(number != number for number in logprobs[:length]):  # NaN
                raise ModelError(
                    "the model's scores are not numbers (NaN), so nothing can be drawn: some models overflow in "
                    'float16; load it with dtype="float32" or "bfloat16". If that does not help, its weights are broken'
                )
            end = tokens[length] if length < most else None
            replies.append(Drawn(tokens[:length], logprobs[:length], end, seconds))
        return replies


class Forced:
    """`choice` as a logits processor, which leaves no other: for models that run well in their own `generate` only."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        self._step = 0
        self._over: Any = None

    def __call__(self, input_ids: Any, scores: Any) -> Any:  # noqa: ARG002 - transformers' signature
        """0 for the token that each row draws, minus infinity elsewhere; a reply that has ended goes on ending."""
        import torch

        chosen, over = self.choice(scores, torch.arange(len(scores), device=scores.device), self._step)
        if self._over is not None:
            chosen, over = torch.where(self._over, self.choice.ends[0], chosen), over | self._over
        self._step, self._over = self._step + 1, over
        return torch.full_like(scores, -torch.inf).scatter(-1, chosen[:, None], 0.0)


def numbers(drawing: Drawing, prompt: Sequence[int], index: int, steps: int) -> Any:
    """`steps` numbers from 0 to 1 that belong to this seed, prompt and index."""
    return _generator(drawing, prompt, index).random(steps)


def seed_of_reply(drawing: Drawing, prompt: Sequence[int], index: int) -> int:
    """A seed for another engine, from 0 to 2**63 - 1, that belongs to this seed, prompt and index."""
    return int(_generator(drawing, prompt, index).integers(2**63))


def _generator(drawing: Drawing, prompt: Sequence[int], index: int) -> np.random.Generator:
    digest = hashlib.sha256(repr(list(prompt)).encode()).digest()
    return np.random.default_rng([drawing.seed % 2**64, index, int.from_bytes(digest[:8], "big")])
