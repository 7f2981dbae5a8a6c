"""Settings of training, and what train refuses, on a tiny random model."""

import inspect
import math
import re
import warnings
from dataclasses import dataclass, fields

import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
pytest.importorskip("trl", reason="needs catlite[train]")
from tiny import tiny_model  # noqa: E402
from trainings import constant, open_task, small, trained, vowels  # noqa: E402

import catlite  # noqa: E402
from catlite import AnswerMatch, Example, LocalModel, SFTConfig, Task, TrainConfig, train  # noqa: E402
from catlite.errors import ConfigError, DataError, OutOfMemory  # noqa: E402
from catlite.training.config import family_sampling, rollout_sampling  # noqa: E402
from catlite.training.folder import Folder  # noqa: E402
from catlite.training.lora import TrainablePolicy  # noqa: E402
from catlite.training.trl.settings import trl_settings  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # what torch and its friends warn about is not ours


def test_config_has_few_dials_each_with_its_why():
    assert len(fields(TrainConfig)) <= 17
    for config in (TrainConfig, SFTConfig):
        arguments = re.search(r"Args:\n(.*?)\n\n", inspect.getdoc(config), re.DOTALL)[1]
        told = re.findall(r"^    (\w+): \w", arguments, re.MULTILINE)
        assert told == [setting.name for setting in fields(config)]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"num_generations": 1}, "a group of one"),
        ({"num_generations": 2.5}, "whole number"),
        ({"steps": 0}, "at least 1"),
        ({"prompts_per_step": True}, "whole number"),
        ({"learning_rate": 0}, "positive"),
        ({"learning_rate": math.nan}, "positive"),
        ({"beta": -1}, "0 or more"),
        ({"beta": "0.1"}, "0 or more"),
        ({"beta": True}, "beta=True: want a finite number"),
        ({"beta": math.inf}, "finite number of 0 or more"),
        ({"seed": 1.5}, "seed=1.5: want a whole number"),
        ({"seed": -1}, "from 0 to"),
        ({"trl": 3}, "trl=3: want a mapping"),
        ({"trl": {1: 2}}, "want a mapping from settings of TRL's config"),
        ({"sampling": 3}, "sampling=3: want a mapping"),
        ({"sampling": {"temperature": math.inf}}, "temperature=inf: want a number of at least 0"),
        ({"lora_layers": 1.5}, "share"),
        ({"stop": "never"}, '"gap", "reward", "flips" or "gold"'),
        ({"held_back": 1}, "at least 2"),
        ({"held_back": -5}, "at least 2"),
        ({"sampling": {"repetition_penalty": 1.1}}, "sampled alike, by temperature"),
        ({"sampling": {"seed": 1}}, "the seed into seed="),
        ({"sampling": {"temperatur": 1}}, "did you mean temperature"),
        ({"judge_wait": 0}, "positive"),
        ({"sampling": {"temperature": 0}}, "would all be the same"),
        ({"sampling": {"top_k": 1}}, r"'top_k': 1}: .* would all be the same"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes, said):
    with pytest.raises(ConfigError, match=said):
        TrainConfig(**changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"trl": {"per_device_train_batch_size": 3}}, "does not divide the 8 sequences of a step.*such as 4"),
        ({"trl": {"per_device_train_batch_size": True}}, "per_device_train_batch_size=True: want a whole number"),
        ({"trl": {"per_device_train_batch_size": 8.0}}, "per_device_train_batch_size=8.0: want a whole number"),
        # TRL would train on one micro-batch a step, and on half of the rollouts that the config has.
        ({"trl": {"gradient_accumulation_steps": 1}}, r"prompts_per_step \(or batch_size\), cut by per_device"),
        ({"trl": {"per_device_train_batch_size": 4, "steps_per_generation": 1}}, "for 4 .* and a step has 8"),
        ({"trl": {"generation_batch_size": 4, "per_device_train_batch_size": 2}}, "for 4 .* and a step has 8"),
        ({"trl": {"max_completion_length": 9}}, "set this by max_completion_length"),
        ({"trl": {"temperature": 0.5}}, "set this by sampling"),
        ({"trl": {"output_dir": "x"}}, "set this by run="),
        ({"trl": {"no_such_setting": 3}}, "GRPOConfig has no setting of that name"),
        ({"trl": {"eval_strategy": "steps"}}, "set this by check_every, with held_back= or validation="),
        ({"trl": {"logging_steps": 5}}, "catlite sets this itself"),
        ({"trl": {"ignore_data_skip": True}}, "resumes exactly"),
        ({"trl": {"save_only_model": True}}, "resumes exactly"),
        ({"trl": {"remove_unused_columns": True}}, "rewards rows by their ids"),
        ({"trl": {"use_vllm": True}}, r"subtracts it afterwards.*fast=.*vLLM server"),
        ({"trl": {"use_vllm": None}}, "vLLM server"),
        ({"trl": {"vllm_mode": "colocate"}}, "vllm_mode.*vLLM server"),
        ({"prompts_per_step": 7}, "too few for a step of prompts_per_step=7.*prompts_per_step=6"),
        ({"held_back": 6}, "hold fewer back"),
        ({"stop": "gap"}, "held_back=16, or pass validation="),
    ],
)
def test_settings_that_do_not_fit_the_task_are_refused(folder, changes, said):
    with pytest.raises(ConfigError, match=said):
        trained(folder, config=small(**changes))


