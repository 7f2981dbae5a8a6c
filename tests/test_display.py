"""Results show what a reader asks first, and never act out what a model wrote."""

from html.parser import HTMLParser
from types import SimpleNamespace

import pytest

from catlite import (
    Criterion,
    Evaluation,
    Example,
    Group,
    Judgement,
    Reference,
    References,
    Rollout,
    Rubric,
    ScriptedModel,
    Usage,
    Verdict,
    embedded,
    estimate,
    synthesize,
)
from catlite.cards import figure, judgements_html
from catlite.models import named
from catlite.models.base import shown_name
from catlite.reprs import in_full
from catlite.results import Row
from catlite.text import dollars, rounded, table, usage_text

HOSTILE = "<script>alert(1)</script>\x1b[31mred\x00\u202eevil \ud800 <b>&amp;"


OPEN = Example("q")


def reference(text="The answer is 42.", answer=None, example=OPEN, **more):
    group = Group(example, (Rollout("one <i>"), Rollout(HOSTILE), Rollout("", finish_reason="length")))
    return Reference(text, answer, "Synthesis", group, **more)


def test_repr_shows_answer_source_and_support():
    shown = repr(reference(answer="42", example=Example("q", answer_format="boxed")))
    assert shown == "<Reference '42' by Synthesis, 0/3 rollouts agree>"


def test_a_card_counts_agreement_as_support_does():
    votes = tuple(Rollout(text, answer=text) for text in ("50", "0.5", "50"))
    vote = Reference("50%", "50%", "vote", Group(Example("q", answer_format="boxed"), votes))
    assert vote.support == vote.known_support == (2, 3)
    assert "2/3 rollouts agree" in repr(vote)


def test_repr_of_open_ended_text_is_one_short_line():
    shown = repr(reference("word\n" * 500))
    assert len(shown) < 120
    assert "\n" not in shown
    assert shown.endswith("by Synthesis, 3 rollouts>")


def test_printing_a_reference_gives_its_text():
    assert str(reference("just this")) == "just this"


def test_html_escapes_all_model_text():
    card = reference(
        HOSTILE, answer="<u>", notes=("<note>",), example=Example("q", answer_format="boxed")
    )._repr_html_()
    for raw in ("<script>", "<i>", "<u>", "<note>", "\x1b", "\x00", "\u202e", "\ud800"):
        assert raw not in card
    assert "&lt;script&gt;" in card
    card.encode("utf-8")


def test_a_megabyte_of_text_makes_a_small_card():
    assert len(reference("x" * 1_000_000)._repr_html_()) < 100_000


def test_terminal_text_shows_control_characters_instead_of_obeying_them():
    text = in_full(reference(HOSTILE))
    assert "\x1b" not in text
    assert "\\x1b[31m" in text
    text.encode("utf-8")


def test_unknown_costs_are_shown_as_unknown():
    assert "?" in usage_text(Usage(None, 3, None, None, 1, 0.5))
    assert dollars(None) == "cost unknown"
    assert dollars(0.0) == "$0"
    assert [dollars(cost) for cost in (0.12345, 1e-4, 1.23e-5, 4e-9)] == [
        "$0.1235",
        "$0.0001",
        "$0.000012",
        "$0.0000000040",
    ]


def test_tables_align_wide_characters():
    lines = table([["a", "b"], ["日本", "1"], ["xy", "22"]], right=[1]).splitlines()
    assert lines[2].startswith("日本   1")
    assert lines[3] == "xy    22"


# --- cards ---


def test_a_card_begins_with_answer_agreement_and_warnings():
    card = reference(answer="42", example=Example("q", answer_format="boxed"), notes=("look here",))._repr_html_()
    places = [card.index(part) for part in ("42", "0/3 rollouts agree", "look here", "The answer is", "<details>")]
    assert places == sorted(places)


