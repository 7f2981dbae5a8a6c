"""The cost before the run: what a call of the library would ask of its models, from a few questions or from none.

The call itself is made for some of its questions: rehearsed without asking anybody (rehearsal.py), or for real. So
every estimator and reward tells its own cost. Left out: retries, prices by time of day, and the electricity of weights
in this process.
"""

from __future__ import annotations

import inspect
import itertools
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from catlite import concurrency
from catlite.checks import whole_number
from catlite.coerce import as_task
from catlite.costs import Cost, scale
from catlite.data import Example, Task
from catlite.errors import ConfigError
from catlite.models.naming import sealed, sealed_url
from catlite.rehearsal import BYTES_PER_TOKEN, FORM_TOKENS, REPLY_TOKENS, Tally
from catlite.runs.session import changed, copies, open_run
from catlite.text import plural
from catlite.usage import Usage

REHEARSED = 100  # questions, at most
_AT_ONCE = 8
Work = Callable[[Example], Awaitable[object]]  # what a call asks for one question


def cost(call: Callable[..., Any], *arguments: Any, sample: int = 0, **named: Any) -> Cost:
    """Tell what a call of `evaluate`, `estimate`, `compare` or `train` would cost, before it is made.

    The call is made for some of its questions. By itself this is a rehearsal of at most 100: no model is asked, prompts
    are counted at 4 bytes a token, and replies are taken as long as max_tokens allows, so that it tells the most rather
    than the mean. With sample= that many questions are asked for real, which measures the length of replies; with run=
    these are kept, and the call itself does not pay for them again.

    Args:
        call: `catlite.evaluate`, `catlite.estimate`, `catlite.compare` or `catlite.train`.
        *arguments: the arguments of that call.
        sample: questions to ask for real, drawn from the task, such as 5; 0 asks nobody.
        **named: the named arguments of that call.

    Returns:
        The Cost: requests, tokens and dollars for all questions, by model. Unknown prices stay unknown.

    Raises:
        ConfigError: for another call, for a training with sample=, and what the call itself raises.

    Example:
        >>> settings = {"n": 1, "grader": catlite.ExpertRubric("gpt-4.1"), "max_tokens": 1000}
        >>> print(catlite.cost(catlite.evaluate, "healthbench", "gpt-4.1-mini", **settings))
    """
    # First of all, so that no frame from here on shows a key among its locals.
    hide = {"base_url": sealed_url, "api_key": sealed}
    named |= {secret: hide[secret](named[secret]) for secret in hide.keys() & named.keys()}
    whole_number("sample", sample, 0)
    name, given = _bind(call, arguments, named)
    task = given["task"] = as_task(given["task"], name, answer_format=given.get("answer_format"))
    if not len(task):
        raise ConfigError(f"the task {task.name!r} has no examples, so there is nothing that could cost anything")
    parts = _parts_of_training(given, sample) if name == "train" else [(len(task), _question_asker(call, given))]
    drawn = _draw(task, sample)
    tallied = [[Tally(asks=sample > 0) for _ in parts] for _ in drawn]

    async def count(place: int) -> None:
        for tally, (_, work) in zip(tallied[place], parts, strict=True):
            with changed(tally=tally):
                await work(drawn[place])

    with open_run(given["run"] if sample else None, given["budget"] if sample else None):
        concurrency.run(concurrency.each(count, range(len(drawn)), _AT_ONCE))
    tallies = list(itertools.chain.from_iterable(tallied))
    counts = [count for count, _ in parts]
    rows = tuple(scale(model, usages, counts, len(task)) for model, usages in _usage_by_model(tallied).items())
    asked = len(drawn) if sample else 0
    return Cost(name, task.name, sum(counts), asked, rows, tuple(_notes(rows, tallies, len(drawn), task, given["run"])))


