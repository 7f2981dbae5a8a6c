"""What `catlite serve` adds to calling `asynthesize`, how soon its streams begin, and what it loses when servers fail.

    python benchmarks/serve.py [--rounds 3] [--part overhead first faults crowd] [--optillm BIN/optillm]

All on one machine, in turns, against the scripted server of the tests; no run is kept.

* overhead: 64 questions under way, 8 rollouts and a synthesis each, one request a rollout. CPU is that of the process
  that synthesizes: a program that awaits asynthesize, or the server. To reach: at most 5 ms and 3% of a core a request.
  An app that answers every request alike, run by the same uvicorn, shows what no server can do without.
* first: how long after the anchor's first token a client of the stream has it. To reach: 20 ms.
* faults: 2,000 questions, a server behind that fails 15% of its requests. None may be lost or answered twice, and no
  request or socket may be left.
* crowd: 1,000 requests of 900 kB at once. Those that are accepted are answered, the others are told to come back, and
  the memory of the server grows by what is under way alone.
* optillm (pip install optillm==0.4.0, in an environment of its own): best of 8 and self-consistency of 5, 16 at once.
  It rates each reply by a request of its own, one after the other, where `best/` asks a judge once; and it draws the
  samples of self-consistency one after the other.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import httpx

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from faults import mix, reset, status, truncated_json
from server import Server
from serving_help import ask_at_once

AT_ONCE, N = 64, 8
KEY = "sk-benchmark-0123456789"
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """The CPU seconds of a process and of the children that it has waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def sockets(pid: int) -> int:
    """How many sockets a process has open."""
    links = Path(f"/proc/{pid}/fd").iterdir()
    count = 0
    for link in links:
        with contextlib.suppress(OSError):
            count += str(link.readlink()).startswith("socket:")
    return count


@contextlib.contextmanager
def serving(behind: Server, *arguments: str, command: list[str] | None = None):
    """`catlite serve` in front of a server, or another `command` that serves; yields (its URL, its process id)."""
    command = command or [
        sys.executable,
        "-m",
        "catlite",
        "serve",
        "demo",
        "--base-url",
        behind.url,
        "--port",
        "0",
        *arguments,
    ]
    environment = {**os.environ, "OPENAI_API_KEY": KEY}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            url = re.search(r"at (http\S+/v1)", process.stderr.readline())[1]
            log = threading.Thread(target=process.stderr.read, daemon=True)
            log.start()
            yield url, process.pid
        finally:
            process.terminate()


def chat(model: str, text: str, **more) -> dict:
    return {"model": model, "messages": [{"role": "user", "content": text}], **more}


