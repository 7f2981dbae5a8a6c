"""A model of the user's own is kept by a run and held within a budget, by whoever of the pipeline asks it."""

import asyncio
import itertools
from contextlib import suppress

import numpy as np
import pytest
from server import Server

import catlite
from catlite import Budget, Endpoint, Example, MajorityVote, MinPerplexity, Price, Rollout, ScriptedModel, Usage
from catlite.errors import BudgetReached, ConfigError, StoreError
from catlite.models import ask
from catlite.models.base import Traits
from catlite.runs.session import capped, current, metered, open_run, samples_from

QUESTIONS = [Example(f"question {number}", answer_format="boxed") for number in range(4)]


class Mine:
    """A model as a user writes one."""

    name = "mine"

    def __init__(self, usage=None, version="1", **about):
        self.calls, self.usage = [], usage
        self.traits = Traits(version=version, **about)

    async def sample(self, prompt, n=1, **sampling):
        self.calls.append((n, sampling))
        await asyncio.sleep(0)
        return [Rollout(r"\boxed{1}", usage=self.usage)] * n

    async def logprobs(self, prompt, text):
        self.calls.append((text, {}))
        return [-1.0, -2.0]


def sample(model, prompt="q", n=1, **sampling):
    return asyncio.run(ask.sample(model, prompt, n, **sampling))


def test_its_replies_are_kept_and_not_asked_for_again(tmp_path):
    for model, calls in ((Mine(), 4), (Mine(), 0)):
        references = catlite.estimate(QUESTIONS, model, estimator=MajorityVote(), n=2, run=tmp_path)
        assert [reference.answer for reference in references] == ["1"] * 4
        assert len(model.calls) == calls


def test_only_the_missing_replies_are_asked_for_and_with_another_seed(tmp_path):
    model = Mine()
    with open_run(tmp_path):
        sample(model, n=2, seed=5)
        assert len(sample(model, n=5, seed=5)) == 5
        with samples_from(5):
            sample(model, n=1, seed=5)
    assert model.calls == [(2, {"seed": 5}), (3, {"seed": 7}), (1, {"seed": 10})]


def test_a_failed_reply_is_not_kept_and_what_it_cost_is(tmp_path):
    class Failing(Mine):
        async def sample(self, prompt, n=1, **sampling):
            self.calls.append(n)
            return [Rollout("", error="503", finish_reason="error"), Rollout("a", usage=Usage(3, 1, 0, 0.0, 1))][:n]

    model = Failing()
    with open_run(tmp_path) as store:
        assert [rollout.error for rollout in sample(model, n=2, max_tokens=9)] == ["503", None]
        assert store.account.spent == Usage(1 + 16, 2 * 9, 0, None, 2)
        sample(model, n=2, max_tokens=9)
    assert model.calls == [2, 1]


@pytest.mark.parametrize(
    ("usage", "tokens", "requests"),
    [(Usage(3, 2, 0, 0.0, 1), 10, 2), (None, 17 + 2 * 20, 2), (Usage(3, 2), 10, 2)],
    ids=["told", "silent", "what Usage() says by itself"],
)
def test_it_is_booked_at_what_it_says_and_else_at_the_most(usage, tokens, requests):
    with capped(Budget(tokens=1000)) as ledger:
        sample(Mine(usage), n=2, max_tokens=20)
    assert (ledger.spent.total_tokens, ledger.spent.requests) == (tokens, requests)


def test_a_call_that_raises_is_booked_at_the_most():
    class Broken(Mine):
        async def sample(self, prompt, n=1, **sampling):
            raise RuntimeError("out of order")

    with capped(Budget(tokens=1000)) as ledger, pytest.raises(RuntimeError):
        sample(Broken(), max_tokens=20)
    assert ledger.spent.total_tokens == 17 + 20


def test_a_budget_stops_it_and_needs_max_tokens_and_a_price():
    references = catlite.estimate(QUESTIONS, Mine(), estimator=MajorityVote(), n=2, budget=Budget(requests=5))
    assert [reference.error is None for reference in references] == [True, True, False, False]
    for budget, settings, match in (
        (Budget(tokens=100), {}, "max_tokens"),
        (Budget(usd=1), {"max_tokens": 9}, "price of 'mine'"),
    ):
        with capped(budget), pytest.raises(ConfigError, match=match):
            sample(Mine(), **settings)
    with capped(Budget(usd=1e-9)), pytest.raises(BudgetReached):
        sample(Mine(price=Price(1, 1)), max_tokens=9)


