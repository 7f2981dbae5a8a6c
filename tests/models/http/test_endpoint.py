import asyncio
import gc
import sys
import threading

import children
import faults
import pytest
from asking import QUESTION, ask, asked, on
from faults import status

from catlite import Endpoint, Price, Usage, concurrency
from catlite.errors import (
    ContextOverflow,
    RequestRejected,
)
from catlite.models.http import prices
from catlite.models.http.clients import OpenAIClient
from catlite.runs.session import open_run

# One request with n = G, and what is learned where the server will not have it


def test_a_group_is_one_request_with_n(server):
    rollouts = ask(server, 8)
    assert [rollout.text for rollout in rollouts] == [f"answer {i}" for i in range(8)]
    assert asked(server) == [8]


def test_one_rollout_sends_no_n(server):
    ask(server, 1)
    assert "n" not in server.requests[0].body


def test_a_server_that_ignores_n_is_topped_up_with_single_requests_and_remembered(server):
    server.takes_n = False
    assert len(ask(server, 5)) == 5
    assert sorted(asked(server)) == [1, 1, 1, 1, 5]
    server.requests.clear()
    assert len(ask(server, 5)) == 5  # another Endpoint on the same server
    assert asked(server) == [1] * 5


def test_a_server_that_rejects_n_is_asked_one_by_one_and_remembered(server):
    server.max_n = 1
    assert len(ask(server, 4)) == 4
    assert sorted(asked(server)) == [1, 1, 1, 1, 4]
    server.requests.clear()
    assert len(ask(server, 4)) == 4
    assert asked(server) == [1] * 4


def test_a_server_that_caps_n_is_asked_for_its_cap_from_then_on(server):
    server.most_choices = 3
    assert len(ask(server, 8)) == 8
    assert sorted(asked(server)) == [2, 3, 8]
    server.requests.clear()
    assert len(ask(server, 8)) == 8
    assert sorted(asked(server)) == [2, 3, 3]


def test_requests_for_one_group_have_seeds_of_their_own(server):
    server.takes_n = False
    ask(server, 3, seed=7)
    assert sorted(request.body["seed"] for request in server.requests) == [7, 8, 9]


def test_a_reply_keeps_the_index_its_seed_was_sent_for(server, tmp_path):
    server.takes_n = False
    server.reply = lambda body, i: f"seed {body['seed']}"
    server.latency = lambda body, n: 0.05 if body["seed"] % 2 else 0.0  # the even ones arrive first
    with open_run(tmp_path):
        rollouts = ask(server, 6, seed=7)
        assert [one.text for one in rollouts] == [f"seed {seed}" for seed in range(7, 13)]
        # What a broken run left behind is completed by the seeds that are missing.
        server.script(lambda number, body: faults.status(400) if body["seed"] in (21, 23) else None)
        ask(server, 6, seed=20)
        server.script([])
        assert [one.text for one in ask(server, 6, seed=20)] == [f"seed {seed}" for seed in range(20, 26)]


def test_choices_that_are_missing_are_asked_for_again_and_kept_in_order(server):
    server.script([faults.fewer_choices(5)])
    assert len(ask(server, 8)) == 8
    assert asked(server) == [8, 3]


def test_a_group_that_is_refused_for_another_reason_costs_one_probe(server):
    server.rejects = ("temperature",)
    with pytest.raises(RequestRejected, match="temperature"):
        ask(server, 4, temperature=0.5)
    assert asked(server) == [4, 1]


def test_a_refusal_of_one_of_several_single_requests_keeps_the_others(server):
    server.takes_n = False
    server.script(lambda number, body: faults.status(400, "flagged") if number == 3 else None)
    rollouts = ask(server, 6)
    assert [one.defect for one in rollouts].count("failed") == 1
    assert "flagged" in next(one.error for one in rollouts if one.error)
    assert len(server.requests) == 6  # and what was refused is not sent again


def test_a_request_that_is_refused_from_the_start_is_not_sent_for_every_rollout(server):
    server.takes_n = False
    ask(server, 2)  # learns that
    server.requests.clear()
    server.rejects = ("temperature",)
    with pytest.raises(RequestRejected, match="temperature"):
        ask(server, 8, temperature=0.5, settings={"max_connections": 2})
    assert len(server.requests) <= 3


def test_models_on_one_server_are_learned_about_apart(server):
    server.models, server.takes_n = None, False
    ask(server, 2)
    server.takes_n = True
    server.requests.clear()
    with Endpoint("other-model", base_url=server.url, api_key=server.key) as endpoint:
        concurrency.run(endpoint.sample(QUESTION, 2))
    assert asked(server) == [2]


# The token limit's two names, and parameters only some servers know


