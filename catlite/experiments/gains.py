"""What a gain is made of, question by question: learned, kept, lost, or never right.

After the table by which TTRL-Guard (arXiv 2605.19444) found that most of a label-free gain is on questions that could
be solved before. Left out: tests of significance of a single question.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from catlite.analysis.at_k import all_wrong, right_samples
from catlite.averages import mean_and_error
from catlite.results import SINGLE, Evaluation

COLUMNS = ["id", "change", "right_before", "samples_before", "right_after", "samples_after", "gain"]
WORDS = {
    "learned": "learned: none, then some",
    "kept": "kept: some, then some",
    "lost": "lost: some, then none",
    "never": "never: none, then none",
}


def by_question(before: Evaluation, after: Evaluation, threshold: float | None = None) -> list[dict[str, Any]]:
    """List what became of each question that has graded samples in both evaluations; see Comparison.by_question."""
    was, now = right_samples(before, threshold), right_samples(after, threshold)
    names = {row.position: row.id for row in before.rows if row.system == SINGLE}
    return [
        {
            "id": names[position],
            "change": _change(any(was[position]), any(now[position])),
            "right_before": sum(was[position]),
            "samples_before": len(was[position]),
            "right_after": sum(now[position]),
            "samples_after": len(now[position]),
            "gain": sum(now[position]) / len(now[position]) - sum(was[position]) / len(was[position]),
        }
        for position in was
        if was[position] and now.get(position)
    ]


def summarize(questions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """List for each change how many of the questions `by_question` gives, and what they add to the gain."""
    rows = []
    chances = [_by_chance(question) for question in questions]
    for change in WORDS:
        belongs = [question["change"] == change for question in questions]
        share, share_se = mean_and_error([float(member) for member in belongs])
        gain, gain_se = mean_and_error([member * row["gain"] for member, row in zip(belongs, questions, strict=True)])
        by_chance, _ = mean_and_error([chance[change] for chance in chances])
        row = {"change": change, "questions": sum(belongs), "share": share, "share_se": share_se}
        rows.append(row | {"by_chance": by_chance, "gain": gain, "gain_se": gain_se})
    return rows


def pass_at(k: int, evaluation: Evaluation, threshold: float | None = None) -> dict[int, float]:
    """Give pass@k of each question with k graded samples, by position."""
    pools: Iterable[tuple[int, list[bool]]] = right_samples(evaluation, threshold).items()
    return {position: 1 - all_wrong(pool, k) for position, pool in pools if len(pool) >= k}


def _change(solved_before: bool, solved_after: bool) -> str:
    if solved_before:
        return "kept" if solved_after else "lost"
    return "learned" if solved_after else "never"


def _by_chance(question: Mapping[str, Any]) -> dict[str, float]:
    """Give the chance of each change when all samples of the question are dealt out anew as before and after."""
    right = question["right_before"] + question["right_after"]
    if not right:
        return {"learned": 0.0, "kept": 0.0, "lost": 0.0, "never": 1.0}
    wrong = question["samples_before"] + question["samples_after"] - right
    pool = [True] * right + [False] * wrong
    learned, lost = (all_wrong(pool, question[f"samples_{moment}"]) for moment in ("before", "after"))
    return {"learned": learned, "kept": 1 - learned - lost, "lost": lost, "never": 0.0}
