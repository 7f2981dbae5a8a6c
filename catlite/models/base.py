"""The Model protocol, what a model may offer beside it, and the sampling parameters that models take.

Policy, anchor and judge are roles of a Model.
"""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeAlias, runtime_checkable

from catlite import concurrency
from catlite.checks import whole_number
from catlite.data import Message, Prompt, Rollout
from catlite.errors import ConfigError
from catlite.messages import mapped


@runtime_checkable
class Model(Protocol):
    """Anything that can be sampled: an object with a name and an async method `sample`.

    What else a model may offer is in Scores, Streams, Closes and Traits. A budget holds the calls of any model; a run
    keeps the replies of those that tell their `Traits.version`.

    Example:
        >>> class Mine:
        ...     name = "mine"
        ...
        ...     async def sample(self, prompt, n=1, **sampling):
        ...         return [catlite.Rollout(await my_client(prompt, **sampling)) for _ in range(n)]
    """

    @property
    def name(self) -> str:
        """How the model is called in reports, and found again in a run."""
        ...

    async def sample(self, prompt: Prompt, n: int = 1, **sampling: Any) -> list[Rollout]:
        """`n` replies to `prompt`, in order.

        Args:
            prompt: a question, or chat messages.
            n: how many; 1.
            **sampling: temperature, top_p, max_tokens, …

        Returns:
            The rollouts; a reply that failed for good is one with `.error`, and what a reply cost is its `.usage`.
        """
        ...


# What is taken wherever a model is asked for: a model, its name, or several for a Panel.
Models: TypeAlias = "str | Model | Mapping[str, int] | Sequence[str | Model | tuple[str, int] | tuple[Model, int]]"


@runtime_checkable
class Scores(Protocol):
    """A Model that gives the log-probabilities of a text that it did not write."""

    async def logprobs(self, prompt: Prompt, text: str) -> list[float]:
        """The natural log of the probability of each token of `text`, as the reply to `prompt`."""
        ...


@runtime_checkable
class Streams(Protocol):
    """A Model that gives a reply piece by piece, as it is written."""

    def stream(self, prompt: Prompt, **sampling: Any) -> AsyncIterator[str | Rollout]:
        """One reply to `prompt`: pieces of its text, and at the end the whole as a Rollout, with its usage.

        The pieces together are the text of the Rollout; thinking is in its `.reasoning` alone. A reply that failed is
        a Rollout with `.error`, whatever came before it.
        """
        ...


@runtime_checkable
class Closes(Protocol):
    """A Model that holds something open, such as connections."""

    async def aclose(self) -> None:
        """Close it; the next call opens it again."""
        ...


class InBlocks:
    """Closes a model at the end of a `with` or `async with` block, or by `close()`, each by its `aclose`."""

    async def aclose(self) -> None:
        """Close it; the next call opens it again."""
        raise NotImplementedError

    def close(self) -> None:
        """Close what blocking calls have opened."""
        concurrency.run(self.aclose())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class Rates(Protocol):
    """A price: catlite.Price, or what computes dollars as it does."""

    def cost(self, prompt_tokens: int | None, completion_tokens: int | None, cached_tokens: int | None) -> float | None:
        """US dollars of so many tokens, None when unknown."""
        ...


@dataclass(frozen=True, slots=True)
class Traits:
    """What is known of a model beside its name; a model of your own may have some as its attribute `traits`.

    Args:
        shown_name: how cards call the model; "" is its name.
        max_connections: requests it takes at once; twice as many questions are under way. 32.
        price: dollars per token, for budgets in dollars; None is unknown.
        sampling: the defaults of its calls.
        caches_per_slot: whether prompts that begin alike gain only when they come one after the other; False.
        version: what tells the model from others of its class and name, such as its weights and how it words a prompt.
            A run keeps the replies of a model that tells it, and finds them again by it; None: they are not kept. Of an
            Endpoint it is the address, by which a Panel also tells two of one name apart.
        keeps_books: whether it keeps its replies in the run in force and holds itself within the budget; False leaves
            both to catlite/models/ask.py.
        text_only: whether it takes text alone; then a question with an image is refused before anything is paid. False.
        refused, taken: settings it was seen to refuse and to work under, as "temperature=0.0"; whoever learns of one
            adds it.

    Example:
        >>> class Mine:
        ...     name, traits = "mine", Traits(max_connections=4)
    """

    shown_name: str = ""
    max_connections: int = 32
    price: Rates | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    caches_per_slot: bool = False
    version: str | None = None
    keeps_books: bool = False
    text_only: bool = False
    refused: set[str] = field(default_factory=set)
    taken: set[str] = field(default_factory=set)


