"""What must come of each server's replies: replies/ has a file for every habit; adding one is adding a file.

A file says what the server sent (`status`, `headers`, `body`, a text where it is no JSON) and what has to come of it
(`expect`): an error with its figures, or the rollouts, and in both cases what was billed. `prompt` is what was sent,
where the server quotes it; `price` is in dollars per million tokens, for prompt and completion.
"""

import json
import math
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import faults
import pytest
from asking import QUESTION, ask, asked, on
from faults import Fault

import catlite
from catlite import Budget, Price, Task, Usage, concurrency
from catlite.data import Example, Group, Rollout
from catlite.errors import CatliteError, EstimationError, GroupError, ModelError, RequestRejected
from catlite.models.http import refusals, wire
from catlite.models.http.retry import ATTEMPTS
from catlite.references.anchored import AnchoredVote
from catlite.references.recursive import RecursiveSynthesis
from catlite.references.selection import BestOfN, MinPerplexity
from catlite.references.synthesis import Synthesis
from catlite.runs.session import capped, open_run

HABITS = sorted(Path(__file__).with_name("replies").glob("*.json"))


def habit(path):
    return json.loads(path.read_text("utf-8"))


def names(paths):
    return [path.stem for path in paths]


def received(sent):
    """The rollouts, or the error."""
    body = sent["body"] if isinstance(sent["body"], str) else json.dumps(sent["body"])
    headers, prompt = sent.get("headers", {}), sent.get("prompt", "")
    price = Price(*sent["price"]) if "price" in sent else None
    if sent["status"] != 200:
        if refusals.read_refusal(body, prompt).is_filter(sent["status"]):
            return "filtered"
        return refusals.status_error(sent["status"], body, headers, "server", prompt=prompt)
    try:
        return wire.rollouts(wire.parse(body, "server", headers, prompt), "server", price, 0.5)
    except ModelError as error:
        return error


@pytest.mark.parametrize("path", HABITS, ids=names(HABITS))
def test_what_must_come_of_a_reply_comes_of_it(path):
    sent = habit(path)
    expect, result = dict(sent["expect"]), received(sent)
    if expect.pop("filtered", False):
        assert result == "filtered"
        return
    usage = expect.pop("usage", {})
    if "error" in expect:
        assert isinstance(result, ModelError), result
        assert type(result).__name__ == expect.pop("error"), result
        assert expect.pop("says", "") in str(result)
        told = {name: getattr(result, name.removeprefix("error_")) for name in expect}
        assert told == expect, result
        spent = result.usage
    else:
        assert isinstance(result, list), result
        notes = Group(Example(QUESTION), tuple(result)).oddities()
        found = [
            {
                "text": one.text,
                "defect": one.defect,
                "finish_reason": one.finish_reason,
                "reasoning": one.reasoning,
                "logprobs": None if one.logprobs is None else list(one.logprobs),
                "odd": one.odd_ending,
                "notes": notes,
            }
            for one in result
        ]
        assert [{name: one[name] for name in want} for one, want in zip(found, expect["rollouts"], strict=True)] == (
            expect["rollouts"]
        )
        spent = Usage.total(one.usage for one in result)
    assert {name: getattr(spent, name) for name in usage} == {
        name: pytest.approx(value) if isinstance(value, float) else value for name, value in usage.items()
    }


def test_every_file_is_the_habit_of_one_server():
    assert len(HABITS) > 200
    for path in HABITS:
        sent = habit(path)
        assert set(sent) <= {"about", "status", "headers", "body", "prompt", "price", "expect"}, path
        assert len(path.read_text("utf-8")) < 2_000, path


# --- through a server ---

ONE_OF_EACH = [
    "overflow-vllm-decoder",
    "overflow-in-200",
    "setting-groq",
    "credit-openai-inactive",
    "credit-in-200",
    "rate-gemini-quota",
    "key-in-200",
    "place-lmstudio",
    "bad-error-in-200",
    "ends-error",
]


