import asyncio
import gc
import json
import logging
import signal
import sys
import threading
from pathlib import Path

import children
import pytest
from batch_server import KEY, BatchServer, answered, completion, refused, without_answer

import catlite
from catlite import BatchEndpoint, Budget, Price, concurrency
from catlite.errors import (
    AuthenticationFailed,
    BudgetReached,
    ConfigError,
    ContextOverflow,
    EndpointDown,
    RequestRejected,
    StoreError,
)
from catlite.models.http import batches
from catlite.runs import atomic, session

QUESTION = "What is six times seven?"
QUESTIONS = [f"What is {number} times 7?" for number in range(5)]


@pytest.fixture
def server():
    with BatchServer() as running:
        yield running


def on(server, **settings):
    defaults = {"poll_seconds": 0.01, "gather_seconds": 0.02, "retry_seconds": 5.0, "timeout": 30.0}
    return BatchEndpoint("test-model", **{"base_url": server.url, "api_key": KEY, **defaults, **settings})


def ask(server, n=1, *, run=None, budget=None, prompt=QUESTION, settings=(), **sampling):
    with session.open_run(run, budget), on(server, **dict(settings)) as model:
        return concurrency.run(model.sample(prompt, n, **sampling))


def records(run):
    return list((Path(run) / "batches").glob("*.json"))


def spent(run):
    with session.open_run(run) as store:
        return store.account.spent


# --- the two batches of an estimate ---


def test_estimate_asks_all_rollouts_in_one_batch_and_all_syntheses_in_another(server):
    price = Price(2.0, 4.0)
    with on(server, gather_seconds=0.5, price=price, max_tokens=100) as model:
        references = catlite.estimate(QUESTIONS, model, n=3, answer_format="boxed", progress=False)
    assert [len(server.lines(number)) for number in range(len(server.batches))] == [5, 5]
    assert {line["body"].get("n", 1) for line in server.lines(0)} == {3}
    assert all(line["url"] == "/v1/chat/completions" and line["method"] == "POST" for line in server.lines(0))
    assert [reference.answer for reference in references] == ["42"] * 5
    assert [len(reference.group.usable) for reference in references] == [3] * 5
    used = references[0].group.rollouts[0].usage
    assert used.cost_usd == pytest.approx((10 * 1.0 + 1 * 2.0) / 1e6, rel=0.5)
    total = sum(rollout.usage.cost_usd for rollout in references[0].group.rollouts)
    assert total == pytest.approx((10 * 2.0 + 5 * 4.0) / 1e6 / 2)  # half the price


def test_what_a_batch_costs_of_the_price_is_a_setting(server):
    assert on(server, price=Price(2.0, 4.0, 1.0), discount=0.25).price == Price(0.5, 1.0, 0.25)
    assert on(server).price is None  # unknown stays unknown


def test_replies_go_to_the_questions_they_answer_whatever_their_order(server):
    server.reply = lambda body: [f"{body['messages'][-1]['content']} {body.get('seed')}"] * body.get("n", 1)
    with on(server, gather_seconds=0.5) as model:
        references = catlite.estimate(
            QUESTIONS, model, n=1, seed=3, estimator=catlite.MajorityVote(), answer_format=r"is (\d)"
        )
    assert [reference.group.rollouts[0].text for reference in references] == [f"{text} 3" for text in QUESTIONS]


def test_a_server_that_answers_one_choice_is_asked_for_the_others_line_by_line(server):
    server.reply = lambda body: [f"reply {body.get('seed')}"]
    assert [reply.text for reply in ask(server, 3, seed=5)] == ["reply 5", "reply 6", "reply 7"]
    assert [len(server.lines(number)) for number in (0, 1)] == [1, 2]


