"""What mkdocs does for this manual beyond its plugins: notebooks become pages, and the search leaves out source code.

A notebook's page is made of its source alone, so nothing runs and nothing is paid for while the manual is built. The
pictures that docs/pictures.py takes stand below the cells that show such a thing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PICTURES = {  # by notebook and cell
    ("01_synthesize", "synthesize"): ("card", "shows", "A reference as a card, with its rollouts"),
    ("02_compare_estimators", "page"): ("report", "writes, for other questions,", "Scores, intervals and plots"),
    ("03_healthbench_rubrics", "audit"): ("matrix", "shows, for other answers,", "Criteria, responses and verdicts"),
}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add a page for each notebook."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=notebook_page(path)))
    return files


def on_page_content(html: str, **_: Any) -> str:
    """Hide the folded source code from the search, which would otherwise find little else."""
    return html.replace(
        '<details class="mkdocstrings-source">', '<details class="mkdocstrings-source" data-search-exclude>'
    )


def notebook_page(path: Path) -> str:
    """Write a notebook's cells as Markdown, with its file's name below the heading."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    texts = [_cell_text(path.stem, cell) for cell in cells if cell["id"] != "install"]
    heading, _, rest = texts[0].partition("\n")
    return "\n\n".join([heading, f"*The notebook is `notebooks/{path.name}`.*", rest.strip(), *texts[1:]])


def _cell_text(notebook: str, cell: dict[str, Any]) -> str:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    text = f"```python\n{source}\n```"
    name, verb, alt = PICTURES.get((notebook, cell["id"]), ("", "", ""))
    return f"{text}\n\nThis cell {verb} something like this:\n\n![{alt}](../pictures/{name}.png)" if name else text
