"""LocalModel(fast=url): a vLLM server draws, over the protocol; benchmarks/vllm_server.py asks a real one the same."""

import asyncio
import json
import random
import socket
import threading
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
pytest.importorskip("trl", reason="needs catlite[train]")
from tiny import tiny_model  # noqa: E402
from trainings import adapter_of, constant, newer_trl, open_task, same, small, vowels  # noqa: E402
from vllm_server import VLLM  # noqa: E402

from catlite import LocalModel, TrainingRun, concurrency, train  # noqa: E402
from catlite.errors import BadReply, ConfigError, ContextOverflow, EndpointUnavailable, HaltedWarning  # noqa: E402
from catlite.models.local import served  # noqa: E402
from catlite.models.local.served import compare  # noqa: E402
from catlite.runs.session import open_run, samples_from  # noqa: E402
from catlite.training.checks import check  # noqa: E402
from catlite.training.rewarder import Rewarder  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # what torch and its friends warn about is not ours
SAMPLING = {"max_tokens": 12, "seed": 3, "temperature": 1.0}


@pytest.fixture
def vllm(folder):
    with VLLM(folder) as running:
        yield running


@pytest.fixture
def model(folder, vllm):
    model = LocalModel(folder, dtype="float32", fast=vllm.url)
    yield model
    concurrency.run(model.aclose())


@pytest.fixture
def hasty(monkeypatch):
    """A server that is gone is waited for for less than a second."""
    monkeypatch.setattr(served, "_PATIENCE", 0.2)
    monkeypatch.setattr(served, "_PAUSE", 0.01)


def ask(model, prompt="Say something.", n=1, **sampling):
    return concurrency.run(model.sample(prompt, n, **{**SAMPLING, **sampling}))


def with_adapter(model, scale=0.5, **settings):
    """Puts a LoRA adapter that really changes things on the model."""
    from peft import LoraConfig, get_peft_model

    bare = model.model.unload() if hasattr(model.model, "peft_config") else model.model
    torch.manual_seed(1)
    wrapped = get_peft_model(bare, LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"], **settings))
    for name, value in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=scale)
    model.weights.replace(wrapped.eval())
    return model


def trained_by(vllm, folder, estimator=constant, **options):
    """A training of the tiny model whose rollouts the server draws."""
    config = options.pop("config", small(steps=2))
    policy = LocalModel(folder, dtype="float32", fast=vllm.url)
    return train(open_task(), policy, estimator=estimator, reward=vowels, config=config, **options)


def test_replies_come_from_the_server_in_order_each_with_a_seed_of_its_own(model, vllm):
    replies = ask(model, n=4)
    assert [reply.text for reply in replies] == [reply.text for reply in ask(model, n=4)]
    with samples_from(2):
        assert [reply.text for reply in ask(model, n=2)] == [reply.text for reply in replies[2:]]
    ask(model, "Another prompt.", n=4)
    seeds = [body["seed"] for body in vllm.asked]
    assert sorted(seeds[:4]) == sorted(seeds[4:8])
    assert set(seeds[8:10]) < set(seeds[:4])
    assert len(set(seeds)) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_reply_has_the_log_probabilities_and_the_length_of_the_models_own(model, vllm):
    replies = ask(model, n=8, max_tokens=24)
    assert {reply.finish_reason for reply in replies} == {"stop", "length"}
    engine, prompt = model.weights.engine, model.tokens([{"role": "user", "content": "Say something."}])
    for reply in replies:
        assert reply.usage.completion_tokens == len(reply.logprobs)
        assert (len(reply.logprobs) == 24) == (reply.finish_reason == "length")
    tokens, logprobs = vllm.draw(vllm.model, vllm.asked[0])
    tokens, logprobs = (part[:-1] if tokens[-1] in engine.ends else part for part in (tokens, logprobs))
    assert engine.score(prompt, tokens, adapter=False).result() == pytest.approx(logprobs, abs=1e-4)
    assert tuple(logprobs) in {reply.logprobs for reply in replies}


