"""What a training asks for each group, and how many groups it has, so that its cost can be told before (pricing.py).

Left out: what the policy itself computes, which costs no dollars, and an end before the last step.
"""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any

from catlite.coerce import as_task
from catlite.data import Example
from catlite.models.local.model import LocalModel
from catlite.references.synthesis import Synthesis
from catlite.rollouts import sample_group
from catlite.training.checks import check
from catlite.training.config import TrainConfig, as_config
from catlite.training.gold import gold_rewarder
from catlite.training.rewarder import Rewarder, default_reward

Work = Callable[[Example], Awaitable[object]]


def rehearsed_parts(arguments: Mapping[str, Any]) -> list[tuple[int, Work]]:
    """List (groups, the work on one) of the steps, of the checks, and of the checks by the gold judge as well.

    Args:
        arguments: those of `train`, by name.
    """
    config, policy = as_config(arguments["config"], TrainConfig), arguments["policy"]
    local = policy if isinstance(policy, LocalModel) else LocalModel(policy)
    n, limit = config.num_generations, config.max_completion_length
    estimator = arguments["estimator"] or Synthesis(local.frozen(), max_tokens=limit)
    rewarder = Rewarder(estimator, arguments["reward"] or default_reward(arguments["task"]), config.judge_wait)
    validation = None if arguments["validation"] is None else list(as_task(arguments["validation"], "train"))
    held = list(arguments["task"])[: config.held_back] if validation is None else validation
    gold = gold_rewarder(config, local, rewarder, held)
    prompts = itertools.cycle(held)

    async def step(example: Example) -> object:
        group = await sample_group(local, replace(example, answer=None), n, max_tokens=limit)
        return await rewarder.score([group])

    async def check_plainly(example: Example) -> object:
        return await check_one(example, None)

    async def check_by_gold(example: Example) -> object:
        return await check_one(example, gold)

    async def check_one(example: Example, judge: Rewarder | None) -> object:
        example = replace(example, answer=None) if validation is None else next(prompts)
        return await check(local, [example], rewarder, n, 0, judge, max_tokens=limit)

    last, every = config.steps, config.check_every
    steps = [step for step in range(last + 1) if step % every == 0 or step == last]
    by_gold = sum(step % (every * config.gold_every) == 0 or step == last for step in steps) if gold else 0
    return [
        (last * config.prompts_per_step, step),
        (len(held) * (len(steps) - by_gold), check_plainly),
        (len(held) * by_gold, check_by_gold),
    ]
