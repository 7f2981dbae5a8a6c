"""The command: results on stdout, errors in one line on stderr, exit codes a script can use."""

import json
import os
import subprocess
import sys

import pytest

from catlite import cli


@pytest.fixture
def run(server, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", server.key)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)

    def run(*arguments):
        try:
            code = cli.main(arguments)
        except SystemExit as exit_:  # argparse's own way out
            code = exit_.code
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_the_text_alone_goes_to_stdout_and_nothing_to_stderr_when_piped(run):
    assert run("synthesize", "q", "--model", "test-model", "--n", "2") == (0, "answer 0\n", "")


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
    ],
)
def test_wrong_use_is_one_line_and_exit_code_2(run, server, arguments):
    code, out, err = run(*arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("catlite: ")
    assert err.count("\n") == 1
    assert server.requests == []


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


@pytest.mark.parametrize("command", [(), ("synthesize",), ("demo",)])
def test_help_teaches_by_example(run, command):
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert "catlite demo" in out


def test_a_reader_that_leaves_early_is_no_traceback(server):
    server.reply = "long line\n" * 50_000
    command = [sys.executable, "-m", "catlite.cli", "synthesize", "q", "--model", "test-model", "--n", "1"]
    environment = {**os.environ, "OPENAI_API_KEY": server.key, "OPENAI_BASE_URL": server.url}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        process.stdout.read(10)
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
