"""How many hours and dollars a number of prompts takes, by each way to run them; and whether these hours are true.

    python benchmarks/capacity.py [--prompts 1000 100000 1000000] [--n 8] [--rpm 5000] … [--only table|check]

A discrete-event simulation of `catlite.estimate`: the rollouts of a question, then its synthesis; connections,
processor time, limits on requests and tokens a minute, and replies that a server writes side by side. A large run is
simulated in part and continued at its steady pace. The check makes a few thousand calls of the real
`catlite.estimate` on a local server with the same limits, and prints simulated, measured and ratio (aim: 0.9 to 1.1).

Every limit and price is an argument, since these change. The defaults, as read in November 2026: gpt-4o-mini at
$0.15 and $0.60 per million tokens (price list of litellm 1.106), usage tier 2 with 5,000 requests and 2,000,000 tokens
a minute and 20,000,000 prompt tokens in the batch queue (OpenAI's page of that model), 59 tokens a second (a post in
OpenAI's forum, 2025); vLLM on one H100 with a model of 8 billion parameters at 128 × 45 tokens a second (Red Hat's
MLPerf 5.1 entry, 2025: 5,777 in all), rented at $2.69 an hour (RunPod, May 2026). Left out: failures, what a GPU
server takes to read prompts, and the time until a rented one answers.
"""

from __future__ import annotations

import argparse
import contextlib
import heapq
import importlib
import json
import math
import os
import platform
import random
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import loopback

SYNTHESIS_TOKENS = 300  # beside the rollouts: its instructions, and a tag around each of eight
SIMULATED = 2000  # questions, at least; twice as many are simulated, the rest is continued


@dataclass(frozen=True)
class Work:
    """What is asked: rollouts, then a synthesis that reads them. Lengths of replies are lognormal around their mean."""

    prompts: int
    n: int = 8
    prompt_tokens: int = 200
    reply_tokens: int = 400
    spread: float = 0.6  # sigma of a reply's length


@dataclass(frozen=True)
class Way:
    """How it is asked. Counts are for each process, or for each replica of the server."""

    name: str
    connections: int = 32
    processes: int = 1
    cpu_ms: float = 1.0  # of a process, for each request
    start_s: float = 0.0
    first_token_s: float = 0.5
    tokens_per_s: float = 59.0  # of one reply
    takes_n: bool = True  # one request brings all rollouts
    slots: int | None = None  # replies that are written side by side; None: as many as are asked for
    replicas: int = 1
    requests_per_min: float = math.inf
    tokens_per_min: float = math.inf
    pacing: float = 0.93  # the share of a rate limit that catlite uses
    prompt_usd: float = 0.0  # per million tokens
    reply_usd: float = 0.0
    replica_usd_hour: float = 0.0
    queue_tokens: float | None = None  # prompt tokens that a batch API takes at once; None: no batches
    turnaround_h: float = 24.0


class Stage(NamedTuple):
    """One kind of request: how many of them for a question, and the tokens of one."""

    requests: int
    choices: int
    prompt_tokens: int
    reply_tokens: int


class Outcome(NamedTuple):
    """What a way takes, and the limit that is used most."""

    hours: float
    dollars: float
    bound_by: str


def stages(work: Work, takes_n: bool) -> tuple[Stage, Stage]:
    """The requests for one question."""
    requests, choices = (1, work.n) if takes_n else (work.n, 1)
    rollouts = Stage(requests, choices, work.prompt_tokens, choices * work.reply_tokens)
    return rollouts, Stage(1, 1, work.n * work.reply_tokens + SYNTHESIS_TOKENS, work.reply_tokens)


def dollars(work: Work, way: Way, hours: float) -> float:
    """What tokens and rented replicas cost."""
    price = sum(
        stage.requests * (stage.prompt_tokens * way.prompt_usd + stage.reply_tokens * way.reply_usd)
        for stage in stages(work, way.takes_n)
    )
    return work.prompts * price / 1e6 + hours * way.replicas * way.replica_usd_hour


