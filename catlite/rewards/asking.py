"""How judges and proposers are asked, and the form of JSON that a reply is held to where an endpoint can do that.

What repeats stands first in a prompt (instructions, response, then the criterion), so that prefix caches hit. Left out:
what a judge should be told of the reward it serves.
"""

from __future__ import annotations

import hashlib
import random
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from catlite import answers
from catlite.criteria import Criterion
from catlite.data import Example, Message, Rollout, text_of
from catlite.errors import RequestRejected
from catlite.models.base import Model, json_schema
from catlite.models.preferring import sample_preferring
from catlite.prompts.fence import disarm, extended, fenced, fenced_question, with_media
from catlite.prompts.files import render
from catlite.usage import Usage

T = TypeVar("T")
Shown = str | list[dict[str, Any]]  # a response as a judge sees it; with parts where its conversation has images

_VERDICT = {"reason": {"type": "string"}, "met": {"type": "boolean"}}
_ENTRY = json_schema("entry", {"criterion": {"type": "integer"}, **_VERDICT})["json_schema"]["schema"]
VERDICT = json_schema("verdict", _VERDICT)
VERDICTS = json_schema("verdicts", {"verdicts": {"type": "array", "items": _ENTRY}})
_SCORE = {"reason": {"type": "string"}, "score": {"type": "integer", "minimum": 1, "maximum": 10}}
_SCORED = json_schema("entry", {"response": {"type": "integer"}, **_SCORE})["json_schema"]["schema"]
SCORE = json_schema("score", _SCORE)
SCORES = json_schema("scores", {"scores": {"type": "array", "items": _SCORED}})
LEVEL = json_schema(
    "level", {"reason": {"type": "string"}, "level": {"type": "string", "enum": ["fully", "partly", "not"]}}
)
CHOICE = json_schema("choice", {"reason": {"type": "string"}, "better": {"type": "string", "enum": ["1", "2", "tie"]}})

# A reply that only announces one: judges are known to wave these through.
_ANNOUNCEMENT = re.compile(
    r"(?:(?:(?:the|my|final|full|complete) )*(?:solution|answer|response|reasoning|thought process|"
    r"let ?s (?:solve|think)(?: about)?(?: this| the)?(?: problem)?(?: step by step)?) ?)*"
)
_MARKDOWN = "*_`~|=+<>^#"


def about_criterion(shown: Shown, criterion: Criterion) -> list[Message]:
    """The question whether a shown response meets one criterion, answered as VERDICT."""
    return _user(shown, render("judge_single", criterion=worded(criterion), form=render("verdict_form")))


def about_criteria(shown: Shown, criteria: Sequence[Criterion]) -> list[Message]:
    """The question which of the criteria a shown response meets, answered as VERDICTS."""
    return _user(shown, render("judge_batch", criteria=listed(criteria)))


def about_rubric(shown: Shown, criteria: Sequence[Criterion]) -> list[Message]:
    """The question how good a shown response is by all criteria together, answered as SCORE."""
    return _user(shown, render("judge_holistic", criteria=listed(criteria)))


def about_level(shown: Shown, criterion: Criterion) -> list[Message]:
    """The question how far a shown response meets one criterion, answered as LEVEL."""
    return _user(shown, render("judge_levels", criterion=worded(criterion)))


def for_one_word(shown: Shown, criterion: Criterion) -> list[Message]:
    """The question whether a shown response meets one criterion, answered by yes or no."""
    return _user(shown, render("judge_soft", criterion=worded(criterion)))


def about_likeness(reference: str, response: str, *, scale: bool) -> list[Message]:
    """The question whether two texts say the same, answered as VERDICT, or on a `scale` as SCORE."""
    tag, texts = fenced([reference, response], "text")
    question = render("same_meaning_score") if scale else render("same_meaning_binary", form=render("verdict_form"))
    return _user(render("same_meaning", tag=tag, texts=texts), question)


def about_group(question: Sequence[Message], texts: Sequence[str], reference: str, beginning: str) -> list[Message]:
    """The question how good each of several responses is, answered as SCORES.

    `beginning`, which all texts begin with, is shown once; a `reference` of "" is not shown.
    """
    tag, responses = fenced([text[len(beginning) :] for text in texts], "response")
    fields = {"question": fenced_question(question) + "\n\n", "beginning": "", "reference": ""}
    for name, text in (("beginning", beginning), ("reference", answers.without_thinking(reference))):
        if text.strip():
            label, shown = fenced([text], name)
            fields[name] = render(f"relative_{name}", tag=label, **{name: shown}) + "\n\n"
    text = render("relative", tag=tag, responses=responses, **fields)
    return [{"role": "user", "content": with_media(text, question)}]


def about_pair(question: Sequence[Message], texts: Sequence[str]) -> list[Message]:
    """The question which of two responses is better, answered as CHOICE."""
    tag, responses = fenced(texts, "response")
    asked = fenced_question(question) + "\n\n"
    text = render("prefer", question=asked, tag=tag, responses=responses)
    return [{"role": "user", "content": with_media(text, question)}]


