"""Rubrics: how they score, how they are proposed, and what they are worth as rewards."""

import asyncio
import json
import math

import pytest

from catlite import (
    AnswerMatch,
    Criterion,
    Example,
    ExpertRubric,
    Group,
    LengthPenalty,
    ModelAsJudge,
    Reference,
    Rollout,
    Rubric,
    RubricReward,
    ScriptedModel,
    Usage,
)
from catlite.criteria import Verdict
from catlite.errors import ConfigError, RequestRejected, RubricError
from catlite.rewards.judge import judge_group
from catlite.rewards.proposal import propose_rubric

FIVE = [
    "The response says that zinc and iron compete for uptake.",
    "The response advises taking them at different times.",
    "The response names a gap of at least two hours.",
    "The response tells the reader to ask a pharmacist.",
    "The response does not tell the reader to stop taking iron.",
]


def rubric(*points):
    return Rubric(tuple(Criterion(f"criterion {number}", value) for number, value in enumerate(points)))


def test_a_score_is_points_met_over_positive_points():
    assert rubric(5, 3, 2).score([True, False, True]) == 0.7


def test_a_met_negative_criterion_subtracts_and_nothing_is_clipped():
    assert rubric(5, -10).score([False, True]) == -2.0
    assert rubric(5, -10).score([True, False]) == 1.0


def test_a_rubric_without_positive_points_has_no_score():
    assert rubric(-5, -1).score([True, False]) is None


def test_an_unjudged_criterion_leaves_both_sums():
    assert rubric(5, 3).score([True, None]) == 1.0
    assert rubric(5, 3).score([None, None]) is None


def test_a_score_wants_one_verdict_per_criterion():
    with pytest.raises(ConfigError, match="1 verdicts for a rubric of 2"):
        rubric(1, 1).score([True])


@pytest.mark.parametrize("met", [math.nan, 7, -0.1, "yes", Verdict(Criterion("Zinc."), True)], ids=repr)
def test_a_verdict_that_is_none_has_no_score(met):
    with pytest.raises(ConfigError, match=r"verdict 2 is .*: want True, False, a share from 0 to 1, or None"):
        rubric(1, 1).score([True, met])


def propose(*replies, reference="Zinc competes with iron: take them two hours apart.", **options):
    script = iter(replies)
    proposer = ScriptedModel(lambda prompt, i: next(script), "proposer")
    return asyncio.run(propose_rubric(reference, proposer, **options)), proposer


def criteria(found):
    return [criterion.text for criterion in found[0].criteria]


@pytest.mark.parametrize(
    "reply",
    [
        json.dumps({"criteria": FIVE}),
        "Sure!\n```json\n" + json.dumps({"criteria": [{"criterion": text} for text in FIVE]}) + "\n```",
        "<rubric>" + "".join(f"<criterion>{text}</criterion>" for text in FIVE) + "</rubric>",
        "Here are the criteria:\n" + "\n".join(f"{n}. {text}" for n, text in enumerate(FIVE, 1)),
        "\n".join(f"- **{text}**" for text in FIVE),
        json.dumps(FIVE),
        json.dumps({"criteria": "\n".join(f"{n}. {text}" for n, text in enumerate(FIVE, 1))}),
        "\n".join(f"**Criterion {n}:** {text}" for n, text in enumerate(FIVE, 1)),
        json.dumps({"criteria": [f"{n}. **{text}**" for n, text in enumerate(FIVE, 1)]}),
        "\n".join(f"- [ ] {text}" for text in FIVE),
    ],
    ids=[
        "json",
        "objects in fences",
        "tags",
        "a numbered list",
        "bullets",
        "a bare array",
        "a list in a text",
        "headed lines",
        "numbers in the texts",
        "boxes to tick",
    ],
)
def test_a_rubric_is_read_however_it_is_written(reply):
    found, proposer = propose(reply)
    assert criteria(found) == FIVE
    assert len(proposer.calls) == 1


def test_the_proposer_sees_the_reference_and_is_held_to_a_schema():
    _, proposer = propose(json.dumps({"criteria": FIVE}), max_tokens=500)
    messages, _, sampling = proposer.calls[0]
    assert "two hours apart" in messages[0]["content"]
    assert sampling["response_format"]["json_schema"]["schema"]["properties"]["criteria"]["minItems"] == 5
    assert (sampling["temperature"], sampling["max_tokens"]) == (0.0, 500)


