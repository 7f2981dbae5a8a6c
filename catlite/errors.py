"""The tree of errors; each leaf also has the stdlib parent a caller would expect.

    CatliteError
    ├── ConfigError            ValueError       an argument or a setting is wrong; nothing was sent
    │   └── MissingExtra       ImportError      an optional package is not installed
    ├── DataError              ValueError       rows cannot be made a task, or cannot be had
    ├── ModelError             RuntimeError     a model did not answer
    │   ├── AuthenticationFailed                401, 403: the key is missing, wrong or not allowed
    │   ├── QuotaExhausted                      402, or another status that says there is no credit left
    │   ├── RequestRejected                     400, 404, 405, 422, 3xx: asking again would not help
    │   │   └── ContextOverflow                 the prompt is longer than the model's context
    │   ├── EndpointUnavailable ConnectionError  retries used up: 408, 409, 429, 5xx, connection, time-out
    │   │   └── EndpointDown                    for several questions in a row: the run ends early
    │   ├── BadReply                            a reply that is not a chat completion
    │   └── EmbeddedModelError                  the embedded model: weights not found, wrong or not loadable
    ├── GroupError             RuntimeError     no rollout of a group can be used; `.group` keeps all replies
    ├── EstimationError        RuntimeError     the group is fine, its reference failed; `.group` keeps it
    ├── RubricError            RuntimeError     the proposer wrote no usable rubric; `.raw` keeps its texts
    ├── BudgetReached          RuntimeError     the next request could exceed the run's budget; nothing was sent
    ├── StoreError             OSError          a run's folder cannot be used, or a reply cannot be written
    └── TrainingError          RuntimeError     training cannot go on; the last checkpoint is kept
        └── OutOfMemory        MemoryError      the device's memory does not suffice; the message says what to lower
    UndecidedWarning           UserWarning      two answers were compared without a verdict
    OwnJudgeWarning            UserWarning      a model judges its own replies
    HaltedWarning              UserWarning      a training was given up before its end; the message says why

A message says what was given, what is wrong and what to do. None carries an API key.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from catlite.lazy import calling
from catlite.usage import Usage

Group: TypeAlias = Any  # of data.py, which imports this module
Rollout: TypeAlias = Any


class CatliteError(Exception):
    """Anything catlite raises on purpose; `.group` keeps the rollouts that were paid for before, if there are any.

    `.rollouts` are the replies that a call of a model had before it failed. `.usage` is the cost of the failure, None
    where it is not known, or nothing.
    """

    group: Group | None = None
    rollouts: tuple[Rollout, ...] = ()
    usage: Usage | None = None

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""

    _render_traceback_ = calling("catlite.tracebacks.render")  # for IPython: the lines of the cell, and the message


class ConfigError(CatliteError, ValueError):
    """An argument or a setting is wrong; nothing was sent."""


class MissingExtra(ConfigError, ImportError):
    """An optional package is not installed; the message names the pip command."""


class DataError(CatliteError, ValueError):
    """Rows cannot be made a task, or cannot be had; the message names the file and the line."""


class ModelError(CatliteError, RuntimeError):
    """A model did not answer; `.status` is the HTTP status, where there was one.

    `.usage` is what a useless reply says it was billed, None when it says nothing. `.reason` is the server's whole
    text, and `.params` are the settings that it names as the cause.
    """

    reason: str = ""
    params: tuple[str, ...] = ()

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status

    @property
    def for_every_prompt(self) -> bool:
        """True when no other prompt would fare better: no access, no credit, a wrong address or model name.

        A run ends with such an error, and no setting is left out because of it.
        """
        return False


class AuthenticationFailed(ModelError):
    """401 or 403: the key is missing, wrong or not allowed. Never retried."""

    for_every_prompt = True


class QuotaExhausted(ModelError):
    """402, or another status that says there is no credit left: waiting would not help. Never retried."""

    for_every_prompt = True


class RequestRejected(ModelError):
    """400, 404, 405, 422 or a redirect: the endpoint refuses this request, so it is not sent again."""

    @property
    def for_every_prompt(self) -> bool:
        """True for 404, 405 and redirects: the address or the model's name is wrong."""
        return self.status is not None and (self.status in (404, 405) or 300 <= self.status < 400)


