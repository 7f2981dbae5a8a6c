"""Draw over a cache that stays where it is in memory, so that a CUDA graph can repeat a step without Python.

A step of a small model is some thousand launches of kernels, for which the CPU needs several times as long as the GPU
for the work itself. Captured once, they are launched as one. A batch is drawn in stages: a stage has room for a number
of new tokens; its first step runs as usual, its second is captured, and the others are replays. Left out: graphs that
outlive a batch, since weights, adapter and modes may have changed by the next.
"""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer, StaticLayer

from catlite.models.local.decoding import run_pass

_ROOM = 128  # new tokens of the first stage; every later stage has twice the room
_ALIGNED = 8  # columns; attention on CUDA copies a mask of another width in every layer
_WORTH = 32  # tokens before and after which a stage pays for itself when rows are dropped
_CAPTURING = threading.Lock()  # torch captures on one stream, and there may be several models
_READ_BACK = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}
_INDEXING = {torch.ops.aten.index, torch.ops.aten.index_put, torch.ops.aten.index_put_}
_COPY = torch.ops.aten._to_copy.default  # noqa: SLF001 - its name


class NotCapturable(Exception):
    """A step of this model cannot be captured; the message says why."""


class Stages:
    """The rows of a batch over a cache with room for new tokens, and the graph of one step.

    `capture=False` runs every step as usual over the same memory, and `check` looks for what no graph can repeat.
    Raises NotCapturable, in the first two steps at the latest.
    """

    def __init__(
        self,
        model: Any,
        mask: Any,
        cache: Any,
        positions: Any,
        steps: int,
        *,
        capture: bool = True,
        check: bool = False,
    ) -> None:
        for layer in cache.layers:
            if type(layer) not in (DynamicLayer, DynamicSlidingWindowLayer):
                raise NotCapturable(f"the cache has a {type(layer).__name__}")
        self.model, self.mask, self.cache, self.positions = model, mask, cache, positions
        self.capture, self.check = capture, check
        self._width: int = mask.shape[1] - 1  # columns that the cache holds
        self._seen = torch.full((1,), self._width, device=mask.device)  # the same number, for the graph
        self._steps = steps
        self._room = _ROOM
        self.keep(torch.arange(len(mask), device=mask.device))

    def keep(self, kept: Any) -> None:
        """Begin a stage with the rows `kept`."""
        self._graph = self._scores = None  # before new memory is taken
        room = min(self._room, self._steps)
        room += -(self._width + room) % _ALIGNED
        self.mask = torch.nn.functional.pad(self.mask[kept, : self._width], (0, room), value=1)
        self.positions = self.positions[kept]
        self.ids = torch.zeros_like(self.positions)
        layers = self.cache.layers
        for number, layer in enumerate(layers):  # in place, so that both caches are in memory for one layer only
            layers[number] = _StandingLayer(layer, kept, self._width, room, self._seen)
        self._used = 0
        self._room *= 2

    def step(self, last: Any) -> Any:
        """Read the `last` token of every row and return the scores of the next."""
        self.ids.copy_(last)
        if self._graph is not None:
            self._graph.replay()
        elif self.capture and self._used == 1 and min(self._free, self._steps) > 1:
            self._capture()
        else:
            with _Checked() if self.check else nullcontext():
                self._scores = self._pass()
            self.check = False
        self._width, self._used, self._steps = self._width + 1, self._used + 1, self._steps - 1
        return self._scores

    @property
    def _free(self) -> int:
        return int(self.mask.shape[1]) - self._width

    def _pass(self) -> Any:
        out = run_pass(self.model, self.ids, self.mask, self.positions, self.cache)
        self._seen += 1
        return out.logits[:, -1]

    def _capture(self) -> None:
        graph = torch.cuda.CUDAGraph()
        try:
            # A capture that fails does not put the present stream back.
            here = torch.cuda.stream(torch.cuda.current_stream())
            with _CAPTURING, here, torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._scores = self._pass()
        except RuntimeError as error:
            cause = error.__context__ or error  # of an error within a capture only the context says the reason
            if isinstance(cause, torch.OutOfMemoryError):
                raise cause from None
            raise NotCapturable(f"a step cannot be captured: {cause}") from error
        self._graph = graph
        graph.replay()

    def wants_fewer(self, left: int) -> bool:
        """Whether a new stage should begin with the `left` rows that are under way."""
        few = left <= len(self.mask) / 2 and self._used >= _WORTH and self._steps >= _WORTH
        return few or not self._free


class _StandingLayer(StaticLayer):  # type: ignore[misc]
    """The keys and values of a layer, as far as they are seen again, with room for more behind them."""

    def __init__(self, layer: Any, kept: Any, width: int, room: int, seen: Any) -> None:
        window = getattr(layer, "sliding_window", None)
        before = getattr(layer, "start", width - layer.keys.shape[-2])
        self.start = before if window is None else max(before, width - window + 1)  # the first column it holds
        columns = width - self.start + room
        super().__init__(columns + -columns % _ALIGNED)
        self.sliding_window, self.is_sliding = window, window is not None
        self.dtype, self.device, self.is_initialized = layer.keys.dtype, layer.keys.device, True
        self.seen = seen
        part = slice(self.start - before, width - before)
        self.keys, self.values = (
            torch.nn.functional.pad(each[kept, :, part], (0, 0, 0, self.max_cache_len - width + self.start))
            for each in (layer.keys, layer.values)
        )

    def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
        """Put one column in its place."""
        column = self.seen - self.start if self.start else self.seen
        self.keys.index_copy_(2, column, key_states)
        self.values.index_copy_(2, column, value_states)
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:  # noqa: ARG002 - transformers' signature
        """(columns, the first of them)."""
        return self.max_cache_len, self.start

    def get_seq_length(self) -> Any:
        """How many columns came before, with those that a window has left behind."""
        return self.seen[0]


class _Checked(TorchDispatchMode):  # type: ignore[misc]
    """Raise NotCapturable where the host would wait for a number from the device: a graph cannot repeat that.

    A capture that fails half-way can leave torch's allocator in a bad state, so this comes first.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func.overloadpacket in _INDEXING:  # by numbers, or by a mask, whose true places are counted on the host
            reads = any(index is not None and index.dtype == torch.bool for index in args[1])
        else:
            reads = bool(_READ_BACK & set(func.tags))
        if reads or (func is _COPY and out.device != args[0].device):
            raise NotCapturable(f"a step reads numbers back from the device ({func})")
        return out
