"""How many rollouts one backward pass takes: as many as memory has room for, since on a GPU each pass costs the same.

A backward pass needs what the forward pass leaves behind ("activations"). Checkpointing keeps less and computes it
again, which takes a third longer, and a prompt cannot be read once for its group then: only where a whole group does
not fit. Left out: measuring; a count by the model's shape is within a third of what was measured, and on the safe side.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from catlite.training.config import C
from catlite.training.lora import TrainablePolicy

log = logging.getLogger("catlite.training")
_SHARE = 0.4  # of the free memory: the loss, the gradients and the reference's forward pass need some, too


def choose_micro_batch(
    policy: TrainablePolicy[C], whole: int, usual: int, longest: Callable[[], int]
) -> dict[str, Any]:
    """TRL's settings for the sequences of a backward pass and for checkpointing, by the memory that is free now.

    On a CPU, and with Unsloth, which has its own ways to save memory, `unchosen` holds.

    Args:
        policy: the policy, whose model is loaded.
        whole: sequences of a step.
        usual: sequences to take at least, such as a group.
        longest: says how many tokens a sequence may have.

    Returns:
        `per_device_train_batch_size`, a multiple of `usual` that divides `whole`, and `gradient_checkpointing`.
    """
    if not policy.on_gpu or policy.local.backend == "unsloth":
        return unchosen(policy, usual)
    tokens, room = longest(), _SHARE * free_bytes()
    needed = tokens * token_bytes(policy.local.model, policy.config.lora_layers)
    fitting = [size for size in range(usual, whole + 1, usual) if whole % size == 0 and size * needed <= room]
    size = max(fitting, default=usual)
    kind = "without" if fitting else "with"
    log.info(
        f"a backward pass takes {size} sequences, {kind} gradient checkpointing: one of {tokens:,} tokens needs up to "
        f"{needed / 1e9:.2f} GB, and {room / 1e9:.1f} GB may be used"
    )
    return {"per_device_train_batch_size": size, "gradient_checkpointing": not fitting}


def unchosen(policy: TrainablePolicy[C], usual: int) -> dict[str, Any]:
    """The same without a look at the memory: `usual` sequences, with checkpointing on a GPU."""
    return {"per_device_train_batch_size": usual, "gradient_checkpointing": policy.on_gpu}


def token_bytes(model: Any, share: float = 1.0) -> float:
    """Bytes that the backward pass through `model` needs of each token.

    From a fit to five shapes, in bfloat16 with LoRA on all linear layers.

    share: of the layers, from the top, that are trained; those below keep nothing.
    """
    config = model.config.get_text_config()
    hidden = config.hidden_size
    inner = getattr(config, "intermediate_size", None) or 4 * hidden
    inner = max(inner) if isinstance(inner, list | tuple) else inner  # one for each layer
    # A mixture of experts computes those that a token is sent to.
    experts = (getattr(config, "num_experts_per_tok", None) or 0) * (
        getattr(config, "moe_intermediate_size", None) or inner
    )
    layers = max(1, round(share * config.num_hidden_layers))
    return float(layers * (37 * hidden + 10 * max(inner, experts)) * model.dtype.itemsize / 2)


def free_bytes() -> int:
    """Bytes of the GPU's memory that nothing is in, those that torch holds ready among them."""
    import torch

    return int(torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated())