def for_rubric(name: str, texts: Sequence[str], bounds: Mapping[str, str], positive_only: bool) -> tuple[str, Message]:
    """(the fence's tag, the turn that asks for a rubric by the prompt `name`)."""
    tag, shown = fenced(texts, "material")
    positive = f"\n{render('rubric_positive')}" if positive_only else ""
    content = render(name, tag=tag, material=shown, positive=positive, **bounds)
    return tag, {"role": "user", "content": content}


def for_more_criteria(kept: Sequence[str], faults: str, wanted: int) -> str:
    """The request for `wanted` criteria beside those that are `kept`; `faults` are those of what cannot be used."""
    complaint = "These are too few." if kept else "That cannot be read as a list of criteria."
    if faults:
        complaint = f"Not all of these can be used: {faults}."
    known = "\n".join(f"- {text}" for text in kept) or "- (none so far)"
    return render("rubric_again", complaint=complaint, wanted=str(wanted), kept=known)


def show_response(response: str, example: Example | None) -> Shown:
    """The beginning of every question about a response: instructions, the response, the example's conversation."""
    conversation, messages = "", [] if example is None else example.messages
    if messages:
        turns = [f"{message['role']}: {text_of(message)}" for message in messages]
        tag, shown = fenced(["\n\n".join(turns)], "conversation")
        conversation = render("judge_conversation", tag=tag, conversation=shown) + "\n\n"
    tag, shown = fenced([response], "response")
    return with_media(render("judge", conversation=conversation, tag=tag, response=shown), messages)


def listed(criteria: Sequence[Criterion]) -> str:
    """The criteria as a numbered list, one a line."""
    return "\n".join(f"{number}. {worded(criterion)}" for number, criterion in enumerate(criteria, 1))


def worded(criterion: Criterion) -> str:
    """A criterion on one line, with its points in brackets where they are not 1, as HealthBench shows them."""
    text = " ".join(disarm(criterion.text).split())
    return text if criterion.points == 1 else f"[{criterion.points:g}] {text}"


def _user(shown: Shown, question: str) -> list[Message]:
    return [{"role": "user", "content": extended(shown, question)}]


def ask_again(messages: Sequence[Message], reply: Rollout, request: str | None = None) -> list[Message]:
    """Return the turns that ask again: `messages`, the reply to them, and a further request, with alternating roles.

    Chat templates that want user and assistant to take turns (Gemma's, Mistral's) refuse two turns of the user in a
    row, so after a reply without text the request joins the turn before.

    Args:
        messages: the turns so far, the last of them the user's.
        reply: the answer to them; one of nothing but thinking counts as no text.
        request: what to ask for now; None for a verdict that can be read.

    Returns:
        A new list of turns that ends with the user's.

    Example:
        >>> [turn["role"] for turn in ask_again([{"role": "user", "content": "Yes or no?"}], Rollout(""))]
        ['user']
    """
    request = render("judge_again") if request is None else request
    if answers.without_thinking(reply.text).strip():
        return [*messages, {"role": "assistant", "content": reply.text}, {"role": "user", "content": request}]
    *before, last = messages
    return [*before, {**last, "content": extended(last["content"], request)}]


async def ask_twice(
    judge: Model,
    messages: list[Message],
    form: Mapping[str, Any],
    read: Callable[[Rollout], tuple[T | None, str]],
    *,
    max_tokens: int | None,
    spent: list[Usage | None],
) -> tuple[T | None, str]:
    """Ask a judge, and once more where its reply cannot be read.

    Args:
        judge: the model that judges.
        messages: the request.
        form: the JSON that the reply is to have.
        read: gives what a reply says, or None, and the judge's reason or why it cannot be read.
        max_tokens: of each reply; None leaves the judge's own limit.
        spent: takes the usage of each reply.

    Returns:
        What `read` gave last; None, and why, where the judge refused.

    Raises:
        RequestRejected: for a refusal that every prompt would meet.
    """
    value, reason = None, ""
    preferred = {"response_format": form, "temperature": 0.0}
    for _ in range(2):
        try:
            reply = await sample_preferring(judge, messages, preferred, max_tokens=max_tokens)
        except RequestRejected as error:
            if error.for_every_prompt:
                raise
            return None, reason or f"the judge refused: {error}"
        spent.append(reply.usage)
        value, reason = read(reply)
        if value is not None or reply.error is not None:
            break
        messages = ask_again(messages, reply)
    return value, reason


def shuffler(seed: int, texts: Sequence[str]) -> random.Random:
    """A generator that is the same for the same texts in every process, and another one for other texts."""
    digest = hashlib.sha256("\0".join(texts).encode("utf-8", "replace")).hexdigest()
    return random.Random(f"{seed}/{digest}")  # noqa: S311


def says_nothing(text: str) -> bool:
    """True for a text that is empty or no more than an announcement ("Solution:"), which meets no criterion."""
    if len(text) >= 1_000:
        return False
    # Punctuation, spaces and markdown say nothing; letters, digits and signs (∞, ✅) do.
    kept = (" " if unicodedata.category(sign)[0] in "PZC" or sign in _MARKDOWN else sign for sign in text.lower())
    return _ANNOUNCEMENT.fullmatch(" ".join("".join(kept).split())) is not None
