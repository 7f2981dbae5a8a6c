"""GRPO without labels (arXiv 2509.14234 §3.3, Algorithm 1) over TRL: rollouts → reference → rewards → a step.

The policy is trained with LoRA; with the adapter off the same weights are the frozen anchor and the KL's reference, so
there is no second copy. TRL computes the loss and steps; trl/trainer.py says what differs. Several processes share a
step (trl/ranks.py). Left out: a model that is split over devices, training all weights, other losses than the paper's
(TRL has them: `trl={"loss_type": …}`).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from catlite.data import Estimator, Example, Prompt, Reward, Task
from catlite.models.local.model import LocalModel
from catlite.preflight import check_parts, check_stop, check_task, warn_of_collapse
from catlite.runs.budget import Budget
from catlite.training.checks import Checks, make_checks
from catlite.training.config import TrainConfig, as_config, check_warm, describe
from catlite.training.examples import Named, digest_of, split, task_of
from catlite.training.loop import Loop, open_folder
from catlite.training.lora import TrainablePolicy
from catlite.training.rewarder import Rewarder, default_reward, training_rewarder
from catlite.training.run import TrainingRun
from catlite.training.trl.build import grpo_trainer

_LOWER = (
    'trl={"per_device_train_batch_size": …}, with which the same run goes on, then max_completion_length or '
    "num_generations, in a new one"
)
_LOWER_UNSLOTH = f"prompts_per_step (Unsloth generates a whole step's rollouts at once), in a new run, or {_LOWER}"


def train(
    task: str | Task | Iterable[Example | Prompt],
    policy: str | Path | LocalModel,
    *,
    estimator: Estimator | None = None,
    reward: Reward | None = None,
    answer_format: str | None = None,
    validation: str | Task | Iterable[Example | Prompt] | None = None,
    config: TrainConfig | None = None,
    run: str | Path | None = None,
    budget: Budget | None = None,
    progress: bool | None = None,
) -> TrainingRun:
    """Train a model on a task's prompts by GRPO, without labels: gold answers are not looked at (arXiv 2509.14234 §3).

    A group without a reference or a reward abstains, is counted in "cat/abstained", and training goes on. Training that
    cannot go on (a judge down for longer than `config.judge_wait`, no group with a reward in a whole step, a budget
    reached) is halted with the weights and the checkpoint of the step before: `.complete` is False, and a HaltedWarning
    says why.

    Args:
        task: a Task, Examples or prompts, or the name of a task that catlite knows ("times_tables"); rows of a file or
            a DataFrame become a Task through `from_records`.
        policy: a LocalModel, which is trained in place, or what LocalModel takes.
        estimator: what makes a reference of a group; None is Synthesis by the policy's own frozen weights.
        reward: None is AnswerMatch where the task has answer formats; an open-ended task wants one, such as
            RubricReward with a judge that is not the policy.
        answer_format: how rollouts write a final answer, as in `synthesize`, for the examples that do not say it.
        validation: prompts for the checks, scored against their gold answers where they have any; None keeps
            `config.held_back` prompts of the task for that, checked without labels.
        config: settings of the training; None is TrainConfig().
        run: a folder in which replies, checkpoints and metrics are kept; the same call goes on from there after
            success, Ctrl-C or `kill -9`, and pays for nothing twice. None makes a temporary one.
        budget: a hard cap on what estimator and reward may spend; None for none.
        progress: shows each step; None where a person seems to look.

    Returns:
        The TrainingRun, with the adapter's folder, the metrics by step, and why it ended.

    Raises:
        ConfigError: for wrong arguments, for what leaves every group without a reward, before the first step, or for a
            run of another model or setting; then `policy` and the run's folder are as before.
        DataError: for a task without examples.
        EndpointUnavailable: when the vLLM server of the policy (`fast=`) does not answer before the first step.
        ModelError: for a model whose scores are not numbers (NaN).
        OutOfMemory: with the setting to lower.
        MissingExtra: without catlite[train].

    Example:
        >>> trained = catlite.train(catlite.math500(limit=100), "Qwen/Qwen3-1.7B", run="runs/math")
        >>> trained.to_frame()["cat/reward"]
    """
    config = as_config(config, TrainConfig)
    check_parts(estimator, reward)
    task, examples = task_of(task, "train", answer_format)
    reward = reward or default_reward(task)
    kept, held = split(examples, validation, answer_format, config)
    check_task(estimator, reward, [example for _, example in kept])
    check_stop(config.stop, reward, held)
    if not held and config.stop is None:
        warn_of_collapse(reward, len(kept))
    trainable = TrainablePolicy(policy, config)
    check_warm(trainable.sampling, repr(trainable.local))
    with trainable.prepared():
        checked = [(example.id or f"{at} of those to check", example) for at, example in enumerate(held)]
        trainable.check_room([*kept, *checked])
        rewarder = training_rewarder(trainable, estimator, reward)
        checks = make_checks(trainable, held, rewarder)
        with open_folder(run, task.name, budget) as folder:
            manifest = {
                "questions": digest_of([*kept, *(("held back", example) for example in held)]),
                "estimator": describe(rewarder.estimator),
                "reward": describe(reward),
                "sampling": trainable.sampling,
                "config": config.as_dict(),
            }
            loop = Loop(trainable, folder, manifest)
            # Fewer steps than were asked for: it was stopped, and would be again.
            stopped = bool(loop.outcome) and loop.outcome["steps"] < loop.before["config"]["steps"]
            if loop.outcome.get("complete") and (loop.outcome["steps"] >= config.steps or stopped):
                return loop.finished()
            with loop.begun():
                return _train(loop, rewarder, kept, checks, progress)


def _train(
    loop: Loop[TrainConfig], rewarder: Rewarder, examples: Named, checks: Checks | None, progress: bool | None
) -> TrainingRun:
    """Train to the end, or as far as it goes."""
    policy, config, folder = loop.policy, loop.policy.config, loop.folder
    watching: dict[str, Any] = {"every": config.check_every, "stops_by_flips": config.stop == "flips"}
    if checks is not None:

        def keep_best(step: int) -> None:
            policy.local.save_adapter(folder.best(step))

        watching |= {"check": checks, "says_stop": checks.stops, "keep_best": keep_best, "best_by": checks.best_by}
    watch = loop.watch_steps(config.steps, progress, **watching)
    halted: str | None = None
    with loop.training(_LOWER_UNSLOTH if policy.local.backend == "unsloth" else _LOWER):
        if loop.last is not None:
            watch.ended = watch.reason_to_stop()
        if loop.last is not None and watch.ended is not None:
            # A kill came between this checkpoint and the end.
            policy.load_adapter(loop.last)
            steps = loop.saved_step
        else:
            trainer = grpo_trainer(policy, rewarder, examples, watch)
            halted = trainer.train_from(loop.last)
            steps = trainer.state.global_step
            if halted is not None and steps > loop.saved_step:
                trainer.save_now()
    ended = watch.ended or f"all {steps} steps were made"
    if halted is not None:
        remedy = (
            f"the same call with run={str(folder.path)!r} goes on from there"
            if watch.passes
            else "with these settings it would be so again. Mend what is said here, or try another sampling or "
            "max_completion_length, in a new run"
        )
        ended = f"step {steps + 1} was given up: {halted.rstrip('.')}. The weights are those of step {steps}; {remedy}"
    best_step = None if watch.best is None else watch.best.step
    if config.stop in ("reward", "gold") and halted is None and best_step is not None:
        policy.load_adapter(folder.best(best_step))
        loop.save_adapter()
    return loop.finish(steps, ended, best_step, complete=halted is None)
