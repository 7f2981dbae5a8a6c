"""The policy made trainable: LoRA on its linear layers, by PEFT or by Unsloth. Left out: training all weights."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from catlite import concurrency
from catlite.data import Example
from catlite.errors import ConfigError, ContextOverflow, DataError, MissingExtra
from catlite.extras import install
from catlite.models.local.loading import has_bfloat16, resolved
from catlite.models.local.model import LocalModel
from catlite.training.folder import Folder
from catlite.training.run import TrainingRun


def opened(policy: str | Path | LocalModel) -> LocalModel:
    """The policy as a LocalModel, ready for an adapter of its own.

    Raises ConfigError for a frozen view, for anything that is no LocalModel, for a model that has an adapter, because
    with that one off the anchor would be another model than the one training starts from, and in one of several
    processes.
    """
    if (processes := os.environ.get("WORLD_SIZE", "1")) != "1":
        raise ConfigError(
            f"this is one of {processes} processes (WORLD_SIZE), and training here is for one device: start it with "
            "python, not with accelerate launch or torchrun; trl_reward is for a trainer of your own on several"
        )
    if isinstance(policy, str | Path):
        policy = LocalModel(policy)
    if not isinstance(policy, LocalModel):
        kind = type(policy).__name__
        raise ConfigError(
            f'the policy is a {kind}, whose weights are elsewhere: give a LocalModel, a path, or "local" for the '
            "embedded model"
        )
    if not policy.trainable:
        raise ConfigError(f"{policy!r} is the anchor: train the LocalModel it was made from")
    if policy.adapter is not None:
        raise ConfigError(
            f"{policy!r} has an adapter already, and the anchor, which is the model without one, would not be the "
            "policy training starts from: merge it first (TrainingRun.merge_and_save) and train the merged folder"
        )
    return policy


def weights_of(policy: LocalModel) -> str:
    """What a run's manifest says of the policy's weights: which, and in what precision they are loaded."""
    settings = policy.weights.settings
    loaded = ["load_in_4bit=True"] if settings["load_in_4bit"] else []
    dtype = resolved(settings["dtype"])
    loaded += [] if dtype == "auto" else [f"dtype={dtype}"]
    return ", ".join([policy.weights.digest, *loaded])


def all_fit(policy: LocalModel, examples: Sequence[tuple[str, Example]], most: int) -> None:
    """DataError for questions whose prompts leave less than `most` tokens of the context to their rollouts."""
    found: list[tuple[str, ContextOverflow]] = []
    for name, one in examples:
        try:
            policy.room(len(policy.tokens(one.messages)), most)
        except ContextOverflow as error:
            found.append((name, error))
    if found:
        raise DataError(
            f"{len(found)} of {len(examples)} questions are too long to be trained on: "
            f"{', '.join(repr(name) for name, _ in found[:10])}{', …' if len(found) > 10 else ''} ({found[0][1]}). "
            "Leave them out, lower max_completion_length, or give the LocalModel more context"
        )


def run_folder(run: str | Path | None, task: str) -> Path:
    """The run's folder; a temporary one when nobody names one."""
    return Path(run).expanduser() if run is not None else Path(tempfile.mkdtemp(prefix=f"catlite-{task}-"))


@contextlib.contextmanager
def unchanged_when_refused(policy: LocalModel) -> Iterator[None]:
    """When the call is refused, what it told `policy` about itself is as before."""
    weights = policy.weights
    template, trained_in = weights.template, weights.trained_in
    model = weights.engine.model if weights.loaded else None
    try:
        yield
    except (ConfigError, DataError):
        weights.template = template
        now = weights.engine.model if weights.loaded else None
        if now is model or (model is None and not hasattr(now, "peft_config")):  # no adapter was put on, or taken off
            weights.trained_in = trained_in
        raise


def bare(policy: LocalModel) -> Any:
    """The torch model without what earlier training in this process has put on it."""
    model = policy.model
    if hasattr(model, "peft_config"):
        model = model.unload()
        policy.weights.replace(model)
    return model


def linear_layers(model: Any) -> tuple[list[str], list[str]]:
    """Full names of the linear layers: those of the language model's blocks, and those of other towers (images, sound).

    The head, whose log-probabilities TRL reads, is in neither.
    """
    from torch import nn

    head, decoder = model.get_output_embeddings(), model.get_decoder()
    linear = [name for name, part in model.named_modules() if isinstance(part, nn.Linear) and part is not head]
    at = next(name for name, part in model.named_modules() if part is decoder)
    inside = [name for name in linear if not at or name.startswith(f"{at}.")]
    return inside, sorted(set(linear) - set(inside))


def lora_settings(model: Any, rank: int, share: float) -> dict[str, Any]:
    """What PEFT's LoraConfig takes, and Unsloth's get_peft_model but for `exclude_modules`."""
    inside, others = linear_layers(model)
    settings: dict[str, Any] = {
        "r": rank,
        "lora_alpha": 2 * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted({name.rpartition(".")[2] for name in inside}),
    }
    if others:
        settings["exclude_modules"] = others
    if share < 1:
        layers = model.config.get_text_config().num_hidden_layers
        settings["layers_to_transform"] = list(range(layers - max(1, round(share * layers)), layers))
    return settings


def with_adapter(policy: LocalModel, rank: int, share: float, seed: int, *, on_gpu: bool) -> tuple[Any, Any]:
    """(model, peft_config) as TRL's trainers take them; Unsloth puts its adapter on itself, so its config is None."""
    model = bare(policy)
    settings = lora_settings(model, rank, share)
    if policy.backend == "unsloth":
        from unsloth import FastLanguageModel

        checkpointing = "unsloth" if on_gpu else False
        if settings.pop("exclude_modules", None):
            settings["finetune_vision_layers"] = False  # its own word for it, known where there is such a tower
        model = FastLanguageModel.get_peft_model(
            model, **settings, use_gradient_checkpointing=checkpointing, random_state=seed
        )
        return model, None
    from peft import LoraConfig

    return model, LoraConfig(task_type="CAUSAL_LM", **settings)


