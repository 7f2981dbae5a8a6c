"""catlite: Compute as Teacher (arXiv 2509.14234). Better answers and rewards from parallel rollouts.

Names load what they need when they are first used; `import catlite` itself costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOME = {
    "AnchoredVote": "catlite.references.anchored",
    "AnswerMatch": "catlite.rewards.answer_match",
    "BestOfN": "catlite.references.selection",
    "Budget": "catlite.runs.budget",
    "CatliteError": "catlite.errors",
    "Comparison": "catlite.experiments.compare",
    "Criterion": "catlite.criteria",
    "Endpoint": "catlite.models.http.endpoint",
    "Evaluation": "catlite.results",
    "Example": "catlite.data",
    "ExpertRubric": "catlite.rewards.rubric",
    "Group": "catlite.data",
    "Judgement": "catlite.data",
    "LengthPenalty": "catlite.rewards.length",
    "LocalModel": "catlite.models.local.model",
    "MajorityVote": "catlite.references.selection",
    "MinPerplexity": "catlite.references.selection",
    "Model": "catlite.models.base",
    "ModelAsJudge": "catlite.rewards.model_as_judge",
    "MutualPredictability": "catlite.references.selection",
    "Price": "catlite.models.http.prices",
    "RecursiveSynthesis": "catlite.references.recursive",
    "Reference": "catlite.data",
    "References": "catlite.references.dataset",
    "Replay": "catlite.models.replay",
    "Rollout": "catlite.data",
    "Rubric": "catlite.criteria",
    "RubricReward": "catlite.rewards.rubric",
    "SFTConfig": "catlite.training.config",
    "ScriptedModel": "catlite.models.scripted",
    "Synthesis": "catlite.references.synthesis",
    "Task": "catlite.data",
    "TrainConfig": "catlite.training.config",
    "TrainingRun": "catlite.training.run",
    "Usage": "catlite.usage",
    "Verdict": "catlite.criteria",
    "ajudge": "catlite.judging",
    "asynthesize": "catlite.api",
    "compare": "catlite.experiments.compare",
    "context_ablation": "catlite.experiments.ablations",
    "differences": "catlite.analysis.comparing",
    "disagreement": "catlite.analysis.comparing",
    "embedded": "catlite.models.embedded.model",
    "estimate": "catlite.api",
    "evaluate": "catlite.evaluation",
    "from_records": "catlite.tasks.records",
    "gsm8k": "catlite.tasks.gsm8k",
    "healthbench": "catlite.tasks.healthbench",
    "judge": "catlite.judging",
    "last_word": "catlite.tasks.last_word",
    "maj_at_k": "catlite.analysis.scaling",
    "math500": "catlite.tasks.math500",
    "pass_at_k": "catlite.analysis.scaling",
    "propose_rubric": "catlite.rewards.proposal",
    "question_ablation": "catlite.experiments.ablations",
    "reestimate": "catlite.evaluation",
    "report": "catlite.reporting.page",
    "scaling": "catlite.analysis.scaling",
    "sft": "catlite.training.sft",
    "synthesize": "catlite.api",
    "times_tables": "catlite.tasks.times_tables",
    "traces": "catlite.analysis.traces",
    "train": "catlite.training.grpo",
    "trl_reward": "catlite.training.reward",
}
_MODULES = frozenset({"analysis", "answers", "errors", "parsing", "tasks", "models", "references", "rewards"})

__all__ = sorted({*_HOME, *_MODULES})

if TYPE_CHECKING:
    from catlite import analysis as analysis, answers as answers, errors as errors, parsing as parsing
    from catlite.analysis.comparing import differences as differences, disagreement as disagreement
    from catlite.analysis.scaling import maj_at_k as maj_at_k, pass_at_k as pass_at_k, scaling as scaling
    from catlite.analysis.traces import traces as traces
    from catlite.api import asynthesize as asynthesize, estimate as estimate, synthesize as synthesize
    from catlite.criteria import Criterion as Criterion, Rubric as Rubric, Verdict as Verdict
    from catlite.data import (
        Example as Example,
        Group as Group,
        Judgement as Judgement,
        Reference as Reference,
        Rollout as Rollout,
        Task as Task,
    )
    from catlite.errors import CatliteError as CatliteError
    from catlite.evaluation import evaluate as evaluate, reestimate as reestimate
    from catlite.experiments.ablations import (
        context_ablation as context_ablation,
        question_ablation as question_ablation,
    )
    from catlite.experiments.compare import Comparison as Comparison, compare as compare
    from catlite.judging import ajudge as ajudge, judge as judge
    from catlite.models.base import Model as Model
    from catlite.models.embedded.model import embedded as embedded
    from catlite.models.http.endpoint import Endpoint as Endpoint
    from catlite.models.http.prices import Price as Price
    from catlite.models.local.model import LocalModel as LocalModel
    from catlite.models.replay import Replay as Replay
    from catlite.models.scripted import ScriptedModel as ScriptedModel
    from catlite.references.anchored import AnchoredVote as AnchoredVote
    from catlite.references.dataset import References as References
    from catlite.references.recursive import RecursiveSynthesis as RecursiveSynthesis
    from catlite.references.selection import (
        BestOfN as BestOfN,
        MajorityVote as MajorityVote,
        MinPerplexity as MinPerplexity,
        MutualPredictability as MutualPredictability,
    )
    from catlite.references.synthesis import Synthesis as Synthesis
    from catlite.reporting.page import report as report
    from catlite.results import Evaluation as Evaluation
    from catlite.rewards.answer_match import AnswerMatch as AnswerMatch
    from catlite.rewards.length import LengthPenalty as LengthPenalty
    from catlite.rewards.model_as_judge import ModelAsJudge as ModelAsJudge
    from catlite.rewards.proposal import propose_rubric as propose_rubric
    from catlite.rewards.rubric import ExpertRubric as ExpertRubric, RubricReward as RubricReward
    from catlite.runs.budget import Budget as Budget
    from catlite.tasks.gsm8k import gsm8k as gsm8k
    from catlite.tasks.healthbench import healthbench as healthbench
    from catlite.tasks.last_word import last_word as last_word
    from catlite.tasks.math500 import math500 as math500
    from catlite.tasks.records import from_records as from_records
    from catlite.tasks.times_tables import times_tables as times_tables
    from catlite.training.config import SFTConfig as SFTConfig, TrainConfig as TrainConfig
    from catlite.training.grpo import train as train
    from catlite.training.reward import trl_reward as trl_reward
    from catlite.training.run import TrainingRun as TrainingRun
    from catlite.training.sft import sft as sft
    from catlite.usage import Usage as Usage


def __getattr__(name: str) -> object:
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
        globals()[name] = value
        return value
    if name in _MODULES:
        return importlib.import_module(f"catlite.{name}")
    raise AttributeError(f"module 'catlite' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
