"""train: what is seen of a collapse, votes that abstain, and the penalty of a group without a consensus."""

import json
import warnings

import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
pytest.importorskip("trl", reason="needs catlite[train]")
from trainings import adapter_of, open_task, small, trained, vowels  # noqa: E402

from catlite import AnswerMatch, Example, LengthPenalty, MajorityVote, Reference, Task, TrainConfig, VoteShare  # noqa: E402
from catlite.errors import ConfigError, EndpointUnavailable, HaltedWarning  # noqa: E402
from catlite.training import flips  # noqa: E402
from catlite.training.trl.trainer import CatGRPOTrainer  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # what torch and its friends warn about is not ours


def letters(count=4):
    """Questions of which any reply has an answer, its first letter."""
    return Task("letters", tuple(Example(f"Say {n}", answer_format=r"(\w)", id=f"q{n}") for n in range(count)))


async def first(group):
    return Reference(group.rollouts[0].text, group.rollouts[0].answer, "first", group)


async def unsure(group):
    return Reference("", None, "unsure", group, notes=("abstained: nobody knows",), abstained=True)


def test_flips_are_the_same_after_an_interruption(folder, tmp_path):
    config = small(steps=5, judge_wait=0.2, check_every=9)
    whole = trained(folder, letters(), estimator=first, config=config, run=tmp_path / "whole").to_frame()
    assert whole["cat/flips"].isna().tolist() == [True] * 2 + [False] * 3
    assert {"cat/distinct_answers", "cat/medium_agreement"} <= set(whole)
    calls = [0]

    async def down(group, reference):
        calls[0] += 1
        if calls[0] > 2 * 3:
            raise EndpointUnavailable("the judge is down")
        return await vowels(group, reference)

    down.__name__ = "vowels"
    parts = {"estimator": first, "config": config, "run": tmp_path / "parts"}
    assert trained(folder, letters(), reward=down, **parts).steps == 3
    again = trained(folder, letters(), **parts).to_frame()
    assert again["cat/flips"].tolist()[2:] == whole["cat/flips"].tolist()[2:]
    kept = [(tmp_path / name / "answers.jsonl").read_text() for name in ("whole", "parts")]
    assert kept[0] == kept[1]
    assert [json.loads(line)["step"] for line in kept[0].splitlines()] == [1, 2, 3, 4, 5]


def test_flips_end_training_and_a_run_that_they_ended_stays_ended(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(flips, "flips_say_stop", lambda history: "risen and fallen" if len(history) > 2 else None)
    config = small(steps=9, stop="flips")
    runs = [trained(folder, letters(), estimator=first, config=config, run=tmp_path) for _ in range(2)]
    assert [(run.steps, run.ended, run.complete) for run in runs] == [(3, "risen and fallen", True)] * 2


def test_flips_are_refused_where_there_are_no_answers(folder):
    with pytest.raises(ConfigError, match='stop="flips" compares the answers'):
        trained(folder, config=small(stop="flips"))


def test_training_goes_on_where_the_estimator_chose_to_abstain(folder):
    async def mixed(group):
        if group.example.id == "q0":
            raise RuntimeError("broken")
        return await unsure(group)

    run = trained(folder, letters(2), estimator=mixed)
    assert (run.steps, run.complete) == (2, True)
    assert run.to_frame()["cat/abstained"].tolist() == [1.0, 1.0]
    assert "cat/support" not in run.to_frame()
    assert all((value == 0).all() for name, value in adapter_of(run).items() if "lora_B" in name)


def test_training_does_not_go_on_where_one_vote_abstains_and_the_others_wait_for_a_model_that_is_down(folder):
    async def mixed(group):
        if group.example.id == "q0":
            raise EndpointUnavailable("the anchor is down")
        return await unsure(group)

    with pytest.warns(HaltedWarning, match="no group had a reward: .*the anchor is down"):
        run = trained(folder, letters(2), estimator=mixed, config=small(judge_wait=0.2))
    assert (run.steps, run.complete) == (0, False)
    assert "the same call with run=" in run.ended


def test_the_penalty_of_a_group_without_a_consensus_reaches_the_advantages(folder, monkeypatch):
    seen, score = [], CatGRPOTrainer._generate_and_score_completions

    def spy(self, inputs):
        batch = score(self, inputs)
        seen.append(batch["advantages"].tolist())
        return batch

    monkeypatch.setattr(CatGRPOTrainer, "_generate_and_score_completions", spy)
    soft = VoteShare(min_agreement=1.0, penalty=0.25)  # which four random letters never have
    run = trained(folder, letters(), estimator=MajorityVote(), reward=soft)
    assert run.to_frame()["cat/reward"].tolist() == [-0.25, -0.25]
    assert seen == [[-0.25] * 8] * 2
    assert any((value != 0).any() for name, value in adapter_of(run).items() if "lora_B" in name)


@pytest.mark.parametrize(
    ("changes", "reward", "warned"),
    [
        ({}, AnswerMatch(), True),
        ({}, VoteShare(), True),
        ({}, LengthPenalty(AnswerMatch()), True),
        ({}, vowels, False),
        ({"stop": "flips"}, AnswerMatch(), False),
        ({"held_back": 2, "check_every": 9}, AnswerMatch(), False),
    ],
)
def test_training_on_many_prompts_by_agreement_without_checks_is_warned_of(
    folder, monkeypatch, changes, reward, warned
):
    monkeypatch.setattr("catlite.preflight._STABLE", 3)
    monkeypatch.setattr("catlite.training.grpo._train", lambda *_: None)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        trained(folder, letters(6), estimator=MajorityVote(), reward=reward, config=small(**changes))
    assert any("prompts are trained on by agreement" in str(warning.message) for warning in caught) is warned


def test_presets_have_the_published_settings_and_take_changes():
    cat, ttrl, evol = TrainConfig.cat(), TrainConfig.ttrl(), TrainConfig.evol()
    assert (cat.steps, cat.sequences, cat.max_completion_length, cat.beta) == (1000, 256, 1536, 1e-3)
    assert (ttrl.prompts_per_step, ttrl.num_generations, ttrl.max_completion_length) == (8, 32, 3072)
    assert ttrl.trl == {"lr_scheduler_type": "cosine", "warmup_steps": 7, "loss_type": "dapo"}
    assert evol.trl == {**ttrl.trl, "epsilon_high": 0.28, "entropy_coef": 0.003}
    assert evol.max_completion_length == 12288
    assert TrainConfig.ttrl(steps=100, stop="flips").trl["warmup_steps"] == 3
    assert TrainConfig.evol(trl={"epsilon_high": 0.3}).trl == {"epsilon_high": 0.3}
    assert TrainConfig.cat(steps=5).steps == 5
    with pytest.raises(ConfigError, match="at least 1"):
        TrainConfig.ttrl(steps=0)


def test_the_settings_of_presets_are_known_to_trl_and_train_on_a_cpu(folder):
    config = TrainConfig.evol(steps=2, prompts_per_step=2, num_generations=4, max_completion_length=16)
    run = trained(folder, open_task(), config=config)
    assert run.complete
    assert all(row["loss"] == row["loss"] for row in run.metrics)
