"""Estimators that pick one of the rollouts, and return its text and answer as the Reference (arXiv 2509.14234 §4.4).

Best-of-N, minimal perplexity and mutual predictability; the majority vote is in vote.py. Left out: reward models.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from numbers import Real
from statistics import fmean
from typing import Any, ClassVar

from catlite import answers, concurrency
from catlite.coerce import hold_models
from catlite.data import Group, Message, Reference, Response, Rollout
from catlite.errors import (
    BadReply,
    BudgetReached,
    ConfigError,
    EndpointDown,
    EndpointUnavailable,
    EstimationError,
    ModelError,
)
from catlite.models import ask
from catlite.models.base import Model, Scores, check_sampling, json_schema
from catlite.models.preferring import sample_preferring
from catlite.prompts.fence import fenced, fenced_question, with_media
from catlite.prompts.files import render
from catlite.runs.session import metered, noting
from catlite.usage import Usage


@dataclass(frozen=True)
class BestOfN:
    """An estimator: the rollout that a judge picks (Self-BoN when the judge is the policy itself).

    The responses are shuffled before they are shown, against position bias. A JSON schema holds the reply to a number
    where the endpoint takes one. A choice that cannot be read is asked for once more, and never guessed.

    Args:
        judge: the model that picks.
        seed: of the shuffle, together with the group; 0.
        include_question: shows the judge the question; True.
        max_tokens: of the judge's reply; None leaves its own limit.

    Raises:
        ConfigError: for a wrong parameter.
        EstimationError: when called, for a group without a usable rollout, or where no choice could be read. It keeps
            the group.

    Example:
        >>> reference = await BestOfN(judge)(group)
    """

    shows_question: ClassVar = ("judge", "include_question")

    judge: Model
    seed: int = 0
    include_question: bool = True
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        hold_models(self, "judge")
        check_sampling({"max_tokens": self.max_tokens, "seed": self.seed})

    async def __call__(self, group: Group) -> Reference:
        """The reference of `group`; one call, none when only one rollout is usable."""
        usable = _usable(group)
        if len(usable) == 1:
            return _picked(group, usable[0], "BestOfN", Usage())
        order = list(range(len(usable)))
        _shuffler(self.seed, usable).shuffle(order)
        messages = self.messages(group, [_shown(usable[position]) for position in order])
        spent = Usage()
        why, unanswered = "", True
        for attempt in range(2):
            try:
                with noting() as remarks:
                    reply = await self._ask(messages, len(order), attempt)
            except (ModelError, BudgetReached) as error:
                error.usage = Usage.total([spent, error.usage or Usage()])
                raise
            spent += Usage.total([reply.usage])
            unanswered &= reply.error is None
            why = reply.error or f"{reply.text[:200]!r}{', cut off' * (reply.defect == 'truncated')}"
            choice = None if reply.defect else _choice(reply.text, len(order))
            if choice is not None:
                return _picked(group, usable[order[choice - 1]], "BestOfN", spent, remarks)
        failure = f"the judge {self.judge.name!r} made no readable choice: {why}"
        raise EstimationError(failure, group, spent, unanswered)

    async def _ask(self, messages: list[Message], count: int, attempt: int) -> Rollout:
        number = {"type": "integer", "minimum": 1, "maximum": count}
        preferred: dict[str, Any] = {"response_format": json_schema("choice", {"best": number})}
        if attempt:  # with another seed: a greedy or stored reply would just repeat itself
            preferred["seed"] = self.seed + attempt
        return await sample_preferring(self.judge, messages, preferred, max_tokens=self.max_tokens)

    def messages(self, group: Group, texts: Sequence[str]) -> list[Message]:
        """The judge's prompt for `texts`, in the order they are shown."""
        asked = group.example.messages if self.include_question else []
        question = fenced_question(asked) + "\n" if asked else ""
        tag, responses = fenced(texts, "response")
        text = render("best_of_n", question=question, tag=tag, responses=responses)
        return [{"role": "user", "content": with_media(text, asked)}]


