"""`catlite demo`: the whole chain on the embedded model, offline."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import catlite
from catlite.cli.options import add_command
from catlite.cli.waiting import on_terminal
from catlite.reprs import in_full

if TYPE_CHECKING:
    from catlite.cli.options import Commands


def add(commands: Commands) -> None:
    """Adds the command."""
    parser = add_command(
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
    parser.add_argument("--questions", metavar="N", type=int, default=16, help="how many of the 81 (default: 16)")
    parser.add_argument(
        "--seed", metavar="N", type=int, default=0, help="which ones, and how they are sampled (default: 0)"
    )


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
        shown = max(synthesized, key=lambda reference: len({one.answer for one in reference.rollouts}))
        print(f"\nOne reference in full, of the question “{shown.group.example.messages[-1]['content']}”")
        print(in_full(shown))
    print(
        f"\n{result.seconds:.0f} s. What this shows: the chain works, offline and for real. What it does not show: how "
        "good the method is.\nOver all 81 questions a model this small gains from a vote, and from synthesis no more "
        "than that (README). Try yours:\n"
        '  OPENAI_API_KEY=… catlite synthesize "your question" --model gpt-4o-mini'
    )
    return 0
