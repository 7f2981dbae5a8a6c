"""The front door: a better answer from parallel rollouts, blocking or awaited.

Read on in references/synthesis.py, where the reference comes from.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from catlite import answers, loop
from catlite.budget import Budget, capped
from catlite.data import Example, Group, Prompt, Reference, Task, Usage, as_messages
from catlite.errors import (
    BudgetReached,
    ConfigError,
    EmbeddedModelError,
    EndpointDown,
    EstimationError,
    GroupError,
    ModelError,
)
from catlite.evaluation import Estimator, estimator_name
from catlite.models.base import Model, check_n, check_sampling, resolve, shown_name, token_limit
from catlite.models.keys import Secret, sealed
from catlite.progress import Progress, reporting, waiting
from catlite.references.dataset import References
from catlite.references.synthesis import Synthesis
from catlite.rollouts import ends_run, keeping, sample_group, under_way
from catlite.store import copies, copy_of, open_run


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
    base_url: str | Secret | None = None,
    api_key: str | Secret | None = None,
    **sampling: Any,
) -> Reference:
    """`n` rollouts of `prompt`, reconciled into one reference (arXiv 2509.14234 §3.1, §4.1): n + 1 generations.

    prompt: a question, or chat messages. model: the policy, as "local" (the embedded model), a name served at
    base_url or OPENAI_BASE_URL, litellm's "provider/name", or a Model. anchor: the model that reconciles, by
    default the policy's own; a name is served at base_url too. answer_format: "boxed" for maths, or a regular
    expression with one group, when there is a final answer to compare; None for open-ended text. include_question:
    shows the anchor the question too. sampling: temperature, top_p, max_tokens, … of the rollouts; the anchor is
    held to the same max_tokens.

    Raises ConfigError for a wrong argument before anything is sent; GroupError when no rollout can be used and
    EstimationError when the synthesis fails, both with what was paid for in `.group`; ModelError (with its kinds)
    when the endpoint refuses, with `.group` when it was the anchor's. A model given by name has connections of its
    own for each call: for many calls at once pass one Endpoint, whose max_connections then holds for all.
    """
    # First of all, so that no frame from here on shows a key among its locals.
    where = base_url, api_key = sealed(base_url), sealed(api_key)
    as_messages(prompt)
    check_n(n)
    checked = check_sampling(sampling)
    if answer_format is not None:
        answers.check_format(answer_format)
    # An anchor given by name is served where the policy is, unless it is the embedded one.
    nearby = where if isinstance(anchor, str) and anchor != "local" else (None, None)
    async with _opened(model, *where) as policy, _opened(anchor or policy, *nearby) as reconciler:
        example = Example(prompt, answer_format=answer_format)
        group = await sample_group(policy, example, n, **checked)
        limit = token_limit(checked)
        with keeping(group):
            reference = await Synthesis(reconciler, include_question=include_question, max_tokens=limit)(group)
        return replace(reference, notes=(*_notes(model), *reference.notes))


def _notes(model: str | Model) -> tuple[str, ...]:
    """What to say of a model that nobody asked for by name."""
    return (_DEFAULT_NOTE,) if isinstance(model, _Unnamed) else ()


def synthesize(
    prompt: Prompt,
    model: str | Model = _DEFAULT,
    *,
    n: int = 8,
    anchor: str | Model | None = None,
    answer_format: str | None = None,
    include_question: bool = False,
    progress: bool | None = None,
    base_url: str | Secret | None = None,
    api_key: str | Secret | None = None,
    **sampling: Any,
) -> Reference:
    """`asynthesize`, blocking: for scripts, notebooks and threads. Arguments and errors are the same.

    progress: a line that counts the seconds; True at once, None after two of them in a terminal or a notebook, False
    never. Ctrl-C cancels what is in flight.
    """
    base_url, api_key = sealed(base_url), sealed(api_key)

    async def work() -> Reference:
        with waiting(progress, f"{n} rollout{'s' * (n != 1)} of {_called(model)}, and their synthesis"):
            return await asynthesize(
                prompt,
                model,
                n=n,
                anchor=anchor,
                answer_format=answer_format,
                include_question=include_question,
                base_url=base_url,
                api_key=api_key,
                **sampling,
            )

    return loop.run(work())


def _called(model: str | Model) -> str:
    """A model in a sentence."""
    if isinstance(model, _Unnamed):
        return "the embedded model (name one with model=)"
    return model if isinstance(model, str) else str(getattr(model, "shown_name", getattr(model, "name", model)))


def estimate(
    task: Task | Iterable[Example | Prompt],
    model: str | Model = _DEFAULT,
    *,
    estimator: Estimator | None = None,
    n: int = 8,
    min_usable: int = 1,
    run: str | Path | None = None,
    budget: Budget | None = None,
    progress: bool | Progress | None = None,
    base_url: str | Secret | None = None,
    api_key: str | Secret | None = None,
    **sampling: Any,
) -> References:
    """A reference for every example of a task, without labels: what `synthesize` does, for thousands of questions.

    task: a Task, Examples or prompts. estimator: by default Synthesis by the model itself. min_usable: a question with
    fewer usable rollouts fails. run, budget, progress: as in `evaluate`. Returns a list of one Reference per example,
    in order, that shows itself as a table and has `to_frame()`; one that failed, or was left undone because a budget
    was reached, no credit was left, the key was revoked or the endpoint is down, has `.error` and no text, and the
    others are finished.

    Raises ConfigError for wrong arguments, ModelError when the endpoint refuses altogether, StoreError when the run's
    folder cannot be used or written.
    """
    where = base_url, api_key = sealed(base_url), sealed(api_key)
    check_n(n)
    if not isinstance(min_usable, int) or not 1 <= min_usable <= n:
        raise ConfigError(f"min_usable={min_usable!r}: want a whole number from 1 to n={n}")
    checked = check_sampling(sampling)
    if isinstance(task, str):
        raise ConfigError(f"estimate() takes many questions, not one text: [{task[:40]!r}], or synthesize() for one")
    examples = [one if isinstance(one, Example) else Example(one) for one in task]
    for example in examples:
        as_messages(example.prompt)
    limit = token_limit(checked)

    async def work() -> References:
        async with _opened(model, *where) as policy:
            estimating = estimator or Synthesis(policy, max_tokens=limit)
            stops: list[Exception] = []
            same = copies(examples)  # rows with the same prompt are questions of their own

            async def one(position: int) -> Reference:
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
                    spent = getattr(error, "usage", None) or Usage()
                    group = group if group.rollouts else error.group or group
                    reference = Reference("", None, name, group, usage=spent, error=str(error))
                tell(reference.total_usage)
                return reference

            with (
                open_run(run) as store,
                capped(budget, store),
                reporting(progress, len(examples), run) as tell,
            ):
                found = await loop.each(one, range(len(examples)), under_way(policy))
            came = any(reference.group.usable for reference in found)
            if stops and not came and not isinstance(stops[0], BudgetReached | EndpointDown):
                raise stops[0]
            return References(found, _notes(model))

    return loop.run(work())


@asynccontextmanager
async def _opened(
    model: str | Model, base_url: Secret | None = None, api_key: Secret | None = None
) -> AsyncIterator[Model]:
    """The Model; one that was made here from a string has its connections closed afterwards."""
    opened = resolve(model, base_url=base_url, api_key=api_key)
    try:
        yield opened
    finally:
        if opened is not model:
            await opened.aclose()  # type: ignore[attr-defined]
