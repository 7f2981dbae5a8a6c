"""One pace for all requests to an endpoint, and the word that it is down."""

import asyncio
import types

import faults
import pytest
from asking import QUESTION, on
from faults import RateLimit, status

import catlite
from catlite import concurrency
from catlite.errors import EndpointDown
from catlite.models.http import traffic
from catlite.models.http.traffic import Traffic, duration


@pytest.fixture
def clock(monkeypatch):
    """A clock that only stands still or is put forward."""
    now = types.SimpleNamespace(value=1000.0)
    monkeypatch.setattr(traffic, "time", types.SimpleNamespace(monotonic=lambda: now.value))
    return now


def sent(account, count, clock, seconds=1.0):
    """`count` requests over `seconds`, and the time of the last."""
    for _ in range(count):
        clock.value += seconds / count
        at = asyncio.run(account.turn(clock.value)) if account.pace is None else clock.value
    return at


def test_nothing_is_held_back_before_a_refusal(clock):
    account = Traffic("server")
    for _ in range(100):
        account.answered(sent(account, 1, clock, 0.001))
    assert account.pace is None


def test_a_refusal_sets_the_pace_to_what_was_sent_lately_and_the_next_ones_lower_it(clock):
    account = Traffic("server")
    account.refused(429, sent(account, 40, clock))
    assert account.pace == pytest.approx(40, abs=1)
    for _ in range(3):
        before = account.pace
        account.refused(429, sent(account, 1, clock))
        assert account.pace < before


def test_requests_sent_before_a_cut_was_known_do_not_cut_again(clock):
    account = Traffic("server")
    at = sent(account, 40, clock)
    clock.value += 0.1
    for _ in range(40):
        account.refused(429, at)
    assert account.pace == pytest.approx(40, abs=1)


@pytest.mark.parametrize("code", [500, 408, None])
def test_failures_that_say_nothing_about_the_rate_change_no_pace(clock, code):
    account = Traffic("server")
    account.refused(code, sent(account, 40, clock))
    assert account.pace is None


def test_answers_bring_the_pace_back(clock):
    account = Traffic("server")
    account.refused(429, sent(account, 40, clock))
    for _ in range(10):
        account.refused(429, sent(account, 1, clock))
    low = account.pace
    for _ in range(300):
        clock.value += 1 / account.pace
        account._sent.append(clock.value)
        account._sent = type(account._sent)(one for one in account._sent if one >= clock.value - 1)
        account.answered(clock.value)
    assert account.pace > 10 * low


def test_an_overload_leaves_at_least_one_request_a_second(clock):
    account = Traffic("server")
    for _ in range(200):
        account.refused(503, sent(account, 1, clock))
    assert account.pace == 1.0


