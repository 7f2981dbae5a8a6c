"""`catlite evaluate`: a single sample and estimators, scored on a task with answers."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import catlite
from catlite.cli.options import ESTIMATORS, add_command, add_model, add_run, estimator, of_run, opened
from catlite.cli.progress import progress
from catlite.data import Task

if TYPE_CHECKING:
    from catlite.cli.options import Commands

_TASKS = ("gsm8k", "math500", "times_tables")


def add(commands: Commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "evaluate",
        _evaluate,
        summary="score a single sample and estimators on a task with answers",
        description="Scores a single sample of the model and each estimator, with standard errors and costs.",
    )
    parser.add_argument("task", choices=_TASKS, help="which task")
    parser.add_argument("--path", help="the task's file, when it is on this machine already")
    parser.add_argument("--limit", type=int, help="so many questions, drawn by --seed (default: all)")
    parser.add_argument("--estimators", default="majority,synthesis", help=f"from {', '.join(sorted(ESTIMATORS))}")
    add_model(parser)
    add_run(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _evaluate(arguments: argparse.Namespace) -> int:
    task = _task(arguments)
    with opened(arguments) as model, progress(len(task)) as bar:
        estimators = [estimator(name, model, arguments) for name in arguments.estimators.split(",")]
        result = catlite.evaluate(task, model, estimators=estimators, progress=bar, **of_run(arguments))
    print(result.summary.reset_index().to_json(orient="records", indent=2) if arguments.json else result)
    return 1 if result.stopped is not None else 0


def _task(arguments: argparse.Namespace) -> Task:
    limit, seed = arguments.limit, arguments.seed or 0
    if arguments.task == "times_tables":
        return catlite.times_tables(limit, seed)
    return (catlite.math500 if arguments.task == "math500" else catlite.gsm8k)(arguments.path, limit=limit, seed=seed)
