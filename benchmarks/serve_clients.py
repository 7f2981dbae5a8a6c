"""Programs that know only a URL, each for real against `catlite serve`; docs/serve.md shows what they print.

    python benchmarks/serve_clients.py [--bin FOLDER]

A scripted server stands behind: seven of eight rollouts of 17 × 23 say 391. The programs are curl, OpenAI's own client
(whole, streamed, asynchronous), and from the `bin` folder of an environment that has them (pip install llm inspect_ai)
`llm` and `inspect`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import openai

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from server import Server

QUESTION = r"What is 17 × 23? End with \boxed{}."
SERVED = "demo"


def reply(body: dict, i: int) -> str:
    """A rollout, the sixth of which is wrong; or the synthesis."""
    text = body["messages"][-1]["content"]
    if '{"best":' in text:
        return '{"best": 2}'
    if text != QUESTION:
        return r"17 × 20 = 340 and 17 × 3 = 51. Together that is \boxed{391}."
    return r"17 × 23 is about \boxed{381}." if i == 5 else rf"17 × 23 = 17 × 20 + 17 × 3 = \boxed{{391}}. ({i + 1})"


def show(title: str, text: str) -> None:
    print(f"--- {title}\n{text.strip()}\n", flush=True)


def run(command: list[str], **settings) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **settings)
    return done.stdout + ("" if done.returncode == 0 else f"[exit {done.returncode}]\n{done.stderr}")


def curl(url: str) -> None:
    body = {
        "model": f"cat/{SERVED}",
        "messages": [{"role": "user", "content": QUESTION}],
        "catlite": {"n": 8, "answer_format": "boxed"},
    }
    show(
        "curl", json.dumps(json.loads(run(["curl", "-s", f"{url}/chat/completions", "-d", json.dumps(body)])), indent=2)
    )
    show("curl, streamed", run(["curl", "-sN", f"{url}/chat/completions", "-d", json.dumps(body | {"stream": True})]))


def openai_client(url: str) -> None:
    messages = [{"role": "user", "content": QUESTION}]
    client = openai.OpenAI(base_url=url, api_key="none")
    answer = client.chat.completions.create(model=f"vote/{SERVED}", messages=messages, extra_body={"catlite": {"n": 8}})
    show("openai", f"{answer.choices[0].message.content}\n{answer.catlite}\n{answer.usage.total_tokens} tokens")
    stream = client.chat.completions.create(model=f"cat/{SERVED}", messages=messages, stream=True)
    show("openai, streamed", repr([piece.choices[0].delta.content for piece in stream]))

    async def ask() -> str:
        async with openai.AsyncOpenAI(base_url=url, api_key="none") as client:
            answer = await client.chat.completions.create(model=f"best/{SERVED}", messages=messages)
            return answer.choices[0].message.content

    show("openai, asynchronous, best of 8", asyncio.run(ask()))


def llm(url: str, bin_: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "extra-openai-models.yaml").write_text(
            f"- model_id: cat\n  model_name: cat/{SERVED}\n  api_base: {url}\n"
        )
        settings = {"env": {**os.environ, "LLM_USER_PATH": folder}}
        show("llm", run([str(bin_ / "llm"), "-m", "cat", QUESTION], **settings))
        show("llm, not streamed", run([str(bin_ / "llm"), "--no-stream", "-m", "cat", QUESTION], **settings))


TASK = r"""
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import includes
from inspect_ai.solver import generate

@task
def product():
    return Task(dataset=[Sample(input="What is 17 × 23?", target="391")], solver=generate(), scorer=includes())
"""


def inspect(url: str, bin_: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "product.py").write_text(TASK)
        settings = {"env": {**os.environ, "CATLITE_API_KEY": "none", "CATLITE_BASE_URL": url}, "cwd": folder}
        model = f"openai-api/catlite/cat/{SERVED}"
        out = run([str(bin_ / "inspect"), "eval", "product.py", "--model", model, "--display", "plain"], **settings)
        show("inspect", "\n".join(line for line in out.splitlines() if line.strip())[-1200:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bin", type=Path, help="the folder with llm and inspect")
    parser.add_argument("--wait", action="store_true", help="serve until Enter, for a program of your own")
    options = parser.parse_args()
    with Server(reply, models=None, key=None, latency=0.2) as behind:
        command = [sys.executable, "-m", "catlite", "serve", SERVED, "--base-url", behind.url]
        command += ["--port", "0", "--answer-format", "boxed"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            url = re.search(r"at (http\S+/v1)", server.stderr.readline())[1]
            try:
                if options.wait:
                    input(f"{url} until Enter ")
                else:
                    curl(url)
                    openai_client(url)
                    if options.bin:
                        llm(url, options.bin)
                        inspect(url, options.bin)
            finally:
                server.terminate()
            show("catlite serve", re.sub(r"(?m)^\d\d:\d\d:\d\d ", "", server.stderr.read()))


if __name__ == "__main__":
    main()
