"""A gain is told apart by question: learned, kept, lost, never right, each beside what chance would bring."""

import itertools
import math

import pytest

from catlite import Comparison, Evaluation, Usage
from catlite.errors import ConfigError
from catlite.results import SINGLE, Row


def evaluation(*scores, n=4, repeats=1):
    """Single samples alone: for each question the scores of its rollouts, those of its repeats one after the other."""
    rows = []
    for repeat in range(repeats):
        for position, of_question in enumerate(scores):
            part = tuple(of_question[repeat * n : (repeat + 1) * n])
            known = [score for score in part if score is not None]
            mean = sum(known) / len(known) if known else None
            rows.append(Row(position, f"q{position}", SINGLE, mean, 1, Usage(), scores=part, repeat=repeat))
    return Evaluation("sums", "model", n, tuple(rows), 0.0, n_repeats=repeats)


BEFORE = evaluation((0, 0, 0, 0), (1, 1, 1, 0), (1, 1, 0, 0), (0, 0, 0, 0))
AFTER = evaluation((1, 1, 1, 1), (1, 1, 1, 1), (0, 0, 0, 0), (0, 0, 0, 0))


def test_a_question_is_learned_kept_lost_or_never_right():
    questions = Comparison(BEFORE, AFTER).by_question()
    assert questions.change.tolist() == ["learned", "kept", "lost", "never"]
    assert questions.right_before.tolist() == [0, 3, 2, 0]
    assert questions.right_after.tolist() == [4, 4, 0, 0]
    assert questions.id.tolist() == ["q0", "q1", "q2", "q3"]


def test_one_right_sample_is_enough_to_be_solved():
    questions = Comparison(evaluation((0, 0, 0, 0), (0, 1, 0, 0)), evaluation((0, 0, 0, 1), (1, 0, 0, 0))).by_question()
    assert questions.change.tolist() == ["learned", "kept"]


def test_the_parts_of_the_gain_add_up_to_the_difference_of_the_single_sample():
    comparison = Comparison(BEFORE, AFTER)
    changes = comparison.changes()
    assert changes.gain.tolist() == pytest.approx([1 / 4, 0.25 / 4, -0.5 / 4, 0])
    assert changes.gain.sum() == pytest.approx(comparison.to_frame().loc[SINGLE, "difference"])
    assert changes.questions.tolist() == [1, 1, 1, 1]
    assert changes.share.sum() == pytest.approx(1)
    assert changes.share_se.tolist() == pytest.approx([math.sqrt(0.25 * 0.75 * 4 / 3) / 2] * 4)
    assert changes.gain_se["learned"] == pytest.approx(1 / 4)


def test_what_chance_would_bring_is_the_share_of_all_ways_to_deal_the_samples_out():
    was, now = (1, 0, 0), (0, 1, 0, 0)
    expected = dict.fromkeys(("learned", "kept", "lost", "never"), 0)
    deals = list(itertools.combinations(range(7), 3))
    for deal in deals:
        samples = was + now
        first = any(samples[i] for i in deal)
        rest = any(samples[i] for i in range(7) if i not in deal)
        expected[{(1, 1): "kept", (1, 0): "lost", (0, 1): "learned"}[first, rest]] += 1 / len(deals)
    changes = Comparison(evaluation(was, n=3), evaluation(now, n=4)).changes()
    assert changes.by_chance.to_dict() == pytest.approx(expected)


def test_a_model_that_did_not_change_learns_and_loses_what_chance_says():
    changes = Comparison(BEFORE, BEFORE).changes()
    assert changes.questions.to_dict() == {"learned": 0, "kept": 2, "lost": 0, "never": 2}
    assert changes.by_chance["learned"] == changes.by_chance["lost"] > 0
    assert changes.by_chance.sum() == pytest.approx(1)


def test_all_repeats_count_and_failed_calls_do_not():
    before = evaluation((0, 0, 0, 1), (None, None, None, None), n=2, repeats=2)
    after = evaluation((1, None, 1, 1), (1, 1, 1, 1), n=2, repeats=2)
    questions = Comparison(before, after).by_question()
    (kept,) = questions.to_dict("records")
    counts = {"right_before": 1, "samples_before": 4, "right_after": 3, "samples_after": 3}
    assert kept == {"id": "q0", "change": "kept", **counts, "gain": 0.75}


def test_pass_at_n_stands_beside_the_single_sample():
    frame = Comparison(BEFORE, AFTER).to_frame()
    assert list(frame.index) == [SINGLE, "pass@4"]
    assert frame.loc["pass@4", ["before", "after", "difference"]].tolist() == [0.5, 0.5, 0.0]
    assert frame.loc["pass@4", "difference_se"] == pytest.approx(math.sqrt(2 / 3) / 2)


def test_pass_at_n_of_several_repeats_is_over_all_subsets():
    frame = Comparison(*[evaluation((1, 0, 0, 0), (0, 0, 0, 0), n=2, repeats=2)] * 2).to_frame()
    assert frame.loc["pass@2", "before"] == pytest.approx((1 - 3 / 6) / 2)


def test_scores_of_rubrics_want_a_threshold():
    comparison = Comparison(evaluation((0.2, 0.4), n=2), evaluation((0.9, 0.3), n=2))
    with pytest.raises(ConfigError, match=r"score 0\.2: say from which score .* threshold=0\.7"):
        comparison.changes()
    assert list(comparison.to_frame().index) == [SINGLE]
    assert "learned" not in str(comparison)
    assert comparison.changes(threshold=0.7).questions["learned"] == 1
    assert list(comparison.to_frame(threshold=0.7).index) == [SINGLE, "pass@2"]


def test_the_table_shows_what_changed():
    comparison = Comparison(BEFORE, AFTER)
    text = str(comparison)
    assert "learned: none, then some          1  0.250 ± 0.250      0.000  +0.250 ± 0.250" in text.replace(
        "0.057", "0.000"
    )
    assert "pass@4" in text
    assert "What the gain of a single sample is made of" in comparison._repr_html_()
