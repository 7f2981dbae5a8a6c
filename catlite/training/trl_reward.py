"""CaT as a reward function of TRL (arXiv 2509.14234, Algorithm 1): group by id → estimator → reward → floats or None.

For people who have a trainer of their own, the one line is `reward_funcs=trl_reward(estimator, reward)`. All groups'
calls are under way at once. Nothing a provider does raises: a group without a reward abstains (None, advantage 0) and
is counted. A judge that is down is waited for within a bound. Gold answers are never looked at. Left out: groups that
are split over processes, which are refused.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from catlite import answers, loop
from catlite.budget import Account, Budget, Ledger, drawing_on
from catlite.data import Example, Group, Reference, Rollout, Task, Usage
from catlite.errors import (
    AuthenticationFailed,
    BudgetReached,
    CatliteError,
    ConfigError,
    EstimationError,
    OutOfMemory,
    QuotaExhausted,
    RequestRejected,
    RubricError,
    StoreError,
)
from catlite.models.endpoint import Endpoint
from catlite.references.selection import equivalence_classes
from catlite.references.synthesis import TRIMMED
from catlite.rewards.answer_match import AnswerMatch
from catlite.rewards.audit import Reward
from catlite.rollouts import is_hopeless
from catlite.store import open_run
from catlite.training.models_asked import asks_here_only, models_of
from catlite.training.versions import READS_NONE, trl_since

Estimator = Callable[[Group], Awaitable[Reference]]

log = logging.getLogger("catlite.training")
ID = "qid"  # the column that says which question a row is
_WAIT = "judge_wait in TrainConfig, timeout in trl_reward"
_BETWEEN = (1.0, 30.0)  # seconds from one try to the next while everything is down: doubled from the first


@dataclass(frozen=True, slots=True)
class Scored:
    """One group with its reference and rewards. `fault` says why it has none; then `reference` may be missing."""

    group: Group
    reference: Reference | None
    rewards: tuple[float | None, ...]
    fault: str | None = None
    final: bool = False  # asking again would not help
    over: bool = False  # nor would any other question: no budget, no credit, no access

    @property
    def abstains(self) -> bool:
        """True when no rollout has a reward."""
        return all(reward is None for reward in self.rewards)


@dataclass
class Batch:
    """All groups of one reward call."""

    scored: list[Scored]
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def rewards(self) -> list[float | None]:
        """One float or None per rollout, groups one after the other."""
        return [reward for one in self.scored for reward in one.rewards]

    @property
    def faults(self) -> list[str]:
        """Why groups abstained, each reason once, the commonest first."""
        found = [one.fault or "no rollout could be judged" for one in self.scored if one.abstains]
        return sorted(set(found), key=lambda fault: -found.count(fault))


@dataclass
class Rewarder:
    """Groups in, rewards out; what `trl_reward`, `train` and the checks of `train` share."""

    estimator: Estimator
    reward: Reward
    timeout: float  # seconds for one whole call

    async def score(self, groups: Sequence[Group], references: Sequence[Reference] | None = None) -> Batch:
        """The rewards of `groups`, in order, within `timeout` seconds, against `references` or one estimated for each.

        While no group has a reward, those that failed for a reason that may pass are asked again.
        """
        started = time.monotonic()
        deadline = started + self.timeout
        pause, most = _BETWEEN
        given: Sequence[Reference | None] = [None] * len(groups) if references is None else references
        scored = await loop.together(self._one(*pair, deadline) for pair in zip(groups, given, strict=True))
        while again := _worth_asking_again(scored):
            if deadline - time.monotonic() <= pause:
                break
            log.warning("no group has a reward (%s): asking again in %.0f s", scored[again[0]].fault, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, most)
            fresh = await loop.together(self._one(groups[at], given[at], deadline) for at in again)
            for at, one in zip(again, fresh, strict=True):
                scored[at] = one
        batch = Batch(scored, time.monotonic() - started)
        batch.metrics = await diagnostics(scored)
        return batch

    async def _one(self, group: Group, reference: Reference | None, deadline: float) -> Scored:
        nothing = (None,) * len(group.rollouts)
        if not group.usable:
            return Scored(group, None, nothing, "no usable rollout: " + "; ".join(group.left_out()), final=True)
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic()) if self._waits else None):
                reference = reference or await self.estimator(group)
                if reference.truncated and reference.answer is None:
                    why = "the reference was cut off: raise the estimator's max_tokens"
                    return Scored(group, reference, nothing, why, final=True)
                rewards = checked(await self.reward(group, reference), len(group.rollouts), self.reward)
        except TimeoutError:
            return Scored(group, reference, nothing, f"no reward within {self.timeout:g} s: raise {_WAIT}")
        except (ConfigError, StoreError):
            raise
        except (BudgetReached, AuthenticationFailed, QuotaExhausted) as error:
            return Scored(group, reference, nothing, str(error), final=True, over=True)
        except (CatliteError, OSError) as error:
            final = isinstance(error, RequestRejected | OutOfMemory) or self._would_repeat(error)
            return Scored(group, reference, nothing, str(error), final=final, over=is_hopeless(error))
        except Exception as error:
            # A client of the user's own may raise anything; in TRL that would end the step and all of its rollouts.
            log.exception("an estimator or a reward failed; its group abstains")
            return Scored(group, reference, nothing, f"{type(error).__name__}: {error}", final=True)
        return Scored(group, reference, tuple(rewards), self._silence(rewards))

    @property
    def _waits(self) -> bool:
        """False when all that is asked is weights in this process: those answer in the end, and would be no faster."""
        return not (asks_here_only(self.estimator) and asks_here_only(self.reward))

    def _would_repeat(self, error: Exception) -> bool:
        """True when what failed is seen to ask no endpoint: a vote, or weights in this process, fails again alike."""
        part = {EstimationError: self.estimator, RubricError: self.reward}.get(type(error))
        remote = any(isinstance(model, Endpoint) for model in models_of(part))
        return hasattr(part, "__dataclass_fields__") and not remote

    def _silence(self, rewards: list[float | None]) -> str | None:
        """Why no rollout has a reward, when that may pass: the judge did not answer."""
        remote = any(isinstance(model, Endpoint) for model in models_of(self.reward))
        if any(reward is not None for reward in rewards) or not remote:
            return None
        return f"{type(self.reward).__name__} could judge no rollout"


def _worth_asking_again(scored: Sequence[Scored]) -> list[int]:
    """Positions of the groups that may yet have a reward; none when some group has one, or no question ever will."""
    if any(not one.abstains or one.over for one in scored):
        return []
    return [at for at, one in enumerate(scored) if one.fault is not None and not one.final]


def checked(rewards: Any, expected: int, reward: Reward) -> list[float | None]:
    """`rewards` as floats or None; ConfigError when their number is wrong or one is no finite number."""
    name = getattr(reward, "__name__", type(reward).__name__)
    if not isinstance(rewards, list | tuple) or len(rewards) != expected:
        given = f"{len(rewards)} values" if isinstance(rewards, list | tuple) else type(rewards).__name__
        raise ConfigError(
            f"the reward {name} gave {given} for a group of {expected} rollouts: give a list with one float, or None, "
            "for each rollout in order"
        )
    found: list[float | None] = []
    for number, value in enumerate(rewards):
        if value is not None and not (isinstance(value, int | float) or hasattr(value, "__float__")):
            raise ConfigError(f"the reward {name} gave {value!r} for rollout {number}: want a float or None")
        if value is not None and not math.isfinite(float(value)):
            raise ConfigError(
                f"the reward {name} gave {float(value)} for rollout {number}: give None for what cannot be judged"
            )
        found.append(None if value is None else float(value))
    return found


async def agreement(reference: Reference) -> tuple[float, float] | None:
    """(teacher, policy): how far the reference, and a single rollout, agree with the other rollouts of the group.

    The policy's is the share of pairs of rollouts with equivalent answers; the teacher's is the share of the others
    that agree with one rollout which has the reference's answer, so that both count n - 1 others and neither itself.
    An anchor's rollouts that had a say (`reference.others`) are others, too. None without answers to compare.
    """
    total = len(reference.rollouts) + len(reference.others)
    if reference.group.example.answer_format is None or total < 2 or not reference.rollouts:
        return None
    own = [rollout.answer for rollout in reference.group.usable if rollout.answer is not None]
    others = [rollout.answer for rollout in reference.others if rollout.usable and rollout.answer is not None]
    voters = [*own, *others]
    teacher = pairs = 0
    for members in await equivalence_classes(voters):
        pairs += sum(member < len(own) for member in members) * (len(members) - 1)
        if reference.answer is not None and await answers.acompare(voters[members[0]], reference.answer):
            teacher = len(members) - 1
    return teacher / (total - 1), pairs / (len(reference.rollouts) * (total - 1))


async def diagnostics(scored: Sequence[Scored]) -> dict[str, float]:
    """What a batch says without labels, by name; only what there is."""
    rewards = [reward for one in scored for reward in one.rewards]
    judged = [reward for reward in rewards if reward is not None]
    metrics = {
        "cat/coverage": len(judged) / len(rewards) if rewards else 0.0,
        "cat/abstained": fmean(one.abstains for one in scored) if scored else 0.0,
    }
    if judged:
        metrics["cat/reward"] = fmean(judged)
    references = [one.reference for one in scored if one.reference is not None]
    if cut := fmean(any(TRIMMED in note for note in one.notes) for one in references) if references else 0.0:
        metrics["cat/trimmed"] = cut
    supports = [support[0] / support[1] for support in (one.support for one in references) if support is not None]
    pairs = [pair for pair in [await agreement(one) for one in references] if pair is not None]
    if supports and pairs:
        metrics["cat/support"] = fmean(supports)
        metrics["cat/teacher"] = fmean(teacher for teacher, _ in pairs)
        metrics["cat/policy"] = fmean(policy for _, policy in pairs)
        metrics["cat/gap"] = metrics["cat/teacher"] - metrics["cat/policy"]
    return metrics


def trl_reward(
    estimator: Estimator,
    reward: Reward | None = None,
    *,
    task: Task | None = None,
    num_generations: int = 8,
    answer_format: str | None = None,
    max_completion_length: int | None = None,
    eos_token_ids: Collection[int] = (),
    timeout: float = 600.0,
    run: str | Path | None = None,
    budget: Budget | None = None,
) -> Callable[..., list[float | None]]:
    """A reward function for any TRL GRPOTrainer: `reward_funcs=trl_reward(MajorityVote(), num_generations=8)`.

    reward: by default AnswerMatch. task: where prompts and answer formats are looked up by the dataset's column
    "qid"; without it the prompt of the dataset is used, read by `answer_format`, and rows are grouped by "qid" or, when
    there is no such column, by prompt. num_generations: as in GRPOConfig. max_completion_length, eos_token_ids: as in
    GRPOConfig and the tokenizer, to tell which rollouts were cut off. timeout: seconds for one call; a judge that is
    down is waited for within it. run, budget: as in `evaluate`, over all steps.

    A group that cannot be judged gets None for each rollout; so does every group once the budget is reached. TRL before
    1.6 reads None as 0, so there a single rollout without a reward gets its group's mean. Raises ConfigError for
    groups that are not whole, with the setting to change, and for a reward that gives what no reward is; StoreError
    when another process writes into `run`, so give each of several a folder of its own.
    """
    check_group(num_generations)
    rewarder = Rewarder(estimator, reward or AnswerMatch(), timeout)
    examples = None if task is None else dict(named(task))
    ledger: Ledger | None = None  # from the first call on: the cap is over all steps

    def cat(
        prompts: list[Any],
        completions: list[Any],
        completion_ids: list[list[int]] | None = None,
        log_extra: Callable[[str, list[Any]], None] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        nonlocal ledger
        ids = columns.get(ID)
        ids = [json.dumps(prompt, sort_keys=True) for prompt in prompts] if ids is None else ids
        texts = [_text(completion) for completion in completions]
        tokens: Sequence[list[int] | None] = completion_ids or [None] * len(texts)
        limit = max_completion_length, eos_token_ids
        groups, places = [], []
        for name, members in whole_groups(ids, num_generations):
            example = _example(name, prompts[members[0]], examples, answer_format)
            groups.append(Group(example, tuple(_rollout(example, texts[at], tokens[at], *limit) for at in members)))
            places += members
        with open_run(run) as store:
            if ledger is None and budget is not None:
                ledger = Ledger(budget, store.account if store else Account())
            with drawing_on(ledger):
                batch = loop.run(rewarder.score(groups))
        found: list[float | None] = [None] * len(texts)
        for at, value in zip(places, batch.rewards if trl_since(READS_NONE) else filled(batch), strict=True):
            found[at] = value
        for name, value in batch.metrics.items() if log_metric else ():
            log_metric(name, value)  # type: ignore[misc]
        if log_extra is not None:
            shown = [one.reference.text if one.reference else one.fault for one in batch.scored for _ in one.rewards]
            log_extra("reference", [text for _, text in sorted(zip(places, shown, strict=True))])
        cat.last = batch  # type: ignore[attr-defined] # for whoever wants to see the references
        return found

    return cat


def filled(batch: Batch) -> list[float | None]:
    """Rewards in which a rollout without one has its group's mean, and so no advantage; a silent group stays None."""
    found: list[float | None] = []
    for one in batch.scored:
        judged = [reward for reward in one.rewards if reward is not None]
        found += [fmean(judged) if reward is None and judged else reward for reward in one.rewards]
    return found


