"""How a reply ended, in the words of many servers: complete, cut off, filtered, refused or failed.

An unknown word counts as complete, and the reader of the reply is told.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_WORDS = {
    "complete": """
        complete completed done end end_turn eos eos_token finished function_call no_error null pause_turn
        stop stop_sequence stop_token success tool_call tool_calls tool_use
    """,
    "truncated": """
        cut_off error_limit incomplete length length_capped max_completion_tokens max_length max_new_tokens
        max_output_tokens max_tokens model_context_window_exceeded model_length token_limit truncated
    """,
    "filtered": """
        blocklist error_toxic flagged guardrail_intervened image_safety language moderation
        prohibited_content recitation safety sensitive spii
    """,
    "failed": """
        abort aborted cancel canceled cancelled disconnected error failed failure
        insufficient_system_resource interrupted malformed_function_call overloaded service_unavailable
        timed_out timeout too_many_requests user_cancel user_canceled user_cancelled
    """,
}
# In any spelling: "MAX_TOKENS", "MaxTokens", "MAXTOKENS".
_ENDINGS = {word.replace("_", ""): how for how, words in _WORDS.items() for word in words.split()}
# Of words that are not listed. "rate_limit_error" is no limit of the text, "server_error" and "APIError" are failures.
_TOO_SOON = re.compile(r"(?:^|_)rate_?limit")
_FAILURE = re.compile(r"error(?:_|$)|(?:^|_)(?:overloaded|time_?out|timed_?out|cancell?ed)(?:_|$)")
_LIMIT = re.compile(r"(?:^|_)(?:max|length|limit|context)(?:_|$)")  # of a word not listed: something was used up


@lru_cache(maxsize=256)
def ending(finish_reason: str | None) -> str:
    """A server's finish reason, in any spelling ("FinishReason.MAX_TOKENS"), as one of a few words.

    These are "complete", "truncated", "filtered", "refusal", "failed", and "unknown" for a word that is not known here.
    """
    word = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", (finish_reason or "").strip())  # "MaxTokens"
    word = word.lower().replace("-", "_").replace(" ", "_")
    word = word.rpartition(".")[2].removeprefix("finish_reason_")
    listed = _ENDINGS.get(word.replace("_", "")) if word else "complete"
    if listed is not None:
        return listed
    if "filter" in word:
        return "filtered"
    if _LIMIT.search(word) and not _TOO_SOON.search(word):
        return "truncated"
    if _TOO_SOON.search(word) or _FAILURE.search(word):
        return "failed"
    return "refusal" if word == "refusal" else "unknown"


class Ended:
    """Tells how the text of a Rollout or a Reference ended."""

    __slots__ = ()
    text: str
    error: str | None
    finish_reason: Any  # str | None, a field of one and a property of the other

    @property
    def defect(self) -> str | None:
        """Why estimation leaves this text out, or None where it is usable."""
        how = ending(self.finish_reason)
        if self.error is not None or how == "failed":
            return "failed"
        if how in ("truncated", "filtered"):
            return how
        if how == "refusal":
            return "ended by refusal"
        return None if self.text.strip() else "empty"

    @property
    def odd_ending(self) -> str | None:
        """The server's word for the end of the text where catlite does not know it, else None."""
        return self.finish_reason if self.error is None and ending(self.finish_reason) == "unknown" else None

    @property
    def usable(self) -> bool:
        """True when the text is complete and there is some."""
        return self.defect is None
