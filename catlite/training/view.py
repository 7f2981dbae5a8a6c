"""Show training while it runs: one line, rewritten at each step, in a terminal or in a notebook.

Left out: curves while training; `TrainingRun.plot` draws them, and TRL's report_to sends figures to a dashboard.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from catlite.tracebacks import interrupted
from catlite.training.trl import ranks

_SHOWN = {
    "cat/reward": "reward",
    "cat/support": "support",
    "cat/gap": "gap",
    "cat/abstained": "abstained",
    "entropy": "entropy",
    "seconds/step": "s/step",
}


def line(metrics: Mapping[str, Any]) -> str:
    """The figures to watch, on one line."""
    shown = {name: metrics.get(key) for key, name in _SHOWN.items()}
    return " · ".join(f"{name} {value:.3g}" for name, value in shown.items() if isinstance(value, int | float))


class View:
    """Shows each of at most `steps` steps, on rank 0; `show=None` shows them when a person seems to look."""

    def __init__(self, steps: int, show: bool | None) -> None:
        self.steps = steps
        show = show if ranks.rank() == 0 else False
        self._step, self._figures = 0, ""
        self._notebook: Any = _notebook() if show is None or show else None
        self._bar: Any = None
        if self._notebook is None and (show or (show is None and sys.stderr.isatty())):
            from tqdm import tqdm

            self._bar = tqdm(total=steps, unit="step", file=sys.stderr)

    def update(self, step: int, metrics: Mapping[str, Any]) -> None:
        """Show `step`, which is complete."""
        self._step, self._figures = step, line(metrics)
        if self._bar is not None:
            self._bar.set_postfix_str(self._figures, refresh=False)
            self._bar.update(step - self._bar.n)
        elif self._notebook is not None:
            self._notebook.update({"text/plain": f"step {step} of {self.steps}: {self._figures}"}, raw=True)

    @contextmanager
    def stopping(self, folder: Path) -> Iterator[None]:
        """Have an interrupt say how far training is, and that the run in `folder` goes on from there."""
        try:
            yield
        except KeyboardInterrupt:
            where = f"kept in {str(folder)!r}, the same call goes on from the last checkpoint"
            raise interrupted(f"stopped at step {self._step} of {self.steps}; {where}") from None

    def close(self, ended: str) -> None:
        """Replace the line by a last one, which says how training ended."""
        if self._bar is not None:
            self._bar.close()
        elif self._notebook is not None:
            shown = " · ".join(filter(None, (ended, self._figures)))
            self._notebook.update({"text/plain": f"step {self._step} of {self.steps}: {shown}"}, raw=True)


def _notebook() -> Any:
    """A display that can be rewritten, inside Jupyter; None elsewhere."""
    shell = sys.modules.get("IPython")
    kernel = shell.get_ipython() if shell is not None else None
    if kernel is None or not hasattr(kernel, "kernel"):
        return None
    from IPython.display import display

    shown: Any = display  # IPython's is without types
    return shown({"text/plain": "training …"}, raw=True, display_id=True)
