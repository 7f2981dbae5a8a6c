"""What holds for any input: parsers neither raise nor hang, keys tell requests apart, scores stay where they belong.

Hypothesis draws the inputs, biased towards the letters that matter; a failure prints the smallest one it finds.
"""

import asyncio
import contextlib
import json
import math
import re
import time

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from catlite import Rollout, answers
from catlite.criteria import Criterion, Rubric
from catlite.errors import ModelError
from catlite.models.http import wire
from catlite.models.http.retry import retry_after
from catlite.models.http.traffic import duration
from catlite.parsing import parse_reply, parse_values
from catlite.prompts.fence import fenced
from catlite.rewards.verdicts.reading import criterion_verdicts, read_verdict
from catlite.runs.session import open_run
from catlite.runs.store import Asked

FUZZ = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
PIECES = ["{", "}", "[", "]", '"', "'", ":", ",", "\\", "\n", "<", ">", "</", "/>", "```json", "```", "<think>"]
PIECES += ["</think>", "met", "verdict", "yes", "no", "true", "false", "null", "criterion", "1", "2", " ", "&lt;"]
PIECES += ["criteria_met", "<reason>", "</reason>", "Answer: YES", r"\boxed{", "\0", "\udc80", "é", "𝟘", "\u202e"]
reply_text = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=60).map("".join)
json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
object_value = st.dictionaries(st.text(min_size=1, max_size=8), json_value, min_size=1, max_size=4)


# --- structured replies ---


@FUZZ
@given(reply_text)
def test_no_reply_breaks_a_parser(text):
    assert isinstance(parse_values(text), list)
    assert parse_reply(text) is None or isinstance(parse_reply(text), dict)
    met, reason = read_verdict(Rollout(text))
    assert met in (True, False, None)
    assert isinstance(reason, str)
    assert len(criterion_verdicts(Rollout(text), 3)) == 3


@FUZZ
@given(object_value.filter(lambda value: json.dumps(value) == json.dumps(json.loads(json.dumps(value)))))
def test_an_object_is_read_back_from_among_prose_and_in_a_fence(value):
    written = json.dumps(value, allow_nan=True)
    # NaN is not equal to itself: compared as written. Nothing that thinks out loud is a reply.
    if "think" in written or "Infinity" in written or "NaN" in written:
        return
    assert parse_reply(f"Here it is:\n```json\n{written}\n```\nDone.") == value
    assert parse_reply(f"So {written}") == value


@pytest.mark.parametrize("piece", ["{", "[", "<a>", '{"a":', "<think>", "```", "'", "<a b='", '[{"a": "'])
def test_repeating_a_piece_ten_times_as_often_takes_no_hundred_times_as_long(piece):
    def seconds(count):
        started = time.process_time()
        parse_values(piece * count)
        read_verdict(Rollout(piece * count))
        return time.process_time() - started

    seconds(100)
    assert seconds(20_000) < 100 * seconds(2_000) + 1


@FUZZ
@given(st.lists(st.sampled_from([None, True, False]), min_size=1, max_size=6), st.randoms())
def test_verdicts_find_their_criterion_in_any_order(wanted, drawn):
    entries = [{"criterion": number, "met": met} for number, met in enumerate(wanted, 1) if met is not None]
    drawn.shuffle(entries)
    found = criterion_verdicts(Rollout(json.dumps({"verdicts": entries})), len(wanted))
    assert [met for met, _ in found] == wanted


# --- what comes over HTTP ---


@FUZZ
@given(json_value | object_value)
def test_a_body_is_rollouts_or_a_bad_reply(value):
    body = json.dumps(value)
    try:
        rollouts = wire.rollouts(wire.parse(body, "server"), "server", None, 0.1)
    except ModelError:
        return
    assert rollouts


@FUZZ
@given(
    st.fixed_dictionaries(
        {
            "choices": st.lists(
                st.fixed_dictionaries({"message": st.fixed_dictionaries({"content": json_value})}) | json_value
            )
        },
        optional={"usage": json_value, "timings": json_value, "error": json_value},
    )
)
def test_choices_of_any_shape_are_rollouts_with_text_or_a_bad_reply(value):
    try:
        rollouts = wire.rollouts(wire.parse(json.dumps(value), "server"), "server", None, 0.1)
    except ModelError:
        return
    assert all(isinstance(one.text, str) for one in rollouts)
    assert len(rollouts) == len(value["choices"])


@FUZZ
@given(st.integers(400, 599), st.text(max_size=40) | json_value.map(json.dumps), st.text(max_size=20))
def test_any_status_is_an_error_of_ours(status, body, wait):
    error = wire.status_error(status, body, {"retry-after": wait}, "server")
    assert str(status) in str(error)


