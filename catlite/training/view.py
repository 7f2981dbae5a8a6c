"""Training as it happens: a line that is rewritten, in a terminal or in a notebook; nothing where nobody looks.

Left out: curves while training; `TrainingRun.plot` draws them, and TRL's report_to sends them elsewhere.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from catlite.tracebacks import interrupted

_SHOWN = {
    "cat/reward": "reward",
    "cat/support": "support",
    "cat/gap": "gap",
    "cat/abstained": "abstained",
    "entropy": "entropy",
    "seconds/step": "s/step",
}


def line(metrics: Mapping[str, Any]) -> str:
    """The figures one watches, on one line."""
    shown = {name: metrics.get(key) for key, name in _SHOWN.items()}
    return " · ".join(f"{name} {value:.3g}" for name, value in shown.items() if isinstance(value, int | float))


class View:
    """Shows each step; `show=None` shows when a person seems to look."""

    def __init__(self, steps: int, show: bool | None) -> None:
        self.steps = steps
        self._step, self._figures = 0, ""
        self._notebook: Any = _notebook() if show is None or show else None
        self._bar: Any = None
        if self._notebook is None and (show or (show is None and sys.stderr.isatty())):
            from tqdm import tqdm

            self._bar = tqdm(total=steps, unit="step", file=sys.stderr)

    def update(self, step: int, metrics: Mapping[str, Any]) -> None:
        """After a step."""
        self._step, self._figures = step, line(metrics)
        if self._bar is not None:
            self._bar.set_postfix_str(self._figures, refresh=False)
            self._bar.update(step - self._bar.n)
        elif self._notebook is not None:
            self._notebook.update({"text/plain": f"step {step} of {self.steps}: {self._figures}"}, raw=True)

    @contextmanager
    def stopping(self, folder: Path) -> Iterator[None]:
        """Has an interrupt say how far training was, and that the run in `folder` goes on from there."""
        try:
            yield
        except KeyboardInterrupt:
            far = f"stopped at step {self._step} of {self.steps}"
            kept = f"kept in {str(folder)!r}, the same call goes on from the last checkpoint"
            raise interrupted(f"{far}; {kept}") from None

    def close(self, ended: str) -> None:
        """Leaves a last line standing: how it ended, in place of a step that is no longer under way."""
        if self._bar is not None:
            self._bar.close()
        elif self._notebook is not None:
            shown = " · ".join(filter(None, (ended, self._figures)))
            self._notebook.update({"text/plain": f"step {self._step} of {self.steps}: {shown}"}, raw=True)


def _notebook() -> Any:
    """A display to write to, inside Jupyter; None anywhere else."""
    shell = sys.modules.get("IPython")
    kernel = shell.get_ipython() if shell is not None else None
    if kernel is None or not hasattr(kernel, "kernel"):
        return None
    from IPython.display import display

    shown: Any = display  # IPython's is without types
    return shown({"text/plain": "training …"}, raw=True, display_id=True)
