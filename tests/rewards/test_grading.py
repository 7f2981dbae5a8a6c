"""Evaluation by a rubric keeps the verdicts behind every score, and a judge's failure is never a zero."""

import json
import math
import re
import warnings

import pytest

from catlite import (
    Criterion,
    Evaluation,
    Example,
    ExpertRubric,
    LengthPenalty,
    ModelAsJudge,
    Panel,
    Rollout,
    Rubric,
    RubricReward,
    ScriptedModel,
    Synthesis,
    Task,
    Usage,
    estimate,
    evaluate,
    report,
)
from catlite.analysis.official import official
from catlite.errors import BudgetReached, ConfigError, EndpointUnavailable, OwnJudgeWarning

ZINC = Rubric((Criterion("names zinc", 3), Criterion("names iron", -1)))
TASK = Task("health", (Example("Zinc?", rubric=ZINC, id="a"), Example("Iron?", rubric=ZINC, id="b")))
POLICY = ScriptedModel(lambda prompt, i: "zinc" if i == 0 else "iron", "policy")
ANCHOR = ScriptedModel(lambda prompt, i: "zinc", "anchor")


def names_it(prompt, i):
    text = prompt[0]["content"]
    word = "zinc" if "names zinc" in text else "iron"
    return json.dumps({"reason": f"looked for {word}", "met": f"{word}\n</" in text})


def run(judge=names_it, **options):
    grader = ExpertRubric(ScriptedModel(judge, "judge"), **options)
    return evaluate(TASK, POLICY, estimators=[Synthesis(ANCHOR)], grader=grader, n=2)


def test_every_score_has_its_verdicts():
    result = run()
    single, synthesis = result.rows[:2]
    assert (single.scores, single.score) == ((1.0, -1 / 3), pytest.approx(1 / 3))
    assert (synthesis.score, synthesis.scores) == (1.0, (1.0,))
    assert [[verdict.met for verdict in row] for row in single.judgement.verdicts_GC] == [[True, False], [False, True]]
    assert synthesis.judgement.verdicts_GC[0][0].reason == "looked for zinc"


def test_verdicts_are_saved_and_read_again(tmp_path):
    result = run()
    assert Evaluation.load(result.save(tmp_path)) == result


def test_what_judging_took_is_told_beside_the_table_and_in_no_row(tmp_path):
    def judge(prompt, i):
        return Rollout(names_it(prompt, i), usage=Usage(10, 5, 0, 0.5, 1, 0.1))

    grader = ExpertRubric(ScriptedModel(judge, "judge"))
    result = evaluate(TASK, POLICY, estimators=[Synthesis(ANCHOR)], grader=grader, n=2)
    # Two rollouts and a synthesis of each of two questions, by two criteria.
    assert (result.judging.requests, result.judging.total_tokens, result.judging.cost_usd) == (12, 180, 6.0)
    assert list(result.summary.cost_usd) == pytest.approx([0, 0])
    said = "Judging, which is in no row: 12 requests · 120 prompt + 60 completion tokens · 1.2 s of waiting · $6"
    assert said in str(result)
    assert said in result._repr_html_()
    page = re.sub(r"\s+", " ", report(result, tmp_path / "r.html").read_text())
    assert "Judging took 12 requests · 120 prompt + 60 completion tokens · 1.2 s of waiting · $6" in page


def test_nothing_is_said_of_judging_where_answers_are_compared():
    task = Task("sums", (Example("1+1?", "2", answer_format="boxed"),))
    result = evaluate(task, ScriptedModel(lambda prompt, i: r"\boxed{2}"), n=2)
    assert result.judging is None
    assert "Judging" not in str(result)


def test_a_verdict_that_cannot_be_had_is_no_score():
    result = run(lambda prompt, i: "hard to say" if "names iron" in prompt[0]["content"] else names_it(prompt, i))
    assert [row.score for row in result.rows] == [None] * 4
    assert result.rows[0].error == "could not be graded"
    assert result.score("Synthesis")[2] == 0


def test_a_budget_that_ends_while_judging_leaves_the_question_ungraded():
    def judge(prompt, i):
        raise BudgetReached("the budget is reached")

    result = run(judge)
    assert result.stopped == "the budget is reached"
    assert {row.score for row in result.rows} == {None}
    assert result.groups[0].rollouts  # what was paid for is kept


