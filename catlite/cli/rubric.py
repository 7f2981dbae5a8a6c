"""`catlite rubric`: criteria out of a reference, as JSON that `catlite judge` reads."""

from __future__ import annotations

import argparse
import json
import sys

import catlite
from catlite import concurrency
from catlite.cli.options import Commands, add_command, add_model, add_option, opened, read_stdin
from catlite.cli.waiting import on_terminal, waiting
from catlite.errors import ConfigError
from catlite.rewards.proposal import MOST
from catlite.text import usage_text


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "rubric",
        _rubric,
        summary="propose yes/no criteria from a reference",
        description="Has a model write criteria by which other responses to the same task can be judged.",
        examples="""
            catlite rubric "Zinc and iron compete: take them two hours apart." \\
                --model gpt-4o-mini > rubric.json
            catlite rubric --question "Can I take zinc with iron?" --model gpt-4o-mini
        """,
    )
    parser.add_argument("reference", nargs="?", help="the text of a good response; - reads it from stdin")
    add_option(parser, "--question", "TEXT", "propose from the question, without a response to it")
    add_option(parser, "--fewest", "N", "the fewest criteria (default: 5)", default=5)
    add_model(parser, rollouts=False)


def _rubric(arguments: argparse.Namespace) -> int:
    if (arguments.reference is None) == (arguments.question is None):
        raise ConfigError("give the text of a good response, or --question and the text of the question")
    reference = read_stdin() if arguments.reference == "-" else arguments.reference or ""
    with opened(arguments) as model, waiting(f"criteria from {arguments.model}"):
        limits = {"fewest": arguments.fewest, "most": max(MOST, arguments.fewest), "max_tokens": arguments.max_tokens}
        proposing = catlite.propose_rubric(reference, model, question=arguments.question, **limits)
        rubric, usage = concurrency.run(proposing)
    print(json.dumps([criterion.text for criterion in rubric.criteria], indent=2, ensure_ascii=False))
    if on_terminal():
        print(f"catlite: {usage_text(usage)}", file=sys.stderr)
    return 0
