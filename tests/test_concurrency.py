import asyncio
import contextvars
import gc
import inspect
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import children
import faults
import pytest
from server import Server

import catlite
from catlite import Endpoint, Example, Group, Rollout, Synthesis, concurrency
from catlite.errors import BadReply, BudgetReached, ConfigError, QuotaExhausted

RUN = [sys.executable, "-X", "dev", "-W", "error"]


def script(server, code):
    """A program with `endpoint` on the server, in a process where any warning is an error."""
    head = f"""
        import asyncio, logging, os, signal, sys, threading, time
        logging.getLogger("asyncio").setLevel(logging.ERROR)  # a slow machine is no fault
        import catlite
        from catlite import Endpoint, concurrency
        def endpoint(**settings):
            defaults = dict(base_url={server.url!r}, api_key={server.key!r}, retry_seconds=2)
            return Endpoint("test-model", **(defaults | settings))
    """
    return textwrap.dedent(head) + textwrap.dedent(code)


def run(server, code, **settings):
    done = children.run(
        [*RUN, "-c", script(server, code)], capture_output=True, text=True, timeout=100, check=False, **settings
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


async def double(x):
    await asyncio.sleep(0)
    return 2 * x


def test_a_blocking_call_works_from_the_main_thread():
    assert concurrency.run(double(21)) == 42


def test_an_exception_comes_through_as_it_was_raised():
    async def fail():
        raise KeyError("gone")

    with pytest.raises(KeyError, match="gone") as caught:
        concurrency.run(fail())
    assert caught.value.__context__ is None


async def aweigh(grams: int, key: str | None = None, **more: float) -> dict[str, object]:
    """Weigh something.

    To be awaited: `weigh` is the same, blocking. A second sentence.

    Example:
        >>> await catlite.scales.aweigh(3)
    """
    return {"grams": grams, "key": key, **more, "thread": threading.current_thread()}


def test_a_blocking_twin_has_the_signature_of_its_coroutine_function_and_words_of_its_own():
    weigh = concurrency.blocking(aweigh)
    assert weigh(3, b=1.0)["thread"] is not threading.current_thread()
    assert (weigh.__name__, inspect.signature(weigh)) == ("weigh", inspect.signature(aweigh))
    assert inspect.getdoc(weigh) == (
        "Weigh something.\n\nFor scripts, notebooks and threads: `aweigh` is the same, awaited. Ctrl-C cancels what is "
        "in flight. A second sentence.\n\nExample:\n    >>> catlite.weigh(3)"
    )
    with pytest.raises(TypeError, match="grams"):
        weigh()


def test_a_blocking_twin_prepares_arguments_in_the_callers_thread_and_its_frame_holds_no_key():
    threads = []

    def heavy(grams):
        threads.append(threading.current_thread())
        if grams < 0:
            raise ConfigError("less than nothing")
        return grams * 1000

    weigh = concurrency.blocking(aweigh, key=lambda key: "hidden", grams=heavy)
    assert weigh(2, key="sk-secret")["grams"] == 2000
    assert weigh(grams=2)["key"] is None
    with pytest.raises(ConfigError) as caught:
        weigh(-1, "sk-secret")
    assert "sk-secret" not in repr([entry.frame.f_locals for entry in caught.traceback[1:]])
    assert set(threads) == {threading.current_thread()}


# In a program of its own with a time limit: where the loop's thread dies of it, the caller waits for ever.
ENDED_INSIDE = """
import asyncio, threading
from catlite import concurrency

others = []

async def long():
    await asyncio.sleep(0.3)
    return "done"

async def end(kind):
    await asyncio.sleep(0)
    raise kind("inside")

async def among_others(kind):
    await concurrency.together([long(), end(kind)])

beside = threading.Thread(target=lambda: others.append(concurrency.run(long())))
beside.start()
for kind in (KeyboardInterrupt, SystemExit):
    for work in (end(kind), among_others(kind)):
        try:
            concurrency.run(work)
        except kind as error:
            print(kind.__name__, error)
beside.join()
print(others, concurrency.run(long()))
"""


def test_an_interrupt_or_exit_inside_a_coroutine_reaches_its_caller_and_the_loop_serves_others():
    program = [sys.executable, "-c", ENDED_INSIDE]
    ended = children.run(program, capture_output=True, text=True, timeout=60, check=False)
    assert ended.stderr == ""
    assert ended.stdout.split("\n") == [
        "KeyboardInterrupt inside",
        "KeyboardInterrupt inside",
        "SystemExit inside",
        "SystemExit inside",
        "['done'] done",
        "",
    ]


def test_blocking_calls_work_from_many_threads_at_once():
    results = []
    barrier = threading.Barrier(8)

    def work(x):
        barrier.wait()
        results.append(concurrency.run(double(x)))

    threads = [threading.Thread(target=work, args=(x,)) for x in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [0, 2, 4, 6, 8, 10, 12, 14]
    assert sum(thread.name == "catlite-loop" for thread in threading.enumerate()) == 1


def test_a_blocking_call_works_inside_a_running_loop_as_in_jupyter(server):
    async def cell():
        return catlite.synthesize("hi", "test-model", n=2, base_url=server.url, api_key=server.key)

    assert asyncio.run(cell()).text == "answer 0"


def test_the_callers_context_variables_are_seen():
    variable = contextvars.ContextVar("variable", default="outer")
    variable.set("mine")

    async def read():
        return variable.get()

    assert concurrency.run(read()) == "mine"


def test_a_blocking_call_on_the_background_loop_itself_says_what_to_do():
    async def estimator():
        catlite.synthesize("hi", catlite.ScriptedModel(lambda prompt, i: "x"))

    with pytest.raises(ConfigError, match=r"await .*asynthesize"):
        concurrency.run(estimator())


def test_the_first_failure_of_several_cancels_the_rest_and_comes_alone():
    ended = []

    async def wait():
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    async def fail():
        await asyncio.sleep(0.01)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no") as caught:
        concurrency.run(concurrency.together([wait(), fail(), wait()]))
    assert ended == [True, True]
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_cancels_what_is_in_flight_and_the_next_call_works(server):
    server.script(lambda number, body: faults.hang())
    code = """
        model = endpoint()
        print("ready", flush=True)
        try:
            catlite.synthesize("hi", model, n=3)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        sys.stdin.readline()
        async def others():
            await asyncio.sleep(0)
            return len(asyncio.all_tasks()) - 1
        print("tasks", concurrency.run(others()))
        print(catlite.synthesize("hi", model, n=3))
    """
    child = children.start(
        [*RUN, "-c", script(server, code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        assert child.stdout.readline() == "ready\n"
        server.wait(lambda s: s.in_flight, timeout=60)
        sent = len(server.requests)
        started = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert child.stdout.readline() == "interrupted\n"
        assert time.monotonic() - started < 20
        server.wait(lambda s: s.in_flight == 0)
        assert server.aborted == sent
        time.sleep(0.1)
        assert len(server.requests) == sent
        server.script([])
        out, err = child.communicate("go\n", timeout=30)
    assert (out, err, child.returncode) == ("tasks 0\nanswer 0\n", "", 0)
    server.wait(lambda s: not s._connections)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_nobody_catches_ends_the_program_soon(server):
    server.script(lambda number, body: faults.hang())
    code = script(server, 'catlite.synthesize("hi", endpoint(), n=3)')
    child = children.start([*RUN, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with child:
        server.wait(lambda s: s.in_flight, timeout=60)
        started = time.monotonic()
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
        assert time.monotonic() - started < 20
    assert re.search(r"\nKeyboardInterrupt: stopped after \d+ s; nothing kept\n$", err)
    assert err.count('File "') == 3  # the line itself, synthesize and run
    assert "Warning" not in err
    server.wait(lambda s: s.in_flight == 0)


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_an_interrupt_during_the_wait_for_a_retry_sends_nothing_more(server):
    server.script(lambda number, body: faults.status(429, retry_after=30))
    code = script(server, 'catlite.synthesize("hi", endpoint(retry_seconds=60), n=3)')
    child = children.start([*RUN, "-c", code], stderr=subprocess.PIPE, text=True)
    with child:
        server.wait(lambda s: s.statuses[429], timeout=60)
        child.send_signal(signal.SIGINT)
        assert "KeyboardInterrupt: stopped after" in child.communicate(timeout=60)[1]
    assert len(server.requests) == 1


def test_an_endpoint_nobody_closed_leaves_no_warning_at_exit(server):
    code = """
        model = endpoint()
        print(concurrency.run(model.sample("hi"))[0].text)
        print(asyncio.run(model.sample("hi"))[0].text)
        print(catlite.synthesize("hi", endpoint(), n=2))
    """
    assert run(server, code) == "answer 0\n" * 3
    server.wait(lambda s: not s._connections)


@pytest.mark.parametrize("faulty", [False, True])
def test_an_endpoint_that_nobody_holds_closes_its_connections(server, hurry, faulty):
    server.script([faults.status(500)] if faulty else [])

    def ask():
        model = Endpoint("test-model", base_url=server.url, api_key=server.key)
        group = Group(Example("hi"), (Rollout("a"), Rollout("b")))
        return concurrency.run(Synthesis(model)(group)).text  # its first request opens the connection

    assert ask() == "answer 0"
    gc.collect()
    server.wait(lambda s: not s._connections)


def test_a_call_in_a_daemon_thread_does_not_hold_up_the_exit(server):
    server.script(lambda number, body: faults.hang())
    code = """
        def call():
            try:
                concurrency.run(endpoint().sample("hi"))
            except BaseException:  # whatever becomes of it while the interpreter goes
                pass
        threading.Thread(target=call, daemon=True).start()
        import urllib.request, json
        while True:
            with urllib.request.urlopen(STATS) as reply:
                if json.load(reply)["in_flight"]:
                    break
            time.sleep(0.05)
        print("going")
    """.replace("STATS", repr(server.url.replace("/v1", "/stats")))
    started = time.monotonic()
    assert run(server, code) == "going\n"
    assert time.monotonic() - started < 60
    server.wait(lambda s: s.in_flight == 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_a_forked_child_gets_a_loop_and_connections_of_its_own(server):
    code = """
        model = endpoint()
        before = concurrency.run(model.sample("hi"))[0].text
        mine = concurrency._get()
        read, write = os.pipe()
        pid = os.fork()
        if pid == 0:
            text = concurrency.run(model.sample("hi"))[0].text
            os.write(write, f"{text} {concurrency._get() is not mine}".encode())
            os._exit(0)
        os.waitpid(pid, 0)
        print(os.read(read, 100).decode(), concurrency._get() is mine, concurrency.run(model.sample("hi"))[0].text)
        os.close(read); os.close(write)
    """
    assert run(server, code) == "answer 0 True True answer 0\n"
    assert server.connections_opened == 2


def test_two_servers_and_many_threads_do_not_mix_up_their_answers():
    texts = []

    def work(model, expected):
        texts.extend((concurrency.run(model.sample("hi"))[0].text, expected) for _ in range(5))

    with (
        Server("left") as left,
        Server("right") as right,
        Endpoint("test-model", base_url=left.url, api_key=left.key) as one,
        Endpoint("test-model", base_url=right.url, api_key=right.key) as other,
    ):
        pairs = [(one, "left"), (other, "right")] * 4
        threads = [threading.Thread(target=work, args=pair) for pair in pairs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(texts) == 40
    assert all(text == expected for text, expected in texts)


@pytest.mark.parametrize(
    ("error", "finishes"),
    [(BudgetReached("over"), True), (QuotaExhausted("no credit", status=402), True), (BadReply("what?"), False)],
)
def test_what_ends_a_run_lets_come_back_what_is_under_way(error, finishes):
    done = []

    async def fail():
        raise error

    async def work():
        await asyncio.sleep(0.01)
        done.append(True)

    with pytest.raises(type(error)) as caught:
        concurrency.run(concurrency.together([work(), fail(), work()]))
    assert (caught.value, done) == (error, [True] * 2 * finishes)
    with pytest.raises(type(error)):  # questions that were not begun would only cost more
        concurrency.run(concurrency.each(lambda call: call(), [work, fail, work], 2))
    assert len(done) == 2 * finishes
