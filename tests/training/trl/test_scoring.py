"""A prompt that is read once gives the log-probabilities and gradients of TRL's own way."""

import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
pytest.importorskip("trl", reason="needs catlite[train]")
from trainings import adapter_of, newer_trl, small, trained  # noqa: E402

from catlite import LocalModel  # noqa: E402
from catlite.training.trl import scoring  # noqa: E402
from catlite.training.trl.scoring import Scorer  # noqa: E402

pytestmark = [newer_trl, pytest.mark.filterwarnings("default")]  # what torch and its friends warn about is not ours
PAD, SCORED = 257, 5


@pytest.fixture
def model(folder):
    """The tiny model as TRL's trainer makes it, with an adapter that does something."""
    from peft import LoraConfig, get_peft_model
    from trl.trainer import utils

    inner = LocalModel(folder).model
    utils.add_fused_lm_head(inner, temperature=0.7, outputs=("log_probs", "entropy"))
    wrapped = get_peft_model(
        inner, LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "v_proj", "down_proj"])
    )
    torch.manual_seed(3)
    for name, value in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.1)
    return wrapped.train()


def batch(*rows):
    """Rows of (prompt, completion), as TRL lays them out: prompts padded on the left, completions on the right."""
    before = max(len(prompt) for prompt, _ in rows)
    after = max(len(completion) for _, completion in rows)
    ids, mask = [], []
    for prompt, completion in rows:
        left, right = before - len(prompt), after - len(completion)
        ids.append([PAD] * left + prompt + completion + [PAD] * right)
        mask.append([0] * left + [1] * (len(prompt) + len(completion)) + [0] * right)
    ids, mask = torch.tensor(ids), torch.tensor(mask)
    labels = ids.masked_fill(mask == 0, -100)
    labels[:, :-after] = -100
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def learned(model, given, *, share=False):
    """(log-probabilities, entropies, gradients) of one step."""
    model.zero_grad()
    found = Scorer(model, 0.7, share_prompts=share)(**given, fused_lm_head=True)
    weights = torch.linspace(-1, 1, found.log_probs.numel()).view_as(found.log_probs)
    (found.log_probs * weights).sum().backward()
    grads = {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}
    return found.log_probs.detach(), found.entropy.detach(), grads


ONE, OTHER = list(b"What is two times ten?"), list(b"And three?")


