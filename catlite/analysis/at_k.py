"""What at least one, or a majority, of k rollouts reaches (arXiv 2509.14234 §4.5), from those that are there.

Errors are over questions. Left out: fits of a curve.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from catlite import answers, concurrency
from catlite.analysis.comparing import check_comparable
from catlite.averages import mean_and_error
from catlite.checks import whole_number
from catlite.data import Response
from catlite.errors import ConfigError
from catlite.results import SINGLE, Evaluation, as_evaluation
from catlite.text import data_frame

if TYPE_CHECKING:
    import pandas as pd

SUBSETS = 200  # of a question's rollouts, drawn where there are more of a size


def checked_sizes(evaluation: Evaluation, sizes: Sequence[int] | None, name: str) -> Sequence[int]:
    """Return `sizes`, by default the powers of two below n, and n; raise ConfigError for a size that no group has."""
    if sizes is None:
        return [*(2**power for power in range(evaluation.n.bit_length()) if 2**power < evaluation.n), evaluation.n]
    if isinstance(sizes, str) or not isinstance(sizes, Sequence) or not sizes:
        raise ConfigError(f"{name}={sizes!r:.60}: want a list of numbers of rollouts, and groups have {evaluation.n}")
    hint = f", since groups have {evaluation.n} rollouts"
    return [whole_number(name, size, most=evaluation.n, hint=hint) for size in sizes]


def pass_at_k(
    evaluation: str | Path | Evaluation, ks: Sequence[int] | None = None, *, threshold: float | None = None
) -> pd.DataFrame:
    """How often at least one of k rollouts is right, without bias from the number there are (Chen et al. 2021).

    Args:
        evaluation: with the scores of its rollouts; those of a question's repeats go together.
        ks: numbers of rollouts; by default the powers of two up to n.
        threshold: the score from which a rollout is right, needed where scores are not just 0 and 1, as a rubric's.

    Returns:
        Columns k, pass_at_k, se (over questions), questions. A question with fewer than k graded rollouts is left out:
        those whose call failed are not graded, those that came and have no answer are. Where scores are 0 and 1, pass@1
        is the single sample's score (avg@n), unless calls failed in some repeats: pass@k weighs all rollouts of a
        question alike, avg@n its repeats.

    Raises:
        ConfigError: when some k is larger than the groups, or for scores between 0 and 1 without a threshold.

    Example:
        >>> pass_at_k(evaluation, ks=(1, 4))
        >>> pass_at_k(graded_by_rubric, threshold=0.7)
    """
    evaluation = as_evaluation(evaluation)
    pools = right_samples(evaluation, threshold).values()
    rows = []
    for k in checked_sizes(evaluation, ks, "ks"):
        enough = [pool for pool in pools if len(pool) >= k]
        mean, error = mean_and_error([1 - all_wrong(pool, k) for pool in enough])
        rows.append({"k": k, "pass_at_k": mean, "se": error, "questions": len(enough)})
    return data_frame(rows)


def right_samples(evaluation: Evaluation, threshold: float | None = None) -> dict[int, list[bool]]:
    """Tell which graded rollouts of each question are right, by position, over its repeats; see `pass_at_k`."""
    pools: dict[int, list[float]] = {}
    for row in evaluation.rows:
        if row.system == SINGLE and row.scores:
            pools.setdefault(row.position, []).extend(score for score in row.scores if score is not None)
    return {position: _passed(pool, threshold) for position, pool in pools.items()}


def _passed(scores: list[float], threshold: Any) -> list[bool]:
    """Which of `scores` are right; ConfigError when that is nowhere said."""
    if threshold is not None:
        number = isinstance(threshold, int | float) and not isinstance(threshold, bool)
        if not number or not math.isfinite(threshold):
            raise ConfigError(f"threshold={threshold!r}: want the score from which a rollout is right, such as 0.7")
        return [score >= threshold for score in scores]
    between = [score for score in scores if score not in (0, 1)]
    if between:
        raise ConfigError(
            f"pass@k counts rollouts that are right, and here one has the score {between[0]:.3g}: say from which score "
            "on it is right, such as threshold=0.7, or look at the mean scores of scaling()"
        )
    return [score == 1 for score in scores]


def all_wrong(pool: Sequence[bool], k: int) -> float:
    """Give the share of subsets of `k` in which nothing is right."""
    return math.comb(pool.count(False), k) / math.comb(len(pool), k)


def maj_at_k(evaluation: str | Path | Evaluation, ks: Sequence[int] | None = None) -> pd.DataFrame:
    """Tell what a majority vote of k rollouts reaches, over all subsets of a question's rollouts (200 at most).

    So it is less noisy than `scaling(evaluation, MajorityVote())`, which takes the first k. A rollout that is cut off
    or has no answer does not vote, and a subset in which none does scores 0.

    Args:
        evaluation: a finished one, or the folder of its run, with its groups, of examples with an answer format.
        ks: numbers of rollouts; None is the powers of two up to n.

    Returns:
        A DataFrame with columns k, maj_at_k, se (over questions), questions.

    Raises:
        ConfigError: when some k is larger than the groups, and for open-ended examples, which have no answers to vote
            with.

    Example:
        >>> catlite.maj_at_k(evaluation, ks=(1, 4, 8))
    """
    evaluation = as_evaluation(evaluation)
    check_comparable(evaluation, "maj_at_k()")
    ballots = [concurrency.run(_ballots(pool)) for pool in _pools(evaluation).values()]
    rows = []
    for k in checked_sizes(evaluation, ks, "ks"):
        mean, error = mean_and_error(enough := [_voted(ballot, k) for ballot in ballots if len(ballot) >= k])
        rows.append({"k": k, "maj_at_k": mean, "se": error, "questions": len(enough)})
    return data_frame(rows)


_Ballot = tuple[int | None, float]  # what a rollout votes for, and its score


async def _ballots(pool: list[tuple[Response, float]]) -> tuple[_Ballot, ...]:
    voters = [i for i, (rollout, _) in enumerate(pool) if rollout.usable and rollout.answer is not None]
    votes: dict[int, int] = {}
    for number, members in enumerate(await answers.aclasses([pool[i][0].answer or "" for i in voters])):
        votes |= {voters[member]: number for member in members}
    return tuple((votes.get(i), score) for i, (_, score) in enumerate(pool))


@lru_cache(maxsize=100_000)  # most questions fall into few patterns
def _voted(ballots: tuple[_Ballot, ...], k: int) -> float:
    """The mean score of the winner over subsets of `k`; a subset without a vote scores 0."""
    if math.comb(len(ballots), k) <= SUBSETS:
        subsets: Iterable[Sequence[int]] = itertools.combinations(range(len(ballots)), k)
    else:
        draw = random.Random(k)  # noqa: S311 - the same subsets each time
        subsets = (sorted(draw.sample(range(len(ballots)), k)) for _ in range(SUBSETS))
    scores = []
    for subset in subsets:
        counts: dict[int, int] = {}
        first: dict[int, float] = {}
        for i in subset:
            vote, score = ballots[i]
            if vote is not None:
                counts[vote] = counts.get(vote, 0) + 1
                first.setdefault(vote, score)
        # max keeps the first of equals: a tie goes to the answer sampled first.
        scores.append(first[max(counts, key=lambda vote: counts[vote])] if counts else 0.0)
    return fmean(scores)


def _pools(evaluation: Evaluation) -> dict[int, list[tuple[Response, float]]]:
    """All graded rollouts of a question with their scores, over its repeats, by position."""
    pools: dict[int, list[tuple[Response, float]]] = {}
    for row in evaluation.rows:
        if row.system == SINGLE and row.scores:
            group = evaluation.group(row.position, row.repeat)
            assert group is not None
            scored = zip(group.rollouts, row.scores, strict=True)
            pool = pools.setdefault(row.position, [])
            pool += [(rollout, score) for rollout, score in scored if score is not None]
    return pools
