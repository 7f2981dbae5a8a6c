"""Synthesis (arXiv 2509.14234 §3.1): a frozen anchor reconciles the rollouts of a group into one reference.

The anchor sees the rollouts and, as in the paper, not the question (`include_question=True` is the ablation of
App. A.3). Truncated, filtered and empty rollouts are left out and counted; a group too long for the anchor's
context is trimmed from its longest rollouts, in the middle, and the reference says so. Left out: multi-turn
rollouts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from catlite import answers
from catlite.coerce import hold_models
from catlite.data import Group, Message, Reference, Rollout
from catlite.errors import ConfigError, ContextOverflow, EstimationError
from catlite.models.base import Model, check_sampling, shown_name
from catlite.models.preferring import sample_preferring
from catlite.prompts.fence import fenced, fenced_question, with_media
from catlite.prompts.files import render
from catlite.references.vote import MajorityVote
from catlite.rollouts import advice
from catlite.runs.session import noting
from catlite.usage import Usage

_BOXED = r"End with the final answer in \boxed{}."
_SAME_FORM = "End with the final answer, stated in exactly the form the attempts state theirs."
TRIMMED = "rollouts trimmed to"  # in the notes of a reference
SPARED = "no synthesis call was made"  # in the notes of a reference
_FEWEST_CHARACTERS = 100  # per rollout; below this a trimmed rollout says nothing
_ROOM = 0.75  # of the context for the prompt, the rest for the reply


@dataclass(frozen=True)
class Synthesis:
    """An estimator: the frozen anchor writes one reference out of all rollouts of a group (arXiv 2509.14234 §3.1).

    Args:
        anchor: the model that reconciles the rollouts, in the paper the initial policy.
        include_question: shows the anchor the question, the ablation of App. A.3; False.
        temperature: of the synthesis; 0.0, since the policy explores and the anchor estimates. It is dropped where the
            anchor refuses it; None leaves it to the endpoint.
        max_tokens: of the synthesis; None leaves the anchor's own limit.
        worked: (attempts, reference) pairs shown as earlier turns, for an anchor that is very small; none.
        when_agreement_below: synthesize only where a smaller share of the rollouts than this has the most common
            answer; elsewhere the majority vote is the reference (`source` says so), and no call is made. 1.0 spares
            the call where all agree. None, as in the paper, always synthesizes, and so does open-ended text.
        weigh: tells the anchor with each attempt how many attempts reach its answer; False. The paper does not have it.

    Raises:
        ConfigError: for a wrong parameter, or a share that is not above 0 and at most 1.
        EstimationError: when called, where no rollout is usable, where the anchor gives no text, or where even trimmed
            rollouts exceed its context. It keeps the group.

    Example:
        >>> reference = await Synthesis(anchor)(group)
        >>> print(reference.text)
    """

    shows_question: ClassVar = ("anchor", "include_question")

    anchor: Model
    include_question: bool = False
    temperature: float | None = 0.0
    max_tokens: int | None = None
    worked: tuple[tuple[tuple[str, ...], str], ...] = ()
    when_agreement_below: float | None = None
    weigh: bool = False

    def __post_init__(self) -> None:
        hold_models(self, "anchor")
        check_sampling({"temperature": self.temperature, "max_tokens": self.max_tokens})
        below = self.when_agreement_below
        if below is not None and not (isinstance(below, int | float) and 0 < below <= 1):
            raise ConfigError(
                f"when_agreement_below={below!r}: want a share above 0, up to 1. To synthesize never, use MajorityVote"
            )

    async def __call__(self, group: Group) -> Reference:
        """The reference of `group`."""
        if not group.usable:
            raise EstimationError(f"no rollout to synthesize from: {group!r}", group, None, bool(group.replies))
        texts = [_shown(rollout.text) for rollout in group.usable]
        notes = group.left_out()
        if (vote := await self._vote(group)) is not None:
            return vote
        weights = await self._weights(group)
        with noting() as remarks:
            reply, limit = await self._fitting(group, texts, weights)
        notes += remarks
        if limit is not None:
            trimmed = sum(len(text) > limit for text in texts)
            notes.append(f"{trimmed} {TRIMMED} {limit:,} characters each to fit the anchor's context")
        if reply.defect not in (None, "truncated") or not reply.text.strip():
            remedy = advice(reply)
            why = reply.error or f"it came back {reply.defect}" + (f"; {remedy}" if remedy else "")
            spent = Usage.total([reply.usage])
            failure = f"the anchor {self.anchor.name!r} gave no synthesis: {why}"
            raise EstimationError(failure, group, spent, unanswered=reply.error is None)
        if not answers.without_thinking(reply.text).strip():
            notes.append("the synthesis is nothing but thinking: raise max_tokens, or turn thinking off")
        if reply.odd_ending is not None:
            notes.append(f"the synthesis ended by {reply.odd_ending!r}, an unknown word: taken as complete")
        if reply.defect == "truncated":
            notes.append("the synthesis was cut off at its token limit: raise max_tokens")
        return Reference(
            reply.text,
            group.example.parse(reply.text),
            "Synthesis",
            group,
            usage=Usage.total([reply.usage]),
            notes=tuple(notes),
            truncated=reply.defect == "truncated",
            anchor=shown_name(self.anchor),
        )

    async def _fitting(self, group: Group, texts: Sequence[str], weights: Sequence[int]) -> tuple[Rollout, int | None]:
        """The anchor's reply, and the length the longest texts were cut to for it (None: nothing was)."""
        longest = sum(map(len, texts))
        while True:
            cut, limit = trim(texts, longest)
            try:
                # Greedy is a preference, not a need.
                reply = await sample_preferring(
                    self.anchor,
                    self.messages(group, cut, weights),
                    {"temperature": self.temperature},
                    max_tokens=self.max_tokens,
                )
            except ContextOverflow as error:
                keep = _ROOM * error.limit / error.given if error.limit and error.given else _ROOM
                longest = int(min(keep, 0.9) * sum(map(len, cut)))
                if longest < _FEWEST_CHARACTERS * len(texts):
                    raise EstimationError(
                        f"{len(texts)} rollouts do not fit the anchor's context even when trimmed: use fewer, a "
                        f"smaller max_tokens, or an anchor with a longer context ({error})",
                        group,
                    ) from None
            else:
                return reply, limit

    async def _vote(self, group: Group) -> Reference | None:
        """The majority vote where enough rollouts agree that no call is to be made; None where one is."""
        if self.when_agreement_below is None or group.example.answer_format is None:
            return None
        vote = await MajorityVote(min_agreement=self.when_agreement_below)(group)
        if vote.answer is None or len(group.usable) < 2:  # one rollout agrees with nobody
            return None
        agreement = f"enough rollouts agree, when_agreement_below={self.when_agreement_below:g}"
        return replace(vote, notes=(f"{SPARED}: {agreement}", *vote.notes))

    async def _weights(self, group: Group) -> list[int]:
        """For each usable rollout, how many of them have its answer, 0 when it has none; [] where `weigh` is off."""
        if group.example.answer_format is None or not self.weigh:
            return []
        own = [rollout.answer for rollout in group.usable]
        voters = [position for position, answer in enumerate(own) if answer is not None]
        agreeing = [0] * len(own)
        for members in await answers.aclasses([answer for answer in own if answer is not None]):
            for member in members:
                agreeing[voters[member]] = len(members)
        return agreeing

    def messages(self, group: Group, texts: Sequence[str], agreeing: Sequence[int] = ()) -> list[Message]:
        """The anchor's prompt for `texts`: the reasoning one when the example has an answer format.

        The part that is the same for every group comes first, so that prefix caches hit.

        Args:
            group: the group, for its question and its answer format.
            texts: the attempts to show.
            agreeing: how many attempts have the answer of each text; empty does not tell the anchor.
        """
        if group.example.answer_format is None:
            product, instructions = "response", render("synthesis_freeform")
        else:
            closing = _BOXED if group.example.answer_format == "boxed" else _SAME_FORM
            product, instructions = "solution", render("synthesis_reasoning", closing=closing)
        if agreeing:
            instructions = f"{instructions}\n\n{render('weighing')}"
        turns: list[Message] = []
        for attempts, reference in self.worked:
            turns.append({"role": "user", "content": _attempts(attempts, product)})
            turns.append({"role": "assistant", "content": reference})
        turns.append({"role": "user", "content": _attempts(texts, product, self._question(group), agreeing)})
        turns[0]["content"] = f"{instructions}\n\n{turns[0]['content']}"
        if self.include_question:
            turns[-1]["content"] = with_media(turns[-1]["content"], group.example.messages)
        return turns

    def _question(self, group: Group) -> str:
        if not self.include_question:
            return ""
        return fenced_question(group.example.messages) + "\n\n"


