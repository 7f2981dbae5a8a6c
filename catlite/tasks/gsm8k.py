r"""GSM8K: grade-school word problems whose answers are whole numbers (Cobbe et al. 2021).

    {"question": "Ola has 3 bags of 4 plums. How many plums?", "answer": "3 * 4 = <<3*4=12>>12 plums.\n#### 12"}

The gold answer is what follows `####`, without thousands commas. A local file may also hold the answer alone, as
{"problem": "…", "answer": "12"}. Left out: the worked solutions and the "socratic" variant.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from catlite.data import Example, Task
from catlite.errors import ConfigError, DataError
from catlite.tasks import fetch, tables
from catlite.tasks.records import Layout, boxed, check_draw, load

REPOSITORY = "openai/gsm8k"
REVISION = "740312add88f781978c0658806c59bc2815b9866"  # a commit, in Parquet
# The same rows as JSONL, where they were first published.
URL = (
    "https://raw.githubusercontent.com/openai/grade-school-math/3101c7d5072418e28b9008a6636bde82a006892c"
    "/grade_school_math/data/{split}.jsonl"
)
SHA256 = {
    "train": "17f347dc51477c50d4efb83959dbb7c56297aba886e5544ee2aaed3024813465",
    "test": "3730d312f6e3440559ace48831e51066acaca737f6eabec99bccb9e4b3c39d14",
}
ROWS = {"train": 7_473, "test": 1_319}


def gsm8k(
    path: str | os.PathLike[str] | None = None,
    split: str = "test",
    *,
    limit: int | None = None,
    seed: int | None = None,
) -> Task:
    r"""Load GSM8K (Cobbe et al. 2021): 1,319 problems in "test", 7,473 in "train", that ask for a `\boxed{}` answer.

    Ids are gsm8k/test/0 and so on.

    Args:
        path: a local copy (JSONL). None fetches the rows from Hugging Face through `datasets` where that is installed,
            else from the authors' repository as one file, checked and kept in the user cache.
        split: "test" or "train"; "test".
        limit: that many problems, the first ones, or drawn by `seed`; None takes all.
        seed: of that draw, a whole number; None takes the first.

    Returns:
        The Task.

    Raises:
        DataError: when the rows cannot be had or read.
        ConfigError: for a wrong split, limit or seed.

    Example:
        >>> catlite.evaluate(catlite.gsm8k(limit=50, seed=0), "gpt-4o-mini", run="runs/gsm8k")
    """
    if split not in SHA256:
        raise ConfigError(f'split={split!r}: GSM8K has "train" and "test"')
    check_draw(limit, seed)
    rows, layout = path, Layout("question", "answer", answer_format="boxed")
    if path is None:
        rows = fetch.rows(
            URL.format(split=split),
            f"gsm8k_{split}.jsonl",
            call=f'gsm8k(path="{split}.jsonl", split="{split}")',
            hub=fetch.Hub(REPOSITORY, "main", split, REVISION, ROWS[split]),
            sha256=SHA256[split],
        )
    elif isinstance(path, (str, os.PathLike)):
        layout = _layout(Path(path).expanduser())

    def finish(example: Example) -> Example:
        _, mark, gold = (example.answer or "").rpartition("####")
        if not gold.strip() or (layout.prompt == "question" and not mark):
            raise DataError("the answer has no '#### ' with the final number after it")
        name = example.id if layout.id else f"gsm8k/{split}/{int(example.id or 0) - 1}"
        return replace(
            example, prompt=boxed(example.prompt), answer=gold.strip().replace(",", ""), id=name, metadata={}
        )

    return load(rows, layout, name="gsm8k", limit=limit, seed=seed, finish=finish)


def _layout(path: Path) -> Layout:
    """Which of the two layouts a local file has, by the columns of its first row."""
    _, first = next(tables.read(path), ("", {}))
    alone = "problem" in first and "question" not in first
    return Layout(
        "problem" if alone else "question", "answer", "id" if alone and "id" in first else None, answer_format="boxed"
    )
