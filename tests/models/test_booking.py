"""Nothing that was billed is ever free: not what failed, not what a server is silent about, not across a kill -9."""

import asyncio
import errno
import os
import random
import sqlite3
import sys
from contextlib import closing, contextmanager, suppress

import children
import faults
import pytest
import tenacity
from provider import Disk, Provider
from server import Server

import catlite
from catlite import Budget, Endpoint, Example, MajorityVote, Price, Usage, concurrency
from catlite.errors import BudgetReached, CatliteError, ConfigError, StoreError
from catlite.models.base import TOKEN_LIMITS
from catlite.models.http import retry, service
from catlite.models.http.traffic import Traffic
from catlite.runs import budget as budgets
from catlite.runs.session import capped, open_run
from catlite.runs.store import Recording, Store

PRICE = Price(2.0, 10.0)


@pytest.fixture
def quick(monkeypatch):
    """No waiting, for a disk neither: what happens depends on the seed alone."""
    connect = Store._connect

    def unsynced(store):
        connection = connect(store)
        connection.execute("PRAGMA synchronous = OFF")
        return connection

    monkeypatch.setattr(Store, "_connect", unsynced)
    monkeypatch.setattr(retry, "_backoff", tenacity.wait_none())
    monkeypatch.setattr(retry, "_wait", lambda state: 0.0)
    monkeypatch.setattr(budgets, "_POLL_SECONDS", 0)
    monkeypatch.setattr(Traffic, "refused", lambda *_: None)
    monkeypatch.setattr(Traffic, "gave_up", lambda *_: None)


async def process(provider, folder, budget, drawn):
    """One process of the run: some questions at once, one of them cancelled now and then; what was booked by it."""
    service._known_servers.clear()
    model = Endpoint("m", base_url=provider.url, api_key="none", price=PRICE, max_connections=drawn.randint(1, 5))

    async def client():
        return provider

    model._service.client = client
    model._service.traffic  # noqa: B018 - on this loop
    with open_run(folder) as store, capped(budget, store):
        disk = Disk(store, drawn)
        store.close = disk.close

        async def question(number):
            if number == 9:
                return await model.logprobs("q", "ab" * drawn.randint(1, 3))
            limit = {drawn.choice(["max_tokens", "max_completion_tokens"]): 7}
            if drawn.random() < 0.2:  # which counts before the other
                limit["extra_body"] = {drawn.choice(["max_tokens", "max_completion_tokens"]): drawn.choice([3, 9])}
            return await model.sample(f"question {number % 6}", drawn.randint(1, 4), **limit)

        tasks = [asyncio.ensure_future(question(number)) for number in drawn.choices(range(10), k=8)]

        def die():
            disk.dead, disk.jobs = True, []
            for task in tasks:
                task.cancel()

        provider.kill = (provider.requests + drawn.randint(1, 12), die) if drawn.random() < 0.5 else None
        if drawn.random() < 0.5:
            asyncio.get_running_loop().call_later(0, drawn.choice(tasks).cancel)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        wrong = [one for one in results if isinstance(one, Exception) and not isinstance(one, CatliteError)]
        assert wrong == []
        return store.account.spent, any(isinstance(one, BudgetReached) for one in results)


def exceeds(bill, booked):
    return (
        bill.prompt_tokens > booked.prompt_tokens
        or bill.completion_tokens > booked.completion_tokens
        or bill.requests > booked.requests
        or bill.cost_usd > booked.cost_usd + 1e-12
    )


