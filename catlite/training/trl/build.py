"""TRL's trainers with the paper's settings, for `train` and `sft`."""

from __future__ import annotations

from typing import Any

from catlite.data import Example
from catlite.errors import ConfigError
from catlite.training.config import C, SFTConfig, TrainConfig
from catlite.training.examples import Named, rows_of_steps
from catlite.training.lora import TrainablePolicy
from catlite.training.reward import CatReward
from catlite.training.rewarder import Rewarder
from catlite.training.trl.memory import micro_batches
from catlite.training.trl.rollouts import rollout_drawer
from catlite.training.trl.settings import refusing, trl_arguments
from catlite.training.watch import Watch

_PATIENCE = 2  # validations without a lower loss, after which SFT stops


def grpo_trainer(policy: TrainablePolicy[TrainConfig], rewarder: Rewarder, examples: Named, watch: Watch) -> Any:
    """A CatGRPOTrainer that trains `policy` on `examples`; the policy has its adapter afterwards."""
    config = policy.config

    def longest() -> int:
        prompts = (len(policy.local.tokens(example.messages)) for _, example in examples)
        return max(prompts) + config.max_completion_length

    ours = {
        **_common(policy, watch),
        **micro_batches(policy, watch.folder, config.sequences, config.num_generations, longest),
        "max_steps": config.steps,
        "num_generations": config.num_generations,
        "max_completion_length": config.max_completion_length,
        "lr_scheduler_type": "constant",
        "warmup_steps": 0,
        "beta": config.beta,
        "epsilon": 0.2,
        "loss_type": "grpo",
        "scale_rewards": "group",
        "num_iterations": 1,
        "max_prompt_length": None,  # older TRL (0.22) cuts prompts at 512 tokens
        "save_strategy": "steps",
        "save_steps": config.check_every,
        "shuffle_dataset": False,
        **policy.sampling,
    }
    if policy.local.weights.settings["fast"] == "unsloth":
        # Unsloth sets use_vllm for a model with an engine; the correction for it wants log-probabilities of TRL's call.
        ours["vllm_importance_sampling_correction"] = False
    from datasets import Dataset
    from trl import GRPOConfig

    from catlite.training.trl.trainer import CatGRPOTrainer

    if "use_bias_correction_kl" in GRPOConfig.__dataclass_fields__:
        ours["use_bias_correction_kl"] = False  # TRL's default adds KL × ∇log π to the gradient; GRPO has KL alone
    arguments = trl_arguments(GRPOConfig, ours, config.trl)
    if arguments.steps_per_generation % arguments.gradient_accumulation_steps:
        raise ConfigError(
            f"trl={dict(config.trl)}: rollouts would be drawn for {arguments.generation_batch_size} sequences at a "
            f"time, and a step has {config.sequences}: want a multiple of that, or leave it out"
        )
    model, adapter = policy.add_adapter()
    with refusing(config.trl), policy.untouched_when_refused():
        trainer = CatGRPOTrainer(
            model=model,
            reward_funcs=CatReward(
                rewarder,
                dict(examples),
                (config.num_generations, config.trl.get("num_generations_eval")),
                cut_at=(config.max_completion_length, policy.local.weights.engine.ends),
                flips=watch.flips,
                on_batch=watch.note_rewards,
            ),
            args=arguments,
            train_dataset=Dataset.from_list(rows_of_steps(examples, config)),
            processing_class=policy.local.tokenizer,
            peft_config=adapter,
            watch=watch,
            draw=rollout_drawer(policy),
            share_prompts=policy.local.backend != "unsloth",  # which has a loss of its own
        )
    policy.adopt(trainer)
    return trainer


def sft_trainer(
    policy: TrainablePolicy[SFTConfig],
    kept: list[tuple[Example, str]],
    aside: list[tuple[Example, str]],
    watch: Watch,
) -> Any:
    """A CatSFTTrainer that trains `policy` on references, (example, text) each, and validates on those set aside."""
    config = policy.config
    batch = min(config.batch_size, len(kept))
    usual = max(size for size in range(1, 9) if batch % size == 0)

    def longest() -> int:
        tokens, tokenizer = policy.local.tokens, policy.local.tokenizer
        return max(len(tokens(example.messages)) + len(tokenizer(text)["input_ids"]) for example, text in kept)

    common = {**_common(policy, watch), **micro_batches(policy, watch.folder, batch, usual, longest)}
    from datasets import Dataset
    from transformers import EarlyStoppingCallback
    from trl import SFTConfig as TRLConfig

    from catlite.training.trl.trainer import CatSFTTrainer

    ours = {
        **common,
        "num_train_epochs": config.epochs,
        "lr_scheduler_type": "cosine",
        # transformers 5 takes a share of the steps here, and has no ratio.
        ("warmup_ratio" if "warmup_ratio" in TRLConfig.__dataclass_fields__ else "warmup_steps"): 0.1,
        "completion_only_loss": True,
        "eval_strategy": "epoch" if aside else "no",
        "save_strategy": "epoch",
        "load_best_model_at_end": bool(aside),
        "restore_callback_states_from_checkpoint": True,  # for how long validation has not improved
        "metric_for_best_model": "eval_loss" if aside else None,
        "greater_is_better": False if aside else None,
        "max_length": None,
    }
    arguments = trl_arguments(TRLConfig, ours, config.trl)
    model, adapter = policy.add_adapter()
    template = policy.local.weights.template
    with refusing(config.trl), policy.untouched_when_refused():
        trainer = CatSFTTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(conversations(kept, template)),
            eval_dataset=Dataset.from_list(conversations(aside, template)) if aside else None,
            processing_class=policy.local.tokenizer,
            callbacks=[EarlyStoppingCallback(_PATIENCE)] if aside else [],
            peft_config=adapter,
            watch=watch,
        )
    policy.adopt(trainer)
    return trainer


def conversations(references: list[tuple[Example, str]], template: dict[str, Any]) -> list[dict[str, Any]]:
    """Prompt and completion of each reference as TRL takes conversations, with what its chat template is told."""
    settings = {"chat_template_kwargs": template} if template else {}
    return [
        {"prompt": example.messages, "completion": [{"role": "assistant", "content": text}], **settings}
        for example, text in references
    ]


def _common(policy: TrainablePolicy[C], watch: Watch) -> dict[str, Any]:
    """TRL's settings that GRPO and SFT share."""
    return {
        "output_dir": str(watch.folder.checkpoints),
        "learning_rate": policy.config.learning_rate,
        **policy.precision,
        "use_cpu": not policy.on_gpu,  # not Apple's GPU either, on which nothing of this was tried
        "dataloader_pin_memory": policy.on_gpu,
        "logging_steps": 1,
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
        "seed": policy.config.seed,
    }
