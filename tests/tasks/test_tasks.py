"""Public tasks: from a local file, from the cache, or fetched from a server on this machine and checked."""

import hashlib
import json
import sys
import threading
import types
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import children
import pytest

import catlite
from catlite.criteria import Criterion, Rubric
from catlite.errors import ConfigError, DataError
from catlite.tasks import fetch, gsm8k, healthbench, math500, times_tables

PROBLEMS = [
    {
        "problem": f"What is ${i} + 1$?",
        "solution": "Count.",
        "answer": str(i + 1),
        "subject": "Prealgebra",
        "level": 1,
        "unique_id": f"test/prealgebra/{i}.json",
    }
    for i in range(500)
]
WORDS = [
    {"question": f"Ola has {i} plums and buys 1,000. How many?", "answer": f"She has {i}+1000.\n#### 1,{i:03}"}
    for i in range(20)
]
CONVERSATIONS = [
    {
        "prompt_id": f"h-{i}",
        "prompt": [{"role": "user", "content": f"SECRET question {i}"}],
        "rubrics": [
            {"criterion": "SECRET: names a doctor.", "points": 5, "tags": ["axis:accuracy", "level:example"]},
            {"criterion": "SECRET: sells a cure.", "points": -7, "tags": []},
        ],
        "example_tags": ["theme:hedging"],
        "ideal_completions_data": None,
    }
    for i in range(3)
]


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


