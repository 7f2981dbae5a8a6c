"""sft: references once, then fine-tuning on them; and models compared before and after."""

import contextlib
import dataclasses
import json

import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
pytest.importorskip("trl", reason="needs catlite[train]")
from tiny import TEMPLATE, tiny_model  # noqa: E402
from trainings import adapter_of, constant, open_task, same, vowels  # noqa: E402

import catlite  # noqa: E402
from catlite import Example, LocalModel, SFTConfig, Task, compare, concurrency, sft  # noqa: E402
from catlite.errors import BudgetReached, ConfigError, DataError, EstimationError, RequestRejected, TrainingError  # noqa: E402
from catlite.training import references, sft as module, watch  # noqa: E402
from catlite.training.examples import set_aside  # noqa: E402
from catlite.training.trl import build  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # what torch and its friends warn about is not ours


def settings(**changes):
    small = {"epochs": 2, "batch_size": 2, "num_generations": 2, "max_completion_length": 16, "learning_rate": 0.02}
    return SFTConfig(**{**small, "lora_rank": 8, "validation": 0.0, **changes})


def tuned(folder, **options):
    return sft(open_task(4), LocalModel(folder), **{"estimator": constant, "config": settings(), **options})


def test_what_references_say_becomes_likelier(folder):
    base = sum(concurrency.run(LocalModel(folder).logprobs("Say 1", "aaaa")))
    run = tuned(folder, config=settings(epochs=6))
    assert sum(concurrency.run(run.policy.logprobs("Say 1", "aaaa"))) > base + 1
    assert sum(concurrency.run(run.initial.logprobs("Say 1", "aaaa"))) == pytest.approx(base, abs=1e-4)
    assert run.steps == 12
    assert "4 references" in run.ended


def test_a_batch_is_whole_whatever_its_size(folder):
    run = sft(open_task(12), LocalModel(folder), estimator=constant, config=settings(epochs=1, batch_size=12))
    assert run.steps == 1


def test_validation_loss_ends_it_early_and_the_best_is_kept(folder):
    config = settings(epochs=30, validation=0.5)
    away = set_aside([(one.id, one) for one in open_task(4)], config)

    async def opposed(group):
        """What is trained on makes what is validated on less likely."""
        reference = await constant(group)
        return dataclasses.replace(reference, text="zzzz") if group.example.id in away else reference

    run = tuned(folder, estimator=opposed, config=config)
    assert run.steps < 30
    assert run.best_step is not None
    losses = {row["step"]: row["eval_loss"] for row in run.metrics if "eval_loss" in row}
    assert list(losses) == list(range(1, run.steps + 1))  # an epoch is a step, and each is validated
    assert min(losses, key=losses.__getitem__) == run.best_step
    assert catlite.TrainingRun.load(run.folder).metrics == run.metrics


def split_of(folder, monkeypatch, missing=(), **changes):
    """The ids that are trained on, and those that are validated on, when some have no reference yet."""
    parts = []

    def noted(policy, kept, aside, *rest):
        parts.extend({example.id for example, _ in pairs} for pairs in (kept, aside))
        raise KeyboardInterrupt

    async def late(group):
        if group.example.id in missing:
            raise EstimationError("not yet", group)
        return await constant(group)

    async def drawn(policy, example, n, **sampling):
        return catlite.Group(example, (catlite.Rollout("aaaa"),) * n)

    with monkeypatch.context() as patched:
        patched.setattr(module, "sft_trainer", noted)
        patched.setattr(references, "sample_group", drawn)
        with contextlib.suppress(KeyboardInterrupt):
            sft(open_task(8), LocalModel(folder), estimator=late, config=settings(validation=0.25, **changes))
    return parts


def test_a_reference_that_comes_late_moves_no_other_across_the_split(folder, monkeypatch):
    trained, validated = split_of(folder, monkeypatch)
    assert (len(trained), len(validated)) == (6, 2)
    for missing in [*trained, *validated]:
        fewer = split_of(folder, monkeypatch, {missing})
        assert fewer == [trained - {missing}, validated - {missing}]
    assert split_of(folder, monkeypatch, seed=1) != [trained, validated]


def test_the_split_goes_by_ids_or_prompts_and_not_by_places():
    examples = [Example(f"Say {number}", id=f"q{number}") for number in range(20)]
    config = settings(validation=0.3)
    named = [(one.id, one) for one in examples]
    assert set_aside(named, config) == set_aside(named[::-1], config)
    bare = [Example(one.prompt) for one in examples]
    prompts = {bare[int(name)].prompt for name in set_aside([(str(n), e) for n, e in enumerate(bare)], config)}
    turned = bare[::-1]
    again = {turned[int(name)].prompt for name in set_aside([(str(n), e) for n, e in enumerate(turned)], config)}
    assert prompts == again
    assert len(prompts) == 6
    assert set_aside(named[:1], settings(validation=0.9)) == set()


def test_references_that_are_all_for_validation_are_an_error_that_says_so(folder, monkeypatch):
    trained, _ = split_of(folder, monkeypatch)
    with pytest.raises(TrainingError, match=r"only 2 of 8 prompts .* set aside for validation"):
        split_of(folder, monkeypatch, trained)


def test_prompts_without_a_reference_are_left_out_and_counted(folder):
    async def half(group):
        if group.example.id in ("q0", "q1"):
            raise EstimationError("no idea", group)
        return await constant(group)

    run = tuned(folder, estimator=half)
    assert "2 references, 2 prompts had none" in run.ended


