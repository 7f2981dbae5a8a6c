"""The nouns of the pipeline, as frozen dataclasses: Example, Task, Rollout, Group, Reference, Judgement.

Left out: multi-turn rollouts and tool calls (the paper has neither).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

from catlite import answers
from catlite.criteria import Rubric, Verdict
from catlite.endings import Ended
from catlite.errors import ConfigError
from catlite.lazy import calling
from catlite.messages import (
    Message as Message,
    Prompt as Prompt,
    as_messages as as_messages,
    media as media,
    text_of as text_of,
    text_only as text_only,
)
from catlite.text import data_frame
from catlite.usage import Usage

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Rollout(Ended):
    """One sampled reply of a policy.

    Args:
        text: the reply without the model's thinking; empty when the call failed.
        answer: the final answer in it; None for open-ended text, or where the reply gives none.
        finish_reason: the server's word ("stop", "length", "content_filter", …), or "error" when the call failed.
        logprobs: natural logs, one per token of `text`; None where they were not asked for, or not given.
        usage: tokens, dollars and seconds; None where they are unknown.
        reasoning: the model's thinking, where a server returned it apart; the answer is never read from it.
        error: the reason when the call failed, else None.
        alternatives: the likeliest first tokens with their natural logs, where more than one was asked for.
        notes: oddities of the exchange that brought the reply.
        model: the member of a Panel that wrote it; None where the whole group is of one model.

    Example:
        >>> Rollout("It is 42.", "42").usable
        True
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
    model: str | None = None

    __repr__ = calling("catlite.reprs.one_line")

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Rollout:
        """Make a rollout of the JSON that `dataclasses.asdict` gave, in this version or an older one."""
        usage, logprobs, alternatives = (fields.get(name) for name in ("usage", "logprobs", "alternatives"))
        if usage is not None and "generations" not in usage:  # written before these were counted
            usage = {**usage, "generations": int(fields.get("finish_reason") not in ("scored", "error"))}
        values = {
            "usage": None if usage is None else Usage(**usage),
            "logprobs": None if logprobs is None else tuple(logprobs),
            "alternatives": None if alternatives is None else tuple(map(tuple, alternatives)),
            "notes": tuple(fields.get("notes") or ()),
        }
        return cls(**{**fields, **values})


