import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import children
import pytest

import catlite
from catlite import Usage, concurrency
from catlite.errors import ConfigError, ContextOverflow, EmbeddedModelError, GroupError, MissingExtra
from catlite.models.embedded import model as module, weights

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
SHORT = {"max_tokens": 6}


@pytest.fixture(scope="module")
def model():
    with catlite.embedded() as running:
        yield running


def sample(model, prompt="What is 2 times 3?", n=1, **sampling):
    return concurrency.run(model.sample(prompt, n, **{**SHORT, **sampling}))


def run(code, **environment):
    """The end of a program of its own: (code, stdout, stderr)."""
    done = children.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )
    return done.returncode, done.stdout, done.stderr


def process(model):
    return model._server._process


# Its context


def test_requests_at_once_have_a_thousand_tokens_each():
    """Eight short rollouts and their synthesis; beyond the shared context the server fails all that are under way."""
    assert catlite.embedded().max_connections * 1024 <= module.CONTEXT


# Answers


def test_it_answers_for_nothing(model):
    rollout = sample(model, max_tokens=16, temperature=0)[0]
    assert rollout.text
    assert rollout.usage.prompt_tokens > 5
    assert rollout.usage.cost_usd == 0.0


def test_eight_rollouts_are_one_request_and_each_has_its_tokens_counted(model):
    rollouts = sample(model, n=8, temperature=1.0, max_tokens=4)
    assert Usage.total(one.usage for one in rollouts).requests == 1
    for rollout in rollouts:  # one may end by itself before its fourth token
        assert rollout.usage.completion_tokens == len(rollout.logprobs)
        assert (
            rollout.usage.completion_tokens == 4 if rollout.defect == "truncated" else 1 <= len(rollout.logprobs) <= 4
        )


def test_twenty_rollouts_are_two_requests(model):
    rollouts = sample(model, n=20, max_tokens=2)
    assert (len(rollouts), Usage.total(one.usage for one in rollouts).requests) == (20, 2)


def test_temperature_zero_repeats_itself(model):
    first, again = (sample(model, temperature=0, seed=1)[0].text for _ in range(2))
    assert first == again


def test_a_streamed_reply_is_the_reply(model):
    async def read():
        return [piece async for piece in model.stream("What is 2 times 3?", temperature=0, seed=1, **SHORT)]

    *pieces, rollout = concurrency.run(read())
    whole = sample(model, temperature=0, seed=1)[0]
    assert len(pieces) > 1
    assert "".join(pieces) == rollout.text == whole.text
    assert (rollout.finish_reason, rollout.usage.prompt_tokens) == (whole.finish_reason, whole.usage.prompt_tokens)
    assert rollout.usage.completion_tokens == whole.usage.completion_tokens == len(rollout.logprobs)


def test_a_prompt_beyond_the_context_is_an_overflow_with_its_figures(model):
    with pytest.raises(ContextOverflow) as caught:
        sample(model, "word " * (module.CONTEXT + 100))
    assert caught.value.limit == module.CONTEXT
    assert caught.value.given > module.CONTEXT


def test_local_is_the_name_of_the_same_server(model):
    before = process(model).pid
    # The first token is all there is, or the end: no draw makes a rollout that can be used.
    with pytest.raises(GroupError, match="none of 2 rollouts can be used"):
        catlite.synthesize("What is 2 times 3?", "local", n=2, max_tokens=1)
    assert process(model).pid == before


def test_local_takes_no_address():
    with pytest.raises(ConfigError, match="no base_url"):
        catlite.synthesize("hi", "local", base_url="http://localhost")


# The server