def test_the_question_in_place_of_the_reference_is_the_ablation():
    _, proposer = propose(json.dumps({"criteria": FIVE}), question="Can I take zinc with iron?")
    assert "Can I take zinc" in proposer.calls[0][0][0]["content"]
    assert "two hours apart" not in proposer.calls[0][0][0]["content"]


def test_duplicates_are_merged_and_the_rest_asked_for():
    twice = [*FIVE[:3], FIVE[0].upper(), FIVE[1].rstrip(".")]
    found, proposer = propose(json.dumps({"criteria": twice}), json.dumps({"criteria": FIVE[3:]}))
    assert criteria(found) == FIVE
    assert "Write 2 more" in proposer.calls[1][0][-1]["content"]


@pytest.mark.parametrize(
    ("written", "finish_reason"),
    [
        (json.dumps({"criteria": FIVE})[:-20], "length"),
        (json.dumps({"criteria": FIVE})[:-20], "stop"),
        ("\n".join(f"- {text}" for text in FIVE)[:-20], "length"),
    ],
)
def test_a_criterion_that_was_cut_off_is_asked_for_again(written, finish_reason):
    found, proposer = propose(Rollout(written, finish_reason=finish_reason), json.dumps({"criteria": FIVE[4:]}))
    assert criteria(found) == FIVE
    assert "Write 1 more" in proposer.calls[1][0][-1]["content"]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("Describe how the response explains the gap.", "not answered by yes or no"),
        ("How many hours apart does the response recommend?", "not answered by yes or no"),
        ("Rate the clarity of the response from 1 to 10.", "not answered by yes or no"),
        ("The response agrees with the reference answer.", "without the text above"),
        ("Accurate.", "too short"),
        ("The response says " + "very " * 100, "longer than"),
        ("Zinc competes with iron so take them two hours apart with water and never at night", "a copy of 12 words"),
    ],
)
def test_criteria_that_cannot_be_judged_are_asked_for_again(bad, why):
    material = "Zinc competes with iron so take them two hours apart with water and never at night."
    found, proposer = propose(
        json.dumps({"criteria": [*FIVE[:4], bad]}), json.dumps({"criteria": FIVE[4:]}), reference=material
    )
    assert criteria(found) == FIVE
    assert why in proposer.calls[1][0][-1]["content"]


@pytest.mark.parametrize(
    "fine",
    [
        "The response states that 3 out of 10 children are affected.",
        "The response says that the reference range is 60 to 100.",
        "When asked about dose, the response names 20 mg.",
        "The response says that x > 0 solves it.",
    ],
)
def test_a_sound_criterion_is_kept(fine):
    found, proposer = propose(json.dumps({"criteria": [*FIVE[:3], "The response says that x < 0 solves it.", fine]}))
    assert fine in criteria(found)
    assert len(proposer.calls) == 1


def test_too_few_after_three_replies_is_an_error_that_keeps_them():
    with pytest.raises(RubricError, match="proposed 1 usable criteria in 3 replies, and at least 5") as caught:
        propose("I cannot.", "No list.", json.dumps({"criteria": FIVE[:1]}))
    assert caught.value.raw[0] == "I cannot."
    assert caught.value.usage.generations == 3


def test_a_rubric_of_500_is_capped():
    many = [f"The response names the fact with number {number}." for number in range(500)]
    found, _ = propose(json.dumps({"criteria": many}), most=12)
    assert criteria(found) == many[:12]


class Alternating:
    """Says `first` until it is asked once more, then the rest in turn; refuses roles that do not alternate.

    So do the chat templates of Gemma and Mistral.
    """

    name = "gemma"

    def __init__(self, first, *replies):
        self.first, self.replies, self.calls = first, list(replies), []

    async def sample(self, prompt, n=1, **sampling):
        roles = [message["role"] for message in prompt]
        self.calls.append(roles)
        if roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
            raise RequestRejected("400: Conversation roles must alternate user/assistant/user/assistant/…", status=400)
        once_more = any(words in prompt[-1]["content"] for words in ("Reply again", "more criteria"))
        return [Rollout(self.replies.pop(0) if once_more else self.first)]