@pytest.mark.parametrize(
    ("ours", "theirs"), [("max_tokens", "max_completion_tokens"), ("max_completion_tokens", "max_tokens")]
)
def test_the_token_limit_is_sent_under_the_name_the_server_takes_and_that_is_learned(server, ours, theirs):
    server.rejects = (ours,)
    for _ in range(2):
        rollout = ask(server, **{ours: 2})[0]
        assert (rollout.text, rollout.defect) == ("answer 0", None)
    sent = [{ours, theirs} & set(request.body) for request in server.requests]
    assert sent == [{ours}, {theirs}, {theirs}]


def test_single_requests_at_once_all_survive_a_refused_token_limit(server):
    server.rejects, server.takes_n = ("max_tokens",), False
    ask(server, 2)  # learns to ask one by one, without a limit
    rollouts = ask(server, 6, max_tokens=50)
    assert [rollout.error for rollout in rollouts] == [None] * 6


def test_a_server_that_takes_neither_name_is_not_asked_again_and_again(server):
    server.rejects = ("max_tokens", "max_completion_tokens")
    with pytest.raises(RequestRejected, match="max_"):
        ask(server, max_tokens=50)
    assert len(server.requests) == 2
    server.rejects = ()
    ask(server, max_tokens=50)
    assert server.requests[-1].body["max_tokens"] == 50  # nothing wrong was learned


def test_a_token_limit_beyond_the_context_is_an_overflow_not_a_wrong_name(server):
    server.context, server.dialect = 100, "vllm"
    with pytest.raises(ContextOverflow):
        ask(server, max_tokens=5000)
    assert len(server.requests) == 1


def test_extensions_of_servers_stand_in_the_body(server):
    ask(server, top_k=5, min_p=0.1, temperature=0.5, extra_body={"mirostat": 2})
    body = server.requests[0].body
    assert (body["top_k"], body["min_p"], body["temperature"], body["mirostat"]) == (5, 0.1, 0.5, 2)


def test_settings_of_the_endpoint_are_defaults_of_each_call(server):
    ask(server, settings={"temperature": 0.3, "seed": 7}, temperature=0.9)
    assert (server.requests[0].body["temperature"], server.requests[0].body["seed"]) == (0.9, 7)


# Connections


def test_no_more_requests_are_in_flight_and_no_more_connections_open_than_allowed(server):
    server.takes_n, server.latency = False, 0.02
    ask(server, 20, settings={"max_connections": 4})
    assert 2 <= server.peak_in_flight <= 4
    assert server.connections_opened <= 4


def test_connections_are_reused_between_calls(server):
    with on(server) as endpoint:
        for _ in range(3):
            concurrency.run(endpoint.sample(QUESTION))
    assert server.connections_opened == 1


def test_one_endpoint_serves_sync_calls_several_loops_and_threads(server):
    endpoint = on(server)

    def blocking():
        texts.append(concurrency.run(endpoint.sample(QUESTION))[0].text)

    texts = []
    blocking()
    for _ in range(2):
        texts.append(asyncio.run(endpoint.sample(QUESTION))[0].text)
    threads = [threading.Thread(target=blocking) for _ in range(4)]
    threads += [threading.Thread(target=lambda: texts.append(asyncio.run(endpoint.sample(QUESTION))[0].text))] * 1
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["answer 0"] * 8
    endpoint.close()
    gc.collect()  # a socket left by an ended loop would be a ResourceWarning, an error here


def test_no_client_is_shared_between_loops(server):
    endpoint = on(server)

    async def client():
        await endpoint.sample(QUESTION)
        return await endpoint._service.client()

    first, second, third = asyncio.run(client()), asyncio.run(client()), concurrency.run(client())
    assert len({id(one) for one in (first, second, third)}) == 3
    assert concurrency.run(client()) is third
    assert len(endpoint._service.connections.loops) == 1  # ended loops are forgotten
    endpoint.close()


def test_tasks_that_connect_at_once_share_one_client(server):
    async def work():
        async with on(server) as endpoint:
            clients = await asyncio.gather(*(endpoint._service.client() for _ in range(10)))
            await asyncio.gather(*(endpoint.sample(QUESTION) for _ in range(3)))
            return clients

    assert len(set(map(id, asyncio.run(work())))) == 1


def test_closing_while_another_task_waits_lets_that_task_finish(server, hurry):
    server.latency = 0.1

    async def work():
        async with on(server) as endpoint:
            task = asyncio.create_task(endpoint.sample(QUESTION))
            await asyncio.to_thread(server.wait, lambda s: s.in_flight)
            await endpoint.aclose()
            return await task

    assert asyncio.run(work())[0].text == "answer 0"


def test_connections_nobody_closed_are_closed_when_the_loop_ends(server):
    asyncio.run(on(server).sample(QUESTION))
    server.wait(lambda s: not s._connections)


def test_connections_of_a_dropped_endpoint_are_closed(server):
    concurrency.run(on(server).sample(QUESTION))
    gc.collect()
    server.wait(lambda s: not s._connections)


