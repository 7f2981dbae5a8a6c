"""The ways of asking a model that a comparison sets beside its single sample."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from catlite.coerce import part_name
from catlite.data import Estimator, Task
from catlite.models.base import Model, token_limit
from catlite.references.greedy import Greedy
from catlite.references.synthesis import Synthesis
from catlite.references.vote import MajorityVote


def systems(
    task: Task, model: Model, anchor: Model, synthesis: Estimator | None, n: int, sampling: Mapping[str, Any]
) -> dict[str, Estimator]:
    """Give the estimators beside the single sample, by their names in the table; no synthesis: one by the anchor."""
    synthesis = synthesis or Synthesis(anchor, max_tokens=token_limit(sampling))
    estimators: dict[str, Estimator] = {"greedy": Greedy(model, sampling)}
    if task.verifiable:
        estimators[f"majority of {n}"] = MajorityVote()
    name = f"synthesis of {n}" if isinstance(synthesis, Synthesis) else part_name(synthesis)
    return estimators | {f"{name} 2" if name in estimators else name: synthesis}
