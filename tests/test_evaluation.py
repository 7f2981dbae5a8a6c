"""Evaluation grades every system on the same rollouts, and no question is lost."""

import asyncio
import math
import re
from dataclasses import dataclass

import pytest

from catlite import (
    AnchoredVote,
    BestOfN,
    Budget,
    Endpoint,
    Evaluation,
    Example,
    MajorityVote,
    MinPerplexity,
    RecursiveSynthesis,
    Reference,
    Rollout,
    ScriptedModel,
    Synthesis,
    Task,
    Usage,
    estimate,
    evaluate,
    reestimate,
    times_tables,
)
from catlite.errors import AuthenticationFailed, ConfigError, EstimationError
from catlite.models.base import Traits
from catlite.models.http.prices import Price
from catlite.rollouts import sample_group
from catlite.runs.session import meter

TASK = Task("sums", tuple(Example(f"{a}+1?", str(a + 1), answer_format="boxed", id=str(a)) for a in range(4)))


def policy(prompt, i):
    """Right in three of four samples; question 3 is always wrong."""
    a = int(prompt.split("+")[0])
    return rf"\boxed{{{a + 1 if i % 4 and a != 3 else 0}}}"


def run(*estimators, task=TASK, model=None, **options):
    return evaluate(task, model or ScriptedModel(lambda p, i: policy(p, i)), estimators=estimators, **options)


def test_a_single_samples_score_is_the_mean_over_rollouts_with_its_error_over_questions():
    mean, error, graded = run(n=8).score("single sample")
    assert mean == pytest.approx(0.5625)  # 0.75, 0.75, 0.75, 0
    assert error == pytest.approx(0.375 / math.sqrt(4))
    assert graded == 4


def test_estimators_are_graded_on_their_references():
    result = run(MajorityVote(), n=8)
    assert result.score("MajorityVote")[0] == 0.75
    assert [reference.answer for reference in result.references] == ["1", "2", "3", "0"]


def test_costs_are_those_of_what_a_system_needs():
    anchor = ScriptedModel(lambda prompt, i: r"\boxed{1}")
    summary = run(MajorityVote(), Synthesis(anchor), n=8).summary
    assert list(summary["generations"]) == [1, 8, 9]
    assert list(summary["requests"]) == [0, 0, 0]  # a script sends none
    alone, group = summary.loc["single sample"], summary.loc["MajorityVote"]
    assert alone["prompt_tokens"] == group["prompt_tokens"]  # one sample needs the whole prompt
    assert alone["completion_tokens"] == group["completion_tokens"] / 8


def test_a_question_that_fails_is_counted_and_the_others_are_finished():
    def broken(prompt, i):
        if prompt.startswith("2"):
            return Rollout("", finish_reason="error", error="500 after 8 attempts")
        return policy(prompt, i)

    result = run(MajorityVote(), model=ScriptedModel(broken), n=4)
    failed = [row for row in result.rows if row.score is None]
    assert [(row.id, row.system) for row in failed] == [("2", "single sample"), ("2", "MajorityVote")]
    assert "500 after 8 attempts" in failed[0].error
    assert result.score("MajorityVote")[2] == 3
    assert "(1 failed)" in str(result)


def test_an_estimator_that_fails_on_a_question_does_not_fail_the_run():
    async def moody(group):
        if group.example.id == "1":
            raise EstimationError("not today", group)
        return Reference("", group.example.answer, "moody", group)

    result = run(moody, n=2)
    assert result.score("moody") == (1.0, 0.0, 3)


def test_a_plain_async_function_is_an_estimator():
    async def longest(group):
        best = max(group.usable, key=lambda rollout: len(rollout.text))
        return Reference(best.text, best.answer, "longest", group)

    assert run(longest).systems == ["single sample", "longest"]


def test_the_same_estimator_twice_keeps_two_names():
    assert run(MajorityVote(), MajorityVote()).systems == ["single sample", "MajorityVote", "MajorityVote 2"]


def test_a_refused_key_ends_the_run(server):
    server.key = "another"
    model = Endpoint("test-model", base_url=server.url, api_key="sk-wrong-0000", retry_seconds=1)
    with pytest.raises(AuthenticationFailed):
        run(model=model)
    model.close()


def test_unknown_token_counts_stay_unknown_in_the_summary():
    model = ScriptedModel(lambda prompt, i: Rollout(r"\boxed{1}", usage=Usage(5, None, 0, None, 1)))
    assert run(model=model, n=2).summary["completion_tokens"].isna().all()


