"""An evaluation on disk: one JSON file beside the run's replies, a line per question and per row.

Pure ASCII, so that lone surrogates in a reply survive; no pickle. Left out: reading files of other versions.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from catlite.criteria import Criterion, Rubric, Verdict
from catlite.data import Example, Group, Judgement, Reference, Rollout
from catlite.errors import ConfigError, StoreError
from catlite.results import Evaluation, Row
from catlite.usage import Usage

FILE = "evaluation.json"
_VERSION = 1


def save(evaluation: Evaluation, path: Path) -> Path:
    """Writes `evaluation` to `path`, or into the folder `path`."""
    path = path.expanduser()
    return write(path / FILE if path.is_dir() else path, _lines(evaluation))


def load(path: Path) -> Evaluation:
    """What `save` wrote to `path`, or into the folder `path`."""
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
        return _evaluation(found)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        raise StoreError(f"{file} is not an evaluation that catlite wrote, or it was changed since") from None


def write(path: Path, parts: Iterable[str]) -> Path:
    """Writes `parts` to `path`, mode 0600, whole or not at all; the folder is made. Returns the path.

    Raises ConfigError when `path` is something other than a file, StoreError when it cannot be written.
    """
    path = path.expanduser().resolve()
    if path.exists() and not path.is_file():
        raise ConfigError(f"{path} is not a file: give the path of one to write")
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", encoding="utf-8", newline="\n", dir=path.parent, prefix=f".{path.name[:40]}.", delete=False
        ) as file:
            temporary = Path(file.name)
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from None
    else:
        temporary = None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


def _lines(evaluation: Evaluation) -> Iterator[str]:
    """The JSON document, one question or row at a time: the whole of it may be large."""
    names = ("task", "policy", "n", "seconds", "stopped", "n_repeats")
    head = {"catlite_evaluation": _VERSION} | {name: getattr(evaluation, name) for name in names}
    yield _json(head)[:-1]
    yield from _list("groups", map(_group, evaluation.groups))
    yield from _list("rows", (_row(row, evaluation) for row in evaluation.rows))
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
        return _plain(value)
    return value.item() if hasattr(value, "item") and getattr(value, "shape", None) == () else repr(value)


def _plain(value: Any) -> dict[str, Any]:
    """A dataclass by field, not copied as `asdict` would: log-probabilities are many."""
    return {field.name: getattr(value, field.name) for field in fields(value)}


def _group(group: Group) -> dict[str, Any]:
    example = _plain(group.example) | {"metadata": dict(group.example.metadata)}
    return {"example": example, "rollouts": [_plain(rollout) for rollout in group.rollouts], "policy": group.policy}


def _row(row: Row, evaluation: Evaluation) -> dict[str, Any]:
    found = _plain(row)
    if row.reference is not None:
        shared = bool(evaluation.groups) and evaluation.group(row.position, row.repeat) == row.reference.group
        others = [_plain(one) for one in row.reference.others]
        own = None if shared else _group(row.reference.group)
        found["reference"] = _plain(row.reference) | {"group": own, "others": others}
    if row.judgement is not None:
        verdicts = [[(one.met, one.reason, one.probability) for one in mine] for mine in row.judgement.verdicts_GC]
        found["judgement"] = _plain(row.judgement) | {"verdicts_GC": verdicts, "group": None}
    return found


def _evaluation(found: dict[str, Any]) -> Evaluation:
    groups = tuple(_read_group(group) for group in found["groups"])
    names = ("task", "policy", "n", "seconds", "stopped")
    empty = Evaluation(
        rows=(), groups=groups, n_repeats=found.get("n_repeats", 1), **{name: found[name] for name in names}
    )
    return replace(empty, rows=tuple(_read_row(row, empty) for row in found["rows"]))


def _read_group(found: dict[str, Any]) -> Group:
    example = found["example"] | {"rubric": _read_rubric(found["example"]["rubric"])}
    rollouts = tuple(Rollout.from_json(rollout) for rollout in found["rollouts"])
    return Group(Example(**example), rollouts, found.get("policy"))


def _read_rubric(found: dict[str, Any] | None) -> Rubric | None:
    if found is None:
        return None
    return Rubric(tuple(Criterion(**one | {"tags": tuple(one["tags"])}) for one in found["criteria"]))


def _read_row(found: dict[str, Any], evaluation: Evaluation) -> Row:
    group = evaluation.group(found["position"], found.get("repeat", 0))
    reference, judgement = found["reference"], found.get("judgement")
    if reference is not None:
        own = reference["group"]
        reference = Reference(
            **reference
            | {
                "group": group if own is None else _read_group(own),
                "rubric": _read_rubric(reference["rubric"]),
                "usage": Usage(**reference["usage"]),
                "notes": tuple(reference["notes"]),
                "others": tuple(Rollout.from_json(one) for one in reference.get("others", ())),
            }
        )
    rest = {"usage": Usage(**found["usage"]), "scores": tuple(found["scores"]), "reference": reference}
    rest["notes"] = tuple(found.get("notes", ()))
    if judgement is not None:
        # What was judged is what was scored: the reference of the row, or the rollouts of its question.
        scored = group if reference is None else Group(reference.group.example, (reference.as_rollout(),))
        if scored is None:
            raise KeyError("groups")
        rest["judgement"] = _read_judgement(judgement, scored)
    return Row(**found | rest)


def _read_judgement(found: dict[str, Any], scored: Group) -> Judgement:
    rubric = _read_rubric(found["rubric"]) or Rubric(())
    verdicts = tuple(
        tuple(Verdict(one, *verdict) for one, verdict in zip(rubric.criteria, mine, strict=True))
        for mine in found["verdicts_GC"]
    )
    usage, notes = Usage(**found["usage"]), tuple(found["notes"])
    return Judgement(scored, rubric, verdicts, tuple(found["rewards_G"]), found["judge"], usage, notes)
