"""Our calls into Unsloth fit the signatures in the package's source, which is read and not imported.

Unsloth's CPU mode cannot load a model (it asks CUDA for the device's properties), so nothing of it runs here.
"""

import ast
import importlib.util
import inspect
import sys
import textwrap
from pathlib import Path

import pytest

from catlite.models.local import loading
from catlite.training import lora

SPEC = importlib.util.find_spec("unsloth")
# Installed, or as `make test` puts its source beside the environment: what it needs is gigabytes.
SOURCE = Path(SPEC.origin).parent if SPEC else Path(sys.prefix) / "unsloth-source" / "unsloth"
pytestmark = pytest.mark.skipif(not SOURCE.exists(), reason="needs catlite[unsloth], or its source")


def parameters(file, owner, name):
    """Names of the parameters of a method in Unsloth's source, and whether it takes any others."""
    tree = ast.parse((SOURCE / "models" / file).read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == owner:
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name == name:
                    arguments = method.args
                    named = {one.arg for one in (*arguments.args, *arguments.kwonlyargs)}
                    return named, arguments.kwarg is not None
    raise AssertionError(f"{owner}.{name} is not in {file}")


def keywords(function, called):
    """Keywords with which the source of `function` calls FastLanguageModel's method of that name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    (call,) = [node for node in calls if ast.unparse(node.func) == f"FastLanguageModel.{called}"]
    return {keyword.arg for keyword in call.keywords if keyword.arg}


def test_the_model_is_loaded_with_parameters_that_unsloth_has():
    used = keywords(loading.Weights._with_unsloth, "from_pretrained")
    known, others = parameters("loader.py", "FastLanguageModel", "from_pretrained")
    assert {"max_seq_length", "load_in_4bit", "dtype", "fast_inference"} <= used & known
    assert used <= known or others


def test_the_adapter_is_put_on_with_parameters_that_unsloth_has():
    known, _ = parameters("llama.py", "FastLlamaModel", "get_peft_model")
    used = keywords(lora.TrainablePolicy.add_adapter, "get_peft_model")
    settings = {"r", "lora_alpha", "lora_dropout", "bias", "target_modules", "layers_to_transform"}
    assert {"use_gradient_checkpointing", "random_state"} <= used
    assert used | settings <= known
