"""Errors in OpenAI's form, with the status that makes a client do the right thing.

What a client can mend is a 4xx, what the server behind has done is a 5xx, and a limit that passes is a 429 with
Retry-After. Where asking again would only cost the same again, `x-should-retry: false` tells OpenAI's clients so: they
would otherwise repeat every 429 and 5xx, after catlite has tried for minutes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from catlite.data import Group
from catlite.errors import (
    AuthenticationFailed,
    BudgetReached,
    CatliteError,
    ConfigError,
    ContextOverflow,
    EndpointDown,
    EndpointUnavailable,
    EstimationError,
    GroupError,
    ModelError,
    QuotaExhausted,
    RequestRejected,
    StoreError,
)

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_FINAL = {"x-should-retry": "false"}


class Refusal(Exception):
    """A request is not answered; the client gets `status` and `body`, an error object as OpenAI writes it."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        kind: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})
        kind = kind or _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
        self.body = {"error": {"message": message, "type": kind, "code": code, "param": param}}


def busy(message: str, seconds: float = 1) -> Refusal:
    """Make the refusal of a request that may be sent again after `seconds`."""
    wait = {"Retry-After": str(max(1, math.ceil(seconds)))}
    return Refusal(429, message, code="rate_limit_exceeded", headers=wait)


def refusal(error: CatliteError, failures: Sequence[Exception] = ()) -> Refusal:
    """Make the refusal for an error of the library.

    Args:
        error: what was raised.
        failures: what single calls failed with on the way, as `session.listening` collects them; a group of which
            nothing can be used has the status of the last.
    """
    message = str(error)
    if isinstance(error, GroupError):
        behind = [failure for failure in failures if isinstance(failure, ModelError)]
        if behind:
            return _of_model(behind[-1], message)
        return _of_group(error.group, message)
    if isinstance(error, ModelError):
        return _of_model(error, message)
    if isinstance(error, BudgetReached):
        return Refusal(429, message, code="insufficient_quota", kind="insufficient_quota", headers=_FINAL)
    if isinstance(error, ConfigError):
        name = re.match(r"([\w.]+)=", message)
        return Refusal(400, message, code="invalid_value", param=name and name[1])
    if isinstance(error, EstimationError):
        return Refusal(502, message, code="no_reference", headers=_FINAL)
    return Refusal(500, message, code="store_error" if isinstance(error, StoreError) else None, headers=_FINAL)


def _of_group(group: Group, message: str) -> Refusal:
    """The refusal for rollouts that all came and none of which can be used."""
    if set(group.defects) <= {"truncated"}:
        return Refusal(400, message, code="max_tokens_too_low", param="max_tokens")
    if set(group.defects) <= {"filtered"}:
        return Refusal(400, message, code="content_filter", param="messages")
    return Refusal(502, message, code="no_usable_rollout", headers=_FINAL)


def _of_model(error: ModelError, message: str) -> Refusal:
    """The refusal for a model that did not answer."""
    if isinstance(error, ContextOverflow):
        return Refusal(400, message, code="context_length_exceeded", param="messages")
    if isinstance(error, RequestRejected) and not error.for_every_prompt:
        return Refusal(400, message, code="refused_upstream", param=next(iter(error.params), None))
    if isinstance(error, QuotaExhausted):
        return Refusal(429, message, code="insufficient_quota", kind="insufficient_quota", headers=_FINAL)
    if isinstance(error, AuthenticationFailed):
        # Not 401: the client's own key, if it needs one, is right.
        return Refusal(502, message, code="upstream_authentication", headers=_FINAL)
    if isinstance(error, EndpointUnavailable):
        if error.status == 429:
            return busy(message, error.retry_after or 1)
        if error.status == 503 or isinstance(error, EndpointDown):
            wait = {"Retry-After": str(max(1, math.ceil(error.retry_after or 10)))}
            return Refusal(503, message, code="upstream_unavailable", headers=wait)
        late = error.sent and error.status in (None, 408, 504) and "within timeout" in message
        return Refusal(504 if late else 502, message, code="upstream_timeout" if late else "upstream", headers=_FINAL)
    return Refusal(502, message, code="upstream", headers=_FINAL)


def internal() -> dict[str, Any]:
    """Make the body of a 500 for an error that nobody foresaw; what it is stands in the server's log."""
    return Refusal(500, "the server failed; its log says why", code="internal").body
