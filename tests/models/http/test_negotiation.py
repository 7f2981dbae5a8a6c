"""What is only preferred is left out where a server refuses it, noted, and learned on evidence alone."""

import asyncio
import json
import logging

import faults
import pytest
from asking import on
from faults import status

import catlite
from catlite import (
    BestOfN,
    Example,
    ExpertRubric,
    Group,
    MajorityVote,
    ModelAsJudge,
    Rollout,
    RubricReward,
    Synthesis,
    Usage,
    concurrency,
)
from catlite.criteria import Criterion, Rubric
from catlite.errors import ConfigError, ModelError, RequestRejected
from catlite.models.base import Traits
from catlite.models.preferring import sample_preferring
from catlite.models.scripted import ScriptedModel
from catlite.rewards.judge import judge_group
from catlite.runs.budget import Budget
from catlite.runs.session import capped, noting, open_run

PROMPT = [{"role": "user", "content": "At which temperature does the acid boil?"}]
FORM = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
VERDICT = json.dumps({"reason": "so", "met": True})
RUBRIC = Rubric((Criterion("The response names a number."),))


def group(*texts):
    return Group(Example("q"), tuple(map(Rollout, texts)))


def prefer(server, preferred, prompt=PROMPT, settings=(), **sampling):
    with on(server, **dict(settings)) as model:
        return concurrency.run(sample_preferring(model, prompt, preferred, **sampling))


def has(server, name="response_format"):
    """Whether each request had that setting."""
    return [name in request.body for request in server.requests]


def whenever(name, fault):
    """That fault for each request that has the setting."""
    return lambda number, body: fault if name in body else None


# Refusals in words: left out at once, learned at once

NAMED = {
    "structured outputs": status(400, "Structured outputs are not supported"),
    "guided decoding": status(400, "Guided decoding is not available with this backend"),
    "JSON mode": status(400, "JSON mode is not supported for this model"),
    "samplers": status(400, "Failed to initialize samplers"),
    "samplers, as a 500": status(500, "Failed to initialize samplers: failed to parse grammar"),
    "501 in words": status(501, "response_format is not implemented"),
    "503 in words": status(503, "The structured output backend is unavailable: xgrammar is not supported"),
    "415": status(415, "Unsupported: response_format"),
    "422": status(422, body={"detail": [{"loc": ["body", "response_format"], "msg": "extra fields not permitted"}]}),
    "403 in words": status(403, "Structured outputs are not available on your plan"),
    "param alone": status(400, "Bad request", param="response_format"),
    "404 in words": status(404, "This model does not support response_format json_schema"),
}


@pytest.mark.parametrize("fault", NAMED.values(), ids=NAMED)
def test_a_form_that_is_refused_in_words_is_left_out_and_never_sent_again(server, fault):
    server.script(whenever("response_format", fault))
    for _ in range(2):
        assert prefer(server, {"response_format": FORM, "temperature": 0.0}).text == "answer 0"
    assert has(server) == [True, False, False]
    assert all(has(server, "temperature"))  # only what was refused goes


# Refusals without words: learned when the same request is refused twice and answered without

UNNAMED = {
    "400": status(400, "Bad Request"),
    "422": status(422, "Unprocessable Entity"),
    "no endpoints": status(404, "No endpoints found that can handle the requested parameters."),
    "500": status(500),
    "501": status(501),
    "502": status(502),
    "503": status(503),
    "empty": faults.content(""),
    "null": faults.content(None),
}


@pytest.mark.parametrize("fault", UNNAMED.values(), ids=UNNAMED)
def test_a_form_that_is_refused_without_words_is_left_out_and_learned(server, hurry, monkeypatch, fault):
    monkeypatch.setattr("catlite.models.http.traffic._SLOWEST", {429: 100.0, 503: 100.0})
    server.script(whenever("response_format", fault))
    for _ in range(2):
        reply = prefer(server, {"response_format": FORM, "temperature": 0.0}, settings={"retry_seconds": 30})
        assert reply.text == "answer 0"
    first_without = has(server).index(False)
    assert has(server)[first_without:] == [False, True, False]
    assert all(has(server, "temperature"))


def test_each_of_two_refused_settings_is_found(server):
    server.script(lambda number, body: status(400) if {"response_format", "temperature"} & set(body) else None)
    for _ in range(3):
        assert prefer(server, {"response_format": FORM, "temperature": 0.0}).error is None
    assert (has(server)[-1], has(server, "temperature")[-1]) == (False, False)


# What teaches nothing


