"""trl_reward: one float or None per completion, whatever providers do, under both of TRL's calling conventions."""

import asyncio
import math
import re
import time

import pytest
from asking import on
from faults import status
from server import Server

import catlite
from catlite import Example, Group, Reference, Task, trl_reward
from catlite.errors import ConfigError, EndpointUnavailable, EstimationError
from catlite.training import rewarder as module
from catlite.training.grouping import whole_groups
from catlite.training.rewarder import Rewarder
from catlite.training.scored import Scored, diagnostics
from catlite.training.trl import compat

FORMAT = r"is (\w+)"
PROMPT = [{"role": "user", "content": "What is it?"}]


async def vote(group):
    return await catlite.MajorityVote()(group)


async def echo(group):
    return Reference("it is a", "a", "echo", group)


async def lengths(group, reference):
    return [float(len(rollout.text)) for rollout in group.rollouts]


def batch(*answers, prompt=PROMPT):
    """What TRL sends: a prompt and a conversational completion per rollout."""
    completions = [[{"role": "assistant", "content": f"it is {answer}"}] for answer in answers]
    return {"prompts": [prompt] * len(answers), "completions": completions}


def test_rewards_follow_the_completions_groups_by_id():
    function = trl_reward(vote, num_generations=3, answer_format=FORMAT)
    rewards = function(**batch("a", "a", "b", "c", "d", "d"), qid=["x"] * 3 + ["y"] * 3)
    assert rewards == [1.0, 1.0, 0.0, 0.0, 1.0, 1.0]


def test_groups_need_not_be_in_one_piece():
    function = trl_reward(vote, num_generations=3, answer_format=FORMAT)
    rewards = function(**batch("a", "c", "a", "d", "b", "d"), qid=["x", "y"] * 3)
    assert rewards == [1.0, 0.0, 1.0, 1.0, 0.0, 1.0]


def test_one_question_may_come_as_two_groups():
    assert list(whole_groups(["x"] * 4, 2)) == [("x", [0, 1]), ("x", [2, 3])]


def test_without_an_id_column_rows_are_grouped_by_prompt():
    function = trl_reward(vote, num_generations=2, answer_format=FORMAT)
    sent = {"prompts": ["one", "two", "one", "two"], "completions": ["is a", "is b", "is a", "is c"]}
    assert function(**sent) == [1.0, 1.0, 1.0, 0.0]


def test_text_completions_and_text_prompts_are_taken_too():
    function = trl_reward(vote, num_generations=2, answer_format=FORMAT)
    assert function(prompts=["q"] * 2, completions=["is a", "is a"]) == [1.0, 1.0]


def test_gold_answers_of_the_task_are_seen_by_nobody():
    seen = []

    async def spy(group):
        seen.append(group.example)
        return await vote(group)

    task = Task("t", (Example(PROMPT, answer="secret", answer_format=FORMAT, id="x", metadata={"answer": "secret"}),))
    trl_reward(spy, task=task, num_generations=2)(**batch("a", "b"), qid=["x"] * 2, answer=["secret"] * 2)
    assert seen
    assert "secret" not in repr(seen)


def test_a_partial_group_names_the_setting_to_change():
    function = trl_reward(vote, num_generations=4, answer_format=FORMAT)
    with pytest.raises(ConfigError, match=r"2 rollouts of question 'y', .*num_generations_eval"):
        function(**batch("a", "b", "c", "d", "e", "f"), qid=["x"] * 4 + ["y"] * 2)


@pytest.mark.parametrize("size", [1, 0, True, 2.0])
def test_a_group_of_one_is_refused(size):
    with pytest.raises(ConfigError, match="at least 2"):
        trl_reward(vote, num_generations=size)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"timeout": 0}, "timeout=0: want a positive number of seconds"),
        ({"timeout": "60"}, "timeout='60': want a positive number"),
        ({"timeout": math.nan}, "timeout=nan: want a positive number"),
        ({"max_completion_length": 0}, "max_completion_length=0: want a whole number of at least 1"),
        ({"max_completion_length": "8"}, "max_completion_length='8': want a whole number"),
        ({"budget": 3}, "budget=3: want Budget"),
    ],
)
def test_numbers_that_cannot_work_are_refused_before_training(setting, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        trl_reward(vote, **setting)


def test_an_id_that_is_not_in_the_task_is_refused():
    function = trl_reward(vote, task=Task("t", (Example(PROMPT, id="x"),)), num_generations=2)
    with pytest.raises(ConfigError, match=r"not in the task: make .* with its ids as the column 'qid'"):
        function(**batch("a", "b"), qid=["z", "z"])


def test_duplicate_ids_are_refused():
    with pytest.raises(ConfigError, match="'x'"):
        trl_reward(vote, task=Task("t", (Example("a", id="x"), Example("b", id="x"))))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([1.0], "gave 1 values for a group of 2"),
        ([1.0, 2.0, 3.0], "gave 3 values"),
        ([1.0, math.nan], "gave nan for rollout 1"),
        ([math.inf, 1.0], "gave inf for rollout 0"),
        (["1", 1.0], "gave '1' for rollout 0"),
        (1.0, "gave float"),
        (None, "gave NoneType"),
    ],
)
def test_what_no_reward_is_is_refused_by_name(given, said):
    async def wrong(group, reference):
        return given

    with pytest.raises(ConfigError, match=said) as caught:
        trl_reward(echo, wrong, num_generations=2)(**batch("a", "b"))
    assert "wrong" in str(caught.value)


