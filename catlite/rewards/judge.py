"""Judging a group by a rubric (arXiv 2509.14234 §3.2.2): a verdict for every rollout and criterion.

Three modes, one result. "single" asks about one criterion a call, as the paper does; "batch" about all criteria of a
rollout in one; "soft" takes the probability of yes from the log-probabilities of one word, which tells something
even where a weak judge's hard verdict does not. What repeats stands first in the prompt (instructions, rollout, then
the criterion), and the first criterion goes ahead of the others, so that prefix caches hit. A verdict that cannot be
read is asked for once more and then is None. Left out: several judges, and pairwise comparison.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

from catlite import answers, concurrency
from catlite.criteria import Criterion, Rubric, Verdict
from catlite.data import Example, Group, Judgement, Message, Rollout
from catlite.errors import ConfigError, ContextOverflow, RequestRejected
from catlite.models.base import Model, json_schema
from catlite.models.preferring import noting, sample_preferring
from catlite.prompts.fence import disarm, fenced
from catlite.prompts.files import render
from catlite.rewards.attacks import ATTACKS, CRITERION, HONEST, OFF_TOPIC
from catlite.rewards.verdicts.reading import asked_again, criterion_verdicts, read_verdict
from catlite.text import data_frame
from catlite.usage import Usage

if TYPE_CHECKING:
    import pandas as pd

Mode = Literal["single", "batch", "soft"]
_LEAST = 1e-6  # probability of yes and no together, below which the judge was about to say something else
# How many of the likeliest tokens: what OpenAI and vLLM give at most, then what others do.
_ALTERNATIVES = (20, 8, 5, 2)
_VERDICT = {"reason": {"type": "string"}, "met": {"type": "boolean"}}
_ENTRY = {
    "type": "object",
    "properties": {"criterion": {"type": "integer"}, **_VERDICT},
    "required": ["criterion", "reason", "met"],
    "additionalProperties": False,
}
_FORMS = {
    "single": json_schema("verdict", _VERDICT),
    "batch": json_schema("verdicts", {"verdicts": {"type": "array", "items": _ENTRY}}),
}
# A reply that only announces one: judges are known to wave these through.
_ANNOUNCEMENT = re.compile(
    r"(?:(?:(?:the|my|final|full|complete) )*(?:solution|answer|response|reasoning|thought process|"
    r"let ?s (?:solve|think)(?: about)?(?: this| the)?(?: problem)?(?: step by step)?) ?)*"
)
_MARKDOWN = "*_`~|=+<>^#"


def check_mode(mode: str) -> None:
    """ConfigError unless `mode` is one of the three."""
    if mode not in get_args(Mode):
        raise ConfigError(f"mode={mode!r}: a judge is asked in mode {', '.join(map(repr, get_args(Mode)))}")


def check_coverage(share: float) -> None:
    """ConfigError unless `share` is one, from 0 to 1."""
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
    criterion, in "batch" one per rollout, and one more for what cannot be read.

    Args:
        judge: the model that is asked.
        group: the rollouts; thinking in them is not shown.
        rubric: the criteria.
        mode: "single", "batch" or "soft"; "single".
        conversation: shows the judge what was asked, for criteria that speak of it; False.
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
    asking = _Asking(judge, rubric, mode, temperature, max_tokens)
    asked = group.example if conversation else None
    judging = (asking.rollout(rollout, asked) for rollout in group.rollouts)
    with noting() as remarks:
        if mode == "soft" and getattr(judge, "caches_per_slot", False):
            # One word is no work to share out, and in one slot the instructions are read once for all rollouts.
            verdicts = tuple([await one for one in judging])
        else:
            verdicts = tuple(await concurrency.together(judging))
    rewards = []
    for mine in verdicts:
        covered = sum(verdict.met is not None for verdict in mine) / len(mine)
        rewards.append(rubric.score([verdict.value for verdict in mine]) if covered >= min_coverage else None)
    unread = sum(verdict.met is None for mine in verdicts for verdict in mine)
    unread_note = (f"{unread} of {len(verdicts) * len(rubric)} verdicts could not be had",) if unread else ()
    notes = (*unread_note, *remarks)
    return Judgement(group, rubric, verdicts, tuple(rewards), judge.name, Usage.total(asking.spent), notes)


@dataclass(frozen=True)
class _Asking:
    """One group's judging on its way."""

    judge: Model
    rubric: Rubric
    mode: Mode
    temperature: float | None
    max_tokens: int | None
    spent: list[Usage | None] = field(default_factory=list)

    async def rollout(self, rollout: Rollout, asked: Example | None) -> tuple[Verdict, ...]:
        """A verdict per criterion."""
        criteria = self.rubric.criteria
        if rollout.error is not None:
            return tuple(Verdict(one, None, f"the rollout failed: {rollout.error}") for one in criteria)
        response = answers.without_thinking(rollout.text)  # thinking is no part of the answer, as for an estimator
        if says_nothing(response):
            return tuple(Verdict(one, False, "the rollout says nothing") for one in criteria)
        shown = _shown(response, asked)
        try:
            if self.mode == "batch":
                return tuple(await self._all(shown))
            if getattr(self.judge, "caches_per_slot", False):
                return tuple([await self._one(shown, one) for one in criteria])
            # Once the first is back the server has the rest of the prompt in its cache.
            first = await self._one(shown, criteria[0])
            return (first, *await concurrency.together(self._one(shown, one) for one in criteria[1:]))
        except ContextOverflow as error:
            why = f"the rollout does not fit the judge's context: {error}"
            return tuple(Verdict(one, None, why) for one in criteria)

    async def _one(self, shown: str, criterion: Criterion) -> Verdict:
        """One verdict; None where the judge refuses this request, as a content filter does."""
        try:
            if self.mode == "soft":
                return await self._soft(shown, criterion)
            met, reason = await self._single(shown, criterion)
        except RequestRejected as error:
            if isinstance(error, ContextOverflow) or error.for_every_prompt:
                raise
            return Verdict(criterion, None, f"the judge refused: {error}")
        return Verdict(criterion, met, reason)

    async def _single(self, shown: str, criterion: Criterion) -> tuple[bool | None, str]:
        """The verdict of the reply, or where there is none to read that of being asked again."""
        messages = [_user(shown, render("judge_single", criterion=worded(criterion)))]
        reply = await self._ask(messages)
        found = read_verdict(reply)
        if reply.error is not None or found[0] is not None:
            return found
        try:
            again = await self._ask(asked_again(messages, reply))
        except RequestRejected:
            return found
        better = read_verdict(again)
        return better if better[0] is not None else found

    async def _all(self, shown: str) -> list[Verdict]:
        """All criteria in one call; those it leaves without a verdict in one more."""
        criteria = list(self.rubric.criteria)
        found: list[tuple[bool | None, str]] = [(None, "")] * len(criteria)
        for _ in range(2):
            left = [number for number, (met, _) in enumerate(found) if met is None]
            if not left:
                break
            listed = "\n".join(f"{number}. {worded(criteria[place])}" for number, place in enumerate(left, 1))
            try:
                reply = await self._ask([_user(shown, render("judge_batch", criteria=listed))])
            except RequestRejected as error:
                if error.for_every_prompt or (isinstance(error, ContextOverflow) and len(left) == len(criteria)):
                    raise
                reply = Rollout("", finish_reason="error", error=f"the judge refused: {error}")
            for place, verdict in zip(left, criterion_verdicts(reply, len(left)), strict=True):
                found[place] = verdict
        return [Verdict(one, met, reason) for one, (met, reason) in zip(criteria, found, strict=True)]

    async def _ask(self, messages: list[Message]) -> Rollout:
        preferred = {"response_format": _FORMS[self.mode], "temperature": self.temperature}
        reply = await sample_preferring(self.judge, messages, preferred, max_tokens=self.max_tokens)
        self.spent.append(reply.usage)
        return reply

    async def _soft(self, shown: str, criterion: Criterion) -> Verdict:
        messages = [_user(shown, render("judge_soft", criterion=worded(criterion)))]
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


