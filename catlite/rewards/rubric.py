"""Rubric rewards (arXiv 2509.14234 §3.2.2, §4.3): self-proposed criteria, or experts', judged one by one.

RubricReward turns the pseudo-reference of a group into criteria and rewards each rollout with the share of them it
meets. ExpertRubric judges by the rubric an example comes with, as HealthBench does. Both remember what they judged:
`to_frame()` answers why a rollout got its reward. Left out: training a judge.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from catlite.cards import judgements_html
from catlite.coerce import hold_models
from catlite.criteria import Rubric
from catlite.data import Group, Judgement, Reference
from catlite.errors import ConfigError
from catlite.models.base import Model
from catlite.rewards.judge import Mode, check_coverage, check_mode, judge_group
from catlite.rewards.proposal import MOST, Worked, check_bounds, propose_rubric
from catlite.runs.session import memory, noting, rehearsing
from catlite.usage import Usage

if TYPE_CHECKING:
    import pandas as pd

REMEMBERED = 200  # groups; a training run judges many more


@dataclass(frozen=True)
class _Audited:
    """Remembers the groups that a reward judged last, and shows them."""

    judged: deque[Judgement] = field(
        default_factory=lambda: deque(maxlen=REMEMBERED), repr=False, compare=False, kw_only=True
    )

    async def audit(self, group: Group, reference: Reference) -> Judgement:
        """The verdicts behind the rewards; see the class."""
        raise NotImplementedError

    async def __call__(self, group: Group, reference: Reference) -> list[float | None]:
        """Rewards of shape (len(group.rollouts),)."""
        return list((await self.audit(group, reference)).rewards_G)

    def _remember(self, judgement: Judgement) -> Judgement:
        if not rehearsing():
            self.judged.append(judgement)
        return judgement

    def to_frame(self) -> pd.DataFrame:
        """One row per group, rollout and criterion judged last (REMEMBERED groups), newest last."""
        import pandas as pd

        frames = [
            judgement.to_frame().assign(group=number, id=judgement.group.example.id)
            for number, judgement in enumerate(self.judged)
        ]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    def _repr_html_(self) -> str:
        return judgements_html(repr(self), list(self.judged))


@dataclass
class _Turn:
    """The lock of whoever has one rubric proposed, and how many wait for it."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    wanted_by: int = 0


@dataclass(frozen=True)
class RubricReward(_Audited):
    """A reward: the share of self-proposed criteria that a rollout meets, None where too few could be judged.

    A reference that brings a rubric is judged by that, and nothing is proposed.

    Args:
        proposer: writes the criteria from the reference alone, in the paper the anchor.
        judge: answers them; a model that is not the policy, or the policy learns what its own judge lets pass.
        mode: "single", "batch" or "soft" (see rewards/judge.py); "single".
        from_question: proposes from the question instead, the ablation of App. A.2; False.
        fewest: criteria a rubric has to have; 5, as in the paper.
        most: criteria it may have; 20, each of which costs a judge call per rollout.
        min_coverage: share of the criteria, 0 to 1, that have to be judged for a reward; 0.5.
        max_tokens: of each reply of proposer and judge; None leaves their own limits.
        worked: (reference, criteria) pairs, shown as examples to a very small proposer; none.

    Raises:
        ConfigError: for settings that cannot hold.
        RubricError: when called, where no usable rubric came.

    Example:
        >>> reward = RubricReward(anchor, judge)
        >>> rewards = await reward(group, reference)
    """

    proposer: Model
    judge: Model
    mode: Mode = "single"
    from_question: bool = False
    fewest: int = 5
    most: int = MOST
    min_coverage: float = 0.5
    max_tokens: int | None = None
    worked: Worked = ()
    # The proposer's rubrics by reference, and the locks of those on their way. No settings, so not part of the repr.
    rubrics: dict[str, Rubric] = field(default_factory=dict, repr=False, compare=False, kw_only=True)
    turns: dict[tuple[int, str], _Turn] = field(default_factory=dict, repr=False, compare=False, kw_only=True)

    def __post_init__(self) -> None:
        hold_models(self, "proposer", "judge")
        check_mode(self.mode)
        check_coverage(self.min_coverage)
        check_bounds(self.fewest, self.most)

    @property
    def grades_by(self) -> str | None:
        """The field of an example that grading needs: the gold answer stands in for the reference."""
        return None if self.from_question else "answer"

    async def audit(self, group: Group, reference: Reference) -> Judgement:
        """Proposes the rubric and judges every rollout by it: 1 call and one per rollout and criterion."""
        rubric, proposed = reference.rubric, None
        if rubric is None:
            with noting() as remarks:
                rubric, proposed = await self._proposed(group, reference)
        judgement = await judge_group(
            self.judge, group, rubric, mode=self.mode, min_coverage=self.min_coverage, max_tokens=self.max_tokens
        )
        if proposed is not None:
            notes = dict.fromkeys((*remarks, *judgement.notes))
            judgement = replace(judgement, usage=proposed + judgement.usage, notes=tuple(notes))
        return self._remember(judgement)

    async def _proposed(self, group: Group, reference: Reference) -> tuple[Rubric, Usage]:
        """The rubric and what it cost now: nothing where the same reference had one just before.

        A grader judges several systems by one gold reference, and has to judge all of them by one rubric.
        """
        key = json.dumps([reference.text, group.example.messages if self.from_question else None])
        rubrics: dict[str, Rubric] = memory(self, self.rubrics)
        async with self._turn(key):
            if key in rubrics:
                return rubrics[key], Usage()
            rubric, usage = await propose_rubric(
                reference.text,
                self.proposer,
                question=group.example.prompt if self.from_question else None,
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
class ExpertRubric(_Audited):
    """A reward: HealthBench's score of each rollout by its example's own rubric (simple-evals ee3b031).

    Points of met criteria over all positive points; met criteria with negative points subtract, and nothing is
    clipped. The judge sees the whole conversation and one criterion a call, with its points, as there. The reference is
    not used. A rubric without positive points has no score.

    Args:
        judge: answers the criteria.
        mode: "single", "batch" or "soft" (see rewards/judge.py); "single".
        min_coverage: share of the criteria, 0 to 1, that have to be judged; 1.0, a score over the whole rubric or None.
        max_tokens: of each of the judge's replies; None leaves its own limit.

    Raises:
        ConfigError: for settings that cannot hold, and when called for an example without a rubric.

    Example:
        >>> evaluation = evaluate(healthbench(limit=50), policy, grader=ExpertRubric(judge))
        >>> print(evaluation)
    """

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
        return self._remember(
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
