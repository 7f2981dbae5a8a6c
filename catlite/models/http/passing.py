"""A request passed on to a server as it is, and the reply as it comes; what it costs is booked as any other.

Left out: retries, which are for whoever wrote the request, and replies kept by a run, which finds those of `sample`.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from catlite.models.base import combined, token_limit
from catlite.models.booking import Booking, Books, cost_of_failure
from catlite.models.http.clients import Passed
from catlite.models.http.prices import counts
from catlite.models.http.refusals import read_refusal
from catlite.models.http.service import Service
from catlite.parts import most_tokens
from catlite.runs.budget import choices
from catlite.usage import Usage

_TEMPLATE_TOKENS = 64  # what a chat template adds to a request, generously


@asynccontextmanager
async def passing(
    service: Service, defaults: Mapping[str, Any], fields: Mapping[str, Any], body: bytes
) -> AsyncIterator[Passed]:
    """Pass a chat request on to a model's server, and yield the reply as it comes.

    The request goes out as it is where it names this model and there are no defaults to add; within the limits on
    connections and the budget. Through litellm the reply comes whole, in the same form.

    Args:
        service: where the model is.
        defaults: the endpoint's sampling, for what the request does not say.
        fields: what the request says.
        body: the same as JSON.

    Raises:
        ModelError: when the server cannot be reached, or hangs up.
        BudgetReached: when it may not be sent.
    """
    request = combined(defaults, fields) | {"model": service.model}
    headers = request.pop("extra_headers", None) or {}
    request = {**(request.pop("extra_body", None) or {}), **request}
    if request != fields:
        body = json.dumps(request).encode()
    books, sent, messages = Books(service.model, service.price), bytearray(), request.get("messages")

    def most() -> tuple[int, int | None]:
        limit = token_limit(request)
        prompt = len(body) + _TEMPLATE_TOKENS  # a token is at least a byte, but for an image's
        parts = sum(most_tokens(part, service.model) for part in _media(messages))
        return prompt + parts, limit and choices({"extra_body": request}, 1) * limit

    async with service.lent(messages or "") as server, books.request(most) as booking:
        client = await server.client()
        async with client.forward(body, service.timeout, headers) as reply:
            server.passed_on(reply.status)
            if booking.room is None:
                yield reply
                return
            try:
                yield reply._replace(pieces=_copied(reply.pieces, sent))
            except BaseException:
                if sent.rstrip().endswith(b"data: [DONE]"):  # a client may leave as soon as it has read that
                    _book(booking, reply, bytes(sent), service)
                raise
        _book(booking, reply, bytes(sent), service)


def _media(messages: Any) -> list[Mapping[str, Any]]:
    """The parts that are no text, of messages that nobody has checked."""
    contents = [message.get("content") for message in messages or () if isinstance(message, Mapping)]
    parts = [part for content in contents if isinstance(content, list) for part in content if isinstance(part, Mapping)]
    return [part for part in parts if part.get("type") not in ("text", "refusal")]


async def _copied(pieces: AsyncIterator[bytes], sent: bytearray) -> AsyncIterator[bytes]:
    async for piece in pieces:
        sent += piece
        yield piece


def _book(booking: Booking, reply: Passed, sent: bytes, service: Service) -> None:
    """Book what a reply says it used; of a refusal, what refusals cost. Otherwise the most is booked."""
    assert booking.room is not None
    if reply.status >= 400:
        error = read_refusal(sent.decode("utf-8", "replace")).error(reply.status, reply.headers, "")
        booking(cost_of_failure(error, booking.room.most))
    elif (usage := _usage(sent, service)) is not None:
        booking(usage)


def _usage(sent: bytes, service: Service) -> Usage | None:
    """What a reply, whole or a stream, says it used; None when it does not say."""
    events = [line.removeprefix(b"data:") for line in sent.splitlines() if line.startswith(b"data:")]
    for text in reversed(events or [sent]):
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError):
            continue
        if isinstance(fields, dict) and isinstance(fields.get("usage"), dict):
            prompt, completion, cached = counts(fields)
            cost = None if service.price is None else service.price.cost(prompt, completion, cached)
            return Usage(prompt, completion, cached, cost, 1)
    return None
