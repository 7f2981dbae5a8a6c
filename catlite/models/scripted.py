"""A model that replies what a function says: the one fake that tests of logic need.

It is free and its script changes: a run keeps none of its replies and a budget counts none of its tokens.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from catlite.data import Message, Prompt, Rollout, as_messages, text_of
from catlite.errors import ConfigError
from catlite.models.base import Traits, check_n, check_sampling
from catlite.models.kept import wanted
from catlite.usage import Usage


@dataclass(frozen=True)
class ScriptedModel:
    """A Model whose replies a function writes.

    Its usage counts whitespace-separated words as tokens, the prompt's once for each call, and no HTTP requests.

    Args:
        reply: gives the text, or the whole Rollout, of sample `i` of a prompt.
        name: how the model is called in reports; "scripted".
        calls: what was asked: messages, n and sampling parameters of each call.

    Raises:
        ConfigError: for a `reply` that is no function.

    Example:
        >>> policy = catlite.ScriptedModel(lambda prompt, i: f"6 times 7 is {42 if i else 41}.")
    """

    reply: Callable[[Prompt, int], str | Rollout]
    name: str = "scripted"
    calls: list[tuple[list[Message], int, dict[str, Any]]] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        if not callable(self.reply):
            raise ConfigError(
                f"reply={self.reply!r:.60}: want a function of (prompt, i) that gives the text of reply i, such as "
                'lambda prompt, i: "42"'
            )

    @property
    def traits(self) -> Traits:
        """Nothing to keep and nothing to pay."""
        return Traits(keeps_books=True)

    async def sample(self, prompt: Prompt, n: int = 1, **sampling: Any) -> list[Rollout]:
        """`n` scripted replies."""
        messages = as_messages(prompt)
        self.calls.append((messages, check_n(n), check_sampling(sampling)))
        await asyncio.sleep(0)
        words = sum(len(text_of(message).split()) for message in messages)
        replies: list[Rollout] = []
        for i in wanted(n):
            reply = self.reply(prompt, i)
            if isinstance(reply, str):
                reply = Rollout(reply, usage=Usage(0 if replies else words, len(reply.split()), generations=1))
            replies.append(reply)
        return replies
