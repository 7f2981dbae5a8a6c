"""Failures of endpoints, told to whoever listens.

A reward may swallow that its judge did not answer, and say None. Whoever asked for the reward still has to know whether
the same call may bring one later. Left out: failures of clients other than Endpoint.
"""

from __future__ import annotations

import contextvars
from collections.abc import Iterator
from contextlib import contextmanager

_listener: contextvars.ContextVar[list[Exception] | None] = contextvars.ContextVar("catlite_failures", default=None)


@contextmanager
def listening() -> Iterator[list[Exception]]:
    """Yields a list to which each failure of a call made inside is added."""
    failures: list[Exception] = []
    token = _listener.set(failures)
    try:
        yield failures
    finally:
        _listener.reset(token)


def tell(failure: Exception) -> None:
    """Adds `failure` to the list of whoever listens."""
    failures = _listener.get()
    if failures is not None:
        failures.append(failure)
