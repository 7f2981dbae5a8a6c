"""HealthBench: conversations about health with physicians' weighted criteria (OpenAI 2025, arXiv 2505.08775).

    {"prompt_id": "h-1", "prompt": [{"role": "user", "content": "Can I take zinc with iron?"}], "rubrics":
     [{"criterion": "Says that they compete for uptake.", "points": 5, "tags": ["axis:accuracy"]},
      {"criterion": "Tells the user to stop iron.", "points": -4, "tags": ["axis:accuracy"]}],
     "example_tags": ["theme:context_seeking"], "ideal_completions_data": null}

HealthBench Professional (OpenAI 2026, arXiv 2604.27470) is the same for clinicians, by other names of the columns:

    {"id": "p-1", "conversation": {"messages": [{"role": "user", "content": "Draft a note on zinc."}]}, "rubric_items":
     [{"criterion_text": "Names the dose.", "points": 5}], "use_case": "writing", "type": "good_faith", "difficulty":
     "typical", "specialty": "Nutrition", "physician_response": "…"}

(These rows are invented: the authors ask that no example be posted in plain text, so no error message quotes one.)
Replies are graded by `ExpertRubric(judge)`, and `aggregate` makes the official metrics out of verdicts. Left out: the
physicians' own responses, and the meta-evaluation set.
"""

from __future__ import annotations

import math
import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from statistics import fmean
from typing import Any

from catlite.criteria import Criterion, Rubric, Verdict
from catlite.data import Example, Task
from catlite.errors import ConfigError, DataError
from catlite.tasks import fetch
from catlite.tasks.cells import as_rubric
from catlite.tasks.records import Layout, check_draw, load

URL = "https://openaipublic.blob.core.windows.net/simple-evals/healthbench/"
# As simple-evals names them at ee3b031.
FILES = {
    "all": (
        "2025-05-07-06-14-12_oss_eval.jsonl",  # 5,000 rows
        "e99dd3c6372c10d6fcc5e385c5fae69d0dd40392dae56836ef9493ae324ecd2f",
    ),
    "hard": (
        "hard_2025-05-08-21-00-10.jsonl",  # 1,000
        "b0320430e5cd974e746585594c1dd10b5a3fc2aff9c72b26106c2c4a069d74e9",
    ),
    "consensus": (
        "consensus_2025-05-09-20-00-46.jsonl",  # 3,671
        "fabe37553327238928b05357d8b309737b5d426d6dee432a3376da618d0969d6",
    ),
}
_LAYOUT = Layout("prompt", id="prompt_id", rubric="rubrics", private=True)

_PROFESSIONAL = "healthbench_professional_eval.jsonl"  # 525 rows
_PROFESSIONAL_URL = (
    "https://huggingface.co/datasets/openai/healthbench-professional/resolve/"
    f"349962fd46dd02343a0d8a606491baf59154ea1a/{_PROFESSIONAL}"
)
_PROFESSIONAL_SHA256 = "d44b08e6e952e04c945e2c406f02533d9e7a989a84e35820ee7efdff20c9e4e2"
_PROFESSIONAL_LAYOUT = Layout("conversation", id="id", rubric="rubric_items", private=True)
_SLICES = ("use_case", "type", "difficulty", "specialty")
CENTER, PER_500 = 2000, 0.0147  # characters at which nothing is corrected; what 500 more of them cost


def healthbench(
    subset: str = "all",
    path: str | os.PathLike[str] | None = None,
    *,
    limit: int | None = None,
    seed: int | None = None,
) -> Task:
    """Load HealthBench (Arora et al. 2025): open-ended conversations, each with a rubric by physicians and no answer.

    Args:
        subset: "all", "hard" or "consensus"; "all".
        path: a local file (JSONL) of the same schema, your own rows included. None fetches the official file, which is
            checked by its SHA-256 and kept in the user cache.
        limit: that many rows, the first ones, or drawn by `seed`; None takes all.
        seed: of that draw, a whole number; None takes the first.

    Returns:
        The Task, to be graded by `ExpertRubric`.

    Raises:
        DataError: when the rows cannot be had or read.
        ConfigError: for a wrong subset, limit or seed.

    Example:
        >>> task = catlite.healthbench(limit=20, seed=0)
        >>> catlite.evaluate(task, "gpt-4o-mini", grader=catlite.ExpertRubric("gpt-4o"), run="runs/health")
    """
    if subset not in FILES:
        raise ConfigError(f"subset={subset!r:.80}: HealthBench has {', '.join(map(repr, FILES))}; a file goes to path=")
    check_draw(limit, seed)
    name = "healthbench" if subset == "all" else f"healthbench_{subset}"
    if path is None:
        file, sha256 = FILES[subset]
        path = fetch.rows(URL + file, file, call=f'healthbench("{subset}", path="{file}")', sha256=sha256)
    return load(path, _LAYOUT, name=name, limit=limit, seed=seed, finish=_finish)


