"""Before and after: two models on the same questions, in all four ways one can ask them, question by question.

A single sample alone would flatter training, which mostly makes samples agree: greedy decoding and a majority vote of
the model it began with may well be as good. So always all four. Left out: more than two models; `evaluate` does one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from catlite import concurrency
from catlite.cards import html_table, notes_html
from catlite.coerce import as_task, check_estimator, estimator_name
from catlite.data import Estimator, Example, Group, Prompt, Reference, Reward, Task, counted
from catlite.errors import EstimationError, StoreError
from catlite.evaluation import aevaluate
from catlite.models import ask
from catlite.models.base import Model, check_n, check_sampling, token_limit
from catlite.models.naming import opened
from catlite.references.selection import MajorityVote
from catlite.references.synthesis import Synthesis
from catlite.results import Evaluation, mean_and_error
from catlite.rollouts import continuing
from catlite.runs.budget import Budget
from catlite.runs.evaluation_file import FILE
from catlite.runs.progress import Progress
from catlite.runs.session import open_run
from catlite.text import data_frame, short, table
from catlite.usage import Usage

if TYPE_CHECKING:
    import pandas as pd

_FOLDERS = ("before", "after")  # of a run, each with the evaluation of its model


@dataclass(frozen=True)
class Comparison:
    """What `compare` found: an Evaluation of each model."""

    before: Evaluation = field(repr=False)
    after: Evaluation = field(repr=False)

    @classmethod
    def load(cls, run: str | Path) -> Comparison:
        """What `compare` has kept in the folder `run`. Raises StoreError when it holds no finished comparison."""
        files = [Path(run).expanduser() / name / FILE for name in _FOLDERS]
        for file in files:
            if not file.is_file():
                raise StoreError(
                    f"{str(run)!r} has no finished comparison ({file} is not there): call compare(…, "
                    f"run={str(run)!r}) to its end; what was paid for is not asked again"
                )
        return cls(*map(Evaluation.load, files))

    def to_frame(self) -> pd.DataFrame:
        """One row per system: both scores and the difference over the questions both were graded on.

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
        """What a reader of the table has to know of each evaluation."""
        both = zip(_FOLDERS, (self.before, self.after), strict=True)
        return [f"{name}: {note}" for name, evaluation in both for note in evaluation.notes]

    def __repr__(self) -> str:
        return f"<Comparison {short(self._title, 200)}>"

    def __str__(self) -> str:
        return "\n".join([self._title, table(self._cells(), right=range(1, 5)), *self._notes])

    def _repr_html_(self) -> str:
        return html_table(self._title, self._cells()) + notes_html(self._notes)


def compare(
    before: str | Model,
    after: str | Model,
    task: str | Task | Iterable[Example | Prompt],
    *,
    synthesis: Estimator | None = None,
    grader: Reward | None = None,
    n: int = 8,
    n_repeats: int = 1,
    run: str | Path | None = None,
    budget: Budget | None = None,
    progress: bool | Progress | None = None,
    **sampling: Any,
) -> Comparison:
    """Scores two models on `task` as a single sample, greedy, by a majority vote of n and by a synthesis of n.

    After training: `compare(trained.initial, trained.policy, task)`. The vote is left out where the task has no answer
    formats.

    Args:
        before: the model before, or its name; also the anchor of both syntheses by default, as in training.
        after: the model after, or its name.
        task: the questions, with what they are graded by.
        synthesis: the estimator of the last row; by default `Synthesis(before)`.
        grader: a reward; by default AnswerMatch.
        n: rollouts per question and repeat, 8 by default.
        n_repeats: how often each question is sampled anew, 1 by default; its score is the mean over the repeats.
        run: a folder in which every reply is kept, so that the same call goes on where it ended, and both evaluations,
            as `before/evaluation.json` and `after/evaluation.json`; `Comparison.load` reads them. None keeps nothing.
        budget: one cap on all that both models, anchor and judge spend, resumed parts included; None is no cap.
        progress: True shows a bar for each model; a function is called with (questions done, questions) of each.
        **sampling: parameters of the rollouts, such as max_tokens; greedy decoding leaves out those by which one draws.

    Returns:
        Both evaluations, with a table of the four systems.

    Raises:
        ConfigError: for wrong arguments, such as a task without answers and no grader.
        ModelError: when an endpoint refuses altogether.
        StoreError: when the run's folder cannot be used or written.

    Example:
        >>> print(catlite.compare("old-model", "new-model", catlite.times_tables(20), n_repeats=2))
        >>> catlite.compare(trained.initial, trained.policy, task, run="runs/compared", budget=Budget(usd=5))
    """
    check_n(n)
    check_sampling(sampling, compare)
    if synthesis is not None:
        check_estimator(synthesis)
    questions = as_task(task, "compare", instead="one Example with its answer, Example(text, answer)")

    async def work() -> Comparison:
        evaluations: list[Evaluation] = []
        async with opened(before) as first, opened(after) as second:
            last = synthesis or Synthesis(first, max_tokens=token_limit(check_sampling(sampling)))
            # One store and one budget for both: what the first spends is not there for the second.
            with open_run(run, budget) as store:
                for model, name in zip((first, second), _FOLDERS, strict=True):
                    with continuing(begun=bool(evaluations)):
                        evaluation = await aevaluate(
                            questions,
                            model,
                            estimators=_systems(questions, n, Greedy(model, sampling), last),
                            grader=grader,
                            n=n,
                            n_repeats=n_repeats,
                            progress=progress,
                            **sampling,
                        )
                    if run is not None and store is not None:
                        evaluation.save(store.folder / name / FILE)
                    evaluations.append(evaluation)
        return Comparison(*evaluations)

    return concurrency.run(work())


def _systems(task: Task, n: int, greedy: Estimator, synthesis: Estimator) -> dict[str, Estimator]:
    """The estimators under the names of the table."""
    systems: dict[str, Estimator] = {"greedy": greedy}
    if task.verifiable:
        systems[f"majority of {n}"] = MajorityVote()
    name = f"synthesis of {n}" if isinstance(synthesis, Synthesis) else estimator_name(synthesis)
    return systems | {f"{name} 2" if name in systems else name: synthesis}


@dataclass(frozen=True)
class Greedy:
    """An estimator that leaves the rollouts aside and asks `model` once more, at temperature 0."""

    needs_usable: ClassVar = False  # so it is asked, too, where no rollout can be read
    reads_rollouts: ClassVar = False  # and what they cost is no part of its own cost

    model: Model
    sampling: Mapping[str, Any] = field(default_factory=dict)

    async def __call__(self, group: Group) -> Reference:
        """The greedy reply to the group's question; EstimationError when the call fails."""
        left_out = ("top_k", "top_p", "min_p", "seed")
        settings = {name: value for name, value in self.sampling.items() if name not in left_out}
        (reply,) = await ask.sample(self.model, group.example.prompt, 1, **{**settings, "temperature": 0.0})
        reply = counted(reply)
        usage = Usage.total([reply.usage])
        if reply.error is not None:
            raise EstimationError(f"the greedy reply of {self.model.name!r} failed: {reply.error}", group, usage)
        answer = reply.answer or group.example.parse(reply.text)
        return Reference(reply.text, answer, "greedy", group, usage=usage, truncated=reply.defect == "truncated")
