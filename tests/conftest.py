"""Shared fixtures. `server` is real and local; `hurry` makes the waits between retries short."""

import pytest
import tenacity
from server import Server

from catlite.models import endpoint, retry


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """No key, address or knowledge of servers from outside a test."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE"):
        monkeypatch.delenv(name, raising=False)
    endpoint._known_servers.clear()


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
