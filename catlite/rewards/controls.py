"""Controls: rewards that know nothing of what is right, so that a gain can be set beside theirs (arXiv 2506.10947).

A policy that gains as much from one of these has learned no more than to write in its usual way. Labels are not read.
Left out: rewards for wrong answers, which need labels.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from catlite.checks import whole_number
from catlite.data import Group, Reference


@dataclass(frozen=True)
class RandomReward:
    """A control: 1.0 or 0.0 for each rollout by the toss of a coin (Spurious Rewards, arXiv 2506.10947 §2).

    The coin depends on the seed, the question and the texts of the group, and on nothing else: a run that goes on
    later tosses alike, and the order of groups, or of the rollouts in one, changes nothing. A rollout whose call failed
    has None. The reference is not used, though the estimator still makes one: take one that costs nothing.

    Args:
        seed: another one tosses anew; 0.

    Raises:
        ConfigError: for a seed that is no whole number; and by `evaluate` and `compare`, where it would be a grader.

    Example:
        >>> control = catlite.rewards.controls.RandomReward(seed=1)
        >>> catlite.train("last_word", "local", estimator=catlite.MajorityVote(), reward=control)
    """

    grades: ClassVar = False  # a score by a coin says nothing of the model that is evaluated

    seed: int = 0

    def __post_init__(self) -> None:
        whole_number("seed", self.seed, None)

    async def __call__(self, group: Group, reference: Reference) -> list[float | None]:  # noqa: ARG002
        """Rewards of shape (len(group.rollouts),)."""
        texts = [rollout.text for rollout in group.rollouts]
        about = json.dumps([self.seed, group.example.messages, sorted(texts)], sort_keys=True)
        seen: Counter[str] = Counter()
        rewards: list[float | None] = []
        for rollout in group.rollouts:
            coin = random.Random(json.dumps([about, rollout.text, seen[rollout.text]]))  # noqa: S311 - no secret
            seen[rollout.text] += 1  # each of several rollouts with one text has a coin of its own
            rewards.append(None if rollout.defect == "failed" else float(coin.random() < 0.5))
        return rewards


@dataclass(frozen=True)
class FormatReward:
    """A control: 1.0 for a rollout that has an answer in its example's format, whichever, else 0.0 (arXiv 2506.10947).

    A rollout that was cut off, or is empty, is rewarded by the same rule, as in AnswerMatch. None for one whose call
    failed, and for all where the example has no answer format. The reference is not used. As a grader it tells how
    many replies can be read at all.

    Example:
        >>> await catlite.rewards.controls.FormatReward()(group, reference)
        [1.0, 1.0, 0.0, 1.0]
    """

    async def __call__(self, group: Group, reference: Reference) -> list[float | None]:  # noqa: ARG002
        """Rewards of shape (len(group.rollouts),)."""
        readable = group.example.answer_format is not None
        return [
            float(rollout.answer is not None) if readable and rollout.defect != "failed" else None
            for rollout in group.rollouts
        ]
