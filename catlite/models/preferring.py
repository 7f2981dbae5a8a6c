"""Settings that are preferred, not needed: left out where the model refuses them, and noted.

Greedy replies, replies held to a JSON schema and long lists of log-probabilities are good to have, and many servers do
not have them. A setting is left out once after any refusal, or after an empty reply. It is learned for the process when
the server's words name it, or when the same request is answered without it and refused with it a second time: an outage
that passes and a filter that objects to a prompt teach nothing.
"""

from __future__ import annotations

import contextvars
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from catlite.data import Message, Rollout, counted
from catlite.errors import AuthenticationFailed, BudgetReached, ContextOverflow, ModelError, RequestRejected
from catlite.models.base import Model
from catlite.models.http import words
from catlite.models.http.retry import trial
from catlite.usage import Usage

_BESIDE = ("top_p", "top_k", "min_p")  # servers refuse temperature 0 beside some values of these
_FORMS = frozenset({"response_format"})  # only what holds a reply to a form can leave it empty
_ATTEMPTS = 2  # before a 5xx without words is taken for a refusal
_logger = logging.getLogger("catlite")
_noting: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("catlite_preferring", default=None)


@contextmanager
def noting() -> Iterator[list[str]]:
    """Notes on the requests made inside: what they were sent without, and what is odd about the replies.

    For the notes of a Reference, a Judgement or a Row; a `noting` around this one has them, too.
    """
    notes: list[str] = []
    outer = _noting.get()
    token = _noting.set(notes)
    try:
        yield notes
    finally:
        _noting.reset(token)
        if outer is not None:
            outer[:] = distinct([*outer, *notes])


def distinct(notes: Iterable[str]) -> list[str]:
    """The first of all notes that differ in nothing but figures: of a hundred prompts cut, each has its own length."""
    known: dict[str, str] = {}
    for note in notes:
        known.setdefault(re.sub(r"\d+", "", note), note)
    return list(known.values())


async def sample_preferring(
    model: Model, messages: list[Message], preferred: Mapping[str, Any], **sampling: Any
) -> Rollout:
    """One reply, under the `preferred` settings as far as the model takes them.

    Args:
        model: who is asked; `refused` and `taken`, where it has them, hold what is known of its settings.
        messages: the prompt.
        preferred: settings that can be done without, the first to go first; None is no preference. A tuple lists values
            to try one after the other, of which the last is not left out.
        sampling: settings that are needed.

    Returns:
        The reply; its usage is that of all replies it took to have it.

    Raises:
        ModelError: as `model.sample` raises it when it is asked without the preferred settings, too.
    """
    asking = _Asking(model, messages, sampling)
    reply, asked = await asking.reply(asking.not_refused(preferred))
    notes = _noting.get()
    if notes is not None:
        told = [_note(model.name, name, value, asked.get(name)) for name, value in preferred.items()]
        told += [f"a reply of {model.name!r}: {note}" for note in reply.notes]
        notes[:] = distinct([*notes, *(note for note in told if note is not None)])
    return reply


def _note(model: str, name: str, value: Any, sent: Any) -> str | None:
    """What a reader has to know of a preferred setting; None when it was sent as preferred."""
    if value is None or (sent is not None and _first(sent) == _first(value)):
        return None
    if sent is not None:
        return f"{model!r} was asked for {name}={_first(sent)} in place of {_first(value)}, which it does not take"
    shown = f"{name} (a JSON schema)" if isinstance(value, Mapping) else f"{name}={value}"
    return f"{model!r} was asked without {shown}, which it does not take"


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) else value


@dataclass(frozen=True)
class _Try:
    """What came of one request: a reply, or a failure that may be about a setting."""

    asked: Mapping[str, Any]
    reply: Rollout | None = None
    failure: ModelError | None = None

    @property
    def answered(self) -> bool:
        """Whether there is a reply with text, be it cut off."""
        return self.reply is not None and self.reply.error is None and not self.empty

    @property
    def empty(self) -> bool:
        """Whether the reply is complete and says nothing."""
        return self.reply is not None and self.reply.defect == "empty"


@dataclass(frozen=True)
class _LeftOut:
    """A setting, or a value of one, that was given up after a refusal.

    named: the server's words name it, or it was refused twice.
    """

    name: str
    value: Any
    named: bool


