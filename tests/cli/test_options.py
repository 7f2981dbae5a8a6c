"""An option has the name of the argument that it stands for."""

import inspect

import pytest

import catlite
from catlite.cli.main import build_parser
from catlite.cli.options import models
from catlite.errors import ConfigError
from catlite.scale import ray_data

SAMPLING = {"temperature", "top_p", "max_tokens", "seed", "reasoning_effort", "judge_reasoning_effort"}
# Options for which Python has no argument of a function: what is printed, or a setting of a trainer.
OWN = {
    "help",
    "json",
    "out",
    "rollouts",
    "probe",
    "micro_batch",
    "save",
    "questions",
    "dry_run",
    "control",
    "engine",
    "image",
}
RECORDS = (catlite.from_records, catlite.Endpoint)
FUNCTIONS = {
    "synthesize": (catlite.synthesize,),
    "estimate": (catlite.estimate, ray_data.estimate, *RECORDS),
    "evaluate": (catlite.evaluate, catlite.healthbench, *RECORDS),
    "train": (catlite.train, catlite.TrainConfig, catlite.LocalModel, catlite.gsm8k, *RECORDS),
    "demo-train": (catlite.train, catlite.TrainConfig),
    "rubric": (catlite.propose_rubric, catlite.Endpoint),
    "judge": (catlite.judge,),
    "report": (catlite.report,),
    "demo": (catlite.times_tables,),
}
PREFIXES = {"budget_": (catlite.Budget,), "judge_": (catlite.judge, catlite.Endpoint)}
INSIDE = {"judge", "n"}  # a judge is given inside a reward; TRL calls n num_generations


def names(*functions):
    return {name for function in functions for name in inspect.signature(function).parameters}


@pytest.mark.parametrize("command", FUNCTIONS)
def test_every_option_is_named_as_its_argument(command):
    parser = next(action for action in build_parser()._actions if action.dest == "command").choices[command]
    options = {option[2:].replace("-", "_") for action in parser._actions for option in action.option_strings}
    known = names(*FUNCTIONS[command]) | SAMPLING | OWN | INSIDE
    known |= {prefix + name for prefix, functions in PREFIXES.items() for name in names(*functions)}
    assert {option for option in options if option} - known - {"h"} == set()


def read(*options):
    return models(build_parser().parse_args(["estimate", "q.csv", *options]))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ([], "local"),
        (["--model", "gpt-4o-mini"], "gpt-4o-mini"),
        (["--model", "a=4", "--model", "b"], [("a", 4), ("b", 1)]),
        (["--model", "a=4"], "a"),  # one alone gives all replies
        (["--model=org/x:tag=v2=1"], "org/x:tag=v2"),  # = belongs to the name
        (["--model", "org/x:tag=v2=3", "--model", "a=08"], [("org/x:tag=v2", 3), ("a", 8)]),
    ],
)
def test_several_models_are_a_panel(options, named):
    assert read(*options) == named


@pytest.mark.parametrize("text", ["a=", "a=0", "a=-1", "a=1.5", "a=four", "a=٣", "=4", "a=4 ", "org/x:tag=v2"])
def test_what_is_no_count_is_told_with_what_to_write(text):
    with pytest.raises(ConfigError, match=f"--model {text}: .* is no count of replies. Write --model .*=4 .*{text}=1"):
        read("--model", text, "--model", "b")


@pytest.mark.parametrize(
    "command",
    [
        ("rubric", "text", "--model", "a", "--model", "b"),
        ("judge", "file", "--judge", "a", "--judge", "b"),
        ("evaluate", "math500", "--judge", "a", "--judge", "b"),
        ("synthesize", "q", "--anchor", "a", "--anchor", "b"),
        ("train", "math500", "--policy", "a", "--policy", "b"),
        ("train", "math500", "--judge", "a", "--judge", "b"),
    ],
)
def test_a_role_of_one_model_refuses_a_second(command, capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(command)
    assert f"{command[2]} is given twice, and takes one model" in capsys.readouterr().err
