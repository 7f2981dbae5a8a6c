"""Rubric ablations: figures by hand, on four rollouts whose text names the criteria that they meet."""

import asyncio
import json
import math

import pytest

import catlite
from catlite import (
    Budget,
    Endpoint,
    Evaluation,
    Example,
    ExpertRubric,
    MajorityVote,
    Reference,
    Rubric,
    RubricReward,
    ScriptedModel,
    evaluate,
)
from catlite.errors import AuthenticationFailed, ConfigError, RubricError
from catlite.experiments.rubrics import arubric_source_ablation

WORDS = ("zinc", "iron", "meal", "dose", "hours")
# Of each question the criteria that its rollouts meet; the reference names the question.
TEXTS = {
    "May I take A?": ("zinc iron meal", "zinc iron", "zinc", "water"),
    "May I take B?": ("zinc iron", "zinc iron", "zinc", "zinc"),
}
GOLD = {"May I take A?": [1, 0.5, 0.25, 0], "May I take B?": [0, 0, 1, 1]}


def criteria(words):
    return json.dumps({"criteria": [f"The response names {word}." for word in words]})


def propose(prompt, i):
    """From a reference the five words in their order, from a question in reverse and without zinc."""
    return criteria(WORDS if "A good response" in prompt[-1]["content"] else (*WORDS[:0:-1], "water"))


def verdict(prompt, i):
    """Exact verdicts, in a call of one criterion or of all."""
    response, question = prompt[-1]["content"].rsplit("</response", 1)
    words = [word for word in (*WORDS, "water") if f"names {word}." in question]
    order = sorted(words, key=lambda word: question.index(f"names {word}."))
    met = [word in response.rsplit("<response", 1)[1] for word in order]
    if "verdicts" in question:
        return json.dumps({"verdicts": [{"criterion": n, "reason": "r", "met": m} for n, m in enumerate(met, 1)]})
    return json.dumps({"reason": "r", "met": met[0]})


async def reference(group):
    return Reference(f"To {group.example.prompt} say more.", None, "reference", group)


async def scores(group, reference):
    return GOLD[group.example.prompt] if len(group.rollouts) == 4 else [0.5]


def evaluated(rubric=None, **options):
    policy = ScriptedModel(lambda prompt, i: TEXTS[prompt][i % 4])
    settings = {"estimators": reference, "grader": scores, "n": 4, **options}
    return evaluate([Example(question, rubric=rubric) for question in TEXTS], policy, **settings)


def reward(**options):
    return RubricReward(ScriptedModel(propose, "proposer"), ScriptedModel(verdict, "judge"), **options)


def calls(reward):
    return len(reward.proposer.calls), len(reward.judge.calls)


def test_criteria_from_the_reference_are_compared_with_those_from_the_question(tmp_path):
    own = reward()
    frame = catlite.rubric_source_ablation(evaluated().save(tmp_path / "evaluation.json"), own).set_index("variant")
    assert calls(own) == (4, 80)
    first, second = frame.loc["from the reference"], frame.loc["from the question"]
    # Rewards 0.6, 0.4, 0.2, 0 and 0.4, 0.4, 0.2, 0.2; from the question 0.4, 0.2, 0, 0.2 and 0.2, 0.2, 0, 0.
    assert (first.reward, first.reward_se, second.reward) == pytest.approx((0.3, 0, 0.15))
    assert (first.separating, first.separating_se) == pytest.approx(((3 / 5 + 1 / 5) / 2, 0.2))
    assert (first.separated_pairs, first.separated_pairs_se) == pytest.approx(((1 + 4 / 6) / 2, 1 / 6))
    assert second.separated_pairs == pytest.approx((5 / 6 + 4 / 6) / 2)
    # In ranks: the gold scores are those of the rewards in the first question, and turned round in the second.
    alike = 3 / math.sqrt(4.5 * 5)
    assert (first.gold, first.gold_se, first.gold_groups) == pytest.approx((0, 1, 2))
    assert second.gold == pytest.approx((alike - 1) / 2)
    assert (second.gold_difference, second.gold_difference_se) == pytest.approx(((alike - 1) / 2, (1 - alike) / 2))
    assert (second.base, second.base_groups) == pytest.approx(((alike + 1) / 2, 2))
    assert math.isnan(second.agreement)  # on other criteria no verdicts can agree
    assert math.isnan(first.base)
    assert list(frame.calls) == [42, 42]
    assert list(frame.criteria) == [5, 5]
    assert list(frame.coverage) == [1, 1]
    assert list(frame.questions) == [2, 2]
    assert list(frame.failed) == [0, 0]
    assert (frame.error.isna()).all()
    assert own.judged.maxlen > len(own.judged) == 0


