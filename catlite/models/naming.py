"""How a model is named: its name, address and key become a Model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from catlite.errors import ConfigError
from catlite.models.base import Closes, Model, Models, shown_name
from catlite.models.http.keys import BaseURL as BaseURL, Secret as Secret, sealed as sealed, sealed_url as sealed_url
from catlite.models.named import named
from catlite.models.panel import Panel


class _Unnamed(str):
    """The name of the model that is taken where nobody names one."""

    __slots__ = ()


UNNAMED: str = _Unnamed("local")
_NOTE = (
    "no model was named, so this is the embedded one (SmolLM2, 135 million parameters), which shows how it works and "
    'is often wrong: name yours with model="…"'
)


def called(model: Models) -> str:
    """Name a model in a sentence."""
    if isinstance(model, _Unnamed):
        return "the embedded model (name one with model=)"
    if isinstance(model, Mapping | list | tuple):
        names = (member[0] if isinstance(member, tuple) and member else member for member in model)
        return f"panel of {' + '.join(map(called, names))}"
    return shown_name(model) if isinstance(model, Model) else str(model)


def notes_on(model: Models) -> tuple[str, ...]:
    """Say which model was taken where nobody named one."""
    return (_NOTE,) if isinstance(model, _Unnamed) else ()


def resolve(model: Models, *, base_url: BaseURL = None, api_key: str | Secret | None = None) -> Model:
    """Make a Model from what a user names: "local", a bare name, "provider/name", a Model, or several for a Panel."""
    if isinstance(model, str):
        return named(model, base_url, api_key)
    if isinstance(model, Mapping | list | tuple):
        return Panel(model, base_url=base_url, api_key=api_key)
    if isinstance(model, type):
        raise ConfigError(
            f"a model is a string or an object, and {model.__name__} is a class: write {model.__name__}(…)"
        )
    if not isinstance(model, Model):
        raise ConfigError(f"a model is a string or an object with .name and .sample(), not {type(model).__name__}")
    if base_url is not None or api_key is not None:
        raise ConfigError("base_url= and api_key= go with a model's name: a Model object already has its own")
    return model


@asynccontextmanager
async def opened(model: Models, base_url: BaseURL = None, api_key: str | Secret | None = None) -> AsyncIterator[Model]:
    """Yield the Model of that name, or the one given; one that was made here is closed at the end of the block."""
    resolved = resolve(model, base_url=base_url, api_key=api_key)
    try:
        yield resolved
    finally:
        if resolved is not model and isinstance(resolved, Closes):
            await resolved.aclose()
