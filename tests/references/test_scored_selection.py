"""Best-of-N, min perplexity and mutual predictability pick the rollout they say they pick."""

import asyncio
import re

import pytest

from catlite import Example, Group, Rollout, ScriptedModel, Usage
from catlite.errors import ConfigError, EndpointUnavailable, EstimationError, QuotaExhausted, RequestRejected
from catlite.references.selection import BestOfN, MinPerplexity, MutualPredictability
from catlite.runs.session import meter

OPEN = Example("Name a colour.")
TEXTS = ("red", "blue", "the one with gold", "green")


def group(*texts, **more):
    return Group(OPEN, tuple(one if isinstance(one, Rollout) else Rollout(one, **more) for one in texts))


def pick(estimator, rollouts=None):
    return asyncio.run(estimator(rollouts or group(*TEXTS)))


def shown_as(prompt, wanted):
    """The number under which a prompt shows the text `wanted`."""
    return int(re.search(rf"<response-\w+ (\d+)>\n{re.escape(wanted)}\n", prompt[-1]["content"])[1])


def judge(wanted="the one with gold", form='{{"best": {}}}'):
    return ScriptedModel(lambda prompt, i: form.format(shown_as(prompt, wanted)))


@pytest.mark.parametrize("seed", range(5))
def test_the_judges_number_is_led_back_to_the_rollout_it_was_shown_under(seed):
    assert pick(BestOfN(judge(), seed=seed)).text == "the one with gold"


def test_the_order_shown_depends_on_the_seed_and_is_reproducible():
    def order(seed):
        model = judge()
        pick(BestOfN(model, seed=seed))
        return tuple(shown_as(model.calls[0][0], text) for text in TEXTS)

    assert order(1) == order(1)
    assert len({order(seed) for seed in range(8)}) > 1


def test_the_choice_is_constrained_to_the_numbers_there_are():
    model = judge()
    pick(BestOfN(model))
    schema = model.calls[0][2]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["best"] == {"type": "integer", "minimum": 1, "maximum": 4}


def test_an_endpoint_without_schemas_is_asked_in_words():
    class Plain:
        name = "plain"

        async def sample(self, prompt, n=1, **sampling):
            if "response_format" in sampling:
                raise RequestRejected("response_format is not supported")
            return [Rollout(f"I choose {shown_as(prompt, 'blue')}.")]

    assert pick(BestOfN(Plain())).text == "blue"


UNREADABLE = [
    *("", "1 or 2", "number 9", "none", '{"best": 0}', '{"best": 1} {"best": 2}', '{"best": 1.5}', '{"best": -1}'),
    *('{"best": 1e1}', '{"best": null, "why": "3"}', '{"best": [1, 2]}', "-2", "2.5", "2%", "4 of them agree."),
    *("None of the 3 others is right.", "I cannot choose between these 2 responses.", "Response 2 is wrong."),
    *("I would not choose 2.", "Response 2 isn't the best.", "The best is hard to tell, and 3 come close."),
]


@pytest.mark.parametrize("said", UNREADABLE)
def test_an_unreadable_choice_is_asked_for_once_more_and_then_an_error(said):
    model = ScriptedModel(lambda prompt, i: said)
    with pytest.raises(EstimationError, match="no readable choice"):
        pick(BestOfN(model))
    assert len(model.calls) == (2 if said else 4)  # no text may be the schema's doing: it is tried without one


CHOICES = [
    *(
        '{"best": %s}',
        '{"best": "%s"}',
        "{'best': %s}",
        '{"reason": "2 and 3 err", "best": "response %s"}',
        "%s",
        "**%s**",
    ),
    *("[%s]", "Response %s.", "Best: %s", "I choose %s.", "The best response is number %s", "<best>%s</best>"),
    *("Response %s is the best, since it is whole.", "<think>1, 2 or 3?</think>\nMy pick: I prefer response %s"),
]


@pytest.mark.parametrize("form", CHOICES)
def test_a_choice_in_plain_words_is_read(form):
    assert pick(BestOfN(ScriptedModel(lambda prompt, i: form % shown_as(prompt, "blue")))).text == "blue"


def test_a_reply_that_was_cut_off_makes_no_choice():
    model = ScriptedModel(lambda prompt, i: Rollout("I choose 2", finish_reason="length"))
    with pytest.raises(EstimationError, match="'I choose 2', cut off") as caught:
        pick(BestOfN(model))
    assert caught.value.unanswered


def test_the_second_try_needs_no_seed_and_its_failure_keeps_what_the_first_cost():
    class Seedless:
        name = "seedless"

        def __init__(self, second):
            self.second = second

        async def sample(self, prompt, n=1, **sampling):
            if "seed" in sampling:
                raise RequestRejected("seed is not supported", status=400)
            first, self.first = getattr(self, "first", True), False
            return [Rollout("well", usage=Usage(7, 1))] if first else [self.second(prompt)]

    chosen = pick(BestOfN(Seedless(lambda prompt: Rollout(f"{shown_as(prompt, 'blue')}", usage=Usage(7, 1)))))
    assert (chosen.text, chosen.usage.total_tokens) == ("blue", 16)

    def refuse(prompt):
        raise QuotaExhausted("no credit", status=402)

    with pytest.raises(QuotaExhausted) as caught:
        pick(BestOfN(Seedless(refuse)))
    assert caught.value.usage.total_tokens == 8


