"""How far a judge can be trusted: against labels, against another judge, against itself; and rubrics against rubrics.

Verdicts that could not be had are left out and counted as coverage, never taken for a no. Accuracy, balanced F1 (the
mean of the F1 of yes and of no, HealthBench's meta-evaluation) and Cohen's kappa come with 95% intervals. These, and
standard errors, are over questions: verdicts on the same rollouts, or on rollouts of one question, go together, so that
many of them say less than as many questions would. Left out: which of two judges is right where there are no labels.
"""

from __future__ import annotations

import itertools
import json
import math
import warnings
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from catlite.analysis.comparing import Array, interval, resample
from catlite.averages import over_questions, ratio_and_error
from catlite.data import Judgement
from catlite.errors import ConfigError
from catlite.text import data_frame

if TYPE_CHECKING:
    import pandas as pd

Verdicts = Sequence[bool | None]
Rewards = Sequence[float | None]


class Flat(list[bool | None]):
    """Verdicts one after the other, and in `questions` of each one which question it is about."""

    def __init__(self, items: Iterable[bool | None], questions: Sequence[Hashable]) -> None:
        super().__init__(items)
        self.questions = tuple(questions)


def verdicts(judgements: Iterable[Judgement]) -> Flat:
    """List all verdicts, by group, rollout and criterion, for `with_labels`.

    Args:
        judgements: of groups, as `judge_group` or an evaluation's rows have them.

    Returns:
        A list of True, False or None, which knows of each verdict the question it is about.

    Example:
        >>> verdicts([judgement])
        [True, False, None]
    """
    items: list[bool | None] = []
    questions: list[Hashable] = []
    for number, judgement in enumerate(judgements):
        judged = [verdict.met for of_rollout in judgement.verdicts_GC for verdict in of_rollout]
        prompt = judgement.group.example.prompt
        items += judged
        # Groups of one question, as its repeats are, go together: the prompt tells, since ids may be missing or shared.
        questions += [json.dumps(prompt, sort_keys=True, default=repr) if prompt else number] * len(judged)
    return Flat(items, questions)


def with_labels(
    verdicts: Verdicts, labels: Verdicts, *, questions: Sequence[Hashable] | None = None, seed: int = 0
) -> pd.DataFrame:
    """Compare a judge's verdicts with labels, such as a person's, item by item.

    Args:
        verdicts: True, False or None, an item each; `verdicts(judgements)` gives them.
        labels: the same of whoever is right, in the same order. None, nan and pandas.NA are no label.
        questions: of each item, which question it is about, in any form that can be compared. By default what
            `verdicts` knows, and for a list of your own each item is a question.
        seed: of the bootstrap, 0 by default.

    Returns:
        Index accuracy, balanced_f1, kappa. Columns: value; low and high, the 95% percentile interval of a bootstrap
        over questions (10,000 draws), nan where there is but one; items; questions, of these items; coverage, the
        share of labelled items that have a verdict. nan where a figure is not defined, such as kappa when both say one
        thing throughout.

    Raises:
        ConfigError: when there is not one label, or one question, per verdict, when one is anything but True, False (or
            1, 0) and none, or when there is nothing to compare.

    Example:
        >>> with_labels([True, False, None], [1, 0, 1])
        >>> with_labels(verdicts(judgements), frame["met"])
    """
    if len(verdicts) != len(labels):
        raise ConfigError(f"{len(verdicts)} verdicts and {len(labels)} labels: want one label for each, None for none")
    if questions is None:
        questions = getattr(verdicts, "questions", range(len(verdicts)))
    if len(questions) != len(verdicts):
        raise ConfigError(f"{len(verdicts)} verdicts and {len(questions)} questions: want a question for each verdict")
    items = zip(map(_yes_or_no, verdicts), map(_yes_or_no, labels), questions, strict=True)
    labelled = [(met, label, question) for met, label, question in items if label is not None]
    pairs = [((met, label), question) for met, label, question in labelled if met is not None]
    if not pairs:
        raise ConfigError("no item has both a verdict and a label")
    # Of each question: both yes, only the judge, only the label, neither. That is all that the figures need.
    places = {question: place for place, question in enumerate(dict.fromkeys(question for _, question in pairs))}
    counts: Array = np.zeros((len(places), 4), dtype=int)
    for pair, question in pairs:
        counts[places[question], _CELLS.index(pair)] += 1
    values = _figures(counts.mean(axis=0, keepdims=True))
    drawn = _figures(resample(counts, seed)) if len(places) > 1 else {}
    rows = []
    for name, value in values.items():
        low, high = interval(drawn[name]) if drawn else (math.nan, math.nan)
        rows.append({"figure": name, "value": float(value[0]), "low": low, "high": high})
    frame = data_frame(rows).set_index("figure")
    return frame.assign(items=len(pairs), questions=len(places), coverage=len(pairs) / len(labelled))


