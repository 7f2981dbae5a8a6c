"""The scripts in examples/ run, and their prompts are the library's."""

import ast
import asyncio
import importlib.util
import os
import re
import sys
from pathlib import Path

import children
import pytest

import catlite

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRATCH, INFERENCE, VERL = (EXAMPLES / f"{name}.py" for name in ("cat_from_scratch", "cat_inference", "verl_math500"))


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def library_messages(example, texts, **settings):
    """The messages of `Synthesis`, with the plain tag of the examples in place of the hashed ones."""
    group = catlite.Group(example, tuple(catlite.Rollout(text) for text in texts))
    messages = catlite.Synthesis(catlite.ScriptedModel(lambda *_: ""), **settings).messages(group, texts)
    return [{**message, "content": re.sub(r"attempt-[0-9a-f]+", "attempt", message["content"])} for message in messages]


@pytest.mark.parametrize(
    ("path", "lines", "libraries"),
    [(SCRATCH, 200, {"torch", "transformers"}), (INFERENCE, 60, {"openai"})],
)
def test_an_example_is_short_and_needs_little(path, lines, libraries):
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= lines
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module.split(".")[0])
    assert imported - set(sys.stdlib_module_names) == libraries


@pytest.mark.parametrize("path", [SCRATCH, INFERENCE, VERL])
def test_what_an_example_names_of_the_library_exists(path):
    text = path.read_text("utf-8")
    files = re.findall(r"catlite/[\w/]*(?:\.py)?", text)
    assert [name for name in files if not (EXAMPLES.parent / name).exists()] == []
    for module, name in re.findall(r"from (catlite[\w.]*) import (\w+)", text):
        assert hasattr(importlib.import_module(module), name)
    for name in re.findall(r"catlite\.(\w+)\(", text):
        assert name in catlite.__all__


def test_inference_asks_n_times_and_once_more_with_the_librarys_prompt(server):
    environment = {**os.environ, "OPENAI_API_KEY": server.key, "OPENAI_BASE_URL": server.url}
    server.reply = lambda body, _: f"reply at {body['temperature']}"
    command = [sys.executable, str(INFERENCE), "Why is the sky blue?", "--model", "test-model", "--n", "3"]
    done = children.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("Synthesis:\nreply at 0.0\n")
    *attempts, synthesis = (request.body["messages"] for request in server.requests)
    assert attempts == [[{"role": "user", "content": "Why is the sky blue?"}]] * 3
    assert synthesis == library_messages(catlite.Example("Why is the sky blue?"), ["reply at 1.0"] * 3)


def test_prompts_for_training_in_verl_have_no_answers_and_their_reward_is_one(tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="needs catlite[data]")
    example = load(VERL)
    task = catlite.Task("numbers", (catlite.Example("Say 7", "7", answer_format="boxed", id="seven"),))
    example.write(task, tmp_path)
    train, val = (pandas.read_parquet(tmp_path / f"{name}.parquet").iloc[0] for name in ("train", "val"))
    assert (train.reward_model["ground_truth"], val.reward_model["ground_truth"]) == ("", "7")
    assert train.extra_info == val.extra_info == {"id": "seven", "index": 0}
    assert list(train.prompt) == [{"role": "user", "content": "Say 7"}]
    assert isinstance(example.reward().rewarder.estimator, catlite.MajorityVote)
    monkeypatch.setenv("ANCHOR_URL", "http://127.0.0.1:9/v1")
    assert isinstance(example.reward().rewarder.estimator, catlite.Synthesis)


# From scratch


@pytest.fixture(scope="module")
def scratch():
    pytest.importorskip("torch", reason="needs catlite[train]")
    pytest.importorskip("transformers", reason="needs catlite[train]")
    return load(SCRATCH)


def test_the_questions_are_those_of_last_word(scratch):
    known = {example.id: example for example in catlite.last_word(1)}
    example = next(iter(known.values()))
    questions = scratch.make_questions(120, 0)
    assert tuple(scratch.WORDS) == catlite.tasks.last_word.WORDS
    assert questions[0][0][:-1] == example.messages[:-1]
    assert len({messages[-1]["content"] for messages, _ in questions}) == 120
    for messages, answer in questions:
        assert messages[-1]["content"].endswith(f", {answer}?")


def test_the_synthesis_prompt_from_scratch_is_the_librarys(scratch):
    texts = ["The last word is stone.", "The last word is tiger.", "tiger"]
    worked = catlite.tasks.last_word.WORKED_SYNTHESES
    assert scratch.synthesis_messages(texts) == library_messages(catlite.last_word(1).examples[0], texts, worked=worked)


