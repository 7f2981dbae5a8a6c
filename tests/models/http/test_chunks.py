"""Streamed replies: the text as it is written, and at the end the Rollout that the same reply unstreamed would be."""

import asyncio
import contextlib
import json

import pytest
from faults import delta, error_in_200, overflow, sse, status, stream

from catlite import Budget, Endpoint, Price
from catlite.errors import AuthenticationFailed, ContextOverflow, RequestRejected
from catlite.models import ask
from catlite.models.base import Streams
from catlite.models.http.chunks import Assembly
from catlite.runs import session
from catlite.runs.session import open_run

QUESTION = "What is 6 times 7?"
DONE = sse("[DONE]")
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
GOOD = (*sse(delta(content="It is "), delta(content="42."), delta("stop"), {"choices": [], "usage": USAGE}), *DONE)


@pytest.fixture
def endpoint(server, hurry):
    with Endpoint("test-model", base_url=server.url, api_key=server.key, timeout=5.0) as endpoint:
        yield endpoint


async def read(pieces):
    return [piece async for piece in pieces]


def ask_for(endpoint, **sampling):
    """(the pieces of text, the Rollout)"""
    *pieces, rollout = asyncio.run(read(endpoint.stream(QUESTION, **sampling)))
    assert all(isinstance(piece, str) for piece in pieces)
    return pieces, rollout


def test_the_pieces_are_the_text_and_the_rollout_is_that_of_the_whole_reply(endpoint, server):
    server.reply = {"content": "It is 42.", "reasoning_content": "Six sevens."}
    pieces, rollout = ask_for(endpoint)
    (whole,) = asyncio.run(endpoint.sample(QUESTION))
    assert len(pieces) == 3
    assert "".join(pieces) == rollout.text == whole.text == "It is 42."
    assert (rollout.reasoning, rollout.finish_reason) == (whole.reasoning, whole.finish_reason)
    assert rollout.usage.prompt_tokens == whole.usage.prompt_tokens
    assert rollout.usage.completion_tokens == whole.usage.completion_tokens
    assert rollout.usage.requests == 1
    assert server.requests[0].body["stream_options"] == {"include_usage": True}
    assert isinstance(endpoint, Streams)


def test_the_first_piece_comes_long_before_the_last(endpoint, server):
    server.script([stream(*GOOD[:1], ending="hang")])

    async def first():
        async with contextlib.aclosing(endpoint.stream(QUESTION)) as pieces:
            return await anext(pieces)

    assert asyncio.run(first()) == "It is "


def test_connections_are_used_again_after_a_stream(endpoint, server):
    async def ask():
        for _ in range(4):
            await read(endpoint.stream(QUESTION))

    asyncio.run(ask())
    server.piece_s = 0.005  # so that the end of the body comes after the end of the reply
    asyncio.run(ask())
    assert server.connections_opened == 2  # one for each event loop


def test_log_probabilities_of_the_pieces_are_put_together(endpoint, server):
    pieces, rollout = ask_for(endpoint, logprobs=True)
    assert rollout.logprobs == (-0.5,) * 2
    assert "".join(pieces) == "answer 0"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_characters_and_lines_may_come_in_parts(endpoint, server, size):
    events = b"".join([b": hello\r\n\r\n", *sse(delta(content="größe \u2028 数学 🙂")), *GOOD]).replace(b"\n", b"\r\n")
    events += b"data: never read\n\n"
    server.script([stream(*(events[at : at + size] for at in range(0, len(events), size)))])
    pieces, rollout = ask_for(endpoint)
    assert "".join(pieces) == rollout.text == "größe \u2028 数学 🙂It is 42."


def test_an_emoji_may_come_in_two_pieces(endpoint, server):
    """Some servers cut a text by UTF-16 units, and no terminal takes half of one."""
    halves = [delta(content=half) for half in ("so \ud83d", "\ude42 \ud83d", "\ude42", " \ud83d x")]
    server.script([stream(*sse(*halves, delta("stop")), *DONE)])
    pieces, rollout = ask_for(endpoint)
    assert pieces == ["so ", "🙂 ", "🙂", " \ud83d x"]
    assert rollout.text == "so 🙂 🙂 \ud83d x"


