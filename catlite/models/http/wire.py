"""Replies over HTTP, made into Rollouts or into errors that say what to do.

A 200 counts only when it holds choices and no error; text is only what the model says (never the thinking beside it or
before it); counts a server does not give are unknown. A reply that looks odd (its prompt was cut silently, its sampling
ignored) gets a note, which is a suspicion and not a verdict. Status errors are read in refusals.py, usage in prices.py.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from catlite.answers import split_thinking
from catlite.answers.thinking import begins_thinking
from catlite.data import Message, Rollout, text_of
from catlite.endings import ending
from catlite.errors import BadReply, ModelError
from catlite.models.http.prices import Price, counts
from catlite.models.http.refusals import WRONG_ADDRESS, error_in_reply, prompt_text, snippet, status_error
from catlite.usage import Usage

__all__ = ["parse", "prompt_text", "rollouts", "snippet", "status_error"]

_ERROR_FIELDS = ("message", "msg", "detail", "error_msg", "error_code", "errors")
THOUGHTS = ("reasoning_content", "reasoning", "thinking", "reasoning_details")
_ROUNDING = 0.01  # by which half precision takes a log-probability above 0
_LONG = 4000  # characters; in shorter prompts a chat template weighs too much
_CHARACTERS_PER_TOKEN = 7  # more than any tokenizer reaches over a whole prompt: prose has 4 to 5
_SAME = 100  # characters repeated; shorter replies are the same by chance


def parse(body: str, who: str, headers: Mapping[str, str] | None = None, prompt: str = "") -> dict[str, Any]:
    """Read the body of a 200: a JSON object with at least one choice.

    Raises ModelError of the kind that the status of an error inside the reply stands for, and BadReply for anything
    else. `prompt` is the text that was sent, which an error may quote.
    """
    try:
        reply = json.loads(body.removeprefix("\ufeff"))  # of UTF-8, which some servers write
    except (ValueError, RecursionError):
        hint = f"; {WRONG_ADDRESS}" if body.lstrip()[:1] == "<" else ""
        raise BadReply(f"{who} answered 200 with something that is not JSON: {snippet(body)}{hint}") from None
    reply = reply[0] if isinstance(reply, list) and len(reply) == 1 else reply
    if not isinstance(reply, dict):
        raise BadReply(f"{who} answered 200 without choices: {snippet(body)}")
    choices = reply.get("choices")
    if isinstance(choices, list) and choices and not _means_something(reply.get("error")):
        return reply
    failure: ModelError | None = None
    why = "without choices"
    if holds_error(reply):
        failure, why = error_in_reply(reply, headers or {}, who, prompt), "with an error"
    failure = failure or BadReply(f"{who} answered 200 {why}: {snippet(_error_text(reply, body))}")
    failure.usage = _billed(reply)
    raise failure


def holds_error(reply: Mapping[str, Any]) -> bool:
    """Tell whether a reply, or one chunk of it, has an error in the place of choices, or beside them."""
    if _means_something(reply.get("error")):
        return True
    if reply.get("choices"):
        return False
    named = any(reply.get(name) for name in _ERROR_FIELDS) or reply.get("object") == "error"
    base = reply.get("base_resp")  # MiniMax's
    return named or (isinstance(base, dict) and bool(base.get("status_code")))


def _means_something(error: Any) -> bool:
    """False for null, "" and {"code": 0, "message": ""}, which servers put where there was no error."""
    return any(error.values()) if isinstance(error, dict) else bool(error)


def _error_text(reply: Mapping[str, Any], body: str) -> str:
    error = reply.get("error")
    message = error.get("message", error) if isinstance(error, dict) else error
    return (message if isinstance(message, str) else json.dumps(message)) if error else body


def _billed(reply: Mapping[str, Any]) -> Usage | None:
    """The cost of a useless reply by its own usage; None when it has none."""
    prompt, completion, cached = counts(reply, wrote=False)
    if "timings" in reply:  # llama.cpp counts one choice only, also where n is more
        completion = None
    return None if prompt is None and completion is None else Usage(prompt, completion, cached, None, 1)


def rollouts(reply: Mapping[str, Any], who: str, price: Price | None, seconds: float) -> list[Rollout]:
    """Make a Rollout of each choice of what `parse` returned; one that cannot be read has `.error`.

    The request's prompt tokens and `seconds` stand on the first good one, so that sums are right. Raises ModelError
    when no choice can be read, of the kind the first one's error stands for; `.usage` is what it cost.
    """
    choices = [_read(choice, who) for choice in reply["choices"]]
    good = [choice for choice in choices if isinstance(choice, _Choice)]
    usages = iter(_usages(reply, good, price, seconds))
    if not good:
        failure = next(choice for choice in choices if isinstance(choice, ModelError))
        failure.usage = next(usages)
        raise failure
    return [
        choice.rollout(next(usages))
        if isinstance(choice, _Choice)
        else Rollout("", finish_reason="error", usage=Usage(), error=str(choice))
        for choice in choices
    ]


class _Choice(NamedTuple):
    """What a choice holds. `tokens` counts its log-probabilities before those of its thinking are dropped."""

    text: str
    finish_reason: str | None
    reasoning: str | None
    logprobs: tuple[float, ...] | None
    alternatives: tuple[tuple[str, float], ...] | None
    tokens: int | None

    @property
    def length(self) -> int:
        """Characters written, thinking included."""
        return len(self.text) + len(self.reasoning or "")

    def rollout(self, usage: Usage) -> Rollout:
        """The rollout that this choice is."""
        return Rollout(
            self.text, None, self.finish_reason, self.logprobs, usage, self.reasoning, alternatives=self.alternatives
        )


def _read(choice: Any, who: str) -> _Choice | ModelError:
    if not isinstance(choice, dict):
        return BadReply(f"{who} returned a choice that is {type(choice).__name__}: {snippet(json.dumps(choice))}")
    word = choice.get("finish_reason", choice.get("finishReason"))
    word = word.get("type") if isinstance(word, dict) else word  # SGLang's {"type": "stop", "matched": 2}
    finish_reason = sys.intern(word) if isinstance(word, str) else None
    if _means_something(choice.get("error")):
        reply = {"error": choice["error"]}
        why = BadReply(f"{who} returned a choice with an error: {snippet(_error_text(reply, ''))}")
        return error_in_reply(reply, {}, who) or why
    if ending(finish_reason) == "failed":
        return BadReply(f"{who} ended a reply with finish_reason {finish_reason!r}: {snippet(json.dumps(choice))}")
    message = choice.get("message")
    if not isinstance(message, dict):
        return BadReply(f"{who} returned a choice without a message: {snippet(json.dumps(choice))}")
    content, thoughts = message.get("content"), [_joined(message[name]) for name in THOUGHTS if message.get(name)]
    if isinstance(content, list) and all(isinstance(part, dict | str) for part in content):
        parts = [_part(part) for part in content]
        content = "".join(text for text, _ in parts)
        thoughts += ["".join(thought for _, thought in parts)]
    if content is not None and not isinstance(content, str):
        return BadReply(f"{who} returned content that is {type(content).__name__}, not text: {snippet(str(content))}")
    content = content or ""
    text, thinking = _set_apart(content)
    reasoning = next((thought for thought in [*thoughts, thinking] if thought), None)
    if not content and message.get("refusal"):
        finish_reason = "refusal"
    entries = _entries(choice.get("logprobs"))
    spoken = entries if reasoning is None else _tail(entries, text)
    tokens = None if entries is None else len(entries)
    return _Choice(text, finish_reason, reasoning, _logprobs(spoken), _alternatives(spoken), tokens)


def thinks_unmarked(reply: Mapping[str, Any]) -> bool:
    """Tell whether a choice of what `parse` returned begins within its thinking, of which only the end is marked."""
    messages = [choice.get("message") for choice in reply["choices"] if isinstance(choice, dict)]
    contents = [message.get("content") for message in messages if isinstance(message, dict)]
    return any(begins_thinking(content_text(content)) for content in contents)


def content_text(content: Any) -> str:
    """The text of a content, which may be in parts."""
    if isinstance(content, list):
        return "".join(_part(part)[0] for part in content if isinstance(part, dict | str))
    return content if isinstance(content, str) else ""


def _part(part: Any) -> tuple[str, str]:
    """Text and thinking of one part of a content in parts; a picture or a call of a tool is neither."""
    if isinstance(part, str):
        return part, ""
    text, kind = part.get("text"), part.get("type", "text")
    if kind in ("text", "output_text"):
        return (text if isinstance(text, str) else ""), ""
    if kind in ("thinking", "reasoning"):
        return "", next((thought for name in (kind, "text", "content") if (thought := _joined(part.get(name)))), "")
    return "", ""


def _joined(thought: Any) -> str:
    """Thinking as one text: a string, or parts with texts."""
    if isinstance(thought, list):
        texts = [part.get("text") for part in thought if isinstance(part, dict)]
        return "".join(text for text in texts if isinstance(text, str))
    return thought if isinstance(thought, str) else ""


def _set_apart(content: str) -> tuple[str, str | None]:
    """Text and the thinking before it; think tags within the text stay there."""
    text, thinking = split_thinking(content)
    if thinking is None:
        return content, None
    text = text.strip()
    return (text, thinking) if content.rstrip().endswith(text) or "<|channel|>" in content else (content, None)


_Entries = Sequence[Mapping[str, Any]]  # of the tokens of a reply


def _entries(logprobs: Any) -> _Entries | None:
    tokens = logprobs.get("content") if isinstance(logprobs, dict) else None
    return [token if isinstance(token, dict) else {} for token in tokens] if isinstance(tokens, list) else None


def _tail(entries: _Entries | None, text: str) -> _Entries | None:
    """The entries of the tokens of `text`, without those of the thinking before it; None where `text` is not found."""
    if entries is None or not text:
        return None
    pieces = [piece if isinstance(piece := entry.get("token"), str) else "" for entry in entries]
    start = "".join(pieces).rfind(text)
    if start < 0:
        return None
    first = position = 0
    while position + len(pieces[first]) <= start:
        position += len(pieces[first])
        first += 1
    return entries[first:]


def _logprobs(entries: _Entries | None) -> tuple[float, ...] | None:
    """Log-probabilities; None unless every one of them is a number that a log-probability can be."""
    if entries is None:
        return None
    values = [_logprob(entry.get("logprob")) for entry in entries]
    known = tuple(value for value in values if value is not None)
    return known if len(known) == len(values) else None


def _logprob(value: Any) -> float | None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if number and math.isfinite(value) and value <= _ROUNDING else None


def _alternatives(entries: _Entries | None) -> tuple[tuple[str, float], ...] | None:
    """The likeliest first tokens with their log-probabilities; None where no more than the sampled one is listed."""
    listed = entries[0].get("top_logprobs") if entries else None
    if not isinstance(listed, list) or len(listed) < 2:
        return None
    pairs = [(entry.get("token"), _logprob(entry.get("logprob"))) for entry in listed if isinstance(entry, dict)]
    return tuple((token, value) for token, value in pairs if isinstance(token, str) and value is not None) or None


def _usages(reply: Mapping[str, Any], choices: list[_Choice], price: Price | None, seconds: float) -> list[Usage]:
    """What each choice cost, or at least one usage: the whole request's stands on the first."""
    prompt, total, cached = counts(reply, wrote=any(choice.length for choice in choices))
    completions = _completions(reply, choices, total)
    usages = []
    for number, completion in enumerate(completions):
        tokens = (prompt, completion, cached) if number == 0 else (0, completion, 0)
        cost = price.cost(*tokens) if price else None
        generations = int(number < len(choices))
        usages.append(Usage(*tokens, cost, int(number == 0), seconds if number == 0 else 0.0, generations=generations))
    return usages


