"""Before and after are compared over all repeats, within one budget, and kept side by side."""

import pytest

from catlite import (
    Budget,
    Comparison,
    Endpoint,
    Evaluation,
    Example,
    Reference,
    Rollout,
    ScriptedModel,
    Task,
    Usage,
    compare,
    evaluate,
)
from catlite.errors import ConfigError, StoreError
from catlite.references.greedy import Greedy

TASK = Task("sums", tuple(Example(f"{a}+1?", str(a + 1), answer_format="boxed", id=str(a)) for a in range(4)))
SYSTEMS = ["single sample", "pass@2", "greedy", "majority of 2", "synthesis of 2"]


def model(name, right):
    """`right(question, sample)` tells whether the answer is."""

    def reply(prompt, i):
        if not isinstance(prompt, str):
            return r"\boxed{0}"  # as the anchor
        a = int(prompt.split("+")[0])
        answer = right(a, i)
        return answer if isinstance(answer, Rollout) else rf"\boxed{{{a + 1 if answer else 0}}}"

    return ScriptedModel(reply, name)


async def lengths(group, reference):
    return [float(len(rollout.text)) for rollout in group.rollouts]


def test_all_repeats_count_and_a_questions_score_is_their_mean():
    # Samples 0 and 1 are the first repeat, 2 and 3 the second, 4 and 5 the third.
    before = model("before", lambda a, i: i >= 4)
    after = model("after", lambda a, i: i >= 2 or a == 0)
    found = compare(before, after, TASK, n=2, n_repeats=3)
    assert found.before.n_repeats == found.after.n_repeats == 3
    single = found.to_frame().loc["single sample"]
    assert (single.before, single.after) == (pytest.approx(1 / 3), pytest.approx((1 + 3 * 2 / 3) / 4))
    assert single.difference == pytest.approx(single.after - single.before)
    assert (single.difference_se, single.questions) == (pytest.approx((1 / 3) / 4), 4)
    assert "0.333 ± 0.000" in str(found)
    assert list(found.to_frame().index) == SYSTEMS


def test_a_comparison_put_together_of_evaluations_is_over_all_repeats_too():
    found = compare(model("a", lambda a, i: i == 5), model("b", lambda a, i: i < 5), TASK, n=2, n_repeats=3)
    row = Comparison(found.before, found.after).to_frame().loc["single sample"]
    assert row.difference == pytest.approx(row.after - row.before) == pytest.approx(5 / 6 - 1 / 6)


def test_evaluations_of_other_questions_are_not_compared_by_position():
    policy = model("a", lambda a, i: True)
    first, second, again = (evaluate([f"{a}+1?", "2+1?"], policy, n=1, grader=lengths) for a in (0, 1, 0))
    assert Comparison(first, again).by_question is not None
    with pytest.raises(ConfigError, match=r"1 questions differ before and after, such as '0' at position 0"):
        Comparison(first, second)


def test_a_greedy_call_that_failed_has_no_score():
    down = Rollout("", finish_reason="error", error="503 after 8 attempts")
    failing = ScriptedModel(lambda prompt, i: rf"\boxed{{{int(prompt[0]) + 1}}}", "failing")

    async def sample(prompt, n=1, **sampling):
        greedy = sampling.get("temperature") == 0
        return [down] if greedy and prompt[0] in "01" else await ScriptedModel.sample(failing, prompt, n, **sampling)

    object.__setattr__(failing, "sample", sample)
    anchor = ScriptedModel(lambda prompt, i: r"\boxed{0}", "anchor")
    found = compare(anchor, failing, TASK, n=2, temperature=0.5)
    assert found.after.score("greedy") == (1.0, 0.0, 2)
    assert found.to_frame().loc["greedy", "questions"] == 2
    errors = {row.error for row in found.after.rows if row.system == "greedy" and row.score is None}
    assert errors == {"the greedy reply of 'failing' failed: 503 after 8 attempts"}


def test_a_greedy_reply_that_came_without_an_answer_scores_0():
    found = compare(model("a", lambda a, i: True), model("b", lambda a, i: Rollout("", usage=Usage())), TASK, n=2)
    assert found.after.score("greedy") == (0.0, 0.0, 4)
    assert found.to_frame().loc["greedy", "difference"] == -1


