"""A class for `Dataset.map_batches` that scores the replies of every row. Nothing here knows Ray."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from catlite.coerce import check_reward
from catlite.data import Reward
from catlite.errors import ConfigError, StoreError, ends_run
from catlite.models.base import Model, traits
from catlite.rewards.protocol import layers
from catlite.runs.session import listening, metered
from catlite.scale import rows
from catlite.scale.sharing import Part, SharedRun
from catlite.usage import Usage


class Judge:
    """Scores the replies of every row of a batch with a reward, in an actor of Ray Data.

    A row has a `prompt` and a `completion` (a text, or a list of one message), or `completions` (a list of texts, which
    a reward sees as one group), and may have `reference`, `answer`, `rubric`, `answer_format` and `id`. A score is
    right or null; once a budget is reached or the endpoint refuses altogether, all further scores are null.

    Args:
        reward: a reward that pickles, or a function without arguments that makes it, called in the actor.
        run: where replies are kept, and the limit and budget that all actors share; None keeps nothing.
        answer_format: how replies write a final answer, for rows that do not say it; None for open-ended text.

    Raises:
        ConfigError: for a wrong argument, and where the folder of the run is not shared.

    Example:
        >>> judge = {"reward": catlite.ModelAsJudge(model), "run": run}
        >>> rows.map_batches(ray_data.Judge, fn_constructor_kwargs=judge, batch_size=16)
    """

    def __init__(
        self,
        reward: Reward | Callable[[], Reward],
        *,
        run: SharedRun | None = None,
        answer_format: str | None = None,
    ) -> None:
        scorer: Any = reward
        if inspect.isfunction(reward) and not inspect.signature(reward).parameters:
            scorer = scorer()
        check_reward(scorer)
        self.reward: Reward = scorer
        self.answer_format = answer_format
        models = [
            part
            for layer in layers(scorer)
            for part in getattr(layer, "__dict__", {}).values()
            if isinstance(part, Model)
        ]
        self._part = Part(run, 2 * max([traits(model).max_connections for model in models], default=32))
        self._stops: list[Exception] = []

    async def __call__(self, batch: Any) -> Any:
        """Score the replies of every row.

        Args:
            batch: an Arrow table, a DataFrame, or a mapping of columns.

        Returns:
            The batch as an Arrow table, with `reward` (of `completion`) or `rewards` (of `completions`), null where
            there is no score, `reward_error`, and `reward_cost_usd`, null where it is not known.
        """
        table = rows.arrow(batch)
        return rows.reward_table(table, await self._part.each(self._score, table.to_pylist()))

    async def _score(self, row: rows.Row) -> rows.Row:
        """Score the replies of one row."""
        if self._stops:
            return {"reward_error": f"not done: {self._stops[0]}"}
        cost: list[Usage | None] = []
        try:
            graded = rows.graded_of(row, self.answer_format)
            texts = [rollout.text for rollout in graded.group.rollouts]
            async with self._part.question("judged", graded.group.example.messages, texts, row.get("reference")):
                with listening() as failures, metered() as cost:
                    scores = await self.reward(graded.group, graded.reference)
                    reason = _why_silent(graded, failures) if None in scores else None
                    self._stops += [failure for failure in failures if ends_run(failure)][:1]
            if len(scores) != len(texts):
                raise ConfigError(f"the reward gave {len(scores)} scores for {len(texts)} replies: want one each")
            result = {"rewards": scores} if graded.several else {"reward": scores[0]}
        except Exception as error:  # one row's failure must not take the data set with it
            if ends_run(error) or isinstance(error, StoreError):
                self._stops.append(error)
            result, reason = {}, rows.reason_of(error)
        return result | {"reward_error": reason, "reward_cost_usd": Usage.total(cost).cost_usd}


def _why_silent(graded: rows.Graded, failures: list[Exception]) -> str:
    """Say why a reply of a row has no score."""
    if failures:
        return str(failures[0])
    if graded.reference.text or graded.reference.answer is not None or graded.group.example.rubric:
        return "the reward gave no score: it could not tell"
    return "the reward gave no score: the row has no reference, answer or rubric to score by"