class ContextOverflow(RequestRejected):
    """The prompt is longer than the model's context; `.limit` and `.given` are tokens, None if not told."""

    def __init__(
        self, message: str, *, status: int | None = None, limit: int | None = None, given: int | None = None
    ) -> None:
        super().__init__(message, status=status)
        self.limit = limit
        self.given = given


class EndpointUnavailable(ModelError, ConnectionError):
    """Rate limits, server errors, lost connections or time-outs, retries used up.

    `.retry_after` is the wait in seconds that the endpoint asked for, None if it did not say. `.sent` is False when the
    request never got there: a refused connection, an unknown host.
    """

    def __init__(
        self, message: str, *, status: int | None = None, retry_after: float | None = None, sent: bool = True
    ) -> None:
        super().__init__(message, status=status)
        self.retry_after = retry_after
        self.sent = sent


class EndpointDown(EndpointUnavailable):
    """Several questions in a row have used up their retries, and nothing was answered in between.

    A run ends with it as with a budget that is reached: replies are kept, and the same call goes on from there.
    """


class BadReply(ModelError):
    """The endpoint answered 200 with something that is not a chat completion."""


class EmbeddedModelError(ModelError):
    """The embedded model cannot run: weights not found, wrong, or not loadable."""


class GroupError(CatliteError, RuntimeError):
    """No rollout of a group can be used; `.group` keeps every reply."""

    group: Group

    def __init__(self, message: str, group: Group) -> None:
        super().__init__(message, group)
        self.group = group


class EstimationError(CatliteError, RuntimeError):
    """The rollouts are fine but the estimator made no reference of them; `.group` keeps the rollouts.

    `.usage` is the cost of the estimator itself, None when nothing. `.unanswered` is True where every call was answered
    and there was no reference in the answers: an evaluation scores that 0, as a rollout without an answer. Otherwise
    something failed, and the question has no score.
    """

    group: Group

    def __init__(self, message: str, group: Group, usage: Usage | None = None, unanswered: bool = False) -> None:
        super().__init__(message, group, usage, unanswered)
        self.group = group
        self.usage = usage
        self.unanswered = unanswered


class RubricError(CatliteError, RuntimeError):
    """The proposer wrote no usable rubric. `.raw` keeps every text that it wrote, `.usage` their cost."""

    def __init__(self, message: str, raw: tuple[str, ...], usage: Usage) -> None:
        super().__init__(message, raw, usage)
        self.raw = raw
        self.usage = usage


class BudgetReached(CatliteError, RuntimeError):
    """The next request could exceed the run's budget, so it was not sent; `.group` keeps the rollouts before it."""


class StoreError(CatliteError, OSError):
    """A run's folder cannot be used, is in use, or a reply cannot be written; replies in it are intact."""


class TrainingError(CatliteError, RuntimeError):
    """Training cannot go on; the last checkpoint is kept, and the message says where."""


class OutOfMemory(TrainingError, MemoryError):
    """The device's memory does not suffice; the message says which setting to lower."""


class UndecidedWarning(UserWarning):
    """Two answers were compared without a verdict, by time or by two readings: they count as not shown equal."""


class OwnJudgeWarning(UserWarning):
    """The judge is the model whose replies it judges: it shares their mistakes, and training can exploit that."""


class HaltedWarning(UserWarning):
    """A training was given up before its end, with what was trained until then; the message is `TrainingRun.ended`."""


def is_hopeless(error: BaseException) -> bool:
    """True when one question's failure is every question's, now and later: `ModelError.for_every_prompt`."""
    return isinstance(error, ModelError) and error.for_every_prompt


def ends_run(error: BaseException) -> bool:
    """True when every other question will meet the same error: no budget, no credit, no access, nobody there."""
    return isinstance(error, BudgetReached | EndpointDown) or is_hopeless(error)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, then the error that it was raised from, or while handling, and so on."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
