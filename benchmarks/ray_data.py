"""Ray Data against plain asyncio on one machine; what a killed actor repeats; a second run; memory over the prompts.

    python benchmarks/ray_data.py [--small] [--prompts 1000000] [--parts 1 2 3 4]

Needs catlite[ray]. Parts 1 to 3: a local server that answers after 50 ms, one choice a request; 2,500 questions of
8 rollouts and a synthesis are 22,500 calls, over 64 connections, two actors of 32. The clock of a throughput runs from
the first call to the last reply, and the start-up is told apart. Part 4: a model in the actors' own process, whose
replies take no time, on two actors, from a tenth of the prompts and from all of them; the memory is that of driver,
actors and object store together (PSS, so that what is shared counts once), and every reply is kept.
The aims: at least 0.8 times plain asyncio's throughput; repeats at most the calls in flight; 0 calls in the second run;
memory within 1.3 times that of a tenth.
"""

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from loopback import KEY, SERVER, serve, stats

N, CALLS, CONNECTIONS, ACTORS = 8, 9, 64, 2
TEXT = "Seven is prime, as it has no divisor but one and itself. "


class Simulated:
    """A model whose replies take no time; as a run keeps it, it tells its version."""

    name = "simulated"

    def __init__(self) -> None:
        from catlite.models.base import Traits

        self.traits = Traits(version="1", max_connections=64)

    async def sample(self, prompt, n=1, **sampling):  # noqa: ARG002
        from catlite import Rollout, Usage

        return [Rollout(f"{TEXT * 4}\\boxed{{{number % 3}}}", usage=Usage(40, 60)) for number in range(n)]


