"""What a client gets for what it sends: each way of asking, each limit, each wrong request."""

import asyncio
import json

import httpx
import pytest
from faults import hang, quota_exhausted, status
from server import Server
from serving_help import events, question

import catlite
from catlite import Budget, Endpoint, Panel, Price, Rollout, serving
from catlite.errors import ConfigError
from catlite.models.http.clients import OpenAIClient
from catlite.models.scripted import ScriptedModel
from catlite.serving import gate

BOXED = {"n": 4, "answer_format": "boxed"}


def error(reply, code):
    assert reply.status_code == code, reply.text
    fields = reply.json()["error"]
    assert fields.keys() == {"message", "type", "code", "param"}
    return fields


# --- the ways of asking ---


def test_cat_is_a_synthesis_and_its_usage_is_everything_that_was_spent(server, post):
    server.reply = lambda body, i: rf"It is \boxed{{{42 + (i == 3 and body.get('n') == 4)}}}."
    reply = post(question(catlite=BOXED)).json()
    assert reply["choices"][0]["message"] == {"role": "assistant", "content": r"It is \boxed{42}.", "refusal": None}
    assert reply["choices"][0]["finish_reason"] == "stop"
    assert (reply["model"], reply["object"]) == ("cat/test-model", "chat.completion")
    more = reply["catlite"]
    assert (more["source"], more["answer"], more["support"], more["cost_usd"]) == ("Synthesis", "42", [3, 4], None)
    assert [request.body.get("n") for request in server.requests] == [4, None]
    sent = [request.body["messages"][0]["content"] for request in server.requests]
    assert reply["usage"]["prompt_tokens"] == sum(-(-len(text) // 4) for text in sent)
    assert reply["usage"]["completion_tokens"] == 5 * 5
    assert "What is 6 times 7?" not in sent[1]


def test_vote_is_the_majority_and_asks_nobody_else(server, post):
    server.reply = lambda body, i: rf"It is \boxed{{{42 + (i == 3)}}}."
    reply = post(question("vote/test-model", catlite=BOXED)).json()
    assert (reply["catlite"]["source"], reply["catlite"]["support"]) == ("MajorityVote", [3, 4])
    assert len(server.requests) == 1


def test_best_is_a_rollout_that_the_judge_picks(server, post):
    def answer(body, i):
        return f"text {i}" if body.get("n") == 4 else '{"best": 2}'

    server.reply = answer
    reply = post(question("best/test-model", catlite={"n": 4})).json()
    text = reply["choices"][0]["message"]["content"]
    assert text in {f"text {i}" for i in range(4)}
    assert server.requests[1].body["messages"][0]["content"].index(text) > 0
    assert "What is 6 times 7?" in server.requests[1].body["messages"][0]["content"]


def test_an_anchor_is_another_served_model(server, endpoint, post):
    other = Endpoint("anchor-model", base_url=server.url, api_key=server.key)
    server.models = None
    app = serving.app([endpoint, other])
    post(question(catlite={"n": 2, "anchor": "anchor-model", "include_question": True}), app)
    assert [request.body["model"] for request in server.requests] == ["test-model", "anchor-model"]
    assert "What is 6 times 7?" in server.requests[1].body["messages"][0]["content"]


def test_a_plain_model_gets_the_very_bytes_and_its_reply_comes_back_as_it_is(server, post, monkeypatch):
    body = (
        b'{ "model":"test-model", "messages": [{"role":"user","content":[{"type":"text","text":"\\u00e9 hi"}]}],\n'
        b' "tools": [{"type": "function", "function": {"name": "f"}}], "response_format": {"type": "json_object"},'
        b' "some_servers_own": 1.50, "n": 2}'
    )
    sent = []
    forward = OpenAIClient.forward

    def spy(self, body, *rest):
        sent.append(body)
        return forward(self, body, *rest)

    monkeypatch.setattr(OpenAIClient, "forward", spy)
    reply = post(body)
    assert sent == [body]
    assert server.requests[0].body == json.loads(body)
    assert [choice["message"]["content"] for choice in reply.json()["choices"]] == ["answer 0", "answer 1"]
    assert "catlite" not in reply.json()


def test_a_fleet_answers_plain_requests_by_the_replicas_that_do(server, served):
    with Server("never", key=None) as failing:
        failing.script(lambda number, body: status(502))
        fleet = Endpoint("test-model", base_url=[failing.url, server.url], api_key=server.key, retry_seconds=30)
        with served(serving.app([fleet])) as url, httpx.Client(base_url=url) as client:
            for model in ("test-model", "cat/test-model"):
                bodies = [question(model, f"Question {i}?", catlite={"n": 2}) for i in range(8)]
                codes = [client.post("/chat/completions", json=body).status_code for body in bodies]
    assert codes == [200] * 8
    assert 0 < failing.statuses[502] <= 3


def test_a_plain_reply_may_call_a_tool_and_a_refusal_passes_with_its_status(server, post):
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    server.reply = {"content": None, "tool_calls": [call], "finish_reason": "tool_calls"}
    fields = question("test-model", tools=[{"type": "function", "function": {"name": "f"}}])
    reply = post(fields).json()
    assert reply["choices"][0]["message"]["tool_calls"] == [call]
    server.script([status(429, "Slow down", retry_after=3), status(422, "bad field", param="x")])
    limited = post(fields)
    assert (limited.status_code, limited.headers["retry-after"]) == (429, "3")
    assert limited.json()["error"]["message"] == "Slow down"
    assert post(fields).json()["error"]["param"] == "x"


def test_a_model_by_another_name_and_with_defaults_gets_both(server, post):
    model = Endpoint("test-model", base_url=server.url, api_key=server.key, temperature=0.5, extra_body={"k": 1})
    post(question("small"), serving.app({"small": model}))
    assert server.requests[0].body == question("test-model", temperature=0.5, k=1)


def test_a_model_that_is_no_endpoint_is_asked_for_text(post):
    app = serving.app({"mine": ScriptedModel(lambda prompt, i: "ab"[i])})
    reply = post(question("mine", n=2, temperature=1), app).json()
    assert [choice["message"]["content"] for choice in reply["choices"]] == ["a", "b"]
    assert "tools" in error(post(question("mine", tools=[{"type": "function"}]), app), 400)["message"]
    assert "prompt" in error(post(question("mine", prompt="x"), app), 400)["message"]


def test_replies_that_came_are_given_where_another_failed(post):
    class Half:
        name = "half"

        async def sample(self, prompt, n=1, **_):
            return [Rollout("", finish_reason="error", error="down"), Rollout("a")][:n]

    app = serving.app({"half": Half()})
    (choice,) = post(question("half", n=2), app).json()["choices"]
    assert (choice["index"], choice["message"]["content"]) == (0, "a")
    assert error(post(question("half"), app), 502)["message"] == "down"


def test_a_model_behind_litellm_takes_no_settings_of_litellms_from_a_client(server, post, monkeypatch):
    """They say where the key goes, and what costs nothing."""
    monkeypatch.setenv("OPENAI_API_KEY", server.key)
    app = serving.app(["openai/test-model"])
    for name, value in {"api_base": server.url, "base_url": server.url, "mock_response": "free"}.items():
        assert error(post(question("openai/test-model", **{name: value}), app), 400)["param"] == name
    assert server.requests == []


@pytest.mark.parametrize(
    "messages",
    [
        [],
        ["hi"],
        [{"content": "hi"}],
        [{"role": "user", "content": 7}],
        [{"role": "user", "content": ["hi"]}],
        [{"role": "assistant", "tool_calls": 7}],
    ],
    ids=str,
)
def test_messages_that_litellm_cannot_read_are_the_clients_fault(server, post, monkeypatch, messages):
    monkeypatch.setenv("OPENAI_API_KEY", server.key)
    monkeypatch.setenv("OPENAI_API_BASE", server.url)
    app = serving.app(["openai/test-model"])
    assert error(post(question("openai/test-model") | {"messages": messages}, app), 400)["param"] == "messages"
    assert server.requests == []


def test_a_vote_without_answers_is_an_error_that_says_so(server, post):
    fields = error(post(question("vote/test-model", catlite=BOXED)), 502)
    assert (fields["code"], len(server.requests)) == ("no_reference", 1)
    assert fields["message"].startswith("there is no vote: 4 of 4 rollouts gave no answer; no final answer found")


def test_a_panel_is_served_under_a_name(server, endpoint, post):
    server.models = None
    other = Endpoint("other", base_url=server.url, api_key=server.key)
    app = serving.app({"both": Panel([endpoint, other])})
    post(question("cat/both", catlite={"n": 4}), app)
    assert sorted(request.body["model"] for request in server.requests) == ["other", "test-model", "test-model"]


def test_headers_say_what_a_client_cannot_and_the_body_counts_more(server, post):
    headers = {"X-Catlite-N": "3", "x-catlite-answer-format": "boxed", "x-catlite-include-question": "true"}
    post(question(), headers=headers)
    assert server.requests[0].body["n"] == 3
    assert "What is 6 times 7?" in server.requests[1].body["messages"][0]["content"]
    post(question(catlite={"n": 2}), headers=headers)
    assert server.requests[2].body["n"] == 2


def test_text_in_parts_is_text_and_fields_without_a_meaning_here_are_left_out(server, post):
    parts = [{"type": "text", "text": "What is"}, {"type": "text", "text": "6 times 7?"}]
    fields = question(text=parts, n=1, stream=False, store=False, tools=[], tool_choice="auto", seed=None, audio=None)
    assert post(fields | {"response_format": {"type": "text"}, "temperature": 0.3}).status_code == 200
    assert server.requests[0].body == {
        "model": "test-model",
        "messages": [{"role": "user", "content": "What is\n6 times 7?"}],
        "n": 8,
        "temperature": 0.3,
    }


# --- streams ---


def test_a_stream_has_the_text_what_is_known_of_it_and_its_usage(post):
    reply = post(question(stream=True, stream_options={"include_usage": True}, catlite={"n": 2}))
    assert reply.headers["content-type"].startswith("text/event-stream")
    *pieces, usage, done = events(reply.text)
    assert "".join(piece["choices"][0]["delta"].get("content") or "" for piece in pieces) == "answer 0"
    assert {piece["object"] for piece in pieces} == {"chat.completion.chunk"}
    assert pieces[-1]["choices"][0]["finish_reason"] == "stop"
    assert pieces[-1]["catlite"]["source"] == "Synthesis"
    assert (usage["choices"], usage["usage"]["completion_tokens"]) == ([], 6)
    assert done == "[DONE]"


def test_a_stream_without_include_usage_says_none(server, post):
    server.reply = r"\boxed{42}"
    *pieces, _ = events(post(question("vote/test-model", stream=True, catlite=BOXED)).text)
    assert all("usage" not in piece for piece in pieces)


def test_what_fails_before_a_stream_begins_has_a_status(server, post):
    server.script(lambda number, body: quota_exhausted())
    assert error(post(question(stream=True)), 429)["code"] == "insufficient_quota"


def test_heart_beats_are_comments_and_an_error_after_them_is_an_event(server, post, monkeypatch):
    monkeypatch.setattr("catlite.serving.exchange.BEAT_SECONDS", 0.02)
    server.script(lambda number, body: quota_exhausted().later(0.2))
    reply = post(question(stream=True))
    assert reply.status_code == 200
    assert reply.text.startswith(": ")
    (event,) = events(reply.text)
    assert event["error"]["code"] == "insufficient_quota"


def test_a_plain_stream_is_passed_on_as_it_comes(server, post):
    server.reply = "a reply in pieces"
    reply = post(question("test-model", stream=True, stream_options={"include_usage": True}))
    *pieces, usage, done = events(reply.text)
    assert "".join(piece["choices"][0]["delta"].get("content") or "" for piece in pieces) == "a reply in pieces"
    assert (usage["usage"]["completion_tokens"], done) == (5, "[DONE]")
    assert server.requests[0].body == question("test-model", stream=True, stream_options={"include_usage": True})


def test_a_synthesis_goes_out_piece_by_piece_as_the_anchor_writes_it(server, post):
    server.reply = "a reply in pieces"
    *pieces, _ = events(post(question(stream=True)).text)
    texts = [piece["choices"][0]["delta"].get("content") for piece in pieces]
    assert len(texts) > 3
    assert "".join(text or "" for text in texts) == "a reply in pieces"
    assert [request.body.get("stream") for request in server.requests] == [None, True]


def test_a_server_that_does_not_stream_is_streamed_whole(server, post):
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    server.script([status(200, body={"id": "c", "created": 1, "model": "test-model", "choices": [choice]})])
    piece, _ = events(post(question("test-model", stream=True)).text)
    assert piece["choices"][0]["delta"]["tool_calls"] == [{"index": 0, **call}]


# --- wrong requests ---


@pytest.mark.parametrize(
    ("fields", "code", "word"),
    [
        (b"", 400, "no body"),
        (b"  ", 400, "no body"),
        (b"{", 400, "not JSON"),
        (b"\xff\xfe", 400, "not JSON"),
        (b"[" * 100_000, 400, "not JSON"),
        (b'{"model": "cat/test-model", "temperature": NaN}', 400, "NaN"),
        (b"[]", 400, "list"),
        ({}, 400, "model"),
        ({"model": 7}, 400, "model"),
        ({"model": "gpt-9"}, 404, "'gpt-9' is not served here; these are: cat/test-model, "),
        ({"model": "cat/gpt-9"}, 404, "not served"),
        ({"model": "cat/cat/test-model"}, 404, "not served"),
        ({"model": "cat/test-model"}, 400, "no messages"),
        ({"model": "test-model"}, 400, "no messages"),
        (question(text=""), 400, "empty"),
        (question(text=7), 400, "content"),
        (question() | {"messages": [{"role": "user"}]}, 400, "got keys ['role']"),
        (question(n=2), 400, "catlite.n"),
        (question(stream=True, n=3), 400, "catlite.n"),
        (question(stream="yes"), 400, "stream"),
        (question(tools=[{"type": "function"}]), 400, "ask 'test-model' for them"),
        (question(tool_choice="required"), 400, "tool_choice"),
        (question(response_format={"type": "json_object"}), 400, "response_format"),
        (question(logprobs=True), 400, "logprobs"),
        (question(temperature=-1), 400, "temperature=-1"),
        (question(temprature=1), 400, "did you mean temperature?"),
        (question(extra_headers={"x": "y"}), 400, "extra_headers"),
        (question(max_tokens=0), 400, "max_tokens"),
        (question(catlite=[]), 200, ""),
        (question(catlite="n"), 400, "object"),
        (question(catlite={"m": 8}), 400, "catlite.m"),
        (question(catlite={"n": 0}), 400, "catlite.n=0"),
        (question(catlite={"n": 65}), 400, "from 1 to 64"),
        (question(catlite={"n": True}), 400, "catlite.n=True"),
        (question(catlite={"n": "8"}), 400, "catlite.n='8'"),
        (question(catlite={"include_question": "yes"}), 400, "true or false"),
        (question(catlite={"answer_format": "(a+)+b"}), 400, "this server takes 'boxed'"),
        (question(catlite={"answer_format": 7}), 400, "this server takes 'boxed'"),
        (question(catlite={"anchor": "openai/o9"}), 404, "not served"),
        (question(catlite={"anchor": "cat/test-model"}), 400, "plain"),
        (question("vote/test-model"), 400, "answer_format"),
        (question("vote/test-model", catlite=BOXED | {"anchor": "test-model"}), 400, "no anchor"),
        (question("test-model", catlite={"n": 8}), 400, "cat/test-model"),
        (question("test-model", n=65), 400, "from 1 to 64"),
        (question("test-model", best_of=65), 400, "from 1 to 64"),
        (question("test-model", extra_headers={"authorization": "Bearer x"}), 400, "extra_headers"),
        (question("test-model", extra_body={"n": 1000}), 400, "extra_body"),
        (question() | {"messages": [{"role": "tool", "content": "4", "tool_call_id": "c"}]}, 400, "tool calls"),
    ],
    ids=lambda value: str(value)[:60] if isinstance(value, bytes | dict) else None,
)
def test_a_wrong_request_costs_nothing_and_is_told_why(server, post, fields, code, word):
    reply = post(fields)
    if code == 200:
        assert reply.status_code == 200
        return
    assert word in error(reply, code)["message"]
    assert server.requests == []


def test_an_unknown_path_or_method_is_told_what_there_is(front, post):
    assert "POST /v1/chat/completions" in error(post({}, path="/v1/embeddings"), 404)["message"]
    assert error(post({}, path="/v1/models"), 405)["code"] == "unknown_url"


def test_models_lists_every_name_and_shows_one(front):
    async def get():
        transport = httpx.ASGITransport(app=front())
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return [
                await client.get(path)
                for path in ("/v1/models", "/v1/models/cat/test-model", "/v1/models/x", "/health")
            ]

    listed, shown, unknown, health = asyncio.run(get())
    names = [model["id"] for model in listed.json()["data"]]
    assert names == ["cat/test-model", "vote/test-model", "best/test-model", "test-model"]
    assert shown.json()["id"] == "cat/test-model"
    assert error(unknown, 404)["code"] == "model_not_found"
    assert health.json() == {"status": "ok", "version": catlite.__version__, "under_way": 0}


# --- limits ---


def test_a_body_that_is_too_large_is_not_read(server, front, post):
    large = json.dumps(question(text="x" * 10_000_000)).encode()
    assert error(post(large), 413)["code"] == "request_too_large"

    async def pieces():
        for _ in range(100):
            yield b"x" * 100_000

    async def send():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=front()), base_url="http://localhost") as client:
            return await client.post("/v1/chat/completions", content=pieces())

    assert asyncio.run(send()).status_code == 413
    assert server.requests == []
    assert post(question(text="x" * 1_010_000), front(max_body=1_030_000)).status_code == 200


