"""Results show what a reader asks first, and never act out what a model wrote."""

from catlite import Example, Group, Reference, Rollout, Usage
from catlite.text import dollars, reference_text, table, usage_text

HOSTILE = "<script>alert(1)</script>\x1b[31mred\x00\u202eevil \ud800 <b>&amp;"


OPEN = Example("q")


def reference(text="The answer is 42.", answer=None, example=OPEN, **more):
    group = Group(example, (Rollout("one <i>"), Rollout(HOSTILE), Rollout("", finish_reason="length")))
    return Reference(text, answer, "Synthesis", group, **more)


def test_repr_shows_answer_source_and_support():
    shown = repr(reference(answer="42", example=Example("q", answer_format="boxed")))
    assert shown == "<Reference '42' by Synthesis, 0/3 rollouts agree>"


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
    text = reference_text(reference(HOSTILE))
    assert "\x1b" not in text
    assert "\\x1b[31m" in text
    text.encode("utf-8")


def test_unknown_costs_are_shown_as_unknown():
    assert "?" in usage_text(Usage(None, 3, None, None, 1, 0.5))
    assert dollars(None) == "price unknown"
    assert dollars(0.0) == "$0"


def test_tables_align_wide_characters():
    lines = table([["a", "b"], ["日本", "1"], ["xy", "22"]], right=[1]).splitlines()
    assert lines[2].startswith("日本   1")
    assert lines[3] == "xy    22"
