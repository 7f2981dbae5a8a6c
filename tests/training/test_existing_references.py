"""What References write is what trainers read: `sft`, TRL's SFTTrainer and SDFTTrainer, and verl's datasets."""

import dataclasses

import pytest

pytest.importorskip("torch", reason="needs catlite[train]")
pytest.importorskip("trl", reason="needs catlite[train]")
from example_references import FAILED, open_ended, reference
from trainings import constant, same

import catlite
from catlite import LocalModel, References, SFTConfig, sft
from catlite.errors import ConfigError, DataError, TrainingError
from catlite.training.trl import build

pytestmark = pytest.mark.filterwarnings("default")  # what torch and its friends warn about is not ours


def named(name, made):
    return dataclasses.replace(
        made, group=dataclasses.replace(made.group, example=dataclasses.replace(made.group.example, id=name))
    )


MADE = (reference("Say 1", "aaaa"), FAILED, open_ended("Say 2", "bbbb"), open_ended("Say 3", "cccc"))
REFERENCES = References(named(f"q{number}", made) for number, made in enumerate(MADE))
SMALL = SFTConfig(epochs=1, batch_size=2, lora_rank=8, validation=0.0, max_completion_length=16)


def arguments(config, folder, **more):
    return config(
        output_dir=str(folder),
        max_steps=1,
        per_device_train_batch_size=2,
        use_cpu=True,
        bf16=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **more,
    )


@pytest.fixture
def rows(monkeypatch):
    """The conversations that `sft` hands to TRL."""
    taken = []
    make = build.conversations
    monkeypatch.setattr(build, "conversations", lambda *given: taken.extend(make(*given)) or make(*given))
    return taken


def test_sft_takes_references_and_their_file_as_the_same_run(folder, rows, tmp_path):
    run = sft(REFERENCES, LocalModel(folder), config=SMALL, run=tmp_path / "run")
    assert [(row["prompt"][-1]["content"], row["completion"][0]["content"]) for row in rows] == [
        *(("Say 1", "aaaa"), ("Say 2", "bbbb"), ("Say 3", "cccc")),
    ]
    assert "3 references, 1 prompts had none" in run.ended
    path = REFERENCES.to_parquet(tmp_path / "refs.parquet", unusable=True)
    assert sft(path, LocalModel(folder), config=SMALL, run=tmp_path / "run").steps == run.steps
    assert len(rows) == 3  # it was not trained again
    other = References([dataclasses.replace(REFERENCES[0], text="zzzz"), *REFERENCES[1:]])
    with pytest.raises(ConfigError, match="goes on as it was begun"):
        sft(other, LocalModel(folder), config=SMALL, run=tmp_path / "run")


def test_parts_of_text_and_half_surrogates_are_trained_on(folder, rows, tmp_path):
    parts = [{"role": "user", "content": [{"type": "text", "text": "Say "}, {"type": "text", "text": "1"}]}]
    made = References([open_ended(parts, "aaaa"), open_ended("Say \ud800", "b\udc00")])
    run = sft(made, LocalModel(folder), config=SMALL, run=tmp_path / "run")
    assert [(row["prompt"], row["completion"][0]["content"]) for row in rows] == [
        ([{"role": "user", "content": "Say 1"}], "aaaa"),
        ([{"role": "user", "content": "Say \\ud800"}], "b\\udc00"),
    ]
    path = made.to_parquet(tmp_path / "refs.parquet")
    assert sft(path, LocalModel(folder), config=SMALL, run=tmp_path / "run").steps == run.steps
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]}]
    with pytest.raises(ConfigError, match=r"sft\(\) takes text alone"):
        sft(References([open_ended(image)]), LocalModel(folder), config=SMALL)


