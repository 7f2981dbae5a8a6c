"""The words in which servers refuse, kind by kind, for refusals.py.

Phrases are those of vLLM, SGLang, TGI, TensorRT-LLM, llama.cpp, Ollama, LM Studio, Xinference and of the providers that
OpenAI's client reaches, with a person's or two versions' worth of slack. A new wording is a line here and a file in
tests/models/http/replies/.
"""

from __future__ import annotations

import re

# What an error calls itself, where it stands in a 200 or names no number.
_CALLED = {
    400: "badrequesterror failed_precondition invalid_argument invalid_request_error",
    401: "authentication_error invalid_api_key invalid_authentication_error unauthenticated unauthorized",
    403: "permission_denied permission_error",
    404: "model_not_found not_found not_found_error notfounderror",
    413: "request_too_large",
    429: "insufficient_quota rate_limit_error rate_limit_exceeded resource_exhausted",
    500: "api_error internal internal_server_error internalservererror server_error",
    503: "overloaded_error unavailable",
    504: "deadline_exceeded",
}
STATUSES = {name: status for status, names in _CALLED.items() for name in names.split()}
# Names of errors that count with any status; the numbers are Zhipu's.
_CODES = {
    "credit": "1113 arrearage billing_error billing_hard_limit_reached billing_not_active credit_balance_too_low "
    "exceeded_current_quota_error insufficient_balance insufficient_credits insufficient_funds insufficient_quota "
    "insufficient_user_quota payment_required pre_consume_token_quota_failed",
    "filter": "1301 content_filter content_policy_violation data_inspection_failed datainspectionfailed "
    "responsibleaipolicyviolation",
}
NO_CREDIT_CODES, FILTERED_CODES = (frozenset(names.split()) for names in _CODES.values())


def _any(*phrases: str) -> re.Pattern[str]:
    return re.compile("|".join(phrases), re.IGNORECASE)


# --- no credit ---

NO_CREDIT = _any(
    r"insufficient[ _](?:account[ _]|user[ _])?(?:balance|credit|fund|quota)",
    r"(?:balance|credits?|funds|quota) (?:is |are )?(?:too low|insufficient|not (?:enough|sufficient)|exhausted"
    r"|depleted|used up)|credits? (?:has|have) been used up",
    r"(?:no|not have enough|not have any|n't have any|more|used all available|out of|add) credits?\b",
    r"(?:exceeded|reached|used) (?:your|its|the) (?:monthly|specified|current|total)? ?(?:included credits|api usage"
    r"|quota|spend)",
    r"(?:spend(?:ing)?|credit|billing(?: hard)?|billing_hard)[ _]limit|(?<!api )\bkey limit exceeded",
    r"account is not active|payment method|monthly (?:quota|limit|allowance|usage)",
    r"\b(?:in arrears|arrearage|overdue|payment required|unpaid|past invoices|in good standing|recharge|top up)\b",
    r"(?:limit|limited to|quota|calls)[^.]{0,30}(?:/|per) ?month",
    "欠费|余额不足|额度不足|充值",
)
# Allowances that come back by themselves.
WINDOW = _any(
    r"(?:per|/)[ _-]?(?:minute|min|second|sec|hour|day)|PerDay|PerMinute|PerHour",
    r"\b[rt]p[smhd]\b|(?:retry|try again)(?: your request)? (?:in|after) (?:about )?[\d~]",
    r"#token-limit|allocated quota|free_tier",
)
TOO_SOON = _any(r"rate[ _-]?limit", "too many requests", "throttl", "concurren", "too quickly", "slow down")

# --- the key ---

KEY = _any(
    r"(?:invalid|incorrect|missing|no|wrong|bad|expired|unknown|revoked)(?: or \w+)? (?:api|x-api|access)[ _-]?keys?\b",
    r"api[ _-]?key (?:is |was )?(?:not (?:valid|provided|found)|invalid|missing|expired|required|incorrect)",
    r"api_key_invalid|invalid_api_key|\bunauthorized\b|authentication (?:failed|is required)|invalid authentication",
)

# --- no such place ---

NO_SUCH_PATH = _any(
    r"unexpected endpoint",
    r"(?:unknown|invalid) (?:url|path|route|endpoint)",
    r"no such (?:route|endpoint|path)",
    r"cannot (?:post|get) /",
    r"^not found\b|\b404[ _]not[ _]found",
)
NO_SUCH_MODEL = _any(r"model\b.{0,120}(?:not found|does not exist|not exist|no longer available)", "unknown model")

# --- the context ---

