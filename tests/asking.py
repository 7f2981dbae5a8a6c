"""How the tests of endpoints ask their server."""

from catlite import Endpoint, concurrency

QUESTION = "What is six times seven?"


def on(server, **settings):
    defaults = {"base_url": server.url, "api_key": server.key, "timeout": 60.0, "retry_seconds": 60.0}
    return Endpoint("test-model", **{**defaults, **settings})


def ask(server, n=1, *, prompt=QUESTION, settings=(), **sampling):
    with on(server, **dict(settings)) as endpoint:
        return concurrency.run(endpoint.sample(prompt, n, **sampling))


def asked(server):
    """n of each completion asked for; 1 where it was not sent."""
    return [request.body.get("n", 1) for request in server.requests]
