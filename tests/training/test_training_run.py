"""A training run after the fact: loaded from its folder, shown, plotted and reported, without training anything."""

import dataclasses
import errno
import json
import re
import shlex
import shutil
import warnings

import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
pytest.importorskip("trl", reason="needs catlite[train]")
from safetensors.torch import load_file  # noqa: E402
from tiny import tiny_model  # noqa: E402
from trainings import adapter_of, constant, open_task, same, small, trained, vowels  # noqa: E402

import catlite  # noqa: E402
from catlite import LocalModel, SFTConfig, TrainingRun, concurrency, sft, train  # noqa: E402
from catlite.errors import ConfigError, StoreError  # noqa: E402
from catlite.training.folder import Lines  # noqa: E402
from catlite.training.watch import Watch  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # what torch and its friends warn about is not ours


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    config = small(
        learning_rate=0.1, held_back=2, sampling={"temperature": 1.0, "chat_template_kwargs": {"loud": True}}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return trained(folder, config=config, run=tmp_path_factory.mktemp("run"))


def contents(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_run_is_loaded_as_it_was_given(run):
    before = contents(run.folder)
    loaded = TrainingRun.load(run.folder)
    assert (loaded.steps, loaded.ended, loaded.complete) == (run.steps, run.ended, run.complete)
    assert (loaded.best_step, loaded.metrics) == (run.best_step, run.metrics)
    assert str(loaded) == str(run)
    assert not loaded.policy.weights.loaded  # to look at figures takes no weights
    assert contents(run.folder) == before


def test_the_loaded_policy_is_the_trained_one_and_its_initial_the_base(run, folder):
    loaded = TrainingRun.load(run.folder)
    for one, other in ((loaded.policy, run.policy), (loaded.initial, run.initial)):
        scores = [concurrency.run(model.logprobs("Say 1", "a text")) for model in (one, other)]
        assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    assert loaded.policy.weights.template == {"loud": True}
    assert loaded.serving() == run.serving()


def test_the_commands_to_serve_a_run_hold_for_a_folder_with_a_space_in_its_name(run, tmp_path):
    moved = tmp_path / "a run"
    shutil.copytree(run.folder, moved)
    assert f"trained={moved / 'adapter'}" in shlex.split(TrainingRun.load(moved).serving(), comments=True)


def test_a_run_whose_weights_have_moved_is_told_where_they_are(folder, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(folder, tmp_path / "first")
    trained(tmp_path / "first", run=tmp_path / "run")
    (tmp_path / "first").rename(moved)
    with pytest.raises(ConfigError, match=r"give policy=, where it is now"):
        TrainingRun.load(tmp_path / "run")
    loaded = TrainingRun.load(tmp_path / "run", moved)
    assert len(concurrency.run(loaded.policy.logprobs("Say 1", "a text"))) == 6


def test_a_run_that_was_drawn_with_cuda_graphs_is_loaded_without_cuda(run, tmp_path):
    shutil.copytree(run.folder, tmp_path / "run")
    file = tmp_path / "run" / "training.json"
    manifest = json.loads(file.read_text())
    manifest["policy"]["settings"]["fast"] = "graphs"
    file.write_text(json.dumps(manifest))
    loaded = TrainingRun.load(tmp_path / "run")
    assert len(concurrency.run(loaded.policy.logprobs("Say 1", "a text"))) == 6


def test_an_adapter_is_not_put_on_other_weights(run, tmp_path):
    loaded = TrainingRun.load(run.folder, tiny_model(tmp_path, seed=9))
    with pytest.raises(ConfigError, match="other weights than the run was trained on"):
        concurrency.run(loaded.policy.logprobs("Say 1", "a text"))


def test_a_run_that_was_interrupted_is_loaded_as_far_as_it_came(folder, tmp_path):
    first = trained(folder, run=tmp_path)
    manifest = json.loads((tmp_path / "training.json").read_text())
    del manifest["outcome"]
    (tmp_path / "training.json").write_text(json.dumps(manifest))
    shutil.rmtree(tmp_path / "adapter")
    torn = tmp_path / "checkpoints" / "checkpoint-9"
    torn.mkdir()  # as one that is just being written
    loaded = TrainingRun.load(tmp_path)
    assert (loaded.steps, loaded.complete) == (2, False)
    assert "goes on from its last checkpoint" in loaded.ended
    scores = [concurrency.run(one.policy.logprobs("Say 1", "a text")) for one in (loaded, first)]
    assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    assert torn.is_dir()


def test_a_run_that_goes_on_and_is_interrupted_is_no_longer_what_it_was(folder, tmp_path, monkeypatch):
    trained(folder, run=tmp_path)
    begin = Watch.begin_step

    def interrupt(watch, step):
        begin(watch, step)
        if step == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Watch, "begin_step", interrupt)
        with pytest.raises(KeyboardInterrupt):
            trained(folder, config=small(steps=4), run=tmp_path)
    loaded = TrainingRun.load(tmp_path)
    assert (loaded.steps, loaded.complete, len(loaded.metrics)) == (3, False, 3)
    assert loaded.adapter == tmp_path / "checkpoints" / "checkpoint-3"  # and so what is merged and served
    whole = trained(folder, config=small(steps=3))
    assert same(load_file(loaded.adapter / "adapter_model.safetensors"), adapter_of(whole))


def test_lines_that_cannot_be_rewritten_are_kept(tmp_path, monkeypatch):
    lines = Lines(tmp_path / "metrics.jsonl")
    for step in range(3):
        lines.add({"step": step})

    def fail(*_):
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(StoreError):
        lines.keep(1)
    assert len(lines.read()) == 3


def test_a_run_without_a_checkpoint_has_the_base(folder, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")

        async def nothing(group, reference):
            return [None] * len(group.rollouts)

        trained(folder, reward=nothing, run=tmp_path)
    loaded = TrainingRun.load(tmp_path)
    assert (loaded.steps, loaded.complete) == (0, False)
    assert concurrency.run(loaded.policy.logprobs("Say 1", "a")) == pytest.approx(
        concurrency.run(loaded.initial.logprobs("Say 1", "a")), abs=1e-6
    )


def test_what_sft_gives_is_loaded_too(folder, tmp_path):
    config = SFTConfig(epochs=1, batch_size=2, num_generations=2, max_completion_length=16, lora_rank=8, validation=0)
    first = sft(open_task(4), LocalModel(folder), estimator=constant, config=config, run=tmp_path)
    loaded = TrainingRun.load(tmp_path)
    assert (loaded.steps, loaded.ended, loaded.metrics) == (first.steps, first.ended, first.metrics)


def test_a_folder_without_a_run_says_what_to_give(tmp_path):
    with pytest.raises(ConfigError, match="run='': want the path of a folder"):
        TrainingRun.load("")
    with pytest.raises(StoreError, match=r"has no training run .*run= of train or sft"):
        TrainingRun.load(tmp_path)
    (tmp_path / "training.json").write_text('{"catlite_training": ')
    with pytest.raises(StoreError, match="cannot be read"):
        TrainingRun.load(tmp_path)


def test_a_run_of_before_that_says_no_path_wants_the_policy(run, folder, tmp_path):
    shutil.copytree(run.folder, tmp_path / "run")
    manifest = json.loads((tmp_path / "run" / "training.json").read_text())
    del manifest["policy"]
    (tmp_path / "run" / "training.json").write_text(json.dumps(manifest))
    with pytest.raises(ConfigError, match="give policy="):
        TrainingRun.load(tmp_path / "run")
    assert TrainingRun.load(tmp_path / "run", folder).steps == run.steps


def test_a_loaded_run_goes_on_by_the_same_call(run, folder, tmp_path):
    shutil.copytree(run.folder, tmp_path / "run")
    config = small(
        learning_rate=0.1, held_back=2, sampling={"temperature": 1.0, "chat_template_kwargs": {"loud": True}}
    )
    settings = {"estimator": constant, "reward": vowels, "config": config, "run": tmp_path / "run"}
    assert train(open_task(), LocalModel(folder), **settings).steps == run.steps
    assert set(adapter_of(TrainingRun.load(tmp_path / "run"))) == set(adapter_of(run))


def test_a_training_has_a_report(run):
    page = catlite.report(run.folder)
    assert page == run.folder / "report.html"
    text = page.read_text("utf-8")
    page.unlink()
    assert "all 2 steps were made" in text
    assert {"cat/reward", "check/gap", "learning_rate"} <= set(re.findall(r">([\w/]+)<", text))
    assert text.count("<svg") == 4
    assert not re.search(r"<script|https?://|src=", text)


def test_a_report_of_a_run_that_was_given_up_warns_and_shows_its_text_as_text(run, tmp_path):
    halted = dataclasses.replace(run, complete=False, ended="no group had a reward: <b>down</b>")
    text = catlite.report(halted, tmp_path / "page.html").read_text("utf-8")
    assert "Not complete." in text
    assert "&lt;b&gt;down&lt;/b&gt;" in text


def test_a_loaded_run_plots(run):
    pytest.importorskip("matplotlib", reason="needs catlite[notebooks]")
    assert len(TrainingRun.load(run.folder).plot().axes) == 6


def test_a_line_of_metrics_that_is_none_of_ours_is_left_out(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\nnot json\n[1]\n"x"\n{"step": "2"}\n{}\n{"step": 3}\n{"st')
    lines = Lines(tmp_path / "metrics.jsonl")
    assert lines.read() == [{"step": 1}, {"step": 3}]
    assert lines.read(2) == [{"step": 1}]
