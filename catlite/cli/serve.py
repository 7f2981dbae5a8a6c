"""`catlite serve`: an OpenAI-compatible server in front of models."""

from __future__ import annotations

import argparse
import logging
import os
import sys

import catlite
from catlite.cli import options
from catlite.errors import ConfigError
from catlite.models.base import Model
from catlite.models.http.keys import sealed
from catlite.runs.session import open_run
from catlite.serving import process
from catlite.text import visible

_KEY = "CATLITE_SERVE_KEY"


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(
        commands,
        "serve",
        _serve,
        summary="serve models with synthesis, vote and best of n to any OpenAI client",
        description=(
            "Serves chat completions as OpenAI does. A client asks for cat/MODEL (n rollouts and their synthesis), "
            "vote/MODEL (their majority), best/MODEL (the one a judge picks), or MODEL, which is passed on. "
            f"The key that clients have to send is {_KEY} of the environment."
        ),
        examples="""
            catlite serve gpt-4o-mini
            catlite serve Qwen/Qwen3-4B --base-url http://localhost:8000/v1 \\
                --port 8080 --n 8 --answer-format boxed
            catlite serve gpt-4o-mini anthropic/claude-haiku-4-5 --panel both \\
                --run runs/serve --max-tokens 1000 --budget-usd 5
        """,
    )
    named = '"local", a name that your endpoint serves, or provider/name through litellm'
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"what to serve: {named} (default: local)")
    served = f"where the models are served, {options.SUCH_AS}"
    options.add_option(parser, "--base-url", "URL", served, action=options.Gather)
    options.add_option(parser, "--panel", "NAME", "also serve all MODELs as one panel of this name")
    options.add_option(parser, "--host", "HOST", "the address to listen on (default: 127.0.0.1)", default="127.0.0.1")
    options.add_option(parser, "--port", "N", "the port; 0 takes a free one (default: 8484)", default=8484)
    options.add_option(parser, "--n", "N", "rollouts where a request does not say (default: 8)", default=8)
    options.add_answer_format(parser)
    options.add_option(parser, "--max-n", "N", "the most rollouts of a request (default: 64)", default=64)
    options.add_option(parser, "--max-tokens", "N", "the most tokens of a reply, also where a request does not say")
    options.add_option(parser, "--max-requests", "N", "requests under way at once (default: 128)", default=128)
    options.add_option(parser, "--max-body", "N", "bytes of a request (default: 1000000)", default=1_000_000)
    options.add_run(parser)
    parser.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        dest="allow_origins",
        help="a web page that may ask, such as http://localhost:3000; may be repeated",
    )


def _serve(arguments: argparse.Namespace) -> int:
    key = sealed(os.environ.get(_KEY))
    process.check_host(arguments.host, has_key=key is not None)
    names = arguments.models or ["local"]
    models: dict[str, Model] = {}
    for name in names:
        where = None if name == "local" and len(names) > 1 else arguments.base_url
        models[name] = options.endpoint(name, where, arguments.max_connections)
    if arguments.panel in models:
        raise ConfigError(f"--panel {arguments.panel}: a model that is served has this name: choose another one")
    if arguments.panel is not None:
        models[arguments.panel] = catlite.Panel(list(models.values()))
    caps = arguments.budget_usd, arguments.budget_tokens, arguments.budget_requests
    taken = ("n", "answer_format", "max_n", "max_tokens", "max_requests", "max_body", "allow_origins")
    app = catlite.serving.app(
        models,
        key=key,
        budget=None if caps == (None, None, None) else catlite.Budget(*caps),
        **{name: getattr(arguments, name) for name in taken},
    )
    log = logging.getLogger("catlite.serving")
    log.addHandler(handler := logging.StreamHandler(sys.stderr))
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.setLevel(logging.INFO)

    def say(url: str) -> None:
        print(f"catlite: serving {visible(', '.join(models))} at {url}; Ctrl-C ends it", file=sys.stderr, flush=True)

    try:
        with open_run(arguments.run):  # which the app has in force; its errors come before the server
            return process.serve(app, process.listen(arguments.host, arguments.port), say)
    finally:
        log.removeHandler(handler)
