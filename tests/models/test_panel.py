"""Panels: who gives which reply, and what becomes of a member that fails."""

import asyncio
import math

import pytest
from server import Server

import catlite
from catlite.analysis.panels import agreement, members, vote_weights
from catlite.errors import AuthenticationFailed, BudgetReached, ConfigError, EndpointUnavailable, QuotaExhausted
from catlite.members import Sampled, count_members
from catlite.models import panel as module
from catlite.models.base import traits
from catlite.models.naming import called, resolve
from catlite.models.panel import Panel
from catlite.runs import session


def scripted(name, fails=None):
    def reply(prompt, i):
        if fails is not None:
            raise fails
        return f"{name} {i}"

    return catlite.ScriptedModel(reply, name=name)


def sample(panel, n, first=0, prompt="Who?"):
    async def go():
        with session.samples_from(first):
            return await panel.sample(prompt, n)

    return asyncio.run(go())


@pytest.mark.parametrize(
    ("counts", "n", "each"), [((4, 4), 8, [4, 4]), ((6, 2), 8, [6, 2]), ((3, 1), 4, [3, 1]), ((1, 1, 1), 7, [3, 2, 2])]
)
def test_members_take_turns_in_proportion_to_their_counts(counts, n, each):
    members = [scripted(name) for name in "abc"[: len(counts)]]
    rollouts = sample(Panel(list(zip(members, counts, strict=True))), n)
    assert [sum(rollout.model == member.name for rollout in rollouts) for member in members] == each
    # Each member counts its own replies, without a gap.
    assert all(
        [r.text for r in rollouts if r.model == m.name] == [f"{m.name} {i}" for i in range(count)]
        for m, count in zip(members, each, strict=True)
    )


@pytest.mark.parametrize("cut", range(1, 9))
def test_replies_asked_for_later_are_those_of_one_call(cut):
    panel = Panel([(scripted("a"), 3), (scripted("b"), 2)])
    replies = [sample(panel, 9), sample(panel, cut) + sample(panel, 9 - cut, first=cut)]
    whole, parts = ([(rollout.model, rollout.text) for rollout in rollouts] for rollouts in replies)
    assert whole == parts


def test_one_reply_is_of_the_member_with_the_larger_count():
    assert sample(Panel([(scripted("a"), 1), (scripted("b"), 3)]), 1)[0].model == "b"


def test_one_reply_is_of_the_first_member_that_does_not_refuse_for_every_prompt():
    panel = Panel([(scripted("bad", AuthenticationFailed("wrong key", status=401)), 3), scripted("good")])
    for _ in range(2):
        reference = catlite.synthesize("Who?", panel, n=4)
        assert [rollout.error for rollout in reference.rollouts] == [*["bad: wrong key"] * 2, None, "bad: wrong key"]
        assert any("'bad' refuses, so 'good' answered: wrong key" in note for note in reference.notes)
    replies = [sample(panel, 1, first)[0] for first in range(4)]
    assert [reply.model for reply in replies] == ["good"] * 4
    assert len({reply.text for reply in replies}) == 4  # none is given twice
    with pytest.raises(EndpointUnavailable):  # another prompt may be answered
        sample(Panel([(scripted("down", EndpointUnavailable("down")), 2), scripted("good")]), 1)


def test_one_reply_is_an_error_where_all_refuse():
    with pytest.raises(AuthenticationFailed, match="first"):
        sample(Panel([scripted(name, AuthenticationFailed(name, status=401)) for name in ("first", "second")]), 1)


def test_a_member_that_fails_loses_its_own_replies_only_and_is_asked_once_where_its_key_is_wrong():
    calls = []

    def refuse(prompt, i):
        calls.append(i)
        raise AuthenticationFailed("wrong key", status=401)

    panel = Panel([scripted("good"), catlite.ScriptedModel(refuse, name="bad")])
    for _ in range(3):
        rollouts = sample(panel, 4)
        assert [rollout.error for rollout in rollouts if rollout.model == "good"] == [None, None]
        assert [rollout.error for rollout in rollouts if rollout.model == "bad"] == ["bad: wrong key"] * 2
    assert len(calls) == 1


@pytest.mark.parametrize("count", [1, 3])
def test_a_member_that_gives_another_number_of_replies_loses_only_its_own(count):
    class Other:
        name = "other"

        async def sample(self, prompt, n=1, **sampling):
            return [catlite.Rollout("mine")] * count

    rollouts = sample(Panel([scripted("good"), Other()]), 4)
    assert [rollout.error for rollout in rollouts if rollout.model == "good"] == [None, None]
    own = [rollout for rollout in rollouts if rollout.model == "other"]
    assert [rollout.text for rollout in own] == ["mine", "mine" if count > 1 else ""]
    assert count > 1 or own[1].error == "'other' gave 1 of 2 replies"


