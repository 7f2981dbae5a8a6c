"""How results show themselves: one-line reprs, text tables for a terminal, small cards for a notebook.

Model text is shown as text: control characters are made visible, and in HTML everything is escaped.
"""

from __future__ import annotations

import html
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from catlite.criteria import Criterion, Verdict
    from catlite.data import Group, Judgement, Reference, Rollout, Usage

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LONG = 20_000  # characters of one text in a notebook card; the object keeps all of them


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


def _width(text: str) -> int:
    """Columns `text` takes in a terminal."""
    return sum(0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF") for c in text)


def count(value: float | None) -> str:
    """A count for people; "?" when it is unknown."""
    return "?" if value is None else f"{value:,.0f}"


def dollars(value: float | None) -> str:
    """US dollars; "?" when the price is unknown."""
    return "?" if value is None else f"${value:.4f}" if value else "$0"


def support_text(reference: Reference) -> str:
    """How many agree ("3/8 rollouts agree"), or how many rollouts there were when answers cannot be compared."""
    support = reference.support
    if support is None:
        return f"{len(reference.rollouts)} rollouts"
    return f"{support[0]}/{support[1]} rollouts agree"


def usage_text(usage: Usage) -> str:
    """Requests, tokens, seconds and dollars on one line."""
    return (
        f"{usage.requests} request{'s' * (usage.requests != 1)} · {count(usage.prompt_tokens)} prompt + "
        f"{count(usage.completion_tokens)} completion tokens · {usage.seconds:.1f} s · {dollars(usage.cost_usd)}"
    )


def reference_repr(reference: Reference) -> str:
    """<Reference '42' by Synthesis, 0/8 rollouts agree>."""
    if reference.error is not None:
        return f"<Reference failed by {reference.source}: {short(reference.error)}>"
    shown = reference.answer if reference.answer is not None else reference.text
    return f"<Reference {short(shown)!r} by {reference.source}, {support_text(reference)}>"


def reference_text(reference: Reference) -> str:
    """A reference with its rollouts, for a terminal."""
    lines = [visible(reference.text), ""]
    if reference.answer is not None:
        lines.append(f"answer   {visible(reference.answer)}")
    lines.append(f"source   {reference.source}, {support_text(reference)}")
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
        rows.append([str(number), *answer, _ended(rollout), short(rollout.error or rollout.text, 80)])
    return table(rows, right=(0,))


def _ended(rollout: Rollout) -> str:
    return rollout.defect or "complete"


_STYLE = "border:1px solid #8886;border-radius:6px;padding:.6em .9em;max-width:60em;font-family:sans-serif"
_FAINT = "opacity:.7;font-size:.9em"
_TEXT = "white-space:pre-wrap;overflow-wrap:anywhere;margin:.4em 0"


def escaped(text: str, limit: int = _LONG) -> str:
    """`text` for the inside of an HTML element, cut when it is very long."""
    cut = visible(text[:limit])
    return html.escape(cut) + (f" … ({len(text):,} characters in all)" if len(text) > limit else "")


def reference_html(reference: Reference) -> str:
    """A card: the text, what stands behind it, and the rollouts folded."""
    answer = ""
    if reference.answer is not None:
        answer = f"<div><b>Answer</b> <code>{escaped(reference.answer)}</code></div>"
    notes = "".join(f"<div>⚠ {escaped(note)}</div>" for note in reference.notes)
    items = "".join(
        f'<li><span style="{_FAINT}">{escaped(_ended(rollout))}'
        + (f" · answer <code>{escaped(rollout.answer)}</code>" if rollout.answer is not None else "")
        + f'</span><div style="{_TEXT}">{escaped(rollout.error or rollout.text)}</div></li>'
        for rollout in reference.rollouts
    )
    return (
        f'<div style="{_STYLE}"><div style="{_TEXT}">{escaped(reference.text)}</div>{answer}{notes}'
        f'<div style="{_FAINT}">{escaped(reference.source)} · {escaped(support_text(reference))} · '
        f"{escaped(usage_text(reference.total_usage))}</div>"
        f"<details><summary>{len(reference.rollouts)} rollouts</summary><ol>{items}</ol></details></div>"
    )


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
    shape = f"{len(judgement.group.rollouts)} rollouts × {len(judgement.rubric)} criteria"
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
    return table(rows, right=range(1, len(rollouts) + 1)) + "\n" + notes + used


_CELL = "text-align:center;padding:.15em .5em;border-top:1px solid #8884"
_TONES = {True: "#2a9d5c33", False: "#d1495b33", None: "#8883"}


def judgement_html(judgement: Judgement) -> str:
    """The matrix as a table; a cell's reason is its tooltip; all reasons and the rollouts are folded below."""
    head = "".join(f'<th style="{_CELL}">{number}</th>' for number in range(1, len(judgement.rewards_G) + 1))
    body = ""
    for position, criterion in enumerate(judgement.rubric.criteria):
        faint = "" if judgement.separating[position] else ' title="tells no two rollouts apart" style="opacity:.45"'
        body += (
            f'<tr{faint}><td style="text-align:left">{escaped(criterion.text)} <b>{escaped(worth(criterion))}</b></td>'
        )
        for verdicts in judgement.verdicts_GC:
            verdict = verdicts[position]
            tone = f"{_CELL};background:{_TONES[good(verdict)]}"
            body += f'<td style="{tone}" title="{escaped(verdict.reason, 500)}">{mark(verdict)}</td>'
        body += "</tr>"
    foot = "".join(f'<td style="{_CELL}"><b>{reward_text(reward)}</b></td>' for reward in judgement.rewards_G)
    notes = "".join(f"<div>⚠ {escaped(note)}</div>" for note in judgement.notes)
    reasons = "".join(
        f"<li>rollout {number}, {escaped(short(verdict.criterion.text))}: {mark(verdict)} "
        f"{escaped(verdict.reason, 500)}</li>"
        for number, verdicts in enumerate(judgement.verdicts_GC, 1)
        for verdict in verdicts
        if verdict.reason
    )
    return (
        f'<div style="{_STYLE};overflow-x:auto"><table><thead><tr><th style="text-align:left">criterion</th>{head}</tr>'
        f'</thead><tbody>{body}<tr><td style="text-align:left"><b>reward</b></td>{foot}</tr></tbody></table>{notes}'
        f'<div style="{_FAINT}">judge {escaped(judgement.judge)} · {escaped(usage_text(judgement.usage))} · '
        f"faint: tells no two rollouts apart</div><details><summary>reasons</summary><ul>{reasons}</ul></details>"
        f"{_rollouts(judgement.group)}</div>"
    )


def _rollouts(group: Group) -> str:
    """The rollouts behind a fold, each of them behind one of its own."""
    items = "".join(
        f'<details style="margin-left:1em"><summary>{number} · {escaped(_ended(rollout))} · '
        f'<span style="{_FAINT}">{escaped(short(rollout.error or rollout.text, 80))}</span></summary>'
        f'<div style="{_TEXT}">{escaped(rollout.error or rollout.text)}</div></details>'
        for number, rollout in enumerate(group.rollouts, 1)
    )
    title = f"{len(group.rollouts)} rollout{'s' * (len(group.rollouts) != 1)}"
    return f"<details><summary>{title}</summary>{items}</details>" if items else ""


def judgements_html(title: str, judgements: Sequence[Judgement]) -> str:
    """The last group judged, and how many before it."""
    shown = judgement_html(judgements[-1]) if judgements else ""
    many = f"{len(judgements)} group{'s' * (len(judgements) != 1)} remembered" + (
        "; the last one:" if judgements else ""
    )
    return f"<div><code>{escaped(title, 500)}</code> · {many}</div>{shown}"


_COLUMNS = ("system", "score ± SE", "gain", "gen./question", "requests", "tokens in", "tokens out", "seconds", "cost")


def _evaluation_rows(totals: Sequence[dict[str, Any]]) -> list[list[str]]:
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
                f"{total['seconds']:.1f}",
                dollars(total["cost_usd"]),
            ]
        )
    return rows