@dataclass(frozen=True)
class MinPerplexity:
    """An estimator: the rollout with the lowest mean negative log-likelihood per token, in nats.

    It uses the log-probabilities that came with the rollouts (sampled with logprobs=True) when all have them. Where one
    has none, `scorer` gives those of all, as log p(rollout | question), since numbers of two kinds do not compare. A
    tie goes to the first.

    Args:
        scorer: a model with `logprobs(prompt, text)`; None takes only what came with the rollouts.

    Raises:
        ConfigError: for a scorer that cannot score.
        EstimationError: when called, for a group without a usable rollout, or without log-probabilities and scorer.

    Example:
        >>> reference = await MinPerplexity()(await sample_group(policy, example, 8, logprobs=True))
    """

    shows_question: ClassVar = ("scorer", "")

    scorer: Model | None = None

    def __post_init__(self) -> None:
        _hold_scorer(self)

    async def __call__(self, group: Group) -> Reference:
        """The reference of `group`; free when the rollouts carry log-probabilities."""
        usable = _usable(group)
        if all(rollout.logprobs and all(map(_is_number, rollout.logprobs)) for rollout in usable):
            losses, spent = [-fmean(rollout.logprobs or ()) for rollout in usable], Usage()
        elif self.scorer is None:
            raise EstimationError(
                "min perplexity needs log-probabilities of every rollout: sample with logprobs=True where the endpoint "
                "gives them, or pass MinPerplexity(scorer=…)",
                group,
            )
        else:
            texts = [(group.example.messages, rollout.text) for rollout in usable]
            losses, spent = await _losses(self.scorer, texts, group)
        return _picked(group, usable[losses.index(min(losses))], "MinPerplexity", spent)


@dataclass(frozen=True)
class MutualPredictability:
    """An estimator: the rollout that the others predict best (Internal Coherence, Wen et al. 2025, as used in §4.4).

    For each rollout the other ones are shown in a shuffled order, then the candidate; the one with the lowest mean
    negative log-likelihood per token, in nats, wins, and a tie goes to the first.

    Args:
        scorer: a model with `logprobs(prompt, text)`, asked once per rollout.
        seed: of the shuffle, together with the group; 0.

    Raises:
        ConfigError: for a scorer that cannot score.
        EstimationError: when called, for a group without a usable rollout, or where the scorer fails.

    Example:
        >>> reference = await MutualPredictability(LocalModel("Qwen/Qwen3-0.6B"))(group)
    """

    scorer: Model
    seed: int = 0

    def __post_init__(self) -> None:
        _hold_scorer(self)

    async def __call__(self, group: Group) -> Reference:
        """The reference of `group`; one scoring call per rollout."""
        usable = _usable(group)
        if len(usable) == 1:
            return _picked(group, usable[0], "MutualPredictability", Usage())
        shuffler = _shuffler(self.seed, usable)
        texts = []
        for j, candidate in enumerate(usable):
            others = [_shown(rollout) for i, rollout in enumerate(usable) if i != j]
            shuffler.shuffle(others)
            tag, shown = fenced(others, "response")
            prompt: list[Message] = [{"role": "user", "content": render("mutual", tag=tag, responses=shown)}]
            texts.append((prompt, candidate.text))
        losses, spent = await _losses(self.scorer, texts, group)
        return _picked(group, usable[losses.index(min(losses))], "MutualPredictability", spent)


def _hold_scorer(estimator: MinPerplexity | MutualPredictability) -> None:
    """A Model in place of a name; ConfigError for one that cannot score."""
    hold_models(estimator, "scorer")
    scorer = estimator.scorer
    if scorer is not None and not isinstance(scorer, Scores):
        raise ConfigError(f"{scorer.name!r} cannot score given text: it has no logprobs(prompt, text)")


