"""What benchmarks share: a local server in a process of its own, what it counts, and the floor: aiohttp alone."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

SERVER = Path(__file__).parent.parent / "tests" / "server.py"
KEY = "sk-test-0123456789abcdefghijklmnop"


def serve(server: Any) -> None:
    """Prints the address and serves until it is told to end; `server` is one of tests/server.py, or made from it."""
    listener = server._listen()
    asyncio.run(server._serve(listener, lambda: print(server.url, flush=True), signals=True))


def stats(url: str) -> dict[str, Any]:
    """The server's counters."""
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats") as reply:
        return json.load(reply)


@asynccontextmanager
async def asking(url: str, connections: int) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """A function from a prompt to the text of its reply: aiohttp, one prompt at a time on each of its connections."""
    import aiohttp

    connector = aiohttp.TCPConnector(limit=connections)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
        slots = asyncio.Semaphore(connections)

        async def ask(prompt: str) -> str:
            body = {"model": "test-model", "messages": [{"role": "user", "content": prompt}], "max_tokens": 64}
            async with slots, session.post(f"{url}/chat/completions", json=body) as reply:
                return (await reply.json())["choices"][0]["message"]["content"]

        yield ask
