"""The references that `sft` trains on: one for each example by the initial policy's rollouts, or existing ones."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catlite import concurrency
from catlite.data import Estimator, Example, Group, Reference, Task
from catlite.errors import (
    CatliteError,
    ConfigError,
    DataError,
    EstimationError,
    GroupError,
    RequestRejected,
    StoreError,
    is_hopeless,
)
from catlite.references.dataset import References
from catlite.rollouts import make_reference, sample_group, under_way
from catlite.tasks.records import from_records
from catlite.text import writable
from catlite.training.config import SFTConfig
from catlite.training.examples import Named, named
from catlite.training.lora import TrainablePolicy


@dataclass(frozen=True, repr=False)
class Existing:
    """References that were made before, by the names of their examples: an estimator that needs no rollouts."""

    references: Mapping[str, Reference]

    async def __call__(self, group: Group) -> Reference:
        """The reference of the example of `group`."""
        reference = self.references[str(group.example.id)]
        return dataclasses.replace(reference, group=Group(group.example, reference.rollouts))

    def texts(self) -> list[str]:
        """What is trained on, and no text for a reference that cannot be."""
        return ["" if fault_of(reference) else reference.text for reference in self.references.values()]

    def __repr__(self) -> str:
        return f"references {hashlib.sha256(json.dumps(self.texts()).encode()).hexdigest()}"


def with_references(task: Any, estimator: Estimator | None) -> tuple[Any, Estimator | None]:
    """Make a Task and an estimator of references, or of a Parquet file of them; any other task stays as it is.

    Raises ConfigError where an estimator is to make references as well, DataError for a file whose column `completion`
    is not what TRL reads.
    """
    name = "references"
    if isinstance(task, str | os.PathLike) and Path(task).suffix.lower() == ".parquet":
        name, task = Path(task).stem, [_reference(example, str(task)) for example in from_records(task)]
    if not isinstance(task, list) or not task or not all(isinstance(item, Reference) for item in task):
        return task, estimator
    if estimator is not None:
        raise ConfigError("estimator= makes references, and these are made already: leave it out")
    name = task.task or name if isinstance(task, References) else name
    # Numbered, and lone surrogates written out, as in a file of them, so that a run goes on from either.
    examples = [reference.group.example for reference in task]
    ids = [str(number) if example.id is None else example.id for number, example in enumerate(examples, 1)]
    made = Task(
        name, tuple(Example(writable(example.prompt), id=id_) for id_, example in zip(ids, examples, strict=True))
    )
    texts = [dataclasses.replace(reference, text=writable(reference.text)) for reference in task]
    return made, Existing({name: reference for (name, _), reference in zip(named(made), texts, strict=True)})


def _reference(example: Example, file: str) -> Reference:
    columns = example.metadata
    name = columns.get("id") or example.id
    completion: Any = columns.get("completion", 0)
    if isinstance(completion, list) and len(completion) == 1:
        completion = completion[0].get("content") if isinstance(completion[0], dict) else 0
    if not isinstance(completion, str | None):
        raise DataError(
            f"{file}, row {name}: sft takes the file that References.to_parquet writes, with a column 'completion' "
            "that holds a text or one message. Prompts without references become a task through from_records"
        )
    group = Group(dataclasses.replace(example, id=str(name), metadata={}), ())
    return Reference(completion or "", None, str(columns.get("source") or file), group, error=columns.get("error"))


def references_of(policy: TrainablePolicy[SFTConfig], examples: Named, estimator: Estimator) -> list[Reference]:
    """A reference for each example, failed ones included; a budget that is reached ends it."""
    config = policy.config
    sampling = {"max_tokens": config.max_completion_length, **policy.sampling}
    initial = policy.local.frozen()  # the same model until it has been trained

    async def reference_of(named_example: tuple[str, Example]) -> Reference:
        name, example = named_example
        hidden = dataclasses.replace(example, answer=None, id=name)
        group = Group(hidden, ())
        try:
            if not isinstance(estimator, Existing):
                group = await sample_group(initial, hidden, config.num_generations, seed=config.seed, **sampling)
            return await make_reference(estimator, group)
        except (ConfigError, StoreError):
            raise
        except CatliteError as error:
            # What refuses one prompt, such as a filter, does not concern the others.
            if is_hopeless(error) or not isinstance(error, GroupError | EstimationError | RequestRejected):
                raise
            return Reference("", None, "none", group, error=str(error))

    return concurrency.run(concurrency.each(reference_of, examples, under_way(policy.local)))


def fault_of(reference: Reference) -> str | None:
    """Why `reference` cannot be trained on; None when it can."""
    if reference.error is not None:
        return reference.error
    if reference.truncated:
        return "it was cut off: raise max_completion_length"
    if reference.abstained:
        return f"{reference.source} {'; '.join(reference.notes)}"
    return None if reference.text.strip() else f"{reference.source} found no answer among the rollouts"
