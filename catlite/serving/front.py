"""The ASGI app: its paths, and what all requests share.

starlette is imported when an app is made. A client that hangs up cancels what it asked for; replies that have come are
kept and booked.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import catlite
from catlite.errors import ConfigError, MissingExtra
from catlite.extras import install
from catlite.models.base import Closes, Models
from catlite.models.http.keys import Secret, sealed
from catlite.runs import session
from catlite.runs.budget import Budget, Ledger
from catlite.serving.exchange import Exchange
from catlite.serving.gate import Gate, HungUp, Receive, Scope, Send, read_body, unless_gone
from catlite.serving.refusals import Refusal, busy, internal
from catlite.serving.settings import Settings, read_models
from catlite.text import visible

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
_logger = logging.getLogger("catlite.serving")


def app(
    models: Models | Mapping[str, Models],
    *,
    n: int = 8,
    answer_format: str | None = None,
    key: str | Secret | None = None,
    max_n: int = 64,
    max_tokens: int | None = None,
    max_requests: int = 128,
    max_body: int = 1_000_000,
    budget: Budget | None = None,
    run: str | Path | None = None,
    allow_origins: Sequence[str] = (),
) -> Starlette:
    """Make an ASGI app that answers OpenAI's chat completions, by itself or mounted in another app.

    `catlite serve` runs it on a port. The model `cat/<name>` is the synthesis of n rollouts of <name> (arXiv 2509.14234
    §3.1), `vote/<name>` their majority vote, `best/<name>` the rollout that a judge picks, and plain `<name>` is passed
    on as it is.

    Args:
        models: what is served: a model, a list of models, or a mapping from names to models.
        n: rollouts where a request does not say; 8.
        answer_format: how replies write a final answer where a request does not say, as in `synthesize`; None.
        key: what clients have to send as "Authorization: Bearer …"; None lets in whoever reaches the app on loopback.
        max_n: the most rollouts of a request; 64.
        max_tokens: the most tokens of one reply, and the limit where a request says none; None for no limit.
        max_requests: requests under way, beyond which a client is told to come back; 128.
        max_body: bytes of a request; 1,000,000. Images need more.
        budget: a hard cap on all requests together, or on `run` as a whole; needs max_tokens. None for none.
        run: a folder in which every rollout and reference is kept, and found when the same is asked again.
        allow_origins: web pages, as "http://localhost:3000", whose scripts may ask; none.

    Returns:
        The app. Where it is mounted, its lifespan has to be run by the outer app: see docs/serve.md.

    Raises:
        MissingExtra: without starlette.
        ConfigError: for a wrong setting.

    Example:
        >>> front = catlite.serving.app(["gpt-4o-mini"], max_tokens=1000)
        >>> outer = Starlette(routes=[Mount("/llm", front)], lifespan=front.router.lifespan_context)
    """
    key = sealed(key)
    try:
        from starlette.applications import Starlette
        from starlette.middleware import Middleware
        from starlette.middleware.cors import CORSMiddleware
        from starlette.routing import Mount, Route
    except ImportError:
        raise MissingExtra(f"serving needs starlette and uvicorn: {install('serve')}") from None
    served, own = read_models(models)
    if isinstance(allow_origins, str):
        raise ConfigError(f"allow_origins={allow_origins!r}: want a list of origins")
    origins = tuple(allow_origins)
    settings = Settings(
        served, own, n, answer_format, key, max_n, max_tokens, max_requests, max_body, budget, run, origins
    )
    front = Front(settings)
    cors = Middleware(CORSMiddleware, allow_origins=list(origins), allow_methods=["*"], allow_headers=["*"])
    routes = [
        Route("/chat/completions", front.complete, methods=["POST"]),
        Route("/models", front.list_models),
        Route("/models/{name:path}", front.show_model),
    ]
    return Starlette(
        routes=[
            Route("/health", front.health),
            Mount("/v1", routes=routes, middleware=[*([cors] if origins else []), Middleware(Gate, settings)]),
        ],
        lifespan=front.lifespan,
        exception_handlers={404: _no_such_path, 405: _no_such_path, 500: _failed},
    )


class Front:
    """The routes of one app, and what they share: the run, the budget, and how many requests are under way."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.under_way = 0
        self.session: session.Session | None = None
        self.complete = _Route(self._complete)

    @asynccontextmanager
    async def lifespan(self, _: Any) -> AsyncIterator[None]:
        """Open the run, and close it and what was made here at the end."""
        with session.open_run(self.settings.run, self.settings.budget):
            self.session = session.current()
            try:
                yield
            finally:
                for model in self.settings.own:
                    if isinstance(model, Closes):
                        await model.aclose()
                self.session = None

    async def health(self, _: Request) -> JSONResponse:
        """Say that the server is there, and how busy it is."""
        return _json({"status": "ok", "version": catlite.__version__, "under_way": self.under_way})

    async def list_models(self, _: Request) -> JSONResponse:
        """List every name that a request may ask for."""
        return _json({"object": "list", "data": [_model(name) for name in self.settings.names()]})

    async def show_model(self, request: Request) -> JSONResponse:
        """Show one model; 404 for a name that is not served."""
        name = request.path_params["name"]
        if name not in set(self.settings.names()):
            return _refused(
                Refusal(404, f"the model {name!r} is not served here", code="model_not_found", param="model")
            )
        return _json(_model(name))

    async def _complete(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a chat request; what it asks for is cancelled when the client hangs up."""
        started = time.monotonic()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        exchange = Exchange(self.settings, send, headers)
        full = self.under_way >= self.settings.max_requests
        self.under_way += not full  # from here on, so that the bodies of a crowd take no memory
        try:
            body = await read_body(receive, headers, self.settings.max_body, keep=not full)
            if full:
                raise busy(f"{self.settings.max_requests} requests are under way, the most at once: try again")
            with session.changed(store=self._current.store, ledger=self._current.ledger):
                await unless_gone(exchange.answer(body), receive)
        except Refusal as refusal:
            await exchange.refuse(refusal)
        except HungUp:
            return
        finally:
            self.under_way -= not full
        _logger.info("%s in %.1f s", visible(exchange.log), time.monotonic() - started)

    @property
    def _current(self) -> session.Session:
        """The run and the budget; an app mounted without its lifespan has no run."""
        if self.session is None:
            if self.settings.run is not None:
                raise RuntimeError("run= needs the app's lifespan: pass lifespan=front.router.lifespan_context")
            budget = self.settings.budget
            self.session = session.Session(ledger=None if budget is None else Ledger(budget))
        return self.session


class _Route:
    """An ASGI app, as starlette takes one for the endpoint of a route: a function would be given a Request."""

    def __init__(self, call: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.call(scope, receive, send)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "catlite"}


def _json(fields: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> JSONResponse:
    from starlette.responses import JSONResponse

    return JSONResponse(fields, status, headers)


def _refused(refusal: Refusal) -> JSONResponse:
    return _json(refusal.body, refusal.status, refusal.headers)


async def _no_such_path(request: Request, error: Exception) -> JSONResponse:
    path, status = request.url.path, getattr(error, "status_code", 404)
    message = f"{request.method} {path}: there are POST /v1/chat/completions, GET /v1/models and GET /health"
    return _refused(Refusal(status, message, code="unknown_url"))


async def _failed(_: Request, __: Exception) -> JSONResponse:
    return _json(internal(), 500)
