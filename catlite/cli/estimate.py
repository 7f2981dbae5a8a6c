"""`catlite estimate`: a file of questions in, a JSON line per reference out."""

from __future__ import annotations

import argparse
import json
import sys

import catlite
from catlite.cli import options
from catlite.cli.flags import in_flags


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(
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
    options.add_own(parser)
    options.add_limit(parser)
    options.add_estimator(parser)
    options.add_model(parser)
    options.add_run(parser)
    options.add_dry_run(parser)


def _estimate(arguments: argparse.Namespace) -> int:
    options.check_names([arguments.estimator])
    task = catlite.from_records(arguments.file, **options.own(arguments), **options.drawn(arguments))
    with options.opened(arguments) as model:
        chosen = options.estimator(arguments.estimator, model, arguments)
        settings = options.of_run(arguments, [arguments.estimator]) | {"estimator": chosen}
        if arguments.dry_run is not None:
            return options.print_cost(arguments, catlite.estimate, task, model, **settings)
        references = catlite.estimate(task, model, **settings)
    failed = [reference for reference in references if reference.error is not None]
    for example, reference in zip(task, references, strict=True):
        line = {"id": example.id, "text": reference.text, "answer": reference.answer, "support": reference.support}
        print(json.dumps(line | {"notes": reference.notes, "error": reference.error}))
    if failed:
        reason = in_flags(" ".join(str(failed[0].error).split()), arguments.parser)
        print(f"catlite: {len(failed)} of {len(references)} questions have no reference: {reason}", file=sys.stderr)
    return 1 if failed else 0