@pytest.mark.parametrize(
    ("settings", "sizes"), [({"max_requests": 2}, [2, 2, 1]), ({"max_bytes": 500}, [2, 2, 1]), ({}, [5])]
)
def test_files_are_split_at_the_limits(server, settings, sizes):
    with on(server, gather_seconds=0.5, **settings) as model:
        replies = concurrency.run(concurrency.together(model.sample(question) for question in QUESTIONS))
    assert [len(server.lines(number)) for number in range(len(server.batches))] == sizes
    assert [reply.error for (reply,) in replies] == [None] * 5
    assert all(
        len(server.files[batch["input_file_id"]]) <= settings.get("max_bytes", 10**6) for batch in server.batches
    )


def test_a_request_that_no_file_can_hold_is_refused_unsent(server):
    with pytest.raises(RequestRejected, match="over the 100 bytes of a batch file"):
        ask(server, settings={"max_bytes": 100})
    assert server.requests == []


# --- what comes back ---


def test_what_a_batch_has_done_before_it_expired_is_kept_and_the_rest_asked_again(server, tmp_path):
    server.ends = ["expired"]
    server.row = lambda body, number: (
        without_answer("batch_expired") if number == 0 and "3" in body["messages"][-1]["content"] else None
    )
    with session.open_run(tmp_path), on(server, gather_seconds=0.5) as model:
        replies = concurrency.run(concurrency.together(model.sample(question) for question in QUESTIONS))
    assert [reply.error for (reply,) in replies] == [None] * 5
    assert [len(server.lines(number)) for number in range(len(server.batches))] == [5, 1]
    assert spent(tmp_path).requests == 5  # what expired cost nothing
    assert records(tmp_path) == []


def test_a_reply_that_expires_in_three_batches_is_lost_and_says_so(server):
    server.ends = ["expired"] * 5
    server.row = lambda body, number: "absent"
    (reply,) = ask(server)
    assert "expired before it came to this request" in reply.error
    assert len(server.batches) == 3


def test_a_line_that_fails_costs_the_others_nothing(server):
    rows = {
        "0": refused(400, "Invalid value: 'x'"),
        "1": answered(completion(["ok"]), 200),
        "2": refused(400, "rejected", "content_filter"),
        "3": refused(400, "maximum context length is 100 tokens", "context_length_exceeded"),
    }
    server.row = lambda body, number: rows.get(body["messages"][-1]["content"].split()[2])
    with on(server, gather_seconds=0.5) as model:

        async def outcome(question):
            try:
                return (await model.sample(question))[0]
            except Exception as error:
                return error

        outcomes = concurrency.run(concurrency.together(outcome(question) for question in QUESTIONS))
    assert isinstance(outcomes[0], RequestRejected)
    assert "Invalid value" in str(outcomes[0])
    assert outcomes[1].text == "ok"
    assert outcomes[2].finish_reason == "content_filter"
    assert isinstance(outcomes[3], ContextOverflow)
    assert outcomes[4].error is None
    assert len(server.batches) == 1


@pytest.mark.parametrize(
    "row",
    [
        refused(500, "boom"),
        refused(429, "slow down"),
        answered({"object": "chat.completion"}),
        answered(None),
        {"response": None, "error": None},
        "absent",
    ],
)
def test_a_line_without_a_reply_is_asked_again_in_the_next_batch_and_is_never_a_reply(server, row):
    server.row = lambda body, number: row if number == 0 else None
    (reply,) = ask(server)
    assert reply.text == "The answer is \\boxed{42}."
    assert len(server.batches) == 2


def test_rows_of_other_requests_are_not_taken(server, caplog):
    good = server._go_on

    def swap(batch, number):
        good(batch, number)
        if number == 0 and "output_file_id" in batch:
            server.files[batch["output_file_id"]] = b'{"custom_id": "other"}\nnot json\n[]\n\n'

    server._go_on = swap
    assert ask(server)[0].error is None
    assert len(server.batches) == 2
    lines = [f"batch batch_0: line {number} of output_file_id-0 cannot be read" for number in (2, 3)]
    assert [record.message for record in caplog.records if "cannot be read" in record.message] == lines


