"""kill -9 at random moments of `estimate` and of `evaluate`, then the same call again.

    python benchmarks/crash.py [--kills 50] [--seed 0]

30 questions, each 8 rollouts, one request each, and 1 synthesis, 16 connections, service times lognormal with mean
0.02 s, a run store. Each round is a fresh run folder: a process is killed at a moment drawn uniformly over what the
whole takes, a second one resumes. What is checked, with exit code 1 when it does not hold: the result is that of a run
nobody killed; SQLite finds its file whole after the kill; what is asked for twice is no more than what was under way,
which is at most 16 requests and the replies on their way to the disk; a third call asks for nothing.
"""

import argparse
import asyncio
import importlib
import json
import os
import platform
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import faults
from server import Server

KEY = "sk-test-0123456789abcdefghijklmnop"
QUESTIONS, ROLLOUTS, CONNECTIONS = 30, 8, 16
KINDS = ("estimate", "evaluate")


def reply(body: dict, _: int) -> str:
    """Depends on what is asked alone, so that a reply asked for twice is the same one."""
    drawn = random.Random(f"{body['messages'][-1]['content']}/{body.get('seed')}")
    return rf"So it is \boxed{{{drawn.randint(1, 3)}}}"


class Counting(Server):
    """Counts how often each sample was answered."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.asked: Counter = Counter()

    def _complete(self, request):
        self.asked[request.body["messages"][-1]["content"], request.body.get("seed")] += 1
        return super()._complete(request)

    @property
    def stats(self):
        return super().stats | {"repeated": sum(count - 1 for count in self.asked.values())}


def serve() -> None:
    server = Counting(reply, latency=faults.lognormal(0.02, 0.6, 1), takes_n=False, keep=False)
    listener = server._listen()
    asyncio.run(server._serve(listener, lambda: print(server.url, flush=True), signals=True))


def work(kind: str, url: str, folder: str, round_: int) -> None:
    import catlite

    # First, or most moments would fall into the imports.
    for module in ("openai", "httpx_aiohttp", "catlite.evaluation", "catlite.references.synthesis"):
        importlib.import_module(module)
    with catlite.Endpoint(
        "test-model", base_url=url, api_key=KEY, max_connections=CONNECTIONS, max_tokens=64, retry_seconds=5
    ) as model:
        synthesis = catlite.Synthesis(model, include_question=True)
        examples = [
            catlite.Example(f"Question {number} of round {round_}?", "1", answer_format="boxed")
            for number in range(QUESTIONS)
        ]
        print("started", flush=True)
        if kind == "estimate":
            found = catlite.estimate(examples, model, estimator=synthesis, n=ROLLOUTS, run=folder, seed=1)
            result = [(one.answer, one.text, [rollout.text for rollout in one.rollouts]) for one in found]
        else:
            task = catlite.Task("boxes", tuple(examples))
            evaluation = catlite.evaluate(
                task, model, estimators=[synthesis, catlite.MajorityVote()], n=ROLLOUTS, run=folder, seed=1
            )
            result = [(row.id, row.system, row.score, row.answer) for row in evaluation.rows]
    print(json.dumps(result))


def start(kind: str, url: str, folder: str, round_: int) -> subprocess.Popen:
    command = [sys.executable, __file__, "--kind", kind, "--url", url, "--folder", folder, "--round", str(round_)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "started\n"
    return process


def whole(kind: str, url: str, folder: str, round_: int) -> tuple[str, float]:
    process = start(kind, url, folder, round_)
    started = time.perf_counter()
    result = process.communicate(timeout=120)[0]
    assert process.returncode == 0, result
    return result, time.perf_counter() - started


def stats(url: str) -> dict:
    with urllib.request.urlopen(url.removesuffix("/v1") + "/stats") as answer:
        return json.load(answer)


def sound(path: Path) -> bool:
    if not path.exists():  # killed before there was one
        return True
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        connection.close()


def kill_and_resume(kind: str, url: str, round_: int, within: float, drawn: random.Random) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        before = stats(url)
        process = start(kind, url, folder, round_)
        time.sleep(drawn.uniform(0, within))
        process.kill()
        process.communicate()
        while (halfway := stats(url))["in_flight"]:
            time.sleep(0.01)
        intact = sound(Path(folder) / "replies.sqlite")
        resumed, _ = whole(kind, url, folder, round_)
        after = stats(url)
        third, _ = whole(kind, url, folder, round_)
        nothing = stats(url)["completions"] == after["completions"]
    # In a folder of its own, and of the same replies: what nobody killed says.
    with tempfile.TemporaryDirectory() as folder:
        undisturbed, _ = whole(kind, url, folder, round_)
    return {
        "sent": halfway["completions"] - before["completions"],
        "repeated": after["repeated"] - before["repeated"],
        "same": resumed == undisturbed == third,
        "intact": intact,
        "nothing": nothing,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="of each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    for name in ("--url", "--folder", "--round"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve()
        return
    if options.kind:
        work(options.kind, options.url, options.folder, options.round)
        return
    drawn = random.Random(options.seed)
    total = QUESTIONS * (ROLLOUTS + 1)
    good = True
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    print("| call | kills | sent before the kill | repeated, most | same result | file whole | third call sends |")
    print("|---|---|---|---|---|---|---|")
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as server:
        url = server.stdout.readline().strip()
        for kind in KINDS:
            with tempfile.TemporaryDirectory() as folder:
                _, within = whole(kind, url, folder, -1 - KINDS.index(kind))
            first = options.kills * KINDS.index(kind)  # no two rounds ask the same
            found = [kill_and_resume(kind, url, first + number, within, drawn) for number in range(options.kills)]
            sent = [one["sent"] for one in found]
            most = max(one["repeated"] for one in found)
            same, intact, nothing = (sum(one[name] for one in found) for name in ("same", "intact", "nothing"))
            good &= same == intact == nothing == options.kills and most <= 2 * CONNECTIONS
            print(
                f"| {kind} | {options.kills} | {min(sent)} to {max(sent)} of {total} | {most} | {same} | {intact} | "
                f"{0 if nothing == options.kills else 'something'} |",
                flush=True,
            )
        server.terminate()
    if not good:
        sys.exit(1)


if __name__ == "__main__":
    main()
