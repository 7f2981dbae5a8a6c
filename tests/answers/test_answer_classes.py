import asyncio
from itertools import permutations

import pytest

from catlite.answers import aclass_of, aclasses, class_of, classes
from catlite.data import Example, Group, Reference, Rollout
from catlite.references.vote import MajorityVote
from catlite.rewards.answer_match import AnswerMatch
from catlite.training.scored import agreement

PERCENTAGES = Example("How much?", answer_format="boxed")


def named_classes(found):
    return sorted(sorted(found[index] for index in members) for members in classes(found))


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (["50%", "50", "0.5", "50"], [["0.5"], ["50", "50", "50%"]]),
        (["50%", "50", "0.5", "0.5"], [["0.5", "0.5", "50%"], ["50"]]),
        (["50%", "50", "0.5"], [["0.5", "50%"], ["50"]]),
        (["5", "5 cm", "5 m", "5 m"], [["5", "5 m", "5 m"], ["5 cm"]]),
        (["5", "5 cm", "5.0"], [["5", "5 cm", "5.0"]]),
        (["1/2", "0.5", "2", r"\frac12"], [["0.5", "1/2", r"\frac12"], ["2"]]),
        (["a", "b", "c"], [["a"], ["b"], ["c"]]),
    ],
)
def test_classes_do_not_depend_on_the_order_of_the_votes(found, expected):
    orders = set(permutations(found))
    assert all(named_classes(list(order)) == expected for order in orders)
    order = list(max(orders))
    assert asyncio.run(aclasses(order)) == classes(order)


def test_classes_come_in_the_order_of_their_first_members():
    assert classes(["2", "1", "2.0", "1"]) == [[0, 2], [1, 3]]
    assert classes([]) == []


@pytest.mark.parametrize("found", [["50%", "50", "0.5", "50"], ["50%", "0.5", "50"], ["5", "5 cm", "5 m", "5 m"]])
def test_majority_and_support_count_with_one_relation(found):
    example = Example("How much?", answer_format="boxed")
    largest = max(map(len, classes(found)))
    for order in permutations(found):
        rollouts = tuple(Rollout(rf"\boxed{{{answer}}}", answer) for answer in order)
        reference = asyncio.run(MajorityVote()(Group(example, rollouts)))
        assert reference.support == (largest, len(found))


def test_a_vote_of_percentages_speaks_with_an_answer_that_has_one_meaning():
    rollouts = tuple(Rollout(answer, answer) for answer in ["50%", "50", "0.5", "50"])
    reference = asyncio.run(MajorityVote()(Group(Example("How much?", answer_format="boxed"), rollouts)))
    assert reference.answer == "50"


def of_percentages(*found, answer, source="Synthesis"):
    group = Group(PERCENTAGES, tuple(Rollout(rf"\boxed{{{one}}}", one) for one in found))
    return Reference("", answer, source, group)


@pytest.mark.parametrize(
    ("found", "answer", "matching"),
    [
        (["50", "0.5", "50"], "50%", [0, 2]),
        (["50", "0.5", "0.5"], "50%", [1, 2]),
        (["50%", "50", "0.5", "50"], "50", [0, 1, 3]),
        (["50%", "50", "0.5", "0.5"], "50", [1]),
        (["5 m", "5 cm", "5 cm"], "5", [1, 2]),
        (["1", "2"], "3", []),
        ([], "3", []),
    ],
)
def test_reward_support_and_agreement_take_a_reference_for_one_class_of_the_votes(found, answer, matching):
    assert class_of(answer, found) == matching == asyncio.run(aclass_of(answer, found))
    reference = of_percentages(*found, answer=answer)
    rewards = asyncio.run(AnswerMatch()(reference.group, reference))
    assert [place for place, reward in enumerate(rewards) if reward] == matching
    assert None not in rewards
    assert reference.support == (len(matching), len(found))
    if len(found) > 1:
        teacher, _ = asyncio.run(agreement(reference.group, reference))
        assert teacher == max(0, len(matching) - 1) / (len(found) - 1)


def test_a_gold_answer_grades_each_rollout_alone():
    """No vote is held: 50 and 0.5 are both right where the true answer is 50%, whatever the others say."""
    reference = of_percentages("50", "0.5", "0.5", "5", answer="50%", source="gold")
    assert asyncio.run(AnswerMatch()(reference.group, reference)) == [1.0, 1.0, 1.0, 0.0]