_CELLS = [(True, True), (True, False), (False, True), (False, False)]  # of verdict and label


def _yes_or_no(value: Any) -> bool | None:
    """Read True, False or None; the text "yes", or a probability, is an error, since either would be true."""
    if is_missing(value):
        return None
    if isinstance(value, str) or np.ndim(value) or value not in (True, False):
        raise ConfigError(f"{value!r} is no verdict or label: want True, False, or None for none")
    return bool(value)


def is_missing(value: Any) -> bool:
    """Tell whether `value` stands for none: None, nan of any kind, pandas.NA or pandas.NaT."""
    import pandas as pd

    return bool(pd.api.types.is_scalar(value) and pd.isna(value))


def between(judges: Mapping[str, Sequence[Judgement]], *, seed: int = 0) -> pd.DataFrame:
    """Compare every two judges, or modes of one, that judged the same groups by the same rubrics.

    Args:
        judges: the judgements of each, by name.
        seed: of the bootstrap, a whole number; 0.

    Returns:
        A DataFrame with a row per pair. Columns: a, b, then accuracy (here the share of items on which they agree),
        balanced_f1 and kappa, each with its interval as in `with_labels`; items; questions; coverage, the share of
        items on which both have a verdict.

    Raises:
        ConfigError: for fewer than two judges, or for judgements of different shape.

    Example:
        >>> between({"single": by_single, "batch": by_batch})[["accuracy", "accuracy_low", "accuracy_high"]]
    """
    if len(judges) < 2:
        raise ConfigError(f"{len(judges)} judge: want at least two to compare")
    flat = {name: verdicts(judgements) for name, judgements in judges.items()}
    rows = []
    for (a, of_a), (b, of_b) in itertools.combinations(flat.items(), 2):
        _check_alike(of_a, of_b)
        frame = with_labels(of_a, of_b, seed=seed)
        row: dict[str, Any] = {"a": a, "b": b}
        for name in frame.index:
            value, low, high = (float(frame.loc[name, column]) for column in ("value", "low", "high"))
            row |= {str(name): value, f"{name}_low": low, f"{name}_high": high}
        items, questions = (int(frame[column].iloc[0]) for column in ("items", "questions"))
        rows.append({**row, "items": items, "questions": questions, "coverage": items / len(of_a)})
    return data_frame(rows)


def _check_alike(*columns: Flat) -> None:
    """Raise ConfigError unless these are verdicts on the same questions in the same order, as many on each."""
    if len({column.questions for column in columns}) != 1:
        raise ConfigError(
            f"{' and '.join(str(len(column)) for column in columns)} verdicts are not on the same questions in the "
            "same order: want judgements of the same groups by the same rubrics"
        )