class Files:
    """A web server with one file; `status`, `cut` and `moved` make it misbehave."""

    def __init__(self):
        self.content, self.status, self.cut, self.asked = b"", 200, False, []
        files = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                files.asked.append(self.path)
                if self.path.startswith("/moved/"):
                    self.send_response(302)
                    self.send_header("Location", self.path.removeprefix("/moved"))
                    self.end_headers()
                    return
                self.send_response(files.status)
                self.send_header("Content-Length", str(len(files.content)))
                self.end_headers()
                self.wfile.write(files.content[: len(files.content) // 2] if files.cut else files.content)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache" / "tasks"
    monkeypatch.setattr(fetch, "folder", lambda: folder)
    return folder


@pytest.fixture
def files(cache, monkeypatch):
    """The homes of all tasks, on this machine; without the `datasets` library."""
    files = Files()
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setattr(math500, "URL", f"{files.url}/math.jsonl")
    monkeypatch.setattr(math500, "SHA256", hashlib.sha256(lines(PROBLEMS)).hexdigest())
    monkeypatch.setattr(gsm8k, "URL", f"{files.url}/{{split}}.jsonl")
    monkeypatch.setattr(healthbench, "URL", f"{files.url}/health/")
    for split in ("train", "test"):
        monkeypatch.setitem(gsm8k.SHA256, split, hashlib.sha256(lines(WORDS)).hexdigest())
    sha256 = hashlib.sha256(lines(CONVERSATIONS)).hexdigest()
    monkeypatch.setitem(healthbench.FILES, "hard", ("hard.jsonl", sha256))
    yield files
    files.server.shutdown()
    files.server.server_close()


@pytest.fixture
def local(tmp_path):
    def write(rows):
        path = tmp_path / "local.jsonl"
        path.write_bytes(rows if isinstance(rows, bytes) else lines(rows))
        return path

    return write


def kept(cache):
    return sorted(str(path.relative_to(cache)) for path in cache.rglob("*"))


# The rows


def test_math500_asks_for_a_box_and_leaves_the_solution_out(local):
    task = math500.math500(local(PROBLEMS))
    assert (task.name, len(task), task.verifiable) == ("math500", 500, True)
    example = task.examples[0]
    assert example.prompt.startswith("What is $0 + 1$?\n")
    assert r"\boxed{}" in example.prompt
    assert (example.answer, example.answer_format, example.id) == ("1", "boxed", "test/prealgebra/0.json")
    assert example.metadata == {"subject": "Prealgebra", "level": 1}
    assert example.parse(r"So it is \boxed{1}.") == example.answer
    assert "Count" not in repr(task.examples)


def test_gsm8k_takes_the_number_after_the_marks(local):
    task = gsm8k.gsm8k(local(WORDS), "train")
    assert [example.answer for example in task][:2] == ["1000", "1001"]
    assert [example.id for example in task][:2] == ["gsm8k/train/0", "gsm8k/train/1"]
    assert r"\boxed{}" in task.examples[0].prompt
    assert (task.verifiable, task.examples[0].metadata) == (True, {})


def test_gsm8k_keeps_ids_when_rows_are_drawn(local):
    drawn = gsm8k.gsm8k(local(WORDS), limit=5, seed=1)
    whole = {example.id: example for example in gsm8k.gsm8k(local(WORDS))}
    assert [whole[example.id] for example in drawn] == list(drawn)


def test_gsm8k_reads_a_file_of_answers_alone(local):
    task = gsm8k.gsm8k(local([{"id": "x1", "problem": "1,000 + 1?", "answer": "1,001", "solution": "#### 1,001"}]))
    assert [(example.answer, example.id) for example in task] == [("1001", "x1")]


@pytest.mark.parametrize("answer", ["12", "so 12 ####", "", None])
def test_gsm8k_without_the_marks_is_an_error_with_its_line(local, answer):
    path = local([WORDS[0], {"question": "How many?", "answer": answer}])
    with pytest.raises(DataError, match="line 2: the answer has no '#### '"):
        gsm8k.gsm8k(path)


def test_healthbench_is_conversations_with_rubrics_and_no_answers(local):
    task = healthbench.healthbench("consensus", local(CONVERSATIONS))
    assert (task.name, len(task), task.verifiable) == ("healthbench_consensus", 3, False)
    example = task.examples[1]
    assert example.prompt == [{"role": "user", "content": "SECRET question 1"}]
    assert example.rubric == Rubric(
        (
            Criterion("SECRET: names a doctor.", 5, ("axis:accuracy", "level:example")),
            Criterion("SECRET: sells a cure.", -7, ()),
        )
    )
    assert (example.id, example.answer, example.answer_format) == ("h-1", None, None)
    assert example.metadata == {"example_tags": ["theme:hedging"]}


@pytest.mark.parametrize(
    "broken",
    [
        {"prompt": "SECRET" * 3, "rubrics": []},
        {"prompt": []},
        {"prompt": [{"role": "user", "text": "SECRET"}]},
        {"rubrics": None},
        {"rubrics": "SECRET"},
        {"rubrics": [{"text": "SECRET", "points": 1}]},
        {"rubrics": [{"criterion": "a", "points": "SECRET"}]},
        {"rubrics": [{"criterion": "a", "points": 1, "tags": "SECRET"}]},
        {"example_tags": "SECRET"},
        {"prompt_id": "h-0"},
        {"prompt_id": None},
        b'{"prompt": SECRET}\n',
        b'{"prompt": "SECRET\xff"}\n',
        b'["SECRET"]\n',
    ],
)
def test_no_error_quotes_a_row_of_healthbench(local, broken):
    second = broken if isinstance(broken, bytes) else lines([CONVERSATIONS[1] | broken])
    with pytest.raises(DataError, match="line 2: ") as caught:
        healthbench.healthbench(path=local(lines(CONVERSATIONS[:1]) + second))
    for shown in (str(caught.value), repr(caught.value.__cause__)):
        assert "SECRET" not in shown
        assert "h-0" not in shown


def test_a_file_of_another_layout_names_its_columns(local):
    with pytest.raises(DataError, match=r"no column 'problem' for the prompt.* 'question'"):
        math500.math500(local(WORDS))


def test_a_str_is_as_good_as_a_path(local):
    assert len(math500.math500(str(local(PROBLEMS)), limit=2)) == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda: healthbench.healthbench("easy"),
        lambda: healthbench.healthbench("rows.jsonl"),
        lambda: gsm8k.gsm8k(split="validation"),
        lambda: math500.math500(path=7),
        lambda: math500.math500(limit=0),
        lambda: gsm8k.gsm8k(seed="0"),
        lambda: healthbench.healthbench("hard", limit=True),
        lambda: times_tables.times_tables(limit=82),
        lambda: times_tables.times_tables(limit=True),
        lambda: times_tables.times_tables(limit=3, seed=None),
    ],
)
def test_a_wrong_argument_is_refused_before_anything_is_fetched(files, call):
    with pytest.raises(ConfigError):
        call()
    assert files.asked == []


@pytest.mark.parametrize(
    ("text", "answer"), [("6 times 7 is 42.", "42"), ("6 times 7 is 42,5", "42,5"), ("6 times 7 is 42.5.", None)]
)
def test_a_fraction_is_not_read_as_the_whole_number_it_begins_with(text, answer):
    assert next(iter(times_tables.times_tables(limit=1))).parse(text) == answer


# Fetching


@pytest.mark.parametrize(
    ("load", "rows", "name"),
    [
        (math500.math500, PROBLEMS, "math500.jsonl"),
        (gsm8k.gsm8k, WORDS, "gsm8k_test.jsonl"),
        (lambda: healthbench.healthbench("hard"), CONVERSATIONS, "hard.jsonl"),
    ],
)
def test_a_file_is_fetched_once_and_kept(files, cache, load, rows, name):
    files.content = lines(rows)
    assert len(load()) == len(rows)
    assert kept(cache) == [name]
    assert load() == load()
    assert len(files.asked) == 1


def test_redirects_are_followed(files, monkeypatch):
    monkeypatch.setattr(math500, "URL", f"{files.url}/moved/math.jsonl")
    files.content = lines(PROBLEMS)
    assert len(math500.math500()) == 500


