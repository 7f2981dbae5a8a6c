import faults
import pytest
from asking import QUESTION, ask, asked, on
from faults import status

import catlite
from catlite import Endpoint, concurrency
from catlite.data import Example
from catlite.errors import (
    AuthenticationFailed,
    ConfigError,
    ContextOverflow,
    GroupError,
    QuotaExhausted,
    RequestRejected,
)
from catlite.models.http import wire
from catlite.rollouts import sample_group

# Failures that stay


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (status(400, "bad thing"), RequestRejected, "answered 400: bad thing"),
        (status(401, "who are you"), AuthenticationFailed, "check the API key"),
        (status(403, "not for you"), AuthenticationFailed, "check the API key"),
        (status(402, "pay"), QuotaExhausted, "add credit"),
        (status(413, "huge"), RequestRejected, "huge"),
        (status(422, "odd"), RequestRejected, "odd"),
        (faults.quota_exhausted(), QuotaExhausted, "add credit"),
    ],
)
def test_a_failure_that_stays_is_raised_after_one_request(server, fault, kind, says):
    server.script([fault])
    with pytest.raises(kind, match=says) as caught:
        ask(server)
    assert caught.value.status == fault.status
    assert len(server.requests) == 1


def test_a_wrong_key_is_one_request_even_for_a_group(server):
    with pytest.raises(AuthenticationFailed):
        ask(server, 8, settings={"api_key": "sk-wrong-000000000"})
    assert len(server.requests) <= 2


def test_an_unknown_model_is_named_with_what_to_check(server):
    with (
        Endpoint("modle", base_url=server.url, api_key=server.key) as endpoint,
        pytest.raises(RequestRejected, match=r"check the model's name.*base_url") as caught,
    ):
        concurrency.run(endpoint.sample(QUESTION, 8))
    assert "`modle` does not exist" in str(caught.value)
    assert len(server.requests) == 1


def test_a_base_url_without_its_v1_says_so(server):
    with pytest.raises(RequestRejected, match="usually /v1"):
        ask(server, settings={"base_url": server.url.removesuffix("/v1")})


@pytest.mark.parametrize("dialect", ["openai", "vllm", "vllm-0.16", "llama.cpp"])
def test_a_prompt_beyond_the_context_is_an_overflow_with_its_figures(server, dialect):
    server.context, server.dialect = 50, dialect
    with pytest.raises(ContextOverflow) as caught:
        ask(server, prompt="x" * 800)
    assert (caught.value.limit, caught.value.given) == (50, 200)
    assert len(server.requests) == 1


def test_one_of_a_group_that_fails_for_good_leaves_the_others(server, hurry):
    server.takes_n = False
    ask(server, 2)
    doomed = server.completions + 1
    server.script(lambda number, body: status(500) if number >= doomed else None)
    rollouts = ask(server, 3, settings={"max_connections": 1})
    assert [rollout.defect for rollout in rollouts] == [None, "failed", "failed"]
    assert "answered 500" in rollouts[1].error
    assert rollouts[1].usage is None


def test_a_group_of_which_nothing_came_lists_its_causes_and_keeps_what_came(server, hurry):
    server.takes_n = False
    ask(server, 2)
    server.script(lambda number, body: status(503, "on fire") if number % 2 else faults.html())
    with on(server, max_connections=1, retry_seconds=1) as endpoint, pytest.raises(GroupError) as caught:
        concurrency.run(sample_group(endpoint, Example(QUESTION), 2))
    assert "none of 2 rollouts can be used: 2 failed" in str(caught.value)
    assert "after" in str(caught.value)
    assert len(caught.value.group.rollouts) == 2


def test_synthesize_reports_a_group_that_failed(server, hurry):
    server.script(lambda number, body: status(500, "on fire"))
    with pytest.raises(GroupError, match=r"4 × .*on fire"), on(server) as endpoint:
        catlite.synthesize(QUESTION, endpoint, n=4)


