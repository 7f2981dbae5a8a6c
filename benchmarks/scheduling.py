"""Wall time of a whole evaluation against its lower bound, and against raw aiohttp with the same pipelining.

    python benchmarks/scheduling.py [--questions 200] [--rounds 3]

Every question is 8 rollouts and then 1 synthesis, one request each (the server takes no n), 64 connections, service
times lognormal with mean 0.2 s and sigma 0.6. Imports are left out. The lower bound is what the server served,
divided by 64. Each arm is a fresh process against a fresh server with the same seed; arms take turns. Part 2 asks
for at most 1.12 times the bound, 1.03 times aiohttp, and 3% for the store.
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
import tempfile
import time

from loopback import KEY, SERVER, asking, stats

CONNECTIONS, ROLLOUTS = 64, 8
OURS = ("catlite.api", "catlite.models.http.clients", "openai", "httpx_aiohttp", "tenacity")
ARMS = {"aiohttp": "raw aiohttp", "plain": "catlite", "store": "catlite with a run store"}


async def raw(url: str, questions: int) -> None:
    async with asking(url, CONNECTIONS) as ask:

        async def question(number: int) -> str:
            group = await asyncio.gather(*(ask(f"Question {number}?") for _ in range(ROLLOUTS)))
            return await ask(f"Question {number}, from: " + " ".join(group))

        await asyncio.gather(*(question(number) for number in range(questions)))


def ours(url: str, questions: int, run: str | None) -> None:
    import catlite

    with catlite.Endpoint("test-model", base_url=url, api_key=KEY, max_connections=CONNECTIONS, max_tokens=64) as model:
        prompts = [f"Question {number}?" for number in range(questions)]
        # With the question shown, so that no two syntheses are the same: a store asks the same thing only once.
        synthesis = catlite.Synthesis(model, include_question=True)
        found = catlite.estimate(prompts, model, estimator=synthesis, n=ROLLOUTS, run=run)
        assert not any(reference.error for reference in found)


def arm(name: str, questions: int) -> dict[str, float]:
    command = [sys.executable, str(SERVER), "--port", "0", "--latency", "0.2", "--sigma", "0.6", "--seed", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        url = server.stdout.readline().strip()
        child = [sys.executable, __file__, "--arm", name, "--url", url, "--questions", str(questions)]
        done = subprocess.run(child, stdout=subprocess.PIPE, text=True, check=False)
        counted = stats(url)
        server.terminate()
    done.check_returncode()
    result = json.loads(done.stdout)
    return result | {"bound": counted["service_s"] / CONNECTIONS, "requests": counted["completions"]}


def run_arm(name: str, url: str, questions: int) -> None:
    # What an import takes is another benchmark's figure.
    for module in ("aiohttp",) if name == "aiohttp" else OURS:
        importlib.import_module(module)
    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = time.process_time(), time.perf_counter()
        if name == "aiohttp":
            asyncio.run(raw(url, questions))
        else:
            ours(url, questions, folder if name == "store" else None)
        print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        run_arm(options.arm, options.url, options.questions)
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ARMS}
    for _ in range(options.rounds):
        for name, results in found.items():
            results.append(arm(name, options.questions))
    print(
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; {options.rounds} rounds\n"
    )
    print("| client | wall s | wall / bound | client CPU s | requests |\n|---|---|---|---|---|")
    for name, label in ARMS.items():
        ratio = statistics.median(result["wall"] / result["bound"] for result in found[name])
        wall, cpu = (statistics.median(result[key] for result in found[name]) for key in ("wall", "cpu"))
        print(f"| {label} | {wall:.2f} | {ratio:.3f} | {cpu:.2f} | {found[name][0]['requests']:.0f} |")
    for name, other in (("plain", "aiohttp"), ("store", "plain")):
        pairs = [mine["wall"] / theirs["wall"] for mine, theirs in zip(found[name], found[other], strict=True)]
        print(f"\n{ARMS[name]} / {ARMS[other]}, median of pairs: {statistics.median(pairs):.3f}")


if __name__ == "__main__":
    main()
