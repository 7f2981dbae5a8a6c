"""`catlite demo` and `catlite demo-train`: estimating and training on the embedded model, offline."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

import catlite
from catlite.cli.options import Commands, add_command, add_option
from catlite.cli.train import exit_code, run_training
from catlite.cli.waiting import on_terminal
from catlite.errors import ConfigError
from catlite.reprs import in_full

# What demo-train runs with; benchmarks/train_without_labels.py measures it (docs/training.md).
DEMO: dict[str, Any] = {
    "steps": 24,
    "prompts_per_step": 6,
    "max_completion_length": 16,
    "sampling": {"temperature": 1.0},
    "learning_rate": 1.5e-4,
    "lora_layers": 0.5,  # a third less of the backward pass, for much the same result
    "beta": 0.0,
    "check_every": 12,
}


def add(commands: Commands) -> None:
    """Add both commands."""
    demo = add_command(
        commands,
        "demo",
        _demo,
        summary="single sample, majority vote and synthesis on times tables, on the embedded model",
        description="Compares a single sample, a majority vote of 8 and a synthesis of 8 on times tables, offline.",
        examples="""
            catlite demo
            catlite demo --questions 81 --seed 1
        """,
    )
    add_option(demo, "--questions", "N", "how many of the 81 (default: 16)", default=16)
    add_option(demo, "--seed", "N", "which ones, and how they are sampled (default: 0)", default=0)

    train = add_command(
        commands,
        "demo-train",
        _demo_train,
        summary="watch the embedded model learn a task from its own votes, on the CPU",
        description="Trains the embedded model on the task last_word without labels, then compares before and after on "
        "questions held out.",
        examples="""
            catlite demo-train
            catlite demo-train --steps 8 --run runs/demo-train
        """,
    )
    add_option(train, "--steps", "N", "steps of the optimizer (default: %(default)s)", default=DEMO["steps"])
    add_option(train, "--seed", "N", "which questions, 0 to 125 (default: 0)", default=0)
    add_option(train, "--run", "FOLDER", "keep everything in this folder, and go on from there")


def _demo(arguments: argparse.Namespace) -> int:
    from catlite.tasks.times_tables import WORKED_SYNTHESES

    task = catlite.times_tables(arguments.questions, arguments.seed)
    print(
        f"Times tables, {len(task)} questions such as “What is 6 times 7?”, on the embedded model (SmolLM2, 135M\n"
        "parameters, on this machine's CPU). 8 rollouts each at temperature 1, then a reference without labels. The\n"
        "anchor is shown two worked examples: one this small hardly follows instructions alone.\n"
    )
    # One request at a time: this CPU is the limit anyway, and the seconds of a system are then its own.
    with catlite.embedded(max_connections=1) as model:
        synthesis = catlite.Synthesis(model, max_tokens=32, worked=WORKED_SYNTHESES)
        result = catlite.evaluate(
            task,
            model,
            estimators=(catlite.MajorityVote(), synthesis),
            progress=on_terminal(),
            temperature=1.0,
            top_p=1.0,
            top_k=0,
            min_p=0.0,
            max_tokens=24,
            seed=arguments.seed,
        )
    print(result)
    synthesized = [reference for reference in result.references if reference.source == "Synthesis"]
    if synthesized:
        # The most divided group is where a reference has work to do.
        shown = max(synthesized, key=lambda reference: len({rollout.answer for rollout in reference.rollouts}))
        print(f"\nOne reference in full, of the question “{shown.group.example.messages[-1]['content']}”")
        print(in_full(shown))
    print(
        f"\n{result.seconds:.0f} s. What this shows: the chain works, offline and for real. What it does not show: how "
        "good the method is.\nOver all 81 questions a model this small gains from a vote, and from synthesis no more "
        "than that (docs/embedded.md).\nTry yours:\n"
        '  OPENAI_API_KEY=… catlite synthesize "your question" --model gpt-4o-mini'
    )
    return 0


def _demo_train(arguments: argparse.Namespace) -> int:
    from catlite.tasks.last_word import WORKED_SYNTHESES

    started = time.monotonic()
    if not 0 <= arguments.seed <= 125:
        raise ConfigError(f"seed={arguments.seed}: want a whole number from 0 to 125")
    questions = catlite.last_word(72, arguments.seed)
    unlabelled = replace(questions, examples=tuple(replace(example, answer=None) for example in questions))
    held_out = catlite.last_word(48, 125 + arguments.seed)
    config = catlite.TrainConfig(**{**DEMO, "steps": arguments.steps, "seed": arguments.seed})
    question = questions.examples[0].messages[-1]["content"]
    print(
        f"Training on 72 questions such as “{question}”\n"
        "with the embedded model (SmolLM2, 135M parameters, on this machine's CPU). No labels are used: a rollout is\n"
        f"rewarded when it agrees with the majority of its group of 8. {config.steps} steps of 6 questions; then 48 "
        "questions never seen\nare asked of the model before and after.\n",
        flush=True,
    )
    policy = catlite.LocalModel("local")
    trained = run_training(unlabelled, policy, estimator=catlite.MajorityVote(), config=config, run=arguments.run)
    print(f"{trained}\n")
    synthesis = catlite.Synthesis(trained.initial, max_tokens=32, worked=WORKED_SYNTHESES)
    comparison = catlite.compare(
        trained.initial, trained.policy, held_out, synthesis=synthesis, seed=1, temperature=1.0, max_tokens=16
    )
    print(comparison)
    print(
        f"\n{time.monotonic() - started:.0f} s. How to read it: set the single sample after training beside greedy "
        "decoding and the\nmajority of 8 before it. Not every task does this: on times tables nothing carries "
        "over to questions\nheld out, not even with labels (docs/training.md has both, with gold and a random reward "
        "beside them)."
    )
    return exit_code(trained)
