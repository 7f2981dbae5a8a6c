"""Judges the rollouts of a finished evaluation again, under several settings of one rubric reward.

The settings of a question are judged one after the other, since they share its rubric. Left out: figures (rubrics.py).
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from catlite import concurrency
from catlite.data import Group, Judgement, Reference, Reward, Task
from catlite.errors import (
    BudgetReached,
    CatliteError,
    ConfigError,
    EmbeddedModelError,
    ModelError,
    RubricError,
    ends_run,
)
from catlite.results import SINGLE, Evaluation, as_evaluation
from catlite.rewards.answer_match import GOLD
from catlite.rewards.protocol import grader_of
from catlite.rewards.rubric import ExpertRubric, RubricReward
from catlite.rollouts import raise_if_nothing_came, under_way
from catlite.runs.budget import Budget
from catlite.runs.session import copies, copy_of, metered, working
from catlite.usage import Usage

T = TypeVar("T")
Key = tuple[int, int]  # position of a question, repeat
Rewards = Sequence[float | None]
Outcome = Judgement | CatliteError
Outcomes = Mapping[Key, Outcome]
_AT_ONCE = ("batch", "holistic")  # modes in which one call shows all criteria, so that fewer of them make another call


@dataclass(frozen=True)
class Variant:
    """A setting: a reward, and how many of the first criteria of its rubric count; None for all."""

    reward: RubricReward | ExpertRubric
    size: int | None = None


async def rejudge(
    evaluation: str | Path | Evaluation,
    variants: Mapping[str, Variant],
    system: str | None,
    gold: Reward | None,
    run: str | Path | None,
    budget: Budget | None,
) -> tuple[dict[str, Outcomes], dict[Key, Rewards]]:
    """Judge every group of rollouts under every setting.

    Args:
        evaluation: a finished one, or the folder of its run, with its groups.
        variants: the settings by name.
        system: the estimator whose references are used; None is the only one that has any.
        gold: a reward taken as right; None is the evaluation's own scores.
        run: a folder in which replies are kept; None keeps nothing.
        budget: a hard cap on these calls; None for none.

    Returns:
        (by setting the Judgement of each group, or why there is none; the gold scores of the groups that have any)
    """
    evaluation = as_evaluation(evaluation)
    if not evaluation.groups:
        raise ConfigError("the evaluation was made without its groups of rollouts: there is nothing to judge")
    first = evaluation.groups[: len(evaluation.groups) // evaluation.n_repeats]
    task = Task(evaluation.task, tuple(group.example for group in first))
    rewards = [variant.reward for variant in variants.values()]
    for reward in ([] if gold is None else [gold]) + [own for own in rewards if isinstance(own, ExpertRubric)]:
        grader_of(task, reward)
    references = _references(evaluation, system) if any(map(_reads_reference, rewards)) else None
    singles = [row for row in evaluation.rows if row.system == SINGLE]
    scores: dict[Key, Rewards] = {}
    if gold is None:
        scores = {(row.position, row.repeat): row.scores for row in singles if row.scores}
    same = copies(task)
    stops: list[CatliteError] = []

    async def judge_one(key: Key) -> dict[str, Outcome]:
        group = evaluation.group(*key)
        assert group is not None
        reference = Reference("", None, "", group) if references is None else references.get(key)
        if not group.replies or reference is None or not (reference.text.strip() or references is None):
            tell(Usage())
            lacking = "rollouts" if not group.replies else "reference"
            return dict.fromkeys(variants, CatliteError(f"question {key[0] + 1} has no {lacking}"))
        question = _Question(group, reference, stops)
        with copy_of(same[key[0]], key[1]):
            outcomes = await question.judge(variants)
            if gold is not None:
                truth = Reference(group.example.answer or "", group.example.answer, GOLD, group)
                graded = await question.attempt(gold, group, truth)
                if not isinstance(graded, CatliteError):
                    if len(graded) != len(group.rollouts):
                        raise ConfigError(f"gold gave {len(graded)} scores for {len(group.rollouts)} rollouts")
                    scores[key] = graded
        tell(Usage.total(question.spent))
        return outcomes

    keys = [(row.position, row.repeat) for row in singles]
    with working(run, budget, None, len(keys)) as (_, tell):
        judged = await concurrency.each(judge_one, keys, under_way(rewards[0].judge))
    all_outcomes = [outcome for outcomes in judged for outcome in outcomes.values()]
    judged_any = any(isinstance(outcome, Judgement) for outcome in all_outcomes)
    raise_if_nothing_came(stops, judged_any)
    if not judged_any and not stops:
        raise next(outcome for outcome in all_outcomes if isinstance(outcome, CatliteError))
    return {name: {key: of[name] for key, of in zip(keys, judged, strict=True)} for name in variants}, scores


def _reads_reference(reward: RubricReward | ExpertRubric) -> bool:
    return isinstance(reward, RubricReward) and not reward.from_question


def _references(evaluation: Evaluation, system: str | None) -> dict[Key, Reference]:
    """The references of one estimator, by question and repeat."""
    by_system: dict[str, dict[Key, Reference]] = {}
    for row in evaluation.rows:
        if row.reference is not None:
            by_system.setdefault(row.system, {})[row.position, row.repeat] = row.reference
    if system is None and len(by_system) == 1:
        (system,) = by_system
    if system not in by_system:
        raise ConfigError(
            f"system={system!r}: criteria are proposed from an estimator's references, and the evaluation has those of "
            f"{', '.join(by_system) or 'none'}: "
            + ("name one of them" if by_system else "give reestimate(evaluation, Synthesis(anchor))")
        )
    return by_system[system]


@dataclass(frozen=True)
class _Question:
    """One group of rollouts, its reference, and what judging it has cost."""

    group: Group
    reference: Reference
    stops: list[CatliteError]  # of the whole experiment: once there is one, nothing more is sent
    spent: list[Usage] = field(default_factory=list)

    async def judge(self, variants: Mapping[str, Variant]) -> dict[str, Outcome]:
        """The outcome of each setting; smaller sizes go first, since larger ones go on from them."""
        outcomes: dict[str, Outcome] = {}
        proposals: dict[bool, Any] = {}  # by whether they come from the question: (rubric, usage), or an error
        before: Outcome | None = None
        for name, variant in sorted(variants.items(), key=lambda item: item[1].size or 0):
            reward, proposal = variant.reward, None
            brought = self.reference.rubric is not None and variant.size is None
            if isinstance(reward, RubricReward) and (reward.from_question or not brought):
                if reward.from_question not in proposals:
                    proposals[reward.from_question] = await self._propose(reward)
                proposal = proposals[reward.from_question]
            if isinstance(proposal, CatliteError):
                outcomes[name] = proposal
            elif isinstance(before, CatliteError):
                outcomes[name] = before
            else:
                outcomes[name] = await self.attempt(self._audit, variant, proposal, before)
            before = outcomes[name] if variant.size is not None else None
        return outcomes

    async def attempt(self, work: Callable[..., Awaitable[T]], *args: Any) -> T | CatliteError:
        """What `work` gives, or the error for which there is nothing, with what all calls before it have cost."""
        if self.stops:
            return CatliteError(f"not done: {self.stops[0]}")
        with metered() as costs:
            try:
                return await work(*args)
            except (BudgetReached, ModelError, RubricError) as error:
                if ends_run(error):
                    self.stops.append(error)
                elif isinstance(error, EmbeddedModelError):
                    raise
                failure = copy.copy(error)  # one error may end the work on several questions
                failure.usage = Usage.total(costs)
        self.spent.append(failure.usage)
        return failure

    async def _propose(self, reward: RubricReward) -> Any:
        proposal = await self.attempt(reward.propose, self.group, self.reference)
        if not isinstance(proposal, CatliteError):
            self.spent.append(proposal[1])
        return proposal

    async def _audit(self, variant: Variant, proposal: Any, before: Judgement | None) -> Judgement:
        """The judgement by one setting; its usage is what the setting takes alone, the proposal included."""
        reward = variant.reward
        rubric, proposed = (self.reference.rubric, Usage()) if proposal is None else proposal
        start = 0 if before is None or reward.mode in _AT_ONCE else len(before.rubric)
        part = None if rubric is None else replace(rubric, criteria=rubric.criteria[start : variant.size])
        judgement = await reward.audit(self.group, replace(self.reference, rubric=part))
        self.spent.append(judgement.usage)
        if before is None or start == 0:
            return replace(judgement, usage=proposed + judgement.usage)
        verdicts_GC = tuple(  # noqa: N806 - the suffix names the axes
            (*of_before, *of_part) for of_before, of_part in zip(before.verdicts_GC, judgement.verdicts_GC, strict=True)
        )
        whole = replace(before.rubric, criteria=(*before.rubric.criteria, *judgement.rubric.criteria))
        joined = replace(judgement, rubric=whole, verdicts_GC=verdicts_GC, usage=before.usage + judgement.usage)
        rewards = [
            whole.score([verdict.value for verdict in verdicts]) if covered >= reward.min_coverage else None
            for verdicts, covered in zip(verdicts_GC, joined.coverage, strict=True)
        ]
        return replace(joined, rewards_G=tuple(rewards))
