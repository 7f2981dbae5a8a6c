"""The policy made trainable: LoRA on its linear layers, by PEFT or by Unsloth. Left out: training all weights."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Generic

from catlite import concurrency
from catlite.data import Estimator, Example
from catlite.errors import ConfigError, ContextOverflow, DataError, EndpointUnavailable, RequestRejected
from catlite.models.local.loading import Weights, has_bfloat16, resolve_dtype
from catlite.models.local.model import LocalModel
from catlite.models.local.unsloth import save_kernels
from catlite.references.synthesis import Synthesis
from catlite.training.config import C, SFTConfig, TrainConfig, rollout_sampling
from catlite.training.trl import ranks
from catlite.training.trl.settings import check_libraries


class TrainablePolicy(Generic[C]):
    """The policy of one call of `train` or `sft`: weights in this process, which get an adapter as `config` says.

    Joins the other processes where torchrun has started several. Raises ConfigError for a frozen view, for anything
    that is not a LocalModel, for a model with an adapter, and for what several processes cannot share; MissingExtra
    without catlite[train].
    """

    def __init__(self, policy: str | Path | LocalModel, config: C) -> None:
        check_libraries()
        if (several := ranks.join_ranks()) > 1:
            _check_split(config, several)
        backend = "transformers" if several > 1 else "auto"
        local = LocalModel(policy, backend=backend) if isinstance(policy, str | Path) else policy
        if not isinstance(local, LocalModel):
            raise ConfigError(
                f"the policy is a {type(local).__name__}, whose weights are elsewhere: give a LocalModel, a path, or "
                '"local" for the embedded model'
            )
        if not local.trainable:
            raise ConfigError(f"{local!r} is the anchor: train the LocalModel it was made from")
        if local.adapter is not None:
            raise ConfigError(
                f"{local!r} has an adapter already, and the anchor, which is the model without one, would not be the "
                "policy training starts from: merge it first (TrainingRun.merge_and_save) and train the merged folder"
            )
        if isinstance(config, TrainConfig) and local.sampling.get("stop"):
            raise ConfigError(
                f"{local!r} has a stop string, which would cut replies in checks and comparisons and not the rollouts "
                "that are trained on: leave stop= out"
            )
        if several > 1 and local.backend != "transformers":
            raise ConfigError(
                f"{local!r} trains with Unsloth, which is for one process, and this is one of {several}: load it with "
                'backend="transformers", or start a single process'
            )
        self.local = local
        self.config = config
        self.sampling = rollout_sampling(config, local.path, local.sampling)
        self._tell_rank(local.weights)

    def _tell_rank(self, weights: Weights) -> None:
        """Tell weights how large the adapter will be. Raises ConfigError when vLLM is set up for less."""
        rank, most = self.config.lora_rank, weights.lora_rank
        if rank <= most:
            return
        if weights.loaded and weights.settings["fast"] == "unsloth":
            raise ConfigError(
                f"lora_rank={rank}, and the vLLM of {self.local!r} was set up for adapters of rank {most} when it was "
                "loaded: give a LocalModel that has not been asked anything yet"
            )
        weights.lora_rank = rank

    @contextlib.contextmanager
    def prepared(self) -> Iterator[None]:
        """Have the chat template told what rollouts are sampled with; undo that when the call is refused.

        Kernels that Unsloth has compiled meanwhile are kept.
        """
        weights = self.local.weights
        template, trained_in = weights.template, weights.trained_in
        model = weights.engine.model if weights.loaded else None
        weights.template = dict(self.sampling.get("chat_template_kwargs") or {})
        try:
            yield
        except (ConfigError, DataError, EndpointUnavailable):
            weights.template = template
            now = weights.engine.model if weights.loaded else None
            if now is model or (model is None and not hasattr(now, "peft_config")):  # the adapter is as it was
                weights.trained_in = trained_in
            raise
        finally:
            save_kernels()

    def check_room(self, examples: Sequence[tuple[str, Example]], replies: Sequence[str] | None = None) -> None:
        """Raise DataError for questions whose prompts leave less than `max_completion_length` tokens for a rollout.

        Or, where the `replies` that are trained on exist already, less than these have. Raise it as well for a question
        that the chat template does not take.
        """
        rooms = [self.config.max_completion_length] * len(examples)
        if replies is not None:
            rooms = [len(self.local.tokenizer(text)["input_ids"]) for text in replies]
        too_long: list[tuple[str, ContextOverflow]] = []
        for (name, example), room in zip(examples, rooms, strict=True):
            try:
                self.local.room(len(self.local.tokens(example.messages)), room)
            except ContextOverflow as error:
                too_long.append((name, error))
            except RequestRejected as error:
                raise DataError(f"question {name!r} cannot be trained on: {error}") from None
        if too_long:
            names = ", ".join(repr(name) for name, _ in too_long[:10]) + (", …" if len(too_long) > 10 else "")
            raise DataError(
                f"{len(too_long)} of {len(examples)} questions are too long to be trained on: {names} "
                f"({too_long[0][1]}). Leave them out, lower max_completion_length, or give the LocalModel more context"
            )

    def synthesis(self) -> Estimator:
        """The default estimator: Synthesis by the frozen policy, as long as a rollout."""
        return Synthesis(self.local.frozen(), max_tokens=self.config.max_completion_length)

    @property
    def digest(self) -> str:
        """Which weights a run was begun with, and in what precision they are loaded: the "model" of its manifest."""
        settings = self.local.weights.settings
        loaded = ["load_in_4bit=True"] if settings["load_in_4bit"] else []
        dtype = resolve_dtype(settings["dtype"])
        loaded += [] if dtype == "auto" else [f"dtype={dtype}"]
        return ", ".join([self.local.weights.digest, *loaded])

    def whereabouts(self) -> dict[str, Any]:
        """The "policy" of a run's manifest, by which `TrainingRun.load` finds it again."""
        folder = Path(self.local.path).expanduser()
        weights = self.local.weights
        settings = {name: value for name, value in weights.settings.items() if name != "fast" or not weights.vllm}
        return {
            "path": str(folder.resolve()) if folder.is_dir() else self.local.path,
            "settings": {**settings, **self.local.sampling},  # without vLLM, which may not be there by then
            "template": dict(weights.template),
        }

    @cached_property
    def on_gpu(self) -> bool:
        """Whether it is trained on a GPU. Imports Unsloth where that trains, before the libraries that it rewrites."""
        if self.local.backend == "unsloth":
            import unsloth  # noqa: F401
        import torch

        return bool(torch.cuda.is_available())

    @property
    def precision(self) -> dict[str, bool]:
        """TRL's settings for what is computed in: on a GPU the half precision of the weights, as Unsloth insists."""
        if not self.on_gpu:
            return {"bf16": False, "fp16": False}
        import torch

        half = self.local.model.dtype == torch.float16 or not has_bfloat16()
        return {"bf16": not half, "fp16": half}

    def start_in(self, folder: Path) -> None:
        """Note that the run in `folder` trains the weights; warn of another run's adapter, which it takes off."""
        before, self.local.weights.trained_in = self.local.weights.trained_in, folder
        if before not in (None, folder) and hasattr(self.local.model, "peft_config"):
            concurrency.warn(
                f"{self.local!r} has an adapter from {str(before)!r}, which is taken off: this training starts from "
                "the initial model as well, and the earlier run's policy is the same object. To go on from the earlier "
                "run, train what its merge_and_save(folder) writes; to keep it, load it anew with LocalModel(path, "
                "adapter=…)",
                UserWarning,
            )

    def add_adapter(self) -> tuple[Any, Any]:
        """(model, peft_config) as TRL's trainers take them; Unsloth adds the adapter itself, so its config is None."""
        model = base_model(self.local)
        settings = lora_settings(model, self.config.lora_rank, self.config.lora_layers)
        if self.local.backend == "unsloth":
            from unsloth import FastLanguageModel

            checkpointing = "unsloth" if self.on_gpu else False
            if settings.pop("exclude_modules", None):
                settings["finetune_vision_layers"] = False  # its own word for it, known where there is such a tower
            model = FastLanguageModel.get_peft_model(
                model, **settings, use_gradient_checkpointing=checkpointing, random_state=self.config.seed
            )
            return model, None
        from peft import LoraConfig
        from transformers import set_seed

        set_seed(self.config.seed)  # an older TRL draws the adapter's start before it sets the seed
        return model, LoraConfig(task_type="CAUSAL_LM", **settings)

    @contextlib.contextmanager
    def untouched_when_refused(self) -> Iterator[None]:
        """Take an adapter off again that TRL has put on the model before it raised an error."""
        try:
            yield
        except BaseException:
            take_off(self.local.model)
            raise

    def adopt(self, trainer: Any) -> None:
        """Take over the model that TRL's `trainer`, just built, has put the adapter on.

        Beside 4-bit weights TRL makes the adapter bfloat16, which the scaler of fp16 cannot take: then it is float32.
        """
        if trainer.args.fp16:
            import torch

            for parameter in trainer.model.parameters():
                if parameter.requires_grad and parameter.dtype == torch.bfloat16:
                    parameter.data = parameter.data.to(torch.float32)
        self.local.weights.replace(trainer.accelerator.unwrap_model(trainer.model))

    def load_adapter(self, folder: Path) -> None:
        """Put the adapter in `folder` in place of the one that is on."""
        load_adapter(self.local, folder)


