"""Which models an estimator or a reward asks, as far as that can be seen: it says how long to wait for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from catlite.models.local import LocalModel


def models_of(part: object) -> list[Any]:
    """The models an estimator or a reward holds, those inside a wrapped one included."""
    found = []
    for value in getattr(part, "__dict__", {}).values():
        if hasattr(value, "sample") and hasattr(value, "name"):
            found.append(value)
        elif hasattr(value, "__dataclass_fields__"):
            found += models_of(value)
    return found


def asks_here_only(part: object) -> bool:
    """True for catlite's own estimators and rewards, where they hold no other models than weights in this process."""
    if isinstance(part, LocalModel | str | int | float | None):
        return True
    if isinstance(part, Mapping):
        return all(map(asks_here_only, part.values()))
    if isinstance(part, list | tuple):
        return all(map(asks_here_only, part))
    own = type(part).__module__.startswith("catlite.") and hasattr(part, "__dataclass_fields__")
    return own and all(map(asks_here_only, vars(part).values()))
