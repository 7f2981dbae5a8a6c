"""A reply that was paid for is on disk before it is used, and is never asked for again."""

import asyncio
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
from contextlib import ExitStack
from pathlib import Path

import children
import numpy as np
import pytest
from faults import status
from server import Server

import catlite
from catlite import (
    Budget,
    Endpoint,
    Example,
    MajorityVote,
    Price,
    Rollout,
    Synthesis,
    Task,
    Usage,
    concurrency,
    embedded,
    evaluate,
    reestimate,
)
from catlite.errors import ConfigError, StoreError
from catlite.models import ask
from catlite.models.embedded.model import _Server
from catlite.models.http.keys import Address, Secret
from catlite.runs.session import open_run, samples_from
from catlite.runs.store import Asked, Recording, Store

TASK = Task("sums", tuple(Example(f"{a}+1?", str(a + 1), answer_format="boxed", id=str(a)) for a in range(12)))


def reply(body, i):
    """Depends on the whole prompt, so that no two questions of a run are alike."""
    return rf"\boxed{{{sum(map(ord, body['messages'][-1]['content'])) + i % 3}}}"


@pytest.fixture
def server():
    with Server(reply) as running:
        yield running


@pytest.fixture
def connect(server):
    """Makes an Endpoint on the server, closed at the end."""
    with ExitStack() as stack:

        def connect(name="test-model", at=server, **settings):
            return stack.enter_context(Endpoint(name, base_url=at.url, api_key=at.key, retry_seconds=2, **settings))

        yield connect


@pytest.fixture
def model(connect):
    return connect(max_tokens=20)


def sample(model, *arguments, **options):
    return concurrency.run(model.sample(*arguments, **options))


def run(model, folder, **options):
    return evaluate(TASK, model, estimators=(MajorityVote(), Synthesis(model)), n=4, run=folder, **options)


def outcome(evaluation):
    return [(row.id, row.system, row.score, row.answer, row.usage.total_tokens) for row in evaluation.rows]


def test_a_run_that_is_done_sends_nothing_and_says_the_same(model, server, tmp_path):
    first = run(model, tmp_path)
    assert len(server.requests) == 24
    again = run(model, tmp_path)
    assert len(server.requests) == 24
    assert outcome(again) == outcome(first)


def test_a_larger_group_asks_only_for_the_rollouts_it_lacks(model, server, tmp_path):
    with open_run(tmp_path):
        short = sample(model, "q", 3)
        long = sample(model, "q", 8)
    assert long[:3] == short
    assert [request.body.get("n", 1) for request in server.requests] == [3, 5]


@pytest.mark.parametrize(
    "changed",
    [{"temperature": 0.5}, {"max_tokens": 21}, {"seed": 1}, {"top_k": 3}, {"prompt": "q "}, {"model": "other"}],
)
def test_anything_that_changes_a_reply_asks_again(model, connect, server, tmp_path, changed):
    server.models = None
    with open_run(tmp_path):
        sample(model, "q", 2)
        if "model" in changed:
            sample(connect("other", max_tokens=20), "q", 2)
        else:
            sample(model, changed.pop("prompt", "q"), 2, **changed)
    assert len(server.requests) == 2


def test_another_address_asks_again(model, connect, tmp_path):
    with open_run(tmp_path), Server(reply) as second:
        sample(model, "q")
        sample(connect(at=second, max_tokens=20), "q")
        assert len(second.requests) == 1


def test_samples_from_an_index_are_fresh_and_found_by_a_larger_group(model, server, tmp_path):
    async def work():
        first = await model.sample("q", 2, seed=5)
        with samples_from(2):
            return [*first, *await model.sample("q", 2, seed=5)]

    with open_run(tmp_path):
        rollouts = concurrency.run(work())
        assert sample(model, "q", 4, seed=5) == rollouts
    assert [(request.body["n"], request.body["seed"]) for request in server.requests] == [(2, 5), (2, 7)]