@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_refusal_is_raised_after_one_request_and_a_passing_failure_after_several(server, hurry, name):
    sent = habit(next(path for path in HABITS if path.stem == name))
    server.script(lambda number, body: Fault("answer", sent["status"], sent["body"]))
    kind = sent["expect"]["error"]
    if kind in ("EndpointUnavailable", "BadReply"):
        assert [one.defect for one in ask(server)] == ["failed"]
        assert len(server.requests) == ATTEMPTS
    else:
        with pytest.raises(ModelError) as caught:
            ask(server)
        assert type(caught.value).__name__ == kind
        assert len(server.requests) == 1


def spoiled(position, choice, **fields):
    """A fault that puts `choice`, or these fields of its message, in the place of one choice."""

    def change(completion):
        if position < len(completion["choices"]):
            completion["choices"][position] = choice or {"message": {"content": "text"} | fields}
        return completion

    return faults.edit(change)


@pytest.mark.parametrize(
    "fault",
    [
        spoiled(3, 17),
        spoiled(3, {"finish_reason": "stop"}),
        spoiled(3, None, content={"a": 1}),
        spoiled(0, None, content=7),
    ],
    ids=["a number", "no message", "content an object", "content a number"],
)
def test_one_bad_choice_is_asked_for_again_and_the_others_are_kept(server, fault):
    server.script([fault])
    rollouts = ask(server, 8)
    assert all(one.defect is None for one in rollouts)
    assert asked(server) == [8, 1]
    assert Usage.total(one.usage for one in rollouts).requests == 2
    server.requests.clear()
    ask(server, 8)
    assert asked(server) == [8]  # the server took n, so that nothing was learned


def test_a_choice_that_is_bad_every_time_ends_after_the_retries_and_every_exchange_is_booked(server, hurry):
    server.script(lambda number, body: spoiled(body.get("n", 1) - 1, None, content=7))
    with capped(Budget(tokens=100_000), Usage()) as ledger:
        rollouts = ask(server, 3, max_tokens=10)
    assert [one.defect for one in rollouts] == [None, None, "failed"]
    assert "content that is int" in rollouts[2].error
    assert asked(server) == [3] + [1] * ATTEMPTS
    prompt, reply = 6, 2  # tokens of a prompt and of a reply, as the server counts them
    assert ledger.spent.total_tokens == (prompt + 3 * reply) + ATTEMPTS * (prompt + reply)


def test_a_reply_of_no_use_that_does_not_say_its_cost_is_booked_at_the_most_it_can_have_cost(server, hurry):
    server.script([faults.html()])
    with capped(Budget(tokens=100_000), Usage()) as ledger:
        ask(server, max_tokens=10)
    assert ledger.spent.total_tokens > 8 + len(QUESTION) + 10


# --- the second stage ---


@pytest.mark.parametrize(
    "fault",
    [
        faults.status(400, "no"),
        faults.status(401, "no"),
        faults.status(402, "no"),
        faults.status(404, "no"),
        faults.overflow("vllm"),
        Fault(
            "answer", 400, {"message": "The decoder prompt (length 9) is longer than the maximum model length of 8."}
        ),
    ],
    ids=["400", "401", "402", "404", "overflow", "overflow in vLLM's words"],
)
def test_a_refusal_of_the_anchor_keeps_the_group_that_was_paid_for(server, fault):
    server.script(lambda number, body: fault if number else None)
    with pytest.raises(CatliteError) as caught, on(server) as endpoint:
        catlite.synthesize(QUESTION, endpoint, n=4)
    assert [one.text for one in caught.value.group.rollouts] == [f"answer {i}" for i in range(4)]


def group_kept(call):
    """The group that a call kept, in the error that it raises or in what it returns."""
    try:
        result = call()
    except CatliteError as error:
        return error.group
    return result[0].group if isinstance(result, list) else result.groups[0]


