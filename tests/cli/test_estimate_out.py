"""`catlite estimate --out`: what can be written is checked before anything is paid, and what was paid is written."""

import json

import pytest

import catlite

PAID = ("--model", "test-model", "--n", "2")


@pytest.fixture
def questions(tmp_path, server):
    server.reply = lambda body, i: "" if "bad" in body["messages"][-1]["content"] else r"\boxed{7}"
    file = tmp_path / "questions.csv"
    file.write_text("prompt\ngood?\nbad?\nfine?\n")
    return str(file)


@pytest.mark.parametrize("ending", ["parquet", "jsonl", "csv"])
def test_the_file_has_the_references_that_there_are(run, questions, tmp_path, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow", reason="needs catlite[data]")
    out = tmp_path / "new" / f"refs.{ending}"
    code, shown, err = run("estimate", questions, *PAID, "--answer-format", "boxed", "--out", str(out))
    assert (code, shown) == (1, f"{out}: 2 references\n")
    assert err.startswith("catlite: 1 of 3 questions have no reference")
    task = catlite.from_records(out, answer="answer", id="id")
    assert [(example.id, example.prompt[-1]["content"], example.answer) for example in task] == [
        *(("1", "good?", "7"), ("3", "fine?", "7")),
    ]


def test_a_run_that_ended_early_is_written_as_far_as_it_came(run, questions, server, tmp_path):
    server.reply = r"\boxed{7}"
    out = tmp_path / "refs.jsonl"
    vote = ("--estimator", "majority", "--answer-format", "boxed", "--budget-requests", "2")
    code, _, err = run("estimate", questions, *PAID, *vote, "--out", str(out))
    assert code == 1
    assert "the budget is reached" in err
    assert [json.loads(line)["answer"] for line in out.read_text().splitlines()] == ["7", "7"]


def test_a_reference_that_was_cut_off_is_left_out_and_told(run, questions, server, tmp_path):
    server.reply = lambda body, i: {"content": "half", "finish_reason": "length" if "n" not in body else "stop"}
    code, shown, err = run("estimate", questions, *PAID, "--out", str(tmp_path / "refs.jsonl"))
    assert (code, shown) == (1, "")
    assert err.splitlines() == [
        "catlite: 3 of 3 left out: cut off, or abstained",
        f"catlite: no reference, so {tmp_path / 'refs.jsonl'} is not written",
    ]


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("refs.xlsx", 2, ".parquet, .jsonl, .csv"),
        ("folder.csv", 2, "not a file"),
        ("questions.csv/refs.csv", 1, "written"),
        ("questions.csv", 2, "is the file of questions"),
    ],
)
def test_a_path_that_cannot_be_written_is_told_before_anything_is_sent(
    run, questions, server, tmp_path, name, code, message
):
    (tmp_path / "folder.csv").mkdir()
    done = run("estimate", questions, *PAID, "--out", str(tmp_path / name))
    assert (done[0], done[1], done[2].count("\n"), server.requests) == (code, "", 1, [])
    assert message in done[2]


def test_a_disk_that_is_full_at_the_end_loses_nothing(run, questions, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    code, shown, err = run("estimate", questions, *PAID, "--out", str(tmp_path / "refs.jsonl"))
    assert code == 1
    assert [json.loads(line)["text"] for line in shown.splitlines()] == [r"\boxed{7}", "", r"\boxed{7}"]
    assert "No space left" in err