@pytest.mark.parametrize("start", range(0, 120, 20))
def test_what_is_booked_is_never_less_than_what_is_billed_and_the_cap_holds(start, quick, tmp_path):
    for seed in range(start, start + 20):
        drawn = random.Random(seed)
        names = drawn.choice([None, None, "max_tokens", "max_completion_tokens"])
        provider = Provider(drawn, PRICE, limit_name=names, takes_n=drawn.random() < 0.7, troubles=drawn.random() * 0.8)
        cap = drawn.choice([{"tokens": 1500}, {"usd": 0.006}, {"requests": 25}, {"tokens": 10**6}])
        folder = tmp_path / str(seed)
        for _ in range(drawn.randint(1, 4)):
            booked, _ = asyncio.run(process(provider, folder, Budget(**cap), drawn))
            assert not exceeds(provider.bill, booked), seed
        with open_run(folder) as store:  # what is on disk
            assert not exceeds(provider.bill, store.account.spent), seed
        assert provider.bill.total_tokens <= cap.get("tokens", 10**9), seed
        assert provider.bill.cost_usd <= cap.get("usd", 10**9) + 1e-12, seed
        assert provider.bill.requests <= cap.get("requests", 10**9), seed


# --- a real server ---


@pytest.fixture
def silent():
    """A server that never says what it used, and answers each question otherwise."""
    with Server(lambda body, i: rf"\boxed{{{len(body['messages'][-1]['content'])}}}", usage=False) as running:
        yield running


@contextmanager
def on(server, **settings):
    with Endpoint("test-model", base_url=server.url, api_key=server.key, max_tokens=20, **settings) as model:
        yield model


def ask(model, prompt="q", n=1, **sampling):
    return concurrency.run(model.sample(prompt, n, **sampling))


def estimated(model, folder, count=40, **options):
    examples = [Example(f"question {number}", answer_format="boxed") for number in range(count)]
    return catlite.estimate(examples, model, estimator=MajorityVote(), n=1, run=folder, **options)


def test_a_server_without_usage_is_not_free_at_the_second_call(silent, tmp_path):
    with on(silent) as model:
        for _ in range(2):
            found = estimated(model, tmp_path, budget=Budget(tokens=200))
            assert len(silent.requests) == 4  # of 47 tokens at most
            assert sum(one.error is None for one in found) == 4


def test_what_a_run_without_a_budget_booked_counts_once_there_is_one(silent, tmp_path):
    with on(silent) as model:
        estimated(model, tmp_path, 4)
        found = estimated(model, tmp_path, budget=Budget(tokens=200))
    assert len(silent.requests) == 4
    assert "the budget is reached" in found[-1].error


def test_a_cap_that_earlier_requests_leave_without_a_count_is_refused(silent, tmp_path):
    with Endpoint("test-model", base_url=silent.url, api_key=silent.key) as model:
        estimated(model, tmp_path, 2)
    with on(silent, price=Price(1.0, 1.0)) as model:
        for cap in ({"tokens": 500}, {"usd": 1.0}):
            with pytest.raises(ConfigError, match="the cap cannot be held"):
                estimated(model, tmp_path, budget=Budget(**cap))
        assert len(silent.requests) == 2
        estimated(model, tmp_path, 3, budget=Budget(requests=3))  # which are counted
    assert len(silent.requests) == 3


