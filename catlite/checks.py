"""Checks of numbers and folders that a person gives.

Each raises ConfigError, which says what was given and what is wanted.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catlite.errors import ConfigError


def whole_number(name: str, value: Any, least: int | None = 1, most: int | None = None, hint: str = "") -> int:
    """Return `value` when it is a whole number within these bounds; ConfigError otherwise.

    Args:
        name: how the value is called where it is given.
        value: what was given; True and 8.0 are no whole numbers.
        least: the smallest that will do, None for no limit; 1.
        most: the largest that will do; None for no limit.
        hint: how the message goes on, as in ", or None for all rows".

    Example:
        >>> whole_number("n", 8)
        8
    """
    whole = isinstance(value, int) and not isinstance(value, bool)
    if whole and (least is None or least <= value) and (most is None or value <= most):
        return int(value)
    bounds = "" if least is None else f" of at least {least}" if most is None else f" from {least} to {most}"
    raise ConfigError(f"{name}={value!r}: want a whole number{bounds}{hint}")


def positive(name: str, value: Any, unit: str = "", *, infinite: bool = False) -> None:
    """Raise ConfigError, which names the `unit`, unless `value` is a number above 0; `infinite` lets infinity pass."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not value > 0 or (value == math.inf and not infinite):
        raise ConfigError(f"{name}={value!r}: want a positive number{f' of {unit}' if unit else ''}")


def zero_or_more(name: str, value: Any, meaning: str = "") -> None:
    """Raise ConfigError, with the `meaning` of the value, unless it is a finite number of 0 or more."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value < math.inf:
        raise ConfigError(f"{name}={value!r}: want a finite number of 0 or more{f', {meaning}' if meaning else ''}")


def share(name: str, value: Any) -> None:
    """Raise ConfigError unless `value` is a share, a number from 0 to 1."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ConfigError(f"{name}={value!r}: want a share, from 0 to 1")


def weights(name: str, value: Any) -> None:
    """Raise ConfigError unless `value` maps names to finite numbers of 0 or more, one of them above 0; None passes."""
    if value is None:
        return
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise ConfigError(f'{name}={value!r:.60}: want a mapping from models to weights, such as {{"gpt-4o-mini": 2}}')
    for key, weight in value.items():
        number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not number or not 0 <= weight <= sys.float_info.max:
            raise ConfigError(f"{name}: the weight of {key!r} is {weight!r}: want a number of 0 or more")
    if not any(value.values()):
        raise ConfigError(f"{name}={value!r:.60}: want at least one weight above 0")


def folder(name: str, value: Any) -> Path:
    """Return the absolute path of a folder, which need not exist; ConfigError for what is no path, such as ""."""
    if not isinstance(value, str | Path) or not str(value).strip():
        raise ConfigError(f"{name}={value!r:.60}: want the path of a folder")
    return Path(value).expanduser().resolve()
