"""Two answers are judged by one's own rubric in three lines."""

import asyncio
import json

import pytest

import catlite
from catlite import Budget, Criterion, Endpoint, Rollout, Rubric, ScriptedModel
from catlite.errors import BudgetReached, ConfigError

ZINC, IRON = "The response names zinc.", "The response names iron."


def names_it(prompt, i):
    """Judges by looking for the criterion's last word in the fenced response."""
    asked = prompt[-1]["content"]
    response = asked.split("<response-")[1].split("\n</response")[0]
    word = asked.split("Criterion: ")[1].split("\n")[0].rstrip(".").split()[-1]
    return json.dumps({"reason": f"looked for {word}", "met": word in response})


def judge_model():
    return ScriptedModel(names_it, "judge")


@pytest.mark.parametrize(
    "rubric",
    [
        [ZINC, IRON],
        (ZINC, IRON),
        [Criterion(ZINC), IRON],
        Rubric((Criterion(ZINC), Criterion(IRON))),
        Rubric([ZINC, IRON]),
    ],
    ids=["texts", "a tuple", "a criterion and a text", "a rubric", "a rubric of texts"],
)
def test_two_answers_are_judged_by_a_rubric_however_it_is_given(rubric):
    judgement = catlite.judge(["zinc and iron", "zinc"], rubric, judge_model())
    assert judgement.rewards_G == (1.0, 0.5)
    assert [criterion.text for criterion in judgement.rubric.criteria] == [ZINC, IRON]


def test_points_of_a_criterion_count():
    assert catlite.judge("zinc and iron", [Criterion(ZINC, 2), Criterion(IRON, -1)], judge_model()).rewards_G == (0.5,)


def test_the_awaited_form_gives_the_same():
    assert asyncio.run(catlite.ajudge(["zinc"], [ZINC], judge_model())).rewards_G == (1.0,)


def test_a_judgement_goes_on_from_its_run_and_keeps_to_its_budget(server, tmp_path):
    server.reply = lambda body, i: names_it(body["messages"], i)
    with Endpoint("test-model", base_url=server.url, api_key=server.key) as judge:
        catlite.judge(["zinc"], [ZINC, IRON], judge, run=tmp_path)
        with pytest.raises(BudgetReached):
            catlite.judge(["zinc", "iron"], [ZINC, IRON], judge, run=tmp_path, budget=Budget(requests=2))
        assert len(server.requests) == 2
        assert catlite.judge(["zinc", "iron"], [ZINC, IRON], judge, run=tmp_path).rewards_G == (0.5, 0.5)
        assert len(server.requests) == 4


def test_the_question_is_shown_only_where_it_is_given():
    judge = judge_model()
    catlite.judge("zinc", [ZINC], judge)
    catlite.judge("zinc", [ZINC], judge, question="Can I take both?")
    first, second = (messages[0]["content"] for messages, *_ in judge.calls)
    assert "Can I take both?" not in first
    assert "not given" not in first
    assert "Can I take both?" in second


def test_a_rollout_that_failed_has_no_reward():
    failed = Rollout("", finish_reason="error", error="500")
    assert catlite.judge([failed, "zinc"], [ZINC], judge_model()).rewards_G == (None, 1.0)


def test_a_judge_given_by_name_is_asked_where_it_is_served(server):
    server.reply = '{"reason": "r", "met": true}'
    judgement = catlite.judge(["zinc"], [ZINC], "test-model", base_url=server.url, api_key=server.key)
    assert judgement.rewards_G == (1.0,)
    assert judgement.judge == "test-model"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [ZINC]), "no response to judge"),
        ((["zinc"], []), "no criteria"),
        ((["zinc"], ZINC), "not a list"),
        ((["zinc"], [""]), "criterion 1 is empty"),
        ((["zinc"], [ZINC, 3]), "criterion 2 is int"),
        (([None], [ZINC]), "response 1 is NoneType"),
        ((7, [ZINC]), "the responses are int"),
    ],
    ids=["no response", "no criteria", "one text", "an empty criterion", "a number", "None", "no list"],
)
def test_what_cannot_be_judged_is_refused_before_anything_is_sent(arguments, message):
    judge = judge_model()
    with pytest.raises(ConfigError, match=message):
        catlite.judge(*arguments, judge)
    assert judge.calls == []


@pytest.mark.parametrize("settings", [{"mode": "fast"}, {"min_coverage": 2}, {"question": ""}])
def test_settings_that_cannot_hold_are_refused(settings):
    with pytest.raises(ConfigError):
        catlite.judge(["zinc"], [ZINC], judge_model(), **settings)


def test_a_key_is_in_no_error():
    with pytest.raises(ConfigError) as caught:
        catlite.judge(["zinc"], [ZINC], judge_model(), api_key="sk-secret")
    assert "sk-secret" not in str(caught.value)


def test_the_module_of_the_same_name_stays():
    assert callable(catlite.judge)
    assert catlite.rewards.judge.judge_group is not None


def test_the_rollouts_are_folded_under_the_matrix():
    shown = catlite.judge(["zinc <b>now</b>", "nothing"], [ZINC], judge_model())._repr_html_()
    below = shown.split("</table>")[1]
    assert "<summary>2 rollouts</summary>" in below
    assert "zinc &lt;b&gt;now&lt;/b&gt;" in below
