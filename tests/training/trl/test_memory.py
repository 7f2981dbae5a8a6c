"""How many sequences a backward pass takes, by the shapes of models and the memory of cards; no GPU is needed."""

import json
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
pytest.importorskip("trl", reason="needs catlite[train]")
from trainings import constant, open_task, small, trained, vowels  # noqa: E402

from catlite import LocalModel, SFTConfig, TrainConfig, sft  # noqa: E402
from catlite.errors import ConfigError, EndpointUnavailable  # noqa: E402
from catlite.training.trl import build, memory  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # what torch and its friends warn about is not ours
GB = 10**9
# layers, hidden size, size of the MLP; GB of the weights in 16 bits
SHAPES = {
    "SmolLM2-135M": (30, 576, 1536, 0.27),
    "Qwen3-0.6B": (28, 1024, 3072, 1.2),
    "Qwen3-1.7B": (28, 2048, 6144, 3.4),
    "Qwen3-4B": (36, 2560, 9728, 8.0),
}
CARDS = {"T4": 15.6, "24 GB": 25.3, "H100": 84.9}  # GB that are free on an empty one


def shaped(name, dtype=torch.bfloat16, **more):
    """What the rule looks at of a model."""
    layers, hidden, inner, _ = SHAPES[name]
    config = SimpleNamespace(num_hidden_layers=layers, hidden_size=hidden, intermediate_size=inner, **more)
    return SimpleNamespace(config=SimpleNamespace(get_text_config=lambda: config), dtype=dtype)


def chosen(monkeypatch, name, card, tokens, config=None, backend="transformers", on_gpu=True):
    monkeypatch.setattr(memory, "free_bytes", lambda: int((CARDS[card] - SHAPES[name][3]) * GB))
    config = TrainConfig() if config is None else config
    local = SimpleNamespace(model=shaped(name), backend=backend)
    policy = SimpleNamespace(on_gpu=on_gpu, local=local, config=config)
    settings = memory.choose_micro_batch(policy, config.sequences, config.num_generations, lambda: tokens)
    return settings["per_device_train_batch_size"], settings["gradient_checkpointing"]


@pytest.mark.parametrize(
    ("name", "megabytes"),
    [("SmolLM2-135M", 1.1), ("Qwen3-0.6B", 1.92), ("Qwen3-1.7B", 3.84), ("Qwen3-4B", 6.91)],
)
def test_a_token_needs_what_was_measured_for_the_shape(name, megabytes):
    assert memory.token_bytes(shaped(name)) == pytest.approx(megabytes * 1e6, rel=0.01)


def test_fewer_layers_need_less_and_wider_numbers_or_more_experts_more():
    whole = memory.token_bytes(shaped("Qwen3-4B"))
    assert memory.token_bytes(shaped("Qwen3-4B"), 0.5) == whole / 2
    assert memory.token_bytes(shaped("Qwen3-4B", torch.float32)) == 2 * whole
    routed = shaped("Qwen3-4B", num_experts_per_tok=8, moe_intermediate_size=768)  # fewer in all than the dense MLP
    assert memory.token_bytes(routed) == whole
    assert memory.token_bytes(shaped("Qwen3-4B", num_experts_per_tok=2)) > 1.4 * whole


@pytest.mark.parametrize(
    ("users", "ranks", "size", "passes"),
    [({}, 1, 8, 8), ({}, 2, 8, 4), ({}, 16, 4, 1), ({"per_device_train_batch_size": 4}, 2, 4, 8)],
)
def test_processes_share_a_step_and_none_takes_more_than_its_part(tmp_path, monkeypatch, users, ranks, size, passes):
    monkeypatch.setattr(memory, "ranks", SimpleNamespace(world_size=lambda: ranks, ask_first=lambda work: work()))
    config = TrainConfig(trl=users)
    policy = SimpleNamespace(on_gpu=False, local=SimpleNamespace(backend="unsloth"), config=config)
    folder = SimpleNamespace(choice=lambda _, choose: choose())
    settings = memory.micro_batches(policy, folder, config.sequences, config.num_generations, lambda: 80)
    assert (settings["per_device_train_batch_size"], settings["gradient_accumulation_steps"]) == (size, passes)


def test_a_size_that_does_not_divide_the_part_of_a_process_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "ranks", SimpleNamespace(world_size=lambda: 4))
    policy = SimpleNamespace(config=TrainConfig(trl={"per_device_train_batch_size": 32}))
    with pytest.raises(ConfigError, match="does not divide the 16 sequences of a step that each of 4 processes has"):
        memory.micro_batches(policy, None, 64, 8, lambda: 80)


@pytest.mark.parametrize(
    ("name", "card", "tokens", "size", "checkpointing"),
    [
        # The demo's questions and rollouts are short: all of a step at once.
        ("SmolLM2-135M", "T4", 80, 64, False),
        ("Qwen3-0.6B", "T4", 80, 32, False),
        ("Qwen3-4B", "24 GB", 80, 8, False),
        ("Qwen3-4B", "H100", 80, 32, False),
        # Rollouts of 1,024 tokens behind prompts of up to 200.
        ("SmolLM2-135M", "T4", 1224, 8, True),
        ("SmolLM2-135M", "H100", 1224, 16, False),
        ("Qwen3-0.6B", "24 GB", 1224, 8, True),
        ("Qwen3-0.6B", "H100", 1224, 8, False),
        ("Qwen3-1.7B", "H100", 1224, 8, True),
        ("Qwen3-4B", "H100", 1224, 8, True),
    ],
)
def test_as_many_whole_groups_as_fit_and_checkpointing_where_not_one_does(
    monkeypatch, name, card, tokens, size, checkpointing
):
    assert chosen(monkeypatch, name, card, tokens) == (size, checkpointing)


