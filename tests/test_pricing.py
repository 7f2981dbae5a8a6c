"""The cost before the run: counted by the call itself, rehearsed or asked, and never 0 where it is unknown."""

import json
import math
import re

import pytest
from faults import status

import catlite
from catlite import (
    AnchoredVote,
    BestOfN,
    Budget,
    Endpoint,
    Example,
    ExpertRubric,
    LengthPenalty,
    MajorityVote,
    ModelAsJudge,
    MutualPredictability,
    Price,
    RecursiveSynthesis,
    Reference,
    RelativeJudge,
    Rollout,
    Rubric,
    RubricReward,
    Synthesis,
    Task,
    TrainConfig,
    Usage,
    cost,
    estimate,
    evaluate,
    train,
)
from catlite.costs import COUNTS
from catlite.errors import ConfigError
from catlite.models import ask
from catlite.models.base import Traits
from catlite.rewards.controls import RandomReward

NOWHERE = {"base_url": "http://127.0.0.1:9/v1", "api_key": "none"}
TASK = Task("sums", tuple(Example(f"{a}+1?", str(a + 1), answer_format="boxed") for a in range(10)))


def model(name="policy", **settings):
    """A model that nobody can reach: a rehearsal must not try."""
    return Endpoint(name, **NOWHERE, **{"price": Price(1.0, 10.0), **settings})


def requests(expected):
    return expected.to_frame().requests.to_dict()


def test_a_rehearsal_counts_every_call_and_makes_none():
    judge = model("judge")
    expected = cost(evaluate, TASK, model(), estimators=[Synthesis(judge), BestOfN(judge), MajorityVote()], n=4)
    assert requests(expected) == {"policy": 10, "judge": 20, "total": 30}


@pytest.mark.parametrize(
    ("estimator", "calls"),
    [
        (lambda other: RecursiveSynthesis(other, width=4), 3),
        (lambda other: AnchoredVote(other, n=16), 1),
        (MutualPredictability, 8),
        (lambda _: MajorityVote(), 0),
    ],
)
def test_an_estimator_tells_its_calls_by_making_them(estimator, calls):
    expected = cost(estimate, TASK, model(), estimator=estimator(model("other")), max_tokens=10)
    assert requests(expected).get("other", 0) == 10 * calls


@pytest.mark.parametrize(
    ("mode", "calls"),
    [("single", 3), ("batch", 1), ("soft", 3), ("levels", 3), ("holistic", 1)],
)
def test_a_judge_is_asked_about_every_rollout_and_criterion(mode, calls):
    rubric = Rubric(["Names zinc.", "Names iron.", "Names copper."])
    task = Task("rubrics", (Example("Why zinc?", rubric=rubric),))
    expected = cost(evaluate, task, model(), grader=ExpertRubric(model("judge"), mode=mode), n=4)
    assert requests(expected)["judge"] == 4 * calls


def test_a_group_is_scored_in_one_call():
    from catlite import LocalModel

    reward, config = LengthPenalty(RelativeJudge(model("judge"))), TrainConfig(steps=10, prompts_per_step=3)
    expected = cost(train, TASK, LocalModel("local"), reward=reward, estimator=MajorityVote(), config=config)
    assert requests(expected)["judge"] == 10 * 3


def test_a_comparison_is_counted_for_both_models():
    expected = cost(catlite.compare, model("before"), model("after"), TASK, n=4, max_tokens=10)
    # Rollouts and a greedy reply of each, and two syntheses by the first.
    assert requests(expected) == {"before": 10 * (2 + 2), "after": 10 * 2, "total": 10 * 6}


@pytest.mark.parametrize("sample", [0, 2])
def test_the_members_of_a_panel_are_counted_each(sample):
    scripted = [catlite.ScriptedModel(lambda *_: "It is 1.", name) for name in ("one", "other")]
    members = scripted if sample else [model("one"), model("other")]
    panel = catlite.Panel([(members[0], 3), (members[1], 1)])
    frame = cost(estimate, TASK, panel, estimator=MajorityVote(), n=4, max_tokens=10, sample=sample).to_frame()
    assert list(frame.index) == ["one", "other", "total"]
    assert frame.completion_tokens.tolist() == ([90, 30, 120] if sample else [300, 100, 400])


def test_a_rubric_is_proposed_at_its_longest():
    reward = RubricReward(model("proposer"), model("judge"), most=7)
    task = Task("open", (Example("Why zinc?", "Because."),))
    expected = cost(evaluate, task, model(), grader=reward, estimators=Synthesis(model()), n=2)
    assert requests(expected) == {"policy": 2, "proposer": 1, "judge": 3 * 7, "total": 3 + 3 * 7}


