"""A step of training is the gradient of GRPO's loss, written out here once more (arXiv 2402.03300)."""

import math
import zlib
from statistics import fmean, stdev

import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
pytest.importorskip("trl", reason="needs catlite[train]")
from tiny import tiny_model  # noqa: E402
from trainings import newer_trl, open_task, small, trained  # noqa: E402

from catlite.training.trl.trainer import CatGRPOTrainer  # noqa: E402

pytestmark = [pytest.mark.filterwarnings("default"), newer_trl]
BETA, RATE, LIMIT = 0.5, 4.0, 24


def rewards_of(question, texts):
    """None for the second rollout, and in every other group for all but the first, which then is alone."""
    alone = question in ("q1", "q3", "q5")
    return [
        None if at == 1 or (alone and at) else zlib.crc32(text.encode()) % 100 / 100 for at, text in enumerate(texts)
    ]


async def some(group, reference):
    return rewards_of(group.example.id, [rollout.text for rollout in group.rollouts])


def advantages(texts, questions):
    """Each rollout's reward, less the mean of its group and over the group's deviation; 0 where there is none."""
    for start in range(0, len(texts), 4):
        rewards = rewards_of(questions[start], texts[start : start + 4])
        known = [reward for reward in rewards if reward is not None]
        deviation = stdev(known) + 1e-4 if len(known) > 1 else math.inf
        yield from (0.0 if reward is None else (reward - fmean(known)) / deviation for reward in rewards)


@pytest.mark.parametrize("loss", ["grpo", "dapo"])
def test_a_step_is_the_gradient_of_the_formula(tmp_path, monkeypatch, loss):
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM

    folder = tiny_model(tmp_path / "model")
    batches = []
    generate = CatGRPOTrainer._generate_and_score_completions

    def noting(trainer, inputs):
        batch = generate(trainer, inputs)
        texts = trainer.processing_class.batch_decode(batch["completion_ids"], skip_special_tokens=True)
        batches.append(({**batch}, texts, [row["qid"] for row in inputs]))
        return batch

    monkeypatch.setattr(CatGRPOTrainer, "_generate_and_score_completions", noting)
    trl = {"optim": "sgd", "max_grad_norm": 1e9, "loss_type": loss}
    config = small(learning_rate=RATE, beta=BETA, max_completion_length=LIMIT, prompts_per_step=3, trl=trl, lora_rank=4)
    run = trained(folder, open_task(6), reward=some, config=config, run=tmp_path / "run")

    batch, texts, questions = batches[1]
    before = tmp_path / "run/checkpoints/checkpoint-1"
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, before, is_trainable=True).eval()
    terms = []
    for at, advantage in enumerate(advantages(texts, questions)):
        assert float(batch["advantages"][at]) == pytest.approx(advantage, abs=1e-5)
        prompt, completion = (
            batch[f"{part}_ids"][at][batch[f"{part}_mask"][at].bool()] for part in ("prompt", "completion")
        )

        def log_probabilities(prompt=prompt, completion=completion):
            logits = model(torch.cat([prompt, completion])[None]).logits[0, len(prompt) - 1 : -1]
            return logits.log_softmax(-1).gather(1, completion[:, None])[:, 0]

        with torch.no_grad(), model.disable_adapter():
            reference = log_probabilities()
        own = log_probabilities()
        kl = (reference - own).exp() - (reference - own) - 1
        terms.append(BETA * kl - (own - own.detach()).exp() * advantage)
    sums, sizes = torch.stack([term.sum() for term in terms]), torch.tensor([len(term) for term in terms])
    assert sizes.min() < sizes.max() <= LIMIT  # padding is in the batch, and has to count nowhere
    means = {"grpo": (sums / sizes).mean(), "dapo": sums.sum() / sizes.sum()}
    means[loss].backward()
    assert run.metrics[1]["loss"] == pytest.approx(means[loss].item(), abs=1e-6)

    was, now = (load_file(adapter / "adapter_model.safetensors") for adapter in (before, run.adapter))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            step = (was[name.replace(".default", "")] - now[name.replace(".default", "")]) / RATE
            torch.testing.assert_close(step, parameter.grad, atol=2e-6, rtol=1e-4)
