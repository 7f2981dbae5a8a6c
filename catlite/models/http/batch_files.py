"""Requests collected into the files of batches, and found again after a restart.

Left out: what becomes of a batch, which is in batches.py.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catlite import concurrency
from catlite.errors import ConfigError, RequestRejected, StoreError
from catlite.models.http.batch_client import CHAT, Row
from catlite.models.http.batches import Batch, Exchanges, Line


class Collector:
    """Lines that wait for the next file, and those of earlier processes; for one run, or none, on one event loop."""

    def __init__(self, service: Exchanges, folder: Path | None) -> None:
        self._service = service
        self._folder = None if folder is None else folder / "batches"
        self._lines: list[Line] = []
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None
        self._pending: dict[tuple[str, int], Line] = {}
        batches = [_load(service, path) for path in (self._folder.glob("*.json") if self._folder else ())]
        for batch in sorted(batches, key=lambda batch: batch.created):  # a line that was asked again: the later one
            for line in batch.lines.values():
                self._pending[line.key, line.samples[0]] = line

    def pending(self, key: str, missing: list[int]) -> list[tuple[int, ...]]:
        """The indices of the lines that were sent for this key, each with a reply that is missing."""
        lines = [self._pending.get((key, first)) for first in missing]
        return [line.samples for line in lines if line is not None and line.is_sent]

    def line(self, key: str, samples: tuple[int, ...], *, fresh: bool) -> Line:
        """The line that was sent for these replies, or a new one; `fresh` is always a new one."""
        line = None if fresh else self._pending.get((key, samples[0]))
        if line is None or line.samples != samples or not line.is_sent:
            return Line(key, samples)
        del self._pending[key, samples[0]]
        return line

    async def answer(self, line: Line, body: Mapping[str, Any]) -> tuple[Row, str]:
        """Return the row that answers this line, and how its batch is called, once that has ended."""
        if line.row is not None and line.batch is not None:
            line.answered = True
            return line.row, line.batch.name
        line.result, line.job = asyncio.get_running_loop().create_future(), concurrency.job()
        if line.batch is not None:
            line.batch.waiting += 1
            line.batch.start()
        else:
            self._add(line, body)
        try:
            row = await line.result
            return row, line.batch.name if line.batch else "a batch"
        finally:
            batch = line.batch
            if batch is not None:
                batch.waiting -= 1
                if not line.answered:
                    await self._leave(line, batch)

    async def _leave(self, line: Line, batch: Batch) -> None:
        """Nobody waits for this line any more: keep it for whoever asks again, and give up a batch without others."""
        await asyncio.sleep(0)  # those who leave together, since a run ends, are all counted as gone
        if batch.path is not None and batch.is_sent:
            line.earlier = True
            self._pending[line.key, line.samples[0]] = line
        if batch.waiting == 0:
            await batch.abandon()

    def _add(self, line: Line, body: Mapping[str, Any]) -> None:
        request = {"custom_id": line.custom_id, "method": "POST", "url": CHAT, "body": body}
        try:
            line.text = json.dumps(request, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        except (TypeError, ValueError) as error:
            raise ConfigError(f"the request cannot be written as JSON: {error}") from None
        limits = self._service.batching
        if len(line.text) > limits.max_bytes:
            raise RequestRejected(
                f"a request of {len(line.text):,} bytes is over the {limits.max_bytes:,} bytes of a batch file: "
                "shorten the prompt, or raise max_bytes= if the provider takes more"
            )
        if self._size + len(line.text) > limits.max_bytes:
            self._submit()
        self._lines.append(line)
        self._size += len(line.text)
        if self._timer is not None:
            self._timer.cancel()
        if len(self._lines) == limits.max_requests:
            self._submit()
        else:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(limits.gather_seconds, self._submit, context=contextvars.Context())

    def _submit(self) -> None:
        """Make a batch of the lines that have gathered; those whose caller has gone are left out."""
        lines = [line for line in self._lines if line.result is not None and not line.result.done()]
        self._lines, self._size = [], 0
        if not lines:
            return
        path = None
        if self._folder is not None:
            name = hashlib.sha256(f"{time.time_ns()} {lines[0].custom_id}".encode()).hexdigest()[:16]
            path = self._folder / f"{name}.json"
        batch = Batch(self._service, {line.custom_id: line for line in lines}, path, waiting=len(lines))
        for line in lines:
            line.batch = batch
        batch.start()


def _load(service: Exchanges, path: Path) -> Batch:
    """Read the record of a batch. Raises StoreError."""
    try:
        record = json.loads(path.read_text("utf-8"))
        batch = Batch(service, {}, path, record["file"], record["id"], float(record["created"]))
        batch.lines = {name: Line.load(batch, saved) for name, saved in record["lines"].items()}
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StoreError(
            f"{path} cannot be read as the record of a batch: {error!r}. Delete it if the replies of that batch are "
            "not wanted; they are then asked for, and paid, again"
        ) from None
    return batch
