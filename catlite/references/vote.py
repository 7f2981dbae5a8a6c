"""The majority vote over final answers, as an estimator (arXiv 2509.14234 §4.4).

Where too few agree it may abstain, as SCRL does (arXiv 2603.19880). The votes of an anchor beside those of the
rollouts are in anchored.py; weights that are learned from a run are in analysis/panels.py. Left out: weights by
confidence, and SCRL's negative labels for rare answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from catlite import answers, checks
from catlite.data import Group, Reference
from catlite.errors import ConfigError, EstimationError
from catlite.members import check_vote, weigh, writers
from catlite.models.base import Model


@dataclass(frozen=True)
class MajorityVote:
    """An estimator: the most common final answer (the reward of TTRL, arXiv 2504.16084); verifiable tasks only.

    Votes count equivalence classes of answers, so that 1/2 and 0.5 are one vote. A tie goes to the answer sampled
    first; rollouts without an answer do not vote; without any vote the reference has answer None and no text. An answer
    that equals those of two classes ("50%" beside "50" and "0.5") votes for the one with more rollouts. The text is
    that of the first rollout of the winning class whose answer equals no other class's.

    Below one of its thresholds the vote abstains (SCRL, arXiv 2603.19880): the reference has no answer and no text,
    `abstained` is True, and a note says why. Shares are of all rollouts that came, as in SCRL: one that was cut off or
    has no answer counts against agreement, and a failed call does not count. For 8 rollouts, SCRL's own thresholds
    (0.375, and a margin above 0.125) are min_agreement=0.375 and min_margin=0.25.

    With `weights` each rollout of a Panel counts as much as its member's weight, 0 for no vote, in the tie and the
    thresholds as well: shares are then of the weight of all rollouts that came. `Reference.support` still counts
    rollouts. `analysis.panels.vote_weights` learns weights from a run.

    Args:
        min_agreement: the smallest share of the rollouts that must have the most common answer; 0.0, never abstain.
        min_margin: the smallest lead over the second most common answer, as a share of the rollouts; 0.0, none.
        weights: what a rollout's vote counts, by `Rollout.model`, or by the group's policy where it is no Panel; 0 or
            more, and names that wrote nothing are ignored. None, 1 for each.

    Raises:
        ConfigError: for a threshold that is no share, or weights that are no mapping to such numbers.
        EstimationError: when called, for a group whose example has no answer format, or a rollout without a weight.

    Example:
        >>> reference = await MajorityVote(min_agreement=0.5)(group)
        >>> reference.answer, reference.support
        ('42', (6, 8))
    """

    min_agreement: float = 0.0
    min_margin: float = 0.0
    weights: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        checks.share("min_agreement", self.min_agreement)
        checks.share("min_margin", self.min_margin)
        checks.weights("weights", self.weights)

    def check_policy(self, policy: Model) -> None:
        """Raise ConfigError unless each model that writes rollouts of `policy` has a weight, and one is above 0."""
        check_vote(self.weights, writers(policy))

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
        try:
            votes = weigh(voters, self.weights, group.policy)
            total = sum(weigh(group.replies, self.weights, group.policy))
        except ConfigError as error:
            raise EstimationError(str(error), group) from None
        classes = await answers.aclasses(voted)
        sizes = [sum(votes[member] for member in members) for members in classes]
        notes = group.left_out()
        if silent := len(group.usable) - len(voters):
            notes.insert(0, f"{silent} of {len(group.rollouts)} rollouts gave no answer")
        if not any(sizes):
            notes += [f"{len(voters)} of {len(group.rollouts)} rollouts have votes that weigh 0"] if voters else []
            return Reference("", None, "MajorityVote", group, notes=tuple(notes))
        if (doubt := self._doubt(sorted(sizes, reverse=True), total)) is not None:
            return Reference("", None, "MajorityVote", group, notes=(doubt, *notes), abstained=True)
        most = classes[sizes.index(max(sizes))]  # the first of equals
        if most is not (unweighted := max(classes, key=len)):
            notes.append(f"without weights the answer would be {voted[unweighted[0]]!r}")
        winner = voters[await answers.aspokesman(voted, most)]
        return Reference(winner.text, winner.answer, "MajorityVote", group, notes=tuple(notes))

    def _doubt(self, sizes: Sequence[int | Fraction], total: int | Fraction) -> str | None:
        """Why the vote abstains, from the votes of each answer, most first, and the number of all; None to decide."""
        first, second = (*sizes, 0)[:2]
        agree = f"abstained: {float(first):g} of {float(total):g} agree"
        agree = agree if self.weights is None else f"{agree} by weight"
        if float(first / total) < self.min_agreement:
            return f"{agree}, min_agreement={self.min_agreement:g}"
        if float((first - second) / total) < self.min_margin:
            return f"{agree} against {float(second):g}, min_margin={self.min_margin:g}"
        return None