def not_async(*_):
    return Reference("it is a", "a", "echo", Group(Example("What?"), ()))


async def gives_nothing(group):
    return None


async def gives_text(group):
    return "it is a"


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ((not_async,), "not_async gave a Reference at once, and nothing to await: write it as an async function"),
        ((echo, not_async), "not_async gave a Reference at once"),
        ((gives_nothing,), "the estimator gives_nothing gave None: give a Reference, with abstained=True"),
        ((gives_text,), "the estimator gives_text gave a str"),
    ],
)
def test_a_part_that_does_not_give_what_it_should_is_refused_by_name(parts, said):
    with pytest.raises(ConfigError, match=said):
        trl_reward(*parts, num_generations=2)(**batch("a", "b"))


@pytest.mark.parametrize(("column", "values"), [("qid", ["x"]), ("completion_ids", [[1]])])
def test_a_column_that_is_too_short_is_told(column, values):
    with pytest.raises(ConfigError, match=f"1 {column} for 2 completions"):
        trl_reward(echo, num_generations=2)(**batch("a", "b") | {column: values})


def test_numpy_numbers_are_floats():
    import numpy as np

    async def scores(group, reference):
        return [np.float32(0.5), np.int64(1)]

    rewards = trl_reward(echo, scores, num_generations=2)(**batch("a", "b"))
    assert rewards == [0.5, 1.0]
    assert all(type(reward) is float for reward in rewards)


def test_a_group_whose_estimator_fails_abstains_and_the_others_go_on():
    async def half(group):
        if group.rollouts[0].answer == "a":
            raise EstimationError("no idea", group)
        return await vote(group)

    function = trl_reward(half, num_generations=2, answer_format=FORMAT)
    assert function(**batch("a", "a", "b", "b"), qid=["x", "x", "y", "y"]) == [None, None, 1.0, 1.0]
    assert function.last.faults == ["no idea"]


def test_a_foreign_clients_error_abstains_too():
    async def broken(group):
        raise RuntimeError("their server is on fire")

    function = trl_reward(broken, num_generations=2)
    assert function(**batch("a", "a")) == [None, None]
    assert function.last.faults == ["RuntimeError: their server is on fire"]


def test_a_group_without_a_usable_rollout_abstains_without_a_call():
    function = trl_reward(echo, num_generations=2, answer_format=FORMAT)
    assert function(prompts=["q"] * 2, completions=["", " "]) == [None, None]


def test_a_call_that_hangs_is_given_up_at_its_deadline():
    async def hangs(group):
        await asyncio.sleep(60)

    started = time.monotonic()
    assert trl_reward(hangs, num_generations=2, timeout=0.2)(**batch("a", "a")) == [None, None]
    assert time.monotonic() - started < 30


def test_all_groups_are_under_way_at_once():
    waiting, most = 0, 0

    async def slow(group):
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await asyncio.sleep(0.05)
        waiting -= 1
        return await vote(group)

    trl_reward(slow, num_generations=2, answer_format=FORMAT)(**batch(*"abcdefgh" * 2), qid=sorted("12345678" * 2))
    assert most == 8


def test_rollouts_that_were_cut_off_are_told_by_their_tokens():
    seen = []

    async def spy(group):
        seen.append([rollout.finish_reason for rollout in group.rollouts])
        return await echo(group)

    function = trl_reward(spy, num_generations=3, max_completion_length=3, eos_token_ids=[9])
    function(**batch("a", "a", "a"), completion_ids=[[1, 2, 3], [1, 2, 9], [1, 9]])
    assert seen == [["length", "stop", "stop"]]


def test_a_length_penalty_counts_the_trainers_tokens():
    function = trl_reward(echo, catlite.LengthPenalty(partly, limit=2), num_generations=3)
    rewards = function(**batch("a", "a", "a"), completion_ids=[[1, 2, 3], [1], [1, 2]], log_metric=Logged().metric)
    assert rewards == [0.0, None, 0.0]


