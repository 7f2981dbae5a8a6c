"""A reference for every example of a task: `synthesize` for thousands of questions, in one run and under one budget."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from catlite import concurrency
from catlite.coerce import as_task, check_estimator, part_name
from catlite.data import Estimator, Example, Group, Progress, Prompt, Reference, Task
from catlite.errors import (
    BudgetReached,
    EmbeddedModelError,
    EstimationError,
    GroupError,
    ModelError,
    RubricError,
    ends_run,
)
from catlite.models.base import Model, Models, check_sampling, shown_name, token_limit
from catlite.models.naming import UNNAMED, BaseURL, Secret, notes_on, opened, sealed, sealed_url
from catlite.preflight import check_policy, check_readable
from catlite.references.dataset import References
from catlite.references.synthesis import Synthesis
from catlite.rollouts import check_group, make_reference, noted, raise_if_nothing_came, sample_group, under_way
from catlite.runs.budget import Budget
from catlite.runs.session import copies, copy_of, working


@dataclass
class Estimating:
    """How every question of a task gets its reference, and why no further one is begun.

    Args:
        policy: writes the rollouts.
        estimator: makes a reference of a group; None is Synthesis by the policy itself.
        n: rollouts of a question.
        min_usable: a question with fewer usable rollouts fails.
        sampling: parameters of the rollouts, checked.

    Raises:
        ConfigError: where a vote has no weight for a model of the policy.
    """

    policy: Model
    estimator: Estimator | None
    n: int
    min_usable: int
    sampling: dict[str, Any]
    stops: list[Exception] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.estimator = self.estimator or Synthesis(self.policy, max_tokens=token_limit(self.sampling))
        check_policy([self.estimator], self.policy)

    async def estimate(self, example: Example) -> Reference:
        """Make the reference of one question; one that failed, or was not begun, has `.error`."""
        assert self.estimator is not None
        group, name = Group(example, (), shown_name(self.policy)), part_name(self.estimator)
        if self.stops:
            return Reference("", None, name, group, error=f"not done: {self.stops[0]}")
        try:
            group = await sample_group(self.policy, example, self.n, min_usable=self.min_usable, **self.sampling)
            reference = await make_reference(self.estimator, group)
        except EmbeddedModelError:
            raise
        except (GroupError, EstimationError, RubricError, BudgetReached, ModelError) as error:
            if ends_run(error):
                self.stops.append(error)
            group = group if group.rollouts else error.group or group
            reference = Reference("", None, name, group, error=str(error))
            if error.usage is not None:
                reference = replace(reference, usage=error.usage)
        return await noted(reference)


async def aestimate(
    task: str | Task | Iterable[Example | Prompt],
    model: Models = UNNAMED,
    *,
    estimator: Estimator | None = None,
    n: int = 8,
    answer_format: str | None = None,
    min_usable: int = 1,
    run: str | Path | None = None,
    budget: Budget | None = None,
    progress: bool | Progress | None = None,
    base_url: BaseURL = None,
    api_key: str | Secret | None = None,
    **sampling: Any,
) -> References:
    """Estimate a reference for every example of a task, without labels: `synthesize`, for thousands of questions.

    To be awaited: `estimate` is the same, blocking.

    Args:
        task: a Task, Examples or prompts, or the name of a task that catlite knows ("gsm8k"); rows of a file or a
            DataFrame become a Task through `from_records`.
        model: the policy, as in `synthesize`.
        estimator: what makes a reference of a group; None is Synthesis by the policy itself.
        n: rollouts per question; 8.
        answer_format: how replies write a final answer, as in `synthesize`, for the examples that do not say it.
        min_usable: a question with fewer usable rollouts fails; 1.
        run: a folder in which every reply is kept as it arrives; the same call again asks only for what is missing.
        budget: a hard cap on requests, tokens or dollars; None for none.
        progress: as in `evaluate`.
        base_url: where a model given by name is served, a list for replicas of it.
        api_key: its key; never shown, logged or kept.
        **sampling: temperature, top_p, max_tokens, … of the rollouts; a synthesis is held to the same max_tokens.

    Returns:
        A list of one Reference per example, in order, that shows itself as a table and goes on as a DataFrame, a
        dataset, a Parquet file or a dataset of the Hub. One that failed, or was left undone because a budget was
        reached, no credit was left, the key was revoked or the endpoint is down, has `.error` and no text.

    Raises:
        ConfigError: for wrong arguments, before anything is sent.
        ModelError: (with its kinds) when the endpoint refuses altogether.
        StoreError: when the run's folder cannot be used or written.

    Example:
        >>> references = await catlite.estimation.aestimate(["What is 6 times 7?"], answer_format="boxed")
        >>> references.to_frame()[["prompt", "answer", "agreement"]]
    """
    where = base_url, api_key = sealed_url(base_url), sealed(api_key)
    check_group(n, min_usable)
    checked = check_sampling(sampling, aestimate)
    if estimator is not None:
        check_estimator(estimator)
    task = as_task(task, "estimate", answer_format=answer_format)
    examples = task.examples
    check_readable([] if estimator is None else [estimator], examples)
    async with opened(model, *where) as policy:
        estimating = Estimating(policy, estimator, n, min_usable, checked)
        same = copies(examples)  # rows with the same prompt are questions of their own

        async def estimate_one(position: int) -> Reference:
            begun = not estimating.stops
            with copy_of(same[position]):
                reference = await estimating.estimate(examples[position])
            if begun:
                tell(reference.total_usage)
            return reference

        with working(run, budget, progress, len(examples)) as (_, tell):
            references = await concurrency.each(estimate_one, range(len(examples)), under_way(policy))
        raise_if_nothing_came(estimating.stops, any(reference.group.replies for reference in references))
        return References(references, notes_on(model), task.name, checked)


estimate = concurrency.blocking(
    aestimate, base_url=sealed_url, api_key=sealed, task=lambda task: as_task(task, "estimate")
)
