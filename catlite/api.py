"""The front door: a better answer from parallel rollouts, blocking or awaited.

Read on in references/synthesis.py, where the reference comes from. Many questions at once are in estimation.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catlite import answers, concurrency
from catlite.data import Example, Prompt, Reference, Rollout, as_messages
from catlite.models.base import Models, check_n, check_sampling, token_limit
from catlite.models.naming import UNNAMED, BaseURL, Secret, called, opened, sealed, sealed_url
from catlite.preflight import check_images
from catlite.references.synthesis import Synthesis
from catlite.rollouts import arriving, keeping, noted, sample_group
from catlite.runs.budget import Budget
from catlite.runs.progress import live
from catlite.runs.session import changed, open_run


async def asynthesize(
    prompt: Prompt,
    model: Models = UNNAMED,
    *,
    n: int = 8,
    anchor: Models | None = None,
    answer_format: str | None = None,
    include_question: bool = False,
    run: str | Path | None = None,
    budget: Budget | None = None,
    progress: bool | None = None,
    base_url: BaseURL = None,
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
        progress: a line that shows the rollouts that have arrived and what they answer, then the reference as it is
            written; in a notebook a card. True at once, None after two seconds in a terminal or a notebook, False
            never.
        base_url: where a model given by name is served, a list for replicas of it.
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
    where = base_url, api_key = sealed_url(base_url), sealed(api_key)
    checked = check_call(asynthesize, prompt, n, answer_format, sampling)
    example = Example(prompt, answer_format=answer_format)
    question = Question(example, model, where, n, anchor, include_question, run, budget, checked)
    with live(progress, f"rollout{'s' * (n != 1)} of {called(model)}", n, run) as view:
        return await (question.answer() if view is None else question.answer(view.arrive, view.write))


def check_call(
    call: Callable[..., Any], prompt: Prompt, n: Any, answer_format: str | None, sampling: Mapping[str, Any]
) -> dict[str, Any]:
    """Check what `call` was given, before anything is sent; return the sampling parameters to send."""
    as_messages(prompt)
    check_n(n)
    if answer_format is not None:
        answers.check_format(answer_format)
    return check_sampling(sampling, call)


@dataclass(frozen=True)
class Question:
    """One question, checked; the fields are the arguments of `asynthesize`, and `where` is (base_url, api_key)."""

    example: Example
    model: Models
    where: tuple[BaseURL, Secret | None]
    n: int
    anchor: Models | None
    include_question: bool
    run: str | Path | None
    budget: Budget | None
    sampling: Mapping[str, Any]

    async def answer(
        self,
        arrive: Callable[[int, Rollout], None] | None = None,
        write: Callable[[str], None] | None = None,
    ) -> Reference:
        """Sample the rollouts and reconcile them.

        `arrive` takes the place of each rollout in the group, and the rollout, as soon as it has come; `write` takes
        the reference's text, piece by piece as it is written; None is nobody.
        """
        anchor, limit = self.anchor, token_limit(self.sampling)
        # An anchor given by name is served where the policy is, unless it is the embedded one.
        nearby = self.where if isinstance(anchor, str) and anchor != "local" else (None, None)
        with open_run(self.run, self.budget):
            async with (
                opened(self.model, *self.where) as policy,
                opened(policy if anchor is None else anchor, *nearby) as reconciler,
            ):
                synthesis = Synthesis(reconciler, include_question=self.include_question, max_tokens=limit)
                check_images([synthesis], [self.example])
                with arriving(arrive, self.example):
                    group = await sample_group(policy, self.example, self.n, **self.sampling)
                with keeping(group), changed(write=write):
                    reference = await synthesis(group)
                return await noted(reference, self.model)


synthesize = concurrency.blocking(asynthesize)