@pytest.mark.parametrize(
    ("changes", "options", "said"),
    [
        ({"trl": {"per_device_train_batch_size": 3}}, {}, "does not divide"),
        ({"trl": {"no_such_setting": 3}}, {}, "no setting of that name"),
        ({"trl": {"lr_scheduler_type": "sideways"}}, {}, "TRL does not take these settings"),
        ({"trl": {"sync_ref_model": True}}, {}, "TRL's trainer does not take trl={'sync_ref_model': True}"),
        ({}, {"task": Task("long", tuple(Example("Say " * 99, id=str(n)) for n in range(6)))}, "too long"),
        ({}, {"reward": AnswerMatch()}, "AnswerMatch needs the answer_format"),
        ({}, {"estimator": catlite.MajorityVote()}, "MajorityVote needs the answer_format"),
    ],
)
def test_a_refused_call_leaves_policy_and_folder_as_they_were(folder, tmp_path, changes, options, said):
    policy = LocalModel(folder)
    policy.weights.template = {"enable_thinking": True}
    told = {"sampling": {"temperature": 1.0, "chat_template_kwargs": {"enable_thinking": False}}}
    settings = {"estimator": constant, "reward": vowels, "run": tmp_path / "run"}
    task = options.pop("task", open_task())
    with pytest.raises((ConfigError, DataError), match=said):
        train(task, policy, config=small(**told, **changes), **{**settings, **options})
    assert policy.weights.template == {"enable_thinking": True}
    assert policy.weights.trained_in is None
    assert train(open_task(), policy, config=small(**told), **settings).complete  # in the same folder
    assert policy.weights.template == {"enable_thinking": False}


def test_a_setting_of_ours_that_this_trl_does_not_know_is_told():
    @dataclass
    class Older:
        beta: float = 0.0
        warmup_steps: int = 0

    ours = {"beta": 0.1, "loss_type": "grpo", "max_prompt_length": None}
    with pytest.warns(UserWarning, match=r"Older has no setting loss_type='grpo': training goes on without"):
        assert trl_settings(Older, ours, {"warmup_steps": 3}) == {"beta": 0.1, "warmup_steps": 3}


def test_every_setting_of_ours_is_known_to_the_installed_trl(folder):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*has no setting")
        assert trained(folder).complete


def test_a_task_with_one_example_is_trained_on_one_prompt_a_step(folder):
    with pytest.raises(ConfigError, match="prompts_per_step=1"):
        trained(folder, task=open_task(1))
    assert trained(folder, task=open_task(1), config=small(prompts_per_step=1)).steps == 2


def test_a_prompt_to_check_that_is_too_long_is_named_by_its_place(folder):
    with pytest.raises(DataError, match="1 of 8 questions are too long to be trained on: '1 of those to check'"):
        trained(folder, validation=["Say 1", "long" * 90])


