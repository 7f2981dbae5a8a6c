"""A model that gives the replies of a run once more: estimators and graders tried again, with nothing sent.

Every role can be played, since a run holds whatever was asked of any model: rollouts, syntheses, verdicts, scores.
Left out: replies that were never asked for; they fail, question by question.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from catlite.data import Message, Prompt, Rollout, as_messages
from catlite.errors import ConfigError, RequestRejected
from catlite.models.base import check_n, check_sampling, sendable
from catlite.runs.store import Recording, current_copy, first_sample

_SCORED = "scored"  # what a store calls the text whose log-probabilities it keeps


class Replay:
    """The model of a stored run.

    run: the folder given as run=. model: the name of the model to replay, needed where the run has several that were
    asked the same. Sampling parameters that are given have to be those that were asked for; others may be anything.

    Raises StoreError when the folder has no replies, ConfigError for a model that is not in it.
    """

    def __init__(self, run: str | Path, model: str | None = None) -> None:
        self.run = str(run)
        self._recording = Recording(run)
        self._known: dict[str, list[tuple[str, dict[str, Any]]]] = {}  # (key, what was asked), by messages
        names: dict[str, None] = {}
        for key, asked in self._recording.requests():
            names[asked["model"]] = None
            if model in (None, asked["model"]):
                self._known.setdefault(_text(asked["messages"]), []).append((key, asked))
        if model is not None and model not in names:
            raise ConfigError(
                f"the run {self.run!r} has no replies of {model!r}, but of: {', '.join(names) or 'nobody'}"
            )
        self.name = model or " and ".join(names) or "nobody"

    async def sample(self, prompt: Prompt, n: int = 1, **sampling: Any) -> list[Rollout]:
        """The first `n` replies that were kept; one that is missing is a Rollout with `.error`.

        Raises RequestRejected when the run has none at all, and ConfigError when it has those of several models or
        samplings and `sampling` does not tell them apart.
        """
        wanted = range(first_sample(), first_sample() + check_n(n))
        replies = self._found(prompt, check_sampling(sampling))
        few = f"the run {self.run!r} has {len(replies)} replies to this prompt, and more are asked for"
        lost = Rollout("", finish_reason="error", error=few)
        return [replies.get(sample, lost) for sample in wanted]

    async def logprobs(self, prompt: Prompt, text: str) -> list[float]:
        """The log-probabilities of `text` that were kept; raises as `sample` does."""
        replies = self._found(prompt, {_SCORED: sendable({"text": text})["text"]})
        return list(replies[0].logprobs or ())

    def _found(self, prompt: Prompt, sampling: dict[str, Any]) -> dict[int, Rollout]:
        """The replies by sample index."""
        known = self._known.get(_text([sendable(message) for message in as_messages(prompt)]), [])
        given = json.loads(json.dumps(sampling, default=repr))  # as the store wrote what it was given
        fitting = [
            (key, asked)
            for key, asked in known
            if asked.get("copy", "") == current_copy()
            and (_SCORED in asked["sampling"]) == (_SCORED in given)
            and all(asked["sampling"].get(name) == value for name, value in given.items())
        ]
        if len(fitting) == 1:
            return self._recording.replies(fitting[0][0])
        ways = "; ".join(f"{asked['model']} with {json.dumps(asked['sampling'])}" for _, asked in fitting or known)
        if fitting:
            raise ConfigError(
                f"the run {self.run!r} has several kinds of replies to this prompt: {ways}. Say model=, or give the "
                "sampling parameters of one"
            )
        # Named, because an estimator may do without a parameter that is refused.
        parameters = f" with {json.dumps(given)}" if given else ""
        kept = f"it has {ways}" if known else "nobody was asked that"
        raise RequestRejected(f"the run {self.run!r} has no reply to this prompt{parameters}: {kept}")

    def __repr__(self) -> str:
        return f"Replay({self.run!r}, model={self.name!r})"


def _text(messages: Sequence[Message]) -> str:
    return json.dumps(list(messages), sort_keys=True)
