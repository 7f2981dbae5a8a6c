"""How long a reward is waited for: endpoints within a bound, weights in this process as long as they take."""

import asyncio
from dataclasses import dataclass

from catlite import LocalModel, Reference, Rollout, trl_reward


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


@dataclass
class Asks:
    """An estimator that asks a model."""

    model: object

    async def __call__(self, group):
        (reply,) = await self.model.sample("?", 1)
        return Reference(reply.text, "a", "asks", group, notes=("2 rollouts trimmed to 9 characters each",))


def rewarded(model):
    function = trl_reward(Asks(model), num_generations=2, answer_format=r"is (\w+)", timeout=0.1)
    return function(["What?"] * 2, ["It is a", "It is b"]), function.last


def test_weights_in_this_process_are_waited_for_as_long_as_they_take():
    rewards, batch = rewarded(Here())
    assert rewards == [1.0, 0.0]
    assert batch.metrics["cat/trimmed"] == 1.0  # and what a reference lost shows in the metrics


def test_what_is_elsewhere_is_given_up_with_the_setting_to_raise():
    rewards, batch = rewarded(Elsewhere())
    assert rewards == [None, None]
    assert "raise judge_wait" in batch.faults[0]


def test_a_function_of_ones_own_is_bounded():
    async def slow(group):
        await asyncio.sleep(0.3)

    assert trl_reward(slow, num_generations=2, timeout=0.1)(["What?"] * 2, ["a", "b"]) == [None, None]
