"""GRPO without labels (arXiv 2509.14234 §3.3, Algorithm 1) over stock TRL: rollouts → reference → rewards → a step.

The policy is trained with LoRA; with the adapter off the same weights are the frozen anchor and the KL's reference, so
there is no second copy. TRL computes the loss and steps; what is ours is how rollouts are drawn and a group's prompt is
read (where TRL lets us), the reward, the checks and the way back after an interruption. Left out: several devices,
training all weights, other losses than the paper's (TRL has them: `trl={"loss_type": …}`).
"""

from __future__ import annotations

import dataclasses
import random
import time
import warnings
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from catlite import concurrency
from catlite.coerce import as_task, check_estimator, check_reward, check_settings
from catlite.data import Estimator, Example, Prompt, Reward, Task
from catlite.errors import ConfigError, DataError, HaltedWarning
from catlite.models.local.engine import naming_what_to_lower
from catlite.models.local.model import LocalModel
from catlite.preflight import check_task
from catlite.references.synthesis import Synthesis
from catlite.rewards.answer_match import AnswerMatch
from catlite.rewards.protocol import warn_own_judge
from catlite.runs.budget import Budget
from catlite.runs.session import open_run
from catlite.training import lora
from catlite.training.checks import Check, check, gap_says_stop, reward_says_stop
from catlite.training.config import TrainConfig, check_warm, rollout_sampling
from catlite.training.folder import Folder, digest_of
from catlite.training.reward import ID, Batch, Rewarder, named, reward_function
from catlite.training.run import TrainingRun, whereabouts
from catlite.training.trl.plain import plain_head
from catlite.training.trl.rollout_func import rollout_func
from catlite.training.trl.shared_prompt import reading_prompts_once
from catlite.training.view import View
from catlite.training.watch import Halt, Watch, as_callback

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
        ModelError: for a model whose scores are no numbers.
        OutOfMemory: with the setting to lower.
        MissingExtra: without catlite[train].

    Example:
        >>> trained = catlite.train(catlite.math500(limit=100), "Qwen/Qwen3-1.7B", run="runs/math")
        >>> trained.to_frame()[["step", "cat/reward"]]
    """
    config = TrainConfig() if config is None else config
    check_settings(config, TrainConfig)
    if estimator is not None:
        check_estimator(estimator)
    if reward is not None:
        check_reward(reward)
    task = as_task(task, "train", answer_format=answer_format, instead=None)
    if validation is not None:
        validation = as_task(validation, "train", answer_format=answer_format, instead=None)
    examples = named(task)
    if not examples:
        raise DataError(f"the task {task.name!r} has no examples to train on")
    reward = reward or _default_reward(task)
    kept, held = split(examples, validation, config)
    check_task(estimator, reward, [one for _, one in kept])
    lora.libraries()
    local = lora.opened(policy)
    sampling = rollout_sampling(config, local.path, local.sampling)
    check_warm(sampling, repr(local))
    with lora.unchanged_when_refused(local):
        local.weights.template = dict(sampling.get("chat_template_kwargs") or {})
        aside = [(str(one.id), one) for one in held]
        lora.all_fit(local, [*kept, *aside], config.max_completion_length)
        warn_own_judge(local, reward)
        anchored = estimator or Synthesis(local.frozen(), max_tokens=config.max_completion_length)
        length = "max_completion_length" if estimator is None else "the estimator's max_tokens"
        rewarder = Rewarder(anchored, reward, config.judge_wait, "judge_wait in TrainConfig", length)
        folder = Folder(lora.run_folder(run, task.name))
        with open_run(folder.path, budget):
            asked = {
                "model": lora.weights_of(local),
                "questions": digest_of([*kept, *(("held back", one) for one in held)]),
                "estimator": lora.said(anchored),
                "reward": lora.said(reward),
                "sampling": sampling,
                "config": config.as_dict(),
            }
            manifest = folder.open(asked, {"policy": whereabouts(local)})
            done = manifest.get("outcome", {})
            # Fewer steps than were asked for: it was stopped, and would be again.
            stopped = bool(done) and done["steps"] < manifest["config"]["steps"]
            if done.get("complete") and (done["steps"] >= config.steps or stopped):
                return lora.finished(folder, local, done)
            lora.from_the_base(local, folder.path)
            with folder.forgotten_when_refused():
                return _Training(task, local, rewarder, kept, held, config, folder, asked).run(progress)


@dataclasses.dataclass
class _Training:
    """One call of `train`, its arguments checked."""

    task: Task
    policy: LocalModel
    rewarder: Rewarder
    examples: list[tuple[str, Example]]
    held: list[Example]
    config: TrainConfig
    folder: Folder
    asked: dict[str, Any]

    @property
    def sampling(self) -> dict[str, Any]:
        """How rollouts are sampled, by the trainer and in checks."""
        return rollout_sampling(self.config, self.policy.path, self.policy.sampling)

    def run(self, progress: bool | None) -> TrainingRun:
        """Trains to the end, or as far as it goes."""
        stop = {"gap": gap_says_stop, "reward": reward_says_stop, None: None}[self.config.stop]
        best = self._keep_best if self.held else None
        view = View(self.config.steps, progress)
        watch = Watch(self.folder, view, self._check if self.held else None, stop, self.config.check_every, best)
        self.folder.remove_torn()
        last = self.folder.last_checkpoint()
        rows = self.folder.read_metrics(_step_of(last)) if last else []
        self.folder.write_metrics(rows)
        watch.resume(rows)
        lower = _LOWER_UNSLOTH if self.policy.backend == "unsloth" else _LOWER
        with lora.quietly(), plain_head():
            try:
                with naming_what_to_lower("training", lower), view.stopping(self.folder.path):
                    if last is not None and stop is not None and (why := stop(watch.history)) is not None:
                        # A kill came between this checkpoint and the end.
                        lora.load_adapter(self.policy, last)
                        steps, halted, watch.ended = _step_of(last), None, why
                    else:
                        steps, halted = self._go(watch, last)
            except BaseException:
                view.close("interrupted")
                raise
            self.policy.save_adapter(self.folder.path / "adapter")
        ended = halted or watch.ended or f"all {steps} steps were made"
        view.close("given up" if halted else ended)
        if self.config.stop == "reward" and halted is None and watch.best is not None:
            self._take_best(watch.best.step)
        best_step = None if watch.best is None else watch.best.step
        outcome: dict[str, Any] = {"steps": steps, "ended": ended, "complete": halted is None, "best_step": best_step}
        self.folder.finish(self.asked, outcome)
        self.folder.forget_all_but(best_step)
        if halted is not None:
            warnings.warn(ended, HaltedWarning, stacklevel=3)
        return TrainingRun(self.folder.path, self.policy, metrics=tuple(watch.rows), **outcome)

    def _go(self, watch: Watch, last: Path | None) -> tuple[int, str | None]:
        """Runs TRL's loop: the step it came to, and why it was halted, or None."""
        trainer = self._trainer(watch)
        try:
            # Unsloth has a loss of its own.
            with nullcontext() if self.policy.backend == "unsloth" else reading_prompts_once(trainer):
                trainer.train(resume_from_checkpoint=str(last) if last else None)
        except Halt as halt:
            watch.go_back()
            trainer.model.zero_grad(set_to_none=True)
            step = trainer.state.global_step
            if step > _step_of(self.folder.last_checkpoint()):
                trainer._save_checkpoint(trainer.model, None)  # noqa: SLF001 - its public way is a whole step
            return step, self._given_up(step, str(halt), passes=watch.passes)
        return trainer.state.global_step, None

    def _given_up(self, step: int, why: str, *, passes: bool) -> str:
        """In words, that the step after `step` was given up, and what to do."""
        if passes:
            remedy = f"the same call with run={str(self.folder.path)!r} goes on from there"
        else:
            remedy = (
                "with these settings it would be so again. Mend what is said here, or try another sampling or "
                "max_completion_length, in a new run"
            )
        return f"step {step + 1} was given up: {why.rstrip('.')}. The weights are those of step {step}; {remedy}"

    def _trainer(self, watch: Watch) -> Any:
        """TRL's trainer, with our reward and our callback."""
        if self.policy.backend == "unsloth":
            import unsloth  # noqa: F401 - before trl, which it rewrites
        import torch
        from datasets import Dataset
        from trl import GRPOConfig, GRPOTrainer

        on_gpu = torch.cuda.is_available()
        with lora.refusing_as_ours():
            arguments = lora.on_one_device(GRPOConfig(**self._settings(GRPOConfig, on_gpu=on_gpu)))
        model, adapter = lora.with_adapter(
            self.policy, self.config.lora_rank, self.config.lora_layers, self.config.seed, on_gpu=on_gpu
        )
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=self._reward(watch),
            args=arguments,
            train_dataset=Dataset.from_list([{"prompt": one.messages, ID: name} for name, one in self._order()]),
            processing_class=self.policy.tokenizer,
            peft_config=adapter,
            **self._generation(watch),
        )
        lora.take_over(trainer, self.policy, as_callback(watch))
        return trainer

    def _generation(self, watch: Watch) -> dict[str, Any]:
        """Who generates: our engine, or nothing said where TRL does."""
        generate = rollout_func(self.policy, self.config, watch.generated)
        return {} if generate is None else {"rollout_func": generate}

    def _order(self) -> list[tuple[str, Example]]:
        """The prompts of all steps, one after the other: every epoch in an order of its own, and no step over its end.

        TRL shuffles anew for each epoch, but goes on after a resume as if it were in the first.
        """
        shuffler = random.Random(self.config.seed)  # noqa: S311 - an order of questions, no secret
        size = self.config.prompts_per_step
        order: list[tuple[str, Example]] = []
        while len(order) < self.config.steps * size:
            epoch = list(self.examples)
            shuffler.shuffle(epoch)
            order += epoch[: len(epoch) // size * size]
        return order[: self.config.steps * size]

    def _settings(self, kind: type, *, on_gpu: bool) -> dict[str, Any]:
        """The paper's GRPO in TRL's words."""
        config = self.config
        # As many rollouts as a group has, unless the user knows better; gradients are summed until the step is whole.
        micro = config.trl.get("per_device_train_batch_size", config.num_generations)
        if not isinstance(micro, int) or micro < 1 or config.sequences % micro:
            raise ConfigError(
                f"per_device_train_batch_size={micro!r} does not divide the {config.sequences} rollouts of a step "
                f"(prompts_per_step={config.prompts_per_step} × num_generations={config.num_generations}): take a "
                "divisor, such as num_generations"
            )
        ours = {
            "output_dir": str(self.folder.checkpoints),
            "max_steps": config.steps,
            "per_device_train_batch_size": micro,
            "gradient_accumulation_steps": config.sequences // micro,
            "num_generations": config.num_generations,
            "max_completion_length": config.max_completion_length,
            "learning_rate": config.learning_rate,
            "lr_scheduler_type": "constant",
            "warmup_steps": 0,
            "beta": config.beta,
            "epsilon": 0.2,
            "loss_type": "grpo",
            "scale_rewards": "group",
            "num_iterations": 1,
            "max_prompt_length": None,  # older TRL (0.22) cuts prompts at 512 tokens
            **lora.precision(self.policy, on_gpu=on_gpu),
            "use_cpu": not on_gpu,  # not Apple's GPU either, on which nothing of this was tried
            "gradient_checkpointing": on_gpu,
            "logging_steps": 1,
            "save_strategy": "steps",
            "save_steps": config.check_every,
            "save_total_limit": 2,
            "report_to": "none",
            "disable_tqdm": True,
            "seed": config.seed,
            "dataloader_pin_memory": on_gpu,
            "shuffle_dataset": False,
            **self.sampling,
        }
        return lora.trl_settings(kind, ours, config.trl)

    def _reward(self, watch: Watch) -> Callable[..., list[float | None]]:
        """What TRL calls, telling `watch` what came."""
        config = self.config
        cat = reward_function(
            self.rewarder,
            examples=dict(self.examples),
            sizes=(config.num_generations, config.trl.get("num_generations_eval")),
            cut_at=(config.max_completion_length, self.policy.weights.engine.ends),
        )

        def rewarded(**given: Any) -> list[float | None]:
            generated = time.monotonic()
            found = cat(**given)
            batch: Batch = cat.last  # type: ignore[attr-defined]
            watch.rewarded(batch, generated)
            return found

        rewarded.__name__ = "cat"
        return rewarded

    def _check(self, step: int) -> Check | None:
        sampling = {**self.sampling, "max_tokens": self.config.max_completion_length}
        seed = 1_000_003 * (self.config.seed + 1) + step
        return concurrency.run(
            check(self.policy, self.held, self.rewarder, self.config.num_generations, step, seed=seed, **sampling)
        )

    def _keep_best(self, step: int) -> None:
        self.policy.save_adapter(self.folder.best(step))

    def _take_best(self, step: int) -> None:
        """Puts the best adapter in place of the last."""
        lora.load_adapter(self.policy, self.folder.best(step))
        self.policy.save_adapter(self.folder.path / "adapter")


def _default_reward(task: Task) -> Reward:
    if task.verifiable:
        return AnswerMatch()
    raise ConfigError(
        f"the task {task.name!r} is open-ended, so no answers can be compared: pass reward=RubricReward(proposer, "
        "judge) with a judge that is not the policy (a hosted model, say), or another reward"
    )


def split(
    examples: list[tuple[str, Example]], validation: Task | None, config: TrainConfig
) -> tuple[list[tuple[str, Example]], list[Example]]:
    """(examples to train on, examples for the checks), drawn by the seed."""
    if validation is not None:
        kept, held = examples, list(validation)
    else:
        order = list(range(len(examples)))
        random.Random(config.seed).shuffle(order)  # noqa: S311 - a draw of questions, no secret
        away = set(order[: config.held_back])
        kept = [one for position, one in enumerate(examples) if position not in away]
        # Its answer is gold, and a check without `validation` is one without labels.
        held = [dataclasses.replace(examples[position][1], answer=None) for position in sorted(away)]
    if config.stop is not None and len(held) < 2:
        raise ConfigError(f"stop={config.stop!r} needs prompts to check on: set held_back=16, or pass validation=")
    if len(kept) < config.prompts_per_step:
        without = f", {config.held_back} of them held back" if config.held_back and validation is None else ""
        raise ConfigError(
            f"{len(examples)} examples{without}: too few for a step of prompts_per_step={config.prompts_per_step} "
            f"different prompts. Use prompts_per_step={max(1, len(kept))} or fewer"
            + ("" if kept else ", and hold fewer back")
        )
    return kept, held


def _step_of(checkpoint: Path | None) -> int:
    return -1 if checkpoint is None else int(checkpoint.name.rpartition("-")[2])
