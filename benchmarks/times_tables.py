"""What the embedded model reaches on times tables: one sample, a vote, and two syntheses of the same groups.

    python benchmarks/times_tables.py [--questions 81] [--seeds 1] [--n 8]

Prints a Markdown table. Scores are means over questions, ± the standard error over questions; with several seeds a
question's score is first averaged over them. "single sample" is the mean over a question's rollouts, its cost an
n-th of the group's. Requests, tokens and generations are per system, rollouts included; seconds are wall time of a
stage run alone, so that one system's calls never wait for another's.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
from math import sqrt
from pathlib import Path
from typing import Any

import catlite
from catlite.tasks.times_tables import WORKED_SYNTHESES

SAMPLING: dict[str, Any] = {"temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, "max_tokens": 24}
VOTE, BLIND, SEEING = "majority vote", "synthesis", "synthesis, shown the question"


def measure(questions: int | None, n: int, seed: int) -> tuple[Any, dict[str, float]]:
    """One row per question and system, and the wall seconds of every system."""
    import pandas as pd

    # Which questions is fixed; a seed says how they are sampled.
    task = catlite.times_tables(questions)
    with catlite.embedded() as model:
        voted = catlite.evaluate(task, model, estimators=(catlite.MajorityVote(),), n=n, seed=seed, **SAMPLING)
        frames = [voted.to_frame().replace({"system": {"MajorityVote": VOTE}})]
        seconds = {"single sample": voted.seconds / n, VOTE: voted.seconds}
        groups = {vote.group.example.messages[-1]["content"]: vote.group for vote in voted.references}
        # The groups once more, as a model: every estimator reads the same rollouts, and nothing is sampled twice.
        replay = catlite.ScriptedModel(lambda prompt, i: groups[prompt[-1]["content"]].rollouts[i])
        for name, include in ((BLIND, False), (SEEING, True)):
            synthesis = catlite.Synthesis(model, include_question=include, max_tokens=32, worked=WORKED_SYNTHESES)
            result = catlite.evaluate(task, replay, estimators=(synthesis,), n=n)
            frame = result.to_frame()
            frames.append(frame[frame["system"] == "Synthesis"].replace({"system": {"Synthesis": name}}))
            seconds[name] = voted.seconds + result.seconds
            print(f"seed {seed}: {name} done", file=sys.stderr, flush=True)
    return pd.concat(frames).assign(seed=seed), seconds


def markdown(frame: Any, seconds: list[dict[str, float]]) -> str:
    """The table, one line per system."""
    lines = [
        "| system | score ± SE | gen./question | requests | tokens in | tokens out | seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    runs = len(seconds)
    for system, rows in frame.groupby("system", sort=False):
        scores = rows.groupby("id")["score"].mean().dropna()
        error = scores.std() / sqrt(len(scores)) if len(scores) > 1 else float("nan")
        failed = rows["score"].isna().sum()
        prompt, completion = rows["prompt_tokens"].sum() / runs, rows["completion_tokens"].sum() / runs
        lines.append(
            f"| {system}{f' ({failed} failed)' if failed else ''} | {scores.mean():.3f} ± {error:.3f} "
            f"| {rows['generations'].mean():.0f} | {rows['requests'].sum() / runs:.0f} | {prompt:,.0f} "
            f"| {completion:,.0f} | {sum(one[system] for one in seconds) / runs:.0f} |"
        )
    return "\n".join(lines)


def paired(frame: Any, one: str, other: str) -> str:
    """The mean difference of two systems over the same questions, with its standard error."""
    scores = frame.pivot_table(index="id", columns="system", values="score")
    difference = (scores[one] - scores[other]).dropna()
    error = difference.std() / sqrt(len(difference)) if len(difference) > 1 else float("nan")
    return f"{one} − {other}: {difference.mean():+.3f} ± {error:.3f}"


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
    import pandas as pd

    parser = argparse.ArgumentParser(description="Times tables on the embedded model, as a Markdown table.")
    parser.add_argument("--questions", type=int, default=81, help="how many of the 81 (default: all)")
    parser.add_argument("--seeds", type=int, default=1, help="how often each question is sampled (default: 1)")
    parser.add_argument("--n", type=int, default=8, help="rollouts per question (default: 8)")
    arguments = parser.parse_args()
    # All 81 in order; a number below draws the same questions for every seed.
    questions = None if arguments.questions == 81 else arguments.questions
    runs = [measure(questions, arguments.n, seed) for seed in range(arguments.seeds)]
    frame = pd.concat([rows for rows, _ in runs])
    print(
        f"times tables, {frame['id'].nunique()} questions, {arguments.n} rollouts, temperature 1, "
        f"{arguments.seeds} seed(s); {machine()}\n"
    )
    print(markdown(frame, [seconds for _, seconds in runs]))
    print()
    for one, other in ((BLIND, "single sample"), (BLIND, VOTE), (SEEING, BLIND)):
        print("* " + paired(frame, one, other))


if __name__ == "__main__":
    main()