MOST = 1 + 16 + 20  # bytes of "q", what a template may add, max_tokens
COUNTS = ("prompt_tokens", "completion_tokens")
NOTHING, TURNED_AWAY, WORKED = (0, 0), (1, 0), (1, MOST)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (faults.hang(), WORKED),
        (faults.reset(), WORKED),
        (faults.close(), WORKED),
        (faults.cut(), WORKED),
        (faults.truncated_json(), WORKED),
        (faults.html(), WORKED),
        (faults.no_choices(), (1, 2)),  # it says what it used
        (faults.status(500), WORKED),
        (faults.status(502), WORKED),
        (faults.status(503), WORKED),
        (faults.status(408), WORKED),
        (faults.content_filter(), WORKED),  # Azure bills it
        (faults.status(503, "The engine is currently overloaded, please try again later"), TURNED_AWAY),
        (faults.status(503, retry_after=0.01), TURNED_AWAY),
        (faults.status(529), TURNED_AWAY),
        (faults.status(429), TURNED_AWAY),
        (faults.status(400, "bad thing"), TURNED_AWAY),
        (faults.status(402), TURNED_AWAY),
        (faults.overflow(), TURNED_AWAY),
        (faults.usage(False), WORKED),
        (faults.usage({"prompt_tokens": 0, "completion_tokens": 0}), WORKED),
        (faults.status(200, body={"choices": [{"message": 7}], "usage": dict.fromkeys(COUNTS, 0)}), WORKED),
        (faults.usage({"completion_tokens": None, "total_tokens": None}), (1, 1 + 20)),
        (faults.usage({"prompt_tokens": 1000}), (1, 1001)),  # more than was thought possible is still what it costs
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_a_request_is_booked_at_what_it_can_have_cost(fault, expected, monkeypatch, tmp_path):
    monkeypatch.setattr(retry, "ATTEMPTS", 1)
    timeout = 0.3 if fault.kind == "hang" else 60.0
    with Server("four", faults=[fault]) as server, on(server, timeout=timeout, retry_seconds=0.001) as model:
        with open_run(tmp_path), capped(Budget(tokens=10_000)) as ledger, suppress(CatliteError):
            ask(model)
        # In the budget in force, and in the run, whoever opens it next.
        with open_run(tmp_path) as store:
            for spent in (ledger.spent, store.account.spent):
                assert (spent.requests, spent.total_tokens) == expected


def test_a_request_that_was_never_sent_is_free(tmp_path, hurry):
    with Server() as gone:
        pass
    with on(gone, retry_seconds=0.05) as model, open_run(tmp_path) as store, capped(Budget(tokens=100), store):
        (failed,) = ask(model)
        assert "cannot be reached" in failed.error
        assert store.account.spent == Usage()


def test_a_host_that_is_not_known_is_free(hurry):
    settings = {"base_url": "http://nowhere.invalid/v1", "api_key": "none", "max_tokens": 20, "retry_seconds": 0.05}
    with Endpoint("test-model", **settings) as model, capped(Budget(tokens=100)) as ledger:
        assert ask(model)[0].error is not None
        assert ledger.spent == Usage()


def test_through_litellm_what_was_never_sent_is_free_and_what_was_lost_is_not(monkeypatch, hurry):
    monkeypatch.setattr(retry, "ATTEMPTS", 1)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    with Server("four", faults=[faults.close()] * 9, key=None) as server, capped(Budget(tokens=1000)) as ledger:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        with Endpoint("openai/test-model", max_tokens=20) as model:
            assert ask(model)[0].error is not None
        assert ledger.spent.total_tokens == MOST
    with capped(Budget(tokens=1000)) as ledger, Endpoint("openai/test-model", max_tokens=20) as model:
        assert "cannot be reached" in ask(model)[0].error
        assert ledger.spent == Usage()


def test_a_cancelled_call_is_booked_for_what_was_sent_and_not_for_what_waited(tmp_path):
    async def work(model, server):
        calls = [asyncio.ensure_future(model.sample(text)) for text in ("a", "b", "c")]
        await asyncio.to_thread(server.wait, lambda s: s.in_flight == 2)
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)

    with Server("ok", latency=5) as server, on(server, max_connections=2) as model, open_run(tmp_path) as store:
        concurrency.run(work(model, server))
        assert (store.account.spent.requests, store.account.spent.total_tokens) == (2, 2 * MOST)


def test_every_attempt_is_booked(tmp_path, hurry):
    with Server("four", faults=[faults.status(500)] * 3) as server, on(server) as model, open_run(tmp_path):
        ask(model)
    with open_run(tmp_path) as store:
        assert store.account.spent.requests == 4
        assert store.account.spent.total_tokens == 3 * MOST + 2


