"""TRL's trainers with what catlite does differently: every hook into TRL is an override in this file.

| override | why |
|---|---|
| `_generate_single_turn` | rollouts are drawn by the engine that draws everything else (rollouts.py) |
| `_generate_and_score_completions` | a step without any reward is given up before the weights move |
| the same | the penalty of VoteShare is subtracted from advantages: in rewards, a group's mean would undo it |
| `_prepare_inputs` | a step is cut into micro-batches group by group, not shuffled, so that prompts are shared |
| `_get_per_token_logps_and_entropies`, for SFT `compute_loss` | a prompt is read once; a CPU will do (scoring.py) |
| `training_step` | where scoring.py reads the model, processes average their gradients here, once a step |
| `log` | a run's metrics have the checks and the seconds, and dashboards are told them |

tests/training/trl/test_trainer.py reads what TRL declares and calls for each, so that another TRL fails there first.
A TRL before 1.15 calls them otherwise, or not at all, and keeps its own ways. Import this module after Unsloth, which
rewrites TRL's trainers.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PrinterCallback, ProgressCallback, TrainerCallback
from trl import GRPOTrainer, SFTTrainer
from trl.trainer.utils import split_tensor_dict

from catlite.errors import ConfigError, EndpointUnavailable
from catlite.training.trl import ranks
from catlite.training.trl.compat import CALLS_US, trl_since
from catlite.training.trl.scoring import Scorer
from catlite.training.watch import Watch

Draw = Callable[[list[list[int]], int], list[list[int]]]  # (tokens of each prompt, step) → tokens of each rollout


class Halt(Exception):
    """A step is given up; the message tells the user why."""


class _Events(TrainerCallback):  # type: ignore[misc]
    """Tells a Watch when steps begin and end, and remembers the state of all random generators after each."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.random: tuple[Any, ...] = ()
        self._due = False  # a checkpoint, as soon as one can be gone on from

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.watch.begin(state.global_step)
        self.random = random_state()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        self.watch.begin_step(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.watch.end_step(state.global_step, last=state.global_step >= state.max_steps):
            control.should_training_stop = control.should_save = control.should_log = True
        # Inside the updates of a batch no run goes on: its rollouts would be drawn anew, by other weights.
        self._due = self._due or control.should_save
        control.should_save = self._due and state.global_step % updates_of_batch(args) == 0
        self._due = self._due and not control.should_save
        self.random = random_state()


class _Watched:
    """A trainer of TRL's whose steps a Watch follows. Without one it prints and logs as TRL does."""

    def __init__(self, *positional: Any, watch: Watch | None = None, share_prompts: bool = False, **named: Any) -> None:
        super().__init__(*positional, **named)
        splits = self.accelerator.distributed_type not in ("NO", "MULTI_GPU", "MULTI_CPU")  # type: ignore[attr-defined]
        self._share_prompts = share_prompts and trl_since(CALLS_US) and not splits
        # Whether a Scorer reads the model itself, and no wrapper of it that would average gradients.
        self._scores = self._share_prompts or (trl_since(CALLS_US) and not torch.cuda.is_available())
        if self._scores and splits:
            raise ConfigError("a model is split over processes on GPUs only: on a CPU give each process all of it")
        self.watch = watch
        if watch is not None:
            self._events = _Events(watch)
            self.add_callback(self._events)  # type: ignore[attr-defined]
            for printing in (PrinterCallback, ProgressCallback):
                self.remove_callback(printing)  # type: ignore[attr-defined]

    def training_step(self, *positional: Any, **named: Any) -> Any:
        """Add up the gradients of a micro-batch; after the last one of a step, the mean over all processes."""
        loss = super().training_step(*positional, **named)  # type: ignore[misc]
        if self._scores and self.accelerator.num_processes > 1 and self.accelerator.sync_gradients:  # type: ignore[attr-defined]
            ranks.average_gradients(self.model.parameters())  # type: ignore[attr-defined]
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log TRL's figures with the Watch's, and write a step's line of metrics."""
        if self.watch is not None and "loss" in logs:
            logs.update(self.watch.figures)
        super().log(logs, start_time)  # type: ignore[misc]
        if self.watch is not None:
            self.watch.write_log(self.state.log_history[-1])  # type: ignore[attr-defined]


class CatGRPOTrainer(_Watched, GRPOTrainer):  # type: ignore[misc]
    """TRL's GRPOTrainer, which also runs on a CPU and reads the prompt of a group once.

    Args:
        watch: what follows the steps; None for a trainer of your own.
        draw: what draws rollouts; None leaves that to TRL.
        share_prompts: whether the prompt of a group is read once in the loss, where that can be: not with FSDP or
            DeepSpeed; True.

    Everything else is TRL's.

    Raises:
        ConfigError: for FSDP or DeepSpeed without a GPU.

    Example:
        >>> CatGRPOTrainer(model, reward_funcs=trl_reward(MajorityVote()), args=arguments, train_dataset=rows).train()
    """

    def __init__(
        self,
        *positional: Any,
        watch: Watch | None = None,
        draw: Draw | None = None,
        share_prompts: bool = True,
        **named: Any,
    ) -> None:
        super().__init__(*positional, watch=watch, share_prompts=share_prompts, **named)
        self._draw = draw
        self._scorer: Scorer | None = None
        self._buffered_inputs: Any  # TRL's: the micro-batches of the step that is under way

    def train_from(self, checkpoint: Path | None) -> str | None:
        """Train on from `checkpoint`; return None when all steps were made, else why the last one was given up.

        A step that is given up leaves no trace: weights and random generators are those of the step before.
        """
        try:
            self.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        except Halt as halt:
            restore_random(self._events.random)
            self.model.zero_grad(set_to_none=True)
            return str(halt)
        return None

    def save_now(self) -> None:
        """Write a checkpoint of the last completed step."""
        self._save_checkpoint(self.model, None)

    def _generate_single_turn(self, prompt_ids: Any, *positional: Any, **named: Any) -> Any:
        if self._draw is None:
            completions = super()._generate_single_turn(prompt_ids, *positional, **named)
        else:
            try:
                completions = self._draw(prompt_ids, self.state.global_step), None
            except EndpointUnavailable as error:
                raise Halt(str(error)) from error
        if self.watch is not None:
            self.watch.note_rollouts()
        return completions

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        batch = super()._generate_and_score_completions(inputs)
        if self.watch is not None and (halted := self.watch.says_halt()) is not None:
            raise Halt(halted)
        for reward in self.reward_funcs:
            if any(offsets := getattr(reward, "offsets", ())):
                batch["advantages"] = batch["advantages"] + batch["advantages"].new_tensor(offsets)
        return batch

    @property
    def _keeps_order(self) -> bool:
        """Whether the order of rollouts in a step changes nothing but rounding.

        It does with one update, which sums over all micro-batches, and a loss that weighs a rollout by itself. Images,
        which TRL lays out otherwise, do not occur where there is a Watch.
        """
        arguments = self.args
        several = (
            arguments.num_iterations > 1 or arguments.steps_per_generation != arguments.gradient_accumulation_steps
        )
        weighed = arguments.loss_type == "bnpo" or getattr(arguments, "top_entropy_quantile", 1.0) < 1
        sharing = self.watch is not None and self._share_prompts and not arguments.gradient_checkpointing
        return sharing and not several and not weighed

    def _prepare_inputs(self, generation_batch: Any) -> Any:
        if not self._keeps_order or not self.model.training:
            return super()._prepare_inputs(generation_batch)
        parts = self.args.steps_per_generation
        if self._step % parts == 0 or self._buffered_inputs is None:
            self._buffered_inputs = split_tensor_dict(self._generate_and_score_completions(generation_batch), parts)
        return self._buffered_inputs[self._step % parts]

    def _get_per_token_logps_and_entropies(self, model: Any, *positional: Any, **named: Any) -> Any:
        if self._scores:
            model = self.accelerator.unwrap_model(model)
            if self._scorer is None or self._scorer.model is not model:
                self._scorer = Scorer(model, self.temperature, share_prompts=self._share_prompts)
            model = self._scorer
        return super()._get_per_token_logps_and_entropies(model, *positional, **named)


class CatSFTTrainer(_Watched, SFTTrainer):  # type: ignore[misc]
    """TRL's SFTTrainer, which also runs on a CPU."""

    def compute_loss(self, model: Any, inputs: Any, *positional: Any, **named: Any) -> Any:
        """TRL's loss, from log-probabilities that need no GPU."""
        if self._scores:
            model = Scorer(self.accelerator.unwrap_model(model), share_prompts=False)
        return super().compute_loss(model, inputs, *positional, **named)


def updates_of_batch(arguments: Any) -> int:
    """How many steps TRL makes of the rollouts that it draws at once; 1 in SFT."""
    draws = getattr(arguments, "steps_per_generation", None) or arguments.gradient_accumulation_steps
    return max(1, int(getattr(arguments, "num_iterations", 1) * draws // arguments.gradient_accumulation_steps))


def random_state() -> tuple[Any, ...]:
    """The state of all random generators that a step uses."""
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), devices


def restore_random(state: tuple[Any, ...]) -> None:
    """Restore the state of all random generators."""
    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])
    if state[3] is not None:
        torch.cuda.set_rng_state_all(state[3])