def test_of_two_answers_to_one_request_the_first_stands_and_the_log_says_so(server, caplog):
    good = server._go_on

    def repeat(batch, number):
        good(batch, number)
        if "output_file_id" in batch:
            content = server.files[batch["output_file_id"]]
            server.files[batch["output_file_id"]] = content + content.replace(b"{42}", b"{43}") + content

    server._go_on = repeat
    assert "42" in ask(server)[0].text
    assert [record.message for record in caplog.records if "second time" in record.message] == [
        "batch batch_0: line 2 of output_file_id-0 answers a request for the second time: the first answer stands"
    ]


def test_a_file_that_begins_with_a_byte_order_mark_loses_no_line(server):
    good = server._go_on

    def marked(batch, number):
        good(batch, number)
        if "output_file_id" in batch:
            server.files[batch["output_file_id"]] = "\ufeff".encode() + server.files[batch["output_file_id"]]

    server._go_on = marked
    assert ask(server)[0].error is None
    assert len(server.batches) == 1


def test_repeats_of_an_evaluation_are_one_batch_also_in_a_run(server, tmp_path):
    task = [catlite.Example(QUESTION, "42", answer_format="boxed")]
    with on(server, gather_seconds=0.5) as model:
        result = catlite.evaluate(task, model, n=2, n_repeats=3, run=tmp_path, progress=False)
    assert [len(server.lines(number)) for number in range(len(server.batches))] == [3]
    assert [len(group.rollouts) for group in result.groups] == [2, 2, 2]


def test_a_batch_that_fails_validation_ends_the_run_with_the_reason_and_is_not_sent_again(server, tmp_path):
    server.ends, server.errors = ["failed"], [{"code": "invalid", "message": "The model `x` is not there", "line": 1}]
    with pytest.raises(RequestRejected, match=r"batch_0, failed: line 1: The model `x` is not there; nothing was paid"):
        ask(server, 8, run=tmp_path)
    assert len(server.batches) == 1
    assert records(tmp_path) == []
    assert ask(server, 8, run=tmp_path)[0].error is None  # the next call asks anew


def test_a_batch_that_is_cancelled_at_the_provider_ends_the_run(server, tmp_path):
    server.ends = ["cancelled"]
    server.row = lambda body, number: "absent" if number == 0 else None
    with pytest.raises(RequestRejected, match="was cancelled"):
        ask(server, run=tmp_path)
    assert len(server.batches) == 1
    assert ask(server, run=tmp_path)[0].error is None


def test_a_server_without_a_batch_api_says_what_to_take_instead(server):
    server.fault = lambda method, path: 404
    with pytest.raises(RequestRejected, match=r"batch API\? Endpoint"):
        ask(server)


# --- restarts ---


PROGRAM = """
import sys, catlite
from catlite import BatchEndpoint
url, run = sys.argv[1:]
model = BatchEndpoint("test-model", base_url=url, poll_seconds=0.01, gather_seconds=0.5, max_tokens=50)
questions = [f"What is {number} times 7?" for number in range(5)]
catlite.estimate(questions, model, n=2, answer_format="boxed", run=run, progress=False)
"""


