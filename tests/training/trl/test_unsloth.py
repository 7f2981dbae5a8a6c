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

from catlite.models.local import unsloth
from catlite.training import lora

SPEC = importlib.util.find_spec("unsloth")
# Installed, or as `make test` puts its source beside the environment: what it needs is gigabytes.
SOURCE = Path(SPEC.origin).parent if SPEC else Path(sys.prefix) / "unsloth-source" / "unsloth"
ZOO = SOURCE.parent / "unsloth_zoo"
needs_zoo = pytest.mark.skipif(not ZOO.exists(), reason="needs catlite[unsloth], or its source")
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


def zoo_function(file, name):
    """A function of Unsloth's second package: names of its parameters, and how many have no default."""
    tree = ast.parse((ZOO / file).read_text("utf-8"))
    (node,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    names = [argument.arg for argument in node.args.args]
    return names, len(names) - len(node.args.defaults)


def keywords(function, called):
    """Keywords with which the source of `function` calls FastLanguageModel's method of that name."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    (call,) = [node for node in calls if ast.unparse(node.func) == f"FastLanguageModel.{called}"]
    return {keyword.arg for keyword in call.keywords if keyword.arg}


def test_the_model_is_loaded_with_parameters_that_unsloth_has():
    used = keywords(unsloth.load, "from_pretrained")
    known, others = parameters("loader.py", "FastLanguageModel", "from_pretrained")
    assert {"max_seq_length", "load_in_4bit", "dtype", "fast_inference", "max_lora_rank"} <= used & known
    assert "gpu_memory_utilization" in used & known
    assert used <= known or others


def test_the_adapter_is_put_on_with_parameters_that_unsloth_has():
    known, _ = parameters("llama.py", "FastLlamaModel", "get_peft_model")
    used = keywords(lora.TrainablePolicy.add_adapter, "get_peft_model")
    settings = {"r", "lora_alpha", "lora_dropout", "bias", "target_modules", "layers_to_transform"}
    assert {"use_gradient_checkpointing", "random_state"} <= used
    assert used | settings <= known


def test_the_vllm_engine_is_where_we_look_for_it():
    assert "model.vllm_engine = llm" in (SOURCE / "models" / "llama.py").read_text("utf-8")
    loader = (SOURCE / "models" / "loader.py").read_text("utf-8")
    assert "will switch to Unsloth inference!" in loader  # in silence, but for what it prints
    # Its trainer turns use_vllm on, so that TRL's correction has to be off where rollouts are ours.
    assert "args.use_vllm = True" in (SOURCE / "models" / "rl.py").read_text("utf-8")


@needs_zoo
def test_the_adapter_is_handed_over_with_parameters_that_unsloth_has():
    names, required = zoo_function("vllm_utils.py", "load_lora")
    assert names[:2] == ["model", "save_directory"]
    assert "load_tensors" in names
    assert required == 2
    source = (ZOO / "vllm_utils.py").read_text("utf-8")
    assert "lora_tensors = state_dict" in source
    assert "LORA_REQUEST_ID += 1" in source  # a new request is a new adapter to vLLM


@needs_zoo
def test_compiled_kernels_are_kept_by_a_function_that_takes_nothing():
    assert zoo_function("compile_cache.py", "megacache_save") == ([], 0)


@needs_zoo
def test_unsloths_own_sources_go_where_the_environment_says():
    assert 'os.environ.get("UNSLOTH_COMPILE_LOCATION"' in (ZOO / "compiler.py").read_text("utf-8")
