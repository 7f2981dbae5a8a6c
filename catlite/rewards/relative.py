"""Responses compared with one another: a group scored in one call, and two policies set side by side.

RelativeJudge is a reward in the manner of RULER (OpenPipe ART): GRPO needs differences inside a group only, and a judge
finds it easier to compare than to grade. `prefer` asks which of two responses is better, in both orders, without any
rubric: where a rubric was trained against, it shows whether its judge was hacked (arXiv 2605.12474).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TYPE_CHECKING, ClassVar

from catlite import answers, concurrency
from catlite.averages import mean_and_error
from catlite.coerce import as_model, hold_models
from catlite.criteria import Criterion, Rubric, Verdict
from catlite.data import Group, Judgement, Reference, Rollout
from catlite.errors import ConfigError
from catlite.models.base import Model
from catlite.rewards import asking
from catlite.rewards.audited import Audited
from catlite.rewards.verdicts.scores import as_reward, read_choice, read_scores
from catlite.runs.session import noting
from catlite.text import data_frame
from catlite.usage import Usage

if TYPE_CHECKING:
    import pandas as pd

_COMMON = 200  # characters that responses have to share at their beginning for it to be shown once
_BETTER = Criterion("The response does the task well, compared with the other responses.")


@dataclass(frozen=True)
class RelativeJudge(Audited):
    """A reward: one call of a judge scores all rollouts of a group against each other (RULER, OpenPipe ART).

    The question, and a long beginning that all rollouts share, are shown once; rollouts with the same text are shown
    once and have the same reward; their order is shuffled, by the group and `seed`, against position bias. The scores,
    from 1 to 10, are rewards from 0 to 1. Where a rollout is missing or named twice, or a score cannot be read, the
    judge is asked once more, and then no rollout has a reward. A rollout whose call failed has None, one that says
    nothing 0.0. A rollout alone is scored by itself, so scores of different groups do not compare.

    Args:
        judge: scores the rollouts; a model that is not the policy.
        include_reference: shows the judge the reference, as a response that is believed to be good; True. RULER has
            none.
        seed: of the order; 0.
        max_tokens: of each of the judge's replies; None leaves its own limit.

    Example:
        >>> reward = RelativeJudge(judge)
        >>> rewards = await reward(group, reference)
    """

    shows_question: ClassVar = ("judge", "")
    compares: ClassVar = True  # the rollouts of one group

    judge: Model
    include_reference: bool = True
    seed: int = 0
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        hold_models(self, "judge")

    async def audit(self, group: Group, reference: Reference) -> Judgement:
        """The scores behind the rewards with their reasons, as verdicts on one criterion."""
        visible = [answers.without_thinking(rollout.text) for rollout in group.rollouts]
        silent = [asking.says_nothing(text) for text in visible]
        failed = [rollout.defect == "failed" for rollout in group.rollouts]
        answered = zip(visible, silent, failed, strict=True)
        texts = sorted({text for text, says_nothing, fails in answered if not says_nothing and not fails})
        asking.shuffler(self.seed, texts).shuffle(texts)
        scores: dict[str, tuple[float, str]] = {}
        why, spent = "", Usage()
        with noting() as remarks:
            if texts:
                scores, why, spent = await self._scores(group, reference, texts)
        verdicts = []
        for rollout, text, says_nothing, fails in zip(group.rollouts, visible, silent, failed, strict=True):
            if fails:
                verdict = Verdict(_BETTER, None, f"the rollout failed: {rollout.error or rollout.finish_reason}")
            elif says_nothing:
                verdict = Verdict(_BETTER, False, "the rollout says nothing")
            elif text in scores:
                score, reason = scores[text]
                verdict = Verdict(_BETTER, score > 0.5, reason, score)
            else:
                verdict = Verdict(_BETTER, None, why)
            verdicts.append((verdict,))
        rewards = tuple(verdict.value for (verdict,) in verdicts)
        notes = tuple(dict.fromkeys([*([f"no rollout could be scored: {why}"] if why else []), *remarks]))
        judgement = Judgement(group, Rubric((_BETTER,)), tuple(verdicts), rewards, self.judge.name, spent, notes)
        return self.remember(judgement)

    async def _scores(
        self, group: Group, reference: Reference, texts: Sequence[str]
    ) -> tuple[dict[str, tuple[float, str]], str, Usage]:
        """The reward and the judge's reason of each text, or why there are none; and what asking took."""
        shown = reference.text if self.include_reference else ""
        messages = asking.about_group(group.example.messages, texts, shown, beginning_of(texts))
        spent: list[Usage | None] = []

        def read(reply: Rollout) -> tuple[list[tuple[float, str]] | None, str]:
            unread = f"the judge's reply does not score each response once: {reply.text[:200]!r}"
            return read_scores(reply, len(texts)), reply.error or unread

        scores, why = await asking.ask_twice(
            self.judge, messages, asking.SCORES, read, max_tokens=self.max_tokens, spent=spent
        )
        if scores is None:
            return {}, why, Usage.total(spent)
        rewards = [(as_reward(score), reason) for score, reason in scores]
        return dict(zip(texts, rewards, strict=True)), "", Usage.total(spent)


