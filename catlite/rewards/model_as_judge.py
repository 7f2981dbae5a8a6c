"""Model-as-judge (arXiv 2509.14234 §4.3): does a rollout say what the reference says? A baseline, and no more.

One verdict over a whole text rewards what sounds alike, length and style with it; the rubric rewards are there because
of that. Left out: pairwise preference.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from catlite import answers, concurrency
from catlite.coerce import hold_models
from catlite.data import Group, Reference, Response, Rollout
from catlite.errors import ConfigError, RequestRejected
from catlite.models.base import Model
from catlite.models.preferring import sample_preferring
from catlite.parsing import located
from catlite.rewards import asking
from catlite.rewards.verdicts.reading import own_objects, read_verdict

# A sign before the number or a percent sign behind it makes another number of it.
_NUMBER = re.compile(
    r"[\s*_`\"'“‘(\[#]*(?:score[\s*_`\"':=]{0,4})?(\d{1,2}(?:\.\d{1,6})?)"
    r"(?:\s*/\s*10|\s+out\s+of\s+10)?[\s*_`\"'”’)\].]*",
    re.IGNORECASE,
)
# Numbers behind a score that may be another one: in a short line, or in one that speaks of scores.
_LISTED = re.compile(r"\s*[-*]?\s*\d{1,3}[.)]\s+(?=\S)")
_DIGITS = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?")
_OF_TEN = re.compile(r"/\s*10\b|\bout\s+of\s+10\b|\b1\s*(?:to|[-–])\s*10\b", re.IGNORECASE)
_SCORING = re.compile(r"\b(?:scor|rat(?:e|ing)|grade|mark)|/\s*10\b|\bout\s+of\s+10\b", re.IGNORECASE)
_SHORT = 4  # words


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
        read: Callable[[Rollout], float | None] = _score if self.scale else _same
        preferred = {"response_format": asking.SCORE if self.scale else asking.VERDICT, "temperature": 0.0}
        for _ in range(2):
            try:
                reply = await sample_preferring(self.judge, messages, preferred, max_tokens=self.max_tokens)
            except RequestRejected as error:
                if error.for_every_prompt:
                    raise
                return None
            reward = read(reply)
            if reward is not None or reply.error is not None:
                return reward
            messages = asking.ask_again(messages, reply)
        return None


def _same(reply: Rollout) -> float | None:
    met, _ = read_verdict(reply)
    return None if met is None else float(met)


def _score(reply: Rollout) -> float | None:
    """(score - 1) / 9 of the one score in the reply, in its own field or alone, when that is from 1 to 10.

    None where a line outside of the field names another score.
    """
    if reply.defect not in (None, "empty"):  # cut off, filtered, refused or failed
        return None
    text, objects = own_objects(reply.text)
    scores = {str(value["score"]) for value in objects if isinstance(value, dict) and "score" in value}
    if not objects and "{" not in text:
        scores = {text}
    number = _NUMBER.fullmatch(scores.pop()) if len(scores) == 1 else None
    score = float(number[1]) if number else 0.0
    if not 1 <= score <= 10 or (objects and _names_another(text, score)):
        return None
    return (score - 1) / 9


def _names_another(text: str, score: float) -> bool:
    """Whether a line outside of the objects of `text` holds a number that reads as another score."""
    visible, spans = located(text)
    edges = [0, *(edge for start, end, _ in spans for edge in (start, end)), len(visible)]
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        for line in visible[start:end].splitlines():
            words = _LISTED.sub("", line, count=1)
            if len(words.split()) <= _SHORT or _SCORING.search(words):
                numbers = map(float, _DIGITS.findall(_OF_TEN.sub("", words)))
                if any(number != score for number in numbers):
                    return True
    return False