def outcome(work: Work, way: Way) -> Outcome:
    """Hours and dollars of the whole work."""
    if way.queue_tokens is not None:
        queued = [stage.requests * stage.prompt_tokens * work.prompts for stage in stages(work, way.takes_n)]
        hours = way.turnaround_h * sum(math.ceil(tokens / way.queue_tokens) for tokens in queued)
        return Outcome(hours, dollars(work, way, hours), "batch queue" if max(queued) > way.queue_tokens else "batches")
    part = max(SIMULATED, 4 * way.connections * way.processes)
    if work.prompts <= 2 * part:
        seconds, bound_by = simulate(work, way)
    else:
        half, _ = simulate(replace(work, prompts=part), way)
        whole, bound_by = simulate(replace(work, prompts=2 * part), way)
        seconds = whole + (work.prompts - 2 * part) * (whole - half) / part
    hours = (way.start_s + seconds) / 3600
    return Outcome(hours, dollars(work, way, hours), bound_by)


def simulate(work: Work, way: Way, seed: int = 0) -> tuple[float, str]:
    """Seconds until the last synthesis has come, and the limit that is used most on the way."""
    kinds = stages(work, way.takes_n)
    draw, mu = random.Random(seed), -(work.spread**2) / 2
    connections = way.connections * way.processes
    processes = [0.0] * way.processes  # when each is free
    slots = [0.0] * ((way.slots or 0) * way.replicas)
    used: Counter[str] = Counter()  # seconds that each limit alone would take
    waiting: list[tuple[int, int, int]] = []  # in line for a connection, early questions first, as in catlite
    flying: list[tuple[float, int, int]] = []
    left: dict[int, int] = {}  # by question under way, the requests of its stage that have not come back
    turn = now = 0.0
    begun = 0

    def line_up(question: int, stage: int) -> None:
        left[question] = kinds[stage].requests
        for _ in range(left[question]):
            heapq.heappush(waiting, (min(question, work.prompts - 2 * connections), stage, question))

    while begun < work.prompts or left:
        while begun < work.prompts and len(left) < 2 * connections:
            line_up(begun, 0)
            begun += 1
        while waiting and len(flying) < connections:
            _, stage, question = heapq.heappop(waiting)
            kind = kinds[stage]
            ready = max(now, processes[0]) + way.cpu_ms / 1000
            heapq.heapreplace(processes, ready)
            sent = max(ready, turn)
            pace = 60 / way.requests_per_min, 60 * (kind.prompt_tokens + kind.reply_tokens) / way.tokens_per_min
            turn = sent + max(pace) / way.pacing
            longest = end = 0.0
            for _ in range(kind.choices):
                length = work.reply_tokens * draw.lognormvariate(mu, work.spread)
                service = way.first_token_s + length / way.tokens_per_s
                written = max(sent, slots[0] if slots else 0.0) + service
                if slots:
                    heapq.heapreplace(slots, written)
                    used["slots"] += service / len(slots)
                longest, end = max(longest, service), max(end, written)
            heapq.heappush(flying, (end, question, stage))
            used["connections"] += longest / connections
            used["processor"] += way.cpu_ms / 1000 / way.processes
            used["requests/min"] += pace[0] / way.pacing
            used["tokens/min"] += pace[1] / way.pacing
        now, question, stage = heapq.heappop(flying)
        left[question] -= 1
        if not left[question]:
            del left[question]
            if stage == 0:
                line_up(question, 1)
    return now, used.most_common(1)[0][0]


def fleet(gpu: Way, replicas: int) -> Way:
    return replace(gpu, name=f"fleet of {replicas}", replicas=replicas, connections=gpu.connections * replicas)


def ways(options: argparse.Namespace) -> list[Way]:
    """The ways of docs/growing.md."""
    api = Way(
        "notebook",
        tokens_per_s=options.speed,
        requests_per_min=options.rpm,
        tokens_per_min=options.tpm,
        prompt_usd=options.prompt_usd,
        reply_usd=options.reply_usd,
    )
    gpu = Way(
        "one vLLM server",
        connections=options.slots,
        first_token_s=0.1,
        tokens_per_s=options.gpu_speed,
        slots=options.slots,
        replica_usd_hour=options.gpu_usd_hour,
    )
    price = {"prompt_usd": options.prompt_usd * options.discount, "reply_usd": options.reply_usd * options.discount}
    nodes = max(options.replicas)
    return [
        api,
        replace(api, name="overnight run", connections=options.connections),
        replace(api, name="batch API", queue_tokens=options.queue_tokens, turnaround_h=options.turnaround, **price),
        gpu,
        *(fleet(gpu, replicas) for replicas in options.replicas),
        replace(gpu, name=f"Ray, {nodes} nodes", replicas=nodes, processes=nodes, start_s=4.0),
    ]


