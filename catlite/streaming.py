"""What `synthesize` does, told while it happens: each rollout as it arrives, then the reference as it is written.

Left out: the text of rollouts as it is written, since a group is often one request.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from catlite.api import Question, check_call
from catlite.data import Example, Prompt, Reference, Rollout
from catlite.emitting import emitted, iterating
from catlite.models.base import Models
from catlite.models.naming import UNNAMED, BaseURL, Secret, sealed, sealed_url
from catlite.runs.budget import Budget
from catlite.runs.progress import tell_job


@dataclass(frozen=True, slots=True)
class RolloutDone:
    """A rollout has arrived.

    Args:
        rollout: with its answer; one whose call failed has `.error`.
        position: its place in the group, from 0. Rollouts arrive in any order.
        n: rollouts of the group.

    Example:
        >>> RolloutDone(Rollout("It is 42.", "42"), 0, 8).rollout.answer
        '42'
    """

    rollout: Rollout
    position: int
    n: int


@dataclass(frozen=True, slots=True)
class ReferenceText:
    """The anchor has written more of the reference.

    Args:
        delta: the text that follows the pieces before it.

    Example:
        >>> print(ReferenceText("The sky").delta, end="")
        The sky
    """

    delta: str


@dataclass(frozen=True, slots=True)
class Done:
    """The reference is there: the last event, unless an error is raised.

    Args:
        reference: what `synthesize` would have returned.

    Example:
        >>> [event] = [event for event in catlite.stream("What is 6 times 7?") if isinstance(event, catlite.Done)]
        >>> event.reference.text
    """

    reference: Reference


Event: TypeAlias = RolloutDone | ReferenceText | Done


def astream(
    prompt: Prompt,
    model: Models = UNNAMED,
    *,
    n: int = 8,
    anchor: Models | None = None,
    answer_format: str | None = None,
    include_question: bool = False,
    run: str | Path | None = None,
    budget: Budget | None = None,
    base_url: BaseURL = None,
    api_key: str | Secret | None = None,
    **sampling: Any,
) -> AsyncGenerator[Event, None]:
    """Yield what happens while `n` rollouts of a prompt are sampled and reconciled (arXiv 2509.14234 §3.1, §4.1).

    To be awaited: `stream` is the same, blocking.

    Each rollout is a RolloutDone, in the order of arrival; rollouts that come from one request with n choices arrive
    together. The reference follows as ReferenceText, piece by piece where the anchor's server streams, and in one piece
    where it does not. The last event is Done. To leave the loop early, or to close the generator, cancels what is under
    way; what has arrived is kept where `run` is given, and what it cost is booked.

    Args:
        prompt: a question, or chat messages.
        model: the policy, as "local" (the embedded model, the default), a name served at base_url or OPENAI_BASE_URL,
            litellm's "provider/name", or a Model.
        n: rollouts; 8.
        anchor: the model that reconciles, by name (served at base_url too) or a Model; None is the policy's own.
        answer_format: "boxed" for maths, or a regular expression with one group, when there is a final answer to
            compare; None for open-ended text.
        include_question: shows the anchor the question too; False, as in the paper.
        run: a folder in which every reply is kept as it arrives; the same call again asks only for what is missing, and
            `synthesize` with the same arguments returns the same reference.
        budget: a hard cap on requests, tokens or dollars; None for none.
        base_url: where a model given by name is served, a list for replicas of it.
        api_key: its key; never shown, logged or kept.
        **sampling: temperature, top_p, max_tokens, … of the rollouts; the anchor is held to the same max_tokens.

    Returns:
        The events: RolloutDone, ReferenceText, and Done once.

    Raises:
        ConfigError: for a wrong argument, before anything is sent.
        CatliteError: what `asynthesize` raises, from the loop.

    Example:
        >>> async for event in catlite.astream("Why is the sky blue?", "gpt-4o-mini"):
        ...     print(event.delta if isinstance(event, catlite.ReferenceText) else "", end="", flush=True)
    """
    # First of all, so that no frame from here on shows a key among its locals.
    where = base_url, api_key = sealed_url(base_url), sealed(api_key)
    checked = check_call(astream, prompt, n, answer_format, sampling)
    example = Example(prompt, answer_format=answer_format)
    question = Question(example, model, where, n, anchor, include_question, run, budget, checked)

    async def work(emit: Callable[[Event], None]) -> None:
        tell_job(run)
        reference = await question.answer(
            arrive=lambda place, rollout: emit(RolloutDone(rollout, place, n)),
            write=lambda delta: emit(ReferenceText(delta)),
        )
        emit(Done(reference))

    return emitted(work)


stream = iterating(astream)