@pytest.mark.parametrize("code", [500, 502, 503])
def test_a_5xx_that_passes_teaches_nothing(server, hurry, monkeypatch, code):
    monkeypatch.setattr("catlite.models.http.traffic._SLOWEST", {429: 100.0, 503: 100.0})
    for failures in range(1, 6):
        server.script([status(code)] * failures)
        assert prefer(server, {"response_format": FORM}).text == "answer 0"
        server.script([])
        server.requests.clear()
        prefer(server, {"response_format": FORM})
        assert has(server) == [True]
        catlite.models.http.service._known_servers.clear()


@pytest.mark.parametrize("failures", [3, 4])
def test_an_outage_that_takes_two_settings_along_gives_both_back_and_is_not_noted(server, hurry, failures):
    server.script([status(500)] * failures)  # two end the first request, the third one the next without the form
    preferred = {"response_format": FORM, "temperature": 0.0}
    for _ in range(2):
        with noting() as notes:
            assert prefer(server, preferred).text == "answer 0"
        assert notes == []
        assert [has(server)[-1], has(server, "temperature")[-1]] == [True, True]


def test_of_two_settings_that_fall_together_the_one_that_is_refused_is_learned(server, hurry):
    def answer(number, body):
        return status(500) if "response_format" in body or number < 3 else None

    server.script(answer)
    preferred = {"response_format": FORM, "temperature": 0.0}
    for _ in range(2):
        with noting() as notes:
            prefer(server, preferred)
        assert notes == ["'test-model' was asked without response_format (a JSON schema), which it does not take"]
    assert has(server) == [True, True, False, False, False, True, False]  # the form once more, to be sure
    assert has(server, "temperature") == [True, True, True, False, True, True, True]


def test_an_outage_gets_the_patience_it_gets_without_preferences(server, hurry):
    server.script(lambda number, body: status(500))
    reply = prefer(server, {"response_format": FORM})
    assert "gave up after 8 attempts" in reply.error
    server.script([])
    server.requests.clear()
    prefer(server, {"response_format": FORM})
    assert has(server) == [True]


def test_a_refusal_that_only_quotes_the_prompt_is_shown_and_teaches_nothing(server):
    flagged = status(400, f"Flagged as unsafe: {PROMPT[0]['content']!r}")
    server.script(lambda number, body: flagged if "acid" in str(body) else None)
    with pytest.raises(RequestRejected, match="acid boil"):
        prefer(server, {"temperature": 0.0})
    server.requests.clear()
    prefer(server, {"temperature": 0.0}, [{"role": "user", "content": "hi"}])
    assert has(server, "temperature") == [True]


def test_a_refusal_by_chance_that_quotes_the_prompt_teaches_nothing(server):
    server.script([status(400, "At which temperature does the acid boil? is not supported"), None])
    assert prefer(server, {"temperature": 0.0}).text == "answer 0"
    assert has(server, "temperature") == [True, False, True]
    prefer(server, {"temperature": 0.0})
    assert has(server, "temperature")[-1] is True


def test_a_setting_that_has_worked_is_left_out_for_no_refusal_without_words(server):
    prefer(server, {"temperature": 0.0})
    server.script(lambda number, body: status(400, "flagged"))
    with pytest.raises(RequestRejected, match="flagged"):
        prefer(server, {"temperature": 0.0})
    assert has(server, "temperature") == [True, True]


@pytest.mark.parametrize(
    "fault",
    [
        status(404, "The model `x` does not exist"),
        status(405, "Method Not Allowed"),
        status(300, "moved"),
        faults.overflow(),
        status(400, "no", param="messages"),
        status(401),
    ],
    ids=["404", "405", "300", "overflow", "the prompt's fault", "401"],
)
def test_what_is_not_about_settings_is_raised_after_one_request(server, fault):
    server.script(lambda number, body: fault)
    with pytest.raises(ModelError):
        prefer(server, {"response_format": FORM, "temperature": 0.0})
    assert len(server.requests) == 1


def test_an_empty_reply_is_empty_where_it_is_so_without_the_form_too(server):
    server.reply = ""
    assert prefer(server, {"response_format": FORM, "temperature": 0.0}).defect == "empty"
    assert has(server) == [True, False]
    server.reply = "text"
    prefer(server, {"response_format": FORM})
    assert has(server)[-1] is True


def test_a_form_that_worked_is_left_out_of_a_prompt_with_empty_replies_and_not_unlearned(server):
    assert prefer(server, {"response_format": FORM}).text
    server.script(whenever("response_format", faults.content("")))
    assert prefer(server, {"response_format": FORM}).text
    server.script([])
    assert prefer(server, {"response_format": FORM}).text
    assert has(server) == [True, True, False, True, True]


