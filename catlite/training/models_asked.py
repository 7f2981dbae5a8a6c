"""Whether an estimator or a reward asks models elsewhere, as far as can be seen: then it is waited for in a bound."""

from __future__ import annotations

from collections.abc import Mapping

from catlite.models.local.model import LocalModel


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
