"""Asking a model again within one conversation."""

from __future__ import annotations

from collections.abc import Sequence

from catlite import answers
from catlite.data import Message, Rollout


def with_request(messages: Sequence[Message], reply: Rollout, request: str) -> list[Message]:
    """The turns that ask again: `messages`, the reply to them, and a further request, with roles that alternate.

    Chat templates that want user and assistant to take turns (Gemma's, Mistral's) refuse two turns of the user in a
    row, so after a reply without text the request joins the turn before.

    Args:
        messages: the turns so far, the last of them the user's.
        reply: what came back; nothing but thinking counts as no text.
        request: what is asked for now.

    Returns:
        A new list of turns that ends with the user's.

    Example:
        >>> [turn["role"] for turn in with_request([{"role": "user", "content": "Yes or no?"}], Rollout(""), "Again.")]
        ['user']
    """
    if answers.without_thinking(reply.text).strip():
        return [*messages, {"role": "assistant", "content": reply.text}, {"role": "user", "content": request}]
    *before, last = messages
    return [*before, {**last, "content": f"{last['content']}\n\n{request}"}]
