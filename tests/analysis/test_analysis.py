"""The statistics say what they are said to say, on cases worked out by hand or by another implementation."""

import asyncio
import math
import re

import numpy as np
import pytest

from catlite import (
    Budget,
    Endpoint,
    Evaluation,
    Example,
    MajorityVote,
    Reference,
    Rollout,
    ScriptedModel,
    Synthesis,
    Task,
    Usage,
    context_ablation,
    differences,
    disagreement,
    evaluate,
    maj_at_k,
    pass_at_k,
    question_ablation,
    scaling,
    traces,
)
from catlite.errors import ConfigError, EstimationError
from catlite.experiments.ablations import aquestion_ablation
from catlite.results import Row


def made(**scores):
    rows = [
        Row(position, str(position), system, score, 1, Usage())
        for system, values in scores.items()
        for position, score in enumerate(values)
    ]
    return Evaluation("made", "nobody", 8, tuple(rows), 0.0)


def test_a_difference_is_paired_over_the_questions_both_were_graded_on():
    frame = differences(made(a=[1, 0, 1, None], b=[0, 0, 1, 1]), "a")
    row = frame.iloc[0]
    assert (row.system, row.questions) == ("b", 3)
    assert row.difference == pytest.approx(-1 / 3)
    assert row.se == pytest.approx(np.std([-1, 0, 0], ddof=1) / math.sqrt(3))
    assert row.relative_gain == pytest.approx(-0.5)


def test_pairing_narrows_what_welch_does_not_see():
    base = np.linspace(0, 1, 40)
    row = differences(made(a=base, b=base + 0.05), "a").iloc[0]
    assert row.low == pytest.approx(0.05)
    assert row.high == pytest.approx(0.05)
    assert row.p_welch > 0.4


def test_the_bootstrap_interval_is_that_of_the_normal_for_many_questions():
    noise = np.random.default_rng(1).normal(0.1, 0.5, 2_000)
    row = differences(made(a=np.zeros(2_000), b=noise), "a").iloc[0]
    assert row.low == pytest.approx(noise.mean() - 1.96 * row.se, abs=0.003)
    assert row.high == pytest.approx(noise.mean() + 1.96 * row.se, abs=0.003)


def test_a_bootstrap_is_reproducible():
    evaluation = made(a=[0, 1, 0, 1], b=[1, 1, 0, 1])
    assert differences(evaluation, "a").equals(differences(evaluation, "a"))


def test_welch_agrees_with_its_formula():
    a, b = [0.1, 0.4, 0.35, 0.8], [0.5, 0.9, 0.6, 1.0]
    va, vb = np.var(a, ddof=1) / 4, np.var(b, ddof=1) / 4
    t, freedom = (np.mean(b) - np.mean(a)) / math.sqrt(va + vb), (va + vb) ** 2 / (va**2 / 3 + vb**2 / 3)
    scale = math.gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * math.gamma(freedom / 2))
    grid = np.linspace(-t, t, 100_001)
    inside = np.trapezoid(scale * (1 + grid**2 / freedom) ** (-(freedom + 1) / 2), grid)
    assert differences(made(a=a, b=b), "a").iloc[0].p_welch == pytest.approx(1 - inside, abs=1e-6)


def test_an_unknown_baseline_names_those_there_are():
    with pytest.raises(ConfigError, match="a, b"):
        differences(made(a=[1], b=[1]), "c")


QUESTIONS = Task("q", tuple(Example(str(i), str(i), answer_format="boxed") for i in range(1, 5)))


def rollout(prompt, i):
    """1: all right. 2: majority wrong. 3: all wrong. 4: majority right."""
    right = {"1": True, "2": i == 0, "3": False, "4": i < 3}[prompt]
    return rf"First, \boxed{{{prompt if right else 99}}}"


def evaluated(*estimators):
    return evaluate(QUESTIONS, ScriptedModel(rollout), estimators=estimators, n=4)


async def oracle(group):
    text = rf"Then check: \boxed{{{group.example.answer}}}"
    return Reference(text, group.example.answer, "oracle", group)


def test_disagreement_counts_who_is_right_where_they_part():
    frame = disagreement(evaluated(MajorityVote(), oracle), "oracle").set_index("other")
    shares = ["questions", "disagree", "right", "other_right"]
    assert list(frame.loc["MajorityVote", shares]) == [4, 0.5, 1.0, 0.0]
    assert list(frame.loc["every rollout", shares]) == [4, 0.25, 1.0, 0.0]
    assert frame.loc["MajorityVote", "disagree_se"] == pytest.approx(np.std([0, 1, 1, 0], ddof=1) / 2)
    assert frame.loc["MajorityVote", "right_se"] == 0
    assert math.isnan(frame.loc["every rollout", "right_se"])  # of one question there is none


