"""A group is judged by a rubric: one shape of result in every mode, None where nothing can be said, never no."""

import asyncio
import json
import re

import pytest

from catlite import Criterion, Endpoint, Example, Group, Rollout, Rubric, ScriptedModel, concurrency
from catlite.errors import AuthenticationFailed, ConfigError, ContextOverflow, RequestRejected
from catlite.models.base import Traits
from catlite.rewards.asking import says_nothing, worded
from catlite.rewards.judge import judge_group, yes_probability
from catlite.runs.session import open_run

ZINC = Rubric((Criterion("The response names zinc."), Criterion("The response names iron.")))
MET = '{"reason": "it does", "met": true}'
UNMET = '{"reason": "it does not", "met": false}'


def group(*texts):
    return Group(Example("Can I take both?"), tuple(one if isinstance(one, Rollout) else Rollout(one) for one in texts))


def names_it(prompt, i):
    """Judges by looking for the criterion's last word in the fenced response."""
    text = prompt[-1]["content"]
    response = re.search(r"<response-\w+ 1>\n(.*?)\n</response", text, re.DOTALL)[1]
    word = re.search(r"Criterion: .* (\w+)\.", text)[1]
    return MET if word in response else UNMET


def judged(rollouts, reply=names_it, rubric=ZINC, **options):
    judge = ScriptedModel(reply if callable(reply) else lambda prompt, i: reply, "judge")
    return asyncio.run(judge_group(judge, rollouts, rubric, **options)), judge


def test_each_rollout_is_rewarded_by_the_share_of_criteria_it_meets():
    judgement, judge = judged(group("zinc and iron", "zinc", "neither"))
    assert judgement.rewards_G == (1.0, 0.5, 0.0)
    assert [[verdict.met for verdict in row] for row in judgement.verdicts_GC] == [
        [True, True],
        [True, False],
        [False, False],
    ]
    assert judgement.verdicts_GC[0][0].reason == "it does"
    assert len(judge.calls) == 6
    assert judgement.usage.generations == 6


def test_what_repeats_stands_first_in_the_prompt():
    _, judge = judged(group("zinc and iron"))
    first, second = (messages[0]["content"] for messages, *_ in judge.calls)
    shared = next(i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b)
    assert shared > 0.7 * len(first)
    assert "zinc and iron" in first[:shared]


def test_points_weigh_and_a_met_fault_subtracts():
    rubric = Rubric((Criterion("names zinc.", 5), Criterion("names iron.", -2)))
    assert judged(group("zinc", "zinc and iron", "iron"), rubric=rubric)[0].rewards_G == (1.0, 0.6, -0.4)


def test_the_judge_is_shown_points_and_conversation_only_where_they_matter():
    _, judge = judged(group("zinc"))
    assert "Can I take both?" not in judge.calls[0][0][0]["content"]
    rubric = Rubric((Criterion("names zinc.", -4),))
    _, judge = judged(group("zinc"), rubric=rubric, conversation=True)
    assert "Can I take both?" in judge.calls[0][0][0]["content"]
    assert "[-4] names zinc." in judge.calls[0][0][0]["content"]


def test_an_unreadable_verdict_is_asked_for_again_with_what_was_said():
    def second_time(prompt, i):
        return MET if len(prompt) == 3 else "Hard to say."

    judgement, judge = judged(group("zinc"), second_time)
    assert judgement.rewards_G == (1.0,)
    assert len(judge.calls) == 4
    assert judge.calls[1][0][1] == {"role": "assistant", "content": "Hard to say."}


def test_a_verdict_that_stays_unreadable_is_none_and_not_no():
    def only_zinc(prompt, i):
        return MET if "names zinc" in prompt[0]["content"] else "yes and no"

    judgement, judge = judged(group("zinc"), only_zinc)
    assert [verdict.met for verdict in judgement.verdicts_GC[0]] == [True, None]
    assert (judgement.rewards_G, judgement.coverage) == ((1.0,), (0.5,))
    assert judgement.notes == ("1 of 2 verdicts could not be had",)
    assert len(judge.calls) == 3


def test_too_few_verdicts_are_no_reward():
    def only_zinc(prompt, i):
        return MET if "names zinc" in prompt[0]["content"] else ""

    assert judged(group("zinc"), only_zinc, min_coverage=0.5)[0].rewards_G == (1.0,)
    assert judged(group("zinc"), only_zinc, min_coverage=0.6)[0].rewards_G == (None,)


def test_a_failed_rollout_is_not_judged_and_an_empty_one_meets_nothing():
    failed = Rollout("", finish_reason="error", error="500")
    judgement, judge = judged(group(failed, "", "  ", "**Solution:**", "zinc"))
    assert judgement.rewards_G == (None, 0.0, 0.0, 0.0, 0.5)
    assert len(judge.calls) == 2


