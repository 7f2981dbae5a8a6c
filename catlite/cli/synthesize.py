"""`catlite synthesize`: one question, from the command line or a pipe."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict
from typing import Any

import catlite
from catlite.cli import options
from catlite.cli.flags import in_flags
from catlite.cli.waiting import on_terminal, waiting
from catlite.data import Message, Prompt, Reference
from catlite.errors import ConfigError
from catlite.messages import as_messages, extended
from catlite.models.base import Models
from catlite.models.naming import called
from catlite.reprs import in_full, models_text, support_text
from catlite.runs.progress import Live
from catlite.text import usage_text, visible


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(
        commands,
        "synthesize",
        _synthesize,
        summary="sample n rollouts of one question and reconcile them into one answer",
        description="Samples n rollouts of one question and has an anchor reconcile them into one answer.",
        examples="""
            catlite synthesize "Why is the sky blue?" --model gpt-4o-mini --rollouts
            catlite synthesize "What is 17 × 23? Answer in \\boxed{}." \\
                --answer-format boxed --model Qwen/Qwen3-4B \\
                --base-url http://localhost:8000/v1
            cat question.txt | catlite synthesize - --json | jq .answer
            catlite synthesize "Why is the sky blue?" --model gpt-4o-mini \\
                --run runs/sky --max-tokens 800 --budget-usd 0.05
            catlite synthesize "Why is the sky blue?" --model gpt-4o-mini=4 \\
                --model anthropic/claude-haiku-4-5=4
            catlite synthesize "Which bar is the highest?" --image chart.png \\
                --model gpt-4o-mini
            catlite synthesize "Say hello."  # the embedded model, which knows little
        """,
    )
    parser.add_argument("prompt", help="the question; - reads it from stdin; a JSON list of messages is a conversation")
    image = "an image that goes with the question, a file or an https address; may be repeated"
    options.add_option(parser, "--image", "FILE", image, action="append", default=[], dest="images")
    options.add_model(parser)
    anchor = "the model that reconciles (default: the same as --model)"
    options.add_option(parser, "--anchor", "NAME", anchor, action=options.Once)
    options.add_answer_format(parser)
    options.add_run(parser, connections=False)
    parser.add_argument("--include-question", action="store_true", help="also show the question to the anchor")
    parser.add_argument("--rollouts", action="store_true", help="also print the rollouts and what was spent")
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")


def _synthesize(arguments: argparse.Namespace) -> int:
    settings = {
        "anchor": arguments.anchor,
        "answer_format": arguments.answer_format,
        "include_question": arguments.include_question,
        "base_url": arguments.base_url,
        **options.of_run(arguments),
    }
    prompt = _prompt(arguments.prompt, arguments.images)
    if sys.stdout.isatty() and not (arguments.json or arguments.rollouts):
        reference = _print_as_written(prompt, options.models(arguments), **settings)
    else:
        reference = catlite.synthesize(prompt, options.models(arguments), **settings)
        text = in_full(reference) if arguments.rollouts else reference.text
        print(json.dumps(_as_json(reference), indent=2) if arguments.json else text)
    if not arguments.rollouts:
        for note in reference.notes:
            print(f"catlite: note: {in_flags(note, arguments.parser)}", file=sys.stderr)
        if on_terminal():
            parts = [support_text(reference), models_text(reference), usage_text(reference.total_usage)]
            print("catlite: " + "; ".join(part for part in parts if part), file=sys.stderr)
    return 0


def _print_as_written(prompt: Prompt, model: Models, *, n: int, progress: bool, **settings: Any) -> Reference:
    """Print the reference on a terminal while it is written, and before that how many rollouts have arrived."""
    view, written = Live(f"rollout{'s' * (n != 1)} of {called(model)}", n), ""
    reference: Reference | None = None
    with ExitStack() as line, closing(catlite.stream(prompt, model, n=n, **settings)) as events:
        if progress:
            line.enter_context(waiting(view.state))
        try:
            for event in events:
                if isinstance(event, catlite.RolloutDone):
                    view.arrive(event.position, event.rollout)
                elif isinstance(event, catlite.ReferenceText):
                    line.close()
                    written += event.delta
                    print(visible(event.delta), end="", flush=True)
                else:
                    reference = event.reference
        finally:
            print(end="\n" * bool(written))
    assert reference is not None
    if written != reference.text:  # its thinking was not marked as such before it was over
        print(visible(reference.text))
    return reference


def _prompt(argument: str, images: Sequence[str]) -> Prompt:
    """Read the prompt, with the images before the text of its last message."""
    prompt = _read(argument)
    if not images:
        return prompt
    *earlier, last = as_messages(prompt)
    return [*earlier, {**last, "content": extended([catlite.image(image) for image in images], last["content"])}]


def _read(argument: str) -> Prompt:
    """Read the prompt: as it was typed, from stdin, or as a JSON conversation."""
    text = options.read_stdin() if argument == "-" else argument
    if re.match(r"\s*\[\s*\{", text):
        try:
            messages: list[Message] = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"the prompt begins like a JSON conversation and is none: {error}") from None
        return messages
    return text


def _as_json(reference: Reference) -> dict[str, Any]:
    names = ("text", "answer", "source", "support", "truncated", "notes")
    shown = {name: getattr(reference, name) for name in names}
    rollouts = [asdict(rollout) for rollout in reference.rollouts]
    return shown | {"usage": asdict(reference.total_usage), "rollouts": rollouts}
