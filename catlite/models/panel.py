"""A model made of several: each gives a part of the rollouts, so that a vote or a synthesis has more than one mind.

The member that gives reply `i` depends on `i` and the counts alone, so a run that asks for more replies later keeps
those it has. Left out: members that read one another's replies, and the log-probabilities of given text.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from catlite.checks import whole_number
from catlite.data import Prompt, Rollout
from catlite.errors import ConfigError, ModelError
from catlite.models import ask
from catlite.models.base import (
    Closes,
    Model,
    Traits,
    check_n,
    check_sampling,
    combined,
    token_limit,
    traits,
)
from catlite.models.http.endpoint import Endpoint
from catlite.models.kept import wanted
from catlite.models.named import named
from catlite.runs import session
from catlite.text import short


class Panel:
    """A Model made of models: the rollouts of a group are split among its members.

    Reply by reply, members take turns in proportion to their counts, the one with the larger count first, so
    `n` equal to the sum of the counts gives each exactly its own. Asked for one reply, as an anchor is, the first to
    have a turn gives it. `Rollout.model` is the name of the member. A member that fails loses its replies only; one
    that refuses for every prompt (a wrong key, no credit) is not asked again. When all fail, the error is raised.

    Args:
        members: models or their names, with the replies that each gives in a round: a mapping, or a list of models and
            of (model, count) pairs; 1 where no count is written.

    Raises:
        ConfigError: for fewer than two members, two of one name, or a count below 1.

    Example:
        >>> panel = catlite.Panel({"gpt-4o-mini": 4, "anthropic/claude-haiku-4-5": 4})
        >>> catlite.synthesize("What is 6 times 7?", panel, n=8)
    """

    def __init__(self, members: Mapping[str, int] | Iterable[str | Model | tuple[str | Model, int]]) -> None:
        pairs = list(_pairs(members))
        if len(pairs) < 2:
            raise ConfigError(f"a panel of {len(pairs)}: want at least two models; one alone is given as it is")
        names = [model if isinstance(model, str) else model.name for model, _ in pairs]
        self.counts = tuple(
            whole_number(f"the count of {name!r}", pair[1]) for name, pair in zip(names, pairs, strict=True)
        )
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"a panel has {twice[0]!r} twice: write it once, with the sum of its counts")
        self._own = [isinstance(model, str) for model, _ in pairs]
        self.members: tuple[Model, ...] = tuple(named(m) if isinstance(m, str) else m for m, _ in pairs)
        self.name = " + ".join(f"{count} {name}" for name, count in zip(names, self.counts, strict=True))
        self._round = _turns(self.counts)
        self._refusing: dict[int, ModelError] = {}  # by member, what it answers to every prompt

    @property
    def traits(self) -> Traits:
        """As many connections as its members take together; each keeps its own replies and books."""
        connections = sum(traits(member).max_connections for member in self.members)
        shown = " + ".join(short(traits(member).shown_name or member.name) for member in self.members)
        return Traits(shown_name=f"panel of {shown}", max_connections=connections, keeps_books=True)

    async def sample(self, prompt: Prompt, n: int = 1, **sampling: Any) -> list[Rollout]:
        """`n` replies in order, each of the member whose turn it is.

        Raises:
            ModelError: when no member gave a reply; the error of the first.
            BudgetReached, ConfigError, StoreError: what a member raises, with the replies of the others as `.rollouts`.
        """
        check_sampling(sampling)
        indices = wanted(check_n(n))
        shares = [self._share(member, indices) for member in range(len(self.members))]
        sharing = [member for member, (_, samples) in enumerate(shares) if samples]
        for member in sharing:
            _check_budget(self.members[member], sampling)
        answers = await asyncio.gather(
            *(self._ask(member, prompt, *shares[member], sampling) for member in sharing), return_exceptions=True
        )
        replies: dict[int, Rollout] = {}
        failures: list[BaseException] = []
        for member, answer in zip(sharing, answers, strict=True):
            if isinstance(answer, BaseException):
                failures.append(answer)
                fresh: Sequence[Rollout] = self._lost(member, answer, len(shares[member][1]))
            else:
                fresh = answer
            replies |= zip(shares[member][1], fresh, strict=True)
        in_order = [replies[index] for index in indices]
        graver = [failure for failure in failures if not isinstance(failure, ModelError)]
        if graver or len(failures) == len(sharing):
            error = (graver or failures)[0]
            if hasattr(error, "rollouts"):
                error.rollouts = tuple(reply for reply in in_order if reply.error is None)
            raise error
        for failure in failures:
            assert isinstance(failure, ModelError)
            session.tell(failure)
        return in_order

    def stream(self, prompt: Prompt, **sampling: Any) -> AsyncGenerator[str | Rollout, None]:
        """One reply as it is written, of the member that has the first turn; raises as `sample` does."""
        return ask.streamed(lambda: self.sample(prompt, 1, **sampling))

    def _share(self, member: int, indices: range) -> tuple[int, list[int]]:
        """(the index of the member's own reply that comes first, the indices of the panel's replies that are its)."""
        rounds, rest = divmod(indices.start, len(self._round))
        before = rounds * self.counts[member] + self._round[:rest].count(member)
        return before, [index for index in indices if self._round[index % len(self._round)] == member]

    async def _ask(
        self, member: int, prompt: Prompt, first: int, samples: Sequence[int], sampling: Mapping[str, Any]
    ) -> list[Rollout]:
        if member in self._refusing:
            raise _without_replies(self._refusing[member])
        model, arrive, start = self.members[member], session.current().arrive, wanted(1).start

        def arrive_here(place: int, rollout: Rollout) -> None:
            if arrive is not None:
                arrive(samples[place] - start, replace(rollout, model=model.name))

        try:
            with session.changed(first_sample=first, arrive=arrive_here):
                rollouts = await ask.sample(model, prompt, len(samples), **sampling)
        except ModelError as error:
            if error.for_every_prompt:
                self._refusing[member] = _without_replies(error)
            raise
        return [replace(rollout, model=model.name) for rollout in rollouts]

    def _lost(self, member: int, error: BaseException, count: int) -> list[Rollout]:
        """The replies of a member that failed: those it had before, and the rest with the error."""
        model = self.members[member].name
        earlier = [replace(rollout, model=model) for rollout in getattr(error, "rollouts", ())][:count]
        lost = Rollout("", finish_reason="error", error=f"{model}: {error}", model=model)
        return earlier + [lost] * (count - len(earlier))

    async def aclose(self) -> None:
        """Close the members that were given by name."""
        for member, own in zip(self.members, self._own, strict=True):
            if own and isinstance(member, Closes):
                await member.aclose()

    def __repr__(self) -> str:
        listed = ", ".join(f"({member!r}, {count})" for member, count in zip(self.members, self.counts, strict=True))
        return f"Panel([{listed}])"


def _pairs(members: Any) -> Iterator[tuple[str | Model, Any]]:
    """(model, count) of each member, however they are written."""
    if isinstance(members, str) or not isinstance(members, Iterable):
        raise ConfigError(
            f'a panel is a mapping or a list of models, as in {{"gpt-4o-mini": 4, …}}; not {members!r:.60}'
        )
    for member in members.items() if isinstance(members, Mapping) else members:
        model, count = member if isinstance(member, tuple) and len(member) == 2 else (member, 1)
        if not isinstance(model, str | Model):
            raise ConfigError(f"a member of a panel is a model or its name, not {model!r:.60}")
        yield model, count


def _check_budget(member: Model, sampling: Mapping[str, Any]) -> None:
    """Raise ConfigError, before any member is asked, where this one cannot be held within the budget in force."""
    ledger, about = session.current().ledger, traits(member)
    if ledger is not None and (isinstance(member, Endpoint) or not about.keeps_books):
        ledger.check(member.name, token_limit(combined(about.sampling, sampling)), about.price is not None)


def _without_replies(error: ModelError) -> ModelError:
    """Copy what a member answers to every prompt, without the replies to the prompt that it answered so first."""
    fresh = copy.copy(error)
    fresh.group, fresh.rollouts, fresh.usage = None, (), None
    return fresh


def _turns(counts: Sequence[int]) -> list[int]:
    """The members in the order of their turns in one round, spread evenly; the larger count has the first."""
    turns: list[int] = []
    credit = [0] * len(counts)
    for _ in range(sum(counts)):
        credit = [have + count for have, count in zip(credit, counts, strict=True)]
        member = max(range(len(counts)), key=lambda number: (credit[number], -number))
        credit[member] -= sum(counts)
        turns.append(member)
    return turns
