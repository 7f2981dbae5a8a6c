"""Evaluation: the rewards of training, with gold in place of the pseudo-reference.

Every question flows on alone, from its rollouts through every estimator, with a bounded number of questions under way;
the endpoint's connection limit holds for all of them. Read on in grading.py, which does one question, and results.py.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from catlite import concurrency
from catlite.checks import whole_number
from catlite.coerce import as_estimators, as_task
from catlite.data import Estimator, Example, Group, Progress, Prompt, Reward, Task
from catlite.errors import ConfigError
from catlite.grading import Grading
from catlite.models.base import Models, check_n, check_sampling
from catlite.models.naming import BaseURL, Secret, opened, sealed, sealed_url
from catlite.results import SINGLE, Evaluation, Row, as_evaluation
from catlite.rollouts import raise_if_nothing_came, under_way
from catlite.runs.budget import Budget
from catlite.runs.session import copies, copy_of, working

Estimators = Sequence[Estimator] | Mapping[str, Estimator]
_UNDER_WAY = 64  # questions at once where no policy says how many it takes


async def aevaluate(
    task: str | Task | Iterable[Example | Prompt],
    policy: Models = "local",
    *,
    estimators: Estimator | Estimators = (),
    grader: Reward | None = None,
    n: int = 8,
    n_repeats: int = 1,
    answer_format: str | None = None,
    run: str | Path | None = None,
    budget: Budget | None = None,
    progress: bool | Progress | None = None,
    base_url: BaseURL = None,
    api_key: str | Secret | None = None,
    **sampling: Any,
) -> Evaluation:
    """Score a single sample of the policy and every estimator's reference, on the same rollouts of each question.

    To be awaited: `evaluate` is the same, blocking.

    A single sample's score on a question is the mean over its `n` rollouts (avg@n), its cost what one of them alone
    takes on average. A rollout that came and has no answer scores 0, cut off, filtered and empty ones included, and so
    does an estimator that could make nothing of what came; a call that failed has no score. A question of which nothing
    came is a row with score None and its error; the others are finished. Standard errors are over questions.

    Args:
        task: a Task, Examples with their answers, or the name of a task that catlite knows ("gsm8k"); rows of a file or
            a DataFrame become a Task through `from_records`.
        policy: the model that is sampled, as in `synthesize`.
        estimators: one, several, or a mapping from the names they are to have in the results.
        grader: a reward; None is AnswerMatch against each example's answer.
        n: rollouts per question and repeat; 8.
        n_repeats: how often each question is sampled anew and estimated from; 1. Its score is the mean over these.
        answer_format: how replies write a final answer, as in `synthesize`, for the examples that do not say it.
        run: a folder in which every reply is kept as it arrives, and at the end the result as evaluation.json (what
            `report` reads; the latest evaluation of a run is kept); the same call again, after success, Ctrl-C or a
            crash, asks only for what is missing.
        budget: a hard cap on the run; once it is reached, the questions that were not done are rows without a score,
            and the same call with a larger one goes on. A run that has begun ends in the same way, with `.stopped`,
            when there is no credit left, the key is revoked or the endpoint is down.
        progress: a bar with rate, cost so far and time left; True shows it at once, None after two seconds in a
            terminal or a notebook, False never; a function is called with (questions done, questions), each repeat
            counted.
        base_url: where a policy given by name is served, a list for replicas of it.
        api_key: its key; never shown, logged or kept.
        **sampling: temperature, top_p, max_tokens, … of the rollouts.

    Returns:
        The Evaluation: a row per question, repeat and system, that shows itself as a table.

    Raises:
        ConfigError: for wrong arguments, such as a task without answers, before anything is sent.
        ModelError: when the endpoint refuses altogether (a wrong key, an unknown model).
        StoreError: when the run's folder cannot be used or written.

    Example:
        >>> print(await catlite.evaluation.aevaluate("gsm8k", "gpt-4o-mini", run="runs/gsm8k"))
    """
    where = base_url, api_key = sealed_url(base_url), sealed(api_key)
    check_n(n)
    whole_number("n_repeats", n_repeats)
    check_sampling(sampling, aevaluate)
    task = _as_task(task, answer_format)
    grading = Grading.of(task, as_estimators(estimators), grader)
    async with opened(policy, *where) as model:
        grading.check_policy(model)
        started = time.monotonic()
        # All questions before the next repeat: a run store lets the same question be asked once at a time only.
        items = [(position, example, repeat) for repeat in range(n_repeats) for position, example in enumerate(task)]
        same = copies(task)  # rows with the same prompt are questions of their own

        async def evaluate_one(item: tuple[int, Example, int]) -> tuple[Group, list[Row]]:
            position, _, repeat = item
            with copy_of(same[position]):
                group, single = await grading.sample(model, n, sampling, *item)
            with copy_of(same[position], repeat):
                return group, await grading.grade(group, single, tell)

        with working(run, budget, progress, len(items)) as (store, tell):
            graded = await concurrency.each(evaluate_one, items, under_way(model))
            raise_if_nothing_came(grading.stops, any(group.replies for group, _ in graded))
            rows = tuple(row for _, rows in graded for row in rows)
            groups = tuple(group for group, _ in graded)
            seconds = time.monotonic() - started
            result = Evaluation(task.name, model.name, n, rows, seconds, grading.stopped, groups, n_repeats)
            if store is not None and run is not None:
                await asyncio.to_thread(result.save, store.folder)
            return result


async def areestimate(
    evaluation: str | Path | Evaluation,
    estimators: Estimator | Estimators,
    *,
    grader: Reward | None = None,
    run: str | Path | None = None,
    budget: Budget | None = None,
    progress: bool | Progress | None = None,
) -> Evaluation:
    """Try other estimators on the rollouts of a finished evaluation, which are neither sampled nor graded again.

    To be awaited: `reestimate` is the same, blocking.

    Rollouts that came and have no score yet are graded. Only what the estimators ask for is sent.

    Args:
        evaluation: a finished one, or the folder of its run, with its groups.
        estimators: one, several, or a mapping from the names they are to have in the results.
        grader: a reward; None is AnswerMatch against each example's answer.
        run: a folder in which replies are kept; the evaluation.json in it stays as it is.
        budget: a hard cap on what is spent; None for none.
        progress: as in `evaluate`.

    Returns:
        An Evaluation with the single sample and these estimators.

    Raises:
        ConfigError: for wrong arguments, or when the evaluation has no groups.
        StoreError: when the run's folder cannot be used or written.

    Example:
        >>> again = catlite.Synthesis("gpt-4o")
        >>> await catlite.evaluation.areestimate("runs/gsm8k", again, run="runs/again")
    """
    evaluation = as_evaluation(evaluation)
    if not evaluation.groups:
        raise ConfigError("the evaluation was made without its groups of rollouts: there is nothing to estimate from")
    examples = tuple(group.example for group in evaluation.groups)
    grading = Grading.of(Task(evaluation.task, examples), as_estimators(estimators), grader)
    started = time.monotonic()
    singles = {(row.position, row.repeat): row for row in evaluation.rows if row.system == SINGLE}
    # As numbered when they were sampled: by position.
    first = {row.position: evaluation.group(*at) for at, row in sorted(singles.items(), reverse=True)}
    known = [(position, group.example) for position, group in sorted(first.items()) if group is not None]
    same = dict(zip([position for position, _ in known], copies(example for _, example in known), strict=True))

    async def reestimate_one(single: Row) -> list[Row]:
        group = evaluation.group(single.position, single.repeat)
        assert group is not None
        with copy_of(same[single.position], single.repeat):
            return await grading.grade(group, single, tell)

    with working(run, budget, progress, len(singles)) as (_, tell):
        graded = await concurrency.each(reestimate_one, list(singles.values()), _UNDER_WAY)
        rows = tuple(row for rows in graded for row in rows)
        raise_if_nothing_came(grading.stops, any(row.score is not None and row.system != SINGLE for row in rows))
    return replace(evaluation, rows=rows, seconds=time.monotonic() - started, stopped=grading.stopped)


def _as_task(task: str | Task | Iterable[Example | Prompt], answer_format: str | None = None) -> Task:
    return as_task(task, answer_format=answer_format, instead="one Example with its answer, Example(text, answer)")


evaluate = concurrency.blocking(aevaluate, base_url=sealed_url, api_key=sealed, task=_as_task)
reestimate = concurrency.blocking(areestimate)
