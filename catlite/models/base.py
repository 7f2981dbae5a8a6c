"""The Model protocol, and the sampling parameters that a model takes. Policy, anchor and judge are roles of a Model."""

from __future__ import annotations

import difflib
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from catlite.data import Message, Prompt, Rollout
from catlite.errors import ConfigError


@runtime_checkable
class Model(Protocol):
    """Anything that can be sampled."""

    @property
    def name(self) -> str:
        """How the model is called in reports."""
        ...

    async def sample(self, prompt: Prompt, n: int = 1, **sampling: Any) -> list[Rollout]:
        """`n` replies to `prompt`, in order; a reply that failed for good is a Rollout with `.error`."""
        ...


# The names of the token limit, the one that counts first.
TOKEN_LIMITS = ("max_completion_tokens", "max_tokens")
# The range a number must be in, as (low, high, whole). What is not here is passed on as given.
_RANGES: dict[str, tuple[float, float, bool]] = {
    "temperature": (0, math.inf, False),
    "top_p": (0, 1, False),
    "min_p": (0, 1, False),
    "max_tokens": (1, math.inf, True),
    "max_completion_tokens": (1, math.inf, True),
    "top_k": (-1, math.inf, True),
    "seed": (-math.inf, math.inf, True),
    "presence_penalty": (-2, 2, False),
    "frequency_penalty": (-2, 2, False),
}
# Parameters of vLLM, SGLang and llama.cpp.
_EXTENSIONS = frozenset(
    {
        "top_k",
        "min_p",
        "repetition_penalty",
        "repeat_penalty",
        "grammar",
        "cache_prompt",
        "chat_template_kwargs",
    }
)
_PLAIN = frozenset(
    {
        "extra_body",
        "extra_headers",
        "frequency_penalty",
        "logit_bias",
        "logprobs",
        "max_completion_tokens",
        "max_tokens",
        "metadata",
        "presence_penalty",
        "reasoning_effort",
        "response_format",
        "seed",
        "service_tier",
        "stop",
        "temperature",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
    }
)


def shown_name(model: Model) -> str:
    """What a card calls a model: its name, and for "local" the weights behind it."""
    return str(getattr(model, "shown_name", model.name))


def check_n(n: Any) -> int:
    """`n` as a count of rollouts; ConfigError for anything below 1 or not a whole number."""
    if isinstance(n, bool) or not isinstance(n, int):
        raise ConfigError(f"n={n!r}: the number of rollouts is a whole number, such as 8")
    if n < 1:
        raise ConfigError(f"n={n}: ask for at least one rollout")
    return n


