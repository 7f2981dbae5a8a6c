"""Retries: when a call is made again, and how long to wait first.

Retried, by tenacity: 408, 409, 429, 5xx, lost connections, time-outs, and replies that are not chat completions. The
wait is what Retry-After says, else exponential with full jitter (Brooker, "Exponential backoff and jitter", AWS 2015).
Bounded in attempts and in time: a wait that would end after the bound is not begun.
"""

from __future__ import annotations

import contextlib
import contextvars
import email.utils
import logging
import math
import re
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

import tenacity

from catlite import concurrency
from catlite.errors import BadReply, EndpointDown, EndpointUnavailable, ModelError
from catlite.models.http.traffic import Traffic, duration

T = TypeVar("T")
ATTEMPTS = 8
FIRST_CONTACT = 5.0  # seconds to wait for a server that has never been reached
_LONG_WAIT = 5.0  # seconds; a longer wait is a warning, since a person may wonder why nothing happens
_logger = logging.getLogger("catlite")
_backoff = tenacity.wait_random_exponential(multiplier=0.5, max=30)


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


def duration_in(text: str) -> float | None:
    """Seconds to wait that an error's text asks for ("retry in 36.2s", `"retryDelay": "36s"`); None if it asks none."""
    wait = re.search(
        r"(?:try again in|retry in|retryDelay\W{1,4}) ?((?:\d+(?:\.\d+)?(?:ms|[hms]))+)", text, re.IGNORECASE
    )
    return duration(wait[1].lower()) if wait else None


@dataclass
class Trial:
    """A call whose settings a server may refuse by a 5xx: in words that `refuses` knows, or by `attempts` of them."""

    refuses: Callable[[ModelError], bool]
    attempts: int  # 0: only words count
    failure: EndpointUnavailable | BadReply | None = None  # the 5xx that has ended the call

    def over(self, failure: BaseException | None, attempt: int) -> bool:
        """Whether this failure of attempt number `attempt` ends the call."""
        if not isinstance(failure, ModelError) or failure.status is None or failure.status < 500:
            return False
        if self.attempts < 2 or self.refuses(failure):
            return self.attempts == 1 or self.refuses(failure)
        # 501 is never an outage; an overload counts as a refusal only after all attempts.
        return attempt >= {501: 1, 503: ATTEMPTS, 529: ATTEMPTS}.get(failure.status, self.attempts)


# Held weakly: a connection keeps the context in which it was opened, and would keep its endpoint through the trial.
_trial: contextvars.ContextVar[weakref.ref[Trial] | None] = contextvars.ContextVar("catlite_trial", default=None)


@contextlib.contextmanager
def trial(refuses: Callable[[ModelError], bool], attempts: int) -> Iterator[Trial]:
    """Put a Trial in force for the calls that are made inside."""
    current = Trial(refuses, attempts)
    token = _trial.set(weakref.ref(current))
    try:
        yield current
    finally:
        _trial.reset(token)


