"""An option has the name of the argument that it stands for."""

import inspect

import pytest

import catlite
from catlite.cli.main import build_parser

SAMPLING = {"temperature", "top_p", "max_tokens", "seed", "reasoning_effort", "judge_reasoning_effort"}
# Options for which Python has no argument of a function: what is printed, or a setting of a trainer.
OWN = {"help", "json", "out", "rollouts", "probe", "micro_batch", "save", "questions", "dry_run", "control"}
RECORDS = (catlite.from_records, catlite.Endpoint)
FUNCTIONS = {
    "synthesize": (catlite.synthesize,),
    "estimate": (catlite.estimate, *RECORDS),
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