def test_tokens_and_dollars_are_those_of_prompts_and_of_replies_at_their_limit():
    task = Task("one", (Example("x" * 400),))
    expected = cost(estimate, task, model(), estimator=BestOfN(model("judge")), n=3, max_tokens=50)
    policy = expected.to_frame().loc["policy"]
    assert (policy.requests, policy.prompt_tokens, policy.completion_tokens) == (1, 100 + 4, 150)
    assert policy.cost_usd == pytest.approx((104 + 10 * 150) / 1e6)
    judge = expected.to_frame().loc["judge"]
    assert judge.prompt_tokens > 150
    assert judge.completion_tokens == 100
    assert expected.usd == pytest.approx(policy.cost_usd + judge.cost_usd)
    assert expected.usd_se == 0


def test_replies_without_a_limit_are_assumed_and_said():
    expected = cost(estimate, TASK, model(), n=2)
    assert expected.to_frame().loc["total", "completion_tokens"] == 10 * 3 * 500
    assert "500 tokens where there is no limit" in str(expected)
    assert "500" not in str(cost(estimate, TASK, model(), n=2, max_tokens=64))


def test_an_unknown_price_is_never_0():
    expected = cost(evaluate, TASK, model(), estimators=Synthesis(model("other", price=None)))
    assert (expected.usd, expected.usd_se) == (None, None)
    assert expected.to_frame().loc["policy", "cost_usd"] > 0
    assert "cost unknown" in str(expected)
    assert "No price is known of 'other'" in str(expected)
    assert "No price is known of" in expected._repr_html_()


def test_a_model_that_does_not_say_what_it_used_is_not_told_to_have_no_price():
    class Silent:
        name, traits = "silent", Traits(price=Price(1.0, 1.0))

        async def sample(self, prompt, n=1, **sampling):
            return [Rollout("a")] * n

    expected = cost(estimate, ["q"], Silent(), n=2, sample=1, max_tokens=9)
    assert expected.usd is None
    assert "'silent' did not say what was used, so the cost is not known." in str(expected)
    assert "No price" not in str(expected)


def test_a_large_task_is_counted_on_100_questions_with_the_error_of_that():
    task = Task("many", tuple(Example("x" * 4 * (place % 7 + 1)) for place in range(1_000)))
    expected = cost(estimate, task, model(), estimator=BestOfN(model("judge")), n=1, max_tokens=10)
    assert requests(expected)["policy"] == 1_000
    row = expected.to_frame().loc["policy"]
    assert row.prompt_tokens == pytest.approx(1_000 * (4 + 4), abs=3 * row.prompt_tokens_se)
    assert 0 < row.prompt_tokens_se < 1_000 * 2 / math.sqrt(100)
    assert "Counted on 100 of 1,000 questions" in str(expected)


def test_an_estimator_of_the_users_own_is_counted_by_what_it_asks():
    async def twice(group):
        for temperature in (0.0, 1.0):
            await ask.sample(model("mine"), group.example.prompt, 1, temperature=temperature)
        return Reference("x", None, "twice", group)

    assert requests(cost(estimate, TASK, model(), estimator=twice))["mine"] == 20


@pytest.mark.parametrize("sample", [0, 2])
def test_a_model_that_is_asked_past_the_rehearsal_is_an_error_and_not_asked(sample):
    async def past(group):
        await model("mine").sample(group.example.prompt)

    with pytest.raises(ConfigError, match=r"'mine' is asked past catlite\.models\.ask.* write"):
        cost(estimate, TASK, catlite.ScriptedModel(lambda *_: "It is 1."), estimator=past, sample=sample)


def test_some_questions_asked_for_real_are_not_paid_twice(server, tmp_path):
    server.reply = lambda body, i: body["messages"][-1]["content"][:4] + r" \boxed{1}"
    with Endpoint("test-model", base_url=server.url, api_key=server.key, price=Price(1.0, 10.0)) as policy:
        settings = {"estimators": Synthesis(policy), "n": 2, "run": tmp_path / "run", "budget": Budget(requests=50)}
        expected = cost(evaluate, TASK, policy, sample=3, **settings)
        sent = len(server.requests)
        assert sent == 6
        assert (expected.asked, requests(expected)["total"]) == (3, 20)
        used = expected.to_frame().loc["total"]
        result = evaluate(TASK, policy, **settings)
        assert len(server.requests) == 20
        total = Usage.total(row.usage for row in result.rows if row.system == "Synthesis")
        assert used.prompt_tokens == pytest.approx(total.prompt_tokens, rel=0.2)
        assert used.completion_tokens == pytest.approx(total.completion_tokens, rel=0.2)
        assert expected.usd == pytest.approx(total.cost_usd, rel=0.2)
        assert "Counted on 3 of 10 questions, asked for $" in str(expected)
        assert f"they are kept in {str(tmp_path / 'run')!r}" in str(expected)
        again = cost(evaluate, TASK, policy, sample=3, **settings)
        assert len(server.requests) == 20
        assert again.usd == pytest.approx(expected.usd)


