"""Prompts as chat messages, checked before anything is sent. Left out: contents in parts, such as images."""

from __future__ import annotations

from collections.abc import Mapping

from catlite.errors import ConfigError

Message = dict[str, str]
Prompt = str | list[Message]


def as_messages(prompt: Prompt) -> list[Message]:
    """Make chat messages of a prompt.

    Raises ConfigError for an empty prompt, a message without role or content, or any other shape.
    """
    if isinstance(prompt, str):
        if not prompt.strip():
            raise ConfigError("the prompt is empty: give a question as text or a list of messages")
        return [{"role": "user", "content": prompt}]
    if not isinstance(prompt, list):
        raise ConfigError(f"a prompt is a string or a list of messages, not {type(prompt).__name__}")
    if not prompt:
        raise ConfigError("the prompt is an empty list: give at least one message")
    for number, message in enumerate(prompt):
        if not isinstance(message, Mapping):
            raise ConfigError(f'message {number} is {type(message).__name__}: want {{"role": …, "content": …}}')
        for part in ("role", "content"):
            if part == "content" and isinstance(message.get(part), list | tuple):
                raise ConfigError(
                    f"message {number} has its content in parts, and only text is sent to a model: give one text. An "
                    "estimator that shows the prompt to no model, such as a vote, works with images"
                )
            if not isinstance(message.get(part), str):
                raise ConfigError(
                    f"message {number} has no {part!r} that is a string: "
                    f'want {{"role": "user", "content": …}}, got keys {sorted(map(str, message))}'
                )
    if not any(message["content"].strip() for message in prompt):
        raise ConfigError("every message of the prompt is empty")
    return [dict(message) for message in prompt]
