"""Everything that is claimed of one GPU, checked on one GPU in at most eight minutes.

    python benchmarks/gpu/check.py [--only NAME …] [--small] [--minutes 8]

Each check is a process with a time limit of its own. A table at the end says what holds, what misses its aim, and what
was skipped because a package is missing; the tracebacks of what failed come after it. No file is needed: weights are
random in the shapes of real models, and the embedded model is used where its file is there (CATLITE_GGUF, or the user
cache). With OUT set, the figures go to $OUT/check.jsonl as well, one line a check. --small runs the same checks with
tiny models, on a CPU as well: it shows that they run, and its figures mean nothing.

It has not been run on a GPU as a whole yet; docs/benchmarks.md has what was.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import catlite
from catlite import cache, concurrency
from catlite.cli.demo import DEMO
from catlite.models.embedded import weights

sys.path.insert(0, str(Path(__file__).parent))
from shapes import random_folder, random_model

TEXT = "6 times 7 is 42."
SCRATCH = "CATLITE_CHECK_SCRATCH"  # a folder that the checks of one call share
MARK = "CATLITE_CHECK_MARK"  # what tells the processes of a check from all others
Figures = dict[str, Any]


class Skipped(Exception):
    """A check cannot run here; the message says why."""


@dataclass(frozen=True)
class Check:
    """What is checked, and within how many seconds."""

    run: Callable[[bool], Figures]  # takes whether it is to be small; raises where something does not hold
    seconds: float
    needs: tuple[str, ...] = ()  # packages
    aims: Mapping[str, tuple[str, float]] = field(default_factory=dict)  # figure: (at "most" or "least", how much)
    alone: bool = True  # it takes times, for which nothing else may run


def has_gpu() -> bool:
    import torch

    return bool(torch.cuda.is_available())


def embedded_here() -> bool:
    """Whether the embedded model needs no fetching."""
    return bool(os.environ.get("CATLITE_GGUF")) or (cache.folder() / Path(weights.FILE).name).is_file()


def small_model(small: bool) -> str | Path:
    """The embedded model where its file is there, else random weights of its shape."""
    return "local" if not small and embedded_here() else random_weights("tiny" if small else "135M")


def random_weights(shape: str) -> Path:
    """A folder with random weights, made by the first check that wants them."""
    folder = Path(os.environ[SCRATCH]) / shape
    if not folder.is_dir():
        made = random_folder(folder.with_name(f"{shape}-{os.getpid()}"), shape)
        with contextlib.suppress(OSError):  # another check was faster
            made.rename(folder)
    return folder


def questions(count: int = 48) -> catlite.Task:
    """Times tables without their answers."""
    return catlite.Task("times_tables", tuple(replace(one, answer=None) for one in catlite.times_tables(count)))


def scores(model: catlite.LocalModel) -> list[float]:
    """The log-probabilities of a text."""
    prompt = catlite.times_tables(1).examples[0].prompt
    return concurrency.run(model.logprobs(prompt, TEXT))


def distance(left: list[float], right: list[float]) -> float:
    return max(abs(a - b) for a, b in zip(left, right, strict=True))


async def alternating(group: catlite.Group, _: catlite.Reference) -> list[float | None]:
    """A reward that costs nothing and leaves something to learn."""
    return [float(number % 2) for number in range(len(group.rollouts))]


async def nothing(group: catlite.Group) -> catlite.Reference:
    return catlite.Reference("nothing", None, "constant", group)


def train(policy: catlite.LocalModel, **settings: Any) -> tuple[catlite.TrainingRun, Figures]:
    """A run with a reward that costs nothing, and the seconds of its steps without the first, the peak of memory."""
    import torch

    if has_gpu():
        torch.cuda.reset_peak_memory_stats()
    config = catlite.TrainConfig(**{"beta": 0.0, "sampling": {"temperature": 1.0}, **settings})
    with tempfile.TemporaryDirectory() as folder:
        run = catlite.train(
            questions(), policy, estimator=nothing, reward=alternating, config=config, run=folder, progress=False
        )
        chosen = json.loads((run.folder / "training.json").read_text("utf-8"))["micro_batch"]
    rows = run.metrics[1:]
    parts = ("step", "generation", "reward", "backward")
    figures: Figures = {part: median(row[f"seconds/{part}"] for row in rows) for part in parts}
    figures["first step"] = run.metrics[0]["seconds/step"]
    figures["micro_batch"], figures["checkpointing"] = chosen.values()
    if has_gpu():
        figures["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
    return run, figures


# The checks.


def machine(_: bool) -> Figures:
    """Which card, and which versions."""
    import torch

    figures: Figures = {"torch": torch.__version__}
    for package in ("transformers", "trl", "peft", "unsloth", "vllm"):
        if importlib.util.find_spec(package):
            figures[package] = importlib.metadata.version(package)
    if has_gpu():
        figures |= {"card": torch.cuda.get_device_name(0), "gib": torch.cuda.mem_get_info()[1] / 2**30}
    return figures


def step(small: bool) -> Figures:
    """A step of the demo and its parts, drawn in the fastest way and the plain one; the anchor stays the base."""
    figures: Figures = {}
    for fast in (None, "plain"):
        policy = catlite.LocalModel(small_model(small), backend="transformers", fast=fast)
        figures |= {f"{name}, {fast or 'fastest'}": value for name, value in demo_steps(policy, small).items()}
    figures["generation, ratio"] = figures["generation, fastest"] / figures["generation, plain"]
    return figures


def demo_steps(policy: catlite.LocalModel, small: bool) -> Figures:
    """Seconds of some steps of the demo; raises where the anchor is not the base before them, or not afterwards."""
    base = scores(policy)
    assert distance(base, scores(policy.frozen())) < 1e-3, "frozen() is not the base before training"
    demo = {**DEMO, "steps": 3 if small else 7, "check_every": 10, "learning_rate": 1e-3}
    run, figures = train(policy, **demo)
    apart, moved = distance(base, scores(run.initial)), distance(base, scores(run.policy))
    assert apart < 1e-3, f"frozen() differs from the base by {apart} after training"
    assert moved > 1e-3, f"training moved the policy by {moved} only"
    concurrency.run(policy.aclose())
    return {**figures, "frozen() from the base": apart}


def unsloth_steps(small: bool) -> Figures:
    """The same with Unsloth, whose first step compiles."""
    return demo_steps(catlite.LocalModel(small_model(small), backend="unsloth"), small)


def backward(small: bool) -> Figures:
    """The backward pass at default settings: the micro-batch by memory against one group with checkpointing."""
    figures: Figures = {}
    config = {"steps": 3, "max_completion_length": 16 if small else 64, "lora_layers": 1.0}
    before = {"per_device_train_batch_size": 8, "gradient_checkpointing": True}
    for name, trl in (("now", {}), ("before", before)):
        policy = catlite.LocalModel(random_weights("tiny" if small else "135M"), backend="transformers")
        _, seconds = train(policy, **config, trl=trl)
        kept = ("backward", "peak_gib", "micro_batch", "checkpointing")
        figures |= {f"{part}, {name}": seconds[part] for part in kept if part in seconds}
    figures["backward, ratio"] = figures["backward, now"] / figures["backward, before"]
    return figures


def memory(small: bool) -> Figures:
    """What the activations of a token take, against what the rule for micro-batches counts."""
    import torch
    from peft import LoraConfig, get_peft_model

    from catlite.training.trl.memory import token_bytes

    if not has_gpu() and not small:
        raise Skipped("no GPU")
    figures: Figures = {}
    device = "cuda" if has_gpu() else "cpu"
    for shape in ("tiny",) if small else ("135M", "0.6B", "1.7B", "4B"):
        model = random_model(shape, device)
        counted = token_bytes(model)
        model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")).train()
        ids = torch.randint(2, 300, (2, 32) if small else (4, 512), device=device)
        if has_gpu():
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
        with torch.autocast(device, torch.bfloat16):
            loss = model.get_base_model().model(input_ids=ids, use_cache=False).last_hidden_state.float().mean()
        loss.backward()
        if has_gpu():
            used = (torch.cuda.max_memory_allocated() - before) / ids.numel()
            figures |= {f"{shape}, MB a token": used / 1e6, f"{shape}, of the rule's": used / counted}
        del model, loss
    if figures:
        figures["most of the rule's"] = max(value for name, value in figures.items() if name.endswith("rule's"))
    return figures


def resume(small: bool) -> Figures:
    """A run that an estimator halts goes on from its checkpoint."""
    halts = 0

    async def halting(group: catlite.Group) -> catlite.Reference:
        nonlocal halts
        if not halts and (run / "checkpoints/checkpoint-2").is_dir():
            halts += 1
            raise catlite.errors.BudgetReached("a halt, for the sake of the check")
        return await nothing(group)

    config = catlite.TrainConfig(**{**DEMO, "steps": 4, "check_every": 1})
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"

        def again() -> catlite.TrainingRun:
            policy = catlite.LocalModel(small_model(small), backend="transformers")
            return catlite.train(questions(), policy, estimator=halting, reward=alternating, config=config, run=run)

        halted = again()
        assert (halted.steps, halted.complete) == (2, False), halted.ended
        whole = again()
        assert [row["step"] for row in whole.metrics] == [1, 2, 3, 4], whole.ended
    return {"halted after": halted.steps, "went on to": whole.steps}


def demo(small: bool) -> Figures:
    """Twenty steps on times tables by an anchored vote, and the scores before and after."""
    if not embedded_here():
        raise Skipped("the embedded model is not here")
    if small:
        raise Skipped("--small")
    config = catlite.TrainConfig(**{**DEMO, "steps": 20})
    policy = catlite.LocalModel("local", backend="transformers")
    with tempfile.TemporaryDirectory() as folder:
        estimator = catlite.AnchoredVote(policy.frozen(), max_tokens=DEMO["max_completion_length"])
        run = catlite.train(questions(), policy, estimator=estimator, config=config, run=folder, progress=False)
        held = catlite.times_tables(48)
        compared = catlite.compare(run.initial, run.policy, held, seed=1, temperature=1.0, max_tokens=16)
    figures = {"step": median(row["seconds/step"] for row in run.metrics[1:])}
    for system, row in compared.to_frame().iterrows():
        figures |= {f"{system}, {name}": row[name] for name in ("before", "before_se", "after", "after_se")}
    assert figures["single sample, after"] > figures["single sample, before"] + 0.05, compared
    return figures


def vllm_server(small: bool) -> Figures:
    """Draws and a training through the vLLM server on the PATH, by the script that measures it."""
    command = shutil.which("vllm")
    if command is None:
        raise Skipped("no vllm")
    script = Path(__file__).parents[1] / "vllm_server.py"
    more = [] if small else ["--model", str(random_weights("135M")), "--dtype", "bfloat16"]
    printed = subprocess.run(
        [sys.executable, str(script), command, *more], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    rows = [line.strip("| ").split(" | ") for line in printed.partition("|---|---|\n")[2].splitlines()]
    return dict(rows)


def elsewhere(module: str, function: str) -> Callable[[bool], Figures]:
    """A check in another file here, which is imported in the check's own process."""

    def run(small: bool) -> Figures:
        figures: Figures = getattr(importlib.import_module(module), function)(small)
        return figures

    return run


