"""Programs that tests start: each answers to Ctrl-C as in a terminal, and none outlives its time limit.

A child inherits a signal that its parent ignores, and shells start what runs in the background with SIGINT ignored.
So this process takes the default handler first, whatever started it: `nohup make test &` is as good as `make test`.
"""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Sequence
from typing import Any

LIMIT_SECONDS = 120.0


def answer_interrupts() -> None:
    """Make SIGINT end this process and its children, even if the shell had it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def run(command: Sequence[str], *, timeout: float = LIMIT_SECONDS, **settings: Any) -> subprocess.CompletedProcess[Any]:
    """`subprocess.run` with a time limit, after which the child is killed and the test fails."""
    return subprocess.run(command, timeout=timeout, **settings)


class start(subprocess.Popen[Any]):  # noqa: N801 - stands where subprocess.Popen stood
    """`subprocess.Popen` whose child is killed after `limit` seconds, so that no read or wait for it can hang."""

    def __init__(self, command: Sequence[str], *, limit: float = LIMIT_SECONDS, **settings: Any) -> None:
        super().__init__(command, **settings)
        self._alarm = threading.Timer(limit, self.kill)
        self._alarm.daemon = True
        self._alarm.start()

    def __exit__(self, kind: object, *rest: Any) -> None:
        if kind is not None:
            self.kill()  # the test has failed: nobody is going to end it
        super().__exit__(kind, *rest)  # type: ignore[arg-type]

    def wait(self, timeout: float | None = None) -> int:
        code = super().wait(timeout)
        self._alarm.cancel()
        return code
