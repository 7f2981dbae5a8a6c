"""Estimators that pick one of the rollouts (arXiv 2509.14234 §4.4).

Majority vote, best-of-N, min perplexity, mutual predictability: each returns the picked
rollout's text and answer as the Reference. Left out: reward models as judges.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean
from typing import Any

from catlite import answers, concurrency
from catlite.coerce import hold_models
from catlite.data import Group, Message, Reference, Rollout
from catlite.errors import BadReply, ConfigError, EndpointDown, EndpointUnavailable, EstimationError
from catlite.models import ask
from catlite.models.base import Model, Scores, json_schema
from catlite.models.preferring import sample_preferring
from catlite.prompts.fence import fenced, fenced_question
from catlite.prompts.files import render
from catlite.runs.session import metered, noting
from catlite.usage import Usage


@dataclass(frozen=True)
class MajorityVote:
    """The most common final answer (the reward of TTRL, arXiv 2504.16084); verifiable tasks only.

    Votes count equivalence classes of answers, so 1/2 and 0.5 are one vote. A tie goes to the answer sampled
    first; rollouts without an answer do not vote; without any vote the reference has answer None and no text. An answer
    that equals those of two classes ("50%" beside "50" and "0.5") votes for the one with more votes. The text is that
    of the first rollout of the winning class whose answer equals no other class's. Raises EstimationError for a group
    whose example has no answer format.
    """

    async def __call__(self, group: Group) -> Reference:
        """The reference of `group`; costs nothing."""
        if group.example.answer_format is None:
            raise EstimationError(
                "a majority vote compares final answers, and this example has no answer_format: use Synthesis, or "
                'say how answers are written (answer_format="boxed")',
                group,
            )
        voters = [rollout for rollout in group.usable if rollout.answer is not None]
        found = [rollout.answer or "" for rollout in voters]
        classes = await equivalence_classes(found)
        notes = []
        if len(voters) < len(group.rollouts):
            notes.append(f"{len(group.rollouts) - len(voters)} of {len(group.rollouts)} rollouts gave no answer")
        notes += group.oddities()
        if not classes:
            return Reference("", None, "MajorityVote", group, notes=tuple(notes))
        most = max(classes, key=len)  # max keeps the first of equals
        winner = voters[await answers.aspokesman(found, most)]
        return Reference(winner.text, winner.answer, "MajorityVote", group, notes=tuple(notes))


async def equivalence_classes(found: list[str]) -> list[list[int]]:
    """Indices of equivalent answers together, classes in the order of their first member.

    The classes do not depend on the order of the answers; see `answers.classes`.
    """
    return await answers.aclasses(found)


@dataclass(frozen=True)
class BestOfN:
    """The rollout a judge picks (Self-BoN when the judge is the policy itself).

    The order in which responses are shown is shuffled, by `seed` and the group, against position bias. The choice
    is constrained to a number by a JSON schema where the endpoint takes one. An unreadable choice is asked for once
    more, then EstimationError, which keeps the group: nothing is guessed.
    """

    judge: Model
    seed: int = 0
    include_question: bool = True
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        hold_models(self, "judge")

    async def __call__(self, group: Group) -> Reference:
        """The reference of `group`; one call, none when only one rollout is usable."""
        usable = _usable(group)
        if len(usable) == 1:
            return _picked(group, usable[0], "BestOfN", Usage())
        order = list(range(len(usable)))
        _shuffler(self.seed, usable).shuffle(order)
        messages = self.messages(group, [_shown(usable[position]) for position in order])
        spent = Usage()
        said, unanswered = "", True
        for attempt in range(2):
            with noting() as remarks:
                reply = await self._ask(messages, len(order), attempt)
            spent += Usage.total([reply.usage])
            unanswered &= reply.error is None
            said = reply.error or reply.text
            choice = None if reply.error else _choice(reply.text, len(order))
            if choice is not None:
                return _picked(group, usable[order[choice - 1]], "BestOfN", spent, remarks)
        failure = f"the judge {self.judge.name!r} made no readable choice: {said[:200]!r}"
        raise EstimationError(failure, group, spent, unanswered)

    async def _ask(self, messages: list[Message], count: int, attempt: int) -> Rollout:
        # Asked again with another seed: a greedy or stored reply would just repeat itself.
        sampling: dict[str, Any] = {"max_tokens": self.max_tokens, "seed": self.seed + attempt if attempt else None}
        number = {"type": "integer", "minimum": 1, "maximum": count}
        constrained = json_schema("choice", {"best": number})
        return await sample_preferring(self.judge, messages, {"response_format": constrained}, **sampling)

    def messages(self, group: Group, texts: Sequence[str]) -> list[Message]:
        """The judge's prompt for `texts`, in the order they are shown."""
        question = fenced_question(group.example.messages) + "\n" if self.include_question else ""
        tag, responses = fenced(texts, "response")
        return [{"role": "user", "content": render("best_of_n", question=question, tag=tag, responses=responses)}]