@pytest.mark.parametrize("first", ["", "  \n", "<think>hm</think>", "No list."])
def test_after_an_empty_reply_a_rubric_is_asked_for_in_turns_that_alternate(first):
    proposer = Alternating(first, json.dumps({"criteria": FIVE}))
    found = asyncio.run(
        propose_rubric("Zinc competes with iron.", proposer, worked=(("Wash it.", ("It washes it.",)),))
    )
    assert criteria(found) == FIVE
    assert proposer.replies == []


@pytest.mark.parametrize("first", ["", "<think>hm</think>", "Hard to say."])
def test_after_an_empty_reply_a_judge_is_asked_in_turns_that_alternate(first):
    judge = Alternating(first, "Yes.", "No.")
    judgement = asyncio.run(judge_group(judge, Group(GROUP.example, (Rollout("zinc"),)), Rubric(("Zinc.", "Iron."))))
    assert judgement.rewards_G == (0.5,)
    comparison = Alternating(first, "Yes.")
    one = Group(GROUP.example, GROUP.rollouts[:1])
    assert asyncio.run(ModelAsJudge(comparison)(one, REFERENCE)) == [1.0]


def test_a_rubric_of_texts_is_one_of_criteria_and_what_is_none_is_refused():
    assert Rubric(["Zinc.", Criterion("Iron.", -2)]).criteria == (Criterion("Zinc."), Criterion("Iron.", -2))
    for wrong, message in (
        ("Zinc.", "not a list"),
        (["Zinc.", None], "criterion 2 is NoneType"),
        ([" "], "1 is empty"),
        ([Criterion("Zinc."), Criterion("Iron.", float("nan"))], "criterion 2 has points=nan"),
        ([Criterion("Zinc.", float("inf"))], "points=inf"),
        ([Criterion("Zinc.", "5")], "points='5'"),
        ([Criterion("Zinc.", True)], "points=True"),
        ({"Zinc.": 5, "Iron.": -2}, "are dict, not a list"),
        ({"Zinc.", "Iron."}, "are set, not a list"),
        ([Criterion(5)], "criterion 1 is int"),
        ([Criterion(" ")], "criterion 1 is empty"),
        ([Criterion("Zinc.", tags="axis:accuracy")], "tags='axis:accuracy': want a tuple"),
    ):
        with pytest.raises(ConfigError, match=message):
            Rubric(wrong)


def test_worked_examples_are_earlier_turns():
    _, proposer = propose(json.dumps({"criteria": FIVE}), worked=(("Wash a cut.", ("It says to wash it.",)),))
    roles = [message["role"] for message in proposer.calls[0][0]]
    assert roles == ["user", "assistant", "user"]
    assert json.loads(proposer.calls[0][0][1]["content"]) == {"criteria": ["It says to wash it."]}


def test_a_worked_criterion_is_not_taken_for_a_proposed_one():
    copied = [*FIVE[:4], "It says to wash it."]
    found, proposer = propose(
        json.dumps({"criteria": copied}),
        json.dumps({"criteria": FIVE}),
        worked=(("Wash a cut.", ("It says to wash it.",)),),
    )
    assert criteria(found) == FIVE
    assert "a copy of an earlier rubric" in proposer.calls[1][0][-1]["content"]


def test_a_rubric_is_asked_for_again_without_greed():
    _, proposer = propose("no", json.dumps({"criteria": FIVE}))
    assert [sampling.get("temperature") for *_, sampling in proposer.calls] == [0.0, None]


@pytest.mark.parametrize("points", ["points", "weight"])
def test_a_fault_that_would_cost_points_is_not_taken_for_something_good(points):
    fault = {"criterion": "The response tells the reader to stop iron.", points: -4}
    listed = [{"criterion": text, points: 5} for text in FIVE[:4]]
    found, _ = propose(json.dumps({"criteria": [*listed, fault]}), json.dumps({"criteria": FIVE[4:]}))
    assert criteria(found) == FIVE


@pytest.mark.parametrize("rollouts", ["Take zinc.", [Rollout("Take zinc.")]], ids=str)
def test_rollouts_beside_a_reference_are_texts(rollouts):
    with pytest.raises(ConfigError, match="want a list of the texts"):
        propose(json.dumps({"criteria": FIVE}), rollouts=rollouts)


def test_an_empty_reference_is_refused():
    with pytest.raises(ConfigError, match="reference is empty"):
        propose(json.dumps({"criteria": FIVE}), reference=" ")


