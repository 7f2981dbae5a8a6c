"""The two libraries that do the HTTP: `openai` for OpenAI-compatible servers, `litellm` for the rest.

Both are imported on first use only. Their own retries are off (catlite's would multiply them) and their exceptions
never leave this module: they hold the request with its key, and show it in tracebacks with locals. Left out:
streaming, HTTP/2, SOCKS proxies.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import weakref
from collections.abc import AsyncGenerator, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from catlite.data import Message
from catlite.errors import (
    AuthenticationFailed,
    BadReply,
    ConfigError,
    EndpointUnavailable,
    MissingExtra,
    RequestRejected,
    causes,
)
from catlite.models.http.keys import Address, Secret, hide_login, on_this_machine
from catlite.models.http.proxies import check_proxies
from catlite.models.http.refusals import is_content_filter, prompt_text, snippet, status_error

if TYPE_CHECKING:
    import httpx


class Answer(NamedTuple):
    """What came with a 200."""

    body: str
    headers: Mapping[str, str]


class Client(Protocol):
    """One HTTP exchange at a time, on the event loop it was made for."""

    url: str
    who: str  # how errors call the server

    def __init__(self, model: str, address: Address, connections: int) -> None:
        """Imports the library, which takes a while: call it in a thread."""

    async def send(self, messages: list[Message], request: dict[str, Any], timeout: float) -> Answer | None:
        """What came with a 200, or None when the provider's content filter refused; errors as in catlite.errors."""
        ...

    async def post(self, url: str, body: Mapping[str, Any], timeout: float) -> Answer | None:
        """What came with a 200 from another path of the same server; errors as with `send`."""
        ...

    async def close(self) -> None:
        """Closes the connections."""
        ...


class OpenAIClient:
    """`openai.AsyncOpenAI` for one server."""

    def __init__(self, model: str, address: Address, connections: int) -> None:
        openai = importlib.import_module("openai")
        self.url = address.url
        self.who = f"{address.url} ({model})"
        self._model = model
        self._address = address
        # Idle connections are dropped before servers drop them (uvicorn: after 5 s), or a request would run into that.
        limits = type(openai.DEFAULT_CONNECTION_LIMITS)(
            max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=4.0
        )
        # aiohttp under httpx's face: httpx's own pool looks at every connection for every request, which at 64
        # connections takes three times the CPU (benchmarks/scheduling.py).
        direct: dict[str, Any] = {}
        if on_this_machine(address.url):
            # A proxy from the environment cannot reach the loopback; with a transport of its own httpx asks for none.
            direct["transport"] = importlib.import_module("httpx_aiohttp").AiohttpTransport(limits=limits)
        else:
            check_proxies(address.url)
        http = openai.DefaultAioHttpClient(
            **direct,
            limits=limits,
            auth=None if address.login is None else tuple(address.login.reveal().split(":", 1)),
        )
        self._client = openai.AsyncOpenAI(
            base_url=address.url, api_key=address.key.reveal(), max_retries=0, http_client=http
        )

    async def send(self, messages: list[Message], request: dict[str, Any], timeout: float) -> Answer | None:
        """See Client."""
        extra, headers = request.get("extra_body") or {}, request.get("extra_headers")
        plain = {name: value for name, value in request.items() if name not in ("extra_body", "extra_headers")}
        body = {"messages": messages, "model": self._model, **plain, **extra}
        return await self.post("/chat/completions", body, timeout, headers)

    async def post(
        self, url: str, body: Mapping[str, Any], timeout: float, headers: Mapping[str, str] | None = None
    ) -> Answer | None:
        """See Client."""
        import httpx
        import openai

        # Below chat.completions.create, which walks through every message to look for types it knows: a third of
        # what a request costs.
        options: dict[str, Any] = {"timeout": timeout} | ({"headers": headers} if headers else {})
        failure: BaseException
        try:
            # A deadline for the whole exchange: a server that drips bytes never runs into a read time-out.
            async with asyncio.timeout(timeout):
                reply = await self._client.post(url, cast_to=httpx.Response, body=body, options=options)
                moved = self._moved(reply)
                if moved is None:
                    return Answer(self._address.redact(reply.text), reply.headers)
                failure = moved
        except openai.APIStatusError as error:
            said, prompt = self._address.redact(error.response.text), prompt_text(body.get("messages"))
            if is_content_filter(error.status_code, said, prompt):
                return None
            failure = self._moved(error.response) or status_error(
                error.status_code, said, error.response.headers, self.who, prompt=prompt
            )
        except TimeoutError:
            failure = _late(self.who, timeout)
        except openai.APIConnectionError as error:  # a lost connection may be called a time-out, too
            names = {type(cause).__name__ for cause in _causes(error)}
            late = isinstance(error, openai.APITimeoutError) and _timed_out(error)
            lost = self._address.redact(_cause(error))
            failure = _late(self.who, timeout, _sent(error)) if late else _lost(self.who, lost, _sent(error))
            if "LineTooLong" in names:
                failure = RequestRejected(
                    f"{self.who} answered with a header longer than the 8,190 bytes that are read: {snippet(lost)}; "
                    "look at what a proxy before the server adds"
                )
            elif "TooManyRedirects" in names:
                failure = RequestRejected(f"{self.who} redirects in a circle: check base_url")
        except (TypeError, ValueError) as error:
            failure = ConfigError(f"the request cannot be written as JSON: {error}")
        except asyncio.CancelledError as error:
            failure = _clean(error)
        raise failure

    def _moved(self, reply: httpx.Response) -> RequestRejected | None:
        """The error for a redirect on which the request lost its body, or its key where one is wanted; else None."""
        first, sent = (reply.history or [reply])[0], reply.request
        key = first.request.headers.get("authorization")
        keyless = reply.status_code in (401, 403) and sent.headers.get("authorization") != key
        if not reply.has_redirect_location and not (reply.history and (sent.method != "POST" or keyless)):
            return None
        target = str(first.url.join(first.headers.get("location", ""))).removesuffix("/chat/completions")
        shown = self._address.redact(hide_login(Secret(target)))
        return RequestRejected(
            f"{self.who} answered {first.status_code}: it has moved to {shown}; if you trust that address, pass "
            f"base_url={shown!r}",
            status=first.status_code,
        )

    async def close(self) -> None:
        """See Client."""
        await self._client.close()
        await asyncio.sleep(0)  # transports that were told to close do so in the loop's next round


