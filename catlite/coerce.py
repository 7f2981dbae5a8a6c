"""What a person gives, as what the pipeline takes: Task, Model, estimators, a reward.

Each of these comes in a few shapes that can mean one thing only, and those are taken; any other is a ConfigError that
says what to write instead, before a request is sent. Left out: guessing which column of a table is the question.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from catlite import answers
from catlite.criteria import Rubric
from catlite.data import Example, Prompt, Task, as_messages
from catlite.errors import CatliteError, ConfigError
from catlite.models.base import Model
from catlite.models.naming import resolve
from catlite.tasks.records import USUAL

TASKS = ("gsm8k", "healthbench", "last_word", "math500", "times_tables")  # by name


def as_task(
    task: Any, call: str = "evaluate", *, answer_format: str | None = None, instead: str | None = "synthesize() for one"
) -> Task:
    """A Task out of what stands for one: a Task, Examples, prompts, or the name of a task that catlite knows.

    Args:
        task: a Task, an Example, an iterable of Examples and prompts, or one of TASKS.
        call: the function that was called, for the error.
        answer_format: of the examples that say nothing of theirs.
        instead: what to do with a single text; None for nothing else.

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
        raise ConfigError(f"{call}() takes a Task, Examples or prompts, not {_kind(task)}")
    examples = tuple(_example(one, number, call, answer_format) for number, one in enumerate(task, 1))
    if isinstance(task, Task):
        same = all(mine is theirs for mine, theirs in zip(examples, task, strict=True))
        return task if same else replace(task, examples=examples)
    return Task("examples", examples)


