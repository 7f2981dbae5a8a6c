"""When to ask again, and how long to wait first.

Retried: 408, 409, 429, 5xx, lost connections, time-outs, and replies that are not chat completions. The wait is
what Retry-After says, else exponential with full jitter (Brooker, "Exponential backoff and jitter", AWS 2015).
Bounded in attempts and in time: a wait that would end after the bound is not begun.
"""

from __future__ import annotations

import email.utils
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

import tenacity

from catlite.errors import BadReply, EndpointUnavailable

T = TypeVar("T")
ATTEMPTS = 8
_LONG_WAIT = 5.0  # seconds; from here on a person wonders why nothing happens
_logger = logging.getLogger("catlite")
_backoff = tenacity.wait_random_exponential(multiplier=0.5, max=30)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait from `retry-after-ms` or `retry-after` (seconds or an HTTP date), None if absent."""
    try:
        return max(0.0, float(headers["retry-after-ms"]) / 1000)
    except (KeyError, ValueError):
        pass
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


def _wait(state: tenacity.RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = getattr(error, "retry_after", None)
    # Everyone told to come back at the same moment should not: a little spread on top.
    return _backoff(state) if asked is None else asked + 0.1 * _backoff(state)


def _announce(state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait = state.next_action.sleep if state.next_action else 0.0
    level = logging.WARNING if wait >= _LONG_WAIT else logging.INFO
    _logger.log(level, "%s; asking again in %.1f s (attempt %d of %d)", error, wait, state.attempt_number, ATTEMPTS)


async def retrying(call: Callable[[], Awaitable[T]], seconds: float) -> T:
    """The result of `call`, asked again on transient failures for up to `seconds`.

    Raises EndpointUnavailable or BadReply, saying how often and how long it was tried, when that was not enough.
    """
    policy = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type((EndpointUnavailable, BadReply)),
        wait=_wait,
        stop=tenacity.stop_any(tenacity.stop_after_attempt(ATTEMPTS), tenacity.stop_before_delay(seconds)),
        before_sleep=_announce,
        reraise=True,
    )

    async def attempt() -> T:  # tenacity awaits only what it can see to be a coroutine function
        return await call()

    started = time.monotonic()
    failure: EndpointUnavailable | BadReply
    try:
        return await policy(attempt)
    except (EndpointUnavailable, BadReply) as error:
        failure = error
    attempts = policy.statistics.get("attempt_number", 1)
    spent = time.monotonic() - started
    asked = getattr(failure, "retry_after", None)
    if asked is not None and spent + asked > seconds:
        why = f"it asks to wait {asked:.0f} s, beyond retry_seconds={seconds:g}"
    else:
        why = f"gave up after {attempts} attempt{'s' * (attempts != 1)} in {spent:.1f} s"
    if isinstance(failure, BadReply):
        raise BadReply(f"{failure}; {why}", status=failure.status)
    raise EndpointUnavailable(f"{failure}; {why}", status=failure.status, retry_after=asked)
