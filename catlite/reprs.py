"""What the nouns say of themselves: one-line reprs, and tables for a terminal.

Model text is shown as text: control characters are made visible. Left out: HTML, which cards.py makes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from catlite.criteria import Criterion, Rubric, Verdict
from catlite.data import Example, Group, Judgement, Reference, Response, Rollout
from catlite.text import fitted, plural, short, table, usage_text, visible


def support_text(reference: Reference) -> str:
    """How many agree ("3/8 rollouts agree"), or how many rollouts there were when that is not known."""
    support = reference.known_support
    if support is None:
        return plural(len(reference.rollouts), "rollout")
    return f"{support[0]}/{plural(support[1], 'rollout')} agree{'s' * (support[1] == 1)}"


def models_text(reference: Reference) -> str:
    """Which models took part: "policy gpt-4o-mini, anchor the same"; empty where neither is known."""
    policy, anchor = reference.group.policy, reference.anchor
    known = [] if policy is None else [f"policy {short(policy)}"]
    if anchor is not None:
        known.append(f"anchor {'the same' if anchor == policy else short(anchor)}")
    return ", ".join(known)


def rollout_repr(rollout: Rollout) -> str:
    """<Rollout '6 times 7 is 42', answer '42'>."""
    answer = "" if rollout.answer is None else f", answer {short(rollout.answer, 30)!r}"
    defect = "" if rollout.defect is None else f", {rollout.defect}"
    return f"<Rollout {short(rollout.error or rollout.text)!r}{answer}{defect}>"


def example_repr(example: Example) -> str:
    """<Example 'What is 6 times 7?', answer '42'>."""
    prompt = example.prompt
    last = prompt[-1] if isinstance(prompt, list) and prompt else prompt
    content = last.get("content") if isinstance(last, Mapping) else last
    named = "" if example.id is None else f" {short(example.id, 30)}:"
    answer = "" if example.answer is None else f", answer {short(example.answer, 30)!r}"
    rubric = "" if example.rubric is None else f", {example.rubric!r}"
    return f"<Example{named} {short(str(content))!r}{answer}{rubric}>"


def rubric_repr(rubric: Rubric) -> str:
    """<Rubric 1b9d6b of 3 criteria: 'Names a dose.', …>, by which two rubrics can be told apart, too."""
    digest = hashlib.sha256(repr(rubric.criteria).encode("utf-8", "backslashreplace")).hexdigest()[:6]
    first = f": {short(rubric.criteria[0].text)!r}" if rubric.criteria else ""
    more = ", …" if len(rubric) > 1 else ""
    return f"<Rubric {digest} of {len(rubric)} {'criterion' if len(rubric) == 1 else 'criteria'}{first}{more}>"


def reference_repr(reference: Reference) -> str:
    """<Reference '42' by Synthesis, 3/8 rollouts agree>; how many agree is left out where it is not known."""
    if reference.error is not None:
        return f"<Reference failed by {reference.source}: {short(reference.error)}>"
    shown = reference.answer if reference.answer is not None else reference.text
    return f"<Reference {short(str(shown))!r} by {reference.source}, {support_text(reference)}>"


def reference_text(reference: Reference) -> str:
    """A reference with its rollouts, for a terminal."""
    lines = [visible(reference.text) if reference.error is None else f"no reference: {visible(reference.error)}", ""]
    if reference.answer is not None:
        lines.append(f"answer   {visible(reference.answer)}")
    lines.append(f"source   {reference.source}, {support_text(reference)}")
    models = models_text(reference)
    lines += [f"models   {models}"] if models else []
    lines += [f"note     {visible(note)}" for note in reference.notes]
    lines += [f"used     {usage_text(reference.total_usage)}", ""]
    return "\n".join(lines) + rollouts_text(reference.group)


def rollouts_text(group: Group) -> str:
    """The rollouts of a group as a table."""
    with_answers = group.example.answer_format is not None
    head = ["#", *(["answer"] if with_answers else []), "ended", "text"]
    rows = [head]
    for number, rollout in enumerate(group.rollouts, 1):
        answer = [short(rollout.answer or "–", 20)] if with_answers else []
        rows.append([str(number), *answer, ended(rollout), short(rollout.error or rollout.text, 80)])
    return table(fitted(rows, [len(head) - 1]), right=(0,))


def ended(rollout: Response) -> str:
    """Whether a rollout is complete, or what is wrong with it."""
    return rollout.defect or "complete"


def mark(verdict: Verdict) -> str:
    """A verdict in a cell: its probability where there is one, else ✓, ✗ or ? for one that could not be had."""
    if verdict.met is None:
        return "?"
    return ("✓" if verdict.met else "✗") if verdict.probability is None else f"{verdict.probability:.2f}"


def good(verdict: Verdict) -> bool | None:
    """Whether a verdict speaks for the rollout: a criterion met, or a fault avoided; None when it was not judged."""
    return None if verdict.met is None else verdict.met == (verdict.criterion.points >= 0)


def reward_text(reward: float | None) -> str:
    """A reward with two decimals; "–" for one that could not be given."""
    return "–" if reward is None else f"{reward:.2f}"


def worth(criterion: Criterion) -> str:
    """The points of a criterion, where they are not 1: "+5", "-4"."""
    return "" if criterion.points == 1 else f"{criterion.points:+g}"


def judgement_repr(judgement: Judgement) -> str:
    """<Judgement by gpt-4o: 8 rollouts × 6 criteria, rewards 0.50 0.67 –>."""
    rewards = " ".join(map(reward_text, judgement.rewards_G))
    criteria = "1 criterion" if len(judgement.rubric) == 1 else f"{len(judgement.rubric)} criteria"
    shape = f"{plural(len(judgement.group.rollouts), 'rollout')} × {criteria}"
    return f"<Judgement by {short(judgement.judge)}: {shape}, rewards {short(rewards)}>"


def judgement_text(judgement: Judgement) -> str:
    """Criteria down, rollouts across, rewards at the foot; a criterion that separates nobody is marked =."""
    rollouts = [f"{number}" for number in range(1, len(judgement.rewards_G) + 1)]
    rows = [["", *rollouts, "criterion"]]
    for position, criterion in enumerate(judgement.rubric.criteria):
        marks = [mark(verdicts[position]) for verdicts in judgement.verdicts_GC]
        text = short(" ".join([worth(criterion), criterion.text]).strip(), 80)
        rows.append(["" if judgement.separating[position] else "=", *marks, text])
    rows.append(["", *map(reward_text, judgement.rewards_G), "reward"])
    notes = "".join(f"\nnote     {visible(note)}" for note in judgement.notes)
    used = f"\nused     {usage_text(judgement.usage)}"
    shown = table(fitted(rows, [len(rollouts) + 1]), right=range(1, len(rollouts) + 1))
    return shown + "\n" + notes + used
