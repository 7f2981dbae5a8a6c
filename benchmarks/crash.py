"""kill -9 at random moments of `estimate`, `evaluate` and `train`, then the same call again.

    python benchmarks/crash.py [--kills 50] [--seed 0] [--kinds estimate evaluate train]

`estimate` and `evaluate`: 30 questions, each 8 rollouts, one request each, and 1 synthesis. `train`: 6 steps of 2
groups of 4 rollouts of a tiny random model, each rollout judged in a call, a checkpoint every 2 steps. 16 connections,
service times lognormal with mean 0.02 s, a run store. Each round is a fresh run folder: a process is killed at a moment
drawn uniformly over what the whole takes, a second one resumes. What is checked, with exit code 1 when it does not
hold: the result is that of a run nobody killed (of `train` the adapter, bit for bit); SQLite finds its file whole after
the kill; what is asked for twice is no more than what was under way, at most 16 requests; a third call asks for
nothing.
"""

import argparse
import hashlib
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
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import faults
from loopback import KEY, serve, stats
from server import Server

QUESTIONS, ROLLOUTS, CONNECTIONS = 30, 8, 16
KINDS = ("estimate", "evaluate", "train")
# Before a process says that it has begun, or most moments would fall into the imports.
IMPORTS = ("openai", "httpx_aiohttp", "catlite.evaluation", "catlite.references.synthesis")
TRAINING = ("torch", "transformers", "peft", "datasets", "trl.trainer.grpo_trainer", "catlite.training.grpo")


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


def made() -> Server:
    return Counting(reply, latency=faults.lognormal(0.02, 0.6, 1), takes_n=False, keep=False)


def work(kind: str, url: str, folder: str) -> None:
    import catlite

    for module in IMPORTS + (TRAINING if kind == "train" else ()):
        importlib.import_module(module)
    with catlite.Endpoint(
        "test-model", base_url=url, api_key=KEY, max_connections=CONNECTIONS, max_tokens=64, retry_seconds=5
    ) as model:
        synthesis = catlite.Synthesis(model, include_question=True)
        examples = [
            catlite.Example(f"Question {number}?", "1", answer_format="boxed", id=f"q{number}")
            for number in range(QUESTIONS)
        ]
        print("started", flush=True)
        if kind == "estimate":
            found = catlite.estimate(examples, model, estimator=synthesis, n=ROLLOUTS, run=folder, seed=1)
            result = [(one.answer, one.text, [rollout.text for rollout in one.rollouts]) for one in found]
        elif kind == "evaluate":
            task = catlite.Task("boxes", tuple(examples))
            evaluation = catlite.evaluate(
                task, model, estimators=[synthesis, catlite.MajorityVote()], n=ROLLOUTS, run=folder, seed=1
            )
            result = [(row.id, row.system, row.score, row.answer) for row in evaluation.rows]
        else:
            result = train(model, folder)
    print(json.dumps(result))


def train(judge: object, folder: str) -> str:
    import trainings

    import catlite
    from catlite import concurrency

    async def one(name: str, text: str) -> float:
        (verdict,) = await judge.sample(f"{name}: {text}", 1)
        return float(verdict.text[-2])

    async def judged(group: catlite.Group, _: catlite.Reference) -> list[float]:
        return await concurrency.together(one(group.example.id, rollout.text) for rollout in group.rollouts)

    policy = catlite.LocalModel(os.environ["CRASH_MODEL"])
    settings = trainings.small(steps=6, check_every=2)
    run = catlite.train(
        trainings.open_task(), policy, estimator=trainings.constant, reward=judged, config=settings, run=folder
    )
    assert run.complete, run.ended
    return hashlib.sha256((run.adapter / "adapter_model.safetensors").read_bytes()).hexdigest()


def start(kind: str, url: str, folder: str) -> subprocess.Popen:
    command = [sys.executable, __file__, "--kind", kind, "--url", url, "--folder", folder]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "started\n"
    return process


def whole(kind: str, url: str, folder: str) -> tuple[str, float]:
    process = start(kind, url, folder)
    started = time.perf_counter()
    result = process.communicate(timeout=120)[0]
    assert process.returncode == 0, result
    return result.splitlines()[-1], time.perf_counter() - started


def sound(path: Path) -> bool:
    if not path.exists():  # killed before there was one
        return True
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        connection.close()


@contextmanager
def server():
    """Each round has its own, so that what it counts is of that round."""
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as process:
        yield process.stdout.readline().strip()
        process.terminate()


def undisturbed(kind: str) -> tuple[str, float, int]:
    """The result of a run nobody kills, its seconds, and what it asks for."""
    with tempfile.TemporaryDirectory() as folder, server() as url:
        return *whole(kind, url, folder), stats(url)["completions"]


def kill_and_resume(kind: str, expected: str, after: float) -> dict:
    with tempfile.TemporaryDirectory() as folder, server() as url:
        process = start(kind, url, folder)
        time.sleep(after)
        process.kill()
        process.communicate()
        while (halfway := stats(url))["in_flight"]:
            time.sleep(0.01)
        intact = sound(Path(folder) / "replies.sqlite")
        resumed, _ = whole(kind, url, folder)
        again = stats(url)
        third, _ = whole(kind, url, folder)
        return {
            "sent": halfway["completions"],
            "repeated": again["repeated"],
            "same": resumed == third == expected,
            "intact": intact,
            "nothing": stats(url)["completions"] == again["completions"],
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="of each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    for name in ("--url", "--folder"):
        parser.add_argument(name, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(made())
    elif options.kind:
        work(options.kind, options.url, options.folder)
    elif not measured(options.kinds, options.kills, random.Random(options.seed)):
        sys.exit(1)


def measured(kinds: list[str], kills: int, drawn: random.Random) -> bool:
    """Prints the table; True when everything held."""
    good = True
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    print("| call | kills | sent before the kill | repeated, most | same result | file whole | third call sends |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as model:
        if "train" in kinds:
            from tiny import tiny_model

            os.environ["CRASH_MODEL"] = str(tiny_model(model))
        for kind in kinds:
            expected, within, total = undisturbed(kind)
            found = [kill_and_resume(kind, expected, drawn.uniform(0, within)) for _ in range(kills)]
            sent = [one["sent"] for one in found]
            most = max(one["repeated"] for one in found)
            same, intact, nothing = (sum(one[name] for one in found) for name in ("same", "intact", "nothing"))
            good &= same == intact == nothing == kills and most <= CONNECTIONS
            print(
                f"| {kind} | {kills} | {min(sent)} to {max(sent)} of {total} | {most} | {same} | {intact} | "
                f"{0 if nothing == kills else 'something'} |",
                flush=True,
            )
    return good


if __name__ == "__main__":
    main()
