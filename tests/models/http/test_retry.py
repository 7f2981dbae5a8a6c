import asyncio
import logging

import faults
import pytest
import tenacity
from asking import QUESTION, ask, on
from faults import status

from catlite import Endpoint, concurrency
from catlite.errors import EndpointUnavailable
from catlite.models.http import retry, service
from catlite.models.http.retry import ATTEMPTS, retry_after, retrying
from catlite.models.http.traffic import Traffic

# Failures that pass


PASSING = {
    "408": status(408),
    "409": status(409),
    "429 in seconds": status(429, retry_after=0.01),
    "429 at a date": status(429, retry_after=0.0, form="date"),
    "429 in ms": status(429, retry_after=0.005, form="ms"),
    "429 with no word when": status(429),
    "429 with nonsense": status(429, retry_after="soon"),
    "500": status(500),
    "502 in HTML": faults.html(502),
    "503": status(503),
    "529": status(529),
    "reset": faults.reset(),
    "reset halfway": faults.reset(0.5),
    "close": faults.close(),
    "cut": faults.cut(),
    "200 in HTML": faults.html(),
    "200 truncated": faults.truncated_json(),
    "200 empty": status(200, body=""),
    "200 too deep": status(200, body="[" * 100_000),
    "200 a list": status(200, body=[1]),
    "200 error": faults.error_in_200(),
    "no choices": faults.no_choices(),
    "null choices": faults.null_choices(),
    "missing choices": faults.missing_choices(),
    "choices that are none": faults.edit(lambda completion: completion | {"choices": [None]}),
    "content 42": faults.content(42),
}


@pytest.mark.parametrize("fault", PASSING.values(), ids=PASSING)
def test_a_passing_failure_is_retried(server, hurry, fault):
    server.script([fault, fault])
    assert ask(server)[0].text == "answer 0"
    assert server.completions == 3


def test_a_connection_the_server_dropped_in_between_costs_nothing(server, hurry):
    server.script([faults.hangup()])
    with on(server) as endpoint:
        for _ in range(2):
            assert concurrency.run(endpoint.sample(QUESTION))[0].error is None


@pytest.mark.parametrize("fault", [faults.hang(), faults.drip(0.05)], ids=["hang", "drip"])
def test_a_reply_has_a_deadline_as_a_whole(server, hurry, fault):
    server.script([fault])
    assert ask(server, settings={"timeout": 1.0})[0].text == "answer 0"
    server.wait(lambda s: s.requests[0].aborted)  # and not waited for to its end
    assert server.completions >= 2


def test_nobody_listening_is_a_failed_rollout_that_says_so(server, hurry):
    with Endpoint("m", base_url="http://127.0.0.1:9/v1", retry_seconds=0.05) as endpoint:
        rollout = concurrency.run(endpoint.sample(QUESTION))[0]
    assert (rollout.text, rollout.defect) == ("", "failed")
    assert "http://127.0.0.1:9/v1 (m) cannot be reached" in rollout.error


def nobody():
    return EndpointUnavailable("nobody listens", sent=False)


@pytest.fixture
def two_seconds(monkeypatch):
    """Waits of two seconds, which are counted and not waited for."""

    async def wait(self, seconds, began):
        assert seconds <= 2

    monkeypatch.setattr(Traffic, "wait", wait)
    monkeypatch.setattr(retry, "_backoff", tenacity.wait_fixed(2))


def attempts(traffic, failure, seconds=300):
    made = []

    async def call():
        made.append(1)
        raise failure

    with pytest.raises(EndpointUnavailable) as caught:
        concurrency.run(retrying(call, seconds, concurrency.Slots(1), traffic))
    return len(made), str(caught.value)


def test_a_server_nobody_has_reached_yet_is_waited_for_some_seconds_and_that_is_said_at_once(two_seconds, caplog):
    traffic = Traffic("server")
    with caplog.at_level(logging.WARNING, "catlite"):
        number, said = attempts(traffic, nobody())
        attempts(traffic, nobody())
    assert number == 3  # at 0, 2 and 4 of 5 seconds
    assert said.endswith("gave up after 3 attempts in 4.0 s. Is a server running at that address?")
    assert [record.getMessage() for record in caplog.records if record.name == "catlite"] == [
        "nobody listens; nobody was ever reached there: waiting 5 s for it to start"
    ]


