"""AnchoredVote: the anchor's rollouts vote beside the group's, once per question."""

import asyncio

import pytest
from server import Server

from catlite import (
    AnchoredVote,
    Endpoint,
    Evaluation,
    Example,
    Group,
    LocalModel,
    MajorityVote,
    Rollout,
    ScriptedModel,
    Task,
    VoteShare,
    evaluate,
    from_records,
    train,
)
from catlite.errors import ConfigError, EstimationError
from catlite.models.local.model import Frozen
from catlite.training.scored import agreement

BOXED = Example("q", answer_format="boxed")


def group(*found):
    return Group(BOXED, tuple(Rollout(f"so {one}", one) for one in found))


def saying(*found):
    return ScriptedModel(lambda prompt, i: rf"I say \boxed{{{found[i % len(found)]}}}", "anchor")


def voted(anchor, *found, **settings):
    return asyncio.run(AnchoredVote(anchor, **settings)(group(*found)))


def test_the_anchor_keeps_a_majority_that_the_policy_has_lost():
    reference = voted(saying("1"), "2", "2", "2", "1", n=3)
    assert (reference.answer, reference.text) == ("1", "so 1")
    assert reference.notes == ("3 rollouts of the anchor voted, too", "without them the answer would be '2'")
    assert (reference.source, reference.support) == ("AnchoredVote", (1, 4))


def test_the_policy_wins_where_it_is_surer_than_the_anchor():
    reference = voted(saying("1", "2", "1", "3"), "2", "2", "2", "2", n=4)
    assert reference.answer == "2"
    assert reference.notes == ("4 rollouts of the anchor voted, too",)


def test_the_note_counts_the_rollouts_of_the_anchor_that_voted():
    replies = [Rollout("so", finish_reason="length"), r"\boxed{1}", "no idea", r"\boxed{1}"]
    anchor = ScriptedModel(lambda prompt, i: replies[i], "anchor")
    assert voted(anchor, "1", n=4).notes == ("2 of 4 rollouts of the anchor voted, too (1 truncated)",)


@pytest.mark.parametrize("wrong", [{"temperature": -1}, {"max_tokens": 0}, {"seed": 1.5}, {"sampling": {"top_p": 2}}])
def test_a_wrong_parameter_is_refused_when_it_is_made(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong.get("sampling", wrong)))):
        AnchoredVote(saying("1"), **wrong)


def test_a_tie_goes_to_the_group():
    assert voted(saying("1"), "2", "2", n=2).answer == "2"


def test_thresholds_are_shares_of_the_rollouts_of_both():
    assert not voted(saying("1"), "1", "2", n=2, min_agreement=0.75).abstained
    reference = voted(saying("1"), "2", "2", "1", n=2, min_agreement=0.75)
    assert (reference.abstained, reference.answer, len(reference.others)) == (True, None, 2)
    assert reference.notes == (
        "abstained: 3 of 5 agree, min_agreement=0.75",
        "2 rollouts of the anchor voted, too",
    )
    with pytest.raises(ConfigError, match="min_margin=2"):
        AnchoredVote(saying("1"), min_margin=2)


def test_headers_are_not_among_the_settings_that_are_shown():
    with pytest.raises(ConfigError, match="give them to the anchor") as caught:
        AnchoredVote(saying("1"), sampling={"extra_headers": {"X-Key": "key-0123456789"}})
    assert "0123456789" not in str(caught.value)


def test_an_answer_only_the_anchor_has_can_win():
    reference = voted(saying("7"), None, None, n=2)
    assert (reference.answer, reference.text) == ("7", r"I say \boxed{7}")
    assert reference.support == (0, 2)


def test_equivalent_answers_of_policy_and_anchor_are_one_vote():
    reference = voted(saying("0.5"), "1/2", "3", "3", n=2)
    assert reference.answer == "1/2"


def test_what_the_anchor_took_is_the_estimators_usage():
    reference = voted(saying("1"), "1", n=5)
    assert [one.answer for one in reference.others] == ["1"] * 5
    assert reference.usage.requests == sum(one.usage.requests for one in reference.others)
    assert reference.usage.completion_tokens > 0


def test_the_anchor_is_asked_with_the_settings_and_always_the_same():
    anchor = saying("1")
    for _ in range(2):
        voted(anchor, "1", n=2, temperature=0.5, max_tokens=9, seed=3)
    asked = {"temperature": 0.5, "max_tokens": 9, "seed": 3}
    assert [(n, sampling) for _, n, sampling in anchor.calls] == [(2, asked)] * 2


def test_in_a_run_the_anchor_is_asked_once_for_a_question_and_apart_from_the_policy(tmp_path):
    task = from_records([{"prompt": "q", "gold": "1"}], prompt="prompt", answer="gold", answer_format="boxed")
    with Server(lambda body, i: rf"\boxed{{{i}}}") as server:
        model = Endpoint("test-model", base_url=server.url, api_key=server.key, max_tokens=20)
        with model:
            for n in (2, 4):
                result = evaluate(task, model, estimators=[AnchoredVote(model, 3)], n=n, run=tmp_path)
    assert result.score("AnchoredVote")
    seeds = [request.body.get("seed") for request in server.requests]
    assert sorted(seeds, key=str) == [7919, None, None]


