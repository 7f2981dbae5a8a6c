"""What `train` and `sft` share: a run's folder, from its manifest over the last checkpoint to the outcome.

Where several processes train (trl/ranks.py), rank 0 alone writes into the folder and keeps replies and budget.
"""

from __future__ import annotations

import contextlib
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic

from catlite.errors import HaltedWarning
from catlite.models.local.engine import naming_what_to_lower
from catlite.runs.budget import Budget
from catlite.runs.session import open_run
from catlite.training.config import C
from catlite.training.folder import Folder, step_of
from catlite.training.lora import TrainablePolicy
from catlite.training.run import TrainingRun
from catlite.training.trl import ranks
from catlite.training.trl.settings import quiet_libraries
from catlite.training.view import View
from catlite.training.watch import Watch


@contextlib.contextmanager
def open_folder(run: str | Path | None, task: str, budget: Budget | None) -> Iterator[Folder]:
    """The run's folder, in which replies are kept inside, under `budget`; a temporary one when `run` is None."""
    with contextlib.ExitStack() as stack:

        def open_here() -> Folder:
            folder = Folder(tempfile.mkdtemp(prefix=f"catlite-{task}-") if run is None else run)
            stack.enter_context(open_run(folder.path, budget))
            return folder

        yield ranks.ask_first(open_here)


class Loop(Generic[C]):
    """The training of a policy in a folder, whose manifest must be equal.

    Raises ConfigError when the folder holds another run, StoreError when its manifest cannot be read.
    """

    def __init__(self, policy: TrainablePolicy[C], folder: Folder, manifest: Mapping[str, Any]) -> None:
        self.policy = policy
        self.folder = folder
        self.manifest = {"model": policy.digest, **manifest}
        self.before = ranks.ask_first(lambda: folder.open(self.manifest, {"policy": policy.whereabouts()}))
        self.outcome: dict[str, Any] = self.before.get("outcome", {})
        ranks.work_on_all(folder.check_seen)

    def finished(self) -> TrainingRun:
        """The result of a run that is complete, from its folder."""
        self.policy.load_adapter(self.folder.adapter)
        self.policy.local.weights.trained_in = self.folder.path
        return self._result(self.folder.metrics.read(self.outcome["steps"]))

    @contextlib.contextmanager
    def begun(self) -> Iterator[None]:
        """Train the policy in this folder inside; when the call is refused, the run is not begun."""
        self.policy.start_in(self.folder.path)
        with self.folder.forgotten_when_refused():
            yield

    def watch_steps(self, steps: int, progress: bool | None, **watching: Any) -> Watch:
        """Go on from the last checkpoint, of at most `steps` steps; `watching` is what Watch takes."""
        self.view = View(steps, progress)
        self.watch = Watch(self.folder, self.view, **watching)
        self.last, *lines = ranks.ask_first(self._clean)
        self.watch.resume(*lines)
        return self.watch

    def _clean(self) -> tuple[Path | None, list[dict[str, Any]], list[dict[str, Any]]]:
        """Remove what the last checkpoint knows nothing of; return that, and the lines of both files up to it."""
        self.folder.remove_torn()
        last = self.folder.last_checkpoint()
        return last, self.folder.metrics.keep(step_of(last)), self.folder.answers.keep(step_of(last))

    @property
    def saved_step(self) -> int:
        """The step of the last checkpoint; -1 without one."""
        return ranks.ask_first(lambda: step_of(self.folder.last_checkpoint()))

    def save_adapter(self) -> None:
        """Write the policy's adapter as that of the run."""
        ranks.ask_first(lambda: self.policy.local.save_adapter(self.folder.adapter))

    @contextlib.contextmanager
    def training(self, lower: str) -> Iterator[None]:
        """Train inside; the adapter is saved afterwards. `lower` says which settings need less memory."""
        with quiet_libraries():
            try:
                with naming_what_to_lower("training", lower), self.view.stopping(self.folder.path):
                    yield
            except BaseException:
                self.view.close("interrupted")
                raise
            self.save_adapter()

    def finish(self, steps: int, ended: str, best_step: int | None, *, complete: bool = True) -> TrainingRun:
        """Write how the run ended, and return the result; warn where it was given up."""
        self.outcome = {"steps": steps, "ended": ended, "complete": complete, "best_step": best_step}
        self.view.close(ended if complete else "given up")

        def write() -> list[dict[str, Any]]:
            self.folder.finish(self.manifest, self.outcome)
            self.folder.forget_all_but(best_step)
            return self.watch.rows

        rows = ranks.ask_first(write)
        if not complete and ranks.rank() == 0:
            warnings.warn(ended, HaltedWarning, stacklevel=4)  # at the call of `train`
        return self._result(rows)

    def _result(self, rows: list[dict[str, Any]]) -> TrainingRun:
        return TrainingRun(self.folder.path, self.policy.local, metrics=tuple(rows), **self.outcome)
