"""What the actors do, without Ray: rows in, rows out, every reply kept in shared files, and no exception."""

import asyncio
import json
import stat

import numpy as np
import pytest
from pandas import DataFrame
from server import Server, status
from sharing_help import open_here

import catlite
from catlite.errors import ConfigError, StoreError
from catlite.references.files import COLUMNS
from catlite.scale import rows, sharing
from catlite.scale.ray_data import Estimate, Judge

pa = pytest.importorskip("pyarrow", reason="needs catlite[data]")
QUESTIONS = [f"What is {number} times 7?" for number in range(6)]


@pytest.fixture
def endpoint(server, monkeypatch):
    """A function that makes the model, as an actor would; the key is in the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", server.key)
    server.reply = r"It is \boxed{7}."
    return lambda: catlite.Endpoint("test-model", base_url=server.url, max_tokens=64)


def work(part, batch):
    return asyncio.run(part(batch)).to_pylist()


def batch_of(prompts=QUESTIONS, **columns):
    return pa.table({"prompt": prompts, **columns})


def test_rows_come_back_in_order_with_the_columns_of_a_parquet_file(endpoint):
    table = asyncio.run(Estimate(endpoint, n=3, answer_format="boxed")(batch_of(id=[f"q{n}" for n in range(6)])))
    assert table.column_names == COLUMNS
    results = table.to_pylist()
    assert [row["prompt"][0]["content"] for row in results] == QUESTIONS
    assert [row["id"] for row in results] == [f"q{n}" for n in range(6)]
    assert asyncio.run(Estimate(endpoint)(batch_of([], id=[]))).schema == table.schema
    assert {(row["answer"], tuple(row["support"]), row["error"]) for row in results} == {("7", (3, 3), None)}


@pytest.mark.parametrize("kind", ["arrow", "pandas", "numpy"])
def test_any_batch_format_will_do(endpoint, kind):
    table = batch_of([[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]], id=["a"])
    batch = {
        "arrow": lambda: table,
        "pandas": table.to_pandas,
        "numpy": lambda: {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names},
    }[kind]()
    (row,) = work(Estimate(endpoint, n=2), batch)
    assert (row["id"], row["error"]) == ("a", None)
    assert [message["content"] for message in row["prompt"]] == ["Be brief.", "Why?"]


@pytest.mark.parametrize("make", [lambda prompts: {"prompt": prompts}, lambda prompts: DataFrame({"prompt": prompts})])
def test_a_column_of_several_types_costs_only_the_rows_that_are_wrong(endpoint, make):
    results = work(Estimate(endpoint, n=2), make(np.array(["Why?", 3, "How?"], dtype=object)))
    assert [row["error"] is None for row in results] == [True, False, True]


def test_a_second_run_sends_nothing_and_gives_the_same(endpoint, server, tmp_path):
    first = work(Estimate(endpoint, run=open_here(tmp_path)[0], n=3), batch_of())
    sent = server.completions
    second = work(Estimate(endpoint, run=open_here(tmp_path)[0], n=3), batch_of())
    assert (second, server.completions) == (first, sent)
    more = work(Estimate(endpoint, run=open_here(tmp_path)[0], n=4), batch_of())
    assert server.completions == sent + 2 * 6  # the fourth rollout, and a synthesis of four
    assert {row["rollouts"] for row in more} == {4}


def test_a_fleet_keeps_its_replies_and_goes_on_with_another_list(endpoint, server, tmp_path):
    with Server(server.reply) as other:

        def made(*urls):
            model = lambda: catlite.Endpoint("test-model", base_url=list(urls), max_tokens=64)  # noqa: E731
            rows = work(Estimate(model, run=open_here(tmp_path)[0], n=3), batch_of())
            assert [row["error"] for row in rows] == [None] * 6
            return rows

        first = made(server.url, other.url)
        sent = server.completions + other.completions
        assert made(server.url, other.url) == made(other.url) == first
        assert server.completions + other.completions == sent
        assert work(Estimate(endpoint, run=open_here(tmp_path)[0], n=3), batch_of()) == first  # alone, without a list
        assert server.completions + other.completions == sent


def test_rows_with_one_prompt_share_replies_unless_they_are_numbered(endpoint, server, tmp_path):
    run, _ = open_here(tmp_path)
    vote = {"estimator": catlite.MajorityVote(), "answer_format": "boxed", "n": 2, "run": run}
    work(Estimate(endpoint, **vote), batch_of(["Why?", "Why?"], copy=[0, 1]))
    assert server.completions == 2
    work(Estimate(endpoint, **vote), batch_of(["Why?", "Why?"]))
    assert server.completions == 2


def test_rows_with_one_prompt_that_are_under_way_together_are_paid_for_once(endpoint, server, tmp_path):
    vote = {"estimator": catlite.MajorityVote(), "answer_format": "boxed", "n": 2}
    work(Estimate(endpoint, run=open_here(tmp_path)[0], **vote), batch_of(["Why?"] * 4))
    assert server.completions == 1


def test_a_prompt_is_the_same_whatever_fields_arrow_fills_with_null(endpoint, server, tmp_path):
    part = {"type": "text", "text": "Why?"}
    for content in ([part], [part | {"image_url": None}]):
        run, _ = open_here(tmp_path)
        work(Estimate(endpoint, run=run, n=1), batch_of([[{"role": "user", "content": content}]]))
    assert server.completions == 2  # a rollout and a synthesis
    assert "null" not in json.dumps([request.body["messages"] for request in server.requests])


def test_chat_as_the_json_that_parquet_files_have_is_read_as_chat():
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    assert rows.example_of({"prompt": json.dumps(chat)}).messages == chat


def test_a_number_in_a_column_with_gaps_is_the_same_number(endpoint, server, tmp_path):
    for copy in ([0, 1], [None, 1.0], [float("nan"), 1.0]):  # as pandas and NumPy make of it
        run, _ = open_here(tmp_path)
        results = work(Estimate(endpoint, run=run, n=1), {"prompt": ["Why?"] * 2, "copy": copy, "id": copy})
        assert [row["error"] for row in results] == [None, None]
        assert results[1]["id"] == "1"
    assert server.completions == 4


def test_a_torn_line_is_passed_over_and_its_reply_asked_for_again(endpoint, server, tmp_path):
    vote = {"estimator": catlite.MajorityVote(), "answer_format": "boxed", "n": 1}
    work(Estimate(endpoint, run=open_here(tmp_path)[0], **vote), batch_of(["Why?"]))
    (file,) = tmp_path.glob("replies/*/*.jsonl")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    whole = file.read_bytes()
    file.write_bytes(whole[:-30])
    for _ in range(2):  # what is written behind a torn line is results
        work(Estimate(endpoint, run=open_here(tmp_path)[0], **vote), batch_of(["Why?"]))
    assert server.completions == 2


def test_the_key_is_in_no_file(endpoint, server, tmp_path):
    run, _ = open_here(tmp_path)
    server.script(lambda number, body: status(400, f"no {server.key}") if number == 3 else None)
    work(Estimate(endpoint, run=run, n=2), batch_of())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert [path for path in files if server.key.encode() in path.read_bytes()] == []
    assert server.key not in repr(run)


def test_a_budget_ends_in_rows_with_an_error_and_a_larger_one_goes_on(endpoint, server, tmp_path):
    run, _ = open_here(tmp_path, budget=catlite.Budget(requests=5))
    parts = [Estimate(endpoint, run=run, n=2) for _ in range(2)]

    async def both():
        return await asyncio.gather(parts[0](batch_of(QUESTIONS[:3])), parts[1](batch_of(QUESTIONS[3:])))

    results = [row for table in asyncio.run(both()) for row in table.to_pylist()]
    assert server.completions == 5
    errors = [row["error"] for row in results if row["completion"] is None]
    assert errors
    assert all("the budget is reached" in error for error in errors)
    again = work(Estimate(endpoint, run=open_here(tmp_path, budget=catlite.Budget(requests=13))[0], n=2), batch_of())
    assert [row["error"] for row in again] == [None] * 6
    assert server.completions == 12


def test_an_endpoint_that_refuses_the_key_is_not_asked_for_every_row(endpoint, server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-1")
    part = Estimate(endpoint, run=open_here(tmp_path)[0], n=1)
    results = work(part, batch_of()) + work(part, batch_of())
    assert server.requests
    assert len(server.requests) <= 6
    assert all(row["error"] for row in results)
    assert results[-1]["error"].startswith("not done: ")


async def broken(group):
    raise KeyError("mine")


@pytest.mark.parametrize(
    ("batch", "settings", "error"),
    [
        (pa.table({"question": ["Why?"]}), {}, "the row has no prompt, a text or a list of messages: its columns are"),
        (batch_of([""]), {}, "prompt"),
        (batch_of([["Why?"]]), {}, "message 0 is str"),
        (batch_of(["Why?"], answer_format=["("]), {}, "answer_format"),
        (batch_of(["Why?"]), {"estimator": broken}, "KeyError: 'mine'"),
        (
            {
                "prompt": [
                    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]}]
                ]
            },
            {},
            "the prompt has an image",
        ),
    ],
)
def test_a_row_that_cannot_be_done_has_an_error(endpoint, server, batch, settings, error):
    (row,) = work(Estimate(endpoint, n=1, **settings), batch)
    assert error in row["error"]
    assert (row["completion"], row["reference"]) == (None, None)


def test_rows_that_cannot_be_done_have_ids_of_their_own(endpoint):
    results = work(Estimate(endpoint, n=1), batch_of(["", " "])) + work(Estimate(endpoint, n=1), batch_of(["  "]))
    assert len({row["id"] for row in results}) == 3


def test_a_disk_that_is_full_is_an_error_in_the_rows_and_ends_the_run(endpoint, server, tmp_path, monkeypatch):
    run, _ = open_here(tmp_path)
    part = Estimate(endpoint, run=run, n=1)
    monkeypatch.setattr("catlite.runs.shared.append", _full)
    results = work(part, batch_of()) + work(part, batch_of())
    assert all("could not be written" in row["error"] for row in results)
    assert server.completions <= 6


def _full(*_):
    raise OSError(28, "No space left on device")


def test_a_folder_that_is_not_shared_is_told_before_anything_is_sent(endpoint, server, tmp_path, monkeypatch):
    monkeypatch.setattr(sharing, "_LOOK_SECONDS", 0.2)
    run, _ = open_here(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "elsewhere")  # as on a node that does not mount it
    with pytest.raises(ConfigError, match=r"is not shared: node \S+ does not see"):
        Estimate(endpoint, run=run)
    assert server.requests == []


@pytest.mark.parametrize("folder", ["s3://bucket/run", 7])
def test_a_run_is_a_folder(folder):
    with pytest.raises(ConfigError, match="want a folder that all nodes mount"):
        open_here(folder)


def test_a_folder_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        open_here(tmp_path / "file" / "run")


def test_a_folder_belongs_to_runs_of_one_kind(endpoint, server, tmp_path):
    catlite.estimate(["Why?"], endpoint(), n=1, run=tmp_path / "ordinary")
    with pytest.raises(StoreError, match=r"'\S+ordinary' has the replies of a run without Ray: .*another folder"):
        open_here(tmp_path / "ordinary")
    work(Estimate(endpoint, n=1, run=open_here(tmp_path / "shared")[0]), batch_of(["Why?"]))
    sent = server.completions
    with pytest.raises(StoreError, match=r"'\S+shared' has the replies of a run with Ray: .*another folder"):
        catlite.estimate(["Why?"], endpoint(), n=1, run=tmp_path / "shared")
    assert server.completions == sent


def test_a_batch_api_is_not_asked_by_actors(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test-1")
    with pytest.raises(ConfigError, match="a batch API is asked by one process"):
        Estimate(lambda: catlite.BatchEndpoint("gpt-4o-mini"))


def test_a_whole_reference_comes_back_as_it_was(endpoint):
    (row,) = work(Estimate(endpoint, n=3, answer_format="boxed", whole=True), batch_of(["Why?"]))
    reference = rows.whole_of(row["whole"])
    assert (reference.answer, reference.support, len(reference.rollouts)) == ("7", (3, 3), 3)
    assert json.loads(row["whole"])["source"] == "Synthesis"


# --- Judge ---


def test_replies_are_scored_row_by_row_or_as_a_group():
    match = Judge(catlite.AnswerMatch(), answer_format="boxed")
    table = pa.table(
        {
            "prompt": ["Why?", "Why?"],
            "reference": [r"\boxed{7}", r"\boxed{8}"],
            "completion": [r"so \boxed{7}", r"so \boxed{7}"],
            "more": [1, 2],
        }
    )
    results = asyncio.run(match(table))
    assert results.column_names == [*table.column_names, *rows.REWARD_COLUMNS]
    assert results["reward"].to_pylist() == [1.0, 0.0]
    group = pa.table({"prompt": ["Why?"], "answer": ["7"], "completions": [[r"\boxed{7}", r"\boxed{9}", "none"]]})
    (row,) = work(match, group)
    assert (row["rewards"], row["reward"], row["reward_error"]) == ([1.0, 0.0, 0.0], None, None)


def test_a_row_that_cannot_be_scored_says_why():
    table = pa.table({"prompt": ["Why?"], "completion": [r"\boxed{7}"]})
    (row,) = work(Judge(catlite.AnswerMatch(), answer_format="boxed"), table)
    assert row["reward"] is None
    assert "no reference, answer or rubric" in row["reward_error"]


@pytest.mark.parametrize("make", [dict, DataFrame])
def test_a_column_that_the_rewards_cannot_stand_beside_is_named(make):
    batch = {"prompt": ["Why?", "Why?"], "completion": ["a", "b"], "reference": ["a", "a"], "answer": [7, "seven"]}
    with pytest.raises(ConfigError, match="the column 'answer' has values of several types"):
        asyncio.run(Judge(catlite.AnswerMatch())(make(batch)))
    batch["answer"] = ["7", None]
    rewards = asyncio.run(Judge(catlite.AnswerMatch(), answer_format="boxed")(make(batch)))
    assert rewards["answer"].to_pylist() == ["7", None]


def test_a_judge_is_kept_and_its_silence_is_null_and_not_zero(endpoint, server, tmp_path):
    server.reply = lambda body, i: "Yes" if "good" in json.dumps(body["messages"]) else "who knows"
    table = pa.table({"prompt": ["Why?"] * 2, "reference": ["Because."] * 2, "completion": ["good", "odd"]})
    rewards = []
    for _ in range(2):
        judge = Judge(lambda: catlite.ModelAsJudge(endpoint()), run=open_here(tmp_path)[0])
        rewards.append([row["reward"] for row in work(judge, table)])
        sent = server.completions
    assert rewards[0] == rewards[1]
    assert rewards[0][1] is None
    assert server.completions == sent


@pytest.mark.parametrize(
    ("rubric", "asked", "error"),
    [
        ([{"criterion": "It is polite.", "points": 2.0}], 1, None),
        (["It is polite.", "It is short."], 2, None),
        ("polite", 0, "the rubric in 'rubric' is text that is not JSON"),
        ([None], 0, "criterion 1 is missing"),
        ([{"criterion": "It is polite.", "points": None}], 0, "criterion 1 has points that are missing"),
    ],
)
def test_a_rubric_is_read_as_a_task_reads_it(endpoint, server, rubric, asked, error):
    server.reply = "Yes"
    table = pa.table({"prompt": ["Why?"], "completion": ["Because."], "rubric": [rubric]})
    (row,) = work(Judge(lambda: catlite.ExpertRubric(endpoint())), table)
    assert (row["reward"], server.completions) == (1.0 if asked else None, asked)
    assert error is None or error in row["reward_error"]


def test_a_reward_that_fails_is_an_error_in_the_row():
    async def short(group, reference):
        return [1.0, 1.0]

    table = pa.table({"prompt": ["Why?", "Why?"], "completion": ["a", None]})
    results = work(Judge(short), table)
    assert [row["reward"] for row in results] == [None, None]
    assert "2 scores for 1 replies" in results[0]["reward_error"]
    assert "the row has no completion" in results[1]["reward_error"]