@pytest.mark.parametrize(
    "text", ["", ":", "Solution:", "The answer", "Let's think step by step.", "Thought process:\n"]
)
def test_an_announcement_says_nothing(text):
    assert says_nothing(text)


@pytest.mark.parametrize(
    "text",
    ["∞", "Answer: ∞", "👍", "let's solve 4 plus 5 is 9", "42", "Zinc.", "Solution: 42", "The answer is no", "是"],
)
def test_a_short_answer_says_something(text):
    assert not says_nothing(text)


def test_a_judge_that_fails_gives_none():
    lost = Rollout("", finish_reason="error", error="the judge is down")
    judgement, judge = judged(group("zinc"), lambda prompt, i: lost)
    assert judgement.rewards_G == (None,)
    assert judgement.verdicts_GC[0][0].reason == "the judge is down"
    assert len(judge.calls) == 2  # asked by the endpoint already, not by us again


class Refuser:
    name = "refuser"

    def __init__(self, error):
        self.error, self.calls = error, []

    async def sample(self, prompt, n=1, **sampling):
        self.calls.append(sampling)
        raise self.error


def test_a_rollout_too_long_for_the_judge_is_none_and_asked_about_once():
    judge = Refuser(ContextOverflow("the context is 8192 tokens", status=400))
    judgement = asyncio.run(judge_group(judge, group("zinc " * 100_000), ZINC))
    assert judgement.rewards_G == (None,)
    assert "does not fit" in judgement.verdicts_GC[0][1].reason
    assert len(judge.calls) == 1


def test_why_a_rubric_of_faults_alone_has_no_score_is_noted():
    judgement, _ = judged(group("zinc"), MET, Rubric((Criterion("The response tells to stop iron.", -1),)))
    assert judgement.rewards_G == (None,)
    assert judgement.notes == ("no criterion of the rubric has positive points, so there is no score",)


def test_a_later_criterion_that_does_not_fit_takes_no_verdict_from_the_others():
    def tight(prompt, i):
        if "iron" in prompt[0]["content"]:
            raise ContextOverflow("the context is full", status=400)
        return MET

    judgement, _ = judged(group("zinc"), tight)
    assert [verdict.met for verdict in judgement.verdicts_GC[0]] == [True, None]
    assert judgement.rewards_G == (1.0,)


def test_thinking_is_no_part_of_what_is_judged():
    judgement, judge = judged(group("<think>zinc and iron, of course</think>Ask a pharmacist.", "<think>zinc"))
    assert judgement.rewards_G == (0.0, 0.0)
    assert "of course" not in judge.calls[0][0][0]["content"]
    assert len(judge.calls) == 2  # the second rollout never came to an answer


def test_one_refused_call_is_one_verdict_less():
    def filtered(prompt, i):
        if "names iron" in prompt[0]["content"]:
            raise RequestRejected("400: content filter", status=400)
        return MET

    judgement, _ = judged(group("zinc", "iron"), filtered)
    assert [[verdict.met for verdict in row] for row in judgement.verdicts_GC] == [[True, None]] * 2
    assert judgement.verdicts_GC[0][1].reason == "the judge refused: 400: content filter"
    assert judgement.rewards_G == (1.0, 1.0)


@pytest.mark.parametrize("mode", ["single", "batch"])
def test_asking_again_loses_nothing_when_that_does_not_fit(mode):
    def long_ago(prompt, i):
        if len(prompt) > 1 or "1. The response names iron" in prompt[0]["content"]:
            raise ContextOverflow("the context is full", status=400)
        if mode == "batch":
            return '{"verdicts": [{"criterion": 1, "met": true}]}'
        return MET if "names zinc" in prompt[0]["content"] else "hard to say"

    judgement, _ = judged(group("zinc"), long_ago, mode=mode)
    assert [verdict.met for verdict in judgement.verdicts_GC[0]] == [True, None]


@pytest.mark.parametrize("share", ["0.5", 2, True])
def test_a_coverage_that_is_none_is_refused_before_anything_is_sent(share):
    judge = ScriptedModel(lambda prompt, i: MET)
    with pytest.raises(ConfigError, match="min_coverage"):
        asyncio.run(judge_group(judge, group("zinc"), ZINC, min_coverage=share))
    assert judge.calls == []


def test_a_wrong_key_stops_everything():
    with pytest.raises(AuthenticationFailed):
        asyncio.run(judge_group(Refuser(AuthenticationFailed("401")), group("zinc"), ZINC))


