"""What sub-commands share: the options of a model, a task, a judge and a run, and what these become."""

from __future__ import annotations

import argparse
import inspect
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeAlias, get_args

import catlite
from catlite.cli.flags import in_flags
from catlite.cli.waiting import on_terminal, waiting
from catlite.coerce import TASKS
from catlite.data import Estimator, Task
from catlite.errors import ConfigError
from catlite.models.base import Model
from catlite.models.http.endpoint import Endpoint
from catlite.models.http.keys import BaseURL
from catlite.rewards.judge import Mode
from catlite.text import visible

Commands: TypeAlias = "argparse._SubParsersAction[Parser]"  # noqa: SLF001 - what add_subparsers returns

_COLUMNS = 80  # of help, at most
_NAMED = '"local" (embedded, offline), a name that your endpoint serves, or provider/name through litellm'
SUCH_AS = "such as http://localhost:8000/v1; given several times, replicas that share the calls"
# What an option with a number takes, by what its help calls the number.
_TYPES = {"N": int} | dict.fromkeys(("T", "P", "USD", "RATE", "WEIGHT", "SECONDS"), float)

# By name on the command line: each made for the policy that samples.
ESTIMATORS: dict[str, Callable[[Model, int | None], Estimator]] = {
    "anchored-vote": lambda model, limit: catlite.AnchoredVote(model, max_tokens=limit),
    "best-of-n": lambda model, limit: catlite.BestOfN(model, max_tokens=limit),
    "majority": lambda model, limit: catlite.MajorityVote(),  # noqa: ARG005
    "min-perplexity": lambda model, limit: catlite.MinPerplexity(),  # noqa: ARG005
    "mutual-predictability": lambda model, limit: catlite.MutualPredictability(model),  # noqa: ARG005
    "recursive-synthesis": lambda model, limit: catlite.RecursiveSynthesis(model, max_tokens=limit),
    "synthesis": lambda model, limit: catlite.Synthesis(model, max_tokens=limit),
}


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help that wraps at spaces only: what is typed, such as mutual-predictability, is not broken at its hyphens."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=min(shutil.get_terminal_size().columns, _COLUMNS))

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False, break_long_words=False)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Examples as they are, a description wrapped."""
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return textwrap.fill(text, width, break_on_hyphens=False, break_long_words=False)


class Parser(argparse.ArgumentParser):
    """A parser that answers wrong use in one line, and takes options by their whole names only."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=Formatter, **settings)
        self.set_defaults(parser=self)

    def error(self, message: str) -> NoReturn:
        """One line and exit code 2; the usage is what --help is for."""
        self.exit(2, f"catlite: {message} (see `{self.prog} --help`)\n")

    def fail(self, error: BaseException, code: int) -> int:
        """Print an error on one line of stderr, in the words of the command line; return `code`, to exit with."""
        message = " ".join(in_flags(str(error), self).split())
        print("catlite: " + visible(message), file=sys.stderr)
        return code


class Once(argparse.Action):
    """An option that names the one model for a role, where a second would be taken for a member of a panel."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        """Store the name; refuse another."""
        if getattr(namespace, self.dest) not in (None, self.default):
            parser.error(
                f"{option_string} is given twice, and takes one model: several share the rollouts as --model of "
                "synthesize, estimate and evaluate alone"
            )
        setattr(namespace, self.dest, values)


class Gather(argparse.Action):
    """An option whose value is a text, and a list of them where it is given several times."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:  # noqa: ARG002
        """Store the text, beside those before."""
        before = getattr(namespace, self.dest)
        both = [*([before] if isinstance(before, str) else before or []), values]
        setattr(namespace, self.dest, both if len(both) > 1 else values)


def add_command(
    commands: Commands,
    name: str,
    call: Callable[[argparse.Namespace], int],
    *,
    summary: str,
    description: str,
    examples: str,
) -> Parser:
    """Add a sub-command that runs `call` with its arguments and exits with the code it returns."""
    epilog = "examples:\n" + textwrap.indent(textwrap.dedent(examples).strip(), "  ")
    parser = commands.add_parser(name, help=summary, description=description, epilog=epilog)
    parser.set_defaults(call=call)
    return parser


