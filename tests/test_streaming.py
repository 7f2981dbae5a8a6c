"""stream and astream: what happens is told while it happens, and the end is what synthesize returns."""

import asyncio
import contextlib
import gc
import sys
import threading
import weakref

import children
import pytest
from faults import delta, sse, status, stream

import catlite
from catlite import Done, ReferenceText, Rollout, RolloutDone, ScriptedModel
from catlite.errors import ConfigError, EstimationError, GroupError
from catlite.models import ask
from catlite.models.base import Streams, Traits

MATHS = {"answer_format": "boxed"}


def answer(body, i):
    if "<attempt-" in body["messages"][-1]["content"]:
        return r"Together: \boxed{42}"
    return rf"Try {i}: \boxed{{{40 + i}}}"


def scripted(reply):
    return ScriptedModel(lambda prompt, i: reply, reply)


class Writer:
    """A model that writes word by word, and tells how many replies it has begun and left unfinished."""

    name, traits = "writer", Traits(version="1")

    def __init__(self, words=("It ", "is ", r"\boxed{7}", "."), after=None):
        self.words, self.after, self.begun, self.left = words, after, 0, 0

    async def sample(self, prompt, n=1, **sampling):
        return [Rollout("".join(self.words)) for _ in range(n)]

    async def stream(self, prompt, **sampling):
        self.begun += 1
        try:
            for word in self.words:
                yield word
                await asyncio.sleep(0)
            if self.after is not None:
                await self.after()
            yield Rollout("".join(self.words))
        except (GeneratorExit, asyncio.CancelledError):
            self.left += 1
            raise


def kinds(events):
    return [type(event).__name__ for event in events]


def text(events):
    return "".join(event.delta for event in events if isinstance(event, ReferenceText))


@pytest.fixture
def where(server):
    server.reply = answer
    return {"model": "test-model", "base_url": server.url, "api_key": server.key}


def test_rollouts_come_first_then_the_reference_then_the_end(where):
    events = list(catlite.stream("6 times 7?", n=3, **MATHS, **where))
    assert kinds(events)[:4] == ["RolloutDone"] * 3 + ["ReferenceText"]
    assert kinds(events).count("ReferenceText") == 5
    assert kinds(events).count("Done") == 1
    assert isinstance(events[-1], Done)
    assert sorted((event.position, event.rollout.answer, event.n) for event in events[:3]) == [
        (0, "40", 3),
        (1, "41", 3),
        (2, "42", 3),
    ]
    assert text(events) == events[-1].reference.text == r"Together: \boxed{42}"


def test_the_end_is_what_synthesize_returns(where, server, tmp_path):
    *_, done = catlite.stream("q", n=3, run=tmp_path, **MATHS, **where)
    assert catlite.synthesize("q", n=3, run=tmp_path, **MATHS, **where) == done.reference
    assert len(server.requests) == 2
    events = list(catlite.stream("q", n=3, run=tmp_path, **MATHS, **where))  # all of it kept
    assert events[-1] == done
    assert len(server.requests) == 2
    assert kinds(events) == ["RolloutDone"] * 3 + ["ReferenceText", "Done"]


def test_any_model_that_streams_is_read_as_it_writes():
    events = list(catlite.stream("q", scripted("x"), anchor=Writer(), n=2, **MATHS))
    assert [event.delta for event in events if isinstance(event, ReferenceText)] == ["It ", "is ", r"\boxed{7}", "."]
    assert isinstance(Writer(), Streams)
    assert not isinstance(scripted("x"), Streams)


def test_a_model_that_does_not_stream_is_one_piece():
    events = list(catlite.stream("q", scripted(r"\boxed{1}"), n=2, **MATHS))
    assert kinds(events) == ["RolloutDone"] * 2 + ["ReferenceText", "Done"]