def says_nothing(text: str) -> bool:
    """True for a text that is empty or no more than an announcement ("Solution:"), which meets no criterion."""
    if len(text) >= 1_000:
        return False
    # Punctuation, spaces and markdown say nothing; letters, digits and signs (∞, ✅) do.
    kept = (" " if unicodedata.category(one)[0] in "PZC" or one in _MARKDOWN else one for one in text.lower())
    return _ANNOUNCEMENT.fullmatch(" ".join("".join(kept).split())) is not None


def yes_probability(alternatives: Sequence[tuple[str, float]]) -> float | None:
    """p(yes) / (p(yes) + p(no)) over the likeliest first tokens, however they are spelt; None when neither is there."""
    mass = {"yes": 0.0, "no": 0.0}
    for token, logprob in alternatives:
        word = token.strip(" \t\n▁Ġ\"'*.").lower()
        if word in mass:
            mass[word] += math.exp(logprob)
    total = mass["yes"] + mass["no"]
    return mass["yes"] / total if total > _LEAST else None


def worded(criterion: Criterion) -> str:
    """A criterion on one line; HealthBench's way of weights in brackets where there are any."""
    text = " ".join(disarm(criterion.text).split())
    return text if criterion.points == 1 else f"[{criterion.points:g}] {text}"


