"""A missing extra names a command that works from where this catlite came."""

import importlib.metadata
import json
import os
import sys
from pathlib import Path

import children
import pytest

import catlite
from catlite import extras


class Installed:
    """The metadata of a catlite that is installed."""

    requires = ('numpy>=2; extra == "train"', "pandas>=2", 'torch>=2.8 ; extra == "train"', 'gguf; extra == "trainer"')

    def __init__(self, where=None):
        self.where = where

    def read_text(self, name):
        return None if self.where is None else json.dumps(self.where)


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Pretends that catlite was installed into site-packages, from `where`."""
    monkeypatch.setattr(extras, "__file__", str(tmp_path / "site-packages" / "catlite" / "extras.py"))

    def install(where=None):
        monkeypatch.setattr(importlib.metadata, "distribution", lambda name: Installed(where))
        return extras.install("train")

    return install


def test_a_checkout_names_itself():
    root = Path(catlite.__file__).resolve().parent.parent
    if not (root / "pyproject.toml").is_file():
        pytest.skip("this catlite is no checkout")
    assert extras.install("train") in (f"pip install -e {root}[train]", f"pip install -e '{root}[train]'")


def test_what_was_installed_from_a_checkout_names_that_checkout(installed, tmp_path):
    where = {"url": tmp_path.as_uri(), "dir_info": {}}
    assert installed(where) == f"pip install '{tmp_path}[train]'"


def test_what_was_installed_from_a_repository_names_its_commit(installed):
    where = {"url": "https://example.org/catlite.git", "vcs_info": {"vcs": "git", "commit_id": "abc123"}}
    assert installed(where) == "pip install 'catlite[train] @ git+https://example.org/catlite.git@abc123'"


@pytest.mark.parametrize(
    "where", [None, {"url": "file:///gone/catlite", "dir_info": {}}, {"url": "https://example.org/c.whl"}]
)
def test_what_came_from_elsewhere_names_the_packages_of_the_extra(installed, where):
    assert installed(where) == "pip install 'numpy>=2' 'torch>=2.8'"


def test_a_catlite_without_metadata_speaks_of_a_checkout(monkeypatch, tmp_path):
    monkeypatch.setattr(extras, "__file__", str(tmp_path / "catlite" / "extras.py"))
    monkeypatch.setattr(importlib.metadata, "distribution", _nothing)
    assert extras.install("train") == "pip install '.[train]', in a checkout of catlite"


def _nothing(name):
    raise importlib.metadata.PackageNotFoundError(name)


def test_the_base_of_catlite_needs_no_scipy(tmp_path):
    """It was a fifth of the install; the two figures that came from it have the values it gave."""
    (tmp_path / "scipy.py").write_text("raise ImportError('not in the base')")
    code = (
        "import numpy as np\n"
        "from catlite.analysis.comparing import _welch\n"
        "from catlite.analysis.agreement import spearman\n"
        "x, y = np.array([0.2, 0.5, 1.0, 1.0, 0.1]), np.array([0.9, 0.7, 1.0, 1.0, 0.6])\n"
        "print(_welch(x, y), _welch(np.ones(4), np.array([1.0, 0, 1, 0])))\n"
        "print(spearman([(1, 2), (2, 1), (2, 4), (5, 3)]))"
    )
    done = children.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{Path(catlite.__file__).parent.parent}"},
    )
    (p, flat), (rho,) = (map(float, line.split()) for line in done.stdout.splitlines())
    assert p == pytest.approx(0.23173031, abs=1e-7)
    assert flat == pytest.approx(0.18169011, abs=1e-7)
    assert rho == pytest.approx(0.31622777, abs=1e-7)
