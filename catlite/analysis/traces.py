"""How references are written, beside rollouts (arXiv 2509.14234 App. C).

Left out: languages other than English.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from catlite.averages import over_questions
from catlite.results import SINGLE, Evaluation, as_evaluation
from catlite.text import data_frame

if TYPE_CHECKING:
    import pandas as pd

# Stems that mark a step and a check in English traces; counted per 100 words (App. C uses lists of this kind).
_STEPS = re.compile(r"\b(?:first|second|third|then|next|finally|step|therefore|thus|hence|so)\b", re.IGNORECASE)
_CHECKS = re.compile(r"\b(?:check|verif\w+|confirm\w*|double-check|recheck|indeed|make sure|validate)\b", re.IGNORECASE)


def traces(evaluation: str | Path | Evaluation) -> pd.DataFrame:
    """Describe how references are written, beside rollouts: words, and cues of steps and checks per 100 words (App. C).

    Args:
        evaluation: a finished one, or the folder of its run, with its groups.

    Returns:
        A DataFrame with a row for the rollouts and one per estimator: the number of whole texts, and each mean with its
        standard error over questions.

    Example:
        >>> catlite.traces(catlite.Evaluation.load("runs/math"))
    """
    evaluation = as_evaluation(evaluation)
    texts: dict[str, list[tuple[int, str]]] = {"rollouts": []}
    for row in evaluation.rows:
        if row.reference is not None:
            of_system = texts.setdefault(row.system, [])
            if row.reference.usable:
                of_system.append((row.position, row.reference.text))
        elif row.system == SINGLE:
            group = evaluation.group(row.position, row.repeat)
            texts["rollouts"] += [(row.position, rollout.text) for rollout in (group.usable if group else ())]
    return data_frame([{"system": name, "texts": len(pairs), **_trace(pairs)} for name, pairs in texts.items()])


def _trace(texts: list[tuple[int, str]]) -> dict[str, float]:
    row: dict[str, float] = {}
    words = [max(1, len(text.split())) for _, text in texts]
    columns = {"words": [float(count) for count in words]}
    for name, pattern in (("step_words", _STEPS), ("verification_cues", _CHECKS)):
        columns[name] = [
            100 * len(pattern.findall(text)) / count for (_, text), count in zip(texts, words, strict=True)
        ]
    for name, values in columns.items():
        pairs = ((position, value) for (position, _), value in zip(texts, values, strict=True))
        row[name], row[f"{name}_se"] = over_questions(pairs)
    return row
