"""A chat request as a client sends it, read and checked before anything is asked: which model, which way, how many.

What a request means beyond OpenAI's fields stands in its field `catlite`, or in headers for clients that cannot add
one: `x-catlite-n`, `x-catlite-answer-format`, `x-catlite-anchor`, `x-catlite-include-question`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from catlite.checks import whole_number
from catlite.data import Prompt, as_messages
from catlite.errors import ConfigError
from catlite.messages import is_text
from catlite.models.base import TOKEN_LIMITS, Model, check_sampling, token_limit
from catlite.models.http.endpoint import Endpoint
from catlite.serving.refusals import Refusal, refusal
from catlite.serving.settings import WAYS, Settings

_OPTIONS = ("n", "answer_format", "anchor", "include_question")
_FORM = {"model", "messages", "stream", "stream_options", "n", "catlite"}
_UNSENT = {"store", "parallel_tool_calls"}  # fields that change nothing about a text
_TOOLS = ("tools", "functions", "tool_choice", "function_call")
# What a client may not say: these are ours, and would go to the server behind beside the key.
_OURS = {"extra_body", "extra_headers"}
# All that a client may say to litellm, which takes other fields for its own settings: `api_base` is where a key goes.
_OPENAIS = """
audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens messages modalities
model n parallel_tool_calls prediction presence_penalty reasoning_effort response_format seed service_tier stop store
stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity web_search_options
"""
_THROUGH_LITELLM = frozenset(_OPENAIS.split())


@dataclass(frozen=True)
class Chat:
    """A request that can be answered.

    Args:
        name: the model as the client writes it.
        way: "cat", "vote" or "best"; "" for a plain model, which is asked once.
        model: the policy.
        anchor: the model that reconciles or picks; None is the policy.
        n: rollouts; of a plain model, choices.
        answer_format: how replies write a final answer; None for open-ended text.
        include_question: whether the anchor sees the question; None leaves it to the estimator.
        messages: the conversation.
        sampling: temperature and what else the rollouts are sampled with.
        stream: whether the reply goes out as it is written.
        include_usage: whether a stream ends with its usage.
        fields: the request as it came, without `catlite`.
    """

    name: str
    way: str
    model: Model
    anchor: Model | None
    n: int
    answer_format: str | None
    include_question: bool | None
    messages: Prompt
    sampling: Mapping[str, Any]
    stream: bool
    include_usage: bool
    fields: Mapping[str, Any]


def read_fields(body: bytes) -> dict[str, Any]:
    """Read the body of a request as a JSON object; raises Refusal for anything else."""
    if not body.strip():
        raise Refusal(400, "the request has no body: send a chat completion request as JSON")
    try:
        fields = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the body is not JSON: {error}") from None
    if not isinstance(fields, dict):
        raise Refusal(400, f"the body is a JSON {type(fields).__name__}: want an object with model and messages")
    return fields


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number in JSON")


def find_model(name: Any, settings: Settings) -> tuple[str, Model]:
    """Find (the way of asking, the model) of a name; raises Refusal for one that is not served."""
    if not isinstance(name, str):
        raise Refusal(400, "want model as a string: the name of one that is served", param="model")
    if name in settings.models:
        return "", settings.models[name]
    way, _, rest = name.partition("/")
    if way in WAYS and rest in settings.models:
        return way, settings.models[rest]
    served = ", ".join(settings.names())
    raise Refusal(
        404, f"the model {name!r} is not served here; these are: {served}", code="model_not_found", param="model"
    )


def read_chat(fields: Mapping[str, Any], headers: Mapping[str, str], settings: Settings) -> Chat:
    """Make a Chat of a request's fields and headers; raises Refusal for what cannot be answered."""
    way, model = find_model(fields.get("model"), settings)
    for name in sorted(_OURS & fields.keys()):
        raise Refusal(400, f"{name}: not a field of a chat request", param=name)
    try:
        if way:
            return _read_way(way, model, fields, _options(fields, headers), settings)
        return _read_plain(model, fields, settings)
    except ConfigError as error:
        raise refusal(error) from None


def _read_way(way: str, model: Model, fields: Mapping[str, Any], options: dict[str, Any], settings: Settings) -> Chat:
    if tools := [name for name in _TOOLS if fields.get(name) not in (None, [], "none", "auto")]:
        plain = fields["model"].partition("/")[2]
        raise Refusal(
            400, f"{tools[0]}: a reference is text, made without tools; ask {plain!r} for them", param=tools[0]
        )
    if fields.get("n") not in (None, 1):
        message = f"n={fields['n']!r}: one reference comes of a request; the number of rollouts is catlite.n"
        raise Refusal(400, message, param="n")
    if fields.get("logprobs"):
        raise Refusal(400, "logprobs: a reference has none; ask the plain model", param="logprobs")
    structured = fields.get("response_format")
    if structured is not None and way == "cat" and structured != {"type": "text"}:
        message = "response_format: a synthesis is free text; vote/, best/ and the plain model take one"
        raise Refusal(400, message, param="response_format")
    whole_number("catlite.n", n := options.get("n", settings.n), most=settings.max_n)
    answer_format = options.get("answer_format", settings.answer_format)
    if answer_format not in (None, "boxed", settings.answer_format):
        # A regular expression of a stranger's may run for hours.
        raise ConfigError(
            f"catlite.answer_format={answer_format!r:.100}: this server takes 'boxed'"
            + (f" and {settings.answer_format!r}" if settings.answer_format not in (None, "boxed") else "")
            + "; another is named where it is started"
        )
    if way == "vote" and answer_format is None:
        raise Refusal(
            400,
            'a vote compares final answers: say how replies write them, as in {"catlite": {"answer_format": "boxed"}}',
            param="catlite.answer_format",
        )
    include_question = options.get("include_question")
    if include_question is not None and not isinstance(include_question, bool):
        raise ConfigError(f"catlite.include_question={include_question!r:.60}: want true or false")
    if way == "vote" and (options.get("anchor"), include_question) != (None, None):
        raise Refusal(400, "a vote has no anchor: leave out anchor and include_question", param="catlite.anchor")
    anchor = None
    if options.get("anchor") is not None:
        anchor_way, anchor = find_model(options["anchor"], settings)
        if anchor_way:
            raise Refusal(400, f"the anchor is a plain model, not {options['anchor']!r}", param="catlite.anchor")
    apart = {*_FORM, *_UNSENT, *_TOOLS, "logprobs"}
    sampling = {name: value for name, value in fields.items() if value is not None and name not in apart}
    if structured == {"type": "text"}:
        del sampling["response_format"]
    return Chat(
        fields["model"],
        way,
        model,
        anchor,
        n,
        answer_format,
        include_question,
        _messages(fields),
        _limited(check_sampling(sampling), settings),
        *_streaming(fields),
        fields,
    )