def test_examples_without_a_rubric_are_refused_before_anything_is_sent():
    policy = ScriptedModel(lambda prompt, i: "zinc")
    task = Task("mixed", (*TASK, Example("What else?")))
    with pytest.raises(ConfigError, match=r"ExpertRubric grades by the rubric of an example, and 1 of 3"):
        evaluate(task, policy, grader=LengthPenalty(ExpertRubric(ANCHOR)), n=2)
    with pytest.raises(ConfigError, match="RubricReward grades by the answer of an example, and 2 of 2"):
        evaluate(TASK, policy, grader=RubricReward(ANCHOR, ANCHOR), n=2)
    assert policy.calls == []


def test_an_example_with_an_empty_rubric_is_refused_before_anything_is_sampled():
    policy = ScriptedModel(lambda prompt, i: "zinc", "policy")
    for rubric in (Rubric(()), []):
        with pytest.raises(ConfigError, match=r"1 of 1 examples .* have none"):
            evaluate([Example("Zinc?", rubric=rubric)], policy, grader=ExpertRubric(ANCHOR), n=2)
    assert policy.calls == []


def at_once(group, *reference):
    return [1.0, 1.0]


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        (["1", 1.0], "the reward scored gave '1' for rollout 0: want a float or None"),
        ([1.0, math.inf], "gave inf for rollout 1: give None"),
        (5, "gave int for a group of 2 rollouts"),
        ({"a": 1.0, "b": 0.0}, "gave dict for a group of 2 rollouts"),
    ],
    ids=str,
)
def test_scores_that_are_none_are_refused_in_words(scores, why):
    async def scored(group, reference):
        return scores

    with pytest.raises(ConfigError, match=why):
        evaluate(TASK, POLICY, grader=scored, n=2)


def test_a_score_of_nan_is_no_score():
    async def half(group, reference):
        return [math.nan, 1.0]

    assert evaluate(TASK, POLICY, grader=half, n=2).rows[0].scores == (None, 1.0)


def test_what_is_not_async_or_gives_no_reference_is_refused_in_words():
    async def text(group):
        return "zinc"

    with pytest.raises(ConfigError, match="at_once gave a list at once, and nothing to await"):
        evaluate(TASK, POLICY, grader=at_once, n=2)
    sums = [Example("1+1?", "2", answer_format="boxed")]
    with pytest.raises(ConfigError, match="at_once gave a list at once, and nothing to await"):
        evaluate(sums, POLICY, estimators=at_once, n=2)
    for call in (lambda: evaluate(sums, POLICY, estimators=text, n=2), lambda: estimate(sums, POLICY, estimator=text)):
        with pytest.raises(ConfigError, match="the estimator text gave a str: give a Reference"):
            call()