def test_a_process_that_is_killed_finds_its_batch_again_and_pays_nothing_twice(server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    server.reply = lambda body: [rf"{body['messages'][-1]['content']} \boxed{{42}}"] * body.get("n", 1)
    server.held, run = True, tmp_path / "run"
    with children.start([sys.executable, "-c", PROGRAM, server.url, str(run)]) as child:
        server.wait(lambda: server.batches and server.batches[0]["polls"] > 1, 110.0)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert spent(run).requests == 5  # booked at the most, before anything is known
    (record,) = records(run)
    assert KEY not in record.read_text()
    server.held = False
    for _ in range(2):  # the second time asks for nothing
        with on(server, gather_seconds=0.5, max_tokens=50) as model:
            references = catlite.estimate(QUESTIONS, model, n=2, answer_format="boxed", run=run, progress=False)
        assert [reference.answer for reference in references] == ["42"] * 5
        assert [len(server.lines(number)) for number in range(len(server.batches))] == [5, 5]
    booked = spent(run)
    assert (booked.requests, booked.prompt_tokens, booked.completion_tokens) == (10, 100, 50)
    assert records(run) == []
    assert not any(KEY.encode() in path.read_bytes() for path in run.rglob("*") if path.is_file())


def interrupted(server, **settings):
    """Ask, and stop as Ctrl-C does once the batch is being polled."""
    server.held = True

    async def stopped():
        task = asyncio.get_running_loop().create_task(work_in(settings))
        while not (server.batches and server.batches[-1]["polls"]):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    async def work_in(settings):
        with session.open_run(settings.get("run")):
            await on(server).sample(QUESTION, 2, max_tokens=7)

    assert concurrency.run(stopped())
    server.held = False


def test_without_a_run_an_interrupt_cancels_the_batch_at_the_provider(server):
    interrupted(server)
    assert server.batches[0]["status"] == "cancelling"


def test_with_a_run_an_interrupt_leaves_the_batch_which_the_same_call_finds_again(server, tmp_path):
    interrupted(server, run=tmp_path)
    assert server.batches[0]["status"] == "in_progress"
    assert len(ask(server, 2, run=tmp_path, max_tokens=7)) == 2
    assert len(server.batches) == 1
    assert spent(tmp_path).completion_tokens == 5


def test_a_call_for_more_replies_takes_those_under_way_and_asks_for_the_rest(server, tmp_path):
    interrupted(server, run=tmp_path)
    assert len(ask(server, 5, run=tmp_path, max_tokens=7)) == 5
    assert [line["body"].get("n", 1) for number in (0, 1) for line in server.lines(number)] == [2, 3]


def test_a_process_that_ended_before_it_had_the_id_takes_the_batch_of_its_file(server, tmp_path):
    interrupted(server, run=tmp_path)
    (path,) = records(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"id": None}))
    assert len(ask(server, 2, run=tmp_path, max_tokens=7)) == 2
    assert len(server.batches) == 1


def test_a_process_that_ended_before_the_batch_was_created_creates_it_of_the_same_file(server, tmp_path):
    interrupted(server, run=tmp_path)
    (path,) = records(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"id": None}))
    server.batches.clear()
    assert len(ask(server, 2, run=tmp_path, max_tokens=7)) == 2
    assert (len(server.batches), sum(request == ("POST", "/files") for request in server.requests)) == (1, 1)


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_a_process_that_ended_while_a_line_was_asked_again_takes_the_later_batch(server, tmp_path, names):
    server.ends, questions = ["expired"], QUESTIONS[:2]
    server.row = lambda body, number: (
        without_answer("batch_expired") if number == 0 and "1" in body["messages"][-1]["content"] else None
    )
    server.fault = lambda method, path: setattr(server, "held", len(server.batches) == 2)

    async def sample_all():
        async with on(server, gather_seconds=0.5, max_tokens=7) as model:
            return await concurrency.together(model.sample(question) for question in questions)

    async def stopped():
        task = asyncio.get_running_loop().create_task(sample_all())
        while not (len(server.batches) == 2 and server.batches[1]["polls"]):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.wait([task])

    with session.open_run(tmp_path):
        concurrency.run(stopped())
    in_time = sorted(records(tmp_path), key=lambda path: json.loads(path.read_text())["created"])
    for path, name in zip(in_time, names, strict=True):
        path.rename(path.with_name(f"{name}.json"))
    server.fault = lambda method, path: setattr(server, "held", False)
    with session.open_run(tmp_path):
        replies = concurrency.run(sample_all())
    assert [reply.error for (reply,) in replies] == [None, None]
    assert [len(server.lines(number)) for number in range(len(server.batches))] == [2, 1]
    assert spent(tmp_path).completion_tokens == 10


