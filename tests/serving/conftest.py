"""Apps in front of the local server: asked in this process, or served on a port by uvicorn in a thread."""

import asyncio
import contextlib
import json
import threading

import httpx
import pytest

from catlite import Endpoint, serving

pytest.importorskip("starlette", reason="needs catlite[serve]")
pytest.importorskip("uvicorn", reason="needs catlite[serve]")


@pytest.fixture
def endpoint(server):
    return Endpoint("test-model", base_url=server.url, api_key=server.key)


@pytest.fixture
def front(endpoint):
    """Makes an app in front of the local server."""

    def front(models=None, **settings):
        return serving.app([endpoint] if models is None else models, **settings)

    return front


@pytest.fixture
def post(front):
    """Posts a chat request to an app, by default one with no settings; gives the reply."""

    def post(fields, app=None, path="/v1/chat/completions", **settings):
        app = app or front()
        content = fields if isinstance(fields, bytes) else json.dumps(fields).encode()

        async def send():
            transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
            client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8484")
            async with app.router.lifespan_context(app), client:
                return await client.post(path, content=content, **settings)

        return asyncio.run(send())

    return post


@pytest.fixture
def served():
    """Serves an app on a port of 127.0.0.1 for a block; gives the URL."""
    import uvicorn

    @contextlib.contextmanager
    def served(app):
        from catlite.serving.process import listen

        listener = listen("127.0.0.1", 0)
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="on"))
        server.capture_signals = contextlib.nullcontext
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join(20)
            assert not thread.is_alive()

    return served
