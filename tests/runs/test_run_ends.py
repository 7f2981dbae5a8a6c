"""No credit, a revoked key, a model that is gone: a run that has begun ends with what it has, as with a budget."""

from collections import Counter
from contextlib import contextmanager

import faults
import pytest
from server import Server

from catlite import (
    AnchoredVote,
    Endpoint,
    Example,
    MajorityVote,
    ModelAsJudge,
    RecursiveSynthesis,
    Synthesis,
    Task,
    compare,
    concurrency,
    estimate,
    evaluate,
    reestimate,
)
from catlite.errors import AuthenticationFailed, QuotaExhausted, RequestRejected
from catlite.rollouts import sample_group

TASK = Task("sums", tuple(Example(f"{a}+1?", r"2", answer_format="boxed", id=str(a)) for a in range(12)))
ENDS = [
    (faults.status(402, "Insufficient Balance"), QuotaExhausted, "add credit"),
    (faults.quota_exhausted(), QuotaExhausted, "add credit"),
    (faults.status(401, "Incorrect API key provided"), AuthenticationFailed, "check the API key"),
    (faults.status(403, "This key was revoked"), AuthenticationFailed, "check the API key"),
    (faults.status(404, "The model is gone"), RequestRejected, "check the model's name"),
    (faults.status(405, "Method Not Allowed"), RequestRejected, "check the model's name"),
]
ends = pytest.mark.parametrize(("fault", "kind", "why"), ENDS, ids=lambda value: getattr(value, "status", ""))


@contextmanager
def on(server, name="test-model", **settings):
    with Endpoint(
        name,
        base_url=server.url,
        api_key=server.key,
        retry_seconds=2,
        max_connections=4,
        max_tokens=50,
        **settings,
    ) as model:
        yield model


@contextmanager
def serving(fault, after):
    """A server that answers so many requests, then all others with `fault`."""
    with Server(r"So \boxed{2}", faults=lambda number, _: fault if number >= after else None) as server:
        yield server


@ends
def test_at_the_very_first_call_it_raises(fault, kind, why):
    with serving(fault, 0) as server, on(server) as model:
        with pytest.raises(kind, match=why):
            evaluate(TASK, model, estimators=[MajorityVote()], n=2)
        with pytest.raises(kind, match=why):
            estimate(TASK, model, n=2)


@ends
def test_an_evaluation_that_has_begun_ends_with_what_it_has(fault, kind, why, tmp_path):
    with serving(fault, 8) as server, on(server) as model:
        short = evaluate(TASK, model, estimators=[MajorityVote(), Synthesis(model)], n=2, run=tmp_path)
        assert why in short.stopped
        assert "Stopped early" in str(short)
        scored = {row.id for row in short.rows if row.system == "MajorityVote" and row.score == 1}
        assert scored
        assert all(row.score == 1 or why in row.error for row in short.rows)
        server.script([])
        whole = evaluate(TASK, model, estimators=[MajorityVote(), Synthesis(model)], n=2, run=tmp_path)
        assert whole.stopped is None
        assert all(row.score == 1 for row in whole.rows)


@ends
def test_no_reply_that_was_paid_for_is_lost(fault, kind, why):
    with serving(fault, 11) as server, on(server) as model:
        result = evaluate(TASK, model, estimators=[Synthesis(model)], n=2)
        references = [row.reference for row in result.rows if row.reference is not None]
        kept = sum(group.usage.requests for group in result.groups) + sum(one.usage.requests for one in references)
        assert kept == server.statuses[200] == 11
        assert why in result.stopped
    with serving(fault, 11) as server, on(server) as model:
        references = estimate(TASK, model, n=2)
        assert sum(one.total_usage.requests for one in references) == server.statuses[200] == 11
        assert any(one.error is not None and why in one.error for one in references)
        assert any(len(one.rollouts) == 2 and one.error is not None for one in references)


@ends
def test_the_replies_of_a_group_that_was_cut_off_half_way_are_kept(fault, kind, why):
    faults_of_group = [None, None, None, fault, fault, fault, fault]
    with Server(r"So \boxed{2}", faults=faults_of_group, takes_n=False) as server, on(server) as model:
        with pytest.raises(kind) as caught:
            concurrency.run(sample_group(model, TASK.examples[0], 6))
        assert caught.value.group.usage.requests == server.statuses[200] == 3
        assert [one.answer for one in caught.value.group.usable] == ["2"] * 3
        server.script(faults_of_group)
        short = evaluate(Task("one", TASK.examples[:2]), model, estimators=[MajorityVote()], n=6)
        assert short.stopped is not None
        assert all(row.score is None for row in short.rows)  # what would be said of half a group is not said
        assert short.rows[0].usage.requests + short.rows[2].usage.requests >= 3