def test_a_reference_that_was_cut_off_before_its_answer_teaches_nothing():
    async def cut(group):
        return Reference("so we begin", None, "cut", group, truncated=True)

    function = trl_reward(cut, lengths, num_generations=2)
    assert function(**batch("a", "a")) == [None, None]
    assert "raise the estimator's max_tokens" in function.last.faults[0]

    async def said(group):
        return Reference("it is a, and", "a", "said", group, truncated=True)

    assert trl_reward(said, num_generations=2, answer_format=FORMAT)(**batch("a", "b")) == [1.0, 0.0]


def test_what_would_fail_again_alike_is_not_waited_for():
    function = trl_reward(catlite.MinPerplexity(), lengths, num_generations=2, timeout=60)  # no log-probabilities
    started = time.monotonic()
    assert function(**batch("a", "b")) == [None, None]
    assert time.monotonic() - started < 20
    assert "logprobs=True" in function.last.faults[0]


class Logged:
    """TRL 1.x's log_metric and log_extra."""

    def __init__(self):
        self.metrics, self.extra = {}, {}

    def metric(self, name, value):
        self.metrics[name] = value

    def column(self, name, values):
        self.extra[name] = values


def test_metrics_and_references_are_logged_where_trl_takes_them():
    logged = Logged()
    function = trl_reward(vote, num_generations=4, answer_format=FORMAT)
    sent = batch("a", "a", "a", "b", "c", "c", "c", "c")
    function(**sent, qid=["x"] * 4 + ["y"] * 4, log_metric=logged.metric, log_extra=logged.column, trainer_state=None)
    assert logged.metrics["cat/reward"] == 7 / 8
    assert logged.metrics["cat/support"] == 7 / 8
    assert logged.metrics["cat/coverage"] == 1.0
    assert logged.metrics["cat/abstained"] == 0.0
    # x: two of the three others agree with an "a"; of the twelve ordered pairs six are equal. y: all agree.
    assert logged.metrics["cat/teacher"] == pytest.approx((2 / 3 + 1) / 2)
    assert logged.metrics["cat/policy"] == pytest.approx((6 / 12 + 1) / 2)
    assert logged.extra["reference"] == ["it is a"] * 4 + ["it is c"] * 4


async def partly(group, reference):
    return [1.0, None, 0.0]


@pytest.mark.parametrize(
    ("release", "given"), [("0.22.2", 0.5), ("1.0.0", 0.5), ("1.5.1", 0.5), ("1.6.0", None), ("1.15.0", None)]
)
def test_older_trl_which_reads_none_as_0_gets_the_groups_mean_instead(monkeypatch, release, given):
    monkeypatch.setattr(compat, "version", lambda name: release)
    function = trl_reward(echo, partly, num_generations=3)
    assert function(**batch("a", "a", "a"), log_metric=Logged().metric) == [1.0, given, 0.0]


def test_a_group_that_abstains_is_none_for_older_trl_too():
    async def nothing(group, reference):
        return [None, None]

    assert trl_reward(echo, nothing, num_generations=2)(**batch("a", "a")) == [None, None]


def test_positional_names_are_what_trl_calls_by():
    import inspect

    names = list(inspect.signature(trl_reward(vote)).parameters)
    assert {"prompts", "completions", "completion_ids", "log_extra", "log_metric"} <= set(names)
    assert not inspect.iscoroutinefunction(trl_reward(vote))
    assert trl_reward(vote).__name__ == "cat"


def test_no_agreement_is_claimed_where_answers_cannot_be_compared():
    group = Group(Example("q"), (catlite.Rollout("x"), catlite.Rollout("y")))
    scored = Scored(group, Reference("x", None, "echo", group), (1.0, 0.5))
    assert set(asyncio.run(diagnostics([scored]))) == {"cat/coverage", "cat/abstained", "cat/reward"}


def test_a_judge_that_is_down_is_asked_again_until_it_is_back(monkeypatch):
    monkeypatch.setattr(module, "_BETWEEN", (0.01, 0.02))
    tries = []

    async def judged(group, reference):
        tries.append(1)
        if len(tries) < 7:
            raise EndpointUnavailable("connection refused")
        return [1.0] * len(group.rollouts)

    function = trl_reward(echo, judged, num_generations=2)
    assert function(**batch("a", "a", "b", "b"), qid=[1, 1, 2, 2]) == [1.0] * 4
    assert len(tries) in (8, 9)  # both groups, until one of a round came through