def test_unescaped_line_separators_are_text():
    chunk = json.dumps(delta(content="a\u2028b\x85c"), ensure_ascii=False)
    pieces = []
    assembly = Assembly(pieces.append)
    assembly.feed(f"\ufeffdata:{chunk}\n\n".encode())
    assert pieces == ["a\u2028b\x85c"]


def test_comments_and_other_fields_are_not_text(endpoint, server):
    noise = b": OPENROUTER PROCESSING\n\n", b"event: ping\nid: 7\nretry: 5\ndata: {}\n\n"
    server.script([stream(*noise, GOOD[0], *noise, *GOOD[1:])])
    assert ask_for(endpoint)[0] == ["It is ", "42."]


@pytest.mark.parametrize(
    ("thought", "spoken"),
    [
        ([delta(reasoning_content="Six "), delta(reasoning_content="sevens.")], [delta(content="42")]),
        ([delta(reasoning="Six "), delta(reasoning="sevens.")], [delta(content="42")]),
        (
            [delta(content="<thi"), delta(content="nk>Six sev"), delta(content="ens.</think>\n\n")],
            [delta(content="42")],
        ),
        (
            [delta(content=[{"type": "thinking", "thinking": [{"type": "text", "text": "Six sevens."}]}])],
            [delta(content=[{"type": "text", "text": "4"}]), delta(content="2")],
        ),
    ],
)
def test_thinking_is_kept_apart(endpoint, server, thought, spoken):
    server.script([stream(*sse(*thought, *spoken, delta("stop")), *DONE)])
    pieces, rollout = ask_for(endpoint)
    assert "".join(pieces) == rollout.text == "42"
    assert rollout.reasoning == "Six sevens."


def test_thinking_that_the_template_opens_is_known_from_the_reply_before(endpoint, server):
    server.reply = "Six sevens.</think>\n\n42"
    asyncio.run(endpoint.sample(QUESTION))
    server.script([stream(*sse(delta(content="Six "), delta(content="sevens.</thi"), delta(content="nk>")), *GOOD)])
    pieces, rollout = ask_for(endpoint)
    assert pieces == ["It is", " 42."]
    assert (rollout.text, rollout.reasoning) == ("It is 42.", "Six sevens.")
    server.script([stream(*GOOD)])  # a reply without thinking comes in one piece, and whole
    assert ask_for(endpoint)[0] == ["It is 42."]
    server.script([stream(*GOOD)])
    assert ask_for(endpoint)[0] == ["It is ", "42."]


@pytest.mark.parametrize("usage", [True, False])
def test_a_whole_stream_whose_connection_stays_open_is_a_reply(endpoint, server, monkeypatch, usage):
    monkeypatch.setattr("catlite.models.http.clients._LAST_EVENTS_SECONDS", 0.05)
    server.script([stream(*GOOD[: 4 if usage else 3], ending="hang")])
    pieces, rollout = ask_for(endpoint)
    assert (pieces, rollout.error, rollout.finish_reason) == (["It is ", "42."], None, "stop")
    assert rollout.usage.completion_tokens == (4 if usage else None)
    assert len(server.requests) == 1


def test_a_whole_stream_whose_connection_stays_open_to_the_timeout_is_a_reply(server, hurry):
    server.script([stream(*GOOD[:4], ending="hang")])
    with Endpoint("test-model", base_url=server.url, api_key=server.key, timeout=2.0) as endpoint:
        _, rollout = ask_for(endpoint)
    assert (rollout.text, rollout.error, rollout.usage.completion_tokens) == ("It is 42.", None, 4)


def test_usage_may_come_with_every_chunk_and_the_last_counts(endpoint, server):
    def used(count, **chunk):
        return delta(**chunk) | {"usage": {"prompt_tokens": 9, "completion_tokens": count}}

    server.script([stream(*sse(used(1, content="It"), used(2, content=" is"), used(3, finish_reason="length")), *DONE)])
    _, rollout = ask_for(endpoint)
    assert (rollout.usage.prompt_tokens, rollout.usage.completion_tokens, rollout.defect) == (9, 3, "truncated")


def test_a_stream_without_usage_is_of_unknown_cost(endpoint, server):
    server.script([stream(*sse(delta(content="42"), delta("stop")), *DONE)])
    _, rollout = ask_for(endpoint)
    assert (rollout.usage.prompt_tokens, rollout.usage.completion_tokens, rollout.usage.requests) == (None, None, 1)


