"""Checks while training (arXiv 2509.14234 App. D): does the reference still beat a single sample, and when to stop.

On prompts that are not trained on, the teacher (the reference of a fresh group) is scored against the policy (the
rollouts). With gold answers that is accuracy. Without, it is how far either agrees with the other rollouts, so a gap
of 0 says that all rollouts agree. For open-ended tasks it is the reward. Left out: tests of significance; the rule is
a plain one on standard errors.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any

from catlite import concurrency
from catlite.averages import mean_and_error
from catlite.data import Example, Group
from catlite.errors import EndpointUnavailable, GroupError
from catlite.models.base import Model
from catlite.rollouts import sample_group
from catlite.runs.session import changed, copies, samples_from
from catlite.training.config import TrainConfig
from catlite.training.gold import gold_rewarder, gold_scores
from catlite.training.lora import TrainablePolicy
from catlite.training.rewarder import Rewarder
from catlite.training.scored import Scored, compare_answers

CLOSED, STALLED = 2, 3  # checks in a row after which a gap that is closed, or no longer narrows, ends training
OPEN = 2.0  # standard errors by which a gap must once exceed 0 before it can close


@dataclass(frozen=True, slots=True)
class Check:
    """One check: scores of teacher and policy, their gap, and the mean reward, with standard errors over prompts.

    With a gold judge also its mean reward, and by how much the reward that is trained on is above it.
    """

    step: int
    prompts: int
    teacher: float
    policy: float
    gap: float
    gap_se: float
    reward: float
    reward_se: float
    gold: float | None = None  # None in a check without the gold judge
    gold_se: float | None = None
    gold_gap: float | None = None
    gold_gap_se: float | None = None

    def as_metrics(self) -> dict[str, Any]:
        """The figures by their names in a run's metrics."""
        figures = {name: value for name, value in asdict(self).items() if name != "step" and value is not None}
        return {f"check/{name}": value for name, value in figures.items()}


@dataclass(frozen=True)
class Checks:
    """The checks of one run: fresh groups of the policy on held-back prompts."""

    policy: TrainablePolicy[TrainConfig]
    examples: Sequence[Example]  # scored against their gold answers where they have any
    rewarder: Rewarder
    gold: Rewarder | None = None  # of the gold judge

    def __call__(self, step: int) -> Check | None:
        """Check the policy after `step` steps; None when no prompt could be scored."""
        config = self.policy.config
        sampling = {**self.policy.sampling, "max_tokens": config.max_completion_length}
        seed = 1_000_003 * (config.seed + 1) + step
        due = step % (config.check_every * config.gold_every) == 0 or step >= config.steps
        gold = self.gold if due else None
        n, local = config.num_generations, self.policy.local
        return concurrency.run(check(local, self.examples, self.rewarder, n, step, gold, seed=seed, **sampling))

    @property
    def best_by(self) -> str:
        """The figure of a check by which it is the best.

        The gold judge's where there is one, a sample's accuracy where there are answers, else the reward. Reward
        without labels is agreement, and highest where training has collapsed.
        """
        if self.gold is not None:
            return "gold"
        labelled = all(example.answer is not None and example.answer_format is not None for example in self.examples)
        return "policy" if labelled else "reward"

    def stops(self, history: Sequence[Check]) -> str | None:
        """Why training may end by the rule that the config names; None to go on."""
        stop = self.policy.config.stop
        rules = {"gap": gap_says_stop, "reward": reward_says_stop, "gold": gold_says_stop}
        return rules[stop](history) if stop in rules else None


def make_checks(policy: TrainablePolicy[TrainConfig], held: Sequence[Example], rewarder: Rewarder) -> Checks | None:
    """The checks on the examples in `held`; None without any. Raises ConfigError as `gold_rewarder` does."""
    gold = gold_rewarder(policy.config, policy.local, rewarder, held)
    return Checks(policy, held, rewarder, gold) if held else None


async def check(
    policy: Model,
    examples: Sequence[Example],
    rewarder: Rewarder,
    n: int,
    step: int,
    gold: Rewarder | None = None,
    **sampling: Any,
) -> Check | None:
    """Draw `n` rollouts of the policy for each example and score them; None when no prompt could be scored.

    With `gold` they are scored by the gold judge as well.
    """
    # The gold answer is for grading only: neither sampling nor estimator nor reward may see it.
    hidden = [replace(example, answer=None) for example in examples]
    with changed(ledger=None):  # the budget is for estimator and rewards; a step's rollouts are not on it either
        numbered = zip(hidden, copies(hidden), strict=True)
        groups = await concurrency.together(_group(policy, example, n, copy, sampling) for example, copy in numbered)
    batch = await rewarder.score([group for group in groups if group is not None])
    golds = [example.answer for example, group in zip(examples, groups, strict=True) if group is not None]
    answered = [await compare_answers(scored, gold) for scored, gold in zip(batch.scored, golds, strict=True)]
    rewarded = await _rewarded([scored for scored in batch.scored if _open_ended(scored)], rewarder)
    pairs = [pair for pair in [*answered, *rewarded] if pair is not None]
    if not pairs:
        return None
    rewards = [_mean(scored.rewards) for scored in batch.scored if not scored.abstains]
    gaps = [teacher - single for teacher, single in pairs]
    figures = {} if gold is None else _compared(batch.scored, await gold_scores(batch.scored, golds, gold))
    return Check(
        step,
        len(pairs),
        fmean(teacher for teacher, _ in pairs),
        fmean(single for _, single in pairs),
        *mean_and_error(gaps),
        *mean_and_error(rewards),
        **figures,
    )


