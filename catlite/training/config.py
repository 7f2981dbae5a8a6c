"""The settings of training, each with its reason, and how the paper samples its three model families.

Defaults follow the paper (arXiv 2509.14234 §3.3, App. B) where one GPU and LoRA allow it; docs/training.md has the
table of where they do not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Self, TypeVar

from catlite.checks import positive, share, whole_number, zero_or_more
from catlite.coerce import check_reward, kind_of
from catlite.data import Reward
from catlite.errors import ConfigError
from catlite.models.base import check_sampling

_TEMPLATE = "chat_template_kwargs"
_SAMPLED = ("temperature", "top_p", "top_k", "min_p", _TEMPLATE)
STOPS = (None, "gap", "reward", "flips", "gold")
# By a part of the model's name, as in the paper: how rollouts are sampled, and settings of its chat template.
FAMILIES: dict[str, dict[str, Any]] = {
    "gemma": {"temperature": 1.0, "top_k": 64, "top_p": 0.95},
    "qwen": {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "chat_template_kwargs": {"enable_thinking": False}},
    "llama": {"temperature": 0.7, "top_k": 50, "top_p": 0.9},
}


def family_sampling(name: str) -> dict[str, Any]:
    """The paper's sampling for the family of the model `name`; temperature 1 and no filter for any other family.

    Args:
        name: a name, or a path, of which the last part counts, and in a cache of the Hugging Face hub the part that
            names the model.

    Returns:
        Settings for `sample`.
    """
    parts = name.replace("\\", "/").rstrip("/").split("/")
    known = [parts[-1], *(part for part in parts if part.startswith("models--"))]
    for family, sampling in FAMILIES.items():
        if any(family in part.lower() for part in known):
            return dict(sampling)
    return {"temperature": 1.0}


def describe(part: object) -> str:
    """An estimator or reward in the manifest: its repr, or its name when it is a function.

    Without addresses in memory, which differ from process to process.
    """
    return str(getattr(part, "__name__", None) or re.sub(r" at 0x[0-9a-fA-F]+", "", repr(part)))


def _as_json(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else describe(value) if callable(value) else value


class _Settings:
    """What both configs can do."""

    def as_dict(self: Any) -> dict[str, Any]:
        """All settings, as JSON can keep them."""
        values = {setting.name: getattr(self, setting.name) for setting in fields(self)}
        return {name: _as_json(value) for name, value in values.items()}


@dataclass(frozen=True)
class TrainConfig(_Settings):
    """How `train` runs GRPO.

    Args:
        steps: the most steps of the optimizer; 100. The paper stops at 1,000.
        prompts_per_step: groups of one step; 8. The paper has 32, which takes 4 times as long and no more memory.
        num_generations: G, the rollouts of a group; 8. Below 4 a vote has little to say.
        max_completion_length: the most tokens of a rollout; 1,024, the paper's for HealthBench (MATH-500: 1,536).
        sampling: parameters of the rollouts, such as temperature; None takes the model's own, else those that the paper
            has for the model's family.
        learning_rate: of the optimizer, constant; 2e-5. LoRA needs 1e-5 to 2e-4; the paper's 5e-7 is for all weights.
        beta: weight of the KL penalty against the initial policy; 1e-3. 0 saves a forward pass.
        lora_rank: rank of the adapter, whose alpha is twice that; 16.
        lora_layers: share of the layers, from the top, that are trained; 1.0. With half of them the backward pass takes
            a third less.
        stop: what ends training before `steps`: "gap" (teacher and policy no longer differ), "reward" (it no longer
            rises), "flips" (they rose and fell) or "gold" (the gold judge's score fell); None makes all steps.
        check_every: steps between two checkpoints, and between two checks where prompts are held back; 10.
        held_back: prompts of the task that are used for checks only; 0. With 16 or more the standard error is useful.
        gold_judge: a second reward, which scores the held-back prompts and is never trained on, so that hacking of the
            first one shows; None.
        gold_every: the gold judge scores every so many checks, and the first and the last; 1.
        judge_wait: seconds that the rewards of a step, or its rollouts, may take while a server is down; 600.0.
        seed: of sampling, of the order of prompts and of the adapter's first weights; 0.
        trl: settings of TRL's GRPOConfig, which take precedence over those above; none.

    Raises:
        ConfigError: for a value that makes no sense.

    Example:
        >>> TrainConfig(steps=200, stop="gap", held_back=16, trl={"report_to": "wandb"})
    """

    steps: int = 100
    prompts_per_step: int = 8
    num_generations: int = 8
    max_completion_length: int = 1024
    sampling: Mapping[str, Any] | None = None
    learning_rate: float = 2e-5
    beta: float = 1e-3
    lora_rank: int = 16
    lora_layers: float = 1.0
    stop: str | None = None
    check_every: int = 10
    held_back: int = 0
    gold_judge: Reward | None = None
    gold_every: int = 1
    judge_wait: float = 600.0
    seed: int = 0
    trl: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counts = ("steps", "prompts_per_step", "num_generations", "max_completion_length", "lora_rank", "check_every")
        _check_settings(self, counts, ("learning_rate", "lora_layers", "judge_wait"))
        if self.num_generations < 2:
            raise ConfigError(
                f"num_generations={self.num_generations}: a group of one has nothing to compare its rollout with, so "
                "its advantage is always 0. Use at least 2; the paper uses 8"
            )
        zero_or_more("beta", self.beta, "the weight of the KL penalty")
        if self.stop not in STOPS:
            raise ConfigError(f'stop={self.stop!r}: want None (fixed steps), "gap", "reward", "flips" or "gold"')
        whole_number("gold_every", self.gold_every)
        if self.gold_judge is not None:
            check_reward(self.gold_judge)
        elif self.stop == "gold":
            raise ConfigError('stop="gold" ends where the reward rises and the gold judge\'s falls: give gold_judge=')
        if whole_number("held_back", self.held_back, 0, hint=": none, or at least 2") == 1:
            raise ConfigError(f"held_back={self.held_back!r}: 0, or at least 2 prompts, for a standard error")
        check_warm(self.sampling or {}, "sampling")

    @property
    def sequences(self) -> int:
        """Rollouts of one step."""
        return self.prompts_per_step * self.num_generations

    @classmethod
    def small(cls, **changes: Any) -> Self:
        """Two steps of two groups of four short rollouts, to see everything run once on any machine.

        Args:
            changes: settings that differ from that.

        Returns:
            The config.
        """
        tiny = {"steps": 2, "prompts_per_step": 2, "num_generations": 4, "max_completion_length": 16, "check_every": 1}
        return cls(**{**tiny, **changes})

    @classmethod
    def cat(cls, **changes: Any) -> Self:
        """The settings of Compute as Teacher for MATH-500 (arXiv 2509.14234 §4 and App. B).

        1,000 steps of 32 groups of 8, 1,536 tokens, KL weight 1e-3; for HealthBench the paper has 1,024 tokens. The
        learning rate stays that of LoRA: the paper's 5e-7 is for all weights.

        Args:
            changes: settings that differ from that.

        Returns:
            The config.

        Example:
            >>> TrainConfig.cat(steps=100, stop="gap", held_back=16)
        """
        paper = {"steps": 1000, "prompts_per_step": 32, "max_completion_length": 1536, "beta": 1e-3}
        return cls(**{**paper, **changes})

    @classmethod
    def ttrl(cls, **changes: Any) -> Self:
        """The settings of TTRL, for use with MajorityVote (arXiv 2504.16084; aime.sh in github.com/PRIME-RL/TTRL).

        8 prompts a step, 32 rollouts each at temperature 1, 3,072 tokens, KL weight 1e-3, loss averaged over tokens,
        cosine schedule with 3% warm-up; 240 steps are its 80 passes over 30 prompts. Here the 32 rollouts vote
        themselves (there 64 vote, and 32 of them are trained on), a step is one update (there one per prompt), and the
        learning rate stays that of LoRA (there 5e-7 for all weights).

        Args:
            changes: settings that differ from that; `trl=` takes the place of the whole mapping.

        Returns:
            The config.

        Example:
            >>> catlite.train(task, policy, estimator=MajorityVote(), config=TrainConfig.ttrl(steps=100))
        """
        steps = changes.get("steps", 240)
        warmup = max(1, round(0.03 * steps)) if isinstance(steps, int) else 0
        published = {
            "steps": 240,
            "num_generations": 32,
            "max_completion_length": 3072,
            "sampling": {"temperature": 1.0},
            "trl": {"lr_scheduler_type": "cosine", "warmup_steps": warmup, "loss_type": "dapo"},
        }
        return cls(**{**published, **changes})

    @classmethod
    def evol(cls, **changes: Any) -> Self:
        """The settings of EVOL-RL, for use with MajorityVote (arXiv 2509.15194; github.com/YujunZhou/EVOL-RL, README).

        Those of `ttrl` with 12,288 tokens, upper clip 0.28 and an entropy bonus of 0.003, which keep samples diverse.
        The clip acts only where a batch has several updates (`trl={"num_iterations": 2}`). Left out is EVOL-RL's reward
        for answers of the majority that are reasoned in a new way, which takes an embedding model.

        Args:
            changes: settings that differ from that; `trl=` takes the place of the whole mapping.

        Returns:
            The config.

        Example:
            >>> TrainConfig.evol(max_completion_length=4096)
        """
        base = cls.ttrl(**{"max_completion_length": 12288, **changes})
        if "trl" in changes:
            return base
        return replace(base, trl={**base.trl, "epsilon_high": 0.28, "entropy_coef": 0.003})


@dataclass(frozen=True)
class SFTConfig(_Settings):
    """How `sft` fine-tunes on references (the paper's CaT-SFT baseline).

    Args:
        epochs: the most passes over the references; 3. Training stops when validation loss no longer falls.
        batch_size: examples of one step; 32.
        num_generations: rollouts behind each reference; 8.
        max_completion_length: the most tokens of a rollout, and of a reference; 1,024.
        sampling: parameters of the rollouts, as in TrainConfig; None.
        learning_rate: the peak of a cosine schedule whose first tenth is warm-up; 5e-5.
        lora_rank: rank of the adapter, whose alpha is twice that; 32.
        lora_layers: share of the layers, from the top, that are trained; 1.0.
        validation: share of the references that is used only to see when to stop; 0.1. 0 trains on all.
        seed: of sampling, of the split and of the adapter's first weights; 0.
        trl: settings of TRL's SFTConfig, which take precedence over those above; none.

    Raises:
        ConfigError: for a value that makes no sense.

    Example:
        >>> SFTConfig(epochs=1, validation=0.0)
    """

    epochs: int = 3
    batch_size: int = 32
    num_generations: int = 8
    max_completion_length: int = 1024
    sampling: Mapping[str, Any] | None = None
    learning_rate: float = 5e-5
    lora_rank: int = 32
    lora_layers: float = 1.0
    validation: float = 0.1
    seed: int = 0
    trl: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        counts = ("epochs", "batch_size", "num_generations", "max_completion_length", "lora_rank")
        _check_settings(self, counts, ("learning_rate", "lora_layers"))
        share("validation", self.validation)
        if self.validation == 1:
            raise ConfigError("validation=1: nothing would be left to train on; want a share below 1, such as 0.1")


C = TypeVar("C", bound=TrainConfig | SFTConfig)


def as_config(config: Any, kind: type[C]) -> C:
    """Return `config`, or the defaults for None. Raises ConfigError unless it is of `kind`, such as TrainConfig."""
    config = kind() if config is None else config
    if not isinstance(config, kind):
        like = f"{kind.__name__}(**…)" if isinstance(config, Mapping) else f"{kind.__name__}(…)"
        raise ConfigError(f"config is {kind_of(config)}: write {like}")
    return config


def rollout_sampling(config: TrainConfig | SFTConfig, name: str, loaded: Mapping[str, Any]) -> dict[str, Any]:
    """How rollouts of a model are sampled: by `config`, else as it was loaded, else as the paper samples its family.

    The family's settings of the chat template (thinking off) hold unless `config` or the model has others.

    Args:
        config: settings of the training.
        name: the model's name, or its path.
        loaded: the settings that the model was loaded with.

    Returns:
        Settings for `sample`.
    """
    family = family_sampling(name)
    model = {name: value for name, value in loaded.items() if name in _SAMPLED}
    if config.sampling is not None or set(model) - {_TEMPLATE}:
        family = {name: value for name, value in family.items() if name == _TEMPLATE}
    return {**family, **model, **(config.sampling or {})}


def check_warm(sampling: Mapping[str, Any], where: str) -> None:
    """Raise ConfigError for greedy decoding, which `where` sets."""
    for name, value in (("temperature", 0), ("top_p", 0), ("top_k", 1), ("min_p", 1)):
        if sampling.get(name) == value:
            raise ConfigError(
                f"{where}={{{name!r}: {value}}}: the rollouts of a group would all be the same, and have nothing to "
                "compare: want replies that differ, such as by temperature 1 and no filter"
            )


def _check_settings(config: TrainConfig | SFTConfig, whole: tuple[str, ...], above_zero: tuple[str, ...]) -> None:
    for name in whole:
        whole_number(name, getattr(config, name))
    for name in above_zero:
        positive(name, getattr(config, name))
    whole_number("seed", config.seed, 0, 2**32 - 1)
    if not isinstance(config.trl, Mapping) or not all(isinstance(name, str) for name in config.trl):
        raise ConfigError(f"trl={config.trl!r:.60}: want a mapping from settings of TRL's config to their values")
    if config.lora_layers > 1:
        raise ConfigError(f"lora_layers={config.lora_layers}: a share of the layers, from above 0 to 1")
    if config.sampling is not None and not isinstance(config.sampling, Mapping):
        raise ConfigError(f"sampling={config.sampling!r:.60}: want a mapping, such as {{'temperature': 1.0}}, or None")
    for name in check_sampling(config.sampling or {}):
        if name not in _SAMPLED:
            raise ConfigError(
                f"sampling={{{name!r}: …}}: rollouts, checks and comparisons are sampled alike, by "
                f"{', '.join(_SAMPLED)}; what the trainer alone may know goes into trl={{…}}, the seed into seed="
            )
