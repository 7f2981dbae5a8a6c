"""Several replicas of one model are one endpoint, as fast as all of them, which goes on as long as one is left."""

import asyncio
import contextlib
import contextvars
import logging
import pickle
import threading
import time
from collections import Counter

import faults
import pytest
from asking import QUESTION
from server import Server

import catlite
from catlite import Budget, Endpoint, concurrency
from catlite.errors import AuthenticationFailed, ConfigError, EndpointDown, RequestRejected
from catlite.models.http import pool
from catlite.runs import session
from catlite.runs.session import open_run


@contextlib.contextmanager
def serving(count=3, **settings):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Server(f"from {i}", **settings)) for i in range(count)]


@pytest.fixture
def servers():
    with serving() as running:
        yield running


def fleet(servers, **settings):
    urls = [server if isinstance(server, str) else server.url for server in servers]
    key = next((server.key for server in servers if not isinstance(server, str)), "none")
    return Endpoint("test-model", **{"base_url": urls, "api_key": key, "retry_seconds": 60.0, **settings})


def ask_all(endpoint, prompts, n=1):
    async def together():
        return await asyncio.gather(*(endpoint.sample(prompt, n) for prompt in prompts))

    return [rollout for rollouts in concurrency.run(together()) for rollout in rollouts]


def questions(count):
    return [f"Question {i}?" for i in range(count)]


def asked(server):
    """The completions that were asked for."""
    return [request for request in server.requests if request.method == "POST"]


def counts(servers):
    return [len(asked(server)) for server in servers]


def nobody():
    """An address at which nothing listens."""
    with Server() as server:
        return server.url


@pytest.fixture
def quick(hurry, monkeypatch):
    """Pauses of hundredths of a second between looks."""
    monkeypatch.setattr(pool, "_PAUSES", (0.01, 0.05))


# Where a request goes


def test_requests_go_where_the_fewest_are_in_flight(servers):
    for server in servers:
        server.script(lambda number, body: faults.hang())
    model = fleet(servers)
    assert model.max_connections == model.traits.max_connections == 96

    async def work():
        async with model:
            calls = [asyncio.create_task(model.sample(question)) for question in questions(30)]
            for server in servers:
                await asyncio.to_thread(server.wait, lambda server: server.in_flight == 10)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)
            return [member.in_flight for member in model.service.traffic.members]

    assert asyncio.run(work()) == [0, 0, 0]


def test_a_slow_replica_gets_fewer_requests(servers):
    """This one answers its first two when the others are done with the rest."""
    servers[0].script(lambda number, body: faults.hang())
    with fleet(servers, max_connections=2) as model:

        async def work():
            calls = [asyncio.create_task(model.sample(question)) for question in questions(60)]
            await asyncio.to_thread(servers[0].wait, lambda _: sum(counts(servers)) == 60)
            for call in calls:
                call.cancel()
            await asyncio.wait(calls)

        concurrency.run(work())
    assert counts(servers)[0] == 2
    assert max(server.peak_in_flight for server in servers) <= 2


def test_the_calls_of_a_prompt_stay_on_one_replica_and_another_prompt_goes_elsewhere(servers):
    for server in servers:
        server.takes_n, server.latency = False, 0.1
    with fleet(servers) as model:
        ask_all(model, [QUESTION], n=8)
        ask_all(model, [QUESTION])
        assert sorted(counts(servers))[:2] == [0, 0]
        ask_all(model, questions(12), n=4)
    homes = Counter()
    for server in servers:
        for prompt in {request.body["messages"][0]["content"] for request in asked(server)}:
            homes[prompt] += 1
    assert set(homes.values()) == {1}
    assert min(counts(servers)) > 0


def test_a_prompt_leaves_its_replica_when_that_is_much_busier(servers):
    for server in servers:
        server.takes_n, server.latency = False, 0.3
    with fleet(servers) as model:
        ask_all(model, [QUESTION], n=30)
    peaks = sorted(server.peak_in_flight for server in servers)
    assert peaks[-1] - peaks[0] <= pool._SLACK + 1