def add_option(parser: argparse._ActionsContainer, flag: str, metavar: str, meaning: str, **settings: Any) -> None:
    """Add an option with a value, whose type `metavar` tells: _TYPES, else text."""
    parser.add_argument(flag, metavar=metavar, type=_TYPES.get(metavar, str), help=meaning, **settings)


def add_own(parser: argparse._ActionsContainer) -> None:
    """Add the options by which a file of the user's own is read."""
    add_option(parser, "--prompt", "COLUMN", 'the column with the question (default: "prompt")')
    add_answer_format(parser)
    parser.add_argument("--ask", action="store_true", help="ask in every prompt for the final answer in \\boxed{}")
    add_option(parser, "--encoding", "NAME", "the encoding of the file (default: utf-8)")


def add_answer_format(parser: argparse._ActionsContainer) -> None:
    """Add --answer-format."""
    meaning = 'how a reply writes its final answer: "boxed", or a regular expression with one group'
    add_option(parser, "--answer-format", "FORMAT", meaning)


def own(arguments: argparse.Namespace) -> dict[str, Any]:
    """Collect what `from_records` takes from `add_own`."""
    names = ("prompt", "answer_format", "encoding", "ask")
    return {name: value for name in names if (value := getattr(arguments, name)) not in (None, False)}


def add_model(parser: argparse.ArgumentParser, *, rollouts: bool = True) -> None:
    """Add the options that name a model; with `rollouts` also several of a panel, and those of the group to sample."""
    called = f"the model: {_NAMED} (default: local)"
    if rollouts:
        several = "given several times, models that share the rollouts, as in --model a=4 --model b=4; where = is part "
        add_option(parser, "--model", "NAME", f"{called}; {several}of a name, write a count after it", action="append")
    else:
        add_option(parser, "--model", "NAME", called, default="local", action=Once)
    add_option(parser, "--base-url", "URL", f"where the model is served, {SUCH_AS}", action=Gather)
    add_option(parser, "--max-tokens", "N", "the most tokens of a reply")
    parser.set_defaults(max_connections=32)
    if rollouts:
        add_option(parser, "--n", "N", "rollouts of each question (default: 8)", default=8)
        add_option(parser, "--temperature", "T", "temperature of the rollouts (default: the endpoint's own)")
        add_option(parser, "--top-p", "P", "nucleus sampling of the rollouts (top-p)")
        add_option(parser, "--seed", "N", "seed of the rollouts")


def add_limit(parser: argparse.ArgumentParser) -> None:
    """Add --limit, which has the same rule for every command."""
    add_option(parser, "--limit", "N", "take only N questions, drawn by --seed (default: all)")


def drawn(arguments: argparse.Namespace) -> dict[str, Any]:
    """Collect what a task takes from `add_limit` and --seed."""
    return {"limit": arguments.limit, "seed": arguments.seed or 0}


def add_task(parser: argparse.ArgumentParser) -> None:
    """Add the name of a task, or of a file of the user's own, and where the file of a named one is."""
    parser.add_argument("task", help=f"{', '.join(TASKS)}, or a CSV, TSV, JSONL, JSON or Parquet file of your own")
    add_option(parser, "--path", "FILE", "where the file of a named task is, if it is on this machine already")


def add_estimator(
    parser: argparse.ArgumentParser, default: str | None = "synthesis", meaning: str = "default: synthesis"
) -> None:
    """Add --estimator; `meaning` says what its default is."""
    names = ", ".join(sorted(ESTIMATORS))
    add_option(parser, "--estimator", "NAME", f"one of {names} ({meaning})", default=default)


