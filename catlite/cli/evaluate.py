"""`catlite evaluate`: a single sample and estimators, scored on a task with answers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager

import catlite
from catlite.analysis.official import official
from catlite.cli import options
from catlite.cli.flags import in_flags
from catlite.cli.options import add_option
from catlite.coerce import TASKS
from catlite.data import Reward, Task
from catlite.errors import ConfigError
from catlite.tasks.healthbench import FILES

_GRADERS = ("answer", "expert", "model")
_BY_RUBRIC = ("healthbench", "healthbench_professional")  # tasks whose examples have one
_OWN = ("answer", "rubric", "id")  # columns that only this command reads


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(
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
    options.add_task(parser)
    parser.add_argument(
        "--subset", choices=sorted(FILES), default="all", help="which part of healthbench (default: all)"
    )
    own_file = parser.add_argument_group("a file of your own")
    options.add_own(own_file)
    right = 'the column with the right answer (default: "answer", or none where there is a --rubric)'
    add_option(own_file, "--answer", "COLUMN", right)
    add_option(own_file, "--rubric", "COLUMN", "the column with a list of criteria, for --grader expert")
    add_option(own_file, "--id", "COLUMN", "the column that names the question (default: its number)")
    options.add_limit(parser)
    add_option(
        parser,
        "--estimators",
        "NAMES",
        f"names separated by commas: {', '.join(sorted(options.ESTIMATORS))}; or none, for the single sample alone "
        "(default: synthesis, and majority where there are answers)",
        action="append",
    )
    add_option(parser, "--n-repeats", "N", "how often each question is sampled anew (default: 1)", default=1)
    options.add_model(parser)
    options.add_run(parser)
    options.add_dry_run(parser)
    grading = parser.add_argument_group("grading")
    grading.add_argument(
        "--grader",
        choices=_GRADERS,
        help="answer: compare final answers (default); expert: a judge goes by the rubric of each example (default for "
        "HealthBench); model: a judge says whether a reply says the same as the answer",
    )
    options.add_judge(grading, "judge-")
    parser.add_argument("--json", action="store_true", help="print the summary, or the cost of --dry-run, as JSON")


def _evaluate(arguments: argparse.Namespace) -> int:
    # What was typed is checked before a task or a model is fetched.
    chosen = ",".join(arguments.estimators).split(",") if arguments.estimators else None
    chosen = [] if chosen == ["none"] else chosen
    options.check_names(chosen or [])
    by_rubric = arguments.task in _BY_RUBRIC or arguments.rubric is not None
    kind = arguments.grader or ("expert" if by_rubric else "answer")
    if kind == "answer" and arguments.judge is not None:
        raise ConfigError("--judge goes with --grader expert or model: final answers are compared without one")
    if kind != "answer":
        options.check_judge(arguments)
    task = _task(arguments)
    usual = ["majority", "synthesis"] if task.verifiable else ["synthesis"]
    names = usual if chosen is None else chosen
    with options.opened(arguments) as model, _grader(kind, arguments) as grader:
        estimators = [options.estimator(name, model, arguments) for name in names]
        settings = options.of_run(arguments, names) | {"n_repeats": arguments.n_repeats, "grader": grader}
        if arguments.dry_run is not None:
            return options.print_cost(arguments, catlite.evaluate, task, model, estimators=estimators, **settings)
        result = catlite.evaluate(task, model, estimators=estimators, **settings)
    summary = result.summary.reset_index()
    table = str(result)
    for note in result.notes:
        table = table.replace(note, in_flags(note, arguments.parser))
    print(summary.to_json(orient="records", indent=2) if arguments.json else table)
    hard = not arguments.json and arguments.judge_mode in ("single", "batch")
    if arguments.task in _BY_RUBRIC and hard and any(row.judgement for row in result.rows):
        print("\nHealthBench's own metrics (means clipped to [0, 1], ± deviation of 1,000 resamples):")
        print(official(result).round(3).to_string(index=False))
    return 1 if result.stopped is not None else 0


@contextmanager
def _grader(kind: str, arguments: argparse.Namespace) -> Iterator[Reward | None]:
    """The grader of that kind, with its judge open; None is evaluate's own, by final answers."""
    if kind == "answer":
        yield None
        return
    limit = arguments.judge_max_tokens
    with options.judge(arguments) as model:
        if kind == "expert":
            yield catlite.ExpertRubric(model, mode=arguments.judge_mode, max_tokens=limit)
        else:
            yield catlite.ModelAsJudge(model, max_tokens=limit)


def _task(arguments: argparse.Namespace) -> Task:
    columns = options.own(arguments) | {name: value for name in _OWN if (value := getattr(arguments, name)) is not None}
    if arguments.task not in TASKS and "rubric" not in columns:
        columns = {"answer": "answer", **columns}
    return options.read_task(arguments, columns)
