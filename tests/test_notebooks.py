"""Notebooks run from top to bottom in a clean kernel, on the embedded model, and are committed without outputs."""

import os
import re
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat", reason="needs catlite[dev]")
pytest.importorskip("ipykernel", reason="needs catlite[notebooks]")
pytest.importorskip("matplotlib", reason="needs catlite[notebooks]")
pytest.importorskip("xllamacpp", reason="needs catlite[local]")
pytest.importorskip("trl", reason="needs catlite[train]")

NOTEBOOKS = sorted(Path(__file__).parents[1].glob("notebooks/*.ipynb"))
MACHINE = re.compile(r"/(?:home|root|work|Users|tmp)/|[A-Z]:\\\\Users")


def execute(notebook, folder, scratch):
    """`notebook` with outputs, run by this interpreter's own ipykernel, whatever kernels the user has installed."""
    from jupyter_client.kernelspec import KernelSpecManager
    from jupyter_client.manager import AsyncKernelManager
    from nbclient import NotebookClient

    class OwnKernel(AsyncKernelManager):
        def __init__(self, **settings):
            specs = KernelSpecManager(kernel_dirs=[], ensure_native_kernel=True)
            # Histories and connection files stay out of the user's home; the weights' cache is meant to be shared.
            super().__init__(**settings, kernel_spec_manager=specs, connection_file=str(scratch / "kernel.json"))

    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        kernel_manager_class=OwnKernel,
        resources={"metadata": {"path": str(folder)}},
    )
    return client.execute(env={**os.environ, "IPYTHONDIR": str(scratch / "ipython")})


@pytest.mark.filterwarnings("default")  # what the libraries of the kernel's client warn about is not ours
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_from_top_to_bottom(path, tmp_path):
    done = execute(nbformat.read(path, as_version=4), path.parent, tmp_path)
    code = [cell for cell in done.cells if cell.cell_type == "code"]
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    # All cells but the one that installs have something to show.
    assert [cell.id for cell in code if not cell.outputs] == ["install"]
    noise = [output.text for output in outputs if output.get("name") == "stderr"]
    assert all("the embedded model" in text for text in noise), noise  # fetched, or made trainable, once
    if path.stem[:2] in ("04", "05"):
        said = {cell.id: "".join(output.get("text", "") for output in cell.outputs) for cell in code}
        assert said["profile"].startswith("tiny profile")
        assert "all 2 steps were made" in said["train"]
        assert any(
            "image/png" in output.get("data", {}) for cell in code if cell.id == "plot" for output in cell.outputs
        )
        return
    if path.stem == "06_unsloth_notebook":
        said = {cell.id: "".join(output.get("text", "") for output in cell.outputs) for cell in code}
        assert said["model"].startswith("tiny profile")
        assert said["look"].count("reference: ") == 2
        return
    if path.stem == "07_is_it_learning":
        shown = {cell.id: [output.get("data", {}) for output in cell.outputs][-1] for cell in code if cell.outputs}
        said = {cell.id: "".join(output.get("text", "") for output in cell.outputs) for cell in code}
        assert said["profile"].startswith("tiny profile")
        assert said["train"].count("all 2 steps were made") == 3
        assert "flips have risen and fallen" in said["flips"]
        assert "image/png" in shown["plot"]
        assert "What the gain of a single sample is made of" in shown["compare"]["text/html"]
        assert shown["changes"]["text/plain"].count("by_chance") == 1
        assert shown["changes"]["text/plain"].count("lost") == 3
        assert "names the first number" in shown["rule"]["text/plain"]
        return
    if path.stem == "01_synthesize":
        shown = {cell.id: [output.get("data", {}) for output in cell.outputs] for cell in code}
        assert "<details>" in shown["synthesize"][-1]["text/html"]
        assert "<table" in shown["evaluate"][-1]["text/html"]
        assert "image/png" in shown["plot"][-1]
        assert next(cell for cell in code if cell.id == "endpoint").outputs[0].text.startswith("Skipped")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_committed_without_outputs(path):
    text = path.read_text("utf-8")
    notebook = nbformat.reads(text, as_version=4)
    nbformat.validate(notebook)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert (cell.outputs, cell.execution_count) == ([], None)
            assert "execution" not in cell.metadata
    assert set(notebook.metadata) <= {"kernelspec", "language_info"}
    assert notebook.metadata.kernelspec.name == "python3"
    assert not MACHINE.search(text)


def test_there_are_notebooks():
    assert NOTEBOOKS