class LiteLLMClient:
    """`litellm.acompletion`, for models named "provider/name"."""

    def __init__(self, model: str, address: Address, connections: int) -> None:  # noqa: ARG002
        check_proxies()  # litellm reads them while it is imported
        # Before the import: no price map from the network. After it: no advice on stdout.
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        try:
            litellm = importlib.import_module("litellm")
        except ImportError as error:
            raise MissingExtra(f"model names with a provider need litellm: pip install litellm ({error})") from None
        litellm.suppress_debug_info = True  # type: ignore[attr-defined]
        self.url = address.url
        self.who = f"model {model!r}"
        self._model = model
        self._address = address

    async def send(self, messages: list[Message], request: dict[str, Any], timeout: float) -> Answer | None:
        """See Client."""
        import litellm
        import openai

        await _close_litellm_with_the_loop()
        failure: BaseException
        try:
            async with asyncio.timeout(timeout):
                reply = await litellm.acompletion(
                    model=self._model,
                    messages=messages,
                    timeout=timeout,
                    num_retries=0,
                    max_retries=0,
                    api_key=self._address.key.reveal() or None,
                    **request,
                )
                return Answer(self._redacted(json.dumps(reply.model_dump(mode="json"))), {})
        except (TimeoutError, openai.APITimeoutError):
            failure = _late(self.who, timeout)
        except asyncio.CancelledError as error:
            failure = _clean(error)
        except Exception as error:  # each provider's module raises what it likes
            said, status = self._redacted(str(error)), getattr(error, "status_code", None)
            code = _code(error, said)
            filtered = code == "content_filter" or isinstance(error, litellm.exceptions.ContentPolicyViolationError)
            keys = [] if self._address.key.reveal() else _missing_keys(self._model)
            if keys and _KEYLESS.search(said):
                failure = AuthenticationFailed(
                    f"{self.who} has no API key: set {' or '.join(keys)}, or pass api_key=", status=401
                )
            elif isinstance(error, openai.APIConnectionError) or not _sent(error):  # which litellm calls a 500, too
                failure = _lost(self.who, said, _sent(error))
            elif "LLM Provider NOT provided" in said:
                failure = ConfigError(
                    f"model={self._model!r} names no provider litellm knows: for an OpenAI-compatible server pass "
                    f'base_url=…, or write "openai/{self._model}"'
                )
            elif status == 400 and filtered:
                return None
            elif isinstance(status, int) and status >= 400:
                headers: Mapping[str, str] = getattr(error, "litellm_response_headers", None) or {}
                told = json.dumps({"message": said, "code": code})
                key, prompt = _key_variable(self._model), prompt_text(messages)
                failure = status_error(status, told, headers, self.who, key, prompt=prompt)
            else:
                failure = BadReply(f"{self.who} gave no reply litellm can read: {snippet(said)}")
        raise failure

    async def post(self, url: str, body: Mapping[str, Any], timeout: float) -> Answer | None:  # noqa: ARG002
        """See Client. litellm has chat completions only."""
        raise ConfigError(f"{self.who} is reached through litellm, which has no {url}")

    def _redacted(self, text: str) -> str:
        text = self._address.redact(text)
        for key in _provider_keys():
            text = key.redact(text)
        return text

    async def close(self) -> None:
        """See Client. litellm's connections are shared by its callers on a loop, and close when the loop ends."""