def test_one_empty_reply_that_a_run_has_kept_teaches_nothing(server, tmp_path):
    server.script([faults.content("")])
    with open_run(tmp_path), noting() as notes:
        assert prefer(server, {"response_format": FORM}).text
    assert has(server) == [True, False, True]  # the form is tried once more at the server, not in the run
    assert notes == []
    kept = len(server.requests)
    with open_run(tmp_path):
        assert prefer(server, {"response_format": FORM}).text
    assert len(server.requests) == kept


@pytest.mark.parametrize("reply", [faults.finish("length", ""), faults.finish("content_filter", "")])
def test_a_reply_without_text_that_was_cut_off_or_filtered_is_no_refusal(server, reply):
    server.script(lambda number, body: reply)
    prefer(server, {"response_format": FORM})
    assert has(server) == [True]


def test_all_replies_it_took_are_paid_for(server):
    server.usage = {"prompt_tokens": 10, "completion_tokens": 5}
    server.script(whenever("response_format", faults.content("")))
    reply = prefer(server, {"response_format": FORM})
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.requests) == (30, 15, 3)


def test_a_learned_refusal_is_logged_once(server, caplog):
    server.rejects = ("temperature",)
    with caplog.at_level(logging.WARNING, "catlite"):
        for _ in range(3):
            prefer(server, {"temperature": 0.0})
    (record,) = (record for record in caplog.records if record.name == "catlite")  # others may log what they collect
    assert "without temperature=0.0 from here on" in record.getMessage()


# Temperature 0 beside the endpoint's own sampling


@pytest.mark.parametrize(("name", "value", "neutral"), [("top_p", 0.9, 1), ("top_k", 20, -1)])
def test_temperature_0_is_left_out_beside_sampling_of_the_endpoint_that_it_conflicts_with(server, name, value, neutral):
    refusal = status(400, f"{name} must be {neutral} when using greedy sampling, got {value}.")
    server.script(lambda number, body: refusal if body.get("temperature") == 0 and name in body else None)
    with on(server, **{name: value}) as anchor:
        for _ in range(2):
            reference = concurrency.run(Synthesis(anchor)(group("a")))
            assert reference.text == "answer 0"
            assert "asked without temperature=0.0" in "".join(reference.notes)
    assert has(server, "temperature") == [True, False, False]
    assert all(has(server, name))
    with on(server) as anchor:  # the same model without it is asked greedily
        concurrency.run(Synthesis(anchor)(group("a")))
    assert has(server, "temperature")[-1] is True


# Notes


def test_what_an_anchor_was_asked_without_is_noted_on_every_reference(server):
    server.rejects = ("temperature",)
    with on(server) as anchor:
        for _ in range(2):
            reference = concurrency.run(Synthesis(anchor)(group("a")))
            assert reference.notes == ("'test-model' was asked without temperature=0.0, which it does not take",)
        assert concurrency.run(Synthesis(anchor, temperature=None)(group("a"))).notes == ()


def test_what_a_judge_was_asked_without_is_noted_once_on_the_judgement(server):
    server.reply, server.rejects = VERDICT, ("response_format",)
    with on(server) as judge:
        judgement = concurrency.run(judge_group(judge, group("a", "b", "c"), RUBRIC))
    assert judgement.rewards_G == (1.0, 1.0, 1.0)
    assert judgement.notes == (
        "'test-model' was asked without response_format (a JSON schema), which it does not take",
    )


def test_what_a_proposer_and_a_picker_were_asked_without_is_noted(server):
    server.rejects = ("response_format",)
    criteria = json.dumps({"criteria": [f"The response names the number {i}." for i in range(5)]})
    server.reply = lambda body, i: criteria if "criteria" in str(body) and "met" not in str(body) else VERDICT
    with on(server) as model:
        reference = catlite.Reference("six", None, "x", group("a"))
        judgement = concurrency.run(RubricReward(model, model).audit(group("a"), reference))
        assert [note for note in judgement.notes if "response_format" in note]
        server.reply = '{"best": 1}'
        picked = concurrency.run(BestOfN(model)(group("a", "b")))
    assert "response_format" in picked.notes[-1]