def short(number: float) -> str:
    return f"{number:,.2f}" if number < 100 else f"{number:,.0f}"


def print_table(options: argparse.Namespace) -> None:
    works = [
        Work(prompts, options.n, options.prompt_tokens, options.reply_tokens, options.spread)
        for prompts in options.prompts
    ]
    print(f"| way |{''.join(f' {work.prompts:,} prompts |' for work in works)} what limits it |")
    print(f"|---|{'---|' * len(works)}---|")
    for way in ways(options):
        outcomes = [outcome(work, way) for work in works]
        cells = [f"{short(each.hours)} h, ${short(each.dollars)}" for each in outcomes]
        print(f"| {' | '.join([way.name, *cells, outcomes[-1].bound_by])} |")


# The check: the same limits in a real server, which keeps them in code of its own.

WORK = Work(300, 8, 50, 40)
QUICK = Way("64 connections, nothing else", 64, first_token_s=0.2, tokens_per_s=200, takes_n=False)  # 0.4 s a reply
CHECKED = [
    QUICK,
    replace(QUICK, name="64 connections, 32 slots", slots=32),
    replace(QUICK, name="32 connections, 64 slots", connections=32, slots=64),
    replace(QUICK, name="one request for all rollouts, 64 slots", takes_n=True, slots=64),
    replace(QUICK, name="two servers of 16 slots", slots=16, replicas=2),
    replace(QUICK, name="6,000 requests a minute", requests_per_min=6000),
    replace(QUICK, name="800,000 tokens a minute", tokens_per_min=800_000),
    replace(QUICK, name="no latency: processor time", first_token_s=0.0, tokens_per_s=math.inf),
]


def slowed(way: Way, factor: float) -> Way:
    """The same where everything takes `factor` times as long."""
    return replace(
        way,
        first_token_s=way.first_token_s * factor,
        tokens_per_s=way.tokens_per_s / factor,
        requests_per_min=way.requests_per_min / factor,
        tokens_per_min=way.tokens_per_min / factor,
    )


def serve(way: Way, seed: int) -> None:
    """Be the server of `way`, until the process is ended; its rate limits let a second's worth through at once."""
    sys.path.insert(0, str(loopback.SERVER.parent))
    from faults import RateLimit, lognormal, tokens
    from server import Server

    length = lognormal(WORK.reply_tokens, WORK.spread, seed)
    free = [0.0] * (way.slots or 10_000)

    def latency(body: dict[str, Any], n: int) -> float:
        now = time.monotonic()
        ends = []
        for _ in range(n):
            ends.append(max(now, free[0]) + way.first_token_s + length(body, 1) / way.tokens_per_s)
            heapq.heapreplace(free, ends[-1])
        return max(ends) - now

    class TokenLimit(RateLimit):
        def __call__(self, _: int, body: dict[str, Any]) -> Any:
            spent = tokens(body["messages"]) + (body.get("n", 1) if way.takes_n else 1) * WORK.reply_tokens
            enough = self.take() and self._tokens >= spent - 1
            self._tokens -= (spent - 1) * enough
            return None if enough else self.refusal

    loopback.serve(
        Server(
            "word" * WORK.reply_tokens,
            latency=latency,
            limit=RateLimit(way.requests_per_min / 60, way.requests_per_min / 60)
            if math.isfinite(way.requests_per_min)
            else None,
            faults=TokenLimit(way.tokens_per_min / 60, way.tokens_per_min / 60)
            if math.isfinite(way.tokens_per_min)
            else (),
            takes_n=way.takes_n,
            models=None,
            keep=False,
        )
    )


