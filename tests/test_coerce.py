"""What a person gives is taken where it can mean one thing, and else refused before anything is paid."""

import asyncio
import inspect
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import catlite
from catlite import (
    AnswerMatch,
    BestOfN,
    Example,
    ExpertRubric,
    LengthPenalty,
    LocalModel,
    MajorityVote,
    MinPerplexity,
    ModelAsJudge,
    MutualPredictability,
    RecursiveSynthesis,
    Rollout,
    RubricReward,
    ScriptedModel,
    Synthesis,
    Task,
)
from catlite.errors import ConfigError

FRAME = pd.DataFrame({"question": ["one?", "two?"], "gold": ["1", "2"]})
SUM = Example("What is 6 times 7?", "42", answer_format="boxed")


class Paid:
    """A model that counts what would have been paid."""

    name = "paid"

    def __init__(self):
        self.calls = 0

    async def sample(self, prompt, n=1, **sampling):
        self.calls += 1
        return [Rollout(r"\boxed{42}")] * n


@pytest.fixture
def model():
    return Paid()


def test_a_number_that_is_none_is_no_answer_and_an_empty_text_no_folder():
    for answer in (float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=f"item 1: its answer is {answer}"):
            catlite.evaluate([Example("q", answer, answer_format="boxed")], Paid())
    with pytest.raises(ConfigError, match="run='': want the path of a folder"):
        catlite.synthesize("q", Paid(), run="")


@pytest.mark.parametrize(
    "make",
    [
        lambda model: Synthesis(model, temperature=-1),
        lambda model: Synthesis(model, max_tokens=0),
        lambda model: RecursiveSynthesis(model, temperature="hot"),
        lambda model: BestOfN(model, max_tokens=0),
        lambda model: BestOfN(model, seed="x"),
    ],
)
def test_a_wrong_setting_of_an_estimator_is_refused_before_rollouts_are_paid(model, make):
    with pytest.raises(ConfigError, match=r"want a (whole )?number"):
        make(model)


@pytest.fixture
def refused(model):
    """Checks that a call is refused unpaid, and gives the message."""

    def refused(call):
        with pytest.raises(ConfigError) as caught:
            call(model)
        assert model.calls == 0
        return str(caught.value)

    return refused


# Tasks


@pytest.mark.parametrize(
    "table",
    [FRAME, FRAME.to_dict("list"), FRAME.to_dict("records"), FRAME.to_dict("records")[:1]],
    ids=["DataFrame", "dict of columns", "list of rows", "one row"],
)
def test_a_table_is_refused_with_the_call_that_names_its_columns(refused, table):
    assert "catlite.from_records(rows, prompt='question')" in refused(lambda model: catlite.estimate(table, model))
    said = refused(lambda model: catlite.evaluate(table, model))
    assert "from_records(rows, prompt='question', answer='gold', answer_format=\"boxed\")" in said


def test_a_dataset_is_refused_with_the_call_that_names_its_columns(refused):
    datasets = pytest.importorskip("datasets", reason="needs catlite[train]")
    for table in (
        datasets.Dataset.from_pandas(FRAME),
        datasets.DatasetDict({"train": datasets.Dataset.from_pandas(FRAME)}),
    ):
        assert "from_records" in refused(lambda model, table=table: catlite.estimate(table, model))


@pytest.mark.parametrize("given", [str, Path])
def test_a_file_is_refused_with_the_call_that_names_its_columns(refused, tmp_path, given):
    file = tmp_path / "mine.csv"
    FRAME.to_csv(file, index=False)
    for call in (catlite.estimate, catlite.evaluate, lambda task, _: catlite.train(task, "local")):
        said = refused(lambda model, call=call: call(given(file), model))
        assert f"from_records({str(file)!r}, prompt='question'" in said
    assert "does not exist" in refused(lambda model: catlite.evaluate(str(tmp_path / "none.csv"), model))


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("What is 6 times 7?", "many questions, not one text"),
        ([{"role": "user", "content": "Hi?"}], "a conversation is one item"),
        ([["Hi?"]], "item 1: message 0 is str"),
        (["fine?", 7], "item 2 is a int"),
        (["fine?", " "], "item 2: the prompt is empty"),
        ([SUM, Task("inner", (SUM,))], "item 2 is a Task"),
        (None, "not None"),
        (42, "not a int"),
        (b"bytes", "not a bytes"),
        (Task, "not the class Task"),
    ],
)
def test_what_is_no_task_is_refused(refused, task, said):
    for call in (catlite.estimate, catlite.evaluate, lambda task, _: catlite.train(task, "local")):
        assert said in refused(lambda model, call=call: call(task, model))


