"""One request and its answer: whole as JSON, or as a stream with comments while rollouts are under way.

The status of a stream is settled when its first byte goes out. So nothing is sent before something has come or
BEAT_SECONDS are over: what fails at once has a status of its own, and what fails later is an event with the error.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing, suppress
from typing import Any

from catlite.errors import CatliteError
from catlite.models.http.endpoint import Endpoint
from catlite.models.http.passing import passing
from catlite.runs import session
from catlite.serving import replies
from catlite.serving.chat import Chat, read_chat, read_fields
from catlite.serving.gate import Send, send_json
from catlite.serving.refusals import Refusal, refusal
from catlite.serving.service import follow, make_reference, sample_plain
from catlite.serving.settings import Settings
from catlite.streaming import Done, Event, ReferenceText
from catlite.usage import Usage

BEAT_SECONDS = 5.0
_STREAM = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx passes each piece on
]
_PASSED = ("content-type", "retry-after", "retry-after-ms", "x-request-id", "x-should-retry")  # headers of a reply


class Exchange:
    """A request, and what goes back to the client; `log` says in a line what became of it."""

    def __init__(
        self,
        settings: Settings,
        send: Send,
        headers: Mapping[str, str],
    ) -> None:
        self.settings, self.headers = settings, headers
        self.log = "a chat request: the client hung up"
        self._send = send
        self._begun = False
        self._found: list[Usage | None] = []  # what replies did cost that the run had

    async def answer(self, body: bytes) -> None:
        """Answer the request with this body."""
        try:
            chat = read_chat(read_fields(body), self.headers, self.settings)
            self.log = f"{chat.name}: the client hung up"
            await self._answer(chat, body)
        except Refusal as error:
            await self.refuse(error)

    async def refuse(self, error: Refusal) -> None:
        """Send an error in place of a reply, or at the end of a stream."""
        self.log = f"{self.log.partition(':')[0]}: {error.status}, {' '.join(str(error).split())}"
        if self._begun:
            await self._write(replies.event(error.body), last=True)
        else:
            await self._whole(error.status, json.dumps(error.body).encode(), error.headers)

    async def _answer(self, chat: Chat, body: bytes) -> None:
        with session.listening() as failures, session.changed(found=self._found):
            try:
                if not chat.way:
                    await self._pass_on(chat, body)
                elif chat.stream:
                    await self._stream(chat)
                else:
                    await self._complete(chat)
            except CatliteError as error:
                raise refusal(error, failures) from None

    async def _complete(self, chat: Chat) -> None:
        reference = await make_reference(chat)
        usage = self._spent(reference.total_usage)
        self._log(chat, usage.requests, usage.cost_usd)
        await self._json(replies.completion(chat.name, reference, usage))

    async def _stream(self, chat: Chat) -> None:
        """Send the reference as it is written, and comments before that."""
        form, arrived = replies.Events(replies.head(chat.name), chat.include_usage), 0
        async with aclosing(follow(chat)) as events:
            async for event in _with_beats(events):
                if isinstance(event, ReferenceText):
                    await self._write(form.text(event.delta))
                    continue
                if isinstance(event, Done):
                    usage = self._spent(event.reference.total_usage)
                    self._log(chat, usage.requests, usage.cost_usd)
                    await self._write(form.end(event.reference, usage), last=True)
                    continue
                arrived += event is not None
                if event is None or event.rollout.usable or self._begun:  # else all may fail, with a status
                    await self._write(replies.comment(f"{arrived} of {chat.n} rollouts"))

    async def _pass_on(self, chat: Chat, body: bytes) -> None:
        """Ask a plain model: its own server, with the request as it is, where it has one."""
        if not isinstance(chat.model, Endpoint):
            rollouts = await sample_plain(chat)
            usage = self._spent(Usage.total(rollout.usage for rollout in rollouts))
            completion = replies.rollouts(chat.name, [rollout for rollout in rollouts if rollout.error is None], usage)
            self._log(chat)
            if chat.stream:
                await self._write(replies.as_stream(completion, chat.include_usage), last=True)
            else:
                await self._json(completion)
            return
        fields = {**chat.fields, **chat.sampling}
        body = body if fields == chat.fields else json.dumps(fields).encode()
        async with passing(chat.model.service, chat.model.sampling, fields, body) as reply:
            self._log(chat, status=reply.status)
            if reply.status == 200 and "event-stream" in reply.headers.get("content-type", ""):
                async for piece in reply.pieces:
                    await self._write(piece)
                await self._write(b"", last=True)
                return
            whole = b"".join([piece async for piece in reply.pieces])
            if reply.status == 200 and chat.stream:  # a server that does not stream
                with suppress(ValueError, KeyError, TypeError):
                    whole = replies.as_stream(json.loads(whole), chat.include_usage)
                    await self._write(whole, last=True)
                    return
            headers = {name: reply.headers[name] for name in _PASSED if name in reply.headers}
            await self._whole(reply.status, whole, headers)

    def _spent(self, usage: Usage) -> Usage:
        """What a reply has cost now, of the `usage` of all that it is made of."""
        return usage - Usage.total(self._found)

    def _log(self, chat: Chat, requests: int = 1, dollars: float | None = None, status: int = 200) -> None:
        cost = "" if dollars is None else f", ${dollars:.6f}"
        self.log = f"{chat.name}: {status}, {requests} request{'s' * (requests != 1)}{cost}"

    async def _json(self, fields: Mapping[str, Any]) -> None:
        await self._whole(200, json.dumps(fields).encode())

    async def _whole(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self._begun = True
        await send_json(status, body, headers or {}, self._send)

    async def _write(self, piece: bytes, *, last: bool = False) -> None:
        """Send a piece of a stream."""
        if not self._begun:
            self._begun = True
            await self._send({"type": "http.response.start", "status": 200, "headers": _STREAM})
        await self._send({"type": "http.response.body", "body": piece, "more_body": not last})


async def _with_beats(events: AsyncGenerator[Event, None]) -> AsyncIterator[Event | None]:
    """Yield `events` as they come, and None whenever none has come for BEAT_SECONDS."""
    while True:
        coming = asyncio.ensure_future(anext(events, None))
        try:
            while not (await asyncio.wait([coming], timeout=BEAT_SECONDS))[0]:
                yield None
            event = coming.result()
        finally:
            coming.cancel()
            await asyncio.wait([coming])
        if event is None:
            return
        yield event
