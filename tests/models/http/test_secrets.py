"""The key is in nothing that a person or a file gets to see; only in what is sent to its server."""

import ast
import asyncio
import contextlib
import copy
import json
import logging
import pickle
import re
import tomllib
import traceback
from pathlib import Path

import faults
import pytest
from faults import status
from server import Server

import catlite
import catlite.runs.store
from catlite import Endpoint, Group, concurrency
from catlite.data import Example
from catlite.errors import (
    AuthenticationFailed,
    CatliteError,
    ConfigError,
    ContextOverflow,
    EndpointUnavailable,
    EstimationError,
    GroupError,
    ModelError,
)
from catlite.models.http.keys import Secret, address, sealed

KEY = "sk-catlite-0123456789-abcdefghijklmnopqrstuvwxyz"
PASSWORD = "hunter2-hunter2"


def shown(error):
    """Everything a traceback can show: messages, attributes and the locals of our frames, along the whole chain."""
    texts, chain = [], [error]
    for one in chain:
        chain += [other for other in (one.__cause__, one.__context__) if other is not None and other not in chain]
        texts += [str(one), repr(one), repr(vars(one)), repr(one.args)]
        report = traceback.TracebackException.from_exception(one, capture_locals=True)
        for frame in report.stack:
            if "/tests/" not in frame.filename:
                texts.append(f"{frame.filename}:{frame.lineno} {frame.locals}")
    return "\n".join(texts)


def failure(call, *args, **settings):
    """What `call` raises; a function of its own, so that its frames are as in a program."""
    try:
        call(*args, **settings)
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.fixture
def server():
    with Server("answer", key=KEY, echo_key=True) as running:
        yield running


def ask(endpoint, n=1, prompt="hi", **sampling):
    with endpoint:
        return concurrency.run(endpoint.sample(prompt, n, **sampling))


FAILURES = {
    "401 that quotes the key": status(401, f"Incorrect API key provided: {KEY}."),
    "403 in HTML that quotes it": status(403, body=f"<html>{KEY}</html>"),
    "400 that quotes the header": status(400, f"bad header Authorization: Bearer {KEY}"),
    "404 that quotes it": status(404, KEY),
    "an overflow that quotes it": status(400, f"maximum context length is 5 tokens {KEY}"),
    "no more quota": status(402, KEY),
}


@pytest.mark.parametrize("fault", FAILURES.values(), ids=FAILURES)
def test_an_error_that_is_raised_shows_no_key(server, fault):
    server.script([fault])
    error = failure(ask, Endpoint("test-model", base_url=server.url, api_key=KEY))
    assert isinstance(error, ModelError)
    assert KEY not in shown(error)
    assert KEY.encode() not in pickle.dumps(str(error))


LASTING = {
    "500 that quotes the key": status(500, KEY),
    "200 in HTML that quotes it": status(200, body=f"<html>{KEY}</html>"),
    "200 with an error that quotes it": faults.error_in_200(KEY),
    "200 without choices that quotes it": status(200, body={"choices": [], "key": KEY}),
    "content that is an object": faults.content({"key": KEY}),
    "reset": faults.reset(),
}


@pytest.mark.parametrize("fault", LASTING.values(), ids=LASTING)
def test_an_error_kept_in_a_rollout_or_a_group_shows_no_key(server, hurry, fault):
    server.script(lambda number, body: fault)
    endpoint = Endpoint("test-model", base_url=server.url, api_key=KEY, retry_seconds=0.02)
    error = failure(catlite.synthesize, "hi", endpoint, n=2)
    endpoint.close()
    assert isinstance(error, GroupError)
    assert KEY not in shown(error)
    assert KEY not in repr(error.group.rollouts)


@pytest.mark.parametrize("fault", [faults.hang(), faults.drip()], ids=["hang", "drip"])
def test_a_time_out_shows_no_key(server, fault):
    server.script(lambda number, body: fault)
    endpoint = Endpoint("test-model", base_url=server.url, api_key=KEY, timeout=0.05, retry_seconds=0.01)
    assert KEY not in shown(failure(catlite.synthesize, "hi", endpoint, n=2))
    endpoint.close()


