"""train: its checks on held-back prompts, when it ends, and what a run that has ended can still do."""

import json
import shutil
import warnings
from collections import Counter

import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
pytest.importorskip("trl", reason="needs catlite[train]")
from trainings import adapter_of, constant, open_task, same, small, trained, vowels  # noqa: E402

import catlite  # noqa: E402
from catlite import Example, LocalModel, Task, train  # noqa: E402
from catlite.training.grpo import split  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # what torch and its friends warn about is not ours


def falling():
    """A reward that is a little lower at every call."""
    worse = [0]

    async def reward(group, reference):
        worse[0] += 1
        return [value - 0.01 * worse[0] for value in await vowels(group, reference)]

    return reward


def test_checks_come_before_and_every_few_steps_and_move_nothing(folder, tmp_path):
    plain = trained(folder, task=open_task(4), config=small(steps=4))
    held = tuple(Example(f"Say {n}", id=f"h{n}") for n in range(4, 7))
    config = small(steps=4, check_every=2)
    checked = trained(folder, task=open_task(4), config=config, validation=Task("v", held))
    assert same(adapter_of(plain), adapter_of(checked))
    frame = checked.to_frame()
    assert list(frame.index[frame["check/gap"].notna()]) == [0, 2, 4]


def test_held_back_prompts_are_never_trained_on(folder, tmp_path):
    seen = []

    async def spy(group, reference):
        seen.append((group.example.id, group.example.answer))
        return await vowels(group, reference)

    task = Task("t", tuple(Example(f"Say {n}", answer="gold", id=f"q{n}") for n in range(6)))
    config = small(steps=6, held_back=2, check_every=6)
    run = trained(folder, task=task, reward=spy, config=config)
    assert run.complete
    assert {answer for _, answer in seen} == {None}
    asked = Counter(name for name, _ in seen)
    held = {one.id for one in split([(one.id, one) for one in task], None, config)[1]}
    # Two checks, of the rollouts and, there being no answers, of the reference.
    assert {name: asked[name] for name in held} == dict.fromkeys(held, 4)
    # Twelve places in six steps.
    assert {name: asked[name] for name in asked if name not in held} == {
        one.id: 3 for one in task if one.id not in held
    }


def test_reward_on_held_back_prompts_keeps_the_best_adapter(folder, tmp_path):
    config = small(steps=20, stop="reward", held_back=2, check_every=1)
    run = trained(folder, reward=falling(), config=config, run=tmp_path)
    assert run.steps < 20
    assert "no longer rises" in run.ended
    assert run.best_step == 0
    assert all((value == 0).all() for name, value in adapter_of(run).items() if "lora_B" in name)


def test_a_gap_that_has_closed_ends_training(folder):
    async def first_letter(group):
        return catlite.Reference("x", "x", "always x", group)

    task = Task("t", tuple(Example(f"Say {n}", answer_format="(x)|", id=f"q{n}") for n in range(8)))

    async def reward(group, reference):
        return await vowels(group, reference)

    run = trained(
        folder, task=task, estimator=first_letter, reward=reward, config=small(steps=9, stop="gap", held_back=4)
    )
    assert run.steps < 9
    assert "gap" in run.ended


def test_a_kill_after_the_last_checkpoint_does_not_undo_the_stop(folder, tmp_path):
    def go():
        return trained(folder, reward=falling(), config=small(steps=20, stop="reward", held_back=2), run=tmp_path)

    first = go()
    manifest = json.loads((tmp_path / "training.json").read_text())
    del manifest["outcome"]
    (tmp_path / "training.json").write_text(json.dumps(manifest))
    shutil.rmtree(tmp_path / "adapter")
    again = go()
    assert (again.steps, again.ended, again.best_step) == (first.steps, first.ended, first.best_step)
    assert list(again.metrics) == list(first.metrics)
    assert (again.adapter / "adapter_model.safetensors").is_file()


def test_the_best_checkpoint_is_named_and_kept_whatever_ends_training(folder, tmp_path):
    run = trained(folder, reward=falling(), config=small(steps=2, held_back=2), run=tmp_path)
    assert run.best_step == 0
    best = LocalModel(folder, adapter=run.best_adapter)
    assert best.weights.adapter_digest() != run.policy.weights.adapter_digest()  # the policy is that of the last step


def test_a_run_whose_stop_did_not_come_can_be_made_longer_and_one_that_stopped_cannot(folder, tmp_path):
    short = small(steps=1, held_back=2, stop="reward")
    assert trained(folder, config=short, run=tmp_path / "a").steps == 1
    longer = small(steps=2, held_back=2, stop="reward")
    assert trained(folder, config=longer, run=tmp_path / "a").steps == 2
    stopped = [
        trained(folder, reward=falling(), config=small(steps=steps, held_back=2, stop="reward"), run=tmp_path / "b")
        for steps in (20, 30)
    ]
    assert stopped[0].steps == stopped[1].steps < 20
    assert stopped[0].ended == stopped[1].ended


def test_dashboards_are_told_the_checks_and_the_seconds_too(folder, monkeypatch):
    from transformers import TrainerCallback, trainer

    told = []

    class Dashboard(TrainerCallback):
        def on_log(self, args, state, control, logs, **_):
            told.append(set(logs))

    monkeypatch.setattr(trainer, "get_reporting_integration_callbacks", lambda report_to: [Dashboard])
    trained(folder, config=small(held_back=2))
    assert len(told) >= 2
    assert all({"check/gap", "seconds/step", "reward"} <= names for names in told[:2])


def test_training_anew_says_that_it_takes_the_earlier_adapter_off(folder, tmp_path):
    policy = LocalModel(folder)
    settings = {"estimator": constant, "reward": vowels, "config": small()}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("default", module=r"(?:trl|transformers|peft|torch)\b.*")
        first = adapter_of(train(open_task(), policy, run=tmp_path / "a", **settings))
        train(open_task(), policy, run=tmp_path / "a", **settings)
    with pytest.warns(UserWarning, match="taken off.*merge_and_save"):
        second = train(open_task(), policy, run=tmp_path / "b", **settings)
    assert same(first, adapter_of(second))  # from the same base
