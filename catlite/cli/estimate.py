"""`catlite estimate`: a file of questions in, a JSON line per reference out, or a file of them."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from pathlib import Path

import catlite
from catlite.cli import options
from catlite.cli.flags import in_flags
from catlite.data import Reference
from catlite.errors import ConfigError, StoreError
from catlite.references import files
from catlite.references.dataset import References
from catlite.text import plural


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(
        commands,
        "estimate",
        _estimate,
        summary="estimate a reference for every question of a file, without labels",
        description="Writes one JSON line per question of a file: its reference, without labels.",
        examples="""
            catlite estimate questions.csv --prompt question --model gpt-4o-mini
            catlite estimate questions.jsonl --model gpt-4o-mini --run runs/q \\
                --max-tokens 800 --budget-usd 2 --out references.parquet
            catlite estimate sums.csv --answer-format boxed --ask \\
                --estimator majority --model gpt-4o-mini
            catlite estimate questions.parquet --model Qwen/Qwen3-8B --run /mnt/shared/q \\
                --base-url http://10.0.0.9:8000/v1 --engine ray --address 10.0.0.5:6379
        """,
    )
    parser.add_argument("file", help="a CSV, TSV, JSONL, JSON or Parquet file with one question a row")
    options.add_own(parser)
    options.add_limit(parser)
    options.add_estimator(parser)
    options.add_model(parser)
    options.add_run(parser)
    options.add_option(
        parser,
        "--out",
        "FILE",
        "write the references to this Parquet, JSONL or CSV file instead of printing them, with the columns that "
        "trainers read; questions without a reference are left out",
    )
    parser.add_argument(
        "--engine",
        choices=["asyncio", "ray"],
        default="asyncio",
        help="asyncio: one process (default); ray: actors on the nodes of a Ray cluster, which need --run on storage "
        "that all of them mount",
    )
    options.add_option(parser, "--address", "HOST:PORT", "the Ray cluster (default: RAY_ADDRESS, else this machine)")
    options.add_option(parser, "--actors", "N", "actors of Ray, each with --max-connections (default: one per node)")
    options.add_dry_run(parser)


def _estimate(arguments: argparse.Namespace) -> int:
    options.check_names([arguments.estimator])
    out = None if arguments.out is None else Path(arguments.out)
    if out is not None:
        files.check_path(out)
        if out.exists() and Path(arguments.file).exists() and out.samefile(arguments.file):
            raise ConfigError(f"--out {out} is the file of questions: give another one to write")
    for flag in ("address", "actors"):
        if arguments.engine != "ray" and getattr(arguments, flag) is not None:
            raise ConfigError(f"--{flag} goes with --engine ray")
    if arguments.engine == "ray" and arguments.run is None:
        raise ConfigError("--engine ray needs --run, a folder that all nodes mount, in which replies are kept")
    task = catlite.from_records(arguments.file, **options.own(arguments), **options.drawn(arguments))
    with options.opened(arguments) as model:
        chosen = options.estimator(arguments.estimator, model, arguments)
        settings = options.of_run(arguments, [arguments.estimator]) | {"estimator": chosen}
        if arguments.dry_run is not None:
            return options.print_cost(arguments, catlite.estimate, task, model, **settings)
        if arguments.engine == "ray":
            from catlite.scale import ray_data

            where = {"address": arguments.address, "actors": arguments.actors}
            references = ray_data.estimate(task, model, **settings, **where)
        else:
            references = catlite.estimate(task, model, **settings)
    if out is None:
        _print(references)
    written = out is None or _save(references, out)
    failed = [reference for reference in references if reference.error is not None]
    if failed:
        reason = in_flags(" ".join(str(failed[0].error).split()), arguments.parser)
        print(f"catlite: {len(failed)} of {len(references)} questions have no reference: {reason}", file=sys.stderr)
    return 1 if failed or not written else 0


def _print(references: Iterable[Reference]) -> None:
    for reference in references:
        line = {name: getattr(reference, name) for name in ("text", "answer", "support", "notes", "error")}
        print(json.dumps({"id": reference.group.example.id} | line))


def _save(references: References, out: Path) -> bool:
    """Write the usable references to `out` and tell how many; return whether there are any.

    Where that fails, print all, since they are paid for.
    """
    rows = [row for row in files.rows(references) if row["completion"] is not None]
    incomplete = len(references) - len(references.failed) - len(rows)
    if incomplete:
        print(f"catlite: {incomplete} of {len(references)} left out: cut off, or abstained", file=sys.stderr)
    if not rows:
        print(f"catlite: no reference, so {out} is not written", file=sys.stderr)
        return False
    try:
        print(f"{files.save(rows, out)}: {plural(len(rows), 'reference')}")
    except StoreError:
        _print(references)
        raise
    return True
