"""What a reward call came to: groups with their rewards or the reason for none, and what that says without labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from catlite import answers
from catlite.data import Group, Reference, Reward
from catlite.errors import ConfigError
from catlite.references.synthesis import TRIMMED


@dataclass(frozen=True, slots=True)
class Scored:
    """One group with its reference and rewards. `fault` says why it has none; then `reference` may be missing."""

    group: Group
    reference: Reference | None
    rewards: tuple[float | None, ...]
    fault: str | None = None
    final: bool = False  # asking again would not help
    over: bool = False  # nor would any other question: no budget, no credit, no access
    unanswered: bool = False  # no reference, though all that was asked had answered: not a failed call
    wrong: ConfigError | None = None  # what estimator or reward found wrong with how they were called

    @property
    def abstains(self) -> bool:
        """True when no rollout has a reward."""
        return all(reward is None for reward in self.rewards)

    @property
    def shown(self) -> str | None:
        """The reference for whoever reads along, or why there is none."""
        text = "" if self.reference is None else self.reference.text
        return text if text.strip() else self.fault


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


async def agreement(group: Group, reference: Reference | None) -> tuple[float, float] | None:
    """(teacher, policy): how far the reference, and a single rollout, agree with the other rollouts of the group.

    The policy's is the share of pairs of rollouts with equivalent answers; the teacher's is the share of the others
    that agree with one rollout which has the reference's answer, so that both count n - 1 others and neither itself.
    An anchor's rollouts that had a say (`reference.others`) are others, too. Without a reference the teacher agrees
    with none. None without answers to compare.
    """
    anchored = () if reference is None else reference.others
    total = len(group.rollouts) + len(anchored)
    if group.example.answer_format is None or total < 2 or not group.rollouts:
        return None
    own = [rollout.answer for rollout in group.usable if rollout.answer is not None]
    voters = [*own, *(rollout.answer for rollout in anchored if rollout.usable and rollout.answer is not None)]
    pairs = sum(
        sum(member < len(own) for member in members) * (len(members) - 1) for members in await answers.aclasses(voters)
    )
    answer = None if reference is None else reference.answer
    supporters = [] if answer is None else await answers.aclass_of(answer, voters)
    return max(0, len(supporters) - 1) / (total - 1), pairs / (len(group.rollouts) * (total - 1))


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
    pairs = [pair for pair in [await agreement(one.group, one) for one in references] if pair is not None]
    if supports and pairs:
        metrics["cat/support"] = fmean(supports)
        metrics["cat/teacher"] = fmean(teacher for teacher, _ in pairs)
        metrics["cat/policy"] = fmean(policy for _, policy in pairs)
        metrics["cat/gap"] = metrics["cat/teacher"] - metrics["cat/policy"]
    return metrics


def filled(batch: Batch) -> list[float | None]:
    """Rewards in which a rollout without one has its group's mean, and so no advantage; a silent group stays None."""
    found: list[float | None] = []
    for one in batch.scored:
        judged = [reward for reward in one.rewards if reward is not None]
        found += [fmean(judged) if reward is None and judged else reward for reward in one.rewards]
    return found
