"""Checks while training: who is scored by what, and when the history says stop."""

import asyncio
import dataclasses
import math

import pytest

import catlite
from catlite import AnswerMatch, Example, LengthPenalty, MajorityVote, Reference, Rollout, ScriptedModel
from catlite.errors import EstimationError
from catlite.references.synthesis import TRIMMED
from catlite.training.checks import Check, Checks, check, gap_says_stop, reward_says_stop
from catlite.training.config import describe
from catlite.training.rewarder import Rewarder
from catlite.training.watch import Watch


async def lengths(group, reference):
    return [float(len(rollout.text)) for rollout in group.rollouts]


async def gold_(group):
    return Reference("zinc", group.example.parse("zinc"), "gold", group)


def checked(examples, policy=None, estimator=gold_, reward=lengths, timeout=10):
    model = ScriptedModel(policy or (lambda prompt, i: "zinc"), "policy")
    return asyncio.run(check(model, examples, Rewarder(estimator, reward, timeout), 2, 0))


def at(step, *, reward=0.0, gap=0.0, gap_se=0.0):
    return Check(step, 4, 0.0, 0.0, gap, gap_se, reward, 0.0)


def test_gold_answers_without_a_format_to_find_them_by_are_no_measure():
    """The reward is: as if there were no answers, and not as if all were wrong."""
    found = checked([Example("Which?", "zinc"), Example("And?", "zinc")], lambda prompt, i: "tin")
    assert (found.teacher, found.policy, found.gap, found.prompts) == (4.0, 3.0, 1.0, 2)


def test_gold_answers_with_a_format_are_what_both_are_scored_by():
    found = checked([Example("Which?", "zinc", answer_format=r"(\w+)")], lambda prompt, i: "zinc" if i else "tin")
    assert (found.teacher, found.policy) == (1.0, 0.5)


CUT_OFF = Rollout("thinking about it", finish_reason="length")
WORDS = {"answer_format": r"(zinc|tin)"}


def of_two(prompt, i):
    """One prompt is answered in each rollout, the other one in none: all are cut off."""
    return "zinc" if "First" in str(prompt) else CUT_OFF


@pytest.mark.parametrize("gold", ["zinc", None])
def test_a_prompt_whose_rollouts_were_all_cut_off_counts_as_not_answered(gold):
    found = checked([Example("First?", gold, **WORDS), Example("Second?", gold, **WORDS)], of_two)
    assert (found.prompts, found.teacher, found.policy) == (2, 0.5, 0.5)


def test_a_prompt_of_which_nothing_came_is_no_measure():
    failed = Rollout("", finish_reason="error", error="HTTP 500")
    examples = [Example("First?", "zinc", **WORDS), Example("Second?", "zinc", **WORDS)]
    found = checked(examples, lambda prompt, i: "zinc" if "First" in str(prompt) else failed)
    assert (found.prompts, found.policy) == (1, 1.0)


@pytest.mark.parametrize(("unanswered", "prompts"), [(True, 1), (False, 0)])
def test_an_estimator_that_was_answered_with_nothing_scores_0_and_one_whose_call_failed_nothing(unanswered, prompts):
    asked = []

    async def silent(group):
        asked.append(group)
        raise EstimationError("no reference", group, None, unanswered)

    found = checked([Example("First?", "zinc", **WORDS)], estimator=silent, timeout=3)
    assert len(asked) == (1 if unanswered else 2)  # what failed may pass; an answer of nothing would be one again
    assert (found is not None) is bool(prompts)
    if found is not None:
        assert (found.prompts, found.teacher, found.policy) == (1, 0.0, 1.0)


def test_references_of_open_ended_prompts_are_rewarded_all_at_once():
    all_inside = asyncio.Barrier(5)

    async def waiting(group, reference):
        await all_inside.wait()
        return [1.0] * len(group.rollouts)

    assert checked([Example(f"Which {number}?") for number in range(5)], reward=waiting, timeout=60).prompts == 5


def test_prompts_with_the_same_words_have_rollouts_of_their_own():
    texts = []

    async def noting(group, reference):
        texts.extend(rollout.text for rollout in group.rollouts)
        return await lengths(group, reference)

    examples = [Example(prompt, **WORDS) for prompt in ("Which?", "And?", "Which?")]
    checked(examples, lambda prompt, i: f"{prompt} {i}", reward=noting)
    assert sorted(texts) == ["And? 0", "And? 1", "Which? 0", "Which? 1", "Which? 2", "Which? 3"]