def test_repeats_are_fresh_rollouts_and_a_questions_score_is_their_mean():
    result = run(MajorityVote(), n=2, n_repeats=3)  # samples 0, 1; 2, 3; 4, 5, of which 0 and 4 are wrong
    assert [row.repeat for row in result.rows] == [0] * 8 + [1] * 8 + [2] * 8
    firsts = [row.scores for row in result.rows if (row.id, row.system) == ("0", "single sample")]
    assert firsts == [(0.0, 1.0), (1.0, 1.0), (0.0, 1.0)]
    assert result.scores("single sample") == {
        0: pytest.approx(4 / 6),
        1: pytest.approx(4 / 6),
        2: pytest.approx(4 / 6),
        3: 0,
    }
    # A tie goes to the first sampled, so the vote of two is wrong where the first is.
    assert result.score("MajorityVote") == (pytest.approx(0.25), pytest.approx(1 / 6 / 2), 4)
    summary = result.summary
    assert (list(summary.graded), list(summary.questions), list(summary.requests)) == ([4, 4], [4, 4], [0, 0])
    assert "4 questions × 3 repeats" in str(result)
    assert [rollout.text for rollout in result.group(0, 2).rollouts] == [r"\boxed{0}", r"\boxed{1}"]


def test_a_repeat_that_fails_is_counted_and_the_question_is_graded_on_the_others():
    def broken(prompt, i):
        return Rollout("", finish_reason="error", error="500") if i == 1 and prompt[0] == "1" else policy(prompt, i)

    result = run(model=ScriptedModel(broken), n=1, n_repeats=2)
    assert result.score("single sample")[2] == 4
    assert list(result.summary.failed) == [1]
    assert "(1 failed)" in str(result)


def test_more_repeats_of_a_run_ask_only_for_those_that_are_new(server, tmp_path):
    options = {"n": 2, "base_url": server.url, "api_key": server.key, "run": tmp_path, "seed": 3}
    server.reply = lambda body, i: rf"\boxed{{{body['seed'] + i}}}"
    once = evaluate(TASK, "test-model", **options)
    sent = len(server.requests)
    thrice = evaluate(TASK, "test-model", n_repeats=3, **options)
    assert thrice.groups[:4] == once.groups
    assert [one.answer for one in thrice.group(1, 2).rollouts] == ["7", "8"]
    assert len(server.requests) == 3 * sent
    assert Evaluation.load(tmp_path) == thrice
    again = evaluate(TASK, "test-model", n_repeats=3, **options)
    assert again.rows == thrice.rows
    assert len(server.requests) == 3 * sent


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "2"])
def test_a_number_of_repeats_that_is_none_is_refused(wrong):
    with pytest.raises(ConfigError, match="n_repeats"):
        run(n_repeats=wrong)


def test_estimators_may_be_named():
    anchor = ScriptedModel(lambda prompt, i: r"\boxed{1}")
    named = {"blind": Synthesis(anchor), "seeing": Synthesis(anchor, include_question=True)}
    result = evaluate(TASK, ScriptedModel(policy), estimators=named, n=2)
    assert result.systems == ["single sample", "blind", "seeing"]
    with pytest.raises(ConfigError, match="cannot be called"):
        evaluate(TASK, ScriptedModel(policy), estimators={"single sample": MajorityVote()})


def test_the_summary_says_what_is_gained_and_at_how_many_times_the_compute():
    anchor = ScriptedModel(lambda prompt, i: r"\boxed{1}")
    summary = run(MajorityVote(), Synthesis(anchor), n=8).summary
    assert list(summary.compute) == [1, 8, 9]
    assert math.isnan(summary.relative_gain.iloc[0])
    assert list(summary.relative_gain)[1:] == pytest.approx([0.75 / 0.5625 - 1, 0.25 / 0.5625 - 1])
    assert "+33%" in str(run(MajorityVote(), n=8))


