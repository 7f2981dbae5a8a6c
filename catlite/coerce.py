"""Turns the arguments of a user into what the pipeline works with: a Task, a Model, estimators, a reward.

Each argument may come in the few shapes that can mean only one thing ("gsm8k", a list of questions, a model's name).
Any other shape raises a ConfigError that says what to write instead, before a request is sent. Left out: guessing which
column of a table holds the question.
"""

from __future__ import annotations

import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from catlite import answers
from catlite.criteria import Rubric
from catlite.data import Estimator, Example, Task, as_messages
from catlite.errors import CatliteError, ConfigError
from catlite.models.base import Model, traits
from catlite.models.naming import resolve
from catlite.tasks.records import USUAL

TASKS = (
    *("arithmetic", "gsm8k", "healthbench", "healthbench_professional", "larger", "last_word", "math500"),
    "times_tables",
)  # by name


def as_task(
    task: Any, call: str = "evaluate", *, answer_format: str | None = None, instead: str | None = "synthesize() for one"
) -> Task:
    """Make a Task of a Task, Examples, prompts, or the name of a task that catlite knows.

    Args:
        task: a Task, an Example, an iterable of Examples and prompts, or one of TASKS.
        call: the name of the user's call, for the error; "evaluate".
        answer_format: the format for examples that have none; None leaves them without.
        instead: the advice in the error for a single text; None for no advice.

    Returns:
        The Task; the same object when it is one already and nothing is to be added.

    Raises:
        ConfigError: for anything else, such as a table, whose columns have to be named first.
    """
    if answer_format is not None:
        answers.check_format(answer_format)
    if isinstance(task, str | os.PathLike):
        task = _by_name(task, call, instead)
    columns = _columns(task)
    if columns is not None:
        raise ConfigError(
            f"{call}() takes questions, not a {type(task).__name__} with columns {_listed(columns)}: name the column "
            f"of the questions, as in {call}({_records('rows', columns, call)}, …)"
        )
    if isinstance(task, Example):
        task = [task]
    if isinstance(task, bytes) or not isinstance(task, Iterable):
        raise ConfigError(f"{call}() takes a Task, Examples or prompts, not {kind_of(task)}")
    examples = tuple(_example(item, number, call, answer_format) for number, item in enumerate(task, 1))
    if not isinstance(task, Task):
        return Task("examples", examples)
    unchanged = all(new is old for new, old in zip(examples, task, strict=True))
    return task if unchanged else replace(task, examples=examples)


def _by_name(name: str | os.PathLike[str], call: str, instead: str | None) -> Task:
    """A task that catlite knows; ConfigError for a file, whose columns have to be named, and for any other text."""
    if isinstance(name, str) and name in TASKS:
        import catlite

        builder: Callable[[], Task] = getattr(catlite, name)
        return builder()
    path = Path(name).expanduser()
    suffixes = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".gz", ".parquet", ".xlsx", ".xls")
    if isinstance(name, os.PathLike) or ("\n" not in name and path.suffix.lower() in suffixes):
        from catlite.tasks import tables

        try:
            columns = list(next(tables.read(path))[1])
        except (CatliteError, StopIteration) as error:
            raise ConfigError(
                f"{call}() takes a Task: catlite.from_records({str(name)!r}, prompt=…) makes one of a file's rows"
                + (f". But {error}" if isinstance(error, CatliteError) else "")
            ) from None
        raise ConfigError(
            f"{call}() takes a Task, and {str(name)!r} is a file with columns {_listed(columns)}: say which is which, "
            f"as in {call}({_records(repr(str(name)), columns, call)}, …)"
        )
    raise ConfigError(
        f"{call}() takes many questions, not one text: [{name[:40]!r}]"
        + ("" if instead is None else f", or {instead}")
        + f". Tasks by name: {', '.join(TASKS)}"
    )