def test_disagreement_of_a_system_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="no references by 'Synthesis'"):
        disagreement(evaluated(MajorityVote()))


OPEN = Task("open", tuple(Example(str(i), str(i)) for i in range(1, 5)))


async def by_length(group, gold):
    """A grader with scores between 0 and 1, as a rubric's are."""
    return [len(rollout.text) / 20 for rollout in group.rollouts]


@pytest.mark.parametrize("statistic", [lambda found: disagreement(found, "oracle"), maj_at_k])
def test_final_answers_of_open_ended_tasks_are_not_compared(statistic):
    found = evaluate(OPEN, ScriptedModel(rollout), estimators=[oracle], grader=by_length, n=4)
    with pytest.raises(
        ConfigError, match=r"4 of 4 examples have no answer_format: compare scores with differences\(\)"
    ):
        statistic(found)
    mixed = Task("mixed", (*QUESTIONS.examples[:3], OPEN.examples[3]))
    with pytest.raises(ConfigError, match="1 of 4 examples"):
        statistic(evaluate(mixed, ScriptedModel(rollout), estimators=[oracle], grader=by_length, n=4))


def test_nobody_is_right_in_a_disagreement_without_a_gold_answer():
    async def other(group):
        return Reference("99", "99" if group.example.id == "a" else None, "other", group)

    task = Task("unlabelled", tuple(Example(str(i), answer_format="boxed", id="ab"[i]) for i in range(2)))

    async def grader(group, gold):
        return [1.0] * len(group.rollouts)

    found = evaluate(task, ScriptedModel(lambda p, i: rf"\boxed{{{p}}}"), estimators=[other], grader=grader, n=2)
    frame = disagreement(found, "other").iloc[-1]
    assert frame.disagree == 1.0
    assert math.isnan(frame.right)
    assert math.isnan(frame.other_right)


@pytest.mark.parametrize("ks", [None, (1,)])
def test_pass_at_k_of_scores_in_between_needs_a_threshold(ks):
    async def shares(group, gold):
        return [(0.2, 0.7, 0.99, 1.0)[int(group.example.prompt) - 1]] * len(group.rollouts)

    found = evaluate(OPEN, ScriptedModel(rollout), grader=shares, n=4)
    with pytest.raises(ConfigError, match=r"has the score 0\.2: say .*threshold=0\.7"):
        pass_at_k(found, ks)
    for threshold, share in ((0.99, 0.5), (0.7, 0.75), (0.2, 1.0), (1, 0.25), (1.01, 0.0), (-1, 1.0)):
        assert pass_at_k(found, ks, threshold=threshold).pass_at_k.tolist()[0] == share


@pytest.mark.parametrize("wrong", ["0.7", True, math.nan, math.inf])
def test_a_threshold_that_is_no_score_is_refused(wrong):
    with pytest.raises(ConfigError, match="threshold="):
        pass_at_k(evaluated(), threshold=wrong)


def test_a_rubrics_negative_score_is_not_wrong_by_itself():
    async def harmful(group, gold):
        return [-0.5 if rollout.answer == "99" else 1.0 for rollout in group.rollouts]

    found = evaluate(QUESTIONS, ScriptedModel(rollout), grader=harmful, n=4)
    with pytest.raises(ConfigError, match=r"-0\.5"):
        pass_at_k(found)
    assert pass_at_k(found, threshold=1).equals(pass_at_k(evaluated()))


async def hopeless(group):
    raise EstimationError("not today", group)


def test_a_system_that_failed_everywhere_is_left_out_of_the_disagreements():
    evaluation = evaluated(oracle, hopeless)
    assert list(disagreement(evaluation, "oracle").other) == ["every rollout"]
    assert re.search(r"hopeless \(4 failed\) +\? +\? +4 ", str(evaluation))


def test_scaling_uses_the_first_rollouts_and_samples_no_new_ones():
    policy = ScriptedModel(rollout)
    evaluation = evaluate(QUESTIONS, policy, estimators=(MajorityVote(),), n=4)
    calls = len(policy.calls)
    frame = scaling(evaluation, MajorityVote(), sizes=(1, 4))
    assert list(frame.score) == [0.75, 0.5]  # question 2 is right in its first rollout only
    assert len(policy.calls) == calls


