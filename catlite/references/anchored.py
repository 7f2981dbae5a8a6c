"""A vote in which the frozen anchor has a say: its own rollouts count beside those of the policy in training.

The reference of CaT comes from the initial policy (arXiv 2509.14234 §3.1). That of TTRL (arXiv 2504.16084) is a vote of
the policy as it is, which training moves: once a wrong answer has the majority it is rewarded, and keeps it. This is
the vote of TTRL held to the anchor of CaT; it is in neither of these two papers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from catlite import answers, checks
from catlite.coerce import hold_models
from catlite.data import Group, Reference, Rollout
from catlite.errors import BudgetReached, ConfigError, EstimationError, GroupError, ModelError
from catlite.members import check_vote, check_weighed, writers
from catlite.models.base import Model, check_n, check_sampling, combined, shown_name
from catlite.references.vote import MajorityVote
from catlite.rollouts import sample_group
from catlite.usage import Usage


@dataclass(frozen=True)
class AnchoredVote:
    """An estimator: the most common answer among a group's rollouts and `n` rollouts of the anchor; verifiable only.

    A vote counts and abstains as in MajorityVote, and a tie goes to the group. `Reference.others` has the anchor's
    rollouts, `usage` what they took. The anchor's rollouts are drawn by `seed`, the same whenever the question comes
    again, so that in a run (`run=`, and always in `train`) they are paid for once.

    Args:
        anchor: the model that votes beside the policy; in training `policy.frozen()`, which stays the initial policy.
        n: rollouts of the anchor; 16.
        temperature: of these rollouts; None leaves it to the anchor.
        max_tokens: of each of these rollouts; None leaves it to the anchor.
        seed: of these rollouts; 7919. Where anchor and policy are one endpoint it must differ from the policy's own, or
            a run takes the policy's replies for the anchor's. None for an endpoint that takes no seed: then use two
            models.
        sampling: further parameters, such as top_p; in training best all that the policy is sampled with.
        min_agreement: as in MajorityVote, a share of the rollouts of both; 0.0, never abstain.
        min_margin: as in MajorityVote, a share of the rollouts of both; 0.0, none.
        weights: as in MajorityVote, for the policy and the anchor by name, and for the members of either that is a
            Panel; not in training, whose rollouts do not tell their model. None, 1 for each rollout.

    Raises:
        ConfigError: for n below 1, a wrong parameter, a threshold that is no share, or an anchor without a weight.
        EstimationError: when called, for an example without an answer format, or when none of the anchor's rollouts
            can be used. It keeps the group.

    Example:
        >>> reference = await AnchoredVote(policy.frozen(), n=16)(group)
    """

    shows_question: ClassVar = ("anchor", "")
    needs_usable: ClassVar = False  # an evaluation also calls it for a group that has no vote itself

    anchor: Model
    n: int = 16
    temperature: float | None = None
    max_tokens: int | None = None
    seed: int | None = 7919
    sampling: Mapping[str, Any] = field(default_factory=dict)
    min_agreement: float = 0.0
    min_margin: float = 0.0
    weights: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        hold_models(self, "anchor")
        checks.share("min_agreement", self.min_agreement)
        checks.share("min_margin", self.min_margin)
        checks.weights("weights", self.weights)
        check_weighed(self.weights, writers(self.anchor))
        check_n(self.n)
        if "extra_headers" in self._sampling():
            raise ConfigError(
                "sampling={'extra_headers': …}: an estimator is shown and kept with its settings, which headers should "
                "not be; give them to the anchor: Endpoint(…, extra_headers={…})"
            )

    def check_policy(self, policy: Model) -> None:
        """Raise ConfigError unless the policy and the anchor have weights, and one of them is above 0."""
        check_vote(self.weights, (*writers(policy), *writers(self.anchor)))

    def _sampling(self) -> dict[str, Any]:
        own = check_sampling({"temperature": self.temperature, "max_tokens": self.max_tokens, "seed": self.seed})
        return combined(check_sampling(self.sampling), own)

    async def __call__(self, group: Group) -> Reference:
        """The reference of `group`; n rollouts of the anchor."""
        alone = await MajorityVote(weights=self.weights)(group)
        try:
            anchored = await sample_group(self.anchor, group.example, self.n, **self._sampling())
        except GroupError as error:
            failure = f"the anchor {self.anchor.name!r} has no vote: {error}"
            raise EstimationError(failure, group, error.group.usage, bool(error.group.replies)) from error
        except (ModelError, BudgetReached) as error:
            # What came of the anchor before is spent; the group that is kept is the one to be estimated from.
            error.usage = Usage.total([error.usage or Usage(), *(rollout.usage for rollout in error.rollouts)])
            error.group = group
            raise
        signed = (
            replace(rollout, model=rollout.model or anchored.policy)
            for rollout in anchored.rollouts
            if isinstance(rollout, Rollout)
        )
        everyone = Group(group.example, (*group.rollouts, *signed), group.policy)
        together = await MajorityVote(self.min_agreement, self.min_margin, self.weights)(everyone)
        voters = sum(rollout.answer is not None for rollout in anchored.usable)
        shown = f"{voters} of {self.n}" if voters < self.n else f"{self.n}"
        why = ", ".join(f"{count} {defect}" for defect, count in anchored.defects.items())
        notes = [*alone.notes, f"{shown} rollouts of the anchor voted, too{f' ({why})' * bool(why)}"]
        if together.abstained:
            notes.insert(0, together.notes[0])
        votes = [rollout.answer for rollout in everyone.usable if rollout.answer is not None]
        same = await answers.aclass_of(together.answer, votes) if together.answer is not None else []
        if not together.abstained and alone.answer not in {votes[member] for member in same}:
            notes.append(f"without them the answer would be {alone.answer!r}")
        return replace(
            together,
            source="AnchoredVote",
            group=group,
            others=anchored.rollouts,
            usage=anchored.usage,
            notes=tuple(notes),
            anchor=shown_name(self.anchor),
        )
