"""`catlite evaluate`: a single sample and estimators, scored on a task with answers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import catlite
from catlite.cli.options import ESTIMATORS, add_command, add_model, add_run, estimator, of_run, opened
from catlite.data import Task
from catlite.errors import ConfigError

if TYPE_CHECKING:
    from catlite.cli.options import Commands

_TASKS = ("gsm8k", "math500", "times_tables")
_OWN = ("prompt", "answer", "id", "answer_format")  # how a file of the user's own is read


def add(commands: Commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "evaluate",
        _evaluate,
        summary="score a single sample and estimators on a task with answers",
        description="Scores a single sample of the model and each estimator, with standard errors and costs.",
    )
    parser.add_argument("task", help=f"{', '.join(_TASKS)}, or a CSV, TSV, JSONL or JSON file of your own")
    parser.add_argument("--path", help="the file of a named task, when it is on this machine already")
    own = parser.add_argument_group("a file of your own")
    own.add_argument("--prompt", metavar="COLUMN", help='the column with the question (default: "prompt")')
    own.add_argument("--answer", metavar="COLUMN", help='the column with the right answer (default: "answer")')
    own.add_argument("--id", metavar="COLUMN", help="the column with a name for the question (default: its number)")
    own.add_argument("--answer-format", help='"boxed", or a regular expression with one group: how a reply ends')
    parser.add_argument("--limit", type=int, help="so many questions, drawn by --seed (default: all)")
    parser.add_argument("--estimators", default="majority,synthesis", help=f"from {', '.join(sorted(ESTIMATORS))}")
    parser.add_argument("--repeats", type=int, default=1, help="how often each question is sampled anew (default: 1)")
    add_model(parser)
    add_run(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _evaluate(arguments: argparse.Namespace) -> int:
    task = _task(arguments)
    names = arguments.estimators.split(",")
    with opened(arguments) as model:
        estimators = [estimator(name, model, arguments) for name in names]
        settings = of_run(arguments, names)
        result = catlite.evaluate(task, model, estimators=estimators, n_repeats=arguments.repeats, **settings)
    print(result.summary.reset_index().to_json(orient="records", indent=2) if arguments.json else result)
    return 1 if result.stopped is not None else 0


def _task(arguments: argparse.Namespace) -> Task:
    draw = {"limit": arguments.limit, "seed": arguments.seed or 0}
    own = {name: value for name in _OWN if (value := getattr(arguments, name)) is not None}
    if arguments.task not in _TASKS:
        if not Path(arguments.task).expanduser().exists():
            raise ConfigError(f"there is no task {arguments.task!r} and no such file: tasks are {', '.join(_TASKS)}")
        return catlite.from_records(arguments.task, **{"answer": "answer", **own}, **draw)
    if own:
        options = ", ".join("--" + name.replace("_", "-") for name in own)
        raise ConfigError(f"{options} goes with a file of your own: {arguments.task} knows its own columns")
    if arguments.task == "times_tables":
        return catlite.times_tables(**draw)
    return (catlite.math500 if arguments.task == "math500" else catlite.gsm8k)(arguments.path, **draw)