def test_a_cancellation_shows_no_key(server):
    server.script(lambda number, body: faults.hang())

    async def work():
        async with Endpoint("test-model", base_url=server.url, api_key=KEY) as endpoint:
            task = asyncio.create_task(endpoint.sample("hi"))
            await asyncio.to_thread(server.wait, lambda s: s.in_flight)
            task.cancel("enough")
            try:
                await task
            except asyncio.CancelledError as error:
                return error

    error = asyncio.run(work())
    assert KEY not in shown(error)


def test_a_request_that_cannot_be_written_shows_no_key(server):
    endpoint = Endpoint("test-model", base_url=server.url, api_key=KEY)
    assert KEY not in shown(failure(ask, endpoint, extra_body={"x": object()}))


@pytest.mark.parametrize(
    "settings",
    [
        {"max_connections": 0},
        {"temperature": "hot"},
        {"timeout": -1},
        {"model": ""},
        {"base_url": "nowhere"},
        {"base_url": f"http://host/v1?key={PASSWORD}"},
        {"base_url": f"nobody:{PASSWORD}@host/v1"},
        {"base_url": f"ftp://nobody:{PASSWORD}@host/v1"},
        {"base_url": f"http://nobody:{PASSWORD}@[host/v1"},
        {"api_key": f"{KEY}\u00e9"},
        {"api_key": f"{KEY[:9]}\n{KEY[9:]}"},
        {"model": "some/thing", "base_url": None, "api_key": f"{KEY}\u00e9"},
    ],
)
def test_a_wrong_setting_shows_neither_key_nor_password(settings):
    given = {"model": "test-model", "base_url": "http://localhost/v1", "api_key": KEY, **settings}
    error = failure(Endpoint, **given)
    assert isinstance(error, ConfigError)
    text = shown(error)
    assert KEY[9:] not in text
    assert PASSWORD not in text


