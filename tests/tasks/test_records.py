"""Rows of every container become the same task, or an error that says where and what to do."""

import csv
import gzip
import json

import numpy as np
import pandas as pd
import pytest

from catlite.criteria import Criterion, Rubric
from catlite.data import Task
from catlite.errors import CatliteError, ConfigError, DataError
from catlite.tasks.records import from_records

ROWS = [
    {"prompt": "What is 2 + 2?", "answer": "4", "key": "a", "level": 1},
    {"prompt": "What is\n3 + 3?", "answer": "6", "key": "b", "level": 2},
    {"prompt": 'Say "hi", please', "answer": "hi", "key": "c", "level": 3},
]
CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
COLUMNS = {"answer": "answer", "id": "key", "answer_format": "boxed"}


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def separated(path, rows, delimiter=","):
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def refused(rows, **options):
    with pytest.raises(DataError) as caught:
        from_records(rows, **options)
    assert isinstance(caught.value, CatliteError)
    assert isinstance(caught.value, ValueError)
    return str(caught.value)


# The same rows in any container


def containers(path):
    yield separated(path / "a.csv", ROWS)
    yield str(separated(path / "a.tsv", ROWS, "\t"))
    for name, content in {
        "a.jsonl": lines(ROWS),
        "a.ndjson": lines(ROWS).replace("\n", "\r\n\r\n"),
        "a.json": json.dumps(ROWS),
        "bom.jsonl": "\ufeff" + lines(ROWS),
    }.items():
        (path / name).write_bytes(content.encode())
        yield path / name
    (path / "a.jsonl.gz").write_bytes(gzip.compress(lines(ROWS).encode()))
    yield path / "a.jsonl.gz"
    yield ROWS
    yield tuple(ROWS)
    yield iter(ROWS)
    yield pd.DataFrame(ROWS)


def test_every_container_gives_the_same_examples(tmp_path):
    tasks = [from_records(rows, **COLUMNS) for rows in containers(tmp_path)]
    for task in tasks:
        assert [(e.prompt, e.answer, e.id, e.answer_format) for e in task] == [
            (row["prompt"], row["answer"], row["key"], "boxed") for row in ROWS
        ]
        assert [str(e.metadata["level"]) for e in task] == ["1", "2", "3"]
        assert isinstance(task, Task)
        assert isinstance(task.examples, tuple)
        assert task.verifiable
    assert [task.name for task in tasks] == ["a"] * 5 + ["bom", "a"] + ["records"] * 4


def test_a_hugging_face_dataset_is_an_iterable_of_mappings_with_column_names():
    class Dataset:
        column_names = ("prompt", "answer", "key", "level")

        def __iter__(self):
            return iter(ROWS)

    assert [e.id for e in from_records(Dataset(), **COLUMNS)] == ["a", "b", "c"]


def test_a_dict_of_splits_is_refused():
    with pytest.raises(ConfigError, match="one split of it"):
        from_records({"train": ROWS, "test": ROWS})


@pytest.mark.parametrize("rows", [None, 5, b"prompt"])
def test_what_is_no_collection_of_rows_is_refused(rows):
    with pytest.raises(ConfigError, match="the path of a file"):
        from_records(rows)


def test_a_row_that_is_no_mapping_is_named():
    assert "list, row 2: a str" in refused([ROWS[0], "What?"])


def test_columns_not_named_are_metadata_and_ids_are_row_numbers():
    task = from_records([{"prompt": "a", "id": "x", "n": 1}, {"prompt": "b", "id": "y", "n": 2}])
    assert [e.id for e in task] == ["1", "2"]
    assert [dict(e.metadata) for e in task] == [{"id": "x", "n": 1}, {"id": "y", "n": 2}]
    assert not task.verifiable


def test_messages_are_a_prompt_in_every_container(tmp_path):
    row = {"prompt": CHAT, "id": 1}
    path = separated(tmp_path / "a.csv", [{"prompt": json.dumps(CHAT), "id": 1}])
    (tmp_path / "a.jsonl").write_text(lines([row]))
    frame = pd.DataFrame({"prompt": [np.array(CHAT, dtype=object)]})
    for rows in (path, tmp_path / "a.jsonl", [row], frame):
        assert from_records(rows).examples[0].prompt == CHAT


