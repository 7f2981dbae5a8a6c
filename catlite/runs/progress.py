"""Show, while somebody waits, how many questions are done, how fast, at what cost, how long still.

It is a line that is rewritten, on a terminal or below a notebook's cell, and gone when the work is done; for a single
question it shows the rollouts that have arrived, then the reference as it is written (in a notebook on a card). Nothing
is shown where nobody looks. Left out: bars for several calls at once.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from catlite import concurrency, tracebacks
from catlite.cards import live_card
from catlite.data import Progress, Rollout
from catlite.errors import ConfigError
from catlite.text import WIDTH, count, dollars, fitting, short, width_of
from catlite.usage import Usage

DELAY_SECONDS = 2.0  # work that is done sooner needs no line
_REDRAW_SECONDS = 0.125
_KEPT = 4_000  # characters of a reference that is being written, whose end is shown
_ANSWERS = 6  # of the rollouts that a line names, the most frequent


def on_terminal(line: str) -> None:
    """Put `line` in place of the one before, on stderr; "" takes it away."""
    print(f"\r{line}\x1b[K", end="", file=sys.stderr, flush=True)


class Notebook:
    """A line below a notebook's cell."""

    form = "text/plain"

    def __init__(self) -> None:
        self._handle: Any = None

    def __call__(self, line: str) -> None:
        """Put `line` in place of the one before; "" takes it away."""
        from IPython.display import display

        data = {"text/plain": "", self.form: line} if line else {"text/plain": "", "text/html": ""}
        if self._handle is not None:
            self._handle.update(data, raw=True)
        elif line:
            show: Any = display  # IPython's is without types
            self._handle = show(data, raw=True, display_id=True)


class NotebookCard(Notebook):
    """A card below a notebook's cell, as HTML."""

    form = "text/html"


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


@dataclass(eq=False)
class Live:
    """What has come of one question so far: its rollouts, then the reference's text; `changed` is called after each."""

    what: str  # such as "rollouts of gpt-4o-mini"
    n: int
    changed: Callable[[], None] = lambda: None
    answers: Counter[str] = field(default_factory=Counter)
    arrived: int = 0
    failed: int = 0
    text: str = ""

    def arrive(self, place: int, rollout: Rollout) -> None:  # noqa: ARG002
        """Count a rollout, and what it answers."""
        self.arrived += 1
        self.failed += rollout.error is not None
        if rollout.answer is not None:
            self.answers[rollout.answer] += 1
        self.changed()

    def write(self, delta: str) -> None:
        """Add to the reference's text."""
        self.text = (self.text + delta)[-_KEPT:]
        self.changed()

    def state(self) -> str:
        """Say how many rollouts there are, and what they answer."""
        failed = f", {self.failed} failed" if self.failed else ""
        answers = [answer + f" ×{votes}" * (votes > 1) for answer, votes in self.answers.most_common(_ANSWERS)]
        more = ["…"] if len(self.answers) > _ANSWERS else []
        state = f"{self.arrived} of {self.n}{f' {self.what}' * (not self.text)}{failed}"
        return state + (f" · {', '.join(answers + more)}" if answers else "")

    def line(self, seconds: float) -> str:
        """Write the state on one line of the terminal: one that wraps cannot be rewritten."""
        columns, clock = terminal_columns(), f" … {seconds:.0f} s"
        if not self.text:
            return f"catlite: {fitting(self.state(), max(20, columns - 10 - len(clock)))}{clock}"
        state = f"catlite: {fitting(self.state(), max(10, columns // 2 - 9))} → "
        return state + fitting(self.text, max(10, columns - width_of(state) - 1), ending=True)

    def card(self, seconds: float) -> str:
        """Draw the state for a notebook."""
        return live_card(f"{self.state()} · {seconds:.0f} s", self.text)


def _is_shown(progress: bool | None) -> bool:
    return progress is True or (progress is None and somebody_looks())


@contextmanager
def _line(
    progress: bool | None, text: Callable[[float], str], card: Callable[[float], str] | None = None
) -> Iterator[Callable[[], None]]:
    """Show `text`, in a notebook `card`, while the block runs; yield what is to be called when it has changed."""
    job = concurrency.job()
    if not _is_shown(progress):
        yield _nothing
        return
    notebook = in_notebook()
    show = on_terminal if not notebook else Notebook() if card is None else NotebookCard()
    line = Line(card if notebook and card is not None else text, 0.0 if progress else DELAY_SECONDS, show)
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
def waiting(progress: bool | None, what: str) -> Iterator[None]:
    """Show a line that says `what` is waited for, such as "verdicts of gpt-4o-mini", and counts the seconds.

    `progress` is that of `live`.
    """
    _check(progress)
    if not tell_job(None):
        yield
        return
    with _line(progress, lambda seconds: f"catlite: {short(what, max(20, terminal_columns() - 20))} … {seconds:.0f} s"):
        yield


@contextmanager
def live(progress: bool | None, what: str, n: int, run: object | None) -> Iterator[Live | None]:
    """Show how one question comes on; yield what is to be told of it, None where nothing is shown.

    Args:
        progress: True shows it at once, None after DELAY_SECONDS where somebody looks, False never.
        what: such as "rollouts of gpt-4o-mini".
        n: rollouts.
        run: the folder in which replies are kept, for what an interrupt says; None when none are.

    Raises:
        ConfigError: for any other `progress`.
    """
    _check(progress)
    if not tell_job(run) or not _is_shown(progress):
        yield None
        return
    view = Live(what, n)
    with _line(progress, view.line, view.card) as view.changed:
        yield view


def _check(progress: bool | None) -> None:
    if progress not in (True, False, None):
        raise ConfigError(f"progress={progress!r}: want True (show at once), False (never) or None (after 2 s)")


def tell_job(run: object | None) -> bool:
    """Say where replies are kept, for an interrupt; False inside of an evaluation, say, which shows how far it is."""
    job = concurrency.job()
    if job is None:
        return True
    first = not job.kept_known
    if first:
        job.kept, job.kept_known = None if run is None else str(run), True
    return first


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
        return tqdm.format_meter(done, total, seconds, ncols=terminal_columns(), unit="question", postfix=shown)

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


def terminal_columns() -> int:
    """Tell how many columns of the terminal a line may take, also where stdout goes elsewhere."""
    fallback = 0
    with suppress(AttributeError, OSError, ValueError):
        fallback = os.get_terminal_size(sys.stderr.fileno()).columns
    return shutil.get_terminal_size((fallback or WIDTH, 24)).columns - 1
