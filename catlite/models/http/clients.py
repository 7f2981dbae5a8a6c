"""Clients of servers: their protocol, and the one for OpenAI-compatible servers, by `openai`.

The library is imported on first use only. Its own retries are off (catlite's would multiply them) and its exceptions
never leave this module: they hold the request with its key, and show it in tracebacks with locals. Left out: HTTP/2;
other providers, which litellm_client.py reaches.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import math
import warnings
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from catlite.data import Message
from catlite.errors import ConfigError, EndpointUnavailable, ModelError, RequestRejected, causes
from catlite.models.http.chunks import Assembly, Write
from catlite.models.http.keys import Address, Secret, hide_login, on_this_machine
from catlite.models.http.proxies import check_proxies
from catlite.models.http.refusals import prompt_text, read_refusal, snippet

if TYPE_CHECKING:
    import httpx


_LAST_BYTES_SECONDS = 0.1  # after which the server is taken to hold the connection open
_LAST_EVENTS_SECONDS = 5.0  # for what follows the end of the text: the usage, and [DONE], which some servers leave out


class Answer(NamedTuple):
    """The body and headers of a 200."""

    body: str
    headers: Mapping[str, str]


class Passed(NamedTuple):
    """A reply on its way, as the server sends it: any status, and the body piece by piece."""

    status: int
    headers: Mapping[str, str]
    pieces: AsyncIterator[bytes]


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

    def forward(self, body: bytes, timeout: float, headers: Mapping[str, str]) -> AbstractAsyncContextManager[Passed]:
        """Send a request as it is, and yield the reply; the block ends the exchange.

        Raises:
            ModelError: when the server cannot be reached, hangs up, moved, or refuses the key.
        """
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
        self._http = http
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
            async with asyncio.timeout(timeout) as deadline:
                text: str | None
                if write is None:
                    reply = await self._client.post(url, cast_to=httpx.Response, body=body, options=options)
                    text = self._address.redact(reply.text)
                else:
                    reply, text = await self._streamed(url, body, options, write, deadline)
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

    @asynccontextmanager
    async def forward(self, body: bytes, timeout: float, headers: Mapping[str, str]) -> AsyncIterator[Passed]:
        """See Client."""
        # Not compressed, so that what arrives is what is passed on.
        own = {"content-type": "application/json", "accept-encoding": "identity"}
        reply: httpx.Response | None = None
        with self._translated(timeout):
            request = self._http.build_request(
                "POST",
                f"{self.url}/chat/completions",
                content=body,
                headers={**own, "authorization": f"Bearer {self._address.key.reveal()}", **headers},
                timeout=timeout,
            )
            async with asyncio.timeout(timeout):
                reply = await self._http.send(request, stream=True, follow_redirects=False)
        assert reply is not None
        try:
            pieces = self._pieces(reply, timeout)
            if reply.status_code >= 300:  # servers do echo keys in their errors
                text = self._address.redact(b"".join([piece async for piece in pieces]).decode("utf-8", "replace"))
                if (moved := self._moved(reply)) is not None:
                    raise moved
                if reply.status_code in (401, 403):
                    raise read_refusal(text).error(reply.status_code, reply.headers, f"{self.who} answered")
                pieces = once(text.encode())
            yield Passed(reply.status_code, reply.headers, pieces)
        finally:
            await reply.aclose()

    async def _pieces(self, reply: httpx.Response, timeout: float) -> AsyncIterator[bytes]:
        with self._translated(timeout):
            async for piece in reply.aiter_raw():
                yield piece

    @contextlib.contextmanager
    def _translated(self, timeout: float) -> Iterator[None]:
        """Raise ModelErrors for the library's errors, which hold the request and its key."""
        import httpx

        failure: BaseException
        try:
            yield
        except TimeoutError:
            failure = late(self.who, timeout)
        except httpx.HTTPError as error:
            failure = self._disconnected(error, timeout, is_timeout=isinstance(error, httpx.TimeoutException))
        except asyncio.CancelledError as error:
            failure = without_frames(error)
        else:
            return
        raise failure

    async def _streamed(
        self, url: str, body: Mapping[str, Any], options: Any, write: Write, deadline: asyncio.Timeout
    ) -> tuple[httpx.Response, str | None]:
        """The response, and the body that its pieces make; None where it broke off.

        What may still follow a whole reply is not waited for beyond `deadline`, which would lose the reply.
        """
        import httpx
        import openai

        # openai's own reader would stop at the first error, and read nothing of a reply that is no stream.
        stream = await self._client.post(
            url, cast_to=object, body=body, options=options, stream=True, stream_cls=openai.AsyncStream[object]
        )
        assembly = Assembly(write, self._address.redact)
        parts = stream.response.aiter_bytes()
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None) as patience:
                    async for part in parts:
                        assembly.feed(part)
                        if assembly.finished:
                            break
                        if assembly.is_whole and patience.when() is None:
                            last = asyncio.get_running_loop().time() + _LAST_EVENTS_SECONDS
                            patience.reschedule(min(last, (deadline.when() or math.inf) - 2 * _LAST_BYTES_SECONDS))
            with contextlib.suppress(TimeoutError):  # a body that is read to its end leaves a connection to use again
                async with asyncio.timeout(_LAST_BYTES_SECONDS):
                    async for _ in parts:
                        pass
        except httpx.TransportError:
            if not assembly.is_whole:
                raise
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


async def once(piece: bytes) -> AsyncIterator[bytes]:
    """Yield a body that is already here."""
    yield piece


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
