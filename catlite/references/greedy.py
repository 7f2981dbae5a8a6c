"""Greedy decoding as an estimator: what a model answers at temperature 0, beside its rollouts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from catlite.data import Group, Reference, counted
from catlite.errors import EstimationError
from catlite.models import ask
from catlite.models.base import Model
from catlite.usage import Usage


@dataclass(frozen=True)
class Greedy:
    """An estimator that leaves the rollouts aside and asks `model` once more, at temperature 0."""

    needs_usable: ClassVar = False  # so it is also asked where no rollout can be read
    reads_rollouts: ClassVar = False  # and what they cost is no part of its own cost

    model: Model
    sampling: Mapping[str, Any] = field(default_factory=dict)

    async def __call__(self, group: Group) -> Reference:
        """Ask for the greedy reply to the group's question; EstimationError when the call fails."""
        left_out = ("top_k", "top_p", "min_p", "seed")
        settings = {name: value for name, value in self.sampling.items() if name not in left_out}
        (reply,) = await ask.sample(self.model, group.example.prompt, 1, **{**settings, "temperature": 0.0})
        reply = counted(reply)
        usage = Usage.total([reply.usage])
        if reply.error is not None:
            raise EstimationError(f"the greedy reply of {self.model.name!r} failed: {reply.error}", group, usage)
        answer = reply.answer or group.example.parse(reply.text)
        return Reference(reply.text, answer, "greedy", group, usage=usage, truncated=reply.defect == "truncated")
