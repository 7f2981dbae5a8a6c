"""`catlite report`: an evaluated run, or a training, as one HTML page."""

from __future__ import annotations

import argparse

import catlite
from catlite.cli.options import Commands, add_command, add_option


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "report",
        _report,
        summary="write an evaluated run, or a training, as one HTML page",
        description="Writes a run's scores, costs and questions as one HTML page that needs no network, "
        "and prints where.",
        examples="""
            catlite report runs/math
            catlite report runs/math --path math.html
        """,
    )
    parser.add_argument(
        "run", metavar="RUN", help="the folder that was --run of evaluate or train, or an evaluation.json"
    )
    add_option(parser, "--path", "FILE", "where the page is written (default: report.html in RUN)")


def _report(arguments: argparse.Namespace) -> int:
    print(catlite.report(arguments.run, arguments.path))
    return 0
