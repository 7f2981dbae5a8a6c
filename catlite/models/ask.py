"""How the pipeline asks a model: kept by the run in force and held within its budget, whoever wrote the model.

Estimators, rewards and evaluations call `sample` and `logprobs` here instead of the model's own. Models of catlite keep
books of their own, down to the single request (`Traits.keeps_books`). Any other object with a name and `sample` is
booked here, by the usage of its rollouts and at the most where they have none, and kept when it tells its
`Traits.version`.
When it hands on to an Endpoint or a LocalModel, that one keeps and books what it does, and nothing is booked twice.
Left out: retries, which are the model's own.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

from catlite.data import Message, Prompt, Rollout, as_messages, text_only
from catlite.errors import BadReply, CatliteError, ConfigError
from catlite.models.base import Model, Rates, Scores, Streams, sendable, token_limit, traits
from catlite.models.booking import Books
from catlite.models.kept import OWN, hand_on, kept, kept_scores, streamed, wanted
from catlite.runs import session
from catlite.runs.budget import choices, most_prompt_tokens
from catlite.usage import Usage


async def sample(model: Model, prompt: Prompt, n: int = 1, **sampling: Any) -> list[Rollout]:
    """Ask `model` for `n` replies to `prompt`, as `Model.sample` gives them.

    A run finds the replies of a model without books of its own by its name, class and `Traits.version`, prompt and
    parameters, and asks only for those that are missing. Without a version it cannot tell two such models apart, and
    keeps nothing of them. Where other replies than the first are asked for, a `seed` goes up by their index, because
    the same seed would bring the same replies again; without one, a model of catlite that is handed on to counts them.

    Raises:
        BudgetReached: when the call may cost more than is left.
        ConfigError: when a budget needs max_tokens, or a price (`Traits.price`), and for a prompt with an image where
            the model takes text alone (`Traits.text_only`).
    """
    if traits(model).text_only:
        prompt = text_only(prompt, repr(model.name))
    in_force = session.current()
    tally, write = in_force.tally, in_force.write
    rollouts: list[Rollout]
    try:
        with session.changed(costs=None):  # what it asks in turn, its replies tell
            if tally is not None:
                rollouts = await tally.sample(_sample, model, prompt, n, **sampling)
            elif n == 1 and write is not None:
                rollouts = [await hand_on(write, lambda: _sample(model, prompt, 1, **sampling))]
            else:
                rollouts = await _sample(model, prompt, n, **sampling)
    except CatliteError as error:
        session.meter(*(rollout.usage for rollout in error.rollouts), *filter(None, [error.usage]))
        raise
    session.meter(*(rollout.usage for rollout in rollouts))
    return rollouts


def stream(model: Model, prompt: Prompt, **sampling: Any) -> AsyncGenerator[str | Rollout, None]:
    """Ask `model` for one reply, kept and booked as `sample` does: its text as it is written, at the end the Rollout.

    The text comes as one piece where the model is no Streams, its server does not stream, or the run has the reply.
    What breaks off after the first piece is not asked again: the Rollout has `.error`. Raises as `sample` does.

    Example:
        >>> async for piece in ask.stream(model, "What is 6 times 7?"):
        ...     print(piece, end="")
    """
    return streamed(lambda: sample(model, prompt, 1, **sampling))


async def _reply(model: Model, prompt: Prompt, n: int, sampling: dict[str, Any]) -> list[Rollout]:
    """Ask a model without books of its own; whoever listens hears it, and none that it asks in turn."""
    write = session.current().write
    with session.changed(write=None, arrive=None):
        if write is None or n != 1 or not isinstance(model, Streams):
            return _checked(model, await model.sample(prompt, n, **sampling))
        pieces = model.stream(prompt, **sampling)
        try:
            async for piece in pieces:
                if isinstance(piece, Rollout):
                    return [piece]
                write(piece)
        finally:
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()
    raise BadReply(f"{model.name!r} ended its stream without a Rollout, which has to come last")


def _checked(model: Model, replies: Any) -> list[Rollout]:
    """Give `replies` as a list; ConfigError unless they are Rollouts, each with a text."""
    wrong = replies
    if isinstance(replies, list | tuple):
        others = [reply for reply in replies if not isinstance(reply, Rollout) or not isinstance(reply.text, str)]
        if not others:
            return list(replies)
        wrong = others[0]
    kind = f"a {type(wrong).__name__}" + (f" with the text {wrong.text!r:.40}" if isinstance(wrong, Rollout) else "")
    raise ConfigError(
        f"{model.name!r} gave {kind}: its sample() returns a list of catlite.Rollout objects, each with a text"
    )


def _fitted(model: Model, n: int, rollouts: list[Rollout]) -> list[Rollout]:
    """The first `n` of `rollouts`, with a failed one in the place of each that did not come."""
    if len(rollouts) >= n:
        return rollouts[:n]
    few = BadReply(f"{model.name!r} gave {len(rollouts)} of {n} replies")
    session.tell(few)
    return rollouts + [Rollout("", finish_reason="error", error=str(few))] * (n - len(rollouts))


async def _sample(model: Model, prompt: Prompt, n: int, **sampling: Any) -> list[Rollout]:
    about, in_force = traits(model), session.current()
    if about.keeps_books:
        return _checked(model, await model.sample(prompt, n, **sampling))
    if in_force.store is None and in_force.ledger is None:
        return _fitted(model, n, await _reply(model, prompt, n, sampling))
    messages = [sendable(message) for message in as_messages(prompt)]
    if about.version is None:
        return await _draw(model, prompt, messages, wanted(n), sampling)
    asked = {**about.sampling, **sampling}
    async with kept(model.name, lambda: _address(model), messages, asked, wanted(n)) as replies:
        for samples in _unbroken(replies.missing):
            fresh = dict(zip(samples, await _draw(model, prompt, messages, samples, sampling), strict=True))
            await replies.keep(fresh)
            replies.lost |= fresh
        return replies.in_order()


async def _draw(
    model: Model, prompt: Prompt, messages: list[Message], samples: range, sampling: dict[str, Any]
) -> list[Rollout]:
    """Ask for the replies of these indices, and book what they cost."""
    about, first = traits(model), samples.start
    limits = {**about.sampling, **sampling, **(sampling.get("extra_body") or {})}
    count, limit = choices(sampling, len(samples)), token_limit(limits)
    most = most_prompt_tokens(messages, model.name), None if limit is None else count * limit
    if isinstance(sampling.get("seed"), int):
        sampling, first = {**sampling, "seed": sampling["seed"] + first}, 0
    async with Books(model.name, about.price, requests=count, own=True).request(lambda: most) as booking:
        with session.changed(room=booking.room, first_sample=first):
            rollouts = await _reply(model, prompt, len(samples), sampling)
        booking(usage_of(rollouts, about.price))
    return _fitted(model, len(samples), rollouts)


def _unbroken(samples: Sequence[int]) -> list[range]:
    """The indices as ranges without gaps."""
    ranges: list[range] = []
    for sample in samples:
        if ranges and ranges[-1].stop == sample:
            ranges[-1] = range(ranges[-1].start, sample + 1)
        else:
            ranges.append(range(sample, sample + 1))
    return ranges


async def logprobs(model: Model, prompt: Prompt, text: str) -> list[float]:
    """Ask `model` for the log-probabilities of `text` as the reply to `prompt`, as `Scores.logprobs` gives them.

    Raises:
        ConfigError: when the model cannot score, or a budget needs its price.
        BudgetReached: when the call may cost more than is left.
    """
    if not isinstance(model, Scores):
        raise ConfigError(f"{model.name!r} cannot score given text: it has no logprobs(prompt, text)")
    tally = session.current().tally
    if tally is None:
        return await _logprobs(model, prompt, text)
    values: list[float] = await tally.logprobs(_logprobs, model, prompt, text)
    return values


async def _logprobs(model: Model, prompt: Prompt, text: str) -> list[float]:
    assert isinstance(model, Scores)
    about, scorer = traits(model), model
    if about.keeps_books:
        return await scorer.logprobs(prompt, text)
    messages: list[Message] = [sendable(message) for message in as_messages(prompt)]

    async def score() -> Rollout:
        most = most_prompt_tokens([*messages, {"role": "assistant", "content": text}]), 1
        spent: list[Usage | None] = []
        async with Books(model.name, about.price, own=True).request(lambda: most) as booking:
            with session.changed(room=booking.room, costs=spent):
                values = await scorer.logprobs(prompt, text)
            usage = Usage.total(spent or [None])
            booking(usage if spent else usage + Usage(requests=1))
        try:
            logprobs = tuple(map(float, values))
        except (TypeError, ValueError):
            logprobs = ()
        if not logprobs or any(map(math.isnan, logprobs)):
            raise BadReply(
                f"{model.name!r} gave {values!r:.60} as the log-probabilities of a text: want a list of numbers, one "
                "for each of its tokens"
            )
        return Rollout("", finish_reason="scored", logprobs=logprobs, usage=usage)

    if about.version is None:
        rollout = await score()
        session.meter(rollout.usage)
        return list(rollout.logprobs or ())
    return await kept_scores(model.name, lambda: _address(model), messages, text, {}, score)


async def _address(model: Model) -> str:
    kind = type(model)
    return f"{OWN}{kind.__module__}.{kind.__qualname__} {traits(model).version}"


def usage_of(rollouts: Sequence[Rollout], price: Rates | None) -> Usage:
    """Add up what rollouts of a model without books say they cost.

    No requests and no dollars are what `Usage()` says by itself, and not believed.
    """
    usage = Usage.total(rollout.usage for rollout in rollouts)
    silent = sum(rollout.usage is None for rollout in rollouts)
    usage = replace(usage, requests=silent + (usage.requests or len(rollouts) - silent))
    if price is not None and usage.cost_usd == 0:
        usage = replace(usage, cost_usd=price.cost(usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens))
    return usage
