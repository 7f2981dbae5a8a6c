"""A group of 8 rollouts in one request against eight requests, on the embedded server.

    python benchmarks/group.py [--questions 5]

The same questions, tokens and temperature; eight requests at once, and one after the other. Each way gets a question of
its own at a time, so that no prompt is in the server's cache already; ways take turns. Part 5 asks for one request to
take at most a third of the wall time of eight.
"""

import argparse
import asyncio
import os
import platform
import statistics
import time

import catlite
from catlite import concurrency

N = 8
CONTEXT = "The table lists products of small numbers, row by row, as they are taught in school. " * 12


async def one_request(model: catlite.Endpoint, prompt: str) -> None:
    await model.sample(prompt, N)


async def at_once(model: catlite.Endpoint, prompt: str) -> None:
    await asyncio.gather(*(model.sample(prompt) for _ in range(N)))


async def one_by_one(model: catlite.Endpoint, prompt: str) -> None:
    for _ in range(N):
        await model.sample(prompt)


WAYS = {"one request": one_request, "eight at once": at_once, "eight in turn": one_by_one}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=5)
    options = parser.parse_args()
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    with catlite.embedded(max_tokens=32, temperature=1.0) as model:
        concurrency.run(model.sample("Say yes."))
        for number in range(options.questions):
            for position, (name, way) in enumerate(WAYS.items()):
                # What differs stands first: a shared beginning would be evaluated once for all three.
                prompt = f"Question {number}, way {position}. {CONTEXT} What is {number + 2} times 7?"
                started = time.perf_counter()
                concurrency.run(way(model, prompt))
                found[name].append(time.perf_counter() - started)
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    print("| way | s per group, median | over one request, median of pairs |\n|---|---|---|")
    for name, seconds in found.items():
        ratios = [mine / one for mine, one in zip(seconds, found["one request"], strict=True)]
        print(f"| {name} | {statistics.median(seconds):.2f} | {statistics.median(ratios):.2f} |")


if __name__ == "__main__":
    main()