def test_a_judges_prompts_that_were_cut_are_noted_once_on_the_judgement(server):
    server.reply, server.usage = VERDICT, {"prompt_tokens": 2050}
    with on(server) as judge:
        judgement = concurrency.run(judge_group(judge, group("zinc " * 7000, "iron " * 6000), RUBRIC))
    (note,) = judgement.notes
    assert note.startswith("a reply of 'test-model': the server counted 2,050 tokens in a prompt of 3")


@pytest.mark.parametrize("scale", [False, True])
def test_what_a_judge_that_compares_was_asked_without_is_noted_on_the_evaluation(server, tmp_path, scale):
    server.reply = VERDICT if not scale else json.dumps({"reason": "so", "score": 10})
    server.rejects = ("temperature",)
    task = catlite.Task("two", (Example("q", "42", answer_format="boxed"), Example("r", "7", answer_format="boxed")))
    with on(server) as judge:
        policy = ScriptedModel(lambda messages, index: f"\\boxed{{{index}}}")
        evaluation = catlite.evaluate(
            task, policy, n=2, estimators=[MajorityVote()], grader=ModelAsJudge(judge, scale=scale), progress=False
        )
    note = "Grading: 'test-model' was asked without temperature=0.0, which it does not take."
    first, judging = evaluation.notes
    assert first == note
    assert judging.startswith("Judging, which is in no row: 6 requests")
    evaluation.save(tmp_path / "kept")
    assert catlite.Evaluation.load(tmp_path / "kept").notes[0] == note


def test_what_a_rubrics_judge_was_asked_without_is_noted_on_the_evaluation_too(server):
    server.reply, server.rejects = VERDICT, ("response_format",)
    task = catlite.Task("one", (Example("q", rubric=RUBRIC),))
    with on(server) as judge:
        evaluation = catlite.evaluate(
            task,
            ScriptedModel(lambda messages, index: "zinc"),
            n=1,
            estimators=[],
            grader=ExpertRubric(judge),
            progress=False,
        )
    assert len([note for note in evaluation.notes if "asked without response_format" in note]) == 1


def test_notes_are_of_the_calls_inside_only(server):
    server.rejects = ("temperature",)
    with noting() as notes:
        prefer(server, {"temperature": 0.0})
        prefer(server, {"temperature": 0.0})
    assert len(notes) == 1
    with noting() as others:
        pass
    assert others == []


# mode="soft": fewer alternatives


def alternatives(body, i=0):
    """A reply of one word with as many of the likeliest tokens as were asked for."""
    listed = [{"token": word, "logprob": -0.2 - 3 * at} for at, word in enumerate(["yes", "no", *"abcdefghijklmnopqr"])]
    top = listed[: body.get("top_logprobs", 1)]
    return {"content": "yes", "logprobs": {"content": [{**top[0], "top_logprobs": top}]}}


SOFT = {
    "OpenAI's words": (
        5,
        "Invalid 'top_logprobs': integer above maximum value. Expected a value <= 5, but got 20 instead.",
    ),
    "vLLM's words": (8, "Requested sample logprobs of 20, which is greater than max allowed: 8"),
    "a range": (5, "Range of top_logprobs should be [0, 5]"),
    "no number": (8, "top_logprobs is out of range"),
    "no words": (5, "Bad Request"),
}


@pytest.mark.parametrize(("most", "said"), SOFT.values(), ids=SOFT)
def test_a_soft_judge_whose_server_lists_fewer_tokens_is_asked_for_as_many_as_it_lists(server, most, said):
    server.reply = alternatives
    server.script(lambda number, body: status(400, said) if body["top_logprobs"] > most else None)
    with on(server) as judge:
        for _ in range(2):
            judgement = concurrency.run(judge_group(judge, group("a"), RUBRIC, mode="soft"))
            assert judgement.verdicts_GC[0][0].probability > 0.9
            assert f"top_logprobs={most} in place of 20" in "".join(judgement.notes)
    asked = [request.body["top_logprobs"] for request in server.requests]
    assert asked[-1] == most
    assert len(asked) <= 5
    assert asked.count(20) == 1
    assert all(has(server, "temperature")[-2:])


def test_a_soft_judge_that_takes_no_such_setting_is_not_asked_for_fewer(server):
    server.rejects = ("top_logprobs",)
    with on(server) as judge:
        judgement = concurrency.run(judge_group(judge, group("a"), RUBRIC, mode="soft"))
    assert judgement.rewards_G == (None,)
    assert len(server.requests) == 1


# The token limit

RANGE = "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"


