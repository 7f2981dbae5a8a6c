"""The client of a batch API: its exchanges, and chat completions that are answered by a line of a batch.

The protocol is OpenAI's, which other providers imitate. Left out: what is in a batch, which is in batch_files.py.
"""

from __future__ import annotations

import contextvars
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from catlite.errors import EndpointUnavailable, RequestRejected
from catlite.models.http.clients import Answer, OpenAIClient
from catlite.models.http.keys import Address
from catlite.models.http.refusals import prompt_text, read_refusal, snippet

CHAT = "/v1/chat/completions"
Row: TypeAlias = Mapping[str, Any]  # of the files that a batch brings
# Gets the row that answers the request under way, and how its batch is called.
answering: contextvars.ContextVar[Callable[[Mapping[str, Any]], Awaitable[tuple[Row, str]]]] = contextvars.ContextVar(
    "catlite_answering"
)


class Refused(RequestRejected):
    """A whole batch that was turned down or cancelled: other prompts would fare no better."""

    for_every_prompt = True


class _Get(dict[str, Any]):
    """The body of a GET: none."""


class _Upload(dict[str, Any]):
    """The fields of a form that brings a file along."""

    content: bytes = b""


class _Verbs:
    """An openai client whose `post` takes the other forms of request as well, so that errors are read in one place."""

    def __init__(self, client: Any) -> None:
        self._client = client

    async def post(self, url: str, *, cast_to: Any, body: Any, options: dict[str, Any], **more: Any) -> Any:
        if isinstance(body, _Get):
            return await self._client.get(url, cast_to=cast_to, options=options)
        if isinstance(body, _Upload):
            more["files"] = [("file", ("requests.jsonl", body.content, "application/jsonl"))]
            options = {**options, "headers": {"Content-Type": "multipart/form-data"}}
        return await self._client.post(url, cast_to=cast_to, body=dict(body), options=options, **more)

    async def close(self) -> None:
        await self._client.close()


class BatchClient(OpenAIClient):
    """A client whose chat completions are answered by a batch."""

    def __init__(self, model: str, address: Address, connections: int) -> None:
        super().__init__(model, address, connections)
        self._client = _Verbs(self._client)

    async def post(self, url: str, body: Mapping[str, Any], *settings: Any, **named: Any) -> Answer | None:
        """See Client; a chat completion waits for its batch, however long that takes."""
        if f"/v1{url}" != CHAT:
            return await super().post(url, body, *settings, **named)
        row, batch = await answering.get()(body)
        return self._read(row, body, batch)

    async def exchange(self, method: str, url: str, content: Any, timeout: float) -> Answer:
        """Make one exchange of the batch API itself: GET, POST of an object, or UPLOAD of bytes."""
        body: dict[str, Any] = _Get() if method == "GET" else content
        if method == "UPLOAD":
            body = upload = _Upload(purpose="batch")
            upload.content = content
        answer = await super().post(url, body, timeout)
        if answer is None:
            raise RequestRejected(f"{self.who}: the provider's content filter refused the batch", status=400)
        return answer

    def _read(self, row: Row, body: Mapping[str, Any], batch: str) -> Answer | None:
        """Read the answer to one line as that to a request: None where a content filter refused it.

        Raises ModelError of the kind that its status and words stand for.
        """
        who, response, error = f"{self.who}, {batch},", row.get("response"), row.get("error")
        if isinstance(response, Mapping) and isinstance(status := response.get("status_code"), int):
            text = json.dumps(response.get("body"))
            if status == 200:
                return Answer(text, {})
            refusal = read_refusal(text, prompt_text(body.get("messages")))
            if refusal.is_filter(status):
                return None
            raise refusal.error(status, {}, f"{who} answered {status}")
        code, message = (error.get("code"), error.get("message")) if isinstance(error, Mapping) else (None, None)
        words = snippet(str(message or code or json.dumps(row)))
        if code == "batch_expired":
            raise EndpointUnavailable(f"{who} expired before it came to this request", sent=False)
        if code in ("batch_cancelled", "batch_failed"):
            cancelled = "was cancelled", "run again to ask for what is missing"
            end, advice = cancelled if code == "batch_cancelled" else ("failed", "nothing was paid")
            raise Refused(f"{who} {end}: {words}; {advice}", status=400)
        raise EndpointUnavailable(f"{who} has no answer to this request: {words}")
