"""HealthBench: conversations about health with physicians' weighted criteria (OpenAI 2025, arXiv 2505.08775).

    {"prompt_id": "h-1", "prompt": [{"role": "user", "content": "Can I take zinc with iron?"}], "rubrics":
     [{"criterion": "Says that they compete for uptake.", "points": 5, "tags": ["axis:accuracy"]},
      {"criterion": "Tells the user to stop iron.", "points": -4, "tags": ["axis:accuracy"]}],
     "example_tags": ["theme:context_seeking"], "ideal_completions_data": null}

(Invented: the authors ask that no example be posted in plain text, so no error message quotes one either.) Left
out: the physicians' ideal completions, and the meta-evaluation set. Scoring comes with the rubric rewards.
"""

from __future__ import annotations

import os
from dataclasses import replace

from catlite.data import Example, Task
from catlite.errors import ConfigError, DataError
from catlite.tasks import fetch
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


def healthbench(
    subset: str = "all",
    path: str | os.PathLike[str] | None = None,
    *,
    limit: int | None = None,
    seed: int | None = None,
) -> Task:
    """A subset, "all", "hard" or "consensus", or `limit` rows of it: the first ones, or drawn by `seed`.

    path: a local file (JSONL) of the same schema, your own rows included. Without, the official file is fetched,
    checked by its SHA-256 and kept in the user cache. Examples are open-ended: a rubric and no answer.

    Raises DataError when rows cannot be had or read, ConfigError for a wrong subset, limit or seed.
    """
    if subset not in FILES:
        raise ConfigError(f"subset={subset!r:.80}: HealthBench has {', '.join(map(repr, FILES))}; a file goes to path=")
    check_draw(limit, seed)
    name = "healthbench" if subset == "all" else f"healthbench_{subset}"
    if path is None:
        file, sha256 = FILES[subset]
        path = fetch.rows(URL + file, file, call=f'healthbench("{subset}", path="{file}")', sha256=sha256)
    return load(path, _LAYOUT, name=name, limit=limit, seed=seed, finish=_finish)


def _finish(example: Example) -> Example:
    if example.rubric is None:
        raise DataError("'rubrics' is empty")
    tags = example.metadata.get("example_tags")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise DataError("'example_tags' is not a list of text")
    return replace(example, metadata={"example_tags": tags})
