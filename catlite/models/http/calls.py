"""One call of `Endpoint.sample` on its way: what was asked, what has come, and what is given up.

Left out: how it is asked, which is in endpoint.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from catlite.data import Message, Rollout
from catlite.errors import CatliteError, RequestRejected
from catlite.models import failures
from catlite.models.http.booking import Books
from catlite.models.http.learned import Learned
from catlite.runs.store import Asked, Store


@dataclass
class Call:
    """One call of `sample` on its way: what was asked, and what has come so far."""

    messages: list[Message]
    request: dict[str, Any]
    samples: range  # the indices of the replies that are wanted
    store: Store | None
    books: Books
    asked: Asked | None = None
    found: dict[int, Rollout] = field(default_factory=dict)  # by sample index
    lost: dict[int, Rollout] = field(default_factory=dict)  # failed for good
    refused: CatliteError | None = None  # what would be said to every request from here on
    rejected: RequestRejected | None = None
    learned: Learned = field(default_factory=lambda: Learned(None))

    @property
    def hopeless(self) -> bool:
        """True when the server has refused the request and has answered none like it."""
        return self.rejected is not None and not self.found

    @property
    def missing(self) -> list[int]:
        """The indices for which nothing has come yet."""
        return [sample for sample in self.samples if sample not in self.found and sample not in self.lost]

    def lose(self, wanted: Sequence[int], error: Exception) -> None:
        """Puts down the replies at these indices as failed for good."""
        failures.tell(error)
        self.lost |= dict.fromkeys(wanted, Rollout("", finish_reason="error", error=str(error)))

    async def keep(self, fresh: dict[int, Rollout]) -> None:
        """Takes replies by index, but none that cannot be read; with a store, returns when they are on disk."""
        fresh = {sample: rollout for sample, rollout in fresh.items() if rollout.error is None}
        self.found |= fresh
        if self.store is not None and self.asked is not None and fresh:
            await self.store.keep(self.asked, fresh)

    def in_order(self) -> list[Rollout]:
        """All of `samples`."""
        return [self.found[sample] if sample in self.found else self.lost[sample] for sample in self.samples]
