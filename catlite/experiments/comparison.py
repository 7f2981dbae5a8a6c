"""The two evaluations of `compare`, as one table, and the systems that are its rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catlite.averages import mean_and_error
from catlite.cards import html_table, notes_html
from catlite.coerce import estimator_name
from catlite.data import Estimator, Task
from catlite.errors import StoreError
from catlite.models.base import Model
from catlite.references.greedy import Greedy
from catlite.references.synthesis import Synthesis
from catlite.references.vote import MajorityVote
from catlite.results import Evaluation
from catlite.runs.evaluation_file import FILE
from catlite.text import data_frame, short, table

if TYPE_CHECKING:
    import pandas as pd

BEFORE, AFTER = "before", "after"  # folders of a run, each with the evaluation of its model


@dataclass(frozen=True)
class Comparison:
    """The result of `compare`: an Evaluation of each model."""

    before: Evaluation = field(repr=False)
    after: Evaluation = field(repr=False)

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

    def to_frame(self) -> pd.DataFrame:
        """Make a DataFrame with a row per system: both scores, and the difference over the questions both have.

        A question's score is the mean over its repeats. Columns: before, before_se, after, after_se, difference,
        difference_se (paired), questions.
        """
        return data_frame([self._row(system) for system in self.before.systems]).set_index("system")

    def _row(self, system: str) -> dict[str, Any]:
        was, now = self.before.scores(system), self.after.scores(system)
        changes = [now[position] - was[position] for position in was if position in now]
        before, before_se, _ = self.before.score(system)
        after, after_se, _ = self.after.score(system)
        difference, difference_se = mean_and_error(changes)
        return {
            "system": system,
            "before": before,
            "before_se": before_se,
            "after": after,
            "after_se": after_se,
            "difference": difference,
            "difference_se": difference_se,
            "questions": len(changes),
        }

    def _cells(self) -> list[list[str]]:
        cells = [["system", "before", "after", "difference", "questions"]]
        for system in self.before.systems:
            row = self._row(system)
            pairs = [f"{row[name]:.3f} ± {row[f'{name}_se']:.3f}" for name in ("before", "after")]
            cells.append(
                [system, *pairs, f"{row['difference']:+.3f} ± {row['difference_se']:.3f}", str(row["questions"])]
            )
        return cells

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
        return "\n".join([self._title, table(self._cells(), right=range(1, 5)), *self._notes])

    def _repr_html_(self) -> str:
        return html_table(self._title, self._cells()) + notes_html(self._notes)


def file_of(run: Path, name: str) -> Path:
    """Give the file in which a run keeps the evaluation before or after."""
    return run / name / FILE


def systems(
    task: Task, model: Model, synthesis: Estimator, n: int, sampling: Mapping[str, Any]
) -> dict[str, Estimator]:
    """Give the estimators that stand beside the single sample, by their names in the table."""
    estimators: dict[str, Estimator] = {"greedy": Greedy(model, sampling)}
    if task.verifiable:
        estimators[f"majority of {n}"] = MajorityVote()
    name = f"synthesis of {n}" if isinstance(synthesis, Synthesis) else estimator_name(synthesis)
    return estimators | {f"{name} 2" if name in estimators else name: synthesis}