async def _losses(scorer: Model, texts: Sequence[tuple[list[Message], str]], group: Group) -> tuple[list[float], Usage]:
    """The mean negative log-likelihood per token of each (prompt, text), and what scoring them cost."""

    async def loss(prompt: list[Message], text: str) -> float | ModelError:
        try:
            return -fmean(await ask.logprobs(scorer, prompt, text))
        except EndpointDown:
            raise  # this ends the run, as it does for any endpoint
        except (EndpointUnavailable, BadReply) as error:
            return error  # the others are being paid for

    with metered() as spent:
        try:
            losses = await concurrency.together(loss(prompt, text) for prompt, text in texts)
        except (ModelError, BudgetReached) as error:
            error.usage = Usage.total([*spent, error.usage or Usage()])
            raise
    known = [loss for loss in losses if isinstance(loss, float)]
    failures = [str(loss) for loss in losses if isinstance(loss, ModelError)]
    if not failures and not isfinite(min(known)):
        failures.append("it finds every rollout impossible")
    if failures:
        raise EstimationError(f"the scorer {scorer.name!r} failed: {failures[0]}", group, Usage.total(spent))
    return known, Usage.total(spent)


def _is_number(logprob: object) -> bool:
    return isinstance(logprob, Real) and isfinite(logprob)


def _usable(group: Group) -> tuple[Response, ...]:
    if not group.usable:
        raise EstimationError(f"no rollout to pick from: {group!r}", group, None, bool(group.replies))
    return group.usable


def _shown(rollout: Response) -> str:
    """What a rollout says without its thinking; all of it when it says nothing else."""
    return answers.without_thinking(rollout.text).strip() or rollout.text


def _picked(group: Group, rollout: Response, source: str, usage: Usage, more: Sequence[str] = ()) -> Reference:
    notes = [*group.left_out(), *more]
    return Reference(rollout.text, rollout.answer, source, group, usage=usage, notes=tuple(notes))


def _shuffler(seed: int, rollouts: Sequence[Response]) -> random.Random:
    """A generator that gives the same group the same order, and other groups other ones."""
    texts = "\0".join(rollout.text for rollout in rollouts)
    return random.Random(f"{seed}/{hashlib.sha256(texts.encode('utf-8', 'replace')).hexdigest()}")  # noqa: S311


# What stands in the field "best".
_BEST = re.compile(r"(?:[\"'“”]best[\"'“”]\s*:\s*[\"'“”]?|<best>)([^,}\"'“”<]{0,40})", re.IGNORECASE)
_FIELD = re.compile(r"\s*(?:response\s*)?#?(\d{1,5})(?:\.0)?\s*", re.IGNORECASE)
_MARK = r"[\s*_\"'“”()\[\].#]{0,8}"
_RESPONSE = rf"(?:the\s+)?(?:response|answer|option|number)?{_MARK}\d+\b(?!\s+(?:of|responses|answers|options)\b)"
_ALONE = re.compile(rf"{_MARK}{_RESPONSE}{_MARK}", re.IGNORECASE)
_STATED = re.compile(
    rf"\b(?:choose|chose|pick|select|prefer)\s+{_RESPONSE}"
    rf"|\bbest(?:\s+(?:one|response|answer|option|choice))?\s*(?:is|:|=)\s*{_RESPONSE}"
    rf"|\b{_RESPONSE}{_MARK}\s+is\s+(?:\w+\s+){{0,2}}best\b",
    re.IGNORECASE,
)
_DENIED = re.compile(r"\b(?:no|not|none|never|neither|nor|cannot)\b|n['’]t\b", re.IGNORECASE)


def _choice(text: str, count: int) -> int | None:
    """The number in {"best": …}, else the only one that the reply names, where it says that this is the choice."""
    visible = answers.without_thinking(text)
    if fields := _BEST.findall(visible):
        values = {match[1] if (match := _FIELD.fullmatch(field)) else None for field in fields}
    else:
        stated = _ALONE.fullmatch(visible) or (_STATED.search(visible) and not _DENIED.search(visible))
        values = set(re.findall(r"-?\d+(?:[.,]\d+|\s*%)?", visible)) if stated else set()
    only = values.pop() if len(values) == 1 else None
    number = int(only) if only is not None and re.fullmatch(r"\d{1,5}", only) else 0
    return number if 1 <= number <= count else None