def _completions(reply: Mapping[str, Any], choices: list[_Choice], total: int | None) -> list[int] | list[None]:
    if len(choices) < 2:
        return [total] if total is not None else [None]
    if "timings" in reply:  # llama.cpp counts one choice only, also where n is more
        counted = [choice.tokens for choice in choices if choice.tokens is not None]
        return counted if len(counted) == len(choices) else [None] * len(choices)
    return [None] * len(choices) if total is None else _shares(total, [choice.length for choice in choices])


def _shares(total: int, weights: list[int]) -> list[int]:
    """`total` split in proportion to `weights` in whole numbers whose sum is exact."""
    weights = weights if any(weights) else [1] * len(weights)
    all_weights = sum(weights)
    edges = [round(total * part / all_weights) for part in accumulate(weights, initial=0)]
    return [high - low for low, high in pairwise(edges)]


def remarked(rollouts: list[Rollout], messages: Sequence[Message], request: Mapping[str, Any]) -> list[Rollout]:
    """Put notes on what is odd about the replies to one prompt on the first of them."""
    notes = [note for note in (_cut(rollouts, messages), _same(rollouts, request)) if note is not None]
    if not notes:
        return rollouts
    first, *others = rollouts
    return [replace(first, notes=(*first.notes, *notes)), *others]