def traits(model: Any) -> Traits:
    """The Traits of a model; the defaults where it tells none."""
    # Asked several times a call: isinstance with a Protocol would make the Traits three times each.
    known: Traits | None = getattr(model, "traits", None)
    return Traits() if known is None else known


# The names of the token limit, the one that counts first.
TOKEN_LIMITS = ("max_completion_tokens", "max_tokens")
# The least a whole number may be, None for no limit, and the range of other numbers. What is not here is passed on.
_LEAST: dict[str, int | None] = {"max_tokens": 1, "max_completion_tokens": 1, "top_k": -1, "seed": None}
_RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, math.inf),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}
# Parameters that servers know; those of the last line are vLLM's, SGLang's and llama.cpp's.
_PARAMETERS = """
extra_body extra_headers frequency_penalty logit_bias logprobs max_completion_tokens max_tokens metadata
presence_penalty reasoning_effort response_format seed service_tier stop temperature top_logprobs top_p user verbosity
cache_prompt chat_template_kwargs grammar min_p repeat_penalty repetition_penalty top_k
"""
_KNOWN = frozenset(_PARAMETERS.split())


def shown_name(model: Model) -> str:
    """What a card calls a model: its name, and for "local" the weights behind it."""
    return traits(model).shown_name or model.name


def check_n(n: Any) -> int:
    """Return `n` as a count of rollouts; ConfigError for anything below 1 or not a whole number."""
    return whole_number("n", n, hint=", such as 8")


# What people write who mean something else, by the name that is right, or where it belongs.
_MEANT = {
    "the anchor of an estimator is its first argument: Synthesis(anchor)": "anchor",
    "it names a column: catlite.from_records(rows, prompt=…, answer=…) makes a task of rows": "answer",
    "examples say how they are answered: from_records(…, answer_format=…)": "answer_format",
    "the address of a server is base_url=": "api_base",
    "give it to synthesize(), estimate(), evaluate() or train()": "budget run",
    "estimate() and train() take one, evaluate() several as estimators=": "estimator",
    "evaluate() takes several; one alone is estimator=": "estimators",
    "tools are not supported: rollouts are text": "functions tools tool_choice",
    "grader= goes to evaluate(); what rewards in a training is reward=": "grader",
    "headers go into extra_headers={…}": "headers",
    "it is a setting of the estimator: Synthesis(anchor, include_question=True)": "include_question",
    "a judge belongs to a reward or an estimator: ExpertRubric(judge), RubricReward(proposer, judge)": "judge",
    "the key is api_key=, or OPENAI_API_KEY": "key",
    "the task is what has a limit: gsm8k(limit=…), from_records(…, limit=…)": "limit",
    "the token limit of a reply is max_tokens=": "max_length max_new_tokens max_output_tokens",
    "retries are set on the model: Endpoint(name, retry_seconds=…)": "max_retries retries",
    "messages are the prompt, the first argument": "messages",
    "the number of rollouts is n=": "num_generations num_samples rollouts samples",
    "the price is set on the model: Endpoint(name, price=Price(…))": "price",
    "synthesize(), estimate(), evaluate() and train() show progress": "progress",
    "as text it is the first argument; as a column, from_records(rows, prompt=…) makes a task of rows": "prompt",
    "train() takes one; evaluate() grades by grader=": "reward",
    "catlite.stream() gives what happens as it does, and progress=True shows it": "stream",
    'a system prompt is the first message of the prompt: [{"role": "system", "content": …}, {"role": "user", '
    '"content": …}]': "system system_prompt",
    "did you mean temperature?": "temp",
    "servers differ: reasoning_effort=…, or extra_body={…} with the server's own name for it": "thinking",
    "time-outs are set on the model: Endpoint(name, timeout=…)": "timeout",
}
_HINTS = {name: hint for hint, names in _MEANT.items() for name in names.split()}