def test_a_wrong_key_in_the_environment_is_not_shown(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\u00e9")
    assert KEY not in shown(failure(Endpoint, "gpt-4o"))


def test_what_an_endpoint_shows_of_itself_has_no_key_and_no_password(server):
    url = server.url.replace("://", f"://somebody:{PASSWORD}@")
    for used in (False, True):
        endpoint = Endpoint("test-model", base_url=url, api_key=KEY)
        if used:
            server.key = None
            concurrency.run(_attempt(endpoint))
        seen = [
            repr(endpoint),
            str(endpoint),
            f"{endpoint}",
            repr(vars(endpoint)),
            repr(vars(endpoint._service)),
            repr(endpoint._service.connections.loops),
        ]
        seen += [repr(vars(client.client)) for client in endpoint._service.connections.loops.values() if client.client]
        seen += [json.dumps(vars(endpoint), default=repr, skipkeys=True)]
        assert KEY not in "".join(seen)
        assert PASSWORD not in "".join(seen)
        endpoint.close()


async def _attempt(endpoint):
    with contextlib.suppress(ModelError):
        await endpoint.sample("hi")


def test_the_repr_of_an_estimator_has_no_key(server):
    endpoint = Endpoint("test-model", base_url=server.url, api_key=KEY)
    assert KEY not in repr(catlite.Synthesis(endpoint))


def test_a_secret_and_an_endpoint_with_a_key_are_not_pickled(server):
    endpoint = Endpoint("test-model", base_url=server.url, api_key=KEY)
    panel = catlite.Panel([endpoint, Endpoint("other", base_url=server.url)])
    for holder in (endpoint, Secret(KEY), catlite.Synthesis(endpoint), panel):
        with pytest.raises(ConfigError, match="is not pickled") as caught:
            pickle.dumps(holder)
        assert KEY not in shown(caught.value)
    with pytest.raises(ConfigError, match=r"is not pickled or copied, since api_key=.* set OPENAI_API_KEY"):
        copy.deepcopy(endpoint)


LOGIN = f"http://somebody:{PASSWORD}@example.org/v1"


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": LOGIN},
        {"model": "hosted_vllm/test-model", "base_url": None, "api_key": KEY},
        {"extra_headers": {"X-Anything": PASSWORD}},
        {"extra_body": {"deep": [{"api_key": PASSWORD}]}},
        {"extra_body": {"deep": {"harmless": [1, f"Bearer {KEY}"]}}},
        {"extra_body": {"harmless": KEY.encode()}},
        {"metadata": {"session_token": PASSWORD}},
        {"metadata": {"Authorization": PASSWORD}},
        {"user": KEY},
    ],
)
@pytest.mark.parametrize("kind", [Endpoint, catlite.BatchEndpoint])
def test_an_endpoint_with_a_secret_among_its_settings_is_not_pickled(kind, settings):
    if kind is catlite.BatchEndpoint and ("/" in settings.get("model", "") or "extra_headers" in settings):
        pytest.skip("which it refuses when it is made")
    endpoint = kind(**{"model": "test-model", "base_url": "http://127.0.0.1:9/v1", **settings})
    with pytest.raises(ConfigError, match="is not pickled or copied, since") as caught:
        pickle.dumps(endpoint)
    assert KEY not in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_key_of_the_environment_stays_there_and_is_found_again(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("HOSTED_VLLM_API_BASE", server.url)
    monkeypatch.setenv("HOSTED_VLLM_API_KEY", KEY)
    plain = {"tokenizer_mode": "auto", "keywords": ["a"], "authors": "b", "skip_special_tokens": "c"}
    body = {"chat_template_kwargs": {"enable_thinking": False}, "order": ["Qwen/Qwen3-4B"], **plain}
    for model, base_url in (("test-model", server.url), ("hosted_vllm/test-model", None)):
        price = catlite.Price(1.0, 2.0)
        endpoint = Endpoint(model, base_url=base_url, max_connections=3, price=price, top_p=0.5, extra_body=body)
        ask(endpoint)  # so that there are a connection, a pace and what was learned
        pickled = pickle.dumps(endpoint)
        assert KEY.encode() not in pickled
        for again in (pickle.loads(pickled), copy.deepcopy(endpoint)):
            assert repr(again) == repr(endpoint)
            assert (again.max_connections, again.price, again.sampling) == (3, price, endpoint.sampling)
            ask(again)
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}
    assert len(server.requests) == 6


