"""`catlite train`: GRPO without labels on a task; `catlite demo-train`: the same on times tables, to watch."""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import catlite
from catlite.cli.options import ESTIMATORS, add_command, add_limit, add_own, check_names, drawn, own, refuse_own
from catlite.data import Estimator, Task
from catlite.errors import ConfigError, HaltedWarning

if TYPE_CHECKING:
    from catlite.cli.options import Commands

_TASKS = ("gsm8k", "healthbench", "math500", "times_tables")
_REWARDS = ("answer", "rubric")
# What demo-train runs with; benchmarks/train_times_tables.py measured it (docs/training.md).
DEMO: dict[str, Any] = {
    "steps": 24,
    "prompts_per_step": 6,
    "max_completion_length": 16,
    "sampling": {"temperature": 1.0},
    "learning_rate": 1.5e-4,
    "lora_layers": 0.5,  # a third less of the backward pass, for much the same result
    "beta": 0.0,
    "check_every": 4,
    "held_back": 16,
    "trl": {"per_device_train_batch_size": 24},  # three groups at once: small matrices leave a CPU waiting for memory
}
# What a reason says, and what it is called here.
_OPTIONS = {
    "judge_wait in TrainConfig": "--judge-wait",
    "max_completion_length": "--max-tokens",
    "the estimator's max_tokens": "--max-tokens",
    "the same call with run=": "the same command with --run ",
}
_COMPARED = 24  # questions of demo-train's table: all 48 take more than half as long as the training


def add(commands: Commands) -> None:
    """Adds both commands."""
    parser = add_command(
        commands,
        "train",
        _train,
        summary="train a model on a task's prompts, without labels",
        description="GRPO with LoRA: rollouts, a reference from each group, rewards against it. No labels are used.",
        examples="""
            catlite train times_tables --policy local --steps 20 --run runs/tables
            catlite train math500 --policy Qwen/Qwen3-1.7B --limit 100 --stop gap
            catlite train questions.csv --prompt question --policy Qwen/Qwen3-1.7B \\
                --reward rubric --judge gpt-4o-mini --run runs/questions
        """,
    )
    parser.add_argument("task", help=f"{', '.join(_TASKS)}, or a CSV, JSONL or JSON file")
    parser.add_argument("--path", metavar="FILE", help="the file of a named task, when it is on this machine already")
    add_own(parser.add_argument_group("a file of your own"))
    add_limit(parser)
    parser.add_argument(
        "--policy", metavar="NAME", default="local", help='a folder, a name on the Hugging Face hub, or "local"'
    )
    parser.add_argument(
        "--backend", default="auto", choices=("auto", "transformers", "unsloth"), help="what trains (default: auto)"
    )
    parser.add_argument("--load-in-4bit", action="store_true", help="for a GPU with little memory")
    parser.add_argument(
        "--estimator", metavar="NAME", default="synthesis", help=f"{', '.join(sorted(ESTIMATORS))} (default: synthesis)"
    )
    parser.add_argument(
        "--reward",
        default="answer",
        choices=_REWARDS,
        help="answer: agreement with the reference (default); rubric: criteria of the reference, by a --judge",
    )
    parser.add_argument(
        "--judge", metavar="MODEL", help="the model that judges rubrics: a name your endpoint serves, or provider/name"
    )
    parser.add_argument("--base-url", metavar="URL", help="where the judge is served")
    parser.add_argument("--steps", metavar="N", type=int, help="of the optimizer, at most (default: 100)")
    parser.add_argument("--prompts-per-step", metavar="N", type=int, help="groups of one step (default: 8)")
    parser.add_argument("--n", metavar="N", type=int, dest="num_generations", help="rollouts of a group (default: 8)")
    parser.add_argument(
        "--max-tokens", metavar="N", type=int, dest="max_completion_length", help="of a rollout (default: 1024)"
    )
    parser.add_argument(
        "--micro-batch", metavar="N", type=int, help="rollouts of one backward pass: fewer take less memory"
    )
    parser.add_argument("--learning-rate", metavar="RATE", type=float, help="of the optimizer (default: 2e-5)")
    parser.add_argument("--beta", metavar="WEIGHT", type=float, help="weight of the KL penalty (default: 0.001)")
    parser.add_argument("--lora-rank", metavar="N", type=int, help="of the adapter (default: 16)")
    parser.add_argument("--stop", choices=("gap", "reward"), help="end when there is nothing more to learn")
    parser.add_argument("--held-back", metavar="N", type=int, help="prompts kept for the checks of --stop")
    parser.add_argument(
        "--judge-wait", metavar="SECONDS", type=float, help="seconds a judge that is down is waited for (default: 600)"
    )
    parser.add_argument(
        "--seed", metavar="N", type=int, help="of rollouts, and of which questions are drawn (default: 0)"
    )
    parser.add_argument("--run", metavar="FOLDER", dest="folder", help="keep everything here, and go on from there")
    parser.add_argument("--budget-usd", metavar="USD", type=float, help="stop before spending more, in US dollars")
    parser.add_argument("--save", metavar="FOLDER", help="write the merged model here at the end")

    demo = add_command(
        commands,
        "demo-train",
        _demo,
        summary="watch the embedded model learn times tables from its own votes, on the CPU",
        description="Trains the embedded model on times tables without labels, then compares before and after.",
        examples="""
            catlite demo-train
            catlite demo-train --steps 8 --run runs/demo-train
        """,
    )
    demo.add_argument("--steps", metavar="N", type=int, default=DEMO["steps"], help="at most (default: %(default)s)")
    demo.add_argument("--seed", metavar="N", type=int, default=0)
    demo.add_argument("--run", metavar="FOLDER", dest="folder", help="keep everything here, and go on from there")


