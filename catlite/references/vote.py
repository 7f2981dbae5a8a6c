"""The majority vote over final answers, as an estimator (arXiv 2509.14234 §4.4).

The votes of an anchor beside those of the rollouts are in anchored.py. Left out: weighted votes.
"""

from __future__ import annotations

from dataclasses import dataclass

from catlite import answers
from catlite.data import Group, Reference
from catlite.errors import EstimationError


@dataclass(frozen=True)
class MajorityVote:
    """An estimator: the most common final answer (the reward of TTRL, arXiv 2504.16084); verifiable tasks only.

    Votes count equivalence classes of answers, so that 1/2 and 0.5 are one vote. A tie goes to the answer sampled
    first; rollouts without an answer do not vote; without any vote the reference has answer None and no text. An answer
    that equals those of two classes ("50%" beside "50" and "0.5") votes for the one with more votes. The text is that
    of the first rollout of the winning class whose answer equals no other class's.

    Raises:
        EstimationError: when called, for a group whose example has no answer format.

    Example:
        >>> reference = await MajorityVote()(group)
        >>> reference.answer, reference.support
        ('42', (6, 8))
    """

    async def __call__(self, group: Group) -> Reference:
        """The reference of `group`; costs nothing."""
        if group.example.answer_format is None:
            raise EstimationError(
                "a majority vote compares final answers, and this example has no answer_format: use Synthesis, or "
                'say how answers are written (answer_format="boxed")',
                group,
            )
        voters = [rollout for rollout in group.usable if rollout.answer is not None]
        voted = [rollout.answer or "" for rollout in voters]
        classes = await answers.aclasses(voted)
        notes = []
        if len(voters) < len(group.rollouts):
            notes.append(f"{len(group.rollouts) - len(voters)} of {len(group.rollouts)} rollouts gave no answer")
        notes += group.oddities()
        if not classes:
            return Reference("", None, "MajorityVote", group, notes=tuple(notes))
        most = max(classes, key=len)  # max keeps the first of equals
        winner = voters[await answers.aspokesman(voted, most)]
        return Reference(winner.text, winner.answer, "MajorityVote", group, notes=tuple(notes))
