"""Controls: a coin that falls alike wherever a run goes on, and a reward for form alone."""

import itertools
import statistics

import pytest

from catlite import (
    Example,
    Group,
    LengthPenalty,
    Reference,
    RelativeJudge,
    Rollout,
    ScriptedModel,
    Task,
    VoteShare,
    evaluate,
)
from catlite.concurrency import run
from catlite.errors import ConfigError
from catlite.preflight import check_task
from catlite.rewards.controls import FormatReward, RandomReward

FAILED = Rollout("", finish_reason="error", error="503")


def rewards(reward, *texts, question="Why?", answer_format=None):
    example = Example(question, answer_format=answer_format)
    rollouts = tuple(text if isinstance(text, Rollout) else Rollout(text, example.parse(text)) for text in texts)
    return run(reward(Group(example, rollouts), Reference("", None, "none", Group(example, rollouts))))


def test_the_coin_falls_alike_for_the_same_seed_and_group():
    assert rewards(RandomReward(), *"abcdefgh") == rewards(RandomReward(), *"abcdefgh") == [0, 0, 1, 0, 1, 0, 0, 1]


def test_another_seed_question_or_group_tosses_anew():
    tosses = [rewards(RandomReward(seed), *"abcdefghijkl") for seed in range(20)]
    assert len(set(map(tuple, tosses))) == 20
    assert rewards(RandomReward(), *"abcdefghijkl", question="How?") not in tosses
    assert rewards(RandomReward(), *"abcdefghijk") != tosses[0][:11]


def test_the_order_of_rollouts_changes_nothing():
    by_text = dict(zip("abcd", rewards(RandomReward(), *"abcd"), strict=True))
    for order in itertools.permutations("abcd"):
        assert rewards(RandomReward(), *order) == [by_text[text] for text in order]


def test_rollouts_with_one_text_have_a_coin_each():
    assert len(set(rewards(RandomReward(), *["same"] * 12))) == 2


def test_the_coin_is_fair():
    tosses = [toss for seed in range(500) for toss in rewards(RandomReward(seed), *"abcd")]
    assert statistics.fmean(tosses) == pytest.approx(0.5, abs=0.03)


def test_a_rollout_whose_call_failed_has_no_reward():
    assert rewards(RandomReward(), "a", FAILED)[1] is None
    assert rewards(FormatReward(), r"\boxed{1}", FAILED, answer_format="boxed") == [1.0, None]


def test_form_alone_is_rewarded():
    cut = Rollout("so it", finish_reason="length")
    texts = (r"\boxed{7}", r"\boxed{8}", "It is 7.", cut, Rollout(""))
    assert rewards(FormatReward(), *texts, answer_format="boxed") == [1.0, 1.0, 0.0, 0.0, 0.0]


def test_form_cannot_be_rewarded_where_there_is_none():
    assert rewards(FormatReward(), "a", "b") == [None, None]
    with pytest.raises(ConfigError, match="FormatReward needs the answer_format of an example, and 1 of 1 have none"):
        check_task(None, FormatReward(), [Example("Why?")])


@pytest.mark.parametrize("grader", [RandomReward(), LengthPenalty(RandomReward())])
def test_a_coin_grades_nothing(grader):
    task = Task("sums", (Example("1+1?", "2", answer_format="boxed"),))
    with pytest.raises(ConfigError, match=r"RandomReward is a control .*labels of 'sums' would not be read"):
        evaluate(task, ScriptedModel(lambda *_: ""), grader=grader)


@pytest.mark.parametrize("grader", [VoteShare(), LengthPenalty(RelativeJudge(ScriptedModel(lambda *_: "")))])
def test_what_only_compares_the_rollouts_of_a_group_grades_nothing(grader):
    """A reference alone would have all of the votes, right or wrong."""
    task = Task("sums", (Example("1+1?", "2", answer_format="boxed"),))
    with pytest.raises(ConfigError, match="compares the rollouts of one group, and does not tell how good they are"):
        evaluate(task, ScriptedModel(lambda *_: r"\boxed{3}"), grader=grader)


def test_form_as_a_grader_tells_how_many_replies_can_be_read():
    task = Task("sums", (Example("1+1?", "2", answer_format="boxed"),))
    policy = ScriptedModel(lambda _, i: r"\boxed{3}" if i else "three")
    assert evaluate(task, policy, grader=FormatReward(), n=4).score("single sample")[0] == 0.75


def test_a_seed_is_a_whole_number():
    with pytest.raises(ConfigError, match=r"seed=0\.5: want a whole number"):
        RandomReward(0.5)
