"""Soft votes (RESTRAIN, arXiv 2510.02172): a rollout is rewarded by the share of the votes that its answer has.

A hard label gives all of the reward to the majority, which may be wrong; here a right answer of a minority keeps some.
Left out of RESTRAIN: the bell curve that shapes shares into weights, one normalized advantage per candidate answer
(here the shares are one reward, normalized once), and weights of prompts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from catlite import answers, checks
from catlite.data import Group, Reference
from catlite.errors import ConfigError
from catlite.members import weigh


@dataclass(frozen=True)
class VoteShare:
    """A reward: the share of the rollouts that have a rollout's answer, a soft label (RESTRAIN, arXiv 2510.02172).

    Shares are of all rollouts that came, as in MajorityVote, and those of an anchor that voted (`reference.others`)
    count. Equivalent answers are one. A rollout without an answer has 0.0. The reward is None for a failed call, and
    for the whole group where nobody voted or the vote abstained. It needs nothing of the reference but `others`, so
    that any estimator will do, and MajorityVote is the one that costs nothing.

    Where no answer has `min_agreement` (RESTRAIN's κ, there a count), nothing is trusted: every rollout has -penalty.
    GRPO takes the mean of a group from its rewards, which would undo that, so `train` and CatGRPOTrainer subtract the
    penalty from the advantages, as RESTRAIN does; in another trainer, or inside a reward that wraps this one, such a
    group has no effect.

    Args:
        min_agreement: the smallest share of the rollouts that the most common answer must have; 0.0, none.
        penalty: what is subtracted from the advantages of a group below that (RESTRAIN's δ), 0 or more; 0.0.
        weights: as in MajorityVote: shares are then of the weight of all rollouts that came. None, 1 for each.

    Raises:
        ConfigError: for a wrong share, penalty or weight, or a penalty without min_agreement; when called, for a
            rollout without a weight.

    Example:
        >>> await VoteShare()(group, await MajorityVote()(group))
        [0.75, 0.75, 0.25, 0.75]
    """

    compares: ClassVar = True  # the rollouts of one group

    min_agreement: float = 0.0
    penalty: float = 0.0
    weights: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        checks.share("min_agreement", self.min_agreement)
        checks.weights("weights", self.weights)
        checks.zero_or_more("penalty", self.penalty)
        if self.penalty and not self.min_agreement:
            raise ConfigError(
                f"penalty={self.penalty:g} without min_agreement, below which it is subtracted: give both"
            )

    async def __call__(self, group: Group, reference: Reference) -> list[float | None]:
        """Rewards of shape (len(group.rollouts),)."""
        others = [rollout for rollout in reference.others if rollout.defect != "failed"]
        came = [*group.replies, *others]
        weights = [
            *weigh(group.replies, self.weights, group.policy),
            *weigh(others, self.weights, reference.anchor),
        ]
        voters = [at for at, rollout in enumerate(came) if rollout.answer is not None]
        partition = await answers.aclasses([came[at].answer or "" for at in voters])
        shares: dict[str | None, float] = {}
        for members in partition:
            votes = sum(weights[voters[member]] for member in members if came[voters[member]].usable)
            share = float(votes / sum(weights)) if votes else 0.0
            shares |= {came[voters[member]].answer: share for member in members}
        most = max(shares.values(), default=0.0)
        if not most or reference.abstained:
            return [None] * len(group.rollouts)
        if most < self.min_agreement:
            shares = dict.fromkeys(shares, 0.0 - self.penalty)
        unanswered = min(0.0, *shares.values())
        return [
            None if rollout.defect == "failed" else shares.get(rollout.answer, unanswered) for rollout in group.rollouts
        ]

    def offset(self, rewards: Sequence[float | None]) -> float:
        """What is added to the advantages of a group with these `rewards`: -penalty where nothing was trusted."""
        judged = [reward for reward in rewards if reward is not None]
        return -self.penalty if self.penalty and judged and max(judged) < 0 else 0.0