def _by_name(given: str | os.PathLike[str], call: str, instead: str | None) -> Task:
    """A task that catlite knows; ConfigError for a file, whose columns have to be named, and for any other text."""
    if isinstance(given, str) and given in TASKS:
        import catlite

        builder: Callable[[], Task] = getattr(catlite, given)
        return builder()
    path = Path(given).expanduser()
    suffixes = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".gz", ".parquet", ".xlsx", ".xls")
    if isinstance(given, os.PathLike) or ("\n" not in given and path.suffix.lower() in suffixes):
        from catlite.tasks import tables

        try:
            columns = list(next(tables.read(path))[1])
        except (CatliteError, StopIteration) as error:
            raise ConfigError(
                f"{call}() takes a Task: catlite.from_records({str(given)!r}, prompt=…) makes one of a file's rows"
                + (f". But {error}" if isinstance(error, CatliteError) else "")
            ) from None
        raise ConfigError(
            f"{call}() takes a Task, and {str(given)!r} is a file with columns {_listed(columns)}: say which is which, "
            f"as in {call}({_records(repr(str(given)), columns, call)}, …)"
        )
    raise ConfigError(
        f"{call}() takes many questions, not one text: [{given[:40]!r}]"
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
    """The call that makes a task of rows with these columns; what cannot be told from their names is left open."""
    prompt = next((name for name in USUAL["prompt"] if name in columns), columns[0] if len(columns) == 1 else None)
    options = [f"prompt={'…' if prompt is None else repr(prompt)}"]
    if call == "evaluate":
        answer = next((name for name in USUAL["answer"] if name in columns and name != prompt), None)
        options += [f"answer={'…' if answer is None else repr(answer)}", 'answer_format="boxed"']
    return f"catlite.from_records({', '.join([rows, *options])})"


def _example(one: Any, number: int, call: str, answer_format: str | None) -> Example:
    if isinstance(one, Mapping):
        if {"role", "content"} <= one.keys():
            raise ConfigError(f"item {number} is a message, not a question: a conversation is one item, [[{{…}}, …]]")
        raise ConfigError(
            f"item {number} is a row with keys {_listed(one)}: name the column of the questions, as in "
            f"{call}({_records('rows', list(map(str, one)), call)}, …)"
        )
    if not isinstance(one, Example | str | list):
        raise ConfigError(f"item {number} is {_kind(one)}: want an Example, a text or a list of messages")
    example = one if isinstance(one, Example) else Example(_text(one))
    try:
        as_messages(example.prompt)
    except ConfigError as error:
        raise ConfigError(f"item {number}: {error}") from None
    return _completed(example, number, answer_format)


def _completed(example: Example, number: int, answer_format: str | None) -> Example:
    """`example` with what can be told of it; the same object when there is nothing to be told."""
    changes: dict[str, Any] = {}
    if example.answer_format is not None:
        try:
            answers.check_format(example.answer_format)
        except ConfigError as error:
            raise ConfigError(f"item {number}: {error}") from None
    elif answer_format is not None:
        changes["answer_format"] = answer_format
    answer: Any = example.answer
    if isinstance(answer, int | float) and not isinstance(answer, bool):
        changes["answer"] = str(answer)
    elif not isinstance(answer, str | None):
        raise ConfigError(f"item {number}: its answer is {_kind(answer)}: want text")
    if not isinstance(example.rubric, Rubric | None):
        changes["rubric"] = Rubric(example.rubric)
    return replace(example, **changes) if changes else example


def _text(prompt: Prompt) -> Prompt:
    """A prompt without the string type of NumPy, which is none of JSON's."""
    return str(prompt) if isinstance(prompt, str) else prompt


def _listed(names: Iterable[Any]) -> str:
    shown = [f"{name!s:.40}" for name in names]
    return ", ".join(shown[:12]) + (f" and {len(shown) - 12} more" if len(shown) > 12 else "")


def _kind(value: Any) -> str:
    """What was given, without showing it: it may hold anything."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    return "None" if value is None else f"a {type(value).__name__}"


# --- models, by role --------------------------------------------------------------------------------------


def hold_models(owner: Any, *roles: str) -> None:
    """Puts a Model in place of each of these fields of a frozen dataclass that holds a model's name.

    Args:
        owner: an estimator or a reward, as it is being made.
        roles: names of its fields; one that is None stays so where that is its default.

    Raises:
        ConfigError: for what is neither a name nor a Model, and for a name that cannot be reached: without a key.
    """
    for field in fields(owner):
        given = getattr(owner, field.name)
        if field.name in roles and (given is not None or field.default is not None):
            object.__setattr__(owner, field.name, as_model(given, f"{type(owner).__name__}: {field.name}"))


def as_model(model: Any, role: str) -> Model:
    """`model`, or the Model of that name; ConfigError, which names the `role`, for anything else."""
    try:
        return resolve(model)
    except ConfigError as error:
        raise ConfigError(f"{role}: {error}") from None


# --- estimators and rewards -------------------------------------------------------------------------------


def as_estimators(estimators: Any) -> dict[str, Any]:
    """Estimators by name: the one given, else their own, numbered when one comes twice.

    Args:
        estimators: one alone, several, or a mapping from the names they are to have; None is none.

    Returns:
        The estimators by name, in order.

    Raises:
        ConfigError: for what is no estimator, such as a class that was not called, a name, a reward or a model.
    """
    named: dict[str, Any] = {}
    if isinstance(estimators, Mapping):
        for name, estimator in estimators.items():
            if not isinstance(name, str) or not name.strip():
                raise ConfigError(f"estimators={{{name!r}: …}}: the key is the name it is to have in the results")
            check_estimator(estimator)
            named[name] = estimator
        return named
    if callable(estimators) or isinstance(estimators, str | Model) or not isinstance(estimators, Iterable | None):
        estimators = [estimators]
    for estimator in estimators or ():
        check_estimator(estimator)
        name = estimator_name(estimator)
        count = sum(known.split(" ")[0] == name for known in named)
        named[name if count == 0 else f"{name} {count + 1}"] = estimator
    return named


def estimator_name(estimator: Any) -> str:
    """How an estimator is called in results: its function's name, or its class's."""
    return str(getattr(estimator, "__name__", type(estimator).__name__))


def check_estimator(estimator: Any) -> None:
    """ConfigError unless `estimator` can be called with a group."""
    _check_callable(estimator, "an estimator", "MajorityVote() or Synthesis(model)", 1)


def check_reward(reward: Any) -> None:
    """ConfigError unless `reward` can be called with a group and a reference."""
    _check_callable(reward, "a reward", "AnswerMatch() or RubricReward(proposer, judge)", 2)


def check_settings(config: Any, kind: type) -> None:
    """ConfigError unless `config` is of `kind`, such as TrainConfig."""
    if not isinstance(config, kind):
        like = f"{kind.__name__}(**…)" if isinstance(config, Mapping) else f"{kind.__name__}(…)"
        raise ConfigError(f"config is {_kind(config)}: write {like}")


def _check_callable(given: Any, what: str, such: str, count: int) -> None:
    if isinstance(given, type):
        called = f"{given.__name__}({', '.join(_needed(given))})"
        raise ConfigError(f"{what} is an object, and {given.__name__} is its class: write {called}")
    if isinstance(given, str):
        raise ConfigError(f"{what} is an object, not the text {given[:40]!r}: such as {such}")
    takes = "a Group" if count == 1 else "a Group and a Reference"
    if isinstance(given, Model) and not callable(given):
        raise ConfigError(f"{what} is an async function of {takes}, and {given.name!r} is a model: such as {such}")
    if not callable(given):
        raise ConfigError(f"{what} is an async function of {takes}, not {given!r:.80}")
    try:
        signature = inspect.signature(given)
    except (TypeError, ValueError):  # of some callables written in C nobody knows
        return
    try:
        signature.bind(*[None] * count)
    except TypeError:
        other = _other_kind(signature, count)
        raise ConfigError(
            f"{what} is an async function of {takes}, which {estimator_name(given)} is not{other}"
        ) from None


def _other_kind(signature: inspect.Signature, count: int) -> str:
    """What it is instead, when it takes what the other kind takes."""
    try:
        signature.bind(*[None] * (3 - count))
    except TypeError:
        return ""
    return ": it is a reward, which goes to grader= or reward=" if count == 1 else ": it is an estimator"


def _needed(made: type) -> list[str]:
    """The arguments without which `made` cannot be called."""
    try:
        parameters = inspect.signature(made).parameters.values()
    except (TypeError, ValueError):
        return ["…"]
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [one.name for one in parameters if one.default is one.empty and one.kind in kinds]
