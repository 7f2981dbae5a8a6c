"""Groups in, rewards out: estimator and reward of a whole batch at once, within a bound on the time it takes.

Nothing a provider does raises: a group without a reward abstains (None for each rollout, advantage 0) and is counted. A
judge that is down is waited for within the bound; weights in this process are waited for as long as they take.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from catlite import concurrency
from catlite.data import Estimator, Group, Reference, Reward, Task
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
    is_hopeless,
)
from catlite.models.local.model import LocalModel
from catlite.rewards.answer_match import AnswerMatch
from catlite.rewards.protocol import make_rewards, warn_own_judge
from catlite.rollouts import make_reference
from catlite.runs.session import distinct, listening, noting
from catlite.training.config import TrainConfig
from catlite.training.lora import TrainablePolicy
from catlite.training.scored import Batch, Scored, diagnostics, part_name
from catlite.training.trl import ranks

log = logging.getLogger("catlite.training")
_BETWEEN = (1.0, 30.0)  # seconds from one try to the next while everything is down: doubled from the first
_PASSES = (EndpointUnavailable, BadReply)


def default_reward(task: Task | None = None) -> Reward:
    """AnswerMatch; ConfigError for an open-ended task, whose answers cannot be compared."""
    if task is None or task.verifiable:
        return AnswerMatch()
    raise ConfigError(
        f"the task {task.name!r} is open-ended, so no answers can be compared: pass reward=RubricReward(proposer, "
        "judge) with a judge that is not the policy (a hosted model, say), or another reward"
    )


@dataclass
class Rewarder:
    """Groups in, rewards out; what `trl_reward`, `train` and the checks of `train` share."""

    estimator: Estimator
    reward: Reward
    timeout: float  # seconds for one whole call
    wait_dial: str = "timeout of trl_reward"  # the setting by which the user sets it
    length_dial: str = "the estimator's max_tokens"  # the setting that limits the length of a reference
    has_rewarded: bool = field(default=False, repr=False)  # whether any group ever had a reward
    _warned: list[str] = field(default_factory=list, repr=False)  # notes of which the user was warned

    async def score(self, groups: Sequence[Group], references: Sequence[Reference] | None = None) -> Batch:
        """The rewards of `groups`, in order, within `timeout` seconds, against `references` or one estimated for each.

        While no group has a reward, those that failed for a reason that may pass are asked again. Notes of estimator
        and reward, such as a setting that the judge was asked without, are a UserWarning, each once. Raises ConfigError
        when estimator and reward refuse every group and have rewarded none before; a single group that they refuse
        abstains.
        """
        started = time.monotonic()
        deadline = started + self.timeout
        pause, longest = _BETWEEN
        known: Sequence[Reference | None] = [None] * len(groups) if references is None else references
        scored = await concurrency.together(self._score(*pair, deadline) for pair in zip(groups, known, strict=True))
        while again := _worth_asking_again(scored):
            if deadline - time.monotonic() <= pause:
                break
            log.warning("no group has a reward (%s): asking again in %.0f s", scored[again[0]].fault, pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)
            fresh = await concurrency.together(self._score(groups[at], known[at], deadline) for at in again)
            for at, score in zip(again, fresh, strict=True):
                scored[at] = score
        self._check(scored)
        self._warn(scored)
        batch = Batch(scored, time.monotonic() - started)
        batch.metrics = await diagnostics(scored)
        return batch

    def _check(self, scored: Sequence[Scored]) -> None:
        """Raise what is wrong for all groups, as long as it may be wrong for all prompts."""
        self.has_rewarded = self.has_rewarded or not all(score.abstains for score in scored)
        wrong = [score.wrong for score in scored if score.wrong is not None]
        if not wrong:
            return
        if len(wrong) == sum(bool(score.group.usable) for score in scored) and not self.has_rewarded:
            raise wrong[0]
        log.warning("%d of %d groups abstain: %s", len(wrong), len(scored), wrong[0])

    def _warn(self, scored: Sequence[Scored]) -> None:
        notes = distinct([*self._warned, *(note for score in scored if not score.abstains for note in score.notes)])
        for note in notes[len(self._warned) :]:
            concurrency.warn(f"while groups were rewarded: {note}", UserWarning)
        self._warned = notes

    async def _score(self, group: Group, reference: Reference | None, deadline: float) -> Scored:
        with listening() as failures, noting() as notes:
            score = await self._score_usable(group, reference, deadline, failures)
        return replace(score, notes=tuple(notes))

    async def _score_usable(
        self, group: Group, reference: Reference | None, deadline: float, failures: Sequence[Exception]
    ) -> Scored:
        nothing = (None,) * len(group.rollouts)
        if not group.usable:
            why = f"no usable rollout: {'; '.join(group.left_out())}"
            return Scored(group, reference, nothing, why, final=True, unanswered=bool(group.replies))
        bound = asyncio.timeout(max(0.0, deadline - time.monotonic()) if self._waits else None)
        called: object = self.estimator
        try:
            async with bound:
                reference = reference or await make_reference(self.estimator, group)
                if (fault := self._fault_of(reference)) is not None:
                    return Scored(group, reference, nothing, fault, final=not _may_pass(failures))
                called = self.reward
                rewards = await make_rewards(self.reward, group, reference)
        except TimeoutError as error:
            if bound.expired():
                return Scored(group, reference, nothing, f"no reward within {self.timeout:g} s: raise {self.wait_dial}")
            return Scored(group, reference, nothing, f"{part_name(called)} ran out of time: {_text(error)}", final=True)
        except StoreError:
            raise
        except ConfigError as error:
            return Scored(group, reference, nothing, str(error), final=True, wrong=error)
        except (BudgetReached, AuthenticationFailed, QuotaExhausted) as error:
            return Scored(group, reference, nothing, str(error), final=True, over=True)
        except (CatliteError, OSError) as error:
            silent = reference is None and isinstance(error, EstimationError) and error.unanswered
            # What was answered with nothing is so again; what failed may pass.
            final = silent or not (_may_pass([*failures, *causes(error)]) or _is_foreign(error, called))
            return Scored(group, reference, nothing, str(error), final, over=is_hopeless(error), unanswered=silent)
        except Exception as error:
            # A client of the user's own may raise anything; in TRL that would end the step and all of its rollouts.
            log.exception("an estimator or a reward failed; its group abstains")
            return Scored(group, reference, nothing, _text(error), final=True)
        if any(reward is not None for reward in rewards):
            return Scored(group, reference, tuple(rewards))
        why = f"{part_name(self.reward)} could judge no rollout" + (f": {failures[-1]}" if failures else "")
        return Scored(group, reference, tuple(rewards), why, final=not _may_pass(failures))

    def _fault_of(self, reference: Reference) -> str | None:
        """Why nothing can be rewarded by `reference`; None when it can."""
        if reference.error is not None:
            return reference.error
        if reference.truncated and reference.answer is None:
            return f"the reference was cut off: raise {self.length_dial}"
        if reference.answer is None and not reference.text.strip():
            if reference.abstained:
                return f"there is no reference: {reference.source} {'; '.join(reference.notes)}"
            notes = f" ({'; '.join(reference.notes)})" if reference.notes else ""
            return f"there is no reference: {reference.source} found no answer among the rollouts{notes}"
        return None

    @property
    def patience(self) -> tuple[float, float]:
        """Seconds that processes wait for each other to call, and then for `score` on one of them."""
        bound = min(self.timeout, ranks.DAY) + ranks.SLACK
        return bound, bound if self._waits else ranks.DAY

    @property
    def _waits(self) -> bool:
        """False when only weights in this process are called: they answer in the end, and would not be faster."""
        return not (_stays_here(self.estimator) and _stays_here(self.reward))


def training_rewarder(policy: TrainablePolicy[TrainConfig], estimator: Estimator | None, reward: Reward) -> Rewarder:
    """The Rewarder of `train`, whose default estimator is Synthesis by the frozen policy.

    Warns when the policy judges its own rollouts.
    """
    warn_own_judge(policy.local, reward)
    timeout, dial = policy.config.judge_wait, "judge_wait in TrainConfig"
    if estimator is None:
        return Rewarder(policy.synthesis(), reward, timeout, dial, "max_completion_length")
    return Rewarder(estimator, reward, timeout, dial)


def _stays_here(part: object) -> bool:
    """True for catlite's own estimators and rewards, where they hold no other models than weights in this process."""
    if isinstance(part, LocalModel | str | int | float | None):
        return True
    if isinstance(part, Mapping):
        return all(map(_stays_here, part.values()))
    if isinstance(part, list | tuple):
        return all(map(_stays_here, part))
    own = type(part).__module__.startswith("catlite.") and hasattr(part, "__dataclass_fields__")
    return own and all(map(_stays_here, vars(part).values()))


def _may_pass(failures: Sequence[BaseException]) -> bool:
    """True when an endpoint did not answer: what it refuses it will refuse again."""
    return any(isinstance(failure, _PASSES) for failure in failures)


def _is_foreign(error: Exception, part: object) -> bool:
    """True for a failure whose cause cannot be seen: of a connection, or inside a function of the user's own."""
    if isinstance(error, EstimationError | RubricError | GroupError):
        return not hasattr(part, "__dataclass_fields__")
    return isinstance(error, OSError)


def _text(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _worth_asking_again(scored: Sequence[Scored]) -> list[int]:
    """Positions of the groups that may yet have a reward; none when some group has one, or no question ever will."""
    if any(not score.abstains or score.over for score in scored):
        return []
    return [at for at, score in enumerate(scored) if score.fault is not None and not score.final]