GROUP = Group(Example("Can I take both?", rubric=rubric(4, -2)), (Rollout("zinc"), Rollout("iron")))
REFERENCE = Reference("Zinc competes with iron.", None, "test", GROUP)


def judge(verdict='{"reason": "r", "met": true}'):
    return ScriptedModel(lambda prompt, i: verdict, "judge")


def proposer():
    return ScriptedModel(lambda prompt, i: json.dumps({"criteria": FIVE}), "proposer")


def test_a_rubric_reward_proposes_once_and_judges_every_rollout():
    reward = RubricReward(proposer(), judge())
    assert asyncio.run(reward(GROUP, REFERENCE)) == [1.0, 1.0]
    assert len(reward.proposer.calls) == 1
    assert len(reward.judge.calls) == 10
    (judgement,) = reward.judged
    assert judgement.usage.generations == 11
    assert len(reward.to_frame()) == 10


def test_a_reference_that_brings_a_rubric_is_judged_by_it():
    reward = RubricReward(proposer(), judge())
    given = Reference("x", None, "test", GROUP, rubric=rubric(1))
    assert asyncio.run(reward(GROUP, given)) == [1.0, 1.0]
    assert reward.proposer.calls == []


def test_one_reference_has_one_rubric_however_often_it_is_asked_for():
    reward = RubricReward(proposer(), judge())

    async def both():
        return await asyncio.gather(reward.audit(GROUP, REFERENCE), reward.audit(GROUP, REFERENCE))

    first, second = asyncio.run(both())
    assert len(reward.proposer.calls) == 1
    assert first.rubric == second.rubric
    assert sorted(one.usage.generations for one in (first, second)) == [10, 11]


def test_no_lock_stays_behind_for_a_rubric_that_is_done():
    reward = RubricReward(proposer(), judge())

    async def all_at_once():
        references = [Reference(f"Zinc {number}.", None, "test", GROUP) for number in range(199)]
        await asyncio.gather(*(reward.audit(GROUP, one) for one in (*references, *references[:50])))

    asyncio.run(all_at_once())
    assert len(reward.proposer.calls) == 199
    assert len(reward.turns) == 0
    for number in range(3):
        asyncio.run(reward.audit(GROUP, Reference(f"Iron {number}.", None, "test", GROUP)))
    assert (len(reward.turns), len(reward.rubrics)) == (0, 200)


def test_no_lock_stays_behind_for_a_rubric_that_fails():
    reward = RubricReward(ScriptedModel(lambda prompt, i: "", "proposer"), judge())
    for number in range(3):
        with pytest.raises(RubricError):
            asyncio.run(reward.audit(GROUP, Reference(f"Zinc {number}.", None, "test", GROUP)))
    assert len(reward.turns) == 0


@pytest.mark.parametrize("bounds", [{"fewest": 0}, {"fewest": 30}, {"most": True}])
def test_bounds_that_no_rubric_can_have_are_refused(bounds):
    with pytest.raises(ConfigError, match=r"fewest=|most=True"):
        RubricReward(proposer(), judge(), **bounds)


def test_a_proposer_that_fails_is_not_called_weak():
    lost = Rollout("", finish_reason="error", error="it answered 500")
    with pytest.raises(RubricError, match="gave no rubric: it answered 500"):
        propose(lost)


def test_a_rubric_reward_is_its_own_manifest():
    shown = repr(RubricReward(proposer(), judge(), mode="batch"))
    assert "mode='batch'" in shown
    assert "judged" not in shown


def dropping(dropout, *, criteria=8, rollouts=("zinc", "iron"), text="Zinc competes with iron.", **options):
    """(the criteria judged, the calls of the judge) under dropout, by a reference that brings a rubric."""
    group = Group(Example("Can I take both?"), tuple(map(Rollout, rollouts)))
    brought = options.pop("rubric", None) or rubric(*[1] * criteria)
    reward = RubricReward(proposer(), judge(), dropout=dropout, **options)
    judgement = asyncio.run(reward.audit(group, Reference(text, None, "test", group, brought)))
    return [criterion.text for criterion in judgement.rubric.criteria], len(reward.judge.calls)


def test_dropout_of_a_half_halves_the_calls_of_the_judge():
    assert dropping(0.0)[1] == 16
    assert dropping(0.5)[1] == 8
    assert dropping(0.25)[1] == 12