def test_a_reward_that_could_not_be_had_is_no_best_and_ends_nothing():
    watch = Watch(None, None)
    rewards = [math.nan, 0.4, 0.9]
    better = [watch._remember(at(step, reward=reward)) for step, reward in enumerate(rewards)]
    assert better == [False, True, True]
    assert watch.best.step == 2
    history = [at(step, reward=reward) for step, reward in enumerate([0.5, math.nan, 0.4, 0.4, 0.4])]
    assert "no longer rises" in reward_says_stop(history)
    assert reward_says_stop(history[:-1]) is None


def test_the_best_check_is_the_most_accurate_where_there_are_answers():
    """Reward without labels is agreement, which is highest after a collapse."""
    watch = Watch(None, None, best_by="policy")
    for step, (policy, reward) in enumerate([(0.4, 0.5), (0.8, 0.7), (0.5, 1.0)]):
        watch._remember(dataclasses.replace(at(step, reward=reward), policy=policy))
    assert watch.best.step == 1


@pytest.mark.parametrize(("golds", "by"), [(["1", "2"], "policy"), (["1", None], "reward"), ([None, None], "reward")])
def test_accuracy_says_which_is_best_only_where_all_prompts_have_answers(golds, by):
    examples = [Example("q", gold, answer_format="boxed") for gold in golds]
    assert Checks(None, examples, None).best_by == by


@pytest.mark.parametrize("gold", ["zinc", None])
def test_a_prompt_on_which_the_vote_abstains_is_no_measure(gold):
    examples = [Example("First?", gold, **WORDS), Example("Second?", gold, **WORDS)]

    def agreeing_on_one(prompt, i):
        return "zinc" if "First" in str(prompt) or i else "tin"

    result = checked(examples, agreeing_on_one, MajorityVote(min_agreement=0.9), AnswerMatch())
    assert (result.prompts, result.teacher, result.policy) == (1, 1.0, 1.0)


def test_a_gap_within_its_error_twice_in_a_row_has_closed():
    opened = at(0, gap=0.5, gap_se=0.2)
    assert gap_says_stop([opened, at(3, gap=0.1, gap_se=0.2)]) is None
    assert "has closed" in gap_says_stop([opened, at(3, gap=0.1, gap_se=0.2), at(6, gap=0.1, gap_se=0.2)])


def test_a_gap_that_was_never_open_has_not_closed():
    assert gap_says_stop([at(0, gap=0.030, gap_se=0.04), at(10, gap=0.035, gap_se=0.04)]) is None
    assert gap_says_stop([at(0, gap=0.0), at(10, gap=0.0)]) is None
    within_chance = [at(0, gap=0.07, gap_se=0.04), at(10, gap=0.03, gap_se=0.04), at(20, gap=0.03, gap_se=0.04)]
    assert gap_says_stop(within_chance) is None
    assert gap_says_stop([at(0, gap=0.5, gap_se=math.nan), at(10), at(20)]) is None


def test_a_gap_that_opens_later_can_close_after_that():
    history = [at(0, gap=0.03, gap_se=0.04), at(10, gap=0.2, gap_se=0.04), at(20, gap=0.03, gap_se=0.04)]
    assert gap_says_stop(history) is None
    assert "has closed" in gap_says_stop([*history, at(30, gap=0.02, gap_se=0.04)])


def test_a_reward_is_called_the_same_in_every_process():
    """A run goes on only with what it was begun with, which is told by name."""
    one, other = (LengthPenalty(lengths, count=lambda text: len(text)) for _ in range(2))
    assert repr(one) != repr(other)
    assert describe(one) == describe(other)
    assert describe(one) != describe(LengthPenalty(lengths, limit=9))


def test_how_many_references_had_their_rollouts_shortened_is_a_metric():
    async def short_of_room(group):
        given = {"notes": (f"2 {TRIMMED} 300 characters each",)} if group.rollouts[0].text == "a" else {}
        return Reference("a", None, "test", group, **given)

    function = catlite.trl_reward(short_of_room, lengths, num_generations=2)
    function(["q", "q", "r", "r"], ["a", "b", "b", "a"])
    assert function.last.metrics["cat/trimmed"] == 0.5