def test_a_card_names_policy_and_anchor():
    model = ScriptedModel(lambda prompt, i: "x", "small-model")
    alone = synthesize("q", model, n=2)
    assert (alone.group.policy, alone.anchor) == ("small-model", "small-model")
    assert "policy small-model, anchor the same" in alone._repr_html_()
    other = synthesize("q", model, anchor=ScriptedModel(lambda prompt, i: "y", "large-model"), n=2)
    assert "policy small-model, anchor large-model" in other._repr_html_()
    assert "models   policy small-model, anchor large-model" in in_full(other)


def test_the_default_model_is_noted_when_nobody_named_it(monkeypatch):
    class Closing(ScriptedModel):
        async def aclose(self):
            """Nothing to close."""

    tiny = Closing(lambda prompt, i: "x", "tiny")
    monkeypatch.setattr(named, "embedded", lambda: tiny)
    assert any("no model was named" in note for note in synthesize("q", n=2).notes)
    assert synthesize("q", "local", n=2).notes == ()
    assert any("no model was named" in note for note in estimate(["q"], n=2).notes)
    assert estimate(["q"], "local", n=2).notes == ()


def test_dollars_in_model_text_are_not_typeset_as_maths():
    """MathJax looks at no element of these classes, nor at what is inside."""
    prices = "coffee costs $3.50 and a tea costs $2.20, see $\\href{https://evil.example}{here}$"
    boxed = Example(prices, prices, answer_format="boxed")
    group = Group(boxed, (Rollout(prices, answer=prices),))
    rubric = Rubric((Criterion(prices),))
    judgement = Judgement(group, rubric, ((Verdict(rubric.criteria[0], True, prices),),), (1.0,), prices)
    row = Row(0, prices, prices, 1.0, 1, Usage())
    for shown in (
        Reference(prices, prices, prices, group, notes=(prices,))._repr_html_(),
        Reference("", None, prices, group, error=prices)._repr_html_(),
        References([Reference(prices, prices, prices, group)], (prices,))._repr_html_(),
        judgement._repr_html_(),
        judgements_html(prices, [judgement]),
        Evaluation(prices, prices, 1, (row,), 1.0, prices)._repr_html_(),
    ):
        assert outside_of_ignored(shown) == ""
        assert "<a " not in shown


def outside_of_ignored(shown):
    """The text of a piece of HTML that MathJax would look at."""

    class Reader(HTMLParser):
        depth, text = 0, ""

        def handle_starttag(self, tag, attributes):
            ignored = {"mathjax_ignore", "tex2jax_ignore"} <= set((dict(attributes).get("class") or "").split())
            self.depth += bool(self.depth or ignored)

        def handle_endtag(self, tag):
            self.depth -= bool(self.depth)

        def handle_data(self, data):
            self.text += "" if self.depth else data

    reader = Reader()
    reader.feed(shown)
    return reader.text


def test_a_failed_reference_says_why_wherever_it_is_shown():
    failed = Reference("", None, "Synthesis", Group(OPEN, ()), error="the endpoint is down. Run again to go on")
    card = failed._repr_html_()
    assert "Run again to go on" in card
    assert "color:" in card
    assert str(failed) == repr(failed) == "<Reference failed by Synthesis: the endpoint is down. Run again to go on>"
    assert in_full(failed).startswith("no reference: the endpoint is down. Run again to go on\n")


def test_long_texts_scroll_and_each_rollout_has_a_fold():
    card = reference("x" * 50_000)._repr_html_()
    assert card.count("max-height") == 4  # the text, and three rollouts
    assert card.count("<details") == 4  # all rollouts, and each of them
    assert card.count("<summary>") == 4


def test_one_rollout_is_one_rollout():
    group = Group(Example("q", answer_format="boxed"), (Rollout("1", answer="1"),))
    assert "1/1 rollout agrees" in repr(Reference("1", "1", "vote", group))
    assert repr(Reference("1", None, "vote", Group(OPEN, group.rollouts))).endswith("1 rollout>")
    assert repr(group) == "<Group of 1 rollout>"


# --- many of them ---


