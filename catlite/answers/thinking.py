r"""Set a model's thinking apart from its text, by the marks of all known chat templates.

Known marks: `<think>`, `<thinking>`, `<thought>` and the same with a prefix (`<seed:think>`), `[THINK]`, `◁think▷`,
`<|begin_of_thought|>`, `<|START_THINKING|>`, `<|channel>thought`, `<unused94>`, and the channels of gpt-oss
(`<|channel|>analysis<|message|>…<|channel|>final<|message|>…`), also where a server has dropped the control tokens
("analysis…assistantfinal…"). Left out: thinking without marks, and marks in backquotes, which only
mention them.
"""

from __future__ import annotations

import re
from collections.abc import Callable

_MARK = re.compile(
    r"(?<!`)(?:"
    r"<(?P<angle>/?)(?:[a-z]{1,20}[:_])?(?:think(?:ing)?|thoughts?)(?:\s[^<>\n]{0,80})?>"
    r"|\[(?P<bracket>/?)(?-i:THINK)\]"
    r"|◁(?P<wedge>/?)think▷"
    r"|<\|(?:begin|(?P<end>end))_of_(?:thought|thinking)\|>"
    r"|<\|(?:start|(?P<stop>end))_thinking\|>"
    r"|<\|channel>thought\b|(?P<channel><channel\|>)"
    r"|<unused94>(?:thought\b)?|(?P<unused><unused95>)"
    r")(?!`)",
    re.IGNORECASE,
)
_CHANNEL = re.compile(
    r"(?:<\|start\|>[a-z]{1,20})?<\|channel\|>[ \t]{0,3}(?P<name>[a-z]{1,20})"
    r"(?:[^<\n]{0,60}(?:<\|constrain\|>[^<\n]{0,60})?<\|message\|>)?",
    re.IGNORECASE,
)
_CHANNEL_END = re.compile(r"<\|(?:end|return|call)\|>|<\|start\|>[a-z]{0,20}", re.IGNORECASE)
_BARE_CHANNELS = re.compile(r"\s*analysis(?=[A-Z\s])")
_BARE_FINAL = "assistantfinal"
_WORDS = ("think", "thought", "channel", "unused9", _BARE_FINAL)  # every mark has one of them


def without_thinking(text: str) -> str:
    """Take the thinking out of a reply.

    Args:
        text: the reply as the server sent it.

    Returns:
        The visible text; empty when the whole reply is thinking.

    Example:
        >>> without_thinking("<think>6 * 7</think>42")
        '42'
    """
    return split_thinking(text)[0]


def split_thinking(text: str) -> tuple[str, str | None]:
    """Split a reply into its visible text and the model's thinking.

    Thinking whose opening mark is missing begins with the text; thinking whose closing mark is missing ends with it.

    Args:
        text: the reply as the server sent it.

    Returns:
        (visible text, thinking); without marks the text is unchanged and the thinking None.

    Example:
        >>> split_thinking("<think>6 * 7</think>42")
        ('42', '6 * 7')
    """
    # A search for marks takes twenty times as long as this, and most texts have none.
    signs = "<" in text or "[" in text or "◁" in text or _BARE_FINAL in text
    lower = text.lower() if signs else ""
    if not any(word in lower for word in _WORDS):
        return text, None
    visible, channels = _split_channels(text)
    if _MARK.search(visible) is None:
        return visible, channels
    visible_parts: list[str] = []
    thought: list[str] = [] if channels is None else [channels]
    start, thinking = 0, False
    for mark in _MARK.finditer(visible):
        part = visible[start : mark.start()]
        start = mark.end()
        closes = any(mark.groupdict().values())
        if thinking or closes:  # a closing mark without an opening one: all before it was thinking
            thought += [part] if thinking else [*visible_parts, part]
            visible_parts = visible_parts if thinking else []
        else:
            visible_parts.append(part)
        thinking = not closes
    (thought if thinking else visible_parts).append(visible[start:])
    return "".join(visible_parts), "\n".join(part.strip() for part in thought if part.strip())


def begins_thinking(text: str) -> bool:
    """Tell whether a reply begins within its thinking, as where the chat template has opened it.

    Args:
        text: the reply as the server sent it.

    Returns:
        True when the first mark in it closes thinking.

    Example:
        >>> begins_thinking("6 * 7</think>42")
        True
    """
    mark = _MARK.search(text)
    return mark is not None and any(mark.groupdict().values())


