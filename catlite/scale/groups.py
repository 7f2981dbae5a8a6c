"""Score the rollouts of a prompt together where a trainer asks for the reward of one at a time, as verl does.

`Gathering` lets the rollouts of a prompt wait for one another; `GroupScorer` scores whole groups with what `trl_reward`
makes, with one budget and one run folder for all processes that send it groups. Nothing here needs verl or Ray.
Left out: prompts with images, and `VoteShare` with a penalty, which adds to advantages that only catlite's trainer has.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any, Generic, TypeVar

from catlite.data import Group
from catlite.errors import CatliteError, ConfigError, TrainingError
from catlite.training.grouping import check_group, example_of, rollout_of
from catlite.training.reward import CatReward

S = TypeVar("S")
T = TypeVar("T")
log = logging.getLogger("catlite.scale")

Reply = tuple[str, list[int]]  # a rollout's text and its tokens
Rewarded = tuple[float, bool]  # a rollout's reward, and whether it is its own or the mean of its group


class Gathering(Generic[S, T]):
    """Lets the sessions of one prompt wait for one another, and gives all of them their results, or none.

    Args:
        size: how many sessions the prompt has.
        score: gives the results of all rollouts, in the order of the sessions.
    """

    def __init__(self, size: int, score: Callable[[Sequence[S]], Awaitable[Sequence[T]]]) -> None:
        self._size = size
        self._score = score
        self._rollouts: dict[int, S] = {}
        self._results: asyncio.Future[Sequence[T]] = asyncio.get_running_loop().create_future()

    async def result_of(self, session: int, rollout: S) -> T:
        """Bring the rollout of a session, wait until the group is whole and scored, and return the session's result."""
        self._rollouts[session] = rollout
        if len(self._rollouts) == self._size and not self._results.done():
            try:
                self._results.set_result(await self._score([self._rollouts[at] for at in sorted(self._rollouts)]))
            except BaseException as error:
                self._fail(error)
                raise
        results = await asyncio.shield(self._results)
        return results[sorted(self._rollouts).index(session)]

    def leave(self, session: int) -> None:
        """Note that a session has ended; without its rollout the group is partial, and none of it is scored."""
        if session not in self._rollouts and not self._results.done():
            self._fail(
                f"session {session} of {self._size} ended without a rollout: the others of its group are not scored, "
                "since a reward compares whole groups"
            )

    def _fail(self, why: object) -> None:
        self._results.set_exception(TrainingError(str(why) or repr(why)))
        self._results.exception()  # retrieved, or asyncio would complain of a group that no one waits for


@dataclass
class GroupScorer:
    """Scores the groups of a whole training, so that its processes have one budget, one run folder and one pace.

    Args:
        reward: what `trl_reward` makes.

    Raises:
        ConfigError: for something else, and for a reward that adds to advantages.
    """

    reward: CatReward
    faults: Counter[str] = field(default_factory=Counter)  # why groups had no reward, since the last `check`
    end: str | None = None  # why no further group will have a reward
    refusal: str | None = None  # of estimator or reward, which holds for all groups while none had a reward

    def __post_init__(self) -> None:
        if not isinstance(self.reward, CatReward):
            raise ConfigError(f"{self.reward!r:.60} scores no groups: return what catlite.trl_reward(…) makes")
        if getattr(self.reward.rewarder.reward, "penalty", 0.0) and hasattr(self.reward.rewarder.reward, "offset"):
            raise ConfigError(f"{self.reward.rewarder.reward!r:.60} adds a penalty to advantages: set penalty=0 here")

    async def score(
        self, name: str, prompt: Any, replies: Sequence[Reply], cut_at: tuple[int | None, Collection[int]]
    ) -> tuple[list[Rewarded], str | None]:
        """Reward a group in order, or say why it has no rewards; what cannot be judged gets the mean of the others.

        Args:
            name: the prompt's id.
            prompt: its messages.
            replies: the text and the tokens of each rollout.
            cut_at: tokens at which a rollout is cut off, and the tokens that end one before.
        """
        reward = self.reward
        try:
            check_group(len(replies), "the number of rollouts of a prompt")
            example = example_of(name, prompt, (), reward.examples, reward.answer_format)
            rollouts = tuple(rollout_of(example, text, tokens, *cut_at) for text, tokens in replies)
            batch = await reward.score([Group(example, rollouts)])
        except CatliteError as error:
            fault = str(error)
            if isinstance(error, ConfigError):
                self.refusal = fault
            else:
                self.end = fault
        else:
            judged = [value for value in batch.rewards if value is not None]
            if judged:
                return [(fmean(judged), False) if value is None else (value, True) for value in batch.rewards], None
            (fault,) = batch.faults
            if batch.scored[0].over:
                self.end = fault
        self.faults[fault] += 1
        log.error("a group has no reward: %s", fault)
        return [], fault

    def check(self) -> str | None:
        """Say how many groups had no reward since the last call, and why; None when all had one.

        Raises:
            TrainingError: when no further group will have one: the budget is reached, or access was refused.
        """
        if self.end is not None:
            raise TrainingError(f"no further group can be rewarded: {self.end}")
        if self.refusal is not None and not self.reward.rewarder.has_rewarded:
            raise TrainingError(f"no group could be rewarded: {self.refusal}")
        silent, self.faults = self.faults, Counter()
        if not silent:
            return None
        fault, _ = silent.most_common(1)[0]
        return f"{silent.total()} groups had no reward and are left out of the training, most of them since: {fault}"
