"""The verifiable reward (arXiv 2509.14234 §3.2.1): 1 when a rollout's answer is the reference's, else 0.

Left out: partial credit.
"""

from __future__ import annotations

from dataclasses import dataclass

from catlite import answers
from catlite.data import Group, Reference

GOLD = "gold"  # the source of a reference that is the true answer: nothing was voted on


@dataclass(frozen=True)
class AnswerMatch:
    """A reward: 1.0 for a rollout whose answer is the reference's, else 0.0 (arXiv 2509.14234 §3.2.1).

    A reply without an answer has 0.0, complete or truncated. The reward is None where nothing can be said: the
    reference has no answer, the example does not say how answers are written, the call for the rollout failed, or the
    comparison gave no verdict. The votes decide which answer the reference has, as in MajorityVote: "50%" matches "50"
    or "0.5", not both. A gold answer (source "gold") is compared with each rollout alone, and matches both.

    Example:
        >>> await AnswerMatch()(group, await MajorityVote()(group))
        [1.0, 1.0, 0.0, 1.0]
    """

    async def __call__(self, group: Group, reference: Reference) -> list[float | None]:
        """Rewards of shape (len(group.rollouts),)."""
        if reference.answer is None:
            return [None] * len(group.rollouts)
        voters = (*group.rollouts, *(other for other in reference.others if other.usable))
        votes = [rollout.answer for rollout in voters if rollout.answer is not None]
        members = [] if reference.source == GOLD else await answers.aclass_of(reference.answer, votes)
        matching = {votes[member] for member in members}
        rewards: list[float | None] = []
        for rollout in group.rollouts:
            if rollout.defect == "failed":
                rewards.append(None)
            elif rollout.answer is None:
                rewards.append(None if group.example.answer_format is None else 0.0)
            elif rollout.answer in matching:
                rewards.append(1.0)
            else:
                same = await answers.acompare(rollout.answer, reference.answer)
                rewards.append(None if same is None else float(same and reference.source == GOLD))
        return rewards
