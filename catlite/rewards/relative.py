"""A group scored in one call, its rollouts against each other, in the manner of RULER (OpenPipe ART).

GRPO needs differences inside a group only, and a judge finds it easier to compare than to grade. Left out: scores that
compare between groups.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from catlite import answers
from catlite.checks import whole_number
from catlite.coerce import hold_models
from catlite.criteria import Criterion, Rubric, Verdict
from catlite.data import Group, Judgement, Reference, Rollout
from catlite.models.base import Model
from catlite.rewards import asking
from catlite.rewards.audited import Audited
from catlite.rewards.verdicts.scores import as_reward, read_scores
from catlite.runs.session import noting
from catlite.usage import Usage

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

    Raises:
        ConfigError: for a seed that is no whole number.

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
        whole_number("seed", self.seed, None)

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
