"""The result of a training run: the trained policy, and how training went; folder.py describes its folder."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catlite import cards
from catlite.errors import ConfigError
from catlite.models.local.adapters import lora_rank_of_vllm
from catlite.models.local.model import LocalModel
from catlite.text import plural, short
from catlite.training.folder import Folder, step_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_WATCHED = ("cat/reward", "cat/support", "cat/gap", "cat/abstained", "loss", "entropy", "seconds/step")
PLOTS = {
    "reward": ("cat/reward", "check/reward", "check/gold", "check/gold_gap"),
    "teacher and policy": ("check/teacher", "check/policy", "cat/teacher", "cat/policy"),
    "flips": ("cat/flips", "cat/medium_agreement"),
    "distinct answers of a group": ("cat/distinct_answers",),
    "entropy": ("entropy",),
    "seconds per step": ("seconds/generation", "seconds/reward", "seconds/backward"),
}


@dataclass(frozen=True)
class TrainingRun:
    """The result of `train` or `sft`: the trained policy, ready to sample, and how training went.

    Args:
        folder: the folder of the run.
        policy: the trained model.
        steps: how many steps of the optimizer were made.
        ended: why training ended, in words.
        complete: False when it was halted (a judge down, a budget reached); the same call then goes on from there.
        metrics: a mapping per step; `to_frame` makes a table of them.
        best_step: the step with the best check, or with the lowest validation loss of `sft`; see `best_adapter`.

    Example:
        >>> trained = catlite.train("times_tables", "local", run="runs/tables")
        >>> trained.plot()
    """

    folder: Path
    policy: LocalModel = field(repr=False)
    steps: int
    ended: str
    complete: bool
    metrics: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    best_step: int | None = None

    @classmethod
    def load(cls, folder: str | Path, policy: str | Path | None = None) -> TrainingRun:
        """Load the run in `folder`, finished or not; nothing is trained, and nothing in the folder is changed.

        Args:
            folder: the run= of `train` or `sft`.
            policy: where the trained weights are now, as LocalModel takes it; None is where they were then.

        Returns:
            The run with its metrics. The policy loads when it is first used. That of an unfinished run has the adapter
            of the last checkpoint, or none when there is no checkpoint.

        Raises:
            StoreError: when the folder has no training run that can be read.
            ConfigError: when there are no weights at that path, or, on loading, when they are not those of the run.

        Example:
            >>> trained = TrainingRun.load("runs/tables")
            >>> trained.plot()
        """
        files = Folder(folder)
        manifest = files.manifest()
        last = files.last_checkpoint()
        outcome, steps = manifest.get("outcome"), max(0, step_of(last))
        adapter = files.adapter if files.adapter.is_dir() else last
        if outcome is not None and steps > outcome["steps"]:  # it has gone on since
            outcome, adapter = None, last
        until = None if outcome is None else outcome["steps"]
        if outcome is None:
            ended = (
                "it was interrupted, or is under way; the same call of train or sft goes on from its last checkpoint"
            )
            outcome = {"steps": steps, "ended": ended, "complete": False}
        loaded = _policy(files.path, manifest, adapter, policy)
        return cls(files.path, loaded, metrics=tuple(files.metrics.read(until)), **outcome)

    @property
    def adapter(self) -> Path:
        """The adapter's folder, for LocalModel(path, adapter=…), PEFT, vLLM or a conversion for llama.cpp."""
        return self.policy.adapter or self.folder / "adapter"

    @property
    def best_adapter(self) -> Path | None:
        """The folder of the adapter of the best check of `train`; None when nothing was checked.

        The best has the highest score of the gold judge where there is one, else the highest accuracy of a sample where
        `validation` has answers, else the highest reward. With stop="reward" or "gold" it is the one the policy has.
        """
        best = None if self.best_step is None else Folder(self.folder).best(self.best_step)
        return best if best is not None and best.is_dir() else None

    @property
    def initial(self) -> LocalModel:
        """The policy as it was before training, on the same weights: to compare with."""
        return self.policy.frozen()

    def to_frame(self) -> pd.DataFrame:
        """The metrics, one row per step."""
        import pandas as pd

        return pd.DataFrame(list(self.metrics)).set_index("step") if self.metrics else pd.DataFrame()

    def plot(self) -> Figure:
        """Reward, teacher and policy, flips, distinct answers, entropy and seconds, over steps (needs matplotlib)."""
        from matplotlib.ticker import MaxNLocator

        frame = self.to_frame()
        figure = cards.figure(figsize=(14, 6), layout="constrained")
        for axes, (title, names) in zip(figure.subplots(2, 3).flat, PLOTS.items(), strict=True):
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
        """Write the base model with the adapter merged into it, as safetensors with its tokenizer.

        The base is loaded once more, in its own precision: merging in place would round it.

        Args:
            folder: where to write it.

        Returns:
            The folder, which LocalModel, transformers and vLLM load.

        Raises:
            ConfigError: for a file, or the folder of the model that was trained.

        Example:
            >>> LocalModel(trained.merge_and_save("merged"))
        """
        return self.policy.weights.save_merged(self.adapter, Path(folder).expanduser())

    def serving(self) -> str:
        """The commands that serve the trained policy with vLLM, and with llama.cpp."""
        base, adapter = (shlex.quote(str(path)) for path in (self.policy.weights.folder, self.adapter))
        known = f"--base {base}" if Path(self.policy.weights.folder).is_dir() else f"--base-model-id {base}"
        rank = json.loads((self.adapter / "adapter_config.json").read_text("utf-8"))["r"]
        most = lora_rank_of_vllm(rank)
        template = self.policy.weights.template
        return (
            f"# vLLM: the base with the adapter beside it, under the name “trained”\n"
            f"vllm serve {base} --enable-lora --max-lora-rank {most} --lora-modules trained={adapter}\n\n"
            f"# llama.cpp: the adapter as GGUF, beside the base as GGUF\n"
            f"python convert_lora_to_gguf.py {known} --outfile trained.gguf {adapter}\n"
            f"llama-server --model base.gguf --lora trained.gguf\n"
            + (f"\n# Ask either of them as it was trained: chat_template_kwargs={template}\n" if template else "")
        )

    def __str__(self) -> str:
        state = "" if self.complete else "halted, "
        return f"{state}{self.steps} steps: {self.ended}. Adapter: {self.adapter}"

    def __repr__(self) -> str:
        return f"<TrainingRun {str(self.folder)!r}: {'' if self.complete else 'halted, '}{short(str(self.ended))}>"

    def _repr_html_(self) -> str:
        """A card for notebooks: how training ended, its first and last figures, and where the adapter is."""
        state = f"<b>{plural(self.steps, 'step')}</b>" if self.complete else f'<b style="{cards.RED}">Halted</b>'
        ended = f"<div>{state} · {cards.escaped(self.ended)}</div>"
        names = [name for name in _WATCHED if any(isinstance(row.get(name), int | float) for row in self.metrics)]
        rows = [["", *names]] + [
            [f"step {row.get('step', '?')}", *(_metric(row.get(name)) for name in names)]
            for row in [*self.metrics[:1], *self.metrics[1:][-1:]]
        ]
        figures = cards.html_table("", rows) if len(rows) > 1 else ""
        best = "" if self.best_adapter is None else f" · best <code>{cards.escaped(str(self.best_adapter))}</code>"
        where = f'<div style="{cards.FAINT}">adapter <code>{cards.escaped(str(self.adapter))}</code>{best}</div>'
        more = f'<div style="{cards.FAINT}">.plot() draws all steps, .serving() says how to serve the policy</div>'
        return cards.card(ended, figures, where, more)


def _metric(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else ""


def _policy(folder: Path, manifest: Mapping[str, Any], adapter: Path | None, path: str | Path | None) -> LocalModel:
    """The policy of the run in `folder`, not loaded yet."""
    known = manifest.get("policy", {})
    settings = dict(known.get("settings", {}))
    if settings.get("fast") == "graphs":  # this machine may have no CUDA device; on one that has, None means the same
        del settings["fast"]
    if path is None and "path" not in known:
        raise ConfigError(f"the run {str(folder)!r} does not say where its weights are: give policy=, what was trained")
    try:
        policy = LocalModel(path or known["path"], adapter=adapter, **settings)
    except ConfigError as error:
        if path is not None:
            raise
        raise ConfigError(f"{error}: it was trained in {str(folder)!r}; give policy=, where it is now") from None
    policy.weights.template = dict(known.get("template", {}))
    policy.weights.expected, _, _ = str(manifest["model"]).partition(", ")
    return policy
