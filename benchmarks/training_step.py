"""What CaT costs a training step: `catlite.train` against TRL's GRPO with a constant reward, in one run.

    python benchmarks/training_step.py [--steps 6] [--rounds 2] [--micro 24]

The embedded model on this machine, times tables, 6 prompts × 8 rollouts of at most 16 tokens a step, three groups in a
micro-batch unless --micro says otherwise; a learning rate of 1e-9, so that every arm's rollouts come from the same
policy. Arms take turns, a process each; the first step of each is left out. Synthesis is set against what its extra
tokens cost when the same engine generates them alone, after the run. Peak memory is of one process per arm; the weights
are in memory once when the arms differ by less than their size.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from statistics import fmean, median
from typing import Any

from times_tables import machine

import catlite
from catlite.tasks.times_tables import WORKED_SYNTHESES

BARE, CONSTANT, VOTE, SYNTHESIS, KL = ARMS = (
    "TRL, constant reward",
    "catlite, constant reward",
    "catlite, majority vote",
    "catlite, synthesis, same weights",
    "catlite, constant reward, KL",
)
PROMPTS, ROLLOUTS, TOKENS, RATE = 6, 8, 16, 1e-9


async def alternating(group: catlite.Group, _: catlite.Reference) -> list[float]:
    """The constant reward, of a kind that has something to learn: else the backward pass would have nothing to do."""
    return [float(number % 2) for number in range(len(group.rollouts))]


async def nothing(group: catlite.Group) -> catlite.Reference:
    return catlite.Reference("nothing", None, "constant", group)


def ours(arm: str, steps: int, micro: int) -> dict[str, Any]:
    """Seconds and tokens of each step of `catlite.train`, and what the extra tokens of a synthesis cost alone."""
    policy = catlite.LocalModel("local")
    synthesis = catlite.Synthesis(policy.frozen(), max_tokens=32, worked=WORKED_SYNTHESES)
    groups: list[catlite.Group] = []

    async def synthesized(group: catlite.Group) -> catlite.Reference:
        groups.append(group)
        return await synthesis(group)

    constant = arm in (CONSTANT, KL)
    config = catlite.TrainConfig(
        steps=steps,
        prompts_per_step=PROMPTS,
        num_generations=ROLLOUTS,
        max_completion_length=TOKENS,
        sampling={"temperature": 1.0},
        learning_rate=RATE,
        beta=1e-3 if arm == KL else 0.0,
        lora_layers=0.5,
        check_every=steps,
        trl={"per_device_train_batch_size": micro},
    )
    task = catlite.Task("t", tuple(replace(one, answer=None) for one in catlite.times_tables(48)))
    estimator = {VOTE: catlite.MajorityVote(), SYNTHESIS: synthesized}.get(arm, nothing)
    with tempfile.TemporaryDirectory() as folder:
        run = catlite.train(
            task,
            policy,
            estimator=estimator,
            reward=alternating if constant else catlite.AnswerMatch(),
            config=config,
            run=folder,
            progress=False,
        )
    rows = run.metrics[1:]
    alone = []
    for start in range(PROMPTS, len(groups), PROMPTS):
        started = time.perf_counter()
        catlite.concurrency.run(
            catlite.concurrency.together(synthesis(group) for group in groups[start : start + PROMPTS])
        )
        alone.append(time.perf_counter() - started)
    return {
        "seconds": [row["seconds/step"] for row in rows],
        "tokens": [row["completions/mean_length"] for row in rows],
        "alone": alone,
    }


def bare(steps: int, micro: int) -> dict[str, Any]:
    """The same of TRL's own GRPO."""
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig

    from catlite.training.lora import TrainablePolicy
    from catlite.training.trl.settings import quiet_libraries
    from catlite.training.trl.trainer import CatGRPOTrainer

    policy = TrainablePolicy("local", catlite.TrainConfig(lora_layers=0.5))
    times: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            times.append(-time.monotonic())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            times[-1] += time.monotonic()

    def rewarded(completions: list[Any], **_: Any) -> list[float]:
        return [float(number % 2) for number in range(len(completions))]

    with quiet_libraries(), tempfile.TemporaryDirectory() as folder:
        model, adapter = policy.add_adapter()
        trainer = CatGRPOTrainer(  # TRL's, which alone does not run on a CPU
            share_prompts=False,
            model=model,
            reward_funcs=rewarded,
            args=GRPOConfig(
                output_dir=folder,
                max_steps=steps,
                per_device_train_batch_size=micro,
                gradient_accumulation_steps=PROMPTS * ROLLOUTS // micro,
                num_generations=ROLLOUTS,
                max_completion_length=TOKENS,
                learning_rate=RATE,
                beta=0.0,
                loss_type="grpo",
                bf16=False,
                gradient_checkpointing=False,
                report_to="none",
                save_strategy="no",
                logging_steps=1,
                disable_tqdm=True,
                dataloader_pin_memory=False,
            ),
            train_dataset=Dataset.from_list([{"prompt": one.messages} for one in catlite.times_tables(48)]),
            processing_class=policy.local.tokenizer,
            callbacks=[Clock()],
            peft_config=adapter,
        )
        trainer.train()
    logged = [row["completions/mean_length"] for row in trainer.state.log_history if "loss" in row]
    return {"seconds": times[1:], "tokens": logged[1:], "alone": []}


def measured(arm: str, steps: int, micro: int) -> dict[str, Any]:
    """One arm, in this process."""
    found = bare(steps, micro) if arm == BARE else ours(arm, steps, micro)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**10 if sys.platform != "darwin" else 2**20)
    return {**found, "peak_mb": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--micro", type=int, default=24, help="rollouts in a micro-batch (default: %(default)s)")
    parser.add_argument("--arm", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.arm:
        print(json.dumps(measured(arguments.arm, arguments.steps, arguments.micro)))
        return
    found: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
    for _ in range(arguments.rounds):
        for arm in ARMS:
            settings = ["--steps", str(arguments.steps), "--micro", str(arguments.micro)]
            command = [sys.executable, __file__, "--arm", arm, *settings]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found[arm].append(json.loads(done.stdout.splitlines()[-1]))
    report(found)


def report(found: dict[str, list[dict[str, Any]]]) -> None:
    """The table, and the ratios that are asked for."""
    seconds = {arm: median(s for one in rounds for s in one["seconds"]) for arm, rounds in found.items()}
    print(f"{machine()}\n\n| arm | s a step, median | against bare TRL | tokens a rollout | peak memory MB |")
    print("|---|---|---|---|---|")
    for arm, rounds in found.items():
        peak = max(one["peak_mb"] for one in rounds)
        tokens = fmean(length for one in rounds for length in one["tokens"])
        print(f"| {arm} | {seconds[arm]:.2f} | {seconds[arm] / seconds[BARE]:.3f} | {tokens:.1f} | {peak:.0f} |")
    alone = median(s for one in found[SYNTHESIS] for s in one["alone"])
    for base in (BARE, CONSTANT):
        print(f"\nagainst {base}:")
        print(f"majority vote: {seconds[VOTE] / seconds[base]:.3f} (aim: 1.05)")
        whole = seconds[base] + alone
        print(f"synthesis, with its tokens alone ({alone:.2f} s): {seconds[SYNTHESIS] / whole:.3f} (aim: 1.05)")


if __name__ == "__main__":
    main()
