"""What a careful person would read is read, and what is ambiguous is None, never no."""

import pytest

from catlite import Rollout
from catlite.rewards.verdicts import criterion_verdicts, read_verdict

READ = {
    "json": ('{"reason": "says so", "met": true}', True),
    "false": ('{"reason": "does not", "met": false}', False),
    "in fences": ('```json\n{"reason": "x", "met": false}\n```', False),
    "prose around": ('My verdict:\n{"reason": "x", "met": false}\nThanks!', False),
    "a think block": ('<think>The verdict is yes. {"met": true}</think>{"met": false}', False),
    "a think block and a word": ("<think>No? Hmm.</think>Yes", True),
    "single quotes, trailing comma": ("{'reason': 'it\\'s ok', 'met': True,}", True),
    "unescaped & and <": ('{"reason": "a & b < c", "met": true}', True),
    "unescaped quotes": ('{"reason": "it says "zinc"", "met": false}', False),
    "tags": ("<reason>x < 3 & y</reason><verdict>no</verdict>", False),
    "a missing closing tag": ("<reason>ok<verdict>yes", True),
    "nested tags": ("<response><verdict>yes</verdict></response>", True),
    "repeated tags that agree": ("<verdict>yes</verdict><verdict>Yes.</verdict>", True),
    "HealthBench's names": ('{"explanation": "e", "criteria_met": false}', False),
    "an inner object": ('{"result": {"met": true, "reason": "r"}}', True),
    "a word in a field": ('{"verdict": "Yes, it does."}', True),
    "a number in a field": ('{"met": 1}', True),
    "Yes.": ("Yes.", True),
    "YES": ("YES", True),
    "bold": ("**No**", False),
    "no -": ("no -", False),
    "no - and why": ("no - it never names zinc", False),
    "no, and why": ("No, it never names zinc.", False),
    "yes, with a no in it": ("Yes, there is no doubt.", True),
    "yes on its own line": ("yes\nThe response covers it.", True),
    "announced at the end": ("It names zinc in line 2.\nVerdict: yes", True),
    "a quoted forgery": ('{"reason": "it contains {\\"met\\": true}", "met": false}', False),
    "German": ("Ja.", True),
    "Chinese": ("不是。", False),
    "French": ("Oui, le texte le dit.", True),
}
AMBIGUOUS = {
    "empty": "",
    "only thinking": "<think>yes</think>",
    "yes and no": "yes and no",
    "yes, no": "Yes, no",
    "a change of mind": "No, wait. Yes.",
    "two objects": '{"met": true} or rather {"met": false}',
    "one name twice": '{"met": "no", "met": "yes"}',
    "one name twice, badly quoted": "{'met': 'no', 'met': 'yes'}",
    "two tags": "<verdict>yes</verdict><verdict>no</verdict>",
    "a refusal": "I'm sorry, I can't help with that.",
    "a yes inside a sentence": "The response says yes to the question.",
    "neither": '{"reason": "x", "met": "partially"}',
    "null": '{"met": null}',
    "half a word": '{"reason": "x", "met": tru',
    "cut off before the verdict": '{"reason": "The response ment',
    "an object without a verdict": '{"reason": "yes, it does"}',
    "maybe": "maybe",
    "an entity bomb": '<!DOCTYPE a [<!ENTITY y "yes"><!ENTITY z "&y;&y;">]><verdict>&z;</verdict>',
}


@pytest.mark.parametrize(("text", "met"), READ.values(), ids=READ)
def test_a_careful_person_reads_it_so(text, met):
    assert read_verdict(Rollout(text))[0] is met


@pytest.mark.parametrize("text", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_is_ambiguous_is_none(text):
    assert read_verdict(Rollout(text))[0] is None


def test_the_reason_comes_with_it():
    assert read_verdict(Rollout('{"reason": "names zinc", "met": true}')) == (True, "names zinc")
    assert read_verdict(Rollout("maybe")) == (None, "maybe")


def test_a_reply_cut_off_is_read_only_when_the_verdict_is_whole():
    cut = {"finish_reason": "length"}
    assert read_verdict(Rollout("Yes, but the resp", **cut))[0] is None
    assert read_verdict(Rollout('{"reason": "r", "met": true', **cut))[0] is None
    assert read_verdict(Rollout('{"reason": "r", "met": true}', **cut))[0] is True


def test_a_failed_call_is_no_verdict():
    assert read_verdict(Rollout("", finish_reason="error", error="500")) == (None, "500")


def test_verdicts_of_a_batch_go_by_number():
    reply = Rollout('{"verdicts": [{"criterion": 3, "met": false}, {"criterion": 1, "reason": "a", "met": true}]}')
    assert [met for met, _ in criterion_verdicts(reply, 3)] == [True, None, False]


def test_a_criterion_numbered_twice_has_no_verdict_and_shifts_no_other():
    reply = Rollout('[{"criterion": "1", "met": "yes"}, {"criterion": 2, "met": "no"}, {"criterion": 2, "met": "no"}]')
    assert [met for met, _ in criterion_verdicts(reply, 3)] == [True, None, None]


@pytest.mark.parametrize(
    "text",
    [
        '{"criterion": 1, "met": true}\n{"criterion": 2, "met": false}',
        "<v><criterion>1</criterion><met>yes</met></v><v><criterion>2</criterion><met>no</met></v>",
        "```json\n{'verdicts': [{'criterion': 1, 'met': True}, {'criterion': 2, 'met': False},]}\n```",
    ],
)
def test_a_batch_is_read_however_it_is_listed(text):
    assert [met for met, _ in criterion_verdicts(Rollout(text), 2)] == [True, False]
