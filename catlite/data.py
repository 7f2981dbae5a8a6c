"""The nouns of the pipeline, as frozen dataclasses: Example, Task, Rollout, Group, Reference, Judgement.

Left out: multi-turn rollouts and tool calls (the paper has neither).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from catlite import answers
from catlite.criteria import Rubric, Verdict
from catlite.endings import ending
from catlite.errors import ConfigError
from catlite.lazy import calling
from catlite.text import data_frame
from catlite.usage import Usage

if TYPE_CHECKING:
    import pandas as pd

Message = dict[str, str]
Prompt = str | list[Message]


@dataclass(frozen=True, slots=True)
class Rollout:
    """One sampled reply of a policy.

    `finish_reason` is the server's word ("stop", "length", "content_filter", …) or "error" when the call
    itself failed; then `error` says why and `text` is empty. `reasoning` is what a server returned beside the
    text as the model's thinking: it is never the answer. `logprobs` are natural logs, one per token of `text`.
    `alternatives` are the likeliest first tokens with their natural logs, where more than one was asked for. `notes`
    say what was odd about the exchange that brought it.
    """

    text: str
    answer: str | None = None
    finish_reason: str | None = "stop"
    logprobs: tuple[float, ...] | None = None
    usage: Usage | None = None
    reasoning: str | None = None
    error: str | None = None
    alternatives: tuple[tuple[str, float], ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def defect(self) -> str | None:
        """Why this rollout is left out of estimation, or None when it is usable."""
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
        """The server's word for the end of the reply where catlite does not know it, else None."""
        return self.finish_reason if self.error is None and ending(self.finish_reason) == "unknown" else None

    @property
    def usable(self) -> bool:
        """True when the reply is complete and has text."""
        return self.defect is None

    __repr__ = calling("catlite.reprs.one_line")

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Rollout:
        """What `dataclasses.asdict` and JSON made of a rollout, made one again; by older versions, too."""
        usage, logprobs, alternatives = (fields.get(name) for name in ("usage", "logprobs", "alternatives"))
        if usage is not None and "generations" not in usage:  # written before these were counted
            usage = {**usage, "generations": int(fields.get("finish_reason") not in ("scored", "error"))}
        return cls(
            **{
                **fields,
                "usage": None if usage is None else Usage(**usage),
                "logprobs": None if logprobs is None else tuple(logprobs),
                "alternatives": None
                if alternatives is None
                else tuple((token, value) for token, value in alternatives),
                "notes": tuple(fields.get("notes") or ()),
            }
        )


@dataclass(frozen=True, slots=True)
class Example:
    """One question: a prompt, and what is known about its answer.

    `answer_format` says how a final answer is written: "boxed" (the last `\\boxed{}`), a regular expression
    with one capture group, or None for open-ended text, where there is no answer to compare.
    """

    prompt: Prompt
    answer: str | None = None
    rubric: Rubric | None = None
    answer_format: str | None = None
    id: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def messages(self) -> list[Message]:
        """The prompt as chat messages."""
        return as_messages(self.prompt)

    __repr__ = calling("catlite.reprs.one_line")

    def parse(self, text: str) -> str | None:
        """The final answer in `text`, read the way this example's answers are written."""
        return None if self.answer_format is None else answers.extract(text, self.answer_format)


@dataclass(frozen=True, slots=True)
class Task:
    """A named sequence of examples. `verifiable`: every example writes its answer in a known format."""

    name: str
    examples: tuple[Example, ...]

    def __post_init__(self) -> None:
        if isinstance(self.examples, str) or not isinstance(self.examples, Iterable):
            raise ConfigError(f"the examples of a task are a list, not {type(self.examples).__name__}")
        examples = tuple(one if isinstance(one, Example) else Example(one) for one in self.examples)
        object.__setattr__(self, "examples", examples)

    @property
    def verifiable(self) -> bool:
        """True when answers can be parsed and compared in every example."""
        return all(example.answer_format is not None for example in self.examples)

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[Example]:
        return iter(self.examples)

    def __repr__(self) -> str:
        kind = "verifiable" if self.verifiable else "open-ended"
        return f"<Task {self.name}: {len(self)} {kind} examples>"


