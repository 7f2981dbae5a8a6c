"""docs/twins.py: the API pages show a blocking twin as Python does."""

import inspect
from pathlib import Path

import pytest

import catlite

griffe = pytest.importorskip("griffe", reason="needs catlite[docs]")
ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", ["synthesize", "stream", "estimate", "evaluate", "judge", "compare", "scaling"])
def test_the_api_pages_read_a_blocking_twin_as_the_function_it_is(name):
    function = getattr(catlite, name)
    extensions = griffe.load_extensions(str(ROOT / "docs" / "twins.py"))
    shown = griffe.load(f"{function.__module__}.{name}", extensions=extensions, search_paths=[ROOT])
    assert isinstance(shown, griffe.Function)
    assert shown.docstring.value == inspect.getdoc(function)
    assert [parameter.name for parameter in shown.parameters] == list(inspect.signature(function).parameters)


def test_a_call_without_a_required_argument_names_the_function_and_shows_no_key():
    with pytest.raises(TypeError, match=r"^evaluate\(\) missing a required argument: 'task'") as caught:
        catlite.evaluate(policy="x", api_key="sk-hidden-1")
    frames = [frame.frame for frame in caught.traceback if "catlite" in str(frame.path)]
    assert not any("sk-hidden-1" in repr(frame.f_locals) for frame in frames if "tests" not in str(frame.code.path))
