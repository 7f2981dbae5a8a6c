"""A server process: one port, one app, until it is told to stop; then it finishes what is under way.

uvicorn is imported when it runs. A second signal does not wait. Left out: several processes, and TLS, which belongs to
a proxy before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import ipaddress
import signal
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from catlite.checks import whole_number
from catlite.errors import ConfigError, MissingExtra
from catlite.extras import install

if TYPE_CHECKING:
    from starlette.applications import Starlette

_COLLECT_AFTER = 50_000  # new objects; Python's own 700 to 2,000 are a few requests, and an eighth of the CPU
_KEEP_ALIVE_SECONDS = 30  # longer than clients keep an idle connection, which would else send into a closed one


def check_host(host: str, has_key: bool) -> None:
    """Raise ConfigError for a host that others can reach, when no key keeps them out."""
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = host == "localhost"
    if not is_local and not has_key:
        raise ConfigError(
            f"host={host!r} lets other machines spend what this one pays for: set CATLITE_SERVE_KEY to a key that "
            "clients have to send, or stay on 127.0.0.1"
        )


def allow_connections() -> None:
    """Let this process open as many files, and so connections, as the system lets it: often only 1,024 at first."""
    with contextlib.suppress(ImportError, OSError, ValueError):  # Windows has no such limit
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def listen(host: str, port: int) -> socket.socket:
    """Take the port; raises OSError, with what to do, when another program has it, and ConfigError for a wrong one."""
    whole_number("port", port, 0, most=65_535)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise OSError(f"{host}:{port} is in use by another program: stop it, or choose another port=…") from None
        why = str(error.strerror).partition(" (while")[0]  # what Python adds is said here
        raise OSError(f"{host}:{port} cannot be listened on: {why}") from None


def serve(app: Starlette, listener: socket.socket, ready: Callable[[str], object]) -> int:
    """Serve `app` until SIGTERM or SIGINT.

    Args:
        app: the ASGI app.
        listener: the socket, from `listen`.
        ready: called with the server's URL once it answers.

    Returns:
        The exit code: 0 after SIGTERM, 130 after SIGINT, 1 when the app could not start.
    """
    try:
        import uvicorn
    except ImportError:
        raise MissingExtra(f"serving needs starlette and uvicorn: {install('serve')}") from None
    allow_connections()
    gc.set_threshold(_COLLECT_AFTER, *gc.get_threshold()[1:])
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )
    server = uvicorn.Server(config)
    # uvicorn's own would raise the signal again at the end, and the process would die of it.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign, assignment]
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        server.handle_exit(number, None)
        server.force_exit = len(received) > 1

    async def run() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, number)
        serving = loop.create_task(server.serve(sockets=[listener]))
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        if server.started:
            host, port = listener.getsockname()[:2]
            ready(f"http://{f'[{host}]' if ':' in host else host}:{port}/v1")
        await serving

    asyncio.run(run())
    if not received:
        return 1
    return 130 if received[0] == signal.SIGINT else 0