def test_other_estimators_are_tried_on_the_same_rollouts_without_sampling_or_grading_them_again():
    graded = []

    async def grader(group, gold):
        graded.append(len(group.rollouts))
        return [float(rollout.answer == gold.answer) for rollout in group.rollouts]

    model = ScriptedModel(policy)
    first = evaluate(TASK, model, grader=grader, n=4, n_repeats=2)
    calls = len(model.calls)
    assert graded == [4] * 8
    again = reestimate(first, (MajorityVote(),), grader=grader)
    assert graded == [4] * 8 + [1] * 8
    assert len(model.calls) == calls
    assert again.systems == ["single sample", "MajorityVote"]
    assert again.score("single sample") == first.score("single sample")
    assert again.groups == first.groups


def test_trying_again_keeps_its_replies_and_leaves_the_runs_evaluation_alone(server, tmp_path):
    where = {"base_url": server.url, "api_key": server.key}
    first = evaluate(TASK, "test-model", n=2, run=tmp_path, **where)
    with Endpoint("test-model", **where) as anchor:
        again = reestimate(first, (Synthesis(anchor),), run=tmp_path)
        sent = len(server.requests)
        assert reestimate(first, (Synthesis(anchor),), run=tmp_path).rows == again.rows
        assert len(server.requests) == sent
        stopped = reestimate(first, (Synthesis(anchor, temperature=0.1),), run=tmp_path, budget=Budget(requests=sent))
    assert "the budget is reached" in stopped.stopped
    assert Evaluation.load(tmp_path) == first


def test_trying_again_without_rollouts_is_refused():
    with pytest.raises(ConfigError, match="without its groups"):
        reestimate(Evaluation("t", "p", 1, (), 0.0), (MajorityVote(),))


def test_progress_is_told_of_every_question():
    seen = []
    run(progress=lambda done, total: seen.append((done, total)))
    assert sorted(seen) == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(("cost", "shown"), [(0.25, r"\$\d\.\d{4}"), (None, r"[\d,]+ tokens")])
def test_a_bar_shows_how_many_at_what_rate_and_cost_and_how_long_still(capsys, cost, shown):
    async def slow(group):
        await asyncio.sleep(0.2)  # a bar is not drawn more often than ten times a second
        return Reference("", None, "slow", group)

    model = ScriptedModel(lambda prompt, i: Rollout(r"\boxed{1}", usage=Usage(5, 5, 0, cost, 1)))
    run(slow, model=model, progress=True, n=2)
    assert re.search(rf"\d/4 \[\d\d:\d\d<\S+, +\S+question/s, {shown}\]", capsys.readouterr().err)


@pytest.mark.parametrize(
    ("task", "said"),
    [
        (Task("none", ()), "no examples"),
        (Task("open", (Example("q", "a"),)), "no answer_format"),
        (Task("unlabelled", (Example("q", answer_format="boxed"),)), "no answer to grade against"),
    ],
)
def test_a_task_that_cannot_be_graded_is_refused(task, said):
    with pytest.raises(ConfigError, match=said):
        run(task=task)


def test_evaluation_works_inside_a_running_loop():
    async def inside():
        return run(MajorityVote(), n=4)

    assert asyncio.run(inside()).score("MajorityVote")[0] == 0.75


def test_the_frame_has_a_row_per_question_and_system():
    frame = run(MajorityVote()).to_frame()
    assert len(frame) == 8
    assert {"id", "system", "score", "requests", "seconds"} <= set(frame.columns)


def test_the_html_table_escapes_names():
    task = Task("<b>", TASK.examples)
    assert "<b>" not in run(task=task)._repr_html_()


# --- the offline task ---


def test_times_tables_has_81_questions_with_right_answers():
    task = times_tables()
    assert len(task) == 81
    assert {(example.id, example.answer) for example in task} >= {("4x4", "16"), ("12x12", "144"), ("7x8", "56")}
    assert len({example.id for example in task}) == 81


def test_a_seed_draws_the_same_questions():
    assert times_tables(10, seed=3) == times_tables(10, seed=3)
    assert times_tables(10, seed=3) != times_tables(10, seed=4)


@pytest.mark.parametrize("limit", [0, -1, 82, 1.5])
def test_a_limit_out_of_range_is_refused(limit):
    with pytest.raises(ConfigError, match="1 to 81"):
        times_tables(limit)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("6 times 7 is 42.", "42"),
        ("6 × 7 = 42", "42"),
        ("6 times 7 is 42. 6 times 8 is 48.", "42"),
        ("6 times 7 is\n42.", None),
        ("I would say forty-two.", None),
        ("12 times 100 is 1,200.", "1,200"),
    ],
)
def test_answers_are_read_from_the_sentence(text, answer):
    assert times_tables(1).examples[0].parse(text) == answer