def test_callers_of_the_same_reply_take_turns_and_those_of_others_do_not_wait(tmp_path):
    order = []

    async def go(store):
        others_are_let_in = asyncio.Event()

        async def ask(name, samples):
            async with store.turn(Asked("m", "a", [], {}), samples):
                if name == "others":
                    others_are_let_in.set()
                await others_are_let_in.wait()
                order.append(name)

        async with asyncio.timeout(60):
            await asyncio.gather(ask("first", range(2)), ask("again", range(1, 3)), ask("others", range(3, 5)))

    with open_run(tmp_path) as store:
        asyncio.run(go(store))
    assert order.index("first") < order.index("again")


def test_the_same_question_at_the_same_time_is_asked_once(model, server, tmp_path):
    server.latency = 0.05

    async def both():
        return await asyncio.gather(model.sample("q", 3), model.sample("q", 2))

    with open_run(tmp_path):
        long, short = concurrency.run(both())
    assert long[:2] == short
    assert len(server.requests) == 1


def test_a_failed_reply_is_not_kept(model, server, tmp_path):
    server.script([status(500)] * 20)
    with open_run(tmp_path):
        (failed,) = sample(model, "q")
        server.script([])
        (fine,) = sample(model, "q")
    assert failed.error is not None
    assert fine.error is None


def test_a_truncated_reply_is_kept_as_what_it_is(model, server, tmp_path):
    server.reply = {"content": "half", "finish_reason": "length"}
    with open_run(tmp_path):
        sample(model, "q")
        (again,) = sample(model, "q")
    assert len(server.requests) == 1
    assert again.defect == "truncated"


def test_every_text_survives(model, server, tmp_path):
    text = "lone \ud800 surrogate, NUL \x00, ANSI \x1b[31m, ‮RTL, 日本"
    server.reply = text
    with open_run(tmp_path):
        first = sample(model, "q")
        assert sample(model, "q") == first
    assert first[0].text == text


def test_a_run_is_json_in_one_private_file_without_the_key(model, server, tmp_path):
    run(model, tmp_path)
    path = tmp_path / "replies.sqlite"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with sqlite3.connect(path) as connection:
        for table, column in (("requests", "asked"), ("replies", "rollout")):
            for (text,) in connection.execute(f"SELECT {column} FROM {table}"):
                json.loads(text)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    for file in tmp_path.iterdir():
        assert server.key.encode() not in file.read_bytes()


def test_headers_are_neither_stored_nor_part_of_the_question():
    plain = Asked("m", "a", [{"role": "user", "content": "q"}], {"seed": 1})
    with_header = Asked("m", "a", [{"role": "user", "content": "q"}], {"seed": 1, "extra_headers": {"X-Key": "s3cret"}})
    assert plain.key == with_header.key
    assert "s3cret" not in with_header.json


def test_replies_arrive_on_disk_one_by_one_and_not_at_the_end(connect, server, tmp_path):
    server.takes_n = False
    server.most_choices = 1
    server.script([None, None, status(401)])
    model = connect(max_connections=1)
    with open_run(tmp_path), pytest.raises(Exception, match="401"):
        sample(model, "q", 3)
    recording = Recording(tmp_path)
    assert [len(recording.replies(key)) for key, _ in recording.requests()] == [2]


PROGRAM = """
import sys
sys.path[:0] = {tests!r}
from test_store import TASK, run, outcome
from catlite import Endpoint
model = Endpoint("test-model", base_url=sys.argv[1], api_key=sys.argv[2], retry_seconds=2, max_tokens=20,
                 max_connections=2)
print("started", flush=True)
run(model, sys.argv[3])
"""


def program(server, folder):
    code = textwrap.dedent(PROGRAM.format(tests=[str(Path(__file__).parents[depth]) for depth in (0, 1)]))
    command = [sys.executable, "-c", code, server.url, server.key, str(folder)]
    return children.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("after", [3, 9, 16])
def test_a_killed_run_goes_on_without_paying_twice(model, server, tmp_path, after):
    server.latency = 0.02
    with program(server, tmp_path) as process:
        server.wait(lambda s: len(s.requests) >= after, timeout=30)
        process.send_signal(signal.SIGKILL)
    server.wait(lambda s: s.in_flight == 0)
    before = len(server.requests)
    resumed = run(model, tmp_path)
    # Two requests were in flight: a reply is on disk before its connection takes another.
    assert 24 <= len(server.requests) <= 24 + 2
    assert before < len(server.requests)
    assert outcome(resumed) == outcome(run(model, tmp_path / "fresh"))


