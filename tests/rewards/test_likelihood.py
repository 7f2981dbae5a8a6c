"""The likelihood of the reference's answer after a rollout's reasoning: where it is put, and what it is worth."""

import asyncio
import math
import re

import pytest

from catlite import Example, Group, LengthPenalty, Reference, ReferenceLikelihood, Rollout, ScriptedModel
from catlite.errors import ConfigError, ContextOverflow
from catlite.rewards.likelihood import _span

BOXED = Example("What is 6 times 7?", answer_format="boxed")
TOKEN = re.compile(r"\s*(?:\d|\w+|[^\w\s]+)\s*?")


class Sums:
    """Scores as a model that has read a sum in the text: after "= 42" it writes 42, without a sum each digit alike."""

    name = "sums"

    def __init__(self, cut=None):
        self.texts, self.cut = [], cut

    async def sample(self, prompt, n=1, **sampling):
        raise AssertionError

    async def logprobs(self, prompt, text):
        self.texts.append(text)
        if self.cut and self.cut in text:
            raise ContextOverflow("too long", status=400)
        sums = re.findall(r"= (\d+)", text)
        expected = sums[-1] if sums else None
        scores, digits = [], ""
        for token in TOKEN.findall(text):
            digit = token.strip()
            if digit.isdigit():
                digits += digit
                likely = 0.1 if expected is None else 0.98 if expected.startswith(digits) else 0.01
            else:
                # A digit is what is expected here where the number has not ended.
                open_end = bool(digits) and expected is not None and expected != digits and expected.startswith(digits)
                likely, digits = (0.01 if open_end else 0.98), ""
            scores.append(math.log(likely))
        return scores


def rewarded(*rollouts, answer="42", example=BOXED, scorer=None, **options):
    group = Group(example, tuple(text if isinstance(text, Rollout) else Rollout(text) for text in rollouts))
    reward = ReferenceLikelihood(scorer or Sums(), **options)
    return asyncio.run(reward(group, Reference(answer or "", answer, "test", group)))


def test_reasoning_that_leads_to_the_references_answer_is_rewarded_above_no_reasoning():
    right, wrong = rewarded(r"6 x 7 = 42. So $\boxed{42}$.", r"6 x 7 = 36. So $\boxed{36}$.")
    assert right == pytest.approx(0.98 - 0.1)
    assert wrong == pytest.approx(0.01 - 0.1)


def test_it_is_the_reasoning_that_counts_and_not_the_answer_the_rollout_gave():
    (right,) = rewarded(r"6 x 7 = 42. So $\boxed{17}$.")
    assert right == pytest.approx(0.98 - 0.1)


def test_the_answer_is_replaced_in_its_place_and_what_follows_stays_in_part():
    scorer = Sums()
    rewarded("6 x 7 = 36, so\n\\boxed{36}.\n\nI hope that 36 helps.", scorer=scorer)
    assert sorted(scorer.texts, key=len) == [
        r"\boxed{",
        r"\boxed{42",
        "\\boxed{42}.\n\n",
        "6 x 7 = 36, so\n\\boxed{42}.\n\n",
    ]


def test_an_answer_that_would_go_on_is_worth_little():
    goes_on, whole = rewarded(r"6 x 7 = 42. \boxed{42}", r"6 x 7 = 4. \boxed{4}", answer="4", baseline=False)
    assert whole == pytest.approx(0.98)
    assert goes_on < 0.05


def test_a_rollout_without_an_answer_has_probability_0_and_what_cannot_be_told_none():
    failed = Rollout("", finish_reason="error", error="500")
    listed = r"= 42 \boxed{3} and \boxed{5}"
    rewards = rewarded(r"= 42 \boxed{42}", "No idea.", failed, listed, Rollout("= 4", finish_reason="length"))
    assert rewards == [pytest.approx(0.98 - 0.1), pytest.approx(-0.1), None, None, pytest.approx(-0.1)]


def test_the_scorer_is_asked_once_per_rollout_and_thrice_per_way_of_stating_the_answer():
    scorer = Sums()
    rewarded(*(f"= {number}.\n$\\boxed{{{number}}}$" for number in range(40, 46)), scorer=scorer)
    assert len(scorer.texts) == 6 + 3