def test_the_address_of_the_environment_travels_but_its_password_does_not(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://example.org/v1")
    plain = pickle.dumps(Endpoint("test-model"))
    monkeypatch.setenv("OPENAI_BASE_URL", LOGIN)
    with_login = pickle.dumps(Endpoint("test-model"))
    assert PASSWORD.encode() not in with_login
    here = pickle.loads(with_login)
    assert asyncio.run(here.service.address()).login.reveal() == f"somebody:{PASSWORD}"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere/v1")
    again = pickle.loads(plain)
    assert (again.service.shown_address(), repr(again)) == ("http://example.org/v1", "Endpoint('test-model')")
    with pytest.raises(ConfigError, match=r"is at http://example.org/v1, .* leads to http://elsewhere/v1: set it"):
        pickle.loads(with_login)


def test_an_endpoint_that_arrives_without_its_key_says_so(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    pickled = pickle.dumps(Endpoint("gpt-4o-mini"))
    assert KEY.encode() not in pickled
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere/v1")
    assert pickle.loads(pickled).service.shown_address() == "https://api.openai.com/v1"
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigError, match="set OPENAI_API_KEY"):
        pickle.loads(pickled)


def test_panels_batches_and_the_embedded_model_are_pickled_as_their_settings(server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    batch = catlite.BatchEndpoint("batch-model", base_url=server.url, poll_seconds=1.0, discount=0.4, max_requests=9)
    panel = catlite.Panel([(Endpoint("test-model", base_url=server.url), 2), batch])
    panel._refusing[0] = AuthenticationFailed("then")
    local = catlite.embedded(temperature=0.5)
    pickled = pickle.dumps([panel, catlite.Synthesis(local)])
    assert KEY.encode() not in pickled
    again, synthesis = pickle.loads(pickled)
    assert repr(again) == repr(panel)
    assert (again.counts, again._refusing, again.members[1].max_connections) == ((2, 1), {}, 9)
    assert again.members[1].service.discount == 0.4
    assert synthesis.anchor._server is local._server  # one server for the file, in each process
    assert synthesis.anchor.sampling == local.sampling


@pytest.mark.parametrize("kind", [GroupError, EstimationError])
def test_errors_of_groups_survive_pickling(kind):
    error = kind("none", Group(Example("hi"), ()))
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.group) == (str(error), error.group)


def test_errors_survive_pickling_with_what_they_know():
    for error in (
        EndpointUnavailable("busy", status=429, retry_after=3.0),
        ContextOverflow("long", status=400, limit=5, given=9),
        AuthenticationFailed("who", status=401),
        CatliteError("x"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_logs_at_debug_level_show_neither_key_nor_password(server, caplog):
    caplog.set_level(logging.DEBUG)
    for name in ("openai", "httpx", "aiohttp", "asyncio", "catlite"):
        caplog.set_level(logging.DEBUG, name)
    server.script([status(500, KEY), status(429, KEY, retry_after=0.001), faults.reset(), None])
    ask(Endpoint("test-model", base_url=server.url, api_key=KEY))
    failure(ask, Endpoint("test-model", base_url=server.url, api_key="sk-wrong-9876543210"))
    server.key = None
    ask(Endpoint("test-model", base_url=server.url.replace("://", f"://somebody:{PASSWORD}@"), api_key=KEY))
    assert {"openai._base_client", "httpx", "catlite"} <= {one.name for one in caplog.records}
    text = caplog.text + repr([vars(record) for record in caplog.records])
    for secret in (KEY, PASSWORD, "sk-wrong-9876543210"):
        assert secret not in text


def test_a_reference_shows_no_key(server):
    endpoint = Endpoint("test-model", base_url=server.url, api_key=KEY)
    reference = catlite.synthesize("hi", endpoint, n=2)
    endpoint.close()
    assert KEY not in repr(reference) + str(reference) + reference._repr_html_()


def test_a_key_given_to_synthesize_is_not_among_the_locals_of_a_traceback(server):
    server.script([status(401, KEY)])
    error = failure(catlite.synthesize, "hi", "test-model", base_url=server.url, api_key=KEY)
    assert isinstance(error, AuthenticationFailed)
    assert KEY not in shown(error)


def test_an_argument_synthesize_refuses_shows_no_key(server):
    error = failure(catlite.synthesize, "hi", "test-model", n=0, base_url=server.url, api_key=KEY)
    assert isinstance(error, ConfigError)
    assert KEY not in shown(error)


def test_the_address_keeps_login_and_key_apart_from_what_is_shown():
    where = address(sealed(f"https://somebody:{PASSWORD}@example.org/v1/"), sealed(KEY))
    assert where.url == "https://example.org/v1"
    assert PASSWORD not in repr(where)
    assert KEY not in repr(where)
    assert where.redact(f"a {KEY} b") == "a [key hidden] b"


# litellm's path


@pytest.fixture
def provider(server, monkeypatch):
    monkeypatch.setenv("HOSTED_VLLM_API_BASE", server.url)
    monkeypatch.setenv("HOSTED_VLLM_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_API_BASE", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return server


@pytest.mark.parametrize("model", ["hosted_vllm/test-model", "openai/test-model"])
def test_litellm_shows_no_key_either(provider, model, caplog):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "LiteLLM")
    for settings in ({}, {"api_key": KEY}):
        for fault in (status(401, f"no {KEY}"), status(400, f"no {KEY}"), status(404, f"no {KEY}")):
            provider.script([fault])
            error = failure(ask, Endpoint(model, **settings))
            assert isinstance(error, ModelError)
            assert KEY not in shown(error)
        endpoint = Endpoint(model, retry_seconds=0.001, **settings)
        for fault in (status(500, KEY), status(200, body=KEY)):
            provider.script([fault])
            error = failure(catlite.synthesize, "hi", endpoint, n=1)
            assert KEY not in shown(error)
        assert KEY not in repr(vars(endpoint))
    assert "LiteLLM" in {record.name for record in caplog.records}
    # A server's own words are in litellm's records as the server wrote them; what we send is not.
    lines = [record.getMessage() for record in caplog.records]
    assert not [line for line in lines if KEY in line and f"no {KEY}" not in line and "500" not in line]


def test_a_key_under_a_wrong_name_or_in_a_header_is_not_shown():
    with pytest.raises(ConfigError) as caught:
        Endpoint("m", base_url="http://127.0.0.1:9/v1", openai_api_key=KEY)
    assert KEY not in str(caught.value)
    endpoint = Endpoint("m", base_url="http://127.0.0.1:9/v1", extra_headers={"Authorization": f"Bearer {KEY}"})
    assert KEY not in repr(endpoint)


def test_no_artefact_of_a_run_holds_a_key(server, tmp_path, caplog):
    server.reply = lambda body, i: f"I was called with {KEY}, so it is \\boxed{{{i}}}"
    server.script([None, status(500, message=f"key {KEY} overloaded"), None])
    task = catlite.Task("t", tuple(Example(f"{i}?", "1", answer_format="boxed") for i in range(3)))
    with caplog.at_level(logging.DEBUG), Endpoint("test-model", base_url=server.url, api_key=KEY) as model:
        estimators = [catlite.Synthesis(model), catlite.MajorityVote()]
        result = catlite.evaluate(task, model, estimators=estimators, n=2, run=tmp_path / "run")
        catlite.report(tmp_path / "run", tmp_path / "page.html")
        result.to_frame().to_json(tmp_path / "frame.json")
        (tmp_path / "shown").write_text(f"{result}{result._repr_html_()}{result.references!r}{caplog.text}")
        # While the store is open, too: what was written last stands in a file of its own.
        with catlite.runs.session.open_run(tmp_path / "run"):
            files = [path for path in tmp_path.rglob("*") if path.is_file()]
            assert len(files) >= 6
            assert [path.name for path in files if KEY.encode() in path.read_bytes()] == []
    assert "[key hidden]" in (tmp_path / "page.html").read_text("utf-8")


FORBIDDEN = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
CALLS = {"eval", "exec", "__import__", "os.system", "os.popen", "torch.load", "yaml.load", "pd.read_pickle"}


def test_nothing_is_unpickled_evaluated_or_given_to_a_shell():
    found = []
    for path in Path(catlite.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                found += [f"{path.name}: import {name}" for name in names if name.split(".")[0] in FORBIDDEN]
            elif isinstance(node, ast.Call):
                shell = any(word.arg == "shell" for word in node.keywords)
                if shell or ast.unparse(node.func) in CALLS:
                    found.append(f"{path.name}:{node.lineno} {ast.unparse(node.func)}")
    assert found == []


def test_every_dependency_was_looked_at():
    root = Path(__file__).parents[3]
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + [
        one for extra in extras if extra not in ("dev", "docs") for one in extras[extra]
    ]
    reviewed = re.findall(r"[\w-]+", (root / "SECURITY.md").read_text("utf-8").partition("## Dependencies")[2])
    assert [one for one in wanted if re.match(r"[\w-]+", one)[0] not in reviewed] == []


def test_a_redirect_to_another_server_takes_no_key_along(server):
    async def elsewhere(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 307 Moved\r\nLocation: {server.url}/chat/completions\r\n\r\n".encode())
        writer.close()

    async def work():
        listener = await asyncio.start_server(elsewhere, "127.0.0.1", 0)
        port = listener.sockets[0].getsockname()[1]
        async with listener, Endpoint("test-model", base_url=f"http://127.0.0.1:{port}/v1", api_key=KEY) as model:
            await model.sample("q")

    server.key = None
    asyncio.run(work())
    (request,) = server.requests
    assert "authorization" not in request.headers