def _attempts(texts: Sequence[str], product: str, question: str = "", agreeing: Sequence[int] = ()) -> str:
    """The fenced attempts, and the request once more: after long attempts it would be far away."""
    tag, attempts = fenced(texts, "attempt")
    for number, count in enumerate(agreeing, 1):
        weight = render("weight", count=str(count), total=str(len(agreeing))) if count else render("no_answer")
        # No text holds the tag, so this replaces the fence only.
        attempts = attempts.replace(f"<{tag} {number}>", f"<{tag} {number}: {weight}>")
    return render("attempts", tag=tag, attempts=attempts, product=product, question=question)


def trim(texts: Sequence[str], budget: int) -> tuple[list[str], int | None]:
    """Texts of at most `budget` characters in all, and the length the longest were cut to (None: nothing was).

    Short texts stay whole: the longest are cut first, all to one length, in their middle, because approach and
    answer stand at the ends.
    """
    if sum(map(len, texts)) <= budget:
        return list(texts), None
    limit, left = 0, budget
    ascending = sorted(map(len, texts))
    for position, length in enumerate(ascending):
        limit = left // (len(ascending) - position)
        if length > limit:
            break
        left -= length
    return [_cut(text, limit) for text in texts], limit


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    mark = f"\n[… {len(text) - limit:,} characters left out …]\n"
    head = max(0, limit - len(mark)) * 2 // 5
    tail = max(0, limit - len(mark) - head)
    return text[:head] + mark + text[len(text) - tail :]


def _shown(text: str) -> str:
    """What a rollout says once it has stopped thinking; all of it when it never did."""
    return answers.without_thinking(text).strip() or text
