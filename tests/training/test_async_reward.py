"""trl_reward where rewards are awaited: on event loops, by TRL's trainers, and in a worker process of theirs."""

import asyncio
import functools
import itertools
import json
import math
import pickle
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from server import Server

import catlite
from catlite import Example, Reference, Task, trl_reward
from catlite.errors import ConfigError
from catlite.training.reward import Rewards

FORMAT = r"is (\w+)"
KEY = "sk-catlite-0123456789-abcdefghijklmnopqrstuvwxyz"
VOTE = catlite.MajorityVote()


def batch(*answers):
    """What TRL sends: a prompt and a conversational completion per rollout."""
    completions = [[{"role": "assistant", "content": f"it is {answer}"}] for answer in answers]
    return {"prompts": [[{"role": "user", "content": "What is it?"}]] * len(answers), "completions": completions}


def test_a_plain_call_gives_a_list_and_one_on_a_loop_can_be_awaited():
    function = trl_reward(VOTE, num_generations=3, answer_format=FORMAT)
    logged = {}
    rows = {**batch("a", "a", "b"), "log_metric": logged.__setitem__, "log_extra": logged.__setitem__}
    plain, metrics = function(**rows), dict(logged)
    assert (type(plain), plain) == (list, [1.0, 1.0, 0.0])
    logged.clear()

    async def work():
        return await function(**rows)

    awaited = asyncio.run(work())
    assert (type(awaited), awaited) == (list, plain)
    assert logged == metrics | {"cat/flips": 0.0}  # the prompt was seen before
    assert {"cat/coverage", "reference"} <= logged.keys()
    assert function.last.rewards == plain


def test_what_is_not_awaited_on_a_loop_is_scored_when_it_is_read():
    calls = []

    async def vote(group):
        calls.append(group)
        return await VOTE(group)

    async def in_a_notebook():  # whose cells run on a loop
        rewards = function(**batch("a", "a", "b"))
        assert isinstance(rewards, Rewards)
        assert (calls, function.last.scored) == ([], [])
        assert [rewards[2], len(rewards), list(rewards), repr(rewards)] == [0.0, 3, [1, 1, 0], "[1.0, 1.0, 0.0]"]
        assert list(rewards) == [1.0, 1.0, 0.0] == await rewards == (await asyncio.gather(rewards))[0]

    function = trl_reward(vote, num_generations=3, answer_format=FORMAT)
    asyncio.run(in_a_notebook())
    assert len(calls) == 1


def test_what_is_awaited_and_read_at_once_is_scored_once():
    calls = []

    async def vote(group):
        calls.append(group)
        await asyncio.sleep(0)
        return await VOTE(group)

    async def work():
        rewards = function(**batch("a", "b"))

        async def wait():
            return await rewards

        first = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        first.cancel()  # which takes nothing from those who wait as well
        return await asyncio.gather(wait(), wait(), asyncio.to_thread(rewards.read))

    function = trl_reward(vote, num_generations=2, answer_format=FORMAT)
    assert asyncio.run(work()) == [[1.0, 0.0]] * 3
    assert len(function.flips.history) == 1
    assert len(calls) <= 2  # of which one was cancelled


def test_the_callers_loop_goes_on_while_rewards_are_awaited():
    free = threading.Event()

    async def waits(group):
        await asyncio.to_thread(free.wait, 60)
        return await VOTE(group)

    async def work():
        rewards = asyncio.ensure_future(trl_reward(waits, num_generations=2, answer_format=FORMAT)(**batch("a", "b")))
        await asyncio.sleep(0.01)  # a loop that stood still would never come here
        assert not rewards.done()
        free.set()
        return await rewards

    assert asyncio.run(work()) == [1.0, 0.0]


def test_an_awaited_call_that_is_cancelled_stops_asking():
    begun, ended = threading.Event(), threading.Event()

    async def hangs(group):
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def work():
        rewards = asyncio.ensure_future(trl_reward(hangs, num_generations=2)(**batch("a", "b")))
        await asyncio.to_thread(begun.wait, 60)
        rewards.cancel()
        with pytest.raises(asyncio.CancelledError):
            await rewards

    asyncio.run(work())
    assert ended.wait(60)


def test_mistakes_are_told_in_both_ways_of_calling():
    function = trl_reward(VOTE, task=Task("t", (Example("q", id="x", answer_format=FORMAT),)), num_generations=2)

    async def work():
        await function(**batch("a", "b"), qid=["z"] * 2)

    for call in (lambda: function(**batch("a", "b"), qid=["z"] * 2), lambda: asyncio.run(work())):
        with pytest.raises(ConfigError, match="qid='z' is in the dataset and not in the task"):
            call()


