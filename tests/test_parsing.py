"""Structured replies are found in what models really write, and hostile text costs linear time."""

import time

import pytest

from catlite.parsing import parse_reply, parse_values

READ = [
    ('{"met": true}', {"met": True}),
    ('```json\n{"met": true}\n```', {"met": True}),
    ('Here it is:\n{"reason": "a {brace}", "met": false}\nDone.', {"reason": "a {brace}", "met": False}),
    ('<think>{"met": false}</think>{"met": true}', {"met": True}),
    ('{"draft": 1} and then {"final": 2}', {"final": 2}),
    ("{'reason': 'it\\'s fine', 'met': True,}", {"reason": "it's fine", "met": True}),
    ('{"reason": "say "hi" now", "met": false}', {"reason": 'say "hi" now', "met": False}),
    ('{"reason": "one\ntwo", "met": true}', {"reason": "one\ntwo", "met": True}),
    ('{"reason": "x", "met": true', {"reason": "x", "met": True}),
    ('{"a": 1, "a": 2}', {"a": [1, 2]}),
    ("{'a': 'no', 'a': 'yes'}", {"a": ["no", "yes"]}),
    ("<verdict>yes</verdict>", {"verdict": "yes"}),
    ("<reason>x < 3 & y</reason><verdict>no</verdict>", {"reason": "x < 3 & y", "verdict": "no"}),
    ("<reason>because<verdict>no", {"reason": "because", "verdict": "no"}),
    ("<r><c>one</c><c>two</c></r>", {"r": {"c": ["one", "two"]}}),
    ('<c id="1">A &amp; B</c>', {"c": "A & B"}),
    ("a < b and c > d", None),
    ("only prose [1] with {braces}", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "want"), READ)
def test_a_reply_is_read_however_it_is_wrapped(text, want):
    assert parse_reply(text) == want


def test_entities_are_never_expanded():
    bomb = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><verdict>&b;&b;</verdict>'
    assert parse_reply(bomb) == {"verdict": "&b;&b;"}


def test_a_list_of_objects_is_a_value():
    assert parse_values('[{"n": 1}, {"n": 2}]') == [[{"n": 1}, {"n": 2}]]


@pytest.mark.parametrize(
    "unit",
    ["<a>", "<a x='", "{", '[{"a":', "<verdict></verdict>", '{"a"', "<", "[[1],", "'", "<think>", "}", '{"a":1}'],
)
def test_hostile_text_is_read_in_time_that_grows_with_its_length(unit):
    def seconds(length, rounds):
        text, found = unit * (length // len(unit)), []
        for _ in range(rounds):
            started = time.process_time()
            parse_values(text)
            found.append(time.process_time() - started)
        return min(found)

    # Eight times the text: 8 times as long for a linear reader, 64 times for a quadratic one; the rest is noise. Repair
    # is bounded, so both lengths are beyond it.
    assert seconds(800_000, 2) <= 32 * max(seconds(100_000, 4), 0.01)