def test_rows_of_another_hand_are_taken_or_refused_by_name(folder, rows, tmp_path):
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "own.parquet"
    pandas.DataFrame({"prompt": ["Say 1"], "completion": ["aaaa"]}).to_parquet(path)
    sft(path, LocalModel(folder), config=SMALL)
    assert rows[0]["completion"] == [{"role": "assistant", "content": "aaaa"}]
    for completion in (3, [{"role": "assistant", "content": "a"}] * 2):
        pandas.DataFrame({"prompt": ["Say 1"], "completion": [completion]}).to_parquet(path)
        with pytest.raises(DataError, match=r"own\.parquet, row 1: .*'completion'"):
            sft(path, LocalModel(folder), config=SMALL)
    pandas.DataFrame({"prompt": ["Say 1"]}).to_parquet(path)
    with pytest.raises(DataError, match="from_records"):
        sft(path, LocalModel(folder), config=SMALL)


def test_references_that_cannot_be_trained_on_are_errors(folder):
    with pytest.raises(ConfigError, match="leave it out"):
        sft(REFERENCES, LocalModel(folder), estimator=constant, config=SMALL)
    with pytest.raises(TrainingError, match="the server is down"):
        sft(References([FAILED]), LocalModel(folder), config=SMALL)
    with pytest.raises(DataError, match="too long"):
        sft(References([open_ended("Say 1", "a" * 300)]), LocalModel(folder), config=SMALL)
    with pytest.raises(ConfigError, match="more than once"):
        sft(
            [catlite.Reference("a", None, "own", catlite.Group(catlite.Example("q", id="x"), ()))] * 2,
            LocalModel(folder),
        )


def test_trl_takes_the_dataset_and_the_file_as_they_are(folder, tmp_path):
    import datasets
    import trl

    from catlite.training.trl.trainer import CatSFTTrainer  # TRL's, with a loss that needs no GPU

    path = REFERENCES.to_parquet(tmp_path / "refs.parquet")
    from_file = datasets.load_dataset("parquet", data_files=str(path), cache_dir=str(tmp_path / "cache"))["train"]
    trained = []
    for dataset in (REFERENCES.to_dataset(), from_file):
        settings = arguments(trl.SFTConfig, tmp_path / "out", learning_rate=0.1)
        trainer = CatSFTTrainer(model=str(folder), args=settings, train_dataset=dataset)
        assert len(trainer.train_dataset) == 3
        labels = [token for token in trainer.train_dataset[0]["labels"] if token != -100]
        assert trainer.processing_class.decode(labels).startswith("aaaa")
        trainer.train()
        trained.append(trainer.model.state_dict())
    assert same(*trained)


def test_sdft_takes_its_layout_as_it_is(folder, tmp_path):
    sdft = pytest.importorskip("trl.experimental.sdft", reason="this TRL has no SDFT")
    settings = arguments(sdft.SDFTConfig, tmp_path, max_completion_length=4, num_generations=2)
    dataset = REFERENCES.to_dataset("sdft")
    trainer = sdft.SDFTTrainer(model=str(folder), args=settings, train_dataset=dataset)
    built = trainer.teacher_context_builder.select_generation_prompts([dataset[0]["prompt"]], ["aaaa"])
    assert dataset[0]["privileged_context"] == "aaaa"
    assert "aaaa" in built[0][-1]["content"]
    trainer.train()
    assert trainer.state.global_step == 1


def test_verls_layout_has_what_its_datasets_read(folder, tmp_path):
    """The steps of verl's RLHFDataset, naive reward manager and MultiTurnSFTDataset up to the tokenizer."""
    import datasets
    import pandas
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    path = REFERENCES.to_parquet(tmp_path / "refs.parquet", "verl")
    rl = datasets.load_dataset("parquet", data_files=str(path), cache_dir=str(tmp_path / "cache"))["train"]
    row = rl[0]
    assert len(tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True)) > 0
    assert (row["data_source"], row["reward_model"]["ground_truth"]) == ("catlite", "42")
    assert row["extra_info"] == {"index": 0, "id": "q0"}
    assert not {"images", "videos", "audios", "tools"} & row.keys()
    frame = pandas.read_parquet(path, dtype_backend="pyarrow")
    messages = list(frame["messages"].iloc[1])
    assert messages[-1] == {"role": "assistant", "content": "bbbb"}
    assert "bbbb" in tokenizer.apply_chat_template(messages, tokenize=False)
