"""The references that `sft` trains on: one for each example, by the initial policy's rollouts."""

from __future__ import annotations

import dataclasses

from catlite import concurrency
from catlite.data import Estimator, Example, Group, Reference
from catlite.errors import CatliteError, ConfigError, EstimationError, GroupError, RequestRejected, StoreError
from catlite.rollouts import is_hopeless, sample_group, under_way
from catlite.training.config import SFTConfig
from catlite.training.examples import Named
from catlite.training.lora import TrainablePolicy


def references_of(policy: TrainablePolicy[SFTConfig], examples: Named, estimator: Estimator) -> list[Reference]:
    """A reference for each example, failed ones included; a budget that is reached ends it."""
    config = policy.config
    sampling = {"max_tokens": config.max_completion_length, **policy.sampling}
    initial = policy.local.frozen()  # the same model until it has been trained

    async def reference_of(named_example: tuple[str, Example]) -> Reference:
        name, example = named_example
        hidden = dataclasses.replace(example, answer=None, id=name)
        group = Group(hidden, ())
        try:
            group = await sample_group(initial, hidden, config.num_generations, seed=config.seed, **sampling)
            return await estimator(group)
        except (ConfigError, StoreError):
            raise
        except CatliteError as error:
            # What refuses one prompt, such as a filter, does not concern the others.
            if is_hopeless(error) or not isinstance(error, GroupError | EstimationError | RequestRejected):
                raise
            return Reference("", None, "none", group, error=str(error))

    return concurrency.run(concurrency.each(reference_of, examples, under_way(policy.local)))


def fault_of(reference: Reference) -> str | None:
    """Why `reference` cannot be trained on; None when it can."""
    if reference.error is not None:
        return reference.error
    if reference.truncated:
        return "it was cut off: raise max_completion_length"
    if reference.abstained:
        return f"{reference.source} {'; '.join(reference.notes)}"
    return None if reference.text.strip() else f"{reference.source} found no answer among the rollouts"