def test_programs_agree_where_a_prompt_goes_when_all_are_idle(servers):
    for _ in range(3):
        with fleet(servers) as model:
            ask_all(model, [QUESTION])
    assert sorted(counts(servers)) == [0, 0, 3]


def test_the_fleet_is_as_fast_as_its_replicas_together():
    with serving(4, latency=0.1) as servers, fleet(servers, max_connections=4) as model:
        ask_all(model, questions(4))
        began = time.monotonic()
        ask_all(model, questions(160))
        took = time.monotonic() - began
    assert [server.peak_in_flight for server in servers] == [4] * 4
    assert max(counts(servers)) <= 50
    assert took > 0.9  # 16 at a time


# Replicas that die and come back


def test_one_that_is_killed_loses_nothing_and_only_what_was_in_flight_is_asked_again(quick, caplog):
    with serving(3, latency=0.05) as servers:
        with fleet(servers, max_connections=4) as model, caplog.at_level(logging.WARNING, "catlite"):
            killer = threading.Thread(
                target=lambda: (servers[1].wait(lambda s: s.completions > 10), servers[1].__exit__(1))
            )
            killer.start()
            rollouts = ask_all(model, questions(120))
            killer.join()
        assert all(rollout.usable for rollout in rollouts)
        answered = Counter(
            request.body["messages"][0]["content"]
            for server in servers
            for request in asked(server)
            if request.status == 200
        )
        assert 120 <= sum(answered.values()) <= 120 + 4
        assert 120 <= sum(counts(servers)) <= 120 + 4
        servers[1].__enter__()
    assert f"{servers[1].url} (test-model) cannot be reached or hung up" in caplog.text
    assert "this replica is left out until it answers" in caplog.text


def test_one_that_was_dead_is_taken_back(quick, caplog):
    gone = Server("back", latency=0.05)
    with gone:
        pass
    caplog.set_level(logging.WARNING, "catlite")
    with serving(1, latency=0.02) as servers, fleet([*servers, gone], max_connections=2) as model:
        assert all(rollout.usable for rollout in ask_all(model, questions(5)))
        with gone:
            while not asked(gone):
                ask_all(model, questions(5))
            ask_all(model, questions(40))
            assert gone.peak_in_flight == 2
    assert f"{gone.url} (test-model) answers again" in caplog.text


def test_one_is_taken_back_though_all_calls_wait_in_line(quick):
    with serving(2, takes_n=False, latency=0.01) as servers, fleet(servers, max_connections=2) as model:
        servers[0].script([faults.status(500)] * 3)
        assert all(rollout.usable for rollout in concurrency.run(model.sample(QUESTION, 60)))
    assert min(counts(servers)) > 15


def test_one_that_breaks_off_its_streams_is_left_out(quick, monkeypatch):
    monkeypatch.setattr(pool, "_PAUSES", (60.0, 60.0))
    with serving(2) as servers:
        servers[0].script(lambda number, body: faults.stream(*faults.sse(faults.delta(content="Fo")), ending="cut"))

        async def errors():
            async with fleet(servers) as model:
                # Which replica has which goes by a digest of its port: of 60 each has three, but in 1 of 10^15 runs.
                ends = [[piece async for piece in model.stream(question)][-1] for question in questions(60)]
            return sum(rollout.error is not None for rollout in ends)

        assert asyncio.run(errors()) == counts(servers)[0] == 3


def test_one_that_only_fails_is_left_out_and_gets_few_requests(quick, caplog, monkeypatch):
    monkeypatch.setattr(pool, "_PAUSES", (30.0, 30.0))
    with serving(3, latency=0.02) as servers:
        servers[0].script(lambda number, body: faults.status(502))
        with fleet(servers, max_connections=4) as model, caplog.at_level(logging.WARNING, "catlite"):
            assert all(rollout.usable for rollout in ask_all(model, questions(80)))
        assert pool._FAILURES <= counts(servers)[0] <= 4 + pool._FAILURES
    assert "answered 502" in caplog.text


