"""An evaluation on disk: one JSON file beside the run's replies, a line per question and per row.

Pure ASCII, so that lone surrogates in a reply survive; no pickle. Left out: reading files of other versions.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from catlite.criteria import Criterion, Rubric, Verdict
from catlite.data import Example, Group, Judgement, Reference, Rollout
from catlite.errors import StoreError
from catlite.parts import folded, unfolded
from catlite.runs.atomic import write
from catlite.usage import Usage

T = TypeVar("T")
FILE = "evaluation.json"
_VERSION = 1


def save(path: Path, head: dict[str, Any], groups: Iterable[Group], rows: Iterable[dict[str, Any]]) -> Path:
    """Write an evaluation to `path`, or into the folder `path`: its head, its groups and its rows; return the file."""
    path = path.expanduser()
    return write(path / FILE if path.is_dir() else path, _lines(head, groups, rows))


def load(path: Path, read: Callable[[dict[str, Any]], T]) -> T:
    """Hand to `read` the document that `save` wrote to `path`, or into the folder `path`; return what it makes of it.

    Raises StoreError when there is none, or none that can be read.
    """
    folder = path.expanduser().is_dir()
    file = path.expanduser() / FILE if folder else path.expanduser()
    try:
        text = file.read_text("ascii")
    except FileNotFoundError:
        inside = [str(path / other.parent.name) for other in sorted(file.parent.glob(f"*/{FILE}"))]
        if folder and inside:
            raise StoreError(
                f"{str(path)!r} holds several evaluations, as of compare(): give one, {' or '.join(inside)}"
            ) from None
        raise StoreError(
            f"{str(path)!r} has no finished evaluation ({file} is not there): run "
            f"`catlite evaluate … --run {shlex.quote(str(path))}` or evaluate(…, run={str(path)!r}) to its end; "
            "what was paid for is not asked again"
        ) from None
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    try:
        document = json.loads(text)
        if (version := document["catlite_evaluation"]) != _VERSION:
            raise StoreError(f"{file} was written by another version of catlite (format {version})")
        for group in document["groups"] if (parts := document.get("parts")) else ():
            group["example"]["prompt"] = unfolded(group["example"]["prompt"], parts)
        return read(document)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        raise StoreError(f"{file} is not an evaluation that catlite wrote, or it was changed since") from None


def _lines(head: dict[str, Any], groups: Iterable[Group], rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """Yield the JSON document, one question or row at a time: the whole of it may be large."""
    parts: dict[str, str] = {}  # data of images, which the groups have by digest
    yield compact({"catlite_evaluation": _VERSION} | head)[:-1]
    yield from _list("groups", (group_fields(group, parts) for group in groups))
    yield from _list("rows", rows)
    yield f',\n"parts": {compact(parts)}}}\n' if parts else "}\n"


def _list(name: str, items: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield f',\n"{name}": ['
    for number, item in enumerate(items):
        yield (",\n" if number else "\n") + compact(item)
    yield "\n]"


def compact(value: dict[str, Any]) -> str:
    """Write what the functions below make as JSON on one line."""
    return json.dumps(value, separators=(",", ":"), skipkeys=True, default=_foreign)


def _foreign(value: Any) -> Any:
    """Convert what JSON does not know: a dataclass of ours, a number of numpy's, or anything in metadata."""
    if isinstance(value, Usage | Rubric | Criterion):
        return plain(value)
    return value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else repr(value)


def plain(value: Any) -> dict[str, Any]:
    """Convert a dataclass to a dict without copying its values, as `asdict` would: log-probabilities are many."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def group_fields(group: Group, parts: dict[str, str] | None = None) -> dict[str, Any]:
    """Convert a group to what JSON takes; `parts` takes the data of the images in its prompt, for `parts.unfolded`."""
    example = plain(group.example) | {"metadata": dict(group.example.metadata)}
    if parts is not None:
        example["prompt"] = folded(group.example.prompt, parts)
    return {"example": example, "rollouts": [plain(rollout) for rollout in group.rollouts], "policy": group.policy}


def read_group(group: dict[str, Any]) -> Group:
    """Make the group again that `group_fields` converted."""
    example = group["example"] | {"rubric": read_rubric(group["example"]["rubric"])}
    rollouts = tuple(Rollout.from_json(rollout) for rollout in group["rollouts"])
    return Group(Example(**example), rollouts, group.get("policy"))


def read_rubric(rubric: dict[str, Any] | None) -> Rubric | None:
    """Make the rubric again that `plain` converted."""
    if rubric is None:
        return None
    return Rubric(
        tuple(Criterion(**criterion | {"tags": tuple(criterion["tags"])}) for criterion in rubric["criteria"])
    )


def judgement_fields(judgement: Judgement) -> dict[str, Any]:
    """Convert a judgement to what JSON takes, without its group."""
    verdicts = [
        [(verdict.met, verdict.reason, verdict.probability) for verdict in row] for row in judgement.verdicts_GC
    ]
    return plain(judgement) | {"verdicts_GC": verdicts, "group": None}


def read_judgement(judgement: dict[str, Any], group: Group) -> Judgement:
    """Make the judgement of `group` again that `judgement_fields` converted."""
    rubric = read_rubric(judgement["rubric"]) or Rubric(())
    verdicts = tuple(
        tuple(Verdict(criterion, *verdict) for criterion, verdict in zip(rubric.criteria, row, strict=True))
        for row in judgement["verdicts_GC"]
    )
    usage, notes = Usage(**judgement["usage"]), tuple(judgement["notes"])
    return Judgement(group, rubric, verdicts, tuple(judgement["rewards_G"]), judgement["judge"], usage, notes)


def reference_fields(reference: Reference, shared: bool) -> dict[str, Any]:
    """Convert a reference to what JSON takes; without its group where that is kept already."""
    others = [plain(rollout) for rollout in reference.others]
    return plain(reference) | {"group": None if shared else group_fields(reference.group), "others": others}


def read_reference(reference: dict[str, Any], group: Group | None) -> Reference:
    """Make the reference again that `reference_fields` converted; `group` is the one that is kept beside it."""
    own = reference["group"]
    parts = {
        "group": group if own is None else read_group(own),
        "rubric": read_rubric(reference["rubric"]),
        "usage": Usage(**reference["usage"]),
        "notes": tuple(reference["notes"]),
        "others": tuple(Rollout.from_json(rollout) for rollout in reference.get("others", ())),
    }
    return Reference(**reference | parts)
