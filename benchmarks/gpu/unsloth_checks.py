"""What Unsloth has to show on a GPU, for check.py: each function runs one thing through and returns its figures.

Each wants a process of its own, since Unsloth rewrites transformers and TRL for good. Weights are random in the shape
of SmolLM2-135M, so the figures are times and distances, not scores. None of this has been run on a GPU yet. With
BACKEND set to "transformers" all but `own_trainer`, `four_bits` and `vllm` run on a CPU as well.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import catlite
from catlite import concurrency

BACKEND = "unsloth"
PROMPT, TEXT = "What is 6 times 7?", "6 times 7 is 42."
ANSWER = r"(\S)"
Figures = dict[str, Any]


@contextlib.contextmanager
def policy(small: bool, **settings: Any) -> Iterator[catlite.LocalModel]:
    """A LocalModel of random weights."""
    from shapes import random_folder

    with tempfile.TemporaryDirectory() as folder:
        made = random_folder(Path(folder) / "model", "tiny" if small else "135M")
        yield catlite.LocalModel(made, backend=BACKEND, context=2048, **settings)


def task(count: int = 8) -> catlite.Task:
    """Questions that random weights can answer: with any character."""
    questions = (catlite.Example(f"Say {number}", answer_format=ANSWER) for number in range(count))
    return catlite.Task("letters", tuple(questions))


def scores(model: catlite.LocalModel) -> list[float]:
    return concurrency.run(model.logprobs(PROMPT, TEXT))


def distance(left: list[float], right: list[float]) -> float:
    return fmean(abs(a - b) for a, b in zip(left, right, strict=True))


def train(model: catlite.LocalModel, run: str | Path, **settings: Any) -> catlite.TrainingRun:
    """Two steps, by a vote of the rollouts."""
    estimator = settings.pop("estimator", catlite.MajorityVote())
    config = catlite.TrainConfig.small(sampling={"temperature": 1.0}, learning_rate=1e-3, **settings)
    return catlite.train(task(), model, estimator=estimator, config=config, run=run, progress=False)


async def constant(group: catlite.Group) -> catlite.Reference:
    return catlite.Reference(TEXT, None, "constant", group)


# The checks.


def synthesis(small: bool) -> Figures:
    """A reference by the frozen policy, before and after training: it is the base's both times."""
    with policy(small) as model, tempfile.TemporaryDirectory() as run:
        anchor, started = model.frozen(), time.monotonic()
        by_anchor = catlite.Synthesis(anchor, max_tokens=32)

        def draw() -> str:
            settings = {"seed": 1, "max_tokens": 32, "temperature": 1.0, "progress": False}
            (reference,) = catlite.estimate([PROMPT], anchor, estimator=by_anchor, n=4, **settings)
            return reference.text

        base, before = scores(model), draw()
        seconds = time.monotonic() - started
        train(model, run, estimator=by_anchor)
        apart = distance(base, scores(anchor))
        assert apart < 1e-3, f"frozen() is {apart} from the base after training"
        moved = distance(base, scores(model))
        return {"seconds": seconds, "frozen() from the base": apart, "policy": moved, "same text": draw() == before}


def checks(small: bool) -> Figures:
    """Held-back prompts are checked at step 0 and after each step."""
    with policy(small) as model, tempfile.TemporaryDirectory() as folder:
        run = train(model, folder, held_back=4)
        rows = [row for row in run.metrics if any(name.startswith("check/") for name in row)]
        assert [row["step"] for row in rows] == [0, 1, 2], rows
        return {"seconds/check": rows[-1]["seconds/check"], "check/reward": rows[-1]["check/reward"]}


def sft(small: bool) -> Figures:
    """Fine-tuning on a reference makes it likelier, and the adapter says the same when it is loaded again."""
    with policy(small) as model, tempfile.TemporaryDirectory() as folder:
        before, started = fmean(scores(model)), time.monotonic()
        config = catlite.SFTConfig(epochs=2, learning_rate=1e-3, validation=0.0, max_completion_length=32)
        run = catlite.sft(task(), model, estimator=constant, config=config, run=folder, progress=False)
        seconds, trained = time.monotonic() - started, scores(run.policy)
        assert fmean(trained) > before, f"the reference had {before} a token and has {fmean(trained)}"
        again = catlite.LocalModel(model.path, backend=BACKEND, context=2048, adapter=run.adapter)
        apart = distance(trained, scores(again))
        assert apart < 0.05, f"loaded again the policy is {apart} from what it was"
        return {"seconds": seconds, "before": before, "after": fmean(trained), "loaded again": apart}


