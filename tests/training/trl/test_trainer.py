"""Our trainers override what TRL offers, and TRL calls it as we expect: another TRL that does not fails here."""

import ast
import inspect
import textwrap

import pytest

torch = pytest.importorskip("torch", reason="needs catlite[train]")
pytest.importorskip("trl", reason="needs catlite[train]")
from trainings import newer_trl, small, trained  # noqa: E402
from transformers import Trainer  # noqa: E402
from trl import GRPOTrainer, SFTTrainer  # noqa: E402

from catlite.errors import ConfigError  # noqa: E402
from catlite.training.trl.scoring import Scorer  # noqa: E402
from catlite.training.trl.trainer import CatGRPOTrainer, CatSFTTrainer, Halt, _Watched  # noqa: E402

pytestmark = pytest.mark.filterwarnings("default")  # what torch and its friends warn about is not ours


def tree_of(method):
    return ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(method))))


def calls(method, *functions):
    """The calls that the source of `method` makes to these functions, written as they are there."""
    nodes = [node for node in ast.walk(tree_of(method)) if isinstance(node, ast.Call)]
    return [node for node in nodes if ast.unparse(node.func) in functions]


def names(method):
    """Every name and attribute in the source of `method`."""
    nodes = list(ast.walk(tree_of(method)))
    return {node.attr for node in nodes if isinstance(node, ast.Attribute)} | {
        node.id for node in nodes if isinstance(node, ast.Name)
    }


@pytest.mark.parametrize(
    ("ours", "theirs", "name", "parameters"),
    [
        (CatGRPOTrainer, GRPOTrainer, "_generate_single_turn", ["self", "prompt_ids"]),
        (CatGRPOTrainer, GRPOTrainer, "_generate_and_score_completions", ["self", "inputs"]),
        (CatGRPOTrainer, GRPOTrainer, "_prepare_inputs", ["self", "generation_batch"]),
        (CatGRPOTrainer, GRPOTrainer, "_get_per_token_logps_and_entropies", ["self", "model"]),
        (CatSFTTrainer, SFTTrainer, "compute_loss", ["self", "model", "inputs"]),
        (_Watched, GRPOTrainer, "training_step", ["self"]),
        (_Watched, GRPOTrainer, "log", ["self", "logs", "start_time"]),
        (_Watched, SFTTrainer, "log", ["self", "logs", "start_time"]),
    ],
)
@newer_trl
def test_each_override_has_the_parameters_that_trl_declares(ours, theirs, name, parameters):
    assert name in vars(ours)
    for kind in (ours, theirs):
        assert list(inspect.signature(getattr(kind, name)).parameters)[: len(parameters)] == parameters, kind


def test_nothing_else_of_trl_is_overridden():
    for ours, theirs in ((CatGRPOTrainer, GRPOTrainer), (CatSFTTrainer, SFTTrainer)):
        own = {name for kind in (ours, _Watched) for name in vars(kind) if not name.startswith("__")}
        assert {name for name in own if hasattr(theirs, name)} <= {
            "_generate_single_turn",
            "_generate_and_score_completions",
            "_prepare_inputs",
            "_get_per_token_logps_and_entropies",
            "compute_loss",
            "training_step",
            "log",
        }


@newer_trl
def test_rollouts_are_drawn_from_tokens_and_go_back_as_tokens():
    (call,) = calls(GRPOTrainer._generate, "self._generate_single_turn")
    assert ast.unparse(call.args[0]) == "prompt_ids"
    assert "completion_ids, logprobs = self._generate_single_turn" in ast.unparse(
        tree_of(GRPOTrainer._generate)
    ).replace("(completion_ids, logprobs)", "completion_ids, logprobs")


@newer_trl
def test_a_step_is_cut_into_micro_batches_as_trl_cuts_it():
    """Ours is TRL's own method without the shuffle, and without what images need."""
    images = {"split_pixel_values_by_grid", "unsplit_pixel_values_by_grid"}
    evaluation = {
        "mode",
        "num_iterations",
        "generate_every",
        "inputs",
        "generation_batches",
        "batch",
        "profiling_decorator",
    }
    theirs = names(GRPOTrainer._prepare_inputs) - images - evaluation - {"shuffle_sequence_dict"}
    ours = names(CatGRPOTrainer._prepare_inputs)
    assert theirs - {"torch", "Any", "dict", "str", "Tensor"} <= ours
    assert {"split_tensor_dict", "_generate_and_score_completions", "_buffered_inputs", "_step"} <= theirs


@newer_trl
@pytest.mark.parametrize(
    ("method", "call"),
    [
        (GRPOTrainer._get_per_token_logps_and_entropies, "model(**model_inputs, labels=labels, fused_lm_head=True)"),
        (SFTTrainer.compute_loss, "model(**inputs, fused_lm_head=True)"),
    ],
)
def test_losses_call_the_model_and_do_nothing_else_with_it(method, call):
    """So that a Scorer may stand in its place."""
    tree = tree_of(method)
    called = [node.func for node in calls(method, "model")]
    assert call in [ast.unparse(node) for node in calls(method, "model")]
    handed_on = [call.args[0] for call in calls(method, "super().compute_loss")]  # sequence parallelism
    loads = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "model"]
    assert len(loads) == len(called) + len(handed_on)


