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
from catlite.models.base import Traits, check_n, check_sampling, sendable
from catlite.models.kept import OWN, SCORED, wanted
from catlite.parts import folded
from catlite.runs import session
from catlite.runs.store import Recording


class Replay:
    """The model of a stored run; it sends nothing, so it costs nothing, whatever its replies cost when they came.

    Args:
        run: the folder that was given as run=.
        model: the name of the model to replay, needed where the run has several that were asked the same.

    Raises:
        StoreError: when the folder has no replies.
        ConfigError: for a model that is not in it.

    Example:
        >>> catlite.evaluate(task, catlite.Replay("runs/gsm8k"), estimators=catlite.MajorityVote())
    """

    def __init__(self, run: str | Path, model: str | None = None) -> None:
        self.run = str(run)
        self._recording = Recording(run)
        self._known: dict[str, list[tuple[str, dict[str, Any]]]] = {}  # (key, what was asked), by messages
        names: dict[str, None] = {}
        for key, request in self._recording.requests():
            names[request["model"]] = None
            if model in (None, request["model"]):
                self._known.setdefault(_text(request["messages"]), []).append((key, request))
        if model is not None and model not in names:
            raise ConfigError(
                f"the run {self.run!r} has no replies of {model!r}, but of: {', '.join(names) or 'nobody'}"
            )
        self.name = model or " and ".join(names) or "nobody"

    @property
    def traits(self) -> Traits:
        """Its replies are kept and paid for already."""
        return Traits(keeps_books=True)

    async def sample(self, prompt: Prompt, n: int = 1, **sampling: Any) -> list[Rollout]:
        """The first `n` replies that were kept; one that is missing is a Rollout with `.error`.

        Sampling parameters that are given have to be those that were asked for; others may be anything.

        Raises:
            RequestRejected: when the run has no reply at all to this prompt.
            ConfigError: when it has those of several models or samplings and `sampling` does not tell them apart.
        """
        check_n(n)
        replies = self._replies(prompt, check_sampling(sampling))
        few = f"the run {self.run!r} has {len(replies)} replies to this prompt, and more are asked for"
        lost = Rollout("", finish_reason="error", error=few)
        return [replies.get(sample, lost) for sample in wanted(n)]

    async def logprobs(self, prompt: Prompt, text: str) -> list[float]:
        """The log-probabilities of `text` that were kept; raises as `sample` does."""
        score = self._replies(prompt, {SCORED: sendable({"text": text})["text"]})[0]
        session.meter(score.usage)
        return list(score.logprobs or ())

    def _replies(self, prompt: Prompt, sampling: dict[str, Any]) -> dict[int, Rollout]:
        known = self._known.get(_text([sendable(message) for message in as_messages(prompt)]), [])
        wished = json.loads(json.dumps(sampling, default=repr))  # as the store wrote what it was given
        fitting = [
            (key, request)
            for key, request in known
            if request.get("copy", "") == session.current().copy
            and (SCORED in request["sampling"]) == (SCORED in wished)
            and all(request["sampling"].get(name) == value for name, value in wished.items())
        ]
        # A model of the user's own may have handed on to another one of its name.
        elsewhere = {request["model"] for _, request in fitting if not request["address"].startswith(OWN)}
        fitting = [
            (key, request)
            for key, request in fitting
            if request["model"] not in elsewhere or not request["address"].startswith(OWN)
        ]
        if len(fitting) == 1:
            return self._recording.replies(fitting[0][0])
        ways = "; ".join(
            f"{request['model']} with {json.dumps(request['sampling'])}" for _, request in fitting or known
        )
        if fitting:
            raise ConfigError(
                f"the run {self.run!r} has several kinds of replies to this prompt: {ways}. Say model=, or give the "
                "sampling parameters of one"
            )
        # Named, because an estimator may do without a parameter that is refused.
        parameters = f" with {json.dumps(wished)}" if wished else ""
        kept = f"it has {ways}" if known else "nobody was asked that"
        raise RequestRejected(f"the run {self.run!r} has no reply to this prompt{parameters}: {kept}")

    def __repr__(self) -> str:
        return f"Replay({self.run!r}, model={self.name!r})"


def _text(messages: Sequence[Message]) -> str:
    return json.dumps(folded(list(messages)), sort_keys=True)