CHECKS: dict[str, Check] = {
    "machine": Check(machine, 30),
    "step": Check(step, 60, ("trl",), {"step, fastest": ("most", 0.8)}),
    "backward": Check(backward, 50, ("trl",), {"backward, ratio": ("most", 1 / 3)}),
    "speed": Check(
        elsewhere("decoding", "speed"),
        110,
        ("peft",),
        {
            "135M, 64 rows, adapter on: to plain": ("least", 4.0),
            "135M, 1 row, adapter on: to plain": ("least", 6.0),
            "135M, 64 rows, adapter on: to generate": ("least", 4.0),
        },
    ),
    "long_replies": Check(elsewhere("decoding", "long_replies"), 60, ("peft",)),
    "memory": Check(memory, 60, ("peft",), {"most of the rule's": ("most", 1.0)}, alone=False),
    "resume": Check(resume, 60, ("trl",), alone=False),
    "equality": Check(elsewhere("decoding", "equality"), 60, ("peft",), alone=False),
    "beside_another_thread": Check(elsewhere("decoding", "beside_another_thread"), 60, ("peft",), alone=False),
    "after_a_failed_capture": Check(elsewhere("decoding", "after_a_failed_capture"), 60, ("peft",), alone=False),
    "peak_memory": Check(elsewhere("decoding", "peak_memory"), 60, ("peft",), alone=False),
    "demo": Check(demo, 90, ("trl",), alone=False),
    "unsloth": Check(unsloth_steps, 120, ("unsloth", "trl")),
    "unsloth again": Check(unsloth_steps, 60, ("unsloth", "trl"), {"first step": ("most", 5.0)}),
    **{
        f"unsloth: {name}": Check(elsewhere("unsloth_checks", name), 90, ("unsloth", *packages), alone=False)
        for name, packages in {
            "synthesis": ("trl",),
            "checks": ("trl",),
            "sft": ("trl",),
            "four_bits": ("trl", "bitsandbytes"),
            "own_trainer": ("trl",),
            "quiet": (),
            "vllm": ("trl", "vllm"),
        }.items()
    },
    "vllm": Check(vllm_server, 200, ("trl",)),
    "four_bits": Check(elsewhere("decoding", "four_bits"), 60, ("bitsandbytes", "peft")),
    "lean_and_folded": Check(elsewhere("decoding", "lean_and_folded"), 90, ("peft",)),
}


