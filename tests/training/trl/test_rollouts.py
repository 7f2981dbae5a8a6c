"""TRL's rollouts come from our engine, drawn as everything else is drawn."""

import _thread

import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
pytest.importorskip("trl", reason="needs catlite[train]")
from trainings import constant, newer_trl, open_task, small, trained, vowels  # noqa: E402

from catlite import Example, LocalModel, Task, concurrency, train  # noqa: E402
from catlite.errors import DataError  # noqa: E402
from catlite.models.local.engine import Reply  # noqa: E402
from catlite.training.lora import TrainablePolicy  # noqa: E402
from catlite.training.trl import rollouts  # noqa: E402
from catlite.training.trl.rollouts import rollout_drawer, seed_of  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # what torch and its friends warn about is not ours


def asked(text):
    return [{"role": "user", "content": text}]


def drawn(policy, config, count, step=2):
    """The tokens of `count` rollouts of one prompt, as the trainer has them drawn; None when TRL draws them."""
    draw = rollout_drawer(TrainablePolicy(policy, config))
    return None if draw is None else draw([policy.tokens(asked("Say 1"))] * count, step)


def bare(text):
    """Without what the tiny model's end token, a byte, looks like in TRL's text."""
    return text.rstrip("\ufffd")


@newer_trl
def test_the_trainer_sees_what_the_model_samples(folder):
    seen = []

    async def noting(group, reference):
        seen.append([rollout.text for rollout in group.rollouts])
        return await vowels(group, reference)

    config = small(steps=1)
    run = trained(folder, open_task(2), reward=noting, config=config)
    alone = [
        concurrency.run(run.initial.sample(f"Say {number}", 8, seed=seed_of(0, config), temperature=1.0, max_tokens=24))
        for number in range(2)
    ]
    texts = [[bare(one.text) for one in replies] for replies in alone]
    seen = [[bare(text) for text in group] for group in seen]
    # A rollout's number is its place in the step.
    assert seen in ([texts[0][:4], texts[1][4:]], [texts[1][:4], texts[0][4:]])


def test_questions_with_the_same_words_do_not_share_rollouts(folder):
    seen = []

    async def noting(group, reference):
        seen.append([rollout.text for rollout in group.rollouts])
        return await vowels(group, reference)

    twice = Task("twice", (Example("Say it", id="one"), Example("Say it", id="other")))
    trained(folder, twice, reward=noting, config=small(steps=1))
    assert len(seen) == 2
    assert seen[0] != seen[1]


@newer_trl
def test_a_step_has_rollouts_of_its_own_and_has_them_again(folder):
    policy = LocalModel(folder)
    first, again, later = (drawn(policy, small(), 4, step) for step in (2, 2, 3))
    assert first == again
    assert first != later


@newer_trl
def test_a_rollout_has_the_token_it_ended_with(folder):
    policy = LocalModel(folder)
    engine = policy.weights.engine
    before = drawn(policy, small(), 8)
    engine.ends = sorted({*engine.ends, *before[0][5:8]})  # so that some end early
    rows = drawn(policy, small(), 8)
    ended = [row for row in rows if len(row) < 24]
    assert ended
    assert all(row[-1] in engine.ends for row in ended)
    assert not any(token in engine.ends for row in rows for token in row[:-1])


@newer_trl
def test_sampling_and_length_are_the_configs(folder):
    config = small(sampling={"temperature": 0.5, "top_p": 1e-6, "top_k": None}, max_completion_length=7)
    rows = drawn(LocalModel(folder), config, 3)
    assert rows[0] == rows[1] == rows[2]
    assert len(rows[0]) <= 7


@newer_trl
def test_what_the_model_was_loaded_with_holds_for_rollouts_too(folder):
    config = small(sampling=None)
    rows = drawn(LocalModel(folder, top_k=1), config, 3)
    assert rows[0] == rows[1] == rows[2]


@pytest.mark.parametrize("held_back", [0, 4])
def test_a_question_that_leaves_no_room_for_its_rollouts_is_named(folder, held_back):
    policy = LocalModel(folder)
    most = len(policy.tokens(asked("Say 12345678"))) + 24  # the tokens of a rollout
    task = Task("long", (*open_task(5), Example("Say 123456789", id="the long one")))
    said = r"1 of 6 questions are too long to be trained on: 'the long one' \(.*lower max_completion_length"
    config = small(held_back=held_back)
    with pytest.raises(DataError, match=said):
        train(task, LocalModel(folder, context=most), estimator=constant, reward=vowels, config=config)


@newer_trl
def test_trl_reads_prompts_as_the_model_does(folder, monkeypatch):
    """TRL hands tokens to what draws; the anchor and the checks read prompts by themselves."""
    seen = []
    made = rollouts.rollout_drawer

    def noting(policy):
        draw = made(policy)
        return lambda prompts, step: seen.extend(prompts) or draw(prompts, step)

    monkeypatch.setattr("catlite.training.trl.build.rollout_drawer", noting)
    trained(folder, open_task(2), config=small(steps=1))
    policy = LocalModel(folder)
    assert sorted(map(tuple, seen)) == sorted(tuple(policy.tokens(asked(f"Say {n // 4}"))) for n in range(8))


@pytest.mark.parametrize("settings", [{"repetition_penalty": 1.1}, {"generation_kwargs": {"no_repeat_ngram_size": 2}}])
def test_generation_that_only_trl_knows_is_left_to_trl(folder, settings):
    config = small(trl=settings)
    assert drawn(LocalModel(folder), config, 2) is None
    assert trained(folder, config=config).complete


@newer_trl
def test_saying_that_vllm_is_not_used_changes_nothing(folder):
    policy = LocalModel(folder)
    assert drawn(policy, small(trl={"use_vllm": False}), 2) == drawn(policy, small(), 2)


def test_unsloth_generates_itself(folder, monkeypatch):
    policy = LocalModel(folder)
    monkeypatch.setattr(policy.weights, "backend", "unsloth")
    assert drawn(policy, small(), 2) is None


@newer_trl
def test_after_an_interrupt_nobody_waits_for_the_batch(folder, monkeypatch):
    policy = LocalModel(folder)
    _ = policy.model
    replies = [Reply() for _ in range(2)]  # of a batch that does not end

    def interrupted(*given, **named):
        _thread.interrupt_main()
        return replies

    monkeypatch.setattr(policy.weights.engine, "draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        drawn(policy, small(), 2)
    assert all(reply.abandoned for reply in replies)
