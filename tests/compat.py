"""Do our rewards and our training run with the libraries that other people have? In environments of their own.

    python tests/compat.py [notebook] [bound] [newest]

* notebook: what Unsloth's notebooks pin, TRL 0.22.2 and transformers 4.56.2, with catlite's core alone.
* bound: catlite[train] with the newest TRL that it takes, and whatever else pip finds for it.
* newest: the same with the newest TRL there is, which may fail: it tells what the bound has to wait for.

Each environment is made in .venv/compat-NAME and kept. Two steps of a model with random weights, on the CPU: a vote and
a judge (an endpoint on this machine) as `trl_reward`, the notebook on Unsloth from top to bottom, and `train`. Left
out: whatever needs a GPU, Unsloth itself first of all.
"""

import argparse
import contextlib
import io
import itertools
import json
import os
import pickle
import re
import sys
import tempfile
import time
import tomllib
import traceback
from importlib.metadata import version
from pathlib import Path

import children

ROOT = Path(__file__).parents[1]
LIBRARIES = ("trl", "transformers", "torch", "peft", "accelerate", "datasets", "openai")
NOTEBOOK = ("trl==0.22.2", "transformers==4.56.2", "peft", "accelerate", "datasets", "pandas")
ANSWER = r"(\S)"
INSTALL_SECONDS, CHECK_SECONDS = 3600.0, 600.0


def requirements(name: str) -> list[str]:
    """What pip is to install for an environment."""
    pins = (ROOT / "constraints.txt").read_text("utf-8")
    torch = re.search(r"^torch==\S+", pins, re.MULTILINE)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    train = [wish for wish in extras["train"] if not wish.startswith(("torch", "trl"))]
    trl = next(wish for wish in extras["train"] if wish.startswith("trl"))
    libraries = {"notebook": NOTEBOOK, "bound": (trl, *train), "newest": ("trl", *train)}[name]
    return [torch[0] if torch else "torch", *libraries]


def make(name: str) -> Path:
    """The interpreter of an environment, which is made or brought up to date."""
    folder = ROOT / ".venv" / f"compat-{name}"
    python = folder / "bin" / "python"
    if not python.exists():
        children.run([sys.executable, "-m", "venv", folder], check=True)
    command = [python, "-m", "pip", "install", "--quiet", "--upgrade", *requirements(name), "--editable", str(ROOT)]
    children.run(command, timeout=INSTALL_SECONDS, check=True, env=_without_constraints())
    return python


def _without_constraints() -> dict[str, str]:
    """This environment's variables without the project's pins, which are for another TRL."""
    return {key: value for key, value in os.environ.items() if key not in ("PIP_CONSTRAINT", "PIP_BUILD_CONSTRAINT")}


# In the environment.


def train_by(reward: object, folder: Path) -> str:
    """Two steps of TRL's trainer with `reward`."""
    import torch
    from datasets import Dataset
    from tiny import tiny_model
    from trl import GRPOConfig, GRPOTrainer

    from catlite.training.trl.compat import CALLS_US, trl_since

    if trl_since(CALLS_US) and not torch.cuda.is_available():  # whose own loss needs a GPU
        from catlite.training.trl.trainer import CatGRPOTrainer as GRPOTrainer

    rows = [{"prompt": [{"role": "user", "content": f"Say {number}"}], "answer": "gold"} for number in range(8)]
    trainer = GRPOTrainer(
        model=str(tiny_model(folder / "model")),
        reward_funcs=[reward],
        args=GRPOConfig(
            output_dir=str(folder),
            max_steps=2,
            per_device_train_batch_size=8,
            num_generations=4,
            max_completion_length=16,
            use_cpu=True,
            bf16=False,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
        ),
        train_dataset=Dataset.from_list(rows),
    )
    trainer.train()
    means = [log["reward"] for log in trainer.state.log_history if "reward" in log]
    assert len(means) == 2
    assert any(means), "no rollout had a reward"
    return f"rewards {', '.join(f'{mean:.3f}' for mean in means)}"


def vote(folder: Path) -> str:
    """`trl_reward` by a vote, as another process would get it."""
    import catlite

    reward = catlite.trl_reward(catlite.MajorityVote(), answer_format=ANSWER, num_generations=4)
    return train_by(pickle.loads(pickle.dumps(reward)), folder)


def judge(folder: Path) -> str:
    """`trl_reward` by a synthesis and a judge's score, both asked of an endpoint over HTTP."""
    from server import Server

    import catlite

    scores = itertools.count()
    with Server(lambda *_: str(1 + next(scores) % 10)) as server:
        endpoint = catlite.Endpoint("test-model", base_url=server.url, api_key=server.key)
        reward = catlite.ModelAsJudge(endpoint, scale=True)
        result = train_by(catlite.trl_reward(catlite.Synthesis(endpoint), reward, num_generations=4), folder)
        return f"{result}, {server.completions} calls"


def notebook(folder: Path) -> str:
    """The cells of the notebook on Unsloth, but for the one that installs."""
    cells = json.loads((ROOT / "notebooks" / "06_unsloth_notebook.ipynb").read_text("utf-8"))["cells"]
    names: dict[str, object] = {}
    for cell in cells:
        if cell["cell_type"] == "code" and cell["id"] != "install":
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    return str(names["cat"].last.rewards)  # type: ignore[attr-defined]


def train(folder: Path) -> str:
    """`catlite.train`, with checks, and the adapter loaded again."""
    from tiny import tiny_model

    import catlite

    model = tiny_model(folder / "model")
    task = catlite.Task("letters", tuple(catlite.Example(f"Say {n}", answer_format=ANSWER) for n in range(8)))
    config = catlite.TrainConfig.small(sampling={"temperature": 1.0})
    trained = catlite.train(task, catlite.LocalModel(model), estimator=catlite.MajorityVote(), config=config)
    again = catlite.LocalModel(model, adapter=trained.adapter)
    before, after = (one.weights.adapter_digest() for one in (trained.policy, again))
    assert before == after != "none"
    return str(trained.ended)


CHECKS = {
    "notebook": (vote, judge, notebook),
    "bound": (vote, judge, notebook, train),
    "newest": (vote, judge, notebook, train),
}


def check(name: str) -> bool:
    """Run the checks of an environment in this process, which is one of it."""
    print(f"\n{name}: Python {sys.version.split()[0]},", ", ".join(f"{each} {version(each)}" for each in LIBRARIES))
    fine = True
    for run in CHECKS[name]:
        started, output = time.monotonic(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            try:
                with tempfile.TemporaryDirectory() as folder:
                    result = run(Path(folder))
            except Exception:
                fine, result = False, f"{output.getvalue()}\n{traceback.format_exc()}"
        print(f"  {run.__name__}: {time.monotonic() - started:.1f} s, {result}", flush=True)
    return fine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(CHECKS), metavar="NAME", help=", ".join(CHECKS))
    parser.add_argument("--inside", choices=CHECKS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        sys.exit(not check(arguments.inside))
    children.answer_interrupts()
    fine = {}
    for name in arguments.names:
        command = [make(name), __file__, "--inside", name]
        fine[name] = children.run(command, timeout=CHECK_SECONDS, check=False).returncode == 0
    sys.exit(not all(works for name, works in fine.items() if name != "newest"))


if __name__ == "__main__":
    main()