def healthbench_professional(
    path: str | os.PathLike[str] | None = None, *, limit: int | None = None, seed: int | None = None
) -> Task:
    """Load HealthBench Professional (OpenAI 2026, arXiv 2604.27470): 525 conversations with clinicians, with rubrics.

    The published figures come from the judge gpt-5.4 at low effort, and are corrected for length (`length_adjusted`):
    `analysis.official.official` has both metrics, and one for each use case, type, difficulty and specialty.

    Args:
        path: a local file (JSONL) of the same schema, your own rows included. None fetches the official file from
            Hugging Face, as it was at one commit; it is checked by its SHA-256 and kept in the user cache.
        limit: that many rows, the first ones, or drawn by `seed`; None takes all.
        seed: of that draw, a whole number; None takes the first.

    Returns:
        The Task, to be graded by `ExpertRubric`.

    Raises:
        DataError: when the rows cannot be had or read.
        ConfigError: for a wrong limit or seed.

    Example:
        >>> grader = catlite.ExpertRubric(catlite.Endpoint("gpt-5.4-2026-03-05", reasoning_effort="low"))
        >>> catlite.evaluate(catlite.healthbench_professional(limit=20, seed=0), "gpt-4o-mini", grader=grader)
    """
    check_draw(limit, seed)
    if path is None:
        call = f'healthbench_professional(path="{_PROFESSIONAL}")'
        path = fetch.rows(_PROFESSIONAL_URL, _PROFESSIONAL, call=call, sha256=_PROFESSIONAL_SHA256)
    name = "healthbench_professional"
    return load(path, _PROFESSIONAL_LAYOUT, name=name, limit=limit, seed=seed, finish=_finish_professional)


def _finish_professional(example: Example) -> Example:
    if example.rubric is None:
        raise DataError("'rubric_items' is empty")
    tags = [f"{name}:{example.metadata[name]}" for name in _SLICES if isinstance(example.metadata.get(name), str)]
    return replace(example, metadata={"example_tags": tags, "length_adjusted": True})


def length_adjusted(score: float, characters: int) -> float:
    """Correct a score for the length of its response, as HealthBench Professional does (simple-evals pull request 108).

    A response of 2,000 characters keeps its score; each 500 more cost 0.0147, and each 500 fewer add as much, because
    longer responses meet more criteria. Nothing is clipped: only a mean over responses is.

    Args:
        score: of one response by its rubric, at most 1.
        characters: the length of the response, thinking not counted.

    Returns:
        The corrected score, which may be above 1 or below 0.

    Example:
        >>> length_adjusted(0.6, 3_000)
        0.5706
    """
    return score - PER_500 * (characters - CENTER) / 500


def _finish(example: Example) -> Example:
    if example.rubric is None:
        raise DataError("'rubrics' is empty")
    tags = example.metadata.get("example_tags")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise DataError("'example_tags' is not a list of text")
    return replace(example, metadata={"example_tags": tags})


