"""Fills in a prompt file."""

from __future__ import annotations

import functools
import importlib.resources
import string


@functools.cache
def _template(name: str) -> string.Template:
    return string.Template(importlib.resources.files("catlite.prompts").joinpath(f"{name}.md").read_text("utf-8"))


def render(name: str, **fields: str) -> str:
    """`prompts/<name>.md` with every `$field` replaced, in one pass: a `$` in a filled-in text stays as it is."""
    return _template(name).substitute(fields).strip()