def whole_groups(ids: Sequence[Any], size: int) -> Iterator[tuple[str, list[int]]]:
    """(id, positions) for each group, in the order they come; the same question may come as several groups.

    Raises ConfigError for a group that is not whole.
    """
    members: dict[str, list[int]] = {}
    for position, name in enumerate(ids):
        members.setdefault(str(name), []).append(position)
    for name, positions in members.items():
        if len(positions) % size:
            raise ConfigError(
                f"a reward call brought {len(positions)} rollouts of question {name[:60]!r}, which is no multiple of "
                f"num_generations={size}: a group is split. Give trl_reward the num_generations of GRPOConfig; on "
                "several processes make per_device_train_batch_size a multiple of num_generations, so that each "
                "process gets whole groups"
            )
        for start in range(0, len(positions), size):
            yield name, positions[start : start + size]


def check_group(num_generations: Any) -> None:
    """ConfigError for a group size that cannot be."""
    if isinstance(num_generations, bool) or not isinstance(num_generations, int) or num_generations < 2:
        raise ConfigError(
            f"num_generations={num_generations!r}: a group has at least 2 rollouts, since an advantage compares them"
        )


def named(task: Task) -> list[tuple[str, Example]]:
    """(id, example) for each; the position stands for an id that is missing. ConfigError for an id that comes twice."""
    found = [(str(position) if one.id is None else one.id, one) for position, one in enumerate(task)]
    names = [name for name, _ in found]
    twice = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if twice:
        raise ConfigError(
            f"the task {task.name!r} has {len(twice)} ids that come more than once, such as {twice[0]!r}: rollouts are "
            "grouped by id, so give each example one of its own"
        )
    return found


def _example(name: str, prompt: Any, examples: dict[str, Example] | None, answer_format: str | None) -> Example:
    """The example without its gold answer, which training must not see."""
    if examples is None:
        return Example(prompt, answer_format=answer_format, id=name)
    if name not in examples:
        raise ConfigError(f"{ID}={name!r} is in the dataset and not in the task: make the dataset from that task")
    known = examples[name]
    return Example(known.prompt, rubric=known.rubric, answer_format=known.answer_format, id=name)


def _text(completion: Any) -> str:
    """The text of a completion: itself, or the content of its messages."""
    if isinstance(completion, str):
        return completion
    return "".join(message.get("content") or "" for message in completion)


def _rollout(
    example: Example, text: str, ids: Sequence[int] | None, most: int | None, ends: Collection[int]
) -> Rollout:
    """A completion of the trainer's, whose tokens `ids` tell its length and whether it was cut off."""
    if ids is None:
        return Rollout(text, example.parse(text), "stop")
    cut = most is not None and len(ids) >= most and ids[-1] not in ends
    return Rollout(text, example.parse(text), "length" if cut else "stop", usage=Usage(None, len(ids), None, 0.0))
