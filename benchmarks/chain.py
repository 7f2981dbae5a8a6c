"""The whole rubric chain against its lower bound: 8 rollouts, a synthesis, a rubric, 48 judgements.

    python benchmarks/chain.py [--questions 100] [--rounds 3]

One request each (the server takes no n), 64 connections, service times lognormal with mean 0.2 s and sigma 0.6; every
rollout is judged on 6 criteria, a call each. The bound is what the server served, divided by 64. The other arm is raw
aiohttp with the same pipelining, whose rubric and verdicts nobody reads. Imports are left out, arms are fresh processes
against fresh servers with the same seed and take turns. Part 5 asks for at most 1.15 times the bound.
"""

import argparse
import asyncio
import importlib
import itertools
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import faults
from loopback import KEY, asking, serve, stats
from server import Server

CONNECTIONS, ROLLOUTS, CRITERIA = 64, 8, 6
COLOURS = ("red", "orange", "yellow", "green", "blue", "violet")
RUBRIC = json.dumps({"criteria": [f"The response names the colour {colour}." for colour in COLOURS]})
VERDICT = json.dumps({"reason": "It is named.", "verdict": "yes"})
OURS = ("catlite.api", "catlite.rewards.rubric", "openai", "httpx_aiohttp", "tenacity")
ARMS = {"aiohttp": "raw aiohttp", "plain": "catlite"}


seen = itertools.count()


def reply(body: dict, _: int) -> str:
    """No two texts alike: what is asked twice at once would be asked once."""
    form = (body.get("response_format") or {}).get("json_schema", {}).get("name")
    return {"rubric": RUBRIC, "verdict": VERDICT}.get(form, f"Rainbow {next(seen)} is red, orange and so on.")


def made() -> Server:
    latency = faults.lognormal(0.2, 0.6, 1)
    return Server(reply, latency=latency, models=None, takes_n=False, keep=False)


async def raw(url: str, questions: int) -> None:
    async with asking(url, CONNECTIONS) as ask:

        async def question(number: int) -> None:
            group = await asyncio.gather(*(ask(f"Question {number}?") for _ in range(ROLLOUTS)))
            reference = await ask(f"Question {number}, from: " + " ".join(group))
            await ask(f"A rubric for: {reference}")
            await asyncio.gather(*(ask(f"{text}: {colour}?") for text in group for colour in COLOURS))

        await asyncio.gather(*(question(number) for number in range(questions)))


def ours(url: str, questions: int) -> None:
    import catlite

    with catlite.Endpoint("test-model", base_url=url, api_key=KEY, max_connections=CONNECTIONS, max_tokens=64) as model:
        synthesis = catlite.Synthesis(model, include_question=True)
        reward = catlite.RubricReward(model, model)
        rewards = []

        async def chained(group: object) -> object:
            reference = await synthesis(group)
            rewards.append((await reward.audit(group, reference)).rewards_G)
            return reference

        prompts = [f"Question {number}?" for number in range(questions)]
        found = catlite.estimate(prompts, model, estimator=chained, n=ROLLOUTS)
        assert not any(reference.error for reference in found)
        assert [list(one) for one in rewards] == [[1.0] * ROLLOUTS] * questions


def arm(name: str, questions: int) -> dict[str, float]:
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as server:
        url = server.stdout.readline().strip()
        child = [sys.executable, __file__, "--arm", name, "--url", url, "--questions", str(questions)]
        done = subprocess.run(child, stdout=subprocess.PIPE, text=True, check=False)
        counted = stats(url)
        server.terminate()
    done.check_returncode()
    return json.loads(done.stdout) | {"bound": counted["service_s"] / CONNECTIONS, "requests": counted["completions"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(made())
        return
    if options.arm:
        for module in OURS if options.arm == "plain" else ("aiohttp",):
            importlib.import_module(module)
        cpu, wall = time.process_time(), time.perf_counter()
        if options.arm == "aiohttp":
            asyncio.run(raw(options.url, options.questions))
        else:
            ours(options.url, options.questions)
        print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ARMS}
    for _ in range(options.rounds):
        for name, results in found.items():
            results.append(arm(name, options.questions))
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; {options.rounds} rounds")
    print("\n| client | wall s | wall / bound | client CPU s | requests |\n|---|---|---|---|---|")
    for name, label in ARMS.items():
        ratio = statistics.median(result["wall"] / result["bound"] for result in found[name])
        wall, cpu = (statistics.median(result[key] for result in found[name]) for key in ("wall", "cpu"))
        print(f"| {label} | {wall:.2f} | {ratio:.3f} | {cpu:.2f} | {found[name][0]['requests']:.0f} |")


if __name__ == "__main__":
    main()
