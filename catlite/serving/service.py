"""From a request to its reference: the same functions that a program in Python calls."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Any

from catlite.api import asynthesize
from catlite.data import Estimator, Example, Reference, Rollout
from catlite.emitting import emitted
from catlite.errors import ConfigError, EstimationError
from catlite.models import ask
from catlite.models.base import check_sampling, token_limit
from catlite.references.selection import BestOfN
from catlite.references.vote import MajorityVote
from catlite.rollouts import arriving, keeping, noted, sample_group
from catlite.serving.chat import Chat
from catlite.serving.refusals import Refusal
from catlite.streaming import Done, Event, RolloutDone, astream


async def make_reference(chat: Chat) -> Reference:
    """Make the reference that `chat` asks for; raises what `synthesize` raises."""
    if chat.way == "cat":
        return await asynthesize(**_synthesis(chat), progress=False)
    return await _select(chat, None)


def follow(chat: Chat) -> AsyncGenerator[Event, None]:
    """Yield what happens while the reference of `chat` is made; a vote or a pick writes no text before it is Done."""
    if chat.way == "cat":
        return astream(**_synthesis(chat))

    async def work(emit: Callable[[Event], None]) -> None:
        emit(Done(await _select(chat, lambda place, rollout: emit(RolloutDone(rollout, place, chat.n)))))

    return emitted(work)


def _synthesis(chat: Chat) -> dict[str, Any]:
    """The arguments of a synthesis."""
    return {
        "prompt": chat.messages,
        "model": chat.model,
        "n": chat.n,
        "anchor": chat.anchor,
        "answer_format": chat.answer_format,
        "include_question": bool(chat.include_question),
        **chat.sampling,
    }


async def _select(chat: Chat, arrive: Callable[[int, Rollout], None] | None) -> Reference:
    """Make a reference that is one of the rollouts; `arrive` takes each of them as it comes."""
    example = Example(chat.messages, answer_format=chat.answer_format)
    with arriving(arrive, example):
        group = await sample_group(chat.model, example, chat.n, **chat.sampling)
    with keeping(group):
        reference = await noted(await _estimator(chat)(group))
        if not reference.text:
            raise EstimationError(f"there is no vote: {'; '.join(reference.notes)}", group, unanswered=True)
        return reference


def _estimator(chat: Chat) -> Estimator:
    if chat.way == "vote":
        return MajorityVote()
    shown = chat.include_question is not False
    limit = token_limit(chat.sampling)
    return BestOfN(chat.anchor or chat.model, include_question=shown, max_tokens=limit)


async def sample_plain(chat: Chat) -> list[Rollout]:
    """Ask a plain model that is not behind a URL, whose server could be asked as it is.

    Raises:
        Refusal: for fields that it cannot take, and when every reply failed.
    """
    form = {"model", "messages", "stream", "stream_options", "n", "store"}
    sampling = {name: value for name, value in chat.fields.items() if value is not None and name not in form}
    try:
        rollouts = await ask.sample(chat.model, chat.messages, chat.n, **check_sampling({**sampling, **chat.sampling}))
    except ConfigError as error:
        raise Refusal(400, f"{error} ({chat.name!r} is not behind a URL, so only text is passed on)") from None
    errors = [rollout.error for rollout in rollouts if rollout.error is not None]
    if errors and len(errors) == len(rollouts):
        raise Refusal(502, errors[0], code="upstream", headers={"x-should-retry": "false"})
    return rollouts
