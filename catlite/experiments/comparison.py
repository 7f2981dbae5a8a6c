"""The two evaluations of `compare`: as a table of systems, and question by question (read on in gains.py)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catlite.averages import mean_and_error
from catlite.cards import html_table, notes_html
from catlite.errors import ConfigError, StoreError
from catlite.experiments import gains
from catlite.results import Evaluation
from catlite.runs.evaluation_file import FILE
from catlite.text import data_frame, short, table

if TYPE_CHECKING:
    import pandas as pd

BEFORE, AFTER = "before", "after"  # folders of a run, each with the evaluation of its model


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`: an Evaluation of each model.

    Args:
        before: the evaluation of the model before.
        after: that of the model after, on the same questions.

    Raises:
        ConfigError: where their questions differ.

    Example:
        >>> comparison = catlite.compare(trained.initial, trained.policy, task)
        >>> comparison.changes()
    """

    before: Evaluation = field(repr=False)
    after: Evaluation = field(repr=False)

    def __post_init__(self) -> None:
        prompts = bool(self.before.groups and self.after.groups)
        was, now = (_questions(evaluation, prompts) for evaluation in (self.before, self.after))
        other = [position for position in was if position in now and was[position] != now[position]]
        if other:
            name = next(row.id for row in self.before.rows if row.position == other[0])
            raise ConfigError(
                f"{len(other)} questions differ before and after, such as {name!r:.60} at position {other[0]}: want "
                "two evaluations of the same task, whose questions are compared by their position"
            )

    @classmethod
    def load(cls, run: str | Path) -> Comparison:
        """Read what `compare` has kept.

        Args:
            run: the folder that was its run=.

        Raises:
            StoreError: when it holds no finished comparison.

        Example:
            >>> print(catlite.Comparison.load("runs/compared"))
        """
        files = [file_of(Path(run).expanduser(), name) for name in (BEFORE, AFTER)]
        for file in files:
            if not file.is_file():
                raise StoreError(
                    f"{str(run)!r} has no finished comparison ({file} is not there): call compare(…, "
                    f"run={str(run)!r}) to its end; what was paid for is not asked again"
                )
        return cls(*map(Evaluation.load, files))

    def to_frame(self, threshold: float | None = None) -> pd.DataFrame:
        """Make a DataFrame with a row per system: both scores, and the difference over the questions both have.

        A question's score is the mean over its repeats, and of the single sample over its rollouts (avg@n). Below it
        stands pass@n, as `pass_at_k` has it: training that only makes samples agree raises the first and not the
        second.

        Args:
            threshold: the score from which a rollout is right, where scores are not just 0 and 1; None leaves out
                pass@n then.

        Returns:
            Columns before, before_se, after, after_se, difference, difference_se (paired), questions.
        """
        return data_frame(self._rows(threshold)).set_index("system")

    def changes(self, threshold: float | None = None) -> pd.DataFrame:
        """Tell what the gain of a single sample is made of: questions that were learned, kept, lost, or never right.

        By the graded samples of a question, those of all its repeats. Learned: all wrong before, some right after.
        Kept: some right before and after. Lost: some right before, all wrong after. Never: all wrong in both. A model
        that did not change learns and loses some as well, because samples differ, so each stands beside what chance
        would bring: the same samples, dealt out anew as before and after.

        Args:
            threshold: the score from which a sample is right, needed where scores are not just 0 and 1.

        Returns:
            A row per change. Columns: questions; share of all, and share_se; by_chance, the share to expect if nothing
            had changed; gain, the part of the single sample's difference that comes from these questions, and gain_se.
            Standard errors are over questions.

        Raises:
            ConfigError: for scores between 0 and 1 without a threshold.

        Example:
            >>> comparison = catlite.Comparison.load("runs/compared")
            >>> comparison.changes().loc["learned", ["share", "by_chance", "gain"]]
        """
        return data_frame(gains.summarize(gains.by_question(self.before, self.after, threshold))).set_index("change")

    def by_question(self, threshold: float | None = None) -> pd.DataFrame:
        """Tell of each question whether it was learned, kept, lost or never right, as `changes` defines these.

        Args:
            threshold: as in `changes`.

        Returns:
            A row per question that has graded samples before and after. Columns: id; change; right_before and
            samples_before, right_after and samples_after; gain, the difference of both shares.

        Raises:
            ConfigError: for scores between 0 and 1 without a threshold.

        Example:
            >>> comparison.by_question().query("change == 'lost'").id
        """
        return data_frame(gains.by_question(self.before, self.after, threshold), gains.COLUMNS)

    def _rows(self, threshold: float | None = None) -> list[dict[str, Any]]:
        """List the systems, with pass@n below the single sample where it can be told."""
        both = self.before, self.after
        rows = [self._row(name, *(evaluation.scores(name) for evaluation in both)) for name in self.before.systems]
        with suppress(ConfigError):
            n = min(evaluation.n for evaluation in both)
            rows.insert(1, self._row(f"pass@{n}", *(gains.pass_at(n, evaluation, threshold) for evaluation in both)))
        return rows

    def _row(self, system: str, was: dict[int, float], now: dict[int, float]) -> dict[str, Any]:
        before, before_se = mean_and_error(was.values())
        after, after_se = mean_and_error(now.values())
        paired = [now[position] - was[position] for position in was if position in now]
        difference, difference_se = mean_and_error(paired)
        return {
            "system": system,
            "before": before,
            "before_se": before_se,
            "after": after,
            "after_se": after_se,
            "difference": difference,
            "difference_se": difference_se,
            "questions": len(paired),
        }

    def _cells(self) -> list[list[str]]:
        cells = [["system", "before", "after", "difference", "questions"]]
        for row in self._rows():
            pairs = [f"{row[name]:.3f} ± {row[f'{name}_se']:.3f}" for name in ("before", "after")]
            difference = f"{row['difference']:+.3f} ± {row['difference_se']:.3f}"
            cells.append([row["system"], *pairs, difference, str(row["questions"])])
        return cells

    def _change_cells(self) -> list[list[str]]:
        """List what changed, or nothing where no threshold says which samples are right."""
        with suppress(ConfigError):
            changes = gains.summarize(gains.by_question(self.before, self.after))
            cells = [["samples right", "questions", "share", "by chance", "gain"]]
            for row in changes:
                pairs = [f"{row['share']:.3f} ± {row['share_se']:.3f}", f"{row['by_chance']:.3f}"]
                gain = f"{row['gain']:+.3f} ± {row['gain_se']:.3f}"
                cells.append([gains.WORDS[row["change"]], str(row["questions"]), *pairs, gain])
            return cells
        return []

    @property
    def _title(self) -> str:
        return f"{self.before.task}: {self.before.policy} → {self.after.policy} (± standard error over questions)"

    @property
    def _notes(self) -> list[str]:
        """The notes on each evaluation, for a reader of the table."""
        both = zip((BEFORE, AFTER), (self.before, self.after), strict=True)
        return [f"{name}: {note}" for name, evaluation in both for note in evaluation.notes]

    def __repr__(self) -> str:
        return f"<Comparison {short(self._title, 200)}>"

    def __str__(self) -> str:
        tables = [table(cells, right=range(1, 5)) for cells in (self._cells(), self._change_cells()) if cells]
        return "\n".join([self._title, "\n\n".join(tables), *self._notes])

    def _repr_html_(self) -> str:
        changes = self._change_cells()
        below = html_table("What the gain of a single sample is made of", changes) if changes else ""
        return html_table(self._title, self._cells()) + below + notes_html(self._notes)


def _questions(evaluation: Evaluation, prompts: bool) -> dict[int, Any]:
    """Give the id of each question by its position, with its prompt if `prompts`."""
    names = {row.position: row.id for row in evaluation.rows}
    if not prompts:
        return names
    groups = {position: evaluation.group(position) for position in names}
    return {position: (names[position], group and group.example.messages) for position, group in groups.items()}


def file_of(run: Path, name: str) -> Path:
    """Give the file in which a run keeps the evaluation before or after."""
    return run / name / FILE
