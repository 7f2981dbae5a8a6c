"""verl's own classes on a CPU, from its configuration to its advantages, with a stand-in for the policy's server.

Left out: the losses and the engines, which need GPUs. `make scale` runs this in an environment with verl.
"""

import asyncio
import os
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("verl", reason="needs catlite[verl]")
import numpy as np
import ray
import torch
import verl_model
from verl_model import replies_of

import catlite
from catlite import Example, References, Task
from catlite.errors import ConfigError, TrainingError

pytestmark = pytest.mark.filterwarnings("default")  # what verl and its friends warn about is not ours
ROOT = Path(catlite.__file__).parents[1]
PROMPTS, FEW = 200, 24  # in one process, and through Ray and verl's store, which take a while
BROKEN = frozenset(range(3, PROMPTS, 20))  # prompts of which the policy's server loses a rollout
UNSCORED = frozenset(range(7, PROMPTS, 20))  # prompts for which the vote's provider fails
TASK = Task("numbers", tuple(Example(f"Say {n}", str(n), answer_format="boxed", id=str(n)) for n in range(FEW)))


def compose(*overrides):
    from hydra import compose as composed, initialize_config_dir

    with initialize_config_dir(str(ROOT / "examples"), version_base=None):
        return composed("verl_math500", overrides=list(overrides))


def example():
    from test_examples import load

    return load(ROOT / "examples" / "verl_math500.py")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data")
    example().write(TASK, path)
    return path


@pytest.fixture(scope="module")
def settings(folder, data):
    return [
        f"actor_rollout_ref.model.path={folder}",
        "actor_rollout_ref.rollout.agent.num_workers=2",
        f"data.train_files={data}/train.parquet",
        f"data.val_files={data}/val.parquet",
        f"data.train_batch_size={FEW}",
        "data.max_prompt_length=64",
        "data.max_response_length=64",
        "data.shuffle=false",
        "data.dataloader_num_workers=0",
        "data.filter_overlong_prompts_workers=null",
        "transfer_queue.enable=true",
        "transfer_queue.backend.SimpleStorage.num_data_storage_units=1",
        f"catlite.path={ROOT}/tests/verl_model.py",
        "catlite.name=failing_vote",
    ]


@pytest.fixture(scope="module")
def config(settings):
    from omegaconf import OmegaConf
    from verl.experimental.reward_loop import migrate_legacy_reward_impl

    config = migrate_legacy_reward_impl(compose(*settings))
    OmegaConf.resolve(config)
    return config


def advantages_of(texts):
    """GRPO's, of rewards that are 1 for the answer that most have, which comes first."""
    rewards = np.array([float(text == texts[0]) for text in texts])
    return rewards, (rewards - rewards.mean()) / (rewards.std(ddof=1) + 1e-6)


class Store:
    """What verl's workers need of its store."""

    def __init__(self):
        self.status, self.rows, self.partitions = {}, {}, set()

    def init(self):
        pass

    async def async_kv_put(self, key, partition_id, tag):
        self.status[key] = tag["status"]

    async def async_kv_batch_put(self, keys, fields, tags, partition_id):
        self.partitions.add(partition_id)
        self.rows.update(zip(keys, fields, strict=True))


@pytest.fixture
def worker(monkeypatch, config):
    """A worker in this process, with a store of its own and a scorer that is no actor."""
    from verl.trainer.ppo.v1 import agent_loop_tq

    from catlite.scale import verl as ours

    monkeypatch.setenv("VERL_TEST_ASKED", os.devnull)
    monkeypatch.setattr(agent_loop_tq, "tq", Store())
    scorer = ours.Scorer(config.catlite.path, config.catlite.name)
    actor = SimpleNamespace(score=SimpleNamespace(remote=scorer.score))
    monkeypatch.setattr(ours.ray, "get_actor", lambda name: actor)
    worker = ours.GroupRewardWorker(config, None)
    worker.llm_client = verl_model.Policy(worker.tokenizer, BROKEN)
    worker.store = agent_loop_tq.tq
    return worker


def prompt(number, **more):
    row = {"uid": f"uid{number}", "raw_prompt": [{"role": "user", "content": f"Say {number}"}], "global_steps": 1}
    return row | {"agent_name": "single_turn_agent", "extra_info": {"id": str(number)}, **more}


def run_prompts(worker, prompts, validate=False):
    async def work():
        trajectory = {"step": 1, "sample_index": 0, "rollout_n": 0, "validate": validate}
        await asyncio.gather(*(worker._run_prompt(prompt, {}, trajectory) for prompt in prompts))

    asyncio.run(work())


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    import transfer_queue as tq

    asked = tmp_path_factory.mktemp("asked") / "asked.txt"
    variables = {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}",
        "VERL_TEST_ASKED": str(asked),
        "TRANSFER_QUEUE_ENABLE": "1",
        "OMP_NUM_THREADS": "1",
    }
    ray.init(address="local", num_cpus=16, include_dashboard=False, runtime_env={"env_vars": variables})
    yield asked
    tq.close()
    ray.shutdown()


