"""README and docs: the site builds strictly, links lead somewhere, and examples run."""

import importlib.util
import inspect
import os
import re
import sys
from pathlib import Path
from urllib.parse import unquote

import children
import pytest
from server import Server

import catlite

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PYTHON = re.compile(r"(?:<!-- run: (\w+) -->\n)?^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
FENCED = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def examples():
    """(page, line, how to run it, code) for every Python block."""
    for page in PAGES:
        text = page.read_text("utf-8")
        for block in PYTHON.finditer(text):
            line = text.count("\n", 0, block.start(2)) + 1
            yield pytest.param(page, line, block[1], block[2], id=f"{page.stem}:{line}")


EXAMPLES = list(examples())


def runs(*kinds):
    return [example for example in EXAMPLES if example.values[2] in kinds]


def anchors(page):
    """The ids of a page's headings, made as Python-Markdown's toc makes them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", FENCED.sub("", page.read_text("utf-8")), re.MULTILINE):
        plain = re.sub(r"[^\w\s-]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)).strip().lower()
        found.add(re.sub(r"[-\s]+", "-", plain))
    return found | set(re.findall(r"^::: ([\w.]+)$", page.read_text("utf-8"), re.MULTILINE))


@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="needs catlite[docs]")
def test_site_builds_strictly_and_fetches_nothing(tmp_path):
    site = tmp_path / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = children.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|link|iframe)\b[^>]*?\b(?:src|href)=\"?(https?:[^\"\s>]+)", page.read_text()
        )
        assert loaded == [], page.name
    api = (site / "api.html").read_text("utf-8")
    for name in catlite.__all__:
        if inspect.ismodule(getattr(catlite, name)):
            continue
        assert re.search(rf'id="catlite\.(?:\w+\.)*{name}"', api), f"{name} is not on the API page"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_relative_links_lead_somewhere(page):
    for link in LINK.findall(FENCED.sub("", page.read_text("utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link} leads nowhere"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_lines_are_short(page):
    prose = FENCED.sub("", page.read_text("utf-8")).splitlines()
    # A row of a table, or a link, cannot be broken.
    assert [line for line in prose if len(line) > 110 and not line.startswith("|") and "](" not in line] == []


@pytest.mark.parametrize(("page", "line", "kind", "code"), EXAMPLES)
def test_example_compiles(page, line, kind, code):
    compile(code, f"{page.name}:{line}", "exec")
    assert kind in (None, "offline", "endpoint", "embedded")


@pytest.mark.parametrize(("page", "line", "kind", "code"), runs("offline"))
def test_offline_example_runs(page, line, kind, code, tmp_path):
    assert run(code, tmp_path)


@pytest.mark.parametrize(("page", "line", "kind", "code"), runs("embedded"))
def test_example_runs_on_the_embedded_model(page, line, kind, code, tmp_path):
    pytest.importorskip("xllamacpp", reason="needs catlite[local]")
    assert run(code, tmp_path)


@pytest.mark.parametrize(("page", "line", "kind", "code"), runs("endpoint"))
def test_endpoint_example_runs_against_a_server(page, line, kind, code, tmp_path):
    with Server(r"It is \boxed{42}.", models=None) as server:
        out = run(code, tmp_path, OPENAI_BASE_URL=server.url, OPENAI_API_KEY=server.key)
        assert r"It is \boxed{42}." in out
        assert server.requests


def run(code, folder, **environment):
    """What `code` prints as a script of its own."""
    script = folder / "example.py"
    script.write_text(code, "utf-8")
    done = children.run(
        [sys.executable, "-W", "error", str(script)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_test_that_the_page_on_faults_names_exists():
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", (ROOT / "docs" / "faults.md").read_text("utf-8"))
    assert len(named) > 30
    written = {file: next(Path(__file__).parent.rglob(file)).read_text("utf-8") for file, _ in named}
    assert [f"{file}::{test}" for file, test in named if f"def {test}(" not in written[file]] == []