# What litellm and the libraries below it say when there is no key, at times as a 500 or a lost connection.
_KEYLESS = re.compile(r"(?:missing|no|set the) .{0,40}(?:api.?key|credential|token)|credentials", re.IGNORECASE)
_litellm_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[None, None]]
_litellm_loops = weakref.WeakKeyDictionary()


async def _close_litellm_with_the_loop() -> None:
    """On its own, litellm closes at exit only, on another loop, and takes a new loop for an old one it has known."""
    running = asyncio.get_running_loop()
    if running not in _litellm_loops:
        _litellm_loops[running] = _litellm_lifetime(f"-{id(running)}")
        await anext(_litellm_loops[running])


async def _litellm_lifetime(suffix: str) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        import litellm

        cached = litellm.in_memory_llm_clients_cache.cache_dict
        for name in [name for name in cached if name.endswith(suffix)]:
            await cached.pop(name).close()
        await asyncio.sleep(0)  # a transport that was told to close does so in the loop's next round


def _code(error: BaseException | None, said: str) -> str | None:
    """What the provider called it; litellm leaves that in its message or on an error behind its own."""
    known = ("insufficient_quota", "content_filter", "context_length_exceeded")
    while error is not None:
        said, error = f"{said} {getattr(error, 'code', None)}", error.__context__
    return next((code for code in known if code in said), None)


def _missing_keys(model: str) -> list[str]:
    """The variables in which litellm looks for the key of a model's provider, when it is in none of them."""
    import litellm

    try:
        missing = litellm.validate_environment(model)["missing_keys"]
    except Exception:  # a name that litellm cannot place
        return []
    return [name for name in missing if re.search("KEY|TOKEN|SECRET", name)]


def _key_variable(model: str) -> str:
    """The variables in which litellm looks for the key of a model's provider, in words."""
    provider = model.partition("/")[0]
    names = _missing_keys(model)
    if not names:  # it is there, and was refused
        plain = re.sub(r"[^A-Z0-9]", "", provider.upper())
        known = [name for name in os.environ if re.search(r"_(?:API_KEY|API_TOKEN|AUTH_TOKEN|KEY|TOKEN)$", name)]
        names = sorted(name for name in known if re.sub(r"[^A-Z0-9]", "", name.upper()).startswith(plain))
    return " or ".join(names) or f"the variable litellm reads for {provider!r}"


def _provider_keys() -> list[Secret]:
    """Keys litellm may have taken from the environment."""
    return [Secret(value) for name, value in os.environ.items() if name.upper().endswith("_API_KEY") and value]


def _late(who: str, timeout: float, sent: bool = True) -> EndpointUnavailable:
    return EndpointUnavailable(f"{who} gave no complete reply within timeout={timeout:g} s", sent=sent)


def _lost(who: str, why: str, sent: bool) -> EndpointUnavailable:
    return EndpointUnavailable(f"{who} cannot be reached or hung up: {snippet(why)}", sent=sent)


def _sent(error: BaseException) -> bool:
    """False when there never was a connection to send on; True when there may have been."""
    import aiohttp
    import httpcore

    never: tuple[type[BaseException], ...] = (
        aiohttp.ClientConnectorError,
        aiohttp.ClientHttpProxyError,
        aiohttp.ConnectionTimeoutError,
        httpcore.ConnectError,
        httpcore.ConnectTimeout,
        httpcore.PoolTimeout,
    )
    # Not httpx's own names: a connection that was lost on the way is a ConnectTimeout there, too.
    return not any(isinstance(cause, never) for cause in causes(error))


def _clean(error: asyncio.CancelledError) -> asyncio.CancelledError:
    """The same without its traceback, whose frames have the request's headers among their locals."""
    return asyncio.CancelledError(*error.args)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and what it came from, outermost first."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _timed_out(error: BaseException) -> bool:
    """True when there was a time-out below what the libraries on top made of it."""
    return any(isinstance(cause, TimeoutError) for cause in _causes(error))


def _cause(error: Exception) -> str:
    """What the transport said, at the bottom; openai's own message is just "Connection error."."""
    *_, cause = _causes(error)
    return f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__
