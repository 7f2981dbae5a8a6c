"""Make groups of what TRL sends a reward: by id or by prompt, of as many rollouts as this call was drawn with.

Where several processes train, the rows of all of them are put together first (trl/ranks.py).

Messages may have their content in parts, as those of models that see images have: TRL puts images of PIL there, which
become parts as OpenAI's API takes them. Left out: audio and video.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from catlite.checks import positive, whole_number
from catlite.data import Example, Prompt, Rollout
from catlite.errors import ConfigError
from catlite.parts import folded, image
from catlite.usage import Usage

ID = "qid"  # the column that says which question a row is
_IMAGES = ("image", "images")  # columns in which TRL takes them
_SPLIT = (
    "a group is split, or drawn in another size. Give trl_reward the num_generations of GRPOConfig, and its "
    "num_generations_eval where evaluation draws another number"
)


class Row(NamedTuple):
    """A completion as a trainer sends it."""

    id: str  # of its question
    prompt: Any
    images: list[Any]
    text: str
    tokens: list[int] | None


def rows_of(
    prompts: Sequence[Any],
    completions: Sequence[Any],
    completion_ids: Sequence[list[int]] | None,
    columns: Mapping[str, Any],
) -> list[Row]:
    """The completions of one call, with what is in the dataset's columns."""
    ids = ids_of(prompts, columns)
    tokens: Sequence[list[int] | None] = completion_ids or [None] * len(completions)
    for name, column in (("prompts", prompts), (ID, ids), ("completion_ids", tokens)):
        if len(column) != len(completions):
            raise ConfigError(f"{len(column)} {name} for {len(completions)} completions: a reward takes one of each")
    return [
        Row(str(ids[at]), prompts[at], images_of(columns, at), completion_text(completion), tokens[at])
        for at, completion in enumerate(completions)
    ]


def whole_groups(ids: Sequence[Any], size: int) -> Iterator[tuple[str, list[int]]]:
    """Each group's id and positions, in the order they come; the same question may come as several groups.

    Raises ConfigError for a group that is not whole.
    """
    for name, positions in _positions(ids).items():
        if len(positions) % size:
            raise ConfigError(
                f"a reward call brought {len(positions)} rollouts of question {name[:60]!r}, not a multiple of "
                f"num_generations={size}: {_SPLIT}"
            )
        for start in range(0, len(positions), size):
            yield name, positions[start : start + size]


def group_size(ids: Sequence[Any], training: int, evaluation: int | None, log_metric: Any) -> int:
    """How many rollouts a group of this call has.

    TRL's trainer, which `log_metric` is a method of, knows. Otherwise it is the first of `training` and `evaluation`
    that divides the rollouts of every question; if neither does, it is the number that all questions have alike.
    """
    counts = list(Counter(map(str, ids)).values())
    for size in (*_sizes_of_trainer(log_metric), training, evaluation):
        if size is not None and all(count % size == 0 for count in counts):
            return size
    alike = counts[0] if counts and len(set(counts)) == 1 else 0
    return alike if alike > 1 else training


def _sizes_of_trainer(log_metric: Any) -> list[int]:
    """The group sizes of the trainer that calls: of training and evaluation, the one under way first."""
    trainer = getattr(log_metric, "__self__", None)
    training = getattr(trainer, "num_generations", None)
    evaluation = getattr(trainer, "num_generations_eval", None) or training
    trains = getattr(getattr(trainer, "model", None), "training", True)
    sizes = (training, evaluation) if trains else (evaluation, training)
    return [size for size in sizes if isinstance(size, int) and size > 0]


def _positions(ids: Sequence[Any]) -> dict[str, list[int]]:
    members: dict[str, list[int]] = {}
    for position, name in enumerate(ids):
        members.setdefault(str(name), []).append(position)
    return members


def ids_of(prompts: Sequence[Any], columns: Mapping[str, Any]) -> Sequence[Any]:
    """The id by which each row is grouped: the column `qid`, else the prompt with its images."""
    if columns.get(ID) is not None:
        ids: Sequence[Any] = columns[ID]
        return ids
    rows = [[folded(prompt)] for prompt in prompts]
    for images in (columns[name] for name in _IMAGES if columns.get(name) is not None):
        for row, of_row in zip(rows, images, strict=True):
            row.append(of_row)
    return [json.dumps(row[0] if len(row) == 1 else row, sort_keys=True, default=_content) for row in rows]