def test_a_member_that_refuses_gives_its_earlier_replies_to_their_own_prompt_only():
    class Empty:
        name = "empty"

        async def sample(self, prompt, n=1, **sampling):
            error = QuotaExhausted("no credit", status=402)
            error.rollouts = (catlite.Rollout(f"to {prompt}"),)
            raise error

    panel = Panel([scripted("good"), Empty()])
    references = catlite.estimate(["first?", "second?"], panel, estimator=catlite.BestOfN(scripted("judge")), n=4)
    texts = [[rollout.text for rollout in reference.rollouts if rollout.model == "empty"] for reference in references]
    assert texts == [["to first?", ""], ["", ""]]


def test_when_all_refuse_no_prompt_gets_the_replies_to_another():
    def refuse(prompt, i):
        error = AuthenticationFailed("wrong key", status=401)
        error.rollouts = (catlite.Rollout(f"to {prompt}"),)
        raise error

    panel = Panel([catlite.ScriptedModel(refuse, name) for name in "ab"])
    for prompt, came in (("first?", 2), ("second?", 0)):
        with pytest.raises(AuthenticationFailed) as caught:
            sample(panel, 2, prompt=prompt)
        assert [rollout.text for rollout in caught.value.rollouts] == [f"to {prompt}"] * came


def test_a_budget_in_dollars_asks_nobody_where_a_member_has_no_price(server):
    server.models = None
    members = [
        catlite.Endpoint(name, base_url=server.url, api_key=server.key, price=price)
        for name, price in (("m1", catlite.Price(1, 1)), ("m2", None))
    ]
    with pytest.raises(ConfigError, match="needs the price of 'm2'"):
        catlite.synthesize("Who?", Panel(members), n=4, max_tokens=9, budget=catlite.Budget(usd=1))
    assert not server.requests


def test_a_single_sample_of_a_panel_costs_the_mean_over_its_rollouts(server):
    server.models = None
    members = [
        (catlite.Endpoint(name, base_url=server.url, api_key=server.key, price=catlite.Price(price, price)), count)
        for name, price, count in (("m1", 1, 7), ("m2", 100, 1))
    ]
    task = catlite.Task("one", (catlite.Example("2 + 2?", "4", answer_format="boxed"),))
    alone = [catlite.evaluate(task, member, n=1).rows[0].usage.cost_usd for member, _ in members]
    assert alone[1] == pytest.approx(100 * alone[0])
    row = catlite.evaluate(task, Panel(members), n=8).rows[0]
    assert row.usage.cost_usd == pytest.approx((7 * alone[0] + alone[1]) / 8)


def test_an_address_is_that_of_the_members_given_by_name():
    other = scripted("other")
    panel = resolve(["org/a", ("org/b", 2), other], base_url="http://127.0.0.1:9/v1", api_key="none")
    assert panel.name == "1 org/a + 2 org/b + 1 other"
    assert [traits(member).version for member in panel.members] == ["http://127.0.0.1:9/v1"] * 2 + [None]
    with pytest.raises(ConfigError, match="a Model object already has its own"):
        resolve([scripted("a"), scripted("b")], base_url="http://127.0.0.1:9/v1")
    with pytest.raises(ConfigError, match="each with its own key"):
        resolve(["gpt-4o", "anthropic/claude-haiku-4-5"], api_key="sk-1234567890")


def test_two_servers_of_one_name_are_told_apart_by_their_addresses(tmp_path):
    with Server(lambda body, i: f"first {i}") as first, Server(lambda body, i: f"second {i}") as second:
        members = [catlite.Endpoint("default", base_url=server.url, api_key=server.key) for server in (first, second)]
        names = [f"default at {server.url}" for server in (first, second)]
        for server in (first, second):
            server.models = None
        for asked in (2, 2):  # the second time they are found in the run
            panel = Panel(members)
            with catlite.runs.session.open_run(tmp_path):
                rollouts = sample(panel, 4)
            assert [(rollout.model, rollout.text) for rollout in rollouts] == [
                *[(names[0], "first 0"), (names[1], "second 0"), (names[0], "first 1"), (names[1], "second 1")]
            ]
            assert [sum(request.body.get("n", 1) for request in server.requests) for server in (first, second)] == [
                asked,
                asked,
            ]
        assert panel.name == f"1 {names[0]} + 1 {names[1]}"
        with pytest.raises(ConfigError, match="has 'default' twice"):
            Panel([*members, catlite.Endpoint("default", base_url=first.url, api_key=first.key)])


