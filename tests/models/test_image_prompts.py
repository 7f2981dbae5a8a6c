"""Questions with images, all the way: sent as they are, kept once, within a budget, refused before they cost."""

import copy
import json
import sqlite3

import pytest
from asking import on
from faults import status
from pictures import part, png, question, words
from server import Server

import catlite
from catlite import (
    AnchoredVote,
    BestOfN,
    Budget,
    Example,
    ExpertRubric,
    Group,
    MinPerplexity,
    Price,
    RelativeJudge,
    Replay,
    Rollout,
    Rubric,
    RubricReward,
    ScriptedModel,
    Synthesis,
    Task,
    Usage,
    concurrency,
)
from catlite.errors import BudgetReached, ConfigError
from catlite.models.base import Traits
from catlite.rewards.preference import prefer
from catlite.runs.store import Asked

IMAGE = question()[0]["content"][0]
FORM = r"is (\d+)"


def sent(server):
    return [request.body["messages"] for request in server.requests]


def pictures_in(messages):
    """The images of each message, by place."""
    return [
        [item for item in message["content"] if item["type"] != "text"] if isinstance(message["content"], list) else []
        for message in messages
    ]


# They travel


def test_a_server_gets_the_parts_that_were_given(server):
    file = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}}
    prompt = [
        {"role": "system", "content": [words("Be brief.")]},
        {"role": "user", "content": [part("https://example.org/a.png"), words("Ünd this? \ud800"), IMAGE, file]},
    ]
    before = copy.deepcopy(prompt)
    with on(server) as model:
        reference = catlite.synthesize(prompt, model, n=2)
    assert prompt == before
    before[1]["content"][1]["text"] = "Ünd this? ?"  # half a surrogate pair, which UTF-8 cannot carry
    rollouts, synthesis = sent(server)
    assert rollouts == before
    assert pictures_in(synthesis) == [[]]  # as in the paper the anchor does not see the question
    assert reference.text


def test_what_shows_the_question_to_a_model_shows_its_image():
    group = Group(Example(question()), (Rollout("A cat."), Rollout("A dog.")))
    seen = []

    def reply(prompt, i):
        seen.append(prompt)
        return json.dumps({"best": 1, "criteria": [f"The response names animal number {n}." for n in range(5)]})

    model = ScriptedModel(reply)
    reference = concurrency.run(Synthesis(model, include_question=True)(group))
    concurrency.run(BestOfN(model)(group))
    concurrency.run(catlite.propose_rubric("", model, question=question()))
    concurrency.run(RelativeJudge(model)(group, reference))
    prefer(model, [group], [Group(group.example, (Rollout("A cow."),))])
    example = Example(question(), rubric=Rubric(["The response names the animal."]))
    concurrency.run(ExpertRubric(model)(Group(example, group.rollouts), reference))
    assert len(seen) > 8
    for messages in seen:
        assert pictures_in(messages[:1]) == [[IMAGE]]
        text = " ".join(item["text"] for item in messages[0]["content"] if item["type"] == "text")
        assert "[image]\nWhat is it?" in text
        assert "data:image" not in text
        assert "{'type'" not in text


def test_a_prompt_of_text_is_asked_for_as_it_always_was():
    group = Group(Example("What is it?"), (Rollout("A cat."), Rollout("A dog.")))
    model = ScriptedModel(lambda prompt, i: '{"best": 1}')
    for estimator in (Synthesis(model, include_question=True), BestOfN(model)):
        concurrency.run(estimator(group))
    assert all(isinstance(message["content"], str) for messages, *_ in model.calls for message in messages)


# They are kept once


def test_keys_of_text_prompts_are_those_of_old_stores():
    asked = Asked("m", "http://a/v1", [{"role": "user", "content": "x" * 5000}], {"temperature": 1.0, "n": 2})
    body = json.dumps(
        {
            "address": "http://a/v1",
            "messages": [{"content": "x" * 5000, "role": "user"}],
            "model": "m",
            "sampling": {"n": 2, "temperature": 1},
        },
        separators=(",", ":"),
        sort_keys=True,
    )
    assert asked.json == body
    assert Asked("m", "a", [{"role": "user", "content": "6 times 7?"}], {}).key == (
        "18b9f0b22cac23381cc7f2ae2b9889c5ab350160557940c3f11920e745021d40"
    )
    assert asked.parts == {}


