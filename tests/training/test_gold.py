"""A gold judge scores held-back prompts, is never trained on, and tells when the reward is being hacked."""

import asyncio
import json
import math
from dataclasses import dataclass

import pytest

from catlite import (
    AnswerMatch,
    Budget,
    Example,
    ExpertRubric,
    LengthPenalty,
    Panel,
    Reference,
    RelativeJudge,
    RubricReward,
    ScriptedModel,
    VoteShare,
)
from catlite.errors import AuthenticationFailed, ConfigError, OwnJudgeWarning
from catlite.preflight import check_stop
from catlite.training.checks import Check, check, gold_says_stop
from catlite.training.config import TrainConfig
from catlite.training.gold import gold_rewarder
from catlite.training.rewarder import Rewarder
from catlite.training.watch import Watch

HELD = [Example("Which?"), Example("And?")]


async def zinc(group):
    return Reference("zinc", group.example.parse("zinc"), "test", group)


async def lengths(group, reference):
    return [float(len(rollout.text)) for rollout in group.rollouts]


async def shortness(group, reference):
    return [1.0 / len(rollout.text) for rollout in group.rollouts]


def checked(gold, examples=HELD, reply="tin"):
    policy = ScriptedModel(lambda prompt, i: reply, "policy")
    gold = None if gold is None else Rewarder(zinc, gold, 10)
    return asyncio.run(check(policy, examples, Rewarder(zinc, lengths, 10), 2, 0, gold))


def test_a_check_has_the_gold_judges_reward_and_the_gap_to_it():
    found = checked(shortness)
    assert (found.reward, found.gold, found.gold_se) == (3.0, pytest.approx(1 / 3), 0.0)
    assert found.gold_gap == pytest.approx(3 - 1 / 3)
    metrics = found.as_metrics()
    assert metrics["check/gold"] == pytest.approx(1 / 3)
    assert metrics["check/gold_gap"] == pytest.approx(3 - 1 / 3)
    assert not [name for name in checked(None).as_metrics() if "gold" in name]


def test_the_gold_judge_compares_with_the_gold_answer_where_there_is_one():
    examples = [Example("Which?", "tin", answer_format=r"(\w+)"), Example("And?", "lead", answer_format=r"(\w+)")]
    found = checked(AnswerMatch(), examples)
    assert found.gold == 0.5
    assert checked(AnswerMatch(), [Example("Which?", answer_format=r"(\w+)")]).gold == 0.0  # the reference is zinc


def test_a_gold_judge_that_could_judge_nothing_leaves_its_figures_out():
    async def silent(group, reference):
        return [None] * len(group.rollouts)

    with pytest.warns(
        UserWarning, match="the gold judge scored none of the 2 prompts of a check.*: silent could judge"
    ):
        found = checked(silent)
    assert (found.reward, found.gold) == (3.0, None)

    async def refused(group, reference):
        raise AuthenticationFailed("the key is refused", status=401)

    with pytest.warns(UserWarning, match="the gold judge scored none .*: the key is refused"):
        assert checked(refused).gold is None

    async def second_only(group, reference):
        return [0.5 if "And" in group.example.prompt else None for _ in group.rollouts]

    found = checked(second_only)
    assert (found.gold, found.gold_gap) == (0.5, 2.5)
    assert math.isnan(found.gold_se)


def history(*pairs, error=0.01):
    return [
        Check(10 * at, 8, 0.0, 0.0, 0.0, 0.0, reward, 0.0, gold, error, reward - (gold or 0.0), error)
        for at, (reward, gold) in enumerate(pairs)
    ]


def test_a_reward_that_rises_while_the_gold_judges_falls_ends_training():
    hacked = history((0.3, 0.5), (0.5, 0.6), (0.6, 0.5), (0.7, 0.45), (0.8, 0.4))
    assert "as when a judge is hacked: 0.500 and 0.600 at step 10, 0.800 and 0.400" in gold_says_stop(hacked)
    assert gold_says_stop(hacked[:-1]) is None


@pytest.mark.parametrize(
    "checks",
    [
        history((0.3, 0.5), (0.5, 0.6), (0.6, 0.7), (0.7, 0.75), (0.8, 0.8)),  # both rise
        history((0.3, 0.5), (0.5, 0.6), (0.5, 0.5), (0.4, 0.45), (0.3, 0.4)),  # both fall
        history((0.3, 0.5), (0.5, 0.6), (0.6, 0.595), (0.7, 0.59), (0.8, 0.595)),  # within the error
        history((0.3, 0.5), (0.5, 0.6), (0.6, 0.5), (0.7, 0.65), (0.8, 0.4)),  # not in a row
        history((0.3, 0.5), (0.5, 0.6), (0.6, 0.4), (0.7, 0.4), (0.8, 0.4), error=math.nan),
        history((0.3, 0.5)),
        [],
    ],
)
def test_anything_else_goes_on(checks):
    assert gold_says_stop(checks) is None


def test_checks_without_the_gold_judge_are_passed_over_and_never_the_best():
    checks = history((0.3, 0.5), (0.4, None), (0.5, 0.6), (0.6, 0.5), (0.9, None), (0.7, 0.45), (0.8, 0.4))
    assert gold_says_stop(checks) is not None
    watch = Watch(None, None, best_by="gold")
    assert [watch._remember(one) for one in checks] == [True, False, True, False, False, False, False]
    assert watch.best.gold == 0.6


def model(name):
    return ScriptedModel(lambda prompt, i: "", name)


def made(gold, reward=lengths, held=HELD, policy="policy"):
    config = TrainConfig(gold_judge=gold)
    return gold_rewarder(config, model(policy), Rewarder(zinc, reward, 10), held)