def test_estimate_gives_a_list_that_shows_itself_as_a_table():
    replies = ScriptedModel(lambda prompt, i: "" if "bad" in str(prompt) else r"\boxed{7}", "scripted")
    task = [Example("good?", answer_format="boxed", id="a"), Example("bad?", answer_format="boxed", id="b")]
    found = estimate(task, replies, n=2)
    assert isinstance(found, list)
    assert repr(found) == "<2 References by Synthesis, policy scripted, anchor the same, 1 failed>"
    assert [reference.error is None for reference in found] == [True, False]
    assert type(found[:1]) is References
    assert [reference.group.example.id for reference in found.failed] == ["b"]
    frame = found.to_frame()
    assert [prompt[-1]["content"] for prompt in frame.prompt] == ["good?", "bad?"]
    assert (frame.answer[0], frame.answer.isna().tolist()) == ("7", [False, True])
    assert frame.reference.isna().tolist() == [False, True]
    assert list(frame.support) == [[2, 2], [0, 2]]
    assert list(frame.agreement) == [1.0, 0.0]
    assert "good?" in found._repr_html_()
    assert "2 references (1 failed)" in str(found)


def test_a_table_of_many_references_has_the_first_hundred():
    table = References([reference()] * 250)._repr_html_()
    assert table.count("<tr>") == 101
    assert "150 more" in table


def test_an_empty_list_of_references_can_be_shown():
    assert repr(References()) == "<0 References>"
    assert References()._repr_html_()
    assert len(References().to_frame()) == 0


def test_every_noun_has_a_repr_of_one_short_line():
    long = "word " * 5_000
    rollout = Rollout(long, answer=long, logprobs=(0.1,) * 1_000)
    rubric = Rubric((Criterion(long), Criterion(long)))
    example = Example([{"role": "user", "content": long}], long, rubric=rubric, metadata={"all": long})
    row = Row(0, "q", "single sample", 1.0, 1, Usage())
    for noun in (rollout, rubric, example, Evaluation("t", "p", 1, (row,) * 100, 1.0), Group(example, (rollout,))):
        assert len(repr(noun)) < 400
        assert "\n" not in repr(noun)


def test_rubrics_that_begin_alike_have_reprs_that_differ():
    """A run compares the repr of its reward with the one that it was begun with."""
    one, other = (Rubric((Criterion("same"), Criterion(text))) for text in ("this", "that"))
    assert repr(one) != repr(other)
    assert repr(one) == repr(Rubric(one.criteria))


def test_the_time_of_an_evaluation_is_the_clocks_and_not_waiting_summed():
    row = Row(0, "q", "single sample", 1.0, 1, Usage(1, 1, 0, None, 8, 586.0))
    result = Evaluation("t", "p", 8, (row,), 20.0)
    assert "20.0 s in all" in str(result)
    assert "586" not in str(result)
    assert "cost unknown" in str(result)
    assert "20.0 s in all" in result._repr_html_()


def test_a_figure_shows_itself_without_pyplot():
    pytest.importorskip("matplotlib", reason="needs catlite[notebooks]")
    assert figure(figsize=(1, 1))._repr_png_().startswith(b"\x89PNG")


def test_the_card_of_a_training_has_its_figures_and_its_adapter(tmp_path):
    run = pytest.importorskip("catlite.training.run", reason="needs catlite[train]")
    metrics = ({"step": 1, "cat/reward": 0.25}, {"step": 2, "cat/reward": 0.75})
    policy = SimpleNamespace(adapter=None)
    trained = run.TrainingRun(tmp_path, policy, 2, "all 2 steps were made", True, metrics)
    card = trained._repr_html_()
    for part in ("all 2 steps were made", "0.25", "0.75", str(tmp_path / "adapter")):
        assert part in card
    assert repr(trained) == f"<TrainingRun {str(tmp_path)!r}: all 2 steps were made>"
    assert trained.plot()._repr_png_().startswith(b"\x89PNG")
    halted = run.TrainingRun(tmp_path, policy, 0, "the judge is down", False)
    assert "Halted" in halted._repr_html_()