@pytest.mark.parametrize(
    "rows",
    [
        [(ONE, [1, 2, 3]), (ONE, [4]), (ONE, [5, 6, 7, 8])],
        [(ONE, [1, 2, 3]), (OTHER, [4]), (ONE, [5, 6]), (OTHER, [7, 8, 9, 10])],
        [(ONE, [1, 2]), (ONE, [1, 2])],
    ],
    ids=["a group", "two groups, padded", "equal rollouts"],
)
def test_the_same_numbers_and_gradients_from_fewer_tokens(model, rows):
    given = batch(*rows)
    read = []
    embedding = model.get_input_embeddings()
    embedding.register_forward_hook(lambda module, inputs, output: read.append(inputs[0].numel()))
    plain = learned(model, given)
    tokens, read[:] = sum(read), []
    shared = learned(model, given, share=True)
    assert sum(read) < 0.7 * tokens
    for one, other in zip(plain[:2], shared[:2], strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    assert set(plain[2]) == set(shared[2])
    for name, gradient in plain[2].items():
        torch.testing.assert_close(gradient, shared[2][name], atol=1e-5, rtol=1e-3)
    assert max(gradient.abs().max() for gradient in shared[2].values()) > 1e-3


def test_the_prompts_own_part_of_the_gradient_is_in_it(model, monkeypatch):
    """Without it the rollouts would be trained as if the prompt were read by a frozen model."""
    given = batch((ONE, [1, 2, 3]), (ONE, [4, 5]))
    whole = learned(model, given, share=True)[2]

    def detached(cache):
        for layer in cache.layers:
            layer.keys, layer.values = layer.keys.detach(), layer.values.detach()
        return True

    monkeypatch.setattr(scoring, "_keys_and_values", detached)
    part = learned(model, given, share=True)[2]
    assert any(not torch.allclose(whole[name], part[name], rtol=1e-2) for name in whole)


def test_prompts_of_which_none_comes_twice_are_read_as_they_are(model):
    given = batch((ONE, [1, 2, 3]), (OTHER, [4]))
    assert torch.equal(learned(model, given)[0], learned(model, given, share=True)[0])


def test_gradient_checkpointing_keeps_trls_way(model, monkeypatch):
    monkeypatch.setattr(scoring, "_keys_and_values", None)  # would fail if it were called
    monkeypatch.setattr(type(model.get_base_model()), "is_gradient_checkpointing", property(lambda self: True))
    learned(model, batch((ONE, [1]), (ONE, [2])), share=True)


def test_a_cache_of_another_kind_keeps_trls_way(model, monkeypatch):
    monkeypatch.setattr(scoring, "_keys_and_values", lambda cache: False)
    given = batch((ONE, [1, 2, 3]), (ONE, [4]))
    assert torch.equal(learned(model, given)[0], learned(model, given, share=True)[0])


def test_training_takes_the_step_it_takes_trls_way(folder, monkeypatch):
    config = small(steps=1, beta=0.01, trl={"per_device_train_batch_size": 8})
    saved, read = [], Scorer._read_prompts
    monkeypatch.setattr(Scorer, "_read_prompts", lambda *given: saved.append(read(*given)) or saved[-1])
    shared = trained(folder, config=config)
    # Columns of the reference's log-probabilities, and of the policy's.
    assert [width > 0 for _, width in saved] == [True, True]
    monkeypatch.setattr(Scorer, "_read_prompts", lambda scorer, inputs: (inputs, 0))
    plain = trained(folder, config=config)
    for name in ("grad_norm", "entropy", "kl"):
        assert shared.metrics[0][name] == pytest.approx(plain.metrics[0][name], rel=1e-3, abs=1e-6), name
    # Adam's first step is of the same size everywhere, so what counts is its sign, where there is a gradient at all.
    for name, value in adapter_of(plain).items():
        assert ((value > 0) == (adapter_of(shared)[name] > 0)).float().mean() > 0.99, name


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("Granite", {"logits_scaling": 8.0}),
        ("Cohere", {"logit_scale": 0.25}),
        ("Gemma2", {"final_logit_softcapping": 3.0, "head_dim": 8}),
        ("Llama", {}),
    ],
)
def test_families_that_scale_or_cap_their_logits_are_scored_as_they_score_themselves(kind, settings):
    import transformers

    size = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = getattr(transformers, f"{kind}Config")(
        **size, num_key_value_heads=2, vocab_size=300, initializer_range=0.5, pad_token_id=PAD, **settings
    )
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}ForCausalLM")(config).eval()
    given = batch((ONE, [1, 2, 3]), (OTHER, [4, 5]))
    labels = given["labels"][:, 1:]
    with torch.no_grad():
        logits = model(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).logits[:, :-1]
        scores = Scorer(model)(**given, fused_lm_head=True)
    expected = logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[..., None])[..., 0]
    assert (scores.label_mask == (labels != -100)).all()
    torch.testing.assert_close(scores.log_probs[scores.label_mask], expected[scores.label_mask], atol=1e-4, rtol=1e-4)
    assert (scores.is_top1 == ((logits.argmax(-1) == labels) & scores.label_mask)).all()
    torch.testing.assert_close(scores.log_probs[~scores.label_mask], torch.zeros_like(expected)[~scores.label_mask])


def test_long_rows_are_scored_chunk_by_chunk_with_the_same_gradients(model, monkeypatch):
    given = batch((ONE, [1, 2, 3]), (ONE, [4, 5]), (OTHER, [6, 7, 8]))
    whole = learned(model, given)
    monkeypatch.setattr(scoring, "_CHUNK", 3)
    chunks = learned(model, given)
    for one, other in zip(whole[:2], chunks[:2], strict=True):
        torch.testing.assert_close(one, other)
    for name, gradient in whole[2].items():
        torch.testing.assert_close(gradient, chunks[2][name], atol=1e-5, rtol=1e-4)