def _content(value: Any) -> str:
    """A text for a part that is not text; equal images, which are read anew for each row, have the same."""
    if hasattr(value, "tobytes"):
        return hashlib.sha256(value.tobytes()).hexdigest()
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def check_group(num_generations: Any, name: str = "num_generations", fewest: int = 2) -> None:
    """Raise ConfigError for a group size that is not a whole number of at least `fewest`."""
    whole_number(name, num_generations, fewest, hint=": an advantage compares rollouts" if fewest > 1 else "")


def check_settings(training: Any, evaluation: Any, max_completion_length: Any, timeout: Any) -> None:
    """Raise ConfigError for numbers that `trl_reward` cannot work with; the first two are sizes of a group."""
    check_group(training)
    if evaluation is not None:
        check_group(evaluation, "num_generations_eval", fewest=1)
    if max_completion_length is not None:
        whole_number("max_completion_length", max_completion_length)
    positive("timeout", timeout, "seconds", infinite=True)


def images_of(columns: Mapping[str, Any], at: int) -> list[Any]:
    """The images of a row, from the columns in which TRL takes them."""
    for name in _IMAGES:
        if columns.get(name) is not None and (images := columns[name][at]) is not None:
            return list(images) if isinstance(images, list | tuple) else [images]
    return []


def example_of(
    name: str, prompt: Any, images: Sequence[Any], examples: dict[str, Example] | None, answer_format: str | None
) -> Example:
    """The example of a row, without its gold answer, which training must not see."""
    if examples is None:
        return Example(sendable_prompt(prompt, images), answer_format=answer_format, id=name)
    if name not in examples:
        raise ConfigError(
            f"{ID}={name!r:.80} is in the dataset and not in the task: make the dataset from that task, with its ids "
            f"as the column {ID!r} (without one, rows are grouped by their prompts)"
        )
    known = examples[name]
    return Example(known.prompt, rubric=known.rubric, answer_format=known.answer_format, id=name)


def sendable_prompt(prompt: Any, images: Sequence[Any] = ()) -> Prompt:
    """`prompt` with the parts of each content joined when all are text, and with its images as OpenAI's API takes them.

    A part {"type": "image"} without an image takes the next of `images`, as in TRL; what is no image of PIL stays.
    """
    if not isinstance(prompt, list):
        return prompt  # type: ignore[no-any-return]
    rest = iter(images)

    def sendable(part: Any) -> Any:
        if isinstance(part, str):
            return {"type": "text", "text": part}
        if not isinstance(part, Mapping) or part.get("type") != "image" or "source" in part:
            return part
        picture = part["image"] if part.get("image") is not None else next(rest, None)
        return image(picture) if hasattr(picture, "save") else part

    def content(parts: Any) -> Any:
        if not isinstance(parts, list | tuple):
            return parts
        return text_of(parts) if _all_text(parts) else [sendable(part) for part in parts]

    return [
        {**message, "content": content(message.get("content"))} if isinstance(message, Mapping) else message
        for message in prompt
    ]


def completion_text(completion: Any) -> str:
    """The text of a completion, which is a string or a list of messages; what tools answered is not the policy's."""
    if isinstance(completion, str):
        return completion
    own = [message for message in completion if message.get("role", "assistant") == "assistant"]
    return "".join(text_of(message.get("content")) for message in own)


def text_of(content: Any) -> str:
    """The text of a message's content, which may be in parts."""
    if isinstance(content, list | tuple):
        return "".join(map(_part, content))
    return content if isinstance(content, str) else ""


def _part(part: Any) -> str:
    text = part.get("text") if isinstance(part, Mapping) else part
    return text if isinstance(text, str) else ""


def _all_text(content: Any) -> bool:
    """True for a list of parts that are text and nothing else."""
    if not isinstance(content, list | tuple):
        return False
    return all(isinstance(part, str) or (isinstance(part, Mapping) and "text" in part) for part in content)


def rollout_of(
    example: Example, text: str, ids: Sequence[int] | None, most: int | None, ends: Collection[int]
) -> Rollout:
    """A completion as a Rollout; its tokens `ids` tell its length and whether it was cut off at `most` tokens."""
    if ids is None:
        return Rollout(text, example.parse(text), "stop")
    cut = most is not None and len(ids) >= most and ids[-1] not in ends
    return Rollout(text, example.parse(text), "length" if cut else "stop", usage=Usage(None, len(ids), None, 0.0))


LogMetric = Callable[[str, float], None]
LogExtra = Callable[[str, list[Any]], None]