def test_a_gold_judge_that_is_the_judge_is_refused():
    trained = LengthPenalty(RubricReward(model("anchor"), model("gpt-4o")))
    for gold in (
        RubricReward(model("other"), model("gpt-4o"), mode="holistic"),
        LengthPenalty(ExpertRubric(model("gpt-4o"))),
    ):
        with pytest.raises(ConfigError, match="gold_judge is 'gpt-4o', the judge that is trained against"):
            made(gold, trained)
    with pytest.raises(ConfigError, match="gold_judge is 'openai/gpt-4o', the judge"):
        made(ExpertRubric(model("openai/gpt-4o")), trained)
    with pytest.raises(ConfigError, match="gold_judge is 'gpt-4o', the judge"):
        made(ExpertRubric(Panel([model("gpt-4o"), model("claude")])), trained)
    with pytest.raises(ConfigError, match="gold_judge is the reward that is trained against"):
        made(lengths)
    assert made(RubricReward(model("anchor"), model("claude")), trained).reward.judge.name == "claude"
    assert made(None) is None


def test_a_gold_judge_needs_prompts_that_are_held_back_and_have_what_it_grades_by():
    with pytest.raises(ConfigError, match="held_back=16, or pass validation"):
        made(shortness, held=[])
    with pytest.raises(ConfigError, match="ExpertRubric grades by the rubric"):
        made(ExpertRubric(model("claude")))
    with_rubric = [Example("Which?", rubric=["Names zinc."]), Example("And?")]
    assert made(ExpertRubric(model("claude")), held=with_rubric) is not None


def test_a_gold_judge_that_only_compares_within_a_group_is_refused():
    for gold in (LengthPenalty(RelativeJudge(model("claude"))), VoteShare()):
        with pytest.raises(ConfigError, match="compares the rollouts of one group"):
            made(gold)


def test_training_does_not_end_by_the_mean_of_a_reward_that_only_compares():
    compared = LengthPenalty(RelativeJudge(model("claude")))
    for stop in ("reward", "gold", "gap"):
        with pytest.raises(ConfigError, match=f'stop="{stop}" goes by the mean reward, and RelativeJudge compares'):
            check_stop(stop, compared, HELD)
        check_stop(stop, lengths, HELD)
    check_stop("gap", compared, [Example("Which?", answer_format="boxed")])
    check_stop(None, compared, HELD)


def test_a_policy_that_is_its_own_gold_judge_is_warned_of():
    with pytest.warns(OwnJudgeWarning):
        made(ExpertRubric(model("policy")), held=[Example("Which?", rubric=["Names zinc."])])


def test_settings_of_a_gold_judge_that_cannot_hold_are_refused():
    for settings, why in (
        ({"stop": "gold"}, "give gold_judge="),
        ({"gold_judge": "gpt-4o"}, "a reward is an object"),
        ({"gold_judge": model("gpt-4o")}, "is a model"),
        ({"gold_judge": AnswerMatch}, "is its class"),
        ({"gold_judge": shortness, "gold_every": 0}, "at least 1"),
    ):
        with pytest.raises(ConfigError, match=why):
            TrainConfig(**settings)


@dataclass(frozen=True)
class Watched:
    """A reward that looks at nothing, with a field as a client would be."""

    client: object

    async def __call__(self, group, reference):
        return [0.5] * len(group.rollouts)


def test_the_settings_of_a_run_with_a_gold_judge_are_json_and_the_same_in_every_process():
    configs = [TrainConfig(gold_judge=Watched(object()), trl={"report_to": "none"}).as_dict() for _ in range(2)]
    assert configs[0] == configs[1]
    assert json.loads(json.dumps(configs[0])) == configs[0]
    assert configs[0]["gold_judge"].startswith("Watched(client=<object object")
    assert TrainConfig(gold_judge=shortness).as_dict()["gold_judge"] == "shortness"
    assert TrainConfig().as_dict()["gold_judge"] is None


def test_the_policys_own_rollouts_in_a_check_are_not_on_the_budget(tmp_path):
    """A step's are not either; train ended with BudgetReached in the first check that went over."""
    pytest.importorskip("torch", reason="needs catlite[train]")
    pytest.importorskip("trl", reason="needs catlite[train]")
    from tiny import tiny_model
    from trainings import small, trained

    config = small(steps=1, held_back=2)
    run = trained(tiny_model(tmp_path / "model"), config=config, budget=Budget(tokens=100))
    assert run.complete
    assert [row["check/prompts"] for row in run.metrics] == [2, 2]


def test_a_run_is_checked_by_the_gold_judge_every_so_often_and_keeps_its_best(tmp_path):
    pytest.importorskip("torch", reason="needs catlite[train]")
    pytest.importorskip("trl", reason="needs catlite[train]")
    from tiny import tiny_model
    from trainings import small, trained

    asked = []

    async def gold(group, reference):
        asked.append(group.example.id)
        return [float("a" in rollout.text) for rollout in group.rollouts]

    config = small(steps=2, check_every=1, held_back=2, gold_judge=gold, gold_every=2, stop="gold")
    run = trained(tiny_model(tmp_path / "model"), run=tmp_path / "run", config=config)
    by_step = {row["step"]: "check/gold" in row for row in run.metrics}
    assert by_step == {0: True, 1: False, 2: True}
    assert len(set(asked)) == 2  # the held-back prompts
    assert run.best_step in (0, 2)
    assert "check/gold" in run.to_frame()
    assert run.plot().axes[0].get_legend() is not None
    again = trained(tmp_path / "model", run=tmp_path / "run", config=config)
    assert (again.best_step, len(asked)) == (run.best_step, 4)
