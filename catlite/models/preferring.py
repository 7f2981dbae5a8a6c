"""Ask with settings that are preferred, not needed: they are left out where the model refuses them, and noted.

Greedy replies, replies held to a JSON schema and long lists of log-probabilities are good to have, and many servers do
not have them. A setting is left out once after any refusal, or after an empty reply. It is learned for the process when
the server's words name it, or when the same request is answered without it and refused with it a second time: an outage
that passes and a filter that objects to a prompt teach nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from catlite.data import Message, Rollout, counted, text_of
from catlite.errors import AuthenticationFailed, BudgetReached, ContextOverflow, ModelError, RequestRejected
from catlite.models import ask
from catlite.models.base import Model, traits
from catlite.models.http import words
from catlite.models.http.retry import trial
from catlite.runs import session
from catlite.usage import Usage

_BESIDE = ("top_p", "top_k", "min_p")  # servers refuse temperature 0 beside some values of these
_FORMS = frozenset({"response_format"})  # only what holds a reply to a form can leave it empty
_ATTEMPTS = 2  # before a 5xx without words is taken for a refusal
_logger = logging.getLogger("catlite")


async def sample_preferring(
    model: Model, messages: list[Message], preferred: Mapping[str, Any], **sampling: Any
) -> Rollout:
    """Ask for one reply, under the `preferred` settings as far as the model takes them.

    Args:
        model: the model that is asked; its traits `refused` and `taken` hold what is known of its settings.
        messages: the prompt.
        preferred: settings that can be done without, the first to go first; None is no preference. A tuple lists values
            to try one after the other, of which the last is not left out.
        sampling: settings that are needed.

    Returns:
        The reply; its usage is that of all replies it took to have it.

    Raises:
        ModelError: as `model.sample` raises it when asked without the preferred settings.
    """
    asking = _Asking(model, messages, sampling)
    reply, settings = await asking.reply(asking.not_refused(preferred))
    notes = session.current().notes
    if notes is not None:
        fresh = [_note(model.name, name, value, settings.get(name)) for name, value in preferred.items()]
        fresh += [f"a reply of {model.name!r}: {note}" for note in reply.notes]
        notes[:] = session.distinct([*notes, *(note for note in fresh if note is not None)])
    return reply


def _note(model: str, name: str, value: Any, sent: Any) -> str | None:
    """Say what a reader has to know of a preferred setting; None when it was sent as preferred."""
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

    settings: Mapping[str, Any]
    reply: Rollout | None = None
    failure: ModelError | None = None

    @property
    def answered(self) -> bool:
        """Whether there is a reply with text; it may be cut off."""
        return self.reply is not None and self.reply.error is None and not self.empty

    @property
    def empty(self) -> bool:
        """Whether the reply is complete and says nothing."""
        return self.reply is not None and self.reply.defect == "empty"


@dataclass(frozen=True)
class _LeftOut:
    """A setting, or a value of one, that was given up after a refusal; named: the server's words name it."""

    name: str
    value: Any
    named: bool


