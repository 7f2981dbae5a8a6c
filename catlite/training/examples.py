"""The examples of a training: by id, and which of them are only for checks or validation."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from catlite.coerce import as_task
from catlite.data import Example, Prompt, Task, text_only
from catlite.errors import ConfigError, DataError
from catlite.models.base import sendable
from catlite.training.config import SFTConfig, TrainConfig
from catlite.training.grouping import ID

Named = list[tuple[str, Example]]  # each example with its id


def task_of(
    task: str | Task | Iterable[Example | Prompt], caller: str, answer_format: str | None
) -> tuple[Task, Named]:
    """The task and its examples by id, their prompts as the policy is asked them.

    Raises DataError for a task without examples, ConfigError for a part that is no text.
    """
    made = as_task(task, caller, answer_format=answer_format, instead=None)
    examples = [
        (name, dataclasses.replace(example, prompt=_asked(example.prompt, caller))) for name, example in named(made)
    ]
    if not examples:
        raise DataError(f"the task {made.name!r} has no examples to train on")
    return made, examples


def _asked(prompt: Prompt, caller: str) -> Prompt:
    """Join parts of text and replace lone surrogates, as LocalModel does."""
    asked: Prompt = sendable({"content": text_only(prompt, f"{caller}()")})["content"]
    return asked


def named(task: Task) -> Named:
    """Each example with its id, its position standing for one that is missing.

    Raises ConfigError for an id that comes twice.
    """
    examples = [(str(position) if example.id is None else example.id, example) for position, example in enumerate(task)]
    counts = Counter(name for name, _ in examples)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise ConfigError(
            f"the task {task.name!r} has {len(twice)} ids that come more than once, such as {twice[0]!r}: rollouts are "
            "grouped by id, so give each example one of its own"
        )
    return examples


def split(
    examples: Named,
    validation: str | Task | Iterable[Example | Prompt] | None,
    answer_format: str | None,
    config: TrainConfig,
) -> tuple[Named, list[Example]]:
    """(examples to train on, examples for the checks): `validation`, or as many as are held back, drawn by the seed."""
    if validation is not None:
        kept, held = examples, list(as_task(validation, "train", answer_format=answer_format, instead=None))
    else:
        order = list(range(len(examples)))
        random.Random(config.seed).shuffle(order)  # noqa: S311 - a draw of questions, no secret
        away = set(order[: config.held_back])
        # Its answer is gold, and a check without `validation` is one without labels.
        held = [dataclasses.replace(examples[position][1], answer=None) for position in sorted(away)]
        prompts = [example.messages for example in held]  # which other examples may have as well
        kept = [pair for pair in examples if pair[1].messages not in prompts]
    if config.stop not in (None, "flips") and len(held) < 2:
        raise ConfigError(f"stop={config.stop!r} needs prompts to check on: set held_back=16, or pass validation=")
    if config.stop == "flips" and all(example.answer_format is None for _, example in kept):
        raise ConfigError('stop="flips" compares the answers of references, and no example has an answer_format')
    if len(kept) < config.prompts_per_step:
        without = f", {config.held_back} of them held back" if config.held_back and validation is None else ""
        raise ConfigError(
            f"{len(examples)} examples{without}: too few for a step of prompts_per_step={config.prompts_per_step} "
            f"different prompts. Use prompts_per_step={max(1, len(kept))} or fewer"
            + ("" if kept else ", and hold fewer back")
        )
    return kept, held


def rows_of_steps(examples: Named, config: TrainConfig) -> list[dict[str, Any]]:
    """TRL's dataset: the prompts of all steps in order; every epoch has an order of its own, and no step spans two.

    TRL shuffles anew for each epoch, but goes on after a resume as if it were in the first.
    """
    shuffler = random.Random(config.seed)  # noqa: S311 - an order of questions, no secret
    size = config.prompts_per_step
    order: Named = []
    while len(order) < config.steps * size:
        epoch = list(examples)
        shuffler.shuffle(epoch)
        order += epoch[: len(epoch) // size * size]
    return [{"prompt": example.messages, ID: name} for name, example in order[: config.steps * size]]


def set_aside(examples: Named, config: SFTConfig) -> set[str]:
    """Ids of the examples whose references are only validated on.

    They are drawn by a hash of each id, or of the prompt where there is no id, over all examples of the task: whether
    an example has a reference yet, and where it stands, moves no other one.
    """
    count = min(round(config.validation * len(examples)), len(examples) - 1)

    def draw(example: Example) -> str:
        known = json.dumps(example.messages) if example.id is None else example.id
        return hashlib.sha256(f"{config.seed}:{known}".encode()).hexdigest()

    return {name for name, _ in sorted(examples, key=lambda pair: draw(pair[1]))[:count]}


def digest_of(examples: Sequence[tuple[str, Example]]) -> str:
    """SHA-256 over ids and prompts: which questions, in which order."""
    content = [[name, example.messages, example.answer_format] for name, example in examples]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()
