"""A file that cannot be read says which line, and never costs more memory than it is worth."""

import codecs
import csv
import gzip
import json
import time
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest

from catlite.errors import ConfigError, DataError
from catlite.tasks import tables
from catlite.tasks.records import from_records

ROWS = [{"prompt": f"question {i}", "answer": str(i)} for i in range(3)]


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def separated(path, rows):
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def refused(rows, **options):
    with pytest.raises(DataError) as caught:
        from_records(rows, **options)
    return str(caught.value)


def test_what_is_no_file_says_so(tmp_path, file):
    assert "does not exist" in refused(tmp_path / "no.jsonl")
    assert "does not exist" in refused(tmp_path / "a\0b.jsonl")
    assert "cannot be read" in refused("x" * 5000 + ".jsonl")
    file("b.jsonl", "")
    assert "is a directory: name one file, such as b.jsonl" in refused(tmp_path)


@pytest.mark.parametrize(("name", "said"), [("a.txt", "'.txt'"), ("a", "''"), ("a.xlsx", "read_excel")])
def test_an_unknown_suffix_lists_the_known(file, name, said):
    text = refused(file(name, "prompt\na\n"))
    assert said in text
    assert ".jsonl" in text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", "", "has no rows"),
        ("a.jsonl", "\n\n", "has no rows"),
        ("a.csv", "", "has no rows"),
        ("a.json", "", "has no rows"),
        ("a.json", "[]", "has no rows"),
        ("a.csv", "prompt,answer\n", "a header and no rows"),
        ("a.jsonl", '{"prompt": "a"}\n\n{"prompt": \n', "line 3: not JSON: Expecting value at column"),
        (
            "a.jsonl",
            '{"prompt": "a"}\n{"prompt": "b"\n{"prompt": "c"}\n',
            "line 2: not JSON: Expecting ',' delimiter at column 15",
        ),
        ("a.jsonl", '[\n{"prompt": "a"}\n]', "save an array as .json"),
        ("a.jsonl", '["a"]', "line 1: a JSON list"),
        ("a.jsonl", "[" * 100_000, "line 1: not JSON: nested too deeply"),
        ("a.jsonl", '{"prompt": ' + "9" * 5000 + "}", "line 1: not JSON: Exceeds the limit"),
        ("a.json", '[{"prompt": "a"},\n{"prompt": "b",}]', "line 2: not JSON"),
        ("a.json", lines(ROWS), "name the file .jsonl"),
        ("a.json", '{"data": []}', "keys ['data']"),
        ("a.json", '[{"prompt": "a"}, 3]', "row 2: a JSON int"),
        ("a.csv", 'prompt,answer\n"a\nb",1\nc\n', "line 4: 1 cells under a header of 2"),
        ("a.csv", "prompt,prompt\na,b\n", "line 1: the header names ['prompt'] more than once"),
        ("a.csv", 'prompt,n\na,1\n"b,2\nc,3\n', 'line 3: a " opened here is not closed'),
        ("a.csv", 'prompt,n\n"a"b,2\n', "line 2: ',' expected after '\"'"),
        ("a.jsonl.gz", "no gzip", "cannot be read"),
    ],
)
def test_a_broken_file_is_an_error_with_its_line(file, name, content, said):
    assert said in refused(file(name, content))


def test_a_truncated_gzip_is_an_error(file):
    whole = gzip.compress(lines({"prompt": f"question {i}"} for i in range(5000)).encode())
    assert "cannot be read" in refused(file("a.jsonl.gz", whole[: len(whole) // 2]))


@pytest.mark.parametrize("before", [0, 70_000, (1 << 20) - 13, (1 << 20) - 31, (1 << 20) - 32, (1 << 20) - 33])
def test_a_file_that_is_not_utf8_says_which_byte(file, before):
    """Also where the byte, or a good character before it, straddles the second pass's chunks of 1 MiB."""
    head = b'{"prompt": "%s\xc3\xa9"}\n' % (b"x" * before)
    content = head + b'{"prompt": "caf\xe9"}\n'
    said = refused(file("a.jsonl", content))
    assert f"line 2: not utf-8 at byte {len(head) + 15} " in said
    assert 'encoding="cp1252"' in said
    assert from_records(file("a.jsonl", content[len(head) :]), encoding="cp1252").examples[0].prompt == "café"


def test_utf16_is_recognised_by_its_mark_and_read_when_asked(file):
    content = codecs.BOM_UTF16_LE + lines(ROWS).encode("utf-16-le")
    path = file("a.jsonl", content)
    said = refused(path)
    assert "at byte 0 " in said
    assert 'encoding="utf-16"' in said
    assert len(from_records(path, encoding="utf-16")) == 3
    assert "not utf-16" in refused(file("b.jsonl", lines(ROWS)[:-1] + "é" * 2), encoding="utf-16")


@pytest.mark.parametrize("encoding", ["klingon", "rot13", None])
def test_an_unknown_encoding_is_refused(file, encoding):
    with pytest.raises(ConfigError, match="knows no such encoding"):
        from_records(file("a.jsonl", lines(ROWS)), encoding=encoding)


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_an_endless_line_is_refused_without_reading_it_all(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    with path.open("w") as out:
        out.write('{"prompt": "a"}\n' if suffix == "jsonl" else "prompt\n")
        for _ in range(60):
            out.write("x" * 1_000_000)
    tracemalloc.start()
    said = refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "line 2: longer than 10 MB" in said
    assert peak < 45_000_000


def test_a_quote_that_never_closes_does_not_swallow_the_file(tmp_path):
    path = tmp_path / "a.csv"
    with path.open("w") as out:
        out.write('prompt\na\n"b\n')
        for _ in range(30):
            out.write(("x" * 99 + "\n") * 10_000)
    assert 'line 3: a " opened here is not closed within 10 MB' in refused(path)


def test_a_cell_may_be_larger_than_csvs_own_limit(tmp_path):
    path = separated(tmp_path / "a.csv", [{"prompt": "x" * 500_000}])
    assert len(from_records(path).examples[0].prompt) == 500_000


def test_ten_thousand_rows_load_in_seconds(tmp_path):
    rows = [{"prompt": f"question {i} " * 20, "answer": i, "id": f"r{i}", "tag": "x"} for i in range(10_000)]
    (tmp_path / "a.jsonl").write_text(lines(rows))
    for source in (tmp_path / "a.jsonl", separated(tmp_path / "a.csv", rows), pd.DataFrame(rows)):
        began = time.process_time()
        assert len(from_records(source, answer="answer", id="id")) == 10_000
        assert time.process_time() - began < 5


def test_a_draw_costs_the_memory_of_what_is_kept(file):
    path = file("a.jsonl", lines({"prompt": f"{i} " + "x" * 2000} for i in range(10_000)))
    tracemalloc.start()
    from_records(path, limit=10, seed=0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


def test_a_name_without_its_suffixes_is_the_tasks_name():
    assert [tables.stem(Path(name)) for name in ("a.csv", "b.c.jsonl.gz")] == ["a", "b.c"]
