r"""MATH-500: 500 competition problems with a final answer (Lightman et al. 2023, out of Hendrycks' MATH).

    {"problem": "How many primes lie below $10$?", "answer": "4", "solution": "They are …", "subject":
     "Number Theory", "level": 1, "unique_id": "test/number_theory/0.json"}

Test-time training and testing both use these 500. Left out: the worked solutions, which nothing here reads and a
trace of a run should not carry.
"""

from __future__ import annotations

import os
from dataclasses import replace

from catlite.data import Example, Task
from catlite.tasks import fetch
from catlite.tasks.records import Layout, boxed, check_draw, load

REPOSITORY = "HuggingFaceH4/MATH-500"
REVISION = "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be"  # a commit, so that next year draws the same problems
URL = f"https://huggingface.co/datasets/{REPOSITORY}/resolve/{REVISION}/test.jsonl"
SHA256 = "35dc41080a3680858b27fa7e0533d2d547825316fc5dafe5d316f4ccc5a06132"  # of the 500 rows
_LAYOUT = Layout("problem", "answer", "unique_id", answer_format="boxed")


def math500(path: str | os.PathLike[str] | None = None, *, limit: int | None = None, seed: int | None = None) -> Task:
    r"""Load MATH-500 (Hendrycks et al. 2021, Lightman et al. 2023): 500 problems that ask for a `\boxed{}` answer.

    Args:
        path: a local copy (JSONL). None fetches the rows from Hugging Face, as they were at one commit: through
            `datasets` where that is installed, else as one file, which is checked and kept in the user cache.
        limit: that many problems, the first ones, or drawn by `seed`; None takes all.
        seed: of that draw, a whole number; None takes the first.

    Returns:
        The Task.

    Raises:
        DataError: when the rows cannot be had or read.
        ConfigError: for a wrong limit or seed.

    Example:
        >>> catlite.evaluate(catlite.math500(limit=50, seed=0), "gpt-4o-mini", run="runs/math")
    """
    check_draw(limit, seed)
    if path is None:
        hub = fetch.Hub(REPOSITORY, None, "test", REVISION, 500)
        path = fetch.rows(URL, "math500.jsonl", call='math500(path="test.jsonl")', hub=hub, sha256=SHA256)
    return load(path, _LAYOUT, name="math500", limit=limit, seed=seed, finish=_finish)


def _finish(example: Example) -> Example:
    metadata = {key: example.metadata[key] for key in ("subject", "level") if key in example.metadata}
    return replace(example, prompt=boxed(example.prompt), metadata=metadata)
