r"""A reward without a checker or a judge: how likely the reference's answer is after a rollout's reasoning.

As in RLPR (arXiv 2506.18254), VeriFree (2505.21493) and JEPO (2503.19618), the rollout's final answer is replaced by
the reference's, and a model says how likely that is there: the mean probability of its tokens, RLPR's choice, which one
unlikely token does not ruin. What is likely without any reasoning is subtracted. Other than in RLPR the difference is
not cut off at 0, and an answer after which the reply would go on ("4" where the reasoning says 42) counts for little.
Left out: open-ended text, where reasoning and answer are one, and whether an answer that ends the reply would go on: a
scorer of texts does not tell how likely the end of a reply is.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from statistics import fmean
from typing import ClassVar

from catlite import answers, concurrency
from catlite.coerce import hold_models
from catlite.data import Group, Message, Reference, Response
from catlite.errors import ConfigError, RequestRejected
from catlite.models import ask
from catlite.models.base import Model, Scores

_CONTEXT = 20  # characters of the word before an answer, which settles where the answer's tokens begin
_TRIES = 20  # places of an answer's text that are tried, from the last
_MARK = "70707"  # stands for the answer while its place is sought
_SAME = 0.1  # nats that the log-probability of one token differs at most when it is asked for twice
_ENDS = 0.5  # probability of the end at which an answer counts whole: what closes a box can be written in several ways


@dataclass(frozen=True)
class _Statement:
    """Where a rollout states its final answer: what is before it, the words next to it, and what closes it."""

    before: str
    context: str  # the last word of `before`, such as "$\boxed{": it states the answer and holds no reasoning
    gap: str  # the space between them and the answer
    end: str  # the word that follows the answer

    @property
    def words(self) -> tuple[str, str, str]:
        """What rollouts that state their answers alike have in common."""
        return self.context, self.gap, self.end


@dataclass(frozen=True)
class ReferenceLikelihood:
    r"""A reward: how likely the reference's answer is in the place of a rollout's own (RLPR, arXiv 2506.18254).

    The mean probability of the answer's tokens after the rollout's text up to its final answer, times the probability
    that the answer ends there (1.0 from a half on, and where the rollout has nothing behind its answer), minus the same
    where that text is only the word before the answer. So it is above 0 where the reasoning helps, from -1 to 1. A
    rollout without an answer has probability 0; None are one whose call failed, whose answer's place cannot be told (a
    list over several boxes), or which does not fit the scorer's context. Thinking that a server gave apart from the
    text is not seen.

    Costs one scoring call per rollout, and three short ones per way of stating the answer.

    Args:
        scorer: a model with `logprobs(prompt, text)`: a LocalModel, in RLPR the policy itself, or an Endpoint at a
            llama.cpp or vLLM server.
        baseline: subtracts the probability without reasoning; True. It is the same for all rollouts of a group, so
            training goes the same way without it.

    Raises:
        ConfigError: for a scorer without log-probabilities; when called, for an example without an answer format.

    Example:
        >>> reward = ReferenceLikelihood(LocalModel("Qwen/Qwen3-0.6B"))
        >>> rewards = await reward(group, await MajorityVote()(group))
    """

    shows_question: ClassVar = ("scorer", "")
    grades_by: ClassVar = "answer"

    scorer: Model
    baseline: bool = True

    def __post_init__(self) -> None:
        hold_models(self, "scorer")
        if not isinstance(self.scorer, Scores):
            raise ConfigError(
                f"{self.scorer.name!r} gives no log-probabilities of given text, which ReferenceLikelihood reads: it "
                "has no logprobs(prompt, text). Use a LocalModel, or an Endpoint at a llama.cpp or vLLM server"
            )

    async def __call__(self, group: Group, reference: Reference) -> list[float | None]:
        """Rewards of shape (len(group.rollouts),)."""
        form, answer = group.example.answer_format, reference.answer
        if form is None:
            raise ConfigError(
                "ReferenceLikelihood puts the reference's answer in the place of a rollout's, and an open-ended reply "
                'has none: say how answers are written (answer_format="boxed"), or use RubricReward'
            )
        if answer is None:
            return [None] * len(group.rollouts)
        stated = [_statement(rollout, form) for rollout in group.rollouts]
        by_words = {place.words: place for place in stated if isinstance(place, _Statement)}
        question = group.example.messages
        measured = await concurrency.together(self._measure(question, place, answer) for place in by_words.values())
        tokens = dict(zip(by_words, measured, strict=True))
        without = measured[0].alone if measured and self.baseline else 0.0

        async def reward(place: _Statement | float | None) -> float | None:
            if isinstance(place, _Statement):
                likely = await self._likelihood(question, place, answer, tokens[place.words])
            else:
                likely = place
            return None if likely is None else likely - without

        return await concurrency.together(map(reward, stated))

    async def _measure(self, question: list[Message], place: _Statement, answer: str) -> _Tokens:
        """How many tokens the answer and its end have in these words, and how likely they are after them alone."""
        stated = f"{place.context}{place.gap}{answer}"
        texts = [text for text in (place.context, stated, stated + place.end) if text]
        scored = await concurrency.together(ask.logprobs(self.scorer, question, text) for text in texts)
        before, upto, whole = scored if place.context else ([], *scored)
        begin = len(before)
        # The last token of the words may have taken in the first letters of the answer.
        if begin and (begin >= len(upto) or abs(upto[begin - 1] - before[-1]) > _SAME):
            begin -= 1
        return _Tokens(len(upto) - begin, len(whole) - begin, _likelihood(whole[begin:], len(upto) - begin))

    async def _likelihood(
        self, question: list[Message], place: _Statement, answer: str, tokens: _Tokens
    ) -> float | None:
        """The likelihood of the answer after the whole rollout before it; None where that cannot be scored."""
        try:
            text = f"{place.before}{place.gap}{answer}{place.end}"
            logprobs = await ask.logprobs(self.scorer, question, text)
        except RequestRejected as error:
            if error.for_every_prompt:
                raise
            return None
        return _likelihood(logprobs[-tokens.in_all :], tokens.of_answer) if len(logprobs) >= tokens.in_all else None


@dataclass(frozen=True)
class _Tokens:
    """Of an answer in its words: its tokens, those with its end, and its likelihood without reasoning."""

    of_answer: int
    in_all: int
    alone: float


def _likelihood(logprobs: list[float], of_answer: int) -> float:
    """The mean probability of an answer's tokens, less where it would not end there."""
    inside = fmean(map(math.exp, logprobs[:of_answer]))
    ends = math.exp(logprobs[of_answer]) if len(logprobs) > of_answer else 1.0
    return inside * min(1.0, ends / _ENDS)


