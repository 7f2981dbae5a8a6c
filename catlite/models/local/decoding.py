"""Draw the replies of one batch, token by token.

A prompt is read once however many replies it gets. If all prompts of a batch begin alike (with the instructions of a
synthesis), that beginning is read once for all. A reply that has ended leaves the batch, so that waiting for the
longest costs little. On CUDA the steps are those of `stages`. Left out: caches beyond a batch, stopping early at a stop
string, streaming.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from catlite.models.local.sampling import Choice

_ALIKE = 16  # tokens that the prompts of a batch must begin with for it to be worth a pass of its own
_LEFT = 0.75  # of a batch: when no more are under way the others are dropped, which copies the cache once


class NoCache(Exception):
    """The model gives no cache that can be handed back to it: only its own `generate` knows what to do."""


class Growing:
    """The rows of a batch over a cache that gets a column with every token: this works for every model with a cache."""

    def __init__(self, model: Any, mask: Any, cache: Any, positions: Any, steps: int) -> None:
        import torch

        self.model, self.cache, self.positions = model, cache, positions
        self.width = mask.shape[1]
        self.mask = torch.cat([mask, mask.new_ones(len(mask), steps)], 1)

    def step(self, last: Any) -> Any:
        """Read the `last` token of every row and return the scores of the next."""
        out = run_pass(self.model, last, self.mask[:, : self.width], self.positions, self.cache)
        self.cache = out.past_key_values
        self.width += 1
        return out.logits[:, -1]

    def wants_fewer(self, left: int) -> bool:
        """Whether to drop the rows that have ended when `left` are under way."""
        return left <= _LEFT * len(self.mask)

    def keep(self, kept: Any) -> None:
        """Drop all rows but `kept`."""
        self.cache.reorder_cache(kept)
        self.mask, self.positions = self.mask[kept], self.positions[kept]


def decode(
    model: Any,
    prompts: Sequence[list[int]],
    choice: Choice,
    pad: int,
    abandoned: Callable[[], bool] | None = None,
    batch_of: Callable[..., Any] = Growing,
) -> None:
    """Draw the reply of each prompt by `choice`, which keeps them; end early when `abandoned`.

    `batch_of` makes what runs the steps: `Growing`, or `Stages`. Raises NoCache, before anything is drawn.
    """
    import torch

    last, mask, cache = _read(model, prompts, pad)
    if cache is None:
        batch_of = Growing
    batch = batch_of(model, mask, cache, mask.sum(-1, keepdim=True) - 1, choice.steps)
    rows = torch.arange(len(prompts), device=mask.device)
    ended = torch.zeros_like(rows, dtype=torch.bool)
    for step in range(choice.steps):
        if abandoned is not None and abandoned():
            return
        chosen, over = choice(batch.step(last), rows, step)
        ended |= over
        left = len(rows) - int(ended.sum())
        if not left:
            return
        last = chosen[:, None]
        batch.positions += ~ended[:, None]  # a reply that has ended stays where it is, within the context
        if batch.wants_fewer(left):
            kept = (~ended).nonzero()[:, 0]
            batch.keep(kept)
            last, rows, ended = (each[kept] for each in (last, rows, ended))


def _read(model: Any, prompts: Sequence[list[int]], pad: int) -> tuple[Any, Any, Any]:
    """(last token, mask, cache of all before it) by row; the cache is None for prompts of one token."""
    import torch

    first: dict[tuple[int, ...], int] = {}
    of = [first.setdefault(tuple(prompt), len(first)) for prompt in prompts]
    different = [list(prompt) for prompt in first]
    alike = begin_alike(model.config, different)
    ids, mask = padded(different, pad, model.device, alike)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    rows = torch.tensor(of, device=ids.device)
    end = ids.shape[1] - 1  # the last token is read when the first new one is drawn
    cache: Any = None
    if alike:
        cache = run_pass(model, ids[:1, :alike], mask[:1, :alike], positions[:1, :alike], None).past_key_values
        cache.reorder_cache(torch.zeros(len(different), dtype=torch.long, device=ids.device))
    if end > alike:
        cache = run_pass(model, ids[:, alike:end], mask[:, :end], positions[:, alike:end], cache).past_key_values
    if cache is not None and len(prompts) > len(different):
        cache.reorder_cache(rows)  # of all ways to pick rows the one that every kind of cache has
    return ids[rows, -1:], mask[rows], cache


def run_pass(model: Any, ids: Any, mask: Any, positions: Any, cache: Any) -> Any:
    """Read `ids` behind what the cache holds. Raises NoCache for a model that hands out none."""
    out = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    # None, or one of the model's own making, as hybrids had before transformers 5.
    if not hasattr(getattr(out, "past_key_values", None), "layers"):
        raise NoCache
    return out


def begin_alike(config: Any, prompts: Sequence[list[int]]) -> int:
    """How many tokens all the different prompts begin with, without their last; 0 when that would not save time."""
    if len(prompts) == 1:
        return 0
    if not _all_attention(config.get_text_config()):
        return 0
    low, high = min(prompts), max(prompts)  # tokens that these two share all share
    length = next((at for at, pair in enumerate(zip(low, high, strict=False)) if pair[0] != pair[1]), len(low))
    length = min(length, min(map(len, prompts)) - 1)
    return length if length >= _ALIKE else 0


def _all_attention(config: Any) -> bool:
    """Whether every layer attends to all tokens before it: only then may there be padding behind a common beginning.

    A window or a chunk counts the columns of a batch, padding included, and a recurrent layer would read the padding.
    """
    kinds = getattr(config, "layer_types", None)
    if kinds is None:
        windows = ("sliding_window", "attention_chunk_size")
        return all(getattr(config, name, None) is None for name in windows)
    return set(kinds) == {"full_attention"}


def padded(sequences: Sequence[list[int]], pad: int, device: Any, alike: int = 0) -> tuple[Any, Any]:
    """(ids, mask), padded on the left, after the `alike` tokens that all begin with."""
    import torch

    width = max(map(len, sequences))
    ids = torch.full((len(sequences), width), pad)
    mask = torch.zeros_like(ids)
    for number, sequence in enumerate(sequences):
        for start, part in ((0, sequence[:alike]), (width - len(sequence) + alike, sequence[alike:])):
            ids[number, start : start + len(part)] = torch.tensor(part)
            mask[number, start : start + len(part)] = 1
    return ids.to(device), mask.to(device)