# What people write who mean something else: the name here, or where it belongs.
_HINTS = {
    "anchor": "the anchor of an estimator is its first argument: Synthesis(anchor)",
    "answer": "it names a column: catlite.from_records(rows, prompt=…, answer=…) makes a task of rows",
    "answer_format": "examples say how they are answered: from_records(…, answer_format=…)",
    "api_base": "the address of a server is base_url=",
    "budget": "give it to synthesize(), estimate(), evaluate() or train()",
    "estimator": "estimate() and train() take one, evaluate() several as estimators=",
    "estimators": "evaluate() takes several; one alone is estimator=",
    "functions": "tools are not supported: rollouts are text",
    "grader": "grader= goes to evaluate(); what rewards in a training is reward=",
    "headers": "headers go into extra_headers={…}",
    "include_question": "it is a setting of the estimator: Synthesis(anchor, include_question=True)",
    "judge": "a judge belongs to a reward or an estimator: ExpertRubric(judge), RubricReward(proposer, judge)",
    "key": "the key is api_key=, or OPENAI_API_KEY",
    "limit": "the task is what has a limit: gsm8k(limit=…), from_records(…, limit=…)",
    "max_length": "the token limit of a reply is max_tokens=",
    "max_new_tokens": "the token limit of a reply is max_tokens=",
    "max_output_tokens": "the token limit of a reply is max_tokens=",
    "max_retries": "retries are set on the model: Endpoint(name, retry_seconds=…)",
    "messages": "messages are the prompt, the first argument",
    "num_generations": "the number of rollouts is n=",
    "num_samples": "the number of rollouts is n=",
    "price": "the price is set on the model: Endpoint(name, price=Price(…))",
    "progress": "synthesize(), estimate(), evaluate() and train() show progress",
    "prompt": "as text it is the first argument; as a column, from_records(rows, prompt=…) makes a task of rows",
    "retries": "retries are set on the model: Endpoint(name, retry_seconds=…)",
    "reward": "train() takes one; evaluate() grades by grader=",
    "rollouts": "the number of rollouts is n=",
    "run": "give it to synthesize(), estimate(), evaluate() or train()",
    "samples": "the number of rollouts is n=",
    "stream": "replies are taken whole; progress=True shows that something is under way",
    "system": 'a system prompt is the first message of the prompt: [{"role": "system", "content": …}, {"role": "user", '
    '"content": …}]',
    "system_prompt": 'a system prompt is the first message of the prompt: [{"role": "system", "content": …}, …]',
    "temp": "did you mean temperature?",
    "thinking": "servers differ: reasoning_effort=…, or extra_body={…} with the server's own name for it",
    "timeout": "time-outs are set on the model: Endpoint(name, timeout=…)",
    "tool_choice": "tools are not supported: rollouts are text",
    "tools": "tools are not supported: rollouts are text",
}


def check_sampling(sampling: Mapping[str, Any], call: Callable[..., Any] | None = None) -> dict[str, Any]:
    """Sampling parameters, validated and without the ones that are None.

    Args:
        sampling: parameters by name; ones that only some servers know can be given inside `extra_body`.
        call: the function they were given to, whose own arguments may be what was meant.

    Returns:
        What is left to send, with a token limit from inside `extra_body`, which would be sent last and hold, in the
        place of the plain one.

    Raises:
        ConfigError: for a name that no server knows, with what was likely meant, and for values out of range.
    """
    known = _PLAIN | _EXTENSIONS
    for name in sampling:
        if name not in known:
            # The value is not shown: it may be a key.
            raise ConfigError(f"{name}=…: not a sampling parameter; {_meant(name, known, call)}")
    checked = _with_one_limit({name: value for name, value in sampling.items() if value is not None})
    for name, value in checked.items():
        if name not in _RANGES:
            continue
        low, high, whole = _RANGES[name]
        number = isinstance(value, int) or (isinstance(value, float) and not whole)
        if isinstance(value, bool) or not number or not low <= value <= high:
            kind = "a whole number" if whole else "a number"
            bounds = f" of at least {low:g}" if high == math.inf else f" from {low:g} to {high:g}"
            raise ConfigError(f"{name}={value!r}: want {kind}{bounds if math.isfinite(low) else ''}")
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


def _meant(name: str, known: frozenset[str], call: Callable[..., Any] | None) -> str:
    """What to write in place of an argument that is none."""
    own = [] if call is None else [one for one in inspect.signature(call).parameters if one not in ("sampling", name)]
    close = difflib.get_close_matches(name, own, n=1, cutoff=0.75)
    if not close and name in _HINTS:
        return _HINTS[name]
    close = close or difflib.get_close_matches(name, sorted({*known, *own}), n=1)
    if close:
        return f"did you mean {close[0]}?"
    return "server-specific ones go into extra_body={…}"


def json_schema(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """A `response_format` that holds a reply to an object of these properties, all of them required, in this order."""
    held = {"properties": dict(properties), "required": list(properties), "additionalProperties": False}
    schema = {"type": "object", **held}
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": schema}}


def sendable(message: Message) -> Message:
    """The message without lone surrogates, which JSON over UTF-8 cannot carry."""
    return {
        key: value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else value
        for key, value in message.items()
    }


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
