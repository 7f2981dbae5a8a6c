"""Majority vote counts equivalent answers, and AnswerMatch compares with a reference."""

import asyncio

import pytest

import catlite
from catlite import AnswerMatch, Example, Group, MajorityVote, Reference, Rollout, VoteShare
from catlite.errors import ConfigError, EstimationError
from catlite.preflight import check_task

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
    reference = vote(cut, cut, "4", None)
    assert reference.answer == "4"
    assert reference.notes == ("1 of 4 rollouts gave no answer", "2 of 4 rollouts left out: truncated")


def test_a_group_without_any_answer_has_a_reference_without_one():
    reference = vote(None, None)
    assert (reference.answer, reference.text, reference.support) == (None, "", (0, 2))


def test_support_counts_equivalent_answers():
    assert vote("1/2", "0.5", "7").support == (2, 3)


def abstaining(*answers, **thresholds):
    return asyncio.run(MajorityVote(**thresholds)(group(*answers)))


@pytest.mark.parametrize(
    ("answers", "thresholds", "note"),
    [
        (("1", "1", "1", "2", "3", "4", "5", "6"), {"min_agreement": 0.5}, "3 of 8 agree, min_agreement=0.5"),
        (("1", "2", "3"), {"min_agreement": 0.5}, "1 of 3 agree, min_agreement=0.5"),
        (("1", None, None, None), {"min_agreement": 0.5}, "1 of 4 agree, min_agreement=0.5"),
        (("1", "1", "2", "2"), {"min_margin": 0.1}, "2 of 4 agree against 2, min_margin=0.1"),
        (("1", "1", "2"), {"min_margin": 0.5}, "2 of 3 agree against 1, min_margin=0.5"),
    ],
)
def test_a_vote_below_a_threshold_abstains_and_says_why(answers, thresholds, note):
    reference = abstaining(*answers, **thresholds)
    assert (reference.abstained, reference.answer, reference.text, reference.error) == (True, None, "", None)
    assert reference.notes[0] == f"abstained: {note}"
    assert repr(reference) == f"<Reference by MajorityVote, abstained: {note}>"


@pytest.mark.parametrize(
    ("answers", "thresholds"),
    [
        (("1", "1", "1", "2", "3", "4", "5", "6"), {"min_agreement": 0.375}),  # on the threshold
        (("1", "0.5", "1/2"), {"min_agreement": 0.6}),  # equivalent answers are one vote
        (("1",), {"min_agreement": 1.0, "min_margin": 1.0}),
        (("1", "1", "2", "3"), {"min_margin": 0.25}),
        (("1", "1", Rollout("", error="HTTP 500")), {"min_agreement": 1.0}),  # a failed call is no vote against
        (("1", "2", "3"), {}),
    ],
)
def test_a_vote_on_its_threshold_or_above_decides(answers, thresholds):
    assert not abstaining(*answers, **thresholds).abstained


def test_a_group_without_any_answer_is_no_abstention():
    assert not abstaining(None, None, min_agreement=0.5).abstained


@pytest.mark.parametrize("name", ["min_agreement", "min_margin"])
@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), "half", True])
def test_a_threshold_that_is_no_share_is_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name}=.*from 0 to 1"):
        MajorityVote(**{name: value})


def test_an_abstention_is_neither_rewarded_nor_punished():
    votes = group("1", "2")
    assert asyncio.run(AnswerMatch()(votes, abstaining("1", "2", min_agreement=0.9))) == [None, None]


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


# Weights by member


def members(*votes):
    """A group of rollouts of (member, answer)."""
    rollouts = (Rollout(f"so {answer}", answer, model=model) for model, answer in votes)
    return Group(BOXED, tuple(rollouts))


def weighted(votes, weights, **thresholds):
    return asyncio.run(MajorityVote(weights=weights, **thresholds)(members(*votes)))


SPLIT = (("a", "1"), ("a", "1"), ("b", "2"))


@pytest.mark.parametrize(
    ("weights", "answer"),
    [
        ({"a": 1, "b": 1}, "1"),
        ({"a": 1, "b": 2}, "1"),  # a tie goes to the answer sampled first
        ({"a": 1, "b": 2.5, "unused": 9}, "2"),
        ({"a": 0, "b": 0.01}, "2"),
        ({"a": 1e-300, "b": 1e300}, "2"),
    ],
)
def test_a_vote_counts_as_much_as_its_member_weighs(weights, answer):
    reference = weighted(SPLIT, weights)
    assert reference.answer == answer
    assert reference.notes == (() if answer == "1" else ("without weights the answer would be '1'",))
    assert reference.support == ((2, 3) if answer == "1" else (1, 3))  # which counts rollouts


