"""CaT-SFT, the paper's baseline (arXiv 2509.14234 §4.4): fine-tuning on references of the initial policy.

Rollouts and references come from the initial policy, once; then TRL's SFT with LoRA, cosine schedule and early stop on
validation loss. References that exist already are taken as they are. Left out: filtering references. A prompt without a
reference is not trained on, and counted.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from catlite.data import Estimator, Example, Prompt, Reference, Task
from catlite.errors import TrainingError
from catlite.models.local.model import LocalModel
from catlite.preflight import check_parts, check_task
from catlite.runs.budget import Budget
from catlite.training.config import SFTConfig, as_config, describe
from catlite.training.examples import digest_of, set_aside, task_of
from catlite.training.loop import Loop, open_folder
from catlite.training.lora import TrainablePolicy
from catlite.training.references import Existing, fault_of, references_of, with_references
from catlite.training.run import TrainingRun
from catlite.training.trl.build import sft_trainer

_LOWER = 'trl={"per_device_train_batch_size": …}, then batch_size'


def sft(
    task: str | Path | Task | Iterable[Example | Prompt | Reference],
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
        task: a Task, Examples or prompts, as in `train`; or references that exist already, as `estimate` returns them
            or as the Parquet file that they wrote. Then no rollouts are drawn.
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
        >>> catlite.sft("references.parquet", "Qwen/Qwen3-0.6B", run="runs/sft")
        >>> catlite.sft(catlite.times_tables(48), "local", estimator=catlite.MajorityVote(), run="runs/sft")
    """
    config = as_config(config, SFTConfig)
    check_parts(estimator)
    questions, estimator = with_references(task, estimator)
    made, examples = task_of(questions, "sft", answer_format)
    trainable = TrainablePolicy(policy, config)
    check_task(estimator, None, [example for _, example in examples])
    with trainable.prepared():
        trainable.check_room(examples, estimator.texts() if isinstance(estimator, Existing) else None)
        estimator = estimator or trainable.synthesis()
        with open_folder(run, made.name, budget) as folder:
            manifest = {
                "questions": digest_of(examples),
                "estimator": describe(estimator),
                "method": "sft",
                "config": config.as_dict(),
            }
            loop = Loop(trainable, folder, manifest)
            if loop.outcome.get("complete"):
                return loop.finished()
            with loop.begun():
                return _fit(loop, references_of(trainable, examples, estimator), set_aside(examples, config), progress)


def _fit(loop: Loop[SFTConfig], references: list[Reference], away: set[str], progress: bool | None) -> TrainingRun:
    """Train on `references`, but for those of the ids in `away`, which are validated on."""
    usable = [(reference.group.example, reference.text) for reference in references if fault_of(reference) is None]
    if not usable:
        raise TrainingError(f"none of {len(references)} prompts has a reference to train on: {fault_of(references[0])}")
    kept = [pair for pair in usable if pair[0].id not in away]
    aside = [pair for pair in usable if pair[0].id in away]
    if not kept:
        raise TrainingError(
            f"only {len(aside)} of {len(references)} prompts have a reference, and all of these are set aside for "
            "validation: lower validation, or see why the others have none"
        )
    config = loop.policy.config
    watch = loop.watch_steps(config.epochs * -(-len(kept) // config.batch_size), progress)
    with loop.training(_LOWER):
        trainer = sft_trainer(loop.policy, kept, aside, watch)
        trainer.train(resume_from_checkpoint=str(loop.last) if loop.last else None)
    steps, left_out = trainer.state.global_step, len(references) - len(usable)
    ended = f"{steps} steps on {len(usable)} references" + (f", {left_out} prompts had none" if left_out else "")
    return loop.finish(steps, ended, trainer.state.best_global_step if aside else None)
