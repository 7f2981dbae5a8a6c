"""What each member of a Panel gave: replies, cost, and how often its answers agree with its own and the others'."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catlite import answers
from catlite.averages import mean_and_error
from catlite.data import Group, Reference, Response, Rollout
from catlite.errors import ConfigError
from catlite.results import Evaluation, as_evaluation
from catlite.text import data_frame
from catlite.usage import Usage

if TYPE_CHECKING:
    import pandas as pd


def members(results: str | Path | Evaluation | Iterable[Reference]) -> pd.DataFrame:
    """List what each member of a Panel gave.

    Two replies agree when their answers are equal; those without an answer are not compared.

    Args:
        results: an evaluation, the folder of its run, or references, whose rollouts a Panel gave.

    Returns:
        A DataFrame with a row per member. Columns: model; rollouts; failed, of which the call failed; no_answer, of the
        others; own, the share of pairs of its own replies to a question that agree, with own_se; others, the share of
        pairs of a reply of its and one of another member, with others_se; both are means over questions with standard
        errors, nan for open-ended text; prompt_tokens, completion_tokens, cost_usd.

    Raises:
        ConfigError: when the rollouts are not a Panel's, or the evaluation was made without them.

    Example:
        >>> members(catlite.estimate(prompts, ["gpt-4o-mini", "gpt-4o"], answer_format="boxed"))
    """
    if isinstance(results, str | Path | Evaluation):
        groups = list(as_evaluation(results).groups)
    else:
        groups = [reference.group for reference in results]
    names = dict.fromkeys(
        name for group in groups for rollout in group.rollouts if (name := _member(rollout)) is not None
    )
    if not names:
        raise ConfigError("no rollout says which model gave it: members() is for what a Panel has sampled")
    return data_frame([_row(name, groups) for name in names])


def _member(rollout: Response) -> str | None:
    return rollout.model if isinstance(rollout, Rollout) else None


def _row(name: str, groups: Iterable[Group]) -> dict[str, Any]:
    own: list[float] = []
    others: list[float] = []
    replies: list[Response] = []
    for group in groups:
        replies += [rollout for rollout in group.rollouts if _member(rollout) == name]
        same, different = _agreements(name, group)
        own += same
        others += different
    usage = Usage.total(rollout.usage for rollout in replies)
    own_mean, own_error = mean_and_error(own)
    mean, error = mean_and_error(others)
    answered = [rollout for rollout in replies if rollout.defect != "failed"]
    return {
        "model": name,
        "rollouts": len(replies),
        "failed": len(replies) - len(answered),
        "no_answer": sum(rollout.answer is None for rollout in answered),
        "own": own_mean,
        "own_se": own_error,
        "others": mean,
        "others_se": error,
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "cost_usd": usage.cost_usd,
    }


def _agreements(name: str, group: Group) -> tuple[list[float], list[float]]:
    """(the share of pairs of the member's own answers that agree, of pairs with another's), none where no pair is."""
    voters = [rollout for rollout in group.usable if rollout.answer is not None]
    if group.example.answer_format is None:
        return [], []
    classes = answers.classes([str(voter.answer) for voter in voters])
    place: Mapping[int, int] = {voter: number for number, voted in enumerate(classes) for voter in voted}
    kinds = [place[at] for at, voter in enumerate(voters) if _member(voter) == name]
    rest = [place[at] for at, voter in enumerate(voters) if _member(voter) != name]
    pairs = math.comb(len(kinds), 2)
    equal = sum(math.comb(kinds.count(kind), 2) for kind in set(kinds))
    same = [equal / pairs] if pairs else []
    across = len(kinds) * len(rest)
    different = [sum(kinds.count(kind) * rest.count(kind) for kind in set(kinds)) / across] if across else []
    return same, different
