"""TRL's rollouts, drawn by the engine that draws everything else here: checks, comparisons, the anchor.

A prompt is read once for its whole group, where TRL's own loop reads it again for every rollout; a batch that does not
fit in memory is halved; and what is drawn depends on the run's seed, the step and the place in it only. Left out: with
Unsloth, or with settings of generation that only TRL knows, TRL generates.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from catlite.models.local.sampling import Drawing
from catlite.training.config import TrainConfig
from catlite.training.lora import TrainablePolicy
from catlite.training.trl.compat import CALLS_US, trl_since

# In `trl={…}` these say how to generate, which is then for TRL to do.
_OF_TRL = (
    "use_transformers_paged",
    "use_transformers_continuous_batching",
    "generation_kwargs",
    "cache_implementation",
    "repetition_penalty",
)


def rollout_drawer(policy: TrainablePolicy[TrainConfig]) -> Callable[[list[list[int]], int], list[list[int]]] | None:
    """A function from (the tokens of each prompt, the step) to the tokens of each rollout; None where TRL generates."""
    config = policy.config
    ours = policy.local.backend == "transformers" and not any(name in config.trl for name in _OF_TRL)
    if not ours or not trl_since(CALLS_US):
        return None
    names = ("temperature", "top_p", "top_k", "min_p")
    settings = {name: policy.sampling[name] for name in names if policy.sampling.get(name) is not None}

    def draw(prompts: list[list[int]], step: int) -> list[list[int]]:
        drawing = Drawing(max_tokens=config.max_completion_length, seed=seed_of(step, config), **settings)
        # By the place in the step, so that two questions with the same words do not get the same rollouts.
        replies = policy.local.weights.engine.draw(prompts, drawing, range(len(prompts)), adapter=True)
        try:
            rollouts = [reply.result() for reply in replies]
        except BaseException:
            for reply in replies:
                reply.abandoned = True
            raise
        return [drawn.tokens + ([] if drawn.end is None else [drawn.end]) for drawn in rollouts]

    return draw


def seed_of(step: int, config: TrainConfig) -> int:
    """The seed that the rollouts of this step are drawn by."""
    return random.Random(f"rollouts of step {step}, seed {config.seed}").getrandbits(63)  # noqa: S311 - no secret
