"""Replies without the final answer that is looked for: said under table and card; and prompts that ask for it."""

import pytest

import catlite
from catlite import Example, MajorityVote, ScriptedModel, Synthesis
from catlite.errors import ConfigError, DataError
from catlite.tasks.records import from_records

ROWS = [{"prompt": f"What is {number} + 1?", "answer": str(number + 1)} for number in range(5)]
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
REQUEST = "End with the final answer alone in \\boxed{}."


def replying(*texts):
    return ScriptedModel(lambda prompt, i: texts[i % len(texts)])


def task(**options):
    return from_records(ROWS, answer="answer", answer_format="boxed", **options)


def test_a_prompt_that_does_not_ask_is_noted_under_the_table_and_its_card():
    result = catlite.evaluate(task(), replying("It is seven."), estimators=MajorityVote(), n=8)
    note = "no final answer found in 40 of 40 replies (answer_format='boxed'): does the prompt ask for it?"
    assert result.score("single sample")[0] == 0
    assert note in str(result)
    assert "no final answer found in 40 of 40 replies" in result._repr_html_()


@pytest.mark.parametrize(
    ("texts", "noted"), [(["none", r"\boxed{1}"], True), (["none", r"\boxed{1}", r"\boxed{2}"], False)]
)
def test_it_is_noted_when_half_of_the_replies_have_none(texts, noted):
    result = catlite.evaluate(task(), replying(*texts), n=6)
    assert ("no final answer found" in str(result)) is noted


def test_cut_off_replies_are_no_sign_that_the_prompt_does_not_ask():
    model = ScriptedModel(lambda prompt, i: catlite.Rollout("It is", finish_reason="length"))
    assert "no final answer found" not in str(catlite.evaluate(task(), model, n=4))


def test_open_ended_replies_need_no_final_answer():
    (reference,) = catlite.estimate(["Why?"], replying("Because."), n=4)
    assert reference.notes == ()


def test_a_reference_says_that_its_rollouts_have_no_answer():
    for reference in (
        catlite.synthesize("What is 6 times 7?", replying("forty-two"), n=4, answer_format="boxed"),
        *catlite.estimate(["What is 6 times 7?"], replying("forty-two"), n=4, answer_format="boxed"),
        *catlite.estimate(["?"], replying("forty-two"), n=4, answer_format="boxed", estimator=MajorityVote()),
    ):
        (note,) = [note for note in reference.notes if "no final answer" in note]
        assert note.startswith("no final answer found in 4 of 4 replies (answer_format='boxed')")
        assert "no final answer found" in reference._repr_html_()


def test_a_format_of_ones_own_is_named():
    result = catlite.evaluate([Example("?", "7", answer_format=r"is (\d+)")], replying("seven"), n=2)
    assert "(answer_format='is (\\\\d+)')" in str(result)
    assert "ask=True" not in str(result)


def test_from_records_appends_the_request_to_prompts_that_do_not_ask():
    for plain, asking in zip(task(), task(ask=True), strict=True):
        assert asking.prompt.startswith(plain.prompt)
        assert asking.prompt.endswith(REQUEST)
        assert asking.answer == plain.answer


def test_a_conversation_is_asked_in_the_last_words_of_the_user():
    said = [*CHAT, {"role": "assistant", "content": "Because"}]
    (example,) = from_records([{"prompt": said}], answer_format="boxed", ask=True)
    assert [message["role"] for message in example.prompt] == ["system", "user", "assistant"]
    assert example.prompt[1]["content"].startswith("Why?")
    assert example.prompt[1]["content"].endswith(REQUEST)
    assert said[1]["content"] == "Why?"
    with pytest.raises(DataError, match="row 1: no message of the prompt is the user's"):
        from_records([{"prompt": CHAT[:1]}], answer_format="boxed", ask=True)


@pytest.mark.parametrize("answer_format", [None, r"is (\d+)"])
def test_only_a_boxed_answer_can_be_asked_for(answer_format):
    with pytest.raises(ConfigError, match='answer_format="boxed"'):
        from_records(ROWS, answer_format=answer_format, ask=True)


# What shows itself does not compare answers


@pytest.fixture
def reference(monkeypatch):
    """A reference whose answers only the grader's child process could compare, which must not be asked."""
    group = catlite.Group(
        Example("?", answer_format="boxed"), (catlite.Rollout("a", r"\sin^2 x"), catlite.Rollout("b", r"1-\cos^2 x"))
    )
    from catlite.answers import comparing, worker

    def asked(*_):
        raise AssertionError("a repr asked the grader")

    monkeypatch.setattr(worker, "ask", asked)
    monkeypatch.setattr(comparing, "_verdicts", {})
    return catlite.Reference("c", r"\sin^2 x", "Synthesis", group)


def test_a_repr_and_a_card_never_run_the_grader(reference):
    assert repr(reference).endswith("by Synthesis, 2 rollouts>")
    assert "2 rollouts" in reference._repr_html_()
    many = catlite.References([reference])
    assert "Synthesis" in repr(many) + many._repr_html_() + str(many)


def test_what_is_known_without_the_grader_is_shown(reference, monkeypatch):
    from dataclasses import replace

    from catlite.answers import comparing

    monkeypatch.setitem(comparing._verdicts, comparing._pair(r"\sin^2 x", r"1-\cos^2 x"), True)
    assert "2/2 rollouts agree" in repr(reference)
    whole = replace(reference.group, rollouts=(catlite.Rollout("a", "42"), catlite.Rollout("b", "43")))
    assert "1/2 rollouts agree" in repr(replace(reference, answer="42", group=whole))


def test_a_repr_never_raises():
    group = catlite.Group(Example("?", answer_format="boxed"), (catlite.Rollout("a", 42), catlite.Rollout("b", None)))
    assert "Synthesis" in repr(catlite.Reference("c", 42, "Synthesis", group))


def test_synthesize_has_compared_the_answers_before_it_is_shown(monkeypatch):
    texts = [r"\boxed{\sin^2 x}", r"\boxed{1-\cos^2 x}"]
    reference = catlite.synthesize("?", replying(*texts), n=2, answer_format="boxed")
    from catlite.answers import worker

    monkeypatch.setattr(worker, "ask", None)
    assert "2/2 rollouts agree" in repr(reference)


def test_save_takes_a_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "run").mkdir()
    result = catlite.evaluate(task(), replying(r"\boxed{1}"), n=1)
    assert result.save("~/run") == (tmp_path / "run" / "evaluation.json").resolve()
    assert catlite.Evaluation.load("~/run").task == result.task


def test_synthesis_of_a_group_is_otherwise_as_it_was():
    reference = catlite.estimate(
        ["?"], replying(r"\boxed{7}"), n=2, answer_format="boxed", estimator=Synthesis(replying("7"))
    )
    assert reference[0].notes == ()
