"""Throughput of a fleet against one replica, with one replica killed in the middle as well.

    python benchmarks/fleet.py [--replicas 4] [--connections 64] [--seconds 1.0] [--questions 80] [--rounds 3]

Each replica is a process that bounds its throughput as a GPU server does: `--connections` requests are served at once,
each in `--seconds` times 0.7 to 1.3, and further ones wait. Every question is 8 rollouts, one request each (the servers
take no n); the fleet has as many questions for each of its replicas as one replica alone. Arms take turns; imports are
left out. The aim is 3.8 times the throughput of one replica with four, and that a killed replica loses nothing and
costs no more requests than it had in flight.
"""

import argparse
import heapq
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack

from loopback import KEY, SERVER, serve

ROLLOUTS = 8


class Slots:
    """The seconds that a request takes where so many are served at once, and the others in the order of arrival."""

    def __init__(self, count: int, seconds: float) -> None:
        self.seconds = seconds
        self.free = [0.0] * count  # when each slot is free
        self.draws = random.Random(0)

    def __call__(self, *_: object) -> float:
        now = time.monotonic()
        end = max(now, self.free[0]) + self.seconds * self.draws.uniform(0.7, 1.3)
        heapq.heapreplace(self.free, end)
        return end - now


def replica(slots: int, seconds: float) -> None:
    sys.path.insert(0, str(SERVER.parent))
    from server import Server

    serve(Server(latency=Slots(slots, seconds), takes_n=False, keep=False))


def arm(replicas: int, arguments: argparse.Namespace, *, kill: bool = False) -> dict[str, float]:
    import catlite
    from catlite import concurrency
    from catlite.runs import session

    command = [sys.executable, __file__, "--serve", str(arguments.connections), "--seconds", str(arguments.seconds)]
    with ExitStack() as stack:
        servers = [stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE)) for _ in range(replicas)]
        for server in servers:
            stack.callback(server.terminate)
        urls = [server.stdout.readline().decode().strip() for server in servers]
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(session.open_run(folder))
        where = urls if replicas > 1 else urls[0]
        model = stack.enter_context(
            catlite.Endpoint("test-model", base_url=where, api_key=KEY, max_connections=arguments.connections)
        )

        def ask(questions: list[str], n: int) -> list[catlite.Rollout]:
            work = concurrency.each(lambda question: model.sample(question, n), questions, 2 * model.max_connections)
            return [rollout for rollouts in concurrency.run(work) for rollout in rollouts]

        ask([f"First {i}?" for i in range(2 * replicas)], 2)  # opens connections, and learns that n is not taken
        store = session.current().store
        before, questions = store.account.spent.requests, arguments.questions * replicas
        if kill:
            half = arguments.questions * ROLLOUTS / arguments.connections * arguments.seconds / 2
            threading.Timer(half, servers[-1].send_signal, [signal.SIGKILL]).start()
        cpu, began = time.process_time(), time.perf_counter()
        usable = sum(rollout.usable for rollout in ask([f"Question {i}?" for i in range(questions)], ROLLOUTS))
        wall = time.perf_counter() - began
        sent = store.account.spent.requests - before
    requests = questions * ROLLOUTS
    return {
        "rate": requests / wall,
        "cpu": (time.process_time() - cpu) / requests,
        "lost": requests - usable,
        "again": sent - requests,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicas", type=int, default=4)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--questions", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve is not None:
        replica(arguments.serve, arguments.seconds)
        return
    import importlib

    for module in ("catlite.api", "catlite.models.http.clients", "openai", "httpx_aiohttp", "tenacity"):
        importlib.import_module(module)
    print(f"{platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}", flush=True)
    results: dict[str, list[dict[str, float]]] = {"one replica": [], "fleet": [], "fleet, one killed": []}
    for _ in range(arguments.rounds):
        results["one replica"].append(arm(1, arguments))
        results["fleet"].append(arm(arguments.replicas, arguments))
        results["fleet, one killed"].append(arm(arguments.replicas, arguments, kill=True))
    print("| arm | requests/s | times one replica | CPU ms a request | lost | asked again |\n|---|---|---|---|---|---|")
    for name, runs in results.items():
        ratios = [run["rate"] / one["rate"] for run, one in zip(runs, results["one replica"], strict=True)]
        spread = f" ({min(ratios):.2f} to {max(ratios):.2f})" if name != "one replica" else ""
        rate, cpu = (statistics.median(run[key] for run in runs) for key in ("rate", "cpu"))
        lost, again = (max(run[key] for run in runs) for key in ("lost", "again"))
        print(
            f"| {name} | {rate:.1f} | {statistics.median(ratios):.2f}{spread} | {1000 * cpu:.2f} | {lost} | {again} |"
        )


if __name__ == "__main__":
    main()
