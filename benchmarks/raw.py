"""The floor: aiohttp alone, one prompt at a time on each of so many connections. Other benchmarks compare to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

KEY = "sk-test-0123456789abcdefghijklmnop"  # of every local server here


@asynccontextmanager
async def asking(url: str, connections: int) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """A function from a prompt to the text of its reply."""
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
