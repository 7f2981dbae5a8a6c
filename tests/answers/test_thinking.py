import time

import pytest

from catlite.answers import extract, split_thinking, without_thinking
from catlite.answers.thinking import WrittenText

MARKED = [
    r"<think>\boxed{1}</think>\boxed{2}",
    r"<thinking>\boxed{1}</thinking>\boxed{2}",
    r"<Thought>\boxed{1}</Thought>\boxed{2}",
    r"<seed:think>\boxed{1}</seed:think>\boxed{2}",
    r"<longcat_think>\boxed{1}</longcat_think>\boxed{2}",
    r"<think budget=5>\boxed{1}</think>\boxed{2}",
    r"[THINK]\boxed{1}[/THINK]\boxed{2}",
    r"◁think▷\boxed{1}◁/think▷\boxed{2}",
    r"<|begin_of_thought|>\boxed{1}<|end_of_thought|>\boxed{2}",
    r"<|START_THINKING|>\boxed{1}<|END_THINKING|>\boxed{2}",
    "<|channel>thought\n" r"\boxed{1}<channel|>\boxed{2}",
    r"<unused94>thought \boxed{1}<unused95>\boxed{2}",
    r"<|channel|>analysis<|message|>\boxed{1}<|end|><|start|>assistant<|channel|>final<|message|>\boxed{2}<|return|>",
    r"<|start|>assistant<|channel|>analysis<|message|>\boxed{1}<|channel|>final<|message|>\boxed{2}",
    r"\boxed{1}<|end|><|start|>assistant<|channel|>final<|message|>\boxed{2}",
    r"<|channel|>commentary to=x<|message|>\boxed{1}<|call|><|channel|>final <|constrain|>json<|message|>\boxed{2}",
    r"analysisWe need \boxed{1}. Done.assistantfinal\boxed{2}",
]


@pytest.mark.parametrize("text", MARKED)
def test_every_mark_of_thinking_sets_it_apart(text):
    visible, thinking = split_thinking(text)
    assert (visible.strip(), thinking is not None and r"\boxed{1}" in thinking) == (r"\boxed{2}", True)
    assert extract(text) == "2"


@pytest.mark.parametrize(
    ("text", "visible", "thinking"),
    [
        ("no marks at all", "no marks at all", None),
        ("before <think>hm</think> after", "before  after", "hm"),
        ("<think>a</think>b<think>c</think>d", "bd", "a\nc"),
        ("a</think>b", "b", "a"),
        ("<think>a <think> b</think>c", "c", "a\nb"),
        ("<think>a</think> b </think>c", "c", "a\nb"),
        ("b <think>never closed", "b ", "never closed"),
        ("[THINK]never closed", "", "never closed"),
        ("<think></think>5", "5", ""),
        ("<|channel|>analysis<|message|>cut off", "", "cut off"),
        ("<|channel|>analysis<|message|>hm<|end|>5", "5", "hm"),
        ("<|channel|>final<|message|>5<|return|>", "5", ""),
    ],
)
def test_a_missing_mark_counts_from_the_start_or_to_the_end(text, visible, thinking):
    assert split_thinking(text) == (visible, thinking)
    assert without_thinking(text) == visible


@pytest.mark.parametrize(
    "text",
    [
        "the `<think>` tag opens a block: 5",
        "I [think] it is 5",
        "x < think > 5",
        "<thinker>5</thinker>",
        "analysis of the sample: 5",
        "Analysis is final",
        "a think tank",
    ],
)
def test_prose_about_thinking_is_not_thinking(text):
    assert split_thinking(text) == (text, None)


@pytest.mark.parametrize(
    "piece", ["<think>", "</think>", "[THINK]", "<think ", "<|channel|>", "<|channel|>final<|message|>", "<|end|>", "◁"]
)
def test_a_megabyte_of_marks_is_read_in_linear_time(piece):
    started = time.process_time()
    split_thinking(piece * (1_000_000 // len(piece)))
    assert time.process_time() - started < 5


def test_the_name_of_a_channel_is_no_part_of_the_thinking():
    assert split_thinking("analysisWe need 2.assistantfinal2") == ("2", "We need 2.")


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize(
    "text",
    [
        *(text + " and so on" for text in MARKED if not text.startswith(r"\boxed")),
        *("42", " 42 is\nit \n", "", "<p>Hi</p>", "a < b", "< 5 and more", "[1, 2] is it", "[T"),
        *("analysis", "an apple", "analysis of it", "<think>a</b> </think>  four\n two \n"),
        *("<think>never ends", "<think>\n\n</think>x"),
    ],
)
def test_a_reply_that_is_being_written_shows_its_text_alone(text, size):
    """What is given is how the text begins; what it holds back at the end comes with the whole reply."""
    writing = WrittenText()
    given = "".join(writing.add(text[at : at + size]) for at in range(0, len(text), size))
    spoken, thinking = split_thinking(text)
    spoken = spoken if thinking is None else spoken.strip()
    assert spoken.startswith(given)
    held = len(spoken) - len(given)
    assert held == 0 or held < 60 or text.startswith("analysis")


@pytest.mark.parametrize("loop", ["a < b </ c > d ", "</think><think>", "`</think>` ", "<|channel|>analysis "])
def test_a_reply_that_is_being_written_is_read_in_linear_time(loop):
    writing = WrittenText()
    began = time.process_time()
    for piece in ["<think>", *[loop] * 4_000, "</think>", "42"]:
        shown = writing.add(piece)
    assert shown == "42"
    assert time.process_time() - began < 2
