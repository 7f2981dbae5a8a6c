import asyncio
import contextlib
import json
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
import warnings
from pathlib import Path

import children
import faults
import openai
import pytest
from faults import RateLimit, lognormal, mix, status
from openai import AsyncOpenAI
from server import Server

ASK = {"model": "test-model", "messages": [{"role": "user", "content": "What is six times seven?"}]}


def ask(server, *, times=1, key=None, timeout=5.0, together=False, **more):
    """Replies, or the exceptions raised in their place."""

    async def one(client):
        try:
            return await client.chat.completions.create(**ASK | more)
        except (openai.OpenAIError, json.JSONDecodeError) as problem:
            return problem

    async def run():
        settings = {
            "base_url": server.url,
            "api_key": key or server.key,
            "timeout": timeout,
            "max_retries": 0,
        }
        async with AsyncOpenAI(**settings) as client:
            if together:
                return await asyncio.gather(*(one(client) for _ in range(times)))
            return [await one(client) for _ in range(times)]

    replies = asyncio.run(run())
    return replies[0] if times == 1 else replies


def raw(server, *bodies, path="/v1/chat/completions", forgive=()):
    """One connection; all requests are sent at once, and all until it closes, or fails as `forgive`, is read."""
    sent = [json.dumps(body).encode() for body in bodies]
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
        for i, body in enumerate(sent):
            last = "Connection: close\r\n" if i == len(sent) - 1 else ""
            sock.sendall(f"{head}{last}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        received = b""
        with contextlib.suppress(*forgive):
            while data := sock.recv(65536):
                received += data
    return received


def test_a_reply_has_n_choices_usage_and_logprobs():
    with Server(lambda body, i: f"answer {i}") as server:
        reply = ask(server, n=3, logprobs=True, top_logprobs=1)
    assert [choice.message.content for choice in reply.choices] == ["answer 0", "answer 1", "answer 2"]
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (6, 6)
    assert "".join(token.token for token in reply.choices[1].logprobs.content) == "answer 1"
    (request,) = server.requests
    assert (request.status, request.body["n"], request.number, request.aborted) == (200, 3, 0, False)
    assert request.arrived <= request.answered
    assert request.headers["authorization"] == f"Bearer {server.key}"


def test_connections_are_kept_and_pipelined_requests_answered_in_order():
    with Server(lambda body, i: body["messages"][0]["content"], latency=0.01) as server:
        ask(server, times=3)
        assert server.connections_opened == 1
        prompts = [ASK | {"messages": [{"role": "user", "content": text}]} for text in ("one", "two", "three")]
        received = raw(server, *prompts)
    assert received.count(b"HTTP/1.1 200 OK") == 3
    assert received.index(b'"one"') < received.index(b'"two"') < received.index(b'"three"')
    assert [request.connection for request in server.requests] == [0, 0, 0, 1, 1, 1]


def test_a_reply_dict_reaches_the_message_and_the_choice():
    given = {"content": None, "reasoning_content": "Let me see.", "finish_reason": "length"}
    with Server(given) as server:
        reply = ask(server)
    assert reply.choices[0].message.content is None
    assert reply.choices[0].message.reasoning_content == "Let me see."
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage.completion_tokens_details.reasoning_tokens == 3


def test_max_tokens_cuts_the_text_and_lone_surrogates_survive():
    with Server("ab\ud800" * 10) as server:
        reply = ask(server, max_tokens=2)
    assert (reply.choices[0].message.content, reply.choices[0].finish_reason) == (
        "ab\ud800ab\ud800ab",
        "length",
    )


@pytest.mark.parametrize(
    ("rules", "sent", "code", "expected"),
    [
        ({"max_n": 1}, {"n": 2}, 400, "only n = 1 is supported"),
        ({"max_n": 4}, {"n": 5}, 400, "integer_above_max_value"),
        ({"rejects": ["max_tokens"]}, {"max_tokens": 5}, 400, "Use 'max_completion_tokens' instead."),
        ({"rejects": ["max_completion_tokens"]}, {"max_completion_tokens": 5}, 400, "Unrecognized request"),
        ({"rejects": ["temperature"]}, {"temperature": 0.7}, 400, "unsupported_value"),
        ({}, {"model": "other"}, 404, "model_not_found"),
        ({"context": 5}, {}, 400, "context_length_exceeded"),
        ({"context": 5, "dialect": "vllm"}, {"max_tokens": 4}, 400, "requested 10 tokens (6 in the messages"),
        ({"context": 5, "dialect": "vllm-0.16"}, {}, 400, "parameter=input_tokens, value=6"),
        ({"context": 5, "dialect": "llama.cpp"}, {}, 400, "'n_prompt_tokens': 6, 'n_ctx': 5"),
    ],
)
def test_rules_are_refused_in_the_providers_words(rules, sent, code, expected):
    with Server(**rules) as server:
        refusal = ask(server, **sent)
    assert refusal.status_code == code
    assert expected in str(refusal)


def test_rules_let_the_rest_through():
    with Server(max_n=4, rejects=["temperature"], context=10, dialect="llama.cpp") as server:
        assert len(ask(server, n=4, temperature=1, max_tokens=100).choices) == 4
    with Server(takes_n=False) as server:
        assert len(ask(server, n=4).choices) == 1
    with Server(most_choices=3, usage={"prompt_tokens_details": {"cached_tokens": 4}}) as server:
        reply = ask(server, n=4)
    assert len(reply.choices) == 3
    assert reply.usage.prompt_tokens_details.cached_tokens == 4


def test_a_wrong_key_is_echoed_only_when_asked():
    with Server() as server:
        assert "sk-wrong-0123456789" not in str(ask(server, key="sk-wrong-0123456789"))
    with Server(echo_key=True) as server:
        refusal = ask(server, key="sk-wrong-0123456789")
    assert isinstance(refusal, openai.AuthenticationError)
    assert "sk-wrong-0123456789" in str(refusal)


def test_models_and_added_routes_are_served():
    async def run(server):
        async with AsyncOpenAI(base_url=server.url, api_key=server.key) as client:
            found = [model.id async for model in client.models.list()]
            return found, await client.post("/tokenize", body={"text": "abc"}, cast_to=object)

    with Server(models=["a", "b"], routes={"/v1/tokenize": lambda body: {"count": len(body["text"])}}) as server:
        assert asyncio.run(run(server)) == (["a", "b"], {"count": 3})


def test_a_script_strikes_in_order_and_then_ends():
    script = [status(500), None, status(429, retry_after=2), status(429, retry_after=0.25, form="ms")]
    script += [status(503, retry_after=30, form="date"), faults.quota_exhausted(), faults.content_filter()]
    with Server(faults=script) as server:
        replies = ask(server, times=8)
    assert [request.status for request in server.requests] == [500, 200, 429, 429, 503, 429, 400, 200]
    assert replies[2].response.headers["retry-after"] == "2"
    assert replies[3].response.headers["retry-after-ms"] == "250"
    assert replies[4].response.headers["retry-after"].endswith("GMT")
    assert (replies[5].code, replies[6].code) == ("insufficient_quota", "content_filter")


@pytest.mark.parametrize(
    "fault",
    [faults.reset(), faults.reset(0.5), faults.close(), faults.cut()],
    ids=["reset", "late reset", "close", "cut"],
)
def test_a_broken_connection_is_a_connection_error(fault):
    with Server(faults=[fault, fault.later(0.02)]) as server:
        replies = ask(server, times=3)
    assert [type(reply) for reply in replies[:2]] == [openai.APIConnectionError] * 2
    assert replies[2].choices[0].message.content == "ok"
    assert (server.aborted, server.in_flight, server.connections_opened) == (0, 0, 3)


def test_reset_is_a_real_rst_and_close_is_not():
    with Server(faults=[faults.reset(), faults.close()]) as server:
        with pytest.raises(ConnectionResetError):
            raw(server, ASK)
        assert raw(server, ASK) == b""


def test_cut_sends_less_than_it_promised():
    with Server(faults=[faults.cut(0.5)]) as server:
        head, _, body = raw(server, ASK).partition(b"\r\n\r\n")
    promised = int(head.split(b"content-length: ")[1].split()[0])
    assert len(body) == promised // 2


def test_a_client_that_leaves_a_hang_or_a_drip_is_counted():
    with Server(faults=[faults.hang(), faults.drip(0.05)]) as server:
        assert isinstance(ask(server, timeout=0.1), openai.APITimeoutError)
        server.wait(lambda server: server.aborted == 1)
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
            body = json.dumps(ASK).encode()
            head = f"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer {server.key}\r\n"
            sock.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            received = sock.recv(65536)
            assert received.startswith(b"HTTP/1.1 200 OK")
            assert len(sock.recv(65536)) <= 2
        server.wait(lambda server: server.aborted == 2)
    assert [request.aborted for request in server.requests] == [True, True]
    assert server.in_flight == 0


def test_a_drip_outlasts_a_read_timeout_and_is_whole():
    with Server(faults=[faults.drip(0.001)]) as server:
        started = time.monotonic()
        reply = ask(server, timeout=0.2)
    assert reply.choices[0].message.content == "ok"
    assert time.monotonic() - started > 0.2


def test_hangup_leaves_a_dead_connection_behind_a_good_reply():
    with Server(faults=[faults.hangup()]) as server:
        # Closed with the second request unread, the connection may as well be reset.
        received = raw(server, ASK, ASK, forgive=[ConnectionResetError])
        assert received.count(b"HTTP/1.1") == 1
        assert b'"ok"' in received


def test_bodies_that_are_not_completions():
    script = [faults.html(), status(200, body=""), faults.truncated_json(), faults.error_in_200()]
    script += [faults.no_choices(), faults.null_choices(), faults.missing_choices()]
    with Server(faults=script) as server:
        page, empty, torn, failed, none, null, missing = ask(server, times=7)
    assert isinstance(page, str)
    assert "<html>" in page
    assert isinstance(torn, json.JSONDecodeError)
    assert {type(empty), type(failed)} <= {str, json.JSONDecodeError, openai.types.chat.ChatCompletion}
    assert failed.error["code"] == 502
    assert (none.choices, null.choices, missing.choices) == ([], None, None)


def test_completions_with_odd_contents():
    values = [None, "", [{"type": "text", "text": "ok"}], 42]
    script = [faults.content(value) for value in values]
    script += [faults.finish("content_filter", ""), faults.fewer_choices(1), faults.usage(None)]
    script += [faults.usage(False), faults.usage({"prompt_tokens": -1}), faults.edit(lambda reply: [reply])]
    with Server(faults=script) as server:
        replies = ask(server, times=10, n=2)
    assert [reply.choices[1].message.content for reply in replies[:4]] == values
    assert replies[4].choices[0].finish_reason == "content_filter"
    assert len(replies[5].choices) == 1
    assert (replies[6].usage, getattr(replies[7], "usage", None)) == (None, None)
    assert replies[8].usage.prompt_tokens == -1


def test_a_script_may_look_at_the_body_and_be_replaced():
    with Server(faults=lambda number, body: status(500) if body["seed"] == 7 else None) as server:
        assert ask(server, seed=7).status_code == 500
        assert ask(server, seed=8).choices
        server.script([status(503)])
        assert ask(server, seed=8).status_code == 503


def test_mix_depends_on_seed_and_number_alone():
    draw, again, other = (mix((0.3, status(500)), (0.2, faults.reset()), seed=seed) for seed in (1, 1, 2))
    drawn = [fault and fault.kind for fault in (draw(i, {}) for i in range(1000))]
    assert drawn == [fault and fault.kind for fault in (again(i, {}) for i in range(1000))]
    assert drawn != [fault and fault.kind for fault in (other(i, {}) for i in range(1000))]
    assert 250 < drawn.count("answer") < 350
    assert 150 < drawn.count("reset") < 250


def test_the_limit_refuses_what_is_over_the_burst():
    with Server(limit=RateLimit(0.001, burst=3, retry_after=0.05)) as server:
        replies = ask(server, times=10, together=True)
        refused = [reply for reply in replies if isinstance(reply, openai.RateLimitError)]
        assert len(refused) == 7
        assert refused[0].response.headers["retry-after"] == "0.05"
        server.limit.rate = 1e6
        assert ask(server).choices
    assert server.statuses[429] == len(refused)


def test_latency_has_the_mean_it_says_and_counts_as_in_flight():
    draw = lognormal(0.2, 0.6, seed=0)
    drawn = [draw({}, 1) for _ in range(20_000)]
    assert 0.195 < sum(drawn) / len(drawn) < 0.205
    with Server(latency=0.5) as server:
        ask(server, times=8, together=True)
    assert (server.peak_in_flight, server.in_flight) == (8, 0)
    assert all(request.answered - request.arrived >= 0.499 for request in server.requests)


def test_a_test_that_raises_in_its_reply_is_told():
    def reply(body, i):
        raise KeyError("typo")

    server = Server(reply)
    with pytest.raises(KeyError, match="typo"), server:
        assert ask(server).status_code == 500


def test_stopping_leaves_no_thread_socket_or_waiting_client():
    before = threading.active_count()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with Server(faults=[faults.hang(), faults.drip(1)]) as server:
            clients = [socket.create_connection(("127.0.0.1", server.port), timeout=5) for _ in range(3)]
            body = json.dumps(ASK).encode()
            for client in clients[:2]:
                client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nAuthorization: Bearer ")
                client.sendall(f"{server.key}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            server.wait(lambda server: server.in_flight == 2 and server.connections_opened == 3)
        for client in clients:
            with client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                while client.recv(65536):
                    pass
    assert threading.active_count() == before
    assert server.aborted == 0
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)
    with server:  # the same port again, as a server that comes back would have
        assert ask(server).choices


def test_it_runs_alone_and_stops_when_terminated():
    command = [
        sys.executable,
        str(Path(__file__).with_name("server.py")),
        "--latency",
        "0.01",
        "--sigma",
        "0.6",
    ]
    with children.start([*command, "--takes-n"], stdout=subprocess.PIPE, text=True) as process:
        url = process.stdout.readline().strip()
        data = json.dumps(ASK | {"n": 2}).encode()
        headers = {"Authorization": f"Bearer {Server.key}", "Connection": "close"}
        request = urllib.request.Request(f"{url}/chat/completions", data, headers)
        with urllib.request.urlopen(request, timeout=5) as response:
            assert len(json.load(response)["choices"]) == 2
        with urllib.request.urlopen(url.removesuffix("v1") + "stats", timeout=5) as response:
            stats = json.load(response)
        process.terminate()
    assert (stats["completions"], stats["statuses"]) == (1, {"200": 1})
    assert process.returncode == 0
