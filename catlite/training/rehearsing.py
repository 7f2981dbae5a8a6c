"""What a training asks for each group, and how many groups it has, so that its cost can be told before (pricing.py).

Left out: what the policy itself computes, which costs no dollars; and the reward of each reference in the checks of an
open-ended task, which is that of one rollout more.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from catlite.coerce import as_task, check_settings
from catlite.data import Example
from catlite.models.local.model import LocalModel
from catlite.references.synthesis import Synthesis
from catlite.rollouts import sample_group
from catlite.training.config import TrainConfig
from catlite.training.rewarder import default_reward


def groups_of(arguments: Mapping[str, Any]) -> int:
    """Count the groups that are rewarded: those of all steps, and those of the checks, by the arguments of `train`."""
    config = arguments["config"] or TrainConfig()
    check_settings(config, TrainConfig)
    validation = arguments["validation"]
    held = config.held_back if validation is None else len(as_task(validation, "train"))
    checks = 1 + math.ceil(config.steps / config.check_every)  # the first before any step, one after the last
    return config.steps * config.prompts_per_step + held * checks


def rehearsed_group(arguments: Mapping[str, Any]) -> Callable[[Example], Awaitable[object]]:
    """Give the work on one group: its rollouts, its reference and its rewards, by the arguments of `train`."""
    config, policy = arguments["config"] or TrainConfig(), arguments["policy"]
    local = policy if isinstance(policy, LocalModel) else LocalModel(policy)
    limit = config.max_completion_length
    estimator = arguments["estimator"] or Synthesis(local.frozen(), max_tokens=limit)
    reward = arguments["reward"] or default_reward(arguments["task"])

    async def work(example: Example) -> object:
        group = await sample_group(local, replace(example, answer=None), config.num_generations, max_tokens=limit)
        return await reward(group, await estimator(group))

    return work
