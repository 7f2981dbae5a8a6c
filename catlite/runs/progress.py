"""Show, while somebody waits, how many questions are done, how fast, at what cost, how long still.

It is a line that is rewritten, on a terminal or below a notebook's cell, and gone when the work is done. Nothing is
shown where nobody looks. Left out: bars for several calls at once.
"""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from catlite import concurrency, tracebacks
from catlite.data import Progress
from catlite.errors import ConfigError
from catlite.text import count, dollars, short
from catlite.usage import Usage

DELAY_SECONDS = 2.0  # work that is done sooner needs no line
_REDRAW_SECONDS = 0.1


def on_terminal(line: str) -> None:
    """Put `line` in place of the one before, on stderr; "" takes it away."""
    print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)


class Notebook:
    """A line below a notebook's cell."""

    def __init__(self) -> None:
        self._handle: Any = None

    def __call__(self, line: str) -> None:
        """Put `line` in place of the one before; "" takes it away."""
        from IPython.display import display

        data = {"text/plain": line} if line else {"text/plain": "", "text/html": ""}
        if self._handle is not None:
            self._handle.update(data, raw=True)
        elif line:
            show: Any = display  # IPython's is without types
            self._handle = show(data, raw=True, display_id=True)


def in_notebook() -> bool:
    """Tell whether a notebook talks to this process."""
    return hasattr(tracebacks.shell(), "kernel")


def somebody_looks() -> bool:
    """Tell whether the main thread waits on a terminal or in a notebook.

    The lines of many threads at once nobody could read.
    """
    job = concurrency.job()
    caller = threading.current_thread() if job is None else job.caller
    if caller is not threading.main_thread():
        return False
    with suppress(ValueError):  # a stderr that is closed
        return in_notebook() or (sys.stderr is not None and sys.stderr.isatty())
    return False


@dataclass(eq=False)
class Line:
    """A line that shows `text()` once `delay` seconds have passed, until it is closed.

    The thread that waits in `concurrency.run` draws it, so that it stands below the right cell of a notebook; in
    awaited work no thread waits, and whoever changes the line draws it.
    """

    text: Callable[[float], str]  # from seconds so far
    delay: float
    show: Callable[[str], None]  # a line in place of the one before
    started: float = field(default_factory=time.monotonic)
    closed: bool = False
    _drawn: float | None = None
    _shown: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def draw(self) -> None:
        """Show the line as it is now, or take it away when it is closed."""
        now = time.monotonic()
        # A terminal that is gone, or one without "…", must not cost what is under way.
        with self._lock, suppress(OSError, ValueError):
            if self.closed:
                if self._drawn is not None:
                    self.show("")
                self._drawn = None
            elif now - self.started >= self.delay and (self._drawn is None or now - self._drawn >= _REDRAW_SECONDS):
                line = self.text(now - self.started)
                if line != self._shown:
                    self.show(line)
                self._drawn, self._shown = now, line


@contextmanager
def _line(progress: bool | None, text: Callable[[float], str]) -> Iterator[Callable[[], None]]:
    """Show `text` while the block runs; yield what is to be called when the text has changed."""
    job = concurrency.job()
    if progress is False or (progress is None and not somebody_looks()):
        yield _nothing
        return
    notebook = in_notebook()
    line = Line(text, 0.0 if progress else DELAY_SECONDS, Notebook() if notebook else on_terminal)
    if job is not None:
        job.views.append(line.draw)
    # A notebook takes what another thread shows for the output of another cell.
    changed = _nothing if notebook and job is not None else line.draw
    changed()
    try:
        yield changed
    finally:
        line.closed = True
        changed()


def _nothing() -> None:
    """Show nothing."""


@contextmanager
def waiting(progress: bool | None, what: str, run: object | None = None) -> Iterator[None]:
    """Show a line that says `what` is waited for, and counts the seconds.

    Args:
        progress: True shows it at once, None after DELAY_SECONDS where somebody looks, False never.
        what: such as "8 rollouts of gpt-4o-mini".
        run: the folder in which replies are kept, for what an interrupt says; None when none are.

    Raises:
        ConfigError: for any other `progress`.
    """
    if progress not in (True, False, None):
        raise ConfigError(f"progress={progress!r}: want True (show at once), False (never) or None (after 2 s)")
    job = concurrency.job()
    if job is not None and job.kept_known:  # inside of an evaluation, say, which shows how far it is
        yield
        return
    if job is not None:
        job.kept, job.kept_known = None if run is None else str(run), True

    def text(seconds: float) -> str:
        # A line that wraps cannot be rewritten.
        return f"catlite: {short(what, max(20, _columns() - 20))} … {seconds:.0f} s"

    with _line(progress, text):
        yield


@contextmanager
def reporting(
    progress: bool | Progress | None, total: int, run: object | None = None
) -> Iterator[Callable[[Usage], None]]:
    """Show how many questions are done; yield what is to be called after each of them, with what it cost.

    Args:
        progress: True shows a bar at once; None shows it after DELAY_SECONDS where somebody looks; False shows
            nothing; a function is called with (questions done, questions).
        total: questions.
        run: the folder in which replies are kept, for what an interrupt says; None when none are.

    Raises:
        ConfigError: for any other `progress`.
    """
    if progress not in (True, False, None) and not callable(progress):
        raise ConfigError(f"progress={progress!r}: want True, False, None or a function of (done, total)")
    job = concurrency.job()
    done = 0
    spent = Usage()
    if job is not None:
        job.done, job.total = 0, total
        job.kept, job.kept_known = None if run is None else str(run), True

    def bar(seconds: float) -> str:
        from tqdm.std import tqdm

        # In dollars where every price is known, else in tokens.
        cost = dollars(spent.cost_usd) if spent.cost_usd else f"{count(spent.total_tokens)} tokens"
        shown = "; ".join(filter(None, (cost if done else "", job.waits_for if job is not None else ""))) or None
        return tqdm.format_meter(done, total, seconds, ncols=_columns(), unit="question", postfix=shown)

    with _line(False if callable(progress) else progress, bar) as changed:

        def tell(usage: Usage) -> None:
            nonlocal done, spent
            done += 1
            spent += usage
            if job is not None:
                job.done = done
            if callable(progress):
                progress(done, total)
            changed()

        yield tell


def _columns() -> int:
    return shutil.get_terminal_size().columns - 1
