"""Sampling a group (arXiv 2509.14234 §3.1): G parallel rollouts of one question from the policy.

Left out: multi-turn rollouts, and filtering by content.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from catlite import answers
from catlite.checks import whole_number
from catlite.coerce import await_part, kind_of, part_name
from catlite.data import Estimator, Example, Group, Reference, Response, Rollout
from catlite.errors import (
    BudgetReached,
    CatliteError,
    ConfigError,
    EndpointDown,
    EstimationError,
    GroupError,
    ModelError,
)
from catlite.models import ask
from catlite.models.base import Model, Models, check_n, shown_name, traits
from catlite.models.naming import notes_on
from catlite.runs import session

_ADVICE = {
    "truncated": "raise max_tokens",
    "truncated in thinking": "raise max_tokens: it was spent on thinking",
    "empty": "the model ended without a word: look at the prompt and at the server's chat template",
    "empty beside thinking": "the whole reply came as thinking: the server put it into "
    "reasoning_content, as its reasoning parser does with an answer that was not thought about, or the model opened "
    "its thinking in the text and never closed it. Let the model think, or take the parser off (vLLM's "
    "--reasoning-parser)",
    "filtered": "the provider's content filter refused: reword the prompt or use another model",
    "failed": "see the causes above",
}


async def sample_group(policy: Model, example: Example, n: int = 8, *, min_usable: int = 1, **sampling: Any) -> Group:
    """Sample a group: `n` rollouts of one example, with their answers parsed (arXiv 2509.14234 §3.1).

    Args:
        policy: the model to sample.
        example: the question.
        n: rollouts; 8.
        min_usable: rollouts that have to be complete and have text; 1.
        **sampling: parameters of `policy.sample`, such as temperature.

    Returns:
        The Group, failed and truncated rollouts included.

    Raises:
        GroupError: when fewer than `min_usable` rollouts can be used: the message lists the causes, `.group` keeps
            the rollouts.
        ModelError, BudgetReached: what `policy.sample` raises, with `.group` where some rollouts had come.

    Example:
        >>> group = await sample_group(Endpoint("gpt-4o-mini"), Example("What is 6 times 7?"), 8)
        >>> len(group.usable)
        8
    """
    try:
        rollouts = await ask.sample(policy, example.prompt, n, **sampling)
        group = _parsed(policy, example, rollouts)
    except (ModelError, BudgetReached) as error:
        if error.rollouts:
            error.group = _parsed(policy, example, error.rollouts)
        raise
    if (arrive := session.current().arrive) is not None:
        for place, rollout in enumerate(rollouts):
            arrive(place, rollout)  # for a model that told of none
    if len(group.usable) < min_usable:
        raise GroupError(_explain(group, min_usable), group)
    return group


@contextmanager
def arriving(arrive: Callable[[int, Rollout], None] | None, example: Example) -> Iterator[None]:
    """Let `arrive` take each rollout of the group sampled in the block, once, with its answer, as soon as it has come.

    Args:
        arrive: takes its place in the group and the rollout; None changes nothing.
        example: the question.

    Example:
        >>> with arriving(lambda place, rollout: print(place, rollout.answer), example):
        ...     group = await sample_group(policy, example, 8)
    """
    listeners = [] if arrive is None else [(arrive, example)]
    places: set[int] = set()

    def tell(place: int, rollout: Rollout) -> None:
        for listener, example in listeners:
            if place not in places:
                places.add(place)
                listener(place, _answered(rollout, example))

    try:
        with session.changed(arrive=tell if listeners else None):
            yield
    finally:
        listeners.clear()  # a connection keeps the context in which it was opened


def unanswered(groups: Iterable[Group]) -> list[str]:
    """A note when at least half of the complete replies have no final answer where one is looked for."""
    replies = [
        (rollout.answer, group.example.answer_format)
        for group in groups
        for rollout in group.usable
        if group.example.answer_format is not None
    ]
    formats = Counter(wanted for answer, wanted in replies if answer is None)
    without = sum(formats.values())
    if not replies or without * 2 < len(replies):
        return []
    wanted = formats.most_common(1)[0][0]
    remedy = " from_records(…, ask=True) asks for it." if wanted == "boxed" else ""
    return [
        f"no final answer found in {without:,} of {len(replies):,} replies (answer_format={wanted!r:.80}): does the "
        f"prompt ask for it?{remedy}"
    ]


async def noted(reference: Reference, model: Models | None = None) -> Reference:
    """Add to `reference` the notes on a model that nobody named, and whether its rollouts had no answers.

    Answers are compared here once, and remembered: what shows a reference must not wait for that.
    """
    for rollout in reference.group.usable:
        if rollout.answer is not None and reference.answer is not None:
            with suppress(CatliteError):  # no reference is lost for that
                await answers.acompare(rollout.answer, reference.answer)
    first = () if model is None else notes_on(model)
    return replace(reference, notes=(*first, *reference.notes, *unanswered([reference.group])))


def check_group(n: Any, min_usable: Any) -> None:
    """Raise ConfigError unless `n` is a number of rollouts of which `min_usable` may be wanted."""
    whole_number("min_usable", min_usable, most=check_n(n))


def _parsed(policy: Model, example: Example, rollouts: Sequence[Rollout]) -> Group:
    """The group of these rollouts of `policy`, with their answers."""
    return Group(example, tuple(_answered(rollout, example) for rollout in rollouts), shown_name(policy))


def _answered(rollout: Rollout, example: Example) -> Rollout:
    """The rollout with its answer."""
    return replace(rollout, answer=rollout.answer or example.parse(rollout.text))


@contextmanager
def continuing(begun: bool) -> Iterator[None]:
    """Mark the calls inside as parts of a larger run: one that ends early then returns what it has, even nothing.

    Args:
        begun: whether there is anything before it.

    Example:
        >>> with continuing(begun=True):
        ...     after = await aevaluate(task, model)
    """
    with session.changed(begun=begun):
        yield


def raise_if_nothing_came(stops: Sequence[Exception], results: bool) -> None:
    """Raise the error of an endpoint that refuses altogether, unless some results exist, which are kept instead.

    Args:
        stops: the errors that ended the run early, in order; none where it went through.
        results: True when some results exist.

    Raises:
        CatliteError: the first of `stops`, unless the same call goes on later: a budget, an endpoint that is down.

    Example:
        >>> raise_if_nothing_came([QuotaExhausted("no credit")], results=True)
    """
    if stops and not (results or session.current().begun) and not isinstance(stops[0], BudgetReached | EndpointDown):
        raise stops[0]


@contextmanager
def keeping(group: Group) -> Iterator[None]:
    """Attach the group to any error raised on the way to its reference, since its rollouts are paid for.

    Args:
        group: the rollouts that came before; an error that has a group of its own keeps that.

    Example:
        >>> with keeping(group):
        ...     reference = await Synthesis(anchor)(group)
    """
    try:
        yield
    except CatliteError as error:
        if error.group is None:
            error.group = group
        raise


async def make_reference(estimator: Estimator, group: Group) -> Reference:
    """The reference of `group`, which an error on the way to it keeps.

    Raises ConfigError for an estimator that is not async, or gives something else, and EstimationError for one that
    sampled a group of its own in vain.
    """
    try:
        with keeping(group):
            reference: object = await await_part(estimator, group)
    except GroupError as error:
        raise EstimationError(str(error), group, error.group.usage, bool(error.group.replies)) from error
    if not isinstance(reference, Reference):
        raise ConfigError(
            f"the estimator {part_name(estimator)} gave {kind_of(reference)}: give a Reference, with abstained=True "
            "where there is none"
        )
    return reference


def advice(rollout: Response) -> str | None:
    """What to do about a rollout that cannot be used; None when there is nothing to say.

    Args:
        rollout: the reply, as the model returned it.

    Returns:
        A clause that begins in lower case.

    Example:
        >>> advice(Rollout("", finish_reason="length"))
        'raise max_tokens'
    """
    thinking = {"truncated": "truncated in thinking", "empty": "empty beside thinking"}
    reason = rollout.defect or ""
    if rollout.reasoning and not rollout.text.strip():
        reason = thinking.get(reason, reason)
    return _ADVICE.get(reason)


def under_way(policy: Model) -> int:
    """How many questions to have under way: twice what the endpoint takes at once.

    While some questions are in their last stage, others keep it busy.
    """
    return 2 * traits(policy).max_connections


def _explain(group: Group, wanted: int) -> str:
    counts = ", ".join(f"{count} {reason}" for reason, count in group.defects.items())
    causes = Counter(rollout.error for rollout in group.rollouts if rollout.error)
    listed = "".join(f"\n  {count} × {cause}" for cause, count in causes.items())
    clauses = "; ".join(dict.fromkeys(clause for rollout in group.rollouts if (clause := advice(rollout)) is not None))
    total = len(group.rollouts)
    few = f"{len(group.usable)} of {total} rollouts can be used, {wanted} are wanted" if group.usable else ""
    few = few or f"none of {total} rollouts can be used"
    return f"{few}: {counts}{listed}\n  What to do: {clauses or 'look at .group'}"
