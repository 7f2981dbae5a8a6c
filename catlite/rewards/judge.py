"""Judging a group by a rubric (arXiv 2509.14234 §3.2.2): a verdict for every rollout and criterion.

Five modes, one result. "single" asks about one criterion a call, as the paper does; "batch" about all criteria of a
rollout in one; "soft" takes the probability of yes from the log-probabilities of one word, which tells something
even where a weak judge's hard verdict does not; "levels" takes fully, partly or not; "holistic" one score from 1 to 10
over the whole rubric in one call (RaR's implicit aggregation, arXiv 2507.17746). The first criterion goes ahead of the
others, so that prefix caches hit. A verdict that cannot be read is asked for once more and then is None. Left out:
several judges, comparing responses with one another (relative.py, preference.py), and trying a judge out (probe.py).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from catlite import answers, concurrency
from catlite.criteria import Criterion, Rubric, Verdict
from catlite.data import Example, Group, Judgement, Message, Response, Rollout
from catlite.errors import ConfigError, ContextOverflow, RequestRejected
from catlite.models.base import Model, traits
from catlite.models.preferring import sample_preferring
from catlite.rewards import asking
from catlite.rewards.verdicts.reading import criterion_verdicts, read_verdict
from catlite.rewards.verdicts.scores import as_reward, read_level, read_score
from catlite.runs.session import noting
from catlite.usage import Usage

Mode = Literal["single", "batch", "soft", "levels", "holistic"]
_LEAST = 1e-6  # probability of yes and no together, below which the judge was about to say something else
# How many of the likeliest tokens: what OpenAI and vLLM give at most, then what others do.
_ALTERNATIVES = (20, 8, 5, 2)


def check_mode(mode: str) -> None:
    """Raise ConfigError unless `mode` is one of Mode."""
    if mode not in get_args(Mode):
        raise ConfigError(f"mode={mode!r}: a judge is asked in mode {', '.join(map(repr, get_args(Mode)))}")


def check_coverage(share: float) -> None:
    """Raise ConfigError unless `share` is a share of the criteria, from 0 to 1."""
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise ConfigError(f"min_coverage={share!r}: want a share of the criteria, from 0 to 1")


async def judge_group(
    judge: Model,
    group: Group,
    rubric: Rubric,
    *,
    mode: Mode = "single",
    conversation: bool = False,
    min_coverage: float = 0.0,
    temperature: float | None = 0.0,
    max_tokens: int | None = None,
) -> Judgement:
    """Verdicts of shape (rollouts, criteria), and by Rubric.score the reward of each rollout.

    A rollout whose call failed is not judged (None), an empty one meets nothing. Costs one call per rollout and
    criterion, in "batch" and "holistic" one per rollout, and one more for what cannot be read. In "holistic" the
    Judgement's rubric is one criterion, the whole rubric, whose verdict holds the score as a number from 0 to 1.

    Args:
        judge: the model that is asked.
        group: the rollouts; thinking in them is not shown.
        rubric: the criteria.
        mode: "single", "batch", "soft", "levels" or "holistic"; "single".
        conversation: shows the judge the example's conversation, for criteria that speak of it; False.
        min_coverage: a rollout with a smaller share of its criteria judged, 0 to 1, has reward None; 0.0.
        temperature: of the judge's replies, dropped where the judge refuses it; 0.0.
        max_tokens: of each of the judge's replies; None leaves its own limit.

    Returns:
        The Judgement, with what judging took.

    Raises:
        ConfigError: for an unknown mode, an empty rubric, and where "soft" finds a judge without log-probabilities.
        ModelError: what `judge.sample` raises, but for a rollout too long for the judge: that is not judged.

    Example:
        >>> judgement = await judge_group(judge, group, Rubric(["The response names zinc."]))
        >>> judgement.rewards_G
        (1.0, 0.0)
    """
    check_mode(mode)
    check_coverage(min_coverage)
    if not rubric.criteria:
        raise ConfigError("the rubric has no criteria: there is nothing to judge by")
    asked = rubric
    if mode == "holistic":
        rubric = Rubric((Criterion(f"Good by the whole rubric:\n{asking.listed(asked.criteria)}"),))
    inquiry = _Inquiry(judge, asked, rubric.criteria, mode, temperature, max_tokens)
    example = group.example if conversation else None
    judging = (inquiry.judge_response(response, example) for response in group.rollouts)
    with noting() as remarks:
        if mode == "soft" and traits(judge).caches_per_slot:
            # One word is too little work to share, and in one slot the instructions are read once for all rollouts.
            verdicts_GC = tuple([await verdicts for verdicts in judging])  # noqa: N806 - the suffix names the axes
        else:
            verdicts_GC = tuple(await concurrency.together(judging))  # noqa: N806
    rewards = []
    for verdicts in verdicts_GC:
        covered = sum(verdict.met is not None for verdict in verdicts) / len(verdicts)
        rewards.append(rubric.score([verdict.value for verdict in verdicts]) if covered >= min_coverage else None)
    unread = sum(verdict.met is None for verdicts in verdicts_GC for verdict in verdicts)
    notes = [f"{unread} of {len(verdicts_GC) * len(rubric)} verdicts could not be had"] if unread else []
    if not any(criterion.points > 0 for criterion in rubric.criteria):
        notes.append("no criterion of the rubric has positive points, so there is no score")
    notes += remarks
    return Judgement(group, rubric, verdicts_GC, tuple(rewards), judge.name, Usage.total(inquiry.spent), tuple(notes))


@dataclass(frozen=True)
class _Inquiry:
    """Judges the responses of one group, and adds up the usage of the judge's replies."""

    judge: Model
    asked: Rubric
    criteria: Sequence[Criterion]  # what there is a verdict on: each of the rubric's, or the whole of it as one
    mode: Mode
    temperature: float | None
    max_tokens: int | None
    spent: list[Usage | None] = field(default_factory=list)

    async def judge_response(self, response: Response, example: Example | None) -> tuple[Verdict, ...]:
        """A verdict per criterion."""
        criteria = self.criteria
        if response.defect == "failed":
            why = f"the rollout failed: {response.error or response.finish_reason}"
            return tuple(Verdict(criterion, None, why) for criterion in criteria)
        text = answers.without_thinking(response.text)  # as for an estimator, thinking does not belong to the answer
        if asking.says_nothing(text):
            return tuple(Verdict(criterion, False, "the rollout says nothing") for criterion in criteria)
        shown = asking.show_response(text, example)
        try:
            if self.mode == "batch":
                return tuple(await self._ask_all(shown))
            if traits(self.judge).caches_per_slot:
                return tuple([await self._ask_about(shown, criterion) for criterion in criteria])
            # Once the first is back the server has the rest of the prompt in its cache.
            first = await self._ask_about(shown, criteria[0])
            return (first, *await concurrency.together(self._ask_about(shown, other) for other in criteria[1:]))
        except ContextOverflow as error:
            reason = f"the rollout does not fit the judge's context: {error}"
            return tuple(Verdict(criterion, None, reason) for criterion in criteria)

    async def _ask_about(self, shown: asking.Shown, criterion: Criterion) -> Verdict:
        """One verdict; None where the judge refuses this request, as a content filter does."""
        try:
            if self.mode == "soft":
                return await self._ask_for_word(shown, criterion)
            met, reason = await self._ask_for_verdict(shown, criterion)
        except RequestRejected as error:
            # Where the first criterion does not fit, no other one will.
            if error.for_every_prompt or (isinstance(error, ContextOverflow) and criterion is self.criteria[0]):
                raise
            return Verdict(criterion, None, f"the judge refused: {error}")
        if met is None or isinstance(met, bool):
            return Verdict(criterion, met, reason)
        return Verdict(criterion, met > 0.5, reason, met)

    async def _ask_for_verdict(self, shown: asking.Shown, criterion: Criterion) -> tuple[float | None, str]:
        """The verdict of the reply, or of a second one where the first has none that can be read."""
        if self.mode == "holistic":
            messages, form, read = asking.about_rubric(shown, self.asked.criteria), asking.SCORE, _read_degree
        elif self.mode == "levels":
            messages, form, read = asking.about_level(shown, criterion), asking.LEVEL, read_level
        else:
            messages, form, read = asking.about_criterion(shown, criterion), asking.VERDICT, read_verdict
        reply = await self._ask(messages, form)
        verdict = read(reply)
        if reply.error is not None or verdict[0] is not None:
            return verdict
        try:
            second = read(await self._ask(asking.ask_again(messages, reply), form))
        except RequestRejected:
            return verdict
        return second if second[0] is not None else verdict

    async def _ask_all(self, shown: asking.Shown) -> list[Verdict]:
        """All criteria in one call; those it leaves without a verdict in one more."""
        criteria = self.criteria
        verdicts = [Verdict(criterion, None, "") for criterion in criteria]
        reply: Rollout | None = None
        for _ in range(2):
            open_places = [place for place, verdict in enumerate(verdicts) if verdict.met is None]
            if not open_places or (reply is not None and reply.error is not None):
                break
            try:
                messages = asking.about_criteria(shown, [criteria[place] for place in open_places])
                if reply is not None and len(open_places) == len(criteria):
                    messages = asking.ask_again(messages, reply)  # the same request has the same reply in a run
                reply = await self._ask(messages, asking.VERDICTS)
            except RequestRejected as error:
                if error.for_every_prompt or (isinstance(error, ContextOverflow) and reply is None):
                    raise
                reply = Rollout("", finish_reason="error", error=f"the judge refused: {error}")
            for place, (met, reason) in zip(open_places, criterion_verdicts(reply, len(open_places)), strict=True):
                verdicts[place] = Verdict(criteria[place], met, reason)
        return verdicts

    async def _ask(self, messages: list[Message], form: Mapping[str, Any]) -> Rollout:
        preferred = {"response_format": form, "temperature": self.temperature}
        reply = await sample_preferring(self.judge, messages, preferred, max_tokens=self.max_tokens)
        self.spent.append(reply.usage)
        return reply

    async def _ask_for_word(self, shown: asking.Shown, criterion: Criterion) -> Verdict:
        """The verdict by the probability of yes against no as the first word of the reply."""
        messages = asking.for_one_word(shown, criterion)
        preferred = {"top_logprobs": _ALTERNATIVES, "temperature": self.temperature}
        reply = await sample_preferring(self.judge, messages, preferred, max_tokens=1, logprobs=True)
        self.spent.append(reply.usage)
        if reply.error is not None:
            return Verdict(criterion, None, reply.error)
        if reply.alternatives is None:
            raise ConfigError(
                f"{self.judge.name!r} gives no log-probabilities of the likeliest tokens, which mode='soft' reads: use "
                "mode='single' or 'batch', or a judge on a llama.cpp, vLLM or OpenAI server"
            )
        probability = yes_probability(reply.alternatives)
        if probability is None:
            likeliest = ", ".join(repr(token) for token, _ in reply.alternatives[:3])
            return Verdict(criterion, None, f"neither yes nor no is among the likeliest words ({likeliest}, …)")
        return Verdict(criterion, probability > 0.5, "", probability)


def _read_degree(reply: Rollout) -> tuple[float | None, str]:
    score, reason = read_score(reply)
    return None if score is None else as_reward(score), reason


def yes_probability(alternatives: Sequence[tuple[str, float]]) -> float | None:
    """p(yes) / (p(yes) + p(no)) over the likeliest first tokens, however they are spelt; None when neither is there."""
    mass = {"yes": 0.0, "no": 0.0}
    for token, logprob in alternatives:
        word = token.strip(" \t\n▁Ġ\"'*.").lower()
        if word in mass:
            mass[word] += math.exp(logprob)
    total = mass["yes"] + mass["no"]
    return mass["yes"] / total if total > _LEAST else None