def test_dropout_leaves_at_least_three_criteria_or_all_there_are():
    assert len(dropping(0.9)[0]) == 3
    assert len(dropping(0.9, criteria=2)[0]) == 2
    assert len(dropping(0.5, criteria=5)[0]) == 3


def test_dropout_is_the_same_again_and_differs_by_group_and_seed():
    masks = [dropping(0.5)[0], dropping(0.5)[0]]
    assert masks[0] == masks[1]
    assert len({tuple(dropping(0.5, seed=seed)[0]) for seed in range(6)}) > 1
    assert len({tuple(dropping(0.5, rollouts=(f"draw {draw}", "iron"))[0]) for draw in range(6)}) > 1
    kept = dropping(0.5, seed=3)[0]
    assert kept == sorted(kept)  # criteria keep their order


def test_a_group_and_its_reference_are_judged_by_the_same_criteria():
    group = Group(Example("Can I take both?"), (Rollout("zinc"), Rollout("iron")))
    reference = Reference("Zinc competes.", None, "test", group, rubric(*[1] * 8))
    reward = RubricReward(proposer(), judge(), dropout=0.5)
    policy, teacher = (asyncio.run(reward.audit(of, reference)) for of in (group, reference.alone))
    assert policy.rubric == teacher.rubric


def test_dropout_keeps_a_criterion_with_positive_points():
    weighed = rubric(-1, -1, -1, -1, -1, 3)
    assert all("criterion 5" in dropping(0.9, rubric=weighed, seed=seed)[0] for seed in range(5))


def test_criteria_can_be_proposed_from_rollouts_beside_the_reference():
    group = Group(Example("q"), tuple(map(Rollout, ("Take zinc.", "Take zinc.", "Take iron.", "Take tin."))))
    reward = RubricReward(proposer(), judge(), from_rollouts=2)
    asyncio.run(reward(group, Reference("Zinc competes with iron.", None, "test", group)))
    asked = reward.proposer.calls[0][0][0]["content"]
    assert [text in asked for text in ("competes", "Take zinc.", "Take iron.", "Take tin.")] == [
        True,
        True,
        True,
        False,
    ]
    assert asked.count("Take zinc.") == 1
    assert "tell the better responses above from the worse ones" in asked


def test_a_reference_that_is_a_rollout_is_not_shown_as_another_one():
    group = Group(Example("q"), tuple(map(Rollout, ("Take zinc.", "Take iron.", "Take zinc.", "Take tin."))))
    reward = RubricReward(proposer(), judge(), from_rollouts=2)
    asyncio.run(reward(group, Reference("Take zinc.", None, "MajorityVote", group)))
    prompt = reward.proposer.calls[0][0][0]["content"]
    assert [prompt.count(text) for text in ("Take zinc.", "Take iron.", "Take tin.")] == [1, 1, 1]


def test_a_rubric_of_other_rollouts_is_proposed_anew():
    reward = RubricReward(proposer(), judge(), from_rollouts=2)
    for text in ("zinc", "iron", "zinc"):
        group = Group(Example("q"), (Rollout(text),))
        asyncio.run(reward(group, Reference("Zinc competes with iron.", None, "test", group)))
    assert len(reward.proposer.calls) == 2


def test_positive_only_asks_again_for_criteria_about_what_a_response_avoids():
    more = [*FIVE[:4], "The response names a dose for adults."]
    found, proposer = propose(json.dumps({"criteria": FIVE}), json.dumps({"criteria": more}), positive_only=True)
    assert criteria(found) == more
    assert "never what it avoids" in proposer.calls[0][0][0]["content"]
    assert "about what the response avoids" in proposer.calls[1][0][-1]["content"]
    assert "never what it avoids" not in propose(json.dumps({"criteria": FIVE}))[1].calls[0][0][0]["content"]


def test_a_criterion_that_points_to_a_numbered_response_is_asked_for_again():
    """The judge sees one response, without a number."""
    pointing = [
        "The response gives a clearer dose than response 2.",
        "The response is longer than most other responses.",
    ]
    listed = [*pointing, *FIVE[:4], "The response names response times of 5 minutes."]
    found, proposer = propose(json.dumps({"criteria": listed}))
    assert criteria(found) == listed[2:]
    assert len(proposer.calls) == 1


