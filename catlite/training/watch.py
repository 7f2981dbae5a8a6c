"""What happens around TRL's steps: seconds of each part, metrics, checks, when to stop, and the way back.

A step whose groups all abstain is given up before the optimizer moves: the weights stay those of the step before, and
so does everything random, so that the run goes on from there as if nothing had happened. Left out: several processes.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from catlite.training.checks import Check
from catlite.training.folder import Folder
from catlite.training.reward import Batch
from catlite.training.view import View


class Halt(Exception):
    """Raised inside a step to give it up; the message is for the user."""


class Watch:
    """The methods of a TrainerCallback that we need; `as_callback` makes it one."""

    def __init__(
        self,
        folder: Folder,
        view: View,
        check: Callable[[int], Check | None] | None,
        says_stop: Callable[[list[Check]], str | None] | None,
        every: int,
        keep_best: Callable[[int], None] | None,
    ) -> None:
        self.folder = folder
        self.view = view
        self.check = check
        self.says_stop = says_stop
        self.every = every
        self.keep_best = keep_best
        self.rows: list[dict[str, Any]] = []
        self.history: list[Check] = []
        self.best: Check | None = None
        self.ended: str | None = None
        self.halted: str | None = None
        self.passes = True  # whether the step that is given up may go otherwise another time
        self._extra: dict[str, Any] = {}
        self._times = {"step": 0.0, "generated": 0.0, "reward": 0.0}
        self._random: Any = None

    def resume(self, rows: list[dict[str, Any]]) -> None:
        """Takes up the history of a run that goes on."""
        self.rows = rows
        for row in rows:
            found = {name[6:]: value for name, value in row.items() if name.startswith("check/")}
            if found:
                self._remember(Check(step=row["step"], **found))

    def _remember(self, found: Check) -> bool:
        """True when it is the best so far."""
        self.history.append(found)
        if self.best is None or math.isnan(self.best.reward) or found.reward > self.best.reward:
            self.best = found
            return True
        return False

    def generated(self) -> None:
        """When a step's rollouts are there."""
        self._times["generated"] = time.monotonic()

    def rewarded(self, batch: Batch, began: float) -> None:
        """After a reward call that began at `began`; where nobody said when the rollouts were there, it was then."""
        if self._times["generated"] < self._times["step"]:
            self._times["generated"] = began
        self._times["reward"] = batch.seconds
        self._extra |= batch.metrics
        over = [one.fault for one in batch.scored if one.over and one.fault]
        if over:
            self.halted = over[0]
        elif all(one.abstains for one in batch.scored):
            self.halted = f"no group had a reward: {'; '.join(batch.faults[:3])}"
            self.passes = not all(one.final for one in batch.scored)

    # The events, in the order in which transformers' Trainer calls them.

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Before the first step; the state of the initial policy is checked once."""
        if state.global_step == 0 and self.check is not None and not self.history:
            self.rows.clear()  # a run halted in its first step may have tried before
            self.folder.write_metrics(self.rows)
            self._check(0)
            if self._extra:
                self._write({"step": 0, **self._extra})
                self._extra = {}
        self._random = random_state()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Starts the step's clock."""
        self._times["step"] = time.monotonic()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Gives the step up when it has nothing to learn from."""
        if self.halted is not None:
            raise Halt(self.halted)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Seconds by part, and a check when one is due."""
        now, times = time.monotonic(), self._times
        self._extra["seconds/step"] = now - times["step"]
        if times["generated"] > times["step"]:  # in SFT nothing is generated
            self._extra |= {
                "seconds/generation": times["generated"] - times["step"],
                "seconds/reward": times["reward"],
                # With the reference's forward pass for the KL, where TRL makes that after generating.
                "seconds/backward": now - times["generated"] - times["reward"],
            }
        if self.check is not None and (state.global_step % self.every == 0 or state.global_step >= state.max_steps):
            self._check(state.global_step)
            if self.says_stop is not None and (why := self.says_stop(self.history)) is not None:
                self.ended = why
                control.should_training_stop = control.should_save = control.should_log = True
        self._random = random_state()

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any], **_: Any) -> None:  # noqa: ARG002
        """A line of metrics; TRL's own figures are in `logs`."""
        if "loss" not in logs:  # the summary at the end, or a validation
            self._extra |= {name: _plain(value) for name, value in logs.items() if name == "eval_loss"}
            return
        # For the dashboards, which are told after us, and of a validation were told before.
        logs.update({name: value for name, value in self._extra.items() if name != "eval_loss"})
        row = {"step": state.global_step, **{name: _plain(value) for name, value in logs.items()}, **self._extra}
        self._extra = {}
        self._write(row)
        self.view.update(state.global_step, row)

    def _write(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        self.folder.add_metrics(row)

    def _check(self, step: int) -> None:
        assert self.check is not None
        started = time.monotonic()
        found = self.check(step)
        if found is not None:
            self._extra |= found.as_metrics()
            if self._remember(found) and self.keep_best is not None:
                self.keep_best(step)
        self._extra["seconds/check"] = time.monotonic() - started

    def go_back(self) -> None:
        """Everything random as it was after the last step that counts."""
        restore_random(self._random)


def as_callback(watch: Watch) -> Any:
    """`watch` as what transformers' Trainer takes."""
    from transformers import TrainerCallback

    class Callback(TrainerCallback):  # type: ignore[misc]
        """Hands every event on that the watch knows."""

    for name in vars(Watch):
        if name.startswith("on_"):
            setattr(Callback, name, staticmethod(getattr(watch, name)))
    return Callback()


def random_state() -> tuple[Any, ...]:
    """What all generators that a step uses are at."""
    import torch

    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    return random.getstate(), np.random.get_state(), torch.get_rng_state(), devices


def restore_random(state: tuple[Any, ...]) -> None:
    """Puts all generators back to `state`."""
    import torch

    random.setstate(state[0])
    np.random.set_state(state[1])
    torch.set_rng_state(state[2])
    if state[3] is not None:
        torch.cuda.set_rng_state_all(state[3])


def _plain(value: Any) -> Any:
    """A number as JSON has it; TRL logs some as text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value