@dataclass(frozen=True)
class MinPerplexity:
    """The rollout with the lowest mean negative log-likelihood per token, in nats.

    Uses the log-probabilities that came with the rollouts (sampled with logprobs=True), when all have them; where one
    has none, `scorer` gives those of all, as log p(rollout | question): numbers of two kinds would not compare. Raises
    EstimationError when there is neither. A tie goes to the first.
    """

    scorer: Model | None = None

    def __post_init__(self) -> None:
        _hold_scorer(self)

    async def __call__(self, group: Group) -> Reference:
        """The reference of `group`; free when the rollouts carry log-probabilities."""
        usable = _usable(group)
        if all(rollout.logprobs and all(map(isfinite, rollout.logprobs)) for rollout in usable):
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
    """The rollout that the others predict best (Internal Coherence, Wen et al. 2025, as used in §4.4).

    For each rollout the other ones are shown in an order shuffled by `seed`, then the candidate; the one with the
    lowest mean negative log-likelihood per token, in nats, wins, a tie going to the first.
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

    async def loss(prompt: list[Message], text: str) -> float:
        return -fmean(await ask.logprobs(scorer, prompt, text))

    with metered() as spent:
        try:
            found = await concurrency.together(loss(*one) for one in texts)
        except EndpointDown:
            raise  # as of any endpoint: the run ends with what it has
        except (EndpointUnavailable, BadReply) as error:
            failure = EstimationError(f"the scorer {scorer.name!r} failed: {error}", group, Usage.total(spent))
        else:
            return found, Usage.total(spent)
    raise failure


def _usable(group: Group) -> tuple[Rollout, ...]:
    if not group.usable:
        raise EstimationError(f"no rollout to pick from: {group!r}", group, None, bool(group.replies))
    return group.usable


def _shown(rollout: Rollout) -> str:
    """What a rollout says without its thinking; all of it when it says nothing else."""
    return answers.without_thinking(rollout.text).strip() or rollout.text


def _picked(group: Group, rollout: Rollout, source: str, usage: Usage, more: Sequence[str] = ()) -> Reference:
    notes = [*group.left_out(), *more]
    return Reference(rollout.text, rollout.answer, source, group, usage=usage, notes=tuple(notes))


def _shuffler(seed: int, rollouts: Sequence[Rollout]) -> random.Random:
    """A generator that gives the same group the same order, and other groups other ones."""
    texts = "\0".join(rollout.text for rollout in rollouts)
    return random.Random(f"{seed}/{hashlib.sha256(texts.encode('utf-8', 'replace')).hexdigest()}")  # noqa: S311


def _choice(text: str, count: int) -> int | None:
    """The number chosen: the one in {"best": …}, else the only number in range that the reply names."""
    said = answers.without_thinking(text)
    named = re.findall(r"\"best\"\s*:\s*(\d+)", said) or re.findall(r"\d+", said)
    numbers = {int(number) for number in named if len(number) < 6}
    (only,) = numbers if len(numbers) == 1 else (None,)
    return only if only is not None and 1 <= only <= count else None
