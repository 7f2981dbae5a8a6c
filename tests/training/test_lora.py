"""What the policy is made of for training: which layers get LoRA, in what precision, on how many devices."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
pytest.importorskip("trl", reason="needs catlite[train]")

from catlite import LocalModel, TrainConfig  # noqa: E402
from catlite.errors import MissingExtra  # noqa: E402
from catlite.models.local import loading  # noqa: E402
from catlite.training import lora  # noqa: E402
from catlite.training.lora import TrainablePolicy  # noqa: E402
from catlite.training.trl.settings import trl_arguments  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # what torch and its friends warn about is not ours


@pytest.fixture(scope="module")
def seeing():
    """A model with a tower for images beside its language model, as Gemma 3 has from 4 billion parameters on."""
    from transformers import Gemma3Config, Gemma3ForConditionalGeneration

    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    text = {**size, "num_key_value_heads": 1, "head_dim": 8, "vocab_size": 300}
    config = Gemma3Config(
        text_config=text, vision_config={**size, "image_size": 28, "patch_size": 14}, mm_tokens_per_image=4
    )
    return Gemma3ForConditionalGeneration(config)


def trained_layers(model, share=1.0):
    from peft import LoraConfig, get_peft_model

    wrapped = get_peft_model(model, LoraConfig(**lora.lora_settings(model, 4, share)))
    names = {name.partition(".lora_")[0] for name, _ in wrapped.named_parameters() if "lora_" in name}
    wrapped.unload()
    return names


def test_an_image_tower_gets_no_adapter(seeing):
    names = trained_layers(seeing)
    assert len(names) == 2 * 7  # layers × (four of attention, three of the MLP)
    assert all(".language_model.layers." in name for name in names)
    assert {name for name in trained_layers(seeing, share=0.5) if ".layers.0." in name} == set()


def test_a_model_of_text_alone_is_told_by_the_names_of_its_layers_only(folder):
    settings = lora.lora_settings(LocalModel(folder).model, 4, 1.0)
    assert settings["target_modules"] == ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
    assert "exclude_modules" not in settings


@pytest.mark.parametrize(
    ("dtype", "imitates", "expected"),
    [
        ("bfloat16", False, {"bf16": True, "fp16": False}),
        ("float32", False, {"bf16": True, "fp16": False}),
        ("float16", False, {"bf16": False, "fp16": True}),
        ("bfloat16", True, {"bf16": False, "fp16": True}),
    ],
)
def test_the_trainer_computes_in_the_precision_of_the_weights(folder, monkeypatch, dtype, imitates, expected):
    monkeypatch.setattr(lora, "has_bfloat16", lambda: not imitates)
    policy = TrainablePolicy(LocalModel(folder, dtype=dtype), TrainConfig())
    for on_gpu, precision in ((True, expected), (False, {"bf16": False, "fp16": False})):
        policy.on_gpu = on_gpu
        assert policy.precision == precision


@pytest.mark.parametrize(("capability", "has"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_gpu_before_ampere_only_imitates_bfloat16(monkeypatch, capability, has):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    assert loading.has_bfloat16() is has


@pytest.mark.parametrize(("capability", "expected"), [("AVX2", torch.float32), ("AVX512", torch.bfloat16)])
def test_a_cpu_that_only_imitates_bfloat16_computes_in_float32(folder, tmp_path, monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    stored = LocalModel(folder, dtype="bfloat16")
    stored.model.save_pretrained(tmp_path)
    stored.tokenizer.save_pretrained(tmp_path)
    assert LocalModel(tmp_path).model.dtype == expected
    assert LocalModel(tmp_path, dtype="bfloat16").model.dtype == torch.bfloat16


def test_one_gpu_is_taken_where_several_are_in_sight():
    @dataclass
    class Arguments:
        n_gpu: int = 4

    assert trl_arguments(Arguments, {}, {})._n_gpu == 1


@pytest.mark.parametrize(("local", "gpus", "number"), [(None, 4, 0), ("3", 4, 3), ("3", 1, 0)])
def test_each_process_on_a_machine_has_a_gpu_of_its_own(monkeypatch, local, gpus, number):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    if local is not None:
        monkeypatch.setenv("LOCAL_RANK", local)
    assert loading.own_gpu() == number


def test_four_bits_without_their_library_name_the_extra(folder):
    pytest.importorskip("accelerate")
    if loading.importlib.util.find_spec("bitsandbytes"):
        pytest.skip("bitsandbytes is here")
    with pytest.raises(MissingExtra, match="bitsandbytes"):
        _ = LocalModel(folder, load_in_4bit=True).model


def test_an_adapter_in_bfloat16_is_no_match_for_the_scaler_of_float16(folder):
    model = torch.nn.Linear(2, 2).to(torch.bfloat16)
    model.bias.requires_grad_(False)
    policy = TrainablePolicy(LocalModel(folder), TrainConfig())
    accelerator = SimpleNamespace(unwrap_model=lambda model: model)
    for fp16, expected in ((False, torch.bfloat16), (True, torch.float32)):
        policy.adopt(SimpleNamespace(args=SimpleNamespace(fp16=fp16), model=model, accelerator=accelerator))
        assert policy.local.model is model
        assert (model.weight.dtype, model.bias.dtype) == (expected, torch.bfloat16)


def test_a_run_says_in_what_precision_auto_was_loaded(folder, monkeypatch):
    said = []
    for has in (True, False):
        monkeypatch.setattr(loading, "has_bfloat16", lambda has=has: has)
        said.append(TrainablePolicy(LocalModel(folder), TrainConfig()).digest.partition(", ")[2])
    assert said == ["", "dtype=float32"]
