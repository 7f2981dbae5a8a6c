"""Griffe extension: `x = concurrency.blocking(ax, …)` is shown on the API pages as the function it is.

`x = iterating(ax)` as well, which returns an iterator.
"""

from __future__ import annotations

import re
from typing import Any

import griffe

from catlite.concurrency import blocking_docstring

MAKERS = ("catlite.concurrency.blocking", "catlite.emitting.iterating")


class BlockingTwins(griffe.Extension):
    """Puts a function in place of each attribute that `concurrency.blocking` made."""

    def on_module_members(self, *, mod: griffe.Module, **_: Any) -> None:
        """Copy the awaited function's signature and, in words for blocking calls, its docstring."""
        for name, member in list(mod.members.items()):
            value = member.value if isinstance(member, griffe.Attribute) else None
            if not isinstance(value, griffe.ExprCall) or value.canonical_path not in MAKERS:
                continue
            work = mod.members[f"a{name}"]
            assert isinstance(work, griffe.Function)
            assert work.docstring is not None
            returns = re.sub(r"AsyncGenerator\[(\w+), None\]", r"Generator[\1]", str(work.returns))
            twin = griffe.Function(
                name, parameters=work.parameters, returns=returns, lineno=work.lineno, endlineno=member.endlineno
            )
            text = blocking_docstring(work.docstring.value, name)
            twin.docstring = griffe.Docstring(text, lineno=work.docstring.lineno, parent=twin)
            mod.set_member(name, twin)
