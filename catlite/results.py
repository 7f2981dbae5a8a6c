"""The results of an evaluation: a Row per question, repeat and system, their means, and the table of these.

A question's score is the mean over its repeats; means and standard errors are over questions.
"""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from catlite import cards
from catlite.averages import mean_and_error, relative_gain
from catlite.data import Group, Judgement, Reference
from catlite.errors import ConfigError
from catlite.members import Sampled, count_members, member_cells
from catlite.references.synthesis import SPARED
from catlite.rollouts import unanswered
from catlite.runs import evaluation_file
from catlite.runs.session import distinct
from catlite.text import WIDTH, count, data_frame, dollars, fitted, plural, rounded, short, table, usage_text, width_of
from catlite.usage import Usage

if TYPE_CHECKING:
    import pandas as pd

SINGLE = "single sample"
_MEMBERS = "Members of the panel; own, others: share of pairs of replies with equal answers"
_HEAD = ("task", "policy", "n", "seconds", "stopped", "n_repeats")  # what a file says of an evaluation once


@dataclass(frozen=True, slots=True)
class Row:
    """One system on one question.

    `score` is None when no reply came or none could be graded, and `error` says why. An estimator whose calls were all
    answered, without a reference among the answers, scores 0, and `error` says why it had none.
    """

    position: int  # of the question in the task
    id: str
    system: str
    score: float | None
    generations: float  # replies drawn for one answer: 1 for a single sample, n + 1 for synthesis
    usage: Usage
    reference: Reference | None = field(default=None, repr=False)
    error: str | None = None
    scores: tuple[float | None, ...] = ()  # of each rollout that was graded; of the reference alone for an estimator
    judgement: Judgement | None = field(default=None, repr=False)  # the verdicts behind the score, by a rubric
    judging: Usage | None = field(default=None, repr=False)  # what grading cost, failed or not; None without a judge
    repeat: int = 0  # which of the question's groups of rollouts
    notes: tuple[str, ...] = ()  # on the grading, for a reader of the table

    @property
    def answer(self) -> str | None:
        """The answer of the reference."""
        return self.reference.answer if self.reference is not None else None

    @property
    def abstained(self) -> bool:
        """True when the estimator chose to give no reference, which scores 0 as any question without an answer."""
        return self.reference is not None and self.reference.abstained


