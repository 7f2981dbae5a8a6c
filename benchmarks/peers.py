"""catlite against its peers: the same work, the same local server, one run, each peer in an environment of its own.

    python benchmarks/peers.py [--rounds 3] [--peers httpx,openai,…] [--cache FOLDER]

Sampling: 200 questions, each 8 rollouts and then 1 synthesis, one request each, 64 connections, service times lognormal
with mean 0.2 s and sigma 0.6. raw asyncio + httpx, AsyncOpenAI and litellm are pipelined by hand; inspect_ai runs a
solver that does the same; optillm its own self-consistency (whose samples of a question follow one another), 64
questions at a time. Judging: 100 responses, 8 criteria each, a call each: autorubric, inspect_evals' HealthBench
grading (which asks about the criteria of a response one by one), and catlite's ExpertRubric.

Environments are made by this script with pip, under the cache folder, once (optillm's takes gigabytes); one that cannot
be made is said and left out. Arms are fresh processes against fresh servers with the same seed, and take turns. CPU is
that of the client process, imports included and imports alone, wall time without imports. The bound is what the server
served, divided by 64.
"""

import argparse
import asyncio
import importlib
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from loopback import KEY, SERVER, stats

CONNECTIONS, QUESTIONS, ROLLOUTS, CRITERIA = 64, 200, 8, 8
CLIENT = ("catlite.models.http.clients", "openai", "httpx_aiohttp", "tenacity")
# What to install, what to import first, and what it does.
PEERS = {
    "catlite": ((), (*CLIENT, "catlite.api"), "sampling"),
    "catlite, store": ((), (*CLIENT, "catlite.api"), "sampling"),
    "httpx": (("httpx", "sniffio"), ("httpx",), "sampling"),  # without sniffio it looks for it at every step
    "openai": (("openai",), ("openai", "openai.resources.chat.completions"), "sampling"),
    "litellm": (("litellm",), ("litellm",), "sampling"),
    "inspect_ai": (("inspect_ai", "openai"), ("inspect_ai", "inspect_ai.model", "openai"), "sampling"),
    "optillm": (("optillm",), ("optillm.self_consistency", "openai"), "sampling"),
    "catlite, judging": ((), (*CLIENT, "catlite.api", "catlite.rewards.rubric"), "judging"),
    "autorubric": (("autorubric",), ("autorubric", "autorubric.graders", "litellm"), "judging"),
    "inspect_evals": (
        ("inspect_evals", "inspect_ai", "openai"),
        ("inspect_ai", "inspect_ai.model", "inspect_evals.healthbench.scorer", "openai"),
        "judging",
    ),
}
VERDICT = json.dumps(
    {"explanation": "It does.", "criterion_status": "MET", "criteria_met": True, "verdict": "yes", "met": True}
)


def pipelined(ask) -> None:
    """8 rollouts and a synthesis of each question, all at once, 64 requests in flight."""

    async def work() -> None:
        slots = asyncio.Semaphore(CONNECTIONS)

        async def one(prompt: str) -> str:
            async with slots:
                return await ask([{"role": "user", "content": prompt}])

        async def question(number: int) -> None:
            group = await asyncio.gather(*(one(f"Question {number}?") for _ in range(ROLLOUTS)))
            await one(f"Question {number}, from: " + " ".join(group))

        await asyncio.gather(*(question(number) for number in range(QUESTIONS)))

    asyncio.run(work())


def catlite_arm(url: str, run: str | None = None) -> None:
    import catlite

    with catlite.Endpoint("test-model", base_url=url, api_key=KEY, max_connections=CONNECTIONS, max_tokens=64) as model:
        synthesis = catlite.Synthesis(model, include_question=True)
        prompts = [f"Question {number}?" for number in range(QUESTIONS)]
        found = catlite.estimate(prompts, model, estimator=synthesis, n=ROLLOUTS, run=run)
    assert not any(reference.error for reference in found)


def httpx_arm(url: str) -> None:
    import httpx

    # As it comes it keeps 20 connections of what is in flight, and would open new ones all the time.
    limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    client = httpx.AsyncClient(limits=limits, headers={"Authorization": f"Bearer {KEY}"}, timeout=60)

    async def ask(messages: list) -> str:
        body = {"model": "test-model", "messages": messages, "max_tokens": 64}
        reply = await client.post(f"{url}/chat/completions", json=body)
        return reply.json()["choices"][0]["message"]["content"]

    pipelined(ask)


def openai_arm(url: str) -> None:
    import openai

    client = openai.AsyncOpenAI(base_url=url, api_key=KEY)

    async def ask(messages: list) -> str:
        reply = await client.chat.completions.create(model="test-model", messages=messages, max_tokens=64)
        return reply.choices[0].message.content

    pipelined(ask)


