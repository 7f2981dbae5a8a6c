"""A server that speaks OpenAI's batch protocol: files, batches, their states, and what goes wrong with them.

A test changes its attributes on the way. Left out: chat completions outside of batches, and pages of lists.
"""

from __future__ import annotations

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = "sk-test-0123456789"
RUNNING = ("validating", "in_progress", "finalizing")


def completion(texts, prompt=10, written=5):
    choices = [
        {"index": i, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        for i, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
    return {"id": "c", "object": "chat.completion", "choices": choices, "usage": usage}


def answered(body, status=200):
    return {"response": {"status_code": status, "request_id": "r", "body": body}, "error": None}


def refused(status, message, code=None):
    return answered({"error": {"message": message, "type": "invalid_request_error", "code": code}}, status)


def without_answer(code):
    return {"response": None, "error": {"code": code, "message": f"no answer: {code}"}}


class BatchServer:
    """reply: the texts of a line's choices, from its body. row: the row of a line, from its body and the number of its
    batch; None is a good answer. ends: the last state of each batch, "completed" beyond its end. held: while set,
    batches stay in progress. fault: called with method and path before each request; a number is answered as an error,
    "drop" hangs up, "drop after" hangs up once the request is done."""

    def __init__(self) -> None:
        self.reply: Any = lambda body: ["The answer is \\boxed{42}."] * body.get("n", 1)
        self.row: Any = lambda body, number: None
        self.ends: list[str] = []
        self.errors: Any = None  # of a failed batch
        self.held = False
        self.fault: Any = lambda method, path: None
        self.key = KEY
        self.files: dict[str, bytes] = {}
        self.batches: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def lines(self, number: int) -> list[dict[str, Any]]:
        """The requests of a batch."""
        return [json.loads(line) for line in self.files[self.batches[number]["input_file_id"]].decode().splitlines()]

    def wait(self, condition: Any, timeout: float = 60.0) -> None:
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, (self.batches, self.requests)
            time.sleep(0.005)

    def __enter__(self) -> BatchServer:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: Any) -> None:
                """Nothing."""

            def _serve(self) -> None:
                content = self.rfile.read(int(self.headers.get("content-length") or 0))
                path = self.path.removeprefix("/v1")
                outer.requests.append((self.command, path))
                fault = outer.fault(self.command, path)
                if fault == "drop":
                    self.close_connection = True
                    return
                if self.headers.get("authorization") != f"Bearer {outer.key}":
                    status, answer = 401, {"error": {"message": "Incorrect API key provided"}}
                elif isinstance(fault, int):
                    status, answer = fault, {"error": {"message": f"status {fault} on purpose"}}
                else:
                    status, answer = outer._answer(self.command, path, content)
                if fault == "drop after":
                    self.close_connection = True
                    return
                sent = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(sent)))
                self.end_headers()
                self.wfile.write(sent)

            do_GET = do_POST = _serve  # noqa: N815

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, method: str, path: str, content: bytes) -> tuple[int, Any]:
        path = path.partition("?")[0]
        if (method, path) == ("POST", "/files"):
            assert b'name="purpose"\r\n\r\nbatch' in content
            name = f"file-{len(self.files)}"
            part = re.search(rb'filename="[^"]+"\r\n(?:[^\r]+\r\n)*\r\n(.*?)\r\n--', content, re.DOTALL)
            self.files[name] = part[1] if part else b""
            return 200, {"id": name, "object": "file", "purpose": "batch"}
        if (method, path) == ("POST", "/batches"):
            request = json.loads(content)
            assert request["endpoint"] == "/v1/chat/completions"
            assert request["completion_window"] == "24h"
            assert request["input_file_id"] in self.files
            batch = {"id": f"batch_{len(self.batches)}", "input_file_id": request["input_file_id"], "polls": 0}
            self.batches.append(batch | {"status": "validating"})
            return 200, self.batches[-1]
        if (method, path) == ("GET", "/batches"):
            return 200, {"data": self.batches[::-1], "has_more": False}
        if match := re.fullmatch(r"/batches/batch_(\d+)(/cancel)?", path):
            batch = self.batches[int(match[1])]
            if match[2]:
                batch["status"] = "cancelling"
            elif batch["status"] in RUNNING:
                self._go_on(batch, int(match[1]))
            return 200, batch
        if match := re.fullmatch(r"/files/([\w-]+)/content", path):
            return 200, self.files[match[1]]
        return 404, {"error": {"message": f"no such path: {path}"}}

    def _go_on(self, batch: dict[str, Any], number: int) -> None:
        batch["polls"] += 1
        batch["status"] = "in_progress"
        if self.held or batch["polls"] < 2:
            return
        batch["status"] = self.ends[number] if number < len(self.ends) else "completed"
        if batch["status"] == "failed":
            batch["errors"] = {"data": self.errors}
            return
        good, bad = [], []
        for line in self.lines(number):
            row = self.row(line["body"], number) or answered(completion(self.reply(line["body"])))
            if row == "absent":
                continue
            (bad if row["error"] or row["response"]["status_code"] != 200 else good).append(
                {"id": "x", "custom_id": line["custom_id"], **row}
            )
        counts = {"total": len(good) + len(bad), "completed": len(good), "failed": len(bad)}
        batch["request_counts"] = counts
        for field, rows in (("output_file_id", good), ("error_file_id", bad)):
            if rows:
                name = f"{field}-{number}"
                # In another order than they were asked, as providers do.
                self.files[name] = b"".join(json.dumps(row).encode() + b"\n" for row in rows[::-1])
                batch[field] = name
