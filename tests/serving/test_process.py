"""`catlite serve` as a program: how it starts, and how it ends."""

import re
import signal
import socket
import sys
import threading

import children
import httpx
import pytest
from serving_help import question

from catlite.cli.main import main
from catlite.serving.process import check_host, listen


@pytest.fixture
def start(server, monkeypatch):
    """Starts `catlite serve` in front of the local server; gives the process and its URL."""
    monkeypatch.setenv("OPENAI_API_KEY", server.key)

    def start(*arguments):
        command = [sys.executable, "-m", "catlite", "serve", "test-model", "--base-url", server.url, *arguments]
        process = children.start(command, stderr=children.subprocess.PIPE, text=True)
        url = re.search(r"at (http://127\.0\.0\.1:\d+/v1)", process.stderr.readline())[1]
        return process, url

    return start


def test_a_signal_ends_it_when_what_is_under_way_is_answered(server, start, tmp_path):
    process, url = start("--port", "0", "--n", "2", "--run", str(tmp_path))
    before = [httpx.post(f"{url}/chat/completions", json=question(text="Before?"), timeout=60) for _ in range(2)]
    assert [reply.json()["usage"]["total_tokens"] > 0 for reply in before] == [True, False]  # the run has the second
    server.latency = 0.5
    replies = []
    ask = threading.Thread(
        target=lambda: replies.append(httpx.post(f"{url}/chat/completions", json=question(), timeout=60))
    )
    ask.start()
    server.wait(lambda server: server.in_flight)
    process.terminate()
    ask.join()
    with process:
        assert process.wait() == 0
        log = process.stderr.read()
    assert replies[0].json()["choices"][0]["message"]["content"] == "answer 0"
    counts = re.findall(r"cat/test-model: 200, (\d requests?) in \d+\.\d s", log)
    # The anchor sees no question: asked for the same attempts, its reply is in the run.
    assert counts == ["2 requests", "0 requests", "1 request"]
    assert "Traceback" not in log


def test_a_port_in_use_ends_it_with_a_message(server, monkeypatch, capsys):
    monkeypatch.setenv("OPENAI_API_KEY", server.key)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["serve", "test-model", "--base-url", server.url, "--port", str(port)]) == 1
    assert capsys.readouterr().err == (
        f"catlite: 127.0.0.1:{port} is in use by another program: stop it, or choose another --port …\n"
    )


def test_a_run_that_another_process_has_ends_it_with_a_message_and_ctrl_c_the_other(
    server, start, tmp_path, monkeypatch, capsys
):
    process, _ = start("--port", "0", "--run", str(tmp_path / "run"))
    code = main(["serve", "test-model", "--base-url", server.url, "--port", "0", "--run", str(tmp_path / "run")])
    process.send_signal(signal.SIGINT)
    with process:
        assert process.wait() == 130
    assert code == 1
    assert "run" in capsys.readouterr().err


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.org", ""])
def test_others_are_let_in_with_a_key_only(monkeypatch, capsys, host):
    monkeypatch.delenv("CATLITE_SERVE_KEY", raising=False)
    assert main(["serve", "m", "--base-url", "http://127.0.0.1:9/v1", "--host", host]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"catlite: --host {host}")
    assert "CATLITE_SERVE_KEY" in error
    check_host(host, has_key=True)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_this_machine_needs_no_key(host):
    check_host(host, has_key=False)


def test_an_address_of_another_machine_is_told():
    with pytest.raises(OSError, match="cannot be listened on"):
        listen("192.0.2.1", 0)
    with pytest.raises(OSError, match=r"^no\.such\.invalid:0 cannot be listened on: (?!Unknown error)[^(]+$"):
        listen("no.such.invalid", 0)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--budget-usd", "1"], "needs max_tokens|needs --max-tokens"),
        (["--base-url", "http://127.0.0.1:9/v1?key=sk-0123456789"], "has a query"),
        (["--n", "65"], "--n 65"),
        (["--port", "x"], "--port"),
        (["m2", "--panel", "m"], "--panel m: a model that is served has this name"),
        (["--allow-origin", "http://localhost:3000/"], "without a path or a slash at its end"),
        (["--port", "70000"], "--port 70000: want a whole number from 0 to 65535"),
    ],
)
def test_wrong_use_is_told(monkeypatch, capsys, arguments, word):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    try:
        code = main(["serve", "m", *arguments])
    except SystemExit as exit_:
        code = exit_.code
    error = capsys.readouterr().err
    assert code == 2
    assert re.search(word, error)
    assert "0123456789" not in error
