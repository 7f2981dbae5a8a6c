"""Several processes that train together, as torchrun starts them; each is a rank, and rank 0 decides for all.

Rank 0 alone asks models for references and rewards, makes checks and keeps the run's folder, so that there is one
budget, one pace and one writer; for a batch that a GPU draws at once, more GPUs would hardly be faster. What it finds
goes to the others, and an error of any rank is raised on all. They talk by gloo, whose patience is set here, also where
gradients go by NCCL, which gives up after ten minutes. Left out: models that are split over ranks (FSDP, DeepSpeed).
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import re
import sys
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar

from catlite.errors import CatliteError, ConfigError, TrainingError

T = TypeVar("T")
R = TypeVar("R")
S = TypeVar("S")
DAY = 86_400.0  # seconds: for what takes as long as it takes, such as drawing with weights in this process
SLACK = 120.0  # seconds that a rank may be later than the work it does is allowed to take


def world_size() -> int:
    """How many ranks there are; 1 for a process of its own.

    Raises ConfigError where WORLD_SIZE says that there are several, and they are not connected.
    """
    if (distributed := _connected()) is not None:
        return int(distributed.get_world_size())
    # A worker that a rank has started inherits the variable, and works for that rank alone.
    if _announced() > 1 and multiprocessing.parent_process() is None:
        raise ConfigError(
            f"WORLD_SIZE={_announced()} says that this is one of several processes, and they are not connected "
            "(torch.distributed is not initialized). In a notebook, or for a single process, remove the variable: "
            'os.environ.pop("WORLD_SIZE"); for several start the script with torchrun --nproc_per_node'
        )
    return 1


def rank() -> int:
    """The number of this process among the ranks, from 0."""
    distributed = _connected()
    return 0 if distributed is None else int(distributed.get_rank())


def join_ranks() -> int:
    """Connect this process with the others that torchrun has started, if there are any; return how many there are.

    Raises ConfigError where WORLD_SIZE is set and what torchrun sets beside it is not.
    """
    if _connected() is None and _announced() > 1 and {"RANK", "MASTER_ADDR", "MASTER_PORT"} <= os.environ.keys():
        import torch
        from accelerate import PartialState

        if not torch.cuda.is_available():
            # accelerate would call it cpu:0, which torch.load does not know when a checkpoint is read again.
            os.environ.setdefault("ACCELERATE_TORCH_DEVICE", "cpu")
        PartialState(cpu=not torch.cuda.is_available())
    return world_size()


def ask_first(work: Callable[[], S]) -> S:
    """Do `work` on rank 0 and return its result on all ranks."""
    return work_on_first(list, lambda _: ([], work()))[1]


def work_on_all(work: Callable[[], S]) -> S:
    """Do `work` on every rank and return its result there, once all have finished."""
    results: list[S] = []

    def work_here() -> list[S]:
        results.append(work())
        return []

    work_on_first(work_here, lambda _: ([], None))
    return results[0]


def work_on_first(
    make_rows: Callable[[], list[T]],
    work: Callable[[list[T]], tuple[list[R], S]],
    limits: tuple[float, float] = (DAY, DAY),
    dial: str | None = None,
) -> tuple[list[R], S]:
    """Do `work` on rank 0 with the rows of all ranks, in order; each rank must call this as often as the others.

    Args:
        make_rows: makes this rank's rows; ranks may have different numbers of them.
        work: returns a result for each row, and something for all ranks.
        limits: seconds that a rank waits for the others to call, and then for the work; a day each.
        dial: the setting of the user's from which they are derived.

    Returns:
        (the results of this rank's rows, what there is for all).

    Raises:
        TrainingError: when another rank has ended, or is later than `limits`.

    What fails on any rank is raised on all of them; on the others its message names the rank.
    """
    if (ranks := world_size()) == 1:
        return work(make_rows())
    rows, error = _attempt(make_rows)
    everyone = _gather((rows, _as_sent(error)), limits[0], dial)
    parts: list[Any] | None = None
    if everyone is not None:
        results, sent = None, next((failure for _, failure in everyone if failure is not None), None)
        if sent is None:
            results, error = _attempt(lambda: _divide(work, [rows or [] for rows, _ in everyone]))
            sent = _as_sent(error)
        parts = [(None, sent)] * ranks if results is None else [(result, None) for result in results]
    part, sent = _scatter(parts, limits[1], dial)
    if error is not None:
        raise error
    if sent is not None:
        raise sent
    return part  # type: ignore[no-any-return]


def average_gradients(parameters: Iterable[Any]) -> None:
    """Give the trained of `parameters` the mean of their gradients over all ranks."""
    import torch

    trained = [parameter for parameter in parameters if parameter.requires_grad]
    gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in trained]
    flat = torch.cat([gradient.float().flatten() for gradient in gradients])  # one message for all
    torch.distributed.all_reduce(flat)
    flat /= world_size()
    for parameter, mean in zip(trained, flat.split([each.numel() for each in trained]), strict=True):
        parameter.grad = mean.view_as(parameter).to(parameter.dtype)


def _connected() -> Any:
    """torch.distributed where this process is connected with others, else None; imports nothing."""
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    return distributed if distributed and distributed.is_available() and distributed.is_initialized() else None


def _announced() -> int:
    """How many processes there are by the environment."""
    announced = os.environ.get("WORLD_SIZE", "")
    return int(announced) if announced.isdecimal() else 1


def _attempt(work: Callable[[], S]) -> tuple[S | None, Exception | None]:
    try:
        return work(), None
    except Exception as error:
        return None, error


def _divide(work: Callable[[list[T]], tuple[list[R], S]], rows_of_ranks: list[list[T]]) -> list[tuple[list[R], S]]:
    """Do `work` with all rows; return each rank's part of the results."""
    results, shared = work([row for rows in rows_of_ranks for row in rows])
    rest = iter(results)
    return [([next(rest) for _ in rows], shared) for rows in rows_of_ranks]


def _as_sent(error: Exception | None) -> Exception | None:
    """The error as other ranks raise it: of its class where that is ours, with the rank in its message."""
    if error is None:
        return None
    if isinstance(error, CatliteError):
        try:
            return type(error)(f"rank {rank()}: {error}")
        except TypeError:  # a class that is made of more than a message
            pass
    return TrainingError(f"rank {rank()}: {type(error).__name__}: {error}".rstrip(": "))


@functools.cache
def _group(world: Any, seconds: float) -> Any:  # noqa: ARG001 - a group belongs to the connection it was made in
    """All ranks of `world`, connected by gloo, with `seconds` for a message to arrive."""
    from torch import distributed

    return distributed.new_group(backend="gloo", timeout=timedelta(seconds=seconds))


def _gather(value: T, seconds: float, dial: str | None) -> list[T] | None:
    """On rank 0 the values of all ranks in order, once they are all there; elsewhere None."""
    from torch import distributed

    values: list[Any] | None = [None] * world_size() if rank() == 0 else None
    try:
        group = _group(distributed.group.WORLD, seconds)
        distributed.monitored_barrier(group, timedelta(seconds=seconds), wait_all_ranks=True)  # names who is missing
        distributed.gather_object(value, values, dst=0, group=group)
    except RuntimeError as error:
        raise _missing(error, seconds, dial) from error
    return values


def _scatter(values: list[T] | None, seconds: float, dial: str | None) -> T:
    """The value that rank 0 has for this rank."""
    from torch import distributed

    values_here: list[Any] = [None]
    try:
        group = _group(distributed.group.WORLD, seconds)
        distributed.scatter_object_list(values_here, values, src=0, group=group)
    except RuntimeError as error:
        raise _missing(error, seconds, dial) from error
    return values_here[0]  # type: ignore[no-any-return]


def _missing(error: RuntimeError, seconds: float, dial: str | None) -> TrainingError:
    """What to say of a rank that has ended or does not come."""
    reason = re.sub(r"\[\S+\.cc:\d+\] ", "", str(error).strip().splitlines()[0]).partition(". This is")[0]
    slow = f"; one that is only slow has {seconds:g} s" + (f", which {dial} sets" if dial else "")
    return TrainingError(
        f"rank {rank()} of {world_size()} waited for the others in vain ({reason}): a rank has ended or does not take "
        f"part, and its own output says why{slow}"
    )