def test_a_pattern_says_where_the_answer_is():
    example = Example("What is 6 times 7?", answer_format=r"Answer: (\d+)")
    right, wrong = rewarded("6 x 7 = 42\nAnswer: 42 apples", "6 x 7 = 41\nAnswer: 41", example=example, baseline=False)
    assert (right, wrong) == (pytest.approx(0.98), pytest.approx((0.98 + 0.01) / 2))
    assert rewarded("42", example=Example("q", answer_format=r"(\d+)"), baseline=False) == [pytest.approx(0.1)]


def test_a_pattern_that_ends_in_an_empty_match_has_its_answer_where_it_last_captured_one():
    example = Example("What is 6 times 7?", answer_format=r"Answer:(.*)")
    scorer = Sums()
    rewarded("6 x 7 = 36\nAnswer: 36 apples\nAnswer: ", example=example, scorer=scorer)
    assert max(scorer.texts, key=len) == "6 x 7 = 36\nAnswer: 42\nAnswer: "


def test_a_reference_without_an_answer_rewards_nothing_and_open_ended_text_is_refused():
    assert rewarded(r"\boxed{42}", answer=None) == [None]
    with pytest.raises(ConfigError, match="open-ended reply has none"):
        rewarded("Zinc.", example=Example("Which?"))


def test_a_rollout_that_does_not_fit_the_scorer_is_none_and_costs_the_others_nothing():
    rewards = rewarded(r"= 42 \boxed{42}", "much too long\n= 42 \\boxed{42}", scorer=Sums(cut="too long"))
    assert rewards == [pytest.approx(0.98 - 0.1), None]


def test_a_scorer_without_log_probabilities_is_refused_at_once():
    with pytest.raises(ConfigError, match="gives no log-probabilities of given text, which ReferenceLikelihood reads"):
        ReferenceLikelihood(ScriptedModel(lambda prompt, i: "", "judge"))


def test_the_word_before_an_answer_may_be_one_token_with_its_beginning():
    class Merged(Sums):
        async def logprobs(self, prompt, text):
            self.texts.append(text)
            tokens = re.findall(r"\{[A-Z]|\w+|[^\w\s]|\s", text)
            return [math.log(0.9 if token == "{A" else 0.5 if token.isupper() else 0.2) for token in tokens]

    rewards = rewarded(r"So \boxed{B}", answer="A", scorer=Merged(), baseline=False)
    assert rewards == [pytest.approx(0.9 * 0.4)]


def test_it_goes_inside_a_length_penalty():
    group = Group(BOXED, (Rollout(r"= 42 \boxed{42}"), Rollout(r"= 42 is it \boxed{42}")))
    reward = LengthPenalty(ReferenceLikelihood(Sums()), limit=3)
    assert asyncio.run(reward(group, Reference("42", "42", "test", group))) == [
        pytest.approx(0.88),
        pytest.approx(0.88 - 1),
    ]


@pytest.mark.parametrize(
    ("text", "form", "around"),
    [
        (r"It is \boxed{4}, as 2 + 2 = 4.", "boxed", (r"It is \boxed{", "}, as 2 + 2 = 4.")),
        (r"\boxed{1} no, \boxed{4}", "boxed", (r"\boxed{1} no, \boxed{", "}")),
        (r"\boxed{\frac{1}{2}}", "boxed", (r"\boxed{", "}")),
        ("The answer is **42**.", "boxed", ("The answer is **", "**.")),
        ("a 1 b 2 c", r"(\d)", ("a 1 b ", " c")),
        (r"\boxed{3}, \boxed{5}", "boxed", None),
    ],
)
def test_the_place_of_an_answer_is_where_another_one_would_be_read(text, form, around):
    span = _span(text, form)
    assert (None if span is None else (text[: span[0]], text[span[1] :])) == around


def test_a_model_in_this_process_scores_by_the_same_rule(tmp_path):
    pytest.importorskip("torch", reason="needs catlite[train]")
    from tiny import tiny_model

    from catlite import LocalModel

    model = LocalModel(tiny_model(tmp_path))
    (reward,) = rewarded(r"= 42 \boxed{36}.", scorer=model, baseline=False)
    upto, whole = (
        asyncio.run(model.logprobs("What is 6 times 7?", text)) for text in (r"= 42 \boxed{", r"= 42 \boxed{42}.")
    )
    first, second, ends = (math.exp(value) for value in whole[len(upto) : len(upto) + 3])
    assert reward == pytest.approx((first + second) / 2 * min(1.0, 2 * ends), rel=1e-3)