def beginning_of(texts: Sequence[str]) -> str:
    """The whole lines with which all texts begin; "" where these are short, or one text has nothing else."""
    lines = zip(*(text.splitlines(keepends=True) for text in texts), strict=False)
    common = "".join(same[0] for same in itertools.takewhile(lambda line: len(set(line)) == 1, lines))
    rests = [text[len(common) :].strip() for text in texts]
    return common if len(texts) > 1 and len(common) >= _COMMON and all(rests) else ""


@dataclass(frozen=True)
class Preference:
    """Whether a judge finds the replies after something better than those before it, over the same prompts.

    Args:
        share: of the comparisons won by the reply after, a tie counting half, from 0 to 1; nan without any.
        error: its standard error over prompts; nan for fewer than 2.
        scores: of each prompt 1.0 where the reply after won in both orders, 0.0 where it lost in both, else between;
            None where the judge's choice could not be read in one of the orders.
        consistent: share of the prompts on which both orders gave the same choice; nan without any.
        judge: the name of the judge.
        usage: what judging took.
        reasons: of each prompt the judge's reasons, in both orders.
        notes: warnings before one trusts it.
    """

    share: float
    error: float
    scores: tuple[float | None, ...]
    consistent: float
    judge: str
    usage: Usage = Usage()
    reasons: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """Make a table with a row per prompt: its score and the reasons in both orders."""
        return data_frame(
            [
                {"prompt": number, "score": score, "reason": first, "reason swapped": second}
                for number, (score, (first, second)) in enumerate(zip(self.scores, self.reasons, strict=True), 1)
            ]
        )

    def __str__(self) -> str:
        count = sum(score is not None for score in self.scores)
        return (
            f"after is preferred on {self.share:.3f} ± {self.error:.3f} of {count} prompts (a tie counts half; 0.5 is "
            f"no difference); both orders agree on {self.consistent:.2f}"
        )


def prefer(
    judge: str | Model, before: Sequence[Group], after: Sequence[Group], *, max_tokens: int | None = None
) -> Preference:
    """Ask a judge which replies are better, those before training or those after, without any rubric.

    The first usable rollout of each group stands for it. Each pair is asked about twice, in both orders, because judges
    favour a place: a reply wins that is chosen in both; one choice each way is a tie. Costs two calls a prompt. A judge
    other than the one that was trained against tells whether that one was hacked (arXiv 2605.12474).

    Args:
        judge: the model that chooses, or its name.
        before: a group for each prompt, such as `evaluation.groups`.
        after: groups of the same prompts, in the same order.
        max_tokens: of each of the judge's replies; None leaves its own limit.

    Returns:
        The Preference: the share for after with its standard error over prompts.

    Raises:
        ConfigError: when the two do not have the same prompts, or there is nothing to compare.
        ModelError: what `judge.sample` raises.

    Example:
        >>> preference = catlite.rewards.judge.prefer("gpt-4o", initial.groups, trained.groups)
        >>> print(preference)
    """
    judge = as_model(judge, "judge")
    if len(before) != len(after) or not before:
        raise ConfigError(f"{len(before)} groups before and {len(after)} after: want as many, and at least one")
    for number, (old, new) in enumerate(zip(before, after, strict=True), 1):
        if old.example.messages != new.example.messages:
            raise ConfigError(f"pair {number} has two prompts: give groups of the same prompts, in the same order")
    return concurrency.run(_prefer(judge, before, after, max_tokens))


async def _prefer(judge: Model, before: Sequence[Group], after: Sequence[Group], max_tokens: int | None) -> Preference:
    spent: list[Usage | None] = []

    async def compare(old: Group, new: Group) -> tuple[float | None, bool, tuple[str, str]]:
        """(the score of `new`, whether both orders agree, the reasons)."""
        if not old.usable or not new.usable:
            missing = "no usable reply " + ("before" if not old.usable else "after")
            return None, False, (missing, missing)
        texts = [answers.without_thinking(group.usable[0].text) for group in (old, new)]
        if texts[0] == texts[1]:
            return 0.5, True, ("the same text", "the same text")
        question = old.example.messages
        (first, why), (second, why_swapped) = await concurrency.together(
            asking.ask_twice(
                judge,
                asking.about_pair(question, pair),
                asking.CHOICE,
                read_choice,
                max_tokens=max_tokens,
                spent=spent,
            )
            for pair in (texts, texts[::-1])
        )
        if first is None or second is None:
            return None, False, (why, why_swapped)
        won, swapped = {"1": 0.0, "2": 1.0, "tie": 0.5}[first], {"1": 1.0, "2": 0.0, "tie": 0.5}[second]
        return (won + swapped) / 2, won == swapped, (why, why_swapped)

    with noting() as remarks:
        pairs = await concurrency.together(compare(*pair) for pair in zip(before, after, strict=True))
    scores = [score for score, _, _ in pairs if score is not None]
    share, error = mean_and_error(scores) if scores else (math.nan, math.nan)
    agreeing = [agree for score, agree, _ in pairs if score is not None]
    unread = len(pairs) - len(scores)
    notes = ([f"{unread} of {len(pairs)} prompts could not be compared"] if unread else []) + list(remarks)
    return Preference(
        share,
        error,
        tuple(score for score, _, _ in pairs),
        fmean(agreeing) if agreeing else math.nan,
        judge.name,
        Usage.total(spent),
        tuple(reasons for _, _, reasons in pairs),
        tuple(notes),
    )
