"""A run replayed: the same numbers, from the replies that are there, with nothing sent."""

import json
import re
import sqlite3
from collections import Counter

import pytest
from server import Server

from catlite import (
    BestOfN,
    Endpoint,
    Example,
    MajorityVote,
    Replay,
    Synthesis,
    Task,
    concurrency,
    embedded,
    evaluate,
    times_tables,
)
from catlite.errors import ConfigError, StoreError

TASK = Task("sums", tuple(Example(f"{a}+1?", str(a + 1), answer_format="boxed", id=str(a)) for a in range(6)))


def reply(body, i):
    """Differs by prompt, sample and temperature."""
    if "response_format" in body:
        return '{"best": 2}'
    return rf"\boxed{{{(sum(map(ord, body['messages'][-1]['content'])) + i) % 5}}} at {body.get('temperature')}"


@pytest.fixture
def server():
    with Server(reply) as running:
        yield running


@pytest.fixture
def model(server):
    with Endpoint("test-model", base_url=server.url, api_key=server.key, retry_seconds=2, max_tokens=20) as opened:
        yield opened


def rows(evaluation):
    return [(row.id, row.repeat, row.system, row.score, row.answer) for row in evaluation.rows]


def test_every_role_is_replayed_and_nothing_is_sent(model, server, tmp_path):
    def estimators(anchor):
        return MajorityVote(), Synthesis(anchor), BestOfN(anchor)

    first = evaluate(TASK, model, estimators=estimators(model), n=3, n_repeats=2, run=tmp_path, temperature=0.7)
    sent = len(server.requests)
    replay = Replay(tmp_path)
    again = evaluate(TASK, replay, estimators=estimators(replay), n=3, n_repeats=2)
    assert rows(again) == rows(first)
    assert again.policy == "test-model"
    assert len(server.requests) == sent


def test_a_killed_run_without_an_evaluation_is_replayed_too(model, tmp_path):
    evaluate(TASK, model, n=3, run=tmp_path)
    (tmp_path / "evaluation.json").unlink()
    assert evaluate(TASK, Replay(tmp_path), n=3).score("single sample")[2] == 6


def test_what_was_never_asked_fails_by_question(model, tmp_path):
    evaluate(Task("some", TASK.examples[:2]), model, n=3, run=tmp_path)
    result = evaluate(TASK, Replay(tmp_path), n=4)
    assert [row.score is None for row in result.rows] == [False] * 2 + [True] * 4
    assert "nobody was asked that" in result.rows[-1].error
    assert "more are asked for" in result.groups[0].rollouts[3].error


def test_two_samplings_of_a_prompt_have_to_be_told_apart(model, tmp_path):
    for temperature in (0.5, 1.0):
        evaluate(TASK, model, n=2, run=tmp_path, temperature=temperature)
    replay = Replay(tmp_path)
    with pytest.raises(ConfigError, match=r'test-model with \{"max_tokens": 20, "temperature": 0.5\}; '):
        evaluate(TASK, replay, n=2)
    texts = [
        rollout.text for group in evaluate(TASK, replay, n=2, temperature=0.5).groups for rollout in group.rollouts
    ]
    assert all(text.endswith("at 0.5") for text in texts)


def test_a_model_the_run_does_not_have_is_named_with_those_it_has(model, tmp_path):
    evaluate(TASK, model, n=1, run=tmp_path)
    with pytest.raises(ConfigError, match="no replies of 'other', but of: test-model"):
        Replay(tmp_path, "other")


@pytest.mark.parametrize("folder", ["nowhere", "."])
def test_a_folder_without_replies_is_refused(tmp_path, folder):
    with pytest.raises(StoreError, match="no replies that can be read"):
        Replay(tmp_path / folder)
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_replayed_while_it_is_being_written(model, tmp_path):
    async def peek(group):
        (first, *_) = await Replay(tmp_path).sample(group.example.prompt, 2)
        assert first == group.rollouts[0] or first.text == group.rollouts[0].text
        return await MajorityVote()(group)

    result = evaluate(TASK, model, estimators=(peek,), n=2, run=tmp_path)
    assert result.score("peek")[2] == 6


def test_replayed_rollouts_of_the_embedded_model_vote_as_a_few_lines_count(tmp_path):
    """The rollouts are real; the count reads the file itself and knows nothing of catlite."""
    pytest.importorskip("xllamacpp", reason="needs catlite[local]")
    task = times_tables(6, seed=4)
    with embedded() as model:
        sampling = {"temperature": 1.0, "top_k": 0, "min_p": 0.0, "top_p": 1.0, "max_tokens": 20, "seed": 3}
        first = evaluate(task, model, estimators=(MajorityVote(),), run=tmp_path, **sampling)

    right = []
    with sqlite3.connect(tmp_path / "replies.sqlite") as file:
        asked = file.execute("SELECT key, asked FROM requests WHERE asked NOT LIKE '%\"scored\":%'").fetchall()
        for key, question in asked:
            a, b = re.search(r"What is (\d+) times (\d+)\?\"[^?]*$", question).groups()
            texts = file.execute("SELECT rollout FROM replies WHERE key = ? ORDER BY sample", (key,)).fetchall()
            replies = [json.loads(text) for (text,) in texts]
            whole = [one["text"] for one in replies if one["finish_reason"] == "stop"]
            said = [re.search(r"(?:is|equals|=) *([\d,]+)", text.split("\n")[0]) for text in whole]
            votes = Counter(int(number[1].replace(",", "")) for number in said if number)
            right.append(bool(votes) and votes.most_common(1)[0][0] == int(a) * int(b))
    assert len(right) == 6

    again = evaluate(task, Replay(tmp_path), estimators=(MajorityVote(),))
    assert again.score("MajorityVote")[0] == sum(right) / len(right)
    assert rows(again) == rows(first)


def test_a_score_is_replayed_and_one_that_is_missing_is_refused(server, tmp_path):
    pytest.importorskip("xllamacpp", reason="needs catlite[local]")
    from catlite.runs.session import open_run

    with embedded() as model, open_run(tmp_path):
        scored = concurrency.run(model.logprobs("Say yes.", "yes"))
    replay = Replay(tmp_path)
    assert concurrency.run(replay.logprobs("Say yes.", "yes")) == scored
    with pytest.raises(Exception, match="no reply to this prompt"):
        concurrency.run(replay.logprobs("Say yes.", "no"))
