"""The `catlite` command. Results go to stdout, everything else to stderr.

Exit codes: 0 done, 1 it failed, 2 wrong use, 130 interrupted. Keys come from the environment only, since a command
line is visible to every process of the machine.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, NoReturn

import catlite
from catlite import display
from catlite.data import Message, Prompt, Reference
from catlite.errors import CatliteError, ConfigError
from catlite.evaluation import Estimator
from catlite.models.base import Model
from catlite.models.endpoint import Endpoint

_EPILOG = """\
examples:
  catlite demo                                       offline: single sample, vote and synthesis compared
  catlite synthesize "Why is the sky blue?"          on the embedded model: runs anywhere, knows little
  OPENAI_API_KEY=… catlite synthesize "Why is the sky blue?" --model gpt-4o-mini --n 8
  catlite synthesize "What is 17 × 23? Put the final answer in \\boxed{}." --answer-format boxed \\
      --model Qwen/Qwen3-4B --base-url http://localhost:8000/v1
  cat question.txt | catlite synthesize - --json | jq .answer
  catlite estimate questions.jsonl --prompt question --model gpt-4o-mini --run runs/q --max-tokens 800 --budget-usd 2
  catlite evaluate math500 --limit 50 --model gpt-4o-mini --estimators majority,synthesis --run runs/math
