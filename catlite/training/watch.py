"""What a run keeps of its steps: seconds of each part, metrics, checks, and when to stop.

A step whose groups all abstain is given up before the weights move, unless an estimator chose to abstain and nothing
was down; `halted` says why. Where several processes train, rank 0 makes checks, writes and decides, and tells others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from catlite.training.checks import Check
from catlite.training.flips import Flips
from catlite.training.folder import Folder
from catlite.training.scored import Batch
from catlite.training.trl import ranks
from catlite.training.view import View


class Watch:
    """Follows the steps of a training, as TRL's trainer reports them."""

    def __init__(
        self,
        folder: Folder,
        view: View,
        check: Callable[[int], Check | None] | None = None,
        says_stop: Callable[[list[Check]], str | None] | None = None,
        every: int = 1,
        keep_best: Callable[[int], None] | None = None,
        best_by: str = "reward",
        stops_by_flips: bool = False,
    ) -> None:
        self.folder = folder
        self.view = view
        self.check = check  # scores held-back prompts after a step; None makes no checks
        self.says_stop = says_stop  # why training may end, from all checks; None never ends it
        self.every = every  # steps between checks
        self.keep_best = keep_best  # saves the adapter of the step whose check is the best so far
        self.best_by = best_by  # the figure of a check by which it is the best
        self.stops_by_flips = stops_by_flips  # whether training may end when flips have risen and fallen
        self.flips = Flips()
        self.rows: list[dict[str, Any]] = []
        self.history: list[Check] = []
        self.best: Check | None = None
        self.ended: str | None = None
        self.halted: str | None = None
        self.passes = True  # whether the step that is given up may have a reward another time
        self.figures: dict[str, Any] = {}  # of the step that is under way, for its line and for dashboards
        self._times = {"step": 0.0, "generated": 0.0, "reward": 0.0}

    def resume(self, rows: list[dict[str, Any]], answers: list[dict[str, Any]]) -> None:
        """Take up the metrics, the checks and the reference answers of a run that goes on."""
        self.rows = rows
        self.flips.resume(answers)
        for row in rows:
            figures = {name[6:]: value for name, value in row.items() if name.startswith("check/")}
            if figures:
                self._remember(Check(step=row["step"], **figures))

    def _remember(self, check: Check) -> bool:
        """Add `check` to the history; return whether it is the best so far."""
        self.history.append(check)
        value = getattr(check, self.best_by)
        if value is None or math.isnan(value) or (self.best and value <= getattr(self.best, self.best_by)):
            return False
        self.best = check
        return True

    def note_rollouts(self) -> None:
        """Note that a step's rollouts are drawn."""
        self._times["generated"] = time.monotonic()

    def note_rewards(self, batch: Batch, began: float) -> None:
        """Note the rewards of a call that began at `began`, which is when the rollouts were drawn at the latest."""
        if self._times["generated"] < self._times["step"]:
            self._times["generated"] = began
        self._times["reward"] = batch.seconds
        self.figures |= batch.metrics
        over = [scored.fault for scored in batch.scored if scored.over and scored.fault]
        if over:
            self.halted = over[0]
        elif all(scored.abstains for scored in batch.scored) and not _chose_to_abstain(batch):
            self.halted = f"no group had a reward: {'; '.join(batch.faults[:3])}"
            self.passes = not all(scored.final for scored in batch.scored)

    def _on_first(self, work: Callable[[], object]) -> None:
        """Do `work` on rank 0, and have all ranks know what was decided."""

        def decisions() -> tuple[Any, ...]:
            work()
            return self.best, self.ended, self.halted, self.passes

        self.best, self.ended, self.halted, self.passes = ranks.ask_first(decisions)

    def says_halt(self) -> str | None:
        """Why the step is given up, on every rank; None when it has rewards."""
        self._on_first(lambda: None)
        return self.halted

    # What the trainer reports, in this order.

    def begin(self, step: int) -> None:
        """Check the initial policy, once, before the first step."""
        self._on_first(lambda: self._begin(step))

    def _begin(self, step: int) -> None:
        if step == 0 and self.check is not None and not self.history:
            self.rows.clear()  # a run halted in its first step may have tried before
            self.folder.metrics.keep(-1)
            self._check(0)
            if self.figures:
                self._write({"step": 0, **self.figures})
                self.figures = {}

    def begin_step(self, step: int) -> None:  # noqa: ARG002 - tests interrupt a run at one
        """Start the clock of the step after `step`."""
        self._times["step"] = time.monotonic()

    def end_step(self, step: int, *, last: bool) -> bool:
        """Note the seconds of each part, and check when a check is due; return whether training may end."""
        self._on_first(lambda: self._end_step(step, last=last))
        return self.ended is not None

    def _end_step(self, step: int, *, last: bool) -> None:
        now, times = time.monotonic(), self._times
        self.figures["seconds/step"] = now - times["step"]
        if times["generated"] > times["step"]:  # in SFT nothing is generated
            self.figures |= {
                "seconds/generation": times["generated"] - times["step"],
                "seconds/reward": times["reward"],
                # With the reference's forward pass for the KL, where TRL makes that after generating.
                "seconds/backward": now - times["generated"] - times["reward"],
            }
        if self.check is not None and (step % self.every == 0 or last):
            self._check(step)
        self.ended = self.reason_to_stop()

    def reason_to_stop(self) -> str | None:
        """Why training may end after what is known now; None to go on."""
        if self.stops_by_flips:
            return self.flips.say_stop()
        return self.says_stop(self.history) if self.says_stop is not None else None

    def write_log(self, log: Mapping[str, Any]) -> None:
        """Write a line of metrics from what TRL logged of a step; of its validation, add the loss to that line."""
        if ranks.rank() > 0:
            return
        if "loss" not in log:
            if "eval_loss" in log and self.rows:
                self.rows[-1]["eval_loss"] = _plain(log["eval_loss"])
                self.folder.metrics.write(self.rows)
            return
        row = {"step": log["step"], **{name: _plain(value) for name, value in log.items()}, **self.figures}
        self.figures = {}
        self._write(row)
        if (latest := self.flips.take_latest()) is not None:
            self.folder.answers.add({"step": row["step"], **latest})
        self.view.update(row["step"], row)

    def _write(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        self.folder.metrics.add(row)

    def _check(self, step: int) -> None:
        assert self.check is not None
        started = time.monotonic()
        check = self.check(step)
        if check is not None:
            self.figures |= check.as_metrics()
            if self._remember(check) and self.keep_best is not None:
                self.keep_best(step)
        self.figures["seconds/check"] = time.monotonic() - started


def _chose_to_abstain(batch: Batch) -> bool:
    """Whether an estimator chose to abstain, and no other group waits for something that is down."""
    return any(scored.chose_none for scored in batch.scored) and all(scored.final for scored in batch.scored)


def _plain(value: Any) -> Any:
    """A number as JSON has it; TRL logs some as text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