@pytest.mark.parametrize(
    "task",
    [[SUM, SUM], (SUM, SUM), Task("two", (SUM, SUM)), Task("a list", [SUM, SUM]), (one for one in (SUM, SUM))],
    ids=["list", "tuple", "Task", "Task of a list", "generator"],
)
def test_examples_are_a_task(model, task):
    assert catlite.evaluate(task, model, n=2).score("single sample")[0] == 1.0


@pytest.mark.parametrize(
    "prompts", [["a?", "b?"], pd.Series(["a?", "b?"]), np.array(["a?", "b?"]), {"a?": 0, "b?": 1}.keys()]
)
def test_prompts_are_a_task(model, prompts):
    assert [one.group.example.prompt for one in catlite.estimate(prompts, model, n=1)] == ["a?", "b?"]


def test_one_example_is_a_task_of_one(model):
    assert len(catlite.evaluate(SUM, model, n=2).rows) == 1


def test_a_task_may_be_called_by_its_name(model):
    assert catlite.evaluate("times_tables", model, n=1).task == "times_tables"


def test_an_answer_format_holds_for_the_examples_that_say_none(model):
    mixed = ["a?", Example("b?", answer_format=r"is (\d+)")]
    first, second = catlite.estimate(mixed, model, estimator=MajorityVote(), n=2, answer_format="boxed")
    assert (first.answer, second.answer) == ("42", None)
    assert second.group.example.answer_format == r"is (\d+)"
    assert catlite.evaluate([Example("a?", "42")], model, n=1, answer_format="boxed").score("single sample")[0] == 1.0


# Estimators and graders


def test_one_estimator_needs_no_list(model):
    result = catlite.evaluate([SUM], model, estimators=MajorityVote())
    assert result.systems == ["single sample", "MajorityVote"]
    assert catlite.reestimate(result, MajorityVote()).systems == ["single sample", "MajorityVote"]
    assert catlite.evaluate([SUM], model, estimators=None).systems == ["single sample"]


@pytest.mark.parametrize(
    ("estimator", "said"),
    [
        (MajorityVote, "write MajorityVote()"),
        (Synthesis, "write Synthesis(anchor)"),
        ("majority", "not the text 'majority'"),
        (AnswerMatch(), "it is a reward"),
        (ScriptedModel(lambda prompt, i: ""), "is a model"),
        (7, "not 7"),
        (lambda: None, "is not"),
    ],
)
def test_what_is_no_estimator_is_refused(refused, estimator, said):
    assert said in refused(lambda model: catlite.evaluate([SUM], model, estimators=[estimator]))
    assert said in refused(lambda model: catlite.evaluate([SUM], model, estimators=estimator))
    assert said in refused(lambda model: catlite.evaluate([SUM], model, estimators={"mine": estimator}))
    assert said in refused(lambda model: catlite.estimate(["a?"], model, estimator=estimator))
    assert said in refused(lambda model: catlite.compare(model, model, [SUM], synthesis=estimator))
    assert said in refused(lambda model: catlite.train([SUM], "local", estimator=estimator))
    assert said in refused(lambda model: catlite.sft([SUM], "local", estimator=estimator))
    assert said in refused(lambda model: catlite.trl_reward(estimator, answer_format="boxed"))


@pytest.mark.parametrize(
    ("reward", "said"),
    [
        (AnswerMatch, "write AnswerMatch()"),
        (RubricReward, "write RubricReward(proposer, judge)"),
        ("answer", "not the text 'answer'"),
        (MajorityVote(), "it is an estimator"),
        (ScriptedModel(lambda prompt, i: ""), "is a model"),
    ],
)
def test_what_is_no_reward_is_refused(refused, reward, said):
    assert said in refused(lambda model: catlite.evaluate([SUM], model, grader=reward))
    assert said in refused(lambda model: catlite.train([SUM], "local", reward=reward))
    assert said in refused(lambda model: catlite.trl_reward(MajorityVote(), reward, answer_format="boxed"))
    assert said in refused(lambda model: LengthPenalty(reward, 100))


def test_functions_of_ones_own_are_estimators_and_rewards(model):
    async def first(group):
        return catlite.Reference(group.rollouts[0].text, group.rollouts[0].answer, "first", group)

    async def half(group, reference, *, scale=0.5):
        return [scale] * len(group.rollouts)

    result = catlite.evaluate([SUM], model, estimators=first, grader=half)
    assert [row.score for row in result.rows] == [0.5, 0.5]


