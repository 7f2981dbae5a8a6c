"""What sub-commands share: how one is added, the options of a model and of a run, and what these become."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, get_args

import catlite
from catlite.cli.waiting import on_terminal
from catlite.errors import ConfigError
from catlite.evaluation import Estimator
from catlite.models.base import Model
from catlite.models.endpoint import Endpoint
from catlite.rewards.judge import Mode

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction["Parser"]  # noqa: SLF001 - what add_subparsers returns has no public name

EXAMPLES = """\
examples:
  catlite demo                                       offline: single sample, vote and synthesis compared
  catlite synthesize "Why is the sky blue?"          on the embedded model: runs anywhere, knows little
  OPENAI_API_KEY=… catlite synthesize "Why is the sky blue?" --model gpt-4o-mini --n 8
  catlite synthesize "What is 17 × 23? Put the final answer in \\boxed{}." --answer-format boxed \\
      --model Qwen/Qwen3-4B --base-url http://localhost:8000/v1
  cat question.txt | catlite synthesize - --json | jq .answer
  catlite estimate questions.jsonl --prompt question --model gpt-4o-mini --run runs/q --max-tokens 800 --budget-usd 2
  catlite evaluate math500 --limit 50 --model gpt-4o-mini --estimators majority,synthesis --run runs/math
  catlite evaluate sums.csv --prompt question --answer result --answer-format boxed --model gpt-4o-mini --run runs/sums
  catlite report runs/math
  catlite rubric "Zinc and iron compete for uptake: take them two hours apart." --model gpt-4o-mini > rubric.json
  catlite judge rubric.json "Take them together." "Two hours apart." --judge gpt-4o
  catlite evaluate healthbench --limit 20 --model gpt-4o-mini --judge gpt-4o --run runs/health --max-tokens 1500
"""

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


class Parser(argparse.ArgumentParser):
    """Wrong use is one line, and options are called by their whole names: --estimator is not --estimators."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

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
    epilog: str | None = None,
) -> Parser:
    """A sub-command that calls `run` with its arguments and exits with the code that returns."""
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def add_model(parser: argparse.ArgumentParser, *, rollouts: bool = True) -> None:
    """Which model is asked, where it is, and how; with the settings of rollouts where it samples a group."""
    parser.add_argument(
        "--model",
        default="local",
        help='"local" (embedded, offline), a name your endpoint serves, or provider/name through litellm',
    )
    parser.add_argument("--base-url", help="an OpenAI-compatible server, such as http://localhost:8000/v1")
    parser.add_argument("--max-tokens", type=int, help="per reply")
    parser.set_defaults(max_connections=32)
    if not rollouts:
        return
    parser.add_argument("--n", type=int, default=8, help="rollouts (default: 8)")
    parser.add_argument("--temperature", type=float, help="of the rollouts (default: the endpoint's)")
    parser.add_argument("--top-p", type=float, help="of the rollouts")
    parser.add_argument("--seed", type=int, help="of the rollouts, and of which questions are drawn")


def add_run(parser: argparse.ArgumentParser) -> None:
    """Where replies are kept, and what the run may cost."""
    parser.add_argument("--run", "--run-dir", dest="folder", help="keep every reply here, and go on from there")
    parser.add_argument("--max-connections", type=int, default=32, help="requests in flight (default: 32)")
    parser.add_argument("--budget-usd", type=float, help="stop before spending more, in US dollars")
    parser.add_argument("--budget-tokens", type=int, help="stop before using more tokens")
    parser.add_argument("--budget-requests", type=int, help="stop before sending more requests")


def add_judge(parser: argparse._ActionsContainer, default: str | None = None) -> None:
    """Which model judges, where it is, and how it is asked."""
    parser.add_argument("--judge", metavar="MODEL", default=default, help="the model that judges, named as --model is")
    parser.add_argument("--judge-base-url", metavar="URL", help="where it is served (default: where --model is)")
    parser.add_argument("--judge-mode", choices=get_args(Mode), default="single", help="how it is asked (single)")
    parser.add_argument("--judge-max-tokens", type=int, help="per reply of the judge")


def judge(arguments: argparse.Namespace) -> Endpoint:
    """The judge of `add_judge`; to be closed."""
    if arguments.judge is None:
        raise ConfigError("--judge is missing: name the model that judges, best another one than the policy")
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


def estimator(name: str, model: Model, arguments: argparse.Namespace) -> Estimator:
    """The estimator of that name; what it generates is held to --max-tokens too."""
    if name not in ESTIMATORS:
        raise ConfigError(f"there is no estimator {name!r}: there are {', '.join(sorted(ESTIMATORS))}")
    return ESTIMATORS[name](model, arguments.max_tokens)
