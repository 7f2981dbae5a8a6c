"""Memory over the size of a task, and the time to resume a run that is complete.

    python benchmarks/resume.py [--questions 5000]

A local server without latency; every question is 8 short rollouts in one request and 1 synthesis. Each arm is a fresh
process: a tenth of the questions, all of them, and all of them again from the same run. Then the 200 questions of
scheduling.py with its latency (lognormal, mean 0.2 s, sigma 0.6; one request each, 64 connections), and those again.
Part 2 asks for a peak at most 1.2 times that of a tenth of the questions, and for a resumed run under 15 s that sends
nothing; part 5 for a finished run again within 5% of the first wall time.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager

from loopback import KEY, SERVER, stats


def work(url: str, questions: int, run: str) -> None:
    import catlite

    started = time.perf_counter()
    with catlite.Endpoint("test-model", base_url=url, api_key=KEY, max_connections=64, max_tokens=64) as model:
        prompts = [f"Question {number}?" for number in range(questions)]
        synthesis = catlite.Synthesis(model, include_question=True)
        found = catlite.estimate(prompts, model, estimator=synthesis, n=8, run=run)
    assert len(found) == questions
    assert not any(reference.error for reference in found)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    print(json.dumps({"wall": time.perf_counter() - started, "peak": peak}))


@contextmanager
def arms(*settings: str):
    """A function that works through so many questions in a fresh process, on a server of its own."""
    command = [sys.executable, str(SERVER), "--port", "0", "--reply", "Seven is prime.", *settings]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
    ):
        url = server.stdout.readline().strip()

        def sent() -> int:
            return stats(url)["completions"]

        def arm(questions: int, run: str) -> dict[str, float]:
            before = sent()
            child = [sys.executable, __file__, "--url", url, "--questions", str(questions), "--run", f"{folder}/{run}"]
            done = subprocess.run(child, stdout=subprocess.PIPE, text=True, check=True)
            return json.loads(done.stdout) | {"requests": sent() - before}

        yield arm
        server.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=5000)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.url:
        work(options.url, options.questions, options.run)
        return
    few, many = options.questions // 10, options.questions
    with arms("--takes-n") as arm:
        found = {f"{few:,} questions": arm(few, "few"), f"{many:,} questions": arm(many, "many")}
        found[f"{many:,} questions again ({9 * many:,} replies)"] = arm(many, "many")
    with arms("--latency", "0.2", "--sigma", "0.6", "--seed", "1") as arm:
        found |= {"200 questions, latency": arm(200, "slow"), "200 questions, latency, again": arm(200, "slow")}
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    print("| run | wall s | peak memory MB | requests |\n|---|---|---|---|")
    for name, result in found.items():
        print(f"| {name} | {result['wall']:.2f} | {result['peak']:.0f} | {result['requests']} |")
    first, second, again, slow, slow_again = found.values()
    print(f"\npeak memory, {many:,} against {few:,} questions: {second['peak'] / first['peak']:.2f}")
    print(f"again / first, wall time: {again['wall'] / second['wall']:.3f} without latency", end="")
    print(f", {slow_again['wall'] / slow['wall']:.3f} with it")


if __name__ == "__main__":
    main()