def test_both_requests_of_a_server_that_renames_the_limit_are_booked(tmp_path):
    with Server("four", rejects=["max_tokens"]) as server, on(server) as model, open_run(tmp_path) as store:
        ask(model)
        assert store.account.spent.requests == len(server.requests) == 2


def test_what_extra_body_asks_for_is_reckoned_with(silent, tmp_path):
    with on(silent, extra_body={"max_tokens": 500, "n": 3}) as model, open_run(tmp_path) as store:
        ask(model)
        assert store.account.spent.completion_tokens == 3 * 500


@pytest.mark.parametrize(
    ("endpoint_settings", "call_settings", "sent"),
    [
        ({"extra_body": {"max_tokens": 500}}, {}, {"max_tokens": 500}),
        ({"extra_body": {"max_tokens": 500}}, {"max_tokens": 30}, {"max_tokens": 30}),
        ({"extra_body": {"max_tokens": 500}}, {"max_completion_tokens": 30}, {"max_completion_tokens": 30}),
        ({}, {"extra_body": {"max_tokens": 500}}, {"max_tokens": 500}),
        ({}, {"max_tokens": 30, "extra_body": {"max_completion_tokens": 50}}, {"max_completion_tokens": 50}),
        ({}, {"max_tokens": 30, "max_completion_tokens": 50}, {"max_completion_tokens": 50}),
        ({}, {"extra_body": {"max_tokens": 40, "max_completion_tokens": 50}}, {"max_completion_tokens": 50}),
        ({}, {"max_tokens": 30, "extra_body": {"max_tokens": None}}, {"max_tokens": 30}),
    ],
)
def test_the_token_limit_that_is_sent_is_the_one_that_is_booked(
    endpoint_settings, call_settings, sent, silent, tmp_path
):
    silent.reply = "word " * 400  # as many tokens as the larger limits allow
    with on(silent, **endpoint_settings) as model, open_run(tmp_path) as store:
        for _ in range(2):  # at the second time nothing was learned that is not so
            ask(model, str(silent.completions), **call_settings)
        for request in silent.requests:
            assert {name: request.body[name] for name in TOKEN_LIMITS if name in request.body} == sent
        (limit,) = sent.values()
        assert store.account.spent.completion_tokens == 2 * limit


def test_a_token_limit_in_extra_body_goes_by_the_name_the_server_takes(tmp_path):
    with Server("four", rejects=["max_tokens"]) as server, on(server, extra_body={"max_tokens": 50}) as model:
        assert ask(model)[0].text == "four"
        assert server.requests[-1].body["max_completion_tokens"] == 50


def test_a_limit_in_extra_body_that_is_none_is_refused_before_anything_is_sent(silent):
    with pytest.raises(ConfigError, match="max_tokens='500'"), on(silent, extra_body={"max_tokens": "500"}):
        pass
    assert silent.requests == []


def test_a_prompt_that_the_server_makes_longer_is_reckoned_with_from_then_on():
    with Server("four", usage={"prompt_tokens": 100}) as server, on(server) as model:
        with capped(Budget(tokens=250)) as ledger:
            ask(model)
            with pytest.raises(BudgetReached, match="101 of 250 tokens"):
                ask(model, "r" * 90)  # 106 by its bytes, 189 with what was added to the other
        assert ledger.spent.requests == 1


def test_a_server_that_uses_more_than_it_was_allowed_does_not_burst_the_cap():
    """It takes ten times max_tokens: only the first request goes out before that is known."""
    with Server("four", usage={"prompt_tokens": 1, "completion_tokens": 200}, latency=0.01) as server:
        with on(server, max_connections=16) as model, capped(Budget(tokens=1000)) as ledger:
            work = (model.sample(f"question {number}", max_tokens=20) for number in range(16))
            asyncio.run(settled(work))
        assert server.completions == 4
        assert ledger.spent.total_tokens == 4 * 201