def test_text_that_only_looks_like_messages_stays_text():
    for text in ("[1, 2, 3] sorted is?", "[1, 2]", "[]", '[{"a": 1}]', "[[["):
        assert from_records([{"prompt": text}]).examples[0].prompt == text


def test_keys_that_datasets_fill_with_none_are_dropped():
    task = from_records([{"prompt": [{"role": "user", "content": "Why?", "name": None}]}])
    assert task.examples[0].prompt == [{"role": "user", "content": "Why?"}]


def test_a_message_without_content_is_refused_with_its_line(file):
    path = file("a.jsonl", lines([{"prompt": CHAT}, {"prompt": [{"role": "user"}]}]))
    assert "line 2: message 0 has no 'content'" in refused(path)


# Rubrics


def test_a_rubric_is_texts_or_objects_or_their_json(tmp_path):
    given = ["Is polite.", {"criterion": "Lies.", "points": -3, "tags": ["axis:truth"]}]
    rubric = Rubric((Criterion("Is polite."), Criterion("Lies.", -3, ("axis:truth",))))
    path = separated(tmp_path / "a.csv", [{"prompt": "Why?", "r": json.dumps(given)}])
    for rows in ([{"prompt": "Why?", "r": given}], [{"prompt": "Why?", "r": rubric}], path):
        assert from_records(rows, rubric="r").examples[0].rubric == rubric
    assert from_records([{"prompt": "Why?", "r": None}], rubric="r").examples[0].rubric is None


@pytest.mark.parametrize(
    ("rubric", "said"),
    [
        ([], "an empty list"),
        ("be nice", "text that is not JSON"),
        (7, "a number"),
        ([{"points": 1}], "criterion 1 is an object with keys"),
        (["a", " "], "criterion 2 is empty"),
        ([{"criterion": "a", "points": "5"}], "points that are text"),
        ([{"criterion": "a", "points": True}], "points that are true or false"),
        ([{"criterion": "a", "points": float("nan")}], "points that are missing"),
        ([{"criterion": "a", "tags": "axis"}], "tags that are text"),
    ],
)
def test_a_rubric_of_another_shape_is_refused(rubric, said):
    assert said in refused([{"prompt": "Why?", "r": rubric}], rubric="r")


# Columns


def test_a_missing_prompt_column_names_the_call_to_write(file):
    path = file("sums.jsonl", lines([{"problem": "1 + 1?", "answer": "2"}]))
    said = refused(path, answer="answer", answer_format="boxed")
    assert "no column 'prompt'" in said
    assert "'problem', 'answer'" in said
    assert f"from_records('{path}', prompt='problem', answer='answer', answer_format='boxed')" in said
    assert len(from_records(path, prompt="problem", answer="answer", answer_format="boxed")) == 1


def test_a_misspelt_column_is_suggested():
    rows = [{"prompt": "a", "solution": "b"}]
    assert "mean from_records(rows, answer='solution')?" in refused(rows, answer="solutoin")
    assert "mean from_records(rows, prompt='prompt')?" in refused(rows, prompt="question")


def test_nothing_is_suggested_where_nothing_is_close():
    said = refused([{"zzz": "a"}])
    assert "Its columns: 'zzz'." in said
    assert "Did you mean" not in said


def test_semicolons_are_pointed_out(file):
    assert "save with commas" in refused(file("a.csv", "prompt;answer\na;b\n"))


def test_a_column_missing_in_a_later_row_is_an_error_there(file):
    path = file("a.jsonl", lines([{"prompt": "a", "answer": "1"}, {"prompt": "b"}]))
    assert "line 2: no column 'answer'" in refused(path, answer="answer")


@pytest.mark.parametrize("options", [{"prompt": None}, {"answer": 3}, {"id": ["a"]}])
def test_a_column_is_named_by_text(options):
    with pytest.raises(ConfigError, match="name of a column"):
        from_records(ROWS, **options)


# Values


@pytest.mark.parametrize("empty", ["", " \n", None, float("nan"), pd.NA, []])
def test_an_empty_prompt_is_an_error_with_its_row(empty):
    assert "row 2: the prompt" in refused([{"prompt": "a"}, {"prompt": empty}])


@pytest.mark.parametrize("wrong", [3, 2.5, True, {"role": "user"}])
def test_a_prompt_that_is_no_text_is_an_error(wrong):
    assert "want text or a list of messages" in refused([{"prompt": wrong}])