def test_a_budget_holds_over_calls_of_both_kinds_and_over_a_copy(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with Server("answer", key=KEY) as server, catlite.Endpoint("test-model", base_url=server.url) as model:
        server.reply = "it is a"
        settings = {"num_generations": 2, "answer_format": FORMAT}
        function = trl_reward(catlite.Synthesis(model), budget=catlite.Budget(requests=3), **settings)

        async def work(function, *answers):
            return await function(**batch(*answers))

        assert function(**batch("a", "b")) == [1.0, 0.0]
        assert asyncio.run(work(function, "b", "a")) == [0.0, 1.0]
        again = pickle.loads(pickle.dumps(function))
        assert asyncio.run(work(again, "c", "a")) == [0.0, 1.0]
        with pytest.warns(UserWarning, match="groups get no rewards: the budget is reached"):
            assert again(**batch("d", "a")) == [None, None]
        assert len(server.requests) == 3
        kept = trl_reward(catlite.Synthesis(model), budget=catlite.Budget(requests=1), run=tmp_path / "run", **settings)
        assert asyncio.run(work(kept, "a", "b")) == [1.0, 0.0]
        again = pickle.loads(pickle.dumps(kept))  # the same run, and so the same account
        assert asyncio.run(work(again, "a", "b")) == [1.0, 0.0]
        with pytest.warns(UserWarning, match="groups get no rewards: the budget is reached"):
            assert asyncio.run(work(again, "d", "a")) == [None, None]
        assert len(server.requests) == 4


def test_a_copy_has_the_settings_and_nothing_that_was_seen():
    task = Task("t", (Example("q", id="x", answer_format=FORMAT),))
    function = trl_reward(VOTE, task=task, num_generations=3, num_generations_eval=2, timeout=5, eos_token_ids=[9])
    function(**batch("a", "a", "b"), qid=["x"] * 3)
    again = pickle.loads(pickle.dumps(function))
    names = ("examples", "sizes", "answer_format", "cut_at", "run", "budget")
    assert [getattr(again, name) for name in names] == [getattr(function, name) for name in names]
    assert (again.rewarder.timeout, again.rewarder.has_rewarded) == (5, False)
    assert (again.flips.answers, again.last.scored, again.offsets) == ({}, [], [])
    assert again(**batch("a", "b"), qid=["x"] * 2) == [1.0, 0.0]  # an evaluation with its own number
    assert function.flips.answers == {"x": "a"}
    assert repr(again) == repr(function)
    assert len(repr(function)) < 400  # its settings: neither all examples nor the latest rollouts
    assert {function, again, function} == {again, function}  # as any function, it can be told apart


class Picture:
    """As an image of PIL: read anew for each row, and equal by its bytes."""

    def __init__(self, content):
        self.content = content

    def tobytes(self):
        return self.content


def test_images_and_an_evaluations_own_number_are_grouped_alike_when_awaited():
    function = trl_reward(VOTE, num_generations=4, num_generations_eval=2, answer_format=FORMAT)
    columns = {"images": [[Picture(name)] for name in (b"x", b"x", b"y", b"y")]}

    async def work():
        return await function(**batch("a", "b", "c", "c"), **columns)

    assert function(**batch("a", "b", "c", "c"), **columns) == asyncio.run(work()) == [1.0, 0.0, 1.0, 1.0]
    assert [len(score.group.rollouts) for score in function.last.scored] == [2, 2]


def test_what_cannot_travel_is_refused_with_advice(server):
    key = catlite.Endpoint("m", base_url=server.url, api_key=KEY)
    with pytest.raises(ConfigError, match="api_key= was given by hand: leave that out and set OPENAI_API_KEY"):
        pickle.dumps(trl_reward(catlite.Synthesis(key)))


def test_weights_in_this_process_are_refused_with_advice(folder):
    pytest.importorskip("peft", reason="needs catlite[train]")
    from catlite import LocalModel

    anchored = trl_reward(catlite.AnchoredVote(LocalModel(folder), n=2), answer_format=FORMAT)
    with pytest.raises(ConfigError, match=r"it holds weights\. .* or serve it .* and take Endpoint\("):
        pickle.dumps(anchored)


def trl_utils():
    """TRL's own test for rewards that are awaited."""
    utils = pytest.importorskip("trl.trainer.utils", reason="needs catlite[train]")
    if not hasattr(utils, "is_async_callable"):
        pytest.skip("this TRL awaits no objects")
    return utils


def test_trl_takes_it_for_a_function_to_await_and_so_in_another_process():
    is_async_callable = trl_utils().is_async_callable
    function = trl_reward(VOTE, answer_format=FORMAT)
    assert is_async_callable(function)
    assert is_async_callable(pickle.loads(pickle.dumps(function)))
    assert not is_async_callable(functools.wraps(function)(lambda **rows: function(**rows)))


def test_trls_trainer_awaits_two_rewards_at_once(folder, tmp_path):
    trl_utils()
    from datasets import Dataset
    from trainings import one_step
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from catlite.training.trl.trainer import CatGRPOTrainer

    both = asyncio.Barrier(2)

    async def echo(group):
        async with asyncio.timeout(60):
            await both.wait()  # for the other reward: one after the other would wait in vain
        return Reference("it is a", "a", "echo", group)

    async def lengths(group, reference):
        return [float(len(rollout.text)) for rollout in group.rollouts]

    rewards = [trl_reward(echo, lengths, num_generations=4) for _ in range(2)]
    trainer = CatGRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder),
        processing_class=AutoTokenizer.from_pretrained(folder),
        reward_funcs=rewards,
        args=one_step(tmp_path),
        train_dataset=Dataset.from_list([{"prompt": [{"role": "user", "content": "Say 1"}], "qid": "1"}]),
    )
    trainer.train()
    assert [reward.last.faults for reward in rewards] == [[], []]
    assert [len(reward.last.rewards) for reward in rewards] == [4, 4]
    assert {"cat/coverage", "rewards/cat/mean"} <= trainer.state.log_history[0].keys()