def test_one_that_hangs_is_found_out_and_its_requests_go_elsewhere(quick, monkeypatch):
    monkeypatch.setattr(pool, "_SILENCE", 0.5)
    with serving(2, latency=0.02) as servers:
        servers[0].script(lambda number, body: faults.hang())
        hung = []

        def answer(request):
            if request.method == "GET" and hung:
                return faults.hang(), 0.0
            hung.append(request)
            return type(servers[0])._answer(servers[0], request)

        servers[0]._answer = answer
        with fleet(servers, timeout=60.0, max_connections=4) as model:
            began = time.monotonic()
            rollouts = ask_all(model, questions(20))
            took = time.monotonic() - began
    assert all(rollout.text == "from 1" for rollout in rollouts)
    assert 0.9 < took < 30
    assert counts(servers)[0] == 4


def test_one_that_is_silent_but_alive_keeps_its_requests(quick, monkeypatch):
    monkeypatch.setattr(pool, "_SILENCE", 1.0)
    with serving(2, latency=2.5) as servers:
        with fleet(servers) as model:
            assert all(rollout.usable for rollout in ask_all(model, questions(4)))
        assert counts(servers) == [2, 2]


def test_a_request_that_moved_is_booked_at_both_and_never_free(quick, tmp_path):
    with serving(2) as servers:
        servers[0].script([faults.reset(0.5)])
        with fleet(servers, max_tokens=50) as model, open_run(tmp_path):
            ask_all(model, questions(8))
            booked = session.current().store.account.spent
    assert sum(counts(servers)) == booked.requests == 9
    assert booked.completion_tokens >= 50 + 8  # the most for the one whose reply never came


def test_a_budget_bounds_a_fleet_as_it_does_one_server(servers):
    with fleet(servers) as model:
        references = catlite.estimate(questions(10), model, n=2, budget=Budget(requests=5))
    assert "budget" in references[-1].error
    assert sum(counts(servers)) <= 5


def test_when_all_are_down_the_error_names_each(quick):
    urls = [nobody(), nobody()]
    with fleet(urls, retry_seconds=0.2) as model:
        (rollout,) = concurrency.run(model.sample(QUESTION))
        assert all(url in rollout.error for url in urls)
        with pytest.raises(EndpointDown) as caught:
            ask_all(model, questions(12))
    assert all(str(caught.value).count(f"{url} (test-model) cannot be reached") == 1 for url in urls)
    assert "is down" in str(caught.value)


def test_when_all_die_midway_what_came_is_kept(quick, tmp_path):
    with serving(2, latency=0.05) as servers:
        for server in servers:
            server.script(lambda number, body: faults.status(500) if sum(counts(servers)) > 20 else None)
        with fleet(servers, max_connections=2, retry_seconds=0.2) as model, open_run(tmp_path):
            rollouts = ask_all(model, questions(40))
        assert sum(rollout.usable for rollout in rollouts) == 20
        for server in servers:
            server.script(())
        asked_in_run(tmp_path, servers, 20, count=40)


# Each its own pace


def test_each_replica_has_its_own_pace(quick):
    with serving(2, latency=0.01) as servers:
        servers[0].limit = faults.RateLimit(2, burst=2)
        with fleet(servers, max_connections=4) as model:
            assert all(rollout.usable for rollout in ask_all(model, questions(80)))

            async def paces():
                return [member.pace for member in model.service.traffic.members]

            slow, quick_one = concurrency.run(paces())
    assert slow is not None
    assert quick_one is None
    assert servers[1].statuses[200] > 2 * servers[0].statuses[200]


