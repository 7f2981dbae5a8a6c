"""`catlite estimate --engine ray`: what goes to Ray, and what is told before anything is."""

import pytest

from catlite.references.dataset import References
from catlite.scale import ray_data


@pytest.fixture
def questions(tmp_path):
    file = tmp_path / "questions.csv"
    file.write_text("prompt\nWhy?\n")
    return str(file)


def test_the_settings_of_the_command_line_reach_ray(run, questions, tmp_path, monkeypatch):
    calls = []

    def estimate(task, model, **settings):
        calls.append((task, model, settings))
        return References()

    monkeypatch.setattr(ray_data, "estimate", estimate)
    ray = ("--engine", "ray", "--address", "10.0.0.5:6379", "--actors", "3", "--run", str(tmp_path / "run"))
    code, _, err = run("estimate", questions, "--model", "test-model", "--n", "2", "--budget-requests", "9", *ray)
    assert (code, err) == (0, "")
    ((task, model, settings),) = calls
    assert (len(task), model.name, settings["n"], settings["budget"].requests) == (1, "test-model", 2, 9)
    assert (settings["address"], settings["actors"], settings["run"]) == ("10.0.0.5:6379", 3, str(tmp_path / "run"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--engine", "ray"), "--engine ray needs --run"),
        (("--address", "10.0.0.5:6379"), "--address goes with --engine ray"),
        (("--actors", "2"), "--actors goes with --engine ray"),
    ],
)
def test_options_that_do_not_go_together_are_told(run, questions, server, options, message):
    code, _, err = run("estimate", questions, "--model", "test-model", *options)
    assert (code, err.count("\n"), server.requests) == (2, 1, [])
    assert message in err
