"""One reply, asked for with parameters that not every model takes: a schema for its form, a temperature of its own.

What a model refuses is left out and asked again, and not sent to that model another time. Left out: learning across
processes.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

from catlite.data import Message, Rollout
from catlite.errors import RequestRejected
from catlite.models.base import Model

# How an error calls a parameter it refuses, where not by its name.
_CALLED = {"response_format": ("response_format", "schema", "structured output"), "top_logprobs": ("logprobs",)}

# By id, since a model need not be hashable; an entry goes with its model.
_models: weakref.WeakValueDictionary[int, Model] = weakref.WeakValueDictionary()
_refused: dict[int, set[str]] = {}


async def ask(model: Model, messages: Sequence[Message], preferred: Mapping[str, Any], **sampling: Any) -> Rollout:
    """One reply to `messages`, with those of the `preferred` parameters that `model` takes.

    Raises as `Model.sample` does, a refusal of anything not in `preferred` included.
    """
    refused = _known(model)
    while True:
        wanted = {name: value for name, value in preferred.items() if name not in refused}
        failure: RequestRejected
        try:
            return (await model.sample(list(messages), 1, **wanted, **sampling))[0]
        except RequestRejected as error:
            failure = error
        named = [name for name in wanted if any(word in str(failure) for word in _CALLED.get(name, (name,)))]
        if not named or failure.status == 404:
            raise failure
        refused.update(named)


def json_schema(name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A `response_format` that holds a reply to an object of these properties, all of them required, in this order."""
    inner = {"type": "object", "properties": dict(schema), "required": list(schema), "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": inner}}


def _known(model: Model) -> set[str]:
    """What `model` has refused; a set of its own for one that cannot be remembered."""
    if _models.get(id(model)) is not model:
        try:
            _models[id(model)] = model
        except TypeError:  # no weak references to it
            return set()
        _refused[id(model)] = set()
    return _refused[id(model)]