@pytest.mark.parametrize("end", [DONE, sse(delta("stop"))])
def test_either_end_will_do(endpoint, server, end):
    server.script([stream(*sse(delta(content="42")), *end)])
    assert ask_for(endpoint)[1].text == "42"
    assert len(server.requests) == 1


@pytest.mark.parametrize("end", [DONE, sse(delta("stop"))])
def test_a_connection_that_breaks_after_the_end_takes_nothing_back(endpoint, server, end):
    server.script([stream(*sse(delta(content="42")), *end, ending="cut", interval=0.01)])
    assert ask_for(endpoint)[1].text == "42"
    assert len(server.requests) == 1


def test_a_server_that_holds_the_connection_after_the_end_is_not_waited_for(endpoint, server):
    server.script([stream(*GOOD, ending="hang")])
    assert ask_for(endpoint)[1].usage.completion_tokens == 4


@pytest.mark.parametrize(
    "fault",
    [
        stream(*GOOD[:1]),  # neither [DONE] nor a reason
        stream(*GOOD[:1], b'data: {"choi'),
        stream(*GOOD[:1], ending="cut"),
        stream(*GOOD[:1], *sse({"error": {"message": "upstream failed", "code": 502}}), *DONE),
        stream(*GOOD[:1], *sse({"error": {"message": "slow down", "code": 429}}), *DONE),
        stream(*GOOD[:1], *sse({"object": "error", "message": "engine dead", "code": 500}), *DONE),
        stream(*GOOD[:1], *sse(delta("error")), *DONE),
        stream(*GOOD[:1], *sse("Internal Server Error")),
    ],
)
def test_what_breaks_off_after_text_is_an_error_and_not_asked_again(endpoint, server, fault, tmp_path):
    server.script([fault])

    async def call():
        with open_run(tmp_path) as store:
            replies = await read(endpoint.stream(QUESTION, max_tokens=7))
            return replies, store.account.spent

    pieces, spent = asyncio.run(call())
    *texts, rollout = pieces
    assert texts == ["It is "]
    assert (rollout.text, rollout.defect) == ("", "failed")
    assert "6 characters of the reply had come and were handed on, so it was not asked for again" in rollout.error
    assert len(server.requests) == 1
    assert spent.completion_tokens == 7  # at the most, since nobody says what it was
    assert spent.prompt_tokens > 0
    # Nothing of it is kept: the same call asks anew.
    assert asyncio.run(call())[0][-1].text == "answer 0"


@pytest.mark.parametrize(
    "fault",
    [
        stream(),
        stream(*DONE),
        stream(b": keep-alive\n\n"),
        stream(ending="cut"),
        stream(*sse(delta(role="assistant", content=""))),
        stream(*sse(delta(reasoning_content="Six sev"))),
        stream(*sse({"error": {"message": "upstream failed", "code": 502}})),
        stream(b"event: error\ndata: upstream failed\n\n"),
        error_in_200(),
        status(503),
    ],
)
def test_what_breaks_off_before_any_text_is_asked_again(endpoint, server, fault):
    server.script([fault, fault])
    pieces, rollout = ask_for(endpoint)
    assert "".join(pieces) == rollout.text == "answer 0"
    assert len(server.requests) == 3


def test_a_server_that_hangs_in_the_middle_is_given_up(server, hurry):
    server.script([stream(*GOOD[:1], ending="hang")])
    with Endpoint("test-model", base_url=server.url, api_key=server.key, timeout=0.3) as endpoint:
        _, rollout = ask_for(endpoint)
    assert "no complete reply within timeout=0.3 s" in rollout.error
    server.wait(lambda server: server.aborted == 1)


def test_leaving_ends_the_request(endpoint, server):
    server.script([stream(*GOOD[:1], ending="hang")] * 2)

    async def leave():
        async with contextlib.aclosing(endpoint.stream(QUESTION)) as pieces:
            async for _ in pieces:
                break

    asyncio.run(leave())
    server.wait(lambda server: server.aborted == 1)

    async def cancel():
        reading = asyncio.create_task(read(endpoint.stream(QUESTION)))
        while server.completions < 2:  # noqa: ASYNC110 - the server is a thread
            await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    asyncio.run(cancel())
    server.wait(lambda server: server.aborted == 2)


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
def test_a_server_that_ignores_the_wish_gives_one_piece(endpoint, server, kind):
    whole = json.dumps({"choices": [{"message": {"content": "It is\n42."}, "finish_reason": "stop"}]}, indent=1)
    server.script([stream(whole.encode(), kind=kind)])
    assert ask_for(endpoint)[0] == ["It is\n42."]


