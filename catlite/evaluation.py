"""Evaluation: the rewards of training, with gold in place of the pseudo-reference.

Every question flows on alone, from its rollouts through every estimator, with a bounded number of questions
under way; one connection limit (the endpoint's) holds for all. Left out so far: repeats, resume, budgets, paired
tests between systems.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from catlite import display, loop
from catlite.data import Example, Group, Reference, Task, Usage
from catlite.errors import ConfigError, EstimationError, GroupError
from catlite.models.base import Model, check_n, resolve
from catlite.rewards.answer_match import AnswerMatch
from catlite.rollouts import sample_group

if TYPE_CHECKING:
    import pandas as pd

Estimator = Callable[[Group], Awaitable[Reference]]
Reward = Callable[[Group, Reference], Awaitable[list[float | None]]]
SINGLE = "single sample"


@dataclass(frozen=True, slots=True)
class Row:
    """One system on one question. `score` is None when it could not be graded; then `error` says why."""

    position: int  # of the question in the task
    id: str
    system: str
    score: float | None
    generations: float  # replies this system needs for one answer: 1 for a single sample, n + 1 for synthesis
    usage: Usage
    reference: Reference | None = field(default=None, repr=False)
    error: str | None = None
    scores: tuple[float | None, ...] = ()  # of each rollout, for the single sample

    @property
    def answer(self) -> str | None:
        """The answer of the reference."""
        return self.reference.answer if self.reference is not None else None


@dataclass(frozen=True)
class Evaluation:
    """What `evaluate` found: one Row per question and system, and the references behind them."""

    task: str
    policy: str
    n: int
    rows: tuple[Row, ...] = field(repr=False)
    seconds: float  # wall time of the whole evaluation

    @property
    def references(self) -> list[Reference]:
        """All references, by question and then estimator."""
        return [row.reference for row in self.rows if row.reference is not None]

    @property
    def by_question(self) -> dict[tuple[int, str], Reference]:
        """References by position of the question and name of the system."""
        return {(row.position, row.system): row.reference for row in self.rows if row.reference is not None}

    def score(self, system: str) -> tuple[float, float, int]:
        """(mean, standard error over questions, questions graded); nan where there are too few."""
        scores = [row.score for row in self.rows if row.system == system and row.score is not None]
        mean = fmean(scores) if scores else math.nan
        error = stdev(scores) / math.sqrt(len(scores)) if len(scores) > 1 else math.nan
        return mean, error, len(scores)

    @property
    def systems(self) -> list[str]:
        """Names of what was compared, single sample first."""
        return list(dict.fromkeys(row.system for row in self.rows))

    def to_frame(self) -> pd.DataFrame:
        """One row per question and system, usage in columns of its own."""
        import pandas as pd

        names = ("prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd", "requests", "seconds")
        return pd.DataFrame(
            [
                {
                    "id": row.id,
                    "system": row.system,
                    "score": row.score,
                    "answer": row.answer,
                    "error": row.error,
                }
                | {"generations": row.generations}
                | {name: getattr(row.usage, name) for name in names}
                for row in self.rows
            ]
        )

    @property
    def summary(self) -> pd.DataFrame:
        """One row per system: score, its standard error over questions, and what it cost in all."""
        import pandas as pd

        return pd.DataFrame(self._totals()).set_index("system")

    def _totals(self) -> list[dict[str, Any]]:
        totals = []
        for system in self.systems:
            rows = [row for row in self.rows if row.system == system]
            usage = Usage.total(row.usage for row in rows)
            score, error, graded = self.score(system)
            totals.append(
                {
                    "system": system,
                    "score": score,
                    "se": error,
                    "graded": graded,
                    "questions": len(rows),
                    "generations": fmean(row.generations for row in rows),
                    "requests": usage.requests,
                    "prompt_tokens": usage.prompt_tokens,
                    "completion_tokens": usage.completion_tokens,
                    "seconds": usage.seconds,
                    "cost_usd": usage.cost_usd,
                }
            )
        return totals

    def __str__(self) -> str:
        return display.evaluation_text(self.task, self.policy, self._totals())

    def _repr_html_(self) -> str:
        return display.evaluation_html(self.task, self.policy, self._totals())


async def aevaluate(
    task: Task,
    policy: Model,
    *,
    estimators: Sequence[Estimator] = (),
    grader: Reward | None = None,
    n: int = 8,
    progress: Callable[[int, int], None] | None = None,
    **sampling: Any,
) -> Evaluation:
    """`evaluate`, awaited; `progress(done, questions)` is called after each question."""
    check_n(n)
    grader = _grader(task, grader)
    names = _names(estimators)
    started = time.monotonic()
    results: list[list[Row]] = [[] for _ in task]
    waiting = iter(enumerate(task))
    done = 0

    async def worker() -> None:
        nonlocal done
        for position, example in waiting:
            results[position] = await _one(example, position, policy, names, grader, n, sampling)
            done += 1
            if progress is not None:
                progress(done, len(task))

    # Twice the connections: while some questions are in their last stage, others keep the endpoint busy.
    workers = min(len(task), 2 * getattr(policy, "max_connections", 32))
    await loop.together(worker() for _ in range(workers))
    return Evaluation(
        task.name,
        policy.name,
        n,
        tuple(row for rows in results for row in rows),
        time.monotonic() - started,
    )


def evaluate(
    task: Task,
    policy: str | Model = "local",
    *,
    estimators: Sequence[Estimator] = (),
    grader: Reward | None = None,
    n: int = 8,
    progress: Callable[[int, int], None] | None = None,
    **sampling: Any,
) -> Evaluation:
    """Scores a single sample of the policy and every estimator's reference, on the same rollouts of each question.

    A single sample's score on a question is the mean over its `n` rollouts, and its cost their mean cost. grader: a
    reward, by default AnswerMatch against each example's answer. A question that fails is a row with score None
    and its error; the others are finished. Standard errors are over questions.

    Raises ConfigError for wrong arguments, such as a task without answers, and ModelError when the endpoint
    refuses altogether (a wrong key, an unknown model).
    """

    async def work() -> Evaluation:
        model = resolve(policy)
        try:
            return await aevaluate(
                task, model, estimators=estimators, grader=grader, n=n, progress=progress, **sampling
            )
        finally:
            if model is not policy:
                await model.aclose()  # type: ignore[attr-defined]

    return loop.run(work())


async def _one(
    example: Example,
    position: int,
    policy: Model,
    estimators: dict[str, Estimator],
    grader: Reward,
    n: int,
    sampling: dict[str, Any],
) -> list[Row]:
    """Every system on one question."""
    name = example.id if example.id is not None else str(position)
    try:
        group = await sample_group(policy, example, n, **sampling)
    except GroupError as error:
        spent, why = error.group.usage, str(error)
        return [Row(position, name, system, None, 0, spent, error=why) for system in (SINGLE, *estimators)]
    gold = Reference(example.answer or "", example.answer, "gold", group)
    scores = await grader(group, gold)
    graded = [score for score in scores if score is not None]
    row = Row(position, name, SINGLE, None, 1, _mean(group.usage, n), scores=tuple(scores))
    row = replace(row, score=fmean(graded)) if graded else replace(row, error="nothing could be graded")

    async def estimated(system: str, estimator: Estimator) -> Row:
        try:
            reference = await estimator(group)
        except EstimationError as error:
            return Row(position, name, system, None, n, group.usage, error=str(error))
        (score,) = await grader(Group(example, (reference.as_rollout(),)), gold)
        why = None if score is not None else "could not be graded"
        generations = n + reference.usage.requests
        return Row(position, name, system, score, generations, reference.total_usage, reference, why)

    return [row, *await loop.together(estimated(system, estimator) for system, estimator in estimators.items())]


def _mean(usage: Usage, n: int) -> Usage:
    """An n-th of a group's usage: what one of its rollouts cost on average."""

    def share(value: Any) -> Any:
        return None if value is None else value / n

    return Usage(
        share(usage.prompt_tokens),
        share(usage.completion_tokens),
        share(usage.cached_tokens),
        share(usage.cost_usd),
        share(usage.requests),
        share(usage.seconds),
    )


def _grader(task: Task, grader: Reward | None) -> Reward:
    if len(task) == 0:
        raise ConfigError(f"the task {task.name!r} has no examples")
    if grader is not None:
        return grader
    without = sum(example.answer is None for example in task)
    if without or not task.verifiable:
        raise ConfigError(
            f"{without} of {len(task)} examples of {task.name!r} have no answer to grade against"
            if without
            else f"the examples of {task.name!r} have answers but no answer_format by which to find one in a reply"
        )
    return AnswerMatch()


def estimator_name(estimator: Estimator) -> str:
    """How an estimator is called in results: its function's name, or its class's."""
    name: str = getattr(estimator, "__name__", type(estimator).__name__)
    return name


def _names(estimators: Sequence[Estimator]) -> dict[str, Estimator]:
    """Estimators by name, numbered when one comes twice."""
    named: dict[str, Estimator] = {}
    for estimator in estimators:
        if not callable(estimator):
            raise ConfigError(f"an estimator is an async function of a Group, not {estimator!r}")
        name = estimator_name(estimator)
        count = sum(known.split(" ")[0] == name for known in named)
        named[name if count == 0 else f"{name} {count + 1}"] = estimator
    return named