@dataclass(frozen=True, slots=True)
class Example:
    """One question: a prompt, and what is known about its answer.

    Args:
        prompt: text, or chat messages [{"role": …, "content": …}], whose content may be in parts (catlite.image).
        answer: the right answer; None when it is not known.
        rubric: criteria for a reply; None without any.
        answer_format: how a reply writes its final answer: "boxed" (the last `\\boxed{}`), a regular expression with
            one capture group, or None for open-ended text, whose answers are not compared.
        id: its name in tables and runs; None takes its place in the task.
        metadata: further columns of its row.

    Example:
        >>> Example("What is 6 times 7?", "42", answer_format="boxed").parse(r"So \\boxed{42}.")
        '42'
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
        """Read the final answer of a reply, by `answer_format`; None for open-ended text, or where there is none."""
        return None if self.answer_format is None else answers.extract(text, self.answer_format)


@dataclass(frozen=True, slots=True)
class Task:
    """A named sequence of examples.

    Args:
        name: shown in tables and pages.
        examples: Example objects, or prompts.

    Raises:
        ConfigError: `examples` is not a list.

    Example:
        >>> Task("mine", ["Why is the sky blue?", "Why is grass green?"])
        <Task mine: 2 open-ended examples>
    """

    name: str
    examples: tuple[Example, ...]

    def __post_init__(self) -> None:
        if isinstance(self.examples, str) or not isinstance(self.examples, Iterable):
            raise ConfigError(f"the examples of a task are a list, not {type(self.examples).__name__}")
        examples = tuple(item if isinstance(item, Example) else Example(item) for item in self.examples)
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
    """The G rollouts of one example.

    Args:
        example: the question.
        rollouts: all of them in sampled order, failed and truncated ones included; where a reward grades it, also a
            Reference alone.
        policy: the name of the model that wrote them; None when it is not known.

    Example:
        >>> Group(Example("Why?"), (Rollout("Because."), Rollout("", finish_reason="length")))
        <Group of 2 rollouts, 1 truncated>
    """

    example: Example
    rollouts: tuple[Response, ...]
    policy: str | None = field(default=None, compare=False)

    @property
    def usable(self) -> tuple[Response, ...]:
        """The rollouts an estimator may read, in sampled order."""
        return tuple(rollout for rollout in self.rollouts if rollout.usable)

    @property
    def replies(self) -> tuple[Response, ...]:
        """The rollouts in sampled order, usable or not, without those whose call failed."""
        return tuple(rollout for rollout in self.rollouts if rollout.defect != "failed")

    @property
    def usage(self) -> Usage:
        """The cost of sampling the group; each reply is a generation, also of a model that counts none."""
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
        """A note per reason for which rollouts are left out of estimation, then the `oddities`."""
        total = len(self.rollouts)
        notes = [f"{count} of {total} rollouts left out: {defect}" for defect, count in self.defects.items()]
        return notes + self.oddities()

    def oddities(self) -> list[str]:
        """Notes on rollouts that are not left out: unknown finish reasons, and the notes of their exchanges."""
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
class Reference(Ended):
    """A pseudo-reference: the text that an estimator made of a group (the paper's section 3).

    Args:
        text: the reference; empty where there is none.
        answer: its final answer; None for open-ended text, or where it gives none.
        source: the estimator, such as "Synthesis".
        group: the rollouts it was made of.
        rubric: the criteria that were proposed from it, else None.
        usage: the cost of the estimator itself; `total_usage` adds the rollouts.
        notes: what to know before trusting it: rollouts left out or trimmed, a text that was cut off.
        truncated: True when the text was cut off.
        error: the reason when every rollout or the estimator failed; `str()` and `repr()` show it. Else None.
        others: rollouts of another model that had a say.
        anchor: the name of the model that wrote or chose the text.
        abstained: True when the estimator chose to give no reference, as a vote below its threshold does; `notes` say
            why. Then there is no text, no answer and no error.

    Example:
        >>> reference = catlite.synthesize("What is 6 times 7?", "gpt-4o-mini", answer_format="boxed")
        >>> reference.answer, reference.support, reference.cost_usd
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
    others: tuple[Response, ...] = ()
    anchor: str | None = field(default=None, compare=False)
    abstained: bool = False
    # As of a rollout that came without them.
    reasoning: ClassVar[str | None] = None
    logprobs: ClassVar[tuple[float, ...] | None] = None

    @property
    def rollouts(self) -> tuple[Response, ...]:
        """All rollouts of the group."""
        return self.group.rollouts

    @property
    def support(self) -> tuple[int, int] | None:
        """(rollouts whose answer is equivalent to the reference's, all rollouts).

        None for open-ended text, and where the estimator abstained.
        """
        return self._support(at_once=False)

    @property
    def known_support(self) -> tuple[int, int] | None:
        """`support` where it takes no comparing of answers, which can be long; None where it is not known."""
        return self._support(at_once=True)

    def _support(self, *, at_once: bool) -> tuple[int, int] | None:
        if self.group.example.answer_format is None or self.abstained:
            return None
        own = [rollout.answer if rollout.usable else None for rollout in self.rollouts]
        others = [rollout.answer if rollout.usable else None for rollout in self.others]
        return answers.support(self.answer, own, others, at_once=at_once)

    @property
    def total_usage(self) -> Usage:
        """Rollouts and estimation together."""
        return self.group.usage + self.usage

    @property
    def cost_usd(self) -> float | None:
        """US dollars for rollouts and estimation; None when any price is unknown."""
        return self.total_usage.cost_usd

    @property
    def finish_reason(self) -> str:
        """How the text ended, in the words of a rollout: "stop", "length" where it is truncated, or "error"."""
        return "error" if self.error is not None else "length" if self.truncated else "stop"

    @property
    def alone(self) -> Group:
        """A group of this reference alone: a reward grades it there as it grades the rollouts of another group."""
        return Group(self.group.example, (self,))

    def __str__(self) -> str:
        return self.text if self.error is None else repr(self)

    __repr__ = calling("catlite.reprs.one_line")

    _repr_html_ = calling("catlite.cards.html")


@dataclass(frozen=True, slots=True)
class Judgement:
    """A group judged by a rubric: the reasons for each rollout's reward.

    Args:
        group: the G rollouts.
        rubric: the C criteria.
        verdicts_GC: for each rollout a verdict per criterion.
        rewards_G: for each rollout its score; None where nothing could be judged.
        judge: the name of the judging model.
        usage: the cost of judging, a rubric's proposal included.
        notes: what to know before trusting it.

    Example:
        >>> judgement = catlite.judge(["Take zinc."], ["Names zinc.", "Names iron."], "gpt-4o-mini")
        >>> judgement.rewards_G, judgement.to_frame()
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
        """Of each criterion, whether its verdicts differ between rollouts: otherwise it moves no advantage."""
        columns = zip(*self.verdicts_GC, strict=True)
        values = [{verdict.value for verdict in column} - {None} for column in columns]
        return tuple(len(column) > 1 for column in values)

    def to_frame(self) -> pd.DataFrame:
        """Make a table with a row per rollout (from 1) and criterion: verdict, reason, probability, reward."""
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
    """Book one generation for a reply whose model counts none, but not for a failed call."""
    usage = reply.usage or Usage(None, None, None, None)
    if reply.error is not None or usage.generations:
        return reply
    return replace(reply, usage=replace(usage, generations=1))


# What a reward reads: a sampled text, or one that an estimator made.
Response = Rollout | Reference
# An estimator makes a reference of a group; a reward scores each of its rollouts, None where it cannot.
Estimator = Callable[[Group], Awaitable[Reference]]
Reward = Callable[[Group, Reference], Awaitable[list[float | None]]]
Progress = Callable[[int, int], None]  # called with (questions done, questions)
