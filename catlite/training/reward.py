"""CaT as a reward function of TRL (arXiv 2509.14234, Algorithm 1): group by id → estimator → reward → floats or None.

For people who have a trainer of their own, the one line is `reward_funcs=trl_reward(estimator, reward)`. All groups'
calls are under way at once. Nothing a provider does raises: a group without a reward abstains (None, advantage 0) and
is counted. A judge that is down is waited for within a bound. Gold answers are never looked at. Left out: groups that
are split over processes, which are refused.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catlite import concurrency
from catlite.coerce import as_task, check_estimator, check_reward
from catlite.data import Estimator, Example, Group, Prompt, Reference, Reward, Task
from catlite.errors import (
    AuthenticationFailed,
    BadReply,
    BudgetReached,
    CatliteError,
    ConfigError,
    EndpointUnavailable,
    EstimationError,
    GroupError,
    QuotaExhausted,
    RubricError,
    StoreError,
    causes,
)
from catlite.preflight import check_task
from catlite.rewards.answer_match import AnswerMatch
from catlite.rollouts import is_hopeless
from catlite.runs.budget import Account, Budget, Ledger
from catlite.runs.session import capped, listening, open_run
from catlite.training.grouping import (
    ID as ID,
    LogExtra,
    LogMetric,
    check_group,
    completion_text,
    example_of,
    group_size,
    ids_of,
    named as named,
    rollout_of,
    whole_groups,
)
from catlite.training.models_asked import asks_here_only
from catlite.training.scored import (
    Batch as Batch,
    Scored as Scored,
    agreement as agreement,
    checked,
    diagnostics,
    filled,
)
from catlite.training.trl.compat import READS_NONE, trl_since

log = logging.getLogger("catlite.training")
_BETWEEN = (1.0, 30.0)  # seconds from one try to the next while everything is down: doubled from the first
_PASSES = (EndpointUnavailable, BadReply)


@dataclass
class Rewarder:
    """Groups in, rewards out; what `trl_reward`, `train` and the checks of `train` share."""

    estimator: Estimator
    reward: Reward
    timeout: float  # seconds for one whole call
    wait_dial: str = "timeout of trl_reward"  # what the user sets it by
    length_dial: str = "the estimator's max_tokens"  # what the user sets the length of a reference by
    has_rewarded: bool = False  # whether any group ever had a reward

    async def score(self, groups: Sequence[Group], references: Sequence[Reference] | None = None) -> Batch:
        """The rewards of `groups`, in order, within `timeout` seconds, against `references` or one estimated for each.

        While no group has a reward, those that failed for a reason that may pass are asked again. Raises ConfigError
        when estimator and reward refuse every group and have rewarded none before; a single group that they refuse
        abstains.
        """
        started = time.monotonic()
        deadline = started + self.timeout
        pause, most = _BETWEEN
        given: Sequence[Reference | None] = [None] * len(groups) if references is None else references
        scored = await concurrency.together(self._one(*pair, deadline) for pair in zip(groups, given, strict=True))
        while again := _worth_asking_again(scored):
            if deadline - time.monotonic() <= pause:
                break
            log.warning("no group has a reward (%s): asking again in %.0f s", scored[again[0]].fault, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, most)
            fresh = await concurrency.together(self._one(groups[at], given[at], deadline) for at in again)
            for at, one in zip(again, fresh, strict=True):
                scored[at] = one
        self._check(scored)
        batch = Batch(scored, time.monotonic() - started)
        batch.metrics = await diagnostics(scored)
        return batch

    def _check(self, scored: Sequence[Scored]) -> None:
        """Raises what is wrong for all groups, as long as it may be wrong for all prompts."""
        self.has_rewarded = self.has_rewarded or not all(one.abstains for one in scored)
        wrong = [one.wrong for one in scored if one.wrong is not None]
        if not wrong:
            return
        if len(wrong) == sum(bool(one.group.usable) for one in scored) and not self.has_rewarded:
            raise wrong[0]
        log.warning("%d of %d groups abstain: %s", len(wrong), len(scored), wrong[0])

    async def _one(self, group: Group, reference: Reference | None, deadline: float) -> Scored:
        with listening() as failures:
            return await self._scored(group, reference, deadline, failures)

    async def _scored(
        self, group: Group, reference: Reference | None, deadline: float, failures: Sequence[Exception]
    ) -> Scored:
        nothing = (None,) * len(group.rollouts)
        if not group.usable:
            reasons = "; ".join(group.left_out())
            return Scored(
                group, None, nothing, f"no usable rollout: {reasons}", final=True, unanswered=bool(group.replies)
            )
        bound = asyncio.timeout(max(0.0, deadline - time.monotonic()) if self._waits else None)
        asked: object = self.estimator
        try:
            async with bound:
                reference = reference or await self.estimator(group)
                if (why := self._no_reference(reference)) is not None:
                    return Scored(group, reference, nothing, why, final=not _may_pass(failures))
                asked = self.reward
                rewards = checked(await self.reward(group, reference), len(group.rollouts), self.reward)
        except TimeoutError as error:
            if bound.expired():
                return Scored(group, reference, nothing, f"no reward within {self.timeout:g} s: raise {self.wait_dial}")
            return Scored(group, reference, nothing, f"{_name(asked)} ran out of time: {_said(error)}", final=True)
        except StoreError:
            raise
        except ConfigError as error:
            return Scored(group, reference, nothing, str(error), final=True, wrong=error)
        except (BudgetReached, AuthenticationFailed, QuotaExhausted) as error:
            return Scored(group, reference, nothing, str(error), final=True, over=True)
        except (CatliteError, OSError) as error:
            silent = reference is None and isinstance(error, EstimationError) and error.unanswered
            # What was answered with nothing is so again; what failed may pass.
            final = silent or not (_may_pass([*failures, *causes(error)]) or _is_foreign(error, asked))
            return Scored(group, reference, nothing, str(error), final, over=is_hopeless(error), unanswered=silent)
        except Exception as error:
            # A client of the user's own may raise anything; in TRL that would end the step and all of its rollouts.
            log.exception("an estimator or a reward failed; its group abstains")
            return Scored(group, reference, nothing, _said(error), final=True)
        if any(reward is not None for reward in rewards):
            return Scored(group, reference, tuple(rewards))
        why = f"{_name(self.reward)} could judge no rollout" + (f": {failures[-1]}" if failures else "")
        return Scored(group, reference, tuple(rewards), why, final=not _may_pass(failures))

    def _no_reference(self, reference: Reference) -> str | None:
        """Why `reference` is none to reward by; None when it is one."""
        if reference.error is not None:
            return reference.error
        if reference.truncated and reference.answer is None:
            return f"the reference was cut off: raise {self.length_dial}"
        if reference.answer is None and not reference.text.strip():
            notes = f" ({'; '.join(reference.notes)})" if reference.notes else ""
            return f"there is no reference: {reference.source} found no answer among the rollouts{notes}"
        return None

    @property
    def _waits(self) -> bool:
        """False when all that is asked is weights in this process: those answer in the end, and would be no faster."""
        return not (asks_here_only(self.estimator) and asks_here_only(self.reward))


def _may_pass(failures: Sequence[BaseException]) -> bool:
    """True when an endpoint did not answer: what it refuses it will refuse again."""
    return any(isinstance(failure, _PASSES) for failure in failures)


def _is_foreign(error: Exception, part: object) -> bool:
    """True for a failure whose cause cannot be seen: of a connection, or inside a function of the user's own."""
    if isinstance(error, EstimationError | RubricError | GroupError):
        return not hasattr(part, "__dataclass_fields__")
    return isinstance(error, OSError)


