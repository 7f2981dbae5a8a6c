"""What real servers do to their clients, as values a test can script, and the weather they work in.

A fault is a frozen `Fault`: a whole answer put in place of the real one (`status`, `html`), an edit of the
real one (`content`, `usage`, `no_choices`), or something done to the connection (`reset`, `cut`, `hang`).
`fault.later(0.2)` strikes only after that time. A script is an iterable with an item for each completion
asked for (`None` answers normally, and so does its end) or a callable `(number, body) -> Fault | None`.

Error texts are those providers send. Left out: faults below TCP, TLS.
"""

from __future__ import annotations

import email.utils
import json
import math
import random
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from http.client import responses
from typing import Any, Literal

Kind = Literal["answer", "edit", "truncate", "cut", "drip", "hangup", "reset", "close", "hang", "stream"]
RetryAfter = Literal["seconds", "date", "ms"]
Dialect = Literal["openai", "vllm", "vllm-0.16", "llama.cpp"]


@dataclass(frozen=True)
class Fault:
    kind: Kind
    status: int = 200
    body: Any = None  # bytes and str go out as they are, anything else as JSON
    content_type: str = "application/json"
    retry_after: float | str | None = None  # a str is sent as it stands, even where it is nonsense
    form: RetryAfter = "seconds"
    edit: Callable[[dict[str, Any]], Any] | None = None  # may change its argument; what it returns is sent
    part: float = 0.0  # share of the bytes sent before a reset or a cut
    interval: float = 0.0  # seconds between dripped bytes, and between the events of a stream
    ending: Literal["end", "cut", "hang"] = "end"  # of a stream
    delay: float = 0.0

    def later(self, seconds: float) -> Fault:
        return replace(self, delay=seconds)

    def headers(self) -> dict[str, str]:
        wait = self.retry_after
        if wait is None:
            return {}
        if isinstance(wait, str):
            return {"retry-after": wait}
        if self.form == "ms":
            return {"retry-after-ms": f"{wait * 1000:g}"}
        if self.form == "date":  # whole seconds only, so never earlier than asked
            return {"retry-after": email.utils.formatdate(math.ceil(time.time() + wait), usegmt=True)}
        return {"retry-after": f"{wait:g}"}

    def payload(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


Script = Iterable[Fault | None] | Callable[[int, dict[str, Any]], Fault | None]


def error(message: str, kind: str | None = "invalid_request_error", param: str | None = None, code: Any = None) -> Any:
    """The error object of OpenAI and of most that imitate it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


# Whole answers


def status(
    code: int,
    message: str | None = None,
    *,
    retry_after: float | str | None = None,
    form: RetryAfter = "seconds",
    body: Any = None,
    param: str | None = None,
    error_code: Any = None,
) -> Fault:
    """Without `body`, OpenAI's error object around `message`; `status(200, body="")` is an empty answer."""
    if body is None:
        kind = "server_error" if code >= 500 else "requests" if code == 429 else "invalid_request_error"
        body = error(message or responses.get(code, "Overloaded"), kind, param, error_code)
    return Fault("answer", code, body, retry_after=retry_after, form=form)


def html(code: int = 200) -> Fault:
    """A proxy's or a captive portal's page where JSON was due."""
    page = f"<html><head><title>{code}</title></head><body><h1>Just a moment...</h1></body></html>"
    return Fault("answer", code, page, "text/html; charset=utf-8")


def error_in_200(message: str = "Upstream error", code: Any = 502) -> Fault:
    """OpenRouter and others report a failed upstream with status 200."""
    return Fault("answer", 200, {"error": {"message": message, "code": code}})


def quota_exhausted() -> Fault:
    """A 429 no waiting will cure."""
    message = "You exceeded your current quota, please check your plan and billing details."
    return Fault("answer", 429, error(message, "insufficient_quota", code="insufficient_quota"))


def content_filter() -> Fault:
    """Azure's refusal of a prompt; a filtered reply is `finish("content_filter", "")`."""
    message = (
        "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. "
        "Please modify your prompt and retry."
    )
    body = error(message, None, "prompt", "content_filter")
    body["error"] |= {
        "status": 400,
        "innererror": {
            "code": "ResponsibleAIPolicyViolation",
            "content_filter_result": {"violence": {"filtered": True, "severity": "medium"}},
        },
    }
    return Fault("answer", 400, body)


def overflow(dialect: Dialect = "openai", prompt: int = 9000, context: int = 8192, completion: int = 0) -> Fault:
    """A prompt (with the completion asked for) longer than the context, in tokens."""
    if dialect == "llama.cpp":
        size = f"context size ({context} tokens), try increasing it"
        message = f"request ({prompt} tokens) exceeds the available {size}"
        body: Any = error(message, "exceed_context_size_error", code=400)
        body["error"] |= {"n_prompt_tokens": prompt, "n_ctx": context}
        del body["error"]["param"]
    elif dialect == "vllm":
        message = (
            f"This model's maximum context length is {context} tokens. However, you requested "
            f"{prompt + completion} tokens ({prompt} in the messages, {completion} in the completion). "
            "Please reduce the length of the messages or completion."
        )
        body = error(message, "BadRequestError", code=400)["error"] | {"object": "error"}
    elif dialect == "vllm-0.16":
        message = (
            f"You passed {prompt} input tokens and requested {completion} output tokens. However, the "
            f"model's context length is only {context} tokens, resulting in a maximum input length of "
            f"{context - completion} tokens. Please reduce the length of the input prompt. "
            f"(parameter=input_tokens, value={prompt})"
        )
        body = error(message, "BadRequestError", "input_tokens", 400)
    else:
        message = (
            f"This model's maximum context length is {context} tokens. However, your messages resulted in "
            f"{prompt + completion} tokens. Please reduce the length of the messages."
        )
        body = error(message, "invalid_request_error", "messages", "context_length_exceeded")
    return Fault("answer", 400, body)


def rejected(name: str, value: Any = None) -> Fault:
    """A parameter the model refuses; max_tokens and temperature in OpenAI's own words."""
    if name == "temperature":
        message = (
            f"Unsupported value: 'temperature' does not support {value} with this model. "
            "Only the default (1) value is supported."
        )
        return status(400, message, param=name, error_code="unsupported_value")
    if name == "max_completion_tokens":  # servers older than the parameter
        return status(400, f"Unrecognized request argument supplied: {name}")
    hint = " Use 'max_completion_tokens' instead." if name == "max_tokens" else ""
    message = f"Unsupported parameter: '{name}' is not supported with this model.{hint}"
    return status(400, message, param=name, error_code="unsupported_parameter")


# Edits of the real answer


def edit(change: Callable[[dict[str, Any]], Any]) -> Fault:
    """Send what `change` makes of the completion."""
    return Fault("edit", edit=change)


def slow(seconds: float) -> Fault:
    """The normal answer, that much later than the server's own latency."""
    return Fault("edit", delay=seconds)


def no_choices() -> Fault:
    return edit(lambda completion: completion | {"choices": []})


def null_choices() -> Fault:
    return edit(lambda completion: completion | {"choices": None})


def missing_choices() -> Fault:
    return edit(lambda completion: {key: value for key, value in completion.items() if key != "choices"})


def fewer_choices(count: int) -> Fault:
    return edit(lambda completion: completion | {"choices": completion["choices"][:count]})


def content(value: Any) -> Fault:
    """Every message's content replaced: by None, "", a list of parts, a number."""

    def change(completion: dict[str, Any]) -> dict[str, Any]:
        for choice in completion["choices"]:
            choice["message"]["content"] = value
        return completion

    return edit(change)


def finish(reason: str | None, *text: str | None) -> Fault:
    """Every choice's finish_reason replaced, and its content where a second argument is given."""

    def change(completion: dict[str, Any]) -> dict[str, Any]:
        for choice in completion["choices"]:
            choice["finish_reason"] = reason
            if text:
                choice["message"]["content"] = text[0]
        return completion

    return edit(change)


def usage(value: Any) -> Fault:
    """False leaves usage out, None makes it null, a dict is merged over the true counts."""
    return edit(lambda completion: with_usage(completion, value))


def with_usage(completion: dict[str, Any], value: Any) -> dict[str, Any]:
    if value is False:
        completion.pop("usage", None)
    elif isinstance(value, dict):
        completion["usage"] = (completion.get("usage") or {}) | value
    elif value is not True:
        completion["usage"] = value
    return completion


# Things done to the connection


def truncated_json() -> Fault:
    """A complete HTTP answer whose JSON stops halfway."""
    return Fault("truncate")


def cut(part: float = 0.5) -> Fault:
    """Content-Length promises more than is sent, then the connection closes."""
    return Fault("cut", part=part)


def drip(interval: float = 0.05) -> Fault:
    """Headers at once, then one byte each `interval` seconds."""
    return Fault("drip", interval=interval)


def hangup() -> Fault:
    """A good answer, then an unannounced close: the client's pool holds a dead connection."""
    return Fault("hangup")


def reset(part: float = 0.0) -> Fault:
    """RST, after that share of the answer."""
    return Fault("reset", part=part)


def close() -> Fault:
    """FIN without a byte of reply."""
    return Fault("close")


def hang() -> Fault:
    """No answer until the server stops or the client goes."""
    return Fault("hang")


# Streams


def sse(*events: Any) -> list[bytes]:
    """Server-sent events: a str goes out as it stands, anything else as JSON."""
    return [f"data: {event if isinstance(event, str) else json.dumps(event)}\n\n".encode() for event in events]


def delta(finish_reason: str | None = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    """A chunk of a chat completion with these fields in its delta."""
    choice = {"index": index, "delta": fields, "finish_reason": finish_reason}
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]}


