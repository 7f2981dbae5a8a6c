"""The limiter holds one limit and one budget for all processes, whoever dies, and what was leased is never free."""

import asyncio
import json
import os

import pytest

import catlite
from catlite.errors import BudgetReached, ConfigError, StoreError
from catlite.scale import leases
from catlite.scale.leases import Lease, LeasedLedger, Limiter
from catlite.usage import Usage

CALL = Usage(100, 50, 0, 0.01, 1)


@pytest.fixture
def limiter(tmp_path):
    """Makes the limiter of a run of that name; its clock stands until it is moved on."""

    def make(name="run", **caps):
        calls = caps.pop("max_calls", None)
        new = Limiter(tmp_path / f"{name}.jsonl", catlite.Budget(**caps) if caps else None, calls)
        new.now = 0.0
        new.clock = lambda: new.now
        return new

    return make


def ledger_of(limiter, place="actor", budget=None):
    return LeasedLedger(budget or limiter.budget, limiter.report, place)


def bound(more, times):
    return CALL


async def spend(ledger, count, cost=CALL, pause=0.0):
    """Send so many requests, each of which costs `cost`; give how many were let through."""

    async def request():
        try:
            async with ledger.room_for("model", bound, False):
                await asyncio.sleep(pause)
                ledger.account.book(cost)
        except BudgetReached:
            return 0
        return 1

    return sum(await asyncio.gather(*(request() for _ in range(count))))


def test_a_lease_takes_few_messages(limiter):
    limiter, reports = limiter(), []
    ledger = LeasedLedger(None, lambda *report: reports.append(report) or limiter.report(*report), "actor")
    assert asyncio.run(spend(ledger, 1000)) == 1000
    assert len(reports) < 40
    ledger.end()
    lease = limiter.holders[ledger.name].lease
    assert (lease.calls, lease.most.requests, lease.most.total_tokens) == (0, 1000, 150_000)


@pytest.mark.parametrize(("cap", "fits"), [({"requests": 50}, 50), ({"usd": 0.505}, 50), ({"tokens": 7500}, 50)])
def test_all_processes_together_spend_no_more_than_the_budget(limiter, cap, fits):
    limiter = limiter(**cap)
    ledgers = [ledger_of(limiter, f"actor {number}") for number in range(3)]

    async def all_at_once():
        return await asyncio.gather(*(spend(ledger, 40, pause=0.002) for ledger in ledgers))

    assert sum(asyncio.run(all_at_once())) == fits
    assert sum(ledger.account.spent.requests for ledger in ledgers) == fits


def test_what_requests_did_not_cost_is_had_by_others(limiter):
    limiter = limiter(usd=0.1)
    ledgers = [ledger_of(limiter, f"actor {number}") for number in range(2)]

    async def all_at_once():
        half = Usage(100, 25, 0, 0.005, 1)
        return await asyncio.gather(*(spend(ledger, 30, half) for ledger in ledgers))

    # The last one may only be sent where its most fits: 18 halves and one whole.
    assert sum(asyncio.run(all_at_once())) == 19


def test_calls_in_flight_are_limited_over_all_processes(limiter):
    limiter = limiter(max_calls=4)
    ledgers = [ledger_of(limiter, f"actor {number}") for number in range(2)]
    peak = 0

    async def request(ledger):
        nonlocal peak
        async with ledger.room_for("model", bound, False):
            peak = max(peak, sum(other.in_flight for other in ledgers))
            await asyncio.sleep(0.002)

    async def all_at_once():
        await asyncio.gather(*(request(ledger) for ledger in ledgers for _ in range(20)))

    asyncio.run(all_at_once())
    assert peak == 4


def test_a_dead_process_loses_its_calls_and_its_lease_stays_booked(limiter):
    limiter = limiter(max_calls=4, requests=100)
    dead = ledger_of(limiter, "dead")
    dead.exchange(CALL)
    dead.report = None  # it is not heard of again
    assert (dead.calls, dead.room.requests) == (4, 16)
    other = ledger_of(limiter, "other")
    other.exchange(CALL)
    assert other.calls == 0
    limiter.now = leases.DEAD_SECONDS + 1
    other.exchange(CALL)
    assert other.calls == 4
    assert limiter.holders[dead.name].lease == Lease(spent=Usage.total([CALL] * 16))


def test_one_that_was_started_again_takes_the_calls_of_the_former_at_once(limiter):
    limiter = limiter(max_calls=4)
    ledger_of(limiter, "actor 1").exchange(CALL)
    again = ledger_of(limiter, "actor 1")
    again.exchange(CALL)
    assert again.calls == 4


def test_a_limiter_that_is_started_again_goes_on_from_its_file(limiter):
    ledger = ledger_of(limiter(requests=20))

    async def start_again():
        before = await spend(ledger, 10)
        ledger.report = limiter(requests=20).report
        return before, await spend(ledger, 20)

    assert asyncio.run(start_again()) == (10, 10)  # its report takes the place of what the file says


def test_a_later_run_counts_what_an_earlier_one_had_leased_when_it_was_killed(limiter):
    ledger = ledger_of(limiter(requests=100))
    ledger.exchange(CALL)
    leased = ledger.room.requests  # the first beat gives back what is not used
    later = ledger_of(limiter("later", requests=100))
    assert asyncio.run(spend(later, 100)) == 100 - leased


def test_a_torn_line_of_the_file_is_passed_over(limiter, tmp_path):
    (tmp_path / "before.jsonl").write_text(json.dumps(["a", 1, 1, 0.0, 7]) + '\n["a", 1, 1, 0.0')
    assert limiter(requests=10).before.requests == 7


def test_a_limiter_that_cannot_write_says_so_and_loses_no_line_by_it(limiter, tmp_path, monkeypatch):
    limiter = limiter(requests=100)
    ledger = ledger_of(limiter)
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, text: write(file, text[:20]))  # the storage is full after that
    with pytest.raises(StoreError, match=r"run\.jsonl cannot be written: no space left"):
        asyncio.run(spend(ledger, 1))
    monkeypatch.undo()
    assert asyncio.run(spend(ledger_of(limiter, "other"), 3)) == 3
    assert Limiter(tmp_path / "later.jsonl", limiter.budget).before.requests >= 3


def test_a_cap_that_cannot_be_counted_is_refused_before_anything_is_sent(limiter, tmp_path):
    (tmp_path / "before.jsonl").write_text(json.dumps(["a", 1, 1, None, 7]))
    with pytest.raises(ConfigError, match="what it has spent is not known"):
        limiter(usd=1.0)


def test_without_its_limiter_nothing_is_sent():
    def gone(*_):
        raise ConnectionError("no actor")

    with pytest.raises(StoreError, match=r"cannot be reached.*no actor"):
        asyncio.run(spend(LeasedLedger(None, gone, "actor"), 1))


def test_a_cancelled_request_gives_its_call_back(limiter):
    ledger = ledger_of(limiter(max_calls=1))

    async def cancel_one():
        waiting = asyncio.create_task(spend(ledger, 3, pause=30))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        return await spend(ledger, 2)

    assert asyncio.run(cancel_one()) == 2
    assert ledger.in_flight == 0