def test_a_budget_holds_for_the_sample_and_the_figures_are_said_to_be_too_low(server):
    with Endpoint("test-model", base_url=server.url, api_key=server.key) as policy:
        expected = cost(estimate, TASK, policy, sample=5, n=1, budget=Budget(requests=3))
    assert len(server.requests) == 3
    assert re.search(r"Too low: calls for \d questions of these failed\. the budget is reached", str(expected))


def test_a_sample_that_failed_is_said_to_be_too_low(server):
    server.script(status(500, "oops") if place == 0 else None for place in range(20))
    with Endpoint("test-model", base_url=server.url, api_key=server.key, retry_seconds=0.01) as policy:
        expected = cost(evaluate, TASK, policy, sample=4, n=1)
    assert "Too low: calls for 1 question of these failed." in str(expected)
    assert "Too low" not in str(cost(evaluate, TASK, policy, sample=4, n=1))


def test_a_rehearsal_leaves_nothing_in_the_reward_or_in_what_is_known_of_the_judge():
    judge = model("judge")
    reward = RubricReward(judge, judge)
    task = Task("open", (Example("Why zinc?", "Because."),))
    first = cost(evaluate, task, model(), grader=reward, estimators=Synthesis(model()), n=2)
    assert (reward.rubrics, list(reward.judged)) == ({}, [])
    assert (judge.traits.taken, judge.traits.refused) == (set(), set())
    assert requests(cost(evaluate, task, model(), grader=reward, estimators=Synthesis(model()), n=2)) == requests(first)


def test_settings_that_a_judge_is_known_to_refuse_do_not_change_what_is_counted():
    class Everything(set):
        def __contains__(self, setting):
            return True

    class Picky:
        name, traits = "picky", Traits(refused=Everything())

        async def sample(self, prompt, n=1, **sampling):
            raise AssertionError("it was asked")

    task = Task("open", (Example("Why zinc?", "Because."),))
    expected = cost(evaluate, task, model(), grader=RubricReward(Picky(), Picky(), most=7), n=2)
    assert requests(expected)["picky"] == 1 + 2 * 7


def test_the_replies_of_a_run_cost_nothing_again(server, tmp_path):
    server.reply = r"\boxed{1}"
    with Endpoint("test-model", base_url=server.url, api_key=server.key) as policy:
        evaluate(TASK, policy, n=2, run=tmp_path / "run")
    stored = catlite.Replay(tmp_path / "run")
    for sample in (0, 3):
        assert requests(cost(evaluate, TASK, stored, n=2, sample=sample)) == {"total": 0}
    expected = cost(evaluate, TASK, stored, grader=ModelAsJudge(model("judge")), n=2)
    assert requests(expected) == {"judge": 20, "total": 20}
    assert expected.usd > 0


def test_what_a_models_own_rollouts_do_not_say_is_unknown():
    class Mine:
        name = "mine"

        async def sample(self, prompt, n=1, **sampling):
            return [Rollout(r"\boxed{1}")] * n

    expected = cost(estimate, TASK, Mine(), estimator=MajorityVote(), n=2, sample=2)
    row = expected.to_frame().loc["mine"]
    assert row.requests == 20
    assert row[["prompt_tokens", "completion_tokens", "cost_usd"]].tolist() == [None] * 3
    assert "asked at an unknown price; nothing was kept: give run= to pay for them once" in str(expected)


def test_scores_are_counted_when_they_are_asked_for_real():
    class Scorer:
        name = "scorer"

        async def sample(self, prompt, n=1, **sampling):
            return [Rollout("a reply")] * n

        async def logprobs(self, prompt, text):
            return [-1.0, -2.0]

    expected = cost(estimate, TASK, Scorer(), estimator=MutualPredictability(Scorer()), n=2, sample=10)
    assert requests(expected)["scorer"] == 20 + 20


def test_a_training_is_counted_by_its_groups(tmp_path):
    from catlite import LocalModel

    policy, judge = LocalModel("local"), model("judge")
    config = TrainConfig(steps=10, prompts_per_step=3, num_generations=4, held_back=2, check_every=5)
    task = Task("open", tuple(Example(f"Why {place}?") for place in range(6)))
    reward = RubricReward(policy.frozen(), judge, fewest=2, most=5)
    expected = cost(train, task, policy, reward=reward, config=config)
    calls = (10 * 3 + 2 * 3) * 4 * 5 + 2 * 3 * 5  # a check rewards its references as well
    groups = 10 * 3 + 2 * 3  # a check before the first step and one after every fifth
    assert expected.questions == groups
    assert requests(expected) == {
        "SmolLM2-135M-Instruct": 0,
        "SmolLM2-135M-Instruct, frozen": 0,
        "judge": calls,
        "total": calls,
    }
    assert expected.to_frame().loc["SmolLM2-135M-Instruct", "cost_usd"] == 0
    assert f"train(open), {groups} groups" in str(expected)
    uneven = TrainConfig(steps=11, prompts_per_step=3, num_generations=4, held_back=2, check_every=5)
    assert cost(train, task, policy, reward=reward, config=uneven).questions == 11 * 3 + 2 * 4
    control = cost(train, TASK, policy, estimator=MajorityVote(), reward=RandomReward(), config=config)
    assert (requests(control)["total"], control.usd) == (0, 0)