_Closing = Callable[[str, int], re.Match[str] | None]


class WrittenText:
    """A reply as it is written: gives its text, and holds back the thinking at its start.

    Args:
        thinking: whether the reply begins within its thinking, which no mark in it tells. Without that, what stands
            before the closing mark is given as text; with it, a reply that does not think is held back; False.

    Example:
        >>> text = WrittenText()
        >>> [text.add(piece) for piece in ("<thi", "nk>6 * 7", "</think>", "\\n42", " it is")]
        ['', '', '', '42', ' it is']
    """

    def __init__(self, thinking: bool = False) -> None:
        self._held = ""  # not given yet
        self._closing: _Closing | None = _closing if thinking else None  # finds the end of the thinking under way
        self._begun = False  # whether the text has
        self._thought = False  # whether thinking stood before it: then its ends are stripped
        self._channels = False

    def add(self, piece: str) -> str:
        """Take what was written next; return the text that can be given by now."""
        self._held += piece
        while not self._begun:
            if self._closing is None and not self._start():
                return ""
            if self._closing is not None:
                mark = self._closing(self._held, max(0, len(self._held) - len(piece) - _LONGEST_MARK))
                if mark is None:
                    self._held = self._held[-_LONGEST_MARK:]
                    return ""
                self._held, self._closing, self._thought = self._held[mark.end() :].lstrip(), None, True
        text = re.split(r"<(?=\||$)", self._held, maxsplit=1)[0] if self._channels else self._held
        text = text.rstrip() if self._thought else text
        self._held = self._held[len(text) :]
        return text

    def _start(self) -> bool:
        """Find out whether text or thinking begins; False until that is known."""
        start = self._held.lstrip()
        if self._thought:
            self._held = start
        if not start:
            return False
        if self._channels:
            self._begun = True
        elif _CHANNEL.match(start):
            self._channels, self._closing = True, _FINAL.search
        elif _MARK.match(start):
            self._closing = _closing
        elif _BARE_CHANNELS.match(start):
            self._closing = re.compile(_BARE_FINAL).search
        elif _MARK_BEGUN.fullmatch(start):
            return False
        else:
            self._begun = True
        return True


_LONGEST_MARK = 200
_MARK_BEGUN = re.compile(r"<\|[^\n]{0,60}|[<\[◁][^>\]▷\n]{0,130}|a(?:n(?:a(?:l(?:y(?:s(?:is?)?)?)?)?)?)?")
_FINAL = re.compile(
    r"<\|channel\|>\s{0,3}final[^<\n]{0,60}(?:<\|constrain\|>[^<\n]{0,60})?<\|message\|>", re.IGNORECASE
)


def _closing(text: str, start: int) -> re.Match[str] | None:
    """The first mark at or after `start` that ends thinking."""
    return next((mark for mark in _MARK.finditer(text, start) if any(mark.groupdict().values())), None)


def _split_channels(text: str) -> tuple[str, str | None]:
    """`split_thinking` for the channels of gpt-oss: only the final channel is visible, where there is one."""
    if "<|channel|>" not in text:
        header = _BARE_CHANNELS.match(text) if _BARE_FINAL in text else None
        if header is not None:
            thinking, _, visible = text[header.end() :].rpartition(_BARE_FINAL)
            return visible, thinking.strip()
        return text, None
    final: list[str] = []
    outside: list[str] = []
    thought: list[str] = []
    start, place = 0, outside
    for header in _CHANNEL.finditer(text):
        _put(text[start : header.start()], place, outside)
        start, place = header.end(), final if header["name"].lower() == "final" else thought
    _put(text[start:], place, outside)
    if any(part.strip() for part in final):
        return "\n\n".join(part for part in final if part.strip()), "\n".join([*outside, *thought]).strip()
    return "".join(outside), "\n".join(thought).strip()


def _put(part: str, place: list[str], outside: list[str]) -> None:
    """Put the text after a header into its channel up to the end of the message, and the rest outside."""
    end = _CHANNEL_END.search(part)
    if end is None or place is outside:
        place.append(_CHANNEL_END.sub("", part))
        return
    place.append(part[: end.start()])
    outside.append(_CHANNEL_END.sub("", part[end.start() :]))
