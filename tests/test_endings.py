"""How a reply ended, in the spellings of many servers."""

import pytest

from catlite import Rollout
from catlite.endings import ending

WORDS = {
    "complete": "stop STOP FinishReason.STOP end_turn EndTurn ENDTURN STOP_SEQUENCE tool-calls no_error",
    "truncated": """length MAX_TOKENS MaxTokens MAXTOKENS maxTokens max-tokens FINISH_REASON_MAX_TOKENS truncated
        TRUNCATED cut_off cutoff CutOff length_exceeded context_length_error error_limit token_limit MODELLENGTH""",
    "filtered": "content_filter CONTENTFILTER safety FinishReason.SAFETY error_toxic",
    "failed": """error rate_limit rate_limit_error RateLimitError rate_limit_exceeded rate_limited too_many_requests
        server_error internal_server_error APIError api_error network_error timed_out TIMEDOUT TimedOut timeout
        request_timeout cancel cancelled canceled CANCELLED user_cancel request_cancelled overloaded overloaded_error
        OVERLOADED service_unavailable aborted failed""",
    "refusal": "refusal",
    "unknown": "finito eos_reached_early",
}


@pytest.mark.parametrize(("word", "how"), [(word, how) for how, words in WORDS.items() for word in words.split()])
def test_a_word_says_how_a_reply_ended(word, how):
    assert ending(word) == how


def test_a_reply_without_a_word_is_complete():
    assert (ending(None), ending("")) == ("complete", "complete")


def test_a_failure_is_told_from_a_limit_of_the_text():
    assert Rollout("so", finish_reason="rate_limit_error").defect == "failed"
    assert Rollout("so", finish_reason="MAXTOKENS").defect == "truncated"