def litellm_arm(url: str) -> None:
    import litellm

    litellm.suppress_debug_info = True

    async def ask(messages: list) -> str:
        reply = await litellm.acompletion(
            "openai/test-model", messages, api_base=url, api_key=KEY, max_tokens=64, num_retries=0
        )
        return reply.choices[0].message.content

    pipelined(ask)


def inspect_arm(url: str, folder: str) -> None:
    from inspect_ai import Task, eval as evaluate
    from inspect_ai.dataset import Sample
    from inspect_ai.model import GenerateConfig, get_model
    from inspect_ai.solver import solver

    @solver
    def synthesis():
        async def solve(state, generate):  # noqa: ARG001 - inspect_ai's signature
            model = get_model()
            group = await asyncio.gather(*(model.generate(state.input_text) for _ in range(ROLLOUTS)))
            state.output = await model.generate("From: " + " ".join(one.completion for one in group))
            return state

        return solve

    samples = [Sample(input=f"Question {number}?", id=number) for number in range(QUESTIONS)]
    os.environ["TEST_API_KEY"] = KEY
    model = get_model(
        "openai-api/test/test-model",
        base_url=url,
        config=GenerateConfig(max_connections=CONNECTIONS, max_tokens=64),
    )
    (log,) = evaluate(
        Task(samples, solver=synthesis()), model=model, log_dir=folder, display="none", max_samples=QUESTIONS
    )
    assert log.status == "success", log.error


def inspect_healthbench_arm(url: str, folder: str) -> None:
    from inspect_ai import Task, eval as evaluate
    from inspect_ai.dataset import Sample
    from inspect_ai.model import GenerateConfig, ModelOutput, get_model
    from inspect_ai.solver import solver
    from inspect_evals.healthbench.scorer import healthbench_scorer

    @solver
    def given():
        async def solve(state, generate):  # noqa: ARG001 - inspect_ai's signature
            state.output = ModelOutput.from_content("given", f"Red and {state.sample_id}")
            return state

        return solve

    os.environ |= {"TEST_API_KEY": KEY, "INSPECT_CACHE_DIR": folder}  # verdicts are kept in its cache
    judge = get_model(
        "openai-api/test/test-model", base_url=url, config=GenerateConfig(max_connections=CONNECTIONS, max_tokens=64)
    )
    rubrics = [{"criterion": text, "points": 1} for text in criteria()]
    count = QUESTIONS // 2
    samples = [Sample(input=f"Question {i}?", id=i + 1, metadata={"rubrics": rubrics}) for i in range(count)]
    task = Task(samples, solver=given(), scorer=healthbench_scorer(judge, judge_max_tokens=64))
    (log,) = evaluate(task, model=judge, log_dir=folder, display="none", max_samples=count)
    assert log.status == "success", log.error
    assert all(one.scores["_scorer"].value["healthbench_score"] == 1.0 for one in log.samples)


def optillm_arm(url: str) -> None:
    import openai
    from optillm.self_consistency import AdvancedSelfConsistency

    client = openai.OpenAI(base_url=url, api_key=KEY)

    def question(number: int) -> None:
        sampler = AdvancedSelfConsistency(client, "test-model", num_samples=ROLLOUTS)
        group = sampler.generate_responses("", f"Question {number}?")
        messages = [{"role": "user", "content": "From: " + " ".join(map(str, group))}]
        client.chat.completions.create(model="test-model", messages=messages, max_tokens=64)

    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(question, range(QUESTIONS)))


def criteria() -> list[str]:
    return [f"Names colour number {number} of the rainbow" for number in range(CRITERIA)]