def test_a_question_the_endpoint_rejects_is_a_row_and_not_the_end(server):
    server.context = 60
    task = Task(
        "two", (Example("short?", "1", answer_format="boxed"), Example("long " * 500, "1", answer_format="boxed"))
    )
    result = evaluate(task, "test-model", n=2, base_url=server.url, api_key=server.key)
    assert [row.error is None or "context" in row.error for row in result.rows] == [True, True]
    assert "maximum context length" in result.rows[1].error


def test_what_a_failed_synthesis_cost_is_booked():
    lost = Rollout("", finish_reason="error", error="503", usage=Usage(3, 0, 0, 0.0, 1))
    for reply, score in (("", 0.0), (lost, None)):
        anchor = ScriptedModel(lambda prompt, i, reply=reply: reply)
        result = run(Synthesis(anchor), n=2)
        failed = [row for row in result.rows if row.system == "Synthesis"]
        assert all(row.score == score and row.usage.requests == (reply is lost) for row in failed)


# --- what a system draws, and what one sample costs ---


def test_generations_are_what_was_drawn_and_not_requests(server):
    server.reply, server.models, server.most_choices = r"\boxed{1}", ("policy", "anchor", "judge"), 3
    where = {"base_url": server.url, "api_key": server.key}
    with (
        Endpoint("policy", **where) as model,
        Endpoint("anchor", **where) as anchor,
        Endpoint("judge", **where) as judge,
    ):
        server.reply = lambda body, i: '{"best": 1}' if body["model"] == "judge" else rf"\boxed{{{i}}}"
        estimators = (
            MajorityVote(),
            Synthesis(anchor),
            Synthesis(anchor, when_agreement_below=1.0),
            RecursiveSynthesis(anchor, width=4),
            AnchoredVote(anchor, n=16),
            BestOfN(judge),
        )
        result = run(*estimators, model=model, n=8)
    assert result.summary.generations.tolist() == [1, 8, 9, 9, 8 + 3, 8 + 16, 9]
    assert result.summary.compute.tolist() == [1, 8, 9, 9, 8 + 3, 8 + 16, 9]
    assert result.groups[0].usage.generations == 8
    assert result.groups[0].usage.requests > 1


def test_a_synthesis_that_makes_no_call_draws_nothing():
    result = run(
        Synthesis(ScriptedModel(lambda p, i: ""), when_agreement_below=1.0),
        model=ScriptedModel(lambda p, i: r"\boxed{1}"),
    )
    assert result.summary.generations.tolist() == [1, 8]


def test_an_abstention_scores_0_and_is_told_apart_from_a_wrong_answer():
    policy = ScriptedModel(lambda prompt, i: r"\boxed{1}" if "a" in str(prompt) else rf"\boxed{{{i}}}")
    task = Task("two", (Example("a", "1", answer_format="boxed"), Example("b", "1", answer_format="boxed")))
    result = run(MajorityVote(min_agreement=0.5), task=task, model=policy)
    name = result.systems[1]
    assert result.score(name)[0] == 0.5
    assert result.score(name, abstained=False)[::2] == (1.0, 1)
    assert result.summary.abstained.tolist() == [0, 1]
    note = f"{name} abstained in 1 of 2 cases, which scores 0; it scores 1.000 ± nan on those that it answered."
    assert note in result.notes


def test_the_syntheses_that_were_spared_are_counted():
    policy = ScriptedModel(lambda prompt, i: r"\boxed{1}" if "a" in str(prompt) else rf"\boxed{{{i}}}")
    task = Task("two", (Example("a", "1", answer_format="boxed"), Example("b", "1", answer_format="boxed")))
    anchor = ScriptedModel(lambda prompt, i: r"\boxed{1}")
    result = run(Synthesis(anchor, when_agreement_below=0.75), task=task, model=policy)
    assert len(anchor.calls) == 1
    assert "Synthesis made no call in 1 of 2 cases: enough rollouts agreed." in result.notes


def test_a_choice_that_cannot_be_read_was_drawn_all_the_same():
    said = iter(["hm", '{"best": 2}'])
    judge = ScriptedModel(lambda p, i: next(said))
    result = run(BestOfN(judge), task=Task("one", TASK.examples[:1]), n=2)
    assert result.summary.generations.tolist() == [1, 2 + 2]


