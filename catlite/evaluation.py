"""Evaluation: the rewards of training, with gold in place of the pseudo-reference.

Every question flows on alone, from its rollouts through every estimator, with a bounded number of questions
under way; one connection limit (the endpoint's) holds for all. Left out: repeats with fresh rollouts.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Any

from catlite import display, loop
from catlite.budget import Budget, capped
from catlite.data import Example, Group, Judgement, Reference, Task, Usage
from catlite.errors import BudgetReached, ConfigError, EstimationError, GroupError, RequestRejected, RubricError
from catlite.models.base import Model, check_n, resolve
from catlite.models.keys import Secret, sealed
from catlite.rewards.answer_match import AnswerMatch
from catlite.rewards.audit import Reward, audited, check_gradable, warn_own_judge
from catlite.rollouts import is_hopeless, sample_group, under_way
from catlite.store import open_run

if TYPE_CHECKING:
    import pandas as pd

Estimator = Callable[[Group], Awaitable[Reference]]
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
    scores: tuple[float | None, ...] = ()  # of each rollout graded: of one, but for the single sample
    judgement: Judgement | None = field(default=None, repr=False)  # the verdicts behind the score, by a rubric

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
    stopped: str | None = None  # why not every question was done, when a budget ended it
    groups: tuple[Group, ...] = field(default=(), repr=False)  # by position; without rollouts where it was not done

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
                    "generations": fmean([row.generations for row in rows if row.score is not None] or [math.nan]),
                    "requests": usage.requests,
                    "prompt_tokens": usage.prompt_tokens,
                    "completion_tokens": usage.completion_tokens,
                    "seconds": usage.seconds,
                    "cost_usd": usage.cost_usd,
                }
            )
        return totals

    def save(self, path: str | Path) -> Path:
        """Writes everything as JSON, readable by the owner only, and returns where; a folder gets evaluation.json.

        The file is there whole or not at all. Metadata of examples that is no JSON is kept as its repr.
        """
        from catlite import saved

        return saved.save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Evaluation:
        """What `save`, or `evaluate` at the end of a run, wrote: a file, or the folder of a run.

        Raises StoreError when there is none, or when it is no evaluation of this version.
        """
        from catlite import saved

        return saved.load(Path(path))

    def __str__(self) -> str:
        text = display.evaluation_text(self.task, self.policy, self._totals())
        return text if self.stopped is None else f"{text}\nStopped early: {self.stopped}."

    def _repr_html_(self) -> str:
        return display.evaluation_html(self.task, self.policy, self._totals())


async def aevaluate(
    task: Task,
    policy: Model,
    *,
    estimators: Sequence[Estimator] = (),
    grader: Reward | None = None,
    n: int = 8,
    run: str | Path | None = None,
    budget: Budget | None = None,
    progress: Callable[[int, int], None] | None = None,
    **sampling: Any,
) -> Evaluation:
    """`evaluate`, awaited; `policy` is a Model."""
    check_n(n)
    grader = _grader(task, grader)
    warn_own_judge(policy, grader)
    names = _names(estimators)
    with open_run(run) as store, capped(budget, store.usage() if store and budget else Usage()):
        result = await _evaluate(task, policy, names, grader, n, progress, sampling)
        if run is not None:
            assert store is not None
            await asyncio.to_thread(result.save, store.folder)
        return result


async def _evaluate(
    task: Task,
    policy: Model,
    estimators: dict[str, Estimator],
    grader: Reward,
    n: int,
    progress: Callable[[int, int], None] | None,
    sampling: dict[str, Any],
) -> Evaluation:
    started = time.monotonic()
    done = 0
    stops: list[BudgetReached] = []

    async def one(numbered: tuple[int, Example]) -> tuple[Group, list[Row]]:
        nonlocal done
        position, example = numbered
        if stops:
            why = f"not done: {stops[0]}"
            group = Group(example, ())
            rows = [_ungraded(example, position, system, why) for system in (SINGLE, *estimators)]
        else:
            group, rows = await _one(example, position, policy, estimators, grader, n, sampling, stops)
        done += 1
        if progress is not None:
            progress(done, len(task))
        return group, rows

    found = await loop.each(one, list(enumerate(task)), under_way(policy))
    groups = tuple(group for group, _ in found)
    rows = tuple(row for _, rows in found for row in rows)
    stopped = str(stops[0]) if stops else None
    return Evaluation(task.name, policy.name, n, rows, time.monotonic() - started, stopped, groups)


def evaluate(
    task: Task,
    policy: str | Model = "local",
    *,
    estimators: Sequence[Estimator] = (),
    grader: Reward | None = None,
    n: int = 8,
    run: str | Path | None = None,
    budget: Budget | None = None,
    progress: Callable[[int, int], None] | None = None,
    base_url: str | Secret | None = None,
    api_key: str | Secret | None = None,
    **sampling: Any,
) -> Evaluation:
    """Scores a single sample of the policy and every estimator's reference, on the same rollouts of each question.

    A single sample's score on a question is the mean over its `n` rollouts (avg@n), its cost that of one of them alone.
    grader: a reward, by default AnswerMatch against each example's answer. run: a folder in which every reply is
    kept as it arrives, and at the end the result as evaluation.json (what `report` reads; the latest evaluation of a
    run is kept); the same call again, after success, Ctrl-C or a crash, asks only for what is missing. budget:
    a hard cap on the run; once it is reached, the questions that were not done are rows without a score, and the
    same call with a larger one goes on. progress: called with (questions done, questions). A question that fails is
    a row with score None and its error; the others are finished. Standard errors are over questions.

    Raises ConfigError for wrong arguments, such as a task without answers; ModelError when the endpoint refuses
    altogether (a wrong key, an unknown model); StoreError when the run's folder cannot be used or written.
    """
    where = {"base_url": sealed(base_url), "api_key": sealed(api_key)}
    base_url = api_key = None

    async def work() -> Evaluation:
        model = resolve(policy, **where)
        try:
            return await aevaluate(
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
        finally:
            if model is not policy:
                await model.aclose()  # type: ignore[attr-defined]

    return loop.run(work())


def _name(example: Example, position: int) -> str:
    return example.id if example.id is not None else str(position)


def _ungraded(example: Example, position: int, system: str, why: str, spent: Usage | None = None) -> Row:
    return Row(position, _name(example, position), system, None, 0, spent or Usage(), error=why)


async def _one(
    example: Example,
    position: int,
    policy: Model,
    estimators: dict[str, Estimator],
    grader: Reward,
    n: int,
    sampling: dict[str, Any],
    stops: list[BudgetReached],
) -> tuple[Group, list[Row]]:
    """Its rollouts, and every system on one question; a budget that is reached is added to `stops`."""
    try:
        group = await sample_group(policy, example, n, **sampling)
    except (GroupError, BudgetReached, RequestRejected) as error:
        if is_hopeless(error):
            raise
        group = error.group if isinstance(error, GroupError) else Group(example, ())
        if isinstance(error, BudgetReached):
            stops.append(error)
        return group, [
            _ungraded(example, position, system, str(error), group.usage) for system in (SINGLE, *estimators)
        ]
    name = _name(example, position)
    gold = Reference(example.answer or "", example.answer, "gold", group)

    async def graded(row: Row, rollouts: Group) -> Row:
        """`row` with the mean score of `rollouts`, or with why there is none."""
        try:
            scores, judgement = await audited(grader, rollouts, gold)
        except (BudgetReached, RequestRejected, RubricError) as error:
            if is_hopeless(error):
                raise
            if isinstance(error, BudgetReached):
                stops.append(error)
            return replace(row, error=f"not graded: {error}")
        known = [score for score in scores if score is not None]
        found = {"score": fmean(known)} if known else {"error": "could not be graded"}
        return replace(row, scores=tuple(scores), judgement=judgement, **found)

    async def sampled() -> Row:
        return await graded(Row(position, name, SINGLE, None, 1, _single(group)), group)

    async def estimated(system: str, estimator: Estimator) -> Row:
        try:
            reference = await estimator(group)
        except (EstimationError, BudgetReached, RequestRejected) as error:
            if is_hopeless(error):
                raise
            if isinstance(error, BudgetReached):
                stops.append(error)
            spent = getattr(error, "usage", None) or Usage()
            return _ungraded(example, position, system, str(error), group.usage + spent)
        generations = n + reference.usage.requests
        row = Row(position, name, system, None, generations, reference.total_usage, reference)
        return await graded(row, Group(example, (reference.as_rollout(),)))

    found = await loop.together([sampled(), *(estimated(name, each) for name, each in estimators.items())])
    return group, found


def _single(group: Group) -> Usage:
    """What one rollout alone would have cost, on average: a request of its own, with the whole prompt.

    The seconds are those of the request that brought the group, so no less than one rollout alone takes.
    """
    parts = [rollout.usage for rollout in group.rollouts if rollout.usage is not None]
    first = [usage for usage in parts if usage.requests]  # on these stand prompt and seconds of their request
    if not first:
        return Usage.total([None])

    def mean(values: list[Any]) -> Any:
        return None if None in values else fmean(values)

    return Usage(
        mean([usage.prompt_tokens for usage in first]),
        mean([usage.completion_tokens for usage in parts]),
        mean([usage.cached_tokens for usage in first]),
        mean([usage.cost_usd for usage in first]),
        1,
        mean([usage.seconds for usage in first]),
    )


def _grader(task: Task, grader: Reward | None) -> Reward:
    if len(task) == 0:
        raise ConfigError(f"the task {task.name!r} has no examples")
    if grader is not None:
        check_gradable(grader, task)
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
