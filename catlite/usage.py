"""What calls cost, in one noun that adds up. Left out: what a provider bills per image or per second."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True)
class Usage:
    """What calls cost: tokens, HTTP requests, seconds of waiting, US dollars.

    None means unknown, never 0. Adding two gives the total; a total with an unknown part is unknown. `requests` are
    HTTP requests and nothing else: weights in this process make none. Replies are counted as `generations`, one for
    each that came, however many requests they took; scoring a text draws none.

    Args:
        prompt_tokens: tokens of the prompts; 0.
        completion_tokens: tokens of the replies, thinking included; 0.
        cached_tokens: the part of prompt_tokens that the server had in its prefix cache; 0.
        cost_usd: US dollars; 0.0.
        requests: HTTP requests; 0.
        seconds: from sending to the whole reply, summed over requests, retries included; 0.0.
        generations: replies that came; 0.

    Example:
        >>> (Usage(10, 2) + Usage(20, 3)).total_tokens
        35
    """

    prompt_tokens: int | None = 0
    completion_tokens: int | None = 0
    cached_tokens: int | None = 0
    cost_usd: float | None = 0.0
    requests: int = 0
    seconds: float = 0.0
    # Not compared: a reply that was stored before this was counted is still the same reply.
    generations: int = field(default=0, compare=False)

    @property
    def total_tokens(self) -> int | None:
        """Prompt and completion tokens together."""
        return _plus(self.prompt_tokens, self.completion_tokens)

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            _plus(self.prompt_tokens, other.prompt_tokens),
            _plus(self.completion_tokens, other.completion_tokens),
            _plus(self.cached_tokens, other.cached_tokens),
            _plus(self.cost_usd, other.cost_usd),
            self.requests + other.requests,
            self.seconds + other.seconds,
            self.generations + other.generations,
        )

    def __sub__(self, part: Usage) -> Usage:
        """What is left of a total without one of its parts; unknown where either is."""
        return Usage(
            _minus(self.prompt_tokens, part.prompt_tokens),
            _minus(self.completion_tokens, part.completion_tokens),
            _minus(self.cached_tokens, part.cached_tokens),
            _minus(self.cost_usd, part.cost_usd),
            self.requests - part.requests,
            self.seconds - part.seconds,
            self.generations - part.generations,
        )

    @classmethod
    def total(cls, parts: Iterable[Usage | None]) -> Usage:
        """Add up `parts`; a part that is None makes tokens and cost unknown."""
        return sum((cls(None, None, None, None) if part is None else part for part in parts), cls())


def _plus(a: _Number | None, b: _Number | None) -> _Number | None:
    return None if a is None or b is None else a + b


def _minus(a: _Number | None, b: _Number | None) -> _Number | None:
    return None if a is None or b is None else a - b
