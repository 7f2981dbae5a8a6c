"""Notes on replies that look odd: a prompt that was cut silently, sampling that is ignored.

A note is a suspicion and not a verdict: the replies are used all the same. Left out: servers that give no usage.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from catlite.data import Message, Rollout

_LONG = 4000  # characters; in shorter prompts a chat template weighs too much
_CHARACTERS_PER_TOKEN = 7  # more than any tokenizer reaches over a whole prompt: prose has 4 to 5
_SAME = 100  # characters repeated; shorter replies are the same by chance


def remarked(rollouts: list[Rollout], messages: Sequence[Message], request: Mapping[str, Any]) -> list[Rollout]:
    """Put notes on what is odd about the replies to one prompt on the first of them."""
    notes = [note for note in (_cut(rollouts, messages), _same(rollouts, request)) if note is not None]
    if not notes:
        return rollouts
    first, *others = rollouts
    return [replace(first, notes=(*first.notes, *notes)), *others]


def _cut(rollouts: Sequence[Rollout], messages: Sequence[Message]) -> str | None:
    """A note when the server counted far fewer tokens than the prompt's characters make."""
    if sum(len(message["content"]) for message in messages) < _LONG:
        return None
    characters = sum(len(" ".join(message["content"].split())) for message in messages)
    counts = [rollout.usage.prompt_tokens for rollout in rollouts if rollout.usage and rollout.usage.requests == 1]
    tokens = min((count for count in counts if count), default=None)
    if tokens is None or characters < _LONG or tokens * _CHARACTERS_PER_TOKEN > characters:
        return None
    return (
        f"the server counted {tokens:,} tokens in a prompt of {characters:,} characters: it may have cut the prompt "
        "without saying so, as Ollama does beyond num_ctx"
    )


def _same(rollouts: Sequence[Rollout], request: Mapping[str, Any]) -> str | None:
    """A note when all replies are the same although they were to be sampled."""
    greedy = request.get("temperature") == 0 or request.get("top_p") == 0 or request.get("top_k") == 1
    texts = [(reply.text, reply.reasoning) for reply in rollouts if reply.error is None and reply.text.strip()]
    if greedy or len(set(texts)) != 1 or (len(texts) - 1) * len(texts[0][0]) < _SAME:
        return None
    return (
        f"all {len(texts)} rollouts are the same, word for word: the server may ignore sampling, or answer from a cache"
    )
