"""A server that allows so many requests a second: calls lost, requests wasted, time over the ideal.

    python benchmarks/rate_limit.py [--rate 150] [--questions 200] [--rounds 3]

Every question is 8 rollouts and then 1 synthesis, one request each, 64 connections, service times lognormal with mean
0.2 s and sigma 0.6; the server answers 429 beyond its rate, with a Retry-After of 1 s and without. The ideal time is
requests / rate; imports are left out. Lost are calls that came back failed; wasted are requests answered 429, as a
share of all that were sent. The other arm is openai.AsyncOpenAI as it comes, with its own retries. Each arm is a fresh
process against a fresh server. Part 5 asks for none lost, at most 10% wasted and 1.35 times the ideal.
"""

import argparse
import asyncio
import importlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time

from loopback import KEY, SERVER, stats

CONNECTIONS, ROLLOUTS = 64, 8
CLIENTS = {"catlite": "catlite", "openai": "openai.AsyncOpenAI"}
MODULES = {
    "catlite": ("catlite.api", "catlite.models.http.clients", "openai", "httpx_aiohttp", "tenacity"),
    "openai": ("openai", "openai.resources.chat.completions", "httpx_aiohttp"),
}
SERVERS = {
    "without Retry-After": ["--burst", "5"],
    "Retry-After: 1": ["--burst", "5", "--retry-after", "1"],
    "without Retry-After, no burst": ["--burst", "1"],
    "Retry-After: 1, no burst": ["--burst", "1", "--retry-after", "1"],
}


def catlite_arm(url: str, questions: int) -> int:
    import catlite

    with catlite.Endpoint("test-model", base_url=url, api_key=KEY, max_connections=CONNECTIONS, max_tokens=64) as model:
        prompts = [f"Question {number}?" for number in range(questions)]
        synthesis = catlite.Synthesis(model, include_question=True)
        found = catlite.estimate(prompts, model, estimator=synthesis, n=ROLLOUTS)
    return sum(reference.error is not None for reference in found) + sum(
        rollout.error is not None for reference in found for rollout in reference.rollouts
    )


async def openai_arm(url: str, questions: int) -> int:
    import openai

    client = openai.AsyncOpenAI(base_url=url, api_key=KEY, http_client=openai.DefaultAioHttpClient())
    slots = asyncio.Semaphore(CONNECTIONS)
    lost = 0

    async def ask(prompt: str) -> str:
        nonlocal lost
        async with slots:
            try:
                messages = [{"role": "user", "content": prompt}]
                reply = await client.chat.completions.create(model="test-model", messages=messages, max_tokens=64)
            except openai.APIError:
                lost += 1
                return ""
            return reply.choices[0].message.content

    async def question(number: int) -> None:
        group = await asyncio.gather(*(ask(f"Question {number}?") for _ in range(ROLLOUTS)))
        await ask(f"Question {number}, from: " + " ".join(group))

    await asyncio.gather(*(question(number) for number in range(questions)))
    await client.close()
    return lost


def arm(client: str, server: str, questions: int, rate: float) -> dict[str, float]:
    settings = ["--latency", "0.2", "--sigma", "0.6", "--seed", "1", "--rate", str(rate), *SERVERS[server]]
    with subprocess.Popen(
        [sys.executable, str(SERVER), "--port", "0", *settings], stdout=subprocess.PIPE, text=True
    ) as running:
        url = running.stdout.readline().strip()
        child = [sys.executable, __file__, "--arm", client, "--url", url, "--questions", str(questions)]
        done = subprocess.run(child, stdout=subprocess.PIPE, text=True, check=False)
        statuses = stats(url)["statuses"]
        running.terminate()
    done.check_returncode()
    result = json.loads(done.stdout)
    sent, wasted = sum(statuses.values()), statuses.get("429", 0)
    ideal = questions * (ROLLOUTS + 1) / rate
    return {"lost": result["lost"], "wasted": wasted / sent, "time": result["wall"] / ideal}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--rate", type=float, default=150)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--arm", choices=CLIENTS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        for module in MODULES[options.arm]:
            importlib.import_module(module)
        started = time.perf_counter()
        if options.arm == "openai":
            lost = asyncio.run(openai_arm(options.url, options.questions))
        else:
            lost = catlite_arm(options.url, options.questions)
        print(json.dumps({"lost": lost, "wall": time.perf_counter() - started}))
        return
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; {options.rounds} rounds")
    print("\n| client | server | lost | wasted | time / ideal |\n|---|---|---|---|---|")
    for server in SERVERS:
        for client, label in CLIENTS.items():
            found = [arm(client, server, options.questions, options.rate) for _ in range(options.rounds)]
            lost = max(result["lost"] for result in found)
            wasted, over = (statistics.median(result[key] for result in found) for key in ("wasted", "time"))
            print(f"| {label} | {server} | {lost} | {wasted:.1%} | {over:.2f} |", flush=True)


if __name__ == "__main__":
    main()
