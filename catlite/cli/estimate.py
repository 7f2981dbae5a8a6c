"""`catlite estimate`: a file of questions in, a JSON line per reference out."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

import catlite
from catlite.cli.options import ESTIMATORS, add_command, add_model, add_run, estimator, of_run, opened

if TYPE_CHECKING:
    from catlite.cli.options import Commands


def add(commands: Commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "estimate",
        _estimate,
        summary="a reference for every question of a file, without labels",
        description="Writes one JSON line per question of a CSV, JSONL or JSON file: its reference, without labels.",
    )
    parser.add_argument("file", help="CSV, TSV, JSONL or JSON; one question a row")
    parser.add_argument("--prompt", default="prompt", help='the column with the question (default: "prompt")')
    parser.add_argument("--answer-format", help='"boxed", or a regular expression with one group, for a final answer')
    parser.add_argument("--limit", type=int, help="only the first so many questions")
    parser.add_argument("--estimator", default="synthesis", choices=sorted(ESTIMATORS), help="(default: synthesis)")
    add_model(parser)
    add_run(parser)


def _estimate(arguments: argparse.Namespace) -> int:
    task = catlite.from_records(
        arguments.file, prompt=arguments.prompt, answer_format=arguments.answer_format, limit=arguments.limit
    )
    with opened(arguments) as model:
        chosen = estimator(arguments.estimator, model, arguments)
        found = catlite.estimate(task, model, estimator=chosen, **of_run(arguments, [arguments.estimator]))
    failed = [reference for reference in found if reference.error is not None]
    for example, reference in zip(task, found, strict=True):
        line = {"id": example.id, "text": reference.text, "answer": reference.answer, "support": reference.support}
        print(json.dumps(line | {"notes": reference.notes, "error": reference.error}))
    if failed:
        reason = " ".join(str(failed[0].error).split())
        print(f"catlite: {len(failed)} of {len(found)} questions have no reference: {reason}", file=sys.stderr)
    return 1 if failed else 0