def test_a_large_image_is_sent_without_a_warning(server):
    prompt = question(content=png(700, 700))
    with on(server) as model:
        assert concurrency.run(model.sample(prompt))[0].text == "answer 0"
    assert sent(server) == [prompt]


def test_an_image_is_written_once_and_its_replies_are_found_again(server, tmp_path):
    content = png(400, 400)
    server.max_n = 1  # a request for each rollout
    with on(server) as model:
        task = [Example(question("What is it?", content)), Example(question("What else?", content))]
        grade = {"estimators": [Synthesis(model, include_question=True), BestOfN(model)], "n": 8}

        async def grader(group, reference):
            return [1.0 for _ in group.rollouts]

        catlite.evaluate(Task("t", task), model, grader=grader, run=tmp_path, **grade)
        asked = len(server.requests)
        again = catlite.evaluate(Task("t", task), model, grader=grader, run=tmp_path, **grade)
        assert len(server.requests) == asked
        other = [Example(question("What is it?", png(40, 40)))]
        catlite.evaluate(Task("t", other), model, grader=grader, run=tmp_path / "other", **grade)
    assert asked >= 2 * 8
    sizes = {file.name: file.stat().st_size for file in tmp_path.iterdir() if file.is_file()}
    image = len(question("", content)[0]["content"][0]["image_url"]["url"])
    assert sizes["replies.sqlite"] < image + 150_000
    assert sizes["evaluation.json"] < image + 100_000
    assert sum(sizes.values()) < 2 * image + 250_000
    with sqlite3.connect(tmp_path / "replies.sqlite") as connection:
        ((kept,),) = connection.execute("SELECT content FROM parts").fetchall()
    assert kept == task[0].messages[0]["content"][0]["image_url"]["url"]
    assert catlite.Evaluation.load(tmp_path).groups[0].example.messages == task[0].messages
    assert again.groups[0].rollouts == catlite.Evaluation.load(tmp_path).groups[0].rollouts
    rollouts = concurrency.run(Replay(tmp_path).sample(task[1].prompt, 8))
    assert [rollout.error for rollout in rollouts] == [None] * 8
    with pytest.raises(catlite.errors.RequestRejected, match="no reply to this prompt"):
        concurrency.run(Replay(tmp_path).sample(question("What is it?", png(8, 8))))


# They are paid for


def test_an_image_counts_in_a_budget_before_it_is_sent(server):
    with on(server, price=Price(1.0, 1.0), max_tokens=10) as model:
        budget = {"budget": Budget(tokens=40_000)}
        with pytest.raises(BudgetReached):
            catlite.synthesize(question(), model, n=1, **budget)
        assert server.requests == []
        reference = catlite.synthesize("What is it?", model, n=1, **budget)
        assert reference.error is None
        spent = catlite.synthesize(question(), model, n=1, budget=Budget(tokens=60_000)).total_usage
    assert 0 < spent.prompt_tokens < 1000  # what the server said, not the bound


def test_a_dry_run_counts_images():
    model = catlite.Endpoint("gpt-4o", base_url="http://localhost:1/v1", api_key="none", price=Price(1.0, 1.0))
    task = [Example(question(), "7", answer_format=FORM)]
    cost = catlite.cost(catlite.evaluate, task, model, n=1, max_tokens=10)
    assert 1445 < cost.to_frame().loc["gpt-4o", "prompt_tokens"] < 1600


# They are refused before anything is paid


class OfText(ScriptedModel):
    """As a model in this process: it takes text alone."""

    @property
    def traits(self):
        return Traits(keeps_books=True, text_only=True)