def test_the_server_is_asked_in_tokens_and_for_the_model_as_it_is(model, vllm):
    ask(model, temperature=0, top_p=0.9, min_p=0.1, stop="no such text")
    ask(model, top_k=5)
    greedy, limited = vllm.asked
    assert greedy["prompt"] == model.tokens([{"role": "user", "content": "Say something."}])
    assert (greedy["temperature"], greedy["top_p"], greedy["top_k"], greedy["min_p"]) == (0, 0.9, -1, 0.1)
    assert limited["top_k"] == 5
    assert greedy["stop_token_ids"] == model.weights.engine.ends
    assert greedy["repetition_penalty"] == 1.0
    assert "stop" not in greedy


def test_a_greedy_reply_is_the_one_that_is_drawn_here(folder, model):
    here = LocalModel(folder, dtype="float32")
    assert ask(model, temperature=0)[0].text == ask(here, temperature=0)[0].text


def test_an_adapter_goes_over_once_in_a_folder_of_its_own_and_again_when_it_has_changed(model, vllm):
    with_adapter(model)
    ask(model, n=2)
    ask(model, n=2)
    ((name, path, numbers),) = vllm.loaded
    assert {body["model"] for body in vllm.asked} == {name}
    own = dict(model.model.named_parameters())
    assert all((own[key.replace(".weight", ".default.weight")] == value).all() for key, value in numbers.items())
    with torch.no_grad():  # as an optimizer does: in place
        for key, value in own.items():
            if "lora_B" in key:
                value.add_(1e-4)
    ask(model)
    (_, _, _), (new, folder, after) = vllm.loaded
    assert new != name
    assert folder != path
    assert not same(numbers, after)
    assert vllm.asked[-1]["model"] == new
    assert vllm.unloaded == [name]
    assert [Path(each).exists() for each in (path, folder)] == [False, True]
    concurrency.run(model.aclose())
    assert vllm.unloaded == [name, new]
    assert not Path(folder).exists()


@pytest.mark.parametrize("length_first", [False, True])
def test_a_reply_that_ends_with_the_last_token_it_may_have_is_complete(folder, model, vllm, length_first):
    vllm.length_first = length_first
    here = LocalModel(folder, dtype="float32")
    most = len(ask(here, temperature=0, max_tokens=24)[0].logprobs) + 1
    (whole,) = ask(model, temperature=0, max_tokens=most)
    assert (whole.finish_reason, len(whole.logprobs)) == ("stop", most - 1)
    assert whole.text == ask(here, temperature=0, max_tokens=most)[0].text


def test_an_adapter_of_the_same_norms_is_another(model, vllm):
    with_adapter(model)
    ask(model)
    with torch.no_grad():
        for key, value in model.model.named_parameters():
            if "lora_B" in key:
                value.neg_()
    ask(model)
    assert len(vllm.loaded) == 2


def test_the_anchor_asks_the_base_and_kinds_are_not_mixed(model, vllm):
    with_adapter(model)

    async def both():
        calls = [each.sample(f"Say {n}", 3, **SAMPLING) for n in range(3) for each in (model, model.frozen())]
        return await concurrency.together(calls)

    concurrency.run(both())
    (name, _, _), *_ = vllm.loaded
    assert sorted(body["model"] for body in vllm.asked) == ["base"] * 9 + [name] * 9
    assert not vllm.mixed


def test_a_run_tells_adapters_by_how_much_they_are_scaled(folder, tmp_path):
    own = with_adapter(LocalModel(folder, dtype="float32"))
    saved = [own.save_adapter(tmp_path / name) for name in ("as it is", "stronger")]
    file = saved[1] / "adapter_config.json"
    settings = json.loads(file.read_text())
    file.write_text(json.dumps(settings | {"lora_alpha": 4 * settings["lora_alpha"]}))
    first, second = (LocalModel(folder, dtype="float32", adapter=each) for each in saved)
    assert ask(first, temperature=0)[0].text != ask(second, temperature=0)[0].text
    assert own._weights_address() == first._weights_address() != second._weights_address()