@pytest.mark.parametrize("fault", [faults.status(429), faults.reset(), faults.status(500)])
def test_after_a_first_request_that_failed_the_next_goes_alone(fault, hurry):
    """Else fifteen went out at once, each at ten times what was held for it."""
    usage = {"prompt_tokens": 1, "completion_tokens": 200}
    with Server("four", faults=[fault], usage=usage, latency=0.01) as server:
        with on(server, max_connections=16) as model, capped(Budget(tokens=1000)) as ledger:
            work = (model.sample(f"question {number}", max_tokens=20) for number in range(16))
            asyncio.run(settled(work))
        assert ledger.spent.total_tokens <= 1000


async def settled(work):
    return await asyncio.gather(*work, return_exceptions=True)


def test_two_calls_on_one_run_at_once_share_its_cap(silent, tmp_path):
    with on(silent) as model, open_run(tmp_path) as store:
        with capped(Budget(requests=3), store), capped(Budget(requests=3), store):
            ask(model, "a")
        with capped(Budget(requests=3), store):
            ask(model, "b")
            ask(model, "c")
            with pytest.raises(BudgetReached):
                ask(model, "d")


SENDER = """
import sys
import catlite
from catlite import concurrency
from catlite.runs.session import open_run
model = catlite.Endpoint("test-model", base_url=sys.argv[1], api_key=sys.argv[2], max_tokens=20, max_connections=4)
async def work():
    await concurrency.together(model.sample(f"question {number}") for number in range(100))
with open_run(sys.argv[3]):
    concurrency.run(work())
"""


def test_what_was_under_way_when_a_process_was_killed_is_booked(silent, tmp_path):
    silent.latency = 0.05
    command = [sys.executable, "-c", SENDER, silent.url, silent.key, str(tmp_path)]
    with children.start(command) as process:
        silent.wait(lambda s: len(s.requests) >= 10, timeout=60)
        process.kill()
    silent.wait(lambda s: s.in_flight == 0)
    sent, booked = len(silent.requests), []
    for _ in range(2):
        with open_run(tmp_path) as store:
            booked.append(store.account.spent)
    assert booked[0] == booked[1]
    assert sent <= booked[0].requests <= sent + 4  # what was written down, and killed before it was sent
    assert booked[0].completion_tokens == 20 * booked[0].requests


def test_a_line_that_a_full_disk_tears_sends_nothing_and_hides_no_later_one(monkeypatch, tmp_path):
    most, write = Usage(10, 20, 0, 0.5, 1), os.write
    with open_run(tmp_path) as store:
        monkeypatch.setattr(os, "write", lambda file, text: write(file, text[:7]))
        with pytest.raises(StoreError, match="Nothing was sent"):
            store.begin(most)
        monkeypatch.undo()
        number = store.begin(most)
        assert list(store._journal.left()) == [[number, 10, 20, 0.5, 1]]  # what the next process would book


@pytest.mark.parametrize("version", [1, 3])
def test_a_run_of_another_format_is_refused(version, tmp_path):
    with open_run(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / "replies.sqlite")) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    for opening in (open_run(tmp_path).__enter__, lambda: Recording(tmp_path)):
        with pytest.raises(StoreError, match=rf"another version of catlite \(format {version}.*another folder"):
            opening()


# --- locks ---


@pytest.mark.skipif(sys.platform == "win32", reason="flock")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_named_as_that(code, monkeypatch, tmp_path):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(StoreError, match=r"file system without locks .*local disk"), open_run(tmp_path):
        pass
    monkeypatch.undo()
    with open_run(tmp_path):  # and nothing stays behind that would lock it
        pass


def test_a_run_is_free_again_when_its_process_has_ended_however(tmp_path):
    code = (
        "import os, sys, pathlib, catlite.runs.store; catlite.runs.store.Store(pathlib.Path(sys.argv[1])); os._exit(9)"
    )
    done = children.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert done.returncode == 9
    with open_run(tmp_path):
        pass