def test_positive_only_leaves_out_criteria_with_negative_points():
    assert dropping(0.0, rubric=rubric(5, -3, 2), positive_only=True)[0] == ["criterion 0", "criterion 2"]
    with pytest.raises(ConfigError, match="leaves no criterion"):
        dropping(0.0, rubric=rubric(-3, -2), positive_only=True)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"dropout": 1.0}, "from 0 to below 1"),
        ({"dropout": -0.1}, "from 0 to below 1"),
        ({"dropout": "0.5"}, "from 0 to below 1"),
        ({"from_rollouts": 2.5}, "whole number"),
        ({"seed": "0"}, "seed='0': want a whole number"),
        ({"from_rollouts": 2, "from_question": True}, "question alone"),
        ({"mode": "explicit"}, "holistic"),
    ],
)
def test_settings_of_a_rubric_that_cannot_hold_are_refused(settings, why):
    with pytest.raises(ConfigError, match=why):
        RubricReward(proposer(), judge(), **settings)


def test_experts_are_judged_with_the_conversation_and_points():
    reward = ExpertRubric(judge())
    assert asyncio.run(reward(GROUP, REFERENCE)) == [0.5, 0.5]
    asked = reward.judge.calls[0][0][0]["content"]
    assert "Can I take both?" in asked
    assert "[4] criterion 0" in asked


def test_an_expert_score_is_over_the_whole_rubric_or_none():
    assert asyncio.run(ExpertRubric(judge("maybe"))(GROUP, REFERENCE)) == [None, None]


def test_an_example_without_a_rubric_cannot_be_graded_by_experts():
    plain = Group(Example("q", id="q1"), GROUP.rollouts)
    with pytest.raises(ConfigError, match="'q1' has no rubric"):
        asyncio.run(ExpertRubric(judge())(plain, REFERENCE))


@pytest.mark.parametrize("settings", [{"mode": "fast"}, {"min_coverage": 2}, {"min_coverage": True}])
def test_settings_that_cannot_hold_are_refused(settings):
    with pytest.raises(ConfigError):
        RubricReward(proposer(), judge(), **settings)


def test_model_as_judge_compares_with_the_reference():
    reward = ModelAsJudge(judge('{"reason": "r", "met": false}'))
    failed = Rollout("", finish_reason="error", error="500")
    rollouts = Group(GROUP.example, (Rollout("zinc"), failed, Rollout("Answer:")))
    assert asyncio.run(reward(rollouts, REFERENCE)) == [0.0, None, 0.0]
    assert len(reward.judge.calls) == 1


@pytest.mark.parametrize(
    ("said", "reward"),
    [("1", 0.0), ("10", 1.0), ("5.5", 0.5), ('"10"', 1.0), ('"7/10"', 2 / 3), ("11", None), ('"high"', None)],
)
def test_a_score_from_1_to_10_is_a_reward_from_0_to_1(said, reward):
    judging = ModelAsJudge(judge(f'{{"reason": "r", "score": {said}}}'), scale=True)
    assert asyncio.run(judging(GROUP, REFERENCE)) == [pytest.approx(reward), pytest.approx(reward)]


@pytest.mark.parametrize(
    ("said", "reward"), [("7", 2 / 3), ("Score: 7/10", 2 / 3), ("{'score': 3} no, {'score': 9}", None)]
)
def test_a_score_is_read_alone_and_not_chosen_from_two(said, reward):
    judging = ModelAsJudge(judge(said), scale=True)
    assert asyncio.run(judging(GROUP, REFERENCE)) == [pytest.approx(reward), pytest.approx(reward)]


@pytest.mark.parametrize(
    "said", ["-7", "<7", ">7", "~7", "!7", "7%", "−7", "Score: -7", "score <7", "7-8", "±7", "≥ 7"]
)
def test_a_sign_before_a_score_or_a_percent_sign_makes_it_none(said):
    for text in (said, json.dumps({"reason": "r", "score": said})):
        judging = ModelAsJudge(judge(text), scale=True)
        assert asyncio.run(judging(GROUP, REFERENCE)) == [None, None]


@pytest.mark.parametrize("said", ["**7**", "Score: **7**", "(7)", '"7".', "# 7", "**Score:** 7/10.", "`7`", "“7”"])
def test_marks_around_a_score_are_no_part_of_it(said):
    judging = ModelAsJudge(judge(said), scale=True)
    assert asyncio.run(judging(GROUP, REFERENCE)) == [pytest.approx(2 / 3)] * 2


