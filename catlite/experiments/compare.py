"""Before and after: two models on the same questions, in all four ways one can ask them, question by question.

A single sample alone would flatter training, which mostly makes samples agree: greedy decoding and a majority vote of
the model it began with may well be as good. So always all four. Left out: more than two models; `evaluate` does one.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from catlite import concurrency
from catlite.coerce import as_task, check_estimator
from catlite.data import Estimator, Example, Progress, Prompt, Reward, Task
from catlite.evaluation import aevaluate
from catlite.experiments.comparison import AFTER, BEFORE, Comparison, file_of
from catlite.experiments.systems import systems
from catlite.models.base import Model, Models, check_n, check_sampling
from catlite.models.naming import opened
from catlite.results import Evaluation
from catlite.rollouts import continuing
from catlite.runs.budget import Budget
from catlite.runs.session import open_run


async def acompare(
    before: Models,
    after: Models,
    task: str | Task | Iterable[Example | Prompt],
    *,
    synthesis: Estimator | None = None,
    grader: Reward | None = None,
    n: int = 8,
    n_repeats: int = 1,
    run: str | Path | None = None,
    budget: Budget | None = None,
    progress: bool | Progress | None = None,
    **sampling: Any,
) -> Comparison:
    """Score two models on `task` as a single sample, greedy, by a majority vote of n and by a synthesis of n.

    To be awaited: `compare` is the same, blocking.

    After training: `compare(trained.initial, trained.policy, task)`. The vote is left out where the task has no answer
    formats.

    Args:
        before: the model before, or its name; also the anchor of both syntheses by default, as in training.
        after: the model after, or its name.
        task: the questions, with what they are graded by.
        synthesis: the estimator of the last row; by default `Synthesis(before)`.
        grader: a reward; by default AnswerMatch.
        n: rollouts per question and repeat, 8 by default.
        n_repeats: how often each question is sampled anew, 1 by default; its score is the mean over the repeats.
        run: a folder in which every reply is kept, so that the same call goes on where it ended, and both evaluations,
            as `before/evaluation.json` and `after/evaluation.json`; `Comparison.load` reads them. None keeps nothing.
        budget: one cap on all that both models, anchor and judge spend, resumed parts included; None is no cap.
        progress: True shows a bar for each model; a function is called with (questions done, questions) of each.
        **sampling: parameters of the rollouts, such as max_tokens; greedy decoding leaves out those by which one draws.

    Returns:
        Both evaluations, with a table of the four systems, pass@n beside the single sample, and a table of what the
        gain is made of: questions that were learned, kept and lost.

    Raises:
        ConfigError: for wrong arguments, such as a task without answers and no grader.
        ModelError: when an endpoint refuses altogether.
        StoreError: when the run's folder cannot be used or written.

    Example:
        >>> await catlite.experiments.compare.acompare(trained.initial, trained.policy, task, run="runs/both")
    """
    check_n(n)
    check_sampling(sampling, acompare)
    if synthesis is not None:
        check_estimator(synthesis)
    questions = _as_task(task)
    async with opened(before) as first, opened(after) as second:

        async def evaluate_one(model: Model, name: str) -> Evaluation:
            evaluation = await aevaluate(
                questions,
                model,
                estimators=systems(questions, model, first, synthesis, n, sampling),
                grader=grader,
                n=n,
                n_repeats=n_repeats,
                progress=progress,
                **sampling,
            )
            if run is not None and store is not None:
                evaluation.save(file_of(store.folder, name))
            return evaluation

        # One store and one budget for both: what the first spends is not there for the second.
        with open_run(run, budget) as store:
            earlier = await evaluate_one(first, BEFORE)
            with continuing(begun=True):
                return Comparison(earlier, await evaluate_one(second, AFTER))


def _as_task(task: str | Task | Iterable[Example | Prompt]) -> Task:
    return as_task(task, "compare", instead="one Example with its answer, Example(text, answer)")


compare = concurrency.blocking(acompare, task=_as_task)