@dataclass(frozen=True, slots=True)
class Group:
    """The G rollouts of one example, failed and truncated ones included; `policy` names the model they are of."""

    example: Example
    rollouts: tuple[Rollout, ...]
    policy: str | None = field(default=None, compare=False)

    @property
    def usable(self) -> tuple[Rollout, ...]:
        """The rollouts an estimator may read, in sampled order."""
        return tuple(rollout for rollout in self.rollouts if rollout.usable)

    @property
    def replies(self) -> tuple[Rollout, ...]:
        """The rollouts that came, in sampled order, usable or not: all but those whose call failed."""
        return tuple(rollout for rollout in self.rollouts if rollout.defect != "failed")

    @property
    def usage(self) -> Usage:
        """What sampling the group cost; a rollout that came is a generation, also of a model that counts none."""
        total = Usage.total(rollout.usage for rollout in self.rollouts)
        return replace(total, generations=max(total.generations, len(self.replies)))

    @property
    def defects(self) -> dict[str, int]:
        """How many rollouts are left out, by reason: {"truncated": 2, "empty": 1}."""
        counts: dict[str, int] = {}
        for rollout in self.rollouts:
            if rollout.defect is not None:
                counts[rollout.defect] = counts.get(rollout.defect, 0) + 1
        return counts

    def left_out(self) -> list[str]:
        """A note per reason for which rollouts are left out of estimation, then what else was odd about them."""
        notes = [f"{count} of {len(self.rollouts)} rollouts left out: {why}" for why, count in self.defects.items()]
        return notes + self.oddities()

    def oddities(self) -> list[str]:
        """Notes on rollouts that are not left out: ends no one knows, and what their exchanges say."""
        total, endings = len(self.rollouts), [rollout.odd_ending for rollout in self.rollouts]
        notes = [
            f"{endings.count(word)} of {total} rollouts ended by {word!r}, an unknown word: taken as complete"
            for word in dict.fromkeys(endings)
            if word is not None
        ]
        return notes + list(dict.fromkeys(note for rollout in self.rollouts for note in rollout.notes))

    def __repr__(self) -> str:
        left_out = "".join(f", {count} {reason}" for reason, count in self.defects.items())
        return f"<Group of {len(self.rollouts)} rollout{'s' * (len(self.rollouts) != 1)}{left_out}>"


@dataclass(frozen=True, slots=True)
class Reference:
    """A pseudo-reference: what a group was reconciled into, and by which estimator.

    `usage` is what the estimator itself spent; `total_usage` adds the rollouts. `notes` says what a reader has
    to know before trusting it: rollouts left out or trimmed, a text that was cut off. `error` is set where there is no
    reference, because every rollout or the estimator failed; then `text` is empty, and `str()` and `repr()` give the
    error. `others` are rollouts of another model that had a say. `anchor` names the model that wrote or chose the text.
    """

    text: str
    answer: str | None
    source: str
    group: Group
    rubric: Rubric | None = None
    usage: Usage = Usage()
    notes: tuple[str, ...] = ()
    truncated: bool = False
    error: str | None = None
    others: tuple[Rollout, ...] = ()
    anchor: str | None = field(default=None, compare=False)

    @property
    def rollouts(self) -> tuple[Rollout, ...]:
        """All rollouts of the group."""
        return self.group.rollouts

    @property
    def support(self) -> tuple[int, int] | None:
        """(rollouts whose answer is equivalent to the reference's, all rollouts); None for open-ended text."""
        if self.group.example.answer_format is None:
            return None
        return self._supported(answers.class_of)

    @property
    def known_support(self) -> tuple[int, int] | None:
        """`support` where it takes no comparing of answers, which can be long; None where it is not known."""
        return None if self.group.example.answer_format is None else self._supported(answers.known_class_of)

    def _supported(self, class_of: Callable[[str, list[str]], list[int] | None]) -> tuple[int, int] | None:
        votes = [one.answer for one in (*self.rollouts, *self.others) if one.usable and one.answer is not None]
        own = sum(one.usable and one.answer is not None for one in self.rollouts)
        members = [] if self.answer is None or not own else class_of(self.answer, votes)
        return None if members is None else (sum(member < own for member in members), len(self.rollouts))

    @property
    def total_usage(self) -> Usage:
        """Rollouts and estimation together."""
        return self.group.usage + self.usage

    @property
    def cost_usd(self) -> float | None:
        """US dollars for rollouts and estimation; None when any price is unknown."""
        return self.total_usage.cost_usd

    def as_rollout(self) -> Rollout:
        """The reference as a reply, so that what grades rollouts can grade it: cut off or failed where it was."""
        ended = "error" if self.error is not None else "length" if self.truncated else "stop"
        return Rollout(self.text, self.answer, ended, usage=self.usage, error=self.error)

    def __str__(self) -> str:
        return self.text if self.error is None else repr(self)

    __repr__ = calling("catlite.reprs.one_line")

    _repr_html_ = calling("catlite.cards.html")