def test_replies_that_were_cut_off_came_and_are_scored_when_the_credit_ends():
    def answer(number, _):
        return faults.status(402, "Insufficient Balance") if number >= 8 else faults.finish("length")

    with Server("So it is", faults=answer) as server, on(server) as model:
        short = evaluate(TASK, model, estimators=[MajorityVote()], n=2)
    assert "add credit" in short.stopped
    scores = Counter(row.score for row in short.rows if row.system == "single sample")
    assert scores[0.0] >= 1
    assert set(scores) == {0.0, None}
    with Server("So it is", faults=answer) as server, on(server) as model:
        references = estimate(TASK, model, n=2)
    assert sum(one.total_usage.requests for one in references) == 8


def test_nothing_is_cancelled_that_is_being_paid_for():
    """One of several single requests is refused while the others are being answered."""
    drawn = iter([0.0, 0.0, 0.3, 0.3, 0.3])
    with Server(r"\boxed{2}", faults=[None, faults.status(402)], takes_n=False) as server, on(server) as model:
        server.latency = lambda *_: next(drawn, 0.0)
        with pytest.raises(QuotaExhausted) as caught:
            concurrency.run(model.sample("q", 4))
        server.wait(lambda s: s.in_flight == 0)
        assert server.aborted == 0
        assert len([one for one in caught.value.rollouts if one.usable]) == server.statuses[200]


def test_a_judge_without_credit_leaves_what_was_sampled():
    broke = Server("yes", faults=lambda *_: faults.status(402), models=None)
    with Server("yes") as server, broke, on(server) as model, on(broke, name="judge") as judge:
        result = evaluate(TASK, model, grader=ModelAsJudge(judge), n=2)
    assert "add credit" in result.stopped
    assert len([group for group in result.groups if len(group.usable) == 2]) >= 8
    assert all(row.score is None for row in result.rows)
    assert "not graded" in result.rows[0].error


def test_estimating_anew_raises_when_nothing_comes_and_ends_when_something_did():
    with Server(r"\boxed{2}") as server, on(server) as model:
        done = evaluate(TASK, model, n=2)
        server.script(lambda *_: faults.status(402))
        with pytest.raises(QuotaExhausted):
            reestimate(done, [Synthesis(model)])
        both = reestimate(done, [Synthesis(model), MajorityVote()])
    assert "add credit" in both.stopped
    assert sum(row.score == 1 for row in both.rows if row.system == "MajorityVote") == 12


def test_one_question_that_is_refused_ends_nothing():
    with Server(r"\boxed{2}", faults=[None, faults.status(400, "bad thing")]) as server, on(server) as model:
        result = evaluate(TASK, model, n=1)
    assert result.stopped is None
    assert Counter(row.score for row in result.rows) == {1.0: 11, None: 1}


def test_a_run_that_ended_early_sends_nothing_further():
    with serving(faults.status(402), 4) as server, on(server) as model:
        evaluate(Task("many", tuple(Example(f"{a}?", "2", answer_format="boxed") for a in range(200))), model, n=1)
        # The eight questions that were under way, and none of the others.
        assert len(server.requests) <= 4 + 8 + 4


@ends
@pytest.mark.parametrize("after", [3, 40])
def test_a_comparison_keeps_the_model_before_when_the_other_has_nothing(fault, kind, why, after):
    with serving(fault, after) as server, on(server) as model:
        found = compare(model, model, TASK, n=2)
        assert why in found.after.stopped
        assert (found.before.stopped is None) == (after == 40)  # it takes 36
        assert any(row.score == 1 for row in found.before.rows)
        assert "single sample" in str(found)
    with serving(fault, 0) as server, on(server) as model, pytest.raises(kind, match=why):
        compare(model, model, TASK, n=2)


@ends
@pytest.mark.parametrize(
    ("estimator", "spent"),
    [(lambda anchor: AnchoredVote(anchor, n=4), 2), (lambda anchor: RecursiveSynthesis(anchor, width=2), 2)],
    ids=["anchored vote", "recursive synthesis"],
)
def test_what_an_estimator_had_spent_when_the_credit_ended_is_in_its_row(fault, kind, why, estimator, spent):
    answers = [None] * spent + [fault] * 20
    broke = Server(r"\boxed{2}", faults=answers, takes_n=False)
    with Server(r"\boxed{2}") as server, broke, on(server) as model, on(broke) as anchor:
        result = evaluate(Task("one", TASK.examples[:1]), model, estimators=[estimator(anchor)], n=4)
    _, row = result.rows
    assert why in row.error
    assert row.score is None
    assert row.usage.requests == 1 + spent
