"""Recursive synthesis: subsets of a group, then their syntheses, until one is left.

The paper leaves this open (arXiv 2509.14234 §3.1 shows the anchor all rollouts at once). It is for groups longer than
an anchor's context or attention, at the price of more calls. Left out: subsets by content; they follow sampled order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import ClassVar

from catlite import concurrency
from catlite.checks import whole_number
from catlite.coerce import hold_models
from catlite.data import Group, Reference, Response
from catlite.errors import BudgetReached, EstimationError, ModelError
from catlite.models.base import Model, check_sampling, shown_name
from catlite.references.synthesis import Synthesis
from catlite.runs.session import metered
from catlite.text import plural
from catlite.usage import Usage


@dataclass(frozen=True)
class RecursiveSynthesis:
    """An estimator that synthesizes at most `width` texts at a time.

    The subsets of a level are as equal in size as can be and are synthesized at once; a subset of one text passes to
    the next level unchanged. 8 rollouts and width 4 take 3 calls, 16 take 5. `usage` is the sum of all calls, and a
    note says how many there were.

    Args:
        anchor: the frozen model that reconciles the texts.
        width: texts that the anchor sees at a time, at least 2; 4.
        include_question: as in Synthesis; False.
        temperature: as in Synthesis; 0.0.
        max_tokens: as in Synthesis; None.
        worked: as in Synthesis; none.
        weigh: as in Synthesis; False.

    Raises:
        ConfigError: for a wrong parameter, or a width below 2.
        EstimationError: when called, where any of the syntheses fails. It keeps the group.

    Example:
        >>> reference = await RecursiveSynthesis(anchor, width=4)(group)
    """

    shows_question: ClassVar = ("anchor", "include_question")

    anchor: Model
    width: int = 4
    include_question: bool = False
    temperature: float | None = 0.0
    max_tokens: int | None = None
    worked: tuple[tuple[tuple[str, ...], str], ...] = ()
    weigh: bool = False

    def __post_init__(self) -> None:
        hold_models(self, "anchor")
        check_sampling({"temperature": self.temperature, "max_tokens": self.max_tokens})
        whole_number("width", self.width, 2, hint=", or the texts never get fewer")

    async def __call__(self, group: Group) -> Reference:
        """The reference of `group`."""
        if not group.usable:
            raise EstimationError(f"no rollout to synthesize from: {group!r}", group, None, bool(group.replies))
        notes = group.left_out()
        made: list[Reference] = []
        level, levels = group.usable, 0
        while not made or len(level) > 1:
            subsets = split(level, self.width)
            several = [subset for subset in subsets if len(subset) > 1] or subsets
            references = await self._synthesized(group, several, Usage.total(reference.usage for reference in made))
            alone = [rollout for subset in subsets if subset not in several for rollout in subset]
            # A text that was cut off still says more than none: its note stays with the reference.
            texts = (replace(reference, truncated=False) for reference in references)
            level = (*texts, *alone)
            made += references
            levels += 1
        notes += dict.fromkeys(note for reference in made for note in reference.notes)
        calls = plural(len(made), "synthesis call")
        notes.append(f"{calls} on {plural(levels, 'level')}, of at most {self.width} texts each")
        last = made[-1]
        usage = Usage.total(reference.usage for reference in made)
        return Reference(
            last.text,
            last.answer,
            "RecursiveSynthesis",
            group,
            usage=usage,
            notes=tuple(notes),
            truncated=last.truncated,
            anchor=shown_name(self.anchor),
        )

    async def _synthesized(self, group: Group, subsets: list[tuple[Response, ...]], spent: Usage) -> list[Reference]:
        synthesis = Synthesis(
            self.anchor, self.include_question, self.temperature, self.max_tokens, self.worked, weigh=self.weigh
        )

        async def synthesize(subset: tuple[Response, ...]) -> Reference | EstimationError:
            try:
                return await synthesis(Group(group.example, subset))
            except EstimationError as error:
                return error  # the others are being paid for

        with metered() as costs:
            try:
                outcomes = await concurrency.together(map(synthesize, subsets))
            except (ModelError, BudgetReached) as error:
                error.usage = Usage.total([spent, *costs])
                raise
        references = [outcome for outcome in outcomes if isinstance(outcome, Reference)]
        failures = [outcome for outcome in outcomes if isinstance(outcome, EstimationError)]
        if failures:
            total = Usage.total([spent, *(outcome.usage or Usage() for outcome in outcomes)])
            unanswered = all(failure.unanswered for failure in failures)
            raise EstimationError(str(failures[0]), group, total, unanswered)  # the whole group, not the subset
        return references


def split(rollouts: tuple[Response, ...], width: int) -> list[tuple[Response, ...]]:
    """`rollouts` in order, in as few runs of at most `width` as there can be, as equal in size as can be."""
    runs = -(-len(rollouts) // width)
    edges = [len(rollouts) * number // runs for number in range(runs + 1)]
    return [rollouts[start:end] for start, end in pairwise(edges)]
