"""Unsloth's part of a LocalModel: it loads the weights and, by `fast="unsloth"`, has vLLM draw the replies.

vLLM and the model that is trained then have one copy of the weights in memory (Unsloth's fast_inference). The adapter
is handed over anew whenever its numbers have changed; the anchor is drawn without one. Left out: log-probabilities of
replies that were drawn with filters or at a temperature other than 1, because this vLLM tells those after both; batches
that are given up early; Unsloth's standby mode, which is the user's to set. Unsloth runs on CUDA devices only, and
drawing with vLLM has not been run on one yet: the tests hold our calls against the sources and a stand-in.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from catlite import cache
from catlite.errors import ConfigError, ModelError
from catlite.models.local.adapters import adapter_digest
from catlite.models.local.sampling import Drawing, Drawn, as_drawn, seed_of_reply

_GPU_SHARE = 0.5  # of the memory, for vLLM's keys and values and the weights; the rest is for training


def import_unsloth() -> None:
    """Import Unsloth, which rewrites trl and transformers, so that it has to come before them.

    The code that it writes goes into catlite's cache instead of the working directory, unless the user has set
    UNSLOTH_COMPILE_LOCATION, or has imported Unsloth already.
    """
    os.environ.setdefault("UNSLOTH_COMPILE_LOCATION", str(cache.folder() / "unsloth"))
    importlib.import_module("unsloth")


def save_kernels() -> None:
    """Keep what Unsloth compiled in this process for the next one, which else happens only when it ends normally."""
    compiled = sys.modules.get("unsloth_zoo.compile_cache")
    with contextlib.suppress(Exception):  # a cache is no reason to fail
        compiled.megacache_save()  # type: ignore[union-attr]


def check_vllm(backend: str) -> None:
    """Raise ConfigError when `fast="unsloth"` cannot be with this backend, or without vLLM."""
    if backend != "unsloth":
        raise ConfigError(f'fast="unsloth" needs backend="unsloth", and this one is {backend!r}: leave `fast` out')
    if importlib.util.find_spec("vllm") is None:
        raise ConfigError(
            'fast="unsloth" has vLLM draw the replies, which is not installed: pip install vllm, or leave `fast` out'
        )


def load(folder: str, settings: Mapping[str, Any], adapter: Path | None, rank: int) -> tuple[Any, Any]:
    """(model, tokenizer); with `fast="unsloth"` the model has its vLLM engine, set up for adapters up to `rank`.

    Raises ConfigError when Unsloth left vLLM out.
    """
    import torch
    from transformers import AutoConfig
    from unsloth import FastLanguageModel

    dtype, vllm = settings["dtype"], settings["fast"] == "unsloth"
    if adapter is not None:
        rank = max(rank, json.loads((adapter / "adapter_config.json").read_text("utf-8"))["r"])
    # Unsloth cuts longer prompts silently, so it is told the length that the model itself allows.
    own = getattr(AutoConfig.from_pretrained(folder).get_text_config(), "max_position_embeddings", None)
    model, tokenizer = FastLanguageModel.from_pretrained(
        folder,
        max_seq_length=settings["context"] or own or 4096,
        load_in_4bit=settings["load_in_4bit"],
        dtype=None if dtype == "auto" else getattr(torch, dtype),
        fast_inference=vllm,
        max_lora_rank=rank,
        gpu_memory_utilization=_GPU_SHARE,
        use_safetensors=True,
    )
    if vllm and not hasattr(model, "vllm_engine"):
        raise ConfigError(
            'fast="unsloth": Unsloth loaded the model without vLLM, for a reason that it prints (a GPU that is too old '
            "for it, or a kind of model that it does not serve): leave `fast` out"
        )
    return model, getattr(tokenizer, "tokenizer", tokenizer)


class VLLMDrawer:
    """Draws batches with the vLLM engine of a model that Unsloth loaded.

    Args:
        ends: the tokens that end a reply.
    """

    def __init__(self, ends: Sequence[int]) -> None:
        self.ends = list(ends)
        self._digest = ""  # of the adapter that vLLM has
        self._request: Any = None  # by which it knows that adapter
        self._folder: TemporaryDirectory[str] | None = None  # for the adapter's settings, which Unsloth writes

    def __call__(
        self,
        model: Any,
        prompts: Sequence[list[int]],
        drawings: Sequence[Drawing],
        indices: Sequence[int],
        *,
        adapter: bool,
    ) -> list[Drawn]:
        """A reply for each prompt, as its drawing says: all with the adapter of `model`, or all without one.

        Raises ModelError when vLLM gave one up.
        """
        started = time.monotonic()
        settings = [self._settings(*row) for row in zip(drawings, prompts, indices, strict=True)]
        outputs = model.vllm_engine.generate(
            [{"prompt_token_ids": prompt} for prompt in prompts],
            settings,
            lora_request=self._renewed(model) if adapter and hasattr(model, "peft_config") else None,
            use_tqdm=False,
        )
        seconds = time.monotonic() - started
        return [_reply(output.outputs[0], self.ends, seconds) for output in outputs]

    def _settings(self, drawing: Drawing, prompt: list[int], index: int) -> Any:
        from vllm import SamplingParams

        names = ("temperature", "top_p", "top_k", "min_p", "max_tokens")
        return SamplingParams(
            **{name: getattr(drawing, name) for name in names},
            seed=seed_of_reply(drawing, prompt, index),
            stop_token_ids=self.ends,
            logprobs=0 if _is_plain(drawing) else None,  # 0: of the tokens that were drawn
            detokenize=False,
        )

    def _renewed(self, model: Any) -> Any:
        """The request that stands for the adapter as it is now; a new one when its numbers have changed."""
        from unsloth_zoo.vllm_utils import load_lora

        digest = adapter_digest(model)
        if digest != self._digest:
            if self._folder is None:
                self._folder = TemporaryDirectory(prefix="catlite-")
            self._request = load_lora(model, self._folder.name, load_tensors=True)
            self._digest = digest
        return self._request


def _is_plain(drawing: Drawing) -> bool:
    """Whether a reply is drawn from the model's own distribution, without temperature and filters."""
    return (drawing.temperature, drawing.top_p, drawing.top_k, drawing.min_p) == (1.0, 1.0, 0, 0.0)


def _reply(completion: Any, ends: Sequence[int], seconds: float) -> Drawn:
    tokens, reason = list(completion.token_ids), completion.finish_reason
    if reason not in ("stop", "length"):
        raise ModelError(f"vLLM gave a reply up ({reason})")
    scores = completion.logprobs or []
    logprobs = [places[token].logprob for places, token in zip(scores, tokens, strict=False)]
    return as_drawn(tokens, logprobs, ends, seconds)