@dataclass
class _Asking:
    model: Model
    messages: list[Message]
    sampling: dict[str, Any]
    spent: list[Usage | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.traits = traits(self.model)
        self.refused, self.taken = self.traits.refused, self.traits.taken
        if session.rehearsing():  # made-up replies come in every form
            self.refused, self.taken = set(), set()
        self.texts = [text_of(message) for message in self.messages]

    def not_refused(self, preferred: Mapping[str, Any]) -> dict[str, Any]:
        """Leave out the settings that are known to be refused; of a tuple, the values that are."""
        wanted: dict[str, Any] = {}
        for name, value in preferred.items():
            if isinstance(value, tuple):
                open_values = tuple(option for option in value if self._key(name, option) not in self.refused)
                wanted[name] = open_values or value[-1:]
            elif value is not None and self._key(name, value) not in self.refused:
                wanted[name] = value
        return wanted

    async def reply(self, wanted: Mapping[str, Any]) -> tuple[Rollout, Mapping[str, Any]]:
        """Get a reply under as many of the `wanted` settings as the model takes; return it and which these are."""
        tries = [await self._try(wanted, _ATTEMPTS)]
        steps: list[list[_LeftOut]] = []  # tries[i + 1] is tries[i] without steps[i]
        unnamed: _Try | None = None  # the first whose refusal names no setting
        while (last := tries[-1]).failure is not None or last.empty:
            change = self._change(last)
            if change is None:
                return await self._in_vain(unnamed or last)
            narrower, given_up = change
            unnamed = unnamed or (None if given_up[0].named else last)
            steps.append(given_up)
            tries.append(await self._try(self.not_refused(narrower), 1))
        if not last.answered:
            return self._paid(last), last.settings  # it failed for another reason, which tells nothing
        # Each refusal that names no setting is tried once more, the last first: what was refused may have passed.
        sure: str | None = None
        while steps and not steps[-1][-1].named and sure is None:
            again = await self._again(tries[len(steps) - 1])
            if again is None or (again.failure is None and not again.empty and not again.answered):
                break
            if again.answered:
                last = again if session.current().write is None else last  # what was handed on stands
                steps.pop()
            else:
                sure = steps[-1][-1].name  # with a value of a list the larger ones before it
        left_out = [setting for given_up in steps for setting in given_up]
        for setting in left_out:
            works = self._key(setting.name, setting.value) in self.taken
            if setting.named or (setting.name == sure and not works):
                self._learn(setting, tries)
        if not left_out:
            self.taken.update(self._keys(last.settings))
        return self._paid(last), last.settings

    async def _try(self, settings: Mapping[str, Any], attempts: int) -> _Try:
        """Make one request; a 5xx comes back after so many attempts, unless every setting is known to work."""
        attempts = 0 if attempts > 1 and self.taken.issuperset(self._keys(settings)) else attempts

        def refuses(error: ModelError) -> bool:
            return any(words.refuses(error, name, self.texts) for name in settings)

        with trial(refuses, attempts) as tried:
            try:
                reply = await self._sampled(settings)
            except ContextOverflow:
                raise
            except AuthenticationFailed as error:
                if not refuses(error):
                    raise
                return _Try(settings, failure=error)  # a key may do for anything but this setting
            except RequestRejected as error:
                return _Try(settings, failure=error)
        return _Try(settings, reply) if tried.failure is None else _Try(settings, failure=tried.failure)

    async def _sampled(self, settings: Mapping[str, Any]) -> Rollout:
        sent = {name: _first(value) for name, value in settings.items()}
        reply = counted((await ask.sample(self.model, self.messages, 1, **sent, **self.sampling))[0])
        if reply.error is None:
            self.spent.append(reply.usage)
        return reply

    def _change(self, last: _Try) -> tuple[Mapping[str, Any], list[_LeftOut]] | None:
        """Decide what to ask for next and what to give up with that; None when nothing is left to give up."""
        error = last.failure
        open_ones = [name for name, value in last.settings.items() if not isinstance(value, tuple) or len(value) > 1]
        unsure = [name for name in open_ones if self._key(name, _first(last.settings[name])) not in self.taken]
        named: list[str] = []
        if error is None:
            unsure = [name for name in open_ones if name in _FORMS]
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
        value = last.settings[name]
        rest = {key: value for key, value in last.settings.items() if key != name}
        if not isinstance(value, tuple):
            return rest, [_LeftOut(name, value, bool(named))]
        if error is not None and (words.refuses_name(error, name) or words.refuses_name(error, "logprobs")):
            return None
        most = words.caps(error, value[0]) if error is not None else None
        fewer = tuple(option for option in value[1:] if most is None or option <= most) or value[-1:]
        refused = [_LeftOut(name, option, bool(named)) for option in value if option not in fewer]
        return {**last.settings, name: fewer}, refused

    async def _in_vain(self, first: _Try) -> tuple[Rollout, Mapping[str, Any]]:
        """End when the settings are not the cause: with the first request's reply, or one asked for with patience."""
        if first.reply is not None:
            return self._paid(first), first.settings
        if isinstance(first.failure, RequestRejected | AuthenticationFailed):
            raise first.failure
        return self._paid(_Try(first.settings, await self._sampled(first.settings))), first.settings

    async def _again(self, refused: _Try) -> _Try | None:
        """Make the request that was refused once more; None when its outcome tells nothing."""
        first = session.current().first_sample + refused.empty  # a run has the empty reply and would give it again
        try:
            with session.changed(write=None, first_sample=first):
                return await self._try(refused.settings, 1)
        except (ModelError, BudgetReached):
            return None

    def _paid(self, last: _Try) -> Rollout:
        """Return the reply, with what all replies have cost."""
        assert last.reply is not None
        return last.reply if len(self.spent) < 2 else replace(last.reply, usage=Usage.total(self.spent))

    def _learn(self, setting: _LeftOut, tries: list[_Try]) -> None:
        key = self._key(setting.name, setting.value)
        if key not in self.refused:
            self.refused.add(key)
            why = next((str(step.failure) for step in tries if step.failure is not None), "it answers with no text")
            _logger.warning("%s is asked without %s from here on: %s", self.model.name, key, why)

    def _keys(self, settings: Mapping[str, Any]) -> list[str]:
        return [self._key(name, _first(value)) for name, value in settings.items()]

    def _key(self, name: str, value: Any) -> str:
        """Name a setting as it is remembered; a temperature with the other settings of sampling."""
        key = f"{name}={value!r}"
        if name != "temperature":
            return key
        settings = {**self.traits.sampling, **self.sampling}
        return key + "".join(f" beside {other}={settings[other]!r}" for other in _BESIDE if other in settings)
