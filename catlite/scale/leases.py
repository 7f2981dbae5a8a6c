"""One limit and one budget for the calls of many processes: each works on a lease, and asks for more when it is used.

The limiter, one for a run, knows what each process may have in flight and what that may cost. A lease is of many
requests, so that thousands of them take few messages, and is looked at every second: a process gives back what it does
not use, and loses its calls when it is not heard of any more. What it may have cost by then stays booked, at the most.
All of that is in a file of the run's folder before a request is sent, so that a limiter that is started again, or a
later run, goes on from there. Nothing here knows Ray. Left out: caps per model, as in runs/budget.py.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from catlite.errors import BudgetReached, StoreError
from catlite.runs.budget import Account, Bound, Budget, Ledger, Room, known
from catlite.runs.shared import append
from catlite.usage import Usage

BEAT_SECONDS = 1.0  # between two reports of a process
DEAD_SECONDS = 10.0  # without a report, after which a process is taken for dead
PORTIONS = (64, 16, 4, 1)  # requests of a lease, the most that a quarter of what is left allows
_POLL_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Lease:
    """What one process has.

    Args:
        calls: requests that it may have in flight.
        spent: what it has booked so far.
        reserved: the most that its requests in flight can cost.
        room: the most that further ones may cost before it has to ask again.
    """

    calls: int = 0
    spent: Usage = Usage()
    reserved: Usage = Usage()
    room: Usage = Usage()

    @property
    def most(self) -> Usage:
        """The most it will have spent if it is not heard of again."""
        return self.spent + self.reserved + self.room


@dataclass(frozen=True, slots=True)
class Grant:
    """The limiter's answer to a report.

    Args:
        calls: requests that the process may have in flight from now on.
        room: what further ones may cost, in place of what it had; None leaves that.
        share: requests that it should come down to, and may ask for.
        give_back: True asks it to give back what it does not use, because another one waits.
        over: why there will be no room for the request, even when all that are in flight have cost nothing.
    """

    calls: int
    room: Usage | None
    share: int
    give_back: bool
    over: str | None = None


Report = Callable[[str, str, Lease, Usage | None], Grant]


@dataclass
class _Holder:
    """A process: where it runs, its lease, when it was heard of, and whether it waits for calls or room."""

    place: str
    lease: Lease
    seen: float
    waits: bool = False


class Limiter:
    """Gives out leases within one limit of calls in flight and one budget.

    Args:
        file: where what was leased is kept, one for each run, beside those of earlier runs, which count.
        budget: caps on the whole run, earlier runs of the folder included; None for none.
        max_calls: requests in flight over all processes; None for no limit.

    Raises:
        ConfigError: for a cap on what earlier runs have spent to an unknown extent.
    """

    def __init__(self, file: Path, budget: Budget | None = None, max_calls: int | None = None) -> None:
        self.file, self.budget = file, budget or Budget()
        self.max_calls = max_calls or 2**31
        self.clock: Callable[[], float] = time.monotonic
        earlier = (other for other in file.parent.glob("*.jsonl") if other != file)
        self.before = Usage.total(most for other in earlier for most in _read(other).values())
        # Leases of before this limiter was started again: their holders will report what they have in flight.
        self.holders = {name: _Holder("", Lease(spent=most), self.clock()) for name, most in _read(file).items()}
        self.grants_from = self.clock() + 2 * BEAT_SECONDS if self.holders else 0.0
        Ledger(self.budget, Account(self._spent()))

    def report(self, name: str, place: str, lease: Lease, wanted: Usage | None) -> Grant:
        """Take the lease of a process as it is now, and answer what it may have from now on.

        Args:
            name: of the process, another one each time it is started.
            place: where it runs: a process that was started again at the same place tells that the former is dead.
            lease: what it has; it may be less than was given, never more.
            wanted: the most that its next request can cost, when there is no room for that or no call is free.

        Raises:
            StoreError: when what was leased cannot be written; then nothing may be sent.
        """
        now = self.clock()
        known_most = self.holders[name].lease.most if name in self.holders else None
        holder = self.holders[name] = _Holder(place, lease, now, waits=wanted is not None)
        others = [other for other in self.holders.values() if other is not holder]
        for other in others:
            if now - other.seen > DEAD_SECONDS or other.place == place:
                other.lease, other.waits = Lease(spent=other.lease.most), False
        room, over = None, None
        share = max(1, self.max_calls // (1 + sum(other.lease.calls > 0 or other.waits for other in others)))
        if wanted is not None:
            free = self.max_calls - lease.calls - sum(other.lease.calls for other in others)
            calls = lease.calls + max(0, min(share - lease.calls, free)) * (now >= self.grants_from)
            room, over = self._room(holder, others, wanted)
            holder.lease = replace(lease, calls=calls, room=lease.room if room is None else room)
            holder.waits = room is None or calls == lease.calls < share
        if (most := holder.lease.most) != known_most:
            line = json.dumps([name, most.prompt_tokens, most.completion_tokens, most.cost_usd, most.requests])
            try:
                append(self.file, [line])
            except OSError as error:
                holder.lease, holder.waits = lease, False  # the process has no more than it reported
                raise StoreError(
                    f"{self.file} cannot be written: {error.strerror}. What was written before is intact; make room or "
                    "fix the storage, and run again to go on from there"
                ) from None
        return Grant(holder.lease.calls, room, share, any(other.waits for other in others), over)

    def _room(self, holder: _Holder, others: list[_Holder], wanted: Usage) -> tuple[Usage | None, str | None]:
        """Give room for as many requests like `wanted` as a quarter of what is left allows; for one, if need be."""
        own = holder.lease.spent + holder.lease.reserved
        booked = self.before + own + Usage.total(other.lease.most for other in others)
        for portion in PORTIONS:
            room = Usage.total([wanted] * portion)
            if self._over(booked, Usage.total([room] * (4 if portion > 1 else 1))) is None:
                return room, None
        return None, self._over(self._spent(), wanted)

    def _over(self, booked: Usage, more: Usage) -> str | None:
        """Say which cap `more` would exceed, if any."""
        ledger = Ledger(Budget(), Account(booked))
        ledger.budget = self.budget
        return ledger.over(booked + more)

    def _spent(self) -> Usage:
        return self.before + Usage.total(holder.lease.spent for holder in self.holders.values())


class LeasedLedger(Ledger):
    """The Ledger of one process: a request is sent when its lease has a free call, and room for what it may cost.

    Args:
        budget: caps on the whole run, for what a request needs by them: a bound, a price.
        report: sends a report to the limiter and returns its answer, from any thread.
        place: where this process runs, as in `Limiter.report`.
    """

    def __init__(self, budget: Budget | None, report: Report, place: str) -> None:
        super().__init__(budget or Budget())
        self.name, self.place, self.report = uuid.uuid4().hex, place, report
        self.calls, self.in_flight, self.share = 0, 0, 1
        self.room, self.give_back = Usage(), False
        self.over_caps: str | None = None
        self.lost: Exception | None = None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._talking = threading.Lock()  # a report at a time
        self._asking = asyncio.Lock()
        self._ended = threading.Event()
        threading.Thread(target=self._beat, name="catlite-lease", daemon=True).start()

    @asynccontextmanager
    async def room_for(self, model: str, bound: Bound, exact: bool) -> AsyncIterator[Room]:
        """Hold room for one request to `model`, as Ledger does, within the lease.

        Raises:
            BudgetReached: when there will be no room.
            StoreError: when the limiter is gone, or cannot write what it leases.
        """
        while not isinstance(room := self._take(model, bound, exact), Room):
            if room is None:
                turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                self._waiting.append(turn)
                await asyncio.wait([turn], timeout=BEAT_SECONDS)  # a turn may be given to one that was cancelled
            else:
                await self._ask(room)
        with room:
            yield room

    def _take(self, model: str, bound: Bound, exact: bool) -> Room | Usage | None:
        """Take room of the lease; else the most that the request can cost, to ask with, or None to wait for others."""
        capped_by_use = self.budget.usd is not None or self.budget.tokens is not None
        with self.account.lock:
            if isinstance(self.lost, StoreError):
                raise self.lost
            if self.lost is not None:
                raise StoreError(
                    f"the limiter of this run cannot be reached: its driver ended, or its node is gone ({self.lost})"
                )
            if capped_by_use and not exact and self.account.first_is_back.get(model) is False:
                return None
            most = bound(0, 1.0) if exact else bound(*self.account.beyond)
            if self.in_flight >= self.calls:
                return most if self.calls < self.share or self.calls == 0 else None
            if not _fits(most, self.room):
                return most
            self.room += known(most, -1)
            self.account.reserved += known(most)
            self.in_flight += 1
            if not exact:
                self.account.first_is_back.setdefault(model, False)
            return _LeasedRoom(self.account, None if exact else model, most, ledger=self)

    async def _ask(self, wanted: Usage) -> None:
        """Ask for room for `wanted` and for a call, unless another one has got that meanwhile."""
        async with self._asking:
            if not self._lacks(wanted):
                return
            await asyncio.to_thread(self.exchange, wanted)
            if self.over_caps is not None:
                raise BudgetReached(
                    f"the budget is reached: {self.over_caps}. Run again with a larger one to go on from here"
                )
            self._wake()
            if self.lost is None and self._lacks(wanted):
                await asyncio.sleep(_POLL_SECONDS)

    def _lacks(self, most: Usage) -> bool:
        """Tell whether the lease has no call free, or no room for `most`."""
        with self.account.lock:
            return self.in_flight >= self.calls or not _fits(most, self.room)

    def free(self) -> None:
        """Take back the call of a request that is done, and let others have it."""
        with self.account.lock:
            self.in_flight -= 1
        self._wake()

    def _wake(self) -> None:
        """Let as many look again as there are calls free."""
        for _ in range(min(len(self._waiting), max(1, self.calls - self.in_flight))):
            if not (turn := self._waiting.popleft()).done():
                turn.set_result(None)

    def exchange(self, wanted: Usage | None = None) -> None:
        """Report the lease, without what is not needed any more, and take what the limiter gives."""
        with self._talking:
            with self.account.lock:
                idle = wanted is None and self.in_flight == 0 and not self._waiting
                if wanted is not None or self.give_back or idle:
                    self.room = Usage()
                self.calls = 0 if idle else max(min(self.calls, self.share), self.in_flight)
                lease = Lease(self.calls, self.account.spent, self.account.reserved, self.room)
            try:
                grant = self.report(self.name, self.place, lease, wanted)
            except Exception as error:  # of whatever carries the report
                self.lost = error
                return
            with self.account.lock:
                if wanted is not None:
                    self.calls, self.over_caps = grant.calls, grant.over
                    self.room = grant.room or Usage()
                self.share, self.give_back = grant.share, grant.give_back

    def end(self) -> None:
        """Give back what is left of the lease."""
        self._ended.set()
        self.exchange()

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            if self.calls and self.lost is None:
                self.exchange()


@dataclass
class _LeasedRoom(Room):
    """Room for one request, which has a call of the lease as long as it is held."""

    ledger: LeasedLedger | None = field(default=None, kw_only=True)

    def give_back(self, *, learned: bool = True) -> None:
        """See Room."""
        held = self.held
        super().give_back(learned=learned)
        if held and self.ledger is not None:
            self.ledger.free()


def _fits(most: Usage, room: Usage) -> bool:
    """Tell whether `room` has `most` in it; what is not known of either is no matter, as nothing caps it."""
    pairs = (
        (most.prompt_tokens, room.prompt_tokens),
        (most.completion_tokens, room.completion_tokens),
        (most.cost_usd, room.cost_usd),
        (most.requests, room.requests),
    )
    return all(need is None or there is None or need <= there for need, there in pairs)


def _read(file: Path) -> dict[str, Usage]:
    """What each process has leased, by its name: the last whole line of it counts."""
    leased = {}
    for line in file.read_text("ascii", "replace").splitlines() if file.exists() else ():
        try:
            name, prompt, completion, dollars, requests = json.loads(line)
        except (ValueError, TypeError):
            continue
        leased[name] = Usage(prompt, completion, 0, dollars, requests)
    return leased