def _compared(scored: Sequence[Scored], by_gold: Sequence[float]) -> dict[str, float]:
    """The gold judge's figures: its mean reward, and the gap to it where both judged; none when it judged nothing."""
    known = [value for value in by_gold if not math.isnan(value)]
    if not known:
        return {}
    pairs = [(score, value) for score, value in zip(scored, by_gold, strict=True) if not math.isnan(value)]
    gaps = [_mean(score.rewards) - value for score, value in pairs if not score.abstains]
    (gold, gold_se), (gap, gap_se) = mean_and_error(known), mean_and_error(gaps)
    return {"gold": gold, "gold_se": gold_se, "gold_gap": gap, "gold_gap_se": gap_se}


async def _group(policy: Model, example: Example, n: int, copy: int, sampling: dict[str, Any]) -> Group | None:
    """A fresh group, also one without a usable rollout; None when no reply came.

    copy: how many examples before this one have its prompt: each of them has rollouts of its own.
    """
    try:
        with samples_from(copy * n):
            return await sample_group(policy, example, n, **sampling)
    except GroupError as error:
        return error.group if error.group.replies else None
    except EndpointUnavailable:  # of a server that draws; the next step waits for it
        return None


def _open_ended(scored: Scored) -> bool:
    """Whether only the reward can tell teacher from policy, and there is one."""
    return scored.reference is not None and scored.group.example.answer_format is None and not scored.abstains


async def _rewarded(scored: Sequence[Scored], rewarder: Rewarder) -> list[tuple[float, float] | None]:
    """(teacher, policy) by the reward: each reference is rewarded as a rollout would be, all of them at once."""
    references = [score.reference for score in scored if score.reference is not None]
    alone = [reference.alone for reference in references]
    batch = await rewarder.score(alone, references)
    return [
        None if teacher.abstains else (_mean(teacher.rewards), _mean(score.rewards))
        for teacher, score in zip(batch.scored, scored, strict=True)
    ]


def _mean(rewards: Sequence[float | None]) -> float:
    return fmean(reward for reward in rewards if reward is not None)


def gap_says_stop(history: Sequence[Check]) -> str | None:
    """Why training may end, in words, when the gap has closed or no longer narrows.

    Closed: not above its standard error in CLOSED checks in a row, after it was OPEN standard errors wide in one. No
    longer narrows: in STALLED checks in a row it was not below the lowest before them by more than its standard error.
    """
    latest = list(history[-CLOSED:])
    was_open = any(check.gap > OPEN * check.gap_se for check in history[:-CLOSED])
    if was_open and all(check.gap <= check.gap_se for check in latest):
        return f"the gap between reference and sample has closed: {_gap_of(latest[-1])}"
    before, latest = list(history[:-STALLED]), list(history[-STALLED:])
    if before and all(check.gap >= min(b.gap for b in before) - check.gap_se for check in latest):
        return f"the gap between reference and sample no longer narrows: {_gap_of(latest[-1])}"
    return None


def reward_says_stop(history: Sequence[Check]) -> str | None:
    """Why training may end when the reward on held-back prompts no longer rises, by the same rule."""
    known = [check for check in history if not math.isnan(check.reward)]
    before, latest = known[:-STALLED], known[-STALLED:]
    if before and all(check.reward <= max(b.reward for b in before) + check.reward_se for check in latest):
        return (
            f"the reward on held-back prompts no longer rises: {latest[-1].reward:.3f} ± {latest[-1].reward_se:.3f} "
            f"at step {latest[-1].step}"
        )
    return None


def gold_says_stop(history: Sequence[Check]) -> str | None:
    """Why training may end when the reward is being hacked: it rises while the gold judge's falls.

    In STALLED checks in a row by the gold judge, its reward was below the highest before them by more than its standard
    error, and the reward that is trained on above what that was then.
    """
    known = [check for check in history if check.gold is not None and check.gold_se is not None]
    before, latest = known[:-STALLED], known[-STALLED:]
    if not before:
        return None
    best = max(before, key=lambda check: check.gold or 0.0)
    fell = all((best.gold or 0.0) - (check.gold or 0.0) > (check.gold_se or 0.0) for check in latest)
    if fell and all(check.reward > best.reward for check in latest):
        last = latest[-1]
        return (
            f"the reward rises and the gold judge's falls, as when a judge is hacked: {best.reward:.3f} and "
            f"{best.gold:.3f} at step {best.step}, {last.reward:.3f} and {last.gold:.3f} at step {last.step}"
        )
    return None


def _gap_of(check: Check) -> str:
    return f"{check.gap:.3f} ± {check.gap_se:.3f} at step {check.step}"