def test_an_adapter_from_disk_goes_over(folder, vllm, tmp_path):
    own = with_adapter(LocalModel(folder, dtype="float32"))
    model = LocalModel(folder, dtype="float32", adapter=own.save_adapter(tmp_path), fast=vllm.url)
    assert ask(model, temperature=0)[0].text == ask(own, temperature=0)[0].text
    assert len(vllm.loaded) == 1


@newer_trl
def test_training_hands_over_the_adapter_after_every_step(folder, vllm):
    asked_before = []

    async def anchored(group):
        asked_before.append(len(vllm.asked))
        await anchor.sample(group.example.prompt, 1, **SAMPLING)
        return await constant(group)

    policy = LocalModel(folder, dtype="float32", fast=vllm.url)
    anchor = policy.frozen()
    run = train(open_task(), policy, estimator=anchored, reward=vowels, config=small(steps=2))
    names = [name for name, _, _ in vllm.loaded]
    assert len(set(names)) == len({path for _, path, _ in vllm.loaded}) == 2
    assert [body["model"] for body in vllm.asked] == [names[0]] * 8 + ["base"] * 2 + [names[1]] * 8 + ["base"] * 2
    assert len({body["seed"] for body in vllm.asked}) == 20
    ask(run.policy)
    *_, (_, _, last) = vllm.loaded
    assert same(last, adapter_of(run))
    assert all((value == 0).all() for key, value in vllm.loaded[0][2].items() if "lora_B" in key)
    assert TrainingRun.load(run.folder).policy.weights.url is None  # the server may be gone by then


@newer_trl
def test_the_loss_is_that_of_the_servers_rollouts(folder, vllm):
    seen = []

    async def noting(group, reference):
        seen.extend(rollout.text for rollout in group.rollouts)
        return await vowels(group, reference)

    policy = LocalModel(folder, dtype="float32", fast=vllm.url)
    train(open_task(2), policy, estimator=constant, reward=noting, config=small(steps=1))
    drawn = [vllm.draw(vllm.model, body)[0] for body in vllm.asked]
    assert sorted(policy.tokenizer.batch_decode(drawn, skip_special_tokens=True)) == sorted(seen)


@pytest.fixture(scope="module")
def uninterrupted(folder):
    """The adapter of two steps whose rollouts a server draws."""
    with VLLM(folder) as vllm:
        return adapter_of(trained_by(vllm, folder))


@newer_trl
def test_a_server_that_dies_in_a_step_and_comes_back_changes_nothing(folder, vllm, hasty, uninterrupted):
    vllm.outages = {12: 3}  # in the second step: three requests fail, and the new process has no adapter
    run = trained_by(vllm, folder)
    assert vllm.outages == {}
    assert run.complete
    assert same(adapter_of(run), uninterrupted)


@newer_trl
def test_a_server_that_stays_away_halts_training_which_then_goes_on(folder, vllm, hasty, uninterrupted, tmp_path):
    config = small(steps=2, judge_wait=0.01)
    vllm.outages = {12: 10**6}
    with pytest.warns(HaltedWarning, match=r"step 2 was given up.*not come back within 0.2 s.*the same call with"):
        halted = trained_by(vllm, folder, config=config, run=tmp_path)
    assert not halted.complete
    assert halted.steps == 1
    vllm._down = 0
    resumed = trained_by(vllm, folder, config=config, run=tmp_path)
    assert resumed.complete
    assert same(adapter_of(resumed), uninterrupted)


def test_a_check_without_a_server_has_no_result():
    class Gone:
        name = "gone"

        async def sample(self, prompt, n, **sampling):
            raise EndpointUnavailable("nobody there")

    assert concurrency.run(check(Gone(), list(open_task(2)), Rewarder(constant, vowels, 1.0), 2, 0)) is None


