"""One question of an evaluation: its rollouts, every estimator's reference, and the grades of both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from catlite import concurrency
from catlite.costs import of_one
from catlite.data import Estimator, Example, Group, Reference, Reward, Task
from catlite.errors import (
    BudgetReached,
    CatliteError,
    ConfigError,
    EmbeddedModelError,
    EstimationError,
    GroupError,
    ModelError,
    RubricError,
    ends_run,
)
from catlite.models.base import Model, traits
from catlite.preflight import check_images, check_policy, check_readable
from catlite.results import SINGLE, Row
from catlite.rewards.answer_match import GOLD
from catlite.rewards.protocol import audited, grader_of, warn_own_judge
from catlite.rollouts import make_reference, sample_group
from catlite.runs.session import metered, noting, samples_from
from catlite.usage import Usage


@dataclass
class Grading:
    """The estimators and the grader that every question of an evaluation goes through."""

    estimators: dict[str, Estimator]
    grader: Reward
    stops: list[Exception] = field(default_factory=list)  # once there is one, no question is begun

    @classmethod
    def of(cls, task: Task, estimators: dict[str, Estimator], grader: Reward | None) -> Grading:
        """Check estimators and grader before anything is paid."""
        if SINGLE in estimators:
            raise ConfigError(f"an estimator cannot be called {SINGLE!r}: that is what a rollout alone is called")
        check_readable(estimators.values(), task.examples)
        grader = grader_of(task, grader)
        check_images([grader], task.examples)
        return cls(estimators, grader)

    def check_policy(self, policy: Model) -> None:
        """Check that votes have a weight for each model of the policy; warn where it judges its own replies."""
        check_policy(self.estimators.values(), policy)
        warn_own_judge(policy, self.grader)

    @property
    def stopped(self) -> str | None:
        """Why not every question was done."""
        return str(self.stops[0]) if self.stops else None

    async def sample(
        self, policy: Model, n: int, sampling: dict[str, Any], position: int, example: Example, repeat: int
    ) -> tuple[Group, Row]:
        """Sample the rollouts of a question; give them with the row, not graded yet, of a single one."""
        name = example.id if example.id is not None else str(position)
        row = Row(position, name, SINGLE, None, 0, Usage(), repeat=repeat)
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
            self._note(error)
            group = error.group or Group(example, ())
            return group, replace(row, usage=group.usage, error=str(error))
        return group, _alone(row, group, traits(policy).price)

    async def grade(self, group: Group, single: Row, tell: Callable[[Usage], None]) -> list[Row]:
        """Grade `single`, unless it has its score already, and every estimator's reference.

        Args:
            group: the rollouts of the question.
            single: the row of a rollout alone.
            tell: called with what the question took in all.

        Returns:
            A row per system, `single` first.
        """
        rows = await self._rows(group, single)
        references = [row.reference.usage for row in rows if row.reference is not None]
        judging = [row.judging for row in rows if row.judging is not None]
        tell(Usage.total([group.usage, *references, *judging]))
        return rows

    async def _rows(self, group: Group, single: Row) -> list[Row]:
        if not group.replies or _broke_off(single, group):
            return [single, *(replace(single, system=system) for system in self.estimators)]
        estimates = (self._estimate(system, estimator, group, single) for system, estimator in self.estimators.items())
        return await concurrency.together([self._grade_single(single, group), *estimates])

    async def _grade_single(self, single: Row, group: Group) -> Row:
        if single.score is not None:
            return single
        # An evaluation of before may hold it without its own usage: then nothing could be graded.
        row = single if single.generations else _alone(single, group, None)
        return await self._grade(replace(row, error=None), group, group)

    async def _estimate(self, system: str, estimator: Estimator, group: Group, single: Row) -> Row:
        """Make the estimator's reference of `group`, and grade it."""
        row = Row(single.position, single.id, system, None, 0, group.usage, repeat=single.repeat)
        if not group.usable and getattr(estimator, "needs_usable", True):
            error = f"no rollout to estimate from: {group!r}"
            return replace(row, score=0.0, generations=group.usage.generations, error=error)
        alone = not getattr(estimator, "reads_rollouts", True)
        try:
            reference = await make_reference(estimator, group)
        except (EstimationError, RubricError, BudgetReached, ModelError) as error:
            self._note(error)
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
        return await self._grade(row, reference.alone, group)

    async def _grade(self, row: Row, rollouts: Group, group: Group) -> Row:
        """Give `row` the mean score of `rollouts`, or why there is none."""
        gold = Reference(group.example.answer or "", group.example.answer, GOLD, group)
        with noting() as remarks, metered() as costs:
            try:
                scores, judgement = await audited(self.grader, rollouts, gold)
            except (BudgetReached, ModelError, RubricError) as error:
                self._note(error)
                return replace(row, judging=_total(costs), error=f"not graded: {error}")
        scores = [
            None if rollout.defect == "failed" else score
            for score, rollout in zip(scores, rollouts.rollouts, strict=True)
        ]
        known = [score for score in scores if score is not None]
        row = replace(row, scores=tuple(scores), judgement=judgement, judging=_total(costs), notes=tuple(remarks))
        return replace(row, score=fmean(known)) if known else replace(row, error="could not be graded")

    def _note(self, error: CatliteError) -> None:
        """Note what ends the run early; raise what is no failure of one question alone."""
        if ends_run(error):
            self.stops.append(error)
        elif isinstance(error, EmbeddedModelError):
            raise error


def _broke_off(single: Row, group: Group) -> bool:
    """True when the run ended while `group` was being sampled: half a group is not graded.

    An evaluation of an earlier catlite also has an error where a whole group could not be used; that one is graded.
    """
    if single.error is None or single.generations > 0:
        return False
    return bool(group.usable) or any(rollout.error == single.error for rollout in group.rollouts)


def _alone(row: Row, group: Group, price: Any) -> Row:
    """Give `row` what one rollout of `group` takes."""
    return replace(row, generations=group.usage.generations / len(group.replies), usage=of_one(group, price))


def _total(costs: Sequence[Usage | None]) -> Usage | None:
    """Add up what judging cost; None where no judge was asked."""
    return Usage.total(costs) if costs else None