def _name(part: object) -> str:
    return str(getattr(part, "__name__", type(part).__name__))


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _worth_asking_again(scored: Sequence[Scored]) -> list[int]:
    """Positions of the groups that may yet have a reward; none when some group has one, or no question ever will."""
    if any(not one.abstains or one.over for one in scored):
        return []
    return [at for at, one in enumerate(scored) if one.fault is not None and not one.final]


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
) -> Callable[..., list[float | None]]:
    """Make a reward function for any TRL GRPOTrainer, from an estimator and a reward.

    Messages may have their content in parts, as `[{"type": "text", "text": …}]`. A prompt with images works with what
    reads the rollouts alone, such as a vote; what asks a model about it abstains, because only text is sent. A group
    that cannot be judged gets None for each rollout; so does every group once the budget is reached. TRL before 1.6
    reads None as 0, so there a single rollout without a reward gets its group's mean.

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
            and, until a group had a reward, for a reward that gives what no reward is.
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
    given = None if task is None else as_task(task, "trl_reward", answer_format=answer_format)
    examples = None if given is None else dict(named(given))
    check_task(estimator, reward, None if examples is None else list(examples.values()), answer_format)
    return reward_function(
        Rewarder(estimator, reward or AnswerMatch(), timeout),
        examples=examples,
        sizes=(num_generations, num_generations_eval),
        answer_format=answer_format,
        cut_at=(max_completion_length, eos_token_ids),
        run=run,
        budget=budget,
    )


def reward_function(
    rewarder: Rewarder,
    *,
    examples: dict[str, Example] | None,
    sizes: tuple[int, int | None],
    answer_format: str | None = None,
    cut_at: tuple[int | None, Collection[int]] = (None, ()),
    run: str | Path | None = None,
    budget: Budget | None = None,
) -> Callable[..., list[float | None]]:
    """What `trl_reward` gives, of a Rewarder that others may share.

    examples: by id. sizes: of a group, in training and in evaluation. cut_at: after how many tokens a rollout is cut
    off, unless it ends with one of these.
    """
    ledger: Ledger | None = None  # from the first call on: the cap is over all steps

    def cat(
        prompts: list[Any],
        completions: list[Any],
        completion_ids: list[list[int]] | None = None,
        log_extra: LogExtra | None = None,
        log_metric: LogMetric | None = None,
        **columns: Any,
    ) -> list[float | None]:
        nonlocal ledger
        ids = ids_of(prompts, columns)
        size = group_size(ids, *sizes, log_metric)
        texts = [completion_text(completion) for completion in completions]
        tokens: Sequence[list[int] | None] = completion_ids or [None] * len(texts)
        groups, places = [], []
        for name, members in whole_groups(ids, size):
            example = example_of(name, prompts[members[0]], examples, answer_format)
            groups.append(Group(example, tuple(rollout_of(example, texts[at], tokens[at], *cut_at) for at in members)))
            places += members
        with open_run(run) as store:
            if ledger is None and budget is not None:
                ledger = Ledger(budget, store.account if store else Account())
            with capped(ledger):
                batch = concurrency.run(rewarder.score(groups))
        found: list[float | None] = [None] * len(texts)
        for at, value in zip(places, batch.rewards if trl_since(READS_NONE) else filled(batch), strict=True):
            found[at] = value
        for name, value in batch.metrics.items() if log_metric else ():
            log_metric(name, value)  # type: ignore[misc]
        if log_extra is not None:
            shown = [one.shown for one in batch.scored for _ in one.rewards]
            log_extra("reference", [text for _, text in sorted(zip(places, shown, strict=True))])
        cat.last = batch  # type: ignore[attr-defined] # for whoever wants to see the references
        return found

    return cat
