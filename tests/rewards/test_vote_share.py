"""VoteShare: soft labels by the share of votes, and a penalty where no answer has a consensus."""

import asyncio

import pytest

from catlite import Example, Group, MajorityVote, Reference, Rollout, VoteShare
from catlite.errors import ConfigError

BOXED = Example("q", answer_format="boxed")
FAILED = Rollout("", error="HTTP 500")
CUT_OFF = Rollout("so 9", "9", finish_reason="length")


def rolled(answers):
    return tuple(one if isinstance(one, Rollout) else Rollout(f"so {one}", one) for one in answers)


def rewards(*answers, others=(), reward=None, **options):
    group = Group(BOXED, rolled(answers))
    reference = Reference("", "1", "test", group, others=rolled(others), **options)
    return asyncio.run((reward or VoteShare())(group, reference))


@pytest.mark.parametrize(
    ("answers", "shares"),
    [
        (("1", "1", "2", "1"), [0.75, 0.75, 0.25, 0.75]),
        (("1/2", "0.5", "7", None), [0.5, 0.5, 0.25, 0.0]),
        (("1", "2", "3", "4"), [0.25] * 4),
        (("1",), [1.0]),
        (("1", FAILED), [1.0, None]),  # a failed call is no vote, and has no reward
        (("9", CUT_OFF), [0.5, 0.5]),  # what was cut off does not vote, and is rewarded by its answer
        ((CUT_OFF, "1"), [0.0, 0.5]),
        ((None, None), [None, None]),  # nobody voted
        ((FAILED, FAILED), [None, None]),
    ],
)
def test_a_rollout_has_the_share_of_votes_that_its_answer_has(answers, shares):
    assert rewards(*answers) == shares


def test_the_rollouts_of_an_anchor_vote():
    assert rewards("1", "2", others=("2", "2", None)) == [0.2, 0.6]


def test_shares_may_be_of_weights():
    def by(model, answer):
        return Rollout(f"so {answer}", answer, model=model)

    soft = VoteShare(weights={"a": 1, "b": 3, "test": 1}, min_agreement=0.7)
    assert rewards(by("a", "1"), by("a", "2"), by("b", "2"), FAILED, reward=soft) == [0.2, 0.8, 0.8, None]
    assert rewards(by("a", "1"), by("b", "2"), by("b", None), reward=soft) == [0.0] * 3  # no consensus
    assert rewards(by("a", "1"), by("b", "2"), reward=VoteShare(weights={"a": 1, "b": 0})) == [1.0, 0.0]
    with pytest.raises(ConfigError, match="and not 'c'"):
        rewards(by("a", "1"), by("c", "2"), reward=soft)


def test_the_shares_do_not_depend_on_the_reference_but_on_an_abstention():
    group = Group(BOXED, rolled(("1", "2")))
    synthesized = Reference("so 7", "7", "Synthesis", group)
    assert asyncio.run(VoteShare()(group, synthesized)) == [0.5, 0.5]
    abstained = asyncio.run(MajorityVote(min_agreement=0.9)(group))
    assert asyncio.run(VoteShare()(group, abstained)) == [None, None]


def test_open_ended_text_has_no_reward():
    group = Group(Example("q"), (Rollout("text"),))
    assert asyncio.run(VoteShare()(group, Reference("text", None, "test", group))) == [None]


def test_without_a_consensus_nothing_is_trusted():
    assert rewards("1", "2", None, reward=VoteShare(min_agreement=0.5)) == [0.0, 0.0, 0.0]
    soft = VoteShare(min_agreement=0.5, penalty=0.3)
    assert rewards("1", "2", None, FAILED, reward=soft) == [-0.3, -0.3, -0.3, None]
    assert rewards("1", "1", None, "2", reward=soft) == [0.5, 0.5, 0.0, 0.25]


def test_the_penalty_is_for_the_advantages_of_a_group_without_a_consensus():
    soft = VoteShare(min_agreement=0.5, penalty=0.3)
    assert soft.offset([-0.3, None, -0.3]) == -0.3
    assert soft.offset([0.5, 0.5, 0.0]) == 0.0
    assert soft.offset([None, None]) == 0.0
    assert VoteShare(min_agreement=0.5).offset([0.0, 0.0]) == 0.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_agreement": 1.5}, "min_agreement=1.5"),
        ({"min_agreement": float("nan")}, "min_agreement=nan"),
        ({"min_agreement": 0.5, "penalty": -0.1}, "penalty=-0.1"),
        ({"min_agreement": 0.5, "penalty": float("nan")}, "penalty=nan"),
        ({"min_agreement": 0.5, "penalty": float("inf")}, "penalty=inf"),
        ({"penalty": 0.1}, "without min_agreement"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        VoteShare(**settings)
