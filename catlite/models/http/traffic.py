"""How fast an endpoint is asked, and when it is given up: one account for all requests to a model on an event loop.

Nothing is held back until the server says 429 or 503. From then on requests go out at a pace of so many a second. A
refusal takes something off it (unless it stands alone, or the request was sent before the last cut was known), more
when the ones before were refused too; answers add to it, ever more the longer nothing is refused. Both are factors, so
any pace settles where about 5% are refused, and the whole quota is used. A Retry-After holds back the one request that
got it. Rate-limit headers bring the pace down before there is a refusal.

When calls for several questions in a row have used up their retries and nothing was answered in between, the endpoint
is down: every call that waits ends. Left out: an account across processes, limits on tokens per minute as such.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections import deque
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from catlite.errors import BadReply, EndpointDown, EndpointUnavailable

_RECENT = 0.2  # the weight of the latest answer or refusal in the share of refusals
_SLOWER = 0.6  # times that share squared is what a refusal takes off: 2.4% when it stands alone
_REMEMBERED = {429: 0.7, 503: 0.9}  # of the pace that held: an overload passes sooner than a quota
_SLOWEST = {429: 1 / 60, 503: 1.0}  # requests a second
_ALONE = 0.01  # share of refusals below which one more is taken for chance: none among the last 13
_OUTAGE = 0.6  # share of refusals
_FASTER = 1.5  # per answer, up to the pace that is thought to hold
_PROBING, _EAGER = 0.002, 25.0  # beyond it: 0.2% per answer, twice that 25 answers later, and so on
_QUIET = 4.0  # seconds without a refusal that count as much, by their square: slow paces would never recover
_UNKNOWN = 400  # answers' worth of eagerness to begin with, when the pace is a guess
_FEWEST = 5.0  # requests a second, to begin with: falling from there takes seconds, rising to there takes longer
_NEARLY_USED_UP = 0.1  # of what the server allows
_DOWN = 3  # questions
_SILENCE = 60.0  # seconds
_logger = logging.getLogger("catlite")


@dataclass
class Contact:
    """Whether an endpoint was ever reached: if so it may come back, else it is perhaps not there at all."""

    made: bool = False
    waited_for: bool = False  # and the log says so


class Traffic:
    """An endpoint's capacity, as far as it is known. `pace` is requests a second, None while they are not held back."""

    def __init__(self, who: str, contact: Contact | None = None) -> None:
        self.who = who
        self.contact = contact or Contact()
        self.pace: float | None = None
        self._held = math.inf  # the pace that is thought to hold
        self._answers = 0  # since the pace was cut, at or beyond what holds
        self._cut = -math.inf  # when
        self._refusals = 0.0  # their share, lately
        self._next = -math.inf
        self._line = asyncio.Lock()
        self._sent: deque[float] = deque()  # within the last second
        self._under_way = 0
        self._given_up: set[Hashable] = set()  # questions, since the last answer
        self._last_answer = time.monotonic()
        self._down = -math.inf  # when it was found to be
        self._alarm = asyncio.Event()

    async def turn(self, began: float) -> float:
        """Wait for the next request's turn, and return its time. Raises EndpointDown when the endpoint went down."""
        now = time.monotonic()
        if self.pace is not None:
            async with self._line:
                await self.wait(self._next - time.monotonic(), began)
                now = time.monotonic()
                self._next = now + 1 / self.pace
        self.check(began)
        self._under_way += 1
        self._sent.append(now)
        while self._sent[0] < now - 1:
            self._sent.popleft()
        return now

    def back(self) -> None:
        """Count a request that had its turn as over, however it ended."""
        self._under_way -= 1

    async def wait(self, seconds: float, began: float) -> None:
        """Sleep; raise EndpointDown as soon as the endpoint is found down."""
        self.check(began)
        if seconds > 0:
            try:
                await asyncio.wait_for(self._alarm.wait(), seconds)
            except TimeoutError:
                return
            self.check(began)

    def check(self, began: float) -> None:
        """Raise EndpointDown when the endpoint was found down after `began`; a call that begins later may try."""
        if self._down >= began:
            raise EndpointDown(
                f"{self.who} is down: nothing was answered for {self._down - self._last_answer:.0f} s, and "
                f"{len(self._given_up)} questions have used up their retries. Everything that came is kept"
            )

    def answered(self, sent: float) -> None:
        """Count an answer, which is anything but 429, 5xx and a lost connection, to a request of the time `sent`."""
        self.contact.made = True
        self._given_up.clear()
        self._last_answer = time.monotonic()
        if self.pace is None:
            return
        self._refusals *= 1 - _RECENT
        if self.pace < self._held:
            self.pace = min(self._held, self.pace * _FASTER)
        elif sent >= self._cut:
            self._answers += 1
            if self.pace < 2 * len(self._sent):  # beyond twice what is sent it would mean nothing
                quiet = (self._last_answer - self._cut) / _QUIET
                self.pace *= 1 + min(0.5, _PROBING * (1 + self._answers / _EAGER + quiet**2))
            self._held = self.pace

    def failed(self, error: EndpointUnavailable | BadReply, sent: float) -> None:
        """Count a request of the time `sent` that got no usable answer."""
        self.contact.made |= error.status is not None or isinstance(error, BadReply) or error.sent
        self.refused(error.status, sent)

    def refused(self, status: int | None, sent: float) -> None:
        """Count a failure of a request of the time `sent`; 429 and 503 mean that it came too soon."""
        if status not in _SLOWEST or sent < self._cut:
            return
        if self.pace is None:
            self.pace = self._held = max(len(self._sent), _FEWEST)
            self._answers, self._next = _UNKNOWN, time.monotonic() + 1 / self.pace
            self._refusals = _RECENT
            _logger.info("%s limits its rate: asking %.3g times a second from here on", self.who, self.pace)
        else:
            before = self._refusals
            self._refusals += _RECENT * (1 - before)
            if before > _ALONE:
                self.pace = max(_SLOWEST[status], (1 - _SLOWER * self._refusals**2) * self.pace)
            # An overload that lets nothing through is not about the pace: the one that held before is tried again.
            passes = status == 503 and self._refusals > _OUTAGE
            self._held = max(self.pace, (0.97 if passes else _REMEMBERED[status]) * self._held)
            self._answers = 0
        self._cut = time.monotonic()

    def heard(self, headers: Mapping[str, str]) -> None:
        """Read x-ratelimit-limit-requests, -remaining- and -reset-, as OpenAI and others send them."""
        if "x-ratelimit-remaining-requests" not in headers:
            return
        try:
            remaining = float(headers["x-ratelimit-remaining-requests"])
            limit = float(headers["x-ratelimit-limit-requests"])
            reset = duration(headers["x-ratelimit-reset-requests"])
        except (KeyError, ValueError):
            return
        if remaining <= _NEARLY_USED_UP * limit and reset > 0:
            # So many come back in that time.
            refill = max(_SLOWEST[429], (limit - remaining) / reset)
            if self.pace is None or refill < self.pace:
                self.pace = self._held = refill
                self._answers = 0

    def silent(self, began: float) -> bool:
        """True when there was no answer since `began` for long, and no request is under way that may get one."""
        return self._under_way == 0 and time.monotonic() - max(began, self._last_answer) > _SILENCE

    def gave_up(self, question: Hashable, began: float) -> None:
        """Count a call that has used up its retries; raise EndpointDown when several questions' calls have."""
        self.check(began)
        self._given_up.add(question)
        if len(self._given_up) >= _DOWN and self._last_answer < began:
            self._down = time.monotonic()
            self._alarm.set()
            self._alarm = asyncio.Event()
            self.check(began)


def duration(text: str) -> float:
    """Seconds in "1s", "6m0s", "120ms", "1h2m3.5s" or a plain number; ValueError otherwise."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|h|m|s)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"{text!r:.40} is not a duration")
    seconds = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return sum(float(number) * seconds[unit] for number, unit in parts)