def test_closing_a_panel_closes_the_members_given_by_name_alone(monkeypatch):
    closed = []

    class Open(catlite.Endpoint):
        async def aclose(self):
            closed.append(self.name)
            if self.name == "a":
                raise OSError("cannot be closed")

    monkeypatch.setattr(module, "named", lambda name, *where: Open(name, base_url="http://127.0.0.1:9/v1"))
    with Panel(["b", "c", Open("mine", base_url="http://127.0.0.1:9/v1")]):
        pass
    assert sorted(closed) == ["b", "c"]
    closed.clear()

    async def go():
        async with Panel(["b", "a", "c"]):
            pass

    with pytest.raises(OSError, match="cannot be closed"):
        asyncio.run(go())
    assert sorted(closed) == ["a", "b", "c"]


def test_a_member_with_a_wrong_key_is_told_beside_the_others_replies(server, tmp_path):
    server.models = None
    good, bad = (
        catlite.Endpoint(name, base_url=server.url, api_key=key, price=catlite.Price(1, 1))
        for name, key in (("good", server.key), ("bad", "sk-wrong-1234567"))
    )
    task = [catlite.Example(f"{a} + 2?", "4", answer_format="boxed") for a in range(3)]
    server.reply = r"\boxed{4}"
    budget = catlite.Budget(usd=1)
    result = catlite.evaluate(
        task, Panel([good, bad]), estimators=catlite.MajorityVote(), n=4, max_tokens=9, run=tmp_path, budget=budget
    )
    assert result.score("MajorityVote")[0] == 1
    table = members(result).set_index("model")
    assert table["failed"].to_dict() == {"good": 0, "bad": 6}
    assert table["cost_usd"]["bad"] == 0  # a refusal is not an unknown cost
    assert sum(row.usage.cost_usd for row in result.rows[1::2]) == pytest.approx(table["cost_usd"]["good"])
    assert "bad failed to give 6 of 6 replies: bad: " in str(result)
    assert "1234567" not in str(result)
    assert "1234567" not in repr(result.groups)


def test_the_failure_of_all_members_is_an_error():
    with pytest.raises(EndpointUnavailable, match="first"):
        sample(Panel([scripted("a", EndpointUnavailable("first")), scripted("b", EndpointUnavailable("second"))]), 2)


def test_a_budget_that_is_reached_ends_the_call_and_keeps_what_came():
    with pytest.raises(BudgetReached) as caught:
        sample(Panel([scripted("a"), scripted("b", BudgetReached("no more"))]), 4)
    assert [rollout.text for rollout in caught.value.rollouts] == ["a 0", "a 1"]


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ([], "a panel of 0"),
        (["gpt-4o-mini"], "a panel of 1"),
        (["gpt-4o-mini", "gpt-4o-mini"], "has 'gpt-4o-mini' twice"),
        ({"gpt-4o-mini": 0, "gpt-4o": 1}, "the count of 'gpt-4o-mini'=0"),
        ({"gpt-4o-mini": 10**9, "gpt-4o": 1}, "want a whole number from 1 to 1000"),
        ({"gpt-4o-mini": 1.5, "gpt-4o": 1}, r"the count of 'gpt-4o-mini'=1\.5"),
        ("gpt-4o-mini", "a panel is a mapping or a list"),
        (["gpt-4o-mini", 3], "not 3"),
    ],
)
def test_a_panel_that_makes_no_sense_is_refused(monkeypatch, members, complaint):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with pytest.raises(ConfigError, match=complaint):
        Panel(members)