@pytest.mark.parametrize(
    "estimator", [Synthesis, RecursiveSynthesis, BestOfN, AnchoredVote], ids=lambda kind: kind.__name__
)
@pytest.mark.parametrize("code", [400, 401, 402, 404])
def test_a_refusal_in_an_estimator_keeps_the_group(server, estimator, code):
    server.script(lambda number, body: faults.status(code, "no") if number else None)
    example = Example(QUESTION, answer="answer 0", answer_format="(.*)")
    with on(server) as endpoint:
        kept = group_kept(lambda: catlite.estimate([example], endpoint, estimator=estimator(endpoint), n=4))
    assert [one.text for one in kept.rollouts] == [f"answer {i}" for i in range(4)]


@pytest.mark.parametrize("code", [400, 401, 402, 404])
def test_a_refusal_in_an_evaluation_keeps_the_group(server, code):
    server.script(lambda number, body: faults.status(code, "no") if number else None)
    task = Task("one", (Example(QUESTION, answer="answer 0", answer_format="(.*)"),))
    with on(server) as endpoint:
        kept = group_kept(lambda: catlite.evaluate(task, endpoint, estimators=[Synthesis(endpoint)], n=4))
    assert [one.text for one in kept.rollouts] == [f"answer {i}" for i in range(4)]


def test_an_overflow_in_vllms_words_trims_the_rollouts(server):
    server.reply = lambda body, i: f"{i} " + "word " * 200

    def fault(number, body):
        length = sum(len(message["content"]) for message in body["messages"]) // 4
        message = f"The decoder prompt (length {length}) is longer than the maximum model length of 600."
        return faults.status(400, message) if length > 600 else None

    server.script(fault)
    with on(server) as endpoint:
        reference = catlite.synthesize(QUESTION, endpoint, n=4)
    assert any("trimmed" in note for note in reference.notes)


# --- what is odd though it came ---


def test_an_end_no_one_knows_is_complete_with_a_note(server):
    server.script([faults.finish("because")])
    with on(server) as endpoint:
        reference = catlite.synthesize(QUESTION, endpoint, n=2)
    assert "2 of 2 rollouts ended by 'because', an unknown word: taken as complete" in reference.notes


def test_a_prompt_that_is_cut_without_a_word_is_noted_on_rollouts_and_reference(server):
    server.usage = {"prompt_tokens": 2050}
    with on(server) as endpoint:
        reference = catlite.synthesize("word " * 7400, endpoint, n=2)
        assert any("2,050 tokens in a prompt of 36,999 characters" in note for note in reference.notes)
        server.reply = lambda body, i: f"{i} " + "word " * 3000
        reference = catlite.synthesize(QUESTION, endpoint, n=4)
    assert any(note.startswith("a reply of 'test-model': the server counted 2,050 tokens") for note in reference.notes)


def test_a_prompt_that_is_counted_in_full_is_not_noted(server):
    assert ask(server, prompt="word " * 7400)[0].notes == ()


def test_the_same_reply_again_and_again_is_noted_unless_it_was_asked_for(server, tmp_path):
    server.reply = "Six times seven is 42, as everyone knows."
    same = "all 8 rollouts are the same, word for word"
    assert ask(server, 8, temperature=0.7)[0].notes[0].startswith(same)
    assert ask(server, 8)[0].notes[0].startswith(same)
    assert ask(server, 8, temperature=0)[0].notes == ()
    with open_run(tmp_path):
        ask(server, 8)
        assert ask(server, 8)[0].notes[0].startswith(same)  # of replies that were kept, too
    server.reply = "42"
    assert ask(server, 8)[0].notes == ()  # short answers agree


def test_an_answer_that_a_parser_took_for_thinking_is_called_that(server):
    server.reply = {"content": None, "reasoning_content": "42"}
    with on(server) as endpoint, pytest.raises(GroupError) as caught:
        catlite.synthesize(QUESTION, endpoint, n=2)
    assert "the server put it into reasoning_content" in str(caught.value)
    assert "max_tokens" not in str(caught.value)