@newer_trl
def test_a_scorer_answers_with_what_the_losses_read():
    from trl.trainer.utils import FusedCausalLMOutput

    read = set()
    for method in (GRPOTrainer._get_per_token_logps_and_entropies, SFTTrainer.compute_loss):
        nodes = [node for node in ast.walk(tree_of(method)) if isinstance(node, ast.Attribute)]
        read |= {node.attr for node in nodes if ast.unparse(node.value) == "outputs"}
    # The logits are read of the model's own output, for `compute_metrics`, which we do not pass.
    assert read - {"logits"} <= {"log_probs", "entropy", "is_top1", "label_mask", "aux_loss"}
    assert read - {"logits"} <= set(FusedCausalLMOutput.__dataclass_fields__)


def test_transformers_keeps_what_was_logged_last_and_writes_checkpoints_for_a_model():
    assert {"log_history", "append"} <= names(Trainer.log)
    assert list(inspect.signature(Trainer._save_checkpoint).parameters)[:3] == ["self", "model", "trial"]
    assert calls(Trainer.training_step, "self._prepare_inputs")


def test_a_trainer_without_a_watch_is_trls():
    trainer = object.__new__(CatGRPOTrainer)
    trainer.watch, trainer._share_prompts = None, True
    trainer.args = type("Arguments", (), {"num_iterations": 1, "steps_per_generation": 1, "loss_type": "grpo"})()
    trainer.args.gradient_accumulation_steps, trainer.args.gradient_checkpointing = 1, False
    assert not trainer._keeps_order


def with_accelerator(kind):
    """What stands for the constructor of a trainer in processes of this kind."""

    def build(trainer, *_, **__):
        trainer.accelerator = type("Accelerator", (), {"distributed_type": kind})()

    return build


@newer_trl
@pytest.mark.parametrize(("kind", "scores"), [("NO", True), ("MULTI_GPU", True), ("FSDP", False), ("DEEPSPEED", False)])
def test_a_model_that_is_split_over_processes_is_read_as_trl_reads_it(monkeypatch, kind, scores):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(GRPOTrainer, "__init__", with_accelerator(kind))
    trainer = CatGRPOTrainer("model")
    trainer.accelerator.unwrap_model = lambda model: model
    assert (trainer._share_prompts, trainer._scores) == (scores, scores)
    models = []
    monkeypatch.setattr(
        GRPOTrainer, "_get_per_token_logps_and_entropies", lambda self, model, *_, **__: models.append(model)
    )
    trainer.temperature = 1.0
    trainer._get_per_token_logps_and_entropies("model")
    assert isinstance(models[0], Scorer) is scores


@newer_trl
def test_a_model_that_is_split_over_processes_is_refused_without_a_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for ours, theirs in ((CatGRPOTrainer, GRPOTrainer), (CatSFTTrainer, SFTTrainer)):
        monkeypatch.setattr(theirs, "__init__", with_accelerator("FSDP"))
        with pytest.raises(ConfigError, match="on a CPU give each process all of it"):
            ours("model")


def test_a_step_that_is_given_up_ends_before_its_loss(folder, monkeypatch):
    losses, halts = [], []
    loss = GRPOTrainer.compute_loss
    monkeypatch.setattr(GRPOTrainer, "compute_loss", lambda *given, **named: losses.append(1) or loss(*given, **named))
    made = Halt.__init__
    monkeypatch.setattr(Halt, "__init__", lambda halt, *given: halts.append(given) or made(halt, *given))

    async def nothing(group, reference):
        return [None] * len(group.rollouts)

    run = trained(folder, reward=nothing, config=small(steps=1))
    assert not run.complete
    assert (len(halts), losses) == (1, [])


def test_the_model_itself_is_left_as_trl_made_it(folder):
    """Nothing of the process or of the model is patched: a Scorer takes the model's place in a call."""
    from trl.trainer import grpo_trainer, utils

    before = {module: dict(vars(module)) for module in (grpo_trainer, utils)}
    run = trained(folder, config=small(steps=1))
    assert {module: dict(vars(module)) for module in (grpo_trainer, utils)} == before
    assert Scorer.__call__ not in vars(run.policy.model.get_base_model()).values()


@newer_trl
@pytest.mark.parametrize(
    ("trl", "whole"), [({}, True), ({"num_iterations": 2}, False), ({"loss_type": "bnpo"}, False)], ids=str
)
def test_a_micro_batch_is_a_group_where_that_is_only_rounding(folder, monkeypatch, trl, whole):
    from trl import GRPOTrainer

    prompts = []
    loss = GRPOTrainer.compute_loss

    def spy(self, model, inputs, *rest, **more):
        prompts.append(len({tuple(row) for row in inputs["prompt_ids"].tolist()}))
        return loss(self, model, inputs, *rest, **more)

    monkeypatch.setattr(GRPOTrainer, "compute_loss", spy)
    trained(folder, config=small(steps=2, trl={**trl, "per_device_train_batch_size": 4}))
    assert (set(prompts) == {1}) == whole