def test_a_refused_value_of_the_token_limit_is_shown_and_no_other_name_is_tried(server):
    server.script(lambda number, body: status(400, RANGE) if body.get("max_tokens", 1) > 8192 else None)
    with on(server) as model:
        with pytest.raises(RequestRejected, match="valid range"):
            concurrency.run(model.sample("q", max_tokens=9000))
        concurrency.run(model.sample("q", max_tokens=100))
    assert [request.body.get("max_tokens") for request in server.requests] == [9000, 100]


def test_a_budget_holds_whatever_a_server_says_of_the_token_limit(server):
    # It ignores the other name, as servers do that know one of them.
    server.reply = lambda body, i: "word " * 1000 if "max_tokens" not in body else "word"
    server.script(lambda number, body: status(400, RANGE) if "max_tokens" in body else None)
    with on(server, max_tokens=50) as model, capped(Budget(tokens=600), Usage()) as ledger:
        for _ in range(5):
            with pytest.raises(RequestRejected):
                concurrency.run(model.sample("q"))
        assert ledger.spent.total_tokens <= 600
    assert not any("max_completion_tokens" in request.body for request in server.requests)


def test_a_server_that_refuses_one_name_and_ignores_the_other_is_sent_nothing_more(server):
    server.rejects, server.usage = ("max_tokens",), {"completion_tokens": 5000}
    with on(server, max_tokens=50) as model:
        assert concurrency.run(model.sample("q"))[0].error is None  # it was paid for
        sent = len(server.requests)
        with pytest.raises(RequestRejected, match=r"takes no token limit.*5,000 tokens where 50 were allowed"):
            concurrency.run(model.sample("q"))
    assert len(server.requests) == sent


def test_both_exchanges_of_a_renamed_limit_are_booked(server):
    server.rejects = ("max_tokens",)
    with on(server, max_tokens=5) as model, capped(Budget(requests=10), Usage()) as ledger:
        concurrency.run(model.sample("q"))
    assert ledger.spent.requests == len(server.requests) == 2


@pytest.mark.parametrize("ours", ["max_tokens", "max_completion_tokens"])
@pytest.mark.parametrize("theirs", ["max_tokens", "max_completion_tokens"])
def test_a_calls_token_limit_replaces_the_endpoints_under_either_name(server, ours, theirs):
    with on(server, **{theirs: 500}) as model:
        concurrency.run(model.sample("q", **{ours: 7}))
    sent = server.requests[0].body
    assert {name: sent[name] for name in ("max_tokens", "max_completion_tokens") if name in sent} == {ours: 7}


def test_of_two_names_for_the_token_limit_the_newer_counts_everywhere(server):
    with on(server, max_completion_tokens=9, max_tokens=50) as model:
        concurrency.run(model.sample("q"))
        catlite.synthesize("q", model, n=1, max_completion_tokens=9, max_tokens=50)
    for request in server.requests:
        assert (request.body.get("max_completion_tokens", request.body.get("max_tokens"))) == 9
        assert not {"max_completion_tokens", "max_tokens"} <= set(request.body)


# A scorer that is down


def test_a_scorer_that_is_down_ends_the_run(server, hurry):
    server.routes = {}
    server.script(lambda number, body: status(500))
    server.key = None
    questions = [f"Question {i}?" for i in range(30)]

    class Policy:
        name, traits = "policy", Traits(max_connections=1)

        async def sample(self, prompt, n=1, **sampling):
            return [Rollout("a"), Rollout("b")]

    server.routes = {"/apply-template": lambda body: status(500)}
    with on(server) as scorer:
        found = catlite.estimate(questions, Policy(), n=2, estimator=catlite.MinPerplexity(scorer))
    assert all(one.error for one in found)
    assert "is down" in found[-1].error
    assert len(server.requests) < 100  # 30 questions of two texts with eight attempts each would be 480


def test_a_scorer_that_fails_once_fails_one_question(server, hurry):
    server.routes = {"/apply-template": lambda body: status(500) if "poison" in str(body) else status(404)}

    class Policy:
        name = "policy"

        async def sample(self, prompt, n=1, **sampling):
            return [Rollout("a"), Rollout("b")]

    with on(server) as scorer, pytest.raises(ConfigError, match="log-probabilities"):
        catlite.estimate(["poison", "a"], Policy(), n=2, estimator=catlite.MinPerplexity(scorer))


def test_several_calls_at_once_all_survive_a_refused_preference(server):
    server.rejects = ("response_format",)

    async def work():
        async with on(server) as model:
            asking = (sample_preferring(model, PROMPT, {"response_format": FORM}) for _ in range(8))
            return await asyncio.gather(*asking)

    assert [reply.error for reply in asyncio.run(work())] == [None] * 8
