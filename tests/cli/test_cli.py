"""The command: results on stdout, errors in one line on stderr, exit codes a script can use."""

import json
import os
import subprocess
import sys

import children
import pytest
from pictures import data_url, part, png
from server import Server


def test_the_text_alone_goes_to_stdout_and_nothing_to_stderr_when_piped(run):
    assert run("synthesize", "q", "--model", "test-model", "--n", "2") == (0, "answer 0\n", "")


@pytest.mark.parametrize(
    "prompt", ['[\n  {"role": "user", "content": "Hello?"}\n]', '[{"role": "user", "content": "Hello?"}]']
)
def test_a_conversation_may_be_laid_out_in_any_way(run, server, prompt):
    assert run("synthesize", prompt, "--model", "test-model", "--n", "1")[0] == 0
    assert server.requests[0].body["messages"] == [{"role": "user", "content": "Hello?"}]


def test_a_broken_conversation_is_wrong_use(run, server):
    for prompt in ('[{"role": "user", "content": ]', '[{"a":' * 100_000):
        code, _, err = run("synthesize", prompt, "--model", "test-model")
        assert code == 2
        assert "JSON conversation" in err
    assert server.requests == []


def test_images_go_before_the_question(run, server, tmp_path):
    (tmp_path / "a.png").write_bytes(png())
    arguments = "--image", str(tmp_path / "a.png"), "--image", "https://example.org/b.png"
    assert run("synthesize", "Which bar?", *arguments, "--model", "test-model", "--n", "1")[0] == 0
    assert server.requests[0].body["messages"][0]["content"] == [
        part(data_url(png())),
        part("https://example.org/b.png"),
        {"type": "text", "text": "Which bar?"},
    ]
    code, _, err = run("synthesize", "q", "--image", str(tmp_path / "none.png"), "--model", "test-model")
    assert (code, "none.png' cannot be read: there is no such file" in err) == (2, True)


