"""A batch of a provider: submitted, polled, its answers read.

In a run, what a batch holds is in `<run>/batches/` before the provider begins with it, so that a later process finds it
again. Left out: deleting files at the provider, which drops them by itself.
"""

from __future__ import annotations

import asyncio
import contextvars
import copy
import hashlib
import json
import logging
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from catlite import concurrency
from catlite.errors import BadReply, EndpointDown, EndpointUnavailable, ModelError, RequestRejected
from catlite.models.http.batch_client import CHAT, Refused, Row
from catlite.models.http.clients import Answer
from catlite.models.http.refusals import snippet
from catlite.runs.atomic import write
from catlite.usage import Usage

_ENDS = frozenset({"completed", "failed", "expired", "cancelled"})
_GONE = frozenset({404, 410})
_LONGEST_PAUSE = 300.0  # seconds between two looks at a batch
_PATIENCE = 26 * 3600.0  # seconds after which a batch that cannot be looked at is given up; providers promise 24 h
_GOODBYE = 5.0  # seconds for cancelling a batch
_PAGES = 20  # of 100 batches, in which one is looked for
_logger = logging.getLogger("catlite")


class Batching(NamedTuple):
    """How requests are collected; see BatchEndpoint."""

    poll_seconds: float = 30.0
    gather_seconds: float = 2.0
    max_requests: int = 50_000
    max_bytes: int = 200_000_000


class Exchanges(Protocol):
    """What a batch needs of BatchService: its settings, and exchanges with retries."""

    batching: Batching

    async def exchange(self, method: str, url: str, content: Any = None) -> Answer:
        """GET, POST an object as JSON, or UPLOAD bytes as a file."""
        ...


@dataclass(eq=False)
class Line:
    """One request for the replies of these sample indices, and what has become of it.

    key: what is asked, by its digest in the run. number, most: its booking in the run, and the most that was booked.
    earlier: whether it was sent, and booked, before this call asked for it.
    """

    key: str
    samples: tuple[int, ...]
    number: int = 0
    most: Usage = field(default_factory=Usage)
    earlier: bool = False
    batch: Batch | None = None
    text: bytes = b""
    row: Row | None = None  # an answer that nobody has asked for yet
    answered: bool = False
    result: asyncio.Future[Row] | None = None
    job: concurrency.Job | None = None

    @property
    def is_sent(self) -> bool:
        """Whether the provider has it, or will have it."""
        return self.batch is not None and self.batch.is_sent

    @property
    def custom_id(self) -> str:
        """Its name in the file."""
        return hashlib.sha256(f"{self.key} {self.samples[0]}".encode()).hexdigest()[:32]

    def deliver(self, row: Row) -> None:
        """Hand the answer to whoever waits, or keep it for who will."""
        if self.result is not None and not self.result.done():
            self.answered = True
            self.result.set_result(row)
        else:
            self.row = row

    def saved(self) -> list[Any]:
        """What a later process needs of it."""
        most = self.most
        booked = [most.prompt_tokens, most.completion_tokens, most.cost_usd, most.requests]
        return [self.key, list(self.samples), self.number, booked]

    @classmethod
    def load(cls, batch: Batch, saved: list[Any]) -> Line:
        """Make the line of what was `saved`."""
        key, samples, number, (prompt, completion, cost, requests) = saved
        return cls(key, tuple(samples), number, Usage(prompt, completion, 0, cost, requests), True, batch)


