"""A soak: thousands of questions against a server that fails 15% of all requests in every way the tests know.

    python benchmarks/faults.py [--questions 2000] [--latency 0.02]

429 with Retry-After and without, 500, 503, connections reset, closed or cut, hangs, a slow drip, truncated JSON, HTML,
errors and null choices under status 200, null and numeric content. Each question is 8 rollouts, one request each, and
1 synthesis, with a run store. What is checked is printed, and the exit code is 1 when anything does not hold:
everything finishes; no reply that was usable is paid for twice; what the client counts is what the server billed for
usable replies; no task, socket or thread is left; the same run again asks for nothing.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import faults
from loopback import KEY, serve, stats
from server import Server

ROLLOUTS = 8
MIX = (
    (0.02, faults.status(429, retry_after=0.1)),
    (0.01, faults.status(429)),
    (0.02, faults.status(500)),
    (0.01, faults.status(503)),
    (0.01, faults.reset()),
    (0.01, faults.reset(0.5)),
    (0.01, faults.close()),
    (0.01, faults.cut()),
    (0.005, faults.hang()),
    (0.005, faults.drip(0.05)),
    (0.01, faults.truncated_json()),
    (0.01, faults.html()),
    (0.005, faults.error_in_200()),
    (0.005, faults.null_choices()),
    (0.005, faults.content(42)),
    (0.005, faults.content(None)),
)


class Billing(Server):
    """Also counts what it billed: tokens of replies that a client can use, and how often each prompt got one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.billed = Counter()
        self.usable = Counter()

    def _complete(self, request):
        answer, delay = super()._complete(request)
        if answer.kind == "edit" and isinstance(answer.body, bytes | dict):
            body = answer.body if isinstance(answer.body, dict) else _parsed(answer.body)
            choices = body.get("choices") if isinstance(body, dict) else None
            if choices and isinstance(choices[0]["message"]["content"], str | None):
                self.billed.update({name: body["usage"][name] for name in ("prompt_tokens", "completion_tokens")})
                self.usable[request.body["messages"][-1]["content"]] += 1
        return answer, delay

    @property
    def stats(self):
        rollouts = [count for prompt, count in self.usable.items() if prompt.startswith("Question")]
        others = [count for prompt, count in self.usable.items() if not prompt.startswith("Question")]
        counts = {"rollouts": dict(Counter(rollouts)), "syntheses": dict(Counter(others)), "billed": self.billed}
        return super().stats | counts


def _parsed(sent: bytes):
    try:
        return json.loads(sent)
    except ValueError:
        return None


def made(latency: float) -> Server:
    delay = faults.lognormal(latency, 0.6, 1) if latency else 0.0
    return Billing("Seven. " * 8, faults=faults.mix(*MIX, seed=1), latency=delay, takes_n=False, keep=False)


def sockets() -> int:
    folder = Path("/proc/self/fd")
    if not folder.exists():  # macOS: not counted
        return 0
    found = 0
    for entry in folder.iterdir():
        with contextlib.suppress(OSError):  # the folder's own
            found += str(entry.readlink()).startswith("socket:")
    return found


def run(url: str, questions: int, folder: str) -> dict:
    """Runs once, then again, and says what was found."""
    import catlite
    from catlite import concurrency

    async def tasks() -> int:
        return len(asyncio.all_tasks()) - 1

    concurrency.run(tasks())  # the background loop, with its own sockets, is there from now on
    before = sockets(), {thread.name for thread in threading.enumerate()}
    prompts = [f"Question {number}?" for number in range(questions)]
    found = {}
    for name in ("first", "again"):
        started, cpu = time.perf_counter(), time.process_time()
        with catlite.Endpoint(
            "test-model", base_url=url, api_key=KEY, max_connections=64, max_tokens=64, timeout=3.0
        ) as model:
            synthesis = catlite.Synthesis(model, include_question=True)
            references = catlite.estimate(prompts, model, estimator=synthesis, n=ROLLOUTS, run=folder)
        found[name] = {"wall": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    usage = catlite.Usage.total(reference.total_usage for reference in references)
    rollouts = [rollout for reference in references for rollout in reference.rollouts]
    # The background loop's own helpers ("asyncio_0" …) stay with it: a fixed number, whatever the runs.
    threads = {thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_")}
    left = sockets() - before[0], threads - before[1]
    return found | {
        "failed": sum(reference.error is not None for reference in references),
        "why": Counter(str(reference.error)[:120] for reference in references if reference.error).most_common(3),
        "lost": sum(rollout.error is not None for rollout in rollouts),
        "empty": sum(rollout.defect == "empty" for rollout in rollouts),
        "billed": {"prompt_tokens": usage.prompt_tokens, "completion_tokens": usage.completion_tokens},
        "left": {"tasks": concurrency.run(tasks()), "sockets": left[0], "threads": sorted(left[1])},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=2000)
    parser.add_argument("--latency", type=float, default=0.02)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(made(options.latency))
        return
    command = [sys.executable, __file__, "--serve", "--latency", str(options.latency)]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
    ):
        url = server.stdout.readline().strip()
        found = run(url, options.questions, folder)
        server_said = stats(url)
        server.terminate()
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    statuses = ", ".join(f"{code}: {count:,}" for code, count in sorted(server_said["statuses"].items()))
    print(f"{server_said['completions']:,} requests ({statuses})")
    first, again = found["first"], found["again"]
    print(f"{first['wall']:.0f} s, {first['cpu']:.0f} s of CPU; again {again['wall']:.1f} s")
    # A null content is a reply like any other: a rollout that is left out, or a synthesis that failed.
    groups, ones = server_said["rollouts"], server_said["syntheses"]
    checks = {
        f"no rollout is lost ({found['lost']})": found["lost"] == 0,
        f"only syntheses that came back empty failed ({found['failed']}: {found['why']})": all(
            "empty" in why for why, _ in found["why"]
        ),
        f"each question was answered {ROLLOUTS} times ({groups})": groups == {str(ROLLOUTS): options.questions},
        f"each synthesis was answered once ({ones})": set(ones) == {"1"},
        f"client and server count the same tokens ({found['billed']})": found["billed"] == server_said["billed"],
        f"no task, socket or thread is left ({found['left']})": not any(found["left"].values()),
    }
    for check, held in checks.items():
        print(f"{'holds' if held else 'FAILS'}: {check}")
    if not all(checks.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
