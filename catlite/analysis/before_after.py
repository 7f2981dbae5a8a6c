"""Before and after: two models on the same questions, in all four ways one can ask them, question by question.

A single sample alone would flatter training, which mostly makes samples agree: greedy decoding and a majority vote of
the model it began with may well be as good. So always all four. Left out: more than two models; `evaluate` does one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from catlite import loop
from catlite.budget import Budget
from catlite.cards import html_table
from catlite.data import Group, Reference, Task, Usage
from catlite.evaluation import Estimator, aevaluate
from catlite.models.base import Model, resolve
from catlite.references.selection import MajorityVote
from catlite.references.synthesis import Synthesis
from catlite.results import SINGLE, Evaluation
from catlite.rewards.audit import Reward
from catlite.text import data_frame, table

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Comparison:
    """What `compare` found: an Evaluation of each model."""

    before: Evaluation = field(repr=False)
    after: Evaluation = field(repr=False)

    def to_frame(self) -> pd.DataFrame:
        """One row per system: both scores and the difference over the questions both were graded on.

        Columns: before, before_se, after, after_se, difference, difference_se (paired), questions.
        """
        return data_frame([self._row(system) for system in self.before.systems]).set_index("system")

    def _row(self, system: str) -> dict[str, Any]:
        was, now = (
            {row.position: row.score for row in one.rows if row.system == system and row.score is not None}
            for one in (self.before, self.after)
        )
        changes = [now[position] - was[position] for position in was if position in now]
        before, before_se, _ = self.before.score(system)
        after, after_se, _ = self.after.score(system)
        return {
            "system": system,
            "before": before,
            "before_se": before_se,
            "after": after,
            "after_se": after_se,
            "difference": fmean(changes) if changes else math.nan,
            "difference_se": stdev(changes) / math.sqrt(len(changes)) if len(changes) > 1 else math.nan,
            "questions": len(changes),
        }

    def _cells(self) -> list[list[str]]:
        cells = [["system", "before", "after", "difference", "questions"]]
        for system in self.before.systems:
            row = self._row(system)
            pairs = [f"{row[name]:.3f} ± {row[f'{name}_se']:.3f}" for name in ("before", "after")]
            cells.append(
                [system, *pairs, f"{row['difference']:+.3f} ± {row['difference_se']:.3f}", str(row["questions"])]
            )
        return cells

    @property
    def _title(self) -> str:
        return f"{self.before.task}: {self.before.policy} → {self.after.policy} (± standard error over questions)"

    def __str__(self) -> str:
        return self._title + "\n" + table(self._cells(), right=range(1, 5))

    def _repr_html_(self) -> str:
        return html_table(self._title, self._cells())


def compare(
    before: str | Model,
    after: str | Model,
    task: Task,
    *,
    synthesis: Estimator | None = None,
    grader: Reward | None = None,
    n: int = 8,
    run: str | Path | None = None,
    budget: Budget | None = None,
    progress: Callable[[int, int], None] | None = None,
    **sampling: Any,
) -> Comparison:
    """Scores two models on `task` as a single sample, greedy, by a majority vote of n and by a synthesis of n.

    After training: `compare(trained.initial, trained.policy, task)`. synthesis: by default with `before` as the anchor
    of both, as in training. grader, n, run, budget, progress, sampling: as in `evaluate`; the vote is left out where
    the task has no answer formats. Raises what `evaluate` raises.
    """

    async def work() -> Comparison:
        models = [resolve(before), resolve(after)]
        limit = sampling.get("max_tokens") or sampling.get("max_completion_tokens")
        synthesizing = synthesis or Synthesis(models[0], max_tokens=limit)
        found = []
        try:
            for model in models:
                estimators: list[Estimator] = [_greedy(model, sampling)]
                if task.verifiable:
                    estimators.append(MajorityVote())
                estimators.append(synthesizing)
                found.append(
                    await aevaluate(
                        task,
                        model,
                        estimators=estimators,
                        grader=grader,
                        n=n,
                        run=run,
                        budget=budget,
                        progress=progress,
                        **sampling,
                    )
                )
        finally:
            for model, given in zip(models, (before, after), strict=True):
                if model is not given:
                    await model.aclose()  # type: ignore[attr-defined]
        return Comparison(*(_renamed(one, n) for one in found))

    return loop.run(work())


def _greedy(model: Model, sampling: dict[str, Any]) -> Estimator:
    settings = {name: value for name, value in sampling.items() if name not in ("top_k", "top_p", "min_p", "seed")}

    async def greedy(group: Group) -> Reference:
        (reply,) = await model.sample(group.example.prompt, 1, **{**settings, "temperature": 0.0})
        answer = reply.answer or group.example.parse(reply.text)
        return Reference(reply.text, answer, "greedy", group, usage=Usage.total([reply.usage]), error=reply.error)

    return greedy


def _renamed(evaluation: Evaluation, n: int) -> Evaluation:
    """Systems under the names of the table."""
    names = {"MajorityVote": f"majority of {n}", "Synthesis": f"synthesis of {n}", SINGLE: SINGLE}
    rows = tuple(replace(row, system=names.get(row.system, row.system)) for row in evaluation.rows)
    return replace(evaluation, rows=rows)
