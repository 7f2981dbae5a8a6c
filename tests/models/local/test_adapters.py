"""Adapters from disk: which replies belong to which, and which cannot be taken off again."""

import json

import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
peft = pytest.importorskip("peft", reason="needs catlite[train]")

from catlite import LocalModel, concurrency  # noqa: E402
from catlite.errors import ConfigError  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # what torch and its friends warn about is not ours


def saved_adapter(base, folder, changed="", **settings):
    """Write a LoRA adapter for the model in `base` that differs by seed where a name holds `changed`."""
    from transformers import AutoModelForCausalLM

    torch.manual_seed(0)
    config = peft.LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj"], **settings)
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    for name, value in model.named_parameters():
        if value.requires_grad:
            value.data += 0.5 * torch.randn_like(value) + (1.0 if changed and changed in name else 0.0)
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("settings", "changed"),
    [({}, "lora_B"), ({"modules_to_save": ["lm_head"]}, "lm_head"), ({"trainable_token_indices": [97, 98]}, "tokens")],
    ids=["low ranks", "a whole module", "tokens"],
)
def test_adapters_that_differ_anywhere_do_not_share_replies(folder, tmp_path, settings, changed):
    first, second, same = (
        LocalModel(folder, adapter=saved_adapter(folder, tmp_path / name, part, **settings))
        for name, part in (("first", ""), ("second", changed), ("same", ""))
    )
    assert first._weights_address() == same._weights_address()
    assert first._weights_address() != second._weights_address()
    scores = [concurrency.run(model.frozen().logprobs("Say 1", "a text")) for model in (first, LocalModel(folder))]
    assert scores[0] == scores[1]


@pytest.mark.parametrize(("name", "value"), [("bias", "all"), ("peft_type", "PROMPT_TUNING")])
def test_an_adapter_that_cannot_be_taken_off_is_refused(folder, tmp_path, name, value):
    file = saved_adapter(folder, tmp_path) / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), name: value}))
    with pytest.raises(ConfigError, match=f"has {name}='{value}': want a LoRA adapter"):
        LocalModel(folder, adapter=tmp_path)
    file.write_text("{")
    with pytest.raises(ConfigError, match=r"adapter_config\.json cannot be read"):
        LocalModel(folder, adapter=tmp_path)


@pytest.mark.parametrize("other", ["of another size", "without such a layer"])
def test_an_adapter_of_another_model_is_refused_by_name(folder, tmp_path, other):
    saved_adapter(folder, tmp_path)
    file = tmp_path / "adapter_config.json"
    changed = {"r": 3} if other == "of another size" else {"target_modules": ["query_key_value"]}
    file.write_text(json.dumps({**json.loads(file.read_text()), **changed}))
    with pytest.raises(ConfigError, match=f"adapter='{tmp_path}' cannot be put on LocalModel.*may belong to another"):
        concurrency.run(LocalModel(folder, adapter=tmp_path).logprobs("Say 1", "a text"))
