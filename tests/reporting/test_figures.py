"""Marks of a report's figures stand where their numbers are."""

import pytest

from catlite.reporting import figures
from catlite.reporting.figures import Axis


def bar(name, value, se=None):
    return {"name": name, "value": value, "se": se}


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        ([], ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ([0.31, 0.69], ["0.3", "0.4", "0.5", "0.6", "0.7"]),
        ([-0.04, 0.021], ["-0.04", "-0.02", "0", "0.02", "0.04"]),
        ([0.0, 1234.0], ["0", "500", "1000", "1500"]),
        ([0.5, 0.5], ["0", "1"]),
        ([-0.7, -0.2], ["-0.7", "-0.6", "-0.5", "-0.4", "-0.3", "-0.2"]),
        ([float("nan"), None, 3.0], ["3", "4"]),
    ],
)
def test_an_axis_holds_its_values_between_round_numbers(values, labels):
    assert [tick["label"] for tick in Axis.around(values).ticks] == labels


def test_scores_from_zero_to_one_keep_that_axis():
    figure = figures.bars([bar("a", 0.25, 0.1), bar("b", None)])
    assert figure["bars"][0] | {"left": 0, "width": 25, "from": 15, "to": 35} == figure["bars"][0]
    assert "left" not in figure["bars"][1]
    assert [tick["at"] for tick in figure["ticks"]] == [0, 20, 40, 60, 80, 100]


def test_bars_of_scores_below_zero_begin_at_zero():
    first, second = figures.bars([bar("a", -2.0), bar("b", 3.0)])["bars"]
    assert first["left"] + first["width"] == second["left"] == 40
    assert (first["left"], second["width"]) == (0, 60)


def test_an_interval_shows_where_zero_is():
    figure = figures.intervals([{"name": "a", "value": 0.1, "low": -0.1, "high": 0.3}])
    assert figure["zero"] == 25
    assert figure["intervals"][0] | {"at": 50, "from": 0, "to": 100} == figure["intervals"][0]
    assert "from" not in figures.intervals([{"name": "a", "value": 0.1, "low": None, "high": None}])["intervals"][0]


def test_a_stack_is_as_long_as_its_whole():
    row = {"name": "a", "whole": 0.8, "se": 0.1, "x": 0.5, "y": 0.3}
    figure = figures.stacks([row], ("x", "y"))
    assert [tick["label"] for tick in figure["ticks"]] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert figure["stacks"][0]["parts"] == [{"left": 0, "width": 50}, {"left": 50, "width": 30}]
    assert (figure["stacks"][0]["from"], figure["stacks"][0]["to"]) == (70, 90)


def test_sizes_are_spaced_by_their_logarithm_and_high_is_up():
    figure = figures.lines({"a": [(1, 0.5, None), (2, 0.7, 0.1), (8, None, None), (4, 1.0, 0.0)]})
    assert [round(size["at"]) for size in figure["sizes"]] == [0, 33, 67, 100]
    ys = [mark["y"] for mark in figure["lines"][0]["marks"]]
    assert ys == sorted(ys, reverse=True)
    assert ys[0] == figures.HEIGHT
    assert ys[-1] == 0