@pytest.mark.parametrize(
    "estimator",
    [
        lambda model: Synthesis(model, include_question=True),
        lambda model: catlite.RecursiveSynthesis(model, include_question=True),
        BestOfN,
        AnchoredVote,
    ],
)
def test_an_estimator_that_would_show_an_image_to_a_model_of_text_is_refused_first(estimator):
    policy, blind = ScriptedModel(lambda prompt, i: "It is 7."), OfText(lambda prompt, i: "It is 7.", "blind")
    with pytest.raises(ConfigError, match="a question has an image: 'blind' takes text alone"):
        catlite.estimate([question()], policy, estimator=estimator(blind), answer_format=FORM)
    with pytest.raises(ConfigError, match="takes text alone"):
        catlite.evaluate([Example(question(), "7", answer_format=FORM)], policy, estimators=estimator(blind))
    assert policy.calls == blind.calls == []
    assert catlite.estimate([question()], policy, estimator=Synthesis(blind))[0].error is None
    assert blind.calls


@pytest.mark.parametrize("reward", [ExpertRubric, lambda m: RubricReward(m, m, from_question=True)])
def test_so_is_a_grader(reward):
    policy, blind = ScriptedModel(lambda prompt, i: "It is 7."), OfText(lambda prompt, i: "It is 7.", "blind")
    task = [Example(question(), "7", Rubric(["It is good."]), answer_format=FORM)]
    with pytest.raises(ConfigError, match="takes text alone"):
        catlite.evaluate(task, policy, grader=reward(blind))
    assert policy.calls == blind.calls == []


def test_synthesize_refuses_an_anchor_of_text_first():
    policy, blind = ScriptedModel(lambda prompt, i: "7"), OfText(lambda prompt, i: "7", "blind")
    with pytest.raises(ConfigError, match="or leave include_question out"):
        catlite.synthesize(question(), policy, anchor=blind, include_question=True)
    assert policy.calls == []
    assert catlite.synthesize(question(), policy, anchor=blind).text == "7"


def test_scoring_reads_text_alone(server):
    with on(server) as model:
        with pytest.raises(ConfigError, match="scoring by 'test-model' takes text alone"):
            concurrency.run(model.logprobs(question(), "A cat."))
        with pytest.raises(ConfigError, match="scoring reads text alone"):
            catlite.estimate([question()], model, estimator=MinPerplexity(model))
    assert server.requests == []


def test_the_embedded_model_refuses_an_image_before_it_starts():
    with pytest.raises(ConfigError, match="'local' takes text alone"):
        catlite.synthesize(question(), "local")
    with pytest.raises(ConfigError, match="message 0 has a part of the type 'image_url'"):
        catlite.synthesize([{"role": "user", "content": [part("https://example.org/a.png"), words("?")]}], "local")
    model = catlite.embedded()
    assert model.traits.text_only
    with pytest.raises(ConfigError, match="takes text alone"):
        concurrency.run(model.logprobs(question(), "A cat."))


def test_a_model_of_ones_own_gets_what_was_given(tmp_path):
    seen = []

    class Mine:
        name, traits = "mine", Traits(version="1")

        async def sample(self, prompt, n=1, **sampling):
            seen.append(prompt)
            return [Rollout("7", usage=Usage(10, 1, requests=1))] * n

    group = concurrency.run(catlite.rollouts.sample_group(Mine(), Example(question()), 2))
    assert seen == [question()]
    assert len(group.usable) == 2


def test_one_of_a_model_of_text_is_refused_and_a_panel_asks_nobody_then(server):
    blind = OfText(lambda prompt, i: "7", "blind")
    with on(server) as model, pytest.raises(ConfigError, match="'blind' takes text alone"):
        catlite.estimate([question()], [model, blind], n=2)
    with pytest.raises(ConfigError, match="'blind' takes text alone"):
        catlite.synthesize(question(), blind)
    assert server.requests == blind.calls == []
    catlite.synthesize([{"role": "user", "content": [words("What "), words("is it?")]}], blind)
    assert blind.calls[0][0] == [{"role": "user", "content": "What is it?"}]


def test_a_server_that_refuses_an_image_is_not_quoted_back_at_length():
    with Server("ok", faults=lambda number, body: status(400, "no " + "A" * 100_000)) as server:
        with on(server) as model, pytest.raises(catlite.errors.CatliteError) as caught:
            catlite.synthesize(question(content=png(100, 100)), model, n=1)
        assert len(str(caught.value)) < 1500
