import asyncio
import gc
import json
import sys

import children
import faults
import pytest
from asking import QUESTION, ask, asked
from faults import status

from catlite import Endpoint, Price, Usage, concurrency
from catlite.errors import (
    AuthenticationFailed,
    BadReply,
    ConfigError,
    ContextOverflow,
    EndpointUnavailable,
    QuotaExhausted,
    RequestRejected,
)
from catlite.models.http import wire
from catlite.models.http.retry import ATTEMPTS, retrying
from catlite.models.http.traffic import Traffic

# Settings


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"model": ""}, "model=''"),
        ({"model": None}, "model=None"),
        ({"max_connections": 0}, "max_connections=0"),
        ({"timeout": 0}, "timeout=0"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"retry_seconds": "long"}, "retry_seconds='long'"),
        ({"base_url": "localhost:8000"}, "want a URL"),
        ({"base_url": "http://[::1"}, "want a URL"),
        ({"base_url": "http://host:port/v1"}, "want a URL"),
        ({"base_url": 8000}, "are strings"),
        ({"api_key": "sk-\u043a\u043b\u044e\u0447"}, "copy it again"),
        ({"api_key": "sk-one\ntwo"}, "copy it again"),
        ({"temperature": "hot"}, "temperature='hot'"),
        ({"price": (0.15, 0.60)}, r"price=\(0.15, 0.6\): want Price\(prompt, completion\)"),
        ({"temprature": 1}, "did you mean temperature"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_sent(settings, says):
    given = {"model": "test-model", "base_url": "http://localhost:1/v1", **settings}
    with pytest.raises(ConfigError, match=says):
        Endpoint(**given)


@pytest.mark.parametrize("rates", [(-1.0, 2.0), (float("nan"), 2.0), ("1", 2.0), (1.0, None), (1.0, 2.0, True)])
def test_a_price_by_which_no_budget_could_be_kept_is_refused(rates):
    with pytest.raises(ConfigError, match=r"Price: \w+=.*: want a finite number of 0 or more, US dollars"):
        Price(*rates)


def test_without_key_and_address_the_error_says_what_to_set():
    with pytest.raises(ConfigError, match=r"OPENAI_API_KEY.*base_url=.*local"):
        Endpoint("gpt-4o-mini")


def test_a_key_copied_with_its_line_end_works(server):
    assert ask(server, settings={"api_key": f" {server.key}\n"})[0].error is None


def test_address_and_key_come_from_the_environment(server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/")
    monkeypatch.setenv("OPENAI_API_KEY", server.key)
    with Endpoint("test-model") as endpoint:
        assert concurrency.run(endpoint.sample(QUESTION))[0].text == "answer 0"


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "8"])
def test_a_number_of_rollouts_that_is_none_is_refused(server, n):
    with pytest.raises(ConfigError, match="n="):
        ask(server, n)
    assert server.requests == []


def test_a_login_in_the_url_is_sent_as_basic_authentication(server):
    server.key = None
    ask(server, settings={"base_url": server.url.replace("://", "://me:pass%40word1@"), "api_key": None})
    assert server.requests[0].headers["authorization"] == "Basic bWU6cGFzc0B3b3JkMQ=="


# Imports


def test_imports_are_lazy(server):
    heavy = ["openai", "litellm", "pandas", "numpy", "torch", "math_verify"]
    code = f"""
import sys
import catlite
loaded = [name for name in {heavy} if name in sys.modules]
assert not loaded, loaded
with catlite.Endpoint("test-model", base_url={server.url!r}, api_key={server.key!r}) as model:
    assert catlite.synthesize("hi", model, n=2).text
loaded = [name for name in {heavy} if name in sys.modules]
assert "litellm" not in loaded and "torch" not in loaded and "pandas" not in loaded, loaded
"""
    children.run([sys.executable, "-c", code], check=True)


def test_the_error_for_a_reply_shows_only_its_beginning():
    with pytest.raises(BadReply) as caught:
        wire.parse(json.dumps({"x": "y" * 10_000}), "server")
    assert len(str(caught.value)) < 500


def test_an_endpoint_that_gave_up_still_knows_what_it_was_asked_to_wait(server):
    async def call():
        raise EndpointUnavailable("busy", status=429, retry_after=90)

    with pytest.raises(EndpointUnavailable) as caught:
        concurrency.run(retrying(call, 1, concurrency.Slots(1), Traffic("server")))
    assert (caught.value.status, caught.value.retry_after) == (429, 90)


# litellm


@pytest.fixture(params=["hosted_vllm/test-model", "openai/test-model"])
def provided(request, server, monkeypatch):
    """A model name of litellm's whose provider is the local server; litellm finds address and key on its own."""
    for name in ("HOSTED_VLLM", "OPENAI"):
        monkeypatch.setenv(f"{name}_API_BASE", server.url)
        monkeypatch.setenv(f"{name}_API_KEY", server.key)
    return request.param


