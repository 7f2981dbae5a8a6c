"""The front door: a better answer from parallel rollouts, blocking or awaited.

Read on in references/synthesis.py, where the reference comes from.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from catlite import answers, concurrency
from catlite.checks import whole_number
from catlite.coerce import as_task, check_estimator, estimator_name
from catlite.data import Estimator, Example, Group, Prompt, Reference, Task, as_messages
from catlite.errors import (
    BudgetReached,
    CatliteError,
    EmbeddedModelError,
    EstimationError,
    GroupError,
    ModelError,
)
from catlite.models.base import Model, check_n, check_sampling, shown_name, token_limit
from catlite.models.naming import Secret, opened, sealed
from catlite.preflight import check_readable
from catlite.references.dataset import References
from catlite.references.synthesis import Synthesis
from catlite.rollouts import ends_run, keeping, raise_if_nothing_came, sample_group, unanswered, under_way
from catlite.runs.budget import Budget
from catlite.runs.progress import Progress, reporting, waiting
from catlite.runs.session import copies, copy_of, open_run


class _Unnamed(str):
    """The name of the model that is taken where nobody names one."""

    __slots__ = ()


_DEFAULT: str = _Unnamed("local")
_DEFAULT_NOTE = (
    "no model was named, so this is the embedded one (SmolLM2, 135 million parameters), which shows how it works and "
    'is often wrong: name yours with model="…"'
)


async def asynthesize(
    prompt: Prompt,
    model: str | Model = _DEFAULT,
    *,
    n: int = 8,
    anchor: str | Model | None = None,
    answer_format: str | None = None,
    include_question: bool = False,
    run: str | Path | None = None,
    budget: Budget | None = None,
    progress: bool | None = None,
    base_url: str | Secret | None = None,
    api_key: str | Secret | None = None,
    **sampling: Any,
) -> Reference:
    """Sample `n` rollouts of a prompt and reconcile them into one reference (arXiv 2509.14234 §3.1, §4.1).

    To be awaited: `synthesize` is the same, blocking.

    It takes n + 1 generations. A model given by name has connections of its own for each call: for many calls at once
    pass one Endpoint, whose max_connections then holds for all.

    Args:
        prompt: a question, or chat messages.
        model: the policy, as "local" (the embedded model, the default), a name served at base_url or OPENAI_BASE_URL,
            litellm's "provider/name", or a Model.
        n: rollouts; 8.
        anchor: the model that reconciles, by name (served at base_url too) or a Model; None is the policy's own.
        answer_format: "boxed" for maths, or a regular expression with one group, when there is a final answer to
            compare; None for open-ended text.
        include_question: shows the anchor the question too; False, as in the paper.
        run: a folder in which every reply is kept as it arrives; the same call again asks only for what is missing.
        budget: a hard cap on requests, tokens or dollars; None for none.
        progress: a line that counts the seconds; True at once, None after two of them in a terminal or a notebook,
            False never.
        base_url: where a model given by name is served.
        api_key: its key; never shown, logged or kept.
        **sampling: temperature, top_p, max_tokens, … of the rollouts; the anchor is held to the same max_tokens.

    Returns:
        The Reference, with the rollouts in `.group` and what to know before trusting it in `.notes`.

    Raises:
        ConfigError: for a wrong argument, before anything is sent.
        GroupError: when no rollout can be used; `.group` keeps what came.
        EstimationError: when the synthesis fails; `.group` keeps what was paid for.
        ModelError: (with its kinds) when the endpoint refuses, with `.group` when it was the anchor's.
        BudgetReached: when the next request could exceed the budget.
        StoreError: when the run's folder cannot be used or written.

    Example:
        >>> reference = await catlite.asynthesize("What is 6 times 7?", "gpt-4o-mini", answer_format="boxed")
        >>> reference.answer, reference.support
    """
    # First of all, so that no frame from here on shows a key among its locals.
    where = base_url, api_key = sealed(base_url), sealed(api_key)
    as_messages(prompt)
    check_n(n)
    checked = check_sampling(sampling, asynthesize)
    if answer_format is not None:
        answers.check_format(answer_format)
    # An anchor given by name is served where the policy is, unless it is the embedded one.
    nearby = where if isinstance(anchor, str) and anchor != "local" else (None, None)
    with (
        waiting(progress, f"{n} rollout{'s' * (n != 1)} of {_called(model)}, and their synthesis", run),
        open_run(run, budget),
    ):
        async with opened(model, *where) as policy, opened(policy if anchor is None else anchor, *nearby) as reconciler:
            group = await sample_group(policy, Example(prompt, answer_format=answer_format), n, **checked)
            with keeping(group):
                synthesis = Synthesis(reconciler, include_question=include_question, max_tokens=token_limit(checked))
                reference = await synthesis(group)
            return await _noted(reference, *_notes(model))


synthesize = concurrency.blocking(asynthesize)


def _called(model: str | Model) -> str:
    """Name a model in a sentence."""
    if isinstance(model, _Unnamed):
        return "the embedded model (name one with model=)"
    return shown_name(model) if isinstance(model, Model) else str(model)


def _notes(model: str | Model) -> tuple[str, ...]:
    """Say which model was taken where nobody named one."""
    return (_DEFAULT_NOTE,) if isinstance(model, _Unnamed) else ()


async def _noted(reference: Reference, *notes: str) -> Reference:
    """Add `notes` before those of `reference`, and after them whether its rollouts had no answers.

    Answers are compared here once, and remembered: what shows a reference must not wait for that.
    """
    for rollout in reference.group.usable:
        if rollout.answer is not None and reference.answer is not None:
            with suppress(CatliteError):  # no reference is lost for that
                await answers.acompare(rollout.answer, reference.answer)
    return replace(reference, notes=(*notes, *reference.notes, *unanswered([reference.group])))


async def aestimate(
    task: str | Task | Iterable[Example | Prompt],
    model: str | Model = _DEFAULT,
    *,
    estimator: Estimator | None = None,
    n: int = 8,
    answer_format: str | None = None,
    min_usable: int = 1,
    run: str | Path | None = None,
    budget: Budget | None = None,
    progress: bool | Progress | None = None,
    base_url: str | Secret | None = None,
    api_key: str | Secret | None = None,
    **sampling: Any,
) -> References:
    """Estimate a reference for every example of a task, without labels: `synthesize`, for thousands of questions.

    To be awaited: `estimate` is the same, blocking.

    Args:
        task: a Task, Examples or prompts, or the name of a task that catlite knows ("gsm8k"); rows of a file or a
            DataFrame become a Task through `from_records`.
        model: the policy, as in `synthesize`.
        estimator: what makes a reference of a group; None is Synthesis by the policy itself.
        n: rollouts per question; 8.
        answer_format: how replies write a final answer, as in `synthesize`, for the examples that do not say it.
        min_usable: a question with fewer usable rollouts fails; 1.
        run: a folder in which every reply is kept as it arrives; the same call again asks only for what is missing.
        budget: a hard cap on requests, tokens or dollars; None for none.
        progress: as in `evaluate`.
        base_url: where a model given by name is served.
        api_key: its key; never shown, logged or kept.
        **sampling: temperature, top_p, max_tokens, … of the rollouts; a synthesis is held to the same max_tokens.

    Returns:
        A list of one Reference per example, in order, that shows itself as a table and has `to_frame()`. One that
        failed, or was left undone because a budget was reached, no credit was left, the key was revoked or the endpoint
        is down, has `.error` and no text.

    Raises:
        ConfigError: for wrong arguments, before anything is sent.
        ModelError: (with its kinds) when the endpoint refuses altogether.
        StoreError: when the run's folder cannot be used or written.

    Example:
        >>> references = await catlite.api.aestimate(["What is 6 times 7?"], "gpt-4o-mini", answer_format="boxed")
        >>> references.to_frame()[["prompt", "answer", "agree"]]
    """
    where = base_url, api_key = sealed(base_url), sealed(api_key)
    check_n(n)
    whole_number("min_usable", min_usable, most=n)
    checked = check_sampling(sampling, aestimate)
    if estimator is not None:
        check_estimator(estimator)
    examples = as_task(task, "estimate", answer_format=answer_format).examples
    check_readable([] if estimator is None else [estimator], examples)
    async with opened(model, *where) as policy:
        estimating = estimator or Synthesis(policy, max_tokens=token_limit(checked))
        stops: list[Exception] = []
        same = copies(examples)  # rows with the same prompt are questions of their own

        async def estimate_one(position: int) -> Reference:
            example = examples[position]
            group, name = Group(example, (), shown_name(policy)), estimator_name(estimating)
            if stops:
                return Reference("", None, name, group, error=f"not done: {stops[0]}")
            try:
                with copy_of(same[position]):
                    group = await sample_group(policy, example, n, min_usable=min_usable, **checked)
                    with keeping(group):
                        reference = await estimating(group)
            except EmbeddedModelError:
                raise
            except (GroupError, EstimationError, BudgetReached, ModelError) as error:
                if ends_run(error):
                    stops.append(error)
                group = group if group.rollouts else error.group or group
                reference = Reference("", None, name, group, error=str(error))
                if error.usage is not None:
                    reference = replace(reference, usage=error.usage)
            tell(reference.total_usage)
            return await _noted(reference)

        with open_run(run, budget), reporting(progress, len(examples), run) as tell:
            references = await concurrency.each(estimate_one, range(len(examples)), under_way(policy))
        raise_if_nothing_came(stops, any(reference.group.replies for reference in references))
        return References(references, _notes(model))


estimate = concurrency.blocking(aestimate, base_url=sealed, api_key=sealed, task=lambda task: as_task(task, "estimate"))