def test_a_call_that_was_refused_waits_for_another_replica_and_others_pass_it(quick):
    with serving(2, latency=0.3) as servers:
        servers[0].script(lambda number, body: faults.status(429, retry_after=0.01))
        with fleet(servers, max_connections=1) as model:
            assert all(rollout.usable for rollout in ask_all(model, questions(6)))
    assert counts(servers)[0] <= 6
    assert counts(servers)[1] == 6


def test_what_a_replica_takes_is_learned_of_it_alone(servers):
    servers[0].rejects = ("max_tokens",)
    with fleet(servers, max_tokens=20) as model:
        for _ in range(2):  # twelve at once, so that each replica has some, whatever their ports make of the prompts
            assert all(rollout.usable for rollout in ask_all(model, questions(12)))
    names = [{name for request in asked(server) for name in request.body if "max" in name} for server in servers]
    assert names[1:] == [{"max_tokens"}, {"max_tokens"}]
    assert "max_completion_tokens" in names[0]


# What is served


def test_a_replica_with_another_model_is_refused_before_anything_is_asked(servers):
    servers[1].models = ("other-model",)
    with fleet(servers) as model, pytest.raises(RequestRejected) as caught:
        concurrency.run(model.sample(QUESTION))
    assert str(caught.value).startswith(f"{servers[1].url} does not serve 'test-model'")
    assert "other-model" in str(caught.value)
    assert counts(servers) == [0, 0, 0]


def test_a_list_that_was_mended_is_looked_at_again(servers, caplog):
    servers[1].models = ("other",)
    with fleet(servers) as model:
        with pytest.raises(RequestRejected, match="does not serve 'test-model'"):
            ask_all(model, questions(1))
        assert [record for record in caplog.records if record.name == "catlite"] == []  # the error says it all
        servers[1].models = ("test-model",)
        assert all(rollout.usable for rollout in ask_all(model, questions(6)))
    assert counts(servers) == [2, 2, 2]


def test_one_that_comes_up_later_with_another_model_stays_out(quick, caplog):
    other = Server(models=("other-model",))
    with other:
        pass
    caplog.set_level(logging.WARNING, "catlite")
    with serving(1) as servers, fleet([*servers, other]) as model:
        ask_all(model, questions(3))
        with other:
            while "does not serve 'test-model'" not in caplog.text:
                ask_all(model, questions(3))
            ask_all(model, questions(20))
        assert asked(other) == []


def cards(server, **fields):
    """Give what the server's list of models tells of this one."""
    usual = server._answer

    def answer(request):
        if request.method != "GET":
            return usual(request)
        return faults.Fault("answer", body={"data": [{"id": "test-model", **fields}]}), 0.0

    server._answer = answer


def test_a_replica_with_other_weights_under_the_name_is_refused(servers):
    cards(servers[0], root="/models/Qwen3-4B")
    cards(servers[1], root="/elsewhere/Qwen3-4B/")
    with fleet(servers[:2]) as model:
        assert concurrency.run(model.sample(QUESTION))[0].usable
    cards(servers[2], root="Qwen/Qwen3-0.6B")
    with (
        fleet(servers) as model,
        pytest.raises(RequestRejected, match=r"serves Qwen3-\S+ under this name, and another"),
    ):
        concurrency.run(model.sample(QUESTION))


def test_a_replica_that_loses_an_answer_is_looked_at_since_it_may_have_other_weights_by_now(servers, caplog):
    for server in servers:
        cards(server, root="Qwen3-4B")
    with fleet(servers) as model:
        ask_all(model, questions(6))
        cards(servers[0], root="Qwen3-0.6B")
        restarted, lost = servers[0]._answer, []

        def answer(request):
            if request.method == "POST" and not lost:
                lost.append(request)
                return faults.Fault("close"), 0.0
            return restarted(request)

        servers[0]._answer = answer
        for _ in range(100):
            if "serves Qwen3-0.6B under this name" in caplog.text:
                break
            assert all(rollout.usable for rollout in ask_all(model, questions(6)))
        before = counts(servers)[0]
        assert all(rollout.usable for rollout in ask_all(model, questions(20)))
    assert "serves Qwen3-0.6B under this name, and another replica, or the run, has Qwen3-4B" in caplog.text
    assert counts(servers)[0] == before


