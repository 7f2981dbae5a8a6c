"""What each member of a Panel gave, how often members agree, and the weights for a vote that follow from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from catlite.averages import over_questions
from catlite.data import Reference
from catlite.errors import ConfigError
from catlite.members import Sampled, agreement as agree, count_members, members_of, votes_of
from catlite.results import Evaluation, as_evaluation
from catlite.text import data_frame

if TYPE_CHECKING:
    import pandas as pd

Results = str | Path | Evaluation | Iterable[Reference]


def members(results: Results) -> pd.DataFrame:
    """List what each member of a Panel gave.

    Two replies agree when their answers are equal; those without an answer are not compared.

    Args:
        results: an evaluation, the folder of its run, or references, whose rollouts a Panel gave.

    Returns:
        A DataFrame with a row per member. Columns: model; rollouts; failed, of which the call failed; no_answer, of the
        others; score, of a single reply in an evaluation, with score_se; own, the share of pairs of its own replies to
        a question that agree, with own_se; others, the share of pairs of a reply of its and one of another member, with
        others_se; prompt_tokens, completion_tokens, cost_usd; error, why the first call that failed did. Means and
        standard errors are over questions; nan without any, as for the agreement of open-ended text.

    Raises:
        ConfigError: when the rollouts are not a Panel's, or the evaluation was made without them.

    Example:
        >>> members(catlite.estimate(prompts, ["gpt-4o-mini", "gpt-4o"], answer_format="boxed"))
    """
    return data_frame(count_members(_sampled(results)))


def agreement(results: Results) -> pd.DataFrame:
    """Tell for each two members of a Panel how often a reply of the one and a reply of the other agree.

    Args:
        results: as in `members`.

    Returns:
        A square DataFrame by member: the share of pairs of replies to a question whose answers are equal, mean over
        questions; on the diagonal of two replies of the same member. nan where no pair was given.

    Raises:
        ConfigError: as in `members`.

    Example:
        >>> agreement("runs/panel").loc["gpt-4o-mini", "gpt-4o"]
        0.81
    """
    sampled = _sampled(results)
    names = members_of(sampled)
    votes = [(sample.question, votes_of(sample) or {}) for sample in sampled]
    rows = [{"model": name} | {other: agree(votes, name, [other])[0] for other in names} for name in names]
    return data_frame(rows).set_index("model")


def vote_weights(results: Results) -> dict[str, float]:
    """Weigh each member of a Panel by how often it agrees with the plain vote, without labels, for a second vote.

    This is Worker Agreement with Aggregate, as Crowd-Kit has it (arXiv 2109.08584). A member that gives many of the
    replies agrees with itself, so give members the same number. Left out of it are questions whose vote is tied.

    Args:
        results: as in `members`, with answers that can be compared.

    Returns:
        By member the share of its answers that are the majority's, mean over questions: `weights` of MajorityVote.

    Raises:
        ConfigError: as in `members`, when no vote is decided, and when a member has no answer where one is.

    Example:
        >>> weights = vote_weights("runs/panel")
        >>> catlite.reestimate("runs/panel", catlite.MajorityVote(weights=weights))
    """
    sampled = _sampled(results)
    shares: dict[str, list[tuple[object, float]]] = {name: [] for name in members_of(sampled)}
    for sample in sampled:
        votes = votes_of(sample) or {}
        most = Counter(number for numbers in votes.values() for number in numbers).most_common(2)
        if not most or (len(most) > 1 and most[0][1] == most[1][1]):
            continue
        for name, of_member in shares.items():
            of_member += [(sample.question, float(number == most[0][0])) for number in votes.get(name, ())]
    if not any(shares.values()):
        raise ConfigError("no question has a vote that is decided: all are tied, or without an answer")
    if silent := [name for name, of_member in shares.items() if not of_member]:
        raise ConfigError(f"{silent[0]!r} gave no answer to a question whose vote is decided: its weight is unknown")
    return {name: over_questions(of_member)[0] for name, of_member in shares.items()}


def _sampled(results: Results) -> list[Sampled]:
    """The groups behind `results`; ConfigError where no Panel gave them."""
    if isinstance(results, str | Path | Evaluation):
        sampled = as_evaluation(results).sampled
    else:
        sampled = [Sampled(number, reference.group) for number, reference in enumerate(results)]
    if not members_of(sampled):
        raise ConfigError("no rollout says which model gave it: this is for what a Panel has sampled")
    return sampled
