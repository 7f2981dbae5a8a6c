"""What CaT costs a training step: TRL's GRPO with our reward against TRL's GRPO with a constant one, in one run.

    python benchmarks/training_step.py [--steps 6] [--rounds 2]

The embedded model on this machine, times tables, 6 prompts × 8 rollouts a step. Rollouts have a fixed length (16
tokens, no end), so that every arm generates and trains on the same number of tokens; arms take turns. The first step
of each round is left out. Synthesis is set against what its extra tokens cost when generated alone by the same engine.
Peak memory is of one process per arm; the weights are in memory once when the arms differ by less than their size.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from statistics import median
from typing import Any

from times_tables import machine

import catlite
from catlite.tasks.times_tables import WORKED_SYNTHESES

ARMS = ("constant reward", "majority vote", "synthesis, same weights", "constant reward, KL")


def steps_of(arm: str, steps: int) -> dict[str, Any]:
    """Seconds of each step of `arm`, and what the extra tokens of a synthesis cost alone."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from catlite.training import adapters
    from catlite.training.plain import plain_head

    policy = catlite.LocalModel("local")
    task = catlite.Task("t", tuple(replace(one, answer=None) for one in catlite.times_tables(48)))
    synthesis = catlite.Synthesis(policy.frozen(), max_tokens=32, worked=WORKED_SYNTHESES)
    extra: list[float] = []

    async def timed(group: catlite.Group) -> catlite.Reference:
        return await synthesis(group)

    estimator = catlite.MajorityVote() if arm == "majority vote" else timed
    cat = catlite.trl_reward(estimator, task=task, num_generations=8)
    times: list[float] = []

    def rewarded(completions: list[Any], **given: Any) -> list[float | None]:
        times.append(time.perf_counter())
        if arm.startswith("constant"):
            return [0.0, 1.0] * (len(completions) // 2)
        found = cat(completions=completions, **given)
        if arm.startswith("synthesis"):
            groups = [one.group for one in cat.last.scored]
            started = time.perf_counter()
            catlite.loop.run(catlite.loop.together(synthesis(group) for group in groups))
            extra.append(time.perf_counter() - started)
        return found

    with adapters.quietly(), plain_head(), tempfile.TemporaryDirectory() as folder:
        model, lora = adapters.with_adapter(policy, 16, 0.5, 0, on_gpu=False)
        # No end token may be drawn, so that every rollout has the same length.
        settings = {"suppress_tokens": policy.weights.engine.ends}
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=rewarded,
            args=GRPOConfig(
                output_dir=folder,
                max_steps=steps,
                per_device_train_batch_size=8,
                gradient_accumulation_steps=6,
                num_generations=8,
                max_completion_length=16,
                learning_rate=1e-6,
                beta=1e-3 if arm.endswith("KL") else 0.0,
                loss_type="grpo",
                bf16=False,
                gradient_checkpointing=False,
                report_to="none",
                save_strategy="no",
                logging_steps=10_000,
                disable_tqdm=True,
                dataloader_pin_memory=False,
                generation_kwargs=settings,
            ),
            train_dataset=Dataset.from_list([{"prompt": one.messages, "qid": one.id} for one in task]),
            processing_class=policy.tokenizer,
            peft_config=lora,
        )
        policy.weights.replace(trainer.model)
        trainer.train()
    # From one reward call to the next is one whole step; the measuring of the extra tokens is not part of it.
    whole = [now - before for before, now in itertools.pairwise(times)]
    if extra:
        whole = [seconds - alone for seconds, alone in zip(whole, extra, strict=False)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**10 if sys.platform != "darwin" else 2**20)
    return {"seconds": whole, "extra": extra, "peak_mb": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.arm:
        print(json.dumps(steps_of(arguments.arm, arguments.steps)))
        return
    found: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
    for _ in range(arguments.rounds):
        for arm in ARMS:
            command = [sys.executable, __file__, "--arm", arm, "--steps", str(arguments.steps)]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found[arm].append(json.loads(done.stdout.splitlines()[-1]))
    report(found)


def report(found: dict[str, list[dict[str, Any]]]) -> None:
    """The table, and the ratios that are asked for."""
    seconds = {arm: median(s for one in rounds for s in one["seconds"]) for arm, rounds in found.items()}
    print(
        f"{machine()}\n\n| arm | s a step, median | against the constant reward | peak memory MB |\n|---|---|---|---|"
    )
    for arm, rounds in found.items():
        peak = max(one["peak_mb"] for one in rounds)
        print(f"| {arm} | {seconds[arm]:.2f} | {seconds[arm] / seconds[ARMS[0]]:.3f} | {peak:.0f} |")
    alone = median(s for one in found[ARMS[2]] for s in one["extra"])
    expected = seconds[ARMS[0]] + alone
    print(f"\nmajority vote / constant: {seconds[ARMS[1]] / seconds[ARMS[0]]:.3f} (aim: 1.05)")
    print(f"synthesis / (constant + its tokens alone, {alone:.2f} s): {seconds[ARMS[2]] / expected:.3f} (aim: 1.05)")


if __name__ == "__main__":
    main()