def test_max_tokens_is_the_limit_of_every_request_and_the_most_of_one(server, front, post):
    app = front(max_tokens=100)
    post(question(), app)
    post(question("test-model"), app)
    post(question(max_completion_tokens=50), app)
    sent = [request.body.get("max_tokens") or request.body.get("max_completion_tokens") for request in server.requests]
    assert sent == [100, 100, 100, 50, 50]
    for name in ("cat/test-model", "test-model"):
        assert error(post(question(name, max_tokens=101), app), 400)["param"] == "max_tokens"
    assert len(server.requests) == 5


def test_a_budget_holds_for_all_requests_together(server, post):
    model = Endpoint("test-model", base_url=server.url, api_key=server.key, price=Price(1000, 1000))
    app = serving.app([model], max_tokens=10, budget=Budget(usd=0.2))

    async def spend():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            plain = [await client.post("/v1/chat/completions", json=question("test-model")) for _ in range(20)]
            sent = len(server.requests)
            cat = await client.post("/v1/chat/completions", json=question())
        assert sent == sum(reply.status_code == 200 for reply in plain)  # what is refused is not sent
        return [*plain, cat]

    replies = asyncio.run(spend())
    refused = [reply for reply in replies if reply.status_code != 200]
    assert 0 < len(refused) < len(replies)
    for reply in refused:
        fields = error(reply, 429)
        assert (fields["code"], fields["type"]) == ("insufficient_quota", "insufficient_quota")
        assert reply.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"budget": Budget(usd=1)}, "max_tokens"),
        ({"budget": Budget(usd=1), "max_tokens": 9}, "price"),
        ({"n": 65}, "n=65"),
        ({"max_n": 0}, "max_n=0"),
        ({"max_body": 1.5}, "max_body"),
        ({"answer_format": "("}, "regular expression"),
        ({"key": "a\nb"}, "API key"),
        ({"allow_origins": "http://x"}, "list"),
        ({"allow_origins": ["localhost:3000"]}, "http://localhost:3000"),
        ({"allow_origins": ["https://example.org/chat"]}, "without a path"),
    ],
)
def test_a_wrong_setting_is_told_before_anything_is_served(front, settings, word):
    with pytest.raises(ConfigError, match=word):
        front(**settings)


