"""Remembers the groups that a reward judged last, so that its repr and a table answer why a rollout got its reward."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from catlite.cards import judgements_html
from catlite.data import Group, Judgement, Reference

if TYPE_CHECKING:
    import pandas as pd

REMEMBERED = 200  # groups; a training run judges many more


@dataclass(frozen=True)
class Audited:
    """A reward that remembers the groups it judged last, and shows them."""

    judged: deque[Judgement] = field(
        default_factory=lambda: deque(maxlen=REMEMBERED), init=False, repr=False, compare=False
    )

    async def audit(self, group: Group, reference: Reference) -> Judgement:
        """The verdicts behind the rewards; see the class."""
        raise NotImplementedError

    async def __call__(self, group: Group, reference: Reference) -> list[float | None]:
        """Rewards of shape (len(group.rollouts),)."""
        return list((await self.audit(group, reference)).rewards_G)

    def remember(self, judgement: Judgement) -> Judgement:
        """Keep `judgement` among the last ones, and return it."""
        self.judged.append(judgement)
        return judgement

    def to_frame(self) -> pd.DataFrame:
        """One row per group, rollout and criterion judged last (REMEMBERED groups), newest last."""
        import pandas as pd

        frames = [
            judgement.to_frame().assign(group=number, id=judgement.group.example.id)
            for number, judgement in enumerate(self.judged)
        ]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    def _repr_html_(self) -> str:
        return judgements_html(repr(self), list(self.judged))
