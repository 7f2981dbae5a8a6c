"""What catlite asks of Unsloth and of the vLLM in it, held against a stand-in of both on a tiny model of transformers.

Unsloth itself loads nothing without a CUDA device; tests/training/trl/test_unsloth.py reads its source.
"""

import importlib.machinery
import logging
import os
import sys
from types import ModuleType, SimpleNamespace

import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
pytest.importorskip("trl", reason="needs catlite[train]")
from peft import LoraConfig, get_peft_model  # noqa: E402
from tiny import tiny_model  # noqa: E402
from trainings import constant, newer_trl, open_task, small, vowels  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

import catlite  # noqa: E402
import catlite.training.trl.trainer  # noqa: E402 - TRL looks for a real vLLM when it is imported
from catlite import LocalModel, TrainConfig, concurrency  # noqa: E402
from catlite.errors import ConfigError  # noqa: E402
from catlite.models.local import model as local_model, unsloth  # noqa: E402
from catlite.models.local.adapters import adapter_digest  # noqa: E402
from catlite.training.trl import build  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # what torch and its friends warn about is not ours
PLAIN = {"temperature": 1.0, "max_tokens": 6, "seed": 1}


class Params:
    """vLLM's SamplingParams: what it was made of."""

    def __init__(self, **settings):
        vars(self).update(settings)


class VLLM:
    """vLLM's LLM.generate over a model of transformers, whose adapter is on or off as the caller has it."""

    def __init__(self, model):
        self.model = model
        self.calls = []  # (the adapter's request, the settings of each reply)

    def generate(self, prompts, sampling_params, *, lora_request=None, use_tqdm=True):
        assert not use_tqdm
        self.calls.append((lora_request, sampling_params))
        if lora_request is not None:
            assert lora_request.digest == adapter_digest(lora_request.model), "a stale adapter"
        return [
            SimpleNamespace(outputs=[self.draw(prompt["prompt_token_ids"], params)])
            for prompt, params in zip(prompts, sampling_params, strict=True)
        ]

    def draw(self, prompt, params):
        tokens, places = [], []
        generator = torch.Generator().manual_seed(params.seed)
        while len(tokens) < params.max_tokens and not (tokens and tokens[-1] in params.stop_token_ids):
            logits = self.model(input_ids=torch.tensor([[*prompt, *tokens]])).logits[0, -1]
            scores = logits.detach().float().log_softmax(-1)
            token = int(torch.multinomial(scores.exp(), 1, generator=generator)) if params.temperature else None
            tokens.append(int(scores.argmax()) if token is None else token)
            places.append({tokens[-1]: SimpleNamespace(logprob=float(scores[tokens[-1]]))})
        reason = "stop" if tokens[-1] in params.stop_token_ids else "length"
        return SimpleNamespace(
            token_ids=tokens, logprobs=places if params.logprobs == 0 else None, finish_reason=reason
        )


class Stand:
    """The modules of Unsloth that catlite calls."""

    def __init__(self):
        self.loaded_with = {}
        self.requests = []
        self.saves = 0
        self.serves = True  # False: vLLM is left out in silence

    def from_pretrained(self, folder, **settings):
        self.loaded_with = settings
        model = AutoModelForCausalLM.from_pretrained(folder, use_safetensors=True)
        if settings["fast_inference"] and self.serves:
            model.vllm_engine = VLLM(model)
        return model, AutoTokenizer.from_pretrained(folder)

    def get_peft_model(self, model, *, use_gradient_checkpointing, random_state, **settings):
        torch.manual_seed(random_state)
        return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **settings))

    def load_lora(self, model, save_directory, load_tensors=False, lora_request_id=None):
        assert load_tensors
        model.peft_config["default"].save_pretrained(save_directory)
        self.requests.append(SimpleNamespace(number=len(self.requests), model=model, digest=adapter_digest(model)))
        return self.requests[-1]

    def megacache_save(self):
        self.saves += 1


@pytest.fixture
def stand(monkeypatch):
    stand = Stand()
    calls = {
        "unsloth": {"FastLanguageModel": stand},
        "unsloth_zoo": {},
        "unsloth_zoo.vllm_utils": {"load_lora": stand.load_lora},
        "unsloth_zoo.compile_cache": {"megacache_save": stand.megacache_save},
        "vllm": {"SamplingParams": Params},
    }
    for name, members in calls.items():
        module = ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        vars(module).update(members)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(local_model, "choose_backend", lambda backend: backend)  # which wants a CUDA device
    return stand


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("unsloth") / "model")


def loaded(folder, **settings):
    return LocalModel(folder, backend="unsloth", fast="unsloth", dtype="float32", **settings)


def draw(model, n=4, prompt="Say 1", **sampling):
    return concurrency.run(model.sample(prompt, n, **{**PLAIN, **sampling}))


def calls_of(model):
    return model.model.vllm_engine.calls