def _statement(rollout: Response, form: str) -> _Statement | float | None:
    """Where a rollout states its answer; 0.0 when it gives none, None when nothing can be said."""
    if rollout.defect == "failed":
        return None
    visible = answers.without_thinking(rollout.text)
    if answers.extract(visible, form) is None:
        return 0.0
    span = _span(visible, form)
    if span is None:
        return None
    thought = rollout.text[: -len(visible)] if rollout.text.endswith(visible) else ""
    before, after = thought + visible[: span[0]], visible[span[1] :]
    bare = before.rstrip()
    context = bare[-_CONTEXT:].rsplit(maxsplit=1)[-1] if bare else ""
    end = re.match(r"\s*\S+\s*", after)  # a line break can be part of the token before it
    return _Statement(bare, context, before[len(bare) :], end[0] if end else "")


def _span(text: str, form: str) -> tuple[int, int] | None:
    """Where the final answer stands in a text, so that another one in its place is the text's answer."""
    pattern = answers.check_format(form)
    if pattern is not None:
        spans = [match.span(1) for match in pattern.finditer(text) if match[1] and match[1].strip()]
        start, end = spans[-1]
        inside = text[start:end]
        return start + len(inside) - len(inside.lstrip()), start + len(inside.rstrip())
    answer = answers.extract(text, form) or ""
    start = len(text)
    for _ in range(_TRIES):
        start = text.rfind(answer, 0, start + len(answer) - 1)
        if start < 0:
            break
        if answers.extract(text[:start] + _MARK + text[start + len(answer) :], form) == _MARK:
            return start, start + len(answer)
    return None
