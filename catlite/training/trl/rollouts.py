"""TRL's rollouts, drawn by what draws everything else here: checks, comparisons, the anchor.

A prompt is read once for its whole group, where TRL's own loop reads it again for every rollout; a batch that does not
fit in memory is halved; and what is drawn depends on the run's seed, the step and the place in it only, however many
processes share the step. A vLLM server that has gone is waited for; of several processes rank 0 asks it for all. Left
out: with Unsloth and no vLLM, or with settings of generation that only TRL knows, TRL generates.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable

import tenacity

from catlite import concurrency
from catlite.errors import ConfigError, EndpointUnavailable
from catlite.models.local.sampling import Drawing, Drawn
from catlite.training.config import TrainConfig
from catlite.training.lora import TrainablePolicy
from catlite.training.trl import ranks
from catlite.training.trl.compat import CALLS_US, trl_since

# In `trl={…}` these say how to generate, which is then for TRL to do.
_OF_TRL = (
    "use_transformers_paged",
    "use_transformers_continuous_batching",
    "generation_kwargs",
    "cache_implementation",
    "repetition_penalty",
)
_log = logging.getLogger("catlite.training")


def rollout_drawer(policy: TrainablePolicy[TrainConfig]) -> Callable[[list[list[int]], int], list[list[int]]] | None:
    """A function from (the tokens of each prompt, the step) to the tokens of each rollout; None where TRL generates.

    The function raises EndpointUnavailable for a server that does not come back within `judge_wait`. Raises
    ConfigError when a server is to draw, and TRL would.
    """
    config, local = policy.config, policy.local
    of_trl = [name for name in _OF_TRL if name in config.trl]
    if local.weights.vllm and (of_trl or not trl_since(CALLS_US)):
        why = f"trl={{{of_trl[0]!r}: …}} is for TRL's own generation" if of_trl else f"it needs TRL {CALLS_US} or later"
        fast = local.weights.settings["fast"]
        raise ConfigError(f"fast={fast!r} has vLLM draw all rollouts, and {why}: leave out either")
    if (not local.weights.vllm and local.backend != "transformers") or of_trl or not trl_since(CALLS_US):
        return None
    names = ("temperature", "top_p", "top_k", "min_p")
    settings = {name: policy.sampling[name] for name in names if policy.sampling.get(name) is not None}

    def draw(prompts: list[list[int]], step: int) -> list[list[int]]:
        if local.weights.url is not None:
            return ranks.work_on_first(lambda: prompts, lambda all_prompts: (draw_from(0, all_prompts, step), None))[0]
        return ranks.work_on_all(lambda: draw_from(ranks.rank() * len(prompts), prompts, step))

    def draw_from(first: int, prompts: list[list[int]], step: int) -> list[list[int]]:
        drawing = Drawing(max_tokens=config.max_completion_length, seed=seed_of(step, config), **settings)
        patient = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(EndpointUnavailable),
            wait=tenacity.wait_fixed(1.0),
            stop=tenacity.stop_after_delay(config.judge_wait),
            before_sleep=_announce,
            reraise=True,
        )
        # By the place in the step, so that two questions with the same words do not get the same rollouts.
        places = range(first, first + len(prompts))
        rollouts: list[Drawn] = patient(lambda: concurrency.run(local.draw(prompts, drawing, places)))
        return [drawn.tokens + ([] if drawn.end is None else [drawn.end]) for drawn in rollouts]

    return draw


def _announce(state: tenacity.RetryCallState) -> None:
    failure = state.outcome.exception() if state.outcome else None
    _log.warning("no rollouts (%s): drawing the step again", failure)


def seed_of(step: int, config: TrainConfig) -> int:
    """The seed that the rollouts of this step are drawn by."""
    return random.Random(f"rollouts of step {step}, seed {config.seed}").getrandbits(63)  # noqa: S311 - no secret