@pytest.mark.parametrize(
    ("models", "word"),
    [
        ([], "no model"),
        (7, "int"),
        ({"": "local"}, "name"),
        (["local", "local"], "twice"),
        ({"cat/x": "local"}, "cat/ of another model"),
        ({"gpt-4o-mini": 4}, "Panel"),
    ],
)
def test_models_have_names_of_their_own(models, word):
    with pytest.raises(ConfigError, match=word):
        serving.app(models)


def test_a_run_keeps_replies_and_finds_them_again(server, front, post, tmp_path):
    first = post(question(), front(run=tmp_path / "run"))
    again = post(question(), front(run=tmp_path / "run"))
    assert len(server.requests) == 2
    assert again.json()["choices"] == first.json()["choices"]
    assert first.json()["usage"]["total_tokens"] > 0
    counts = [again.json()["usage"][name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")]
    assert counts == [0, 0, 0]  # what is found is not spent again
    fields = question(catlite={"n": 12}, stream=True, stream_options={"include_usage": True})
    more = post(fields, front(run=tmp_path / "run"))
    assert len(server.requests) == 4
    fresh = events(more.text)[-2]["usage"]
    assert fresh["completion_tokens"] == 4 * 2 + 2  # of 12 rollouts 8 are found; each has two words, as the synthesis


def test_where_too_many_requests_are_under_way_a_body_is_read_and_not_kept(server, front, monkeypatch):
    server.latency, kept = 0.2, []

    async def read(*arguments, **settings):
        kept.append(await gate.read_body(*arguments, **settings))
        return kept[-1]

    monkeypatch.setattr("catlite.serving.front.read_body", read)
    app = front(max_requests=1)

    async def go():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8484") as client:
            posts = (client.post("/v1/chat/completions", json=question()) for _ in range(2))
            return await asyncio.gather(*posts)

    first, second = asyncio.run(go())
    assert (first.status_code, error(second, 429)["code"]) == (200, "rate_limit_exceeded")
    assert (second.headers["retry-after"], [len(body) > 0 for body in kept]) == ("1", [True, False])


# --- a server behind that fails ---


@pytest.mark.parametrize("name", ["cat/test-model", "test-model"])
def test_a_key_that_the_server_behind_refuses_is_not_the_clients_and_never_shown(server, post, name):
    server.key, server.echo_key = "sk-another-0123456789", True
    reply = post(question(name))
    assert error(reply, 502)["code"] == "upstream_authentication"
    assert reply.headers["x-should-retry"] == "false"
    assert "sk-test" not in reply.text


@pytest.mark.parametrize("name", ["cat/test-model", "test-model"])
def test_a_server_behind_that_is_down_is_a_502(post, name, hurry):
    model = Endpoint("test-model", base_url="http://127.0.0.1:9/v1", api_key="k", retry_seconds=0.01)
    assert error(post(question(name), serving.app([model])), 502)["code"] == "upstream"


@pytest.mark.parametrize("name", ["cat/test-model", "test-model"])
def test_a_server_behind_that_hangs_is_a_504(server, post, name):
    server.script(lambda number, body: hang())
    model = Endpoint("test-model", base_url=server.url, api_key=server.key, timeout=0.2, retry_seconds=0.01)
    assert error(post(question(name), serving.app([model])), 504)["code"] == "upstream_timeout"


def test_a_rate_limit_behind_is_a_429_that_says_when(server, post):
    server.script(lambda number, body: status(429, "Slow down", retry_after=7))
    model = Endpoint("test-model", base_url=server.url, api_key=server.key, retry_seconds=0.01)
    reply = post(question(), serving.app([model]))
    assert error(reply, 429)["code"] == "rate_limit_exceeded"
    assert int(reply.headers["retry-after"]) >= 7
    assert "x-should-retry" not in reply.headers


def test_replies_that_are_all_cut_off_are_told_as_the_clients_limit(server, post):
    server.reply = "a long answer that does not fit"
    assert error(post(question(max_tokens=2)), 400)["code"] == "max_tokens_too_low"


def test_a_prompt_that_is_too_long_is_told_as_openai_tells_it(server, post):
    server.context = 10
    assert error(post(question(text="x" * 400)), 400)["code"] == "context_length_exceeded"


def test_transient_faults_are_retried_for_a_reference(server, post, hurry):
    server.script([status(500), status(503), None, status(502)])
    assert post(question(catlite={"n": 3})).status_code == 200


def test_a_server_that_does_not_say_what_it_used_makes_usage_null(server, post):
    server.usage = False
    assert post(question()).json()["usage"] is None


# --- inside another app ---


def test_an_app_is_mounted_in_another_one(server, front, post, tmp_path):
    from starlette.applications import Starlette
    from starlette.routing import Mount

    inner = front(run=tmp_path / "run")
    outer = Starlette(routes=[Mount("/llm", inner)], lifespan=inner.router.lifespan_context)
    for _ in range(2):
        assert post(question(), outer, "/llm/v1/chat/completions").status_code == 200
    assert len(server.requests) == 2  # the run has kept them
    assert post({}, outer, "/llm/v1/other").json()["error"]["code"] == "unknown_url"


def test_an_app_without_its_lifespan_has_a_budget_and_no_run(server, endpoint, front, tmp_path):
    async def send(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return [await client.post("/v1/chat/completions", json=question("test-model")) for _ in range(2)]

    first, second = asyncio.run(send(front(budget=Budget(requests=1))))
    assert (first.status_code, second.status_code) == (200, 429)
    assert error(asyncio.run(send(front(run=tmp_path / "run")))[0], 500)["code"] == "internal"


def test_a_plain_stream_is_booked_by_its_usage_or_at_the_most_it_can_cost(server, endpoint, post):
    server.reply = "four"

    def stream(budget, **more):
        app = serving.app([endpoint], max_tokens=100, budget=Budget(tokens=budget))

        async def send():
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                fields = question("test-model", stream=True, **more)
                return [(await client.post("/v1/chat/completions", json=fields)).status_code for _ in range(3)]

        return asyncio.run(send())

    assert stream(600, stream_options={"include_usage": True}) == [200, 200, 200]
    assert stream(600) == [200, 200, 429]


@pytest.mark.parametrize(
    ("content", "more"),
    [
        ([{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}], {}),
        ([{"type": "image_url", "image_url": "https://example.org/a.png"}], {}),
        ([{"type": "input_file", "file": "f-1"}], {}),
        ("Why?", {"best_of": 64}),
    ],
)
def test_a_budget_knows_what_a_plain_request_may_cost_beyond_its_bytes(server, endpoint, post, content, more):
    app = serving.app([endpoint], max_tokens=1_000, budget=Budget(tokens=30_000))
    assert error(post(question("test-model", content, **more), app), 429)["code"] == "insufficient_quota"
    assert server.requests == []
    assert post(question("test-model"), app).status_code == 200


def test_what_nobody_foresaw_is_a_500_without_its_words(post, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("sk-secret")

    monkeypatch.setattr("catlite.serving.exchange.read_chat", broken)
    reply = post(question())
    assert error(reply, 500)["code"] == "internal"
    assert "sk-secret" not in reply.text
