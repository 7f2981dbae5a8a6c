"""Test-time RL without labels on the embedded model, beside gold labels and a random reward, on questions held out.

    python benchmarks/train_last_word.py [--task last_word] [--rewards vote gold random] [--seeds 0 1 2]
        [--steps N] [--results FILE] [--keep FOLDER]

The settings are those of `catlite demo-train`. `last_word`: 72 questions trained on, 48 others held out, rewarded by
the majority vote of the group. `times_tables`: 64 trained on, the 17 with a factor of 7 held out, rewarded by the vote
of the group and 16 rollouts of the initial model; 32 steps. The vote is trained with every seed, gold and random with
the first. Before and after, 8 rollouts a question: a single sample, greedy, the majority, and a synthesis by the
initial model. Results are appended to FILE (JSON lines) and not measured again; runs are kept in FOLDER, and go on from
there. Measure with OMP_NUM_THREADS=1 on a quiet core: last_word takes about five minutes a run there.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from times_tables import machine

import catlite
from catlite.cli.demo import DEMO
from catlite.rewards.answer_match import GOLD
from catlite.tasks import last_word, times_tables

SAMPLING: dict[str, Any] = {"temperature": 1.0, "max_tokens": 16}
STEPS = {"last_word": 24, "times_tables": 32}
WORKED = {"last_word": last_word.WORKED_SYNTHESES, "times_tables": times_tables.WORKED_SYNTHESES}


@dataclass(frozen=True)
class RandomReward:
    """A reward of 0 or 1 by the toss of a coin, whatever a rollout says: what a gain has to beat."""

    seed: int = 0

    async def __call__(self, group: catlite.Group, _: catlite.Reference) -> list[float | None]:
        texts = [rollout.text for rollout in group.rollouts]
        coin = random.Random(f"{self.seed} {group.example.id} {texts}")
        return [float(coin.random() < 0.5) for _ in texts]


@dataclass(frozen=True)
class Gold:
    """An estimator that looks the answer up: what training with labels reaches.

    It has the answers itself, because training hands no label on to an estimator.
    """

    answers: dict[str, str]  # by question

    async def __call__(self, group: catlite.Group) -> catlite.Reference:
        answer = self.answers[group.example.messages[-1]["content"]]
        return catlite.Reference(answer, answer, GOLD, group)


def split(task: str, seed: int) -> tuple[catlite.Task, catlite.Task]:
    """The questions to train on and those held out."""
    if task == "last_word":
        return catlite.last_word(72, seed), catlite.last_word(48, 100 + seed)
    questions = catlite.times_tables()
    held = {example for example in questions if "7" in str(example.id).split("x")}
    parts = ([example for example in questions if (example in held) is part] for part in (False, True))
    trained, rest = (catlite.Task(task, tuple(part)) for part in parts)
    return trained, rest


def measure(task: str, reward: str, seed: int, steps: int, keep: Path | None) -> dict[str, Any]:
    """One training and its table of held-out questions."""
    policy = catlite.LocalModel("local")
    questions, held = split(task, seed)
    unlabelled = catlite.Task(task, tuple(replace(example, answer=None) for example in questions))
    vote = catlite.MajorityVote() if task == "last_word" else catlite.AnchoredVote(policy.frozen(), max_tokens=16)
    gold = Gold({example.messages[-1]["content"]: str(example.answer) for example in questions})
    config = catlite.TrainConfig(**{**DEMO, "seed": seed, "steps": steps})
    with tempfile.TemporaryDirectory() if keep is None else nullcontext(keep / f"{task}-{reward}-{seed}") as folder:
        started = time.monotonic()
        run = catlite.train(
            unlabelled,
            policy,
            estimator=gold if reward == "gold" else vote,
            reward=RandomReward(seed) if reward == "random" else None,
            config=config,
            run=folder,
        )
        seconds = time.monotonic() - started
        if not run.complete:
            raise SystemExit(f"{task}, {reward}, seed {seed}: {run.ended}")
        synthesis = catlite.Synthesis(run.initial, max_tokens=32, worked=WORKED[task])
        table = catlite.compare(run.initial, run.policy, held, synthesis=synthesis, seed=1000 + seed, **SAMPLING)
    print(f"{task}, {reward}, seed {seed}: {seconds:.0f} s\n{table}", flush=True)
    return {
        "task": task,
        "reward": reward,
        "seed": seed,
        "settings": config.as_dict(),
        "seconds": seconds,
        "compared": time.monotonic() - started - seconds,
        "metrics": list(run.metrics),
        "held_out": table.to_frame().reset_index().to_dict("records"),
        "machine": machine(),
    }


def report(runs: list[dict[str, Any]]) -> None:
    """Print the table of held-out questions, a column per run."""
    names = [f"{run['reward']}, seed {run['seed']}" for run in runs]
    questions = runs[0]["held_out"][0]["questions"]
    print(f"\n{runs[0]['task']}, {runs[0]['settings']['steps']} steps, {questions} questions held out, ± the standard")
    print(f"error over questions; {runs[0]['machine']}\n")
    print(f"| | {' | '.join(names)} |\n|---|{'---|' * len(runs)}")
    for number, row in enumerate(runs[0]["held_out"]):
        for moment in ("before", "after"):
            systems = [run["held_out"][number] for run in runs]
            cells = [f"{system[moment]:.3f} ± {system[f'{moment}_se']:.3f}" for system in systems]
            print(f"| {row['system']} {moment} | {' | '.join(cells)} |")
    for name, part in (("training", "seconds"), ("the table", "compared")):
        print(f"| seconds of {name} | {' | '.join(f'{run[part]:.0f}' for run in runs)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=sorted(STEPS), default="last_word")
    parser.add_argument("--rewards", nargs="*", choices=("vote", "gold", "random"), default=["vote", "gold", "random"])
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="of the optimizer (default: 24, for times tables 32)")
    parser.add_argument("--results", type=Path, help="a file of JSON lines; runs in it are not measured again")
    parser.add_argument("--keep", type=Path, help="a folder for the runs, which go on from there")
    arguments = parser.parse_args()
    kept: list[dict[str, Any]] = []
    if arguments.results and arguments.results.exists():
        kept = [json.loads(line) for line in arguments.results.read_text().splitlines()]
    runs = []
    for reward in arguments.rewards:
        for seed in arguments.seeds if reward == "vote" else arguments.seeds[:1]:
            wanted = (arguments.task, reward, seed)
            run = next((run for run in kept if (run["task"], run["reward"], run["seed"]) == wanted), None)
            if run is None:
                run = measure(*wanted, arguments.steps or STEPS[arguments.task], arguments.keep)
                if arguments.results:
                    with arguments.results.open("a") as file:
                        file.write(json.dumps(run) + "\n")
            runs.append(run)
    report(runs)


if __name__ == "__main__":
    main()
