"""LocalModel: batches that change nothing but speed, seeds, the frozen view, and what it refuses."""

import asyncio
import json
import shutil
import threading
import time

import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
pytest.importorskip("peft", reason="needs catlite[train]")
from pictures import question  # noqa: E402
from tiny import TEMPLATE, tiny_model  # noqa: E402

import catlite  # noqa: E402
from catlite import Budget, LocalModel, concurrency  # noqa: E402
from catlite.errors import BudgetReached, ConfigError, ContextOverflow, OutOfMemory, RequestRejected  # noqa: E402
from catlite.models.local import engine, sampling  # noqa: E402
from catlite.models.local.decoding import begin_alike  # noqa: E402
from catlite.runs.session import capped, open_run, samples_from  # noqa: E402

# What torch and its friends warn about is not ours.
pytestmark = pytest.mark.filterwarnings("default")
SAMPLING = {"max_tokens": 12, "seed": 3, "temperature": 1.0}


@pytest.fixture
def model(folder):
    return LocalModel(folder)


def with_adapter(model, scale=0.5):
    """Puts a LoRA adapter that really changes things on the model."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    wrapped = get_peft_model(model.model, LoraConfig(r=4, target_modules=["q_proj", "v_proj", "down_proj"]))
    for name, value in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=scale)
    model.weights.replace(wrapped.eval())
    return model


def ask(model, prompt="Say something.", n=1, **sampling):
    return concurrency.run(model.sample(prompt, n, **{**SAMPLING, **sampling}))


def texts(rollouts):
    return [rollout.text for rollout in rollouts]


def decoded(model, token):
    """The text of a reply that begins with `token`."""
    ended = token in model.weights.engine.ends
    return "" if ended else model.tokenizer.decode([token], skip_special_tokens=True)


def test_the_models_own_penalties_change_nothing(folder, model):
    other = LocalModel(folder)
    other.model.generation_config.repetition_penalty = 5.0
    other.model.generation_config.no_repeat_ngram_size = 1
    assert texts(ask(other, n=4)) == texts(ask(model, n=4))


def test_is_a_model(model):
    assert isinstance(model, catlite.Model)
    assert isinstance(model.frozen(), catlite.Model)


def test_a_seed_gives_the_same_replies_in_any_company(model):
    async def together():
        asked = [("Say something.", 3), ("A much longer prompt than the other one, for the padding.", 2), ("Hm", 1)]
        return await asyncio.gather(*(model.sample(prompt, n, **SAMPLING) for prompt, n in asked))

    alone = texts(ask(model, n=3))
    assert texts(concurrency.run(together())[0]) == alone
    assert len(set(alone)) == 3
    assert texts(ask(model, n=3, seed=4)) != alone


def test_two_prompts_with_one_seed_do_not_draw_the_same_numbers(model):
    first, second = (sampling.numbers(sampling.Drawing(4, seed=1), [token], 0, 4).tolist() for token in (5, 6))
    assert first != second


def test_prompts_that_share_a_batch_are_read_once_with_the_same_result(model):
    shared = ask(model, n=4)
    model.weights.engine.own_generate = True
    assert texts(ask(model, n=4)) == texts(shared)


@pytest.mark.parametrize("first", [2, 0])
def test_how_prompts_begin_alike_is_read_once_with_the_same_result(model, first):
    prompts = [f"These are the instructions for all of you. {text}" for text in ("One.", "Another one.", "x" * 14)]
    prompts = [*prompts[first:], *prompts[:first]]
    alone = [texts(ask(model, prompt, 2, max_tokens=12)) for prompt in prompts]
    assert len({text for replies in alone for text in replies}) == 6
    read = []
    hook = model.model.get_input_embeddings().register_forward_hook(lambda *given: read.append(given[1][0].numel()))

    async def together():
        return await asyncio.gather(*(model.sample(prompt, 2, **{**SAMPLING, "max_tokens": 12}) for prompt in prompts))

    assert [texts(replies) for replies in concurrency.run(together())] == alone
    hook.remove()
    tokens = [len(model.tokens([{"role": "user", "content": prompt}])) for prompt in prompts]
    drawn = sum(part for part in read if part == 6)  # one token for each of the six, at a time
    assert sum(read) - drawn < sum(tokens) - 60


def test_prompts_of_a_model_with_windows_are_read_whole(model, monkeypatch):
    monkeypatch.setattr(model.model.config, "layer_types", ["full_attention", "sliding_attention"], raising=False)
    same = list(range(40))
    assert begin_alike(model.model.config, [[*same, 1], [*same, 2]]) == 0
    monkeypatch.setattr(model.model.config, "layer_types", ["full_attention"] * 2)
    assert begin_alike(model.model.config, [[*same, 1], [*same, 2]]) == 40
    assert begin_alike(model.model.config, [same, [*same, 2]]) == 39  # the last token is read with the first new one
    assert begin_alike(model.model.config, [same]) == 0
    assert begin_alike(model.model.config, [same[:10], [*same[:10], 1]]) == 0


def test_prompts_of_very_different_lengths_are_not_padded_to_one(tmp_path):
    model = LocalModel(tiny_model(tmp_path, context=2048))
    prompts = ["x" * length for length in (2, 200, 900)]
    alone = [texts(ask(model, prompt, 2)) for prompt in prompts]
    read = []
    model.model.get_input_embeddings().register_forward_hook(lambda *given: read.append(tuple(given[1][0].shape)))

    async def together():
        return await asyncio.gather(*(model.sample(prompt, 2, **SAMPLING) for prompt in prompts))

    assert [texts(replies) for replies in concurrency.run(together())] == alone
    # The two short ones make a batch; the long one has its own, in which nothing is padded.
    assert [rows for rows, width in read if width > 1] == [2, 1]


def test_a_reply_that_has_ended_leaves_the_batch(model):
    alone = [texts(ask(model, prompt, 2, max_tokens=length)) for prompt, length in (("One.", 2), ("Two.", 12))]
    read = []
    model.model.get_input_embeddings().register_forward_hook(lambda *given: read.append(len(given[1][0])))

    async def together():
        asked = (("One.", 2), ("Two.", 12))
        return await asyncio.gather(
            *(model.sample(prompt, 2, **{**SAMPLING, "max_tokens": length}) for prompt, length in asked)
        )

    assert [texts(replies) for replies in concurrency.run(together())] == alone
    assert read[1] == 4
    assert set(read[3:]) <= {2, 1}


def test_torchs_own_random_state_is_left_alone(model):
    ask(model)
    before = torch.get_rng_state()
    ask(model, n=2)
    assert torch.equal(before, torch.get_rng_state())


def test_temperature_0_is_greedy_and_seeds_do_not_matter(model):
    assert texts(ask(model, temperature=0.0, seed=1)) == texts(ask(model, temperature=0, seed=2))
    ids = model.tokenizer(
        model.tokenizer.apply_chat_template(
            [{"role": "user", "content": "Say something."}], add_generation_prompt=True, tokenize=False
        ),
        add_special_tokens=False,
        return_tensors="pt",
    )["input_ids"]
    out = model.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
    reply = out[0][ids.shape[1] :].tolist()
    end = next((at for at, token in enumerate(reply) if token in model.weights.engine.ends), len(reply))
    expected = model.tokenizer.decode(reply[:end], skip_special_tokens=True)
    assert texts(ask(model, temperature=0)) == [expected]


def test_replies_are_drawn_with_the_models_probabilities(model):
    """The frequencies of the first token over many samples, against softmax of the logits."""
    n = 3000
    rollouts = texts(ask(model, n=n, max_tokens=1, temperature=0.3))
    ids = model.tokens([{"role": "user", "content": "Say something."}])
    with torch.no_grad():
        probabilities = (model.model(torch.tensor([ids])).logits[0, -1].float() / 0.3).softmax(-1).tolist()
    expected = {}
    for token, share in enumerate(probabilities):  # tokens that are parts of characters look alike
        text = decoded(model, token)
        expected[text] = expected.get(text, 0) + share
    for text, share in sorted(expected.items(), key=lambda one: -one[1])[:20]:
        error = (share * (1 - share) / n) ** 0.5
        assert abs(rollouts.count(text) / n - share) < 5 * error


@pytest.mark.parametrize("filters", [{"top_k": 3}, {"top_p": 0.05}, {"min_p": 0.9}, {"top_k": 40, "top_p": 0.05}])
def test_filters_leave_only_likely_tokens(model, filters):
    ids = model.tokens([{"role": "user", "content": "Say something."}])
    with torch.no_grad():
        probabilities = model.model(torch.tensor([ids])).logits[0, -1].float().softmax(-1)
    best = probabilities.argsort(descending=True).tolist()
    before = probabilities[best].cumsum(0) - probabilities[best]
    allowed = best[: filters.get("top_k", len(best))]
    if "top_p" in filters:
        # A nucleus after a top_k is of what top_k left.
        kept = probabilities[allowed].sum() if "top_k" in filters else 1.0
        allowed = [
            token for token, mass in zip(allowed, before.tolist(), strict=False) if mass < filters["top_p"] * kept
        ]
    if "min_p" in filters:
        allowed = [token for token in allowed if probabilities[token] >= filters["min_p"] * probabilities.max()]
    drawn = ask(model, n=200, max_tokens=1, **filters)
    expected = {decoded(model, token) for token in allowed}
    assert set(texts(drawn)) <= expected


def test_rows_of_one_batch_keep_their_own_settings(model):
    async def mixed():
        return await asyncio.gather(
            model.sample("Say something.", 1, max_tokens=12, temperature=0),
            model.sample("Say something.", 2, max_tokens=5, seed=3, top_k=2),
            model.sample("Say something.", 2, **SAMPLING),
        )

    greedy, short, plain = concurrency.run(mixed())
    assert texts(greedy) == texts(ask(model, temperature=0))
    assert texts(plain) == texts(ask(model, n=2))
    assert all(rollout.usage.completion_tokens <= 5 for rollout in short)


def test_finish_reason_says_whether_the_reply_ended_on_its_own(model):
    rollouts = ask(model, n=60, max_tokens=20)
    reasons = {rollout.finish_reason for rollout in rollouts}
    assert reasons == {"stop", "length"}
    for rollout in rollouts:
        assert len(rollout.logprobs) == rollout.usage.completion_tokens
        assert (rollout.usage.completion_tokens == 20) == (rollout.finish_reason == "length")
        assert "<|end|>" not in rollout.text


def test_usage_counts_the_prompt_once(model):
    first, *others = ask(model, n=3)
    assert first.usage.prompt_tokens == len(model.tokens([{"role": "user", "content": "Say something."}]))
    assert [one.usage.prompt_tokens for one in others] == [0, 0]
    assert (first.usage.requests, first.usage.generations, first.usage.cost_usd) == (0, 1, 0.0)


def test_a_stop_string_ends_the_reply(model):
    (whole,) = ask(model, max_tokens=40)
    stop = whole.text[3:5]
    (cut,) = ask(model, max_tokens=40, stop=[stop, "never there"])
    assert cut.text == whole.text[: whole.text.index(stop)]
    assert cut.finish_reason == "stop"


@pytest.mark.parametrize(("stop", "tokens"), [("text", 6), ("t", 6), ("plain", 0), ("never there", 14)])
def test_a_reply_that_was_cut_at_a_stop_string_has_the_log_probabilities_of_its_own_tokens(model, stop, tokens):
    drawn = model.tokenizer("plain text 123", add_special_tokens=False)["input_ids"]
    logprobs = [-0.5 * number for number in range(14)]
    rollout = model._rollout(sampling.Drawn(drawn, logprobs, None), 0, {"stop": stop})
    assert (rollout.text, rollout.logprobs) == ("plain text 123"[:tokens], tuple(logprobs[:tokens]))
    assert rollout.usage.completion_tokens == 14  # all of them were drawn


def test_an_empty_stop_string_ends_no_reply(model):
    assert texts(ask(model, stop=[""])) == texts(ask(model))


def test_logprobs_of_a_given_text_are_those_it_was_drawn_with(model):
    plain = "plain text 123"
    scores = concurrency.run(model.logprobs("Say something.", plain))
    ids = model.tokens([{"role": "user", "content": "Say something."}])
    given = model.tokenizer(plain, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = model.model(torch.tensor([ids + given])).logits[0, len(ids) - 1 : -1].float().log_softmax(-1)
    assert scores == pytest.approx(logits.gather(-1, torch.tensor(given)[:, None])[:, 0].tolist(), abs=1e-5)


def test_frozen_is_the_base_whatever_the_adapter_does(model, folder):
    base = LocalModel(folder)
    before, scores = texts(ask(base, n=3)), concurrency.run(base.logprobs("Hm", "some text"))
    with_adapter(model)
    assert texts(ask(model, n=3)) != before
    assert texts(ask(model.frozen(), n=3)) == before
    assert concurrency.run(model.frozen().logprobs("Hm", "some text")) == pytest.approx(scores, abs=1e-6)
    assert concurrency.run(model.logprobs("Hm", "some text")) != pytest.approx(scores, abs=1e-3)


def test_frozen_has_no_weights_of_its_own(model):
    with_adapter(model)
    assert model.frozen().model is model.model


def test_policy_and_anchor_at_once_do_not_mix(model):
    with_adapter(model)

    async def both():
        return await asyncio.gather(model.sample("Hm", 2, **SAMPLING), model.frozen().sample("Hm", 2, **SAMPLING))

    policy, anchor = concurrency.run(both())
    assert texts(policy) == texts(ask(model, "Hm", 2))
    assert texts(anchor) == texts(ask(model.frozen(), "Hm", 2))
    assert texts(policy) != texts(anchor)


def test_an_adapter_is_loaded_and_saved(model, folder, tmp_path):
    with_adapter(model)
    saved = model.save_adapter(tmp_path / "adapter")
    assert {path.name for path in saved.iterdir()} >= {"adapter_config.json", "adapter_model.safetensors"}
    again = LocalModel(folder, adapter=saved)
    assert texts(ask(again, n=2)) == texts(ask(model, n=2))
    assert again.name.endswith("+ adapter")


def test_training_mode_is_as_it_was_afterwards(model):
    model.model.train()
    ask(model)
    assert model.model.training


def test_a_run_finds_the_anchors_replies_again(model, folder, tmp_path):
    with open_run(tmp_path):
        first = texts(ask(model.frozen(), n=2, seed=None))
    again = LocalModel(folder)
    with open_run(tmp_path):
        assert texts(ask(again.frozen(), n=2, seed=None)) == first
        assert not again.weights.loaded  # found without loading anything
        more = texts(ask(again.frozen(), n=3, seed=None))
        assert more[:2] == first
        with samples_from(1):
            assert texts(ask(again.frozen(), n=2, seed=None)) == more[1:]


def test_a_run_does_not_take_another_models_or_adapters_replies(model, tmp_path):
    other = LocalModel(tiny_model(tmp_path / "other", seed=5))
    with open_run(tmp_path / "run"):
        first = texts(ask(model.frozen()))
        assert texts(ask(other.frozen())) != first
        with_adapter(model)
        assert texts(ask(model)) != first
        assert texts(ask(model.frozen())) == first


def test_prompt_beyond_the_context_is_an_overflow_with_numbers(model):
    with pytest.raises(ContextOverflow) as caught:
        ask(model, "long " * 100)
    assert caught.value.limit == 256
    assert caught.value.given > 256


def test_reply_is_held_to_what_is_left_of_the_context(folder):
    (rollout,) = ask(LocalModel(folder, context=40), "Say something.", top_k=1)
    assert rollout.usage.prompt_tokens + rollout.usage.completion_tokens <= 40


def test_tokens_asked_for_beyond_the_context_are_an_overflow_as_on_a_server(folder):
    with pytest.raises(ContextOverflow, match=r"17 tokens and its reply may have 500; the context is 40"):
        ask(LocalModel(folder, context=40), "Say something.", max_tokens=500)


def test_a_synthesis_leaves_room_for_itself(tmp_path):
    model = LocalModel(tiny_model(tmp_path, context=2048))
    group = catlite.Group(catlite.Example("q"), tuple(catlite.Rollout("word " * 50) for _ in range(4)))
    read = len(model.tokens(catlite.Synthesis(model).messages(group, [one.text for one in group.rollouts])))
    assert 1948 < read < 2048
    reference = concurrency.run(catlite.Synthesis(model, max_tokens=100)(group))
    assert "trimmed" in reference.notes[0]


def test_lone_surrogates_are_sent_as_something(model):
    assert ask(model, "half a character: \ud83d")[0].error is None


def test_memory_that_does_not_suffice_halves_the_batch(model, monkeypatch):
    expected = texts(ask(model, n=8))
    whole, sizes = engine.Engine._batch, []

    def small(self, rows):
        sizes.append(len(rows))
        if len(rows) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return whole(self, rows)

    monkeypatch.setattr(engine.Engine, "_batch", small)
    assert texts(ask(model, n=8)) == expected
    assert sizes == [8, 4, 2, 2, 4, 2, 2]


def test_memory_that_never_suffices_says_what_to_lower(model, monkeypatch):
    def never(self, rows):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")

    monkeypatch.setattr(engine.Engine, "_batch", never)
    with pytest.raises(OutOfMemory, match="lower max_tokens"):
        ask(model)


def test_a_cancelled_call_ends_its_batch(model, monkeypatch):
    steps, begun, cancelled = [], threading.Event(), threading.Event()
    step = sampling.Choice.__call__

    def slow(self, scores, *given):
        steps.append(len(scores))
        begun.set()
        cancelled.wait(60)
        time.sleep(0.02)
        return step(self, scores, *given)

    monkeypatch.setattr(sampling.Choice, "__call__", slow)
    # A model that never ends its reply by itself.
    monkeypatch.setattr(model.weights.engine, "ends", [model.tokenizer.pad_token_id])

    async def hurried():
        task = asyncio.create_task(model.sample("Say something.", 4, max_tokens=200, top_k=1))
        await asyncio.to_thread(begun.wait)
        task.cancel()
        asyncio.get_running_loop().call_later(0.01, cancelled.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        over = len(steps)  # the batch has ended, too: whoever cancelled may train the weights now
        await asyncio.sleep(0.1)
        assert len(steps) == over
        return await model.sample("Hm", 1, max_tokens=2)

    assert concurrency.run(hurried())
    assert steps.count(4) < 200


def within_seconds(seconds, *work):
    """Runs each of `work` in a thread of its own; fails, and does not hang, when one is not done in time."""
    threads = [threading.Thread(target=one, daemon=True) for one in work]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    assert not any(thread.is_alive() for thread in threads)


def test_closing_while_a_draw_comes_in_ends_and_the_draw_is_made(model, monkeypatch):
    engine = model.weights.engine
    prompt, settings = [1, 2, 3], sampling.Drawing(max_tokens=2, temperature=0)
    expected = engine.draw([prompt], settings, [0], adapter=True)[0].result(30).tokens
    replies, begun, batch = [], threading.Event(), type(engine)._batch

    def slow(self, rows):
        begun.set()
        time.sleep(0.05)  # so that the draw below comes between the end and the thread that waits for it
        return batch(self, rows)

    monkeypatch.setattr(type(engine), "_batch", slow)

    def draw():
        begun.wait(30)
        for _ in range(5):
            replies.extend(engine.draw([prompt], settings, [0], adapter=True))
            time.sleep(0.02)

    def close():
        begun.wait(30)
        for _ in range(5):
            engine.close()

    replies.extend(engine.draw([prompt], settings, [0], adapter=True))
    within_seconds(60, draw, close)
    assert [reply.result(30).tokens for reply in replies] == [expected] * 6


def test_batches_of_a_closed_engine_and_of_its_next_thread_are_not_run_at_once(model, monkeypatch):
    engine = model.weights.engine
    inside, most, batch = [0], [0], type(engine)._batch

    def counted(self, rows):
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.05)
        inside[0] -= 1
        return batch(self, rows)

    monkeypatch.setattr(type(engine), "_batch", counted)
    settings = sampling.Drawing(max_tokens=1, temperature=0)
    first = engine.draw([[1, 2]], settings, [0], adapter=True)
    closing = threading.Thread(target=engine.close, daemon=True)
    closing.start()
    replies = [*first, *engine.draw([[1, 2]], settings, [0], adapter=True)]
    assert all(reply.result(30) for reply in replies)
    closing.join(30)
    assert (most[0], closing.is_alive()) == (1, False)


def test_what_cannot_be_made_a_batch_fails_and_is_not_waited_for(model, monkeypatch):
    engine = model.weights.engine

    def broken(rows):
        raise AttributeError("no vocab_size")

    with monkeypatch.context() as patched:
        patched.setattr(engine, "_fitting", broken)
        (reply,) = engine.draw([[1, 2]], sampling.Drawing(max_tokens=1), [0], adapter=True)
        with pytest.raises(AttributeError, match="vocab_size"):
            reply.result(30)
    assert engine.draw([[1, 2]], sampling.Drawing(max_tokens=1), [0], adapter=True)[0].result(30)


@pytest.mark.parametrize(
    ("sampling", "error", "said"),
    [
        ({"temperatur": 1.0}, ConfigError, "did you mean temperature"),
        ({"temperature": -1}, ConfigError, "of at least 0"),
        ({"response_format": {"type": "json_object"}}, RequestRejected, "response_format"),
        ({"n": 0}, ConfigError, "of at least 1"),
    ],
)
def test_parameters_that_cannot_be_are_refused(model, sampling, error, said):
    with pytest.raises(error, match=said):
        ask(model, **sampling)


def writing(model, letter, *, once):
    """`model`, when it can write but this letter, `once` or for ever."""
    (token,) = model.tokenizer.encode(letter, add_special_tokens=False)

    def only(_module, _positional, named, out):
        written = once and named["input_ids"][0, -1].item() == token
        out.logits[..., model.tokenizer.eos_token_id if written else token] = 1e4

    model.model.register_forward_hook(only, with_kwargs=True)
    return model


def test_best_of_n_falls_back_to_a_prompt_without_schema(tmp_path):
    folder = tiny_model(tmp_path, context=2048)
    group = catlite.Group(catlite.Example("Hm"), tuple(map(catlite.Rollout, ("one", "two"))))
    judges = [writing(LocalModel(folder), letter, once=True) for letter in "12"]
    picked = [concurrency.run(catlite.BestOfN(judge, max_tokens=8)(group)).text for judge in judges]
    assert sorted(picked) == ["one", "two"]
    for letter, cut in (("x", "'xxxxxxxx', cut off"), ("1", "'11111111', cut off")):
        with pytest.raises(catlite.errors.EstimationError, match=f"no readable choice: {cut}"):
            concurrency.run(catlite.BestOfN(writing(LocalModel(folder), letter, once=False), max_tokens=8)(group))


@pytest.mark.parametrize(
    ("path", "settings", "said"),
    [
        ("", {}, "path is empty"),
        ("./nowhere", {}, "no folder of that name"),
        ("{folder}", {"backend": "vllm"}, 'want "auto"'),
        ("{folder}", {"adapter": "./nowhere"}, "adapter_config.json"),
        ("{folder}", {"dtype": "int3"}, "bfloat16"),
        ("{folder}", {"batch_size": 0}, "at least 1, or None"),
        ("{folder}", {"fast": "warp"}, 'want None, .*"graphs", "plain", "unsloth", or'),
    ],
)
def test_settings_that_cannot_be_are_refused(folder, path, settings, said):
    with pytest.raises(ConfigError, match=said):
        LocalModel(path.format(folder=folder), **settings)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_unsloth_without_a_gpu_is_refused_with_what_to_do(folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *_: object())
    with pytest.raises(ConfigError, match='finds none: use backend="transformers"'):
        LocalModel(folder, backend="unsloth")
    assert LocalModel(folder, backend="auto").backend == "transformers"


def test_pickled_weights_are_refused(folder, tmp_path):
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02.")
    with pytest.raises(ConfigError, match="safetensors"):
        LocalModel(tmp_path)


def test_a_base_model_without_chat_template_is_refused(tmp_path):
    bare = LocalModel(tiny_model(tmp_path, template=None))
    with pytest.raises(ConfigError, match="chat template"):
        ask(bare)


def test_messages_that_the_chat_template_refuses_are_named_as_the_cause(tmp_path):
    refusing = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    model = LocalModel(tiny_model(tmp_path, template=refusing + TEMPLATE))
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say 1"}]
    with pytest.raises(RequestRejected, match="chat template does not take these messages: System role not supported"):
        ask(model, messages)
    assert len(ask(model, messages[1:])) == 1


@pytest.mark.parametrize("ends", ["in the generation settings alone", "nowhere"])
def test_a_model_is_refused_only_when_nothing_says_how_a_reply_ends(folder, tmp_path, ends):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    left_out = {"tokenizer_config.json": {"eos_token", "pad_token"}, "config.json": {"eos_token_id", "pad_token_id"}}
    if ends == "nowhere":
        left_out["generation_config.json"] = {"eos_token_id", "pad_token_id"}
    for name, settings in left_out.items():
        content = json.loads((tmp_path / name).read_text())
        kept = {setting: value for setting, value in content.items() if setting not in settings}
        (tmp_path / name).write_text(json.dumps(kept))
    model = LocalModel(tmp_path)
    if ends == "nowhere":
        with pytest.raises(ConfigError, match="no reply would end"):
            ask(model)
    else:
        assert texts(ask(model, n=2)) == texts(ask(LocalModel(folder), n=2))


def test_a_broken_model_names_its_folder(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "no-such-model"}))
    with pytest.raises(ConfigError, match="cannot be loaded"):
        ask(LocalModel(tmp_path))


def test_a_run_tells_models_by_context_and_by_a_vocabulary_that_is_read(tmp_path):
    folder = tiny_model(tmp_path)

    def address(**settings):
        return LocalModel(folder, **settings)._weights_address()

    plain = address()
    (folder / "vocab.txt").write_text("beside a tokenizer.json nobody reads it")
    assert address() == plain
    assert len({plain, address(context=64), address(context=32)}) == 3
    (folder / "tokenizer.json").rename(tmp_path / "aside")
    shorter = LocalModel(folder).weights.digest
    (folder / "vocab.txt").write_text("another one")
    assert LocalModel(folder).weights.digest != shorter


def test_weights_from_the_hub_are_told_by_the_commit_in_its_cache(tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    weights = LocalModel("some/model").weights
    assert weights._digest() == "some/model@None"
    cache = tmp_path / "models--some--model"
    for file, content in (("refs/main", "0123abcd"), ("snapshots/0123abcd/config.json", "{}")):
        (cache / file).parent.mkdir(parents=True)
        (cache / file).write_text(content)
    assert weights._digest() == "some/model@0123abcd"


def test_a_run_scores_nothing_twice_and_a_budget_counts_tokens_alone(model, folder, tmp_path):
    text = "plain text 123"
    with open_run(tmp_path, Budget(usd=1e-9, requests=1, tokens=1000)) as store:
        scores = concurrency.run(model.frozen().logprobs("Say something.", text))
        ask(model, n=2, max_tokens=5)
        spent = store.account.spent
    assert (spent.requests, spent.cost_usd) == (0, 0.0)
    prompt = len(model.tokens([{"role": "user", "content": "Say something."}]))
    scored = len(model.tokenizer(text, add_special_tokens=False)["input_ids"])
    assert spent.prompt_tokens == 2 * prompt + scored
    assert 0 < spent.completion_tokens <= 10
    again = LocalModel(folder)
    with open_run(tmp_path) as store:
        assert concurrency.run(again.frozen().logprobs("Say something.", text)) == scores
        assert not again.weights.loaded
        assert store.account.spent == spent


def test_a_budget_in_tokens_stops_weights_in_this_process(model):
    with capped(Budget(tokens=60)) as ledger:
        ask(model, "Say 1.", max_tokens=10)
        with pytest.raises(BudgetReached):
            ask(model, "Say 2.", max_tokens=60)
        assert 0 < ledger.spent.total_tokens < 60


def test_a_prompt_with_an_image_is_refused_and_parts_of_text_are_joined(folder):
    words = [{"type": "text", "text": "What "}, {"type": "text", "text": "is it?"}]
    model, with_image = LocalModel(folder), question()
    for refused in (model.sample(with_image), model.logprobs(with_image, "A cat.")):
        with pytest.raises(ConfigError, match="takes text alone"):
            concurrency.run(refused)
    with pytest.raises(ConfigError, match="takes text alone"):
        model.tokens(with_image)
    parts = model.tokens([{"role": "user", "content": words}])
    assert parts == model.tokens([{"role": "user", "content": "What is it?"}])
