"""Rubric rewards (arXiv 2509.14234 §3.2.2, §4.3): self-proposed criteria, or experts', judged one by one.

RubricReward turns the pseudo-reference of a group into criteria and rewards each rollout with the share of them it
meets. ExpertRubric judges by the rubric an example comes with, as HealthBench does. Both remember what they judged:
`to_frame()` answers why a rollout got its reward. Left out: training a judge.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import ClassVar

from catlite.checks import whole_number
from catlite.coerce import hold_models
from catlite.criteria import Rubric
from catlite.data import Group, Judgement, Reference
from catlite.errors import ConfigError
from catlite.models.base import Model
from catlite.rewards.asking import shuffler
from catlite.rewards.audited import REMEMBERED, Audited
from catlite.rewards.judge import Mode, check_coverage, check_mode, judge_group
from catlite.rewards.proposal import MOST, Worked, check_bounds, propose_rubric
from catlite.runs.session import memory, noting
from catlite.usage import Usage

KEPT = 3  # criteria, at least, that dropout leaves


@dataclass
class _Turn:
    """The lock of whoever has one rubric proposed, and how many wait for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    wanted_by: int = 0


@dataclass(frozen=True)
class RubricReward(Audited):
    """A reward: the share of self-proposed criteria that a rollout meets, None where too few could be judged.

    A reference that brings a rubric is judged by that, and nothing is proposed.

    Args:
        proposer: writes the criteria from the reference alone, in the paper the anchor.
        judge: answers them; a model that is not the policy, or the policy learns what its own judge lets pass.
        mode: "single", "batch", "soft", "levels" or "holistic" (see rewards/judge.py); "single".
        from_question: proposes from the question instead, the ablation of App. A.2; False.
        from_rollouts: how many other usable rollouts of the group the proposer sees beside the reference, so that the
            criteria tell good ones from bad ones; 0, as in the paper.
        positive_only: has criteria proposed for what a good response does only, and leaves out those of a rubric with
            negative points; False.
        dropout: share of the criteria, from 0 to below 1, that is left out of a group, the same for all its rollouts;
            at least 3 are judged, or all there are. Which ones depends on `seed`, the question, the reference and the
            rollouts behind it, so that a run that is resumed has the same. Proposed, from 0.3 to 0.5, in
            arXiv 2608.11669; 0.0.
        seed: of dropout; 0.
        fewest: criteria a rubric has to have; 5, as in the paper.
        most: criteria it may have; 20, each of which costs a judge call per rollout.
        min_coverage: share of the criteria, 0 to 1, that have to be judged for a reward; 0.5.
        max_tokens: of each reply of proposer and judge; None leaves their own limits.
        worked: (reference, criteria) pairs, shown as examples to a very small proposer; none.

    Raises:
        ConfigError: for a wrong setting.
        RubricError: when called, where no usable rubric came.

    Example:
        >>> reward = RubricReward(anchor, judge)
        >>> rewards = await reward(group, reference)
    """

    shows_question: ClassVar = ("proposer", "from_question")

    proposer: Model
    judge: Model
    mode: Mode = "single"
    from_question: bool = False
    from_rollouts: int = 0
    positive_only: bool = False
    dropout: float = 0.0
    seed: int = 0
    fewest: int = 5
    most: int = MOST
    min_coverage: float = 0.5
    max_tokens: int | None = None
    worked: Worked = ()
    # The proposer's rubrics by reference, and the locks of those on their way. No settings, so not part of the repr.
    rubrics: dict[str, Rubric] = field(default_factory=dict, init=False, repr=False, compare=False)
    turns: dict[tuple[int, str], _Turn] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        hold_models(self, "proposer", "judge")
        check_mode(self.mode)
        check_coverage(self.min_coverage)
        check_bounds(self.fewest, self.most)
        whole_number("from_rollouts", self.from_rollouts, 0)
        whole_number("seed", self.seed, None)
        if self.from_question and self.from_rollouts:
            raise ConfigError("from_question shows the question alone: leave it out, or from_rollouts")
        if isinstance(self.dropout, bool) or not isinstance(self.dropout, int | float) or not 0 <= self.dropout < 1:
            raise ConfigError(f"dropout={self.dropout!r}: want a share of the criteria, from 0 to below 1")

    @property
    def grades_by(self) -> str | None:
        """The field of an example that grading needs: the gold answer stands in for the reference."""
        return None if self.from_question else "answer"

    async def audit(self, group: Group, reference: Reference) -> Judgement:
        """Proposes the rubric and judges every rollout by it: 1 call, and what `judge_group` takes."""
        rubric, proposed = reference.rubric, None
        if rubric is None:
            with noting() as remarks:
                rubric, proposed = await self.propose(group, reference)
        elif self.positive_only:
            rubric = Rubric(tuple(criterion for criterion in rubric.criteria if criterion.points > 0))
            if not rubric.criteria:
                raise ConfigError(
                    "positive_only=True leaves no criterion, since none of the rubric has positive points: leave it out"
                )
        rubric = self._dropped(rubric, reference)
        judgement = await judge_group(
            self.judge, group, rubric, mode=self.mode, min_coverage=self.min_coverage, max_tokens=self.max_tokens
        )
        if proposed is not None:
            notes = dict.fromkeys((*remarks, *judgement.notes))
            judgement = replace(judgement, usage=proposed + judgement.usage, notes=tuple(notes))
        return self.remember(judgement)

    def _dropped(self, rubric: Rubric, reference: Reference) -> Rubric:
        """The criteria that `dropout` leaves, in their order; one of them has positive points if any has."""
        count = min(len(rubric), max(KEPT, math.ceil(len(rubric) * (1 - self.dropout) - 1e-9)))
        if count == len(rubric):
            return rubric
        example = reference.group.example
        rollouts = [rollout.text for rollout in reference.rollouts]
        order = list(range(len(rubric)))
        shuffler(self.seed, [json.dumps(example.messages), reference.text, *rollouts]).shuffle(order)
        first = next((place for place in order if rubric.criteria[place].points > 0), order[0])
        order.sort(key=lambda place: place != first)
        return Rubric(tuple(rubric.criteria[place] for place in sorted(order[:count])))

    async def propose(self, group: Group, reference: Reference) -> tuple[Rubric, Usage]:
        """The rubric and what it cost now: nothing where the same reference had one just before.

        A grader judges several systems by one gold reference, and has to judge all of them by one rubric.
        """
        question = group.example.messages if self.from_question else None
        usable = reference.group.usable if self.from_rollouts else ()
        texts = dict.fromkeys(rollout.text for rollout in usable)
        rollouts = [text for text in texts if text != reference.text][: self.from_rollouts]
        about = json.dumps([reference.text, question, rollouts])  # megabytes, where the question has images
        key = hashlib.sha256(about.encode()).hexdigest()
        rubrics: dict[str, Rubric] = memory(self, self.rubrics)
        async with self._turn(key):
            if key in rubrics:
                return rubrics[key], Usage()
            rubric, usage = await propose_rubric(
                reference.text,
                self.proposer,
                question=group.example.prompt if self.from_question else None,
                rollouts=rollouts,
                positive_only=self.positive_only,
                fewest=self.fewest,
                most=self.most,
                worked=self.worked,
                max_tokens=self.max_tokens,
            )
            rubrics[key] = rubric
            while len(rubrics) > REMEMBERED:
                rubrics.pop(next(iter(rubrics)))
        return rubric, usage

    @asynccontextmanager
    async def _turn(self, key: str) -> AsyncIterator[None]:
        """Hold the lock of one rubric, which is dropped once nobody waits for it, however it ended."""
        place = id(asyncio.get_running_loop()), key
        turn = self.turns.setdefault(place, _Turn())
        turn.wanted_by += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.wanted_by -= 1
            if not turn.wanted_by:
                self.turns.pop(place, None)


