"""Log-probabilities for TRL's losses: the prompt of a group is read once, and a CPU needs no Triton.

TRL 1.15 computes its losses from `model(…, labels=…, fused_lm_head=True)`: it reads prompt + rollout for each of the G
rollouts, and its language-model head is a Triton kernel, which runs on a GPU only. A `Scorer` takes the model's place
in that call. It reads equal prompts once, with their gradients, and lets the rollouts attend to their keys and values:
the same log-probabilities and gradients up to rounding, from P + G × C tokens instead of G × (P + C). Without a GPU it
computes what the kernel would in torch. Where several processes train, it goes around the wrapper that averages their
gradients, and the trainer does that. Left out: tiles over the vocabulary; sharing prompts under gradient checkpointing,
which keeps no keys and values, and for models whose cache is more than those.
"""

from __future__ import annotations

from typing import Any

_CHUNK = 1024  # tokens whose logits are in memory at once
_SHAREABLE = {"input_ids", "attention_mask", "labels"}  # prompts of text alone, laid out as TRL does


class Scorer:
    """A policy as TRL's losses call it: `model`, with or without PEFT's wrapper, prepared by `add_fused_lm_head`."""

    def __init__(self, model: Any, temperature: float = 1.0, *, share_prompts: bool = True) -> None:
        self.model = model
        self.temperature = temperature  # by which logits are divided
        self.share_prompts = share_prompts  # whether equal prompts of a batch are read once

    def __call__(self, *, fused_lm_head: bool = False, **inputs: Any) -> Any:
        """The model's own output, or for TRL's losses the log-probability and the entropy of each label."""
        if not fused_lm_head:
            return self.model(**inputs)
        inputs, width = self._read_prompts(inputs)
        scores = self.model(**inputs, fused_lm_head=True) if inputs["input_ids"].is_cuda else self._score(**inputs)
        if width:
            import torch

            for name, value in scores.items():
                if value.dim() == 2:  # one number a token: as many as if the prompt were in the row
                    scores[name] = torch.nn.functional.pad(value, (width, 0))
        return scores

    @property
    def _inner(self) -> Any:
        """The language model inside PEFT's wrapper, adapter and all."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    def _read_prompts(self, inputs: dict[str, Any]) -> tuple[dict[str, Any], int]:
        """(inputs without the prompts, which are in a cache; how many columns that saves), or (inputs, 0)."""
        import torch

        if not self.share_prompts or set(inputs) != _SHAREABLE or self._inner.is_gradient_checkpointing:
            return inputs, 0
        ids, mask, labels = inputs["input_ids"], inputs["attention_mask"], inputs["labels"]
        scored = (labels != -100).any(0).nonzero()
        # All columns before the first token that is scored, but for the one that predicts it.
        width = int(scored[0]) - 1 if len(scored) else 0
        if width < 1:
            return inputs, 0
        prompts = torch.stack([ids[:, :width], mask[:, :width]], dim=1)
        different, rows = torch.unique(prompts, dim=0, return_inverse=True)
        if len(different) == len(ids):
            return inputs, 0
        cache = self._inner.base_model(
            input_ids=different[:, 0], attention_mask=different[:, 1], use_cache=True
        ).past_key_values
        if not _keys_and_values(cache):
            self.share_prompts = False
            return inputs, 0
        cache.batch_select_indices(rows)
        rest = {"input_ids": ids[:, width:], "attention_mask": mask, "labels": labels[:, width:]}
        return {**rest, "past_key_values": cache}, width

    def _score(self, labels: Any, **inputs: Any) -> Any:
        """What TRL's kernel computes, in torch."""
        import torch
        from torch.utils.checkpoint import checkpoint
        from trl.trainer.utils import FusedCausalLMOutput

        inputs.setdefault("use_cache", False)
        hidden = self._inner.base_model(**inputs).last_hidden_state[:, :-1]
        labels = labels[:, 1:]
        mask = labels != -100
        hidden, targets = hidden[mask], labels[mask]
        if len(targets) <= _CHUNK:
            columns: Any = self._score_tokens(hidden, targets)
        else:
            # Chunk by chunk, and once more in the backward pass, so that only one chunk's logits exist at a time.
            chunks = zip(hidden.split(_CHUNK), targets.split(_CHUNK), strict=True)
            parts = [checkpoint(self._score_tokens, *chunk, use_reentrant=False) for chunk in chunks]
            columns = map(torch.cat, zip(*parts, strict=True))
        log_probs, entropy, is_top1 = (value.new_zeros(mask.shape).masked_scatter(mask, value) for value in columns)
        # A mixture of experts has a loss to balance them, which only its own forward computes.
        routed = inputs.get("output_router_logits")
        aux_loss = self.model(**inputs, logits_to_keep=1).aux_loss if routed else None
        return FusedCausalLMOutput(
            log_probs=log_probs, entropy=entropy, is_top1=is_top1, label_mask=mask, aux_loss=aux_loss
        )

    def _score_tokens(self, hidden: Any, targets: Any) -> tuple[Any, Any, Any]:
        """(log-probability of each target, entropy, whether the target is the likeliest token)."""
        import torch

        config = self._inner.config.get_text_config()
        logits = self._inner.get_output_embeddings()(hidden).float() * _logit_scale(config)
        softcap = getattr(config, "final_logit_softcapping", None)
        if softcap is not None:
            logits = softcap * torch.tanh(logits / softcap)
        logits = logits / self.temperature
        norm = logits.logsumexp(-1)
        log_probs = logits.gather(-1, targets[:, None])[:, 0] - norm
        return log_probs, norm - (logits.softmax(-1) * logits).sum(-1), logits.argmax(-1) == targets


def _logit_scale(config: Any) -> float:
    """The factor that a model of this configuration has for its logits: families name it differently."""
    for name in ("logit_scale", "output_multiplier", "lm_head_multiplier"):  # Cohere, Muse, Falcon-H1
        scale = getattr(config, name, None)
        if scale is not None:
            return float(scale)
    divisor = getattr(config, "logits_scaling", None)  # Granite divides by it, HyperCLOVA X multiplies
    if divisor is None:
        return 1.0
    return float(divisor) if config.model_type == "hyperclovax" else 1 / divisor


def _keys_and_values(cache: Any) -> bool:
    """True for keys and values alone, which are not written into in place."""
    from transformers import cache_utils

    known = [getattr(cache_utils, name, None) for name in ("DynamicLayer", "DynamicSlidingWindowLayer")]
    return all(type(layer) in known for layer in getattr(cache, "layers", [None]))
