"""`catlite train`: GRPO without labels on a task."""

from __future__ import annotations

import argparse
import warnings
from dataclasses import fields
from pathlib import Path
from typing import Any

import catlite
from catlite.cli import options
from catlite.cli.options import SUCH_AS, Gather, add_option
from catlite.data import Estimator, Reward, Task
from catlite.errors import ConfigError, HaltedWarning
from catlite.rewards.controls import FormatReward, RandomReward
from catlite.training.trl import ranks

_REWARDS = ("answer", "vote-share", "rubric")
_CONTROLS = ("random", "format")
# What a reason says, and what it is called here.
_OPTIONS = {
    "judge_wait in TrainConfig": "--judge-wait",
    "max_completion_length": "--max-tokens",
    "the estimator's max_tokens": "--max-tokens",
    "the same call with run=": "the same command with --run ",
}


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(
        commands,
        "train",
        _train,
        summary="train a model on a task's prompts, without labels",
        description="GRPO with LoRA: rollouts, a reference from each group, rewards against it. No labels are used.",
        examples="""
            catlite train times_tables --policy local --steps 20 --run runs/tables
            catlite train math500 --policy Qwen/Qwen3-1.7B --limit 100 --stop gap
            catlite train math500 --policy Qwen/Qwen3-1.7B --limit 100 --control random
            catlite train questions.csv --prompt question --policy Qwen/Qwen3-1.7B \\
                --reward rubric --judge gpt-4o-mini --run runs/questions
        """,
    )
    options.add_task(parser)
    options.add_own(parser.add_argument_group("a file of your own"))
    options.add_limit(parser)
    policy = 'a folder, a name on the Hugging Face hub, or "local"'
    add_option(parser, "--policy", "NAME", policy, default="local", action=options.Once)
    parser.add_argument(
        "--backend",
        default="auto",
        choices=("auto", "transformers", "unsloth"),
        help="the library that trains (default: auto)",
    )
    parser.add_argument(
        "--load-in-4bit", action="store_true", help="load the weights in 4 bits, for a GPU with little memory"
    )
    default = "default: synthesis; with --control or vote-share majority, where the task has answers"
    options.add_estimator(parser, None, default)
    parser.add_argument(
        "--reward",
        choices=_REWARDS,
        help="answer: agreement with the reference (default); vote-share: the share of its group that has a rollout's "
        "answer; rubric: criteria of the reference, by a --judge",
    )
    parser.add_argument(
        "--control",
        choices=_CONTROLS,
        help="a reward that knows nothing of what is right, to see what the other was worth: random tosses a coin by "
        "--seed, format rewards any answer that can be read",
    )
    named = "the model that judges rubrics: a name your endpoint serves, or provider/name"
    add_option(parser, "--judge", "MODEL", named, action=options.Once)
    add_option(parser, "--base-url", "URL", f"where the judge is served, {SUCH_AS}", action=Gather)
    add_option(parser, "--steps", "N", "the most steps of the optimizer (default: 100)")
    add_option(parser, "--prompts-per-step", "N", "questions, and so groups, of one step (default: 8)")
    add_option(parser, "--n", "N", "rollouts of each question (default: 8)", dest="num_generations")
    longest = "the most tokens of a rollout (default: 1024)"
    add_option(parser, "--max-tokens", "N", longest, dest="max_completion_length")
    add_option(parser, "--micro-batch", "N", "rollouts of one backward pass: fewer take less memory")
    add_option(parser, "--learning-rate", "RATE", "learning rate of the optimizer (default: 2e-5)")
    add_option(parser, "--beta", "WEIGHT", "weight of the KL penalty (default: 0.001)")
    add_option(parser, "--lora-rank", "N", "rank of the LoRA adapter (default: 16)")
    parser.add_argument("--stop", choices=("gap", "reward", "flips"), help="end when there is nothing more to learn")
    add_option(parser, "--held-back", "N", "prompts kept for the checks of --stop")
    add_option(parser, "--judge-wait", "SECONDS", "how many seconds to wait for a judge that is down (default: 600)")
    add_option(parser, "--seed", "N", "seed of the rollouts, and of the questions of --limit (default: 0)")
    add_option(parser, "--run", "FOLDER", "keep everything in this folder, and go on from there")
    add_option(parser, "--budget-usd", "USD", "stop before spending more US dollars")
    add_option(parser, "--save", "FOLDER", "write the merged model to this folder at the end")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the requests, tokens and dollars to expect, and end"
    )


