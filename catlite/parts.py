"""Images as parts of a prompt: made of files, counted in budgets, kept once by a run, shown small.

Left out: images that a server would have to convert (HEIC, TIFF, SVG), and anything fetched from the network.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import importlib
import io
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from catlite.errors import ConfigError
from catlite.messages import MOST_CHARACTERS, as_messages, mapped, media
from catlite.text import visible

MOST_BYTES = MOST_CHARACTERS * 3 // 4 - 1_000_000  # of an image: with its media type it is within MOST_CHARACTERS
_SIGNATURES = {
    "image/png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/webp": re.compile(rb"RIFF.{4}WEBP", re.DOTALL),
}


def image(source: Any, detail: Literal["low", "high", "auto"] | None = None) -> dict[str, Any]:
    """Make a part of a message out of an image, as OpenAI's API takes it.

    Args:
        source: the path of a PNG, JPEG, GIF or WebP file, its bytes, a PIL image, or an https or data URL. A file
            travels in the request; an https image is fetched by the server.
        detail: how closely OpenAI's models look at it, which sets its tokens; None leaves that to the server.

    Returns:
        The part, for the list that is a message's content.

    Raises:
        ConfigError: for a file that is missing or no such image, one of more than 20 MB, or an unknown `detail`.

    Example:
        >>> question = [catlite.image("chart.png"), {"type": "text", "text": "Which bar is the highest?"}]
        >>> catlite.synthesize([{"role": "user", "content": question}], "gpt-4o-mini")
    """
    if detail not in (None, "low", "high", "auto"):
        raise ConfigError(f'detail={detail!r}: want "low", "high", "auto" or None')
    address = isinstance(source, str) and re.match("(https?|gs|s3|data|file):", source, re.IGNORECASE) is not None
    url = source if address else _data_url(source)
    part = {"type": "image_url", "image_url": {"url": url} | ({} if detail is None else {"detail": detail})}
    as_messages([{"role": "user", "content": [part]}])
    if url[:5].lower() == "data:" and media_type(_first_bytes(url)) is None:
        raise ConfigError(f"the data URL {url[:40]!r} holds no PNG, JPEG, GIF or WebP image: convert it first")
    return part


def _data_url(source: Any) -> str:
    where = "the image"
    if isinstance(source, str | os.PathLike):
        path = Path(source).expanduser()
        where = repr(str(path)[:200])
        try:
            size = path.stat().st_size if path.is_file() else -1
            content = path.read_bytes() if 0 <= size <= MOST_BYTES else b""
        except (OSError, ValueError) as error:
            raise ConfigError(f"the image {where} cannot be read: {getattr(error, 'strerror', error)}") from None
        if size < 0:
            why = "it is no file" if path.exists() else "there is no such file"
            raise ConfigError(f"the image {where} cannot be read: {why}")
    elif isinstance(source, bytes | bytearray | memoryview):
        content = bytes(source)
        size = len(content)
    elif hasattr(source, "save") and hasattr(source, "convert"):  # of PIL, which need not be installed
        content = _png(source)
        size = len(content)
    else:
        raise ConfigError(f"an image is a path, bytes, a PIL image or a URL, not {type(source).__name__}")
    if size > MOST_BYTES:
        raise ConfigError(f"{where} has {size / 1e6:.1f} MB, and {MOST_BYTES / 1e6:.0f} are the most: make it smaller")
    kind = media_type(content)
    if kind is None:
        raise ConfigError(
            f"{where} is no PNG, JPEG, GIF or WebP image: convert it first, for instance by opening it with PIL, "
            "catlite.image(PIL.Image.open(path))"
        )
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _png(picture: Any) -> bytes:
    """Write an image of PIL as PNG, which all servers read."""
    if picture.mode in ("I", "F"):  # PIL would cut its values at 0 and 255
        raise ConfigError(
            f"{picture!r:.100} has the mode {picture.mode!r}, whose values have no known range: bring them to 0 to 255 "
            'and pass picture.convert("L")'
        )
    target = io.BytesIO()
    plain = picture.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")  # the last has 16 bits, which RGB cuts
    try:
        (picture if plain else picture.convert("RGB")).save(target, "PNG", compress_level=1)
    except (OSError, ValueError) as error:  # a file that was cut off, an image without pixels
        raise ConfigError(f"the image {picture!r:.100} cannot be written as PNG: {error}") from None
    return target.getvalue()


def _first_bytes(url: str) -> bytes:
    """Decode as much of a data URL as tells its type; nothing where that is not base64."""
    try:
        return base64.b64decode(url.partition(",")[2][:64], validate=True)
    except (binascii.Error, ValueError):
        return b""


def media_type(content: bytes) -> str | None:
    """Tell the type of a raster image by its first bytes, whatever it is called; None for anything else."""
    return next((kind for kind, signature in _SIGNATURES.items() if signature.match(content)), None)


# --- in a budget ------------------------------------------------------------------------------------------------

# By OpenAI's rules: (tokens at detail "low", the most at any other). A model of tiles sees 512 pixels a tile, at most
# 8 of them (2048 by 768), beside its base; one of patches at most 1,536 of them, times its factor.
_TOKENS = {
    r"gpt-4o-mini": (2833, 2833 + 8 * 5667),
    r"(chat)?gpt-4o|gpt-4-turbo|gpt-4\.5": (85, 85 + 8 * 170),
    r"gpt-4\.1-mini": (2489, 2489),
    r"gpt-4\.1-nano": (3779, 3779),
    r"gpt-4\.1": (1536, 1536),
    r"o4-mini": (2642, 2642),
    r"o[13](-|$)": (75, 75 + 8 * 150),
}
_MOST_OF_AN_IMAGE = 50_000  # of any other model: more than gpt-4o-mini's 48,169, the largest known to us
_MOST_OF_A_PART = 1_000_000  # of a file or a video, whose pages and frames are not counted here: a whole context


def most_tokens(part: Mapping[str, Any], model: str = "") -> int:
    """The most prompt tokens that a part which is no text can take.

    An image: by OpenAI's rules for OpenAI's models, 50,000 for any other. Audio: a token for each byte of it. A file, a
    video or anything else: 1,000,000.

    Args:
        part: the part.
        model: the name of the model, which may begin with its provider's.
    """
    if part.get("type") == "image_url":
        name = model.rpartition("/")[2].lower()
        rule = next((rule for pattern, rule in _TOKENS.items() if re.match(pattern, name)), None)
        shown = part.get("image_url")
        is_small = isinstance(shown, Mapping) and shown.get("detail") == "low"
        return _MOST_OF_AN_IMAGE if rule is None else rule[0 if is_small else 1]
    data = (part.get("input_audio") or {}).get("data") if part.get("type") == "input_audio" else None
    return max(1_000, len(data)) if isinstance(data, str) else _MOST_OF_A_PART


# --- in a run ---------------------------------------------------------------------------------------------------

_LONG = 1_000  # characters of a text in a part, from which on it is kept apart; keys of a run depend on it


def folded(messages: Any, kept: dict[str, str] | None = None) -> Any:
    """Put "sha256:…" in the place of each long text in the parts of `messages`, such as the data of an image.

    Args:
        messages: chat messages; those without parts stay as they are.
        kept: takes what was replaced, by its "sha256:…".
    """

    def fold(text: str) -> str:
        if len(text) < _LONG:
            return text
        name = f"sha256:{hashlib.sha256(text.encode('utf-8', 'backslashreplace')).hexdigest()}"
        if kept is not None:
            kept[name] = text
        return name

    return _with_parts(messages, fold)


def unfolded(messages: Any, kept: Mapping[str, str]) -> Any:
    """Put back what `folded` has `kept`."""
    return _with_parts(messages, lambda text: kept.get(text, text))


def _with_parts(messages: Any, change: Any) -> Any:
    """Rebuild `messages` with `change` applied to the texts in their parts, but not to the parts that are text."""
    if not isinstance(messages, list | tuple):
        return messages
    return [
        {
            **message,
            "content": [
                part if isinstance(part, Mapping) and part.get("type") == "text" else mapped(part, change)
                for part in message["content"]
            ],
        }
        if isinstance(message, Mapping) and isinstance(message.get("content"), list | tuple)
        else message
        for message in messages
    ]


# --- on a page --------------------------------------------------------------------------------------------------

_SHOWN = 60_000  # bytes of an image that is shown as it is; a larger one is made smaller
_SIDE = 256  # pixels of a smaller one
_MOST_PIXELS = 100_000_000  # of one that is read for that


def previews(prompt: Any) -> list[dict[str, str]]:
    """Describe the parts of a prompt that are no text, for a card or a page: {"text": …}, images with a "source".

    The source is a data URL of a raster image that was checked; an image that lies elsewhere has its host as text.
    """
    try:
        return [_preview(part) for part in media(as_messages(prompt))]
    except ConfigError:  # a card shows what else it can of a prompt that no model is asked
        return []


def _preview(part: Mapping[str, Any]) -> dict[str, str]:
    url = part["image_url"]["url"] if part["type"] == "image_url" else ""
    if not url:
        return {"text": visible(str(part["type"])[:60])}
    if url[:5].lower() != "data:":
        return {"text": f"image at {_host(url)}"}
    try:
        content = base64.b64decode(url.partition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        return {"text": "image that cannot be read"}
    kind = media_type(content)
    if kind is None:
        return {"text": "image that is not shown"}
    text = f"{kind.partition('/')[2].upper()} image, {math.ceil(len(content) / 1000):,} kB"
    small = content if len(content) <= _SHOWN else _smaller(content)
    if small is None:
        return {"text": text}
    encoded = base64.b64encode(small).decode("ascii")
    return {"text": text, "source": f"data:{media_type(small)};base64,{encoded}"}


def _host(url: str) -> str:
    try:
        return visible((urlsplit(url).hostname or "")[:100]) or "an unknown address"
    except ValueError:
        return "an unknown address"


def _smaller(content: bytes) -> bytes | None:
    """Make an image small enough for a page; None without Pillow, or for one that it cannot read."""
    try:
        pillow = importlib.import_module("PIL.Image")
    except ImportError:
        return None
    try:
        with pillow.open(io.BytesIO(content), formats=("PNG", "JPEG", "GIF", "WEBP")) as picture:
            if picture.width * picture.height > _MOST_PIXELS:
                return None
            picture.draft("RGB", (_SIDE, _SIDE))  # lets JPEG be read at a fraction of its size
            small = picture.convert("RGBA" if picture.mode in ("RGBA", "LA", "P") else "RGB")
            small.thumbnail((_SIDE, _SIDE))
            target = io.BytesIO()
            small.save(target, "PNG" if small.mode == "RGBA" else "JPEG")
            return target.getvalue()
    except Exception:  # Pillow raises many kinds for what is broken, none of them ours
        return None
