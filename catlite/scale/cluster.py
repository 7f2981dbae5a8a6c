"""A Ray cluster, and a run whose limiter is an actor of it."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catlite.checks import whole_number
from catlite.errors import ConfigError, MissingExtra, StoreError
from catlite.extras import install
from catlite.runs.budget import Budget
from catlite.runs.files import Lock, NoLocks
from catlite.scale.leases import Grant, Lease, Limiter
from catlite.scale.sharing import SharedRun, make_run
from catlite.usage import Usage

_REACH_SECONDS = 5.0
_ANSWER_SECONDS = 300.0  # of the limiter, which Ray may be starting again


def connect(address: str | None = None) -> Any:
    """Connect to a Ray cluster, unless this process is connected already, and return the module `ray`.

    Args:
        address: of the cluster, as host:port or "auto"; None is RAY_ADDRESS, or a Ray on this machine alone.

    Raises:
        MissingExtra: without catlite[ray].
        ConfigError: when the cluster cannot be reached.

    Example:
        >>> ray_data.connect("10.0.0.5:6379")
    """
    ray = load()
    if ray.is_initialized():
        return ray
    address = address or os.environ.get("RAY_ADDRESS") or "local"
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdigit():  # Ray itself would wait for minutes
            socket.create_connection((host, int(port)), timeout=_REACH_SECONDS).close()
        settings: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
        ray.init(address=address, log_to_driver=False, logging_level="warning", **settings)
    except Exception as error:  # ConnectionError, ValueError, or Exception itself
        raise ConfigError(
            f"no Ray cluster can be reached at {address!r}: {error}. Start one with `ray start --head`, or leave the "
            "address out for a Ray on this machine"
        ) from None
    return ray


def load() -> Any:
    """Return the module `ray`; MissingExtra without catlite[ray]."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent home that nobody asked for
    try:
        import ray
        import ray.data
    except ImportError:
        raise MissingExtra(f"Ray Data needs catlite[ray]: {install('ray')}") from None
    return ray


def open_run(folder: str | Path, *, budget: Budget | None = None, max_calls: int | None = None) -> SharedRun:
    """Open a run for the actors of a cluster, with a limiter that lasts until `close_run`, or the end of this process.

    Args:
        folder: on storage that all nodes mount at the same path, such as NFS. Every reply is kept there as it comes,
            and the same work on the same folder asks only for what is missing.
        budget: a hard cap on requests, tokens or dollars, earlier runs in the folder included; None for none.
        max_calls: requests in flight over all actors; None for no limit but the model's max_connections in each actor.

    Returns:
        The run, to be given to `Estimate` and `Judge`.

    Raises:
        ConfigError: for a wrong argument, no Ray, or a cap on what earlier runs spent to an unknown extent.
        StoreError: when the folder cannot be written, another driver works on it, or it has replies of a run without
            Ray.

    Example:
        >>> run = ray_data.open_run("/mnt/shared/questions", budget=catlite.Budget(usd=20), max_calls=256)
    """
    ray = connect()
    if max_calls is not None:
        whole_number("max_calls", max_calls)

    def start(file: Path) -> _RayReport:
        Limiter(file, budget, max_calls)  # refuses here what it would refuse in its actor
        _lock(file.parent.parent)
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
        settings = {"num_cpus": 0, "max_restarts": -1, "max_task_retries": -1, "scheduling_strategy": here}
        actor = ray.remote(Limiter).options(name=f"catlite limiter {file.stem}", namespace="catlite", **settings)
        return _RayReport(actor.remote(file, budget, max_calls))

    return make_run(folder, budget, start, _actor)


def close_run(run: SharedRun) -> None:
    """End the limiter of a run that `open_run` opened, once nothing works on the run; a second time changes nothing.

    Args:
        run: the run.

    Example:
        >>> ray_data.close_run(run)
    """
    if isinstance(run.report, _RayReport):
        import ray

        ray.kill(run.report.limiter)
    if (lock := _locks.pop(run.folder, None)) is not None:
        lock.release()


_locks: dict[Path, Lock] = {}  # of the folders of runs that this process has open


def _lock(folder: Path) -> None:
    """Keep other drivers away from a folder, since each has a limiter that knows nothing of the other's."""
    if folder in _locks:
        raise StoreError(
            f"run={str(folder)!r} is open in this process: end it with close_run(run), or give this run another folder"
        )
    with suppress(NoLocks):  # of some network file systems: then nobody can tell
        _locks[folder] = Lock(folder)


@dataclass(frozen=True)
class _RayReport:
    """Carries reports to the limiter's actor, whose handle it holds."""

    limiter: Any

    def __call__(self, name: str, place: str, lease: Lease, wanted: Usage | None) -> Grant:
        """Send a report and wait for the answer."""
        import ray

        try:
            grant: Grant = ray.get(self.limiter.report.remote(name, place, lease, wanted), timeout=_ANSWER_SECONDS)
        except ray.exceptions.RayTaskError as error:
            raise error.cause from None
        return grant


def _actor() -> str:
    """Name the actor that calls this; one that Ray starts again keeps its name."""
    import ray

    return ray.get_runtime_context().get_actor_id() or f"{socket.gethostname()} {os.getpid()}"


def pool_size(ray: Any, actors: int | None) -> int:
    """Check a number of actors; None is one for each node of the cluster that is up. Raises ConfigError."""
    if actors is None:
        return sum(node["Alive"] for node in ray.nodes())
    return whole_number("actors", actors)
