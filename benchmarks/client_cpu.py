"""Client CPU per request: catlite's Endpoint against raw `openai.AsyncOpenAI`, same calls, same local server.

    python benchmarks/client_cpu.py [--requests 3000] [--rounds 7]

Each arm is a fresh process that warms up and then sends `requests` chat completions, 32 in flight; what is
compared is its own CPU time (user and system), so the server does not count. Arms take turns; the ratio is that
of each pair. Part 1 asks for at most 1.15. catlite sends through AsyncOpenAI over its aiohttp
transport; the second arm is that alone, which tells how much of the difference is the transport's, the third aiohttp.
"""

import argparse
import asyncio
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial

from loopback import KEY, SERVER

IN_FLIGHT = 32
ARMS = {
    "raw": "openai.AsyncOpenAI",
    "raw_aiohttp": "openai.AsyncOpenAI over its aiohttp transport",
    "aiohttp": "aiohttp alone",
    "ours": "catlite.Endpoint",
    "store": "catlite.Endpoint with a run store",
}
MESSAGES = [{"role": "user", "content": "Say something about the number seven. " * 20}]


async def raw(url: str, requests: int, aiohttp: bool = False) -> list[str]:
    import openai

    transport = openai.DefaultAioHttpClient() if aiohttp else None
    client = openai.AsyncOpenAI(base_url=url, api_key=KEY, http_client=transport)
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def one() -> str:
        async with slots:
            reply = await client.chat.completions.create(
                model="test-model", messages=MESSAGES, temperature=1.0, max_tokens=64
            )
            return reply.choices[0].message.content or ""

    return await measured(one, requests)


async def floor(url: str, requests: int) -> list[str]:
    import aiohttp

    connector = aiohttp.TCPConnector(limit=IN_FLIGHT)
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": f"Bearer {KEY}"}) as session:
        slots = asyncio.Semaphore(IN_FLIGHT)

        async def one() -> str:
            body = {"model": "test-model", "messages": MESSAGES, "temperature": 1.0, "max_tokens": 64}
            async with slots, session.post(f"{url}/chat/completions", json=body) as reply:
                return (await reply.json())["choices"][0]["message"]["content"]

        return await measured(one, requests)


async def ours(url: str, requests: int) -> list[str]:
    from catlite import Endpoint

    endpoint = Endpoint("test-model", base_url=url, api_key=KEY, max_connections=IN_FLIGHT)

    async def one() -> str:
        return (await endpoint.sample(MESSAGES, 1, temperature=1.0, max_tokens=64))[0].text

    return await measured(one, requests)


async def with_store(url: str, requests: int) -> list[str]:
    from catlite import Endpoint
    from catlite.runs.session import open_run

    endpoint = Endpoint("test-model", base_url=url, api_key=KEY, max_connections=IN_FLIGHT)
    asked = itertools.count()

    async def one() -> str:
        # A store asks nothing twice, so no two prompts are alike.
        prompt = f"{next(asked):05} {MESSAGES[0]['content']}"
        return (await endpoint.sample(prompt, 1, temperature=1.0, max_tokens=64))[0].text

    with tempfile.TemporaryDirectory() as folder, open_run(folder):
        return await measured(one, requests)


async def measured(one, requests: int) -> list[str]:
    await asyncio.gather(*(one() for _ in range(2 * IN_FLIGHT)))
    cpu, wall = time.process_time(), time.perf_counter()
    found = await asyncio.gather(*(one() for _ in range(requests)))
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(json.dumps({"cpu": cpu / requests, "rate": requests / wall}))
    return found


def arm(name: str, url: str, requests: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--arm", name, "--url", url, "--requests", str(requests)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--arm", choices=tuple(ARMS), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        works = {
            "raw": raw,
            "raw_aiohttp": partial(raw, aiohttp=True),
            "aiohttp": floor,
            "ours": ours,
            "store": with_store,
        }
        asyncio.run(works[options.arm](options.url, options.requests))
        return
    command = [sys.executable, str(SERVER), "--port", "0", "--reply", "Seven is prime. " * 8]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        url = server.stdout.readline().strip()
        found: dict[str, list[dict[str, float]]] = {name: [] for name in ARMS}
        for _ in range(options.rounds):
            for name, results in found.items():
                results.append(arm(name, url, options.requests))
        server.terminate()
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    print("| client | CPU ms per request, median | min | max | requests/s, median |\n|---|---|---|---|---|")
    for name, label in ARMS.items():
        cpu = [1e3 * result["cpu"] for result in found[name]]
        rate = statistics.median(result["rate"] for result in found[name])
        print(f"| {label} | {statistics.median(cpu):.2f} | {min(cpu):.2f} | {max(cpu):.2f} | {rate:.0f} |")
    for other in ("raw", "raw_aiohttp", "aiohttp"):
        ratios = [mine["cpu"] / theirs["cpu"] for mine, theirs in zip(found["ours"], found[other], strict=True)]
        print(
            f"\nCPU, catlite / {ARMS[other]}, median of {len(ratios)} pairs: {statistics.median(ratios):.3f} ", end=""
        )
        print(f"({min(ratios):.3f} to {max(ratios):.3f})")
    rates = [mine["rate"] / theirs["rate"] for mine, theirs in zip(found["store"], found["raw"], strict=True)]
    print(f"\nrequests/s, {ARMS['store']} / {ARMS['raw']}, median of pairs: {statistics.median(rates):.2f}")


if __name__ == "__main__":
    main()