def test_a_task_without_examples_is_refused(folder):
    with pytest.raises(DataError, match="no examples"):
        trained(folder, task=Task("empty", ()))


def test_duplicate_ids_are_refused(folder):
    with pytest.raises(ConfigError, match="come more than once, such as 'x'"):
        trained(folder, task=Task("t", (Example("a", id="x"), Example("b", id="x"))))


def test_a_reward_of_the_wrong_length_is_refused_by_name(folder):
    async def short(group, reference):
        return [1.0]

    with pytest.raises(ConfigError, match="short gave 1 values for a group of 4"):
        trained(folder, reward=short)


def test_a_reward_that_is_nan_is_refused(folder):
    async def undefined(group, reference):
        return [math.nan] * len(group.rollouts)

    with pytest.raises(ConfigError, match="gave nan"):
        trained(folder, reward=undefined)


@pytest.mark.parametrize(
    ("where", "lower"),
    [
        ("sampling", r"sampling one reply.*max_completion_length"),
        ("training", "while training.*per_device_train_batch"),
    ],
)
def test_memory_that_does_not_suffice_says_what_to_lower(folder, where, lower):
    async def greedy(group, reference):
        return await vowels(group, reference)

    policy = LocalModel(folder)
    inner = policy.model.base_model.forward

    def full(*given, **named):
        if where == "sampling" or torch.is_grad_enabled():
            raise torch.OutOfMemoryError("CUDA out of memory")
        return inner(*given, **named)

    policy.model.base_model.forward = full
    with pytest.raises(OutOfMemory, match=lower):
        train(open_task(), policy, estimator=constant, reward=greedy, config=small())


def test_a_run_of_another_model_is_refused(folder, tmp_path):
    trained(folder, run=tmp_path / "run")
    other = tiny_model(tmp_path / "other", seed=9)
    with pytest.raises(ConfigError, match="checkpoints of another model"):
        trained(other, run=tmp_path / "run")


def test_a_run_of_the_same_model_in_other_precision_is_refused(folder, tmp_path):
    trained(folder, run=tmp_path)
    policy = LocalModel(folder, dtype="bfloat16")
    with pytest.raises(ConfigError, match=r"another model .* this one has \w{12}…, dtype=bfloat16"):
        train(open_task(), policy, estimator=constant, reward=vowels, config=small(), run=tmp_path)


def test_one_of_several_processes_that_are_not_connected_is_refused(folder, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match=r"WORLD_SIZE=4 says .* not connected"):
        trained(folder)


@pytest.mark.parametrize(
    ("settings", "environment", "said"),
    [
        ({"prompts_per_step": 1, "num_generations": 3}, {}, "the 3 rollouts of a step .* over 2 processes"),
        ({}, {"ACCELERATE_USE_FSDP": "true"}, "FSDP, which splits the model"),
        ({}, {}, "trains with Unsloth, which is for one process"),
    ],
)
def test_what_several_processes_cannot_share_is_refused_before_weights_load(
    folder, monkeypatch, settings, environment, said
):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("catlite.training.trl.ranks.join_ranks", lambda: 2)
    policy = LocalModel(folder)
    policy.weights.backend = "unsloth"
    with pytest.raises(ConfigError, match=said):
        train(open_task(), policy, estimator=constant, reward=vowels, config=small(**settings))
    assert not policy.weights.loaded


def test_more_processes_than_gpus_are_refused(folder, monkeypatch):
    monkeypatch.setattr("catlite.training.trl.ranks.join_ranks", lambda: 4)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match=r"4 processes run on a machine with 2 GPUs: .* --nproc_per_node 2"):
        TrainablePolicy(folder, small())


def test_a_folder_that_another_machine_alone_sees_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"not there on each machine: give a run= on a disk that they share"):
        Folder(tmp_path / "run").check_seen()


