"""What an evaluation says beyond its table (arXiv 2509.14234 §4.5, App. C).

Is a difference real, when does synthesis part from the others, how does it grow with G, how do traces differ:
every function takes an Evaluation and returns a DataFrame. Left out: plots, and what needs several runs.
"""

from __future__ import annotations

import math
import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from catlite import answers, loop
from catlite.data import Group, Reference
from catlite.errors import ConfigError
from catlite.evaluation import SINGLE, Estimator, Evaluation, estimator_name
from catlite.rewards.answer_match import AnswerMatch

if TYPE_CHECKING:
    import pandas as pd

RESAMPLES = 10_000
# Stems that mark a step and a check in English traces; counted per 100 words (App. C uses lists of this kind).
_STEPS = re.compile(r"\b(?:first|second|third|then|next|finally|step|therefore|thus|hence|so)\b", re.IGNORECASE)
_CHECKS = re.compile(r"\b(?:check|verif\w+|confirm\w*|double-check|recheck|indeed|make sure|validate)\b", re.IGNORECASE)


def differences(evaluation: Evaluation, baseline: str = SINGLE, *, seed: int = 0) -> pd.DataFrame:
    """Every system against `baseline`, on the questions both were graded on.

    Columns: difference of mean scores; its standard error over questions, paired; low and high, the 95% interval of
    a paired bootstrap (RESAMPLES draws of questions); relative gain; p_welch, Welch's t-test as in the paper, which
    ignores the pairing and is therefore the more cautious; questions. Raises ConfigError for an unknown baseline.
    """
    import pandas as pd

    if baseline not in evaluation.systems:
        raise ConfigError(f"baseline={baseline!r}: the evaluation has {', '.join(evaluation.systems)}")
    base = _scores(evaluation, baseline)
    rows = []
    for system in evaluation.systems:
        if system == baseline:
            continue
        mine = _scores(evaluation, system)
        both = [name for name in mine if name in base]
        x, y = np.array([mine[name] for name in both]), np.array([base[name] for name in both])
        delta = x - y
        few = len(both) < 2
        low, high = (math.nan, math.nan) if few else _interval(delta, seed)
        # Two constant samples have no variance to test with.
        flat = few or (x.std() == 0 and y.std() == 0)
        rows.append(
            {
                "system": system,
                "baseline": baseline,
                "difference": delta.mean() if both else math.nan,
                "se": math.nan if few else delta.std(ddof=1) / math.sqrt(len(both)),
                "low": low,
                "high": high,
                "relative_gain": delta.mean() / y.mean() if both and y.mean() else math.nan,
                "p_welch": math.nan if flat else _welch(x, y),
                "questions": len(both),
            }
        )
    return pd.DataFrame(rows)


def _scores(evaluation: Evaluation, system: str) -> dict[str, float]:
    return {row.id: row.score for row in evaluation.rows if row.system == system and row.score is not None}