def test_a_quota_that_is_nearly_used_up_sets_the_pace_before_a_refusal(clock):
    account = Traffic("server")
    headers = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "30",
        "x-ratelimit-reset-requests": "30s",
    }
    account.heard(headers)
    assert account.pace is None
    account.heard(headers | {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m0s"})
    assert account.pace == 1.0


@pytest.mark.parametrize("value", ["", "soon", "1s2", "-"])
def test_headers_that_cannot_be_read_change_nothing(value):
    account = Traffic("server")
    account.heard(
        {
            "x-ratelimit-limit-requests": "60",
            "x-ratelimit-remaining-requests": "0",
            "x-ratelimit-reset-requests": value,
        }
    )
    assert account.pace is None


@pytest.mark.parametrize(
    ("text", "seconds"), [("1s", 1), ("6m0s", 360), ("120ms", 0.12), ("1h2m3.5s", 3723.5), ("7", 7)]
)
def test_durations_are_read_as_providers_write_them(text, seconds):
    assert duration(text) == pytest.approx(seconds)


def test_the_pace_is_kept_by_all_calls_together(server):
    async def work():
        account = Traffic("server")
        account.pace = 100.0
        account._next = 0.0
        began = asyncio.get_running_loop().time()
        turns = await asyncio.gather(*(account.turn(began) for _ in range(11)))
        return [later - sooner for sooner, later in zip(sorted(turns), sorted(turns)[1:], strict=False)]

    assert all(gap >= 0.0099 for gap in asyncio.run(work()))


@pytest.mark.parametrize("retry_after", [None, 0.2])
def test_a_server_that_limits_its_rate_loses_no_call_and_wastes_few(server, retry_after):
    server.limit = RateLimit(60, burst=5, retry_after=retry_after)
    with on(server, max_connections=16, retry_seconds=60) as model:
        found = catlite.estimate([f"Question {i}?" for i in range(20)], model, n=8, estimator=first)
    assert not any(rollout.error for reference in found for rollout in reference.rollouts)
    # 16 at once before anything is known, and a share of the other requests.
    assert server.statuses[429] <= 16 + 0.2 * 20


async def first(group):
    return catlite.Reference(group.usable[0].text, None, "first", group)


def test_one_retry_after_does_not_hold_up_the_others(server):
    server.script([status(429, retry_after=2), None])

    async def work():
        async with on(server) as model:
            await asyncio.gather(model.sample(QUESTION), model.sample(QUESTION + "?"))

    asyncio.run(work())
    held, free, again = server.requests
    assert free.answered < again.arrived
    assert again.arrived - held.answered >= 2


# Down


def test_an_endpoint_that_is_down_ends_the_run_early_and_keeps_what_came(server, hurry, tmp_path):
    server.script(lambda number, body: status(500) if number >= 10 else None)
    prompts = [f"Question {i}?" for i in range(200)]
    with on(server, max_connections=2) as model:
        found = catlite.estimate(prompts, model, n=2, estimator=first, run=tmp_path)
        done = [one for one in found if one.error is None]
        assert len(done) >= 8
        assert "is down" in found[-1].error
        sent_then = server.completions
        assert sent_then < 100  # of at least 1,600 with every question's retries
        server.script([])
        again = catlite.estimate(prompts, model, n=2, estimator=first, run=tmp_path)
    assert not any(one.error for one in again)
    assert server.completions - sent_then == 200 - len(done)


def test_an_evaluation_whose_endpoint_is_down_says_so(server, hurry, monkeypatch):
    monkeypatch.setattr(traffic, "_SILENCE", 1.0)  # 503 slows the retries down to one a second
    task = catlite.Task("t", tuple(catlite.Example(f"{i}?", "1", answer_format="boxed") for i in range(50)))
    server.script(lambda number, body: status(503))
    with on(server, max_connections=4) as model:
        result = catlite.evaluate(task, model, n=2)
    assert "is down: nothing was answered" in result.stopped


def test_one_question_that_always_fails_is_not_an_endpoint_that_is_down(server, hurry):
    server.script(lambda number, body: status(500) if "poison" in str(body) else None)
    with on(server, max_connections=1) as model:
        found = catlite.estimate(["poison", *"abcdef"], model, n=2, estimator=first)
    assert [bool(one.error) for one in found] == [True, *[False] * 6]


def test_calls_that_wait_for_a_retry_end_when_the_endpoint_is_found_down():
    async def work():
        account = Traffic("server")
        began = asyncio.get_running_loop().time()
        waiting = asyncio.create_task(account.wait(60, began))
        await asyncio.sleep(0)
        for question in range(2):
            account.gave_up(question, began)
        with pytest.raises(EndpointDown):
            account.gave_up(2, began)
        with pytest.raises(EndpointDown):
            await asyncio.wait_for(waiting, 1)
        await account.wait(0, asyncio.get_running_loop().time() + 1)  # who begins later may try

    concurrency.run(work())


# A little of everything (benchmarks/faults.py has a lot of it)

MIXED = (
    (0.02, status(429, retry_after=0.02)),
    (0.02, status(500)),
    (0.02, faults.reset(0.5)),
    (0.02, faults.cut()),
    (0.02, faults.truncated_json()),
    (0.02, faults.html()),
    (0.02, faults.null_choices()),
    (0.01, faults.hang()),
)


def test_with_mixed_faults_all_is_answered_exactly_once(server, hurry, tmp_path):
    server.takes_n = False
    server.script(faults.mix(*MIXED, seed=3))
    prompts = [f"Question {i}?" for i in range(40)]
    with on(server, timeout=2.0, max_connections=16) as model:
        found = catlite.estimate(prompts, model, n=4, estimator=first, run=tmp_path)
        sent = server.completions
        assert catlite.estimate(prompts, model, n=4, estimator=first, run=tmp_path) == found
    assert server.completions == sent > 160  # some had to be asked again, and the second run asked for nothing
    assert not any(rollout.error for reference in found for rollout in reference.rollouts)
    answered = [request.body["messages"][-1]["content"] for request in server.requests if request.fault is None]
    assert sorted(answered) == sorted(4 * prompts)
