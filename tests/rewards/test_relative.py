"""Responses compared with one another: who is shown, in which order, and what a judge's reply is worth."""

import asyncio
import json
import math
import re

import pytest

from catlite import Endpoint, Example, Group, Reference, RelativeJudge, Rollout, ScriptedModel
from catlite.errors import ConfigError, ContextOverflow, EndpointDown
from catlite.rewards.preference import prefer
from catlite.rewards.relative import beginning_of

SHOWN = re.compile(r"<response-\w+ (\d+)>\n(.*?)\n</response", re.DOTALL)


def group(*texts, question="Can I take both?"):
    return Group(Example(question), tuple(text if isinstance(text, Rollout) else Rollout(text) for text in texts))


def reference(of, text="Zinc competes with iron."):
    return Reference(text, None, "test", of)


def by_length(prompt, i):
    """Scores each response by its length, up to 10."""
    shown = SHOWN.findall(prompt[-1]["content"])
    scores = [{"response": int(number), "reason": text, "score": max(1, min(10, len(text)))} for number, text in shown]
    return json.dumps({"scores": scores})


def judged(rollouts, reply=by_length, text="Zinc competes with iron.", **options):
    judge = ScriptedModel(reply if callable(reply) else lambda prompt, i: reply, "judge")
    return asyncio.run(RelativeJudge(judge, **options).audit(rollouts, reference(rollouts, text))), judge


def test_one_call_scores_a_group_from_0_to_1():
    judgement, judge = judged(group("a" * 10, "a", "a" * 4))
    assert judgement.rewards_G == (1.0, 0.0, pytest.approx(1 / 3))
    assert [verdict.reason for (verdict,) in judgement.verdicts_GC] == ["a" * 10, "a", "a" * 4]
    assert len(judge.calls) == 1
    assert judgement.usage.generations == 1


def test_a_relative_judge_remembers_what_it_judged():
    reward = RelativeJudge(ScriptedModel(by_length, "judge"))
    rollouts = group("aaaa", "a")
    asyncio.run(reward(rollouts, reference(rollouts)))
    assert list(reward.to_frame()["reason"]) == ["aaaa", "a"]
    assert "aaaa" in reward._repr_html_()
    assert "judged" not in repr(reward)


def test_a_seed_that_is_no_whole_number_is_refused():
    with pytest.raises(ConfigError, match="seed='0': want a whole number"):
        RelativeJudge(ScriptedModel(lambda prompt, i: ""), seed="0")


def test_the_order_is_shuffled_by_the_group_and_the_seed_and_is_the_same_again():
    texts = [f"answer number {number}" for number in range(8)]
    orders = []
    for seed in (0, 0, 1):
        _, judge = judged(group(*texts), seed=seed)
        orders.append([text for _, text in SHOWN.findall(judge.calls[0][0][0]["content"])])
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(texts)
    assert orders[0] != texts


def test_question_and_reference_are_shown_once_and_the_reference_only_where_wanted():
    _, judge = judged(group("zinc", "iron"))
    asked = judge.calls[0][0][0]["content"]
    assert (asked.count("Can I take both?"), asked.count("competes with iron")) == (1, 1)
    for without in (judged(group("zinc", "iron"), include_reference=False), judged(group("zinc", "iron"), text="")):
        assert "believed to be good" not in without[1].calls[0][0][0]["content"]


def test_a_long_common_beginning_is_shown_once():
    common = "".join(f"Step {number} is the same for all.\n" for number in range(10))
    _, judge = judged(group(f"{common}so zinc", f"{common}so iron"))
    asked = judge.calls[0][0][0]["content"]
    assert asked.count("Step 3 is the same") == 1
    assert sorted(text for _, text in SHOWN.findall(asked)) == ["so iron", "so zinc"]
    assert beginning_of([common, f"{common}more"]) == ""
    assert beginning_of([f"{common}one"]) == ""
    assert beginning_of(["short\none", "short\ntwo"]) == ""


def test_equal_rollouts_are_shown_once_and_rewarded_alike():
    judgement, judge = judged(group("aaaa", "a", "aaaa"))
    assert judgement.rewards_G == (pytest.approx(1 / 3), 0.0, pytest.approx(1 / 3))
    assert len(SHOWN.findall(judge.calls[0][0][0]["content"])) == 2


def test_failed_and_empty_rollouts_are_not_shown():
    failed = Rollout("", finish_reason="error", error="500")
    judgement, judge = judged(group(failed, "Solution:", "aaaa"))
    assert judgement.rewards_G == (None, 0.0, pytest.approx(1 / 3))
    assert len(SHOWN.findall(judge.calls[0][0][0]["content"])) == 1
    judgement, judge = judged(group(failed, ""))
    assert (judgement.rewards_G, judge.calls) == ((None, 0.0), [])