def stream(
    *parts: bytes, interval: float = 0.0, ending: Literal["end", "cut", "hang"] = "end", kind: str = "text/event-stream"
) -> Fault:
    """A 200 whose body comes in these parts; then it ends, the connection is lost, or nothing more comes."""
    return Fault("stream", 200, list(parts), f"{kind}; charset=utf-8", interval=interval, ending=ending)


def streamed(completion: dict[str, Any], usage: bool) -> list[bytes]:
    """The events of a completion: a few characters each, then why it ended, then what it used."""
    events: list[Any] = []
    for choice in completion["choices"]:
        message, index = choice["message"], choice["index"]
        events.append(delta(index=index, role="assistant", content=""))
        for name in ("reasoning_content", "reasoning", "refusal", "content"):
            text = message.get(name) or ""
            events += [delta(index=index, **{name: text[at : at + 4]}) for at in range(0, len(text), 4)]
        events.append(delta(choice["finish_reason"], index))
        events[-1]["choices"][0]["logprobs"] = choice.get("logprobs")
    if usage:
        events.append({"id": "chatcmpl-1", "choices": [], "usage": completion.get("usage")})
    return sse(*events, "[DONE]")


# Rules and weather


@dataclass(kw_only=True, eq=False)
class Rules:
    """What a server turns down."""

    key: str | None = "sk-test-0123456789abcdefghijklmnop"  # None lets anyone in
    echo_key: bool = False  # the 401 quotes the key it was sent, as some gateways do
    models: Collection[str] | None = ("test-model",)  # None serves any name
    max_n: int | None = None  # 400 beyond it; 1 rejects n > 1
    streams: bool = True
    rejects: Collection[str] = ()  # parameters answered with 400, such as max_tokens or temperature
    context: int | None = None  # in tokens
    dialect: Dialect = "openai"

    def unauthorized(self, headers: Mapping[str, str]) -> Fault | None:
        sent = headers.get("authorization", "").removeprefix("Bearer ")
        if self.key is None or sent == self.key:
            return None
        shown = sent if self.echo_key else f"{sent[:8]}{'*' * 8}{sent[-4:]}"
        return status(401, f"Incorrect API key provided: {shown}.", error_code="invalid_api_key")

    def objection(self, body: Any) -> Fault | None:
        if not isinstance(body, dict) or not isinstance(body.get("messages"), list):
            return status(400, "We could not parse the JSON body of your request.")
        model, n = body.get("model"), body.get("n") or 1
        if self.models is not None and model not in self.models:
            message = f"The model `{model}` does not exist or you do not have access to it."
            return status(404, message, error_code="model_not_found")
        if body.get("stream") and not self.streams:
            return status(400, "This server does not stream.", param="stream")
        for name in self.rejects:
            if body.get(name) is not None and (name, body[name]) != ("temperature", 1):
                return rejected(name, body[name])
        if self.max_n == 1 < n:  # DeepSeek's, with no error object
            return status(400, body={"detail": "Invalid n value (currently only n = 1 is supported)"})
        if self.max_n is not None and n > self.max_n:
            message = f"integer above maximum value. Expected a value <= {self.max_n}, but got {n} instead."
            return status(400, f"Invalid 'n': {message}", param="n", error_code="integer_above_max_value")
        prompt = tokens(body["messages"])
        asked = body.get("max_completion_tokens") or body.get("max_tokens") or 0
        if self.dialect == "llama.cpp":  # it looks at the prompt alone, and stops when the context is full
            asked = 0
        if self.context is not None and prompt + asked > self.context:
            return overflow(self.dialect, prompt, self.context, asked)
        return None


