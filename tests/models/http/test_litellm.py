"""What catlite relies on in litellm, checked against the installed one: a new litellm that differs fails here."""

import asyncio
import inspect
import types

import pytest
from asking import QUESTION
from faults import delta, sse, status, stream
from pictures import question

from catlite import Endpoint, concurrency
from catlite.models.http import prices
from catlite.models.http.keys import Address, Secret
from catlite.models.http.litellm_client import LiteLLMClient

pytestmark = pytest.mark.filterwarnings("default")  # what litellm's own types warn about is not ours


@pytest.fixture(scope="module")
def litellm():
    LiteLLMClient("openai/m", Address("litellm", Secret("")), 1)  # imports it as an endpoint does
    import litellm

    return litellm


def test_the_cache_that_catlite_hands_to_litellm_overrides_what_litellm_calls(litellm):
    from litellm.caching.llm_caching_handler import LLMClientCache

    from catlite.models.http.litellm_cache import LoopClients

    assert type(litellm.in_memory_llm_clients_cache) is LoopClients
    assert list(inspect.signature(LLMClientCache.update_cache_key_with_event_loop).parameters) == ["self", "key"]
    assert list(inspect.signature(LLMClientCache.set_cache).parameters)[:3] == ["self", "key", "value"]
    for caller in (LLMClientCache.get_cache, LLMClientCache.set_cache):
        assert "self.update_cache_key_with_event_loop(key)" in inspect.getsource(caller)


@pytest.mark.parametrize("provider", ["hosted_vllm", "openai"])
def test_clients_of_a_loop_are_closed_when_it_ends_and_no_other_loop_gets_them(litellm, server, monkeypatch, provider):
    monkeypatch.setenv(f"{provider.upper()}_API_BASE", server.url)
    monkeypatch.setenv(f"{provider.upper()}_API_KEY", server.key)
    cache, seen = litellm.in_memory_llm_clients_cache, []

    async def ask(endpoint):
        assert (await endpoint.sample(QUESTION))[0].text == "answer 0"
        (loop,) = [of_loop for loop, of_loop in cache._loops.items() if loop is asyncio.get_running_loop()]
        assert [client for client in loop.clients if client in seen] == []
        seen.extend(loop.clients)
        assert not any(http(client).is_closed for client in loop.clients)

    def http(client):  # httpx's below litellm's handler or openai's client
        return client._client

    for _ in range(3):
        asyncio.run(ask(Endpoint(f"{provider}/test-model")))
    assert len(seen) == 3
    assert [http(client).is_closed for client in seen] == [True] * 3


CUT = stream(*sse(delta(content="It is ")))


@pytest.mark.parametrize("provider", ["hosted_vllm", "openai"])
def test_streams_are_read_and_what_litellm_makes_up_at_their_end_is_not(litellm, server, monkeypatch, hurry, provider):
    """It ends a stream that broke off by "stop", and counts the tokens of one without usage by itself."""
    monkeypatch.setenv(f"{provider.upper()}_API_BASE", server.url)
    monkeypatch.setenv(f"{provider.upper()}_API_KEY", server.key)
    endpoint = Endpoint(f"{provider}/test-model", timeout=5.0)
    unpriced = stream(*sse(delta(content="<think>Six</think>4"), delta(content="2"), delta("stop"), "[DONE]"))
    refusal = status(400, "Streaming is not supported by this model.")
    server.script([None, unpriced, CUT, stream(*sse(delta(content="It is ")), ending="cut"), refusal])

    async def ask():
        return [[piece async for piece in endpoint.stream(QUESTION)] for _ in range(5)]

    good, silent, cut, lost, refused = asyncio.run(ask())
    *pieces, rollout = good
    assert (len(pieces), rollout.text, rollout.usage.completion_tokens) == (2, "answer 0", 2)
    assert silent[:-1] == ["4", "2"]
    assert (silent[-1].reasoning, silent[-1].usage.completion_tokens) == ("Six", None)
    for broken in (cut, lost):
        assert broken[0] == "It is "
        assert "was not asked for again" in broken[-1].error
    assert refused[0] == refused[1].text == "answer 0"
    assert len(server.requests) == 6


def test_prices_read_from_litellms_file_are_those_litellm_gives(litellm):
    costs = ("input_cost_per_token", "output_cost_per_token", "cache_read_input_token_cost", "litellm_provider")
    known = {name: entry for name, entry in prices._price_map().items() if name in litellm.model_cost}
    assert len(known) > 1000
    for name, entry in known.items():
        given = litellm.model_cost[name]
        assert {cost: entry.get(cost) for cost in costs} == {cost: given.get(cost) for cost in costs}, name


def test_prices_come_from_litellm_itself_where_its_file_is_gone(litellm, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: types.SimpleNamespace(submodule_search_locations=[]))
    assert prices._price_map.__wrapped__()["gpt-4o-mini"]["input_cost_per_token"] > 0


@pytest.mark.parametrize("provider", ["hosted_vllm", "openai"])
def test_a_prompt_with_an_image_travels_as_it_is_and_is_not_changed(litellm, server, monkeypatch, provider):
    monkeypatch.setenv(f"{provider.upper()}_API_BASE", server.url)
    monkeypatch.setenv(f"{provider.upper()}_API_KEY", server.key)
    prompt = question()
    with Endpoint(f"{provider}/test-model") as endpoint:
        (rollout,) = concurrency.run(endpoint.sample(prompt))
    assert rollout.error is None
    assert [request.body["messages"] for request in server.requests] == [prompt]
    assert prompt == question()
