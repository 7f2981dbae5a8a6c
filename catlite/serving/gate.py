"""Who may ask, how much is read of a request, and when its client has gone.

Without a key anybody on this machine may ask, and so might any web page that a browser here has open: a request that
names another host (DNS rebinding) or comes from a page of another origin is refused.
"""

from __future__ import annotations

import asyncio
import functools
import hmac
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from catlite.models.http.keys import on_this_machine
from catlite.serving.refusals import Refusal
from catlite.serving.settings import Settings
from catlite.text import visible

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_logger = logging.getLogger("catlite.serving")
_KEY_IN_URL = re.compile(r"key|token|secret|password|auth", re.IGNORECASE)
_BODY_SECONDS = 60.0  # in which a request has to have arrived


class Gate:
    """Lets through who may ask: with the key, or from this machine and not from a stranger's web page."""

    def __init__(self, inner: Callable[[Scope, Receive, Send], Awaitable[None]], settings: Settings) -> None:
        self.inner, self.settings = inner, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on to the app inside, or refuse it."""
        try:
            self._check(scope)
        except Refusal as refusal:
            _logger.info("a request: %s, %s", refusal.status, visible(str(refusal)))
            await refuse(refusal, send)
        else:
            await self.inner(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = dict(scope["headers"])
        query = scope["query_string"].decode("latin-1")
        for name, _ in parse_qsl(query, keep_blank_values=True) if query else ():
            if _KEY_IN_URL.search(name):
                message = "a key goes into the header Authorization, never into a URL, which servers log"
                raise Refusal(400, f"{message}; take this one out of use", code="key_in_url")
        if self.settings.key is not None:
            self._check_key(headers.get(b"authorization", b""))
        else:
            self._check_source(headers)

    def _check_key(self, sent: bytes) -> None:
        assert self.settings.key is not None
        scheme, _, key = sent.partition(b" ")
        if not (hmac.compare_digest(key, self.settings.key.reveal().encode()) and scheme.lower() == b"bearer"):
            why = "is wrong" if sent else "is missing"
            message = f"the key of this server {why}: send it as Authorization: Bearer …"
            raise Refusal(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})

    def _check_source(self, headers: Mapping[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        if not _is_local(host):
            raise Refusal(403, f"without a key only this machine is answered, and not for {host!r:.100}", code="host")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and urlsplit(origin).netloc != host and not {origin, "*"} & set(self.settings.allow_origins):
            message = (
                f"the web page {origin!r:.100} may not ask: name it with allow_origins= where the server is started"
            )
            raise Refusal(403, message, code="origin")


@functools.lru_cache(maxsize=64)  # nearly every request names the same one
def _is_local(host: str) -> bool:
    return on_this_machine(f"http://{host}")


class HungUp(Exception):
    """The client has gone before its request was whole."""


async def read_body(receive: Receive, headers: Mapping[str, str], most: int, *, keep: bool = True) -> bytes:
    """Read the body of a request; raises Refusal for one of more than `most` bytes, or one that does not come.

    With keep=False the body is forgotten piece by piece: a client reads no reply before it has sent all of its request.
    """
    length = headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        raise _too_large(most)
    body, size = bytearray(), 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise HungUp
                piece = message.get("body", b"")
                size += len(piece)
                if keep:
                    body += piece
                if size > most:
                    raise _too_large(most)
                if not message.get("more_body"):
                    return bytes(body)
    except TimeoutError:
        raise Refusal(408, f"the request was not here within {_BODY_SECONDS:g} s") from None


def _too_large(most: int) -> Refusal:
    return Refusal(413, f"the request is larger than the {most:,} bytes that are taken", code="request_too_large")


async def refuse(refusal: Refusal, send: Send) -> None:
    """Send a refusal as the whole reply."""
    await send_json(refusal.status, json.dumps(refusal.body).encode(), refusal.headers, send)


async def send_json(status: int, body: bytes, headers: Mapping[str, str], send: Send) -> None:
    """Send a whole reply; `headers` may name another type than JSON."""
    named = {"content-type": "application/json", **headers, "content-length": str(len(body))}
    pairs = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})


async def unless_gone(work: Awaitable[None], receive: Receive) -> None:
    """Do `work`, which is cancelled as soon as the client hangs up."""
    task, gone = asyncio.current_task(), False
    assert task is not None

    async def watch() -> None:
        nonlocal gone
        while (await receive())["type"] != "http.disconnect":
            pass
        gone = True
        task.cancel()

    watcher = asyncio.create_task(watch())
    try:
        await work
    except asyncio.CancelledError:
        if not gone or task.uncancel() > 0:  # then somebody else cancelled it
            raise
    finally:
        watcher.cancel()
