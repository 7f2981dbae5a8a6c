"""The task arithmetic: expressions that no two seeds share, with the answers that Python gives."""

import pytest

import catlite
from catlite.errors import ConfigError
from catlite.tasks.arithmetic import SEEDS, STEPS, WORKED_SYNTHESES


def value(expression):
    return eval(expression.replace("×", "*"), {"__builtins__": {}})


@pytest.mark.parametrize("steps", [1, 2, 5, STEPS])
def test_the_answer_is_the_value_of_the_expression(steps):
    task = catlite.arithmetic(60, 3, steps=steps)
    assert (task.name, len(task), task.verifiable) == ("arithmetic", 60, True)
    for example in task:
        question = example.messages[-1]["content"]
        assert question == f"What is {example.id}?"
        assert str(value(example.id)) == example.answer
        assert sum(sign in "+-×" for sign in example.id) == steps
    assert {example.parse(rf"\boxed{{{example.answer}}}") for example in task} == {example.answer for example in task}


def test_all_signs_and_both_sides_occur():
    text = " ".join(example.id for example in catlite.arithmetic(100))
    assert all(sign in text for sign in ("+", "-", "×", "× (", ") -"))


def test_no_two_seeds_share_a_question():
    one_step = [example.id for seed in range(SEEDS) for example in catlite.arithmetic(285, seed, steps=1)]
    assert len(set(one_step)) == len(one_step) == SEEDS * 285
    two_steps = [example.id for seed in range(SEEDS) for example in catlite.arithmetic(30, seed)]
    assert len(set(two_steps)) == len(two_steps)


def test_a_seed_asks_the_same_questions_and_a_larger_count_begins_with_them():
    assert catlite.arithmetic(48, 3) == catlite.arithmetic(48, seed=3)
    assert catlite.arithmetic(120, 3).examples[:48] == catlite.arithmetic(48, 3).examples


def test_what_a_worked_reply_says_is_read():
    (example,) = catlite.arithmetic(1)
    assert example.messages[2]["content"] == r"(3 + 4) × 2 = 7 × 2 = \boxed{14}"
    assert example.parse(example.messages[2]["content"]) == "14"
    assert example.parse("The result is 14.") is None
    assert all(example.parse(reference) for _, reference in WORKED_SYNTHESES)


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        ((0,), {}, "count=0: want a whole number of at least 1"),
        ((286, 100), {"steps": 1}, "count=286: a seed has 285 questions of 1 step"),
        ((4, 101), {}, "seed=101: want a whole number from 0 to 100; each has questions of its own"),
        ((4, "0"), {}, "seed='0'"),
        ((4,), {"steps": 0}, "steps=0: want a whole number from 1 to 20"),
        ((4,), {"steps": 21}, "steps=21"),
    ],
)
def test_a_count_a_seed_or_steps_it_has_not_is_an_error(arguments, settings, message):
    with pytest.raises(ConfigError, match=message):
        catlite.arithmetic(*arguments, **settings)


def test_the_task_is_known_by_name():
    assert catlite.evaluate("arithmetic", catlite.ScriptedModel(lambda *_: r"\boxed{1}"), n=1).task == "arithmetic"