def precision(policy: LocalModel, *, on_gpu: bool) -> dict[str, bool]:
    """In what the trainer computes: on a GPU in the half precision of the weights, which Unsloth insists on."""
    if not on_gpu:
        return {"bf16": False, "fp16": False}
    import torch

    half = policy.model.dtype == torch.float16 or not has_bfloat16()
    return {"bf16": not half, "fp16": half}


def on_one_device(arguments: Any) -> Any:
    """TRL's arguments, held to one GPU where several are in sight."""
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # noqa: SLF001 - else transformers would split batches over all GPUs in sight
    return arguments


def take_over(trainer: Any, policy: LocalModel, callback: Any) -> None:
    """Makes TRL's trainer, just built, train `policy`, with our callback in place of its printing."""
    from transformers import PrinterCallback, ProgressCallback

    ready(trainer)
    # Before those of report_to, which then have our metrics, too.
    trainer.callback_handler.callbacks.insert(0, callback)
    for printing in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(printing)
    policy.weights.replace(trainer.accelerator.unwrap_model(trainer.model))


def ready(trainer: Any) -> None:
    """Sets right what TRL does: beside 4-bit weights its adapter is in bfloat16, which fp16's scaler cannot take."""
    if not trainer.args.fp16:
        return
    import torch

    for parameter in trainer.model.parameters():
        if parameter.requires_grad and parameter.dtype == torch.bfloat16:
            parameter.data = parameter.data.to(torch.float32)


def from_the_base(policy: LocalModel, folder: Path) -> None:
    """A warning when other training has put an adapter on the weights, which this run, in `folder`, takes off again."""
    before, policy.weights.trained_in = policy.weights.trained_in, folder
    if before not in (None, folder) and hasattr(policy.model, "peft_config"):
        concurrency.warn(
            f"{policy!r} has an adapter from {str(before)!r}, which is taken off: this training starts from the "
            "initial model, too, and the policy of the earlier run is this one now. To go on from the earlier one, "
            "train what its merge_and_save(folder) writes; to keep it, load it anew with LocalModel(path, adapter=…)",
            UserWarning,
        )


def load_adapter(policy: LocalModel, folder: Path) -> None:
    """Puts the adapter of a finished run on the policy."""
    from peft import PeftModel

    policy.weights.replace(PeftModel.from_pretrained(bare(policy), str(folder)).eval())


def finished(folder: Folder, policy: LocalModel, outcome: Mapping[str, Any]) -> TrainingRun:
    """The result of a run that is complete, from its folder."""
    load_adapter(policy, folder.path / "adapter")
    policy.weights.trained_in = folder.path
    return TrainingRun(folder.path, policy, metrics=tuple(folder.read_metrics(outcome["steps"])), **outcome)


# TRL's names for what the reward, the checks and the way back go by, too.
_OWN = {
    "output_dir": "run=",
    "max_steps": "steps (or epochs)",
    "num_generations": "num_generations",
    "max_completion_length": "max_completion_length",
    **dict.fromkeys(("temperature", "top_p", "top_k", "min_p", "chat_template_kwargs"), "sampling"),
}


def said(part: object) -> str:
    """An estimator or reward in the manifest: its repr, or its name when it is a function.

    Without addresses in memory, which are others in every process.
    """
    return str(getattr(part, "__name__", None) or re.sub(r" at 0x[0-9a-fA-F]+", "", repr(part)))


def trl_settings(kind: type, ours: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Our settings with what the user passes on laid over them.

    Warns of those of ours that this TRL does not know, which are left out, unless they are None. Raises ConfigError for
    a name of the user's that TRL does not know.
    """
    for name in given:
        if name in _OWN:
            raise ConfigError(f"trl={{{name!r}: …}}: that is what {_OWN[name]} is for, which more than TRL has to know")
    known = set(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise ConfigError(f"trl={{{unknown[0]!r}: …}}: TRL's {kind.__name__} has no setting of that name")
    left = [name for name, value in ours.items() if name not in known and value is not None]
    if left:
        listed = ", ".join(f"{name}={ours[name]!r}" for name in left)
        warnings.warn(
            f"the installed TRL's {kind.__name__} has no setting {listed}: training goes on without. Another release "
            "of TRL may have it",
            stacklevel=2,
        )
    return {**{name: value for name, value in ours.items() if name in known}, **given}


@contextlib.contextmanager
def refusing_as_ours() -> Iterator[None]:
    """Turns what TRL finds wrong with its settings into a ConfigError."""
    try:
        yield
    except (ConfigError, ImportError):
        raise
    except (ValueError, TypeError) as error:
        raise ConfigError(f"TRL does not take these settings: {error}") from error


def libraries() -> None:
    """MissingExtra unless everything that training takes is installed."""
    import importlib.util

    missing = [
        name for name in ("torch", "transformers", "trl", "peft", "datasets") if not importlib.util.find_spec(name)
    ]
    if missing:
        raise MissingExtra(f"training needs catlite[train] ({missing[0]} is missing): {install('train')}")


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without remarks of the libraries that are no use to the user, and would quote prompts into logs."""
    names = ("trl", "transformers", "peft", "accelerate", "datasets")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="You are using 'rollout_func'")  # it says this of our own lines
            warnings.filterwarnings("ignore", module=r"(?:trl|transformers|peft|accelerate|torch|datasets)\b.*")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