def ask_raw(model, path, **headers):
    where = model._server.address()
    request = urllib.request.Request(where.url.removesuffix("/v1") + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            return reply.status, reply.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers


def test_the_server_is_closed_to_others(model):
    key = model._server.address().key.reveal()
    assert ask_raw(model, "/v1/models", Authorization="Bearer wrong")[0] == 401
    assert ask_raw(model, "/props")[0] == 401
    assert ask_raw(model, "/slots", Authorization=f"Bearer {key}")[0] in (404, 501)
    _, headers = ask_raw(model, "/v1/models", Authorization=f"Bearer {key}", Origin="https://evil.example")
    assert headers.get("Access-Control-Allow-Origin") not in ("*", "https://evil.example")
    assert key not in repr(model) + repr(vars(model)) + repr(vars(model._server))


def test_a_reply_names_the_model_and_no_path_of_this_machine(model):
    """`catlite serve local` passes it on as it is."""
    where = model._server.address()
    body = json.dumps({"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}).encode()
    headers = {"Authorization": f"Bearer {where.key.reveal()}"}
    request = urllib.request.Request(f"{where.url}/chat/completions", body, headers)
    with urllib.request.urlopen(request, timeout=60) as reply:
        assert json.load(reply)["model"] == "local"


@LINUX
def test_the_server_listens_on_loopback_alone_and_hides_its_key(model):
    folder = Path("/proc") / str(process(model).pid)
    key = model._server.address().key.reveal()
    assert key.encode() not in (folder / "cmdline").read_bytes()
    assert key.encode() not in (folder / "environ").read_bytes()
    inodes = {link.readlink().name for link in (folder / "fd").iterdir() if link.is_symlink()}
    listening = [
        line.split()[1]
        for line in (folder / "net/tcp").read_text().splitlines()[1:]
        if line.split()[3] == "0A" and f"socket:[{line.split()[9]}]" in inodes
    ]
    assert listening
    assert all(address.startswith("0100007F:") for address in listening)


def test_a_context_ends_the_server_with_its_outermost_block():
    name = module.weights.find()  # a path of its own has a server of its own
    with catlite.embedded(name) as outer:
        child = process(outer)
        with catlite.embedded(name) as inner:
            assert process(inner) is child
        assert child.poll() is None
        assert sample(outer, max_tokens=1)
    assert child.poll() is not None


def test_a_context_works_in_asynchronous_code_and_after_a_stop():
    async def work():
        async with catlite.embedded(weights.find()) as model:
            return (await model.sample("hi", max_tokens=1))[0].usage.completion_tokens, process(model)

    (first, one), (second, other) = asyncio.run(work()), asyncio.run(work())
    assert (first, second) == (1, 1)
    assert one.pid != other.pid
    assert (one.poll(), other.poll()) == (0, 0)


def test_threads_that_come_at_once_share_one_server():
    model = catlite.embedded(weights.find())
    pids = []
    threads = [
        threading.Thread(target=lambda: (sample(model, max_tokens=1), pids.append(process(model).pid)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pids) == 4
    assert len(set(pids)) == 1
    model.close()
    model._server.stop()


def test_a_killed_server_is_started_again(model):
    sample(model, max_tokens=1)
    killed = process(model)
    killed.kill()
    killed.wait()
    assert sample(model, max_tokens=1)[0].error is None
    assert process(model).pid != killed.pid


# The end of the parent


USE = """
    import catlite, logging, time
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # a slow machine is no fault
    from catlite import concurrency
    from catlite.models.embedded import model as module
    model = catlite.embedded()
    reply = concurrency.run(model.sample("hi", max_tokens=1))[0]
    print(reply.usage.completion_tokens, model._server._process.pid, flush=True)
"""


def gone(pid, seconds=30.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if "State:\tZ" in Path(f"/proc/{pid}/status").read_text():
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.05)
    return False


@LINUX
def test_the_server_ends_with_the_program_without_a_word():
    code, out, err = run(USE)
    assert (code, err) == (0, "")
    assert gone(int(out.split()[1]))


@LINUX
def test_the_server_ends_when_the_program_is_killed():
    code = textwrap.dedent(USE) + "time.sleep(60)\n"
    with children.start([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline().split()[1])
        assert Path(f"/proc/{pid}").exists()
        parent.send_signal(signal.SIGKILL)
        assert gone(pid)


@LINUX
def test_an_interrupt_in_the_middle_leaves_no_child():
    asking = """
ask = catlite.synthesize  # loads what it needs
print("asking", flush=True)
ask("Tell me a long story.", "local", n=8, max_tokens=2000)
"""
    code = textwrap.dedent(USE) + asking
    command = [sys.executable, "-X", "dev", "-W", "error", "-c", code]
    with children.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline().split()[1])
        assert parent.stdout.readline() == "asking\n"
        time.sleep(0.5)
        started = time.monotonic()
        parent.send_signal(signal.SIGINT)
        err = parent.communicate(timeout=60)[1]
    assert time.monotonic() - started < 20
    assert err.splitlines()[-1].startswith("KeyboardInterrupt: stopped after ")
    assert "Warning" not in err
    assert gone(pid)


# What cannot start


def test_a_gguf_that_is_cut_off_fails_with_the_engines_last_words(tmp_path):
    cut = tmp_path / "cut.gguf"
    with weights.find().open("rb") as whole:
        cut.write_bytes(whole.read(3_000_000))
    model = catlite.embedded(cut)
    for _ in range(2):  # the second try starts anew
        with pytest.raises(EmbeddedModelError, match=r"ended with code \d+ while loading .*cut.gguf") as caught:
            sample(model)
    assert "model is corrupted or incomplete" in str(caught.value).partition("it said:")[2]
    with pytest.raises(EmbeddedModelError), model:
        pass
    assert model._server.contexts == 0


def test_without_the_engine_the_error_names_the_pip_command():
    code = """
        import sys
        sys.modules["xllamacpp"] = None  # as good as not installed, to import and to find_spec
        import catlite
        try:
            catlite.synthesize("hi", n=2)
        except catlite.errors.MissingExtra as error:
            print(isinstance(error, ImportError), error)
    """
    code, out, err = run(code)
    assert code == 0
    assert "Traceback" not in err
    assert out == 'True model="local" needs the embedded engine, catlite[local]: pip install "xllamacpp>=2026.10"\n'
    assert issubclass(MissingExtra, ConfigError)
