"""What came and has no answer scores 0; only what never came has no score."""

import math
from dataclasses import replace

import pytest

from catlite import (
    AnchoredVote,
    BestOfN,
    Budget,
    Endpoint,
    Evaluation,
    Example,
    ExpertRubric,
    LengthPenalty,
    MajorityVote,
    MinPerplexity,
    RecursiveSynthesis,
    Reference,
    Rollout,
    ScriptedModel,
    Synthesis,
    Task,
    Usage,
    differences,
    evaluate,
    maj_at_k,
    pass_at_k,
    reestimate,
    scaling,
)
from catlite.criteria import Criterion, Rubric
from catlite.errors import ConfigError, EstimationError
from catlite.rewards.answer_match import AnswerMatch

TASK = Task("sums", tuple(Example(f"{a}+1?", str(a + 1), answer_format="boxed", id=str(a)) for a in range(4)))
CUT = Rollout("First, let us see whether", finish_reason="length", usage=Usage(5, 4, 0, 0.0, 1))
EMPTY = Rollout("", finish_reason="stop", usage=Usage(5, 0, 0, 0.0, 1))
FILTERED = Rollout("", finish_reason="content_filter")
FAILED = Rollout("", finish_reason="error", error="503 after 8 attempts")


def policy(**by_question):
    """Right, but where `by_question` has other rollouts, as in q2=[CUT]; these come again and again."""

    def reply(prompt, i):
        a = int(prompt.split("+")[0])
        others = by_question.get(f"q{a}")
        return others[i % len(others)] if others else rf"\boxed{{{a + 1}}}"

    return ScriptedModel(reply)


def scored(*estimators, n=4, **by_question):
    return evaluate(TASK, policy(**by_question), estimators=estimators, n=n)


@pytest.mark.parametrize("lacking", [CUT, EMPTY, FILTERED, Rollout(" \n "), Rollout("I give up.")])
def test_a_group_of_replies_without_an_answer_scores_0(lacking):
    result = scored(MajorityVote(), q2=[lacking], q3=[lacking])
    assert result.score("single sample") == (0.5, pytest.approx(1 / math.sqrt(12)), 4)
    assert result.score("MajorityVote")[0] == 0.5
    assert list(result.summary.failed) == [0, 0]
    assert "failed" not in str(result)


def test_a_group_of_which_nothing_came_has_no_score():
    result = scored(MajorityVote(), q2=[FAILED])
    assert result.score("single sample") == (1.0, 0.0, 3)
    assert result.score("MajorityVote") == (1.0, 0.0, 3)
    assert list(result.summary.failed) == [1, 1]
    assert "503 after 8 attempts" in next(row.error for row in result.rows if row.score is None)


def test_one_reply_without_an_answer_among_failed_calls_is_a_score():
    result = scored(MajorityVote(), q2=[FAILED, CUT, FAILED, FAILED])
    row = next(row for row in result.rows if row.id == "2")
    assert (row.score, row.scores) == (0.0, (None, 0.0, None, None))
    assert result.score("MajorityVote") == (0.75, 0.25, 4)


def test_a_failed_call_is_no_zero_beside_replies_that_came():
    result = scored(q2=[FAILED, Rollout(r"\boxed{3}"), CUT, FAILED])
    row = next(row for row in result.rows if row.id == "2")
    assert (row.score, row.scores) == (0.5, (None, 1.0, 0.0, None))


def test_a_reply_that_is_cut_off_behind_its_answer_is_graded_by_it():
    answered = Rollout(r"\boxed{3} And now let me check", finish_reason="length")
    result = scored(q2=[answered])
    assert result.score("single sample")[0] == 1.0