def test_thinking_that_used_up_the_limit_is_called_that(server):
    server.reply = {"content": None, "reasoning_content": "hm", "finish_reason": "length"}
    with on(server) as endpoint, pytest.raises(GroupError, match="raise max_tokens: it was spent on thinking"):
        catlite.synthesize(QUESTION, endpoint, n=2)


def test_an_anchor_whose_answer_a_parser_took_says_so_and_keeps_the_group(server):
    server.reply = lambda body, i: "fine" if "n" in body else {"content": None, "reasoning_content": "42"}
    with on(server) as endpoint, pytest.raises(EstimationError, match="reasoning_content") as caught:
        catlite.synthesize(QUESTION, endpoint, n=2)
    assert len(caught.value.group.rollouts) == 2


# --- log-probabilities ---


def test_min_perplexity_never_picks_a_rollout_without_log_probabilities():
    group = Group(Example(QUESTION), (Rollout("a", logprobs=(math.nan,)), Rollout("b", logprobs=(-0.5,))))
    with pytest.raises(EstimationError, match="of every rollout"):
        concurrency.run(MinPerplexity()(group))


def test_log_probabilities_that_came_are_used_when_all_have_them_and_else_those_of_the_scorer():
    class Scorer:
        name = "scorer"
        asked = 0

        async def sample(self, prompt, n=1, **sampling):
            raise AssertionError("a scorer is asked for log-probabilities alone")

        async def logprobs(self, prompt, text):
            self.asked += 1
            return [-1.0 if text == "a" else -2.0]

    scorer = Scorer()
    full = Group(Example(QUESTION), (Rollout("a", logprobs=(-3.0,)), Rollout("b", logprobs=(-0.5,))))
    assert concurrency.run(MinPerplexity(scorer)(full)).text == "b"
    assert scorer.asked == 0
    partly = Group(Example(QUESTION), (Rollout("a"), Rollout("b", logprobs=(-0.5,))))
    assert concurrency.run(MinPerplexity(scorer)(partly)).text == "a"
    assert scorer.asked == 2


# --- addresses and headers ---


@pytest.fixture
def elsewhere(server):
    """A server that sends everyone to `server`, with a status that a test may change; and its URL."""

    class Handler(BaseHTTPRequestHandler):
        status, padding = 301, 0

        def do_POST(self):
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(Handler.status)
            if Handler.status >= 300:
                self.send_header("Location", server.url + self.path.removeprefix("/v1"))
            if Handler.padding:
                self.send_header("X-Long", "x" * Handler.padding)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_):
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    Handler.url = f"http://127.0.0.1:{listener.server_port}/v1"
    yield Handler
    listener.shutdown()
    thread.join()
    listener.server_close()


@pytest.mark.parametrize("code", [301, 302, 303])
def test_a_redirect_that_loses_the_request_names_the_new_address(server, elsewhere, code):
    elsewhere.status = code
    with pytest.raises(RequestRejected) as caught:
        ask(server, 4, settings={"base_url": elsewhere.url})
    assert f"answered {code}: it has moved to {server.url}" in str(caught.value)
    assert f"base_url={server.url!r}" in str(caught.value)
    assert caught.value.for_every_prompt  # so that a run ends with it
    assert [request.method for request in server.requests] == ["GET"]  # the key did not go along
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize("code", [307, 308])
def test_a_redirect_to_another_place_does_not_take_the_key_along(server, elsewhere, code):
    elsewhere.status = code
    with pytest.raises(RequestRejected, match="it has moved to"):
        ask(server, settings={"base_url": elsewhere.url})


def test_a_header_that_is_too_long_is_a_clear_error_after_one_request(server, elsewhere):
    elsewhere.status, elsewhere.padding = 200, 9_000
    with pytest.raises(RequestRejected, match="header longer than the 8,190 bytes"):
        ask(server, settings={"base_url": elsewhere.url})
