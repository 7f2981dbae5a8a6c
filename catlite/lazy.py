"""Imports on first use: of a room's modules as its attributes, and of functions behind methods of the nouns.

`catlite.rewards.judge` needs no import of its own, and a repr costs nothing until it is asked for. Not lazy_loader's
`attach`, which wants a list of modules for every room; the public names of catlite use its stub.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from types import ModuleType
from typing import Any


def submodules(package: str) -> Callable[[str], ModuleType]:
    """Make a `__getattr__` for `package` that imports its modules on first use."""

    def load(name: str) -> ModuleType:
        full = f"{package}.{name}"
        if name.startswith("_") or importlib.util.find_spec(full) is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return importlib.import_module(full)

    return load


def calling(function: str) -> Callable[[Any], Any]:
    """Make a method out of `function`, "module.name", which is imported when the method is first called."""
    module, _, name = function.rpartition(".")

    def method(self: Any) -> Any:
        return getattr(importlib.import_module(module), name)(self)

    return method