def tokens(text: Any) -> int:
    """Four characters a token, over text, parts of text and messages; anything else has none."""
    return math.ceil(_characters(text) / 4)


def _characters(text: Any) -> int:
    if isinstance(text, str):
        return len(text)
    if isinstance(text, list):
        return sum(_characters(part) for part in text)
    return _characters(text.get("content", text.get("text"))) if isinstance(text, dict) else 0


def mix(*shares: tuple[float, Fault], seed: int = 0) -> Callable[[int, dict[str, Any]], Fault | None]:
    """For soak tests: `mix((0.05, reset()), (0.1, status(500)))`; the rest is answered normally.

    A request's fault depends on the seed and its number alone, whatever order replies went out in.
    """

    def draw(number: int, body: dict[str, Any]) -> Fault | None:
        point = random.Random(seed * 1_000_003 + number).random()
        for share, fault in shares:
            point -= share
            if point < 0:
                return fault
        return None

    return draw


def lognormal(mean: float, sigma: float = 0.6, seed: int = 0) -> Callable[[dict[str, Any], int], float]:
    """Service times with that arithmetic mean; n choices decode side by side, so the slowest decides."""
    generator = random.Random(seed)
    mu = math.log(mean) - sigma**2 / 2

    def draw(body: dict[str, Any], n: int) -> float:
        return max(generator.lognormvariate(mu, sigma) for _ in range(n))

    return draw


class RateLimit:
    """A token bucket: `rate` requests a second, `burst` at once; beyond it 429, with Retry-After if given."""

    def __init__(
        self,
        rate: float,
        burst: float = 1,
        retry_after: float | str | None = None,
        form: RetryAfter = "seconds",
    ) -> None:
        self.rate, self.burst = rate, burst
        self.refusal = status(
            429,
            f"Rate limit reached for requests per second: Limit {rate:g}. Please try again later.",
            retry_after=retry_after,
            form=form,
            error_code="rate_limit_exceeded",
        )
        self._tokens, self._filled = float(burst), time.monotonic()

    def take(self) -> bool:
        now = time.monotonic()
        self._tokens = min(self.burst, self._tokens + (now - self._filled) * self.rate)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
