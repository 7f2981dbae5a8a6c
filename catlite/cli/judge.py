"""`catlite judge`: responses against the criteria of a file; or, with --probe, the judge against known attacks."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import catlite
from catlite.cli.options import Commands, add_command, add_judge, judge, read_stdin
from catlite.cli.waiting import on_terminal, waiting
from catlite.criteria import Rubric
from catlite.data import Judgement
from catlite.errors import CatliteError, ConfigError
from catlite.reprs import in_full
from catlite.rewards.probe import probe
from catlite.tasks.cells import as_rubric
from catlite.text import short, table, visible


def add(commands: Commands) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "judge",
        _judge,
        summary="judge responses by a rubric, one verdict per response and criterion",
        description="Judges responses by a rubric. With --probe it tries known attacks on the judge instead.",
        examples="""
            catlite judge rubric.json "Take them together." "Two hours apart." \\
                --judge gpt-4o
            catlite judge criteria.txt - --judge gpt-4o --json < response.txt
            catlite judge --probe --judge gpt-4o-mini
        """,
    )
    parser.add_argument("rubric", nargs="?", help="a file: a JSON list of criteria, or text with one on each line")
    parser.add_argument("responses", nargs="*", help="the responses to judge; - reads one from stdin")
    parser.add_argument("--probe", action="store_true", help="try whether known attacks fool this judge")
    add_judge(parser, default="local")
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")


def _judge(arguments: argparse.Namespace) -> int:
    mode, limit = arguments.judge_mode, arguments.judge_max_tokens
    if arguments.probe:
        if arguments.rubric is not None:
            raise ConfigError("--probe tries the judge on responses of its own: leave out the rubric and the responses")
        with judge(arguments) as model, waiting(f"attacks on {arguments.judge}"):
            probed = probe(model, mode=mode, max_tokens=limit)
        if arguments.json:
            print(probed.to_json(orient="records", indent=2, force_ascii=False))
        else:
            marks = {True: "fooled", False: "no", None: "?"}
            rows = [[marks[fooled], short(attack)] for attack, fooled in zip(probed.attack, probed.fooled, strict=True)]
            print(table([["fooled", "attack"], *rows]))
        return 1 if any(fooled is None or fooled for fooled in probed.fooled) else 0
    if not arguments.responses:
        raise ConfigError("give a rubric and at least one response, or --probe")
    if arguments.responses.count("-") > 1:
        raise ConfigError("two responses are -, and stdin can be read once: give the others as text")
    rubric = _read(Path(arguments.rubric).expanduser())
    texts = [read_stdin() if text == "-" else text for text in arguments.responses]
    with judge(arguments) as model:
        judgement = catlite.judge(texts, rubric, model, mode=mode, max_tokens=limit, progress=on_terminal())
    print(json.dumps(_as_json(judgement), indent=2, ensure_ascii=False) if arguments.json else in_full(judgement))
    verdicts = [verdict for verdicts in judgement.verdicts_GC for verdict in verdicts]
    if all(verdict.met is None for verdict in verdicts):
        print(f"catlite: no verdict could be had: {visible(short(verdicts[0].reason, 300))}", file=sys.stderr)
        return 1
    return 0


def _read(path: Path) -> Rubric:
    """Read the criteria of a file: JSON, or one a line."""
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"the rubric {str(path)!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"the rubric {str(path)!r} is not UTF-8: byte {error.start}: {error.reason}") from None
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        if path.suffix == ".json":
            raise ConfigError(
                f"{str(path)!r} is not JSON: write a list of criteria, or a text file with one a line"
            ) from None
        content = None
    if path.suffix != ".json" and not isinstance(content, list | dict):  # a line such as "42" is JSON by chance
        content = [line.strip() for line in text.splitlines() if line.strip()]
    if isinstance(content, dict) and "criteria" in content:
        content = content["criteria"]
    if not content:
        raise ConfigError(f"{str(path)!r} is empty: write a criterion on each line")
    try:
        rubric = as_rubric(content, "criteria")
    except CatliteError as error:
        raise ConfigError(f"{str(path)!r} is no rubric: {error}") from None
    assert rubric is not None
    return rubric


def _as_json(judgement: Judgement) -> dict[str, Any]:
    return {
        "criteria": [criterion.text for criterion in judgement.rubric.criteria],
        "responses": [
            {
                "reward": reward,
                "verdicts": [
                    {name: getattr(verdict, name) for name in ("met", "probability", "reason")} for verdict in verdicts
                ],
            }
            for verdicts, reward in zip(judgement.verdicts_GC, judgement.rewards_G, strict=True)
        ],
        "notes": judgement.notes,
    }
