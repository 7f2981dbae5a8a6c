"""An evaluation on disk: one JSON file beside the run's replies, a line per question and per row.

Pure ASCII, so that lone surrogates in a reply survive; no pickle. Left out: reading files of other versions.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from catlite.criteria import Criterion, Rubric, Verdict
from catlite.data import Example, Group, Judgement, Reference, Rollout
from catlite.errors import StoreError
from catlite.runs.atomic import write
from catlite.usage import Usage

T = TypeVar("T")
FILE = "evaluation.json"
_VERSION = 1


def save(path: Path, head: dict[str, Any], groups: Iterable[Group], rows: Iterable[dict[str, Any]]) -> Path:
    """Writes an evaluation to `path`, or into the folder `path`: what is said of it once, its groups and its rows."""
    path = path.expanduser()
    return write(path / FILE if path.is_dir() else path, _lines(head, groups, rows))


def load(path: Path, read: Callable[[dict[str, Any]], T]) -> T:
    """What `read` makes of the document that `save` wrote to `path`, or into the folder `path`."""
    folder = path.expanduser().is_dir()
    file = path.expanduser() / FILE if folder else path.expanduser()
    try:
        text = file.read_text("ascii")
    except FileNotFoundError:
        inside = [str(path / one.parent.name) for one in sorted(file.parent.glob(f"*/{FILE}"))]
        if folder and inside:
            raise StoreError(
                f"{str(path)!r} holds several evaluations, as of compare(): give one, {' or '.join(inside)}"
            ) from None
        raise StoreError(
            f"{str(path)!r} has no finished evaluation ({file} is not there): run `catlite evaluate … --run {path}` "
            f"or evaluate(…, run={str(path)!r}) to its end; what was paid for is not asked again"
        ) from None
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    try:
        found = json.loads(text)
        if found["catlite_evaluation"] != _VERSION:
            raise StoreError(f"{file} was written by another version of catlite (format {found['catlite_evaluation']})")
        return read(found)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        raise StoreError(f"{file} is not an evaluation that catlite wrote, or it was changed since") from None


def _lines(head: dict[str, Any], groups: Iterable[Group], rows: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The JSON document, one question or row at a time: the whole of it may be large."""
    yield _json({"catlite_evaluation": _VERSION} | head)[:-1]
    yield from _list("groups", map(group_fields, groups))
    yield from _list("rows", rows)
    yield "}\n"


def _list(name: str, items: Iterable[dict[str, Any]]) -> Iterator[str]:
    yield f',\n"{name}": ['
    for number, item in enumerate(items):
        yield (",\n" if number else "\n") + _json(item)
    yield "\n]"


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"), skipkeys=True, default=_foreign)


def _foreign(value: Any) -> Any:
    """What JSON does not know: one dataclass of ours, a number of numpy's, or anything in an example's metadata."""
    if isinstance(value, Usage | Rubric | Criterion):
        return plain(value)
    return value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else repr(value)


def plain(value: Any) -> dict[str, Any]:
    """A dataclass by field, not copied as `asdict` would: log-probabilities are many."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def group_fields(group: Group) -> dict[str, Any]:
    """A group as JSON takes it."""
    example = plain(group.example) | {"metadata": dict(group.example.metadata)}
    return {"example": example, "rollouts": [plain(rollout) for rollout in group.rollouts], "policy": group.policy}


def read_group(found: dict[str, Any]) -> Group:
    """The group of which `group_fields` made this."""
    example = found["example"] | {"rubric": read_rubric(found["example"]["rubric"])}
    rollouts = tuple(Rollout.from_json(rollout) for rollout in found["rollouts"])
    return Group(Example(**example), rollouts, found.get("policy"))


def read_rubric(found: dict[str, Any] | None) -> Rubric | None:
    """The rubric of which `plain` made this."""
    if found is None:
        return None
    return Rubric(tuple(Criterion(**one | {"tags": tuple(one["tags"])}) for one in found["criteria"]))


def judgement_fields(judgement: Judgement) -> dict[str, Any]:
    """A judgement as JSON takes it, without its group."""
    verdicts = [[(one.met, one.reason, one.probability) for one in mine] for mine in judgement.verdicts_GC]
    return plain(judgement) | {"verdicts_GC": verdicts, "group": None}


def read_judgement(found: dict[str, Any], scored: Group) -> Judgement:
    """The judgement of which `judgement_fields` made this, of the group `scored`."""
    rubric = read_rubric(found["rubric"]) or Rubric(())
    verdicts = tuple(
        tuple(Verdict(one, *verdict) for one, verdict in zip(rubric.criteria, mine, strict=True))
        for mine in found["verdicts_GC"]
    )
    usage, notes = Usage(**found["usage"]), tuple(found["notes"])
    return Judgement(scored, rubric, verdicts, tuple(found["rewards_G"]), found["judge"], usage, notes)


def reference_fields(reference: Reference, shared: bool) -> dict[str, Any]:
    """A reference as JSON takes it; without its group where that is kept already."""
    others = [plain(one) for one in reference.others]
    return plain(reference) | {"group": None if shared else group_fields(reference.group), "others": others}


def read_reference(found: dict[str, Any], group: Group | None) -> Reference:
    """The reference of which `reference_fields` made this; `group` is the one that is kept beside it."""
    own = found["group"]
    parts = {
        "group": group if own is None else read_group(own),
        "rubric": read_rubric(found["rubric"]),
        "usage": Usage(**found["usage"]),
        "notes": tuple(found["notes"]),
        "others": tuple(Rollout.from_json(one) for one in found.get("others", ())),
    }
    return Reference(**found | parts)
