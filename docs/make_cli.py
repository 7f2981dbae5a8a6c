"""Write docs/cli.md from the parsers of the command: python docs/make_cli.py."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator
from pathlib import Path

from catlite.cli.main import build_parser

PAGE = Path(__file__).with_name("cli.md")
_HEAD = """\
<!-- Made by docs/make_cli.py from the parsers: change a command's help there, then run it again. -->

# Command line

`catlite COMMAND` prints its result on stdout and all else on stderr. It exits with 0 when it is done, 1 when
it failed, 2 for wrong use and 130 when it was interrupted. Keys come from the environment only
(`OPENAI_API_KEY`), since every process of the machine can read a command line. An option has the name that
the argument has in Python: `--max-tokens` is `max_tokens=`, `--run` is `run=`.
"""


def page() -> str:
    """Make the page: a section per command, with its examples and its options."""
    parser = build_parser()
    subparsers = next(action for action in parser._actions if action.dest == "command")  # noqa: SLF001 - no public way
    assert isinstance(subparsers.choices, dict)
    return "\n".join([_HEAD, *(line for command in subparsers.choices.values() for line in _section(command))])


def _section(parser: argparse.ArgumentParser) -> Iterator[str]:
    examples = textwrap.dedent((parser.epilog or "").removeprefix("examples:\n"))
    yield f"## {parser.prog}\n\n{_wrapped(parser.description or '')}\n\n```sh\n{examples}\n```\n"
    formatter = parser._get_formatter()  # noqa: SLF001 - what fills in %(default)s
    for group in parser._action_groups:  # noqa: SLF001
        actions = [action for action in group._group_actions if action.dest != "help"]  # noqa: SLF001
        if actions and group.title not in ("positional arguments", "options"):
            yield f"\n{str(group.title).capitalize()}:\n"
        for action in actions:
            meaning = formatter._expand_help(action) if action.help else ""  # noqa: SLF001
            yield _wrapped(f"{_name(action)}: {meaning}".removesuffix(": "), "* ")
    yield ""


def _name(action: argparse.Action) -> str:
    """Write an option with what it takes, as in `--n N`."""
    choices = "" if action.choices is None else "{" + ",".join(map(str, action.choices)) + "}"
    takes = "" if action.nargs == 0 else action.metavar or choices or action.dest
    return f"`{', '.join(action.option_strings)} {takes}".rstrip().replace("` ", "`") + "`"


def _wrapped(text: str, bullet: str = "") -> str:
    indent = " " * len(bullet)
    return textwrap.fill(
        text, 110, initial_indent=bullet, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
