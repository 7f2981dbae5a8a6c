"""When a group abstains, when it is waited for, and what ends training: estimators, rewards and judges that fail."""

import asyncio
import time
import warnings

import pytest
from asking import on
from faults import status
from server import Server

import catlite
from catlite import Example, Group, Reference, Rollout, RubricReward, ScriptedModel, Task, trl_reward
from catlite.errors import ConfigError, EndpointUnavailable, RequestRejected
from catlite.preflight import check_task
from catlite.training import rewarder as module
from catlite.training.rewarder import Rewarder

FORMAT = r"is (\w+)"
SECONDS = 20  # far below the 60 that a judge would be waited for, far above what a slow machine takes


async def echo(group):
    return Reference("it is a", "a", "echo", group)


async def ones(group, reference):
    return [1.0] * len(group.rollouts)


def groups_of(*texts):
    """A group of two rollouts for each text."""
    examples = [Example("What is it?", answer_format=FORMAT, id=str(number)) for number in range(len(texts))]
    return [
        Group(example, tuple(Rollout(text, example.parse(text)) for _ in range(2)))
        for example, text in zip(examples, texts, strict=True)
    ]


def scored(estimator, reward, groups, timeout=60.0):
    return asyncio.run(Rewarder(estimator, reward, timeout).score(groups))


def rubric_reward():
    criteria = [f"names the letter {letter}" for letter in "abcde"]
    proposer = ScriptedModel(lambda prompt, i: str(criteria).replace("'", '"'), "proposer")
    return RubricReward(proposer, ScriptedModel(lambda prompt, i: '{"met": true}', "judge"))


# Groups without an answer


ESTIMATORS = {
    "vote": lambda: catlite.MajorityVote(),
    "anchored vote": lambda: catlite.AnchoredVote(ScriptedModel(lambda prompt, i: "no idea", "anchor"), n=2),
    "synthesis": lambda: catlite.Synthesis(ScriptedModel(lambda prompt, i: " ", "anchor")),
    "best of n": lambda: catlite.BestOfN(ScriptedModel(lambda prompt, i: "none of them", "judge")),
    "min perplexity": lambda: catlite.MinPerplexity(),
}


@pytest.mark.parametrize("reward", [catlite.AnswerMatch, rubric_reward, lambda: catlite.LengthPenalty(rubric_reward())])
@pytest.mark.parametrize("estimator", list(ESTIMATORS))
def test_a_group_without_a_reference_abstains_and_the_others_are_rewarded(estimator, reward):
    async def estimate(group):
        known = group.rollouts[0].answer is not None
        return await (echo if known else ESTIMATORS[estimator]())(group)

    batch = scored(estimate, reward(), groups_of("it is a", "no idea"))
    assert [one.abstains for one in batch.scored] == [False, True]
    assert batch.metrics["cat/abstained"] == 0.5
    assert batch.scored[1].fault


def test_a_vote_of_nobody_says_so_and_is_not_waited_for():
    started = time.monotonic()
    batch = scored(catlite.MajorityVote(), rubric_reward(), groups_of("no idea", "nor I"))
    assert time.monotonic() - started < SECONDS
    assert all(one.final and one.abstains for one in batch.scored)
    assert "no answer among the rollouts" in batch.faults[0]


def test_what_a_reward_finds_wrong_with_one_group_is_that_groups_matter():
    async def choosy(group, reference):
        if group.example.id == "1":
            raise ConfigError("this example has no rubric")
        return [1.0] * len(group.rollouts)

    batch = scored(echo, choosy, groups_of("it is a", "it is b"))
    assert batch.rewards == [1.0, 1.0, None, None]
    assert batch.scored[1].fault == "this example has no rubric"


def test_what_a_reward_finds_wrong_with_every_group_is_raised_until_one_was_rewarded():
    right = []

    async def sometimes(group, reference):
        if not right:
            raise ConfigError("it needs the price")
        return [1.0] * len(group.rollouts)

    rewarder = Rewarder(echo, sometimes, 60)
    with pytest.raises(ConfigError, match="needs the price"):
        asyncio.run(rewarder.score(groups_of("it is a", "it is b")))
    right.append(1)
    assert asyncio.run(rewarder.score(groups_of("it is a"))).rewards == [1.0, 1.0]
    right.clear()
    batch = asyncio.run(rewarder.score(groups_of("it is a")))
    assert (batch.rewards, batch.faults) == ([None, None], ["it needs the price"])


def test_an_estimator_that_gives_a_failed_reference_abstains_with_its_error():
    async def failed(group):
        return Reference("", None, "mine", group, error="the anchor was asleep")

    assert scored(failed, ones, groups_of("it is a")).faults == ["the anchor was asleep"]


@pytest.mark.parametrize(
    ("estimator", "reward", "said"),
    [
        (catlite.MajorityVote(), ones, "MajorityVote needs the answer_format"),
        (ESTIMATORS["anchored vote"](), ones, "AnchoredVote needs the answer_format"),
        (echo, catlite.AnswerMatch(), "AnswerMatch needs the answer_format"),
        (echo, catlite.LengthPenalty(catlite.AnswerMatch()), "AnswerMatch needs the answer_format"),
        (echo, catlite.ExpertRubric(ScriptedModel(lambda prompt, i: "yes")), "ExpertRubric needs the rubric"),
    ],
)
def test_what_no_example_has_is_refused_before_the_first_step(estimator, reward, said):
    without = [Example("What?", id="a"), Example("And what?", id="b")]
    with pytest.raises(ConfigError, match=f"{said}.*2 of 2 have none"):
        check_task(estimator, reward, without)