@dataclass(frozen=True)
class ExpertRubric(Audited):
    """A reward: HealthBench's score of each rollout by its example's own rubric (simple-evals ee3b031).

    Points of met criteria over all positive points; met criteria with negative points subtract, and nothing is
    clipped. The judge sees the whole conversation and one criterion a call, with its points, as there. The reference is
    not used. A rubric without positive points has no score.

    Args:
        judge: answers the criteria.
        mode: "single", "batch", "soft", "levels" or "holistic" (see rewards/judge.py); "single".
        min_coverage: share of the criteria, 0 to 1, that have to be judged; 1.0, a score over the whole rubric or None.
        max_tokens: of each of the judge's replies; None leaves its own limit.

    Raises:
        ConfigError: for a wrong setting, and when called for an example without a rubric.

    Example:
        >>> evaluation = evaluate(healthbench(limit=50), policy, grader=ExpertRubric(judge))
        >>> print(evaluation)
    """

    shows_question: ClassVar = ("judge", "")
    grades_by: ClassVar = "rubric"

    judge: Model
    mode: Mode = "single"
    min_coverage: float = 1.0
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        hold_models(self, "judge")
        check_mode(self.mode)
        check_coverage(self.min_coverage)

    async def audit(self, group: Group, reference: Reference) -> Judgement:  # noqa: ARG002 - a reward's arguments
        """Judges every rollout by the example's rubric: one call per rollout and criterion."""
        rubric = group.example.rubric
        if rubric is None:
            raise ConfigError(
                f"example {group.example.id!r} has no rubric to grade by: use a task with rubrics, such as "
                "healthbench(), or RubricReward, which proposes one"
            )
        return self.remember(
            await judge_group(
                self.judge,
                group,
                rubric,
                mode=self.mode,
                conversation=True,
                min_coverage=self.min_coverage,
                max_tokens=self.max_tokens,
            )
        )