def _read_plain(model: Model, fields: Mapping[str, Any], settings: Settings) -> Chat:
    if "catlite" in fields:
        name = fields["model"]
        raise Refusal(
            400, f"catlite goes with cat/{name}, vote/{name} or best/{name}; {name} is passed on", param="catlite"
        )
    whole_number("n", n := 1 if fields.get("n") is None else fields["n"], most=settings.max_n)
    if fields.get("best_of") is not None:  # choices that some servers draw to give n of them
        whole_number("best_of", fields["best_of"], most=settings.max_n)
    if not isinstance(fields.get("messages"), list) or not fields["messages"]:
        raise Refusal(400, "the request has no messages", param="messages")
    if isinstance(model, Endpoint) and model.service.via_litellm:
        for name in sorted(fields.keys() - _THROUGH_LITELLM):
            message = f"{name}: not a field of OpenAI's chat requests, which alone are passed on through litellm"
            raise Refusal(400, message, param=name)
        for number, turn in enumerate(fields["messages"]):
            if not _is_sendable(turn):
                message = f'messages: message {number} is not as {{"role": "user", "content": …}}'
                raise Refusal(400, message, param="messages")
    # What else it says is for the model's own server to judge.
    limits = _limited({name: fields[name] for name in TOKEN_LIMITS if fields.get(name) is not None}, settings)
    return Chat(
        fields["model"], "", model, None, n, None, None, fields["messages"], limits, *_streaming(fields), fields
    )


def _messages(fields: Mapping[str, Any]) -> Prompt:
    messages = fields.get("messages")
    if not isinstance(messages, list):
        raise Refusal(400, "the request has no messages", param="messages")
    if any(
        isinstance(message, dict) and (message.get("role") == "tool" or message.get("tool_calls"))
        for message in messages
    ):
        raise Refusal(400, "messages: a conversation with tool calls is not one of text", param="messages")
    return as_messages([_in_text(message) for message in messages])


def _in_text(message: Any) -> Any:
    """A message with role and content alone; contents in parts that are all text, as chat pages send, become one."""
    if not isinstance(message, dict):
        return message
    content = message.get("content")
    if isinstance(content, list) and content and all(is_text(part) for part in content):
        content = "\n".join(part["text"] for part in content)
    kept = {"role": message.get("role"), "content": content}
    return {name: value for name, value in kept.items() if value is not None}


def _is_sendable(message: Any) -> bool:
    """Tell whether a message has the shape that litellm takes for granted; a call of a tool may have no content."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return False
    if not isinstance(message.get("tool_calls"), list | None):
        return False
    content = message.get("content")
    if isinstance(content, list):
        return all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in content)
    return content is None or isinstance(content, str)


def _options(fields: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    """What `catlite` says, over what the headers say."""
    options: dict[str, Any] = {}
    for name in _OPTIONS:
        text = headers.get("x-catlite-" + name.replace("_", "-"))
        if text is not None:
            options[name] = _of_header(name, text)
    extra = fields.get("catlite") or {}
    if not isinstance(extra, dict):
        raise Refusal(400, 'catlite: want an object such as {"n": 8}', param="catlite")
    for name, value in extra.items():
        if name not in _OPTIONS:
            message = f"catlite.{name}: there are {', '.join(_OPTIONS)}"
            raise Refusal(400, message, param=f"catlite.{name}")
        if value is not None:
            options[name] = value
    return options


def _of_header(name: str, text: str) -> Any:
    if name == "n":
        return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else text
    if name == "include_question":
        return {"true": True, "false": False}.get(text.lower(), text)
    return text


def _limited(sampling: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """`sampling` within the server's limit on tokens, which holds where a request says none."""
    most, limit = settings.max_tokens, token_limit(sampling)
    if most is None:
        return sampling
    if limit is None:
        return {**sampling, "max_tokens": most}
    for name in TOKEN_LIMITS:
        if sampling.get(name) is not None:
            whole_number(name, sampling[name], most=most)
    return sampling


def _streaming(fields: Mapping[str, Any]) -> tuple[bool, bool]:
    stream, options = fields.get("stream"), fields.get("stream_options") or {}
    if stream not in (None, True, False) or not isinstance(options, dict):
        raise Refusal(400, f"stream={stream!r:.60}: want true or false", param="stream")
    return bool(stream), bool(options.get("include_usage"))
