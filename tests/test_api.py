"""synthesize: the front door, from every kind of program."""

import asyncio
import threading

import pytest

import catlite
from catlite.errors import AuthenticationFailed, ConfigError, EstimationError, GroupError, RequestRejected

MATHS = {"answer_format": "boxed"}


def answer(body, i):
    """Rollouts differ; the anchor, which sees them fenced, finds 42."""
    if "<attempt-" in body["messages"][-1]["content"]:
        return r"Together: \boxed{42}"
    return rf"Try {i}: \boxed{{{40 + i}}}"


@pytest.fixture
def ask(server):
    server.reply = answer

    def ask(prompt="What is 6 times 7?", **options):
        options = {"model": "test-model", "base_url": server.url, "api_key": server.key} | options
        return catlite.synthesize(prompt, **options)

    return ask


def test_eight_rollouts_and_a_synthesis_are_two_requests(ask, server):
    reference = ask(**MATHS)
    assert (reference.answer, reference.support, len(reference.rollouts)) == ("42", (1, 8), 8)
    assert [request.body.get("n", 1) for request in server.requests] == [8, 1]
    assert reference.total_usage.requests == 2
    assert reference.total_usage.total_tokens > 0
    assert reference.cost_usd is None  # nobody knows what this server charges


def test_the_anchor_can_be_another_model(ask, server):
    server.models = ("test-model", "anchor-model")
    with catlite.Endpoint("anchor-model", base_url=server.url, api_key=server.key) as anchor:
        ask(anchor=anchor)
    ask(anchor="anchor-model")
    assert [request.body["model"] for request in server.requests] == ["test-model", "anchor-model"] * 2


def test_sampling_goes_to_the_rollouts_and_the_token_limit_to_both(ask, server):
    ask(temperature=0.7, top_k=20, max_tokens=99)
    first, second = (request.body for request in server.requests)
    assert (first["temperature"], first["top_k"], first["max_tokens"]) == (0.7, 20, 99)
    assert (second["temperature"], second["max_tokens"]) == (0.0, 99)
    assert "top_k" not in second


def test_it_works_inside_a_running_loop_as_in_jupyter(ask):
    async def cell():
        return ask(n=2)

    assert asyncio.run(cell()).text.startswith("Together")


def test_it_can_be_awaited(server):
    server.reply = answer

    async def app():
        return await asyncio.gather(
            *(catlite.asynthesize("q", "test-model", n=2, base_url=server.url, api_key=server.key) for _ in range(5))
        )

    assert {reference.text for reference in asyncio.run(app())} == {r"Together: \boxed{42}"}


