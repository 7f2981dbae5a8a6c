"""Ray Data for real: two nodes on this machine, an endpoint on loopback, and everything that may die does.

`make scale` installs Ray and runs this. What the actors do is tested without Ray in test_sharing.py.
"""

import os
import signal
import sys
import time
from pathlib import Path

import children
import pytest
from server import Server

import catlite
from catlite.errors import ConfigError
from catlite.references.files import COLUMNS
from catlite.scale import ray_data

ray = pytest.importorskip("ray", reason="needs catlite[ray]: make scale")
pytest.importorskip("ray.data", reason="needs catlite[ray]: make scale")
pytestmark = [
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("default"),  # Ray's own are many
]
N = 3  # rollouts; with the synthesis 4 calls a question
CALLS = N + 1


@pytest.fixture(scope="module")
def served():
    """A server on loopback that takes one choice at a time, and knows a key that is in the environment of the nodes."""
    with Server(lambda body, i: r"It is \boxed{7}.", takes_n=False, latency=0.05) as server:
        yield server


@pytest.fixture(scope="module")
def cluster(served):
    """Two nodes of two CPUs, of which the first is the driver's."""
    from ray.cluster_utils import Cluster

    os.environ["OPENAI_API_KEY"] = served.key
    os.environ["PYTHONPATH"] = os.pathsep.join(
        [str(Path(catlite.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    )
    node = {"num_cpus": 2, "object_store_memory": 150 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
    cluster.add_node(**node)
    ray_data.connect(cluster.address)
    yield cluster
    ray.shutdown()
    cluster.shutdown()
    del os.environ["OPENAI_API_KEY"]


@pytest.fixture
def model(cluster, served, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", served.key)
    served.script(())
    return catlite.Endpoint("test-model", base_url=served.url, max_tokens=64, max_connections=8)


def questions(count):
    return [f"What is {number} times 7?" for number in range(count)]


def estimated(model, run, count=40, **settings):
    return ray_data.estimate(questions(count), model, run=run, n=N, answer_format="boxed", **settings)


def test_references_come_in_order_from_both_nodes_and_again_without_a_call(model, served, tmp_path):
    sent = served.completions
    first = estimated(model, tmp_path, actors=2)
    assert [reference.error for reference in first] == [None] * 40
    assert [reference.group.example.prompt for reference in first] == questions(40)
    assert {(reference.answer, reference.support) for reference in first} == {("7", (N, N))}
    assert served.completions - sent == 40 * CALLS
    again = estimated(model, tmp_path, actors=2)
    assert list(again) == list(first)
    assert served.completions - sent == 40 * CALLS


def test_a_killed_actor_repeats_no_more_than_it_had_in_flight(model, served, tmp_path):
    sent, killed = served.completions, []

    def kill(number, body):
        if number - sent == 60:
            killed.append(_kill_an_actor())

    served.script(kill)
    references = estimated(model, tmp_path, actors=2)
    assert killed[0]
    assert [reference.error for reference in references] == [None] * 40
    assert served.completions - sent <= 40 * CALLS + model.max_connections


def _kill_an_actor():
    """SIGKILL to a process that works on rows; its id."""
    import psutil

    for process in psutil.process_iter(["cmdline"]):
        if any("MapWorker" in part for part in process.info["cmdline"] or ()):
            process.kill()
            return process.pid
    return None


def test_a_node_that_is_removed_costs_no_row(model, cluster, served, tmp_path):
    sent = served.completions
    node = cluster.add_node(num_cpus=2, object_store_memory=100 * 2**20)
    removed = []

    def remove(number, body):
        if number - sent == 60:
            removed.append(node)
            import threading

            threading.Thread(target=lambda: cluster.remove_node(node, allow_graceful=False)).start()

    served.script(remove)
    references = estimated(model, tmp_path, actors=3)
    assert removed
    assert [reference.error for reference in references] == [None] * 40
    assert served.completions - sent <= 40 * CALLS + 2 * model.max_connections


DRIVER = """
import sys
import catlite
from catlite.scale import ray_data
url, folder, address = sys.argv[1:]
model = catlite.Endpoint("test-model", base_url=url, max_tokens=64, max_connections=8)
questions = [f"What is {number} times 7?" for number in range(40)]
ray_data.estimate(questions, model, run=folder, n=3, answer_format="boxed", address=address, actors=2)
"""


def test_after_a_killed_driver_the_same_call_asks_for_what_is_missing(model, cluster, served, tmp_path):
    sent = served.completions
    command = [sys.executable, "-c", DRIVER, served.url, str(tmp_path), cluster.address]
    with children.start(command, limit=600) as driver:
        end = time.monotonic() + 500
        while served.completions - sent < 60 and time.monotonic() < end:
            time.sleep(0.05)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    served.wait(lambda server: server.in_flight == 0, timeout=60)
    references = estimated(model, tmp_path, actors=2)
    assert [reference.error for reference in references] == [None] * 40
    assert served.completions - sent <= 40 * CALLS + 2 * model.max_connections


def test_a_budget_ends_in_rows_with_an_error_and_a_larger_one_goes_on(model, served, tmp_path):
    sent = served.completions
    references = estimated(model, tmp_path, actors=2, budget=catlite.Budget(requests=50))
    assert served.completions - sent == 50
    errors = [reference.error for reference in references.failed]
    assert errors
    assert all("the budget is reached" in error for error in errors)
    rest = estimated(model, tmp_path, actors=2, budget=catlite.Budget(requests=40 * CALLS))
    assert [reference.error for reference in rest] == [None] * 40
    assert served.completions - sent == 40 * CALLS


def test_calls_in_flight_are_limited_over_all_actors(model, served, tmp_path):
    served.peak_in_flight = 0
    estimated(model, tmp_path, count=20, actors=2, max_calls=4)
    assert served.peak_in_flight <= 4


def test_a_data_set_is_mapped_to_parquet_and_judged(model, served, tmp_path):
    run = ray_data.open_run(tmp_path / "run")
    rows = ray.data.from_items([{"id": f"q{n}", "prompt": text} for n, text in enumerate(questions(20))])
    references = ray_data.estimate_dataset(rows, model, run=run, n=N, answer_format="boxed")
    references.write_parquet(str(tmp_path / "references"))
    table = ray.data.read_parquet(str(tmp_path / "references"))
    assert table.schema().names == COLUMNS
    assert sorted(row["id"] for row in table.take_all()) == sorted(f"q{n}" for n in range(20))
    judge = {"reward": catlite.AnswerMatch(), "run": run, "answer_format": "boxed"}
    pool = ray.data.ActorPoolStrategy(size=1)
    judged = table.map_batches(
        ray_data.Judge, fn_constructor_kwargs=judge, batch_format="pyarrow", batch_size=8, num_cpus=0.5, compute=pool
    )
    assert [row["reward"] for row in judged.take_all()] == [1.0] * 20


def test_references_of_a_large_block_come_in_small_ones(model, served, tmp_path):
    run = ray_data.open_run(tmp_path / "run")
    rows = ray.data.range(300, override_num_blocks=1).map_batches(
        lambda batch: {"prompt": [f"What is {number} times 7?" for number in batch["id"]]}
    )
    references = ray_data.estimate_dataset(rows, model, run=run, n=1, estimator=catlite.MajorityVote(), actors=1)
    blocks = [batch.num_rows for batch in references.iter_batches(batch_size=None, batch_format="pyarrow")]
    assert sum(blocks) == 300
    assert max(blocks) <= 64  # a task keeps its block in memory until the last row is done
    ray_data.close_run(run)


def test_the_key_is_in_nothing_that_ray_writes_and_no_file_of_the_run(model, served, tmp_path):
    estimated(model, tmp_path, count=8, actors=2)
    logs = Path(ray._private.worker._global_node.get_session_dir_path())
    for path in [*tmp_path.rglob("*"), *logs.rglob("*")]:
        if path.is_file():
            assert served.key.encode() not in path.read_bytes(), path


def test_a_folder_that_is_not_shared_is_told_before_anything_is_sent(model, served, tmp_path):
    sent, run = served.completions, ray_data.open_run(tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "elsewhere")  # as on nodes that do not mount it
    rows = ray.data.from_items([{"prompt": "Why?"}])
    with pytest.raises(Exception, match="is not shared: node"):
        ray_data.estimate_dataset(rows, model, run=run, n=N).take_all()
    assert served.completions == sent


def test_what_does_not_pickle_is_told_with_what_to_do(cluster, served, tmp_path):
    class Own:
        name = "own"
        lock = __import__("threading").Lock()

        def __init__(self):
            self.held = self.lock

        async def sample(self, prompt, n=1, **sampling):
            return []

    with pytest.raises(ConfigError, match=r"does not pickle.*a function without arguments"):
        estimated(Own(), tmp_path)
    with pytest.raises(ConfigError, match="key"):
        estimated(catlite.Endpoint("test-model", base_url=served.url, api_key="sk-by-hand-123456"), tmp_path)


def test_a_cap_in_dollars_without_a_price_is_told_before_there_is_an_actor(model, served, tmp_path):
    sent = served.completions
    with pytest.raises(ConfigError, match="needs the price"):
        estimated(model, tmp_path, budget=catlite.Budget(usd=1.0))
    assert served.completions == sent
