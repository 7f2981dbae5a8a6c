"""The task last_word: questions that no two seeds share, and how answers are read."""

import pytest

import catlite
from catlite.errors import ConfigError
from catlite.tasks.last_word import MOST, SEEDS, WORDS, WORKED_SYNTHESES


def test_the_answer_is_the_last_of_four_different_words():
    task = catlite.last_word(72)
    assert (task.name, len(task), task.verifiable) == ("last_word", 72, True)
    for example in task:
        words = example.messages[-1]["content"].removeprefix("What is the last word: ").removesuffix("?").split(", ")
        assert len(set(words)) == 4
        assert set(words) <= set(WORDS)
        assert (example.answer, example.id) == (words[-1], "-".join(words))
    assert len(set(WORDS)) == 24
    assert [message["content"] for message in task.examples[0].messages[:3]] == [
        "Answer.",
        "What is the last word: dog, cat, bird?",
        "The last word is bird.",
    ]


def test_no_two_seeds_share_a_question():
    owners = {}
    for seed in range(SEEDS):  # all of some seeds, some of all others
        for example in catlite.last_word(MOST if seed % 50 == 0 else 40, seed):
            assert owners.setdefault(example.id, seed) == seed
    assert len(owners) == 6 * MOST + (SEEDS - 6) * 40


def test_a_seed_asks_the_same_questions_and_a_larger_count_begins_with_them():
    assert catlite.last_word(48, 3) == catlite.last_word(48, seed=3)
    assert catlite.last_word(120, 3).examples[:48] == catlite.last_word(48, 3).examples


def test_every_word_is_the_last_one_of_about_as_many_questions():
    answers = [example.answer for example in catlite.last_word(MOST, 5)]
    assert all(25 <= answers.count(word) <= 60 for word in WORDS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0,), "count=0: last_word has 1 to 1,000 questions for a seed"),
        ((1001,), "count=1001"),
        ((True,), "count=True"),
        ((4.0,), "count=4.0"),
        ((4, 251), "seed=251: want a whole number from 0 to 250"),
        ((4, -1), "seed=-1"),
        ((4, "0"), "seed='0'"),
    ],
)
def test_a_count_or_a_seed_it_has_not_is_an_error(arguments, message):
    with pytest.raises(ConfigError, match=message):
        catlite.last_word(*arguments)


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("The last word is tiger.", "tiger"),
        ("the Last Word is Tiger", "Tiger"),
        ('The last word is "tiger".', "tiger"),
        ("The last word is tiger.\nThe last word is stone.", "tiger"),
        ("The last word is tiger, since the last word is the fourth.", "tiger"),
        ("The last word is stone, music, cloud, tiger.", "stone"),
        ("The last word is", None),
        ("\nThe last word is tiger.", None),
        ("tiger", None),
        ("The password is tiger.", None),
        ("", None),
    ],
)
def test_the_answer_is_the_first_word_after_word_is_on_the_first_line(reply, answer):
    assert catlite.last_word(1).examples[0].parse(reply) == answer


def test_the_worked_syntheses_use_no_word_of_the_questions():
    text = str(WORKED_SYNTHESES).lower()
    assert not [word for word in WORDS if word in text.split()]


def test_the_task_is_known_by_name():
    model = catlite.ScriptedModel(lambda *_: "The last word is tiger.")
    assert catlite.evaluate("last_word", model, n=1).task == "last_word"