def test_a_record_that_cannot_be_read_is_an_error_with_its_path(server, tmp_path):
    interrupted(server, run=tmp_path)
    (path,) = records(tmp_path)
    path.write_text("{")
    with pytest.raises(StoreError, match="record of a batch"):
        ask(server, 2, run=tmp_path, max_tokens=7)


@pytest.mark.parametrize("gone", ["/batches/batch_0", "/files/output_file_id-0/content"])
def test_a_batch_that_the_provider_has_dropped_names_the_record_to_delete(server, tmp_path, gone):
    interrupted(server, run=tmp_path)
    (path,) = records(tmp_path)
    server.fault = lambda method, path: 404 if path == gone else None
    with pytest.raises(
        RequestRejected, match=f"has dropped batch batch_0 or its files.* delete {path} to ask, and pay"
    ):
        ask(server, 2, run=tmp_path, max_tokens=7)
    assert spent(tmp_path).completion_tokens == 14  # the most: it may have been answered
    path.unlink()
    assert len(ask(server, 2, run=tmp_path, max_tokens=7)) == 2
    assert len(server.batches) == 2


def test_a_record_that_cannot_be_written_makes_no_batch_free(server, tmp_path, monkeypatch):
    written = []

    def full(path, parts):
        written.append(path)
        if len(written) == 2:  # with the id
            raise StoreError(f"{path} cannot be written: No space left on device")
        return atomic.write(path, parts)

    monkeypatch.setattr(batches, "write", full)
    with pytest.raises(StoreError, match="No space left"):
        ask(server, 2, run=tmp_path, max_tokens=7)
    assert spent(tmp_path).completion_tokens == 14
    assert len(ask(server, 2, run=tmp_path, max_tokens=7)) == 2
    assert len(server.batches) == 1
    assert spent(tmp_path).completion_tokens == 5


# --- connections ---


@pytest.mark.parametrize("fault", ["drop", "drop after", 500])
def test_a_creation_with_an_unknown_end_makes_no_second_batch(server, fault, hurry):
    faults = [fault]
    server.fault = lambda method, path: faults.pop() if (method, path) == ("POST", "/batches") and faults else None
    assert ask(server)[0].error is None
    assert len(server.batches) == 1


def test_a_creation_with_an_answer_that_cannot_be_read_makes_no_second_batch(server, tmp_path):
    answer = server._answer

    def garbled(method, path, content):
        status, known = answer(method, path, content)
        return status, b"<html>gateway</html>" if (method, path) == ("POST", "/batches") else known

    server._answer = garbled
    assert ask(server, run=tmp_path)[0].error is None
    assert len(server.batches) == 1


def test_a_creation_that_is_refused_for_now_is_made_again(server, hurry):
    faults = [429, 429]
    server.fault = lambda method, path: faults.pop() if (method, path) == ("POST", "/batches") and faults else None
    assert ask(server)[0].error is None
    assert ("GET", "/batches?limit=100") not in server.requests


def test_a_batch_is_not_lost_when_the_network_is_for_a_while(server, hurry, caplog):
    faults = [500] * 6
    server.fault = lambda method, path: faults.pop() if path.startswith("/batches/") and faults else None
    assert ask(server, settings={"retry_seconds": 0.05})[0].error is None
    assert "cannot be looked at" in caplog.text
    assert len(server.batches) == 1


def test_a_batch_api_that_is_not_there_ends_the_run_and_costs_nothing(server, tmp_path, hurry):
    server.fault = lambda method, path: "drop"
    with pytest.raises(EndpointDown):
        ask(server, run=tmp_path, settings={"retry_seconds": 0.1})
    assert spent(tmp_path).requests == 0
    assert records(tmp_path) == []


def test_a_key_that_is_refused_while_a_batch_runs_leaves_it_for_the_next_call(server, tmp_path):
    server.fault = lambda method, path: 401 if path.startswith("/batches/") else None
    with pytest.raises(AuthenticationFailed, match="the same call goes on"):
        ask(server, 8, run=tmp_path, max_tokens=7)
    server.fault = lambda method, path: None
    assert len(ask(server, 8, run=tmp_path, max_tokens=7)) == 8
    assert len(server.batches) == 1
    assert spent(tmp_path).completion_tokens == 5


