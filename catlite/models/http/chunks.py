"""A streamed reply: its events are read, its text is handed on, and the whole is put together as if it came at once.

What is put together is read by wire.py, as any other reply.
Left out: retries of a stream that broke off, since what was handed on cannot be taken back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from catlite.answers.thinking import WrittenText
from catlite.models.http import wire

Write: TypeAlias = Callable[[str], None]
# What a request asks for, from the most to the least; not every server takes the first.
STREAMING: tuple[Mapping[str, Any], ...] = (
    {"stream": True, "stream_options": {"include_usage": True}},
    {"stream": True},
    {},
)
_IN_PIECES = ("content", "refusal", *wire.THOUGHTS)  # other fields of a message come whole


def without_thinking(write: Write, thinking: bool) -> Write:
    """Make what takes a text as it comes of what takes the text beside its thinking.

    Args:
        write: takes the text without thinking; "" where nothing of a piece can be given yet.
        thinking: whether the reply begins within its thinking, as the ones before it did.
    """
    text = WrittenText(thinking)
    return lambda piece: write(text.add(piece))


class Assembly:
    """The reply that the pieces of a stream make.

    Args:
        write: takes the text as it comes; "" says that there is something, if not yet text.
        redact: takes secrets out of a line.

    Example:
        >>> assembly = Assembly(print)
        >>> assembly.feed(b'data: {"choices": [{"delta": {"content": "42"}}]}\\n\\n')
        42
    """

    def __init__(self, write: Write, redact: Callable[[str], str] = str) -> None:
        self._write, self._redact = write, redact
        self._line = b""  # begun
        self._data: list[str] = []  # of the event that has begun
        self._strange: list[str] = []  # lines that are no event's: a reply that is not a stream
        self._reply: dict[str, Any] = {}  # all but its choices
        self._choices: dict[int, dict[str, Any]] = {}
        self._failure: str | None = None  # an error, or an event that cannot be read
        self._half = ""  # of a character, at the end of what was written
        self.finished = False  # the server has said so
        self._ended = False

    @property
    def is_whole(self) -> bool:
        """Whether the server has ended the stream, or every choice in it."""
        choices = self._choices.values()
        return self.finished or (bool(choices) and all(choice.get("finish_reason") for choice in choices))

    def feed(self, sent: bytes) -> None:
        """Take the bytes that came next; a character or a line may come in parts."""
        *lines, self._line = re.split(rb"\r\n|\n|\r(?!\Z)", self._line + sent)
        for line in lines:
            self._read(self._redact(line.decode("utf-8", "replace").removeprefix("\ufeff")))

    def body(self) -> str | None:
        """The body of the whole reply, as JSON; None where the stream broke off."""
        self._ended = True
        self.feed(b"\n\n")
        if self._failure is not None:
            return self._failure
        if not self._reply and not self._choices and not self.finished:
            return "\n".join(self._strange)
        choices = [self._choices[index] for index in sorted(self._choices)]
        return json.dumps(self._reply | {"choices": choices}) if self.is_whole else None

    def _read(self, line: str) -> None:
        """Read one line of the stream: https://html.spec.whatwg.org/multipage/server-sent-events.html."""
        name, _, value = line.partition(":")
        if name == "data":
            self._data.append(value.removeprefix(" "))
        elif not line and self._data:
            data, self._data = "\n".join(self._data), []
            self._take_event(data)
        elif line and name not in ("", "event", "id", "retry"):
            self._strange.append(line)

    def _take_event(self, data: str) -> None:
        if self.finished or self._failure is not None:
            return
        if data.strip() == "[DONE]":
            self.finished = True
            return
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            chunk = None
        if isinstance(chunk, dict):
            self.take(chunk)
        elif not self._ended:  # else it is the half of an event
            self._failure = data

    def take(self, chunk: Mapping[str, Any]) -> None:
        """Take one chunk of a chat completion, or the error that came in its place."""
        choices = chunk.get("choices")
        if wire.holds_error(chunk):
            self._failure = json.dumps(self._reply | {"choices": None} | dict(chunk))
            return
        self._reply |= {name: value for name, value in chunk.items() if name != "choices" and value is not None}
        for place, choice in enumerate(choices if isinstance(choices, list) else ()):
            if isinstance(choice, dict):
                index = choice.get("index")
                self._take_choice(index if isinstance(index, int) else place, choice)

    def _take_choice(self, index: int, choice: Mapping[str, Any]) -> None:
        whole = self._choices.setdefault(index, {"message": {}})
        message = whole["message"]
        piece = choice.get("delta", None if message else choice.get("message"))
        for name, value in piece.items() if isinstance(piece, dict) else ():
            if value is not None:
                message[name] = _joined(message.get(name), value) if name in _IN_PIECES else value
        logprobs = choice.get("logprobs")
        tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
        if isinstance(tokens, list):
            whole.setdefault("logprobs", {"content": []})["content"] += tokens
        apart = ("index", "delta", "message", "logprobs")
        whole |= {name: value for name, value in choice.items() if name not in apart and value is not None}
        if index == 0 and isinstance(piece, dict) and any(piece.get(name) for name in _IN_PIECES):
            self._write(self._in_characters(wire.content_text(piece.get("content"))))

    def _in_characters(self, text: str) -> str:
        """The text without half an emoji at its end, which waits for the other half: some servers cut by UTF-16."""
        text = self._half + text
        self._half = text[-1:] if "\ud800" <= text[-1:] <= "\udbff" else ""
        return text.removesuffix(self._half).encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


def _joined(before: Any, piece: Any) -> Any:
    """A text or a list of parts, with the piece that follows it."""
    if before is None:
        return piece
    if isinstance(before, str) and isinstance(piece, str):
        return before + piece
    return [*_parts(before), *_parts(piece)]


def _parts(value: Any) -> list[Any]:
    if isinstance(value, list):
        return value
    return [{"type": "text", "text": value}] if isinstance(value, str) else [value]
