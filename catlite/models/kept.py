"""One call to a model, as a run keeps it: replies that are there are found, those that are missing are asked for.

Every model of catlite that costs something asks through here: Endpoint, LocalModel, and through ask.py any other.
What a call costs is booked beside it (booking.py). Left out: replies that failed, which are never kept.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from catlite.data import Message, Rollout
from catlite.emitting import emitted
from catlite.errors import ConfigError, StoreError
from catlite.runs import session
from catlite.runs.store import Asked, Store
from catlite.usage import Usage

OWN = "python:"  # where a model of the user's own is, as a store has it; then the name of its class
SCORED = "scored"  # what a store calls the text whose log-probabilities it keeps


@dataclass
class Replies:
    """The replies of one call, by sample index: those the run has, those that came, and those that failed for good."""

    samples: range
    kept: dict[int, Rollout] = field(default_factory=dict)
    lost: dict[int, Rollout] = field(default_factory=dict)
    store: Store | None = None
    asked: Asked | None = None
    address: Callable[[], Awaitable[str]] | None = None  # what the model is by now

    @property
    def write(self) -> Callable[[str], None] | None:
        """The function that takes the text of a reply as it is written; None for several replies, or no listener."""
        return session.current().write if len(self.samples) == 1 else None

    def __post_init__(self) -> None:
        self._arrive(self.kept)

    @property
    def missing(self) -> list[int]:
        """The indices for which nothing has come yet."""
        return [sample for sample in self.samples if sample not in self.kept and sample not in self.lost]

    async def keep(self, fresh: Mapping[int, Rollout]) -> None:
        """Take replies by index, but none that failed; with a store, return when they are on disk.

        Raises StoreError when they cannot be, and when the model was replaced meanwhile: whose replies they are is not
        known then.
        """
        fresh = {sample: rollout for sample, rollout in fresh.items() if rollout.error is None}
        self.kept |= fresh
        if self.store is not None and self.asked is not None and fresh:
            if self.address is not None and (now := await self.address()) != self.asked.address:
                raise StoreError(
                    f"{self.asked.model!r} was replaced while it was asked: it was {self.asked.address}, and is {now} "
                    "now. Its reply is not kept; leave the model as it is during a run, and run again to go on"
                )
            await self.store.keep(self.asked, fresh)
        self._arrive(fresh)

    def lose(self, samples: Iterable[int], error: Exception) -> None:
        """Put down the replies at these indices as failed for good."""
        session.tell(error)
        lost = dict.fromkeys(samples, Rollout("", finish_reason="error", error=str(error)))
        self.lost |= lost
        self._arrive(lost)

    def _arrive(self, replies: Mapping[int, Rollout]) -> None:
        """Show replies to whoever listens."""
        if (arrive := session.current().arrive) is not None:
            for sample, rollout in replies.items():
                arrive(sample - self.samples.start, rollout)

    def in_order(self) -> list[Rollout]:
        """All of `samples`."""
        return [self.kept[sample] if sample in self.kept else self.lost[sample] for sample in self.samples]


def wanted(n: int) -> range:
    """The indices of the replies that a call for `n` is to give; see session.samples_from."""
    first = session.current().first_sample
    return range(first, first + n)


@asynccontextmanager
async def kept(
    model: str,
    address: Callable[[], Awaitable[str]],
    messages: Sequence[Message],
    sampling: Mapping[str, Any],
    samples: range,
    *,
    look_again: bool = True,
) -> AsyncIterator[Replies]:
    """Yield what the run in force has of one call; whoever asks for the rest hands it to `Replies.keep`.

    The same reply is asked for once at a time, so that the second finds what the first has paid for.

    Args:
        model: its name.
        address: gives what tells models of that name apart; called only in a run.
        messages: the prompt.
        sampling: the parameters that are asked for.
        samples: the indices of the replies.
        look_again: whether `address` is called before replies are kept as well, in case the model was replaced.
    """
    in_force = session.current()
    if in_force.tally is not None:
        raise ConfigError(
            f"{model!r} is asked past catlite.models.ask, so what that costs cannot be told in advance: write "
            "`await catlite.models.ask.sample(model, …)` in the place of `await model.sample(…)`"
        )
    store, outer = in_force.store, in_force.room
    if outer is not None:
        outer.give_back()  # before anything is waited for: what this call asks for is booked by itself
    if store is None:
        yield Replies(samples)
        return
    asked = Asked(model, await address(), messages, sampling, in_force.copy)
    async with store.turn(asked, samples):
        replies = store.find(asked, len(samples), samples.start)
        usages = [reply.usage for reply in replies.values()]
        if outer is not None:
            outer.inner += Usage.total(usages)  # paid for in an earlier part
        if in_force.found is not None:
            in_force.found.extend(usages)
        yield Replies(samples, replies, store=store, asked=asked, address=address if look_again else None)


async def kept_scores(
    model: str,
    address: Callable[[], Awaitable[str]],
    messages: Sequence[Message],
    text: str,
    settings: Mapping[str, Any],
    score: Callable[[], Awaitable[Rollout]],
    *,
    look_again: bool = True,
) -> list[float]:
    """The log-probabilities of the tokens of `text` as the reply to `messages`: the run's, or else those of `score`.

    `model`, `address`, `messages` and `look_again` are those of `kept`; `settings` is what else shapes the prompt, such
    as settings of the chat template; `score` gives the log-probabilities in a Rollout.
    """
    sampling = {SCORED: text, **settings}
    async with kept(model, address, messages, sampling, range(1), look_again=look_again) as replies:
        if replies.missing:
            await replies.keep({0: await score()})
    (rollout,) = replies.in_order()
    session.meter(rollout.usage)
    return list(rollout.logprobs or ())


def streamed(ask: Callable[[], Awaitable[list[Rollout]]]) -> AsyncGenerator[str | Rollout, None]:
    """Yield the text of the one reply that `ask` gets as it is written, then the reply."""

    async def work(emit: Callable[[str | Rollout], None]) -> None:
        emit(await hand_on(emit, ask))

    return emitted(work)


async def hand_on(write: Callable[[str], None], ask: Callable[[], Awaitable[list[Rollout]]]) -> Rollout:
    """Get the one reply of `ask`; `write` takes its text as it is written, and at the end what is left of it."""
    pieces: list[str] = []

    def take(piece: str) -> None:
        pieces.append(piece)
        write(piece)

    try:
        with session.changed(write=take):
            (rollout,) = await ask()
        text = "".join(pieces)
        if len(text) < len(rollout.text) and rollout.text.startswith(text):
            write(rollout.text[len(text) :])
        return rollout
    finally:
        pieces.clear()  # a connection keeps the context in which it was opened