def run_here(name: str, small: bool) -> None:
    """Run one check in this process, and print its figures as the last line."""
    try:
        print(json.dumps({"figures": CHECKS[name].run(small)}, default=str))
    except Skipped as reason:
        print(json.dumps({"skipped": str(reason)}))
    except Exception:
        traceback.print_exc()
        sys.exit(1)


def run_apart(name: str, small: bool, left: float, scratch: str) -> dict[str, Any]:
    """Run one check in a process of its own, and say how it went."""
    check = CHECKS[name]
    missing = [package for package in check.needs if not importlib.util.find_spec(package)]
    if missing:
        return {"check": name, "state": f"skipped: no {missing[0]}"}
    limit = min(check.seconds * (4 if small else 1), left)  # a CPU may have other work
    if limit < 5:
        return {"check": name, "state": "skipped: no time left"}
    command = [sys.executable, __file__, "--here", name, *(["--small"] if small else [])]
    started, mark = time.monotonic(), f"{scratch}/{name}"
    variables = {**environment(scratch), MARK: mark}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:  # no pipes, which a server may hold
        process = subprocess.Popen(command, stdout=out, stderr=err, env=variables)
        try:
            state = "ok" if process.wait(limit) == 0 else "FAILED"
        except subprocess.TimeoutExpired:
            state = f"FAILED: not done in {limit:.0f} s"
        finally:
            process.kill()
            end(mark)
            process.wait()
        for file in (out, err):
            file.seek(0)
        printed, errors = out.read(), err.read()
    result: dict[str, Any] = {"check": name, "state": state, "seconds": round(time.monotonic() - started, 1)}
    if state != "ok":
        return {**result, "errors": errors[-6000:]}
    result |= json.loads(printed.splitlines()[-1])
    if "skipped" in result:
        return {**result, "state": f"skipped: {result['skipped']}"}
    return {**result, "state": "ok" if small else judge(result["figures"], check.aims)}