class Replies:
    """What a rollout worker asks of vLLM: completions of token ids, which here are `texts` in turn."""

    def __init__(self, tokenizer, texts):
        texts, lock = itertools.cycle(texts), threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                self.rfile.read(int(self.headers["content-length"]))
                with lock:
                    ids = tokenizer(next(texts) + tokenizer.eos_token)["input_ids"]
                sent = json.dumps({"choices": [{"token_ids": ids, "logprobs": {"token_logprobs": [-1.0] * len(ids)}}]})
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.end_headers()
                self.wfile.write(sent.encode())

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()


def next_sample(worker):
    """What the process has scored next; raises when it has failed."""
    while True:
        try:
            return worker.rollout_buffer.get(timeout=0.1)
        except queue.Empty:
            worker.check_health(600)


def test_trls_rollout_process_scores_whole_groups_keeps_the_run_and_ends_with_the_message(
    folder, tmp_path, server, monkeypatch, capfd
):
    trl_utils()
    rollouts = pytest.importorskip("trl.experimental.async_grpo.async_rollout_worker")
    from accelerate import PartialState
    from datasets import Dataset
    from transformers import AutoTokenizer
    from trl.chat_template_utils import qwen2_5_chat_template

    monkeypatch.setattr(rollouts, "is_vllm_available", lambda: True)  # which the server alone would need
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    PartialState()  # as a trainer makes it, for TRL's logger
    server.key, server.reply = KEY, "it is a"
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = qwen2_5_chat_template
    task = Task("t", tuple(Example(f"What is {name}?", id=name, answer_format=FORMAT) for name in "xy"))
    judge = catlite.Endpoint("test-model", base_url=server.url)
    reward = trl_reward(
        catlite.Synthesis(judge), task=task, num_generations=4, run=tmp_path / "run", budget=catlite.Budget(requests=1)
    )
    rows = [{"prompt": [{"role": "user", "content": f"What is {name}?"}], "qid": name} for name in "xyz"]
    with Replies(tokenizer, [f"it is {answer}" for answer in "abcaadda"]) as replies:
        worker = rollouts.AsyncRolloutWorker(
            model_name="tiny",
            dataset=Dataset.from_list(rows),
            reward_funcs=[reward],
            processing_class=tokenizer,
            eos_token_ids=[tokenizer.eos_token_id],
            num_generations=4,
            max_inflight_tasks=1,
            vllm_server_url=replies.url,
        )
        assert KEY.encode() not in pickle.dumps(worker._loop_kwargs)
        worker.start()
        try:
            samples = [next_sample(worker) for _ in range(8)]
            assert worker._failed_event.wait(120)
        finally:
            worker.stop()
    first, second = samples[:4], samples[4:]
    assert [sample.completion[0]["content"] for sample in first] == ["it is a", "it is b", "it is c", "it is a"]
    assert [sample.metrics["rewards/cat"] for sample in first] == [1.0, 0.0, 0.0, 1.0]
    assert [sample.advantage for sample in first] == pytest.approx([1, -1, -1, 1])
    # The budget is reached: no reward, and no advantage.
    assert all(math.isnan(sample.metrics["rewards/cat"]) and sample.advantage == 0 for sample in second)
    assert "UserWarning: groups get no rewards: the budget is reached" in capfd.readouterr().err
    with pytest.raises(RuntimeError, match="has failed") as caught:
        worker.check_health(600)
    assert "ConfigError: qid='z' is in the dataset and not in the task" in str(caught.value.__cause__)
    assert reward.last.scored == []  # all of that was seen there
    assert [request.headers["authorization"] for request in server.requests] == [f"Bearer {KEY}"]
    again = reward(**batch("a", "b", "c", "a"), qid=["x"] * 4)  # the reply is in the run
    assert (again, len(server.requests)) == ([1.0, 0.0, 0.0, 1.0], 1)