def _train(arguments: argparse.Namespace) -> int:
    # What was typed is checked before a task or a model is fetched.
    options.check_names([] if arguments.estimator is None else [arguments.estimator])
    judge = _judge(arguments)
    own = {field.name for field in fields(catlite.TrainConfig)}
    configured = {name: value for name, value in vars(arguments).items() if name in own and value is not None}
    micro = arguments.micro_batch
    config = catlite.TrainConfig(**configured, trl={} if micro is None else {"per_device_train_batch_size": micro})
    task = options.read_task(arguments, options.own(arguments))
    policy = catlite.LocalModel(arguments.policy, backend=arguments.backend, load_in_4bit=arguments.load_in_4bit)
    if arguments.save:
        policy.weights.check_merged(Path(arguments.save).expanduser())
    settings: dict[str, Any] = {
        "estimator": _estimator(arguments.estimator or _usual_estimator(arguments, task), policy, config),
        "reward": _reward(arguments, policy, judge),
        "config": config,
        "run": arguments.run,
        "budget": None if arguments.budget_usd is None else catlite.Budget(usd=arguments.budget_usd),
    }
    try:
        if arguments.dry_run:
            return options.print_cost(arguments, catlite.train, task, policy, **settings)
        trained = run_training(task, policy, **settings)
    finally:
        if judge is not None:
            judge.close()
    if ranks.rank() > 0:  # of several processes the first tells, and saves
        return int(not trained.complete)
    if trained.complete:
        print(trained)
    if arguments.save:
        print(f"Merged model: {trained.merge_and_save(arguments.save)}")
    print(trained.serving())
    return exit_code(trained)


def run_training(*given: Any, **named: Any) -> catlite.TrainingRun:
    """`catlite.train`, without its warning: that a run was given up is the last line here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HaltedWarning)
        return catlite.train(*given, **named)


def exit_code(trained: catlite.TrainingRun) -> int:
    """1 for a run that was given up, whose reason is printed last, with our options for the settings it names."""
    if trained.complete:
        return 0
    reason = str(trained)
    for setting, option in _OPTIONS.items():
        reason = reason.replace(setting, option)
    print(f"\nwarning: {reason}")
    return 1


def _judge(arguments: argparse.Namespace) -> catlite.Endpoint | None:
    if arguments.control is not None and (arguments.reward, arguments.judge) != (None, None):
        raise ConfigError(f"--control {arguments.control} is the reward: leave out --reward and --judge")
    if arguments.reward != "rubric":
        if arguments.judge is not None:
            raise ConfigError("--judge goes with --reward rubric: final answers are compared without one")
        return None
    if arguments.judge is None:
        raise ConfigError("--reward rubric needs --judge: a model that is not the policy, such as gpt-4o-mini")
    return catlite.Endpoint(arguments.judge, base_url=arguments.base_url, max_tokens=512)


def _reward(arguments: argparse.Namespace, policy: catlite.LocalModel, judge: catlite.Endpoint | None) -> Reward | None:
    if arguments.control is not None:
        return RandomReward(arguments.seed or 0) if arguments.control == "random" else FormatReward()
    if arguments.reward == "vote-share":
        return catlite.VoteShare()
    return None if judge is None else catlite.RubricReward(policy.frozen(), judge)


def _usual_estimator(arguments: argparse.Namespace, task: Task) -> str:
    """Choose the default: a control and the share of votes need no reference, so one that costs nothing will do."""
    free = arguments.control is not None or arguments.reward == "vote-share"
    return "majority" if free and task.verifiable else "synthesis"


def _estimator(name: str, policy: catlite.LocalModel, config: catlite.TrainConfig) -> Estimator:
    from catlite.training.config import rollout_sampling

    if name == "min-perplexity":  # the trainer's rollouts come without log-probabilities
        return catlite.MinPerplexity(policy.frozen())
    if name == "anchored-vote":  # the anchor's rollouts count beside the policy's, so they are sampled alike
        alike = rollout_sampling(config, policy.path, policy.sampling)
        return catlite.AnchoredVote(policy.frozen(), max_tokens=config.max_completion_length, sampling=alike)
    return options.ESTIMATORS[name](policy.frozen(), config.max_completion_length)
