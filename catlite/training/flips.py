"""Flips: how many prompts have another reference answer than when they were seen last (TTRL-Guard, arXiv 2605.19444).

In training by votes the share of flips rises while answers compete, and falls once one of them has won, right or wrong:
then nothing more is learned that an answer key would confirm. Left out: TTRL-Guard's remedies (scaled rewards,
protected minorities, skipped prompts).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from catlite import answers
from catlite.training.scored import Scored

COMPARED, STEPS = 64, 4  # comparisons and steps of a block, at least: single steps are too noisy to go by
APART = 2.5  # standard errors by which two blocks must differ
Counts = tuple[int, int]  # prompts whose answer changed, prompts that were compared


class Flips:
    """Remembers the reference answer of each prompt, and counts how many change."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}  # by the prompt's id, as it was seen last
        self.history: list[Counts] = []  # of each reward call
        self._latest: dict[str, Any] | None = None  # of the last call, until it is kept

    def note(self, scored: Sequence[Scored]) -> dict[str, float]:
        """Compare the references of a step with those before; return the metric, where a prompt was seen before.

        A group without a reference answer is passed over: its prompt keeps the answer that it had. Two answers that
        cannot be decided count as different.
        """
        changed, compared, latest = 0, 0, {}
        for score in scored:
            name, answer = score.group.example.id, None if score.reference is None else score.reference.answer
            if name is None or answer is None:
                continue
            if name in self.answers:
                compared += 1
                changed += answers.compare(self.answers[name], answer) is not True
            self.answers[name] = latest[name] = answer
        self.history.append((changed, compared))
        self._latest = {"answers": latest, "flips": [changed, compared]}
        return {"cat/flips": changed / compared} if compared else {}

    def take_latest(self) -> dict[str, Any] | None:
        """Give what the last step adds, as JSON can keep it; None where it was given before."""
        latest, self._latest = self._latest, None
        return latest

    def resume(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take up what `take_latest` gave in the steps of a run that goes on."""
        for row in rows:
            self.answers |= row["answers"]
            self.history.append(tuple(row["flips"]))

    def say_stop(self) -> str | None:
        """Why training may end; None to go on."""
        return flips_say_stop(self.history)


def flips_say_stop(history: Sequence[Counts]) -> str | None:
    """Why training may end, in words, when flips have risen and fallen.

    Steps are put together into blocks of COMPARED comparisons and STEPS steps, at least. Flips have risen when some
    block lies above the first, and have fallen when both of the last two lie below that one, at no more than half of
    it; each by APART standard errors of the difference. So it takes four blocks, and no three steps can end a run.

    Args:
        history: of each step, how many references changed, and how many were compared.
    """
    blocks = _blocks(history)
    if len(blocks) < 4:
        return None
    first, *middle, before, last = blocks
    peak = max(middle, key=_share)
    if not _is_above(peak, first):
        return None
    if not all(_is_above(peak, block) and 2 * _share(block) <= _share(peak) for block in (before, last)):
        return None
    return (
        f"flips have risen and fallen: of the references {_share(first):.2f} changed at first, {_share(peak):.2f} at "
        f"the peak, {_share(last):.2f} now, so one answer has won for most prompts, right or wrong"
    )


def _blocks(history: Sequence[Counts]) -> list[Counts]:
    blocks, changed, compared, steps = [], 0, 0, 0
    for flips, prompts in history:
        changed, compared, steps = changed + flips, compared + prompts, steps + bool(prompts)
        if compared >= COMPARED and steps >= STEPS:
            blocks.append((changed, compared))
            changed, compared, steps = 0, 0, 0
    return blocks


def _share(block: Counts) -> float:
    return block[0] / block[1]


def _is_above(block: Counts, other: Counts) -> bool:
    pooled = (block[0] + other[0]) / (block[1] + other[1])
    error = math.sqrt(pooled * (1 - pooled) * (1 / block[1] + 1 / other[1]))
    return _share(block) - _share(other) > APART * error