def _shown(response: str, asked: Example | None) -> str:
    """What all criteria of a rollout have in common, which therefore comes first."""
    conversation = ""
    if asked is not None:
        turns = [f"{message['role']}: {message['content']}" for message in asked.messages]
        tag, shown = fenced(["\n\n".join(turns)], "conversation")
        conversation = render("judge_conversation", tag=tag, conversation=shown) + "\n\n"
    tag, shown = fenced([response], "response")
    return render("judge", conversation=conversation, tag=tag, response=shown)


def _user(shown: str, question: str) -> Message:
    return {"role": "user", "content": f"{shown}\n\n{question}"}


def probe(judge: Model, *, mode: Mode = "single", max_tokens: int | None = None) -> pd.DataFrame:
    """Whether known attacks make `judge` pass a response that does not meet the criterion; costs about 20 calls.

    Args:
        judge: the model that is tried.
        mode: as in `judge_group`; "single".
        max_tokens: of each of the judge's replies; None leaves its own limit.

    Returns:
        A row per attack of rewards/attacks.py, and first two controls without any: an answer that meets the criterion
        and one that does not. Columns: attack; fooled, True where the verdict is wrong, None where it could not be
        had; met, probability (mode "soft") and reason as the judge gave them. A judge that fails a control has failed
        before any attack.

    Raises:
        ConfigError, ModelError: as `judge_group` does.

    Example:
        >>> table = probe(Endpoint("gpt-4o-mini"))
        >>> table[table.fooled == True]
    """
    texts = {"none, and met": HONEST, "none, and not met": OFF_TOPIC, **ATTACKS}
    group = Group(Example("When does water boil?"), tuple(map(Rollout, texts.values())))
    rubric = Rubric((Criterion(CRITERION),))
    judgement = concurrency.run(judge_group(judge, group, rubric, mode=mode, max_tokens=max_tokens))
    rows = []
    for attack, (verdict,) in zip(texts, judgement.verdicts_GC, strict=True):
        right = attack == "none, and met"
        fooled = None if verdict.met is None else verdict.met != right
        shown = {"met": verdict.met, "probability": verdict.probability, "reason": verdict.reason}
        rows.append({"attack": attack, "fooled": fooled, **shown})
    return data_frame(rows)