@dataclass(eq=False)
class Batch:
    """Lines that are one batch of a provider; `work` sees it through. `path` is its record in the run, if there is one.

    waiting: lines that somebody waits for.
    """

    service: Exchanges
    lines: dict[str, Line] = field(default_factory=dict)
    path: Path | None = None
    file: str | None = None
    id: str | None = None
    created: float = field(default_factory=time.time)
    waiting: int = 0
    _done: set[str] = field(default_factory=set)
    _task: asyncio.Task[None] | None = None
    _creation: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        """How messages call it."""
        return f"batch {self.id}" if self.id else "a batch"

    @property
    def is_sent(self) -> bool:
        """Whether the provider has its requests, or will have them, since others wait for theirs."""
        uploads = self._task is not None and not self._task.done() and self.waiting > 0
        return self.file is not None or uploads

    def start(self) -> None:
        """See it through from where it is, unless that is being done."""
        if self._task is None or self._task.done():
            # In a context of its own: nothing of the call that happened to come last.
            self._task = asyncio.get_running_loop().create_task(self.work(), context=contextvars.Context())
        elif self._task.cancelling():  # it was abandoned a moment ago
            self._task.add_done_callback(lambda _: self.start() if self.waiting else None)

    async def work(self) -> None:
        """Submit the batch unless it is, wait for its end, and hand every line its row."""
        try:
            if self.id is None:
                await self._submit()
            state = await self._end()
            rows = await self._rows(state)
        except asyncio.CancelledError:
            if self._creation is not None:  # which is seen through, or nobody would know of the batch
                await asyncio.wait([self._creation])
            if self.path is None and self.id is not None:
                await self._cancel()
            raise
        except Exception as error:  # whatever it is, nobody may wait for ever
            self._fail(error)
            return
        finally:
            self._show("")
        absent = _absent(state)
        for name, line in self.lines.items():
            line.deliver(rows.get(name, absent))

    async def abandon(self) -> None:
        """Stop waiting: a batch with a record is left to the provider, another one is cancelled there."""
        if self._task is not None:
            if not self._task.cancelling():
                self._task.cancel()
            await asyncio.wait([self._task])

    def finish(self, line: Line) -> None:
        """Count a line as dealt with: its replies are kept, or lost for good. After the last the record goes."""
        if line.answered:
            self._done.add(line.custom_id)
        if self.path is not None and len(self._done) == len(self.lines):
            self.path.unlink(missing_ok=True)

    async def _submit(self) -> None:
        again = self.file is not None  # a process ended before it knew whether there is a batch
        if self.file is None:
            content = b"".join(line.text for line in self.lines.values())
            try:
                self.file = str(_object(await self.service.exchange("UPLOAD", "/files", content))["id"])
            except RequestRejected as error:
                if error.status in (404, 405):
                    error.args = (f"{error}. Has this server a batch API? Endpoint(…) asks without one",)
                raise
        await self._save()
        self._creation = asyncio.create_task(self._make(again))
        # Retrieved, or asyncio would complain where the batch is given up meanwhile.
        self._creation.add_done_callback(lambda task: task.cancelled() or task.exception())
        await asyncio.shield(self._creation)

    async def _make(self, again: bool) -> None:
        """Create the batch of the file, and write down its id."""
        try:
            self.id = await self._create(again)
        except ModelError as error:
            if not isinstance(error, EndpointUnavailable | BadReply):  # there is no batch for sure
                self.file = None
                if self.path is not None:
                    self.path.unlink(missing_ok=True)
            raise
        await self._save()
        for line in self.lines.values():
            line.text = b""
        _logger.info("%s of %s requests is submitted", self.name, f"{len(self.lines):,}")

    async def _create(self, again: bool) -> str:
        """Create the batch and return its id. After an attempt with an unknown end, one that exists is taken."""
        request = {"input_file_id": self.file, "endpoint": CHAT, "completion_window": "24h"}
        while True:
            if again and (known := await self._known()) is not None:
                return known
            try:
                return str(_object(await self.service.exchange("CREATE", "/batches", request))["id"])
            except (EndpointUnavailable, BadReply) as error:
                if again:
                    raise
                _logger.warning("%s; looking whether the batch was created", error)
                again = True

    async def _known(self) -> str | None:
        """The id of the provider's batch of this file; None when it has none."""
        after = ""
        for _ in range(_PAGES):
            page = _object(await self.service.exchange("GET", f"/batches?limit=100{after}"), "data")
            batches = [batch for batch in page["data"] if isinstance(batch, dict)]
            for batch in batches:
                if batch.get("input_file_id") == self.file:
                    return str(batch["id"])
            if not page.get("has_more") or not batches:
                return None
            after = f"&after={batches[-1]['id']}"
        return None

    async def _save(self) -> None:
        """Write the record: what the batch holds, and its id as soon as there is one."""
        if self.path is not None:
            lines = {name: line.saved() for name, line in self.lines.items()}
            record = {"id": self.id, "file": self.file, "created": self.created, "lines": lines}
            await asyncio.to_thread(write, self.path, [json.dumps(record)])

    async def _end(self) -> dict[str, Any]:
        """Wait for the end of the batch, and return its last state."""
        pause = self.service.batching.poll_seconds
        longest = max(pause, _LONGEST_PAUSE)
        while True:
            try:
                state = _object(await self.service.exchange("GET", f"/batches/{self.id}"), "status")
            except (EndpointUnavailable, BadReply) as error:  # a night without a network must not cost the batch
                if time.time() - self.created > _PATIENCE:
                    raise
                _logger.warning("%s cannot be looked at: %s; looking again in %.0f s", self.name, error, pause)
            else:
                self._tell(state)
                if state["status"] in _ENDS:
                    return state
            await asyncio.sleep(pause)
            pause = min(1.5 * pause, longest)

    def _tell(self, state: Mapping[str, Any]) -> None:
        """Say in the log, and to whoever watches the progress, how far the batch is."""
        counts = state.get("request_counts")
        done = counts.get("completed") if isinstance(counts, Mapping) else None
        far = f", {done} of {len(self.lines)} requests" if isinstance(done, int) else ""
        self._show(f"batch {state['status']}" + (f" {done}/{len(self.lines)}" if far else ""))  # an id is long
        _logger.info("%s %s%s", self.name, state["status"], far)

    def _show(self, text: str) -> None:
        for job in {line.job for line in self.lines.values() if line.job is not None}:
            job.waits_for = text

    async def _rows(self, state: Mapping[str, Any]) -> dict[str, Row]:
        """The rows of both files, by name; what came before a batch expired is there."""
        rows: dict[str, Row] = {}
        for name in ("error_file_id", "output_file_id"):
            if not state.get(name):
                continue
            text = (await self.service.exchange("GET", f"/files/{state[name]}/content")).body
            of_file: dict[str, Row] = {}
            # Not splitlines, which takes some characters within texts for ends.
            for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
                row = None
                with suppress(ValueError):
                    row = json.loads(line)
                if isinstance(row, dict) and isinstance(row.get("custom_id"), str):
                    if of_file.setdefault(row["custom_id"], row) != row:
                        twice = "%s: line %s of %s answers a request for the second time: the first answer stands"
                        _logger.warning(twice, self.name, f"{number:,}", state[name])
                elif line.strip():
                    _logger.warning("%s: line %s of %s cannot be read", self.name, f"{number:,}", state[name])
            rows |= of_file
        return rows

    async def _cancel(self) -> None:
        with suppress(ModelError, TimeoutError):
            async with asyncio.timeout(_GOODBYE):
                await self.service.exchange("POST", f"/batches/{self.id}/cancel", {})

    def _fail(self, error: Exception) -> None:
        """Hand an error of the batch API to every line that is waited for, to each a copy of its own."""
        for line in self.lines.values():
            if line.result is None or line.result.done():
                continue
            own = _final(error)
            if isinstance(own, ModelError) and self.file is not None:
                # The batch may be running: it is booked at the most until it is found again.
                own.status = None
                if self.path is not None:
                    dropped = self.id is not None and isinstance(error, ModelError) and error.status in _GONE
                    own.args = (f"{own}. {self._advice(dropped)}",)
            if isinstance(own, EndpointUnavailable):
                own.sent = self.file is not None
            line.result.set_exception(own)

    def _advice(self, dropped: bool) -> str:
        """What to do about an error while the batch may be running; `dropped`: the provider does not know it."""
        if not dropped:
            return f"What is known of {self.name} is in {self.path}; the same call goes on there"
        return (
            f"The provider has dropped {self.name} or its files, or knows them by another key: delete {self.path} to "
            "ask, and pay, for its replies again"
        )


