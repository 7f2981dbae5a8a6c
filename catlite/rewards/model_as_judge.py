"""Model-as-judge (arXiv 2509.14234 §4.3): does a rollout say what the reference says? A baseline, and no more.

One verdict over a whole text rewards what sounds alike, length and style with it; the rubric rewards are there because
of that. Left out: pairwise preference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from catlite import answers, concurrency
from catlite.coerce import hold_models
from catlite.data import Group, Reference, Response, Rollout
from catlite.errors import ConfigError
from catlite.models.base import Model
from catlite.rewards import asking
from catlite.rewards.verdicts.reading import read_verdict
from catlite.rewards.verdicts.scores import as_reward, read_score


@dataclass(frozen=True)
class ModelAsJudge:
    """A reward: 1.0 when the judge finds that a rollout says the same as the reference, else 0.0.

    A reply that cannot be read is asked for once more, then the reward is None, as it is for a rollout whose call
    failed; one that says nothing has 0. The parameters that the judge does not take are named in the notes of an
    evaluation that grades by it, and in the log.

    Args:
        judge: compares the two texts.
        scale: asks for a score from 1 to 10 in place of yes and no, as a reward from 0 to 1; False.
        max_tokens: of each of the judge's replies; None leaves its own limit.

    Raises:
        ConfigError: when called with a reference that has no text.

    Example:
        >>> reward = ModelAsJudge(judge)
        >>> rewards = await reward(group, reference)
    """

    grades_by: ClassVar = "answer"

    judge: Model
    scale: bool = False
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        hold_models(self, "judge")

    async def __call__(self, group: Group, reference: Reference) -> list[float | None]:
        """Rewards of shape (len(group.rollouts),); one call per rollout."""
        if not reference.text.strip():
            raise ConfigError("the reference has no text to compare with")
        return await concurrency.together(self._reward(rollout, reference.text) for rollout in group.rollouts)

    async def _reward(self, rollout: Response, reference: str) -> float | None:
        if rollout.defect == "failed":
            return None
        response = answers.without_thinking(rollout.text)
        if asking.says_nothing(response):
            return 0.0
        messages = asking.about_likeness(answers.without_thinking(reference) or reference, response, scale=self.scale)
        form, read = (asking.SCORE, _score) if self.scale else (asking.VERDICT, _same)
        reward, _ = await asking.ask_twice(self.judge, messages, form, read, max_tokens=self.max_tokens, spent=[])
        return reward


def _same(reply: Rollout) -> tuple[float | None, str]:
    met, reason = read_verdict(reply)
    return (None if met is None else float(met)), reason


def _score(reply: Rollout) -> tuple[float | None, str]:
    score, reason = read_score(reply)
    return (None if score is None else as_reward(score)), reason
