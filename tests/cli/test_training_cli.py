"""`catlite train`, and training for real on the embedded model's weights."""

import json
import re
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
pytest.importorskip("trl", reason="needs catlite[train]")

import catlite  # noqa: E402
from catlite import LocalModel, TrainConfig, concurrency, train  # noqa: E402
from catlite.cli.main import main  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # what torch and its friends warn about is not ours


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": f"Say {number}", "id": str(number)}) for number in range(4)))
    return path


SMALL = ("--steps", "1", "--prompts-per-step", "2", "--n", "2", "--max-tokens", "24")


@pytest.mark.parametrize("estimator", ["majority", "anchored-vote"])
def test_train_writes_an_adapter_and_says_how_to_serve_it(folder, rows, tmp_path, capsys, estimator):
    run = tmp_path / "run"
    arguments = ["train", str(rows), "--answer-format", r"(\S)", "--policy", str(folder), "--estimator", estimator]
    code = main([*arguments, "--run", str(run), "--save", str(tmp_path / "merged"), *SMALL])
    out, _ = capsys.readouterr()
    assert code == 0, out
    assert (run / "adapter" / "adapter_model.safetensors").is_file()
    assert (tmp_path / "merged" / "model.safetensors").is_file()
    assert "--lora-modules" in out
    assert "1 steps: all 1 steps were made" in out


def test_train_with_rubrics_wants_a_judge(folder, rows, capsys):
    assert main(["train", str(rows), "--policy", str(folder), "--reward", "rubric"]) == 2
    assert "--judge" in capsys.readouterr().err


def test_the_share_of_votes_wants_no_judge_and_no_open_ended_task(folder, rows, capsys):
    arguments = ["train", str(rows), "--policy", str(folder), "--reward", "vote-share"]
    assert main([*arguments, "--judge", "gpt-4o"]) == 2
    assert "--judge goes with --reward rubric" in capsys.readouterr().err
    assert main([*arguments, *SMALL]) == 2
    assert "VoteShare needs the --answer-format" in capsys.readouterr().err


def test_train_of_an_open_ended_task_by_answers_is_wrong_use(folder, rows, capsys):
    assert main(["train", str(rows), "--policy", str(folder), *SMALL]) == 2
    assert "pass --reward rubric with a judge" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "reward"),
    [
        (("--control", "random"), "RandomReward(seed=3)"),
        (("--control", "format"), "FormatReward()"),
        (("--reward", "vote-share"), repr(catlite.VoteShare())),
    ],
)
def test_train_takes_the_free_estimator_for_a_reward_without_a_reference(folder, rows, tmp_path, option, reward):
    arguments = ["train", str(rows), "--answer-format", r"(\S)", "--policy", str(folder), *option]
    assert main([*arguments, "--seed", "3", "--run", str(tmp_path / "run"), *SMALL]) == 0
    manifest = json.loads((tmp_path / "run" / "training.json").read_text())
    assert (manifest["estimator"], manifest["reward"]) == (repr(catlite.MajorityVote()), reward)


@pytest.mark.parametrize("options", [("--reward", "answer"), ("--judge", "gpt-4o"), ("--reward", "rubric")])
def test_train_takes_a_control_or_a_reward(folder, rows, capsys, options):
    assert main(["train", str(rows), "--policy", str(folder), "--control", "random", *options]) == 2
    assert "--control random is the reward: leave out --reward and --judge" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--save", "rows.jsonl"), "'rows.jsonl' is a file: give a folder for the merged model"),
        (("--save", "model"), "'model' holds the model that is trained"),
        (("--micro-batch", "3"), "--micro-batch 3 does not divide the 4 sequences of a step"),
        (("--stop", "gap"), "needs prompts to check on: set --held-back 16\n"),
        (("--prompt", "question"), "Did you mean --prompt prompt --answer-format"),
    ],
)
def test_train_says_in_its_own_words_what_is_wrong_before_it_begins(
    folder, rows, tmp_path, monkeypatch, capsys, options, why
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").symlink_to(folder)
    assert main(["train", str(rows), "--answer-format", r"(\S)", "--policy", str(folder), *SMALL, *options]) in (1, 2)
    assert why in capsys.readouterr().err


def test_train_refuses_a_group_of_one_in_a_line(folder, rows, capsys):
    assert main(["train", str(rows), "--policy", str(folder), "--n", "1"]) == 2
    assert "a group of one" in capsys.readouterr().err


def test_a_run_that_was_halted_exits_with_1(folder, rows, tmp_path, capsys):
    # No reply of a random model is a number of nine digits, so no group has a vote.
    arguments = ["train", str(rows), "--answer-format", r"(\d{9})", "--policy", str(folder), "--estimator", "majority"]
    assert main([*arguments, *SMALL, "--run", str(tmp_path / "run")]) == 1
    assert "no group had a reward" in capsys.readouterr().out


# The embedded model's weights, for real


@pytest.fixture(scope="module")
def local():
    return LocalModel("local")


def test_the_embedded_weights_answer_as_the_embedded_model_does(local):
    example = catlite.times_tables().examples[3]
    (reply,) = concurrency.run(local.sample(example.prompt, 1, temperature=0, max_tokens=16))
    assert example.parse(reply.text) is not None
    assert reply.finish_reason == "stop"
    assert reply.text.endswith(".")


def test_the_embedded_weights_can_be_trained_on_their_own_votes(local):
    task = catlite.Task("t", tuple(replace(one, answer=None) for one in catlite.times_tables(4)))
    before = concurrency.run(local.logprobs(task.examples[0].prompt, "It is 12."))
    config = TrainConfig(
        steps=1,
        prompts_per_step=3,
        num_generations=4,
        max_completion_length=16,
        sampling={"temperature": 1.0},
        learning_rate=1e-3,
        beta=0.0,
        lora_layers=0.2,
    )
    run = train(task, local, estimator=catlite.MajorityVote(), config=config)
    assert run.complete
    assert 0 < run.to_frame()["cat/support"].iloc[0] <= 1
    assert concurrency.run(run.initial.logprobs(task.examples[0].prompt, "It is 12.")) == pytest.approx(
        before, abs=0.02
    )
    assert concurrency.run(run.policy.logprobs(task.examples[0].prompt, "It is 12.")) != pytest.approx(before, abs=1e-3)


def test_demo_train_shows_the_four_rows_of_held_out_questions(tmp_path, monkeypatch, capsys):
    from tiny import tiny_model

    model = LocalModel(tiny_model(tmp_path / "model", context=4096))
    monkeypatch.setattr(catlite, "LocalModel", lambda _: model)
    # No reply of a random model has an answer, so no group has a vote, and the run is given up before its first step.
    assert main(["demo-train", "--steps", "1", "--run", str(tmp_path / "run")]) == 1
    output = capsys.readouterr().out
    assert "Training on 72 questions such as “What is the last word: " in output
    for row in ("single sample", "greedy", "majority of 8", "synthesis of 8"):
        assert re.search(rf"^{row} +0\.000 ± 0\.000 .* 48$", output, re.MULTILINE)
    assert "no group had a reward" in output


def test_demo_train_refuses_a_seed_without_questions_of_its_own(capsys):
    assert main(["demo-train", "--seed", "126"]) == 2
    assert "--seed 126: want a whole number from 0 to 125" in capsys.readouterr().err
