"""What servers' refusals refuse: a name, a value, a feature, or the prompt they quote."""

import json

import pytest

from catlite.models.http import wire, words

NEW, OLD = "max_completion_tokens", "max_tokens"


def refusal(said, status=400, **fields):
    body = said if isinstance(said, str) and said.startswith(("{", "<")) else None
    body = body or json.dumps({"error": {"message": said, **fields}} if isinstance(said, str) else said)
    return wire.status_error(status, body, {}, "http://127.0.0.1:1/v1 (m)")


NAMES = [
    (OLD, "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."),
    (NEW, "Unrecognized request argument supplied: max_completion_tokens"),
    (NEW, {"detail": [{"type": "extra_forbidden", "loc": ["body", NEW], "msg": "Extra inputs are not permitted"}]}),
    (NEW, {"detail": [{"loc": ["body", NEW], "msg": "extra fields not permitted", "type": "value_error.extra"}]}),
    (NEW, "property 'max_completion_tokens' is unsupported"),
    (NEW, "'max_completion_tokens' : property 'max_completion_tokens' is unsupported"),
    (NEW, 'Invalid JSON payload received. Unknown name "max_completion_tokens": Cannot find field.'),
    (NEW, "Malformed input request: #: extraneous key [max_completion_tokens] is not permitted, please reformat"),
    (NEW, "Extra inputs are not permitted, field: 'max_completion_tokens', value: 50"),
    (NEW, "unknown field: parameter 'max_completion_tokens' is not a valid field"),
    (NEW, "litellm.UnsupportedParamsError: cohere does not support parameters: ['max_completion_tokens'], for model=x"),
    (NEW, "create() got an unexpected keyword argument 'max_completion_tokens'"),
    (NEW, "Additional properties are not allowed ('max_completion_tokens' was unexpected)"),
    (OLD, "max_tokens is deprecated in favor of max_completion_tokens"),
    (OLD, "The parameter `max_tokens` should be replaced by `max_completion_tokens` for this model"),
    (OLD, "max_tokens is not supported by this model, please use max_completion_tokens"),
    (NEW, "Unknown parameter: 'max_completion_tokens'."),
    (NEW, "This endpoint does not accept max_completion_tokens"),
]


@pytest.mark.parametrize(("name", "said"), NAMES)
def test_words_that_refuse_the_name_of_the_token_limit_are_read_as_such(name, said):
    assert words.refuses_name(refusal(said), name, NEW if name == OLD else OLD)
    assert not words.refuses_name(refusal(said), NEW if name == OLD else OLD, name)


VALUES = [
    "Invalid max_tokens value, the valid range of max_tokens is [1, 8192]",
    "Range of max_tokens should be [1, 8192]",
    "max_tokens is too large: 100000. This model supports at most 16384 completion tokens.",
    "Invalid 'max_tokens': integer below minimum value. Expected a value >= 16, but got 1 instead.",
    "`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens` is less than the "
    "`context_window` for this model",
    "max_tokens: 100000 > 64000, which is the maximum allowed number of output tokens for this model",
    "'max_tokens' or 'max_completion_tokens' is too large: 5000.",
    "Unsupported value: 'max_tokens' does not support 5000 with this model.",
    "max_tokens=5000 is not supported",
    "max_tokens (5000) is not allowed for this model: the limit is 4096",
    "Could not finish the message because max_tokens or model output limit was reached.",
    "Invalid parameter: max_tokens must be at most 8192",
    {"detail": [{"type": "less_than_equal", "loc": ["body", "max_tokens"], "msg": "Input should be less than 4096"}]},
    "flagged",
]


@pytest.mark.parametrize("said", VALUES)
def test_words_that_refuse_the_value_of_the_token_limit_do_not_refuse_its_name(said):
    for fields in ({}, {"param": "max_tokens", "code": "invalid_value"}):
        error = refusal(said, **fields) if isinstance(said, str) else refusal(said)
        assert not words.refuses_name(error, OLD, NEW)
        assert not words.refuses_name(error, NEW, OLD)


SETTINGS = [
    ("response_format", "Structured outputs are not supported"),
    ("response_format", "Guided decoding is disabled on this server"),
    ("response_format", "JSON mode is not enabled for this model"),
    ("response_format", "Failed to initialize samplers"),
    ("response_format", "This response_format type is unavailable now"),
    ("response_format", "'response_format.type' must be 'text'"),
    ("response_format", "Invalid schema for response_format 'rubric': minItems is not permitted"),
    ("temperature", "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) is."),
    ("temperature", "`temperature` has to be a strictly positive float; it must be greater than 0"),
    ("temperature", "top_p must be 1 when using greedy sampling."),
    ("temperature", "`temperature` and `top_p` cannot both be specified for this model. Please use only one."),
    ("top_logprobs", "Invalid 'top_logprobs': integer above maximum value. Expected a value <= 5, but got 20 instead."),
    ("top_logprobs", "Requested sample logprobs of 20, which is greater than max allowed: 5"),
]


@pytest.mark.parametrize(("name", "said"), SETTINGS)
def test_words_that_refuse_a_setting_are_read_as_such(name, said):
    assert words.refuses(refusal(said), name, ["What is six times seven?"])
    others = {"response_format", "temperature", "top_logprobs"} - {name}
    assert not any(words.refuses(refusal(said), other) for other in others)


def test_a_setting_in_a_field_of_its_own_is_refused_whatever_the_words():
    assert words.refuses(refusal("Bad request", param="response_format.json_schema"), "response_format")
    body = {"detail": [{"loc": ["body", "temperature"], "msg": "x", "input": {"response_format": "not supported"}}]}
    assert words.refuses(refusal(body), "temperature")
    assert not words.refuses(refusal(body), "response_format")  # what was sent back is not what was said


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ("At which temperature does the acid boil?", "Flagged: 'At which temperature does the acid boil?'"),
        ("At which temperature does the acid boil?", "Not allowed: at which temperature does the…"),
        ("Is temperature 0 not supported by GPT?", "This was flagged: Is temperature 0 not supported by GPT?"),
        ("Temperature", "Not allowed: temperature"),
    ],
)
def test_a_refusal_that_only_quotes_the_prompt_refuses_no_setting(prompt, said):
    assert not words.refuses(refusal(said), "temperature", [prompt])


def test_settings_refused_without_a_name_are_seen():
    assert words.refuses_settings(refusal("No endpoints found that can handle the requested parameters.", 404))
    assert not words.refuses_settings(refusal("The model `x` does not exist.", 404))


@pytest.mark.parametrize(
    ("said", "most"),
    [
        ("Invalid 'top_logprobs': integer above maximum value. Expected a value <= 5, but got 20 instead.", 5),
        ("Requested sample logprobs of 20, which is greater than max allowed: 8", 8),
        ("top_logprobs must be between 0 and 5", 5),
        ("top_logprobs=20 is not supported", None),
    ],
)
def test_what_a_server_takes_at_most_is_read_from_its_refusal(said, most):
    assert words.caps(refusal(said), 20) == most


@pytest.mark.parametrize("body", ["", "<html>max_tokens</html>", "[" * 10_000, "null", "3", "x" * 100_000])
def test_any_body_is_read_without_an_error(body):
    error = wire.status_error(400, body, {}, "m")
    assert error.params == ()
    assert not words.refuses(error, "temperature", ["x " * 10_000])