def test_the_policy_agrees_with_all_who_vote():
    reference = voted(saying("1"), "2", "2", "1", n=3)
    # Of 5 others: the reference's answer has 3 more; the rollouts' answers have 1, 1 and 3 more.
    assert asyncio.run(agreement(reference.group, reference)) == pytest.approx((3 / 5, (1 + 1 + 3) / (3 * 5)))


def test_without_an_anchor_agreement_is_that_of_the_group():
    reference = asyncio.run(MajorityVote()(group("2", "2", "1", None)))
    assert asyncio.run(agreement(reference.group, reference)) == pytest.approx((1 / 3, 2 / 12))


def test_an_anchor_without_any_vote_is_an_error_that_keeps_the_group():
    def dumb(prompt, i):
        return ""

    asked = group("1")
    with pytest.raises(
        EstimationError, match="the anchor 'mute' has no vote: none of 2 rollouts can be used"
    ) as caught:
        asyncio.run(AnchoredVote(ScriptedModel(dumb, "mute"), 2)(asked))
    assert caught.value.group is asked
    assert caught.value.usage is not None


def test_open_ended_text_and_no_rollouts_are_refused():
    with pytest.raises(EstimationError, match="answer_format"):
        asyncio.run(AnchoredVote(saying("1"))(Group(Example("q"), (Rollout("text"),))))
    with pytest.raises(ConfigError, match="n=0"):
        AnchoredVote(saying("1"), 0)


@pytest.mark.filterwarnings("default")  # what torch and its friends warn about is not ours
def test_in_training_the_anchors_rollouts_are_drawn_once_for_a_question(folder, monkeypatch):
    pytest.importorskip("trl", reason="needs catlite[train]")
    from trainings import small

    drawn = []
    draw = Frozen._draw

    async def counted(self, messages, request, indices):
        drawn.append((messages[0]["content"], len(indices)))
        return await draw(self, messages, request, indices)

    monkeypatch.setattr(Frozen, "_draw", counted)
    task = Task("letters", tuple(Example(f"Say {name}", id=name, answer_format=r"(\S)") for name in "abc"))
    policy = LocalModel(folder)
    run = train(task, policy, estimator=AnchoredVote(policy.frozen(), 5, max_tokens=24), config=small(steps=4))
    assert run.steps == 4
    assert sorted(drawn) == [("Say a", 5), ("Say b", 5), ("Say c", 5)]


def test_an_evaluation_keeps_who_voted(tmp_path):
    task = from_records([{"prompt": "q", "gold": "1"}], prompt="prompt", answer="gold", answer_format="boxed")
    result = evaluate(task, saying("1", "2"), estimators=[AnchoredVote(saying("2"), 3)], n=2)
    read = Evaluation.load(result.save(tmp_path / "kept.json"))
    (row,) = [row for row in read.rows if row.system == "AnchoredVote"]
    assert row.reference == next(one.reference for one in result.rows if one.system == "AnchoredVote")
    assert [one.answer for one in row.reference.others] == ["2"] * 3


def test_its_own_limit_replaces_one_in_extra_body_of_its_sampling():
    anchor = saying("2")
    voted(anchor, "2", max_tokens=20, sampling={"extra_body": {"max_tokens": 500, "mirostat": 2}})
    ((_, _, sampling),) = anchor.calls
    assert (sampling["max_tokens"], sampling["extra_body"]) == (20, {"mirostat": 2})


def test_policy_and_anchor_may_weigh_differently():
    policy = Group(BOXED, (Rollout("so 1", "1"), Rollout("so 1", "1")), "policy")
    for weight, answer in ((1, "1"), (2, "1"), (3, "2")):
        vote = AnchoredVote(saying("2"), n=1, weights={"policy": 1, "anchor": weight})
        reference = asyncio.run(vote(policy))
        assert reference.answer == answer
        assert [rollout.model for rollout in reference.others] == [None]
        shares = asyncio.run(VoteShare(weights=vote.weights)(policy, reference))
        assert shares == [2 / (2 + weight)] * 2
    model = ScriptedModel(lambda *_: "1", name="policy")
    AnchoredVote(saying("2"), weights={"policy": 0, "anchor": 1}).check_policy(model)
    with pytest.raises(ConfigError, match="weights= has 0 for 'policy', 'anchor'"):
        AnchoredVote(saying("2"), weights={"policy": 0, "anchor": 0, "x": 1}).check_policy(model)
    with pytest.raises(ConfigError, match="and not 'anchor'"):
        AnchoredVote(saying("2"), weights={"policy": 1})
    with pytest.raises(EstimationError, match="and not 'policy'"):
        asyncio.run(AnchoredVote(saying("2"), weights={"anchor": 1})(policy))