# --- budgets ---


def test_a_budget_is_held_before_a_batch_is_submitted(server):
    with pytest.raises(BudgetReached):
        ask(server, 8, budget=Budget(tokens=100), max_tokens=50)
    assert server.requests == []


def test_calls_that_fit_only_once_others_are_back_wait_for_the_next_batch(server):
    most = len(QUESTIONS[0]) + 16 + 50  # tokens of one request
    with session.open_run(None, Budget(tokens=3 * most)), on(server, gather_seconds=0.5, max_tokens=50) as model:
        replies = concurrency.run(concurrency.together(model.sample(question) for question in QUESTIONS))
    assert [reply.error for (reply,) in replies] == [None] * 5
    assert [len(server.lines(number)) for number in range(len(server.batches))] == [3, 2]  # none goes alone


# --- settings ---


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"discount": 0}, "discount=0"),
        ({"poll_seconds": -1}, "poll_seconds=-1"),
        ({"gather_seconds": "long"}, "gather_seconds"),
        ({"max_requests": 0}, "max_requests=0"),
        ({"max_bytes": 0}, "max_bytes=0"),
        ({"max_connections": 8}, "write max_requests"),
        ({"extra_headers": {"x": "y"}}, "no headers of their own"),
        ({"temprature": 1}, "did you mean temperature"),
    ],
)
def test_a_wrong_setting_is_refused(server, settings, message):
    with pytest.raises(ConfigError, match=message):
        on(server, **settings)


def test_a_model_that_litellm_would_reach_needs_an_address(server):
    with pytest.raises(ConfigError, match="pass base_url="):
        BatchEndpoint("anthropic/claude-haiku-4-5", api_key=KEY)
    assert BatchEndpoint("org/name", base_url=server.url, api_key=KEY).name == "org/name"


def test_a_given_text_is_not_scored(server):
    with pytest.raises(ConfigError, match="cannot score"):
        concurrency.run(on(server).logprobs(QUESTION, "42"))


def test_a_batch_endpoint_shows_no_key(server):
    assert KEY not in repr(on(server)) + str(vars(on(server)))


def test_the_progress_says_which_batch_is_waited_for(server, capsys):
    server.held = True

    def release():
        server.wait(lambda: server.batches and server.batches[0]["polls"] > 3)
        server.held = False

    threading.Thread(target=release, daemon=True).start()
    with on(server) as model:
        catlite.estimate([QUESTION], model, n=1, estimator=catlite.MajorityVote(), progress=True, answer_format="boxed")
    assert "batch" in capsys.readouterr().err


def test_looks_at_a_batch_become_rarer(server, monkeypatch, caplog):
    pauses = []
    sleep = batches.asyncio.sleep

    async def counted(seconds):
        pauses.append(seconds)
        if len(pauses) > 4:
            server.held = False
        await sleep(0)

    server.held = True
    monkeypatch.setattr(batches.asyncio, "sleep", counted)
    with caplog.at_level(logging.INFO, "catlite"):
        ask(server, settings={"poll_seconds": 100.0})
    monkeypatch.undo()
    assert pauses[:5] == [100.0, 150.0, 225.0, 300.0, 300.0]
    assert "batch_0 of 1 requests is submitted" in caplog.text


# --- calls that end while others go on ---


def gate(server, method, path, fault=None):
    """Hold such requests until the second event is set, then answer with `fault`; the first tells that one is there."""
    arrived, opened = threading.Event(), threading.Event()

    def hold(*request):
        if request == (method, path):
            arrived.set()
            opened.wait(60)
            return fault
        return None

    server.fault = hold
    return arrived, opened


async def cancelled(*calls):
    """Cancel calls at once, and let them clean up as far as they can."""
    for call in calls:
        call.cancel()
    for _ in range(20):
        await asyncio.sleep(0)


