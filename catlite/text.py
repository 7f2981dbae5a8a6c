"""How results show themselves as text: one-line reprs, and tables for a terminal.

Model text is shown as text: control characters are made visible. Left out: HTML, which cards.py makes.
"""

from __future__ import annotations

import hashlib
import math
import re
import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from catlite.criteria import Criterion, Rubric, Verdict
    from catlite.data import Example, Group, Judgement, Reference, Rollout
    from catlite.references.dataset import References
    from catlite.usage import Usage

WIDTH = 80  # columns of a terminal that nobody has made wider
_LEAST = 12  # of a text in a column, below which it says nothing
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """`text` with control characters, direction overrides and lone surrogates written out as \\x1b and the like."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def data_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """`rows` as a DataFrame, lone surrogates written out: with pyarrow installed pandas takes no text that has any."""
    import pandas as pd

    def writable(value: Any) -> Any:
        return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value

    return pd.DataFrame([{name: writable(value) for name, value in row.items()} for row in rows])


def short(text: str, width: int = 60) -> str:
    """The beginning of `text` on one line."""
    line = " ".join(visible(text[: 4 * width]).split())
    return line if len(line) <= width and len(text) <= 4 * width else line[: width - 1] + "…"


def table(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """`rows`, the first of them headings, as aligned text; columns in `right` are set flush right."""
    widths = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = []
        for column, cell in enumerate(row):
            space = " " * (widths[column] - _width(cell))
            cells.append(space + cell if column in right else cell + space)
        return "  ".join(cells).rstrip()

    return "\n".join([line(rows[0]), "  ".join("─" * width for width in widths), *map(line, rows[1:])])


def fitted(rows: Sequence[Sequence[str]], columns: Sequence[int]) -> list[list[str]]:
    """`rows` with the texts in `columns` shortened until a table of them has at most WIDTH columns of a terminal.

    Args:
        rows: the first of them headings.
        columns: which may be shortened; none to fewer than _LEAST characters.

    Returns:
        The rows, for `table`.
    """
    widths = [max(_width(row[column]) for row in rows) for column in range(len(rows[0]))]
    room = WIDTH - 2 * (len(widths) - 1) - sum(width for column, width in enumerate(widths) if column not in columns)
    for left, column in enumerate(sorted(columns, key=lambda column: widths[column]), -len(columns)):
        widths[column] = min(widths[column], max(_LEAST, room // -left))
        room -= widths[column]
    return [
        [short(cell, widths[column]) if column in columns else cell for column, cell in enumerate(row)] for row in rows
    ]


def _width(text: str) -> int:
    """Columns `text` takes in a terminal."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def plural(number: int, noun: str) -> str:
    """A number with its noun: "1 rollout", "1,200 rollouts"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def count(value: float | None) -> str:
    """A count for people; "?" when it is unknown."""
    return "?" if value is None else f"{value:,.0f}"


def dollars(value: float | None) -> str:
    """US dollars; "price unknown" when no price is known."""
    return "price unknown" if value is None else f"${value:.4f}" if value else "$0"


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


def usage_text(usage: Usage) -> str:
    """Requests, tokens, seconds of waiting (summed over requests that may have run at once) and dollars on one line."""
    return (
        f"{plural(usage.requests, 'request')} · {count(usage.prompt_tokens)} prompt + "
        f"{count(usage.completion_tokens)} completion tokens · {usage.seconds:.1f} s of waiting · "
        f"{dollars(usage.cost_usd)}"
    )


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


def ended(rollout: Rollout) -> str:
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


_COLUMNS = ("system", "score ± SE", "gain", "gen./question", "requests", "tokens in", "tokens out", "cost")


def evaluation_rows(totals: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Headings, then a row per system."""
    rows = [list(_COLUMNS)]
    for total in totals:
        error = "?" if math.isnan(total["se"]) else f"{total['se']:.3f}"
        score = "?" if math.isnan(total["score"]) else f"{total['score']:.3f} ± {error}"
        rows.append(
            [
                short(total["system"]) + (f" ({total['failed']} failed)" if total["failed"] else ""),
                score,
                "" if math.isnan(total["relative_gain"]) else f"{total['relative_gain']:+.0%}",
                "?" if math.isnan(total["generations"]) else f"{total['generations']:.0f}",
                count(total["requests"]),
                count(total["prompt_tokens"]),
                count(total["completion_tokens"]),
                dollars(total["cost_usd"]),
            ]
        )
    return rows