def test_scoring_given_texts_draws_nothing():
    class Scorer:
        name = "scorer"

        async def sample(self, prompt, n=1, **sampling):
            raise NotImplementedError

        async def logprobs(self, prompt, text):
            meter(Usage(5, 0, 0, 0.0, 4))  # as a llama.cpp server is asked four times
            return [-1.0]

    result = run(MinPerplexity(Scorer()), n=8)
    assert result.summary.generations.tolist() == [1, 8]
    assert result.summary.requests["MinPerplexity"] == 4 * 4 * 8


def test_a_model_that_counts_nothing_still_draws():
    class Plain:
        name = "plain"

        async def sample(self, prompt, n=1, **sampling):
            return [Rollout(r"\boxed{1}")] * n

    plain = Plain()
    result = run(MajorityVote(), Synthesis(plain), AnchoredVote(plain, n=16), model=plain, n=8)
    assert result.summary.generations.tolist() == [1, 8, 9, 24]
    assert result.summary.completion_tokens.isna().all()  # which is not 0


def test_a_model_that_draws_more_than_it_shows_says_so():
    model = ScriptedModel(lambda p, i: Rollout(r"\boxed{1}", usage=Usage(5, 5, 0, 0.0, 1, generations=4)))
    assert run(MajorityVote(), model=model, n=2).summary.generations.tolist() == [4, 8]


def test_calls_that_failed_are_no_generations():
    lost = Rollout("", finish_reason="error", error="503")
    model = ScriptedModel(lambda p, i: lost if i % 2 else r"\boxed{1}")
    result = run(MajorityVote(), model=model, n=8)
    assert result.summary.generations.tolist() == [1, 4]
    assert "16 of 32 rollouts did not come: scores are means over the others." in str(result)
    assert "did not come" not in str(run(MajorityVote(), n=8))


def test_replies_of_a_run_from_before_generations_were_counted_count_as_one_each():
    old = {"text": "a", "usage": {"prompt_tokens": 1, "completion_tokens": 2, "cached_tokens": 0, "cost_usd": 0.0}}
    assert Rollout.from_json(old).usage.generations == 1
    assert Rollout.from_json(old | {"text": "", "finish_reason": "scored"}).usage.generations == 0
    new = old | {"usage": old["usage"] | {"generations": 3}}
    assert Rollout.from_json(new).usage.generations == 3
    assert Usage(1, 2, 0, 0.0) == Usage(1, 2, 0, 0.0, generations=3)


def cost_of_one(parts, price=None):
    """The usage of a single sample, where a question's rollouts took `parts`."""

    class Priced:
        name, traits = "priced", Traits(price=price)

        async def sample(self, prompt, n=1, **sampling):
            return [Rollout(r"\boxed{1}", usage=parts[i % len(parts)]) for i in range(n)]

    model = Priced()
    return run(model=model, task=Task("one", TASK.examples[:1]), n=len(parts)).rows[0].usage


@pytest.mark.parametrize("price", [None, Price(1e6, 2e6)])
def test_a_single_sample_costs_the_whole_prompt_and_the_mean_reply(price):
    # Three rollouts of one request: a prompt of 10 tokens at $1 and replies of 3, 200 and 1 tokens at $2.
    parts = [Usage(10, 3, 0, 16.0, 1), Usage(0, 200, 0, 400.0), Usage(0, 1, 0, 2.0)]
    one = cost_of_one(parts, price)
    assert (one.prompt_tokens, one.completion_tokens, one.requests) == (10, 68, 1)
    assert one.cost_usd == pytest.approx(10 * 1 + 68 * 2)


def test_a_single_sample_of_several_requests_costs_as_one_of_them_does():
    parts = [Usage(10, 3, 0, 16.0, 1), Usage(0, 7, 0, 14.0), Usage(10, 5, 0, 20.0, 1), Usage(0, 1, 0, 2.0)]
    assert cost_of_one(parts).cost_usd == pytest.approx(10 + 4 * 2)
    alone = [Usage(10, 3, 0, 16.0, 1), Usage(10, 5, 0, 20.0, 1)]
    assert cost_of_one(alone).cost_usd == pytest.approx(18.0)


