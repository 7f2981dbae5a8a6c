"""Evaluation: the rewards of training, with gold in place of the pseudo-reference.

Every question flows on alone, from its rollouts through every estimator, with a bounded number of questions under way;
the endpoint's connection limit holds for all of them. What comes out is in results.py.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from catlite import concurrency
from catlite.coerce import as_estimators, as_task
from catlite.costs import of_one
from catlite.data import Estimator, Example, Group, Prompt, Reference, Reward, Task
from catlite.errors import (
    BudgetReached,
    CatliteError,
    ConfigError,
    EmbeddedModelError,
    EstimationError,
    GroupError,
    ModelError,
    RubricError,
)
from catlite.models.base import Model, check_n, check_sampling
from catlite.models.http.keys import Secret, sealed
from catlite.models.naming import resolve
from catlite.models.preferring import noting
from catlite.preflight import check_readable
from catlite.results import SINGLE, Evaluation, Row, as_evaluation
from catlite.rewards.answer_match import GOLD
from catlite.rewards.protocol import audited, grader_of, warn_own_judge
from catlite.rollouts import ends_run, keeping, raise_if_nothing_came, sample_group, under_way
from catlite.runs.budget import Budget, capped
from catlite.runs.progress import Progress, reporting
from catlite.runs.store import copies, copy_of, open_run, samples_from
from catlite.usage import Usage

Estimators = Sequence[Estimator] | Mapping[str, Estimator]
_UNDER_WAY = 64  # questions at once where no policy says how many it takes


async def aevaluate(
    task: str | Task | Iterable[Example | Prompt],
    policy: Model,
    *,
    estimators: Estimator | Estimators = (),
    grader: Reward | None = None,
    n: int = 8,
    n_repeats: int = 1,
    run: str | Path | None = None,
    budget: Budget | None = None,
    progress: bool | Progress | None = None,
    **sampling: Any,
) -> Evaluation:
    """`evaluate`, awaited; `policy` is a Model."""
    check_n(n)
    if isinstance(n_repeats, bool) or not isinstance(n_repeats, int) or n_repeats < 1:
        raise ConfigError(f"n_repeats={n_repeats!r}: want a whole number of at least 1")
    check_sampling(sampling, evaluate)
    named = _names(estimators)
    task = _as_task(task)
    check_readable(named.values(), task.examples)
    work = _Work(named, grader_of(task, grader))
    warn_own_judge(policy, work.grader)
    started = time.monotonic()
    # All questions before the next repeat: a run store lets the same question be asked once at a time only.
    items = [(position, example, repeat) for repeat in range(n_repeats) for position, example in enumerate(task)]
    same = copies(task)  # rows with the same prompt are questions of their own
    with (
        open_run(run) as store,
        capped(budget, store),
        reporting(progress, len(items), run) as tell,
    ):

        async def one(item: tuple[int, Example, int]) -> tuple[Group, list[Row]]:
            position, _, repeat = item
            with copy_of(same[position]):
                group, single = await work.sampled(policy, n, sampling, *item)
            with copy_of(same[position], repeat):
                return group, work.told(tell, group, await work.rows(group, single))

        found = await concurrency.each(one, items, under_way(policy))
        raise_if_nothing_came(work.stops, any(group.replies for group, _ in found))
        rows = tuple(row for _, rows in found for row in rows)
        groups = tuple(group for group, _ in found)
        seconds = time.monotonic() - started
        result = Evaluation(task.name, policy.name, n, rows, seconds, work.stopped, groups, n_repeats)
        if run is not None:
            assert store is not None
            await asyncio.to_thread(result.save, store.folder)
        return result


def evaluate(
    task: str | Task | Iterable[Example | Prompt],
    policy: str | Model = "local",
    *,
    estimators: Estimator | Estimators = (),
    grader: Reward | None = None,
    n: int = 8,
    n_repeats: int = 1,
    answer_format: str | None = None,
    run: str | Path | None = None,
    budget: Budget | None = None,
    progress: bool | Progress | None = None,
    base_url: str | Secret | None = None,
    api_key: str | Secret | None = None,
    **sampling: Any,
) -> Evaluation:
    """Score a single sample of the policy and every estimator's reference, on the same rollouts of each question.

    A single sample's score on a question is the mean over its `n` rollouts (avg@n), its cost what one of them alone
    takes on average. A rollout that came and has no answer scores 0, cut off, filtered and empty ones included, and so
    does an estimator that could make nothing of what came; a call that failed has no score. A question of which nothing
    came is a row with score None and its error; the others are finished. Standard errors are over questions.

    Args:
        task: a Task, Examples with their answers, or the name of a task that catlite knows ("gsm8k"); rows of a file or
            a DataFrame become a Task through `from_records`.
        policy: the model that is sampled, as in `synthesize`.
        estimators: one, several, or a mapping from the names they are to have in the results.
        grader: a reward; None is AnswerMatch against each example's answer.
        n: rollouts per question and repeat; 8.
        n_repeats: how often each question is sampled anew and estimated from; 1. Its score is the mean over these.
        answer_format: how replies write a final answer, as in `synthesize`, for the examples that do not say it.
        run: a folder in which every reply is kept as it arrives, and at the end the result as evaluation.json (what
            `report` reads; the latest evaluation of a run is kept); the same call again, after success, Ctrl-C or a
            crash, asks only for what is missing.
        budget: a hard cap on the run; once it is reached, the questions that were not done are rows without a score,
            and the same call with a larger one goes on. A run that has begun ends in the same way, with `.stopped`,
            when there is no credit left, the key is revoked or the endpoint is down.
        progress: a bar with rate, cost so far and time left; True shows it at once, None after two seconds in a
            terminal or a notebook, False never; a function is called with (questions done, questions), each repeat
            counted.
        base_url: where a policy given by name is served.
        api_key: its key; never shown, logged or kept.
        **sampling: temperature, top_p, max_tokens, … of the rollouts.

    Returns:
        The Evaluation: a row per question, repeat and system, that shows itself as a table.

    Raises:
        ConfigError: for wrong arguments, such as a task without answers, before anything is sent.
        ModelError: when the endpoint refuses altogether (a wrong key, an unknown model).
        StoreError: when the run's folder cannot be used or written.

    Example:
        >>> print(catlite.evaluate("gsm8k", "gpt-4o-mini", estimators=catlite.MajorityVote(), run="runs/gsm8k"))
    """
    check_n(n)
    check_sampling(sampling, evaluate)
    _names(estimators)
    task = _as_task(task, answer_format)
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
                n_repeats=n_repeats,
                run=run,
                budget=budget,
                progress=progress,
                **sampling,
            )
        finally:
            if model is not policy:
                await model.aclose()  # type: ignore[attr-defined]

    return concurrency.run(work())


async def areestimate(
    evaluation: str | Path | Evaluation,
    estimators: Estimator | Estimators,
    *,
    grader: Reward | None = None,
    run: str | Path | None = None,
    budget: Budget | None = None,
    progress: bool | Progress | None = None,
) -> Evaluation:
    """`reestimate`, awaited."""
    evaluation = as_evaluation(evaluation)
    if not evaluation.groups:
        raise ConfigError("the evaluation was made without its groups of rollouts: there is nothing to estimate from")
    work = _Work(
        _names(estimators), grader_of(Task(evaluation.task, tuple(g.example for g in evaluation.groups)), grader)
    )
    started = time.monotonic()
    singles = {(row.position, row.repeat): row for row in evaluation.rows if row.system == SINGLE}
    # As numbered when they were sampled: by position.
    first = {row.position: evaluation.group(*at) for at, row in sorted(singles.items(), reverse=True)}
    known = [(position, group.example) for position, group in sorted(first.items()) if group is not None]
    same = dict(zip([position for position, _ in known], copies(example for _, example in known), strict=True))
    with (
        open_run(run) as store,
        capped(budget, store),
        reporting(progress, len(singles), run) as tell,
    ):

        async def one(single: Row) -> list[Row]:
            group = evaluation.group(single.position, single.repeat)
            assert group is not None
            with copy_of(same[single.position], single.repeat):
                return work.told(tell, group, await work.rows(group, single))

        found = await concurrency.each(one, list(singles.values()), _UNDER_WAY)
        came = any(row.score is not None for rows in found for row in rows if row.system != SINGLE)
        raise_if_nothing_came(work.stops, came)
    return replace(
        evaluation,
        rows=tuple(row for rows in found for row in rows),
        seconds=time.monotonic() - started,
        stopped=work.stopped,
    )


def reestimate(
    evaluation: str | Path | Evaluation,
    estimators: Estimator | Estimators,
    *,
    grader: Reward | None = None,
    run: str | Path | None = None,
    budget: Budget | None = None,
    progress: bool | Progress | None = None,
) -> Evaluation:
    """Try other estimators on the rollouts of a finished evaluation, which are neither sampled nor graded again.

    Rollouts that came and have no score yet are graded. Only what the estimators ask for is sent.

    Args:
        evaluation: a finished one, or the folder of its run, with its groups.
        estimators: one, several, or a mapping from the names they are to have in the results.
        grader: a reward; None is AnswerMatch against each example's answer.
        run: a folder in which replies are kept; the evaluation.json in it stays as it is.
        budget: a hard cap on what is spent; None for none.
        progress: as in `evaluate`.

    Returns:
        An Evaluation with the single sample and these estimators.

    Raises:
        ConfigError: for wrong arguments, or when the evaluation has no groups.
        StoreError: when the run's folder cannot be used or written.

    Example:
        >>> catlite.reestimate(catlite.Evaluation.load("runs/gsm8k"), catlite.Synthesis("gpt-4o"), run="runs/again")
    """
    return concurrency.run(
        areestimate(evaluation, estimators, grader=grader, run=run, budget=budget, progress=progress)
    )


@dataclass
class _Work:
    """What is done with every question."""

    estimators: dict[str, Estimator]
    grader: Reward
    stops: list[Exception] = field(default_factory=list)  # once there is one, no question is begun

    async def sampled(
        self, policy: Model, n: int, sampling: dict[str, Any], position: int, example: Example, repeat: int
    ) -> tuple[Group, Row]:
        """The rollouts of a question, and the row of a single one."""
        row = Row(position, example.id if example.id is not None else str(position), SINGLE, None, 0, Usage())
        row = replace(row, repeat=repeat)
        if self.stops:
            return Group(example, ()), replace(row, error=f"not done: {self.stops[0]}")
        try:
            with samples_from(repeat * n):
                group = await sample_group(policy, example, n, **sampling)
        except GroupError as error:
            # What came is graded, though no estimator can read it: it is an answer, or the lack of one.
            group = error.group
            if not group.replies:
                return group, replace(row, usage=group.usage, error=str(error))
        except (BudgetReached, ModelError) as error:
            self._failed(error)
            group = error.group or Group(example, ())
            return group, replace(row, usage=group.usage, error=str(error))
        return group, _alone(row, group, getattr(policy, "price", None))

    async def rows(self, group: Group, single: Row) -> list[Row]:
        """`single`, graded unless it has its score already, and a row for every estimator's reference."""
        if not group.replies or _broke_off(single, group):
            return [single, *(replace(single, system=system) for system in self.estimators)]

        async def graded() -> Row:
            if single.score is not None:
                return single
            # An evaluation of before may hold it without its own usage: then nothing could be graded.
            row = single if single.generations else _alone(single, group, None)
            return await self._graded(replace(row, error=None), group, group)

        async def estimated(system: str, estimator: Estimator) -> Row:
            row = Row(single.position, single.id, system, None, 0, group.usage, repeat=single.repeat)
            drawn = group.usage.generations
            if not group.usable and getattr(estimator, "needs_usable", True):
                return replace(row, score=0.0, generations=drawn, error=f"no rollout to estimate from: {group!r}")
            alone = not getattr(estimator, "reads_rollouts", True)
            try:
                with keeping(group):
                    reference = await estimator(group)
            except (EstimationError, BudgetReached, ModelError) as error:
                self._failed(error)
                spent = error.usage or Usage()
                row = replace(row, usage=spent if alone else group.usage + spent, error=str(error))
                if isinstance(error, EstimationError) and error.unanswered:
                    return replace(row, score=0.0, generations=row.usage.generations)
                return row
            usage = reference.usage if alone else reference.total_usage
            row = replace(row, generations=usage.generations, usage=usage)
            if reference.error is not None:
                return replace(row, error=reference.error)
            row = replace(row, reference=reference)
            return await self._graded(row, reference.alone, group)

        return await concurrency.together([graded(), *(estimated(name, one) for name, one in self.estimators.items())])

    async def _graded(self, row: Row, rollouts: Group, group: Group) -> Row:
        """`row` with the mean score of `rollouts`, or with why there is none."""
        gold = Reference(group.example.answer or "", group.example.answer, GOLD, group)
        try:
            with noting() as remarks:
                scores, judgement = await audited(self.grader, rollouts, gold)
        except (BudgetReached, ModelError, RubricError) as error:
            self._failed(error)
            return replace(row, error=f"not graded: {error}")
        if len(scores) != len(rollouts.rollouts):
            raise ConfigError(
                f"the grader gave {len(scores)} scores for {len(rollouts.rollouts)} rollouts: want one each"
            )
        scores = [
            None if score is None or math.isnan(score) or rollout.defect == "failed" else score
            for score, rollout in zip(scores, rollouts.rollouts, strict=True)
        ]
        known = [score for score in scores if score is not None]
        row = replace(row, scores=tuple(scores), judgement=judgement, notes=tuple(remarks))
        return replace(row, score=fmean(known)) if known else replace(row, error="could not be graded")

    def told(self, tell: Callable[[Usage], None], group: Group, rows: list[Row]) -> list[Row]:
        """`rows`, once the progress bar knows what the question cost."""
        own = [row.reference.usage for row in rows if row.reference is not None]
        judged = [row.judgement.usage for row in rows if row.judgement is not None]
        tell(Usage.total([group.usage, *own, *judged]))
        return rows

    @property
    def stopped(self) -> str | None:
        """Why not every question was done."""
        return str(self.stops[0]) if self.stops else None

    def _failed(self, error: CatliteError) -> None:
        """Notes what ends the run early; raises what is none of a question's own failures."""
        if ends_run(error):
            self.stops.append(error)
        elif isinstance(error, EmbeddedModelError):
            raise error


def _broke_off(single: Row, group: Group) -> bool:
    """True when the run ended while `group` was being sampled: what would be said of half a group is not said.

    An evaluation of an earlier catlite has an error, too, where a whole group could not be used; that one is graded.
    """
    if single.error is None or single.generations > 0:
        return False
    return bool(group.usable) or any(rollout.error == single.error for rollout in group.rollouts)


def _alone(row: Row, group: Group, price: Any) -> Row:
    """`row` with what one rollout of `group` takes."""
    return replace(row, generations=group.usage.generations / len(group.replies), usage=of_one(group, price))


def _as_task(task: str | Task | Iterable[Example | Prompt], answer_format: str | None = None) -> Task:
    return as_task(task, answer_format=answer_format, instead="one Example with its answer, Example(text, answer)")


def _names(estimators: Estimator | Estimators) -> dict[str, Estimator]:
    """Estimators by name."""
    named = as_estimators(estimators)
    if SINGLE in named:
        raise ConfigError(f"an estimator cannot be called {SINGLE!r}: that is what a rollout alone is called")
    return named
