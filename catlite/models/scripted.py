"""A model that replies what a function says: the one fake that tests of logic need."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from catlite.data import Message, Prompt, Rollout, as_messages
from catlite.models.base import check_n, check_sampling
from catlite.runs.store import first_sample
from catlite.usage import Usage


@dataclass(frozen=True)
class ScriptedModel:
    """`reply(prompt, i)` gives the text (or the whole Rollout) of sample `i`; `calls` keeps what was asked.

    Usage counts whitespace-separated words as tokens.
    """

    reply: Callable[[Prompt, int], str | Rollout]
    name: str = "scripted"
    calls: list[tuple[list[Message], int, dict[str, Any]]] = field(default_factory=list, repr=False)

    async def sample(self, prompt: Prompt, n: int = 1, **sampling: Any) -> list[Rollout]:
        """`n` scripted replies."""
        messages = as_messages(prompt)
        self.calls.append((messages, check_n(n), check_sampling(sampling)))
        await asyncio.sleep(0)
        words = sum(len(message["content"].split()) for message in messages)
        replies = []
        first = first_sample()
        for i in range(first, first + n):
            reply = self.reply(prompt, i)
            if isinstance(reply, str):
                prompt_words = words if i == first else 0
                usage = Usage(prompt_words, len(reply.split()), 0, 0.0, int(i == first), generations=1)
                reply = Rollout(reply, usage=usage)
            replies.append(reply)
        return replies