@dataclass
class _Asking:
    """One reply on its way."""

    model: Model
    messages: list[Message]
    sampling: dict[str, Any]
    spent: list[Usage | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.refused: set[str] = getattr(self.model, "refused", set())
        self.taken: set[str] = getattr(self.model, "taken", set())
        self.texts = [message["content"] for message in self.messages]

    def not_refused(self, preferred: Mapping[str, Any]) -> dict[str, Any]:
        """The settings that are not known to be refused; of a tuple the values that are not."""
        wanted: dict[str, Any] = {}
        for name, value in preferred.items():
            if isinstance(value, tuple):
                wanted[name] = tuple(one for one in value if self._key(name, one) not in self.refused) or value[-1:]
            elif value is not None and self._key(name, value) not in self.refused:
                wanted[name] = value
        return wanted

    async def reply(self, wanted: Mapping[str, Any]) -> tuple[Rollout, Mapping[str, Any]]:
        """A reply under as many of the `wanted` settings as the model takes, and which these are."""
        tries = [await self._try(wanted, _ATTEMPTS)]
        left_out: list[_LeftOut] = []
        unnamed: _Try | None = None  # the first whose refusal names no setting
        while (last := tries[-1]).failure is not None or last.empty:
            change = self._change(last)
            if change is None:
                return await self._in_vain(unnamed or last)
            narrower, given_up = change
            unnamed = unnamed or (None if given_up[0].named else last)
            left_out += given_up
            tries.append(await self._try(self.not_refused(narrower), 1))
        if not last.answered:
            return self._paid(last), last.asked  # it failed for another reason, which tells nothing
        if left_out and not left_out[-1].named:
            again = await self._again(tries[-2].asked)
            if again is not None and again.answered:
                last, left_out = again, []  # what was refused was something that has passed
            elif again is not None and (again.failure is not None or again.empty):
                # With a value of a list the larger ones before it, too.
                sure = left_out[-1].name
                left_out = [replace(one, named=one.named or one.name == sure) for one in left_out]
        for one in left_out:
            if one.named:
                self._learn(one, tries)
        if not left_out:
            self._works(last.asked)
        return self._paid(last), last.asked

    async def _try(self, asked: Mapping[str, Any], attempts: int) -> _Try:
        """One request; a 5xx comes back after so many attempts, unless every setting is known to work."""
        attempts = attempts if attempts == 1 or not self._all_work(asked) else 0

        def refuses(error: ModelError) -> bool:
            return any(words.refuses(error, name, self.texts) for name in asked)

        with trial(refuses, attempts) as tried:
            try:
                reply = await self._sampled(asked)
            except ContextOverflow:
                raise
            except AuthenticationFailed as error:
                if not refuses(error):
                    raise
                return _Try(asked, failure=error)  # a key may do for anything but this setting
            except RequestRejected as error:
                return _Try(asked, failure=error)
        return _Try(asked, reply) if tried.failure is None else _Try(asked, failure=tried.failure)

    async def _sampled(self, asked: Mapping[str, Any]) -> Rollout:
        sent = {name: _first(value) for name, value in asked.items()}
        reply = counted((await self.model.sample(self.messages, 1, **sent, **self.sampling))[0])
        if reply.error is None:
            self.spent.append(reply.usage)
        return reply

    def _change(self, last: _Try) -> tuple[Mapping[str, Any], list[_LeftOut]] | None:
        """What to ask for next and what is given up with that, None when nothing is left to give up."""
        error = last.failure
        open_ones = [name for name, value in last.asked.items() if not isinstance(value, tuple) or len(value) > 1]
        unsure = [name for name in open_ones if self._key(name, _first(last.asked[name])) not in self.taken]
        named: list[str] = []
        if error is None:
            unsure = [name for name in unsure if name in _FORMS]
        else:
            named = [name for name in open_ones if words.refuses(error, name, self.texts)]
            if words.about_the_prompt(error):
                named = unsure = []
            elif words.refuses_settings(error, self.texts):
                unsure = unsure or open_ones
            elif error.for_every_prompt:
                unsure = []
        if not named and not unsure:
            return None
        name = (named or unsure)[0]
        value = last.asked[name]
        rest = {key: value for key, value in last.asked.items() if key != name}
        if not isinstance(value, tuple):
            return rest, [_LeftOut(name, value, bool(named))]
        if error is not None and (words.refuses_name(error, name) or words.refuses_name(error, "logprobs")):
            return None
        most = words.caps(error, value[0]) if error is not None else None
        fewer = tuple(one for one in value[1:] if most is None or one <= most) or value[-1:]
        return {**last.asked, name: fewer}, [_LeftOut(name, one, bool(named)) for one in value if one not in fewer]

    async def _in_vain(self, first: _Try) -> tuple[Rollout, Mapping[str, Any]]:
        """The end when it is not the settings: what came of the first request, or is asked for with full patience."""
        if first.reply is not None:
            return self._paid(first), first.asked
        if isinstance(first.failure, RequestRejected | AuthenticationFailed):
            raise first.failure
        return self._paid(_Try(first.asked, await self._sampled(first.asked))), first.asked

    async def _again(self, asked: Mapping[str, Any]) -> _Try | None:
        """The request that was refused once more; None when that cannot be told."""
        try:
            return await self._try(asked, 1)
        except (ModelError, BudgetReached):
            return None

    def _paid(self, last: _Try) -> Rollout:
        """The reply, with what all replies have cost."""
        assert last.reply is not None
        return last.reply if len(self.spent) < 2 else replace(last.reply, usage=Usage.total(self.spent))

    def _learn(self, one: _LeftOut, tries: list[_Try]) -> None:
        key = self._key(one.name, one.value)
        if key not in self.refused:
            self.refused.add(key)
            why = next((str(step.failure) for step in tries if step.failure is not None), "it answers with no text")
            _logger.warning("%s is asked without %s from here on: %s", self.model.name, key, why)

    def _works(self, asked: Mapping[str, Any]) -> None:
        self.taken.update(self._key(name, _first(value)) for name, value in asked.items())

    def _all_work(self, asked: Mapping[str, Any]) -> bool:
        return all(self._key(name, _first(value)) in self.taken for name, value in asked.items())

    def _key(self, name: str, value: Any) -> str:
        """How a setting is remembered; temperature with what is said of sampling besides."""
        key = f"{name}={value!r}"
        if name != "temperature":
            return key
        settings = {**(getattr(self.model, "sampling", None) or {}), **self.sampling}
        return key + "".join(f" beside {other}={settings[other]!r}" for other in _BESIDE if other in settings)