def _bind(call: Callable[..., Any], arguments: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """(name of a call, its arguments with their defaults); ConfigError unless the call can be counted."""
    name = getattr(call, "__name__", repr(call)[:40])
    wanted = f"{name}: cost() takes catlite.evaluate, estimate, compare or train, then what that call takes"
    if not callable(call) or not {"task", "run", "budget"} <= inspect.signature(call).parameters.keys():
        raise ConfigError(wanted)
    if name != "train" and not inspect.iscoroutinefunction(_awaited(call)):
        raise ConfigError(wanted)
    try:
        bound = inspect.signature(call).bind(*arguments, **named)
    except TypeError as error:
        raise ConfigError(f"{wanted}: {error}") from None
    bound.apply_defaults()
    return name, bound.arguments


def _awaited(call: Callable[..., Any]) -> Callable[..., Any]:
    """The coroutine function behind a blocking twin."""
    return getattr(call, "__wrapped__", call)


def _question_asker(call: Callable[..., Any], given: Mapping[str, Any]) -> Work:
    """Make a function that makes the call for one question alone, and keeps nothing."""
    sampling = given.get("sampling", {})  # what `**sampling` takes
    named = {name: value for name, value in given.items() if name != "sampling"}

    async def work(example: Example) -> object:
        alone = {"task": Task(given["task"].name, (example,)), "run": None, "budget": None, "progress": False}
        return await _awaited(call)(**{**named, **alone}, **sampling)

    return work


def _parts_of_training(given: Mapping[str, Any], sample: int) -> list[tuple[int, Work]]:
    """List how often a training asks for each kind of group, and what it asks for one."""
    from catlite.training.rehearsing import rehearsed_parts

    if sample:
        raise ConfigError(
            f"sample={sample}: the rollouts of a training change with every step, so none that were asked for now "
            "would be used: leave it out"
        )
    return [part for part in rehearsed_parts(given) if part[0]]


def _usage_by_model(tallied: Sequence[Sequence[Tally]]) -> dict[str, list[list[Usage]]]:
    """Sort what was counted by model, and in total: for each question, the usage of each part of the call."""
    models = dict.fromkeys(model for tallies in tallied for tally in tallies for model in tally.used)
    used = {model: [[tally.used.get(model, Usage()) for tally in tallies] for tallies in tallied] for model in models}
    used["total"] = [[Usage.total(tally.used.values()) for tally in tallies] for tallies in tallied]
    return used


def _draw(task: Task, sample: int) -> list[Example]:
    """Draw the questions to count on; of those to ask that have one prompt, the first, whose replies a run finds."""
    examples = [example for example, same in zip(task, copies(task), strict=True) if not (sample and same)]
    count = min(sample or REHEARSED, len(examples))
    return [examples[place] for place in sorted(random.Random(0).sample(range(len(examples)), count))]  # noqa: S311


def _notes(rows: Sequence[Mapping[str, Any]], tallies: Sequence[Tally], drawn: int, task: Task, run: Any) -> list[str]:
    """Say what the figures rest on, where `drawn` questions were counted."""
    counted = f"{drawn:,} of {plural(len(task), 'question')}" if drawn < len(task) else "all questions"
    notes = []
    if tallies and tallies[0].asks:
        spent = Usage.total(usage for tally in tallies for usage in tally.used.values())
        price = "at an unknown price" if spent.cost_usd is None else f"for ${spent.cost_usd:,.4f}"
        kept = "nothing was kept: give run= to pay for them once" if run is None else f"they are kept in {str(run)!r}"
        notes.append(f"Counted on {counted}, asked {price}; {kept}.")
        failed = [tally.failures[0] for tally in tallies if tally.failures]
        if failed:
            notes.append(f"Too low: calls for {plural(len(failed), 'question')} of these failed. {failed[0]}")
    else:
        lengths = "Replies are as long as max_tokens allows"
        if any(tally.unlimited for tally in tallies):
            lengths += f", {REPLY_TOKENS} tokens where there is no limit"
        notes += [
            f"Counted on {counted}. {lengths}; verdicts and other short forms are taken as {FORM_TOKENS} tokens, "
            "without any thinking, and a list that a model writes is as long as it may be.",
            f"Prompts are counted at {BYTES_PER_TOKEN} bytes a token, at full price, and once for all replies to one. "
            "A server that gives one reply a request takes each anew.",
        ]
    unknown = {row["model"]: row["prompt_tokens"] is None or row["completion_tokens"] is None for row in rows[:-1]}
    if silent := [model for model, uncounted in unknown.items() if uncounted]:
        notes.append(f"{', '.join(map(repr, silent))} did not say what was used, so the cost is not known.")
    unpriced = [row["model"] for row in rows[:-1] if row["cost_usd"] is None and not unknown[row["model"]]]
    if unpriced:
        notes.append(f"No price is known of {', '.join(map(repr, unpriced))}: give it as Endpoint(…, price=Price(…)).")
    return notes
