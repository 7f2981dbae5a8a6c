"""Client CPU per request: catlite's Endpoint against raw `openai.AsyncOpenAI`, same calls, same local server.

    python benchmarks/client_cpu.py [--requests 3000] [--rounds 7]

Each arm is a fresh process that warms up and then sends `requests` chat completions, 32 in flight; what is
compared is its own CPU time (user and system), so the server does not count. Arms take turns; the ratio is that
of each pair. Part 1 asks for at most 1.15.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

SERVER = Path(__file__).parent.parent / "tests" / "server.py"
KEY = "sk-test-0123456789abcdefghijklmnop"
IN_FLIGHT = 32
MESSAGES = [{"role": "user", "content": "Say something about the number seven. " * 20}]


async def raw(url: str, requests: int) -> list[str]:
    import openai

    client = openai.AsyncOpenAI(base_url=url, api_key=KEY)
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def one() -> str:
        async with slots:
            reply = await client.chat.completions.create(
                model="test-model", messages=MESSAGES, temperature=1.0, max_tokens=64
            )
            return reply.choices[0].message.content or ""

    return await measured(one, requests)


async def ours(url: str, requests: int) -> list[str]:
    from catlite import Endpoint

    endpoint = Endpoint("test-model", base_url=url, api_key=KEY, max_connections=IN_FLIGHT)

    async def one() -> str:
        return (await endpoint.sample(MESSAGES, 1, temperature=1.0, max_tokens=64))[0].text

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
    parser.add_argument("--arm", choices=("raw", "ours"), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        asyncio.run({"raw": raw, "ours": ours}[options.arm](options.url, options.requests))
        return
    command = [sys.executable, str(SERVER), "--port", "0", "--reply", "Seven is prime. " * 8]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        url = server.stdout.readline().strip()
        found: dict[str, list[dict[str, float]]] = {"raw": [], "ours": []}
        for _ in range(options.rounds):
            for name, results in found.items():
                results.append(arm(name, url, options.requests))
        server.terminate()
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    print("| client | CPU ms per request, median | min | max | requests/s, median |\n|---|---|---|---|---|")
    for name, label in (("raw", "openai.AsyncOpenAI"), ("ours", "catlite.Endpoint")):
        cpu = [1e3 * result["cpu"] for result in found[name]]
        rate = statistics.median(result["rate"] for result in found[name])
        print(f"| {label} | {statistics.median(cpu):.2f} | {min(cpu):.2f} | {max(cpu):.2f} | {rate:.0f} |")
    ratios = [mine["cpu"] / theirs["cpu"] for mine, theirs in zip(found["ours"], found["raw"], strict=True)]
    print(f"\nCPU ratio, median of {len(ratios)} pairs: {statistics.median(ratios):.3f} ", end="")
    print(f"({min(ratios):.3f} to {max(ratios):.3f})")


if __name__ == "__main__":
    main()
