"""`catlite estimate`: a file of questions in, a JSON line per reference out."""

from __future__ import annotations

import argparse
import json
import sys

import catlite
from catlite.cli.flags import in_flags
from catlite.cli.options import (
    ESTIMATORS,
    Commands,
    add_command,
    add_dry_run,
    add_limit,
    add_model,
    add_own,
    add_run,
    check_names,
    drawn,
    estimator,
    of_run,
    opened,
    own,
    print_cost,
)


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "estimate",
        _estimate,
        summary="estimate a reference for every question of a file, without labels",
        description="Writes one JSON line per question of a CSV, JSONL or JSON file: its reference, without labels.",
        examples="""
            catlite estimate questions.csv --prompt question --model gpt-4o-mini
            catlite estimate questions.jsonl --model gpt-4o-mini --run runs/q \\
                --max-tokens 800 --budget-usd 2 > references.jsonl
            catlite estimate sums.csv --answer-format boxed --ask \\
                --estimator majority --model gpt-4o-mini
        """,
    )
    parser.add_argument("file", help="a CSV, TSV, JSONL or JSON file with one question a row")
    add_own(parser)
    add_limit(parser)
    parser.add_argument(
        "--estimator",
        metavar="NAME",
        default="synthesis",
        help=f"one of {', '.join(sorted(ESTIMATORS))} (default: synthesis)",
    )
    add_model(parser)
    add_run(parser)
    add_dry_run(parser)


def _estimate(arguments: argparse.Namespace) -> int:
    check_names([arguments.estimator])
    task = catlite.from_records(arguments.file, **own(arguments), **drawn(arguments))
    with opened(arguments) as model:
        chosen = estimator(arguments.estimator, model, arguments)
        settings = of_run(arguments, [arguments.estimator]) | {"estimator": chosen}
        if arguments.dry_run is not None:
            return print_cost(arguments, catlite.estimate, task, model, **settings)
        references = catlite.estimate(task, model, **settings)
    failed = [reference for reference in references if reference.error is not None]
    for example, reference in zip(task, references, strict=True):
        line = {"id": example.id, "text": reference.text, "answer": reference.answer, "support": reference.support}
        print(json.dumps(line | {"notes": reference.notes, "error": reference.error}))
    if failed:
        reason = in_flags(" ".join(str(failed[0].error).split()), arguments.parser)
        print(f"catlite: {len(failed)} of {len(references)} questions have no reference: {reason}", file=sys.stderr)
    return 1 if failed else 0
