"""train: its checks on held-back prompts, when it ends, and what a run that has ended can still do."""

import asyncio
import dataclasses
import json
import shutil
import warnings
from collections import Counter

import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
pytest.importorskip("trl", reason="needs catlite[train]")
from tiny import tiny_model  # noqa: E402
from trainings import adapter_of, constant, open_task, same, small, trained, vowels  # noqa: E402

import catlite  # noqa: E402
from catlite import Example, LocalModel, Task, train  # noqa: E402
from catlite.errors import AuthenticationFailed, ConfigError, HaltedWarning, QuotaExhausted  # noqa: E402
from catlite.training import view, watch  # noqa: E402
from catlite.training.examples import split  # noqa: E402

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
    held = {one.id for one in split([(one.id, one) for one in task], None, None, config)[1]}
    # Two checks, of the rollouts and, there being no answers, of the reference.
    assert {name: asked[name] for name in held} == dict.fromkeys(held, 4)
    # Twelve places in six steps.
    assert {name: asked[name] for name in asked if name not in held} == {
        one.id: 3 for one in task if one.id not in held
    }


def test_a_prompt_that_is_held_back_is_not_trained_on_by_another_id():
    task = [(f"q{n}", Example(f"Say {n % 4}", id=f"q{n}")) for n in range(8)]
    kept, held = split(task, None, None, small(held_back=2))
    assert len(held) == 2
    assert not {example.prompt for _, example in kept} & {example.prompt for example in held}


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


# Groups that abstain, and runs that are given up


def abstaining(names):
    """`constant`, but for these questions an estimator that found no answer."""

    async def estimate(group):
        reference = await constant(group)
        return dataclasses.replace(reference, text="", answer=None) if group.example.id in names else reference

    return estimate


def test_training_goes_on_when_a_group_has_no_answer(folder):
    seen = []

    async def judged(group, reference):
        seen.append(reference.text)
        return await vowels(group, reference)

    run = trained(folder, estimator=abstaining({"q0", "q1"}), reward=judged, config=small(steps=3, prompts_per_step=6))
    assert run.complete
    assert [row["cat/abstained"] for row in run.metrics] == [pytest.approx(1 / 3)] * 3
    assert set(seen) == {"aaaa"}


def test_training_goes_on_when_a_reward_refuses_one_group(folder):
    async def choosy(group, reference):
        if group.example.id == "q0":
            raise ConfigError("there is no rubric")
        return await vowels(group, reference)

    run = trained(folder, reward=choosy, config=small(steps=2, prompts_per_step=6))
    assert run.complete
    assert [row["cat/abstained"] for row in run.metrics] == [pytest.approx(1 / 6)] * 2


def test_a_run_that_is_given_up_says_so_last_and_as_a_warning(folder, tmp_path):
    async def slow(group, reference):
        await asyncio.sleep(60)

    with pytest.warns(HaltedWarning) as told:
        run = trained(folder, reward=slow, config=small(judge_wait=0.1), run=tmp_path)
    assert str(told[-1].message) == run.ended
    assert told[-1].filename.endswith("trainings.py")  # the line that called train
    assert "no group had a reward: no reward within 0.1 s: raise judge_wait in TrainConfig" in run.ended
    assert f"the same call with run={str(tmp_path)!r} goes on from there" in run.ended
    assert "trl_reward" not in run.ended


def test_what_would_be_so_again_is_not_said_to_go_on(folder):
    with pytest.warns(HaltedWarning):
        run = trained(folder, estimator=abstaining({f"q{number}" for number in range(6)}))
    assert "no answer among the rollouts" in run.ended
    assert "in a new run" in run.ended
    assert "goes on" not in run.ended


@pytest.mark.parametrize("error", [AuthenticationFailed("wrong key", status=401), QuotaExhausted("no credit")])
def test_no_access_ends_training_at_once_with_its_own_words(folder, error):
    calls = []

    async def judged(group, reference):
        calls.append(1)
        if len(calls) > 2:
            raise error
        return await vowels(group, reference)

    with pytest.warns(HaltedWarning, match=str(error)):
        run = trained(folder, reward=judged, config=small(steps=3))
    assert (run.steps, run.complete) == (1, False)
    assert "no group had a reward" not in run.ended


def test_the_default_estimators_length_is_called_as_it_is_set(folder):
    roomy = LocalModel(tiny_model(folder.parent / "roomy", context=4096))
    engine = roomy.weights.engine
    drawn = engine.draw

    def cut_off(prompts, drawing, indices, *, adapter):
        if not adapter:  # the anchor's syntheses never end
            engine.ends = [roomy.tokenizer.pad_token_id]
        return drawn(prompts, drawing, indices, adapter=adapter)

    engine.draw = cut_off
    task = Task("verifiable", tuple(Example(f"Say {n}", answer_format=r"(\d{9})") for n in range(2)))
    with pytest.warns(HaltedWarning, match="the reference was cut off: raise max_completion_length"):
        train(task, roomy, config=small(steps=1, num_generations=8))


class Shown:
    """The display of a notebook."""

    def __init__(self):
        self.lines = []

    def update(self, shown, *, raw):
        self.lines.append(shown["text/plain"])


def test_training_is_not_under_way_on_screen_once_it_has_ended(folder, monkeypatch):
    shown = Shown()
    monkeypatch.setattr(view, "_notebook", lambda: shown)
    trained(folder, progress=True)
    assert shown.lines[-1].startswith("step 2 of 2: all 2 steps were made · reward ")

    async def nothing(group, reference):
        return [None] * len(group.rollouts)

    with pytest.warns(HaltedWarning):
        trained(folder, reward=nothing, progress=True)
    assert shown.lines[-1] == "step 0 of 2: given up"

    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(watch.Watch, "begin_step", stopped)
    with pytest.raises(KeyboardInterrupt):
        trained(folder, progress=True)
    assert shown.lines[-1] == "step 0 of 2: interrupted"