def test_the_size_divides_a_step_of_an_odd_number_of_groups(monkeypatch):
    config = TrainConfig(prompts_per_step=6)
    assert chosen(monkeypatch, "SmolLM2-135M", "24 GB", 300, config) == (24, False)  # 30 would fit, 32 are no divisor


def test_layers_that_are_not_trained_leave_room_for_more(monkeypatch):
    half = TrainConfig(lora_layers=0.5)
    assert chosen(monkeypatch, "Qwen3-1.7B", "H100", 1224, half) == (8, False)


@pytest.mark.parametrize(("tokens", "prompts", "size"), [(75, 6, 24), (75, 2, 16), (75, 5, 8), (1224, 8, 8)])
def test_a_cpu_takes_groups_of_2000_tokens_and_at_least_one(monkeypatch, tokens, prompts, size):
    config = TrainConfig(prompts_per_step=prompts)
    assert chosen(monkeypatch, "SmolLM2-135M", "T4", tokens, config, on_gpu=False) == (size, False)


def test_unsloth_keeps_one_group(monkeypatch):
    assert chosen(monkeypatch, "SmolLM2-135M", "H100", 80, backend="unsloth") == (8, True)


def choosing(monkeypatch, size, log=None):
    """Have the rule choose `size`, as another amount of free memory would."""

    def choose(policy, whole, usual, longest):
        if log is not None:
            log.append((whole, usual, longest()))
        return {"per_device_train_batch_size": size, "gradient_checkpointing": False}

    monkeypatch.setattr(memory, "choose_micro_batch", choose)


def interrupted(folder, run):
    """Begin a run of two steps in `run`, which is halted after the first."""
    calls = []

    async def down(group, reference):
        calls.append(group)
        if len(calls) > 2:
            raise EndpointUnavailable("down")
        return await vowels(group, reference)

    down.__name__ = "vowels"
    assert trained(folder, config=small(judge_wait=0.2), run=run, reward=down).steps == 1


@pytest.fixture
def sizes(monkeypatch):
    """The micro-batches of each trainer that is built, as TRL is told them."""
    built, before = [], build.trl_arguments

    def note(kind, ours, users):
        arguments = before(kind, ours, users)
        built.append((arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps))
        return arguments

    monkeypatch.setattr(build, "trl_arguments", note)
    return built


def manifest(run):
    return json.loads((run / "training.json").read_text("utf-8"))


def test_a_run_goes_on_with_the_micro_batches_it_was_begun_with(folder, tmp_path, monkeypatch, sizes):
    calls = []
    choosing(monkeypatch, 8, calls)
    interrupted(folder, tmp_path)
    choosing(monkeypatch, 4, calls)
    assert trained(folder, run=tmp_path).complete
    assert sizes == [(8, 1), (8, 1)]
    assert len(calls) == 1
    whole, usual, longest = calls[0]
    prompt = len(LocalModel(folder).tokens([{"role": "user", "content": "Say 1"}]))
    assert (whole, usual, longest) == (8, 4, prompt + 24)
    assert manifest(tmp_path)["micro_batch"] == {"per_device_train_batch_size": 8, "gradient_checkpointing": False}


def test_a_run_of_an_earlier_version_goes_on_by_its_rule(folder, tmp_path, monkeypatch, sizes):
    choosing(monkeypatch, 4)
    interrupted(folder, tmp_path)
    older = {name: value for name, value in manifest(tmp_path).items() if name != "micro_batch"}
    (tmp_path / "training.json").write_text(json.dumps(older), "utf-8")
    choosing(monkeypatch, 8)
    assert trained(folder, run=tmp_path).complete
    assert sizes == [(4, 2), (4, 2)]
    assert "micro_batch" not in manifest(tmp_path)


def test_the_users_size_wins(folder, tmp_path, monkeypatch, sizes):
    calls = []
    choosing(monkeypatch, 2, calls)
    trained(folder, run=tmp_path, config=small(trl={"per_device_train_batch_size": 2}))
    assert sizes == [(2, 4)]
    assert calls[0][:2] == (2, 2)  # what is left to choose is checkpointing


def test_fine_tuning_chooses_by_its_references(folder, tmp_path, monkeypatch, sizes):
    calls = []
    choosing(monkeypatch, 4, calls)
    config = SFTConfig(epochs=1, batch_size=4, num_generations=2, max_completion_length=16, validation=0)
    sft(open_task(4), LocalModel(folder), estimator=constant, config=config, run=tmp_path)
    prompt = len(LocalModel(folder).tokens([{"role": "user", "content": "Say 1"}]))
    assert (calls, sizes) == ([(4, 4, prompt + len("aaaa"))], [(4, 1)])


def test_the_choice_is_logged(monkeypatch, caplog):
    with caplog.at_level("INFO", logger="catlite.training"):
        chosen(monkeypatch, "Qwen3-0.6B", "H100", 1224)
    (record,) = caplog.records
    assert "8 sequences, without gradient checkpointing: one of 1,224 tokens needs up to 2.35 GB" in record.message
