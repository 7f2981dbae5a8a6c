"""HealthBench's metrics, against the official computation written out once more from its description."""

import math
import random
from collections import defaultdict

import numpy as np
import pytest

from catlite import Rubric, tasks
from catlite.criteria import Criterion, Verdict
from catlite.errors import DataError
from catlite.tasks.healthbench import aggregate, deviations


def row(*criteria, tags=(), verdicts):
    rubrics = [
        {"criterion": f"c{n}", "points": points, "tags": list(mine)} for n, (points, mine) in enumerate(criteria)
    ]
    return {"rubrics": rubrics, "example_tags": list(tags), "verdicts": list(verdicts)}


def official(rows):
    """simple-evals' rule: per row achieved / possible, by tag over its criteria, means over rows clipped to [0, 1]."""

    def score(pairs):
        possible = sum(item["points"] for item, _ in pairs if item["points"] > 0)
        return None if possible == 0 else sum(item["points"] for item, met in pairs if met) / possible

    values = defaultdict(list)
    for each in rows:
        pairs = list(zip(each["rubrics"], each["verdicts"], strict=True))
        mine = {"overall_score": score(pairs)} | {tag: score(pairs) for tag in each["example_tags"]}
        by_tag = defaultdict(list)
        for item, met in pairs:
            for tag in item["tags"]:
                by_tag[tag].append((item, met))
        mine |= {tag: score(these) for tag, these in by_tag.items() if score(these) is not None}
        for name, value in mine.items():
            values[name].append(value)
    return {name: float(np.clip(np.mean(found), 0, 1)) for name, found in values.items()}


def test_metrics_are_those_of_the_official_computation():
    draw = random.Random(0)
    rows = []
    for _ in range(60):
        criteria = [(10, ())]  # the official code wants some positive points in every row
        for _ in range(draw.randint(1, 12)):
            tags = draw.sample(["axis:accuracy", "axis:completeness", "level:example", "cluster:x"], draw.randint(0, 2))
            criteria.append((draw.choice([-10, -8, -3, -1, 1, 2, 5, 10]), tags))
        verdicts = [draw.random() < 0.5 for _ in criteria]
        rows.append(row(*criteria, tags=draw.sample(["theme:a", "theme:b"], draw.randint(0, 2)), verdicts=verdicts))
    assert aggregate(rows) == pytest.approx(official(rows), rel=1e-12, abs=1e-12)
    assert set(aggregate(rows)) == set(official(rows))


def test_only_the_mean_is_clipped():
    rows = [row((1, ()), (-4, ()), verdicts=[False, True]), row((1, ()), verdicts=[True])]
    assert aggregate(rows) == {"overall_score": 0.0}  # (-4 + 1) / 2, and not (0 + 1) / 2
    rows += [row((1, ()), verdicts=[True])] * 5
    assert aggregate(rows)["overall_score"] == pytest.approx((-4 + 6) / 7)


def test_a_tag_without_positive_points_is_dropped():
    only = row((5, ["axis:a"]), (-3, ["axis:b"]), tags=["theme:t"], verdicts=[True, True])
    assert aggregate([only]) == {"overall_score": 0.4, "theme:t": 0.4, "axis:a": 1.0}


def test_a_row_without_positive_points_has_no_score():
    rows = [row((-3, ()), tags=["theme:t"], verdicts=[True]), row((1, ()), verdicts=[True])]
    assert aggregate(rows) == {"overall_score": 1.0}
    with pytest.raises(DataError, match="nothing to score"):
        aggregate(rows[:1])


def test_an_unjudged_criterion_is_left_out_and_not_unmet():
    assert aggregate([row((1, ()), (1, ()), verdicts=[True, None])]) == {"overall_score": 1.0}


def test_verdicts_and_rubrics_of_ours_are_taken_too():
    criterion = Criterion("c", 2, ("axis:a",))
    given = {"rubrics": Rubric((criterion,)), "example_tags": (), "verdicts": [Verdict(criterion, True)]}
    assert aggregate([given]) == {"overall_score": 1.0, "axis:a": 1.0}


def test_responses_to_one_question_are_drawn_together():
    rows = [
        {"rubrics": [{"criterion": "c", "points": 1, "tags": []}], "example_tags": [], "verdicts": [n % 2 == 0]}
        for n in range(20)
        for _ in range(8)
    ]
    alone = deviations(rows)["overall_score"]
    clustered = deviations([row | {"question": place // 8} for place, row in enumerate(rows)])["overall_score"]
    assert clustered == pytest.approx(math.sqrt(0.25 / 20), rel=0.1)
    assert clustered == pytest.approx(alone * math.sqrt(8), rel=0.15)
    assert math.isnan(deviations([row | {"question": "one"} for row in rows])["overall_score"])


def test_deviations_are_those_of_resampled_rows():
    rows = [row((1, ()), verdicts=[number % 2 == 0]) for number in range(100)]
    assert deviations(rows)["overall_score"] == pytest.approx(0.05, rel=0.1)
    assert deviations(rows) == deviations(rows)
    assert deviations(rows[::2]) == {"overall_score": 0.0}


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ({"rubrics": [], "verdicts": []}, "no 'example_tags'"),
        ({"rubrics": [{"criterion": "c"}], "example_tags": [], "verdicts": []}, "1 criteria: want a list"),
        ({"rubrics": [{"criterion": "c"}], "example_tags": [], "verdicts": ["yes"]}, "a verdict is True, False"),
        ({"rubrics": [{"criterion": "c"}], "example_tags": "theme:x", "verdicts": [True]}, "'example_tags' is not"),
        ({"rubrics": [{"criterion": "c"}], "example_tags": [], "verdicts": None}, "one verdict for each"),
        (5, "row 1 is int"),
        *(
            (row((1, ()), verdicts=[True]) | {"characters": wrong}, "'characters' is .*: want a number")
            for wrong in (math.nan, -5, "1000")
        ),
        ({"rubrics": [{"points": 1}], "example_tags": [], "verdicts": [True]}, "row 1: criterion 1"),
    ],
)
def test_a_row_that_cannot_be_scored_is_named(bad, why):
    with pytest.raises(DataError, match=why):
        aggregate([bad])


def test_verdicts_can_be_any_iterable():
    assert aggregate([row((1, ()), verdicts=()) | {"verdicts": iter([True])}]) == {"overall_score": 1.0}


def test_the_module_is_reached_through_its_room():
    assert tasks.healthbench.aggregate is aggregate