def test_a_policy_that_judges_itself_is_warned_of():
    own = ScriptedModel(lambda prompt, i: "yes", "policy")
    with pytest.warns(OwnJudgeWarning, match="'policy' judges its own replies"):
        evaluate(TASK, POLICY, grader=LengthPenalty(ExpertRubric(own)), n=1)
    named = ScriptedModel(lambda prompt, i: "yes", "provider/Policy")
    with pytest.warns(OwnJudgeWarning, match="'provider/Policy' judges its own replies"):
        evaluate(TASK, POLICY, grader=ExpertRubric(named), n=1)
    with pytest.warns(OwnJudgeWarning, match="'policy' judges its own replies"):
        evaluate(TASK, Panel([POLICY, ANCHOR]), grader=ExpertRubric(own), n=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run()


def test_a_gold_answer_can_be_graded_against_by_a_model():
    task = Task("open", (Example("Why?", answer="Because."),))
    judge = ScriptedModel(lambda prompt, i: "Yes." if "so it is" in prompt[0]["content"] else "No.", "judge")
    policy = ScriptedModel(lambda prompt, i: Rollout("so it is" if i else "not so"))
    assert evaluate(task, policy, grader=ModelAsJudge(judge), n=2).rows[0].scores == (0.0, 1.0)


def test_official_metrics_are_those_of_the_verdicts():
    task = Task(
        "health", tuple(Example(one.prompt, rubric=ZINC, metadata={"example_tags": ["theme:t"]}) for one in TASK)
    )
    grader = ExpertRubric(ScriptedModel(names_it, "judge"))
    table = official(evaluate(task, POLICY, estimators=[Synthesis(ANCHOR)], grader=grader, n=2))
    assert list(table.metric) == ["overall_score", "theme:t"] * 2
    assert list(table.value) == pytest.approx([1 / 3, 1 / 3, 1.0, 1.0])
    assert list(table.responses) == [4, 4, 2, 2]
    assert list(table.questions) == [2, 2, 2, 2]
    with pytest.raises(ConfigError, match="no system was judged"):
        official(evaluate(Task("sums", (Example("1?", "1", answer_format="boxed"),)), POLICY, n=1))


def test_official_metrics_are_of_the_examples_own_criteria_alone():
    score = ScriptedModel(lambda prompt, i: json.dumps({"reason": "r", "score": 7}), "judge")
    listed = [f"The response names metal number {number}." for number in range(5)]
    proposer = ScriptedModel(lambda prompt, i: json.dumps({"criteria": listed}), "proposer")
    yes = ScriptedModel(lambda prompt, i: json.dumps({"reason": "r", "met": True}), "judge")
    task = Task("health", (Example("Zinc?", "zinc", rubric=ZINC),))
    for grader in (ExpertRubric(score, mode="holistic"), RubricReward(proposer, yes)):
        graded = evaluate(task, POLICY, grader=grader, n=2)
        assert graded.rows[0].score is not None
        with pytest.raises(ConfigError, match="not judged criterion by criterion of their examples' rubrics"):
            official(graded)


def test_a_gain_over_a_negative_score_is_not_told():
    policy = ScriptedModel(lambda prompt, i: "iron", "policy")
    grader = ExpertRubric(ScriptedModel(names_it, "judge"))
    summary = evaluate(TASK, policy, estimators=[Synthesis(ANCHOR)], grader=grader, n=1).summary
    assert summary["score"]["single sample"] < 0
    assert math.isnan(summary["relative_gain"]["Synthesis"])


def dear(text):
    return Rollout(text, usage=Usage(10, 5, 0, 0.5, 1, 0.1))


def stopping(prompt, i):
    raise EndpointUnavailable("503")


DOWN = ScriptedModel(stopping, "judge")
SUMS = Task("sums", (Example("1+1?", "2", answer_format="boxed", id="a"), Example("2+2?", "4", answer_format="boxed")))


@pytest.mark.parametrize(
    ("grader", "requests"),
    [
        # No criteria can be read in any of three replies, for either question and each of two systems.
        (RubricReward(ScriptedModel(lambda *_: dear("no list"), "anchor"), ANCHOR, fewest=2), 12),
        # The proposer is asked once a question; the judge ends every call.
        (RubricReward(ScriptedModel(lambda *_: dear('["The response names zinc."]'), "anchor"), DOWN, fewest=1), 2),
        # Without a rubric: two rollouts and a synthesis of each question.
        (ModelAsJudge(ScriptedModel(lambda *_: dear("yes"), "judge")), 6),
    ],
)
def test_what_grading_cost_is_told_whether_it_came_to_a_score_or_not(tmp_path, grader, requests):
    policy = ScriptedModel(lambda *_: r"\boxed{2}", "policy")
    result = evaluate(SUMS, policy, estimators=[Synthesis(ANCHOR)], grader=grader, n=2)
    assert (result.judging.requests, result.judging.cost_usd) == (requests, requests / 2)
    assert f"Judging, which is in no row: {requests} requests" in str(result)
    assert Evaluation.load(result.save(tmp_path)) == result


def test_what_judging_cost_is_read_from_the_verdicts_of_an_evaluation_that_has_it_nowhere_else(tmp_path):
    judge = ScriptedModel(lambda prompt, i: dear(names_it(prompt, i)), "judge")
    result = evaluate(TASK, POLICY, grader=ExpertRubric(judge), n=2)
    path = result.save(tmp_path)
    document = json.loads(path.read_text("utf-8"))
    for row in document["rows"]:
        del row["judging"]
    path.write_text(json.dumps(document), "utf-8")
    assert Evaluation.load(path).judging == result.judging != Usage()