def add_run(parser: argparse.ArgumentParser, *, connections: bool = True) -> None:
    """Add the options that say where replies are kept, and what the run may cost; with `connections` how wide it is."""
    add_option(parser, "--run", "FOLDER", "keep every reply in this folder, and go on from there")
    if connections:
        add_option(
            parser,
            "--max-connections",
            "N",
            "the most requests at once, to each model and replica (default: 32)",
            default=32,
        )
    add_option(parser, "--budget-usd", "USD", "stop before spending more US dollars")
    add_option(parser, "--budget-tokens", "N", "stop before using more tokens")
    add_option(parser, "--budget-requests", "N", "stop before sending more requests")


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """Add --dry-run, which tells the cost instead of running."""
    parser.add_argument(
        "--dry-run",
        metavar="N",
        nargs="?",
        type=_questions,
        const=0,
        help="print the requests, tokens and dollars to expect, and end: without N no model is asked; with N, such as "
        "5, so many questions are, and --run keeps them",
    )


def _questions(text: str) -> int:
    """Read the number after --dry-run, which takes the word that follows it for one."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of questions: write --dry-run after the task or the file"
        ) from None


def print_cost(arguments: argparse.Namespace, call: Callable[..., Any], *given: Any, **named: Any) -> int:
    """Print what `call` would cost, with its notes in the words of the command line; the exit code is 0."""
    with waiting("the cost to expect"):
        expected = catlite.cost(call, *given, sample=0 if arguments.dry_run is True else arguments.dry_run, **named)
    if getattr(arguments, "json", False):
        print(expected.to_frame().reset_index().to_json(orient="records", indent=2))
        return 0
    text = str(expected)
    for note in expected.notes:
        text = text.replace(note, in_flags(note, arguments.parser))
    print(text)
    return 0


def add_judge(parser: argparse._ActionsContainer, prefix: str = "", default: str | None = None) -> None:
    """Add the options that name a judge; `prefix` sets them apart from those of the model that is judged."""
    add_option(parser, "--judge", "NAME", f"the model that judges: {_NAMED}", default=default, action=Once)
    elsewhere = "default: where --model is served" if prefix else SUCH_AS
    served = f"where the judge is served ({elsewhere})"
    add_option(parser, f"--{prefix}base-url", "URL", served, dest="judge_base_url", action=Gather)
    parser.add_argument(
        f"--{prefix}mode",
        dest="judge_mode",
        choices=get_args(Mode),
        default="single",
        help="single: one criterion a call (default); batch: all criteria of a response; soft: probabilities; levels: "
        "fully, partly or not; holistic: one score over the whole rubric",
    )
    add_option(parser, f"--{prefix}max-tokens", "N", "the most tokens of a verdict", dest="judge_max_tokens")
    thinking = "how long a judge that reasons may think: low, medium or high (default: the endpoint's own)"
    add_option(parser, f"--{prefix}reasoning-effort", "LEVEL", thinking, dest="judge_reasoning_effort")


def check_judge(arguments: argparse.Namespace) -> None:
    """Raise ConfigError where no judge is named."""
    if arguments.judge is None:
        raise ConfigError("--judge is missing: name the model that judges, preferably not the policy")


def judge(arguments: argparse.Namespace) -> Endpoint:
    """Open the judge of `add_judge`; to be closed."""
    check_judge(arguments)
    if arguments.judge == "local" and arguments.judge_base_url is None:
        return catlite.embedded()
    where = arguments.judge_base_url or getattr(arguments, "base_url", None)
    return catlite.Endpoint(arguments.judge, base_url=where, reasoning_effort=arguments.judge_reasoning_effort)


def of_run(arguments: argparse.Namespace, names: Sequence[str] = ()) -> dict[str, Any]:
    """Collect what is sampled, kept and spent: of `add_model` and `add_run`, for estimators of these names."""
    caps = arguments.budget_usd, arguments.budget_tokens, arguments.budget_requests
    return {
        "n": arguments.n,
        "run": arguments.run,
        "budget": None if caps == (None, None, None) else catlite.Budget(*caps),
        "progress": on_terminal(),
        "logprobs": True if "min-perplexity" in names else None,
        **{name: getattr(arguments, name) for name in ("temperature", "top_p", "max_tokens", "seed")},
    }


def models(arguments: argparse.Namespace) -> str | list[tuple[str, int]]:
    """Read --model: one name, or the names of a panel with their counts."""
    if isinstance(arguments.model, str | None):
        return arguments.model or "local"
    pairs = [_counted(text) for text in arguments.model]
    return pairs if len(pairs) > 1 else pairs[0][0]


def _counted(text: str) -> tuple[str, int]:
    """Read NAME or NAME=COUNT; what follows the last = is the count."""
    name, equals, count = text.rpartition("=")
    if not equals:
        return text, 1
    if not name or not re.fullmatch("0*[1-9][0-9]*", count):
        raise ConfigError(
            f"--model {text}: {count!r} is no count of replies. Write --model {name or 'NAME'}=4 for 4 replies in a "
            f"round, or --model {text}=1 where = belongs to the name"
        )
    return name, int(count)


@contextmanager
def opened(arguments: argparse.Namespace) -> Iterator[Model]:
    """Open the policy for the block, a panel where several models are named, with the connections of each limited."""
    named = models(arguments)
    with ExitStack() as stack:
        if isinstance(named, str):
            yield stack.enter_context(endpoint(named, arguments.base_url, arguments.max_connections))
            return
        members = []
        for name, count in named:
            where = None if name == "local" else arguments.base_url
            members.append((stack.enter_context(endpoint(name, where, arguments.max_connections)), count))
        yield catlite.Panel(members)


def endpoint(name: str, base_url: BaseURL, max_connections: int) -> Endpoint:
    """Make the Model of a name; the embedded one, which shares this CPU, has two connections at most."""
    if name == "local" and base_url is None:
        return catlite.embedded(max_connections=min(max_connections, 2))
    return catlite.Endpoint(name, base_url=base_url, max_connections=max_connections)


def read_task(arguments: argparse.Namespace, columns: Mapping[str, Any]) -> Task:
    """Read the task that `arguments` name: one that catlite knows, or a file of the user's own with these columns."""
    if arguments.task not in TASKS:
        if not Path(arguments.task).expanduser().exists():
            raise ConfigError(f"there is no task {arguments.task!r} and no such file: tasks are {', '.join(TASKS)}")
        return catlite.from_records(arguments.task, **columns, **drawn(arguments))
    if columns:
        flags = ", ".join("--" + name.replace("_", "-") for name in columns)
        raise ConfigError(f"{flags} goes with a file of your own: {arguments.task} knows its own columns")
    build = getattr(catlite, arguments.task)
    settings = {"path": arguments.path, "subset": getattr(arguments, "subset", None), **drawn(arguments)}
    settings["count"] = arguments.limit  # where a task makes as many questions as it is asked for
    taken = inspect.signature(build).parameters
    for name in ("path", "subset"):
        if name not in taken and settings[name] not in (None, "all"):
            raise ConfigError(f"--{name} {settings[name]}: {arguments.task} takes no --{name}, leave it out")
    task: Task = build(**{name: value for name, value in settings.items() if name in taken and value is not None})
    return task


def read_stdin() -> str:
    """Read all of stdin; raises ConfigError for what is not text, which Python lets through in some locales."""
    text = sys.stdin.read()
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"the input is not {sys.stdin.encoding}: character {error.start} cannot be read") from None
    return text


def check_names(names: Sequence[str]) -> None:
    """Raise ConfigError for a name of no estimator, before a task or a model is fetched."""
    for name in names:
        if name not in ESTIMATORS:
            raise ConfigError(f"there is no estimator {name!r}: there are {', '.join(sorted(ESTIMATORS))}")


def estimator(name: str, model: Model, arguments: argparse.Namespace) -> Estimator:
    """Make the estimator of that name; what it generates is also held to --max-tokens."""
    return ESTIMATORS[name](model, arguments.max_tokens)