def test_what_some_examples_lack_is_a_warning():
    some = [Example("What?", answer_format=FORMAT), Example("And what?")]
    with pytest.warns(UserWarning, match="1 of 2 have none: their groups will abstain"):
        check_task(catlite.MajorityVote(), ones, some)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_task(catlite.MajorityVote(), ones, some[:1])
        check_task(echo, ones, some)


def test_a_vote_without_an_answer_format_is_refused_by_trl_reward_at_once():
    with pytest.raises(ConfigError, match=r"MajorityVote without answer_format.*boxed"):
        trl_reward(catlite.MajorityVote(), ones, num_generations=2)
    task = Task("t", (Example("What?", id="a"),))
    with pytest.raises(ConfigError, match="MajorityVote needs the answer_format"):
        trl_reward(catlite.MajorityVote(), ones, task=task, num_generations=2)


# Judges that refuse, and judges that are down


def answers_to(responses, reward, timeout=60.0):
    """What comes of a group of two whose judge's server answers so, how long it took, and how often it was asked."""
    with Server("yes", faults=responses) as server:
        endpoint = on(server, retry_seconds=0.05)
        started = time.monotonic()
        batch = scored(echo, reward(endpoint), groups_of("it is a"), timeout)
        seconds = time.monotonic() - started
        endpoint.close()
        return batch, seconds, len(server.requests)


def expert(judge):
    async def rubric(group, reference):
        example = Example(group.example.prompt, rubric=catlite.Rubric((catlite.Criterion("names a"),)), id="x")
        return await catlite.ExpertRubric(judge)(Group(example, group.rollouts), reference)

    return rubric


@pytest.mark.parametrize("code", [400, 413, 422])
@pytest.mark.parametrize(
    "reward",
    [
        expert,
        catlite.ModelAsJudge,
        lambda judge: RubricReward(judge, judge),
        lambda judge: RubricReward(rubric_reward().proposer, judge),
    ],
    ids=["expert rubric", "model as judge", "proposed rubric", "a proposer that answers"],
)
def test_a_judge_that_refuses_abstains_at_once(reward, code):
    batch, seconds, _ = answers_to([status(code)] * 200, reward)
    assert batch.rewards == [None, None]
    assert seconds < SECONDS
    assert batch.scored[0].final
    assert not batch.scored[0].over


@pytest.mark.parametrize("code", [401, 402, 403, 404, 405])
@pytest.mark.parametrize("reward", [expert, catlite.ModelAsJudge, lambda judge: RubricReward(judge, judge)])
def test_no_access_no_credit_and_no_model_end_training(reward, code):
    batch, seconds, _ = answers_to([status(code)] * 200, reward)
    assert batch.rewards == [None, None]
    assert seconds < SECONDS
    assert batch.scored[0].over


@pytest.mark.parametrize("reward", [expert, catlite.ModelAsJudge])
def test_a_judge_that_is_down_is_waited_for_whatever_swallows_its_failure(monkeypatch, reward):
    monkeypatch.setattr(module, "_BETWEEN", (0.01, 0.02))
    batch, _, asked = answers_to([status(503)] * 6, reward)
    assert batch.rewards == [1.0, 1.0]
    assert asked > 7


def test_a_judge_whose_answers_cannot_be_read_is_not_asked_the_same_again():
    with Server("perhaps") as server:
        endpoint = on(server)
        started = time.monotonic()
        batch = scored(echo, expert(endpoint), groups_of("it is a"))
        endpoint.close()
    assert batch.rewards == [None, None]
    assert time.monotonic() - started < SECONDS


def test_a_scorer_that_is_down_is_waited_for():
    with Server("yes", faults=[status(503)] * 200) as server:
        endpoint = on(server, retry_seconds=0.05)
        batch = scored(catlite.MinPerplexity(endpoint), ones, groups_of("it is a"), timeout=0.5)
        endpoint.close()
    assert batch.rewards == [None, None]
    assert not batch.scored[0].final


def test_a_refusal_raised_to_us_is_final_and_an_outage_is_not():
    async def refusing(group, reference):
        raise RequestRejected("no such parameter", status=400)

    async def down(group, reference):
        raise EndpointUnavailable("connection refused")

    assert scored(echo, refusing, groups_of("it is a")).scored[0].final
    assert not scored(echo, down, groups_of("it is a"), timeout=0.2).scored[0].final


# A reward's own time limit


@pytest.mark.parametrize("said", ["my own limit of 5 s", ""])
def test_a_rewards_own_timeout_is_its_own_and_once(said):
    asked = []

    async def impatient(group, reference):
        asked.append(1)
        raise TimeoutError(said)

    started = time.monotonic()
    batch = scored(echo, impatient, groups_of("it is a"))
    assert time.monotonic() - started < SECONDS
    assert len(asked) == 1
    assert batch.faults == [f"impatient ran out of time: TimeoutError{': ' + said if said else ''}"]


def test_an_estimators_own_timeout_is_its_own_and_once():
    async def impatient(group):
        async with asyncio.timeout(0.01):
            await asyncio.sleep(60)

    batch = scored(impatient, ones, groups_of("it is a"))
    assert "impatient ran out of time: TimeoutError" in batch.faults[0]


def test_our_limit_is_told_by_the_dial_the_user_has():
    async def hangs(group, reference):
        await asyncio.sleep(60)

    batch = asyncio.run(Rewarder(echo, hangs, 0.1, wait_dial="judge_wait").score(groups_of("it is a")))
    assert batch.faults == ["no reward within 0.1 s: raise judge_wait"]