@pytest.mark.parametrize("failure", [EndpointUnavailable("reset"), EndpointUnavailable("busy", status=503)])
def test_a_server_that_was_reached_once_gets_all_the_patience_there_is(two_seconds, failure):
    assert attempts(Traffic("server"), failure)[0] == ATTEMPTS
    traffic = Traffic("server")
    traffic.answered(0.0)
    number, said = attempts(traffic, nobody())
    assert number == ATTEMPTS
    assert "Is a server running" not in said


def test_that_a_server_was_reached_is_known_on_every_loop_and_to_every_endpoint(server):
    asyncio.run(on(server).sample(QUESTION))

    async def contact():
        return on(server)._service.traffic.contact

    assert asyncio.run(contact()).made
    assert not concurrency.run(_contact_of("http://127.0.0.1:9/v1")).made


async def _contact_of(url):
    return Endpoint("m", base_url=url)._service.traffic.contact


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/v1", "http://models.invalid/v1"])
def test_refused_connections_and_unknown_hosts_are_told_from_lost_connections(server, hurry, url):
    with Endpoint("m", base_url=url, retry_seconds=0.05) as endpoint:
        assert "Is a server running at that address?" in concurrency.run(endpoint.sample(QUESTION))[0].error
    server.script([faults.reset()] * 20)
    assert "Is a server running" not in ask(server)[0].error


def test_the_client_is_ready_before_the_clock_of_retry_seconds_runs(server, monkeypatch):
    ready = []
    with on(server) as model:

        async def noting(*arguments):
            ready.append(model._service.connections.mine.client is not None)  # whose first import takes seconds
            return await retrying(*arguments)

        monkeypatch.setattr(service, "retrying", noting)
        assert concurrency.run(model.sample(QUESTION))[0].text == "answer 0"
    assert ready == [True]


def test_retry_after_is_waited_for(server):
    server.script([status(429, retry_after=0.2)])
    ask(server)
    first, second = server.requests
    assert second.arrived - first.answered >= 0.2


@pytest.mark.parametrize("wait", [90, 3600])
def test_a_wait_beyond_the_budget_fails_at_once_and_says_how_long(server, wait):
    server.script(lambda number, body: status(429, retry_after=wait))
    rollout = ask(server, settings={"retry_seconds": 30})[0]
    assert f"it asks to wait {wait} s, beyond retry_seconds=30" in rollout.error
    assert len(server.requests) == 1


def test_a_long_wait_is_announced_as_a_warning(server, caplog):
    server.script([status(429, retry_after=60), None])

    async def work():
        async with on(server, retry_seconds=300) as endpoint:
            task = asyncio.create_task(endpoint.sample(QUESTION))
            async with asyncio.timeout(50):
                while "asking again in 6" not in caplog.text:  # noqa: ASYNC110 - a log tells no loop
                    await asyncio.sleep(0.01)
            task.cancel()

    with caplog.at_level(logging.WARNING, "catlite"):
        asyncio.run(work())


def test_retries_are_bounded_in_number(server, hurry):
    server.script(lambda number, body: status(500))
    rollout = ask(server)[0]
    assert f"gave up after {ATTEMPTS} attempts" in rollout.error
    assert len(server.requests) == ATTEMPTS


def test_retries_are_bounded_in_time(server):
    server.script(lambda number, body: status(429, retry_after=0.1))
    ask(server, settings={"retry_seconds": 0.25})
    assert len(server.requests) <= 3


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [
        ({"retry-after": "2"}, 2, 2),
        ({"retry-after-ms": "1500"}, 1.5, 1.5),
        ({"retry-after-ms": "x", "retry-after": "3"}, 3, 3),
        ({"retry-after": "-5"}, 0, 0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0, 0),
        ({"retry-after": "Wed, 21 Oct 2099 07:28:00 GMT"}, 1e9, 1e10),
    ],
)
def test_retry_after_is_read_in_each_form(header, low, high):
    assert low <= retry_after(header) <= high


@pytest.mark.parametrize("value", ["", "soon", "Wed, 99 Oct 99999 07:28:00 GMT"])
def test_retry_after_that_cannot_be_read_is_none(value):
    assert retry_after({"retry-after": value}) is None


def test_a_dropped_connection_is_not_called_a_time_out(server):
    server.script([faults.close()] * 20)
    with Endpoint("test-model", base_url=server.url, api_key=server.key, retry_seconds=0.5) as model:
        (failed,) = concurrency.run(model.sample("q"))
    assert "hung up" in failed.error
    assert "within timeout" not in failed.error


def test_a_wait_may_be_asked_for_in_capitals():
    assert retry.duration_in("RETRY IN 36.2S") == 36.2
