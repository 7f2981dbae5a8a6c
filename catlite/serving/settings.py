"""What a server has and what it allows: its models by name, the defaults of a request, and the limits on one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catlite import answers
from catlite.checks import whole_number
from catlite.errors import ConfigError
from catlite.models.base import Model, traits
from catlite.models.http.keys import Secret, check_key
from catlite.models.naming import resolve
from catlite.models.panel import Panel
from catlite.runs.budget import Budget, Ledger

WAYS = ("cat", "vote", "best")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#@]+")


@dataclass(frozen=True)
class Settings:
    """The settings of `app`, checked; `own` are the models that were made of names, and are closed at the end."""

    models: Mapping[str, Model]
    own: tuple[Model, ...]
    n: int
    answer_format: str | None
    key: Secret | None
    max_n: int
    max_tokens: int | None
    max_requests: int
    max_body: int
    budget: Budget | None
    run: str | Path | None
    allow_origins: tuple[str, ...]

    def __post_init__(self) -> None:
        whole_number("max_n", self.max_n)
        whole_number("n", self.n, most=self.max_n)
        whole_number("max_requests", self.max_requests)
        whole_number("max_body", self.max_body)
        if self.max_tokens is not None:
            whole_number("max_tokens", self.max_tokens)
        if self.answer_format is not None:
            answers.check_format(self.answer_format)
        check_key(self.key)
        for origin in self.allow_origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ConfigError(
                    f"allow_origins={origin!r}: want an origin as browsers send it, without a path or a slash at its "
                    "end: http://localhost:3000"
                )
        if self.budget is not None:
            ledger = Ledger(self.budget)
            for model in self.models.values():
                for member in model.members if isinstance(model, Panel) else (model,):
                    ledger.check(member.name, self.max_tokens, traits(member).price is not None)

    def names(self) -> Iterator[str]:
        """Give the names that a request may ask for."""
        for name in self.models:
            yield from (f"{way}/{name}" for way in WAYS)
            yield name


def read_models(models: Any) -> tuple[dict[str, Model], tuple[Model, ...]]:
    """Make the models to serve by name, and those of them that were made here.

    `models` is what `app` takes. Raises ConfigError for none, for a name twice, and for one that would read as a way of
    asking.
    """
    if isinstance(models, str | Model):
        models = [models]
    if isinstance(models, Mapping):
        pairs = list(models.items())
    elif isinstance(models, Sequence):
        pairs = [(model if isinstance(model, str) else model.name, model) for model in models]
    else:
        raise ConfigError(f"a server has models by name, or a list of them, not {type(models).__name__}")
    if not pairs:
        raise ConfigError("there is no model to serve: name at least one")
    served: dict[str, Model] = {}
    own: list[Model] = []
    for name, model in pairs:
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"the name of a model is {name!r}: want text")
        if isinstance(model, int):
            raise ConfigError(
                f'{name!r}: {model}: a panel is served under a name: {{"both": Panel({{{name!r}: {model}, …}})}}'
            )
        if name.split("/")[0] in WAYS:
            raise ConfigError(f"{name!r} begins like {name.split('/')[0]}/ of another model: serve it by another name")
        if name in served:
            raise ConfigError(f"{name!r} is served twice: give names, as in {{'first': Endpoint(…), 'second': …}}")
        served[name] = resolve(model)
        if served[name] is not model:
            own.append(served[name])
    return served, tuple(own)
