"""train: what it learns, keeps, resumes and refuses, on a tiny random model."""

import errno
import json
import os
import re
import signal
import sys
from pathlib import Path

import children
import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
pytest.importorskip("trl", reason="needs catlite[train]")
from tiny import TEMPLATE, tiny_model  # noqa: E402
from trainings import adapter_of, constant, open_task, same, small, trained, vowels  # noqa: E402

from catlite import Example, LocalModel, RubricReward, ScriptedModel, Task, concurrency, train  # noqa: E402
from catlite.errors import BudgetReached, ConfigError, EndpointUnavailable  # noqa: E402
from catlite.training.folder import Folder  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # what torch and its friends warn about is not ours


def test_a_reward_that_can_be_had_is_had_more_often(folder):
    policy = LocalModel(folder)
    # The random model finds all bytes about equally likely whatever is before them: too weak a head to learn with.
    # Later on no rollout ends any more, and none can be used.
    policy.model.get_output_embeddings().weight.data *= 20
    config = small(steps=7, prompts_per_step=4, num_generations=8, check_every=7, learning_rate=0.003)
    run = train(open_task(), policy, estimator=constant, reward=vowels, config=config)
    frame = run.to_frame()
    assert frame["cat/reward"].tail(3).mean() > 2 * frame["cat/reward"].head(3).mean()
    assert run.complete
    assert (run.steps, run.ended) == (7, "all 7 steps were made")


def test_a_judges_verdicts_on_a_proposed_rubric_are_a_reward_to_train_on(folder):
    rubric = json.dumps({"criteria": [f"names the letter {letter!r}" for letter in "aeiou"]})
    proposer = ScriptedModel(lambda prompt, i: rubric, "proposer")

    def verdict(prompt, i):
        text = prompt[0]["content"]
        (wanted,) = set(re.findall(r"names the letter '(.)'", text))
        (response,) = re.findall(r"<response-\w+ 1>(.*?)</response-\w+>", text, re.DOTALL)
        return json.dumps({"reason": "looked for it", "met": wanted in response})

    judge = ScriptedModel(verdict, "judge")
    texts = []

    async def noting(group):
        texts.extend(rollout.text for rollout in group.rollouts)
        return await constant(group)

    run = trained(
        folder, estimator=noting, reward=RubricReward(proposer, judge), config=small(steps=3, learning_rate=0.1)
    )
    frame = run.to_frame()
    assert run.complete
    assert list(frame["cat/coverage"]) == [1.0] * 3
    assert 0 < frame["cat/reward"].mean() < 1
    assert len(proposer.calls) == 1  # the reference is the same for all groups, and so is its rubric
    assert len(texts) == 3 * 2 * 4
    assert len(judge.calls) == 5 * sum(bool(text.strip()) for text in texts)  # a rollout of nothing needs no judge
    assert any((value != 0).any() for name, value in adapter_of(run).items() if "lora_B" in name)


def test_what_comes_is_ready_to_sample_and_its_initial_policy_is_the_base(folder):
    policy, base = LocalModel(folder), LocalModel(folder)
    config = small(learning_rate=0.1, steps=4, num_generations=16)
    run = train(open_task(), policy, estimator=constant, reward=vowels, config=config)
    assert run.policy is policy

    def texts(model):
        return [one.text for one in concurrency.run(model.sample("Say 1", 4, seed=1, max_tokens=20))]

    assert texts(run.initial) == texts(base)
    assert texts(run.policy) != texts(base)
    assert texts(LocalModel(folder, adapter=run.adapter)) == texts(run.policy)


def test_the_merged_model_is_the_trained_policy(folder, tmp_path):
    run = trained(folder, config=small(learning_rate=0.1))
    merged = LocalModel(run.merge_and_save(tmp_path / "merged"))
    scores = concurrency.run(merged.logprobs("Say 1", "a text"))
    assert scores == pytest.approx(concurrency.run(run.policy.logprobs("Say 1", "a text")), abs=1e-4)
    assert any((tmp_path / "merged").glob("*.safetensors"))


