"""`catlite evaluate`: a single sample and estimators, scored on a task with answers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

import catlite
from catlite.analysis.official import official
from catlite.cli.flags import in_flags
from catlite.cli.options import (
    ESTIMATORS,
    Commands,
    add_command,
    add_dry_run,
    add_judge,
    add_limit,
    add_model,
    add_own,
    add_run,
    check_judge,
    check_names,
    estimator,
    judge,
    of_run,
    opened,
    own,
    print_cost,
    read_task,
)
from catlite.coerce import TASKS
from catlite.data import Reward, Task
from catlite.errors import ConfigError
from catlite.tasks.healthbench import FILES

_GRADERS = ("answer", "expert", "model")
_BY_RUBRIC = ("healthbench", "healthbench_professional")  # tasks whose examples have one
_OWN = ("answer", "rubric", "id")  # columns that only this command reads


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "evaluate",
        _evaluate,
        summary="score a single sample and estimators on a task with answers",
        description="Scores a single sample of the model and each estimator, with standard errors and costs.",
        examples="""
            catlite evaluate math500 --limit 50 --model gpt-4o-mini --run runs/math
            catlite evaluate sums.csv --prompt question --answer result \\
                --answer-format boxed --ask --model gpt-4o-mini --run runs/sums
            catlite evaluate healthbench --limit 20 --model gpt-4o-mini \\
                --judge gpt-4o --run runs/health --max-tokens 1500
            catlite evaluate healthbench --n 1 --estimators none --model gpt-4.1-mini \\
                --judge gpt-4.1 --max-tokens 1000 --dry-run
        """,
    )
    parser.add_argument("task", help=f"{', '.join(TASKS)}, or a CSV, TSV, JSONL or JSON file of your own")
    parser.add_argument(
        "--path", metavar="FILE", help="where the file of a named task is, if it is on this machine already"
    )
    parser.add_argument(
        "--subset", choices=sorted(FILES), default="all", help="which part of healthbench (default: all)"
    )
    own_file = parser.add_argument_group("a file of your own")
    add_own(own_file)
    own_file.add_argument(
        "--answer",
        metavar="COLUMN",
        help='the column with the right answer (default: "answer", or none where there is a --rubric)',
    )
    own_file.add_argument("--rubric", metavar="COLUMN", help="the column with a list of criteria, for --grader expert")
    own_file.add_argument("--id", metavar="COLUMN", help="the column that names the question (default: its number)")
    add_limit(parser)
    parser.add_argument(
        "--estimators",
        action="append",
        metavar="NAMES",
        help=f"names separated by commas: {', '.join(sorted(ESTIMATORS))}; or none, for the single sample alone "
        "(default: synthesis, and majority where there are answers)",
    )
    parser.add_argument(
        "--n-repeats", metavar="N", type=int, default=1, help="how often each question is sampled anew (default: 1)"
    )
    add_model(parser)
    add_run(parser)
    add_dry_run(parser)
    grading = parser.add_argument_group("grading")
    grading.add_argument(
        "--grader",
        choices=_GRADERS,
        help="answer: compare final answers (default); expert: a judge goes by the rubric of each example (default for "
        "HealthBench); model: a judge says whether a reply says the same as the answer",
    )
    add_judge(grading, "judge-")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _evaluate(arguments: argparse.Namespace) -> int:
    # What was typed is checked before a task or a model is fetched.
    chosen = ",".join(arguments.estimators).split(",") if arguments.estimators else None
    chosen = [] if chosen == ["none"] else chosen
    check_names(chosen or [])
    by_rubric = arguments.task in _BY_RUBRIC or arguments.rubric is not None
    kind = arguments.grader or ("expert" if by_rubric else "answer")
    if kind == "answer" and arguments.judge is not None:
        raise ConfigError("--judge goes with --grader expert or model: final answers are compared without one")
    if kind != "answer":
        check_judge(arguments)
    task = _task(arguments)
    usual = ["majority", "synthesis"] if task.verifiable else ["synthesis"]
    names = usual if chosen is None else chosen
    with opened(arguments) as model, _grader(kind, arguments) as grader:
        estimators = [estimator(name, model, arguments) for name in names]
        settings = of_run(arguments, names) | {"n_repeats": arguments.n_repeats, "grader": grader}
        if arguments.dry_run is not None:
            return print_cost(arguments, catlite.evaluate, task, model, estimators=estimators, **settings)
        result = catlite.evaluate(task, model, estimators=estimators, **settings)
    summary = result.summary.reset_index()
    print(summary.to_json(orient="records", indent=2) if arguments.json else _text(result, arguments))
    hard = not arguments.json and arguments.judge_mode != "soft"
    if arguments.task in _BY_RUBRIC and hard and any(row.judgement for row in result.rows):
        print("\nHealthBench's own metrics (means clipped to [0, 1], ± deviation of 1,000 resamples):")
        print(official(result).round(3).to_string(index=False))
    return 1 if result.stopped is not None else 0


def _text(result: catlite.Evaluation, arguments: argparse.Namespace) -> str:
    """The table, with its notes in the words of the command line."""
    text = str(result)
    for note in result.notes:
        text = text.replace(note, in_flags(note, arguments.parser))
    return text


@contextmanager
def _grader(kind: str, arguments: argparse.Namespace) -> Iterator[Reward | None]:
    """The grader of that kind, with its judge open; None is evaluate's own, by final answers."""
    if kind == "answer":
        yield None
        return
    limit = arguments.judge_max_tokens
    with judge(arguments) as model:
        if kind == "expert":
            yield catlite.ExpertRubric(model, mode=arguments.judge_mode, max_tokens=limit)
        else:
            yield catlite.ModelAsJudge(model, max_tokens=limit)


def _task(arguments: argparse.Namespace) -> Task:
    columns = own(arguments) | {name: value for name in _OWN if (value := getattr(arguments, name)) is not None}
    if arguments.task not in TASKS and "rubric" not in columns:
        columns = {"answer": "answer", **columns}
    return read_task(arguments, columns)
