"""Agreement figures are those of their definitions, with None left out and counted."""

import math
import random

import pytest

from catlite import Criterion, Example, Group, Judgement, Rollout, Rubric
from catlite.analysis.agreement import between, rank_correlation, self_consistency, verdicts, with_labels
from catlite.criteria import Verdict
from catlite.errors import ConfigError


def judgement(*rows):
    rubric = Rubric(tuple(Criterion(f"c{n}") for n in range(len(rows[0]))))
    found = tuple(tuple(Verdict(c, met) for c, met in zip(rubric.criteria, row, strict=True)) for row in rows)
    rewards = tuple(rubric.score(row) for row in rows)
    return Judgement(Group(Example("q"), (Rollout("r"),) * len(rows)), rubric, found, rewards, "judge")


def test_figures_against_labels_are_those_of_their_definitions():
    # 20 yes-yes, 5 only the judge, 10 only the label, 15 no-no: kappa 0.4 is the textbook's example
    given = [True] * 20 + [True] * 5 + [False] * 10 + [False] * 15
    labels = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    table = with_labels(given, labels)
    assert table.value["accuracy"] == 0.7
    assert table.value["kappa"] == pytest.approx(0.4)
    assert table.value["balanced_f1"] == pytest.approx((40 / 55 + 30 / 45) / 2)
    assert all(table.low < table.value)
    assert all(table.value < table.high)
    spread = math.sqrt(0.7 * 0.3 / 50)
    assert table.high["accuracy"] - table.low["accuracy"] == pytest.approx(2 * 1.96 * spread, rel=0.1)
    assert table.equals(with_labels(given, labels))


def test_verdicts_that_could_not_be_had_are_counted_and_not_taken_for_no():
    table = with_labels([True, None, None, False], [True, True, False, None])
    assert table.value["accuracy"] == 1.0
    assert (table["items"].iloc[0], table.coverage.iloc[0]) == (1, pytest.approx(1 / 3))


def test_kappa_of_two_who_always_say_yes_is_not_defined():
    table = with_labels([True] * 4, [True] * 4)
    assert math.isnan(table.value["kappa"])
    assert table.value["balanced_f1"] == 1.0


@pytest.mark.parametrize("labels", [[True], [None, None]])
def test_labels_that_do_not_fit_are_refused(labels):
    with pytest.raises(ConfigError):
        with_labels([True, False], labels)


@pytest.mark.parametrize("label", ["yes", "no", 0.2, 7])
def test_a_label_that_is_neither_yes_nor_no_is_refused(label):
    with pytest.raises(ConfigError, match="no verdict or label"):
        with_labels([True], [label])


def test_labels_of_a_data_frame_are_taken():
    assert with_labels([True, False, True], [1, 0, math.nan]).value["accuracy"] == 1.0


def test_modes_of_a_judge_are_compared_pair_by_pair():
    single = [judgement([True, False], [True, None])]
    batch = [judgement([True, True], [True, False])]
    table = between({"single": single, "batch": batch, "again": single})
    assert list(zip(table.a, table.b, strict=True)) == [("single", "batch"), ("single", "again"), ("batch", "again")]
    assert list(table.accuracy) == [pytest.approx(2 / 3), 1.0, pytest.approx(2 / 3)]
    assert list(table.coverage) == [0.75, 0.75, 0.75]


def test_a_judge_that_repeats_itself_is_consistent():
    once = [judgement([True, False, None])]
    other = [judgement([True, True, True])]
    assert verdicts(once) == [True, False, None]
    assert list(self_consistency([once, once]).value) == [1.0, 1.0]
    table = self_consistency([once, once, other])
    assert table.value["agreement"] == pytest.approx((1 + 1 / 3) / 2)
    assert (table.value["unanimous"], table["items"]["unanimous"]) == (0.5, 2)


def test_rewards_that_order_alike_correlate_within_groups():
    a = [(0.1, 0.5, 0.9), (0.0, 0.2, 0.4)]
    b = [(1.0, 2.0, 3.0), (30.0, 20.0, 10.0)]
    table = rank_correlation(a, b)
    assert (table.value["within"], table.se["within"], table.n["within"]) == (0.0, 1.0, 2)
    assert table.n["pooled"] == 6


def test_a_group_without_variance_says_nothing():
    table = rank_correlation([(0.5, 0.5, 0.5), (0.1, 0.2, None)], [(1, 2, 3), (1, 2, 3)])
    assert math.isnan(table.value["within"])
    assert table.n["within"] == 0


def test_independent_rewards_do_not_correlate():
    draw = random.Random(0)
    a, b = ([[draw.random() for _ in range(8)] for _ in range(200)] for _ in range(2))
    table = rank_correlation(a, b)
    assert abs(table.value["within"]) < 4 * table.se["within"]