def _cut(rollouts: Sequence[Rollout], messages: Sequence[Message]) -> str | None:
    """A note when the server counted far fewer tokens than the prompt's characters make."""
    if sum(len(text_of(message)) for message in messages) < _LONG:
        return None
    characters = sum(len(" ".join(text_of(message).split())) for message in messages)
    counts = [rollout.usage.prompt_tokens for rollout in rollouts if rollout.usage and rollout.usage.requests == 1]
    tokens = min((count for count in counts if count), default=None)
    if tokens is None or characters < _LONG or tokens * _CHARACTERS_PER_TOKEN > characters:
        return None
    return (
        f"the server counted {tokens:,} tokens in a prompt of {characters:,} characters: it may have cut the prompt "
        "without saying so, as Ollama does beyond num_ctx"
    )


def _same(rollouts: Sequence[Rollout], request: Mapping[str, Any]) -> str | None:
    """A note when all replies are the same although they were to be sampled."""
    greedy = request.get("temperature") == 0 or request.get("top_p") == 0 or request.get("top_k") == 1
    texts = [(reply.text, reply.reasoning) for reply in rollouts if reply.error is None and reply.text.strip()]
    if greedy or len(set(texts)) != 1 or (len(texts) - 1) * len(texts[0][0]) < _SAME:
        return None
    return (
        f"all {len(texts)} rollouts are the same, word for word: the server may ignore sampling, or answer from a cache"
    )