@newer_trl
def test_a_server_that_keeps_the_first_adapter_is_refused(folder, vllm):
    vllm.stale = True
    with pytest.raises(ConfigError, match=r"draws without the adapter as it is now.*replicas"):
        trained_by(vllm, folder, config=small(steps=3))
    assert len({body["model"] for body in vllm.asked}) == 2  # after the first renewal


def test_a_server_of_another_model_is_refused(folder, tmp_path):
    other = tiny_model(tmp_path / "other", seed=5)
    with VLLM(other) as foreign:
        for value in foreign.model.parameters():
            value.data *= 4
        model = LocalModel(folder, dtype="float32", fast=foreign.url)
        with pytest.raises(ConfigError, match=r"does not serve the model that is loaded here: .* differ by \d"):
            ask(model, n=8)
        assert len(foreign.asked) == 8


def test_a_server_with_a_larger_vocabulary_is_refused_before_its_tokens_are_read_here(model, vllm):
    def larger(answer):
        answer["choices"][0]["token_ids"][0] = 10**6
        return answer

    vllm.change = larger
    with pytest.raises(ConfigError, match=r"it drew token 1000000, and here there are \d+"):
        ask(model)


def test_a_server_that_comes_back_with_another_base_is_refused(model, vllm, hasty):
    ask(model, n=8)
    for value in vllm.model.parameters():
        value.data.mul_(4)
    vllm.outages = {len(vllm.asked): 3}
    with pytest.raises(ConfigError, match="does not serve the model that is loaded here"):
        ask(model, "Another prompt.", n=8)


def test_a_server_that_changes_its_base_between_a_failure_and_the_news_of_it_is_refused(model, vllm, monkeypatch):
    """The draw of sixteen: the first eight replies are of the old base, and answers come before the failure is seen."""

    async def late(self, sent, failure, back=served.Served._back):
        await asyncio.sleep(0.5)
        await back(self, sent, failure)

    def change(answer):
        if len(vllm.asked) == 24:  # eight of the second draw
            for value in vllm.model.parameters():
                value.data.mul_(4)
        return answer

    monkeypatch.setattr(served.Served, "_back", late)
    ask(model, n=16)
    vllm.change, vllm.outages = change, {24: 1}
    with pytest.raises(ConfigError, match="does not serve the model that is loaded here"):
        ask(model, "Another prompt.", n=16)


def test_a_server_that_was_started_again_between_two_draws_with_another_base_is_refused(model, vllm, monkeypatch):
    monkeypatch.setattr(served, "_RESTART", 0.0)
    ask(model, n=8)
    ask(model, n=8)
    for value in vllm.model.parameters():
        value.data.mul_(4)
    with pytest.raises(ConfigError, match="does not serve the model that is loaded here"):
        ask(model, "Another prompt.", n=8)


def test_short_replies_are_judged_together_and_no_longer_than_needed(model, vllm, monkeypatch):
    def shifted(answer):
        (number,) = answer["choices"][0]["logprobs"]["token_logprobs"]
        return with_choice(answer, logprobs={"token_logprobs": [number - 0.15]})

    monkeypatch.setattr(served, "_ENOUGH", 4)
    monkeypatch.setattr(served, "_RESTART", 1e9)
    scored, score = [], model.weights.engine.score
    model.weights.engine.score = lambda *row, **kind: scored.append(row) or score(*row, **kind)
    for _ in range(6):
        ask(model, max_tokens=1)
    assert len(scored) == 4
    with_adapter(model)
    vllm.change = shifted
    for _ in range(2):
        ask(model, max_tokens=1)
    with pytest.raises(ConfigError, match=r"log-probabilities of 3 tokens differ by 0\.15 on average"):
        ask(model, max_tokens=1)


