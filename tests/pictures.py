"""Images for tests: a PNG of any size, written by hand, and prompts that show one."""

import base64
import random
import struct
import zlib

import catlite


def png(width=4, height=4, seed=0):
    """A PNG of noise, which does not compress: three bytes a pixel."""
    draw = random.Random(seed)
    rows = b"".join(b"\0" + draw.randbytes(3 * width) for _ in range(height))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


def data_url(content, kind="image/png"):
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def part(url):
    return {"type": "image_url", "image_url": {"url": url}}


def words(text):
    return {"type": "text", "text": text}


def question(text="What is it?", content=None, *, role="user"):
    """A prompt with an image before its text."""
    return [{"role": role, "content": [catlite.image(png() if content is None else content), words(text)]}]
