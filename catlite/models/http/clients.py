"""Clients of servers: their protocol, and the one for OpenAI-compatible servers, by `openai`.

The library is imported on first use only. Its own retries are off (catlite's would multiply them) and its exceptions
never leave this module: they hold the request with its key, and show it in tracebacks with locals. A proxy of the
environment that httpx cannot read is an error with the variable's name. Left out: HTTP/2, SOCKS proxies and those of
the operating system's own settings; other providers, which litellm_client.py reaches.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import ipaddress
import os
import urllib.request
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from catlite.data import Message
from catlite.errors import ConfigError, EndpointUnavailable, ModelError, RequestRejected, causes
from catlite.models.http.chunks import Assembly, Write
from catlite.models.http.keys import Address, Secret, hide_login, on_this_machine
from catlite.models.http.refusals import prompt_text, read_refusal, snippet

if TYPE_CHECKING:
    import httpx


_LAST_BYTES_SECONDS = 0.1  # after which the server is taken to hold the connection open


class Answer(NamedTuple):
    """The body and headers of a 200."""

    body: str
    headers: Mapping[str, str]


class Client(Protocol):
    """One HTTP exchange at a time, on the event loop it was made for."""

    url: str
    who: str  # how errors call the server

    def __init__(self, model: str, address: Address, connections: int) -> None:
        """Import the library, which takes a while: call it in a thread."""

    async def send(
        self, messages: list[Message], request: dict[str, Any], timeout: float, write: Write | None = None
    ) -> Answer | None:
        """Ask for a chat completion; None when the provider's content filter refused it.

        Args:
            messages: the chat.
            request: the other fields of the request.
            timeout: seconds for the whole exchange.
            write: takes the text as it comes, for a request with `stream`; see chunks.Assembly. The Answer is whole.

        Raises:
            ModelError: of the kind that the status and the words stand for.
        """
        ...

    async def post(self, url: str, body: Mapping[str, Any], timeout: float) -> Answer | None:
        """Send `body` to another path of the same server; returns and raises as `send` does."""
        ...

    async def close(self) -> None:
        """Close the connections."""
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
        # aiohttp's advice for bodies above a megabyte, such as images: there they are written in some milliseconds.
        warnings.filterwarnings("ignore", "Sending a large body directly", ResourceWarning)
        http = openai.DefaultAioHttpClient(
            **direct,
            limits=limits,
            auth=None if address.login is None else tuple(address.login.reveal().split(":", 1)),
        )
        self._client = openai.AsyncOpenAI(
            base_url=address.url, api_key=address.key.reveal(), max_retries=0, http_client=http
        )

    async def send(
        self, messages: list[Message], request: dict[str, Any], timeout: float, write: Write | None = None
    ) -> Answer | None:
        """See Client."""
        extra, headers = request.get("extra_body") or {}, request.get("extra_headers")
        plain = {name: value for name, value in request.items() if name not in ("extra_body", "extra_headers")}
        body = {"messages": messages, "model": self._model, **plain, **extra}
        return await self.post("/chat/completions", body, timeout, headers, write)

    async def post(
        self,
        url: str,
        body: Mapping[str, Any],
        timeout: float,
        headers: Mapping[str, str] | None = None,
        write: Write | None = None,
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
                text: str | None
                if write is None:
                    reply = await self._client.post(url, cast_to=httpx.Response, body=body, options=options)
                    text = self._address.redact(reply.text)
                else:
                    reply, text = await self._streamed(url, body, options, write)
                moved = self._moved(reply)
                if moved is None and text is not None:
                    return Answer(text, reply.headers)
                failure = moved or lost(self.who, "the stream ended before the reply did", sent=True)
        except openai.APIStatusError as error:
            reply, status = error.response, error.status_code
            refusal = read_refusal(self._address.redact(reply.text), prompt_text(body.get("messages")))
            if refusal.is_filter(status):
                return None
            moved = self._moved(reply)
            failure = moved or refusal.error(status, reply.headers, f"{self.who} answered {status}")
        except TimeoutError:
            failure = late(self.who, timeout)
        except (openai.APIConnectionError, httpx.TransportError) as error:
            is_timeout = isinstance(error, openai.APITimeoutError | httpx.TimeoutException)
            failure = self._disconnected(error, timeout, is_timeout=is_timeout)
        except (TypeError, ValueError) as error:
            failure = ConfigError(f"the request cannot be written as JSON: {error}")
        except asyncio.CancelledError as error:
            failure = without_frames(error)
        raise failure

    async def _streamed(
        self, url: str, body: Mapping[str, Any], options: Any, write: Write
    ) -> tuple[httpx.Response, str | None]:
        """The response, and the body that its pieces make; None where it broke off."""
        import openai

        # openai's own reader would stop at the first error, and read nothing of a reply that is no stream.
        stream = await self._client.post(
            url, cast_to=object, body=body, options=options, stream=True, stream_cls=openai.AsyncStream[object]
        )
        assembly = Assembly(write, self._address.redact)
        parts = stream.response.aiter_bytes()
        try:
            async for part in parts:
                assembly.feed(part)
                if assembly.finished:
                    break
            with contextlib.suppress(TimeoutError):  # a body that is read to its end leaves a connection to use again
                async with asyncio.timeout(_LAST_BYTES_SECONDS):
                    async for _ in parts:
                        pass
        finally:
            await stream.close()
        return stream.response, assembly.body()

    def _disconnected(self, error: Exception, timeout: float, *, is_timeout: bool) -> ModelError:
        """The error for a connection that brought no reply."""
        below: list[BaseException] = [error]
        while (cause := below[-1].__cause__) is not None:
            below.append(cause)
        cause = below[-1]
        names = {type(link).__name__ for link in below}
        # At the bottom, since openai's own message is just "Connection error.".
        text = self._address.redact(f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__)
        if "LineTooLong" in names:
            return RequestRejected(
                f"{self.who} answered with a header longer than the 8,190 bytes that are read: {snippet(text)}; "
                "look at what a proxy before the server adds"
            )
        if "TooManyRedirects" in names:
            return RequestRejected(f"{self.who} redirects in a circle: check base_url")
        # openai calls some lost connections a time-out.
        if is_timeout and any(isinstance(link, TimeoutError) for link in below):
            return late(self.who, timeout, sent=not never_sent(error))
        return lost(self.who, text, sent=not never_sent(error))

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


def late(who: str, timeout: float, *, sent: bool = True) -> EndpointUnavailable:
    """The error for a reply that was not complete in time."""
    return EndpointUnavailable(f"{who} gave no complete reply within timeout={timeout:g} s", sent=sent)


def lost(who: str, why: str, *, sent: bool) -> EndpointUnavailable:
    """The error for a connection that could not be made, or broke."""
    return EndpointUnavailable(f"{who} cannot be reached or hung up: {snippet(why)}", sent=sent)


def never_sent(error: BaseException) -> bool:
    """True when there never was a connection to send on; False when there may have been one."""
    import aiohttp
    import httpcore

    unconnected: tuple[type[BaseException], ...] = (
        aiohttp.ClientConnectorError,
        aiohttp.ClientHttpProxyError,
        aiohttp.ConnectionTimeoutError,
        httpcore.ConnectError,
        httpcore.ConnectTimeout,
        httpcore.PoolTimeout,
    )
    # Not httpx's own names: it calls a connection that was lost on the way a ConnectTimeout as well.
    return any(isinstance(cause, unconnected) for cause in causes(error))


def without_frames(error: asyncio.CancelledError) -> asyncio.CancelledError:
    """The same cancellation without its traceback, whose frames have the request's headers among their locals."""
    return asyncio.CancelledError(*error.args)