def _interval(delta: np.ndarray[Any, Any], seed: int) -> tuple[float, float]:
    """The 95% percentile interval of the mean over resampled questions."""
    generator = np.random.default_rng(seed)
    # One draw of questions at a time: all of them at once would take a gigabyte for 5,000 questions.
    means = [delta[generator.integers(0, len(delta), len(delta))].mean() for _ in range(RESAMPLES)]
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _welch(x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> float:
    from scipy import stats

    with warnings.catch_warnings():
        # One list of equal scores (all right, say) is no loss of precision: the test rests on the other's variance.
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(stats.ttest_ind(x, y, equal_var=False).pvalue)


def disagreement(evaluation: Evaluation, system: str = "Synthesis") -> pd.DataFrame:
    """How often `system`'s answer differs from another's, and who is right then (§4.5).

    One row per other system, and one for "every rollout": the questions on which no rollout has the answer that
    `system` gives. Columns: other, questions, disagree (share), right and other_right (shares of the disagreements).
    """
    import pandas as pd

    found = _references(evaluation, system)
    gold = {key: reference.group.example.answer for key, reference in found.items()}
    rows = []
    for other in [name for name in evaluation.systems if name not in (SINGLE, system)]:
        theirs = _references(evaluation, other)
        both = [key for key in found if key in theirs]
        apart = [key for key in both if not _same(found[key].answer, theirs[key].answer)]
        right = sum(_same(found[key].answer, gold[key]) for key in apart)
        other_right = sum(_same(theirs[key].answer, gold[key]) for key in apart)
        rows.append(_apart(other, len(both), len(apart), right, other_right))
    alone = [key for key, reference in found.items() if reference.support is not None and reference.support[0] == 0]
    any_right = sum(any(_same(one.answer, gold[key]) for one in found[key].rollouts) for key in alone)
    right = sum(_same(found[key].answer, gold[key]) for key in alone)
    rows.append(_apart("every rollout", len(found), len(alone), right, any_right))
    return pd.DataFrame(rows)


def _apart(other: str, questions: int, apart: int, right: int, other_right: int) -> dict[str, Any]:
    return {
        "other": other,
        "questions": questions,
        "disagree": apart / questions if questions else math.nan,
        "right": right / apart if apart else math.nan,
        "other_right": other_right / apart if apart else math.nan,
    }


def _references(evaluation: Evaluation, system: str) -> dict[int, Reference]:
    """The references of a system by the position of their question."""
    found = {position: reference for (position, name), reference in evaluation.by_question.items() if name == system}
    if not found:
        raise ConfigError(f"the evaluation has no references by {system!r}: it has {', '.join(evaluation.systems)}")
    return found


def _same(a: str | None, b: str | None) -> bool:
    return a == b if a is None or b is None else answers.equivalent(a, b)


def scaling(evaluation: Evaluation, estimator: Estimator, sizes: tuple[int, ...] = (1, 2, 4, 8)) -> pd.DataFrame:
    """The estimator's score on the first g rollouts of every group, for each g in `sizes`; no new rollouts.

    The estimator's own calls (a synthesis per group and size) are made. Columns: estimator, g, score, se, questions.
    Raises ConfigError when a size is larger than the groups.
    """
    import pandas as pd

    groups = list({position: ref.group for (position, _), ref in evaluation.by_question.items()}.values())
    if not groups or max(sizes) > min(len(group.rollouts) for group in groups) or min(sizes) < 1:
        raise ConfigError(f"sizes={sizes}: groups have {evaluation.n} rollouts, and at least one estimator is needed")

    async def scored(group: Group, size: int) -> float | None:
        part = Group(group.example, group.rollouts[:size])
        gold = Reference("", group.example.answer, "gold", group)
        if part.usable:
            part = Group(group.example, ((await estimator(part)).as_rollout(),))
        # Without anything to estimate from, what was sampled stands for itself.
        graded = [score for score in await AnswerMatch()(part, gold) if score is not None]
        return float(np.mean(graded)) if graded else None

    rows = []
    for size in sizes:
        scores = [s for s in loop.run(loop.together(scored(group, size) for group in groups)) if s is not None]
        spread = float(np.std(scores, ddof=1)) / math.sqrt(len(scores)) if len(scores) > 1 else math.nan
        name = estimator_name(estimator)
        rows.append({"estimator": name, "g": size, "score": np.mean(scores), "se": spread, "questions": len(scores)})
    return pd.DataFrame(rows)


def pass_at_k(evaluation: Evaluation, ks: tuple[int, ...] = (1, 2, 4, 8)) -> pd.DataFrame:
    """How often at least one of k rollouts is right, without bias from the n there are (Chen et al. 2021).

    Columns: k, pass_at_k, se, questions. pass@1 is the single sample's score (avg@n). What a vote of k reaches
    (maj@k) is `scaling(evaluation, MajorityVote())`. Raises ConfigError when some k is larger than the groups.
    """
    import pandas as pd

    scores = [row.scores for row in evaluation.rows if row.system == SINGLE and row.score is not None]
    graded = [[score for score in each if score is not None] for each in scores]
    if min(ks) < 1 or any(len(each) < max(ks) for each in graded):
        raise ConfigError(f"ks={ks}: every question needs as many graded rollouts, and groups have {evaluation.n}")
    rows = []
    for k in ks:
        found = [1 - math.comb(len(each) - sum(s >= 1 for s in each), k) / math.comb(len(each), k) for each in graded]
        spread = float(np.std(found, ddof=1)) / math.sqrt(len(found)) if len(found) > 1 else math.nan
        rows.append({"k": k, "pass_at_k": float(np.mean(found)), "se": spread, "questions": len(found)})
    return pd.DataFrame(rows)


def traces(evaluation: Evaluation) -> pd.DataFrame:
    """How references are written, beside rollouts (App. C): words, step words and verification cues per 100 words.

    One row for the rollouts and one per estimator, each a mean over texts with its standard error.
    """
    import pandas as pd

    texts: dict[str, list[str]] = {"rollouts": []}
    seen: set[int] = set()
    for (position, name), reference in evaluation.by_question.items():
        if position not in seen:
            seen.add(position)
            texts["rollouts"] += [rollout.text for rollout in reference.group.usable]
        texts.setdefault(name, []).append(reference.text)
    return pd.DataFrame([{"system": name, **_trace(found)} for name, found in texts.items()])


def _trace(texts: list[str]) -> dict[str, float]:
    words = np.array([max(1, len(text.split())) for text in texts], dtype=float)
    columns = {"words": words}
    for name, pattern in (("step_words", _STEPS), ("verification_cues", _CHECKS)):
        counts = np.array([len(pattern.findall(text)) for text in texts], dtype=float)
        columns[name] = 100 * counts / words
    row: dict[str, float] = {"texts": len(texts)}
    for name, values in columns.items():
        row[name] = float(values.mean()) if len(values) else math.nan
        row[f"{name}_se"] = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return row