def test_replicas_that_take_prompts_of_other_lengths_are_told_of(servers, caplog):
    for server, tokens in zip(servers, (4096, 32768, 4096), strict=True):
        cards(server, max_model_len=tokens)
    with fleet(servers) as model:
        assert concurrency.run(model.sample(QUESTION))[0].usable
    assert caplog.text.count("--max-model-len") == 1
    assert "4096" in caplog.text
    assert "32768" in caplog.text


@pytest.mark.parametrize(
    "answer",
    [faults.status(404), faults.status(403), faults.html(), faults.status(200, body={"data": [1]})],
    ids=["404", "403", "html", "no list"],
)
def test_servers_without_a_list_of_models_are_taken_with_a_note(servers, answer, caplog):
    for server in servers:
        usual = server._answer
        server._answer = lambda request, usual=usual: (answer, 0.0) if request.method == "GET" else usual(request)
    with fleet(servers) as model, caplog.at_level(logging.INFO, "catlite"):
        assert concurrency.run(model.sample(QUESTION))[0].usable
    assert caplog.text.count("has no list of models") == 3


def test_one_that_refuses_the_key_ends_everything_and_is_named(servers):
    servers[2].key = "sk-another-0123456789abcdefghijk"
    with fleet(servers) as model, pytest.raises(AuthenticationFailed, match=servers[2].url):
        ask_all(model, questions(12))


# Settings


@pytest.mark.parametrize(
    ("urls", "message"),
    [
        ([], "has no address, or an empty one"),
        ([None], "has no address, or an empty one"),
        (["http://a:1/v1", ""], "has no address, or an empty one"),
        (["http://a:1/v1", "http://a:1/v1/"], "http://a:1/v1 is in base_url twice"),
        (["http://user:secret-1@a:1/v1", "http://a:1/v1"], "http://a:1/v1 is in base_url twice"),
        (["http://a:1/v1", "b:2"], "'b:2': want a URL"),
        (["http://a:1/v1", 5], "are strings"),
    ],
)
@pytest.mark.parametrize("model", ["test-model", "anthropic/claude"])
def test_a_wrong_list_is_refused(model, urls, message):
    with pytest.raises(ConfigError, match=message) as caught:
        Endpoint(model, base_url=urls)
    assert "secret-1" not in str(caught.value)


def test_a_batch_endpoint_takes_no_list():
    with pytest.raises(ConfigError, match="a batch API has one address"):
        catlite.BatchEndpoint("m", base_url=["http://a:1/v1"])


def test_logins_are_shown_nowhere():
    model = Endpoint(
        "m", base_url=["http://user:secret-1@127.0.0.1:9/v1", "http://127.0.0.1:10/v1"], retry_seconds=0.01
    )
    assert repr(model) == "Endpoint('m', base_url=['http://127.0.0.1:9/v1', 'http://127.0.0.1:10/v1'])"
    with model:
        (rollout,) = concurrency.run(model.sample(QUESTION))
    assert "secret-1" not in f"{rollout.error} {model.traits} {vars(model)}"


