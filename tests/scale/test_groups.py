"""Rollouts that come one at a time are scored as whole groups, or not at all."""

import asyncio
import importlib.metadata
import random
import sys
from dataclasses import dataclass

import pytest

import catlite
from catlite import Budget, Endpoint, MajorityVote, Synthesis, VoteShare, trl_reward
from catlite.errors import ConfigError, EstimationError, MissingExtra, StoreError, TrainingError
from catlite.scale.groups import Gathering, GroupScorer

PROMPTS, SIZE = 60, 8
NO_LIMIT = (None, ())


def replies_of(number):
    """Eight rollouts of a prompt, of which a different number agree."""
    agree = 3 + number % 5
    return [rf"So \boxed{{{number if at < agree else 1000 + at}}}" for at in range(SIZE)]


@dataclass(frozen=True)
class FailingVote:
    """A vote whose provider fails for every 20th prompt."""

    async def __call__(self, group):
        if int(group.example.id) % 20 == 7:
            raise EstimationError("the provider failed", group)
        return await MajorityVote()(group)


def scored(scorer, number, texts=None, prompt="q"):
    messages = [{"role": "user", "content": prompt}]
    return scorer.score(str(number), messages, [(text, []) for text in texts or replies_of(number)], NO_LIMIT)


# Gathering


def test_sessions_get_their_own_result_in_whatever_order_they_come():
    async def work():
        calls = []

        async def score(rollouts):
            calls.append(rollouts)
            return [text.upper() for text in rollouts]

        gathering = Gathering(3, score)
        results = await asyncio.gather(*(gathering.result_of(at, "abc"[at]) for at in (2, 0, 1)))
        for session in range(3):
            gathering.leave(session)
        return calls, results

    assert asyncio.run(work()) == ([["a", "b", "c"]], ["C", "A", "B"])


def test_a_session_that_ends_without_a_rollout_frees_the_others_with_an_error():
    async def work():
        gathering = Gathering(3, None)
        waiting = [asyncio.create_task(gathering.result_of(at, "text")) for at in (0, 2)]
        await asyncio.sleep(0)
        gathering.leave(1)
        late = Gathering(2, None)
        late.leave(0)
        waiting.append(asyncio.create_task(late.result_of(1, "text")))
        return await asyncio.gather(*waiting, return_exceptions=True)

    first, second, late = asyncio.run(work())
    assert [type(error) for error in (first, second, late)] == [TrainingError] * 3
    assert "session 1 of 3 ended without a rollout" in str(first) == str(second)


def test_a_session_that_is_cancelled_or_a_score_that_fails_hides_nothing_from_the_others():
    async def work():
        started, go = asyncio.Event(), asyncio.Event()

        async def score(rollouts):
            started.set()
            await go.wait()
            if "bad" in rollouts:
                raise ValueError("bad")
            return rollouts

        outcomes = []
        for word in ("good", "bad"):
            started.clear()
            go.clear()
            gathering = Gathering(3, score)
            tasks = [asyncio.create_task(gathering.result_of(at, word)) for at in range(3)]
            await started.wait()
            tasks[0].cancel()
            go.set()
            outcomes.append(await asyncio.gather(*tasks, return_exceptions=True))
        return outcomes

    good, bad = asyncio.run(work())
    assert isinstance(good[0], asyncio.CancelledError)
    assert good[1:] == ["good", "good"]
    assert [str(error) for error in bad[1:]] == ["bad", "bad"]


# GroupScorer


def test_groups_have_the_rewards_of_whole_groups_and_failed_ones_have_none():
    scorer = GroupScorer(trl_reward(FailingVote(), answer_format="boxed"))
    broken = {number for number in range(PROMPTS) if number % 20 == 3}  # one session of these fails

    async def session(gathering, number, at, text):
        await asyncio.sleep(random.Random(number * SIZE + at).random() / 100)
        try:
            return None if number in broken and at == 5 else await gathering.result_of(at, (text, []))
        finally:
            gathering.leave(at)

    async def prompt(number):
        async def score(replies):
            rewards, fault = await scorer.score(str(number), [{"role": "user", "content": "q"}], replies, NO_LIMIT)
            if fault:
                raise TrainingError(fault)
            return rewards

        gathering = Gathering(SIZE, score)
        sessions = (session(gathering, number, at, text) for at, text in enumerate(replies_of(number)))
        return await asyncio.gather(*sessions, return_exceptions=True)

    async def work():
        return await asyncio.gather(*map(prompt, range(PROMPTS)))

    outcomes = asyncio.run(work())
    whole = trl_reward(MajorityVote(), answer_format="boxed", num_generations=SIZE)
    for number, rewards in enumerate(outcomes):
        if number in broken:
            assert [type(error) for error in rewards] == [TrainingError] * 5 + [type(None)] + [TrainingError] * 2
        elif number % 20 == 7:
            assert {str(error) for error in rewards} == {"the provider failed"}
        else:
            expected = whole(["q"] * SIZE, replies_of(number), qid=[number] * SIZE)
            assert rewards == [(reward, True) for reward in expected]
    assert scorer.check() == (
        "3 groups had no reward and are left out of the training, most of them since: the provider failed"
    )
    assert scorer.check() is None


