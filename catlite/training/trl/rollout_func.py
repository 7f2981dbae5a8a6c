"""TRL's rollouts, drawn by the engine that draws everything else here: checks, comparisons, the anchor.

A prompt is read once for its whole group, where TRL's own loop reads it again for every rollout; a batch that does not
fit in memory is halved; and what is drawn depends on the run's seed, the step and the place in it only. Left out: with
Unsloth, with vLLM, or with settings of generation that only TRL knows, TRL generates.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from catlite.data import Message
from catlite.models.local.model import LocalModel
from catlite.models.local.sampling import Drawing
from catlite.training.config import TrainConfig, rollout_sampling
from catlite.training.trl.compat import TAKES_ROLLOUTS, trl_since

# In `trl={…}` these say how to generate, which is then for TRL to do.
_OF_TRL = (
    "use_vllm",
    "use_transformers_paged",
    "use_transformers_continuous_batching",
    "generation_kwargs",
    "cache_implementation",
    "repetition_penalty",
)

RolloutFunc = Callable[[list[list[Message]], Any], dict[str, Any]]


def rollout_func(
    policy: LocalModel, config: TrainConfig, done: Callable[[], None] = lambda: None
) -> RolloutFunc | None:
    """What TRL's GRPOTrainer takes under this name: prompts → tokens of prompts and rollouts. None: TRL generates.

    done: called when a step's rollouts are there.
    """
    ours = policy.backend == "transformers" and not any(name in config.trl for name in _OF_TRL)
    if not ours or not trl_since(TAKES_ROLLOUTS):
        return None
    sampling = rollout_sampling(config, policy.path, policy.sampling)
    names = ("temperature", "top_p", "top_k", "min_p")
    settings = {name: sampling[name] for name in names if sampling.get(name) is not None}

    def rollouts(prompts: list[list[Message]], trainer: Any) -> dict[str, Any]:
        drawing = Drawing(
            max_tokens=config.max_completion_length, seed=seed_of(trainer.state.global_step, config), **settings
        )
        read = [policy.tokens(prompt, sampling) for prompt in prompts]
        # By the place in the step, so that two questions with the same words do not get the same rollouts.
        replies = policy.weights.engine.draw(read, drawing, range(len(read)), adapter=True)
        try:
            drawn = [reply.result() for reply in replies]
        except BaseException:
            for reply in replies:
                reply.abandoned = True
            raise
        ends = [[] if one.end is None else [one.end] for one in drawn]
        done()
        completions = [one.tokens + end for one, end in zip(drawn, ends, strict=True)]
        return {"prompt_ids": read, "completion_ids": completions, "logprobs": None}

    return rollouts


def seed_of(step: int, config: TrainConfig) -> int:
    """What the rollouts of this step are drawn by."""
    return random.Random(f"rollouts of step {step}, seed {config.seed}").getrandbits(63)  # noqa: S311 - no secret