def test_an_estimator_without_usable_rollouts_scores_0_and_is_not_asked():
    groups = []

    async def longest(group):
        groups.append(group)
        best = max(group.usable, key=lambda rollout: len(rollout.text))
        return Reference(best.text, best.answer, "longest", group)

    anchor = ScriptedModel(lambda prompt, i: r"\boxed{3}")
    result = scored(longest, Synthesis(anchor), q2=[CUT])
    assert result.score("longest") == (0.75, 0.25, 4)
    assert len(groups) == len(anchor.calls) == 3
    row = next(row for row in result.rows if (row.id, row.system) == ("2", "longest"))
    assert (row.score, row.generations, row.usage.completion_tokens) == (0.0, 4, 16)
    assert "4 truncated" in row.error


def test_an_anchored_vote_is_asked_where_only_the_anchor_can_vote():
    anchor = ScriptedModel(lambda prompt, i: r"\boxed{3}")
    result = scored(AnchoredVote(anchor, n=3), q2=[CUT])
    assert result.scores("AnchoredVote")[2] == 1.0


@pytest.mark.parametrize(
    "estimator",
    [Synthesis, RecursiveSynthesis, BestOfN, lambda anchor: AnchoredVote(anchor, n=2)],
    ids=["Synthesis", "RecursiveSynthesis", "BestOfN", "AnchoredVote"],
)
def test_an_estimator_whose_model_answers_with_nothing_scores_0(estimator):
    """And one whose model cannot be reached has no score."""
    for reply, score in ((EMPTY, 0.0), (FAILED, None)):
        anchor = ScriptedModel(lambda prompt, i, reply=reply: reply)
        result = scored(estimator(anchor), n=2)
        rows = [row for row in result.rows if row.reference is None and row.system != "single sample"]
        assert [row.score for row in rows] == [score] * 4
        assert all(row.error for row in rows)
        assert result.summary.failed.iloc[1] == (0 if score == 0 else 4)


def test_what_an_estimator_cannot_do_at_all_is_no_zero():
    result = scored(MinPerplexity())  # without log-probabilities
    assert result.score("MinPerplexity")[2] == 0


def test_an_estimator_says_itself_whether_it_had_an_answer():
    async def moody(group):
        raise EstimationError("not today", group, unanswered=group.example.id == "1")

    result = scored(moody)
    assert result.scores("moody") == {1: 0.0}
    error = EstimationError("why", None, unanswered=True)
    again = type(error)(*error.args)
    assert (str(again), again.unanswered) == ("why", True)


def test_a_reference_that_failed_is_no_zero():
    async def failing(group):
        return Reference("", None, "failing", group, error="503 after 8 attempts")

    result = scored(failing)
    assert result.score("failing")[2] == 0
    assert {row.error for row in result.rows if row.system == "failing"} == {"503 after 8 attempts"}


def test_growth_and_differences_count_replies_without_an_answer():
    result = scored(MajorityVote(), q2=[CUT], q3=[FAILED])
    assert pass_at_k(result, ks=(1, 4)).pass_at_k.tolist() == pytest.approx([2 / 3, 2 / 3])
    assert pass_at_k(result, ks=(4,)).questions.tolist() == [3]
    assert maj_at_k(result, ks=(1, 4)).maj_at_k.tolist() == pytest.approx([2 / 3, 2 / 3])
    grown = scaling(result, MajorityVote(), sizes=(1, 4))
    assert grown.score.tolist() == pytest.approx([2 / 3, 2 / 3])
    assert grown.failed.tolist() == [1, 1]
    apart = differences(result)
    assert (apart.difference[0], apart.questions[0]) == (0.0, 3)


def test_an_estimator_is_compared_on_questions_without_usable_rollouts_too():
    async def oracle(group):
        return Reference("", group.example.answer, "oracle", group)

    apart = differences(scored(oracle, q2=[CUT, CUT, CUT, Rollout(r"\boxed{3}")], q3=[CUT]))
    assert apart.questions[0] == 4
    assert apart.difference[0] == pytest.approx((1 + 1 + 1 + 0 - 1 - 1 - 0.25 - 0) / 4)


