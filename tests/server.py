"""A real HTTP/1.1 server that speaks OpenAI's chat completions and fails on demand.

    with Server(lambda body, i: f"answer {i}", faults=[reset(), None, status(429, retry_after=1)]) as server:
        client = AsyncOpenAI(base_url=server.url, api_key=server.key)

It runs in a thread of the test process, or alone for benchmarks: `python tests/server.py --latency 0.2`. One
asyncio.Protocol a connection and timers in place of tasks keep it cheap enough to measure a client against.

Left out: chunked request bodies, TLS.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import signal
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, field
from http.client import responses
from typing import Any

from faults import Fault, RateLimit, Rules, Script, lognormal, status, stream, streamed, tokens, with_usage

Body = dict[str, Any]
Reply = Callable[[Body, int], str | dict[str, Any]] | str | dict[str, Any]
IN_MESSAGE = ("content", "reasoning_content", "reasoning", "refusal", "role", "tool_calls")


@dataclass(slots=True)
class Request:
    """What arrived, and what became of it; times are time.monotonic()."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any  # parsed JSON; None where there is none
    connection: int
    number: int | None  # which completion asked for, from 0: what a fault script counts
    arrived: float
    answered: float | None = None
    status: int | None = None  # None while pending, and where no status line was sent
    fault: Fault | None = None
    aborted: bool = False  # the client went before the whole reply was sent


@dataclass(eq=False, repr=False)
class Server(Rules):
    """Behaviour is in plain attributes, read at each request: a test may change them on the way."""

    reply: Reply = "ok"  # a dict is merged over the choice and its message
    _: KW_ONLY
    faults: Script = ()
    latency: float | Callable[[Body, int], float] = 0.0  # seconds, from the body and the choices made
    limit: RateLimit | None = None
    takes_n: bool = True  # False answers one choice whatever n says
    most_choices: int | None = None  # silently returns no more than this
    usage: Any = True  # as in faults.usage: False, None or a dict to merge
    routes: Mapping[str, Callable[[Body], Any]] = field(default_factory=dict)  # more POST paths
    piece_s: float = 0.0  # seconds between the pieces of a streamed reply
    keep: bool = True  # False forgets requests: for long benchmarks
    port: int = 0

    def __post_init__(self) -> None:
        self.requests: list[Request] = []
        self.statuses: Counter[int | None] = Counter()
        self.in_flight = self.peak_in_flight = self.connections_opened = self.aborted = self.completions = 0
        self.service_s = 0.0  # the seconds that all replies were made to take
        self.errors: list[Exception] = []  # raised by the test's own callables; raised again on exit
        self._connections: set[_Connection] = set()
        self.script(self.faults)

    def script(self, faults: Script) -> None:
        """Replace the faults for the requests to come."""
        if callable(faults):
            self._fault = faults
        else:
            items = iter(faults)
            self._fault = lambda number, body: next(items, None)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def stats(self) -> dict[str, Any]:
        """The counters; GET /stats serves them from a process of its own."""
        names = ("completions", "in_flight", "peak_in_flight", "connections_opened", "aborted")
        counts: dict[str, Any] = {name: getattr(self, name) for name in names}
        by_status = {str(code): count for code, count in self.statuses.items()}
        return counts | {"statuses": by_status, "cpu_s": time.process_time(), "service_s": self.service_s}

    def wait(self, condition: Callable[[Server], Any], timeout: float = 60.0) -> None:
        """Block until `condition(server)` holds: what a client did shows here a moment later."""
        end = time.monotonic() + timeout
        while not condition(self):
            if time.monotonic() > end:
                raise TimeoutError(f"not so after {timeout} s: {self.stats}")
            time.sleep(0.002)

    def __enter__(self) -> Server:
        started = threading.Event()
        listener = self._listen()  # here, so that a taken port is raised to the caller
        run = functools.partial(asyncio.run, self._serve(listener, started.set))
        self._thread = threading.Thread(target=run, name="test-server", daemon=True)
        self._thread.start()
        started.wait()
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self.errors and kind is None:
            raise self.errors[0]

    def _listen(self) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", self.port), backlog=4096)
        self.port = listener.getsockname()[1]
        return listener

    async def _serve(self, listener: socket.socket, started: Callable[[], object], signals: bool = False) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        if signals:
            for number in (signal.SIGINT, signal.SIGTERM):
                self.loop.add_signal_handler(number, self._stop.set)
        server = await self.loop.create_server(lambda: _Connection(self), sock=listener, backlog=4096)
        started()
        await self._stop.wait()
        server.close()
        while self._connections:  # also those accepted while it was closing
            for connection in list(self._connections):
                connection.transport.abort()
            await asyncio.sleep(0)
        await server.wait_closed()

    # What to answer

    def _answer(self, request: Request) -> tuple[Fault, float]:
        """The answer as a fault (a good one is `Fault("edit")` with its body filled in) and its delay."""
        if request.method == "POST" and request.path == "/v1/chat/completions":
            return self._complete(request)
        refusal = self.unauthorized(request.headers)
        if refusal is not None:
            return refusal, 0.0
        if request.method == "GET" and request.path == "/v1/models":
            data = [{"id": name, "object": "model", "owned_by": "test"} for name in self.models or ()]
            return Fault("answer", body={"object": "list", "data": data}), 0.0
        if request.method == "POST" and request.path in self.routes:
            answer = self.routes[request.path](request.body)
            return answer if isinstance(answer, Fault) else Fault("answer", body=answer), 0.0
        return status(404, f"Invalid URL ({request.method} {request.path})"), 0.0

    def _complete(self, request: Request) -> tuple[Fault, float]:
        body = request.body
        if self.limit is not None and not self.limit.take():
            return self.limit.refusal, 0.0
        fault = request.fault = self._fault(request.number or 0, body if isinstance(body, dict) else {})
        if fault is not None and fault.kind in ("answer", "close", "hang", "stream"):
            return fault, fault.delay
        refusal = self.unauthorized(request.headers) or self.objection(body)
        if refusal is not None:
            return refusal, 0.0
        n = (body.get("n") or 1) if self.takes_n else 1
        n = n if self.most_choices is None else min(n, self.most_choices)
        completion: Any = with_usage(self._completion(body, n), self.usage)
        delay = self.latency(body, n) if callable(self.latency) else self.latency
        if fault is None and body.get("stream"):
            options = body.get("stream_options") or {}
            return stream(*streamed(completion, options.get("include_usage", False)), interval=self.piece_s), delay
        if fault is None:
            return Fault("edit", body=completion), delay
        if fault.edit is not None:
            completion = fault.edit(completion)
        sent = json.dumps(completion).encode()
        if fault.kind == "truncate":
            sent = sent[: len(sent) // 2]
        return Fault(fault.kind, body=sent, part=fault.part, interval=fault.interval), delay + fault.delay

    def _completion(self, body: Body, n: int) -> dict[str, Any]:
        made = [self.reply(body, i) if callable(self.reply) else self.reply for i in range(n)]
        choices = [_choice(body, i, text) for i, text in enumerate(made)]
        prompt = tokens(body["messages"])
        reasoning = sum(tokens(choice["message"].get("reasoning_content")) for choice in choices)
        written = reasoning + sum(tokens(choice["message"]["content"]) for choice in choices)
        return {
            "id": f"chatcmpl-{self.completions}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body["model"],
            "choices": choices,
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": written,
                "total_tokens": prompt + written,
                "prompt_tokens_details": {"cached_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": reasoning},
            },
        }