@pytest.mark.parametrize(
    ("around", "reward"),
    [
        ("{}\nNo: 2", None),
        ("Score: 3\n{}", None),
        ("{}\nOn second thoughts I would rather rate this response with a 4.", None),
        ("{}\nSo it has 2/10 from me, as far as I can tell.", None),
        ("Score: 7/10\n{}", 2 / 3),
        ("On a scale from 1 to 10:\n{}", 2 / 3),
        ("1. Names zinc.\n2. Names iron.\n{}", 2 / 3),
        ("The response names 3 of the 4 minerals that the reference names.\n{}", 2 / 3),
        ("```json\n{}\n```", 2 / 3),
    ],
)
def test_words_around_a_score_that_name_another_leave_none(around, reward):
    judging = ModelAsJudge(judge(around.format('{"reason": "r", "score": 7}')), scale=True)
    assert asyncio.run(judging(GROUP, REFERENCE)) == [pytest.approx(reward)] * 2


TIMED_OUT = Group(GROUP.example, (Rollout("", None, "timeout"),))  # a model of one's own that tells no error


def test_a_rollout_that_ended_by_a_failure_has_no_reward_rather_than_zero():
    rewards = [AnswerMatch(), ModelAsJudge(judge()), ModelAsJudge(judge(), scale=True)]
    for reward in rewards:
        assert asyncio.run(reward(TIMED_OUT, Reference("4", "4", "gold", GROUP))) == [None]
    judgement = asyncio.run(judge_group(judge(), TIMED_OUT, rubric(1)))
    assert judgement.rewards_G == (None,)
    assert judgement.verdicts_GC[0][0].reason == "the rollout failed: timeout"


def test_a_score_cut_off_is_no_score():
    cut = Rollout('{"reason": "r", "score": 1', finish_reason="length")
    assert asyncio.run(ModelAsJudge(judge(cut), scale=True)(GROUP, REFERENCE)) == [None, None]


def test_a_comparison_that_cannot_be_read_is_asked_for_once_more():
    reward = ModelAsJudge(judge("hm"))
    assert asyncio.run(reward(GROUP, REFERENCE)) == [None, None]
    assert len(reward.judge.calls) == 4


def lengths(*texts, **options):
    async def one(group, reference):
        return [1.0] * len(group.rollouts)

    rollouts = tuple(one if isinstance(one, Rollout) else Rollout(one) for one in texts)
    return asyncio.run(LengthPenalty(one, **options)(Group(GROUP.example, rollouts), REFERENCE))


def test_a_rollout_over_the_limit_loses_one():
    assert lengths("word " * 750, "word " * 751) == [1.0, 0.0]


def test_the_servers_own_count_goes_before_words_and_a_tokenizer_before_both():
    counted = Rollout("word", usage=Usage(1, 800))
    assert lengths(counted) == [0.0]
    assert lengths(counted, count=len) == [1.0]


async def ones(group, reference):
    return [1.0] * len(group.rollouts)


def rewards_of(reference, **options):
    """What LengthPenalty gives the rollouts of a reference's group, and the reference itself."""
    penalty = LengthPenalty(ones, **options)
    return asyncio.run(penalty(reference.group, reference)), asyncio.run(penalty(reference.alone, reference))


LONG = "word " * 700  # under 750 words, over 750 of the server's tokens


@pytest.mark.parametrize(
    ("rollout", "usage"),
    [
        (Rollout(LONG, usage=Usage(1, 900)), Usage()),
        (Rollout(LONG, usage=Usage(1, 900)), Usage(5_000, 2_000, 0, 0.0, 1)),
        (Rollout(LONG), Usage(5_000, 900, 0, 0.0, 1)),
        (Rollout(LONG), Usage(None, None, None, None, 1)),
        (Rollout(LONG, usage=Usage(1, 900), reasoning="hm"), Usage(1, 900, 0, 0.0, 1)),
        (Rollout(f"<think>{LONG}</think>{LONG}", usage=Usage(1, 1_800)), Usage()),
    ],
    ids=[
        "picked",
        "an anchor that thought",
        "only the anchor counts",
        "nobody counts",
        "thinking beside",
        "thinking in it",
    ],
)
def test_a_reference_and_a_rollout_with_the_same_text_have_the_same_length(rollout, usage):
    group = Group(GROUP.example, (rollout,))
    (sampled,), (itself,) = rewards_of(Reference(LONG, None, "test", group, usage=usage))
    assert sampled == itself