class Peak(threading.Thread):
    """The most memory that this process and all it started had at a time, in MB."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most, self.ended = 0.0, threading.Event()

    def run(self) -> None:
        import psutil

        while not self.ended.wait(1.0):
            total, own = 0, psutil.Process()
            for process in [own, *own.children(recursive=True)]:
                try:
                    total += process.memory_full_info().pss
                except psutil.Error:
                    continue
            self.most = max(self.most, total / 2**20)


def memory(count: int) -> None:
    """Estimate so many prompts with the simulated model, and print the peak."""
    import catlite
    from catlite.scale import ray_data

    peak, started = Peak(), time.perf_counter()
    peak.start()
    ray = ray_data.connect()
    with tempfile.TemporaryDirectory() as folder:
        prompts = ray.data.range(count).map_batches(
            lambda batch: {"prompt": [f"Is {number} prime?" for number in batch["id"]]}, batch_size=1024
        )
        references = ray_data.estimate_dataset(
            prompts,
            lambda: Simulated(),
            run=ray_data.open_run(f"{folder}/run"),
            actors=ACTORS,
            n=2,
            estimator=catlite.MajorityVote(),
            answer_format="boxed",
        )
        references.context.enable_progress_bars = False
        rows = sum(batch.num_rows for batch in references.iter_batches(batch_size=None, batch_format="pyarrow"))
        wall = time.perf_counter() - started
    assert rows == count
    peak.ended.set()
    print(json.dumps({"wall": wall, "peak": peak.most}))


def work(engine: str, url: str, questions: int, run: str, kill_at: int) -> None:
    """Estimate so many questions, and print when the first call was made and when all was done."""
    import catlite

    os.environ["OPENAI_API_KEY"] = KEY
    begun: list[float] = []
    before, started = stats(url)["completions"], time.perf_counter()
    killed: list[int] = []

    def watch() -> None:
        while not begun or (kill_at and not killed):
            time.sleep(0.05)
            count = stats(url)["completions"] - before
            if count and not begun:
                begun.append(time.perf_counter())
            if kill_at and count >= kill_at:
                killed.append(kill_actor())

    threading.Thread(target=watch, daemon=True).start()
    prompts = [f"Question {number}?" for number in range(questions)]
    share = CONNECTIONS if engine == "asyncio" else CONNECTIONS // ACTORS
    model = catlite.Endpoint("test-model", base_url=url, max_connections=share, max_tokens=64)
    if engine == "asyncio":
        references = catlite.estimate(prompts, model, n=N, run=run)
    else:
        from catlite.scale import ray_data

        references = ray_data.estimate(prompts, model, n=N, run=run, actors=ACTORS)
    ended = time.perf_counter()
    assert len(references) == questions
    assert not references.failed, references.failed[0].error
    first = begun[0] if begun else ended
    print(json.dumps({"startup": first - started, "seconds": ended - first, "killed": bool(killed)}))


def answer() -> None:
    """Serve replies that name their question, so that no two syntheses are the same."""
    sys.path.insert(0, str(SERVER.parent))
    from server import Server

    def reply(body, _):
        return f"{TEXT}That was: {body['messages'][-1]['content'][:40]}"

    serve(Server(reply, latency=0.05, takes_n=False, keep=False))


def kill_actor() -> int:
    """SIGKILL to a process that works on rows; its id."""
    import psutil

    for process in psutil.Process().children(recursive=True):
        if any("MapWorker" in part for part in process.cmdline()):
            process.kill()
            return process.pid
    raise RuntimeError("there is no actor to kill")


def child(*arguments: object) -> dict[str, float]:
    """What an arm printed, in a fresh process."""
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    # Ray tells of killed processes there as well.
    return json.loads(next(line for line in reversed(done.stdout.splitlines()) if line.startswith("{")))


def calls(parts: list[int], questions: int) -> None:
    """Parts 1 to 3."""
    command = [sys.executable, __file__, "--arm", "serve"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
    ):
        url = server.stdout.readline().strip()

        def arm(engine: str, run: str, kill_at: int = 0) -> dict[str, float]:
            before = stats(url)["completions"]
            result = child("--arm", engine, url, questions, f"{folder}/{run}", kill_at)
            return result | {"calls": stats(url)["completions"] - before}

        try:
            if 1 in parts or 3 in parts:
                plain, ray = arm("asyncio", "plain"), arm("ray", "ray")
                for name, result in (("plain asyncio", plain), ("Ray Data, 2 actors", ray)):
                    rate = result["calls"] / result["seconds"]
                    started = f"after {result['startup']:.1f} s to start"
                    print(f"{name}: {result['calls']:,} calls, {rate:,.0f} a second, {started}")
                print(f"1. throughput, once started: {plain['seconds'] / ray['seconds']:.2f} times plain asyncio's")
            if 2 in parts:
                repeats = arm("ray", "killed", questions * CALLS // 2)["calls"] - questions * CALLS
                print(
                    f"2. calls repeated after a killed actor: {repeats} (in flight: {CONNECTIONS // ACTORS} an actor)"
                )
            if 3 in parts:
                print(f"3. calls of a second run: {arm('ray', 'ray')['calls']}")
        finally:
            server.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="200 questions, and 20,000 prompts for the memory")
    parser.add_argument("--prompts", type=int, default=1_000_000, help="of part 4, which takes a tenth as well")
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--arm", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        kind, *rest = options.arm
        if kind == "memory":
            memory(int(rest[0]))
        elif kind == "serve":
            answer()
        else:
            url, questions, run, kill_at = rest
            work(kind, url, int(questions), run, int(kill_at))
        return
    if importlib.util.find_spec("ray") is None:
        print("needs catlite[ray]: nothing was measured")
        return
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}\n")
    if {1, 2, 3} & set(options.parts):
        calls(options.parts, 200 if options.small else 2500)
    if 4 in options.parts:
        many = 20_000 if options.small else options.prompts
        few, all_of_them = child("--arm", "memory", many // 10), child("--arm", "memory", many)
        for count, result in ((many // 10, few), (many, all_of_them)):
            print(f"{count:,} prompts: {result['wall']:,.0f} s, peak {result['peak']:,.0f} MB")
        print(f"4. memory: {all_of_them['peak'] / few['peak']:.2f} times that of a tenth")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
