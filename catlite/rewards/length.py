"""A length penalty around any reward, against answers that collect criteria by growing (arXiv 2509.14234 App. B).

HealthBench training in the paper subtracts 1 from the reward of a response longer than 750 tokens. A reference and a
rollout with the same text have the same length: both are counted in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from catlite import answers
from catlite.checks import whole_number, zero_or_more
from catlite.coerce import check_reward
from catlite.data import Group, Judgement, Reference, Response, Reward, Rollout
from catlite.errors import ConfigError
from catlite.rewards.protocol import Audit

# Scripts that put no spaces between words (Thai, Lao, Burmese, Khmer, kana, Han): each character counts.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\s{_UNSPACED}]+")


@dataclass(frozen=True)
class LengthPenalty:
    """A reward: that of `reward`, minus `penalty` for each rollout of more than `limit` tokens.

    A reward of None stays None. Thinking does not count, since no judge sees it. Without `count` the server's own
    counts are taken where they are of the text alone; a text without one (a reference, mostly) is measured by the
    tokens per character of the rollouts it comes from. Where no rollout has such a count, words are counted for all.

    Args:
        reward: any reward.
        limit: tokens that cost nothing; 750, as in the paper.
        penalty: the reward subtracted from a longer rollout; 1.0.
        count: how many tokens a text has; None for the counts described above.

    Raises:
        ConfigError: for a limit below 1, a penalty that is negative or infinite, or a count that is no function.

    Example:
        >>> reward = LengthPenalty(RubricReward(anchor, judge), count=lambda text: len(tokenizer.encode(text)))
        >>> rewards = await reward(group, reference)
    """

    reward: Reward
    limit: int = 750
    penalty: float = 1.0
    count: Callable[[str], int] | None = None

    def __post_init__(self) -> None:
        check_reward(self.reward)
        whole_number("limit", self.limit, hint=", in tokens, such as 750")
        zero_or_more("penalty", self.penalty)
        if self.count is not None and not callable(self.count):
            raise ConfigError(f"count={self.count!r:.60}: want a function from a text to its number of tokens, or None")

    async def __call__(self, group: Group, reference: Reference) -> list[float | None]:
        """Rewards of shape (len(group.rollouts),)."""
        return self._penalized(group, reference, await self.reward(group, reference))

    @property
    def audit(self) -> Audit | None:
        """The verdicts of the reward inside, with the penalized rewards; None when it has none to show."""
        inner: Audit | None = getattr(self.reward, "audit", None)
        if inner is None:
            return None

        async def penalized(group: Group, reference: Reference) -> Judgement:
            judgement = await inner(group, reference)
            rewards = tuple(self._penalized(group, reference, list(judgement.rewards_G)))
            long = sum(length > self.limit for length in self.lengths(group, reference))
            note = f"{long} of {len(group.rollouts)} rollouts have over {self.limit} tokens: −{self.penalty:g}"
            return replace(judgement, rewards_G=rewards, notes=(*judgement.notes, *([note] if long else [])))

        return penalized

    def lengths(self, group: Group, reference: Reference) -> list[int]:
        """The length of each rollout, to compare with the limit.

        Args:
            group: the rollouts to reward, or a reference alone.
            reference: the reference that rewards them; its own group says how many tokens a character takes.

        Returns:
            Tokens, or words where no rollout has a count of its text alone; shape (len(group.rollouts),).
        """
        texts = [answers.without_thinking(rollout.text) for rollout in group.rollouts]
        if self.count is not None:
            return [self.count(text) for text in texts]
        sampled = reference.group.rollouts
        counted = _counted(sampled)
        if not counted and reference.text not in texts:
            sampled = group.rollouts
            counted = _counted(sampled)
        if not counted:
            return [len(_WORD.findall(text)) for text in texts]
        share = sum(counted.values()) / max(1, sum(map(len, counted)))
        # Of two rollouts with one text each has its own count; a text that was not sampled has the first one's.
        own = {id(rollout): _own_count(rollout) for rollout in sampled}
        return [
            own.get(id(rollout)) or counted.get(text) or round(share * len(text))
            for rollout, text in zip(group.rollouts, texts, strict=True)
        ]

    def _penalized(self, group: Group, reference: Reference, rewards: list[float | None]) -> list[float | None]:
        return [
            reward - self.penalty if reward is not None and length > self.limit else reward
            for length, reward in zip(self.lengths(group, reference), rewards, strict=True)
        ]


def _counted(rollouts: Iterable[Response]) -> dict[str, int]:
    """The tokens of each text that has a count of its own."""
    counted: dict[str, int] = {}
    for rollout in rollouts:
        tokens = _own_count(rollout)
        if tokens is not None:
            counted.setdefault(rollout.text, tokens)
    return counted


def _own_count(rollout: Response) -> int | None:
    """The server's count of a rollout, where it is of the text alone: None where thinking is counted in it.

    A Reference has none: its usage is what estimating it took.
    """
    if not isinstance(rollout, Rollout):
        return None
    thought = bool(rollout.reasoning) or answers.without_thinking(rollout.text) != rollout.text
    tokens = rollout.usage.completion_tokens if rollout.usage is not None else None
    return tokens if tokens and rollout.text and not thought else None