def test_a_fleet_is_pickled_as_its_settings(servers, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", servers[0].key)
    model = fleet(servers, api_key=None, max_connections=5, temperature=0.5)
    with model:
        ask_all(model, questions(3))
        again = pickle.loads(pickle.dumps(model))
    assert servers[0].key.encode() not in pickle.dumps(model)
    assert (repr(again), again.max_connections) == (repr(model), 15)
    with again:
        assert ask_all(again, questions(3))[0].usable
    with pytest.raises(ConfigError, match="is not pickled or copied, since api_key="):
        pickle.dumps(fleet(servers))
    with pytest.raises(ConfigError, match="http://a:1/v1 has a user and a password") as caught:
        pickle.dumps(Endpoint("m", base_url=["http://b:1/v1", "http://user:secret-1@a:1/v1"]))
    assert "secret-1" not in str(caught.value)


# In a run


def asked_in_run(folder, servers, expected, count=4, **settings):
    """Ask so many questions in a run, of a fleet or one server; `expected` of them are sent."""
    before = sum(len(asked(server)) for server in servers if not isinstance(server, str))
    with fleet(servers, **settings) as model, open_run(folder):
        assert all(rollout.usable for rollout in ask_all(model, questions(count)))
    sent = sum(len(asked(server)) for server in servers if not isinstance(server, str)) - before
    assert sent == expected


def test_a_run_goes_on_with_another_list_that_shares_a_replica(servers, tmp_path):
    asked_in_run(tmp_path, servers[:2], 4)
    asked_in_run(tmp_path, servers[1:], 0)
    asked_in_run(tmp_path, servers[::-1], 0)
    asked_in_run(tmp_path, servers[2:], 4)  # none of those that the run began with: perhaps other weights


def test_a_run_of_one_server_goes_on_with_several(servers, tmp_path):
    asked_in_run(tmp_path, servers[1:2], 4, base_url=servers[1].url)
    asked_in_run(tmp_path, servers, 0)
    asked_in_run(tmp_path, [nobody(), servers[1]], 0)


def test_a_run_of_several_goes_on_with_one_of_them(servers, tmp_path):
    cards(servers[0], root="Qwen3-4B")
    asked_in_run(tmp_path, servers[:2], 4)
    asked_in_run(tmp_path, servers[:1], 2, count=6, base_url=servers[0].url)
    asked_in_run(tmp_path, servers, 0, count=6)
    asked_in_run(tmp_path, servers[2:], 4, base_url=servers[2].url)


def test_no_reply_of_other_weights_is_taken_of_a_server_that_is_slow_to_tell(servers, tmp_path, monkeypatch):
    usual = servers[0]._answer
    cards(servers[0], root="Qwen3-4B")
    asked_in_run(tmp_path, servers[:1], 4)
    servers[0]._answer = usual
    cards(servers[0], root="Qwen3-0.6B")
    changed = servers[0]._answer
    servers[0]._answer = lambda request: (changed(request)[0], 0.3 if request.method == "GET" else 0.0)
    monkeypatch.setattr(pool, "FIRST_CONTACT", 0.01)
    asked_in_run(tmp_path, servers[:1], 4)


def test_a_server_that_tells_other_weights_than_its_run_has_is_left_out(quick, tmp_path, caplog):
    with serving(1) as servers:
        cards(servers[0], root="Qwen3-4B")
        asked_in_run(tmp_path, servers, 4)
        port = servers[0].port
    with fleet(servers, retry_seconds=1.0) as model, open_run(tmp_path):
        assert all(rollout.usable for rollout in ask_all(model, questions(4)))
        with Server("another", port=port) as server:
            cards(server, root="Qwen3-0.6B")
            (rollout,) = ask_all(model, ["A new one?"])
    assert (rollout.usable, asked(server)) == (False, [])
    assert "serves Qwen3-0.6B under this name, and another replica, or the run, has Qwen3-4B" in caplog.text


def test_two_event_loops_keep_their_replies_under_one_address(servers, tmp_path, monkeypatch):
    """Though the servers told their weights to one of them in time, and not to the other."""
    waits, decided = threading.Event(), threading.Event()

    async def ready(self):
        if threading.current_thread() is not threading.main_thread():
            waits.set()
            await asyncio.to_thread(decided.wait)
            self.weights = "org-model"

    monkeypatch.setattr(pool.Pool, "ready", ready)
    addresses = []
    with open_run(tmp_path):
        service = fleet(servers).service

        def look():
            addresses.append(asyncio.run(service.kept_address()))

        other = threading.Thread(target=contextvars.copy_context().run, args=(look,))
        other.start()
        waits.wait()
        look()
        decided.set()
        other.join()
        look()
    assert len(set(addresses)) == 1


def test_a_run_that_is_complete_is_read_when_nobody_serves(servers, tmp_path):
    with serving(2) as running:
        asked_in_run(tmp_path, running, 4)
    asked_in_run(tmp_path, [server.url for server in running], 0)


def test_a_run_goes_on_at_other_addresses_where_the_servers_tell_the_same_weights(servers, tmp_path):
    for server, root, expected in zip(
        servers, ("Qwen/Qwen3-4B", "/data/Qwen3-4B", "Qwen3-0.6B"), (4, 0, 4), strict=True
    ):
        cards(server, root=root)
        asked_in_run(tmp_path, [server], expected)


def test_no_reply_of_other_weights_is_taken_at_the_same_address(servers, tmp_path):
    usual = servers[0]._answer
    for meta, expected in (
        ({"n_params": 1, "size": 8}, 4),
        ({"n_params": 1, "size": 4}, 4),
        ({"n_params": 1, "size": 8}, 0),
    ):
        servers[0]._answer = usual
        cards(servers[0], meta=meta)
        asked_in_run(tmp_path, servers[:1], expected)


def test_another_model_finds_nothing_in_the_run(servers, tmp_path):
    for server in servers:
        server.models = ("test-model", "test-model-2")
    asked_in_run(tmp_path, servers, 4)
    with (
        Endpoint("test-model-2", base_url=[s.url for s in servers], api_key=servers[0].key) as other,
        open_run(tmp_path),
    ):
        ask_all(other, questions(4))
    assert sum(counts(servers)) == 8


# All that an endpoint does


def test_a_fleet_streams(servers):
    async def pieces():
        async with fleet(servers) as model:
            return [piece async for piece in model.stream(QUESTION)]

    *texts, rollout = asyncio.run(pieces())
    assert "".join(texts) == rollout.text
    assert len(texts) > 1


def test_a_stream_that_breaks_off_is_not_asked_for_again(quick):
    with serving(2) as servers:
        chunks = faults.sse(faults.delta(content="Fo"), faults.delta(content="rty"))
        for server in servers:
            server.script(lambda number, body: faults.stream(*chunks, ending="cut"))

        async def pieces():
            async with fleet(servers) as model:
                return [piece async for piece in model.stream(QUESTION)]

        *texts, rollout = asyncio.run(pieces())
    assert "".join(texts) == "Forty"
    assert "was not asked for again" in rollout.error
    assert sum(counts(servers)) == 1


def test_members_of_a_panel_are_fleets(servers):
    first, second = fleet(servers[:2]), fleet(servers[2:])
    with first, second:
        panel = catlite.Panel([(first, 2), (second, 1)])
        assert panel.traits.max_connections == 96
        rollouts = concurrency.run(panel.sample(QUESTION, 3))
    assert Counter(rollout.text == "from 2" for rollout in rollouts) == {False: 2, True: 1}


def test_the_front_door_takes_a_list(servers):
    reference = catlite.synthesize(QUESTION, "test-model", base_url=[s.url for s in servers], api_key=servers[0].key)
    assert reference.text.startswith("from ")


def test_each_event_loop_has_its_own_account(servers):
    model = fleet(servers)

    async def once():
        async with model:
            return await model.sample(QUESTION)

    for _ in range(3):
        assert asyncio.run(once())[0].usable
    assert [len(replica.accounts) for replica in model.service.replicas] == [1, 1, 1]  # those of ended loops are gone
    assert concurrency.run(model.sample(QUESTION))[0].usable
    assert len(model.service._pools) <= 2
    model.close()