def four_bits(small: bool) -> Figures:
    """4-bit weights load, draw and train; the anchor stays what it was."""
    with policy(small, load_in_4bit=True) as model, tempfile.TemporaryDirectory() as folder:
        base = scores(model)
        train(model, folder)
        apart, moved = distance(base, scores(model.frozen())), distance(base, scores(model))
        assert apart < 1e-3, f"frozen() is {apart} from the base after training"
        return {"frozen() from the base": apart, "policy from the base": moved}


def own_trainer(small: bool) -> Figures:
    """`trl_reward` in a notebook of Unsloth's own making: its model, its trainer, two steps."""
    from unsloth import FastLanguageModel  # isort: skip - before the libraries that it rewrites
    from datasets import Dataset
    from shapes import random_folder
    from trl import GRPOConfig, GRPOTrainer

    with tempfile.TemporaryDirectory() as folder:
        made = random_folder(Path(folder) / "model", "tiny" if small else "135M")
        model, tokenizer = FastLanguageModel.from_pretrained(
            str(made), max_seq_length=2048, load_in_4bit=False, fast_inference=False, use_safetensors=True
        )
        model = FastLanguageModel.get_peft_model(model, r=16, lora_alpha=32, use_gradient_checkpointing="unsloth")
        reward = catlite.trl_reward(catlite.MajorityVote(), answer_format=ANSWER, num_generations=4)
        trainer = GRPOTrainer(
            model=model,
            processing_class=tokenizer,
            reward_funcs=[reward],
            args=GRPOConfig(
                output_dir=folder,
                max_steps=2,
                per_device_train_batch_size=8,
                num_generations=4,
                max_completion_length=16,
                logging_steps=1,
                save_strategy="no",
                report_to="none",
            ),
            train_dataset=Dataset.from_list([{"prompt": example.messages} for example in task()]),
        )
        started = time.monotonic()
        trainer.train()
        means = [log["reward"] for log in trainer.state.log_history if "reward" in log]
        assert len(means) == 2, means
        return {"seconds": time.monotonic() - started, "rewards": ", ".join(f"{mean:.3f}" for mean in means)}


def quiet(small: bool) -> Figures:
    """Neither transformers nor Unsloth warns of how it is called; the working directory stays as it was."""
    words = io.StringIO()
    handler = logging.StreamHandler(words)
    logging.getLogger("transformers").addHandler(handler)
    before = set(Path().iterdir())
    with policy(small) as model, contextlib.redirect_stdout(words):
        concurrency.run(model.sample(PROMPT, 4, max_tokens=8))
    printed = words.getvalue()
    assert "generation_config" not in printed, printed
    new = set(Path().iterdir()) - before
    assert not new, f"new in the working directory: {new}"
    return {"new files": len(new)}


def vllm(small: bool) -> Figures:
    """`fast="unsloth"`: vLLM draws from the weights that are trained, as the policy is, and the anchor stays."""
    with policy(small, fast="unsloth") as model, tempfile.TemporaryDirectory() as folder:

        def draw(which: catlite.LocalModel) -> list[catlite.Rollout]:
            return concurrency.run(which.sample(PROMPT, 32, max_tokens=64, temperature=1.0, seed=1))

        def off(which: catlite.LocalModel) -> float:
            """Mean difference between vLLM's log-probabilities and those of the weights here."""
            drawn = [reply for reply in draw(which) if reply.text and "\ufffd" not in reply.text]
            pairs = [(reply.logprobs, concurrency.run(which.logprobs(PROMPT, reply.text))) for reply in drawn[:8]]
            return fmean(distance(list(a), b) for a, b in pairs if a and len(a) == len(b))

        draw(model)
        started = time.monotonic()
        drawn = draw(model)
        speed = sum(reply.usage.completion_tokens or 0 for reply in drawn) / (time.monotonic() - started)
        anchor = model.frozen()
        base, before = off(anchor), [reply.text for reply in draw(anchor)]
        run = train(model, folder)
        assert run.complete, run.ended
        after = {"policy off": off(model), "anchor off": off(anchor)}
        assert max(base, *after.values()) < 0.1, f"vLLM draws from other weights: {base}, {after}"
        same = fmean(reply.text == text for reply, text in zip(draw(anchor), before, strict=True))
        return {"tokens/s": speed, "base off": base, **after, "anchor's replies that stayed": same}
