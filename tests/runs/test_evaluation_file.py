"""A saved evaluation comes back equal, whole or not at all, whatever its texts are."""

import re
import stat

import pytest
from pages import HOSTILE, TASK, made

import catlite
from catlite import (
    Evaluation,
    Example,
    Reference,
    Rollout,
    Task,
    Usage,
    evaluate,
    report,
)
from catlite.errors import ConfigError, EstimationError, StoreError
from catlite.evaluation import Row


def test_a_run_keeps_its_evaluation_and_it_comes_back_equal(tmp_path):
    result = made(run=tmp_path / "run")
    file = tmp_path / "run" / "evaluation.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    for place in (file, tmp_path / "run", str(file)):
        back = Evaluation.load(place)
        assert back == result
        assert (back.rows, back.references, back.groups) == (result.rows, result.references, result.groups)
    assert sorted(path.name for path in (tmp_path / "run").iterdir() if path.name[0] == ".") == []


def test_hostile_text_log_probabilities_and_metadata_survive_saving(tmp_path):
    def reply(prompt, i):
        return Rollout(HOSTILE, logprobs=(-0.5, float("-inf")), usage=Usage(None, 3, None, None, 1), reasoning="\udfff")

    metadata = {"level": 1, "tags": ["a"], "nested": {"\ud800": None}}
    rubric = catlite.Rubric((catlite.Criterion("says so", -2.0, ("tag",)),))
    example = Example([{"role": "user", "content": HOSTILE}], "1", rubric, "boxed", "q", metadata)
    result = made(Task("t", (example,)), reply, ())
    assert Evaluation.load(result.save(tmp_path / "e.json")) == result
    assert (tmp_path / "e.json").read_bytes().isascii()


def test_failures_and_references_of_other_groups_survive_saving(tmp_path):
    async def moody(group):
        if group.example.id == "q1":
            raise EstimationError("not today", group)
        return Reference("x", None, "moody", catlite.Group(group.example, group.rollouts[:1]), truncated=True)

    result = made(estimators=(moody,))
    assert Evaluation.load(result.save(tmp_path)) == result
    assert (tmp_path / "evaluation.json").exists()


def test_a_stopped_evaluation_knows_the_questions_it_did_not_reach(tmp_path, server):
    with catlite.Endpoint("test-model", base_url=server.url, api_key=server.key, max_connections=1) as model:
        result = evaluate(TASK, model, n=2, run=tmp_path, budget=catlite.Budget(requests=2))
    back = Evaluation.load(tmp_path)
    assert back == result
    assert [group.example for group in back.groups] == list(TASK)
    assert {len(group.rollouts) for group in back.groups} == {0, 2}
    assert "Stopped early" in report(tmp_path).read_text("utf-8")


def test_metadata_that_is_no_json_is_kept_as_its_repr(tmp_path):
    task = Task("t", (Example("1+1?", "2", answer_format="boxed", metadata={"a": {1}, (1, 2): "key"}),))
    back = Evaluation.load(made(task).save(tmp_path))
    assert back.groups[0].example.metadata == {"a": "{1}"}


@pytest.mark.parametrize("text", ["", "{}", "[]", "nonsense", '{"catlite_evaluation": 1}', "\u00e9", '"\\ud800"'])
def test_what_is_no_evaluation_is_refused(tmp_path, text):
    (tmp_path / "evaluation.json").write_text(text, "utf-8")
    with pytest.raises(StoreError, match="not an evaluation"):
        Evaluation.load(tmp_path)


def test_a_file_of_another_version_is_refused(tmp_path):
    (tmp_path / "evaluation.json").write_text('{"catlite_evaluation": 9}')
    with pytest.raises(StoreError, match="another version"):
        Evaluation.load(tmp_path)


@pytest.mark.parametrize("place", ["nowhere", "."])
def test_a_run_without_an_evaluation_says_what_to_run(tmp_path, place):
    with pytest.raises(StoreError, match=r"catlite evaluate … --run"):
        report(tmp_path / place)


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    first = made().save(tmp_path).read_text()
    broken = Evaluation("t", "p", 1, (Row(0, "a", "s", 1.0, 1, Usage()), None), 0.0)
    with pytest.raises(TypeError):
        broken.save(tmp_path)
    assert [path.read_text() for path in tmp_path.iterdir()] == [first]


def test_only_a_file_is_written_over(tmp_path):
    with pytest.raises(ConfigError, match="not a file"):
        report(made(), tmp_path)
    with pytest.raises(ConfigError, match="not a file"):
        report(made(), "/dev/null")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be written"):
        report(made(), tmp_path / "file" / "page.html")


def test_an_evaluation_from_before_generations_were_counted_loads(tmp_path):
    result = made()
    file = result.save(tmp_path)
    new = file.read_text("ascii")
    old = re.sub(r',"generations":\d+(?=})', "", new)
    assert old != new
    file.write_text(old, "ascii")
    back = Evaluation.load(file)
    assert back == result
    assert back.groups[0].usage.generations == len(back.groups[0].rollouts)
    assert back.summary.generations.equals(result.summary.generations)
