"""A LoRA adapter as others ask about it: whether it has changed, and whether vLLM can serve it."""

from __future__ import annotations

import hashlib
from typing import Any

from catlite.errors import ConfigError

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM's --max-lora-rank can be


def adapter_digest(model: Any) -> str:
    """SHA-256 over the adapter on `model` as it is now, whole modules and tokens that it has trained included.

    "none" without one. Counters of PyTorch do not tell whether it has changed: a fused optimizer changes parameters
    without counting.
    """
    if not hasattr(model, "peft_config"):
        return "none"
    import torch
    from peft import get_peft_model_state_dict

    total = hashlib.sha256()
    for name, value in sorted(get_peft_model_state_dict(model, save_embedding_layers=False).items()):
        total.update(name.encode() + value.detach().to("cpu", torch.float32).numpy().tobytes())
    for name, layer in model.named_modules():
        if isinstance(scaling := getattr(layer, "scaling", None), dict):  # PEFT's: what the product is multiplied by
            total.update(f"{name}: {scaling}".encode())
    return total.hexdigest()


def check_servable(settings: Any) -> None:
    """Raise ConfigError for an adapter of these settings (PEFT's) that vLLM cannot serve."""
    plain = {"peft_type": ("LORA",), "use_dora": (), "modules_to_save": (), "bias": ("none",), "lora_bias": ()}
    for name, values in plain.items():
        if (value := getattr(settings, name, None)) and value not in values:
            raise ConfigError(
                f"the adapter has {name}={value!r}, which vLLM cannot serve: train without, or load the LocalModel "
                "without fast="
            )


def lora_rank_of_vllm(rank: int) -> int:
    """The least --max-lora-rank that an adapter of this rank needs; the rank itself beyond all that vLLM takes."""
    return next((size for size in RANKS if size >= rank), rank)