async def ask_all(url: str, requests: list[dict], at_once: int, timeout: float = 600) -> tuple[list, list[float]]:
    """(the replies in order, the seconds that each took)."""
    slots, seconds = asyncio.Semaphore(at_once), [0.0] * len(requests)
    limits = httpx.Limits(max_connections=at_once)
    headers = {"Authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(limits=limits, timeout=timeout, headers=headers) as client:

        async def ask(number: int, fields: dict) -> httpx.Response:
            async with slots:
                started = time.perf_counter()
                reply = await client.post(f"{url}/chat/completions", json=fields)
                seconds[number] = time.perf_counter() - started
                return reply

        return await asyncio.gather(*(ask(number, fields) for number, fields in enumerate(requests))), seconds


# --- overhead ---


def direct(url: str, count: int) -> None:
    """Run in a process of its own: `count` questions through asynthesize."""
    import catlite

    async def work() -> None:
        model = catlite.Endpoint("demo", base_url=url, max_connections=AT_ONCE * N)
        slots, seconds = asyncio.Semaphore(AT_ONCE), []

        async def ask(number: int) -> None:
            async with slots:
                started = time.perf_counter()
                await catlite.asynthesize(f"question {number}", model, n=N, progress=False)
                seconds.append(time.perf_counter() - started)

        await asyncio.gather(*map(ask, range(AT_ONCE)))  # connections and imports
        seconds.clear()
        cpu = time.process_time()
        await asyncio.gather(*map(ask, range(count)))
        print(json.dumps({"cpu": time.process_time() - cpu, "latency": statistics.fmean(seconds)}))

    asyncio.run(work())


async def constant(scope, receive, send) -> None:
    """Answer every request alike: an app that does nothing."""
    if scope["type"] == "lifespan":
        for _ in range(2):
            await send({"type": f"{(await receive())['type']}.complete"})
        return
    while (await receive()).get("more_body"):
        pass
    body = json.dumps({"choices": [{"message": {"role": "assistant", "content": "a reply"}}]}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def floor() -> None:
    """Run in a process of its own: `constant`, as `catlite serve` runs its app."""
    from catlite.serving import process

    process.serve(constant, process.listen("127.0.0.1", 0), lambda url: print("at", url, file=sys.stderr, flush=True))


def overhead(rounds: int, count: int) -> None:
    names, calls = ["direct", "serve", "constant"], count * (N + 1)
    arms: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    environment = {**os.environ, "OPENAI_API_KEY": KEY}
    with Server("a reply", models=None, key=KEY, takes_n=False, latency=2.0, keep=False) as behind:
        for number in range(rounds):
            for name in names[number % 3 :] + names[: number % 3]:
                if name == "direct":
                    command = [sys.executable, __file__, "--direct", behind.url, "--count", str(count)]
                    run = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
                    arms[name].append(json.loads(run.stdout))
                    continue
                command = [sys.executable, __file__, "--floor"] if name == "constant" else None
                with serving(behind, "--max-connections", str(AT_ONCE * N), command=command) as (url, pid):
                    questions = [chat("cat/demo", f"question {place}", catlite={"n": N}) for place in range(count)]
                    asyncio.run(ask_all(url, questions[:AT_ONCE], AT_ONCE))
                    cpu = cpu_s(pid)
                    _, seconds = asyncio.run(ask_all(url, questions, AT_ONCE))
                    arms[name].append({"cpu": cpu_s(pid) - cpu, "latency": statistics.fmean(seconds)})
    pairs = list(zip(arms["direct"], arms["serve"], strict=True))
    for name, results in arms.items():
        print(f"{name:8} {mean([1e3 * result['cpu'] / calls for result in results])} ms CPU a request")
    print(f"CPU, serve / direct: {mean([serve['cpu'] / plain['cpu'] for plain, serve in pairs])}")
    least = [1 + fixed["cpu"] / plain["cpu"] for plain, fixed in zip(arms["direct"], arms["constant"], strict=True)]
    print(f"the least, with an app that does nothing: {mean(least)}")
    added = [1e3 * (serve["latency"] - plain["latency"]) / (N + 1) for plain, serve in pairs]
    print(f"added a request: {mean([1e3 * (s['cpu'] - d['cpu']) / calls for d, s in pairs])} ms CPU, {mean(added)} ms")


def mean(values: list[float]) -> str:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{statistics.fmean(values):.3f} ± {error:.3f}"


# --- first token ---


def first(count: int) -> None:
    latency, piece_s, delays = 0.3, 0.05, []
    behind = Server("a reply of some length, in pieces", models=None, key=KEY, latency=latency, piece_s=piece_s)
    with behind, serving(behind) as (url, _), httpx.Client(timeout=60) as client:
        for number in range(count + 2):
            fields = chat("cat/demo", f"question {number}", stream=True, catlite={"n": N})
            with client.stream("POST", f"{url}/chat/completions", json=fields) as reply:
                for line in reply.iter_lines():
                    if line.startswith("data: ") and '"content"' in line:
                        seen = time.monotonic()
                        break
            anchor = next(request for request in reversed(behind.requests) if request.body.get("stream"))
            # The anchor's first event has its role and no text, as OpenAI's has; the first text is the second event.
            delays.append(1e3 * (seen - anchor.arrived - latency - piece_s))
    delays = sorted(delays[2:])
    print(f"first token: {statistics.median(delays):.1f} ms after the anchor's, at most {delays[-1]:.1f} of {count}")


# --- faults ---


def faults(count: int) -> None:
    def reply(body: dict, _: int) -> str:
        return f"about {body['messages'][0]['content'].split()[-1]}"

    weather = mix((0.05, status(500)), (0.05, reset()), (0.05, truncated_json()), seed=1)
    behind = Server(reply, models=None, key=KEY, latency=0.05, keep=False)
    arguments = "--answer-format", r"about (\d+)", "--max-connections", "64"
    with behind, serving(behind, *arguments) as (url, pid):
        asyncio.run(ask_all(url, [chat("vote/demo", "question 0")], 1))
        before = sockets(pid)
        behind.script(weather)
        questions = [chat("vote/demo", f"question {number}", catlite={"n": 2}) for number in range(count)]
        started = time.perf_counter()
        replies, _ = asyncio.run(ask_all(url, questions, AT_ONCE))
        wall = time.perf_counter() - started
        answers = [reply.json().get("catlite", {}).get("answer") for reply in replies]
        health = url.removesuffix("/v1") + "/health"
        end = time.monotonic() + 30
        while (left := sockets(pid)) > before and time.monotonic() < end:
            time.sleep(0.2)
        print(
            f"faults: {count} questions in {wall:.1f} s; answered right "
            f"{sum(answer == str(number) for number, answer in enumerate(answers))}, "
            f"under way {httpx.get(health).json()['under_way']}, sockets {before} before and {left} after"
        )


# --- a crowd ---


def memory_mb(pid: int, field: str) -> float:
    """The memory of a process: VmRSS is what it has, VmHWM the most that it had."""
    return int(re.search(rf"{field}:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1000


def crowd(count: int, characters: int) -> None:
    behind = Server(lambda body, _: body["messages"][0]["content"][:20].split()[1], models=None, key=KEY, latency=1.0)
    behind.keep = False
    with behind, serving(behind, "--answer-format", r"(\d+)") as (url, pid):
        warm_up = chat("vote/demo", "question 0 ", catlite={"n": 2})
        asyncio.run(ask_at_once(url, [warm_up]))
        before, calls = memory_mb(pid, "VmRSS"), behind.completions
        requests = [chat("vote/demo", f"question {i} ".ljust(characters, "x"), catlite={"n": 2}) for i in range(count)]
        replies = asyncio.run(ask_at_once(url, requests))
        statuses = Counter(status for status, _, _ in replies)
        right = sum(
            fields["catlite"]["answer"] == str(number) if status == 200 else fields["error"]["code"] is not None
            for number, (status, _, fields) in enumerate(replies)
        )
        print(
            f"crowd: {count} requests of {characters:,} characters at once: {dict(statuses)}, {right} as they should "
            f"be, {behind.completions - calls} asked behind; memory {before:.0f} MB before, at most "
            f"{memory_mb(pid, 'VmHWM'):.0f}"
        )


# --- optillm ---


def answer(body: dict, i: int) -> str:
    text = body["messages"][-1]["content"]
    if '{"best":' in text:
        return '{"best": 2}'
    return "7" if "rate" in text.lower() else rf"The answer is \boxed{{{42 + (i == 3)}}}."


@contextlib.contextmanager
def optillm(behind: Server, program: str, port: int):
    command = [program, "--base-url", behind.url, "--best-of-n", str(N), "--port", str(port), "--log", "error"]
    environment = {**os.environ, "OPENAI_API_KEY": KEY, "PYTHONPATH": ""}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment) as process:
        try:
            end = time.monotonic() + 300
            while time.monotonic() < end:
                with contextlib.suppress(httpx.HTTPError):
                    httpx.get(f"http://127.0.0.1:{port}/health", timeout=1)
                    break
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1", process.pid
        finally:
            process.kill()


def against_optillm(rounds: int, program: str, count: int) -> None:
    kinds = {
        "best of 8": ("best/demo", {"n": N}, "bon-demo"),
        "self-consistency of 5": ("vote/demo", {"n": 5, "answer_format": "boxed"}, "self_consistency-demo"),
    }
    behind = Server(answer, models=None, key=KEY, latency=0.1, keep=False)
    with behind, serving(behind) as (ours, our_pid), optillm(behind, program, 8493) as (theirs, their_pid):
        for title, (model, options, other) in kinds.items():
            results: dict[str, list[tuple[float, float, int]]] = {"catlite": [], "optillm": []}
            for _ in range(rounds + 1):
                for name, url, pid, fields in (
                    ("catlite", ours, our_pid, {"model": model, "catlite": options}),
                    ("optillm", theirs, their_pid, {"model": other}),
                ):
                    questions = [chat("", f"question {number}") | fields for number in range(count)]
                    cpu, asked, started = cpu_s(pid), behind.completions, time.perf_counter()
                    replies, _ = asyncio.run(ask_all(url, questions, 16))
                    wall = time.perf_counter() - started
                    assert all(reply.status_code == 200 for reply in replies), replies[0].text
                    results[name].append((wall, cpu_s(pid) - cpu, behind.completions - asked))
            print(f"{title}, {count} questions, 16 at once, median of {rounds} rounds after one to warm up")
            for name, runs in results.items():
                wall, cpu, asked = (statistics.median(values) for values in zip(*runs[1:], strict=True))
                print(f"  {name}: {wall:.2f} s wall, {cpu:.2f} s CPU, {asked / count:.0f} requests a question")
            pairs = list(zip(results["catlite"][1:], results["optillm"][1:], strict=True))
            for place, what in enumerate(("wall", "CPU")):
                ratios = [own[place] / peer[place] for own, peer in pairs]
                print(f"  {what}, catlite / optillm: {statistics.median(ratios):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=128, help="questions of a round")
    parser.add_argument("--part", nargs="*", default=["overhead", "first", "faults", "crowd"])
    parser.add_argument("--optillm", help="its command; also compares with it")
    parser.add_argument("--direct", help=argparse.SUPPRESS)
    parser.add_argument("--floor", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.direct:
        direct(options.direct, options.count)
        return
    if options.floor:
        floor()
        return
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    print(f"{machine}, load {os.getloadavg()[0]:.1f}")
    if "overhead" in options.part:
        overhead(options.rounds, options.count)
    if "first" in options.part:
        first(20)
    if "faults" in options.part:
        faults(2000)
    if "crowd" in options.part:
        crowd(1000, 900_000)
    if options.optillm:
        against_optillm(options.rounds, options.optillm, 32)


if __name__ == "__main__":
    main()