def _columns(task: Any) -> list[str] | None:
    """The columns of a table (a DataFrame, a dataset, a mapping of columns or of splits), None for anything else."""
    if isinstance(task, Mapping):
        return [str(key) for key in task]
    if isinstance(task, Task | Example | str | list | tuple | type):
        return None
    names = getattr(task, "columns", None) if hasattr(task, "itertuples") or hasattr(task, "iter_rows") else None
    names = getattr(task, "column_names", None) if names is None else names
    return None if names is None else [str(name) for name in names]


def _records(rows: str, columns: list[str], call: str) -> str:
    """The call that makes a task of rows with these columns, with "…" for a column that their names do not tell."""
    prompt = next((name for name in USUAL["prompt"] if name in columns), columns[0] if len(columns) == 1 else None)
    options = [f"prompt={'…' if prompt is None else repr(prompt)}"]
    if call == "evaluate":
        answer = next((name for name in USUAL["answer"] if name in columns and name != prompt), None)
        options += [f"answer={'…' if answer is None else repr(answer)}", 'answer_format="boxed"']
    return f"catlite.from_records({', '.join([rows, *options])})"


def _example(item: Any, number: int, call: str, answer_format: str | None) -> Example:
    """The Example of one item of a task, complete; the same object where nothing has to be added."""
    if isinstance(item, Mapping):
        if {"role", "content"} <= item.keys():
            raise ConfigError(f"item {number} is a message, not a question: a conversation is one item, [[{{…}}, …]]")
        raise ConfigError(
            f"item {number} is a row with keys {_listed(item)}: name the column of the questions, as in "
            f"{call}({_records('rows', list(map(str, item)), call)}, …)"
        )
    if not isinstance(item, Example | str | list):
        raise ConfigError(f"item {number} is {kind_of(item)}: want an Example, a text or a list of messages")
    # str() takes off the string type of NumPy, which JSON does not know.
    example = item if isinstance(item, Example) else Example(str(item) if isinstance(item, str) else item)
    changes: dict[str, Any] = {}
    try:
        as_messages(example.prompt)
        if example.answer_format is not None:
            answers.check_format(example.answer_format)
        elif answer_format is not None:
            changes["answer_format"] = answer_format
    except ConfigError as error:
        raise ConfigError(f"item {number}: {error}") from None
    answer: Any = example.answer
    if isinstance(answer, float) and not math.isfinite(answer):
        raise ConfigError(f"item {number}: its answer is {answer}: want text, or None where it is not known")
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        changes["answer"] = str(answer)
    elif not isinstance(answer, str | None):
        raise ConfigError(f"item {number}: its answer is {kind_of(answer)}: want text")
    if not isinstance(example.rubric, Rubric | None):
        changes["rubric"] = Rubric(example.rubric)
    return replace(example, **changes) if changes else example


def _listed(names: Iterable[Any]) -> str:
    shown = [f"{name!s:.40}" for name in names]
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")


