"""How far a judge can be trusted: against labels, against another judge, against itself; and rubrics against rubrics.

Verdicts that could not be had are left out and counted as coverage, never taken for a no. Accuracy, balanced F1 (the
mean of the F1 of yes and of no, HealthBench's meta-evaluation) and Cohen's kappa come with 95% intervals over items.
Left out: which of two judges is right where there are no labels.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from catlite.analysis.comparing import RESAMPLES
from catlite.data import Judgement
from catlite.errors import ConfigError
from catlite.text import data_frame

if TYPE_CHECKING:
    import pandas as pd

Verdicts = Sequence[bool | None]
Rewards = Sequence[float | None]


def verdicts(judgements: Iterable[Judgement]) -> list[bool | None]:
    """All verdicts, by group, rollout and criterion: what `with_labels` compares with labels in the same order."""
    return [verdict.met for judgement in judgements for mine in judgement.verdicts_GC for verdict in mine]


def with_labels(given: Verdicts, labels: Verdicts, *, seed: int = 0) -> pd.DataFrame:
    """A judge's verdicts against labels, such as a person's, item by item.

    Index: accuracy, balanced_f1, kappa. Columns: value; low and high, the 95% percentile interval of a bootstrap over
    items (RESAMPLES draws); items; coverage, the share of labelled items that have a verdict. A label of None is no
    label. nan where a figure is not defined, such as kappa when both say one thing throughout.

    Raises ConfigError when there is not one label per verdict, when one is anything but True, False (or 1, 0) and None
    (or nan), or when there is nothing to compare.
    """
    if len(given) != len(labels):
        raise ConfigError(f"{len(given)} verdicts and {len(labels)} labels: want one label for each, None for none")
    both = zip(map(_yes_or_no, given), map(_yes_or_no, labels), strict=True)
    labelled = [(mine, label) for mine, label in both if label is not None]
    pairs = [(mine, label) for mine, label in labelled if mine is not None]
    if not pairs:
        raise ConfigError("no item has both a verdict and a label")
    # Both yes, only the judge, only the label, neither: all that the figures need of the items.
    counts = np.array([pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))])
    draws = np.random.default_rng(seed).multinomial(len(pairs), counts / len(pairs), RESAMPLES)
    values, spread = _figures(counts[None, :]), _figures(draws)
    rows = []
    for name, value in values.items():
        known = spread[name][~np.isnan(spread[name])]
        low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (math.nan, math.nan)
        rows.append({"figure": name, "value": float(value[0]), "low": float(low), "high": float(high)})
    frame = data_frame(rows).set_index("figure")
    return frame.assign(items=len(pairs), coverage=len(pairs) / len(labelled))


def _yes_or_no(value: Any) -> bool | None:
    """True, False or None; "yes" out of a CSV, or a probability, would be true whatever it says."""
    if value is None or value != value:
        return None
    if isinstance(value, str) or value not in (True, False):
        raise ConfigError(f"{value!r} is no verdict or label: want True, False, or None for none")
    return bool(value)


def between(judges: Mapping[str, Sequence[Judgement]], *, seed: int = 0) -> pd.DataFrame:
    """Every two judges, or modes of one, that judged the same groups by the same rubrics.

    Columns: a, b, then accuracy (here the share of items on which they agree), balanced_f1 and kappa, each with its
    interval as in `with_labels`; items; coverage, the share of items on which both have a verdict.
    Raises ConfigError for fewer than two, or for judgements of different shape.
    """
    if len(judges) < 2:
        raise ConfigError(f"{len(judges)} judge: want at least two to compare")
    flat = {name: verdicts(judgements) for name, judgements in judges.items()}
    rows = []
    for (a, mine), (b, theirs) in itertools.combinations(flat.items(), 2):
        frame = with_labels(mine, theirs, seed=seed)
        row: dict[str, Any] = {"a": a, "b": b}
        for name in frame.index:
            value, low, high = (float(frame.loc[name, column]) for column in ("value", "low", "high"))
            row |= {str(name): value, f"{name}_low": low, f"{name}_high": high}
        items = int(frame["items"].iloc[0])
        rows.append({**row, "items": items, "coverage": items / len(mine)})
    return data_frame(rows)


def self_consistency(repeats: Sequence[Sequence[Judgement]]) -> pd.DataFrame:
    """How often a judge says the same again: `repeats` are its judgements of the same groups, asked anew each time.

    Index: agreement, the share of pairs of repeats that agree on an item; unanimous, the share of items on which all
    do. Columns: value; se, over items; items, those with at least two verdicts. Repeats say something only of a judge
    that samples (`judge_group(…, temperature=1.0)`), and inside a run only of fresh replies: wrap each repeat in
    `catlite.store.samples_from(number)`.
    Raises ConfigError for fewer than two repeats, or for repeats of different shape.
    """
    columns = [verdicts(judgements) for judgements in repeats]
    if len(columns) < 2 or len({len(column) for column in columns}) != 1:
        raise ConfigError(f"want at least two repeats of one shape, got {[len(column) for column in columns]} verdicts")
    agree, unanimous = [], []
    for item in zip(*columns, strict=True):
        said = [met for met in item if met is not None]
        if len(said) > 1:
            yes, no = said.count(True), said.count(False)
            agree.append((math.comb(yes, 2) + math.comb(no, 2)) / math.comb(len(said), 2))
            unanimous.append(float(yes == 0 or no == 0))
    rows = [{"figure": name, **_mean(values)} for name, values in (("agreement", agree), ("unanimous", unanimous))]
    return data_frame(rows).set_index("figure").rename(columns={"n": "items"})


def rank_correlation(a: Sequence[Rewards], b: Sequence[Rewards]) -> pd.DataFrame:
    """Do two rewards order the same rollouts alike, such as self-proposed and experts' rubrics? Spearman's rank.

    a, b: for each group, the rewards of its rollouts (`judgement.rewards_G`). Index: within, the mean over groups of
    the correlation inside each, which is what GRPO sees, with its standard error; pooled, over all rollouts, whose
    se is nan. Columns: value, se, n (groups, or rollouts). A group is left out in which a reward does not vary, or
    fewer than three rollouts have both. Raises ConfigError for other shapes.
    """
    if len(a) != len(b) or any(len(mine) != len(theirs) for mine, theirs in zip(a, b, strict=True)):
        raise ConfigError("want the rewards of the same rollouts of the same groups, in the same order")
    both = [
        [(x, y) for x, y in zip(mine, theirs, strict=True) if x is not None and y is not None]
        for mine, theirs in zip(a, b, strict=True)
    ]
    within = [value for pairs in both if not math.isnan(value := _spearman(pairs))]
    everything = [pair for pairs in both for pair in pairs]
    pooled = {"value": _spearman(everything), "se": math.nan, "n": len(everything)}
    return data_frame([{"figure": "within", **_mean(within)}, {"figure": "pooled", **pooled}]).set_index("figure")


def _spearman(pairs: Sequence[tuple[float, float]]) -> float:
    from scipy import stats

    if len(pairs) < 3 or len({x for x, _ in pairs}) < 2 or len({y for _, y in pairs}) < 2:
        return math.nan
    return float(stats.spearmanr(*zip(*pairs, strict=True)).statistic)


def _mean(values: Sequence[float]) -> dict[str, float]:
    spread = float(np.std(values, ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return {"value": float(np.mean(values)) if values else math.nan, "se": spread, "n": len(values)}


def _figures(counts: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    """The figures of each row of counts (both yes, only the judge, only the label, neither)."""
    yes, judge, label, no = (counts[:, column].astype(float) for column in range(4))
    total = yes + judge + label + no
    accuracy = (yes + no) / total
    chance = ((yes + judge) * (yes + label) + (no + judge) * (no + label)) / total**2
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        f1_yes, f1_no = 2 * yes / (2 * yes + judge + label), 2 * no / (2 * no + judge + label)
        # A class that neither side uses has no F1; the other's is then the whole.
        balanced = np.nanmean(np.stack([f1_yes, f1_no]), axis=0)
        kappa = (accuracy - chance) / (1 - chance)
    return {"accuracy": accuracy, "balanced_f1": balanced, "kappa": kappa}