@pytest.mark.parametrize(
    "texts",
    [
        ["The last word is stone.", "The last word is Tiger.", "the last word is tiger"],
        ["The last word is stone.", "The last word is tiger."],
        ["stone", "The last word is tiger"],
        ["stone", ""],
    ],
)
def test_votes_and_rewards_from_scratch_are_the_librarys(scratch, texts):
    example = catlite.last_word(1).examples[0]
    group = catlite.Group(example, tuple(catlite.Rollout(text, example.parse(text)) for text in texts))
    reference = asyncio.run(catlite.MajorityVote()(group))
    rewards = asyncio.run(catlite.AnswerMatch()(group, reference))
    answer = scratch.vote(texts)
    assert answer == (reference.answer and reference.answer.lower())
    assert scratch.reward(texts, answer).tolist() == [value or 0.0 for value in rewards]


def test_the_loss_moves_probability_to_the_rewarded_rollout_and_stops_at_its_end(scratch, tmp_path):
    import torch
    from tiny import tiny_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model(tmp_path / "model"), dtype=torch.float32).eval()
    end = model.generation_config.eos_token_id[0]
    prompt, replies = [5, 6, 7], [[8, 9, end, 10], [11, end, 12, 13]]
    ids = torch.tensor([prompt + reply for reply in replies])
    scratch.grpo_loss(model, ids, 3, torch.tensor([1.0, 0.0])).backward()
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    log_p = model(ids).logits.log_softmax(-1)[:, 2:-1].gather(-1, ids[:, 3:, None]).squeeze(-1)
    advantage = 0.5 / (0.5**0.5 + 1e-4)  # a reward of 1 beside one of 0: half above the mean, by the sample's deviation
    (-advantage * (log_p[0, :3].mean() - log_p[1, :2].mean()) / 2).backward()
    for gradient, parameter in zip(gradients, model.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad)


def test_the_loss_of_a_model_without_an_end_token_is_over_every_token(scratch, tmp_path):
    import torch
    from tiny import tiny_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny_model(tmp_path / "model"), dtype=torch.float32).eval()
    model.generation_config.eos_token_id = None
    ids = torch.tensor([[5, 6, 7, 8, 9], [5, 6, 7, 10, 11]])
    assert scratch.grpo_loss(model, ids, 3, torch.tensor([1.0, 0.0])).isfinite()


def test_samples_from_scratch_do_not_take_a_models_own_penalty(scratch):
    import torch

    asked = {}

    class Prompt(dict):
        def to(self, device):
            return self

    class Model:
        device = "cpu"

        def generate(self, input_ids, **settings):
            asked.update(settings)
            return input_ids

    class Tokenizer:
        pad_token_id = 0

        def apply_chat_template(self, *_, **__):
            return Prompt(input_ids=torch.tensor([[1, 2]]))

        def batch_decode(self, ids, **_):
            return ["" for _ in ids]

    scratch.sample(Model(), Tokenizer(), [])
    assert (asked["do_sample"], asked["temperature"], asked["repetition_penalty"]) == (True, 1.0, 1.0)


def test_groups_whose_synthesis_failed_are_left_out_of_the_printed_agreement(scratch, tmp_path, monkeypatch, capsys):
    from tiny import tiny_model

    references = iter(["stone", None, "stone", None, *[None] * 4])
    monkeypatch.setattr(scratch, "evaluate", lambda *_: {})
    monkeypatch.setattr(scratch, "synthesize", lambda *_: next(references))
    monkeypatch.setattr(scratch, "sample", lambda *_: (None, 0, ["The last word is stone."] * 8))
    arguments = [str(tiny_model(tmp_path / "model")), "--reference", "synthesis", "--steps", "2"]
    monkeypatch.setattr(sys, "argv", ["cat_from_scratch.py", *arguments])
    scratch.main()
    steps = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
    assert [line.split()[2] for line in steps] == ["1.00", "nan"]


@pytest.mark.parametrize("reference", ["vote", "synthesis"])
def test_two_steps_from_scratch_print_the_four_rows(scratch, tmp_path, monkeypatch, capsys, reference):
    from tiny import tiny_model

    model = tiny_model(tmp_path / "model", context=4096)
    arguments = [str(model), "--reference", reference, "--steps", "2", "--held-out", "2"]
    monkeypatch.setattr(sys, "argv", ["cat_from_scratch.py", *arguments])
    scratch.main()
    output = capsys.readouterr().out
    assert output.count("of the rollouts agree with their reference") == 2
    rows = output.split("after\n")[1].splitlines()
    assert [row[:16].strip() for row in rows] == ["single sample", "greedy", "majority of 8", "synthesis of 8"]
    assert all(re.fullmatch(r".{16}\d\.\d{3} ± \d\.\d{3}   \d\.\d{3} ± \d\.\d{3}", row) for row in rows)
