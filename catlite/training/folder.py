"""The folder of a training run: its manifest, a line of metrics per step, the checkpoints.

    training.json    what was asked for, and how it ended        replies.sqlite   every reply paid for
    metrics.jsonl    a line per step                             checkpoints/     transformers' own, to go on from
    adapter/         the trained adapter, as PEFT keeps one      best/step-…/     the best one by its checks
    answers.jsonl    the reference answers of each step

Left out: pickle of ours; transformers keeps its optimizer in a file of torch's, and reads it as weights only.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from catlite import checks
from catlite.errors import ConfigError, DataError, StoreError
from catlite.runs import atomic

T = TypeVar("T")
_VERSION = 1
# What may differ from one part of a run to the next without changing what its steps are; `steps` only while the
# learning rate is constant.
_FREE = frozenset({"steps", "judge_wait"})
_FREE_IN_TRL = frozenset({"per_device_train_batch_size"})  # gradients are summed over the same rollouts


def is_training(folder: str | Path) -> bool:
    """Whether `folder` holds a training run, and no evaluation."""
    path = Path(folder).expanduser()
    return (path / "training.json").is_file() and not (path / "evaluation.json").exists()


class Folder:
    """The folder of a training run."""

    def __init__(self, path: str | Path) -> None:
        self.path = checks.folder("run", path)
        self.adapter = self.path / "adapter"
        self.checkpoints = self.path / "checkpoints"
        self.metrics = Lines(self.path / "metrics.jsonl")
        self.answers = Lines(self.path / "answers.jsonl")
        self._manifest_file = self.path / "training.json"
        self._also: dict[str, Any] = {}
        self._begun = False  # by this call

    def open(self, manifest: Mapping[str, Any], also: Mapping[str, Any]) -> dict[str, Any]:
        """Compare `manifest` with training.json, or write that when there is none; return what it says.

        `also` is written beside it, and may differ from call to call. Raises ConfigError when the folder holds another
        run, StoreError when the file cannot be read.
        """
        self._also = dict(also)
        if not self._manifest_file.exists():
            self._begun = True
            return self._write({**manifest, **also})
        before = self.manifest()
        for name in sorted(manifest, key="config".__ne__):  # first, since it says why the questions may be others
            _compare(self.path, name, before.get(name), json.loads(json.dumps(manifest[name])))
        return before

    def check_seen(self) -> None:
        """Raise ConfigError where another machine keeps the run's folder on a disk that this one does not see."""
        if not self._manifest_file.is_file():
            raise ConfigError(f"{str(self.path)!r} is not there on each machine: give a run= on a disk that they share")

    def manifest(self) -> dict[str, Any]:
        """What training.json says. Raises StoreError when it cannot be read."""
        file = self._manifest_file
        try:
            manifest = json.loads(file.read_text("utf-8"))
            if manifest["catlite_training"] != _VERSION:
                raise StoreError(f"{file} was written by another version of catlite")
        except FileNotFoundError:
            raise StoreError(
                f"{str(self.path)!r} has no training run (there is no training.json): give the folder that was run= "
                "of train or sft"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{file} cannot be read as a training run: {error}") from None
        return dict(manifest)

    @contextlib.contextmanager
    def forgotten_when_refused(self) -> Iterator[None]:
        """Remove training.json when the call is refused before its first checkpoint: the folder is free for another."""
        try:
            yield
        except (ConfigError, DataError):
            if self._begun and self.last_checkpoint() is None:
                self._manifest_file.unlink(missing_ok=True)
            raise

    def finish(self, manifest: Mapping[str, Any], outcome: Mapping[str, Any]) -> None:
        """Write how the run ended."""
        self._write({**self.manifest(), **manifest, **self._also, "outcome": dict(outcome)})

    def choice(self, name: str, choose: Callable[[], T]) -> T | None:
        """What training.json says under `name`, where what `choose` returns is written when the run begins.

        None for a run that has checkpoints and no such choice: it was begun by a version that made none.
        """
        manifest = self.manifest()
        if name not in manifest and self.last_checkpoint() is None:
            manifest = self._write({**manifest, name: choose()})
        return manifest.get(name)

    def _write(self, manifest: Mapping[str, Any]) -> dict[str, Any]:
        versioned = {"catlite_training": _VERSION, **manifest}
        atomic.write(self._manifest_file, [json.dumps(versioned, indent=1)])
        return versioned

    def best(self, step: int) -> Path:
        """Where the adapter of `step` is kept while it is the best."""
        return self.path / "best" / f"step-{step}"

    def forget_all_but(self, step: int | None) -> None:
        """Remove the adapters that were the best before the one of `step`."""
        for folder in self.path.glob("best/step-*"):
            if step is None or folder != self.best(step):
                shutil.rmtree(folder)

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint that is complete: its state is the file that is written last.

        One that cannot be read now is passed over with a warning, since it may be good.
        """
        for folder in sorted(self.checkpoints.glob("checkpoint-*"), key=step_of, reverse=True):
            try:
                complete = _is_complete(folder)
            except OSError as error:
                warnings.warn(
                    f"the checkpoint {folder} cannot be read now ({error.strerror or error}): it is passed over, and "
                    "left as it is",
                    stacklevel=2,
                )
                continue
            if complete:
                return folder
        return None

    def remove_torn(self) -> None:
        """Remove the checkpoints that a kill has left unfinished, from which no run can go on.

        Only for a process that holds the run alone: one that is just being written looks the same.
        """
        for folder in self.checkpoints.glob("checkpoint-*"):
            with contextlib.suppress(OSError):
                if folder.is_dir() and not _is_complete(folder):
                    shutil.rmtree(folder)


class Lines:
    """A file with one line of JSON for each step."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, until: int | None = None) -> list[dict[str, Any]]:
        """The lines up to step `until`; a torn last line, and any other that is none of ours, is left out."""
        rows = []
        for line in self.path.read_text("utf-8").splitlines() if self.path.exists() else ():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if not isinstance(row, dict) or not isinstance(row.get("step"), int):
                continue
            if until is None or row["step"] <= until:
                rows.append(row)
        return rows

    def keep(self, until: int) -> list[dict[str, Any]]:
        """Remove the lines after step `until`, which will be made again; return the others."""
        rows = self.read(until)
        if self.path.exists():
            self.write(rows)
        return rows

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replace all lines."""
        atomic.write(self.path, [json.dumps(row) + "\n" for row in rows])

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a line."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def _is_complete(folder: Path) -> bool:
    """False for a checkpoint whose state is missing or half written; OSError when that cannot be told."""
    try:
        json.loads((folder / "trainer_state.json").read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return True


def step_of(checkpoint: Path | None) -> int:
    """The step of a checkpoint by the number at the end of its name; -1 for None, or a name without one."""
    tail = "" if checkpoint is None else checkpoint.name.rpartition("-")[2]
    return int(tail) if tail.isdecimal() else -1


def _compare(folder: Path, name: str, was: Any, now: Any) -> None:
    """Raise ConfigError when the run in `folder` was begun with another value of `name`."""
    if name == "config" and isinstance(was, dict):
        was, now = (config | {"trl": _fixed(config.get("trl"))} for config in (was, now))
        schedule = str(now["trl"].get("lr_scheduler_type", "constant"))
        free = _FREE if schedule.startswith("constant") else _FREE - {"steps"}
        changed = [key for key in now if key not in free and was.get(key) != now[key]]
        if not changed:
            return
        name, was, now = changed[0], was.get(changed[0]), now[changed[0]]
        if name == "steps":
            now = f"{now} (the learning rate follows the schedule {schedule!r} over all steps)"
    if was == now:
        return
    if name == "model":
        raise ConfigError(
            f"run={str(folder)!r} has checkpoints of another model (weights {_short(was)}, this one has "
            f"{_short(now)}): load the model it was begun with, as it was loaded, or give this run another folder"
        )
    if name == "questions":
        raise ConfigError(
            f"run={str(folder)!r} was begun with other questions (ids, prompts, answer formats, or their order): a run "
            "goes on as it was begun; give this one another folder"
        )
    raise ConfigError(
        f"run={str(folder)!r} was begun with {name}={str(was)[:80]}, and this call has {name}={str(now)[:80]}: a run "
        "goes on as it was begun; give this one another folder"
    )


def _short(weights: Any) -> str:
    """The beginning of a digest, with how the weights are loaded."""
    digest, _, loaded = str(weights).partition(", ")
    return f"{digest[:12]}…" + (f", {loaded}" if loaded else "")


def _fixed(settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """TRL's settings without those that may differ."""
    return {name: value for name, value in (settings or {}).items() if name not in _FREE_IN_TRL}