def test_metrics_say_where_the_seconds_went(folder, tmp_path):
    run = trained(folder, run=tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    for line in lines:
        parts = [line[f"seconds/{part}"] for part in ("generation", "reward", "backward")]
        assert all(part > 0 for part in parts)
        assert sum(parts) == pytest.approx(line["seconds/step"], abs=0.01)
        assert {"cat/reward", "cat/coverage", "entropy", "completions/mean_length"} <= set(line)
    assert list(run.to_frame().index) == [1, 2]
    pytest.importorskip("matplotlib", reason="needs catlite[notebooks]")
    assert len(run.plot().axes) == 6


def test_training_by_default_wants_the_policys_frozen_weights_and_answers(folder):
    task = Task("verifiable", tuple(Example(f"Say {n}", answer_format=r"(\w)") for n in range(4)))
    config = small(beta=1e-3, prompts_per_step=4, max_completion_length=48)
    run = train(task, LocalModel(tiny_model(folder.parent / "roomy", context=4096)), config=config)
    assert run.steps == 2
    assert max(row["cat/coverage"] for row in run.metrics) > 0
    manifest = json.loads((run.folder / "training.json").read_text())
    assert manifest["estimator"].startswith("Synthesis(anchor=LocalModel(")
    assert manifest["reward"] == "AnswerMatch()"


def test_an_open_ended_task_without_a_reward_names_the_judge_it_needs(folder):
    with pytest.raises(ConfigError, match="RubricReward\\(proposer, judge\\)"):
        train(open_task(), LocalModel(folder))


def test_no_second_copy_of_the_weights_is_made(folder):
    policy = LocalModel(folder)
    train(open_task(), policy, estimator=constant, reward=vowels, config=small(beta=0.01))
    names = [name for name, _ in policy.model.named_parameters()]
    assert len([name for name in names if name.endswith("embed_tokens.weight")]) == 1
    assert not [name for name in names if ".ref." in name]
    assert policy.frozen().model is policy.model


def test_only_the_top_share_of_layers_is_trained(folder):
    run = trained(folder, config=small(lora_layers=0.5))
    layers = {name.split(".layers.")[1].split(".")[0] for name in adapter_of(run)}
    assert layers == {"1"}


# Interruptions


def interrupted(reward, at):
    """The reward, which fails as a provider does from call `at` on."""
    calls = [0]

    async def judged(group, reference):
        calls[0] += 1
        if calls[0] > at:
            raise EndpointUnavailable("the judge is down")
        return await reward(group, reference)

    return judged


def test_a_run_that_was_halted_goes_on_as_if_nothing_had_been(folder, tmp_path):
    """6 questions, 2 a step: the halt falls into the second epoch."""
    config = small(steps=6, judge_wait=0.2, check_every=2)
    whole = trained(folder, config=config, run=tmp_path / "whole")

    async def vowels_(group, reference):
        return await vowels(group, reference)

    down = interrupted(vowels, 2 * 4)
    down.__name__ = "vowels"
    halted = trained(folder, config=config, run=tmp_path / "parts", reward=down)
    assert not halted.complete
    assert halted.steps == 4
    assert "the judge is down" in halted.ended
    assert "goes on from there" in halted.ended
    again = trained(folder, config=config, run=tmp_path / "parts")
    assert again.complete
    assert same(adapter_of(again), adapter_of(whole))
    assert again.to_frame()["cat/reward"].tolist() == whole.to_frame()["cat/reward"].tolist()


@pytest.mark.parametrize(
    "trl",
    [{"num_iterations": 2}, {"per_device_train_batch_size": 8, "steps_per_generation": 2}],
    ids=lambda trl: max(trl),
)
def test_a_run_that_is_interrupted_between_the_updates_of_a_batch_draws_that_batch_again(folder, tmp_path, trl):
    def train_for(steps, name):
        return trained(folder, config=small(steps=steps, trl=trl), run=tmp_path / name)

    train_for(3, "longer")
    longer, whole = train_for(4, "longer"), train_for(4, "whole")
    assert same(adapter_of(longer), adapter_of(whole))
    assert [row["step"] for row in longer.metrics] == [1, 2, 3, 4]
    assert {path.name for path in (tmp_path / "longer" / "checkpoints").glob("checkpoint-*")} == {
        "checkpoint-2",
        "checkpoint-4",
    }


def test_a_halt_between_checkpoints_keeps_the_step_before(folder, tmp_path):
    config = small(steps=5, judge_wait=0.2, check_every=5)
    down = interrupted(vowels, 2 * 3)
    down.__name__ = "vowels"
    halted = trained(folder, config=config, run=tmp_path, reward=down)
    assert halted.steps == 3
    assert [path.name for path in (tmp_path / "checkpoints").glob("checkpoint-*")] == ["checkpoint-3"]
    again = trained(folder, config=config, run=tmp_path)
    assert same(adapter_of(again), adapter_of(trained(folder, config=config)))


@pytest.mark.parametrize("calls", [2, 4])  # the check's rollouts have rewards; or its references, too
def test_a_run_halted_in_its_first_step_checks_the_initial_policy_once(folder, tmp_path, calls):
    config = small(steps=2, judge_wait=0.2, held_back=2)
    down = interrupted(vowels, calls)
    down.__name__ = "vowels"
    assert trained(folder, config=config, run=tmp_path, reward=down).steps == 0
    again = trained(folder, config=config, run=tmp_path)
    assert again.complete
    assert list(again.to_frame().index) == [0, 1, 2]


def test_a_run_goes_on_with_smaller_micro_batches(folder, tmp_path):
    """What an error about memory advises."""
    down = interrupted(vowels, 2)
    down.__name__ = "vowels"
    assert trained(folder, config=small(judge_wait=0.2), run=tmp_path, reward=down).steps == 1
    lower = small(trl={"per_device_train_batch_size": 2})
    assert trained(folder, config=lower, run=tmp_path).complete


def test_policy_and_anchor_are_told_the_same_by_the_chat_template(tmp_path):
    """Rollouts without thinking beside an anchor that thinks would be two models."""
    thinking = TEMPLATE + "{% if enable_thinking is defined and not enable_thinking %}<no>{% endif %}"
    policy = LocalModel(tiny_model(tmp_path, template=thinking))
    sampling = {"temperature": 1.0, "chat_template_kwargs": {"enable_thinking": False}}
    run = train(open_task(), policy, estimator=constant, reward=vowels, config=small(sampling=sampling))
    told = policy.tokenizer("<no>", add_special_tokens=False)["input_ids"]
    for model in (run.policy, run.initial):
        assert model.tokens([{"role": "user", "content": "Say 1"}])[-len(told) :] == told
    thought = run.policy.tokens(
        [{"role": "user", "content": "Say 1"}], {"chat_template_kwargs": {"enable_thinking": 1}}
    )
    assert thought[-len(told) :] != told


def test_weights_are_untouched_when_every_group_abstains(folder, tmp_path):
    async def nothing(group, reference):
        return [None] * len(group.rollouts)

    run = trained(folder, reward=nothing, config=small(beta=0.5, judge_wait=0.2))
    assert (run.steps, run.complete) == (0, False)
    assert "no group had a reward" in run.ended
    assert all((value == 0).all() for name, value in adapter_of(run).items() if "lora_B" in name)


def test_a_budget_that_is_reached_halts_the_run(folder):
    async def dear(group, reference):
        raise BudgetReached("the budget is reached")

    run = trained(folder, reward=dear)
    assert not run.complete
    assert "budget" in run.ended


def test_a_finished_run_is_given_back_without_training(folder, tmp_path):
    first = trained(folder, run=tmp_path)

    async def vowels(group, reference):
        raise AssertionError

    again = trained(folder, run=tmp_path, reward=vowels)
    assert (again.steps, again.ended, again.complete) == (first.steps, first.ended, True)
    assert same(adapter_of(again), adapter_of(first))
    assert again.metrics == first.metrics
    scores = [concurrency.run(run.policy.logprobs("Say 1", "a text")) for run in (first, again)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-6)


def test_a_finished_run_can_be_made_longer(folder, tmp_path):
    trained(folder, run=tmp_path, config=small(steps=2))
    longer = trained(folder, run=tmp_path, config=small(steps=4))
    assert same(adapter_of(longer), adapter_of(trained(folder, config=small(steps=4))))


KILLED = """
import sys
sys.path.insert(0, sys.argv[1])
import os, signal
import catlite
from catlite import LocalModel, train
from trainings import constant, open_task, small

url, folder, run, kill_at = sys.argv[2:6]
judge = catlite.Endpoint("test-model", base_url=url, api_key="sk-test-0123456789abcdefghijklmnop")
calls = [0]

async def judged(group, reference):
    rewards = []
    for rollout in group.rollouts:
        (reply,) = await judge.sample(f"{group.example.id}: {rollout.text}", 1)
        calls[0] += 1
        if calls[0] == int(kill_at):
            os.kill(os.getpid(), signal.SIGKILL)
        rewards.append(float(reply.text))
    return rewards

done = train(open_task(), LocalModel(folder), estimator=constant, reward=judged, run=run,
             config=small(steps=6, check_every=2))
assert done.complete, done
"""


def test_kill_9_in_the_middle_of_a_step_changes_nothing_and_pays_nothing_twice(folder, tmp_path):
    from server import Server

    script = tmp_path / "killed.py"
    script.write_text(KILLED)

    def reply(body, i):
        text = body["messages"][-1]["content"]
        return str(sum(text.count(letter) for letter in "aeiou ") / len(text))

    with Server(reply) as server:

        def run(name, kill_at):
            command = [sys.executable, str(script), str(Path(__file__).parents[1]), server.url, str(folder)]
            environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
            done = children.run(
                [*command, str(tmp_path / name), str(kill_at)], env=environment, capture_output=True, check=False
            )
            return done.returncode, done.stderr.decode()[-2000:]

        code, said = run("whole", 0)
        assert code == 0, said
        paid = sorted(request.body["messages"][-1]["content"] for request in server.requests)
        before = len(server.requests)
        # The third step's second group: 8 rollouts a step.
        assert run("parts", 22)[0] == -signal.SIGKILL
        code, said = run("parts", 0)
        assert code == 0, said
        # One request may have been under way when the process was killed.
        again = sorted(request.body["messages"][-1]["content"] for request in server.requests[before:])
        assert len(again) - len(set(again)) - (len(paid) - len(set(paid))) <= 1
        assert set(again) == set(paid)

    def numbers(name):
        from safetensors.torch import load_file

        return load_file(tmp_path / name / "adapter" / "adapter_model.safetensors")

    assert same(numbers("whole"), numbers("parts"))


def test_a_torn_checkpoint_is_passed_over(folder, tmp_path):
    config = small(steps=4, judge_wait=0.2)
    down = interrupted(vowels, 2 * 2)
    down.__name__ = "vowels"
    trained(folder, config=config, run=tmp_path, reward=down)
    torn = tmp_path / "checkpoints" / "checkpoint-3"
    torn.mkdir()
    (torn / "trainer_state.json").write_text('{"global_step": 3, ')
    assert same(adapter_of(trained(folder, config=config, run=tmp_path)), adapter_of(trained(folder, config=config)))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO, errno.EACCES, errno.ESTALE])
