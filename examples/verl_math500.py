"""GRPO on MATH-500 in verl 0.9.1 without labels: writes the prompts, and makes the reward that verl_math500.yaml names.

    python examples/verl_math500.py data/math500
    python -m verl.trainer.main_ppo --config-path "$PWD/examples" --config-name verl_math500

train.parquet has no answers. val.parquet has them, for verl's own score on the same problems, which trains nothing.
References are a vote. With ANCHOR_URL, an OpenAI-compatible server of the model before training (arXiv 2509.14234, §3),
they are syntheses by that frozen model. See docs/verl.md for what was run and what was not.
"""

import os
import sys
from pathlib import Path

import catlite

MODEL = "Qwen/Qwen3-4B"  # what the anchor's server calls it


def reward():
    """What scores a group; verl's actor for it calls this once."""
    anchor = os.environ.get("ANCHOR_URL")
    estimator = catlite.Synthesis(catlite.Endpoint(MODEL, base_url=anchor)) if anchor else catlite.MajorityVote()
    return catlite.trl_reward(estimator, answer_format="boxed", run="runs/verl_math500")


def rows(task, gold):
    """The rows that verl reads; a data source that it knows tells it how to score validation."""
    return [
        {
            "data_source": "HuggingFaceH4/MATH-500",
            "prompt": example.messages,
            "reward_model": {"style": "rule", "ground_truth": example.answer if gold else ""},
            "extra_info": {"index": number, "id": example.id},
        }
        for number, example in enumerate(task)
    ]


def write(task, folder):
    import pandas

    folder.mkdir(parents=True, exist_ok=True)
    for name, gold in (("train", False), ("val", True)):
        pandas.DataFrame(rows(task, gold)).to_parquet(folder / f"{name}.parquet")


if __name__ == "__main__":
    write(catlite.math500(), Path(sys.argv[1]))