@pytest.mark.parametrize(("gold_every", "checks"), [(1, 4), (2, 3)])  # of the steps 0, 5, 10, 12
def test_a_gold_judge_is_counted_in_the_checks_that_have_it(gold_every, checks):
    gold = ExpertRubric(model("gold"))
    held = Task("held", tuple(Example(f"Why {place}?", rubric=Rubric(["Names it."] * 3)) for place in range(2)))
    settings = {"steps": 12, "prompts_per_step": 3, "num_generations": 4, "check_every": 5}
    config = TrainConfig(**settings, gold_judge=gold, gold_every=gold_every)
    expected = cost(train, TASK, "local", reward=RandomReward(), validation=held, config=config)
    assert requests(expected)["gold"] == checks * 2 * 4 * 3


@pytest.mark.parametrize(
    ("call", "arguments", "settings", "message"),
    [
        (
            catlite.synthesize,
            ("Why?",),
            {},
            r"synthesize: cost\(\) takes catlite\.evaluate, estimate, compare",
        ),
        ("evaluate", (TASK,), {}, r"'evaluate': cost\(\) takes"),
        (evaluate, (TASK,), {"budgett": 1}, r"budgett"),
        (evaluate, (), {}, r"evaluate: cost\(\) takes .* missing a required argument: 'task'"),
        (estimate, ([],), {}, "'examples' has no examples, so there is nothing that could cost"),
        (estimate, (TASK,), {"sample": -1}, "sample=-1: want a whole number of at least 0"),
        (train, (TASK, "local"), {"sample": 5}, "sample=5: the rollouts of a training change with every step"),
    ],
)
def test_what_has_no_cost_to_tell_is_an_error(call, arguments, settings, message):
    with pytest.raises(ConfigError, match=message):
        cost(call, *arguments, **settings)


def test_the_judge_of_answers_is_counted_too():
    expected = cost(evaluate, TASK, model(), grader=ModelAsJudge(model("judge")), n=3)
    assert requests(expected)["judge"] == 30


def test_a_dry_run_prints_the_cost_and_asks_nobody(tmp_path, monkeypatch, capsys):
    from catlite.cli.main import main

    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    rows = tmp_path / "rows.jsonl"
    row = {"prompt_id": "a", "prompt": [{"role": "user", "content": "Zinc?"}], "example_tags": []}
    rows.write_text(json.dumps(row | {"rubrics": [{"criterion": "Names it.", "points": 5, "tags": []}] * 3}))
    run = (
        "--model",
        "gpt-4.1-mini",
        "--judge",
        "gpt-4.1",
        "--judge-reasoning-effort",
        "low",
        "--max-tokens",
        "100",
        "--dry-run",
    )
    assert main(["evaluate", "healthbench", "--path", str(rows), "--n", "1", "--estimators", "none", *run]) == 0
    output = capsys.readouterr().out
    assert "evaluate(healthbench), 1 question: cost to expect" in output
    assert "Replies are as long as --max-tokens allows" in output
    assert [line.split()[:2] for line in output.splitlines()[3:6]] == [
        ["gpt-4.1-mini", "1"],
        ["gpt-4.1", "3"],
        ["total", "4"],
    ]
    assert main(["evaluate", "times_tables", "--limit", "1", *run[:2], "--dry-run", "--json"]) == 0
    assert [row["requests"] for row in json.loads(capsys.readouterr().out)] == [2, 2]


def test_no_frame_of_a_failure_shows_a_key():
    key = "sk-test-0123456789abcdef"
    with pytest.raises(ConfigError) as caught:
        cost(evaluate, [], "policy", base_url="http://127.0.0.1:9/v1", api_key=key)
    frames = [entry.frame.f_locals for entry in caught.traceback if "catlite" in str(entry.path.parent.name)]
    assert frames
    assert key not in repr(frames)


def test_a_small_sum_is_shown_with_its_digits_and_not_as_nothing():
    row = {"model": "m", **dict.fromkeys(COUNTS, 0), **{f"{name}_se": 0.0 for name in COUNTS}, "cost_usd": 0.0014}
    assert "$0.0014" in str(catlite.Cost("evaluate", "sums", 3, 0, (row,), ()))
