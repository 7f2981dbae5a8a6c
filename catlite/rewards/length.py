"""A length penalty around any reward, against answers that collect criteria by growing (arXiv 2509.14234 App. B).

HealthBench training in the paper subtracts 1 from the reward of a response longer than 750 tokens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from catlite.data import Group, Judgement, Reference, Rollout
from catlite.errors import ConfigError

Audit = Callable[[Group, Reference], Awaitable[Judgement]]


@dataclass(frozen=True)
class LengthPenalty:
    """A reward: that of `reward`, minus `penalty` for each rollout of more than `limit` tokens.

    count: how many tokens a text has, such as `lambda text: len(tokenizer.encode(text))`. Without one the server's own
    count of a rollout is taken, and whitespace-separated words where it gave none. A reward of None stays None.

    Raises ConfigError for a limit below 1 or a negative penalty.
    """

    reward: Callable[[Group, Reference], Awaitable[list[float | None]]]
    limit: int = 750
    penalty: float = 1.0
    count: Callable[[str], int] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.limit, bool) or not isinstance(self.limit, int) or self.limit < 1:
            raise ConfigError(f"limit={self.limit!r}: want a whole number of tokens, such as 750")
        if not isinstance(self.penalty, int | float) or not self.penalty >= 0:
            raise ConfigError(f"penalty={self.penalty!r}: want what is subtracted, 0 or more")

    async def __call__(self, group: Group, reference: Reference) -> list[float | None]:
        """Rewards of shape (len(group.rollouts),)."""
        return self._penalized(group, await self.reward(group, reference))

    @property
    def audit(self) -> Audit | None:
        """The verdicts of the reward inside, with the penalized rewards; None when it has none to show."""
        inner: Audit | None = getattr(self.reward, "audit", None)
        if inner is None:
            return None

        async def penalized(group: Group, reference: Reference) -> Judgement:
            judgement = await inner(group, reference)
            rewards = tuple(self._penalized(group, list(judgement.rewards_G)))
            long = sum(self.tokens(rollout) > self.limit for rollout in group.rollouts)
            note = f"{long} of {len(group.rollouts)} rollouts have over {self.limit} tokens: −{self.penalty:g}"
            return replace(judgement, rewards_G=rewards, notes=(*judgement.notes, *([note] if long else [])))

        return penalized

    def tokens(self, rollout: Rollout) -> int:
        """The length that is held against the limit."""
        if self.count is not None:
            return self.count(rollout.text)
        counted = rollout.usage.completion_tokens if rollout.usage is not None else None
        return counted if counted is not None else len(rollout.text.split())

    def _penalized(self, group: Group, rewards: list[float | None]) -> list[float | None]:
        return [
            reward - self.penalty if reward is not None and self.tokens(rollout) > self.limit else reward
            for rollout, reward in zip(group.rollouts, rewards, strict=True)
        ]