def check_sampling(sampling: Mapping[str, Any], call: Callable[..., Any] | None = None) -> dict[str, Any]:
    """Check sampling parameters, and drop the ones that are None.

    Args:
        sampling: parameters by name; ones that only some servers know can be given inside `extra_body`.
        call: the function they were given to, whose own arguments may be what was meant.

    Returns:
        What is left to send, with a token limit from inside `extra_body`, which would be sent last and hold, in the
        place of the plain one.

    Raises:
        ConfigError: for a name that no server knows, with what was likely meant, and for values out of range.
    """
    for name in sampling:
        if name not in _KNOWN:
            # The value is not shown: it may be a key.
            raise ConfigError(f"{name}=…: not a sampling parameter; {_meant(name, call)}")
    checked = _with_one_limit({name: value for name, value in sampling.items() if value is not None})
    for name, value in checked.items():
        if name in _LEAST:
            whole_number(name, value, _LEAST[name])
        elif name in _RANGES:
            low, high = _RANGES[name]
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not low <= value <= high or value == math.inf:
                bounds = f"of at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
                raise ConfigError(f"{name}={value!r}: want a number {bounds}")
    return checked


def _with_one_limit(sampling: dict[str, Any]) -> dict[str, Any]:
    """`sampling` with its token limit outside of `extra_body`: one place for it, whoever counts by it."""
    more = sampling.get("extra_body")
    if not isinstance(more, Mapping) or not more.keys() & set(TOKEN_LIMITS):
        return sampling
    inside = {name: more[name] for name in TOKEN_LIMITS if more.get(name) is not None}
    replaced = {"extra_body", *(TOKEN_LIMITS if inside else ())}
    plain = {name: value for name, value in sampling.items() if name not in replaced}
    rest = {name: value for name, value in more.items() if name not in TOKEN_LIMITS}
    return {**plain, **inside, "extra_body": rest}


def _meant(name: str, call: Callable[..., Any] | None) -> str:
    """Say what to write in place of an argument that nobody takes."""
    own = [] if call is None else sorted(inspect.signature(call).parameters.keys() - {"sampling", name})
    close = difflib.get_close_matches(name, own, n=1, cutoff=0.75)
    if not close and name in _HINTS:
        return _HINTS[name]
    close = close or difflib.get_close_matches(name, sorted({*_KNOWN, *own}), n=1)
    if close:
        return f"did you mean {close[0]}?"
    return "server-specific ones go into extra_body={…}"


def json_schema(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Make a `response_format` that holds a reply to an object of these properties, all required, in this order."""
    held = {"properties": dict(properties), "required": list(properties), "additionalProperties": False}
    schema = {"type": "object", **held}
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}


def sendable(message: Message) -> Message:
    """Replace lone surrogates in a message, which JSON over UTF-8 cannot carry; its parts are copies."""
    sent: Message = mapped(message, lambda text: text if text.isascii() else text.encode("utf-8", "replace").decode())
    return sent


def token_limit(sampling: Mapping[str, Any]) -> int | None:
    """The most tokens of a reply, by either name; None where there is no limit.

    max_completion_tokens counts before max_tokens where both are given, as it does at OpenAI and vLLM, whose newer name
    for the same it is.
    """
    return next((sampling[name] for name in TOKEN_LIMITS if sampling.get(name) is not None), None)


def combined(defaults: Mapping[str, Any], sampling: Mapping[str, Any]) -> dict[str, Any]:
    """`sampling` over `defaults`, with one name for the token limit: a call's limit replaces the default's."""
    named = [name for settings in (sampling, defaults) for name in TOKEN_LIMITS if settings.get(name) is not None]
    both = {**defaults, **sampling}
    return {name: value for name, value in both.items() if name not in TOKEN_LIMITS or name == named[0]}


def renamed(request: Mapping[str, Any], name: str) -> dict[str, Any]:
    """`request` with its token limit under `name`."""
    rest = {key: value for key, value in request.items() if key not in TOKEN_LIMITS}
    return {**rest, name: token_limit(request)}
