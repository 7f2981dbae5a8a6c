"""Test-time RL on times tables, without labels, on the embedded model: what it gains, and when it could have stopped.

    python benchmarks/train_times_tables.py [--seeds 3 4 5] [--steps N] [--results FILE] [--keep FOLDER]

The settings are those of `catlite demo-train`. Per seed: 64 of the 81 questions, 48 to train on and 16 held back for
checks; GRPO on the vote of the group and the anchor. Before and after, 8 rollouts a question: a single sample, greedy,
the majority and a synthesis by the initial policy. The gap-based stop is read off the same run: checks move nothing
random, so a run with it is this one, cut at its step. Results are appended to FILE (JSON lines), and the tables are of
all seeds in it; runs are kept in FOLDER, and go on from there. About 17 minutes a seed on 2 cores without AVX-512. The
settings were chosen on seeds 1 and 2.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from contextlib import nullcontext
from dataclasses import replace
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from times_tables import machine

import catlite
from catlite.cli.train import DEMO, demo_estimator, trained_on
from catlite.tasks.times_tables import WORKED_SYNTHESES
from catlite.training.checks import Check, gap_says_stop
from catlite.training.lora import load_adapter

SAMPLING: dict[str, Any] = {"temperature": 1.0, "max_tokens": 16}


def measure(seed: int, changes: dict[str, Any], keep: Path | None) -> dict[str, Any]:
    """Everything about one seed."""
    policy = catlite.LocalModel("local")
    questions = catlite.times_tables(64, seed)
    unlabelled = catlite.Task("times_tables", tuple(replace(one, answer=None) for one in questions))
    # All checkpoints are kept, for the one at which the gap would have stopped.
    config = catlite.TrainConfig(**{**DEMO, "seed": seed, "trl": {**DEMO["trl"], "save_total_limit": None}, **changes})
    with tempfile.TemporaryDirectory() if keep is None else nullcontext(keep / f"seed-{seed}") as folder:
        run = catlite.train(unlabelled, policy, estimator=demo_estimator(policy), config=config, run=folder)
        held = {one.id for one in unlabelled} - trained_on(unlabelled, config)
        parts = {
            "trained on": catlite.Task("trained", tuple(one for one in questions if one.id not in held)),
            "held back": catlite.Task("held back", tuple(one for one in questions if one.id in held)),
        }
        found = {
            "seed": seed,
            "settings": config.as_dict(),
            "metrics": list(run.metrics),
            "machine": machine(),
        }
        found["after"] = {name: scores(run, part, seed) for name, part in parts.items()}
        stop = stopped_at(run.metrics)
        found["stop"] = stop
        if stop is not None:
            load_adapter(policy, Path(folder) / "checkpoints" / f"checkpoint-{stop}")
            found["at_stop"] = single_sample(policy, parts["trained on"], seed)
            print(f"stopped at step {stop}: single sample {found['at_stop']:.3f}", flush=True)
    return found


def scores(run: Any, task: Any, seed: int) -> list[dict[str, Any]]:
    synthesis = catlite.Synthesis(run.initial, max_tokens=32, worked=WORKED_SYNTHESES)
    table = catlite.compare(run.initial, run.policy, task, synthesis=synthesis, seed=1000 + seed, **SAMPLING)
    print(table, flush=True)
    return table.to_frame().reset_index().to_dict("records")


def single_sample(policy: Any, task: Any, seed: int) -> float:
    return float(catlite.evaluate(task, policy, seed=1000 + seed, **SAMPLING).score("single sample")[0])


def stopped_at(metrics: Any) -> int | None:
    history = []
    for row in metrics:
        found = {name[6:]: value for name, value in row.items() if name.startswith("check/")}
        if found:
            history.append(Check(step=row["step"], **found))
            if row["step"] and gap_says_stop(history) is not None:
                return int(row["step"])
    return None


def seconds(one: dict[str, Any], until: int | None, *names: str) -> float:
    rows = [row for row in one["metrics"] if until is None or row["step"] <= until]
    return sum(row.get(f"seconds/{name}", 0.0) for row in rows for name in names)


def said(values: list[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.3f}"
    return f"{fmean(values):.3f} ± {stdev(values) / sqrt(len(values)):.3f}"


def report(runs: list[dict[str, Any]]) -> None:
    """The tables of all seeds."""
    settings = runs[0]["settings"]
    steps = settings["steps"]
    size = f"{settings['prompts_per_step']} prompts × {settings['num_generations']} rollouts"
    print(f"\n{len(runs)} seeds, {steps} steps of {size}; {runs[0]['machine']}")
    for part in ("trained on", "held back"):
        print(f"\nquestions {part}; ± the standard error over seeds\n")
        print("| | before | after | gain |\n|---|---|---|---|")
        for number, row in enumerate(runs[0]["after"][part]):
            rows = [one["after"][part][number] for one in runs]
            cells = [said([one[name] for one in rows]) for name in ("before", "after", "difference")]
            print(f"| {row['system']} | {' | '.join(cells)} |")
    train = ("generation", "reward", "backward")
    full = [seconds(one, None, *train) for one in runs]
    cut = [seconds(one, one["stop"], *train, "check") for one in runs]
    print(f"\nfixed steps, no checks: {said(full)} s; with the gap's stop, checks included: {said(cut)} s")
    print(f"stopped at step {[one['stop'] for one in runs]} of {steps}")
    stops = [one.get("at_stop", one["after"]["trained on"][0]["after"]) for one in runs]
    print(f"single sample on the questions trained on, at the gap's stop: {said(stops)}")
    shares = {name: sum(seconds(one, None, name) for one in runs) / sum(full) for name in train}
    print("of a step: " + ", ".join(f"{name} {share:.1%}" for name, share in shares.items()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=[3, 4, 5])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--results", type=Path, help="a file of JSON lines; seeds in it are not measured again")
    parser.add_argument("--keep", type=Path, help="a folder for the runs, which go on from there")
    arguments = parser.parse_args()
    runs: list[dict[str, Any]] = []
    if arguments.results and arguments.results.exists():
        runs = [json.loads(line) for line in arguments.results.read_text().splitlines()]
    for seed in arguments.seeds:
        if seed in [one["seed"] for one in runs]:
            continue
        given = {name: getattr(arguments, name) for name in ("steps", "learning_rate")}
        changes = {name: value for name, value in given.items() if value is not None}
        runs.append(measure(seed, changes, arguments.keep))
        if arguments.results:
            with arguments.results.open("a") as file:
                file.write(json.dumps(runs[-1]) + "\n")
    report(runs)


if __name__ == "__main__":
    main()
