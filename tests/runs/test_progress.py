"""What is shown while one waits: by itself after two seconds where somebody looks, and never where nobody does."""

import asyncio
import io
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

import catlite
from catlite import Example, MajorityVote, Reference, ScriptedModel, Task, concurrency
from catlite.errors import ConfigError
from catlite.models.base import Traits
from catlite.runs import progress
from catlite.text import width_of

MODEL = ScriptedModel(lambda prompt, i: r"\boxed{1}", "scripted")
TASK = Task("t", tuple(Example(f"q{number}", "1", answer_format="boxed") for number in range(3)))


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """A terminal in place of stderr, and no two seconds to wait."""
    monkeypatch.setattr(progress, "DELAY_SECONDS", 0.0)
    return look_at(monkeypatch)


def look_at(monkeypatch):
    """A terminal in place of stderr, for this module alone: pytest puts its own stderr there, too."""
    screen = Terminal()
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stderr=screen, modules=sys.modules))
    return screen


async def pause(group):
    await asyncio.sleep(0.3)
    return Reference(r"\boxed{1}", "1", "pause", group)


def test_a_terminal_is_told_by_itself_and_is_left_clean(terminal):
    catlite.evaluate(TASK, MODEL, estimators=[pause], n=2)
    assert "3/3" in terminal.getvalue() or "0/3" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_estimate_and_synthesize_tell_a_terminal_too(terminal):
    catlite.estimate(TASK, MODEL, estimator=pause, n=2)
    assert "/3 [" in terminal.getvalue()
    terminal.truncate(0)
    catlite.synthesize("hi", MODEL, n=3)
    assert "catlite: 0 of 3 rollouts of scripted … 0 s" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize("call", [catlite.synthesize, catlite.estimate, catlite.evaluate])
def test_nothing_is_shown_when_progress_is_off(terminal, call):
    call("hi" if call is catlite.synthesize else TASK, MODEL, n=2, progress=False)
    assert terminal.getvalue() == ""


def test_nothing_is_shown_before_two_seconds(monkeypatch):
    assert progress.DELAY_SECONDS == 2.0
    screen = look_at(monkeypatch)
    line = progress.Line(lambda seconds: "line", 2.0, progress.on_terminal)
    line.draw()
    assert screen.getvalue() == ""
    line.started -= 2.0
    line.draw()
    assert "line" in screen.getvalue()


def test_a_pipe_is_told_nothing_by_itself(capsys, monkeypatch):
    monkeypatch.setattr(progress, "DELAY_SECONDS", 0.0)
    catlite.evaluate(TASK, MODEL, estimators=[MajorityVote(), pause], n=2)
    catlite.synthesize("hi", MODEL, n=2)
    assert capsys.readouterr().err == ""


def test_a_pipe_is_told_when_asked_to(capsys):
    catlite.synthesize("hi", MODEL, n=2, progress=True)
    assert "2 rollouts of scripted" in capsys.readouterr().err