def test_sizes_are_the_first_criteria_of_one_rubric_and_none_is_judged_twice():
    own = reward()
    frame = catlite.rubric_size_ablation(evaluated(), own, (1, 5, 3)).set_index("variant")
    assert calls(own) == (2, 40)
    assert list(frame.index) == ["5 criteria", "3 criteria", "1 criteria"]
    assert list(frame.criteria) == [5, 3, 1]
    assert list(frame.calls) == [2 + 40, 2 + 24, 2 + 8]  # of each size alone
    # By three criteria 1, 2/3, 1/3, 0 and 2/3, 2/3, 1/3, 1/3; by one 1, 1, 1, 0 and 1, 1, 1, 1.
    assert list(frame.reward) == pytest.approx([0.3, 0.5, (3 / 4 + 1) / 2])
    assert list(frame.separated_pairs) == pytest.approx([5 / 6, 5 / 6, (3 / 6 + 0) / 2])
    assert frame.loc["3 criteria", "base"] == pytest.approx(1)
    assert frame.loc["1 criteria", "base_groups"] == 1  # where all rewards are the same there is no order


def test_sizes_are_judged_in_calls_of_their_own_where_a_call_shows_all_criteria():
    own = reward(mode="batch")
    frame = catlite.rubric_size_ablation(evaluated(), own, (1, 3))
    assert calls(own) == (2, 16)
    assert list(frame.reward) == pytest.approx([0.5, (3 / 4 + 1) / 2])
    assert list(frame.calls) == [10, 10]


def test_a_rubric_of_too_few_verdicts_has_no_reward_at_its_size():
    def half(prompt, i):
        return "Hard to say." if "names zinc" in prompt[0]["content"] else verdict(prompt, i)

    own = RubricReward(ScriptedModel(propose), ScriptedModel(half))
    frame = catlite.rubric_size_ablation(evaluated(), own, (1, 2)).set_index("variant")
    # Of two criteria one is judged, "iron": 1, 1, 0, 0 and 1, 1, 0, 0.
    assert frame.reward.iloc[0] == pytest.approx(0.5)
    assert list(frame.coverage) == [0.5, 0]
    assert (frame.loc["1 criteria", "failed"], frame.loc["1 criteria", "questions"]) == (2, 0)
    assert frame.loc["1 criteria", "error"] == "4 of 4 verdicts could not be had"


def test_another_judge_is_compared_on_the_same_criteria():
    own, yes = reward(), ScriptedModel(lambda prompt, i: '{"reason": "r", "met": true}', "yes")
    frame = catlite.judge_ablation(evaluated(), own, [yes]).set_index("variant")
    assert calls(own) == (2, 40)
    assert len(yes.calls) == 40
    assert list(frame.index) == ["judge", "yes"]
    # Of 20 verdicts a question 6 are yes.
    assert (frame.loc["yes", "agreement"], frame.loc["yes", "agreement_se"]) == pytest.approx((6 / 20, 0))
    assert frame.loc["yes", "reward"] == 1
    assert frame.loc["yes", "gold_groups"] == 0
    assert list(frame.calls) == [42, 42]


def test_one_criterion_a_call_is_compared_with_all_in_one():
    own = reward()
    frame = catlite.judge_mode_ablation(evaluated(), own).set_index("variant")
    assert calls(own) == (2, 48)
    assert list(frame.index) == ["single", "batch"]
    assert frame.loc["batch", ["agreement", "base", "gold_difference"]].tolist() == pytest.approx([1, 1, 0])
    assert list(frame.calls) == [42, 10]
    assert frame.tokens["batch"] < frame.tokens["single"]


