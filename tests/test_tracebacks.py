"""An error shows the caller's own lines and its message; the frames of catlite come back on request."""

import asyncio
import os
import re
import sys
import traceback

import children
import pytest

import catlite
from catlite import Example, ScriptedModel, Task, concurrency, tracebacks
from catlite.errors import ConfigError, EstimationError

MODEL = ScriptedModel(lambda prompt, i: r"\boxed{1}")
TASK = Task("t", (Example("q", "1", answer_format="boxed"),))
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def functions(error):
    return [frame.name for frame in traceback.extract_tb(error.__traceback__)]


def test_an_error_of_catlite_loses_the_frames_of_the_event_loop():
    with pytest.raises(ConfigError) as caught:
        catlite.synthesize("hi", MODEL, temprature=1)
    assert functions(caught.value)[1:] == ["call", "run"]


def test_the_callers_own_functions_stay_in_the_traceback():
    async def failing(group):
        raise EstimationError("no 404", group)

    async def wrong(group):
        raise TypeError("mine")

    with pytest.raises(TypeError) as caught:
        catlite.evaluate(TASK, MODEL, estimators=[wrong])
    assert functions(caught.value)[1:] == ["call", "run", "wrong"]


def test_what_goes_wrong_below_the_callers_function_stays_too():
    async def wrong(group):
        return int("one")

    async def foreign(group):
        import json

        return json.loads("{")

    for estimator, last in ((wrong, "wrong"), (foreign, "raw_decode")):
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - which one is not the point
            catlite.evaluate(TASK, MODEL, estimators=[estimator])
        assert functions(caught.value)[-1] == last


def test_all_frames_stay_when_the_environment_asks_for_them(monkeypatch):
    monkeypatch.setenv("CATLITE_TRACEBACK", "full")
    with pytest.raises(ConfigError) as caught:
        catlite.synthesize("hi", MODEL, temprature=1)
    assert {"asynthesize", "check_sampling"} <= set(functions(caught.value))


def test_an_interrupt_is_rendered_in_a_few_lines():
    error = tracebacks.interrupted("stopped at 23 of 50; nothing kept: pass run=")
    assert isinstance(error, KeyboardInterrupt)
    assert error._render_traceback_() == ["KeyboardInterrupt: stopped at 23 of 50; nothing kept: pass run="]


def test_control_characters_of_a_message_are_shown_and_not_obeyed():
    (line,) = ConfigError("a model wrote \x1b[2J\nand more")._render_traceback_()
    assert line == "ConfigError: a model wrote \\x1b[2J\nand more"


CELL = """
import catlite
def ask():
    return catlite.synthesize("hi", catlite.ScriptedModel(lambda prompt, i: "x"), temprature=1)
ask()
"""


def cell(code, **environment):
    """What IPython prints for a cell."""
    pytest.importorskip("IPython", reason="needs catlite[notebooks]")
    command = [sys.executable, "-m", "IPython", "--quick", "--no-confirm-exit", "--colors=nocolor", "-c", code]
    done = children.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    return COLOURS.sub("", done.stdout)


def test_ipython_shows_the_lines_of_the_cell_and_the_message(tmp_path):
    lines = cell(CELL, IPYTHONDIR=str(tmp_path)).split("\n")
    assert [line.strip() for line in lines if line.startswith("---->")] == [
        "----> ask()",
        '----> return catlite.synthesize("hi", catlite.ScriptedModel(lambda prompt, i: "x"), temprature=1)',
    ]
    assert "did you mean temperature?" in "".join(lines)
    assert len(lines) < 12
    assert not any("catlite/" in line for line in lines)


def test_ipython_shows_all_frames_when_asked_to(tmp_path):
    shown = cell(CELL, IPYTHONDIR=str(tmp_path), CATLITE_TRACEBACK="full")
    assert "check_sampling" in shown


def test_ipython_shows_all_frames_at_the_second_look(tmp_path):
    code = f"try:\n    get_ipython().run_cell({CELL!r})\nfinally:\n    get_ipython().run_line_magic('tb', '')"
    first, _, second = cell(code, IPYTHONDIR=str(tmp_path)).partition("did you mean temperature?")
    assert "concurrency.py" not in first
    assert "concurrency.py" in second


# --- warnings ---


def test_a_warning_points_at_the_callers_line():
    from catlite.errors import OwnJudgeWarning

    with pytest.warns(OwnJudgeWarning) as caught:
        catlite.evaluate(TASK, MODEL, grader=catlite.ModelAsJudge(MODEL), n=2)
    assert [warning.filename for warning in caught if warning.category is OwnJudgeWarning] == [__file__]


def test_a_warning_points_at_the_callers_line_in_awaited_work():
    async def work():
        concurrency.warn("look here", UserWarning)

    with pytest.warns(UserWarning, match="look here") as caught:
        asyncio.run(work())
    assert caught[0].filename == __file__


def test_a_warning_from_an_estimator_points_into_the_estimator():
    async def warning(group):
        concurrency.warn("look here", UserWarning)  # the line that is meant
        return catlite.Reference("1", "1", "warning", group)

    with pytest.warns(UserWarning, match="look here") as caught:
        catlite.estimate(TASK, MODEL, estimator=warning, n=2)
    assert (caught[0].filename, caught[0].lineno) == (__file__, warning.__code__.co_firstlineno + 1)
