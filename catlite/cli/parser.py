"""The parser of the `catlite` command, with all its sub-commands; docs/cli.md is made from it."""

from __future__ import annotations

import catlite
from catlite.cli import demo, estimate, evaluate, judge, report, rubric, synthesize, train
from catlite.cli.options import Parser

_EXAMPLES = """\
examples:
  catlite demo
  catlite synthesize "Why is the sky blue?" --model gpt-4o-mini
  catlite estimate questions.csv --prompt question --model gpt-4o-mini
  catlite evaluate math500 --limit 50 --model gpt-4o-mini --run runs/math
  catlite report runs/math

`catlite COMMAND --help` has the options of a command, and more examples.
"""


def build_parser() -> Parser:
    """Build the parser of all commands, in the order in which --help lists them."""
    parser = Parser(
        prog="catlite",
        description="Better answers from parallel rollouts, without ground truth (Compute as Teacher).",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"catlite {catlite.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for command in (synthesize, estimate, evaluate, train, rubric, judge, report, demo):
        command.add(commands)
    return parser
