"""What is told where there is no Ray, or no cluster."""

import socket
import sys
import types

import pytest

from catlite.errors import ConfigError, MissingExtra, StoreError
from catlite.runs.files import Lock, NoLocks
from catlite.scale import cluster, ray_data
from catlite.scale.sharing import SharedRun


def test_without_ray_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"Ray Data needs catlite\[ray\]: pip install"):
        ray_data.estimate(["Why?"], "test-model", run=tmp_path)


def test_a_cluster_that_cannot_be_reached_is_told_soon(monkeypatch):
    def init(**_):
        raise AssertionError("Ray would wait for minutes")

    ray = types.ModuleType("ray")
    ray.is_initialized, ray.init, ray.data = lambda: False, init, types.ModuleType("ray.data")
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.data", ray.data)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConfigError, match=f"no Ray cluster can be reached at '127.0.0.1:{port}'.*ray start --head"):
        cluster.connect(f"127.0.0.1:{port}")


def test_images_are_refused_before_there_is_a_cluster(tmp_path):
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.test/b.png"}}]}]
    with pytest.raises(ConfigError, match="a prompt has an image"):
        ray_data.estimate([image], "test-model", run=tmp_path)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"run": "s3://bucket/run"}, "want a folder"),
        ({"budget": 5}, "want Budget"),
        ({"n": 0}, "n=0"),
        ({"nn": 1}, "nn"),
    ],
)
def test_a_wrong_argument_is_told_before_there_is_a_cluster(monkeypatch, tmp_path, settings, error):
    monkeypatch.setitem(sys.modules, "ray", None)  # would be told first
    with pytest.raises(ConfigError, match=error):
        ray_data.estimate(["Why?"], "test-model", **{"run": tmp_path} | settings)


def test_one_driver_at_a_time_works_on_a_folder(tmp_path):
    run = SharedRun(tmp_path, "run", None, None, None)
    other = Lock(tmp_path)
    with pytest.raises(StoreError, match="is in use by process"):
        cluster._lock(tmp_path)
    other.release()
    for _ in range(2):
        cluster._lock(tmp_path)
        with pytest.raises(StoreError, match=r"is open in this process: end it with close_run\(run\)"):
            cluster._lock(tmp_path)
        cluster.close_run(run)
        cluster.close_run(run)


def test_a_file_system_without_locks_will_do(tmp_path, monkeypatch):
    def no_lock(folder):
        raise NoLocks("no locks")

    monkeypatch.setattr(cluster, "Lock", no_lock)
    cluster._lock(tmp_path)