def ask_litellm(model, n=1, retry_seconds=3.0, **sampling):
    with Endpoint(model, retry_seconds=retry_seconds, timeout=5.0) as endpoint:
        return concurrency.run(endpoint.sample(QUESTION, n, **sampling))


def test_litellm_sends_a_group_as_one_request(server, provided):
    rollouts = ask_litellm(provided, 3, temperature=0.5, top_k=7, max_tokens=50)
    assert [rollout.text for rollout in rollouts] == ["answer 0", "answer 1", "answer 2"]
    assert asked(server) == [3]
    assert server.requests[0].body["top_k"] == 7
    total = Usage.total(rollout.usage for rollout in rollouts)
    assert (total.prompt_tokens, total.completion_tokens, total.cost_usd) == (6, 6, None)


def test_litellm_runs_on_one_loop_after_another(server, provided):
    endpoint = Endpoint(provided)
    for _ in range(3):
        assert asyncio.run(endpoint.sample(QUESTION))[0].text == "answer 0"
        gc.collect()


def test_litellm_does_not_multiply_retries(server, provided, hurry):
    server.script(lambda number, body: status(500))
    assert f"gave up after {ATTEMPTS} attempts" in ask_litellm(provided)[0].error
    assert len(server.requests) == ATTEMPTS


def test_litellm_hands_on_retry_after(server, provided):
    server.script([status(429, retry_after=0.2)])
    assert ask_litellm(provided)[0].text == "answer 0"
    first, second = server.requests
    assert second.arrived - first.answered >= 0.2
    server.script([status(429, retry_after=90)])
    assert "it asks to wait 90 s" in ask_litellm(provided)[0].error
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    "fault",
    [faults.html(), faults.truncated_json(), faults.no_choices(), faults.null_choices(), faults.reset(), status(503)],
    ids=["html", "truncated", "no choices", "null choices", "reset", "503"],
)
def test_a_passing_failure_is_retried_through_litellm_too(server, provided, hurry, fault):
    server.script([fault])
    assert ask_litellm(provided)[0].text == "answer 0"
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (status(400, "no"), RequestRejected),
        (status(401, "no"), AuthenticationFailed),
        (status(403, "no"), AuthenticationFailed),
        (status(404, "no"), RequestRejected),
        (faults.overflow(), ContextOverflow),
        (faults.quota_exhausted(), QuotaExhausted),
    ],
    ids=["400", "401", "403", "404", "overflow", "quota"],
)
def test_a_failure_that_stays_is_raised_after_one_request_through_litellm_too(server, provided, fault, kind):
    server.script([fault])
    with pytest.raises(kind):
        ask_litellm(provided)
    assert len(server.requests) == 1


def test_a_filtered_prompt_is_filtered_through_litellm_too(server, provided):
    server.script([faults.content_filter()])
    assert [rollout.defect for rollout in ask_litellm(provided, 2)] == ["filtered", "filtered"]
    assert len(server.requests) == 1


def test_a_provider_litellm_does_not_know_says_what_to_write():
    with pytest.raises(ConfigError, match=r'pass base_url=.*"openai/Qwen/Qwen3-8B"'):
        ask_litellm("Qwen/Qwen3-8B")


@pytest.mark.parametrize(
    ("model", "variable"),
    [
        ("anthropic/claude-sonnet-4-5", "ANTHROPIC_API_KEY"),
        ("gemini/gemini-2.0-flash", "GEMINI_API_KEY"),
        ("openai/gpt-4o", "OPENAI_API_KEY"),
        ("azure/mine", "AZURE_API_KEY"),
    ],
)
def test_a_key_that_is_missing_is_called_by_its_providers_name_and_asked_for_once(monkeypatch, model, variable):
    for name in (variable, "ANTHROPIC_AUTH_TOKEN", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(AuthenticationFailed, match=rf"has no API key: set .*{variable}, or pass api_key=") as caught:
        ask_litellm(model, retry_seconds=300)
    assert ("OPENAI" in str(caught.value)) == model.startswith("openai/")


def test_a_key_that_is_refused_is_called_by_its_providers_name(server, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-0123456789")
    monkeypatch.setenv("ANTHROPIC_API_BASE", server.url.removesuffix("/v1"))
    with pytest.raises(AuthenticationFailed, match=r"check the API key \(api_key= or ANTHROPIC_API_KEY\)"):
        ask_litellm("anthropic/claude-sonnet-4-5")
    assert len(server.requests) == 1


def test_a_server_nobody_listens_at_is_told_so_through_litellm_too(monkeypatch, hurry):
    monkeypatch.setenv("HOSTED_VLLM_API_BASE", "http://127.0.0.1:9/v1")
    assert "Is a server running at that address?" in ask_litellm("hosted_vllm/m")[0].error