def test_a_checkpoint_that_cannot_be_read_now_is_passed_over_and_kept(tmp_path, monkeypatch, number):
    folder = Folder(tmp_path)
    for step in (2, 4):
        (folder.checkpoints / f"checkpoint-{step}").mkdir(parents=True)
        (folder.checkpoints / f"checkpoint-{step}" / "trainer_state.json").write_text('{"global_step": 2}')
    read = Path.read_text

    def unreadable(path, *given):
        if path.parent.name == "checkpoint-4":
            raise OSError(number, os.strerror(number), str(path))
        return read(path, *given)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", unreadable)
        folder.remove_torn()
        with pytest.warns(UserWarning, match=r"checkpoint-4 cannot be read now .* left as it is"):
            assert folder.last_checkpoint().name == "checkpoint-2"
    assert folder.last_checkpoint().name == "checkpoint-4"


def test_only_checkpoints_that_were_left_unfinished_are_removed(tmp_path):
    folder = Folder(tmp_path)
    for step, state in {1: '{"global_step": 1}', 2: '{"global_step": 2, ', 3: None}.items():
        (folder.checkpoints / f"checkpoint-{step}").mkdir(parents=True)
        if state is not None:
            (folder.checkpoints / f"checkpoint-{step}" / "trainer_state.json").write_text(state)
    (folder.checkpoints / "checkpoint-9").write_text("no folder")
    assert folder.last_checkpoint().name == "checkpoint-1"  # which removes nothing
    assert len(list(folder.checkpoints.iterdir())) == 4
    folder.remove_torn()
    assert sorted(path.name for path in folder.checkpoints.iterdir()) == ["checkpoint-1", "checkpoint-9"]


def test_commands_to_serve_know_rank_and_template(folder):
    run = trained(folder, config=small(lora_rank=12))
    assert "--max-lora-rank 16 " in run.serving()
    assert f"--base {folder} " in run.serving()
    assert "chat_template_kwargs" not in run.serving()
    run.policy.weights.template = {"enable_thinking": False}
    assert "chat_template_kwargs={'enable_thinking': False}" in run.serving()