def self_consistency(repeats: Sequence[Sequence[Judgement]]) -> pd.DataFrame:
    """Tell how often a judge says the same again of the same groups.

    Repeats say something only of a judge that samples (`judge_group(…, temperature=1.0)`), and inside a run only of
    fresh replies: wrap each repeat in `catlite.runs.session.samples_from(number)`.

    Args:
        repeats: its judgements of the same groups, made anew each time.

    Returns:
        A DataFrame. Index: agreement, the share of pairs of repeats that agree on an item; unanimous, the share of
        items on which all do. Columns: value; se, over questions; items, those with at least two verdicts; questions,
        of these items.

    Raises:
        ConfigError: for fewer than two repeats, or for repeats of different shape.

    Example:
        >>> self_consistency([first, second, third]).loc["agreement", ["value", "se"]]
    """
    columns = [verdicts(judgements) for judgements in repeats]
    if len(columns) < 2:
        raise ConfigError(f"{len(columns)} repeat: want at least two")
    _check_alike(*columns)
    shares: dict[str, dict[Hashable, list[float]]] = {"agreement": {}, "unanimous": {}}
    for item, question in zip(zip(*columns, strict=True), columns[0].questions, strict=True):
        known = [met for met in item if met is not None]
        if len(known) > 1:
            yes, no = known.count(True), known.count(False)
            agreeing = (math.comb(yes, 2) + math.comb(no, 2)) / math.comb(len(known), 2)
            shares["agreement"].setdefault(question, []).append(agreeing)
            shares["unanimous"].setdefault(question, []).append(float(yes == 0 or no == 0))
    rows = []
    for name, by_question in shares.items():
        value, error = ratio_and_error([(sum(values), len(values)) for values in by_question.values()])
        items = sum(map(len, by_question.values()))
        rows.append({"figure": name, "value": value, "se": error, "items": items, "questions": len(by_question)})
    return data_frame(rows).set_index("figure")


def rank_correlation(
    a: Sequence[Rewards], b: Sequence[Rewards], *, questions: Sequence[Hashable] | None = None
) -> pd.DataFrame:
    """Tell whether two rewards order the same rollouts alike, such as self-proposed and experts' rubrics (Spearman).

    A group is left out in which a reward does not vary, or fewer than three rollouts have both.

    Args:
        a: for each group, the rewards of its rollouts (`judgement.rewards_G`).
        b: the other rewards, in the same order.
        questions: of each group, which question it belongs to, where some are repeats of one; by default each is its
            own.

    Returns:
        A DataFrame. Index: within, the mean over questions of the correlation inside each group, which is what GRPO
        sees, with its standard error; pooled, over all rollouts, whose se is nan. Columns: value, se, n (groups, or
        rollouts).

    Raises:
        ConfigError: for rewards of different shape.

    Example:
        >>> rank_correlation([judged.rewards_G for judged in own], [judged.rewards_G for judged in expert])
    """
    if len(a) != len(b) or any(len(of_a) != len(of_b) for of_a, of_b in zip(a, b, strict=True)):
        raise ConfigError("want the rewards of the same rollouts of the same groups, in the same order")
    if questions is not None and len(questions) != len(a):
        raise ConfigError(f"{len(a)} groups and {len(questions)} questions: want for each group its question")
    both: list[list[tuple[Any, Any]]] = [
        [(x, y) for x, y in zip(of_a, of_b, strict=True) if not (is_missing(x) or is_missing(y))]
        for of_a, of_b in zip(a, b, strict=True)
    ]
    correlations = list(zip(range(len(a)) if questions is None else questions, map(spearman, both), strict=True))
    known = [(question, value) for question, value in correlations if not math.isnan(value)]
    value, error = over_questions(known)
    within = {"value": value, "se": error, "n": len(known)}
    everything = [pair for pairs in both for pair in pairs]
    pooled = {"value": spearman(everything), "se": math.nan, "n": len(everything)}
    return data_frame([{"figure": "within", **within}, {"figure": "pooled", **pooled}]).set_index("figure")


def spearman(pairs: Sequence[tuple[float, float]]) -> float:
    """Give Spearman's rank correlation: Pearson's of the ranks, where equal values share the mean of theirs."""
    import pandas as pd

    if len(pairs) < 3 or len({x for x, _ in pairs}) < 2 or len({y for _, y in pairs}) < 2:
        return math.nan
    x, y = (pd.Series(column, dtype=float).rank().to_numpy() for column in zip(*pairs, strict=True))
    return float(np.corrcoef(x, y)[0, 1])


def _figures(counts: Array) -> dict[str, Array]:
    """Compute the figures of each row of counts (both yes, only the judge, only the label, neither)."""
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
