"""A reference in the form of a chat completion, whole or as the events of a stream.

`usage` is everything that was spent, rollouts and estimator together; what is unknown is null, never 0. What OpenAI's
form has no place for is in the field `catlite`.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any

from catlite.data import Reference, Rollout
from catlite.usage import Usage

DONE = b"data: [DONE]\n\n"
_ENDINGS = {"content_filter", "length", "stop"}


def completion(name: str, reference: Reference) -> dict[str, Any]:
    """Make the chat completion of a reference, by the model's `name` as the client writes it."""
    about = {
        "source": reference.source,
        "answer": reference.answer,
        "support": reference.support,
        "notes": reference.notes,
        "cost_usd": reference.cost_usd,
    }
    choice = _choice(0, reference.text, reference.finish_reason)
    return {**_head(name), "choices": [choice], "usage": _usage(reference.total_usage), "catlite": about}


def rollouts(name: str, replies: Sequence[Rollout]) -> dict[str, Any]:
    """Make the chat completion of the replies of a model that has no server to pass a request on to."""
    choices = [_choice(i, reply.text, reply.finish_reason) for i, reply in enumerate(replies)]
    return {**_head(name), "choices": choices, "usage": _usage(Usage.total(reply.usage for reply in replies))}


def as_stream(whole: Mapping[str, Any], include_usage: bool) -> bytes:
    """Make the events of a stream of a chat completion that came whole: its choices, its usage, and the end."""
    choices = [
        {name: value for name, value in choice.items() if name != "message"} | {"delta": _delta(choice["message"])}
        for choice in whole["choices"]
    ]
    head = {name: whole[name] for name in ("id", "created", "model") if name in whole}
    more = {"catlite": whole["catlite"]} if "catlite" in whole else {}
    return Events(head, include_usage).last(choices, whole.get("usage"), **more)


class Events:
    """The events of one stream; `head` is what all of them say."""

    def __init__(self, head: Mapping[str, Any], include_usage: bool) -> None:
        self.head = {**head, "object": "chat.completion.chunk"}
        self.include_usage = include_usage

    def piece(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        """One event."""
        usage = {"usage": None} if self.include_usage else {}
        return event({**self.head, "choices": choices, **usage, **more})

    def last(self, choices: list[dict[str, Any]], usage: Mapping[str, Any] | None, **more: Any) -> bytes:
        """The event with these choices, and those that end the stream."""
        end = event({**self.head, "choices": [], "usage": usage}) if self.include_usage else b""
        return self.piece(choices, **more) + end + DONE


def event(fields: Mapping[str, Any]) -> bytes:
    """Make a server-sent event."""
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def comment(text: str) -> bytes:
    """Make a comment between events, which keeps a connection open; clients pass over it."""
    return f": {text}\n\n".encode()


def _head(name: str) -> dict[str, Any]:
    identity = f"chatcmpl-{secrets.token_hex(12)}"
    return {"id": identity, "object": "chat.completion", "created": int(time.time()), "model": name}


def _choice(index: int, text: str, ending: str | None) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    ending = ending if ending in _ENDINGS else "stop"
    return {"index": index, "message": message, "logprobs": None, "finish_reason": ending}


def _delta(message: Mapping[str, Any]) -> dict[str, Any]:
    """The whole of a message as one piece; in a stream tool calls are numbered."""
    calls = message.get("tool_calls")
    numbered = {"tool_calls": [{"index": i, **call} for i, call in enumerate(calls)]} if calls else {}
    return {**message, **numbered}


def _usage(usage: Usage) -> dict[str, Any] | None:
    """What was used, in OpenAI's words; None when a count is unknown."""
    if usage.total_tokens is None:
        return None
    counts: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cached_tokens is not None:
        counts["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    return counts
