"""How the nouns show themselves in a terminal: `one_line` is their repr, `in_full` a table with what is behind it.

Model text is shown as text: control characters are made visible. Left out: HTML, which cards.py makes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import singledispatch

from catlite.criteria import Criterion, Rubric, Verdict
from catlite.data import Example, Group, Judgement, Reference, Response, Rollout, text_of
from catlite.text import fitted, plural, short, table, usage_text, visible


@singledispatch
def one_line(noun: object) -> str:
    """Describe a noun of the pipeline on one line, as its repr.

    Example:
        >>> one_line(Rollout("6 times 7 is 42", "42"))
        "<Rollout '6 times 7 is 42', answer '42'>"
    """
    return object.__repr__(noun)


@singledispatch
def in_full(noun: object) -> str:
    """Describe a noun of the pipeline in as many lines as it takes, each of at most 80 columns but for model text."""
    return one_line(noun)


@one_line.register
def _(rollout: Rollout) -> str:
    answer = "" if rollout.answer is None else f", answer {short(rollout.answer, 30)!r}"
    defect = "" if rollout.defect is None else f", {rollout.defect}"
    return f"<Rollout {short(rollout.error or rollout.text)!r}{answer}{defect}>"


@one_line.register
def _(example: Example) -> str:
    prompt = example.prompt
    last = prompt[-1] if isinstance(prompt, list) and prompt else prompt
    content = text_of(last) if isinstance(last, Mapping) else last
    name = "" if example.id is None else f" {short(example.id, 30)}:"
    answer = "" if example.answer is None else f", answer {short(example.answer, 30)!r}"
    rubric = "" if example.rubric is None else f", {example.rubric!r}"
    return f"<Example{name} {short(str(content))!r}{answer}{rubric}>"


@one_line.register
def _(rubric: Rubric) -> str:
    # A run compares reprs: two rubrics have to differ in theirs.
    digest = hashlib.sha256(repr(rubric.criteria).encode("utf-8", "backslashreplace")).hexdigest()[:6]
    first = f": {short(rubric.criteria[0].text)!r}" if rubric.criteria else ""
    more = ", …" if len(rubric) > 1 else ""
    return f"<Rubric {digest} of {plural(len(rubric), 'criterion', 'criteria')}{first}{more}>"


@one_line.register
def _(reference: Reference) -> str:
    if reference.error is not None:
        return f"<Reference failed by {reference.source}: {short(reference.error)}>"
    if reference.abstained:
        return f"<Reference by {reference.source}, {short((*reference.notes, 'abstained')[0])}>"
    text = reference.answer if reference.answer is not None else reference.text
    return f"<Reference {short(str(text))!r} by {reference.source}, {support_text(reference)}>"


@one_line.register
def _(judgement: Judgement) -> str:
    rewards = " ".join(map(reward_text, judgement.rewards_G))
    criteria = plural(len(judgement.rubric), "criterion", "criteria")
    shape = f"{plural(len(judgement.group.rollouts), 'rollout')} × {criteria}"
    return f"<Judgement by {short(judgement.judge)}: {shape}, rewards {short(rewards)}>"


@in_full.register
def _(reference: Reference) -> str:
    lines = [visible(reference.text) if reference.error is None else f"no reference: {visible(reference.error)}", ""]
    if reference.answer is not None:
        lines.append(f"answer   {visible(reference.answer)}")
    lines.append(f"source   {reference.source}, {support_text(reference)}")
    models = models_text(reference)
    lines += [f"models   {models}"] if models else []
    lines += [f"note     {visible(note)}" for note in reference.notes]
    return "\n".join([*lines, f"used     {usage_text(reference.total_usage)}", in_full(reference.group)])


@in_full.register
def _(group: Group) -> str:
    with_answers = group.example.answer_format is not None
    writers = [rollout.model if isinstance(rollout, Rollout) else None for rollout in group.rollouts]
    of_panel = any(writers)
    head = ["#", *(["member"] if of_panel else []), *(["answer"] if with_answers else []), "ended", "text"]
    rows = [head]
    for number, (writer, rollout) in enumerate(zip(writers, group.rollouts, strict=True), 1):
        member = [short(writer or "–", 20)] if of_panel else []
        answer = [short(rollout.answer or "–", 20)] if with_answers else []
        rows.append([str(number), *member, *answer, ended(rollout), short(rollout.error or rollout.text, 80)])
    return table(fitted(rows, [len(head) - 1]), right=(0,))


@in_full.register
def _(judgement: Judgement) -> str:
    """Criteria down, rollouts across, rewards at the foot; a criterion that separates no rollouts is marked =."""
    columns = [str(number) for number in range(1, len(judgement.rewards_G) + 1)]
    rows = [["", *columns, "criterion"]]
    for position, criterion in enumerate(judgement.rubric.criteria):
        marks = [mark(verdicts[position]) for verdicts in judgement.verdicts_GC]
        text = short(" ".join([worth(criterion), criterion.text]).strip(), 80)
        rows.append(["" if judgement.separating[position] else "=", *marks, text])
    rows.append(["", *map(reward_text, judgement.rewards_G), "reward"])
    lines = [table(fitted(rows, [len(columns) + 1]), right=range(1, len(columns) + 1)), ""]
    lines += [f"note     {visible(note)}" for note in judgement.notes]
    return "\n".join([*lines, f"used     {usage_text(judgement.usage)}"])


def support_text(reference: Reference) -> str:
    """Say how many agree ("3/8 rollouts agree"), or how many rollouts there were when that is not known."""
    support = reference.known_support
    if support is None:
        return plural(len(reference.rollouts), "rollout")
    return f"{support[0]}/{plural(support[1], 'rollout')} agree{'s' * (support[1] == 1)}"


def models_text(reference: Reference) -> str:
    """Say which models took part: "policy gpt-4o-mini, anchor the same"; empty where neither is known."""
    policy, anchor = reference.group.policy, reference.anchor
    known = [] if policy is None else [f"policy {short(policy)}"]
    if anchor is not None:
        known.append(f"anchor {'the same' if anchor == policy else short(anchor)}")
    return ", ".join(known)


def ended(rollout: Response) -> str:
    """Say whether a rollout is complete, or what is wrong with it."""
    return rollout.defect or "complete"


def mark(verdict: Verdict) -> str:
    """Mark a verdict in a cell: its probability where there is one, else ✓, ✗ or ? for one that could not be had."""
    if verdict.met is None:
        return "?"
    return ("✓" if verdict.met else "✗") if verdict.probability is None else f"{verdict.probability:.2f}"


def good(verdict: Verdict) -> bool | None:
    """Tell whether a verdict speaks for the rollout, as a fault avoided does; None when it was not judged."""
    return None if verdict.met is None else verdict.met == (verdict.criterion.points >= 0)


def reward_text(reward: float | None) -> str:
    """Write a reward with two decimals; "–" for one that could not be given."""
    return "–" if reward is None else f"{reward:.2f}"


def worth(criterion: Criterion) -> str:
    """Write the points of a criterion, where they are not 1: "+5", "-4"."""
    return "" if criterion.points == 1 else f"{criterion.points:+g}"
