"""The commands around rubrics: `catlite rubric` writes what `catlite judge` reads."""

import json

import pytest

CRITERIA = [f"The response names the part of zinc with number {number}." for number in range(5)]


def test_a_rubric_is_written_as_json(run, server):
    server.reply = json.dumps({"criteria": CRITERIA})
    code, out, err = run("rubric", "Zinc has five parts.", "--model", "test-model")
    assert (code, json.loads(out), err) == (0, CRITERIA, "")
    assert "Zinc has five parts." in server.requests[0].body["messages"][0]["content"]


def test_what_is_no_rubric_fails_with_the_reply(run, server):
    server.reply = "I would rather not."
    code, out, err = run("rubric", "Zinc.", "--model", "test-model")
    assert (code, out) == (1, "")
    assert "I would rather not." in err


@pytest.mark.parametrize(
    "content", [json.dumps(CRITERIA[:2]), "\n".join(CRITERIA[:2]), json.dumps({"criteria": CRITERIA[:2]})]
)
def test_responses_are_judged_by_a_file_of_criteria(run, server, file, content):
    server.reply = lambda body, i: json.dumps({"reason": "r", "met": "number 0" in body["messages"][0]["content"]})
    rubric = str(file("rubric.json" if content[0] in "[{" else "rubric.txt", content))
    code, out, _ = run("judge", rubric, "zinc", "iron", "--judge", "test-model")
    assert code == 0
    assert "0.50  0.50  reward" in out
    _, out, _ = run("judge", rubric, "zinc", "--judge", "test-model", "--json")
    (response,) = json.loads(out)["responses"]
    assert response["reward"] == 0.5
    assert response["verdicts"][0] == {"met": True, "probability": None, "reason": "r"}


@pytest.mark.parametrize("line", [f'"{CRITERIA[0]}"', "42"])
def test_a_line_of_text_that_is_json_by_chance_is_a_criterion(run, server, file, line):
    server.reply = '{"reason": "r", "met": true}'
    _, out, _ = run("judge", str(file("rubric.txt", line)), "zinc", "--judge", "test-model", "--json")
    assert json.loads(out)["criteria"] == [line]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "is not JSON"),
        ("[1", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"criteria": null}', "is empty"),
        ("[1]", "is no rubric"),
        ('{"a": 1}', "is no rubric"),
    ],
)
def test_a_file_that_is_no_rubric_is_wrong_use(run, server, file, content, why):
    code, _, err = run("judge", str(file("rubric.json", content)), "zinc", "--judge", "test-model")
    assert code == 2
    assert why in err
    assert server.requests == []


def test_a_judge_that_is_fooled_is_a_failure(run, server):
    server.reply = '{"reason": "r", "met": true}'
    code, out, _ = run("judge", "--probe", "--judge", "test-model")
    assert code == 1
    assert "fooled" in out
    assert "an order to the judge" in out


def health(file):
    rubrics = [
        {"criterion": "names zinc", "points": 5, "tags": []},
        {"criterion": "names iron", "points": -2, "tags": []},
    ]
    rows = [
        {"prompt_id": f"h{n}", "prompt": [{"role": "user", "content": "Zinc?"}], "rubrics": rubrics, "example_tags": []}
        for n in range(2)
    ]
    return str(file("health.jsonl", "\n".join(map(json.dumps, rows))))


def test_healthbench_is_graded_by_its_experts_rubrics(run, server, file):
    server.reply = lambda body, i: (
        json.dumps({"reason": "r", "met": "[5]" in text})
        if "Criterion:" in (text := body["messages"][0]["content"])
        else "zinc"
    )
    server.models = ("policy", "judge")
    arguments = ("--path", health(file), "--model", "policy", "--judge", "judge", "--n", "2", "--json")
    code, out, _ = run("evaluate", "healthbench", *arguments)
    assert code == 0
    assert {row["system"]: row["score"] for row in json.loads(out)} == {"single sample": 1.0, "Synthesis": 1.0}
    assert {request.body["model"] for request in server.requests} == {"policy", "judge"}


def test_healthbench_without_a_judge_is_wrong_use(run, server, file):
    code, _, err = run("evaluate", "healthbench", "--path", health(file), "--model", "policy")
    assert code == 2
    assert "--judge is missing" in err
    assert server.requests == []


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--probe", "rubric.txt", "zinc"), "leave out the rubric and the responses"),
        (("rubric.txt", "-", "-"), "stdin can be read once"),
        (("empty.txt", "zinc"), "'empty.txt' is empty: write a criterion on each line"),
        (("latin.txt", "zinc"), "'latin.txt' is not UTF-8: byte 1"),
    ],
)
def test_what_cannot_be_judged_is_said_before_anything_is_sent(run, server, tmp_path, monkeypatch, arguments, why):
    monkeypatch.chdir(tmp_path)
    for name, content in (("rubric.txt", b"It names zinc."), ("empty.txt", b" \n"), ("latin.txt", b"f\xfcnf")):
        (tmp_path / name).write_bytes(content)
    code, _, err = run("judge", *arguments, "--judge", "test-model")
    assert (code, server.requests) == (2, [])
    assert why in err


def test_a_judge_that_gives_no_verdict_at_all_is_a_failure(run, server, file):
    server.reply = "Hard to say."
    code, out, err = run("judge", str(file("rubric.txt", "It names zinc.")), "zinc", "--judge", "test-model")
    assert code == 1
    assert "1 of 1 verdicts could not be had" in out
    assert "catlite: no verdict could be had: " in err


def test_more_criteria_may_be_asked_for_than_a_rubric_usually_has(run, server):
    server.reply = json.dumps([f"The response names the part of zinc with number {number}." for number in range(25)])
    code, out, _ = run("rubric", "Zinc.", "--model", "test-model", "--fewest", "21")
    assert (code, len(json.loads(out))) == (0, 21)