def test_scaling_beyond_the_rollouts_there_are_is_refused():
    with pytest.raises(ConfigError, match="from 1 to 4, since groups have 4 rollouts"):
        scaling(evaluated(MajorityVote()), MajorityVote(), sizes=(8,))


@pytest.mark.parametrize(
    ("sizes", "why"),
    [
        ((0,), "sizes=0: want a whole number from 1 to 4"),
        ([1.5], "sizes=1.5"),
        ("12", "sizes='12': want a list"),
        (3, "sizes=3: want a list"),
        ([], r"sizes=\[\]: want a list"),
    ],
)
def test_sizes_that_are_no_numbers_of_rollouts_are_refused(sizes, why):
    for ablate in (scaling, context_ablation):
        with pytest.raises(ConfigError, match=why):
            ablate(evaluated(MajorityVote()), MajorityVote(), sizes=sizes)


@pytest.mark.parametrize(
    "wrong", ["gpt-4o", ScriptedModel(lambda prompt, i: ""), Synthesis, None], ids=["text", "model", "class", "none"]
)
def test_what_is_no_estimator_is_refused_before_it_is_called(wrong):
    for ablate in (scaling, context_ablation):
        with pytest.raises(ConfigError, match="an estimator is "):
            ablate(evaluated(MajorityVote()), wrong)


def test_scaling_asks_the_anchor_once_per_question_and_size():
    anchor = ScriptedModel(lambda prompt, i: r"\boxed{1}")
    scaling(evaluated(MajorityVote()), Synthesis(anchor), sizes=(1, 2))
    assert len(anchor.calls) == 8


def test_pass_at_k_is_the_share_of_draws_that_hold_a_right_one():
    frame = pass_at_k(evaluated(), ks=(1, 2, 4)).set_index("k")
    # Right of four: 4, 1, 0, 3. Pairs without a right one: 0, 3, 6, 0 of 6.
    assert frame.loc[1, "pass_at_k"] == pytest.approx((4 + 1 + 0 + 3) / 16)
    assert frame.loc[2, "pass_at_k"] == pytest.approx((1 + 3 / 6 + 0 + 1) / 4)
    assert frame.loc[4, "pass_at_k"] == pytest.approx(3 / 4)


def test_pass_at_more_than_there_are_is_refused():
    with pytest.raises(ConfigError, match="from 1 to 4"):
        pass_at_k(evaluated(), ks=(5,))


def test_a_question_with_too_few_graded_rollouts_is_left_out_of_pass_at_k():
    def failing(prompt, i):
        return Rollout("", finish_reason="error", error="500") if prompt == "1" and i == 3 else rollout(prompt, i)

    frame = pass_at_k(evaluate(QUESTIONS, ScriptedModel(failing), n=4), ks=(3, 4)).set_index("k")
    assert list(frame.questions) == [4, 3]
    assert frame.loc[4, "pass_at_k"] == pytest.approx(2 / 3)


def test_maj_at_k_is_the_mean_vote_over_all_subsets():
    frame = maj_at_k(evaluated()).set_index("k")
    assert list(frame.index) == [1, 2, 4]
    # Right of four: 4, 1 (the first), 0, 3 (all but the last).
    assert frame.loc[1, "maj_at_k"] == pytest.approx((1 + 1 / 4 + 0 + 3 / 4) / 4)
    # Of two, a tie goes to the first: question 2 wins with its first one in it, 4 with any but the last alone.
    assert frame.loc[2, "maj_at_k"] == pytest.approx((1 + 3 / 6 + 0 + 1) / 4)
    assert frame.loc[4, "maj_at_k"] == evaluated(MajorityVote()).score("MajorityVote")[0]


def test_maj_at_k_draws_subsets_where_there_are_many():
    def coin(prompt, i):
        return rf"\boxed{{{prompt if i % 2 else 99}}}"

    frame = maj_at_k(evaluate(QUESTIONS, ScriptedModel(coin), n=20), ks=(5,))
    assert 0.35 < frame.maj_at_k[0] < 0.65


def test_repeats_are_pooled_and_errors_stay_over_questions():
    evaluation = evaluate(QUESTIONS, ScriptedModel(rollout), estimators=(MajorityVote(), oracle), n=2, n_repeats=2)
    assert list(pass_at_k(evaluation, ks=(2,)).pass_at_k) == list(pass_at_k(evaluated(), ks=(2,)).pass_at_k)
    apart = disagreement(evaluation, "oracle").set_index("other").loc["MajorityVote"]
    # Votes of two: right, right; right, wrong; wrong, wrong; right, right.
    assert (apart.questions, apart.disagree) == (4, pytest.approx(3 / 8))
    assert differences(evaluation).questions.tolist() == [4, 4]
    assert len(traces(evaluation)) == 3


