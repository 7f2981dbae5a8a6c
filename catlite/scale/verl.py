"""GRPO without labels in verl 0.9.1: whole groups are scored by what `trl_reward` makes. Experimental.

verl asks for the reward of one rollout at a time. All rollouts of a prompt run on one event loop, though, so here they
wait for one another and one actor scores them together. verl finds the class through its configuration:

    ++actor_rollout_ref.rollout.agent.agent_loop_manager_class=catlite.scale.verl.GroupRewardManager
    ++catlite.path=rewards.py ++catlite.name=reward

`reward` is a function without arguments in that file, and returns what `catlite.trl_reward(…)` makes. A group without a
reward is a failed group to verl, which leaves it out of the training; so is one of which a rollout failed. Validation
stays verl's own. The classes reach into private parts of verl, hence the one version. Left out: verl's older trainer
(`trainer.use_v1=false`), and more than the last output of an agent loop, which is also the one that verl scores.
"""

from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Sequence
from typing import Any

from catlite.errors import ConfigError, MissingExtra, TrainingError
from catlite.extras import install
from catlite.scale.groups import Gathering, GroupScorer, Rewarded
from catlite.training.grouping import check_group

VERSION = "0.9.1"
_SCORER = "catlite-scorer"  # the actor's name, in the namespace of verl's own job
_GROUPS = 100_000  # that the actor works on at once: its endpoints have limits of their own
log = logging.getLogger("catlite.scale")


def _check_version() -> None:
    try:
        installed = importlib.metadata.version("verl")
    except importlib.metadata.PackageNotFoundError:
        raise MissingExtra(f"catlite.scale.verl needs verl {VERSION}: {install('verl')}") from None
    if installed != VERSION:
        raise ConfigError(
            f"verl {installed} is installed, and catlite.scale.verl uses private parts of verl {VERSION}: "
            f"pip install verl=={VERSION}, or let verl train on references, which every version takes (docs/verl.md)"
        )


_check_version()

import ray  # noqa: E402
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: E402
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ, AgentLoopWorkerTQ  # noqa: E402
from verl.utils.import_utils import load_extern_object  # noqa: E402


class Scorer(GroupScorer):
    """The actor that scores; it loads the reward where it works, so that no key travels."""

    def __init__(self, path: str, name: str) -> None:
        make: Any = load_extern_object(path, name)
        super().__init__(make())

    def __repr__(self) -> str:
        return "Scorer"  # Ray begins each line of the log with it


class GroupRewardWorker(AgentLoopWorkerTQ.__ray_metadata__.modified_class):  # type: ignore[misc]
    """Runs agent loops as verl's worker does, and has rollouts wait until their group is whole before it is scored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._scorer = ray.get_actor(_SCORER)
        self._gatherings: dict[str, Gathering[Any, Rewarded]] = {}  # by the prompt's uid; not of validation

    async def _run_prompt(
        self, prompt: dict[str, Any], sampling_params: dict[str, Any], trajectory: dict[str, Any], trace: bool = False
    ) -> None:
        uid = prompt["uid"]
        if not trajectory["validate"]:
            size = prompt.get("__rollout_n__", self.rollout_config.n)
            self._gatherings[uid] = Gathering(size, lambda outputs: self._score(prompt, outputs))
        try:
            await super()._run_prompt(prompt, sampling_params, trajectory, trace)
        finally:
            self._gatherings.pop(uid, None)

    async def _run_agent_loop(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super()._run_agent_loop(*args, **kwargs)
        finally:
            if (gathering := self._gatherings.get(kwargs["uid"])) is not None:
                gathering.leave(kwargs["session_id"])

    async def _compute_score(self, outputs: list[Any], kwargs: dict[str, Any]) -> None:
        gathering = self._gatherings.get(kwargs["uid"])
        if gathering is None:
            await super()._compute_score(outputs, kwargs)
            return
        reward, own = await gathering.result_of(kwargs["session_id"], outputs[-1])
        outputs[-1].reward_score = reward
        outputs[-1].extra_fields["reward_extra_info"] = {"rewarded": float(own)}

    async def _score(self, prompt: dict[str, Any], outputs: Sequence[Any]) -> Sequence[Rewarded]:
        name = (prompt.get("extra_info") or {}).get("id", prompt["uid"])
        replies = [
            (self.tokenizer.decode(output.response_ids, skip_special_tokens=True), list(output.response_ids))
            for output in outputs
        ]
        messages = [dict(message) for message in prompt["raw_prompt"]]
        cut_at = self.rollout_config.response_length, [self.tokenizer.eos_token_id]
        rewards, fault = await self._scorer.score.remote(str(name), messages, replies, cut_at)
        if fault is not None:
            raise TrainingError(fault)
        return rewards  # type: ignore[no-any-return]


class GroupRewardManager(AgentLoopManagerTQ):  # type: ignore[misc]
    """Starts workers that score whole groups; the class for verl's `agent_loop_manager_class`."""

    def __init__(self, config: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(config, *args, **kwargs)
        check_group(config.actor_rollout_ref.rollout.n, "actor_rollout_ref.rollout.n")
        where = config.get("catlite") or {}
        if not where.get("path") or not where.get("name"):
            raise ConfigError("verl's configuration lacks the reward: ++catlite.path=rewards.py ++catlite.name=reward")
        self.agent_loop_workers_class = ray.remote(GroupRewardWorker)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        options = {"name": _SCORER, "max_concurrency": _GROUPS, "scheduling_strategy": here}
        self._scorer = ray.remote(Scorer).options(**options).remote(where["path"], where["name"])
        ray.get(self._scorer.check.remote())

    def generate_sequences(self, prompts: Any) -> None:
        """Send prompts to the workers, as verl does, unless no group can be rewarded any more.

        Raises:
            TrainingError: the budget is reached or access refused; it ends the training.
        """
        if "validate" not in prompts and (silent := ray.get(self._scorer.check.remote())):
            log.warning("%s", silent)
        super().generate_sequences(prompts)