ANSWERS = {
    "no choice": lambda answer: answer | {"choices": []},
    "two choices": lambda answer: answer | {"choices": answer["choices"] * 2},
    "no tokens": lambda answer: with_choice(answer, token_ids=[]),
    "text for tokens": lambda answer: with_choice(answer, token_ids=["a"] * len(answer["choices"][0]["token_ids"])),
    "negative tokens": lambda answer: with_choice(answer, token_ids=[-1] * len(answer["choices"][0]["token_ids"])),
    "no log-probabilities": lambda answer: with_choice(answer, logprobs=None),
    "too few of them": lambda answer: with_choice(answer, logprobs={"token_logprobs": [-5.5]}),
    "null among them": lambda answer: with_choice(
        answer, logprobs={"token_logprobs": [None] * len(answer["choices"][0]["token_ids"])}
    ),
    "given up": lambda answer: with_choice(answer, finish_reason="abort"),
}


def with_choice(answer, **changes):
    (choice,) = answer["choices"]
    return answer | {"choices": [choice | changes]}


@pytest.mark.parametrize("change", ANSWERS.values(), ids=ANSWERS.keys())
def test_what_is_no_completion_is_no_reply(model, vllm, change):
    vllm.change = change
    with pytest.raises(BadReply, match="no completion"):
        ask(model, temperature=0)


def test_a_busy_server_is_given_time(model, vllm, monkeypatch):
    pauses, sleep = [], asyncio.sleep

    async def noting(seconds, *result):
        pauses.append(seconds)
        return await sleep(0, *result)

    ask(model)
    vllm.busy = 3
    monkeypatch.setattr(served.asyncio, "sleep", noting)
    ask(model)
    assert [seconds for seconds in pauses if seconds >= 1.0] == [1.0, 2.0, 4.0]


def test_rounding_is_not_taken_for_another_model_or_a_stale_adapter():
    noise = random.Random(0)
    ours = [-2.0 + noise.gauss(0, 1) for _ in range(400)]
    theirs = [score + noise.gauss(0, 0.05) for score in ours]  # more than bfloat16 does
    compare("url", theirs, ours, ours)
    compare("url", [-1.0], [-1.3], [-1.3])  # for one token that is not much
    compare("url", [-1.0, -2.0], [-1.02, -2.021], [-1.0, -2.0])
    compare("url", theirs, ours, ours)  # an adapter that has not moved
    little = [score + noise.gauss(0, 0.002) for score in ours]  # and one that has moved by less than rounding
    compare("url", theirs, ours, little)
    compare("url", theirs, little, ours)
    far = [score + noise.gauss(0, 0.3) for score in ours]
    compare("url", theirs, ours, far)
    with pytest.raises(ConfigError, match="without the adapter"):
        compare("url", [score + noise.gauss(0, 0.01) for score in ours], [score + 0.02 for score in ours], ours)
    with pytest.raises(ConfigError, match="does not serve"):
        compare("url", theirs, far, far)
    with pytest.raises(ConfigError, match="does not serve"):
        compare("url", [float("nan")], [0.0], [0.0])


def test_a_kept_reply_belongs_to_the_engine_that_drew_it(folder, model, vllm, tmp_path):
    here = LocalModel(folder, dtype="float32")
    with open_run(tmp_path, None):
        theirs, ours = ask(model, n=4), ask(here, n=4)
    with open_run(tmp_path, None):
        assert [reply.text for reply in ask(model, n=4)] == [reply.text for reply in theirs]
        assert [reply.text for reply in ask(here, n=4)] == [reply.text for reply in ours]
    assert len(vllm.asked) == 4


def test_scores_are_computed_here(model, vllm):
    assert len(concurrency.run(model.logprobs("Say something.", "abc"))) == 3
    assert vllm.asked == []


def test_a_cancelled_draw_ends_at_once(model, vllm):
    async def cancelled():
        with vllm._one:  # the server answers nobody
            task = asyncio.ensure_future(model.sample("Say something.", 4, **SAMPLING))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        await asyncio.wait_for(model.weights.served._idle.wait(), 30)

    ask(model)
    concurrency.run(cancelled())


