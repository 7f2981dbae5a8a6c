"""The public names of catlite and their homes: what type checkers, editors and `lazy_loader` read."""

from . import (
    analysis as analysis,
    answers as answers,
    errors as errors,
    models as models,
    parsing as parsing,
    references as references,
    rewards as rewards,
    serving as serving,
    tasks as tasks,
)
from .analysis.at_k import maj_at_k as maj_at_k, pass_at_k as pass_at_k
from .analysis.comparing import differences as differences, disagreement as disagreement
from .analysis.traces import traces as traces
from .api import asynthesize as asynthesize, synthesize as synthesize
from .costs import Cost as Cost
from .criteria import Criterion as Criterion, Rubric as Rubric, Verdict as Verdict
from .data import (
    Example as Example,
    Group as Group,
    Judgement as Judgement,
    Reference as Reference,
    Rollout as Rollout,
    Task as Task,
)
from .errors import CatliteError as CatliteError
from .estimation import estimate as estimate
from .evaluation import evaluate as evaluate, reestimate as reestimate
from .experiments.ablations import context_ablation as context_ablation, question_ablation as question_ablation
from .experiments.compare import compare as compare
from .experiments.comparison import Comparison as Comparison
from .experiments.rubrics import (
    judge_ablation as judge_ablation,
    judge_mode_ablation as judge_mode_ablation,
    rubric_size_ablation as rubric_size_ablation,
    rubric_source_ablation as rubric_source_ablation,
)
from .experiments.scaling import scaling as scaling
from .judging import ajudge as ajudge, judge as judge
from .models.base import Model as Model
from .models.embedded.model import embedded as embedded
from .models.http.batch import BatchEndpoint as BatchEndpoint
from .models.http.endpoint import Endpoint as Endpoint
from .models.http.prices import Price as Price
from .models.local.model import LocalModel as LocalModel
from .models.panel import Panel as Panel
from .models.replay import Replay as Replay
from .models.scripted import ScriptedModel as ScriptedModel
from .parts import image as image
from .pricing import cost as cost
from .references.anchored import AnchoredVote as AnchoredVote
from .references.dataset import References as References
from .references.recursive import RecursiveSynthesis as RecursiveSynthesis
from .references.selection import (
    BestOfN as BestOfN,
    MinPerplexity as MinPerplexity,
    MutualPredictability as MutualPredictability,
)
from .references.synthesis import Synthesis as Synthesis
from .references.vote import MajorityVote as MajorityVote
from .reporting.page import report as report
from .results import Evaluation as Evaluation
from .rewards.answer_match import AnswerMatch as AnswerMatch
from .rewards.length import LengthPenalty as LengthPenalty
from .rewards.likelihood import ReferenceLikelihood as ReferenceLikelihood
from .rewards.model_as_judge import ModelAsJudge as ModelAsJudge
from .rewards.proposal import propose_rubric as propose_rubric
from .rewards.relative import RelativeJudge as RelativeJudge
from .rewards.rubric import ExpertRubric as ExpertRubric, RubricReward as RubricReward
from .rewards.vote_share import VoteShare as VoteShare
from .runs.budget import Budget as Budget
from .streaming import (
    Done as Done,
    ReferenceText as ReferenceText,
    RolloutDone as RolloutDone,
    astream as astream,
    stream as stream,
)
from .tasks.arithmetic import arithmetic as arithmetic
from .tasks.gsm8k import gsm8k as gsm8k
from .tasks.healthbench import (
    healthbench as healthbench,
    healthbench_professional as healthbench_professional,
)
from .tasks.larger import larger as larger
from .tasks.last_word import last_word as last_word
from .tasks.math500 import math500 as math500
from .tasks.records import from_records as from_records
from .tasks.times_tables import times_tables as times_tables
from .training.config import SFTConfig as SFTConfig, TrainConfig as TrainConfig
from .training.grpo import train as train
from .training.reward import trl_reward as trl_reward
from .training.run import TrainingRun as TrainingRun
from .training.sft import sft as sft
from .usage import Usage as Usage

__version__: str
__all__: list[str]