@pytest.mark.parametrize("in_cycle", [False, True])
def test_the_loop_waits_for_the_end_of_an_endpoint_that_is_dropped_with_it(server, monkeypatch, in_cycle):
    closed, close = [], OpenAIClient.close

    async def slow(self):
        await asyncio.sleep(0.05)
        await close(self)
        closed.append(self)

    async def work():
        endpoint = on(server)
        await endpoint.sample(QUESTION)
        return [endpoint] if in_cycle else None

    monkeypatch.setattr(OpenAIClient, "close", slow)
    with asyncio.Runner() as runner:
        if kept := runner.run(work()):
            kept.append(kept)
        del kept
        gc.collect()  # while the loop stands still
    assert len(closed) == 1


def test_cancelling_a_group_leaves_no_task_and_no_request(server):
    server.takes_n, server.latency = False, 0.01
    ask(server, 2)
    server.script(lambda number, body: faults.hang())
    before = server.completions

    async def work():
        async with on(server, max_connections=3) as endpoint:
            task = asyncio.create_task(endpoint.sample(QUESTION, 8))
            await asyncio.to_thread(server.wait, lambda s: s.in_flight == 3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.sleep(0.05)
            return asyncio.all_tasks() - {asyncio.current_task()}

    assert asyncio.run(work()) == set()
    server.wait(lambda s: s.in_flight == 0)
    assert server.completions == before + 3


def test_the_first_call_does_not_hold_up_the_callers_loop(server):
    code = f"""
import asyncio, time
from catlite import Endpoint
from catlite.models import base
from catlite.models.http import clients, endpoint  # ours; openai is what takes long
async def main():
    longest, last = 0.0, time.monotonic()
    async def tick():
        nonlocal longest, last
        while True:
            await asyncio.sleep(0.005)
            longest, last = max(longest, time.monotonic() - last), time.monotonic()
    ticking = asyncio.create_task(tick())
    started = time.monotonic()
    async with Endpoint("test-model", base_url={server.url!r}, api_key={server.key!r}) as model:
        await model.sample("hi")
    ticking.cancel()
    print(longest / (time.monotonic() - started), longest)
asyncio.run(main())
"""
    done = children.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    share, _ = map(float, done.stdout.split())
    assert share < 0.8  # all of it, where the loop does it


# Usage and cost


def test_usage_stands_on_each_rollout_and_sums_to_the_request(server):
    server.usage = {"prompt_tokens": 100, "completion_tokens": 25, "prompt_tokens_details": {"cached_tokens": 64}}
    rollouts = ask(server, 4)
    total = Usage.total(rollout.usage for rollout in rollouts)
    assert (total.prompt_tokens, total.completion_tokens, total.cached_tokens, total.requests) == (100, 25, 64, 1)
    assert total.cost_usd is None
    assert all(rollout.usage.completion_tokens > 0 for rollout in rollouts)
    assert total.seconds > 0


@pytest.mark.parametrize("usage", [False, None, {"prompt_tokens": None, "completion_tokens": None}])
def test_usage_that_is_missing_or_null_is_unknown_not_zero(server, usage):
    server.usage = usage
    for rollout in ask(server, 2, settings={"price": Price(1, 2)}):
        assert rollout.usage.completion_tokens is None
        assert rollout.usage.cost_usd is None


def test_no_details_about_the_cache_mean_nothing_was_cached(server):
    server.usage = {"prompt_tokens_details": None}
    assert ask(server)[0].usage.cached_tokens == 0


def test_a_given_price_counts_cached_tokens_at_their_own(server):
    server.usage = {
        "prompt_tokens": 1_000_000,
        "completion_tokens": 500_000,
        "prompt_tokens_details": {"cached_tokens": 400_000},
    }
    rollouts = ask(server, 2, settings={"price": Price(2.0, 8.0, cached=0.5)})
    assert Usage.total(rollout.usage for rollout in rollouts).cost_usd == pytest.approx(1.2 + 0.2 + 4.0)


def test_published_prices_hold_only_at_openai_and_through_litellm(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-12345678")
    assert Endpoint("gpt-4o-mini").price == prices.published("gpt-4o-mini") is not None
    assert Endpoint("gpt-4o-mini", base_url="https://api.openai.com/v1/").price is not None
    assert Endpoint("gpt-4o-mini", base_url="http://localhost:8000/v1").price is None
    assert Endpoint("openai/gpt-4o-mini").price == Endpoint("gpt-4o-mini").price
    assert Endpoint("anthropic/claude-sonnet-4-5").price is not None
    assert Endpoint("hosted_vllm/gpt-4o-mini").price is None
    assert Endpoint("no-such-model").price is None
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:8000/v1")
    assert Endpoint("gpt-4o-mini").price is None
    assert Endpoint("openai/gpt-4o-mini").price is None


def test_the_price_of_a_failed_rollout_is_unknown(server):
    server.takes_n = False
    ask(server, 2)
    server.script([status(500)])
    settings = {"price": Price(1, 1), "retry_seconds": 0.001}
    rollouts = ask(server, 2, settings=settings)
    assert Usage.total(rollout.usage for rollout in rollouts).cost_usd is None
