"""One plot for each analysis: every function draws the DataFrame that the function of its name returned.

Each returns the Axes of matplotlib, so that a paper can change them; `axes=` draws into a figure of your own. Needs the
extra `notebooks`. Left out: interactive plots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from catlite.errors import ConfigError, MissingExtra
from catlite.extras import install
from catlite.results import SINGLE, Evaluation
from catlite.text import short

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_BLUE, _GREY, _ORANGE = "#2f6f9f", "#9aa5ad", "#c8702a"
_MARKERS = "osD^v<>P"


def scores(evaluation: Evaluation, axes: Axes | None = None) -> Axes:
    """Draw every system's score with one standard error over questions, as Figure 5 of the paper.

    Args:
        evaluation: a finished one.
        axes: where to draw; None makes a figure.

    Returns:
        The Axes.

    Raises:
        MissingExtra: without matplotlib.

    Example:
        >>> plots.scores(evaluation)
    """
    summary = evaluation.summary
    axes = _axes(axes, rows=len(summary))
    _bars(axes, list(summary.index), list(summary["score"]), list(summary["se"]))
    axes.set_xlabel("score ± standard error over questions")
    questions = int(summary["questions"].max())
    axes.set_title(f"{short(evaluation.task)}, {questions:,} questions, {evaluation.n} rollouts each", loc="left")
    return axes


def differences(frame: pd.DataFrame, axes: Axes | None = None) -> Axes:
    """Draw differences from the baseline with the 95% interval of the paired bootstrap.

    Args:
        frame: what `differences` returned.
        axes: where to draw; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ConfigError: for a DataFrame of another function.
        MissingExtra: without matplotlib.

    Example:
        >>> plots.differences(catlite.differences(evaluation))
    """
    _check(frame, "differences", "difference", "low", "high", "baseline")
    axes = _axes(axes, rows=len(frame))
    places = range(len(frame))[::-1]
    middle, low, high = (frame[name].to_numpy(dtype=float) for name in ("difference", "low", "high"))
    # A percentile interval may lie beside the mean by a rounding error.
    spread = [(middle - low).clip(min=0), (high - middle).clip(min=0)]
    axes.errorbar(middle, places, xerr=spread, fmt="o", color=_BLUE, capsize=4)
    axes.axvline(0, color=_GREY, linewidth=1)
    _names(axes, list(frame["system"]))
    against = short(str(frame["baseline"].iloc[0]), 30) if len(frame) else "the baseline"
    axes.set_xlabel(f"difference from {against}, 95% interval")
    return axes


def disagreement(frame: pd.DataFrame, axes: Axes | None = None) -> Axes:
    """Draw how often a system disagrees with each other one; the bar is split by which of them is right.

    Args:
        frame: what `disagreement` returned.
        axes: where to draw; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ConfigError: for a DataFrame of another function.
        MissingExtra: without matplotlib.

    Example:
        >>> plots.disagreement(catlite.disagreement(evaluation))
    """
    _check(frame, "disagreement", "system", "other", "disagree", "right", "other_right")
    axes = _axes(axes, rows=len(frame))
    places = range(len(frame))[::-1]
    share = frame["disagree"].fillna(0).to_numpy(dtype=float)
    right, other_right = (share * frame[name].fillna(0).to_numpy(dtype=float) for name in ("right", "other_right"))
    start = share * 0
    system = _plain(str(frame["system"].iloc[0])) if len(frame) else ""
    parts = ((right, _BLUE, f"{system} is right"), (other_right, _ORANGE, "the other is right"))
    unlabelled = bool((frame["right"].isna() & (share > 0)).any())  # without gold answers nobody knows who is right
    rest = "neither is, or nobody knows" if unlabelled else "neither is"
    for width, colour, label in (*parts, (share - right - other_right, _GREY, rest)):
        axes.barh(places, width, left=start, color=colour, label=label, height=0.6)
        start = start + width
    axes.errorbar(share, places, xerr=frame["disagree_se"].to_numpy(dtype=float), fmt="none", ecolor="black", capsize=4)
    _names(axes, list(frame["other"]))
    axes.set_xlim(left=0)
    axes.set_xlabel("share of questions with another answer ± standard error")
    axes.legend(frameon=False)
    return axes


def scaling(*frames: pd.DataFrame, axes: Axes | None = None) -> Axes:
    """Draw scores over the number of rollouts, a line for each DataFrame.

    Args:
        *frames: what `scaling`, `pass_at_k` and `maj_at_k` returned.
        axes: where to draw; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ConfigError: for a DataFrame of another function.
        MissingExtra: without matplotlib.

    Example:
        >>> plots.scaling(catlite.pass_at_k(evaluation), catlite.maj_at_k(evaluation))
    """
    axes = _axes(axes, rows=4)
    sizes: set[int] = set()
    for frame, marker in zip(frames, _MARKERS * len(frames), strict=False):
        over, score = ("g", "score") if "g" in frame else ("k", next((n for n in _LINES if n in frame), "pass_at_k"))
        _check(frame, "scaling", over, score, "se")
        label = _LINES.get(score) or str(frame["estimator"].iloc[0])
        axes.errorbar(frame[over], frame[score], frame["se"], marker=marker, capsize=4, label=label)
        sizes |= set(frame[over])
    axes.set_xscale("log", base=2)
    axes.set_xticks(sorted(sizes), labels=[str(size) for size in sorted(sizes)])
    axes.minorticks_off()
    axes.set_xlabel("rollouts")
    axes.set_ylabel("score ± standard error")
    axes.legend(frameon=False)
    return axes


_LINES = {"pass_at_k": "pass@k", "maj_at_k": "maj@k"}


def ablation(frame: pd.DataFrame, axes: Axes | None = None) -> Axes:
    """Draw the variants of an ablation with one standard error over questions.

    Args:
        frame: what `context_ablation` or `question_ablation` returned.
        axes: where to draw; None makes a figure.

    Returns:
        The Axes.

    Raises:
        ConfigError: for a DataFrame of another function.
        MissingExtra: without matplotlib.

    Example:
        >>> plots.ablation(catlite.question_ablation(evaluation, synthesis))
    """
    _check(frame, "ablation", "system", "score", "se", "difference")
    axes = _axes(axes, rows=len(frame))
    _bars(axes, list(frame["system"]), list(frame["score"]), list(frame["se"]))
    axes.set_xlabel("score ± standard error over questions")
    return axes


def traces(frame: pd.DataFrame, axes: Sequence[Axes] | None = None) -> Sequence[Axes]:
    """Draw words, step words and verification cues of rollouts and references, in three panels.

    Args:
        frame: what `traces` returned.
        axes: three of them; None makes a figure.

    Returns:
        The three Axes.

    Raises:
        ConfigError: for a DataFrame of another function.
        MissingExtra: without matplotlib.

    Example:
        >>> plots.traces(catlite.traces(evaluation))
    """
    _check(frame, "traces", "system", "words", "step_words", "verification_cues")
    if axes is None:
        _, axes = _pyplot().subplots(1, 3, figsize=(9, 0.8 + 0.4 * len(frame)), sharey=True, layout="constrained")
    labels = {"words": "words", "step_words": "step words per 100", "verification_cues": "verification cues per 100"}
    for panel, (name, label) in zip(axes, labels.items(), strict=True):
        panel.spines[["top", "right"]].set_visible(False)
        _bars(panel, list(frame["system"]), list(frame[name]), list(frame[f"{name}_se"]), first="rollouts")
        panel.set_xlabel(label)
    return axes


def _bars(axes: Axes, names: list[str], values: list[float], errors: list[float], first: str = SINGLE) -> None:
    """Draw horizontal bars from zero, the first system on top; the one that others are compared with is grey."""
    colours = [_GREY if name == first else _BLUE for name in names]
    axes.barh(range(len(names))[::-1], values, xerr=errors, color=colours, capsize=4, height=0.6)
    _names(axes, names)


def _names(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names))[::-1], labels=[_plain(name) for name in names])
    axes.set_ylim(-0.6, len(names) - 0.4)


def _plain(text: str) -> str:
    """Escape a label: matplotlib would take what stands between dollars for a formula."""
    return short(text, 40).replace("$", r"\$")


def _axes(axes: Axes | None, rows: int) -> Axes:
    if axes is None:
        _, axes = _pyplot().subplots(figsize=(6.5, 1.1 + 0.45 * rows), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise MissingExtra(f"plots need matplotlib: {install('notebooks')}") from None
    return plt


def _check(frame: pd.DataFrame, name: str, *columns: str) -> None:
    missing = [column for column in columns if column not in frame]
    if missing:
        raise ConfigError(f"plots.{name}() draws what {name}() returns: this DataFrame has no {', '.join(missing)}")