def test_experts_criteria_are_gold_or_judged_by_several_judges():
    rubric = Rubric(["The response names zinc.", "The response names iron."])
    judge = ScriptedModel(verdict, "experts' judge")
    own = reward()
    frame = catlite.judge_mode_ablation(evaluated(rubric=rubric), own, gold=ExpertRubric(judge))
    assert len(judge.calls) == 16
    assert list(frame.calls) == [42, 10]  # without those for the gold scores
    # Gold scores 1, 1, 1/2, 0 and 1, 1, 1/2, 1/2 against 0.6, 0.4, 0.2, 0 and 0.4, 0.4, 0.2, 0.2.
    assert list(frame.gold) == pytest.approx([(4.5 / math.sqrt(4.5 * 5) + 1) / 2] * 2)
    frame = catlite.judge_mode_ablation(evaluated(rubric=rubric, estimators=()), ExpertRubric(judge))
    assert list(frame.calls) == [16, 8]
    assert list(frame.reward) == pytest.approx([(2.5 / 4 + 3 / 4) / 2] * 2)


def test_an_ablation_asks_nothing_twice_and_keeps_to_its_budget(server, tmp_path):
    def reply(body, i):
        messages = body["messages"]
        return propose(messages, i) if "Write a rubric" in messages[-1]["content"] else verdict(messages, i)

    server.reply = reply
    evaluation = evaluated()
    with Endpoint("test-model", base_url=server.url, api_key=server.key) as model:
        own = RubricReward(model, model)
        first = catlite.judge_mode_ablation(evaluation, own, run=tmp_path, budget=Budget(requests=15))
        asked = len(server.requests)
        assert asked <= 15
        assert first.failed.sum() > 0
        assert "budget" in first.error.dropna().iloc[-1]
        whole = catlite.judge_mode_ablation(evaluation, own, run=tmp_path)
        assert whole.failed.sum() == 0
        kept = len(server.requests)
        again = catlite.judge_mode_ablation(evaluation, own, run=tmp_path)
        assert len(server.requests) == kept
        assert again.equals(whole)
        assert not (tmp_path / "evaluation.json").exists()


def test_what_was_answered_before_a_setting_failed_is_counted():
    def refusing(prompt, i):
        """Answers for the first criterion of each rollout, then refuses what asks for a level."""
        if "level" not in prompt[-1]["content"]:
            return verdict(prompt, i)
        if "names iron" in prompt[-1]["content"]:
            raise AuthenticationFailed("401: the key has expired")
        return '{"reason": "r", "level": "fully"}'

    own = RubricReward(ScriptedModel(propose, "proposer"), ScriptedModel(refusing, "judge"))
    frame = catlite.judge_mode_ablation(evaluated(), own, ("single", "levels")).set_index("variant")
    assert list(frame.failed) == [0, 2]
    assert frame.calls["single"] == 42
    assert frame.calls["levels"] >= 4  # of one question or of both
    assert "the key has expired" in frame.error["levels"]


def test_what_the_evaluation_asked_of_its_judge_is_taken_from_its_run(server, tmp_path):
    server.reply = lambda body, i: verdict(body["messages"], i)
    rubric = Rubric(["The response names zinc.", "The response names iron."])
    with Endpoint("test-model", base_url=server.url, api_key=server.key) as model:
        experts = ExpertRubric(model)
        evaluated(rubric, estimators=(), grader=experts, run=tmp_path)
        asked = len(server.requests)
        catlite.judge_mode_ablation(tmp_path, experts, ("single", "batch"), run=tmp_path)
    anew = server.requests[asked:]
    assert anew
    assert all("Criteria:" in request.body["messages"][0]["content"] for request in anew)  # in mode "batch" alone


def test_a_question_without_a_rubric_is_counted_and_one_without_a_reference_costs_nothing():
    def picky(prompt, i):
        return "No." if "take B" in str(prompt) else propose(prompt, i)

    own = RubricReward(ScriptedModel(picky), ScriptedModel(verdict))
    frame = catlite.judge_mode_ablation(evaluated(), own)
    assert list(frame.failed) == [1, 1]
    assert list(frame.calls) == [1 + 3 + 20, 1 + 3 + 4]  # three attempts at the rubric that did not come
    assert frame.error.str.contains("proposed 0 usable criteria").all()
    with pytest.raises(RubricError):
        catlite.judge_mode_ablation(evaluated(), RubricReward(ScriptedModel(lambda prompt, i: "No."), own.judge))

    async def half(group):
        return Reference("" if "B" in group.example.prompt else "Say more.", None, "half", group)

    own = reward()
    frame = catlite.rubric_source_ablation(evaluated(estimators=half), own)
    assert calls(own) == (2, 40)
    assert list(frame.error) == ["question 2 has no reference"] * 2


