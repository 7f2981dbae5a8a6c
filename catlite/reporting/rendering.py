"""Pages out of the templates beside this module."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import jinja2

import catlite
from catlite.data import Prompt
from catlite.parts import previews
from catlite.text import count, dollars, usage_text, visible

IMAGE_BYTES = 8_000_000  # of small images on one page, beside its questions
TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: Any) -> str:
    """Fill in `template`, with the style that all pages share; all text is escaped."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"visible": visible, "count": count, "dollars": dollars, "usage": usage_text}
    environment.filters["number"] = _four_figures
    style = (TEMPLATES / "report.css").read_text("utf-8")
    return environment.get_template(template).render(version=catlite.__version__, style=style, **values)


def pictures(prompts: Iterable[Prompt]) -> list[list[dict[str, str]]]:
    """Make the images of each prompt small, as long as there is room on the page; further ones are only named."""
    room, of_prompts = IMAGE_BYTES, list(map(previews, prompts))
    for picture in (picture for of_prompt in of_prompts for picture in of_prompt):
        room -= len(picture.get("source", ""))
        if room < 0:
            picture.pop("source", None)
    return of_prompts


def finite(value: Any) -> Any:
    """Give `value`; None for an infinite number or nan."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _four_figures(value: Any) -> str:
    number = finite(value)
    known = isinstance(number, int | float) and not isinstance(number, bool)
    return f"{number:.4g}" if known else "–"