async def retrying(
    call: Callable[[], Awaitable[T]],
    seconds: float,
    slots: AbstractAsyncContextManager[Any],
    traffic: Traffic,
    elsewhere: Callable[[], bool] = lambda: False,
) -> T:
    """Make a call, again after transient failures until they have taken `seconds`, and return its result.

    Each attempt takes a slot and its turn in `traffic`; between attempts it gives them up to others. Time in line is
    not counted. An endpoint that was never reached is waited for FIRST_CONTACT seconds at most, and the log says so at
    once.

    Args:
        call: what is made.
        seconds: how long transient failures are retried.
        slots: limits the requests in flight; yields the Traffic of the server that has this attempt, None for that of
            all.
        traffic: the account of the endpoint.
        elsewhere: tells whether another server takes the next attempt. Then it is made at once, what a failure took is
            not counted, nor is an attempt that a server turned away.

    Raises:
        EndpointUnavailable: retries did not help; the message says how many there were, and how long they took.
        BadReply: the same, for replies that cannot be read.
        EndpointDown: other calls have failed in the same way.
    """
    failure: EndpointUnavailable | BadReply
    began, spent, turned_away = time.monotonic(), 0.0, 0

    async def once() -> T:
        nonlocal spent, turned_away
        failed: EndpointUnavailable | BadReply
        async with slots as server:
            pace = traffic if server is None else server
            sent = await pace.turn(began)
            try:
                result = await call()
            except (EndpointUnavailable, BadReply) as error:
                failed = error
            except ModelError:
                pace.answered(sent)
                raise
            else:
                if isinstance(result, EndpointUnavailable | BadReply):  # it broke off, and is not to be made again
                    pace.failed(result, sent)
                else:
                    pace.answered(sent)
                return result
            finally:
                pace.back()
            pace.failed(failed, sent)  # before its slot is another's
        if elsewhere():
            turned_away += failed.status in (429, 503) or not getattr(failed, "sent", True)
        else:
            spent += time.monotonic() - sent
        raise failed

    try:
        return await once()  # nearly always all there is: tenacity is set up after a failure only
    except EndpointDown:
        raise
    except (EndpointUnavailable, BadReply) as error:
        failure = error
    reference = _trial.get()
    current = None if reference is None else reference()
    if current is not None and current.over(failure, 1):
        current.failure = failure
        raise failure
    patience = seconds if traffic.contact.made else min(seconds, FIRST_CONTACT)
    if not traffic.contact.made and not traffic.contact.waited_for:
        traffic.contact.waited_for = True
        _logger.warning("%s; nobody was ever reached there: waiting %.3g s for it to start", failure, patience)

    async def attempt() -> T:
        if policy.statistics["attempt_number"] == 1:
            raise failure
        return await once()

    async def wait(seconds: float) -> None:
        nonlocal spent
        await traffic.wait(seconds, began)
        spent += seconds

    def enough(state: tenacity.RetryCallState) -> bool:
        late = spent + state.upcoming_sleep > (seconds if traffic.contact.made else patience)
        over = current is not None and current.over(_error(state), state.attempt_number)
        return state.attempt_number - turned_away >= ATTEMPTS or late or over or traffic.silent(began)

    policy = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception(_passes),
        wait=lambda state: 0.0 if elsewhere() else _wait(state),
        stop=enough,
        before_sleep=_announce,
        sleep=wait,
        reraise=True,
    )
    try:
        return await policy(attempt)
    except EndpointDown:
        raise
    except (EndpointUnavailable, BadReply) as error:
        failure = error
    if current is not None and current.attempts and (failure.status or 0) >= 500:
        current.failure = failure
        raise failure
    traffic.gave_up(concurrency.question() or began, began)
    pause, attempts = getattr(failure, "retry_after", None), policy.statistics["attempt_number"]
    if pause is not None and spent + pause > seconds:
        why = f"it asks to wait {pause:.0f} s, beyond retry_seconds={seconds:g}"
    else:
        why = f"gave up after {attempts} attempt{'s' * (attempts != 1)} in {spent:.1f} s"
    if isinstance(failure, BadReply):
        raise BadReply(f"{failure}; {why}", status=failure.status)
    if not failure.sent and not traffic.contact.made:
        why += ". Is a server running at that address?"
    raise EndpointUnavailable(f"{failure}; {why}", status=failure.status, retry_after=pause)


def _passes(error: BaseException) -> bool:
    return isinstance(error, EndpointUnavailable | BadReply) and not isinstance(error, EndpointDown)


def _error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def _wait(state: tenacity.RetryCallState) -> float:
    pause: float | None = getattr(_error(state), "retry_after", None)
    # Many calls may have been told the same moment: a little spread on top.
    return _backoff(state) if pause is None else pause + 0.1 * _backoff(state)


def _announce(state: tenacity.RetryCallState) -> None:
    wait, number = state.upcoming_sleep, state.attempt_number
    level = logging.WARNING if wait >= _LONG_WAIT else logging.INFO
    _logger.log(level, "%s; asking again in %.1f s (attempt %d of %d)", _error(state), wait, number, ATTEMPTS)