def test_greedy_is_asked_where_no_rollout_can_be_read():
    cut = Rollout("so it", finish_reason="length")
    calls = []

    class Sampled:
        name = "sampled"

        async def sample(self, prompt, n=1, **sampling):
            calls.append(sampling)
            return [Rollout(r"\boxed{1}")] if sampling.get("temperature") == 0 else [cut] * n

    found = compare(model("a", lambda a, i: True), Sampled(), Task("one", TASK.examples[:1]), n=2, top_p=0.5, seed=3)
    assert found.after.scores("greedy") == {0: 1.0}
    assert calls[1] == {"temperature": 0.0}


def test_greedy_is_one_generation_at_its_own_cost():
    found = compare(model("a", lambda a, i: True), model("b", lambda a, i: True), TASK, n=8)
    assert found.after.summary.generations.tolist() == [1, 1, 8, 9]
    assert found.after.summary.compute.tolist() == [1, 1, 8, 9]
    greedy, single = found.after.summary.loc["greedy"], found.after.summary.loc["single sample"]
    assert (greedy.requests, greedy.completion_tokens) == (0, single.completion_tokens)


def test_one_budget_holds_for_both_models(server):
    server.reply, server.models = r"\boxed{1}", ("before", "after")
    where = {"base_url": server.url, "api_key": server.key}
    with Endpoint("before", **where) as before, Endpoint("after", **where) as after:
        # Of each model: rollouts, greedy and synthesis of 4 questions, 12 requests.
        found = compare(before, after, TASK, n=2, budget=Budget(requests=15))
    assert len(server.requests) == 15
    assert found.before.stopped is None
    assert "the budget is reached" in found.after.stopped
    assert "after: Stopped early: the budget is reached" in str(found)
    assert "after: Stopped early" in found._repr_html_()


def test_both_evaluations_are_kept_and_the_same_call_asks_nothing_again(server, tmp_path):
    server.reply = lambda body, i: rf"\boxed{{{1 if body['model'] == 'after' else 0}}}"
    server.models = ("before", "after")
    where = {"base_url": server.url, "api_key": server.key}
    with Endpoint("before", **where) as before, Endpoint("after", **where) as after:
        with pytest.raises(StoreError, match=r"no finished comparison .*call compare"):
            Comparison.load(tmp_path)
        compare(before, after, TASK, n=2, run=tmp_path, budget=Budget(requests=15))
        assert len(server.requests) == 15
        whole = compare(before, after, TASK, n=2, n_repeats=2, run=tmp_path)
        # The greedy reply is that of the first repeat, and rollouts that are the same make the same prompt.
        sent = len(server.requests)
        again = compare(before, after, TASK, n=2, n_repeats=2, run=tmp_path)
        assert len(server.requests) == sent
    assert [one.policy for one in (whole.before, whole.after)] == ["before", "after"]
    assert Evaluation.load(tmp_path / "before") == again.before
    assert Evaluation.load(tmp_path / "after") == again.after
    with pytest.raises(StoreError, match=r"holds several evaluations.* give one, .*after or .*before"):
        Evaluation.load(tmp_path)
    back = Comparison.load(tmp_path)
    assert (back, str(back)) == (again, str(again))
    assert back.after.scores("single sample") == {0: 1.0, 1: 0.0, 2: 0.0, 3: 0.0}


def test_a_synthesis_of_ones_own_keeps_its_name():
    async def greedy(group):
        return Reference("", group.example.answer, "mine", group)

    same = model("a", lambda a, i: True)
    found = compare(same, same, TASK, synthesis=greedy, n=2)
    assert found.before.systems == ["single sample", "greedy", "majority of 2", "greedy 2"]


def test_progress_is_told_of_every_question_of_both_models():
    told = []
    same = model("a", lambda a, i: True)
    compare(same, same, TASK, n=2, n_repeats=2, progress=lambda done, total: told.append((done, total)))
    assert sorted(told) == sorted([(done, 8) for done in range(1, 9)] * 2)


def test_the_greedy_estimator_can_be_evaluated_beside_others():
    from catlite import evaluate

    policy = model("a", lambda a, i: a < 2)
    result = evaluate(TASK, policy, estimators={"greedy": Greedy(policy)}, n=2)
    assert result.score("greedy")[0] == 0.5
