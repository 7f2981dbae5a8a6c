"""What a terminal shows while a command waits; nothing when stderr is no terminal."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from catlite.runs.progress import terminal_columns
from catlite.text import fitting


@contextmanager
def waiting(what: str | Callable[[], str]) -> Iterator[None]:
    """Show on the terminal what is waited for, which may change, and count the seconds."""
    if not on_terminal():
        yield
        return
    over = threading.Event()
    started = time.monotonic()

    def count() -> None:
        while not over.wait(0.5):
            text = fitting(what if isinstance(what, str) else what(), max(20, terminal_columns() - 20))
            line = f"\rcatlite: {text} … {time.monotonic() - started:.0f} s\x1b[K"
            print(line, end="", file=sys.stderr, flush=True)

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def on_terminal() -> bool:
    """True when somebody is looking: then a command shows its progress."""
    return sys.stderr.isatty()