def _evaluation_title(task: str, policy: str, totals: Sequence[dict[str, Any]], repeats: int) -> str:
    questions = totals[0]["questions"] if totals else 0
    times = f" × {repeats} repeats" if repeats > 1 else ""
    return f"{task}, {questions} questions{times}, policy {policy} (± standard error over questions)"


def evaluation_text(task: str, policy: str, totals: Sequence[dict[str, Any]], repeats: int = 1) -> str:
    """The comparison of systems as a text table."""
    return _evaluation_title(task, policy, totals, repeats) + "\n" + table(_evaluation_rows(totals), right=range(1, 9))


def evaluation_html(
    task: str, policy: str, totals: Sequence[dict[str, Any]], repeats: int = 1, notes: Sequence[str] = ()
) -> str:
    """The comparison of systems as an HTML table, with `notes` under it."""
    below = "".join(f'<div style="{_FAINT}">{escaped(note)}</div>' for note in notes)
    return html_table(_evaluation_title(task, policy, totals, repeats), _evaluation_rows(totals)) + below


def html_table(title: str, rows: Sequence[Sequence[str]]) -> str:
    """`rows`, the first of them headings, as an HTML table under `title`."""
    head, *body = rows
    cells = "".join(f"<th>{escaped(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(f"<td>{escaped(cell)}</td>" for cell in row) + "</tr>" for row in body)
    return f"<table><caption>{escaped(title)}</caption><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table>"
