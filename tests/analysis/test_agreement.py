"""Agreement figures are those of their definitions, with None left out and counted."""

import math
import random
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
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


@pytest.mark.parametrize("none", [None, math.nan, np.nan, pd.NA, pd.NaT, Decimal("nan"), np.float32("nan")], ids=repr)
def test_a_label_that_is_missing_in_any_form_is_no_label(none):
    table = with_labels([True, False, True], [True, False, none])
    assert (table.value["accuracy"], table["items"].iloc[0], table.coverage.iloc[0]) == (1.0, 2, 1.0)
    unread = with_labels([True, none, True], [True, False, True])
    assert (unread["items"].iloc[0], unread.coverage.iloc[0]) == (2, pytest.approx(2 / 3))


def test_labels_of_a_nullable_column_are_taken():
    labels = pd.Series([True, False, None], dtype="boolean")
    assert with_labels([True, False, True], labels).value["accuracy"] == 1.0
    numbers = pd.Series([1, 0, None], dtype="Int64")
    assert with_labels([True, False, True], numbers)["items"].iloc[0] == 2


def test_labels_are_not_taken_for_missing_that_are_merely_wrong():
    for wrong in ("", "nan", "NA", [True], {}, np.array([1, 0])):
        with pytest.raises(ConfigError, match="no verdict or label"):
            with_labels([True, True], [True, wrong])


def about(question, *rows):
    """A judgement of rollouts of `question`."""
    found = judgement(*rows)
    return replace(found, group=replace(found.group, example=Example(question)))


def test_intervals_are_over_questions_and_not_over_verdicts():
    # Of 20 questions the judge is right on half: on all 40 verdicts of a question, or on none.
    judged = [about(f"q{n}", *[[n % 2 == 0] * 4] * 10) for n in range(20)]
    labels = [True] * len(verdicts(judged))
    by_question, by_verdict = with_labels(verdicts(judged), labels), with_labels(list(verdicts(judged)), labels)
    width = by_question.high["accuracy"] - by_question.low["accuracy"]
    assert width == pytest.approx(2 * 1.96 * math.sqrt(0.25 / 20), rel=0.1)
    assert width > 5 * (by_verdict.high["accuracy"] - by_verdict.low["accuracy"])
    assert (by_question["items"].iloc[0], by_question.questions.iloc[0]) == (800, 20)
    assert by_question.value.equals(by_verdict.value)
    table = between({"a": judged, "b": [about(f"q{n}", *[[True] * 4] * 10) for n in range(20)]})
    assert table.accuracy_high[0] - table.accuracy_low[0] == pytest.approx(width)
    assert table.questions[0] == 20


def test_groups_of_one_question_go_together():
    judged = [about("the same", [True, False]), about("the same", [True, True]), about("another", [True])]
    assert len(set(verdicts(judged).questions)) == 2
    assert verdicts(judged) == [True, False, True, True, True]
    nameless = [replace(one, group=replace(one.group, example=Example(""))) for one in judged]
    assert len(set(verdicts(nameless).questions)) == 3


def test_one_question_has_no_interval():
    table = with_labels(verdicts([about("q", [True, False, True])]), [True, True, True])
    assert table.value["accuracy"] == pytest.approx(2 / 3)
    assert table.low.isna().all()
    assert table.high.isna().all()


def test_questions_of_items_may_be_given():
    given, labels = [True] * 6, [True, True, True, False, False, False]
    table = with_labels(given, labels, questions=["a", "a", "a", "b", "b", "b"])
    assert (table.low["accuracy"], table.high["accuracy"], table.questions.iloc[0]) == (0.0, 1.0, 2)
    with pytest.raises(ConfigError, match="6 verdicts and 2 questions"):
        with_labels(given, labels, questions=["a", "b"])


def test_many_questions_of_many_kinds_do_not_take_a_gigabyte():
    draw = random.Random(3)
    judged = [about(f"q{n}", [draw.random() < 0.7 for _ in range(draw.randint(1, 30))]) for n in range(1_000)]
    table = with_labels(verdicts(judged), [True] * len(verdicts(judged)))
    assert 0.68 < table.low["accuracy"] < table.value["accuracy"] < table.high["accuracy"] < 0.72


def test_a_judges_consistency_has_its_error_over_questions():
    once = [about(f"q{n}", *[[True] * 4] * 10) for n in range(20)]
    again = [about(f"q{n}", *[[n % 2 == 0] * 4] * 10) for n in range(20)]
    table = self_consistency([once, again])
    assert table.value["agreement"] == 0.5
    assert table.se["agreement"] == pytest.approx(0.5 * math.sqrt(20 / 19) / math.sqrt(20))
    assert (table["items"]["agreement"], table.questions["agreement"]) == (800, 20)


def test_rank_correlations_of_repeats_of_a_question_are_one():
    a = [(1, 2, 3), (1, 2, 3), (3, 2, 1)]
    b = [(1, 2, 3), (3, 2, 1), (3, 2, 1)]
    alone, together = rank_correlation(a, b), rank_correlation(a, b, questions=["x", "x", "y"])
    assert (alone.value["within"], alone.n["within"]) == (pytest.approx(1 / 3), 3)
    assert (together.value["within"], together.se["within"]) == (pytest.approx(0.5), pytest.approx(0.5))
    with pytest.raises(ConfigError, match="3 groups and 2 questions"):
        rank_correlation(a, b, questions=["x", "y"])


def test_a_reward_that_is_no_number_is_left_out_of_a_correlation():
    table = rank_correlation([(0.1, 0.2, 0.3, math.nan)], [(1, 2, 3, 0)])
    assert (table.value["within"], table.n["pooled"]) == (1.0, 3)


def test_modes_of_a_judge_are_compared_pair_by_pair():
    single = [judgement([True, False], [True, None])]
    batch = [judgement([True, True], [True, False])]
    table = between({"single": single, "batch": batch, "again": single})
    assert list(zip(table.a, table.b, strict=True)) == [("single", "batch"), ("single", "again"), ("batch", "again")]
    assert list(table.accuracy) == [pytest.approx(2 / 3), 1.0, pytest.approx(2 / 3)]
    assert list(table.coverage) == [0.75, 0.75, 0.75]


def test_judgements_of_other_questions_are_not_compared():
    """As many verdicts in another order would be compared item by item, each with one on another question."""
    about = {text: replace(made.group, example=Example(text)) for text in ("a", "b") for made in [judgement([True])]}
    a, b = (replace(judgement([met]), group=about[text]) for text, met in (("a", True), ("b", False)))
    for compare in (lambda *each: between(dict(zip("xy", each, strict=True))), lambda *each: self_consistency(each)):
        assert compare([a, b], [a, b]) is not None
        for other in ([b, a], [a]):
            with pytest.raises(ConfigError, match=r"verdicts are not on the same questions in the same order"):
                compare([a, b], other)


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