def test_a_second_process_on_the_same_run_is_refused(model, server, tmp_path):
    with open_run(tmp_path), program(server, tmp_path) as process:
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"is in use by process {os.getpid()}".encode() in errors


def test_two_evaluations_of_one_process_may_share_a_run(model, server, tmp_path):
    with open_run(tmp_path) as outer, open_run(tmp_path) as inner:
        assert outer is inner
    run(model, tmp_path)


def test_a_folder_that_cannot_be_written_is_refused(model, server, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be used"):
        run(model, tmp_path / "file" / "run")
    assert server.requests == []


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs POSIX")
def test_a_read_only_folder_is_refused():
    top = Path(tempfile.mkdtemp())  # pytest's own folders are closed to others altogether
    with open_run(top / "run"):
        pass
    for path in (top, *top.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    root = os.geteuid() == 0  # who may write anywhere
    if root:
        os.seteuid(65534)
    try:
        assert os.access(top / "run", os.R_OK | os.X_OK, effective_ids=True)
        for folder in (top / "run", top / "new"):
            with pytest.raises(StoreError, match="cannot be used: Permission denied"), open_run(folder):
                pass
    finally:
        if root:
            os.seteuid(0)
        for path in (top, top / "run"):
            path.chmod(0o755)
        shutil.rmtree(top)


def test_a_file_that_is_no_store_is_refused(model, server, tmp_path):
    (tmp_path / "replies.sqlite").write_text("not a database, and long enough to be looked at " * 50)
    with pytest.raises(StoreError, match="cannot be opened as a run store"):
        run(model, tmp_path)
    assert server.requests == []


def test_a_disk_that_fills_up_stops_the_run_with_everything_intact(server, tmp_path):
    server.reply = "x" * 20_000
    code = """
    import asyncio, resource, signal, sys
    from catlite import Endpoint
    from catlite.runs.session import open_run
    model = Endpoint("test-model", base_url=sys.argv[1], api_key=sys.argv[2])
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))
    async def work():
        for number in range(200):
            await model.sample(f"question {number}")
    with open_run(sys.argv[3]):
        asyncio.run(work())
    """
    command = [sys.executable, "-c", textwrap.dedent(code), server.url, server.key, str(tmp_path)]
    done = children.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "StoreError: a reply could not be written" in done.stderr
    assert len(server.requests) < 200
    recording = Recording(tmp_path)
    kept = [recording.replies(key) for key, _ in recording.requests()]
    # Every reply but the one that did not fit was written.
    assert len(kept) == len(server.requests) - 1
    assert all(replies[0].text == server.reply for replies in kept)


@pytest.mark.parametrize("count", [10**12, 2**63, 10**30])
def test_a_count_that_no_request_reaches_is_unknown_and_stops_no_run(server, model, tmp_path, count):
    server.usage = {"prompt_tokens": 5, "completion_tokens": count}
    with open_run(tmp_path) as store:
        assert sample(model, "q")[0].usage.completion_tokens is None
    assert store.account.spent.completion_tokens == 20  # at the most


@pytest.mark.parametrize("count", [2**70, np.int64(7)])
def test_a_count_of_a_model_of_ones_own_is_kept_whatever_its_size_and_type(tmp_path, count):
    class Own:
        name = "own"

        async def sample(self, prompt, n=1, **sampling):
            return [Rollout("four", usage=Usage(count, 1, requests=1))]

    with open_run(tmp_path) as store:
        concurrency.run(ask.sample(Own(), "q", max_tokens=5))
        concurrency.run(store.keep(Asked("m", "a", [], {}), {0: Rollout("next")}))
    with open_run(tmp_path) as store:
        assert store.account.spent.prompt_tokens >= 7


def test_a_row_that_sqlite_refuses_is_an_error_and_not_a_wait_without_end(tmp_path):
    with open_run(tmp_path) as store:
        store._settled.append([1, "a lone surrogate: \ud800", None, None, 1])
        with pytest.raises(StoreError, match="could not be written"):
            concurrency.run(store.keep(Asked("m", "a", [], {}), {0: Rollout("four")}))
        store._settled.clear()
        concurrency.run(store.keep(Asked("m", "a", [], {}), {0: Rollout("four")}))


@pytest.mark.parametrize("stage", ["not yet sent", "sent"])
def test_a_task_that_outlives_its_run_gets_an_error_and_writes_nowhere(server, model, tmp_path, stage):
    """Not into a file of somebody else, which has got the number of the one that the run has closed."""
    arrived, answered, let_go = asyncio.Event(), asyncio.Event(), threading.Event()
    real = model._service.client

    async def client():
        if stage == "not yet sent":
            arrived.set()
            await answered.wait()
        return await real()

    async def work():
        model._service.client = client
        with open_run(tmp_path / "run"):
            task = asyncio.create_task(model.sample("q"))
            if stage == "sent":
                await asyncio.to_thread(server.wait, lambda s: s.in_flight == 1)
            else:
                await arrived.wait()
        with ExitStack() as stack:
            files = [stack.enter_context(tempfile.TemporaryFile(dir=tmp_path)) for _ in range(9)]
            answered.set()
            let_go.set()
            with pytest.raises(StoreError, match="was closed before a call that belongs to it was over"):
                await task
            assert [os.fstat(file.fileno()).st_size for file in files] == [0] * 9

    server.latency = lambda body, choices: float(not let_go.wait(60))
    concurrency.run(work())
    assert len(server.requests) == (stage == "sent")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_is_told_that_the_run_is_its_parents(tmp_path):
    code = """
    import multiprocessing, sys, warnings
    from catlite import concurrency
    from catlite.errors import StoreError
    from catlite.runs.session import open_run
    from catlite.runs.store import Asked
    def child():
        with open_run(sys.argv[1]) as store:
            try:
                store.find(Asked("m", "a", [], {}), 1)
            except StoreError as error:
                print(error)
    with open_run(sys.argv[1]):
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join()
    """
    done = children.run(
        [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "which was forked while it was" in done.stdout


# --- budgets ---


@pytest.mark.parametrize("cap", [{"requests": 9}, {"tokens": 700}, {"usd": 0.002}])
def test_a_budget_is_never_exceeded_and_a_larger_one_goes_on(connect, server, tmp_path, cap):
    server.latency = 0.002
    price = Price(1.0, 10.0)
    model = connect(max_tokens=20, price=price)
    short = run(model, tmp_path, budget=Budget(**cap))
    with open_run(tmp_path) as store:
        spent = store.account.spent
    assert spent.requests <= cap.get("requests", 99)
    assert spent.total_tokens <= cap.get("tokens", 10**9)
    assert spent.cost_usd <= cap.get("usd", 1.0)
    assert len(server.requests) == spent.requests < 24
    assert "the budget is reached" in short.stopped
    assert "Stopped early" in str(short)
    assert any(row.score is not None for row in short.rows)
    assert any("the budget is reached" in (row.error or "") for row in short.rows)

    whole = run(model, tmp_path, budget=Budget(requests=100, tokens=10**6, usd=1.0))
    assert whole.stopped is None
    assert len(server.requests) == 24
    assert all(row.score is not None for row in whole.rows)


def test_a_budget_counts_what_the_run_spent_before(model, server, tmp_path):
    run(model, tmp_path)
    again = run(model, tmp_path, budget=Budget(requests=1))
    assert again.stopped is None  # nothing was missing, so nothing was sent
    more = evaluate(TASK, model, n=5, run=tmp_path, budget=Budget(requests=24))
    assert more.stopped is not None
    assert len(server.requests) == 24


def test_a_budget_in_dollars_needs_a_price(model, tmp_path):
    with pytest.raises(ConfigError, match="needs the price of 'test-model'"):
        run(model, tmp_path, budget=Budget(usd=1))


def test_a_budget_in_tokens_needs_a_limit_per_reply(connect, tmp_path):
    model = connect()
    with pytest.raises(ConfigError, match="needs max_tokens"):
        run(model, tmp_path, budget=Budget(tokens=1000))


@pytest.mark.parametrize("wrong", [{"usd": 0}, {"tokens": -1}, {"requests": "many"}, {"usd": float("nan")}])
def test_a_cap_that_is_no_positive_number_is_refused(wrong):
    with pytest.raises(ConfigError, match="want a positive number"):
        Budget(**wrong)


# --- the same prompt in several rows ---

TWINS = Task(
    "twins",
    tuple(
        Example(text, "1", answer_format="boxed", id=str(number))
        for number, text in enumerate(["a?", "b?", "a?", [{"role": "user", "content": "a?"}]])
    ),
)


@pytest.fixture
def fresh():
    """A server whose replies are never alike."""
    numbers = iter(range(10**6))
    with Server(lambda body, i: rf"\boxed{{{next(numbers)}}}") as running:
        yield running


def texts(groups):
    return [tuple(rollout.text for rollout in group.rollouts) for group in groups]


def test_rows_with_the_same_prompt_have_rollouts_of_their_own(connect, fresh, tmp_path):
    model = connect(at=fresh)
    options = {"estimators": (MajorityVote(), Synthesis(model)), "n": 2, "n_repeats": 2, "run": tmp_path}
    first = evaluate(TWINS, model, **options)
    assert len(set(texts(first.groups))) == 8
    assert len({row.reference.text for row in first.rows if row.system == "Synthesis"}) == 8
    sent = len(fresh.requests)
    assert sent == 16  # as without a run
    assert sum(group.usage.requests for group in first.groups) == 8
    again = evaluate(TWINS, model, **options)
    assert len(fresh.requests) == sent
    assert texts(again.groups) == texts(first.groups)
    assert outcome(again) == outcome(first)


def test_rows_with_the_same_prompt_are_estimated_apart(connect, fresh, tmp_path):
    model = connect(at=fresh)
    first = catlite.estimate(TWINS, model, n=2, run=tmp_path)
    assert len({reference.text for reference in first}) == 4
    assert len(fresh.requests) == 8
    again = catlite.estimate(TWINS, model, n=2, run=tmp_path)
    assert [reference.text for reference in again] == [reference.text for reference in first]
    assert len(fresh.requests) == 8


def test_rows_in_another_order_find_all_that_was_paid_for(connect, fresh, tmp_path):
    model = connect(at=fresh)
    first = evaluate(TWINS, model, n=2, run=tmp_path)
    turned = Task("twins", TWINS.examples[::-1])
    again = evaluate(turned, model, n=2, run=tmp_path)
    assert len(fresh.requests) == 4
    assert sorted(texts(again.groups)) == sorted(texts(first.groups))


def test_a_larger_group_of_rows_with_the_same_prompt_asks_for_what_is_missing(connect, fresh, tmp_path):
    model = connect(at=fresh)
    short = evaluate(TWINS, model, n=2, run=tmp_path)
    long = evaluate(TWINS, model, n=3, run=tmp_path)
    assert [group[:2] for group in texts(long.groups)] == texts(short.groups)
    assert [request.body.get("n", 1) for request in fresh.requests[4:]] == [1] * 4


def test_estimating_anew_keeps_rows_with_the_same_prompt_apart(connect, tmp_path):
    with Server(r"\boxed{1}") as server:
        model = connect(at=server)
        done = evaluate(TWINS, model, n=2)
        sent = len(server.requests)
        for _ in range(2):
            again = reestimate(done, [Synthesis(model)], run=tmp_path)
            # Each row's synthesis is its own, though the rollouts it is made from are the same.
            assert len(server.requests) == sent + len(again.rows) / 2 - 1  # "b?" is as the first "a?": no prompt shown
            assert all(row.reference is not None for row in again.rows if row.system == "Synthesis")


def test_rows_with_the_same_prompt_are_replayed_each(connect, fresh, tmp_path):
    model = connect(at=fresh)
    first = evaluate(TWINS, model, n=2, n_repeats=2, run=tmp_path)
    assert texts(evaluate(TWINS, catlite.Replay(tmp_path), n=2, n_repeats=2).groups) == texts(first.groups)


def test_a_first_row_is_asked_for_as_ever():
    """Runs of before have its replies under this key."""
    plain = Asked("m", "a", [{"role": "user", "content": "q"}], {"seed": 1})
    assert plain.key == hashlib.sha256(plain.json.encode()).hexdigest()
    assert json.loads(plain.json) == {
        "model": "m",
        "address": "a",
        "messages": [{"role": "user", "content": "q"}],
        "sampling": {"seed": 1},
    }


# --- the weights behind a name ---


@pytest.fixture
def gguf(tmp_path, server, monkeypatch):
    """A file that passes for a model, served by `server`."""
    monkeypatch.delenv("CATLITE_GGUF", raising=False)
    monkeypatch.setattr(_Server, "address", lambda self: Address(server.url, Secret(server.key)))
    server.models = None

    def write(name, content):
        (tmp_path / name).write_bytes(b"GGUF" + content)
        return tmp_path / name

    return write


def asked_of(path, server, folder):
    """How many requests the same question takes in a run."""
    before = len(server.requests)
    with open_run(folder), embedded(path) as model:
        sample(model, "q")
    return len(server.requests) - before


def test_another_file_under_the_same_name_asks_again(gguf, server, tmp_path):
    path = gguf("model.gguf", b"one")
    assert asked_of(path, server, tmp_path / "run") == 1
    gguf("model.gguf", b"another")
    assert asked_of(path, server, tmp_path / "run") == 1
    assert asked_of(path, server, tmp_path / "run") == 0
    gguf("model.gguf", b"one")
    assert asked_of(path, server, tmp_path / "run") == 0


def test_a_reply_of_a_file_that_was_replaced_meanwhile_is_not_kept_as_the_former_ones(gguf, server, tmp_path):
    path = gguf("model.gguf", b"one")

    def replace(body, i):
        gguf("model.gguf", b"another")
        return "a reply of whichever"

    server.reply = replace
    with pytest.raises(StoreError, match="was replaced while it was asked"):
        asked_of(path, server, tmp_path / "run")
    server.reply = reply
    for content in (b"one", b"another"):
        gguf("model.gguf", content)
        assert asked_of(path, server, tmp_path / "run") == 1


def test_a_reply_of_an_address_that_changed_meanwhile_is_not_kept(server, tmp_path, monkeypatch):
    with Server("elsewhere") as other, open_run(tmp_path) as store:
        monkeypatch.setenv("OPENAI_API_KEY", server.key)
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        server.script(lambda number, body: monkeypatch.setenv("OPENAI_BASE_URL", other.url) or status(500))
        with Endpoint("test-model") as model, pytest.raises(StoreError, match="was replaced while it was asked"):
            sample(model, "q")
        assert other.completions == 1
        assert store.addresses("test-model") == []


def test_another_file_in_the_environment_asks_again(gguf, server, tmp_path, monkeypatch):
    for name, content, sent in (("a", b"one", 1), ("b", b"another", 1), ("c", b"one", 0)):
        monkeypatch.setenv("CATLITE_GGUF", str(gguf(f"{name}.gguf", content)))
        assert asked_of(None, server, tmp_path / "run") == sent
    monkeypatch.delenv("CATLITE_GGUF")
    assert asked_of(None, server, tmp_path / "run") == 1
    assert asked_of(None, server, tmp_path / "run") == 0


def test_a_file_that_was_replaced_is_loaded_again(tmp_path, monkeypatch):
    monkeypatch.delenv("CATLITE_GGUF", raising=False)
    path, started = tmp_path / "model.gguf", []

    class Running:
        def poll(self):
            return None

    def start(server):
        started.append(path.read_bytes())
        server._process, server._pid = Running(), os.getpid()
        return Address("http://127.0.0.1:1/v1", Secret("none"))

    monkeypatch.setattr(_Server, "_start", start)
    monkeypatch.setattr(_Server, "_end", lambda server: None)
    child = _Server(path)
    for content in (b"GGUF one", b"GGUF another"):
        path.write_bytes(content)
        child.address()
        child.address()
    path.unlink()
    child.address()  # it has what it loaded
    assert started == [b"GGUF one", b"GGUF another"]


def test_a_store_whose_writer_has_no_connection_is_refused_and_not_waited_for(monkeypatch, tmp_path):
    connect, made = Store._connect, []

    def fail(self):
        made.append(1)
        if len(made) > 1:
            raise sqlite3.OperationalError("unable to open database file")
        return connect(self)

    monkeypatch.setattr(Store, "_connect", fail)
    with pytest.raises(StoreError, match="unable to open"), open_run(tmp_path):
        pass
    monkeypatch.undo()
    with open_run(tmp_path):
        pass