def kind_of(value: Any) -> str:
    """The kind of a wrong argument for an error, without its content, which may be private or long."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else f"a {type(value).__name__}"


# --- models, by role --------------------------------------------------------------------------------------


def hold_models(owner: Any, *roles: str) -> None:
    """Replace model names in the fields of a frozen dataclass by Models, so that `RubricReward("gpt-4o", …)` works.

    An estimator or a reward calls it in `__post_init__`: the names are resolved once, when it is made, and a model
    that cannot be reached is an error there and not in the middle of a run.

    Args:
        owner: the estimator or reward.
        roles: the names of its fields that hold a model; a field whose default is None may stay None.

    Raises:
        ConfigError: for a field that holds neither a name nor a Model, and for a name that lacks its key.

    Example:
        >>> def __post_init__(self):
        ...     hold_models(self, "proposer", "judge")
    """
    for field in fields(owner):
        model = getattr(owner, field.name)
        if field.name in roles and (model is not None or field.default is not None):
            object.__setattr__(owner, field.name, as_model(model, f"{type(owner).__name__}: {field.name}"))


def sees_images(model: Any) -> bool:
    """Tell whether a model may be shown an image: all but those that say that they take text alone."""
    return not traits(model).text_only


def as_model(model: Any, role: str) -> Model:
    """`model`, or the Model of that name; ConfigError, which names the `role`, for anything else."""
    try:
        return resolve(model)
    except ConfigError as error:
        raise ConfigError(f"{role}: {error}") from None


# --- estimators and rewards -------------------------------------------------------------------------------


def as_estimators(estimators: Any) -> dict[str, Estimator]:
    """Give every estimator a name for the results: its key in a mapping, else its own, numbered when it comes twice.

    Args:
        estimators: one estimator, several, or a mapping from names to estimators; None for none.

    Returns:
        The estimators by name, in order.

    Raises:
        ConfigError: for anything but an estimator, such as a class that was not called, a name, a reward or a model.
    """
    named: dict[str, Estimator] = {}
    if isinstance(estimators, Mapping):
        for name, estimator in estimators.items():
            if not isinstance(name, str) or not name.strip():
                raise ConfigError(f"estimators={{{name!r}: …}}: the key is the estimator's name in the results")
            check_estimator(estimator)
            named[name] = estimator
        return named
    if callable(estimators) or isinstance(estimators, str | Model) or not isinstance(estimators, Iterable | None):
        estimators = [estimators]
    for estimator in estimators or ():
        check_estimator(estimator)
        name = part_name(estimator)
        count = sum(known.split(" ")[0] == name for known in named)
        named[name if count == 0 else f"{name} {count + 1}"] = estimator
    return named


def part_name(part: object) -> str:
    """The name of an estimator or a reward in results and messages: that of its function, or of its class."""
    return str(getattr(part, "__name__", type(part).__name__))


def check_estimator(estimator: Any) -> None:
    """Raise ConfigError unless `estimator` can be called with a group."""
    _check_callable(estimator, "an estimator", "MajorityVote() or Synthesis(model)", 1)


def check_reward(reward: Any) -> None:
    """Raise ConfigError unless `reward` can be called with a group and a reference."""
    _check_callable(reward, "a reward", "AnswerMatch() or RubricReward(proposer, judge)", 2)


async def await_part(part: Callable[..., Any], *arguments: object) -> Any:
    """What an estimator or a reward gives for `arguments`. Raises ConfigError for one that is not async."""
    result = part(*arguments)
    if not inspect.isawaitable(result):
        raise ConfigError(
            f"{part_name(part)} gave {kind_of(result)} at once, and nothing to await: write it as an async function, "
            "`async def …`"
        )
    return await result


def _check_callable(part: Any, role: str, like: str, count: int) -> None:
    """Raise ConfigError, with an example of the `role`, unless `part` can be called with `count` arguments."""
    if isinstance(part, type):
        call = f"{part.__name__}({', '.join(_required(part))})"
        raise ConfigError(f"{role} is an object, and {part.__name__} is its class: write {call}")
    if isinstance(part, str):
        raise ConfigError(f"{role} is an object, not the text {part[:40]!r}: such as {like}")
    takes = "a Group" if count == 1 else "a Group and a Reference"
    if isinstance(part, Model) and not callable(part):
        raise ConfigError(f"{role} is an async function of {takes}, and {part.name!r} is a model: such as {like}")
    if not callable(part):
        raise ConfigError(f"{role} is an async function of {takes}, not {part!r:.80}")
    try:
        signature = inspect.signature(part)
    except (TypeError, ValueError):  # some callables written in C have none
        return
    try:
        signature.bind(*[None] * count)
    except TypeError:
        hint = ": it is a reward, which goes to grader= or reward=" if count == 1 else ": it is an estimator"
        try:
            signature.bind(*[None] * (3 - count))
        except TypeError:
            hint = ""  # it takes what neither of the two takes
        raise ConfigError(f"{role} is an async function of {takes}, which {part_name(part)} is not{hint}") from None


def _required(kind: type) -> list[str]:
    """The names of the arguments without which a class cannot be called."""
    try:
        parameters = inspect.signature(kind).parameters.values()
    except (TypeError, ValueError):
        return ["…"]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [
        parameter.name for parameter in parameters if parameter.default is parameter.empty and parameter.kind in kinds
    ]