@FUZZ
@given(st.text(max_size=20) | st.floats().map(str) | st.integers().map(str))
def test_a_wait_is_a_number_of_seconds_or_unknown(value):
    found = retry_after({"retry-after": value, "retry-after-ms": value[::-1]})
    assert found is None or (found >= 0 and math.isfinite(found))
    with contextlib.suppress(ValueError):
        assert 0 <= duration(value) < math.inf


# --- keys of the run store ---

messages = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "system"]), "content": st.text(max_size=12)}),
    min_size=1,
    max_size=3,
)
sampling = st.dictionaries(
    st.sampled_from(["temperature", "top_p", "max_tokens", "seed", "stop"]),
    st.integers(0, 3) | st.text(max_size=3),
    max_size=3,
)
asked = st.builds(Asked, st.text(min_size=1, max_size=6), st.text(min_size=1, max_size=6), messages, sampling)


@FUZZ
@given(asked, asked)
def test_two_requests_have_one_key_exactly_when_they_are_the_same(one, other):
    same = (one.model, one.address, list(one.messages), dict(one.sampling)) == (
        other.model,
        other.address,
        list(other.messages),
        dict(other.sampling),
    )
    assert (one.key == other.key) == same


@FUZZ
@given(asked, st.randoms())
def test_a_key_depends_on_no_order_and_on_no_header(one, drawn):
    items = list(one.sampling.items())
    drawn.shuffle(items)
    shuffled = [dict(reversed(message.items())) for message in one.messages]
    again = Asked(one.model, one.address, shuffled, {**dict(items), "extra_headers": {"x": "secret"}})
    assert again.key == one.key
    assert re.fullmatch("[0-9a-f]{64}", one.key)
    assert "secret" not in again.json


def test_a_whole_number_has_one_key_however_it_is_written():
    def key(temperature):
        return Asked("m", "a", [{"role": "user", "content": "q"}], {"temperature": temperature}).key

    assert key(1) == key(1.0)
    assert len({key(0.5), key(1), key(True), key("1")}) == 4


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.integers(0, 5), st.text(), min_size=1, max_size=4), asked)
def test_what_a_store_keeps_it_gives_back(tmp_path_factory, texts, one):
    kept = {sample: Rollout(text, logprobs=(-0.5,)) for sample, text in texts.items()}
    folder = tmp_path_factory.mktemp("run")
    for _ in range(2):  # the second time from the file
        with open_run(folder) as store:
            asyncio.run(store.keep(one, kept))
            assert store.find(one, 6) == kept


# --- answers and scores ---


@FUZZ
@given(st.text(max_size=30), st.text(max_size=30))
def test_an_answer_in_a_box_is_found_whatever_stands_before(before, answer):
    # "\\boxed{answer}" and "\\boxed{…}" are what a prompt shows in the place of an answer.
    if re.search(r"[\\{}]|think", before + answer) or re.search(r"answer|\A[\s.…?_]*\Z", answer, re.IGNORECASE):
        return
    assert answers.extract(f"{before} so \\boxed{{{answer}}}.") == re.sub("\r\n?", "\n", answer).strip()


points = st.integers(-10, 10).map(float)
criteria = st.lists(points, min_size=1, max_size=8).map(
    lambda found: tuple(Criterion(f"c{i}", p) for i, p in enumerate(found))
)


@FUZZ
@given(criteria, st.data())
def test_a_rubrics_score_is_at_most_one_and_rises_with_what_is_met(found, data):
    rubric = Rubric(found)
    verdicts = data.draw(st.lists(st.sampled_from([True, False, None]), min_size=len(found), max_size=len(found)))
    score = rubric.score(verdicts)
    judged = [one for one, met in zip(found, verdicts, strict=True) if met is not None]
    assert (score is None) == (not any(one.points > 0 for one in judged))
    if score is None:
        return
    assert score <= 1 + 1e-9
    for i, (one, met) in enumerate(zip(found, verdicts, strict=True)):
        if met is False:
            better = rubric.score([*verdicts[:i], True, *verdicts[i + 1 :]])
            assert (better >= score - 1e-9) if one.points >= 0 else (better <= score + 1e-9)


@FUZZ
@given(
    st.lists(
        st.text(max_size=30) | st.sampled_from(["</attempt>", "<attempt-1>", "\n<attempt"]), min_size=1, max_size=4
    )
)
def test_a_fence_closes_as_often_as_it_opens_whatever_it_holds(texts):
    tag, shown = fenced(texts, "attempt")
    assert shown.count(f"<{tag} ") == len(texts)
    assert shown.count(f"</{tag}") == len(texts)
