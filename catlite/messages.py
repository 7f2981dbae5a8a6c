"""Prompts as chat messages, checked before anything is sent; a message's content is text, or parts as OpenAI has them.

Parts are passed on as they are given. Left out: what a part holds, beyond its shape and size; parts.py makes images.
"""

from __future__ import annotations

import math
import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from catlite.errors import ConfigError

Message = dict[str, Any]  # its content is text, or a list of parts such as {"type": "text", "text": …}
Prompt = str | list[Message]
MOST_CHARACTERS = 28_000_000  # of one text in a part: an image of 20 MB as base64, more than most providers take
_LABELS = {"image_url": "image", "input_audio": "audio", "video_url": "video"}
_REMOTE = re.compile(r"(?:https?|gs|s3)://\S", re.IGNORECASE)  # addresses that a server or litellm fetches from
_DATA = re.compile(r"data:image/[\w.+-]+;base64,[^=]", re.IGNORECASE)
_BASE64 = f"{string.ascii_letters}{string.digits}+/".encode()
_DEEPEST = 50  # lists and objects within each other in one part
_MOST_IMAGES = 10_000
_images: set[tuple[int, int]] = set()  # data URLs that were seen to be images, by length and hash
_ADVICE = "catlite.image(…) makes a part of a file, of bytes or of a PIL image"


def as_messages(prompt: Prompt) -> list[Message]:
    """Make chat messages of a prompt.

    Raises ConfigError for an empty prompt, a message without role or content, a part that cannot be sent, or any other
    shape.
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
        for key in ("role", "content"):
            if key == "content" and isinstance(message.get(key), list | tuple):
                _check_parts(message[key], f"message {number}")
            elif not isinstance(message.get(key), str):
                raise ConfigError(
                    f"message {number} has no {key!r} that is a string: "
                    f'want {{"role": "user", "content": …}}, got keys {sorted(map(str, message))}'
                )
        _check_values({key: value for key, value in message.items() if key != "content"}, f"message {number}")
    if not any(text_of(message).strip() for message in prompt):
        raise ConfigError("every message of the prompt is empty")
    return [dict(message) for message in prompt]


def text_of(message: Mapping[str, Any]) -> str:
    """Give the text of a message; a part that is no text is a line such as "[image]"."""
    content = message.get("content")
    if not isinstance(content, list | tuple):
        return content if isinstance(content, str) else ""
    text = ""
    for part in content:
        if is_text(part):
            text += part["text"]
        else:
            kind = part.get("type") if isinstance(part, Mapping) else None
            text += ("\n" if text and text[-1] != "\n" else "") + f"[{_LABELS.get(str(kind), kind)}]\n"
    return text


def media(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Give the parts of `messages` that are no text, such as images, in their order."""
    contents = [message["content"] for message in messages]
    return [part for content in contents if not isinstance(content, str) for part in content if not is_text(part)]


def with_media(text: str, messages: Sequence[Mapping[str, Any]]) -> str | list[dict[str, Any]]:
    """Give the content of a message that says `text` and shows the images of `messages` after it, where there are any.

    It is how a judge or an anchor sees a question: `text_of` marks in its text where the images stood.
    """
    return extended(text, media(messages))