def test_a_judge_that_is_down_is_waited_for_beside_a_group_that_can_have_no_reward(monkeypatch):
    monkeypatch.setattr(module, "_BETWEEN", (0.01, 0.02))
    tries = []

    async def judged(group, reference):
        tries.append(group.example.id)
        if len(tries) < 4:
            raise EndpointUnavailable("connection refused")
        return [1.0] * len(group.rollouts)

    empty = [{"role": "assistant", "content": ""}]
    given = batch("a", "a", "b", "b")
    given["completions"] = [*given["completions"][:2], empty, empty]
    assert trl_reward(echo, judged, num_generations=2)(**given, qid=[1, 1, 2, 2]) == [1.0, 1.0, None, None]
    assert tries == ["1"] * 4


def test_a_judge_that_stays_down_is_waited_for_within_the_bound(monkeypatch):
    monkeypatch.setattr(module, "_BETWEEN", (0.01, 0.02))

    async def judged(group, reference):
        raise EndpointUnavailable("connection refused")

    started = time.monotonic()
    assert trl_reward(echo, judged, num_generations=2, timeout=0.5)(**batch("a", "a")) == [None, None]
    assert 0.3 < time.monotonic() - started < 30


class Judged:
    """A reward that asks an endpoint, and says None for what did not come."""

    def __init__(self, judge):
        self.judge = judge

    async def __call__(self, group, reference):
        replies = [(await self.judge.sample(one.text, 1))[0] for one in group.rollouts]
        return [None if reply.error else 1.0 for reply in replies]


def test_a_reward_that_swallows_its_judges_failure_is_asked_again_too(monkeypatch):
    monkeypatch.setattr(module, "_BETWEEN", (0.01, 0.02))
    with Server("yes", faults=[status(503)] * 8) as server:
        endpoint = on(server, retry_seconds=0.05)
        function = trl_reward(echo, Judged(endpoint), num_generations=2, timeout=30)
        assert function(**batch("a", "b")) == [1.0, 1.0]
        endpoint.close()


def test_a_wrong_key_is_not_waited_for():
    with Server("yes") as server:
        endpoint = on(server, api_key="sk-wrong-0123456789")
        function = trl_reward(echo, Judged(endpoint), num_generations=2, timeout=60)
        started = time.monotonic()
        with pytest.warns(UserWarning, match="groups get no rewards: .* answered 401"):
            assert function(**batch("a", "b")) == [None, None]
        assert time.monotonic() - started < 20
        assert function.last.scored[0].over
        endpoint.close()


def test_a_budget_that_is_reached_abstains_and_what_was_paid_is_kept(tmp_path):
    with Server("yes") as server:
        endpoint = on(server)
        paid = {"run": tmp_path, "num_generations": 2, "timeout": 30}
        function = trl_reward(echo, Judged(endpoint), budget=catlite.Budget(requests=3), **paid)
        sent = batch("a", "b", "c", "d")
        with pytest.warns(UserWarning, match="groups get no rewards: the budget is reached"):
            assert function(**sent, qid=[1, 1, 2, 2]).count(None) in (2, 4)
        before = len(server.requests)
        assert before <= 3
        richer = trl_reward(echo, Judged(endpoint), budget=catlite.Budget(requests=10), **paid)
        assert richer(**sent, qid=[1, 1, 2, 2]) == [1.0] * 4
        assert len(server.requests) == 4
        endpoint.close()


def test_a_budget_without_a_run_is_over_all_steps():
    with Server("yes") as server:
        endpoint = on(server)
        budget = catlite.Budget(requests=3)
        function = trl_reward(echo, Judged(endpoint), num_generations=2, timeout=30, budget=budget)
        assert function(**batch("a", "b")) == [1.0, 1.0]
        for answers in ("cd", "ef"):
            with pytest.warns(UserWarning, match="groups get no rewards: the budget is reached"):
                assert function(**batch(*answers)) == [None, None]
        assert len(server.requests) == 3
        endpoint.close()


def test_the_rewarder_takes_a_reference_it_is_given():
    async def never(group):
        raise AssertionError

    group = Group(Example("q"), (catlite.Rollout("abc"),))
    found = asyncio.run(Rewarder(never, lengths, 10).score([group], [Reference("x", None, "given", group)]))
    assert found.rewards == [3.0]


def test_what_a_judge_was_asked_without_is_a_warning_once_and_a_metric():
    def refusal(number, body):
        return status(400, "response_format is not supported") if "response_format" in body else None

    with Server('{"reason": "the same", "met": true}', faults=refusal) as server:
        endpoint = on(server)
        function = trl_reward(echo, catlite.ModelAsJudge(endpoint), num_generations=2, timeout=30)
        with pytest.warns(UserWarning, match="while groups were rewarded: .* was asked without response_format"):
            function(**batch("a", "b"))
        assert function(**batch("c", "d")) == [1.0, 1.0]  # and no warning, which would be an error
        assert function.last.metrics["cat/noted"] == 1.0
        endpoint.close()
