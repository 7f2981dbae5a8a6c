"""A training run: its folder, and what comes of it.

    training.json    what was asked for, and how it ended        replies.sqlite   every reply paid for
    metrics.jsonl    a line per step                             checkpoints/     transformers' own, to go on from
    adapter/         the trained adapter, as PEFT keeps one      best/step-…/     the best one by its checks

Left out: pickle of ours; transformers keeps its optimizer in a file of torch's, and reads it as weights only.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catlite import cards
from catlite.data import Example
from catlite.errors import ConfigError, DataError, StoreError
from catlite.models.local import LocalModel
from catlite.text import short

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_VERSION = 1
# What may differ from one part of a run to the next without changing what its steps are.
_FREE = frozenset({"steps", "judge_wait"})
_FREE_IN_TRL = frozenset({"per_device_train_batch_size"})  # gradients are summed over the same rollouts
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # of adapters that vLLM can be set up for
PLOTS = {
    "reward": ("cat/reward", "check/reward"),
    "teacher and policy": ("check/teacher", "check/policy", "cat/teacher", "cat/policy"),
    "entropy": ("entropy",),
    "seconds per step": ("seconds/generation", "seconds/reward", "seconds/backward"),
}


@dataclass(frozen=True)
class TrainingRun:
    """What `train` or `sft` gives: the trained policy, ready to sample, and how training went."""

    folder: Path
    policy: LocalModel = field(repr=False)
    steps: int  # of the optimizer that were made
    ended: str  # why, in words
    complete: bool  # False: it was halted (a judge down, a budget reached); the same call goes on from there
    metrics: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)  # a mapping per step
    best_step: int | None = None  # with the best check, or for `sft` validation: see `best_adapter`

    @classmethod
    def load(cls, folder: str | Path, policy: str | Path | None = None) -> TrainingRun:
        """The run in `folder`, finished or not; nothing is trained, and nothing in the folder is changed.

        Args:
            folder: what `train` or `sft` had as run=.
            policy: where the weights are that were trained, as LocalModel takes it (default: where they were then).

        Returns:
            The run with its metrics. The policy loads when it is first used: of a run that was not finished with the
            adapter of its last checkpoint, without one when there is none.

        Raises:
            StoreError: the folder has no training run that can be read.
            ConfigError: there are no weights at that path, or, when they are loaded, other ones than were trained.

        Example:
            trained = TrainingRun.load("runs/tables")
            trained.plot()
        """
        kept = Folder(folder)
        manifest = kept.manifest()
        last = kept.last_checkpoint()
        outcome = manifest.get("outcome")
        if outcome is None:
            steps = 0 if last is None else _step(last)
            ended = (
                "it was interrupted, or is under way; the same call of train or sft goes on from its last checkpoint"
            )
            outcome = {"steps": steps, "ended": ended, "complete": False}
        adapter = kept.path / "adapter" if (kept.path / "adapter").is_dir() else last
        loaded = _policy(kept.path, manifest, adapter, policy)
        return cls(kept.path, loaded, metrics=tuple(kept.read_metrics()), **outcome)

    @property
    def adapter(self) -> Path:
        """The adapter's folder, for LocalModel(path, adapter=…), PEFT, vLLM or a conversion for llama.cpp."""
        return self.folder / "adapter"

    @property
    def best_adapter(self) -> Path | None:
        """The folder of the adapter with the highest reward in a check of `train`; None when nothing was checked.

        With stop="reward" it is the one that the policy has.
        """
        found = None if self.best_step is None else Folder(self.folder).best(self.best_step)
        return found if found is not None and found.is_dir() else None

    @property
    def initial(self) -> LocalModel:
        """The policy as it was before training, on the same weights: to compare with."""
        return self.policy.frozen()

    def to_frame(self) -> pd.DataFrame:
        """The metrics, one row per step."""
        import pandas as pd

        return pd.DataFrame(list(self.metrics)).set_index("step") if self.metrics else pd.DataFrame()

    def plot(self) -> Figure:
        """Reward, teacher and policy, entropy, and where the seconds went, over steps (needs matplotlib)."""
        from matplotlib.ticker import MaxNLocator

        frame = self.to_frame()
        figure = cards.figure(figsize=(10, 6), layout="constrained")
        for axes, (title, names) in zip(figure.subplots(2, 2).flat, PLOTS.items(), strict=True):
            for name in names:
                if name in frame and frame[name].notna().any():
                    shown = frame[name].dropna()
                    axes.plot(shown.index, shown, marker="o", markersize=3, label=name)
            axes.set_title(title)
            axes.set_xlabel("step")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            if axes.lines:
                axes.legend(fontsize="small")
        return figure

    def merge_and_save(self, folder: str | Path) -> Path:
        """Writes the base model with the adapter merged into it, as safetensors with its tokenizer; returns where.

        The base is loaded once more, in its own precision: merging in place would round it.
        """
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        target = Path(folder).expanduser()
        base = AutoModelForCausalLM.from_pretrained(self.policy.weights.folder, use_safetensors=True, dtype="auto")
        PeftModel.from_pretrained(base, str(self.adapter)).merge_and_unload().save_pretrained(target)
        self.policy.tokenizer.save_pretrained(target)
        return target

    def serving(self) -> str:
        """Commands that serve the trained policy with vLLM, and with llama.cpp."""
        base = self.policy.weights.folder
        known = f"--base {base}" if Path(base).is_dir() else f"--base-model-id {base}"
        rank = json.loads((self.adapter / "adapter_config.json").read_text("utf-8"))["r"]
        most = next((size for size in _RANKS if size >= rank), rank)
        told = self.policy.weights.template
        return (
            f"# vLLM: the base with the adapter beside it, under the name “trained”\n"
            f"vllm serve {base} --enable-lora --max-lora-rank {most} --lora-modules trained={self.adapter}\n\n"
            f"# llama.cpp: the adapter as GGUF, beside the base as GGUF\n"
            f"python convert_lora_to_gguf.py {known} --outfile trained.gguf {self.adapter}\n"
            f"llama-server --model base.gguf --lora trained.gguf\n"
            + (f"\n# Ask either of them as it was trained: chat_template_kwargs={told}\n" if told else "")
        )

    def __str__(self) -> str:
        state = "" if self.complete else "halted, "
        return f"{state}{self.steps} steps: {self.ended}. Adapter: {self.adapter}"

    def __repr__(self) -> str:
        return f"<TrainingRun {str(self.folder)!r}: {'' if self.complete else 'halted, '}{short(str(self.ended))}>"

    def _repr_html_(self) -> str:
        return cards.training_html(self)


