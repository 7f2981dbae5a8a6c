"""References as data: the rows, what Parquet keeps of them, and that `from_records` reads it back."""

import dataclasses
import json
import sys

import children
import pytest
from example_references import FAILED, open_ended, reference

import catlite
from catlite import Criterion, References, Rubric, Task, from_records
from catlite.errors import ConfigError, DataError, MissingExtra, StoreError
from catlite.references import files

pa = pytest.importorskip("pyarrow", reason="needs catlite[data]")
pd = pytest.importorskip("pandas")

CHAT = [{"role": "system", "content": "Kürz — 简"}, {"role": "user", "content": "Why?\n'\"<b>"}]
RUBRIC = Rubric([Criterion("Names zinc.", 5, ("axis:a",)), Criterion("Says iron.", -4.5)])


ABSTAINED = reference(text="", answer=None, abstained=True, notes=("abstained: 2 of 8 agree",))
CUT_OFF = open_ended(text="Because the", truncated=True)


def test_a_row_has_the_columns_that_trainers_read_and_no_right_answer():
    gold = reference()
    example = dataclasses.replace(gold.group.example, answer="GOLD", rubric=RUBRIC, metadata={"secret": "GOLD"})
    gold = dataclasses.replace(gold, group=dataclasses.replace(gold.group, example=example))
    row = files.rows([gold])[0]
    assert list(row) == files.COLUMNS
    assert "GOLD" not in json.dumps(row)
    assert row["prompt"] == [{"role": "user", "content": "What is 6 times 7?"}]
    assert row["completion"] == [{"role": "assistant", "content": r"It is \boxed{42}."}]
    assert (row["support"], row["agreement"], row["rollouts"]) == ([2, 3], 2 / 3, 3)
    assert row["rubric"] is None


def test_what_is_not_known_is_none_and_never_0():
    row = files.rows([open_ended()])[0]
    assert (row["support"], row["agreement"], row["cost_usd"], row["answer"]) == (None, None, None, None)


def test_the_frame_has_every_reference_and_a_dataset_those_with_a_whole_text(tmp_path):
    references = References([reference(), FAILED, ABSTAINED, CUT_OFF, open_ended()])
    assert [reference.text for reference in references.usable] == [r"It is \boxed{42}.", "Because."]
    frame = references.to_frame()
    assert list(frame.columns) == files.COLUMNS
    assert frame.completion.isna().tolist() == [False, True, True, True, False]
    assert frame.reference[3] == "Because the"
    path = references.to_parquet(tmp_path / "refs.parquet")
    assert list(pd.read_parquet(path).id) == ["1", "5"]
    whole = pd.read_parquet(references.to_parquet(tmp_path / "all.parquet", unusable=True))
    assert whole.completion.isna().tolist() == [False, True, True, True, False]
    assert whole.error[1] == "the server is down"


def test_the_frame_of_no_reference_has_the_columns_as_well():
    assert References([reference()]).failed.to_frame()[["id", "error"]].empty
    assert list(References().to_frame().columns) == files.COLUMNS


def test_slices_and_parts_keep_what_the_card_tells():
    references = References([reference(), FAILED], ("a note",), "sums", {"temperature": 0.7})
    for part in (references[:1], references.usable, references.failed, references.copy(), references + references[:0]):
        assert (type(part), part.notes, part.task, part.sampling) == (
            *(References, ("a note",), "sums", {"temperature": 0.7}),
        )


def test_lists_that_are_joined_tell_what_both_have():
    first = References([reference()], ("a", "b"), "sums", {"temperature": 0.7, "top_p": 0.9})
    joined = first + References([FAILED], ("b", "c"), "sums", {"temperature": 0.7, "top_p": 1.0})
    assert (type(joined), len(joined), joined.notes, joined.task, joined.sampling) == (
        *(References, 2, ("a", "b", "c"), "sums", {"temperature": 0.7}),
    )
    assert (first + References([FAILED], task="others")).task is None
    failed, texts = [FAILED], ["text"]
    assert (type(first + failed), type(first + texts)) == (References, list)


