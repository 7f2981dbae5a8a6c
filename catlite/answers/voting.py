r"""Put answers that say the same into classes, one relation for a whole vote.

`compare` alone does not make classes: "50%" equals "50" (its sign left out) and "0.5" (its value), which differ, and
"5" equals both "5 cm" and "5 m". Answers that are equal to nothing but each other make the classes. An answer between
two classes joins the one with more votes, so that the classes are the same in every order of the votes. Left out: votes
with weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from catlite.answers.comparing import acompare, compare, known

Pairs = set[tuple[str, str]]


def classes(votes: Sequence[str]) -> list[list[int]]:
    """Put equivalent answers together.

    Args:
        votes: answers, in the order of the votes.

    Returns:
        Indices, a list for each class, in the order of the classes' first members. A pair that is undecided counts as
        different.

    Example:
        >>> classes(["50%", "50", "0.5", "50"])
        [[0, 1, 3], [2]]
    """
    return _partition(votes, {pair for pair in _pairs(votes) if compare(*pair)})


async def aclasses(votes: Sequence[str]) -> list[list[int]]:
    """`classes` for a running event loop: pairs that take the child process wait in a thread."""
    return _partition(votes, {pair for pair in _pairs(votes) if await acompare(*pair)})


def known_classes(votes: Sequence[str]) -> list[list[int]] | None:
    """`classes` for a repr or a card, which must not wait: None where a pair takes the child process."""
    verdicts = {pair: known(*pair) for pair in _pairs(votes)}
    return None if None in verdicts.values() else _partition(votes, {pair for pair in verdicts if verdicts[pair]})


def class_of(answer: str, votes: Sequence[str]) -> list[int]:
    """Find the votes that say the same as an answer, by the one relation of `classes`.

    Args:
        answer: one of the votes; another answer counts as one more.
        votes: answers, in the order of the votes.

    Returns:
        Indices of votes.

    Example:
        >>> class_of("50%", ["50", "0.5", "50"])
        [0, 2]
    """
    voters = _with(answer, votes)
    return _members(answer, voters, classes(voters), len(votes))


async def aclass_of(answer: str, votes: Sequence[str]) -> list[int]:
    """`class_of` for a running event loop: pairs that take the child process wait in a thread."""
    voters = _with(answer, votes)
    return _members(answer, voters, await aclasses(voters), len(votes))


def _with(answer: str, votes: Sequence[str]) -> Sequence[str]:
    return votes if answer in votes else [*votes, answer]


def _members(answer: str, voters: Sequence[str], partition: list[list[int]], count: int) -> list[int]:
    place = voters.index(answer)
    return [member for members in partition if place in members for member in members if member < count]


def support(
    answer: str | None, own: Sequence[str | None], others: Sequence[str | None] = (), *, at_once: bool = False
) -> tuple[int, int] | None:
    """Count the rollouts that say the same as an answer, by the one relation of `classes`.

    Args:
        answer: such as a reference's; None is said by nobody.
        own: the answers of all rollouts, None for one that has none.
        others: further votes on what is the same, which are not counted; none by default.
        at_once: True for a repr or a card, which must not wait for the child process.

    Returns:
        (how many of `own` say the same, how many there are); None when it is not known at once.

    Example:
        >>> support("50%", ["50", "0.5", "50", None])
        (2, 4)
    """
    votes = [vote for vote in own if vote is not None]
    if answer is None or not votes:
        return 0, len(own)
    voters = _with(answer, votes + [vote for vote in others if vote is not None])
    partition = known_classes(voters) if at_once else classes(voters)
    return None if partition is None else (len(_members(answer, voters, partition, len(votes))), len(own))


async def aspokesman(votes: Sequence[str], members: Sequence[int]) -> int:
    """Find the member of a class that may speak for it.

    Args:
        votes: all answers of the vote.
        members: the indices of one class of them.

    Returns:
        The first member that is equal to no answer outside the class; the first of all when there is none.
    """
    outside = sorted({*votes} - {votes[index] for index in members})
    for index in members:
        if not any([await acompare(votes[index], other) for other in outside]):
            return index
    return members[0]


def _pairs(votes: Sequence[str]) -> list[tuple[str, str]]:
    return list(combinations(dict.fromkeys(votes), 2))


def _partition(votes: Sequence[str], equal: Pairs) -> list[list[int]]:
    counts = Counter(votes)
    near: dict[str, set[str]] = {answer: {answer} for answer in counts}
    for a, b in equal:
        near[a].add(b)
        near[b].add(a)
    by_votes = sorted(counts, key=lambda answer: (-counts[answer], answer))
    plain = [answer for answer in by_votes if all(near[answer] <= near[other] for other in near[answer])]
    groups: list[list[str]] = []
    for answer in plain:
        home = next((group for group in groups if answer in near[group[0]]), None)
        if home is None:
            groups.append([answer])
        else:
            home.append(answer)
    # Only votes of answers that belong to one class for certain decide where the others go.
    weights = {id(group): sum(counts[answer] for answer in group) for group in groups}
    for answer in by_votes:
        if answer in plain:
            continue
        homes = [group for group in groups if all(member in near[answer] for member in group)]
        if homes:
            max(homes, key=lambda group: (weights[id(group)], [-ord(c) for c in group[0]])).append(answer)
        else:
            groups.append([answer])
            weights[id(groups[-1])] = counts[answer]
    of = {answer: number for number, group in enumerate(groups) for answer in group}
    members: dict[int, list[int]] = {}
    for index, answer in enumerate(votes):
        members.setdefault(of[answer], []).append(index)
    return list(members.values())
