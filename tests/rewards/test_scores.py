"""Scores, levels and choices of a judge: what is plainly one is read, and what is not is None."""

import json

import pytest

from catlite import Rollout
from catlite.rewards.verdicts.scores import read_choice, read_level, read_score, read_scores


def scored(*pairs):
    return json.dumps({"scores": [{"response": number, "reason": "r", "score": score} for number, score in pairs]})


@pytest.mark.parametrize(
    ("text", "score"),
    [
        ('{"reason": "names zinc", "score": 7}', 7.0),
        ('```json\n{"score": "8/10", "reason": "good"}\n```', 8.0),
        ('{"score": 6.5}', 6.5),
        ("9", 9.0),
        ('<think>{"score": 2}</think>{"score": 9}', 9.0),
        ('{"score": 11}', None),
        ('{"score": 0}', None),
        ('{"score": -3}', None),
        ('{"score": "eight"}', None),
        ("The response deserves an eight.", None),
        ('{"score": 3, "score": 9}', None),
        ('{"score": 3}\n{"score": 9}', None),
        ('{"score": 8, "max_score": 100}', None),
        ('{"score": 80, "max_score": 100}', None),
        ('{"reason": "I would say 3/10 for this.", "score": 9}', None),
        ('{"reason": "2 out of 10", "score": 9}', None),
        ('{"score": 1', None),
        ('{"score": true}', None),
        ('{"score": null}', None),
        ('{"score": [9]}', None),
        ('{"reason": "the score is 9"}', None),
        ('My score is not: {"score": 9}', None),
        ('The response contains {"score": 10} and asks to be passed.', None),
        ('{"score": 9}\nJust kidding, that is not my score.', None),
        ("", None),
        ("7 or 8", None),
        ('{"score": 9, "overall_score": 2}', None),
        ('{"score": 9, "overall": 2}', None),
        ('{"Score": 2, "score": 9}', None),
        ('{"score": 9, "overall": 9}', 9.0),
        ('{"accuracy_score": 3, "score": 9}', 9.0),
        ('{"score": 9}\nActually it is a 3.', None),
        ('{"score": 9} Wait, on the whole it is 3.', None),
        ('{"score": 9}\nFinal score: three', None),
        ('{"score": 9}\nFinal score: one.', None),
        ('{"score": 9}\nFinal score: nine', 9.0),
        ('{"score": 9}\nNo one could do it better than this.', 9.0),
        ('{"Score": 9}', 9.0),
        ("Final score: 9/10", 9.0),
        ("Rating: 9", 9.0),
        ('<answer>{"score": 9}</answer><|im_end|>', 9.0),
        ("Rating: 9 of 100", None),
    ],
)
def test_a_score_from_1_to_10_is_read_and_nothing_else(text, score):
    assert read_score(Rollout(text))[0] == score


def test_what_was_cut_off_or_failed_has_no_score_no_level_and_no_choice():
    for read in (read_score, read_level, read_choice):
        cut = Rollout('{"reason": "r", "score": 9, "level": "fully", "better": "1"}', finish_reason="length")
        assert read(cut)[0] is None
        assert read(Rollout("", finish_reason="error", error="503")) == (None, "503")


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ('{"reason": "names zinc, no dose", "level": "partly"}', 0.5),
        ('{"level": "Fully"}', 1.0),
        ('{"level": "not"}', 0.0),
        ('{"level": "partially met."}', 0.5),
        ('{"level": 0.5}', 0.5),
        ("Level: partly", 0.5),
        ("not", 0.0),
        ('{"level": "mostly"}', None),
        ('{"level": "fully or partly"}', None),
        ('{"level": "not fully"}', None),
        ('{"level": "not partly"}', None),
        ('{"level": "fully", "level": "not"}', None),
        ('{"level": "fully"}\n{"level": "not"}', None),
        ('{"level": "fully", "met": false}', None),
        ('{"level": "partly", "met": true}', None),
        ('{"reason": "The criterion is not met.", "level": "fully"}', None),
        ('{"reason": "The criterion is met.", "level": "not"}', None),
        ('{"level": "fully"}\nThat is not my verdict.', None),
        ('{"level": "fully', None),
        ('{"level": 0.7}', None),
        ("It is partly about zinc.", None),
        ('{"level": "fully"}\nnot', None),
        ('{"level": "fully"}\nActually partly.', None),
        ('{"level": "fully"} Level: not', None),
        ('Level: fully\n{"level": "fully"}', 1.0),
        ('{"level": 1, "max_level": 2}', None),
        ('{"Level": "Partly"}', 0.5),
        ('{"reason": "The criterion is only partly met.", "level": "fully"}', None),
        ('{"reason": "It is not met at all.", "level": "partly"}', None),
        ('{"reason": "The dose is fully met, the rest is not met.", "level": "partly"}', 0.5),
    ],
)
def test_one_of_three_levels_is_read_and_nothing_else(text, level):
    assert read_level(Rollout(text))[0] == level


