"""Chat requests, the events of a stream, and a crowd of clients."""

import asyncio
import json
from email.parser import BytesParser


def question(model="cat/test-model", text="What is 6 times 7?", **more):
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


def events(text):
    """The data of a stream's events, parsed; comments are left out."""
    data = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return [item if item == "[DONE]" else json.loads(item) for item in data]


async def ask_at_once(url, requests):
    """Ask all `requests` at once, each on a connection of its own; gives (status, headers, fields) of each."""
    host, port = url.removeprefix("http://").removesuffix("/v1").split(":")
    opened = await asyncio.gather(*(asyncio.open_connection(host, int(port)) for _ in requests))

    async def ask(fields, reader, writer):
        body = json.dumps(fields).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(body)}\r\n"
        writer.write(f"{head}Connection: close\r\n\r\n".encode() + body)
        reply = await reader.read()
        writer.close()
        line, _, rest = reply.partition(b"\r\n")
        headers, _, content = rest.partition(b"\r\n\r\n")
        return int(line.split()[1]), BytesParser().parsebytes(headers), json.loads(content)

    return await asyncio.gather(*(ask(fields, *streams) for fields, streams in zip(requests, opened, strict=True)))