def evaluation_title(
    task: str, policy: str, totals: Sequence[dict[str, Any]], repeats: int, seconds: float | None = None
) -> str:
    """What was evaluated; `seconds` is the wall time of all of it."""
    questions = plural(totals[0]["questions"] if totals else 0, "question")
    times = f" × {repeats} repeats" if repeats > 1 else ""
    took = "" if seconds is None else f", {seconds:,.1f} s in all"
    return f"{task}, {questions}{times}, policy {policy}{took} (± standard error over questions)"


def evaluation_text(
    task: str, policy: str, totals: Sequence[dict[str, Any]], repeats: int = 1, seconds: float | None = None
) -> str:
    """The comparison of systems as a text table of WIDTH columns; `seconds` is the wall time of all of it.

    Numbers of tokens are rounded, and requests are left to the summary: they say little beside generations.
    """
    rows = [_slim(row, total) for row, total in zip(evaluation_rows(totals)[1:], totals, strict=True)]
    head = ["system", "score ± SE", "gain", "gen.", "in", "out", "cost"]
    legend = "gen.: generations per question; in, out: tokens"
    if all(total["cost_usd"] is None for total in totals):
        head, rows, legend = head[:-1], [row[:-1] for row in rows], f"{legend}; price unknown"
    room = WIDTH - sum(2 + max(map(len, column)) for column in list(zip(head, *rows, strict=True))[1:])
    shown = table([head, *([_shortened(name, room), *rest] for name, *rest in rows)], right=range(1, len(head)))
    title = evaluation_title(task, policy, totals, repeats, seconds)
    return textwrap.fill(f"{title}. {legend}", WIDTH, break_on_hyphens=False, break_long_words=False) + "\n" + shown


def _slim(row: Sequence[str], total: Mapping[str, Any]) -> list[str]:
    """A row of `evaluation_rows` in fewer columns."""
    name, score, gain, generations, _, _, _, cost = row
    tokens = [rounded(total[key]) for key in ("prompt_tokens", "completion_tokens")]
    return [name, score, gain, generations, *tokens, "unknown" if total["cost_usd"] is None else cost]


def _shortened(name: str, room: int) -> str:
    """A system's name in `room` columns; what is said in brackets at its end stays."""
    if _width(name) <= room:
        return name
    begin, bracket, end = name.rpartition(" (")
    end = bracket + end if begin else ""
    return short(begin or name, max(8, room - _width(end))) + end


def rounded(value: float | None) -> str:
    """A count in at most five characters: 950, 12.3k, 4.56M; "?" when it is unknown."""
    if value is None:
        return "?"
    for unit, size in (("", 1), ("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12)):
        if value < 999.5 * size:
            return f"{value / size:.0f}" if not unit else f"{value / size:.3g}{unit}"
    return f"{value:.0e}"


def references_rows(references: Sequence[Reference]) -> list[list[str]]:
    """Question, answer or text, agreement and what to know, for each reference."""
    rows = [["#", "question", "reference", "agree", "note"]]
    for number, reference in enumerate(references, 1):
        support = reference.known_support
        rows.append(
            [
                str(number),
                short(reference.group.example.messages[-1]["content"], 60),
                short(reference.text if reference.answer is None else reference.answer, 60),
                "" if support is None else f"{support[0]}/{support[1]}",
                short("; ".join(reference.notes) if reference.error is None else reference.error, 80),
            ]
        )
    return rows


def references_title(references: References) -> str:
    """How many references, how many of them failed, by whom, and what they took."""
    failed = sum(reference.error is not None for reference in references)
    parts = [plural(len(references), "reference") + (f" ({failed} failed)" if failed else "")]
    parts += [] if not references else [f"by {references[0].source}", models_text(references[0])]
    parts += [usage_text(references.usage)] if references else []
    return " · ".join(part for part in parts if part)


def references_repr(references: References) -> str:
    """<30 References by Synthesis, policy gpt-4o-mini, 2 failed>."""
    failed = sum(reference.error is not None for reference in references)
    parts = [plural(len(references), "Reference")] + ([f"{failed} failed"] if failed else [])
    if references:
        parts[0] += f" by {references[0].source}"
        parts.insert(1, models_text(references[0]))
    return f"<{', '.join(part for part in parts if part)}>"
