"""A class for `Dataset.map_batches` that makes a reference of every row. Nothing here knows Ray."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from catlite import answers
from catlite.coerce import check_estimator
from catlite.data import Estimator, Example, Group, Reference
from catlite.errors import ConfigError, EmbeddedModelError, StoreError
from catlite.estimation import Estimating
from catlite.models.base import Model, check_sampling, shown_name
from catlite.models.http.batch import BatchEndpoint
from catlite.models.naming import resolve
from catlite.rollouts import check_group, under_way
from catlite.runs.shared import digest_of
from catlite.scale import rows
from catlite.scale.sharing import Part, SharedRun


class Estimate:
    """Estimates a reference for every row of a batch, without labels, in an actor of Ray Data.

    A row has a `prompt`, and may have `answer_format`, `id` and `copy`: rows with the same prompt share their replies
    unless `copy` numbers them. What fails is a row with an `error`, and no exception; once a budget is reached or the
    endpoint refuses altogether, all further rows are. Any batch format will do; "pyarrow" costs least.

    Args:
        model: the policy: a Model that pickles (an Endpoint whose key is in the environment of every node), a name
            served at `base_url`, or a function without arguments that makes it, called in the actor.
        run: where replies are kept, and the limit and budget that all actors share; None keeps nothing.
        base_url: where a model given by name is served, a list for a fleet; None is OPENAI_BASE_URL on each node.
        estimator: what makes a reference of a group; None is Synthesis by the policy itself.
        n: rollouts per question; 8.
        answer_format: how replies write a final answer, for rows that do not say it; None for open-ended text.
        min_usable: a question with fewer usable rollouts fails; 1.
        whole: gives one column `whole`, the reference with its rollouts as JSON, instead of those of
            `References.to_parquet`; False.
        **sampling: temperature, top_p, max_tokens, … of the rollouts; a synthesis is held to the same max_tokens.

    Raises:
        ConfigError: for a wrong argument, and where the folder of the run is not shared.

    Example:
        >>> rows = ray.data.read_parquet("/mnt/shared/questions.parquet")
        >>> rows.map_batches(ray_data.Estimate, fn_constructor_kwargs={"model": model, "run": run}, batch_size=16)
    """

    def __init__(
        self,
        model: str | Model | Callable[[], Model],
        *,
        run: SharedRun | None = None,
        base_url: str | list[str] | None = None,
        estimator: Estimator | None = None,
        n: int = 8,
        answer_format: str | None = None,
        min_usable: int = 1,
        whole: bool = False,
        **sampling: Any,
    ) -> None:
        checked = check_settings(
            n=n, min_usable=min_usable, estimator=estimator, answer_format=answer_format, **sampling
        )
        policy = make_model(model, base_url)
        self.answer_format, self.whole = answer_format, whole
        self._estimating = Estimating(policy, estimator, n, min_usable, checked)
        self._part = Part(run, under_way(policy))

    async def __call__(self, batch: Any) -> Any:
        """Make a reference of every row.

        Args:
            batch: an Arrow table, a DataFrame, or a mapping of columns.

        Returns:
            An Arrow table with a row per reference, in order, and the columns of `References.to_parquet`.
        """
        references = await self._part.each(self._estimate, rows.records(batch))
        return rows.whole_table(references) if self.whole else rows.reference_table(references)

    async def _estimate(self, row: rows.Row) -> Reference:
        """Make the reference of one row, which has `.error` whatever goes wrong."""
        name = digest_of(repr(row)) if row.get("id") is None else str(row["id"])
        estimating, example = self._estimating, Example("(no prompt)", id=name)
        try:
            example = rows.example_of(row, self.answer_format)
            async with self._part.question(example.messages, int(row.get("copy") or 0)) as digest:
                example = replace(example, id=example.id or digest)
                return await estimating.estimate(example)
        except Exception as error:  # one row's failure must not take the data set with it
            if isinstance(error, StoreError | EmbeddedModelError):
                estimating.stops.append(error)
            return Reference(
                "", None, "", Group(example, (), shown_name(estimating.policy)), error=rows.reason_of(error)
            )


def check_settings(
    *, n: int = 8, min_usable: int = 1, estimator: Any = None, answer_format: str | None = None, **sampling: Any
) -> dict[str, Any]:
    """Check arguments of Estimate, and return the sampling parameters among them. Raises ConfigError."""
    check_group(n, min_usable)
    if estimator is not None:
        check_estimator(estimator)
    if answer_format is not None:
        answers.check_format(answer_format)
    return check_sampling(sampling, Estimate)


def make_model(model: str | Model | Callable[[], Model], base_url: str | list[str] | None = None) -> Model:
    """Make the Model of `model`; ConfigError for what is none, or works in one process alone."""
    candidate: Any = model
    if callable(model) and not isinstance(model, type | Model):
        candidate = model()
    policy = resolve(candidate, base_url=base_url)
    if isinstance(policy, BatchEndpoint):
        raise ConfigError(
            "a batch API is asked by one process, which waits for it: give BatchEndpoint to catlite.estimate, and an "
            "Endpoint to Ray"
        )
    return policy
