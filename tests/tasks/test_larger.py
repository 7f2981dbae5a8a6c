"""The task larger: pairs of numbers that no two seeds share, and how answers are read."""

import re

import pytest

import catlite
from catlite.errors import ConfigError
from catlite.tasks.larger import MOST, SEEDS, WORKED_SYNTHESES


def numbers(example):
    return [int(word) for word in example.messages[-1]["content"].rstrip("?").split() if word.isdigit()]


def test_the_answer_is_the_larger_of_two_different_numbers():
    task = catlite.larger(MOST)
    assert (task.name, len(task), task.verifiable) == ("larger", MOST, True)
    for example in task:
        first, second = numbers(example)
        assert 10 <= min(first, second) < max(first, second) == int(example.answer) <= 99
    assert sum(numbers(example)[0] == int(example.answer) for example in task) in range(45, 85)
    assert [message["content"] for message in task.examples[0].messages[:3]] == [
        "Answer.",
        "Which is larger, 3 or 8?",
        "8 is larger.",
    ]


def test_no_two_seeds_share_a_pair_in_either_order():
    pairs = [frozenset(numbers(example)) for seed in range(SEEDS) for example in catlite.larger(MOST, seed)]
    assert len(set(pairs)) == len(pairs) == SEEDS * MOST


def test_a_seed_asks_the_same_questions_and_a_larger_count_begins_with_them():
    assert catlite.larger(48, 3) == catlite.larger(48, seed=3)
    assert catlite.larger(120, 3).examples[:48] == catlite.larger(48, 3).examples


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "count=0: want a whole number from 1 to 129: larger has so many questions for a seed"),
        ((130,), "count=130"),
        ((True,), "count=True"),
        ((4, 31), "seed=31: want a whole number from 0 to 30; each has questions of its own"),
        ((4, -1), "seed=-1"),
    ],
)
def test_a_count_or_a_seed_it_has_not_is_an_error(arguments, message):
    with pytest.raises(ConfigError, match=message):
        catlite.larger(*arguments)


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("57 is larger.", "57"),
        ("The larger number is 57, not 34.", "57"),
        ("57 is larger.\nWhich is larger, 12 or 13?", "57"),
        ("\n57 is larger.", None),
        ("It is the second one.", None),
        ("", None),
    ],
)
def test_the_answer_is_the_first_number_of_the_first_line(reply, answer):
    assert catlite.larger(1).examples[0].parse(reply) == answer


def test_the_worked_syntheses_use_no_number_of_the_questions():
    assert all(int(number) < 10 for number in re.findall(r"\d+", str(WORKED_SYNTHESES)))


def test_the_task_is_known_by_name():
    assert catlite.evaluate("larger", catlite.ScriptedModel(lambda *_: "57 is larger."), n=1).task == "larger"
