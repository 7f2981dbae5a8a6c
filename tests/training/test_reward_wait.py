"""How long a reward is waited for: endpoints within a bound, weights in this process as long as they take."""

import asyncio
from dataclasses import dataclass

import pytest

from catlite import AnswerMatch, LengthPenalty, LocalModel, Rollout, Synthesis, trl_reward


class Elsewhere:
    """A model behind some client of the user's, that takes its time."""

    name = "slow"

    async def sample(self, prompt, n=1, **sampling):
        await asyncio.sleep(0.3)
        return [Rollout("The answer is a.", "a")] * n


class Here(Elsewhere, LocalModel):
    """The same as weights in this process."""

    def __init__(self):
        pass


def rewarded(estimator, reward=None):
    function = trl_reward(estimator, reward, num_generations=2, answer_format=r"is (\w+)", timeout=0.1)
    return function(["What?"] * 2, ["It is a", "It is b"]), function.last


def test_weights_in_this_process_are_waited_for_as_long_as_they_take():
    assert rewarded(Synthesis(Here()))[0] == [1.0, 0.0]


async def slow(group, reference=None):
    await asyncio.sleep(0.3)
    return [1.0, 0.0]


@dataclass
class Client:
    """A reward that asks a server in a way of its own."""

    url: str = "http://127.0.0.1:9"

    async def __call__(self, group, reference):
        return await slow(group)


@pytest.mark.parametrize(
    ("estimator", "reward"),
    [
        (Synthesis(Elsewhere()), AnswerMatch()),
        (slow, AnswerMatch()),
        (Synthesis(Here()), slow),
        (Synthesis(Here()), LengthPenalty(slow, limit=750, count=len)),
        (Synthesis(Here()), Client()),
    ],
    ids=["an endpoint", "a function", "a function as reward", "a function inside a reward", "a client"],
)
def test_whatever_may_be_elsewhere_is_given_up_with_the_setting_to_raise(estimator, reward):
    rewards, batch = rewarded(estimator, reward)
    assert rewards == [None, None]
    assert "raise timeout of trl_reward" in batch.faults[0]
