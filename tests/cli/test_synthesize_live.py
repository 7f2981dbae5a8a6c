"""`catlite synthesize` prints the reference as it is written on a terminal, and in a pipe the same bytes at the end."""

import io
import sys
import time

import pytest
from faults import delta, sse, stream

from catlite.cli.waiting import waiting

ARGUMENTS = ("synthesize", "q", "--model", "test-model", "--n", "2")


class Terminal(io.StringIO):
    """Remembers every write."""

    def __init__(self):
        super().__init__()
        self.writes = []

    def isatty(self):
        return True

    def write(self, text):
        self.writes.append(text)
        return super().write(text)


@pytest.fixture
def on_terminal(run, monkeypatch):
    """Runs the command with a terminal as its stdout; gives (exit code, the terminal, stderr)."""

    def on_terminal():
        screen = Terminal()
        with monkeypatch.context() as patch:  # in the call: pytest puts its own stdout there before it
            patch.setattr(sys, "stdout", screen)
            code, _, err = run(*ARGUMENTS)
        return code, screen, err

    return on_terminal


def test_the_reference_is_printed_as_it_comes(on_terminal, server):
    server.reply = "The answer is \x1b[2J 42."
    code, terminal, _ = on_terminal()
    assert code == 0
    assert terminal.getvalue() == "The answer is \\x1b[2J 42.\n"
    assert len([text for text in terminal.writes if text]) > 5
    assert [bool(request.body.get("stream")) for request in server.requests] == [False, True]


def test_a_pipe_gets_the_same_at_the_end_and_nothing_is_streamed(run, server):
    server.reply = "The answer is 42."
    assert run(*ARGUMENTS)[:2] == (0, "The answer is 42.\n")
    assert not any("stream" in request.body for request in server.requests)


def test_thinking_without_an_opening_mark_is_followed_by_the_reference(on_terminal, server):
    server.script([None, stream(*sse(delta(content="hm</think>"), delta(content="42"), delta("stop"), "[DONE]"))])
    assert on_terminal()[1].getvalue() == "hm</think>42\n42\n"


def test_a_reference_that_breaks_off_leaves_its_line(on_terminal, server):
    server.script([None, stream(*sse(delta(content="It is")), ending="cut")])
    code, terminal, err = on_terminal()
    assert (code, terminal.getvalue()) == (1, "It is\n")
    assert "was not asked for again" in err


def test_what_is_waited_for_fits_a_narrow_terminal(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "48")
    with waiting(lambda: f"8 of 8 rollouts of {'a-model-with-a-name' * 5}"):
        while not screen.writes:
            time.sleep(0.01)
    line = screen.writes[0].removeprefix("\r").removesuffix("\x1b[K")
    assert line.startswith("catlite: 8 of 8 rollouts of ")
    assert len(line) < 48