def test_a_cancelled_call_waits_for_the_check_that_uses_the_weights(model, vllm):
    engine = model.weights.engine
    scored, began, goes_on = engine._scored, threading.Event(), threading.Event()

    def slow(rows):
        began.set()
        assert goes_on.wait(30)
        return scored(rows)

    engine._scored = slow

    async def cancelled():
        task = asyncio.ensure_future(model.sample("Say something.", 4, **SAMPLING))
        await asyncio.to_thread(began.wait, 30)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=0.2)
        goes_on.set()
        await asyncio.wait([task], timeout=30)
        return len(done), task.cancelled()

    assert concurrency.run(cancelled()) == (0, True)


def test_the_servers_context_bounds_prompt_and_reply(folder):
    with VLLM(folder, context=40) as vllm:
        model = LocalModel(folder, dtype="float32", fast=vllm.url)
        with pytest.raises(ContextOverflow, match="the context is 40"):
            ask(model, "x" * 30, max_tokens=20)
        with pytest.raises(ConfigError, match="--max-model-len 200"):
            ask(LocalModel(folder, fast=vllm.url, context=200))


@pytest.fixture
def nobody():
    """An address at which nothing answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


def test_a_training_that_finds_no_server_leaves_policy_and_folder_as_they_were(folder, nobody, tmp_path):
    policy = LocalModel(folder, fast=nobody)
    config = small(sampling={"temperature": 1.0, "chat_template_kwargs": {"loud": True}})
    with pytest.raises(EndpointUnavailable, match="Start the server first"):
        train(open_task(), policy, estimator=constant, reward=vowels, config=config, run=tmp_path / "run")
    assert policy.weights.template == {}
    assert not (tmp_path / "run").exists()


def test_nobody_at_the_address_is_said_with_the_command(folder, nobody):
    with pytest.raises(EndpointUnavailable, match="Start the server first: VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 vllm"):
        ask(LocalModel(folder, fast=nobody))


def test_a_server_with_a_key_is_refused(folder, vllm):
    vllm.key = "secret"
    with pytest.raises(ConfigError, match=r"fast='http://.* wants a key, and gets none: .* without --api-key"):
        ask(LocalModel(folder, fast=vllm.url))


def test_another_kind_of_server_is_refused(folder):
    with VLLM(folder, context=None) as other, pytest.raises(ConfigError, match="no vLLM server answers there"):
        ask(LocalModel(folder, fast=other.url))


def test_a_server_that_gives_no_token_ids_is_refused(model, vllm):
    vllm.gives_ids = False
    with pytest.raises(ConfigError, match=r"no token ids.*0\.10\.2"):
        ask(model)


@pytest.mark.parametrize("change", [{"takes_adapters": False}, {"max_rank": 2}])
def test_a_server_that_does_not_load_the_adapter_is_refused_with_the_command(model, vllm, change):
    vars(vllm).update(change)
    with pytest.raises(ConfigError, match=r"RUNTIME_LORA_UPDATING=1 vllm serve BASE .*--enable-lora --max-lora-rank 8"):
        ask(with_adapter(model))
    assert list(model.weights.served._shelf.iterdir()) == []


@pytest.mark.parametrize("settings", [{"use_dora": True}, {"bias": "lora_only"}, {"modules_to_save": ["lm_head"]}])
def test_an_adapter_that_vllm_cannot_serve_is_refused(model, vllm, settings):
    with pytest.raises(ConfigError, match=f"the adapter has {next(iter(settings))}=.*vLLM cannot serve"):
        ask(with_adapter(model, **settings))
    assert vllm.loaded == []


@pytest.mark.parametrize(
    "fast", ["vllm", "127.0.0.1:8000", "http://", "http://127.0.0.1:99999/v1", "http://me:secret@host/v1"]
)
def test_what_is_no_address_is_refused(folder, fast):
    with pytest.raises(ConfigError, match="fast=") as refused:
        LocalModel(folder, fast=fast)
    assert "secret" not in str(refused.value)


@newer_trl
def test_generation_that_only_trl_knows_is_refused_beside_a_server(folder, vllm):
    with pytest.raises(ConfigError, match="has vLLM draw all rollouts"):
        trained_by(vllm, folder, config=small(trl={"repetition_penalty": 1.1}))