def test_a_batch_given_up_while_it_is_created_answers_who_asks_again_before_it_is(server, tmp_path):
    arrived, opened = gate(server, "POST", "/batches")

    async def work():
        with session.open_run(tmp_path):
            model = on(server, max_tokens=50)
            calls = [asyncio.create_task(model.sample(text)) for text in "AB"]
            await asyncio.to_thread(arrived.wait)
            await cancelled(*calls)
            again = asyncio.create_task(model.sample("A"))
            for _ in range(20):
                await asyncio.sleep(0)
            opened.set()
            async with asyncio.timeout(60):
                await asyncio.wait(calls)
                return await again

    assert concurrency.run(work())[0].error is None
    assert [len(server.lines(number)) for number in range(len(server.batches))] == [2]


def test_a_creation_that_fails_when_nobody_waits_any_more_is_no_complaint(server, tmp_path, caplog):
    arrived, opened = gate(server, "POST", "/batches", 400)

    async def work():
        with session.open_run(tmp_path):
            call = asyncio.create_task(on(server, max_tokens=50).sample("A"))
            await asyncio.to_thread(arrived.wait)
            await cancelled(call)
            opened.set()
            await asyncio.wait([call])

    concurrency.run(work())
    gc.collect()
    assert "never retrieved" not in caplog.text
    assert records(tmp_path) == []


def test_a_call_cancelled_during_the_upload_finds_its_line_again_where_others_go_on(server, tmp_path):
    arrived, opened = gate(server, "POST", "/files")

    async def work():
        with session.open_run(tmp_path) as store:
            model = on(server, max_tokens=50)
            first, other = (asyncio.create_task(model.sample(text)) for text in "AB")
            await asyncio.to_thread(arrived.wait)
            await cancelled(first)
            again = asyncio.create_task(model.sample("A"))
            for _ in range(20):
                await asyncio.sleep(0)
            opened.set()
            await asyncio.gather(again, other)
            return store.account.spent

    assert concurrency.run(work()).requests == 2
    assert [len(server.lines(number)) for number in range(len(server.batches))] == [2]


@pytest.mark.parametrize("stage", ["gathered", "uploaded"])
def test_calls_that_all_end_before_there_is_a_file_cost_nothing(server, tmp_path, stage):
    arrived, opened = gate(server, "POST", "/files")

    async def work():
        with session.open_run(tmp_path) as store:
            model = on(server, max_tokens=50, gather_seconds=0.02 if stage == "uploaded" else 600)
            calls = [asyncio.create_task(model.sample(text)) for text in "ABC"]
            if stage == "uploaded":
                await asyncio.to_thread(arrived.wait)
            else:
                while store.account.reserved.requests < len(calls):  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            await cancelled(*calls)
            await asyncio.wait(calls)
            opened.set()

    concurrency.run(work())
    assert server.batches == []
    assert spent(tmp_path).requests == spent(tmp_path).total_tokens == 0


def test_a_line_whose_batch_was_refused_meanwhile_is_asked_in_a_new_one(server, tmp_path):
    """And not with the text of a line that an earlier process has sent, which is not in its record."""

    async def sent():
        with session.open_run(tmp_path):
            model = on(server, max_tokens=7)
            calls = [asyncio.create_task(model.sample(text)) for text in "AB"]
            while not server.batches:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            await cancelled(*calls)
            await asyncio.wait(calls)

    concurrency.run(sent())
    (path,) = records(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"id": None}))
    server.batches.clear()
    server.fault = lambda method, path: 400 if (method, path) == ("POST", "/batches") else None
    with session.open_run(tmp_path), on(server, max_tokens=7) as model:
        with pytest.raises(RequestRejected):
            concurrency.run(model.sample("A"))
        server.fault = lambda method, path: None
        assert len(concurrency.run(model.sample("B"))) == 1
    assert [line["body"]["messages"][-1]["content"] for line in server.lines(0)] == ["B"]