def test_a_single_usable_rollout_needs_no_judge():
    model = judge()
    assert pick(BestOfN(model), group("only", Rollout("", finish_reason="length"))).text == "only"
    assert model.calls == []


def test_the_likeliest_rollout_per_token_wins_and_not_the_shortest():
    rollouts = group(Rollout("a", logprobs=(-1.0,)), Rollout("b", logprobs=(-0.5, -0.7, -0.6)))
    assert pick(MinPerplexity(), rollouts).text == "b"


def test_without_logprobs_or_a_scorer_the_error_says_what_to_do():
    with pytest.raises(EstimationError, match=r"logprobs=True.*scorer="):
        pick(MinPerplexity(), group(Rollout("a", logprobs=(-1.0,)), "b"))


class Scorer:
    """Finds a text likely when it says how often its words stand in the prompt."""

    name = "scorer"

    def __init__(self):
        self.asked = []

    async def sample(self, prompt, n=1, **sampling):
        raise AssertionError("a scorer is not sampled")

    async def logprobs(self, prompt, text):
        self.asked.append((prompt[-1]["content"], text))
        return [-1.0 / (1 + prompt[-1]["content"].count(word)) for word in text.split()]


def test_a_scorer_reads_the_question_and_each_rollout():
    scorer = Scorer()
    pick(MinPerplexity(scorer))
    assert scorer.asked == [("Name a colour.", text) for text in TEXTS]


def test_the_rollout_the_others_predict_best_wins():
    assert pick(MutualPredictability(Scorer()), group("red", "blue", "red", "green")).text == "red"


def test_a_candidate_is_not_among_what_it_is_predicted_from():
    scorer = Scorer()
    pick(MutualPredictability(scorer))
    for prompt, candidate in scorer.asked:
        assert candidate not in prompt
        assert all(other in prompt for other in TEXTS if other != candidate)


def test_a_model_that_cannot_score_is_named():
    with pytest.raises(ConfigError, match="'scripted' cannot score given text"):
        pick(MutualPredictability(judge()))


def test_a_scorer_that_says_nothing_of_its_cost_makes_it_unknown():
    assert pick(MutualPredictability(Scorer())).usage == Usage(None, None, None, None)
    assert pick(MinPerplexity(), group(Rollout("a", logprobs=(-1.0,)))).usage == Usage()


def test_a_scorer_that_is_down_fails_the_question_and_keeps_its_group():
    class Down(Scorer):
        async def logprobs(self, prompt, text):
            raise EndpointUnavailable("no route")

    with pytest.raises(EstimationError, match="'scorer' failed: no route") as caught:
        pick(MinPerplexity(Down()))
    assert caught.value.group.rollouts[0].text == "red"


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("estimator", [MinPerplexity, MutualPredictability])
@pytest.mark.parametrize("values", [[], None, [NAN], [None], "abc", [-INF]])
def test_what_is_no_log_probability_picks_no_rollout(estimator, values):
    class Odd(Scorer):
        async def logprobs(self, prompt, text):
            return values if text == "red" or values == [-INF] else [-9.0]

    with pytest.raises(EstimationError, match="the scorer 'scorer' failed: "):
        pick(estimator(Odd()))


def test_an_impossible_token_loses_to_a_possible_one():
    class Sharp(Scorer):
        async def logprobs(self, prompt, text):
            return [-INF, 0.0] if text == "red" else [-9.0]

    assert pick(MinPerplexity(Sharp())).text == "blue"


@pytest.mark.parametrize("logprobs", [(), (None,), (NAN,), (-INF,)])
def test_a_rollout_whose_own_log_probabilities_are_none_is_not_compared_by_them(logprobs):
    rollouts = group(Rollout("red", logprobs=logprobs), Rollout("blue", logprobs=(-1.0,)))
    with pytest.raises(EstimationError, match="needs log-probabilities of every rollout"):
        pick(MinPerplexity(), rollouts)


@pytest.mark.parametrize("error", [EndpointUnavailable("no route"), QuotaExhausted("no credit", status=402)])
def test_scores_under_way_beside_one_that_fails_are_waited_for_and_counted(error):
    class Once(Scorer):
        async def logprobs(self, prompt, text):
            if text == "red":
                raise error
            await asyncio.sleep(0.01)
            self.asked.append(text)
            meter(Usage(5, 0, 0, 0.0, 1))
            return [-1.0]

    scorer = Once()
    with pytest.raises(type(error) if isinstance(error, QuotaExhausted) else EstimationError) as caught:
        pick(MinPerplexity(scorer))
    assert (len(scorer.asked), caught.value.usage.prompt_tokens) == (3, 15)
