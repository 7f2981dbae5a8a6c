"""The Unsloth backend on a GPU, for real: load, anchor, 20 GRPO steps, before and after, resume, memory, speed.

    python benchmarks/gpu/train_times_tables.py [--model local] [--backend unsloth] [--steps 20] [--load-in-4bit]

It has not been run on a GPU yet (docs/training.md says so too); it stops with the reason at the first thing that does
not hold. Prints one line per check and a Markdown table at the end. On a machine that reaches no registry, carry the
wheels and set HF_HUB_OFFLINE=1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import catlite
from catlite import concurrency
from catlite.cli.demo import DEMO

TEXT = "6 times 7 is 42."
SAMPLING: dict[str, Any] = {"temperature": 1.0, "max_tokens": 16}


def scores(model: Any, prompt: Any) -> list[float]:
    return concurrency.run(model.logprobs(prompt, TEXT))


def check(name: str, holds: bool, figure: str) -> None:
    print(f"{'ok  ' if holds else 'FAIL'} {name}: {figure}", flush=True)
    if not holds:
        sys.exit(1)


def config(steps: int) -> catlite.TrainConfig:
    """The settings of `catlite demo-train`, all rollouts in one batch on the device."""
    changes = {"steps": steps, "check_every": 5, "held_back": 0, "trl": {"per_device_train_batch_size": 48}}
    return catlite.TrainConfig(**{**DEMO, **changes})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="local")
    parser.add_argument("--backend", default="unsloth", choices=("unsloth", "transformers"))
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--load-in-4bit", action="store_true")
    arguments = parser.parse_args()
    settings = {"backend": arguments.backend, "load_in_4bit": arguments.load_in_4bit, "context": 2048}

    policy = catlite.LocalModel(arguments.model, **settings)  # first of all: Unsloth comes before torch and trl
    import torch

    if not torch.cuda.is_available():
        sys.exit("this script is for a CUDA device, and torch finds none")
    print(f"{torch.cuda.get_device_name(0)}, torch {torch.__version__}, {arguments.backend}, {arguments.model}")
    questions = catlite.times_tables(48)
    unlabelled = catlite.Task("times_tables", tuple(replace(one, answer=None) for one in questions))
    prompt = questions.examples[0].prompt

    started = time.monotonic()
    base = scores(policy, prompt)
    check("loads and scores", all(value <= 0 for value in base), f"{time.monotonic() - started:.1f} s")
    loaded = torch.cuda.memory_allocated()

    started = time.monotonic()
    rollouts = concurrency.run(policy.sample(prompt, 64, temperature=1.0, max_tokens=128, seed=1))
    tokens = sum(rollout.usage.completion_tokens for rollout in rollouts)
    check("samples", tokens > 0, f"{tokens / (time.monotonic() - started):.0f} tokens/s in a batch of 64")

    with tempfile.TemporaryDirectory() as folder:
        torch.cuda.reset_peak_memory_stats()
        started = time.monotonic()
        run = catlite.train(
            unlabelled,
            policy,
            estimator=catlite.AnchoredVote(policy.frozen(), max_tokens=DEMO["max_completion_length"]),
            config=config(arguments.steps),
            run=f"{folder}/run",
        )
        seconds = time.monotonic() - started
        peak = torch.cuda.max_memory_allocated()
        check("trains", run.complete and run.steps == arguments.steps, f"{seconds / run.steps:.1f} s a step")
        print(f"     memory: {loaded / 2**30:.2f} GiB with the weights loaded, {peak / 2**30:.2f} GiB at the peak")
        frame = run.to_frame()
        for part in ("generation", "reward", "backward"):
            print(f"     {part}: {frame[f'seconds/{part}'].mean():.2f} s of a step")

        apart = max(abs(a - b) for a, b in zip(base, scores(run.initial, prompt), strict=True))
        check("frozen() equals the base", apart < 1e-3, f"log-probabilities differ by at most {apart:.1e}")
        moved = max(abs(a - b) for a, b in zip(base, scores(run.policy, prompt), strict=True))
        check("the policy has moved", moved > 1e-3, f"log-probabilities differ by up to {moved:.3f}")

        resume(unlabelled, arguments, settings, Path(folder) / "parts")
        print(catlite.compare(run.initial, run.policy, questions, seed=1, **SAMPLING))


def resume(task: catlite.Task, arguments: argparse.Namespace, settings: dict[str, Any], folder: Path) -> None:
    """A run that a failing estimator halts goes on from its checkpoint."""
    calls = 0
    voting = catlite.MajorityVote()

    async def vote(group: catlite.Group) -> catlite.Reference:
        nonlocal calls
        calls += 1
        if calls == 6 * 5 + 1:
            raise catlite.errors.BudgetReached("a halt, for the sake of the check")
        return await voting(group)

    halted = catlite.train(
        task, catlite.LocalModel(arguments.model, **settings), estimator=vote, config=config(8), run=folder
    )
    check("halts", not halted.complete and halted.steps == 5, f"after step {halted.steps}")
    again = catlite.train(
        task, catlite.LocalModel(arguments.model, **settings), estimator=vote, config=config(8), run=folder
    )
    check("goes on", again.complete and [row["step"] for row in again.metrics] == list(range(1, 9)), again.ended)


if __name__ == "__main__":
    main()