def test_a_subset_without_a_usable_rollout_stands_for_itself():
    def cut(prompt, i):
        return Rollout(rf"\boxed{{{prompt}}}", finish_reason="stop" if i else "length")

    frame = scaling(evaluate(QUESTIONS, ScriptedModel(cut), n=2), MajorityVote())
    assert (list(frame.g), list(frame.score), list(frame.failed)) == ([1, 2], [1, 1], [0, 0])


# --- what synthesis takes from many rollouts, and from the question ---


def test_one_rollout_in_context_is_compared_with_all_of_them():
    anchor = ScriptedModel(lambda prompt, i: rf"\boxed{{{1 if prompt[-1]['content'].count('First,') == 4 else 99}}}")
    frame = context_ablation(evaluated(), Synthesis(anchor)).set_index("system")
    assert list(frame.index) == ["single sample", "1 in context", "4 in context"]
    assert len(anchor.calls) == 8
    assert list(frame.score) == [0.5, 0, 0.25]
    assert frame.loc["4 in context", "difference"] == 0.25
    assert frame.loc["4 in context", "difference_se"] == pytest.approx(0.25)
    assert math.isnan(frame.loc["1 in context", "difference"])
    assert list(frame.failed) == [0, 0, 0]


def test_synthesis_is_compared_with_and_without_the_question():
    def anchor(prompt, i):
        text = prompt[-1]["content"]
        return rf"\boxed{{{1 if 'question' in text.split('First,')[0] else 99}}}"

    model = ScriptedModel(anchor)
    frame = question_ablation(evaluated(), Synthesis(model, include_question=True)).set_index("system")
    assert list(frame.index) == ["single sample", "rollouts alone", "question and rollouts"]
    assert frame.loc["question and rollouts", "score"] == 0.25
    assert len(model.calls) == 8
    with pytest.raises(ConfigError, match="want a Synthesis"):
        question_ablation(evaluated(), MajorityVote())


def test_an_ablation_can_be_awaited():
    model = ScriptedModel(lambda prompt, i: r"\boxed{1}")
    frame = asyncio.run(aquestion_ablation(evaluated(), Synthesis(model)))
    assert list(frame.questions) == [4, 4, 4]


def test_an_ablation_keeps_its_calls_in_a_run_and_to_a_budget(server, tmp_path):
    server.reply = r"\boxed{1}"
    with Endpoint("test-model", base_url=server.url, api_key=server.key) as model:
        kept = {"run": tmp_path, "budget": Budget(requests=5)}
        first = context_ablation(evaluated(), Synthesis(model), **kept)
        assert len(server.requests) == 5
        assert first.failed.sum() == 3
        whole = context_ablation(evaluated(), Synthesis(model), run=tmp_path)
        assert (whole.failed.sum(), len(server.requests)) == (0, 8)
        assert not (tmp_path / "evaluation.json").exists()


def test_traces_count_cues_per_hundred_words():
    frame = traces(evaluated(oracle)).set_index("system")
    assert frame.loc["rollouts", "step_words"] == pytest.approx(50.0)
    assert frame.loc["oracle", "verification_cues"] == pytest.approx(100 / 3)
    assert frame.loc["oracle", "texts"] == 4


def test_traces_are_of_texts_that_are_whole_as_of_rollouts():
    frame = traces(evaluated(MajorityVote(min_agreement=0.9))).set_index("system")  # it abstains from two of four
    assert frame.loc["MajorityVote", "texts"] == 2
    assert frame.loc["MajorityVote", "words"] == frame.loc["rollouts", "words"] == 2


def test_a_system_that_is_always_right_can_be_tested_too():
    row = differences(made(a=[0.1, 0.4, 0.35, 0.8], b=[1, 1, 1, 1]), "a").iloc[0]
    assert 0 < row.p_welch < 0.1


def test_two_systems_without_variance_are_not_tested():
    """The deviation of three times 0.1 is 1e-17 in NumPy, by which any difference would be certain."""
    row = differences(made(a=[0.1, 0.1, 0.1], b=[0.4, 0.4, 0.4]), "a").iloc[0]
    assert math.isnan(row.p_welch)
    assert row.difference == pytest.approx(0.3)