def end(mark: str) -> None:
    """Kill a check's process and the servers that it has left, by the mark in their environment."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}\0".encode() in (folder / "environ").read_bytes():
                os.kill(int(folder.name), signal.SIGKILL)


def judge(figures: Figures, aims: Mapping[str, tuple[str, float]]) -> str:
    """ "ok", or the figures that miss their aim; a figure that is not there, or no number, misses it."""
    values = {name: figures.get(name, math.nan) for name in aims}
    wrong = [
        f"{name} is {values[name]:.3g}, aim: at {kind} {limit:.3g}"
        for name, (kind, limit) in aims.items()
        if not (values[name] <= limit if kind == "most" else values[name] >= limit)
    ]
    return f"MISSED: {'; '.join(wrong)}" if wrong else "ok"


def environment(scratch: str) -> dict[str, str]:
    """Of a check's process: it reaches no registry, and has Unsloth's compiled kernels from this call only."""
    offline = {"HF_HUB_OFFLINE": "1", "UNSLOTH_DISABLE_STATISTICS": "1", "TOKENIZERS_PARALLELISM": "false"}
    kernels = dict.fromkeys(("UNSLOTH_MEGA_CACHE_DIR", "UNSLOTH_COMPILE_LOCATION"), f"{scratch}/unsloth")
    return {**os.environ, **offline, **kernels, SCRATCH: scratch}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=CHECKS, help=f"of {', '.join(CHECKS)}")
    parser.add_argument("--small", action="store_true", help="tiny models, on a CPU as well")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all of it (default: %(default)s)")
    parser.add_argument("--here", choices=CHECKS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        run_here(arguments.here, arguments.small)
        return
    if not (arguments.small or has_gpu()):
        parser.error("torch finds no CUDA device: --small runs the same checks with tiny models")
    deadline = time.monotonic() + 60 * arguments.minutes
    names = arguments.only or list(CHECKS)

    def run(name: str) -> dict[str, Any]:
        result = run_apart(name, arguments.small, deadline - time.monotonic(), scratch)
        print(f"{name}: {result['state']}", flush=True)
        if folder := os.environ.get("OUT"):  # at once: whoever runs this may end it
            line = json.dumps({key: value for key, value in result.items() if key != "errors"})
            with (Path(folder) / "check.jsonl").open("a", encoding="utf-8") as file:
                file.write(line + "\n")
        return result

    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(1 if arguments.small else 3) as several:
        timed = [run(name) for name in names if CHECKS[name].alone]
        results = timed + list(several.map(run, [name for name in names if not CHECKS[name].alone]))
    print("\n| check | state | s |\n|---|---|---|")
    for result in results:
        print(f"| {result['check']} | {result['state']} | {result.get('seconds', '')} |")
    print("\n| check | figure | value |\n|---|---|---|")
    for result in results:
        for name, value in result.get("figures", {}).items():
            print(f"| {result['check']} | {name} | {f'{value:.3g}' if isinstance(value, float) else value} |")
    for result in results:
        if result.get("errors"):
            print(f"\n{result['check']}:\n{result['errors']}")
    sys.exit(any(result["state"].startswith("FAILED") for result in results))


if __name__ == "__main__":
    main()
