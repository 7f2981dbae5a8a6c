"""CaT-SFT, the paper's baseline (arXiv 2509.14234 §4.4): fine-tuning on references of the initial policy.

Rollouts and references come from the policy as it is, once; then TRL's SFT with LoRA, cosine schedule and early stop on
validation loss. Left out: filtering references; what has no reference is not trained on, and counted.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from catlite import concurrency
from catlite.coerce import as_task, check_estimator, check_settings
from catlite.data import Estimator, Example, Group, Prompt, Reference, Task
from catlite.errors import (
    CatliteError,
    ConfigError,
    DataError,
    EstimationError,
    GroupError,
    RequestRejected,
    StoreError,
    TrainingError,
)
from catlite.models.local.engine import naming_what_to_lower
from catlite.models.local.model import LocalModel
from catlite.preflight import check_task
from catlite.references.synthesis import Synthesis
from catlite.rollouts import is_hopeless, sample_group, under_way
from catlite.runs.budget import Budget
from catlite.runs.session import open_run
from catlite.training import lora
from catlite.training.config import SFTConfig, rollout_sampling
from catlite.training.folder import Folder, digest_of
from catlite.training.reward import named
from catlite.training.run import TrainingRun, whereabouts
from catlite.training.trl.plain import plain_head
from catlite.training.view import View
from catlite.training.watch import Watch, as_callback

_SPLIT = "by a hash of the id"  # how it was drawn what is validated on
_PATIENCE = 2  # validations without a lower loss, after which training stops


def sft(
    task: str | Task | Iterable[Example | Prompt],
    policy: str | Path | LocalModel,
    *,
    estimator: Estimator | None = None,
    answer_format: str | None = None,
    config: SFTConfig | None = None,
    run: str | Path | None = None,
    budget: Budget | None = None,
    progress: bool | None = None,
) -> TrainingRun:
    """Fine-tune a model on one reference per prompt of a task, made without labels before training begins.

    A reference that failed or was cut off is left out.

    Args:
        task: a Task, Examples or prompts, as in `train`.
        policy: a LocalModel, which is trained in place, or what LocalModel takes.
        estimator: what makes a reference of a group; None is Synthesis by the policy itself.
        answer_format: how rollouts write a final answer, as in `synthesize`, for the examples that do not say it.
        config: settings of the training; None is SFTConfig().
        run: a folder in which replies, checkpoints and metrics are kept; the same call goes on from there. None makes a
            temporary one.
        budget: a hard cap on what rollouts and references may cost; None for none.
        progress: shows each step; None where a person seems to look.

    Returns:
        The TrainingRun, with the adapter's folder and the metrics by step.

    Raises:
        ConfigError: for wrong arguments, or a run of another model or setting.
        DataError: for a task without examples.
        TrainingError: when no reference is left to train on.
        OutOfMemory: with the setting to lower.
        MissingExtra: without catlite[train].

    Example:
        >>> catlite.sft(catlite.times_tables(48), "local", estimator=catlite.MajorityVote(), run="runs/sft")
    """
    config = SFTConfig() if config is None else config
    check_settings(config, SFTConfig)
    if estimator is not None:
        check_estimator(estimator)
    task = as_task(task, "sft", answer_format=answer_format, instead=None)
    examples = named(task)
    if not examples:
        raise DataError(f"the task {task.name!r} has no examples to train on")
    lora.libraries()
    local = lora.opened(policy)
    told = rollout_sampling(config, local.path, local.sampling).get("chat_template_kwargs")
    check_task(estimator, None, [one for _, one in examples])
    with lora.unchanged_when_refused(local):
        local.weights.template = dict(told or {})
        lora.all_fit(local, examples, config.max_completion_length)
        estimating = estimator or Synthesis(local.frozen(), max_tokens=config.max_completion_length)
        folder = Folder(lora.run_folder(run, task.name))
        with open_run(folder.path, budget):
            asked = {
                "model": lora.weights_of(local),
                "questions": digest_of(examples),
                "estimator": lora.said(estimating),
                "method": "sft",
                "config": config.as_dict(),
            }
            manifest = folder.open(asked, {"policy": whereabouts(local), "split": _SPLIT})
            done = manifest.get("outcome", {})
            if done.get("complete"):
                return lora.finished(folder, local, done)
            if config.validation and manifest.get("split") != _SPLIT and folder.last_checkpoint() is not None:
                raise ConfigError(
                    f"run={str(folder.path)!r} was begun by an earlier catlite, which drew other references for "
                    "validation: what it was trained on would be validated on. Give this run another folder"
                )
            lora.from_the_base(local, folder.path)
            with folder.forgotten_when_refused():
                references = concurrency.run(_references(local, examples, estimating, config))
                good = [(one.group.example, one.text) for one in references if _why_not(one) is None]
                if not good:
                    why = _why_not(references[0])
                    raise TrainingError(f"none of {len(references)} prompts has a reference to train on: {why}")
                away = set_aside(examples, config)
                return _fit(local, good, away, len(references), config, folder, asked, progress)


def _why_not(reference: Reference) -> str | None:
    """Why `reference` cannot be trained on; None when it can."""
    if reference.error is not None:
        return reference.error
    if reference.truncated:
        return "it was cut off: raise max_completion_length"
    return None if reference.text.strip() else f"{reference.source} found no answer among the rollouts"


async def _references(
    policy: LocalModel, examples: list[tuple[str, Example]], estimator: Estimator, config: SFTConfig
) -> list[Reference]:
    """One for each example, failed ones included; a budget that is reached ends it."""
    sampling = rollout_sampling(config, policy.path, policy.sampling)
    sampling.setdefault("max_tokens", config.max_completion_length)
    initial = policy.frozen()  # which is what the policy is until it has been trained

    async def one(named_example: tuple[str, Example]) -> Reference:
        name, example = named_example
        hidden = dataclasses.replace(example, answer=None, id=name)
        group = Group(hidden, ())
        try:
            group = await sample_group(initial, hidden, config.num_generations, seed=config.seed, **sampling)
            return await estimator(group)
        except (ConfigError, StoreError):
            raise
        except CatliteError as error:
            # What one prompt is refused, by a filter say, is no matter of the others.
            if is_hopeless(error) or not isinstance(error, GroupError | EstimationError | RequestRejected):
                raise
            return Reference("", None, "none", group, error=str(error))

    return await concurrency.each(one, examples, under_way(policy))


def set_aside(examples: list[tuple[str, Example]], config: SFTConfig) -> set[str]:
    """Ids of the examples whose references are only validated on.

    By a hash of each id, or of the prompt where there is none, over all examples of the task: whether an example has
    a reference yet, and where it stands, moves no other one.
    """
    count = min(round(config.validation * len(examples)), len(examples) - 1)

    def draw(named_example: tuple[str, Example]) -> str:
        _, example = named_example
        known = json.dumps(example.messages) if example.id is None else example.id
        return hashlib.sha256(f"{config.seed}:{known}".encode()).hexdigest()

    return {name for name, _ in sorted(examples, key=draw)[:count]}


def _fit(
    policy: LocalModel,
    good: list[tuple[Example, str]],
    away: set[str],
    asked_for: int,
    config: SFTConfig,
    folder: Folder,
    asked: dict[str, Any],
    progress: bool | None,
) -> TrainingRun:
    kept = [pair for pair in good if pair[0].id not in away]
    aside = [pair for pair in good if pair[0].id in away]
    if not kept:
        raise TrainingError(
            f"only {len(aside)} of {asked_for} prompts have a reference, and all of these are set aside for "
            "validation: lower validation, or see why the others have none"
        )
    steps = config.epochs * -(-len(kept) // config.batch_size)
    view = View(steps, progress)
    watch = Watch(folder, view, None, None, steps, None)
    folder.remove_torn()
    last = folder.last_checkpoint()
    rows = folder.read_metrics(int(last.name.rpartition("-")[2])) if last else []
    folder.write_metrics(rows)
    watch.resume(rows)
    lower = 'trl={"per_device_train_batch_size": …}, then batch_size'
    with lora.quietly(), plain_head():
        try:
            with naming_what_to_lower("training", lower), view.stopping(folder.path):
                trainer = _trainer(policy, kept, aside, config, folder, watch)
                trainer.train(resume_from_checkpoint=str(last) if last else None)
        except BaseException:
            view.close("interrupted")
            raise
        policy.save_adapter(folder.path / "adapter")
    left = asked_for - len(good)
    steps = trainer.state.global_step
    best = trainer.state.best_global_step if aside else None
    ended = f"{steps} steps on {len(good)} references" + (f", {left} prompts had none" if left else "")
    outcome = {"steps": steps, "ended": ended, "complete": True, "best_step": best}
    view.close(ended)
    folder.finish(asked, outcome)
    return TrainingRun(folder.path, policy, metrics=tuple(watch.rows), **outcome)


def _trainer(
    policy: LocalModel,
    train: list[tuple[Example, str]],
    aside: list[tuple[Example, str]],
    config: SFTConfig,
    folder: Folder,
    watch: Watch,
) -> Any:
    if policy.backend == "unsloth":
        import unsloth  # noqa: F401 - before trl, which it rewrites
    import torch
    from datasets import Dataset
    from transformers import EarlyStoppingCallback
    from trl import SFTConfig as TRLConfig, SFTTrainer

    on_gpu = torch.cuda.is_available()
    batch = min(config.batch_size, len(train))
    micro = config.trl.get("per_device_train_batch_size") or max(one for one in range(1, 9) if batch % one == 0)
    if batch % micro:
        raise ConfigError(f"per_device_train_batch_size={micro} does not divide the {batch} examples of a step")
    ours = {
        "output_dir": str(folder.checkpoints),
        "num_train_epochs": config.epochs,
        "per_device_train_batch_size": micro,
        "gradient_accumulation_steps": batch // micro,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "cosine",
        # transformers 5 takes a share of the steps here, and has no ratio.
        ("warmup_ratio" if "warmup_ratio" in TRLConfig.__dataclass_fields__ else "warmup_steps"): 0.1,
        "completion_only_loss": True,
        **lora.precision(policy, on_gpu=on_gpu),
        "gradient_checkpointing": on_gpu,
        "logging_steps": 1,
        "eval_strategy": "epoch" if aside else "no",
        "save_strategy": "epoch",
        "save_total_limit": 2,
        "load_best_model_at_end": bool(aside),
        "restore_callback_states_from_checkpoint": True,  # how long validation has not improved
        "metric_for_best_model": "eval_loss" if aside else None,
        "greater_is_better": False if aside else None,
        "report_to": "none",
        "disable_tqdm": True,
        "seed": config.seed,
        "dataloader_pin_memory": on_gpu,
        "use_cpu": not on_gpu,
        "max_length": None,
    }
    with lora.refusing_as_ours():
        arguments = lora.on_one_device(TRLConfig(**lora.trl_settings(TRLConfig, ours, config.trl)))
    model, adapter = lora.with_adapter(policy, config.lora_rank, config.lora_layers, config.seed, on_gpu=on_gpu)
    trainer = SFTTrainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(_rows(train, policy)),
        eval_dataset=Dataset.from_list(_rows(aside, policy)) if aside else None,
        processing_class=policy.tokenizer,
        callbacks=[EarlyStoppingCallback(_PATIENCE)] if aside else [],
        peft_config=adapter,
    )
    lora.take_over(trainer, policy, as_callback(watch))
    return trainer


def _rows(pairs: list[tuple[Example, str]], policy: LocalModel) -> list[dict[str, Any]]:
    """Prompt and completion as TRL takes conversations, with what the chat template is told, if anything."""
    told = {"chat_template_kwargs": policy.weights.template} if policy.weights.template else {}
    return [
        {"prompt": example.messages, "completion": [{"role": "assistant", "content": text}], **told}
        for example, text in pairs
    ]
