"""Many prompts on many nodes, by Ray Data: `estimate` for a cluster, and the parts that it is made of.

`Estimate` and `Judge` are classes for `Dataset.map_batches`. They work on a run that all nodes share (`open_run`): a
folder in which every reply is kept, with one limit and one budget for all of them. Needs the extra `ray`. Plain
`catlite.estimate` does the same on one machine, without a start-up of seconds. Left out: prompts with images, batch
APIs, and folders in object stores.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catlite.coerce import as_task
from catlite.data import Example, Prompt, Reference, Task, media
from catlite.errors import ConfigError
from catlite.models.base import Model, token_limit, traits
from catlite.references.dataset import References
from catlite.runs.budget import Budget, Ledger
from catlite.runs.session import copies
from catlite.scale import rows
from catlite.scale.cluster import (
    close_run as close_run,
    connect as connect,
    load,
    open_run as open_run,
    pool_size,
)
from catlite.scale.estimating import Estimate as Estimate, check_settings
from catlite.scale.judging import Judge as Judge
from catlite.scale.sharing import SharedRun, check_run

if TYPE_CHECKING:
    import ray.data

_BATCH = 16  # rows; small, so that what is done is handed on, and a killed actor has little to find again
_BLOCK = 64  # rows; a task of Ray Data keeps its whole block in memory until the last row is done


def estimate_dataset(
    dataset: ray.data.Dataset,
    model: str | Model | Callable[[], Model],
    *,
    run: SharedRun | None,
    actors: int | None = None,
    **settings: Any,
) -> ray.data.Dataset:
    """Map a data set of prompts to references, with as many actors as there are nodes, on all of them.

    For data sets that fit no single memory: read them with `ray.data`, and write what comes out with its
    `write_parquet`. References come out in blocks of 64 rows, so that the memory of an actor does not grow with the
    data set; `min_rows_per_file` puts many of them into a file.

    Args:
        dataset: its rows are as `Estimate` takes them.
        model: as in `Estimate`.
        run: of `open_run`; None keeps nothing and has no limit.
        actors: processes that ask the model, each with max_connections of its own; None is one per node.
        **settings: further arguments of `Estimate`: n, estimator, answer_format, max_tokens, …

    Returns:
        The data set of references, with the columns of `References.to_parquet`; nothing is asked before it is read.

    Raises:
        ConfigError: for a wrong argument, a model that does not pickle, or a budget that cannot be held.

    Example:
        >>> references = ray_data.estimate_dataset(ray.data.read_parquet("questions/"), model, run=run, max_tokens=800)
        >>> references.write_parquet("/mnt/shared/references", min_rows_per_file=10_000)
    """
    _check(model, None if run is None else run.budget, settings)
    ray = connect()
    return _map(ray, dataset.repartition(target_num_rows_per_block=_BLOCK), model, run, actors, settings)


def _map(
    ray: Any, dataset: ray.data.Dataset, model: Any, run: SharedRun | None, actors: int | None, settings: dict[str, Any]
) -> ray.data.Dataset:
    """Map each block of a data set to references, by actors that last as long as the data set is read."""
    return dataset.map_batches(
        Estimate,
        fn_constructor_kwargs={"model": model, "run": run, **settings},
        batch_format="pyarrow",
        batch_size=_BATCH,
        num_cpus=0.5,
        # Tasks of an actor at a time, of four batches each by Ray's default: more rows than it works on.
        compute=ray.data.ActorPoolStrategy(size=pool_size(ray, actors), max_concurrent_calls_per_actor=4),
        udf_modifying_row_count=False,
    )


def _check(model: Any, budget: Budget | None, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the sampling parameters; raise ConfigError for what would fail in every actor, before there is one."""
    checked = check_settings(**{name: value for name, value in settings.items() if name not in ("base_url", "whole")})
    try:
        load().cloudpickle.dumps((model, settings))
    except ConfigError:
        raise
    except Exception as error:  # whatever a part of it raises that cannot be pickled
        raise ConfigError(
            f"the model or the estimator cannot be sent to other processes, since it does not pickle ({error}): give "
            "the model's name and base_url=, or a function without arguments that makes it"
        ) from None
    if isinstance(model, Model) and budget is not None:
        about = traits(model)
        Ledger(budget).check(model.name, token_limit({**about.sampling, **checked}), about.price is not None)
    return checked


def estimate(
    task: str | Task | Iterable[Example | Prompt],
    model: str | Model | Callable[[], Model],
    *,
    run: str | Path,
    address: str | None = None,
    actors: int | None = None,
    budget: Budget | None = None,
    max_calls: int | None = None,
    answer_format: str | None = None,
    progress: bool | None = None,
    **settings: Any,
) -> References:
    """Estimate a reference for every example of a task, as `catlite.estimate` does, on the nodes of a Ray cluster.

    The references are gathered in this process; `estimate_dataset` is for those that do not fit its memory.

    Args:
        task: as in `catlite.estimate`, without images.
        model: as in `Estimate`.
        run: the folder, as in `open_run`.
        address: of the cluster, as in `connect`; None is RAY_ADDRESS, or a Ray on this machine alone.
        actors: as in `estimate_dataset`; None is one per node.
        budget: as in `open_run`; None for none.
        max_calls: as in `open_run`; None for no limit.
        answer_format: how replies write a final answer, for the examples that do not say it.
        progress: True shows Ray's bars; None and False do not.
        **settings: further arguments of `Estimate`: n, estimator, base_url, max_tokens, …

    Returns:
        One Reference per example, in order, with its rollouts; one that failed, or was left undone, has `.error`.

    Raises:
        ConfigError: for a wrong argument, no Ray or no cluster, before anything is sent.
        StoreError: when the folder cannot be written.

    Example:
        >>> references = ray_data.estimate("gsm8k", model, run="/mnt/shared/gsm8k", address="auto", max_tokens=800)
        >>> references.to_parquet("references.parquet")
    """
    whole = as_task(task, "estimate", answer_format=answer_format)
    if any(media(example.messages) for example in whole):
        raise ConfigError("a prompt has an image, which rows of a data set cannot hold: use catlite.estimate")
    check_run(run, budget, max_calls)
    sampling = _check(model, budget, settings)
    ray = connect(address)
    questions = [
        {"prompt": example.messages, "answer_format": example.answer_format, "id": str(place), "copy": copy}
        for place, (example, copy) in enumerate(zip(whole, copies(whole), strict=True))
    ]
    if not questions:
        return References([], (), whole.name)
    dataset = ray.data.from_items(questions, override_num_blocks=-(-len(questions) // _BATCH))
    shared = open_run(run, budget=budget, max_calls=max_calls)
    references: dict[int, Reference] = {}
    try:
        mapped = _map(ray, dataset, model, shared, actors, settings | {"whole": True})
        mapped.context.enable_progress_bars = bool(progress)
        logging.getLogger("ray.data").setLevel(logging.INFO if progress else logging.WARNING)
        for batch in mapped.iter_batches(batch_size=None, batch_format="pyarrow"):
            for text in batch["whole"].to_pylist():
                reference = rows.whole_of(text)
                place = int(reference.group.example.id or 0)
                group = replace(reference.group, example=whole.examples[place])
                references[place] = replace(reference, group=group)
    finally:
        close_run(shared)
    return References((references[place] for place in range(len(questions))), (), whole.name, sampling)
