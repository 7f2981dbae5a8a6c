"""What must come of each server's replies: tests/replies/ has a file for every habit, and adding one is adding a file.

A file says what the server sent (`status`, `headers`, `body`, a text where it is no JSON) and what has to come of it
(`expect`): an error with its figures, or the rollouts, and in both cases what was billed. `prompt` is what was sent,
where the server quotes it; `price` is in dollars per million tokens, for prompt and completion.
"""

import json
from pathlib import Path

import pytest
from asking import QUESTION, ask
from faults import Fault

from catlite import Price, Usage
from catlite.data import Example, Group
from catlite.errors import ModelError
from catlite.models import refusals, wire

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
        if refusals.is_content_filter(sent["status"], body, prompt):
            return "filtered"
        return refusals.status_error(sent["status"], body, headers, "server", prompt)
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
