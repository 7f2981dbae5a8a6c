"""When to ask again, and how long to wait first.

Retried: 408, 409, 429, 5xx, lost connections, time-outs, and replies that are not chat completions. The wait is
what Retry-After says, else exponential with full jitter (Brooker, "Exponential backoff and jitter", AWS 2015).
Bounded in attempts and in time: a wait that would end after the bound is not begun.
"""

from __future__ import annotations

import contextlib
import email.utils
import itertools
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from catlite import loop
from catlite.errors import BadReply, EndpointUnavailable, ModelError
from catlite.models.traffic import Traffic

T = TypeVar("T")
ATTEMPTS = 8
_LONG_WAIT = 5.0  # seconds; from here on a person wonders why nothing happens
_logger = logging.getLogger("catlite")


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait from `retry-after-ms` or `retry-after` (seconds or an HTTP date), None if absent."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with contextlib.suppress(KeyError, ValueError):
            seconds = float(headers[name]) * unit
            if math.isfinite(seconds):
                return max(0.0, seconds)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(headers.get("retry-after", "")).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None


async def retrying(
    call: Callable[[], Awaitable[T]], seconds: float, slots: AbstractAsyncContextManager[Any], traffic: Traffic
) -> T:
    """The result of `call`, asked again on transient failures until they have taken `seconds`.

    Each attempt takes a slot and its turn in `traffic`; while it waits to ask again it has none, and others go. Time in
    line is not counted. Raises EndpointUnavailable or BadReply, saying how often and how long it was tried, when that
    was not enough, and EndpointDown when others fare alike.
    """
    failure: EndpointUnavailable | BadReply
    began, spent = time.monotonic(), 0.0
    for attempt in itertools.count(1):
        async with slots:
            sent = await traffic.turn(began)
            try:
                result = await call()
            except (EndpointUnavailable, BadReply) as error:
                failure = error
            except ModelError:
                traffic.answered(sent)
                raise
            else:
                traffic.answered(sent)
                return result
            finally:
                traffic.back()
        traffic.refused(failure.status, sent)
        spent += time.monotonic() - sent
        asked = getattr(failure, "retry_after", None)
        # Everyone told to come back at the same moment should not: a little spread on top.
        wait = _backoff(attempt) if asked is None else asked + 0.1 * _backoff(attempt)
        if attempt == ATTEMPTS or spent + wait > seconds or traffic.silent(began):
            break
        level = logging.WARNING if wait >= _LONG_WAIT else logging.INFO
        _logger.log(level, "%s; asking again in %.1f s (attempt %d of %d)", failure, wait, attempt, ATTEMPTS)
        await traffic.wait(wait, began)
        spent += wait
    traffic.gave_up(loop.question() or began, began)
    if asked is not None and spent + asked > seconds:
        why = f"it asks to wait {asked:.0f} s, beyond retry_seconds={seconds:g}"
    else:
        why = f"gave up after {attempt} attempt{'s' * (attempt != 1)} in {spent:.1f} s"
    if isinstance(failure, BadReply):
        raise BadReply(f"{failure}; {why}", status=failure.status)
    raise EndpointUnavailable(f"{failure}; {why}", status=failure.status, retry_after=asked)


def _backoff(attempt: int) -> float:
    """Seconds to wait after the failure of `attempt`: up to 0.5, 1, 2, … 30, at random."""
    return random.uniform(0, min(30.0, 0.5 * 2 ** (attempt - 1)))  # noqa: S311
