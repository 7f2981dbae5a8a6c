"""Shared fixtures, and how the suite runs. `server` is real and local, `hurry` shortens the waits between retries."""

import os
from collections import Counter

import children
import hypothesis
import pytest
import tenacity
from server import Server

from catlite.models.http import retry, service

children.answer_interrupts()
# Workers that share the cores and each take all of them wait for one another more than they compute.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    threads = max(1, (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))
# The same examples in every run; `pytest --hypothesis-profile=default` looks for new ones.
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.load_profile("same")

# What takes longest begins first, so that no worker sits idle at the end (seconds on two cores, roughly).
LONGEST_FIRST = (
    "test_notebooks.py",
    "test_training.py",
    "test_docs.py",
)


def pytest_collection_modifyitems(items):
    """Tests of a file stay together, since they share its fixtures; each notebook is a piece of its own."""
    for item in items:
        group = item.nodeid if "runs_from_top_to_bottom" in item.name else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def pytest_terminal_summary(terminalreporter):
    """One line for every reason for which tests were skipped: a check that did not run is not a check that passed."""
    skipped = terminalreporter.stats.get("skipped", [])
    reasons = Counter(report.longrepr[2].removeprefix("Skipped: ") for report in skipped)
    for reason, count in sorted(reasons.items()):
        terminalreporter.write_line(f"skipped: {count} test{'s' * (count != 1)}: {reason}")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """No key, address or knowledge of servers from outside a test."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    service._known_servers.clear()


@pytest.fixture
def server():
    with Server(lambda body, i: f"answer {i}") as running:
        yield running


@pytest.fixture
def hurry(monkeypatch):
    monkeypatch.setattr(retry, "_backoff", tenacity.wait_random_exponential(multiplier=0.004, max=0.02))


@pytest.fixture
def file(tmp_path):
    """Writes a file of that name and content, and gives its path."""

    def write(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny language model, for tests that need catlite[train]."""
    pytest.importorskip("torch", reason="needs catlite[train]")
    from tiny import tiny_model

    return tiny_model(tmp_path_factory.mktemp("tiny"))
