"""Keeps model text apart from instructions: fences it cannot close, control tokens it cannot use.

The tag carries a hash of everything fenced together, so a rollout would have to contain the hash of itself and
of texts it has never seen; a rerun gets the same tag, so stored replies still match. Left out: text that argues
with its reader. The prompts say that fenced text is material; whether a model heeds that is up to the model.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from catlite.messages import extended as extended, text_of, with_media as with_media
from catlite.prompts.files import render

# Chat templates' own marks. Some servers turn them into control tokens wherever they stand.
_CONTROL = re.compile(
    r"<\|[^<>|\n]{1,60}\|>|<｜[^<>\n]{1,60}｜>|</?s>|\[/?INST\]|<</?SYS>>|<(?:start|end)_of_turn>|<(?:bos|eos|pad)>"
    r"|\[/?THINK\]|◁/?think▷|<\|?channel\|?>|<unused\d{1,3}>"
)


def fenced(texts: Sequence[str], label: str) -> tuple[str, str]:
    """(tag, the texts each between `<tag i>` and `</tag>`), with a tag that stands in none of the texts."""
    digest = hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest()
    length = 6  # short, because small models pay for every character of it
    while any(f"{label}-{digest[:length]}" in text for text in texts):
        digest = hashlib.sha256(digest.encode()).hexdigest()
        length = min(64, length + 6)
    tag = f"{label}-{digest[:length]}"
    blocks = (f"<{tag} {i}>\n{disarm(text).strip()}\n</{tag}>" for i, text in enumerate(texts, 1))
    return tag, "\n".join(blocks)


def fenced_question(messages: Sequence[Mapping[str, Any]]) -> str:
    """The question of `messages` in a fence, with a line that introduces it; `with_media` shows its images."""
    tag, asked = fenced(["\n\n".join(map(text_of, messages))], "question")
    return render("question", tag=tag, asked=asked)


def disarm(text: str) -> str:
    """`text` with a space inside every control token of the common chat templates, so that it is plain text."""
    return _CONTROL.sub(lambda match: match[0][0] + " " + match[0][1:], text)