def test_it_works_from_several_threads_at_once(ask):
    found = []
    threads = [threading.Thread(target=lambda: found.append(ask(n=2, **MATHS).answer)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["42"] * 6


def test_a_conversation_is_a_prompt(ask, server):
    ask([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}], n=1)
    assert [message["role"] for message in server.requests[0].body["messages"]] == ["system", "user"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"n": 0}, "of at least 1"),
        ({"n": -1}, "of at least 1"),
        ({"n": 2.5}, "whole number"),
        ({"temperature": "hot"}, "temperature='hot': want a number"),
        ({"temperature": -0.1}, "at least 0"),
        ({"temperature": float("nan")}, "want a number"),
        ({"top_p": 2}, "from 0 to 1"),
        ({"max_tokens": 0}, "at least 1"),
        ({"max_token": 5}, "did you mean max_tokens"),
        ({"prompt": ""}, "the prompt is empty"),
        ({"prompt": "  \n"}, "the prompt is empty"),
        ({"prompt": []}, "empty list"),
        ({"prompt": [{"content": "no role"}]}, "message 0 has no 'role'"),
        ({"prompt": [{"role": "user", "content": None}]}, "message 0 has no 'content'"),
        ({"prompt": 42}, "not int"),
        ({"answer_format": "no group"}, "capture group"),
        ({"model": ""}, "model=''"),
        ({"model": 7, "base_url": None, "api_key": None}, "not int"),
        ({"base_url": "localhost:8000"}, "want a URL"),
        ({"model": "local"}, "has no base_url"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_sent(ask, server, wrong, said):
    with pytest.raises(ConfigError, match=said):
        ask(**wrong)
    assert server.requests == []


def test_no_key_and_no_base_url_is_a_clear_error(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigError, match=r'OPENAI_API_KEY.*base_url.*model="local"'):
        catlite.synthesize("q", "gpt-4o-mini")


def test_key_and_address_come_from_the_environment(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", server.key)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    assert catlite.synthesize("q", "test-model", n=1).text == "answer 0"


def test_a_wrong_key_is_asked_once(ask, server):
    with pytest.raises(AuthenticationFailed, match="check the API key"):
        ask(api_key="sk-wrong-00000000")
    assert len(server.requests) == 1


def test_an_unknown_model_is_named(ask, server):
    with pytest.raises(RequestRejected, match=r"gpt-9.*check the model's name"):
        ask(model="gpt-9")
    assert len(server.requests) == 1


def test_when_every_rollout_fails_the_causes_are_listed_once(ask, server):
    server.reply = {"content": None, "reasoning_content": "hmm"}
    with pytest.raises(GroupError, match=r"none of 4 rollouts can be used: 4 empty") as caught:
        ask(n=4)
    assert [rollout.reasoning for rollout in caught.value.group.rollouts] == ["hmm"] * 4


def test_when_the_synthesis_fails_the_rollouts_are_kept(ask, server):
    server.reply = lambda body, i: {"content": None} if "<attempt-" in body["messages"][-1]["content"] else "fine"
    with pytest.raises(EstimationError, match="gave no synthesis") as caught:
        ask(n=3)
    assert [rollout.text for rollout in caught.value.group.rollouts] == ["fine"] * 3


def test_a_prompt_longer_than_the_context_is_a_clear_error(ask, server):
    server.context = 100
    with pytest.raises(RequestRejected, match="maximum context length is 100 tokens"):
        ask("word " * 1000)


# --- estimate: many questions ---


def test_every_question_gets_its_reference_in_order(server):
    server.reply = lambda body, i: "re: " + body["messages"][-1]["content"]
    questions = [f"question {number}" for number in range(20)]
    with catlite.Endpoint("test-model", base_url=server.url, api_key=server.key) as model:
        found = catlite.estimate(questions, model, estimator=catlite.MinPerplexity(), n=2, logprobs=True)
    assert [reference.text for reference in found] == [f"re: question {number}" for number in range(20)]


def test_a_question_that_fails_keeps_its_place_and_its_reason(server):
    server.reply = lambda body, i: {"content": None} if "bad" in body["messages"][-1]["content"] else "fine"
    with catlite.Endpoint("test-model", base_url=server.url, api_key=server.key) as model:
        found = catlite.estimate(["good", "bad", "good too"], model, n=2)
    assert [reference.text for reference in found] == ["fine", "", "fine"]
    assert "2 empty" in found[1].error
    assert repr(found[1]).startswith("<Reference failed by Synthesis: none of 2 rollouts can be used")


def test_a_question_with_fewer_usable_rollouts_than_wanted_fails(server):
    server.reply = lambda body, i: {"content": None} if "bad" in str(body) and i else "fine"
    with catlite.Endpoint("test-model", base_url=server.url, api_key=server.key) as model:
        found = catlite.estimate(["good", "bad"], model, n=3, min_usable=2)
        assert [bool(reference.error) for reference in found] == [False, True]
        assert "1 of 3 rollouts can be used, 2 are wanted: 2 empty" in found[1].error
        assert found[1].rollouts[0].text == "fine"  # paid for, and kept
        with pytest.raises(ConfigError, match="min_usable=4"):
            catlite.estimate(["good"], model, n=3, min_usable=4)


def test_an_estimate_is_resumed_from_its_run(server, tmp_path):
    server.reply = lambda body, i: "re: " + body["messages"][-1]["content"]
    options = {"n": 2, "max_tokens": 200, "base_url": server.url, "api_key": server.key, "run": tmp_path}
    short = catlite.estimate(["a", "b", "c"], "test-model", budget=catlite.Budget(requests=4), **options)
    assert any(reference.error for reference in short)
    whole = catlite.estimate(["a", "b", "c"], "test-model", **options)
    assert not any(reference.error for reference in whole)
    assert len(server.requests) == 6


def test_rollouts_outlive_an_anchor_that_is_refused(ask):
    with pytest.raises(RequestRejected, match="no-such-anchor") as caught:
        ask(n=2, anchor="no-such-anchor")
    assert len(caught.value.group.rollouts) == 2


def test_one_text_is_not_taken_for_many_questions():
    with pytest.raises(ConfigError, match="synthesize"):
        catlite.estimate("What?")


def test_a_wrong_question_late_in_the_list_is_refused_before_anything_is_sent(server):
    with pytest.raises(ConfigError, match="empty"):
        catlite.estimate(["fine", ""], "test-model", base_url=server.url, api_key=server.key)
    assert server.requests == []
