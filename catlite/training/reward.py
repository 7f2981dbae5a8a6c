"""CaT as a reward function of TRL (arXiv 2509.14234, Algorithm 1): group by id → estimator → reward → floats or None.

For a trainer of your own: `reward_funcs=trl_reward(estimator, reward)`. The calls of all groups run at once, and gold
answers are never read. Where several processes train, rank 0 rewards the groups of all, also those that are split over
them (trl/ranks.py). A trainer that awaits its rewards does so, and one that has them scored in a process of its own
(TRL's AsyncGRPOTrainer) can send ours there.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Coroutine, Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

from catlite import concurrency
from catlite.coerce import as_task, check_estimator, check_reward
from catlite.data import Estimator, Example, Group, Prompt, Reward, Task
from catlite.preflight import check_task
from catlite.runs.budget import Account, Budget, Ledger
from catlite.runs.session import capped, open_run
from catlite.training.examples import named
from catlite.training.flips import Flips
from catlite.training.grouping import (
    LogExtra,
    LogMetric,
    Row,
    check_settings,
    example_of,
    group_size,
    rollout_of,
    rows_of,
    whole_groups,
)
from catlite.training.rewarder import Rewarder, default_reward
from catlite.training.scored import Batch, rewards_for_trl
from catlite.training.trl import ranks

T = TypeVar("T")
Rewarded = tuple[float | None, float, str | None]  # reward, offset of the advantage, and the reference that is shown


class Rewards(Generic[T], Sequence[float | None]):
    """The rewards of a call on an event loop: scored once they are awaited, or else as soon as the list is read."""

    def __init__(self, score: Callable[[], Coroutine[Any, Any, T]], take: Callable[[T], list[float | None]]) -> None:
        self._score, self._take = score, take
        self._scored: list[T] = []  # nothing, or the result
        self._one_by_one = asyncio.Lock()  # of the background loop
        self._rewards: list[float | None] | None = None
        self._taking = threading.Lock()  # the list may be read on several threads at once

    async def _score_once(self) -> T:
        async with self._one_by_one:
            if not self._scored:
                self._scored.append(await self._score())
            return self._scored[0]

    def _taken(self, scored: T) -> list[float | None]:
        with self._taking:
            if self._rewards is None:
                self._rewards = self._take(scored)
        return self._rewards

    def read(self) -> list[float | None]:
        """Score unless that is done, which blocks."""
        return self._taken(concurrency.run(self._score_once())) if self._rewards is None else self._rewards

    def __await__(self) -> Generator[Any, None, list[float | None]]:
        if self._rewards is None:
            self._taken((yield from asyncio.wrap_future(concurrency.start(self._score_once())).__await__()))
        return self.read()

    def __len__(self) -> int:
        return len(self.read())

    @overload
    def __getitem__(self, index: int) -> float | None: ...
    @overload
    def __getitem__(self, index: slice) -> list[float | None]: ...
    def __getitem__(self, index: int | slice) -> float | list[float | None] | None:
        return self.read()[index]

    def __repr__(self) -> str:
        return repr(self.read())


@dataclass(eq=False)
class CatReward:
    """A reward function of TRL's, as `trl_reward` makes it.

    It is pickled as its settings, when estimator and reward are: what was seen in this process stays here. What is
    spent of a budget goes along, and with `run` it is in that folder.
    """

    rewarder: Rewarder
    examples: dict[str, Example] | None = field(repr=False)  # by id; None takes the dataset's prompts
    sizes: tuple[int, int | None]  # of a group, in training and in evaluation, where the trainer does not say
    answer_format: str | None = None  # where there are no examples
    cut_at: tuple[int | None, Collection[int]] = (None, ())  # tokens of a rollout that is cut off, and tokens of an end
    run: str | Path | None = None
    budget: Budget | None = None
    flips: Flips = field(default_factory=Flips, repr=False)
    # For each rollout's advantage, of the latest call.
    offsets: list[float] = field(default_factory=list, init=False, repr=False)
    # Called with each Batch and when its call began.
    on_batch: Callable[[Batch, float], None] | None = field(default=None, repr=False)
    last: Batch = field(default_factory=lambda: Batch([], 0.0), init=False, repr=False)  # of the latest call
    # From the first call on: the cap is over all steps.
    _ledger: Ledger | None = field(default=None, init=False, repr=False)
    __name__ = "cat"  # TRL's metrics are called by it

    def __call__(
        self,
        prompts: list[Any],
        completions: list[Any],
        completion_ids: list[list[int]] | None = None,
        log_extra: LogExtra | None = None,
        log_metric: LogMetric | None = None,
        **columns: Any,
    ) -> Sequence[float | None]:
        """One float or None per completion, in order; what TRL calls.

        On a running event loop, which must not stand still, the list can be awaited; it is scored as soon as it is
        awaited or read.
        """
        began = time.monotonic()

        def rows() -> list[Row]:
            return rows_of(prompts, completions, completion_ids, columns)

        def take(rewarded: list[Rewarded], metrics: dict[str, float]) -> list[float | None]:
            self.offsets = [offset for _, offset, _ in rewarded]
            if log_metric is not None:
                for name, value in metrics.items():
                    log_metric(name, value)
            if log_extra is not None:
                log_extra("reference", [shown for _, _, shown in rewarded])
            return [reward for reward, _, _ in rewarded]

        def reward(rows: Sequence[Row]) -> tuple[list[Rewarded], dict[str, float]]:
            groups, places = self._groups(rows, log_metric)
            return self._note(concurrency.run(self.score(groups)), places, began)

        on_a_loop = _on_a_loop()
        if on_a_loop and ranks.world_size() == 1:
            groups, places = self._groups(rows(), log_metric)
            self.last = Batch([], 0.0)
            return Rewards(lambda: self.score(groups), lambda batch: take(*self._note(batch, places, began)))
        # Ranks wait for one another here, so that several rewards come in the same order on all of them.
        rewards = take(*ranks.work_on_first(rows, reward, self.rewarder.patience, self.rewarder.wait_dial))
        return Rewards(_nothing, lambda _: rewards) if on_a_loop else rewards

    def _groups(self, rows: Sequence[Row], log_metric: LogMetric | None) -> tuple[list[Group], list[int]]:
        """(the groups that `rows` make, the place of each of their rollouts among the rows)."""
        ids = [row.id for row in rows]
        groups, places = [], []
        for name, members in whole_groups(ids, group_size(ids, *self.sizes, log_metric)):
            first = rows[members[0]]
            example = example_of(name, first.prompt, first.images, self.examples, self.answer_format)
            rollouts = tuple(rollout_of(example, rows[at].text, rows[at].tokens, *self.cut_at) for at in members)
            groups.append(Group(example, rollouts))
            places += members
        return groups, places

    async def score(self, groups: Sequence[Group]) -> Batch:
        """The rewards of whole groups, within the run and the budget; calls may overlap."""
        with open_run(self.run) as store:
            if self._ledger is None and self.budget is not None:
                self._ledger = Ledger(self.budget, store.account if store else Account())
            with capped(self._ledger):
                return await self.rewarder.score(groups)

    def _note(self, batch: Batch, places: Sequence[int], began: float) -> tuple[list[Rewarded], dict[str, float]]:
        """Keep `batch` as the latest; return what each row gets, and the metrics of all."""
        batch.metrics |= self.flips.note(batch.scored)
        self.last = batch
        if self.on_batch is not None:
            self.on_batch(batch, began)
        elif (fault := next((score.fault for score in batch.scored if score.over), None)) is not None:
            concurrency.warn(f"groups get no rewards: {fault}", UserWarning)  # a trainer may not show why
        offset = getattr(self.rewarder.reward, "offset", lambda _: 0.0)
        each = [
            (0.0 if reward is None else offset(scored.rewards), scored.shown)
            for scored in batch.scored
            for reward in scored.rewards
        ]
        in_order = sorted(zip(places, rewards_for_trl(batch), each, strict=True), key=lambda row: row[0])
        return [(reward, *more) for _, reward, more in in_order], batch.metrics

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {
            "rewarder": replace(self.rewarder, has_rewarded=False, _warned=[]),
            "run": None if self.run is None else Path(self.run).expanduser().resolve(),
            "flips": Flips(),
            "offsets": [],
            "last": Batch([], 0.0),
            "_ledger": self._ledger if self.run is None else None,
        }


class AwaitedReward(CatReward):
    """A CatReward that TRL's trainers await: those that can look whether `reward.__call__` is a coroutine function.

    A call itself is that of CatReward, so other trainers get their list.
    """

    def __getattribute__(self, name: str) -> Any:
        return super().__getattribute__("_acall" if name == "__call__" else name)

    async def _acall(self, *args: Any, **kwargs: Any) -> Sequence[float | None]:
        rewards = self(*args, **kwargs)
        return await rewards if isinstance(rewards, Rewards) else rewards


async def _nothing() -> None: ...


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def trl_reward(
    estimator: Estimator,
    reward: Reward | None = None,
    *,
    task: str | Task | Iterable[Example | Prompt] | None = None,
    num_generations: int = 8,
    num_generations_eval: int | None = None,
    answer_format: str | None = None,
    max_completion_length: int | None = None,
    eos_token_ids: Collection[int] = (),
    timeout: float = 600.0,
    run: str | Path | None = None,
    budget: Budget | None = None,
) -> CatReward:
    """Make a reward function for any TRL GRPOTrainer, from an estimator and a reward (arXiv 2509.14234, Algorithm 1).

    A prompt may have images, as TRL gives them (the dataset's column `images`): what asks an endpoint about the prompt
    sends them along, and a model that takes text alone is refused. No policy that sees images was trained here. A group
    that cannot be judged gets None for each rollout; so does every group once the budget is reached. TRL before 1.6
    reads None as 0, so there a single rollout without a reward gets its group's mean. Its `last` is the Batch of the
    latest call, with references and faults.

    A trainer that can await rewards does so (TRL from 1.14 on): its loop goes on, and several rewards are asked for at
    once. On a running event loop, as in a notebook, a call gives its list when it is awaited or read. The function is
    pickled as its settings when estimator and reward are, which have no weights (a LocalModel) and no key of their own.

    Where torchrun or accelerate has started several processes, each of them must call it for every batch, as TRL does.
    Rank 0 then rewards the groups of all, with one `run` and one `budget`; the other ranks have no `last`.

    Args:
        estimator: what makes a reference of a group, such as MajorityVote().
        reward: what scores rollouts against it; None is AnswerMatch.
        task: where prompts and answer formats are looked up by the dataset's column "qid"; None uses the prompt of the
            dataset, read by `answer_format`, with rows grouped by "qid" or, where there is no such column, by prompt.
        num_generations: as in GRPOConfig, for calls in which the trainer does not tell it; 8.
        num_generations_eval: the same for evaluation; None is num_generations.
        answer_format: "boxed", or a regular expression with one group, without a task; None for open-ended text.
        max_completion_length: as in GRPOConfig, tokens, to tell which rollouts were cut off; None does not tell.
        eos_token_ids: the tokenizer's, for the same.
        timeout: seconds for one call, within which a judge that is down is waited for; 600.0.
        run: a folder in which replies are kept; None keeps nothing.
        budget: a hard cap over all steps; None for none.

    Returns:
        The function, for `reward_funcs=`.

    Raises:
        ConfigError: for a vote without an answer format, for groups that are not whole, with the setting to change,
            and, until a group had a reward, for a reward that returns something other than floats and None; for a
            WORLD_SIZE of several processes that are not connected.
        TrainingError: when another process has ended, or has not called within `timeout` and two minutes.
        StoreError: when another process writes into `run`.

    Example:
        >>> reward = catlite.trl_reward(catlite.MajorityVote(), num_generations=8, answer_format="boxed")
        >>> GRPOTrainer(model, reward_funcs=reward, args=arguments, train_dataset=rows)
    """
    check_estimator(estimator)
    if reward is not None:
        check_reward(reward)
    check_settings(num_generations, num_generations_eval, max_completion_length, timeout)
    if budget is not None:
        Ledger(budget)  # raises for what is not a Budget
    examples = None if task is None else dict(named(as_task(task, "trl_reward", answer_format=answer_format)))
    check_task(estimator, reward, None if examples is None else list(examples.values()), answer_format)
    return AwaitedReward(
        Rewarder(estimator, reward or default_reward(), timeout),
        examples,
        (num_generations, num_generations_eval),
        answer_format,
        (max_completion_length, eos_token_ids),
        run,
        budget,
    )