@pytest.fixture(scope="module")
def trainer(cluster, config):
    """verl's synchronous trainer, as far as it needs no GPU, and our manager made as verl makes it."""
    import transfer_queue as tq
    from verl.experimental.reward_loop import RewardLoopManager
    from verl.trainer.main_ppo import TaskRunnerV1
    from verl.trainer.ppo.v1 import PPOTrainerSync

    tq.init(config.transfer_queue)
    trainer = PPOTrainerSync(config)
    trainer._init_tokenizer()
    trainer._init_dataloader()
    trainer.global_steps = 1
    trainer.reward_loop_manager = RewardLoopManager(config)
    trainer.checkpoint_manager = SimpleNamespace(sleep_replicas=lambda: None)
    trainer.curr_step_profile = False
    trainer.actor_rollout_wg = SimpleNamespace(_dispatch_info={"actor": [0]})
    runner = TaskRunnerV1.__ray_metadata__.modified_class()
    runner.config, runner.trainer = config, trainer
    trainer.get_llm_client = lambda: verl_model.Policy(trainer.tokenizer, BROKEN)
    runner.init_agent_loop_manager()
    trainer.agent_loop_manager = runner.agent_loop_manager
    return trainer


def train_one_step(trainer):
    """The steps of verl's trainer up to the advantages; the keys of the batch, and what its store holds for them."""
    import transfer_queue as tq

    metrics = {}
    trainer.prepare_step()
    batch, _ = trainer.replay_buffer.sample(global_steps=1, partition_id="train", batch_size=FEW)
    batch = trainer._balance_batch(batch, metrics)
    batch = trainer._compute_advantage(batch, metrics)
    fields = ["uid", "raw_prompt", "rm_scores", "advantages", "response_mask", "responses", "extra_fields"]
    return batch, tq.kv_batch_get(keys=batch.keys, partition_id="train", select_fields=fields)


def test_the_ready_configuration_sets_only_what_verl_has():
    from hydra import compose as composed, initialize_config_module
    from omegaconf import OmegaConf
    from verl.trainer.main_ppo import validate_config
    from verl.utils.import_utils import load_class_from_fqn

    ours = compose()
    with initialize_config_module("verl.trainer.config", version_base=None):
        verls = composed("ppo_trainer")
    settings = OmegaConf.load(ROOT / "examples" / "verl_math500.yaml")
    for name in ("hydra", "defaults", "catlite"):
        del settings[name]
    own = settings.actor_rollout_ref.rollout.agent.pop("agent_loop_manager_class")
    assert load_class_from_fqn(own).__name__ == "GroupRewardManager"
    OmegaConf.set_struct(verls, True)
    OmegaConf.merge(verls, settings)  # raises for a name that verl does not know
    validate_config(config=ours, use_reference_policy=True, use_critic=False)


def test_two_hundred_groups_become_advantages_and_failed_ones_nothing(worker):
    from verl import DataProto
    from verl.trainer.ppo.v1.utils import compute_advantage_for_multi_trajectories
    from verl.utils.tensordict_utils import list_of_dict_to_tensordict

    run_prompts(worker, map(prompt, range(PROMPTS)))
    status = worker.store.status
    assert {number for number in range(PROMPTS) if status[f"uid{number}"] == "failure"} == BROKEN | UNSCORED
    rows = worker.store.rows
    assert {key.split("_")[0] for key in rows} == {key for key in status if status[key] == "finished"}

    fields = [{name: row[name] for name in ("uid", "response_mask", "rm_scores")} for row in rows.values()]
    data = DataProto(batch=list_of_dict_to_tensordict(fields).to_padded_tensor())
    data.batch["token_level_rewards"] = data.batch["token_level_scores"] = data.batch["rm_scores"]
    data.non_tensor_batch["uid"] = np.array(data.batch.pop("uid").tolist(), dtype=object)
    data = compute_advantage_for_multi_trajectories(data, list(rows), "grpo")
    for row, scores, advantages in zip(rows.values(), data.batch["rm_scores"], data.batch["advantages"], strict=True):
        texts = replies_of(int(row["uid"][3:]))
        rewards, expected = advantages_of(texts)
        at = texts.index(worker.tokenizer.decode(row["responses"], skip_special_tokens=True))
        assert scores.sum() == rewards[at]
        assert advantages[0] == pytest.approx(expected[at], abs=1e-5)
    assert {row["extra_fields"]["reward_extra_info"]["rewarded"] for row in rows.values()} == {1.0}
    assert worker._gatherings == {}


def test_a_prompt_has_as_many_rollouts_as_verl_says_and_a_lone_one_is_no_group(worker):
    run_prompts(worker, [prompt(0, __rollout_n__=3), prompt(1, __rollout_n__=1)])
    assert worker.store.status == {"uid0": "finished", "uid1": "failure"}
    assert sorted(worker.store.rows) == ["uid0_0_0", "uid0_1_0", "uid0_2_0"]


