"""CaT as a reward function of TRL (arXiv 2509.14234, Algorithm 1): group by id → estimator → reward → floats or None.

For a trainer of your own: `reward_funcs=trl_reward(estimator, reward)`. The calls of all groups run at once, and gold
answers are never read. Left out: groups that are split over processes, which are refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
    check_group,
    completion_text,
    example_of,
    group_size,
    ids_of,
    images_of,
    rollout_of,
    whole_groups,
)
from catlite.training.rewarder import Rewarder, default_reward
from catlite.training.scored import Batch, fill_in_means
from catlite.training.trl.compat import READS_NONE, trl_since


@dataclass
class CatReward:
    """A reward function of TRL's, as `trl_reward` makes it."""

    rewarder: Rewarder
    examples: dict[str, Example] | None  # by id; None takes the dataset's prompts
    sizes: tuple[int, int | None]  # of a group, in training and in evaluation, where the trainer does not say
    answer_format: str | None = None  # where there are no examples
    cut_at: tuple[int | None, Collection[int]] = (None, ())  # tokens of a rollout that is cut off, and tokens of an end
    run: str | Path | None = None
    budget: Budget | None = None
    flips: Flips = field(default_factory=Flips)
    offsets: list[float] = field(default_factory=list, init=False)  # for each rollout's advantage, of the latest call
    on_batch: Callable[[Batch, float], None] | None = None  # called with each Batch and when its call began
    last: Batch = field(default_factory=lambda: Batch([], 0.0), init=False)  # of the latest call
    _ledger: Ledger | None = field(default=None, init=False)  # from the first call on: the cap is over all steps
    __name__ = "cat"  # TRL's metrics are called by it

    def __call__(
        self,
        prompts: list[Any],
        completions: list[Any],
        completion_ids: list[list[int]] | None = None,
        log_extra: LogExtra | None = None,
        log_metric: LogMetric | None = None,
        **columns: Any,
    ) -> list[float | None]:
        """One float or None per completion, in order; what TRL calls."""
        began = time.monotonic()
        ids = ids_of(prompts, columns)
        size = group_size(ids, *self.sizes, log_metric)
        texts = [completion_text(completion) for completion in completions]
        tokens: Sequence[list[int] | None] = completion_ids or [None] * len(texts)
        groups, places = [], []
        for name, members in whole_groups(ids, size):
            first = members[0]
            example = example_of(name, prompts[first], images_of(columns, first), self.examples, self.answer_format)
            rollouts = tuple(rollout_of(example, texts[at], tokens[at], *self.cut_at) for at in members)
            groups.append(Group(example, rollouts))
            places += members
        with open_run(self.run) as store:
            if self._ledger is None and self.budget is not None:
                self._ledger = Ledger(self.budget, store.account if store else Account())
            with capped(self._ledger):
                batch = concurrency.run(self.rewarder.score(groups))
        batch.metrics |= self.flips.note(batch.scored)
        rewards: list[float | None] = [None] * len(texts)
        for at, reward in zip(places, batch.rewards if trl_since(READS_NONE) else fill_in_means(batch), strict=True):
            rewards[at] = reward
        self.offsets = [0.0] * len(texts)
        if (offset := getattr(self.rewarder.reward, "offset", None)) is not None:
            each = ((reward, offset(score.rewards)) for score in batch.scored for reward in score.rewards)
            for at, (reward, value) in zip(places, each, strict=True):
                self.offsets[at] = 0.0 if reward is None else value
        if log_metric is not None:
            for name, value in batch.metrics.items():
                log_metric(name, value)
        if log_extra is not None:
            shown = [scored.shown for scored in batch.scored for _ in scored.rewards]
            log_extra("reference", [text for _, text in sorted(zip(places, shown, strict=True))])
        self.last = batch
        if self.on_batch is not None:
            self.on_batch(batch, began)
        return rewards


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
        run: a folder in which replies are kept; give each of several processes one of its own. None keeps nothing.
        budget: a hard cap over all steps; None for none.

    Returns:
        The function, for `reward_funcs=`.

    Raises:
        ConfigError: for a vote without an answer format, for groups that are not whole, with the setting to change,
            and, until a group had a reward, for a reward that returns something other than floats and None.
        StoreError: when another process writes into `run`.

    Example:
        >>> reward = catlite.trl_reward(catlite.MajorityVote(), num_generations=8, answer_format="boxed")
        >>> GRPOTrainer(model, reward_funcs=reward, args=arguments, train_dataset=rows)
    """
    check_estimator(estimator)
    if reward is not None:
        check_reward(reward)
    check_group(num_generations)
    if num_generations_eval is not None:
        check_group(num_generations_eval, "num_generations_eval", fewest=1)
    examples = None if task is None else dict(named(as_task(task, "trl_reward", answer_format=answer_format)))
    check_task(estimator, reward, None if examples is None else list(examples.values()), answer_format)
    return CatReward(
        Rewarder(estimator, reward or default_reward(), timeout),
        examples,
        (num_generations, num_generations_eval),
        answer_format,
        (max_completion_length, eos_token_ids),
        run,
        budget,
    )