def adapted(folder, tmp_path):
    """A LocalModel with an adapter that does something."""
    wrapped = get_peft_model(
        AutoModelForCausalLM.from_pretrained(folder), LoraConfig(r=32, target_modules=["q_proj", "v_proj"])
    )
    torch.manual_seed(1)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(0, 0.5)
    wrapped.save_pretrained(tmp_path / "adapter")
    return loaded(folder, adapter=tmp_path / "adapter")


def test_replies_are_drawn_by_vllm_each_by_a_seed_of_its_own_and_in_order(stand, folder):
    model = loaded(folder)
    replies = draw(model)
    ((request, settings),) = calls_of(model)
    assert request is None  # there is no adapter
    assert len({params.seed for params in settings}) == 4
    assert all(0 <= params.seed < 2**63 for params in settings)
    engine = model.weights.engine
    prompt = model.tokens([{"role": "user", "content": "Say 1"}])
    again = [VLLM(engine.model).draw(prompt, params) for params in settings]
    texts = [model.tokenizer.decode(one.token_ids, skip_special_tokens=True) for one in again]
    assert [reply.text for reply in replies] == [
        model.tokenizer.decode(one.token_ids[:-1]) if one.finish_reason == "stop" else text
        for one, text in zip(again, texts, strict=True)
    ]
    assert [reply.finish_reason for reply in replies] == [one.finish_reason for one in again]
    assert [reply.text for reply in draw(model)] == [reply.text for reply in replies]
    assert [reply.text for reply in draw(model, seed=2)] != [reply.text for reply in replies]


def test_the_policy_is_drawn_with_its_adapter_the_anchor_without_and_no_call_mixes_them(stand, folder, tmp_path):
    policy = adapted(folder, tmp_path)
    anchor = policy.frozen()

    async def both():
        return await concurrency.together(model.sample("Say 1", 4, **PLAIN) for model in (policy, anchor, policy))

    with_adapter, without, again = concurrency.run(both())
    assert with_adapter == again != without
    assert [reply.text for reply in without] == [reply.text for reply in draw(loaded(folder))]
    kinds = [request is not None for request, _ in calls_of(policy)]
    assert sorted(kinds) == [False, True]  # one call for all that wait of a kind
    assert len(stand.requests) == 1


@pytest.mark.parametrize(
    ("tokens", "reason", "end"), [([5, 9], "length", 9), ([9], "stop", 9), ([5, 6], "length", None)]
)
def test_a_reply_has_ended_when_its_last_token_says_so(tokens, reason, end):
    completion = SimpleNamespace(token_ids=tokens, finish_reason=reason, logprobs=None)
    drawn = unsloth._reply(completion, [9], 0.5)
    assert (drawn.end, drawn.tokens, drawn.seconds) == (end, [token for token in tokens if token != end], 0.5)


@pytest.mark.parametrize(("context", "length"), [(None, 256), (100, 100)])
def test_unsloth_is_given_the_models_own_context_for_it_cuts_what_is_longer(stand, folder, context, length):
    _ = LocalModel(folder, backend="unsloth", context=context).model
    assert stand.loaded_with["max_seq_length"] == length


def test_vllm_is_set_up_for_the_rank_of_the_adapter(stand, folder, tmp_path):
    _ = adapted(folder, tmp_path).model
    assert stand.loaded_with["max_lora_rank"] == 32
    assert stand.loaded_with["fast_inference"] is True
    assert 0 < stand.loaded_with["gpu_memory_utilization"] < 1
    LocalModel(folder, backend="unsloth").model.eval()
    assert stand.loaded_with["fast_inference"] is False


@newer_trl
def test_training_hands_the_adapter_over_after_every_step_and_keeps_the_kernels(stand, folder, tmp_path, monkeypatch):
    seen, made = [], build.trl_arguments
    monkeypatch.setattr(build, "trl_arguments", lambda kind, ours, users: seen.append(ours) or made(kind, ours, users))
    policy = loaded(folder)
    config = small(lora_rank=32, held_back=2)
    run = catlite.train(open_task(), policy, estimator=constant, reward=vowels, config=config, run=tmp_path / "run")
    assert run.complete
    # Unsloth turns use_vllm on, and TRL would correct rollouts by log-probabilities that it did not get.
    assert seen[0]["vllm_importance_sampling_correction"] is False
    assert stand.loaded_with["max_lora_rank"] == 32
    # Before the first step, after it, and after the second: each of them drew rollouts or a check's.
    assert [request.number for request in stand.requests] == [0, 1, 2]
    assert len({request.digest for request in stand.requests}) == 3
    order = [request.number for request, _ in calls_of(policy) if request is not None]
    assert order == sorted(order)
    rollouts = [settings for request, settings in calls_of(policy) if request is not None]
    assert all(len({params.seed for params in settings}) == len(settings) for settings in rollouts)
    assert stand.saves == 1
    before = len(calls_of(policy))
    draw(policy.frozen())
    assert calls_of(policy)[before][0] is None


@newer_trl
def test_kernels_are_kept_when_training_halts_or_is_interrupted(stand, folder, tmp_path):
    async def nothing(group, reference):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        catlite.train(open_task(), loaded(folder), estimator=constant, reward=nothing, config=small(held_back=0))
    assert stand.saves == 1