def test_settings_that_make_no_groups_are_refused(config):
    from omegaconf import OmegaConf

    from catlite.scale.verl import GroupRewardManager

    for change, message in (
        ({"catlite": None}, r"\+\+catlite\.path"),
        ({"actor_rollout_ref": {"rollout": {"n": 1}}}, "n=1"),
    ):
        with pytest.raises(ConfigError, match=message):
            GroupRewardManager(OmegaConf.merge(config, change), None)


def test_no_prompt_is_sent_once_no_group_can_be_rewarded_but_validation_is(monkeypatch):
    from catlite.scale import verl as ours

    sent = []
    scorer = ours.GroupScorer(catlite.trl_reward(catlite.MajorityVote(), answer_format="boxed"))
    manager = object.__new__(ours.GroupRewardManager)
    manager._scorer = SimpleNamespace(check=SimpleNamespace(remote=scorer.check))
    monkeypatch.setattr(ours.ray, "get", lambda value: value)
    monkeypatch.setattr(ours.AgentLoopManagerTQ, "generate_sequences", lambda self, prompts: sent.append(prompts))
    manager.generate_sequences({})
    scorer.end = "the budget is reached"
    with pytest.raises(TrainingError, match="budget is reached"):
        manager.generate_sequences({})
    manager.generate_sequences({"validate": True})
    assert sent == [{}, {"validate": True}]


def test_references_are_data_that_verl_reads_keeps_and_scores(worker, config, tmp_path):
    """From the Parquet file through verl's dataset, agent loop and store to its reward manager."""
    from example_references import FAILED, open_ended, reference
    from verl import DataProto
    from verl.experimental.reward_loop.reward_manager import get_reward_manager_cls
    from verl.utils import tensordict_utils as tu
    from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn

    made = References([reference("Say 0", answer="0"), FAILED, open_ended("Say 1"), reference("Say 2", answer="2")])
    path = made.to_parquet(tmp_path / "refs.parquet", "verl")
    dataset = RLHFDataset([str(path)], worker.tokenizer, config.data)
    batch = tu.get_tensordict(collate_fn([dataset[at] for at in range(len(dataset))]))
    rows = [dataset[at] for at in range(len(batch))]
    assert [row["reward_model"]["ground_truth"] for row in rows] == ["0", "Because.", "2"]
    run_prompts(worker, [prompt(at, **rows[at]) for at in (0, 2)])
    assert worker.store.status == {"uid0": "finished", "uid2": "finished"}

    (code,) = re.findall(r'```python title="reward.py"\n(.*?)```', (ROOT / "docs" / "data.md").read_text(), re.DOTALL)
    names = {}
    exec(code, names)
    manager = get_reward_manager_cls("naive")(config, worker.tokenizer, names["compute_score"])
    scores = []
    for key, row in worker.store.rows.items():
        tensors = {
            "responses": row["responses"][None],
            "attention_mask": torch.ones(1, len(row["responses"]), dtype=torch.int64),
        }
        more = {name: np.array([row[name]], dtype=object) for name in ("data_source", "reward_model", "extra_info")}
        result = manager.loop.run_until_complete(manager.run_single(DataProto.from_dict(tensors, more)))
        text = worker.tokenizer.decode(row["responses"], skip_special_tokens=True)
        scores.append((result["reward_score"], float(text == rf"So \boxed{{{key[3]}}}")))
    assert [ours for ours, _ in scores] == [expected for _, expected in scores]
    assert {0.0, 1.0} == {ours for ours, _ in scores}


def test_a_training_through_ray_and_verls_store_scores_in_one_place(trainer, cluster):
    batch, held = train_one_step(trainer)
    real = [at for at, tag in enumerate(batch.tags) if not tag.get("is_padding")]
    groups = {}
    for at in real:
        number = int(held["raw_prompt"][at][0]["content"].split("Say ")[1])
        text = trainer.tokenizer.decode(held["responses"][at], skip_special_tokens=True)
        groups.setdefault(number, {})[text] = held["advantages"][at]
    assert groups.keys() == set(range(FEW)) - BROKEN - UNSCORED
    for number, advantages in groups.items():
        texts = replies_of(number)
        for text, expected in zip(texts, advantages_of(texts)[1], strict=True):
            assert np.allclose(advantages[text], expected, atol=1e-5)
    assert all(not held["response_mask"][at].any() for at in range(len(batch.keys)) if at not in real)
    asked = [line.split() for line in cluster.read_text().splitlines()]
    assert sorted(int(number) for number, _ in asked) == sorted(set(range(FEW)) - BROKEN)
    assert len({process for _, process in asked}) == 1


def test_validation_is_verls_own_with_gold_answers(trainer):
    metrics = trainer._validate()
    assert metrics["val-core/HuggingFaceH4/MATH-500/acc/mean@1"] == 1.0