@dataclass(frozen=True, slots=True)
class Judgement:
    """A group judged by a rubric: why each rollout has its reward.

    Axes: G is the group's rollouts, C the rubric's criteria. `usage` is what judging took, a rubric's proposal
    included; `notes` says what a reader has to know.
    """

    group: Group
    rubric: Rubric
    verdicts_GC: tuple[tuple[Verdict, ...], ...]  # noqa: N815 - the suffix names the axes
    rewards_G: tuple[float | None, ...]  # noqa: N815
    judge: str
    usage: Usage = Usage()
    notes: tuple[str, ...] = ()

    @property
    def coverage(self) -> tuple[float, ...]:
        """Of each rollout, the share of criteria that were judged."""
        return tuple(
            sum(verdict.met is not None for verdict in verdicts) / max(1, len(verdicts))
            for verdicts in self.verdicts_GC
        )

    @property
    def separating(self) -> tuple[bool, ...]:
        """Of each criterion, whether it tells the rollouts apart: without that it moves no advantage."""
        columns = zip(*self.verdicts_GC, strict=True)
        return tuple(len({v.value for v in column if v.value is not None}) > 1 for column in columns)

    def to_frame(self) -> pd.DataFrame:
        """One row per rollout (from 1) and criterion: verdict, reason, probability, and the rollout's reward."""
        separating = self.separating
        return data_frame(
            [
                {
                    "rollout": number,
                    "reward": reward,
                    "criterion": verdict.criterion.text,
                    "points": verdict.criterion.points,
                    "met": verdict.met,
                    "probability": verdict.probability,
                    "reason": verdict.reason,
                    "separates": separating[position],
                }
                for number, (verdicts, reward) in enumerate(zip(self.verdicts_GC, self.rewards_G, strict=True), 1)
                for position, verdict in enumerate(verdicts)
            ]
        )

    __repr__ = calling("catlite.reprs.one_line")

    _repr_html_ = calling("catlite.cards.html")


def counted(reply: Rollout) -> Rollout:
    """`reply` with one generation booked, where it came and its model counts none."""
    usage = reply.usage or Usage(None, None, None, None)
    if reply.error is not None or usage.generations:
        return reply
    return replace(reply, usage=replace(usage, generations=1))


def as_messages(prompt: Prompt) -> list[Message]:
    """`prompt` as a list of chat messages.

    Raises ConfigError for an empty prompt, a message without role or content, or any other shape.
    """
    if isinstance(prompt, str):
        if not prompt.strip():
            raise ConfigError("the prompt is empty: give a question as text or a list of messages")
        return [{"role": "user", "content": prompt}]
    if not isinstance(prompt, list):
        raise ConfigError(f"a prompt is a string or a list of messages, not {type(prompt).__name__}")
    if not prompt:
        raise ConfigError("the prompt is an empty list: give at least one message")
    for number, message in enumerate(prompt):
        if not isinstance(message, Mapping):
            raise ConfigError(f'message {number} is {type(message).__name__}: want {{"role": …, "content": …}}')
        for part in ("role", "content"):
            if part == "content" and isinstance(message.get(part), list | tuple):
                raise ConfigError(
                    f"message {number} has its content in parts, and only text is sent to a model: give one text. What "
                    "shows no prompt to a model, such as a vote, works with images, too"
                )
            if not isinstance(message.get(part), str):
                raise ConfigError(
                    f"message {number} has no {part!r} that is a string: "
                    f'want {{"role": "user", "content": …}}, got keys {sorted(map(str, message))}'
                )
    if not any(message["content"].strip() for message in prompt):
        raise ConfigError("every message of the prompt is empty")
    return [dict(message) for message in prompt]


# What makes a reference of a group, and what gives each of its rollouts a reward, None where it can give none.
Estimator = Callable[[Group], Awaitable[Reference]]
Reward = Callable[[Group, Reference], Awaitable[list[float | None]]]