def extended(content: str | list[dict[str, Any]], more: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Append a paragraph of text, or parts, to the content of a message; it stays text where both are."""
    if not more:
        return content
    if isinstance(content, str) and isinstance(more, str):
        return f"{content}\n\n{more}"
    parts = ([{"type": "text", "text": item}] if isinstance(item, str) else item for item in (content, more))
    return [part for side in parts for part in side]


def text_only(prompt: Prompt, who: str) -> Prompt:
    """Join the parts of each message, for a model that takes text alone.

    Raises ConfigError, with the name of the model, for a part that is no text.
    """
    if isinstance(prompt, str):
        return prompt
    messages = as_messages(prompt)
    for number, message in enumerate(messages):
        for part in media([message]):
            raise ConfigError(
                f"{who} takes text alone, and message {number} has a part of the type {part['type']!r}: ask a model "
                "that takes such parts through Endpoint, or leave the part out"
            )
    return [{**message, "content": text_of(message)} for message in messages]


def mapped(value: Any, change: Any) -> Any:
    """Rebuild `value`, a tree of dicts and lists, with `change` applied to each text in it."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: mapped(item, change) for key, item in value.items()}
    return [mapped(item, change) for item in value] if isinstance(value, list | tuple) else value


def is_text(part: Any) -> bool:
    """Tell whether a part of a content is text."""
    return isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _check_parts(parts: Sequence[Any], where: str) -> None:
    """Raise ConfigError for a content in parts that no server can read."""
    if not parts:
        raise ConfigError(f"{where} has an empty list of parts as its content: give a text, or at least one part")
    for number, part in enumerate(parts):
        place = f"part {number} of {where}"
        kind = part.get("type") if isinstance(part, Mapping) else None
        if not isinstance(kind, str) or not kind:
            shape = f"keys {sorted(map(str, part))}" if isinstance(part, Mapping) else f"{type(part).__name__}"
            raise ConfigError(f'{place} has no "type": want {{"type": "text", "text": …}} or an image, got {shape}')
        if kind == "text" and not isinstance(part.get("text"), str):
            raise ConfigError(f'{place} is of the type "text" and has none: want {{"type": "text", "text": …}}')
        _check_values(part, place)
        if kind == "image_url":
            _check_image(part.get("image_url"), place)
        elif kind == "image" and "source" not in part:
            raise ConfigError(f'{place} is of the type "image", which OpenAI\'s API calls "image_url": {_ADVICE}')


def _check_image(image: Any, place: str) -> None:
    url = image.get("url") if isinstance(image, Mapping) else None
    if not isinstance(url, str):
        raise ConfigError(f'{place} has no address: want {{"type": "image_url", "image_url": {{"url": …}}}}; {_ADVICE}')
    if _REMOTE.match(url):
        return
    if _is_image(url):
        return
    if url[:5].lower() == "data:":
        raise ConfigError(
            f"{place} has a data URL that is no image in base64, {url[:40]!r}: want data:image/png;base64,…; {_ADVICE}"
        )
    path = url.removeprefix("file://")[:100]
    raise ConfigError(
        f"{place} has {url[:100]!r} as the address of its image, which a server cannot read: give an https address, or "
        f"send the file with catlite.image({path!r})"
    )


def _is_image(url: str) -> bool:
    """Tell whether a URL holds an image in base64; one that does is remembered, since a prompt is checked at each use.

    What is remembered is its hash, which Python keeps beside a text that it has once computed it for.
    """
    known = len(url), hash(url)
    if known in _images:
        return True
    # Deleting all digits of base64 takes a fifth of the time of a regular expression over megabytes.
    data = url.partition(",")[2].encode("ascii", "replace")
    if not _DATA.match(url) or data.translate(None, _BASE64) not in (b"", b"=", b"=="):
        return False
    if len(_images) >= _MOST_IMAGES:
        _images.clear()
    _images.add(known)
    return True


def _check_values(value: Any, place: str, depth: int = 0) -> None:
    """Raise ConfigError for what JSON does not have, and for a text that is too long to send."""
    if isinstance(value, Mapping | list | tuple):
        if depth > _DEEPEST:
            raise ConfigError(f"{place} has more than {_DEEPEST} lists and objects within each other, or holds itself")
        for key in value if isinstance(value, Mapping) else ():
            if not isinstance(key, str):
                raise ConfigError(f"{place} has the key {key!r:.60}, which is no text: it cannot be sent as JSON")
        for item in value.values() if isinstance(value, Mapping) else value:
            _check_values(item, place, depth + 1)
    elif not isinstance(value, str | int | float | None) or (isinstance(value, float) and not math.isfinite(value)):
        kind = value if isinstance(value, float) else type(value).__name__
        raise ConfigError(f"{place} holds {kind}, which cannot be sent as JSON: {_ADVICE}")
    elif isinstance(value, str) and len(value) > MOST_CHARACTERS:
        raise ConfigError(
            f"{place} holds {len(value):,} characters, and {MOST_CHARACTERS:,} (20 MB as base64) are the most that is "
            "sent in one part: make it smaller"
        )