def test_a_server_that_mislabels_its_stream_is_read(endpoint, server):
    server.script([stream(*GOOD, kind="application/json")])
    assert ask_for(endpoint)[0] == ["It is ", "42."]


def refusing(refusal, *refused):
    """A server that answers `refusal` where one of these is in the request."""
    return lambda number, body: refusal if any(name in body for name in refused) else None


@pytest.mark.parametrize(
    ("refusal", "refused", "sent"),
    [
        (status(400, "Unrecognized request argument supplied: stream_options"), ["stream_options"], [2, 1]),
        (
            status(422, body={"detail": [{"loc": ["body", "stream_options"], "msg": "extra"}]}),
            ["stream_options"],
            [2, 1],
        ),
        (status(400, "bad request"), ["stream_options"], [2, 1]),
        (status(400, "Streaming is not supported by this model."), ["stream"], [2, 0]),
        (status(400, "This server does not stream.", param="stream"), ["stream"], [2, 0]),
        (status(501, "not implemented"), ["stream"], [2, 1, 0]),
        (status(400, "bad request"), ["stream"], [2, 1, 0]),
    ],
)
def test_a_server_that_refuses_is_asked_without_and_that_is_learned(endpoint, server, refusal, refused, sent):
    def fields():
        return [("stream" in request.body) + ("stream_options" in request.body) for request in server.requests]

    server.script(refusing(refusal, *refused))
    pieces, rollout = ask_for(endpoint)
    assert "".join(pieces) == rollout.text == "answer 0"
    assert fields() == sent
    ask_for(endpoint)
    assert fields() == [*sent, sent[-1]]


@pytest.mark.parametrize(
    ("refusal", "kind", "requests"),
    [
        (status(401, "Incorrect API key"), AuthenticationFailed, 1),
        (status(404, "no such model"), RequestRejected, 1),
        (overflow(), ContextOverflow, 1),
        (status(400, "temperature is not supported", param="temperature"), RequestRejected, 1),
        (status(400, "no"), RequestRejected, 3),
    ],
)
def test_other_refusals_are_those_of_sample_and_teach_nothing(endpoint, server, refusal, kind, requests):
    server.script(lambda number, body: refusal)
    with pytest.raises(kind):
        ask_for(endpoint)
    assert len(server.requests) == requests
    assert endpoint._service.learned.streaming == 0


def test_a_filtered_prompt_is_a_filtered_rollout(endpoint, server):
    server.script([stream(*sse(delta("content_filter")), *DONE)])
    assert ask_for(endpoint)[1].defect == "filtered"


def test_the_name_of_the_token_limit_is_learned_on_the_way(endpoint, server):
    server.rejects = ("max_tokens",)
    assert ask_for(endpoint, max_tokens=50)[1].text == "answer 0"
    assert [request.status for request in server.requests] == [400, 200]


def test_what_a_run_has_comes_in_one_piece_and_costs_nothing(endpoint, server, tmp_path):
    async def call():
        with open_run(tmp_path):
            return await read(endpoint.stream(QUESTION))

    *pieces, first = asyncio.run(call())
    assert len(pieces) == 2
    assert asyncio.run(call()) == ["answer 0", first]

    async def whole():
        with open_run(tmp_path):
            return await endpoint.sample(QUESTION)

    assert asyncio.run(whole()) == [first]
    assert len(server.requests) == 1


def test_a_stream_is_booked_in_a_budget(endpoint, server):
    priced = Endpoint("test-model", base_url=server.url, api_key=server.key, price=Price(1.0, 1.0))

    async def call():
        with session.capped(Budget(usd=1.0)) as ledger:
            *_, rollout = await read(ask.stream(priced, QUESTION, max_tokens=50))
            return rollout, ledger.spent

    rollout, spent = asyncio.run(call())
    assert spent.cost_usd == rollout.usage.cost_usd > 0
    priced.close()


def test_a_key_that_is_echoed_is_never_shown(endpoint, server):
    leak = sse(delta(content=f"your key is {server.key}"), delta("stop"))
    server.script([stream(*leak, *DONE)])
    pieces, rollout = ask_for(endpoint)
    assert server.key not in "".join(pieces) + rollout.text
