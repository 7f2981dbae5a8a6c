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

from catlite.cli.flags import in_flags
from catlite.cli.options import Parser
from catlite.cli.parser import build_parser
from catlite.errors import CatliteError, ConfigError
from catlite.reprs import in_full
from catlite.text import visible


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command of `argv`, by default of the command line, and return its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a model may write what a terminal cannot
    parser: argparse.ArgumentParser = Parser(add_help=False)  # until it is known which command it is
    try:
        arguments = build_parser().parse_args(argv)
        parser = arguments.parser
        code: int = arguments.call(arguments)
        sys.stdout.flush()
    except ConfigError as error:
        return _fail(error, 2, parser)
    except CatliteError as error:
        # What was paid for is shown before the reason why it did not suffice.
        if error.group is not None:
            print(in_full(error.group), file=sys.stderr)
        return _fail(error, 1, parser)
    except UnicodeDecodeError as error:
        return _fail(ConfigError(f"the input is not {error.encoding}: byte {error.start}: {error.reason}"), 2, parser)
    except KeyboardInterrupt as error:
        print(f"catlite: {str(error) or 'interrupted'}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has left (`| head`): nobody to tell, and nothing to flush at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(error, 1, parser)
    return code


def _fail(error: Exception, code: int, parser: argparse.ArgumentParser) -> int:
    message = " ".join(in_flags(str(error), parser).split())
    print("catlite: " + visible(message), file=sys.stderr)
    return code