def catlite_judging_arm(url: str) -> None:
    import catlite
    from catlite import concurrency

    rubric = catlite.Rubric(tuple(catlite.Criterion(text) for text in criteria()))

    async def work(model: object) -> list:
        reward = catlite.ExpertRubric(model)
        groups = [
            catlite.Group(catlite.Example(f"Question {i}?", rubric=rubric), (catlite.Rollout(f"Red and {i}"),))
            for i in range(QUESTIONS // 2)
        ]

        async def one(group: object) -> list:
            return await reward(group, catlite.Reference("", None, "gold", group))

        return await concurrency.each(one, groups, 2 * CONNECTIONS)

    with catlite.Endpoint("test-model", base_url=url, api_key=KEY, max_connections=CONNECTIONS, max_tokens=64) as model:
        assert concurrency.run(work(model)) == [[1.0]] * (QUESTIONS // 2)


def autorubric_arm(url: str) -> None:
    from autorubric import LLMConfig, Rubric
    from autorubric.graders import CriterionGrader

    judge = LLMConfig(
        model="openai/test-model", api_base=url, api_key=KEY, max_tokens=64, max_parallel_requests=CONNECTIONS
    )
    grader = CriterionGrader(judge_model_config=judge)
    rubric = Rubric.from_dict([{"weight": 1.0, "requirement": text} for text in criteria()])

    async def work() -> list:
        return await asyncio.gather(
            *(rubric.grade(f"Red and {i}", grader=grader, query=f"Question {i}?") for i in range(QUESTIONS // 2))
        )

    assert all(found.score == 1.0 for found in asyncio.run(work()))


def run_arm(name: str, url: str) -> None:
    cpu = time.process_time()
    for module in PEERS[name][1]:
        importlib.import_module(module)
    imports, wall = time.process_time() - cpu, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        arms = {
            "catlite": lambda: catlite_arm(url),
            "catlite, store": lambda: catlite_arm(url, folder),
            "httpx": lambda: httpx_arm(url),
            "openai": lambda: openai_arm(url),
            "litellm": lambda: litellm_arm(url),
            "inspect_ai": lambda: inspect_arm(url, folder),
            "optillm": lambda: optillm_arm(url),
            "catlite, judging": lambda: catlite_judging_arm(url),
            "autorubric": lambda: autorubric_arm(url),
            "inspect_evals": lambda: inspect_healthbench_arm(url, folder),
        }
        arms[name]()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu - imports
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2)
    print("\n" + json.dumps({"wall": wall, "cpu": cpu, "imports": imports, "peak": peak}))


def environment(name: str, cache: Path) -> Path | None:
    """The Python of a peer's own environment, None when it cannot be made."""
    wanted = PEERS[name][0]
    if not wanted:
        return Path(sys.executable)
    folder = cache / name
    python, stamp = folder / "bin" / "python", folder / "made"
    if not stamp.exists():
        print(f"making an environment for {name} …", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        done = subprocess.run([python, "-m", "pip", "install", "--quiet", *wanted], capture_output=True, text=True)
        if done.returncode:
            print(f"{name} is left out: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
            return None
        stamp.touch()
    return python


def arm(name: str, python: Path) -> dict[str, float] | None:
    reply = VERDICT if PEERS[name][2] == "judging" else "ok"
    settings = ["--latency", "0.2", "--sigma", "0.6", "--seed", "1", "--reply", reply]
    with subprocess.Popen(
        [sys.executable, str(SERVER), "--port", "0", *settings], stdout=subprocess.PIPE, text=True
    ) as server:
        url = server.stdout.readline().strip()
        child = [str(python), __file__, "--arm", name, "--url", url]
        clean = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "INSPECT_DISABLE_UPDATE_CHECK": "1", "NO_PROXY": "127.0.0.1"}
        done = subprocess.run(child, capture_output=True, text=True, env=os.environ | clean, timeout=300)
        counted = stats(url)
        server.terminate()
    if done.returncode:
        print(f"{name} failed: {done.stderr.strip()[-600:]}", file=sys.stderr)
        return None
    result = json.loads(done.stdout.strip().splitlines()[-1])
    ideal = counted["service_s"] / CONNECTIONS
    return result | {"bound": ideal, "requests": counted["completions"], "connections": counted["connections_opened"]}


def version(name: str, python: Path) -> str:
    package = (PEERS[name][0] or ("catlite",))[0]
    code = f"import importlib.metadata as m; print(m.version({package!r}))"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", default=",".join(name for name in PEERS if not name.startswith("catlite")))
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "catlite-peers"
    parser.add_argument("--cache", type=Path, default=cache)
    parser.add_argument("--arm", choices=tuple(PEERS), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.arm:
        run_arm(options.arm, options.url)
        return
    names = [name for name in PEERS if name.startswith("catlite") or name in options.peers.split(",")]
    pythons = {name: python for name in names if (python := environment(name, options.cache)) is not None}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in pythons}
    for _ in range(options.rounds):
        for name, python in pythons.items():
            result = arm(name, python)
            if result is not None:
                found[name].append(result)
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; {options.rounds} rounds")
    for kind, ours in (("sampling", "catlite"), ("judging", "catlite, judging")):
        print(f"\n{kind}:\n\n| client | version | wall / bound | wall / catlite | CPU s | CPU / catlite ", end="")
        print("| imports CPU s | peak MB | requests | connections |\n|---|---|---|---|---|---|---|---|---|---|")
        for name, results in found.items():
            if PEERS[name][2] != kind or not results:
                continue
            mid = {key: statistics.median(one[key] for one in results) for key in results[0]}
            bound = statistics.median(one["wall"] / one["bound"] for one in results)
            base = {key: statistics.median(one[key] for one in found[ours]) for key in ("wall", "cpu")}
            print(
                f"| {name} | {version(name, pythons[name])} | {bound:.2f} | {mid['wall'] / base['wall']:.2f} | "
                f"{mid['cpu']:.2f} | {mid['cpu'] / base['cpu']:.2f} | {mid['imports']:.2f} | {mid['peak']:.0f} | "
                f"{mid['requests']:.0f} | {mid['connections']:.0f} |"
            )


if __name__ == "__main__":
    main()