@dataclass(frozen=True)
class Evaluation:
    """The result of `evaluate`: a Row per question, repeat and system, and the references behind them."""

    task: str
    policy: str
    n: int
    rows: tuple[Row, ...] = field(repr=False)
    seconds: float  # wall time of the whole evaluation
    stopped: str | None = None  # why not every question was done, when a budget ended it
    # All questions of the first repeat by position, then those of the next; without rollouts where it was not done.
    groups: tuple[Group, ...] = field(default=(), repr=False)
    n_repeats: int = 1

    @property
    def references(self) -> list[Reference]:
        """All references, by repeat, question and then estimator."""
        return [row.reference for row in self.rows if row.reference is not None]

    @property
    def defects(self) -> dict[str, int]:
        """How many replies no estimator could use, by reason: {"truncated": 2, "empty": 1}."""
        reasons = Counter(reply.defect for group in self.groups for reply in group.replies)
        return {reason: count for reason, count in reasons.items() if reason is not None}

    @property
    def judging(self) -> Usage | None:
        """The usage of grading, failed attempts included, which no system's cost includes; None without a judge."""
        judged = [row.judging for row in self.rows if row.judging is not None]
        return Usage.total(judged) if judged else None

    @property
    def systems(self) -> list[str]:
        """The names of the systems, the single sample first."""
        return list(dict.fromkeys(row.system for row in self.rows))

    def group(self, position: int, repeat: int = 0) -> Group | None:
        """Give the rollouts of a question in one repeat; None when the evaluation was made without them."""
        if self.groups:
            return self.groups[repeat * (len(self.groups) // self.n_repeats) + position]
        references = (row.reference for row in self.rows if (row.position, row.repeat) == (position, repeat))
        return next((reference.group for reference in references if reference is not None), None)

    @property
    def sampled(self) -> list[Sampled]:
        """The groups of rollouts, with the score of each rollout."""
        singles = (row for row in self.rows if row.system == SINGLE)
        groups = ((row, self.group(row.position, row.repeat)) for row in singles)
        return [Sampled(row.position, group, row.scores) for row, group in groups if group is not None]

    def scores(self, system: str, *, abstained: bool = True) -> dict[int, float]:
        """Give the system's score on every question that was graded, by position: the mean over repeats.

        Args:
            system: its name in the table.
            abstained: whether questions on which it abstained count, as 0; True.

        Returns:
            Scores by the question's position in the task.
        """
        scores: dict[int, list[float]] = {}
        for row in self.rows:
            if row.system == system and row.score is not None and (abstained or not row.abstained):
                scores.setdefault(row.position, []).append(row.score)
        return {position: fmean(of_repeats) for position, of_repeats in scores.items()}

    def score(self, system: str, *, abstained: bool = True) -> tuple[float, float, int]:
        """Give (mean, standard error over questions, questions graded); nan where there are too few.

        Args:
            system: its name in the table.
            abstained: whether questions on which it abstained count, as 0; True. Without them it is the score among
                those that it answered, and the third figure over that of all is its coverage.

        Returns:
            Mean, standard error and number of questions.

        Example:
            >>> evaluation.score("MajorityVote")
            (0.71, 0.05, 81)
        """
        scores = self.scores(system, abstained=abstained).values()
        return *mean_and_error(scores), len(scores)

    def to_frame(self) -> pd.DataFrame:
        """Make a DataFrame with a row per question, repeat and system, and usage in columns of its own."""
        usage = ("prompt_tokens", "completion_tokens", "cached_tokens", "cost_usd", "requests", "seconds")
        names = ("id", "repeat", "system", "score", "answer", "error", "generations")
        return data_frame(
            [
                {name: getattr(row, name) for name in names} | {name: getattr(row.usage, name) for name in usage}
                for row in self.rows
            ]
        )

    @property
    def summary(self) -> pd.DataFrame:
        """One row per system: its score, the standard error over questions, and what it cost in all.

        relative_gain is over the single sample, on the questions both were graded on; generations are the replies
        drawn for one answer, whatever requests that took; compute is test-time compute, in generations per question,
        as a multiple of the single sample's; failed counts rows without a score; abstained counts those on
        which the system chose to give no answer, which score 0; waiting is seconds summed over requests, many of which
        were under way at once (`seconds` of the evaluation is the time that it took).
        """
        return data_frame(self._totals()).set_index("system")

    def _totals(self) -> list[dict[str, Any]]:
        alone = self.scores(SINGLE)
        once = math.nan
        totals: list[dict[str, Any]] = []
        for system in self.systems:
            rows = [row for row in self.rows if row.system == system]
            usage = Usage.total(row.usage for row in rows)
            score, error, graded = self.score(system)
            generations = fmean([row.generations for row in rows if row.score is not None] or [math.nan])
            once = generations if system == SINGLE else once
            totals.append(
                {
                    "system": system,
                    "score": score,
                    "se": error,
                    "relative_gain": math.nan if system == SINGLE else relative_gain(self.scores(system), alone),
                    "graded": graded,
                    "questions": len({row.position for row in rows}),
                    "failed": sum(row.score is None for row in rows),
                    "abstained": sum(row.abstained for row in rows),
                    "generations": generations,
                    "compute": generations / once,
                    "requests": usage.requests,
                    "prompt_tokens": usage.prompt_tokens,
                    "completion_tokens": usage.completion_tokens,
                    "waiting": usage.seconds,
                    "cost_usd": usage.cost_usd,
                }
            )
        return totals

    def save(self, path: str | Path) -> Path:
        """Write everything as JSON, readable by the owner only, whole or not at all.

        Metadata of examples that JSON cannot hold is kept as its repr.

        Args:
            path: the file, or a folder, which gets evaluation.json.

        Returns:
            The path of the file.

        Raises:
            StoreError: when it cannot be written.
        """
        head = {name: getattr(self, name) for name in _HEAD}
        return evaluation_file.save(Path(path), head, self.groups, (_row_fields(row, self) for row in self.rows))

    @classmethod
    def load(cls, path: str | Path) -> Evaluation:
        """Read what `save`, or `evaluate` at the end of a run, wrote.

        Args:
            path: the file, or the folder of a run.

        Raises:
            StoreError: when there is no evaluation, or one of another version.

        Example:
            >>> catlite.Evaluation.load("runs/gsm8k").score("Synthesis")
        """
        return evaluation_file.load(Path(path), _read)

    def __repr__(self) -> str:
        systems = ", ".join(short(f"{name} {self.score(name)[0]:.3f}") for name in self.systems[:6])
        return f"<Evaluation of {short(self.policy)} on {short(self.task)}: {systems}>"

    def __str__(self) -> str:
        totals = self._totals()
        legend = "gen.: generations per question; in, out: tokens" + ("" if _priced(totals) else "; cost unknown")
        title = textwrap.fill(f"{self._title}. {legend}", WIDTH, break_on_hyphens=False, break_long_words=False)
        head, *rows = _cells(totals, narrow=True)
        room = WIDTH - sum(2 + max(map(len, column)) for column in list(zip(head, *rows, strict=True))[1:])
        shown = [head, *([_shortened(name, room), *cells] for name, *cells in rows)]
        parts = [title, table(shown, right=range(1, len(head)))]
        if members := count_members(self.sampled, at_once=True):
            cells = fitted(member_cells(members, narrow=True), [0])
            parts += [f"\n{_MEMBERS}:", table(cells, right=range(1, len(cells[0])))]
        return "\n".join([*parts, *self.notes])

    def _repr_html_(self) -> str:
        members = count_members(self.sampled, at_once=True)
        shares = cards.html_table(_MEMBERS, member_cells(members)) if members else ""
        return cards.html_table(self._title, _cells(self._totals())) + shares + cards.notes_html(self.notes)

    @property
    def _title(self) -> str:
        questions = plural(len({row.position for row in self.rows}), "question")
        times = f" × {self.n_repeats} repeats" if self.n_repeats > 1 else ""
        what = f"{self.task}, {questions}{times}, policy {self.policy}, {self.seconds:,.1f} s in all"
        return f"{what} (± standard error over questions)"

    @property
    def notes(self) -> list[str]:
        """Sentences for a reader of the table: replies that were cut off, references that are missing, an early end."""
        notes = []
        asked, replies = (sum(len(getattr(group, part)) for group in self.groups) for part in ("rollouts", "replies"))
        if failed := asked - replies:
            notes.append(f"{failed:,} of {asked:,} rollouts did not come: scores are means over the others.")
        if lacking := sum(self.defects.values()):
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in self.defects.items())
            notes.append(
                f"Not whole: {lacking:,} of {replies:,} rollouts ({reasons}). They are scored as they are, 0 without "
                "an answer."
            )
        notes += unanswered(self.groups)
        for member in count_members(self.sampled, at_once=True):
            if member["failed"]:
                lost = f"{member['failed']:,} of {plural(member['rollouts'], 'reply', 'replies')}"
                notes.append(f"{short(member['model'])} failed to give {lost}: {short(member['error'], 200)}")
        for system in self.systems:
            scored = [row for row in self.rows if row.system == system and row.score is not None]
            without = sum(row.error is not None for row in scored)
            if without:
                notes.append(f"{system} had no reference in {without:,} of {len(scored):,} cases, which scores 0.")
            if abstained := sum(row.abstained for row in scored):
                score, error, _ = self.score(system, abstained=False)
                rest = f"; it scores {score:.3f} ± {error:.3f} on those that it answered"
                notes.append(
                    f"{system} abstained in {abstained:,} of {len(scored):,} cases, which scores 0"
                    f"{rest if abstained < len(scored) else ''}."
                )
            if spared := sum(
                any(note.startswith(SPARED) for note in (row.reference.notes if row.reference else ()))
                for row in scored
            ):
                notes.append(f"{system} made no call in {spared:,} of {len(scored):,} cases: enough rollouts agreed.")
        notes += [f"Grading: {note}." for note in distinct(note for row in self.rows for note in row.notes)]
        if (judging := self.judging) is not None:
            notes.append(f"Judging, which is in no row: {usage_text(judging)}.")
        return notes + ([] if self.stopped is None else [f"Stopped early: {self.stopped}."])


def as_evaluation(evaluation: str | Path | Evaluation) -> Evaluation:
    """Give `evaluation`, or load the one that is kept at that path.

    Raises:
        StoreError: when there is none at the path.
        ConfigError: for what is neither.
    """
    if isinstance(evaluation, str | Path):
        return Evaluation.load(evaluation)
    if not isinstance(evaluation, Evaluation):
        raise ConfigError(f"want an Evaluation, or the folder of one, not {type(evaluation).__name__}")
    return evaluation


# --- as a table ---


def _priced(totals: Sequence[Mapping[str, Any]]) -> bool:
    return any(total["cost_usd"] is not None for total in totals)


def _cells(totals: Sequence[Mapping[str, Any]], narrow: bool = False) -> list[list[str]]:
    """List headings, then a row per system; `narrow` rounds tokens and leaves out requests and unknown prices."""
    number = rounded if narrow else count
    priced = not narrow or _priced(totals)
    wide = ["gen./question", "requests", "tokens in", "tokens out"]
    head = ["system", "score ± SE", "gain", *(["gen.", "in", "out"] if narrow else wide), *(["cost"] if priced else [])]
    rows = [head]
    for total in totals:
        error = "?" if math.isnan(total["se"]) else f"{total['se']:.3f}"
        row = [
            short(total["system"]) + (f" ({total['failed']} failed)" if total["failed"] else ""),
            "?" if math.isnan(total["score"]) else f"{total['score']:.3f} ± {error}",
            "" if math.isnan(total["relative_gain"]) else f"{total['relative_gain']:+.0%}",
            "?" if math.isnan(total["generations"]) else f"{total['generations']:.0f}",
            *([] if narrow else [count(total["requests"])]),
            number(total["prompt_tokens"]),
            number(total["completion_tokens"]),
        ]
        cost = dollars(total["cost_usd"])
        rows.append(row + ([cost.removeprefix("cost ") if narrow else cost] if priced else []))
    return rows


def _shortened(name: str, room: int) -> str:
    """Shorten a system's name to `room` columns; what is said in brackets at its end stays."""
    if width_of(name) <= room:
        return name
    begin, bracket, end = name.rpartition(" (")
    end = bracket + end if begin else ""
    return short(begin or name, max(8, room - width_of(end))) + end


# --- on disk ---


def _row_fields(row: Row, evaluation: Evaluation) -> dict[str, Any]:
    fields = evaluation_file.plain(row)
    if row.reference is not None:
        shared = bool(evaluation.groups) and evaluation.group(row.position, row.repeat) == row.reference.group
        fields["reference"] = evaluation_file.reference_fields(row.reference, shared)
    if row.judgement is not None:
        fields["judgement"] = evaluation_file.judgement_fields(row.judgement)
    return fields


def _read(document: dict[str, Any]) -> Evaluation:
    groups = tuple(evaluation_file.read_group(group) for group in document["groups"])
    head = {name: document[name] for name in _HEAD if name != "n_repeats"}
    empty = Evaluation(rows=(), groups=groups, n_repeats=document.get("n_repeats", 1), **head)
    return replace(empty, rows=tuple(_read_row(row, empty) for row in document["rows"]))


def _read_row(fields: dict[str, Any], evaluation: Evaluation) -> Row:
    group = evaluation.group(fields["position"], fields.get("repeat", 0))
    reference, judgement = fields["reference"], fields.get("judgement")
    judging = fields.get("judging", judgement and judgement["usage"])  # an earlier catlite has the latter alone
    if reference is not None:
        reference = evaluation_file.read_reference(reference, group)
    if judgement is not None:
        # What was judged is what was scored: the reference of the row, or the rollouts of its question.
        scored = group if reference is None else reference.alone
        if scored is None:
            raise KeyError("groups")
        judgement = evaluation_file.read_judgement(judgement, scored)
    parts = {"usage": Usage(**fields["usage"]), "scores": tuple(fields["scores"]), "reference": reference}
    graded = {"judgement": judgement, "judging": None if judging is None else Usage(**judging)}
    return Row(**fields | parts | graded | {"notes": tuple(fields.get("notes", ()))})
