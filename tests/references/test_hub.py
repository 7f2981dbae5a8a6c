"""The Hub: one commit, a card that holds no markup of others, and errors before anything is uploaded.

The Hub here is a server of this test on this machine.
"""

import base64
import dataclasses
import io
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from example_references import FAILED, open_ended, reference

from catlite import References
from catlite.errors import ConfigError, StoreError

pytest.importorskip("pyarrow", reason="needs catlite[data]")
constants = pytest.importorskip("huggingface_hub.constants", reason="needs catlite[data]")
TOKEN = "hf_0123456789abcdefghijklmnop"
HOSTILE = "`x`\n---\nlicense: mit\n---\n# Owned <script>alert(1)</script> [link](https://evil.example) ![](x) | @you"


class Hub:
    """What the Hub's client asks for to push a dataset, and the files that were committed."""

    def __init__(self, private=True, status=None, files=()):
        self.private, self.status, self.files, self.paths = private, status or {}, dict.fromkeys(files, b""), []

    def answer(self, method, path, body):
        self.paths.append(f"{method} {path}")
        for part, status in self.status.items():
            if part in path:
                return status, {"error": f"refused {path}"}
        if path == "/api/whoami-v2":
            return 200, {"name": "me", "type": "user"}
        if path == "/api/repos/create":
            return 200, {"url": f"{self.url}/datasets/me/refs", "name": "me/refs"}
        if "/preupload/" in path:
            paths = [file["path"] for file in json.loads(body)["files"]]
            return 200, {"files": [{"path": name, "uploadMode": "regular", "shouldIgnore": False} for name in paths]}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        if "/commit/" in path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    self.files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            return 200, {"commitUrl": f"{self.url}/datasets/me/refs/commit/1", "commitOid": "1" * 40}
        if path.startswith("/api/datasets/me/refs"):
            siblings = [{"rfilename": name} for name in self.files]
            return 200, {"id": "me/refs", "private": self.private, "sha": "1" * 40, "siblings": siblings}
        return 404, {}


@pytest.fixture
def serve(monkeypatch):
    running = []

    def serve(**settings):
        served = Hub(**settings)

        class Handler(BaseHTTPRequestHandler):
            def do(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                code, content = served.answer(self.command, self.path.partition("?")[0], body)
                sent = json.dumps(content).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = do  # noqa: N815

            def log_message(self, *_):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        served.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        running.append(server)
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        return served

    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", "/nowhere/token")
    yield serve
    for server in running:
        server.shutdown()
        server.server_close()


REFERENCES = References([reference(), FAILED, open_ended()], task="sums", sampling={"temperature": 0.7})


def test_a_push_is_one_commit_of_the_rows_and_their_card(serve):
    import pandas as pd

    served = serve()
    assert REFERENCES.push_to_hub("me/refs", token=TOKEN) == f"{served.url}/datasets/me/refs"
    assert sorted(served.files) == ["README.md", "data/train-00000-of-00001.parquet"]
    assert sum("/commit/" in path for path in served.paths) == 1
    assert served.files["README.md"].decode() == REFERENCES.card()
    frame = pd.read_parquet(io.BytesIO(served.files["data/train-00000-of-00001.parquet"]))
    assert list(frame.id) == ["1", "3"]


def test_a_card_that_is_there_stays(serve):
    served = serve(files=["README.md"])
    REFERENCES.push_to_hub("me/refs", token=TOKEN)
    assert served.files["README.md"] == b""


@pytest.mark.parametrize(
    ("settings", "call", "error", "message"),
    [
        ({}, {}, ConfigError, "hf auth login"),
        ({"status": {"whoami": 401}}, {"token": TOKEN}, ConfigError, "HTTP 401"),
        ({"status": {"create": 403, "/api/datasets": 403}}, {"token": TOKEN}, ConfigError, "HTTP 403"),
        ({"status": {"/commit/": 403}}, {"token": TOKEN}, ConfigError, "right to write"),
        ({"private": False}, {"token": TOKEN}, ConfigError, "exists and is public"),
        ({}, {"token": TOKEN, "repo": "a/b/c d"}, ConfigError, "repo='a/b/c d'"),
        ({}, {"token": TOKEN, "repo": None}, ConfigError, "repo=None: want the name of a dataset"),
        ({}, {"token": f"{TOKEN}\nb"}, ConfigError, "not printable ASCII"),
        ({}, {"token": f"{TOKEN}ü"}, ConfigError, "not printable ASCII"),
        ({"status": {"/commit/": 422}}, {"token": TOKEN}, StoreError, "to_parquet"),
    ],
)
def test_a_push_that_cannot_be_is_an_error_and_uploads_nothing(serve, settings, call, error, message):
    served = serve(**settings)
    with pytest.raises(error, match=re.escape(message)) as caught:
        REFERENCES.push_to_hub(**{"repo": "me/refs", **call})
    assert served.files == {}
    assert TOKEN not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_public_dataset_may_be_pushed_to_on_request(serve):
    served = serve(private=False)
    REFERENCES.push_to_hub("me/refs", token=TOKEN, private=False)
    assert "README.md" in served.files


def test_a_hub_that_cannot_be_reached_is_an_error(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(StoreError, match="cannot be reached"):
        REFERENCES.push_to_hub("me/refs", token=TOKEN)


def test_the_card_says_how_the_references_were_made():
    card = REFERENCES.card()
    for part in (
        "* Task: `sums`",
        "* References: 3, of which 2 are usable",
        "* Estimator: `Synthesis`",
        "* Policy: `policy-1`",
        "* Rollouts per prompt: 1 to 3",
        "* Sampling: `temperature=0.7`",
        "cost unknown",
        "* Made with: catlite ",
        "## Licence",
    ):
        assert part in card
    assert "license:" not in card.split("---")[1]
    assert "extra_body" not in References([reference()], sampling={"extra_body": {"key": TOKEN}}).card()


def test_names_and_notes_bring_no_markup_into_the_card():
    yaml = pytest.importorskip("yaml")
    made = reference(notes=(HOSTILE,), source=HOSTILE, anchor=HOSTILE)
    made = dataclasses.replace(made, group=dataclasses.replace(made.group, policy=HOSTILE))
    card = References([made], (HOSTILE, "``", " "), task=HOSTILE, sampling={"temperature": 1}).card()
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "tags": ["catlite", "synthetic"],
        "configs": [{"config_name": "default", "data_files": "data/*.parquet"}],
    }
    outside = re.sub(r"`[^`\n]*`", "", body)
    for part in ("<", "evil", "![", "Owned", "@you", "license: mit"):
        assert part not in outside
    assert [line for line in body.splitlines() if line.startswith("#")] == [
        *("# References made without labels", "## How they were made", "## Notes", "## Columns", "## Licence"),
    ]
    assert not any(line.startswith("---") for line in body.splitlines())
