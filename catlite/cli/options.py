"""What sub-commands share: how one is added, the options of a model and of a run, and what these become."""

from __future__ import annotations

import argparse
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, get_args

import catlite
from catlite.cli.waiting import on_terminal
from catlite.data import Estimator
from catlite.errors import ConfigError
from catlite.models.base import Model
from catlite.models.http.endpoint import Endpoint
from catlite.rewards.judge import Mode

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction["Parser"]  # noqa: SLF001 - what add_subparsers returns has no public name

_COLUMNS = 80  # of help, at most

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
    """Wrong use is one line, and options are called by their whole names: --estimator is not --estimators."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=Formatter, **settings)
        self.set_defaults(parser=self)

    def error(self, message: str) -> NoReturn:
        """One line and exit code 2; the usage is what --help is for."""
        self.exit(2, f"catlite: {message} (see `{self.prog} --help`)\n")


def add_command(
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    summary: str,
    description: str,
    examples: str,
) -> Parser:
    """A sub-command that calls `run` with its arguments and exits with the code that returns; with its own examples."""
    epilog = "examples:\n" + textwrap.indent(textwrap.dedent(examples).strip(), "  ")
    parser = commands.add_parser(name, help=summary, description=description, epilog=epilog)
    parser.set_defaults(run=run)
    return parser


def add_own(parser: argparse._ActionsContainer, default: str | None = None) -> None:
    """How a file of one's own is read."""
    parser.add_argument(
        "--prompt", metavar="COLUMN", default=default, help='the column with the question (default: "prompt")'
    )
    parser.add_argument(
        "--answer-format", metavar="FORMAT", help='"boxed", or a regular expression with one group: how a reply ends'
    )
    parser.add_argument("--ask", action="store_true", help="append the request to end with the answer in \\boxed{}")
    parser.add_argument("--encoding", metavar="NAME", help="of the file (default: utf-8)")


def own(arguments: argparse.Namespace) -> dict[str, Any]:
    """What `from_records` takes from `add_own`."""
    names = ("prompt", "answer_format", "encoding", "ask")
    return {name: value for name in names if (value := getattr(arguments, name)) not in (None, False)}


def add_model(parser: argparse.ArgumentParser, *, rollouts: bool = True) -> None:
    """Which model is asked, where it is, and how; with the settings of rollouts where it samples a group."""
    parser.add_argument(
        "--model",
        metavar="NAME",
        default="local",
        help='"local" (embedded, offline), a name your endpoint serves, or provider/name through litellm',
    )
    parser.add_argument(
        "--base-url", metavar="URL", help="an OpenAI-compatible server, such as http://localhost:8000/v1"
    )
    parser.add_argument("--max-tokens", metavar="N", type=int, help="per reply")
    parser.set_defaults(max_connections=32)
    if not rollouts:
        return
    parser.add_argument("--n", metavar="N", type=int, default=8, help="rollouts (default: 8)")
    parser.add_argument("--temperature", metavar="T", type=float, help="of the rollouts (default: the endpoint's)")
    parser.add_argument("--top-p", metavar="P", type=float, help="of the rollouts")
    parser.add_argument("--seed", metavar="N", type=int, help="of the rollouts, and of which questions are drawn")


def refuse_own(task: str, options: Mapping[str, Any]) -> None:
    """ConfigError where options for a file of one's own were given for a task that has its own columns."""
    if options:
        named = ", ".join("--" + name.replace("_", "-") for name in options)
        raise ConfigError(f"{named} goes with a file of your own: {task} knows its own columns")


def add_limit(parser: argparse.ArgumentParser) -> None:
    """How many questions; the same rule for every command."""
    parser.add_argument("--limit", metavar="N", type=int, help="so many questions, drawn by --seed (default: all)")


def drawn(arguments: argparse.Namespace) -> dict[str, Any]:
    """What a task takes from `add_limit` and --seed."""
    return {"limit": arguments.limit, "seed": arguments.seed or 0}


def add_run(parser: argparse.ArgumentParser) -> None:
    """Where replies are kept, and what the run may cost."""
    parser.add_argument(
        "--run", "--run-dir", metavar="FOLDER", dest="folder", help="keep every reply here, and go on from there"
    )
    parser.add_argument("--max-connections", metavar="N", type=int, default=32, help="requests in flight (default: 32)")
    parser.add_argument("--budget-usd", metavar="USD", type=float, help="stop before spending more, in US dollars")
    parser.add_argument("--budget-tokens", metavar="N", type=int, help="stop before using more tokens")
    parser.add_argument("--budget-requests", metavar="N", type=int, help="stop before sending more requests")


def add_judge(parser: argparse._ActionsContainer, default: str | None = None) -> None:
    """Which model judges, where it is, and how it is asked."""
    parser.add_argument("--judge", metavar="MODEL", default=default, help="the model that judges, named as --model is")
    parser.add_argument("--judge-base-url", metavar="URL", help="where it is served (default: where --model is)")
    parser.add_argument("--judge-mode", choices=get_args(Mode), default="single", help="how it is asked (single)")
    parser.add_argument("--judge-max-tokens", metavar="N", type=int, help="per reply of the judge")


def check_judge(arguments: argparse.Namespace) -> None:
    """ConfigError where no judge is named."""
    if arguments.judge is None:
        raise ConfigError("--judge is missing: name the model that judges, best another one than the policy")


def judge(arguments: argparse.Namespace) -> Endpoint:
    """The judge of `add_judge`; to be closed."""
    check_judge(arguments)
    if arguments.judge == "local" and arguments.judge_base_url is None:
        return catlite.embedded()
    base_url = arguments.judge_base_url or arguments.base_url
    return catlite.Endpoint(arguments.judge, base_url=base_url)


def sampling(arguments: argparse.Namespace) -> dict[str, Any]:
    """The sampling parameters of `add_model`."""
    return {name: getattr(arguments, name) for name in ("temperature", "top_p", "max_tokens", "seed")}


def of_run(arguments: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """What `estimate` and `evaluate` take from `add_model` and `add_run`, for estimators of these names."""
    caps = arguments.budget_usd, arguments.budget_tokens, arguments.budget_requests
    return {
        "n": arguments.n,
        "run": arguments.folder,
        "budget": None if caps == (None, None, None) else catlite.Budget(*caps),
        "progress": on_terminal(),
        "logprobs": True if "min-perplexity" in names else None,
        **sampling(arguments),
    }


def opened(arguments: argparse.Namespace) -> Endpoint:
    """The policy, with its connections limited; to be closed."""
    if arguments.model == "local" and arguments.base_url is None:
        return catlite.embedded(max_connections=min(arguments.max_connections, 2))
    return catlite.Endpoint(arguments.model, base_url=arguments.base_url, max_connections=arguments.max_connections)


def check_names(names: Sequence[str]) -> None:
    """ConfigError for a name of no estimator: before a task or a model is fetched."""
    for name in names:
        if name not in ESTIMATORS:
            raise ConfigError(f"there is no estimator {name!r}: there are {', '.join(sorted(ESTIMATORS))}")


def estimator(name: str, model: Model, arguments: argparse.Namespace) -> Estimator:
    """The estimator of that name; what it generates is held to --max-tokens too."""
    return ESTIMATORS[name](model, arguments.max_tokens)
