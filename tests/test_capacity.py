"""benchmarks/capacity.py: its hours and dollars, against what is worked out by hand."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def capacity():
    sys.path.insert(0, str(FOLDER))
    try:
        import capacity as module

        yield module
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture
def work(capacity):
    """A hundred questions; each is 8 × (200 + 400) tokens, then 3,500 + 400."""
    return capacity.Work(100, n=8, prompt_tokens=200, reply_tokens=400, spread=0.0)


@pytest.fixture
def way(capacity):
    """A reply takes 0.5 + 400 / 100 = 4.5 s, a question nine requests, and catlite itself no time."""
    return capacity.Way("a way", 1, cpu_ms=0.0, first_token_s=0.5, tokens_per_s=100.0, takes_n=False, pacing=1.0)


def test_one_question_takes_its_rollouts_and_then_its_synthesis(capacity, work, way):
    alone = replace(work, prompts=1)
    assert capacity.simulate(alone, replace(way, connections=8))[0] == pytest.approx(2 * 4.5)
    assert capacity.simulate(alone, replace(way, takes_n=True))[0] == pytest.approx(2 * 4.5)
    assert capacity.simulate(alone, way)[0] == pytest.approx(9 * 4.5)


@pytest.mark.parametrize(
    ("limits", "seconds", "bound_by"),
    [
        ({"connections": 10}, 100 * 9 * 4.5 / 10, "connections"),
        ({"connections": 64, "slots": 10}, 100 * 9 * 4.5 / 10, "slots"),
        ({"connections": 64, "slots": 5, "replicas": 2}, 100 * 9 * 4.5 / 10, "slots"),
        ({"connections": 5, "processes": 2, "slots": 64}, 100 * 9 * 4.5 / 10, "connections"),
        ({"connections": 900, "requests_per_min": 60}, 100 * 9, "requests/min"),
        ({"connections": 900, "requests_per_min": 60, "pacing": 0.9}, 100 * 9 / 0.9, "requests/min"),
        ({"connections": 900, "tokens_per_min": 60_000}, 100 * (8 * 600 + 3900) / 1000, "tokens/min"),
        ({"connections": 900, "cpu_ms": 1000}, 100 * 9, "processor"),
        ({"connections": 450, "cpu_ms": 1000, "processes": 2}, 100 * 9 / 2, "processor"),
        ({"connections": 64, "takes_n": True, "slots": 10}, 100 * 9 * 4.5 / 10, "slots"),
    ],
)
def test_the_scarcest_limit_decides(capacity, work, way, limits, seconds, bound_by):
    simulated, limit = capacity.simulate(work, replace(way, **limits))
    assert limit == bound_by
    assert seconds <= simulated <= seconds + 3 * 4.5  # what the first and the last replies wait for nothing


def test_replies_of_many_lengths_have_the_mean_that_is_given(capacity, work, way):
    simulated, _ = capacity.simulate(replace(work, spread=0.6), replace(way, connections=10))
    assert simulated == pytest.approx(100 * 9 * 4.5 / 10, rel=0.06)


def test_a_large_run_is_continued_at_its_pace(capacity, work, way, monkeypatch):
    monkeypatch.setattr(capacity, "SIMULATED", 250)
    work, way = replace(work, prompts=1500, spread=0.6), replace(way, connections=32, takes_n=True, slots=50)
    whole, _ = capacity.simulate(work, way)
    assert capacity.outcome(work, way).hours * 3600 == pytest.approx(whole, rel=0.02)


def test_a_batch_is_two_waits_and_more_where_the_queue_is_short(capacity, work, way):
    batch = replace(way, queue_tokens=1e6, turnaround_h=10.0, prompt_usd=0.5, reply_usd=2.0)
    # Prompts of the rollouts: 100 × 8 × 200; of the syntheses: 100 × 3,500. Replies: 100 × 9 × 400.
    tokens = (160_000 + 350_000) * 0.5 + 360_000 * 2.0
    assert capacity.outcome(work, batch) == (20.0, pytest.approx(tokens / 1e6), "batches")
    assert capacity.outcome(work, replace(batch, queue_tokens=100_000)).hours == (2 + 4) * 10.0


def test_a_prompt_is_paid_once_for_all_rollouts_of_a_request(capacity, work, way):
    way = replace(way, takes_n=True, prompt_usd=1.0, reply_usd=10.0)
    assert capacity.dollars(work, way, hours=5.0) == pytest.approx(100 * (200 + 3500 + 10 * 9 * 400) / 1e6)


def test_rented_replicas_are_paid_by_the_hour(capacity, work, way):
    rented = replace(way, connections=64, slots=5, replicas=2, replica_usd_hour=3.0)
    hours, dollars, _ = capacity.outcome(work, rented)
    assert dollars == pytest.approx(hours * 2 * 3.0)


def test_the_table_has_a_row_for_each_way(capacity, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["capacity.py", "--only", "table", "--prompts", "10", "100", "--replicas", "2"])
    capacity.main()
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head == "| way | 10 prompts | 100 prompts | what limits it |"
    assert [row.split(" | ")[0] for row in rows] == [
        "| notebook",
        "| overnight run",
        "| batch API",
        "| one vLLM server",
        "| fleet of 2",
        "| Ray, 2 nodes",
    ]


def test_the_check_compares_with_what_was_measured(capacity, monkeypatch, capsys):
    measured = {"seconds": 20.0, "cpu_ms": 1.0, "requests": 2700}
    monkeypatch.setattr(capacity, "measure", lambda number, slow: measured)
    monkeypatch.setattr(capacity, "CHECKED", [replace(capacity.QUICK, requests_per_min=6000.0)])
    monkeypatch.setattr(sys, "argv", ["capacity.py", "--only", "check", "--slow", "2"])
    capacity.main()
    *_, row = capsys.readouterr().out.splitlines()
    simulated, ratio = float(row.split(" | ")[2]), float(row.split(" | ")[4])
    assert 2700 / 50 / 0.93 <= simulated <= 2700 / 50 / 0.93 + 3  # half as many requests a minute, and a last reply
    assert ratio == pytest.approx(simulated / 20.0, abs=0.001)


@pytest.mark.parametrize("value", ["0", "-5", "many"])
def test_prompts_that_are_no_number_above_zero_are_refused(capacity, monkeypatch, capsys, value):
    monkeypatch.setattr(sys, "argv", ["capacity.py", "--prompts", value])
    with pytest.raises(SystemExit):
        capacity.main()
    assert "--prompts" in capsys.readouterr().err