def test_threads_beside_each_other_show_nothing(terminal):
    threads = [threading.Thread(target=catlite.synthesize, args=("hi", MODEL)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert terminal.getvalue() == ""


def test_a_function_is_told_and_nothing_is_shown(terminal):
    seen = []
    catlite.estimate(TASK, MODEL, estimator=pause, n=2, progress=lambda done, total: seen.append((done, total)))
    assert sorted(seen) == [(1, 3), (2, 3), (3, 3)]
    assert terminal.getvalue() == ""


@pytest.mark.parametrize("wrong", ["yes", 7, []])
def test_any_other_progress_is_refused(wrong):
    for call, asked in ((catlite.synthesize, "hi"), (catlite.evaluate, TASK), (catlite.estimate, TASK)):
        with pytest.raises(ConfigError, match="progress="):
            call(asked, MODEL, n=2, progress=wrong)


def test_a_terminal_that_is_gone_costs_nothing_that_is_under_way(terminal):
    terminal.close()
    assert catlite.synthesize("hi", ScriptedModel(lambda prompt, i: time.sleep(0.1) or "x"), n=2).text == "x"


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("kept", [True, False])
def test_an_interrupt_says_how_far_it_was_and_what_is_kept(tmp_path, kept):
    arrived = threading.Event()

    async def third_hangs(group):
        if group.example.prompt == "q2":
            arrived.set()
            await asyncio.sleep(60)
        return Reference("1", "1", "third_hangs", group)

    async def interrupt():
        await asyncio.to_thread(arrived.wait, 30)
        while loop_job.done < 2:  # noqa: ASYNC110 - a count has no event
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    async def estimator(group):
        nonlocal loop_job
        loop_job = concurrency.job()
        await catlite.asynthesize("asked inside", MODEL, n=1)  # what is kept stays what the outer call keeps
        if group.example.prompt == "q2":
            return (await concurrency.together([third_hangs(group), interrupt()]))[0]
        return await third_hangs(group)

    loop_job = concurrency.Job()
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            catlite.estimate(TASK, MODEL, estimator=estimator, n=2, run=tmp_path if kept else None)
    finally:
        signal.signal(signal.SIGINT, handler)
    left = f"kept in {str(tmp_path)!r}, the same call goes on" if kept else "nothing kept: pass run="
    assert str(caught.value) == f"stopped at 2 of 3; {left}"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_an_interrupt_claims_nothing_about_work_that_may_be_kept_elsewhere():
    """As that of a reward, whose replies a training keeps in its own folder."""
    assert "kept" not in concurrency.Job().stopped()
    assert concurrency.Job(kept_known=True).stopped().endswith("; nothing kept")


def test_an_interrupted_training_says_that_its_run_goes_on():
    view = pytest.importorskip("catlite.training.view").View(100, show=False)
    view.update(12, {})
    with pytest.raises(KeyboardInterrupt) as caught, view.stopping(Path("runs/x")):
        raise KeyboardInterrupt
    assert str(caught.value) == (
        "stopped at step 12 of 100; kept in 'runs/x', the same call goes on from the last checkpoint"
    )


def test_a_notebook_is_told_by_the_thread_that_waits(monkeypatch):
    """What another thread shows stands below another cell."""
    shown = []

    class Notebook:
        def __call__(self, line):
            shown.append((threading.current_thread(), line))

    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(progress, "Notebook", Notebook)
    monkeypatch.setattr(progress, "DELAY_SECONDS", 0.0)
    monkeypatch.setattr(concurrency, "TICK_SECONDS", 0.02)
    catlite.evaluate(TASK, MODEL, estimators=[pause], n=2)
    assert {thread for thread, _ in shown} == {threading.main_thread()}
    assert "/3 [" in shown[0][1]
    assert shown[-1][1] == ""


def test_a_notebooks_line_is_rewritten_and_then_taken_away(monkeypatch):
    display = pytest.importorskip("IPython.display", reason="needs catlite[notebooks]")
    shown = []

    class Handle:
        def update(self, data, raw):
            shown.append(data)

    def fake(data, raw, display_id):
        shown.append(data)
        return Handle()

    monkeypatch.setattr(display, "display", fake)
    screen = progress.Notebook()
    for line in ("1 s", "2 s", ""):
        screen(line)
    assert shown == [{"text/plain": "1 s"}, {"text/plain": "2 s"}, {"text/plain": "", "text/html": ""}]


def test_a_line_is_no_longer_than_the_terminal_is_wide(terminal, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    catlite.synthesize("hi", ScriptedModel(lambda prompt, i: "x", "a-name-of-many-words " * 20), n=1)
    lines = [part.partition("\x1b")[0] for part in terminal.getvalue().split("\r")]
    assert 40 < max(map(len, lines)) < 60
    assert lines[1].endswith(" s")


def test_a_judge_that_is_waited_for_is_named(terminal):
    judge = ScriptedModel(lambda prompt, i: '{"met": true}', "judge")
    catlite.judge(["Take zinc."], ["Names zinc."], judge)
    assert "catlite: verdicts of judge … 0 s" in terminal.getvalue()


# --- one question ---


class Anchor:
    """Writes in pieces, with a pause that lets them be shown."""

    name = "anchor"

    def __init__(self, *pieces, end=None):
        self.pieces, self.end = pieces, end

    async def sample(self, prompt, n=1, **sampling):
        return [catlite.Rollout("".join(self.pieces))]

    async def stream(self, prompt, **sampling):
        for piece in self.pieces:
            await asyncio.sleep(0.01)
            yield piece
        if self.end is not None:
            await self.end()
        yield catlite.Rollout("".join(self.pieces))


def lines(terminal):
    return [part.partition("\x1b")[0] for part in terminal.getvalue().split("\r")]


@pytest.fixture
def every_change(monkeypatch):
    monkeypatch.setattr(progress, "_REDRAW_SECONDS", 0.0)
    monkeypatch.setenv("COLUMNS", "80")


def test_rollouts_are_counted_with_their_answers_then_the_reference_is_shown_as_it_is_written(terminal, every_change):
    model = ScriptedModel(lambda prompt, i: rf"\boxed{{{40 + (i > 1)}}}", "scripted")
    catlite.synthesize("hi", model, n=4, anchor=Anchor("It is\n", "\x1b[2J ", r"\boxed{41}"), answer_format="boxed")
    shown = dict.fromkeys(line.split(" … ")[0] for line in lines(terminal))  # without the seconds, which go on
    assert [line for line in shown if line.startswith("catlite: 4")] == [
        "catlite: 4 of 4 rollouts of scripted · 40 ×2, 41 ×2",
        "catlite: 4 of 4 · 40 ×2, 41 ×2 → It is",
        r"catlite: 4 of 4 · 40 ×2, 41 ×2 → It is \x1b[2J",
        r"catlite: 4 of 4 · 40 ×2, 41 ×2 → It is \x1b[2J \boxed{41}",
    ]
    assert terminal.getvalue().endswith("\r\x1b[K")


@pytest.mark.parametrize("text", ["words " * 100, "数学" * 200, "\n" * 500, "\x00" * 300, "🙂" * 99])
def test_a_live_line_never_wraps(text, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    live = progress.Live("rollouts of a model " * 9, 8)
    for answer in (text, "b", text, *"cdefgh"):
        live.arrive(0, catlite.Rollout(text, answer))
    for delta in ("", text, text):
        live.write(delta)
        assert width_of(live.line(12.0)) <= 40


def test_failed_rollouts_are_said_to_have_failed():
    live = progress.Live("rollouts of m", 3)
    live.arrive(0, catlite.Rollout("", finish_reason="error", error="503"))
    live.arrive(1, catlite.Rollout("It is."))
    assert live.state() == "2 of 3 rollouts of m, 1 failed"


def test_a_notebook_has_a_card_on_which_model_text_is_text(monkeypatch):
    shown = []

    class Card:
        def __call__(self, html):
            shown.append((threading.current_thread(), html))

    monkeypatch.setattr(progress, "in_notebook", lambda: True)
    monkeypatch.setattr(progress, "NotebookCard", Card)
    monkeypatch.setattr(concurrency, "TICK_SECONDS", 0.005)
    monkeypatch.setattr(progress, "_REDRAW_SECONDS", 0.0)
    hostile = "<script>alert(1)</script>$x$"
    model = ScriptedModel(lambda prompt, i: rf"\boxed{{{hostile}}}", "<b>m</b>")
    catlite.synthesize("q", model, n=2, anchor=Anchor(hostile, *"abcdef"), answer_format="boxed", progress=True)
    assert {thread for thread, _ in shown} == {threading.main_thread()}
    assert shown[-1][1] == ""
    assert any("2 of 2" in html and "&lt;script&gt;" in html for _, html in shown)
    assert not any("<script" in html or "<b>m" in html for _, html in shown)
    assert all("mathjax_ignore" in html for _, html in shown[:-1])


def test_a_card_is_drawn_at_most_eight_times_a_second():
    drawn = []
    line = progress.Line(lambda seconds: f"{len(drawn)}", 0.0, drawn.append)
    for _ in range(1000):
        line.draw()
    assert len(drawn) == 1
    assert progress._REDRAW_SECONDS >= 1 / 8


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("streamed", [False, True])
def test_an_interrupt_in_the_middle_of_the_reference_keeps_the_rollouts(terminal, tmp_path, streamed):
    asked = []

    class Policy:
        name, traits = "policy", Traits(version="1")

        async def sample(self, prompt, n=1, **sampling):
            asked.append(n)
            return [catlite.Rollout("x")] * n

    async def interrupt():
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(60)

    def call(anchor):
        if streamed:
            return list(catlite.stream("q", Policy(), n=3, anchor=anchor, run=tmp_path))[-1].reference
        return catlite.synthesize("q", Policy(), n=3, anchor=anchor, run=tmp_path)

    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt, match=f"kept in {str(tmp_path)!r}, the same call goes on"):
            call(Anchor("Be", end=interrupt))
    finally:
        signal.signal(signal.SIGINT, handler)
    assert terminal.getvalue() == "" if streamed else terminal.getvalue().endswith("\r\x1b[K")
    assert call(Anchor("Better")).text == "Better"
    assert asked == [3]


def test_a_look_at_what_has_not_changed_does_not_put_off_what_has():
    state, shown = ["0 of 4"], []
    line = progress.Line(lambda seconds: state[0], 0.0, shown.append)
    line.draw()
    line._drawn -= 1.0
    line.draw()
    state[0] = "4 of 4"
    line.draw()
    assert shown == ["0 of 4", "4 of 4"]
