"""How many rollouts one backward pass takes: on a GPU as many as memory has room for, since each pass costs the same.

Of several processes each takes its share of a step, in micro-batches of the size that rank 0 chooses.

A backward pass needs what the forward pass leaves behind ("activations"). Checkpointing keeps less and computes it
again, which takes a third longer, and a prompt cannot be read once for its group then: only where a whole group does
not fit. A CPU needs 17% less time for 24 short rollouts at once than for 8 at a time, and for 48 no less. Left out:
measuring; a count by the model's shape is within a third of what was measured, and on the safe side.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

from catlite.checks import whole_number
from catlite.errors import ConfigError
from catlite.training.config import C
from catlite.training.folder import Folder
from catlite.training.lora import TrainablePolicy
from catlite.training.trl import ranks

log = logging.getLogger("catlite.training")
_SHARE = 0.4  # of the free memory: the loss, the gradients and the reference's forward pass need some, too
_CPU_TOKENS = 2_000  # of a backward pass on a CPU


def micro_batches(
    policy: TrainablePolicy[C], folder: Folder, whole: int, usual: int, longest: Callable[[], int]
) -> dict[str, Any]:
    """TRL's settings that cut the `whole` sequences of a step into micro-batches, over which gradients are summed.

    The user's size, or what `choose_micro_batch` says when the run begins and the run's manifest afterwards, since the
    same run goes on alike whatever memory is free then. A run from before there was a choice goes on with `usual`.

    Args:
        policy: the policy, whose model is loaded.
        folder: of the run.
        whole: sequences of a step, of all processes.
        usual: sequences to take at least, such as a group.
        longest: says how many tokens a sequence may have.

    Raises:
        ConfigError: for a size of the user's that does not divide a step.
    """
    several = ranks.world_size()
    whole //= several
    usual = math.gcd(usual, whole)
    users = policy.config.trl.get("per_device_train_batch_size")
    if users is not None and whole % whole_number("per_device_train_batch_size", users):
        raise ConfigError(
            f"per_device_train_batch_size={users!r} does not divide the {whole} sequences of a step"
            + (f" that each of {several} processes has" if several > 1 else "")
            + f": take a divisor, such as {usual}"
        )

    def choose() -> dict[str, Any]:
        return choose_micro_batch(policy, users or whole, users or usual, longest)

    chosen = ranks.ask_first(lambda: folder.choice("micro_batch", choose)) or unchosen(policy, usual)
    size = users or chosen["per_device_train_batch_size"]
    if whole % size:  # of another number of references
        size = usual
    return {**chosen, "per_device_train_batch_size": size, "gradient_accumulation_steps": whole // size}


def choose_micro_batch(
    policy: TrainablePolicy[C], whole: int, usual: int, longest: Callable[[], int]
) -> dict[str, Any]:
    """Choose the sequences of a backward pass, and checkpointing: by the memory that is free, on a CPU by their tokens.

    With Unsloth, which has its own ways to save memory, `unchosen` holds.

    Args:
        policy: the policy, whose model is loaded.
        whole: sequences of a step.
        usual: sequences to take at least, such as a group.
        longest: says how many tokens a sequence may have.

    Returns:
        `per_device_train_batch_size`, a multiple of `usual` that divides `whole`, and `gradient_checkpointing`.
    """
    if policy.local.backend == "unsloth":
        return unchosen(policy, usual)
    tokens, room, needed = longest(), float(_CPU_TOKENS), 1.0
    if policy.on_gpu:
        room, needed = _SHARE * free_bytes(), token_bytes(policy.local.model, policy.config.lora_layers)
    sizes = range(usual, whole + 1, usual)
    fitting = [size for size in sizes if whole % size == 0 and size * tokens * needed <= room]
    size, checkpointing = max(fitting, default=usual), policy.on_gpu and not fitting
    if policy.on_gpu:
        log.info(
            f"a backward pass takes {size} sequences, {'with' if checkpointing else 'without'} gradient checkpointing: "
            f"one of {tokens:,} tokens needs up to {tokens * needed / 1e9:.2f} GB, and {room / 1e9:.1f} GB may be used"
        )
    return {"per_device_train_batch_size": size, "gradient_checkpointing": checkpointing}


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
