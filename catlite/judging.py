"""Judging responses by a rubric of one's own: the short way to rewards/judge.py, blocking or awaited."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from catlite import concurrency
from catlite.criteria import Criterion, Rubric
from catlite.data import Example, Group, Judgement, Prompt, Rollout, as_messages
from catlite.errors import ConfigError
from catlite.models.base import Models
from catlite.models.naming import BaseURL, Secret, opened, sealed, sealed_url
from catlite.rewards.judge import Mode, check_coverage, check_mode, judge_group
from catlite.runs.budget import Budget
from catlite.runs.progress import waiting
from catlite.runs.session import open_run

_NOT_GIVEN = "(the question is not given)"


async def ajudge(
    responses: str | Iterable[str | Rollout],
    rubric: Rubric | Sequence[str | Criterion],
    judge: Models = "local",
    *,
    question: Prompt | None = None,
    mode: Mode = "single",
    min_coverage: float = 0.0,
    max_tokens: int | None = None,
    run: str | Path | None = None,
    budget: Budget | None = None,
    progress: bool | None = None,
    base_url: BaseURL = None,
    api_key: str | Secret | None = None,
) -> Judgement:
    """Judge responses by a rubric of your own: a verdict on every response and criterion, a reward for each response.

    To be awaited: `judge` is the same, blocking.

    Args:
        responses: the texts to judge, or Rollouts; one text is judged alone.
        rubric: a Rubric, or a list of criteria: texts worth 1 point each, or Criterion objects.
        judge: the model that judges, as "local" (the embedded model, which is there for trying out only), a name
            served at base_url or OPENAI_BASE_URL, litellm's "provider/name", or a Model.
        question: what the responses answer, shown to the judge for criteria that speak of it; None shows nothing.
        mode: "single" asks about one criterion a call, "batch" about all of a response, "soft" reads probabilities,
            "levels" asks for fully, partly or not, "holistic" for one score over the whole rubric.
        min_coverage: share of its criteria, 0 to 1, that has to be judged for a response to have a reward; 0.0.
        max_tokens: of each of the judge's replies; None leaves the judge's own limit.
        run: a folder in which every reply is kept as it arrives; the same call again asks only for what is missing.
        budget: a hard cap on requests, tokens or dollars; None for none.
        progress: a line that counts the seconds; True at once, None after two of them in a terminal or a notebook,
            False never.
        base_url: where a judge given by name is served, a list for replicas of it.
        api_key: its key, where it needs one.

    Returns:
        A Judgement: verdicts of shape (responses, criteria), a reward or None for each response, and the usage.

    Raises:
        ConfigError: for a wrong argument, before anything is sent, and where "soft" finds a judge that gives no
            log-probabilities.
        ModelError: (with its kinds) when the judge's endpoint refuses altogether.
        BudgetReached: when the judgement would cost more.

    Example:
        >>> judgement = await catlite.ajudge(["Take zinc.", "Ask a doctor."], ["Names zinc."], "gpt-4o-mini")
        >>> judgement.rewards_G
        (1.0, 0.0)
    """
    # First of all, so that no frame from here on shows a key among its locals.
    base_url, api_key = sealed_url(base_url), sealed(api_key)
    check_mode(mode)
    check_coverage(min_coverage)
    criteria = rubric if isinstance(rubric, Rubric) else Rubric(rubric)  # type: ignore[arg-type] # texts are taken
    if not criteria.criteria:
        raise ConfigError("the rubric has no criteria: there is nothing to judge by")
    if question is not None:
        as_messages(question)
    group = Group(Example(_NOT_GIVEN if question is None else question, rubric=criteria), _rollouts(responses))
    async with opened(judge, base_url, api_key) as model:
        with open_run(run, budget), waiting(progress, f"verdicts of {judge if isinstance(judge, str) else model.name}"):
            return await judge_group(
                model,
                group,
                criteria,
                mode=mode,
                conversation=question is not None,
                min_coverage=min_coverage,
                max_tokens=max_tokens,
            )


judge = concurrency.blocking(ajudge)


def _rollouts(responses: str | Iterable[str | Rollout]) -> tuple[Rollout, ...]:
    """The responses as rollouts; ConfigError when there is none, or one is neither text nor a Rollout."""
    if isinstance(responses, str | Rollout):
        responses = [responses]
    if not isinstance(responses, Iterable):
        raise ConfigError(f"the responses are {type(responses).__name__}: give a list of texts, or one text")
    rollouts = tuple(Rollout(response) if isinstance(response, str) else response for response in responses)
    if not rollouts:
        raise ConfigError("there is no response to judge: give a list of texts, or one text")
    for number, rollout in enumerate(rollouts, 1):
        if not isinstance(rollout, Rollout):
            raise ConfigError(f"response {number} is {type(rollout).__name__}: want a text or a Rollout")
    return rollouts
