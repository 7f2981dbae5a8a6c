"""A reference in the form of a chat completion, whole or as the events of a stream.

`usage` is everything that was spent, rollouts and estimator together, without what a run had kept; what is unknown is
null, never 0. What OpenAI's form has no place for is in the field `catlite`.
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


def completion(name: str, reference: Reference, usage: Usage) -> dict[str, Any]:
    """Make the chat completion of a reference, by the model's `name` as the client writes it."""
    choice = _choice(0, reference.text, reference.finish_reason)
    return {**_whole(name, [choice], usage), "catlite": _about(reference, usage)}


def rollouts(name: str, replies: Sequence[Rollout], usage: Usage) -> dict[str, Any]:
    """Make the chat completion of the replies of a model that has no server to pass a request on to."""
    choices = [_choice(i, reply.text, reply.finish_reason) for i, reply in enumerate(replies)]
    return _whole(name, choices, usage)


def as_stream(whole: Mapping[str, Any], include_usage: bool) -> bytes:
    """Make the events of a stream of a chat completion that came whole: its choices, its usage, and the end."""
    choices = [
        {name: value for name, value in choice.items() if name != "message"} | {"delta": _delta(choice["message"])}
        for choice in whole["choices"]
    ]
    common = {name: whole[name] for name in ("id", "created", "model") if name in whole}
    return Events(common, include_usage).last(choices, whole.get("usage"))


class Events:
    """The events of one stream; `common` is what all of them say."""

    def __init__(self, common: Mapping[str, Any], include_usage: bool) -> None:
        self.common = {**common, "object": "chat.completion.chunk"}
        self.include_usage = include_usage
        self._begun = False

    def text(self, delta: str) -> bytes:
        """More of a reference's text."""
        return self._piece([_part(self._opened(delta), None)])

    def end(self, reference: Reference, usage: Usage) -> bytes:
        """The end of a reference, with all of its text where no part of it was sent."""
        delta = {} if self._begun else self._opened(reference.text)
        choice = _part(delta, reference.finish_reason)
        return self.last([choice], _usage(usage), catlite=_about(reference, usage))

    def last(self, choices: list[dict[str, Any]], usage: Mapping[str, Any] | None, **more: Any) -> bytes:
        """The event with these choices, and those that end the stream."""
        end = event({**self.common, "choices": [], "usage": usage}) if self.include_usage else b""
        return self._piece(choices, **more) + end + DONE

    def _opened(self, text: str) -> dict[str, str]:
        """A delta of `text`; the first of a stream says who speaks."""
        role = {} if self._begun else {"role": "assistant"}
        self._begun = True
        return {**role, "content": text}

    def _piece(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        usage = {"usage": None} if self.include_usage else {}
        return event({**self.common, "choices": choices, **usage, **more})


def event(fields: Mapping[str, Any]) -> bytes:
    """Make a server-sent event."""
    return b"data: " + json.dumps(fields).encode() + b"\n\n"


def comment(text: str) -> bytes:
    """Make a comment between events, which keeps a connection open; clients pass over it."""
    return f": {text}\n\n".encode()


def head(name: str) -> dict[str, Any]:
    """Make what all parts of a reply say."""
    return {"id": f"chatcmpl-{secrets.token_hex(12)}", "created": int(time.time()), "model": name}


def _whole(name: str, choices: list[dict[str, Any]], usage: Usage) -> dict[str, Any]:
    return {**head(name), "object": "chat.completion", "choices": choices, "usage": _usage(usage)}


def _choice(index: int, text: str, ending: str | None) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": None}
    return {"index": index, "message": message, "logprobs": None, "finish_reason": _ending(ending)}


def _part(delta: Mapping[str, Any], ending: str | None) -> dict[str, Any]:
    """The only choice of an event; an `ending` is that of the whole."""
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": ending and _ending(ending)}


def _ending(word: str | None) -> str:
    return word if word in _ENDINGS else "stop"


def _about(reference: Reference, usage: Usage) -> dict[str, Any]:
    """What is to be known of a reference beside its text."""
    return {
        "source": reference.source,
        "answer": reference.answer,
        "support": reference.support,
        "notes": reference.notes,
        "cost_usd": usage.cost_usd,
    }


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