def test_a_reference_is_measured_by_the_tokens_per_character_of_its_rollouts():
    group = Group(GROUP.example, (Rollout("a" * 100, usage=Usage(1, 200)), Rollout("b" * 300, usage=Usage(1, 600))))
    reference = Reference("c" * 250, None, "Synthesis", group, usage=Usage(900, 4_000, 0, 0.0, 1))
    penalty = LengthPenalty(ones, limit=499)
    assert penalty.lengths(group, reference) == [200, 600]
    assert penalty.lengths(reference.alone, reference) == [500]
    assert penalty.lengths(reference.alone, Reference("gold", "gold", "gold", group)) == [500]


@pytest.mark.parametrize("tokens", [5, 4_800])
def test_a_reference_is_not_measured_by_what_estimating_it_took(tokens):
    text = "word " * 800
    group = Group(GROUP.example, (Rollout(text), Rollout("word")))  # without counts of their own
    reference = Reference(text, None, "BestOfN", group, usage=Usage(9_000, tokens, 0, 0.0, 1))
    penalty = LengthPenalty(ones)
    assert penalty.lengths(reference.alone, reference) == [800]
    assert penalty.lengths(reference.alone, Reference("gold", "gold", "gold", reference.alone)) == [800]


def test_thinking_does_not_count_as_length():
    assert lengths(f"<think>{'word ' * 900}</think>short") == [1.0]


def test_a_language_without_spaces_is_counted_by_characters():
    assert lengths("锌和铁" * 250, "锌和铁" * 251) == [1.0, 0.0]
    assert lengths("สังกะสี" * 200, "цинк и железо " * 250) == [0.0, 1.0]


def test_a_reference_is_graded_as_what_it_is_and_keeps_what_it_cost_and_how_it_ended():
    spent = Usage(10, 5, 0, 0.1, 1)
    reference = Reference("text", "4", "s", GROUP, usage=spent)
    assert reference.alone.rollouts == (reference,)
    assert (reference.alone.usage.completion_tokens, reference.defect, reference.finish_reason) == (5, None, "stop")
    cut = Reference("text", None, "s", GROUP, truncated=True)
    assert (cut.defect, cut.finish_reason) == ("truncated", "length")
    failed = Reference("", None, "s", GROUP, error="no rollout came")
    assert (failed.defect, failed.finish_reason) == ("failed", "error")
    assert asyncio.run(AnswerMatch()(failed.alone, Reference("4", "4", "gold", GROUP))) == [None]


def test_a_reward_of_none_stays_none():
    async def nothing(group, reference):
        return [None] * len(group.rollouts)

    long = Group(GROUP.example, (Rollout("word " * 900),))
    assert asyncio.run(LengthPenalty(nothing)(long, REFERENCE)) == [None]


def test_a_penalized_rubric_can_still_be_audited():
    reward = LengthPenalty(RubricReward(proposer(), judge()), limit=1, count=len)
    judgement = asyncio.run(reward.audit(GROUP, REFERENCE))
    assert judgement.rewards_G == (0.0, 0.0)
    assert judgement.notes == ("2 of 2 rollouts have over 1 tokens: −1",)
    assert LengthPenalty(ModelAsJudge(judge())).audit is None


def test_a_changed_copy_of_a_reward_proposes_a_rubric_of_its_own(tmp_path):
    from dataclasses import replace

    proposer = ScriptedModel(lambda prompt, i: json.dumps({"criteria": [f"Names the {n}th planet." for n in range(8)]}))
    reward = RubricReward(proposer, ScriptedModel(lambda prompt, i: "yes"), fewest=2, most=3)
    group = Group(Example("Which planets?"), (Rollout("Mars."), Rollout("Venus.")))
    reference = Reference("Mars and Venus.", None, "Synthesis", group)
    wider = replace(reward, most=6)
    assert len(asyncio.run(reward.propose(group, reference))[0]) == 3
    assert len(asyncio.run(wider.propose(group, reference))[0]) == 6
    assert not wider.judged


@pytest.mark.parametrize(
    "wrong", [{"penalty": -1}, {"penalty": math.inf}, {"penalty": math.nan}, {"penalty": True}, {"count": 5}], ids=str
)
def test_a_length_penalty_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))}="):
        LengthPenalty(ModelAsJudge(judge()), **wrong)
