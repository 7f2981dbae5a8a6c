"""HealthBench Professional, on invented rows of its shape: how they are read, graded and corrected for length."""

import hashlib
import json

import pytest

import catlite
from catlite import Verdict, cache
from catlite.analysis.official import official
from catlite.errors import DataError
from catlite.tasks import fetch
from catlite.tasks.healthbench import aggregate, length_adjusted


def row(name="p-1", **changes):
    return {
        "id": name,
        "conversation": {"messages": [{"role": "user", "content": "Draft a note on zinc."}]},
        "rubric_items": [
            {"criterion_text": "Names the dose.", "points": 5},
            {"criterion_text": "Tells the user to stop iron.", "points": -4},
        ],
        "use_case": "writing",
        "type": "good_faith",
        "difficulty": "typical",
        "specialty": "Nutrition",
        "physician_response": "SECRET",
        "canary_string": "SECRET",
        **changes,
    }


def load(tmp_path, *rows, **settings):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return catlite.healthbench_professional(path, **settings)


def test_a_row_becomes_a_conversation_with_a_rubric_and_its_slices(tmp_path):
    task = load(tmp_path, row(), row("p-2", conversation=[{"role": "user", "content": "And copper?"}]))
    first, second = task
    assert (task.name, task.verifiable) == ("healthbench_professional", False)
    assert first.messages == [{"role": "user", "content": "Draft a note on zinc."}]
    assert second.messages == [{"role": "user", "content": "And copper?"}]
    assert [(criterion.text, criterion.points) for criterion in first.rubric.criteria] == [
        ("Names the dose.", 5),
        ("Tells the user to stop iron.", -4),
    ]
    slices = ["use_case:writing", "type:good_faith", "difficulty:typical", "specialty:Nutrition"]
    assert first.metadata["example_tags"] == slices
    assert "SECRET" not in repr(first.metadata)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"rubric_items": []}, "row 1|line 1.*the rubric in 'rubric_items' is an empty list"),
        ({"rubric_items": [{"text": "x"}]}, "criterion 1 is an object with keys"),
        ({"rubric_items": None}, "'rubric_items' is empty"),
        ({"conversation": {"turns": []}}, "the prompt in 'conversation' is an object"),
        ({"conversation": {"messages": "hello"}}, None),
        ({"conversation": {"messages": []}}, "."),
    ],
)
def test_a_row_that_cannot_be_read_is_an_error_that_quotes_nothing(tmp_path, changes, why):
    if why is None:  # a text alone is a prompt as well
        assert load(tmp_path, row(**changes)).examples[0].prompt == "hello"
        return
    with pytest.raises(DataError, match=why) as caught:
        load(tmp_path, row(**changes))
    assert "zinc" not in str(caught.value)
    assert "dose" not in str(caught.value)


def test_the_official_file_is_fetched_from_one_commit_and_checked(tmp_path, monkeypatch):
    monkeypatch.setattr(cache, "folder", lambda: tmp_path)
    content = json.dumps(row()).encode()
    asked = []

    def download(url, target):
        asked.append(url)
        target.write_bytes(content)
        return target

    monkeypatch.setattr(fetch, "_download", download)
    with pytest.raises(DataError, match=r"give the file: healthbench_professional\(path="):
        catlite.healthbench_professional()
    monkeypatch.setattr("catlite.tasks.healthbench._PROFESSIONAL_SHA256", hashlib.sha256(content).hexdigest())
    assert len(catlite.healthbench_professional(limit=1)) == 1
    assert all(
        "openai/healthbench-professional/resolve/349962fd46dd02343a0d8a606491baf59154ea1a/" in url for url in asked
    )


@pytest.mark.parametrize(
    ("score", "characters", "adjusted"),
    [(0.6, 2_000, 0.6), (0.6, 2_500, 0.5853), (0.6, 3_000, 0.5706), (0.6, 0, 0.6588), (0.01, 2_500, -0.0047)],
)
def test_500_characters_more_cost_0_0147_and_500_fewer_add_as_much(score, characters, adjusted):
    assert length_adjusted(score, characters) == pytest.approx(adjusted)


def test_both_metrics_are_means_that_are_clipped_after_the_correction():
    rows = [
        {"rubrics": [{"criterion": "c", "points": 1, "tags": []}], "example_tags": ["type:x"], "verdicts": [met]}
        | {"characters": characters}
        for met, characters in ((True, 0), (True, 4_000), (False, 3_000))
    ]
    metrics = aggregate(rows)
    assert list(metrics) == ["overall_score", "overall_score_length_adjusted", "type:x"]
    assert metrics["overall_score"] == metrics["type:x"] == pytest.approx(2 / 3)
    by_hand = ((1 + 0.0147 * 4) + (1 - 0.0147 * 4) + (0 - 0.0147 * 2)) / 3
    assert metrics["overall_score_length_adjusted"] == pytest.approx(by_hand)
    assert aggregate(rows[:1])["overall_score_length_adjusted"] == 1.0
    assert aggregate(rows[2:])["overall_score_length_adjusted"] == 0.0


def test_an_evaluation_has_the_corrected_metric_without_the_thinking(tmp_path):
    reply = "<think>" + "x" * 900 + "</think>" + "y" * 3_000
    policy = catlite.ScriptedModel(lambda *_: reply)
    judge = catlite.ScriptedModel(lambda prompt, _: json.dumps({"met": "dose" in prompt[0]["content"]}), "judge")
    graded = catlite.evaluate(load(tmp_path, row()), policy, grader=catlite.ExpertRubric(judge), n=1)
    assert isinstance(graded.rows[0].judgement.verdicts_GC[0][0], Verdict)
    metrics = official(graded).set_index("metric").value
    assert metrics["overall_score"] == 1.0
    assert metrics["overall_score_length_adjusted"] == pytest.approx(1 - 0.0147 * 2)
    assert "specialty:Nutrition" in metrics.index


def test_other_tasks_are_not_corrected(tmp_path):
    plain = [{"rubrics": [{"criterion": "c", "points": 1, "tags": []}], "example_tags": [], "verdicts": [True]}]
    assert list(aggregate(plain)) == ["overall_score"]
