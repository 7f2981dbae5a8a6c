"""Run batches through weights in this process: draw replies reproducibly, and score texts.

Requests of many coroutines wait in one line, from which a thread takes batches. So the anchor's calls for all groups of
a step run together.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from catlite.errors import ConfigError, OutOfMemory
from catlite.models.local.decoding import NoCache, decode, padded
from catlite.models.local.sampling import Choice, Drawing, Drawn, Forced, numbers

_logger = logging.getLogger("catlite")
T = TypeVar("T")
_Line = queue.SimpleQueue["list[_Row] | None"]  # rows of one call stay together; None is the end
_LINGER_SECONDS = 0.01  # after the first request, for those that other coroutines are about to make
_LONGER, _TOKENS_LONGER = 2, 256  # than the shortest prompt of a batch: padding beyond costs more than a second batch
_FEW = 4  # tokens: for fewer it is not worth it to capture a step
_LOGITS = 2**27  # numbers at once when scoring, which needs all of a text's logits: 256 MB in bfloat16


class Reply(Future[T]):
    """A future that can be abandoned, when nobody waits for it any more, while its batch runs."""

    abandoned = False


@dataclass(slots=True)
class _Row:
    """One sequence: a reply to draw, or a text (`target`) to score."""

    prompt: list[int]
    adapter: bool
    future: Reply[Any]
    drawing: Drawing | None = None
    index: int = 0
    target: list[int] = field(default_factory=list)

    @property
    def length(self) -> int:
        return len(self.prompt) + len(self.target)

    @property
    def kind(self) -> tuple[bool, bool]:
        return self.adapter, self.drawing is None


class Engine:
    """The line in front of one model; its thread ends with the process, or with `close`."""

    def __init__(
        self,
        model: Any,
        pad: int,
        ends: Sequence[int],
        batch_size: int,
        *,
        own_generate: bool = False,
        drawer: Callable[..., list[Drawn]] | None = None,
        fast: str | None = None,
    ) -> None:
        self.model = model
        self.drawer = drawer  # what draws replies in the place of `model`
        self.own_generate = own_generate  # whether replies are drawn in the model's `generate`
        self.fast = fast  # as LocalModel takes it
        self.captures: bool | None = None  # whether steps are captured; None until the first was
        if fast == "plain" or model.device.type != "cuda":
            self.captures = False
        self.pad = pad
        self.ends = sorted(set(ends))
        self.batch_size = batch_size  # halved when memory does not suffice
        self._line: _Line = queue.SimpleQueue()
        self._lock = threading.Lock()  # of the line and the thread that serves it
        self._running = threading.Lock()  # the model: a thread that is closed may be in its last batch yet
        self._thread: threading.Thread | None = None

    def draw(
        self, prompts: Sequence[list[int]], drawing: Drawing, indices: Sequence[int], *, adapter: bool
    ) -> list[Reply[Drawn]]:
        """A reply for each prompt with its index, once its batch has run."""
        pairs = zip(prompts, indices, strict=True)
        return self._enter([_Row(prompt, adapter, Reply(), drawing, index) for prompt, index in pairs])

    def score(self, prompt: list[int], target: list[int], *, adapter: bool) -> Reply[list[float]]:
        """The log-probability of each token of `target` after `prompt`."""
        return self._enter([_Row(prompt, adapter, Reply(), target=target)])[0]

    def _enter(self, rows: list[_Row]) -> list[Reply[Any]]:
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                # One thread for all of it: the numeric libraries keep a pool of workers for each caller they see.
                self._thread = threading.Thread(
                    target=self._serve, args=(self._line,), name="catlite-local", daemon=True
                )
                self._thread.start()
            self._line.put(rows)
        return [row.future for row in rows]

    def close(self) -> None:
        """End the thread after the rows that wait; later rows get another thread and line."""
        with self._lock:
            thread, self._thread = self._thread, None
            line, self._line = self._line, queue.SimpleQueue()
            line.put(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def await_batch(self) -> None:
        """Wait for the batch that runs now, if there is one."""
        with self._running:
            pass

    def _serve(self, line: _Line) -> None:
        if self.model.device.type == "cuda":
            import torch

            torch.cuda.set_device(self.model.device)  # a thread begins with the first
        waiting: list[_Row] = []
        while True:
            arrived, closed = _arrived(line, wait=not waiting)
            if closed:
                line.put(None)  # for later: the rows before it are run first
            waiting += arrived
            if not waiting:
                return
            try:
                batch = self._next(waiting)
            except Exception as error:
                _fail([row for row in waiting if row.future.set_running_or_notify_cancel()], error)
                waiting = []
                continue
            taken = set(map(id, batch))
            waiting = [row for row in waiting if id(row) not in taken]
            with self._running:
                self._run(batch)

    def _next(self, waiting: list[_Row]) -> list[_Row]:
        """The next batch: of the kind of which most rows wait, since others may join those of the other kind."""
        kinds = [row.kind for row in waiting]
        kind = max(dict.fromkeys(kinds), key=kinds.count)
        alike = sorted((row for row in waiting if row.kind == kind), key=lambda row: row.length)
        return alike[: self._fitting(alike)]

    def _fitting(self, rows: list[_Row]) -> int:
        """How many of `rows`, shortest first, make the next batch."""
        if rows[0].drawing is not None and self.drawer is not None:
            return len(rows)  # it has a line of its own
        if rows[0].drawing is not None:
            most = max(_LONGER * rows[0].length, _TOKENS_LONGER + rows[0].length)
            return min(self.batch_size, sum(row.length <= most for row in rows))
        vocabulary: int = self.model.config.get_text_config().vocab_size
        longest, size = 0, 0
        for row in rows[: self.batch_size]:
            longest = max(longest, len(row.target) + 1)
            if size and (size + 1) * longest * vocabulary > _LOGITS:
                break
            size += 1
        return size

    def _run(self, rows: list[_Row]) -> None:
        """Run one batch, or halves of it when memory does not suffice."""
        rows = [row for row in rows if row.future.running() or row.future.set_running_or_notify_cancel()]
        if not rows:
            return
        try:
            results = self._batch(rows)
        except Exception as error:
            if not is_out_of_memory(error):
                _fail(rows, error)
                return
        else:
            for row, result in zip(rows, results, strict=True):
                row.future.set_result(result)
            return
        free_memory()
        if len(rows) == 1:
            _fail(rows, out_of_memory("sampling one reply", "max_tokens (in training max_completion_length)"))
            return
        self.batch_size = half = len(rows) // 2
        self._run(rows[:half])
        self._run(rows[half:])

    def _batch(self, rows: list[_Row]) -> list[Any]:
        import torch

        model, training = self.model, self.model.training
        model.eval()
        try:
            with torch.no_grad(), nullcontext() if rows[0].adapter else self._without_adapter():
                return self._drawn(rows) if rows[0].drawing is not None else self._scored(rows)
        finally:
            model.train(training)
            if training and hasattr(model, "for_training"):
                model.for_training()  # Unsloth's generate turned gradient checkpointing off, and sees no training mode

    @property
    def _plain(self) -> Any:
        """The model inside PEFT's wrapper, with the adapter.

        A trainer on a GPU puts autocast around the wrapper's own forward, which would change the numbers.
        """
        inside = getattr(self.model, "get_base_model", None)
        return self.model if inside is None else inside()

    def _without_adapter(self) -> AbstractContextManager[None]:
        off: Callable[[], AbstractContextManager[None]] | None = getattr(self.model, "disable_adapter", None)
        return nullcontext() if off is None else off()

    def _drawn(self, rows: list[_Row]) -> list[Drawn]:
        started = time.monotonic()
        drawings = [row.drawing for row in rows if row.drawing is not None]
        if self.drawer is not None:
            prompts, indices = [row.prompt for row in rows], [row.index for row in rows]
            return self.drawer(self.model, prompts, drawings, indices, adapter=rows[0].adapter)
        steps = max(drawing.max_tokens for drawing in drawings)
        random = [numbers(drawing, row.prompt, row.index, steps) for row, drawing in zip(rows, drawings, strict=True)]
        choice = Choice(drawings, random, self.ends, self.model.device)

        def abandoned() -> bool:
            return all(row.future.abandoned for row in rows)

        prompts = [row.prompt for row in rows]
        try:
            if not self.own_generate:
                self._decode(prompts, choice, abandoned)
        except NoCache:
            self.own_generate = True
        if self.own_generate:
            self._generate(prompts, choice, abandoned)
        return choice.replies(time.monotonic() - started)

    def _decode(self, prompts: list[list[int]], choice: Choice, abandoned: Callable[[], bool]) -> None:
        drawing = partial(decode, self._plain, prompts, choice, self.pad, abandoned)
        if self.captures is False or choice.steps < _FEW:
            return drawing()
        from catlite.models.local.stages import NotCapturable, Stages

        try:
            drawing(partial(Stages, check=self.captures is None))
        except NotCapturable as error:
            reason = str(error)  # without its frames, which hold a cache
        else:
            self.captures = True
            return None
        if self.fast == "graphs":
            raise ConfigError(f'fast="graphs" cannot be used with this model: {reason}. Leave `fast` out')
        _logger.warning("replies are drawn without CUDA graphs: with this model %s", reason)
        self.captures = False
        return drawing()  # from the start: `choice` overwrites what it has

    def _generate(self, prompts: list[list[int]], choice: Choice, abandoned: Callable[[], bool]) -> None:
        import torch
        from transformers import GenerationConfig

        ids, mask = padded(prompts, self.pad, self.model.device)
        # In the place of the model's own settings, which would be laid under any that are passed: the model is to be
        # sampled as it is trained. Unsloth's `generate` passes some as well, and both at once are deprecated.
        config = GenerationConfig(
            max_new_tokens=choice.steps,
            do_sample=False,
            pad_token_id=self.pad,
            eos_token_id=self.ends,
            use_cache=True,
        )

        def over(ids: Any, _scores: Any, **_: Any) -> Any:
            return torch.full((len(ids),), abandoned(), dtype=torch.bool, device=ids.device)

        inner = self._plain
        own, inner.generation_config = inner.generation_config, config
        try:
            self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                logits_processor=[Forced(choice)],
                stopping_criteria=[over],
            )
        finally:
            inner.generation_config = own

    def _scored(self, rows: list[_Row]) -> list[list[float]]:
        import torch

        ids, mask = padded([row.prompt + row.target for row in rows], self.pad, self.model.device)
        longest = max(len(row.target) for row in rows)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        logits = self._plain(
            input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=longest + 1, use_cache=False
        ).logits[:, :-1]
        results = []
        for row, scores in zip(rows, logits, strict=True):
            target = torch.tensor(row.target, device=scores.device)
            own = scores[scores.shape[0] - len(target) :].float()
            results.append((own.gather(-1, target[:, None])[:, 0] - own.logsumexp(-1)).tolist())
        return results


def _arrived(line: _Line, *, wait: bool) -> tuple[list[_Row], bool]:
    """(the rows in the line, whether it has ended); `wait` waits for a row or the end."""
    rows: list[_Row] = []
    if wait:
        first = line.get()
        if first is None:
            return rows, True
        rows += first
    fresh = True
    while fresh:  # until no row arrives for a moment: coroutines that are woken together call together
        time.sleep(_LINGER_SECONDS)
        fresh = False
        while not line.empty():
            more = line.get()
            if more is None:
                return rows, True
            rows += more
            fresh = True
    return rows, False


def _fail(rows: list[_Row], error: Exception) -> None:
    for row in rows:
        row.future.set_exception(error)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that the memory of a device or of the machine is used up."""
    import torch

    message = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in message or "can't allocate memory" in message)
    )


def out_of_memory(doing: str, setting: str) -> OutOfMemory:
    """An OutOfMemory that names the setting to lower."""
    return OutOfMemory(f"out of memory while {doing}: lower {setting}, or load the model with load_in_4bit=True")


@contextmanager
def naming_what_to_lower(doing: str, setting: str) -> Iterator[None]:
    """Raise OutOfMemory, which names the setting to lower, when memory is used up inside."""
    try:
        yield
    except OutOfMemory:  # it names a setting already
        raise
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        free_memory()
        raise out_of_memory(doing, setting) from error


def free_memory() -> None:
    """Give memory that the device's allocator holds back to the device."""
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