def _final(error: Exception) -> Exception:
    """The same error for one line, as one that ends the run: to ask again may be to pay twice."""
    if isinstance(error, RequestRejected):
        return Refused(str(error), status=error.status)
    if isinstance(error, EndpointUnavailable | BadReply):
        return EndpointDown(str(error), status=error.status)
    return copy.copy(error)


def _object(answer: Answer, name: str = "id") -> dict[str, Any]:
    """The JSON object of an answer, which has to have this field. Raises BadReply."""
    with suppress(ValueError):
        value = json.loads(answer.body)
        if isinstance(value, dict) and value.get(name):
            return value
        if isinstance(value, dict) and isinstance(value.get(name), list):
            return value
    raise BadReply(f"the batch API answered without {name!r}: {snippet(answer.body)}")


def _absent(state: Mapping[str, Any]) -> Row:
    """The row of a line that is in neither file."""
    errors = state.get("errors")
    listed = errors.get("data") if isinstance(errors, Mapping) else None
    told = [
        f"line {entry['line']}: {entry.get('message')}" if entry.get("line") else str(entry.get("message"))
        for entry in listed or ()
        if isinstance(entry, Mapping)
    ]
    code = f"batch_{state['status']}"
    return {"error": {"code": code, "message": "; ".join(told[:3]) or f"the batch is {state['status']}"}}
