"""Majority vote counts equivalent answers, and AnswerMatch compares with a reference."""

import asyncio

import pytest

from catlite import AnswerMatch, Example, Group, MajorityVote, Reference, Rollout
from catlite.errors import EstimationError

BOXED = Example("q", answer_format="boxed")


def group(*found):
    return Group(BOXED, tuple(one if isinstance(one, Rollout) else Rollout(f"so {one}", one) for one in found))


def vote(*found):
    return asyncio.run(MajorityVote()(group(*found)))


def test_equivalent_answers_are_one_vote():
    assert vote("3", "1/2", "3", "0.5", r"\frac{1}{2}").answer == "1/2"


def test_majority_tie_goes_to_the_first_sampled():
    assert vote("2", "1", "1", "2").answer == "2"


def test_the_text_is_that_of_the_first_rollout_with_the_winning_answer():
    assert vote("3", "1/2", "0.5").text == "so 1/2"


def test_rollouts_without_an_answer_do_not_vote():
    reference = vote(None, None, None, "4")
    assert reference.answer == "4"
    assert reference.notes == ("3 of 4 rollouts gave no answer",)


def test_truncated_rollouts_do_not_vote():
    cut = Rollout("so 9", "9", finish_reason="length")
    assert vote(cut, cut, "4").answer == "4"


def test_a_group_without_any_answer_has_a_reference_without_one():
    reference = vote(None, None)
    assert (reference.answer, reference.text, reference.support) == (None, "", (0, 2))


def test_support_counts_equivalent_answers():
    assert vote("1/2", "0.5", "7").support == (2, 3)


def test_a_vote_on_open_ended_text_is_refused():
    with pytest.raises(EstimationError, match="answer_format"):
        asyncio.run(MajorityVote()(Group(Example("q"), (Rollout("text"),))))


def rewards(rollouts, answer):
    return asyncio.run(AnswerMatch()(rollouts, Reference("", answer, "test", rollouts)))


def test_a_reward_is_one_for_an_equivalent_answer_and_zero_for_another():
    assert rewards(group("0.5", "2", None), "1/2") == [1.0, 0.0, 0.0]


def test_a_failed_call_has_no_reward():
    assert rewards(group(Rollout("", finish_reason="error", error="500")), "1") == [None]


def test_without_a_reference_answer_nothing_is_rewarded_or_punished():
    assert rewards(group("1", "2"), None) == [None, None]


def test_where_nobody_says_how_answers_are_written_nothing_is_punished():
    open_ended = Group(Example("q"), (Rollout("It is 1."), Rollout("2", "2")))
    assert rewards(open_ended, "1") == [None, 0.0]


def test_a_comparison_out_of_time_has_no_reward():
    assert rewards(group("3^{2^{28}}"), "5") == [None]