def aggregate(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Compute the official metrics (simple-evals, healthbench_eval.py at ee3b031) out of verdicts.

    A row's score is that of Rubric.score, not clipped. An example's tag has the scores of its rows; a criterion's tag
    is scored over the criteria that carry it. Every metric is a mean over rows, clipped to [0, 1]; scores without
    positive points are left out.

    Args:
        rows: one per response, each with "rubrics" (a Rubric, or a list of {criterion, points, tags}), "example_tags",
            and "verdicts", one per criterion: True, False, a Verdict, or None where it could not be judged. With
            "characters", the length of the response, its score is also corrected for that by `length_adjusted`.

    Returns:
        "overall_score", "overall_score_length_adjusted" where there are lengths, then each tag, with its value from 0
        to 1.

    Raises:
        DataError: a row lacks one of these, has not one verdict per criterion, or there is nothing to score.

    Example:
        >>> rubric = [{"criterion": "Names zinc.", "points": 5, "tags": ["axis:accuracy"]}]
        >>> aggregate([{"rubrics": rubric, "example_tags": [], "verdicts": [True]}])
        {'overall_score': 1.0, 'axis:accuracy': 1.0}
    """
    metrics = _metrics(_as_list(rows))
    return {name: min(1.0, max(0.0, fmean(scores.values()))) for name, scores in metrics.items()}


def deviations(rows: Iterable[Mapping[str, Any]], *, seed: int = 0) -> dict[str, float]:
    """Compute the official deviation of each metric of `aggregate`: over 1,000 bootstrap resamples of the rows.

    Args:
        rows: as for `aggregate`. Where they have a "question", questions are drawn with all their rows, since several
            responses to one question go together.
        seed: of the draws, a whole number; 0.

    Returns:
        Each metric's standard deviation; nan for one that only one question has, in several rows.

    Raises:
        DataError: as `aggregate` does.

    Example:
        >>> rubric = [{"criterion": "Names zinc.", "points": 5, "tags": []}]
        >>> deviations([{"rubrics": rubric, "example_tags": [], "verdicts": [True]}] * 2)
        {'overall_score': 0.0}
    """
    import numpy as np

    rows = _as_list(rows)
    generator = np.random.default_rng(seed)
    results = {}
    for name, scores in _metrics(rows).items():
        places: dict[Hashable, int] = {}
        clusters = [places.setdefault(rows[row].get("question", (row,)), len(places)) for row in scores]
        if len(places) == 1 < len(scores):
            results[name] = math.nan
            continue
        sums, sizes = np.zeros(len(places)), np.zeros(len(places))
        np.add.at(sums, clusters, list(scores.values()))
        np.add.at(sizes, clusters, 1)
        draws = generator.integers(0, len(places), (1_000, len(places)))
        means = sums[draws].sum(axis=1) / sizes[draws].sum(axis=1)
        results[name] = float(means.clip(0, 1).std())
    return results


def _as_list(rows: Any) -> list[Mapping[str, Any]]:
    if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
        raise DataError(f"rows is {type(rows).__name__}: want a list of rows with rubrics, example_tags and verdicts")
    return list(rows)


def _metrics(rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[int, float]]:
    """Each metric's scores by the row's number from 0, of the rows that have one; "overall_score" first."""
    metrics: dict[str, dict[int, float]] = {"overall_score": {}}
    for number, row in enumerate(rows):
        rubric, tags, verdicts = _checked(row, number + 1)
        score = rubric.score(verdicts)
        scores: dict[str, float | None] = {"overall_score": score}
        if score is not None and row.get("characters") is not None:
            scores["overall_score_length_adjusted"] = length_adjusted(score, row["characters"])
        scores |= dict.fromkeys(tags, score)
        pairs: dict[str, list[tuple[Criterion, bool | None]]] = {}
        for criterion, met in zip(rubric.criteria, verdicts, strict=True):
            for tag in dict.fromkeys(criterion.tags):
                pairs.setdefault(tag, []).append((criterion, met))
        for tag, judged in pairs.items():
            criteria, met_by = zip(*judged, strict=True)
            score = Rubric(criteria).score(met_by)
            scores[tag] = scores.get(tag) if score is None else score
        for name, score in scores.items():
            if score is not None:
                metrics.setdefault(name, {})[number] = score
    if not metrics["overall_score"]:
        raise DataError("there is nothing to score: no row has a judged criterion with positive points")
    return metrics


def _checked(row: Any, number: int) -> tuple[Rubric, Sequence[str], list[bool | None]]:
    """A row's rubric, tags and verdicts; DataError when one is missing or of another kind."""
    if not isinstance(row, Mapping):
        raise DataError(f"row {number} is {type(row).__name__}: want a mapping with rubrics, example_tags, verdicts")
    missing = [name for name in ("rubrics", "example_tags", "verdicts") if name not in row]
    if missing:
        raise DataError(f"row {number} has no {missing[0]!r}: want rubrics, example_tags and verdicts")
    try:
        rubric = as_rubric(row["rubrics"], "rubrics") or Rubric(())
    except DataError as error:
        raise DataError(f"row {number}: {error}") from None
    tags, verdicts = row["example_tags"], row["verdicts"]
    if not isinstance(tags, list | tuple) or not all(isinstance(tag, str) for tag in tags):
        raise DataError(f"row {number}: 'example_tags' is not a list of text")
    verdicts = [] if isinstance(verdicts, str) or not isinstance(verdicts, Iterable) else list(verdicts)
    if len(verdicts) != len(rubric):
        raise DataError(f"row {number} has {len(rubric)} criteria: want a list with one verdict for each")
    verdicts = [verdict.met if isinstance(verdict, Verdict) else verdict for verdict in verdicts]
    if any(isinstance(verdict, str) or verdict not in (None, True, False) for verdict in verdicts):
        raise DataError(f"row {number}: a verdict is True, False, None or a Verdict")
    characters = row.get("characters")
    if characters is not None and not (isinstance(characters, Real) and 0 <= float(characters) < math.inf):
        raise DataError(f"row {number}: 'characters' is {characters!r:.60}: want a number of at least 0, or None")
    return rubric, tags, verdicts
