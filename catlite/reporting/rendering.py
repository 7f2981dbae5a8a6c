"""Pages out of the templates beside this module."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import jinja2

import catlite
from catlite.text import count, dollars, usage_text, visible

TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, **values: Any) -> str:
    """Fill in `template`, with the style that all pages share; all text is escaped."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"visible": visible, "count": count, "dollars": dollars, "usage": usage_text}
    environment.filters["number"] = _four_figures
    style = (TEMPLATES / "report.css").read_text("utf-8")
    return environment.get_template(template).render(version=catlite.__version__, style=style, **values)


def finite(value: Any) -> Any:
    """Give `value`; None for an infinite number or nan."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _four_figures(value: Any) -> str:
    number = finite(value)
    known = isinstance(number, int | float) and not isinstance(number, bool)
    return f"{number:.4g}" if known else "–"
