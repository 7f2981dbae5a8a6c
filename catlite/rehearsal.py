"""A rehearsal of the pipeline: its calls to models are counted, and answered here instead of by a model.

Estimators, rewards and evaluations run as they are, whoever wrote them, as long as they ask through models/ask.py. What
a call would cost is its prompt, at 4 bytes a token, and a reply as long as it may be. Left out: retries, and what a
server bills beside tokens.
"""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from catlite.data import Message, Prompt, Rollout, as_messages, media, text_of
from catlite.errors import BudgetReached, ModelError, ends_run
from catlite.models.ask import usage_of
from catlite.models.base import Model, check_sampling, combined, token_limit, traits
from catlite.models.kept import wanted
from catlite.models.local.model import LocalModel
from catlite.models.panel import Panel
from catlite.models.replay import Replay
from catlite.parts import most_tokens
from catlite.runs import session
from catlite.usage import Usage

BYTES_PER_TOKEN = 4  # of English text; other scripts take more tokens
REPLY_TOKENS = 500  # of a reply that nothing limits
FORM_TOKENS = 100  # of a reply in a given form, such as a verdict with its reason
_PER_MESSAGE = 4  # tokens of a chat template around each message
# What a prompt asks about: the criteria of a batch, or the responses of a group, whichever are more.
_NUMBERED = tuple(re.compile(start, re.MULTILINE) for start in (r"^\d+\. ", r"^<response-\w+ \d+>$"))


@dataclass
class Tally:
    """Counts what the calls in a block use, by the model's name; put in force as `session.changed(tally=…)`.

    Args:
        asks: True asks the models, and takes what they say they used; False rehearses.
        used: what was used so far.
        unlimited: True once a reply without a limit was rehearsed.
        failures: why calls that were made brought nothing, which the real run has to make again.
        memories: (a reward, what it remembers) by the id of the reward, which keeps its own for the call itself.
    """

    asks: bool
    used: dict[str, Usage] = field(default_factory=dict)
    unlimited: bool = False
    failures: list[str] = field(default_factory=list)
    memories: dict[int, tuple[object, dict[str, Any]]] = field(default_factory=dict)

    async def sample(
        self, ask: Callable[..., Awaitable[list[Rollout]]], model: Model, prompt: Prompt, n: int, **sampling: Any
    ) -> list[Rollout]:
        """Give the replies of `ask`, or imitations of them."""
        if isinstance(model, Panel | Replay):  # members are counted each, and a stored reply costs nothing
            return await ask(model, prompt, n, **sampling)
        about = traits(model)
        if self.asks:
            with session.changed(tally=None):  # what it asks in turn, its replies tell
                try:
                    rollouts = await ask(model, prompt, n, **sampling)
                except (BudgetReached, ModelError) as error:
                    if ends_run(error):
                        self.failures.append(str(error))
                    raise
            self.failures += [rollout.error for rollout in rollouts if rollout.error is not None]
        else:
            rollouts = self._imitate(model, as_messages(prompt), n, combined(about.sampling, check_sampling(sampling)))
        replies = [rollout for rollout in rollouts if rollout.error is None]
        known = about.keeps_books or not self.asks
        self._count(
            model, Usage.total(rollout.usage for rollout in replies) if known else usage_of(replies, about.price)
        )
        return rollouts

    async def logprobs(
        self, ask: Callable[..., Awaitable[list[float]]], model: Model, prompt: Prompt, text: str
    ) -> list[float]:
        """Give the log-probabilities of `ask`, or imitations of them."""
        if isinstance(model, Replay):
            return await ask(model, prompt, text)
        if self.asks:
            with session.changed(tally=None), session.metered() as spent:
                values = await ask(model, prompt, text)
        else:
            values = [-1.0] * max(1, _tokens(text))
            spent = [_usage(model, _prompt_tokens(as_messages(prompt), model) + len(values), 0)]
            session.meter(*spent)
        used = Usage.total(spent)
        own = self.asks and not traits(model).keeps_books  # which says nothing of requests
        self._count(model, replace(used, requests=max(1, used.requests)) if own else used)
        return values

    def _count(self, model: Model, usage: Usage) -> None:
        self.used[model.name] = self.used.get(model.name, Usage()) + usage

    def _imitate(self, model: Model, messages: list[Message], n: int, request: Mapping[str, Any]) -> list[Rollout]:
        """Make up n replies: in the form that is asked for, or as texts of full length, each with its own answer."""
        limit, form = token_limit(request), request.get("response_format")
        self.unlimited |= limit is None
        tokens = min(limit or FORM_TOKENS, FORM_TOKENS) if form else limit or REPLY_TOKENS
        first, other = _usage(model, _prompt_tokens(messages, model), tokens), _usage(model, 0, tokens, requests=0)
        return [
            Rollout(
                _fill_in(form, messages) if form else _text(i, messages, tokens),
                None if form else str(i),
                logprobs=(-1.0,) * tokens if request.get("logprobs") else None,
                usage=other if i > wanted(n).start else first,
                alternatives=(("yes", -0.1), ("no", -2.4)) if request.get("top_logprobs") else None,
            )
            for i in wanted(n)
        ]


def _usage(model: Model, prompt: int, completion: int, requests: int = 1) -> Usage:
    price = traits(model).price
    cost = None if price is None else price.cost(prompt, completion, 0)
    requests = 0 if isinstance(model, LocalModel) else requests  # weights in this process
    return Usage(prompt, completion, 0, cost, requests, generations=int(completion > 0))


def _tokens(text: str) -> int:
    return math.ceil(len(text.encode("utf-8", "replace")) / BYTES_PER_TOKEN)


def _prompt_tokens(messages: Sequence[Message], model: Model) -> int:
    texts = sum(_tokens(text_of(message)) + _PER_MESSAGE for message in messages)
    return texts + sum(most_tokens(part, model.name) for part in media(messages))


def _text(number: int, messages: Sequence[Message], tokens: int) -> str:
    """Write a text of that length, another one for each prompt, with an answer of its own."""
    prompt = zlib.crc32(json.dumps(messages).encode())
    return f"Reply {number} to {prompt}: {'and ' * max(0, tokens - 10)}" + rf"\boxed{{{number}}}."


def _fill_in(form: Mapping[str, Any], messages: Sequence[Message]) -> str:
    """Write a reply that fits a `response_format`."""
    schema = form.get("json_schema", {}).get("schema", {})
    entries = max(len(start.findall(text_of(messages[-1]))) for start in _NUMBERED)
    return json.dumps(_value(schema, entries, 1))


def _value(schema: Mapping[str, Any], entries: int, number: int) -> Any:
    """Make up a value of a JSON schema.

    Args:
        schema: the schema.
        entries: how many entries a list has that says no number itself.
        number: the place of the value in its list, from 1.
    """
    kind = schema.get("type")
    if "enum" in schema:
        return schema["enum"][0]
    if kind == "object":
        return {name: _value(part, entries, number) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        count = schema.get("maxItems", max(1, entries))
        return [_value(schema.get("items", {}), entries, place) for place in range(1, count + 1)]
    if kind in ("integer", "number"):
        return max(schema.get("minimum", number), min(number, schema.get("maximum", number)))
    if kind == "boolean":
        return True
    return f"The response covers part {number} of it."
