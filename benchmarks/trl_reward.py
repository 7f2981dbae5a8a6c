"""GRPO with rewards from an API: TRL with a reward function written by hand, and with `trl_reward`.

    python benchmarks/trl_reward.py [--steps 6] [--rounds 3]

The same TRL GRPOTrainer, model (tiny, random) and local server for all: 8 prompts × 8 rollouts a step; each group wants
a synthesis of its rollouts, then each rollout a verdict against it: 72 calls a step, service times lognormal with mean
0.2 s and sigma 0.6, 64 connections. By hand are the function one finds in tutorials, which asks one thing after the
other, and an async one that does all it can at once with AsyncOpenAI. Seconds are those of the reward function. The
bound is what the server served in a step, divided by 64, or the longest synthesis with its longest verdict, whichever
is more. The first step, in which connections are made, is left out; arms are fresh processes against fresh servers.
"""

import argparse
import asyncio
import functools
import inspect
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import faults
from loopback import KEY, serve, stats
from server import Server

CONNECTIONS, PROMPTS, ROLLOUTS = 64, 8, 8
VERDICT = json.dumps({"reason": "It is.", "met": True})
ARMS = {
    "sequential": "by hand, one call after the other",
    "concurrent": "by hand, async",
    "catlite": "trl_reward",
    "store": "trl_reward with a run store",
}