def test_what_a_model_asks_in_turn_is_not_taken_for_the_reference():
    class Drafting:
        name = "drafting"

        async def sample(self, prompt, n=1, **sampling):
            (draft,) = await ask.sample(Writer(("a ", "draft")), prompt)
            return [Rollout(f"better than {draft.text}")] * n

    events = list(catlite.stream("q", Drafting(), n=2))
    assert text(events) == "better than a draft"
    assert kinds(events).count("RolloutDone") == 2


def test_a_panel_says_who_wrote_and_where_it_stands():
    panel = catlite.Panel([(scripted("a"), 2), (Writer(("b",)), 1)])
    events = list(catlite.stream("q", panel, n=3))
    arrived = {event.position: event.rollout.model for event in events if isinstance(event, RolloutDone)}
    assert arrived == {place: rollout.model for place, rollout in enumerate(events[-1].reference.rollouts)}
    assert set(arrived.values()) == {"a", "writer"}


def test_a_quick_member_of_a_panel_is_told_while_a_slow_one_works():
    told = asyncio.Event()

    class Slow(Writer):
        async def sample(self, prompt, n=1, **sampling):
            await asyncio.wait_for(told.wait(), 30)
            return await super().sample(prompt, n, **sampling)

    async def places():
        order = []
        async for event in catlite.astream("q", catlite.Panel([(Slow(), 1), (scripted("a"), 1)]), n=2):
            if isinstance(event, RolloutDone):
                order.append(event.rollout.model)
                told.set()
        return order

    assert asyncio.run(places()) == ["a", "writer"]


def test_a_panel_as_the_anchor_streams_its_first_member():
    panel = catlite.Panel([(Writer(), 2), (scripted("b"), 1)])
    events = list(catlite.stream("q", scripted("x"), anchor=panel, n=2))
    assert kinds(events).count("ReferenceText") == 4


def test_errors_are_those_of_synthesize(where, server):
    with pytest.raises(ConfigError, match="n="):
        catlite.stream("q", n=0)
    with pytest.raises(ConfigError, match="did you mean temperature"):
        catlite.astream("q", temp=1)
    failing = ScriptedModel(lambda prompt, i: (_ for _ in ()).throw(ConfigError("no")))
    with pytest.raises(ConfigError, match="no"):
        list(catlite.stream("q", failing))
    server.reply = ""
    with pytest.raises(GroupError):
        list(catlite.stream("q", n=2, **where))
    events = []
    with pytest.raises(EstimationError) as caught:
        events.extend(catlite.stream("q", scripted("x"), anchor=Writer(()), n=2))
    assert kinds(events) == ["RolloutDone"] * 2
    assert len(caught.value.group.rollouts) == 2


def test_leaving_the_loop_cancels_what_is_under_way():
    anchor = Writer(after=lambda: asyncio.sleep(60))
    for event in catlite.stream("q", scripted("x"), anchor=anchor, n=2):
        if isinstance(event, ReferenceText):
            break
    assert (anchor.begun, anchor.left) == (1, 1)