def _train(arguments: argparse.Namespace) -> int:
    names = (
        "steps",
        "prompts_per_step",
        "num_generations",
        "max_completion_length",
        "learning_rate",
        "beta",
        "lora_rank",
        "stop",
        "held_back",
        "judge_wait",
        "seed",
    )
    # What was typed is checked before a task or a model is fetched.
    check_names([arguments.estimator])
    judge = _judge(arguments)
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    micro = arguments.micro_batch
    config = catlite.TrainConfig(**given, trl={} if micro is None else {"per_device_train_batch_size": micro})
    task = _task(arguments)
    policy = catlite.LocalModel(arguments.policy, backend=arguments.backend, load_in_4bit=arguments.load_in_4bit)
    try:
        trained = _training(
            task,
            policy,
            estimator=_estimator(arguments.estimator, policy, config),
            reward=None if judge is None else catlite.RubricReward(policy.frozen(), judge),
            config=config,
            run=arguments.folder,
            budget=None if arguments.budget_usd is None else catlite.Budget(usd=arguments.budget_usd),
        )
    finally:
        if judge is not None:
            judge.close()
    if trained.complete:
        print(trained)
    if arguments.save:
        print(f"Merged model: {trained.merge_and_save(arguments.save)}")
    print(trained.serving())
    return _exit_code(trained)


def _training(*given: Any, **named: Any) -> catlite.TrainingRun:
    """`catlite.train`, without its warning: that a run was given up is the last line here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HaltedWarning)
        return catlite.train(*given, **named)


def _exit_code(trained: catlite.TrainingRun) -> int:
    """1 for a run that was given up, whose reason is printed last, with our options for the settings it names."""
    if trained.complete:
        return 0
    reason = str(trained)
    for setting, option in _OPTIONS.items():
        reason = reason.replace(setting, option)
    print(f"\nwarning: {reason}")
    return 1


def _judge(arguments: argparse.Namespace) -> catlite.Endpoint | None:
    if arguments.reward == "answer":
        return None
    if arguments.judge is None:
        raise ConfigError("--reward rubric needs --judge: a model that is not the policy, such as gpt-4o-mini")
    return catlite.Endpoint(arguments.judge, base_url=arguments.base_url, max_tokens=512)


def _estimator(name: str, policy: catlite.LocalModel, config: catlite.TrainConfig) -> Estimator:
    from catlite.training.config import rollout_sampling

    if name == "min-perplexity":  # the trainer's rollouts come without log-probabilities
        return catlite.MinPerplexity(policy.frozen())
    if name == "anchored-vote":  # the anchor's rollouts count beside the policy's, so they are sampled alike
        alike = rollout_sampling(config, policy.path, policy.sampling)
        return catlite.AnchoredVote(policy.frozen(), max_tokens=config.max_completion_length, sampling=alike)
    return ESTIMATORS[name](policy.frozen(), config.max_completion_length)


def _task(arguments: argparse.Namespace) -> Task:
    draw, mine = drawn(arguments), own(arguments)
    if arguments.task not in _TASKS:
        return catlite.from_records(arguments.task, **mine, **draw)
    refuse_own(arguments.task, mine)
    if arguments.task == "times_tables":
        return catlite.times_tables(**draw)
    if arguments.task == "healthbench":
        return catlite.healthbench(path=arguments.path, **draw)
    known = {"gsm8k": catlite.gsm8k, "math500": catlite.math500}
    return known[arguments.task](arguments.path, **draw)


def _demo(arguments: argparse.Namespace) -> int:
    from catlite.tasks.times_tables import WORKED_SYNTHESES

    started = time.monotonic()
    questions = catlite.times_tables(64, arguments.seed)
    task = Task("times_tables", tuple(replace(one, answer=None) for one in questions))
    config = catlite.TrainConfig(**{**DEMO, "steps": arguments.steps, "seed": arguments.seed, "stop": "gap"})
    print(
        "Test-time RL on times tables, on the embedded model (SmolLM2, 135M parameters, on this machine's CPU). 48\n"
        "questions, 6 a step, 8 rollouts each; the reward is agreement with the vote of these and 16 rollouts of the\n"
        f"initial model. No answers are used. At most {config.steps} steps of 10 to 30 s on two cores; 16 further "
        "questions tell\nwhen to stop.\n",
        flush=True,
    )
    policy = catlite.LocalModel("local")
    trained = _training(task, policy, estimator=demo_estimator(policy), config=config, run=arguments.folder)
    print(f"{trained}\n")
    synthesis = catlite.Synthesis(trained.initial, max_tokens=32, worked=WORKED_SYNTHESES)
    names = trained_on(task, config)
    compared = Task("times_tables", tuple(one for one in questions if one.id in names)[:_COMPARED])
    print(
        catlite.compare(
            trained.initial, trained.policy, compared, synthesis=synthesis, seed=1, temperature=1.0, max_tokens=16
        )
    )
    print(
        f"\n{time.monotonic() - started:.0f} s, and no label was used. What this is: mostly sharpening. Samples come "
        "to agree, so one of them is nearly what\neight were; where the vote was wrong, that is learned, too. Seeds "
        "differ (docs/training.md has three): compare\nthe single sample after training with greedy decoding and the "
        "majority before it, not with itself alone."
    )
    return _exit_code(trained)


def demo_estimator(policy: catlite.LocalModel) -> Estimator:
    """The references of demo-train, and of its benchmark."""
    return catlite.AnchoredVote(policy.frozen(), max_tokens=DEMO["max_completion_length"])


def trained_on(task: Task, config: catlite.TrainConfig) -> set[str]:
    """Ids of the questions that are not held back."""
    from catlite.training.examples import named, split

    return {name for name, _ in split(named(task), None, config)[0]}