def test_a_rollout_that_cannot_be_judged_has_the_mean_of_its_group():
    async def some(group, reference):
        return [1.0, 0.0, None, 0.5]

    scorer = GroupScorer(trl_reward(MajorityVote(), some, answer_format="boxed"))
    rewards, fault = asyncio.run(scored(scorer, 1, [r"\boxed{1}"] * 4))
    assert rewards == [(1.0, True), (0.0, True), (0.5, False), (0.5, True)]
    assert fault is None


def test_a_vote_that_abstains_leaves_its_group_out_and_the_training_goes_on():
    scorer = GroupScorer(trl_reward(MajorityVote(min_agreement=0.9), answer_format="boxed"))
    rewards, fault = asyncio.run(scored(scorer, 1))
    assert rewards == []
    assert "MajorityVote" in fault
    assert fault in scorer.check()


def test_the_budget_ends_the_training_and_a_second_run_sends_nothing(server, tmp_path):
    server.reply = r"It is \boxed{7}"

    def work(budget, numbers):
        endpoint = Endpoint("test-model", base_url=server.url, api_key=server.key)
        scorer = GroupScorer(
            trl_reward(Synthesis(endpoint), answer_format="boxed", run=tmp_path / "run", budget=budget)
        )

        async def all_of_them():
            async with endpoint:
                return [await scored(scorer, number, prompt=f"Say {number}") for number in numbers]

        return scorer, asyncio.run(all_of_them())

    scorer, results = work(Budget(requests=2), range(4))
    assert [fault is None for _, fault in results] == [True, True, False, False]
    with pytest.raises(TrainingError, match="budget is reached"):
        scorer.check()
    sent = server.completions
    assert sent == 2
    again, same = work(Budget(requests=2), range(2))
    assert same == results[:2]
    assert again.check() is None
    assert server.completions == sent


def test_what_refuses_every_group_ends_the_training_and_what_refuses_one_does_not():
    @dataclass(frozen=True)
    class Picky:
        async def __call__(self, group):
            if "7" in str(group.example.id):
                raise ConfigError("no sevens")
            return await MajorityVote()(group)

    scorer = GroupScorer(trl_reward(Picky(), answer_format="boxed"))
    assert asyncio.run(scored(scorer, 7)) == ([], "no sevens")
    with pytest.raises(TrainingError, match="no group could be rewarded: no sevens"):
        scorer.check()
    asyncio.run(scored(scorer, 1))
    assert "no sevens" in scorer.check()


def test_a_run_folder_that_another_process_holds_ends_the_training(monkeypatch):
    def held(run):
        raise StoreError("the folder is in use")

    scorer = GroupScorer(trl_reward(MajorityVote(), answer_format="boxed"))
    monkeypatch.setattr("catlite.training.reward.open_run", held)
    assert asyncio.run(scored(scorer, 1)) == ([], "the folder is in use")
    with pytest.raises(TrainingError, match="in use"):
        scorer.check()


def test_what_scores_no_groups_is_refused():
    with pytest.raises(ConfigError, match=r"catlite\.trl_reward"):
        GroupScorer(MajorityVote())
    with pytest.raises(ConfigError, match="penalty=0"):
        GroupScorer(trl_reward(MajorityVote(), VoteShare(penalty=0.5), answer_format="boxed"))
    rewards, fault = asyncio.run(scored(GroupScorer(trl_reward(MajorityVote(), answer_format="boxed")), 1, ["one"]))
    assert rewards == []
    assert "at least 2" in fault


# The version of verl


@pytest.mark.parametrize(("installed", "error"), [(None, MissingExtra), ("0.8.1", ConfigError), ("0.9.2", ConfigError)])
def test_another_verl_is_refused_with_what_to_do(monkeypatch, installed, error):
    def version(name):
        if installed is None:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.delitem(catlite.scale.__dict__, "verl", raising=False)
    monkeypatch.delitem(sys.modules, "catlite.scale.verl", raising=False)
    with pytest.raises(error, match=r"verl.*0\.9\.1"):
        importlib.import_module("catlite.scale.verl")