def _check_split(config: TrainConfig | SFTConfig, several: int) -> None:
    """Raise ConfigError for a training that `several` ranks cannot share."""
    if isinstance(config, SFTConfig):
        raise ConfigError(f"this is one of {several} processes (WORLD_SIZE), and sft runs in one: start it with python")
    split = [name for name in ("FSDP", "DEEPSPEED") if os.environ.get(f"ACCELERATE_USE_{name}") == "true"]
    if split:
        raise ConfigError(
            f"accelerate is set up for {split[0]}, which splits the model, and each process draws from a whole one "
            "here: start it with torchrun, or with distributed_type: MULTI_GPU"
        )
    if config.sequences % several:
        raise ConfigError(
            f"the {config.sequences} rollouts of a step ({config.prompts_per_step} prompts_per_step × "
            f"{config.num_generations} num_generations) cannot be split over {several} processes: take a multiple of "
            f"{several}, such as prompts_per_step={several * max(1, round(config.prompts_per_step / several))}"
        )
    import torch

    gpus, here = torch.cuda.device_count(), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if 0 < gpus < here:
        raise ConfigError(f"{here} processes run on a machine with {gpus} GPUs: start it with --nproc_per_node {gpus}")


def load_adapter(policy: LocalModel, folder: Path) -> None:
    """Put the adapter in `folder` on the policy, in place of the one that is on."""
    from peft import PeftModel

    policy.weights.replace(PeftModel.from_pretrained(base_model(policy), str(folder)).eval())


def base_model(policy: LocalModel) -> Any:
    """The torch model, with the adapter that earlier training in this process has put on it taken off."""
    model = policy.model
    if hasattr(model, "peft_config"):
        model = model.unload()
        policy.weights.replace(model)
    return model


def take_off(model: Any) -> None:
    """Put the layers that an adapter wraps in their places again, in a model that has no wrapper of PEFT's itself."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    wrapped = [(name, part) for name, part in model.named_modules() if isinstance(part, BaseTunerLayer)]
    for name, part in wrapped:
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, part.get_base_layer())
    if wrapped:
        del model.peft_config


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
    """What PEFT's LoraConfig takes, and Unsloth's get_peft_model but for `exclude_modules`.

    share: of the layers, from the top, that get an adapter.
    """
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
