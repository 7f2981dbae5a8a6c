"""What loads on first use: modules of a room as its attributes, and functions behind methods of the nouns.

`catlite.rewards.judge` needs no import of its own, and a repr costs nothing until it is asked for.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from types import ModuleType
from typing import Any


def submodules(package: str) -> Callable[[str], ModuleType]:
    """A `__getattr__` for `package`: its modules load on first use, and it has no other names to give."""

    def load(name: str) -> ModuleType:
        full = f"{package}.{name}"
        if name.startswith("_") or importlib.util.find_spec(full) is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return importlib.import_module(full)

    return load


def calling(function: str) -> Callable[[Any], Any]:
    """A method that gives what `function`, "module.name", makes of the object; imported when it is first called."""
    module, _, name = function.rpartition(".")

    def method(self: Any) -> Any:
        return getattr(importlib.import_module(module), name)(self)

    return method