CONTEXT_CODES = _any(
    r"context.{0,20}(?:exceed|length|size|window|limit)",
    r"(?:prompt|input|request|tokens?)_(?:is_)?too_(?:long|large|many)",
    "string_above_max_length",
    "^1261$",  # Zhipu
    "^3051$",  # Mistral
)
_WHAT = r"(?:prompts?|inputs?|messages?|conversation|request|query|text)"
_SIZE = r"context[ _-]?(?:length|size|window|limit)"
OVERFLOW = _any(
    r"max(?:imum)?[ _](?:model |allowed |total )?(?:context|prompt|input|sequence|model|allowed)[ _]?(?:token )?"
    r"(?:length|len|size|window)",
    rf"(?:exceed|longer than|larger than|greater than|bigger than|beyond|over(?:flow)?s? the|fit)[^.]{{0,60}}{_SIZE}",
    rf"{_SIZE}[^.]{{0,60}}(?:exceed|overflow|is full|too small|reached)",
    r"exceed\w*[^.]{0,40}(?:token limit|number of (?:input |prompt )?tokens|max_seq_len|max_num_tokens|max_model_len"
    r"|max(?:imum)? (?:input |prompt |allowed |token )?(?:length|tokens))",
    rf"\b{_WHAT}\b[^.]{{0,60}}\btoo (?:long|large|big)\b|\b{_WHAT}\b[^.]{{0,60}}exceed[^.]{{0,40}}\btokens",
    r"token limit exceeded|(?:input|prompt) tokens[^.]{0,60}exceed",
    r"too many (?:input |prompt |total )?tokens(?!,? please wait| per)",
    r"(?:reduce|shorten)(?: the| your)?(?: length| size| number of tokens)?(?: of| in)?(?: the| your)?"
    rf"(?: input)? {_WHAT}",
    r"(?:input|prompt|token)[ _](?:token[ _])?(?:count|length)[^.]{0,40}(?:exceed|should be \[|must be|is limited)",
    rf"{_WHAT}\W? must have less than|{_WHAT}\W? tokens \+ \W?max_\w*tokens\W? must be",
    r"tokens to keep from the initial prompt|keep the first \d+ tokens",
    r"default_max_tokens \(-|sum of prompt length|tokens[^.]{0,40}(?:cannot|should not) exceed",
    r"prompt has [\d,]+ tokens?, but|current length is \d+ while|expected maxlength: ?\d+",
    "tokens in request more than|request entity too large|payload too large",
    r"prompt ?超长|超(?:过|出)[^。]{0,12}(?:长度|上下文|token)|(?:长度|上下文|tokens?)[^。]{0,12}超(?:过|出|限|长)",
)
# Words about prompt and limit together, which trimming the prompt helps.
BOTH = _any(
    rf"{_WHAT}\W? tokens \+",
    r"input length and \W?max_tokens",
    rf"tokens? (?:in|from) (?:the |your )?(?:input )?{_WHAT}",
    r"output tokens and your prompt|input tokens and requested|sum of prompt length",
    r"prompt(?: length| tokens)?\W{0,3}(?:\d+\W{0,3})?\+",
)
# A limit on our own setting: a shorter prompt would be refused as well.
SETTING = _any(
    r"\bmax_(?:new_|completion_|output_)?tokens\b(?:(?!\bprompt|\binput)[^.]){0,40}"
    r"(?:\bvalue\b|\bis (?:too|greater|larger|\d)|must be|should be|\bcan(?:not|'t)|exceeds)",
    r"invalid max_(?:new_|completion_|output_)?tokens|at most \d+ (?:completion|output) tokens",
)
DIFFERENCE = re.compile(r"\((\d+) > (\d+) - (\d+)\)")  # max_tokens, context, prompt: vLLM's
_N = r"(\d[\d,]*)"
LIMIT = _any(
    rf"max(?:imum)?[\w ]{{0,24}}(?:length|len|size|window)(?: of this model)?(?: is| of|:)?(?: only)?\W{{0,2}}{_N}",
    rf"{_SIZE}(?: is| of|:)?(?: only)?\s*\(?{_N}",
    rf"> {_N}|<= {_N}|>= n_ctx: ?{_N}|less than {_N} tokens|allowed:? \(?{_N}|token limit: ?{_N}|\[\d+, ?{_N}\]",
    rf"max_(?:seq_len|num_tokens|model_len)\s*\(?{_N}|limit (?:is|of) {_N}|with {_N} maximum context",
    rf"cannot exceed {_N}|supports up to {_N}|max_prompt_tokens \({_N}|maximum of {_N}",
    rf"max input tokens: {_N}|maxlength: ?{_N}|\bLimit {_N}|exceeds limit of {_N}",
)
GIVEN = _any(
    rf"(?:resulted in|request \(|you requested a total of|total of at least|you requested|requested about) ?{_N}",
    r"(?:you passed|contains|has|count is|given:|received|n_keep:|requested:?|actual:|current length is|the first)"
    rf" {_N}",
    rf"(?:too long:|length|count|count:|count of|tokens|prompt_len|input|prompt) \(?{_N}",
)
WRITTEN = re.compile(rf"(?:requested|and|\+) {_N} (?:output|completion|`max_new_tokens`|tokens for)", re.IGNORECASE)
SUM = re.compile(rf"{_N} \+ {_N} > {_N}")

FLAGGED = _any(r"(?:input|prompt|content|request) was flagged", r"requires moderation")
