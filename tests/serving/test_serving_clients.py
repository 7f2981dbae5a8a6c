"""Served on a real port: OpenAI's own client, clients that hang up, and many at once."""

import asyncio
import collections
import json
import socket
import time

import httpx
import openai
import pytest
from faults import delta, hang, mix, reset, sse, status, stream, truncated_json
from serving_help import ask_at_once, question

from catlite import Budget, Endpoint, serving

ASK = question(catlite={"n": 3})


def extra(fields):
    """What the client takes for a field of its own, and what it does not know."""
    known = {name: value for name, value in fields.items() if name != "catlite"}
    return known | {"extra_body": {"catlite": fields["catlite"]}}


def test_openais_client_reads_replies_streams_and_models(front, served):
    with served(front()) as url:
        client = openai.OpenAI(base_url=url, api_key="none")
        reply = client.chat.completions.create(**extra(ASK))
        assert (reply.choices[0].message.content, reply.usage.completion_tokens) == ("answer 0", 8)
        assert reply.catlite["source"] == "Synthesis"
        stream = client.chat.completions.create(**extra(ASK), stream=True, stream_options={"include_usage": True})
        *pieces, last = list(stream)
        assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "answer 0"
        assert (last.usage.completion_tokens, pieces[-1].catlite["source"]) == (8, "Synthesis")
        assert client.models.retrieve("cat/test-model").id in {model.id for model in client.models.list()}
        with pytest.raises(openai.NotFoundError, match="not served"):
            client.chat.completions.create(**question("cat/other"))
        client.close()


def test_openais_asynchronous_client_raises_what_comes_in_a_stream(server, front, served, monkeypatch):
    monkeypatch.setattr("catlite.serving.exchange.BEAT_SECONDS", 0.02)
    server.key, server.latency = "another", 0.2

    async def read(url):
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as client:
            async for _ in await client.chat.completions.create(**extra(ASK), stream=True):
                pass

    with served(front()) as url, pytest.raises(openai.APIError, match="API key"):
        asyncio.run(read(url))


@pytest.mark.parametrize("more", [{}, {"stream": True}], ids=["whole", "stream"])
@pytest.mark.parametrize("name", ["cat/test-model", "vote/test-model", "test-model"])
def test_a_client_that_hangs_up_cancels_what_it_asked_for(server, front, served, name, more):
    server.script(lambda number, body: hang())
    app = front(answer_format="boxed")
    with served(app) as url:
        address = url.removeprefix("http://").removesuffix("/v1").split(":")
        body = json.dumps(question(name, **more)).encode()
        with socket.create_connection((address[0], int(address[1]))) as client:
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body)
            server.wait(lambda server: server.in_flight)
        server.wait(lambda server: server.aborted and not server.in_flight)
        end = time.monotonic() + 20
        while httpx.get(url.removesuffix("/v1") + "/health").json()["under_way"]:
            assert time.monotonic() < end
            time.sleep(0.01)


def test_a_client_that_leaves_at_the_end_of_a_stream_pays_what_it_was_told(server, endpoint, served):
    counts = {"prompt_tokens": 1, "completion_tokens": 2}
    end = [delta("stop"), {"choices": [], "usage": counts}, "[DONE]"]
    server.script([stream(*sse(delta(content="42"), *end), ending="hang")])
    app = serving.app([endpoint], max_tokens=500, budget=Budget(tokens=1000))
    fields = question("test-model", stream=True, stream_options={"include_usage": True})
    with served(app) as url:
        with httpx.stream("POST", f"{url}/chat/completions", json=fields) as reply:
            assert "data: [DONE]" in reply.iter_lines()
        server.wait(lambda server: server.aborted)
        # At the most that the first may cost there would be no room for the second.
        assert httpx.post(f"{url}/chat/completions", json=question("test-model")).status_code == 200


def test_many_at_once_are_answered_or_told_to_come_back(server, front, served):
    server.reply = lambda body, i: rf"\boxed{{{body['messages'][0]['content'].split()[-1]}}}"
    server.latency = 0.3
    requests = [question("vote/test-model", f"question {number}", catlite={"n": 2}) for number in range(1000)]
    with served(front(answer_format="boxed", max_requests=20)) as url:
        replies = asyncio.run(ask_at_once(url, requests))
    statuses = collections.Counter(code for code, _, _ in replies)
    assert statuses.keys() == {200, 429}
    assert statuses[200] >= 20
    for number, (code, headers, fields) in enumerate(replies):
        if code == 200:
            assert fields["catlite"]["answer"] == str(number)
        else:
            assert (headers["retry-after"], fields["error"]["code"]) == ("1", "rate_limit_exceeded")
    assert len(server.requests) == statuses[200]


def test_none_is_lost_or_answered_twice_where_the_server_behind_fails(server, served, hurry):
    server.reply = lambda body, i: f"about {body['messages'][0]['content'].split()[-1]}"
    server.script(mix((0.05, status(500)), (0.05, reset()), (0.05, truncated_json())))
    model = Endpoint("test-model", base_url=server.url, api_key=server.key, max_connections=32)

    async def ask_all(url):
        async with httpx.AsyncClient(limits=httpx.Limits(max_connections=64), timeout=60) as client:

            async def ask(number):
                fields = question("vote/test-model", f"question {number}", catlite={"n": 2})
                return await client.post(f"{url}/chat/completions", json=fields)

            return await asyncio.gather(*map(ask, range(80)))

    with served(serving.app([model], answer_format="about (.*)")) as url:
        replies = asyncio.run(ask_all(url))
        assert httpx.get(url.removesuffix("/v1") + "/health").json()["under_way"] == 0
    assert [reply.json()["catlite"]["answer"] for reply in replies] == [str(number) for number in range(80)]
