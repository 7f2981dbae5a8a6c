"""The embedded model: a llama.cpp server as a child process, on loopback, with 135M parameters inside.

With it everything runs offline and for real. It is small: it shows that things work, not how good they can be. The
child starts on first use, serves the whole process, and ends with it, even when the process is killed.
"""

from __future__ import annotations

import asyncio
import atexit
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from catlite.data import Prompt, Rollout, text_only
from catlite.errors import EmbeddedModelError, MissingExtra
from catlite.models.base import Traits
from catlite.models.embedded import weights
from catlite.models.http.endpoint import Endpoint
from catlite.models.http.keys import Address, Secret
from catlite.models.http.prices import Price
from catlite.models.http.service import Service

PARALLEL = 16  # slots of the server, and so the most choices of one request; groups of 8 then leave others cached
CONTEXT = 8192  # tokens, shared by the slots; the length that the model was trained for
# Requests at once: 1,024 tokens each, enough for eight short rollouts and a synthesis of them. When the context
# overflows the server fails all that are under way, after minutes of work.
CONNECTIONS = 8
_PROGRAM = Path(__file__).with_name("server.py")


class _Server:
    """The child process for one GGUF file; None is the one that CATLITE_GGUF names at the time, else the pinned one."""

    def __init__(self, gguf: Path | None) -> None:
        self.gguf = gguf
        self._loaded: weights.Stamp | None = None  # of the file that the child has in memory
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._address: Address | None = None
        self.contexts = 0  # `with embedded()` blocks that are open
        self.awaited = 0  # calls that wait for it to start

    def __reduce__(self) -> tuple[Callable[[Path | None], _Server], tuple[Path | None]]:
        return _server_of, (self.gguf,)

    def address(self) -> Address:
        """Start the child unless it is running, with the file as it is now; return its URL and key."""
        with self._lock:
            alive = self._process is not None and self._process.poll() is None and self._pid == os.getpid()
            if not alive or self._address is None or self._wanted() != self._loaded:
                self._end()
                self._loaded = self._wanted()
                self._address = self._start()
            return self._address

    def digest(self) -> str:
        """SHA-256 of the weights that make the replies."""
        with self._lock:
            return weights.stamped_digest(self._wanted())

    def _wanted(self) -> weights.Stamp | None:
        """The stamp of the file as it is now; None for the pinned weights."""
        try:
            return weights.stamp(self.gguf)
        except EmbeddedModelError:
            if self._loaded is None or self._address is None:
                raise
            return self._loaded  # deleted meanwhile: the child still has it

    def _start(self) -> Address:
        if importlib.util.find_spec("xllamacpp") is None:
            raise MissingExtra(
                'model="local" needs the embedded engine, catlite[local]: pip install "xllamacpp>=2026.10"'
            )
        model = weights.find() if self.gguf is None else weights.check_gguf(self.gguf, "gguf")
        key = Secret(secrets.token_urlsafe(24))
        # In a container these are fewer than the machine has.
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2
        threads = max(1, cores - 1)
        settings = {"model": str(model), "context": CONTEXT, "parallel": PARALLEL, "threads": threads}
        with tempfile.TemporaryFile() as log:
            self._process = process = subprocess.Popen(
                [sys.executable, "-P", str(_PROGRAM)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                # Waiting threads that spin starve the one that works, when cores are shared.
                env={**os.environ, "OMP_WAIT_POLICY": "passive"},
                # Ctrl-C goes to the parent, which decides; the child must finish what others asked.
                start_new_session=True,
            )
            self._pid = os.getpid()
            assert process.stdin is not None
            assert process.stdout is not None
            atexit.register(self.stop)
            try:
                process.stdin.write(json.dumps(settings | {"key": key.reveal()}).encode() + b"\n")
                line = process.stdout.readline()
            except BrokenPipeError:
                line = b""
            if not line:
                code = process.wait()
                self._end()
                log.seek(0)
                lines = key.redact(log.read().decode("utf-8", "replace")).splitlines()
                errors = [line for line in lines if " E " in line[:16]] or lines  # llama.cpp marks its errors so
                raise EmbeddedModelError(
                    f"the embedded server ended with code {code} while loading {model}; it said:\n"
                    + "\n".join(errors[-8:])
                )
        return Address(json.loads(line)["url"] + "/v1", key)

    def stop(self) -> None:
        """End the child; the next use starts another."""
        with self._lock:
            self._end()
            atexit.unregister(self.stop)

    def _end(self) -> None:
        """End the child, or clear up after one that has ended on its own."""
        process, self._process, self._address = self._process, None, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        if self._pid != os.getpid():
            process.returncode = 0  # we are a forked copy: the child is our parent's
            return
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


_servers: dict[Path | None, _Server] = {}
_servers_lock = threading.Lock()


def _server_of(gguf: Path | None) -> _Server:
    """Give the server of this process for a file."""
    with _servers_lock:
        return _servers.setdefault(gguf, _Server(gguf))


class _Service(Service):
    """The child process, whose address is another one every time it starts."""

    server: _Server

    def shown_address(self) -> str:
        """The file of the weights."""
        return f"embedded:{Path(weights.FILE).name if self.server.gguf is None else self.server.gguf}"

    async def kept_address(self) -> str:
        """The weights, which are what replies depend on: their file's name may stand for others tomorrow."""
        return f"embedded:sha256:{await asyncio.to_thread(self.server.digest)}"

    async def address(self) -> Address:
        """The child's, which starts unless it is running."""
        self.server.awaited += 1
        try:
            return await asyncio.to_thread(self.server.address)
        except asyncio.CancelledError:
            if self.server.awaited == 1:
                weights.stop_fetching()  # or the thread would hold up the end of the program
            raise
        finally:
            self.server.awaited -= 1


class Embedded(Endpoint):
    """The embedded model as an Endpoint; see `embedded`."""

    def __init__(self, gguf: str | Path | None = None, **settings: Any) -> None:
        self.gguf = None if gguf is None else Path(gguf).expanduser()
        # A limit on length, because a small model does not always stop; log-probabilities, because the server
        # counts the tokens of one choice only and they let us count the rest.
        defaults = {"max_tokens": 512, "logprobs": True, "top_logprobs": 1}
        settings = {"max_connections": CONNECTIONS, "price": Price(0.0, 0.0), **defaults, **settings}
        self._server = _server_of(self.gguf)
        super().__init__("local", base_url="http://127.0.0.1", **settings)

    def _served(self, *settings: Any) -> Service:
        service = _Service(*settings)
        service.server, service.most_choices = self._server, PARALLEL
        return service

    @property
    def traits(self) -> Traits:
        """Those of an Endpoint, with the name of the weights: "local" alone does not say whose replies they are.

        The prefix cache is that of a slot: prompts that begin alike gain from it one after the other, not side by side.
        """
        file = self.gguf or os.environ.get("CATLITE_GGUF") or weights.FILE
        name = f"{self.name} ({Path(file).stem})"
        return replace(super().traits, shown_name=name, caches_per_slot=True, text_only=True)

    async def sample(self, prompt: Prompt, n: int = 1, **sampling: Any) -> list[Rollout]:
        """As Endpoint.sample; ConfigError for a prompt with images, which this model cannot see."""
        return await super().sample(text_only(prompt, repr(self.name)), n, **sampling)

    def __enter__(self) -> Self:
        self._server.address()
        self._enter()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self._leave()

    async def __aenter__(self) -> Self:
        await self._service.address()
        self._enter()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()
        await asyncio.to_thread(self._leave)

    def _enter(self) -> None:
        with _servers_lock:
            self._server.contexts += 1

    def _leave(self) -> None:
        """The last context to close stops the server."""
        with _servers_lock:
            self._server.contexts -= 1
            last = self._server.contexts == 0
        if last:
            self._server.stop()

    def __repr__(self) -> str:
        return "embedded()" if self.gguf is None else f"embedded({str(self.gguf)!r})"


def embedded(gguf: str | Path | None = None, **settings: Any) -> Embedded:
    """Open the embedded model: SmolLM2-135M-Instruct, or the GGUF file given, on this machine's CPU.

    It is what `model="local"` means. The server starts on first use; as a context manager it starts at once and stops
    at the end of the outermost block.

    Args:
        gguf: the path of a file in place of the default weights, which are fetched once; None takes CATLITE_GGUF, if
            set.
        **settings: those of Endpoint, such as max_connections, and defaults of sampling, such as temperature.

    Returns:
        The Model.

    Raises:
        MissingExtra: without `catlite[local]`, on first use.
        EmbeddedModelError: when the weights cannot be found, fetched or loaded, on first use.

    Example:
        >>> with catlite.embedded(temperature=1.0) as model:
        ...     catlite.synthesize("What is 6 times 7?", model)
    """
    return Embedded(gguf, **settings)