"""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line and exit code 2; the usage is what --help is for."""
        self.exit(2, f"catlite: {message} (see `{self.prog} --help`)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="catlite",
        description="Better answers from parallel rollouts, without ground truth (Compute as Teacher).",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"catlite {catlite.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command", parser_class=_Parser)

    one = commands.add_parser(
        "synthesize",
        help="sample n rollouts of one question and reconcile them into one answer",
        description="Samples n rollouts of one question and has an anchor reconcile them into one answer.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    one.add_argument("prompt", help="the question; - reads it from stdin; JSON [{role, content}, …] is a conversation")
    _add_model(one)
    one.add_argument("--anchor", help="the model that reconciles (default: the same as --model)")
    one.add_argument("--answer-format", help='"boxed", or a regular expression with one group, for a final answer')
    one.add_argument("--include-question", action="store_true", help="show the anchor the question too")
    one.add_argument("--rollouts", action="store_true", help="print the rollouts and what was spent too")
    one.add_argument("--json", action="store_true", help="print everything as one JSON object")
    one.set_defaults(run=_synthesize)

    many = commands.add_parser(
        "estimate",
        help="a reference for every question of a file, without labels",
        description="Writes one JSON line per question of a CSV, JSONL or JSON file: its reference, without labels.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    many.add_argument("file", help="CSV, TSV, JSONL or JSON; one question a row")
    many.add_argument("--prompt", default="prompt", help='the column with the question (default: "prompt")')
    many.add_argument("--answer-format", help='"boxed", or a regular expression with one group, for a final answer')
    many.add_argument("--limit", type=int, help="only the first so many questions")
    many.add_argument("--estimator", default="synthesis", choices=sorted(_ESTIMATORS))
    _add_model(many)
    _add_run(many)
    many.set_defaults(run=_estimate)

    scored = commands.add_parser(
        "evaluate",
        help="score a single sample and estimators on a task with answers",
        description="Scores a single sample of the model and each estimator, with standard errors and costs.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    scored.add_argument("task", choices=sorted(_TASKS), help="which task")
    scored.add_argument("--path", help="the task's file, when it is on this machine already")
    scored.add_argument("--limit", type=int, help="so many questions, drawn by --seed (default: all)")
    scored.add_argument("--estimators", default="majority,synthesis", help=f"from {', '.join(sorted(_ESTIMATORS))}")
    _add_model(scored)
    _add_run(scored)
    scored.add_argument("--json", action="store_true", help="print the summary as JSON")
    scored.set_defaults(run=_evaluate)

    page = commands.add_parser("report", help="an evaluated run as one HTML page", description=_report.__doc__)
    page.add_argument("folder", metavar="RUN", help="what --run of evaluate was, or an evaluation.json")
    page.add_argument("--output", metavar="PATH", help="the page (default: report.html in RUN)")
    page.set_defaults(run=_report)
    demo = commands.add_parser(
        "demo",
        help="single sample, majority vote and synthesis on times tables, on the embedded model",
        description="Compares a single sample, a majority vote of 8 and a synthesis of 8 on times tables, offline.",
    )
    demo.add_argument("--questions", type=int, default=16, help="how many of the 81 (default: 16)")
    demo.add_argument("--seed", type=int, default=0, help="which ones, and how they are sampled (default: 0)")
    demo.set_defaults(run=_demo)
    return parser


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        default="local",
        help='"local" (embedded, offline), a name your endpoint serves, or provider/name through litellm',
    )
    parser.add_argument("--n", type=int, default=8, help="rollouts (default: 8)")
    parser.add_argument("--base-url", help="an OpenAI-compatible server, such as http://localhost:8000/v1")
    parser.add_argument("--temperature", type=float, help="of the rollouts (default: the endpoint's)")
    parser.add_argument("--top-p", type=float)
    parser.add_argument("--max-tokens", type=int, help="per reply")
    parser.add_argument("--seed", type=int)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--run-dir", "--run", dest="folder", help="keep every reply here, and go on from there")
    parser.add_argument("--max-connections", type=int, default=32, help="requests in flight (default: 32)")
    parser.add_argument("--budget-usd", type=float, help="stop before spending more, in US dollars")
    parser.add_argument("--budget-tokens", type=int, help="stop before using more tokens")
    parser.add_argument("--budget-requests", type=int, help="stop before sending more requests")


# By name on the command line: each made for the policy that samples.
_ESTIMATORS: dict[str, Callable[[Model, int | None], Estimator]] = {
    "best-of-n": lambda model, limit: catlite.BestOfN(model, max_tokens=limit),
    "majority": lambda model, limit: catlite.MajorityVote(),  # noqa: ARG005
    "min-perplexity": lambda model, limit: catlite.MinPerplexity(),  # noqa: ARG005
    "synthesis": lambda model, limit: catlite.Synthesis(model, max_tokens=limit),
}
_TASKS = ("gsm8k", "math500", "times_tables")


def _sampling(arguments: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in ("temperature", "top_p", "max_tokens", "seed")}


def _budget(arguments: argparse.Namespace) -> catlite.Budget | None:
    caps = arguments.budget_usd, arguments.budget_tokens, arguments.budget_requests
    return None if caps == (None, None, None) else catlite.Budget(*caps)


def _model(arguments: argparse.Namespace) -> Endpoint:
    if arguments.model == "local" and arguments.base_url is None:
        return catlite.embedded(max_connections=min(arguments.max_connections, 2))
    return catlite.Endpoint(arguments.model, base_url=arguments.base_url, max_connections=arguments.max_connections)


def _named_estimators(names: str, model: Model, limit: int | None) -> list[Estimator]:
    found = []
    for name in names.split(","):
        if name not in _ESTIMATORS:
            raise ConfigError(f"--estimators {name!r}: there are {', '.join(sorted(_ESTIMATORS))}")
        found.append(_ESTIMATORS[name](model, limit))
    return found


def _estimate(arguments: argparse.Namespace) -> int:
    task = catlite.from_records(
        arguments.file, prompt=arguments.prompt, answer_format=arguments.answer_format, limit=arguments.limit
    )
    with _model(arguments) as model, _progress(len(task)) as progress:
        found = catlite.estimate(
            task,
            model,
            estimator=_ESTIMATORS[arguments.estimator](model, arguments.max_tokens),
            n=arguments.n,
            run=arguments.folder,
            budget=_budget(arguments),
            progress=progress,
            **_sampling(arguments),
        )
    failed = [reference for reference in found if reference.error is not None]
    for example, reference in zip(task, found, strict=True):
        line = {"id": example.id, "text": reference.text, "answer": reference.answer, "support": reference.support}
        print(json.dumps(line | {"notes": reference.notes, "error": reference.error}))
    if failed:
        reason = " ".join(str(failed[0].error).split())
        print(f"catlite: {len(failed)} of {len(found)} questions have no reference: {reason}", file=sys.stderr)
    return 1 if failed else 0


def _evaluate(arguments: argparse.Namespace) -> int:
    draw = {"limit": arguments.limit, "seed": arguments.seed or 0}
    if arguments.task == "times_tables":
        task = catlite.times_tables(**draw)
    else:
        task = (catlite.math500 if arguments.task == "math500" else catlite.gsm8k)(arguments.path, **draw)
    with _model(arguments) as model, _progress(len(task)) as progress:
        result = catlite.evaluate(
            task,
            model,
            estimators=_named_estimators(arguments.estimators, model, arguments.max_tokens),
            n=arguments.n,
            run=arguments.folder,
            budget=_budget(arguments),
            progress=progress,
            **_sampling(arguments),
        )
    print(result.summary.reset_index().to_json(orient="records", indent=2) if arguments.json else result)
    return 1 if result.stopped is not None else 0


def _report(arguments: argparse.Namespace) -> int:
    """Writes a run's scores, costs and questions as one HTML page that needs no network, and prints where."""
    print(catlite.report(arguments.folder, arguments.output))
    return 0


def _synthesize(arguments: argparse.Namespace) -> int:
    prompt = _prompt(arguments.prompt)
    with _waiting(f"{arguments.n} rollouts and a synthesis from {arguments.model}"):
        reference = catlite.synthesize(
            prompt,
            arguments.model,
            n=arguments.n,
            anchor=arguments.anchor,
            answer_format=arguments.answer_format,
            include_question=arguments.include_question,
            base_url=arguments.base_url,
            **_sampling(arguments),
        )
    if arguments.json:
        print(json.dumps(_as_json(reference), indent=2))
    elif arguments.rollouts:
        print(display.reference_text(reference))
    else:
        print(display.visible(reference.text) if sys.stdout.isatty() else reference.text)
    if not arguments.rollouts:
        for note in reference.notes:
            print(f"catlite: note: {note}", file=sys.stderr)
        if sys.stderr.isatty():
            print(
                f"catlite: {display.support_text(reference)}; {display.usage_text(reference.total_usage)}",
                file=sys.stderr,
            )
    return 0


def _prompt(argument: str) -> Prompt:
    """The prompt as given, from stdin, or as a JSON conversation."""
    text = sys.stdin.read() if argument == "-" else argument
    if re.match(r"\s*\[\s*\{", text):
        try:
            messages: list[Message] = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"the prompt begins like a JSON conversation and is none: {error}") from None
        return messages
    return text


def _as_json(reference: Reference) -> dict[str, Any]:
    return {
        "text": reference.text,
        "answer": reference.answer,
        "source": reference.source,
        "support": reference.support,
        "truncated": reference.truncated,
        "notes": reference.notes,
        "usage": asdict(reference.total_usage),
        "rollouts": [asdict(rollout) for rollout in reference.rollouts],
    }


def _demo(arguments: argparse.Namespace) -> int:
    from catlite.tasks.times_tables import WORKED_SYNTHESES

    task = catlite.times_tables(arguments.questions, arguments.seed)
    print(
        f"Times tables, {len(task)} questions such as “What is 6 times 7?”, on the embedded model (SmolLM2, 135M\n"
        "parameters, on this machine's CPU). 8 rollouts each at temperature 1, then a reference without labels. The\n"
        "anchor is shown two worked examples: one this small hardly follows instructions alone.\n"
    )
    # One request at a time: this CPU is the limit anyway, and the seconds of a system are then its own.
    with catlite.embedded(max_connections=1) as model:
        synthesis = catlite.Synthesis(model, max_tokens=32, worked=WORKED_SYNTHESES)
        with _progress(len(task)) as progress:
            result = catlite.evaluate(
                task,
                model,
                estimators=(catlite.MajorityVote(), synthesis),
                progress=progress,
                temperature=1.0,
                top_p=1.0,
                top_k=0,
                min_p=0.0,
                max_tokens=24,
                seed=arguments.seed,
            )
    print(result)
    synthesized = [reference for reference in result.references if reference.source == "Synthesis"]
    if synthesized:
        # The most divided group is where a reference has work to do.
        shown = max(synthesized, key=lambda reference: len({one.answer for one in reference.rollouts}))
        print(f"\nOne reference in full, of the question “{shown.group.example.messages[-1]['content']}”")
        print(display.reference_text(shown))
    print(
        f"\n{result.seconds:.0f} s. What this shows: the chain works, offline and for real. What it does not show: how "
        "good the method is.\nOver all 81 questions a model this small gains from a vote, and from synthesis no more "
        "than that (README). Try yours:\n"
        '  OPENAI_API_KEY=… catlite synthesize "your question" --model gpt-4o-mini'
    )
    return 0


@contextmanager
def _waiting(what: str) -> Iterator[None]:
    """A line on the terminal that counts the seconds; nothing when stderr is no terminal."""
    if not sys.stderr.isatty():
        yield
        return
    over = threading.Event()
    started = time.monotonic()

    def count() -> None:
        while not over.wait(0.5):
            print(f"\rcatlite: {what} … {time.monotonic() - started:.0f} s", end="", file=sys.stderr, flush=True)

    thread = threading.Thread(target=count, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar for questions; None when stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(total=total, unit="question", leave=False) as bar:

        def advance(done: int, _: int) -> None:
            bar.update(done - bar.n)

        yield advance


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
        if getattr(error, "group", None) is not None:
            print(display.rollouts_text(error.group), file=sys.stderr)  # type: ignore[attr-defined]
        return _fail(error, 1)
    except UnicodeDecodeError as error:
        return _fail(ConfigError(f"the input is not {error.encoding}: byte {error.start}: {error.reason}"), 2)
    except KeyboardInterrupt:
        print("catlite: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader has left (`| head`): nobody to tell, and nothing to flush at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        return _fail(error, 1)
    return code


def _fail(error: Exception, code: int) -> int:
    print("catlite: " + display.visible(" ".join(str(error).split())), file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