def test_weights_that_add_up_alike_are_a_tie():
    votes = (("c", "3"), ("a", "1"), ("b", "1"))
    assert weighted(votes, {"a": 0.1, "b": 0.2, "c": 0.3}).answer == "3"


def test_equal_weights_are_the_plain_vote():
    for answers in (("2", "1", "1", "2"), ("50%", "50", "0.5", "50"), (None, None), ("1/2", "0.5", "7", None)):
        plain = vote(*answers)
        votes = [(name, answer) for name, answer in zip("abab", answers, strict=False)]
        reference = weighted(votes, {"a": 0.7, "b": 0.7})
        assert (reference.text, reference.answer, reference.notes) == (plain.text, plain.answer, plain.notes)


@pytest.mark.parametrize(
    ("thresholds", "doubt"),
    [
        ({"min_agreement": 0.5}, None),
        ({"min_agreement": 0.6}, "abstained: 2 of 4 agree by weight, min_agreement=0.6"),
        ({"min_margin": 0.25}, "abstained: 2 of 4 agree by weight against 2, min_margin=0.25"),
    ],
)
def test_thresholds_are_shares_of_the_weight(thresholds, doubt):
    reference = weighted(SPLIT, {"a": 1, "b": 2}, **thresholds)
    assert reference.abstained == (doubt is not None)
    assert doubt is None or reference.notes == (doubt,)


def test_a_threshold_is_met_on_it_whatever_the_rounding():
    votes = [("a", "1"), *(("b", str(number)) for number in range(2, 11))]
    assert not weighted(votes, {"a": 0.1, "b": 0.1}, min_agreement=0.1).abstained


def test_what_no_vote_was_given_to_does_not_vote_and_is_no_abstention():
    reference = weighted((("a", "1"), ("b", None)), {"a": 0, "b": 1}, min_agreement=0.5)
    assert (reference.answer, reference.abstained) == (None, False)
    assert "1 of 2 rollouts have votes that weigh 0" in reference.notes


@pytest.mark.parametrize(
    ("group", "complaint"),
    [
        (members(("a", "1"), ("c", "1")), "weights= has 'a', 'b', and not 'c', which writes rollouts: add it"),
        (members(("a", "1"), (None, "1")), "these rollouts have none"),
    ],
)
def test_a_rollout_without_a_weight_is_an_error_that_keeps_the_group(group, complaint):
    with pytest.raises(EstimationError, match=complaint) as caught:
        asyncio.run(MajorityVote(weights={"a": 1, "b": 1})(group))
    assert caught.value.group is group


def test_a_failed_call_needs_no_weight():
    group = Group(BOXED, (*members(("a", "1")).rollouts, Rollout("", error="HTTP 500", model="b")))
    assert asyncio.run(MajorityVote(weights={"a": 1})(group)).answer == "1"


@pytest.mark.parametrize(
    "weights",
    [
        [("a", 1)],
        {"a": -1},
        {"a": float("nan")},
        {"a": float("inf")},
        {"a": True},
        {"a": "2"},
        {1: 2},
        {},
        {"a": 0},
        {"a": 10**400},
    ],
)
def test_weights_that_cannot_be_are_refused(weights):
    with pytest.raises(ConfigError, match="weights"):
        MajorityVote(weights=weights)


@pytest.mark.parametrize("call", [catlite.estimate, catlite.evaluate])
@pytest.mark.parametrize(
    ("weights", "complaint"),
    [
        ({"a": 1}, "and not 'b'"),
        ({"a": 1, "c": 2}, "and not 'b'"),
        ({"a": 0, "b": 0, "c": 2}, "weights= has 0 for 'a', 'b'"),
    ],
)
def test_weights_that_leave_a_member_out_or_nobody_in_are_told_before_anything_is_asked(call, weights, complaint):
    panel = [catlite.ScriptedModel(lambda prompt, i: "1", name) for name in "ab"]
    settings = {"estimator" if call is catlite.estimate else "estimators": MajorityVote(weights=weights)}
    with pytest.raises(ConfigError, match=complaint):
        call([Example("q", "1", answer_format="boxed")], panel, **settings)
    assert [model.calls for model in panel] == [[], []]


def test_a_training_has_no_members_to_weigh():
    for part in (MajorityVote(weights={"a": 1}), VoteShare(weights={"a": 1})):
        with pytest.raises(ConfigError, match="a training samples one policy"):
            check_task(part, part, [Example("q", answer_format="boxed")])