def test_estimate_tells_the_task_and_the_sampling():
    task = Task("sums", ("1 + 1?",))
    references = catlite.estimate(task, catlite.ScriptedModel(lambda *_: "2"), n=2, temperature=0.7)
    assert (references.task, references.sampling) == ("sums", {"temperature": 0.7})


@pytest.mark.parametrize("references", [References(), References([FAILED, ABSTAINED])])
def test_a_file_without_a_row_is_an_error_that_says_why(references, tmp_path):
    with pytest.raises(DataError, match=r"the server is down|there are no references"):
        references.to_parquet(tmp_path / "refs.parquet")
    assert not list(tmp_path.iterdir())


def test_parquet_gives_back_what_went_in(tmp_path):
    first = reference(CHAT, rubric=RUBRIC, notes=("ä note", "2nd"), anchor="anchor-1")
    path = References([first, open_ended("Half \ud800 a pair?")]).to_parquet(tmp_path / "refs.parquet")
    task = from_records(path, answer="answer", rubric="rubric", id="id", answer_format="boxed")
    one, two = task
    assert (one.prompt, one.answer, one.rubric, one.id) == (CHAT, "42", RUBRIC, "1")
    assert (two.prompt[0]["content"], two.answer, two.rubric) == ("Half \\ud800 a pair?", None, None)
    assert one.metadata["notes"] == ["ä note", "2nd"]
    assert (one.metadata["support"], one.metadata["cost_usd"], one.metadata["error"]) == ([2, 3], None, None)
    assert (two.metadata["support"], two.metadata["agreement"]) == (None, None)
    assert from_records(path, answer="reference").examples[1].answer == "Because."
    assert from_records(pd.read_parquet(path), answer="answer", rubric="rubric").examples[0].rubric == RUBRIC


def test_columns_have_the_same_types_whatever_they_hold():
    full = files.table(files.rows([reference(rubric=RUBRIC, notes=("n",))]))
    assert full.schema == files.table(files.rows([open_ended()])).schema
    assert not any(pa.types.is_null(field.type) for field in full.schema)


def test_a_prompt_with_more_than_texts_is_kept_as_json(tmp_path):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is it? é"}, image]}]
    rows = [{"id": "1", "prompt": messages}, {"id": "2", "prompt": CHAT}]
    assert [json.loads(prompt) for prompt in files.table(rows)["prompt"].to_pylist()] == [messages, CHAT]
    assert files.table(rows[1:])["prompt"].to_pylist() == [CHAT]
    assert from_records(files.save(rows, tmp_path / "images.parquet")).examples[0].prompt == messages
    named = [{"role": "user", "content": "Hi", "name": "Ann"}]
    path = files.save([{"id": "1", "prompt": named}], tmp_path / "named.parquet")
    assert from_records(path).examples[0].prompt == named


@pytest.mark.parametrize("ending", [".parquet", ".jsonl", ".csv"])
def test_every_ending_is_read_back_alike(ending, tmp_path):
    chat = [{"role": "user", "content": ({"type": "text", "text": "half \ud800"},)}]
    rows = files.rows(
        [
            *(reference(CHAT, rubric=RUBRIC), open_ended("a, \"b\"\r\n'c'"), open_ended(chat)),
            *(open_ended("Old", text) for text in ("Mac\rlines", "Unix\nlines", "\r\n", " ")),
        ]
    )
    path = files.save(rows, tmp_path / f"refs{ending}")
    task = from_records(path, answer="answer", rubric="rubric", id="id")
    assert [example.prompt for example in task] == [row["prompt"] for row in rows]
    assert [example.answer for example in task] == ["42"] + [None] * 6
    assert [example.rubric for example in task] == [RUBRIC] + [None] * 6
    assert [example.metadata["reference"] for example in task] == [row["reference"] for row in rows]