def test_half_a_surrogate_pair_is_refused_before_it_is_sent(file):
    assert "line 1: the prompt in 'prompt' has half a surrogate" in refused(file("a.jsonl", '{"prompt": "a\\ud83d"}'))


def test_a_column_of_numbers_is_written_out_as_text():
    rows = [{"prompt": "a", "answer": 18}, {"prompt": "b", "answer": 2.5}, {"prompt": "c", "answer": 3.0}]
    assert [e.answer for e in from_records(rows, answer="answer")] == ["18", "2.5", "3"]


def test_integers_that_pandas_made_floats_stay_integers_and_nan_is_missing():
    frame = pd.DataFrame({"prompt": ["a", "b"], "answer": [18, None]})
    assert [e.answer for e in from_records(frame, answer="answer")] == ["18", None]


@pytest.mark.parametrize("value", [np.int64(7), np.float32(7), np.array(7)])
def test_numpy_numbers_are_numbers(value):
    assert from_records([{"prompt": "a", "answer": value}], answer="answer").examples[0].answer == "7"


def test_text_and_numbers_in_one_column_are_an_error_with_both_places(file):
    path = file("a.jsonl", lines([{"prompt": "a", "answer": "1"}, {"prompt": "b", "answer": 2.5}]))
    assert "line 2: 'answer' is a number here and text in line 1" in refused(path, answer="answer")


@pytest.mark.parametrize("wrong", [True, ["4"], {"a": 1}, float("inf")])
def test_an_answer_is_text_or_a_number(wrong):
    assert "want text or a number" in refused([{"prompt": "a", "answer": wrong}], answer="answer")


def test_a_duplicate_id_names_both_lines(file):
    path = file("a.csv", 'prompt,id\n"two\nlines",x\nb,y\nc,x\n')
    assert "line 5: the id 'x' is that of line 2 too" in refused(path, id="id")


def test_a_missing_id_is_an_error():
    assert "row 1: 'id' is empty" in refused([{"prompt": "a", "id": ""}], id="id")


def test_an_answer_format_is_checked_before_rows_are_read():
    with pytest.raises(ConfigError, match="capture groups"):
        from_records("nowhere.jsonl", answer_format="no group")


# limit and seed


def numbered(count):
    return ({"prompt": f"q{i}"} for i in range(count))


def test_limit_takes_the_first_rows_and_reads_no_further():
    rows = numbered(100)
    assert [e.prompt for e in from_records(rows, limit=3)] == ["q0", "q1", "q2"]
    assert next(rows)["prompt"] == "q3"


def test_a_seed_draws_without_repetition_and_again_the_same():
    task = from_records(numbered(1000), limit=50, seed=3)
    prompts = [e.prompt for e in task]
    assert len(set(prompts)) == 50
    assert prompts == sorted(prompts, key=lambda prompt: int(prompt[1:]))
    assert [e.id for e in task] == [str(int(prompt[1:]) + 1) for prompt in prompts]
    assert task.examples == from_records(numbered(1000), limit=50, seed=3).examples
    assert task.examples != from_records(numbered(1000), limit=50, seed=4).examples


def test_every_row_is_as_likely_to_be_drawn():
    counts = np.zeros(10)
    for seed in range(2000):
        for example in from_records(numbered(10), limit=3, seed=seed):
            counts[int(example.id) - 1] += 1
    # 600 expected each, standard deviation 20.5
    assert np.abs(counts - 600).max() < 90


def test_a_seed_alone_keeps_everything():
    assert len(from_records(numbered(5), seed=1)) == 5


@pytest.mark.parametrize("options", [{"limit": 0}, {"limit": -1}, {"limit": True}, {"limit": 2.0}, {"seed": "a"}])
def test_limit_and_seed_are_checked(options):
    with pytest.raises(ConfigError, match="whole number"):
        from_records(numbered(5), **options)


@pytest.mark.parametrize("seed", [None, 1])
def test_more_than_there_is_cannot_be_drawn(seed):
    with pytest.raises(ConfigError, match="limit=6: generator has 5 rows"):
        from_records(numbered(5), limit=6, seed=seed)


def test_messages_that_pandas_wrote_as_python_are_not_taken_for_a_question(tmp_path):
    path = tmp_path / "chats.csv"
    pd.DataFrame({"prompt": [CHAT]}).to_csv(path, index=False)
    assert "write them as JSON" in refused(path)