def test_its_scores_are_kept_and_booked(tmp_path):
    groups = catlite.Group(QUESTIONS[0], (Rollout("a"), Rollout("b")))
    for model, calls in ((Mine(), 2), (Mine(), 0)):
        with open_run(tmp_path) as store:
            reference = asyncio.run(MinPerplexity(model)(groups))
        assert reference.usage.prompt_tokens is None  # it does not say
        assert len(model.calls) == calls
    assert store.account.spent.requests == 2
    assert store.account.spent.prompt_tokens > 0


class Wrapper(Mine):
    """Hands on to an endpoint, whose name it has."""

    name = "test-model"

    def __init__(self, inner, version="1"):
        super().__init__(version=version)
        self.inner = inner

    async def sample(self, prompt, n=1, **sampling):
        self.calls.append(n)
        return await self.inner.sample(f"please: {prompt}", n, **sampling)


def test_what_it_hands_on_to_an_endpoint_is_booked_and_kept_once(tmp_path):
    with Server("four") as server, Endpoint("test-model", base_url=server.url, api_key=server.key) as inner:
        for _ in range(2):
            with open_run(tmp_path, Budget(tokens=70)) as store:  # room for one of the two
                rollouts = sample(Wrapper(inner), n=2, max_tokens=20)
            assert [rollout.text for rollout in rollouts] == ["four"] * 2
        booked = store.account.spent
        assert (booked.requests, booked.completion_tokens) == (len(server.requests), 2)
        assert server.completions == 1  # of a group
    replay = catlite.Replay(tmp_path)
    assert sample(replay, "please: q", n=2)[0].text == "four"


def test_without_a_version_nothing_is_kept_and_two_models_of_one_class_are_two(tmp_path):
    class Constant(Mine):
        def __init__(self, answer, version=None):
            super().__init__(version=version)
            self.answer = answer

        async def sample(self, prompt, n=1, **sampling):
            return [Rollout(rf"\\boxed{{{self.answer}}}", logprobs=(np.float32(-0.5),))] * n

    for version in (None, "v"):
        for answer in "12":
            model = Constant(answer, version and f"{version}{answer}")
            (reference, *_) = catlite.estimate(QUESTIONS, model, estimator=MajorityVote(), n=2, run=tmp_path)
            assert reference.answer == answer


def test_a_larger_group_of_a_model_that_hands_on_has_no_reply_twice(tmp_path):
    drawn = itertools.count()
    for version in (None, "1"):
        with Server(lambda body, i: f"answer {next(drawn)}") as server:
            with Endpoint("test-model", base_url=server.url, api_key=server.key) as inner:
                model = Wrapper(inner, version)
                with open_run(tmp_path / str(version)):
                    sample(model, n=2)
                    texts = [rollout.text for rollout in sample(model, n=6)]
            assert len(set(texts)) == 6


def test_models_that_hand_on_share_a_budget_without_waiting_for_one_another(tmp_path):
    with Server("four") as server:
        inner = Endpoint("test-model", base_url=server.url, api_key=server.key, max_connections=2)
        with inner, open_run(tmp_path, Budget(tokens=2_000)) as store:

            async def work():
                calls = (ask.sample(Wrapper(inner), f"q{number}", max_tokens=20) for number in range(30))
                return await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 60)

            replies = asyncio.run(work())
            assert sum(isinstance(reply, list) for reply in replies) > 10
            assert store.account.spent.total_tokens <= 2_000


def test_what_it_hands_on_is_booked_there_and_what_it_used_beside_that_here(tmp_path):
    class Both(Wrapper):
        async def sample(self, prompt, n=1, **sampling):
            return [*await super().sample(prompt, n - 1, **sampling), Rollout("own", usage=Usage(50, 40, 0, 0.0, 1))]

    with Server("four") as server, Endpoint("test-model", base_url=server.url, api_key=server.key) as inner:
        for _ in range(2):  # the second time the endpoint's reply is found in the run
            with open_run(tmp_path) as store:
                before = store.account.spent
                sample(Both(inner, None), n=2, max_tokens=20)
                spent = store.account.spent
    assert spent.completion_tokens - before.completion_tokens == 40
    assert (before.requests, spent.requests) == (2, 3)


def test_a_reply_of_a_model_that_changed_its_version_meanwhile_is_not_kept(tmp_path):
    class Trained(Mine):
        async def sample(self, prompt, n=1, **sampling):
            self.traits = Traits(version="2")
            return await super().sample(prompt, n, **sampling)

    with open_run(tmp_path) as store:
        with pytest.raises(StoreError, match="was replaced while it was asked"):
            sample(Trained())
        assert store.addresses("mine") == []