# Models, by role


@pytest.mark.parametrize(
    "made",
    [Synthesis, RecursiveSynthesis, BestOfN, MinPerplexity, MutualPredictability, ModelAsJudge, ExpertRubric],
)
def test_estimators_and_rewards_take_a_models_name(monkeypatch, made):
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    role = next(iter(inspect.signature(made).parameters))
    assert getattr(made("gpt-4o"), role).name == "gpt-4o"


def test_a_reward_takes_the_names_of_two_models(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "key")
    reward = RubricReward("a", "b")
    assert (reward.proposer.name, reward.judge.name) == ("a", "b")


def test_a_name_that_cannot_be_reached_is_refused_at_once(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ConfigError, match="Synthesis: anchor: no API key"):
        Synthesis("gpt-4o")


@pytest.mark.parametrize(
    ("given", "said"), [(None, "not NoneType"), (3, "not int"), (LocalModel, "write LocalModel"), ([], "a panel of 0")]
)
def test_what_is_no_model_is_refused_with_its_role(given, said):
    with pytest.raises(ConfigError, match=f"Synthesis: anchor: .*{said}"):
        Synthesis(given)
    with pytest.raises(ConfigError, match=f"RubricReward: judge: .*{said}"):
        RubricReward(Paid(), given)


def test_a_scorer_that_cannot_score_is_refused_before_rollouts_are_paid():
    assert MinPerplexity().scorer is None
    for made in (MinPerplexity, MutualPredictability):
        with pytest.raises(ConfigError, match="cannot score given text"):
            made(Paid())


# Arguments


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ({"temp": 1}, "did you mean temperature?"),
        ({"temp": None}, "did you mean temperature?"),
        ({"system": "Be brief."}, 'the first message of the prompt: [{"role": "system"'),
        ({"stream": True}, "catlite.stream()"),
        ({"min_usabel": 2}, "did you mean min_usable?"),
        ({"answerformat": "boxed"}, "did you mean answer_format?"),
        ({"estimators": [MajorityVote()]}, "did you mean estimator?"),
        ({"prompt": "question"}, "from_records(rows, prompt=…)"),
        ({"timeout": 5}, "Endpoint(name, timeout=…)"),
        ({"max_new_tokens": 5}, "max_tokens="),
        ({"limit": 5}, "gsm8k(limit=…)"),
        ({"num_samples": 4}, "n="),
        ({"anchor": "gpt-4o"}, "Synthesis(anchor)"),
        ({"grammer": "root"}, "did you mean grammar?"),
        ({"xyzzy": 1}, "extra_body={…}"),
    ],
)
def test_an_unknown_argument_is_told_where_it_belongs(refused, argument, said):
    assert said in refused(lambda model: catlite.estimate(["a?"], model, **argument))


def test_every_call_checks_its_arguments_before_anything_is_paid(refused):
    for call in (
        lambda model: catlite.synthesize("a?", model, temp=1),
        lambda model: catlite.evaluate([SUM], model, temp=1),
        lambda model: catlite.compare(model, model, [SUM], temp=1),
    ):
        assert "did you mean temperature?" in refused(call)
    assert "did you mean estimators?" in refused(lambda model: catlite.evaluate([SUM], model, estimator=MajorityVote()))


def test_a_model_that_is_told_to_show_progress_says_who_does():
    with pytest.raises(ConfigError, match=r"progress=…: .*synthesize\(\).* show progress"):
        asyncio.run(catlite.ScriptedModel(lambda prompt, i: "x").sample("a?", 1, progress=True))


def test_a_refused_value_is_not_shown_since_it_may_be_a_key(refused):
    assert "sk-secret" not in refused(lambda model: catlite.synthesize("a?", model, apikey="sk-secret"))


def test_synthesize_keeps_its_replies_in_a_run_and_to_a_budget(model, tmp_path, server):
    options = {"model": "test-model", "base_url": server.url, "api_key": server.key, "n": 2, "run": tmp_path / "run"}
    first = catlite.synthesize("a?", **options, budget=catlite.Budget(requests=2))
    sent = len(server.requests)
    again = catlite.synthesize("a?", **options, budget=catlite.Budget(requests=2))
    assert (again.text, len(server.requests)) == (first.text, sent)
    with pytest.raises(catlite.errors.BudgetReached):
        catlite.synthesize("another?", **options, budget=catlite.Budget(requests=2))


# Docstrings


