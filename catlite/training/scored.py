"""The result of a reward call: groups with their rewards or the reason for none, and its metrics without labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

from catlite import answers
from catlite.coerce import part_name as part_name
from catlite.data import Group, Reference
from catlite.errors import ConfigError
from catlite.references.synthesis import TRIMMED
from catlite.rewards.answer_match import GOLD, AnswerMatch
from catlite.training.trl.compat import READS_NONE, trl_since

# Shares of a group that agree at which a vote is wrong about as often as right. DDRL (arXiv 2604.21327) finds its noise
# there, and orders rollouts by how common their answer is; it has no limits. These are ours: 3 to 5 rollouts of 8.
MEDIUM = (0.25, 0.75)


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
    wrong: ConfigError | None = None  # raised by estimator or reward for how they were called
    notes: tuple[str, ...] = ()  # on the requests of estimator and reward, such as settings that a judge refused

    @property
    def abstains(self) -> bool:
        """True when no rollout has a reward."""
        return all(reward is None for reward in self.rewards)

    @property
    def chose_none(self) -> bool:
        """True when the estimator chose to give no reference, as a vote below its threshold does."""
        return self.reference is not None and self.reference.abstained

    @property
    def shown(self) -> str | None:
        """The reference as text for logs, or why there is none."""
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
        return [reward for score in self.scored for reward in score.rewards]

    @property
    def faults(self) -> list[str]:
        """Why groups abstained, each reason once, the commonest first."""
        faults = [score.fault or "no rollout could be judged" for score in self.scored if score.abstains]
        return sorted(set(faults), key=lambda fault: -faults.count(fault))


async def agreement(group: Group, reference: Reference | None) -> tuple[float, float] | None:
    """(teacher, policy): how far the reference, and a single rollout, agree with the other rollouts of the group.

    The policy's is the share of pairs of rollouts with equivalent answers. The teacher's is the share of the others
    that agree with a rollout which has the reference's answer. So both count n - 1 others and neither counts itself.
    The others include an anchor's rollouts that were counted (`reference.others`). Without a reference the teacher
    agrees with none. None without answers to compare.
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


async def compare_answers(scored: Scored, gold: str | None) -> tuple[float, float] | None:
    """(teacher, policy) of one prompt by its answers; None when there are none to compare, or a call failed.

    A prompt on which the estimator abstained is left out. Otherwise, as in an evaluation, a reply without an answer
    scores 0: rollouts that were cut off, and a reference that could not be made because no rollout has an answer.
    """
    group, reference = scored.group, scored.reference
    if group.example.answer_format is None or (reference is None and not scored.unanswered):
        return None
    if scored.chose_none:
        return None
    if gold is None:
        return await agreement(group, reference)
    truth = Reference(gold, gold, GOLD, group)
    policy = [score for score in await AnswerMatch()(group, truth) if score is not None]
    teacher: float | None = 0.0
    if reference is not None:
        (teacher,) = await AnswerMatch()(reference.alone, truth)
    return None if teacher is None or not policy else (teacher, fmean(policy))


async def diagnostics(scored: Sequence[Scored]) -> dict[str, float]:
    """The metrics of a batch that need no labels, by name; only those that can be computed."""
    rewards = [reward for score in scored for reward in score.rewards]
    judged = [reward for reward in rewards if reward is not None]
    metrics = {
        "cat/coverage": len(judged) / len(rewards) if rewards else 0.0,
        "cat/abstained": fmean(score.abstains for score in scored) if scored else 0.0,
    }
    if judged:
        metrics["cat/reward"] = fmean(judged)
    if any(score.notes for score in scored):
        metrics["cat/noted"] = fmean(bool(score.notes) for score in scored)
    metrics |= await _spread(scored)
    references = [score.reference for score in scored if score.reference is not None and not score.reference.abstained]
    if references and (cut := fmean(any(TRIMMED in note for note in reference.notes) for reference in references)):
        metrics["cat/trimmed"] = cut
    supports = [
        reference.support[0] / reference.support[1] for reference in references if reference.support is not None
    ]
    pairs = [pair for reference in references if (pair := await agreement(reference.group, reference)) is not None]
    if supports and pairs:
        metrics["cat/support"] = fmean(supports)
        metrics["cat/teacher"] = fmean(teacher for teacher, _ in pairs)
        metrics["cat/policy"] = fmean(policy for _, policy in pairs)
        metrics["cat/gap"] = metrics["cat/teacher"] - metrics["cat/policy"]
    return metrics


async def _spread(scored: Sequence[Scored]) -> dict[str, float]:
    """How far the answers of a group differ: how many there are, and whether a medium share agrees on one."""
    sizes = []
    for score in scored:
        if score.group.example.answer_format is not None and score.group.replies:
            votes = [rollout.answer for rollout in score.group.usable if rollout.answer is not None]
            members = await answers.aclasses(votes)
            sizes.append((len(members), max(map(len, members), default=0) / len(score.group.replies)))
    if not sizes:
        return {}
    return {
        "cat/distinct_answers": fmean(count for count, _ in sizes),
        "cat/medium_agreement": fmean(MEDIUM[0] < share < MEDIUM[1] for _, share in sizes),
    }


def rewards_for_trl(batch: Batch) -> list[float | None]:
    """The rewards as the installed TRL takes them.

    One before 1.6 reads None as 0: there a rollout without a reward has its group's mean, and so no advantage; a silent
    group stays None.
    """
    if trl_since(READS_NONE):
        return batch.rewards
    filled: list[float | None] = []
    for score in batch.scored:
        judged = [reward for reward in score.rewards if reward is not None]
        filled += [fmean(judged) if reward is None and judged else reward for reward in score.rewards]
    return filled
