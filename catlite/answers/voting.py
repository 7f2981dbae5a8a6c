r"""Put answers that say the same into classes, one relation for a whole vote.

`compare` alone does not make classes: "50%" equals "50" (its sign left out) and "0.5" (its value), which differ, and
"5" equals both "5 cm" and "5 m". Answers that are equal to nothing but each other make the classes. An answer between
two classes joins the one with more votes, so that the classes are the same in every order of the votes. Left out: votes
with weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

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
    distinct = list(dict.fromkeys(votes))
    equal = {pair for pair in _pairs(distinct) if compare(*pair)}
    return _partition(votes, equal)


async def aclasses(votes: Sequence[str]) -> list[list[int]]:
    """`classes` for a running event loop: what needs the child process waits in a thread."""
    distinct = list(dict.fromkeys(votes))
    equal = {pair for pair in _pairs(distinct) if await acompare(*pair)}
    return _partition(votes, equal)


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
    voters = votes if answer in votes else [*votes, answer]
    return _members(answer, voters, classes(voters), len(votes))


async def aclass_of(answer: str, votes: Sequence[str]) -> list[int]:
    """`class_of` for a running event loop: what needs the child process waits in a thread."""
    voters = votes if answer in votes else [*votes, answer]
    return _members(answer, voters, await aclasses(voters), len(votes))


def known_class_of(answer: str, votes: Sequence[str]) -> list[int] | None:
    """`class_of` as far as it is known without the child process, for what must not wait: a repr, a card.

    Args:
        answer: one of the votes; another answer counts as one more.
        votes: answers, in the order of the votes.

    Returns:
        Indices of votes; None where a pair would have to be compared first.

    Example:
        >>> known_class_of("50%", ["50", "0.5", "50"])
        [0, 2]
    """
    voters = votes if answer in votes else [*votes, answer]
    verdicts = {pair: known(*pair) for pair in _pairs(list(dict.fromkeys(voters)))}
    if None in verdicts.values():
        return None
    equal = {pair for pair, same in verdicts.items() if same}
    return _members(answer, voters, _partition(voters, equal), len(votes))


def _members(answer: str, voters: Sequence[str], partition: list[list[int]], count: int) -> list[int]:
    place = voters.index(answer)
    return [member for members in partition if place in members for member in members if member < count]


def support(answer: str | None, own: Sequence[str | None], others: Sequence[str | None] = ()) -> tuple[int, int]:
    """Count the rollouts that say the same as an answer, by the one relation of `classes`.

    Args:
        answer: such as a reference's; None is said by nobody.
        own: the answers of all rollouts, None for one that has none.
        others: answers that have a say in what is the same, and are not counted.

    Returns:
        (how many of `own` say the same, how many there are).

    Example:
        >>> support("50%", ["50", "0.5", "50", None])
        (2, 4)
    """
    votes, number = _voters(own, others)
    members = [] if answer is None or not number else class_of(answer, votes)
    return sum(member < number for member in members), len(own)


def known_support(
    answer: str | None, own: Sequence[str | None], others: Sequence[str | None] = ()
) -> tuple[int, int] | None:
    """`support` as far as it is known without the child process; None where a pair would have to be compared first."""
    votes, number = _voters(own, others)
    members = [] if answer is None or not number else known_class_of(answer, votes)
    return None if members is None else (sum(member < number for member in members), len(own))


def _voters(own: Sequence[str | None], others: Sequence[str | None]) -> tuple[list[str], int]:
    votes = [vote for vote in own if vote is not None]
    return votes + [vote for vote in others if vote is not None], len(votes)


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


def _pairs(distinct: list[str]) -> list[tuple[str, str]]:
    return [(a, b) for place, a in enumerate(distinct) for b in distinct[place + 1 :]]


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
