"""The `catlite` command. Results go to stdout, everything else to stderr.

Exit codes: 0 done, 1 it failed, 2 wrong use, 130 interrupted. Keys come from the environment only, since a command
line is visible to every process of the machine.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

import catlite
from catlite.cli import demo, estimate, evaluate, judge, report, rubric, synthesize, train
from catlite.cli.options import EXAMPLES, Parser
from catlite.errors import CatliteError, ConfigError
from catlite.text import rollouts_text, visible


def _parser() -> Parser:
    parser = Parser(
        prog="catlite",
        description="Better answers from parallel rollouts, without ground truth (Compute as Teacher).",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"catlite {catlite.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    for command in (
        synthesize,
        estimate,
        evaluate,
        train,
        rubric,
        judge,
        report,
        demo,
    ):  # in the order --help lists them
        command.add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a model may write what a terminal cannot
    try:
        arguments = _parser().parse_args(argv)
        code: int = arguments.run(arguments)
        sys.stdout.flush()
    except ConfigError as error:
        return _fail(error, 2)
    except CatliteError as error:
        # What was paid for is shown before the reason why it did not suffice.
        if error.group is not None:
            print(rollouts_text(error.group), file=sys.stderr)
        return _fail(error, 1)
    except UnicodeDecodeError as error:
        return _fail(ConfigError(f"the input is not {error.encoding}: byte {error.start}: {error.reason}"), 2)
    except KeyboardInterrupt as error:
        print(f"catlite: {str(error) or 'interrupted'}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has left (`| head`): nobody to tell, and nothing to flush at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(error, 1)
    return code


def _fail(error: Exception, code: int) -> int:
    print("catlite: " + visible(" ".join(str(error).split())), file=sys.stderr)
    return code