def test_rollouts_without_a_gold_score_are_left_out_of_the_correlation():
    async def partly(group, reference):
        return [1, 0.5, None, math.nan, 0][-len(group.rollouts) :] if "B" in group.example.prompt else [3, 2, None, 1]

    frame = catlite.judge_mode_ablation(evaluated(), reward(), gold=partly)
    # Of the second question two rollouts are left, too few for a correlation.
    assert list(frame.gold) == pytest.approx([1, 1])
    assert list(frame.gold_groups) == [1, 1]


def test_repeats_of_a_question_go_together():
    frame = catlite.judge_mode_ablation(evaluated(n_repeats=2), reward())
    assert list(frame.questions) == [2, 2]
    assert list(frame.gold_groups) == [4, 4]
    assert frame.reward_se[0] == pytest.approx(0)


def test_a_rubric_that_a_reference_brings_is_judged_and_not_proposed_anew():
    async def brings(group):
        return Reference("Say more.", None, "brings", group, rubric=Rubric(["The response names meal."]))

    own = reward()
    frame = catlite.judge_mode_ablation(evaluated(estimators=brings), own)
    assert calls(own) == (0, 16)
    assert list(frame.reward) == pytest.approx([1 / 8] * 2)


def test_an_ablation_of_a_rubric_can_be_awaited():
    assert len(asyncio.run(arubric_source_ablation(evaluated(), reward()))) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e, r: catlite.rubric_source_ablation(e, MajorityVote()), r"want RubricReward\(…\)"),
        (lambda e, r: catlite.rubric_source_ablation(e, ExpertRubric(r.judge)), r"want RubricReward\(…\), whose"),
        (lambda e, r: catlite.rubric_source_ablation(e, r, system="Synthesis"), "has those of reference: name one"),
        (lambda e, r: catlite.rubric_source_ablation(e, r, gold=ExpertRubric(r.judge)), "2 of 2 examples .* have none"),
        (lambda e, r: catlite.judge_mode_ablation(e, ExpertRubric(r.judge)), "grades by the rubric"),
        (lambda e, r: catlite.rubric_size_ablation(e, r, (5,)), "want at least two"),
        (lambda e, r: catlite.rubric_size_ablation(e, r, (5, 5)), "each once"),
        (lambda e, r: catlite.rubric_size_ablation(e, r, (0, 5)), "sizes=0: want a whole number of at least 1"),
        (lambda e, r: catlite.rubric_size_ablation(e, r, 5), "want at least two"),
        (lambda e, r: catlite.judge_ablation(e, r, []), "want at least two"),
        (lambda e, r: catlite.judge_ablation(e, r, "gpt-4o"), "want a list of models"),
        (lambda e, r: catlite.judge_ablation(e, r, [r.judge]), "each once"),
        (lambda e, r: catlite.judge_ablation(e, r, {"other": r.judge}), "there twice, or is the reward's own"),
        (lambda e, r: catlite.judge_mode_ablation(e, r, ("single", "single")), "each once"),
        (lambda e, r: catlite.judge_mode_ablation(e, r, ("single", "double")), "mode='double'"),
        (lambda e, r: catlite.judge_mode_ablation("nowhere", r), "no finished evaluation"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_anything_is_sent(call, message):
    own = reward()
    with pytest.raises((ConfigError, catlite.errors.StoreError), match=message):
        call(evaluated(), own)
    assert calls(own) == (0, 0)


def test_an_evaluation_without_groups_or_references_is_refused():
    evaluation = evaluated()
    bare = Evaluation("t", "p", 4, evaluation.rows, 0.0)
    with pytest.raises(ConfigError, match="without its groups"):
        catlite.judge_mode_ablation(bare, reward())
    with pytest.raises(ConfigError, match="those of none: give reestimate"):
        catlite.judge_mode_ablation(evaluated(estimators=()), reward())
    with pytest.raises(ConfigError, match="gold gave 1 scores for 4"):
        catlite.judge_mode_ablation(evaluation, reward(), gold=lambda group, reference: asyncio.sleep(0, [1.0]))