class Timed(Server):
    """Keeps how long each synthesis took with the longest verdict by it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.draw = faults.lognormal(0.2, 0.6, 1)
        self.latency = self._timed
        self.reply = self._said
        self.references: list[float] = []
        self.verdicts: list[float] = []  # the longest by each reference

    def _said(self, body: dict, _: int) -> str:
        return VERDICT if judged_by(body) is not None else f"This is reference {len(self.references)}."

    def _timed(self, body: dict, n: int) -> float:
        seconds, reference = self.draw(body, n), judged_by(body)
        if reference is None:
            self.references.append(seconds)
            self.verdicts.append(0.0)
        else:
            self.verdicts[reference] = max(self.verdicts[reference], seconds)
        return seconds

    @property
    def stats(self) -> dict:
        return super().stats | {
            "chains": [one + other for one, other in zip(self.references, self.verdicts, strict=True)]
        }


def judged_by(body: dict) -> int | None:
    """The number of the reference a verdict is wanted by; None for a synthesis."""
    found = re.search(r"reference (\d+)\.", body["messages"][-1]["content"])
    return None if found is None else int(found[1])


def made() -> Server:
    return Timed(models=None, takes_n=False, keep=False)


def by_hand(url: str):
    import openai

    client = openai.OpenAI(base_url=url, api_key=KEY)

    def ask(prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        return (
            client.chat.completions.create(model="test-model", messages=messages, max_tokens=64)
            .choices[0]
            .message.content
        )

    def reward(completions, **_):
        texts, found = [one[0]["content"] for one in completions], []
        for start in range(0, len(texts), ROLLOUTS):
            group = texts[start : start + ROLLOUTS]
            reference = ask("Reconcile: " + " ".join(group))
            found += [float(json.loads(ask(f"Judge {text!r} by {reference}"))["met"]) for text in group]
        return found

    return reward


def by_hand_async(url: str):
    import openai

    client = openai.AsyncOpenAI(base_url=url, api_key=KEY)
    slots = asyncio.Semaphore(CONNECTIONS)

    async def ask(prompt: str) -> str:
        messages = [{"role": "user", "content": prompt}]
        async with slots:
            reply = await client.chat.completions.create(model="test-model", messages=messages, max_tokens=64)
        return reply.choices[0].message.content

    async def judged(text: str, reference: str) -> float:
        return float(json.loads(await ask(f"Judge {text!r} by {reference}"))["met"])

    async def group_of(texts: list[str]) -> list[float]:
        reference = await ask("Reconcile: " + " ".join(texts))
        return await asyncio.gather(*(judged(text, reference) for text in texts))

    async def reward(completions, **_):
        texts = [one[0]["content"] for one in completions]
        groups = [texts[start : start + ROLLOUTS] for start in range(0, len(texts), ROLLOUTS)]
        return [value for values in await asyncio.gather(*map(group_of, groups)) for value in values]

    return reward


def ours(url: str, run: str | None):
    import catlite

    model = catlite.Endpoint("test-model", base_url=url, api_key=KEY, max_connections=CONNECTIONS, max_tokens=64)
    synthesis = catlite.Synthesis(model, include_question=True)
    return catlite.trl_reward(synthesis, catlite.ModelAsJudge(model), num_generations=ROLLOUTS, run=run)


def timed(reward, url: str, kept: list[dict[str, float]]):
    """The same reward, sync or async as it is, which keeps its seconds, its CPU and their bound."""

    def begun() -> tuple:
        return stats(url), time.process_time(), time.perf_counter()

    def over(before: dict, cpu: float, wall: float) -> None:
        wall, cpu, after = time.perf_counter() - wall, time.process_time() - cpu, stats(url)
        served = (after["service_s"] - before["service_s"]) / CONNECTIONS
        bound = max(served, *after["chains"][len(before["chains"]) :])
        calls = after["completions"] - before["completions"]
        kept.append({"wall": wall, "cpu": cpu, "bound": bound, "calls": calls})

    if inspect.iscoroutinefunction(reward):

        async def measured(**given):
            start = begun()
            found = await reward(**given)
            over(*start)
            return found

    else:

        def measured(**given):
            start = begun()
            found = reward(**given)
            over(*start)
            return found

    return functools.update_wrapper(measured, reward)


def run_arm(name: str, url: str, steps: int) -> list[dict[str, float]]:
    from datasets import Dataset
    from tiny import tiny_model
    from trl import GRPOConfig

    from catlite.training.trl.settings import quiet_libraries
    from catlite.training.trl.trainer import CatGRPOTrainer

    kept: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder, quiet_libraries():
        rewards = {
            "sequential": lambda: by_hand(url),
            "concurrent": lambda: by_hand_async(url),
            "catlite": lambda: ours(url, None),
            "store": lambda: ours(url, folder),
        }
        prompts = [
            {"prompt": [{"role": "user", "content": f"Say {number}"}], "qid": str(number)} for number in range(64)
        ]
        trainer = CatGRPOTrainer(
            model=str(tiny_model(Path(folder) / "model")),
            reward_funcs=timed(rewards[name](), url, kept),
            args=GRPOConfig(
                output_dir=folder,
                max_steps=steps,
                per_device_train_batch_size=PROMPTS * ROLLOUTS,
                num_generations=ROLLOUTS,
                max_completion_length=16,
                bf16=False,
                gradient_checkpointing=False,
                report_to="none",
                save_strategy="no",
                disable_tqdm=True,
                dataloader_pin_memory=False,
            ),
            train_dataset=Dataset.from_list(prompts),
        )
        trainer.train()
    return kept[1:]


def arm(name: str, steps: int) -> list[dict[str, float]]:
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE, text=True) as server:
        url = server.stdout.readline().strip()
        child = [sys.executable, __file__, "--arm", name, "--url", url, "--steps", str(steps)]
        done = subprocess.run(child, stdout=subprocess.PIPE, text=True, check=False)
        server.terminate()
    done.check_returncode()
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--arm", choices=ARMS, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(made())
        return
    if options.arm:
        print("\n" + json.dumps(run_arm(options.arm, options.url, options.steps)))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in ARMS}
    for _ in range(options.rounds):
        for name, results in found.items():
            results += arm(name, options.steps)
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; {options.rounds} rounds")
    print("\n| reward | s a step, median | / bound | / trl_reward | CPU s a step | calls a step |")
    print("|---|---|---|---|---|---|")
    ours = statistics.median(one["wall"] for one in found["catlite"])
    for name, label in ARMS.items():
        wall, cpu, calls = (statistics.median(one[key] for one in found[name]) for key in ("wall", "cpu", "calls"))
        bound = statistics.median(one["wall"] / one["bound"] for one in found[name])
        print(f"| {label} | {wall:.2f} | {bound:.2f} | {wall / ours:.2f} | {cpu:.2f} | {calls:.0f} |")


if __name__ == "__main__":
    main()