def test_a_layout_adds_the_columns_of_its_trainer():
    rows = files.training_rows(References([reference(), FAILED, open_ended()]), "verl")
    assert [row["reward_model"] for row in rows] == [
        {"style": "rule", "ground_truth": "42"},
        {"style": "rule", "ground_truth": "Because."},
    ]
    assert [row["extra_info"] for row in rows] == [{"index": 0, "id": "1"}, {"index": 1, "id": "3"}]
    assert rows[0]["messages"] == rows[0]["prompt"] + rows[0]["completion"]
    assert files.training_rows(References([reference()]), "sdft")[0]["privileged_context"] == r"It is \boxed{42}."
    with pytest.raises(ConfigError, match="'trl', 'sdft', 'verl'"):
        files.training_rows(References([reference()]), "tlr")


def test_a_path_is_checked_before_there_is_anything_to_write(tmp_path):
    (tmp_path / "folder.jsonl").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"\.parquet, \.jsonl, \.csv"):
        files.check_path(tmp_path / "refs.xlsx")
    with pytest.raises(ConfigError, match=r"\.parquet is the name of a file without an ending: want one in \.parquet"):
        files.check_path(tmp_path / ".parquet")
    with pytest.raises(ConfigError, match="zero byte"):
        files.check_path(tmp_path / "a\0b.csv")
    with pytest.raises(ConfigError, match="not a file"):
        files.check_path(tmp_path / "folder.jsonl")
    with pytest.raises(StoreError, match="cannot be written"):
        files.check_path(tmp_path / "file" / "refs.csv")
    with pytest.raises(StoreError, match="cannot be written: File name too long"):
        files.check_path(tmp_path / f"{'x' * 300}.csv")
    files.check_path(tmp_path / "new" / "refs.parquet")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "folder.jsonl", "new"]


def test_a_file_that_cannot_be_replaced_is_left_as_it_was(tmp_path, monkeypatch):
    path = References([reference()]).to_parquet(tmp_path / "refs.parquet")
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match="No space left"):
        References([open_ended()]).to_parquet(path)
    assert (path.read_bytes(), list(tmp_path.iterdir())) == (before, [path])


def test_without_pyarrow_the_error_says_what_to_install(monkeypatch, tmp_path):
    path = References([reference()]).to_parquet(tmp_path / "refs.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for call in (
        lambda: References([reference()]).to_parquet(tmp_path / "b.parquet"),
        lambda: References([reference()]).to_dataset(),
        lambda: files.check_path(tmp_path / "b.parquet"),
        lambda: from_records(path),
    ):
        with pytest.raises(MissingExtra, match=r"pip install .*data"):
            call()


@pytest.mark.parametrize("content", [b"", b"PAR1", b"a,b\n1,2\n" * 100, b"PAR1" + b"x" * 100 + b"PAR1"])
def test_a_file_that_is_not_parquet_is_named(content, tmp_path):
    (tmp_path / "refs.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"refs\.parquet cannot be read as Parquet"):
        from_records(tmp_path / "refs.parquet")


def test_a_parquet_file_given_as_a_task_is_an_error_that_names_its_columns(tmp_path):
    path = References([reference()]).to_parquet(tmp_path / "refs.parquet")
    with pytest.raises(ConfigError, match="from_records"):
        catlite.estimate(str(path), catlite.ScriptedModel(lambda *_: "2"))


def test_a_dataset_has_the_columns_as_they_are():
    pytest.importorskip("datasets", reason="needs catlite[data]")
    dataset = References([reference(CHAT, rubric=RUBRIC), FAILED, open_ended()]).to_dataset()
    assert dataset.column_names == files.COLUMNS
    assert dataset[0]["prompt"] == CHAT
    assert dataset[0]["rubric"][1] == {"criterion": "Says iron.", "points": -4.5, "tags": []}
    assert dataset[1]["answer"] is None
    assert from_records(dataset, answer="answer", rubric="rubric").examples[0].rubric == RUBRIC


def test_importing_references_imports_no_arrow():
    code = "import sys, catlite.references.dataset; print({'pyarrow', 'pandas'} & set(sys.modules))"
    done = children.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
