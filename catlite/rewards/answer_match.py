"""The verifiable reward (arXiv 2509.14234 §3.2.1): 1 when a rollout's answer is the reference's, else 0.

Left out: partial credit.
"""

from __future__ import annotations

from dataclasses import dataclass

from catlite import answers
from catlite.data import Group, Reference


@dataclass(frozen=True)
class AnswerMatch:
    """A reward: `await AnswerMatch()(group, reference)` has one float or None per rollout, in order.

    1.0 for an equivalent answer; 0.0 for another one, or none in a reply that came; None where nothing can be
    said: the reference has no answer, the call for the rollout failed, or the comparison gave no verdict.
    """

    async def __call__(self, group: Group, reference: Reference) -> list[float | None]:
        """Rewards of shape (len(group.rollouts),)."""
        rewards: list[float | None] = []
        for rollout in group.rollouts:
            if reference.answer is None or rollout.error is not None:
                rewards.append(None)
            elif rollout.answer is None:
                rewards.append(0.0)
            else:
                same = await answers.acompare(rollout.answer, reference.answer)
                rewards.append(None if same is None else float(same))
        return rewards