def test_a_list_or_a_mapping_is_a_panel_wherever_a_model_is_taken(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    assert resolve(["gpt-4o-mini", "gpt-4o"]).name == "1 gpt-4o-mini + 1 gpt-4o"
    assert resolve({"gpt-4o-mini": 4, "gpt-4o": 2}).counts == (4, 2)


def test_models_are_named_in_a_sentence():
    assert (
        called([("gpt-4o", 4), scripted("b"), "c"])
        == called({"gpt-4o": 4, "b": 1, "c": 1})
        == "panel of gpt-4o + b + c"
    )
    with pytest.raises(ConfigError, match="a member of a panel is a model or its name, not 3"):
        catlite.synthesize("q", ["gpt-4o", 3], api_key="none", base_url="http://127.0.0.1:9/v1")


def test_a_run_of_a_panel_asks_each_member_once_and_goes_on(server, tmp_path):
    server.models = None
    members = [catlite.Endpoint(name, base_url=server.url, api_key=server.key) for name in ("m1", "m2")]
    for asked in (8, 0):
        before = len(server.requests)
        references = catlite.estimate(
            [catlite.Example("2 + 2?", answer_format="boxed")],
            Panel(members),
            estimator=catlite.MajorityVote(),
            n=8,
            run=tmp_path / "run",
        )
        group = references[0].group
        assert [rollout.model for rollout in group.rollouts] == ["m1", "m2"] * 4
        sent = server.requests[before:]
        assert sum(request.body.get("n", 1) for request in sent) == asked


def voting(name, *texts):
    return catlite.ScriptedModel(lambda prompt, i: f"It is \\boxed{{{texts[i]}}}." if texts[i] else "", name=name)


def test_members_are_told_apart_in_table_and_card():
    panel = Panel([(voting("a", "4", "4", "5", ""), 4), (voting("b", "4", "0.5", "1/2", "4"), 4)])
    references = catlite.estimate(
        [catlite.Example("2 + 2?", answer_format="boxed")], panel, estimator=catlite.MajorityVote(), n=8
    )
    table = members(references).set_index("model")
    assert table["rollouts"].to_dict() == {"a": 4, "b": 4}
    assert table["no_answer"].to_dict() == {"a": 1, "b": 0}
    assert table["own"].to_dict() == pytest.approx({"a": 1 / 3, "b": 2 / 6})  # 1/2 and 0.5 agree
    assert table["others"].to_dict() == pytest.approx({"a": 4 / 12, "b": 4 / 12})
    assert agreement(references).to_numpy().tolist() == [pytest.approx([1 / 3, 1 / 3]), pytest.approx([1 / 3, 1 / 3])]
    card = references[0]._repr_html_()
    assert "1 · a · complete" in card
    assert "2 · b · complete" in card
    assert "policy panel of a + b" in repr(references)


def evaluated(repeats=1):
    a = voting("a", *["4"] * 8)
    b = voting("b", *["4", "5", "", "4"] * 2)
    task = [catlite.Example(f"{name}?", "4", answer_format="boxed") for name in "pq"]
    estimators = catlite.MajorityVote()
    return catlite.evaluate(task, Panel([(a, 2), (b, 2)]), estimators=estimators, n=4, n_repeats=repeats)


def test_an_evaluation_has_the_score_of_each_member_and_its_table_shows_them():
    result = evaluated(repeats=2)
    table = members(result).set_index("model")
    assert table["score"].to_dict() == {"a": 1, "b": 0.5}
    assert table["score_se"].to_dict() == {"a": 0, "b": 0}  # over two questions, not four groups
    assert table["others"].to_dict() == {"a": 0.75, "b": 0.75}  # 1/2 and 1, mean over repeats
    text = str(result)
    assert "Members of the panel" in text
    assert "b 0.500 ± 0.000 0.00 0.75 8 4 18 $0" in [" ".join(line.split()) for line in text.splitlines()]
    assert '<td style="text-align:left">b</td>' in result._repr_html_()


def test_what_no_panel_sampled_has_no_table_of_members():
    task = [catlite.Example("2 + 2?", "4", answer_format="boxed")]
    assert "Members" not in str(catlite.evaluate(task, voting("a", "4", "4"), n=2))


HARD = catlite.Example("q", answer_format="boxed")


def test_a_table_does_not_wait_for_answers_that_take_long_to_compare():
    pair = (("a", "(x+17)^2"), ("b", "x^2+34x+289"))  # in no other test, since verdicts are kept
    squares = (catlite.Rollout("x", answer, model=name) for name, answer in pair)
    (row, _) = count_members([Sampled("q", catlite.Group(HARD, tuple(squares)))], at_once=True)
    assert (row["rollouts"], math.isnan(row["others"])) == (1, True)


def test_weights_are_how_often_a_member_agrees_with_the_vote():
    # The first two questions are decided, 4 to 2 and 3 to 2; the last is tied and tells nothing.
    votes = {"a": ["11", "11", "12"], "b": ["11", "12", "12"], "c": ["22", "32", "12"]}
    groups = [
        catlite.Group(HARD, tuple(catlite.Rollout("x", vote, model=name) for name in votes for vote in votes[name][at]))
        for at in range(3)
    ]
    references = [catlite.Reference("", None, "x", group) for group in groups]
    assert vote_weights(references) == {"a": 1, "b": 0.75, "c": 0}
    weights = vote_weights(references)
    assert asyncio.run(catlite.MajorityVote(weights=weights)(groups[2])).answer == "1"
    with pytest.raises(ConfigError, match="no question has a vote that is decided"):
        vote_weights(references[2:])
    silent = catlite.Group(HARD, (*groups[0].rollouts[:2], catlite.Rollout("x", model="b")))
    with pytest.raises(ConfigError, match="'b' gave no answer to a question whose vote is decided"):
        vote_weights([catlite.Reference("", None, "x", silent)])


def test_members_of_what_no_panel_sampled_are_refused():
    with pytest.raises(ConfigError, match="what a Panel has sampled"):
        members(catlite.estimate(["Who?"], scripted("a"), estimator=catlite.BestOfN(scripted("a")), n=2))