FUNCTIONS = [name for name in catlite.__all__ if inspect.isfunction(getattr(catlite, name))]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_functions_docstring_has_a_line_for_each_argument(name):
    function = getattr(catlite, name)
    text = inspect.getdoc(function) or ""
    first, *_ = text.split("\n\n")
    assert first.endswith(".")
    assert "\n" not in first
    arguments = text[text.index("Args:") : text.index("Returns:")]
    for parameter in inspect.signature(function).parameters.values():
        stars = {parameter.VAR_KEYWORD: "**", parameter.VAR_POSITIONAL: "*"}.get(parameter.kind, "")
        assert f"\n    {stars}{parameter.name}: " in arguments, parameter.name
    assert "Example:\n    >>> " in text
    assert "Raises:" in text or name == "traces"


def test_a_blocking_function_has_the_whole_docstring_of_the_awaited_one():
    for name in ("synthesize", "judge"):
        awaited = inspect.getdoc(getattr(catlite, f"a{name}"))
        assert len(inspect.getdoc(getattr(catlite, name))) > 0.9 * len(awaited)


# Evaluations, and what an estimator reads


def test_an_evaluation_may_be_the_folder_it_is_kept_in(model, tmp_path):
    tasks = [SUM, Example("What is 2 times 10?", "20", answer_format="boxed")]
    kept = catlite.evaluate(tasks, model, estimators=MajorityVote(), n=2, run=tmp_path / "run")
    for folder in (tmp_path / "run", str(tmp_path / "run"), tmp_path / "run" / "evaluation.json"):
        again = catlite.reestimate(folder, MajorityVote())
        assert again.score("MajorityVote") == kept.score("MajorityVote")
        for analysis in (catlite.differences, catlite.traces, catlite.maj_at_k, catlite.pass_at_k):
            assert analysis(folder).equals(analysis(kept))
    for analysis in (catlite.differences, catlite.traces, catlite.maj_at_k, catlite.pass_at_k):
        with pytest.raises(ConfigError, match="want an Evaluation, or the folder of one, not list"):
            analysis([kept])


def test_a_vote_over_open_ended_questions_is_refused_before_rollouts_are_paid(refused):
    for vote in (MajorityVote(), catlite.AnchoredVote(Paid())):
        said = refused(lambda model, vote=vote: catlite.estimate(["Why?"], model, estimator=vote))
        assert "answer_format" in said
        assert "Synthesis" in said
        grader = ModelAsJudge(Paid())
        call = lambda model, vote=vote, grader=grader: catlite.evaluate(  # noqa: E731
            [Example("Why?", "Because.")], model, estimators=vote, grader=grader
        )
        assert "answer_format" in refused(call)


def test_a_vote_over_some_open_ended_questions_fails_there_only(model):
    first, second = catlite.estimate(["Why?", SUM], model, estimator=MajorityVote(), n=2)
    assert (first.answer, second.answer) == (None, "42")
    assert first.error is not None


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda model: catlite.estimate(["a?"], model, budget=5), "budget=5: want Budget(usd=…)"),
        (lambda model: catlite.synthesize("a?", model, budget=5), "budget=5: want Budget(usd=…)"),
        (lambda model: catlite.synthesize("a?", model, run=5), "run=5: want the path of a folder"),
        (lambda model: catlite.train([SUM], "local", config={"steps": 3}), "write TrainConfig(**…)"),
        (lambda model: catlite.sft([SUM], "local", config=catlite.TrainConfig()), "write SFTConfig(…)"),
        (lambda model: catlite.train("hello", "local"), "['hello']. Tasks by name: arithmetic, gsm8k"),
        (lambda model: Task("mine", "abc"), "are a list, not str"),
        (lambda model: catlite.estimate(Task("mine", [7]), model), "item 1: a prompt is"),
        (
            lambda model: catlite.evaluate([Example("a?", "42", answer_format="bxed")], model),
            "item 1: answer_format 'bxed'",
        ),
        (lambda model: catlite.evaluate([Example("a?", ["42"], answer_format="boxed")], model), "its answer is a list"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_paid(refused, call, said):
    assert said in refused(call)


def test_what_an_example_says_otherwise_is_taken(model):
    result = catlite.evaluate([Example("a?", 42, answer_format="boxed")], model, n=2)
    assert result.score("single sample")[0] == 1.0
    (group,) = catlite.evaluate(
        [Example("a?", rubric=["Names zinc."])], model, n=2, grader=ExpertRubric(ScriptedModel(lambda prompt, i: "yes"))
    ).groups
    assert group.example.rubric == catlite.Rubric(("Names zinc.",))
    assert repr(Task("mine", ["a?", "b?"])) == "<Task mine: 2 open-ended examples>"