def test_a_reference_without_text_is_not_trained_on(folder, monkeypatch):
    """As a vote gives for a group without any answer."""
    seen = []

    async def half(group):
        reference = await constant(group)
        return reference if group.example.id in ("q0", "q1") else dataclasses.replace(reference, text=" ")

    def noted(policy, kept, *rest):
        seen.extend(text for _, text in kept)
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "sft_trainer", noted)
    with pytest.raises(KeyboardInterrupt):
        tuned(folder, estimator=half)
    assert set(seen) == {"aaaa"}


def test_a_prompt_that_a_provider_refuses_is_left_out(folder):
    async def half(group):
        if group.example.id == "q1":
            raise RequestRejected("the content filter", status=400)
        return await constant(group)

    assert "1 prompts had none" in tuned(folder, estimator=half, config=settings(epochs=1)).ended


def test_no_reference_at_all_is_an_error_with_the_reason(folder):
    async def never(group):
        raise EstimationError("no idea", group)

    with pytest.raises(TrainingError, match="none of 4 prompts has a reference to train on: no idea"):
        tuned(folder, estimator=never)


def test_a_budget_that_is_reached_ends_it_before_training(folder):
    async def dear(group):
        raise BudgetReached("the budget is reached")

    with pytest.raises(BudgetReached):
        tuned(folder, estimator=dear)


def test_gold_answers_are_not_seen(folder):
    seen = []

    async def spy(group):
        seen.append(group.example.answer)
        return await constant(group)

    task = Task("t", tuple(Example(f"Say {n}", answer="gold", id=str(n)) for n in range(3)))
    sft(task, LocalModel(folder), estimator=spy, config=settings())
    assert seen == [None] * 3


def test_a_finished_run_is_given_back(folder, tmp_path):
    first = tuned(folder, run=tmp_path)
    again = tuned(folder, run=tmp_path)
    assert same(adapter_of(first), adapter_of(again))
    assert json.loads((tmp_path / "training.json").read_text())["method"] == "sft"
    with pytest.raises(ConfigError, match="goes on as it was begun"):
        tuned(folder, run=tmp_path, config=settings(epochs=3))


def test_a_run_that_was_interrupted_comes_to_the_same_end(folder, tmp_path, monkeypatch):
    whole = tuned(folder, config=settings(epochs=4))
    asked = []

    async def counted(group):
        asked.append(group.example.id)
        return await constant(group)

    counted.__name__ = "constant"
    count = watch.Watch.begin_step

    def interrupted(self, step):
        if step == 5:  # of eight, with a checkpoint after every two
            raise KeyboardInterrupt
        count(self, step)

    with monkeypatch.context() as patched:
        patched.setattr(watch.Watch, "begin_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tuned(folder, estimator=counted, config=settings(epochs=4), run=tmp_path)
    again = tuned(folder, estimator=counted, config=settings(epochs=4), run=tmp_path)
    assert (again.steps, len(again.metrics)) == (whole.steps, len(whole.metrics))
    assert same(adapter_of(again), adapter_of(whole))


def test_what_the_template_is_told_holds_for_what_is_trained_on(tmp_path, monkeypatch):
    thinking = TEMPLATE + "{% if add_generation_prompt and enable_thinking is defined %}<no>{% endif %}"
    policy = LocalModel(tiny_model(tmp_path, template=thinking), chat_template_kwargs={"enable_thinking": False})
    seen = []
    rows = build.conversations
    monkeypatch.setattr(build, "conversations", lambda *given: seen.extend(rows(*given)) or rows(*given))
    sft(open_task(2), policy, estimator=constant, config=settings(epochs=1))
    assert [row["chat_template_kwargs"] for row in seen] == [{"enable_thinking": False}] * 2


def test_a_prompt_that_is_too_long_is_named_before_anything_is_drawn(folder):
    task = Task("long", (*open_task(3), Example("Say " * 70, id="the long one")))
    with pytest.raises(DataError, match="'the long one'"):
        sft(task, LocalModel(folder), estimator=constant, config=settings())


def test_sft_refuses_an_empty_task(folder):
    with pytest.raises(DataError):
        sft(Task("empty", ()), LocalModel(folder))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epochs": 0}, "at least 1"),
        ({"validation": 1.0}, "below 1"),
        ({"validation": "0.1"}, "validation='0.1': want a share"),
        ({"lora_layers": 2}, "share"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        SFTConfig(**changes)


def test_a_comparison_always_has_all_four_systems():
    def reply(right):
        return lambda prompt, i: f"it is {'b' if i >= right else 'a'}"

    task = Task("t", tuple(Example(f"q{n}", answer="a", answer_format=r"is (\w)", id=str(n)) for n in range(3)))
    found = compare(catlite.ScriptedModel(reply(3), "old"), catlite.ScriptedModel(reply(6), "new"), task, n=8)
    frame = found.to_frame()
    assert list(frame.index) == ["single sample", "pass@8", "greedy", "majority of 8", "synthesis of 8"]
    single = frame.loc["single sample"]
    assert (single["before"], single["after"], single["difference"]) == (3 / 8, 6 / 8, 3 / 8)
    assert single["difference_se"] == 0
    majority = frame.loc["majority of 8"]
    assert (majority["before"], majority["after"]) == (0, 1)
    assert "old → new" in str(found)
    assert "<table" in found._repr_html_()


def test_an_open_ended_comparison_has_no_vote(folder):
    policy = LocalModel(tiny_model(folder.parent / "roomy", context=4096))
    found = compare(policy.frozen(), policy, open_task(2), grader=vowels, n=2, max_tokens=12, seed=1)
    assert list(found.to_frame().index) == ["single sample", "greedy", "synthesis of 2"]
    assert (found.to_frame()["difference"] == 0).all()
