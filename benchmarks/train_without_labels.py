"""What a label-free reward teaches, beside gold labels and a random reward, on questions held out.

    python benchmarks/train_without_labels.py [--task last_word] [--arms vote anchored … gold] [--seeds 0 1 2]
        [--steps N] [--train N] [--held-out N] [--policy local] [--results FILE] [--keep FOLDER]

An arm is an estimator and a reward; the settings are those of `catlite demo-train`. `orders` (of `larger` alone) asks
for the two numbers in both orders, and takes the answer that holds in both. Of `last_word`, `larger` and `arithmetic`
(which the embedded model cannot do: name a larger policy), 72 questions are trained on and 48 of another seed held out;
of `times_tables` 64, and the 17 with a factor of 7, for 32 steps. Before and after, 8 rollouts a question: a single
sample, pass@8, greedy, the majority, a synthesis by the initial model, and what the gain of the single sample is made
of. The table has means over seeds, ± their standard error.

Each result is a line of JSON in FILE and is not measured again; runs are kept in FOLDER and go on from their last
checkpoint. Measure with OMP_NUM_THREADS=1 on a quiet core: a run of last_word takes about five minutes there.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from times_tables import machine

import catlite
from catlite.cli.demo import DEMO
from catlite.data import Estimator, Reward
from catlite.rewards.answer_match import GOLD
from catlite.rewards.controls import FormatReward, RandomReward
from catlite.rollouts import sample_group
from catlite.tasks import arithmetic, larger, last_word, times_tables

STEPS = {"last_word": 24, "larger": 24, "arithmetic": 24, "times_tables": 32}
TOKENS = {"last_word": 16, "larger": 16, "arithmetic": 48, "times_tables": 16}
WORKED = {
    module.__name__.rpartition(".")[2]: module.WORKED_SYNTHESES
    for module in (last_word, larger, arithmetic, times_tables)
}
FIRST_HELD_OUT = {"last_word": 100, "larger": 15, "arithmetic": 50}  # seed of the questions held out of seed 0
CHANGES = ("learned", "kept", "lost", "never")


@dataclass(frozen=True)
class Gold:
    """An estimator that looks the answer up: what training with labels reaches.

    It has the answers itself, because training hands no label on to an estimator.
    """

    answers: dict[str, str]  # by question

    async def __call__(self, group: catlite.Group) -> catlite.Reference:
        answer = self.answers[group.example.messages[-1]["content"]]
        return catlite.Reference(answer, answer, GOLD, group)


@dataclass(frozen=True)
class BothOrders:
    """A vote that must hold in both orders of the two numbers: the harmonic mean of an answer's shares.

    It is the score of Self-Harmony (arXiv 2511.01191), with the swapped question as the second view; the policy as it
    is answers it.
    """

    policy: catlite.LocalModel
    tokens: int

    async def __call__(self, group: catlite.Group) -> catlite.Reference:
        sampling = {"max_tokens": self.tokens, "temperature": 1.0, "seed": 7919}
        swapped = await sample_group(self.policy, swap(group.example), **sampling)
        first_shares, second_shares = shares(group), shares(swapped)
        scores = {
            answer: 2 * first * second / (first + second)
            for answer, first in first_shares.items()
            if answer is not None and (second := second_shares.get(answer))
        }
        answer = max(scores, key=scores.__getitem__, default=None)
        about = {"others": swapped.rollouts, "abstained": answer is None}
        return catlite.Reference(answer or "", answer, "BothOrders", group, **about)


def shares(view: catlite.Group) -> dict[str | None, float]:
    """Give each answer's share of a group's votes."""
    counts = Counter(rollout.answer for rollout in view.usable)
    return {answer: count / len(view.usable) for answer, count in counts.items()}


def swap(example: catlite.Example) -> catlite.Example:
    """Name the two numbers of a question of `larger` in the other order."""
    *before, question = example.messages
    first, second = re.findall(r"\d+", question["content"])
    return replace(example, prompt=[*before, {**question, "content": f"Which is larger, {second} or {first}?"}])


@dataclass(frozen=True)
class Setting:
    """What an arm may build on."""

    task: str
    seed: int
    policy: catlite.LocalModel
    anchor: catlite.LocalModel
    answers: dict[str, str]

    @property
    def tokens(self) -> int:
        """The most tokens of a rollout."""
        return TOKENS[self.task]

    def synthesis(self) -> Estimator:
        """The estimator of the paper, with worked turns for a small anchor."""
        return catlite.Synthesis(self.anchor, max_tokens=2 * self.tokens, worked=WORKED[self.task])


# By name: the estimator and the reward; None is whether the rollout has the reference's answer.
ARMS: dict[str, Callable[[Setting], tuple[Estimator, Reward | None]]] = {
    "vote": lambda _: (catlite.MajorityVote(), None),
    "anchored": lambda setting: (catlite.AnchoredVote(setting.anchor, max_tokens=setting.tokens), None),
    "soft": lambda _: (catlite.MajorityVote(), catlite.VoteShare()),
    "abstain": lambda _: (catlite.MajorityVote(min_agreement=0.5), None),
    "synthesis": lambda setting: (setting.synthesis(), None),
    "orders": lambda setting: (BothOrders(setting.policy, setting.tokens), None),
    "random": lambda setting: (catlite.MajorityVote(), RandomReward(setting.seed)),
    "format": lambda _: (catlite.MajorityVote(), FormatReward()),
    "gold": lambda setting: (Gold(setting.answers), None),
}


def split(task: str, seed: int, train: int, held_out: int) -> tuple[catlite.Task, catlite.Task]:
    """The questions to train on and those held out."""
    if task != "times_tables":
        make = getattr(catlite, task)
        return make(train, seed), make(held_out, FIRST_HELD_OUT[task] + seed)
    questions = catlite.times_tables()
    parts = (
        [example for example in questions if ("7" in str(example.id).split("x")) is part] for part in (False, True)
    )
    trained, rest = (catlite.Task(task, tuple(part)) for part in parts)
    return trained, rest


def measure(arguments: argparse.Namespace, arm: str, seed: int, steps: int) -> dict[str, Any]:
    """One training and its table of held-out questions."""
    task = arguments.task
    policy = catlite.LocalModel(arguments.policy)
    questions, held = split(task, seed, arguments.train, arguments.held_out)
    unlabelled = catlite.Task(task, tuple(replace(example, answer=None) for example in questions))
    answers = {example.messages[-1]["content"]: str(example.answer) for example in questions}
    setting = Setting(task, seed, policy, policy.frozen(), answers)
    estimator, reward = ARMS[arm](setting)
    settings = {"seed": seed, "steps": steps, "max_completion_length": setting.tokens}
    config = catlite.TrainConfig(**{**DEMO, **settings})
    name = f"{task}-{arm}-{seed}-{steps}"
    with tempfile.TemporaryDirectory() if arguments.keep is None else nullcontext(arguments.keep / name) as folder:
        started = time.monotonic()
        run = catlite.train(unlabelled, policy, estimator=estimator, reward=reward, config=config, run=folder)
        seconds = time.monotonic() - started
        sampling = {"temperature": 1.0, "max_tokens": setting.tokens, "seed": 1000 + seed}
        # What the initial model replies is the same in every arm, and drawn once.
        kept = arguments.keep and arguments.keep / f"{task}-tables-{seed}"
        table = catlite.compare(run.initial, run.policy, held, synthesis=setting.synthesis(), run=kept, **sampling)
    print(f"{name}: {seconds:.0f} s\n{table}", flush=True)
    return {
        **key(arguments, arm, seed, steps),
        "settings": config.as_dict(),
        "complete": run.complete,
        "ended": run.ended,
        "seconds": seconds,
        "compared": time.monotonic() - started - seconds,
        "metrics": list(run.metrics),
        "held_out": table.to_frame().reset_index().to_dict("records"),
        "changes": table.changes().reset_index().to_dict("records"),
        "machine": machine(),
    }


def key(arguments: argparse.Namespace, arm: str, seed: int, steps: int) -> dict[str, Any]:
    """What a result is found again by."""
    counts = {"train": arguments.train, "held_out_questions": arguments.held_out}
    return {"task": arguments.task, "policy": arguments.policy, "arm": arm, "seed": seed, "steps": steps, **counts}


def report(runs: list[dict[str, Any]]) -> None:
    """Print the table of held-out questions: a column per arm, each figure the mean over its seeds."""
    arms = {arm: [run for run in runs if run["arm"] == arm] for arm in dict.fromkeys(run["arm"] for run in runs)}
    of_first = next(iter(arms.values()))
    first = of_first[0]
    questions, seeds = first["held_out"][0]["questions"], ", ".join(str(run["seed"]) for run in of_first)
    print(f"\n{first['task']}, {first['policy']}, {first['steps']} steps, {questions} questions held out; means over")
    print(f"seeds {seeds}, ± the standard error over seeds; {first['machine']}\n")
    print(f"| | before | {' | '.join(arms)} |\n|---|---|{'---|' * len(arms)}")
    for number, row in enumerate(first["held_out"]):
        before = over_seeds([run["held_out"][number]["before"] for run in of_first])
        after = [over_seeds([run["held_out"][number]["after"] for run in runs]) for runs in arms.values()]
        print(f"| {row['system']} | {before} | {' | '.join(after)} |")
    for number, change in enumerate(CHANGES):
        shares = [over_seeds([run["changes"][number]["share"] for run in runs]) for runs in arms.values()]
        print(f"| share {change} | | {' | '.join(shares)} |")
    for name in ("cat/reward", "cat/support"):
        last = [over_seeds([(run["metrics"] or [{}])[-1].get(name, math.nan) for run in of]) for of in arms.values()]
        print(f"| {name}, last step | | {' | '.join(last)} |")
    for name, part in (("training", "seconds"), ("the table", "compared")):
        print(
            f"| seconds of {name} | | {' | '.join(f'{fmean(run[part] for run in of):.0f}' for of in arms.values())} |"
        )


def over_seeds(values: list[float]) -> str:
    """Write a mean with its standard error, which one seed does not have."""
    error = f"{stdev(values) / math.sqrt(len(values)):.3f}" if len(values) > 1 else "?"
    return f"{fmean(values):.3f} ± {error}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=sorted(STEPS), default="last_word")
    usual = ["vote", "anchored", "soft", "abstain", "synthesis", "random", "gold"]
    parser.add_argument("--arms", choices=list(ARMS), nargs="*", default=usual)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="of the optimizer (default: 24, for times tables 32)")
    parser.add_argument("--train", type=int, default=72, help="questions trained on (not of times tables)")
    parser.add_argument("--held-out", type=int, default=48, help="questions held out (not of times tables)")
    parser.add_argument("--policy", default="local", help='a folder, a name on the hub, or "local"')
    parser.add_argument("--results", type=Path, help="a file of JSON lines; runs in it are not measured again")
    parser.add_argument("--keep", type=Path, help="a folder for the runs, which go on from there")
    arguments = parser.parse_args()
    steps = arguments.steps or STEPS[arguments.task]
    kept: list[dict[str, Any]] = []
    if arguments.results and arguments.results.exists():
        kept = [json.loads(line) for line in arguments.results.read_text().splitlines()]
    runs = []
    for seed in arguments.seeds:  # all arms of a seed first, so that an interrupted run can be compared
        for arm in arguments.arms:
            wanted = key(arguments, arm, seed, steps)
            run = next((run for run in kept if wanted.items() <= run.items()), None)
            if run is None:
                run = measure(arguments, arm, seed, steps)
                if arguments.results:
                    with arguments.results.open("a") as file:
                        file.write(json.dumps(run) + "\n")
            runs.append(run)
    report([run for arm in arguments.arms for run in runs if run["arm"] == arm])


if __name__ == "__main__":
    main()
