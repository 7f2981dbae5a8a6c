"""What benchmarks/train_without_labels.py trains on, and holds out."""

from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import train_without_labels

    return train_without_labels


def test_no_question_is_both_trained_on_and_held_out(script):
    for task in script.STEPS:
        trained, held = script.split(task, 0, 72, 48)
        prompts = [{example.messages[-1]["content"] for example in part} for part in (trained, held)]
        assert prompts[0]
        assert prompts[1]
        assert not prompts[0] & prompts[1]


def test_a_held_out_factor_is_in_no_product_that_is_trained_on(script):
    trained, held = script.split("times_tables", 0, 72, 48)
    assert (len(trained), len(held)) == (64, 17)
    assert not any("7" in example.messages[-1]["content"] for example in trained)