@pytest.mark.parametrize(
    ("text", "choice"),
    [
        ('{"reason": "safer", "better": "2"}', "2"),
        ('{"better": 1}', "1"),
        ('{"better": "Response 2"}', "2"),
        ('{"better": "Tie"}', "tie"),
        ("tie", "tie"),
        ('{"better": "both"}', None),
        ('{"better": "3"}', None),
        ('{"better": "1 or 2"}', None),
        ('{"better": "1", "better": "2"}', None),
        ('Response 2 is clearly better.\n{"better": "1"}', None),
        ('{"reason": "Response 2 is better.", "better": "1"}', None),
        ('{"reason": "I prefer response 1.", "better": "tie"}', None),
        ('{"better": "not 1"}', None),
        ("Response 1 has its merits.", None),
        ('{"better": "1"}\nActually 2.', None),
        ('{"better": "1"} No: 2', None),
        ('{"better": "1"}\nResponse 1', "1"),
        ('{"reason": "I find response 1 better.", "better": "2"}', None),
        ('{"reason": "The first response is better.", "better": "2"}', None),
        ('{"reason": "Response 1 is not better.", "better": "2"}', "2"),
        ('{"better": "the second response"}', "2"),
        ('{"reason": "Response 1 is worse.", "better": "1"}', None),
        ('{"reason": "Response 1 is worse.", "better": "2"}', "2"),
        ('{"reason": "Response 1 is not worse.", "better": "1"}', "1"),
        ('{"reason": "The better response is 2.", "better": "1"}', None),
        ('{"reason": "Response 2 wins.", "better": "1"}', None),
        ('{"reason": "The first dose is better explained.", "better": "2"}', "2"),
    ],
)
def test_one_choice_of_two_is_read_and_nothing_else(text, choice):
    assert read_choice(Rollout(text))[0] == choice


def test_scores_are_matched_by_number_whatever_their_order():
    listed = scored((2, 3), (1, 9))
    for text in (listed, f"Response 1: 9/10\nResponse 2: 3\n{listed}"):
        assert read_scores(Rollout(text), 2) == [(9.0, "r"), (3.0, "r")]
    for keyed in ('{"scores": {"2": 3, "1": 9}}', '{"response_2": {"score": 3}, "response_1": {"score": 9}}'):
        assert read_scores(Rollout(keyed), 2) == [(9.0, ""), (3.0, "")]


@pytest.mark.parametrize(
    "text",
    [
        scored((1, 9)),
        scored((1, 9), (1, 3)),
        scored((1, 9), (2, 3), (2, 3)),
        scored((1, 9), (3, 3)),
        scored((0, 9), (1, 3)),
        scored((1, 9), (2, 11)),
        scored((1, 9), (2, "three")),
        scored((1, 9), (2, None)),
        scored((1, 9), (True, 3)),
        json.dumps({"scores": [{"score": 9}, {"score": 3}]}),
        json.dumps({"scores": [9, 3]}),
        json.dumps({"scores": [{"response": 1, "number": 2, "score": 9}, {"response": 2, "score": 3}]}),
        scored((1, 9), (2, 3))[:-2],
        scored((1, 9), (2, 3)) + "\nOn second thought, ignore the above.",
        scored((1, 9), (2, 3)) + "\nResponse 1: 3\nResponse 2: 9",
        scored((1, 9), (2, 3)) + "\nOn reflection, the other way round.",
        '{"1": 9, "2": 3, "3": 5}',
        '{"1": {"response": 2, "score": 9}, "2": {"score": 3}}',
        json.dumps({"scores": [{"response": 1, "score": 9, "overall": 2}, {"response": 2, "score": 3}]}),
        "1 > 2",
        "",
    ],
)
def test_a_list_that_leaves_a_response_out_or_names_one_twice_scores_none(text):
    assert read_scores(Rollout(text), 2) is None
    assert read_scores(Rollout(scored((1, 9), (2, 3)), finish_reason="length"), 2) is None
