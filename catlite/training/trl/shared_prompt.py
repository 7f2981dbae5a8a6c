"""A group's prompt is read once in the training step, too, however many rollouts follow it.

TRL's loss runs the model over prompt + rollout for each of the G rollouts. Here the prompt's keys and values are
computed once, with their gradients, and the rollouts attend to them: the same log-probabilities and gradients up to
rounding, from P + G × C tokens instead of G × (P + C). Left out: gradient checkpointing, which keeps no keys and values
(our default on a GPU); TRL before 1.15; models whose cache is more than keys and values. There TRL's way stays.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

_GIVEN = {"input_ids", "attention_mask", "labels"}


@contextlib.contextmanager
def reading_prompts_once(trainer: Any) -> Iterator[None]:
    """While in force, TRL's GRPO trainer reads the prompt of a group once in its loss, wherever that can be."""
    with shared_prompts(trainer.model), in_order(trainer):
        yield


@contextlib.contextmanager
def shared_prompts(model: Any) -> Iterator[None]:
    """While in force, `model(…, labels=…, fused_lm_head=True)`, which is TRL's call, reads equal prompts once."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    forward = inner.forward
    possible = True

    @functools.wraps(forward)  # `generate` reads its signature
    def once(*positional: Any, fused_lm_head: bool = False, **given: Any) -> Any:
        nonlocal possible
        if not fused_lm_head:
            return forward(*positional, **given)
        told = {name: value for name, value in given.items() if value is not None}
        if possible and not positional and set(told) == _GIVEN and not inner.is_gradient_checkpointing:
            found = _once(inner, forward, **told)
            possible = found is not False  # the model's cache is what it is
            if found:
                return found
        return forward(*positional, fused_lm_head=True, **given)

    inner.forward = once
    try:
        yield
    finally:
        inner.forward = forward


@contextlib.contextmanager
def in_order(trainer: Any) -> Iterator[None]:
    """While in force, TRL cuts a step's rollouts into micro-batches as they come, group by group.

    It shuffles them first, for the sake of several updates on one batch; then most of a micro-batch's prompts differ.
    With one update, which sums over all micro-batches, their order is rounding; but for losses that weigh a rollout by
    what else is in its micro-batch, which TRL goes on shuffling.
    """
    from trl.trainer import grpo_trainer

    name, arguments = "shuffle_sequence_dict", trainer.args
    shuffle = getattr(grpo_trainer, name, None)
    several = arguments.num_iterations > 1 or arguments.steps_per_generation != arguments.gradient_accumulation_steps
    weighed = arguments.loss_type == "bnpo" or getattr(arguments, "top_entropy_quantile", 1.0) < 1
    if shuffle is None or several or weighed or arguments.gradient_checkpointing:
        yield
        return
    setattr(grpo_trainer, name, lambda batch: batch)
    try:
        yield
    finally:
        setattr(grpo_trainer, name, shuffle)


def _once(inner: Any, forward: Any, input_ids: Any, attention_mask: Any, labels: Any) -> Any:
    """TRL's output for rows whose prompts are read once each; None when that is no use, False when it cannot be."""
    import torch

    scored = (labels != -100).any(0).nonzero()
    # All before the first token that is scored, but for the one that predicts it.
    width = int(scored[0]) - 1 if len(scored) else 0
    if width < 1:
        return None
    prompts = torch.stack([input_ids[:, :width], attention_mask[:, :width]], dim=1)
    different, of = torch.unique(prompts, dim=0, return_inverse=True)
    if len(different) == len(input_ids):
        return None
    read = inner.base_model(input_ids=different[:, 0], attention_mask=different[:, 1], use_cache=True)
    cache = read.past_key_values
    if not _plain(cache):
        return False
    cache.batch_select_indices(of)
    found = forward(
        input_ids=input_ids[:, width:],
        attention_mask=attention_mask,
        past_key_values=cache,
        labels=labels[:, width:],
        fused_lm_head=True,
    )
    for name, value in found.items():
        if value.dim() == 2:  # per token: as long as it would have been
            found[name] = torch.nn.functional.pad(value, (width, 0))
    return found


def _plain(cache: Any) -> bool:
    """True for keys and values alone, which are not written into in place."""
    from transformers import cache_utils

    known = [getattr(cache_utils, name, None) for name in ("DynamicLayer", "DynamicSlidingWindowLayer")]
    return all(type(layer) in known for layer in getattr(cache, "layers", [None]))