def check_proxies(url: str = "") -> None:
    """Raise ConfigError, with the variable's name, for a proxy or an exempt host that cannot be read.

    Args:
        url: the address of requests, for which the proxy must be one that can be used; "" where that is not known.
    """
    proxies = urllib.request.getproxies_environment()
    exempt = [entry.strip() for entry in proxies.get("no", "").split(",") if entry.strip()]
    if "*" in exempt:
        return
    target = urlsplit(url)
    bypassed = bool(urllib.request.proxy_bypass(target.hostname or ""))
    for kind in ("http", "https", "all"):
        proxy = proxies.get(kind)
        used = not bypassed and (kind == target.scheme or (kind == "all" and not proxies.get(target.scheme)))
        if proxy and not _is_proxy(proxy if "://" in proxy else f"http://{proxy}", used=used):
            name = _variable(f"{kind}_proxy")
            raise ConfigError(
                f"{name}={hide_login(Secret(proxy))!r} in the environment is no proxy that can be used: want one such "
                f"as http://proxy:8080. Change {name}, or unset it for this program"
            )
    for entry in exempt:
        if not _is_pattern(entry):
            name = _variable("no_proxy")
            raise ConfigError(
                f"{name} in the environment has {entry!r}, which the HTTP client cannot read: want names and addresses "
                f"such as example.org,10.0.0.1,::1. Take that entry out of {name} for this program"
            )


def _is_proxy(proxy: str, *, used: bool) -> bool:
    """Whether httpx can read a proxy's address and, if the proxy is used, can speak to it: not to a SOCKS proxy."""
    import httpx

    try:
        scheme = httpx.Proxy(proxy).url.scheme
    except (ValueError, httpx.InvalidURL):
        return False
    return scheme in ("http", "https") or not used


def _is_pattern(entry: str) -> bool:
    """Whether httpx can make a pattern of URLs out of an entry of NO_PROXY."""
    import httpx

    version = 0  # of no address
    with contextlib.suppress(ValueError):
        version = ipaddress.ip_address(entry.split("/")[0]).version
    if "://" in entry:
        pattern = entry
    elif version == 6:
        pattern = f"all://[{entry}]"
    else:
        pattern = f"all://{entry}" if version == 4 or entry.lower() == "localhost" else f"all://*{entry}"
    try:
        httpx.Client(transport=httpx.BaseTransport(), mounts={pattern: None}).close()
    except (ValueError, httpx.InvalidURL):
        return False
    return True


def _variable(name: str) -> str:
    """The variable's name as the environment spells it; in lower case where both spellings are there."""
    spellings = [spelling for spelling in os.environ if spelling.lower() == name and os.environ[spelling]]
    return min(spellings, key=lambda spelling: spelling != name, default=name.upper())