def test_a_reference_without_an_answer_says_so_where_one_was_asked_for():
    assert "none found" in reference(example=Example("q", answer_format="boxed"))._repr_html_()
    assert "none found" not in reference()._repr_html_()


def test_local_is_shown_with_the_weights_behind_it(monkeypatch, tmp_path):
    monkeypatch.delenv("CATLITE_GGUF", raising=False)
    assert shown_name(embedded()) == "local (SmolLM2-135M-Instruct.Q4_1)"
    assert shown_name(embedded(tmp_path / "mine.gguf")) == "local (mine)"
    monkeypatch.setenv("CATLITE_GGUF", "elsewhere/other.gguf")
    assert shown_name(embedded()) == "local (other)"
    assert shown_name(ScriptedModel(lambda prompt, i: "x", "scripted")) == "scripted"


NAMES = ("single sample", "MajorityVote", "MutualPredictability", "synthesis with the question and a very long name")


@pytest.mark.parametrize("cost", [None, 0.0, 12.3456])
@pytest.mark.parametrize("failed", [0, 3, 1234])
@pytest.mark.parametrize("tokens", [None, 0, 1_234_567_890])
def test_the_table_of_an_evaluation_fits_80_columns(monkeypatch, cost, failed, tokens):
    totals = [
        {
            "system": name,
            "score": 0.6123,
            "se": 0.0421,
            "relative_gain": 1.5,
            "failed": failed,
            "questions": 1319,
            "generations": 25.0,
            "requests": 1_234_567,
            "prompt_tokens": tokens,
            "completion_tokens": tokens,
            "cost_usd": cost,
        }
        for name in NAMES
    ]
    monkeypatch.setattr(Evaluation, "_totals", lambda self: totals)
    shown = str(Evaluation("a task with a name", "provider/some-model-with-a-long-name", 8, (), 12_345.6, n_repeats=3))
    assert max(map(len, shown.splitlines())) <= 80
    assert "0.612 ± 0.042" in shown
    assert ("cost unknown" in shown) is (cost is None)
    assert all(f"{name[:8]}" in shown for name in NAMES)
    assert not failed or shown.count(f"({failed} failed)") == 4


def test_tables_of_texts_fit_80_columns_too():
    long = "a long text " * 20
    example = Example(long, answer_format="boxed")
    group = Group(example, tuple(Rollout(long, answer=long) for _ in range(12)))
    given = Reference(long, long, "Synthesis", group, notes=(long,))
    rubric = Rubric((Criterion(long), Criterion("short", -4)))
    verdicts = tuple((Verdict(rubric.criteria[0], True), Verdict(rubric.criteria[1], False)) for _ in range(8))
    judged = Judgement(group, rubric, verdicts, (0.5,) * 8, "judge")
    for shown in (in_full(group), in_full(judged), str(References([given])).split("\n", 1)[1]):
        lines = [line for line in shown.splitlines() if not line.startswith("used ")]
        assert max(map(len, lines)) <= 80
        assert "a long text" in shown


def test_a_cost_that_only_some_systems_know_says_so_in_its_cell(monkeypatch):
    total = {
        "system": "a",
        "score": 1.0,
        "se": 0.1,
        "relative_gain": 0.0,
        "failed": 0,
        "questions": 1,
        "generations": 1.0,
    }
    total |= {"requests": 1, "prompt_tokens": 1, "completion_tokens": 1, "cost_usd": 0.5}
    totals = [total, {**total, "system": "b", "cost_usd": None}]
    monkeypatch.setattr(Evaluation, "_totals", lambda self: totals)
    shown = str(Evaluation("t", "p", 1, (), 1.0))
    assert "$0.5000" in shown
    assert "unknown" in shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "?"),
        (0, "0"),
        (999, "999"),
        (1000, "1k"),
        (12_345, "12.3k"),
        (999_499, "999k"),
        (999_999, "1M"),
        (4.56e9, "4.56G"),
    ],
)
def test_counts_are_rounded_to_three_figures(value, shown):
    assert rounded(value) == shown