@pytest.mark.parametrize(
    "scores",
    [
        [(1, 9)],
        [(1, 9), (1, 3)],
        [(1, 9), (2, 3), (2, 4)],
        [(1, 9), (3, 3)],
        [(1, 9), (2, 11)],
        [(1, 9), (2, "two")],
    ],
)
def test_a_reply_that_does_not_score_each_response_once_is_asked_for_again_and_then_scores_none(scores):
    bad = json.dumps({"scores": [{"response": number, "reason": "", "score": score} for number, score in scores]})
    judgement, judge = judged(group("zinc", "iron"), bad)
    assert judgement.rewards_G == (None, None)
    assert len(judge.calls) == 2
    assert "no rollout could be scored" in judgement.notes[0]
    judgement, judge = judged(
        group("aaaa", "a"), lambda prompt, i: bad if len(prompt) == 1 else by_length(prompt[:1], i)
    )
    assert judgement.rewards_G == (pytest.approx(1 / 3), 0.0)


def test_a_group_too_long_for_the_judge_has_no_rewards_and_a_judge_that_is_down_is_told():
    class Refuser:
        name = "refuser"

        def __init__(self, error):
            self.error = error

        async def sample(self, prompt, n=1, **sampling):
            raise self.error

    rollouts = group("zinc", "iron")
    overflow = RelativeJudge(Refuser(ContextOverflow("too long", status=400)))
    assert asyncio.run(overflow(rollouts, reference(rollouts))) == [None, None]
    with pytest.raises(EndpointDown):
        asyncio.run(RelativeJudge(Refuser(EndpointDown("down")))(rollouts, reference(rollouts)))


def choosing(word):
    """A judge that prefers the response with `word` in it, in whatever place."""

    def reply(prompt, i):
        shown = SHOWN.findall(prompt[0]["content"])
        holding = [number for number, text in shown if word in text]
        return json.dumps({"reason": word, "better": holding[0] if len(holding) == 1 else "tie"})

    return ScriptedModel(reply, "judge")


BEFORE = [group("zinc", question=f"{number}?") for number in range(4)]
AFTER = [group("iron", question=f"{number}?") for number in range(4)]


def test_a_preference_is_the_share_won_by_the_replies_after_whatever_their_place():
    judge = choosing("iron")
    preference = prefer(judge, BEFORE, AFTER)
    assert (preference.share, preference.error, preference.consistent) == (1.0, 0.0, 1.0)
    assert len(judge.calls) == 8
    assert prefer(choosing("zinc"), BEFORE, AFTER).share == 0.0
    assert prefer(choosing("lead"), BEFORE, AFTER).share == 0.5
    assert "after is preferred on 1.000 ± 0.000 of 4 pairs" in str(preference)
    assert list(preference.to_frame()["score"]) == [1.0] * 4


def test_a_judge_that_always_picks_the_first_place_prefers_neither():
    preference = prefer(ScriptedModel(lambda prompt, i: '{"better": "1"}', "judge"), BEFORE, AFTER)
    assert (preference.share, preference.consistent) == (0.5, 0.0)


def test_a_choice_that_cannot_be_read_is_no_tie():
    def reply(prompt, i):
        return "Both have merits." if "0?" in prompt[0]["content"] else '{"better": "tie"}'

    judge = ScriptedModel(reply, "judge")
    preference = prefer(judge, BEFORE, AFTER)
    assert preference.scores == (None, 0.5, 0.5, 0.5)
    assert preference.notes == ("1 of 4 pairs could not be compared",)
    assert len(judge.calls) == 10  # both orders of the first prompt once more
    none = prefer(ScriptedModel(lambda prompt, i: "", "judge"), BEFORE[:1], AFTER[:1])
    assert math.isnan(none.share)


def test_equal_texts_are_a_tie_without_a_call_and_a_prompt_without_a_reply_is_left_out():
    judge = choosing("iron")
    preference = prefer(judge, [BEFORE[0], BEFORE[1]], [BEFORE[0], group("", question="1?")])
    assert preference.scores == (0.5, None)
    assert judge.calls == []


def test_pairs_of_one_prompt_go_together_in_the_error():
    judge = ScriptedModel(
        lambda prompt, i: choosing("zinc" if "0?" in prompt[0]["content"] else "iron").reply(prompt, i), "judge"
    )
    once = prefer(judge, BEFORE, AFTER)
    thrice = prefer(judge, BEFORE * 3, AFTER * 3)
    assert (once.share, once.error) == (0.75, pytest.approx(0.25))
    assert (thrice.share, thrice.error) == (0.75, pytest.approx(0.25))
    assert "of 12 pairs" in str(thrice)


def test_a_preference_goes_on_from_its_run(server, tmp_path):
    server.reply = lambda body, i: '{"better": "tie"}'
    with Endpoint("test-model", base_url=server.url, api_key=server.key) as judge:
        prefer(judge, BEFORE[:2], AFTER[:2], run=tmp_path)
        assert len(server.requests) == 4
        assert prefer(judge, BEFORE, AFTER, run=tmp_path).share == 0.5
        assert len(server.requests) == 8


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (AFTER[:3], "4 groups before and 3 after"),
        (AFTER[::-1], "pair 1 has different prompts"),
        (None, "after is NoneType: want a list of groups, such as evaluation.groups"),
        (["iron"] * 4, "after has a str: want groups"),
    ],
)
def test_groups_of_other_prompts_are_not_compared(after, why):
    with pytest.raises(ConfigError, match=why):
        prefer(choosing("iron"), BEFORE, after)