def _choice(body: Body, index: int, made: str | dict[str, Any]) -> dict[str, Any]:
    given = {"content": made} if isinstance(made, str) else made
    message = {"role": "assistant", "content": "ok", "refusal": None}
    message |= {key: value for key, value in given.items() if key in IN_MESSAGE}
    reason, text = "stop", message["content"]
    most = body.get("max_completion_tokens") or body.get("max_tokens")
    if most is not None and isinstance(text, str) and tokens(text) > most:
        reason, text = "length", text[: 4 * most]
        message["content"] = text
    choice = {"index": index, "message": message, "logprobs": None, "finish_reason": reason}
    if body.get("logprobs") and isinstance(text, str):
        choice["logprobs"] = {"content": _logprobs(text, bool(body.get("top_logprobs"))), "refusal": None}
    return choice | {key: value for key, value in given.items() if key not in IN_MESSAGE}


def _logprobs(text: str, top: bool) -> list[dict[str, Any]]:
    entries = []
    for start in range(0, len(text), 4):
        token = text[start : start + 4]
        entry = {"token": token, "logprob": -0.5, "bytes": list(token.encode(errors="surrogatepass"))}
        entries.append(entry | {"top_logprobs": [dict(entry)] if top else []})
    return entries


class _Connection(asyncio.Protocol):
    """One client's connection: a request at a time, the next one waiting in the buffer."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.buffer = bytearray()
        self.request: Request | None = None
        self.head: tuple[str, str, dict[str, str]] | None = None
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.number = self.server.connections_opened
        self.server.connections_opened += 1
        self.server._connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self.server._connections.discard(self)
        if self.timer is not None:
            self.timer.cancel()
        if self.request is not None:
            if not self.server._stop.is_set():
                self.request.aborted = True
                self.server.aborted += 1
            self.finish(None)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        self.advance()

    def advance(self) -> None:
        while self.request is None and not self.transport.is_closing() and self.parse():
            pass

    def parse(self) -> bool:
        if self.head is None:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            first, *lines = self.buffer[:end].decode("latin-1").split("\r\n")
            del self.buffer[: end + 4]
            method, target, _ = first.split(" ", 2)
            pairs = (line.partition(":") for line in lines)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            self.head = method, target.partition("?")[0], headers
        method, path, headers = self.head
        length = int(headers.get("content-length", 0))
        if len(self.buffer) < length:
            return False
        sent = bytes(self.buffer[:length])
        del self.buffer[:length]
        self.head = None
        try:
            body = json.loads(sent) if sent else None
        except ValueError:
            body = None
        self.accept(Request(method, path, headers, body, self.number, None, time.monotonic()))
        return True

    def accept(self, request: Request) -> None:
        server = self.server
        if request.path == "/stats":  # neither counted nor guarded
            self.transport.write(_head(200, {}, sent := json.dumps(server.stats).encode()) + sent)
            return
        if request.path == "/v1/chat/completions":
            request.number, server.completions = server.completions, server.completions + 1
        if server.keep:
            server.requests.append(request)
        server.in_flight += 1
        server.peak_in_flight = max(server.peak_in_flight, server.in_flight)
        self.request = request
        try:
            answer, delay = server._answer(request)
        except Exception as problem:
            server.errors.append(problem)
            answer, delay = status(500, f"The test's own callable raised {problem!r}"), 0.0
        server.service_s += delay
        if delay > 0:
            self.timer = server.loop.call_later(delay, self.send, answer)
        else:
            self.send(answer)

    def send(self, answer: Fault) -> None:
        assert self.request is not None
        kind, self.timer = answer.kind, None
        if kind == "hang":
            return
        if kind == "close" or (kind == "reset" and not answer.part):
            self.finish(None)
            self.close(reset=kind == "reset")
            return
        if kind == "stream":
            head = f"HTTP/1.1 200 OK\r\ncontent-type: {answer.content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
            self.transport.write(head.encode())
            self.stream(answer, 0, self.server.loop.time())
            return
        sent = answer.payload()
        head = _head(answer.status, answer.headers(), sent, answer.content_type)
        if kind == "drip":
            self.transport.write(head)
            self.drip(answer, sent, 0)
            return
        partly = kind in ("cut", "reset")
        last = partly or kind == "hangup" or self.request.headers.get("connection", "").lower() == "close"
        # Before the write: a client's thread may see the reply at once, and then look at the server.
        self.finish(answer.status)
        self.transport.write(head + (sent[: int(len(sent) * answer.part)] if partly else sent))
        if last:
            self.close(reset=kind == "reset")

    def drip(self, answer: Fault, sent: bytes, at: int) -> None:
        self.transport.write(sent[at : at + 1])
        if at + 1 < len(sent):
            self.timer = self.server.loop.call_later(answer.interval, self.drip, answer, sent, at + 1)
        else:
            self.timer = None
            self.finish(answer.status)

    def stream(self, answer: Fault, at: int, began: float) -> None:
        """Send the parts of a stream from `at` on, each at its time after `began`."""
        self.timer = None
        while at < len(answer.body):
            part, at = answer.body[at], at + 1
            self.transport.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
            if answer.interval:
                due = began + at * answer.interval
                self.timer = self.server.loop.call_at(due, self.stream, answer, at, began)
                return
        if answer.ending == "end":
            self.finish(answer.status)
            self.transport.write(b"0\r\n\r\n")
        elif answer.ending == "cut":
            self.finish(answer.status)
            self.close(reset=False)

    def finish(self, code: int | None) -> None:
        assert self.request is not None
        server, request, self.request = self.server, self.request, None
        request.status, request.answered = code, time.monotonic()
        server.statuses[code] += 1
        server.in_flight -= 1
        if self.buffer:
            server.loop.call_soon(self.advance)

    def close(self, *, reset: bool) -> None:
        if not reset:
            self.transport.close()
            return
        # Close with linger on and a time-out of zero is how a TCP socket sends RST in place of FIN.
        sock = self.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


def _head(code: int, extra: Mapping[str, str], sent: bytes, content_type: str = "application/json") -> bytes:
    lines = [f"HTTP/1.1 {code} {responses.get(code, 'Overloaded')}", f"content-type: {content_type}"]
    lines += [f"content-length: {len(sent)}", *(f"{name}: {value}" for name, value in extra.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def main() -> None:
    """Serve until interrupted; the first line printed is the URL."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--reply", default="ok")
    parser.add_argument("--latency", type=float, default=0.0, help="mean seconds of service")
    parser.add_argument("--sigma", type=float, default=0.0, help="of the lognormal service time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--takes-n", action="store_true", help="otherwise one choice, whatever n says")
    parser.add_argument("--rate", type=float, help="requests a second, 429 beyond")
    parser.add_argument("--burst", type=float, default=1)
    parser.add_argument("--retry-after", type=float)
    args = parser.parse_args()
    server = Server(
        args.reply,
        latency=lognormal(args.latency, args.sigma, args.seed) if args.sigma else args.latency,
        limit=RateLimit(args.rate, args.burst, args.retry_after) if args.rate else None,
        takes_n=args.takes_n,
        models=None,
        keep=False,
        port=args.port,
    )
    listener = server._listen()
    asyncio.run(server._serve(listener, lambda: print(server.url, flush=True), signals=True))


if __name__ == "__main__":
    main()
