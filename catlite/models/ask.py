"""How the pipeline asks a model: kept by the run in force and held within its budget, whoever wrote the model.

Estimators, rewards and evaluations call `sample` and `logprobs` here instead of the model's own. Models of catlite keep
books of their own, down to the single request (`Traits.keeps_books`). Any other object with a name and `sample` is kept
and booked here: by the usage of its rollouts, and at the most where they have none. When it hands on to an Endpoint or
a LocalModel, that one books what it does, and nothing is booked twice. Left out: retries, which are the
model's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from catlite.data import Message, Prompt, Rollout, as_messages
from catlite.errors import ConfigError
from catlite.models.base import Model, Scores, sendable, token_limit, traits
from catlite.models.booking import Books
from catlite.models.kept import OWN, kept, kept_scores, wanted
from catlite.runs import session
from catlite.runs.budget import choices, most_prompt_tokens
from catlite.usage import Usage


async def sample(model: Model, prompt: Prompt, n: int = 1, **sampling: Any) -> list[Rollout]:
    """Ask `model` for `n` replies to `prompt`, as `Model.sample` gives them.

    A run finds the replies of a model without books of its own by its name and that of its class, prompt and
    parameters: give it another name when it changes. It is asked for the missing replies only. Where these are not the
    first, a `seed` goes up by their index, because the same seed would bring the same replies again.

    Raises:
        BudgetReached: when the call may cost more than is left.
        ConfigError: when a budget needs max_tokens, or a price (`Traits.price`).
    """
    about, in_force = traits(model), session.current()
    if about.keeps_books or (in_force.store is None and in_force.ledger is None):
        return await model.sample(prompt, n, **sampling)
    messages = [sendable(message) for message in as_messages(prompt)]
    async with kept(model.name, lambda: _address(model), messages, sampling, wanted(n)) as replies:
        if missing := replies.missing:
            count, limit = choices(sampling, len(missing)), token_limit(sampling)
            most = most_prompt_tokens(messages), None if limit is None else count * limit
            if missing[0] and isinstance(sampling.get("seed"), int):
                sampling = {**sampling, "seed": sampling["seed"] + missing[0]}
            books = Books(model.name, about.price, requests=len(missing), own=True)
            async with books.request(lambda: most) as booking:
                with session.changed(room=booking.room):
                    rollouts = await model.sample(prompt, len(missing), **sampling)
                booking(_usage(rollouts))
            fresh = dict(zip(missing, rollouts, strict=False))
            await replies.keep(fresh)
            replies.lost |= fresh
        return [reply for at in replies.samples if (reply := replies.found.get(at) or replies.lost.get(at))]


async def logprobs(model: Model, prompt: Prompt, text: str) -> list[float]:
    """Ask `model` for the log-probabilities of `text` as the reply to `prompt`, as `Scores.logprobs` gives them.

    Raises:
        ConfigError: when the model cannot score, or a budget needs its price.
        BudgetReached: when the call may cost more than is left.
    """
    if not isinstance(model, Scores):
        raise ConfigError(f"{model.name!r} cannot score given text: it has no logprobs(prompt, text)")
    about, scorer = traits(model), model
    if about.keeps_books:
        return await scorer.logprobs(prompt, text)
    messages: list[Message] = [sendable(message) for message in as_messages(prompt)]

    async def score() -> Rollout:
        most = most_prompt_tokens([*messages, {"role": "assistant", "content": text}]), 1
        async with Books(model.name, about.price, own=True).request(lambda: most) as booking:
            with session.changed(room=booking.room), session.metered() as spent:
                values = await scorer.logprobs(prompt, text)
            usage = Usage.total(spent or [None])
            booking(usage if spent else usage + Usage(requests=1))
        return Rollout("", finish_reason="scored", logprobs=tuple(values), usage=usage)

    return await kept_scores(model.name, lambda: _address(model), messages, text, {}, score)


async def _address(model: Model) -> str:
    return f"{OWN}{type(model).__qualname__}"


def _usage(rollouts: Sequence[Rollout]) -> Usage:
    """What rollouts say they cost; one that says nothing may have taken a request."""
    silent = sum(rollout.usage is None for rollout in rollouts)
    return Usage.total(rollout.usage for rollout in rollouts) + Usage(requests=silent)