def ask(way: Way, urls: list[str]) -> None:
    """Print what the real thing takes: seconds, and milliseconds of processor time for each request."""
    for module in ("catlite.api", "catlite.models.http.clients", "openai", "httpx_aiohttp", "tenacity"):
        importlib.import_module(module)  # what an import takes is another benchmark's figure
    import catlite

    prompts = [f"Question {number}?".ljust(4 * WORK.prompt_tokens, ".") for number in range(WORK.prompts)]
    connections, address = way.connections // way.replicas, urls if way.replicas > 1 else urls[0]
    with catlite.Endpoint(
        "test-model", base_url=address, api_key=loopback.KEY, max_connections=connections, max_tokens=64
    ) as model:
        cpu, wall = time.process_time(), time.perf_counter()
        references = catlite.estimate(prompts, model, n=WORK.n)
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    assert not references.failed, references.failed[0]
    requests = WORK.prompts * sum(stage.requests for stage in stages(WORK, way.takes_n))
    print(json.dumps({"seconds": wall, "cpu_ms": 1000 * cpu / requests, "requests": requests}))


def measure(number: int, slow: float) -> dict[str, float]:
    """Run CHECKED[number], slowed, in a process of its own, against a server in another for each replica."""
    child = [sys.executable, __file__, "--case", str(number), "--slow", str(slow), "--url"]
    with contextlib.ExitStack() as stack:
        urls = []
        for _ in range(CHECKED[number].replicas):
            server = stack.enter_context(subprocess.Popen(child, stdout=subprocess.PIPE, text=True))
            stack.callback(server.terminate)
            assert server.stdout is not None
            urls.append(server.stdout.readline().strip())
        done = subprocess.run([*child, *urls], stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def print_check(slow: float) -> None:
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    print("| limit | requests | simulated s | measured s | simulated / measured | CPU ms a request |")
    print("|---|---|---|---|---|---|")
    for number, way in enumerate(CHECKED):
        result = measure(number, slow)
        seconds, _ = simulate(WORK, replace(slowed(way, slow), cpu_ms=result["cpu_ms"]))
        ratio, cells = seconds / result["seconds"], f"{seconds:.2f} | {result['seconds']:.2f}"
        print(f"| {way.name} | {result['requests']:,} | {cells} | {ratio:.3f} | {result['cpu_ms']:.2f} |", flush=True)


def rate(text: str) -> float:
    """Read a number above 0."""
    value = float(text)
    if not value > 0:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def count(text: str) -> int:
    """Read a whole number above 0."""
    return int(rate(str(int(text))))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--only", choices=("table", "check"))
    add("--prompts", type=count, nargs="+", default=[1000, 100_000, 1_000_000])
    add("--n", type=count, default=8, help="rollouts")
    add("--prompt-tokens", type=count, default=200)
    add("--reply-tokens", type=count, default=400, help="on average, of a rollout and of a synthesis")
    add("--spread", type=float, default=0.6, help="sigma of the lognormal length of a reply")
    add("--connections", type=count, default=256, help="of the overnight run")
    add("--speed", type=rate, default=59, help="tokens a second of one reply, at the provider")
    add("--rpm", type=rate, default=5000, help="requests a minute that the provider allows")
    add("--tpm", type=rate, default=2e6, help="tokens a minute that the provider allows")
    add("--prompt-usd", type=float, default=0.15, help="dollars per million tokens")
    add("--reply-usd", type=float, default=0.60, help="dollars per million tokens")
    add("--discount", type=float, default=0.5, help="what a batch costs, as a share of the price")
    add("--queue-tokens", type=rate, default=20e6, help="prompt tokens that the batch API takes at once")
    add("--turnaround", type=float, default=24, help="hours that a batch takes; providers promise 24 at most")
    add("--slots", type=count, default=128, help="replies that a GPU server writes side by side")
    add("--gpu-speed", type=rate, default=45, help="tokens a second of each of these")
    add("--gpu-usd-hour", type=float, default=2.69)
    add("--replicas", type=count, nargs="+", default=[4, 16])
    add("--slow", type=rate, default=1, help="factor on all times of the check, for a machine that is busy")
    add("--case", type=int, help=argparse.SUPPRESS)
    add("--url", nargs="*", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is not None:
        way = slowed(CHECKED[options.case], options.slow)
        ask(way, options.url) if options.url else serve(way, seed=1)
        return
    if options.only != "check":
        print_table(options)
    if options.only != "table":
        print_check(options.slow)


if __name__ == "__main__":
    main()