def misbehave(files, how):
    files.content = lines(CONVERSATIONS)
    if how == "cut":
        files.cut = True
    elif how == "other":
        files.content += b"\n"
    elif how == "page":
        files.content = b"<html>Sign in to this network</html>"
    elif how == "gone":
        files.server.server_close()
    else:
        files.status = how


@pytest.mark.parametrize("how", ["cut", "other", "page", 404, 503])
@pytest.mark.parametrize("load", [math500.math500, lambda: healthbench.healthbench("hard")])
def test_a_bad_download_keeps_nothing_and_says_what_to_do(files, cache, load, how):
    misbehave(files, how)
    with pytest.raises(DataError, match=r"could not be fetched from http.*path=") as caught:
        load()
    assert "SECRET" not in str(caught.value)
    assert kept(cache) == []


def test_without_a_network_the_error_says_how_to_get_the_file(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    monkeypatch.setattr(gsm8k, "URL", "http://127.0.0.1:9/{split}.jsonl")
    with pytest.raises(DataError) as caught:
        gsm8k.gsm8k(split="train")
    assert "http://127.0.0.1:9/train.jsonl" in str(caught.value)
    assert 'gsm8k(path="train.jsonl", split="train")' in str(caught.value)


def test_a_kept_file_that_was_changed_is_fetched_again(files, cache):
    files.content = lines(CONVERSATIONS)
    healthbench.healthbench("hard")
    (cache / "hard.jsonl").write_bytes(b"half a f")
    assert len(healthbench.healthbench("hard")) == 3
    assert len(files.asked) == 2


def test_a_download_is_bounded(files, cache, monkeypatch):
    monkeypatch.setattr(fetch, "_MOST", 1000)
    files.content = lines(PROBLEMS)
    with pytest.raises(DataError, match="larger than"):
        math500.math500()
    assert kept(cache) == []


def test_a_cache_that_cannot_be_written_is_an_error(files, cache):
    cache.parent.parent.mkdir(exist_ok=True)
    cache.parent.write_text("a file where the folder should be")
    with pytest.raises(DataError, match="cannot be kept"):
        math500.math500()


def test_the_datasets_library_is_used_where_it_is_installed(files, monkeypatch):
    asked = []

    def load_dataset(repository, config=None, *, split, revision):
        asked.append((repository, config, split, revision))
        return PROBLEMS if config is None else WORDS

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    monkeypatch.setitem(gsm8k.ROWS, "train", len(WORDS))
    assert len(math500.math500(limit=3, seed=0)) == 3
    assert gsm8k.gsm8k(split="train").examples[0].id == "gsm8k/train/0"
    pinned = [(math500.REPOSITORY, None, "test"), (gsm8k.REPOSITORY, "main", "train")]
    assert asked == [(*pinned[0], math500.REVISION), (*pinned[1], gsm8k.REVISION)]
    assert files.asked == []


def test_a_split_with_other_rows_than_were_pinned_is_refused(files, monkeypatch):
    def load_dataset(*_, **__):
        return PROBLEMS[:-1]

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(DataError, match=r"it has 499 rows, not 500\. .*math500\(path="):
        math500.math500()


@pytest.mark.parametrize("url", [math500.URL, gsm8k.URL])
def test_no_task_is_fetched_from_what_moves(url):
    assert "/main/" not in url
    assert "/master/" not in url
    assert {len(math500.REVISION), len(gsm8k.REVISION)} == {40}
    assert {len(math500.SHA256), *map(len, gsm8k.SHA256.values())} == {64}


def test_math500_that_was_changed_is_not_taken(files, cache):
    files.content = lines(PROBLEMS).replace(b"4", b"5", 1)
    with pytest.raises(DataError, match="its SHA-256 is"):
        math500.math500()
    assert kept(cache) == []
    files.content = lines(PROBLEMS)
    assert len(math500.math500()) == 500


def test_a_kept_file_is_read_before_a_hub_is_asked(files, monkeypatch):
    files.content = lines(PROBLEMS)
    math500.math500()
    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=None))
    assert len(math500.math500()) == 500


def test_a_hub_that_cannot_be_reached_is_told_with_the_file_to_get(files, monkeypatch):
    def load_dataset(*_, **__):
        raise ConnectionError("no route\nmany more lines")

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(DataError, match=r"ConnectionError: no route\. .*math\.jsonl.*math500\(path="):
        math500.math500()


def test_a_folder_called_datasets_is_not_the_library(files, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "datasets")
    (tmp_path / "here" / "datasets").mkdir(parents=True)
    (tmp_path / "here" / "datasets" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "here")
    files.content = lines(PROBLEMS)
    assert len(math500.math500()) == 500


def test_importing_the_tasks_imports_no_http_client():

    code = (
        "import sys, catlite.tasks.math500, catlite.tasks.gsm8k, catlite.tasks.healthbench;"
        "print([m for m in ('httpx', 'pandas', 'datasets', 'numpy') if m in sys.modules])"
    )
    done = children.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert catlite.__version__