def test_rubrics_grade_what_is_there(tmp_path):
    rubric = Rubric((Criterion("says hello"), Criterion("says goodbye")))
    task = Task("talk", (Example("Greet.", rubric=rubric), Example("Greet again.", rubric=rubric)))
    judge = ScriptedModel(lambda prompt, i: '{"met": true}', "judge")
    model = ScriptedModel(lambda prompt, i: EMPTY if prompt == "Greet." else CUT)
    result = evaluate(task, model, grader=ExpertRubric(judge), n=2)
    assert result.scores("single sample") == {0: 0.0, 1: 1.0}
    assert Evaluation.load(result.save(tmp_path)) == result


def test_a_score_that_is_no_number_is_no_score():
    async def odd(group, reference):
        return [math.nan if rollout.answer == "3" else 1.0 for rollout in group.rollouts]

    result = evaluate(TASK, policy(), grader=odd, n=2)
    assert result.score("single sample") == (1.0, 0.0, 3)


def test_a_grader_that_knows_no_failed_calls_makes_no_zeros_of_them():
    async def naive(group, gold):
        return [float(rollout.answer == gold.answer) for rollout in group.rollouts]

    result = evaluate(TASK, policy(q2=[FAILED, Rollout(r"\boxed{3}")]), grader=naive, n=2)
    assert result.score("single sample") == (1.0, 0.0, 4)


def test_a_grader_that_leaves_rollouts_out_is_refused():
    async def short(group, gold):
        return [1.0]

    with pytest.raises(ConfigError, match="the reward short gave 1 values for a group of 2 rollouts"):
        evaluate(TASK, policy(), grader=short, n=2)


def test_a_penalty_is_not_the_matter_of_a_missing_reference():
    result = evaluate(
        TASK, policy(q2=[CUT]), estimators=[MajorityVote()], grader=LengthPenalty(AnswerMatch(), limit=2), n=2
    )
    assert result.scores("single sample")[2] == -1.0  # cut off behind five words
    assert result.scores("MajorityVote")[2] == 0.0


def test_the_table_says_what_came_unfinished():
    shown = str(scored(MajorityVote(), q2=[CUT, EMPTY, FAILED, CUT]))
    assert "Not whole: 3 of 15 rollouts (2 truncated, 1 empty)." in shown
    assert "MajorityVote had no reference in 1 of 4 cases" in shown
    assert "Not whole" not in str(scored(MajorityVote()))
    assert "Not whole" in scored(MajorityVote(), q2=[CUT])._repr_html_()


def test_zeros_and_their_reasons_survive_saving(tmp_path):
    result = scored(MajorityVote(), q2=[CUT], q3=[FAILED])
    back = Evaluation.load(result.save(tmp_path))
    assert back == result
    assert back.scores("MajorityVote") == {0: 1.0, 1: 1.0, 2: 0.0}


def test_rollouts_that_an_older_version_left_ungraded_are_graded_when_others_are_tried():
    result = scored(MajorityVote(), q2=[CUT], q3=[FAILED])
    # As it was: a question without usable rollouts had no score and no cost of its own.
    old = [
        replace(row, score=None, scores=(), generations=0, usage=result.groups[2].usage, error="none can be used")
        if row.id == "2"
        else row
        for row in result.rows
    ]
    again = reestimate(replace(result, rows=tuple(old)), (MajorityVote(),))
    assert again.scores("single sample") == {0: 1.0, 1: 1.0, 2: 0.0}
    assert again.rows == result.rows


def test_a_run_that_ends_early_leaves_questions_it_never_asked_without_a_score(server):
    server.reply = {"content": "so it", "finish_reason": "length"}
    with Endpoint("test-model", base_url=server.url, api_key=server.key, max_connections=1) as model:
        result = evaluate(TASK, model, estimators=[MajorityVote()], n=2, budget=Budget(requests=2))
    assert result.score("single sample") == (0.0, 0.0, 2)
    assert [row.score for row in result.rows if row.system == "MajorityVote"].count(None) == 2