def test_what_a_single_sample_costs_is_unknown_where_it_cannot_be_told():
    assert cost_of_one([Usage(10, 3, 0, 16.0, 1), Usage(0, None, 0, None)]).cost_usd is None
    assert cost_of_one([Usage(10, 800, 0, 16.0, 1), Usage(0, 0, 0, 0.0)]).cost_usd is None  # all on the first
    priced = cost_of_one([Usage(10, 800, 0, 810.0, 1), Usage(0, 0, 0, 0.0)], Price(1e6, 1e6))
    assert priced.cost_usd == pytest.approx(10 + 400)
    assert cost_of_one([Usage(10, 3, 0, 0.0, 1), Usage(0, 0, 0, 0.0)]).cost_usd == 0.0


def test_a_priced_endpoint_has_the_cost_of_the_mean_sample(server):
    server.reply = lambda body, i: " ".join(["word"] * (1 + 50 * i)) + r" \boxed{1}"
    price = Price(1e6, 1e6)
    with Endpoint("test-model", base_url=server.url, api_key=server.key, price=price) as model:
        result = run(model=model, n=4)
    for row, group in zip(result.rows, result.groups, strict=True):
        prompt = group.rollouts[0].usage.prompt_tokens
        tokens = [rollout.usage.completion_tokens for rollout in group.rollouts]
        assert row.usage.cost_usd == pytest.approx(prompt + sum(tokens) / 4)
        assert tokens[0] < sum(tokens) / 4


@dataclass(frozen=True, slots=True)
class Slotted:
    """An estimator without a __dict__."""

    async def __call__(self, group):
        return await MajorityVote()(group)


def test_an_estimator_may_have_slots():
    assert run(Slotted()).score("Slotted") == run(MajorityVote()).score("MajorityVote")


async def forgets_to_return(group):
    pass


async def returns_text(group):
    return group.usable[0].text


def forgets_async(group):
    return Reference("", None, "mine", group)


@pytest.mark.parametrize(
    ("estimator", "said"),
    [
        (forgets_to_return, "forgets_to_return gave None: give a Reference"),
        (returns_text, "returns_text gave a str: give a Reference"),
        (forgets_async, "forgets_async gave a Reference at once, and nothing to await"),
    ],
)
def test_an_estimator_that_gives_no_reference_is_named(estimator, said):
    with pytest.raises(ConfigError, match=said):
        run(estimator)
    with pytest.raises(ConfigError, match=said):
        estimate(TASK, ScriptedModel(policy), estimator=estimator, n=2)


@pytest.mark.parametrize(("scores", "said"), [(None, "NoneType"), ("abcd", "str"), (1.0, "float")])
def test_a_grader_that_gives_no_scores_is_named(scores, said):
    async def grade(group, reference):
        return scores

    with pytest.raises(ConfigError, match=f"the reward grade gave {said} for a group of 4 rollouts"):
        run(grader=grade, n=4)
    with pytest.raises(ConfigError, match="gave a list at once, and nothing to await"):
        run(grader=lambda group, reference: [1.0] * 4, n=4)


def test_a_group_that_an_estimator_samples_in_vain_fails_its_question_and_is_counted():
    def down(prompt, i):
        return Rollout("", finish_reason="error", error="down", usage=Usage(3, 0, 0, 0.5, 1))

    async def again(group):
        return await MajorityVote()(await sample_group(ScriptedModel(down), group.example, 2))

    result = run(again)
    rows = [row for row in result.rows if row.system == "again"]
    assert all("2 × down" in row.error and row.score is None for row in rows)
    assert all(row.usage.cost_usd == 1.0 for row in rows)
    references = estimate(TASK, ScriptedModel(policy), estimator=again, n=2)
    assert all("2 × down" in reference.error and reference.total_usage.cost_usd == 1.0 for reference in references)


@pytest.mark.parametrize("estimator", [MinPerplexity, lambda model: RecursiveSynthesis(model, width=2)])
def test_what_an_estimator_asks_inside_of_a_grader_is_part_of_judging(estimator):
    class Both:
        name = "both"

        async def sample(self, prompt, n=1, **sampling):
            return [Rollout("a", usage=Usage(5, 1, 0, 0.25, 1))]

        async def logprobs(self, prompt, text):
            meter(Usage(5, 0, 0, 0.25, 1))
            return [-1.0]

    async def grade(group, reference):
        await estimator(Both())(group)
        return [1.0] * len(group.rollouts)

    assert run(grader=grade, n=4).judging.cost_usd == len(TASK) * 0.25 * (4 if estimator is MinPerplexity else 3)
