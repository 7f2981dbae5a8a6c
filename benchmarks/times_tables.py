"""What the embedded model reaches on times tables: one sample, a vote, and two syntheses of the same groups.

    python benchmarks/times_tables.py [--questions 81] [--n-repeats 1] [--n 8] [--run FOLDER]

Prints a Markdown table. Scores are means over questions, ± the standard error over questions; with several repeats a
question's score is first averaged over them, and what is spent is given per repeat. "single sample" is the mean over a
question's rollouts, its cost that of one of them alone. Requests and tokens are per system, rollouts included; seconds
are wall time of a stage run alone, so that one system's calls never wait for another's.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import catlite
from catlite.tasks.times_tables import WORKED_SYNTHESES

SAMPLING: dict[str, Any] = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "max_tokens": 24, "seed": 0}
SINGLE, VOTE, BLIND, SEEING = "single sample", "majority vote", "synthesis", "synthesis, shown the question"


def measure(arguments: argparse.Namespace) -> tuple[catlite.Evaluation, dict[str, float]]:
    """All systems on the same rollouts, and the wall seconds of every system."""
    # All 81 in order; fewer are drawn.
    task = catlite.times_tables(None if arguments.questions == 81 else arguments.questions)
    sizes = {"n": arguments.n, "n_repeats": arguments.n_repeats}
    with catlite.embedded() as model:
        vote = {VOTE: catlite.MajorityVote()}
        result = catlite.evaluate(task, model, estimators=vote, run=arguments.run, **sizes, **SAMPLING)
        seconds = {SINGLE: result.seconds / arguments.n, VOTE: result.seconds}
        rows = list(result.rows)
        for name, include in ((BLIND, False), (SEEING, True)):
            synthesis = catlite.Synthesis(model, include_question=include, max_tokens=32, worked=WORKED_SYNTHESES)
            again = catlite.reestimate(result, {name: synthesis}, run=arguments.run)
            rows += [row for row in again.rows if row.system == name]
            seconds[name] = result.seconds + again.seconds
            print(f"{name} done", file=sys.stderr, flush=True)
    return replace(result, rows=tuple(rows)), seconds


def markdown(result: catlite.Evaluation, seconds: dict[str, float]) -> str:
    """The table, one line per system."""
    lines = [
        "| system | score ± SE | gen./question | requests | tokens in | tokens out | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    for system, total in result.summary.iterrows():
        failed = f" ({total.failed} failed)" if total.failed else ""
        spent = [total[name] / result.n_repeats for name in ("requests", "prompt_tokens", "completion_tokens")]
        lines.append(
            f"| {system}{failed} | {total.score:.3f} ± {total.se:.3f} | {total.generations:.0f} | "
            + " | ".join(f"{value:,.0f}" for value in [*spent, seconds[str(system)] / result.n_repeats])
            + " |"
        )
    return "\n".join(lines)


def paired(result: catlite.Evaluation, one: str, other: str) -> str:
    """The mean difference of two systems over the same questions, with its standard error."""
    row = catlite.differences(result, other).set_index("system").loc[one]
    return f"{one} − {other}: {row.difference:+.3f} ± {row.se:.3f}, Welch's p {row.p_welch:.2g}"


def cut_off(result: catlite.Evaluation) -> float:
    """The share of rollouts that ran into the token limit."""
    rollouts = [rollout for group in result.groups for rollout in group.rollouts]
    return sum(rollout.defect == "truncated" for rollout in rollouts) / len(rollouts)


def machine() -> str:
    """This machine in a line."""
    chip = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        chip = names[0] if names else chip
    return f"{os.cpu_count()} × {chip}, {platform.system()}, Python {platform.python_version()}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Times tables on the embedded model, as a Markdown table.")
    parser.add_argument("--questions", type=int, default=81, help="how many of the 81 (default: all)")
    parser.add_argument("--n-repeats", type=int, default=1, help="how often each question is sampled (default: 1)")
    parser.add_argument("--n", type=int, default=8, help="rollouts per question (default: 8)")
    parser.add_argument("--run", help="a folder for the replies, to look at them later (default: none are kept)")
    arguments = parser.parse_args()
    result, seconds = measure(arguments)
    questions = len(result.groups) // result.n_repeats
    print(
        f"times tables, {questions} questions × {result.n_repeats} repeats, {result.n} rollouts of "
        f"at most {SAMPLING['max_tokens']} tokens, {cut_off(result):.0%} cut off, temperature 1; {machine()}\n"
    )
    print(markdown(result, seconds))
    print()
    for one, other in ((BLIND, SINGLE), (BLIND, VOTE), (SEEING, BLIND)):
        print("* " + paired(result, one, other))
    if arguments.run is not None:
        result.save(arguments.run)


if __name__ == "__main__":
    main()
