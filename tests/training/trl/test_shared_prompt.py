"""A prompt that is read once gives the log-probabilities and gradients of TRL's own way."""

import contextlib

import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
pytest.importorskip("trl", reason="needs catlite[train]")
from trainings import adapter_of, small, trained  # noqa: E402

from catlite import LocalModel  # noqa: E402
from catlite.training import grpo  # noqa: E402
from catlite.training.trl import shared_prompt  # noqa: E402
from catlite.training.trl.plain import plain_head  # noqa: E402
from catlite.training.trl.shared_prompt import shared_prompts  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # what torch and its friends warn about is not ours
PAD, SCORED = 257, 5


@pytest.fixture
def model(folder):
    """The tiny model as TRL's trainer makes it, with an adapter that does something."""
    from peft import LoraConfig, get_peft_model
    from trl.trainer import utils

    if not hasattr(utils, "add_fused_lm_head"):
        pytest.skip("needs TRL 1.15")
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


def learned(model, given):
    """(log-probabilities, entropies, gradients) of one step."""
    model.zero_grad()
    with plain_head():
        found = model(**given, fused_lm_head=True)
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
    with shared_prompts(model):
        shared = learned(model, given)
    assert sum(read) < 0.7 * tokens
    for one, other in zip(plain[:2], shared[:2], strict=True):
        assert one.shape == other.shape
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)
    assert set(plain[2]) == set(shared[2])
    for name, gradient in plain[2].items():
        torch.testing.assert_close(gradient, shared[2][name], atol=1e-5, rtol=1e-3)
    assert max(gradient.abs().max() for gradient in shared[2].values()) > 1e-3


def test_the_prompts_own_part_of_the_gradient_is_in_it(model):
    """Without it the rollouts would be trained as if the prompt were read by a frozen model."""
    given = batch((ONE, [1, 2, 3]), (ONE, [4, 5]))
    with shared_prompts(model):
        whole = learned(model, given)[2]
        selected = shared_prompt._plain

        def detached(cache):
            for layer in cache.layers:
                layer.keys, layer.values = layer.keys.detach(), layer.values.detach()
            return selected(cache)

        shared_prompt._plain = detached
        try:
            part = learned(model, given)[2]
        finally:
            shared_prompt._plain = selected
    assert any(not torch.allclose(whole[name], part[name], rtol=1e-2) for name in whole)


def test_prompts_of_which_none_comes_twice_are_left_to_trl(model, monkeypatch):
    given = batch((ONE, [1, 2, 3]), (OTHER, [4]))
    plain = learned(model, given)
    with shared_prompts(model):
        shared = learned(model, given)
    assert torch.equal(plain[0], shared[0])


def test_gradient_checkpointing_keeps_trls_way(model, monkeypatch):
    monkeypatch.setattr(shared_prompt, "_once", None)  # would fail if it were called
    monkeypatch.setattr(type(model.get_base_model()), "is_gradient_checkpointing", property(lambda self: True))
    with shared_prompts(model):
        learned(model, batch((ONE, [1]), (ONE, [2])))


def test_a_cache_of_another_kind_keeps_trls_way(model, monkeypatch):
    monkeypatch.setattr(shared_prompt, "_plain", lambda cache: False)
    given = batch((ONE, [1, 2, 3]), (ONE, [4]))
    plain = learned(model, given)
    with shared_prompts(model):
        assert torch.equal(plain[0], learned(model, given)[0])


def test_the_model_is_as_it_was_afterwards(model):
    before = model.get_base_model().forward
    with shared_prompts(model):
        assert model.get_base_model().forward is not before
    assert model.get_base_model().forward is before


def test_training_takes_the_step_it_takes_trls_way(folder, monkeypatch):
    config = small(steps=1, beta=0.01, trl={"per_device_train_batch_size": 8})
    read, once = [], shared_prompt._once
    monkeypatch.setattr(shared_prompt, "_once", lambda *given, **named: read.append(once(*given, **named)) or read[-1])
    shared = trained(folder, config=config)
    # The reference's log-probabilities, and the policy's.
    assert [bool(found) for found in read] == [True, True]
    monkeypatch.setattr(grpo, "reading_prompts_once", lambda trainer: contextlib.nullcontext())
    plain = trained(folder, config=config)
    assert len(read) == 2
    for name in ("grad_norm", "entropy", "kl"):
        assert shared.metrics[0][name] == pytest.approx(plain.metrics[0][name], rel=1e-3, abs=1e-6), name
    # Adam's first step is of the same size everywhere, so what counts is its sign, where there is a gradient at all.
    for name, value in adapter_of(plain).items():
        assert ((value > 0) == (adapter_of(shared)[name] > 0)).float().mean() > 0.99, name


@pytest.mark.parametrize(
    ("trl", "whole"), [({}, True), ({"num_iterations": 2}, False), ({"loss_type": "bnpo"}, False)], ids=str
)
def test_a_micro_batch_is_a_group_where_that_is_only_rounding(folder, monkeypatch, trl, whole):
    from trl import GRPOTrainer

    prompts = []
    loss = GRPOTrainer.compute_loss

    def spy(self, model, inputs, *rest, **more):
        prompts.append(len({tuple(row) for row in inputs["prompt_ids"].tolist()}))
        return loss(self, model, inputs, *rest, **more)

    monkeypatch.setattr(GRPOTrainer, "compute_loss", spy)
    trained(folder, config=small(steps=2, trl=trl))
    assert (set(prompts) == {1}) == whole
