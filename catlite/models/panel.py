"""A model made of several: each gives a part of the rollouts, so that a vote or a synthesis has more than one mind.

The member that gives reply `i` depends on `i` and the counts alone, so a run that asks for more replies later keeps
those it has. Left out: members that read one another's replies, and the log-probabilities of given text.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from catlite.checks import whole_number
from catlite.data import Prompt, Rollout, text_only
from catlite.errors import ConfigError, ModelError
from catlite.models import ask
from catlite.models.base import (
    Closes,
    InBlocks,
    Model,
    Traits,
    check_n,
    check_sampling,
    combined,
    token_limit,
    traits,
)
from catlite.models.http.endpoint import Endpoint
from catlite.models.http.keys import BaseURL, Secret, sealed, sealed_url
from catlite.models.kept import streamed, wanted
from catlite.models.named import named
from catlite.runs import session
from catlite.usage import Usage

_MOST = 1_000  # replies of one member in a round
_SPARE = 1_000_000  # the number of a member's first reply in the place of another's: none is given twice


class Panel(InBlocks):
    """A Model made of models; usable as a context manager, which closes the members that were given by name.

    The rollouts of a group are split among the members. Reply by reply, they take turns in proportion to their counts,
    the one with the larger count first, so `n` equal to the sum of the counts gives each exactly its own. Where one
    reply is wanted, as of an anchor, the member that has the first turn gives it; if that one refuses for every prompt,
    the next does, and a note says so. `Rollout.model` is the name of the member; where members at two addresses have
    one name, it is "name at address". A member that fails loses its replies only; one that refuses for every prompt (a
    wrong key, no credit) is not asked again. When all fail, the error is raised.

    Args:
        members: models or their names, with the replies that each gives in a round: a mapping, or a list of models and
            of (model, count) pairs; 1 where no count is written.
        base_url: where the members given by name are served; None is where each is by itself.
        api_key: their key there, with base_url= only; never shown, logged or kept.

    Raises:
        ConfigError: for fewer than two members, one that is there twice, or a count that is not from 1 to 1,000.

    Example:
        >>> panel = catlite.Panel({"gpt-4o-mini": 4, "anthropic/claude-haiku-4-5": 4})
        >>> catlite.synthesize("What is 6 times 7?", panel, n=8)
    """

    def __init__(
        self,
        members: Mapping[str, int] | Iterable[str | Model | tuple[str | Model, int]],
        *,
        base_url: BaseURL = None,
        api_key: str | Secret | None = None,
    ) -> None:
        # First of all: from here on no frame of ours has a key among its locals.
        base_url, api_key = sealed_url(base_url), sealed(api_key)
        pairs = list(_pairs(members))
        if len(pairs) < 2:
            raise ConfigError(f"a panel of {len(pairs)}: want at least two models; a single model needs no panel")
        self.counts = tuple(
            whole_number(f"the count of {(model if isinstance(model, str) else model.name)!r}", count, most=_MOST)
            for model, count in pairs
        )
        self._own = [isinstance(model, str) for model, _ in pairs]
        if base_url is None and api_key is not None:
            raise ConfigError(
                "api_key= without base_url=: the members of a panel may be at several providers, each with its own "
                "key. Write them as Endpoint(name, api_key=…)"
            )
        if base_url is not None and not any(self._own):
            raise ConfigError("base_url= goes with members given by name: a Model object already has its own")
        self.members: tuple[Model, ...] = tuple(
            model if isinstance(model, Model) else named(model) if model == "local" else named(model, base_url, api_key)
            for model, _ in pairs
        )
        self.names = _told_apart(self.members)
        self.name = " + ".join(f"{count} {name}" for name, count in zip(self.names, self.counts, strict=True))
        self._round = _turns(self.counts)
        self._refusing: dict[int, ModelError] = {}  # by member, what it answers to every prompt

    @property
    def traits(self) -> Traits:
        """As many connections as its members take together; each keeps its own replies and books."""
        connections = sum(traits(member).max_connections for member in self.members)
        shown = " + ".join(
            name if name != member.name else traits(member).shown_name or name
            for name, member in zip(self.names, self.members, strict=True)
        )
        return Traits(shown_name=f"panel of {shown}", max_connections=connections, keeps_books=True)

    async def sample(self, prompt: Prompt, n: int = 1, **sampling: Any) -> list[Rollout]:
        """`n` replies in order, each of the member whose turn it is.

        Raises:
            ModelError: when no member gave a reply; the error of the first.
            BudgetReached, ConfigError, StoreError: what a member raises, with the replies of the others as `.rollouts`.
        """
        check_sampling(sampling)
        indices = wanted(check_n(n))
        if n == 1:
            return [await self._sample_one(prompt, indices, sampling)]
        shares = [self._share(member, indices) for member in range(len(self.members))]
        sharing = [member for member, (_, samples) in enumerate(shares) if samples]
        for member in sharing:
            _check_call(self.members[member], prompt, sampling)
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

    async def _sample_one(self, prompt: Prompt, indices: range, sampling: Mapping[str, Any]) -> Rollout:
        """One reply, of the first member in the order of turns that does not refuse for every prompt."""
        place = indices.start % len(self._round)
        refusals: dict[str, ModelError] = {}
        for member in dict.fromkeys(self._round[place:] + self._round[:place]):
            _check_call(self.members[member], prompt, sampling)
            first = _SPARE + indices.start if refusals else self._share(member, indices)[0]
            try:
                (rollout,) = await self._ask(member, prompt, first, indices, sampling)
            except ModelError as error:
                if not error.for_every_prompt:
                    raise
                refusals[self.names[member]] = error
                continue
            for refusal in refusals.values():
                session.tell(refusal)
            notes = (f"{name!r} refuses, so {self.names[member]!r} answered: {why}" for name, why in refusals.items())
            return replace(rollout, notes=(*rollout.notes, *notes))
        raise next(iter(refusals.values()))

    def stream(self, prompt: Prompt, **sampling: Any) -> AsyncGenerator[str | Rollout, None]:
        """One reply as it is written, of the member that has the first turn; raises as `sample` does."""
        return streamed(lambda: self.sample(prompt, 1, **sampling))

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
                arrive(samples[place] - start, replace(rollout, model=self.names[member]))

        try:
            with session.changed(first_sample=first, arrive=arrive_here):
                rollouts = await ask.sample(model, prompt, len(samples), **sampling)
        except ModelError as error:
            if error.for_every_prompt:
                self._refusing[member] = _without_replies(error)
            raise
        for place, rollout in enumerate(rollouts):
            arrive_here(place, rollout)  # for a member that told of none
        return [replace(rollout, model=self.names[member]) for rollout in rollouts]

    def _lost(self, member: int, error: BaseException, count: int) -> list[Rollout]:
        """The replies of a member that failed: those it had before, and the rest with the error."""
        model = self.names[member]
        earlier = [replace(rollout, model=model) for rollout in getattr(error, "rollouts", ())][:count]
        # What refuses every prompt has done no work for this one: it cost nothing, which is not unknown.
        usage = Usage() if isinstance(error, ModelError) and error.for_every_prompt else None
        lost = Rollout("", finish_reason="error", usage=usage, error=f"{model}: {error}", model=model)
        return earlier + [lost] * (count - len(earlier))

    async def aclose(self) -> None:
        """Close the members that were given by name; the next call opens them again."""
        async with AsyncExitStack() as stack:  # which closes the others also where one raises
            for member, own in zip(self.members, self._own, strict=True):
                if own and isinstance(member, Closes):
                    stack.push_async_callback(member.aclose)

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_refusing": {}}

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


def _told_apart(members: Sequence[Model]) -> tuple[str, ...]:
    """Name each member: by its name, and where several have that, by its address or version as well."""
    names = [member.name for member in members]
    apart = [
        name if names.count(name) == 1 or (version := traits(member).version) is None else f"{name} at {version}"
        for name, member in zip(names, members, strict=True)
    ]
    if twice := [name for name, other in zip(names, apart, strict=True) if apart.count(other) > 1]:
        raise ConfigError(
            f"a panel has {twice[0]!r} twice: write it once, with the sum of its counts. Models of one name are told "
            "apart where they are Endpoints of different addresses"
        )
    return tuple(apart)


def _check_call(member: Model, prompt: Prompt, sampling: Mapping[str, Any]) -> None:
    """Raise ConfigError, before it is asked, where a member cannot be held within the budget or take the prompt."""
    ledger, about = session.current().ledger, traits(member)
    if about.text_only:
        text_only(prompt, repr(member.name))
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