def test_a_program_that_ends_in_the_middle_ends_at_once_and_says_nothing():
    code = """
import asyncio, catlite
class Slow:
    name = "slow"
    async def sample(self, prompt, n=1, **sampling):
        await asyncio.sleep(0 if n > 1 else 60)
        return [catlite.Rollout("a reply")] * n
events = catlite.stream("q", Slow(), n=2)
print(type(next(events)).__name__)
"""
    command = [sys.executable, "-X", "dev", "-c", code]
    done = children.run(command, timeout=60, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("RolloutDone\n", "")


def test_closing_the_generator_cancels_what_is_under_way():
    anchor = Writer(after=lambda: asyncio.sleep(60))

    async def app():
        async with contextlib.aclosing(catlite.astream("q", scripted("x"), anchor=anchor, n=2)) as events:
            async for event in events:
                if isinstance(event, ReferenceText):
                    break
        assert (anchor.begun, anchor.left) == (1, 1)
        return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

    assert asyncio.run(app()) == []


def test_a_task_that_is_cancelled_leaves_nothing_behind():
    anchor = Writer(after=lambda: asyncio.sleep(60))

    async def app():
        async def read():
            async for _ in catlite.astream("q", scripted("x"), anchor=anchor, n=2):
                pass

        reading = asyncio.create_task(read())
        while not anchor.begun:  # noqa: ASYNC110 - the model has no event
            await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(app())
    assert anchor.left == 1


def test_it_works_inside_a_running_loop_as_in_jupyter():
    async def cell():
        return list(catlite.stream("q", scripted("x"), n=2))

    assert kinds(asyncio.run(cell()))[-1] == "Done"


def test_it_works_from_several_threads_at_once():
    ends = []
    threads = [
        threading.Thread(target=lambda: ends.extend(list(catlite.stream("q", scripted("x"), n=2))[-1:]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kinds(ends) == ["Done"] * 4


def test_an_own_models_stream_is_kept_and_booked(tmp_path):
    def once():
        model = Writer()
        events = list(
            catlite.stream("q", model, n=1, run=tmp_path, budget=catlite.Budget(tokens=10_000), max_tokens=10)
        )
        return model.begun, text(events), events[-1]

    begun, first, done = once()
    assert (begun, first) == (1, r"It is \boxed{7}.")
    assert once() == (0, first, done)


def test_what_was_shown_stands_when_a_refusal_has_passed(where, server):
    """A setting that was refused without words is tried once more: that reply is not the reference."""
    server.reply = lambda body, i: "greedy" if "temperature" in body else "sampled"
    refusals = iter([None, *[status(400, "no")] * 3])
    server.script(lambda number, body: next(refusals, None))
    events = list(catlite.stream("q", n=1, **where))
    assert text(events) == events[-1].reference.text == "sampled"
    assert [request.body.get("temperature") for request in server.requests] == [None, 0.0, 0.0, 0.0, None, 0.0]


def test_a_broken_reference_is_an_estimation_error_that_keeps_the_rollouts(where, server, tmp_path):
    server.script([None, stream(*sse(delta(content="To")), ending="cut")])
    events = []
    with pytest.raises(EstimationError, match="2 characters of the reply had come and were handed on") as caught:
        events.extend(catlite.stream("q", n=2, run=tmp_path, **where))
    assert kinds(events) == ["RolloutDone"] * 2 + ["ReferenceText"]
    assert len(caught.value.group.rollouts) == 2
    assert list(catlite.stream("q", n=2, run=tmp_path, **where))[-1].reference.text == r"Together: \boxed{42}"
    assert len(server.requests) == 3


def test_rollouts_of_several_requests_are_told_one_by_one(where, server):
    server.most_choices = 1
    server.latency = lambda body, n: 0.05 * (server.completions % 3)
    events = list(catlite.stream("q", n=3, **where))
    assert sorted(event.position for event in events[:3]) == [0, 1, 2]
    assert kinds(events)[3:].count("RolloutDone") == 0


def test_a_rollout_that_failed_is_told_too(where, server, hurry):
    server.most_choices = 1
    server.script(lambda number, body: status(400, "filtered") if number == 2 else None)
    events = list(catlite.stream("q", n=3, **where))
    errors = {event.position: event.rollout.error for event in events if isinstance(event, RolloutDone)}
    assert len(errors) == 3
    assert sum(error is not None for error in errors.values()) == 1


def test_nothing_large_stays_with_an_open_connection(where):
    """A connection keeps the context in which it was opened."""
    prompt = "q" * 1000

    class Big(str):
        pass

    big = Big(prompt)
    kept = weakref.ref(big)
    where = {name: value for name, value in where.items() if name != "model"}
    with catlite.Endpoint("test-model", **where) as model:
        assert kinds(list(catlite.stream(big, model, n=2)))[-1] == "Done"
        del big
        gc.collect()
        assert kept() is None