class Picky:
    """Takes neither a schema nor a temperature."""

    name = "picky"

    def __init__(self):
        self.calls, self.traits = [], Traits()

    async def sample(self, prompt, n=1, **sampling):
        self.calls.append(sampling)
        for name in ("response_format", "temperature"):
            if sampling.get(name) is not None:
                raise RequestRejected(f"Unsupported parameter: '{name}'", status=400)
        return [Rollout("Yes.")]


def test_what_a_judge_refuses_is_left_out_and_remembered():
    judge = Picky()
    assert asyncio.run(judge_group(judge, group("zinc", "iron"), ZINC)).rewards_G == (1.0, 1.0)
    refusals = [call for call in judge.calls if call.get("response_format") or call.get("temperature") is not None]
    assert len(refusals) <= 4  # two rollouts ask side by side before the first refusal is known
    before = len(judge.calls)
    asyncio.run(judge_group(judge, group("zinc"), ZINC))
    assert judge.calls[before:] == [{"max_tokens": None}] * 2


def test_batch_asks_once_per_rollout():
    def all_at_once(prompt, i):
        response = re.search(r"<response-\w+ 1>\n(.*?)\n</response", prompt[0]["content"], re.DOTALL)[1]
        words = re.findall(r"^(\d+)\. .* (\w+)\.$", prompt[0]["content"], re.MULTILINE)
        return json.dumps({"verdicts": [{"criterion": int(n), "met": word in response} for n, word in words]})

    judgement, judge = judged(group("zinc and iron", "zinc"), all_at_once, mode="batch")
    assert judgement.rewards_G == (1.0, 0.5)
    assert len(judge.calls) == 2


def test_batch_asks_again_only_for_what_is_missing():
    def forgets(prompt, i):
        if "2. " in prompt[0]["content"]:
            return '{"verdicts": [{"criterion": 2, "met": true}]}'
        return '{"verdicts": [{"criterion": 1, "met": false}]}'

    judgement, judge = judged(group("zinc"), forgets, mode="batch")
    assert [verdict.met for verdict in judgement.verdicts_GC[0]] == [False, True]
    assert len(judge.calls) == 2


def test_batch_asks_again_for_what_cannot_be_read_also_in_a_run(server, tmp_path):
    all_of_them = json.dumps({"verdicts": [{"criterion": number, "met": number == 1} for number in (1, 2)]})
    server.reply = lambda body, i: all_of_them if len(body["messages"]) > 1 else "Hard to say."

    async def judging():
        with open_run(tmp_path):
            return await judge_group(judge, group("zinc"), ZINC, mode="batch")

    with Endpoint("test-model", base_url=server.url, api_key=server.key) as judge:
        judgement = concurrency.run(judging())
    assert [verdict.met for verdict in judgement.verdicts_GC[0]] == [True, False]
    assert judgement.usage.generations == len(server.requests) == 2


def test_batch_does_not_ask_again_where_the_call_failed():
    lost = Rollout("", finish_reason="error", error="it answered 500")
    judgement, judge = judged(group("zinc"), lost, mode="batch")
    assert [verdict.reason for verdict in judgement.verdicts_GC[0]] == ["it answered 500"] * 2
    assert len(judge.calls) == 1


def test_soft_takes_the_probability_of_yes():
    def leaning(prompt, i):
        zinc = "names zinc" in prompt[0]["content"]
        return Rollout(
            "no", finish_reason="length", alternatives=((" No", -0.2), ("Yes", -1.7), ("yes", -3.0 if zinc else -9.0))
        )

    judgement, judge = judged(group("zinc"), leaning, mode="soft")
    zinc, iron = judgement.verdicts_GC[0]
    assert zinc.probability > iron.probability
    assert (zinc.met, iron.met) == (False, False)
    assert judgement.rewards_G[0] == pytest.approx((zinc.probability + iron.probability) / 2)
    assert judge.calls[0][2] == {"temperature": 0.0, "max_tokens": 1, "logprobs": True, "top_logprobs": 20}


def test_soft_without_yes_or_no_is_none():
    assert yes_probability((("Maybe", -0.1), ("Perhaps", -2.0))) is None
    assert yes_probability((("The", -0.001), ("Yes", -14.5))) is None
    assert judged(group("zinc"), Rollout("Maybe", alternatives=(("Maybe", -0.1), ("It", -2.0))), mode="soft")[
        0
    ].rewards_G == (None,)


def test_soft_says_what_a_judge_without_log_probabilities_lacks():
    with pytest.raises(ConfigError, match=r"log-probabilities.*mode='single'"):
        judged(group("zinc"), "yes", mode="soft")


EIGHT = Rubric(tuple(f"The response names metal {number}." for number in range(8)))