def test_synthesize_goes_through_a_real_server(server):
    with on(server) as endpoint:
        reference = catlite.synthesize(QUESTION, endpoint, n=4, temperature=0.7)
    assert reference.text == "answer 0"
    assert asked(server) == [4, 1]
    assert reference.total_usage.requests == 2


def test_synthesize_takes_a_name_and_closes_what_it_opened(server):
    catlite.synthesize(QUESTION, "test-model", n=2, base_url=server.url, api_key=server.key)
    server.wait(lambda s: not s._connections)


# Content


def test_reasoning_beside_null_content_is_kept_and_never_the_answer(server):
    server.reply = {"content": None, "reasoning_content": "perhaps 42"}
    rollout = ask(server)[0]
    assert (rollout.text, rollout.reasoning, rollout.defect) == ("", "perhaps 42", "empty")


def test_a_prompt_the_filter_refuses_is_a_filtered_group(server):
    server.script([faults.content_filter()])
    assert [rollout.defect for rollout in ask(server, 3)] == ["filtered"] * 3


@pytest.mark.parametrize(
    ("reason", "defect"),
    [("content_filter", "filtered"), ("length", "truncated"), ("tool_calls", None), (None, None)],
)
def test_a_finish_reason_is_recorded(server, reason, defect):
    server.script([faults.finish(reason, "some text")])
    rollout = ask(server)[0]
    assert (rollout.finish_reason, rollout.defect) == (reason, defect)


def test_a_finish_reason_that_is_no_word_is_dropped(server):
    server.script([faults.finish(17)])
    assert ask(server)[0].defect is None


def test_a_refusal_is_not_an_empty_answer(server):
    server.reply = {"content": None, "refusal": "I cannot help with that."}
    assert ask(server)[0].defect == "ended by refusal"


def test_content_in_parts_is_joined_without_what_is_not_text(server):
    parts = [{"type": "text", "text": "4"}, {"type": "thinking", "text": "no"}, {"type": "text", "text": "2"}]
    server.script([faults.content(parts)])
    assert ask(server)[0].text == "42"


def test_content_that_is_no_text_is_a_failure_that_says_what_it_was(server, hurry):
    server.script(lambda number, body: faults.content(42))
    assert "content that is int" in ask(server, settings={"retry_seconds": 0.01})[0].error


def test_logprobs_are_kept_one_a_token(server):
    assert ask(server, logprobs=True)[0].logprobs == (-0.5, -0.5)


@pytest.mark.parametrize("given", [[1], {"content": [{"logprob": None}]}, {"content": [3]}, "x"])
def test_logprobs_that_cannot_be_read_are_none(server, given):
    server.reply = {"content": "fine", "logprobs": given}
    assert ask(server)[0].logprobs is None


@pytest.mark.parametrize("word", ["none", "EMPTY"])
def test_a_placeholder_for_a_key_is_not_cut_out_of_answers(server, word):
    server.key, server.reply = None, f"{word} of these"
    assert ask(server, settings={"api_key": None if word == "none" else word})[0].text == f"{word} of these"


def test_lone_surrogates_in_a_prompt_are_sent_as_question_marks(server):
    ask(server, prompt="half \ud83d of a face")
    assert server.requests[0].body["messages"][0]["content"] == "half ? of a face"


def test_odd_characters_in_a_reply_come_through(server):
    server.reply = "\ud83d \x00 \x1b[31m \u2028"
    assert ask(server)[0].text == "\ud83d \x00 \x1b[31m \u2028"


def test_what_json_cannot_carry_is_a_config_error(server):
    for odd in ({"extra_body": {"x": {1, 2}}}, {"stop": "\ud83d"}):
        with pytest.raises(ConfigError, match="cannot be written as JSON"):
            ask(server, **odd)
    assert server.requests == []


@pytest.mark.parametrize(
    ("code", "ends"),
    [
        *[(code, True) for code in (308, 401, 402, 403, 404, 405)],
        *[(code, False) for code in (400, 413, 422, 429, 500, 503)],
    ],
)
def test_a_status_that_no_prompt_can_change_is_one_for_every_prompt(code, ends):
    assert wire.status_error(code, "no", {}, "server").for_every_prompt is ends
