"""TRL's log-probabilities without Triton: its fused language-model head has no other way, and runs on a GPU only.

On a CPU (and on macOS, where there is no Triton) TRL 1.15 fails at the first step. What it computes is a few lines of
torch; while `plain_head` is in force, and no GPU is there, those lines stand where the kernel would. Left out: the
tiles over the vocabulary, which save a GPU's memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

_CHUNK = 1024  # tokens whose logits are in memory at once


class PlainLogProbs:
    """The part of a torch.autograd.Function that TRL calls."""

    @staticmethod
    def apply(
        hidden: Any,
        weight: Any,
        bias: Any,
        targets: Any,
        temperature: float,
        chunk_size: int,  # noqa: ARG004 - of the vocabulary, which we do not cut
        softcap: float | None = None,
        scale: float = 1.0,
        outputs: Sequence[str] = (),
    ) -> tuple[Any, ...]:
        """Log-probability of each target, and as far as `outputs` names them entropy and others; None otherwise."""
        import torch
        from torch.utils.checkpoint import checkpoint

        def one(hidden: Any, targets: Any) -> tuple[Any, ...]:
            logits = torch.nn.functional.linear(hidden, weight, bias).float() * scale
            if softcap is not None:
                logits = softcap * torch.tanh(logits / softcap)
            logits = logits / temperature
            norm = logits.logsumexp(-1)
            target = logits.gather(-1, targets[:, None])[:, 0]
            found: dict[str, Any] = {}
            if "entropy" in outputs:
                found["entropy"] = norm - (logits.softmax(-1) * logits).sum(-1)
            with torch.no_grad():
                if "log_sum_sq_probs" in outputs:
                    found["log_sum_sq_probs"] = (2 * logits).logsumexp(-1) - 2 * norm
                if "mean_logits" in outputs:
                    found["mean_logits"] = logits.mean(-1)
                if "is_top1" in outputs:
                    found["is_top1"] = logits.argmax(-1) == targets
            names = ("entropy", "log_sum_sq_probs", "mean_logits", "is_top1")
            return (target - norm, *(found.get(name) for name in names))

        if len(targets) <= _CHUNK:
            return one(hidden, targets)
        # Chunk by chunk, and once more in the backward pass, so that only one chunk's logits exist at a time.
        parts = [
            checkpoint(one, hidden[start : start + _CHUNK], targets[start : start + _CHUNK], use_reentrant=False)
            for start in range(0, len(targets), _CHUNK)
        ]
        columns = zip(*parts, strict=True)
        return tuple(None if column[0] is None else torch.cat(column) for column in columns)


@contextlib.contextmanager
def plain_head() -> Iterator[None]:
    """TRL's trainers run without Triton inside; nothing changes where there is a GPU, or a TRL that needs none."""
    import torch
    from trl.trainer import utils

    name = "_ChunkedLogProbFunction"
    if torch.cuda.is_available() or not hasattr(utils, name):
        yield
        return
    before = getattr(utils, name)
    setattr(utils, name, PlainLogProbs)
    try:
        yield
    finally:
        setattr(utils, name, before)