def test_holistic_takes_one_call_per_rollout_where_single_takes_one_per_criterion():
    rollouts = group("zinc", "iron", "tin")
    judgement, judge = judged(rollouts, '{"reason": "names most", "score": 10}', EIGHT, mode="holistic")
    _, single = judged(rollouts, MET, EIGHT)
    assert (len(judge.calls), len(single.calls)) == (3, 3 * len(EIGHT))
    assert judgement.rewards_G == (1.0, 1.0, 1.0)
    assert judgement.verdicts_GC[0][0].reason == "names most"
    asked = judge.calls[0][0][0]["content"]
    assert all(criterion.text in asked for criterion in EIGHT.criteria)
    assert judge.calls[0][2]["response_format"]["json_schema"]["name"] == "score"


def test_a_holistic_score_is_a_reward_from_0_to_1_and_is_audited():
    def by_word(prompt, i):
        return json.dumps({"reason": "r", "score": 4 if "zinc" in prompt[0]["content"].split("Criteria:")[0] else 1})

    judgement, _ = judged(group("zinc", "", "tin"), by_word, EIGHT, mode="holistic")
    assert judgement.rewards_G == (pytest.approx(1 / 3), 0.0, 0.0)
    assert judgement.coverage == (1.0, 1.0, 1.0)
    assert "1. The response names metal 0." in judgement.to_frame()["criterion"][0]
    assert "0.33" in judgement._repr_html_()


@pytest.mark.parametrize(
    "reply",
    ['{"score": 11}', '{"score": "nine"}', '{"score": 9, "score": 2}', '{"reason": "3/10", "score": 9}', "no", '{"sco'],
)
def test_a_holistic_score_that_cannot_be_read_is_asked_for_again_and_then_none(reply):
    judgement, judge = judged(group("zinc"), reply, EIGHT, mode="holistic")
    assert (judgement.rewards_G, len(judge.calls)) == ((None,), 2)
    cut = Rollout('{"reason": "r", "score": 1', finish_reason="length")
    assert judged(group("zinc"), lambda prompt, i: cut, EIGHT, mode="holistic")[0].rewards_G == (None,)


def test_points_are_shown_to_a_holistic_judge():
    rubric = Rubric((Criterion("names zinc.", 5), Criterion("names iron.", -2)))
    _, judge = judged(group("zinc"), '{"score": 3}', rubric, mode="holistic")
    assert "1. [5] names zinc.\n2. [-2] names iron." in judge.calls[0][0][0]["content"]


def test_levels_count_a_half_and_none_where_unreadable():
    replies = {"zinc": '{"reason": "r", "level": "fully"}', "iron": '{"reason": "r", "level": "partly"}'}

    def reply(prompt, i):
        return next(text for word, text in replies.items() if f"names {word}" in prompt[0]["content"])

    judgement, judge = judged(group("zinc"), reply, mode="levels")
    assert judgement.rewards_G == (0.75,)
    assert [(verdict.met, verdict.value) for verdict in judgement.verdicts_GC[0]] == [(True, 1.0), (False, 0.5)]
    assert len(judge.calls) == 2
    replies["iron"] = '{"reason": "r", "level": "mostly"}'
    assert judged(group("zinc"), reply, mode="levels")[0].coverage == (0.5,)


def test_an_unknown_mode_or_an_empty_rubric_is_refused():
    with pytest.raises(ConfigError, match="mode='fast'"):
        judged(group("zinc"), mode="fast")
    with pytest.raises(ConfigError, match="no criteria"):
        judged(group("zinc"), rubric=Rubric(()))


def test_two_hundred_criteria_are_judged_one_by_one():
    rubric = Rubric(tuple(Criterion(f"names part {number} of zinc.") for number in range(200)))
    judgement, judge = judged(group("zinc"), rubric=rubric)
    assert judgement.rewards_G == (1.0,)
    assert len(judge.calls) == 200


def test_a_criterion_stays_on_one_line_and_without_control_tokens():
    assert worded(Criterion("names\nzinc <|im_end|>")) == "names zinc < |im_end|>"


def test_a_criterion_that_all_rollouts_share_does_not_separate():
    judgement, _ = judged(group("zinc", "zinc and iron"))
    assert judgement.separating == (False, True)
    frame = judgement.to_frame()
    assert list(frame.groupby("rollout").met.mean()) == [0.5, 1.0]
    assert set(frame.criterion[frame.separates]) == {"The response names iron."}


def test_a_judgement_shows_itself_with_model_text_escaped():
    judgement, _ = judged(group("zinc"), '{"reason": "<script>alert(1)</script>", "met": true}')
    assert repr(judgement) == "<Judgement by judge: 1 rollout × 2 criteria, rewards 1.00>"
    assert "<script>" not in judgement._repr_html_()
    assert "&lt;script&gt;" in judgement._repr_html_()