def is_training(folder: str | Path) -> bool:
    """Whether `folder` has a training run, and no evaluation."""
    path = Path(folder).expanduser()
    return (path / "training.json").is_file() and not (path / "evaluation.json").exists()


class Folder:
    """The folder of a run that is being written."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).expanduser().resolve()
        self._also: dict[str, Any] = {}
        self._begun = False  # by this call
        self.checkpoints = self.path / "checkpoints"
        self.metrics_file = self.path / "metrics.jsonl"

    def open(self, asked: Mapping[str, Any], also: Mapping[str, Any]) -> dict[str, Any]:
        """What training.json says, after `asked` was compared with it; written when there is none.

        also: what is written down, too, and may differ from one call to the next.

        Raises ConfigError when the folder holds another run, StoreError when the file cannot be read.
        """
        self._also = dict(also)
        if not (self.path / "training.json").exists():
            self.path.mkdir(parents=True, exist_ok=True)
            manifest = {"catlite_training": _VERSION, **asked, **also}
            self._write(manifest)
            self._begun = True
            return manifest
        manifest = self.manifest()
        for name in asked:
            _compare(self.path, name, manifest.get(name), json.loads(json.dumps(asked[name])))
        return manifest

    def manifest(self) -> dict[str, Any]:
        """What training.json says. StoreError when it cannot be read."""
        file = self.path / "training.json"
        try:
            manifest = json.loads(file.read_text("utf-8"))
            if manifest["catlite_training"] != _VERSION:
                raise StoreError(f"{file} was written by another version of catlite")
        except FileNotFoundError:
            raise StoreError(
                f"{str(self.path)!r} has no training run (there is no training.json): give the folder that was run= "
                "of train or sft"
            ) from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StoreError(f"{file} cannot be read as a training run: {error}") from None
        return dict(manifest)

    @contextlib.contextmanager
    def forgotten_when_refused(self) -> Iterator[None]:
        """When this call is refused before its first checkpoint, the run is not begun: a mended call may use it."""
        try:
            yield
        except (ConfigError, DataError):
            if self._begun and self.last_checkpoint() is None:
                (self.path / "training.json").unlink(missing_ok=True)
            raise

    def finish(self, asked: Mapping[str, Any], outcome: Mapping[str, Any]) -> None:
        """Writes how the run ended."""
        self._write({"catlite_training": _VERSION, **asked, **self._also, "outcome": dict(outcome)})

    def _write(self, found: Mapping[str, Any]) -> None:
        scratch = self.path / "training.json.new"
        scratch.write_text(json.dumps(found, indent=1), "utf-8")
        scratch.replace(self.path / "training.json")

    def best(self, step: int) -> Path:
        """Where the adapter of `step` is kept while it is the best."""
        return self.path / "best" / f"step-{step}"

    def forget_all_but(self, step: int | None) -> None:
        """Removes the adapters that were the best before the one of `step`."""
        for folder in self.path.glob("best/step-*"):
            if step is None or folder != self.best(step):
                shutil.rmtree(folder)

    def last_checkpoint(self) -> Path | None:
        """The newest checkpoint that was written to its end: its state is the last file of it.

        One that cannot be read now is passed over with a warning, since it may be good.
        """
        for folder in sorted(self.checkpoints.glob("checkpoint-*"), key=_step, reverse=True):
            try:
                whole = _is_whole(folder)
            except OSError as error:
                warnings.warn(
                    f"the checkpoint {folder} cannot be read now ({error.strerror or error}): it is passed over, and "
                    "left as it is",
                    stacklevel=2,
                )
                continue
            if whole:
                return folder
        return None

    def remove_torn(self) -> None:
        """Removes the checkpoints that a kill has left unfinished: nobody can go on from those.

        For whoever holds the run alone: one that is just being written looks the same.
        """
        for folder in self.checkpoints.glob("checkpoint-*"):
            with contextlib.suppress(OSError):
                if folder.is_dir() and not _is_whole(folder):
                    shutil.rmtree(folder)

    def read_metrics(self, until: int | None = None) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl up to step `until`; a torn last line is left out."""
        rows = []
        for line in self.metrics_file.read_text("utf-8").splitlines() if self.metrics_file.exists() else ():
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if until is None or row["step"] <= until:
                rows.append(row)
        return rows

    def write_metrics(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Replaces metrics.jsonl: steps after the checkpoint will be made again."""
        self.metrics_file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")

    def add_metrics(self, row: Mapping[str, Any]) -> None:
        """One more line."""
        with self.metrics_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def whereabouts(policy: LocalModel) -> dict[str, Any]:
    """What of `policy` its run's manifest keeps, so that `TrainingRun.load` finds it again."""
    folder = Path(policy.path).expanduser()
    path = str(folder.resolve()) if folder.is_dir() else policy.path
    settings = {**policy.weights.settings, **policy.sampling}
    return {"path": path, "settings": settings, "template": dict(policy.weights.template)}


def _policy(folder: Path, manifest: Mapping[str, Any], adapter: Path | None, path: str | Path | None) -> LocalModel:
    """The policy of the run in `folder`, not loaded yet."""
    known = manifest.get("policy", {})
    if path is None and "path" not in known:
        raise ConfigError(f"the run {str(folder)!r} does not say where its weights are: give policy=, what was trained")
    try:
        policy = LocalModel(path or known["path"], adapter=adapter, **known.get("settings", {}))
    except ConfigError as error:
        if path is not None:
            raise
        raise ConfigError(f"{error}: it was trained in {str(folder)!r}; give policy=, where it is now") from None
    policy.weights.template = dict(known.get("template", {}))
    policy.weights.expected, _, _ = str(manifest["model"]).partition(", ")
    return policy


def _is_whole(folder: Path) -> bool:
    """False for a checkpoint whose state is missing or half written; OSError when that cannot be told."""
    try:
        json.loads((folder / "trainer_state.json").read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    return True


def _step(folder: Path) -> int:
    tail = folder.name.rpartition("-")[2]
    return int(tail) if tail.isdecimal() else -1


def _compare(folder: Path, name: str, was: Any, now: Any) -> None:
    """ConfigError when the run in `folder` was asked for with something else."""
    if name == "config" and isinstance(was, dict):
        was, now = (one | {"trl": _without(one.get("trl"), _FREE_IN_TRL)} for one in (was, now))
        changed = [key for key in now if key not in _FREE and was.get(key) != now[key]]
        if not changed:
            return
        name, was, now = changed[0], was.get(changed[0]), now[changed[0]]
    if was == now:
        return
    if name == "model":
        raise ConfigError(
            f"run={str(folder)!r} has checkpoints of another model (weights {_short(was)}, this one has "
            f"{_short(now)}): load the model it was begun with, as it was loaded, or give this run another folder"
        )
    raise ConfigError(
        f"run={str(folder)!r} was begun with {name}={str(was)[:80]}, and this call has {name}={str(now)[:80]}: a run "
        "goes on as it was begun; give this one another folder"
    )


def _short(weights: Any) -> str:
    """The beginning of a digest, with how the weights are loaded."""
    digest, _, loaded = str(weights).partition(", ")
    return f"{digest[:12]}…" + (f", {loaded}" if loaded else "")


def _without(settings: Any, names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in (settings or {}).items() if name not in names}


def digest_of(examples: Sequence[tuple[str, Example]]) -> str:
    """SHA-256 over ids and prompts: which questions, in which order."""
    asked = [[name, example.messages, example.answer_format] for name, example in examples]
    return hashlib.sha256(json.dumps(asked).encode()).hexdigest()