def test_json_holds_everything(run, server):
    server.reply = r"\boxed{7}"
    code, out, _ = run("synthesize", "q", "--model", "test-model", "--n", "2", "--answer-format", "boxed", "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["answer"], found["support"], len(found["rollouts"])) == ("7", [2, 2], 2)
    assert found["usage"]["cost_usd"] is None


def test_rollouts_are_shown_on_request(run):
    _, out, _ = run("synthesize", "q", "--model", "test-model", "--n", "3", "--rollouts")
    assert "answer 2" in out
    assert "2 requests" in out


def test_the_prompt_can_come_from_stdin_as_a_conversation(run, server, monkeypatch, tmp_path):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello?"}]
    (tmp_path / "prompt").write_text(json.dumps(messages))
    with (tmp_path / "prompt").open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        code, _, _ = run("synthesize", "-", "--model", "test-model", "--n", "1")
    assert code == 0
    assert server.requests[0].body["messages"] == messages


def test_input_that_is_no_text_is_wrong_use_in_every_locale(run, server, monkeypatch, tmp_path):
    (tmp_path / "prompt").write_bytes(b"a\xff")
    for errors in ("strict", "surrogateescape"):  # the latter is Python's where LANG=C
        with (tmp_path / "prompt").open(encoding="utf-8", errors=errors) as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            code, _, err = run("synthesize", "-", "--model", "test-model")
        assert (code, "the input is not utf-8" in err) == (2, True)
    assert server.requests == []


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
def test_a_stream_that_is_closed_is_an_empty_one(run, server, monkeypatch, name):
    with monkeypatch.context() as patch:
        patch.setattr(sys, name, None)
        code, *_ = run("synthesize", "-" if name == "stdin" else "q", "--model", "test-model", "--n", "1")
        getattr(sys, name).close()
    assert code == (2 if name == "stdin" else 0)


def test_an_interrupt_says_what_to_type(run, monkeypatch, tmp_path):
    def interrupted(*_, **__):
        raise KeyboardInterrupt("stopped at 1 of 3; nothing kept: pass run=")

    (tmp_path / "rows.csv").write_text("prompt\nq\n")
    monkeypatch.setattr("catlite.estimate", interrupted)
    code, _, err = run("estimate", str(tmp_path / "rows.csv"), "--model", "test-model")
    assert (code, err) == (130, "catlite: stopped at 1 of 3; nothing kept: pass --run\n")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("synthesise", "q"),
        ("synthesize",),
        ("synthesize", ""),
        ("synthesize", "q", "--n", "many"),
        ("synthesize", "q", "--n", "0"),
        ("synthesize", "q", "--model", "test-model", "--temperature", "-1"),
        ("synthesize", "q", "--model", "test-model", "--base-url", "nowhere"),
        ("demo", "--questions", "0"),
        ("evaluate", "maths"),
        ("evaluate", "times_tables", "--estimators", "magic", "--model", "test-model"),
        ("evaluate", "times_tables", "--budget-usd", "0", "--model", "test-model"),
        ("evaluate", "times_tables", "--n-repeats", "0", "--model", "test-model"),
        ("evaluate", "times_tables", "--answer", "gold", "--model", "test-model"),
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(run, server, arguments):
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("catlite: ")
    assert err.count("\n") == 1
    assert server.requests == []


def test_a_dry_run_before_the_file_is_told_where_it_goes(run):
    code, _, err = run("evaluate", "--dry-run", "sums.csv")
    assert code == 2
    assert "'sums.csv' is not a number of questions: write --dry-run after the task or the file" in err


def test_several_models_share_the_rollouts(run, server, file):
    server.models, server.reply = None, r"\boxed{7}"
    questions = str(file("q.csv", "prompt,answer\nWhat?,7\n"))
    several = ("--model", "org/a=2", "--model", "b=1", "--n", "3", "--base-url", server.url, "--answer-format", "boxed")
    for command in (("synthesize", "q", "--json"), ("estimate", questions), ("evaluate", questions)):
        server.requests.clear()
        assert run(*command, *several)[0] == 0
        asked = [(request.body["model"], request.body.get("n", 1)) for request in server.requests]
        assert sorted(asked) == ([("b", 1), ("org/a", 1), ("org/a", 2)])  # the anchor is the first to have a turn
    code, _, err = run("synthesize", "q", "--model", "a", "--model", "a=3")
    assert (code, "has 'a' twice: write it once" in err) == (2, True)


def test_several_base_urls_are_replicas_of_the_model(run, server, file):
    questions = str(file("q.csv", "prompt\nWhat?\nWhen?\nWho?\n"))
    with Server("42", key=None) as second:
        urls = ("--base-url", server.url, "--base-url", second.url)
        assert run("estimate", questions, "--model", "test-model", "--n", "2", *urls)[0] == 0
        assert run("synthesize", "q", "--model", "test-model", "--n", "2", *urls)[0] == 0
        assert server.statuses[200] > 1
        assert second.statuses[200] > 1
    code, _, err = run("synthesize", "q", "--model", "test-model", "--base-url", server.url, "--base-url", server.url)
    assert (code, f"{server.url} is in --base-url twice" in err) == (2, True)


def test_failure_is_one_line_and_exit_code_1(run):
    code, out, err = run("synthesize", "q", "--model", "gpt-9")
    assert (code, out) == (1, "")
    assert "gpt-9" in err
    assert err.count("\n") == 1


def test_rollouts_that_were_paid_for_are_shown_before_the_error(run, server):
    server.reply = lambda body, i: {"content": None} if "<attempt-" in body["messages"][-1]["content"] else "paid for"
    code, _, err = run("synthesize", "q", "--model", "test-model", "--n", "2")
    assert code == 1
    assert err.count("paid for") == 2
    assert err.splitlines()[-1].startswith("catlite: the anchor 'test-model' gave no synthesis")


def test_a_truncated_synthesis_is_noted_on_stderr(run, server):
    server.reply = lambda body, i: {"content": "half a", "finish_reason": "length" if "n" not in body else "stop"}
    code, out, err = run("synthesize", "q", "--model", "test-model", "--n", "2")
    assert (code, out) == (0, "half a\n")
    assert "cut off" in err


def test_synthesize_stops_at_its_budget_and_goes_on_from_its_run(run, server, tmp_path):
    arguments = ("synthesize", "q", "--model", "test-model", "--n", "2", "--run", str(tmp_path))
    code, out, err = run(*arguments, "--budget-requests", "1")
    assert (code, out, len(server.requests)) == (1, "", 1)
    assert "answer 1" in err  # what was paid for
    assert "the budget is reached" in err
    code, out, _ = run(*arguments, "--budget-requests", "2")
    assert (code, out, len(server.requests)) == (0, "answer 0\n", 2)
    code, _, err = run(*arguments, "--budget-usd", "0.01")
    assert (code, len(server.requests)) == (2, 2)
    assert "--budget-usd 0.01" in err  # the test server has no price


def test_a_file_of_questions_becomes_a_file_of_references(run, server, tmp_path):
    server.reply = lambda body, i: "re: " + body["messages"][-1]["content"]
    questions = tmp_path / "questions.csv"
    questions.write_text("id,question\na,one?\nb,two?\n")
    arguments = ("estimate", str(questions), "--prompt", "question", "--model", "test-model", "--n", "2")
    code, out, err = run(*arguments, "--estimator", "best-of-n", "--run", str(tmp_path / "run"))
    assert code == 1  # a judge that only echoes makes no choice
    assert "2 of 2 questions have no reference" in err
    code, out, err = run(*arguments, "--run", str(tmp_path / "run"))
    assert (code, err) == (0, "")
    assert len([json.loads(line)["text"] for line in out.splitlines()]) == 2
    sent = len(server.requests)
    assert run(*arguments, "--run", str(tmp_path / "run"))[1] == out
    assert len(server.requests) == sent


@pytest.mark.parametrize("file", ["nowhere.csv", __file__])
def test_a_file_that_cannot_be_read_is_one_line_and_exit_code_1(run, server, file):
    code, out, err = run("estimate", file, "--model", "test-model")
    assert (code, out, err.count("\n"), server.requests) == (1, "", 1, [])


def test_evaluate_prints_a_table_and_stops_at_its_budget(run, server, tmp_path):
    server.reply = "6 times 7 is 42."
    arguments = ("evaluate", "times_tables", "--limit", "6", "--model", "test-model", "--n", "2")
    code, out, _ = run(*arguments, "--estimators", "majority", "--run", str(tmp_path), "--budget-requests", "4")
    assert code == 1
    assert "Stopped early: the budget is reached" in out
    code, out, _ = run(*arguments, "--estimators", "majority", "--run", str(tmp_path), "--json")
    assert code == 0
    assert [row["system"] for row in json.loads(out)] == ["single sample", "MajorityVote"]
    assert len(server.requests) == 6
    named = ("--estimators", "majority", "--estimators", "synthesis")
    out = run(*arguments, *named, "--run", str(tmp_path), "--json")[1]
    assert [row["system"] for row in json.loads(out)] == ["single sample", "MajorityVote", "Synthesis"]


def test_an_option_is_not_guessed_from_its_beginning(run, server):
    code, _, err = run("evaluate", "times_tables", "--model", "test-model", "--estimator", "majority")
    assert (code, err.count("\n"), server.requests) == (2, 1, [])
    assert "unrecognized arguments: --estimator majority" in err


def test_a_local_task_file_is_evaluated(run, server, tmp_path):
    server.reply = r"It is \boxed{5}."
    row = {"problem": "2+3?", "solution": "s", "answer": "5", "subject": "Algebra", "level": 1, "unique_id": "t/1"}
    (tmp_path / "math.jsonl").write_text(json.dumps(row) + "\n")
    code, out, _ = run(
        "evaluate", "math500", "--path", str(tmp_path / "math.jsonl"), "--model", "test-model", "--n", "2"
    )
    assert code == 0
    assert "1.000" in out


def test_a_file_of_ones_own_is_evaluated_with_repeats(run, server, tmp_path):
    server.reply = lambda body, i: rf"\boxed{{{body['seed'] + i}}}"
    (tmp_path / "sums.csv").write_text("question,result,key\n1+1?,2,a\n2+2?,4,b\n")
    columns = ("--prompt", "question", "--answer", "result", "--id", "key", "--answer-format", "boxed")
    arguments = ("evaluate", str(tmp_path / "sums.csv"), *columns, "--model", "test-model", "--n", "2", "--seed", "1")
    code, out, _ = run(*arguments, "--n-repeats", "2", "--estimators", "majority", "--json")
    assert code == 0
    single, vote = json.loads(out)
    # Answers of a question: 1, 2 and then 3, 4.
    assert (single["score"], vote["score"], single["questions"], single["requests"]) == (0.25, 0, 2, 4)


def test_log_probabilities_are_asked_for_when_an_estimator_needs_them(run, server):
    run("evaluate", "times_tables", "--limit", "1", "--model", "test-model", "--estimators", "min-perplexity")
    assert server.requests[0].body["logprobs"] is True


COMMANDS = ("synthesize", "estimate", "evaluate", "train", "demo-train", "rubric", "judge", "report", "demo")


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_examples_of_its_own_command_only(run, command):
    code, out, _ = run(command, "--help")
    shown = out[out.index("examples:") :]
    assert code == 0
    assert {word for word in COMMANDS if f"catlite {word} " in shown + " " or f"catlite {word}\n" in shown} == {command}


@pytest.mark.parametrize("command", [(), *((name,) for name in COMMANDS)])
def test_help_fits_80_columns_and_breaks_no_word(run, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    _, out, _ = run(*command, "--help")
    assert [line for line in out.splitlines() if len(line) > 80] == []
    options = {word.strip("[],") for word in out.split() if word.strip("[").startswith("--")}
    assert not any(option.endswith("-") for option in options)
    if command in (("estimate",), ("evaluate",), ("train",)):
        assert "mutual-predictability" in out


def test_help_of_all_lists_a_command_a_line(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(f"\n    {name}" in out for name in COMMANDS)


def test_a_reader_that_leaves_early_is_no_traceback(server):
    server.reply = "long line\n" * 50_000
    command = [sys.executable, "-m", "catlite", "synthesize", "q", "--model", "test-model", "--n", "1"]
    environment = {**os.environ, "OPENAI_API_KEY": server.key, "OPENAI_BASE_URL": server.url}
    with children.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
