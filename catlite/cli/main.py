"""The `catlite` command. Results go to stdout, everything else to stderr.

Exit codes: 0 done, 1 it failed, 2 wrong use, 130 interrupted. Keys come from the environment only, since a command
line is visible to every process of the machine. docs/cli.md is made from the parser.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import catlite
from catlite.cli import demo, estimate, evaluate, judge, report, rubric, serve, synthesize, train
from catlite.cli.options import Parser
from catlite.errors import CatliteError, ConfigError
from catlite.reprs import in_full

_EXAMPLES = """\
examples:
  catlite demo
  catlite synthesize "Why is the sky blue?" --model gpt-4o-mini
  catlite estimate questions.csv --prompt question --model gpt-4o-mini
  catlite evaluate math500 --limit 50 --model gpt-4o-mini --run runs/math
  catlite report runs/math

`catlite COMMAND --help` has the options of a command, and more examples.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command of `argv`, by default of the command line, and return its exit code."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed by whoever started this
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - open to the end, as the others are
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a model may write what a terminal cannot
    parser = Parser(add_help=False)  # until it is known which command it is
    try:
        arguments = build_parser().parse_args(argv)
        parser = arguments.parser
        code: int = arguments.call(arguments)
        sys.stdout.flush()
    except ConfigError as error:
        return parser.fail(error, 2)
    except CatliteError as error:
        # What was paid for is shown before the reason why it did not suffice.
        if error.group is not None:
            print(in_full(error.group), file=sys.stderr)
        return parser.fail(error, 1)
    except UnicodeDecodeError as error:
        return parser.fail(ConfigError(f"the input is not {error.encoding}: byte {error.start}: {error.reason}"), 2)
    except KeyboardInterrupt as error:
        return parser.fail(KeyboardInterrupt(str(error) or "interrupted"), 130)
    except BrokenPipeError:
        # The reader has left (`| head`): nobody to tell, and nothing to flush at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return parser.fail(error, 1)
    return code


def build_parser() -> Parser:
    """Build the parser of all commands, in the order in which --help lists them."""
    parser = Parser(
        prog="catlite",
        description="Better answers from parallel rollouts, without ground truth (Compute as Teacher).",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"catlite {catlite.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for command in (synthesize, estimate, evaluate, train, rubric, judge, serve, report, demo):
        command.add(commands)
    return parser