def test_a_cache_that_fails_does_not_fail_training(stand, monkeypatch):
    monkeypatch.setattr(sys.modules["unsloth_zoo.compile_cache"], "megacache_save", lambda: 1 / 0)
    unsloth.save_kernels()
    monkeypatch.delitem(sys.modules, "unsloth_zoo.compile_cache")
    unsloth.save_kernels()


def test_log_probabilities_are_the_models_own_or_none(stand, folder):
    model = loaded(folder)
    (plain,) = draw(model, n=1)
    tokens = model.tokenizer(plain.text, add_special_tokens=False)["input_ids"]
    if len(tokens) == len(plain.logprobs):  # bytes that are no text cannot be read back
        assert concurrency.run(model.logprobs("Say 1", plain.text)) == pytest.approx(plain.logprobs, abs=1e-4)
    assert len(plain.logprobs) == plain.usage.completion_tokens
    for changes in ({"temperature": 0.5}, {"top_k": 3}, {"top_p": 0.5}, {"min_p": 0.1}, {"temperature": 0.0}):
        (reply,) = draw(model, n=1, **changes)
        assert not reply.logprobs
        assert calls_of(model)[-1][1][0].logprobs is None


def test_stored_replies_of_vllm_are_not_those_of_the_model_alone(stand, folder):
    addresses = [concurrency.run(model._address()) for model in (loaded(folder), LocalModel(folder, dtype="float32"))]
    assert addresses[0] == f"{addresses[1]}:vllm"


def test_an_unsloth_that_leaves_vllm_out_in_silence_is_an_error(stand, folder):
    stand.serves = False
    with pytest.raises(ConfigError, match="loaded the model without vLLM"):
        draw(loaded(folder))


def test_vllm_has_to_be_there_and_unsloth_the_backend(stand, folder, monkeypatch):
    with pytest.raises(ConfigError, match="needs backend=\"unsloth\", and this one is 'transformers'"):
        LocalModel(folder, backend="transformers", fast="unsloth")
    monkeypatch.delitem(sys.modules, "vllm")
    with pytest.raises(ConfigError, match="pip install vllm"):
        loaded(folder)


def test_a_rank_that_vllm_was_not_set_up_for_is_refused(stand, folder):
    policy = loaded(folder)
    draw(policy, n=1)
    with pytest.raises(ConfigError, match=r"lora_rank=32, and the vLLM of .* was set up for adapters of rank 16"):
        catlite.train(open_task(), policy, estimator=constant, reward=vowels, config=small(lora_rank=32))


def test_settings_for_trls_own_generation_are_refused(stand, folder):
    config = small(trl={"repetition_penalty": 1.1})
    with pytest.raises(ConfigError, match="fast='unsloth' has vLLM draw all rollouts"):
        catlite.train(open_task(), loaded(folder), estimator=constant, reward=vowels, config=config)


def test_unsloths_sources_go_into_the_cache_unless_the_user_says_where(stand, monkeypatch):
    monkeypatch.delenv("UNSLOTH_COMPILE_LOCATION", raising=False)
    unsloth.import_unsloth()
    assert os.environ["UNSLOTH_COMPILE_LOCATION"].endswith("unsloth")
    assert "catlite" in os.environ["UNSLOTH_COMPILE_LOCATION"]
    monkeypatch.setenv("UNSLOTH_COMPILE_LOCATION", "mine")
    unsloth.import_unsloth()
    assert os.environ["UNSLOTH_COMPILE_LOCATION"] == "mine"


@pytest.mark.parametrize("with_adapter", [False, True])
def test_unsloths_generate_gets_no_settings_beside_a_generation_config(folder, tmp_path, caplog, with_adapter):
    """It adds some of its own, and transformers warns of both at once."""
    tuned = get_peft_model(AutoModelForCausalLM.from_pretrained(folder), LoraConfig(target_modules=["q_proj"]))
    tuned.save_pretrained(tmp_path / "adapter")
    model = LocalModel(folder, dtype="float32", adapter=tmp_path / "adapter" if with_adapter else None)
    expected = draw(model)
    engine = model.weights.engine
    settings = engine._plain.generation_config
    settings.suppress_tokens = list(range(200))  # which would change what is drawn
    generate = engine.model.generate
    engine.own_generate = True
    engine.model.generate = lambda **inputs: generate(**inputs, cache_implementation="dynamic", pad_token_id=0)
    with caplog.at_level(logging.WARNING):
        assert [reply.text for reply in draw(model)] == [reply.text for reply in expected]
    assert "generation_config" not in caplog.text
    assert engine._plain.generation_config is settings


def test_the_largest_rank_is_told_before_the_weights_are_loaded(stand, folder):
    policy = loaded(folder)
    from catlite.training.lora import TrainablePolicy

    TrainablePolicy(policy, TrainConfig(lora_rank=64))
    assert policy.weights.lora_rank == 64