def test_sft_is_for_one_process(folder, monkeypatch):
    monkeypatch.setattr("catlite.training.trl.ranks.join_ranks", lambda: 2)
    with pytest.raises(ConfigError, match=r"one of 2 processes .* sft runs in one"):
        catlite.sft(open_task(), LocalModel(folder), estimator=constant)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"config": small(learning_rate=0.5)}, "begun with learning_rate=0.01, and this call has learning_rate=0.5"),
        ({"config": small(held_back=2)}, "begun with held_back=0, and this call has held_back=2"),
        ({"task": open_task(5)}, "begun with other questions"),
    ],
)
def test_a_run_of_other_settings_is_refused(folder, tmp_path, changes, said):
    trained(folder, run=tmp_path)
    with pytest.raises(ConfigError, match=f"{said}.*a run goes on as it was begun"):
        trained(folder, run=tmp_path, **changes)


@pytest.mark.parametrize("schedule", ["cosine", "constant_with_warmup"])
def test_a_schedule_of_the_learning_rate_is_over_the_steps_a_run_was_begun_with(tmp_path, schedule):
    """Gone on with more steps, step 3 of a cosine would have the rate 0, and those after it that of another curve."""
    begun, longer = (small(steps=steps, trl={"lr_scheduler_type": schedule}).as_dict() for steps in (2, 4))
    Folder(tmp_path).open({"config": begun}, {})
    if schedule == "constant_with_warmup":
        Folder(tmp_path).open({"config": longer}, {})
    else:
        with pytest.raises(ConfigError, match=r"steps=2, .* steps=4 \(the learning rate follows the schedule 'cosine'"):
            Folder(tmp_path).open({"config": longer}, {})


def test_policies_that_cannot_be_trained_are_refused(folder, tmp_path):
    run = trained(folder)
    for policy, said in [
        (catlite.ScriptedModel(lambda p, i: "x"), "ScriptedModel"),
        (LocalModel(folder).frozen(), "is the anchor"),
        (LocalModel(folder, adapter=run.adapter), "merge it first"),
        (LocalModel(folder, stop="x"), "has a stop string, which would cut replies in checks"),
    ]:
        with pytest.raises(ConfigError, match=said):
            train(open_task(), policy, estimator=constant, reward=vowels, config=small())


def test_a_model_that_is_loaded_greedy_has_no_rollouts_to_compare(folder):
    greedy = LocalModel(folder, temperature=0)
    with pytest.raises(ConfigError, match="would all be the same"):
        train(open_task(), greedy, estimator=constant, reward=vowels, config=TrainConfig.small())


@pytest.mark.parametrize(
    ("name", "temperature", "top_k"),
    [
        ("google/gemma-3-4b-it", 1.0, 64),
        ("unsloth/Qwen3-4B", 0.7, 20),
        ("meta-llama/Llama-3.1-8B-Instruct", 0.7, 50),
        ("/cache/hub/models--Qwen--Qwen3-4B/snapshots/1cfa9a7208912126", 0.7, 20),
    ],
)
def test_families_are_sampled_as_in_the_paper(name, temperature, top_k):
    sampling = family_sampling(name)
    assert (sampling["temperature"], sampling["top_k"]) == (temperature, top_k)
    assert TrainConfig(sampling=sampling)


@pytest.mark.parametrize(
    ("sampling", "loaded", "expected"),
    [
        (None, {}, {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "thinks": False}),
        ({"temperature": 1.0}, {}, {"temperature": 1.0, "thinks": False}),
        (None, {"top_p": 0.5, "max_tokens": 9}, {"top_p": 0.5, "thinks": False}),
        ({"top_p": 0.9}, {"top_p": 0.5, "temperature": 0.6}, {"temperature": 0.6, "top_p": 0.9, "thinks": False}),
        (
            None,
            {"chat_template_kwargs": {"enable_thinking": True}},
            {"temperature": 0.7, "top_k": 20, "top_p": 0.8, "thinks": True},
        ),
    ],
)
def test_rollouts_are_sampled_as_the_config_then_the_model_then_the_paper_says(sampling, loaded, expected):
    found = rollout_sampling(TrainConfig(sampling=sampling), "Qwen3-4B", loaded)
    thinks = found.pop("chat_template_kwargs")["enable_thinking"]
    assert {**found, "thinks": thinks} == expected


def test_sampling_of_an_unknown_family_filters_nothing():
    assert family_sampling("tiny") == {"temperature": 1.0}
    assert family_sampling("/home/llama/models/tiny/") == {"temperature": 1.0}