@pytest.mark.parametrize("deep", [1, 2, 3])
def test_what_it_hands_on_through_others_is_booked_once(deep):
    class HandsOn:
        name = "hands on"

        def __init__(self, inner):
            self.inner = inner

        async def sample(self, prompt, n=1, **sampling):
            return await ask.sample(self.inner, prompt, n, **sampling)

    with Server("four") as server, Endpoint("test-model", base_url=server.url, api_key=server.key) as model:
        for _ in range(deep):
            model = HandsOn(model)
        with capped(Budget(tokens=1000)) as ledger:
            (rollout,) = sample(model, max_tokens=20)
    assert (ledger.spent.total_tokens, ledger.spent.requests) == (rollout.usage.total_tokens, 1)


def test_a_model_that_is_priced_is_booked_in_dollars_whatever_its_usage_leaves_out():
    model = Mine(Usage(100, 10), price=Price(1, 1))
    with capped(Budget(usd=0.0005)) as ledger:
        for number in range(20):
            with suppress(BudgetReached):
                sample(model, f"q{number}", max_tokens=10)
    assert 0 < ledger.spent.cost_usd <= 0.0005
    assert len(model.calls) < 20


def test_an_error_of_its_own_is_booked_at_the_most():
    class Broken(Mine):
        async def sample(self, prompt, n=1, **sampling):
            raise ConfigError("after paying")

    with capped(Budget(tokens=1000)) as ledger, pytest.raises(ConfigError):
        sample(Broken(), max_tokens=20)
    assert ledger.spent.total_tokens == 17 + 20


def test_a_script_is_free_and_its_replies_are_those_of_today(tmp_path):
    with open_run(tmp_path, Budget(tokens=1)) as store:
        for text in ("a", "b"):
            assert sample(ScriptedModel(lambda prompt, i, text=text: text))[0].text == text
        assert store.account.spent == Usage()


def test_a_replay_pays_nothing(tmp_path):
    with open_run(tmp_path / "first"):
        sample(Mine(Usage(3, 2, 0, 0.0, 1)), n=2)
        asyncio.run(ask.logprobs(Mine(), "q", "text"))
    replay = catlite.Replay(tmp_path / "first")
    with open_run(tmp_path / "second", Budget(requests=1)) as store, metered() as spent:
        assert len(sample(replay, n=2)) == 2
        assert asyncio.run(ask.logprobs(replay, "q", "text")) == [-1.0, -2.0]
        assert store.account.spent == Usage()
        assert len(spent) == 3  # what it cost when it was drawn


def test_a_model_that_cannot_score_says_so():
    with pytest.raises(ConfigError, match="cannot score"):
        asyncio.run(ask.logprobs(ScriptedModel(lambda prompt, i: ""), "q", "text"))


def test_nothing_stays_in_force_after_a_block(tmp_path):
    before = current()
    with open_run(tmp_path, Budget(tokens=9)):
        assert current().store.account is current().ledger.account
    assert current() is before


def test_a_scripted_model_of_a_text_is_refused_where_it_is_made():
    with pytest.raises(ConfigError, match="reply='42': want a function"):
        catlite.ScriptedModel("42")


class Odd(Mine):
    """Returns what a model should not."""

    def __init__(self, replies, version=None):
        super().__init__(version=version)
        self.replies = replies

    async def sample(self, prompt, n=1, **sampling):
        return self.replies


@pytest.mark.parametrize("run", [False, True])
@pytest.mark.parametrize(
    ("replies", "match"),
    [
        ("42", "a str"),
        (["42", "43"], "a str"),
        (None, "a NoneType"),
        (Rollout("42"), "a Rollout with the text '42'"),
        ([Rollout(42)], "a Rollout with the text 42"),
    ],
    ids=["text", "texts", "nothing", "one rollout", "no text"],
)
def test_what_is_no_list_of_rollouts_is_an_error_that_says_so(replies, match, run, tmp_path):
    with open_run(tmp_path if run else None), pytest.raises(ConfigError, match=f"'mine' gave {match}: its sample"):
        sample(Odd(replies, version="1"), n=2)
    with pytest.raises(ConfigError, match="'scripted' gave a int"):
        sample(ScriptedModel(lambda prompt, i: 42))


@pytest.mark.parametrize("version", [None, "1"])
@pytest.mark.parametrize("run", [False, True])
def test_a_reply_that_did_not_come_is_one_that_failed_and_is_no_smaller_group(version, run, tmp_path):
    with open_run(tmp_path if run else None):
        few = sample(Odd([Rollout("a")], version), n=3)
        none = catlite.estimate(["other"], Odd([], version), n=2)
    assert [reply.error for reply in few] == [None] + ["'mine' gave 1 of 3 replies"] * 2
    assert "2 × 'mine' gave 0 of 2 replies" in none[0].error
    anchor = catlite.estimate(["q"], ScriptedModel(lambda prompt, i: "a"), estimator=catlite.Synthesis(Odd([])))
    assert anchor[0].error.endswith("gave no synthesis: 'mine' gave 0 of 1 replies")
